//! Every byte of a small data directory damaged, through the engine: what opens is exactly a state that was acknowledged, or
//! it is refused and says where.
//!
//! `journal/tests.rs` does the same below the engine; here the snapshots, the fallback between them and the states count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selfsame::engine::{Engine, EngineOptions, OpenReport};
use selfsame::error::{Error, Result};
use selfsame::host::{Disk, MemDisk};

use crate::engine::{tenant, upsert};
use crate::simulate::{later, without_snapshots};

const JOURNAL: &str = "data/journal";
const SNAPSHOTS: &str = "data/snapshots";
/// Bytes of a segment's header, as `journal/format.rs` draws it.
const SEGMENT_HEADER: usize = 4096;

fn open(disk: &MemDisk) -> Result<(Arc<Engine>, OpenReport)> {
    let options = EngineOptions { segment_bytes: 12 << 10, workers: 1, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, later(disk, 7))
}

/// The state that callers see: seq and fingerprint; `None` before the first command.
fn state(engine: &Engine) -> Option<(u64, String)> {
    let view = engine.view(&tenant()).ok()?;
    Some((view.seq().0, view.fingerprint()))
}

/// A directory with several segments and two snapshots, and every state that was acknowledged.
fn small() -> (MemDisk, BTreeMap<u64, String>) {
    let disk = MemDisk::new();
    let mut engine = open(&disk).unwrap().0;
    let mut states = BTreeMap::new();
    for number in 0..9 {
        let notes = "n".repeat(if (2..7).contains(&number) { 2500 } else { 20 });
        upsert(
            &engine,
            &format!(r#"{{"source":"a","source_record_id":"{number}","name":"P{number} Q","notes":"{notes}"}}"#),
        );
        states.extend(state(&engine));
        if number < 2 {
            engine.snapshot().unwrap();
        }
        if number == 7 {
            drop(engine);
            engine = open(&disk).unwrap().0;
        }
    }
    drop(engine);
    (disk, states)
}

fn files(disk: &MemDisk, dir: &str, ending: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(dir)).unwrap();
    names.iter().filter(|name| name.ends_with(ending)).map(|name| Path::new(dir).join(name)).collect()
}

/// What is done to a file: a bit flipped, or everything from a byte on gone.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(usize),
    Cut(usize),
}

fn harmed(disk: &MemDisk, path: &Path, bytes: &[u8], harm: Harm) -> MemDisk {
    let mut bytes = bytes.to_vec();
    match harm {
        Harm::Flip(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        Harm::Cut(at) => bytes.truncate(at),
    }
    let disk = disk.crash(0);
    disk.put(path, &bytes);
    disk
}

/// Runs a check over many harms on both cores; a panic in one names it.
fn each(harms: &[Harm], check: impl Fn(Harm) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(harm) = harms.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(*harm);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
}

/// Every bit of headers, a bit of every other byte in use, and every length.
fn harms(bytes: &[u8], header: usize) -> Vec<Harm> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let flips = (0..header * 8).chain((header..used).map(|at| at * 8 + at % 8)).map(Harm::Flip);
    flips.chain((0..used).map(Harm::Cut)).collect()
}

#[test]
fn a_damaged_journal_gives_an_acknowledged_state_or_is_refused() {
    let (whole, states) = small();
    let disk = without_snapshots(&whole);
    disk.sync_dir(Path::new(SNAPSHOTS)).unwrap();
    assert_eq!(state(&open(&disk.crash(0)).unwrap().0).unwrap().0, *states.keys().last().unwrap());
    let segments = files(&disk, JOURNAL, ".seg");
    assert!(segments.len() >= 3, "{segments:?}");
    for (number, path) in segments.iter().enumerate() {
        let is_last = number + 1 == segments.len();
        let bytes = disk.read(path).unwrap();
        let (refused, shorter) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // All bits of all headers would be 32,768 a segment; beyond the fields a header is zeros, a bit a byte will do.
        let harms = harms(&bytes, 128);
        each(&harms, |harm| {
            let damaged = harmed(&disk, path, &bytes, harm);
            let what = format!("{harm:?} of {}", path.display());
            match open(&damaged) {
                Ok((engine, _)) => {
                    let (seq, fingerprint) = state(&engine).unwrap_or_default();
                    let known = seq == 0 || states.get(&seq) == Some(&fingerprint);
                    assert!(known, "{what}: the state of seq {seq} was never acknowledged");
                    assert!(is_last || states.keys().last() == Some(&seq), "{what}: a segment before the last is lost");
                    shorter.fetch_add(usize::from(states.keys().last() != Some(&seq)), Ordering::Relaxed);
                }
                Err(error @ (Error::Corrupt { .. } | Error::Invalid { .. })) => {
                    let text = error.to_string();
                    assert!(text.contains(JOURNAL), "{what}: it does not say where: {text}");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(other) => panic!("{what}: {other}"),
            }
        });
        let (refused, shorter) = (refused.into_inner(), shorter.into_inner());
        println!("{}: {} damages, {refused} refused, {shorter} gave a shorter past", path.display(), harms.len());
        assert!(refused >= 128 * 8 + SEGMENT_HEADER, "the header is covered: {refused}");
        assert_eq!(shorter > 0, is_last, "only the last segment can have a torn tail");
    }
}

#[test]
fn a_damaged_snapshot_is_told_and_passed_over() {
    let (disk, states) = small();
    let last = states.last_key_value().map(|(seq, print)| (*seq, print.clone()));
    let snapshots = files(&disk, SNAPSHOTS, ".snap");
    assert_eq!(snapshots.len(), 2);
    let path = &snapshots[1];
    let name = path.file_name().unwrap().to_str().unwrap();
    let bytes = disk.read(path).unwrap();
    let mut harms = harms(&bytes, 64);
    harms.extend((0..32 * 8).map(|bit| Harm::Flip(64 * 8 + bit)));
    each(&harms, |harm| {
        let (engine, report) = open(&harmed(&disk, path, &bytes, harm)).unwrap();
        assert_eq!(state(&engine), last, "{harm:?}");
        assert!(report.notes.iter().any(|note| note.contains(name)), "{harm:?}: nobody is told: {:?}", report.notes);
    });
    println!("{} damages of {} bytes", harms.len(), bytes.len());
    // Both gone: the journal alone.
    let damaged = harmed(&disk, path, &bytes, Harm::Cut(70));
    damaged.put(&snapshots[0], b"SELFSNP1");
    let (engine, report) = open(&damaged).unwrap();
    assert_eq!((state(&engine), report.notes.len()), (last, 3), "{report:?}");
}
