//! The key join of a batch: which records share a live key, and how common each identifier is.
//!
//! Flat arrays instead of a map of lists: keys are sorted once, then each record knows its live keys and
//! each live key its holders. Pairs are listed per record when asked for and never held all at once.
//!
//! In a file's run the candidates of a record are pruned to the likeliest ([`prune`]), so keys may have more holders there.
//! A key that more records hold than a live one may is left out, unless few people share it (an identifier, a whole name):
//! then its holders may be one person with a thousand records, and each is compared with its neighbours in several
//! orders ([`chain`]). The orders depend on the records' values alone.

use std::ops::Range;

use hashbrown::HashMap;
use rayon::prelude::*;

use super::prune::{Floor, Glance, rarity};
use super::{BatchRecord, chain, place};
use crate::index::key::emit;
use crate::index::postings::people;
use crate::index::tier::{is_live, tier_of};
use crate::matching::features::Features;
use crate::matching::model::Model;
use crate::matching::score::Tiers;
use crate::model::key::{Key, KeyKind, Tier};
use crate::model::settings::Settings;

/// Tier and people of the identifiers that more than one record holds.
#[derive(Default)]
pub(super) struct Counts {
    shared: HashMap<Key, (Tier, u32)>,
}

impl Tiers for Counts {
    fn tier(&self, key: Key) -> Tier {
        self.shared.get(&key).map_or(Tier::Unique, |(tier, _)| *tier)
    }

    fn people(&self, key: Key) -> u32 {
        self.shared.get(&key).map_or(1, |(_, people)| *people)
    }
}

/// Which records share a live key.
#[derive(Default)]
pub(super) struct Index {
    pub(super) counts: Counts,
    /// Where each live key's holders start; one more for the end.
    holder_starts: Vec<usize>,
    /// Records by live key, ascending within each.
    holders: Vec<u32>,
    /// Where each record's live keys start; one more for the end.
    key_starts: Vec<usize>,
    /// Live keys by record, as numbers in the order of `holder_starts`.
    keys: Vec<u32>,
    pruning: Option<Pruning>,
}

/// What decides which candidates are compared.
struct Pruning {
    /// By live key: what it says for a pair.
    rarities: Vec<u16>,
    glances: Vec<Glance>,
    floors: Vec<Floor>,
}

/// The candidates of one record.
#[derive(Default)]
pub(super) struct Found {
    /// The other records, ascending, each once.
    pub(super) others: Vec<u32>,
    met: Vec<(u32, u64)>,
}

/// What becomes of a key that more records hold than a live one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Large {
    /// It proposes nobody, as in a server, where a change must not concern many records.
    LeftOut,
    /// Its holders are compared with their neighbours, if few people share it. Candidates are pruned.
    Chained,
}

/// How often a key that does not identify may have the holders that a server allows it, where candidates are pruned.
const FILE_HOLDERS: u32 = 2;

/// One record's claim to a key.
type Claim = (Key, u32, KeyKind);

impl Index {
    pub(super) fn new(
        records: &[BatchRecord<'_>],
        features: &[Features],
        large_blocks: Large,
        border: Option<u32>,
        model: &Model,
        settings: &Settings,
    ) -> Self {
        let keys_of = |(at, (record, features)): (usize, (&BatchRecord<'_>, &Features))| {
            let keys = emit(features, record.normalized, model);
            keys.into_iter().map(move |(key, kind)| (key, place(at), kind))
        };
        let pairs = records.par_iter().zip(features).enumerate();
        let mut claims: Vec<Claim> = pairs.flat_map_iter(keys_of).collect();
        claims.par_sort_unstable();
        let mut index = Self { holder_starts: vec![0], ..Self::default() };
        let mut large = Vec::new();
        for run in claims.chunk_by(|(a, ..), (b, ..)| a == b).filter(|run| run.len() > 1) {
            if index.add(run, features, large_blocks, settings) {
                large.push(run);
            }
        }
        if !large.is_empty() {
            let orders = chain::orders(records);
            for run in large {
                let holders: Vec<u32> = run.iter().map(|&(_, record, _)| record).collect();
                chain::windows(&orders, &holders, |window| index.block(window));
            }
        }
        drop(claims);
        let number = |at: usize| place(at);
        let runs = index.holder_starts.windows(2).enumerate().flat_map(|(at, ends)| {
            let (from, to) = (ends.first().copied().unwrap_or(0), ends.last().copied().unwrap_or(0));
            index.holders.get(from..to).unwrap_or_default().iter().map(move |&record| (record, number(at)))
        });
        let (key_starts, keys) = group(records.len(), runs);
        index.key_starts = key_starts;
        index.keys = keys;
        if large_blocks == Large::Chained {
            index.prune(records, border);
        }
        index
    }

    /// Adds a key that several records hold; `true` where they are too many and must be chained.
    fn add(&mut self, run: &[Claim], features: &[Features], large: Large, settings: &Settings) -> bool {
        let Some(&(key, _, kind)) = run.first() else { return false };
        let holders = place(run.len());
        let mut count = 0;
        if kind.is_identifier() {
            let codes = run.iter().filter_map(|&(_, record, _)| features.get(record as usize));
            let codes = codes.map(|f| f.given_code);
            let counted;
            (count, counted) = match (holders > settings.holders_max, large) {
                (false, _) => (people(codes), holders),
                (true, Large::Chained) => (chain::main_people(codes), settings.holders_max),
                // The number of people decides nothing.
                (true, Large::LeftOut) => (u32::MAX, holders),
            };
            self.counts.shared.insert(key, (tier_of(counted, count, settings), count));
        }
        let allowed = if large == Large::Chained && !kind.is_identifier() { FILE_HOLDERS } else { 1 };
        if is_live(kind, holders.div_ceil(allowed), count, settings) {
            let holders: Vec<u32> = run.iter().map(|&(_, record, _)| record).collect();
            self.block(&holders);
            return false;
        }
        let narrow = kind != KeyKind::Compound && count <= settings.generic_max;
        large == Large::Chained && holders > settings.holders_max && narrow
    }

    /// Adds records that are compared with one another.
    fn block(&mut self, records: &[u32]) {
        self.holders.extend_from_slice(records);
        self.holder_starts.push(self.holders.len());
    }

    /// Finds out from where on a record's candidates are worth a comparison.
    fn prune(&mut self, records: &[BatchRecord<'_>], border: Option<u32>) {
        let sizes = self.holder_starts.windows(2).map(|ends| ends.iter().rev().copied().reduce(|to, from| to - from));
        let rarities = sizes.map(|holders| rarity(holders.unwrap_or(0))).collect();
        let glances = records.par_iter().map(|record| Glance::new(record.normalized)).collect();
        let mut pruning = Pruning { rarities, glances, floors: Vec::new() };
        let all = place(records.len());
        let floor = |(met, worths): &mut (Vec<(u32, u64)>, Vec<u64>), a: u32| {
            let others = match border {
                Some(border) if a < border => border..all,
                Some(border) => 0..border,
                None => 0..all,
            };
            self.meet(a, others, Some(&pruning), met);
            worths.clear();
            worths.extend(met.iter().filter(|(b, _)| *b != a).map(|(_, worth)| *worth));
            Floor::new(worths)
        };
        pruning.floors = (0..all).into_par_iter().map_init(Default::default, floor).collect();
        self.pruning = Some(pruning);
    }

    /// Replaces `met` by the records among `others` that share a live key with `a`, ascending, each once, and what the
    /// pair is worth; 0 where nothing is pruned.
    fn meet(&self, a: u32, others: Range<u32>, pruning: Option<&Pruning>, met: &mut Vec<(u32, u64)>) {
        met.clear();
        for &key in slice(&self.key_starts, &self.keys, a) {
            let holders = slice(&self.holder_starts, &self.holders, key);
            let from = holders.partition_point(|&other| other < others.start);
            let rarity = pruning.and_then(|pruning| pruning.rarities.get(key as usize)).copied().unwrap_or(0);
            let within = holders.iter().skip(from).take_while(|other| **other < others.end);
            met.extend(within.map(|&other| (other, u64::from(rarity))));
        }
        met.sort_unstable();
        met.dedup_by(|next, first| {
            let same = next.0 == first.0;
            first.1 += if same { next.1 } else { 0 };
            same
        });
        let Some(pruning) = pruning else { return };
        let glance = |record: u32| pruning.glances.get(record as usize);
        for (b, worth) in met {
            let keys = u32::try_from(*worth).unwrap_or(u32::MAX);
            *worth = glance(a).zip(glance(*b)).map_or(0, |(x, y)| x.worth(y, keys, (a, *b)));
        }
    }

    /// Replaces `found` by the candidates of `record` behind it; with a border only those across it.
    pub(super) fn candidates(&self, record: u32, border: Option<u32>, found: &mut Found) {
        found.others.clear();
        if border.is_some_and(|border| record >= border) {
            return;
        }
        let least = border.unwrap_or(0).max(record + 1);
        let pruning = self.pruning.as_ref();
        self.meet(record, least..u32::MAX, pruning, &mut found.met);
        let floor = |record: u32| pruning.and_then(|pruning| pruning.floors.get(record as usize));
        let compared = |(b, worth): &&(u32, u64)| match (floor(record), floor(*b)) {
            (Some(one), Some(other)) => one.passes(other, *worth),
            _ => true,
        };
        found.others.extend(found.met.iter().filter(compared).map(|(b, _)| *b));
    }
}

/// Sorts `(owner, item)` pairs into one list by owner, keeping their order: where each of `owners` starts, and the items.
pub(super) fn group<T: Copy + Default>(
    owners: usize,
    pairs: impl Iterator<Item = (u32, T)> + Clone,
) -> (Vec<usize>, Vec<T>) {
    let mut starts = vec![0usize; owners + 1];
    for (owner, _) in pairs.clone() {
        if let Some(count) = starts.get_mut(owner as usize + 1) {
            *count += 1;
        }
    }
    let mut total = 0;
    for start in &mut starts {
        total += *start;
        *start = total;
    }
    let mut items = vec![T::default(); total];
    let mut next = starts.clone();
    for (owner, item) in pairs {
        if let Some(at) = next.get_mut(owner as usize).filter(|_| (owner as usize) < owners) {
            if let Some(place) = items.get_mut(*at) {
                *place = item;
            }
            *at += 1;
        }
    }
    (starts, items)
}

/// The items of one owner.
pub(super) fn slice<'a, T>(starts: &[usize], items: &'a [T], owner: u32) -> &'a [T] {
    let at = owner as usize;
    let ends = starts.get(at).zip(starts.get(at + 1));
    ends.and_then(|(&from, &to)| items.get(from..to)).unwrap_or_default()
}
