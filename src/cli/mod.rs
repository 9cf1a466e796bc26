//! The command line: what a person types, and what they read back.
//!
//! One file per command. `args` says what can be typed, `fail` how a command ends, `out` is the only
//! place that prints, `client` talks to a server over the public API (a command has no back door).
//! `dedupe`, `link` and `evaluate` need no server: they normalise, compare and cluster in memory with
//! the same code that a server uses. `bench` measures a running server.

mod args;
mod ask;
mod backup;
mod bench;
mod client;
mod connect;
mod dedupe;
mod demo;
mod discover;
mod evaluate;
mod fail;
mod files;
mod import;
mod journal;
mod keyfile;
mod keys;
mod link;
mod offline;
mod out;
mod remote;
mod report;
mod serve;
mod sheet;
mod train;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::{Arguments, Verb};
use crate::cli::fail::Failure;

/// Runs the command line of this process and gives its exit code: 0 done, 1 failed, 2 bad usage or input.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.finish(),
    }
}

/// One command.
fn run(arguments: Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    match arguments.verb {
        Verb::Dedupe(dedupe) => dedupe::run(&dedupe, json),
        Verb::Link(link) => link::run(&link, json),
        Verb::Evaluate(evaluate) => evaluate::run(&evaluate, json),
        Verb::Import(import) => import::run(&import, json),
        Verb::Match(ask) => ask::run(&ask, json),
        Verb::Discover(discover) => discover::run(&discover, json),
        Verb::Train(train) => train::run(&train, json),
        Verb::Bench(bench) => bench::run(&bench, json),
        Verb::Snapshot(server) => remote::snapshot(&server, json),
        Verb::RotateKey(rotate) => remote::rotate_key(&rotate, json),
        Verb::Stats(server) => remote::stats(&server, json),
        Verb::Keys(one) => keys::run(&one, json),
        Verb::Journal(journal) => journal::run(&journal, json),
        Verb::Backup(one) => backup::backup(&one, json),
        Verb::Restore(one) => backup::restore(&one, json),
        Verb::Serve(serve) => serve::run(&serve),
        Verb::Openapi => out::text(&crate::http::openapi_json()),
    }
}
