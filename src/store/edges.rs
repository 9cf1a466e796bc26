//! The edges between records: pairs that are alike enough for a question at least, with their weight.

use rayon::prelude::*;

use crate::cow::Packed;
use crate::model::key::Millibits;

/// The edges of a tenant, by either slot. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    /// Slot, its bits in reverse as its lowest bits differ most, to other slot and weight.
    ends: Packed<32>,
}

fn key(slot: u32) -> u64 {
    u64::from(slot.reverse_bits())
}

fn pack(other: u32, weight: Millibits) -> u64 {
    u64::from(other) << 32 | u64::from(weight.0.cast_unsigned())
}

fn unpack(end: u64) -> (u32, Millibits) {
    let [w0, w1, w2, w3, o0, o1, o2, o3] = end.to_le_bytes();
    (u32::from_le_bytes([o0, o1, o2, o3]), Millibits(i32::from_le_bytes([w0, w1, w2, w3])))
}

impl Edges {
    /// The edges of a slot: other slot and weight, ascending by the other.
    pub fn of(&self, slot: u32) -> impl ExactSizeIterator<Item = (u32, Millibits)> + Clone + '_ {
        self.ends.get(key(slot)).iter().map(unpack)
    }

    /// The weight of the edge between two slots, if there is one.
    pub fn weight(&self, a: u32, b: u32) -> Option<Millibits> {
        self.of(a).find(|(other, _)| *other == b).map(|(_, weight)| weight)
    }

    /// Sets the weight of an edge; `None`: there is none.
    pub fn set(&mut self, a: u32, b: u32, weight: Option<Millibits>) {
        let old = self.weight(a, b);
        if old == weight {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            if let Some(old) = old {
                self.ends.remove(key(from), pack(to, old));
            }
            if let Some(weight) = weight {
                self.ends.insert(key(from), pack(to, weight));
            }
        }
    }

    /// Sets the weights of many edges that are not there yet: once for many, on all cores.
    pub fn add_all(&mut self, edges: impl Iterator<Item = (u32, u32, Millibits)>) {
        let both = edges.flat_map(|(a, b, weight)| [(key(a), pack(b, weight)), (key(b), pack(a, weight))]);
        let mut ends: Vec<(u64, u64)> = both.collect();
        ends.par_sort_unstable();
        ends.dedup();
        self.ends.extend_sorted(&ends, usize::MAX);
    }

    /// All edges, each once, with the smaller slot first; in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, Millibits)> {
        self.both_ways().filter(|(a, b, _)| a < b)
    }

    /// All edges from either end; in no order.
    pub fn both_ways(&self) -> impl Iterator<Item = (u32, u32, Millibits)> {
        self.ends.iter().map(|(slot, end)| {
            let (other, weight) = unpack(end);
            (u32::try_from(slot).unwrap_or(u32::MAX).reverse_bits(), other, weight)
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Edges equal a plain map of ordered pairs, whatever is set and taken away.
        #[test]
        fn equal_a_plain_map(ops in prop::collection::vec((0u32..30, 0u32..30, prop::option::of(any::<i32>())), 0..600)) {
            let (mut edges, mut plain) = (Edges::default(), BTreeMap::new());
            for (a, b, weight) in ops.into_iter().filter(|(a, b, _)| a != b) {
                edges.set(a, b, weight.map(Millibits));
                match weight {
                    Some(weight) => drop(plain.insert((a.min(b), a.max(b)), Millibits(weight))),
                    None => drop(plain.remove(&(a.min(b), a.max(b)))),
                }
            }
            let mut all: Vec<_> = edges.iter().map(|(a, b, weight)| ((a, b), weight)).collect();
            all.sort_unstable();
            prop_assert_eq!(edges.len(), plain.len());
            prop_assert_eq!(all, plain.clone().into_iter().collect::<Vec<_>>());
            let mut at_once = Edges::default();
            at_once.add_all(plain.iter().map(|((a, b), weight)| (*a, *b, *weight)));
            prop_assert!(at_once.both_ways().eq(edges.both_ways()));
            for slot in 0..30 {
                let of = |((a, b), weight): (&(u32, u32), &Millibits)| match slot {
                    _ if *a == slot => Some((*b, *weight)),
                    _ if *b == slot => Some((*a, *weight)),
                    _ => None,
                };
                let mut want: Vec<_> = plain.iter().filter_map(of).collect();
                want.sort_unstable();
                prop_assert_eq!(edges.of(slot).collect::<Vec<_>>(), want);
                prop_assert_eq!(edges.weight(slot, 7), plain.get(&(slot.min(7), slot.max(7))).copied());
            }
        }
    }
}
