//! What order-independence costs, in one process without disk or HTTP, and what each bound does to it.
//!
//! ```sh
//! cargo bench --bench order                                        # 20,000 made-up people, all bounds
//! cargo bench --bench order -- --records 100000,1000000 --file g.csv   # a labelled file (column entity_id)
//! cargo bench --bench order -- --records 20000 --bounds --file g.csv   # the bounds alone
//! ```
//!
//! Records come in an order that a seed shuffles, one by one. *Resolve* is what an upsert does: score the candidates, reopen
//! the neighbourhood, cut it anew. *Attach* has the same candidates and the same scorer, joins the contact of the best
//! above the joining threshold and reopens nothing. Both are timed without normalising, in the thread's own processor time;
//! figures are of the last tenth of the records. The run fails when a record is lost, when resolving in two orders (of at most
//! 100,000 records) gives two partitions, or when the p99 of a cost there is more than twice what was recorded.
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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use people::{Dice, Labelled, people};
use selfsame::formats::{Format, ReadOptions, open};
use selfsame::host::SeededRandom;
use selfsame::host::uuid_v7;
use selfsame::matching::evaluate::pairwise;
use selfsame::matching::model::Model;
use selfsame::matching::score::score;
use selfsame::model::event::{Group, Resolved};
use selfsame::model::ids::{EntityId, Millis, RecordId, Seq, TenantId};
use selfsame::model::key::Millibits;
use selfsame::model::settings::Settings;
use selfsame::normalize::{Normalizer, Rules};
use selfsame::resolve::change::{Change, Cost, Edits, resolve_within};
use selfsame::resolve::cluster::Limits;
use selfsame::resolve::prepare::{Prepared, prepare};
use selfsame::resolve::upsert::{Now, Step, push_resolved};
use selfsame::store::shard::{Shard, Version};

/// Records whose prior a server's tenant has until it trains.
const POPULATION: usize = 65_536;
/// Records normalised at a time.
const CHUNK: usize = 1_000;
/// Most records for which a second order is run to compare.
const TWO_ORDERS_MAX: usize = 100_000;
/// The p99 of pairs scored, records cut anew and ids moved for a write, as recorded of the generator's 100,000 rows; twice as much
/// fails the run.
const RECORDED_P99: [u32; 3] = [246, 27, 2];

/// What to run.
struct Plan {
    sizes: Vec<usize>,
    file: Option<PathBuf>,
    costs: bool,
    bounds: bool,
}

impl Plan {
    fn from_arguments() -> Self {
        let mut plan = Self { sizes: vec![20_000], file: None, costs: true, bounds: true };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
            match argument.as_str() {
                "--records" => plan.sizes = value().split(',').map(|size| size.parse().expect("a number")).collect(),
                "--file" => plan.file = Some(value().into()),
                "--bounds" => plan.costs = false,
                "--costs" => plan.bounds = false,
                "--quick" => plan.sizes = vec![5_000],
                _ => {} // what cargo and criterion's users pass along
            }
        }
        plan
    }

    /// So many records with their true entities, in an order without meaning.
    fn records(&self, count: usize) -> Vec<Labelled> {
        let Some(path) = &self.file else { return people(count, 1) };
        let text = std::fs::read(path).unwrap();
        let mut cells = csv::Reader::from_reader(text.as_slice());
        let column = cells.headers().unwrap().iter().position(|name| name == "entity_id").expect("a column entity_id");
        let entities: std::collections::HashMap<u64, u32> = cells
            .records()
            .map(|row| row.unwrap())
            .map(|row| (row.position().unwrap().line(), row[column].parse().expect("entity_id is a number")))
            .collect();
        let options = ReadOptions { source: "file".into(), map: None };
        let mut rows = open(Format::Csv, Box::new(std::io::Cursor::new(text)), options).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            if let Ok(record) = row.record {
                all.push(Labelled { entity: entities[&row.line], record });
            }
            if all.len() == count {
                break;
            }
        }
        assert_eq!(all.len(), count, "{} has too few records", path.display());
        Dice::new(1).shuffle(&mut all);
        all
    }
}

/// How a record finds its contact.
#[derive(Clone)]
enum Way {
    Resolve(Limits),
    Attach,
}

/// What this thread has computed so far: other work on the machine does not count.
fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// A load and what it took.
struct Loaded {
    shard: Shard,
    whole: Duration,
    /// Of each write of the last tenth.
    times: Vec<Duration>,
    costs: Vec<Cost>,
}

struct Loader {
    shard: Shard,
    way: Way,
    random: SeededRandom,
    ids: u64,
}

fn load(records: &[&Labelled], settings: &Settings, way: Way) -> Loaded {
    let mut shard = Shard::new(TenantId(1), "bench", Arc::new(Model::default_model().with_size_class(POPULATION)));
    shard.settings = Arc::new(settings.clone());
    let normalizer = Arc::new(Normalizer::new(Rules::from_settings(settings)));
    let mut loader = Loader { shard, way, random: SeededRandom::new(3), ids: 0 };
    let (mut whole, mut times, mut costs) = (Duration::ZERO, Vec::new(), Vec::new());
    let last = records.len() - records.len() / 10;
    let mut number = 0;
    for chunk in records.chunks(CHUNK) {
        let prepared: Vec<Prepared> =
            chunk.iter().map(|one| prepare(one.record.clone(), &normalizer, &[0; 32])).collect();
        for one in &prepared {
            let started = processor_time();
            let cost = loader.put(one);
            let took = processor_time() - started;
            whole += took;
            number += 1;
            if number > last {
                times.push(took);
                costs.push(cost);
            }
        }
    }
    Loaded { shard: loader.shard, whole, times, costs }
}

impl Loader {
    fn put(&mut self, prepared: &Prepared) -> Cost {
        let at = self.shard.next_slot();
        let put = prepared.put(RecordId(self.new_id()), Millis(1_800_000_000_000), "bench", false);
        let version = Arc::new(Version::new(&put, Seq(self.shard.seq.0 + 1), &self.shard.model));
        match self.way.clone() {
            Way::Resolve(limits) => self.resolve(at, version, limits),
            Way::Attach => self.attach(at, version),
        }
    }

    fn resolve(&mut self, at: u32, version: Arc<Version>, limits: Limits) -> Cost {
        let edits = Edits { records: vec![(at, Some(Arc::clone(&version)))], ..Edits::default() };
        let (random, ids) = (&self.random, &mut self.ids);
        let resolution = resolve_within(&self.shard, limits, &edits, &mut || new_id(random, ids));
        let cost = resolution.cost;
        let mut steps = Vec::new();
        push_resolved(&mut steps, resolution, Now { at: Millis(1_800_000_000_000), actor: "bench" });
        self.shard.apply_put(version);
        for step in steps {
            match step {
                Step::Event(event) => self.shard.apply(event),
                Step::Put(_) => panic!("a resolution puts no record"),
            }
        }
        cost
    }

    fn attach(&mut self, at: u32, version: Arc<Version>) -> Cost {
        let shard = &self.shard;
        let joins = Millibits::from_probability(shard.settings.auto);
        let overlay = Change::overlay(shard, &[(at, Some(Arc::clone(&version)))]);
        let candidates = overlay.candidates(at);
        let scored = candidates.iter().map(|(other, _)| {
            let known = shard.evidence(*other).unwrap();
            (score(&shard.model, &overlay, &version.features, &known.features), *other)
        });
        let best = scored.filter(|(scored, _)| !scored.veto && scored.weight >= joins).max_by_key(|(s, _)| s.weight);
        let cost = Cost { pairs_scored: candidates.len() as u32, records_recut: 1, ids_moved: 0 };
        let entity = best.and_then(|(_, other)| shard.slot(other)?.entity);
        let members = entity.and_then(|id| shard.entity(id)).map(|entity| entity.members.clone()).unwrap_or_default();
        let mut records: Vec<RecordId> = members.iter().map(|slot| shard.slot(*slot).unwrap().record_id).collect();
        records.push(version.stored.record_id);
        let entity = entity.unwrap_or_else(|| EntityId(self.new_id()));
        let groups = vec![Group { entity, records, absorbed: Vec::new() }];
        let resolved = Resolved { at: Millis(1_800_000_000_000), actor: "bench".into(), groups, ..Resolved::default() };
        self.shard.apply_put(version);
        self.shard.apply(selfsame::model::event::Event::Resolved(Box::new(resolved)));
        cost
    }

    fn new_id(&mut self) -> u128 {
        new_id(&self.random, &mut self.ids)
    }
}

/// Ids ascend, as the engine's do.
fn new_id(random: &SeededRandom, ids: &mut u64) -> u128 {
    *ids += 1;
    uuid_v7(Millis(1_800_000_000_000 + *ids as i64), random)
}

impl Loaded {
    /// The contact of each record, by its place in `records`.
    fn partition(&self, records: &[&Labelled]) -> Vec<u32> {
        let mut numbers = std::collections::HashMap::new();
        let found = (0..records.len() as u32).map(|slot| {
            let at = self.shard.slot(slot).expect("every record has its place");
            let id = self.shard.resolve_id(at.entity.expect("every record has a contact")).unwrap();
            let next = numbers.len() as u32;
            *numbers.entry(id).or_insert(next)
        });
        let found = found.collect();
        assert_eq!(self.shard.records_live as usize, records.len());
        assert_eq!(self.shard.contacts_live as usize, numbers.len());
        found
    }

    fn f1(&self, records: &[&Labelled]) -> f64 {
        let truth: Vec<u32> = records.iter().map(|one| one.entity).collect();
        pairwise(&self.partition(records), &truth).f1()
    }

    /// Writes a second in the last tenth.
    fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.times.iter().sum::<Duration>().as_secs_f64()
    }

    fn p99_us(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() * 99 / 100].as_secs_f64() * 1e6
    }
}

/// Mean, p99 and the most.
fn spread(mut of: Vec<u32>) -> (f64, u32, u32) {
    of.sort_unstable();
    let mean = of.iter().map(|one| f64::from(*one)).sum::<f64>() / of.len() as f64;
    (mean, of[of.len() * 99 / 100], of[of.len() - 1])
}

/// The partition of the second order, told in the places of the first.
fn put_back(found: &[u32], order: &[usize]) -> Vec<u32> {
    let mut back = vec![0; found.len()];
    order.iter().zip(found).for_each(|(place, contact)| back[*place] = *contact);
    back
}

fn costs(records: &[Labelled]) {
    let first: Vec<&Labelled> = records.iter().collect();
    let mut order: Vec<usize> = (0..records.len()).collect();
    Dice::new(2).shuffle(&mut order);
    let second: Vec<&Labelled> = order.iter().map(|at| &records[*at]).collect();
    let settings = Settings::default();
    println!("\n{} records | writes/s, last tenth | whole load | p99 us | F1 | two orders share", records.len());
    let mut rates = Vec::new();
    for (name, way) in [("resolve", Way::Resolve(Limits::from_settings(&settings))), ("attach", Way::Attach)] {
        let loaded = load(&first, &settings, way.clone());
        let found = loaded.partition(&first);
        let agreement = (records.len() <= TWO_ORDERS_MAX).then(|| {
            let again = load(&second, &settings, way.clone()).partition(&second);
            pairwise(&put_back(&again, &order), &found).f1()
        });
        println!(
            "{name} | {:.0} | {:.0} | {:.0} | {:.3} | {}",
            loaded.per_second(),
            records.len() as f64 / loaded.whole.as_secs_f64(),
            loaded.p99_us(),
            loaded.f1(&first),
            agreement.map_or("-".to_owned(), |share| format!("{share:.4}")),
        );
        rates.push(loaded.per_second());
        if let Way::Resolve(_) = way {
            assert!(agreement.is_none_or(|share| share == 1.0), "two orders give two partitions");
            show_costs(&loaded, records.len());
        }
    }
    println!("attach / resolve: {:.2}", rates[1] / rates[0]);
}

fn show_costs(loaded: &Loaded, records: usize) {
    type Of = fn(&Cost) -> u32;
    let all: [(&str, Of); 3] = [
        ("pairs scored", |cost| cost.pairs_scored),
        ("records cut anew", |cost| cost.records_recut),
        ("ids moved", |cost| cost.ids_moved),
    ];
    for ((name, of), recorded) in all.into_iter().zip(RECORDED_P99) {
        let (mean, p99, max) = spread(loaded.costs.iter().map(of).collect());
        println!("  {name} a write: mean {mean:.2}, p99 {p99}, max {max}");
        // A larger file has more namesakes: 767 pairs at 1,000,000 rows are no fault of the code.
        let is_fine = records > TWO_ORDERS_MAX || p99 <= 2 * recorded;
        assert!(is_fine, "the p99 of {name} is {p99}, more than twice the recorded {recorded}");
    }
}

/// Each bound halved, as it is, doubled and off, alone.
fn bounds(records: &[Labelled]) {
    type Set = fn(&mut Settings, &mut Limits, u32);
    let all: [(&str, u32, Set); 4] = [
        ("block_max", 64, |_, limits, to| limits.block_max = to as usize),
        ("contact_max", 60, |_, limits, to| limits.contact_max = to as usize),
        ("generic_max", 30, |settings, _, to| settings.generic_max = to),
        ("holders_max", 64, |settings, _, to| settings.holders_max = to),
    ];
    let records: Vec<&Labelled> = records.iter().collect();
    println!("\n{} records | bound | writes/s, last tenth | p99 us | F1 | pairs scored, mean", records.len());
    for (name, usual, set) in all {
        for to in [usual / 2, usual, usual * 2, u32::MAX] {
            let mut settings = Settings::default();
            let mut limits = Limits::from_settings(&settings);
            set(&mut settings, &mut limits, to);
            let loaded = load(&records, &settings, Way::Resolve(limits));
            let word = if to == u32::MAX { "off".to_owned() } else { to.to_string() };
            println!(
                "{name} | {word} | {:.0} | {:.0} | {:.3} | {:.1}",
                loaded.per_second(),
                loaded.p99_us(),
                loaded.f1(&records),
                spread(loaded.costs.iter().map(|cost| cost.pairs_scored).collect()).0,
            );
        }
    }
}

fn main() {
    let plan = Plan::from_arguments();
    for size in &plan.sizes {
        let records = plan.records(*size);
        if plan.costs {
            costs(&records);
        }
        if plan.bounds && *size <= TWO_ORDERS_MAX {
            bounds(&records);
        }
    }
}
