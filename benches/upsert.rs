//! Upserts with resolution, durable, without HTTP: one record at a time, and a thousand at once; and the index of blocking
//! keys, of which they write most.
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

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use selfsame::engine::api::Outcome;
use selfsame::index::postings::Postings;
use selfsame::model::key::{Key, KeyKind};

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

/// Keys of a record.
const KEYS: u64 = 32;
/// Records of one batch: a chunk of a snapshot.
const CHUNK: u32 = 512;

/// Keys of a record, half of them shared with others.
fn held(slot: u32) -> impl Iterator<Item = (Key, u32, u32)> {
    (0..KEYS).map(move |at| {
        let own = (u64::from(slot) * KEYS + at) % if at % 2 == 0 { u64::MAX } else { 1 + at * 977 };
        (Key::new(KeyKind::Compound, 0, &[&own.to_string()]), slot, slot % 900)
    })
}

/// The index of who holds a key: one holder more, readers keeping what they saw; many at once; and a look-up.
fn postings(criterion: &mut Criterion) {
    let mut postings = Postings::default();
    for from in (0..40 * CHUNK).step_by(CHUNK as usize) {
        postings.add_all((from..from + CHUNK).flat_map(held).collect());
    }
    assert_eq!(postings.get(Key(1)).map_or(0, |one| one.holders()), 0);
    let mut group = criterion.benchmark_group("postings");
    group.sample_size(20).throughput(Throughput::Elements(KEYS));
    let mut slot = 40 * CHUNK;
    group.bench_function("record", |bencher| {
        let mut postings = postings.clone();
        bencher.iter(|| {
            slot += 1;
            let seen = postings.clone();
            held(slot).for_each(|(key, slot, code)| postings.add(key, slot, code));
            assert!(postings.len() > seen.len());
        });
    });
    group.throughput(Throughput::Elements(KEYS * u64::from(CHUNK)));
    for at_once in [false, true] {
        group.bench_function(if at_once { "chunk at once" } else { "chunk one by one" }, |bencher| {
            let all: Vec<_> = (slot..slot + CHUNK).flat_map(held).collect();
            bencher.iter_batched(
                || (postings.clone(), all.clone()),
                |(mut postings, all)| {
                    match at_once {
                        true => postings.add_all(all),
                        false => all.into_iter().for_each(|(key, slot, code)| postings.add(key, slot, code)),
                    }
                    postings.len()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.throughput(Throughput::Elements(KEYS));
    let mut at = 0;
    group.bench_function("look-up", |bencher| {
        let keys: Vec<Vec<Key>> = (0..20 * CHUNK).map(|slot| held(slot).map(|(key, ..)| key).collect()).collect();
        bencher.iter(|| {
            at = (at + 7919) % keys.len();
            let holders = keys[at].iter().filter_map(|key| postings.get(*key)).map(|one| one.holders()).sum::<usize>();
            assert!(holders >= KEYS as usize);
        });
    });
    group.finish();
}

criterion_group!(benches, upsert, postings);
criterion_main!(benches);
