//! A whole file at once: candidates, edges and contacts from scratch, without a shard.
//!
//! [`Batch::new`] finds all pairs that share a live key and scores them; [`Batch::partition`] cuts them into contacts
//! under any limits, with the same code as the engine. So [`partition_records`] and importing the same records into an
//! empty tenant under the same model and settings give one partition. A file's run ([`Batch::of_file`]: `dedupe`) can do
//! more and differs where it does: it looks into blocks that a server leaves out, compares each record with its likeliest
//! candidates only, and bounds no contact ([`Limits::of_file`]). [`link_records`] pairs the
//! records of two files one to one. Work is spread over the machine's cores; the result does not depend on how.

mod chain;
mod inspect;
mod learn;
mod prune;
mod shared;
#[cfg(test)]
mod tests;
mod verdicts;

use std::cmp::{Ordering, Reverse};

use hashbrown::HashSet;
use rayon::prelude::*;

use crate::matching::features::Features;
use crate::matching::model::Model;
use crate::matching::score::{Scored, score};
use crate::matching::scorer::Scorer;
use crate::model::ids::{Millis, RecordKey};
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::model::settings::Settings;
use crate::resolve::cluster::{Graph, Limits, Partition, Refused, Support, cover, partition};
use shared::{Counts, Found, Index, Large};

pub use learn::{Lesson, Training, link_trained};
pub use verdicts::Verdicts;

/// Records that are fetched together before they are compared.
const AHEAD: usize = 16;

/// `(smaller, larger, weight)`, by record place.
type Edge = (u32, u32, Millibits);

/// One record of a file.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'a> {
    /// Its key, which breaks ties. Missing: its place in the list does, after all keys.
    pub key: Option<&'a RecordKey>,
    /// Its values.
    pub normalized: &'a Normalized,
}

impl BatchRecord<'_> {
    /// As the store has them: a key is an id that other systems can point at.
    fn features(&self, model: &Model) -> Features {
        let mut features = Features::new(self.normalized, model);
        if let Some(key) = self.key {
            features.add_own_id(&key.source, &key.source_record_id, model);
        }
        features
    }
}

/// A file's records, compared. Records are named by their place in the list, from 0.
pub struct Batch {
    model: Model,
    features: Vec<Features>,
    /// A record's place in the order by key.
    rank: Vec<u32>,
    index: Index,
    /// Only pairs across this place are compared, if any.
    border: Option<u32>,
    verdicts: Verdicts,
    edges: Vec<(u32, u32, Millibits)>,
    candidate_pairs: u64,
}

/// The contacts of a file.
#[derive(Clone, Debug, Default)]
pub struct BatchResult {
    /// The contact of each record: dense numbers from 0, in the order of their first records.
    pub cluster_of: Vec<u32>,
    /// How sure it is that the record belongs to its contact, 0 to 1: the probability of the least sure join
    /// that it took part in. 1 for a record alone.
    pub confidence: Vec<f32>,
    /// Pairs at or above the review threshold without a veto, `(smaller, larger, weight)`, ascending.
    pub edges: Vec<(u32, u32, Millibits)>,
    /// Contacts that an edge connects and that stayed apart, strongest first. Members are record places.
    pub reviews: Vec<Refused>,
    /// Pairs that share a live key, each once.
    pub candidate_pairs: u64,
}

/// A pair of records from two files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linked {
    /// Place in the left file, from 0.
    pub left: u32,
    /// Place in the right file, from 0.
    pub right: u32,
    /// Its weight.
    pub weight: Millibits,
    /// The probability of that weight, 0 to 1.
    pub probability: f64,
}

/// Cuts a file's records into contacts under a tenant's settings.
pub fn partition_records(records: &[BatchRecord<'_>], model: &Model, settings: &Settings) -> BatchResult {
    Batch::new(records, model, settings).partition(&Limits::from_settings(settings).learned(model))
}

/// Pairs the records of two files: candidates across the files only, from the review threshold up, without
/// vetoes. The strongest pair first; a record pairs with at most one of the other side. Ascending by left place.
///
/// How common a value is counts over both files together.
pub fn link_records(
    left: &[BatchRecord<'_>],
    right: &[BatchRecord<'_>],
    model: &Model,
    settings: &Settings,
) -> Vec<Linked> {
    let mut batch = Batch::across(&[left, right].concat(), Some(place(left.len())), model, settings);
    batch.find_edges(Millibits::from_probability(settings.review));
    batch.linked()
}

impl Batch {
    /// Compares records as a server does: all pairs that share a live key, and no others.
    pub fn new(records: &[BatchRecord<'_>], model: &Model, settings: &Settings) -> Self {
        Self::prepared(records, None, Large::LeftOut, model, settings).compared(settings)
    }

    /// Compares the records of one file: of the pairs that share a live key the likeliest, and the neighbours in larger blocks.
    pub fn of_file(records: &[BatchRecord<'_>], model: &Model, settings: &Settings) -> Self {
        Self::across(records, None, model, settings).compared(settings)
    }

    fn compared(mut self, settings: &Settings) -> Self {
        self.find_edges(Millibits::from_probability(settings.review));
        self
    }

    /// Makes the records of files ready to be compared; with a border only those before it with those from it on.
    fn across(records: &[BatchRecord<'_>], border: Option<u32>, model: &Model, settings: &Settings) -> Self {
        Self::prepared(records, border, Large::Chained, model, settings)
    }

    fn prepared(
        records: &[BatchRecord<'_>],
        border: Option<u32>,
        large: Large,
        model: &Model,
        settings: &Settings,
    ) -> Self {
        let features: Vec<Features> = records.par_iter().map(|record| record.features(model)).collect();
        let index = Index::new(records, &features, large, border, model, settings);
        let (model, rank) = (model.clone(), ranks(records));
        let (verdicts, edges) = (Verdicts::default(), Vec::new());
        Self { model, features, rank, index, border, verdicts, edges, candidate_pairs: 0 }
    }

    /// Scores all pairs that share a live key and keeps those of at least `least`.
    fn find_edges(&mut self, least: Millibits) {
        let found: Vec<(u64, Vec<Edge>)> = (0..place(self.features.len()))
            .into_par_iter()
            .map_init(Found::default, |found, a| {
                self.index.candidates(a, self.border, found);
                (found.others.len() as u64, self.edges_of(a, &found.others, least))
            })
            .collect();
        self.candidate_pairs = found.iter().map(|(pairs, _)| pairs).sum();
        self.edges = found.into_iter().flat_map(|(_, edges)| edges).collect();
    }

    /// The edges of a record to others.
    fn edges_of(&self, a: u32, others: &[u32], least: Millibits) -> Vec<Edge> {
        let Some(own) = self.features.get(a as usize) else { return Vec::new() };
        let (mut scorer, mut edges) = (Scorer::new(&self.model, own), Vec::new());
        let features = |b: u32| self.features.get(b as usize);
        for some in others.chunks(AHEAD) {
            // They lie all over memory: asked for together they come side by side, one after the other each would be waited for.
            let first = some.iter().filter_map(|&b| features(b)).fold(0, |all, other| all ^ other.first());
            std::hint::black_box(first);
            for &b in some {
                let scored = features(b).and_then(|other| scorer.score(&self.index.counts, other, least));
                edges.extend(scored.filter(|scored| !scored.veto).map(|scored| (a, b, scored.weight)));
            }
        }
        edges
    }

    /// The limits of a whole file's run under settings and under what the model learned.
    pub fn limits_of_file(&self, settings: &Settings) -> Limits {
        Limits::of_file(settings).learned(&self.model)
    }

    /// Pairs at or above the review threshold without a veto, `(smaller, larger, weight)`, ascending.
    pub fn edges(&self) -> &[(u32, u32, Millibits)] {
        &self.edges
    }

    /// How many pairs share a live key.
    pub fn candidate_pairs(&self) -> u64 {
        self.candidate_pairs
    }

    /// The pairs that share a live key, `(smaller, larger)`, ascending, each once.
    pub fn candidates(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..place(self.features.len())).flat_map(|a| {
            let mut found = Found::default();
            self.index.candidates(a, self.border, &mut found);
            found.others.into_iter().map(move |b| (a, b))
        })
    }

    /// How alike two records are, candidates or not. Places out of range score 0.
    pub fn score(&self, a: u32, b: u32) -> Scored {
        let features = |record: u32| self.features.get(record as usize);
        let counts: &Counts = &self.index.counts;
        features(a).zip(features(b)).map(|(x, y)| score(&self.model, counts, x, y)).unwrap_or_default()
    }

    /// The strongest pair first, each record at most once; ascending by left place.
    fn linked(&self) -> Vec<Linked> {
        let border = self.border.unwrap_or(0);
        let mut edges = self.edges.clone();
        let rank = |record: u32| self.rank.get(record as usize);
        edges.sort_unstable_by_key(|&(a, b, weight)| (Reverse(weight), rank(a), rank(b)));
        let mut taken = HashSet::new();
        let mut linked = Vec::new();
        for (a, b, weight) in edges {
            if !taken.contains(&a) && !taken.contains(&b) {
                taken.extend([a, b]);
                linked.push(Linked { left: a, right: b - border, weight, probability: weight.probability() });
            }
        }
        linked.sort_unstable_by_key(|pair| pair.left);
        linked
    }

    /// Cuts the records into contacts. Edges below the settings' review threshold do not exist here,
    /// so limits may ask for stronger edges, not for weaker ones.
    pub fn partition(&self, limits: &Limits) -> BatchResult {
        let whole = Whole::new(self);
        let all: Vec<u32> = (0..place(self.features.len())).collect();
        let blocks = cover(&whole, limits, &all);
        let parts: Vec<Partition> = blocks.par_iter().map(|block| partition(&whole, limits, block)).collect();
        let mut result = BatchResult {
            cluster_of: vec![0; self.features.len()],
            confidence: vec![1.0; self.features.len()],
            edges: self.edges.clone(),
            reviews: Vec::new(),
            candidate_pairs: self.candidate_pairs,
        };
        result.number(&parts);
        result.measure(&parts);
        result.reviews = parts.into_iter().flat_map(|part| part.refused).collect();
        let order = |slot: u32| self.rank.get(slot as usize).copied();
        result.reviews.sort_by_key(|review| (Reverse(review.weight), order(review.a), order(review.b)));
        result
    }
}

impl BatchResult {
    /// The records of each contact, by its number, ascending.
    pub fn members(&self) -> Vec<Vec<u32>> {
        let count = self.cluster_of.iter().max().map_or(0, |most| *most as usize + 1);
        let mut members = vec![Vec::new(); count];
        for (cluster, record) in self.cluster_of.iter().zip(0..) {
            if let Some(list) = members.get_mut(*cluster as usize) {
                list.push(record);
            }
        }
        members
    }

    /// Numbers the contacts by their first records.
    fn number(&mut self, parts: &[Partition]) {
        let mut groups: Vec<&Vec<u32>> = parts.iter().flat_map(|part| &part.groups).collect();
        groups.sort_unstable_by_key(|group| group.iter().min());
        for (number, group) in groups.into_iter().enumerate() {
            for &record in group {
                if let Some(cluster) = self.cluster_of.get_mut(record as usize) {
                    *cluster = place(number);
                }
            }
        }
    }

    fn measure(&mut self, parts: &[Partition]) {
        for join in parts.iter().flat_map(|part| &part.joins) {
            #[expect(clippy::cast_possible_truncation, reason = "a probability loses digits that mean nothing")]
            let sure = join.support_mean.probability() as f32;
            for &record in join.left.iter().chain(&join.right) {
                if let Some(confidence) = self.confidence.get_mut(record as usize) {
                    *confidence = confidence.min(sure);
                }
            }
        }
    }
}

/// A place in a list as a record's number. Lists are shorter than 2^32.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Each record's place in the order by key; those without one come last, as they are listed.
fn ranks(records: &[BatchRecord<'_>]) -> Vec<u32> {
    let mut order: Vec<(bool, Option<&RecordKey>, usize)> =
        records.iter().enumerate().map(|(at, record)| (record.key.is_none(), record.key, at)).collect();
    order.par_sort_unstable();
    let mut rank = vec![0; records.len()];
    for (number, (_, _, at)) in order.into_iter().enumerate() {
        if let Some(rank) = rank.get_mut(at) {
            *rank = place(number);
        }
    }
    rank
}

/// The batch as a graph: everything is alive; people have judged what its verdicts say.
struct Whole<'b> {
    batch: &'b Batch,
    /// Where each record's edges start in `near`; one more for the end.
    starts: Vec<usize>,
    near: Vec<(u32, Millibits)>,
}

impl<'b> Whole<'b> {
    fn new(batch: &'b Batch) -> Self {
        let both = batch.edges.iter().flat_map(|&(a, b, weight)| [(a, (b, weight)), (b, (a, weight))]);
        let (starts, near) = shared::group(batch.features.len(), both);
        Self { batch, starts, near }
    }
}

impl Graph for Whole<'_> {
    fn alive(&self, slot: u32) -> bool {
        (slot as usize) < self.batch.features.len()
    }

    fn edges(&self, slot: u32, out: &mut Vec<(u32, Millibits)>) {
        out.extend_from_slice(shared::slice(&self.starts, &self.near, slot));
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let rank = |slot: u32| self.batch.rank.get(slot as usize);
        rank(a).cmp(&rank(b))
    }

    fn support(&self, a: u32, b: u32) -> Support {
        let scored = self.batch.score(a, b);
        Support { weight: scored.weight, veto: scored.veto, conflict: scored.conflict, key: scored.key }
    }

    fn same(&self, slot: u32, out: &mut Vec<(u32, Millis)>) {
        out.extend(self.batch.verdicts.same.get(&slot).into_iter().flatten().copied());
    }

    fn different(&self, slot: u32, out: &mut Vec<u32>) {
        out.extend(self.batch.verdicts.different.get(&slot).into_iter().flatten().copied());
    }
}
