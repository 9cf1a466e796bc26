//! Tests of the batch run: small files from few names, mails and numbers, against a look at all pairs.
#![expect(clippy::cast_possible_truncation, reason = "a handful of records")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::index::key::emit;
use crate::index::tier::{is_live, tier_of};
use crate::matching::score::Tiers;
use crate::model::key::{Key, KeyKind, Tier};
use crate::model::record::{Email, Fields, Phone};
use crate::normalize::{Normalizer, Rules};

/// Given name, family name, mail, phone: picks from short lists.
type Row = (usize, usize, usize, usize);

const GIVEN: [&str; 7] = ["Anna", "Ann", "Robert", "Bob", "Miriam", "Xavier", "Jörg"];
const FAMILY: [&str; 5] = ["Okonkwo", "Smith", "Smyth", "Lindqvist", "Vandermeulen"];

fn normalized(&(given, family, mail, phone): &Row) -> Normalized {
    let email = |value: String| Email { value, ..Email::default() };
    let number = |value: String| Phone { value, ..Phone::default() };
    let fields = Fields {
        first_name: GIVEN.get(given).map(|&name| name.into()),
        last_name: FAMILY.get(family).map(|&name| name.into()),
        emails: (mail < 6).then(|| email(format!("box{mail}@mail{mail}.example.org"))).into_iter().collect(),
        phones: (phone < 5).then(|| number(format!("+1 212 555 01{phone}0"))).into_iter().collect(),
        ..Fields::default()
    };
    Normalizer::new(Rules::default()).normalize(&fields).0
}

struct File {
    keys: Vec<RecordKey>,
    values: Vec<Normalized>,
}

impl File {
    fn new(rows: &[(usize, Row)]) -> Self {
        let key = |at: &usize| RecordKey { source: "test".into(), source_record_id: format!("{at:03}").into() };
        Self {
            keys: rows.iter().map(|(at, _)| key(at)).collect(),
            values: rows.iter().map(|(_, row)| normalized(row)).collect(),
        }
    }

    fn records(&self) -> Vec<BatchRecord<'_>> {
        let both = self.keys.iter().zip(&self.values);
        both.map(|(key, normalized)| BatchRecord { key: Some(key), normalized }).collect()
    }

    /// The contacts by record key.
    fn contacts(&self, result: &BatchResult) -> BTreeSet<BTreeSet<&str>> {
        let mut groups: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for (key, cluster) in self.keys.iter().zip(&result.cluster_of) {
            groups.entry(*cluster).or_default().insert(&key.source_record_id);
        }
        groups.into_values().collect()
    }
}

fn rows() -> impl Strategy<Value = Vec<(usize, Row)>> {
    prop::collection::vec((0..8usize, 0..6usize, 0..9usize, 0..8usize), 0..30)
        .prop_map(|rows| rows.into_iter().enumerate().collect())
}

struct Everyone {
    holders: BTreeMap<Key, BTreeSet<usize>>,
    codes: Vec<u32>,
    settings: Settings,
}

impl Everyone {
    fn counts(&self, key: Key) -> (u32, u32) {
        let holders = &self.holders[&key];
        let people: BTreeSet<u32> = holders.iter().map(|&at| self.codes[at]).filter(|&code| code != 0).collect();
        (holders.len() as u32, people.len() as u32)
    }
}

impl Tiers for Everyone {
    fn tier(&self, key: Key) -> Tier {
        let (holders, people) = self.counts(key);
        tier_of(holders, people, &self.settings)
    }
    fn people(&self, key: Key) -> u32 {
        self.counts(key).1
    }
}

/// Candidates and edges by definition.
fn by_definition(file: &File, model: &Model, settings: &Settings) -> (u64, Vec<(u32, u32, Millibits)>) {
    let features: Vec<Features> = file.values.iter().map(|values| Features::new(values, model)).collect();
    let keys: Vec<Vec<(Key, KeyKind)>> = features.iter().zip(&file.values).map(|(f, v)| emit(f, v, model)).collect();
    let codes = features.iter().map(|f| f.given_code).collect();
    let mut everyone = Everyone { holders: BTreeMap::new(), codes, settings: settings.clone() };
    for (at, keys) in keys.iter().enumerate() {
        for (key, _) in keys {
            everyone.holders.entry(*key).or_default().insert(at);
        }
    }
    let (mut candidates, mut edges) = (0, Vec::new());
    for a in 0..features.len() {
        for b in a + 1..features.len() {
            let live = |(key, kind): &(Key, KeyKind)| {
                let (holders, people) = everyone.counts(*key);
                keys[b].contains(&(*key, *kind)) && is_live(*kind, holders, people, settings)
            };
            if keys[a].iter().any(live) {
                candidates += 1;
                let scored = score(model, &everyone, &features[a], &features[b]);
                if !scored.veto && scored.weight >= Millibits::from_probability(settings.review) {
                    edges.push((a as u32, b as u32, scored.weight));
                }
            }
        }
    }
    (candidates, edges)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn candidates_and_edges_are_those_of_all_pairs(rows in rows(), generic_max in 2..6u32, holders_max in 3..12u32) {
        let settings = Settings { generic_max, holders_max, ..Settings::default() };
        let model = Model::default_model();
        let file = File::new(&rows);
        let batch = Batch::new(&file.records(), &model, &settings);
        let (candidates, edges) = by_definition(&file, &model, &settings);
        prop_assert_eq!(batch.edges(), edges);
        prop_assert_eq!(batch.candidate_pairs(), candidates);
        let listed: Vec<(u32, u32)> = batch.candidates().collect();
        prop_assert!(listed.is_sorted());
        prop_assert_eq!(listed.len() as u64, candidates);
        let scanned = batch.scan(|seen: &mut Vec<(u32, u32)>, a, b, _| seen.push((a, b))).concat();
        prop_assert_eq!(scanned, listed);
    }

    #[test]
    fn the_order_of_lines_does_not_matter(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let (settings, model) = (Settings { auto: 0.67, ..Settings::default() }, Model::default_model());
        let (file, other) = (File::new(&rows), File::new(&shuffled));
        let result = partition_records(&file.records(), &model, &settings);
        let again = partition_records(&other.records(), &model, &settings);
        prop_assert_eq!(file.contacts(&result), other.contacts(&again));
        prop_assert_eq!(result.reviews.len(), again.reviews.len());
        let first = |cluster: u32| result.cluster_of.iter().position(|&c| c == cluster);
        let numbers = result.cluster_of.iter().max().map_or(0, |max| max + 1);
        prop_assert!((0..numbers).map(first).is_sorted() && (0..numbers).all(|n| first(n).is_some()));
        prop_assert!(result.confidence.iter().all(|c| (0.0..=1.0).contains(c)));
    }

    #[test]
    fn a_link_is_one_to_one_and_leaves_no_free_pair(left in rows(), right in rows()) {
        let (settings, model) = (Settings::default(), Model::default_model());
        let (l, r) = (File::new(&left), File::new(&right));
        let pairs = link_records(&l.records(), &r.records(), &model, &settings);
        let lefts: BTreeSet<u32> = pairs.iter().map(|pair| pair.left).collect();
        let rights: BTreeSet<u32> = pairs.iter().map(|pair| pair.right).collect();
        prop_assert_eq!((lefts.len(), rights.len()), (pairs.len(), pairs.len()));
        prop_assert!(pairs.iter().all(|pair| (pair.left as usize) < left.len() && (pair.right as usize) < right.len()));
        let both = File::new(&[left.clone(), right].concat());
        let border = left.len() as u32;
        for (a, b, weight) in by_definition(&both, &model, &settings).1 {
            if a < border && b >= border {
                let stronger = |pair: &&Linked| pair.weight >= weight;
                let mut taken = pairs.iter().filter(|pair| pair.left == a || pair.right == b - border);
                prop_assert!(taken.any(|pair| stronger(&pair)), "a free pair was left out");
            }
        }
    }
}

#[test]
fn one_person_twice_is_one_contact_and_a_stranger_another() {
    let file = File::new(&[(0, (0, 0, 0, 0)), (1, (4, 3, 1, 1)), (2, (0, 0, 0, 0))]);
    let result = partition_records(&file.records(), &Model::default_model(), &Settings::default());
    assert_eq!(result.cluster_of, [0, 1, 0]);
    assert!(result.confidence[0] > 0.9 && result.confidence[1] == 1.0, "{:?}", result.confidence);
}

#[test]
fn a_pair_is_explained_to_its_weight() {
    let file = File::new(&[(0, (0, 0, 0, 0)), (1, (1, 0, 0, 3))]);
    let batch = Batch::new(&file.records(), &Model::default_model(), &Settings::default());
    let explanation = batch.explain(0, 1, &file.values[0], &file.values[1]).unwrap();
    assert_eq!(explanation.weight, batch.score(0, 1).weight);
    assert!(batch.explain(0, 2, &file.values[0], &file.values[1]).is_none());
}

#[test]
fn nothing_gives_nothing() {
    let (settings, model) = (Settings::default(), Model::default_model());
    assert!(partition_records(&[], &model, &settings).cluster_of.is_empty());
    let empty = Normalized::default();
    let blank = [BatchRecord { key: None, normalized: &empty }; 3];
    assert_eq!(partition_records(&blank, &model, &settings).cluster_of, [0, 1, 2]);
    assert!(link_records(&blank, &[], &model, &settings).is_empty());
}

#[test]
fn a_small_file_keeps_the_default_weights() {
    let rows: Vec<(usize, Row)> = (0..12).map(|at| (at, (at % 6, at % 4, at % 7, at % 5))).collect();
    let file = File::new(&rows);
    let (settings, model) = (Settings::default(), Model::default_model());
    let (trained, training) = Batch::trained(&file.records(), &model, &settings);
    assert!(training.refused.is_some_and(|reason| reason.contains("contacts")));
    assert_eq!(trained.edges(), Batch::new(&file.records(), &model, &settings).edges());
}

#[test]
fn training_twice_gives_the_same_to_the_bit() {
    let rows: Vec<(usize, Row)> = (0..400).map(|at| (at, (at % 7, at % 5, at % 11, at % 9))).collect();
    let file = File::new(&rows);
    let (settings, model) = (Settings { auto: 0.67, ..Settings::default() }, Model::default_model());
    let run = || {
        let (batch, training) = Batch::trained(&file.records(), &model, &settings);
        (batch.edges().to_vec(), training.learned, training.refused)
    };
    assert_eq!(run(), run());
}

/// One person with 300 records, none of which has everything right, among 60 people of one or two.
fn a_large_entity() -> Vec<Normalized> {
    let normalizer = Normalizer::new(Rules::default());
    let record = |given: String, family: String, birthday: Option<String>, phone: Option<String>| {
        let number = |value| Phone { value, ..Phone::default() };
        let fields = Fields {
            first_name: Some(given),
            last_name: Some(family),
            birthday,
            phones: phone.map(number).into_iter().collect(),
            ..Fields::default()
        };
        normalizer.normalize(&fields).0
    };
    let mut records = Vec::new();
    for n in 0..300 {
        let given = ["Katherine", "Katherine", "Kathrine", "Katherina", "Katherine"][n % 5];
        let family = ["Montgomery", "Montgomery", "Montgomry", "Montgomery"][n % 4];
        let birthday = (n % 3 != 0).then(|| format!("1961-04-{:02}", if n % 11 == 0 { 11 } else { 17 }));
        let phone = (n % 2 == 0 || n % 3 == 0).then(|| format!("+1 212 555 {:04}", if n % 7 == 0 { n } else { 9999 }));
        records.push(record(given.into(), family.into(), birthday, phone));
    }
    for n in 0..60 {
        let (given, family) = (GIVEN[n % 7].to_owned(), format!("{}{}", FAMILY[n % 5], n / 35));
        let birthday = Some(format!("19{:02}-0{}-1{}", 20 + n, n % 9 + 1, n % 7));
        records.push(record(given.clone(), family.clone(), birthday.clone(), None));
        records.push(record(given, family, birthday, None));
    }
    records
}

#[test]
fn an_entity_larger_than_any_block_comes_together_in_any_order() {
    let values = a_large_entity();
    let contacts = |order: &[usize]| -> BTreeSet<BTreeSet<usize>> {
        let records: Vec<BatchRecord<'_>> =
            order.iter().map(|&at| BatchRecord { key: None, normalized: &values[at] }).collect();
        let settings = Settings { review: 0.5, auto: 0.67, ..Settings::default() };
        let model = Model::default_model().with_frequencies(&values).with_size_class(values.len());
        let (batch, _) = Batch::trained(&records, &model, &settings);
        let result = batch.partition(&batch.limits_of_file(&settings));
        let mut groups: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for (at, cluster) in order.iter().zip(&result.cluster_of) {
            groups.entry(*cluster).or_default().insert(*at);
        }
        groups.into_values().collect()
    };
    let forward: Vec<usize> = (0..values.len()).collect();
    let found = contacts(&forward);
    let largest = found.iter().max_by_key(|group| group.len()).unwrap();
    assert!(largest.len() >= 280 && largest.iter().all(|at| *at < 300), "{}", largest.len());
    let others = found.iter().filter(|group| group.iter().all(|at| *at >= 300)).count();
    assert!(others >= 55, "{others} of 60 others");
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    let again = contacts(&backward);
    assert!(again.iter().map(BTreeSet::len).max().unwrap() >= 280);
}
