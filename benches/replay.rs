//! Starting again: 20,000 records replayed from the journal alone, without a snapshot.
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

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const RECORDS: usize = 20_000;

/// Copies a directory without its snapshots.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name.to_string_lossy().contains("snap") {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn replay(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let engine = support::open(&data);
    support::fill(&engine, RECORDS);
    let fingerprint = engine.view(&support::tenant()).unwrap().fingerprint();
    let mut copies = 0;
    let mut fresh = || {
        copies += 1;
        let to = home.path().join(format!("copy-{copies}"));
        copy(&data, &to);
        to
    };
    let again = support::open(&fresh());
    assert_eq!(again.view(&support::tenant()).unwrap().fingerprint(), fingerprint);
    drop(again);
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("records", |bencher| {
        bencher.iter_batched(&mut fresh, |dir| support::open(&dir), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
