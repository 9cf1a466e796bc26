//! Whole data sets in many load orders: the same contacts and the same golden values every time, and those that a
//! computation from scratch gives, which knows no shard and no order.
//!
//! By default a few hundred records of each set in three orders. `SELFSAME_SHUFFLES=20` takes whole sets of up to 10,000
//! records, 10,000 of the shared generator among them (with Python), in so many orders, and prints a line for each set:
//!
//! ```sh
//! SELFSAME_SHUFFLES=20 cargo test --release --locked --test it shuffles -- --nocapture
//! ```
//!
//! The labelled sets lie at `../shared/data` beside the project and are not part of it; where they are missing this test
//! says so and takes the project's own made-up people alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selfsame::engine::api::{Command, Mode};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::formats::{Format, InputRecord, ReadOptions, open as open_file};
use selfsame::host::{ManualClock, MemDisk, SeededRandom};
use selfsame::matching::model::Model;
use selfsame::model::ids::{Millis, RecordId, RecordKey, Seq};
use selfsame::model::record::Fields;
use selfsame::model::settings::Settings;
use selfsame::normalize::{Normalizer, Rules as Reading};
use selfsame::resolve::batch::{BatchRecord, partition_records};
use selfsame::resolve::prepare::prepare;
use selfsame::resolve::survive::{Provenance, Rules, golden};
use selfsame::store::stored::Opened;

use crate::engine::tenant;
use crate::people::{Dice, people};
use crate::properties::{Keys, submit};

/// Records of each set, and orders, where nobody asks for more.
const FEW: (usize, u64) = (300, 3);
/// Records of the largest set that is taken whole.
const WHOLE_MAX: usize = 10_000;
/// Records whose prior a server's tenant has until it trains.
const POPULATION: usize = 65_536;
/// Records of one command at most, where a load is in batches.
const BATCH_MAX: u64 = 200;

/// What is seen of all contacts: by the keys of their records, every golden value with its rule and source.
type Seen = BTreeMap<Keys, String>;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")
}

/// Reads the records of a CSV file, the first `most`. Sources tell when they changed each, some at the same moment, so that the time of
/// receipt decides nothing; rows that name nobody are left out, as an import does.
fn read(path: &Path, most: usize) -> Vec<InputRecord> {
    let options = ReadOptions { source: "set".into(), map: None };
    let mut rows = open_file(Format::Csv, Box::new(File::open(path).unwrap()), options).unwrap();
    let mut records = Vec::new();
    let mut dice = Dice::new(99);
    while let Some(row) = rows.next_row().unwrap() {
        let Ok(mut record) = row.record else { continue };
        record.source_updated_at = Some(Millis(1_700_000_000_000 + dice.below(500) as i64 * 1_000));
        record.source_record_id.get_or_insert_with(|| format!("line {}", row.line));
        records.push(record);
        if records.len() == most {
            break;
        }
    }
    records
}

/// The shared generator's rows, if it and Python are there.
fn generated(count: usize, folder: &Path) -> Option<PathBuf> {
    let (script, to) = (data().join("generator/gen_contacts.py"), folder.join("generated.csv"));
    let mut python = Process::new("python3");
    python.arg(script).args([&count.to_string(), "--seed", "1", "-o"]).arg(&to);
    python.output().ok().filter(|output| output.status.success()).map(|_| to)
}

fn seen<'a>(
    name: &str,
    fields: &Fields,
    provenance: &BTreeMap<String, Provenance>,
    key: impl Fn(RecordId) -> &'a RecordKey,
) -> String {
    let from: Vec<_> = provenance.iter().map(|(field, from)| (field, key(from.record_id), from.rule)).collect();
    format!("{name}\n{fields:?}\n{from:?}")
}

/// The records' keys by id, the contacts and their golden values, computed from the set alone.
fn from_scratch(records: &[InputRecord]) -> Seen {
    let (settings, model) = (Settings::default(), Model::default_model().with_size_class(POPULATION));
    let normalizer = Arc::new(Normalizer::new(Reading::from_settings(&settings)));
    let version = |(at, record): (usize, &InputRecord)| {
        let put = prepare(record.clone(), &normalizer, &[0; 32]).put(RecordId(at as u128 + 1), Millis(0), "", false);
        Opened { put, seq: Seq(1), business: None }
    };
    let versions: Vec<Opened> = records.iter().enumerate().map(version).collect();
    let batch: Vec<BatchRecord<'_>> = versions
        .iter()
        .map(|version| BatchRecord { key: Some(&version.put.record.key), normalized: &version.put.normalized })
        .collect();
    let result = partition_records(&batch, &model, &settings);
    let mut contacts: BTreeMap<u32, Vec<&Opened>> = BTreeMap::new();
    for (contact, version) in result.cluster_of.iter().zip(&versions) {
        contacts.entry(*contact).or_default().push(version);
    }
    let key = |id: RecordId| &versions[id.0 as usize - 1].put.record.key;
    let shown = contacts.into_values().map(|members| {
        let golden = golden(members.iter().copied(), [], Rules::from(&settings));
        let keys: Keys = members.iter().map(|version| version.put.record.key.clone()).collect();
        (keys, seen(&golden.canonical_name, &golden.fields, &golden.provenance, key))
    });
    shown.collect()
}

/// What an engine shows after these records came in this order, each command so many of them, at ever later times.
fn loaded(records: &[InputRecord], order: &[usize], mut batch: impl FnMut() -> u64) -> Seen {
    let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
    let world = World {
        disk: Arc::new(MemDisk::new()),
        clock: Arc::clone(&clock) as _,
        random: Arc::new(SeededRandom::new(7)),
    };
    let engine = Engine::open(EngineOptions::new(Path::new("data")), world).unwrap().0;
    let mut left = order;
    while !left.is_empty() {
        let (now, later) = left.split_at(left.len().min(batch() as usize));
        let records = now.iter().map(|at| records[*at].clone()).collect();
        submit(&engine, Command::Upsert { records, mode: Mode::Merge, dry_run: false }).unwrap();
        clock.advance(Duration::from_millis(7));
        left = later;
    }
    let view = engine.view(&tenant()).unwrap();
    let shown = view.export_ids().into_iter().map(|id| {
        let contact = view.contact(id).unwrap();
        let key = |id| &contact.records.iter().find(|one| one.record_id == id).unwrap().key;
        let keys: Keys = contact.records.iter().map(|record| record.key.clone()).collect();
        (keys, seen(&contact.canonical_name, &contact.fields, &contact.provenance, key))
    });
    shown.collect()
}

/// The first difference of two, to be read by a person.
fn difference(one: &Seen, other: &Seen) -> String {
    let only =
        |a: &Seen, b: &Seen| a.iter().find(|(keys, shown)| b.get(*keys) != Some(shown)).map(|x| format!("{x:#?}"));
    format!("expected {:?}\nfound {:?}", only(one, other), only(other, one))
}

/// Checks one set in so many orders: every other one record by record, the rest in batches of any size.
fn check(name: &str, records: &[InputRecord], orders: u64) {
    let started = Instant::now();
    let expected = from_scratch(records);
    assert_eq!(expected.keys().map(|keys| keys.len()).sum::<usize>(), records.len(), "{name}: every record once");
    let mut order: Vec<usize> = (0..records.len()).collect();
    for number in 0..orders {
        let mut dice = Dice::new(number);
        dice.shuffle(&mut order);
        let found = loaded(records, &order, || if number % 2 == 0 { 1 } else { 1 + dice.below(BATCH_MAX) });
        assert!(found == expected, "{name}, order {number}: {}", difference(&expected, &found));
    }
    println!(
        "{name}: {} records, {} contacts, equal in {orders} orders and from scratch, {:.0} s",
        records.len(),
        expected.len(),
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn a_set_gives_the_same_contacts_and_values_in_any_order() {
    let asked = std::env::var("SELFSAME_SHUFFLES").ok().map(|text| text.parse::<u64>().expect("a number of shuffles"));
    let (most, orders) = asked.map_or(FEW, |orders| (WHOLE_MAX, orders));
    let own: Vec<InputRecord> = people(most.max(500), 1).into_iter().map(|labelled| labelled.record).collect();
    check("made-up people", &own, orders);
    for set in ["febrl3", "febrl4", "fake_1000", "restaurants"] {
        let path = data().join(set).join("records.csv");
        if path.is_file() {
            check(set, &read(&path, most), orders);
        } else {
            println!("{set}: not found at {}, left out", path.display());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    match generated(most, folder.path()) {
        Some(path) => check("generator", &read(&path, most), orders),
        None => println!("generator: no Python or no {}, left out", data().join("generator").display()),
    }
}
