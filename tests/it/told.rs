//! What look-ups tell is worked out ahead and followed from write to write: after any commands it is what a server says that
//! has just started, and works it out anew.

use proptest::prelude::*;
use selfsame::discovery::Kind;
use selfsame::discovery::dialect::primary;
use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, ConsentCommand, Context, Mode};
use selfsame::host::MemDisk;
use selfsame::model::event::DiscoveryKey;
use selfsame::model::event::consent::Findable;
use selfsame::model::ids::{EntityId, MergeId, RecordKey};

use crate::engine::{open, record, reopen};
use crate::lookups::{allow, directory, name, put, submit, user};

/// Phones in the world.
const PHONES: u32 = 10;

#[derive(Clone, Debug)]
enum Act {
    Put { source: bool, record: u32, phone: u32 },
    Allow { contact: usize, policy: u8 },
    OptOut { contact: usize },
    Delete { contact: usize },
    Restore { contact: usize },
    Restrict { contact: usize, restricted: bool },
    Merge { contact: usize, other: usize },
    Undo,
    Withdraw { source: bool, record: u32 },
    Erase { contact: usize },
    Patch { contact: usize, phone: u32 },
    Block { contact: usize, other: usize, holds: bool },
    Rotate,
}

fn act() -> impl Strategy<Value = Act> {
    let (at, phone, record) = (0_usize..12, 0..PHONES, 0_u32..6);
    prop_oneof![
        4 => (any::<bool>(), record.clone(), phone.clone())
            .prop_map(|(source, record, phone)| Act::Put { source, record, phone }),
        4 => (at.clone(), 0_u8..8).prop_map(|(contact, policy)| Act::Allow { contact, policy }),
        1 => at.clone().prop_map(|contact| Act::OptOut { contact }),
        1 => at.clone().prop_map(|contact| Act::Delete { contact }),
        1 => at.clone().prop_map(|contact| Act::Restore { contact }),
        1 => (at.clone(), any::<bool>()).prop_map(|(contact, restricted)| Act::Restrict { contact, restricted }),
        3 => (at.clone(), at.clone()).prop_map(|(contact, other)| Act::Merge { contact, other }),
        2 => Just(Act::Undo),
        1 => (any::<bool>(), record).prop_map(|(source, record)| Act::Withdraw { source, record }),
        1 => at.clone().prop_map(|contact| Act::Erase { contact }),
        1 => (at.clone(), phone).prop_map(|(contact, phone)| Act::Patch { contact, phone }),
        1 => (at.clone(), at, any::<bool>())
            .prop_map(|(contact, other, holds)| Act::Block { contact, other, holds }),
        1 => Just(Act::Rotate),
    ]
}

fn phone(number: u32) -> String {
    format!("+1212555{:04}", 100 + number)
}

fn source(is_app: bool) -> &'static str {
    if is_app { "app" } else { "crm" }
}

/// Contacts that were ever seen, and merges that may be undone.
#[derive(Default)]
struct Seen {
    contacts: Vec<EntityId>,
    merges: Vec<MergeId>,
}

impl Seen {
    fn at(&self, number: usize) -> EntityId {
        self.contacts[number % self.contacts.len()]
    }

    /// Does it; what is refused (a contact that is gone, a merge with itself) changes nothing.
    fn act(&mut self, engine: &Engine, act: &Act) {
        let command = match *act {
            Act::Put { source: app, record: id, phone: number } => {
                let json = format!(
                    r#"{{"source":"{}","source_record_id":"{id}","name":"Person {id}","phone":"{}"}}"#,
                    source(app),
                    phone(number)
                );
                let records = vec![record(&json)];
                Command::Upsert { records, mode: Mode::Merge, dry_run: false }
            }
            Act::Allow { contact, policy } => {
                let policy = [Findable::Nobody, Findable::Mutual, Findable::Everyone][usize::from(policy).min(2)];
                return allow_if_there(engine, self.at(contact), policy);
            }
            Act::OptOut { contact } => Command::Consent(ConsentCommand::OptOut { contact: self.at(contact) }),
            Act::Delete { contact } => Command::Delete { contact: self.at(contact) },
            Act::Restore { contact } => Command::Restore { contact: self.at(contact) },
            Act::Restrict { contact, restricted } => {
                Command::Restrict { contact: self.at(contact), restricted, reason: None }
            }
            Act::Merge { contact, other } => {
                let contacts = vec![self.at(contact), self.at(other)];
                Command::Merge { contacts, survivor: None, reason: None, dry_run: false }
            }
            Act::Undo => match self.merges.pop() {
                Some(merge) => Command::UndoMerge { merge },
                None => return,
            },
            Act::Withdraw { source: app, record } => {
                let key = RecordKey { source: source(app).into(), source_record_id: record.to_string().into() };
                Command::DeleteRecord { key }
            }
            Act::Erase { contact } => Command::Erase { contact: self.at(contact) },
            Act::Patch { contact, phone: number } => {
                let set = record(&format!(r#"{{"name":"x","phone":"{}"}}"#, phone(number))).fields;
                Command::Patch { contact: self.at(contact), set: Box::new(set), touched: vec!["phones".to_owned()] }
            }
            Act::Block { contact, other, holds } => {
                let (contact, other) = (self.at(contact), self.at(other));
                Command::Consent(ConsentCommand::Block { contact, other, holds })
            }
            Act::Rotate => {
                engine.rotate_discovery(&name("app"), DiscoveryKey::Tags, &Context::default()).unwrap();
                return;
            }
        };
        match submit(engine, "app", command) {
            Ok(Answer::Upserted(results)) => {
                self.contacts.extend(results.iter().filter_map(|result| result.contact_id));
            }
            Ok(Answer::Merged { merge_id: Some(merge), .. }) => self.merges.push(merge),
            Ok(_) | Err(_) => {}
        }
    }
}

fn allow_if_there(engine: &Engine, contact: EntityId, policy: Findable) {
    use selfsame::engine::api::Policy;
    use selfsame::model::event::Consent;
    use selfsame::model::ids::Millis;
    let consent = Consent { basis: "consent".into(), actor: "me".into(), at: Millis(1) };
    let policy = Policy { policy, book: None, consent: Some(consent) };
    drop(submit(engine, "app", Command::Consent(ConsentCommand::Policy { contact, policy })));
}

/// Who is found by each phone, asked for nobody and for somebody; in a debug build each answer is compared with the
/// state's as well.
fn answers(engine: &Engine, asker: EntityId) -> Vec<Option<Vec<Option<EntityId>>>> {
    let asked = |asker: Option<&str>| {
        let asking = engine.asking(&name("app"), asker).ok()?;
        let found = |number| asking.contact(&asking.tag(Kind::Phone, &primary(&phone(number))), false);
        Some((0..PHONES).map(found).collect())
    };
    vec![asked(None), asked(Some(&asker.to_string()))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_any_commands_it_is_what_a_server_says_that_has_just_started(acts in prop::collection::vec(act(), 1..40)) {
        let disk = MemDisk::new();
        let engine = open(&disk);
        directory(&engine, "app");
        let asker = user(&engine, "app", "asker", r#""phone":"+12125559999""#);
        let mut seen = Seen { contacts: vec![asker], merges: Vec::new() };
        for number in 0..4 {
            let json = format!(r#"{{"source":"app","source_record_id":"{number}","name":"Person {number}","phone":"{}"}}"#, phone(number));
            seen.contacts.push(put(&engine, "app", &json));
        }
        allow(&engine, "app", seen.at(1), Findable::Everyone, None);
        answers(&engine, asker);
        for act in &acts {
            seen.act(&engine, act);
            answers(&engine, asker);
        }
        let (before, acknowledged) = (answers(&engine, asker), disk.crash(1));
        let started = reopen(&acknowledged);
        prop_assert_eq!(before, answers(&started, asker));
    }
}
/// A record moved from a contact to another, and with the next write it began a contact of its own under the id that it had
/// brought into the first. So the first one lost an id, and with it the policy that was set for both; the change feed named
/// only the two that the record went between, and look-ups went on telling the first.
#[test]
fn a_contact_that_loses_an_absorbed_id_is_named_in_the_feed_and_told_no_more() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    directory(&engine, "app");
    let asker = user(&engine, "app", "asker", r#""phone":"+12125559999""#);
    let mut seen = Seen { contacts: vec![asker], merges: Vec::new() };
    let put = |source, record, phone| Act::Put { source, record, phone };
    for number in 0..4 {
        seen.act(&engine, &put(true, number, number));
    }
    answers(&engine, asker);
    let first = seen.at(3);
    let acts = [put(false, 0, 2), put(false, 1, 2), put(true, 0, 3), Act::Allow { contact: 3, policy: 2 }];
    acts.iter().for_each(|act| seen.act(&engine, act));
    let asks = |number| {
        let asking = engine.asking(&name("app"), Some(&asker.to_string())).unwrap();
        asking.contact(&asking.tag(Kind::Phone, &primary(&phone(number))), false)
    };
    assert_eq!(asks(2), Some(first), "the policy holds for all that is in it");
    seen.act(&engine, &put(true, 2, 4));
    let before = engine.view(&name("app")).unwrap().seq();
    assert_eq!(asks(4), Some(first));
    seen.act(&engine, &put(false, 2, 2));
    let named: Vec<_> = engine.view(&name("app")).unwrap().changes(before, 100).items;
    assert!(named.iter().any(|entry| entry.contacts.contains(&first)), "{named:?}");
    assert_eq!(asks(4), None, "what was said of more than is left counts no more");
}
