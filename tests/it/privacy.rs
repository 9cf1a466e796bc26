//! What the law on personal data asks for: restriction, subject access, rectification, portability, the register.
//!
//! Restriction is tested in the engine, on disks that a test controls; the calls through the real program. Other people's data
//! is looked for byte by byte, each search made once where it must find something.

use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{
    Answer, Command, ConsentCommand, Context, ExplainLevel, ListQuery, MatchQuery, Mode, Policy, ReviewQuery,
    SearchQuery, Side, Verdict,
};
use selfsame::engine::{Engine, EngineOptions, View};
use selfsame::error::Error;
use selfsame::host::{Disk, MemDisk};
use selfsame::journal;
use selfsame::model::event::consent::Findable;
use selfsame::model::ids::{EntityId, RecordId};
use selfsame::model::settings::{Discovery, Privacy, Purpose, Settings};
use serde_json::{Value, json};

use crate::engine::{open, record, reopen, tenant, upsert, world};
use crate::properties::submit;
use crate::server::{Server, call, folder};

fn restrict(engine: &Engine, contact: EntityId, restricted: bool, reason: Option<&str>) {
    let reason = reason.map(str::to_owned);
    submit(engine, Command::Restrict { contact, restricted, reason }).unwrap();
}

fn view(engine: &Engine) -> View {
    engine.view(&tenant()).unwrap()
}

fn found(engine: &Engine, q: &str) -> Vec<EntityId> {
    engine.flush_text().unwrap();
    let query = SearchQuery { q: q.into(), list: ListQuery { limit: 50, ..ListQuery::default() } };
    engine.search(&tenant(), &query).unwrap().items.iter().map(|hit| hit.contact.id).collect()
}

fn asked(engine: &Engine, json: &str) -> (Verdict, Vec<EntityId>) {
    let (explain, exclude) = (ExplainLevel::None, Vec::new());
    let query = MatchQuery { input: record(json), limit: 10, threshold: 0.1, explain, exclude };
    let answer = view(engine).match_contact(&query).unwrap();
    (answer.decision, answer.candidates.iter().map(|one| one.contact_id).collect())
}

fn listed(engine: &Engine) -> Vec<EntityId> {
    let query = ListQuery { limit: 50, ..ListQuery::default() };
    view(engine).list(&query).unwrap().items.iter().map(|contact| contact.id).collect()
}

/// The state after a restart equals the state before it, from the journal alone and from a snapshot.
fn restart(engine: Arc<Engine>, disk: &MemDisk) -> Arc<Engine> {
    let before = view(&engine).fingerprint();
    drop(engine);
    let engine = reopen(disk);
    assert_eq!(view(&engine).fingerprint(), before, "replayed from the journal");
    engine.snapshot().unwrap();
    drop(engine);
    let engine = reopen(disk);
    assert_eq!(view(&engine).fingerprint(), before, "loaded from the snapshot");
    engine
}

const ANNA: &str = r#"{"source":"crm","source_record_id":"1","name":"Anna Zyskowski","email":"anna@zysk.example","phone":"+12125550177","groups":["club"]}"#;
const ANNA_ASKED: &str = r#"{"name":"Anna Zyskowski","email":"anna@zysk.example"}"#;

#[test]
fn a_restricted_contact_is_stored_and_used_for_nothing() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let anna = upsert(&engine, ANNA).contact_id.unwrap();
    let other = upsert(&engine, r#"{"source":"crm","source_record_id":"2","name":"Otto Kern"}"#).contact_id.unwrap();
    assert_eq!(asked(&engine, ANNA_ASKED), (Verdict::Match, vec![anna]));
    assert_eq!((found(&engine, "Zyskowski"), found(&engine, "anna@zysk.example")), (vec![anna], vec![anna]));
    restrict(&engine, anna, true, Some("accuracy is contested"));
    let engine = restart(engine, &disk);
    let view = view(&engine);
    assert!(view.contact(anna).unwrap().restricted && !view.contact(other).unwrap().restricted);
    assert_eq!(asked(&engine, ANNA_ASKED), (Verdict::NoMatch, vec![]));
    assert_eq!(asked(&engine, r#"{"name":"Anna Zyskovski"}"#).1, vec![], "not by a name that is near either");
    assert!(found(&engine, "Zyskowski").is_empty() && found(&engine, "anna@zysk.example").is_empty());
    assert_eq!((listed(&engine), view.export_ids(), view.all_ids()), (vec![other], vec![other], vec![anna, other]));
    assert!(view.group("club").is_err(), "no group shows it");
    let side = |id| Side::Contact(id);
    for (left, right) in [(anna, other), (other, anna)] {
        let refused = view.why(&side(left), &side(right)).unwrap_err();
        assert!(matches!(refused, Error::Conflict { code: "contact_restricted", .. }), "{refused}");
    }
    let contacts = vec![anna, other];
    let merge = Command::Merge { contacts, survivor: None, reason: None, dry_run: false };
    let refused = submit(&engine, merge).unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "contact_restricted", .. }), "{refused}");
    restrict(&engine, anna, false, None);
    assert_eq!(asked(&engine, ANNA_ASKED), (Verdict::Match, vec![anna]));
    assert_eq!((found(&engine, "Zyskowski"), listed(&engine)), (vec![anna], vec![anna, other]));
    restart(engine, &disk);
}

#[test]
fn what_its_sources_send_is_stored_and_flagged_and_newcomers_stay_apart_until_it_is_lifted() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let anna = upsert(&engine, ANNA).contact_id.unwrap();
    restrict(&engine, anna, true, None);
    let changed = upsert(&engine, &ANNA.replace("Anna Zyskowski", "Anna Zyskowska"));
    assert_eq!(changed.contact_id, Some(anna));
    assert!(changed.issues.iter().any(|issue| issue.code == "contact_restricted"), "{changed:?}");
    assert_eq!(view(&engine).contact(anna).unwrap().canonical_name, "Anna Zyskowska");
    let newcomer = upsert(
        &engine,
        r#"{"source":"web","source_record_id":"9","name":"Anna Zyskowska","email":"anna@zysk.example"}"#,
    );
    assert_ne!(newcomer.contact_id, Some(anna), "nobody joins whom nothing may be compared with");
    assert!(newcomer.issues.iter().all(|issue| issue.code != "contact_restricted"));
    let shown = view(&engine).contact(newcomer.contact_id.unwrap()).unwrap();
    assert!(shown.shared.is_empty() && !shown.restricted, "that somebody else has the address is not told");
    assert!(view(&engine).reviews(&ReviewQuery { limit: 9, ..ReviewQuery::default() }).unwrap().items.is_empty());
    let engine = restart(engine, &disk);
    restrict(&engine, anna, false, None);
    let view = view(&engine);
    let joined = view.contact(anna).unwrap();
    assert_eq!((joined.records.len(), joined.restricted), (2, false), "what came meanwhile joins now");
    assert_eq!(view.stats().contacts, 1);
}

#[test]
fn questions_about_a_restricted_contact_are_withdrawn_and_come_back() {
    let engine = open(&MemDisk::new());
    let one = upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Anja Zyxquv","job_title":"Buyer"}"#);
    upsert(&engine, r#"{"source":"b","source_record_id":"2","name":"Anna Zyxquv","organization":"Acme"}"#);
    upsert(&engine, r#"{"source":"c","source_record_id":"3","name":"Anja Zyxquv","organization":"Acme"}"#);
    let open_reviews = || view(&engine).reviews(&ReviewQuery { limit: 9, ..ReviewQuery::default() }).unwrap().items;
    let about = |id: EntityId| open_reviews().iter().filter(|one| one.left == id || one.right == id).count();
    let contact = one.contact_id.unwrap();
    let before = about(contact);
    assert!(before > 0, "there is a question to withdraw: {:?}", open_reviews());
    restrict(&engine, contact, true, None);
    assert_eq!(about(contact), 0);
    restrict(&engine, contact, false, None);
    assert_eq!(about(contact), before);
}

#[test]
fn a_restriction_follows_undo_and_split_and_the_strictest_wins() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let put =
        |n: u8, name: &str| upsert(&engine, &format!(r#"{{"source":"s","source_record_id":"{n}","name":"{name}"}}"#));
    let (a, b) = (put(1, "Anna Auer").contact_id.unwrap(), put(2, "Berta Blum").contact_id.unwrap());
    let c = put(3, "Carl Cole");
    let merge = |contacts: Vec<EntityId>| {
        let merge = Command::Merge { survivor: contacts.first().copied(), contacts, reason: None, dry_run: false };
        let Answer::Merged { merge_id, .. } = submit(&engine, merge).unwrap().answer else { panic!("a merge") };
        merge_id.unwrap()
    };
    let (first, _) = (merge(vec![a, b]), merge(vec![a, c.contact_id.unwrap()]));
    restrict(&engine, a, true, None);
    let is_restricted = |id: EntityId| view(&engine).contact(id).unwrap().restricted;
    let split = Command::Split { contact: a, records: vec![c.record_id.unwrap()] };
    let Answer::Parts(parts) = submit(&engine, split).unwrap().answer else { panic!("parts") };
    assert!(parts.iter().all(|part| is_restricted(*part)), "after a split both parts are restricted");
    submit(&engine, Command::UndoMerge { merge: first }).unwrap();
    assert!(is_restricted(a) && is_restricted(b), "after an undo both sides are");
    restrict(&engine, b, false, None);
    assert!(is_restricted(a) && !is_restricted(b), "each is lifted for itself");
    let again = Command::Merge { contacts: vec![a, b], survivor: None, reason: None, dry_run: false };
    assert!(submit(&engine, again).is_err(), "one side that is restricted is enough");
    restart(engine, &disk);
}

#[test]
fn why_somebody_was_restricted_goes_with_the_person() {
    let disk = MemDisk::new();
    let options = EngineOptions { segment_bytes: 1 << 20, encryption: false, ..EngineOptions::new(Path::new("data")) };
    let engine = Engine::open(options.clone(), world(&disk)).unwrap().0;
    let anna = upsert(&engine, ANNA).contact_id.unwrap();
    restrict(&engine, anna, true, Some("qqreason of hers"));
    let dir = Path::new("data/journal");
    let holds = || {
        let files = disk.list(dir).unwrap().into_iter().filter_map(|name| disk.read(&dir.join(name)).ok());
        files.into_iter().any(|bytes| bytes.windows(8).any(|part| part == b"qqreason"))
    };
    assert!(holds(), "the search finds what is there");
    let Answer::Erasure(_) = submit(&engine, Command::Erase { contact: anna }).unwrap().answer else { panic!("an id") };
    engine.compact().unwrap();
    assert!(!holds());
    assert!(matches!(view(&engine).subject(anna), Err(Error::Gone)));
    let before = view(&engine).fingerprint();
    drop(engine);
    let engine = Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap().0;
    assert_eq!(view(&engine).fingerprint(), before, "the blanked journal replays to the state after the erasure");
}

#[test]
fn what_the_controller_declares_is_kept_and_old_acts_are_not_shown() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    upsert(&engine, ANNA);
    let privacy = Privacy {
        controller: "Acme".into(),
        purposes: vec![Purpose { name: "sales".into(), basis: "consent".into(), note: String::new() }],
        audit_days: 0,
        ..Privacy::default()
    };
    let put = |engine: &Engine, privacy: Privacy| {
        let settings = Box::new(Settings { privacy, ..Settings::default() });
        submit(engine, Command::PutSettings { settings }).unwrap();
    };
    put(&engine, privacy.clone());
    let engine = restart(engine, &disk);
    assert_eq!(view(&engine).settings().privacy, privacy);
    let shown = |engine: &Engine| engine.audit(&tenant(), None, 100).unwrap().items.len();
    let all = shown(&engine);
    assert!(all >= 3, "{all}");
    put(&engine, Privacy { audit_days: 1, ..privacy });
    let fresh = shown(&engine);
    drop(engine);
    // The simulated clock of a restart stands an hour on; days pass here.
    let mut late = crate::simulate::later(&disk, disk.operations());
    late.clock = Arc::new(selfsame::host::ManualClock::new(selfsame::model::ids::Millis(1_900_000_000_000)));
    let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
    let engine = Engine::open(options, late).unwrap().0;
    upsert(&engine, r#"{"source":"crm","source_record_id":"2","name":"Otto Kern"}"#);
    let now = shown(&engine);
    assert!(now > 0 && now < fresh, "only what is younger than a day is shown: {now} of {fresh}");
    drop(engine);
    let report = journal::check(&disk, Path::new("data")).unwrap();
    assert!(report.first_corruption.is_none(), "nothing of the chain was touched");
}

fn patch(server: &Server, path: &str, value: &Value) {
    let path = format!("/v1/tenants/main/{path}");
    let body = value.to_string();
    let (status, answer) = call(server.address(), "PATCH", &path, "application/json", body.as_bytes()).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

fn fetched(server: &Server, path: &str, accept: &str) -> (u16, String) {
    let path = format!("/v1/tenants/main/{path}");
    let (status, body) = call(server.address(), "GET", &path, accept, b"").unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn upserted(server: &Server, record: &Value) -> (String, String) {
    let answer = server.post("contacts:upsert", &json!({"record": record}));
    let text =
        |name: &str| answer["results"][0][name].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned();
    (text("contact_id"), text("record_id"))
}

/// Anna with everything that hangs on a person, and Berta, who was taken for her once. Gives Anna's id, an id merged into it
/// and Berta's.
fn a_life(server: &Server) -> (String, String, String) {
    let anna = json!({"source": "crm", "source_record_id": "a1", "name": "Anna <b>Auer</b>", "email": "anna@auer.example",
        "phone": "+12125550177", "notes": "first word"});
    let (id, _) = upserted(server, &anna);
    let mut second = anna.clone();
    second["notes"] = json!("second word");
    upserted(server, &second);
    let (lost, _) = upserted(server, &json!({"source": "web", "source_record_id": "a2", "name": "A. A."}));
    server.post("contacts:merge", &json!({"contact_ids": [id, lost], "survivor": id, "reason": "she said so"}));
    let berta = json!({"source": "crm", "source_record_id": "qqrecord", "name": "Berta Qqvalue", "email": "qqmail@blum.example"});
    let (other, _) = upserted(server, &berta);
    let merge =
        server.post("contacts:merge", &json!({"contact_ids": [id, other], "survivor": id, "reason": "qqreason"}));
    server.post(&format!("merges/{}/undo", merge["merge_id"].as_str().unwrap()), &json!({}));
    let reference = format!("/v1/tenants/main/contacts/{id}/references/lead/L-1");
    assert_eq!(call(server.address(), "PUT", &reference, "application/json", b"{}").unwrap().0, 200);
    let csv = b"id,name,email\ni1,Anna Auer,anna@auer.example\n";
    assert_eq!(server.send("imports?source=file", "text/csv", csv).0, 200);
    (id, lost, other)
}

#[test]
fn everything_about_a_person_in_one_call_and_nothing_about_others() {
    let folder = folder();
    let server = Server::start(folder.path());
    let (id, lost, other) = a_life(&server);
    patch(&server, &format!("contacts/{id}"), &json!({"job_title": "Director"}));
    server.post(&format!("contacts/{id}/restrict"), &json!({"restricted": true, "reason": "contested"}));
    let (status, body) = fetched(&server, &format!("contacts/{id}/subject-access"), "application/json");
    assert_eq!(status, 200, "{body}");
    let all: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(all["contact"]["job_title"], "Director");
    assert_eq!(all["contact"]["provenance"]["job_title"]["source"], "manual");
    let ids: Vec<&str> = all["contact_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.contains(&id.as_str()) && ids.contains(&lost.as_str()) && !ids.contains(&other.as_str()), "{ids:?}");
    let records = all["records"].as_array().unwrap();
    let of = |source: &str| records.iter().find(|one| one["source"] == source).unwrap_or_else(|| panic!("{source}"));
    let notes: Vec<&Value> =
        of("crm")["versions"].as_array().unwrap().iter().map(|one| &one["said"]["notes"]).collect();
    assert_eq!(notes, [&json!("first word"), &json!("second word")], "every version, not only the last");
    assert_eq!(of("manual")["versions"][0]["said"]["job_title"], "Director");
    assert_eq!(of("file")["source_record_id"], "i1");
    assert_eq!(all["references"][0]["external_id"], "L-1");
    assert_eq!(all["restrictions"][0]["reason"], "contested");
    assert_eq!((&all["state"]["restricted"], &all["discovery"]["policy"]), (&json!(true), &json!("nobody")));
    assert_eq!(all["imports"][0]["source"], "file");
    assert_eq!(all["imports"][0]["lines"], json!([2]));
    assert!(all["merges"].as_array().unwrap().iter().any(|one| one["reason"] == "she said so"));
    assert!(!all["judgements"].as_array().unwrap().is_empty());
    let acts: Vec<&str> = all["audit"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    for act in ["RecordPut", "Resolved", "Restricted", "ReferencePut", "Accessed"] {
        assert!(acts.contains(&act), "{act} in {acts:?}");
    }
    // Acts that were about others, too, or about others alone, tell nothing of them.
    let hers: Vec<&str> = records.iter().map(|one| one["record_id"].as_str().unwrap()).collect();
    for (what, known) in [("contact_ids", &ids), ("record_ids", &hers)] {
        let named: Vec<&Value> =
            all["audit"].as_array().unwrap().iter().flat_map(|one| one[what].as_array().unwrap()).collect();
        let other = named.iter().find(|id| !known.contains(&id.as_str().unwrap()));
        assert!(named.len() > 3 && other.is_none(), "{what}: {other:?} is somebody else's");
    }
    assert_eq!(
        all["audit"].as_array().unwrap().last().unwrap()["detail"],
        "subject_access",
        "the call is audited itself"
    );
    assert_eq!(all["truncated"], json!([]));
    // Berta was her for a while: what the contact showed then is Berta's.
    let withheld = all["history"].as_array().unwrap().iter().filter(|one| one["withheld"] == true).count();
    assert!(withheld > 0 && all["history"].as_array().unwrap().len() > withheld);
    for canary in ["qq", "Qqvalue", "Berta", "blum.example"] {
        assert!(!body.contains(canary), "{canary} is somebody else's");
    }
    let berta = fetched(&server, &format!("contacts/{other}/subject-access"), "").1;
    assert!(berta.contains("Qqvalue") && berta.contains("qqmail"), "the search finds what is there");
    assert!(!berta.contains("Auer") && !berta.contains("anna@") && !berta.contains("second word"), "{berta}");
}

#[test]
fn a_page_for_people_is_escaped_and_loads_nothing() {
    let folder = folder();
    let server = Server::start(folder.path());
    let (id, lost, _) = a_life(&server);
    let (status, html) = fetched(&server, &format!("contacts/{lost}/subject-access"), "text/html");
    assert_eq!(status, 200, "a merged id is answered for whom it leads to");
    assert!(html.contains(&id) && html.contains(&lost) && html.contains("second word"));
    assert!(html.contains("Anna &lt;b&gt;Auer&lt;/b&gt;") && !html.contains("<b>") && !html.contains("<script"));
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert_eq!(fetched(&server, &format!("contacts/{id}/subject-access"), "image/png").0, 406);
    let unknown = "contacts/0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978/subject-access";
    assert_eq!(fetched(&server, unknown, "").0, 404);
}

#[test]
fn one_person_can_be_taken_along_in_three_forms() {
    let folder = folder();
    let server = Server::start(folder.path());
    let record = json!({"source": "crm", "source_record_id": "1", "name": "Anna Auer", "email": "anna@auer.example"});
    let (id, _) = upserted(&server, &record);
    upserted(&server, &json!({"source": "crm", "source_record_id": "2", "name": "Otto Kern"}));
    let path = format!("contacts/{id}/export");
    let (status, text) = fetched(&server, &path, "application/json");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["records"][0]["source_record_id"]), (200, &json!("1")));
    let (_, csv) = fetched(&server, &path, "text/csv");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.starts_with("contact_id,") && csv.contains("anna@auer.example") && !csv.contains("Otto"));
    let (_, vcard) = fetched(&server, &path, "text/vcard");
    assert!(vcard.starts_with("BEGIN:VCARD") && vcard.matches("BEGIN:VCARD").count() == 1 && vcard.contains("Anna"));
    assert_eq!(fetched(&server, &path, "image/png").0, 406);
    let audit = server.get("audit?limit=100");
    let noted = audit["items"].as_array().unwrap().iter().filter(|one| one["detail"] == "portability").count();
    assert_eq!(noted, 3, "every form is audited, a refused one is not");
}

#[test]
fn a_rectified_value_outlives_the_next_import_of_the_wrong_one() {
    let folder = folder();
    let server = Server::start(folder.path());
    let wrong = json!({"source": "crm", "source_record_id": "1", "first_name": "Ana", "last_name": "Auer",
        "email": "anna@auer.example", "version": 1});
    let (id, _) = upserted(&server, &wrong);
    let path = format!("contacts/{id}");
    patch(&server, &path, &json!({"first_name": "Anna"}));
    for version in [1, 2, 3] {
        let mut again = wrong.clone();
        again["version"] = json!(version);
        again["job_title"] = json!(format!("Title {version}"));
        upserted(&server, &again);
    }
    let contact = server.get(&path);
    assert_eq!((&contact["first_name"], &contact["job_title"]), (&json!("Anna"), &json!("Title 3")));
    assert_eq!(contact["provenance"]["first_name"]["rule"], "manual");
    let all = server.get(&format!("{path}/subject-access"));
    let change =
        all["history"].as_array().unwrap().iter().find(|one| one["field"] == "first_name" && one["old"] == "Ana");
    assert_eq!(change.unwrap()["new"], "Anna");
    let later = all["history"].as_array().unwrap().iter().filter(|one| one["new"] == "Ana" && one["kind"] == "updated");
    assert_eq!(later.count(), 0, "nothing brought the wrong one back");
}

#[test]
fn the_register_says_what_is_declared_and_what_is_there() {
    let folder = folder();
    let server = Server::start(folder.path());
    let record = json!({"source": "crm", "source_record_id": "1", "name": "Anna Auer", "email": "anna@auer.example",
        "tags": ["vip"], "birthday": "1980-02-03", "attributes": {"score": 3}});
    upserted(&server, &record);
    let register = server.get("privacy/register");
    assert_eq!(register["missing"], json!(["controller", "contact", "purposes", "subjects"]));
    let privacy = json!({"controller": "Acme <i>", "contact": "dpo@acme.example", "subjects": ["customers"],
        "purposes": [{"name": "sales", "basis": "legitimate_interests", "note": ""}], "third_countries": "none"});
    let body = json!({"privacy": privacy, "retention": {"deleted_days": 30}}).to_string();
    let path = "/v1/tenants/main/settings";
    assert_eq!(call(server.address(), "PUT", path, "application/json", body.as_bytes()).unwrap().0, 200);
    assert_eq!(server.get("settings")["privacy"]["controller"], "Acme <i>");
    server.export();
    let (gone, _) = upserted(&server, &json!({"source": "web", "source_record_id": "2", "name": "Berta Blum"}));
    let path_of_gone = format!("/v1/tenants/main/contacts/{gone}");
    assert_eq!(call(server.address(), "DELETE", &path_of_gone, "application/json", b"").unwrap().0 / 100, 2);
    let (held, _) = upserted(&server, &json!({"source": "web", "source_record_id": "3", "name": "Carla Cech"}));
    server.post(&format!("contacts/{held}/restrict"), &json!({"restricted": true}));
    let register = server.get("privacy/register");
    let counts = &register["counts"];
    assert_eq!((&counts["restricted"], &counts["deleted"]), (&json!(1), &json!(1)), "{counts}");
    assert_eq!((&register["missing"], &register["purposes"][0]["basis"]), (&json!([]), &json!("legitimate_interests")));
    assert_eq!(register["categories"]["contact details"]["emails"], 1);
    assert_eq!(register["categories"]["application's own data"]["attributes.score"], 1);
    assert_eq!((&register["sources"]["crm"], &counts["contacts"]), (&json!(1), &json!(2)));
    assert_eq!(register["recipients"]["reads"]["export"]["count"], 1);
    assert_eq!(register["retention"]["deleted contacts"], "30 days");
    assert!(register["security"]["encryption at rest"].as_str().unwrap().contains("sealed"));
    assert!(!register.to_string().contains("anna@auer"), "the register holds no values");
    let (status, html) = fetched(&server, "privacy/register", "text/html");
    assert!(status == 200 && html.contains("Acme &lt;i&gt;") && !html.contains("<script"));
    let bad = json!({"privacy": {"purposes": [{"name": "x", "basis": "because"}]}}).to_string();
    let (status, answer) = call(server.address(), "PUT", path, "application/json", bad.as_bytes()).unwrap();
    assert!(status == 400 && String::from_utf8_lossy(&answer).contains("privacy.purposes[0].basis"));
}

#[test]
fn fields_that_nothing_uses_are_found_until_somebody_filters_by_them() {
    let folder = folder();
    let server = Server::start(folder.path());
    let record = json!({"source": "crm", "source_record_id": "1", "name": "Anna Auer", "email": "anna@auer.example",
        "tags": ["vip"], "department": "R&D", "attributes": {"score": 3}});
    upserted(&server, &record);
    let field = |name: &str| {
        let report = server.get("privacy/minimisation");
        let fields = report["fields"].as_array().unwrap().clone();
        fields.into_iter().find(|one| one["field"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
    };
    for (name, unused, matching) in
        [("tags", true, false), ("department", true, false), ("attributes.score", true, false), ("emails", false, true)]
    {
        let one = field(name);
        assert_eq!((&one["unused"], &one["matching"], &one["records"]), (&json!(unused), &json!(matching), &json!(1)));
        assert!(!one["recommendation"].as_str().unwrap().is_empty());
    }
    server.get("contacts?tag=vip");
    let tags = field("tags");
    assert_eq!((&tags["asked"], &tags["unused"]), (&json!("a few times"), &json!(false)));
    assert_eq!(server.get("privacy/minimisation")["contacts_shown"], "a few times");
}

#[test]
fn restriction_over_http_and_the_export_that_asks_for_everybody() {
    let folder = folder();
    let server = Server::start(folder.path());
    let (id, _) = upserted(&server, &json!({"source": "crm", "source_record_id": "1", "name": "Anna Auer"}));
    let path = format!("contacts/{id}/restrict");
    assert_eq!(server.post(&path, &json!({"restricted": true}))["restricted"], true);
    assert_eq!(server.get(&format!("contacts/{id}"))["restricted"], true);
    assert!(server.export().is_empty());
    let (_, all) = fetched(&server, "export?include_restricted=true", "application/x-ndjson");
    assert!(all.contains(&id) && all.contains("\"restricted\":true"));
    let long = json!({"restricted": true, "reason": "x".repeat(2001)});
    assert_eq!(server.try_post(&path, &long).0, 400);
    assert_eq!(server.try_post(&path, &json!({"restrict": true})).0, 400);
    assert_eq!(server.try_post(&path, &json!({"restricted": false})).0, 200);
    assert_eq!(server.export().len(), 1);
    assert!(server.get(&format!("contacts/{id}")).get("restricted").is_none());
}

#[test]
fn context_of_a_restriction_is_kept_for_a_repeat() {
    let engine = open(&MemDisk::new());
    let anna = upsert(&engine, ANNA);
    let (contact, record) = (anna.contact_id.unwrap(), anna.record_id.unwrap());
    let once = |restricted| {
        let context = Context { actor: "dpo".into(), idempotency: Some(("k".into(), [u8::from(restricted); 32])) };
        let command = Command::Restrict { contact, restricted, reason: None };
        engine.submit_blocking(&tenant(), command, context)
    };
    once(true).unwrap();
    let seq = view(&engine).seq();
    once(true).unwrap();
    assert_eq!(view(&engine).seq(), seq, "a repeat changes nothing");
    assert!(once(false).is_err(), "the key with another body is refused");
    let subject = view(&engine).subject(contact).unwrap();
    assert_eq!((subject.restrictions.len(), subject.restrictions[0].1.actor.as_str()), (1, "dpo"));
    assert_eq!(subject.records.iter().map(|one| one.record_id).collect::<Vec<RecordId>>(), [record]);
    assert_eq!(subject.answers_kept, 1);
}

fn submit_to(engine: &Engine, name: &str, command: Command) -> Answer {
    let context = Context { actor: "app".into(), idempotency: None };
    let tenant = selfsame::model::ids::TenantName::parse(name).unwrap();
    engine.submit_blocking(&tenant, command, context).unwrap().answer
}

fn put_in(engine: &Engine, name: &str, json: &str) -> EntityId {
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    let Answer::Upserted(results) = submit_to(engine, name, command) else { panic!("results") };
    results[0].contact_id.unwrap()
}

#[test]
fn a_restricted_user_is_not_found_and_a_restricted_entry_of_a_book_finds_nobody() {
    let engine = open(&MemDisk::new());
    let settle = |name: &str, discovery: Discovery| {
        let settings = Box::new(Settings { discovery, ..Settings::default() });
        submit_to(&engine, name, Command::PutSettings { settings });
    };
    settle("app", Discovery { users: Some("app".into()), ..Discovery::default() });
    settle("book", Discovery { directory: Some("app".into()), ..Discovery::default() });
    let ann =
        put_in(&engine, "app", r#"{"source":"app","source_record_id":"1","name":"Ann Lee","phone":"+12125550101"}"#);
    let policy = Policy { policy: Findable::Everyone, book: None, consent: None };
    submit_to(&engine, "app", Command::Consent(ConsentCommand::Policy { contact: ann, policy }));
    let entry =
        put_in(&engine, "book", r#"{"source":"phone","source_record_id":"7","name":"Annie","phone":"+12125550101"}"#);
    let book = selfsame::model::ids::TenantName::parse("book").unwrap();
    let known = || engine.directory_user(&book, entry).unwrap();
    let set = |name: &str, contact: EntityId, restricted: bool| {
        submit_to(&engine, name, Command::Restrict { contact, restricted, reason: None });
    };
    for (name, contact) in [("app", ann), ("book", entry)] {
        assert_eq!(known(), Some(ann));
        set(name, contact, true);
        assert_eq!(known(), None, "restricted in {name}");
        set(name, contact, false);
    }
    assert_eq!(known(), Some(ann));
}

#[test]
fn a_restriction_outlives_a_restore_of_an_earlier_moment() {
    let disk = MemDisk::new();
    let open_at = |dir: &str| {
        let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new(dir)) };
        Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap().0
    };
    let engine = open_at("/data");
    let anna = upsert(&engine, ANNA).contact_id.unwrap();
    let otto = upsert(&engine, r#"{"source":"crm","source_record_id":"2","name":"Otto Kern"}"#).contact_id.unwrap();
    let then = view(&engine).seq().0;
    for (contact, restricted) in [(anna, true), (otto, true), (otto, false)] {
        restrict(&engine, contact, restricted, Some("contested"));
    }
    let to = Path::new("/backups/one");
    engine.backup(to).unwrap();
    drop(engine);
    selfsame::engine::carry::restore(&disk, to, Path::new("/then"), journal::Until::Seq(then)).unwrap();
    for _ in 0..2 {
        let engine = open_at("/then");
        assert!(view(&engine).contact(anna).unwrap().restricted && !view(&engine).contact(otto).unwrap().restricted);
        assert_eq!(listed(&engine), [otto]);
    }
}
