//! The `resolve` layer: see `lib.rs` for its place.
