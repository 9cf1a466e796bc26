//! One change to a shard, seen before it happens: which edges, contacts, merges and reviews it would give.
//!
//! [`Change`] is an overlay: the shard plus edited records and judgements. It answers the same questions as the
//! shard ([`Graph`], [`Tiers`]), so an upsert and a `match` run the very same code; `match` throws the result
//! away. Only the neighbourhood that the change touches is recomputed; `clustering.md` has the proof that this equals
//! a run from scratch. Businesses have a rule of their own, in `accounts`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering as Memory};

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::index::postings::{self, Posting};
use crate::matching::score::{Scored, Tiers, score};
use crate::matching::scorer::Scorer;
use crate::model::event::{Edge, Group, Merged, Resolved, ReviewChanged};
use crate::model::ids::{EntityId, MergeId, Millis, RecordId};
use crate::model::key::{Key, KeyKind, Millibits, Tier};
use crate::resolve::cluster::{
    Assigned, Assignment, Graph, Join, Limits, Past, Refused, Support, assign_ids, partition, recompute_set,
};
use crate::store::judge::Judgements;
use crate::store::shard::{KeyState, Shard, Version};

mod accounts;
mod fetch;
mod outlook;
mod pieces;
mod questions;
mod whole;

pub use accounts::{
    AccountEvidence, AccountHit, AccountPart, Standing, account_evidence, account_outlook, account_standing,
};
pub use fetch::evidence_of;
pub use outlook::Outlook;
pub use pieces::pieces;
pub use whole::resolve_all;

/// The kinds of live keys that a pair shares, each once.
pub type Kinds = SmallVec<[KeyKind; 5]>;

/// Pairs of a record's keys and their holders for which there is room from the start.
const PAIRS_USUAL: usize = 512;

/// What is about to change.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Slots and the version that counts from now on; `None`: withdrawn. A new record has the shard's next slot.
    pub records: Vec<(u32, Option<Arc<Version>>)>,
    /// All judgements after the change, if they change.
    pub judgements: Option<Judgements>,
    /// Records that a new or withdrawn judgement speaks of.
    pub judged: Vec<RecordId>,
    /// Contact ids that somebody wants for the contact of a slot.
    pub pins: Vec<(u32, EntityId)>,
}

/// What a change would do.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// As an event, without time and actor.
    pub resolved: Resolved,
    /// Every contact of the recomputed neighbourhood: id, slots, whether it is new.
    pub parts: Vec<(EntityId, Vec<u32>, bool)>,
    /// Joins that made them.
    pub joins: Vec<Join>,
    /// Joins that were refused.
    pub refused: Vec<Refused>,
    /// Open reviews whose evidence is another, without time.
    pub reviews_changed: Vec<ReviewChanged>,
    /// What it took.
    pub cost: Cost,
}

/// What a change took: the work that order-independence asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Scores computed; a pair that is asked for twice counts twice.
    pub pairs_scored: u32,
    /// Records of the blocks that were cut into contacts anew.
    pub records_recut: u32,
    /// Records that have another contact id than before. A new record had none.
    pub ids_moved: u32,
}

impl Resolution {
    /// Whether anything changes.
    pub fn is_empty(&self) -> bool {
        self.is_only_about_reviews() && self.reviews_changed.is_empty()
    }

    /// Whether nothing changes but the evidence behind open reviews.
    pub fn is_only_about_reviews(&self) -> bool {
        let r = &self.resolved;
        r.edges.is_empty()
            && r.edges_gone.is_empty()
            && r.groups.is_empty()
            && r.merges.is_empty()
            && r.reviews.is_empty()
            && r.reviews_gone.is_empty()
    }

    /// The contact of a slot after the change: id, slots, whether it is new.
    pub fn part_of(&self, slot: u32) -> Option<&(EntityId, Vec<u32>, bool)> {
        self.parts.iter().find(|(_, slots, _)| slots.contains(&slot))
    }
}

/// A shard with a change laid over it.
pub struct Change<'a> {
    shard: &'a Shard,
    limits: Limits,
    next: BTreeMap<u32, Option<Arc<Version>>>,
    keys: HashMap<Key, KeyAfter>,
    edges: HashMap<u32, BTreeMap<u32, Option<Millibits>>>,
    judgements: &'a Judgements,
    known: Known,
    scored: AtomicU32,
}

/// Scores of one slot's pairs that were computed before, ascending by the other slot. `None`: the pair weighs less than
/// what makes an edge.
#[derive(Debug, Default)]
struct Known {
    slot: u32,
    scores: Scores,
}

/// Scores of one record with others, ascending by slot. `None`: below a floor that was given.
pub type Scores = Vec<(u32, Option<Scored>)>;

impl Known {
    /// What is known of a pair, if anything.
    fn get(&self, a: u32, b: u32) -> Option<Option<Scored>> {
        if a != self.slot && b != self.slot {
            return None;
        }
        let other = if a == self.slot { b } else { a };
        let at = self.scores.binary_search_by_key(&other, |(slot, _)| *slot).ok()?;
        self.scores.get(at).map(|(_, scored)| *scored)
    }
}

/// A neighbourhood cut into contacts anew.
struct Cut {
    affected: Vec<u32>,
    groups: Vec<Vec<u32>>,
    joins: Vec<Join>,
    refused: Vec<Refused>,
}

#[derive(Debug)]
struct KeyAfter {
    kind: KeyKind,
    /// What it is worth without the change.
    before: KeyState,
    state: KeyState,
    /// Holders after the change; empty when there are too many to propose.
    holders: SmallVec<[u32; 4]>,
}

/// Mints ids, ascending.
pub type NewId<'a> = dyn FnMut() -> u128 + 'a;

/// Computes what `edits` would do to `shard`.
pub fn resolve(shard: &Shard, edits: &Edits, new_id: &mut NewId<'_>) -> Resolution {
    resolve_within(shard, limits_of(shard), edits, new_id)
}

/// The same under other bounds than the settings and the model give; for measuring what each bound does.
pub fn resolve_within(shard: &Shard, limits: Limits, edits: &Edits, new_id: &mut NewId<'_>) -> Resolution {
    let judgements = edits.judgements.as_ref().unwrap_or(&shard.judgements);
    let mut after = Change { limits, ..Change::new(shard, judgements, &edits.records) };
    let mut touched: BTreeSet<u32> = edits.records.iter().map(|(slot, _)| *slot).collect();
    if !shard.is_of_accounts {
        after.take_in_keys(&edits.records);
        let sharing = after.sharing(&edits.records);
        if let [(slot, Some(version))] = edits.records.as_slice() {
            after.known = Known { slot: *slot, scores: after.scores_of(*slot, version, &sharing) };
        }
        touched = after.take_in_edges(&edits.records, sharing);
    }
    touched.extend(edits.judged.iter().filter_map(|record| after.slot_of(*record)));
    after.finish(&edits.records, touched, &edits.pins, new_id)
}

impl<'a> Change<'a> {
    fn new(shard: &'a Shard, judgements: &'a Judgements, records: &[(u32, Option<Arc<Version>>)]) -> Self {
        Self {
            shard,
            limits: limits_of(shard),
            next: records.iter().cloned().collect(),
            keys: HashMap::new(),
            edges: HashMap::new(),
            judgements,
            known: Known::default(),
            scored: AtomicU32::new(0),
        }
    }

    /// From touched slots to the events. Keys and edges must be taken in already.
    fn finish(
        &self,
        records: &[(u32, Option<Arc<Version>>)],
        touched: BTreeSet<u32>,
        pins: &[(u32, EntityId)],
        new_id: &mut NewId<'_>,
    ) -> Resolution {
        let cut = if self.shard.is_of_accounts { self.cut_accounts(&touched) } else { self.cut(records, touched) };
        let past = History { shard: self.shard, pins };
        let assigned = assign_ids(&cut.affected, &cut.groups, &past, &mut || EntityId(new_id()));
        let cost = self.cost(&cut, &assigned);
        let mut resolution = Resolution { refused: cut.refused, cost, ..Resolution::default() };
        self.put_edges(&mut resolution.resolved);
        self.put_groups(&assigned, &cut.joins, &mut resolution, new_id);
        self.put_reviews(&cut.affected, &mut resolution, new_id);
        resolution.joins = cut.joins;
        resolution
    }

    fn cost(&self, cut: &Cut, assigned: &Assigned) -> Cost {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let moved = |part: &Assignment| {
            let before = part.slots.iter().filter_map(|slot| self.shard.slot(*slot)?.entity);
            before.filter(|id| *id != part.entity).count()
        };
        Cost {
            pairs_scored: self.scored.load(Memory::Relaxed),
            records_recut: count(cut.groups.iter().map(Vec::len).sum()),
            ids_moved: count(assigned.parts.iter().map(moved).sum()),
        }
    }

    /// Cuts everything that the touched slots can have changed into contacts anew.
    fn cut(&self, records: &[(u32, Option<Arc<Version>>)], mut touched: BTreeSet<u32>) -> Cut {
        let before = Change::new(self.shard, &self.shard.judgements, &[]);
        self.add_same_partners(records, &mut touched);
        let touched: Vec<u32> = touched.into_iter().collect();
        let redo = recompute_set(&before, self, &self.limits, &touched);
        let (mut groups, mut joins, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for block in &redo.blocks {
            let part = partition(self, &self.limits, block);
            groups.extend(part.groups);
            joins.extend(part.joins);
            refused.extend(part.refused);
        }
        Cut { affected: redo.affected, groups, joins, refused }
    }

    /// An overlay that only lays records over: for scoring and for finding candidates of a query.
    pub fn overlay(shard: &'a Shard, records: &[(u32, Option<Arc<Version>>)]) -> Self {
        let mut change = Self::new(shard, &shard.judgements, records);
        change.take_in_keys(records);
        change
    }

    fn evidence(&self, slot: u32) -> Option<&Arc<Version>> {
        match self.next.get(&slot) {
            Some(next) => next.as_ref(),
            None => self.shard.evidence(slot),
        }
    }

    fn record_id(&self, slot: u32) -> Option<RecordId> {
        match self.shard.slot(slot) {
            Some(at) => Some(at.record_id),
            None => self.evidence(slot).map(|version| version.stored.record_id),
        }
    }

    fn slot_of(&self, record: RecordId) -> Option<u32> {
        let new = || self.next.iter().find_map(|(slot, v)| (v.as_ref()?.stored.record_id == record).then_some(*slot));
        self.shard.slot_of(record).or_else(new)
    }

    fn state(&self, key: Key, kind: KeyKind) -> KeyState {
        self.keys.get(&key).map_or_else(|| self.shard.key_state(key, kind), |after| after.state)
    }

    /// Live keys of a version that another one shares, after the change.
    pub fn shared_live(&self, a: &Version, b: &Version) -> Vec<(Key, KeyKind)> {
        a.keys.iter().filter(|(key, kind)| b.has(*key) && self.state(*key, *kind).live).collect()
    }

    /// Everybody who shares a live key with a slot, after the change, with the kinds of those keys; ascending by slot.
    pub fn candidates(&self, slot: u32) -> Vec<(u32, Kinds)> {
        let Some(version) = self.evidence(slot) else { return Vec::new() };
        // A slot, and which of the record's keys, in one number: in its order the kinds of a slot come in that of the keys.
        let keys: SmallVec<[(Key, KeyKind); 64]> = version.keys.iter().collect();
        let mut pairs: Vec<u64> = Vec::with_capacity(PAIRS_USUAL);
        for (at, (key, kind)) in (0_u64..).zip(keys.iter().copied()) {
            let pair = |other: u32| u64::from(other) << u32::BITS | at;
            match self.keys.get(&key) {
                Some(after) if after.state.live => pairs.extend(after.holders.iter().map(|other| pair(*other))),
                Some(_) => {}
                None => {
                    let posting = self.shard.postings.get(key);
                    if self.shard.state_of(posting, kind).live {
                        posting.into_iter().flat_map(Posting::slots).for_each(|other| pairs.push(pair(other)));
                    }
                }
            }
        }
        pairs.sort_unstable();
        let is_open = self.shard.privacy.is_open();
        let mut found: Vec<(u32, Kinds)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (other, at) = halves(pair);
            let Some((_, kind)) = keys.get(at as usize).copied() else { continue };
            if other == slot || (!is_open && self.is_walled(slot, other)) {
                continue;
            }
            match found.last_mut() {
                Some((last, kinds)) if *last == other => {
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
                _ => found.push((other, Kinds::from_slice(&[kind]))),
            }
        }
        found
    }

    /// The pairs of edited records with everybody who shares a live key with them. Keys must be taken in already.
    fn sharing(&self, records: &[(u32, Option<Arc<Version>>)]) -> Vec<(u32, u32)> {
        let pairs = |slot: u32| self.candidates(slot).into_iter().map(move |(other, _)| ordered(slot, other));
        records.iter().flat_map(|(slot, _)| pairs(*slot)).collect()
    }

    /// The scores of one edited record with those of `sharing`, its pairs; `None` for what makes no edge. Keys must be
    /// taken in already.
    fn scores_of(&self, slot: u32, version: &Version, sharing: &[(u32, u32)]) -> Scores {
        let others: Vec<u32> = sharing.iter().map(|(a, b)| if *a == slot { *b } else { *a }).collect();
        self.scores(version, &others, self.edge_floor())
    }

    /// The scores of a record with others, in their order; without those that have no evidence. `None`: below the floor.
    pub fn scores(&self, version: &Version, others: &[u32], floor: Millibits) -> Scores {
        let found = self.features_of(others);
        self.scored.fetch_add(u32::try_from(found.len()).unwrap_or(u32::MAX), Memory::Relaxed);
        let mut scorer = Scorer::new(&self.shard.model, &version.features);
        found.into_iter().map(|(other, features)| (other, scorer.score(self, features, floor))).collect()
    }

    /// The weight from which on a pair is an edge.
    pub fn edge_floor(&self) -> Millibits {
        self.limits.ladder[0]
    }

    /// The edges of the edited records, whose pairs are `sharing`, and of whoever a flipped key concerns. Keys must be
    /// taken in already. Returns the touched slots.
    fn take_in_edges(
        &mut self,
        records: &[(u32, Option<Arc<Version>>)],
        mut sharing: Vec<(u32, u32)>,
    ) -> BTreeSet<u32> {
        let mut touched: BTreeSet<u32> = records.iter().map(|(slot, _)| *slot).collect();
        let mut dirty: BTreeSet<(u32, u32)> = BTreeSet::new();
        for (key, after) in &self.keys {
            self.dirty_of_key(*key, after, &mut touched, &mut dirty);
        }
        for (slot, _) in records {
            dirty.extend(self.shard.edges.of(*slot).map(|(other, _)| ordered(*slot, other)));
        }
        sharing.sort_unstable();
        sharing.dedup();
        dirty.retain(|pair| sharing.binary_search(pair).is_err());
        let all = sharing.into_iter().map(|pair| (pair, true)).chain(dirty.into_iter().map(|pair| (pair, false)));
        for ((a, b), share) in all {
            let weight = if share || self.share_live(a, b) { self.edge_weight(a, b) } else { None };
            if weight != self.edge_before(a, b) {
                self.put_edge(a, b, weight);
                touched.extend([a, b]);
            }
        }
        touched
    }

    /// Lays an edge over those that are there.
    fn put_edge(&mut self, a: u32, b: u32, weight: Option<Millibits>) {
        self.edges.entry(a).or_default().insert(b, weight);
        self.edges.entry(b).or_default().insert(a, weight);
    }

    fn take_in_keys(&mut self, records: &[(u32, Option<Arc<Version>>)]) {
        let mut kinds: Vec<(Key, KeyKind)> = Vec::new();
        for (slot, next) in records {
            let old = self.shard.evidence(*slot);
            for version in old.into_iter().chain(next) {
                kinds.extend(version.keys.iter());
            }
        }
        kinds.sort_unstable();
        kinds.dedup_by_key(|(key, _)| *key); // which names its kind
        self.keys.reserve(kinds.len());
        let shard = self.shard;
        let postings = shard.postings.get_all(kinds.iter().map(|(key, _)| *key));
        for ((key, kind), posting) in kinds.into_iter().zip(postings) {
            let after = self.key_after((key, kind), posting, records);
            self.keys.insert(key, after);
        }
    }

    fn key_after(
        &self,
        (key, kind): (Key, KeyKind),
        posting: Option<Posting<'_>>,
        records: &[(u32, Option<Arc<Version>>)],
    ) -> KeyAfter {
        let settings = &self.shard.settings;
        let before = self.shard.state_of(posting, kind);
        let had = posting.map_or(0, Posting::holders);
        let left = records.iter().filter(|(slot, _)| self.shard.evidence(*slot).is_some_and(|v| v.has(key))).count();
        let came = records
            .iter()
            .filter_map(|(slot, next)| next.as_ref().filter(|v| v.has(key)).map(|v| (*slot, v.given_code())));
        let count = had + came.clone().count() - left;
        if count > settings.holders_max as usize {
            let state = KeyState::of(kind, count, u32::MAX, settings);
            return KeyAfter { kind, before, state, holders: SmallVec::new() };
        }
        let is_edited = |slot: u32| records.iter().any(|(edited, _)| *edited == slot);
        // Who the holders are counts for identifiers only.
        let people = match posting {
            _ if !kind.is_identifier() => 0,
            Some(posting) => {
                let stay = posting.each().filter(|(slot, _)| !is_edited(*slot));
                postings::people(stay.chain(came.clone()).map(|(_, code)| code))
            }
            None => postings::people(came.clone().map(|(_, code)| code)),
        };
        let state = KeyState::of(kind, count, people, settings);
        let stay = posting.into_iter().flat_map(Posting::slots).filter(|slot| !is_edited(*slot));
        let mut holders: SmallVec<[u32; 4]> = SmallVec::new();
        stay.chain(came.map(|(slot, _)| slot)).for_each(|slot| holders.push(slot));
        holders.sort_unstable();
        KeyAfter { kind, before, state, holders }
    }

    /// The pairs whose candidacy or weight a key's new state may change.
    fn dirty_of_key(&self, key: Key, after: &KeyAfter, touched: &mut BTreeSet<u32>, dirty: &mut BTreeSet<(u32, u32)>) {
        let before = after.before;
        let retiered = after.kind.is_identifier() && before.tier != after.state.tier;
        if !retiered && before.live == after.state.live {
            return;
        }
        // Beyond the bound a key was and stays generic, so a flip concerns at most one more holder than it.
        let bound = self.shard.settings.holders_max as usize + 1;
        let mut holders: BTreeSet<u32> = after.holders.iter().copied().collect();
        if self.shard.postings.get(key).is_some_and(|posting| posting.holders() <= bound) {
            holders.extend(self.shard.holders(key).into_iter().map(|(slot, _)| slot));
        }
        if retiered {
            touched.extend(&holders);
            // A tier weighs in pairs that do not share the key as well: ids that differ are a conflict, and mails that are
            // nearly one a hint, unless one of them is crowded. So each holder's pairs are scored again, not only those
            // among the holders.
            for &holder in &holders {
                dirty.extend(self.candidates(holder).into_iter().map(|(other, _)| ordered(holder, other)));
            }
        }
        let all_pairs = after.state.live;
        for &a in &holders {
            if all_pairs {
                dirty.extend(holders.iter().filter(|b| **b > a).map(|b| (a, *b)));
            } else {
                let edges = self.shard.edges.of(a);
                dirty.extend(edges.filter(|(b, _)| holders.contains(b)).map(|(b, _)| ordered(a, b)));
            }
        }
    }

    fn edge_before(&self, a: u32, b: u32) -> Option<Millibits> {
        if a.max(b) >= self.shard.next_slot() {
            return None; // a new record had none
        }
        self.shard.edges.weight(a, b)
    }

    /// Whether a restriction stands between two slots: then nothing is asked or said about the pair.
    fn is_walled(&self, a: u32, b: u32) -> bool {
        let privacy = &self.shard.privacy;
        if privacy.is_open() {
            return false;
        }
        let wall = |slot| self.record_id(slot).and_then(|record| privacy.wall_of(record));
        wall(a) != wall(b)
    }

    fn share_live(&self, a: u32, b: u32) -> bool {
        let Some((left, right)) = self.evidence(a).zip(self.evidence(b)) else { return false };
        left.keys.iter().any(|(key, kind)| right.has(key) && self.state(key, kind).live)
    }

    /// The weight of a pair that shares a live key, if it reaches the review threshold and meets no veto.
    fn edge_weight(&self, a: u32, b: u32) -> Option<Millibits> {
        let scored = match self.known.get(a, b) {
            Some(known) if !self.is_walled(a, b) => known?,
            _ => self.score(a, b)?,
        };
        (!scored.veto && scored.weight >= self.edge_floor()).then_some(scored.weight)
    }

    /// Scores a pair, unless it is known already. Symmetric.
    fn score(&self, a: u32, b: u32) -> Option<Scored> {
        if self.is_walled(a, b) {
            return None;
        }
        if let Some(Some(scored)) = self.known.get(a, b) {
            return Some(scored);
        }
        let (left, right) = (self.evidence(a)?, self.evidence(b)?);
        self.scored.fetch_add(1, Memory::Relaxed);
        Some(score(&self.shard.model, self, &left.features, &right.features))
    }

    /// A judgement wakes and sleeps with its records: partners of an edited record are touched too.
    fn add_same_partners(&self, records: &[(u32, Option<Arc<Version>>)], touched: &mut BTreeSet<u32>) {
        for (slot, _) in records {
            let Some(record) = self.record_id(*slot) else { continue };
            for partner in self.judgements.partners(record) {
                touched.extend(self.slot_of(partner.record));
            }
        }
    }

    fn put_edges(&self, resolved: &mut Resolved) {
        let mut changed: Vec<(u32, u32, Option<Millibits>)> = Vec::new();
        for (a, others) in &self.edges {
            changed.extend(others.iter().filter(|(b, _)| *a < **b).map(|(b, weight)| (*a, *b, *weight)));
        }
        changed.sort_unstable();
        for (a, b, weight) in changed {
            let (Some(a), Some(b)) = (self.record_id(a), self.record_id(b)) else { continue };
            match weight {
                Some(weight) => resolved.edges.push(Edge { a, b, weight }),
                None => resolved.edges_gone.push((a, b)),
            }
        }
    }

    fn ids_of(&self, slots: &[u32]) -> Vec<RecordId> {
        slots.iter().filter_map(|slot| self.record_id(*slot)).collect()
    }

    fn put_groups(&self, assigned: &Assigned, joins: &[Join], resolution: &mut Resolution, new_id: &mut NewId<'_>) {
        let mut joins_of: HashMap<u32, Vec<&Join>> = HashMap::new();
        for join in joins {
            joins_of.entry(join.a).or_default().push(join);
        }
        for part in &assigned.parts {
            let mut slots = part.slots.clone();
            slots.sort_unstable();
            let mut absorbed = part.absorbed.clone();
            // A join is within one contact, so those of its slots are all there are.
            let joins: Vec<&Join> = slots.iter().filter_map(|slot| joins_of.get(slot)).flatten().copied().collect();
            let merges = self.merges_of(part.entity, &slots, &mut absorbed, &joins, new_id);
            let same = !part.revived
                && absorbed.is_empty()
                && self.shard.entity(part.entity).is_some_and(|entity| *entity.members == *slots);
            if !same {
                let records = self.ids_of(&slots);
                resolution.resolved.groups.push(Group { entity: part.entity, records, absorbed });
            }
            resolution.resolved.merges.extend(merges);
            resolution.parts.push((part.entity, slots, part.created));
        }
        for id in &assigned.ended {
            resolution.resolved.groups.push(Group { entity: *id, records: Vec::new(), absorbed: Vec::new() });
        }
        // Groups that only lose come before those that gain, so that a record is never in two.
        resolution.resolved.groups.sort_by_key(|group| (group.entity, group.records.len()));
    }

    /// One entry for each contact that `survivor` takes in; a new record that joins gets an id of its own to lose.
    fn merges_of(
        &self,
        survivor: EntityId,
        slots: &[u32],
        absorbed: &mut Vec<EntityId>,
        joins: &[&Join],
        new_id: &mut NewId<'_>,
    ) -> Vec<Merged> {
        let current = |slot: &u32| self.shard.slot(*slot).and_then(|at| at.entity);
        let born = |slot: &u32| self.shard.slot(*slot).and_then(|at| at.native).is_some();
        let mut sides: Vec<(EntityId, Vec<u32>)> = Vec::new();
        for &loser in absorbed.iter() {
            sides.push((loser, slots.iter().filter(|slot| current(slot) == Some(loser)).copied().collect()));
        }
        for slot in slots.iter().filter(|slot| !born(slot)) {
            if slots.len() > 1 {
                let loser = EntityId(new_id());
                absorbed.push(loser);
                sides.push((loser, vec![*slot]));
            }
        }
        let mut merges = Vec::new();
        for (loser, right) in sides {
            let left: Vec<u32> = slots.iter().filter(|slot| current(slot) == Some(survivor)).copied().collect();
            let left = if left.is_empty() { without(slots, &right) } else { left };
            merges.push(Merged {
                merge_id: MergeId(new_id()),
                survivor,
                loser,
                pair: self.best_join(joins, &left, &right),
                left: self.ids_of(&left),
                right: self.ids_of(&right),
                reason: None,
                judgement: None,
            });
        }
        merges
    }

    fn best_join(&self, joins: &[&Join], left: &[u32], right: &[u32]) -> Option<Edge> {
        let crosses = |join: &&&Join| {
            (left.contains(&join.a) && right.contains(&join.b)) || (left.contains(&join.b) && right.contains(&join.a))
        };
        let near = |join: &&&Join| right.contains(&join.a) != right.contains(&join.b);
        let join = joins.iter().filter(crosses).max_by_key(|join| join.weight);
        let join = join.or_else(|| joins.iter().filter(near).max_by_key(|join| join.weight))?;
        Some(Edge { a: self.record_id(join.a)?, b: self.record_id(join.b)?, weight: join.weight })
    }
}

impl Tiers for Change<'_> {
    fn tier(&self, key: Key) -> Tier {
        self.state(key, KeyKind::Email).tier
    }

    fn people(&self, key: Key) -> u32 {
        self.state(key, KeyKind::Email).people
    }
}

impl Graph for Change<'_> {
    fn alive(&self, slot: u32) -> bool {
        self.evidence(slot).is_some()
    }

    fn edges(&self, slot: u32, out: &mut Vec<(u32, Millibits)>) {
        let over = self.edges.get(&slot);
        let kept = |other: &u32| over.is_none_or(|over| !over.contains_key(other));
        out.extend(self.shard.edges.of(slot).filter(|(other, _)| kept(other)));
        if let Some(over) = over {
            out.extend(over.iter().filter_map(|(other, weight)| weight.map(|weight| (*other, weight))));
        }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let key = |slot| self.evidence(slot).map(|version| &version.stored.key);
        key(a).cmp(&key(b))
    }

    fn user(&self, slot: u32) -> u64 {
        self.evidence(slot).map_or(0, |version| version.features.user())
    }

    fn support(&self, a: u32, b: u32) -> Support {
        let Some(scored) = self.score(a, b) else { return Support::default() };
        Support { weight: scored.weight, veto: scored.veto, conflict: scored.conflict, key: scored.key }
    }

    fn same(&self, slot: u32, out: &mut Vec<(u32, Millis)>) {
        if self.judgements.is_empty() {
            return;
        }
        let Some(record) = self.record_id(slot) else { return };
        for partner in self.judgements.partners(record).iter().filter(|partner| partner.same) {
            let other =
                self.slot_of(partner.record).filter(|other| self.alive(*other) && !self.is_walled(slot, *other));
            out.extend(other.map(|other| (other, partner.at)));
        }
    }

    fn different(&self, slot: u32, out: &mut Vec<u32>) {
        if self.judgements.is_empty() {
            return;
        }
        let Some(record) = self.record_id(slot) else { return };
        for partner in self.judgements.partners(record).iter().filter(|partner| !partner.same) {
            out.extend(self.slot_of(partner.record).filter(|slot| self.alive(*slot)));
        }
    }
}

/// The names that records had.
struct History<'a> {
    shard: &'a Shard,
    pins: &'a [(u32, EntityId)],
}

impl Past for History<'_> {
    fn current(&self, slot: u32) -> Option<EntityId> {
        self.shard.slot(slot)?.entity
    }

    fn native(&self, slot: u32) -> Option<EntityId> {
        self.shard.slot(slot)?.native.filter(|id| !self.shard.is_erased(*id))
    }

    fn retired(&self, slot: u32, out: &mut Vec<EntityId>) {
        let Some(at) = self.shard.slot(slot) else { return };
        let names =
            |id: &EntityId| self.shard.entity(*id).is_some_and(|e| e.redirect.is_none() && !e.members.is_empty());
        // The id of somebody who was erased never names anybody again.
        out.extend(at.once().iter().filter(|id| !names(id) && !self.shard.is_erased(**id)).copied());
    }

    fn order(&self, slot: u32) -> u64 {
        u64::from(slot)
    }

    fn pinned(&self, slot: u32) -> Option<EntityId> {
        self.pins.iter().find(|(at, _)| *at == slot).map(|(_, id)| *id)
    }
}

fn limits_of(shard: &Shard) -> Limits {
    Limits::from_settings(&shard.settings).learned(&shard.model)
}

fn ordered(a: u32, b: u32) -> (u32, u32) {
    (a.min(b), a.max(b))
}

/// The upper half of a number and the lower one.
fn halves(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]))
}

fn without(slots: &[u32], gone: &[u32]) -> Vec<u32> {
    slots.iter().filter(|slot| !gone.contains(slot)).copied().collect()
}
