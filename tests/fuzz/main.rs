//! Fuzzing on the stable toolchain: bytes that readers must survive, from seeds and mutations.
//!
//! A plain test run tries a few inputs of every target, always the same ones, and every input that was ever a finding. The
//! long form takes a time for each target, saves where it is and which inputs led to new outcomes below `target/fuzz`, and goes
//! on from there the next time:
//!
//! `SELFSAME_FUZZ_SECONDS=1200 [SELFSAME_FUZZ_TARGET=frames] cargo test --release --test fuzz`
//!
//! There is no feedback from the code's branches (that needs a nightly compiler or a C++ toolchain); in its place every target
//! says in a few words what became of an input, and an input with a new outcome joins those that are mutated. Targets of
//! bytes with checksums get half of their inputs with the checksums made to fit.
//!
//! What must hold: no panic, an answer within a second of processor time, no memory beyond a bound, nothing read that
//! was never written, and what the target itself asks for. A finding is made as small as it gets and kept in
//! `tests/fuzz/findings`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test stops at the first surprise, reads files, and prints"
)]

mod disk;
mod http;
mod mutate;
#[path = "../it/server.rs"]
#[allow(dead_code, reason = "the helper serves more tests than this one")]
mod server;
mod text;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use selfsame::formats::Format;

use crate::mutate::{Dice, mutate};

/// What became of an input in a few words, or what is wrong.
pub type Outcome = Result<String, String>;

/// Inputs of a target in a plain run, and the processor time that they may take together.
const PLAIN_INPUTS: u64 = 3_000;
const PLAIN_TIME: Duration = Duration::from_secs(4);
/// Processor time of one input.
const INPUT_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });
/// Address space that inputs may add to what the process starts with, in KiB.
const MEMORY_KIB: u64 = 2 << 20;
/// Inputs with new outcomes that are kept.
const POOL_MAX: usize = 4096;

/// Bytes, and whether their checksums were made to fit, to what became of them.
type Run = Box<dyn FnMut(&[u8], bool) -> Outcome>;

/// Something that reads bytes.
struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    /// Makes checksums fit.
    fix: Option<fn(&mut [u8])>,
    /// The longest processor time of an input yet, and the input.
    slowest: (Duration, Vec<u8>),
    run: Run,
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn vcards() -> Vec<Vec<u8>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vcards");
    let paths = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "vcf")).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).chain(corpus("vcard")).collect()
}

/// Each line of the values is a seed of its own.
fn values() -> Vec<Vec<u8>> {
    corpus("text").concat().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

const JSON_WORDS: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "1e400",
    "-1",
    "\"name\":",
    "\"emails\":[",
    "\"phones\":[",
    "\"value\":",
    "\"attributes\":{",
    "\"version\":18446744073709551615",
    "\"source_updated_at\":\"",
    "\"record\":",
    "\"records\":",
    "\"limit\":",
    "\"cursor\":",
    "\"threshold\":",
    "\"birthday\":\"",
    "\\ud83d",
    "\"external_ids\":[",
    "\"tags\":",
    "\"mode\":\"strict\"",
    "\"dry_run\":true",
];
const CSV_WORDS: &[&str] = &[
    "\"\"",
    "\n",
    "sep=|\n",
    "E-mail 1 - Value",
    "Birthday",
    "id",
    "source",
    " ::: ",
    "\u{feff}",
    "1 - ",
    "full name",
    "domain",
];
const VCARD_WORDS: &[&str] = &[
    "BEGIN:VCARD\r\n",
    "END:VCARD\r\n",
    "VERSION:2.1\r\n",
    "VERSION:4.0\r\n",
    ";ENCODING=QUOTED-PRINTABLE:",
    "=\r\n",
    "\r\n ",
    ";CHARSET=UTF-16",
    "TEL:",
    "N:;;;;",
    "item1.",
    "X-ABLabel:",
    "BDAY:--",
    "AGENT:",
    ";TYPE=",
    "PHOTO;ENCODING=b:",
    "=C3",
];
const VALUE_WORDS: &[&str] = &[
    "+",
    "00",
    "ext.",
    "x",
    "(0)",
    ";ext=",
    "tel:",
    "@",
    "\"",
    "xn--",
    ".co.uk",
    "Jr.",
    "Dr.",
    "van der ",
    "née ",
    "(",
    ")",
    ",",
    "GmbH",
    "1980-02-30",
    "王",
    "بن",
    "Ж",
    "٣",
    "０",
    "c/o",
    "Apt",
];

fn targets() -> Vec<Target> {
    let (frames, snapshots) = (disk::Frames::new(), disk::Snapshots::new());
    let mut http = http::Http::default();
    let reader = text::normalizer("US");
    let mut all = vec![
        Target {
            name: "frames",
            seeds: disk::segments(),
            words: &["GR", "FT", "SELFSAM1"],
            fix: Some(disk::fix_segment),
            slowest: Default::default(),
            run: Box::new(move |bytes, forged| frames.run(bytes, forged)),
        },
        Target {
            name: "snapshots",
            seeds: disk::snapshots(),
            words: &["CH", "FT", "SELFSNP1"],
            fix: Some(disk::fix_snapshot),
            slowest: Default::default(),
            run: Box::new(move |bytes, forged| snapshots.run(bytes, forged)),
        },
        plain("json", corpus("json"), JSON_WORDS, move |bytes| text::record(&reader, bytes)),
        plain("http", corpus("http"), JSON_WORDS, move |bytes| http.run(bytes)),
        plain("csv", corpus("csv"), CSV_WORDS, |bytes| text::file(Format::Csv, bytes)),
        plain("ndjson", corpus("ndjson"), JSON_WORDS, |bytes| text::file(Format::Ndjson, bytes)),
        plain("vcard", vcards(), VCARD_WORDS, |bytes| text::file(Format::Vcard, bytes)),
    ];
    let kinds = [
        ("phone", text::Value::Phone),
        ("name", text::Value::Name),
        ("email", text::Value::Email),
        ("address", text::Value::Address),
    ];
    for (name, kind) in kinds {
        let reader = text::normalizer("DE");
        all.push(plain(name, values(), VALUE_WORDS, move |bytes| text::value(kind, &reader, bytes)));
    }
    all
}

fn plain(
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    mut run: impl FnMut(&[u8]) -> Outcome + 'static,
) -> Target {
    Target { name, seeds, words, fix: None, slowest: Default::default(), run: Box::new(move |bytes, _| run(bytes)) }
}

/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// The most address space that this process has had, in KiB.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap_or_default().to_owned();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

impl Target {
    /// Runs one input under all conditions.
    fn try_one(&mut self, input: &[u8], forged: bool) -> Outcome {
        let started = processor_time();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(input, forged)));
        let took = processor_time() - started;
        if took > self.slowest.0 {
            self.slowest = (took, input.to_vec());
        }
        if took > INPUT_TIME {
            return Err(format!("{took:?} for {} bytes", input.len()));
        }
        outcome.unwrap_or_else(|_| Err(format!("a panic: {}", PANIC.lock().unwrap())))
    }

    /// The n-th input: from a seed or from one that had a new outcome.
    fn input(&self, number: u64, pool: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let mut dice = Dice(number ^ name_hash(self.name));
        let from_pool = !pool.is_empty() && dice.below(2) == 0;
        let base = if from_pool { &pool[dice.below(pool.len())] } else { &self.seeds[dice.below(self.seeds.len())] };
        let mut input = base.clone();
        let other = &self.seeds[dice.below(self.seeds.len())];
        mutate(&mut dice, &mut input, self.words, other);
        let Some(fix) = self.fix else { return (input, false) };
        let forged = from_pool || dice.below(2) == 0;
        if forged {
            fix(&mut input);
        }
        (input, forged)
    }

    /// Takes pieces away as long as it still fails.
    fn smallest(&mut self, mut input: Vec<u8>, forged: bool) -> Vec<u8> {
        let mut size = input.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < input.len() {
                let mut less = input.clone();
                less.drain(at..(at + size).min(less.len()));
                if let (Some(fix), true) = (self.fix, forged) {
                    fix(&mut less);
                }
                if self.try_one(&less, forged).is_err() { input = less } else { at += size }
            }
            size /= 2;
        }
        input
    }

    /// Every input that was a finding once.
    fn findings(&mut self) -> u64 {
        let mut failed = 0;
        let entries = std::fs::read_dir(findings_dir()).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if !file.starts_with(&format!("{}-", self.name)) {
                continue;
            }
            if let Err(what) = self.try_one(&std::fs::read(&path).unwrap(), file.contains("forged")) {
                println!("{file} fails (again): {what}");
                failed += 1;
            }
        }
        failed
    }

    /// Tries inputs from number `from` on. Gives the next number and how many failed.
    fn fuzz(&mut self, from: u64, until: &dyn Fn(u64, Duration) -> bool, pool: &mut Pool) -> (u64, u64) {
        let (started, memory) = (processor_time(), memory_kib());
        let (mut number, mut failed) = (from, 0);
        while !until(number, processor_time() - started) {
            let (input, forged) = self.input(number, &pool.inputs);
            number += 1;
            match self.try_one(&input, forged) {
                Ok(told) => pool.offer(told, input),
                Err(what) => {
                    failed += 1;
                    let small = self.smallest(input, forged);
                    keep(self.name, forged, &small, &what);
                }
            }
            if number % 32 == 0 && memory_kib() > memory + MEMORY_KIB {
                println!("{}: an input before number {number} takes more than {MEMORY_KIB} KiB", self.name);
                return (number, failed + 1);
            }
            if failed >= 5 {
                break;
            }
        }
        (number, failed)
    }
}

/// Inputs with new outcomes.
#[derive(Default)]
struct Pool {
    inputs: Vec<Vec<u8>>,
    seen: BTreeSet<String>,
}

impl Pool {
    fn offer(&mut self, told: String, input: Vec<u8>) {
        if self.inputs.len() < POOL_MAX && self.seen.insert(told) {
            self.inputs.push(input);
        }
    }
}

fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn findings_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/findings")
}

fn keep(name: &str, forged: bool, input: &[u8], what: &str) {
    let hash = blake3::hash(input).to_hex();
    let mark = if forged { "forged-" } else { "" };
    let path = findings_dir().join(format!("{name}-{mark}{}.bin", &hash[..12]));
    std::fs::create_dir_all(findings_dir()).unwrap();
    std::fs::write(&path, input).unwrap();
    println!(
        "{name}: {what}\n  kept in {} ({} bytes): {:?}",
        path.display(),
        input.len(),
        String::from_utf8_lossy(&input[..input.len().min(200)])
    );
}

/// Where a long run of a target is.
struct Place {
    dir: PathBuf,
    next: u64,
    seconds: u64,
}

impl Place {
    fn load(name: &str, pool: &mut Pool) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let state = std::fs::read(dir.join("place.json")).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap_or_default();
        let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "bin")).collect();
        paths.sort();
        pool.inputs = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        Self { dir, next: state["next"].as_u64().unwrap_or(0), seconds: state["seconds"].as_u64().unwrap_or(0) }
    }

    fn save(&self, pool: &Pool, saved: usize) {
        for (number, input) in pool.inputs.iter().enumerate().skip(saved) {
            std::fs::write(self.dir.join(format!("{number:06}.bin")), input).unwrap();
        }
        let state = serde_json::json!({ "next": self.next, "seconds": self.seconds });
        std::fs::write(self.dir.join("place.json"), state.to_string()).unwrap();
    }
}

/// One target for a time, in pieces that are saved.
fn long(target: &mut Target, seconds: u64) -> u64 {
    let mut pool = Pool::default();
    let mut place = Place::load(target.name, &mut pool);
    for input in pool.inputs.clone() {
        // Their outcomes are known again then, so that only new ones join them.
        pool.seen.extend(target.try_one(&input, target.fix.is_some()).ok());
    }
    let (started, first, mut failed) = (Instant::now(), place.next, 0);
    while started.elapsed().as_secs() < seconds && failed < 5 {
        let (piece, saved) = (Instant::now(), pool.inputs.len());
        let until = |_: u64, _: Duration| piece.elapsed().as_secs() >= 10 || started.elapsed().as_secs() >= seconds;
        let (next, more) = target.fuzz(place.next, &until, &mut pool);
        failed += more;
        place.next = next;
        place.seconds += piece.elapsed().as_secs();
        place.save(&pool, saved);
        std::fs::write(place.dir.join("slowest"), &target.slowest.1).unwrap();
    }
    println!(
        "{}: {} inputs in {} s, {} in {} s in all, {} outcomes, {failed} findings, slowest {:?} ({} bytes)",
        target.name,
        place.next - first,
        started.elapsed().as_secs(),
        place.next,
        place.seconds,
        pool.seen.len(),
        target.slowest.0,
        target.slowest.1.len()
    );
    failed
}

fn short(target: &mut Target) -> u64 {
    let mut pool = Pool::default();
    let started = Instant::now();
    let until = |number: u64, spent: Duration| {
        number >= PLAIN_INPUTS || spent > PLAIN_TIME || started.elapsed() > 3 * PLAIN_TIME
    };
    let (tried, failed) = target.fuzz(0, &until, &mut pool);
    let outcomes = pool.seen.len();
    let (name, slowest) = (target.name, target.slowest.0);
    println!(
        "{name}: {tried} inputs, {outcomes} outcomes, {failed} findings, slowest {slowest:?}, {:?}",
        started.elapsed()
    );
    // A target that tells nothing apart reads nothing.
    failed + u64::from(outcomes < 3)
}

fn main() {
    let wanted = std::env::var("SELFSAME_FUZZ_TARGET").ok().filter(|name| !name.is_empty());
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let seconds = std::env::var("SELFSAME_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    std::panic::set_hook(Box::new(|info| *PANIC.lock().unwrap() = info.to_string()));
    let mut failed = 0;
    for mut target in targets() {
        let named = |name: &Option<String>| name.as_ref().is_none_or(|name| name.as_str() == target.name);
        if !named(&wanted) || !named(&filter) {
            continue;
        }
        failed += target.findings();
        failed += match seconds {
            Some(seconds) => long(&mut target, seconds),
            None => short(&mut target),
        };
    }
    if failed > 0 {
        println!("fuzzing: {failed} failures");
        std::process::exit(1);
    }
}
