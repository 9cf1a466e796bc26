//! Upsert discipline: business keys are unique, retries are harmless, a dry run foretells the import, what contradicts
//! itself waits for a person, groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};

use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, Context, Mode, Outcome, Receipt, UpsertResult};
use selfsame::error::{Error, Result};
use selfsame::host::MemDisk;
use selfsame::model::ids::{EntityId, RecordId, Seq};
use selfsame::model::settings::Settings;
use serde_json::{Value, json};

use crate::engine::{open, record, tenant, upsert};
use crate::properties::{contacts, submit};
use crate::server::{Server, call, folder};

fn sent(engine: &Engine, record_json: &Value, mode: Mode) -> UpsertResult {
    let records = vec![record(&record_json.to_string())];
    match submit(engine, Command::Upsert { records, mode, dry_run: false }).unwrap().answer {
        Answer::Upserted(mut results) => results.remove(0),
        other => panic!("an upsert answers with results, not {other:?}"),
    }
}

/// The live contacts that show each email address, with whether each marks it as shared: a full scan.
pub fn holders(engine: &Engine) -> BTreeMap<String, BTreeMap<EntityId, bool>> {
    let view = engine.view(&tenant()).unwrap();
    let mut holders: BTreeMap<String, BTreeMap<EntityId, bool>> = BTreeMap::new();
    for id in view.export_ids() {
        let contact = view.contact(id).unwrap();
        for email in &contact.fields.emails {
            let marked = contact.shared.contains(&email.value);
            holders.entry(email.value.to_lowercase()).or_default().insert(id, marked);
        }
    }
    holders
}

const GIVEN: [&str; 8] = ["Amelia", "Bruno", "Clara", "Dmitri", "Elena", "Fabian", "Greta", "Hugo"];
const FAMILY: [&str; 7] = ["Abendroth", "Birnbaum", "Czerny", "Dorfler", "Eschenbach", "Fjeldstad", "Grabowski"];

/// Five things that sources say of one person, each in its own way; all that they share is some of their identifiers.
fn words_on(person: usize) -> Vec<Value> {
    let (given, family) = (GIVEN[person % 8], FAMILY[person % 7]);
    let email = format!("{}{}.{}@example.com", family.to_lowercase(), person * 7_919 % 1_000, given.to_lowercase());
    let other = format!("q{}@example.org", person * 104_729 % 99_991);
    let phone = format!("+1212555{:04}", person * 7_919 % 10_000);
    let one = |at: usize, said: Value| {
        let mut said = said;
        said["source"] = format!("s{at}").into();
        said["source_record_id"] = format!("p{person}").into();
        said
    };
    vec![
        one(0, json!({"name": format!("{given} {family}"), "email": email, "phone": phone})),
        one(1, json!({"name": format!("{family}, {given}"), "emails": [email.to_uppercase(), other]})),
        one(2, json!({"name": format!("{given} {family}"), "phone": phone.replace("+1212", "(212) ")})),
        one(3, json!({"email": other})),
        one(4, json!({"email": email, "organization": "Example Incorporated"})),
    ]
}

/// Sends from several threads at once; each takes every so many.
fn send_at_once(engine: &Arc<Engine>, records: &[Value], threads: usize, mode: Mode) -> Vec<UpsertResult> {
    let start = Arc::new(Barrier::new(threads));
    let records: Arc<[Value]> = records.into();
    let all: Vec<_> = (0..threads)
        .map(|thread| {
            let (engine, start, records) = (Arc::clone(engine), Arc::clone(&start), Arc::clone(&records));
            std::thread::spawn(move || {
                start.wait();
                let mine = records.iter().skip(thread).step_by(threads);
                mine.map(|one| sent(&engine, one, mode)).collect::<Vec<_>>()
            })
        })
        .collect();
    all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn business_keys_are_unique_among_live_contacts_whatever_the_concurrency() {
    const PEOPLE: usize = 56;
    let engine = open(&MemDisk::new());
    let mut records: Vec<Value> = (0..PEOPLE).flat_map(words_on).collect();
    // Prime to the count, so that the words on a person are far apart.
    records = (0..records.len()).map(|at| records[at * 11 % records.len()].clone()).collect();
    let shared = [
        json!({"source": "a", "source_record_id": "ann", "name": "Ann Keller", "email": "kellers@example.net"}),
        json!({"source": "a", "source_record_id": "otto", "name": "Otto Keller", "email": "kellers@example.net"}),
        json!({"source": "a", "source_record_id": "ida", "name": "Ida Lindqvist", "email": "info@example.net"}),
        json!({"source": "a", "source_record_id": "jon", "name": "Jon Marchetti", "email": "info@example.net"}),
    ];
    records.extend(shared);
    send_at_once(&engine, &records, 8, Mode::Merge);
    let judged = |number: &str| json!({"source": "j", "source_record_id": number, "email": "judged@example.net"});
    upsert(&engine, &judged("1").to_string());
    let joined = sent(&engine, &judged("2"), Mode::Merge);
    assert_eq!(joined.outcome, Outcome::Merged);
    let out = vec![joined.record_id.unwrap()];
    submit(&engine, Command::Split { contact: joined.contact_id.unwrap(), records: out }).unwrap();

    let mut exceptions = BTreeSet::new();
    for (email, held) in holders(&engine) {
        if held.len() > 1 {
            assert!(held.values().all(|marked| *marked), "{email} is marked as shared on all sides");
            exceptions.insert(email);
        } else {
            assert!(held.values().all(|marked| !*marked), "{email} is one contact's");
        }
    }
    let expected = ["info@example.net", "judged@example.net", "kellers@example.net"].map(str::to_owned);
    assert_eq!(exceptions, BTreeSet::from(expected), "what contradicts, what many share, what people said");
    assert_eq!(contacts(&engine).len(), PEOPLE + 6);
}

/// A record with nothing but an email once stayed apart from a contact whose other records do not know the email: its pairs
/// with them are silent, and the mean support of the join sank below the threshold.
#[test]
fn an_email_alone_joins_a_contact_of_many_records() {
    let engine = open(&MemDisk::new());
    for number in 0..5 {
        let said = json!({"source": "s", "source_record_id": format!("{number}"), "name": "Greta Fjeldstad", "phone": "+12125550100"});
        upsert(&engine, &said.to_string());
    }
    let known = json!({"source": "s", "source_record_id": "5", "name": "Greta Fjeldstad", "phone": "+12125550100", "email": "gf@example.com"});
    let contact = upsert(&engine, &known.to_string()).contact_id;
    let alone = json!({"source": "t", "source_record_id": "1", "email": "GF@example.com"});
    let result = upsert(&engine, &alone.to_string());
    assert_eq!((result.outcome, result.contact_id), (Outcome::Merged, contact));
    let other = json!({"source": "t", "source_record_id": "2", "name": "Hugo Czerny", "email": "gf@example.com"});
    assert_ne!(upsert(&engine, &other.to_string()).outcome, Outcome::Merged, "a name that contradicts it");
}

#[test]
fn without_business_keys_an_email_alone_asks_a_person() {
    let outcome = |business_keys: bool| {
        let engine = open(&MemDisk::new());
        let settings = Settings { business_keys, ..Settings::default() };
        submit(&engine, Command::PutSettings { settings: Box::new(settings) }).unwrap();
        upsert(&engine, r#"{"source":"a","source_record_id":"1","email":"x@example.com"}"#);
        upsert(&engine, r#"{"source":"a","source_record_id":"2","email":"x@example.com"}"#).outcome
    };
    assert_eq!((outcome(true), outcome(false)), (Outcome::Merged, Outcome::Review));
}

#[test]
fn strict_mode_leaves_every_business_key_one_holder() {
    const PEOPLE: usize = 30;
    let engine = open(&MemDisk::new());
    let said = |source: usize, person: usize| {
        json!({"source": format!("s{source}"), "source_record_id": format!("p{person}"), "name": format!("{} {}", GIVEN[person % 8], FAMILY[person % 7]),
            "emails": [format!("first{person}@example.com"), format!("second{person}@example.com")]})
    };
    let records: Vec<Value> = (0..8).flat_map(|source| (0..PEOPLE).map(move |person| said(source, person))).collect();
    let results = send_at_once(&engine, &records, 8, Mode::Strict);
    assert_eq!(results.iter().filter(|result| result.outcome == Outcome::Created).count(), PEOPLE);
    let held = holders(&engine);
    assert_eq!((held.len(), contacts(&engine).len()), (PEOPLE * 2, PEOPLE));
    assert!(held.values().all(|holders| holders.len() == 1));
    let live: BTreeSet<EntityId> = held.values().flat_map(|holders| holders.keys().copied()).collect();
    for refused in results.iter().filter(|result| result.outcome != Outcome::Created) {
        assert_eq!((refused.outcome, refused.record_id), (Outcome::Conflict, None));
        assert!(refused.contact_id.is_some_and(|holder| live.contains(&holder)));
        let issue = &refused.issues[0];
        assert_eq!((issue.field.as_str(), issue.code), ("emails", "identifier_taken"));
        assert!(issue.message.contains("mode merge"), "{}", issue.message);
    }
}

#[test]
fn strict_mode_says_what_is_taken_and_what_is_not() {
    let engine = open(&MemDisk::new());
    let ann = json!({"source": "a", "source_record_id": "1", "name": "Ann Keller", "email": "ann@example.com", "phone": "+12125550100",
        "external_ids": [{"system": "crm", "id": "77"}]});
    let first = sent(&engine, &ann, Mode::Strict);
    assert_eq!(first.outcome, Outcome::Created);
    let try_out = |said: Value| {
        let before = engine.view(&tenant()).unwrap().seq();
        let result = sent(&engine, &said, Mode::Strict);
        let refused = result.outcome == Outcome::Conflict;
        assert_eq!(refused, engine.view(&tenant()).unwrap().seq() == before, "a conflict writes nothing");
        assert!(!refused || result.contact_id == first.contact_id);
        refused.then(|| result.issues[0].field.clone())
    };
    let with = |number: &str, said: Value| {
        let mut said = said;
        said["source"] = "b".into();
        said["source_record_id"] = number.into();
        try_out(said)
    };
    assert_eq!(with("1", json!({"name": "Otto Keller", "email": "ANN@example.com"})).as_deref(), Some("emails"));
    let id = json!([{"system": "CRM", "id": "77"}]);
    assert_eq!(with("2", json!({"name": "Otto Keller", "external_ids": id})).as_deref(), Some("external_ids"));
    assert_eq!(
        with("3", json!({"name": "Otto Keller", "phone": "+12125550100"})),
        None,
        "a household's phone is no key"
    );
    assert_eq!(with("4", json!({"name": "Ida Lang", "email": "info@example.com"})), None);
    assert_eq!(with("5", json!({"name": "Jon Marr", "email": "info@example.com"})), None, "a role mailbox is nobody's");
    assert_eq!(
        with("4", json!({"name": "Ida Lang", "email": "ann@example.com"})).as_deref(),
        Some("emails"),
        "an update"
    );
    let mut changed = ann.clone();
    changed["job_title"] = "CTO".into();
    assert_eq!(try_out(changed), None, "one's own key is no conflict");
    submit(&engine, Command::Delete { contact: first.contact_id.unwrap() }).unwrap();
    assert_eq!(
        with("6", json!({"name": "Otto Keller", "email": "ann@example.com"})),
        None,
        "a deleted contact holds nothing"
    );
}

#[test]
fn strict_mode_over_http_answers_409_with_the_holder() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let ann = json!({"source": "a", "source_record_id": "1", "name": "Ann Keller", "email": "ann@example.com"});
    let otto = json!({"source": "a", "source_record_id": "2", "name": "Otto Keller", "email": "ann@example.com"});
    let made = server.post("contacts:upsert", &json!({"record": ann, "mode": "strict"}));
    let holder = &made["results"][0]["contact_id"];
    let strict = json!({"record": otto, "mode": "strict", "idempotency_key": "k"});
    let check = |server: &Server| {
        let (status, problem) = server.try_post("contacts:upsert", &strict);
        assert_eq!((status, &problem["code"], &problem["holder"]), (409, &json!("identifier_taken"), holder));
        assert_eq!(problem["field"], "emails");
        assert!(problem["detail"].as_str().unwrap().contains("mode merge"), "{problem}");
    };
    check(&server);
    check(&server);
    let dry = server.post("contacts:upsert", &json!({"record": otto, "mode": "strict", "dry_run": true}));
    assert_eq!((&dry["results"][0]["outcome"], &dry["results"][0]["contact_id"]), (&json!("conflict"), holder));
    let several = server.post("contacts:upsert", &json!({"records": [otto, ann], "mode": "strict"}));
    let outcomes: Vec<&Value> = several["results"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["conflict", "unchanged"]);
    server.kill9();
    let server = Server::start(&folder.path().join("data"));
    check(&server);
    let merged = server.post("contacts:upsert", &json!({"record": otto, "mode": "merge"}));
    assert_ne!(merged["results"][0]["outcome"], "conflict");
}

fn keyed(engine: &Engine, key: &str, json: &str) -> Result<Receipt> {
    let context = Context { actor: "test".into(), idempotency: Some((key.into(), [1; 32])) };
    let records = vec![record(json), record(r#"{"source":"manual","source_record_id":"1","name":"X"}"#)];
    engine.submit_blocking(&tenant(), Command::Upsert { records, mode: Mode::Merge, dry_run: false }, context)
}

#[test]
fn a_repeat_says_all_that_the_first_answer_said() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let contact = upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Ann Able"}"#).contact_id.unwrap();
    submit(&engine, Command::Delete { contact }).unwrap();
    let changed = r#"{"source":"a","source_record_id":"1","name":"Ann Able","phone":"12","category_code":"x"}"#;
    let first = keyed(&engine, "k", changed).unwrap();
    let Answer::Upserted(results) = &first.answer else { panic!("{:?}", first.answer) };
    let codes: Vec<&str> = results[0].issues.iter().map(|issue| issue.code).collect();
    assert!(codes.contains(&"category_invalid") && codes.last() == Some(&"contact_revived"), "{codes:?}");
    assert_eq!(results[1].issues.len(), 1);
    let check = |engine: &Engine| {
        let again = keyed(engine, "k", changed).unwrap();
        assert_eq!((format!("{:?}", again.answer), again.seq), (format!("{:?}", first.answer), first.seq));
    };
    check(&engine);
    drop(engine);
    let engine = open(&disk);
    check(&engine);
    engine.snapshot().unwrap();
    drop(engine);
    let engine = open(&disk);
    check(&engine);
    assert_eq!(upsert(&engine, changed).outcome, Outcome::Unchanged, "without a key equal content changes nothing");
}

#[test]
fn a_training_that_is_asked_for_again_is_the_same() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let records: Vec<Value> = (0..40).flat_map(words_on).collect();
    server.post("contacts:upsert", &json!({ "records": records }));
    let ask = |key: &str| server.try_post("train", &json!({ "idempotency_key": key }));
    let (status, first) = ask("k");
    assert_eq!(status, 202, "{first}");
    for _ in 0..3 {
        let (status, again) = ask("k");
        assert_eq!((status, &again["id"]), (202, &first["id"]));
    }
    let path = format!("models/{}", first["id"].as_str().unwrap());
    while server.get(&path)["status"] == "training" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(ask("k").1["id"], first["id"]);
    assert_ne!(ask("another").1["id"], first["id"]);
}

fn text(server: &Server, path: &str) -> String {
    let (status, body) = call(server.address(), "GET", &format!("/v1/tenants/main/{path}"), "", b"").unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    String::from_utf8(body).unwrap()
}

/// Line, outcome and contact of each row of a report.
fn report(server: &Server, import: &Value) -> Vec<[String; 3]> {
    let text = text(server, &format!("imports/{}/report", import["import_id"].as_str().unwrap()));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("line,outcome,contact_id,issues"));
    let cells = |line: &str| line.splitn(4, ',').map(str::to_owned).take(3).collect::<Vec<_>>().try_into().unwrap();
    lines.map(cells).collect()
}

#[test]
fn a_dry_run_foretells_the_import_line_by_line_and_changes_nothing() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let csv = |rows: &[String]| format!("id,name,email,phone\n{}\n", rows.join("\n")).into_bytes();
    let row = |id: &str, person: usize, phone: bool| {
        let said = &words_on(person)[0];
        let phone = if phone { said["phone"].as_str().unwrap() } else { "" };
        format!("{id},{},{},{phone}", said["name"].as_str().unwrap(), said["email"].as_str().unwrap())
    };
    let known: Vec<String> = (0..5).map(|person| row(&format!("k{person}"), person, false)).collect();
    server.send("imports?source=old", "text/csv", &csv(&known));
    // Known records unchanged and changed, known people, new people, the same new people again in a later batch, and nobody.
    let mut rows = vec![row("k0", 0, false), row("k1", 1, true), row("x2", 2, true)];
    rows.extend((10..540).map(|person| row(&format!("n{person}"), person, true)));
    rows.push("empty,,,".into());
    rows.extend((10..40).map(|person| row(&format!("m{person}"), person, false)));
    let (file, path) = (csv(&rows), "imports?source=old&dry_run=");
    let before = (server.get("stats?fingerprint=true"), server.export(), server.get("changes"));
    let (status, dry) = server.send(&format!("{path}true"), "text/csv", &file);
    assert_eq!((status, &dry["dry_run"]), (200, &json!(true)), "{dry}");
    assert_eq!(before, (server.get("stats?fingerprint=true"), server.export(), server.get("changes")));
    let (status, real) = server.send(&format!("{path}false"), "text/csv", &file);
    assert_eq!(status, 200);
    let (foretold, done) = (report(&server, &dry), report(&server, &real));
    assert_eq!(foretold.len(), rows.len());
    let outcomes = |lines: &[[String; 3]]| {
        lines.iter().map(|[line, outcome, _]| (line.clone(), outcome.clone())).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&foretold), outcomes(&done));
    for word in ["created", "updated", "unchanged", "merged", "review", "invalid"] {
        assert_eq!(dry[word], real[word], "{word}");
        let some = ["review"].contains(&word) || dry[word].as_u64().unwrap() > 0;
        assert!(some, "{word}: {dry}");
    }
    // Lines that name a line in the dry run name one contact in the import, and so do those that name a contact.
    let mut contact_of: BTreeMap<&String, &String> = BTreeMap::new();
    for ([_, outcome, before], [line, _, after]) in foretold.iter().zip(&done) {
        assert_eq!(before.starts_with("line "), outcome == "created" || before.starts_with("line "), "line {line}");
        assert_eq!(*contact_of.entry(before).or_insert(after), after, "line {line}");
    }
    assert_eq!(foretold[3][2], format!("line {}", foretold[3][0]));
    let joins =
        |[line, outcome, at]: &[String; 3]| outcome == "merged" && *at == foretold[3][2] && *line != foretold[3][0];
    assert!(foretold[500..].iter().any(joins), "a later batch sees the first");
    assert!(server.get("imports")["items"].as_array().unwrap().len() == 3);
}

#[test]
fn a_dry_run_makes_no_tenant() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let (status, dry) = server.send("/v1/tenants/other/imports?dry_run=true", "text/csv", b"name\nAnn Able\n");
    assert_eq!((status, &dry["created"]), (200, &json!(1)));
    assert_eq!(
        server.try_post("/v1/tenants/other/contacts:match", &json!({"contact": {"name": "Ann Able"}})).1["code"],
        "tenant_unknown"
    );
}

fn version_of(version: u64, at: Option<&str>, name: &str) -> String {
    let mut said = json!({"source": "a", "source_record_id": "1", "version": version, "name": name});
    if let Some(at) = at {
        said["source_updated_at"] = at.into();
    }
    said.to_string()
}

fn shown(engine: &Engine) -> String {
    contacts(engine)
        .into_values()
        .map(|(id, _)| engine.view(&tenant()).unwrap().contact(id).unwrap().canonical_name)
        .collect()
}

#[test]
fn a_higher_version_wins_then_a_later_time() {
    let (early, late) = (Some("2026-01-01T00:00:00Z"), Some("2026-02-01T00:00:00Z"));
    for (first, second, outcome, name) in [
        ((1, None), (2, None), Outcome::Updated, "New"),
        ((2, None), (1, None), Outcome::Stale, "Old"),
        ((1, late), (2, early), Outcome::Updated, "New"),
        ((2, early), (1, late), Outcome::Stale, "Old"),
        ((1, early), (1, late), Outcome::Updated, "New"),
        ((1, late), (1, early), Outcome::Stale, "Old"),
    ] {
        let engine = open(&MemDisk::new());
        upsert(&engine, &version_of(first.0, first.1, "Old"));
        let result = upsert(&engine, &version_of(second.0, second.1, "New"));
        assert_eq!((result.outcome, shown(&engine).as_str()), (outcome, name), "{first:?} {second:?}");
        assert!(engine.view(&tenant()).unwrap().conflicts(10, None).unwrap().items.is_empty());
    }
}

#[test]
fn what_a_source_contradicts_waits_for_a_person() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let said = |engine: &Engine, version: u64, name: &str| upsert(engine, &version_of(version, None, name));
    said(&engine, 1, "Ann Able");
    let second = said(&engine, 1, "Anna Able");
    assert_eq!(second.outcome, Outcome::Conflict);
    assert_eq!(second.issues.last().unwrap().code, "version_conflict");
    let other_way = open(&MemDisk::new());
    said(&other_way, 1, "Anna Able");
    said(&other_way, 1, "Ann Able");
    assert_eq!(shown(&engine), shown(&other_way), "what counts meanwhile does not depend on the order");

    let open_ones = |engine: &Engine| engine.view(&tenant()).unwrap().conflicts(10, None).unwrap().items;
    let conflict = open_ones(&engine).remove(0);
    assert_eq!((conflict.version, conflict.versions.len(), conflict.contact), (Some(1), 2, second.contact_id));
    let seq = engine.view(&tenant()).unwrap().seq();
    assert_eq!(
        said(&engine, 1, "Ann Able").outcome,
        if shown(&engine) == "Ann Able" { Outcome::Unchanged } else { Outcome::Conflict }
    );
    assert_eq!(
        said(&engine, 1, "Anna Able").outcome,
        if shown(&engine) == "Anna Able" { Outcome::Unchanged } else { Outcome::Conflict }
    );
    assert_eq!(engine.view(&tenant()).unwrap().seq(), seq, "a repeat of either is no news");

    let settle =
        |engine: &Engine, record: RecordId, keep: Seq| submit(engine, Command::SettleConflict { record, keep });
    let refused = settle(&engine, conflict.record_id, Seq(999)).unwrap_err();
    assert!(matches!(&refused, Error::Invalid { field, .. } if field == "keep"), "{refused}");
    let loser = conflict.versions.iter().find(|one| !one.counts).unwrap();
    let name = loser.fields.name.clone().unwrap();
    settle(&engine, conflict.record_id, loser.seq).unwrap();
    assert_eq!((shown(&engine), open_ones(&engine).len()), (name.clone(), 0));
    assert!(settle(&engine, conflict.record_id, loser.seq).is_err(), "it is settled");

    let engine = restart(engine, &disk);
    let overruled = if name == "Ann Able" { "Anna Able" } else { "Ann Able" };
    let again = said(&engine, 1, overruled);
    assert_eq!((again.outcome, again.issues.last().unwrap().code), (Outcome::Stale, "version_conflict_settled"));
    assert_eq!(shown(&engine), name, "it is never asked again");
    for third in ["Hannah Able", "Johanna Able", "Susanna Able"] {
        assert_eq!(said(&engine, 1, third).outcome, Outcome::Conflict);
    }
    assert_eq!(open_ones(&engine)[0].versions.len(), 5);
    let engine = restart(engine, &disk);
    assert_eq!(open_ones(&engine)[0].versions.len(), 5);
    assert_eq!(said(&engine, 0, "Old Able").outcome, Outcome::Stale);
    assert_eq!(open_ones(&engine).len(), 1, "an older version settles nothing");
    assert_eq!(said(&engine, 2, "Anja Able").outcome, Outcome::Updated);
    assert_eq!((shown(&engine).as_str(), open_ones(&engine).len()), ("Anja Able", 0), "a newer version does");
    said(&engine, 2, "Anke Able");
    submit(&engine, Command::DeleteRecord { key: record(&version_of(1, None, "X")).source_key() }).unwrap();
    assert!(open_ones(&engine).is_empty(), "a record that is gone contradicts nothing");
}

trait SourceKey {
    fn source_key(&self) -> selfsame::model::ids::RecordKey;
}

impl SourceKey for selfsame::formats::InputRecord {
    fn source_key(&self) -> selfsame::model::ids::RecordKey {
        let id = self.source_record_id.clone().unwrap();
        selfsame::model::ids::RecordKey { source: self.source.clone().into(), source_record_id: id.into() }
    }
}

/// The same from the journal alone and from a snapshot.
fn restart(engine: Arc<Engine>, disk: &MemDisk) -> Arc<Engine> {
    let before = engine.view(&tenant()).unwrap().fingerprint();
    drop(engine);
    let engine = open(disk);
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), before, "replayed");
    engine.snapshot().unwrap();
    drop(engine);
    let engine = open(disk);
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), before, "from the snapshot");
    engine
}

#[test]
fn conflicts_over_http() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let put = |name: &str| {
        let said = json!({"source": "a", "source_record_id": "1", "version": 3, "name": name});
        server.post("contacts:upsert", &json!({ "record": said }))["results"][0].clone()
    };
    put("Ann Able");
    assert_eq!(put("Anna Able")["outcome"], "conflict");
    let listed = server.get("conflicts");
    let conflict = &listed["items"][0];
    let names: BTreeSet<&str> =
        conflict["versions"].as_array().unwrap().iter().map(|one| one["record"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["Ann Able", "Anna Able"]));
    assert_eq!(
        (&conflict["version"], &conflict["source_record_id"], &listed["next_cursor"]),
        (&json!(3), &json!("1"), &json!(null))
    );
    let path = format!("conflicts/{}/decision", conflict["record_id"].as_str().unwrap());
    let (status, problem) = server.try_post(&path, &json!({"keep": 0}));
    assert_eq!((status, &problem["field"]), (400, &json!("keep")));
    let loser = conflict["versions"].as_array().unwrap().iter().find(|one| one["counts"] == false).unwrap();
    let decided = server.post(&path, &json!({"keep": loser["seq"], "idempotency_key": "k"}));
    assert_eq!(decided["affected"], json!([conflict["contact_id"]]));
    let again = server.post(&path, &json!({"keep": loser["seq"], "idempotency_key": "k"}));
    assert_eq!(decided, again);
    assert_eq!(server.get("conflicts")["items"], json!([]));
    assert_eq!(server.try_post(&path, &json!({"keep": loser["seq"]})).1["code"], "conflict_unknown");
    let contact = server.get(&format!("contacts/{}", conflict["contact_id"].as_str().unwrap()));
    assert_eq!(contact["canonical_name"], loser["record"]["name"]);
}

#[test]
fn groups_over_http() {
    let folder = folder();
    let mut server = Server::start(&folder.path().join("data"));
    let put = |server: &Server, number: &str, groups: Value| {
        let said = json!({"source": "a", "source_record_id": number, "name": format!("Person Number{number}"), "groups": groups});
        server.post("contacts:upsert", &json!({ "record": said }))["results"][0]["contact_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let send = |server: &Server, method: &str, slug: &str, body: &str| {
        let path = format!("/v1/tenants/main/groups/{slug}");
        let (status, body) = call(server.address(), method, &path, "application/json", body.as_bytes()).unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let (a, b) =
        (put(&server, "1", json!(["Book Club", "family"])), put(&server, "2", json!(["book-club", "BOOK club"])));
    let shows = |server: &Server, id: &str| server.get(&format!("contacts/{id}"))["groups"].clone();
    assert_eq!(
        (shows(&server, &a), shows(&server, &b)),
        (json!(["Book Club", "family"]), json!(["book-club"])),
        "one a slug"
    );
    let group = send(&server, "GET", "book-club", "").1;
    assert_eq!(
        (&group["name"], &group["contacts"], &group["created_at"]),
        (&json!("Book Club"), &json!(2), &json!(null))
    );
    assert_eq!(server.get("contacts?group=Book%20Club")["items"].as_array().unwrap().len(), 2);

    let (status, named) = send(&server, "PUT", "book-club", r#"{"name": "Readers", "description": "Mondays"}"#);
    assert_eq!(
        (status, &named["slug"], &named["name"], &named["contacts"]),
        (200, &json!("book-club"), &json!("Readers"), &json!(2))
    );
    let seq = named["seq"].clone();
    assert_eq!(
        send(&server, "PUT", "book-club", r#"{"name": "Readers", "description": "Mondays"}"#).1["seq"],
        seq,
        "no news"
    );
    assert_eq!(send(&server, "PUT", "chess", "").1["name"], "chess");
    let slugs = |server: &Server| {
        let page = server.get("groups");
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {}", one["slug"].as_str().unwrap(), one["contacts"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(slugs(&server), ["book-club 2", "chess 0", "family 1"]);
    let page = server.get("groups?limit=1");
    assert_eq!(
        server.get(&format!("groups?cursor={}", page["next_cursor"].as_str().unwrap()))["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let before = server.get(&format!("contacts/{a}"))["seq"].as_u64().unwrap();
    let (status, gone) = send(&server, "DELETE", "book-club", "");
    assert_eq!((status, &gone["contacts"]), (200, &json!(2)));
    assert_eq!((shows(&server, &a), shows(&server, &b)), (json!(["family"]), json!(null)));
    assert_eq!(
        server.get(&format!("contacts/{a}?as_of={before}"))["groups"],
        json!(["Book Club", "family"]),
        "the past stays"
    );
    let history = server.get(&format!("contacts/{a}/history"));
    let changes = history["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|change| change["field"] == "groups" && change["new"] == json!(["family"])),
        "{history}"
    );
    put(&server, "3", json!(["BOOK-CLUB"]));
    assert_eq!(slugs(&server), ["chess 0", "family 1"], "a record does not bring a deleted group back");
    assert_eq!(send(&server, "GET", "book-club", "").1["code"], "group_unknown");
    assert_eq!(send(&server, "DELETE", "book-club", "").0, 404);

    let state = |server: &Server| (server.get("stats?fingerprint=true"), slugs(server), server.export());
    for _ in 0..2 {
        let before = state(&server);
        server.kill9();
        server = Server::start(&folder.path().join("data"));
        assert_eq!(state(&server), before);
        server.post("/v1/admin/snapshot", &json!({}));
    }
    let (_, back) = send(&server, "PUT", "book-club", "");
    assert_eq!((&back["name"], &back["contacts"]), (&json!("book-club"), &json!(3)));
    assert_eq!(shows(&server, &b), json!(["book-club"]));
    for (method, slug, body, field) in [
        ("PUT", "Book%20Club", "", "slug"),
        ("GET", "a--b", "", "slug"),
        ("PUT", "a", r#"{"name": ""}"#, "name"),
        ("PUT", "a", r#"{"nmae": "x"}"#, "nmae"),
    ] {
        let (status, problem) = send(&server, method, slug, body);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{problem}");
    }
}

/// A dry run of a merge once named an id, which no undo could ever find.
#[test]
fn a_rehearsed_merge_names_nothing_to_undo() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let contacts: Vec<EntityId> = ["Mary Miller", "Otto Kern"]
        .map(|name| {
            upsert(&engine, &format!(r#"{{"source":"a","source_record_id":"{name}","name":"{name}"}}"#)).contact_id
        })
        .into_iter()
        .flatten()
        .collect();
    let merge = |dry_run| {
        let command = Command::Merge { contacts: contacts.clone(), survivor: None, reason: None, dry_run };
        match engine.submit_blocking(&tenant(), command, Context::default()).unwrap().answer {
            Answer::Merged { merge_id, .. } => merge_id,
            other => panic!("a merge is answered by a merge, not {other:?}"),
        }
    };
    assert_eq!(merge(true), None);
    assert_eq!(merge(false), Some(engine.view(&tenant()).unwrap().merges(1, None).unwrap().items[0].merge_id));
}
