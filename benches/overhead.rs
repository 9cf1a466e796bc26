//! What the server adds to a match: the head, the guard, JSON in and out, beside a bare hyper that reads as much and answers as
//! much. Both serve in this process on two threads each, one client with one connection asks them in turn.
//!
//! ```sh
//! cargo bench --bench overhead                       # 20,000 contacts, 2,000 questions
//! cargo bench --bench overhead -- --records 100000
//! ```
//!
//! A hundred questions are asked in process, then over HTTP, then of the bare server, then the next hundred, five times
//! over; every time counts, and the ratio is that of medians within one run. Each way finds the
//! caches as the questions before left them: asked five times in a row, as this benchmark once did, a question in process finds all it
//! needs in the first and second level, which no caller's question does. It prints; it does not fail on a ratio.
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

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use selfsame::engine::Engine;
use selfsame::engine::api::{ExplainLevel, MatchQuery};
use selfsame::formats::InputRecord;

use support::wire::{Client, serve, serve_bare};

/// The binary's. The system's makes our side slower and not the bare one, which hardly allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUESTIONS: usize = 2_000;
const ROUNDS: usize = 5;

fn main() {
    let (mut records, mut questions) = (20_000, QUESTIONS);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--records" => records = number(),
            "--questions" => questions = number(),
            "--quick" => (records, questions) = (2_000, 100),
            _ => {} // what cargo passes along
        }
    }
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    support::fill(&engine, records);
    measure(&engine, records, questions);
}

/// The n-th person without an email, as JSON and as a record.
fn asked(n: usize) -> (String, MatchQuery) {
    let mut input = support::person(n);
    input.fields.emails.clear();
    let input = InputRecord { source: "other".into(), source_record_id: None, ..input };
    (
        support::question(n),
        MatchQuery { input, limit: 10, threshold: 0.5, explain: ExplainLevel::None, exclude: Vec::new() },
    )
}

fn measure(engine: &Arc<Engine>, records: usize, questions: usize) {
    let view = engine.view(&support::tenant()).unwrap();
    let mut ours = Client::of(serve(engine));
    let path = format!("/v1/tenants/{}/contacts:match", support::tenant().as_str());
    let typical = ours.ask(&path, &asked(0).0);
    let mut bare = Client::of(serve_bare(Bytes::from(typical)));
    let (mut over, mut inside, mut bares) = (Vec::new(), Vec::new(), Vec::new());
    let asked: Vec<(String, MatchQuery)> = (0..questions).map(|n| asked(n * 7 % records)).collect();
    for hundred in std::iter::repeat_n(asked.chunks(100), ROUNDS).flatten() {
        let mut found = Vec::new();
        for (_, query) in hundred {
            let from = Instant::now();
            let answer = view.match_contact(query).unwrap();
            inside.push(from.elapsed());
            found.push(answer.candidates.first().map(|one| one.contact.records.len()));
        }
        let mut texts = Vec::new();
        for (body, _) in hundred {
            let from = Instant::now();
            texts.push(ours.ask(&path, body));
            over.push(from.elapsed());
        }
        for (body, _) in hundred {
            let from = Instant::now();
            bare.ask("/", body);
            bares.push(from.elapsed());
        }
        for (text, found) in texts.iter().zip(found) {
            let told: serde_json::Value = serde_json::from_slice(text).unwrap();
            let told = told["candidates"][0]["contact"]["records"].as_array().map(Vec::len);
            assert_eq!(told, found, "both find the same");
        }
    }
    let [inside, over, bares] = [inside, over, bares].map(median);
    println!(
        "{records} contacts, {questions} questions: in process p50 {inside:.1} us, over HTTP {over:.1}, bare hyper {bares:.1}; \
         HTTP without the match is {:.2} times bare hyper (2.5 is wanted at most)",
        (over - inside) / bares,
    );
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
