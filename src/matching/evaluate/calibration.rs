//! Whether a match probability means what it says: of the pairs that were given 0.9, nine in ten should match.

use super::ratio;
use super::weights::WeightCount;

/// Where the bins of the table begin, ascending. Tenths in the middle; finer towards 0 and 1, where most pairs and all
/// decisions are.
pub const EDGES: [f64; 15] = [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999];

/// The pairs whose predicted probability lies in one range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Lower end of the range, included.
    pub from: f64,
    /// Upper end, not included but for 1.
    pub to: f64,
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of true pairs.
    pub observed: f64,
    /// Pairs.
    pub count: u64,
}

/// How far predicted probabilities and the truth lie apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The ranges that hold pairs, ascending (the reliability table).
    pub bins: Vec<Bin>,
    /// Pairs in all.
    pub count: u64,
    /// Mean squared difference between the probability and what is true (1 or 0). 0 is perfect, 0.25 is what a coin
    /// gives; 0 without pairs. Source: Brier (1950).
    pub brier: f64,
    /// Mean distance between predicted and observed over the bins, weighted by their pairs (expected calibration error).
    pub expected_error: f64,
}

/// Compares the probabilities of weights with the truth. The order of `counts` is the order of summing: sort them, so that two
/// runs give the same to the bit.
pub fn calibration(counts: &[WeightCount]) -> Calibration {
    let mut sums = [Sum::default(); EDGES.len()];
    let mut squares = 0.0;
    for count in counts {
        let p = count.weight.probability();
        let bin = EDGES.partition_point(|edge| *edge <= p).saturating_sub(1);
        if let Some(sum) = sums.get_mut(bin) {
            sum.add(p, count);
        }
        squares += real(count.matches) * (1.0 - p) * (1.0 - p) + real(count.others) * p * p;
    }
    let count = sums.iter().map(|sum| sum.count).sum();
    let bins: Vec<Bin> = sums.iter().enumerate().filter_map(|(at, sum)| sum.bin(at)).collect();
    let apart = bins.iter().map(|bin| (bin.predicted - bin.observed).abs() * real(bin.count)).sum::<f64>();
    let mean = |sum: f64| if count == 0 { 0.0 } else { sum / real(count) };
    Calibration { brier: mean(squares), expected_error: mean(apart), count, bins }
}

/// A bin while it is summed up.
#[derive(Clone, Copy, Default)]
struct Sum {
    predicted: f64,
    matches: u64,
    count: u64,
}

impl Sum {
    fn add(&mut self, probability: f64, count: &WeightCount) {
        let pairs = count.matches + count.others;
        self.predicted += probability * real(pairs);
        self.matches += count.matches;
        self.count += pairs;
    }

    fn bin(&self, at: usize) -> Option<Bin> {
        (self.count > 0).then(|| Bin {
            from: EDGES.get(at).copied().unwrap_or(0.0),
            to: EDGES.get(at + 1).copied().unwrap_or(1.0),
            predicted: self.predicted / real(self.count),
            observed: ratio(self.matches, self.count),
            count: self.count,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Millibits;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_table_by_hand() {
        // Odds 1 to 1 (p = 0.5): one of two matches. Odds 4 to 1 (p = 0.8): three of four.
        let counts = [
            WeightCount { weight: Millibits(2000), matches: 3, others: 1 },
            WeightCount { weight: Millibits(0), matches: 1, others: 1 },
        ];
        let found = calibration(&counts);
        let bins: Vec<(f64, f64, f64, u64)> =
            found.bins.iter().map(|bin| (bin.from, bin.to, bin.observed, bin.count)).collect();
        assert_eq!(bins, [(0.5, 0.6, 0.5, 2), (0.8, 0.9, 0.75, 4)]);
        assert!(close(found.bins[0].predicted, 0.5) && close(found.bins[1].predicted, 0.8), "{found:?}");
        // (2 * 0.25 + 3 * 0.04 + 1 * 0.64) / 6, and |0.8 - 0.75| * 4 / 6.
        assert!(close(found.brier, 1.26 / 6.0), "{}", found.brier);
        assert!(close(found.expected_error, 0.2 / 6.0), "{}", found.expected_error);
        assert_eq!(found.count, 6);
    }

    #[test]
    fn certainty_has_a_bin_and_nothing_has_none() {
        let sure = WeightCount { weight: Millibits(2_000_000), matches: 5, others: 0 };
        let found = calibration(&[sure]);
        assert_eq!((found.bins[0].from, found.bins[0].to, found.brier), (0.999, 1.0, 0.0));
        assert_eq!(calibration(&[]), Calibration::default());
    }
}
