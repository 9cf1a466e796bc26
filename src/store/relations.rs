//! Who belongs to which business: what was registered, and an index of what records say.
//!
//! A relation hangs on the contact id and the account id that it was registered under. So it is found under whatever those
//! lead to: after a merge of accounts the survivor has the people of both, after the undo each has its own again. Nothing
//! moves when contacts or accounts merge or come apart. Where several relations meet that way, the one put last
//! counts and the others come back with the undo.
//!
//! Beside them, `affiliations` of the shard says which records of people have a mail address at a domain or
//! name an account, so that a business finds its people without looking at all of them.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::{RecordPut, RelationDeleted, RelationPut};
use crate::model::ids::EntityId;
use crate::model::key::{Key, KeyKind};
use crate::normalize::domain::registrable;
use crate::store::shard::{Entity, Shard};

/// All relations of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    by_contact: PMap<EntityId, Arc<Vec<Arc<RelationPut>>>>,
    by_account: PMap<EntityId, Arc<Vec<Arc<RelationPut>>>>,
    count: usize,
}

impl Relations {
    /// Those registered under a contact id itself, ascending by account.
    pub fn of_contact(&self, anchor: EntityId) -> &[Arc<RelationPut>] {
        self.by_contact.get(&anchor).map_or(&[], |list| list.as_slice())
    }

    /// Those registered under an account id itself, ascending by contact.
    pub fn of_account(&self, anchor: EntityId) -> &[Arc<RelationPut>] {
        self.by_account.get(&anchor).map_or(&[], |list| list.as_slice())
    }

    /// All of them, in no special order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RelationPut>> {
        self.by_contact.values().flat_map(|list| list.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(in crate::store) fn put(&mut self, put: RelationPut) {
        let put = Arc::new(put);
        let (contact, account) = (put.contact, put.account);
        let new = replace(&mut self.by_contact, contact, |one| one.account, account, Some(Arc::clone(&put)));
        replace(&mut self.by_account, account, |one| one.contact, contact, Some(put));
        self.count += usize::from(new.is_none());
    }

    pub(in crate::store) fn deleted(&mut self, gone: &RelationDeleted) {
        let old = replace(&mut self.by_contact, gone.contact, |one| one.account, gone.account, None);
        replace(&mut self.by_account, gone.account, |one| one.contact, gone.contact, None);
        self.count -= usize::from(old.is_some());
    }
}

/// Puts, replaces or takes away the relation under `at` whose other end is `other`. Returns what was there.
fn replace(
    map: &mut PMap<EntityId, Arc<Vec<Arc<RelationPut>>>>,
    at: EntityId,
    end: impl Fn(&RelationPut) -> EntityId,
    other: EntityId,
    next: Option<Arc<RelationPut>>,
) -> Option<Arc<RelationPut>> {
    if next.is_none() && !map.contains_key(&at) {
        return None;
    }
    let list = Arc::make_mut(map.entry_or_insert_with(&at, Arc::default));
    let place = list.binary_search_by_key(&other, |one| end(one));
    let old = match (place, next) {
        (Ok(place), Some(next)) => list.splice(place..=place, [next]).next(),
        (Ok(place), None) => Some(list.remove(place)),
        (Err(place), Some(next)) => {
            list.insert(place, next);
            None
        }
        (Err(_), None) => None,
    };
    if list.is_empty() {
        map.remove(&at);
    }
    old
}

/// The key under which a person's mail at a registrable domain is found.
pub fn mail_domain_key(domain: &str) -> Key {
    Key::new(KeyKind::Domain, 1, &[domain])
}

/// The key under which a record that names an account by this text is found; `source` is the record's, since sources
/// know accounts by ids of their own.
pub fn named_account_key(source: &str, account: &str) -> Key {
    Key::new(KeyKind::ExternalId, 1, &[source, account])
}

/// The same for an account id of ours, whoever names it.
pub fn account_id_key(account: EntityId) -> Key {
    Key::new(KeyKind::ExternalId, 2, &[&account.to_string()])
}

/// Registrable domains of a record's mail addresses that can be delivered to; free-mail domains as of its put are left
/// out.
pub fn mail_domains(put: &RecordPut) -> Vec<String> {
    let mut found = Vec::new();
    for email in put.normalized.emails.iter().filter(|email| email.valid && !email.free) {
        if let Some(domain) = registrable(&email.domain)
            && !found.contains(&domain)
        {
            found.push(domain);
        }
    }
    found
}

/// What a person's record is found by when a business looks for its people.
pub(in crate::store) fn affiliation_keys(put: &RecordPut) -> Vec<Key> {
    let mut keys: Vec<Key> = mail_domains(put).iter().map(|domain| mail_domain_key(domain)).collect();
    if let Some(account) = put.record.fields.account_id.as_deref().map(str::trim).filter(|id| !id.is_empty()) {
        keys.push(named_account_key(&put.record.key.source, account));
        keys.extend(account.parse().ok().map(account_id_key));
    }
    keys
}

impl Shard {
    /// An id and every id that leads to it, in no special order.
    pub fn ids_behind(&self, entity: &Entity) -> Vec<EntityId> {
        let mut found = vec![entity.id];
        let mut queue = entity.absorbed.clone();
        while let Some(other) = queue.pop().and_then(|id| self.entity(id)) {
            found.push(other.id);
            queue.extend(&other.absorbed);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Millis;

    #[test]
    fn a_relation_is_found_from_both_ends_and_only_once() {
        let mut all = Relations::default();
        let put = |contact: u128, account: u128, role: &str| RelationPut {
            contact: EntityId(contact),
            account: EntityId(account),
            role: Some(role.to_owned()),
            since: None,
            until: None,
            primary: false,
            at: Millis(0),
            actor: "me".into(),
        };
        for (contact, account, role) in [(1, 9, "a"), (1, 8, "b"), (2, 9, "c"), (1, 9, "d")] {
            all.put(put(contact, account, role));
        }
        let roles =
            |list: &[Arc<RelationPut>]| list.iter().map(|one| one.role.clone().unwrap()).collect::<Vec<_>>().concat();
        assert_eq!(
            (roles(all.of_contact(EntityId(1))), roles(all.of_account(EntityId(9)))),
            ("bd".into(), "dc".into())
        );
        assert_eq!((all.len(), all.iter().count()), (3, 3));
        let before = all.clone();
        let gone = |contact, account| RelationDeleted {
            contact: EntityId(contact),
            account: EntityId(account),
            at: Millis(0),
            actor: "me".into(),
        };
        for (contact, account) in [(1, 9), (1, 9), (7, 7), (2, 8)] {
            all.deleted(&gone(contact, account));
        }
        assert_eq!((roles(all.of_contact(EntityId(1))), roles(all.of_account(EntityId(9)))), ("b".into(), "c".into()));
        assert_eq!((all.len(), before.len()), (2, 3), "a clone keeps what it saw");
    }
}
