//! The nouns of selfsame: plain data, no I/O, no serde.
//!
//! Start here: [`record::Record`] is what a source said, [`normalized::Normalized`] what we read
//! into it, [`ids`] how things are named, [`issue::Issue`] what was odd about a value. What happened
//! is an event in [`event`].

pub mod access;
pub mod account;
pub mod event;
pub mod ids;
pub mod issue;
pub mod key;
pub mod normalized;
pub mod record;
pub mod settings;
pub mod survivorship;
