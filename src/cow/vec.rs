//! A persistent vector in chunks of 256: cloning copies one pointer a chunk, writing copies one chunk.

use std::sync::Arc;

const CHUNK: usize = 256;

/// A persistent vector that grows at its end.
#[derive(Clone, Debug)]
pub struct PVec<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for PVec<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
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
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// The item at a position, to be changed in place.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(at / CHUNK)?).get_mut(at % CHUNK)
    }

    /// Appends an item.
    pub fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(item),
            _ => self.chunks.push(Arc::new(vec![item])),
        }
        self.len += 1;
    }

    /// All items in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Items from a position on.
    pub fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        self.chunks.iter().skip(at / CHUNK).flat_map(|chunk| chunk.iter()).skip(at % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::PVec;

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
}
