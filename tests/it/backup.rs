//! Copies of a data directory: of one moment, incremental, checked, and restored as of any seq.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selfsame::engine::api::{Command, Context, Mode};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::Error;
use selfsame::host::{Clock, Disk, Fault, ManualClock, MemDisk, SeededRandom};
use selfsame::journal::{self, Journal, Until};
use selfsame::model::ids::Millis;
use serde_json::json;

use crate::engine::{record, tenant};
use crate::server::{self, Server, call, folder};

const TO: &str = "/backups/one";

struct Home {
    disk: MemDisk,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
}

fn open_at(disk: &MemDisk, dir: &str, clock: &Arc<ManualClock>) -> Result<Arc<Engine>, Error> {
    let world = World {
        disk: Arc::new(disk.clone()),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::new(SeededRandom::new(disk.operations())),
    };
    let options = EngineOptions { segment_bytes: 64 << 10, ..EngineOptions::new(Path::new(dir)) };
    Ok(Engine::open(options, world)?.0)
}

impl Home {
    fn new() -> Self {
        let disk = MemDisk::new();
        let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
        let engine = open_at(&disk, "/data", &clock).unwrap();
        Self { disk, clock, engine }
    }

    /// Several commands at once, so that they share groups.
    fn put(&self, from: usize, count: usize) {
        let send = |n: usize| {
            let text = format!(
                r#"{{"source":"s","source_record_id":"{n}","name":"Zoe Zyskowski{}","email":"z{}@example.com"}}"#,
                n % 7,
                n / 2
            );
            let command = Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run: false };
            self.engine.send(&tenant(), command, Context::default()).unwrap()
        };
        let answers: Vec<_> = (from..from + count).map(send).collect();
        for answer in answers {
            answer.blocking_recv().unwrap().unwrap();
        }
        self.clock.advance(Duration::from_secs(60));
    }

    fn backup(&self) -> journal::BackupReport {
        self.engine.backup(Path::new(TO)).unwrap()
    }

    fn state(&self) -> (u64, String) {
        state(&self.engine)
    }
}

fn state(engine: &Engine) -> (u64, String) {
    let view = engine.view(&tenant()).unwrap();
    (view.seq().0, view.fingerprint())
}

type Frames = Vec<(u64, u8, bool, i64, Vec<u8>)>;

fn frames(disk: &MemDisk, dir: &str) -> Frames {
    let mut all = Vec::new();
    Journal::replay(disk, Path::new(dir), 0, &mut |frame| {
        all.push((frame.seq, frame.kind, frame.last_of_command(), frame.group_ms, frame.payload.to_vec()));
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn a_restored_backup_is_the_state_of_its_moment_and_goes_on() {
    let home = Home::new();
    home.put(0, 60);
    home.engine.snapshot().unwrap();
    home.put(60, 20);
    let then = home.state();
    let report = home.backup();
    assert_eq!(report.seq, then.0, "one tenant: its seq is the journal's");
    home.put(80, 30);
    let restored = journal::restore(&home.disk, Path::new(TO), Path::new("/again"), Until::End, &[]).unwrap();
    assert_eq!((restored.seq, restored.backup_seq), (then.0, then.0));
    let again = open_at(&home.disk, "/again", &home.clock).unwrap();
    assert_eq!(state(&again), then);
    let other = Home { engine: again, ..home };
    other.put(500, 5);
    let after = other.state();
    drop(other.engine);
    assert_eq!(state(&open_at(&other.disk, "/again", &other.clock).unwrap()), after, "it goes on");
    assert_eq!(journal::check(&other.disk, Path::new("/again")).unwrap().first_corruption, None);
}

#[test]
fn a_second_backup_writes_only_what_is_new() {
    let home = Home::new();
    (0..12).for_each(|batch| home.put(batch * 12, 12));
    let first = home.backup();
    assert!(first.files > 2 && first.copied_files == first.files, "{first:?}");
    let idle = home.backup();
    assert_eq!((idle.copied_files, idle.copied_bytes, idle.bytes), (0, 0, first.bytes));
    home.put(200, 4);
    let second = home.backup();
    assert!(second.seq > first.seq && (1..=2).contains(&second.copied_files), "{second:?}");
    let stored = home.disk.list(&Path::new(TO).join("journal")).unwrap();
    let segments = home.disk.list(Path::new("/data/journal")).unwrap();
    assert_eq!(stored.len(), segments.len(), "what no manifest names is gone: {stored:?} {segments:?}");
    journal::restore(&home.disk, Path::new(TO), Path::new("/again"), Until::End, &[]).unwrap();
    assert_eq!(state(&open_at(&home.disk, "/again", &home.clock).unwrap()), home.state());
    let known = home.engine.backups().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].dir.as_path(), known[0].seq, known[0].complete), (Path::new(TO), second.seq, true));
    assert_eq!(known[0].at_ms, home.clock.now().0);
}

#[test]
fn a_cut_at_any_seq_is_the_prefix_of_whole_commands() {
    let home = Home::new();
    let mut states = BTreeMap::new();
    for batch in 0..7 {
        home.put(batch * 5, 5);
        if batch == 3 {
            home.engine.snapshot().unwrap();
        }
        let (seq, fingerprint) = home.state();
        states.insert(seq, fingerprint);
    }
    let last = home.backup().seq;
    let all = frames(&home.disk, "/data");
    let grouped = all.windows(2).any(|two| two[0].3 == two[1].3 && two[0].2);
    assert!(grouped, "some group holds several commands, or the cut within one is not tried");
    let mut compared = 0;
    for seq in 0..=last {
        let to = format!("/cut-{seq}");
        let report = journal::restore(&home.disk, Path::new(TO), Path::new(&to), Until::Seq(seq), &[]).unwrap();
        let whole = all.iter().rposition(|frame| frame.0 <= seq && frame.2).map_or(0, |at| at + 1);
        assert_eq!(report.seq, whole as u64, "cut at {seq}");
        assert_eq!(frames(&home.disk, &to), all[..whole], "cut at {seq}");
        assert_eq!(journal::check(&home.disk, Path::new(&to)).unwrap().first_corruption, None, "cut at {seq}");
        let engine = open_at(&home.disk, &to, &home.clock).unwrap();
        if let Some(fingerprint) = states.get(&report.seq) {
            assert_eq!(&state(&engine).1, fingerprint, "cut at {seq}");
            compared += 1;
        }
    }
    assert!(compared >= states.len(), "{compared}");
    let refused =
        journal::restore(&home.disk, Path::new(TO), Path::new("/late"), Until::Seq(last + 1), &[]).unwrap_err();
    assert!(refused.to_string().contains(&format!("ends at seq {last}")), "{refused}");
}

#[test]
fn a_cut_in_time_keeps_the_groups_written_by_then() {
    let home = Home::new();
    let mut states = Vec::new();
    for batch in 0..5 {
        home.put(batch * 4, 4);
        states.push((home.clock.now().0 - 1, home.state()));
    }
    home.backup();
    for (number, (time, then)) in states.iter().enumerate() {
        let to = format!("/time-{number}");
        let until = Until::Time(Millis(*time));
        assert_eq!(journal::restore(&home.disk, Path::new(TO), Path::new(&to), until, &[]).unwrap().seq, then.0);
        assert_eq!(&state(&open_at(&home.disk, &to, &home.clock).unwrap()), then);
    }
    let long_ago = Until::Time(Millis(0));
    assert_eq!(journal::restore(&home.disk, Path::new(TO), Path::new("/empty"), long_ago, &[]).unwrap().seq, 0);
    assert!(open_at(&home.disk, "/empty", &home.clock).unwrap().tenants().is_empty());
}

/// All stored files of a backup.
fn stored(disk: &MemDisk) -> Vec<PathBuf> {
    let folders = ["journal", "snapshots", "other"].map(|name| Path::new(TO).join(name));
    let files = |dir: PathBuf| disk.list(&dir).unwrap().into_iter().map(move |name| dir.join(name));
    folders.into_iter().flat_map(files).collect()
}

#[test]
fn a_damaged_backup_is_refused_by_name_and_nothing_is_written() {
    let home = Home::new();
    home.put(0, 100);
    home.engine.snapshot().unwrap();
    home.disk.put(Path::new("/data/keyring.json"), b"{\"wrapped\": true}");
    home.disk.put(Path::new("/data/strange.txt"), "ab".repeat(32).as_bytes());
    home.backup();
    let files = stored(&home.disk);
    assert!(files.iter().any(|file| file.to_string_lossy().contains("keyring.json")));
    assert!(!files.iter().any(|file| file.to_string_lossy().contains("strange")), "a key is never copied: {files:?}");
    for path in &files {
        let whole = home.disk.read(path).unwrap();
        let mut flipped = whole.clone();
        let middle = whole.len() / 2;
        flipped[middle] ^= 4;
        for bytes in [flipped, whole[..whole.len() - 1].to_vec()] {
            home.disk.put(path, &bytes);
            let error = journal::restore(&home.disk, Path::new(TO), Path::new("/x"), Until::End, &[]).unwrap_err();
            let Error::Corrupt { file, .. } = &error else { panic!("{error}") };
            assert_eq!(file, path);
            assert!(home.disk.list(Path::new("/x")).is_err(), "nothing was written");
        }
        home.disk.put(path, &whole);
    }
    home.disk.remove(&files[0]).unwrap();
    let error = journal::restore(&home.disk, Path::new(TO), Path::new("/x"), Until::End, &[]).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn folders_that_a_backup_may_not_be_in_are_refused_with_a_remedy() {
    let home = Home::new();
    home.put(0, 3);
    home.disk.put(Path::new("/full/letter.txt"), b"dear");
    for (dir, word) in [
        ("relative", "absolute"),
        ("/data/b", "within"),
        ("/b/../c", ".."),
        ("/full", "letter.txt"),
        ("/", "holds the data"),
    ] {
        match home.engine.backup(Path::new(dir)) {
            Err(Error::Invalid { field, reason }) => {
                assert!(field == "dir" && reason.contains(word), "{dir}: {reason}")
            }
            other => panic!("{dir}: {other:?}"),
        }
    }
    assert_eq!(home.engine.backups().unwrap(), []);
    home.backup();
    let other = open_at(&home.disk, "/other", &home.clock).unwrap();
    let refused = other.backup(Path::new(TO)).unwrap_err();
    assert!(refused.to_string().contains("another data directory"), "{refused}");
    journal::restore(&home.disk, Path::new(TO), Path::new("/again"), Until::End, &[]).unwrap();
    let twice = journal::restore(&home.disk, Path::new(TO), Path::new("/again"), Until::End, &[]).unwrap_err();
    assert!(twice.to_string().contains("not empty"), "{twice}");
}

/// A backup that breaks off anywhere leaves the one before as it was, and is in the list all the same.
#[test]
fn a_backup_that_breaks_off_leaves_the_one_before() {
    let mut broken = 0;
    for at in 0.. {
        let home = Home::new();
        home.put(0, 8);
        home.backup();
        let before = home.state();
        home.put(8, 8);
        let after = home.state();
        let fault_at = home.disk.operations() + at;
        home.disk.fail_at(fault_at, Fault::Io);
        let outcome = home.engine.backup(Path::new(TO));
        if home.disk.operations() <= fault_at {
            break;
        }
        let crashed = home.disk.crash(at);
        for (disk, what) in [(&home.disk, "failed"), (&crashed, "crashed")] {
            journal::restore(disk, Path::new(TO), Path::new("/again"), Until::End, &[])
                .unwrap_or_else(|error| panic!("{what} at {at}: {error}"));
            let found = state(&open_at(disk, "/again", &home.clock).unwrap());
            assert!(found == after || (found == before && outcome.is_err()), "{what} at {at}: {outcome:?}");
        }
        assert_eq!(home.engine.backups().unwrap().len(), 1);
        // Some steps may fail without harm: names further up, and the removal of what is no longer named.
        broken += u32::from(outcome.is_err());
        assert!(home.backup().seq == after.0, "the next one completes it");
    }
    assert!(broken > 15, "{broken}");
}

#[test]
fn a_restore_that_breaks_off_is_not_opened() {
    let home = Home::new();
    home.put(0, 40);
    home.backup();
    let mut broken = 0;
    for at in 0.. {
        let disk = home.disk.crash(0);
        let fault_at = disk.operations() + at;
        disk.fail_at(fault_at, Fault::Io);
        let outcome = journal::restore(&disk, Path::new(TO), Path::new("/again"), Until::End, &[]);
        if disk.operations() <= fault_at {
            break;
        }
        broken += u32::from(outcome.is_err());
        // Nothing was written yet, or the last step alone failed: then all is there.
        match open_at(&disk, "/again", &home.clock) {
            Ok(engine) if engine.tenants().is_empty() => {}
            Ok(engine) => assert_eq!(state(&engine), home.state(), "at {at}"),
            Err(error) => assert!(error.to_string().contains("restore"), "at {at}: {error}"),
        }
    }
    assert!(broken > 12, "{broken}");
}

/// The ids of all records.
fn stored_ids(server: &Server) -> Vec<String> {
    let records = |contact: &serde_json::Value| contact["records"].as_array().unwrap().clone();
    let mut ids: Vec<String> = server
        .export()
        .iter()
        .flat_map(records)
        .map(|one| one["source_record_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

/// Writes one contact after the other until told to stop; gives how many were acknowledged, as it goes.
fn load(address: &str, stop: &AtomicBool, done: &std::sync::atomic::AtomicUsize) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = json!({"record": {"source": "load", "source_record_id": n.to_string(), "email": format!("l{n}@example.org"), "name": format!("Load {n}")}});
        let path = "/v1/tenants/main/contacts:upsert";
        let (status, _) = call(address, "POST", path, "application/json", body.to_string().as_bytes()).unwrap();
        assert_eq!(status, 200);
        done.store(n + 1, Ordering::Release);
    }
}

#[test]
fn a_running_server_is_backed_up_under_load_and_a_stopped_one_too() {
    let home = folder();
    let (data, to, again) = (home.path().join("data"), home.path().join("copy"), home.path().join("again"));
    let server = Server::start(&data);
    let (stop, done) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments = ["--json", "backup", &text(&to), "--data-dir", &text(&data)].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut acknowledged = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| load(server.address(), &stop, &done));
        for round in 0..3 {
            while done.load(Ordering::Acquire) < acknowledged + 20 {
                std::thread::yield_now();
            }
            acknowledged = done.load(Ordering::Acquire);
            let output = server.run(&arguments);
            assert!(output.status.success(), "round {round}: {}", server::stderr(&output));
            let answer: serde_json::Value = serde_json::from_str(&server::stdout(&output)).unwrap();
            assert!(answer["copied_files"].as_u64().unwrap() <= 3, "{answer}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let listed = server.get("/v1/admin/backups");
    assert_eq!(listed["items"][0]["dir"], text(&to));
    assert_eq!(listed["items"][0]["complete"], true);
    let restore = server::run(&["restore", &text(&to), "--data-dir", &text(&again)]);
    assert!(restore.status.success(), "{}", server::stderr(&restore));
    assert!(server::stdout(&restore).contains("key file"), "{}", server::stdout(&restore));
    std::fs::copy(data.with_extension("key"), again.with_extension("key")).unwrap();
    let copy = Server::start(&again);
    let stored = stored_ids(&copy);
    assert!((0..acknowledged).all(|n| stored.contains(&n.to_string())), "{} of {acknowledged}", stored.len());
    drop(copy);

    // Another server than the one that holds the directory refuses.
    let other = Server::start(&home.path().join("other"));
    let refused = other.run(&arguments);
    assert_eq!(refused.status.code(), Some(2), "{}", server::stderr(&refused));
    let all = stored_ids(&server);
    assert_eq!(server.stop(), Some(0));
    let output = server::run(&arguments);
    assert!(output.status.success(), "{}", server::stderr(&output));
    let last = home.path().join("last");
    assert!(server::run(&["restore", &text(&to), "--data-dir", &text(&last)]).status.success());
    std::fs::copy(data.with_extension("key"), last.with_extension("key")).unwrap();
    assert_eq!(stored_ids(&Server::start(&last)), all);
    let full = server::run(&["restore", &text(&to), "--data-dir", &text(&last)]);
    assert_eq!(full.status.code(), Some(2), "{}", server::stderr(&full));
}
