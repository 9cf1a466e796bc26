//! People whose right answer is known, in every order of arrival (24 of them where there are more), one by one and at once;
//! then what a tenant lives through: bridges, switchboards, judgements, floods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, Mode, Outcome};
use selfsame::error::Error;
use selfsame::host::MemDisk;
use selfsame::model::ids::{EntityId, MergeId, RecordKey};
use selfsame::model::record::Fields;
use selfsame::model::settings::Settings;
use serde_json::{Value, json};

use crate::engine::{open, record, tenant, upsert};
use crate::properties::{contacts, put, submit};

/// Orders of a list that are tried at most.
const ORDERS_MAX: usize = 24;

/// Every order of up to four things; of more [`ORDERS_MAX`] that a fixed seed shuffles, the first as they are.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count <= 4 {
        let mut all = vec![Vec::new()];
        for next in 0..count {
            let insert = |order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, next);
                    order
                })
            };
            all = all.into_iter().flat_map(insert).collect();
        }
        return all;
    }
    let mut seed = 1u64;
    let shuffled = |number: usize| {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev().filter(|_| number > 0) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, (seed >> 33) as usize % (at + 1));
        }
        order
    };
    (0..ORDERS_MAX).map(shuffled).collect()
}

/// The records' names by contact.
fn partition(engine: &Engine) -> BTreeSet<BTreeSet<String>> {
    let names = |keys: BTreeSet<RecordKey>| keys.into_iter().map(|key| key.source_record_id.to_string()).collect();
    contacts(engine).into_keys().map(names).collect()
}

/// What each contact of a partition is called.
fn named(engine: &Engine) -> BTreeMap<BTreeSet<String>, EntityId> {
    let names = |keys: BTreeSet<RecordKey>| keys.into_iter().map(|key| key.source_record_id.to_string()).collect();
    contacts(engine).into_iter().map(|(keys, (id, _))| (names(keys), id)).collect()
}

fn said(name: &str, fields: &Value) -> String {
    let mut said = fields.clone();
    said["source"] = "s".into();
    said["source_record_id"] = name.into();
    said["version"] = said.get("version").cloned().unwrap_or(json!(1));
    said.to_string()
}

fn set(groups: &[&[&str]]) -> BTreeSet<BTreeSet<String>> {
    groups.iter().map(|group| group.iter().map(|name| (*name).to_owned()).collect()).collect()
}

/// Checks that records end in these contacts in every order, one by one and in one batch.
fn check(story: &str, records: &[(&str, Value)], expected: &[&[&str]]) {
    let expected = set(expected);
    for (number, order) in orders(records.len()).into_iter().enumerate() {
        let engine = open(&MemDisk::new());
        let in_order: Vec<String> = order.iter().map(|at| said(records[*at].0, &records[*at].1)).collect();
        if number % 2 == 0 {
            in_order.iter().for_each(|one| drop(upsert(&engine, one)));
        } else {
            put(&engine, in_order.iter().map(|one| record(one)).collect());
        }
        assert_eq!(partition(&engine), expected, "{story}, in the order {order:?}");
    }
}

#[test]
fn orders_are_different() {
    for count in [1, 2, 3, 4, 5, 8, 20] {
        let all = orders(count);
        let different = all.iter().collect::<BTreeSet<_>>().len();
        assert!(different == all.len() || (count > 4 && different > 20), "{different} of {}", all.len());
        assert_eq!(all.len(), if count < 4 { (1..=count).product() } else { ORDERS_MAX });
        assert!(all.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == count));
    }
}

#[test]
fn nicknames() {
    let records = [
        ("1", json!({"name": "William Thornbury", "phone": "+12125550100"})),
        ("2", json!({"name": "Bill Thornbury", "phone": "(212) 555-0100"})),
        ("3", json!({"name": "Will Thornbury", "email": "wt@example.com", "phone": "+12125550100"})),
        ("4", json!({"name": "Elizabeth Thornbury", "phone": "+12125550100"})),
    ];
    check("nicknames", &records, &[&["1", "2", "3"], &["4"]]);
}

#[test]
fn junior_and_senior() {
    let records = [
        (
            "sr",
            json!({"name": "Robert Ashdown Sr.", "phone": "+12125550100", "addresses": [{"street": "1 Elm St", "city": "Utica"}]}),
        ),
        ("sr2", json!({"name": "Bob Ashdown Sr.", "phone": "+12125550100"})),
        (
            "jr",
            json!({"name": "Robert Ashdown Jr.", "phone": "+12125550100", "addresses": [{"street": "1 Elm St", "city": "Utica"}]}),
        ),
        ("jr2", json!({"name": "Bobby Ashdown Jr", "phone": "+12125550100", "email": "bobby@example.com"})),
    ];
    check("Jr and Sr", &records, &[&["sr", "sr2"], &["jr", "jr2"]]);
}

#[test]
fn twins() {
    let home = json!([{"street": "7 Birch Lane", "city": "Salem", "postal_code": "97301"}]);
    let records = [
        ("mia", json!({"name": "Mia Lindqvist", "birthday": "2001-05-06", "phone": "+15035550100", "addresses": home})),
        ("lea", json!({"name": "Lea Lindqvist", "birthday": "2001-05-06", "phone": "+15035550100", "addresses": home})),
        ("mia2", json!({"name": "Mia Lindqvist", "birthday": "2001-05-06", "email": "mia.l@example.com"})),
        ("lea2", json!({"name": "Lea Lindqvist", "birthday": "2001-05-06", "email": "lea.l@example.com"})),
    ];
    check("twins", &records, &[&["mia", "mia2"], &["lea", "lea2"]]);
}

#[test]
fn maiden_names() {
    let records = [
        ("before", json!({"name": "Carolina Fjeldstad", "email": "carolina@example.com", "birthday": "1984-03-02"})),
        ("after", json!({"name": "Carolina Grabowski", "email": "carolina@example.com", "birthday": "1984-03-02"})),
        ("both", json!({"name": "Carolina Grabowski-Fjeldstad", "email": "carolina@example.com"})),
        ("sister", json!({"name": "Henrietta Fjeldstad", "birthday": "1986-09-09"})),
    ];
    check("a maiden name", &records, &[&["before", "after", "both"], &["sister"]]);
}

#[test]
fn parent_and_child_of_one_name() {
    let records = [
        ("parent", json!({"name": "Otto Birnbaum", "birthday": "1951-02-03", "phone": "+493012345678"})),
        ("parent2", json!({"name": "Otto Birnbaum", "birthday": "1951-02-03", "email": "otto.alt@example.com"})),
        ("child", json!({"name": "Otto Birnbaum", "birthday": "1986-11-27", "phone": "+493012345678"})),
        ("child2", json!({"name": "Otto Birnbaum", "birthday": "1986-11-27", "email": "otto.jung@example.com"})),
    ];
    check("parent and child", &records, &[&["parent", "parent2"], &["child", "child2"]]);
}

#[test]
fn a_mailbox_of_twenty_people() {
    let names = [
        "Ada Brink",
        "Bela Csorba",
        "Cem Demir",
        "Dora Eriksen",
        "Egon Falk",
        "Fay Gruber",
        "Gus Hartmann",
        "Hana Ito",
        "Igor Jansky",
        "Jane Kowal",
        "Karl Lund",
        "Lena Mraz",
        "Milo Nagy",
        "Nora Olsen",
        "Omar Patel",
        "Pia Quandt",
        "Quinn Rossi",
        "Rosa Silva",
        "Sven Toth",
        "Tara Ullman",
    ];
    let numbers: Vec<String> = (0..20).map(|number| format!("p{number:02}")).collect();
    let mut records: Vec<(&str, Value)> = Vec::new();
    for (number, name) in numbers.iter().zip(names) {
        records.push((number, json!({"name": name, "email": "reception@example.org"})));
    }
    records.push(("again", json!({"name": names[3], "email": "reception@example.org", "phone": "+12125550103"})));
    records.push(("again2", json!({"name": names[3], "phone": "+12125550103"})));
    let mut expected: Vec<Vec<&str>> = numbers.iter().map(|number| vec![number.as_str()]).collect();
    expected[3].extend(["again", "again2"]);
    let expected: Vec<&[&str]> = expected.iter().map(Vec::as_slice).collect();
    for (story, address) in [("a role mailbox", "info@example.org"), ("a mailbox of twenty people", "post@example.org")]
    {
        let records: Vec<(&str, Value)> = records
            .iter()
            .map(|(name, said)| {
                let mut said = said.clone();
                if said.get("email").is_some() {
                    said["email"] = address.into();
                }
                (*name, said)
            })
            .collect();
        check(story, &records, &expected);
    }
}

#[test]
fn a_couples_mailbox() {
    let records = [
        ("ann", json!({"name": "Ann Keller", "email": "kellers@example.net"})),
        ("otto", json!({"name": "Otto Keller", "email": "kellers@example.net"})),
        ("ann2", json!({"name": "Ann Keller", "email": "kellers@example.net", "phone": "+12125550111"})),
        ("otto2", json!({"name": "Otto Keller", "email": "kellers@example.net", "phone": "+12125550122"})),
    ];
    check("a couple's mailbox", &records, &[&["ann", "ann2"], &["otto", "otto2"]]);
}

#[test]
fn names_in_two_scripts() {
    let records = [
        ("ru", json!({"name": "Дмитрий Шостакович", "phone": "+74955550100"})),
        ("en", json!({"name": "Dmitri Shostakovich", "phone": "+74955550100"})),
        ("en2", json!({"name": "Dmitry Shostakovich", "email": "dsch@example.com", "phone": "+74955550100"})),
        ("other", json!({"name": "Ирина Шостакович", "phone": "+74955550100"})),
    ];
    check("two scripts", &records, &[&["ru", "en", "en2"], &["other"]]);
}

#[test]
fn owner_and_company() {
    let records = [
        (
            "owner",
            json!({"name": "Greta Abendroth", "phone": "+12125550100", "company_domain": "abendroth-bikes.example"}),
        ),
        ("owner2", json!({"name": "Greta Abendroth", "phone": "+12125550100", "organization": "Abendroth Bikes"})),
        (
            "company",
            json!({"organization": "Abendroth Bikes LLC", "phone": "+12125550100", "urls": ["https://abendroth-bikes.example"]}),
        ),
    ];
    check("owner and company", &records, &[&["owner", "owner2"], &["company"]]);
}

fn key(name: &str) -> RecordKey {
    RecordKey { source: "s".into(), source_record_id: name.into() }
}

/// An engine whose tenant has these settings.
fn under(settings: &Settings) -> Arc<Engine> {
    let engine = open(&MemDisk::new());
    submit(&engine, Command::PutSettings { settings: Box::new(settings.clone()) }).unwrap();
    engine
}

fn gone(engine: &Engine, name: &str) {
    submit(engine, Command::DeleteRecord { key: key(name) }).unwrap();
}

#[test]
fn a_bridge_comes_and_goes() {
    let engine = open(&MemDisk::new());
    upsert(&engine, &said("left", &json!({"name": "Fabian Czerny", "email": "fc@example.com"})));
    upsert(&engine, &said("right", &json!({"name": "Fabian Czerny", "phone": "+12125550100"})));
    let before = named(&engine);
    assert_eq!(before.len(), 2);
    for version in 0..3 {
        let bridge = json!({"name": "Fabian Czerny", "email": "fc@example.com", "phone": "+12125550100", "version": 2 + version});
        upsert(&engine, &said("bridge", &bridge));
        assert_eq!(partition(&engine), set(&[&["left", "bridge", "right"]]));
        gone(&engine, "bridge");
        assert_eq!(named(&engine), before, "both ids are back");
    }
}

/// A value that turns generic changes what pairs say that hold no edge, before or after: Marta and Oskar share a line and are
/// silent about one another, until the line is a switchboard's; then they stand against each other, and the record that
/// has both their mails no longer makes them one. How much it takes is the weights' business, so several couples try.
#[test]
fn a_switchboard_speaks_where_it_was_silent() {
    let settings = Settings { generic_max: 2, ..Settings::default() };
    let phone = "+12125550100";
    let stranger = ("greta", json!({"name": "Greta Kowalski", "phone": phone}));
    let couple = |marta: Value, oskar: Value| {
        let with = |mut more: Value, name: &str| {
            more["first_name"] = name.into();
            more["phone"] = phone.into();
            more["email"] = format!("{name}@example.com").into();
            more
        };
        let both = json!({"emails": ["marta@example.com", "oskar@example.com"]});
        vec![("marta", with(marta, "Marta")), ("oskar", with(oskar, "Oskar")), ("both", both)]
    };
    let couples = [
        couple(json!({}), json!({})),
        couple(json!({"last_name": "Smith"}), json!({"last_name": "Smith"})),
        couple(json!({"last_name": "Smith", "gender": "f"}), json!({"last_name": "Smith", "gender": "m"})),
        couple(json!({"gender": "f"}), json!({"gender": "m"})),
        couple(json!({"birthday": "1980"}), json!({"birthday": "1950"})),
    ];
    let mut spoke = 0;
    for couple in &couples {
        let expected = |records: &[&(&str, Value)]| {
            let engine = under(&settings);
            put(&engine, records.iter().map(|(name, fields)| record(&said(name, fields))).collect());
            partition(&engine)
        };
        let alone = expected(&couple.iter().collect::<Vec<_>>());
        let together = expected(&couple.iter().chain([&stranger]).collect::<Vec<_>>());
        spoke += usize::from(alone.len() + 1 != together.len());
        for order in orders(couple.len()) {
            let engine = under(&settings);
            order.iter().for_each(|at| drop(upsert(&engine, &said(couple[*at].0, &couple[*at].1))));
            assert_eq!(partition(&engine), alone, "in the order {order:?}");
            upsert(&engine, &said(stranger.0, &stranger.1));
            assert_eq!(partition(&engine), together, "in the order {order:?}");
            gone(&engine, stranger.0);
            assert_eq!(partition(&engine), alone, "in the order {order:?}");
        }
    }
    assert!(spoke > 0, "the stranger changes who the others are");
}

/// A `same` that wakes with a record makes one block of two, and one that is too large: what only a weak edge held
/// together is looked at again on both sides, also around the record that nobody wrote to.
#[test]
fn a_same_that_wakes_reopens_the_other_side() {
    let settings = Settings { review: 0.5, auto: 0.6, ..Settings::default() };
    let ann = json!({"name": "Ann Smith", "addresses": [{"city": "Springfield", "country": "US"}]});
    let bob = json!({"name": "Bob Jones", "addresses": [{"city": "Georgetown", "country": "US"}]});
    let names = |letter: &str| (0..33).map(|number| format!("{letter}{number:02}")).collect::<Vec<_>>();
    let engine = under(&settings);
    let (a, b) = (put_named(&engine, "a00", &ann), put_named(&engine, "b00", &bob));
    merged(&engine, a, b);
    gone(&engine, "b00");
    for (letter, fields) in [("a", &ann), ("b", &bob)] {
        names(letter).iter().skip(1).for_each(|name| drop(upsert(&engine, &said(name, fields))));
    }
    let before = partition(&engine);
    assert_eq!(before.len(), 2, "two blocks while one end of the judgement is gone: {before:?}");
    let mut back = bob.clone();
    back["version"] = 2.into();
    upsert(&engine, &said("b00", &back));

    let scratch = under(&settings);
    let (a, b) = (put_named(&scratch, "a00", &ann), put_named(&scratch, "b00", &back));
    merged(&scratch, a, b);
    for (letter, fields) in [("a", &ann), ("b", &bob)] {
        let rest = names(letter).iter().skip(1).map(|name| record(&said(name, fields))).collect();
        put(&scratch, rest);
    }
    let expected = partition(&scratch);
    assert!(expected.len() > 2, "a block of 66 is too large for its weak edges: {expected:?}");
    assert_eq!(partition(&engine), expected);
}

/// Two people whom a person told apart share a mail: each may be written again as it is, whatever mode it comes in.
#[test]
fn a_strict_write_may_keep_what_the_record_had() {
    let engine = open(&MemDisk::new());
    let fields = |title: &str, version: u64| json!({"name": "Ida Roth", "email": "ida@example.com", "job_title": title, "version": version});
    put_named(&engine, "one", &fields("Baker", 1));
    let contact = put_named(&engine, "two", &fields("Miller", 1));
    let records = engine.view(&tenant()).unwrap().records(contact).unwrap();
    let two = records.iter().find(|record| *record.key.source_record_id == *"two").unwrap().record_id;
    submit(&engine, Command::Split { contact, records: vec![two] }).unwrap();
    assert_eq!(partition(&engine), set(&[&["one"], &["two"]]));
    let records = vec![record(&said("two", &fields("Smith", 2)))];
    let written = submit(&engine, Command::Upsert { records, mode: Mode::Strict, dry_run: false }).unwrap().answer;
    let Answer::Upserted(results) = written else { panic!("{written:?}") };
    assert_eq!(results[0].outcome, Outcome::Updated, "{results:?}");
}

/// People of a switchboard are counted by their given names; two records of one of them are joined by it until it turns
/// generic.
#[test]
fn a_switchboard_flaps_fifty_times_at_a_bounded_cost() {
    const GIVEN: [&str; 40] = [
        "Ada", "Bruno", "Clara", "Dmitri", "Egon", "Fay", "Greta", "Hugo", "Igor", "Jane", "Karl", "Lena", "Milo",
        "Nora", "Omar", "Pia", "Quentin", "Rosa", "Sven", "Tara", "Ulf", "Vera", "Walter", "Xenia", "Yusuf", "Zelda",
        "Boris", "Celia", "Derek", "Fiona", "Gustav", "Helga", "Ivan", "Kurt", "Maud", "Ned", "Otto", "Paul", "Rita",
        "Tom",
    ];
    let engine = open(&MemDisk::new());
    let phone = "+12125550100";
    let pair = json!({"name": "Amelia Zyskowski", "phone": phone});
    upsert(&engine, &said("a1", &pair));
    upsert(&engine, &said("a2", &pair));
    let other = |number: usize, version: usize| {
        said(
            &format!("o{number}"),
            &json!({"name": format!("{} Person{number}", GIVEN[number]), "phone": phone, "version": version}),
        )
    };
    (0..28).for_each(|number| drop(upsert(&engine, &other(number, 1))));
    let together = |engine: &Engine| partition(engine).contains(&["a1", "a2"].map(str::to_owned).into());
    let mut flips = 0;
    let mut last = together(&engine);
    let (before, mut costs) = (named(&engine), BTreeSet::new());
    for flap in 0..50 {
        let seq = engine.view(&tenant()).unwrap().seq().0;
        (28..36).for_each(|number| drop(upsert(&engine, &other(number, flap * 2 + 2))));
        flips += usize::from(together(&engine) != last);
        last = together(&engine);
        (28..36).for_each(|number| gone(&engine, &format!("o{number}")));
        flips += usize::from(together(&engine) != last);
        last = together(&engine);
        assert_eq!(named(&engine), before, "flap {flap}");
        costs.insert(engine.view(&tenant()).unwrap().seq().0 - seq);
    }
    assert!(costs.iter().max() <= Some(&64), "events of a flap: {costs:?}");
    assert_eq!(flips, 100, "the switchboard joins the two of Amelia's records only while it is not generic");
}

fn merged(engine: &Engine, a: EntityId, b: EntityId) -> MergeId {
    let command = Command::Merge { contacts: vec![a, b], survivor: Some(a), reason: None, dry_run: false };
    match submit(engine, command).unwrap().answer {
        Answer::Merged { merge_id, .. } => merge_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn put_named(engine: &Engine, name: &str, fields: &Value) -> EntityId {
    upsert(engine, &said(name, fields)).contact_id.unwrap()
}

#[test]
fn a_same_waits_for_a_record_that_is_gone() {
    let engine = open(&MemDisk::new());
    let a = put_named(&engine, "a", &json!({"name": "Ann Able"}));
    let b = put_named(&engine, "b", &json!({"name": "Ben Baker"}));
    merged(&engine, a, b);
    gone(&engine, "b");
    assert_eq!(partition(&engine), set(&[&["a"]]));
    upsert(&engine, &said("b", &json!({"name": "Benjamin Baker", "version": 2})));
    assert_eq!(partition(&engine), set(&[&["a", "b"]]));
    gone(&engine, "a");
    gone(&engine, "b");
    upsert(&engine, &said("b", &json!({"name": "Ben Baker", "version": 3})));
    upsert(&engine, &said("a", &json!({"name": "Ann Able", "version": 3})));
    assert_eq!(partition(&engine), set(&[&["a", "b"]]), "the partner that stayed is looked at again");
}

#[test]
fn different_holds_through_hops() {
    let engine = open(&MemDisk::new());
    let step = |number: usize| {
        let phone = |number: usize| format!("+1212{}", 2_345_678 + number * 1_370_137);
        let phones = [phone(number), phone(number + 1)];
        json!({"name": "Dora Eschenbach", "phones": phones})
    };
    let first = put_named(&engine, "0", &step(0));
    let last = put_named(&engine, "4", &step(4));
    let both = merged(&engine, first, last);
    submit(&engine, Command::UndoMerge { merge: both }).unwrap();
    (1..4).for_each(|number| drop(upsert(&engine, &said(&number.to_string(), &step(number)))));
    let apart = partition(&engine);
    assert!(apart.iter().all(|contact| !(contact.contains("0") && contact.contains("4"))), "{apart:?}");
    assert_eq!(apart.len(), 2, "each in between is with one of the two: {apart:?}");
}

#[test]
fn a_contradiction_through_a_chain_is_refused() {
    let engine = open(&MemDisk::new());
    let names = ["Ann Able", "Ben Baker", "Cid Carter", "Dan Dorfler"];
    let ids: Vec<EntityId> = names.iter().map(|name| put_named(&engine, name, &json!({ "name": name }))).collect();
    let wrong = merged(&engine, ids[0], ids[3]);
    submit(&engine, Command::UndoMerge { merge: wrong }).unwrap();
    merged(&engine, ids[0], ids[1]);
    merged(&engine, ids[2], ids[3]);
    let before = named(&engine);
    let command = Command::Merge { contacts: vec![ids[0], ids[2]], survivor: None, reason: None, dry_run: false };
    let refused = submit(&engine, command).unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "judged_different", .. }), "{refused}");
    assert_eq!(named(&engine), before);
}

fn edited(engine: &Engine, contact: EntityId, notes: &str) {
    let set = Fields { notes: Some(notes.into()), ..Fields::default() };
    submit(engine, Command::Patch { contact, set: Box::new(set), touched: vec!["notes".into()] }).unwrap();
}

/// The same life after a merge by hand and after one by evidence: an edit, news of a record, a further merge into the
/// survivor, a tombstone, a deletion and its undo. Then the first merge is undone.
#[test]
fn a_merge_is_undone_after_all_that_came_later() {
    for by_hand in [true, false] {
        let engine = open(&MemDisk::new());
        let shared = if by_hand { "+12125550199" } else { "+12125550100" };
        let a = put_named(&engine, "a", &json!({"name": "Clara Abendroth", "phone": "+12125550100"}));
        upsert(
            &engine,
            &said("a2", &json!({"name": "Clara Abendroth", "phone": "+12125550100", "email": "ca@example.com"})),
        );
        let c = put_named(&engine, "c", &json!({"name": "Hugo Czerny", "email": "hc@example.com"}));
        let joining = upsert(&engine, &said("b", &json!({"name": "Clara Abendroth", "phone": shared})));
        let merge = if by_hand {
            assert_ne!(joining.outcome, Outcome::Merged);
            merged(&engine, a, joining.contact_id.unwrap())
        } else {
            assert_eq!(joining.outcome, Outcome::Merged);
            let merges = engine.view(&tenant()).unwrap().merges(1, None).unwrap().items;
            assert_eq!(merges[0].survivor, a);
            merges[0].merge_id
        };
        let loser = engine.view(&tenant()).unwrap().merges(1, None).unwrap().items[0].losers[0];
        edited(&engine, a, "met in Utica");
        upsert(
            &engine,
            &said("b", &json!({"name": "Clara Abendroth", "phone": shared, "job_title": "CTO", "version": 2})),
        );
        merged(&engine, a, c);
        gone(&engine, "a2");
        submit(&engine, Command::Delete { contact: a }).unwrap();
        submit(&engine, Command::Restore { contact: a }).unwrap();
        submit(&engine, Command::UndoMerge { merge }).unwrap();
        let one = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let expected = BTreeMap::from([(one(&["a", "c"]), a), (one(&["b"]), loser)]);
        assert_eq!(named(&engine), expected, "by hand: {by_hand}");
        let view = engine.view(&tenant()).unwrap();
        let (kept, back) = (view.contact(a).unwrap().fields, view.contact(loser).unwrap().fields);
        assert_eq!((kept.notes.as_deref(), kept.job_title.as_deref()), (Some("met in Utica"), None));
        assert_eq!((back.notes.as_deref(), back.job_title.as_deref()), (None, Some("CTO")));
        upsert(
            &engine,
            &said("b", &json!({"name": "Clara Abendroth", "phone": shared, "job_title": "CEO", "version": 3})),
        );
        assert_eq!(named(&engine), expected, "it is not joined again");
    }
}

/// What is split out stays together though no evidence holds it, and goes its own way even where the evidence is strong.
#[test]
fn a_split_is_kept_and_keeps_together() {
    let engine = open(&MemDisk::new());
    let a = put_named(&engine, "a", &json!({"name": "Ann Able", "phone": "+12125550100"}));
    let b = put_named(&engine, "b", &json!({"name": "Ann Able", "phone": "+12125550100"}));
    let c = put_named(&engine, "c", &json!({"name": "Cid Carter"}));
    let d = put_named(&engine, "d", &json!({"name": "Dan Dorfler"}));
    assert_eq!(a, b);
    merged(&engine, a, c);
    merged(&engine, a, d);
    let view = engine.view(&tenant()).unwrap();
    let ids = |names: &[&str]| {
        let all = view.records(a).unwrap().into_iter();
        all.filter(|one| names.contains(&&*one.key.source_record_id)).map(|one| one.record_id).collect::<Vec<_>>()
    };
    submit(&engine, Command::Split { contact: a, records: ids(&["b", "c"]) }).unwrap();
    assert_eq!(partition(&engine), set(&[&["a", "d"], &["b", "c"]]));
    upsert(
        &engine,
        &said("b", &json!({"name": "Ann Able", "phone": "+12125550100", "email": "aa@example.com", "version": 2})),
    );
    assert_eq!(partition(&engine), set(&[&["a", "d"], &["b", "c"]]));
}

/// Thousands of identical records exceed what a key may have holders and stay single; in any order and without a growing
/// cost.
#[test]
fn a_flood_of_robots_stays_single() {
    let robots = |count: usize, turn: bool| {
        let engine = open(&MemDisk::new());
        let one = |number: usize| {
            record(&said(&format!("r{number}"), &json!({"name": "Build Robot", "email": "robot@ci.example.com"})))
        };
        let mut all: Vec<_> = (0..count).map(one).collect();
        if turn {
            all.reverse();
        }
        let seqs: Vec<u64> = all
            .chunks(50)
            .map(|chunk| {
                let before = engine.view(&tenant()).map_or(0, |view| view.seq().0);
                put(&engine, chunk.to_vec());
                engine.view(&tenant()).unwrap().seq().0 - before
            })
            .collect();
        (partition(&engine), seqs)
    };
    let (found, seqs) = robots(300, false);
    assert_eq!(found.len(), 300);
    assert!(seqs.iter().skip(2).all(|events| *events <= 100), "two events a record: {seqs:?}");
    assert_eq!(robots(300, true).0, found);
    assert_eq!(robots(40, false).0.len(), 1, "a few are one");
}

/// `SELFSAME_CHAIN=1000` makes it longer.
#[test]
fn a_long_chain_is_cut_the_same_in_any_order() {
    let length: usize = std::env::var("SELFSAME_CHAIN").ok().map_or(200, |length| length.parse().unwrap());
    let link = |number: usize| {
        let phones = [format!("+1212{:07}", 5_550_000 + number), format!("+1212{:07}", 5_550_001 + number)];
        record(&said(&format!("c{number:04}"), &json!({"name": "Elena Dorfler", "phones": phones})))
    };
    let run = |order: Vec<usize>, batch: usize| {
        let engine = open(&MemDisk::new());
        order.chunks(batch).for_each(|chunk| drop(put(&engine, chunk.iter().map(|at| link(*at)).collect())));
        partition(&engine)
    };
    let forward = run((0..length).collect(), 1);
    let largest = forward.iter().map(BTreeSet::len).max().unwrap();
    assert!(largest <= 64, "one chain does not become one person: {largest}");
    assert_eq!(run((0..length).rev().collect(), length), forward);
    assert_eq!(run((0..length).map(|at| at * 337 % length).collect(), 50), forward);
}

/// An id that differs forbids a join until it turns out to be many people's, here a form's example. The pair of the two does
/// not share that id, so a flip of its tier once left the pair's edge as it was, and the order of arrival decided.
#[test]
fn an_id_that_turns_out_to_be_everybodys_no_longer_keeps_two_records_apart() {
    let says = |number: usize, name: &str, phone: &str, id: &str| {
        record(&format!(
            r#"{{"source":"s","source_record_id":"{number}","name":"{name}","phone":"{phone}",
                "email":"r{number}@example.com","external_ids":[{{"system":"ssn","id":"{id}"}}]}}"#
        ))
    };
    let two =
        [says(1, "Zoe Zyskowski", "+12125550100", "078051120"), says(2, "Zoe Zyskowski", "+12125550100", "219099999")];
    let names =
        ["Ann Able", "Ben Baker", "Cid Carter", "Dora Drake", "Egon Eder", "Fritz Funk", "Gero Gans", "Hugo Hase"];
    let crowd = || {
        (3..).zip(names).map(|(number, name)| says(number, name, &format!("+1212555{:04}", number + 110), "078051120"))
    };
    let (first, last) = (open(&MemDisk::new()), open(&MemDisk::new()));
    two.iter().cloned().for_each(|one| drop(put(&first, vec![one])));
    assert_eq!(partition(&first).len(), 2, "different ids keep them apart");
    crowd().for_each(|one| drop(put(&first, vec![one])));
    crowd().chain(two).for_each(|one| drop(put(&last, vec![one])));
    assert_eq!(partition(&first), partition(&last));
    let two = ["1", "2"].map(str::to_owned).into();
    assert!(partition(&first).contains(&two), "an id of many says nothing of two: {:?}", partition(&first));
}
