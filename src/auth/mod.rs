//! Who may do what.
//!
//! Start with [`Auth`]: a request's key in, a [`Caller`] out. [`rule`] is what a route asks for and [`Caller::check`]
//! whether a caller has it; `http/routes.rs` puts a rule beside every route, and `http/layer.rs` is the one place that
//! enforces them, before a body is read. [`secret`] makes keys and tells their public id, [`limit`] counts requests and
//! failures.
//!
//! Secrets are compared in constant time: the stored key is found by its public id, then the hashes are compared in full;
//! an id that nobody has is compared with a hash that nothing has.

pub mod caller;
pub mod limit;
mod registry;
pub mod rule;
pub mod secret;

pub use caller::Caller;
pub use registry::{Auth, AuthOptions, NewKey, Refusal};
pub use rule::{Need, Noted, Reach, Rule};
pub use secret::KeyText;
