//! Why two accounts are one or not, and the steps that built one.

use std::sync::Arc;

use crate::engine::View;
use crate::engine::accounts::AccountRecord;
use crate::engine::api::MergeEntry;
use crate::engine::reader::history::version_at;
use crate::engine::reader::merge_entry;
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, RecordId, Seq};
use crate::resolve::change::{AccountEvidence, account_evidence, account_standing};
use crate::resolve::relation::live_account;
use crate::store::shard::{Merge, Shard, Version};

/// One side of a comparison of accounts.
#[derive(Clone, Debug)]
pub enum AccountSide {
    /// An account: its best record against the other side counts.
    Account(EntityId),
    /// A record.
    Record(RecordId),
    /// Not stored.
    Inline(Box<AccountRecord>),
}

/// The full comparison of two sides.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountWhy {
    /// The left record compared, if stored.
    pub left: Option<RecordId>,
    /// The right record compared, if stored.
    pub right: Option<RecordId>,
    /// What each comparison says.
    pub evidence: AccountEvidence,
    /// They are in one account, or would be.
    pub same_account: bool,
    /// In sentences: what is missing, or what stands against it. Empty when they are one.
    pub missing: Vec<String>,
}

/// One step that built an account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountStep {
    /// The merge.
    pub merge: MergeEntry,
    /// What the joining pair of records said then. Missing for manual merges.
    pub then: Option<AccountEvidence>,
    /// What the pair says now. Missing for manual merges, and where a record is gone.
    pub now: Option<AccountEvidence>,
}

/// A record of a side, and the slot that it has or would have.
type Laid = (u32, Arc<Version>);
/// Records laid over a shard.
type Edits = Vec<(u32, Option<Arc<Version>>)>;

impl View {
    /// Compares any two accounts, records or inline records.
    ///
    /// # Errors
    /// `NotFound` and `Moved` for ids.
    pub fn why_accounts(&self, left: &AccountSide, right: &AccountSide) -> Result<AccountWhy> {
        let accounts = self.shard().accounts();
        let mut edits = Edits::new();
        let lefts = self.laid(&accounts, left, &mut edits)?;
        let rights = self.laid(&accounts, right, &mut edits)?;
        let pairs = lefts.iter().flat_map(|a| rights.iter().map(move |b| (a, b)));
        let compared = pairs.filter_map(|(a, b)| Some((a, b, account_evidence(&a.1, &b.1)?)));
        let best = compared.max_by(|x, y| x.2.score.total_cmp(&y.2.score));
        let unknown = || Error::NotFound { code: "record_unknown", what: "record".into() };
        let (a, b, evidence) = best.ok_or_else(unknown)?;
        let standing = account_standing(&accounts, &edits, a.0, b.0);
        let stored = |side: &Laid| Some(side.1.stored.record_id).filter(|id| id.0 != 0);
        let missing = evidence.missing(standing);
        Ok(AccountWhy { left: stored(a), right: stored(b), evidence, same_account: standing.together, missing })
    }

    fn laid(&self, accounts: &Shard, side: &AccountSide, edits: &mut Edits) -> Result<Vec<Laid>> {
        let unknown = || Error::NotFound { code: "record_unknown", what: "record".into() };
        match side {
            AccountSide::Account(id) => {
                let entity = live_account(self.shard(), *id)?;
                let version = |slot: &u32| Some((*slot, Arc::clone(accounts.evidence(*slot)?)));
                Ok(entity.members.iter().filter_map(version).collect())
            }
            AccountSide::Record(id) => {
                let slot = accounts.slot_of(*id).ok_or_else(unknown)?;
                Ok(vec![(slot, Arc::clone(accounts.evidence(slot).ok_or_else(unknown)?))])
            }
            AccountSide::Inline(asked) => {
                let (_, version) = self.asked_account(accounts, (**asked).clone());
                let slot = accounts.next_slot() + u32::try_from(edits.len()).unwrap_or(0);
                edits.push((slot, Some(Arc::clone(&version))));
                Ok(vec![(slot, version)])
            }
        }
    }

    /// The merges that built an account, oldest first, each with its evidence then and now.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn account_how(&self, id: EntityId) -> Result<Vec<AccountStep>> {
        live_account(self.shard(), id)?;
        let accounts = self.shard().accounts();
        let merges = accounts.merge_order.iter().filter_map(|merge| accounts.merges.get(merge));
        let mine = merges.filter(|merge| accounts.resolve_id(merge.merged.survivor) == Some(id));
        Ok(mine.map(|merge| step(&accounts, merge)).collect())
    }
}

fn step(accounts: &Shard, merge: &Merge) -> AccountStep {
    let as_of = |seq: Seq| {
        // What a person says rests on no pair.
        let pair = merge.merged.pair.as_ref().filter(|_| merge.merged.judgement.is_none())?;
        let version = |record: RecordId| {
            let stored = version_at(accounts.slot(accounts.slot_of(record)?)?, seq)?;
            Some(Version::of_stored(&stored.put(), Arc::clone(stored), &accounts.model))
        };
        account_evidence(&version(pair.a)?, &version(pair.b)?)
    };
    AccountStep { merge: merge_entry(merge), then: as_of(merge.seq), now: as_of(accounts.seq) }
}
