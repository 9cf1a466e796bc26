//! The `matching` layer: see `lib.rs` for its place.
