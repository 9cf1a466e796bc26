//! Calibration: from the weight that the evidence adds up to, to the weight that says how often it is right.
//!
//! A straight line over log odds (Platt 1999): `scale * weight + shift`. It is monotone, so it never turns the order of
//! two pairs round; it moves where the thresholds cut. [`fit`] finds the two numbers from pairs that people judged,
//! [`witness`](crate::matching::train::witness) from pairs that nobody did. Both are pulled towards "change nothing", so
//! that little or one-sided evidence changes little.

use crate::model::key::Millibits;

/// Verdicts of each kind (same, different) below which nothing is fitted.
pub const VERDICTS_MIN: usize = 50;
/// The scale stays within these.
const SCALE: (f64, f64) = (0.5, 1.5);
/// The shift stays within this many bits of 0.
const SHIFT_MAX: f64 = 4.0;
/// How strongly "change nothing" holds: as much as verdicts of this curvature.
const SCALE_HOLD: f64 = 20.0;
const SHIFT_HOLD: f64 = 1.0;
/// Newton steps. The function is convex in two variables; it stands still long before.
const STEPS: usize = 50;
/// Bits beyond which a weight says the same: an extreme pair must not rule the line.
const BITS_MAX: f64 = 20.0;

/// A straight line over a pair's weight in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Factor, 0.5 to 1.5. 1: none.
    pub scale: f64,
    /// Bits added, -4 to 4. 0: none.
    pub shift: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { scale: 1.0, shift: 0.0 }
    }
}

impl Calibration {
    /// The calibrated weight.
    pub fn apply(self, weight: Millibits) -> Millibits {
        if self == Self::default() {
            return weight;
        }
        Millibits::from_bits(self.scale * weight.bits() + self.shift)
    }

    /// The weight before calibration, of one after it.
    pub fn undo(self, weight: Millibits) -> Millibits {
        if self == Self::default() {
            return weight;
        }
        Millibits::from_bits((weight.bits() - self.shift) / self.scale)
    }
}

/// Fits the line to `(weight in bits, judged the same)`. `None` with fewer than [`VERDICTS_MIN`] of either kind.
///
/// The same list in the same order gives the same bits.
pub fn fit(verdicts: &[(f64, bool)]) -> Option<Calibration> {
    let same = verdicts.iter().filter(|(_, same)| *same).count();
    if same < VERDICTS_MIN || verdicts.len() - same < VERDICTS_MIN {
        return None;
    }
    let judged = |(bits, same): &(f64, bool)| Judged { bits: *bits, same: f64::from(u8::from(*same)), count: 1.0 };
    Some(rounded(line(&verdicts.iter().map(judged).collect::<Vec<_>>())))
}

/// Pairs of one weight, and how many of them match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    /// Weight in bits.
    pub bits: f64,
    /// Share that matches, 0 to 1.
    pub same: f64,
    /// How many pairs.
    pub count: f64,
}

/// So that what people read is what decides.
pub(crate) fn rounded(line: Calibration) -> Calibration {
    Calibration { scale: (line.scale * 1e4).round() / 1e4, shift: (line.shift * 1e3).round() / 1e3 }
}

/// The line that fits best: minimises the logistic loss in nats plus a quadratic pull towards scale 1 and shift 0, by
/// Newton's method.
pub(crate) fn line(judged: &[Judged]) -> Calibration {
    let (mut scale, mut shift) = (1.0, 0.0);
    for _ in 0..STEPS {
        let (down_scale, down_shift) = step(judged, scale, shift);
        scale = (scale - down_scale).clamp(SCALE.0, SCALE.1);
        shift = (shift - down_shift).clamp(-SHIFT_MAX, SHIFT_MAX);
        if down_scale.abs() + down_shift.abs() < 1e-9 {
            break;
        }
    }
    Calibration { scale, shift }
}

/// One Newton step: what to take off scale and shift.
fn step(judged: &[Judged], scale: f64, shift: f64) -> (f64, f64) {
    let ln2 = std::f64::consts::LN_2;
    let (mut slope_a, mut slope_b) = (SCALE_HOLD * (scale - 1.0), SHIFT_HOLD * shift);
    let (mut bend_aa, mut bend_ab, mut bend_bb) = (SCALE_HOLD, 0.0, SHIFT_HOLD);
    for &Judged { bits, same, count } in judged {
        let bits = bits.clamp(-BITS_MAX, BITS_MAX);
        let p = 1.0 / (1.0 + (-(scale * bits + shift) * ln2).exp());
        let error = (p - same) * ln2 * count;
        let bend = p * (1.0 - p) * ln2 * ln2 * count;
        slope_a += error * bits;
        slope_b += error;
        bend_aa += bend * bits * bits;
        bend_ab += bend * bits;
        bend_bb += bend;
    }
    let determinant = bend_aa * bend_bb - bend_ab * bend_ab;
    ((slope_a * bend_bb - slope_b * bend_ab) / determinant, (slope_b * bend_aa - slope_a * bend_ab) / determinant)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs at each weight of which the share that odds of `truth(weight)` bits say are the same.
    fn judged(truth: impl Fn(f64) -> f64) -> Vec<(f64, bool)> {
        let at = |n: u32| f64::from(n % 13) - 6.0;
        let same = |n: u32| f64::from(n / 13 % 40) < 40.0 / (1.0 + (-truth(at(n))).exp2());
        (0..13 * 40).map(|n| (at(n), same(n))).collect()
    }

    #[test]
    fn what_was_right_stays() {
        let fitted = fit(&judged(|bits| bits)).unwrap();
        assert!((fitted.scale - 1.0).abs() < 0.1 && fitted.shift.abs() < 0.3, "{fitted:?}");
    }

    #[test]
    fn overconfidence_is_found_and_bounded() {
        let fitted = fit(&judged(|bits| 0.7 * bits - 1.0)).unwrap();
        assert!((fitted.scale - 0.7).abs() < 0.12 && (fitted.shift + 1.0).abs() < 0.3, "{fitted:?}");
        let never = fit(&judged(|bits| -3.0 * bits)).unwrap();
        assert_eq!(never.scale, 0.5, "it never turns the order round");
    }

    #[test]
    fn few_or_one_sided_verdicts_fit_nothing() {
        assert_eq!(fit(&[]), None);
        let many: Vec<(f64, bool)> = (0..200).map(|_| (3.0, true)).collect();
        assert_eq!(fit(&many), None);
    }

    #[test]
    fn no_calibration_changes_no_weight() {
        for weight in [-40_001, -1, 0, 1, 31_999] {
            assert_eq!(Calibration::default().apply(Millibits(weight)), Millibits(weight));
        }
        assert_eq!(Calibration { scale: 0.5, shift: 1.0 }.apply(Millibits(4000)), Millibits(3000));
    }
}
