//! A persistent map from numbers to small sets of numbers, a few bytes an entry.
//!
//! A million contacts have tens of millions of blocking keys, so what an entry takes decides what the index takes. Keys are
//! hashes already, spread evenly: the tree branches by their own bits, and a leaf keeps only the bytes of a key that the way
//! to the leaf does not tell. The number beside it takes as many bytes as the largest of the leaf. Entries lie side by side
//! in ascending order in one piece of memory of exactly their size, so a writer copies some hundred bytes and a reader finds
//! a key where its share of the numbers says it should be.

use std::sync::Arc;

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::cow::trie::{Leaf, Node, TOGETHER, Trie, mask};

/// Bytes of entries from which a leaf is cut. More than 64 entries of one key, so that keys of that many are told apart.
const LEAF_BYTES_MAX: usize = 1280;
/// Pairs that are put into a leaf one by one rather than with all of it read and written anew.
const FEW_MAX: usize = 6;
/// Pairs from which a part of the tree is worth another core.
const MANY_MIN: usize = 1 << 14;
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

    /// What each of several keys has, in their order: as [`Packed::get`], but what is read of memory is waited for once for
    /// all of them and not once for each.
    pub fn get_all(&self, keys: &[u64]) -> SmallVec<[Run<'_>; TOGETHER]> {
        let leaves = self.trie.find_all(keys);
        let views: SmallVec<[View<'_>; TOGETHER]> = leaves.into_iter().map(|(leaf, rest)| leaf.view(rest)).collect();
        // Where each is expected is read before any is looked for.
        std::hint::black_box(views.iter().zip(keys).fold(0, |all, (view, key)| all ^ view.glance(*key)));
        views.into_iter().zip(keys).map(|(view, key)| view.run(*key)).collect()
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

    /// Takes all numbers of a key away, and returns them.
    pub fn take(&mut self, key: u64) -> Vec<u64> {
        let values: Vec<u64> = self.get(key).iter().collect();
        if !values.is_empty() {
            self.trie.shrink(key, |leaf, rest| leaf.remove_all(key, rest));
            self.len -= values.len();
        }
        values
    }

    /// Adds pairs that are not there yet, ascending, each once: much faster than one by one where they are many, and on all
    /// cores. Says what became of the keys; those that have more than `run_max` numbers now are listed.
    pub fn extend_sorted(&mut self, pairs: &[(u64, u64)], run_max: usize) -> Added {
        debug_assert!(pairs.is_sorted_by(|a, b| a < b));
        self.len += pairs.len();
        let mut added = Added::default();
        if let Some((_, root)) = extend(self.trie.root_mut(), WIDTH, pairs, (0, 0), (run_max, &mut added)).pop() {
            self.trie = Trie::of(root);
        }
        added
    }
}

/// What adding many pairs did to the keys.
#[derive(Debug, Default)]
pub struct Added {
    /// Keys that had nothing before.
    pub new_keys: usize,
    /// Keys that have more numbers now than was asked about, ascending. None of them had before.
    pub over: Vec<u64>,
}

impl Added {
    /// Notes that a key has `now` numbers, of which `new` were just added.
    fn note(&mut self, key: u64, now: usize, new: usize, run_max: usize) {
        self.new_keys += usize::from(now == new);
        if now > run_max && now - new <= run_max {
            self.over.push(key);
        }
    }

    /// The same of the keys behind.
    fn append(&mut self, mut later: Self) {
        self.new_keys += later.new_keys;
        self.over.append(&mut later.over);
    }
}

/// Nodes side by side, each with the first value that it stands for.
type Parts = Vec<(u32, Node<Entries>)>;

/// The nodes of ascending pairs, for the `1 << wide` values from `start` on.
fn build_parts(pairs: &[(u64, u64)], rest: u32, (start, wide): (u32, u32)) -> Parts {
    if fits(pairs, rest, LEAF_BYTES_MAX / 4 * 3) {
        return vec![(start, Node::Leaf(Entries::of(pairs.iter().copied(), rest)))];
    }
    if wide == 0 {
        return vec![(start, Node::branch(build_parts(pairs, rest, (0, 4))))];
    }
    let (left, right) = pairs.split_at(pairs.partition_point(|(key, _)| key >> (rest - 1) & 1 == 0));
    let half = |pairs, start| move || build_parts(pairs, rest - 1, (start, wide - 1));
    let (left, right) = (half(left, start), half(right, start + (1 << (wide - 1))));
    let (mut parts, later) = if pairs.len() < MANY_MIN { (left(), right()) } else { rayon::join(left, right) };
    parts.extend(later);
    parts
}

/// Whether pairs are one leaf of so many bytes. Where they are built it is filled to three quarters, so that the first that
/// comes later does not cut it.
fn fits(pairs: &[(u64, u64)], rest: u32, bytes_max: usize) -> bool {
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return true };
    let value_bytes = pairs.iter().take(LEAF_BYTES_MAX).map(|(_, value)| bytes_of(*value)).max().unwrap_or(0);
    first.0 == last.0 || rest == 0 || pairs.len() * (key_bytes(rest) + value_bytes) <= bytes_max
}

/// Where a child begins and how wide it is, and the pairs that go there.
type Share<'a> = ((u32, u32), &'a [(u64, u64)]);

/// Adds pairs to a node that stands for the `1 << wide` values from `start` on. The nodes that do so now, where they have
/// become several; that of a whole tree is one again.
fn extend(
    node: &mut Node<Entries>,
    rest: u32,
    pairs: &[(u64, u64)],
    place: (u32, u32),
    (run_max, added): (usize, &mut Added),
) -> Parts {
    let places: SmallVec<[(u32, u32); 16]> = node.places().collect();
    let children = match node {
        Node::Leaf(leaf) => return extend_leaf(leaf, rest, pairs, place, (run_max, added)),
        Node::Branch { children, .. } => children,
    };
    let mut left = pairs;
    let share = |&(start, wide): &(u32, u32)| {
        let end = u64::from(start) + (1 << wide);
        let (here, later) = left.split_at(left.partition_point(|(key, _)| (key >> (rest - 4) & 0xF) < end));
        left = later;
        ((start, wide), here)
    };
    let shares: SmallVec<[_; 16]> = places.iter().map(share).collect();
    let grow = |(child, (place, here)): (&mut Node<Entries>, &Share<'_>)| {
        let mut added = Added::default();
        let below = rest - 4 + place.1;
        let parts =
            if here.is_empty() { Parts::new() } else { extend(child, below, here, *place, (run_max, &mut added)) };
        (parts, added)
    };
    let all = Arc::make_mut(children);
    let (grown, notes): (Vec<Parts>, Vec<Added>) = if pairs.len() < MANY_MIN {
        all.iter_mut().zip(&shares).map(grow).unzip()
    } else {
        all.par_iter_mut().zip(shares.as_slice()).map(grow).unzip()
    };
    notes.into_iter().for_each(|later| added.append(later));
    if grown.iter().any(|parts| !parts.is_empty()) {
        let old = places.iter().zip(children.iter()).map(|((start, _), child)| (*start, child.clone()));
        let next = old.zip(grown).flat_map(|(old, parts)| if parts.is_empty() { vec![old] } else { parts });
        *node = Node::branch(next.collect());
    }
    Parts::new()
}

fn extend_leaf(
    leaf: &mut Entries,
    rest: u32,
    pairs: &[(u64, u64)],
    place: (u32, u32),
    (run_max, added): (usize, &mut Added),
) -> Parts {
    let few = pairs.len() <= FEW_MAX;
    if few {
        for (key, value) in pairs {
            leaf.insert(*key, *value, rest);
        }
        for run in pairs.chunk_by(|a, b| a.0 == b.0) {
            run.iter()
                .take(1)
                .for_each(|(key, _)| added.note(*key, leaf.view(rest).run(*key).len(), run.len(), run_max));
        }
        if !leaf.is_over(rest) {
            return Parts::new();
        }
    }
    let prefix = pairs.first().map_or(0, |(key, _)| key & !mask(rest));
    let old = leaf.view(rest).iter().map(|(key, value)| (prefix | key, value));
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(leaf.view(rest).len + pairs.len());
    all.extend(old);
    if !few {
        note_runs(leaf.view(rest), pairs, run_max, added);
        all.extend_from_slice(pairs);
        // Two pieces in order: sorting merges them.
        all.sort();
    }
    if !fits(&all, rest, LEAF_BYTES_MAX) {
        return build_parts(&all, rest, place);
    }
    *leaf = Entries::of(all.iter().copied(), rest);
    Parts::new()
}

/// Notes what becomes of the keys of ascending pairs that are about to be added to a leaf.
fn note_runs(view: View<'_>, pairs: &[(u64, u64)], run_max: usize, added: &mut Added) {
    for run in pairs.chunk_by(|a, b| a.0 == b.0) {
        if let Some((key, _)) = run.first() {
            added.note(*key, view.run(*key).len() + run.len(), run.len(), run_max);
        }
    }
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
        let (at, is_there) = self.view(rest).place(key & mask(rest), value);
        if is_there {
            self.cut_out(at, at + 1, rest);
        }
    }

    fn remove_all(&mut self, key: u64, rest: u32) {
        let run = self.view(rest).run(key);
        let (from, to) = (run.from, run.to);
        self.cut_out(from, to, rest);
    }

    /// Takes a range of entries out.
    fn cut_out(&mut self, from: usize, to: usize, rest: u32) {
        let view = self.view(rest);
        if to - from == view.len {
            *self = Self::default();
            return;
        }
        let (head, tail) = view.bytes.split_at(from * view.stride);
        let mut out = Buffer::new();
        out.extend_from_slice(head);
        out.extend_from_slice(tail.get((to - from) * view.stride..).unwrap_or_default());
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

    /// Where evenly spread keys would have this one.
    fn guess(&self, key: u64) -> usize {
        let share = (key << (64 - self.rest.max(1))) >> 32;
        usize::try_from((share * self.len as u64) >> 32).unwrap_or(0)
    }

    /// Reads what stands where a key is expected, so that it is at hand.
    fn glance(&self, key: u64) -> u64 {
        let guess = self.guess(key & mask(self.rest));
        if guess < self.len { self.read(guess * self.stride) } else { 0 }
    }

    /// The first entry whose key is not below this one, looked for from where evenly spread keys would have it.
    fn find(&self, key: u64) -> usize {
        let guess = self.guess(key);
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
        // Those that are there, those beside them and one twice, far more than are mostly looked up together.
        let asked: Vec<u64> =
            plain.iter().flat_map(|(key, _)| [*key, key ^ 1, key.rotate_left(7)]).chain([5, 5]).collect();
        let asked: Vec<u64> = asked.into_iter().map(|key| key & mask(WIDTH)).collect();
        let together = ours.get_all(&asked);
        prop_assert_eq!(together.len(), asked.len());
        for (key, run) in asked.iter().zip(together) {
            prop_assert!(run.iter().eq(ours.get(*key).iter()), "{}", key);
        }
        prop_assert!(ours.get_all(&[]).is_empty());
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
                let added = ours.extend_sorted(&batch, 3);
                check(&before, &plain)?;
                let runs = |plain: &BTreeSet<(u64, u64)>| {
                    let mut runs = std::collections::BTreeMap::<u64, usize>::new();
                    plain.iter().for_each(|(key, _)| *runs.entry(*key).or_default() += 1);
                    runs
                };
                let old = runs(&plain);
                plain.extend(batch);
                let new = runs(&plain);
                let has_more = |(key, count): (&u64, &usize)| *count > 3 && old.get(key).is_none_or(|old| *old <= 3);
                let over: Vec<u64> = new.iter().filter(|(key, count)| has_more((key, count))).map(|(key, _)| *key).collect();
                prop_assert_eq!((added.new_keys, added.over), (new.len() - old.len(), over));
                check(&ours, &plain)?;
            }
            for key in plain.iter().map(|(key, _)| *key).step_by(3).collect::<BTreeSet<u64>>() {
                let want: Vec<u64> = plain.range((key, 0)..=(key, u64::MAX)).map(|(_, value)| *value).collect();
                prop_assert_eq!(ours.take(key), want);
                plain.retain(|(other, _)| *other != key);
                prop_assert_eq!(ours.take(key), Vec::<u64>::new());
            }
            check(&ours, &plain)?;
            for (key, value) in plain.clone() {
                prop_assert!(ours.remove(key, value));
            }
            prop_assert!(ours.is_empty() && ours.iter().next().is_none());
            prop_assert!(matches!(ours.trie.root_mut(), Node::Leaf(_)), "what is empty is one leaf again");
        }
    }

    /// So many that several cores build and extend.
    #[test]
    fn very_many_at_once_equal_one_by_one() {
        let spread = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3, at % 700);
        let (mut ours, mut one_by_one, mut plain) = (Packed::<64>::default(), Packed::<64>::default(), BTreeSet::new());
        for range in [0..60_000, 60_000..120_000] {
            let mut batch: Vec<(u64, u64)> = range.map(spread).collect();
            batch.extend((0..90).map(|value| (77, value + ours.len() as u64)));
            batch.sort_unstable();
            let added = ours.extend_sorted(&batch, 64);
            assert_eq!(
                (added.new_keys, added.over.len()),
                (if plain.is_empty() { 60_001 } else { 60_000 }, usize::from(plain.is_empty()))
            );
            batch.iter().for_each(|(key, value)| assert!(one_by_one.insert(*key, *value)));
            plain.extend(batch);
            assert!(ours.iter().eq(plain.iter().copied()) && one_by_one.iter().eq(ours.iter()));
            assert!(ours.trie.leaves().all(|(leaf, _, rest)| !leaf.is_over(rest)));
        }
        assert!(plain.iter().all(|(key, value)| ours.get(*key).iter().any(|one| one == *value)));
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
