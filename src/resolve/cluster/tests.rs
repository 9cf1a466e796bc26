//! Tests of clustering.
