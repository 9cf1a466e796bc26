//! Oblivious look-ups: what the engine adds to the bare library, and what buckets, filters and revealing cost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selfsame::discovery::Kind;
use selfsame::discovery::dialect::primary;
use selfsame::discovery::filter::{Filter, Width, build};
use selfsame::discovery::oprf::client::{Blinded, finalize};
use selfsame::discovery::oprf::set::{Member, Set, prefix_bits};
use selfsame::discovery::oprf::{Dice, Element, EpochKey, Output, Points, input};
use selfsame::discovery::tag::Master;
use selfsame::engine::api::{Command, Context};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::host::{MemDisk, OsRandom, SystemClock};
use selfsame::model::ids::TenantName;
use selfsame::model::settings::{Discovery, Settings};
use zeroize::Zeroizing;

/// Elements of a request.
const BATCH: usize = 1000;
/// Members of the large set.
const MEMBERS: u32 = 1_000_000;

fn blinded(count: usize) -> Vec<Blinded> {
    let mut dice = Dice::new(&[1; 32]);
    let blind = |n: usize| Blinded::new(input(Kind::Phone, &primary(&format!("+1650{n:07}"))), &mut dice).unwrap();
    (0..count).map(blind).collect()
}

fn elements(blinded: &[Blinded]) -> Vec<Element> {
    blinded.iter().map(|one| *one.element()).collect()
}

/// A directory with quotas that no benchmark reaches.
fn directory() -> (Arc<Engine>, TenantName) {
    let world =
        World { disk: Arc::new(MemDisk::new()), clock: Arc::new(SystemClock::default()), random: Arc::new(OsRandom) };
    let engine = Engine::open(EngineOptions::new("/data"), world).unwrap().0;
    let tenant = TenantName::parse("app").unwrap();
    let discovery = Discovery { users: Some("app".into()), quota_new_max: 1_000_000_000, ..Discovery::default() };
    let settings = Box::new(Settings { discovery, ..Settings::default() });
    engine.submit_blocking(&tenant, Command::PutSettings { settings }, Context::default()).unwrap();
    engine.refresh_discovery(&tenant).unwrap();
    (engine, tenant)
}

/// One core: the library alone, reading and writing included, and a request of the same elements through the engine.
fn evaluating(criterion: &mut Criterion) {
    let (engine, tenant) = directory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = EpochKey::derive(&Master::new(&[0; 32]), "app", 1).unwrap();
    let sent = blinded(BATCH);
    let elements = elements(&sent);
    let ask = |proof| {
        let evaluation = engine.evaluation(&tenant, "bench").unwrap();
        runtime.block_on(evaluation.evaluate(1, elements.clone(), proof)).unwrap().evaluated
    };
    let expected = key.evaluate(&Points::read(&elements).unwrap(), None);
    assert_eq!(ask(false), expected, "through the engine comes what the library says");
    let proven = ask(true);
    let outputs = finalize(&sent, &proven, key.public_key()).unwrap();
    assert_eq!(outputs[7], key.output(Kind::Phone, &primary("+16500000007")).unwrap());
    let mut measured = criterion.benchmark_group("evaluate 1000");
    measured.sample_size(20).throughput(Throughput::Elements(BATCH as u64));
    for (name, proof) in [("without proof", false), ("with proof", true)] {
        measured.bench_function(format!("library {name}"), |bencher| {
            bencher.iter(|| {
                let points = Points::read(&elements).unwrap();
                black_box(key.evaluate(&points, proof.then(|| Dice::new(&[2; 32]))))
            });
        });
        measured.bench_function(format!("engine {name}"), |bencher| bencher.iter(|| black_box(ask(proof))));
    }
    measured.finish();
}

fn members() -> Vec<Member> {
    let member = |n: u32| {
        let hash = blake3::hash(&n.to_le_bytes());
        let id = *hash.as_bytes().first_chunk().unwrap();
        Member { id, output: Output::of(blake3::hash(hash.as_bytes()).as_bytes()).unwrap(), slot: n }
    };
    (0..MEMBERS).map(member).collect()
}

fn comparing(criterion: &mut Criterion) {
    let members = members();
    let bits = prefix_bits(members.len());
    let set = Set::new(members.clone(), bits, 0, Zeroizing::new([7; 32]));
    assert!(members.iter().step_by(997).all(|one| set.slot_of(&one.output.reveal) == Some(one.slot)));
    assert_eq!(set.slot_of(&[1; 16]), None);
    let bytes = build(set.tags(), 1, Width::Bits32, &[0; 32]).unwrap();
    let filter = Filter::parse(&bytes).unwrap();
    assert!(set.tags().iter().all(|tag| filter.contains(*tag)));
    let mut measured = criterion.benchmark_group("a set of 1,000,000");
    measured.sample_size(20);
    // Not zeros: the system has one page for all that were never written, and that one is in the cache.
    let copy = vec![1_u8; set.bucket_bytes() * BATCH];
    measured.bench_function("memcpy of 1000 buckets", |bencher| bencher.iter(|| black_box(copy.clone())));
    let prefix = |n: usize| (n as u32).wrapping_mul(2_654_435_761) >> (32 - u32::from(bits));
    measured.bench_function("1000 buckets", |bencher| {
        bencher.iter(|| {
            let mut body = Vec::with_capacity(copy.len());
            (0..BATCH).for_each(|n| body.extend_from_slice(set.bucket(prefix(n)).unwrap()));
            black_box(body)
        });
    });
    let asked: Vec<[u8; 16]> = members.iter().step_by(1000).map(|one| one.output.reveal).collect();
    measured.bench_function("1000 reveal keys", |bencher| {
        bencher.iter(|| asked.iter().filter_map(|key| set.slot_of(black_box(key))).count());
    });
    measured
        .bench_function("making the filter", |bencher| bencher.iter(|| build(set.tags(), 1, Width::Bits32, &[0; 32])));
    measured.finish();
}

criterion_group!(benches, evaluating, comparing);
criterion_main!(benches);
