//! Which records could match at all: recall here, precision in `matching`.
//!
//! [`key::emit`] says under which short values a record can be found, [`tier`] how common such a
//! value is.

pub mod key;
pub mod tier;
