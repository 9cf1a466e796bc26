//! A tenant learns from its own records: training, looking ahead, activating, coming back, and all of it after a restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use selfsame::engine::Engine;
use selfsame::engine::api::{
    Answer, Command, Context, Decision, ExplainLevel, MatchQuery, ModelCard, ModelStatus, ReviewQuery, Side,
};
use selfsame::error::Error;
use selfsame::formats::InputRecord;
use selfsame::host::MemDisk;
use selfsame::matching::model::Model;
use selfsame::matching::token::{Shares, hash};
use selfsame::model::ids::{EntityId, Millis, ModelId, RecordKey, TenantId};
use selfsame::model::settings::Settings;
use selfsame::normalize::{Normalizer, Rules};
use selfsame::resolve::prepare::prepare;
use selfsame::resolve::upsert::{Now, Step, decide};
use selfsame::store::form::to_form;
use selfsame::store::shard::Shard;

use crate::engine::{open, record, tenant};
use crate::properties::{put, submit};
use crate::simulate::without_snapshots;

const GIVEN: [&str; 12] =
    ["Karla", "Monika", "Tina", "Vera", "Otto", "Ralf", "Sven", "Bruno", "Edith", "Jonas", "Petra", "Wanda"];
const FAMILY: [&str; 9] =
    ["Lindqvist", "Okonkwo", "Vandermeulen", "Sobotka", "Marchetti", "Yilmaz", "Kowalczyk", "Ferreira", "Haugen"];

/// Two records of each person: one from the CRM with everything, one from a phone with a part of it that depends on the
/// person. Some of these need a prior that fits the tenant to be joined.
pub fn people(count: usize) -> Vec<InputRecord> {
    (0..count).flat_map(|n| [crm(n), phone(n)]).collect()
}

fn name(n: usize) -> (String, String) {
    (GIVEN[n % 12].to_owned(), format!("{}{}", FAMILY[n / 12 % 9], ["", "sson", "ova"][n / 108 % 3]))
}

fn birthday(n: usize) -> String {
    format!("19{:02}-{:02}-{:02}", 40 + n * 7 % 60, 1 + n % 12, 1 + n * 5 % 28)
}

fn crm(n: usize) -> InputRecord {
    let (given, family) = name(n);
    record(&format!(
        r#"{{"source":"crm","source_record_id":"c{n:04}","first_name":"{given}","last_name":"{family}","birthday":"{}",
        "phone":"+1212555{:04}","organization":"Works {}","addresses":[{{"city":"Town {}","postal_code":"{:05}"}}]}}"#,
        birthday(n),
        n % 10_000,
        n % 40,
        n % 25,
        10_000 + n % 25
    ))
}

fn phone(n: usize) -> InputRecord {
    let (given, family) = name(n);
    let more = match n % 4 {
        0 => format!(r#","phone":"+1212555{:04}""#, n % 10_000),
        1 => format!(r#","birthday":"{}""#, birthday(n)),
        2 => format!(r#","organization":"Works {}""#, n % 40),
        _ => format!(r#","addresses":[{{"city":"Town {}","postal_code":"{:05}"}}]"#, n % 25, 10_000 + n % 25),
    };
    record(&format!(
        r#"{{"source":"phone","source_record_id":"p{n:04}","first_name":"{given}","last_name":"{family}"{more}}}"#
    ))
}

/// Waits until no training runs.
pub fn trained(engine: &Engine, id: ModelId) -> ModelCard {
    for _ in 0..60_000 {
        let card = engine.model(&tenant(), id).unwrap();
        if card.status != ModelStatus::Training {
            return card;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the training does not end");
}

fn train(engine: &Arc<Engine>) -> ModelCard {
    // The place is given back a moment after the card is there.
    let begun = (0..1000).find_map(|_| match engine.train(&tenant(), "tester") {
        Err(Error::Busy { .. }) => {
            std::thread::sleep(Duration::from_millis(2));
            None
        }
        begun => Some(begun.unwrap()),
    });
    let begun = begun.unwrap();
    assert_eq!(begun.status, ModelStatus::Training);
    trained(engine, begun.id)
}

fn activate(engine: &Engine, model: ModelId) -> usize {
    match submit(engine, Command::ActivateModel { model }).unwrap().answer {
        Answer::Done(changed) => changed.len(),
        other => panic!("an activation answers with contacts, not {other:?}"),
    }
}

/// Contacts as sets of record keys.
fn partition(engine: &Engine) -> BTreeSet<BTreeSet<RecordKey>> {
    let view = engine.view(&tenant()).unwrap();
    let keys = |id: EntityId| view.contact(id).unwrap().records.into_iter().map(|record| record.key).collect();
    view.export_ids().into_iter().map(keys).collect()
}

fn fingerprint(engine: &Engine) -> String {
    engine.view(&tenant()).unwrap().fingerprint()
}

/// What the records become in an empty tenant that has decided by the model from the first day.
fn from_scratch(model: &Arc<Model>, records: &[InputRecord]) -> BTreeSet<BTreeSet<RecordKey>> {
    let mut shard = Shard::new(TenantId(1), "empty", Arc::clone(model));
    let normalizer = Arc::new(Normalizer::new(Rules::from_settings(&Settings::default())));
    let mut next = 0u128;
    for one in records {
        let prepared = prepare(one.clone(), &normalizer, &[0; 32]);
        let now = Now { at: Millis(1), actor: "test" };
        let decided = decide(&shard, &prepared, false, now, &mut || {
            next += 1;
            next
        });
        for step in decided.steps {
            match step {
                Step::Put(version) => shard.apply_put(version),
                Step::Event(event) => shard.apply(event),
            }
        }
    }
    let key = |slot: &u32| shard.slot(*slot).unwrap().current.as_ref().unwrap().stored.key.clone();
    let contacts = shard.entity_order.iter().map(|id| shard.entity(*id).unwrap());
    contacts.filter(|contact| !contact.members.is_empty()).map(|c| c.members.iter().map(key).collect()).collect()
}

fn filled(disk: &MemDisk, records: Vec<InputRecord>) -> Arc<Engine> {
    let engine = open(disk);
    for batch in records.chunks(200) {
        put(&engine, batch.to_vec());
    }
    engine
}

#[test]
fn a_tenant_learns_looks_ahead_activates_and_comes_back() {
    let disk = MemDisk::new();
    let records = people(100);
    let engine = filled(&disk, records.clone());
    let before = partition(&engine);
    let card = train(&engine);
    assert_eq!((card.status, card.reason.as_deref(), card.records), (ModelStatus::Ready, None, Some(200)), "{card:?}");
    assert!(card.levels.len() > 5 && card.size_class == Some(5) && card.prior_after > card.prior_before, "{card:?}");
    assert_eq!(partition(&engine), before, "training alone changes nothing");

    let preview = engine.preview(&tenant(), card.id).unwrap();
    assert_eq!(partition(&engine), before, "nor does a look ahead");
    let stats = engine.view(&tenant()).unwrap().stats();
    assert_eq!((preview.contacts_now, preview.reviews_now), (stats.contacts, stats.reviews_open));
    assert!(preview.merge.count + preview.split.count > 0, "{preview:?}");
    assert!(preview.merge.examples.len() <= 20 && preview.stay.examples.len() <= 20);

    assert!(activate(&engine, card.id) > 0);
    let stats = engine.view(&tenant()).unwrap().stats();
    assert_eq!((preview.contacts_then, preview.reviews_then), (stats.contacts, stats.reviews_open), "as foretold");
    let after = partition(&engine);
    let meets = |one: &BTreeSet<RecordKey>, of: &BTreeSet<BTreeSet<RecordKey>>| {
        of.iter().filter(|other| !other.is_disjoint(one)).count() > 1
    };
    assert_eq!(after.iter().filter(|contact| meets(contact, &before)).count() as u64, preview.merge.count);
    assert_eq!(before.iter().filter(|contact| meets(contact, &after)).count() as u64, preview.split.count);
    assert_eq!(before.intersection(&after).count() as u64, preview.stay.count);
    assert_eq!(after, from_scratch(engine.view(&tenant()).unwrap().model(), &records), "as if from the first day");

    let seq = engine.view(&tenant()).unwrap().seq();
    assert_eq!(activate(&engine, card.id), 0);
    assert_eq!(engine.view(&tenant()).unwrap().seq(), seq, "activating the active one is no event");
    let again = engine.preview(&tenant(), card.id).unwrap();
    assert_eq!((again.merge.count, again.split.count, again.contacts_then), (0, 0, stats.contacts));

    activate(&engine, ModelId::DEFAULT);
    assert_eq!(partition(&engine), before, "the old model brings the old contacts back");
    let states: Vec<_> = engine.models(&tenant()).unwrap().into_iter().map(|card| card.status).collect();
    assert_eq!(states, [ModelStatus::Active, ModelStatus::Retired]);
}

#[test]
fn models_outlive_a_restart_from_journal_and_from_snapshot() {
    let disk = MemDisk::new();
    let engine = filled(&disk, people(70));
    let card = train(&engine);
    assert_eq!(card.status, ModelStatus::Ready, "{card:?}");
    engine.snapshot().unwrap();
    activate(&engine, card.id);
    put(&engine, vec![crm(500), phone(500)]);
    let check = |engine: &Arc<Engine>, expected: &str, query: &str, what: &str| {
        assert_eq!(fingerprint(engine), expected, "{what}");
        let view = engine.view(&tenant()).unwrap();
        assert_eq!(view.model_id(), card.id, "{what}");
        assert_eq!(asked(engine), query, "features are those of the model: {what}");
        let listed = engine.model(&tenant(), card.id).unwrap();
        assert_eq!((listed.status, &listed.levels), (ModelStatus::Active, &card.levels), "{what}");
    };
    let (expected, query) = (fingerprint(&engine), asked(&engine));
    drop(engine);
    check(&open(&without_snapshots(&disk)), &expected, &query, "from the journal alone");
    let engine = open(&disk);
    check(&engine, &expected, &query, "from a snapshot before the activation, and the journal behind it");
    engine.snapshot().unwrap();
    drop(engine);
    let engine = open(&disk);
    check(&engine, &expected, &query, "from a snapshot after the activation");
    put(&engine, people(75).split_off(140));
    let (expected, query) = (fingerprint(&engine), asked(&engine));
    drop(engine);
    let engine = open(&disk);
    check(&engine, &expected, &query, "and the records behind it");
    let stats = engine.view(&tenant()).unwrap().stats();
    assert_eq!((stats.model, stats.model_records_max), (card.id, 1024));
}

/// A match with its evidence, which shows the model's weights and frequencies.
fn asked(engine: &Engine) -> String {
    let input = record(r#"{"name":"Karla Lindqvist","phone":"+12125550000","organization":"Works 0"}"#);
    let query = MatchQuery { input, limit: 5, threshold: 0.1, explain: ExplainLevel::Full, exclude: Vec::new() };
    let answer = engine.view(&tenant()).unwrap().match_contact(&query).unwrap();
    assert!(!answer.candidates.is_empty());
    let shown = |c: &selfsame::engine::api::Candidate| format!("{} {:?}", c.contact_id, c.explanation);
    answer.candidates.iter().map(shown).collect()
}

#[test]
fn what_is_learned_depends_on_no_order() {
    let (forwards, backwards) = (MemDisk::new(), MemDisk::new());
    let mut records = people(70);
    let one = filled(&forwards, records.clone());
    records.reverse();
    let other = filled(&backwards, records);
    let models: Vec<Vec<u8>> = [&one, &other]
        .into_iter()
        .map(|engine| {
            let card = train(engine);
            activate(engine, card.id);
            to_form(engine.view(&tenant()).unwrap().model())
        })
        .collect();
    assert_eq!(models[0], models[1]);
    assert_eq!(partition(&one), partition(&other));
    let again = train(&one);
    activate(&one, again.id);
    assert_eq!(to_form(one.view(&tenant()).unwrap().model()), models[0], "nor on the model that decides");
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let engine = filled(&MemDisk::new(), people(10));
    assert!(matches!(
        engine.train(&selfsame::model::ids::TenantName::parse("nobody").unwrap(), "x"),
        Err(Error::NotFound { code: "tenant_unknown", .. })
    ));
    let card = train(&engine);
    assert_eq!(card.status, ModelStatus::Refused);
    assert!(card.reason.as_deref().unwrap().contains("30 are needed"), "{card:?}");
    let refused = submit(&engine, Command::ActivateModel { model: card.id });
    let Err(Error::Conflict { code: "model_not_ready", reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("30 are needed"), "{reason}");
    assert!(matches!(engine.preview(&tenant(), card.id), Err(Error::Conflict { .. })));
    let unknown = ModelId(77);
    let answer = submit(&engine, Command::ActivateModel { model: unknown });
    assert!(matches!(answer, Err(Error::NotFound { code: "model_unknown", .. })), "{answer:?}");
    assert!(matches!(engine.preview(&tenant(), unknown), Err(Error::NotFound { .. })));
    assert!(matches!(engine.model(&tenant(), unknown), Err(Error::NotFound { .. })));
}

#[test]
fn one_training_at_a_time_and_writes_go_on() {
    let engine = filled(&MemDisk::new(), people(100));
    let begun = engine.train(&tenant(), "tester").unwrap();
    assert!(matches!(engine.train(&tenant(), "tester"), Err(Error::Busy { .. })));
    let early = submit(&engine, Command::ActivateModel { model: begun.id });
    assert!(matches!(early, Err(Error::Conflict { code: "model_not_ready", .. })), "{early:?}");
    put(&engine, vec![crm(900), phone(900)]);
    let card = trained(&engine, begun.id);
    assert_eq!((card.status, card.records), (ModelStatus::Ready, Some(200)), "of the view it began with");
    let listed = engine.models(&tenant()).unwrap();
    assert_eq!(listed.iter().filter(|other| other.id == begun.id).count(), 1);
}

#[test]
fn a_stop_in_the_middle_of_a_training_leaves_nothing() {
    let disk = MemDisk::new();
    let engine = filled(&disk, people(100));
    let begun = engine.train(&tenant(), "tester").unwrap();
    let before = fingerprint(&engine);
    drop(engine);
    let engine = open(&disk);
    if fingerprint(&engine) == before {
        assert!(matches!(engine.model(&tenant(), begun.id), Err(Error::NotFound { .. })));
    }
    assert_eq!(train(&engine).status, ModelStatus::Ready, "and the place is free");
}

/// Sixty pairs that a person joined and sixty that a person kept apart.
fn judged(engine: &Engine) {
    let pair = |n: usize, more: [&str; 2]| {
        let (given, family) = (GIVEN[n % 12], format!("Zz{}berg", FAMILY[n / 12 % 9]));
        let one = |side: usize| {
            record(&format!(
                r#"{{"source":"s{side}","source_record_id":"j{n}-{side}","first_name":"{given}","last_name":"{family}","notes":"{}"}}"#,
                more[side]
            ))
        };
        vec![one(0), one(1)]
    };
    for n in 0..120 {
        let ids: Vec<EntityId> = put(engine, pair(n, ["a", "b"])).iter().filter_map(|r| r.contact_id).collect();
        if ids[0] == ids[1] {
            continue;
        }
        if n % 2 == 0 {
            let merge = Command::Merge { contacts: ids, survivor: None, reason: None, dry_run: false };
            submit(engine, merge).unwrap();
            continue;
        }
        let reviews = engine
            .view(&tenant())
            .unwrap()
            .reviews(&ReviewQuery { limit: 1000, ..ReviewQuery::default() })
            .unwrap()
            .items;
        let mine = reviews.iter().find(|review| ids.contains(&review.left) && ids.contains(&review.right));
        if let Some(review) = mine {
            let decide = Command::Decide { review: review.review_id, decision: Decision::Different, reason: None };
            submit(engine, decide).unwrap();
        } else {
            let merge = Command::Merge { contacts: ids, survivor: None, reason: None, dry_run: false };
            let Answer::Merged { merge_id, .. } = submit(engine, merge).unwrap().answer else { panic!() };
            submit(engine, Command::UndoMerge { merge: merge_id.unwrap() }).unwrap();
        }
    }
}

#[test]
fn verdicts_calibrate_and_explanations_still_sum() {
    let engine = filled(&MemDisk::new(), people(60));
    let without = train(&engine).calibration.unwrap();
    assert!(!without.fitted && (without.same, without.different) == (0, 0), "{without:?}");
    judged(&engine);
    let card = train(&engine);
    let done = card.calibration.unwrap();
    assert!(done.fitted && done.same >= 50 && done.different >= 50, "{done:?}");
    assert!((0.5..=1.5).contains(&done.scale), "{done:?}");
    activate(&engine, card.id);
    let view = engine.view(&tenant()).unwrap();
    let why = view.why(&Side::Inline(Box::new(crm(1))), &Side::Inline(Box::new(phone(1)))).unwrap().explanation;
    let sum = why.prior.0 + why.parts.iter().map(|part| part.weight.0).sum::<i32>();
    assert_eq!(sum, why.weight.0);
    let line = why.parts.iter().find(|part| part.comparison == "calibration").unwrap();
    assert!(line.level == "learned" && line.weight.0 != 0, "{why:?}");
    assert_eq!(partition(&engine).len() as u64, view.stats().contacts);
}

#[test]
fn a_repeat_of_an_activation_gets_the_first_answer() {
    let engine = filled(&MemDisk::new(), people(60));
    let card = train(&engine);
    let send = || {
        let context = Context { actor: "tester".into(), idempotency: Some(("once".into(), [3; 32])) };
        engine.submit_blocking(&tenant(), Command::ActivateModel { model: card.id }, context).unwrap()
    };
    let (first, second) = (send(), send());
    assert_eq!(first.seq, second.seq);
    assert_eq!(format!("{:?}", first.answer), format!("{:?}", second.answer));
}

/// Waits for a server's training over HTTP.
fn trained_over_http(server: &crate::server::Server) -> serde_json::Value {
    let begun = server.post("train", &serde_json::json!({}));
    assert_eq!(begun["status"], "training");
    loop {
        let model = server.get(&format!("models/{}", begun["id"].as_str().unwrap()));
        if model["status"] != "training" {
            return model;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file that `import` takes: two rows a person.
fn csv(count: usize) -> String {
    let mut text = String::from("id,first_name,last_name,birthday,phone,organization,city\n");
    for n in 0..count {
        let (given, family) = name(n);
        let (day, number) = (birthday(n), format!("+1212555{n:04}"));
        text.push_str(&format!("a{n},{given},{family},{day},{number},Works {},Town {}\n", n % 40, n % 25));
        text.push_str(&format!("b{n},{given},{family},{},{number},,Town {}\n", ["", &day][n % 2], n % 25));
    }
    text
}

#[test]
fn a_server_learns_over_http_and_from_the_command_line() {
    use crate::server::{Server, file, folder, stderr, stdout};
    let folder = folder();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let path = file(folder.path(), "people.csv", csv(60));
    assert!(server.run(&["import", path.to_str().unwrap(), "--source", "file"]).status.success());
    assert_eq!(
        server.get("stats")["model"],
        serde_json::json!({"id": "default", "records_max": 65536, "outgrown": false})
    );

    let model = trained_over_http(&server);
    assert_eq!((&model["status"], &model["records"]), (&"ready".into(), &120.into()), "{model}");
    assert!(model["levels"].as_array().unwrap().len() > 3 && model["records_max"] == 1024, "{model}");
    assert!(model["calibration"]["note"].as_str().unwrap().contains("50 of each"), "{model}");
    let id = model["id"].as_str().unwrap();
    let preview = server.post(&format!("models/{id}/preview"), &serde_json::json!({}));
    let contacts = server.contacts();
    assert_eq!(preview["contacts"]["now"], contacts, "{preview}");
    let activated = server.post(&format!("models/{id}/activate"), &serde_json::json!({}));
    assert_eq!(
        (&activated["model"]["status"], &preview["contacts"]["then"]),
        (&"active".into(), &server.contacts().into())
    );
    let (status, problem) = server.try_post("models/nonsense/activate", &serde_json::json!({}));
    assert_eq!((status, &problem["field"]), (400, &"id".into()), "{problem}");
    let unknown = "models/0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978/activate";
    let (status, problem) = server.try_post(unknown, &serde_json::json!({}));
    assert_eq!((status, &problem["code"]), (404, &"model_unknown".into()), "{problem}");

    let fingerprint = server.get("stats?fingerprint=true")["fingerprint"].clone();
    server.kill9();
    let server = Server::start(&data);
    assert_eq!(server.get("stats?fingerprint=true")["fingerprint"], fingerprint, "after kill -9");
    assert_eq!(server.get("stats")["model"]["id"], id);

    let back = server.run(&["train", "--model", "default", "--activate"]);
    assert!(stdout(&back).contains("It decides now"), "{} {}", stdout(&back), stderr(&back));
    assert_eq!(server.contacts(), contacts);
    let whole = server.run(&["train", "--preview", "--activate"]);
    let text = stdout(&whole);
    assert!(whole.status.success() && text.contains("Prior ") && text.contains("contacts would be made of"), "{text}");
    let json = server.run(&["train", "--model", id, "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(answer["model"]["status"], "retired");
    let bad = server.run(&["train", "--model", "../stats"]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));
    let listed: Vec<String> = server.get("models")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, ["retired", "retired", "active"]);
}

/// A model outlives the people whose records it was learned from. It held the hash of every name, and erasing somebody left
/// theirs in it.
#[test]
fn a_trained_model_lists_nothing_that_one_contact_alone_has() {
    let disk = MemDisk::new();
    let mut records = people(70);
    for (source, given) in [("crm", "Zbigniew"), ("phone", "Zbigniev")] {
        records.push(record(&format!(
            r#"{{"source":"{source}","source_record_id":"z","first_name":"{given}","last_name":"Zyskowski","birthday":"1961-02-03",
            "phone":"+48123456789","organization":"Zyx","addresses":[{{"city":"Zamosc","postal_code":"22-400"}}]}}"#
        )));
    }
    let engine = filled(&disk, records);
    let card = train(&engine);
    assert_eq!(card.status, ModelStatus::Ready, "{card:?}");
    activate(&engine, card.id);
    let view = engine.view(&tenant()).unwrap();
    let frequencies = &view.model().frequencies;
    let tables =
        [&frequencies.given, &frequencies.surname, &frequencies.city, &frequencies.postcode, &frequencies.word];
    let listed = |text: &str| {
        let among = |table: &&Shares| table.parts().0.iter().any(|(listed, _)| *listed == hash(text));
        let joint = [&frequencies.given_joint, &frequencies.surname_joint];
        tables.iter().any(among) || joint.iter().any(|table| table.contains_key(&hash(text)))
    };
    for text in ["zbigniew", "zbigniev", "zyskowski", "zyx", "zamosc", "22400"] {
        assert!(!listed(text), "{text}");
    }
    for text in ["karla", "lindqvist", "works", "town 3", "10003"] {
        assert!(listed(text), "{text}");
    }
}
