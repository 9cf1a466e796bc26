//! What people said of a batch's records.
//!
//! Verdicts bind the partition as they do in the store, so the pairs that a person called the same are among the
//! matching pairs that weights are learned from, and those called different are not, however alike they look. Beside
//! that each verdict is one label for calibration: its strongest pair is the one that somebody had to look at.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::Batch;
use crate::matching::score::uncalibrated;
use crate::model::ids::Millis;

/// Pairs of one verdict that are looked at for its strongest one.
const PAIRS_MAX: usize = 1000;

/// What people said, of live records, by place.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// By record: who is the same person, and when that was said.
    pub same: HashMap<u32, Vec<(u32, Millis)>>,
    /// By record: who is not.
    pub different: HashMap<u32, Vec<u32>>,
    /// Each verdict: whether `same`, and the pairs for which it is the word that counts.
    pub said: Vec<(bool, Vec<(u32, u32)>)>,
}

impl Verdicts {
    /// How many say `same`, and `different`.
    pub fn counts(&self) -> (usize, usize) {
        let same = self.said.iter().filter(|(same, _)| *same).count();
        (same, self.said.len() - same)
    }
}

impl Batch {
    /// Each verdict's strongest pair: its weight in bits before calibration, and whether it is the same. Ascending, so
    /// that the order in which people spoke decides nothing.
    pub(super) fn judged_weights(&self) -> Vec<(f64, bool)> {
        let features = |place: u32| self.features.get(place as usize);
        let weight = |&(a, b): &(u32, u32)| {
            let (a, b) = features(a).zip(features(b))?;
            Some(uncalibrated(&self.model, &self.index.counts, a, b))
        };
        let strongest = |(same, pairs): &(bool, Vec<(u32, u32)>)| {
            let most = pairs.iter().take(PAIRS_MAX).filter_map(weight).max()?;
            Some((most.bits(), *same))
        };
        let mut weights: Vec<(f64, bool)> = self.verdicts.said.iter().filter_map(strongest).collect();
        let order = |a: &(f64, bool), b: &(f64, bool)| -> Ordering { a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)) };
        weights.sort_unstable_by(order);
        weights
    }
}
