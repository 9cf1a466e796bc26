//! Tenants that nobody asks for are parked: whatever is done to them afterwards, they answer as those that never were.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use selfsame::engine::api::{Answer, Command, Context, Mode, Outcome, SearchQuery};
use selfsame::engine::{Engine, EngineOptions, Look, Parking};
use selfsame::error::Error;
use selfsame::host::{Disk, MemDisk};
use selfsame::model::ids::TenantName;
use selfsame::model::settings::{Discovery, Settings};

use crate::engine::{open, record, reopen, tenant, upsert, world};
use crate::simulate::{Dice, command};

/// Looks until what was idle is parked: once to see that nobody uses it, once to park it.
fn park(engine: &Engine) -> Look {
    engine.flush_text().unwrap();
    engine.park_idle();
    engine.park_idle()
}

fn person(number: usize) -> String {
    format!(
        r#"{{"source":"crm","source_record_id":"{number}","name":"Ada{number} Quist{number}","email":"ada{number}@example.com","phone":"+1212555{number:04}"}}"#
    )
}

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

fn put(engine: &Engine, tenant: &str, json: &str) {
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    engine.submit_blocking(&name(tenant), command, Context::default()).unwrap();
}

#[test]
fn a_parked_tenant_takes_little_and_comes_back_on_first_use() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    (0..100).for_each(|number| drop(upsert(&engine, &person(number))));
    let view = engine.view(&tenant()).unwrap();
    let (print, whole) = (view.fingerprint(), view.stats().bytes.values().sum::<u64>());
    drop(view);
    assert_eq!(engine.park_idle().are_parked, 0, "it was used");
    let look = park(&engine);
    assert_eq!(look.are_parked, 1);
    assert!(look.bytes as u64 * 4 < whole, "{} bytes parked, {whole} whole", look.bytes);
    assert_eq!(engine.tenants(), [tenant()], "it is there");
    assert_eq!(engine.park_idle().are_parked, 1, "to look for it is no use");
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), print);
    assert_eq!(engine.park_idle().are_parked, 0, "it came back");
    park(&engine);
    let again = upsert(&engine, &person(7).replace("crm", "phone"));
    assert_eq!(again.outcome, Outcome::Merged, "a write finds whom it knows");
    let print = engine.view(&tenant()).unwrap().fingerprint();
    assert_eq!(park(&engine).are_parked, 1);
    engine.snapshot().unwrap();
    assert_eq!(engine.park_idle().are_parked, 1, "a snapshot wakes nobody");
    drop(engine);
    assert_eq!(reopen(&disk).view(&tenant()).unwrap().fingerprint(), print, "from a snapshot of parked bytes");
}

#[test]
fn what_others_follow_and_what_is_large_stays_whole() {
    let options = EngineOptions {
        parking: Parking { records_max: 3, ..Parking::default() },
        ..EngineOptions::new(Path::new("data"))
    };
    let engine = Engine::open(options, world(&MemDisk::new())).unwrap().0;
    put(&engine, "small", &person(1));
    (0..4).for_each(|number| put(&engine, "large", &person(number)));
    put(&engine, "app", &person(1));
    put(&engine, "book", &person(1));
    let settings = |discovery| Settings { discovery, ..Settings::default() };
    let directory = settings(Discovery { users: Some("app".into()), ..Discovery::default() });
    let book = settings(Discovery { directory: Some("app".into()), keep_users: true, ..Discovery::default() });
    for (tenant, settings) in [("app", directory), ("book", book)] {
        let command = Command::PutSettings { settings: Box::new(settings) };
        engine.submit_blocking(&name(tenant), command, Context::default()).unwrap();
    }
    assert_eq!(park(&engine).are_parked, 1, "only the small one");
}

/// Two engines are told the same; one of them parks after every command.
#[test]
fn whatever_is_done_a_tenant_that_was_parked_is_as_one_that_was_not() {
    let mut parked = 0;
    for seed in 0..4 {
        let disks = [MemDisk::new(), MemDisk::new()];
        let [plain, parking] = disks.each_ref().map(open);
        let mut dice = Dice(seed);
        for _ in 0..60 {
            let command = command(&mut dice, &plain);
            if matches!(command, Command::Webhook(_)) {
                continue; // whoever has webhooks is not parked
            }
            let told = |engine: &Engine| {
                format!("{:?}", engine.submit_blocking(&tenant(), command.clone(), Context::default()))
            };
            assert_eq!(told(&plain), told(&parking), "seed {seed}: {command:?}");
            let print = |engine: &Engine| engine.view(&tenant()).map(|view| view.fingerprint()).ok();
            assert_eq!(print(&plain), print(&parking), "seed {seed}: after {command:?}");
            if matches!(command, Command::Erase { .. }) {
                // Whoever is being erased stays whole until no file has them.
                let cleaned = |engine: &Engine| engine.compact().unwrap().erasures;
                assert_eq!(cleaned(&plain), cleaned(&parking), "seed {seed}");
            }
            parked += park(&parking).are_parked;
        }
        drop(parking);
        let again = reopen(&disks[1]);
        let print = |engine: &Engine| engine.view(&tenant()).unwrap().fingerprint();
        assert_eq!(print(&again), print(&plain), "seed {seed}: after a start");
    }
    assert!(parked > 100, "{parked}");
}

/// Writers, readers and somebody who parks without a pause: no write is lost, and each is seen by who wrote it.
#[test]
fn parking_beside_writers_and_readers_loses_nothing() {
    const WRITERS: usize = 3;
    const EACH: usize = 20;
    let disk = MemDisk::new();
    let engine = open(&disk);
    let done = AtomicBool::new(false);
    let parked = std::thread::scope(|scope| {
        let parker = scope.spawn(|| {
            let mut parked = 0;
            while !done.load(Ordering::Acquire) {
                parked += engine.park_idle().parked;
                std::thread::yield_now();
            }
            parked
        });
        let write = |writer: usize, engine: &Arc<Engine>| {
            for number in 0..EACH {
                let number = writer * 1000 + number;
                let result = upsert(engine, &person(number));
                let view = engine.view(&tenant()).unwrap();
                let seen = view.contact(result.contact_id.unwrap());
                assert!(matches!(seen, Ok(_) | Err(Error::Moved { .. })), "an acknowledged write is seen");
                drop(view);
                engine.flush_text().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        };
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let engine = Arc::clone(&engine);
                    move || write(writer, &engine)
                })
            })
            .collect();
        let all_wrote = writers.into_iter().map(|writer| writer.join()).all(|joined| joined.is_ok());
        done.store(true, Ordering::Release);
        assert!(all_wrote);
        parker.join().unwrap()
    });
    assert!(parked > 0, "nothing was parked meanwhile");
    let view = engine.view(&tenant()).unwrap();
    assert_eq!(view.stats().records as usize, WRITERS * EACH);
    let print = view.fingerprint();
    drop((view, engine));
    assert_eq!(reopen(&disk).view(&tenant()).unwrap().fingerprint(), print);
}

/// One who is erased is erased, parked or not.
#[test]
fn whoever_is_erased_while_parked_is_in_no_bytes_afterwards() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let put = upsert(&engine, &person(5));
    upsert(&engine, r#"{"source":"crm","source_record_id":"6","name":"Zoe Marsh","email":"zoe@example.org"}"#);
    park(&engine);
    let contact = put.contact_id.unwrap();
    engine.submit_blocking(&tenant(), Command::Erase { contact }, Context::default()).unwrap();
    engine.park_idle();
    assert_eq!(park(&engine).are_parked, 0, "files are to be cleaned yet");
    assert_eq!(engine.compact().unwrap().erasures, 1);
    engine.view(&tenant()).unwrap();
    assert_eq!(park(&engine).are_parked, 1);
    let answer = engine.submit_blocking(&tenant(), Command::Erase { contact }, Context::default());
    assert!(!matches!(answer.map(|receipt| receipt.answer), Ok(Answer::Upserted(_))));
    let view = engine.view(&tenant()).unwrap();
    assert!(view.contact(contact).is_err());
    assert_eq!(view.stats().contacts, 1);
}

fn print_of(engine: &Engine, tenant: &str) -> String {
    engine.view(&name(tenant)).unwrap().fingerprint()
}

/// Who is parked stays in the newest snapshot, whatever becomes of the older ones.
#[test]
fn the_parked_move_from_snapshot_to_snapshot() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    (0..20).for_each(|number| put(&engine, "idle", &person(number)));
    let print = print_of(&engine, "idle");
    let in_memory = park(&engine).bytes;
    engine.snapshot().unwrap();
    let in_snapshot = engine.park_idle();
    assert_eq!(in_snapshot.are_parked, 1, "a snapshot wakes nobody");
    assert!(in_snapshot.bytes < 400 && in_memory > 4000, "{} bytes after {in_memory}", in_snapshot.bytes);
    for number in 0..4 {
        put(&engine, "busy", &person(number));
        engine.snapshot().unwrap();
    }
    assert_eq!(print_of(&engine, "idle"), print, "three snapshots later");
    // Nothing was written to it: it goes back where it was.
    assert_eq!(park(&engine).are_parked, 2);
    assert!(engine.park_idle().bytes < 800);
    // What the snapshot does not have is not taken from it.
    put(&engine, "idle", &person(30));
    let print = print_of(&engine, "idle");
    assert!(park(&engine).bytes > 4000, "its newest state is nowhere else");
    assert_eq!(print_of(&engine, "idle"), print);
    // An erasure lets go of every older snapshot.
    engine.snapshot().unwrap();
    assert_eq!(park(&engine).are_parked, 2);
    let query = SearchQuery { q: "ada1@example.com".into(), ..SearchQuery::default() };
    let contact = engine.search(&name("busy"), &query).unwrap().items[0].contact.id;
    engine.submit_blocking(&name("busy"), Command::Erase { contact }, Context::default()).unwrap();
    assert_eq!(engine.compact().unwrap().erasures, 1);
    assert_eq!(print_of(&engine, "idle"), print, "after an erasure elsewhere");
}

/// A start leaves small tenants in the snapshot: they are there, are counted, and come on first use; what was written behind
/// the snapshot is theirs, too.
#[test]
fn a_start_leaves_small_tenants_where_they_are() {
    // Of so much text that the snapshot is read in many pieces, which end within tenants.
    let long = |number: usize| {
        // Text that is not compressed to nothing.
        let mut dice = Dice(number as u64);
        let note: String = (0..6000).map(|_| char::from(b'a' + u8::try_from(dice.below(26)).unwrap())).collect();
        person(number).replace("\"name\"", &format!("\"notes\":\"{note}\",\"name\""))
    };
    let disk = MemDisk::new();
    let engine = open(&disk);
    let tenants: Vec<String> = (0..60).map(|number| format!("t{number}")).collect();
    for tenant in &tenants {
        let records = (0..12).map(|number| record(&long(number))).collect();
        let command = Command::Upsert { records, mode: Mode::Merge, dry_run: false };
        engine.submit_blocking(&name(tenant), command, Context::default()).unwrap();
    }
    let settings = Settings { default_region: "DE".into(), ..Settings::default() };
    let command = Command::PutSettings { settings: Box::new(settings) };
    engine.submit_blocking(&name("t7"), command, Context::default()).unwrap();
    engine.snapshot().unwrap();
    put(&engine, "t5", &person(50));
    put(&engine, "late", &person(1));
    let tenants: Vec<&str> = tenants.iter().map(String::as_str).chain(["late"]).collect();
    let prints: Vec<String> = tenants.iter().map(|tenant| print_of(&engine, tenant)).collect();
    drop(engine);
    let snapshot = disk.list(Path::new("data/snapshots")).unwrap().pop().unwrap();
    let bytes = disk.read(&Path::new("data/snapshots").join(snapshot)).unwrap().len();
    assert!(bytes > 5 << 20, "{bytes} bytes are not read in pieces");

    let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
    let (engine, report) = Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap();
    assert_eq!((report.tenants, report.records), (61, 60 * 12 + 2));
    engine.flush_text().unwrap();
    let look = engine.park_idle();
    assert_eq!(look.are_parked, 59, "all but those of the last frames");
    assert!(look.bytes < 59 * 400, "{} bytes", look.bytes);
    let search = || {
        let query = SearchQuery { q: "Quist3".into(), ..SearchQuery::default() };
        engine.search(&name("t9"), &query).unwrap()
    };
    assert!(!search().items.is_empty(), "by text, although it was not indexed at the start");
    engine.flush_text().unwrap();
    let page = search();
    assert!(!page.items.is_empty(), "and when it is");
    assert_eq!(page.covered, Some(engine.view(&name("t9")).unwrap().seq()));
    assert_eq!(tenants.iter().map(|tenant| print_of(&engine, tenant)).collect::<Vec<String>>(), prints);
    assert_eq!(engine.view(&name("t7")).unwrap().settings().default_region, "DE");

    let options = EngineOptions {
        segment_bytes: 1 << 20,
        parking: Parking { records_max: 11, ..Parking::default() },
        ..EngineOptions::new(Path::new("data"))
    };
    drop(engine);
    let engine = Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap().0;
    assert_eq!(engine.park_idle().are_parked, 0, "they are too large");
    assert_eq!(tenants.iter().map(|tenant| print_of(&engine, tenant)).collect::<Vec<String>>(), prints);
}

/// The disk loses a parked tenant: whoever asks for it is told, nobody else notices, and the next start has everything.
#[test]
fn a_parked_tenant_that_cannot_be_read_is_said_and_comes_back_with_a_start() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    (0..20).for_each(|number| put(&engine, "idle", &person(number)));
    let print = print_of(&engine, "idle");
    engine.snapshot().unwrap();
    park(&engine);
    let path = Path::new("data/snapshots").join(disk.list(Path::new("data/snapshots")).unwrap().pop().unwrap());
    let whole = disk.read(&path).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    disk.put(&path, &damaged);
    let refused = engine.view(&name("idle")).err().expect("it cannot be read");
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    let command = Command::Upsert { records: vec![record(&person(50))], mode: Mode::Merge, dry_run: false };
    assert!(engine.submit_blocking(&name("idle"), command, Context::default()).is_err(), "nor written to");
    put(&engine, "busy", &person(1));
    assert!(engine.snapshot().is_err(), "no newer snapshot without it");
    drop(engine);
    assert_eq!(print_of(&reopen(&disk), "idle"), print, "from the journal");
}
