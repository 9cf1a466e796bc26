//! The state in memory, and the only code that changes it.
//!
//! [`shard::Shard`] is one tenant's state: records by slot ([`places`] finds them), postings, [`edges`], contacts, merges,
//! reviews, judgements, the change feed. [`stored`] is what was put, packed, [`words`] who put it. It is made of persistent
//! collections: a clone is a view that readers keep
//! while the writer goes on. [`apply`] folds one event into it and decides nothing; [`state`] turns
//! a shard into snapshot chunks and back; [`fingerprint`] tells whether two states are equal. [`models`] are the models
//! it learned, [`form`] their bytes; [`webhooks`] are those who want to hear of changes,
//! [`oprf`] which keys answer oblivious look-ups, [`lookup`] the keys and quotas of exact ones,
//! [`references`] what points at contacts from outside, [`conflicts`] which records contradict themselves, [`groups`] what
//! people say of groups. [`erase`] forgets people, [`privacy`] says who is stored only. [`consent`] says who may be found by
//! whom. [`accounts`] are the businesses, a shard within the shard, and [`relations`] who belongs to them.
//! [`access`] are the API keys of the server; [`parked`] is a tenant that nobody asks for.

pub mod access;
pub mod accounts;
pub mod apply;
pub mod conflicts;
pub mod consent;
pub mod edges;
pub mod erase;
pub mod fingerprint;
pub mod form;
pub mod groups;
pub mod judge;
pub mod lookup;
pub mod models;
pub mod oprf;
pub mod parked;
pub mod places;
pub mod privacy;
pub mod references;
pub mod relations;
pub mod shard;
pub mod size;
pub mod state;
pub mod stored;
pub mod webhooks;
pub mod words;
