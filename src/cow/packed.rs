//! A persistent map from numbers to small sets of numbers, a few bytes an entry.
//!
//! A million contacts have tens of millions of blocking keys, so what an entry takes decides what the index takes. Keys are
//! hashes already, spread evenly: the tree branches by their own bits, and a leaf keeps only the bytes of a key that the way
//! to the leaf does not tell. The number beside it takes as many bytes as the largest of the leaf. Entries lie side by side
//! in ascending order in one piece of memory of exactly their size, so a writer copies some hundred bytes and a reader finds
//! a key where its share of the numbers says it should be.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::cow::trie::{Leaf, Node, Trie, mask};

/// Bytes of entries from which a leaf is cut. More than 64 entries of one key, so that keys of that many are told apart.
const LEAF_BYTES_MAX: usize = 1280;
/// Pairs that are put into a leaf one by one rather than with all of it read and written anew.
const FEW_MAX: usize = 6;
/// Bytes behind the entries: whatever is read is read as eight.
const PAD: usize = 8;

/// Numbers of `WIDTH` bits and, for each, a set of numbers. `clone` is cheap and independent.
#[derive(Clone, Debug, Default)]
pub struct Packed<const WIDTH: u32> {
    trie: Trie<Entries, WIDTH>,
    len: usize,
}

impl<const WIDTH: u32> Packed<WIDTH> {
    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a key has.
    pub fn get(&self, key: u64) -> Run<'_> {
        let (leaf, rest) = self.trie.find(key);
        leaf.view(rest).run(key)
    }

    /// Adds a number to those of a key. False: it was there.
    pub fn insert(&mut self, key: u64, value: u64) -> bool {
        let added = self.trie.grow(key, |leaf, rest| leaf.insert(key, value, rest));
        self.len += usize::from(added);
        added
    }

    /// Takes a number from those of a key. False: it was not there.
    pub fn remove(&mut self, key: u64, value: u64) -> bool {
        if !self.get(key).iter().any(|one| one == value) {
            return false;
        }
        self.trie.shrink(key, |leaf, rest| leaf.remove(key, value, rest));
        self.len -= 1;
        true
    }

    /// All pairs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.trie.leaves().flat_map(|(leaf, prefix, rest)| {
            let view = leaf.view(rest);
            view.iter().map(move |(key, value)| (prefix | key, value))
        })
    }

    /// Adds pairs that are not there yet, ascending, each once: much faster than one by one where they are many.
    pub fn extend_sorted(&mut self, pairs: &[(u64, u64)]) {
        debug_assert!(pairs.is_sorted_by(|a, b| a < b));
        self.len += pairs.len();
        if let Some((_, root)) = extend(self.trie.root_mut(), WIDTH, pairs, (0, 0)).pop() {
            self.trie = Trie::of(root);
        }
    }
}

/// Nodes side by side, each with the first value that it stands for.
type Parts = Vec<(u32, Node<Entries>)>;

/// A tree of ascending pairs.
fn build(pairs: &[(u64, u64)], rest: u32) -> Node<Entries> {
    if fits(pairs, rest) {
        return Node::Leaf(Entries::of(pairs.iter().copied(), rest));
    }
    let mut parts = Parts::new();
    build_parts(pairs, rest, (0, 4), &mut parts);
    Node::branch(parts)
}

/// The nodes for the `1 << wide` values from `start` on.
fn build_parts(pairs: &[(u64, u64)], rest: u32, (start, wide): (u32, u32), out: &mut Parts) {
    if fits(pairs, rest) {
        return out.push((start, Node::Leaf(Entries::of(pairs.iter().copied(), rest))));
    }
    if wide == 0 {
        return out.push((start, build(pairs, rest)));
    }
    let (left, right) = pairs.split_at(pairs.partition_point(|(key, _)| key >> (rest - 1) & 1 == 0));
    build_parts(left, rest - 1, (start, wide - 1), out);
    build_parts(right, rest - 1, (start + (1 << (wide - 1)), wide - 1), out);
}

/// Whether pairs are one leaf. Filled to three quarters, so that the first that comes later does not cut it.
fn fits(pairs: &[(u64, u64)], rest: u32) -> bool {
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return true };
    let value_bytes = pairs.iter().take(LEAF_BYTES_MAX).map(|(_, value)| bytes_of(*value)).max().unwrap_or(0);
    first.0 == last.0 || rest == 0 || pairs.len() * (key_bytes(rest) + value_bytes) <= LEAF_BYTES_MAX / 4 * 3
}

/// Adds pairs to a node that stands for the `1 << wide` values from `start` on. The nodes that do so now, where they have
/// become several.
fn extend(node: &mut Node<Entries>, rest: u32, pairs: &[(u64, u64)], (start, wide): (u32, u32)) -> Parts {
    let places: SmallVec<[(u32, u32); 16]> = node.places().collect();
    match node {
        Node::Leaf(leaf) => extend_leaf(leaf, rest, pairs, (start, wide)),
        Node::Branch { children, .. } => {
            let (mut left, mut several) = (pairs, Vec::new());
            for (at, ((start, wide), child)) in places.iter().copied().zip(Arc::make_mut(children)).enumerate() {
                let end = u64::from(start) + (1 << wide);
                let (here, later) = left.split_at(left.partition_point(|(key, _)| (key >> (rest - 4) & 0xF) < end));
                left = later;
                let parts =
                    if here.is_empty() { Parts::new() } else { extend(child, rest - 4 + wide, here, (start, wide)) };
                several.extend((!parts.is_empty()).then_some((at, parts)));
            }
            if !several.is_empty() {
                let mut all: Vec<Parts> =
                    places.iter().zip(children.iter()).map(|(p, c)| vec![(p.0, c.clone())]).collect();
                for (at, parts) in several {
                    if let Some(old) = all.get_mut(at) {
                        *old = parts;
                    }
                }
                *node = Node::branch(all.into_iter().flatten().collect());
            }
            Parts::new()
        }
    }
}

fn extend_leaf(leaf: &mut Entries, rest: u32, pairs: &[(u64, u64)], place: (u32, u32)) -> Parts {
    if pairs.len() <= FEW_MAX {
        for (key, value) in pairs {
            leaf.insert(*key, *value, rest);
        }
        if !leaf.is_over(rest) {
            return Parts::new();
        }
    }
    let more = if pairs.len() <= FEW_MAX { &[] } else { pairs };
    let prefix = pairs.first().map_or(0, |(key, _)| key & !mask(rest));
    let old = leaf.view(rest).iter().map(|(key, value)| (prefix | key, value));
    let mut all: Vec<(u64, u64)> = old.chain(more.iter().copied()).collect();
    all.sort_unstable();
    *leaf = Entries::of(all.iter().copied(), rest);
    let mut parts = Parts::new();
    if leaf.is_over(rest) {
        build_parts(&all, rest, place, &mut parts);
    }
    parts
}

/// Bytes that the open bits of a key take. At least one, so that entries have a size.
fn key_bytes(rest: u32) -> usize {
    rest.div_ceil(8).max(1) as usize
}

/// Bytes that a number takes.
fn bytes_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).div_ceil(8) as usize
}

/// A leaf's entries: the open bytes of each key and the number beside it, ascending, then [`PAD`].
#[derive(Clone, Debug, Default)]
struct Entries {
    bytes: Arc<[u8]>,
    value_bytes: u8,
}

/// What a leaf is built in: on the stack.
type Buffer = SmallVec<[u8; 0x800]>;

impl Entries {
    fn of(pairs: impl Iterator<Item = (u64, u64)> + Clone, rest: u32) -> Self {
        let value_bytes = pairs.clone().map(|(_, value)| bytes_of(value)).max().unwrap_or(0);
        Self::with_width(pairs, rest, value_bytes)
    }

    fn with_width(pairs: impl Iterator<Item = (u64, u64)>, rest: u32, value_bytes: usize) -> Self {
        let mut out = Buffer::new();
        for (key, value) in pairs {
            push(&mut out, key & mask(rest), key_bytes(rest));
            push(&mut out, value, value_bytes);
        }
        if !out.is_empty() {
            out.extend_from_slice(&[0; PAD]);
        }
        Self { bytes: Arc::from(out.as_slice()), value_bytes: u8::try_from(value_bytes).unwrap_or(8) }
    }

    fn view(&self, rest: u32) -> View<'_> {
        let (key_bytes, value_bytes) = (key_bytes(rest), usize::from(self.value_bytes));
        let stride = key_bytes + value_bytes;
        let len = self.bytes.len().saturating_sub(PAD) / stride;
        View { bytes: &self.bytes, rest, key_bytes, stride, len, value_mask: mask(u32::from(self.value_bytes) * 8) }
    }

    fn insert(&mut self, key: u64, value: u64, rest: u32) -> bool {
        if bytes_of(value) > usize::from(self.value_bytes) {
            *self = Self::with_width(self.view(rest).iter(), rest, bytes_of(value));
        }
        let view = self.view(rest);
        let (at, is_there) = view.place(key & mask(rest), value);
        if is_there {
            return false;
        }
        let (head, tail) = view.bytes.split_at(at * view.stride);
        let mut out = Buffer::new();
        out.extend_from_slice(head);
        push(&mut out, key & mask(rest), view.key_bytes);
        push(&mut out, value, usize::from(self.value_bytes));
        out.extend_from_slice(if tail.is_empty() { &[0; PAD] } else { tail });
        self.bytes = Arc::from(out.as_slice());
        true
    }

    fn remove(&mut self, key: u64, value: u64, rest: u32) {
        let view = self.view(rest);
        let (at, is_there) = view.place(key & mask(rest), value);
        if !is_there {
            return;
        }
        if view.len == 1 {
            *self = Self::default();
            return;
        }
        let (head, tail) = view.bytes.split_at(at * view.stride);
        let mut out = Buffer::new();
        out.extend_from_slice(head);
        out.extend_from_slice(tail.get(view.stride..).unwrap_or_default());
        self.bytes = Arc::from(out.as_slice());
    }
}

/// Appends the lowest bytes of a number.
fn push(out: &mut Buffer, number: u64, bytes: usize) {
    out.extend_from_slice(number.to_le_bytes().get(..bytes).unwrap_or_default());
}

impl Leaf for Entries {
    fn is_over(&self, rest: u32) -> bool {
        if self.bytes.len() <= LEAF_BYTES_MAX + PAD || rest == 0 {
            return false;
        }
        let view = self.view(rest);
        view.key(0) != view.key(view.len - 1)
    }

    fn cut(&self, rest: u32) -> (Self, Self) {
        let view = self.view(rest);
        let at = view.lower(0, view.len, 1 << (rest - 1));
        let half = |from: usize, to: usize| Self::of((from..to).map(|at| (view.key(at), view.value(at))), rest - 1);
        (half(0, at), half(at, view.len))
    }

    fn join(&self, right: &Self, rest: u32) -> Option<Self> {
        if self.bytes.len() + right.bytes.len() > LEAF_BYTES_MAX / 2 {
            return None;
        }
        let high = move |(key, value)| (key | 1 << (rest - 1), value);
        Some(Self::of(self.view(rest - 1).iter().chain(right.view(rest - 1).iter().map(high)), rest))
    }
}

/// A leaf that can be read.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    bytes: &'a [u8],
    rest: u32,
    key_bytes: usize,
    stride: usize,
    value_mask: u64,
    len: usize,
}

impl<'a> View<'a> {
    fn read(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<8>());
        u64::from_le_bytes(*bytes.expect("eight bytes follow every entry's start"))
    }

    /// The open bits of a key.
    fn key(&self, at: usize) -> u64 {
        self.read(at * self.stride) & mask(self.rest)
    }

    fn value(&self, at: usize) -> u64 {
        self.read(at * self.stride + self.key_bytes) & self.value_mask
    }

    fn iter(self) -> impl Iterator<Item = (u64, u64)> + Clone + 'a {
        (0..self.len).map(move |at| (self.key(at), self.value(at)))
    }

    /// The first entry from `low` and before `high` whose key is not below this one; else `high`.
    fn lower(&self, mut low: usize, mut high: usize, key: u64) -> usize {
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first entry whose key is not below this one, looked for from where evenly spread keys would have it.
    fn find(&self, key: u64) -> usize {
        let share = (key << (64 - self.rest.max(1))) >> 32;
        let guess = usize::try_from((share * self.len as u64) >> 32).unwrap_or(0);
        let mut step = 2;
        if guess < self.len && self.key(guess) < key {
            let mut low = guess + 1;
            while low + step < self.len && self.key(low + step) < key {
                low += step + 1;
                step *= 2;
            }
            return self.lower(low, (low + step).min(self.len), key);
        }
        let mut high = guess;
        while high >= step && self.key(high - step) >= key {
            high -= step;
            step *= 2;
        }
        self.lower(high.saturating_sub(step), high, key)
    }

    /// Where a pair is, or is to be put; and whether it is there.
    fn place(&self, key: u64, value: u64) -> (usize, bool) {
        let mut at = self.find(key);
        while at < self.len && self.key(at) == key && self.value(at) < value {
            at += 1;
        }
        (at, at < self.len && self.key(at) == key && self.value(at) == value)
    }

    fn run(self, key: u64) -> Run<'a> {
        let key = key & mask(self.rest);
        let from = self.find(key);
        let mut to = from;
        while to < self.len && self.key(to) == key {
            to += 1;
        }
        Run { view: self, from, to }
    }
}

/// The numbers of one key, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    view: View<'a>,
    from: usize,
    to: usize,
}

impl<'a> Run<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Each of them.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u64> + DoubleEndedIterator + Clone + 'a {
        (self.from..self.to).map(move |at| self.view.value(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Keys that are spread, that crowd at one end, and that differ in the last bits only.
    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0u64..40, (0u64..9).prop_map(|n| n << 60), (0u64..9).prop_map(|n| 7 << 33 | n)]
    }

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0u64..300, 1 => any::<u64>(), 1 => any::<u32>().prop_map(u64::from)]
    }

    fn check<const WIDTH: u32>(ours: &Packed<WIDTH>, plain: &BTreeSet<(u64, u64)>) -> Result<(), TestCaseError> {
        prop_assert_eq!(ours.len(), plain.len());
        prop_assert!(ours.trie.leaves().all(|(leaf, _, rest)| !leaf.is_over(rest)));
        prop_assert_eq!(ours.iter().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
        for (key, _) in plain {
            let want: Vec<u64> = plain.range((*key, 0)..=(*key, u64::MAX)).map(|(_, value)| *value).collect();
            prop_assert_eq!(ours.get(*key).iter().collect::<Vec<_>>(), want);
            let other = key ^ 1;
            prop_assert_eq!(ours.get(other).len(), plain.range((other, 0)..=(other, u64::MAX)).count());
        }
        Ok(())
    }

    proptest! {
        /// Any series of writes equals a plain set, and an earlier clone never changes.
        #[test]
        fn equals_a_plain_set(
            ops in prop::collection::vec((0u8..3, key(), value()), 0..1200),
            cut in 0usize..1200,
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..400),
        ) {
            let (mut ours, mut plain, mut kept) = (Packed::<64>::default(), BTreeSet::new(), None);
            for (at, (what, key, value)) in ops.iter().enumerate() {
                if at == cut { kept = Some((ours.clone(), plain.clone())); }
                match what {
                    0 => prop_assert_eq!(ours.remove(*key, *value), plain.remove(&(*key, *value))),
                    _ => prop_assert_eq!(ours.insert(*key, *value), plain.insert((*key, *value))),
                }
            }
            check(&ours, &plain)?;
            for index in again.iter().filter(|_| !ops.is_empty()) {
                let (_, key, value) = index.get(&ops);
                prop_assert_eq!(ours.remove(*key, *value), plain.remove(&(*key, *value)));
            }
            check(&ours, &plain)?;
            if let Some((ours, plain)) = kept { check(&ours, &plain)?; }
        }

        /// Pairs added at once are there as if they were added one by one.
        #[test]
        fn many_at_once_equal_one_by_one(
            first in prop::collection::btree_set((any::<u32>(), 0u64..70_000), 0..2500),
            more in prop::collection::btree_set((prop_oneof![any::<u32>(), 0u32..30], 0u64..99), 0..2500),
        ) {
            let wide = |(key, value): (u32, u64)| (u64::from(key), value);
            let (mut ours, mut plain) = (Packed::<32>::default(), BTreeSet::new());
            for batch in [first, more] {
                let batch: Vec<_> = batch.into_iter().map(wide).filter(|pair| !plain.contains(pair)).collect();
                let before = ours.clone();
                ours.extend_sorted(&batch);
                check(&before, &plain)?;
                plain.extend(batch);
                check(&ours, &plain)?;
            }
            for (key, value) in plain.clone() {
                prop_assert!(ours.remove(key, value));
            }
            prop_assert!(ours.is_empty() && ours.iter().next().is_none());
            prop_assert!(matches!(ours.trie.root_mut(), Node::Leaf(_)), "what is empty is one leaf again");
        }
    }

    #[test]
    fn keys_spread_evenly_take_ten_bytes() {
        let mut ours = Packed::<64>::default();
        for at in 0..50_000u64 {
            ours.insert(at.wrapping_mul(0x9E37_79B9_7F4A_7C15), at);
        }
        let bytes: usize =
            ours.trie.leaves().map(|(leaf, _, _)| leaf.bytes.len() + 16 + size_of::<Node<Entries>>()).sum();
        assert!(bytes < 50_000 * 11, "{bytes}");
        assert!(ours.trie.leaves().all(|(leaf, _, _)| leaf.bytes.len() <= LEAF_BYTES_MAX + PAD));
        for at in 0..50_000u64 {
            ours.remove(at.wrapping_mul(0x9E37_79B9_7F4A_7C15), at);
        }
        assert_eq!((ours.len(), ours.trie.leaves().count()), (0, 1));
    }
}
