//! `bench`: how long a running server takes to answer, measured from outside under a steady load.
//!
//! Requests leave at fixed times, whether earlier ones are answered or not, and a latency counts from the time the
//! request was due: a server that stalls pays for every request that it kept waiting (coordinated omission). Tails
//! of a shared machine say as much about the machine as about the server. So each round runs the same load on
//! `/healthz` first, and the figure to compare is the match p99 minus that control's, best of the rounds. The client
//! should have a core of its own: `taskset -c 0 selfsame serve`, `taskset -c 1 selfsame bench`.
//!
//! [`queries`] says what is asked, [`load`] sends it and times the answers, [`answer`] checks them, [`figures`] shows
//! what came out. Any answer that is not 200 and whole makes the exit code 1: a broken run has no figures.

mod answer;
mod figures;
mod load;
mod queries;

use std::time::Duration;

use serde_json::Value;

use crate::cli::args::{Bench, Rate};
use crate::cli::bench::figures::{Figures, Round};
use crate::cli::bench::load::{Load, Target, Traffic};
use crate::cli::bench::queries::{Population, Query};
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::host::{Clock, SystemClock};

/// Seconds of unmeasured load before the first round, at most.
const WARM_UP_SECONDS_MAX: f64 = 1.0;

/// Records of a batch that fills a tenant, and connections that send them.
const PRELOAD_BATCH: u32 = 500;
const PRELOAD_CONNECTIONS: u32 = 4;
/// Seconds that filling a tenant may take.
const PRELOAD_SECONDS_MAX: u64 = 6 * 3600;
/// Connections of the matches beside a load.
const PROBE_CONNECTIONS: u32 = 2;

/// Runs the command.
pub(super) fn run(bench: &Bench, json: bool) -> Result<(), Failure> {
    let client = Client::new(&bench.server)?;
    let target = Target::new(&bench.server, &client)?;
    let people = Population::new(bench.seed);
    if bench.preload > 0 {
        preload(bench, &target, &people)?;
    }
    let stats = client.get(&client.of_tenant("stats"))?;
    let queries = match &bench.file {
        Some(file) => queries::read(file)?,
        None if bench.preload > 0 => people.mix(bench.preload),
        None => queries::made(bench.seed),
    };
    let figures = measure(bench, &target, &queries, records(&stats))?;
    if json {
        out::json(&figures.json()?)?;
    } else {
        figures.show()?;
    }
    figures.verdict()
}

fn records(stats: &Value) -> u64 {
    stats.get("records").and_then(Value::as_u64).unwrap_or(0)
}

/// Fills the tenant. People who are there already change nothing.
fn preload(bench: &Bench, target: &Target, people: &Population) -> Result<(), Failure> {
    let (rate, duration) = (Rate::Max, Duration::from_secs(PRELOAD_SECONDS_MAX));
    let load = Load { target, rate, duration, connections: PRELOAD_CONNECTIONS };
    let tally = load.run(&Traffic::Preload { people, batch: PRELOAD_BATCH, count: bench.preload })?;
    let (put, seconds) = (tally.upserts.records, tally.took.as_secs_f64());
    if put < bench.preload {
        let why = tally.upserts.example.as_deref().unwrap_or("the time was over");
        return Err(Failure::failed(format!(
            "--preload: {put} of {} records are stored: {}",
            bench.preload,
            out::clean(why)
        )));
    }
    out::note(&format!("preloaded {} records in {seconds:.0} s", out::count(put)));
    Ok(())
}

/// All rounds, each control first.
fn measure<'a>(bench: &'a Bench, target: &Target, queries: &[Query], records: u64) -> Result<Figures<'a>, Failure> {
    let load = |seconds: f64| Load {
        target,
        rate: bench.rate,
        duration: Duration::from_secs_f64(seconds),
        connections: bench.connections,
    };
    let started = SystemClock::new().now().0;
    let mix = |write_share, first| Traffic::Mix { queries, write_share, batch: bench.batch, run: started, first };
    let probe = |first| match bench.probe {
        Some(rate) => {
            let load = Load { rate: Rate::PerSecond(rate), connections: PROBE_CONNECTIONS, ..load(bench.seconds) };
            load.run(&mix(0.0, first)).map(Some)
        }
        None => Ok(None),
    };
    let warm_up = load(bench.seconds.min(WARM_UP_SECONDS_MAX));
    warm_up.run(&Traffic::Control)?;
    warm_up.run(&mix(0.0, 0))?;
    let mut rounds = Vec::new();
    let mut sent = 0;
    for number in 1..=bench.rounds {
        let control = load(bench.seconds).run(&Traffic::Control)?;
        let idle = probe(sent)?;
        let (asked, meanwhile) = std::thread::scope(|scope| {
            let beside = scope.spawn(|| probe(sent));
            let asked = load(bench.seconds).run(&mix(bench.write_share, sent))?;
            let beside = beside.join().map_err(|_| Failure::failed("a sending thread panicked"))??;
            Ok::<_, Failure>((asked, beside))
        })?;
        sent += asked.sent;
        let round = Round { control, asked, idle, meanwhile };
        out::note(&format!("round {number} of {}: {}", bench.rounds, round.line()));
        rounds.push(round);
    }
    Ok(Figures { bench, queries: queries.len(), records, rounds })
}
