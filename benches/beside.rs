//! How long a match takes while oblivious look-ups have all that their threads can give.
//!
//! ```sh
//! cargo bench --bench beside                       # 20,000 contacts, three rounds
//! cargo bench --bench beside -- --records 100000
//! ```
//!
//! One client asks for matches at fixed times, a hundred a second, and counts from when each was due; another tells how long
//! a bare hyper takes to answer at the same pace. Meanwhile, in every second phase, two connections ask for evaluations of a
//! thousand elements as fast as they come, so that one always waits. Idle and busy phases take turns; told are the
//! medians of the rounds, and their ratio (1.5 is wanted at most of the p99). It prints; it does not fail on a ratio.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and prints"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use selfsame::discovery::Kind;
use selfsame::discovery::dialect::primary;
use selfsame::discovery::oprf::client::Blinded;
use selfsame::discovery::oprf::{Dice, input};
use selfsame::engine::Engine;
use selfsame::engine::api::{Command, Context};
use selfsame::model::ids::TenantName;
use selfsame::model::settings::{Discovery, Settings};

use support::question;
use support::wire::{Client, serve, serve_bare};

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Matches, and bare answers, a second.
const PACE: u32 = 100;
const ROUNDS: usize = 3;
/// Connections that ask for evaluations: one is served, one waits.
const ASKING: usize = 2;
const ELEMENTS: usize = 1_000;

fn main() {
    let (mut records, mut seconds) = (20_000, 10);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--records" => records = number(),
            "--seconds" => seconds = number(),
            "--quick" => (records, seconds) = (2_000, 1),
            _ => {} // what cargo passes along
        }
    }
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    support::fill(&engine, records);
    directory(&engine);
    measure(&engine, records, Duration::from_secs(seconds as u64));
}

/// A directory with quotas that no benchmark reaches. Its set may be empty: evaluating never looks at it.
fn directory(engine: &Arc<Engine>) {
    let tenant = TenantName::parse("app").unwrap();
    let discovery = Discovery { users: Some("app".into()), quota_new_max: 1_000_000_000, ..Discovery::default() };
    let settings = Box::new(Settings { discovery, ..Settings::default() });
    engine.submit_blocking(&tenant, Command::PutSettings { settings }, Context::default()).unwrap();
    engine.refresh_discovery(&tenant).unwrap();
}

fn measure(engine: &Arc<Engine>, records: usize, phase: Duration) {
    let ours = serve(engine);
    let path = format!("/v1/tenants/{}/contacts:match", support::tenant().as_str());
    let typical = Client::of(ours).ask(&path, &question(0));
    let bare = serve_bare(Bytes::from(typical));
    let evaluate = evaluation();
    let bodies: Vec<String> = (0..records.min(5_000)).map(|n| question(n * 7 % records)).collect();
    // Once through, so that both kinds of phases find the same caches.
    let mut client = Client::of(ours);
    bodies.iter().for_each(|body| drop(client.ask(&path, body)));
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for round in 1..=ROUNDS {
        let [idle, busy] = [false, true].map(|saturate| {
            let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..if saturate { ASKING } else { 0 } {
                    scope.spawn(|| {
                        let mut client = Client::of(ours);
                        while !stop.load(Ordering::Relaxed) {
                            client.ask("/v1/tenants/app/discovery/oprf/evaluate", &evaluate);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                let control = scope.spawn(|| paced(bare, "/", &bodies, phase, Duration::from_secs(1) / PACE / 2));
                let times = paced(ours, &path, &bodies, phase, Duration::ZERO);
                stop.store(true, Ordering::Relaxed);
                (times, control.join().unwrap(), answered.load(Ordering::Relaxed))
            })
        });
        for (what, (times, control, answered)) in [("idle", &idle), ("busy", &busy)] {
            println!(
                "round {round}, {what}: match p50 {:.0} us, p99 {:.0}; bare hyper p50 {:.0}, p99 {:.0}; {:.0} elements a second",
                of(times, 50),
                of(times, 99),
                of(control, 50),
                of(control, 99),
                (answered * ELEMENTS) as f64 / phase.as_secs_f64(),
            );
        }
        for (at, percent) in [(0, 50), (1, 99)] {
            ratios[at].push(of(&busy.0, percent) / of(&idle.0, percent));
            ratios[at + 2].push(of(&busy.1, percent) / of(&idle.1, percent));
        }
    }
    let [p50, p99, bare_p50, bare_p99] = ratios.map(|mut all| {
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!(
        "{records} contacts, busy against idle: match p50 {p50:.2}, p99 {p99:.2} (1.5 is wanted at most); bare hyper {bare_p50:.2}, \
         {bare_p99:.2}"
    );
}

/// A request for a thousand evaluations without a proof.
fn evaluation() -> String {
    let mut dice = Dice::new(&[1; 32]);
    let blind = |n: usize| Blinded::new(input(Kind::Phone, &primary(&format!("+1650{n:07}"))), &mut dice).unwrap();
    let blinded: Vec<String> = (0..ELEMENTS).map(blind).map(|one| URL_SAFE_NO_PAD.encode(one.element())).collect();
    serde_json::json!({"epoch": 1, "blinded": blinded, "proof": false}).to_string()
}

/// How long answers take that are asked for at fixed times, from when each was due.
fn paced(address: SocketAddr, path: &str, bodies: &[String], phase: Duration, after: Duration) -> Vec<Duration> {
    let mut client = Client::of(address);
    let from = Instant::now() + after;
    let due = |n: u32| from + Duration::from_secs(1) * n / PACE;
    let count = PACE * phase.as_secs() as u32;
    let ask = |n: u32| {
        std::thread::sleep(due(n).saturating_duration_since(Instant::now()));
        drop(client.ask(path, &bodies[n as usize % bodies.len()]));
        due(n).elapsed()
    };
    (0..count).map(ask).collect()
}

/// A percentile, in microseconds.
fn of(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
}
