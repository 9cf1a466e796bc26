//! Snapshots that come by themselves, and what a start makes of those that are damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selfsame::engine::api::{Command, Context, Mode};
use selfsame::engine::{Engine, EngineOptions, OpenReport, World};
use selfsame::error::Error;
use selfsame::host::{Clock, Disk, ManualClock, MemDisk, SystemClock};
use selfsame::journal;
use selfsame::model::ids::{Millis, TenantName};

use crate::engine::{record, world};

const SNAPSHOTS: &str = "/data/snapshots";

fn options() -> EngineOptions {
    EngineOptions { segment_bytes: 128 << 10, snapshot_journal_bytes: 0, ..EngineOptions::new("/data") }
}

fn open(disk: &MemDisk, options: EngineOptions) -> Result<(Arc<Engine>, OpenReport), Error> {
    Engine::open(options, World { clock: Arc::new(SystemClock::new()), ..world(disk) })
}

fn name(number: usize) -> TenantName {
    TenantName::parse(&format!("t{number}")).unwrap()
}

fn put(engine: &Engine, tenant: &TenantName, n: usize) {
    let text =
        format!(r#"{{"source":"s","source_record_id":"{n}","name":"Zoe Zyskowski","email":"z{n}@example.com"}}"#);
    let command = Command::Upsert { records: vec![record(&text)], mode: Mode::Merge, dry_run: false };
    engine.submit_blocking(tenant, command, Context::default()).unwrap();
}

fn snapshots(disk: &MemDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(SNAPSHOTS)).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".snap")).map(|name| Path::new(SNAPSHOTS).join(name)).collect()
}

fn fingerprints(engine: &Engine) -> Vec<String> {
    engine.tenants().iter().map(|tenant| engine.view(tenant).unwrap().fingerprint()).collect()
}

#[test]
fn a_snapshot_comes_by_itself_and_shortens_the_next_start() {
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, EngineOptions { snapshot_journal_bytes: 40_000, ..options() }).unwrap();
    let mut written = 0;
    while snapshots(&disk).is_empty() {
        assert!(written < 5_000, "no snapshot after {written} writes of more than 500 bytes");
        put(&engine, &name(0), written);
        written += 1;
    }
    assert!(written > 20, "not before it is due: {written}");
    put(&engine, &name(0), written);
    let before = fingerprints(&engine);
    drop(engine);
    let (engine, report) = open(&disk, options()).unwrap();
    assert_eq!(fingerprints(&engine), before);
    let seq = engine.view(&name(0)).unwrap().seq().0;
    assert!(report.replayed > 0 && report.replayed < seq, "{report:?} of {seq}");
}

#[test]
fn without_a_bound_no_snapshot_comes() {
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, options()).unwrap();
    (0..200).for_each(|n| put(&engine, &name(n % 8), n));
    drop(engine);
    assert!(snapshots(&disk).is_empty());
}

/// More with `SELFSAME_TENANTS=20000 cargo test --test it keeps_writers -- --nocapture`.
#[test]
fn a_snapshot_keeps_writers_waiting_ten_milliseconds_at_most() {
    let tenants = std::env::var("SELFSAME_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, EngineOptions { segment_bytes: 64 << 20, ..options() }).unwrap();
    (0..tenants).for_each(|number| put(&engine, &name(number), number));
    let reports: Vec<_> = (0..5).map(|_| engine.snapshot().unwrap()).collect();
    let blocked: Vec<u64> = reports.iter().map(|report| report.blocked_micros).collect();
    println!(
        "{tenants} tenants: writers waited {blocked:?} us, {} bytes in {} ms",
        reports[0].bytes, reports[0].millis
    );
    // The best of five: a machine that runs something else is not the snapshot's doing.
    assert!(blocked.iter().min().unwrap() <= &10_000, "{blocked:?}");
    drop(engine);
    let (engine, report) = open(&disk, options()).unwrap();
    assert_eq!((engine.tenants().len(), report.replayed), (tenants, 0));
}

/// Tenants are read side by side: each must come out as it was, from the journal and from a snapshot.
#[test]
fn many_tenants_come_back_as_they_were() {
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, options()).unwrap();
    for n in 0..240 {
        put(&engine, &name(n % 16), n / 32);
        put(&engine, &name(n % 5), n);
    }
    let before = fingerprints(&engine);
    drop(engine);
    let (engine, report) = open(&disk, options()).unwrap();
    assert_eq!(fingerprints(&engine), before);
    assert!(report.replayed > 480, "{report:?}");
    engine.snapshot().unwrap();
    drop(engine);
    let (engine, report) = open(&disk, options()).unwrap();
    assert_eq!((fingerprints(&engine), report.replayed), (before, 0));
}

fn flip(disk: &MemDisk, path: &Path) {
    let mut bytes = disk.read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.put(path, &bytes);
}

#[test]
fn a_damaged_snapshot_makes_the_start_longer_and_is_said() {
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, options()).unwrap();
    (0..300).for_each(|n| put(&engine, &name(n % 8), n));
    engine.snapshot().unwrap();
    (300..320).for_each(|n| put(&engine, &name(n % 8), n));
    engine.snapshot().unwrap();
    let before = fingerprints(&engine);
    drop(engine);
    let kept = snapshots(&disk);
    assert_eq!(kept.len(), 2);

    flip(&disk, &kept[1]);
    let (engine, report) = open(&disk, options()).unwrap();
    assert_eq!(fingerprints(&engine), before);
    let file = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(report.replayed > 0, "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("instead of a newer one")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains(&file(&kept[1]))), "{report:?}");
    drop(engine);

    flip(&disk, &kept[0]);
    let (engine, longer) = open(&disk, options()).unwrap();
    assert_eq!(fingerprints(&engine), before);
    assert!(longer.replayed > report.replayed);
    assert!(
        longer.notes.iter().any(|note| note.contains("whole journal") && note.contains(&file(&kept[0]))),
        "{longer:?}"
    );
    drop(engine);

    // The same without the journal's beginning: there is no way to that state, so nothing may be served.
    let segments = disk.list(Path::new("/data/journal")).unwrap();
    assert!(segments.len() > 2, "{segments:?}");
    disk.remove(&Path::new("/data/journal").join(&segments[0])).unwrap();
    let error = open(&disk, options()).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("the journal begins at seq") && text.contains(&file(&kept[0])) && text.contains("restore"),
        "{text}"
    );
}

/// A journal whose beginning was removed opens from a snapshot that covers it, and only from such a one.
#[test]
fn a_journal_that_begins_later_needs_a_snapshot_of_what_was_before() {
    let disk = MemDisk::new();
    let (engine, _) = open(&disk, options()).unwrap();
    (0..300).for_each(|n| put(&engine, &name(n % 8), n));
    engine.snapshot().unwrap();
    put(&engine, &name(0), 300);
    let before = fingerprints(&engine);
    drop(engine);
    let segments = disk.list(Path::new("/data/journal")).unwrap();
    disk.remove(&Path::new("/data/journal").join(&segments[0])).unwrap();
    let report = journal::check(&disk, Path::new("/data")).unwrap();
    assert_eq!(report.first_corruption, None, "the snapshot stands for it");
    let (engine, _) = open(&disk, options()).unwrap();
    assert_eq!(fingerprints(&engine), before);
    put(&engine, &name(0), 301);
    drop(engine);
    for path in snapshots(&disk) {
        disk.remove(&path).unwrap();
    }
    let report = journal::check(&disk, Path::new("/data")).unwrap();
    assert!(report.first_corruption.unwrap().reason.contains("missing"));
    assert!(open(&disk, options()).is_err());
}

/// Segments that both kept snapshots stand for leave when they are old enough, oldest first, archived or not.
#[test]
fn old_segments_leave_when_both_snapshots_stand_for_them() {
    for archive in [None, Some(PathBuf::from("/archive"))] {
        let disk = MemDisk::new();
        let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
        let open = || {
            let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world(&disk) };
            let day = Duration::from_secs(24 * 3600);
            let (journal_keep, journal_archive_dir) = (Some(day), archive.clone());
            Engine::open(EngineOptions { journal_keep, journal_archive_dir, ..options() }, world).unwrap()
        };
        let (engine, _) = open();
        let listed = |dir: &str| disk.list(Path::new(dir)).unwrap_or_default();
        (0..300).for_each(|n| put(&engine, &name(n % 8), n));
        let all = listed("/data/journal");
        assert!(all.len() > 2, "{all:?}");
        engine.snapshot().unwrap();
        clock.advance(Duration::from_secs(23 * 3600));
        engine.snapshot().unwrap();
        assert_eq!(listed("/data/journal"), all, "too young");
        clock.advance(Duration::from_secs(2 * 3600));
        put(&engine, &name(0), 300);
        engine.snapshot().unwrap();
        let left = listed("/data/journal");
        assert!(left.len() < all.len() && all.ends_with(&left[..1]), "{left:?} of {all:?}");
        let gone: Vec<String> = all.iter().filter(|name| !left.contains(name)).cloned().collect();
        assert_eq!(listed("/archive"), if archive.is_some() { gone } else { Vec::new() });
        let backup = engine.backup(Path::new("/copy")).unwrap();
        (301..340).for_each(|n| put(&engine, &name(n % 8), n));
        let before = fingerprints(&engine);
        drop(engine);
        assert_eq!(journal::check(&disk, Path::new("/data")).unwrap().first_corruption, None);
        let (engine, report) = open();
        assert_eq!(fingerprints(&engine), before, "{report:?}");
        drop(engine);
        // The older snapshot alone is enough as well: that is what the segments waited for.
        flip(&disk, &snapshots(&disk)[1]);
        assert_eq!(fingerprints(&open().0), before);

        // A backup of such a journal reaches back to its oldest snapshot.
        let until = |seq: u64, to: &str| {
            journal::restore(&disk, Path::new("/copy"), Path::new(to), journal::Until::Seq(seq), &[])
        };
        assert_eq!(until(backup.seq, "/r1").unwrap().seq, backup.seq);
        let refused = until(1, "/r2").unwrap_err().to_string();
        assert!(refused.contains("the earliest is seq"), "{refused}");

        // The audit trail begins with what is left, and erasing cleans it.
        let (engine, _) = open();
        assert!(!engine.audit(&name(0), None, 1000).unwrap().items.is_empty());
        let contact = engine.view(&name(0)).unwrap().export_ids()[0];
        engine.submit_blocking(&name(0), Command::Erase { contact }, Context::default()).unwrap();
        assert_eq!(engine.compact().unwrap().erasures, 1);
        drop(engine);
        assert_eq!(journal::check(&disk, Path::new("/data")).unwrap().first_corruption, None);
        assert!(matches!(open().0.view(&name(0)).unwrap().contact(contact), Err(Error::Gone)));
    }
}

#[test]
fn a_damaged_older_snapshot_keeps_the_segments() {
    let disk = MemDisk::new();
    let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
    let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world(&disk) };
    let keep = EngineOptions { journal_keep: Some(Duration::from_secs(60)), ..options() };
    let (engine, _) = Engine::open(keep, world).unwrap();
    (0..300).for_each(|n| put(&engine, &name(n % 8), n));
    engine.snapshot().unwrap();
    let all = disk.list(Path::new("/data/journal")).unwrap();
    flip(&disk, &snapshots(&disk)[0]);
    clock.advance(Duration::from_secs(3600));
    put(&engine, &name(0), 300);
    engine.snapshot().unwrap();
    assert_eq!(disk.list(Path::new("/data/journal")).unwrap(), all);
}
