//! Collections that are cheap to clone: a writer changes its own copy while readers keep theirs.
//!
//! [`PMap`] is a hash map and [`Packed`] a map from numbers to sets of numbers in a few bytes an entry; both are trees whose
//! nodes are shared between clones and copied when written (`Arc::make_mut`), so a clone costs one reference count and a
//! write copies one path. [`PVec`] is a vector as a tree of chunks, shared the same way. None locks; all are plain values.

mod map;
mod packed;
mod trie;
mod vec;

pub use map::PMap;
pub use packed::{Added, Packed, Run};
pub use vec::PVec;
