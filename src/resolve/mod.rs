//! The `resolve` layer: see `lib.rs` for its place.

pub mod cluster;
pub mod judge;
