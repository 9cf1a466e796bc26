//! The `index` layer: see `lib.rs` for its place.

pub mod tier;
