//! What stays of an event when people are erased: the same event with everything of theirs blanked.
//!
//! Ids, weights, times and actors stay, since the rest of the state hangs on them: replaying the blanked events gives the
//! state that the erasure left. Texts that people wrote about the erased (reasons, notes, roles) and keys of callers go
//! with them. Every event is noted before the first is blanked, for what one says of another: which review is about whom,
//! whose a reference's name is.

use std::collections::{HashMap, HashSet};

use crate::model::account::Business;
use crate::model::event::{
    AnswerKept, Erased, Event, Judged, RecordPut, ReferenceDeleted, ReferenceName, ReferencePut, RelationPut, Resolved,
};
use crate::model::ids::{EntityId, RecordId, RecordKey, ReviewId};
use crate::model::normalized::Normalized;
use crate::model::record::{Fields, Record};

/// Whom to blank, in one tenant.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    contacts: HashSet<EntityId>,
    records: HashSet<RecordId>,
    reviews: HashSet<ReviewId>,
    keys: HashSet<String>,
    references: HashMap<ReferenceName, Anchor>,
}

/// Under whom a reference's name was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// One contact, whenever it was; and the name's number.
    One(EntityId, usize),
    /// Several, one after the other: the name is not one person's.
    Several,
}

impl Gone {
    /// Adds what an erasure names.
    pub fn add(&mut self, erased: &Erased) {
        self.contacts.extend(&erased.contacts);
        self.records.extend(&erased.records);
        self.reviews.extend(&erased.reviews);
    }

    /// Whether there is nobody to blank.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.records.is_empty() && self.reviews.is_empty()
    }

    /// Takes in what an event says of others. To be called with all events, in order, before [`Gone::redact`].
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds say nothing of one another")]
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Resolved(resolved) | Event::AccountsResolved(resolved) => {
                let about = resolved.reviews.iter().filter(|one| self.has_any(&[one.pair.a, one.pair.b]));
                let about: Vec<ReviewId> = about.map(|one| one.review_id).collect();
                self.reviews.extend(about);
            }
            Event::ReviewChanged(changed) | Event::AccountReviewChanged(changed)
                if self.has_any(&[changed.pair.a, changed.pair.b]) =>
            {
                self.reviews.insert(changed.review_id);
            }
            Event::AnswerKept(kept) if self.is_about(kept) => {
                self.keys.insert(kept.key.clone());
            }
            Event::ReferencePut(put) => {
                let (anchor, number) = (put.anchor, self.references.len());
                let at = self.references.entry(put.name.clone()).or_insert(Anchor::One(anchor, number));
                if !matches!(at, Anchor::One(one, _) if *one == anchor) {
                    *at = Anchor::Several;
                }
            }
            _ => {}
        }
    }

    /// What to write in an event's place; `None`: it says nothing about the erased, or nothing any more.
    #[must_use]
    pub fn redact(&self, event: Event) -> Option<Event> {
        let blanked = self.blanked(event.clone());
        (blanked != event).then_some(blanked)
    }

    fn has_any(&self, records: &[RecordId]) -> bool {
        records.iter().any(|record| self.records.contains(record))
    }

    #[expect(clippy::too_many_lines, reason = "an arm for every kind, so that a new one is thought about")]
    fn blanked(&self, event: Event) -> Event {
        match event {
            Event::RecordPut(put) if self.records.contains(&put.record_id) => Event::RecordPut(Box::new(blank(*put))),
            Event::AccountPut(mut account) if self.records.contains(&account.put.record_id) => {
                account.put = blank(account.put);
                account.business = Business::default();
                Event::AccountPut(account)
            }
            Event::Resolved(resolved) => Event::Resolved(Box::new(self.resolved(*resolved))),
            Event::AccountsResolved(resolved) => Event::AccountsResolved(Box::new(self.resolved(*resolved))),
            Event::Judged(judged) => Event::Judged(self.judged(judged)),
            Event::AccountsJudged(judged) => Event::AccountsJudged(self.judged(judged)),
            Event::ReviewDecided(mut decided) if self.reviews.contains(&decided.review_id) => {
                decided.reason = None;
                Event::ReviewDecided(decided)
            }
            Event::AccountReviewDecided(mut decided) if self.reviews.contains(&decided.review_id) => {
                decided.reason = None;
                Event::AccountReviewDecided(decided)
            }
            Event::ReviewNoted(mut noted) if self.reviews.contains(&noted.review_id) => {
                (noted.assignee, noted.note) = (None, None);
                Event::ReviewNoted(noted)
            }
            Event::AnswerKept(kept) => Event::AnswerKept(self.answer(kept)),
            Event::RemarksKept(mut kept) if self.keys.contains(&kept.key) => {
                (kept.key, kept.remarks) = (NO_KEY.to_owned(), Vec::new());
                Event::RemarksKept(kept)
            }
            Event::ReferencePut(put) => Event::ReferencePut(ReferencePut { name: self.name(put.name), ..put }),
            Event::ReferenceDeleted(gone) => {
                Event::ReferenceDeleted(ReferenceDeleted { name: self.name(gone.name), ..gone })
            }
            Event::RelationPut(put) if self.contacts.contains(&put.contact) => {
                Event::RelationPut(RelationPut { role: None, since: None, until: None, ..put })
            }
            Event::Restricted(mut restricted)
                if self.contacts.contains(&restricted.contact) || self.has_any(&restricted.records) =>
            {
                restricted.reason = None;
                Event::Restricted(restricted)
            }
            Event::IdentifierChecked(mut checked) if self.records.contains(&checked.record_id) => {
                (checked.identifier, checked.detail) = (String::new(), String::new());
                Event::IdentifierChecked(checked)
            }
            Event::PolicySet(mut set) if set.ids.iter().any(|id| self.contacts.contains(id)) => {
                if let Some(consent) = &mut set.consent {
                    consent.actor = String::new();
                }
                set.book = None;
                Event::PolicySet(set)
            }
            other @ (Event::PolicySet(_)
            | Event::RecordPut(_)
            | Event::AccountPut(_)
            | Event::ReviewDecided(_)
            | Event::AccountReviewDecided(_)
            | Event::ReviewNoted(_)
            | Event::RemarksKept(_)
            | Event::RelationPut(_)
            | Event::Restricted(_)
            | Event::IdentifierChecked(_)) => other,
            // Ids, times and what concerns the tenant as a whole.
            other @ (Event::TenantCreated(_)
            | Event::SettingsSet(_)
            | Event::RecordDeleted(_)
            | Event::JudgementWithdrawn(_)
            | Event::MergeUndone(_)
            | Event::EntityMarked(_)
            | Event::ModelPart(_)
            | Event::ModelTrained(_)
            | Event::ModelActivated(_)
            | Event::WebhookPut(_)
            | Event::WebhookDeleted(_)
            | Event::WebhookDelivered(_)
            | Event::DeliveryDied(_)
            | Event::DeliveryWanted(_)
            | Event::DeliverySettled(_)
            | Event::WebhookDisabled(_)
            | Event::OprfBegun(_)
            | Event::OprfSpent(_)
            | Event::SurvivorshipSet(_)
            | Event::GoldenChanged(_)
            | Event::AccountRecordDeleted(_)
            | Event::AccountJudgementWithdrawn(_)
            | Event::AccountMergeUndone(_)
            | Event::ReviewChanged(_)
            | Event::AccountReviewChanged(_)
            | Event::AccountMarked(_)
            | Event::RelationDeleted(_)
            | Event::FreeMailRefused(_)
            | Event::ConflictFound(_)
            | Event::ConflictSettled(_)
            | Event::GroupPut(_)
            | Event::GroupDeleted(_)
            | Event::KeyRotated(_)
            | Event::QuotaReserved(_)
            | Event::Erased(_)
            | Event::ErasureDone(_)
            | Event::TenantErased(_)
            | Event::Accessed(_)
            | Event::TenantGone(_)
            | Event::RetentionSet(_)
            | Event::PrivacySet(_)
            | Event::DiscoverySet(_)
            | Event::BlockSet(_)
            | Event::SharingSet(_)
            | Event::OptedOut(_)
            | Event::SuppressionRotated(_)
            | Event::DirectoryUserSet(_)
            | Event::ApiKeyPut(_)
            | Event::ApiKeyRotated(_)
            | Event::ApiKeyRevoked(_)
            | Event::ApiKeyUsed(_)
            | Event::Acted(_)) => other,
        }
    }

    /// Takes away why somebody merged the erased.
    fn resolved(&self, mut resolved: Resolved) -> Resolved {
        for merged in &mut resolved.merges {
            if self.has_any(&merged.left) || self.has_any(&merged.right) {
                merged.reason = None;
            }
        }
        resolved
    }

    fn judged(&self, judged: Judged) -> Judged {
        let reason = judged.reason.filter(|_| !self.has_any(&judged.left) && !self.has_any(&judged.right));
        Judged { reason, ..judged }
    }

    /// An answer that names the erased keeps its ids, which the erasure drops again, and loses the caller's key.
    fn answer(&self, kept: AnswerKept) -> AnswerKept {
        if !self.is_about(&kept) {
            return kept;
        }
        AnswerKept { key: NO_KEY.to_owned(), body: [0; 32], remarks: Vec::new(), ..kept }
    }

    /// Whether an answer names the erased.
    pub fn is_about(&self, kept: &AnswerKept) -> bool {
        kept.answer.iter().any(|one| {
            one.record.is_some_and(|record| self.records.contains(&record))
                || one.contact.iter().chain(&one.affected).any(|contact| self.contacts.contains(contact))
        })
    }

    /// References of the erased get a name that nothing else has. One that another contact had, too, keeps its own.
    fn name(&self, name: ReferenceName) -> ReferenceName {
        match self.references.get(&name) {
            Some(Anchor::One(anchor, number)) if self.contacts.contains(anchor) && name.kind != NO_KEY => {
                ReferenceName { kind: NO_KEY.to_owned(), external_id: format!("{anchor} {number}") }
            }
            Some(_) | None => name,
        }
    }
}

/// Stands for the key of an answer about the erased, and for the kind of their references.
const NO_KEY: &str = "erased";

/// The same put with nothing in it. Its key is one that no source gives, so that it meets no other record.
fn blank(put: RecordPut) -> RecordPut {
    let RecordPut { record_id, record, received_at, actor, stale, anchor, .. } = put;
    let key = RecordKey { source: record.key.source, source_record_id: record_id.to_string().into() };
    RecordPut {
        record_id,
        record: Record { key, source_updated_at: None, version: None, fields: Fields::default() },
        normalized: Normalized::default(),
        content_hash: 0,
        received_at,
        actor,
        stale,
        anchor,
        suppressed: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Edge, KeptOutcome, Merged, RemarksKept, ReviewDecided, ReviewOpened};
    use crate::model::ids::{MergeId, Millis};
    use crate::model::key::Millibits;

    fn put(record: u128, name: &str) -> Event {
        let fields = Fields { name: Some(name.into()), ..Fields::default() };
        let key = RecordKey { source: "crm".into(), source_record_id: name.into() };
        Event::RecordPut(Box::new(RecordPut {
            record_id: RecordId(record),
            record: Record { key, source_updated_at: None, version: Some(3), fields },
            normalized: Normalized::default(),
            content_hash: 7,
            received_at: Millis(1),
            actor: "api".into(),
            stale: false,
            anchor: None,
            suppressed: vec![("emails".into(), "x@example.com".into())],
        }))
    }

    fn gone() -> Gone {
        let mut gone = Gone::default();
        let (contacts, records, reviews) = (vec![EntityId(10)], vec![RecordId(1)], Vec::new());
        let (erase_id, at, actor) = (crate::model::ids::EraseId(5), Millis(9), "dpo".to_owned());
        gone.add(&Erased { erase_id, contacts, records, reviews, at, actor });
        gone
    }

    fn kept(key: &str, contact: u128) -> Event {
        let outcome = KeptOutcome {
            outcome: 0,
            contact: Some(EntityId(contact)),
            record: None,
            merge: None,
            weight: None,
            affected: Vec::new(),
        };
        let (body, answer, remarks) = ([1; 32], vec![outcome], Vec::new());
        Event::AnswerKept(AnswerKept { key: key.into(), body, answer, shape: 0, at: Millis(1), remarks })
    }

    #[test]
    fn only_the_erased_are_blanked_and_only_once() {
        let gone = gone();
        let blanked = gone.redact(put(1, "Canary Zyx")).unwrap();
        assert!(!format!("{blanked:?}").contains("Canary") && !format!("{blanked:?}").contains("example"));
        assert_eq!(gone.redact(blanked), None, "what is blank already needs no new frame");
        assert_eq!(gone.redact(put(2, "Somebody Else")), None);
    }

    #[test]
    fn what_was_said_of_the_erased_goes_with_them() {
        let mut gone = gone();
        let (at, actor) = (Millis(1), "steward".to_owned());
        let pair = |a, b| Edge { a: RecordId(a), b: RecordId(b), weight: Millibits(5) };
        let opened =
            |id, a, b| ReviewOpened { review_id: ReviewId(id), pair: pair(a, b), support: Millibits(1), vetoed: false };
        let merged = |left| Merged {
            merge_id: MergeId(1),
            survivor: EntityId(9),
            loser: EntityId(8),
            left: vec![RecordId(left)],
            right: vec![RecordId(3)],
            pair: None,
            reason: Some("her aunt said so".into()),
            judgement: None,
        };
        let resolved = Resolved {
            reviews: vec![opened(20, 1, 2), opened(21, 2, 3)],
            merges: vec![merged(1), merged(2)],
            ..Resolved::default()
        };
        gone.note(&Event::Resolved(Box::new(resolved.clone())));
        let Some(Event::Resolved(after)) = gone.redact(Event::Resolved(Box::new(resolved.clone()))) else { panic!() };
        assert_eq!((after.merges[0].reason.is_some(), after.merges[1].reason.is_some()), (false, true));
        assert_eq!((after.reviews.len(), after.merges[0].left.clone()), (2, resolved.merges[0].left.clone()));
        let decided = |id| {
            let (review_id, decision, reason) = (ReviewId(id), 1, Some("asked her".to_owned()));
            Event::ReviewDecided(ReviewDecided { review_id, decision, at, actor: actor.clone(), reason })
        };
        assert!(gone.redact(decided(20)).is_some() && gone.redact(decided(21)).is_none());
    }

    #[test]
    fn keys_of_answers_and_names_of_references_go_and_those_of_others_stay() {
        let mut gone = gone();
        let remarks = |key: &str| Event::RemarksKept(RemarksKept { key: key.into(), remarks: Vec::new() });
        gone.note(&kept("mary@example.com", 10));
        gone.note(&kept("other", 11));
        assert!(gone.redact(kept("mary@example.com", 10)).is_some() && gone.redact(kept("other", 11)).is_none());
        assert!(gone.redact(remarks("mary@example.com")).is_some() && gone.redact(remarks("other")).is_none());
        let put = |id: &str, anchor| {
            let name = ReferenceName { kind: "lead".into(), external_id: id.into() };
            let (at, actor) = (Millis(1), "api".to_owned());
            ReferencePut { name, anchor: EntityId(anchor), at, actor }
        };
        for (id, anchor) in [("hers", 10), ("shared", 11), ("shared", 10), ("theirs", 12)] {
            gone.note(&Event::ReferencePut(put(id, anchor)));
        }
        let Some(Event::ReferencePut(blank)) = gone.redact(Event::ReferencePut(put("hers", 10))) else { panic!() };
        let deleted = ReferenceDeleted { name: put("hers", 10).name, at: Millis(1), actor: "api".into() };
        let Some(Event::ReferenceDeleted(after)) = gone.redact(Event::ReferenceDeleted(deleted)) else { panic!() };
        assert_eq!(blank.name, after.name);
        gone.note(&Event::ReferencePut(blank.clone()));
        assert_eq!(gone.redact(Event::ReferencePut(blank)), None);
        for (id, anchor) in [("shared", 11), ("shared", 10), ("theirs", 12)] {
            assert_eq!(gone.redact(Event::ReferencePut(put(id, anchor))), None);
        }
    }
}
