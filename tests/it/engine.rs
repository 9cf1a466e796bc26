//! The engine without HTTP: scenarios on an in-memory disk, each checked again after a restart.

use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{Answer, Command, Context, ExplainLevel, MatchQuery, Mode, Outcome, UpsertResult, Verdict};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::formats::InputRecord;
use selfsame::formats::json::{self, RecordInput};
use selfsame::host::{Disk, ManualClock, MemDisk, SeededRandom};
use selfsame::model::ids::{EntityId, Millis, TenantName};

pub fn world(disk: &MemDisk) -> World {
    World {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Millis(1_800_000_000_000))),
        random: Arc::new(SeededRandom::new(7)),
    }
}

pub fn open(disk: &MemDisk) -> Arc<Engine> {
    let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, world(disk)).unwrap().0
}

/// As a real restart: time and chance go on, so that no id is given twice.
pub fn reopen(disk: &MemDisk) -> Arc<Engine> {
    let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, crate::simulate::later(disk, disk.operations())).unwrap().0
}

pub fn tenant() -> TenantName {
    TenantName::parse("main").unwrap()
}

pub fn record(json: &str) -> InputRecord {
    json::from_slice::<RecordInput>(json.as_bytes()).unwrap().into_record("api").unwrap()
}

pub fn upsert(engine: &Engine, json: &str) -> UpsertResult {
    let records = vec![record(json)];
    let command = Command::Upsert { records, mode: Mode::Merge, dry_run: false };
    let receipt = engine.submit_blocking(&tenant(), command, Context::default()).unwrap();
    let Answer::Upserted(mut results) = receipt.answer else { panic!("an upsert answers with results") };
    results.remove(0)
}

fn name(engine: &Engine, id: EntityId) -> String {
    engine.view(&tenant()).unwrap().contact(id).unwrap().canonical_name
}

/// The state after a restart equals the state before it, from snapshot and from journal alone.
fn restart(engine: Arc<Engine>, disk: &MemDisk) -> Arc<Engine> {
    let before = engine.view(&tenant()).unwrap().fingerprint();
    drop(engine);
    let engine = open(disk);
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), before, "replayed from the journal");
    engine.snapshot().unwrap();
    drop(engine);
    let engine = open(disk);
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), before, "loaded from the snapshot");
    engine
}

#[test]
fn john_and_j_smith_become_one_and_come_apart_again() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let john = r#"{"source":"gmail","source_record_id":"1","name":"John Smith","phone":"(212) 555-1234"}"#;
    let j = r#"{"source":"phone","source_record_id":"2","name":"J. Smith","phone":"212-555-1234"}"#;
    let first = upsert(&engine, j);
    assert_eq!(first.outcome, Outcome::Created);
    let second = upsert(&engine, john);
    assert_eq!(second.outcome, Outcome::Merged, "{second:?}");
    let id = second.contact_id.unwrap();
    assert_eq!(id, first.contact_id.unwrap());
    assert_eq!(name(&engine, id), "John Smith");
    let engine = restart(engine, &disk);
    let view = engine.view(&tenant()).unwrap();
    let kinds: Vec<_> = view.history(id).unwrap().into_iter().map(|change| change.kind).collect();
    assert!(kinds.contains(&"created") && kinds.contains(&"merged"), "{kinds:?}");
    let merge = view.merges(10, None).unwrap().items.remove(0).merge_id;
    let undo = engine.submit_blocking(&tenant(), Command::UndoMerge { merge }, Context::default()).unwrap();
    let Answer::Parts(parts) = undo.answer else { panic!("an undo answers with parts") };
    assert_eq!(parts.len(), 2);
    assert_eq!((name(&engine, parts[0]).as_str(), name(&engine, parts[1]).as_str()), ("J. Smith", "John Smith"));
    let engine = restart(engine, &disk);
    assert_eq!(upsert(&engine, john).outcome, Outcome::Unchanged);
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 2);
}

#[test]
fn a_household_stays_two_people() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Mary Miller","phone":"+12125550100"}"#);
    let other =
        upsert(&engine, r#"{"source":"a","source_record_id":"2","name":"Peter Miller","phone":"+12125550100"}"#);
    assert_ne!(other.outcome, Outcome::Merged);
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 2);
}

#[test]
fn a_match_decides_what_an_upsert_would() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Zoë Zyskowski","email":"zoe@example.com"}"#);
    let query = MatchQuery {
        input: record(r#"{"name":"Zoe Zyskowsky","email":"ZOE@example.com"}"#),
        limit: 10,
        threshold: 0.5,
        explain: selfsame::engine::api::ExplainLevel::Full,
        exclude: Vec::new(),
    };
    let answer = engine.view(&tenant()).unwrap().match_contact(&query).unwrap();
    assert_eq!(answer.decision, Verdict::Match);
    let best = &answer.candidates[0];
    let explanation = best.explanation.as_ref().unwrap();
    let sum: i32 = explanation.prior.0 + explanation.parts.iter().map(|part| part.weight.0).sum::<i32>();
    assert_eq!(sum, explanation.weight.0);
    assert!((best.weight_bits - explanation.weight.bits()).abs() < 1e-9);
    let _ = disk.exists(Path::new("data")).unwrap();
}

#[test]
fn the_source_of_edits_by_hand_cannot_be_imported() {
    let engine = open(&MemDisk::new());
    let first = upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Mary Miller"}"#);
    let id = first.contact_id.unwrap();
    let forged = format!(r#"{{"source":"manual","source_record_id":"{id}","name":"Somebody Else"}}"#);
    let result = upsert(&engine, &forged);
    assert_eq!(result.outcome, Outcome::Invalid);
    assert_eq!(result.issues[0].code, "source_reserved");
    assert_eq!(name(&engine, id), "Mary Miller");
}

/// Two records that are only asked about once seemed to share an id, since both went by the same stand-in name.
#[test]
fn two_inline_records_share_no_id() {
    let engine = open(&MemDisk::new());
    upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Mary Miller"}"#);
    let side = |json: &str| selfsame::engine::api::Side::Inline(Box::new(record(json)));
    let answer = engine
        .view(&tenant())
        .unwrap()
        .why(&side(r#"{"name":"Mary Miller","email":"m@example.com"}"#), &side(r#"{"name":"Otto Kern"}"#))
        .unwrap();
    assert!(answer.explanation.parts.iter().all(|part| part.comparison != "external_id"), "{answer:?}");
    assert!(!answer.candidate);
}

/// A misspelt family name finds whoever's given name begins or sounds alike, and not everybody of that family name.
#[test]
fn a_similar_family_name_finds_whoever_could_be_meant() {
    let engine = open(&MemDisk::new());
    for (number, given) in ["Catherine", "Karla", "Walter"].iter().enumerate() {
        let json =
            format!(r#"{{"source":"crm","source_record_id":"{number}","first_name":"{given}","last_name":"Brown"}}"#);
        upsert(&engine, &json);
    }
    let query = MatchQuery {
        input: record(r#"{"source":"q","first_name":"Katherine","last_name":"Frown"}"#),
        limit: 10,
        threshold: 0.0,
        explain: ExplainLevel::None,
        exclude: Vec::new(),
    };
    let answer = engine.view(&tenant()).unwrap().match_contact(&query).unwrap();
    let mut names: Vec<_> =
        answer.candidates.iter().map(|shown| (name(&engine, shown.contact_id), shown.found_by.clone())).collect();
    names.sort();
    let similar = || vec!["similar_name"];
    assert_eq!(names, [("Catherine Brown".to_owned(), similar()), ("Karla Brown".to_owned(), similar())]);
}
