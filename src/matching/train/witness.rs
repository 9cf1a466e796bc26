//! Calibration without labels: what the rest of the evidence says, held against a witness.
//!
//! A witness is a value that one person has and strangers hardly ever share: a phone number, a mail address, an id. Where
//! two records both carry one, it agrees for some share of the true pairs (people change their numbers) and for hardly any
//! false one, whatever the rest of the records says. So among pairs of one remaining weight the share that agrees is that
//! share times the share of true pairs: records that nobody labelled show how often a weight is right. This is learning
//! from positive and unlabelled examples (Elkan and Noto 2008); how often a witness agrees and the line over the weight
//! are found together by expectation maximisation.
//!
//! Bad copies of a record say less and have the wrong number, too, so that a witness agrees less often where the rest is
//! weak. What another witness vouches for shows by how much. With one witness alone nothing does, and the line is
//! too careful rather than too bold.

use crate::matching::features::Features;
use crate::matching::ledger::Entry;
use crate::matching::model::Model;
use crate::matching::platt::{self, Calibration, Judged};
use crate::matching::score::{Tiers, evidence, prior};
use crate::model::key::Millibits;

/// The comparisons whose values are witnesses. A birthday is none: strangers share it often enough.
const WITNESSES: [&str; 4] = ["phone", "email", "external_id", "handle"];
/// Least bits of the remaining weight that count: pairs further below are there because the witness itself proposed
/// them, and those of which it differs are not.
const BITS_MIN: f64 = -3.0;
/// Bits from which nearly every pair is true, so that witnesses show how often they agree.
const BITS_SURE: f64 = 10.0;
/// Width of a bin in bits.
const BIN: f64 = 0.25;
/// Bins from [`BITS_MIN`] on; the last one is open.
const BINS: usize = 92;
/// Fewest pairs below and from [`BITS_SURE`] on that a witness is believed with.
const PAIRS_MIN: f64 = 60.0;
/// A witness that agrees for a smaller share of the true pairs says too little of the others.
const SHARE_MIN: f64 = 0.2;
/// Bins that are looked at together for what another witness vouches for, and how many pairs the whole counts there.
const WINDOW: usize = 8;
const HOLD: f64 = 20.0;
/// Least and most that a witness may agree more seldom where the rest is weak.
const RELATIVE_MIN: f64 = 0.2;
const SHARE_MAX: f64 = 0.99;
/// Rounds of expectation and maximisation.
const ROUNDS: usize = 60;

/// Pairs of which a witness differs, and of which it agrees, by remaining weight.
type Heard = [[f64; 2]; BINS];

/// What witnesses said of pairs.
#[derive(Clone, Debug)]
pub struct Sightings {
    /// By witness: all pairs, and those that another witness vouches for.
    heard: [[Heard; 2]; WITNESSES.len()],
}

impl Default for Sightings {
    fn default() -> Self {
        Self { heard: [[[[0.0; 2]; BINS]; 2]; WITNESSES.len()] }
    }
}

impl Sightings {
    /// Hears the witnesses of a pair.
    pub fn add(&mut self, model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features) {
        let ledger = evidence(model, tiers, a, b);
        let witness = |entry: &Entry| WITNESSES.iter().position(|name| *name == entry.comparison);
        let heard = || ledger.entries.iter().filter_map(|entry| Some((witness(entry)?, entry)));
        let said: i32 = heard().map(|(_, entry)| entry.weight.0).sum();
        let rest = Millibits(ledger.total.saturating_add(prior(model).0).saturating_sub(said)).bits();
        if ledger.veto || rest < BITS_MIN {
            return;
        }
        let agrees = |entry: &Entry| entry.level == "exact";
        let agreeing = heard().filter(|(_, entry)| agrees(entry)).count();
        // What several people share, or what nearly agrees, is no word for either side.
        for (witness, entry) in heard().filter(|(_, entry)| agrees(entry) || entry.weight.0 <= 0) {
            self.hear(witness, rest, agrees(entry), agreeing > usize::from(agrees(entry)));
        }
    }

    fn hear(&mut self, witness: usize, rest: f64, agrees: bool, vouched: bool) {
        let Some(heard) = self.heard.get_mut(witness) else { return };
        for heard in heard.iter_mut().take(1 + usize::from(vouched)) {
            if let Some(count) = heard.get_mut(bin(rest)).and_then(|count| count.get_mut(usize::from(agrees))) {
                *count += 1.0;
            }
        }
    }

    /// The line that makes weights say how often they are right; `None` where no witness was heard often enough.
    pub fn calibration(&self) -> Option<Calibration> {
        let mut witnesses: Vec<Witness> = self.heard.iter().filter_map(Witness::new).collect();
        if witnesses.is_empty() {
            return None;
        }
        let mut line = Calibration::default();
        for _ in 0..ROUNDS {
            let judged: Vec<Judged> = witnesses.iter_mut().flat_map(|witness| witness.judge(line)).collect();
            line = platt::line(&judged);
        }
        Some(platt::rounded(line))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above and below")]
fn bin(bits: f64) -> usize {
    (((bits - BITS_MIN) / BIN).max(0.0) as usize).min(BINS - 1)
}

/// The middle of a bin.
#[expect(clippy::cast_precision_loss, reason = "few bins")]
fn bits_of(bin: usize) -> f64 {
    BITS_MIN + BIN * (bin as f64 + 0.5)
}

/// Differing and agreeing pairs of several bins.
fn sum(bins: &[[f64; 2]]) -> [f64; 2] {
    bins.iter().fold([0.0; 2], |[differ, agree], [more_differ, more_agree]| [differ + more_differ, agree + more_agree])
}

/// One witness that is believed.
struct Witness<'s> {
    bins: &'s Heard,
    /// Share of the true pairs that it agrees for where the rest is strong.
    share: f64,
    /// By bin: how much of that share is left there.
    relative: Vec<f64>,
}

impl<'s> Witness<'s> {
    fn new([bins, vouched]: &'s [Heard; 2]) -> Option<Self> {
        let (below, above) = bins.split_at(bin(BITS_SURE));
        let ([differ_below, agree_below], [differ, agree]) = (sum(below), sum(above));
        if differ_below + agree_below < PAIRS_MIN || differ + agree < PAIRS_MIN {
            return None;
        }
        let share = agree / (differ + agree);
        (share >= SHARE_MIN).then(|| Self { bins, share, relative: relative(vouched, share) })
    }

    fn share_at(&self, bin: usize) -> f64 {
        (self.share * self.relative.get(bin).copied().unwrap_or(1.0)).min(SHARE_MAX)
    }

    /// What the line makes of each bin's pairs, and then of the share that agrees. A pair of which the witness differs
    /// is true as far as true pairs differ.
    fn judge(&mut self, line: Calibration) -> Vec<Judged> {
        let (mut agreed, mut expected) = (0.0, 0.0);
        let mut judged = Vec::new();
        for (at, [differ, agree]) in self.bins.iter().enumerate().filter(|(_, [differ, agree])| differ + agree > 0.0) {
            let (bits, share) = (bits_of(at), self.share_at(at));
            let p = 1.0 / (1.0 + (-(line.scale * bits + line.shift)).exp2());
            let true_though = p * (1.0 - share) / (1.0 - p * share);
            let same = agree + differ * true_though;
            agreed += agree;
            expected += same * share / self.share;
            judged.push(Judged { bits, same: same / (agree + differ), count: agree + differ });
        }
        self.share = (agreed / expected.max(1.0)).clamp(SHARE_MIN, SHARE_MAX);
        judged
    }
}

/// How often a witness agrees for pairs that another one vouches for, over `share`, by bin.
fn relative(vouched: &Heard, share: f64) -> Vec<f64> {
    let near = |at: usize| {
        let from = at.saturating_sub(WINDOW / 2);
        let [differ, agree] = sum(vouched.get(from..(from + WINDOW).min(BINS)).unwrap_or_default());
        ((agree + HOLD * share) / (agree + differ + HOLD) / share).max(RELATIVE_MIN)
    };
    (0..BINS).map(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Key, Tier};
    use crate::model::normalized::Normalized;
    use crate::model::record::{Email, Fields, Phone};
    use crate::normalize::{Normalizer, Rules};

    /// No identifier is shared by strangers.
    struct Nobody;

    impl Tiers for Nobody {
        fn tier(&self, _: Key) -> Tier {
            Tier::Unique
        }

        fn people(&self, _: Key) -> u32 {
            1
        }
    }

    /// A number from 0 to 1 that looks like chance (the mixer of SplitMix64).
    fn chance(seed: u32) -> f64 {
        let mut z = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
    }

    /// Sightings of 1,000 pairs at each of many weights. Of those that odds of `truth(bits)` bits say are true, a witness
    /// agrees for `share(bits)`; with `other` a second one does, and both vouch for each other.
    fn heard(truth: impl Fn(f64) -> f64, share: impl Fn(f64) -> f64, other: bool) -> Sightings {
        let mut seen = Sightings::default();
        for pair in 0..60_000 {
            let bits = -2.9 + 0.3 * f64::from(pair / 1000);
            let real = chance(3 * pair) < 1.0 / (1.0 + (-truth(bits)).exp2());
            let first = real && chance(3 * pair + 1) < share(bits);
            let second = real && other && chance(3 * pair + 2) < share(bits);
            seen.hear(0, bits, first, second);
            if other {
                seen.hear(1, bits, second, first);
            }
        }
        seen
    }

    fn close(line: Option<Calibration>, scale: f64, shift: f64) {
        let line = line.unwrap();
        assert!((line.scale - scale).abs() < 0.12 && (line.shift - shift).abs() < 0.4, "{line:?}");
    }

    #[test]
    fn witnesses_show_how_often_a_weight_is_right() {
        close(heard(|bits| bits, |_| 0.7, false).calibration(), 1.0, 0.0);
        close(heard(|bits| 0.6 * bits, |_| 0.7, false).calibration(), 0.6, 0.0);
        close(heard(|bits| 1.2 * bits + 1.5, |_| 0.4, true).calibration(), 1.2, 1.5);
    }

    /// On made-up businesses with a phone and a tax number the plain estimate took true pairs with little other evidence for
    /// false ones, and F1 fell from .91 to .87.
    #[test]
    fn bad_copies_with_wrong_numbers_are_seen_through_by_a_second_witness() {
        let share = |bits: f64| if bits < 4.0 { 0.35 } else { 0.8 };
        close(heard(|bits| bits, share, true).calibration(), 1.0, 0.0);
        let alone = heard(|bits| bits, share, false).calibration().unwrap();
        assert!(alone.shift < -0.5, "without one it is careful: {alone:?}");
    }

    /// A name with a phone and an address, either of them empty.
    fn record(phone: &str, mail: &str) -> Normalized {
        let fields = Fields {
            name: Some("Zbigniew Kowalczyk".into()),
            phones: (!phone.is_empty())
                .then(|| Phone { value: phone.into(), ..Phone::default() })
                .into_iter()
                .collect(),
            emails: (!mail.is_empty()).then(|| Email { value: mail.into(), ..Email::default() }).into_iter().collect(),
            ..Fields::default()
        };
        Normalizer::new(Rules::default()).normalize(&fields).0
    }

    #[test]
    fn only_what_both_have_is_a_witness_and_another_one_vouches() {
        let model = Model::default_model();
        let (one, two, mail) = ("+14155550132", "+12025550177", "zk77@example.com");
        // Of the phone: differs, agrees, and the same where the address vouches.
        for (a, b, expected) in [
            ((one, ""), (one, ""), [0.0, 1.0, 0.0, 0.0]),
            ((one, ""), (two, ""), [1.0, 0.0, 0.0, 0.0]),
            ((one, ""), ("", ""), [0.0; 4]),
            ((one, mail), (two, mail), [1.0, 0.0, 1.0, 0.0]),
            ((one, mail), (one, mail), [0.0, 1.0, 0.0, 1.0]),
        ] {
            let mut seen = Sightings::default();
            let features = |(phone, mail)| Features::new(&record(phone, mail), &model);
            seen.add(&model, &Nobody, &features(a), &features(b));
            let [all, vouched] = seen.heard.first().unwrap();
            let ([differ, agree], [vouched_differ, vouched_agree]) = (sum(all), sum(vouched));
            assert_eq!([differ, agree, vouched_differ, vouched_agree], expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn few_pairs_and_poor_witnesses_say_nothing() {
        assert_eq!(Sightings::default().calibration(), None);
        assert_eq!(heard(|bits| bits, |_| 0.1, false).calibration(), None);
        let mut few = Sightings::default();
        (0..50).for_each(|_| few.hear(0, 12.0, true, false));
        (0..500).for_each(|_| few.hear(0, 1.0, true, false));
        assert_eq!(few.calibration(), None);
    }
}
