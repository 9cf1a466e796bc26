//! The whole tenant resolved anew, where what decides has changed: thresholds, limits, the model.
//!
//! Nothing here is a special case of clustering: every pair that shares a live key is scored, every record counts as
//! touched, and the difference to what stands becomes one [`Resolved`](crate::model::event::Resolved). So the result is
//! the partition that the records would have had under these settings from the first day.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{Change, NewId, Resolution};
use crate::model::key::Millibits;
use crate::store::shard::Shard;

/// Computes what the settings and the model of `after` make of its records. `after` is the shard with them in force and
/// its edges and contacts as they were decided before.
pub fn resolve_all(after: &Shard, new_id: &mut NewId<'_>) -> Resolution {
    let mut change = Change::new(after, &after.judgements, &[]);
    let slots: Vec<u32> = (0..after.next_slot()).filter(|slot| after.evidence(*slot).is_some()).collect();
    let found: Vec<Vec<(u32, u32, Option<Millibits>)>> =
        slots.par_iter().map(|slot| change.edges_that_differ(*slot)).collect();
    for (a, b, weight) in found.into_iter().flatten() {
        change.edges.entry(a).or_default().insert(b, weight);
        change.edges.entry(b).or_default().insert(a, weight);
    }
    let touched: BTreeSet<u32> = slots.into_iter().collect();
    change.finish(&[], touched, &[], new_id)
}

impl Change<'_> {
    /// The edges of a slot to later ones that are not what stands: with their weight now, or none.
    fn edges_that_differ(&self, slot: u32) -> Vec<(u32, u32, Option<Millibits>)> {
        let later = |other: &u32| *other > slot;
        let mut others: BTreeSet<u32> =
            self.candidates(slot).into_iter().map(|(other, _)| other).filter(later).collect();
        let candidates = others.clone();
        others.extend(self.shard.edges.of(slot).map(|(other, _)| other).filter(later));
        let differs = |other: u32| {
            let weight = candidates.contains(&other).then(|| self.edge_weight(slot, other)).flatten();
            (weight != self.edge_before(slot, other)).then_some((slot, other, weight))
        };
        others.into_iter().filter_map(differs).collect()
    }
}
