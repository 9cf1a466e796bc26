//! Encryption at rest: nothing of a record stands in a file, wrong and missing keys are refused before anything is
//! changed, and keys change while the server runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{Command, Context, Mode, Outcome};
use selfsame::engine::{Engine, EngineOptions};
use selfsame::host::{Disk, Fault, MemDisk, SeededRandom};
use selfsame::journal::{Keyring, ring_path};
use selfsame::model::ids::TenantName;
use serde_json::{Value, json};

use crate::engine::{record, tenant, upsert};
use crate::server::{Server, file, folder, run, stderr, stdout};
use crate::simulate::{later, without_snapshots};

/// Words that occur nowhere but in the record below, in small letters.
const CANARIES: [&str; 8] =
    ["zanzibarquux", "mcqwertyface", "quuxmail", "2125550177", "blorptown", "canarysource", "frobnicate", "birdid"];

fn canary() -> Value {
    json!({
        "source": "canarysource", "source_record_id": "birdid-1", "name": "Zanzibarquux McQwertyface", "email": "zq@quuxmail.example",
        "phone": "+1 212-555-0177", "organization": "Frobnicate Ltd", "addresses": [{"city": "Blorptown", "country": "US"}],
        "notes": "likes zanzibarquux"
    })
}

/// All files below a folder.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The canaries that stand in a file, read as text and as digits alike.
fn found(dir: &Path) -> Vec<&'static str> {
    let files = files(dir);
    assert!(files.len() >= 4, "journal, snapshot, keys and reports: {:?}", files.keys());
    let lower: Vec<Vec<u8>> = files.into_values().map(|bytes| bytes.to_ascii_lowercase()).collect();
    let stands =
        |word: &str| lower.iter().any(|bytes| bytes.windows(word.len()).any(|window| window == word.as_bytes()));
    CANARIES.into_iter().filter(|word| stands(word)).collect()
}

/// Puts, imports, edits and snapshots the canary, and kills the server.
fn live(server: Server) {
    let id = server.post("contacts:upsert", &json!({"record": canary()}))["results"][0]["contact_id"].clone();
    let csv = "id,name,email\nbirdid-2,Zanzibarquux McQwertyface,zq@quuxmail.example\n,,\n";
    let (status, answer) = server.send("imports?source=canarysource", "text/csv", csv.as_bytes());
    assert_eq!((status, &answer["rows"]), (200, &json!(2)), "{answer}");
    server.post(&format!("/v1/admin/{}", "snapshot"), &json!({}));
    server.post(
        "contacts:upsert",
        &json!({"record": {"source": "other", "name": "Zanzibarquux Mcqwertyface", "email": "zq@quuxmail.example"}}),
    );
    let report = format!("imports/{}/report", answer["import_id"].as_str().unwrap());
    let (status, text) =
        crate::server::call(server.address(), "GET", &format!("/v1/tenants/main/{report}"), "text/csv", b"").unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8(text).unwrap().contains(id.as_str().unwrap()), "the report can be read");
    server.kill9();
}

fn with_config(home: &Path, data: &Path, text: &str) -> Server {
    let config = file(home, "selfsame.toml", text);
    Server::start_with(data, &["--config", config.to_str().unwrap()])
}

#[test]
fn nothing_of_a_record_stands_in_any_file_unless_encryption_is_off() {
    let home = folder();
    let (sealed, plain) = (home.path().join("sealed"), home.path().join("plain"));
    live(Server::start(&sealed));
    assert_eq!(found(&sealed), Vec::<&str>::new());
    live(with_config(home.path(), &plain, "encryption = false"));
    assert_eq!(found(&plain), CANARIES, "so the search can find them");
    for data in [&sealed, &plain] {
        let server = Server::start(data);
        assert_eq!(server.contacts(), 1, "both are read, whatever the setting");
        assert_eq!(server.get("/v1/admin/status")["encryption"], true);
        assert_eq!(server.get("imports")["items"].as_array().unwrap().len(), 1);
        server.post(
            "contacts:upsert",
            &json!({"record": {"source": "late", "source_record_id": "1", "name": "Wibblewobble"}}),
        );
        server.post("/v1/admin/snapshot", &json!({}));
        server.kill9();
        let late = |bytes: &Vec<u8>| bytes.windows(12).any(|window| window == b"Wibblewobble");
        assert!(!files(data).values().any(late), "what is written now is sealed");
        assert_eq!(with_config(home.path(), data, "encryption = false").contacts(), 2);
    }
}

/// Runs `serve` to its refusal.
fn refused(data: &Path, more: &[&str]) -> String {
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    arguments.extend(more);
    let output = run(&arguments);
    assert!(!output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

fn one(server: &Server, name: &str) -> Value {
    server.post("contacts:upsert", &json!({"record": {"source": "s", "source_record_id": name, "name": name}}))
}

#[test]
fn wrong_and_missing_keys_are_refused_before_anything_is_changed() {
    let home = folder();
    let data = home.path().join("data");
    let server = Server::start(&data);
    one(&server, "First Person");
    server.post("/v1/admin/snapshot", &json!({}));
    one(&server, "Second Person");
    server.kill9();
    let before = files(&data);
    let ring = ring_path(&data);
    let whole = std::fs::read(&ring).unwrap();

    let other = file(home.path(), "other.key", "ab".repeat(32));
    let text = refused(&data, &["--key-file", other.to_str().unwrap()]);
    assert!(
        text.contains("other.key") && text.contains("--key-file") && text.contains("Nothing was changed"),
        "{text}"
    );
    assert!(!text.contains("abab"), "no key is shown: {text}");
    assert_eq!(files(&data), before);

    std::fs::remove_file(&ring).unwrap();
    let text = refused(&data, &[]);
    assert!(text.contains("ring.bin") && text.contains("is missing") && text.contains("backup"), "{text}");
    assert!(!ring.exists(), "no new ring is made");
    for (bytes, says) in
        [(&whole[..whole.len() - 1], "has no key"), (&whole[..100], "cut short"), (&b""[..], "SELFSKR1")]
    {
        std::fs::write(&ring, bytes).unwrap();
        let text = refused(&data, &[]);
        assert!(text.contains("ring.bin") && text.contains(says) && text.contains("restore"), "{text}");
        assert_eq!(std::fs::read(&ring).unwrap(), bytes);
    }
    std::fs::write(&ring, &whole).unwrap();
    std::fs::remove_file(data.with_extension("key")).unwrap();
    assert!(refused(&data, &[]).contains("--key-file"));
    assert_eq!(files(&data), before);
}

#[test]
fn the_master_key_may_come_from_a_command() {
    let home = folder();
    let data = home.path().join("data");
    let key = file(home.path(), "vault.txt", format!("{}\n", "0c".repeat(32)));
    let command = format!("key_command = 'cat {}'", key.display());
    let server = with_config(home.path(), &data, &command);
    one(&server, "First Person");
    server.kill9();
    assert_eq!(with_config(home.path(), &data, &command).contacts(), 1);
    for (line, says) in [("exit 3", "failed"), ("echo x", "64 hexadecimal"), ("sleep 30", "within 1 s")] {
        let config = file(home.path(), "bad.toml", format!("key_command = '{line}'\nkey_command_timeout_seconds = 1"));
        let text = refused(&data, &["--config", config.to_str().unwrap()]);
        assert!(text.contains("key_command") && text.contains(says), "{text}");
    }
}

#[test]
fn keys_change_while_the_server_runs() {
    let home = folder();
    let (data, new) = (home.path().join("data"), home.path().join("new.key"));
    let server = Server::start(&data);
    // Without an id of its source a record is named by its content, under a secret that must outlive the master key.
    let nameless = json!({"record": {"source": "s", "name": "Nameless Person", "email": "n@example.com"}});
    assert_eq!(server.post("contacts:upsert", &nameless)["results"][0]["outcome"], "created");
    let output = server.run(&["--json", "rotate-key", "--data-key"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&answer["rotated"], &answer["generation"]), (&json!("tenant"), &json!(2)));
    one(&server, "Second Person");
    let output = server.run(&["--json", "rotate-key", "--new-key-file", new.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    // The tenant's two, and that of the server's own stream, in which the first rotation was noted.
    assert_eq!((&answer["rotated"], &answer["keys"]), (&json!("master"), &json!(3)));
    one(&server, "Third Person");
    let wrong = [json!({}), json!({"new_key_file": "k"}), json!({"new_key_file": data}), json!({"from_command": true})];
    for body in wrong {
        let (status, problem) = server.try_post("/v1/admin/rotate-key", &body);
        assert_eq!(status, 400, "{problem}");
    }
    assert_eq!(server.try_post("/v1/admin/rotate-key", &json!({"tenant": "nobody"})).0, 404);
    server.kill9();
    let text = refused(&data, &[]);
    assert!(text.contains("data.key") && text.contains("rotated"), "{text}");
    let key_file = ["--key-file", new.to_str().unwrap()];
    let server = Server::start_with(&data, &key_file);
    assert_eq!(server.contacts(), 3);
    assert_eq!(server.post("contacts:upsert", &nameless)["results"][0]["outcome"], "unchanged");
    assert_eq!(server.stop(), Some(0));

    let dump = |more: &[&str]| {
        let mut arguments = vec!["journal", "dump", "--data-dir", data.to_str().unwrap()];
        arguments.extend(more);
        let output = run(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let locked = dump(&[]);
    assert!(locked.contains(r#""event":"sealed""#) && !locked.contains("RecordPut {"), "{locked}");
    assert!(dump(&key_file).contains("RecordPut {"));
    assert!(dump(&["--values", key_file[0], key_file[1]]).contains("Third Person"));
    let check = run(&["journal", "check", "--data-dir", data.to_str().unwrap()]);
    assert!(check.status.success(), "the chain verifies without a key: {}", stderr(&check));
}

fn options(secret: u8, encryption: bool) -> EngineOptions {
    let options = EngineOptions { segment_bytes: 32 << 10, ..EngineOptions::new(Path::new("data")) };
    EngineOptions { secret: [secret; 32], encryption, ..options }
}

fn open(disk: &MemDisk, secret: u8, encryption: bool) -> selfsame::error::Result<Arc<Engine>> {
    Engine::open(options(secret, encryption), later(disk, disk.operations())).map(|(engine, _)| engine)
}

fn put(engine: &Engine, number: usize) -> bool {
    let json = format!(r#"{{"source":"s","source_record_id":"{number}","name":"Person {number}"}}"#);
    let command = Command::Upsert { records: vec![record(&json)], mode: Mode::Merge, dry_run: false };
    engine.submit_blocking(&tenant(), command, Context::default()).is_ok()
}

#[test]
fn plain_and_sealed_data_of_one_directory_are_one_state() {
    let disk = MemDisk::new();
    let mut before = None;
    for (round, encryption) in [false, true, false, true].into_iter().enumerate() {
        let engine = open(&disk, 0, encryption).unwrap();
        if let Some(before) = &before {
            let alone = open(&without_snapshots(&disk), 0, encryption).unwrap();
            for engine in [&engine, &alone] {
                assert_eq!(&engine.view(&tenant()).unwrap().fingerprint(), before, "round {round}");
            }
        }
        assert!(put(&engine, round * 2));
        engine.snapshot().unwrap();
        assert!(put(&engine, round * 2 + 1));
        before = Some(engine.view(&tenant()).unwrap().fingerprint());
    }
}

#[test]
fn a_rotation_that_fails_or_crashes_at_any_operation_loses_nothing() {
    let (mut old_opens, mut new_opens) = (0, 0);
    for at in 0..10 {
        for fault in [None, Some(Fault::Io), Some(Fault::Full), Some(Fault::ShortWrite), Some(Fault::FailedSync)] {
            let disk = MemDisk::new();
            let engine = open(&disk, 1, true).unwrap();
            assert!(put(&engine, 1));
            if let Some(fault) = fault {
                disk.fail_at(disk.operations() + at, fault);
            }
            let rotated = engine.rotate_master_key(&[2; 32]).is_ok();
            let stored = 1 + u64::from(put(&engine, 2));
            for seed in 0..3 {
                let crashed = disk.crash(seed);
                let (old, new) = (open(&crashed.crash(0), 1, true), open(&crashed.crash(0), 2, true));
                assert_ne!(old.is_ok(), new.is_ok(), "{fault:?} at {at}: exactly one key opens");
                assert!(!rotated || new.is_ok(), "{fault:?} at {at}");
                old_opens += u32::from(old.is_ok());
                new_opens += u32::from(new.is_ok());
                let contacts = old.or(new).unwrap().view(&tenant()).unwrap().stats().contacts;
                assert!(contacts >= stored, "{fault:?} at {at}: {contacts} of {stored}");
            }
        }
    }
    assert!(old_opens > 10 && new_opens > 10, "{old_opens} {new_opens}");
}

#[test]
fn a_tenant_whose_keys_were_destroyed_is_gone_and_the_others_are_not() {
    let disk = MemDisk::new();
    let other = TenantName::parse("other").unwrap();
    let into = |engine: &Engine, json: &str| {
        let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
        engine.submit_blocking(&other, command, Context::default()).unwrap()
    };
    let engine = open(&disk, 0, false).unwrap();
    assert!(put(&engine, 0));
    into(&engine, r#"{"source":"s","source_record_id":"0","name":"Plain Before"}"#);
    drop(engine);
    let engine = open(&disk, 0, true).unwrap();
    assert!(put(&engine, 1));
    into(&engine, r#"{"source":"s","source_record_id":"1","name":"Gone Person"}"#);
    engine.snapshot().unwrap();
    into(&engine, r#"{"source":"s","source_record_id":"2","name":"Gone Person Two"}"#);
    assert!(put(&engine, 2));
    let kept = engine.view(&tenant()).unwrap().fingerprint();
    drop(engine);
    let random = Arc::new(SeededRandom::new(99));
    let keys = Keyring::open(Arc::new(disk.clone()), Path::new("data"), &[0; 32], random).unwrap();
    assert_eq!(keys.highest_tenant(), 2);
    assert!(keys.destroy(2).unwrap());
    drop(keys);
    for disk in [&disk, &without_snapshots(&disk)] {
        let (engine, report) = Engine::open(options(0, true), later(disk, disk.operations())).unwrap();
        assert!(report.notes.iter().any(|note| note.contains("destroyed")), "{:?}", report.notes);
        assert!(engine.view(&other).is_err());
        assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), kept);
        into(&engine, r#"{"source":"s","source_record_id":"1","name":"New Person"}"#);
        drop(engine);
        let engine = open(disk, 0, true).unwrap();
        assert_eq!(
            engine.view(&other).unwrap().stats().contacts,
            1,
            "the name starts afresh, under a number of its own"
        );
    }
}

#[test]
fn every_damage_to_the_ring_is_refused_by_the_engine() {
    let disk = MemDisk::new();
    let engine = open(&disk, 0, true).unwrap();
    assert_eq!(
        upsert(&engine, r#"{"source":"s","source_record_id":"1","name":"John Smith"}"#).outcome,
        Outcome::Created
    );
    let ring = ring_path(Path::new("data"));
    let (whole, crashed) = (disk.read(&ring).unwrap(), disk.crash(1));
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        for bytes in [&flipped[..], &whole[..at]] {
            let damaged = crashed.crash(0);
            damaged.put(&ring, bytes);
            assert!(open(&damaged, 0, true).is_err(), "byte {at}");
            assert_eq!(damaged.read(&ring).unwrap(), bytes, "left as it is");
        }
    }
    assert_eq!(open(&crashed, 0, true).unwrap().view(&tenant()).unwrap().stats().contacts, 1);
}
