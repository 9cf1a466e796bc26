//! What durability costs, as ratios to a bare control on the same disk in the same run: a single append, group commit with 256
//! clients, replay without indexes; and how long starting takes and a snapshot holds up writers.
//!
//! Control and subject take turns, round by round: on a shared machine absolute times of a sync say more about the
//! neighbours. Of `append` and `group` the best median of each side counts, of `callers`, `clients` and `replay` the median of the
//! rounds' ratios: the best one said what a control that was interrupted takes. `cargo bench --bench durability -- 100000` starts up with so many contacts;
//! a word (`append`, `group`, `callers`, `clients`, `replay`, `start`) runs that part alone. `SELFSAME_BENCH_DIR` chooses the disk.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and prints"
)]

mod support;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use selfsame::engine::api::{Command, Context};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::host::{Disk, DiskFile, FileLock, OsRandom, RealDisk, SystemClock};
use selfsame::journal::{FrameIn, Journal, JournalOptions};
use selfsame::model::event;
use selfsame::model::ids::Millis;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const APPENDS: usize = 300;
const CLIENTS: u64 = 256;
/// Of each client.
const COMMANDS: u64 = 40;
/// Bytes of one payload, as an ordinary record has them.
const PAYLOAD: usize = 300;

/// A temporary directory on the disk that is measured.
fn home() -> tempfile::TempDir {
    match std::env::var("SELFSAME_BENCH_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir).unwrap(),
        Err(_) => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
    }
}

/// The middle one.
fn middle(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A file of synced zeros, as a segment is before its first group.
fn zeroed(path: &Path, bytes: usize) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.write_all_at(&vec![0; bytes], 0).unwrap();
    file.sync_all().unwrap();
    file
}

/// Appends of `bytes` at ascending offsets, each followed by a sync.
fn bare(file: &File, offset: &mut u64, bytes: &[u8], times: usize) -> Vec<Duration> {
    (0..times)
        .map(|_| {
            let started = Instant::now();
            file.write_all_at(bytes, *offset).unwrap();
            file.sync_data().unwrap();
            *offset += bytes.len() as u64;
            started.elapsed()
        })
        .collect()
}

fn journal(dir: &Path) -> Journal {
    RealDisk.create_dir_all(dir).unwrap();
    let (disk, random) = (Arc::new(RealDisk), Arc::new(OsRandom));
    let mut journal = Journal::open(disk, dir, JournalOptions::default(), random).unwrap().0;
    // Past the small first segments, which change often.
    let large = vec![1; 1 << 20];
    for _ in 0..12 {
        let frame = FrameIn { tenant: 1, kind: 9, version: 1, last_of_command: true, payload: &large };
        journal.append(&[frame], Millis(1)).unwrap();
    }
    journal
}

fn single_append() {
    let home = home();
    let mut journal = journal(&home.path().join("data"));
    let stored = Journal::stored_bytes(PAYLOAD) + 32;
    let file = zeroed(&home.path().join("bare"), 16 << 20);
    let (mut offset, mut best) = (0, (Duration::MAX, Duration::MAX));
    for round in 0..ROUNDS {
        let control = median(bare(&file, &mut offset, &vec![round as u8 + 1; stored as usize], APPENDS));
        let payload = vec![round as u8 + 1; PAYLOAD];
        let frame = FrameIn { tenant: 1, kind: 9, version: 1, last_of_command: true, payload: &payload };
        let times = (0..APPENDS).map(|_| {
            let started = Instant::now();
            journal.append(&[frame], Millis(1)).unwrap();
            started.elapsed()
        });
        let subject = median(times.collect());
        best = (best.0.min(subject), best.1.min(control));
    }
    let ratio = best.0.as_secs_f64() / best.1.as_secs_f64();
    println!("single durable append, p50: {:?}, bare {:?}: {ratio:.2} (at most 1.5)", best.0, best.1);
}

/// The machine's disk, counting what is written and synced.
#[derive(Clone, Default)]
struct Counting(Arc<(AtomicU64, AtomicU64)>);

struct CountingFile(Box<dyn DiskFile>, Counting);

impl Disk for Counting {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_read(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile(RealDisk.open(path)?, self.clone())))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile(RealDisk.create_new(path)?, self.clone())))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        RealDisk.try_lock(path)
    }
}

impl DiskFile for CountingFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, bytes)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // The zeros of a segment made ahead come in pieces of a MiB and are not part of a group.
        if bytes.len() < 1 << 20 {
            self.1.0.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        self.0.write_all_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.0.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// One frame for each of 256 clients, appended as one group.
fn group_append() {
    let home = home();
    let mut journal = journal(&home.path().join("data"));
    let file = zeroed(&home.path().join("bare"), 256 << 20);
    let stored = CLIENTS * Journal::stored_bytes(PAYLOAD) + 32;
    let (mut offset, mut best) = (0, (Duration::MAX, Duration::MAX));
    for round in 0..ROUNDS {
        let control = median(bare(&file, &mut offset, &vec![round as u8 + 1; stored as usize], 100));
        let payload = vec![round as u8 + 1; PAYLOAD];
        let frame = FrameIn { tenant: 1, kind: 9, version: 1, last_of_command: true, payload: &payload };
        let frames = vec![frame; CLIENTS as usize];
        let times = (0..100).map(|_| {
            let started = Instant::now();
            journal.append(&frames, Millis(1)).unwrap();
            started.elapsed()
        });
        let subject = median(times.collect());
        best = (best.0.min(subject), best.1.min(control));
    }
    let ratio = best.1.as_secs_f64() / best.0.as_secs_f64();
    println!("a group of {CLIENTS} frames, p50: {:?}, bare {:?}: {ratio:.2} (at least 0.7)", best.0, best.1);
}

/// 256 callers that each wait for their own answer; one control syncs as many bytes as often, the other has as many callers
/// too, and a thread that writes what they hand it: all but deciding.
fn group_commit() {
    let home = home();
    let disk = Counting::default();
    let clock = Arc::new(SystemClock::new());
    let world = World { disk: Arc::new(disk.clone()), clock, random: Arc::new(OsRandom) };
    let engine = Engine::open(EngineOptions::new(home.path().join("data")), world).unwrap().0;
    support::fill(&engine, 1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let file = zeroed(&home.path().join("bare"), 256 << 20);
    let (mut offset, mut rates, mut ratios, mut besides) = (0, Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let before = (disk.0.0.load(Ordering::Relaxed), disk.0.1.load(Ordering::Relaxed));
        let started = Instant::now();
        runtime.block_on(clients(&engine, round));
        let took = started.elapsed();
        let bytes = disk.0.0.load(Ordering::Relaxed) - before.0;
        let syncs = (disk.0.1.load(Ordering::Relaxed) - before.1).max(1);
        let started = Instant::now();
        bare(&file, &mut offset, &vec![1; (bytes / syncs) as usize], syncs as usize);
        let control = started.elapsed();
        ratios.push(control.as_secs_f64() / took.as_secs_f64());
        let each = bytes / (CLIENTS * COMMANDS);
        let handed = handed_over(&runtime, |group| {
            bare(&file, &mut offset, &vec![1; group * each as usize], 1);
        });
        besides.push(handed.as_secs_f64() / took.as_secs_f64());
        rates.push((CLIENTS * COMMANDS) as f64 / took.as_secs_f64());
    }
    println!(
        "{CLIENTS} clients of the engine: {:.0} commands a second, {:.2} of the bare control (deciding is included), {:.2} of one with as many callers",
        middle(rates),
        middle(ratios),
        middle(besides)
    );
}

/// 256 callers that each hand over a frame and wait for its sync, and a thread that appends what waits as one group; the control
/// writes and syncs as many bytes as often, without callers.
fn journal_commit() {
    let home = home();
    let mut journal = journal(&home.path().join("data"));
    let file = zeroed(&home.path().join("bare"), 256 << 20);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let payload = vec![7; PAYLOAD];
    let frame = FrameIn { tenant: 1, kind: 9, version: 1, last_of_command: true, payload: &payload };
    let (mut offset, mut rates, mut ratios, mut besides) = (0, Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut syncs = 0;
        let took = handed_over(&runtime, |group| {
            journal.append(&vec![frame; group], Millis(1)).unwrap();
            syncs += 1;
        });
        let bytes = CLIENTS * COMMANDS * Journal::stored_bytes(PAYLOAD) / syncs + 32;
        let started = Instant::now();
        bare(&file, &mut offset, &vec![1; bytes as usize], syncs as usize);
        let control = started.elapsed();
        let handed = handed_over(&runtime, |group| {
            let bytes = group as u64 * Journal::stored_bytes(PAYLOAD) + 32;
            bare(&file, &mut offset, &vec![1; bytes as usize], 1);
        });
        let ratio = |control: Duration| control.as_secs_f64() / took.as_secs_f64();
        rates.push((CLIENTS * COMMANDS) as f64 / took.as_secs_f64());
        ratios.push(ratio(control));
        besides.push(ratio(handed));
    }
    println!(
        "the journal with {CLIENTS} callers: {:.0} frames a second, {:.2} of the bare control (at least 0.7), {:.2} of one with as many callers",
        middle(rates),
        middle(ratios),
        middle(besides)
    );
}

/// As many callers as in [`clients`], whose groups one thread writes: `write` makes one of so many durable. How long all of it takes.
fn handed_over(runtime: &tokio::runtime::Runtime, mut write: impl FnMut(usize) + Send) -> Duration {
    let (give, take) = crossbeam_channel::unbounded::<tokio::sync::oneshot::Sender<()>>();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = take.recv() {
                let group: Vec<_> = std::iter::once(first).chain(take.try_iter()).collect();
                write(group.len());
                group.into_iter().for_each(|waits| waits.send(()).unwrap());
            }
        });
        runtime.block_on(async {
            let tasks: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(hand_over(give.clone()))).collect();
            drop(give);
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    started.elapsed()
}

async fn hand_over(give: crossbeam_channel::Sender<tokio::sync::oneshot::Sender<()>>) {
    for _ in 0..COMMANDS {
        let (done, waits) = tokio::sync::oneshot::channel();
        give.send(done).unwrap();
        waits.await.unwrap();
    }
}

/// Each client sends 40 small commands, one after the other's answer.
async fn clients(engine: &Arc<Engine>, round: u64) {
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move {
                for number in 0..COMMANDS {
                    let key = Some((format!("{round} {client} {number}"), [7; 32]));
                    let context = Context { actor: "bench".into(), idempotency: key };
                    let command = Command::Remember { ids: vec![1; 12] };
                    engine.submit(&support::tenant(), command, context).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Frames of a real tenant, not sealed, through `Journal::replay`, against a loop that reads, checks and decodes the same bytes.
fn replay() {
    let home = home();
    let data = home.path().join("data");
    let world = World { disk: Arc::new(RealDisk), clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom) };
    let options = EngineOptions { encryption: false, ..EngineOptions::new(&data) };
    let (engine, _) = Engine::open(options, world).unwrap();
    support::fill(&engine, 30_000);
    drop(engine);
    for decodes in [false, true] {
        let (mut rates, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let control = bare_replay(&data, decodes);
            let control_took = started.elapsed();
            let started = Instant::now();
            let mut frames = 0u64;
            Journal::replay(&RealDisk, &data, 0, &mut |frame| {
                frames += 1;
                assert!(!decodes || event::decode(frame.kind, frame.version, frame.payload).is_ok());
                Ok(())
            })
            .unwrap();
            let took = started.elapsed();
            assert_eq!(frames, control);
            ratios.push(control_took.as_secs_f64() / took.as_secs_f64());
            rates.push(frames as f64 / took.as_secs_f64());
        }
        let what = if decodes { "checked and decoded" } else { "checked only" };
        let (rate, ratio) = (middle(rates), middle(ratios));
        println!(
            "replay without indexes, {what}: {rate:.0} frames a second, {ratio:.2} of the bare loop (at least 0.7)"
        );
    }
}

fn bare_replay(data: &Path, decodes: bool) -> u64 {
    let mut paths: Vec<_> =
        std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    paths.sort();
    let mut frames = 0;
    for path in paths {
        let bytes = std::fs::read(path).unwrap();
        let seed = crc32c::crc32c(&bytes[56..72]);
        let mut at = 4096;
        while let Some(header) = bytes.get(at..at + 32) {
            let len = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            let crc = u32::from_le_bytes(header[4..8].try_into().unwrap());
            let is_group = header[24] == 0 && &header[26..28] == b"GR";
            if (len == 0 && crc == 0) || &header[26..28] == b"FT" && header[24] == 0 {
                break;
            }
            let body = &bytes[at + 32..at + 32 + if is_group { 0 } else { len }];
            let sum = crc32c::crc32c_append(crc32c::crc32c_append(seed, &header[..4]), &header[8..]);
            assert_eq!(crc32c::crc32c_append(sum, body), crc);
            if !is_group {
                frames += 1;
                assert!(!decodes || event::decode(header[24], header[25], &body[16..]).is_ok());
            }
            at += 32 + body.len().next_multiple_of(8);
        }
    }
    frames
}

/// Starting with many contacts, and what writers notice of a snapshot.
fn start_and_snapshot(contacts: usize) {
    let home = home();
    let data = home.path().join("data");
    let engine = support::open(&data);
    support::fill(&engine, contacts);
    drop(engine);
    let timed = |what: &str| {
        let started = Instant::now();
        let clock = Arc::new(SystemClock::new());
        let world = World { disk: Arc::new(RealDisk), clock, random: Arc::new(OsRandom) };
        let (engine, report) = Engine::open(EngineOptions::new(&data), world).unwrap();
        println!(
            "start with {} records, {what}: {:?} to ready, {} frames replayed",
            report.records,
            started.elapsed(),
            report.replayed
        );
        engine
    };
    let engine = timed("from the journal alone");
    snapshot_pause(&engine, contacts);
    drop(engine);
    drop(timed("from a snapshot and the frames behind it"));
}

fn snapshot_pause(engine: &Arc<Engine>, contacts: usize) {
    let stop = AtomicBool::new(false);
    let next = AtomicU64::new(contacts as u64);
    let started = Instant::now();
    let (times, from, until) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let (at, before) = (started.elapsed(), Instant::now());
                        support::put(engine, vec![support::person(number)]);
                        times.push((at, before.elapsed()));
                    }
                    times
                })
            })
            .collect();
        // As long without a snapshot as with one, for comparison.
        while next.load(Ordering::Relaxed) < contacts as u64 + 300 {
            std::thread::yield_now();
        }
        let from = started.elapsed();
        let report = engine.snapshot().unwrap();
        let until = started.elapsed();
        println!("a snapshot of {} bytes takes {:?} while two callers write", report.bytes, until - from);
        stop.store(true, Ordering::Relaxed);
        let times: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (times, from, until)
    });
    for (what, during) in [("before it", false), ("during it", true)] {
        let inside = |at: Duration, took: Duration| at + took >= from && at <= until;
        let mut took: Vec<Duration> =
            times.iter().filter(|(at, took)| inside(*at, *took) == during).map(|(_, took)| *took).collect();
        took.sort_unstable();
        let (half, last) = (took[took.len() / 2], took[took.len() - 1]);
        println!("  writes {what}: {} of them, p50 {half:?}, longest {last:?}", took.len());
    }
}

fn main() {
    let contacts = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20_000);
    let named = std::env::args().skip(1).find(|argument| argument.starts_with(char::is_alphabetic));
    let wanted = |name: &str| named.as_deref().is_none_or(|named| named == name);
    let parts: [(&str, &dyn Fn()); 6] = [
        ("append", &single_append),
        ("group", &group_append),
        ("callers", &journal_commit),
        ("clients", &group_commit),
        ("replay", &replay),
        ("start", &|| start_and_snapshot(contacts)),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| wanted(name)) {
        part();
    }
}
