//! What an upsert would decide on a record that is only asked about: the same overlay, keys and edges as
//! [`resolve`](super::resolve), and the same cut of the record's own block, without the ids and events that would be thrown
//! away.

use std::sync::Arc;

use super::{Change, Kinds, Known, Scores, ordered};
use crate::resolve::cluster::{block, partition};
use crate::store::shard::Version;

/// What would become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It would join somebody.
    Joins,
    /// It would stay alone, and a person would be asked.
    Asks,
    /// It would stay alone.
    Alone,
}

impl Change<'_> {
    /// What would become of `slot`, the one record that this overlay lays over.
    ///
    /// `candidates` are its own ([`Change::candidates`]); `scores` holds the score of each of them, ascending by slot,
    /// so that no pair of the record is scored twice, or `None` where it is below [`Change::edge_floor`].
    pub fn outlook(
        mut self,
        slot: u32,
        version: &Arc<Version>,
        candidates: &[(u32, Kinds)],
        scores: Scores,
    ) -> Outlook {
        self.known = Known { slot, scores };
        let is_new = self.shard.slot(slot).is_none();
        // Nobody has judged a new record, so nothing but an edge can bind or concern it.
        if is_new && !candidates.iter().any(|(other, _)| self.edge_weight(slot, *other).is_some()) {
            return Outlook::Alone;
        }
        let records = [(slot, Some(Arc::clone(version)))];
        let sharing = candidates.iter().map(|(other, _)| ordered(slot, *other)).collect();
        self.take_in_edges(&records, sharing);
        // Contacts never span blocks, so nothing beyond the record's own decides on it.
        let cut = partition(&self, &self.limits, &block(&self, &self.limits, slot));
        if cut.groups.iter().any(|group| group.len() > 1 && group.contains(&slot)) {
            Outlook::Joins
        } else if cut.refused.iter().any(|refused| refused.a == slot || refused.b == slot) {
            Outlook::Asks
        } else {
            Outlook::Alone
        }
    }
}
