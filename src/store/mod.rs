//! The `store` layer: see `lib.rs` for its place.
