//! Which records could match: recall here, precision in `matching`.
//!
//! [`key`] emits the blocking keys of a record, [`keyset`] keeps them, [`postings`] says who holds a key, [`tier`] what a key is
//! worth. [`tokens`] finds stored name tokens that are alike, for queries; [`text`] is the free-text index.
//! Only shared live keys ever make an edge. [`account`] emits the keys of businesses.

pub mod account;
pub mod codes;
pub mod key;
pub mod keyset;
pub mod names;
pub mod postings;
pub mod text;
pub mod tier;
pub mod tokens;
