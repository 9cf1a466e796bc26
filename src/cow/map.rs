//! A persistent hash map: a tree over the hash with small leaves.
//!
//! A leaf holds its entries in no order and is cut in two when it holds more than [`LEAF_MAX`] (unless the hash is used
//! up). Hashes are not kept: a leaf is cut once for many lookups, and keys are cheap to hash. An empty map allocates
//! nothing. Iteration order is a function of the hashes and of nothing a caller should rely on.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::cow::trie::{Leaf, Trie};

/// Entries from which a leaf is cut.
const LEAF_MAX: usize = 16;

/// A persistent map. `clone` is cheap and independent.
#[derive(Clone, Debug)]
pub struct PMap<K, V> {
    trie: Trie<Bucket<K, V>, 64>,
    len: usize,
}

/// Entries whose hashes begin alike.
#[derive(Debug)]
struct Bucket<K, V>(Option<Arc<Vec<(K, V)>>>);

impl<K, V> Clone for Bucket<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Bucket<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K, V> Bucket<K, V> {
    fn of(entries: Vec<(K, V)>) -> Self {
        Self((!entries.is_empty()).then(|| Arc::new(entries)))
    }

    fn entries(&self) -> &[(K, V)] {
        self.0.as_ref().map_or(&[], |entries| entries.as_slice())
    }
}

impl<K: Clone, V: Clone> Bucket<K, V> {
    fn entries_mut(&mut self) -> Option<&mut Vec<(K, V)>> {
        self.0.as_mut().map(Arc::make_mut)
    }

    fn insert(&mut self, key: K, value: V) -> Option<V>
    where
        K: Eq,
    {
        let shared = self.0.get_or_insert_default();
        if let Some(at) = shared.iter().position(|(one, _)| *one == key) {
            let (_, old) = Arc::make_mut(shared).get_mut(at)?;
            return Some(std::mem::replace(old, value));
        }
        // A leaf is written rarely and kept for long: no more memory than it needs, and never that of a copy without the entry.
        if let Some(entries) = Arc::get_mut(shared) {
            entries.reserve_exact(1);
            entries.push((key, value));
            return None;
        }
        let mut entries = Vec::with_capacity(shared.len() + 1);
        entries.extend(shared.iter().cloned());
        entries.push((key, value));
        *shared = Arc::new(entries);
        None
    }

    fn remove<Q: Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.entries().iter().position(|(one, _)| one.borrow() == key)?;
        let (_, old) = self.entries_mut()?.swap_remove(at);
        if self.entries().is_empty() {
            self.0 = None;
        }
        Some(old)
    }
}

impl<K: Hash + Clone, V: Clone> Leaf for Bucket<K, V> {
    fn is_over(&self, rest: u32) -> bool {
        self.entries().len() > LEAF_MAX && rest > 0
    }

    fn cut(&self, rest: u32) -> (Self, Self) {
        let high = |(key, _): &(K, V)| hash_of(key) >> (rest - 1) & 1 == 1;
        let part = |wanted: bool| {
            let mut entries: Vec<(K, V)> = self.entries().iter().filter(|one| high(one) == wanted).cloned().collect();
            entries.shrink_to_fit();
            Self::of(entries)
        };
        (part(false), part(true))
    }

    fn join(&self, right: &Self, _: u32) -> Option<Self> {
        let (left, right) = (self.entries(), right.entries());
        (left.len() + right.len() <= LEAF_MAX / 2).then(|| Self::of([left, right].concat()))
    }
}

fn hash_of<Q: Hash + ?Sized>(key: &Q) -> u64 {
    foldhash::quality::FixedState::with_seed(0x5e1f_5a3e).hash_one(key)
}

impl<K, V> Default for PMap<K, V> {
    fn default() -> Self {
        Self { trie: Trie::default(), len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> PMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (bucket, _) = self.trie.find(hash_of(key));
        bucket.entries().iter().find(|(one, _)| one.borrow() == key).map(|(_, value)| value)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed in place.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        // A key that is not there copies a path for nothing, which is rare and harmless.
        let entries = self.trie.find_mut(hash_of(key)).entries_mut()?;
        entries.iter_mut().find(|(one, _)| (*one).borrow() == key).map(|(_, value)| value)
    }

    /// Puts a value and returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.trie.grow(hash_of(&key), |bucket, _| bucket.insert(key, value));
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains_key(key) {
            return None;
        }
        let old = self.trie.shrink(hash_of(key), |bucket, _| bucket.remove(key));
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value of a key, made by `make` if it is not there.
    pub fn entry_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains_key(key) {
            self.insert(key.clone(), make());
        }
        self.get_mut(key).expect("the key was just put")
    }

    /// All entries, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.trie.leaves().flat_map(|(bucket, _, _)| bucket.entries()).map(|(key, value)| (key, value))
    }

    /// All values, in no useful order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }
}

#[cfg(test)]
mod tests {
    use super::PMap;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::hash::{Hash, Hasher};

    /// A key of which many have one hash.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Clumsy(u16);

    impl Hash for Clumsy {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (self.0 % 7).hash(state);
        }
    }

    proptest! {
        /// Any series of writes equals the standard map, and an earlier clone never changes.
        #[test]
        fn equals_the_standard_map(ops in prop::collection::vec((0u8..5, 0u16..300, any::<u32>()), 0..1500), cut in 0usize..800) {
            let mut ours = PMap::new();
            let mut theirs = HashMap::new();
            let mut kept = None;
            for (at, (what, key, value)) in ops.into_iter().enumerate() {
                if at == cut { kept = Some((ours.clone(), theirs.clone())); }
                match what {
                    0 | 1 => prop_assert_eq!(ours.remove(&key), theirs.remove(&key)),
                    2 => {
                        if let Some(one) = ours.get_mut(&key) { *one = value; }
                        if let Some(one) = theirs.get_mut(&key) { *one = value; }
                    }
                    _ => prop_assert_eq!(ours.insert(key, value), theirs.insert(key, value)),
                }
                prop_assert_eq!(ours.len(), theirs.len());
                prop_assert_eq!(ours.get(&(key / 2)), theirs.get(&(key / 2)));
            }
            for (ours, theirs) in std::iter::once((ours, theirs)).chain(kept) {
                let got: HashMap<u16, u32> = ours.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(ours.iter().count(), got.len());
                prop_assert_eq!(got, theirs);
            }
        }
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_and_what_is_empty_is_small() {
        let mut map = PMap::new();
        for key in 0..200 {
            assert_eq!(map.insert(Clumsy(key), key), None);
        }
        assert!((0..200).all(|key| map.get(&Clumsy(key)) == Some(&key)));
        assert!((0..200).all(|key| map.remove(&Clumsy(key)) == Some(key)));
        assert_eq!((map.len(), map.iter().count(), map.trie.leaves().count()), (0, 0, 1));
    }
}
