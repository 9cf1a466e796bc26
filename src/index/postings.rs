//! Who holds a key: for every blocking key the slots of the records that carry it, and how many people they are.
//!
//! Most keys have one holder, who stands in the posting itself: a writer copies the postings beside the one it changes,
//! and such a copy follows no pointer. A posting of up to [`SMALL_MAX`] holders is a sorted array; a longer one (a
//! switchboard, a robot) is a persistent map, so that one more holder of a hundred thousand costs no copy. People are
//! counted up to that length only: a key with more holders proposes nobody and is generic anyway.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::key::Key;

/// Holders up to which a posting is an array. Not below any tenant's `holders_max` (at most 64).
pub const SMALL_MAX: usize = 64;

/// All postings of one tenant. Clones are cheap and independent.
#[derive(Clone, Debug, Default)]
pub struct Postings {
    map: PMap<Key, Posting>,
}

/// The holders of one key.
#[derive(Clone, Debug)]
pub enum Posting {
    /// `(slot, given code)` of the only one.
    One((u32, u32)),
    /// `(slot, given code)`, ascending by slot.
    Small(Arc<[(u32, u32)]>),
    /// Slot to given code.
    Large(PMap<u32, u32>),
}

impl Posting {
    /// How many records hold the key.
    pub fn holders(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Small(entries) => entries.len(),
            Self::Large(map) => map.len(),
        }
    }

    /// How many people they are; `u32::MAX` when there are too many to count.
    pub fn people(&self) -> u32 {
        match self {
            Self::One((_, code)) => u32::from(*code != 0),
            Self::Small(entries) => people(entries.iter().map(|(_, code)| *code)),
            Self::Large(_) => u32::MAX,
        }
    }

    /// Whether any holder is like this. In no order.
    pub fn any(&self, mut like: impl FnMut(u32) -> bool) -> bool {
        match self {
            Self::One((slot, _)) => like(*slot),
            Self::Small(entries) => entries.iter().any(|(slot, _)| like(*slot)),
            Self::Large(map) => map.iter().any(|(slot, _)| like(*slot)),
        }
    }

    /// Adds the slots of the holders whose code is like this, ascending.
    pub fn select(&self, like: impl Fn(u32) -> bool, out: &mut Vec<u32>) {
        let from = out.len();
        match self {
            Self::One((slot, code)) => out.extend(like(*code).then_some(*slot)),
            Self::Small(entries) => out.extend(entries.iter().filter(|(_, code)| like(*code)).map(|(slot, _)| *slot)),
            Self::Large(map) => {
                out.extend(map.iter().filter(|(_, code)| like(**code)).map(|(slot, _)| *slot));
                if let Some(added) = out.get_mut(from..) {
                    added.sort_unstable();
                }
            }
        }
    }

    /// All holders, ascending by slot.
    pub fn entries(&self) -> Vec<(u32, u32)> {
        match self {
            Self::One(entry) => vec![*entry],
            Self::Small(entries) => entries.to_vec(),
            Self::Large(map) => {
                let mut entries: Vec<_> = map.iter().map(|(slot, code)| (*slot, *code)).collect();
                entries.sort_unstable();
                entries
            }
        }
    }
}

/// Distinct given-name codes; 0 (no given name) counts for nobody.
pub fn people(codes: impl Iterator<Item = u32>) -> u32 {
    let mut seen: smallvec::SmallVec<[u32; 16]> = smallvec::SmallVec::new();
    for code in codes {
        if code != 0 && !seen.contains(&code) {
            seen.push(code);
        }
    }
    u32::try_from(seen.len()).unwrap_or(u32::MAX)
}

impl Postings {
    /// The posting of a key, if anybody holds it.
    pub fn get(&self, key: Key) -> Option<&Posting> {
        self.map.get(&key)
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Adds a holder.
    pub fn add(&mut self, key: Key, slot: u32, code: u32) {
        match self.map.get_mut(&key) {
            Some(Posting::Large(map)) => {
                map.insert(slot, code);
            }
            Some(posting) => *posting = with(&posting.entries(), slot, code),
            None => {
                self.map.insert(key, Posting::One((slot, code)));
            }
        }
    }

    /// Takes a holder away.
    pub fn remove(&mut self, key: Key, slot: u32) {
        let next = match self.map.get_mut(&key) {
            None => return,
            Some(Posting::Large(map)) => {
                map.remove(&slot);
                if map.len() > SMALL_MAX {
                    return;
                }
                let mut entries: Vec<_> = map.iter().map(|(slot, code)| (*slot, *code)).collect();
                entries.sort_unstable();
                entries
            }
            Some(Posting::Small(entries)) => entries.iter().copied().filter(|(at, _)| *at != slot).collect(),
            Some(Posting::One(entry)) => std::iter::once(*entry).filter(|(at, _)| *at != slot).collect(),
        };
        match next.as_slice() {
            [] => self.map.remove(&key),
            [one] => self.map.insert(key, Posting::One(*one)),
            _ => self.map.insert(key, Posting::Small(next.into())),
        };
    }
}

fn with(entries: &[(u32, u32)], slot: u32, code: u32) -> Posting {
    let mut next: Vec<(u32, u32)> = Vec::with_capacity(entries.len() + 1);
    next.extend(entries.iter().filter(|(at, _)| *at != slot));
    let at = next.partition_point(|(other, _)| *other < slot);
    next.insert(at, (slot, code));
    if let [one] = next.as_slice() {
        return Posting::One(*one);
    }
    if next.len() <= SMALL_MAX {
        return Posting::Small(next.into());
    }
    let mut map = PMap::new();
    for (slot, code) in next {
        map.insert(slot, code);
    }
    Posting::Large(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Postings equal a plain map through growth past the small form and back.
        #[test]
        fn equals_a_plain_map(ops in prop::collection::vec((any::<bool>(), 0u32..100, 0u32..5), 0..500)) {
            let key = Key(1);
            let mut postings = Postings::default();
            let mut plain = BTreeMap::new();
            for (add, slot, code) in ops {
                if add { postings.add(key, slot, code); plain.insert(slot, code); }
                else { postings.remove(key, slot); plain.remove(&slot); }
                let got = postings.get(key).map(Posting::entries).unwrap_or_default();
                prop_assert_eq!(got, plain.iter().map(|(s, c)| (*s, *c)).collect::<Vec<_>>());
                if plain.len() <= SMALL_MAX && !plain.is_empty() {
                    let mut codes: Vec<_> = plain.values().filter(|c| **c != 0).collect();
                    codes.sort_unstable();
                    codes.dedup();
                    prop_assert_eq!(postings.get(key).unwrap().people() as usize, codes.len());
                }
            }
        }
    }
}
