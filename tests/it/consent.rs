//! Who may be found by whom: policies through merges and their undo, opt-outs that nothing ends, blocks, suggestions, and
//! which users of the directory an address book's contacts are.

use std::path::Path;
use std::sync::Arc;

use selfsame::engine::api::{Answer, Command, ConsentCommand, Context, GroupCommand, Mode, Policy};
use selfsame::engine::consent::Reason;
use selfsame::engine::{Engine, EngineOptions, carry};
use selfsame::error::Error;
use selfsame::host::{Disk, MemDisk};
use selfsame::journal::{self, Until};
use selfsame::model::event::Consent;
use selfsame::model::event::consent::Findable;
use selfsame::model::ids::{EntityId, MergeId, Millis, RecordKey, TenantName};
use selfsame::model::settings::{Discovery, Settings};
use serde_json::json;

use crate::engine::{open, record, reopen};
use crate::server::{Server, call, folder};
use crate::simulate::without_snapshots;

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

fn submit_in(engine: &Engine, tenant: &str, command: Command) -> Result<Answer, Error> {
    let context = Context { actor: "app".into(), idempotency: None };
    engine.submit_blocking(&name(tenant), command, context).map(|receipt| receipt.answer)
}

fn put(engine: &Engine, tenant: &str, json: &str) -> EntityId {
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    let Ok(Answer::Upserted(results)) = submit_in(engine, tenant, command) else { panic!("results") };
    results[0].contact_id.unwrap()
}

fn settle(engine: &Engine, tenant: &str, discovery: Discovery) {
    let settings = Settings { discovery, ..Settings::default() };
    submit_in(engine, tenant, Command::PutSettings { settings: Box::new(settings) }).unwrap();
}

/// A directory `app`.
fn directory(engine: &Engine) {
    settle(engine, "app", Discovery { users: Some("app".into()), ..Discovery::default() });
}

/// A user of it.
fn user(engine: &Engine, id: &str, person: &str, phone: &str) -> EntityId {
    put(engine, "app", &format!(r#"{{"source":"app","source_record_id":"{id}","name":"{person}","phone":"{phone}"}}"#))
}

fn allow(engine: &Engine, contact: EntityId, policy: Findable, book: Option<&str>) -> Result<Answer, Error> {
    let consent = Consent { basis: "consent".into(), actor: "sign-up".into(), at: Millis(1) };
    let policy = Policy { policy, book: book.map(str::to_owned), consent: Some(consent) };
    submit_in(engine, "app", Command::Consent(ConsentCommand::Policy { contact, policy }))
}

fn policy(engine: &Engine, contact: EntityId) -> Findable {
    engine.view(&name("app")).unwrap().discovery(contact).unwrap().policy
}

fn opt_out(engine: &Engine, tenant: &str, contact: EntityId) {
    submit_in(engine, tenant, Command::Consent(ConsentCommand::OptOut { contact })).unwrap();
}

fn is_out(engine: &Engine, tenant: &str, contact: EntityId) -> bool {
    engine.view(&name(tenant)).unwrap().is_opted_out(contact).unwrap()
}

fn merge(engine: &Engine, tenant: &str, survivor: EntityId, loser: EntityId) -> Result<MergeId, Error> {
    let contacts = vec![survivor, loser];
    let command = Command::Merge { contacts, survivor: Some(survivor), reason: None, dry_run: false };
    match submit_in(engine, tenant, command)? {
        Answer::Merged { merge_id, .. } => Ok(merge_id.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn undo(engine: &Engine, tenant: &str, merge: MergeId) {
    submit_in(engine, tenant, Command::UndoMerge { merge }).unwrap();
}

/// The state after a restart equals the state before it, from the journal alone and from a snapshot.
fn restart(engine: Arc<Engine>, disk: &MemDisk, tenants: &[&str]) -> Arc<Engine> {
    let prints = |engine: &Engine| -> Vec<String> {
        tenants.iter().map(|tenant| engine.view(&name(tenant)).unwrap().fingerprint()).collect()
    };
    let before = prints(&engine);
    engine.snapshot().unwrap();
    drop(engine);
    let engine = reopen(&without_snapshots(disk));
    assert_eq!(prints(&engine), before, "replayed from the journal");
    drop(engine);
    let engine = reopen(disk);
    assert_eq!(prints(&engine), before, "read from the snapshot");
    engine
}

#[test]
fn nobody_is_found_without_a_word_and_a_required_consent_is_required() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let ann = put(&engine, "app", r#"{"source":"app","source_record_id":"1","name":"Ann Lee","phone":"+12125550101"}"#);
    let refused = allow(&engine, ann, Findable::Everyone, None).unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "not_a_directory", .. }), "{refused:?}");
    settle(&engine, "app", Discovery { users: Some("app".into()), consent_required: true, ..Discovery::default() });
    assert_eq!(policy(&engine, ann), Findable::Nobody);
    let bare = Policy { policy: Findable::Mutual, book: None, consent: None };
    let command = Command::Consent(ConsentCommand::Policy { contact: ann, policy: bare });
    let refused = submit_in(&engine, "app", command).unwrap_err();
    assert!(matches!(&refused, Error::Invalid { field, .. } if field == "consent"), "{refused:?}");
    allow(&engine, ann, Findable::Everyone, Some("ann-book")).unwrap();
    assert_eq!(policy(&engine, ann), Findable::Everyone);
    let seq = engine.view(&name("app")).unwrap().seq();
    allow(&engine, ann, Findable::Everyone, Some("ann-book")).unwrap();
    assert_eq!(engine.view(&name("app")).unwrap().seq(), seq, "saying it twice changes nothing");
    restart(engine, &disk, &["app"]);
}

#[test]
fn the_strictest_word_counts_in_a_merge_and_the_undo_gives_each_its_own() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let old = user(&engine, "1", "Ann Lee", "+12125550101");
    let note =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Anna Leeson","phone":"+12125550102"}"#);
    allow(&engine, old, Findable::Everyone, None).unwrap();
    allow(&engine, note, Findable::Mutual, None).unwrap();
    let joined = merge(&engine, "app", old, note).unwrap();
    assert_eq!(policy(&engine, old), Findable::Mutual, "the strictest");
    allow(&engine, old, Findable::Everyone, None).unwrap();
    assert_eq!(policy(&engine, old), Findable::Everyone, "said of the merged contact, it counts for all of it");
    let engine = restart(engine, &disk, &["app"]);
    undo(&engine, "app", joined);
    assert_eq!((policy(&engine, old), policy(&engine, note)), (Findable::Everyone, Findable::Mutual));
    restart(engine, &disk, &["app"]);
}

#[test]
fn an_opt_out_during_a_merge_stays_with_both_sides() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let old = user(&engine, "1", "Ann Lee", "+12125550101");
    let note =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Anna Leeson","phone":"+12125550102"}"#);
    for one in [old, note] {
        allow(&engine, one, Findable::Everyone, None).unwrap();
    }
    let joined = merge(&engine, "app", old, note).unwrap();
    opt_out(&engine, "app", old);
    assert_eq!(policy(&engine, old), Findable::Nobody);
    undo(&engine, "app", joined);
    assert_eq!((policy(&engine, old), policy(&engine, note)), (Findable::Nobody, Findable::Nobody));
    let refused = allow(&engine, note, Findable::Everyone, None).unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "opted_out", .. }), "{refused:?}");
    restart(engine, &disk, &["app"]);
}

#[test]
fn an_opt_out_before_a_merge_leaves_the_other_side_when_it_is_undone() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let out = user(&engine, "1", "Ann Lee", "+12125550101");
    let other =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Bo Berg","phone":"+12125550102"}"#);
    allow(&engine, other, Findable::Everyone, None).unwrap();
    opt_out(&engine, "app", out);
    let joined = merge(&engine, "app", other, out).unwrap();
    assert!(is_out(&engine, "app", other));
    undo(&engine, "app", joined);
    assert!(is_out(&engine, "app", out) && !is_out(&engine, "app", other));
    assert_eq!(policy(&engine, other), Findable::Everyone);
}

/// Who is out already and says so again means all that the contact is by now, also a record with nothing to know it by.
#[test]
fn a_second_opt_out_covers_what_came_in_between() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let out = user(&engine, "1", "Ann Lee", "+12125550101");
    let note = put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Anna Leeson"}"#);
    opt_out(&engine, "app", out);
    let joined = merge(&engine, "app", out, note).unwrap();
    opt_out(&engine, "app", out);
    undo(&engine, "app", joined);
    assert!(is_out(&engine, "app", out) && is_out(&engine, "app", note));
    restart(engine, &disk, &["app"]);
}

#[test]
fn who_opted_out_stays_out_whatever_comes() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    // Shares the number from before: another person, who did not leave.
    let bo = put(&engine, "app", r#"{"source":"app","source_record_id":"2","name":"Bo Lee","phone":"+12125550101"}"#);
    assert_ne!(ann, bo);
    opt_out(&engine, "app", ann);
    assert!(!is_out(&engine, "app", bo));
    user(&engine, "2", "Bo A. Lee", "+12125550101");
    assert!(!is_out(&engine, "app", bo), "a number that he had before says nothing");
    // Deleted and restored, withdrawn by the source and sent again.
    submit_in(&engine, "app", Command::Delete { contact: ann }).unwrap();
    submit_in(&engine, "app", Command::Restore { contact: ann }).unwrap();
    assert!(is_out(&engine, "app", ann));
    let key = RecordKey { source: "app".into(), source_record_id: "1".into() };
    submit_in(&engine, "app", Command::DeleteRecord { key }).unwrap();
    let again = user(&engine, "1", "Ann Lee", "+12125550101");
    assert!(is_out(&engine, "app", again));
    // Erased and imported under another id, in another source.
    submit_in(&engine, "app", Command::Erase { contact: again }).unwrap();
    engine.compact().unwrap();
    let engine = restart(engine, &disk, &["app"]);
    let back =
        put(&engine, "app", r#"{"source":"app","source_record_id":"77","name":"Ann Lee","phone":"+1 212 555 0101"}"#);
    assert_ne!(back, again);
    assert!(is_out(&engine, "app", back), "known by the number");
    // The list under another key, and another comer.
    submit_in(&engine, "app", Command::Consent(ConsentCommand::RotateSuppression)).unwrap();
    let later =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"q","name":"A. Lee","phone":"+12125550101"}"#);
    assert!(is_out(&engine, "app", later));
    let stranger = user(&engine, "9", "Zoe Zander", "+12125550109");
    assert!(!is_out(&engine, "app", stranger));
    restart(engine, &disk, &["app"]);
}

/// Where nothing but tags is kept, the tag of a number says who comes back, as the number would.
#[test]
fn who_opted_out_stays_out_where_only_tags_are_kept() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    settle(&engine, "app", Discovery { users: Some("app".into()), tags_only: true, ..Discovery::default() });
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    opt_out(&engine, "app", ann);
    submit_in(&engine, "app", Command::Erase { contact: ann }).unwrap();
    engine.compact().unwrap();
    let engine = restart(engine, &disk, &["app"]);
    let back = user(&engine, "77", "Ann Lee", "+1 212 555 0101");
    assert_ne!(back, ann);
    assert!(is_out(&engine, "app", back), "known by the number's tag");
    let stranger = user(&engine, "9", "Zoe Zander", "+12125550109");
    assert!(!is_out(&engine, "app", stranger));
}

#[test]
fn a_part_split_off_somebody_who_opted_out_is_out_too() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    let note =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Anna Leeson","phone":"+12125550102"}"#);
    merge(&engine, "app", ann, note).unwrap();
    opt_out(&engine, "app", ann);
    let records = engine.view(&name("app")).unwrap().records(ann).unwrap();
    let part = records.iter().find(|one| &*one.key.source == "crm").unwrap().record_id;
    let split = Command::Split { contact: ann, records: vec![part] };
    let Ok(Answer::Parts(parts)) = submit_in(&engine, "app", split) else { panic!("parts") };
    assert!(parts.len() >= 2 && parts.iter().all(|id| is_out(&engine, "app", *id)), "{parts:?}");
}

#[test]
fn two_users_are_never_one_contact() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let same = |id: &str| {
        format!(
            r#"{{"source":"app","source_record_id":"{id}","name":"Ann Lee","phone":"+12125550101","email":"ann@example.com","birthday":"1980-02-03"}}"#
        )
    };
    // Before the tenant is a directory they are one; from then on two.
    let (one, two) = (put(&engine, "app", &same("1")), put(&engine, "app", &same("2")));
    assert_eq!(one, two);
    directory(&engine);
    let view = engine.view(&name("app")).unwrap();
    assert_eq!(view.stats().contacts, 2);
    // What names no user joins one of them, and takes the other with it never.
    let crm = put(
        &engine,
        "app",
        r#"{"source":"crm","source_record_id":"x","name":"Ann Lee","phone":"+12125550101","email":"ann@example.com","birthday":"1980-02-03"}"#,
    );
    let view = engine.view(&name("app")).unwrap();
    assert_eq!(view.stats().contacts, 2, "{crm}");
    let ids: Vec<EntityId> = view.export_ids();
    let refused = merge(&engine, "app", ids[0], ids[1]).unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "users_differ", .. }), "{refused:?}");
    // Judged the same while one of them named no user: the id that comes later parts them.
    let (a, b) = (
        put(&engine, "app", r#"{"source":"hr","source_record_id":"a","name":"Cy Cole"}"#),
        put(&engine, "app", r#"{"source":"hr","source_record_id":"b","name":"Di Dorn"}"#),
    );
    merge(&engine, "app", a, b).unwrap();
    for (record, user) in [("a", "31"), ("b", "32")] {
        let who = if record == "a" { "Cy Cole" } else { "Di Dorn" };
        put(
            &engine,
            "app",
            &format!(
                r#"{{"source":"hr","source_record_id":"{record}","name":"{who}","external_ids":[{{"system":"app","id":"{user}"}}]}}"#
            ),
        );
    }
    let view = engine.view(&name("app")).unwrap();
    let holder = |source_id: &str| {
        let of = |id: &EntityId| {
            view.records(*id)
                .unwrap()
                .iter()
                .any(|one| &*one.key.source == "hr" && &*one.key.source_record_id == source_id)
        };
        view.export_ids().into_iter().find(of).unwrap()
    };
    assert_ne!(holder("a"), holder("b"));
    restart(engine, &disk, &["app"]);
}

/// Two users who have each other in their books, one that has both, one stranger.
fn friends(engine: &Engine) -> [EntityId; 4] {
    directory(engine);
    let people = [
        ("1", "Ann Lee", "+12125550101"),
        ("2", "Bo Berg", "+12125550102"),
        ("3", "Cy Cole", "+12125550103"),
        ("4", "Di Dorn", "+12125550104"),
    ];
    let users = people.map(|(id, person, phone)| user(engine, id, person, phone));
    for (owner, knows) in [(0, vec![1, 2]), (1, vec![0]), (2, vec![0, 1])] {
        let book = format!("book-{owner}");
        settle(engine, &book, Discovery { directory: Some("app".into()), keep_users: true, ..Discovery::default() });
        for at in knows {
            let (id, _, phone) = people[at];
            put(
                engine,
                &book,
                &format!(r#"{{"source":"phone","source_record_id":"{id}","name":"Pal {id}","phone":"{phone}"}}"#),
            );
        }
    }
    users
}

#[test]
fn mutual_means_that_the_asker_is_in_the_own_book() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let [ann, bo, cy, _] = friends(&engine);
    allow(&engine, ann, Findable::Mutual, Some("book-0")).unwrap();
    allow(&engine, bo, Findable::Mutual, Some("book-1")).unwrap();
    allow(&engine, cy, Findable::Everyone, Some("book-2")).unwrap();
    let of = |book: &str, person: &str| {
        let view = engine.view(&name(book)).unwrap();
        let ids = view.export_ids();
        let contact = ids.into_iter().find(|id| view.contact(*id).unwrap().canonical_name == person).unwrap();
        engine.directory_user(&name(book), contact).unwrap()
    };
    assert_eq!(of("book-0", "Pal 2"), Some(bo), "each has the other");
    assert_eq!(of("book-0", "Pal 3"), Some(cy), "everyone may");
    assert_eq!(of("book-2", "Pal 2"), None, "he does not have her");
    assert_eq!(of("book-2", "Pal 1"), Some(ann), "she has him");
    let block = |holds| {
        let command = ConsentCommand::Block { contact: ann, other: cy, holds };
        submit_in(&engine, "app", Command::Consent(command)).unwrap();
    };
    block(true);
    assert_eq!((of("book-2", "Pal 1"), of("book-0", "Pal 3")), (None, Some(cy)), "only the blocker is hidden");
    block(false);
    assert_eq!(of("book-2", "Pal 1"), Some(ann));
}

fn feed(engine: &Engine, book: &str) -> Vec<(&'static str, EntityId)> {
    let view = engine.view(&name(book)).unwrap();
    let all = view.changes(selfsame::model::ids::Seq(0), 1000).items;
    all.iter().filter(|one| matches!(one.kind, "joined" | "left")).map(|one| (one.kind, one.contacts[0])).collect()
}

#[test]
fn an_address_book_hears_who_joined_and_who_left() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let [_, bo, _, _] = friends(&engine);
    engine.note_users().unwrap();
    assert_eq!(feed(&engine, "book-0"), [], "nobody may be found yet");
    allow(&engine, bo, Findable::Everyone, Some("book-1")).unwrap();
    assert_eq!(engine.note_users().unwrap(), 2, "in two books");
    assert_eq!(engine.note_users().unwrap(), 0);
    let [("joined", contact)] = feed(&engine, "book-0")[..] else { panic!("{:?}", feed(&engine, "book-0")) };
    // A friend who registers later.
    let eve = user(&engine, "5", "Eve Engel", "+12125550105");
    put(&engine, "book-0", r#"{"source":"phone","source_record_id":"5","name":"Pal 5","phone":"+12125550105"}"#);
    allow(&engine, eve, Findable::Everyone, None).unwrap();
    engine.note_users().unwrap();
    assert_eq!(feed(&engine, "book-0").len(), 2);
    opt_out(&engine, "app", bo);
    engine.note_users().unwrap();
    assert_eq!(feed(&engine, "book-0").last(), Some(&("left", contact)));
    submit_in(&engine, "app", Command::Erase { contact: eve }).unwrap();
    engine.note_users().unwrap();
    assert_eq!(feed(&engine, "book-0").len(), 4, "who is erased has left");
    // Off: what was kept goes.
    let engine = restart(engine, &disk, &["app", "book-0", "book-1", "book-2"]);
    assert_eq!(engine.note_users().unwrap(), 0, "a restart looks at all and finds nothing new");
}

/// What a book's owner becomes counts for all of the book, though nobody in it changed.
#[test]
fn a_number_more_of_the_owner_brings_those_who_know_it() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let [ann, bo, ..] = friends(&engine);
    allow(&engine, ann, Findable::Everyone, Some("book-0")).unwrap();
    put(&engine, "book-0", r#"{"source":"phone","source_record_id":"me","name":"Me","phone":"+12125550101"}"#);
    // Bo has her, by a number that she has not told yet.
    submit_in(&engine, "book-1", Command::EraseTenant).unwrap();
    settle(&engine, "book-4", Discovery { directory: Some("app".into()), ..Discovery::default() });
    put(&engine, "book-4", r#"{"source":"phone","source_record_id":"1","name":"Ann at work","phone":"+12125550177"}"#);
    allow(&engine, bo, Findable::Mutual, Some("book-4")).unwrap();
    engine.note_users().unwrap();
    assert_eq!(feed(&engine, "book-0"), [], "she herself is no friend of hers");
    put(
        &engine,
        "app",
        r#"{"source":"app","source_record_id":"1","name":"Ann Lee","phones":[{"value":"+12125550101"},{"value":"+12125550177"}]}"#,
    );
    engine.note_users().unwrap();
    let [("joined", friend)] = feed(&engine, "book-0")[..] else { panic!("{:?}", feed(&engine, "book-0")) };
    let shown = engine.view(&name("book-0")).unwrap().contact(friend).unwrap();
    assert_eq!(shown.canonical_name, "Pal 2");
}

#[test]
fn suggestions_say_why_and_respect_everything() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let [ann, bo, cy, di] = friends(&engine);
    for (one, book) in [(ann, "book-0"), (bo, "book-1"), (cy, "book-2")] {
        allow(&engine, one, Findable::Everyone, Some(book)).unwrap();
    }
    allow(&engine, di, Findable::Everyone, None).unwrap();
    let of = |id: EntityId| -> Vec<(EntityId, Vec<Reason>)> {
        let (found, truncated) = engine.suggestions(&name("app"), id, 10).unwrap();
        assert!(!truncated);
        found.into_iter().map(|one| (one.contact, one.reasons)).collect()
    };
    // Ann knows Bo and Cy; Bo's book has Ann, Cy's has Ann and Bo.
    let found = of(ann);
    assert_eq!(found[0].1[0], Reason::HasYou);
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<std::collections::BTreeSet<_>>(), [bo, cy].into());
    assert!(found.iter().any(|(id, why)| *id == cy && why.contains(&Reason::SharedContacts(1))), "{found:?}");
    assert!(of(di).is_empty(), "nobody has her and she has no book");
    // Colleagues by mail domain.
    for (id, who, phone) in [("4", "Di Dorn", "+12125550104"), ("3", "Cy Cole", "+12125550103")] {
        put(
            &engine,
            "app",
            &format!(
                r#"{{"source":"app","source_record_id":"{id}","name":"{who}","phone":"{phone}","email":"u{id}@acme-widgets.example","organization":"Acme Widgets"}}"#
            ),
        );
    }
    assert_eq!(of(di), [(cy, vec![Reason::SameDomain, Reason::SameOrganization])]);
    let command = ConsentCommand::Block { contact: di, other: cy, holds: true };
    submit_in(&engine, "app", Command::Consent(command)).unwrap();
    assert!(of(di).is_empty(), "who was blocked is not suggested to the blocker");
    assert!(of(cy).iter().all(|(id, _)| *id != di), "nor the blocker to them");
    opt_out(&engine, "app", cy);
    assert!(of(ann).iter().all(|(id, _)| *id != cy) && of(cy).is_empty());
    allow(&engine, bo, Findable::Nobody, Some("book-1")).unwrap();
    assert!(of(ann).is_empty());
}

#[test]
fn what_others_may_see() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    let [ann, bo, cy, di] = friends(&engine);
    allow(&engine, ann, Findable::Everyone, Some("book-0")).unwrap();
    put(
        &engine,
        "book-0",
        r#"{"source":"phone","source_record_id":"2","name":"Pal 2","phone":"+12125550102","groups":["Book Club"]}"#,
    );
    let fields: Vec<(String, String)> =
        [("addresses", "group:Book Club"), ("name", "everyone"), ("phones", "contacts")]
            .map(|(field, audience)| (field.to_owned(), audience.to_owned()))
            .into();
    submit_in(&engine, "app", Command::Consent(ConsentCommand::Sharing { contact: ann, fields })).unwrap();
    let seen = |by: EntityId| engine.shared_with(&name("app"), ann, by).unwrap();
    assert_eq!(seen(bo), ["addresses", "name", "phones"]);
    assert_eq!(seen(cy), ["name", "phones"]);
    assert_eq!(seen(di), ["name"]);
    submit_in(&engine, "book-0", Command::Group(GroupCommand::Delete { slug: "book-club".into() })).unwrap();
    assert_eq!(seen(bo), ["name", "phones"], "a group that is gone has nobody");
    let command = ConsentCommand::Block { contact: ann, other: bo, holds: true };
    submit_in(&engine, "app", Command::Consent(command)).unwrap();
    assert!(seen(bo).is_empty());
    restart(engine, &disk, &["app", "book-0"]);
}

/// A restore of an earlier moment forgets what came later, but not that somebody left or was erased.
#[test]
fn opt_outs_and_erasures_outlive_a_restore_of_an_earlier_moment() {
    let disk = MemDisk::new();
    let open_at = |dir: &str| {
        let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new(dir)) };
        Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap().0
    };
    let engine = open_at("/data");
    directory(&engine);
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    let bo = user(&engine, "2", "Bo Berg", "+12125550102");
    let cy = put(&engine, "app", r#"{"source":"crm","source_record_id":"c","name":"Cy Cole","notes":"kept"}"#);
    let di = put(&engine, "app", r#"{"source":"web","source_record_id":"d","name":"Di Dorn"}"#);
    for one in [ann, bo, cy] {
        allow(&engine, one, Findable::Everyone, None).unwrap();
    }
    let joined = merge(&engine, "app", cy, di).unwrap();
    // One tenant besides the server's own stream, which has written nothing.
    let then = engine.view(&name("app")).unwrap().seq().0;
    undo(&engine, "app", joined);
    opt_out(&engine, "app", ann);
    submit_in(&engine, "app", Command::Erase { contact: bo }).unwrap();
    submit_in(&engine, "app", Command::Erase { contact: di }).unwrap();
    engine.compact().unwrap();
    let to = Path::new("/backups/one");
    engine.backup(to).unwrap();
    drop(engine);
    let report = carry::restore(&disk, to, Path::new("/then"), Until::Seq(then)).unwrap();
    assert_eq!((report.seq, report.carried), (then, 3));
    for _ in 0..2 {
        let engine = open_at("/then");
        let view = engine.view(&name("app")).unwrap();
        assert!(is_out(&engine, "app", ann) && policy(&engine, ann) == Findable::Nobody);
        assert!(matches!(view.contact(bo), Err(Error::Gone)), "{:?}", view.contact(bo).map(|one| one.canonical_name));
        let cy = view.contact(cy).unwrap();
        assert_eq!((cy.canonical_name.as_str(), cy.fields.notes.as_deref()), ("Cy Cole", Some("kept")));
        assert_eq!(view.records(cy.id).unwrap().len(), 1, "what was merged into it then is gone");
        assert_eq!(view.stats().contacts, 2);
        assert!(disk.list(Path::new("/then")).unwrap().iter().all(|name| name != journal::CARRIED));
    }
    let back = open_at("/then");
    let again =
        put(&back, "app", r#"{"source":"app","source_record_id":"91","name":"Ann Lee","phone":"+12125550101"}"#);
    assert!(is_out(&back, "app", again), "the tags were carried, too");
}

/// Whichever moment of the journal is restored: who opted out at its end is found nowhere, and neither is who comes back.
#[test]
fn an_opt_out_holds_at_every_moment_that_can_be_restored() {
    let disk = MemDisk::new();
    let open_at = |dir: &str| {
        let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new(dir)) };
        Engine::open(options, crate::simulate::later(&disk, disk.operations())).unwrap().0
    };
    let engine = open_at("/data");
    directory(&engine);
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    allow(&engine, ann, Findable::Everyone, None).unwrap();
    let note = put(&engine, "app", r#"{"source":"crm","source_record_id":"x","name":"Anna Leeson"}"#);
    let joined = merge(&engine, "app", ann, note).unwrap();
    opt_out(&engine, "app", ann);
    undo(&engine, "app", joined);
    submit_in(&engine, "app", Command::Delete { contact: ann }).unwrap();
    submit_in(&engine, "app", Command::Restore { contact: ann }).unwrap();
    user(&engine, "1", "Ann B. Lee", "+12125550101");
    submit_in(&engine, "app", Command::Consent(ConsentCommand::RotateSuppression)).unwrap();
    let to = Path::new("/backups/all");
    let last = engine.backup(to).unwrap().seq;
    drop(engine);
    let mut known = 0;
    for seq in 1..=last {
        let then = format!("/then-{seq}");
        carry::restore(&disk, to, Path::new(&then), Until::Seq(seq)).unwrap();
        let engine = open_at(&then);
        let Ok(view) = engine.view(&name("app")) else { continue };
        for id in [ann, note] {
            if let Ok(state) = view.discovery(id) {
                assert!(state.policy == Findable::Nobody && state.opted_out_at.is_some(), "{id} as of seq {seq}");
                known += 1;
            }
        }
        let again =
            put(&engine, "app", r#"{"source":"new","source_record_id":"9","name":"A. Lee","phone":"+12125550101"}"#);
        assert!(is_out(&engine, "app", again), "who comes back as of seq {seq}");
    }
    assert!(known > 20, "{known}");
}

/// A cut at every frame of the journal behind the opt-out's acknowledgement leaves it in force.
#[test]
fn an_acknowledged_opt_out_outlives_every_cut_behind_it() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine);
    let ann = user(&engine, "1", "Ann Lee", "+12125550101");
    allow(&engine, ann, Findable::Everyone, None).unwrap();
    opt_out(&engine, "app", ann);
    let acknowledged = disk.crash(1);
    drop(engine);
    assert!(is_out(&reopen(&acknowledged), "app", ann));
    for seed in 1..12 {
        let engine = reopen(&disk);
        let _ = user(&engine, "1", &format!("Ann B. Lee {seed}"), "+12125550101");
        let image = disk.crash(seed);
        drop(engine);
        assert!(is_out(&reopen(&image), "app", ann), "seed {seed}");
    }
}

#[test]
fn the_calls_over_http() {
    let dir = folder();
    let server = Server::start(dir.path());
    let json_call = |method: &str, path: &str, body: &serde_json::Value| {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, answer) = call(server.address(), method, path, "application/json", &bytes).unwrap();
        (status, serde_json::from_slice::<serde_json::Value>(&answer).unwrap_or_default())
    };
    let settings = json!({"discovery": {"users": "app"}});
    let (status, answer) = json_call("PUT", "/v1/tenants/main/settings", &settings);
    assert_eq!((status, &answer["discovery"]["users"]), (200, &json!("app")), "{answer}");
    let ids: Vec<String> = [("1", "Ann Lee", "+12125550101"), ("2", "Bo Berg", "+12125550102")]
        .map(|(id, who, phone)| {
            let record = json!({"record": {"source": "app", "source_record_id": id, "name": who, "phone": phone}});
            let answer = server.post("/v1/tenants/main/contacts:upsert", &record);
            answer["results"][0]["contact_id"].as_str().unwrap().to_owned()
        })
        .into();
    let at = |rest: &str| format!("/v1/tenants/main/contacts/{}{rest}", ids[0]);
    let (_, answer) = json_call("GET", &at("/discovery"), &json!(null));
    assert_eq!((&answer["policy"], &answer["history"]), (&json!("nobody"), &json!([])), "{answer}");
    let said = json!({"policy": "mutual", "book": "ann", "consent": {"basis": "consent", "actor": "ann", "at": "2026-01-27T10:00:00Z"}});
    let (status, answer) = json_call("PUT", &at("/discovery"), &said);
    assert_eq!((status, &answer["policy"], &answer["consent"]["basis"]), (200, &json!("mutual"), &json!("consent")));
    for (body, field) in [
        (json!({"policy": "friends"}), "policy"),
        (json!({"policy": "mutual", "book": "A B"}), "book"),
        (
            json!({"policy": "mutual", "consent": {"basis": "because", "actor": "a", "at": "2026-01-27T10:00:00Z"}}),
            "consent.basis",
        ),
        (
            json!({"policy": "mutual", "consent": {"basis": "consent", "actor": "a", "at": "2126-01-27T10:00:00Z"}}),
            "consent.at",
        ),
        (json!({"policy": "mutual", "more": 1}), "more"),
    ] {
        let (status, answer) = json_call("PUT", &at("/discovery"), &body);
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
    }
    let block = at(&format!("/blocks/{}", ids[1]));
    assert_eq!(json_call("GET", &block, &json!(null)).0, 404);
    assert_eq!(json_call("PUT", &block, &json!(null)).1["blocked"], json!(true));
    assert_eq!(json_call("GET", &block, &json!(null)).0, 200);
    assert_eq!(json_call("GET", &at("/blocks"), &json!(null)).1["items"][0]["other_id"], json!(ids[1]));
    assert_eq!(json_call("DELETE", &block, &json!(null)).1["blocked"], json!(false));
    assert_eq!(json_call("PUT", &at(&format!("/blocks/{}", ids[0])), &json!(null)).0, 400);
    let (status, answer) =
        json_call("PUT", &at("/sharing"), &json!({"fields": {"phones": "contacts", "notes": "nobody"}}));
    assert_eq!((status, &answer["fields"]), (200, &json!({"phones": "contacts"})), "{answer}");
    assert_eq!(json_call("PUT", &at("/sharing"), &json!({"fields": {"phone": "contacts"}})).0, 400);
    assert_eq!(json_call("GET", &at("/suggestions"), &json!(null)).1, json!({"items": [], "truncated": false}));
    assert_eq!(json_call("GET", &at("/directory-user"), &json!(null)).0, 409);
    let (status, answer) = json_call("POST", &at("/opt-out"), &json!(null));
    assert!(status == 200 && answer["opted_out_at"].is_string(), "{answer}");
    let (_, again) = json_call("POST", &at("/opt-out"), &json!(null));
    assert_eq!(again["seq"], answer["seq"], "once is enough");
    let (_, answer) = json_call("GET", &at("/discovery"), &json!(null));
    assert_eq!(answer["policy"], json!("nobody"), "{answer}");
    assert_eq!(json_call("PUT", &at("/discovery"), &said).1["code"], json!("opted_out"));
    let trail = server.get("/v1/tenants/main/audit");
    let kinds: Vec<&str> = trail["items"].as_array().unwrap().iter().filter_map(|one| one["what"].as_str()).collect();
    assert!(kinds.contains(&"OptedOut") && kinds.contains(&"PolicySet"), "{kinds:?}");
}
