//! The `telemetry` layer: see `lib.rs` for its place.
