//! The `http` layer: see `lib.rs` for its place.
