//! How alike two businesses are by name and place.
//!
//! `0.8 * name + 0.2 * place`, 0 to 1. The name part is the share of trigrams that two names have in common (as `pg_trgm`
//! counts them: two blanks before and one behind each word, each trigram once), of their most alike names, previous names
//! included; 0 where their numbers differ ("Store 1", "Store 2"). The place part is 1 for the same city, 0.6 for the same
//! country where a city is not said, 0.2 where nothing can be compared, 0 for other cities or countries. So
//! from [`MATCH`] on (a join, where nothing stands against it) places must agree at least in the country: a name alone is
//! a question ([`REVIEW`]), never a join.

use std::sync::LazyLock;

use hashbrown::{HashMap, HashSet};

use crate::model::account::{Business, Place};
use crate::normalize::text::table_lines;

/// Likeness from which two businesses are taken for one.
pub const MATCH: f64 = 0.85;
/// Likeness from which a person is asked.
pub const REVIEW: f64 = 0.70;
/// Share of trigrams below which no place can lift a pair to [`REVIEW`].
pub const NAME_MIN: f64 = 0.625;

/// Trigrams that an industry's names have in common; they are looked at last when candidates are sought.
static COMMON: LazyLock<HashSet<u64>> = LazyLock::new(|| {
    table_lines(include_str!("../../data/business_words.txt")).flat_map(|word| trigrams(word).0.into_vec()).collect()
});

/// How many of the commonest family names have each trigram: how rare it is in names. One that no such name has is rarest.
static RARITY: LazyLock<HashMap<u64, u32>> = LazyLock::new(|| {
    let mut counts = HashMap::new();
    for line in table_lines(include_str!("../../data/surname_frequencies.txt")) {
        let name = line.split(' ').next().unwrap_or_default();
        trigrams(name).0.iter().for_each(|trigram| *counts.entry(*trigram).or_insert(0) += 1);
    }
    counts
});

/// A business' names, ready to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameShapes(Box<[NameShape]>);

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NameShape {
    trigrams: Trigrams,
    /// Words with a digit, ascending.
    numbers: Box<[Box<str>]>,
}

/// Trigrams, ascending, each once: three characters of 21 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trigrams(Box<[u64]>);

impl NameShapes {
    /// The shapes of a business' names.
    pub fn new(business: &Business) -> Self {
        let shape = |name: &String| {
            let mut numbers: Vec<Box<str>> =
                name.split(' ').filter(|word| word.contains(|c: char| c.is_ascii_digit())).map(Into::into).collect();
            numbers.sort_unstable();
            NameShape { trigrams: trigrams(name), numbers: numbers.into() }
        };
        Self(business.names.iter().map(shape).collect())
    }

    /// Trigrams of which two businesses whose names reach [`NAME_MIN`] share at least one, as texts for keys.
    ///
    /// In any fixed order of all trigrams, two sets that have a share `t` in common meet among the first
    /// `n - ceil(t * n) + 1` of each (prefix filtering, Chaudhuri et al. 2006). The order is: the rarest first, so
    /// that few meet who have little else in common.
    pub fn meeting_points(&self) -> Vec<String> {
        let mut found = Vec::new();
        for shape in &self.0 {
            let mut ordered = shape.trigrams.0.to_vec();
            let rarity = |trigram: &u64| RARITY.get(trigram).copied().unwrap_or(0);
            ordered.sort_by_cached_key(|trigram| (COMMON.contains(trigram), rarity(trigram), scattered(*trigram)));
            let all = ordered.len();
            let most = all - least_shared(all) + usize::from(all > 0);
            found.extend(ordered.into_iter().take(most).map(|trigram| format!("{trigram:x}")));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The share of trigrams that the most alike names have in common, 0 to 1.
    fn share(&self, other: &Self) -> f64 {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.numbers == b.numbers).map(|(a, b)| a.trigrams.share(&b.trigrams)).fold(0.0, f64::max)
    }
}

/// The fewest of `all` trigrams that a name of at least as many must share.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a name's length"
)]
fn least_shared(all: usize) -> usize {
    (all as f64 * NAME_MIN).ceil() as usize
}

/// An order without a pattern, the same everywhere: the finaliser of `MurmurHash3`.
fn scattered(trigram: u64) -> u64 {
    let mixed = (trigram ^ (trigram >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

fn trigrams(name: &str) -> Trigrams {
    let mut found = Vec::new();
    for word in name.split(' ').filter(|word| !word.is_empty()) {
        let padded: Vec<u64> = "  ".chars().chain(word.chars()).chain(" ".chars()).map(u64::from).collect();
        found.extend(padded.windows(3).map(|three| three.iter().fold(0, |sum, c| (sum << 21) | c)));
    }
    found.sort_unstable();
    found.dedup();
    Trigrams(found.into())
}

impl Trigrams {
    /// Shared ones over all, 0 to 1.
    fn share(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut shared: usize = 0;
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => drop(a.next()),
                std::cmp::Ordering::Greater => drop(b.next()),
                std::cmp::Ordering::Equal => {
                    shared += 1;
                    a.next();
                    b.next();
                }
            }
        }
        let all = self.0.len() + other.0.len() - shared;
        #[expect(clippy::cast_precision_loss, reason = "a name's length")]
        if all == 0 { 0.0 } else { shared as f64 / all as f64 }
    }
}

/// How alike two businesses are by name and place, 0 to 1. Symmetric.
pub fn likeness(a: (&NameShapes, &[Place]), b: (&NameShapes, &[Place])) -> f64 {
    let name = a.0.share(b.0);
    if name < NAME_MIN { 0.0 } else { 0.8 * name + 0.2 * nearness(a.1, b.1) }
}

/// How two businesses compare by name and place, for people to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Which of their names are the most alike, and the share of trigrams that those have in common. Missing: one has no name.
    pub names: Option<(usize, usize, f64)>,
    /// Those two names have different numbers, so that they count as not alike at all.
    pub other_numbers: bool,
    /// How well the nearest two places agree, 0 to 1. Missing: one of the two says no place.
    pub place: Option<f64>,
    /// All of it: [`likeness`].
    pub likeness: f64,
}

/// Compares two businesses by name and place. Symmetric but for the order of the names.
pub fn compare(a: (&NameShapes, &[Place]), b: (&NameShapes, &[Place])) -> Comparison {
    let pairs = a.0.0.iter().enumerate().flat_map(|x| b.0.0.iter().enumerate().map(move |y| (x, y)));
    let best = pairs
        .map(|((i, x), (j, y))| (x.numbers == y.numbers, x.trigrams.share(&y.trigrams), i, j))
        .max_by(|x, y| (x.0.cmp(&y.0)).then(x.1.total_cmp(&y.1)).then((y.2, y.3).cmp(&(x.2, x.3))));
    Comparison {
        names: best.map(|(_, share, i, j)| (i, j, share)),
        other_numbers: best.is_some_and(|(same_numbers, ..)| !same_numbers),
        place: (!a.1.is_empty() && !b.1.is_empty()).then(|| nearness(a.1, b.1)),
        likeness: likeness(a, b),
    }
}

/// How well the nearest two places agree, 0 to 1.
fn nearness(a: &[Place], b: &[Place]) -> f64 {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| agreement(a, b)));
    pairs.fold(None, |best: Option<f64>, one| Some(best.map_or(one, |best| best.max(one)))).unwrap_or(0.2)
}

fn agreement(a: &Place, b: &Place) -> f64 {
    let said = |a: &str, b: &str| (!a.is_empty() && !b.is_empty()).then_some(a == b);
    match (said(&a.country, &b.country), said(&a.city, &b.city)) {
        (Some(false), _) | (_, Some(false)) => 0.0,
        (_, Some(true)) => 1.0,
        (Some(true), None) => 0.6,
        (None, None) => 0.2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn business(names: &[&str], place: &str) -> Business {
        let place = place.split_once('/').map(|(country, city)| Place { country: country.into(), city: city.into() });
        Business {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            places: place.into_iter().collect(),
            ..Business::default()
        }
    }

    fn between(a: &Business, b: &Business) -> f64 {
        likeness((&NameShapes::new(a), &a.places), (&NameShapes::new(b), &b.places))
    }

    #[test]
    fn names_and_places_decide_together() {
        for (a, b, at_least, below) in [
            (("acme widgets", "us/boston"), ("acme widgets", "us/boston"), 1.0, 1.01),
            (("acme widgets", "us/boston"), ("acme widgets", "us/"), MATCH, 1.0),
            (("acme widgets", "us/boston"), ("acme widgets", ""), REVIEW, MATCH),
            (("acme widgets", "us/boston"), ("acme widgets", "us/denver"), REVIEW, MATCH),
            (("acme widgets", "us/boston"), ("acme widgets", "de/boston"), REVIEW, MATCH),
            (("international paper holding", "us/memphis"), ("internationl paper holding", "us/memphis"), MATCH, 1.0),
            (("acme widgets", "us/boston"), ("acme widget", "us/boston"), REVIEW, MATCH),
            (("store 1", "us/boston"), ("store 2", "us/boston"), 0.0, 0.01),
            (("acme", "us/boston"), ("zed", "us/boston"), 0.0, 0.01),
            (("", ""), ("", ""), 0.0, 0.01),
        ] {
            let (a, b) = (business(&[a.0], a.1), business(&[b.0], b.1));
            let score = between(&a, &b);
            assert!((at_least..below).contains(&score), "{a:?} {b:?}: {score}");
            assert!((between(&b, &a) - score).abs() < f64::EPSILON);
        }
        let renamed = business(&["zed", "acme widgets"], "us/boston");
        assert!(between(&renamed, &business(&["acme widgets"], "us/boston")) > 0.99, "previous names count");
    }

    #[test]
    fn a_comparison_tells_what_likeness_rests_on() {
        let told =
            |a: &Business, b: &Business| compare((&NameShapes::new(a), &a.places), (&NameShapes::new(b), &b.places));
        let renamed = business(&["zed", "acme widgets"], "us/boston");
        let found = told(&renamed, &business(&["acme widgets"], "us/"));
        assert_eq!((found.names, found.place), (Some((1, 0, 1.0)), Some(0.6)));
        assert!((found.likeness - 0.92).abs() < 1e-9 && !found.other_numbers);
        let stores = told(&business(&["store 1"], ""), &business(&["store 2"], "us/boston"));
        assert!(stores.other_numbers && stores.place.is_none() && stores.likeness == 0.0);
        assert_eq!(told(&renamed, &business(&[], "us/boston")).names, None);
    }

    proptest! {
        /// Whoever is alike enough to be asked about shares a meeting point.
        #[test]
        fn the_alike_meet(words in prop::collection::vec("[a-c]{1,4}", 1..5), edits in prop::collection::vec((0usize..12, "[a-c ]"), 0..3)) {
            let name = words.join(" ");
            let mut other: Vec<char> = name.chars().collect();
            for (at, c) in edits {
                if let Some(slot) = other.get_mut(at) { *slot = c.chars().next().unwrap(); }
            }
            let other: String = other.into_iter().collect();
            let (a, b) = (business(&[&name], "us/boston"), business(&[other.trim()], "us/boston"));
            if between(&a, &b) >= REVIEW {
                let (x, y) = (NameShapes::new(&a).meeting_points(), NameShapes::new(&b).meeting_points());
                prop_assert!(x.iter().any(|point| y.contains(point)), "{name} / {other}");
            }
        }
    }
}
