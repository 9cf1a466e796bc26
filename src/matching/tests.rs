//! Tests of scoring as a whole: what must match, what must not, and what always holds.
