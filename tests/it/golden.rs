//! Data directories written by earlier versions must open for ever.
//!
//! `tests/golden/v1` holds a journal with the first eleven kinds of event and a snapshot from its middle, byte for byte as
//! written, and `expected.txt` with the state they hold; `v2` has the kinds up to groups, and a snapshot under a trained model; `v3`
//! is sealed and holds what erasures left, `v4` has every kind: API keys, discovery, consent, restriction. Never regenerate them to make a test pass: a difference
//! means that old data reads otherwise now. `SELFSAME_MAKE_GOLDEN=1 cargo test --test it golden` writes a
//! directory that does not exist yet (for a v5: add to [`VERSIONS`]).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selfsame::engine::accounts::{AccountCommand, AccountFilter, Said};
use selfsame::engine::api::{
    Answer, Command, Context, Decision, GroupCommand, Mode, ModelStatus, NewWebhook, ReferenceCommand, Report,
    ReviewQuery, WebhookCommand,
};
use selfsame::engine::{Engine, EngineOptions};
use selfsame::formats::{AccountInput, InputRecord};
use selfsame::host::{Disk, MemDisk, SeededRandom};
use selfsame::journal::{Journal, Keyring};
use selfsame::model::event::{Event, FeedPlace, RecordDeleted, RecordPut, ReferenceName, decode, encode, kind_name};
use selfsame::model::ids::{DeliveryId, EntityId, MergeId, Millis, RecordId, RecordKey, Seq, TenantName, WebhookId};
use selfsame::model::normalized::{Birthday, Name, NormEmail, NormPhone, Normalized, PhoneKind};
use selfsame::model::record::{Email, Fields, Phone, Record};
use selfsame::model::settings::{Retention, Settings};
use selfsame::model::survivorship::{Rule, Survivorship};

use crate::engine::{record, tenant};
use crate::simulate::{later, without_snapshots};

/// Oldest first; the last has every kind of event.
const VERSIONS: [&str; 4] = ["v1", "v2", "v3", "v4"];
/// The files of a data directory that hold data.
const PARTS: [&str; 3] = ["journal", "snapshots", "keys"];

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn open(disk: &MemDisk) -> Arc<Engine> {
    let options = EngineOptions { segment_bytes: 16 << 10, workers: 1, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, later(disk, 7 + disk.operations())).unwrap().0
}

fn submit(engine: &Engine, command: Command) -> Answer {
    engine.submit_blocking(&tenant(), command, Context { actor: "steward".into(), idempotency: None }).unwrap().answer
}

fn put(engine: &Engine, json: &str) -> EntityId {
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    let Answer::Upserted(results) = submit(engine, command) else { panic!("an upsert answers with results") };
    results[0].contact_id.unwrap()
}

/// Every kind of event at least once; a snapshot in the middle.
fn fill(engine: &Engine) {
    let settings = Settings { rollback_days: 60, source_trust: vec!["crm".into()], ..Settings::default() };
    submit(engine, Command::PutSettings { settings: Box::new(settings) });
    put(engine, r#"{"source":"phone","source_record_id":"1","name":"J. Smith","phone":"212-555-1234"}"#);
    put(
        engine,
        r#"{"source":"gmail","source_record_id":"2","name":"John Smith","phone":"(212) 555-1234","birthday":"1980-02-03","tags":["vip"]}"#,
    );
    let mary = put(
        engine,
        r#"{"source":"crm","source_record_id":"3","name":"Mary Miller","email":"mary@example.com","phone":"+12125550100","organization":"Example Ltd"}"#,
    );
    let peter = put(
        engine,
        r#"{"source":"crm","source_record_id":"4","name":"Peter Miller","phone":"+12125550100","version":3}"#,
    );
    put(engine, r#"{"source":"crm","source_record_id":"4","name":"Pete Miller","phone":"+12125550100","version":2}"#);
    let zoe = put(
        engine,
        r#"{"source":"crm","source_record_id":"5","name":"Zoë Zyskowski","email":"zoe@example.com","notes":"met in Łódź"}"#,
    );
    let merge =
        Command::Merge { contacts: vec![mary, zoe], survivor: Some(mary), reason: Some("one".into()), dry_run: false };
    let Answer::Merged { merge_id, .. } = submit(engine, merge) else { panic!("a merge answers so") };
    engine.snapshot().unwrap();
    submit(engine, Command::UndoMerge { merge: merge_id.unwrap() });
    put(
        engine,
        r#"{"source":"crm","source_record_id":"6","name":"Ann Lee Carter","organization":"Example Ltd","job_title":"Buyer"}"#,
    );
    put(engine, r#"{"source":"web","source_record_id":"7","name":"Ann Carter","birthday":"1991-12-24"}"#);
    put(engine, r#"{"source":"web","source_record_id":"8","name":"Ann L. Carter","organization":"Example Ltd"}"#);
    let reviews = engine.view(&tenant()).unwrap().reviews(&ReviewQuery::default()).unwrap().items;
    for (review, decision) in reviews.iter().zip([Decision::Different, Decision::Unsure]) {
        submit(engine, Command::Decide { review: review.review_id, decision, reason: Some("asked her".into()) });
    }
    let set = Fields { notes: Some("calls on Mondays".into()), ..Fields::default() };
    submit(engine, Command::Patch { contact: mary, set: Box::new(set), touched: vec!["notes".into()] });
    submit(engine, Command::Delete { contact: peter });
    put(engine, r#"{"source":"old","source_record_id":"9","name":"Gone Person"}"#);
    let key = RecordKey { source: "old".into(), source_record_id: "9".into() };
    submit(engine, Command::DeleteRecord { key });
    let rules = [("name".to_owned(), Rule::PreferExisting), ("attributes.score".to_owned(), Rule::Max)];
    let settings =
        Settings { survivorship: Survivorship::new(rules), ..engine.view(&tenant()).unwrap().settings().clone() };
    submit(engine, Command::PutSettings { settings: Box::new(settings) });
    let again = Command::Upsert {
        records: vec![record(r#"{"source":"crm","source_record_id":"10","name":"Kept Answer"}"#)],
        mode: Mode::Merge,
        dry_run: false,
    };
    let context = Context { actor: "api".into(), idempotency: Some(("key-1".into(), [9; 32])) };
    engine.submit_blocking(&tenant(), again, context).unwrap();
}

/// What came with version 2: a tenant that decides by a model of its own, one training that was refused before it.
fn fill_models(engine: &Arc<Engine>) {
    let train = || crate::train::trained(engine, engine.train(&tenant(), "steward").unwrap().id);
    assert_eq!(train().status, ModelStatus::Refused);
    crate::properties::put(engine, crate::train::people(46));
    let ready = loop {
        match engine.train(&tenant(), "steward") {
            Ok(begun) => break crate::train::trained(engine, begun.id),
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(ready.status, ModelStatus::Ready, "{ready:?}");
    submit(engine, Command::ActivateModel { model: ready.id });
    note_and_change_reviews(engine);
    engine.snapshot().unwrap();
    put(engine, r#"{"source":"crm","source_record_id":"11","name":"Karla Lindqvist","birthday":"1940-01-01"}"#);
}

/// Webhooks in every state: one with dead letters, one that was disabled, one that is gone.
fn fill_webhooks(engine: &Engine) {
    let create = |after: Option<Seq>| {
        let secret = after.map(|_| "0123456789abcdef".to_owned());
        let new = NewWebhook { url: "https://example.com/hook".into(), kinds: Vec::new(), secret, after };
        let command = Command::Webhook(WebhookCommand::Create(Box::new(new)));
        let Answer::Webhook(id) = submit(engine, command) else { panic!("a webhook's creation answers so") };
        id
    };
    let report = |id: WebhookId, report: Report| {
        submit(engine, Command::Webhook(WebhookCommand::Report(id, report)));
    };
    let (busy, off, gone) = (create(Some(Seq(0))), create(None), create(None));
    report(busy, Report::Delivered { through: FeedPlace { seq: Seq(3), part: 0 } });
    for number in 1..4 {
        let (first, last) = (FeedPlace { seq: Seq(4), part: 0 }, FeedPlace { seq: Seq(5), part: 1 });
        let error = "status 500".to_owned();
        report(busy, Report::Died { delivery: DeliveryId(number), first, last, attempts: 3, error });
    }
    submit(engine, Command::Webhook(WebhookCommand::Retry(busy, DeliveryId(1))));
    submit(engine, Command::Webhook(WebhookCommand::Retry(busy, DeliveryId(2))));
    report(busy, Report::Settled { delivery: DeliveryId(1) });
    report(off, Report::Disabled { note: "the receiver answered 410 Gone".into() });
    submit(engine, Command::Webhook(WebhookCommand::Delete(gone)));
}

/// References that were registered, moved, merged and deleted.
fn fill_references(engine: &Engine) {
    let one = put(engine, r#"{"source":"ref","source_record_id":"1","name":"Otto Kern"}"#);
    let other = put(engine, r#"{"source":"ref","source_record_id":"2","name":"Ida Zorn"}"#);
    let name = |external_id: &str| ReferenceName { kind: "lead".into(), external_id: external_id.into() };
    for (contact, id) in [(one, "00Q1"), (one, "00Q2"), (other, "00Q2"), (other, "00Q3"), (other, "ü/4")] {
        let command = ReferenceCommand::Put { contact, name: name(id), take_over: true };
        submit(engine, Command::Reference(command));
    }
    let delete = ReferenceCommand::Delete { contact: other, name: name("00Q3") };
    submit(engine, Command::Reference(delete));
    submit(engine, Command::Merge { contacts: vec![one, other], survivor: Some(one), reason: None, dry_run: false });
}

/// Accounts that were put, corrected, withdrawn, merged and parted again, asked about and deleted, with their people.
fn fill_accounts(engine: &Engine) {
    let put_account = |json: &str| {
        let input: AccountInput = serde_json::from_str(json).unwrap();
        let records = vec![input.into_checked("api").unwrap()];
        let command = AccountCommand::Upsert { records, mode: Mode::Merge, dry_run: false };
        let Answer::Upserted(results) = submit(engine, Command::Account(command)) else { panic!("it answers so") };
        results[0].contact_id.unwrap()
    };
    let acme = put_account(
        r#"{"source":"crm","source_record_id":"a1","name":"Acme Inc","domain":"acme.example","alternate_domains":["acme.test"],
            "previous_names":["Acme Łódź"],"industry":"Anvils","technologies":["rust"],"tags":["key"],"phones":["+12125550188"],
            "addresses":[{"label":"hq","city":"Boston","country":"US"}]}"#,
    );
    let zed = put_account(r#"{"source":"crm","source_record_id":"a2","name":"Zed GmbH","domain":"zed.example"}"#);
    put_account(r#"{"source":"web","source_record_id":"a3","name":"Acme","domain":"acme.test","version":2}"#);
    let alike = |city: &str| {
        let name = "International Paper Holding";
        put_account(&format!(
            r#"{{"source":"web","source_record_id":"a4","name":"{name}","addresses":[{{"city":"{city}","country":"US"}}]}}"#
        ))
    };
    put_account(
        r#"{"source":"crm","source_record_id":"a5","name":"International Paper Holdings","addresses":[{"city":"Memphis","country":"US"}]}"#,
    );
    let paper = alike("Denver");
    submit(engine, Command::Account(AccountCommand::Delete(paper)));
    put_account(
        r#"{"source":"crm","source_record_id":"a5","name":"International Paper Holding","addresses":[{"city":"Memphis","country":"US"}]}"#,
    );
    let reviews = engine.view(&tenant()).unwrap().account_reviews(10, None).unwrap().items;
    let (review, reason) = (reviews[0].review_id, Some("asked them".into()));
    submit(engine, Command::Account(AccountCommand::Decide { review, decision: Decision::Unsure, reason }));
    let merge = AccountCommand::Merge { accounts: vec![acme, zed], survivor: Some(zed), reason: None, dry_run: false };
    let Answer::Merged { merge_id, .. } = submit(engine, Command::Account(merge)) else { panic!("it answers so") };
    let mary =
        put(engine, r#"{"source":"crm","source_record_id":"p1","name":"Berta Lang","email":"berta@acme.example"}"#);
    let said =
        |role: &str| Said { role: Some(role.into()), since: Some("2020-01-01".into()), until: None, primary: true };
    let relate = |account, role| AccountCommand::Relate { contact: mary, account, said: said(role) };
    submit(engine, Command::Account(relate(zed, "CTO")));
    submit(engine, Command::UndoMerge { merge: merge_id.unwrap() });
    submit(engine, Command::Account(relate(acme, "Advisor")));
    submit(engine, Command::Account(AccountCommand::Unrelate { contact: mary, account: acme }));
    put_account(r#"{"source":"old","source_record_id":"a6","name":"Gone AG","domain":"gone.example"}"#);
    let key = RecordKey { source: "old".into(), source_record_id: "a6".into() };
    submit(engine, Command::Account(AccountCommand::DeleteRecord(key)));
    for refuse_free_mail in [true, false] {
        let settings = Settings { refuse_free_mail, ..engine.view(&tenant()).unwrap().settings().clone() };
        submit(engine, Command::PutSettings { settings: Box::new(settings) });
    }
}

/// A conflict that a person settled, one that is open and one that a newer version ended; groups; a kept remark.
fn fill_discipline(engine: &Engine) {
    let said = |id: &str, version: u64, name: &str| {
        let json = format!(r#"{{"source":"two","source_record_id":"{id}","version":{version},"name":"{name}"}}"#);
        put(engine, &json)
    };
    for id in ["1", "2", "3"] {
        said(id, 1, &format!("Uta Vogel{id}"));
        said(id, 1, &format!("Uta Vogl{id}"));
    }
    said("3", 2, "Uta Vogel3");
    let open = engine.view(&tenant()).unwrap().conflicts(10, None).unwrap().items;
    let first = open.iter().find(|one| *one.key.source_record_id == *"1").unwrap();
    let keep = first.versions.iter().find(|one| !one.counts).unwrap().seq;
    submit(engine, Command::SettleConflict { record: first.record_id, keep });
    let group = |slug: &str, name: &str| GroupCommand::Put {
        slug: slug.into(),
        name: name.into(),
        description: Some("Mondays".into()),
    };
    submit(engine, Command::Group(group("book-club", "Readers")));
    submit(engine, Command::Group(group("vögel", "Vögel")));
    submit(engine, Command::Group(GroupCommand::Delete { slug: "vögel".into() }));
    let contact = put(engine, r#"{"source":"two","source_record_id":"9","name":"Back Again","groups":["Book Club"]}"#);
    submit(engine, Command::Delete { contact });
    let back = Command::Upsert {
        records: vec![record(r#"{"source":"two","source_record_id":"9","name":"Back Again II"}"#)],
        mode: Mode::Merge,
        dry_run: false,
    };
    let context = Context { actor: "api".into(), idempotency: Some(("key-2".into(), [8; 32])) };
    engine.submit_blocking(&tenant(), back, context).unwrap();
}

/// People and tenants that were erased: one of each in no file any more, one tenant that is in files yet.
fn fill_erasures(engine: &Engine) {
    let person = put(engine, r#"{"source":"crm","source_record_id":"e1","name":"Erna Erased","phone":"+12125550144"}"#);
    let other = put(engine, r#"{"source":"web","source_record_id":"e2","name":"Erna E.","email":"erna@example.com"}"#);
    let merge = Command::Merge {
        contacts: vec![person, other],
        survivor: Some(person),
        reason: Some("her card".into()),
        dry_run: false,
    };
    submit(engine, merge);
    let name = ReferenceName { kind: "lead".into(), external_id: "erna".into() };
    submit(engine, Command::Reference(ReferenceCommand::Put { contact: person, name, take_over: false }));
    let retention = Retention { reviews_days: 9, ..Retention::default() };
    let settings = Settings { retention, ..engine.view(&tenant()).unwrap().settings().clone() };
    submit(engine, Command::PutSettings { settings: Box::new(settings) });
    engine.note_access(&tenant(), "export", Vec::new(), "steward").unwrap();
    submit(engine, Command::Erase { contact: person });
    for (name, clean) in [("gone", true), ("going", false)] {
        let tenant = TenantName::parse(name).unwrap();
        let send = |command| engine.submit_blocking(&tenant, command, Context::default()).unwrap();
        let records = vec![record(r#"{"name":"Only Here"}"#)];
        send(Command::Upsert { records, mode: Mode::Merge, dry_run: false });
        send(Command::EraseTenant);
        if clean {
            engine.compact().unwrap();
        }
    }
}

/// Somebody writes on the open reviews, and news about one side of each changes its evidence.
fn note_and_change_reviews(engine: &Arc<Engine>) {
    let view = engine.view(&tenant()).unwrap();
    for review in view.reviews(&ReviewQuery::default()).unwrap().items {
        let (assignee, note) = (Some(Some("mary".into())), Some(Some("ask her again".into())));
        submit(engine, Command::NoteReview { review: review.review_id, assignee, note });
        let records = view.records(review.left).unwrap();
        let said = records.into_iter().find(|record| record.record_id == review.pair.0).unwrap();
        let fields = Fields { job_title: Some("Buyer of bricks".into()), gender: Some("f".into()), ..said.fields };
        crate::properties::put(
            engine,
            vec![InputRecord {
                source: said.key.source.to_string(),
                source_record_id: Some(said.key.source_record_id.to_string()),
                source_updated_at: None,
                version: Some(99),
                fields,
            }],
        );
    }
}

/// The state as text: ids, records, merges, reviews; nothing that a better rule for showing values may change.
fn state(engine: &Engine) -> String {
    let view = engine.view(&tenant()).unwrap();
    let stats = view.stats();
    let mut text = String::new();
    let counts = (stats.seq.0, stats.contacts, stats.records, stats.reviews_open);
    writeln!(text, "seq, contacts, records, open reviews: {counts:?}").unwrap();
    writeln!(text, "fingerprint: {}", view.fingerprint()).unwrap();
    let settings = view.settings();
    writeln!(text, "settings: {:?} {} {}", settings.source_trust, settings.rollback_days, settings.auto).unwrap();
    for (field, rule) in settings.survivorship.chosen() {
        writeln!(text, "rule: {field} {}", rule.word()).unwrap();
    }
    let mut ids: BTreeSet<EntityId> = BTreeSet::new();
    for entry in view.changes(Seq(0), 1000).items {
        writeln!(text, "change {}: {} {:?} at {}", entry.seq.0, entry.kind, entry.contacts, entry.at.0).unwrap();
        ids.extend(entry.contacts.into_iter().filter(|_| !entry.of_accounts));
    }
    for id in ids {
        let Ok(contact) = view.contact(id) else {
            writeln!(text, "contact {id}: {:?}", view.contact(id).err()).unwrap();
            continue;
        };
        writeln!(text, "contact {id}: deleted {}, version {}", contact.deleted, contact.version).unwrap();
        for record in view.records(id).unwrap() {
            let (key, fields) = (record.key, record.fields);
            let emails: Vec<&str> = fields.emails.iter().map(|email| email.value.as_str()).collect();
            let phones: Vec<&str> = fields.phones.iter().map(|phone| phone.value.as_str()).collect();
            let said =
                (&fields.name, emails, phones, &fields.organization, &fields.birthday, &fields.notes, &fields.tags);
            let at = (record.version, record.source_updated_at, record.ingested_at.0);
            writeln!(text, "  {} {}/{} {at:?} {said:?}", record.record_id, key.source, key.source_record_id).unwrap();
        }
    }
    for account in view.account_list(&AccountFilter { limit: 1000, ..AccountFilter::default() }).unwrap().items {
        writeln!(text, "account {}: version {} of {:?}", account.id, account.version, account.records).unwrap();
        for record in view.account_records(account.id).unwrap() {
            writeln!(
                text,
                "  {:?} {:?} {:?}",
                record.fields.organization, record.fields.company_domain, record.business
            )
            .unwrap();
        }
        for link in view.contacts_of(account.id, 1000, None).unwrap().items {
            writeln!(text, "  {link:?}").unwrap();
        }
    }
    for review in view.account_reviews(1000, None).unwrap().items {
        let (id, pair) = (review.review_id, review.pair);
        writeln!(text, "review {id} of accounts: {} {} {pair:?}", review.status, review.reason).unwrap();
    }
    let mut merges = view.merges(1000, None).unwrap().items;
    merges.extend(view.account_merges(1000, None).unwrap().items);
    for merge in merges {
        let (id, undone) = (merge.merge_id, merge.undone_at);
        let who = (merge.survivor, merge.losers, merge.pair, merge.weight_bits, merge.actor, merge.reason);
        writeln!(text, "merge {id}: {who:?} at {} undone {undone:?}", merge.at.0).unwrap();
    }
    for card in engine.models(&tenant()).unwrap().iter().skip(1) {
        let (status, numbers) = (card.status.word(), (card.records, card.size_class, card.prior_after));
        writeln!(text, "model {}: {status} {numbers:?} {:?} {:?}", card.id, card.levels, card.reason).unwrap();
    }
    for id in view.export_ids() {
        for put in view.references(id).unwrap() {
            writeln!(text, "reference to {id}: {put:?}").unwrap();
        }
    }
    for conflict in view.conflicts(1000, None).unwrap().items {
        let seqs: Vec<(u64, bool)> = conflict.versions.iter().map(|one| (one.seq.0, one.counts)).collect();
        writeln!(text, "conflict of {}: {seqs:?} at {}", conflict.record_id, conflict.found_at.0).unwrap();
    }
    for group in view.groups(1000, None).items {
        writeln!(text, "group {group:?}").unwrap();
    }
    for erasure in view.erasures() {
        writeln!(text, "erasure {erasure:?}").unwrap();
    }
    for hook in view.webhooks() {
        let (id, kinds, through) = (hook.id, &hook.kinds, hook.through);
        writeln!(text, "webhook {id}: {} {kinds:?} {} {through:?} {:?}", hook.url, hook.secret, hook.disabled).unwrap();
        hook.dead.iter().for_each(|letter| writeln!(text, "  {letter:?}").unwrap());
    }
    for status in ["open", "same", "different", "unsure", "withdrawn"] {
        for review in view
            .reviews(&ReviewQuery { status: Some(status.into()), limit: 1000, ..ReviewQuery::default() })
            .unwrap()
            .items
        {
            let (id, pair, at) = (review.review_id, review.pair, review.at.0);
            writeln!(text, "review {id}: {status} {} {pair:?} at {at}", review.reason).unwrap();
            if review.assignee.is_some() || review.note.is_some() {
                writeln!(text, "  {:?} {:?} {:?}", review.assignee, review.note, review.answer).unwrap();
            }
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "files in the repository")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "files in the repository, on request only")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The committed files, on a disk in memory.
fn committed(version: &str) -> MemDisk {
    let disk = MemDisk::new();
    for part in PARTS {
        // There were no keys before there was encryption.
        for entry in std::fs::read_dir(folder(version).join("data").join(part)).into_iter().flatten() {
            let path = entry.unwrap().path();
            disk.put(&Path::new("data").join(part).join(path.file_name().unwrap()), &read(&path));
        }
    }
    disk
}

fn make(folder: &Path) {
    assert!(!folder.exists(), "{} exists; golden files are made once", folder.display());
    let disk = MemDisk::new();
    let engine = open(&disk);
    fill(&engine);
    fill_webhooks(&engine);
    fill_references(&engine);
    fill_accounts(&engine);
    fill_discipline(&engine);
    fill_models(&engine);
    crate::golden_people::fill(&engine);
    fill_erasures(&engine);
    write(&folder.join("expected.txt"), state(&engine).as_bytes());
    drop(engine);
    for part in PARTS {
        let dir = Path::new("data").join(part);
        for name in disk.list(&dir).unwrap() {
            write(&folder.join(&dir).join(&name), &disk.read(&dir.join(&name)).unwrap());
        }
    }
    for (name, event) in [("record_put.hex", sample_put()), ("record_deleted.hex", sample_deleted())] {
        let (kind, version, bytes) = encode(event);
        write(&folder.join(name), format!("{kind} {version} {}\n", hex(&bytes)).as_bytes());
    }
}

#[test]
fn old_data_opens_as_it_was() {
    if std::env::var_os("SELFSAME_MAKE_GOLDEN").is_some() {
        make(&folder(VERSIONS.last().unwrap()));
    }
    for version in VERSIONS {
        let expected = String::from_utf8(read(&folder(version).join("expected.txt"))).unwrap();
        let disk = committed(version);
        assert_eq!(state(&open(&without_snapshots(&disk))), expected, "{version} from the journal alone");
        let engine = open(&disk);
        assert_eq!(state(&engine), expected, "{version} from snapshot and journal");
        put(&engine, r#"{"source":"new","source_record_id":"1","name":"New Person"}"#);
        assert_eq!(engine.view(&tenant()).unwrap().stats().seq.0, seq(&expected) + 2, "and takes new records");
    }
}

fn seq(expected: &str) -> u64 {
    let digits: String =
        expected.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn the_golden_journal_has_every_kind_of_event() {
    let mut kinds = BTreeSet::new();
    let disk = committed(VERSIONS.last().unwrap());
    let random = Arc::new(SeededRandom::new(1));
    let keys = Keyring::open(Arc::new(disk.clone()), Path::new("data"), &[0; 32], random).unwrap();
    Journal::replay_opened(&disk, Path::new("data"), 0, &keys, &mut |frame| {
        if !frame.is_blank() {
            decode(frame.kind, frame.version, frame.payload).unwrap();
        }
        kinds.insert(kind_name(frame.kind));
        Ok(())
    })
    .unwrap();
    let all: BTreeSet<&str> = (1..=u8::MAX).map(kind_name).filter(|name| *name != "unknown").collect();
    assert_eq!(kinds, all);
}

fn sample_deleted() -> Event {
    let (at, actor) = (Millis(1_800_000_000_123), "api".to_owned());
    Event::RecordDeleted(RecordDeleted { record_id: RecordId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10), at, actor })
}

fn norm_email() -> NormEmail {
    NormEmail {
        delivered: "zoe@example.com".into(),
        canonical: "zoe@example.com".into(),
        user: "zoe".into(),
        domain: "example.com".into(),
        free: false,
        role: true,
        valid: true,
    }
}

fn sample_put() -> Event {
    let fields = Fields {
        name: Some("Zoë Zyskowski".into()),
        emails: vec![Email {
            value: "Zoe@Example.com".into(),
            label: Some("work".into()),
            primary: true,
            ..Email::default()
        }],
        phones: vec![Phone { value: "+1 212 555 0100".into(), confidence: Some(0.5), ..Phone::default() }],
        is_me: Some(false),
        ..Fields::default()
    };
    let normalized = Normalized {
        name: Name {
            first: Some("Zoë".into()),
            first_tokens: vec!["zoe".into()],
            generation: Some(2),
            ..Name::default()
        },
        emails: vec![norm_email()],
        phones: vec![NormPhone {
            e164: "+12125550100".into(),
            extension: None,
            valid: true,
            kind: PhoneKind::FixedOrMobile,
        }],
        birthday: Some(Birthday { year: Some(1980), month: Some(2), day: None, ambiguous: false }),
        gender: Some('f'),
        ..Normalized::default()
    };
    let key = RecordKey { source: "crm".into(), source_record_id: "17".into() };
    Event::RecordPut(Box::new(RecordPut {
        record_id: RecordId(7),
        record: Record { key, source_updated_at: Some(Millis(-5)), version: Some(u64::MAX), fields },
        normalized,
        content_hash: u128::MAX / 3,
        received_at: Millis(1_800_000_000_000),
        actor: "api".into(),
        stale: true,
        anchor: Some(EntityId(9)),
        suppressed: vec![("emails".into(), "x@example.com".into())],
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn events_have_the_bytes_they_always_had() {
    for (name, event) in [("record_put.hex", sample_put()), ("record_deleted.hex", sample_deleted())] {
        let (kind, version, bytes) = encode(event.clone());
        for folder in VERSIONS.map(folder) {
            let committed = String::from_utf8(read(&folder.join(name))).unwrap();
            assert_eq!(format!("{kind} {version} {}\n", hex(&bytes)), committed, "{name}");
        }
        assert_eq!(decode(kind, version, &bytes).unwrap(), event);
    }
}

#[test]
fn a_merge_of_the_golden_data_can_be_undone() {
    let engine = open(&committed(VERSIONS[0]));
    let merges = engine.view(&tenant()).unwrap().merges(100, None).unwrap().items;
    let open: Vec<MergeId> =
        merges.iter().filter(|merge| merge.undone_at.is_none()).map(|merge| merge.merge_id).collect();
    let before = engine.view(&tenant()).unwrap().stats().contacts;
    submit(&engine, Command::UndoMerge { merge: open[0] });
    assert_eq!(engine.view(&tenant()).unwrap().stats().contacts, before + 1);
}
