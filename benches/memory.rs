//! What one contact costs in memory, part by part, as the allocator counts it.
//!
//! ```sh
//! cargo bench --bench memory                         # 20,000 made-up records in one tenant, 200 in many
//! cargo bench --bench memory -- --records 100000
//! ```
//!
//! A tenant is loaded record by record, without disk or HTTP. Then its state is taken apart: a part is dropped, and
//! what the allocator has less afterwards is what the part took. So the figures are exact for the bytes asked for; the
//! allocator's own overhead (size classes, pages not given back) is what the whole process shows beyond them. The
//! estimates of `stats` are printed beside them. The run fails when a part is forgotten.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and prints"
)]

#[path = "support/people.rs"]
mod people;

use std::path::Path;
use std::sync::Arc;

use peak_alloc::PeakAlloc;
use people::{Labelled, people};
use selfsame::engine::api::{Command, Context, Mode};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::host::{OsRandom, RealDisk, SeededRandom, SystemClock, uuid_v7};
use selfsame::matching::model::Model;
use selfsame::model::ids::{EntityId, Millis, RecordId, Seq, TenantId, TenantName};
use selfsame::model::settings::Settings;
use selfsame::normalize::{Normalizer, Rules};
use selfsame::resolve::change::{Edits, resolve_within};
use selfsame::resolve::cluster::Limits;
use selfsame::resolve::prepare::prepare;
use selfsame::resolve::upsert::{Now, Step, push_resolved};
use selfsame::store::shard::{Shard, Version};
use selfsame::store::size;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Records of a small tenant.
const SMALL: usize = 200;
/// Small tenants.
const TENANTS: usize = 50;

fn main() {
    let mut records = 20_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--records" => records = arguments.next().and_then(|n| n.parse().ok()).expect("--records wants a number"),
            "--quick" => records = 2_000,
            _ => {} // what cargo passes along
        }
    }
    let model = Arc::new(Model::default_model().with_size_class(65_536));
    one(&people(records, 1), &model);
    let state = many(&model);
    hosted(state);
}

/// One tenant, part by part.
fn one(records: &[Labelled], model: &Arc<Model>) {
    drop(load(&records[..records.len() / 10], model)); // what is loaded lazily is no tenant's
    let before = MEMORY.current_usage();
    let shard = load(records, model);
    let (count, contacts) = (records.len() as f64, shard.contacts_live as f64);
    let whole = MEMORY.current_usage() - before;
    let text: usize = records.iter().map(|one| raw_bytes(&one.record.fields)).sum();
    let keys: usize = (0..shard.next_slot()).filter_map(|at| shard.evidence(at)).map(|v| v.keys.len()).sum();
    println!(
        "{count} records, {contacts} contacts, {:.0} bytes of text and {:.1} keys a record",
        text as f64 / count,
        keys as f64 / count
    );
    let features = (0..shard.next_slot()).filter_map(|at| shard.evidence(at)).map(|v| v.features.bytes());
    println!("{:.0} bytes of a record are its features", features.sum::<usize>() as f64 / count);
    println!("estimates of stats, bytes a record:");
    let estimates = size::bytes(&shard);
    estimates.iter().for_each(|(part, bytes)| println!("  {part} {:.0}", *bytes as f64 / count));
    println!("  together {:.0}", estimates.values().sum::<u64>() as f64 / count);
    println!("counted, bytes a record:");
    take_apart(shard, count);
    let left = MEMORY.current_usage().saturating_sub(before);
    println!("  together {:.0}", (whole - left) as f64 / count);
    assert!(left < whole / 50, "{left} bytes of {whole} are in no part");
}

/// Drops part after part and tells what each took.
fn take_apart(mut shard: Shard, count: f64) {
    let mut part = |name: &str, drop_it: &mut dyn FnMut(&mut Shard)| {
        let before = MEMORY.current_usage();
        drop_it(&mut shard);
        println!("  {name} {:.0}", (before - MEMORY.current_usage()) as f64 / count);
    };
    part("postings", &mut |shard| shard.postings = Default::default());
    part("names", &mut |shard| shard.names = Default::default());
    part("affiliations", &mut |shard| shard.affiliations = Default::default());
    part("edges", &mut |shard| shard.edges = Default::default());
    part("by_id", &mut |shard| shard.by_id = Default::default());
    part("by_key", &mut |shard| shard.by_key = Default::default());
    part("records", &mut |shard| shard.slots = Default::default());
    part("contacts", &mut |shard| {
        shard.entities = Default::default();
        shard.entity_order = Default::default();
    });
    part("merges", &mut |shard| {
        shard.merges = Default::default();
        shard.merge_order = Default::default();
    });
    part("reviews", &mut |shard| {
        shard.reviews = Default::default();
        shard.reviews_of = Default::default();
    });
    part("feed", &mut |shard| shard.feed = Default::default());
    part("rest", &mut |shard| *shard = Shard::new(TenantId(1), "bench", Arc::clone(&shard.model)));
}

/// Many small tenants; the bytes of one.
fn many(model: &Arc<Model>) -> f64 {
    let records: Vec<Vec<Labelled>> = (0..TENANTS).map(|seed| people(SMALL, 100 + seed as u64)).collect();
    let before = MEMORY.current_usage();
    let shards: Vec<Shard> = records.iter().map(|records| load(records, model)).collect();
    let bytes = (MEMORY.current_usage() - before) as f64 / TENANTS as f64;
    println!("{TENANTS} tenants of {SMALL} records: {bytes:.0} bytes each, {:.0} a record", bytes / SMALL as f64);
    let empty = MEMORY.current_usage();
    let none: Vec<Shard> = (0..TENANTS).map(|_| Shard::new(TenantId(1), "bench", Arc::clone(model))).collect();
    println!("an empty tenant: {} bytes", (MEMORY.current_usage() - empty) / TENANTS);
    drop((shards, none));
    bytes
}

/// Such tenants in an engine, with all that it has for each. `state`: what the state of one takes.
fn hosted(state: f64) {
    let home = tempfile::tempdir().unwrap();
    let tell = |what: &str, before: usize| {
        let bytes = (MEMORY.current_usage() - before) as f64 / TENANTS as f64;
        println!("{what}: {bytes:.0} bytes a tenant, {:.0} beside a state of its own", bytes - state);
    };
    let engine = open(home.path());
    let put = |tenants: std::ops::Range<usize>| {
        for seed in tenants {
            let tenant = TenantName::parse(&format!("t{seed}")).unwrap();
            let records = people(SMALL, 100 + seed as u64).into_iter().map(|one| one.record).collect();
            let command = Command::Upsert { records, mode: Mode::Merge, dry_run: false };
            let context = Context { actor: "bench".into(), idempotency: None };
            engine.submit_blocking(&tenant, command, context).unwrap();
        }
        engine.flush_text().unwrap();
    };
    put(0..TENANTS); // what the first ones need, the others do not need again
    let before = MEMORY.current_usage();
    put(TENANTS..2 * TENANTS);
    tell("as many more in an engine, the text index included", before);
    engine.shutdown().unwrap();
}

fn open(dir: &Path) -> Arc<Engine> {
    let world = World { disk: Arc::new(RealDisk), clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom) };
    Engine::open(EngineOptions::new(dir), world).unwrap().0
}

/// Text of the fields that the generator fills.
fn raw_bytes(fields: &selfsame::model::record::Fields) -> usize {
    let parts = [&fields.name, &fields.first_name, &fields.last_name, &fields.organization, &fields.job_title];
    let texts = parts.into_iter().flatten().map(String::len);
    let lists = fields.emails.iter().map(|mail| mail.value.len()).chain(fields.phones.iter().map(|p| p.value.len()));
    let cities = fields.addresses.iter().filter_map(|address| address.city.as_ref()).map(String::len);
    texts.chain(lists).chain(cities).sum()
}

fn load(records: &[Labelled], model: &Arc<Model>) -> Shard {
    let settings = Settings::default();
    let normalizer = Arc::new(Normalizer::new(Rules::from_settings(&settings)));
    let mut shard = Shard::new(TenantId(1), "bench", Arc::clone(model));
    let limits = Limits::from_settings(&settings);
    let random = SeededRandom::new(3);
    let mut ids = 0;
    let mut new_id = || {
        ids += 1;
        uuid_v7(Millis(1_800_000_000_000 + ids), &random)
    };
    for one in records {
        let at = shard.next_slot();
        let prepared = prepare(one.record.clone(), &normalizer, &[0; 32]);
        let put = prepared.put(RecordId(new_id()), Millis(1_800_000_000_000), "bench", false);
        let version = Arc::new(Version::new(&put, Seq(shard.seq.0 + 1), &shard.model));
        let edits = Edits { records: vec![(at, Some(Arc::clone(&version)))], ..Edits::default() };
        let resolution = resolve_within(&shard, limits.clone(), &edits, &mut new_id);
        let mut steps = Vec::new();
        push_resolved(&mut steps, resolution, Now { at: Millis(1_800_000_000_000), actor: "bench" });
        shard.apply_put(version);
        for step in steps {
            match step {
                Step::Event(event) => shard.apply(event),
                Step::Put(_) => panic!("a resolution puts no record"),
            }
        }
    }
    assert_eq!(shard.records_live as usize, records.len());
    let _: Option<EntityId> = shard.slot(0).and_then(|slot| slot.entity);
    shard
}
