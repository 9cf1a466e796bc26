//! Conflicts, groups, erasures, retention and remarks as snapshot chunks, and back. FROZEN types, as all of `state`.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use crate::model::event::v1::{ErasedV1, ErasureDoneV1, RemarksKeptV1};
use crate::model::event::{AnswerKept, RemarksKept};
use crate::model::ids::{Millis, RecordId, Seq};
use crate::model::settings::Retention;
use crate::store::conflicts::{Conflict, Settled};
use crate::store::erase::Erasure;
use crate::store::groups::{Group, GroupMoment};
use crate::store::shard::Shard;

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ConflictV1 {
    pub record_id: u128,
    pub puts: Vec<u64>,
    pub found_at: i64,
    pub settled: Option<(u64, i64, String)>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct GroupMomentV1 {
    pub seq: u64,
    pub at: i64,
    pub actor: String,
    pub deleted: bool,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct GroupV1 {
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub created_at: i64,
    pub moments: Vec<GroupMomentV1>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ErasureV1 {
    pub erased: ErasedV1,
    pub seq: u64,
    pub done: Option<ErasureDoneV1>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RetentionV1 {
    pub deleted_days: u32,
    pub reviews_days: u32,
    pub imports_days: u32,
}

pub(super) fn retention_out(kept: Retention) -> RetentionV1 {
    let Retention { deleted_days, reviews_days, imports_days } = kept;
    RetentionV1 { deleted_days, reviews_days, imports_days }
}

pub(super) fn retention_in(stored: &RetentionV1) -> Retention {
    let RetentionV1 { deleted_days, reviews_days, imports_days } = *stored;
    Retention { deleted_days, reviews_days, imports_days }
}

pub(super) fn erasure_out(erasure: &Arc<Erasure>) -> ErasureV1 {
    let Erasure { erased, seq, done } = (**erasure).clone();
    ErasureV1 { erased: erased.into(), seq, done: done.map(Into::into) }
}

pub(super) fn erasure_in(stored: ErasureV1) -> Erasure {
    Erasure { erased: stored.erased.into(), seq: stored.seq, done: stored.done.map(Into::into) }
}

pub(super) fn conflict_out((record, conflict): (&RecordId, &Conflict)) -> ConflictV1 {
    let settled = conflict.settled.as_ref().map(|one| (one.put.0, one.at.0, one.actor.clone()));
    let puts = conflict.puts.iter().map(|seq| seq.0).collect();
    ConflictV1 { record_id: record.0, puts, found_at: conflict.found_at.0, settled }
}

pub(super) fn group_out((slug, group): (&String, &Group)) -> GroupV1 {
    let moment = |one: &GroupMoment| GroupMomentV1 {
        seq: one.seq.0,
        at: one.at.0,
        actor: one.actor.clone(),
        deleted: one.deleted,
    };
    GroupV1 {
        slug: slug.clone(),
        name: group.name.clone(),
        description: group.description.clone(),
        created_at: group.created_at.0,
        moments: group.moments.iter().map(moment).collect(),
    }
}

/// The remarks of a kept answer, if it has any.
pub(super) fn remarks_out(kept: &Arc<AnswerKept>) -> Option<RemarksKeptV1> {
    let has = !kept.remarks.is_empty();
    has.then(|| RemarksKept { key: kept.key.clone(), remarks: kept.remarks.clone() }.into())
}

impl Shard {
    pub(super) fn restore_conflict(&mut self, stored: ConflictV1) {
        let settled = stored.settled.map(|(put, at, actor)| Settled { put: Seq(put), at: Millis(at), actor });
        let puts = stored.puts.into_iter().map(Seq).collect();
        let conflict = Conflict { puts, found_at: Millis(stored.found_at), settled };
        self.conflicts.insert(RecordId(stored.record_id), conflict);
    }

    pub(super) fn restore_group(&mut self, stored: GroupV1) {
        let moment = |one: GroupMomentV1| GroupMoment {
            seq: Seq(one.seq),
            at: Millis(one.at),
            actor: one.actor,
            deleted: one.deleted,
        };
        let group = Group {
            name: stored.name,
            description: stored.description,
            created_at: Millis(stored.created_at),
            moments: stored.moments.into_iter().map(moment).collect(),
        };
        self.groups.restore(stored.slug, group);
    }

    pub(super) fn restore_remarks(&mut self, stored: RemarksKeptV1) {
        let RemarksKept { key, remarks } = stored.into();
        if let Some(kept) = self.kept.get_mut(key.as_str()) {
            Arc::make_mut(kept).remarks = remarks;
        }
    }
}
