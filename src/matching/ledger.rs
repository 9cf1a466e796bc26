//! The account of one pair: each part's weight, and what the parts mean together.
//!
//! Scoring and explaining fill the same ledger with the same code, so an explanation sums to the
//! score by construction. Nothing here allocates for a pair with the usual number of parts.

use crate::model::key::Millibits;
use smallvec::SmallVec;

/// One part of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub comparison: &'static str,
    pub level: &'static str,
    pub weight: Millibits,
}

/// What was found out about one pair so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub entries: SmallVec<[Entry; 24]>,
    /// Sum of all entries.
    pub total: i32,
    /// What calibration added of that.
    pub calibration: i32,
    /// Sum of what a household or an office shares.
    pub household: i32,
    /// Positive part of the birthday.
    pub birthday: i32,
    /// Independent pieces of evidence for a match.
    pub pieces: u8,
    /// The given names (or the names of two businesses) contradict each other.
    pub name_clash: bool,
    /// The family names contradict each other.
    pub surname_clash: bool,
    /// The given names agree.
    pub given_agrees: bool,
    /// Anything contradicts, be it less than a veto.
    pub conflict: bool,
    /// The two cannot be one.
    pub veto: bool,
    /// The email addresses agree, or nearly.
    pub mail_agrees: bool,
    /// An id in another system agrees and is unique: it outweighs a birthday that was typed wrong.
    pub id_agrees: bool,
    /// A unique email, id or account domain is equal.
    pub business_key: bool,
    /// One is, the tenant takes it for enough, and nothing contradicts it.
    pub key_holds: bool,
}

impl Ledger {
    /// Books a part; returns its weight in millibits.
    pub fn book(&mut self, comparison: &'static str, level: &'static str, bits: f64) -> i32 {
        let weight = Millibits::from_bits(bits);
        self.entries.push(Entry { comparison, level, weight });
        self.total = self.total.saturating_add(weight.0);
        weight.0
    }

    /// Books a part of what households share.
    pub fn book_shared(&mut self, comparison: &'static str, level: &'static str, bits: f64) -> i32 {
        let weight = self.book(comparison, level, bits);
        self.household = self.household.saturating_add(weight);
        weight
    }

    /// Books a correction in millibits; none when it is 0.
    pub fn correct(&mut self, level: &'static str, millibits: i32) {
        if millibits != 0 {
            self.entries.push(Entry { comparison: "dependence", level, weight: Millibits(millibits) });
            self.total = self.total.saturating_add(millibits);
        }
    }

    /// Books what calibration adds in millibits; none when it is 0.
    pub fn calibrate(&mut self, millibits: i32) {
        if millibits != 0 {
            self.entries.push(Entry { comparison: "calibration", level: "learned", weight: Millibits(millibits) });
            self.total = self.total.saturating_add(millibits);
            self.calibration = millibits;
        }
    }

    /// Sum of what speaks against, beside the names, in millibits: at most 0. Corrections and calibration are no evidence.
    pub fn against(&self) -> i32 {
        const LEFT_OUT: [&str; 6] =
            ["given_name", "surname", "names_together", "name_reading", "dependence", "calibration"];
        let other = |entry: &&Entry| entry.weight.0 < 0 && !LEFT_OUT.contains(&entry.comparison);
        self.entries.iter().filter(other).map(|entry| entry.weight.0).sum()
    }

    /// Counts a piece of evidence if it is worth at least `least` bits.
    pub fn piece(&mut self, bits: f64, least: f64) {
        self.pieces = self.pieces.saturating_add(u8::from(bits >= least));
    }
}
