//! What the benchmarks share: people that do not exist, and an engine over a temporary directory.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod wire;

use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{Answer, Command, Context, Mode, Outcome};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::formats::InputRecord;
use selfsame::host::{OsRandom, RealDisk, SystemClock};
use selfsame::model::ids::TenantName;
use selfsame::model::record::{Email, Fields, Phone};

/// Records of one command.
const BATCH: usize = 1_000;

/// The tenant of all benchmarks.
pub fn tenant() -> TenantName {
    TenantName::parse("main").unwrap()
}

/// A name of two or three syllables; different numbers give different names.
fn name(mut number: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "ba", "ker", "do", "lin", "fa", "mar", "go", "nes", "hu", "pol", "ja", "rin", "ke", "son", "li", "tov", "mi",
        "vas", "ne", "zor",
    ];
    let mut text = String::new();
    for _ in 0..3 {
        text.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
    }
    let first = text.remove(0).to_ascii_uppercase();
    format!("{first}{text}")
}

/// The n-th person: no two share an identifier, many share a name part.
pub fn person(n: usize) -> InputRecord {
    let (first, last) = (name(n * 7 % 1_999), name(n % 7_919));
    InputRecord {
        source: "bench".into(),
        source_record_id: Some(format!("r{n}")),
        source_updated_at: None,
        version: None,
        fields: Fields {
            emails: vec![Email { value: format!("{first}.{last}{n}@example{}.com", n % 97), ..Email::default() }],
            phones: vec![Phone { value: format!("+1212{:07}", 2_000_000 + n), ..Phone::default() }],
            first_name: Some(first),
            last_name: Some(last),
            organization: Some(format!("{} Ltd", name(n % 501))),
            ..Fields::default()
        },
    }
}

/// The n-th person without an email, as the body of a match.
pub fn question(n: usize) -> String {
    let fields = person(n).fields;
    let contact = serde_json::json!({
        "first_name": fields.first_name, "last_name": fields.last_name,
        "phone": fields.phones[0].value, "organization": fields.organization,
    });
    serde_json::json!({ "contact": contact }).to_string()
}

/// Opens an engine over a directory of the real disk.
pub fn open(dir: &Path) -> Arc<Engine> {
    let world = World { disk: Arc::new(RealDisk), clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom) };
    Engine::open(EngineOptions::new(dir), world).unwrap().0
}

/// Puts records; gives their outcomes.
pub fn put(engine: &Engine, records: Vec<InputRecord>) -> Vec<Outcome> {
    let command = Command::Upsert { records, mode: Mode::Merge, dry_run: false };
    let receipt =
        engine.submit_blocking(&tenant(), command, Context { actor: "bench".into(), idempotency: None }).unwrap();
    match receipt.answer {
        Answer::Upserted(results) => results.into_iter().map(|result| result.outcome).collect(),
        other => panic!("an upsert is answered by results, not {other:?}"),
    }
}

/// Fills an engine with the first `count` people.
pub fn fill(engine: &Engine, count: usize) {
    for from in (0..count).step_by(BATCH) {
        let outcomes = put(engine, (from..count.min(from + BATCH)).map(person).collect());
        assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Invalid));
    }
}
