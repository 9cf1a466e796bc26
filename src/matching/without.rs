//! Parts of matching left out, to measure what each brings (`evaluate --without`).
//!
//! Each part is left out where it acts, so that everything else stays as it is; training runs without it, too. No
//! server uses this.

use std::sync::Arc;

use crate::matching::model::{Frequencies, Model};
use crate::matching::nicknames::Nicknames;
use crate::matching::score::Tiers;
use crate::model::key::{Key, Tier};

/// The parts that scoring itself must ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Names that sound alike are names that differ.
    pub sounds: bool,
    /// Nothing rules a match out.
    pub vetoes: bool,
    /// An identifier counts in full, however many people share it.
    pub generic: bool,
    /// Values stay as common as they were told to be.
    pub frequencies: bool,
    /// Weights are not made to say how often they are right.
    pub calibration: bool,
}

/// A part of matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Given names that stand for one another.
    Nicknames,
    /// Names that sound alike.
    Phonetics,
    /// How common a value is: without it, agreeing in any given name says as much as in any other.
    Frequencies,
    /// Contradictions that no evidence outweighs.
    Vetoes,
    /// Identifiers that many people share say less.
    Generic,
    /// What makes learned weights say how often they are right.
    Calibration,
}

impl Part {
    /// All parts, by the names they are asked for.
    pub const ALL: [(&'static str, Part); 6] = [
        ("nicknames", Part::Nicknames),
        ("phonetics", Part::Phonetics),
        ("frequencies", Part::Frequencies),
        ("vetoes", Part::Vetoes),
        ("generic", Part::Generic),
        ("calibration", Part::Calibration),
    ];
}

impl Model {
    /// This model without some part.
    #[must_use]
    pub fn without(mut self, part: Part) -> Self {
        match part {
            Part::Nicknames => self.nicknames = Arc::new(Nicknames::default()),
            Part::Phonetics => self.without.sounds = true,
            Part::Frequencies => {
                self.frequencies = Arc::new(flat(&self.frequencies));
                self.without.frequencies = true;
            }
            Part::Vetoes => self.without.vetoes = true,
            Part::Generic => self.without.generic = true,
            Part::Calibration => self.without.calibration = true,
        }
        self
    }
}

/// Every value as common as values are on average, weighted by how often they meet: the sum of the squared shares.
fn flat(frequencies: &Frequencies) -> Frequencies {
    Frequencies {
        given: frequencies.given.flat(),
        surname: frequencies.surname.flat(),
        organization: frequencies.organization.flat(),
        title: frequencies.title.flat(),
        city: frequencies.city.flat(),
        country: frequencies.country.flat(),
        postcode: frequencies.postcode.flat(),
        domain: frequencies.domain.flat(),
        word: frequencies.word.flat(),
        ..Frequencies::default()
    }
}

/// Every identifier is one person's.
pub(crate) struct Ordinary;

impl Tiers for Ordinary {
    fn tier(&self, _: Key) -> Tier {
        Tier::Unique
    }

    fn people(&self, _: Key) -> u32 {
        1
    }
}
