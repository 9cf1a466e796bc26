//! References of a tenant: which thing of another system points at which contact.
//!
//! A reference hangs on the contact id that it was registered under, its anchor, and on no record. So it is found under
//! whatever that id leads to: the survivor after a merge, the contact itself again after the undo. Nothing moves when
//! contacts merge or come apart.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::{ReferenceDeleted, ReferenceName, ReferencePut};
use crate::model::ids::EntityId;
use crate::store::shard::{Entity, Shard};

/// All references of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct References {
    by_name: PMap<ReferenceName, Arc<ReferencePut>>,
    /// Ascending by name.
    by_anchor: PMap<EntityId, Arc<Vec<Arc<ReferencePut>>>>,
}

impl References {
    /// One of them, as it was registered last.
    pub fn get(&self, name: &ReferenceName) -> Option<&Arc<ReferencePut>> {
        self.by_name.get(name)
    }

    /// Those registered under a contact id itself, ascending by name.
    pub fn under(&self, anchor: EntityId) -> &[Arc<ReferencePut>] {
        self.by_anchor.get(&anchor).map_or(&[], |list| list.as_slice())
    }

    /// All of them, in no special order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ReferencePut>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(in crate::store) fn put(&mut self, put: ReferencePut) {
        self.remove(&put.name);
        let put = Arc::new(put);
        let list = Arc::make_mut(self.by_anchor.entry_or_insert_with(&put.anchor, Arc::default));
        let at = list.partition_point(|other| other.name < put.name);
        list.insert(at, Arc::clone(&put));
        self.by_name.insert(put.name.clone(), put);
    }

    pub(in crate::store) fn deleted(&mut self, gone: &ReferenceDeleted) {
        self.remove(&gone.name);
    }

    /// Drops all that were registered under a contact id.
    pub(in crate::store) fn forget(&mut self, anchor: EntityId) {
        for put in self.under(anchor).to_vec() {
            self.remove(&put.name);
        }
    }

    fn remove(&mut self, name: &ReferenceName) {
        // A look first: taking something out that is not there would copy a path for nothing.
        let Some(anchor) = self.by_name.get(name).map(|old| old.anchor) else { return };
        self.by_name.remove(name);
        if let Some(list) = self.by_anchor.get_mut(&anchor) {
            Arc::make_mut(list).retain(|other| other.name != *name);
            if list.is_empty() {
                self.by_anchor.remove(&anchor);
            }
        }
    }
}

impl Shard {
    /// The contact that a reference points at now; it may be deleted or have lost its records.
    pub fn reference_holder(&self, name: &ReferenceName) -> Option<EntityId> {
        self.resolve_id(self.references.get(name)?.anchor)
    }

    /// The references of a contact, ascending by name: those registered under its id and under every id that leads to it.
    pub fn references_of(&self, entity: &Entity) -> Vec<Arc<ReferencePut>> {
        let mut found = self.references.under(entity.id).to_vec();
        if self.references.len() > found.len() {
            let mut queue = entity.absorbed.clone();
            while let Some(other) = queue.pop().and_then(|id| self.entity(id)) {
                found.extend_from_slice(self.references.under(other.id));
                queue.extend(&other.absorbed);
            }
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Millis;

    fn name(text: &str) -> ReferenceName {
        let (kind, external_id) = text.split_once('/').unwrap();
        ReferenceName { kind: kind.into(), external_id: external_id.into() }
    }

    #[test]
    fn a_reference_is_in_one_place() {
        let mut all = References::default();
        let put = |all: &mut References, text: &str, anchor: u128| {
            all.put(ReferencePut { name: name(text), anchor: EntityId(anchor), at: Millis(0), actor: "me".into() });
        };
        for (text, anchor) in [("lead/2", 1), ("lead/1", 1), ("deal/9", 1), ("lead/2", 2), ("lead/2", 2)] {
            put(&mut all, text, anchor);
        }
        let before = all.clone();
        let under = |all: &References, anchor: u128| -> Vec<String> {
            all.under(EntityId(anchor))
                .iter()
                .map(|put| format!("{}/{}", put.name.kind, put.name.external_id))
                .collect()
        };
        assert_eq!(under(&all, 1), ["deal/9", "lead/1"]);
        assert_eq!((under(&all, 2), all.len()), (vec!["lead/2".to_owned()], 3));
        let gone = |text: &str| ReferenceDeleted { name: name(text), at: Millis(0), actor: "me".into() };
        for text in ["lead/2", "lead/2", "lead/7"] {
            all.deleted(&gone(text));
        }
        assert_eq!((under(&all, 2).len(), all.get(&name("lead/2")), all.len()), (0, None, 2));
        assert_eq!((before.len(), under(&before, 2).len()), (3, 1), "a clone keeps what it saw");
    }
}
