//! The `config` layer: see `lib.rs` for its place.
