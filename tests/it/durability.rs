//! What a crash may take in each mode, on a disk that forgets what was not synced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfsame::engine::api::{Command, Context, Mode};
use selfsame::engine::{Durability, Engine, EngineOptions, Parking, World};
use selfsame::error::Error;
use selfsame::host::{Fault, MemDisk};
use selfsame::model::ids::TenantName;

use crate::engine::{record, tenant, world};
use crate::server::{Server, file, folder};
use crate::tricky_disk::TrickyDisk;

/// Long enough that only a test's own doing syncs.
const NEVER: Durability = Durability::Interval(Duration::from_secs(60));

fn open(disk: &MemDisk, durability: Durability) -> Result<Arc<Engine>, Error> {
    let options = EngineOptions { durability, segment_bytes: 64 << 10, ..EngineOptions::new(Path::new("/data")) };
    Ok(Engine::open(options, world(disk))?.0)
}

fn put(engine: &Engine, n: usize) -> Result<String, Error> {
    let text = format!(r#"{{"source":"s","source_record_id":"{n}","email":"z{n}@example.com","name":"Z{n} Y{n}"}}"#);
    let command = Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run: false };
    engine.submit_blocking(&tenant(), command, Context::default())?;
    Ok(state(engine))
}

fn state(engine: &Engine) -> String {
    engine.view(&tenant()).map_or_else(|_| String::new(), |view| view.fingerprint())
}

/// States after each write; a crash then gives one of them, and from which on.
fn found(disk: &MemDisk, mode: Durability, states: &[String], seed: u64) -> usize {
    let crashed = disk.crash(seed);
    let engine = open(&crashed, mode).unwrap_or_else(|error| panic!("{mode}, crash {seed}: {error}"));
    let state = state(&engine);
    let at = states.iter().position(|one| *one == state);
    at.unwrap_or_else(|| panic!("{mode}, crash {seed}: a state that never was"))
}

#[test]
fn a_crash_takes_nothing_or_the_end_and_never_the_middle() {
    for (mode, may_lose) in [(Durability::Always, false), (NEVER, true), (Durability::Os, true)] {
        let disk = MemDisk::new();
        let engine = open(&disk, mode).unwrap();
        let mut states = vec![String::new()];
        (0..12).for_each(|n| states.push(put(&engine, n).unwrap()));
        // A snapshot syncs what it is of: nothing before it can be lost.
        engine.snapshot().unwrap();
        let durable = states.len() - 1;
        (12..30).for_each(|n| states.push(put(&engine, n).unwrap()));
        assert_eq!(engine.view(&tenant()).unwrap().stats().durability, mode.to_string());
        let kept: Vec<usize> = (0..60).map(|seed| found(&disk, mode, &states, seed)).collect();
        let last = states.len() - 1;
        assert!(kept.iter().all(|kept| *kept >= durable), "{mode}: {kept:?}");
        assert_eq!(kept.iter().any(|kept| *kept < last), may_lose, "{mode}: {kept:?}");
        drop(engine);
        assert_eq!(found(&disk, mode, &states, 1), last, "{mode}: a stop syncs");
    }
}

/// A build that reads its own snapshot derives nothing of what is in it.
#[test]
fn a_start_takes_what_the_snapshot_kept_and_derives_what_came_later() {
    let disk = MemDisk::new();
    let engine = open(&disk, Durability::Always).unwrap();
    (0..700).for_each(|n| drop(put(&engine, n).unwrap()));
    engine.snapshot().unwrap();
    (690..720).for_each(|n| drop(put(&engine, n).unwrap()));
    let whole = state(&engine);
    let crashed = disk.crash(7);
    // So small a tenant would stay in the snapshot.
    let parking = Parking { after: None, ..Parking::default() };
    let options = EngineOptions { segment_bytes: 64 << 10, parking, ..EngineOptions::new(Path::new("/data")) };
    let (back, report) = Engine::open(options, world(&crashed)).unwrap();
    assert_eq!((state(&back), report.records, report.derived_kept), (whole, 720, 700));
    assert!(report.replayed >= 20, "{report:?}");
}

#[test]
fn the_interval_bounds_what_can_be_lost() {
    let disk = MemDisk::new();
    let mode = Durability::Interval(Duration::from_millis(1));
    let engine = open(&disk, mode).unwrap();
    let mut states = vec![String::new()];
    (0..5).for_each(|n| states.push(put(&engine, n).unwrap()));
    // The tick comes by itself, without another write.
    while (0..20).any(|seed| found(&disk, mode, &states, seed) < 5) {
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_sync_stops_all_writes_in_every_mode() {
    for mode in [Durability::Always, Durability::Interval(Duration::from_millis(1)), Durability::Os] {
        let disk = MemDisk::new();
        let engine = open(&disk, mode).unwrap();
        put(&engine, 0).unwrap();
        assert!(!engine.is_poisoned());
        // Of the first write the tick may still be under way: the fault then hits that one, which is as well.
        disk.fail_at(disk.operations(), Fault::FailedSync);
        let (mut n, mut refused) = (1, false);
        while !refused {
            refused = put(&engine, n).is_err();
            refused |= mode == Durability::Os && engine.snapshot().is_err();
            n += 1;
        }
        assert!(engine.is_poisoned(), "{mode}");
        assert!(matches!(put(&engine, 900), Err(Error::Poisoned)), "{mode}");
        assert!(matches!(engine.snapshot(), Err(Error::Poisoned)) || mode == Durability::Always, "{mode}");
        assert!(engine.view(&tenant()).is_ok(), "{mode}: reads go on");
    }
}

/// A quiet engine appends on the thread that decided. While that one waits for the disk, others must go on deciding.
#[test]
fn a_write_that_waits_for_the_disk_holds_up_no_decision() {
    let disk = TrickyDisk::new(&MemDisk::new(), None);
    let options = EngineOptions { queue_max: 2, ..EngineOptions::new(Path::new("/data")) };
    let world = World { disk: Arc::new(disk.clone()), ..world(&MemDisk::new()) };
    let engine = Engine::open(options, world).unwrap().0;
    put(&engine, 0).unwrap();
    disk.hold();
    let send = |n: usize| {
        let text = format!(r#"{{"source":"s","source_record_id":"{n}","name":"Z{n} Y{n}"}}"#);
        let command = Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run: false };
        engine.send(&tenant(), command, Context::default())
    };
    let mut answers = vec![send(1).unwrap()];
    assert!(disk.wait_until_held(|| false));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    for n in 2..20 {
        // The queue holds two: it takes another only when somebody has decided on one.
        answers.push(loop {
            match send(n) {
                Ok(answer) => break answer,
                Err(error) => assert!(matches!(error, Error::Busy { .. }), "{error}"),
            }
            assert!(std::time::Instant::now() < deadline, "nobody decides while the disk is waited for");
            std::thread::yield_now();
        });
    }
    assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()), "answered before the sync");
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 1, "seen before the sync");
    disk.release();
    let seqs: Vec<u64> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap().seq.0).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 20);
}

/// Some bundles are appended by whoever decided them, some by the commit thread: the journal must have them in the order of
/// the decisions all the same, and nobody may be answered before the view shows it.
#[test]
fn whoever_appends_the_journal_has_the_order_of_the_decisions() {
    let disk = MemDisk::new();
    let engine = open(&disk, Durability::Always).unwrap();
    let names = ["main", "other"].map(|name| TenantName::parse(name).unwrap());
    std::thread::scope(|scope| {
        for caller in 0..6 {
            let (engine, names) = (&engine, &names);
            scope.spawn(move || {
                for n in 0..80 {
                    let name = &names[usize::from((caller + n) % 5 == 0)];
                    let text = format!(
                        r#"{{"source":"s","source_record_id":"{}","name":"Z{n} Y{caller}"}}"#,
                        (caller + n) % 3
                    );
                    let command = Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run: false };
                    let receipt = engine.submit_blocking(name, command, Context::default()).unwrap();
                    assert!(engine.view(name).unwrap().seq() >= receipt.seq, "answered before it is seen");
                }
            });
        }
    });
    let states = |engine: &Engine| names.clone().map(|name| engine.view(&name).unwrap().fingerprint());
    let before = states(&engine);
    drop(engine);
    assert_eq!(states(&open(&disk, Durability::Always).unwrap()), before);
}

#[test]
fn the_server_says_how_durable_it_is() {
    let home = folder();
    let config = file(home.path(), "selfsame.toml", "durability = 'interval(50)'\n");
    let data = home.path().join("data");
    let server = Server::start_with(&data, &["--config", config.to_str().unwrap()]);
    server.post("contacts:upsert", &serde_json::json!({"record": {"name": "Zoe Zyskowski"}}));
    assert_eq!(server.get("stats")["durability"], "interval(50)");
    assert_eq!(server.get("/v1/admin/status")["durability"], "interval(50)");
    server.kill9();
    let server = Server::start(&data);
    assert_eq!((server.contacts(), server.get("stats")["durability"].as_str()), (1, Some("always")));
}
