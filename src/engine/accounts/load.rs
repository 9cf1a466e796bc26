//! What an upsert costs among many accounts, and what accounts cost an upsert of a contact.
//! `SELFSAME_ACCOUNTS=100000 cargo test --lib engine::accounts::load -- --nocapture` prints the figures; by default a few
//! hundred accounts show that the measure itself is right.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "a test that measures time and prints it"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::accounts::{AccountCommand, AccountRecord};
use crate::engine::api::{Answer, Command, Context, Mode, Outcome, UpsertResult};
use crate::engine::{Engine, EngineOptions, World};
use crate::formats::AccountInput;
use crate::formats::json::{AddressInput, RecordInput, from_slice};
use crate::host::{ManualClock, MemDisk, Random, SeededRandom};
use crate::index::keyset::KeySet;
use crate::matching::model::Model;
use crate::model::ids::{Millis, RecordId, Seq, TenantId, TenantName};
use crate::model::key::KeyKind;
use crate::normalize::text::table_lines;
use crate::normalize::{Normalizer, Rules};
use crate::resolve::change::account_outlook;
use crate::resolve::prepare::prepare;
use crate::store::relations::mail_domain_key;
use crate::store::shard::{Shard, Version};

/// Records of one command while the accounts are loaded.
const BATCH: usize = 500;

/// Businesses from a seed: half of them have a domain, a fifth repeat one that was before, as another source spells it.
struct Generator {
    random: SeededRandom,
    names: Vec<&'static str>,
    words: Vec<&'static str>,
    made: Vec<(String, Option<String>, usize)>,
}

impl Generator {
    fn new() -> Self {
        let names = table_lines(include_str!("../../../data/surname_frequencies.txt"));
        Self {
            random: SeededRandom::new(11),
            names: names.filter_map(|line| line.split(['\t', ' ', ',']).next()).take(20_000).collect(),
            words: table_lines(include_str!("../../../data/business_words.txt")).collect(),
            made: Vec::new(),
        }
    }

    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
    }

    fn pick(&self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    /// A record, and whether it says exactly what one before it said.
    fn next(&mut self, number: usize) -> (AccountRecord, bool) {
        let repeats = !self.made.is_empty() && self.below(5) == 0;
        let (name, domain, city) = if repeats {
            let (name, domain, city) = self.made[self.below(self.made.len())].clone();
            match self.below(3) {
                0 => (name, None, city),
                1 => (format!("{name} Inc"), domain, city),
                _ => (name.replacen('e', "a", 1), None, city),
            }
        } else {
            let mut name = self.pick(&self.names).to_owned();
            for _ in 0..self.below(3) {
                name = format!(
                    "{name} {}",
                    if self.below(2) == 0 { self.pick(&self.words) } else { self.pick(&self.names) }
                );
            }
            let domain = (self.below(2) == 0).then(|| format!("{}{number}.com", name.replace(' ', "")));
            self.made.push((name.clone(), domain.clone(), self.below(300)));
            self.made.last().cloned().unwrap()
        };
        let input = AccountInput {
            source: Some("load".into()),
            source_record_id: Some(number.to_string()),
            name: Some(name),
            domain,
            addresses: vec![AddressInput {
                city: Some(format!("City {city}")),
                country: Some("US".into()),
                ..AddressInput::default()
            }],
            ..AccountInput::default()
        };
        (input.into_checked("load").unwrap(), repeats)
    }
}

fn put(engine: &Engine, tenant: &TenantName, records: Vec<AccountRecord>) -> Vec<UpsertResult> {
    let command = Command::Account(AccountCommand::Upsert { records, mode: Mode::Merge, dry_run: false });
    match engine.submit_blocking(tenant, command, Context::default()).unwrap().answer {
        Answer::Upserted(results) => results,
        other => panic!("{other:?}"),
    }
}

/// Mean, and the times that half, 90 and 99 in 100 stay below.
fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
    let at = |share: usize| times[times.len() * share / 100];
    println!("{what}: mean {mean:?}, median {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    times.push(started.elapsed());
    done
}

/// The same version without the keys that only propose: nobody is compared for a name that is alike.
fn without_trigrams(version: &Version) -> Version {
    let keys = version.keys.iter().filter(|(_, kind)| *kind != KeyKind::Compound).collect();
    let mut bare = version.clone();
    bare.keys = KeySet::new(keys);
    bare
}

#[test]
fn an_upsert_among_many() {
    let size: usize = std::env::var("SELFSAME_ACCOUNTS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let asked = (size / 50).clamp(100, 2_000);
    let world = World {
        disk: Arc::new(MemDisk::new()),
        clock: Arc::new(ManualClock::new(Millis(1_800_000_000_000))),
        random: Arc::new(SeededRandom::new(7)),
    };
    let engine = Engine::open(EngineOptions::new("data"), world).unwrap().0;
    let (tenant, mut generator) = (TenantName::parse("main").unwrap(), Generator::new());
    let started = Instant::now();
    for from in (0..size).step_by(BATCH) {
        let records = (from..size.min(from + BATCH)).map(|number| generator.next(number).0).collect();
        assert!(put(&engine, &tenant, records).iter().all(|result| result.outcome != Outcome::Invalid));
    }
    println!("{size} records in batches of {BATCH}: {:?} each", started.elapsed() / u32::try_from(size).unwrap());

    let view = engine.view(&tenant).unwrap();
    let accounts = view.shard().accounts();
    let (mut all, mut exact, mut candidates, mut named) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut seen = Vec::new();
    for number in size..size + asked {
        let (record, repeats) = generator.next(number);
        let (slot, version) = view.asked_account(&accounts, record.clone());
        let bare = Arc::new(without_trigrams(&version));
        let (_, hits) = timed(&mut all, || account_outlook(&accounts, slot, &version));
        let (_, fewer) = timed(&mut exact, || account_outlook(&accounts, slot, &bare));
        assert!(fewer.iter().all(|hit| hits.iter().any(|one| one.slot == hit.slot)), "trigrams only add");
        let holders = version.keys.iter().filter(|(_, kind)| *kind == KeyKind::Compound);
        candidates.push(holders.map(|(key, _)| accounts.holders(key).len()).sum::<usize>());
        named += usize::from(repeats && !hits.is_empty());
        seen.push((record, repeats));
    }
    let repeats = seen.iter().filter(|(_, repeats)| *repeats).count();
    assert!(repeats > 5 && named * 10 >= repeats * 6, "{named} of {repeats} repeats are alike to somebody");
    candidates.sort_unstable();
    println!(
        "holders of the trigrams asked for: median {}, p99 {}, most {}",
        candidates[asked / 2],
        candidates[asked * 99 / 100],
        candidates[asked - 1]
    );
    told("a decision", all);
    told("a decision without trigrams", exact);
    let mut times = Vec::new();
    for (record, _) in seen {
        timed(&mut times, || put(&engine, &tenant, vec![record]));
    }
    told("an upsert of one record, through the engine, disk in memory", times);
    let figures = engine.view(&tenant).unwrap().stats();
    println!("{} accounts", figures.accounts);
    assert!(figures.accounts as usize > size / 2 && (figures.accounts as usize) < size + asked);
}

/// What the index of who writes from which domain costs a put of a contact: the same puts with it and without, in turn.
/// `SELFSAME_CONTACTS=100000 cargo test --lib engine::accounts::load -- --nocapture` prints it for that many.
#[test]
fn the_index_of_mail_domains_costs_little() {
    let size: u32 = std::env::var("SELFSAME_CONTACTS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let normalizer = Arc::new(Normalizer::new(Rules::default()));
    let shard = Shard::new(TenantId(1), "t", Model::default_model());
    let mut shards = [shard.clone(), Shard { is_of_accounts: true, ..shard }];
    let mut spent = [std::time::Duration::ZERO; 2];
    for number in 0..size {
        let json = format!(
            r#"{{"source": "s", "source_record_id": "{number}", "name": "Ann Lee {number}", "email": "ann{number}@mail.company{}.com"}}"#,
            number % 5_000
        );
        let input = from_slice::<RecordInput>(json.as_bytes()).unwrap().into_checked("s").unwrap();
        let put = prepare(input, &normalizer, &[0; 32]).put(RecordId(u128::from(number) + 1), Millis(0), "s", false);
        for (at, shard) in shards.iter_mut().enumerate() {
            let version = Arc::new(Version::new(&put, Seq(shard.seq.0 + 1), &shard.model));
            let started = std::time::Instant::now();
            shard.apply_put(version);
            spent[at] += started.elapsed();
        }
    }
    let mean = |of: usize| spent[of] / size;
    println!("{size} contacts: a put is folded in within {:?} with the index, {:?} without", mean(0), mean(1));
    let holders = |shard: &Shard| shard.affiliations.get(mail_domain_key("company7.com")).map_or(0, |at| at.holders());
    assert_eq!((holders(&shards[0]), holders(&shards[1])), ((size as usize).div_ceil(5_000).max(1), 0));
}
