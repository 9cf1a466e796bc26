//! Pairs by their match weight, before clustering: how many of each weight match and how many do not.
//!
//! Millions of pairs fold into one count for each thousandth of a bit, so that the precision-recall curve, the
//! histogram and the calibration need no list of pairs, and their sums do not depend on the order of looking.

use hashbrown::HashMap;

use super::Quality;
use crate::model::key::Millibits;

/// Pairs that weigh the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightCount {
    /// Their weight.
    pub weight: Millibits,
    /// Those that are true pairs.
    pub matches: u64,
    /// Those that are not.
    pub others: u64,
}

/// Counts pairs by weight.
#[derive(Clone, Debug, Default)]
pub struct WeightTally {
    counts: HashMap<Millibits, [u64; 2]>,
}

impl WeightTally {
    /// Counts a pair.
    pub fn add(&mut self, weight: Millibits, matches: bool) {
        self.add_many(weight, u64::from(matches), u64::from(!matches));
    }

    /// Adds the pairs of another tally.
    pub fn merge(&mut self, other: &Self) {
        for (weight, [matches, others]) in &other.counts {
            self.add_many(*weight, *matches, *others);
        }
    }

    /// The counts, strongest weight first.
    pub fn sorted(&self) -> Vec<WeightCount> {
        let count = |(weight, [matches, others]): (&Millibits, &[u64; 2])| WeightCount {
            weight: *weight,
            matches: *matches,
            others: *others,
        };
        let mut counts: Vec<WeightCount> = self.counts.iter().map(count).collect();
        counts.sort_unstable_by_key(|count| std::cmp::Reverse(count.weight));
        counts
    }

    fn add_many(&mut self, weight: Millibits, matches: u64, others: u64) {
        let [true_pairs, false_pairs] = self.counts.entry(weight).or_default();
        *true_pairs += matches;
        *false_pairs += others;
    }
}

/// Quality of the pairs from a weight up, before clustering.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The weight.
    pub weight: Millibits,
    /// Precision of the pairs from it up, and their share of all true pairs.
    pub pairs: Quality,
}

/// The precision-recall curve at every multiple of `step` above 0 bits that separates pairs, strongest first.
/// `counts` are sorted as [`WeightTally::sorted`] gives them; recall is over `true_pairs`.
pub fn curve(counts: &[WeightCount], true_pairs: u64, step: Millibits) -> Vec<CurvePoint> {
    let bin = |count: &WeightCount| count.weight.0.div_euclid(step.0.max(1));
    let (mut hits, mut said) = (0, 0);
    let mut points = Vec::new();
    for run in counts.chunk_by(|a, b| bin(a) == bin(b)) {
        hits += run.iter().map(|count| count.matches).sum::<u64>();
        said += run.iter().map(|count| count.matches + count.others).sum::<u64>();
        let weight = Millibits(run.first().map_or(0, bin).saturating_mul(step.0.max(1)));
        points.push(CurvePoint { weight, pairs: Quality::from_counts(hits, said, true_pairs) });
    }
    points
}

/// Pairs of a range of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramBin {
    /// The range's lower end, in whole bits; the range is one bit wide. The lowest holds all below it, the highest all above.
    pub bits: i32,
    /// True pairs.
    pub matches: u64,
    /// Pairs that are not.
    pub others: u64,
}

/// One bin for each bit from `from` to `to`, ascending, those at both ends with all that lies beyond.
pub fn histogram(counts: &[WeightCount], from: i32, to: i32) -> Vec<HistogramBin> {
    let mut bins: Vec<HistogramBin> = (from..=to).map(|bits| HistogramBin { bits, matches: 0, others: 0 }).collect();
    for count in counts {
        let at = usize::try_from(count.weight.0.div_euclid(1000).clamp(from, to.max(from)) - from);
        if let Some(bin) = at.ok().and_then(|at| bins.get_mut(at)) {
            bin.matches += count.matches;
            bin.others += count.others;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(pairs: &[(i32, bool)]) -> WeightTally {
        let mut tally = WeightTally::default();
        for (weight, matches) in pairs {
            tally.add(Millibits(*weight), *matches);
        }
        tally
    }

    #[test]
    fn pairs_of_one_weight_are_counted_together_in_any_order() {
        let mut left = tally(&[(5000, true), (-200, false)]);
        left.merge(&tally(&[(5000, false), (7000, true)]));
        let counts = left.sorted();
        let seen: Vec<(i32, u64, u64)> = counts.iter().map(|c| (c.weight.0, c.matches, c.others)).collect();
        assert_eq!(seen, [(7000, 1, 0), (5000, 1, 1), (-200, 0, 1)]);
    }

    #[test]
    fn the_curve_counts_from_the_strongest_pair_down() {
        // Four true pairs in all, one of which was never compared.
        let counts = tally(&[(7000, true), (5400, true), (5100, false), (-200, true), (-300, false)]).sorted();
        let points = curve(&counts, 4, Millibits(500));
        let seen: Vec<(i32, f64, f64)> =
            points.iter().map(|point| (point.weight.0, point.pairs.precision, point.pairs.recall)).collect();
        assert_eq!(seen, [(7000, 1.0, 0.25), (5000, 2.0 / 3.0, 0.5), (-500, 0.6, 0.75)]);
    }

    #[test]
    fn a_histogram_keeps_what_lies_beyond_its_ends() {
        let counts = tally(&[(90_000, true), (1999, true), (1000, false), (-1, false), (-90_000, false)]).sorted();
        let seen: Vec<(i32, u64, u64)> =
            histogram(&counts, -1, 2).iter().map(|bin| (bin.bits, bin.matches, bin.others)).collect();
        assert_eq!(seen, [(-1, 0, 2), (0, 0, 0), (1, 1, 1), (2, 1, 0)]);
    }
}
