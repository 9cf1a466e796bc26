//! Which keys answer a tenant's oblivious look-ups, and how much of them was used. The keys themselves are derived, and what
//! they make of identifiers is no part of the state.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::event::{OprfBegun, OprfSpent};
use crate::model::ids::Millis;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Keys that are remembered: the newest, and the one before, which may still be served.
const EPOCHS_MAX: usize = 2;

/// How much of a key somebody used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Elements that were evaluated.
    pub evaluated: u64,
    /// Keys that were asked to be revealed.
    pub revealed: u64,
}

impl Spent {
    /// The larger of both counts: facts may come in any order, and counts only grow.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { evaluated: self.evaluated.max(other.evaluated), revealed: self.revealed.max(other.revealed) }
    }
}

/// A tenant's part in oblivious look-ups. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Oprf {
    epochs: Arc<Vec<OprfBegun>>,
    spent: PMap<(u32, String), Spent>,
    events: u64,
}

impl Oprf {
    /// The keys that are remembered, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[OprfBegun] {
        &self.epochs
    }

    /// The newest key.
    #[must_use]
    pub fn newest(&self) -> Option<&OprfBegun> {
        self.epochs.last()
    }

    /// Until when the key before the newest is served, for a tenant that overlaps for so many days. Missing: there is none.
    #[must_use]
    pub fn overlap_until(&self, overlap_days: u32) -> Option<Millis> {
        let newest = self.newest().filter(|_| self.epochs.len() > 1)?;
        Some(Millis(newest.at.0.saturating_add(i64::from(overlap_days).saturating_mul(DAY_MS))))
    }

    /// What a principal used of a key.
    #[must_use]
    pub fn spent(&self, epoch: u32, principal: &str) -> Spent {
        self.spent.get(&(epoch, principal.to_owned())).copied().unwrap_or_default()
    }

    /// Whether anybody ever used a key.
    #[must_use]
    pub fn is_used(&self, epoch: u32) -> bool {
        self.spent.iter().any(|((of, _), _)| *of == epoch)
    }

    /// All that was used: key, principal, counts; in no special order.
    pub fn all_spent(&self) -> impl Iterator<Item = (&(u32, String), &Spent)> {
        self.spent.iter()
    }

    /// Events of this kind since the state was opened: they say nothing about who can be found.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether nothing ever happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.epochs.is_empty() && self.spent.is_empty()
    }

    pub(in crate::store) fn begun(&mut self, begun: OprfBegun) {
        self.events += 1;
        let epochs = Arc::make_mut(&mut self.epochs);
        // Said once more: with another prefix, before anybody has used it.
        epochs.pop_if(|last| last.epoch == begun.epoch);
        epochs.push(begun);
        let old = epochs.len().saturating_sub(EPOCHS_MAX);
        epochs.drain(..old);
        let oldest = epochs.first().map_or(0, |first| first.epoch);
        let gone: Vec<(u32, String)> =
            self.spent.iter().filter(|((epoch, _), _)| *epoch < oldest).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.spent.remove(key);
        }
    }

    pub(in crate::store) fn spend(&mut self, spent: OprfSpent) {
        self.events += 1;
        let OprfSpent { epoch, principal, evaluated, revealed, .. } = spent;
        let known = self.spent.entry_or_insert_with(&(epoch, principal), Spent::default);
        *known = known.max(Spent { evaluated, revealed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(epoch: u32) -> OprfBegun {
        OprfBegun { epoch, prefix_bits: 3, at: Millis(i64::from(epoch) * DAY_MS), actor: "me".into() }
    }

    fn spent(epoch: u32, evaluated: u64, revealed: u64) -> OprfSpent {
        OprfSpent { epoch, principal: "p".into(), evaluated, revealed, at: Millis(0) }
    }

    #[test]
    fn two_keys_are_remembered_and_what_was_used_of_them() {
        let mut oprf = Oprf::default();
        assert_eq!((oprf.newest(), oprf.overlap_until(7), oprf.is_empty()), (None, None, true));
        oprf.begun(begun(1));
        oprf.begun(OprfBegun { prefix_bits: 5, ..begun(1) });
        assert_eq!((oprf.epochs().len(), oprf.newest().unwrap().prefix_bits, oprf.is_used(1)), (1, 5, false));
        assert_eq!(oprf.overlap_until(7), None, "nothing was before the first");
        oprf.spend(spent(1, 10, 2));
        oprf.spend(spent(1, 7, 5));
        assert_eq!(oprf.spent(1, "p"), Spent { evaluated: 10, revealed: 5 }, "counts only grow");
        assert!(oprf.is_used(1));
        assert_eq!(oprf.spent(1, "q"), Spent::default());
        oprf.begun(begun(2));
        assert_eq!(oprf.overlap_until(7), Some(Millis(9 * DAY_MS)));
        assert_eq!(oprf.spent(1, "p").evaluated, 10, "the key before is still served");
        oprf.begun(begun(3));
        assert_eq!(oprf.epochs(), [begun(2), begun(3)]);
        assert_eq!((oprf.spent(1, "p"), oprf.all_spent().count()), (Spent::default(), 0));
    }
}
