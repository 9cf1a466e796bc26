//! What an upsert would decide on a record that is only asked about: the same overlay, keys and edges as
//! [`resolve`](super::resolve), and the same cut of the record's own block, without the ids and events that would be thrown
//! away.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Change, Kinds, Known, Scores, ordered};
use crate::model::key::Millibits;
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
        if self.shard.slot(slot).is_none() {
            let edges = self.edges_of_new(candidates, &scores);
            // Nobody has judged a new record, so nothing but an edge can bind or concern it.
            if edges.is_empty() {
                return Outlook::Alone;
            }
            self.known = Known { slot, scores };
            self.take_in_new(slot, &edges);
        } else {
            self.known = Known { slot, scores };
            let sharing = candidates.iter().map(|(other, _)| ordered(slot, *other)).collect();
            self.take_in_edges(&[(slot, Some(Arc::clone(version)))], sharing);
        }
        self.fate(slot)
    }

    /// The edges of a record that has no place yet: of its candidates those whose score makes one. Both lists ascend, and
    /// most scores are below what makes an edge, so no pair is looked up.
    fn edges_of_new(&self, candidates: &[(u32, Kinds)], scores: &Scores) -> Vec<(u32, Millibits)> {
        let mut candidates = candidates.iter().map(|(other, _)| *other).peekable();
        let strong = scores.iter().filter_map(|(other, scored)| Some((*other, (*scored)?)));
        let strong = strong.filter(|(_, scored)| !scored.veto && scored.weight >= self.edge_floor());
        let mut is_candidate = |other: u32| {
            while candidates.next_if(|candidate| *candidate < other).is_some() {}
            candidates.next_if_eq(&other).is_some()
        };
        strong.filter(|(other, _)| is_candidate(*other)).map(|(other, scored)| (other, scored.weight)).collect()
    }

    /// Takes in the edges of a new record, and what its keys change between others.
    fn take_in_new(&mut self, slot: u32, edges: &[(u32, Millibits)]) {
        for (other, weight) in edges {
            self.put_edge(slot, *other, Some(*weight));
        }
        let mut dirty: BTreeSet<(u32, u32)> = BTreeSet::new();
        for (key, after) in &self.keys {
            self.dirty_of_key(*key, after, &mut BTreeSet::new(), &mut dirty);
        }
        // Its own pairs are all there already.
        for (a, b) in dirty.into_iter().filter(|(a, b)| *a != slot && *b != slot) {
            let weight = if self.share_live(a, b) { self.edge_weight(a, b) } else { None };
            if weight != self.edge_before(a, b) {
                self.put_edge(a, b, weight);
            }
        }
    }

    /// What becomes of a record whose edges are taken in. Contacts never span blocks, so nothing beyond its own decides.
    fn fate(&self, slot: u32) -> Outlook {
        let cut = partition(self, &self.limits, &block(self, &self.limits, slot));
        if cut.groups.iter().any(|group| group.len() > 1 && group.contains(&slot)) {
            Outlook::Joins
        } else if cut.refused.iter().any(|refused| refused.a == slot || refused.b == slot) {
            Outlook::Asks
        } else {
            Outlook::Alone
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::InputRecord;
    use crate::matching::model::Model;
    use crate::model::ids::{Millis, Seq, TenantId};
    use crate::model::record::{Email, Fields, Phone};
    use crate::model::settings::Settings;
    use crate::normalize::{Normalizer, Rules};
    use crate::resolve::prepare::{prepare, prepare_asked};
    use crate::resolve::upsert::{Now, Step, decide};
    use crate::store::shard::Shard;

    const GIVEN: [&str; 6] = ["John", "Jon", "Mary", "Walter", "Ann", "Zoe"];
    const SUFFIX: [&str; 3] = ["", "Jr.", "Sr."];

    /// Given name, suffix, phone and mailbox; few of each, so that they are shared.
    fn said() -> impl Strategy<Value = (usize, usize, usize, usize)> {
        (0..GIVEN.len(), 0..SUFFIX.len(), 0_usize..3, 0_usize..4)
    }

    fn input(id: usize, (given, suffix, phone, mail): (usize, usize, usize, usize)) -> InputRecord {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let fields = Fields {
            first_name: text(GIVEN[given]),
            last_name: text("Miller"),
            name_suffix: text(SUFFIX[suffix]),
            phones: vec![Phone { value: format!("+1415555013{phone}"), ..Phone::default() }],
            emails: vec![Email { value: format!("box{mail}@example.com"), ..Email::default() }],
            ..Fields::default()
        };
        let source_record_id = Some(id.to_string());
        InputRecord { source: "s".into(), source_record_id, source_updated_at: None, version: None, fields }
    }

    /// A tenant in which an identifier soon is a family's, and soon nobody's.
    fn shard(all: &[(usize, usize, usize, usize)], normalizer: &Arc<Normalizer>) -> Shard {
        let mut shard = Shard::new(TenantId(1), "t", Model::default_model());
        shard.settings = Arc::new(Settings { generic_max: 4, holders_max: 6, ..Settings::default() });
        let mut ids = 0_u128;
        for (at, one) in all.iter().enumerate() {
            let prepared = prepare(input(at, *one), normalizer, &[0; 32]);
            let now = Now { at: Millis(1), actor: "test" };
            let decided = decide(&shard, &prepared, false, now, &mut || {
                ids += 1;
                ids
            });
            for step in decided.steps {
                match step {
                    Step::Put(version) => shard.apply_put(version),
                    Step::Event(event) => shard.apply(event),
                }
            }
        }
        shard
    }

    proptest! {
        /// What a new record's edges are, and what it changes between others, is what taking in any change gives.
        #[test]
        fn a_new_record_is_taken_in_as_any_change_is(
            all in prop::collection::vec(said(), 0..14),
            asked in said(),
        ) {
            let normalizer = Arc::new(Normalizer::new(Rules::default()));
            let shard = shard(&all, &normalizer);
            let put = prepare_asked(input(all.len(), asked), &normalizer);
            let version = Arc::new(Version::asked(put, Seq(shard.seq.0 + 1), &shard.model));
            let slot = shard.next_slot();
            let records = [(slot, Some(Arc::clone(&version)))];
            let overlay = || Change::overlay(&shard, &records);
            let candidates = overlay().candidates(slot);
            // Everybody is compared, as who has a similar name is; that alone makes no edge.
            let everybody: Vec<u32> = (0..slot).collect();
            let scores = || overlay().scores(&version, &everybody, Millibits(i32::MIN));
            let (mut new, mut any) = (overlay(), overlay());
            let edges = new.edges_of_new(&candidates, &scores());
            new.known = Known { slot, scores: scores() };
            new.take_in_new(slot, &edges);
            any.known = Known { slot, scores: scores() };
            any.take_in_edges(&records, candidates.iter().map(|(other, _)| ordered(slot, *other)).collect());
            prop_assert_eq!(new.edges, any.edges);
        }
    }
}
