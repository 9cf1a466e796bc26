//! Who is restricted, and what was found out about identifiers by asking others.
//!
//! A restriction lies on records, not on contact ids: wherever a restricted record goes (merge, undo, split) its contact is
//! restricted, and a contact is so as soon as one of its records is. The records of one restriction are walled in: resolution
//! sees no pair of one of them and a record outside, so nobody joins them and they join nobody. That makes the partition a
//! function of the records, the judgements and the walls, as before of the first two.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::{IdentifierChecked, Restricted};
use crate::model::ids::{EntityId, Millis, RecordId, Seq};
use crate::store::shard::{Entity, Shard};

/// Restrictions and checks of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// The restricted records, each with the contact that it was restricted under.
    walls: PMap<RecordId, EntityId>,
    /// Every restriction and its end, by the contact id it was asked for under, oldest first.
    moments: PMap<EntityId, Arc<Vec<Moment>>>,
    /// The latest of each check, by record.
    checks: PMap<RecordId, Arc<Vec<Check>>>,
}

/// A restriction or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which event.
    pub seq: Seq,
    /// Restricted, else free again.
    pub restricted: bool,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// What one check found out about an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A canonical email or an E.164 number.
    pub identifier: String,
    /// Which check.
    pub kind: CheckKind,
    /// Whether the identifier is good.
    pub good: bool,
    /// A word that says more.
    pub detail: String,
    /// When it was asked.
    pub at: Millis,
}

/// Whom we ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CheckKind {
    /// The domain name system: whether the domain takes mail.
    Mx = 0,
    /// A validator over HTTP.
    Validator = 1,
}

impl CheckKind {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Validator => "validator",
        }
    }

    /// From its number on disk; unknown ones read as the validator.
    pub fn from_number(number: u8) -> Self {
        if number == 0 { Self::Mx } else { Self::Validator }
    }
}

impl Privacy {
    /// Whether nobody is restricted: the quick answer on the way of every pair.
    pub fn is_open(&self) -> bool {
        self.walls.is_empty()
    }

    /// The wall that a record is behind.
    pub fn wall_of(&self, record: RecordId) -> Option<EntityId> {
        self.walls.get(&record).copied()
    }

    /// Whether a wall stands between two records.
    pub fn is_between(&self, a: RecordId, b: RecordId) -> bool {
        !self.is_open() && self.wall_of(a) != self.wall_of(b)
    }

    /// All walled records, in no special order.
    pub fn walls(&self) -> impl Iterator<Item = (&RecordId, &EntityId)> {
        self.walls.iter()
    }

    /// What was asked for under a contact id, oldest first.
    pub fn moments(&self, contact: EntityId) -> &[Moment] {
        self.moments.get(&contact).map_or(&[], |list| list.as_slice())
    }

    /// The same of all contacts, in no special order.
    pub fn all_moments(&self) -> impl Iterator<Item = (&EntityId, &Arc<Vec<Moment>>)> {
        self.moments.iter()
    }

    /// What was found out about a record's identifiers.
    pub fn checks(&self, record: RecordId) -> &[Check] {
        self.checks.get(&record).map_or(&[], |list| list.as_slice())
    }

    /// The same of all records, in no special order.
    pub fn all_checks(&self) -> impl Iterator<Item = (&RecordId, &Arc<Vec<Check>>)> {
        self.checks.iter()
    }

    pub(in crate::store) fn wall(&mut self, record: RecordId, contact: EntityId) {
        self.walls.insert(record, contact);
    }

    pub(in crate::store) fn note(&mut self, contact: EntityId, moment: Moment) {
        Arc::make_mut(self.moments.entry_or_insert_with(&contact, Arc::default)).push(moment);
    }

    /// Keeps what a check found out; `held` says which identifiers the record still has.
    pub(in crate::store) fn check(&mut self, record: RecordId, check: Check, held: impl Fn(&str) -> bool) {
        let list = Arc::make_mut(self.checks.entry_or_insert_with(&record, Arc::default));
        list.retain(|one| (one.identifier != check.identifier || one.kind != check.kind) && held(&one.identifier));
        list.push(check);
    }

    pub(in crate::store) fn restore_checks(&mut self, record: RecordId, checks: Vec<Check>) {
        self.checks.insert(record, Arc::new(checks));
    }

    /// Forgets everything about a person.
    pub(in crate::store) fn forget(&mut self, contacts: &[EntityId], records: &[RecordId]) {
        for record in records {
            if self.walls.contains_key(record) {
                self.walls.remove(record);
            }
            if self.checks.contains_key(record) {
                self.checks.remove(record);
            }
        }
        for contact in contacts {
            if self.moments.contains_key(contact) {
                self.moments.remove(contact);
            }
        }
    }
}

impl Shard {
    /// Whether a contact is stored only: one of its records, or an edit by hand, is restricted.
    pub fn is_restricted(&self, entity: &Entity) -> bool {
        if self.privacy.is_open() || self.is_of_accounts {
            return false;
        }
        let walled = |slot: &u32| self.slot(*slot).is_some_and(|at| self.privacy.wall_of(at.record_id).is_some());
        entity.members.iter().any(walled) || self.manual_slots(entity).iter().any(walled)
    }

    /// The same of an id, following redirects. An unknown one is not.
    pub fn is_restricted_id(&self, contact: EntityId) -> bool {
        if self.privacy.is_open() {
            return false;
        }
        self.resolve_id(contact).and_then(|id| self.entity(id)).is_some_and(|entity| self.is_restricted(entity))
    }

    /// Whether a record is stored only.
    pub fn is_restricted_slot(&self, slot: u32) -> bool {
        !self.privacy.is_open()
            && self.slot(slot).and_then(|at| at.entity).is_some_and(|contact| self.is_restricted_id(contact))
    }

    /// Puts a restriction in force or ends it. The contact's entry in the feed comes with it.
    pub(in crate::store) fn put_restriction(&mut self, set: Restricted, seq: Seq) {
        let Restricted { contact, records, restricted, reason, at, actor } = set;
        for record in records {
            if restricted {
                self.privacy.wall(record, contact);
            } else if self.privacy.walls.contains_key(&record) {
                self.privacy.walls.remove(&record);
            }
        }
        self.privacy.note(contact, Moment { seq, restricted, reason, at, actor });
    }

    /// Keeps what was found out, if the record still has the identifier.
    pub(in crate::store) fn put_check(&mut self, checked: IdentifierChecked) {
        let IdentifierChecked { record_id, identifier, check, verdict, detail, at } = checked;
        let Some(version) = self.slot_of(record_id).and_then(|slot| self.slot(slot)?.current.clone()) else { return };
        let normalized = version.stored.put().normalized;
        let held = |one: &str| {
            normalized.emails.iter().any(|email| email.canonical == one)
                || normalized.phones.iter().any(|phone| phone.e164 == one)
        };
        if held(&identifier) {
            let check = Check { identifier, kind: CheckKind::from_number(check), good: verdict == 0, detail, at };
            self.privacy.check(record_id, check, held);
        }
    }
}
