//! How alike two normalised records are, and why. Pure: no I/O, no clock, no chance.
//!
//! Start at [`score`](score::score): it takes a frozen [`model::Model`] and the
//! [`features::Features`] of two records and adds up one weight for each comparison, in integer
//! millibits of log2 odds (Fellegi and Sunter). [`explain`](explain::explain) lists the same parts
//! with the values they compared. [`train`] learns the weights from records and the contacts they were put into,
//! [`evaluate`] measures what came out. Which pairs are worth scoring is `index`' business, who belongs together
//! `resolve`'s. Businesses are compared by [`account`].

pub mod account;
pub(crate) mod contacts;
pub(crate) mod context;
pub mod evaluate;
pub mod explain;
pub mod features;
mod kept;
pub(crate) mod ledger;
pub mod model;
pub(crate) mod names;
mod namesakes;
pub mod nicknames;
pub(crate) mod packed;
pub mod platt;
pub(crate) mod readings;
pub mod score;
pub(crate) mod scorer;
pub mod similarity;
pub mod token;
pub mod train;
pub mod weights;
pub mod without;

use crate::model::key::Millibits;

/// How sure a match is; the grades of FHIR's patient matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Vetoed.
    CertainlyNot,
    /// Below the review threshold.
    Possible,
    /// From the review threshold up.
    Probable,
    /// From the automatic threshold up.
    Certain,
}

/// Grades a weight. `review` and `auto` are weights too (see [`Millibits::from_probability`]); a veto beats them.
pub fn grade(weight: Millibits, veto: bool, review: Millibits, auto: Millibits) -> Grade {
    if veto {
        Grade::CertainlyNot
    } else if weight >= auto {
        Grade::Certain
    } else if weight >= review {
        Grade::Probable
    } else {
        Grade::Possible
    }
}

#[cfg(test)]
mod tests;
