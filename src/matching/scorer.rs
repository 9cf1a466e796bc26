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
use crate::matching::packed::Packed;
use crate::matching::readings::{self, Named};
use crate::matching::score::{Scored, Tiers, score_unpacked};
use crate::model::key::Millibits;

/// Parts of a weight that are rounded to a thousandth of a bit: more than there ever are, each off by less than one.
const ROUNDED_MAX: i32 = 64;

/// Names for which there is room from the start: with as many candidates as questions mostly have, it is not made twice.
const NAMES_USUAL: usize = 96;

/// A name that the record's own was compared with.
#[derive(Debug)]
struct Met {
    comparison: Option<Comparison>,
    /// What pairs with this name weigh at most, whatever else their records say. Missing: that is not known.
    most: Option<Millibits>,
}

/// A record that many others are compared with.
pub(crate) struct Scorer<'a> {
    model: &'a Model,
    features: Unpacked<'a>,
    named: Named<'a>,
    /// Each name met so far, by its bytes.
    names: HashMap<&'a [u8], Met, FixedState>,
    /// Bits, beside those of the names, that somebody with another given name reaches at most. Missing: the record says
    /// more than this is worked out for.
    most_beside: Option<f64>,
}

impl<'a> Scorer<'a> {
    /// Unpacks the record.
    pub fn new(model: &'a Model, features: &'a Features) -> Self {
        let features = features.unpack();
        let (named, most_beside) = (features.named(), most_beside(model, &features));
        let names = HashMap::with_capacity_and_hasher(NAMES_USUAL, FixedState::default());
        Self { model, features, named, names, most_beside }
    }

    /// The score of a pair; the same as [`score`](super::score::score). `None`: its weight is below `floor`.
    ///
    /// Of most candidates no more is read than their name.
    pub fn score(&mut self, tiers: &dyn Tiers, other: &'a Features, floor: Millibits) -> Option<Scored> {
        let name = other.name_bytes();
        let (model, named, most_beside) = (self.model, &self.named, self.most_beside);
        let met = self.names.entry(name).or_insert_with(|| Met::new(model, named, name, most_beside));
        if met.most.is_some_and(|most| most < floor) {
            return None;
        }
        let scored = score_unpacked(model, tiers, &self.features, &other.unpack(), met.comparison.as_ref());
        (scored.weight >= floor).then_some(scored)
    }
}

impl Met {
    /// Compares a record's name with another one, packed.
    fn new(model: &Model, own: &Named<'_>, name: &[u8], most_beside: Option<f64>) -> Self {
        let comparison = names::best(model, own, &readings::unpack(Packed::new(name)));
        let clash = comparison.as_ref().and_then(Comparison::given_clash);
        let most = clash.zip(most_beside).map(|(clash, beside)| {
            let most = Millibits::from_bits(clash + beside).0.saturating_add(ROUNDED_MAX);
            model.calibration.apply(Millibits(most))
        });
        Self { comparison, most }
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
