//! Integration tests, one binary: the engine's scenarios, the shape of the source, the real program.
//!
//! - [`engine`]: what the engine promises, on disks that a test controls.
//! - [`properties`]: what holds for any records: order, undo, match against upsert.
//! - [`discipline`]: unique keys, harmless retries, dry runs, conflicts, groups.
//! - [`scenarios`]: people whose right answer is known, in every load order.
//! - [`shuffles`]: whole data sets in many load orders.
//! - [`crowd`]: many clients at once, and exactly the people there are.
//! - [`scripts`]: golden scripts, the documentation of survivorship and reviews.
//! - [`simulate`]: random commands, crashes and faults from a seed.
//! - [`erase`]: who is erased is in no file any more, and the others are as they were.
//! - [`worlds`]: the same with several tenants and callers at once, against a naive model; planted bugs are found.
//! - [`tricky_disk`]: crashes inside of a sync, slow syncs, and the planted bugs.
//! - [`rot`]: every byte of a small data directory damaged, through the engine.
//! - [`golden`]: data directories of earlier versions open for ever.
//! - [`architecture`]: layers, headers, links, words that must not occur.
//! - [`server`]: runs the real program on a free port; the helper for the tests below.
//! - [`main_job`]: import, match, merge, undo, import again.
//! - [`bench`]: the load generator against a real server.
//! - [`bad_input`]: everything that can be wrong, and what the program says to it.
//! - [`sealed`]: encryption at rest: keys that are wrong, missing, rotated and destroyed.
//! - [`kill9`]: kills the server in the middle of imports and looks for losses.
//! - [`backup`]: copies of a data directory, and restoring them.
//! - [`durability`]: what a crash may take in each mode.
//! - [`limits`]: disk and memory run short.
//! - [`lookups`]: who is found in a directory, through every change and rotation.
//! - [`lookups_http`]: look-ups, tokens and quotas over HTTP, tenants that keep tags only, and what a thief could do.
//! - [`quotas`]: quotas under crashes, restarts, clock steps and many callers.
//! - [`full_disk`]: a real file system that fills up, and one that turns read-only.
//! - [`oblivious`]: oblivious and Matrix look-ups, over HTTP and on a disk that a test controls.
//! - [`offline`]: `dedupe`, `link` and `evaluate` on files.
//! - [`train`]: a tenant learns from its own records.
//! - [`references`]: golden scripts of what points at contacts through merges and back.
//! - [`upkeep`]: snapshots that come by themselves, and starts from damaged ones.
//! - [`webhooks`]: a receiver on loopback and what the server sends to it.
//! - [`privacy`]: restriction, subject access, rectification, portability, the register.
//! - [`checks`]: a name server and a validator on loopback that are asked about emails and phones.
//! - [`account_calls`]: questions about accounts, their edits, imports and exports over HTTP.
//! - [`access`]: every route with every role, keys from their making to their end, the trail of privileged acts.
//! - [`hosted`]: a server inside of the test, under any configuration; the helper for the tests of access.
//! - [`hostile`]: requests that no honest client sends, over raw sockets.
//! - [`tls`]: certificates, their change while the server runs, clients' certificates.
//! - [`floors`]: F1 on the labelled sets, where they are.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test stops at the first surprise, reads files, and prints"
)]

mod access;
mod account_calls;
mod accounts;
mod architecture;
mod backup;
mod bad_input;
mod bench;
mod checks;
mod consent;
mod crowd;
mod discipline;
mod durability;
mod engine;
mod erase;
mod floors;
mod full_disk;
mod golden;
mod golden_people;
mod hosted;
mod hostile;
mod kill9;
mod limits;
mod lookups;
mod lookups_http;
mod main_job;
mod oblivious;
mod offline;
mod parking;
#[path = "../../benches/support/people.rs"]
mod people;
mod privacy;
mod properties;
mod quotas;
mod references;
mod rot;
mod scenarios;
mod scripts;
mod sealed;
mod server;
mod shuffles;
mod simulate;
mod tls;
mod told;
mod train;
mod tricky_disk;
mod upkeep;
mod waiting;
mod webhooks;
mod worlds;
