//! The blocking keys of one record, in little memory: eight bytes and a half a key, in one piece.

use crate::model::key::{Key, KeyKind};

/// Kinds that one word holds, four bits each.
const KINDS_A_WORD: usize = 16;

/// Keys with their kinds, ascending by key, each once.
///
/// In memory: the keys, then their kinds, [`KINDS_A_WORD`] to a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Box<[u64]>);

impl KeySet {
    /// From keys in any order; of equal ones that with the first kind counts.
    pub fn new(mut keys: Vec<(Key, KeyKind)>) -> Self {
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        let mut words: Vec<u64> = Vec::with_capacity(keys.len() + keys.len().div_ceil(KINDS_A_WORD));
        words.extend(keys.iter().map(|(key, _)| key.0));
        words.extend(keys.chunks(KINDS_A_WORD).map(|chunk| {
            chunk.iter().enumerate().fold(0, |word, (at, (_, kind))| word | u64::from(number(*kind)) << (at * 4))
        }));
        Self(words.into())
    }

    /// As it is kept in memory.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// From [`KeySet::words`].
    pub fn from_words(words: Box<[u64]>) -> Self {
        Self(words)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        // Of n keys and the words of their kinds, n is the share that keys have of a full group.
        self.0.len() * KINDS_A_WORD / (KINDS_A_WORD + 1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is among them.
    pub fn has(&self, key: Key) -> bool {
        self.keys().binary_search(&key.0).is_ok()
    }

    /// All, ascending by key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, KeyKind)> + Clone + '_ {
        let (keys, kinds) = self.0.split_at(self.len());
        keys.iter().enumerate().map(move |(at, key)| {
            let word = kinds.get(at / KINDS_A_WORD).copied().unwrap_or(0);
            (Key(*key), kind(word >> (at % KINDS_A_WORD * 4) & 0xF))
        })
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() * 8
    }

    fn keys(&self) -> &[u64] {
        self.0.get(..self.len()).unwrap_or_default()
    }
}

fn number(kind: KeyKind) -> u8 {
    match kind {
        KeyKind::Email => 1,
        KeyKind::Phone => 2,
        KeyKind::ExternalId => 3,
        KeyKind::Handle => 4,
        KeyKind::Domain => 5,
        KeyKind::Narrow => 6,
        KeyKind::Compound => 7,
    }
}

fn kind(number: u64) -> KeyKind {
    match number {
        1 => KeyKind::Email,
        2 => KeyKind::Phone,
        3 => KeyKind::ExternalId,
        4 => KeyKind::Handle,
        5 => KeyKind::Domain,
        6 => KeyKind::Narrow,
        _ => KeyKind::Compound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KINDS: [KeyKind; 7] = [
        KeyKind::Email,
        KeyKind::Phone,
        KeyKind::ExternalId,
        KeyKind::Handle,
        KeyKind::Domain,
        KeyKind::Narrow,
        KeyKind::Compound,
    ];

    proptest! {
        /// A set of keys is a sorted map of them, whatever their number.
        #[test]
        fn equals_a_sorted_map(given in prop::collection::vec((0u64..90, 0usize..7), 0..80), asked in 0u64..90) {
            let mut plain: BTreeMap<Key, KeyKind> = BTreeMap::new();
            let given: Vec<(Key, KeyKind)> = given.into_iter().map(|(key, kind)| (Key(key << 33), KINDS[kind])).collect();
            for (key, kind) in &given {
                let known = plain.entry(*key).or_insert(*kind);
                *known = (*kind).min(*known);
            }
            let set = KeySet::new(given);
            prop_assert_eq!(set.len(), plain.len());
            prop_assert_eq!(set.is_empty(), plain.is_empty());
            prop_assert_eq!(set.has(Key(asked << 33)), plain.contains_key(&Key(asked << 33)));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), plain.into_iter().collect::<Vec<_>>());
        }
    }
}
