//! The accounts of a tenant: a shard within its shard.
//!
//! Records, merges, undo, judgements, questions and history of businesses are those of people, so their state is a
//! [`Shard`] too, made with the first account. What differs is what a version knows of its record
//! ([`Version::of_account`]) and the rule that puts records together (`resolve::change::accounts`). The inner shard counts
//! in the tenant's seq, and its feed goes into the tenant's, marked as about accounts. Who of the people belongs to which
//! account is in [`crate::store::relations`].

use std::sync::Arc;

use crate::model::event::Event;
use crate::model::ids::{EntityId, MergeId};
use crate::store::shard::{Entity, Shard, Version};

impl Shard {
    /// The accounts as a shard of their own, as of this shard's seq and under its settings.
    pub fn accounts(&self) -> Shard {
        let mut accounts = match &self.accounts {
            Some(accounts) => (**accounts).clone(),
            None => Shard::new(self.tenant, &self.name, Arc::clone(&self.model)),
        };
        accounts.is_of_accounts = true;
        accounts.seq = self.seq;
        accounts.settings = Arc::clone(&self.settings);
        accounts
    }

    /// An account id as it stands, redirecting or not.
    pub fn account(&self, id: EntityId) -> Option<&Arc<Entity>> {
        self.accounts.as_ref()?.entity(id)
    }

    /// Whether a merge is one of accounts.
    pub fn is_account_merge(&self, merge: MergeId) -> bool {
        self.accounts.as_ref().is_some_and(|accounts| accounts.merges.get(&merge).is_some())
    }

    /// Folds in a put of a business whose version is already made. Its seq must be the next.
    pub fn apply_account_put(&mut self, version: Arc<Version>) {
        self.change_accounts(|accounts| accounts.apply_put(version));
    }

    /// Folds in what happened to businesses; `event` is told as if it had happened to people.
    pub(in crate::store) fn apply_to_accounts(&mut self, event: Event) {
        self.change_accounts(|accounts| accounts.apply(event));
    }

    fn change_accounts(&mut self, change: impl FnOnce(&mut Shard)) {
        // Not through `accounts()`: here a state that nobody else holds is changed in place.
        let mut arc = self.accounts.take().unwrap_or_else(|| Arc::new(self.accounts()));
        let accounts = Arc::make_mut(&mut arc);
        accounts.seq = self.seq;
        accounts.settings = Arc::clone(&self.settings);
        let told = accounts.feed.len();
        change(accounts);
        self.seq = accounts.seq;
        for entry in accounts.feed.iter_from(told) {
            let mut entry = entry.clone();
            entry.of_accounts = true;
            self.feed.push(entry);
        }
        // The tenant's feed has them now.
        accounts.feed = crate::cow::PVec::default();
        self.accounts = Some(arc);
    }
}
