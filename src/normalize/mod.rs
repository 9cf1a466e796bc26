//! The `normalize` layer: see `lib.rs` for its place.
