//! The rule by examples, and that no order of writes changes what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::formats::AccountInput;
use crate::matching::model::Model;
use crate::model::event::Event;
use crate::model::ids::{EntityId, Millis, RecordKey, TenantId};
use crate::normalize::{Normalizer, Rules};
use crate::resolve::act;
use crate::resolve::change::Resolution;
use crate::resolve::prepare::prepare_account;
use crate::resolve::upsert::{Now, Step, Verdict, decide, withdraw};
use crate::store::apply::is_live;
use crate::store::fingerprint::fingerprint;
use crate::store::shard::Shard;

/// A tenant whose businesses are put one by one.
struct World {
    shard: Shard,
    normalizer: Arc<Normalizer>,
    ids: u128,
    at: i64,
}

impl World {
    fn new() -> Self {
        let shard = Shard::new(TenantId(1), "t", Model::default_model());
        Self { shard, normalizer: Arc::new(Normalizer::new(Rules::default())), ids: 0, at: 0 }
    }

    fn step(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Put(version) => self.shard.apply_account_put(version),
                Step::Event(event) => self.shard.apply(event.of_accounts()),
            }
        }
    }

    fn now(&mut self) -> Now<'static> {
        self.at += 1;
        Now { at: Millis(self.at), actor: "test" }
    }

    /// `id name | domains | city,country | previous names`.
    fn put(&mut self, id: &str, line: &str) -> Verdict {
        let mut input = read(line);
        (input.source, input.source_record_id) = (Some("s".into()), Some(id.into()));
        let prepared = prepare_account(input.into_checked("s").unwrap(), &self.normalizer, &[0; 32]);
        let (accounts, now) = (self.shard.accounts(), self.now());
        let ids = &mut self.ids;
        let decided = decide(&accounts, &prepared, false, now, &mut || next(ids));
        self.step(decided.steps);
        decided.verdict
    }

    fn delete(&mut self, id: &str) {
        let key = RecordKey { source: "s".into(), source_record_id: id.into() };
        let (accounts, now) = (self.shard.accounts(), self.now());
        let ids = &mut self.ids;
        if let Some(decided) = withdraw(&accounts, &key, now, &mut || next(ids)) {
            self.step(decided.steps);
        }
    }

    fn account_of(&self, id: &str) -> EntityId {
        let accounts = self.shard.accounts();
        let key = RecordKey { source: "s".into(), source_record_id: id.into() };
        accounts.slot(accounts.slot_of_key(&key).unwrap()).unwrap().entity.unwrap()
    }

    /// Who is together, as sets of record ids.
    fn partition(&self) -> BTreeSet<BTreeSet<String>> {
        let accounts = self.shard.accounts();
        let id = |slot: &u32| {
            let version = accounts.evidence(*slot).expect("members are live");
            version.stored.key.source_record_id.to_string()
        };
        let live = accounts.entities.values().filter(|entity| is_live(entity));
        live.map(|entity| entity.members.iter().map(id).collect()).collect()
    }

    /// Open questions, as pairs of sets of record ids.
    fn questions(&self) -> BTreeSet<BTreeSet<BTreeSet<String>>> {
        let accounts = self.shard.accounts();
        let side = |slot: u32| -> BTreeSet<String> {
            let entity = accounts.entity(accounts.slot(slot).unwrap().entity.unwrap()).unwrap();
            let id = |slot: &u32| accounts.evidence(*slot).unwrap().stored.key.source_record_id.to_string();
            entity.members.iter().map(id).collect()
        };
        let open = accounts.reviews.values().filter(|review| review.status.is_open());
        open.map(|review| BTreeSet::from([side(review.slots.0), side(review.slots.1)])).collect()
    }
}

fn next(ids: &mut u128) -> u128 {
    *ids += 1;
    *ids
}

fn read(line: &str) -> AccountInput {
    let mut parts = line.split('|').map(str::trim);
    let mut part = || parts.next().unwrap_or("").to_owned();
    let (name, domains, place, previous) = (part(), part(), part(), part());
    let list = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let mut domains = list(&domains).into_iter();
    let mut input = AccountInput { name: (!name.is_empty()).then_some(name), ..AccountInput::default() };
    input.domain = domains.next();
    input.alternate_domains = domains.collect();
    input.previous_names = previous.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    if let Some((city, country)) = place.split_once(',') {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let address =
            crate::formats::json::AddressInput { city: said(city), country: said(country), ..Default::default() };
        input.addresses.push(address);
    }
    input
}

/// Puts the records in every rotation and back to front; gives the partition, as text, and how many questions there are.
fn outcome(lines: &[&str]) -> (String, usize) {
    let named: Vec<(String, &str)> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| (char::from(b'a' + u8::try_from(at).unwrap()).to_string(), *line))
        .collect();
    let mut seen = BTreeSet::new();
    for turn in 0..lines.len() * 2 {
        let mut order = named.clone();
        order.rotate_left(turn % lines.len());
        if turn >= lines.len() {
            order.reverse();
        }
        let mut world = World::new();
        for (id, line) in &order {
            world.put(id, line);
        }
        let groups: Vec<String> =
            world.partition().into_iter().map(|group| group.into_iter().collect::<Vec<_>>().concat()).collect();
        seen.insert((groups.join(" "), world.questions()));
    }
    assert_eq!(seen.len(), 1, "{lines:?}: {seen:?}");
    let (groups, questions) = seen.into_iter().next().unwrap();
    (groups, questions.len())
}

#[test]
fn the_rule_by_examples() {
    for (lines, groups, questions) in [
        // The domain is the key, however it is written and whatever the names.
        (&["Acme Inc|acme.com", "ACME Corporation|https://www.acme.com/about", "Zed|acme.com"][..], "abc", 0),
        (&["Acme|acme.com|Boston,US", "Acme|acme.de|Berlin,DE"], "a b", 0),
        // Free mail and social networks are none.
        (&["Acme|gmail.com", "Zed|gmail.com"], "a b", 0),
        (&["Acme|facebook.com/acme", "Zed|facebook.com/zed"], "a b", 0),
        // Without a domain: name, country and city.
        (&["Acme Inc||Boston,US", "ACME, LLC||boston,USA"], "ab", 0),
        (&["Acme||Boston,US", "Acme||Denver,US"], "a b", 1),
        (&["Acme||Boston,US", "Zed||Boston,US"], "a b", 0),
        // A domain on one side only.
        (&["Acme|acme.com|Boston,US", "Acme Inc||Boston,US"], "ab", 0),
        // Different domains block, and people hear of it.
        (&["Acme|acme.com|Boston,US", "Acme|acme.net|Boston,US"], "a b", 1),
        // Between two with domains nobody guesses.
        (&["Acme|acme.com|Boston,US", "Acme|acme.net|Boston,US", "Acme||Boston,US"], "a b c", 3),
        // An alternate domain bridges.
        (&["Acme|acme.com", "Zed|zed.com", "Acme Zed|acme.com zed.com"], "abc", 0),
        // Previous names count.
        (&["Bar|||Foo", "Baz||Boston,US|Foo Widgets", "Foo Widgets||Boston,US"], "a bc", 0),
        // Alike names: the place decides between a join and a question.
        (&["International Paper Holding||Memphis,US", "Internationl Paper Holding||Memphis,US"], "ab", 0),
        (&["International Paper Holding||Memphis,US", "International Paper Holding"], "a b", 1),
        (&["International Paper Holding|ip.com|Memphis,US", "Internationl Paper Holding|ipp.com|Memphis,US"], "a b", 0),
        (&["International Paper Holding|ip.com|Memphis,US", "Internationl Paper Holding||Memphis,US"], "ab", 0),
        (
            &[
                "International Papr Holding|ip.com|Memphis,US",
                "Internationl Paper Holding|ipp.com|Memphis,US",
                "International Paper Holding||Memphis,US",
            ],
            "a b c",
            2,
        ),
        // A chain: the ends are not alike, so only the first two are one.
        (
            &[
                "International Papr Holding||Memphis,US",
                "International Paper Holding||Memphis,US",
                "Internationl Paper Holding||Memphis,US",
            ],
            "ab c",
            1,
        ),
        (&["Corner Store 12||Boston,US", "Corner Store 13||Boston,US"], "a b", 0),
    ] {
        assert_eq!(outcome(lines), (groups.to_owned(), questions), "{lines:?}");
    }
}

#[test]
fn a_correction_and_a_delete_split_again() {
    let mut world = World::new();
    assert_eq!(world.put("a", "Acme|acme.com"), Verdict::Created);
    assert_eq!(world.put("b", "Zed|zed.com"), Verdict::Created);
    let (a, b) = (world.account_of("a"), world.account_of("b"));
    assert_eq!(world.put("c", "Acme Zed|acme.com zed.com"), Verdict::Merged);
    assert_eq!(world.account_of("b"), a);
    world.put("c", "Acme Zed|acme.com");
    assert_eq!((world.account_of("a"), world.account_of("b"), world.account_of("c")), (a, b, a));
    world.put("c", "Acme Zed|acme.com zed.com");
    world.delete("c");
    assert_eq!((world.account_of("a"), world.account_of("b")), (a, b));
}

/// Nothing but a person's word holds these two; a write to one finds the other through it.
#[test]
fn what_people_put_together_stays_whatever_is_written_to_one() {
    let mut world = World::new();
    world.put("a", "Acme||Boston,US");
    world.put("b", "Zed||Denver,US");
    let ids = [world.account_of("a"), world.account_of("b")];
    let (accounts, now) = (world.shard.accounts(), world.now());
    let act = act::merge(&accounts, &ids, None, None, now, &mut || next(&mut world.ids)).unwrap();
    world.step(act.steps);
    for line in ["Acme Tools||Boston,US", "Quux||Austin,US", "Acme||Boston,US"] {
        world.put("a", line);
        assert_eq!(world.partition().len(), 1, "{line}");
        assert!(from_scratch(&world).is_empty(), "{line}");
    }
    world.delete("a");
    world.put("a", "Acme||Boston,US");
    assert_eq!(world.partition().len(), 1, "the word sleeps with the record and wakes with it");
}

#[test]
fn undoing_a_merge_by_domain_keeps_both_with_it_in_any_company() {
    let mut world = World::new();
    world.put("a", "Acme|acme.com");
    world.put("b", "Acme|acme.com");
    let accounts = world.shard.accounts();
    let merge = *accounts.merge_order.iter().last().unwrap();
    let now = world.now();
    let act = act::undo(&accounts, merge, now, &mut || next(&mut world.ids)).unwrap();
    world.step(act.steps);
    assert_eq!(world.partition().len(), 2);
    world.put("c", "Acme|acme.com");
    let (a, b) = (world.account_of("a"), world.account_of("b"));
    assert!(a != b && world.account_of("c") == a, "a newcomer goes to the first of those that are apart");
}

/// What the shard would do if everything were resolved anew: nothing.
fn from_scratch(world: &World) -> Resolution {
    let accounts = world.shard.accounts();
    let judged = (0..accounts.next_slot()).filter_map(|slot| accounts.slot(slot).map(|at| at.record_id)).collect();
    let edits = crate::resolve::change::Edits { judged, ..Default::default() };
    crate::resolve::change::resolve(&accounts, &edits, &mut || u128::MAX)
}

const NAMES: [&str; 5] =
    ["Acme Widgets Inc", "Acme Widgets", "Acme Widget", "Zed Partners Holding", "Zed Partner Holding"];
const DOMAINS: [&str; 6] = ["", "", "a.com", "b.com", "c.com", "a.com b.com"];
const PLACES: [&str; 4] = ["", "Boston,US", "Boston,US", ",US"];
const PREVIOUS: [&str; 4] = ["", "", "", "Zed Partners Holding"];

/// One write: a record's line, or its deletion.
type Write = (u8, Option<(usize, usize, usize, usize)>);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let line = (0..NAMES.len(), 0..DOMAINS.len(), 0..PLACES.len(), 0..PREVIOUS.len());
    let write = (0u8..8, prop_oneof![9 => line.prop_map(Some), 1 => Just(None)]);
    prop::collection::vec(write, 1..24)
}

fn apply(world: &mut World, (record, write): &Write) {
    match write {
        None => world.delete(&record.to_string()),
        Some((name, domain, place, previous)) => {
            let (name, domain) = (NAMES[*name], DOMAINS[*domain]);
            let line = format!("{name}|{domain}|{}|{}", PLACES[*place], PREVIOUS[*previous]);
            world.put(&record.to_string(), &line);
        }
    }
}

/// A permutation that keeps the order of writes to one record.
fn shuffled(writes: &[Write], keys: &[u32]) -> Vec<Write> {
    let mut of: BTreeMap<u8, Vec<&Write>> = BTreeMap::new();
    writes.iter().for_each(|write| of.entry(write.0).or_default().push(write));
    let mut places: Vec<(u32, usize)> = keys.iter().copied().cycle().zip(0..writes.len()).collect();
    places.sort_unstable();
    let mut order: Vec<u8> = places.iter().map(|(_, at)| writes[*at].0).collect();
    order.iter_mut().map(|record| *of.get_mut(record).unwrap().remove(0)).collect()
}

/// Three writes of one name that once came out differently by their order: one without a domain stands between
/// two whose domains contradict each other.
#[test]
fn three_writes_in_all_six_orders_come_to_the_same() {
    let told: [[Write; 3]; 2] = [
        [(0, Some((0, 0, 3, 0))), (1, Some((0, 2, 1, 0))), (2, Some((2, 3, 1, 0)))],
        [(2, Some((0, 2, 0, 0))), (1, Some((0, 3, 1, 0))), (0, Some((0, 0, 3, 0)))],
    ];
    for writes in told {
        let outcome = |order: [usize; 3]| {
            let mut world = World::new();
            order.iter().for_each(|at| apply(&mut world, &writes[*at]));
            (world.partition(), world.questions())
        };
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(outcome([0, 1, 2]), outcome(order), "{writes:?} in the order {order:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any order of writes gives one partition and the same questions, no domain is in two accounts, and
    /// resolving everything from scratch changes nothing.
    #[test]
    fn no_order_of_writes_changes_what_comes_of_it(writes in writes(), keys in prop::collection::vec(any::<u32>(), 24)) {
        let (mut straight, mut mixed) = (World::new(), World::new());
        writes.iter().for_each(|write| apply(&mut straight, write));
        shuffled(&writes, &keys).iter().for_each(|write| apply(&mut mixed, write));
        prop_assert_eq!(straight.partition(), mixed.partition());
        prop_assert_eq!(straight.questions(), mixed.questions());
        let again = from_scratch(&mixed);
        prop_assert!(again.is_empty(), "{:?}", again.resolved);
        let accounts = mixed.shard.accounts();
        let mut holder: BTreeMap<String, EntityId> = BTreeMap::new();
        for slot in (0..accounts.next_slot()).filter(|slot| accounts.evidence(*slot).is_some()) {
            let entity = accounts.slot(slot).unwrap().entity.unwrap();
            for domain in &accounts.evidence(slot).unwrap().business().unwrap().business.domains {
                prop_assert_eq!(*holder.entry(domain.clone()).or_insert(entity), entity);
            }
        }
    }

    /// Snapshot and journal bring everything back.
    #[test]
    fn a_state_survives_the_disk(writes in writes()) {
        let mut world = World::new();
        writes.iter().for_each(|write| apply(&mut world, write));
        let mut chunks: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut put = |kind: u8, bytes: &[u8]| -> Result<(), ()> { chunks.push((kind, bytes.to_vec())); Ok(()) };
        crate::store::state::write(&world.shard, &mut put).unwrap();
        let (kind, head) = &chunks[0];
        let mut back = crate::store::state::begin(TenantId(1), *kind, head, &world.shard.model).unwrap();
        for (kind, bytes) in &chunks[1..] {
            crate::store::state::take_in(&mut back, *kind, bytes).unwrap();
        }
        prop_assert_eq!(fingerprint(&back), fingerprint(&world.shard));
        world.shard = back;
        prop_assert!(from_scratch(&world).is_empty());
    }
}

#[test]
fn an_event_of_a_business_survives_the_disk() {
    let mut world = World::new();
    world.put("a", "Acme Inc|acme.com acme.de|Boston,US|Foo");
    let accounts = world.shard.accounts();
    let version = accounts.evidence(0).unwrap();
    let business = version.business().unwrap().business.clone();
    assert_eq!(business.domains, ["acme.com", "acme.de"]);
    let put = crate::model::event::AccountPut { put: version.stored.put(), business };
    let event = Event::AccountPut(Box::new(put));
    let (kind, version, bytes) = crate::model::event::encode(event.clone());
    assert_eq!((kind, crate::model::event::decode(kind, version, &bytes).unwrap()), (60, event));
}

/// Two pairs of two accounts were alike by as much. From the one side another of them came first than from the other side, so
/// what a write left open was asked by another pair than what resolving from scratch found.
#[test]
fn which_of_two_equal_pairs_asks_does_not_hang_on_where_the_change_began() {
    let told: [[Write; 4]; 2] = [
        [(1, Some((0, 0, 1, 3))), (0, Some((3, 0, 1, 0))), (2, Some((0, 2, 0, 0))), (3, Some((0, 2, 0, 3)))],
        [(3, Some((0, 0, 1, 3))), (0, Some((2, 0, 1, 3))), (2, Some((0, 2, 0, 3))), (1, Some((0, 2, 0, 0)))],
    ];
    for writes in told {
        let mut world = World::new();
        for write in &writes {
            apply(&mut world, write);
            let again = from_scratch(&world);
            assert!(again.is_empty(), "after {write:?} of {writes:?}: {:?}", again.reviews_changed);
        }
        assert_eq!(world.questions().len(), 1, "{writes:?}");
    }
}
