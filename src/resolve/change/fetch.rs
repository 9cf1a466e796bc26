//! Many records looked up at once: a step of each after the other, so that the waiting for memory overlaps.
//!
//! A slot, its version and what the version says lie in three places, and each tells where the next one is. One record after
//! the other that is waited for three times each; by steps, in loops so short that the machine is some records ahead, hardly
//! ever.

use super::Change;
use crate::matching::features::Features;
use crate::store::shard::{Shard, Slot, Version};

/// The versions of slots that count as evidence ([`Shard::evidence`]), with their slots, in their order; without those that
/// have none.
pub fn evidence_of(shard: &Shard, slots: impl Iterator<Item = u32>) -> Vec<(u32, &Version)> {
    let places: Vec<(u32, &Slot)> = slots.filter_map(|slot| Some((slot, shard.slot(slot)?))).collect();
    let versions = places.into_iter().filter_map(|(slot, at)| Some((slot, at.current.as_deref()?)));
    let versions: Vec<(u32, &Version)> = versions.collect();
    versions.into_iter().filter(|(_, version)| version.is_evidence()).collect()
}

impl Change<'_> {
    /// What is compared of slots, after the change, in their order; without those that have no evidence.
    pub(super) fn features_of(&self, slots: &[u32]) -> Vec<(u32, &Features)> {
        let found: Vec<(u32, &Features)> = if slots.iter().any(|slot| self.next.contains_key(slot)) {
            slots.iter().filter_map(|slot| Some((*slot, &self.evidence(*slot)?.features))).collect()
        } else {
            let versions = evidence_of(self.shard, slots.iter().copied());
            versions.into_iter().map(|(slot, version)| (slot, &version.features)).collect()
        };
        std::hint::black_box(found.iter().fold(0, |all, (_, features)| all ^ features.first()));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::matching::model::Model;
    use crate::model::event::RecordPut;
    use crate::model::ids::{EntityId, Millis, RecordId, RecordKey, Seq, TenantId};
    use crate::model::normalized::Normalized;
    use crate::model::record::{Fields, Record};

    /// A version of a record that is told apart by its given name.
    fn version(number: u32, manual: bool, model: &Model) -> Arc<Version> {
        let mut normalized = Normalized::default();
        normalized.name.first_tokens = vec![format!("given{number}")];
        let key = RecordKey { source: "s".into(), source_record_id: number.to_string().into() };
        let put = RecordPut {
            record_id: RecordId(u128::from(number) + 1),
            record: Record { key, source_updated_at: None, version: None, fields: Fields::default() },
            normalized,
            content_hash: 0,
            received_at: Millis(0),
            actor: String::new(),
            stale: false,
            anchor: manual.then_some(EntityId(7)),
            suppressed: Vec::new(),
        };
        Arc::new(Version::new(&put, Seq(1), model))
    }

    /// A slot for each of these: 0 withdrawn, 1 an edit by hand, else a record.
    fn shard(kinds: &[u8]) -> Shard {
        let model = Model::default_model();
        let mut shard = Shard::new(TenantId(1), "t", Arc::clone(&model));
        for (number, kind) in (0..).zip(kinds) {
            let current = (*kind > 0).then(|| version(number, *kind == 1, &model));
            let (record_id, past) = (RecordId(u128::from(number) + 1), Arc::default());
            shard.slots.push(Slot { record_id, current, past, entity: None, native: None, once: None });
        }
        shard
    }

    proptest! {
        /// Looked up at once is what looking up one by one gives, with and without a change laid over.
        #[test]
        fn many_at_once_are_each(
            kinds in prop::collection::vec(0_u8..6, 0..120),
            asked in prop::collection::vec(0_u32..130, 0..200),
            edits in prop::collection::btree_map(0_u32..140, 0_u8..3, 0..3),
        ) {
            let shard = shard(&kinds);
            let found = evidence_of(&shard, asked.iter().copied());
            let plain = asked.iter().filter_map(|slot| Some((*slot, &**shard.evidence(*slot)?)));
            let same = |a: (u32, &Version), b: (u32, &Version)| a.0 == b.0 && std::ptr::eq(a.1, b.1);
            prop_assert_eq!(found.len(), plain.clone().count());
            prop_assert!(found.into_iter().zip(plain).all(|(a, b)| same(a, b)));
            let edit = |(slot, kind): (u32, u8)| (slot, (kind > 0).then(|| version(slot, kind == 1, &shard.model)));
            let edits: Vec<_> = edits.into_iter().map(edit).collect();
            let change = Change::new(&shard, &shard.judgements, &edits);
            let found = change.features_of(&asked);
            let plain = asked.iter().filter_map(|slot| Some((*slot, &change.evidence(*slot)?.features)));
            prop_assert_eq!(found.len(), plain.clone().count());
            prop_assert!(found.into_iter().zip(plain).all(|(a, b)| a.0 == b.0 && std::ptr::eq(a.1, b.1)));
        }
    }
}
