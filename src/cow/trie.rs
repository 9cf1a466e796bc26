//! The tree under the persistent maps: it branches by the bits of a number, its leaves hold what begins with the same bits.
//!
//! A branch looks at four bits. A leaf may stand for all sixteen of their values, or for half of them, a quarter and so on,
//! so one that grows too large is cut in two, never in sixteen, and leaves are at least half full wherever the numbers are
//! spread evenly. A branch notes at which values its children start, and holds those only. Nodes are shared between clones
//! and copied when written, one path at a time.

use std::sync::Arc;

use smallvec::SmallVec;

/// Bits that a branch looks at.
const BITS: u32 = 4;
/// Numbers that are mostly looked up together at most: the keys of a record.
pub(super) const TOGETHER: usize = 32;

/// What stands at the end of a path. `rest` is how many bits of its numbers the path does not tell.
pub(super) trait Leaf: Clone + Default {
    /// Whether it is to be cut in two. Never where all its numbers are one, or `rest` is 0.
    fn is_over(&self, rest: u32) -> bool;

    /// Those with the highest of the `rest` bits clear, and those with it set: leaves of one bit less.
    fn cut(&self, rest: u32) -> (Self, Self);

    /// It and the leaf behind it as one of `rest` bits (they have one less), if that is small.
    fn join(&self, right: &Self, rest: u32) -> Option<Self>;
}

/// A leaf, or where to go on.
#[derive(Clone, Debug)]
pub(super) enum Node<L> {
    Leaf(L),
    Branch {
        /// Bit by bit the values at which a child starts; 0 always does.
        starts: u16,
        children: Arc<[Node<L>]>,
    },
}

impl<L> Node<L> {
    /// A branch with these children, each with the value at which it starts.
    pub fn branch(parts: Vec<(u32, Self)>) -> Self {
        let starts = parts.iter().fold(0, |set, (start, _)| set | 1u16 << start);
        Self::Branch { starts, children: parts.into_iter().map(|(_, node)| node).collect() }
    }

    /// Where each child of a branch starts, and for how many values it stands, as a power of two.
    pub fn places(&self) -> impl Iterator<Item = (u32, u32)> + use<L> {
        let starts = match self {
            Self::Leaf(_) => 0,
            Self::Branch { starts, .. } => *starts,
        };
        let firsts = (0..1 << BITS).filter(move |value| starts >> value & 1 == 1);
        firsts.map(move |start| (start, Place::of(starts, start).wide))
    }
}

/// The child of a branch that stands for some value, and for which.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    /// The first value it stands for.
    start: u32,
    /// It stands for `1 << wide` values.
    wide: u32,
}

impl Place {
    fn of(starts: u16, value: u32) -> Self {
        let starts = u32::from(starts);
        let up_to = starts & ((2 << value) - 1);
        let start = up_to.checked_ilog2().unwrap_or(0);
        let end = (starts >> (value + 1)).trailing_zeros().saturating_add(value + 1).min(1 << BITS);
        Self { index: up_to.count_ones().saturating_sub(1) as usize, start, wide: (end - start).ilog2() }
    }

    /// What is left of the `rest` bits that the branch had.
    fn rest(self, rest: u32) -> u32 {
        rest - BITS + self.wide
    }
}

/// The four bits that a branch looks at which has `rest` bits left.
fn value_of(number: u64, rest: u32) -> u32 {
    u32::from((number >> (rest - BITS)).to_le_bytes()[0] & 0xF)
}

/// The numbers below `1 << bits`.
pub(super) fn mask(bits: u32) -> u64 {
    1u64.checked_shl(bits).map_or(u64::MAX, |one| one - 1)
}

/// A tree over numbers of `WIDTH` bits, a multiple of four and at most 64.
#[derive(Clone, Debug)]
pub(super) struct Trie<L, const WIDTH: u32> {
    root: Node<L>,
}

impl<L: Default, const WIDTH: u32> Default for Trie<L, WIDTH> {
    fn default() -> Self {
        Self { root: Node::Leaf(L::default()) }
    }
}

impl<L, const WIDTH: u32> Trie<L, WIDTH> {
    /// The leaf of a number, and how many of its bits the way there left open.
    pub fn find(&self, number: u64) -> (&L, u32) {
        let (mut node, mut rest) = (&self.root, WIDTH);
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf, rest),
                Node::Branch { starts, children } => {
                    let place = Place::of(*starts, value_of(number, rest));
                    node = children.get(place.index).expect("a branch has a child for every value");
                    rest = place.rest(rest);
                }
            }
        }
    }

    /// The leaves of several numbers, in their order, each as [`Trie::find`] gives it. The ways there are gone side by side,
    /// a step of each after the other: a node lies anywhere in memory, and so one waits for all of them at once.
    pub fn find_all(&self, numbers: &[u64]) -> SmallVec<[(&L, u32); TOGETHER]> {
        let mut at: SmallVec<[(&Node<L>, u32); TOGETHER]> = numbers.iter().map(|_| (&self.root, WIDTH)).collect();
        let mut is_on_the_way = true;
        while std::mem::take(&mut is_on_the_way) {
            for ((node, rest), number) in at.iter_mut().zip(numbers) {
                if let Node::Branch { starts, children } = node {
                    let place = Place::of(*starts, value_of(*number, *rest));
                    *node = children.get(place.index).expect("a branch has a child for every value");
                    *rest = place.rest(*rest);
                    is_on_the_way = true;
                }
            }
        }
        let leaves = at.into_iter().filter_map(|(node, rest)| match node {
            Node::Leaf(leaf) => Some((leaf, rest)),
            Node::Branch { .. } => None, // not reached: who is on the way goes on
        });
        leaves.collect()
    }

    /// All leaves in the order of their numbers, each with the bits that the way there tells, and how many it left open.
    pub fn leaves(&self) -> impl Iterator<Item = (&L, u64, u32)> {
        let mut stack = vec![(&self.root, 0, WIDTH)];
        std::iter::from_fn(move || {
            loop {
                let (node, prefix, rest) = stack.pop()?;
                let children = match node {
                    Node::Leaf(leaf) => return Some((leaf, prefix, rest)),
                    Node::Branch { children, .. } => children,
                };
                let first = stack.len();
                for ((start, wide), child) in node.places().zip(children.iter()) {
                    stack.push((child, prefix | u64::from(start) << (rest - BITS), rest - BITS + wide));
                }
                if let Some(pushed) = stack.get_mut(first..) {
                    pushed.reverse();
                }
            }
        })
    }
}

impl<L: Leaf, const WIDTH: u32> Trie<L, WIDTH> {
    /// From a tree that was built elsewhere.
    pub fn of(root: Node<L>) -> Self {
        Self { root }
    }

    /// The whole tree.
    pub fn root_mut(&mut self) -> &mut Node<L> {
        &mut self.root
    }

    /// The leaf of a number, to be changed in place without growing.
    pub fn find_mut(&mut self, number: u64) -> &mut L {
        let (mut node, mut rest) = (&mut self.root, WIDTH);
        loop {
            match node {
                Node::Leaf(leaf) => return leaf,
                Node::Branch { starts, children } => {
                    let place = Place::of(*starts, value_of(number, rest));
                    let children = Arc::make_mut(children);
                    node = children.get_mut(place.index).expect("a branch has a child for every value");
                    rest = place.rest(rest);
                }
            }
        }
    }

    /// Changes the leaf of a number and cuts it if it has grown too large.
    pub fn grow<R>(&mut self, number: u64, edit: impl FnOnce(&mut L, u32) -> R) -> R {
        let result = grow(&mut self.root, WIDTH, number, edit);
        if let Node::Leaf(leaf) = &self.root
            && leaf.is_over(WIDTH)
        {
            self.root = branch(leaf, WIDTH);
        }
        result
    }

    /// Changes the leaf of a number and joins it with the one beside it if both have become small.
    pub fn shrink<R>(&mut self, number: u64, edit: impl FnOnce(&mut L, u32) -> R) -> R {
        shrink(&mut self.root, WIDTH, number, edit)
    }
}

fn grow<L: Leaf, R>(node: &mut Node<L>, rest: u32, number: u64, edit: impl FnOnce(&mut L, u32) -> R) -> R {
    let (starts, children) = match node {
        Node::Leaf(leaf) => return edit(leaf, rest),
        Node::Branch { starts, children } => (starts, children),
    };
    let place = Place::of(*starts, value_of(number, rest));
    let below = place.rest(rest);
    let child = Arc::make_mut(children).get_mut(place.index).expect("a branch has a child for every value");
    let result = grow(child, below, number, edit);
    if let Node::Leaf(leaf) = child
        && leaf.is_over(below)
    {
        let mut parts = Vec::new();
        spread(leaf.clone(), below, place.start, place.wide, &mut parts);
        *starts |= parts.iter().fold(0, |set, (start, _)| set | 1u16 << start);
        replace(children, place.index..place.index + 1, parts.into_iter().map(|(_, node)| node).collect());
    }
    result
}

/// A leaf that is too large, as a branch.
fn branch<L: Leaf>(leaf: &L, rest: u32) -> Node<L> {
    let mut parts = Vec::new();
    spread(leaf.clone(), rest, 0, BITS, &mut parts);
    Node::branch(parts)
}

/// The nodes that stand for the `1 << wide` values from `start` on, once a leaf is cut as often as it needs.
fn spread<L: Leaf>(leaf: L, rest: u32, start: u32, wide: u32, out: &mut Vec<(u32, Node<L>)>) {
    if !leaf.is_over(rest) {
        out.push((start, Node::Leaf(leaf)));
    } else if wide == 0 {
        out.push((start, branch(&leaf, rest)));
    } else {
        let (left, right) = leaf.cut(rest);
        spread(left, rest - 1, start, wide - 1, out);
        spread(right, rest - 1, start + (1 << (wide - 1)), wide - 1, out);
    }
}

/// Puts other children where those of a range are.
fn replace<L: Clone>(children: &mut Arc<[Node<L>]>, range: std::ops::Range<usize>, with: Vec<Node<L>>) {
    let mut next = Vec::with_capacity(children.len() + with.len());
    next.extend(children.iter().take(range.start).cloned());
    next.extend(with);
    next.extend(children.iter().skip(range.end).cloned());
    *children = next.into();
}

fn shrink<L: Leaf, R>(node: &mut Node<L>, rest: u32, number: u64, edit: impl FnOnce(&mut L, u32) -> R) -> R {
    let (starts, children) = match node {
        Node::Leaf(leaf) => return edit(leaf, rest),
        Node::Branch { starts, children } => (starts, children),
    };
    let value = value_of(number, rest);
    let place = Place::of(*starts, value);
    let child = Arc::make_mut(children).get_mut(place.index).expect("a branch has a child for every value");
    let result = shrink(child, place.rest(rest), number, edit);
    while let Some((gone, index, joined)) = joined(*starts, children, Place::of(*starts, value), rest) {
        *starts &= !(1u16 << gone);
        replace(children, index..index + 2, vec![Node::Leaf(joined)]);
    }
    let last = match children.as_ref() {
        [Node::Leaf(last)] => Some(last.clone()),
        _ => None,
    };
    if let Some(last) = last {
        *node = Node::Leaf(last);
    }
    result
}

/// A leaf and the one beside it as one: where the second started, where the first is among the children, and the leaf.
fn joined<L: Leaf>(starts: u16, children: &[Node<L>], place: Place, rest: u32) -> Option<(u32, usize, L)> {
    if place.wide >= BITS {
        return None;
    }
    let beside = Place::of(starts, place.start ^ (1 << place.wide));
    let (left, right) = if place.start < beside.start { (place, beside) } else { (beside, place) };
    let same = left.wide == right.wide;
    let pair = (children.get(left.index)?, children.get(right.index)?);
    let (Node::Leaf(a), Node::Leaf(b), true) = (pair.0, pair.1, same) else { return None };
    Some((right.start, left.index, a.join(b, left.rest(rest) + 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_by_where_they_start() {
        let starts = 0b0000_0001_0001_0001; // 0..4, 4..8, 8..16
        let at = |value| {
            let place = Place::of(starts, value);
            (place.index, place.start, place.wide)
        };
        assert_eq!(
            [at(0), at(3), at(4), at(7), at(8), at(15)],
            [(0, 0, 2), (0, 0, 2), (1, 4, 2), (1, 4, 2), (2, 8, 3), (2, 8, 3)]
        );
        assert_eq!(Place::of(1, 9).rest(64), 64);
        assert_eq!(Place::of(u16::MAX, 9).rest(64), 60);
        assert_eq!((mask(0), mask(8), mask(64)), (0, 255, u64::MAX));
    }
}
