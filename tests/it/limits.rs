//! Disk and memory run short: writes are refused with a remedy, reads go on, and writes come back by themselves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use selfsame::engine::api::{Command, Context, Mode};
use selfsame::engine::limits::Limits;
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::Error;
use selfsame::host::{Clock, ManualClock, MemDisk};
use selfsame::model::ids::{EntityId, Millis, TenantName};
use serde_json::json;

use crate::engine::{record, tenant, world};
use crate::server::{Server, file, folder};

/// What the process is said to hold, in bytes.
static HELD: AtomicU64 = AtomicU64::new(0);

fn open(disk: &MemDisk, limits: Limits) -> (Arc<Engine>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
    let options = EngineOptions { limits, segment_bytes: 32 << 10, ..EngineOptions::new(Path::new("/data")) };
    let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world(disk) };
    (Engine::open(options, world).unwrap().0, clock)
}

fn upsert(n: usize, dry_run: bool) -> Command {
    let text = format!(r#"{{"source":"s","source_record_id":"{n}","email":"z{n}@example.com","name":"Z{n} Y{n}"}}"#);
    Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run }
}

fn send(engine: &Engine, command: Command) -> Result<(), Error> {
    engine.submit_blocking(&tenant(), command, Context::default()).map(drop)
}

fn first(engine: &Engine) -> EntityId {
    engine.view(&tenant()).unwrap().export_ids()[0]
}

fn refusal(outcome: Result<(), Error>) -> String {
    match outcome {
        Err(Error::Full { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_nearly_full_stops_writes_before_the_journal_breaks() {
    let disk = MemDisk::new();
    let (engine, clock) = open(&disk, Limits { disk_free_min_bytes: 200_000, ..Limits::default() });
    send(&engine, upsert(0, false)).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 199_999));
    send(&engine, upsert(1, false)).unwrap();
    clock.advance(Duration::from_secs(1));
    let contact = first(&engine);
    for command in [upsert(2, false), Command::Delete { contact }] {
        let what = refusal(send(&engine, command));
        assert!(what.contains("disk_free_min_bytes = 200000"), "{what}");
    }
    send(&engine, upsert(2, true)).unwrap();
    assert_eq!(engine.view(&tenant()).unwrap().stats().records, 2, "reads go on");
    assert!(!engine.is_poisoned());
    disk.set_capacity(None);
    clock.advance(Duration::from_secs(1));
    send(&engine, upsert(2, false)).unwrap();
}

#[test]
fn memory_at_its_bound_takes_deletions_only() {
    let limits =
        Limits { memory_max_bytes: 1000, memory_used: || Some(HELD.load(Ordering::SeqCst)), ..Limits::default() };
    HELD.store(999, Ordering::SeqCst);
    let (engine, clock) = open(&MemDisk::new(), limits);
    send(&engine, upsert(0, false)).unwrap();
    HELD.store(1000, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    let what = refusal(send(&engine, upsert(1, false)));
    assert!(what.contains("memory_max_bytes = 1000"), "{what}");
    let other = TenantName::parse("other").unwrap();
    assert!(matches!(engine.submit_blocking(&other, upsert(1, false), Context::default()), Err(Error::Full { .. })));
    send(&engine, Command::Delete { contact: first(&engine) }).unwrap();
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 0);
    HELD.store(0, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    send(&engine, upsert(1, false)).unwrap();
}

#[test]
fn a_tenant_at_its_bound_is_refused_and_the_others_are_not() {
    let (engine, _) = open(&MemDisk::new(), Limits { tenant_records_max: 2, ..Limits::default() });
    (0..2).for_each(|n| send(&engine, upsert(n, false)).unwrap());
    let what = refusal(send(&engine, upsert(2, false)));
    assert!(what.contains("tenant_records_max = 2") && what.contains("holds 2"), "{what}");
    engine.submit_blocking(&TenantName::parse("other").unwrap(), upsert(2, false), Context::default()).unwrap();
    // What it holds already can change, also twice in one batch; with one that is new nothing of it is taken.
    let both = |numbers: &[usize]| {
        let all = numbers.iter().flat_map(|n| match upsert(*n, false) {
            Command::Upsert { records, .. } => records,
            other => panic!("{other:?}"),
        });
        Command::Upsert { records: all.collect(), mode: Mode::Merge, dry_run: false }
    };
    send(&engine, both(&[0, 1, 0])).unwrap();
    let what = refusal(send(&engine, both(&[0, 2, 2])));
    assert!(what.contains("holds 2 records and 1 new ones"), "{what}");
    let key = selfsame::model::ids::RecordKey { source: "s".into(), source_record_id: "0".into() };
    send(&engine, Command::DeleteRecord { key }).unwrap();
    send(&engine, upsert(2, false)).unwrap();

    let (engine, _) = open(&MemDisk::new(), Limits { tenant_bytes_max: 20_000, ..Limits::default() });
    let refused = (0..100).find_map(|n| send(&engine, upsert(n, false)).err());
    let what = refusal(Err(refused.unwrap()));
    assert!(what.contains("tenant_bytes_max = 20000"), "{what}");
    let bytes: u64 = engine.view(&tenant()).unwrap().stats().bytes.values().sum();
    assert!((20_000..40_000).contains(&bytes), "{bytes}");
}

/// The real figures of the machine: no process runs in a kilobyte, no disk has an exabyte.
#[test]
fn the_server_answers_507_and_reads_go_on() {
    let home = folder();
    let data = home.path().join("data");
    let server = Server::start(&data);
    server.post("contacts:upsert", &json!({"record": {"name": "Zoe Zyskowski"}}));
    server.stop();
    for (key, value) in [("memory_max_bytes", 1024), ("disk_free_min_bytes", 1_u64 << 40), ("tenant_records_max", 1)] {
        let config = file(home.path(), "selfsame.toml", format!("{key} = {value}\n"));
        let server = Server::start_with(&data, &["--config", config.to_str().unwrap()]);
        let (status, answer) = server.try_post("contacts:upsert", &json!({"record": {"name": "Otto Kern"}}));
        assert_eq!((status, answer["code"].as_str()), (507, Some("full")), "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(key), "{answer}");
        assert_eq!(server.contacts(), 1);
    }
}
