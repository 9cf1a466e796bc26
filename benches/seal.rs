//! What sealing costs: appending groups of frames sealed and plain, reading them back, and the keys of 100,000 tenants.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use selfsame::host::{Disk, MemDisk, OsRandom};
use selfsame::journal::{FrameIn, Journal, JournalOptions, Keyring, Label, Opened};
use selfsame::model::ids::Millis;

/// Frames of a group.
const FRAMES: usize = 100;
/// Bytes of a payload: about those of a record's event.
const PAYLOAD: usize = 700;
/// Groups read back.
const GROUPS: usize = 200;
const TENANTS: u64 = 100_000;
const DATA: &str = "data";

fn keyring(disk: &MemDisk) -> Arc<Keyring> {
    let keys = Keyring::open(Arc::new(disk.clone()), Path::new(DATA), &[1; 32], Arc::new(OsRandom)).unwrap();
    keys.settle().unwrap();
    Arc::new(keys)
}

fn journal(disk: &MemDisk, keys: Option<&Arc<Keyring>>) -> Journal {
    disk.create_dir_all(Path::new(DATA)).unwrap();
    let options = JournalOptions::default();
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), Path::new(DATA), options, Arc::new(OsRandom)).unwrap();
    if let Some(keys) = keys {
        journal.seal_with(Arc::clone(keys));
    }
    journal
}

fn group(payload: &[u8]) -> Vec<FrameIn<'_>> {
    let frame = |n: usize| FrameIn { tenant: n as u64 % 7, kind: 4, version: 1, last_of_command: true, payload };
    (0..FRAMES).map(frame).collect()
}

fn appending(criterion: &mut Criterion) {
    let payload = vec![7; PAYLOAD];
    let mut measured = criterion.benchmark_group("append");
    measured.throughput(Throughput::Elements(FRAMES as u64));
    for (name, sealed) in [("plain", false), ("sealed", true)] {
        // A fresh journal now and then, so that all stay in memory.
        measured.bench_function(name, |bencher| {
            let fresh = || {
                let disk = MemDisk::new();
                let keys = sealed.then(|| keyring(&disk));
                let mut journal = journal(&disk, keys.as_ref());
                journal.append(&group(&payload), Millis(1)).unwrap();
                journal
            };
            bencher.iter_batched_ref(
                fresh,
                |journal| journal.append(&group(&payload), Millis(2)).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    measured.finish();
}

fn reading(criterion: &mut Criterion) {
    let payload = vec![7; PAYLOAD];
    let mut measured = criterion.benchmark_group("read");
    measured.throughput(Throughput::Elements((FRAMES * GROUPS) as u64));
    for (name, sealed) in [("plain", false), ("sealed", true)] {
        let disk = MemDisk::new();
        let keys = keyring(&disk);
        let mut journal = journal(&disk, sealed.then_some(&keys));
        for _ in 0..GROUPS {
            journal.append(&group(&payload), Millis(1)).unwrap();
        }
        let read = || {
            let mut frames = 0;
            Journal::replay_opened(&disk, Path::new(DATA), 0, &keys, &mut |frame| {
                assert_eq!(frame.payload, payload);
                frames += 1;
                Ok(())
            })
            .unwrap();
            frames
        };
        assert_eq!(read(), FRAMES * GROUPS);
        measured.bench_function(name, |bencher| bencher.iter(read));
    }
    measured.finish();
}

fn keys(criterion: &mut Criterion) {
    let payload = vec![7; PAYLOAD];
    let label = Label::Frame { tenant: 3, kind: 4, version: 1, seq: 9 };
    let disk = MemDisk::new();
    let ring = keyring(&disk);
    let sealed = ring.seal(&label, &payload).unwrap();
    assert_eq!(ring.open_sealed(&label, &sealed).unwrap(), Opened::Plain(payload.clone()));
    let mut measured = criterion.benchmark_group("keys");
    measured.bench_function("seal one", |bencher| bencher.iter(|| ring.seal(&label, &payload).unwrap()));
    measured.bench_function("open one", |bencher| bencher.iter(|| ring.open_sealed(&label, &sealed).unwrap()));
    ring.prepare(0..TENANTS).unwrap();
    assert_eq!(ring.highest_tenant(), TENANTS - 1);
    measured.sample_size(10);
    measured.bench_function("open a ring of 100,000", |bencher| bencher.iter(|| keyring(&disk).highest_tenant()));
    measured.bench_function("rotate 100,000", |bencher| bencher.iter(|| ring.rotate_master(&[1; 32]).unwrap()));
    measured.finish();
}

criterion_group!(benches, appending, reading, keys);
criterion_main!(benches);
