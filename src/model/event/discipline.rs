//! Facts around upserts: versions of one record that contradict each other, remarks for a repeated request, groups.

use crate::model::ids::{Millis, RecordId, Seq};

/// Versions of one record are equal in version and time and say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictFound {
    /// The record.
    pub record_id: RecordId,
    /// All puts that contradict each other, oldest first; the last is the one that was just applied.
    pub puts: Vec<Seq>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Such a conflict is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictSettled {
    /// The record.
    pub record_id: RecordId,
    /// The put that a person picked: the others are not asked about again. Missing: a newer version made it moot.
    pub put: Option<Seq>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// What the answer before it said beside the remarks of normalising, for a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemarksKept {
    /// The caller's key.
    pub key: String,
    /// The remarks.
    pub remarks: Vec<Remark>,
}

/// One remark of a kept answer; its sentence follows from the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which of the answer's outcomes, from 0.
    pub at: u32,
    /// The field.
    pub field: String,
    /// The stable word.
    pub code: String,
}

/// A group has a name from now on, and exists if no record names it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPut {
    /// Its slug; unique in a tenant.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// A group is gone: no contact shows it until it is put again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDeleted {
    /// Its slug.
    pub slug: String,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}
