//! A persistent hash map: a 16-way trie over the hash, with small leaves.
//!
//! Lookups walk four bits of the hash a level until a leaf, then compare hashes. A leaf splits when it
//! holds more than [`LEAF_MAX`] entries (unless the hash is used up). Iteration order is a function of
//! the hashes and of nothing a caller should rely on.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Entries from which a leaf splits.
const LEAF_MAX: usize = 16;
/// Bits of the hash that one level uses.
const BITS: u32 = 4;
/// Levels after which the hash is used up.
const DEPTH_MAX: u32 = 64 / BITS;

/// A persistent map. `clone` is cheap and independent.
#[derive(Clone, Debug)]
pub struct PMap<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(Vec<(u64, K, V)>),
    Branch(Box<[Arc<Node<K, V>>; 16]>),
}

fn hash_of<Q: Hash + ?Sized>(key: &Q) -> u64 {
    foldhash::quality::FixedState::with_seed(0x5e1f_5a3e).hash_one(key)
}

fn slot(hash: u64, depth: u32) -> usize {
    ((hash >> (depth * BITS)) & 0xF) as usize
}

impl<K, V> Default for PMap<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
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
        let hash = hash_of(key);
        let mut node = &*self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(entries) => {
                    return entries.iter().find(|(h, k, _)| *h == hash && k.borrow() == key).map(|(_, _, v)| v);
                }
                Node::Branch(children) => {
                    node = children.get(slot(hash, depth))?;
                    depth += 1;
                }
            }
        }
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
        let hash = hash_of(key);
        let mut node = Arc::make_mut(&mut self.root);
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(entries) => {
                    return entries.iter_mut().find(|(h, k, _)| *h == hash && (*k).borrow() == key).map(|(_, _, v)| v);
                }
                Node::Branch(children) => {
                    node = Arc::make_mut(children.get_mut(slot(hash, depth))?);
                    depth += 1;
                }
            }
        }
    }

    /// Puts a value and returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = hash_of(&key);
        let old = insert(Arc::make_mut(&mut self.root), 0, (hash, key, value));
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
        let hash = hash_of(key);
        let mut node = Arc::make_mut(&mut self.root);
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.iter().position(|(h, k, _)| *h == hash && k.borrow() == key)?;
                    self.len -= 1;
                    return Some(entries.swap_remove(at).2);
                }
                Node::Branch(children) => {
                    node = Arc::make_mut(children.get_mut(slot(hash, depth))?);
                    depth += 1;
                }
            }
        }
    }

    /// The value of a key, made by `make` if it is not there.
    pub fn entry_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains_key(key) {
            self.insert(key.clone(), make());
        }
        self.get_mut(key).expect("the key was just put")
    }

    /// All entries, in no useful order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { stack: vec![&self.root], leaf: [].iter() }
    }

    /// All values, in no useful order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }
}

fn insert<K: Hash + Eq + Clone, V: Clone>(mut node: &mut Node<K, V>, mut depth: u32, entry: (u64, K, V)) -> Option<V> {
    loop {
        if let Node::Leaf(entries) = node {
            if let Some(found) = entries.iter_mut().find(|(h, k, _)| *h == entry.0 && *k == entry.1) {
                return Some(std::mem::replace(&mut found.2, entry.2));
            }
            if entries.len() < LEAF_MAX || depth >= DEPTH_MAX {
                entries.push(entry);
                return None;
            }
            let full = std::mem::take(entries);
            *node = split(full, depth);
        }
        let Node::Branch(children) = node else { unreachable!("a full leaf was split above") };
        let child = children.get_mut(slot(entry.0, depth)).expect("four bits choose among sixteen");
        node = Arc::make_mut(child);
        depth += 1;
    }
}

fn split<K, V>(entries: Vec<(u64, K, V)>, depth: u32) -> Node<K, V> {
    let mut parts: [Vec<(u64, K, V)>; 16] = std::array::from_fn(|_| Vec::new());
    for entry in entries {
        parts.get_mut(slot(entry.0, depth)).expect("four bits choose among sixteen").push(entry);
    }
    Node::Branch(Box::new(parts.map(|part| Arc::new(Node::Leaf(part)))))
}

/// Iterator over a [`PMap`].
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    stack: Vec<&'a Arc<Node<K, V>>>,
    leaf: std::slice::Iter<'a, (u64, K, V)>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((_, key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match &**self.stack.pop()? {
                Node::Leaf(entries) => self.leaf = entries.iter(),
                Node::Branch(children) => self.stack.extend(children.iter().rev()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PMap;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Any series of writes equals the standard map, and an earlier clone never changes.
        #[test]
        fn equals_the_standard_map(ops in prop::collection::vec((any::<bool>(), 0u16..300, any::<u32>()), 0..800), cut in 0usize..800) {
            let mut ours = PMap::new();
            let mut theirs = HashMap::new();
            let mut kept = None;
            for (at, (put, key, value)) in ops.into_iter().enumerate() {
                if at == cut { kept = Some((ours.clone(), theirs.clone())); }
                if put {
                    prop_assert_eq!(ours.insert(key, value), theirs.insert(key, value));
                } else {
                    prop_assert_eq!(ours.remove(&key), theirs.remove(&key));
                }
                prop_assert_eq!(ours.len(), theirs.len());
            }
            for (ours, theirs) in std::iter::once((ours, theirs)).chain(kept) {
                let got: HashMap<u16, u32> = ours.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(got, theirs);
            }
        }
    }
}
