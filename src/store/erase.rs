//! Erasure in the state: nothing of a person is left but ids that say that somebody was here.
//!
//! Before it the person's records were withdrawn and the neighbourhood resolved anew, so what is left to do is to forget:
//! versions, history, questions, reasons, references, relations and kept answers. Postings and names went with the records.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::redact::Gone;
use crate::model::event::{Erased, ErasureDone, RelationDeleted, TenantErased};
use crate::model::ids::{EntityId, EraseId, Millis, RecordId, ReviewId};
use crate::store::shard::{Feed, FeedKind, Shard, Slot};

/// All erasures of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    by_id: PMap<EraseId, Arc<Erasure>>,
    by_contact: PMap<EntityId, EraseId>,
    pending: usize,
}

/// One erasure and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// As it was asked for.
    pub erased: Erased,
    /// The tenant's seq after it.
    pub seq: u64,
    /// Missing: files may still hold the person.
    pub done: Option<ErasureDone>,
}

impl Erasures {
    /// One of them.
    pub fn get(&self, id: EraseId) -> Option<&Arc<Erasure>> {
        self.by_id.get(&id)
    }

    /// The erasure that took a contact id.
    pub fn of(&self, contact: EntityId) -> Option<EraseId> {
        self.by_contact.get(&contact).copied()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<&Arc<Erasure>> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_unstable_by_key(|one| (one.seq, one.erased.erase_id));
        all
    }

    /// Those of which files may still hold something.
    pub fn pending(&self) -> impl Iterator<Item = &Arc<Erasure>> {
        self.by_id.values().filter(|one| one.done.is_none())
    }

    /// Whether files may still hold something of somebody.
    pub fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(in crate::store) fn put(&mut self, erasure: Erasure) {
        let id = erasure.erased.erase_id;
        for contact in &erasure.erased.contacts {
            self.by_contact.insert(*contact, id);
        }
        self.pending += usize::from(erasure.done.is_none());
        self.by_id.insert(id, Arc::new(erasure));
    }

    pub(in crate::store) fn done(&mut self, done: ErasureDone) {
        if let Some(erasure) = self.by_id.get_mut(&done.erase_id) {
            self.pending -= usize::from(erasure.done.is_none());
            Arc::make_mut(erasure).done = Some(done);
        }
    }
}

impl Shard {
    /// Whether a contact id named somebody who was erased.
    pub fn is_erased(&self, contact: EntityId) -> bool {
        self.erasures.of(contact).is_some()
    }

    /// Forgets a person. Their records must be withdrawn already.
    pub(in crate::store) fn erased(&mut self, erased: Erased) {
        self.seq.0 += 1;
        let mut gone = Gone::default();
        gone.add(&erased);
        for record in &erased.records {
            self.forget_record(*record);
        }
        self.forget_reviews(&erased);
        self.forget_reasons(&erased.records);
        self.forget_answers(&gone);
        self.privacy.forget(&erased.contacts, &erased.records);
        for contact in &erased.contacts {
            self.forget_contact(*contact, erased.at, &erased.actor);
        }
        let entities = erased.contacts.clone();
        if !entities.is_empty() {
            self.feed.push(Feed { seq: self.seq, at: erased.at, kind: FeedKind::Erased, entities, of_accounts: false });
        }
        self.erasures.put(Erasure { erased, seq: self.seq.0, done: None });
    }

    /// Forgets everything but the tenant's name and that it was erased.
    pub(in crate::store) fn tenant_erased(&mut self, gone: TenantErased) {
        let TenantErased { erase_id, at, actor } = gone;
        let mut bare = Self::new(self.tenant, &self.name, Arc::clone(self.models.shipped()));
        bare.seq.0 = self.seq.0 + 1;
        bare.is_ended = true;
        let (contacts, records, reviews) = Default::default();
        let erased = Erased { erase_id, contacts, records, reviews, at, actor };
        bare.erasures.put(Erasure { erased, seq: bare.seq.0, done: None });
        *self = bare;
    }

    /// The slot stays, so that the others keep their numbers.
    fn forget_record(&mut self, record: RecordId) {
        self.conflicts.remove(&record);
        self.consents.forget_record(record);
        let Some(slot) = self.slot_of(record) else { return };
        self.replace_current(slot, None);
        let Some(at) = self.slots.get_mut(slot as usize) else { return };
        let past = std::mem::take(&mut at.past);
        *at = Slot { current: None, past: Arc::default(), entity: None, ..at.clone() };
        let keys = past.iter().filter_map(|one| one.put.as_ref()).map(|stored| &stored.key);
        for key in keys {
            self.drop_key_place(key, slot);
        }
    }

    /// Questions about a person, the answered ones included.
    fn forget_reviews(&mut self, erased: &Erased) {
        let records = &erased.records;
        let about = |pair: &crate::model::event::Edge| records.contains(&pair.a) || records.contains(&pair.b);
        let about = self.reviews.values().filter(|one| about(&one.pair)).map(|one| one.id);
        let ids: Vec<ReviewId> = about.chain(erased.reviews.iter().copied()).collect();
        for id in ids {
            let Some(review) = self.reviews.remove(&id) else { continue };
            if review.status.is_open() {
                self.reviews_open -= 1;
                self.ask_no_more(id, review.slots);
            }
        }
    }

    /// Why somebody merged them.
    fn forget_reasons(&mut self, records: &[RecordId]) {
        let about = |side: &[RecordId]| side.iter().any(|record| records.contains(record));
        let told = self.merges.iter().filter(|(_, merge)| {
            merge.merged.reason.is_some() && (about(&merge.merged.left) || about(&merge.merged.right))
        });
        let told: Vec<_> = told.map(|(id, _)| *id).collect();
        for id in told {
            if let Some(merge) = self.merges.get_mut(&id) {
                Arc::make_mut(merge).merged.reason = None;
            }
        }
    }

    fn forget_answers(&mut self, gone: &Gone) {
        let about = self.kept.iter().filter(|(_, kept)| gone.is_about(kept));
        let keys: Vec<Arc<str>> = about.map(|(key, _)| Arc::clone(key)).collect();
        for key in keys {
            self.kept.remove(&*key);
        }
    }

    fn forget_contact(&mut self, contact: EntityId, at: Millis, actor: &str) {
        self.references.forget(contact);
        self.consents.forget(contact);
        let related: Vec<EntityId> = self.relations.of_contact(contact).iter().map(|one| one.account).collect();
        for account in related {
            self.relations.deleted(&RelationDeleted { contact, account, at, actor: actor.to_owned() });
        }
        self.strip(contact, at, actor);
    }
}
