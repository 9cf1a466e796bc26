//! Records that contradict themselves, as callers see them.

use crate::engine::api::{ConflictEntry, Contradiction, Page};
use crate::engine::reader::{View, page_limit};
use crate::error::{Error, Result};
use crate::model::ids::RecordId;
use crate::resolve::conflict::put_at;
use crate::store::conflicts::Conflict;
use crate::store::stored::Stored;

impl View {
    /// The open conflicts, by record id.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn conflicts(&self, limit: usize, cursor: Option<&str>) -> Result<Page<ConflictEntry>> {
        let after: Option<RecordId> = match cursor {
            Some(text) => Some(text.parse().map_err(|_| Error::invalid("cursor", "is not one of ours; start anew"))?),
            None => None,
        };
        let shard = self.shard();
        let used = |record: &RecordId| shard.slot_of(*record).is_none_or(|slot| !shard.is_restricted_slot(slot));
        let open = shard.conflicts.iter().filter(|(record, conflict)| conflict.is_open() && used(record));
        let mut open: Vec<(RecordId, &Conflict)> = open.map(|(record, conflict)| (*record, conflict)).collect();
        open.retain(|(record, _)| after.is_none_or(|after| *record > after));
        open.sort_unstable_by_key(|(record, _)| *record);
        let limit = page_limit(limit);
        let next = open.get(limit).and_then(|_| open.get(limit - 1)).map(|(record, _)| record.to_string());
        open.truncate(limit);
        let items = open.into_iter().filter_map(|(record, conflict)| self.conflict_entry(record, conflict)).collect();
        Ok(Page { items, next, covered: None })
    }

    pub(super) fn conflict_entry(&self, record_id: RecordId, conflict: &Conflict) -> Option<ConflictEntry> {
        let shard = self.shard();
        let slot = shard.slot(shard.slot_of(record_id)?)?;
        let current = slot.current.as_ref()?;
        let said = |stored: &Stored| {
            let put = stored.put();
            Contradiction {
                seq: stored.seq,
                received_at: put.received_at,
                actor: put.actor,
                counts: put.content_hash == current.stored.content_hash,
                fields: put.record.fields,
            }
        };
        let record = current.stored.put().record;
        Some(ConflictEntry {
            record_id,
            key: record.key,
            contact: slot.entity.and_then(|id| shard.resolve_id(id)),
            found_at: conflict.found_at,
            version: record.version,
            source_updated_at: record.source_updated_at,
            versions: conflict.puts.iter().filter_map(|seq| put_at(slot, *seq)).map(said).collect(),
        })
    }
}
