//! The `cow` layer: see `lib.rs` for its place.
