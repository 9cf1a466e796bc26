//! A persistent vector: a tree of small chunks, so that cloning copies one pointer and writing copies one path.
//!
//! Items lie in leaves of [`LEAF`], in order; above them are branches of [`BRANCH`]. Small, since what a writer changes
//! while a reader keeps its clone is copied whole: a million items are four levels of branches, and a write copies
//! [`LEAF`] items and four branches at most, whatever the length.

use std::sync::Arc;

/// Items of a leaf.
const LEAF: usize = 16;
/// Bits of a leaf's number that one level of branches uses.
const BITS: u32 = 5;
/// Children of a branch.
const BRANCH: usize = 1 << BITS;

/// A persistent vector that grows at its end.
#[derive(Clone, Debug)]
pub struct PVec<T> {
    /// Missing while there was no item yet, so that an empty vector takes nothing.
    root: Option<Arc<Node<T>>>,
    /// Levels of branches above the leaves.
    height: u32,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<T> {
    Leaf(Vec<T>),
    Branch(Vec<Arc<Node<T>>>),
}

impl<T> Default for PVec<T> {
    fn default() -> Self {
        Self { root: None, height: 0, len: 0 }
    }
}

/// Where the child of a branch that has `below` levels of branches under it is, on the way to a leaf.
fn child(leaf: usize, below: u32) -> usize {
    (leaf >> (below * BITS)) % BRANCH
}

impl<T: Clone> PVec<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at a position.
    pub fn get(&self, at: usize) -> Option<&T> {
        if at >= self.len {
            return None;
        }
        self.leaf(at / LEAF).get(at % LEAF)
    }

    /// The item at a position, to be changed in place.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at >= self.len {
            return None;
        }
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut below = self.height;
        loop {
            match node {
                Node::Leaf(items) => return items.get_mut(at % LEAF),
                Node::Branch(children) => {
                    below -= 1;
                    node = Arc::make_mut(children.get_mut(child(at / LEAF, below))?);
                }
            }
        }
    }

    /// Appends an item.
    pub fn push(&mut self, item: T) {
        let leaf = self.len / LEAF;
        if leaf >> (self.height * BITS) > 0 {
            // Full: the whole tree becomes the first child of a higher one.
            let whole = self.root.take().into_iter().collect();
            self.root = Some(Arc::new(Node::Branch(whole)));
            self.height += 1;
        }
        let root = self.root.get_or_insert_with(|| Arc::new(Node::Leaf(Vec::new())));
        let mut node = Arc::make_mut(root);
        let mut below = self.height;
        self.len += 1;
        loop {
            match node {
                Node::Leaf(items) => return items.push(item),
                Node::Branch(children) => {
                    below -= 1;
                    let at = child(leaf, below);
                    if at == children.len() {
                        let empty = if below == 0 { Node::Leaf(Vec::new()) } else { Node::Branch(Vec::new()) };
                        children.push(Arc::new(empty));
                    }
                    let Some(next) = children.get_mut(at) else { return };
                    node = Arc::make_mut(next);
                }
            }
        }
    }

    /// All items in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        (0..self.len.div_ceil(LEAF)).flat_map(|leaf| self.leaf(leaf))
    }

    /// Items from a position on.
    pub fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        (at / LEAF..self.len.div_ceil(LEAF)).flat_map(|leaf| self.leaf(leaf)).skip(at % LEAF)
    }

    /// A leaf's items; of one that is not there none.
    fn leaf(&self, leaf: usize) -> &[T] {
        let Some(root) = &self.root else { return &[] };
        let mut node = &**root;
        let mut below = self.height;
        loop {
            match node {
                Node::Leaf(items) => return items,
                Node::Branch(children) => {
                    below -= 1;
                    let Some(next) = children.get(child(leaf, below)) else { return &[] };
                    node = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut vec = PVec::default();
        for i in 0..1000 {
            vec.push(i);
        }
        let kept = vec.clone();
        *vec.get_mut(300).unwrap() = -1;
        vec.push(5);
        assert_eq!(kept.len(), 1000);
        assert_eq!(kept.get(300), Some(&300));
        assert_eq!(vec.get(300), Some(&-1));
        assert_eq!(kept.iter().copied().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
        assert_eq!(vec.iter_from(999).copied().collect::<Vec<_>>(), vec![999, 5]);
    }

    #[test]
    fn every_length_reads_as_the_standard_vector() {
        let mut vec = PVec::default();
        let mut kept = Vec::new();
        for i in 0..LEAF * BRANCH * 3 + 5 {
            if i % 97 == 0 {
                kept.push((i, vec.clone()));
            }
            vec.push(i);
            assert_eq!((vec.len(), vec.get(i), vec.get(i + 1)), (i + 1, Some(&i), None));
        }
        let len = vec.len();
        assert!(vec.height >= 2);
        assert!(vec.iter().copied().eq(0..len) && vec.iter().rev().copied().eq((0..len).rev()));
        for from in [0, 1, LEAF - 1, LEAF, LEAF * BRANCH, len - 1, len, len + 40] {
            assert!(vec.iter_from(from).copied().eq(from.min(len)..len), "from {from}");
        }
        for at in 0..len {
            *vec.get_mut(at).unwrap() = 0;
        }
        assert!(vec.get_mut(len).is_none());
        for (then, vec) in kept {
            assert!(vec.iter().copied().eq(0..then), "as of {then}");
        }
    }
}
