//! Erasing a contact, a tenant, and what a tenant keeps no longer.

use crate::engine::api::Answer;
use crate::engine::writer::Deciding;
use crate::error::Result;
use crate::model::event::{Erased, Event, TenantErased};
use crate::model::ids::{EntityId, EraseId};
use crate::resolve::erase::{due_contacts, due_reviews, erase};
use crate::resolve::upsert::{Now, Step};

/// Contacts erased by one command at most; the next goes on.
const CONTACTS_MAX: usize = 200;

impl Deciding<'_> {
    pub(super) fn erase_contact(&mut self, contact: EntityId, now: Now<'_>) -> Result<Answer> {
        let core = self.core;
        let erasing = erase(self.shard, contact, now, &mut || core.new_id())?;
        self.commit(erasing.steps, None);
        Ok(Answer::Erasure(erasing.erase_id))
    }

    pub(super) fn erase_tenant(&mut self, now: Now<'_>) -> Answer {
        let erase_id = EraseId(self.core.new_id());
        let gone = TenantErased { erase_id, at: now.at, actor: now.actor.to_owned() };
        self.commit(vec![Step::Event(Event::TenantErased(gone))], None);
        Answer::Erasure(erase_id)
    }

    /// Erases soft-deleted contacts and closed reviews by their age. Answers with the contacts.
    pub(super) fn retain(&mut self, now: Now<'_>) -> Result<Answer> {
        let core = self.core;
        let due = due_contacts(self.shard, now.at, CONTACTS_MAX);
        for contact in &due {
            self.erase_contact(*contact, now)?;
        }
        let reviews = due_reviews(self.shard, now.at);
        if !reviews.is_empty() {
            let (erase_id, at, actor) = (EraseId(core.new_id()), now.at, now.actor.to_owned());
            let erased = Erased { erase_id, contacts: Vec::new(), records: Vec::new(), reviews, at, actor };
            self.commit(vec![Step::Event(Event::Erased(erased))], None);
        }
        Ok(Answer::Done(due))
    }
}
