//! When a source says two things about one record under one version and time: which one counts meanwhile, and picking one.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::event::{ConflictFound, ConflictSettled, Event, RecordPut};
use crate::model::ids::{EntityId, RecordId, Seq};
use crate::model::issue::Issue;
use crate::resolve::change::{Edits, NewId, resolve};
use crate::resolve::prepare::Prepared;
use crate::resolve::remark::{CONFLICT, CONFLICT_SETTLED, remark};
use crate::resolve::upsert::{Now, Step, by_clock, push_resolved};
use crate::store::shard::{Shard, Slot, Version};
use crate::store::stored::Stored;

/// What a record contradicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// This very content came before under this version.
    Known {
        /// Nobody has picked yet.
        open: bool,
    },
    /// Something else did.
    New {
        /// What came counts from now on.
        wins: bool,
        /// The puts that it contradicts, oldest first.
        puts: Vec<Seq>,
    },
}

/// Whether a record contradicts what is stored: equal in version and time, other content. The greater content hash counts
/// until somebody picks, and what somebody picked stays.
pub fn clash(shard: &Shard, record: RecordId, prepared: &Prepared, latest: &Version) -> Option<Clash> {
    let equal = by_clock(&prepared.record, &latest.stored.put().record) == Some(Ordering::Equal);
    if !equal || prepared.content_hash == latest.stored.content_hash {
        return None;
    }
    let wins = prepared.content_hash > latest.stored.content_hash;
    let Some(known) = shard.conflicts.get(&record) else {
        return Some(Clash::New { wins, puts: vec![latest.stored.seq] });
    };
    let slot = shard.slot_of(record).and_then(|slot| shard.slot(slot))?;
    let said = |seq: &Seq| put_at(slot, *seq).is_some_and(|put| put.content_hash == prepared.content_hash);
    if known.puts.iter().any(said) {
        return Some(Clash::Known { open: known.is_open() });
    }
    Some(Clash::New { wins: wins && known.is_open(), puts: known.puts.clone() })
}

/// The remark that goes with a conflict.
pub fn issue(open: bool) -> Issue {
    remark(if open { CONFLICT } else { CONFLICT_SETTLED }, "version")
}

/// The event that records a clash of the put that comes next.
pub fn found(shard: &Shard, record_id: RecordId, mut puts: Vec<Seq>, now: Now<'_>) -> Step {
    puts.push(Seq(shard.seq.0 + 1));
    Step::Event(Event::ConflictFound(ConflictFound { record_id, puts, at: now.at, actor: now.actor.to_owned() }))
}

/// The event that ends a conflict because a newer version came; `None`: there is none.
pub fn superseded(shard: &Shard, record_id: RecordId, now: Now<'_>) -> Option<Step> {
    shard.conflicts.get(&record_id)?;
    Some(settled(record_id, None, now))
}

fn settled(record_id: RecordId, put: Option<Seq>, now: Now<'_>) -> Step {
    Step::Event(Event::ConflictSettled(ConflictSettled { record_id, put, at: now.at, actor: now.actor.to_owned() }))
}

/// The version that an event put, if this slot has it.
pub fn put_at(slot: &Slot, seq: Seq) -> Option<&Stored> {
    slot.past.iter().find(|past| past.seq == seq)?.put.as_deref()
}

/// Picks one of the contradicting puts. Returns the steps and the contacts that change.
///
/// # Errors
/// `NotFound` when there is no open conflict, `Invalid` when `keep` is none of its puts.
pub fn settle(
    shard: &Shard,
    record: RecordId,
    keep: Seq,
    now: Now<'_>,
    new_id: &mut NewId<'_>,
) -> Result<(Vec<Step>, Vec<EntityId>)> {
    let unknown = || Error::NotFound { code: "conflict_unknown", what: "open conflict of this record".into() };
    let conflict = shard.conflicts.get(&record).filter(|conflict| conflict.is_open()).ok_or_else(unknown)?;
    let at = shard.slot_of(record).ok_or_else(unknown)?;
    let slot = shard.slot(at).ok_or_else(unknown)?;
    let Some(picked) = put_at(slot, keep).filter(|_| conflict.puts.contains(&keep)) else {
        let reason = "is none of the conflict's versions; send the seq of one that GET conflicts lists";
        return Err(Error::invalid("keep", reason));
    };
    let over = settled(record, Some(keep), now);
    if slot.current.as_ref().is_some_and(|current| current.stored.content_hash == picked.content_hash) {
        return Ok((vec![over], slot.entity.into_iter().collect()));
    }
    let put = RecordPut { received_at: now.at, actor: now.actor.to_owned(), stale: false, ..picked.put() };
    let version = Arc::new(Version::new(&put, Seq(shard.seq.0 + 1), &shard.model));
    let edits = Edits { records: vec![(at, Some(Arc::clone(&version)))], ..Edits::default() };
    let resolution = resolve(shard, &edits, new_id);
    let mut contacts: Vec<EntityId> = resolution.resolved.groups.iter().map(|group| group.entity).collect();
    contacts.extend(slot.entity);
    contacts.sort_unstable();
    contacts.dedup();
    let mut steps = vec![Step::Put(version), over];
    push_resolved(&mut steps, resolution, now);
    Ok((steps, contacts))
}
