//! Which slot a record is in, by its id and by its source's key. Only a hash of either is kept, in 64 bits; what has the
//! hash is looked at in its slot, so two that share one are told apart.

use std::hash::{BuildHasher, Hash, Hasher};

use rayon::prelude::*;

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
        self.key().is_some_and(|own| own == key)
    }

    /// The key of the record whose place it is.
    fn key(&self) -> Option<&RecordKey> {
        self.past.iter().rev().find_map(|past| past.put.as_ref()).map(|put| &put.key)
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

    /// Notes where the records from a slot on are, of which none has a place yet: once for many, on all cores.
    pub(in crate::store) fn put_places(&mut self, from: u32) {
        let slots = || (from..).zip(self.slots.iter_from(from as usize));
        let mut ids: Vec<(u64, u64)> = slots().map(|(at, slot)| (hash_of_id(slot.record_id), u64::from(at))).collect();
        let mut keys: Vec<(u64, u64)> =
            slots().filter_map(|(at, slot)| Some((hash_of_key(slot.key()?), u64::from(at)))).collect();
        rayon::join(|| ids.par_sort_unstable(), || keys.par_sort_unstable());
        self.by_id.slots.extend_sorted(&ids, usize::MAX);
        // A key that was put anew after an erasure, or one of the same hash, is looked at closely.
        let is_alone =
            |run: &[(u64, u64)]| run.len() == 1 && run.iter().all(|(key, _)| self.by_key.slots.get(*key).is_empty());
        let (alone, others): (Vec<_>, Vec<_>) = keys.chunk_by(|a, b| a.0 == b.0).partition(|run| is_alone(run));
        self.by_key.slots.extend_sorted(&alone.concat(), usize::MAX);
        let mut others: Vec<u64> = others.concat().into_iter().map(|(_, slot)| slot).collect();
        others.sort_unstable();
        for at in others.into_iter().filter_map(|at| u32::try_from(at).ok()) {
            if let Some(key) = self.slot(at).and_then(Slot::key).cloned() {
                self.put_key_place(&key, at);
            }
        }
    }

    /// A key is in a slot no more.
    pub(in crate::store) fn drop_key_place(&mut self, key: &RecordKey, slot: u32) {
        self.by_key.slots.remove(hash_of_key(key), u64::from(slot));
    }
}
