//! Who is erased is in no file any more, and the others are as they were.
//!
//! A canary with strings that nobody else has goes through everything that keeps values (imports, edits, merges, notes,
//! references, kept answers, snapshots), is erased, and then looked for byte by byte. Each search is made before, too, so
//! that a search that finds nothing would be seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use selfsame::engine::api::{
    Answer, Command, Context, Decision, ExplainLevel, MatchQuery, Mode, ReferenceCommand, ReviewQuery, Verdict,
};
use selfsame::engine::import::{self, ImportOptions};
use selfsame::engine::{Engine, EngineOptions, World, accounts::AccountCommand, accounts::Said};
use selfsame::error::Error;
use selfsame::formats::{self, AccountInput, Format, ReadOptions};
use selfsame::host::{Clock, Disk, Fault, ManualClock, MemDisk};
use selfsame::journal;
use selfsame::model::event::ReferenceName;
use selfsame::model::ids::{EntityId, EraseId, Millis, RecordKey, TenantName};
use selfsame::model::record::Fields;
use selfsame::model::settings::{Retention, Settings};
use serde_json::{Value, json};

use crate::engine::{record, tenant, upsert, world};
use crate::properties::{contacts, submit};
use crate::server::{Server, call, file, folder};
use crate::simulate::without_snapshots;

/// What only the canary has, and no key or hash looks like.
const CANARY: [&str; 9] =
    ["Zyxquv", "zyxquv", "5550177", "Quokkagasse", "qqcrm7", "qqnote", "qqlead", "qqkey", "qqrole"];

fn open_as(disk: &MemDisk, encryption: bool) -> Arc<Engine> {
    let options = EngineOptions { segment_bytes: 1 << 20, encryption, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, world(disk)).unwrap().0
}

/// Nothing is sealed, so that a search can find what is there.
fn open(disk: &MemDisk) -> Arc<Engine> {
    open_as(disk, false)
}

/// Every file of a data directory.
fn files(disk: &MemDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let dirs = ["data/journal", "data/snapshots", "data/imports/main", "data"].map(Path::new);
    let paths =
        dirs.iter().flat_map(|dir| disk.list(dir).unwrap_or_default().into_iter().map(move |name| dir.join(name)));
    paths.filter_map(|path| Some((path.clone(), disk.read(&path).ok()?))).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Which of the canary's strings are in which files.
fn found(disk: &MemDisk) -> Vec<(&'static str, PathBuf)> {
    let files = files(disk);
    let hits = |text: &'static str| {
        files.iter().filter(move |(_, bytes)| holds(bytes, text)).map(move |(path, _)| (text, path.clone()))
    };
    CANARY.iter().flat_map(|text| hits(text)).collect()
}

fn submit_with_key(engine: &Engine, command: Command, key: &str) -> Answer {
    let context = Context { actor: "api".into(), idempotency: Some((key.into(), [1; 32])) };
    engine.submit_blocking(&tenant(), command, context).unwrap().answer
}

fn erase(engine: &Engine, contact: EntityId) -> EraseId {
    let Answer::Erasure(id) = submit(engine, Command::Erase { contact }).unwrap().answer else { panic!("an id") };
    id
}

/// The others: a colleague at the same phone, a namesake, a company.
fn others(engine: &Engine) {
    upsert(
        engine,
        r#"{"source":"crm","source_record_id":"b1","name":"Berta Blum","phone":"+12125550199","email":"berta@example.org"}"#,
    );
    upsert(
        engine,
        r#"{"source":"gmail","source_record_id":"b2","name":"B. Blum","phone":"+12125550199","email":"berta@example.org"}"#,
    );
    upsert(engine, r#"{"source":"crm","source_record_id":"b3","name":"Carl Cole","phone":"+12125550198"}"#);
}

/// The canary, in all that keeps values. Returns the contact and the id that was merged into it.
fn canary(engine: &Engine) -> (EntityId, EntityId) {
    let records = vec![record(
        r#"{"source":"crm","source_record_id":"qqcrm7","name":"Anna Zyxquv","phone":"+12125550177","email":"anna@zyxquv.example",
            "notes":"qqnote from a call","addresses":[{"street":"Quokkagasse 4","city":"Wien"}]}"#,
    )];
    let command = Command::Upsert { records, mode: Mode::Merge, dry_run: false };
    let Answer::Upserted(first) = submit_with_key(engine, command, "qqkey-1") else { panic!("results") };
    let first = first[0].contact_id.unwrap();
    let other = upsert(engine, r#"{"source":"phone","source_record_id":"p9","name":"Anna","phone":"+12125550177"}"#);
    let other = other.contact_id.unwrap();
    let lost = upsert(engine, r#"{"source":"web","source_record_id":"w1","name":"Anni Zyxquv"}"#).contact_id.unwrap();
    for loser in [other, lost] {
        if loser != first {
            let contacts = vec![first, loser];
            let merge = Command::Merge {
                contacts,
                survivor: Some(first),
                reason: Some("qqnote her sister".into()),
                dry_run: false,
            };
            submit(engine, merge).unwrap();
        }
    }
    let key = RecordKey { source: "web".into(), source_record_id: "w1".into() };
    upsert(engine, r#"{"source":"web","source_record_id":"w1","name":"Anni Zyxquv","organization":"Zyxquv AG"}"#);
    submit(engine, Command::DeleteRecord { key }).unwrap();
    let set = Fields { notes: Some("qqnote by hand".into()), ..Fields::default() };
    submit(engine, Command::Patch { contact: first, set: Box::new(set), touched: vec!["notes".into()] }).unwrap();
    let name = ReferenceName { kind: "lead".into(), external_id: "qqlead".into() };
    submit(engine, Command::Reference(ReferenceCommand::Put { contact: first, name, take_over: false })).unwrap();
    let input: AccountInput =
        serde_json::from_str(r#"{"source":"crm","source_record_id":"a1","name":"Acme","domain":"acme.example"}"#)
            .unwrap();
    let records = vec![input.into_checked("api").unwrap()];
    let put = AccountCommand::Upsert { records, mode: Mode::Merge, dry_run: false };
    let Answer::Upserted(results) = submit(engine, Command::Account(put)).unwrap().answer else { panic!("results") };
    let account = results[0].contact_id.unwrap();
    let said = Said { role: Some("qqrole".into()), since: None, until: None, primary: false };
    submit(engine, Command::Account(AccountCommand::Relate { contact: first, account, said })).unwrap();
    // A question about her, with what a steward wrote on it.
    upsert(engine, r#"{"source":"old","source_record_id":"o1","name":"Anja Zyxquv","job_title":"Buyer"}"#);
    let reviews = engine.view(&tenant()).unwrap().reviews(&ReviewQuery { limit: 9, ..ReviewQuery::default() }).unwrap();
    assert!(!reviews.items.is_empty(), "there is a question about her");
    for review in reviews.items {
        let (assignee, note) = (Some(Some("mary".to_owned())), Some(Some("qqnote on a question".to_owned())));
        submit(engine, Command::NoteReview { review: review.review_id, assignee, note }).unwrap();
    }
    (first, lost)
}

#[test]
fn a_canary_that_is_erased_is_in_no_file_and_the_rest_is_whole() {
    erase_a_canary(false);
}

/// Where everything is sealed a search finds nothing in any case; what is left must still open and add up.
#[test]
fn a_canary_is_erased_from_sealed_files_too() {
    erase_a_canary(true);
}

fn erase_a_canary(encryption: bool) {
    let open = |disk: &MemDisk| open_as(disk, encryption);
    let disk = MemDisk::new();
    let engine = open(&disk);
    others(&engine);
    let rest = contacts(&engine);
    let (anna, merged) = canary(&engine);
    // The look-alike goes too: it carries her name.
    let alike = engine
        .view(&tenant())
        .unwrap()
        .export_ids()
        .into_iter()
        .find(|id| engine.view(&tenant()).unwrap().contact(*id).unwrap().canonical_name == "Anja Zyxquv");
    engine.snapshot().unwrap();
    let before = found(&disk);
    for text in CANARY {
        let places = before.iter().filter(|(one, _)| *one == text).count();
        let can_fail = if encryption { places == 0 } else { places >= 2 };
        assert!(can_fail, "{text} is in {places} files");
    }
    let id = erase(&engine, anna);
    erase(&engine, alike.unwrap());
    // Memory is clean at once.
    let view = engine.view(&tenant()).unwrap();
    for contact in [anna, merged] {
        assert!(matches!(view.contact(contact), Err(Error::Gone)), "{:?}", view.contact(contact));
        assert!(matches!(view.history(contact), Err(Error::Gone)));
    }
    assert!(matches!(submit(&engine, Command::Erase { contact: anna }), Err(Error::Gone)));
    let asked = record(r#"{"name":"Anna Zyxquv","phone":"+12125550177","email":"anna@zyxquv.example"}"#);
    let query =
        MatchQuery { input: asked, limit: 10, threshold: 0.01, explain: ExplainLevel::None, exclude: Vec::new() };
    assert_eq!(view.match_contact(&query).unwrap().decision, Verdict::NoMatch);
    assert_eq!((view.erasure(id).unwrap().done.is_some(), contacts(&engine)), (false, rest.clone()));
    // Files follow.
    let done = engine.compact().unwrap();
    assert!(done.erasures >= 1 && done.frames > 5 && done.segments >= 1, "{done:?}");
    assert_eq!(found(&disk), []);
    assert!(engine.view(&tenant()).unwrap().erasure(id).unwrap().done.is_some());
    assert_eq!(engine.compact().unwrap().erasures, 0, "nothing waits");
    let fingerprint = engine.view(&tenant()).unwrap().fingerprint();
    drop(engine);
    assert_eq!(journal::check(&disk, Path::new("data")).unwrap().first_corruption, None);
    for disk in [disk.clone(), without_snapshots(&disk)] {
        let engine = open(&disk);
        assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), fingerprint);
        assert!(matches!(engine.view(&tenant()).unwrap().contact(anna), Err(Error::Gone)));
        assert_eq!(contacts(&engine), rest);
        // Who comes again is somebody new.
        let again = upsert(&engine, r#"{"source":"crm","source_record_id":"qqcrm7","name":"Anna Zyxquv"}"#);
        assert_ne!(again.contact_id, Some(anna));
    }
}

#[test]
fn a_crash_anywhere_in_the_cleaning_leaves_it_to_be_done_again() {
    let whole = MemDisk::new();
    let engine = open(&whole);
    others(&engine);
    let (anna, _) = canary(&engine);
    engine.snapshot().unwrap();
    for contact in engine.view(&tenant()).unwrap().export_ids() {
        if contact == anna || engine.view(&tenant()).unwrap().contact(contact).unwrap().canonical_name == "Anja Zyxquv"
        {
            erase(&engine, contact);
        }
    }
    let (rest, fingerprint_of) = (contacts(&engine), |engine: &Engine| engine.view(&tenant()).unwrap().fingerprint());
    drop(engine);
    let before = whole.operations();
    let clean = whole.crash(0);
    open(&clean).compact().unwrap();
    let steps = clean.operations().saturating_sub(before).max(40);
    for at in (0..steps).step_by(3) {
        let disk = whole.crash(0);
        let engine = open(&disk);
        disk.fail_at(disk.operations() + at, if at % 2 == 0 { Fault::Io } else { Fault::FailedSync });
        let outcome = engine.compact();
        drop(engine);
        let disk = disk.crash(at);
        let engine = open(&disk);
        assert_eq!(contacts(&engine), rest, "operation {at}, {outcome:?}");
        engine.compact().unwrap();
        assert_eq!(found(&disk), [], "operation {at}");
        let state = fingerprint_of(&engine);
        drop(engine);
        assert_eq!(journal::check(&disk, Path::new("data")).unwrap().first_corruption, None, "operation {at}");
        assert_eq!(fingerprint_of(&open(&without_snapshots(&disk))), state, "operation {at}");
    }
}

#[test]
fn an_erased_tenant_is_in_no_file_and_its_name_starts_afresh() {
    erase_a_tenant(false);
    erase_a_tenant(true);
}

fn erase_a_tenant(encryption: bool) {
    let open = |disk: &MemDisk| open_as(disk, encryption);
    let disk = MemDisk::new();
    let engine = open(&disk);
    let other = TenantName::parse("other").unwrap();
    let put = |engine: &Engine, tenant: &TenantName, json: &str| {
        let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
        engine.submit_blocking(tenant, command, Context::default()).unwrap()
    };
    canary(&engine);
    put(&engine, &other, r#"{"name":"Otto Other","email":"otto@example.org"}"#);
    engine.snapshot().unwrap();
    let state = engine.view(&other).unwrap().fingerprint();
    assert_eq!(found(&disk).is_empty(), encryption);
    let Answer::Erasure(id) = submit(&engine, Command::EraseTenant).unwrap().answer else { panic!("an id") };
    let unknown =
        |engine: &Engine| matches!(engine.view(&tenant()), Err(Error::NotFound { code: "tenant_unknown", .. }));
    assert!(unknown(&engine) && engine.tenants() == vec![other.clone()]);
    // The name is free before the files are clean.
    put(&engine, &tenant(), r#"{"source":"s","source_record_id":"1","name":"Nina New"}"#);
    let fresh = engine.view(&tenant()).unwrap().fingerprint();
    engine.compact().unwrap();
    assert_eq!(found(&disk), []);
    assert!(engine.tenant_erasure(id).unwrap().1.done.is_some());
    drop(engine);
    assert_eq!(journal::check(&disk, Path::new("data")).unwrap().first_corruption, None);
    for disk in [disk.clone(), without_snapshots(&disk)] {
        let engine = open(&disk);
        assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), fresh);
        assert_eq!(engine.view(&other).unwrap().fingerprint(), state);
        assert_eq!(engine.tenant_erasure(id).unwrap().0, "main");
        submit(&engine, Command::EraseTenant).unwrap();
        assert!(unknown(&engine));
        engine.compact().unwrap();
        drop(engine);
        assert_eq!(open(&disk).tenants(), vec![other.clone()]);
    }
}

/// Found by the simulation: a record that was born under an id, left it, and was split off again after the id was erased
/// took the id back, so that a live contact answered as erased.
#[test]
fn the_id_of_the_erased_never_names_anybody_again() {
    let engine = open(&MemDisk::new());
    let put = |id: &str, name: &str, phone: &str| {
        upsert(&engine, &format!(r#"{{"source":"s","source_record_id":"{id}","name":"{name}","phone":"{phone}"}}"#))
    };
    let first = put("1", "Vera Vogel", "+12125550161");
    let second = put("2", "Vera Vogel", "+12125550161");
    assert_eq!(first.contact_id, second.contact_id);
    let other = put("3", "Walter Wolf", "+12125550162").contact_id.unwrap();
    let id = first.contact_id.unwrap();
    let merge = Command::Merge { contacts: vec![other, id], survivor: Some(other), reason: None, dry_run: false };
    submit(&engine, merge).unwrap();
    let split = |record| {
        let command = Command::Split { contact: other, records: vec![record] };
        let Answer::Parts(parts) = submit(&engine, command).unwrap().answer else { panic!("parts") };
        parts.into_iter().find(|part| *part != other).unwrap()
    };
    assert_eq!(split(first.record_id.unwrap()), id, "it takes the id back that it was born under");
    erase(&engine, id);
    let part = split(second.record_id.unwrap());
    assert_ne!(part, id);
    assert_eq!(engine.view(&tenant()).unwrap().contact(part).unwrap().records.len(), 1);
}

#[test]
fn the_trail_tells_who_did_what_and_outlives_the_erased() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let (anna, _) = canary(&engine);
    engine.note_access(&tenant(), "export", Vec::new(), "mary").unwrap();
    erase(&engine, anna);
    engine.compact().unwrap();
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = engine.audit(&tenant(), after.as_deref(), 3).unwrap();
        assert!(page.items.len() <= 3);
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all, engine.audit(&tenant(), None, 1000).unwrap().items);
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
    for what in
        ["RecordPut", "Judged", "Resolved", "RecordDeleted", "ReferencePut", "Accessed", "Erased", "ErasureDone"]
    {
        assert!(all.iter().any(|one| one.what == what), "{what}");
    }
    let export = all.iter().find(|one| one.what == "Accessed").unwrap();
    assert_eq!((export.detail.as_deref(), export.actor.as_deref()), (Some("export"), Some("mary")));
    let erased = all.iter().find(|one| one.what == "Erased").unwrap();
    assert!(erased.contacts.contains(&anna) && erased.actor.as_deref() == Some("test"));
    assert!(all.iter().any(|one| one.what == "RecordPut" && one.is_erased));
    let text = format!("{all:?}");
    assert!(CANARY.iter().all(|part| !text.contains(part)), "{text}");
    assert!(matches!(engine.audit(&tenant(), Some("x"), 3), Err(Error::Invalid { .. })));
}

#[test]
fn what_is_kept_no_longer_is_erased_by_its_age() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let disk = MemDisk::new();
    let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
    let open = || {
        let options =
            EngineOptions { segment_bytes: 1 << 20, encryption: false, ..EngineOptions::new(Path::new("data")) };
        Engine::open(options, World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world(&disk) }).unwrap().0
    };
    let engine = open();
    let retention = Retention { deleted_days: 10, reviews_days: 5, ..Retention::default() };
    let settings = Box::new(Settings { retention, ..Settings::default() });
    submit(&engine, Command::PutSettings { settings }).unwrap();
    let (anna, _) = canary(&engine);
    others(&engine);
    let view = engine.view(&tenant()).unwrap();
    let query = ReviewQuery { limit: 9, ..ReviewQuery::default() };
    let review = view.reviews(&query).unwrap().items.remove(0).review_id;
    let (decision, reason) = (Decision::Different, Some("qqnote asked her".to_owned()));
    submit(&engine, Command::Decide { review, decision, reason }).unwrap();
    submit(&engine, Command::Delete { contact: anna }).unwrap();
    let reviews = |engine: &Engine| {
        let query = ReviewQuery { status: Some("different".into()), limit: 9, ..ReviewQuery::default() };
        engine.view(&tenant()).unwrap().reviews(&query).unwrap().items.len()
    };
    for (days, reviewed, gone) in [(4, 1, false), (6, 0, false), (11, 0, true)] {
        clock.set(Millis(1_800_000_000_000 + days * DAY_MS));
        engine.retain().unwrap();
        assert_eq!(reviews(&engine), reviewed, "after {days} days");
        let found = engine.view(&tenant()).unwrap().contact(anna);
        assert_eq!(matches!(found, Err(Error::Gone)), gone, "after {days} days: {found:?}");
    }
    assert!(found(&disk).iter().any(|(text, _)| *text == "Quokkagasse"));
    engine.compact().unwrap();
    let left: Vec<_> = found(&disk).into_iter().filter(|(text, _)| !text.to_lowercase().contains("zyxquv")).collect();
    assert_eq!(left, [], "the look-alike, which nobody deleted, has her name and nothing else of hers");
    let actors: Vec<_> = engine.audit(&tenant(), None, 1000).unwrap().items;
    assert!(actors.iter().any(|one| one.what == "Erased" && one.actor.as_deref() == Some("retention")));
    let state = engine.view(&tenant()).unwrap().fingerprint();
    drop(engine);
    let engine = open();
    assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), state);
    assert_eq!(engine.view(&tenant()).unwrap().settings().retention, retention);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Erasing somebody leaves the others as if only their records had been withdrawn, in memory and after a restart from
    /// the blanked journal.
    #[test]
    fn erasing_is_withdrawing_for_the_others(
        (writes, _) in crate::properties::writes(),
        pick in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
        encryption in any::<bool>(),
    ) {
        let open = |disk: &MemDisk| open_as(disk, encryption);
        let (disk, twin) = (MemDisk::new(), MemDisk::new());
        let (engine, withdrawn) = (open(&disk), open(&twin));
        for said in &writes {
            crate::properties::put(&engine, vec![said.record()]);
            crate::properties::put(&withdrawn, vec![said.record()]);
        }
        let all: Vec<_> = contacts(&engine).into_iter().collect();
        let (keys, (contact, _)) = all[pick.index(all.len())].clone();
        erase(&engine, contact);
        for key in keys {
            submit(&withdrawn, Command::DeleteRecord { key }).unwrap();
        }
        crate::properties::check_whole(&engine)?;
        let others = |engine: &Engine| crate::properties::golden_of(&contacts(engine));
        prop_assert_eq!(others(&engine), others(&withdrawn));
        // One more write, which may bring an erased key back.
        let more = &writes[again.index(writes.len())];
        crate::properties::put(&engine, vec![more.record()]);
        engine.compact().unwrap();
        let state = engine.view(&tenant()).unwrap().fingerprint();
        drop(engine);
        prop_assert_eq!(open(&disk).view(&tenant()).unwrap().fingerprint(), state.clone());
        prop_assert_eq!(open(&without_snapshots(&disk)).view(&tenant()).unwrap().fingerprint(), state);
    }
}

/// Strings in any file below a folder.
fn grep(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            hits.extend(grep(&path, text));
        } else if holds(&std::fs::read(&path).unwrap(), text) {
            hits.push(path);
        }
    }
    hits
}

#[test]
fn over_http_a_person_and_a_tenant_are_erased_and_asked_about() {
    let folder = folder();
    let data = folder.path().join("data");
    let config = file(folder.path(), "plain.toml", "encryption = false\naudit_reads = true\n");
    let server = Server::start_with(&data, &["--config", config.to_str().unwrap()]);
    let csv =
        "id,name,email,birthday\n1,Anna Zyxquv,anna@@zyxquv.example,1980-99-99\n2,Berta Blum,berta@example.org,\n";
    let book = file(folder.path(), "book.csv", csv);
    let (status, import) = server.send("imports?source=crm", "text/csv", std::fs::read(&book).unwrap().as_slice());
    assert_eq!(status, 200, "{import}");
    let found = server.post("contacts:search", &json!({"q": "Zyxquv"}));
    let anna = found["items"][0]["contact"]["contact_id"].as_str().unwrap().to_owned();
    every_look_at_her_is_in_the_trail(&server, &anna);
    assert!(!grep(&data, "Zyxquv").is_empty());
    let copies = folder.path().join("copies");
    let back_up = || server.post("/v1/admin/backup", &json!({"dir": copies.to_str().unwrap()}));
    back_up();
    assert!(!grep(&copies, "Zyxquv").is_empty());
    let delete = |path: &str| {
        let (status, body) = call(server.address(), "DELETE", path, "", b"").unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, answer) = delete(&format!("/v1/tenants/main/contacts/{anna}?erase=true"));
    assert_eq!(status, 200, "{answer}");
    let id = answer["erase_id"].as_str().unwrap();
    let (status, gone) = call(server.address(), "GET", &format!("/v1/tenants/main/contacts/{anna}"), "", b"").unwrap();
    assert_eq!((status, serde_json::from_slice::<Value>(&gone).unwrap()["code"].as_str()), (410, Some("erased")));
    let until = Instant::now() + Duration::from_secs(30);
    while server.get(&format!("erasures/{id}"))["state"] != "done" {
        assert!(Instant::now() < until, "{}", server.get(&format!("erasures/{id}")));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(grep(&data, "Zyxquv"), Vec::<PathBuf>::new());
    // The copy holds her until it is brought up to date, and is named as long.
    let named = || server.get(&format!("erasures/{id}"))["backups"].clone();
    assert_eq!(named(), json!([copies.to_str().unwrap()]));
    back_up();
    assert_eq!((named(), grep(&copies, "Zyxquv")), (json!([]), Vec::new()));
    assert_eq!(server.post("contacts:search", &json!({"q": "Zyxquv"}))["items"], json!([]));
    assert_eq!(server.get("erasures")["items"].as_array().unwrap().len(), 1);
    let import = import["import_id"].as_str().unwrap();
    let (_, report) =
        call(server.address(), "GET", &format!("/v1/tenants/main/imports/{import}/report"), "", b"").unwrap();
    let report = String::from_utf8(report).unwrap();
    let line = report.lines().find(|line| line.contains(&anna)).unwrap();
    assert!(line.ends_with(&format!("{anna},")), "the remarks on the erased are gone: {report}");
    server.export();
    let audit = server.get("audit?limit=1000");
    let whats: Vec<&str> = audit["items"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert!(whats.contains(&"Erased") && whats.contains(&"Accessed") && whats.contains(&"RecordPut"), "{whats:?}");
    let items = audit["items"].as_array().unwrap();
    let read = items.iter().find(|one| one["detail"] == "read").unwrap();
    assert_eq!((&read["contact_ids"], read["actor"].is_string()), (&json!([anna]), true));
    assert!(items.iter().any(|one| one["detail"] == "export"));
    assert_eq!(server.post("/v1/admin/compact", &json!({}))["erasures"], 0);
    let (status, answer) = delete("/v1/admin/tenants/main");
    assert_eq!(status, 200, "{answer}");
    server.post("/v1/admin/compact", &json!({}));
    let id = answer["erase_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/admin/erasures/{id}"))["state"], "done");
    assert_eq!(grep(&data, "Berta"), Vec::<PathBuf>::new());
    let (status, body) = call(server.address(), "PUT", "/v1/admin/tenants/main", "application/json", b"{}").unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert_eq!(server.contacts(), 0);
}

/// Each call that shows somebody, and the word under which the trail keeps it.
fn every_look_at_her_is_in_the_trail(server: &Server, anna: &str) {
    let asked = json!({"contact": {"name": "Anna Zyxquv"}, "threshold": 0.0});
    let mut looks = vec!["search"];
    let mut look = |what: &'static str, answer: Value| {
        assert!(answer.to_string().contains(anna) || what == "why", "{what}: {answer}");
        looks.push(what);
    };
    look("match", server.post("contacts:match", &asked));
    look("match", server.post("contacts:matchBatch", &json!({"queries": {"a": asked}})));
    look("list", server.get("contacts?limit=10"));
    look("read", server.get(&format!("contacts/{anna}")));
    look("why", server.post("contacts:why", &json!({"left": {"contact_id": anna}, "right": {"contact_id": anna}})));
    let audit = server.get("audit?limit=1000");
    let about_her = |entry: &&Value| {
        entry["what"] == "Accessed" && entry["contact_ids"].as_array().unwrap().iter().any(|id| id == anna)
    };
    let told = audit["items"].as_array().unwrap().iter().filter(about_her);
    let told: Vec<&str> = told.map(|entry| entry["detail"].as_str().unwrap()).collect();
    assert_eq!(told, looks);
}

/// A file that stops before its end until somebody lets it go on.
struct Held {
    text: std::io::Cursor<Vec<u8>>,
    go_on: std::sync::mpsc::Receiver<()>,
}

impl std::io::Read for Held {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.text.read(bytes)?;
        if read == 0 {
            self.go_on.recv().ok();
        }
        Ok(read)
    }
}

/// The report of an import that runs cannot be rewritten, so its tenant waits. All the others waited with it.
#[test]
fn an_import_that_runs_keeps_its_own_tenant_waiting_and_no_other() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let busy = TenantName::parse("busy").unwrap();
    let mut text =
        String::from("{\"source_record_id\":\"1\",\"name\":\"Anna Zyxquv\",\"email\":\"anna@@zyxquv.example\"}\n");
    // Lines that are no records, until her batch is among the settled ones; long, since a reader looks some way ahead.
    text += &format!("{}\n", "?".repeat(200)).repeat(5_000);
    std::thread::scope(|scope| {
        // In here, so that a failed assertion lets the import go, too.
        let (let_go, go_on) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let held = Held { text: std::io::Cursor::new(text.into_bytes()), go_on };
        let read = ReadOptions { source: "crm".into(), ..ReadOptions::default() };
        let rows = formats::open(Format::Ndjson, Box::new(held), read).unwrap();
        let (engine, name) = (&engine, &busy);
        let running = scope.spawn(move || {
            let options = ImportOptions { source: "crm".into(), dry_run: false, actor: "test".into() };
            import::import(engine, name, rows, options, &|totals| tell.send(totals.rows).unwrap())
        });
        told.recv_timeout(Duration::from_secs(60)).unwrap();
        let anna = engine.view(&busy).unwrap().export_ids()[0];
        let Answer::Erasure(waits) =
            engine.submit_blocking(&busy, Command::Erase { contact: anna }, Context::default()).unwrap().answer
        else {
            panic!("an id")
        };
        others(engine);
        let free = erase(engine, engine.view(&tenant()).unwrap().export_ids()[0]);
        let done = |tenant: &TenantName, id| engine.view(tenant).unwrap().erasure(id).unwrap().done.is_some();
        assert!(matches!(engine.compact(), Err(Error::Busy { .. })));
        assert_eq!((done(&tenant(), free), done(&busy, waits)), (true, false));
        let_go.send(()).unwrap();
        running.join().unwrap().unwrap();
        assert_eq!(engine.compact().unwrap().erasures, 1);
        assert!(done(&busy, waits));
    });
    let reports = files(&disk).into_iter().chain(disk_of(&disk, "data/imports/busy"));
    let left: Vec<PathBuf> = reports.filter(|(_, bytes)| holds(bytes, "zyxquv")).map(|(path, _)| path).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

fn disk_of(disk: &MemDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = disk.list(Path::new(dir)).unwrap().into_iter().map(|name| Path::new(dir).join(name));
    paths.map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
}

/// An erasure names the copies that still hold the person. Where their list could not be read it was done and named none.
#[test]
fn an_erasure_is_not_done_while_nobody_knows_which_copies_there_are() {
    let disk = MemDisk::new();
    let engine = Engine::open(EngineOptions::new(Path::new("/data")), world(&disk)).unwrap().0;
    others(&engine);
    engine.backup(Path::new("/copy")).unwrap();
    let list = Path::new("/data/backups.json");
    let sound = disk.read(list).unwrap();
    let write = |bytes: &[u8]| {
        let file = disk.open(list).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(0, bytes).unwrap();
    };
    let id = erase(&engine, engine.view(&tenant()).unwrap().export_ids()[0]);
    write(b"{ torn");
    assert!(engine.compact().is_err());
    let done = || engine.view(&tenant()).unwrap().erasure(id).unwrap().done.clone();
    assert_eq!(done(), None);
    write(&sound);
    assert_eq!(engine.compact().unwrap().erasures, 1);
    assert_eq!(done().unwrap().backups, ["/copy"]);
}
