//! Exact look-ups in a directory: who is found by what, and who is not; through every change, rotation and restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use selfsame::discovery::dialect::{DIALECTS, inners, parse_digest, primary};
use selfsame::discovery::{Inner, Kind};
use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, ConsentCommand, Context, Mode, Policy};
use selfsame::error::Error;
use selfsame::host::MemDisk;
use selfsame::model::event::consent::Findable;
use selfsame::model::event::{Consent, DiscoveryKey};
use selfsame::model::ids::{EntityId, Millis, RecordKey, TenantName};
use selfsame::model::settings::{Discovery, Settings};

use crate::engine::{open, record, reopen};
use crate::simulate::without_snapshots;

pub fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

pub fn submit(engine: &Engine, tenant: &str, command: Command) -> Result<Answer, Error> {
    engine.submit_blocking(&name(tenant), command, Context::default()).map(|receipt| receipt.answer)
}

pub fn put(engine: &Engine, tenant: &str, json: &str) -> EntityId {
    let command = Command::Upsert { records: vec![record(json)], mode: Mode::Merge, dry_run: false };
    let Ok(Answer::Upserted(results)) = submit(engine, tenant, command) else { panic!("results") };
    results[0].contact_id.unwrap()
}

pub fn settle(engine: &Engine, tenant: &str, discovery: Discovery) -> Result<Answer, Error> {
    let settings = Settings { discovery, ..Settings::default() };
    submit(engine, tenant, Command::PutSettings { settings: Box::new(settings) })
}

pub fn directory(engine: &Engine, tenant: &str) {
    settle(engine, tenant, Discovery { users: Some("app".into()), ..Discovery::default() }).unwrap();
}

pub fn allow(engine: &Engine, tenant: &str, contact: EntityId, policy: Findable, book: Option<&str>) {
    let consent = Consent { basis: "consent".into(), actor: "sign-up".into(), at: Millis(1) };
    let policy = Policy { policy, book: book.map(str::to_owned), consent: Some(consent) };
    submit(engine, tenant, Command::Consent(ConsentCommand::Policy { contact, policy })).unwrap();
}

/// A user whom everyone may find.
pub fn user(engine: &Engine, tenant: &str, id: &str, fields: &str) -> EntityId {
    let json = format!(r#"{{"source":"app","source_record_id":"{id}","name":"User {id}",{fields}}}"#);
    let contact = put(engine, tenant, &json);
    allow(engine, tenant, contact, Findable::Everyone, None);
    contact
}

/// Who is found by a plain identifier.
pub fn find(engine: &Engine, tenant: &str, asker: Option<&str>, text: &str) -> Option<EntityId> {
    let asking = engine.asking(&name(tenant), asker).unwrap();
    let (kind, canonical) = match text.contains('@') {
        true => (Kind::Email, asking.email(text)?),
        false => (Kind::Phone, asking.phone(text, None)?),
    };
    asking.contact(&asking.tag(kind, &primary(&canonical)), true)
}

/// Who is found by a digest.
fn find_digest(engine: &Engine, tenant: &str, kind: Kind, inner: &Inner) -> Option<EntityId> {
    let asking = engine.asking(&name(tenant), None).unwrap();
    asking.contact(&asking.tag(kind, inner), false)
}

fn merge(engine: &Engine, survivor: EntityId, loser: EntityId) -> selfsame::model::ids::MergeId {
    let contacts = vec![survivor, loser];
    let command = Command::Merge { contacts, survivor: Some(survivor), reason: None, dry_run: false };
    match submit(engine, "app", command).unwrap() {
        Answer::Merged { merge_id, .. } => merge_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_very_next_look_up_sees_what_was_acknowledged() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine, "app");
    let ann = user(&engine, "app", "1", r#""phone":"+1 212-555-0101","email":"Ann.Lee@Example.com""#);
    let found = |text: &str| find(&engine, "app", None, text);
    assert_eq!(found("(212) 555-0101"), Some(ann));
    assert_eq!(found("ann.lee@example.com"), Some(ann));
    assert_eq!((found("+12125550102"), found("nobody@example.com"), found("ann")), (None, None, None));
    let bob = user(&engine, "app", "2", r#""phone":"+12125550102""#);
    assert_eq!(found("+12125550102"), Some(bob), "new");
    put(&engine, "app", r#"{"source":"app","source_record_id":"2","name":"User 2","phone":"+12125550103"}"#);
    assert_eq!((found("+12125550102"), found("+12125550103")), (None, Some(bob)), "changed");
    submit(&engine, "app", Command::Delete { contact: bob }).unwrap();
    assert_eq!(found("+12125550103"), None, "deleted");
    submit(&engine, "app", Command::Restore { contact: bob }).unwrap();
    assert_eq!(found("+12125550103"), Some(bob), "restored");
    // A second record of Bob's from elsewhere, without a user id.
    let more =
        put(&engine, "app", r#"{"source":"crm","source_record_id":"9","name":"Robert Other","phone":"+12125550104"}"#);
    assert_eq!(found("+12125550104"), None, "nobody has allowed it");
    let joined = merge(&engine, bob, more);
    assert_eq!(found("+12125550104"), Some(bob), "merged");
    submit(&engine, "app", Command::UndoMerge { merge: joined }).unwrap();
    assert_eq!((found("+12125550104"), found("+12125550103")), (None, Some(bob)), "undone");
    let key = RecordKey { source: "app".into(), source_record_id: "2".into() };
    submit(&engine, "app", Command::DeleteRecord { key }).unwrap();
    assert_eq!(found("+12125550103"), None, "withdrawn");
    submit(&engine, "app", Command::Erase { contact: ann }).unwrap();
    assert_eq!((found("+12125550101"), found("ann.lee@example.com")), (None, None), "erased");
}

#[test]
fn what_a_person_took_away_by_hand_is_not_found_and_what_was_added_is() {
    let engine = open(&MemDisk::new());
    directory(&engine, "app");
    let ann = user(&engine, "app", "1", r#""phone":"+12125550101","email":"ann@example.com""#);
    let found = |text: &str| find(&engine, "app", None, text);
    assert_eq!(found("+12125550101"), Some(ann));
    let set = record(r#"{"name":"x","phone":"+12125550199"}"#).fields;
    let touched = vec!["phones".to_owned()];
    submit(&engine, "app", Command::Patch { contact: ann, set: Box::new(set), touched }).unwrap();
    assert_eq!((found("+12125550101"), found("+12125550199")), (None, Some(ann)));
    assert_eq!(found("ann@example.com"), Some(ann));
}

#[test]
fn every_dialect_finds_and_what_was_not_normalised_does_not() {
    let engine = open(&MemDisk::new());
    directory(&engine, "app");
    let mut users = BTreeMap::new();
    for dialect in DIALECTS {
        let (canonical, _) = dialect.vector;
        let id = format!("u{}", users.len());
        users.entry(canonical).or_insert_with(|| {
            let field = if dialect.kind == Kind::Phone { "phone" } else { "email" };
            user(&engine, "app", &id, &format!(r#""{field}":"{canonical}""#))
        });
    }
    for dialect in DIALECTS {
        let (canonical, hex) = dialect.vector;
        let expected = Some(users[canonical]);
        let found = |text: &str| find_digest(&engine, "app", dialect.kind, &parse_digest(text).unwrap());
        assert_eq!((found(hex), found(&hex.to_uppercase())), (expected, expected), "{}", dialect.label);
        assert_eq!(find(&engine, "app", None, canonical), expected);
        // A digest of another kind, of the digest, and of what nobody normalised.
        let other = if dialect.kind == Kind::Phone { Kind::Email } else { Kind::Phone };
        assert_eq!(find_digest(&engine, "app", other, &parse_digest(hex).unwrap()), None);
        for raw in [hex.to_owned(), format!(" {canonical}"), canonical.to_uppercase().replace('+', " +")] {
            assert_eq!(find_digest(&engine, "app", dialect.kind, &primary(&raw)), None, "{raw}");
        }
        // Whoever else hashes the same identifier in another way finds the same.
        for inner in inners(dialect.kind, canonical) {
            assert!(find_digest(&engine, "app", dialect.kind, &inner).is_some());
        }
    }
}

#[test]
fn who_hides_is_as_if_absent_in_whatever_way() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine, "app");
    let asker = user(&engine, "app", "asker", r#""phone":"+12125550100""#);
    let open_user = user(&engine, "app", "open", r#""phone":"+12125550101""#);
    let closed =
        put(&engine, "app", r#"{"source":"app","source_record_id":"closed","name":"C","phone":"+12125550102"}"#);
    let out = user(&engine, "app", "out", r#""phone":"+12125550103""#);
    submit(&engine, "app", Command::Consent(ConsentCommand::OptOut { contact: out })).unwrap();
    assert_eq!(find(&engine, "app", None, "+12125550101"), Some(open_user), "nobody hides from anybody yet");
    let blocker = user(&engine, "app", "blocker", r#""phone":"+12125550104""#);
    let block = ConsentCommand::Block { contact: blocker, other: asker, holds: true };
    submit(&engine, "app", Command::Consent(block)).unwrap();
    let refused = engine.asking(&name("app"), None).err().unwrap();
    assert!(matches!(&refused, Error::Invalid { field, .. } if field == "asker"), "{refused}");
    let refused = engine.asking(&name("app"), Some("+12125550100")).err().unwrap();
    assert!(matches!(&refused, Error::Invalid { field, .. } if field == "asker"), "{refused}");
    assert!(!refused.to_string().contains("555"), "{refused}");
    let other = user(&engine, "app", "other", r#""phone":"+12125550105""#);
    for reopens in [false, true] {
        let opened = reopens.then(|| reopen(&disk.crash(1)));
        let engine = opened.as_ref().unwrap_or(&engine);
        for asker in ["asker".to_owned(), asker.to_string()] {
            let found = |text: &str| find(engine, "app", Some(&asker), text);
            assert_eq!(found("+12125550101"), Some(open_user));
            for hidden in ["+12125550102", "+12125550103", "+12125550104", "+12125550199"] {
                assert_eq!(found(hidden), None, "{hidden}");
            }
        }
        assert_eq!(find(engine, "app", Some("other"), "+12125550104"), Some(blocker), "{other}");
        assert_eq!(find(engine, "app", Some("other"), "+12125550102"), None, "{closed}");
    }
}

#[test]
fn acquaintances_only_are_told_to_those_in_their_book() {
    let engine = open(&MemDisk::new());
    directory(&engine, "app");
    user(&engine, "app", "ann", r#""phone":"+12125550101""#);
    user(&engine, "app", "eve", r#""phone":"+12125550102""#);
    let bob = user(&engine, "app", "bob", r#""phone":"+12125550103""#);
    settle(&engine, "bobs", Discovery { directory: Some("app".into()), ..Discovery::default() }).unwrap();
    put(&engine, "bobs", r#"{"source":"phone","source_record_id":"1","name":"Ann","phone":"212-555-0101"}"#);
    allow(&engine, "app", bob, Findable::Mutual, Some("bobs"));
    assert!(engine.asking(&name("app"), None).is_err(), "it makes a difference who asks");
    assert_eq!(find(&engine, "app", Some("ann"), "+12125550103"), Some(bob));
    assert_eq!(find(&engine, "app", Some("eve"), "+12125550103"), None);
}

#[test]
fn tenants_have_nothing_in_common() {
    let engine = open(&MemDisk::new());
    let mut tags = Vec::new();
    for tenant in ["app", "other"] {
        directory(&engine, tenant);
        user(&engine, tenant, "1", r#""phone":"+12125550101""#);
        let asking = engine.asking(&name(tenant), None).unwrap();
        tags.push(asking.tag(Kind::Phone, &primary("+12125550101")));
    }
    assert_ne!(tags[0], tags[1]);
    let asking = engine.asking(&name("other"), None).unwrap();
    assert_eq!(asking.contact(&tags[0], false), None, "a tag of one says nothing in another");
    put(&engine, "plain", r#"{"source":"a","source_record_id":"1","name":"A","phone":"+12125550101"}"#);
    let refused = engine.asking(&name("plain"), None).err().unwrap();
    assert!(matches!(refused, Error::Conflict { code: "not_a_directory", .. }), "{refused}");
    let off = Discovery { users: Some("app".into()), lookup: false, ..Discovery::default() };
    settle(&engine, "other", off).unwrap();
    let refused = engine.asking(&name("other"), None).err().unwrap();
    assert!(matches!(refused, Error::Conflict { code: "lookup_off", .. }), "{refused}");
}

#[test]
fn nothing_is_missed_while_keys_rotate_and_records_change() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine, "app");
    let users: Vec<(String, EntityId)> = (0..60)
        .map(|at| {
            let phone = format!("+1212555{:04}", 1000 + at);
            let id = user(&engine, "app", &format!("u{at}"), &format!(r#""phone":"{phone}""#));
            (phone, id)
        })
        .collect();
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for first in 0..3 {
            let (engine, users, stop, asked) = (&engine, &users, &stop, &asked);
            scope.spawn(move || {
                for (phone, id) in users.iter().cycle().skip(first * 20) {
                    assert_eq!(find(engine, "app", None, phone), Some(*id), "{phone}");
                    assert_eq!(find(engine, "app", None, "+12125559999"), None);
                    asked.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                let phone = format!("+1212555{:04}", 3000 + at);
                let id = user(&engine, "app", &format!("w{at}"), &format!(r#""phone":"{phone}""#));
                assert_eq!(find(&engine, "app", None, &phone), Some(id), "its own write");
                // The others keep what they have, in a record that is written anew.
                let (kept, owner) = &users[at % users.len()];
                let json = format!(
                    r#"{{"source":"app","source_record_id":"u{}","name":"User v{at}","phone":"{kept}"}}"#,
                    at % users.len()
                );
                assert_eq!(put(&engine, "app", &json), *owner);
                at += 1;
            }
        });
        for epoch in 2..8 {
            let done = engine.rotate_discovery(&name("app"), DiscoveryKey::Tags, &Context::default()).unwrap();
            assert_eq!((done, engine.asking(&name("app"), None).unwrap().epoch()), (epoch, epoch));
            let so_far = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < so_far + 30 && !writer.is_finished() {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let fingerprint = engine.view(&name("app")).unwrap().fingerprint();
    engine.snapshot().unwrap();
    drop(engine);
    for disk in [without_snapshots(&disk), disk] {
        let engine = reopen(&disk);
        assert_eq!(engine.view(&name("app")).unwrap().fingerprint(), fingerprint);
        assert_eq!(engine.asking(&name("app"), None).unwrap().epoch(), 7);
        for (phone, id) in &users {
            assert_eq!(find(&engine, "app", None, phone), Some(*id));
        }
    }
}

#[test]
fn keys_have_epochs_of_their_own() {
    let engine = open(&MemDisk::new());
    directory(&engine, "app");
    let rotate = |what| engine.rotate_discovery(&name("app"), what, &Context::default());
    assert!(rotate(DiscoveryKey::Oprf).is_err(), "no set was made under the first key yet");
    assert_eq!((rotate(DiscoveryKey::Pepper).unwrap(), rotate(DiscoveryKey::Pepper).unwrap()), (2, 3));
    let epochs = engine.epochs(&name("app")).unwrap();
    assert_eq!((epochs.tags.number, epochs.pepper.number), (1, 3));
    assert!(epochs.pepper.since > epochs.tags.since && epochs.tags.since == Millis(0));
}

/// An identifier of the oracle's small world, so that contacts share some.
fn identifier() -> impl Strategy<Value = (Kind, String)> {
    prop_oneof![
        (0_u32..30).prop_map(|n| (Kind::Phone, format!("+1212555{:04}", 100 + n))),
        ("[ab]\\.?[cd](\\+[x])?", "(gmail|googlemail|example)")
            .prop_map(|(user, host)| (Kind::Email, format!("{user}@{host}.com"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The answers are those of a table made by hand.
    #[test]
    fn like_a_naive_table(
        people in proptest::collection::vec(proptest::collection::vec(identifier(), 1..4), 1..12),
        questions in proptest::collection::vec((identifier(), any::<bool>(), any::<prop::sample::Index>()), 30),
    ) {
        let engine = open(&MemDisk::new());
        directory(&engine, "app");
        let mut plain: HashMap<(Kind, String), EntityId> = HashMap::new();
        let mut digests: HashMap<(Kind, Inner), (bool, EntityId)> = HashMap::new();
        for (at, own) in people.iter().enumerate() {
            let list = |wanted: Kind| {
                let all = own.iter().filter(|(kind, _)| *kind == wanted);
                serde_json::to_string(&all.map(|(_, text)| text).collect::<Vec<_>>()).unwrap()
            };
            let fields = format!(r#""phones":{},"emails":{}"#, list(Kind::Phone), list(Kind::Email));
            let id = user(&engine, "app", &format!("p{at}"), &fields);
            // What normalising takes for one address is kept once, in its first spelling.
            let contact = engine.view(&name("app")).unwrap().contact(id).unwrap();
            let phones = contact.fields.phones.iter().map(|phone| (Kind::Phone, phone.value.clone()));
            let emails = contact.fields.emails.iter().map(|email| (Kind::Email, email.value.clone()));
            for (kind, text) in phones.chain(emails) {
                plain.entry((kind, text.clone())).or_insert(id);
                for (at, inner) in inners(kind, &text).into_iter().enumerate() {
                    let known = digests.entry((kind, inner)).or_insert((at > 0, id));
                    if at == 0 && known.0 {
                        *known = (false, id);
                    }
                }
            }
        }
        for ((kind, text), is_plain, which) in questions {
            if is_plain {
                prop_assert_eq!(find(&engine, "app", None, &text), plain.get(&(kind, text.clone())).copied(), "{}", text);
            } else {
                let all = inners(kind, &text);
                let inner = *which.get(&all);
                let expected = digests.get(&(kind, inner)).map(|(_, id)| *id);
                prop_assert_eq!(find_digest(&engine, "app", kind, &inner), expected, "a digest of {}", text);
            }
        }
    }
}

/// Many threads ask while the map is built for the first time and records come.
#[test]
fn the_first_look_ups_agree_with_the_later_ones() {
    let engine = open(&MemDisk::new());
    directory(&engine, "app");
    let users: Vec<(String, EntityId)> = (0..40)
        .map(|at| {
            let phone = format!("+1212555{:04}", 1000 + at);
            (phone.clone(), user(&engine, "app", &format!("u{at}"), &format!(r#""phone":"{phone}""#)))
        })
        .collect();
    let engine = Arc::new(engine);
    std::thread::scope(|scope| {
        for (phone, id) in &users {
            let engine = Arc::clone(&engine);
            scope.spawn(move || assert_eq!(find(&engine, "app", None, phone), Some(*id)));
        }
    });
}
