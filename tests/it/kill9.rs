//! `kill -9` in the middle of imports: what was acknowledged is there, the state equals a replay from
//! zero, and repeating the import completes it.
//!
//! Two more callers say the same people from two sources at the same time: whatever the kill cuts off, no two live contacts
//! hold one of their addresses afterwards.
//!
//! Small by default. `SELFSAME_KILLS=200 SELFSAME_KILL_RECORDS=20000 cargo test --release --test it kill9 -- --nocapture`
//! is the long form; `SELFSAME_SEED` repeats a run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::main_job::address_book;
use crate::server::{Server, call, folder};

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator (xorshift64*), so that a printed seed repeats a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

/// Posts records one batch after the other until the connection breaks; gives those acknowledged.
fn acknowledged(address: &str, round: u64, stop: &AtomicBool) -> Vec<String> {
    let mut known = Vec::new();
    for batch in 0..100_000 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let ids: Vec<String> = (0..5).map(|n| format!("ack-{round}-{batch}-{n}")).collect();
        let records: Vec<_> = ids
            .iter()
            .map(|id| json!({"source": "acks", "source_record_id": id, "name": format!("Ack {id}"), "email": format!("{id}@example.org")}))
            .collect();
        let body = json!({ "records": records }).to_string();
        match call(address, "POST", "/v1/tenants/main/contacts:upsert", "application/json", body.as_bytes()) {
            Ok((200..=299, _)) => known.extend(ids),
            Ok((429, _)) => {}
            Ok((status, body)) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
            Err(_) => break,
        }
    }
    known
}

/// Says the same people as another source does at the same time, until the connection breaks; gives those acknowledged.
fn same_people(address: &str, source: &str, round: u64, stop: &AtomicBool) -> Vec<String> {
    let mut known = Vec::new();
    for number in 0..100_000 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("pair-{round}-{number}");
        let name = if source == "left" { "Pat Pairson" } else { "Patricia Pairson" };
        let record =
            json!({"source": source, "source_record_id": id, "name": name, "email": format!("{id}@pairs.example")});
        let body = json!({ "record": record }).to_string();
        match call(address, "POST", "/v1/tenants/main/contacts:upsert", "application/json", body.as_bytes()) {
            Ok((200..=299, _)) => known.push(format!("{source}:{id}")),
            Ok((429, _)) => {}
            Ok((status, body)) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
            Err(_) => break,
        }
    }
    known
}

/// No two live contacts hold an address of the pairs. Gives how many addresses there are.
fn assert_unique(server: &Server, round: u64) -> usize {
    let mut emails = BTreeSet::new();
    for contact in server.export() {
        for email in contact["emails"].as_array().into_iter().flatten() {
            let value = email["value"].as_str().unwrap();
            let own = value.ends_with("@pairs.example") || value.ends_with("@example.org");
            assert!(!own || emails.insert(value.to_owned()), "round {round}: two live contacts hold {value}");
        }
    }
    emails.len()
}

/// One round: an import and acknowledged writes side by side, killed after `delay`.
fn killed_round(data: &Path, book: &str, round: u64, delay: Duration) -> Vec<String> {
    let server = Server::start(data);
    let address = server.address().to_string();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let import =
            scope.spawn(|| call(&address, "POST", "/v1/tenants/main/imports?source=book", "text/csv", book.as_bytes()));
        let acks = scope.spawn(|| acknowledged(&address, round, &stop));
        let (left, right) = (
            scope.spawn(|| same_people(&address, "left", round, &stop)),
            scope.spawn(|| same_people(&address, "right", round, &stop)),
        );
        // The random moment of the kill is the point of this test, so it waits by the clock.
        let (_keep, timer) = std::sync::mpsc::channel::<()>();
        let _ = timer.recv_timeout(delay);
        server.kill9();
        stop.store(true, Ordering::Relaxed);
        let _ = import.join().unwrap();
        let acks = acks.join().unwrap().into_iter().map(|id| format!("acks:{id}"));
        acks.chain(left.join().unwrap()).chain(right.join().unwrap()).collect()
    })
}

/// `source:id` of all records of live contacts.
fn stored(server: &Server) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for contact in server.export() {
        for record in contact["records"].as_array().unwrap() {
            ids.insert(format!(
                "{}:{}",
                record["source"].as_str().unwrap(),
                record["source_record_id"].as_str().unwrap()
            ));
        }
    }
    ids
}

/// Copies a data directory without its snapshots, so that the copy replays from zero.
fn copy_without_snapshots(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let skip = name.to_string_lossy().contains("snap");
        if skip {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_without_snapshots(&entry.path(), &to.join(&name));
        } else {
            std::fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

/// The state now, and the state of a replay from zero, as fingerprints.
fn assert_replay_agrees(data: &Path, server: Server, home: &Path, round: u64) {
    let live = server.get("stats?fingerprint=true")["fingerprint"].clone();
    server.kill9();
    let copy = home.join(format!("copy-{round}"));
    copy_without_snapshots(data, &copy);
    let key = data.with_extension("key");
    if key.exists() {
        std::fs::copy(&key, copy.with_extension("key")).unwrap();
    }
    let replayed = Server::start(&copy);
    assert_eq!(replayed.get("stats?fingerprint=true")["fingerprint"], live, "round {round}: replay differs");
    drop(replayed);
    std::fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_and_the_import_can_be_repeated() {
    let kills = setting("SELFSAME_KILLS", 3);
    let records = setting("SELFSAME_KILL_RECORDS", 3_000);
    let seed = setting("SELFSAME_SEED", 0x5e1f_5a3e);
    println!("{kills} kills over {records} records; SELFSAME_SEED={seed}");
    let mut dice = Dice(seed);
    let home = folder();
    let data = home.path().join("data");
    let book = address_book(usize::try_from(records).unwrap());
    let mut known = BTreeSet::from(["acks:first".to_string()]);
    let server = Server::start(&data);
    server.post(
        "contacts:upsert",
        &json!({"record": {"source": "acks", "source_record_id": "first", "name": "First One"}}),
    );
    server.kill9();
    for round in 0..kills {
        let delay = Duration::from_millis(50 + dice.below(records / 8));
        known.extend(killed_round(&data, &book, round, delay));
        let server = Server::start(&data);
        let stored = stored(&server);
        let lost: Vec<_> = known.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged but gone: {lost:?}");
        println!(
            "kill {round} after {delay:?}: {} records stored, {} of them acknowledged one by one, {} addresses unique",
            stored.len(),
            known.len(),
            assert_unique(&server, round)
        );
        assert_replay_agrees(&data, server, home.path(), round);
    }
    let server = Server::start(&data);
    let (status, answer) = server.send("imports?source=book", "text/csv", book.as_bytes());
    assert!((200..300).contains(&status), "{answer}");
    let stored = stored(&server);
    let from_book = stored.iter().filter(|id| id.starts_with("book:")).count();
    assert_eq!(from_book as u64, records, "repeating the import completes it");
}
