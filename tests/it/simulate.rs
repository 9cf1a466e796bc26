//! Random commands from a seed, on a disk that crashes, fails and fills up.
//!
//! After each crash the engine opens again and three things must hold: what was acknowledged is there, the state
//! equals a replay of the journal without any snapshot, and nothing half-done shows. `SELFSAME_SEEDS=1000 cargo test
//! --test it simulate -- --nocapture` runs more; a failure names its seed, and `SELFSAME_SEED=n` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{
    Answer, Command, Context, ExplainLevel, MatchQuery, Mode, Receipt, ReferenceCommand, Report, ReviewQuery,
};
use selfsame::engine::api::{NewWebhook, WebhookCommand};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::{Error, Result};
use selfsame::host::{Disk, Fault, ManualClock, MemDisk, SeededRandom};
use selfsame::model::event::{FeedPlace, ReferenceName};
use selfsame::model::ids::{DeliveryId, EntityId, Millis, ModelId, RecordKey, Seq};
use selfsame::model::record::Fields;
use selfsame::model::settings::Settings;
use selfsame::model::survivorship::{Survivorship, allowed};

use crate::engine::{record, tenant, world};
use crate::properties::{Said, contacts, key};

/// Seeds of a plain test run.
const SEEDS: u64 = 8;
/// Crashes of one seed.
const ROUNDS: u64 = 5;

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len().max(1) as u64);
        from.get(usize::try_from(at).unwrap()).cloned()
    }

    fn maybe(&mut self, of: u64) -> Option<usize> {
        (self.below(3) > 0).then(|| self.size(of))
    }

    pub fn size(&mut self, below: u64) -> usize {
        usize::try_from(self.below(below)).unwrap()
    }

    pub fn said(&mut self) -> Said {
        Said {
            key: self.size(24),
            version: 1 + self.below(8),
            name: self.size(9),
            email: self.maybe(4),
            phone: self.maybe(3),
            birthday: None,
        }
    }
}

pub fn options() -> EngineOptions {
    EngineOptions { segment_bytes: 32 << 10, ..EngineOptions::new(Path::new("data")) }
}

/// A world whose clock and chance go on where an earlier one, of another seed, has ended.
pub fn later(disk: &MemDisk, seed: u64) -> World {
    let clock = ManualClock::new(Millis(1_800_000_000_000 + i64::try_from(seed % 1_000_000).unwrap() * 1000));
    World { clock: Arc::new(clock), random: Arc::new(SeededRandom::new(seed)), ..world(disk) }
}

fn reopen(disk: &MemDisk) -> Arc<Engine> {
    Engine::open(options(), later(disk, disk.operations())).unwrap().0
}

/// The same disk without its snapshots.
pub fn without_snapshots(disk: &MemDisk) -> MemDisk {
    let copy = disk.crash(0);
    let dir = Path::new("data/snapshots");
    for name in copy.list(dir).unwrap_or_default() {
        copy.remove(&dir.join(name)).unwrap();
    }
    copy
}

/// What the test knows must be so.
#[derive(Default)]
struct Known {
    /// The last acknowledged seq and the fingerprint then.
    acked: u64,
    fingerprint: Option<String>,
    /// Records that are stored, by acknowledged commands.
    stored: BTreeSet<RecordKey>,
    /// Records that a command without an answer may have put or deleted.
    unsure: BTreeSet<RecordKey>,
    counts: BTreeMap<&'static str, u64>,
    /// What happened, for a failure's message.
    trace: Vec<String>,
}

impl Known {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

pub fn command(dice: &mut Dice, engine: &Engine) -> Command {
    let view = engine.view(&tenant()).ok();
    let ids: Vec<EntityId> = view.as_ref().map(|view| view.export_ids()).unwrap_or_default();
    let upsert = |dice: &mut Dice| {
        let records = (0..1 + dice.below(4)).map(|_| dice.said().record()).collect();
        Command::Upsert { records, mode: Mode::Merge, dry_run: false }
    };
    let (Some(view), Some(contact)) = (view, dice.pick(&ids)) else { return upsert(dice) };
    match dice.below(24) {
        0 | 1 => Command::DeleteRecord { key: key(dice.size(24)) },
        2 | 3 => Command::Merge {
            contacts: vec![contact, dice.pick(&ids).unwrap()],
            survivor: Some(contact),
            reason: Some("simulated".into()),
            dry_run: dice.below(4) == 0,
        },
        4 | 5 => match dice.pick(&view.merges(20, None).unwrap().items) {
            Some(merge) => Command::UndoMerge { merge: merge.merge_id },
            None => upsert(dice),
        },
        6 => Command::Delete { contact },
        7 => Command::Restore { contact },
        8 => {
            let records = view.contact(contact).unwrap().records;
            Command::Split { contact, records: dice.pick(&records).map(|one| one.record_id).into_iter().collect() }
        }
        9 => match dice.pick(&view.reviews(&ReviewQuery { limit: 20, ..ReviewQuery::default() }).unwrap().items) {
            Some(review) if dice.below(3) == 0 => {
                let note = Some(dice.pick(&[None, Some("called".to_owned())]).unwrap());
                Command::NoteReview { review: review.review_id, assignee: Some(Some("mary".to_owned())), note }
            }
            Some(review) => {
                let says = [
                    selfsame::engine::api::Decision::Same,
                    selfsame::engine::api::Decision::Different,
                    selfsame::engine::api::Decision::Unsure,
                ];
                Command::Decide { review: review.review_id, decision: dice.pick(&says).unwrap(), reason: None }
            }
            None => upsert(dice),
        },
        10 => {
            let set = Fields { notes: Some(format!("note {}", dice.below(9))), ..Fields::default() };
            Command::Patch { contact, set: Box::new(set), touched: vec!["notes".into()] }
        }
        12 | 13 => {
            let name = ReferenceName { kind: "lead".into(), external_id: dice.below(6).to_string() };
            Command::Reference(if dice.below(4) == 0 {
                ReferenceCommand::Delete { contact, name }
            } else {
                ReferenceCommand::Put { contact, name, take_over: dice.below(2) == 0 }
            })
        }
        14 => Command::Webhook(webhook(dice, &view)),
        15 => Command::Erase { contact },
        11 => {
            let rules = ["name", "organization", "job_title", "emails", "attributes.n"]
                .map(|field| (field.to_owned(), dice.pick(allowed(field).unwrap()).unwrap()));
            let survivorship = Survivorship::new(rules);
            let settings = Settings { rollback_days: 5, survivorship, ..Settings::default() };
            Command::PutSettings { settings: Box::new(settings) }
        }
        _ => upsert(dice),
    }
}

/// A webhook that comes, goes, or is reported on.
fn webhook(dice: &mut Dice, view: &selfsame::engine::View) -> WebhookCommand {
    let hooks = view.webhooks();
    let Some(hook) = dice.pick(&hooks).filter(|_| hooks.len() > 2 || dice.below(3) > 0) else {
        let url = "https://example.com/hook".to_owned();
        return WebhookCommand::Create(Box::new(NewWebhook { url, kinds: Vec::new(), secret: None, after: None }));
    };
    let place = |dice: &mut Dice| FeedPlace { seq: Seq(dice.below(view.seq().0 + 1)), part: 0 };
    let delivery = DeliveryId(u128::from(dice.below(4)));
    match dice.below(6) {
        0 => WebhookCommand::Delete(hook.id),
        1 => WebhookCommand::Retry(hook.id, delivery),
        2 => WebhookCommand::Report(hook.id, Report::Settled { delivery }),
        3 => WebhookCommand::Report(hook.id, Report::Delivered { through: place(dice) }),
        _ => {
            let (first, last, error) = (place(dice), place(dice), "status 500".to_owned());
            WebhookCommand::Report(hook.id, Report::Died { delivery, first, last, attempts: 1, error })
        }
    }
}

/// The records that a command puts, and those that it takes away.
fn keys_of(command: &Command, engine: &Engine) -> (BTreeSet<RecordKey>, BTreeSet<RecordKey>) {
    match command {
        Command::Upsert { records, .. } => {
            let name = |at: &selfsame::formats::InputRecord| RecordKey {
                source: at.source.as_str().into(),
                source_record_id: at.source_record_id.as_deref().unwrap_or_default().into(),
            };
            (records.iter().map(name).collect(), BTreeSet::new())
        }
        Command::DeleteRecord { key } => (BTreeSet::new(), BTreeSet::from([key.clone()])),
        Command::Erase { contact } => {
            let contact = engine.view(&tenant()).unwrap().contact(*contact);
            let records = contact.map(|contact| contact.records).unwrap_or_default();
            (BTreeSet::new(), records.into_iter().map(|record| record.key).collect())
        }
        _ => (BTreeSet::new(), BTreeSet::new()),
    }
}

fn send(engine: &Engine, command: Command, dice: &mut Dice) -> Result<Receipt> {
    let idempotency = (dice.below(6) == 0).then(|| (format!("key {}", dice.next()), [7; 32]));
    engine.submit_blocking(&tenant(), command, Context { actor: "simulate".into(), idempotency })
}

/// One command. False: the journal takes no more.
fn act(dice: &mut Dice, engine: &Engine, known: &mut Known) -> bool {
    if dice.below(12) == 0 {
        match engine.snapshot() {
            Ok(_) => known.count("snapshots"),
            Err(Error::Io { .. } | Error::Full { .. } | Error::Poisoned) => known.count("snapshots failed"),
            Err(other) => panic!("a snapshot failed oddly: {other}"),
        }
        return !engine.is_poisoned();
    }
    if dice.below(20) == 0 {
        match engine.compact() {
            Ok(done) if done.erasures > 0 => known.count("files cleaned"),
            Ok(_) => {}
            Err(Error::Io { .. } | Error::Full { .. } | Error::Poisoned) => known.count("cleaning failed"),
            Err(other) => panic!("cleaning failed oddly: {other}"),
        }
        if let Ok(view) = engine.view(&tenant()) {
            (known.acked, known.fingerprint) = (view.seq().0, Some(view.fingerprint()));
        }
        return !engine.is_poisoned();
    }
    // Whoever is not used between two looks is parked, and comes back with the next command.
    engine.park_idle();
    engine.park_idle();
    let command = command(dice, engine);
    let (put, withdrawn) = keys_of(&command, engine);
    known.trace.push(format!("{} {put:?} {withdrawn:?}", format!("{command:?}").chars().take(90).collect::<String>()));
    let answer = send(engine, command, dice);
    known.trace.push(format!("  -> {answer:?}"));
    match answer {
        Ok(receipt) => {
            known.count("commands");
            if let Answer::Upserted(results) = &receipt.answer {
                assert_eq!(results.iter().filter(|result| result.record_id.is_none()).count(), 0);
            }
            known.stored.extend(put);
            known.stored.retain(|key| !withdrawn.contains(key));
            let view = engine.view(&tenant()).unwrap();
            assert!(
                view.seq() >= receipt.seq && view.seq().0 >= known.acked,
                "an answer comes after it is published: {receipt:?}, {:?}",
                view.seq()
            );
            known.acked = view.seq().0;
            known.fingerprint = Some(view.fingerprint());
            true
        }
        Err(
            Error::Conflict { .. } | Error::NotFound { .. } | Error::Moved { .. } | Error::Gone | Error::Invalid { .. },
        ) => {
            known.count("refused");
            true
        }
        Err(Error::Full { .. }) if !engine.is_poisoned() => {
            known.count("full");
            true
        }
        Err(Error::Full { .. } | Error::Io { .. } | Error::Poisoned) => {
            known.count("poisoned");
            known.unsure.extend(put);
            known.unsure.extend(withdrawn);
            assert!(engine.is_poisoned(), "an answer may only be missing when the journal has stopped");
            let again = send(engine, Command::DeleteRecord { key: key(0) }, dice);
            assert!(matches!(again, Err(Error::Poisoned)), "{again:?}");
            false
        }
        Err(other) => panic!("an odd error: {other}"),
    }
}

/// Checks a disk after a crash and gives the engine on it.
fn check(disk: &MemDisk, known: &Known) -> Arc<Engine> {
    let (engine, report) = Engine::open(options(), later(disk, disk.operations())).unwrap();
    let Ok(view) = engine.view(&tenant()) else {
        assert_eq!(known.acked, 0, "the tenant is lost; {report:?}");
        return engine;
    };
    assert!(view.seq().0 >= known.acked, "acknowledged {}, recovered {}; {report:?}", known.acked, view.seq().0);
    if view.seq().0 == known.acked {
        assert_eq!(Some(view.fingerprint()), known.fingerprint, "the acknowledged state came back otherwise");
    }
    let alone = reopen(&without_snapshots(disk));
    let other = alone.view(&tenant()).unwrap();
    assert_eq!(other.fingerprint(), view.fingerprint(), "the journal alone and with the snapshot; {report:?}");
    assert_eq!(contacts(&alone), contacts(&engine), "golden values from both");
    crate::references::check(&engine);
    assert_eq!(view.webhooks(), other.webhooks(), "webhooks from both");
    for said in
        (0..9).map(|name| Said { key: 90, version: 1, name, email: Some(name), phone: Some(name), birthday: None })
    {
        let input = said.record();
        let query = MatchQuery { input, limit: 10, threshold: 0.0, explain: ExplainLevel::None, exclude: Vec::new() };
        let (left, right) = (view.match_contact(&query).unwrap(), other.match_contact(&query).unwrap());
        assert_eq!(format!("{left:?}"), format!("{right:?}"), "the indexes are rebuilt alike");
    }
    engine
}

/// Records of live and of soft-deleted contacts must be all that were stored.
fn check_records(engine: &Engine, known: &Known) {
    let Ok(view) = engine.view(&tenant()) else { return };
    let mut there: BTreeSet<RecordKey> = BTreeSet::new();
    let entries = view.changes(selfsame::model::ids::Seq(0), 1000);
    let mut ids: BTreeSet<EntityId> = entries.items.into_iter().flat_map(|entry| entry.contacts).collect();
    ids.extend(view.export_ids());
    for contact in ids.into_iter().filter_map(|id| view.contact(id).ok()) {
        for record in contact.records {
            assert!(there.insert(record.key.clone()), "{:?} is in two contacts", record.key);
        }
    }
    assert_eq!(view.stats().records, there.len() as u64, "{there:?} stored {:?}", known.stored);
    let sure = |key: &&RecordKey| !known.unsure.contains(*key);
    let lost: Vec<_> = known.stored.iter().filter(sure).filter(|key| !there.contains(*key)).collect();
    let extra: Vec<_> = there.iter().filter(sure).filter(|key| !known.stored.contains(*key)).collect();
    assert!(lost.is_empty() && extra.is_empty(), "lost {lost:?}, appeared {extra:?}\n{}", known.trace.join("\n"));
}

fn simulate(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut dice = Dice(seed);
    let mut disk = MemDisk::new();
    let mut known = Known::default();
    for _ in 0..ROUNDS {
        let engine = check(&disk, &known);
        check_records(&engine, &known);
        if let Ok(view) = engine.view(&tenant()) {
            (known.acked, known.fingerprint) = (view.seq().0, Some(view.fingerprint()));
            known.stored = stored(&engine);
            known.unsure.clear();
        }
        let fault =
            dice.pick(&[None, Some(Fault::Io), Some(Fault::Full), Some(Fault::ShortWrite), Some(Fault::FailedSync)]);
        if let Some(Some(fault)) = fault {
            let at = dice.below(80);
            known.trace.push(format!("fault {fault:?} in {at}"));
            disk.fail_at(disk.operations() + at, fault);
        }
        for _ in 0..5 + dice.below(40) {
            if !act(&mut dice, &engine, &mut known) {
                break;
            }
        }
        known.trace.push("crash".into());
        let crashed = disk.crash(dice.next());
        drop(engine);
        disk = crashed;
    }
    drop(check(&disk, &known));
    known.counts
}

fn stored(engine: &Engine) -> BTreeSet<RecordKey> {
    let view = engine.view(&tenant()).unwrap();
    let entries = view.changes(selfsame::model::ids::Seq(0), 1000);
    let mut ids: BTreeSet<EntityId> = entries.items.into_iter().flat_map(|entry| entry.contacts).collect();
    ids.extend(view.export_ids());
    let contacts = ids.into_iter().filter_map(|id| view.contact(id).ok());
    contacts.flat_map(|contact| contact.records).map(|record| record.key).collect()
}

#[test]
fn seeded_crashes_lose_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SELFSAME_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SELFSAME_SEEDS").unwrap_or(SEEDS),
    };
    let mut total: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        let counts = outcome.unwrap_or_else(|_| panic!("seed {seed} fails; run it alone with SELFSAME_SEED={seed}"));
        counts.into_iter().for_each(|(what, count)| *total.entry(what).or_default() += count);
    }
    assert!(total.get("commands").is_some_and(|count| *count > 0), "{total:?}");
}

/// Trains, activates, writes, and crashes somewhere in between.
fn train_and_crash(seed: u64, base: &MemDisk, counts: &mut BTreeMap<&'static str, u64>) {
    let mut dice = Dice(seed);
    let mut known = Known::default();
    let disk = base.crash(seed);
    let engine = reopen(&disk);
    let note = |known: &mut Known| {
        let view = engine.view(&tenant()).unwrap();
        (known.acked, known.fingerprint) = (view.seq().0, Some(view.fingerprint()));
        view.model_id()
    };
    let mut decides = note(&mut known);
    let fault =
        dice.pick(&[None, Some(Fault::Io), Some(Fault::Full), Some(Fault::ShortWrite), Some(Fault::FailedSync)]);
    if let Some(Some(fault)) = fault {
        disk.fail_at(disk.operations() + dice.below(60), fault);
    }
    for _ in 0..2 {
        let Ok(begun) = engine.train(&tenant(), "simulate") else { break };
        let card = crate::train::trained(&engine, begun.id);
        *counts.entry(card.status.word()).or_default() += 1;
        decides = note(&mut known);
        if dice.below(3) == 0 && engine.snapshot().is_ok() {
            *counts.entry("snapshots").or_default() += 1;
        }
        let model = if dice.below(4) == 0 { ModelId::DEFAULT } else { begun.id };
        for command in [Command::ActivateModel { model }, one(dice.size(100))] {
            if send(&engine, command, &mut dice).is_ok() {
                *counts.entry("commands").or_default() += 1;
                decides = note(&mut known);
            }
        }
    }
    let crashed = disk.crash(dice.next());
    drop(engine);
    let engine = check(&crashed, &known);
    let view = engine.view(&tenant()).unwrap();
    assert!(view.seq().0 > known.acked || view.model_id() == decides, "another model decides");
    assert!(view.model_id() == ModelId::DEFAULT || engine.model(&tenant(), view.model_id()).is_ok());
}

#[test]
fn crashes_around_a_training_lose_no_model() {
    let base = MemDisk::new();
    let engine = reopen(&base);
    let records = crate::train::people(70);
    engine
        .submit_blocking(&tenant(), Command::Upsert { records, mode: Mode::Merge, dry_run: false }, Context::default())
        .unwrap();
    drop(engine);
    let mut counts = BTreeMap::new();
    let seeds = std::env::var("SELFSAME_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        train_and_crash(seed, &base, &mut counts);
    }
    let seen = |what: &str| counts.get(what).is_some_and(|count| *count > 0);
    assert!(seen("ready") && seen("commands"), "{counts:?}");
}

fn one(number: usize) -> Command {
    let json = format!(
        r#"{{"source":"s","source_record_id":"{number}","name":"Person {number}","notes":"{}"}}"#,
        "n".repeat(900)
    );
    Command::Upsert { records: vec![record(&json)], mode: Mode::Merge, dry_run: false }
}

#[test]
fn a_failed_sync_stops_writes_but_not_reads() {
    let disk = MemDisk::new();
    let engine = reopen(&disk);
    let send = |number| engine.submit_blocking(&tenant(), one(number), Context::default());
    send(1).unwrap();
    let before = engine.view(&tenant()).unwrap().fingerprint();
    disk.fail_at(disk.operations(), Fault::FailedSync);
    assert!(send(2).is_err());
    assert!(engine.is_poisoned());
    for number in 3..6 {
        assert!(matches!(send(number), Err(Error::Poisoned)));
    }
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), before, "readers never see what was not synced");
    let after = disk.crash(1);
    drop(engine);
    let engine = reopen(&after);
    assert!(engine.view(&tenant()).unwrap().stats().contacts >= 1);
    engine.submit_blocking(&tenant(), one(9), Context::default()).unwrap();
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = MemDisk::new();
    let engine = reopen(&disk);
    let send = |number| engine.submit_blocking(&tenant(), one(number), Context::default());
    send(0).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 1000));
    let mut stored = 1;
    let refused = (1..2000).find_map(|number| match send(number) {
        Ok(_) => {
            stored += 1;
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
    assert!(!engine.is_poisoned());
    assert!(matches!(send(5000), Err(Error::Full { .. })), "still full");
    assert!(matches!(engine.snapshot(), Err(Error::Full { .. } | Error::Io { .. })), "no room for a snapshot either");
    let view = engine.view(&tenant()).unwrap();
    assert_eq!((view.stats().contacts, view.export_ids().len()), (stored, usize::try_from(stored).unwrap()));
    disk.set_capacity(None);
    send(6000).unwrap();
    let before = engine.view(&tenant()).unwrap().fingerprint();
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, stored + 1);
    let after = disk.crash(2);
    drop(engine);
    assert_eq!(reopen(&after).view(&tenant()).unwrap().fingerprint(), before);
}
