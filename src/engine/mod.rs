//! The `engine` layer: see `lib.rs` for its place.
