//! Tests across the formats.
