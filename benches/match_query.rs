//! "Who is this contact?" against 20,000 contacts, on one thread, without HTTP; and how that grows.
//!
//! ```sh
//! cargo bench --bench match_query
//! cargo bench --bench match_query -- --records 200000 --dir scratch/d200   # percentiles; fills the directory once
//! ```
//!
//! With `--records` the questions are records of made-up people of whom the tenant knows others; each is asked three times
//! and its best time counts. Under `valgrind --tool=callgrind --toggle-collect='*match_contact*'` the same run counts the
//! instructions of the questions alone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and prints"
)]

#[path = "support/people.rs"]
mod people;
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use selfsame::engine::api::{ExplainLevel, MatchQuery, Verdict};
use selfsame::formats::InputRecord;

const CONTACTS: usize = 20_000;

fn query(input: InputRecord) -> MatchQuery {
    MatchQuery { input, limit: 10, threshold: 0.5, explain: ExplainLevel::None, exclude: Vec::new() }
}

/// The n-th person as another source would have it: no id, a typo in the surname, one identifier less.
fn asked(n: usize) -> InputRecord {
    let mut input = support::person(n);
    input.source = "other".into();
    input.source_record_id = None;
    input.fields.emails.clear();
    if let Some(last) = &mut input.fields.last_name {
        last.push('s');
    }
    input
}

fn match_query(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    support::fill(&engine, CONTACTS);
    let view = engine.view(&support::tenant()).unwrap();
    for n in (0..CONTACTS).step_by(997) {
        let answer = view.match_contact(&query(asked(n))).unwrap();
        let best = answer.candidates.first().unwrap();
        assert_eq!(best.contact.records[0].key.source_record_id.as_ref(), format!("r{n}"), "{:?}", answer.decision);
    }
    let stranger = InputRecord {
        fields: selfsame::model::record::Fields { name: Some("Xyla Quorvath".into()), ..Default::default() },
        ..asked(0)
    };
    assert_eq!(view.match_contact(&query(stranger.clone())).unwrap().decision, Verdict::NoMatch);

    let mut n = 0;
    criterion.bench_function("match_query/known", |bencher| {
        bencher.iter(|| {
            n = (n + 997) % CONTACTS;
            view.match_contact(&query(asked(n))).unwrap()
        });
    });
    criterion.bench_function("match_query/stranger", |bencher| {
        bencher.iter(|| view.match_contact(&query(stranger.clone())).unwrap());
    });
}

/// Questions of a run with `--records`.
const QUESTIONS: usize = 1_000;
/// Records of one command of such a run.
const BATCH: usize = 1_000;

/// A run with `--records`: made-up people, some of whose records are not stored but asked.
fn scale(records: usize, dir: &Path, rounds: usize) {
    let (mut known, mut questions) = (Vec::new(), Vec::new());
    for (at, one) in people::people(records + QUESTIONS, 1).into_iter().enumerate() {
        let is_question = at % (records / QUESTIONS + 1) == 0 && questions.len() < QUESTIONS;
        if is_question { questions.push(one.record) } else { known.push(one.record) }
    }
    let engine = support::open(dir);
    if engine.view(&support::tenant()).is_err() {
        for batch in known.chunks(BATCH) {
            support::put(&engine, batch.to_vec());
        }
    }
    let view = engine.view(&support::tenant()).unwrap();
    let asked = questions.into_iter().map(|mut input| {
        (input.source, input.source_record_id) = ("other".into(), None);
        query(input)
    });
    let mut shown = 0;
    let mut best: Vec<Duration> = Vec::new();
    for one in asked {
        let once = || {
            let from = Instant::now();
            let answer = view.match_contact(&one).unwrap();
            (from.elapsed(), answer.candidates.len())
        };
        let (times, counts): (Vec<Duration>, Vec<usize>) = (0..rounds).map(|_| once()).unzip();
        best.push(times.into_iter().min().unwrap());
        shown += counts[0];
    }
    best.sort_unstable();
    let us = |share: usize| best[(best.len() - 1) * share / 1000].as_secs_f64() * 1e6;
    let mean = best.iter().sum::<Duration>().as_secs_f64() * 1e6 / best.len() as f64;
    println!(
        "{records} records, {} questions, {:.2} candidates each: p50 {:.0} us, p90 {:.0}, p99 {:.0}, most {:.0}, mean {mean:.0}",
        best.len(),
        shown as f64 / best.len() as f64,
        us(500),
        us(900),
        us(990),
        us(1000),
    );
    assert!(shown * 2 > best.len(), "most of the people asked about are known");
}

criterion_group!(benches, match_query);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut records, mut dir, mut rounds) = (None, None, 3);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok());
        match argument.as_str() {
            "--records" => records = number(),
            "--rounds" => rounds = number().unwrap_or(3),
            "--dir" => dir = arguments.next().map(PathBuf::from),
            _ => {} // criterion's, or what cargo passes along
        }
    }
    let Some(records) = records else {
        benches();
        return Criterion::default().configure_from_args().final_summary();
    };
    let home = tempfile::tempdir().unwrap();
    scale(records, &dir.unwrap_or_else(|| home.path().join("data")), rounds);
}
