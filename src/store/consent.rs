//! Who may be found by whom: policies with their consent, blocks, sharing, opt-outs.
//!
//! All of it hangs on contact ids and moves nowhere when contacts merge: what counts for a contact is read off every id
//! that leads to it, the strictest word winning, so an undo gives each side its own again. A permission that was
//! given to a merged contact falls with the merge; a prohibition stays with every part. An opt-out is about records, too, so
//! that it follows them into whatever contact they are in, and about keyed tags of identifiers, so that somebody who comes
//! back is known. None of it ends an opt-out.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::consent::Findable;
use crate::model::event::{BlockSet, DirectoryUserSet, OptedOut, PolicySet, SharingSet, SuppressionRotated};
use crate::model::ids::{EntityId, Millis, RecordId};
use crate::store::apply::is_live;
use crate::store::shard::{Entity, Shard};

/// All of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Consents {
    policies: PMap<EntityId, Arc<Vec<Arc<PolicySet>>>>,
    by_book: PMap<String, EntityId>,
    sharing: PMap<EntityId, Arc<Vec<Arc<SharingSet>>>>,
    blocks: PMap<EntityId, Arc<Vec<Arc<BlockSet>>>>,
    out_contacts: PMap<EntityId, Millis>,
    out_records: PMap<RecordId, Millis>,
    tags: PMap<u128, ()>,
    generation: u32,
    users: PMap<EntityId, EntityId>,
    /// A policy was `mutual` once. Derived from the policies.
    has_mutual: bool,
}

impl Consents {
    /// Everything said about an id itself, oldest first.
    pub fn policies_of(&self, id: EntityId) -> &[Arc<PolicySet>] {
        self.policies.get(&id).map_or(&[], |list| list.as_slice())
    }

    /// Every id with its policies, in no special order.
    pub fn policies(&self) -> impl Iterator<Item = (&EntityId, &Arc<Vec<Arc<PolicySet>>>)> {
        self.policies.iter()
    }

    /// The contact whose address book a tenant is.
    pub fn owner_of(&self, book: &str) -> Option<EntityId> {
        self.by_book.get(book).copied()
    }

    /// The address books, each with the contact that named it last.
    pub fn books(&self) -> impl Iterator<Item = (&String, &EntityId)> {
        self.by_book.iter()
    }

    /// Sharing preferences of an id itself, oldest first.
    pub fn sharing_of(&self, id: EntityId) -> &[Arc<SharingSet>] {
        self.sharing.get(&id).map_or(&[], |list| list.as_slice())
    }

    /// Blocks by an id itself, those that hold no more included, ascending by whom they are against.
    pub fn blocks_of(&self, id: EntityId) -> &[Arc<BlockSet>] {
        self.blocks.get(&id).map_or(&[], |list| list.as_slice())
    }

    /// Whether anybody ever blocked anybody.
    pub fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Whether anybody ever wanted to be found by acquaintances only.
    pub fn has_mutual(&self) -> bool {
        self.has_mutual
    }

    /// When a record's person opted out.
    pub fn out_since(&self, record: RecordId) -> Option<Millis> {
        self.out_records.get(&record).copied()
    }

    /// Whether nobody opted out in a way that a newcomer could be known by.
    pub fn suppresses_nobody(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether an identifier's tag is one of somebody who opted out.
    pub fn suppresses(&self, tag: u128) -> bool {
        self.tags.contains_key(&tag)
    }

    /// All tags, ascending.
    pub fn suppressed(&self) -> Vec<u128> {
        let mut all: Vec<u128> = self.tags.iter().map(|(tag, ())| *tag).collect();
        all.sort_unstable();
        all
    }

    /// Number of the key that the tags are under, from 0.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The user of the directory that a contact id was last known to be.
    pub fn user_of(&self, contact: EntityId) -> Option<EntityId> {
        self.users.get(&contact).copied()
    }

    /// All known users: contact and user, in no special order.
    pub fn users(&self) -> impl Iterator<Item = (&EntityId, &EntityId)> {
        self.users.iter()
    }

    /// Whether no contact is known to be a user.
    pub fn has_no_users(&self) -> bool {
        self.users.is_empty()
    }

    pub(in crate::store) fn out_contacts(&self) -> impl Iterator<Item = (&EntityId, &Millis)> {
        self.out_contacts.iter()
    }

    pub(in crate::store) fn out_records(&self) -> impl Iterator<Item = (&RecordId, &Millis)> {
        self.out_records.iter()
    }

    pub(in crate::store) fn all_sharing(&self) -> impl Iterator<Item = (&EntityId, &Arc<Vec<Arc<SharingSet>>>)> {
        self.sharing.iter()
    }

    pub(in crate::store) fn all_blocks(&self) -> impl Iterator<Item = &Arc<BlockSet>> {
        self.blocks.values().flat_map(|list| list.iter())
    }

    pub(in crate::store) fn policy_set(&mut self, set: PolicySet) {
        let set = Arc::new(set);
        for id in &set.ids {
            self.put_policy(*id, Arc::clone(&set));
        }
    }

    pub(in crate::store) fn put_policy(&mut self, id: EntityId, set: Arc<PolicySet>) {
        if let (Some(book), Some(first)) = (&set.book, set.ids.first()) {
            self.by_book.insert(book.clone(), *first);
        }
        self.has_mutual |= set.policy == Findable::Mutual;
        Arc::make_mut(self.policies.entry_or_insert_with(&id, Arc::default)).push(set);
    }

    pub(in crate::store) fn sharing_set(&mut self, set: SharingSet) {
        let set = Arc::new(set);
        for id in &set.ids {
            self.put_sharing(*id, Arc::clone(&set));
        }
    }

    pub(in crate::store) fn put_sharing(&mut self, id: EntityId, set: Arc<SharingSet>) {
        Arc::make_mut(self.sharing.entry_or_insert_with(&id, Arc::default)).push(set);
    }

    pub(in crate::store) fn block_set(&mut self, set: BlockSet) {
        let list = Arc::make_mut(self.blocks.entry_or_insert_with(&set.blocker, Arc::default));
        match list.binary_search_by_key(&set.blocked, |one| one.blocked) {
            Ok(at) => list.splice(at..=at, [Arc::new(set)]).for_each(drop),
            Err(at) => list.insert(at, Arc::new(set)),
        }
    }

    pub(in crate::store) fn opted_out(&mut self, out: &OptedOut) {
        for contact in &out.contacts {
            self.out_contacts.entry_or_insert_with(contact, || out.at);
        }
        for record in &out.records {
            self.out_records.entry_or_insert_with(record, || out.at);
        }
        self.add_tags(&out.tags);
    }

    pub(in crate::store) fn add_tags(&mut self, tags: &[u128]) {
        for tag in tags {
            self.tags.insert(*tag, ());
        }
    }

    pub(in crate::store) fn suppression_rotated(&mut self, rotated: &SuppressionRotated) {
        (self.tags, self.generation) = (PMap::new(), rotated.generation);
        self.add_tags(&rotated.tags);
    }

    pub(in crate::store) fn user_set(&mut self, set: &DirectoryUserSet) {
        match set.user {
            Some(user) => drop(self.users.insert(set.contact, user)),
            None => drop(self.users.remove(&set.contact)),
        }
    }

    pub(in crate::store) fn restore_out(&mut self, whose: Result<EntityId, RecordId>, at: Millis) {
        match whose {
            Ok(contact) => drop(self.out_contacts.insert(contact, at)),
            Err(record) => drop(self.out_records.insert(record, at)),
        }
    }

    /// A tag of 0 stands for the generation alone.
    pub(in crate::store) fn restore_tag(&mut self, generation: u32, tag: u128) {
        self.generation = generation;
        if tag != 0 {
            self.tags.insert(tag, ());
        }
    }

    pub(in crate::store) fn restore_user(&mut self, contact: EntityId, user: EntityId) {
        self.users.insert(contact, user);
    }

    /// Drops what an id said; tags of identifiers stay.
    pub(in crate::store) fn forget(&mut self, contact: EntityId) {
        let books = self.policies_of(contact).iter().filter_map(|set| set.book.clone()).collect::<Vec<_>>();
        for book in books {
            if self.by_book.get(&book) == Some(&contact) {
                self.by_book.remove(&book);
            }
        }
        self.policies.remove(&contact);
        self.sharing.remove(&contact);
        self.blocks.remove(&contact);
        self.users.remove(&contact);
        self.out_contacts.remove(&contact);
        let against: Vec<EntityId> = self.blocks.iter().map(|(blocker, _)| *blocker).collect();
        for blocker in against {
            let Some(list) = self.blocks.get_mut(&blocker) else { continue };
            if list.iter().any(|one| one.blocked == contact) {
                Arc::make_mut(list).retain(|one| one.blocked != contact);
            }
            if list.is_empty() {
                self.blocks.remove(&blocker);
            }
        }
    }

    pub(in crate::store) fn forget_record(&mut self, record: RecordId) {
        self.out_records.remove(&record);
    }

    /// Whether nothing was ever said.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.sharing.is_empty()
            && self.blocks.is_empty()
            && self.out_contacts.is_empty()
            && self.out_records.is_empty()
            && self.tags.is_empty()
            && self.generation == 0
            && self.users.is_empty()
    }
}

/// What an id's history says while it is in a contact with the ids of `now`: its latest policy that was set for nobody who
/// is not here any more, or a stricter one that was set for more.
fn standing(history: &[Arc<PolicySet>], now: &[EntityId]) -> Findable {
    let whole = history.iter().rposition(|set| set.ids.iter().all(|id| now.contains(id)));
    let base = whole.and_then(|at| history.get(at)).map_or(Findable::Nobody, |set| set.policy);
    let later = history.get(whole.map_or(0, |at| at + 1)..).unwrap_or_default();
    later.iter().map(|set| set.policy).fold(base, Findable::min)
}

impl Shard {
    /// Who may find a contact: the strictest of what was set for the ids in it. One for which nothing was set asks for
    /// nothing where it was merged into one that was, and means nobody where all are like it.
    pub fn findable(&self, entity: &Entity) -> Findable {
        if self.is_opted_out(entity) {
            return Findable::Nobody;
        }
        if entity.absorbed.is_empty() {
            return standing(self.consents.policies_of(entity.id), &[entity.id]);
        }
        let ids = self.ids_behind(entity);
        let said = ids.iter().map(|id| self.consents.policies_of(*id)).filter(|history| !history.is_empty());
        said.map(|history| standing(history, &ids)).min().unwrap_or_default()
    }

    /// Whether a contact's person left discovery and suggestions for good.
    pub fn is_opted_out(&self, entity: &Entity) -> bool {
        let consents = &self.consents;
        if consents.out_contacts.is_empty() && consents.out_records.is_empty() {
            return false;
        }
        let of_record =
            |slot: &u32| self.slot(*slot).is_some_and(|at| consents.out_records.contains_key(&at.record_id));
        entity.members.iter().chain(&entity.manual).any(of_record)
            || consents.out_contacts.contains_key(&entity.id)
            || !entity.absorbed.is_empty()
                && self.ids_behind(entity).iter().any(|id| consents.out_contacts.contains_key(id))
    }

    /// When a contact's person left discovery and suggestions for good: the first time, if there are several.
    pub fn opted_out_at(&self, entity: &Entity) -> Option<Millis> {
        let slots = entity.members.iter().chain(&entity.manual);
        let records = slots.filter_map(|slot| self.consents.out_records.get(&self.slot(*slot)?.record_id));
        let ids = self.ids_behind(entity);
        records.chain(ids.iter().filter_map(|id| self.consents.out_contacts.get(id))).min().copied()
    }

    /// Whether one contact does not want to be seen by another.
    pub fn is_blocked(&self, blocker: &Entity, blocked: &Entity) -> bool {
        if self.consents.blocks.is_empty() {
            return false;
        }
        let others = self.ids_behind(blocked);
        let holds = |one: &Arc<BlockSet>| one.holds && others.contains(&one.blocked);
        self.ids_behind(blocker).iter().any(|id| self.consents.blocks_of(*id).iter().any(holds))
    }

    /// The address book of a contact: the tenant that was named last for any id in it.
    pub fn book_of(&self, entity: &Entity) -> Option<String> {
        let ids = self.ids_behind(entity);
        let all = ids.iter().flat_map(|id| self.consents.policies_of(*id));
        all.max_by_key(|set| set.at).and_then(|set| set.book.clone())
    }

    /// The live contact that may be told to `asker` where an id is found, or `None`: it is gone or restricted, nobody may find it, the
    /// asker may not, or they may find each other only if it has the asker in its book, which `holds` says of a book's
    /// tenant and the asker. Without an asker only those whom everyone may find are told.
    pub fn discoverable(
        &self,
        contact: EntityId,
        asker: Option<&Entity>,
        holds: &dyn Fn(&str, &Entity) -> bool,
    ) -> Option<EntityId> {
        let id = self.resolve_id(contact)?;
        let entity = self.entity(id).filter(|entity| is_live(entity) && !self.is_restricted(entity))?;
        let told = match (self.findable(entity), asker) {
            (Findable::Nobody, _) => false,
            (Findable::Everyone, None) => true,
            (Findable::Mutual, None) => false,
            (policy, Some(asker)) => {
                !self.is_blocked(entity, asker)
                    && (policy == Findable::Everyone || self.book_of(entity).is_some_and(|book| holds(&book, asker)))
            }
        };
        told.then_some(id)
    }

    /// Who of a contact's fields sees what: field and audience, ascending. Where ids in it say different things of a field,
    /// nobody sees it.
    pub fn shared_fields(&self, entity: &Entity) -> Vec<(String, String)> {
        let ids = self.ids_behind(entity);
        let all: Vec<&Arc<SharingSet>> = ids.iter().filter_map(|id| self.consents.sharing_of(*id).last()).collect();
        let Some((first, others)) = all.split_first() else { return Vec::new() };
        let agreed = |one: &&(String, String)| others.iter().all(|set| set.fields.contains(one));
        first.fields.iter().filter(agreed).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u128], policy: Findable) -> Arc<PolicySet> {
        let ids = ids.iter().map(|id| EntityId(*id)).collect();
        Arc::new(PolicySet { ids, policy, book: None, consent: None, at: Millis(0), actor: "me".into() })
    }

    #[test]
    fn a_permission_falls_with_the_merge_and_a_prohibition_stays() {
        use Findable::{Everyone, Mutual, Nobody};
        let ids = |ids: &[u128]| ids.iter().map(|id| EntityId(*id)).collect::<Vec<_>>();
        let (alone, both) = (ids(&[1]), ids(&[1, 2]));
        assert_eq!(standing(&[], &alone), Nobody);
        let given = [set(&[1], Mutual), set(&[1, 2], Everyone)];
        assert_eq!((standing(&given, &both), standing(&given, &alone)), (Everyone, Mutual));
        let taken = [set(&[1], Everyone), set(&[1, 2], Nobody)];
        assert_eq!((standing(&taken, &both), standing(&taken, &alone)), (Nobody, Nobody));
        let again = [set(&[1], Everyone), set(&[1, 2], Nobody), set(&[1], Everyone)];
        assert_eq!(standing(&again, &alone), Everyone);
    }
}
