//! Decisions, pure: a shard and a command in, events out. No I/O, no clock, no dice: time and ids are handed in.
//!
//! [`upsert`] decides what a record is, [`act`] what people ask for (merge, undo, split, judge, delete),
//! both through [`change`], the overlay that shows what a change would do. [`cluster`] is the pure
//! partition underneath, [`batch`] runs it on a whole file, [`survive`] picks a contact's values,
//! [`prepare`] normalises what callers send. [`learn`] trains a model on a shard's records, [`activate`] lets it decide.
//! [`webhook`] is who wants to hear of changes, [`reference`] what
//! points at contacts from outside. [`account`] picks a business' values, [`relation`] says who belongs to it.
//! [`conflict`] is a record that contradicts itself, [`group`] what people say of groups; [`remark`] are the sentences that
//! decisions add. [`erase`] forgets a person, [`restrict`] stores one only, [`consent`] says who may find one.

pub mod account;
pub mod act;
pub mod activate;
pub mod batch;
pub mod change;
pub mod cluster;
pub mod conflict;
pub mod consent;
pub mod edit;
pub mod erase;
pub mod group;
pub mod learn;
pub mod prepare;
pub mod reference;
pub mod relation;
pub mod remark;
pub mod restrict;
pub mod survive;
pub mod upsert;
pub mod webhook;
