//! How good a partition is against the truth: pairwise and B-cubed precision, recall and F1.
//!
//! Recall is always over *all* true pairs, also those that were never candidates. A partition is a
//! slice with the cluster of each record; which numbers name the clusters does not matter.
//!
//! [`weights`] looks at pairs before clustering (curve, histogram), [`calibration`] at whether a probability means what
//! it says, [`candidates`] at what retrieval found, [`marks`] at the recall of what was done to the records.

pub mod calibration;
pub mod candidates;
pub mod marks;
pub mod weights;

use hashbrown::{HashMap, HashSet};

/// Precision, recall and their harmonic mean, each 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Share of what was said that is true; 1 when nothing was said.
    pub precision: f64,
    /// Share of what is true that was said; 1 when there is nothing to find.
    pub recall: f64,
}

impl Quality {
    /// The harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        let sum = self.precision + self.recall;
        if sum == 0.0 { 0.0 } else { 2.0 * self.precision * self.recall / sum }
    }

    fn from_counts(hits: u64, said: u64, truth: u64) -> Self {
        Self { precision: ratio(hits, said), recall: ratio(hits, truth) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn pairs_within(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

fn sizes<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, u64> {
    let mut sizes = HashMap::new();
    for key in keys {
        *sizes.entry(key).or_insert(0) += 1;
    }
    sizes
}

/// Pairwise quality of a partition. Records beyond the shorter slice are left out.
pub fn pairwise(predicted: &[u32], truth: &[u32]) -> Quality {
    let count = |sizes: Vec<u64>| sizes.into_iter().map(pairs_within).sum();
    let both = || predicted.iter().zip(truth);
    let said: u64 = count(sizes(both().map(|(p, _)| *p)).into_values().collect());
    let real: u64 = count(sizes(both().map(|(_, t)| *t)).into_values().collect());
    let hits: u64 = count(sizes(both()).into_values().collect());
    Quality::from_counts(hits, said, real)
}

/// Pairwise quality of predicted pairs of record indexes; their order and repetitions do not matter.
pub fn pairwise_of_pairs(predicted: impl IntoIterator<Item = (u32, u32)>, truth: &[u32]) -> Quality {
    let cluster = |record: u32| usize::try_from(record).ok().and_then(|at| truth.get(at));
    let mut seen = HashSet::new();
    let mut hits = 0;
    for (a, b) in predicted {
        if a != b && seen.insert((a.min(b), a.max(b))) {
            let same = cluster(a).is_some() && cluster(a) == cluster(b);
            hits += u64::from(same);
        }
    }
    let real = sizes(truth.iter()).into_values().map(pairs_within).sum();
    Quality::from_counts(hits, seen.len() as u64, real)
}

/// Share of all true pairs that are among the candidates.
pub fn candidate_recall(candidates: impl IntoIterator<Item = (u32, u32)>, truth: &[u32]) -> f64 {
    pairwise_of_pairs(candidates, truth).recall
}

/// B-cubed quality: for each record the share of its cluster that is right, averaged. Large
/// clusters weigh less than in pairwise figures. Source: Bagga and Baldwin (1998).
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn b_cubed(predicted: &[u32], truth: &[u32]) -> Quality {
    let both = || predicted.iter().zip(truth);
    let records = predicted.len().min(truth.len());
    if records == 0 {
        return Quality { precision: 1.0, recall: 1.0 };
    }
    let by_predicted = sizes(both().map(|(p, _)| *p));
    let by_truth = sizes(both().map(|(_, t)| *t));
    let mut cells: Vec<((u32, u32), u64)> = sizes(both().map(|(p, t)| (*p, *t))).into_iter().collect();
    cells.sort_unstable();
    let mean = |sizes: &HashMap<u32, u64>, of: fn(&(u32, u32)) -> u32| {
        let share = |(cell, n): &((u32, u32), u64)| *n as f64 * ratio(*n, sizes.get(&of(cell)).copied().unwrap_or(*n));
        cells.iter().map(share).sum::<f64>() / records as f64
    };
    Quality { precision: mean(&by_predicted, |cell| cell.0), recall: mean(&by_truth, |cell| cell.1) }
}

/// Quality at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdRow {
    /// Weight in bits from which a pair counts as a match.
    pub threshold_bits: f64,
    /// Pairwise quality over the pairs alone, before clustering.
    pub pairs: Quality,
    /// Pairs at or above the threshold.
    pub predicted: u64,
}

/// Quality of scored pairs `(a, b, bits)` at each threshold, against all true pairs. Pairs must be distinct.
pub fn threshold_table(scored: &[(u32, u32, f64)], truth: &[u32], thresholds: &[f64]) -> Vec<ThresholdRow> {
    let row = |threshold: &f64| {
        let chosen = || scored.iter().filter(|(.., bits)| bits >= threshold);
        ThresholdRow {
            threshold_bits: *threshold,
            pairs: pairwise_of_pairs(chosen().map(|(a, b, _)| (*a, *b)), truth),
            predicted: chosen().count() as u64,
        }
    };
    thresholds.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_against_the_truth() {
        let truth = [0, 0, 0, 1, 1];
        assert_eq!(pairwise(&truth, &truth), Quality { precision: 1.0, recall: 1.0 });
        let apart = pairwise(&[0, 1, 2, 3, 4], &truth);
        assert_eq!((apart.precision, apart.recall, apart.f1()), (1.0, 0.0, 0.0));
        let together = pairwise(&[7; 5], &truth);
        assert_eq!((together.precision, together.recall), (0.4, 1.0));
        let half = b_cubed(&[7; 5], &truth);
        assert!((half.precision - (3.0 * 0.6 + 2.0 * 0.4) / 5.0).abs() < 1e-9);
        assert!((half.recall - 1.0).abs() < 1e-9);
    }

    #[test]
    fn pairs_and_partitions_agree() {
        let truth = [0, 0, 0, 1, 1];
        let pairs = [(0, 1), (1, 0), (3, 4), (2, 3)];
        let quality = pairwise_of_pairs(pairs, &truth);
        assert_eq!((quality.precision, quality.recall), (2.0 / 3.0, 0.5));
        assert_eq!(candidate_recall(pairs, &truth), 0.5);
        let scored = [(0, 1, 5.0), (2, 3, 1.0)];
        let table = threshold_table(&scored, &truth, &[0.0, 2.0]);
        assert_eq!(table.iter().map(|row| row.predicted).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(table[1].pairs.precision, 1.0);
    }
}
