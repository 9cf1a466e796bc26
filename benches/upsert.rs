//! Upserts with resolution, durable, without HTTP: one record at a time, and a thousand at once.
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

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selfsame::engine::api::Outcome;

fn upsert(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    support::fill(&engine, 10_000);
    assert_eq!(support::put(&engine, vec![support::person(5)]), [Outcome::Unchanged]);
    let mut next = 10_000;
    criterion.bench_function("upsert/one", |bencher| {
        bencher.iter(|| {
            next += 1;
            let outcomes = support::put(&engine, vec![support::person(next)]);
            assert_ne!(outcomes, [Outcome::Unchanged]);
        });
    });
    let mut group = criterion.benchmark_group("upsert");
    group.sample_size(20).throughput(Throughput::Elements(1_000));
    group.bench_function("thousand", |bencher| {
        bencher.iter(|| {
            let outcomes = support::put(&engine, (next + 1..=next + 1_000).map(support::person).collect());
            next += 1_000;
            assert_eq!(outcomes.len(), 1_000);
        });
    });
    group.finish();
}

criterion_group!(benches, upsert);
criterion_main!(benches);
