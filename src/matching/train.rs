//! Learning the weights from unlabelled records: the maximisation step.
//!
//! Expectation maximisation after Fellegi and Sunter (1969) and Winkler (1988), with two changes that keep it from
//! drifting. The expectation step is the partition itself (pairs within a contact match, and a contact of n records
//! counts n - 1 times, so that large ones do not rule), which the caller computes and repeats. And every estimate is
//! pulled towards the default weights as if they had been seen [`Prior::pairs`] times: where the records say little, the
//! default stays. Identifier weights and the penalties of readings are not learned: their u depends on how many
//! people carry a value, which no pair of records shows.
//!
//! u comes from pairs drawn by a fixed rule, so two runs over the same records give the same weights.

mod culture;
pub mod witness;

use crate::matching::features::Features;
use crate::matching::model::{Culture, Model};
use crate::matching::score::{Tiers, judge};
use crate::matching::weights::{Level, Weights};
use std::sync::Arc;

/// How strongly the default weights hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Matching pairs that the default counts as.
    pub pairs: f64,
    /// Most bits that a level may move.
    pub bits_max: f64,
}

impl Default for Prior {
    fn default() -> Self {
        Self { pairs: 60.0, bits_max: 6.0 }
    }
}

/// What learning changed in one level.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The comparison, as explanations name it.
    pub comparison: &'static str,
    /// The level, as explanations name it.
    pub level: &'static str,
    /// Matching pairs it was seen in, weighted.
    pub seen: f64,
    /// m before and after.
    pub m: (f64, f64),
    /// u before and after.
    pub u: (f64, f64),
    /// The estimate spoke against the level's meaning (m below u for an agreement, or above it for a
    /// disagreement) and was clamped to no evidence.
    pub clamped: bool,
}

/// Most pairs of non-matching records that u is estimated from.
const RANDOM_PAIRS_MAX: usize = 200_000;
/// Most records of a contact that each of its records is compared with; fewer contacts than one in a thousand are larger.
const OTHERS_MAX: usize = 60;
/// Records of a contact beyond which more say nothing of how often the other records repeat.
const CONTACT_MAX: usize = 60;
/// Least matching pairs, weighted, that a comparison must be seen in before its levels move.
const SEEN_MIN: f64 = 20.0;

/// Bits from which a default says that its level speaks for a match, or against one; between them the records decide.
const MEANING_BITS: f64 = 2.5;
const NOT_MEANING_BITS: f64 = -2.5;

/// Mean records of a contact up to which every pair across must support a join, and from which their sum is enough.
const STRICT_RECORDS: f64 = 2.0;
const LENIENT_RECORDS: f64 = 5.0;
/// Bits that the learned prior stays below what the contacts show: those who made the joins also count them.
const CAUTION: f64 = 0.2;
/// Most bits that the prior may rise by: sixteen records a person.
const DUPLICATION_MAX: f64 = 4.0;

/// How a level is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Agreement whose u is the value's own share: m alone.
    Share,
    /// Agreement with an u of its own: both.
    Flat,
    /// Disagreement: m alone (u is nearly 1).
    Differ,
}

type Slot = fn(&mut Weights) -> &mut Level;

/// The levels that are learned, by comparison and the names that explanations use for them.
const LEVELS: &[(&str, &[&str], Kind, Slot)] = &[
    ("given_name", &["exact"], Kind::Share, |w| &mut w.given.exact),
    ("given_name", &["nickname", "part"], Kind::Share, |w| &mut w.given.nickname),
    ("given_name", &["typo"], Kind::Share, |w| &mut w.given.edit),
    ("given_name", &["sound", "letters"], Kind::Share, |w| &mut w.given.sound),
    ("given_name", &["other"], Kind::Differ, |w| &mut w.given.clash),
    ("surname", &["exact"], Kind::Share, |w| &mut w.surname.exact),
    ("surname", &["part"], Kind::Share, |w| &mut w.surname.part),
    ("surname", &["typo"], Kind::Share, |w| &mut w.surname.edit),
    ("surname", &["sound", "letters", "part typo"], Kind::Share, |w| &mut w.surname.sound),
    ("surname", &["other"], Kind::Differ, |w| &mut w.surname.clash),
    ("middle_name", &["same", "initial"], Kind::Flat, |w| &mut w.name_rest.middle),
    ("middle_name", &["other"], Kind::Differ, |w| &mut w.name_rest.middle_clash),
    ("email", &["other"], Kind::Differ, |w| &mut w.mail.differ),
    ("email", &["other at domain"], Kind::Flat, |w| &mut w.mail.other_user),
    ("phone", &["other"], Kind::Differ, |w| &mut w.phone.differ),
    ("handle", &["other"], Kind::Differ, |w| &mut w.handle.differ),
    ("external_id", &["other"], Kind::Differ, |w| &mut w.id.differ),
    ("organization", &["exact"], Kind::Share, |w| &mut w.organization.exact),
    ("organization", &["near"], Kind::Share, |w| &mut w.organization.near),
    ("organization", &["other"], Kind::Differ, |w| &mut w.organization.differ),
    ("domain", &["exact"], Kind::Share, |w| &mut w.domain.exact),
    ("domain", &["other"], Kind::Differ, |w| &mut w.domain.differ),
    ("job_title", &["exact"], Kind::Share, |w| &mut w.title.exact),
    ("job_title", &["near"], Kind::Flat, |w| &mut w.title.near),
    ("job_title", &["other"], Kind::Differ, |w| &mut w.title.differ),
    ("city", &["exact"], Kind::Share, |w| &mut w.city.exact),
    ("city", &["near"], Kind::Share, |w| &mut w.city.near),
    ("city", &["other"], Kind::Differ, |w| &mut w.city.differ),
    ("postal_code", &["exact"], Kind::Share, |w| &mut w.postcode.exact),
    ("postal_code", &["near"], Kind::Share, |w| &mut w.postcode.near),
    ("postal_code", &["other"], Kind::Differ, |w| &mut w.postcode.differ),
    ("street", &["other"], Kind::Differ, |w| &mut w.street.differ),
    ("country", &["other"], Kind::Differ, |w| &mut w.country.differ),
    ("birthday", &["exact"], Kind::Flat, |w| &mut w.birthday.exact),
    ("birthday", &["1 January"], Kind::Flat, |w| &mut w.birthday.placeholder),
    ("birthday", &["swapped"], Kind::Flat, |w| &mut w.birthday.swapped),
    ("birthday", &["typo"], Kind::Flat, |w| &mut w.birthday.slip),
    ("birthday", &["close"], Kind::Flat, |w| &mut w.birthday.close),
    ("birthday", &["two parts"], Kind::Flat, |w| &mut w.birthday.two_parts),
    ("birthday", &["day and month"], Kind::Flat, |w| &mut w.birthday.day_month),
    ("birthday", &["near"], Kind::Flat, |w| &mut w.birthday.near),
    ("birthday", &["a year apart"], Kind::Flat, |w| &mut w.birthday.year_apart),
    ("birthday", &["year"], Kind::Flat, |w| &mut w.birthday.year),
    ("birthday", &["other year"], Kind::Differ, |w| &mut w.birthday.year_differs),
    ("birthday", &["other"], Kind::Differ, |w| &mut w.birthday.differ),
    ("gender", &["same"], Kind::Flat, |w| &mut w.gender.exact),
    ("gender", &["other"], Kind::Differ, |w| &mut w.gender.differ),
];

/// How often each level, and each comparison at all, was seen.
struct Counts {
    levels: Vec<f64>,
    totals: Vec<f64>,
}

impl Counts {
    fn new() -> Self {
        Self { levels: vec![0.0; LEVELS.len()], totals: vec![0.0; LEVELS.len()] }
    }

    /// Counts one pair. An initial says nothing of how names are misspelt, so it stands apart.
    fn add(&mut self, model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features, weight: f64) {
        let ledger = judge(model, tiers, a, b);
        for entry in ledger.entries.iter().filter(|entry| entry.level != "initial" || entry.comparison == "middle_name")
        {
            for (at, (comparison, levels, ..)) in LEVELS.iter().enumerate() {
                if *comparison != entry.comparison {
                    continue;
                }
                if let Some(total) = self.totals.get_mut(at) {
                    *total += weight;
                }
                if levels.contains(&entry.level)
                    && let Some(count) = self.levels.get_mut(at)
                {
                    *count += weight;
                }
            }
        }
    }

    fn of(&self, at: usize) -> (f64, f64) {
        (self.levels.get(at).copied().unwrap_or(0.0), self.totals.get(at).copied().unwrap_or(0.0))
    }
}

/// Records as training sees them.
#[derive(Clone, Copy)]
pub struct Records<'a> {
    /// How common identifiers are.
    pub tiers: &'a dyn Tiers,
    /// The features of every record, under the model that training begins with.
    pub features: &'a [Features],
}

impl Records<'_> {
    fn count(&self, counts: &mut Counts, model: &Model, (a, b): (usize, usize), weight: f64) {
        if let (Some(a), Some(b)) = (self.features.get(a), self.features.get(b)) {
            counts.add(model, self.tiers, a, b, weight);
        }
    }
}

/// Learns from one set of records.
pub struct Trainer {
    base: Model,
    culture: Culture,
    strictness: f64,
    random: Counts,
    prior: Prior,
}

impl Trainer {
    /// Estimates are pulled towards `base`. Counts what pairs of non-matching records show; `contacts` are the contacts of
    /// several records that `base` finds.
    pub fn new(base: &Model, records: Records<'_>, contacts: &[Vec<u32>], prior: Prior) -> Self {
        let mut random = Counts::new();
        let contact_of = culture::contact_of(records.features.len(), contacts);
        // Where one person has a third of all records, many random pairs match.
        let strangers = |pair: &(usize, usize)| contact_of.get(pair.0) != contact_of.get(pair.1);
        for pair in random_pairs(records.features.len()).filter(strangers) {
            records.count(&mut random, base, pair, 1.0);
        }
        let culture = culture::culture(base, records, &contact_of);
        let strictness = strictness(records.features.len(), contacts);
        Self { base: base.clone(), culture, strictness, random, prior }
    }

    /// One maximisation step: weights from the contacts that the same records were put into under `model`.
    ///
    /// `contacts` holds the places of each contact's records; those of one record may be left out. What was learned
    /// says of each level that moved by how much.
    pub fn step(&self, records: Records<'_>, model: &Model, contacts: &[Vec<u32>]) -> (Model, Vec<Learned>) {
        let mut matched = Counts::new();
        for contact in contacts {
            // Of a large contact each record is compared with some that follow it.
            let others = contact.len().saturating_sub(1).min(OTHERS_MAX);
            let pairs: usize = (0..contact.len()).map(|n| (contact.len() - 1 - n).min(others)).sum();
            #[expect(clippy::cast_precision_loss, reason = "a contact has few records")]
            let weight = contact.len().saturating_sub(1) as f64 / pairs.max(1) as f64;
            for (n, a) in contact.iter().enumerate() {
                for b in contact.iter().skip(n + 1).take(others) {
                    records.count(&mut matched, model, (*a as usize, *b as usize), weight);
                }
            }
        }
        let mut weights = (*self.base.weights).clone();
        let learned =
            (0..LEVELS.len()).filter_map(|at| learn(&mut weights, at, &matched, &self.random, self.prior)).collect();
        let duplication = duplication(&self.base, records.features.len(), contacts);
        (
            Model {
                weights: Arc::new(weights.ready()),
                duplication,
                culture: self.culture,
                strictness: Some(self.strictness),
                ..model.clone()
            },
            learned,
        )
    }
}

/// By how many bits two records match more often than once in the population's size, and at most
/// [`DUPLICATION_MAX`]: the matching pairs that were found among all pairs.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn duplication(base: &Model, records: usize, contacts: &[Vec<u32>]) -> f64 {
    let pairs = |n: usize| n as f64 * (n as f64 - 1.0) / 2.0;
    let found: f64 = contacts.iter().map(|contact| pairs(contact.len().min(CONTACT_MAX))).sum();
    let odds = (found.max(1.0) / pairs(records).max(1.0)).log2();
    (odds + base.size_bits() - CAUTION).clamp(0.0, DUPLICATION_MAX)
}

/// How strict joins must be where contacts have this many records: 1 up to [`STRICT_RECORDS`] in the mean, 0 from
/// [`LENIENT_RECORDS`] on.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn strictness(records: usize, contacts: &[Vec<u32>]) -> f64 {
    let joined: usize = contacts.iter().map(|contact| contact.len().saturating_sub(1)).sum();
    let mean = records as f64 / records.saturating_sub(joined).max(1) as f64;
    ((LENIENT_RECORDS - mean) / (LENIENT_RECORDS - STRICT_RECORDS)).clamp(0.0, 1.0)
}

fn learn(weights: &mut Weights, at: usize, matched: &Counts, random: &Counts, prior: Prior) -> Option<Learned> {
    let (comparison, names, kind, slot) = LEVELS.get(at)?;
    let level = slot(weights);
    let (seen, total) = matched.of(at);
    if total < SEEN_MIN {
        return None;
    }
    let before = *level;
    match kind {
        Kind::Share => level.m = (seen + prior.pairs * before.m) / (total + prior.pairs),
        Kind::Differ => {
            let (chance, chances) = random.of(at);
            let default_u = before.u.min(1.0);
            level.u = (chance + prior.pairs * default_u) / (chances + prior.pairs);
            level.m = (seen + prior.pairs * (before.m / before.u * level.u).min(1.0)) / (total + prior.pairs);
        }
        Kind::Flat => flat(level, (seen, total), random.of(at), prior),
    }
    let clamped = clamp(level, &before, *kind, prior);
    Some(Learned {
        comparison,
        level: names.first().copied().unwrap_or(""),
        seen,
        m: (before.m, level.m),
        u: (before.u, level.u),
        clamped,
    })
}

/// The default counts by its weight, not by its m: together with the u that these records show it says how often
/// the level should be seen.
fn flat(level: &mut Level, (seen, total): (f64, f64), (chance, chances): (f64, f64), prior: Prior) {
    let ratio = level.m / level.u;
    let u = (chance + 0.5 * level.u.min(1.0) + 1e-3) / (chances + 1.0);
    let expected = (u * ratio).min(0.9);
    level.m = (seen + prior.pairs * expected) / (total + prior.pairs);
    level.u = if seen + prior.pairs * expected < 1e-9 { level.m / ratio } else { u.max(expected / ratio) };
}

/// Keeps a level within its meaning and within reach of the default; says whether it had to.
fn clamp(level: &mut Level, before: &Level, kind: Kind, prior: Prior) -> bool {
    if kind == Kind::Share {
        let bound = prior.bits_max.exp2();
        level.m = level.m.clamp(before.m / bound, (before.m * bound).min(1.0));
        return false;
    }
    let (bits, default) = ((level.m / level.u).log2(), (before.m / before.u).log2());
    let kept = bits.clamp(default - prior.bits_max, default + prior.bits_max);
    let meant = match default {
        MEANING_BITS.. => kept.max(0.0),
        ..=NOT_MEANING_BITS => kept.min(0.0),
        _ => kept,
    };
    level.m = level.u * meant.exp2();
    if level.m > 1.0 {
        level.u /= level.m;
        level.m = 1.0;
    }
    (meant - kept).abs() > 1e-9
}

/// Pairs of positions below `records`, by a fixed rule: every stride walks through all records once.
fn random_pairs(records: usize) -> impl Iterator<Item = (usize, usize)> {
    let strides = RANDOM_PAIRS_MAX.checked_div(records).unwrap_or(0).clamp(1, 200);
    let step = move |n: usize| 1 + (n * 7919 + 104_729) % records.saturating_sub(1).max(1);
    let all = (0..strides).flat_map(move |n| (0..records).map(move |a| (a, (a + step(n)) % records.max(1))));
    all.filter(|(a, b)| a != b).take(RANDOM_PAIRS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Key, Tier};
    use crate::model::record::{Address, Fields};
    use crate::normalize::{Normalizer, Rules};

    struct Unique;

    impl Tiers for Unique {
        fn tier(&self, _: Key) -> Tier {
            Tier::Unique
        }
        fn people(&self, _: Key) -> u32 {
            1
        }
    }

    /// People of two records each: the second one has `birthday(n)`.
    fn people(count: usize, birthday: impl Fn(usize) -> String) -> Vec<Features> {
        let model = Model::default_model();
        let features = |name: String, day: String| {
            let fields = Fields { name: Some(name), birthday: Some(day), ..Fields::default() };
            Features::new(&Normalizer::new(Rules::default()).normalize(&fields).0, &model)
        };
        let name = |n: usize| format!("{}a{} Lindqvist", ["Kar", "Mon", "Tin", "Ver"][n % 4], ["", "b", "c"][n % 3]);
        let day = |n: usize| format!("19{:02}-0{}-1{}", n % 90 + 10, n % 9 + 1, n % 7);
        (0..count).flat_map(|n| [features(name(n), day(n)), features(name(n), birthday(n))]).collect()
    }

    fn birthdays(features: &[Features]) -> (f64, f64, Vec<Learned>) {
        let (base, records) = (Model::default_model(), Records { tiers: &Unique, features });
        let contacts: Vec<Vec<u32>> =
            (0..u32::try_from(features.len()).unwrap() / 2).map(|n| vec![2 * n, 2 * n + 1]).collect();
        let trainer = Trainer::new(&base, records, &contacts, Prior::default());
        let (model, learned) = trainer.step(records, &base, &contacts);
        (model.weights.birthday.exact.flat(), model.weights.birthday.differ.flat(), learned)
    }

    #[test]
    fn a_field_that_is_often_wrong_says_less() {
        let right = people(300, |n| format!("19{:02}-0{}-1{}", n % 90 + 10, n % 9 + 1, n % 7));
        let wrong = people(300, |n| format!("20{:02}-1{}-2{}", n % 20, n % 2, n % 8));
        let (exact, differ, _) = birthdays(&right);
        let (exact_wrong, differ_wrong, learned) = birthdays(&wrong);
        assert!(exact > exact_wrong + 1.0, "{exact} {exact_wrong}");
        assert!(differ < -3.0 && differ_wrong > -1.0, "{differ} {differ_wrong}");
        assert!(learned.iter().all(|l| (0.0..=1.0).contains(&l.m.1) && (0.0..=1.0).contains(&l.u.1)), "{learned:?}");
    }

    #[test]
    fn few_records_leave_the_default() {
        let few = people(5, |n| format!("20{:02}-10-20", n));
        let (exact, differ, learned) = birthdays(&few);
        let default = &Model::default_model().weights.birthday;
        assert_eq!((exact, differ), (default.exact.flat(), default.differ.flat()));
        assert!(learned.is_empty(), "{learned:?}");
    }

    #[test]
    fn random_pairs_are_pairs() {
        for records in [0, 1, 2, 3, 17, 1000] {
            let pairs: Vec<_> = random_pairs(records).collect();
            assert!(pairs.iter().all(|(a, b)| a != b && *a < records && *b < records));
            assert!(records < 2 || pairs.len() >= records.min(RANDOM_PAIRS_MAX));
        }
    }

    #[test]
    fn joins_are_less_strict_where_people_have_many_records() {
        let of = |size: u32| {
            strictness(4096, &(0..4096 / size).map(|n| (n * size..(n + 1) * size).collect()).collect::<Vec<_>>())
        };
        assert!(of(1) == 1.0 && of(2) == 1.0 && of(8) == 0.0);
        assert!(of(3) < of(2) && of(4) < of(3) && of(4) > 0.0);
    }

    #[test]
    fn what_strangers_of_one_name_share_goes_with_the_name() {
        let learned = |country: fn(usize) -> &'static str| {
            let normalizer = Normalizer::new(Rules::default());
            let normalized: Vec<_> = (0..400)
                .map(|n| {
                    let fields = Fields {
                        first_name: Some(["Gabrielle", "Margarethe", "Francesco", "Siobhan"][n % 4].into()),
                        last_name: Some(format!(
                            "{}{}",
                            ["Kel", "Mar", "Tov", "Zan"][n / 4 % 4],
                            ["dor", "vik", "lem"][n / 16 % 3]
                        )),
                        birthday: Some(format!(
                            "19{:02}-{:02}-{:02}",
                            n * 7 % 90 + 10,
                            n * 5 % 12 + 1,
                            n * 11 % 28 + 1
                        )),
                        addresses: vec![Address { country: Some(country(n).into()), ..Address::default() }],
                        ..Fields::default()
                    };
                    normalizer.normalize(&fields).0
                })
                .collect();
            let model = Model::default_model().with_frequencies(&normalized);
            let features: Vec<Features> = normalized.iter().map(|record| Features::new(record, &model)).collect();
            let contact_of: Vec<usize> = (0..features.len()).collect();
            culture::culture(&model, Records { tiers: &Unique, features: &features }, &contact_of)
        };
        let with_name = learned(|n| ["FR", "DE", "IT", "IE"][n % 4]);
        let without = learned(|n| ["FR", "DE", "IT", "IE"][n / 4 % 4]);
        assert!(with_name.country > 1.0, "{with_name:?}");
        assert!(without.country < 0.3, "{without:?}");
        assert_eq!((with_name.city, with_name.title), (0.0, 0.0), "nobody says a city or a title");
    }

    #[test]
    fn the_prior_follows_how_often_people_repeat() {
        let base = Model::default_model().with_size_class(4096);
        let contacts = |size: u32| (0..4096 / size).map(|n| (n * size..(n + 1) * size).collect()).collect::<Vec<_>>();
        let bits = |size| duplication(&base, 4096, &contacts(size));
        assert!(bits(2) < 1.0 && bits(8) > 1.5 && bits(8) < bits(16) && bits(64) <= DUPLICATION_MAX);
    }
}
