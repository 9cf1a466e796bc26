//! The `cli` layer: see `lib.rs` for its place.
