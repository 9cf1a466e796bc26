//! The public API: JSON over HTTP/1.1 and HTTP/2.
//!
//! Start with [`serve`] in `server` (connections and their bounds) and `routes` (the table of calls).
//! Around every call lies `layer` (names, figures, deadlines), which asks `guard` who may come in; `hot` are the two calls
//! that go round the router. A
//! handler gets its parts through `extract`, speaks in the types of `wire`, and answers errors as a
//! `problem`. There is one file for each resource; none of them decides anything: the engine does.
//! The other direction, from the change feed to the webhooks of other systems, is `delivery`;
//! `checks` asks others about emails and phones.

mod accounts;
mod admin;
mod api_keys;
mod app;
mod aside;
mod audit;
mod backup;
mod changes;
mod checks;
mod conflicts;
mod consent;
mod contacts;
mod cors;
mod deadlines;
mod delivery;
mod discovery;
mod erasures;
mod export;
mod extract;
mod figures;
mod groups;
mod guard;
mod hot;
mod imports;
mod keys;
mod layer;
mod merges;
mod models;
mod openapi;
mod ops;
mod page;
mod privacy;
mod problem;
mod records;
mod references;
mod relations;
mod reviews;
mod routes;
mod search;
mod server;
mod settings;
mod stats;
mod subject;
mod tls;
mod usage;
mod webhooks;
mod wire;

pub use app::EngineSlot;
pub use guard::check_listen;
pub use openapi::openapi_json;
pub use routes::{RouteRule, route_rules};
pub use server::{bind, check_tls, check_webhooks, first_key, serve};
