//! Which slot a record is in, by its id and by its source's key. Only a hash of either is kept, in 64 bits; what has the
//! hash is looked at in its slot, so two that share one are told apart.

use std::hash::{BuildHasher, Hash, Hasher};

use crate::cow::Packed;
use crate::model::ids::{RecordId, RecordKey};
use crate::store::shard::{Shard, Slot};

/// Slots by a hash. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Places {
    slots: Packed<64>,
}

impl Places {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn of(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        self.slots.get(hash).iter().map(|slot| u32::try_from(slot).unwrap_or(u32::MAX))
    }
}

/// Ids are ours, so any hash does.
fn hash_of_id(record: RecordId) -> u64 {
    foldhash::quality::FixedState::with_seed(0x51_07).hash_one(record)
}

/// Keys are the callers': they are not to find many of one hash.
fn hash_of_key(key: &RecordKey) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Slot {
    /// Whether it is the place of a record of this key. What was erased has none.
    fn has_key(&self, key: &RecordKey) -> bool {
        let put = self.past.iter().rev().find_map(|past| past.put.as_ref());
        put.is_some_and(|put| put.key == *key)
    }
}

impl Shard {
    /// The slot of a record.
    pub fn slot_of(&self, record: RecordId) -> Option<u32> {
        let is_it = |slot: &u32| self.slot(*slot).is_some_and(|at| at.record_id == record);
        self.by_id.of(hash_of_id(record)).find(is_it)
    }

    /// The slot of a record by its source's key.
    pub fn slot_of_key(&self, key: &RecordKey) -> Option<u32> {
        self.by_key.of(hash_of_key(key)).find(|slot| self.slot(*slot).is_some_and(|at| at.has_key(key)))
    }

    /// Notes where a record is.
    pub(in crate::store) fn put_place(&mut self, record: RecordId, slot: u32) {
        self.by_id.slots.insert(hash_of_id(record), u64::from(slot));
    }

    /// Notes where a key is from now on.
    pub(in crate::store) fn put_key_place(&mut self, key: &RecordKey, slot: u32) {
        if let Some(old) = self.slot_of_key(key) {
            self.drop_key_place(key, old);
        }
        self.by_key.slots.insert(hash_of_key(key), u64::from(slot));
    }

    /// A key is in a slot no more.
    pub(in crate::store) fn drop_key_place(&mut self, key: &RecordKey, slot: u32) {
        self.by_key.slots.remove(hash_of_key(key), u64::from(slot));
    }
}
