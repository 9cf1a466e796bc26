//! A blocking key: a short value that two records share when they should be compared.
//!
//! Keys are hashes, so that a posting costs 8 bytes whatever the text was. They are compared for
//! equality only; nothing may order by them, since an order by hash means nothing to anyone.

use std::hash::{Hash, Hasher};

/// A blocking key, hashed from its kind and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

/// What a key was made from. The kinds up to `Domain` are identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum KeyKind {
    /// A canonical email address.
    Email = 1,
    /// An E.164 number (with its extension, if any, apart).
    Phone = 2,
    /// `(system, id)`.
    ExternalId = 3,
    /// `(service, handle)`.
    Handle = 4,
    /// A registrable domain of a business, or of a person's mail.
    Domain = 5,
    /// A compound value that few people share, such as a whole name: where many records hold it, they may be one person's.
    Narrow = 15,
    /// Anything else: name pairs, sound codes, deletion variants, name with city...; the `u8`
    /// beside the text tells the variants apart.
    Compound = 16,
}

impl KeyKind {
    /// Whether a key of this kind identifies (its tier counts in scoring), rather than only proposes.
    pub fn is_identifier(self) -> bool {
        !matches!(self, KeyKind::Narrow | KeyKind::Compound)
    }
}

impl Key {
    /// Hashes a kind, a variant and parts. The same input gives the same key in every process.
    pub fn new(kind: KeyKind, variant: u8, parts: &[&str]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        (kind as u8, variant).hash(&mut hasher);
        parts.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// How common an identifier is: a function of how many people carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// At most 2 people: counts in full.
    #[default]
    Unique,
    /// At most 5 people: a family.
    Family,
    /// More.
    Crowded,
    /// Over the tenant's generic limit, or carried by too many records: no evidence at all.
    Generic,
}

/// Weight of evidence in thousandths of a bit (log2 odds). Integers, so that sums do not depend on order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millibits(pub i32);

impl Millibits {
    /// From bits, rounded to the nearest thousandth.
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and weights are below 2^20 bits")]
    pub fn from_bits(bits: f64) -> Self {
        Self((bits * 1000.0).round() as i32)
    }

    /// As bits.
    pub fn bits(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The probability whose log2 odds these are: `2^w / (1 + 2^w)`.
    pub fn probability(self) -> f64 {
        let odds = self.bits().exp2();
        if odds.is_infinite() { 1.0 } else { odds / (1.0 + odds) }
    }

    /// The weight at which the odds are those of `probability`: `log2(p / (1 - p))`.
    pub fn from_probability(probability: f64) -> Self {
        let p = probability.clamp(1e-9, 1.0 - 1e-9);
        Self::from_bits((p / (1.0 - p)).log2())
    }
}
