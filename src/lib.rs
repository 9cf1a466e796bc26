//! selfsame: an entity-resolution search index server for contacts.
//!
//! The modules, lowest first; each may use only what stands above it here (a test enforces it):
//!
//! - [`model`] is nouns only: ids, records, normalised values, events.
//! - [`error`] is the one error type.
//! - [`cow`] holds collections that are cheap to clone, so that readers keep a view while a writer goes on.
//! - [`host`] is the outside world as small traits: clock, disk, random.
//! - [`normalize`] turns text into canonical values plus issues.
//! - [`matching`] says how alike two normalised records are, and why.
//! - [`index`] says which records could match at all.
//! - [`discovery`] says which hashed identifiers a directory knows.
//! - [`formats`] reads and writes CSV, vCard, NDJSON and the JSON record of the contract.
//! - [`journal`] keeps numbered byte frames on disk; it does not know what an event is.
//! - [`store`] is a tenant's state in memory and the only code that changes it.
//! - [`resolve`] decides: a shard and a command in, events out; pure.
//! - [`engine`] is the one path for every write, and the reads.
//! - [`auth`] says who may do what: API keys, roles, rules of routes, rate limits.
//! - [`config`] is what the server runs on.
//! - [`telemetry`] sets up diagnostics.
//! - [`http`] is the public API over hyper.
//! - [`cli`] is the command line.

pub mod model;

pub mod error;

pub mod cow;
pub mod host;

pub mod normalize;

pub mod discovery;
pub mod formats;
pub mod index;
pub mod matching;

pub mod journal;

pub mod store;

pub mod resolve;

pub mod engine;

pub mod auth;
pub mod config;
pub mod telemetry;

pub mod http;

pub mod cli;
