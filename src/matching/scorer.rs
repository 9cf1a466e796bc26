//! One record compared with many: what does not depend on the other record is done once.
//!
//! Many candidates of a question are namesakes of each other, so a name is compared once however many have it. And most of
//! them are somebody else's namesakes: where the given names contradict each other, what people share who live or work
//! together is bounded ([`score`](super::score)), so that hardly anything can lift such a pair above a threshold, and the rest of
//! it need not be compared.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::matching::features::{Features, Unpacked};
use crate::matching::model::Model;
use crate::matching::names::{self, Comparison};
use crate::matching::readings::Named;
use crate::matching::score::{Scored, Tiers, score_unpacked};
use crate::model::key::Millibits;

/// Parts of a weight that are rounded to a thousandth of a bit: more than there ever are, each off by less than one.
const ROUNDED_MAX: i32 = 64;

/// A record that many others are compared with.
pub(crate) struct Scorer<'a> {
    model: &'a Model,
    features: Unpacked<'a>,
    named: Named<'a>,
    /// How each name met so far compares, by its bytes.
    names: HashMap<&'a [u8], Option<Comparison>, FixedState>,
    /// Bits, beside those of the names, that somebody with another given name reaches at most. Missing: the record says
    /// more than this is worked out for.
    most_beside: Option<f64>,
}

impl<'a> Scorer<'a> {
    /// Unpacks the record.
    pub fn new(model: &'a Model, features: &'a Features) -> Self {
        let features = features.unpack();
        let (named, most_beside) = (features.named(), most_beside(model, &features));
        Self { model, features, named, names: HashMap::with_hasher(FixedState::default()), most_beside }
    }

    /// The score of a pair; the same as [`score`](super::score::score). `None`: its weight is below `floor`.
    pub fn score(&mut self, tiers: &dyn Tiers, other: &'a Features, floor: Millibits) -> Option<Scored> {
        let other = other.unpack();
        let compare = || names::best(self.model, &self.named, &other.named());
        let names = *self.names.entry(other.name_bytes()).or_insert_with(compare);
        if self.is_below(names.as_ref(), floor) {
            return None;
        }
        let scored = score_unpacked(self.model, tiers, &self.features, &other, names.as_ref());
        (scored.weight >= floor).then_some(scored)
    }

    /// Whether names alone keep a pair below a weight.
    fn is_below(&self, names: Option<&Comparison>, floor: Millibits) -> bool {
        let clash = names.and_then(Comparison::given_clash);
        let (Some(names), Some(beside)) = (clash, self.most_beside) else { return false };
        let most = Millibits(Millibits::from_bits(names + beside).0.saturating_add(ROUNDED_MAX));
        self.model.calibration.apply(most) < floor
    }
}

/// See [`Scorer::most_beside`]. With the prior all that households share is worth what the model says of them; of what they do
/// not share only the country and the generation are worked out here, and a record that says anything else has no bound.
fn most_beside(model: &Model, record: &Unpacked<'_>) -> Option<f64> {
    if record.says_more_than_households_share() {
        return None;
    }
    let w = &model.weights;
    let countries = record.places().filter_map(|place| place.country);
    let country =
        countries.map(|(_, share)| w.country.exact.of_share(share) * w.dependence.country).fold(0.0, f64::max);
    Some(
        w.dependence.household
            + country.max(w.country.differ.flat())
            + w.name_rest.generation_one_sided.flat().max(0.0),
    )
}

#[cfg(test)]
mod tests;
