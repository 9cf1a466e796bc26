//! Which of a record's candidates are compared: the likeliest ones.
//!
//! In a large file a record meets hundreds of strangers in its blocks, and comparing is what takes the time. Two numbers per
//! pair tell at a glance which are worth it: how rare the keys are that both records have, and whether their names,
//! birthdays, places and trades agree. A pair is compared if it is among the [`EACH`] likeliest of either record and among
//! the [`MOST`] likeliest of both. This is meta-blocking (Papadakis, Koutrika, Palpanas and Nejdl 2014: cardinality node
//! pruning) that looks at values beside keys: with keys alone a file of 100,000 contacts lost one true pair in two
//! hundred more, since the true pairs that are hard to find share one large block only, as strangers do.
//!
//! A function of the file's records. A server compares all that share a live key, so that a write never changes whom others
//! are compared with.

use crate::matching::token::{hash, hash_bytes, skeleton};
use crate::model::normalized::Normalized;

/// How many of its candidates each record is compared with at least.
const EACH: usize = 44;
/// The most records that one record is compared with.
const MOST: usize = 200;

/// Holders of a key that says nothing of its pairs; fewer give a bit for each halving.
const HOLDERS_SILENT: f64 = 256.0;
/// Millibits of a birthday's year or day, of a place, an employer, a trade that agree.
const VALUE: i32 = 3_000;
/// Millibits of a name's letter that agrees; its sound counts twice.
const NAME: i32 = 1_500;
/// What strangers who share one large key are worth, so that no worth is below 0.
const BASE: i32 = 40_000;

/// What of a record is seen at a glance: folded hashes, 0 where it has no such value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    given: Name,
    surname: Name,
    year: u16,
    day: u16,
    city: u16,
    postcode: u16,
    organization: u16,
    title: u16,
    /// Of what it says in all, so that what breaks ties goes with the values and not with their order in the file.
    content: u32,
}

/// First letter and sound of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    initial: u16,
    sound: u16,
}

impl Name {
    fn new(name: Option<&String>) -> Self {
        let Some(name) = name else { return Self::default() };
        let initial = name.chars().next().map(String::from);
        Self { initial: short(initial.as_deref()), sound: short(Some(&skeleton(name))) }
    }

    /// How much of two names agrees, 0 to 3.
    fn alike(self, other: Self) -> i32 {
        2 * i32::from(agree(self.sound, other.sound)) + i32::from(agree(self.initial, other.initial))
    }
}

impl Glance {
    pub(super) fn new(record: &Normalized) -> Self {
        let (birthday, address) = (record.birthday, record.addresses.first());
        let date = birthday.and_then(|b| b.month.zip(b.day));
        let text = |value: Option<&String>| short(value.map(String::as_str));
        let organization = record.organization.as_ref().map(|organization| organization.joined());
        Self {
            given: Name::new(record.name.first_tokens.first()),
            surname: Name::new(record.name.last_tokens.first()),
            year: birthday.and_then(|b| b.year).unwrap_or(0),
            // Day and month may have changed places.
            day: date.map_or(0, |(month, day)| u16::from(month.min(day)) * 100 + u16::from(month.max(day))),
            city: text(address.and_then(|a| a.city.as_ref())),
            postcode: text(address.and_then(|a| a.postal_code.as_ref())),
            organization: short(organization.as_deref()),
            title: text(record.job_title.as_ref()),
            content: content(record),
        }
    }

    /// What two records' values say for a match, in millibits: rough, and the same from either side.
    fn alike(&self, other: &Self) -> i32 {
        let straight = self.given.alike(other.given) + self.surname.alike(other.surname);
        let crossed = self.given.alike(other.surname) + self.surname.alike(other.given);
        let whole = |glance: &Self| glance.given.initial != 0 && glance.surname.initial != 0;
        let expected = if whole(self) && whole(other) { 3 } else { 1 };
        let (year, day) = (agree(self.year, other.year), agree(self.day, other.day));
        let both = |a: u16, b: u16| a != 0 && b != 0;
        let other_birthday = both(self.year, other.year) && both(self.day, other.day) && !year && !day;
        let title = agree(self.title, other.title);
        let values = i32::from(year) + i32::from(day) - 2 * i32::from(other_birthday)
            + i32::from(agree(self.city, other.city))
            + i32::from(agree(self.postcode, other.postcode))
            + i32::from(agree(self.organization, other.organization))
            + i32::from(title)
            - i32::from(both(self.title, other.title) && !title);
        (straight.max(crossed) - expected) * NAME + values * VALUE
    }

    /// How likely a pair is: the larger, the likelier. No two pairs of a record are equal, unless it is by chance.
    /// `keys` is the sum of [`rarity`] over the keys that both have; `a` and `b` are the places of the records in the file.
    pub(super) fn worth(&self, other: &Self, keys: u32, (a, b): (u32, u32)) -> u64 {
        let bits = i64::from(BASE) + i64::from(self.alike(other)) + i64::from(keys);
        // Records of one content are as good as one another: their places decide.
        let (x, y) = if self.content == other.content { (a, b) } else { (self.content, other.content) };
        let (low, high) = (x.min(y), x.max(y));
        let tie = hash_bytes(&(u64::from(low) << 32 | u64::from(high)).to_le_bytes());
        u64::try_from(bits.max(0)).unwrap_or(0) << 32 | u64::from(tie)
    }
}

/// What a key says for a pair that has it in common, in millibits, by the number of its holders.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "at most 8,000"
)]
pub(super) fn rarity(holders: usize) -> u16 {
    (1000.0 * (HOLDERS_SILENT / holders.max(1) as f64).log2()).max(0.0) as u16
}

/// What a pair must be worth more than, for one of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    each: u64,
    most: u64,
}

impl Floor {
    /// From the worths of a record's pairs, which it sorts.
    pub(super) fn new(worths: &mut [u64]) -> Self {
        worths.sort_unstable_by(|a, b| b.cmp(a));
        let below = |count: usize| worths.get(count).copied().unwrap_or(0);
        Self { each: below(EACH), most: below(MOST) }
    }

    /// Whether a pair of records with these floors is compared.
    pub(super) fn passes(&self, other: &Self, worth: u64) -> bool {
        worth > self.most && worth > other.most && (worth > self.each || worth > other.each)
    }
}

fn agree(a: u16, b: u16) -> bool {
    a != 0 && a == b
}

/// A text's hash, folded once more; 0 for none.
#[expect(clippy::cast_possible_truncation, reason = "folding is the purpose")]
fn short(text: Option<&str>) -> u16 {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return 0 };
    let wide = hash(text);
    ((wide >> 16) as u16 ^ wide as u16).max(1)
}

/// A hash of everything that a record says.
fn content(record: &Normalized) -> u32 {
    hash(&format!("{record:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Address, Fields};
    use crate::normalize::{Normalizer, Rules};

    fn glance(name: &str, birthday: &str, city: &str) -> Glance {
        let fields = Fields {
            name: Some(name.into()),
            birthday: (!birthday.is_empty()).then(|| birthday.into()),
            addresses: vec![Address { city: Some(city.into()), ..Address::default() }],
            ..Fields::default()
        };
        Glance::new(&Normalizer::new(Rules::default()).normalize(&fields).0)
    }

    #[test]
    fn what_agrees_is_worth_more_from_either_side() {
        let one = glance("Katherine Montgomery", "1970-08-11", "Leeds");
        let worth = |other: &Glance| {
            assert_eq!(one.worth(other, 500, (1, 2)), other.worth(&one, 500, (2, 1)));
            one.worth(other, 500, (1, 2)) >> 32
        };
        let ladder = [
            glance("Catherine Montgomery", "1970-08-11", "Leeds"),
            glance("Montgomery Katherine", "1970-11-08", ""),
            glance("K. Montgomery", "", ""),
            glance("Oswald Brightwell", "", ""),
            glance("Oswald Brightwell", "1955-01-02", ""),
        ]
        .map(|other| worth(&other));
        assert!(ladder.windows(2).all(|two| two[0] > two[1]), "{ladder:?}");
        assert_eq!(rarity(256), 0);
        assert_eq!(rarity(100_000), 0);
        assert!(rarity(2) == 7_000 && rarity(3) < 7_000);
    }

    #[test]
    fn the_likeliest_of_either_and_no_more_than_the_most() {
        let floor = |count: u64| Floor::new(&mut (1..=count).collect::<Vec<_>>());
        let (few, many, crowd) = (floor(10), floor(120), floor(900));
        assert!(few.passes(&few, 1), "few candidates are all compared");
        assert!(few.passes(&many, 1), "one of few for the other");
        assert!(many.passes(&many, 77) && !many.passes(&many, 76));
        assert!(!few.passes(&crowd, 700) && few.passes(&crowd, 701), "a record meets no more than the most");
    }
}
