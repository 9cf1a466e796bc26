//! The `journal` layer: see `lib.rs` for its place.
