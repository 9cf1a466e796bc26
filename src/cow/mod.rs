//! Collections that are cheap to clone: a writer changes its own copy while readers keep theirs.
//!
//! [`PMap`] is a hash trie whose nodes are shared between clones and copied when written
//! (`Arc::make_mut`), so a clone costs one reference count and a write copies one path. [`PVec`] is a
//! vector as a tree of chunks, shared the same way. Neither locks; both are plain values.

mod map;
mod vec;

pub use map::PMap;
pub use vec::PVec;
