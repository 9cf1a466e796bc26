//! Look-ups in a directory: the map of tags against a bare table, the handler's loop, the same over HTTP beside a hyper echo, memory
//! for each tag, rotation.
//!
//! `SELFSAME_BENCH_TAGS` sets how many tags the map has (default 1,000,000; the figures of the README are of 10,000,000).
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

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selfsame::discovery::Kind;
use selfsame::discovery::dialect::{parse_digest, primary};
use selfsame::discovery::directory::{Directory, Held, Keys};
use selfsame::discovery::tag::{Master, Tag};
use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, ConsentCommand, Context, Mode, Policy};
use selfsame::model::event::consent::Findable;
use selfsame::model::event::{Consent, DiscoveryKey};
use selfsame::model::ids::Millis;
use selfsame::model::settings::{Discovery, Settings};

use support::wire::{Client, serve, serve_bare, serve_echo};

/// The binary's. The system's makes our side slower and not the bare one, which hardly allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Users of the directory behind the handler's loop.
const USERS: usize = 2_000;

fn tags() -> usize {
    std::env::var("SELFSAME_BENCH_TAGS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

fn tag(number: usize) -> Tag {
    *blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap()
}

fn map(criterion: &mut Criterion) {
    let count = tags();
    let keys = Keys::Plain(Master::new(&[1; 32]).tag_key("bench", 1));
    let directory = Directory::new(1, keys, count);
    let started = Instant::now();
    (0..count).for_each(|at| directory.insert(&tag(at), Held { is_secondary: false, slot: at as u32 }));
    let took = started.elapsed();
    assert_eq!(directory.len(), count);
    let each = directory.bytes() as f64 / count as f64;
    println!(
        "map of {count} tags: {each:.1} bytes each (35.2 is a bare table at 10,000,000), {:.0} ns to put one",
        took.as_nanos() as f64 / count as f64
    );
    let hash = |tag: &Tag| u64::from_le_bytes(*tag.first_chunk().unwrap());
    let mut bare: hashbrown::HashTable<(Tag, u32)> = hashbrown::HashTable::with_capacity(count);
    for at in 0..count {
        bare.insert_unique(hash(&tag(at)), (tag(at), at as u32), |(tag, _)| hash(tag));
    }
    let known: Vec<Tag> = (0..4096).map(|at| tag(at * 7919 % count)).collect();
    let unknown: Vec<Tag> = (0..4096).map(|at| tag(count + at)).collect();
    assert!(known.iter().all(|tag| directory.get(tag).len() == 1));
    assert!(unknown.iter().all(|tag| directory.get(tag).is_empty()));
    let mut group = criterion.benchmark_group("map");
    group.throughput(Throughput::Elements(4096));
    for (name, asked) in [("hit", &known), ("miss", &unknown)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| asked.iter().map(|tag| directory.get(tag).len()).sum::<usize>())
        });
        let find = |tag: &Tag| bare.find(hash(tag), |(known, _)| known == tag).map_or(0, |_| 1_usize);
        group.bench_function(format!("{name}_bare"), |bencher| bencher.iter(|| asked.iter().map(find).sum::<usize>()));
    }
    group.finish();
}

fn submit(engine: &Engine, command: Command) -> Answer {
    engine.submit_blocking(&support::tenant(), command, Context::default()).unwrap().answer
}

/// A directory of users whom everyone may find.
fn directory(engine: &Engine) {
    let (quota_new_max, quota_leak_per_hour) = (1_000_000_000, 1_000_000_000);
    let users = Some("bench".into());
    let discovery = Discovery { users, quota_new_max, quota_leak_per_hour, ..Discovery::default() };
    submit(engine, Command::PutSettings { settings: Box::new(Settings { discovery, ..Settings::default() }) });
    for from in (0..USERS).step_by(500) {
        let records = (from..from + 500).map(support::person).collect();
        let Answer::Upserted(results) = submit(engine, Command::Upsert { records, mode: Mode::Merge, dry_run: false })
        else {
            panic!("results")
        };
        for contact in results.into_iter().map(|result| result.contact_id.unwrap()) {
            let consent = Consent { basis: "consent".into(), actor: "bench".into(), at: Millis(1) };
            let policy = Policy { policy: Findable::Everyone, book: None, consent: Some(consent) };
            submit(engine, Command::Consent(ConsentCommand::Policy { contact, policy }));
        }
    }
}

/// The JSON of a batch of digests, every tenth of somebody who is there.
fn batch(size: usize) -> String {
    let one = |at: usize| {
        let phone =
            if at.is_multiple_of(10) { format!("+1212{:07}", 2_000_000 + at % USERS) } else { format!("+1213{at:07}") };
        format!(r#"{{"sha256":"{}","kind":"phone"}}"#, BASE64_URL_SAFE_NO_PAD.encode(primary(&phone).0))
    };
    format!("[{}]", (0..size).map(one).collect::<Vec<_>>().join(","))
}

#[derive(serde::Deserialize)]
struct Asked<'a> {
    sha256: &'a str,
    kind: &'a str,
}

/// What a call costs without HTTP: read, tag, look up, ask the state, write. Returns the hits.
fn answer(engine: &Engine, body: &str) -> usize {
    let asking = engine.asking(&support::tenant(), None).unwrap();
    let asked: Vec<Asked<'_>> = serde_json::from_str(body).unwrap();
    let mut out = Vec::with_capacity(asked.len() * 56);
    let mut hits = 0;
    for one in &asked {
        let inner = parse_digest(one.sha256).unwrap();
        let contact = asking.contact(&asking.tag(Kind::from_word(one.kind).unwrap(), &inner), false);
        hits += usize::from(contact.is_some());
        match contact {
            Some(id) => out.extend_from_slice(format!("{{\"contact\":\"{id}\"}},").as_bytes()),
            None => out.extend_from_slice(b"{\"contact\":null},"),
        }
    }
    black_box(out);
    hits
}

fn handler(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    directory(&engine);
    let mut group = criterion.benchmark_group("handler");
    for size in [1, 10, 1000] {
        let body = batch(size);
        assert_eq!(answer(&engine, &body), size.div_ceil(10));
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(size.to_string(), |bencher| bencher.iter(|| answer(&engine, &body)));
    }
    group.finish();
    over_http(&engine);
    let body = batch(1000);
    let mut epoch = 1;
    let mut group = criterion.benchmark_group("rotate");
    group.sample_size(10).throughput(Throughput::Elements(USERS as u64 * 3));
    group.bench_function("tags", |bencher| {
        bencher.iter(|| {
            epoch += 1;
            let done = engine.rotate_discovery(&support::tenant(), DiscoveryKey::Tags, &Context::default()).unwrap();
            assert_eq!((done, answer(&engine, &body)), (epoch, 100));
        });
    });
    group.finish();
}

/// Look-ups over one connection beside the same ones in process, and beside two hypers that read as much and answer as much: one as
/// it comes, one set up as ours. They take turns, medians of one run.
fn over_http(engine: &Arc<Engine>) {
    let path = format!("/v1/tenants/{}/discovery/lookup", support::tenant().as_str());
    let mut ours = Client::of(serve(engine));
    for size in [1, 1000] {
        let asked = batch(size);
        let body = format!("{{\"identifiers\":{asked}}}");
        let typical = ours.ask(&path, &body);
        let found: serde_json::Value = serde_json::from_slice(&typical).unwrap();
        let found = found["results"].as_array().unwrap().iter().filter(|one| !one["contact"].is_null()).count();
        assert_eq!(found, size.div_ceil(10));
        let mut echo = Client::of(serve_echo(Bytes::from(typical.clone())));
        let mut bare = Client::of(serve_bare(Bytes::from(typical)));
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..60 {
            // Each as it goes on from one to the next, not after something else.
            for _ in 0..20 {
                let from = Instant::now();
                assert_eq!(answer(engine, &asked), found);
                times[0].push(from.elapsed());
            }
            for _ in 0..20 {
                let from = Instant::now();
                ours.ask(&path, &body);
                times[1].push(from.elapsed());
            }
            for (at, other) in [(2, &mut bare), (3, &mut echo)] {
                for _ in 0..20 {
                    let from = Instant::now();
                    other.ask("/", &body);
                    times[at].push(from.elapsed());
                }
            }
        }
        let [inside, over, bare, echo] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        });
        println!(
            "a look-up of {size}: in process p50 {inside:.1} us, over HTTP {over:.1}, a hyper echo {bare:.1}, one set up as ours \
             {echo:.1}: {:.2} of the loop's speed (of 1,000 at least 0.7), {:.2} and {:.2} of the echoes' (of one at least 0.8)",
            inside / over,
            bare / over,
            echo / over
        );
    }
}

criterion_group!(benches, map, handler);
criterion_main!(benches);
