//! What must hold of the engine for any records: order does not matter, undo is exact, a match foretells the upsert.
//!
//! Vocabularies are tiny, so that names, phones and emails collide all the time. Every record has a version and a
//! source's time, so that receipt decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use selfsame::engine::Engine;
use selfsame::engine::api::{
    Answer, Command, Contact, Context, ExplainLevel, MatchQuery, Mode, Outcome, Receipt, RecordHead, ReviewQuery, Side,
    UpsertResult, Verdict, WhyAnswer,
};
use selfsame::error::{Error, Result};
use selfsame::formats::InputRecord;
use selfsame::host::MemDisk;
use selfsame::model::ids::{EntityId, MergeId, Millis, RecordId, RecordKey};
use selfsame::model::record::Fields;
use selfsame::model::settings::Settings;
use selfsame::model::survivorship::{Survivorship, allowed, fields};

use crate::engine::{open, record, tenant, upsert};

const NAMES: [&str; 9] = [
    "John Smith",
    "J. Smith",
    "Jon Smith",
    "Johnny Smith Jr.",
    "Mary Miller",
    "Maria Miller",
    "Mary Smith",
    "Zoë Zyskowski",
    "",
];
const EMAILS: [&str; 4] = ["john.smith@gmail.com", "JohnSmith+x@gmail.com", "mary@example.com", "info@example.com"];
const PHONES: [&str; 3] = ["(212) 555-0100", "+12125550100", "+442079460958"];
const BIRTHDAYS: [&str; 3] = ["1980-02-03", "1980-02", "1991-12-24"];
const SOURCES: [&str; 2] = ["crm", "gmail"];

/// One thing that a source says about one of its records.
#[derive(Clone, Debug)]
pub struct Said {
    pub key: usize,
    pub version: u64,
    pub name: usize,
    pub email: Option<usize>,
    pub phone: Option<usize>,
    pub birthday: Option<usize>,
}

pub fn key(number: usize) -> RecordKey {
    RecordKey { source: SOURCES[number % 2].into(), source_record_id: format!("r{number}").into() }
}

impl Said {
    pub fn json(&self) -> String {
        let key = key(self.key);
        let mut json = serde_json::json!({
            "source": key.source, "source_record_id": key.source_record_id, "version": self.version,
            "source_updated_at": format!("2026-01-01T00:{:02}:00Z", self.version),
            "organization": format!("Org {}", self.version),
            "tags": [format!("Tag{}", self.name % 3), "all"],
            "job_title": format!("{} officer", "chief ".repeat(self.name % 3)),
            "last_seen": format!("2026-01-0{}T00:00:00Z", 1 + (self.version + self.name as u64) % 4),
            "attributes": {"n": self.version, "technologies": [format!("t{}", self.name % 4)],
                "inside": {format!("k{}", self.key % 3): self.version, "x": [self.name]}},
        });
        if let Some(at) = self.email {
            json["emails"] = serde_json::json!([
                {"value": EMAILS[at % EMAILS.len()], "primary": self.version == 3},
                {"value": format!("r{}@example.net", self.key), "primary": self.version == 4},
                {"value": format!("broken{}@@x", self.key), "primary": true},
            ]);
        }
        let mut put = |field: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                json[field] = value.into();
            }
        };
        put("name", Some(NAMES[self.name % NAMES.len()]));
        put("phone", self.phone.map(|at| PHONES[at % PHONES.len()]));
        put("birthday", self.birthday.map(|at| BIRTHDAYS[at % BIRTHDAYS.len()]));
        json.to_string()
    }

    pub fn record(&self) -> InputRecord {
        record(&self.json())
    }
}

fn said(keys: usize) -> impl Strategy<Value = Said> {
    let maybe = |of: usize| proptest::option::weighted(0.6, 0..of);
    let birthday = proptest::option::weighted(0.15, 0..BIRTHDAYS.len());
    (0..keys, 1..5u64, 0..NAMES.len(), maybe(EMAILS.len()), maybe(PHONES.len()), birthday)
        .prop_map(|(key, version, name, email, phone, birthday)| Said { key, version, name, email, phone, birthday })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() }
}

pub fn submit(engine: &Engine, command: Command) -> Result<Receipt> {
    engine.submit_blocking(&tenant(), command, Context { actor: "test".into(), idempotency: None })
}

pub fn put(engine: &Engine, records: Vec<InputRecord>) -> Vec<UpsertResult> {
    match submit(engine, Command::Upsert { records, mode: Mode::Merge, dry_run: false }).unwrap().answer {
        Answer::Upserted(results) => results,
        other => panic!("an upsert answers with results, not {other:?}"),
    }
}

/// What callers see of a contact that must not depend on history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    name: String,
    emails: Vec<String>,
    phones: Vec<String>,
    birthday: Option<String>,
    organization: Option<String>,
    /// Everything else, with the rule and the source behind each value.
    all: String,
}

fn golden(contact: &Contact) -> Golden {
    Golden {
        name: contact.canonical_name.clone(),
        emails: contact.fields.emails.iter().map(|email| email.value.clone()).collect(),
        phones: contact.fields.phones.iter().map(|phone| phone.value.clone()).collect(),
        birthday: contact.fields.birthday.clone(),
        organization: contact.fields.organization.clone(),
        all: format!("{:?} {:?}", contact.fields, provenance(contact)),
    }
}

/// Where values came from, without the ids that chance gave the records.
fn provenance(contact: &Contact) -> Vec<(String, RecordKey, &'static str)> {
    let edit = || RecordKey { source: "manual".into(), source_record_id: "".into() };
    let key = |id| contact.records.iter().find(|one| one.record_id == id).map_or_else(edit, |one| one.key.clone());
    contact.provenance.iter().map(|(field, from)| (field.clone(), key(from.record_id), from.rule)).collect()
}

pub type Keys = BTreeSet<RecordKey>;

/// Live contacts: their records' keys, id and golden values.
pub fn contacts(engine: &Engine) -> BTreeMap<Keys, (EntityId, Golden)> {
    let Ok(view) = engine.view(&tenant()) else { return BTreeMap::new() };
    let all = view.export_ids().into_iter().map(|id| view.contact(id).unwrap());
    all.map(|contact| {
        let keys = contact.records.iter().map(|record| record.key.clone()).collect();
        (keys, (contact.id, golden(&contact)))
    })
    .collect()
}

fn without_ids(engine: &Engine) -> BTreeMap<Keys, Golden> {
    contacts(engine).into_iter().map(|(keys, (_, golden))| (keys, golden)).collect()
}

/// The questions that wait: the records of both sides, and what is said of the join.
fn questions(engine: &Engine) -> BTreeSet<(Vec<Keys>, String)> {
    let Ok(view) = engine.view(&tenant()) else { return BTreeSet::new() };
    let keys = |id| view.contact(id).unwrap().records.into_iter().map(|record| record.key).collect::<Keys>();
    let query = ReviewQuery { limit: 1000, ..ReviewQuery::default() };
    let all = view.reviews(&query).unwrap().items.into_iter().map(|review| {
        let mut sides = vec![keys(review.left), keys(review.right)];
        sides.sort();
        (sides, format!("{:.6} {:.6} {} {}", review.score, review.value, review.reason, review.match_key))
    });
    all.collect()
}

pub fn golden_of(contacts: &BTreeMap<Keys, (EntityId, Golden)>) -> BTreeMap<Keys, Golden> {
    contacts.iter().map(|(keys, (_, golden))| (keys.clone(), golden.clone())).collect()
}

/// Every id that named a contact before names one still or redirects to one.
///
/// Not "the same one": an id goes with the records born under it, and a record that left its first contact before
/// the detour had got another id there, which a second split need not find again.
fn check_ids_lead_on(engine: &Engine, before: &BTreeMap<Keys, (EntityId, Golden)>) -> Result<(), TestCaseError> {
    let view = engine.view(&tenant()).unwrap();
    for (id, _) in before.values() {
        let leads = match view.contact(*id) {
            Ok(_) => true,
            Err(Error::Moved { survivor }) => view.contact(survivor).is_ok(),
            Err(_) => false,
        };
        prop_assert!(leads, "{id} named a contact and now leads nowhere");
    }
    Ok(())
}

/// The records as they are stored now, to be sent somewhere else.
fn stored(engine: &Engine) -> Vec<InputRecord> {
    let Ok(view) = engine.view(&tenant()) else { return Vec::new() };
    let records = view.export_ids().into_iter().flat_map(|id| view.records(id).unwrap());
    records
        .filter(|record| *record.key.source != *"manual")
        .map(|record| InputRecord {
            source: record.key.source.to_string(),
            source_record_id: Some(record.key.source_record_id.to_string()),
            source_updated_at: record.source_updated_at,
            version: record.version,
            fields: record.fields,
        })
        .collect()
}

/// Every contact's records are in it and in no other, and each record points back.
pub fn check_whole(engine: &Engine) -> std::result::Result<(), TestCaseError> {
    let view = engine.view(&tenant()).unwrap();
    let mut seen = BTreeSet::new();
    for (keys, (id, _)) in contacts(engine) {
        prop_assert!(!keys.is_empty(), "{id} is live and has no record");
        for key in keys {
            prop_assert!(seen.insert(key.clone()), "{key:?} is in two contacts");
        }
    }
    prop_assert_eq!(view.stats().records, seen.len() as u64);
    prop_assert_eq!(view.stats().contacts, view.export_ids().len() as u64);
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<Said>),
    Delete(usize),
}

/// The writes shuffled by `ranks` and cut into batches (none: as they are, one by one); a record's tombstone comes after its last write.
fn arrange(writes: &[Said], deletes: &BTreeSet<usize>, ranks: &[u8], batch: &[u8]) -> Vec<Step> {
    let mut order: Vec<&Said> = writes.iter().collect();
    for (at, rank) in (1..order.len()).zip(ranks) {
        order.swap(at, usize::from(*rank) % (at + 1));
    }
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, write) in order.iter().enumerate() {
        last.insert(write.key, at);
    }
    let mut steps = Vec::new();
    let mut open: Vec<Said> = Vec::new();
    for (at, write) in order.iter().enumerate() {
        open.push((*write).clone());
        let gone = deletes.contains(&write.key) && last[&write.key] == at;
        if gone || batch.get(at).is_none_or(|cut| cut % 3 == 0) {
            steps.push(Step::Put(std::mem::take(&mut open)));
        }
        if gone {
            steps.push(Step::Delete(write.key));
        }
    }
    steps.push(Step::Put(open));
    steps
}

fn step(engine: &Engine, step: &Step) {
    match step {
        Step::Put(batch) if batch.is_empty() => {}
        Step::Put(batch) => drop(put(engine, batch.iter().map(Said::record).collect())),
        Step::Delete(number) => drop(submit(engine, Command::DeleteRecord { key: key(*number) }).unwrap()),
    }
}

fn run(steps: &[Step]) -> Arc<Engine> {
    let engine = open(&MemDisk::new());
    steps.iter().for_each(|one| step(&engine, one));
    engine
}

fn run_under(settings: &Settings, steps: &[Step]) -> Arc<Engine> {
    let engine = open(&MemDisk::new());
    set(&engine, settings);
    steps.iter().for_each(|one| step(&engine, one));
    engine
}

/// Settings with any rule for any field that it makes sense for.
fn rules() -> impl Strategy<Value = Settings> {
    (proptest::collection::vec(any::<Index>(), 40), any::<bool>()).prop_map(|(picks, trust)| {
        let keys = ["attributes.n", "attributes.inside", "attributes.inside.x"];
        let fields = fields().chain(keys).zip(picks).map(|(field, pick)| {
            let allowed = allowed(field).unwrap();
            (field.to_owned(), allowed[pick.index(allowed.len())])
        });
        let source_trust = if trust { vec!["gmail".to_owned(), "crm".to_owned()] } else { Vec::new() };
        Settings { survivorship: Survivorship::new(fields), source_trust, ..Settings::default() }
    })
}

pub fn writes() -> impl Strategy<Value = (Vec<Said>, BTreeSet<usize>)> {
    (proptest::collection::vec(said(9), 4..16), proptest::collection::btree_set(0..9usize, 0..3))
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn any_order_and_batching_gives_the_same_contacts(
        (writes, deletes) in writes(),
        ranks in proptest::collection::vec(any::<u8>(), 16),
        batch in proptest::collection::vec(any::<u8>(), 16),
        rules in rules(),
    ) {
        let one_by_one: Vec<Step> = arrange(&writes, &deletes, &[], &[]);
        let shuffled = arrange(&writes, &deletes, &ranks, &batch);
        let (first, second) = (run(&one_by_one), run_under(&rules, &shuffled));
        set(&first, &rules);
        check_whole(&first)?;
        check_whole(&second)?;
        prop_assert_eq!(without_ids(&first), without_ids(&second));
        prop_assert_eq!(questions(&first), questions(&second));
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn every_step_equals_a_start_from_scratch((writes, deletes) in writes()) {
        let engine = open(&MemDisk::new());
        for one in arrange(&writes, &deletes, &[], &[]) {
            step(&engine, &one);
            let scratch = open(&MemDisk::new());
            let records = stored(&engine);
            if !records.is_empty() {
                put(&scratch, records);
            }
            prop_assert_eq!(without_ids(&engine), without_ids(&scratch), "after {:?}", one);
            prop_assert_eq!(questions(&engine), questions(&scratch), "after {:?}", one);
        }
    }
}

fn set(engine: &Engine, settings: &Settings) {
    submit(engine, Command::PutSettings { settings: Box::new(settings.clone()) }).unwrap();
}

proptest! {
    #![proptest_config(config(24))]

    /// New settings hold for all records, as if they had been there from the first day, and going back is exact, ids included.
    #[test]
    fn changed_settings_give_what_a_start_under_them_gives(
        (writes, deletes) in writes(), review in 0.1..0.9f64, generic_max in 1..4u32, holders_max in 2..6u32,
        business_keys: bool, rules in rules(),
    ) {
        let auto = review.max(0.6);
        let other = Settings { review, auto, generic_max, holders_max, business_keys, ..rules };
        let disk = MemDisk::new();
        let engine = open(&disk);
        for one in arrange(&writes, &deletes, &[], &[]) {
            step(&engine, &one);
        }
        let records = stored(&engine);
        if !records.is_empty() {
            let before = contacts(&engine);
            set(&engine, &other);
            let scratch = open(&MemDisk::new());
            set(&scratch, &other);
            put(&scratch, records);
            prop_assert_eq!(without_ids(&engine), without_ids(&scratch));
            prop_assert_eq!(questions(&engine), questions(&scratch));
            set(&engine, &Settings::default());
            prop_assert_eq!(&without_ids(&engine), &golden_of(&before));
            check_ids_lead_on(&engine, &before)?;
            let fingerprint = engine.view(&tenant()).unwrap().fingerprint();
            drop(engine);
            prop_assert_eq!(open(&disk).view(&tenant()).unwrap().fingerprint(), fingerprint);
        }
    }
}

/// Compares the answer to a query, which goes through the index, with what comparing it with every stored record gives:
/// whoever shares a live key is there, by the best of their records, with the very score.
fn check_full_scan(engine: &Engine, asked: &InputRecord) -> std::result::Result<(), TestCaseError> {
    let view = engine.view(&tenant()).unwrap();
    let query = MatchQuery {
        input: asked.clone(),
        limit: 100,
        threshold: 0.0,
        explain: ExplainLevel::None,
        exclude: Vec::new(),
    };
    let answer = view.match_contact(&query).unwrap();
    prop_assert!(!answer.truncated);
    let mut expected = 0;
    let contacts = view.export_ids().into_iter().map(|id| view.contact(id).unwrap());
    for contact in contacts.filter(|contact| !contact.deleted) {
        let why = |record: &RecordHead| {
            view.why(&Side::Inline(Box::new(asked.clone())), &Side::Record(record.record_id)).unwrap()
        };
        let compared: Vec<(RecordId, _)> =
            contact.records.iter().map(|record| (record.record_id, why(record))).collect();
        let weight = |one: &WhyAnswer| one.explanation.weight;
        let best = compared.iter().filter(|(_, one)| one.candidate).map(|(_, one)| weight(one)).max();
        expected += usize::from(best.is_some());
        let shown = answer.candidates.iter().find(|shown| shown.contact_id == contact.id);
        let Some(shown) = shown else {
            prop_assert_eq!(best, None, "a contact with a live key in common is missing: {:?}", contact);
            continue;
        };
        let (_, one) = compared.iter().find(|(record, _)| *record == shown.record_id).unwrap();
        prop_assert_eq!((shown.weight_bits, shown.score, shown.grade), (weight(one).bits(), one.score, one.grade));
        prop_assert_eq!(&shown.match_key, &one.explanation.match_key());
        if one.candidate {
            prop_assert_eq!(Some(weight(one)), best, "{:?}", shown);
            prop_assert_eq!(
                shown.found_by.iter().copied().collect::<BTreeSet<_>>(),
                one.shared_keys.iter().copied().collect()
            );
        } else {
            // Found by a similar name alone, which is no worse than what a key would have found.
            prop_assert_eq!(&shown.found_by, &["similar_name"]);
            prop_assert!(best.is_none_or(|best| best <= weight(one)), "{:?}", shown);
            expected += usize::from(best.is_none());
        }
    }
    prop_assert_eq!(answer.candidates.len(), expected);
    prop_assert!(answer.candidates.is_sorted_by(|a, b| a.weight_bits >= b.weight_bits));
    Ok(())
}

fn undo(engine: &Engine, merge: MergeId) -> Vec<EntityId> {
    match submit(engine, Command::UndoMerge { merge }).unwrap().answer {
        Answer::Parts(parts) => parts,
        other => panic!("an undo answers with parts, not {other:?}"),
    }
}

/// News about one of the stored records that no comparison reads.
fn note(engine: &Engine) -> InputRecord {
    let mut record = stored(engine).remove(0);
    record.version = Some(50);
    record.source_updated_at = Some(Millis(1_790_000_000_000));
    record.fields.notes = Some("met again".into());
    record
}

fn ids(engine: &Engine) -> BTreeMap<Keys, EntityId> {
    contacts(engine).into_iter().map(|(keys, (id, _))| (keys, id)).collect()
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_merge_undone_leaves_everything_as_it_was(
        (writes, deletes) in writes(),
        picks in proptest::collection::vec(any::<Index>(), 2..4),
        between in any::<bool>(),
    ) {
        let engine = run(&arrange(&writes, &deletes, &[], &[]));
        let before = contacts(&engine);
        let all: Vec<EntityId> = before.values().map(|(id, _)| *id).collect();
        prop_assume!(all.len() >= 2);
        let picked: BTreeSet<EntityId> = picks.iter().map(|pick| all[pick.index(all.len())]).collect();
        prop_assume!(picked.len() >= 2);
        let picked: Vec<EntityId> = picked.into_iter().collect();
        let survivor = Some(picked[picks[0].index(picked.len())]);
        let command = Command::Merge { contacts: picked.clone(), survivor, reason: None, dry_run: false };
        submit(&engine, command).unwrap();
        let redirected = engine.view(&tenant()).unwrap().contact(*picked.iter().find(|id| Some(**id) != survivor).unwrap());
        let moved = matches!(redirected, Err(Error::Moved { survivor: to }) if Some(to) == survivor);
        prop_assert!(moved, "a merged id redirects");
        check_whole(&engine)?;
        if between {
            put(&engine, vec![note(&engine)]);
            upsert(&engine, r#"{"source":"x","source_record_id":"x","name":"Quentin Xavier","version":1}"#);
        }
        let view = engine.view(&tenant()).unwrap();
        let merges = view.merges(picked.len() - 1, None).unwrap().items;
        for merge in merges {
            prop_assert_eq!(undo(&engine, merge.merge_id).len(), 2);
        }
        check_whole(&engine)?;
        if between {
            let mut now = ids(&engine);
            now.retain(|keys, _| !keys.iter().any(|key| *key.source == *"x"));
            prop_assert_eq!(now, before.into_iter().map(|(keys, (id, _))| (keys, id)).collect());
        } else {
            prop_assert_eq!(contacts(&engine), before);
        }
    }

    #[test]
    fn a_match_foretells_the_upsert((writes, deletes) in writes(), mut asked in said(1)) {
        asked.key = 100;
        let engine = run(&arrange(&writes, &deletes, &[], &[]));
        let query = MatchQuery {
            input: asked.record(), limit: 10, threshold: 0.5, explain: ExplainLevel::None, exclude: Vec::new(),
        };
        let answer = engine.view(&tenant()).unwrap().match_contact(&query).unwrap();
        let result = put(&engine, vec![asked.record()]).remove(0);
        let expected = match answer.decision {
            Verdict::Match => Outcome::Merged,
            Verdict::Review => Outcome::Review,
            Verdict::NoMatch => Outcome::Created,
        };
        prop_assert_eq!(result.outcome, expected, "{:?} {:?}", answer, result);
    }

    #[test]
    fn a_match_answers_as_a_full_scan_does((writes, deletes) in writes(), mut asked in said(1)) {
        asked.key = 100;
        let engine = run(&arrange(&writes, &deletes, &[], &[]));
        check_full_scan(&engine, &asked.record())?;
    }

    #[test]
    fn an_automatic_merge_undone_gives_the_old_contact_back((writes, deletes) in writes(), mut late in said(1)) {
        late.key = 100;
        let engine = run(&arrange(&writes, &deletes, &[], &[]));
        let before = contacts(&engine);
        let seen = engine.view(&tenant()).unwrap().merges(1000, None).unwrap().items.len();
        let result = put(&engine, vec![late.record()]).remove(0);
        let merges = engine.view(&tenant()).unwrap().merges(1000, None).unwrap().items;
        prop_assume!(result.outcome == Outcome::Merged && merges.len() == seen + 1);
        let joined = engine.view(&tenant()).unwrap().contact(merges[0].survivor).unwrap().records.len();
        let parts = undo(&engine, merges[0].merge_id);
        check_whole(&engine)?;
        let after = contacts(&engine);
        // Three parts where the newcomer, who is still one more person with a mailbox, keeps it from joining the others.
        prop_assert!(parts.len() == 2 || parts.len() == 3, "{parts:?}");
        // A newcomer can also move others; exact is what stood before and lost nothing to it.
        let old = before.iter().find(|(keys, (id, _))| *id == merges[0].survivor && keys.len() + 1 == joined);
        if let (Some((keys, old)), 2) = (old, parts.len()) {
            prop_assert_eq!(after.get(keys), Some(old));
        }
        // Nothing of it stays behind: without the newcomer all is as it was.
        step(&engine, &Step::Delete(100));
        prop_assert_eq!(golden_of(&contacts(&engine)), golden_of(&before));
    }
}

#[test]
fn equal_content_with_a_newer_version_still_moves_the_record_on() {
    let says = |name, version| Said { key: 0, version, name, email: None, phone: Some(0), birthday: None };
    let json = |name, version: u64| {
        let mut record = says(name, version).record();
        record.fields.organization = None;
        record
    };
    let names = |order: [(usize, u64); 3]| {
        let engine = open(&MemDisk::new());
        order.into_iter().for_each(|(name, version)| drop(put(&engine, vec![json(name, version)])));
        contacts(&engine).into_values().next().unwrap().1.name
    };
    assert_eq!(names([(0, 1), (4, 2), (0, 3)]), "John Smith");
    assert_eq!(names([(0, 1), (0, 3), (4, 2)]), "John Smith");
}

#[test]
fn undoing_one_of_several_merges_keeps_the_others() {
    let engine = open(&MemDisk::new());
    let made = |json: &str| upsert(&engine, json).contact_id.unwrap();
    let a = made(r#"{"source":"s","source_record_id":"1","name":"Ann Able"}"#);
    let b = made(r#"{"source":"s","source_record_id":"2","name":"Ben Baker"}"#);
    let c = made(r#"{"source":"s","source_record_id":"3","name":"Cid Carter"}"#);
    let command = Command::Merge { contacts: vec![a, b, c], survivor: Some(a), reason: None, dry_run: false };
    submit(&engine, command).unwrap();
    let merges = engine.view(&tenant()).unwrap().merges(10, None).unwrap().items;
    let of_b = merges.iter().find(|merge| merge.losers == [b]).unwrap();
    assert_eq!(undo(&engine, of_b.merge_id), [a, b]);
    let left: BTreeSet<EntityId> = ids(&engine).into_values().collect();
    assert_eq!(left, BTreeSet::from([a, b]), "c stays merged into a");
    let of_c = merges.iter().find(|merge| merge.losers == [c]).unwrap();
    undo(&engine, of_c.merge_id);
    let left: BTreeSet<EntityId> = ids(&engine).into_values().collect();
    assert_eq!(left, BTreeSet::from([a, b, c]));
}

#[test]
fn undo_leaves_the_survivor_its_id_when_its_first_record_is_gone() {
    let engine = open(&MemDisk::new());
    let with_phone = r#"{"source":"s","source_record_id":"1","name":"Mary Miller","phone":"+12125550100"}"#;
    let a = upsert(&engine, with_phone).contact_id.unwrap();
    let b = upsert(&engine, r#"{"source":"s","source_record_id":"2","name":"John Smith"}"#).contact_id.unwrap();
    let later = upsert(&engine, &with_phone.replace("\"1\"", "\"3\""));
    assert_eq!((later.outcome, later.contact_id), (Outcome::Merged, Some(a)));
    let first = RecordKey { source: "s".into(), source_record_id: "1".into() };
    submit(&engine, Command::DeleteRecord { key: first }).unwrap();
    let before = contacts(&engine);
    let command = Command::Merge { contacts: vec![a, b], survivor: Some(a), reason: None, dry_run: false };
    let Answer::Merged { merge_id, .. } = submit(&engine, command).unwrap().answer else { panic!("not merged") };
    assert_eq!(undo(&engine, merge_id.unwrap()), [a, b]);
    assert_eq!(contacts(&engine), before);
}

fn once(engine: &Engine, json: &str, body: u8) -> Result<Receipt> {
    let context = Context { actor: "test".into(), idempotency: Some(("key-1".into(), [body; 32])) };
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    engine.submit_blocking(&tenant(), command, context)
}

#[test]
fn a_repeated_request_gets_the_first_answer_also_after_a_restart() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    upsert(
        &engine,
        r#"{"source":"a","source_record_id":"1","name":"John Smith","email":"js@example.com","phone":"+12125550100"}"#,
    );
    let json =
        r#"{"source":"b","source_record_id":"2","name":"John Smith","email":"js@example.com","phone":"+12125550100"}"#;
    let first = format!("{:?}", once(&engine, json, 1).unwrap().answer);
    assert!(first.contains("Merged"), "{first}");
    let seq = engine.view(&tenant()).unwrap().seq();
    let check = |engine: &Engine, when: &str| {
        let again = once(engine, json, 1).unwrap();
        assert_eq!(format!("{:?}", again.answer), first, "{when}");
        assert_eq!(again.seq, seq, "a repeat changes nothing: {when}");
        let other = once(engine, json, 2).unwrap_err();
        assert!(matches!(other, Error::Conflict { code: "idempotency_key_reused", .. }), "{when}: {other}");
    };
    check(&engine, "at once");
    drop(engine);
    let engine = open(&disk);
    check(&engine, "replayed");
    engine.snapshot().unwrap();
    drop(engine);
    check(&open(&disk), "from the snapshot");
}

#[test]
fn a_deleted_contact_comes_back_only_with_news() {
    let engine = open(&MemDisk::new());
    let json = r#"{"source":"a","source_record_id":"1","name":"John Smith","phone":"+12125550100"}"#;
    let contact = upsert(&engine, json).contact_id.unwrap();
    submit(&engine, Command::Delete { contact }).unwrap();
    let gone = |engine: &Engine| !engine.view(&tenant()).unwrap().export_ids().contains(&contact);
    assert!(gone(&engine));
    assert_eq!(upsert(&engine, json).outcome, Outcome::Unchanged);
    assert!(gone(&engine), "an unchanged import leaves it deleted");
    let newer = r#"{"source":"a","source_record_id":"1","name":"John Smith","phone":"+12125550100","version":7}"#;
    assert_eq!(upsert(&engine, newer).outcome, Outcome::Unchanged);
    assert!(gone(&engine), "a new version with the same content is no news");
    let changed = r#"{"source":"a","source_record_id":"1","name":"John A. Smith","phone":"+12125550100","version":8}"#;
    let result = upsert(&engine, changed);
    assert_eq!((result.outcome, result.contact_id), (Outcome::Updated, Some(contact)));
    assert!(result.issues.iter().any(|issue| issue.code == "contact_revived"), "{:?}", result.issues);
    assert!(!gone(&engine));
    submit(&engine, Command::Delete { contact }).unwrap();
    submit(&engine, Command::Restore { contact }).unwrap();
    assert!(!gone(&engine));
}

#[test]
fn eight_threads_with_the_same_new_person_make_one_contact() {
    let engine = open(&MemDisk::new());
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let (engine, start) = (Arc::clone(&engine), Arc::clone(&start));
            std::thread::spawn(move || {
                let json = format!(
                    r#"{{"source":"s{number}","source_record_id":"1","name":"Zoë Zyskowski","email":"zoe@example.com","phone":"+12125550100"}}"#
                );
                start.wait();
                upsert(&engine, &json).outcome
            })
        })
        .collect();
    let outcomes: Vec<Outcome> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Created).count(), 1, "{outcomes:?}");
    let found = contacts(&engine);
    assert_eq!(found.len(), 1);
    assert_eq!(found.keys().next().unwrap().len(), 8);
}

#[test]
fn a_patch_survives_a_merge_and_its_undo() {
    let engine = open(&MemDisk::new());
    let a = upsert(&engine, r#"{"source":"s","source_record_id":"1","name":"Ann Able"}"#).contact_id.unwrap();
    let b = upsert(&engine, r#"{"source":"s","source_record_id":"2","name":"Ben Baker"}"#).contact_id.unwrap();
    let set = Fields { notes: Some("by hand".into()), ..Fields::default() };
    let touched = vec!["notes".to_owned()];
    submit(&engine, Command::Patch { contact: b, set: Box::new(set), touched }).unwrap();
    let command = Command::Merge { contacts: vec![a, b], survivor: None, reason: None, dry_run: false };
    let Answer::Merged { merge_id, .. } = submit(&engine, command).unwrap().answer else { panic!("not merged") };
    let notes = |id| engine.view(&tenant()).unwrap().contact(id).unwrap().fields.notes;
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, 1, "an edit is nobody's record");
    assert_eq!(notes(a).as_deref(), Some("by hand"));
    undo(&engine, merge_id.unwrap());
    assert_eq!((notes(a), notes(b).as_deref()), (None, Some("by hand")));
}
