//! The key join of a batch: which records share a live key, and how common each identifier is.
//!
//! Flat arrays instead of a map of lists: keys are sorted once, then each record knows its live keys and
//! each live key its holders. Pairs are listed per record when asked for and never held all at once.
//!
//! A key that more records hold than a live one may is left out, unless few people share it (an identifier, a whole name):
//! then its holders may be one person with a thousand records, and each is compared with its neighbours in several
//! orders ([`chain`]). The orders depend on the records' values alone.

use hashbrown::HashMap;
use rayon::prelude::*;

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
}

/// What becomes of a key that more records hold than a live one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Large {
    /// It proposes nobody, as in a server, where a change must not concern many records.
    LeftOut,
    /// Its holders are compared with their neighbours, if few people share it.
    Chained,
}

/// One record's claim to a key.
type Claim = (Key, u32, KeyKind);

impl Index {
    pub(super) fn new(
        records: &[BatchRecord<'_>],
        features: &[Features],
        large_blocks: Large,
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
        if is_live(kind, holders, count, settings) {
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

    /// Replaces `out` by the records that share a live key with `record`, ascending, each once: those
    /// behind it; with a border only pairs across it.
    pub(super) fn candidates(&self, record: u32, border: Option<u32>, out: &mut Vec<u32>) {
        out.clear();
        if border.is_some_and(|border| record >= border) {
            return;
        }
        let least = border.unwrap_or(0).max(record + 1);
        for &key in slice(&self.key_starts, &self.keys, record) {
            let holders = slice(&self.holder_starts, &self.holders, key);
            let from = holders.partition_point(|&other| other < least);
            out.extend_from_slice(holders.get(from..).unwrap_or_default());
        }
        out.sort_unstable();
        out.dedup();
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
