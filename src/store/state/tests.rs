//! A state read from its chunks is the state that was written, whether what is derived from records was kept or is made anew.

use std::collections::BTreeSet;

use super::*;
use crate::formats::InputRecord;
use crate::index::names::GivenHint;
use crate::model::event::{Event, ModelActivated, ModelPart, ModelTrained, RecordDeleted, TrainingEnd};
use crate::model::ids::EntityId;
use crate::model::key::Key;
use crate::model::record::{Email, Fields, Phone};
use crate::model::settings::{Discovery, Settings};
use crate::normalize::{Normalizer, Rules};
use crate::resolve::change::{Edits, resolve_within};
use crate::resolve::cluster::Limits;
use crate::resolve::prepare::prepare;
use crate::resolve::upsert::{Now, Step, push_resolved};
use crate::store::fingerprint::fingerprint;
use crate::store::form::to_form;
use crate::store::shard::Version;

type Chunks = Vec<Piece>;

const GIVEN: [&str; 8] = ["Robert", "Bob", "María José", "Анна", "Wei", "J", "Kathryn", "Omar"];
const SURNAMES: [&str; 9] =
    ["Smith", "Smyth", "Garcia Marquez", "O'Neil", "Иванова", "Li", "Featherstonehaugh", "Haddad", "Jones"];

/// Records of three chunks; a city that more than a few share.
fn fields(at: usize) -> Fields {
    let text = |text: &str| Some(text.to_owned());
    Fields {
        first_name: text(GIVEN[at % GIVEN.len()]),
        last_name: Some(format!(
            "{}{}",
            SURNAMES[at % SURNAMES.len()],
            if at.is_multiple_of(4) { String::new() } else { (at / 3).to_string() }
        )),
        emails: vec![Email {
            value: format!("p{}@{}", at / 2, if at.is_multiple_of(3) { "gmail.com" } else { "acme.example" }),
            ..Email::default()
        }],
        phones: vec![Phone { value: format!("+1 212 555 {:04}", at % 900), ..Phone::default() }],
        organization: text(if at.is_multiple_of(2) { "Acme Widgets Inc" } else { "Globex" }),
        account_id: (at.is_multiple_of(5)).then(|| format!("acc-{}", at % 40)),
        birthday: (at.is_multiple_of(7)).then(|| format!("19{:02}-03-04", at % 80)),
        external_ids: vec![crate::model::record::ExternalId { system: "crm".into(), id: format!("{}", at % 300) }],
        ..Fields::default()
    }
}

struct World {
    shard: Shard,
    normalizer: Arc<Normalizer>,
    ids: u128,
}

impl World {
    fn new(model: &Arc<Model>) -> Self {
        let settings = Settings::default();
        let normalizer = Arc::new(Normalizer::new(Rules::from_settings(&settings)));
        Self { shard: Shard::new(TenantId(1), "t", Arc::clone(model)), normalizer, ids: 0 }
    }

    fn put(&mut self, record: usize, fields: Fields, stale: bool, anchor: Option<EntityId>) {
        let input = InputRecord {
            source: "Crm".into(),
            source_record_id: Some(format!("r{record}")),
            source_updated_at: None,
            version: None,
            fields,
        };
        let id = RecordId(1000 + record as u128);
        let mut put = prepare(input, &self.normalizer, &[0; 32]).put(id, Millis(1_000), "somebody", stale);
        put.anchor = anchor;
        self.shard.apply(Event::RecordPut(Box::new(put)));
    }

    /// A put with what it decides.
    fn put_resolved(&mut self, record: usize) {
        let before = self.shard.clone();
        self.put(record, fields(record), false, None);
        let at = before.next_slot();
        let version = Arc::clone(self.shard.evidence(at).unwrap());
        let edits = Edits { records: vec![(at, Some(version))], ..Edits::default() };
        let mut new_id = || {
            self.ids += 1;
            self.ids
        };
        let resolution = resolve_within(&before, Limits::from_settings(&Settings::default()), &edits, &mut new_id);
        let mut steps = Vec::new();
        push_resolved(&mut steps, resolution, Now { at: Millis(1_001), actor: "somebody" });
        for step in steps {
            if let Step::Event(event) = step {
                self.shard.apply(event);
            }
        }
    }

    /// Versions, stale ones, withdrawals, edits by hand, contacts with merges and questions.
    fn full(model: &Arc<Model>) -> Self {
        let mut world = Self::new(model);
        (0..90).for_each(|record| world.put_resolved(record));
        (90..1_150).for_each(|record| world.put(record, fields(record), false, None));
        world.more(0);
        world
    }

    fn more(&mut self, salt: usize) {
        for record in (salt..1_150).step_by(13) {
            self.put(record, fields(record + 1 + salt), false, None);
        }
        for record in (salt + 5..1_150).step_by(170) {
            self.put(record, fields(record + 9), true, None);
        }
        for record in (salt + 7..1_150).step_by(101) {
            let gone = RecordDeleted { record_id: RecordId(1000 + record as u128), at: Millis(5), actor: "x".into() };
            self.shard.apply(Event::RecordDeleted(gone));
        }
        let contact = *self.shard.entity_order.get(3).unwrap();
        self.put(5_000 + salt, Fields { job_title: Some("CTO".into()), ..Fields::default() }, false, Some(contact));
    }

    /// Another model decides from now on, with frequencies of its own.
    fn train(&mut self) {
        let puts: Vec<_> =
            self.shard.slots.iter().filter_map(|slot| Some(slot.current.as_ref()?.stored.put())).collect();
        let model = self.shard.model.with_frequencies(puts.iter().map(|put| &put.normalized));
        let id = ModelId(7);
        self.shard.apply(Event::ModelPart(ModelPart { model_id: id, part: 0, bytes: to_form(&model) }));
        let card = ModelTrained {
            model_id: id,
            end: TrainingEnd::Ready,
            reason: None,
            version: model.version.clone(),
            base: model.version.clone(),
            actor: "x".into(),
            started_at: Millis(1),
            at: Millis(2),
            as_of: Seq(3),
            records: 4,
            size_class: 5,
            prior_before: -16.0,
            prior_after: -10.0,
            duplication: 0.0,
            levels: Vec::new(),
            calibration: Default::default(),
            parts: 1,
        };
        self.shard.apply(Event::ModelTrained(Box::new(card)));
        self.shard.apply(Event::ModelActivated(ModelActivated { model_id: id, at: Millis(9), actor: "x".into() }));
        assert_eq!(self.shard.models.active, id);
    }
}

fn chunks(shard: &Shard) -> Chunks {
    let mut chunks = Chunks::new();
    let mut put = |kind: u8, bytes: &[u8]| -> Result<(), ()> {
        chunks.push((kind, bytes.to_vec()));
        Ok(())
    };
    write(shard, &mut put).unwrap();
    chunks
}

fn without_derived(chunks: &[Piece]) -> Chunks {
    chunks.iter().filter(|(kind, _)| *kind != kind::DERIVED).cloned().collect()
}

/// Reads chunks back, some at a time; `lots`: the indexes are told after each time.
fn read(chunks: &[Piece], model: &Arc<Model>, lots: bool) -> (Shard, Origin) {
    let (kind, head) = &chunks[0];
    let mut shard = begin(TenantId(1), *kind, head, model).unwrap();
    let mut pending = Pending::default();
    for some in chunks[1..].chunks(3) {
        take_in_all(&mut shard, some.to_vec(), &mut pending).unwrap();
        if lots {
            pending.settle(&mut shard);
        }
    }
    pending.settle(&mut shard);
    (shard, pending.origin)
}

fn assert_same_version(a: &Version, b: &Version, at: u32) {
    assert_eq!(format!("{:?}", a.features), format!("{:?}", b.features), "features of slot {at}");
    assert_eq!(
        (&a.keys, a.given_hint(), a.given_code()),
        (&b.keys, b.given_hint(), b.given_code()),
        "keys of slot {at}"
    );
}

/// Everything that two states of equal records must have alike, part by part.
fn assert_same(a: &Shard, b: &Shard) {
    assert_eq!(fingerprint(a), fingerprint(b));
    assert_eq!((a.next_slot(), a.records_live, a.contacts_live), (b.next_slot(), b.records_live, b.contacts_live));
    let mut keys: BTreeSet<Key> = BTreeSet::new();
    let mut found_by: BTreeSet<Key> = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (at, (one, other)) in (0..).zip(a.slots.iter().zip(b.slots.iter())) {
        for (past, same) in one.past.iter().zip(other.past.iter()) {
            assert_eq!((past.seq, past.at, &past.actor), (same.seq, same.at, &same.actor));
            assert_eq!(past.put.is_some(), same.put.is_some());
            let (Some(stored), Some(other)) = (&past.put, &same.put) else { continue };
            assert_eq!(stored.bytes(), other.bytes(), "packed put of slot {at}");
            assert_eq!((stored.put(), stored.seq, stored.manual), (other.put(), other.seq, other.manual));
            for shard in [a, b] {
                assert_eq!(shard.slot_of_key(&stored.key), Some(at));
                assert_eq!(shard.slot_of(stored.record_id), Some(at));
            }
        }
        assert_eq!(one.current.is_some(), other.current.is_some());
        let (Some(version), Some(same)) = (&one.current, &other.current) else { continue };
        assert_same_version(version, same, at);
        keys.extend(version.keys.iter().map(|(key, _)| key));
        let put = version.stored.put();
        found_by.extend(affiliation_keys(&put));
        names.extend(put.normalized.name.last_tokens);
    }
    let entries = |shard: &Shard, key: &Key| shard.postings.get(*key).map(|one| (one.entries(), one.people()));
    assert!(keys.iter().all(|key| entries(a, key).is_some() && entries(a, key) == entries(b, key)));
    assert_eq!((a.postings.len(), a.postings.holders()), (b.postings.len(), b.postings.holders()));
    assert_eq!(a.postings.len(), keys.len());
    let people = |shard: &Shard, key: &Key| shard.affiliations.get(*key).map(|one| one.entries());
    assert!(found_by.iter().all(|key| people(a, key).is_some() && people(a, key) == people(b, key)));
    assert_eq!((a.affiliations.len(), a.affiliations.len()), (b.affiliations.len(), found_by.len()));
    for name in names {
        let similar = |shard: &Shard| {
            let mut slots = Vec::new();
            shard.names.similar(std::slice::from_ref(&name), GivenHint::default(), usize::MAX, &mut slots);
            slots.sort_unstable_by_key(|(slot, _)| *slot);
            slots
        };
        assert!(!similar(a).is_empty());
        assert_eq!(similar(a), similar(b), "{name}");
    }
    assert_eq!(a.names.len(), b.names.len());
    assert!(a.edges.both_ways().eq(b.edges.both_ways()));
}

#[test]
fn what_was_kept_is_what_is_derived_anew() {
    let model = Model::default_model();
    let mut world = World::full(&model);
    assert!(!world.shard.edges.is_empty() && !world.shard.merges.is_empty());
    for trained in [false, true] {
        if trained {
            world.train();
        }
        let chunks = chunks(&world.shard);
        let slots = u64::from(world.shard.next_slot());
        let (kept, origin) = read(&chunks, &model, trained);
        assert_eq!(origin, Origin { kept: slots, derived: 0 });
        assert_same(&kept, &world.shard);
        let (derived, origin) = read(&without_derived(&chunks), &model, !trained);
        assert_eq!(origin, Origin { kept: 0, derived: slots });
        assert_same(&derived, &world.shard);
        assert_same(&kept, &derived);
        assert_eq!(super::tests::chunks(&kept), chunks, "and it is written as it was");
    }
}

#[test]
fn what_comes_after_a_snapshot_changes_both_alike() {
    let model = Model::default_model();
    let mut world = World::full(&model);
    let chunks = chunks(&world.shard);
    let (kept, _) = read(&chunks, &model, false);
    let mut back = World { shard: kept, ..World::new(&model) };
    for world in [&mut world, &mut back] {
        world.more(2);
        (1_150..1_300).for_each(|record| world.put(record, fields(record), false, None));
    }
    assert_same(&back.shard, &world.shard);
    for world in [&mut world, &mut back] {
        world.train();
    }
    assert_same(&back.shard, &world.shard);
}

/// What is derived of the same records under another model or other settings, from another build, or of other records.
#[test]
fn what_stands_on_another_basis_is_left_alone() {
    let model = Model::default_model();
    let mut world = World::full(&model);
    let before = chunks(&world.shard);
    let slots = u64::from(world.shard.next_slot());
    let derived_of = |chunks: &Chunks| -> Vec<Vec<u8>> {
        chunks.iter().filter(|(kind, _)| *kind == kind::DERIVED).map(|(_, bytes)| bytes.clone()).collect()
    };
    let with = |chunks: &Chunks, derived: Vec<Vec<u8>>| -> Chunks {
        let mut derived = derived.into_iter();
        let put = |(kind, bytes): &Piece| {
            (*kind, if *kind == kind::DERIVED { derived.next().unwrap() } else { bytes.clone() })
        };
        chunks.iter().map(put).collect()
    };
    let check = |shard: &Shard, derived: Vec<Vec<u8>>, kept: u64, what: &str| {
        let (back, origin) = read(&with(&chunks(shard), derived), &model, false);
        assert_eq!(origin, Origin { kept, derived: slots - kept }, "{what}");
        assert_same(&back, shard);
    };
    let own = derived_of(&before);
    assert_eq!(own.len() as u64, slots.div_ceil(BATCH as u64));
    check(&world.shard, own.clone(), slots, "its own");
    let each = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut all = own.clone();
        all.iter_mut().for_each(change);
        all
    };
    check(&world.shard, each(&|bytes| bytes[0] ^= 1), 0, "another build");
    check(&world.shard, each(&|bytes| bytes.truncate(bytes.len() - 1)), 0, "cut short");
    check(&world.shard, each(&|bytes| bytes.truncate(9)), 0, "hardly anything");
    check(&world.shard, each(&|bytes| bytes.push(0)), 0, "longer than it was");
    let mut swapped = own.clone();
    swapped.swap(0, 1);
    check(&world.shard, swapped, slots - 2 * BATCH as u64, "of other records");
    world.shard.put_discovery(Discovery { users: Some("crm".into()), ..Discovery::default() });
    check(&world.shard, own.clone(), 0, "other settings");
    let of_crm = derived_of(&chunks(&world.shard));
    check(&world.shard, of_crm.clone(), slots, "its own under these settings");
    world.shard.put_discovery(Discovery { users: Some("other".into()), ..Discovery::default() });
    check(&world.shard, of_crm, 0, "users of another system");
    world.shard.put_discovery(Discovery::default());
    world.train();
    check(&world.shard, own, 0, "another model");
}
