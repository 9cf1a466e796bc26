//! The `formats` layer: see `lib.rs` for its place.
