//! The `host` layer: see `lib.rs` for its place.
