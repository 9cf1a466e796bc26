//! Erasure and the reads that an audit must know, as facts. They hold ids and counts, never values: they stay when the person goes.

use crate::model::ids::{EntityId, EraseId, Millis, RecordId, ReviewId};

/// A person is gone for good: everything that records, history, reviews and references hold of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Its id, to ask how far the files are.
    pub erase_id: EraseId,
    /// The contact, and every id that led to it.
    pub contacts: Vec<EntityId>,
    /// Its records, withdrawn ones and edits by hand included.
    pub records: Vec<RecordId>,
    /// Reviews that are erased for their age. Those about the records go in any case.
    pub reviews: Vec<ReviewId>,
    /// When.
    pub at: Millis,
    /// Who asked for it.
    pub actor: String,
}

/// For how long things are kept; see [`crate::model::settings::Retention`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSet {
    /// Soft-deleted contacts.
    pub deleted_days: u32,
    /// Closed reviews.
    pub reviews_days: u32,
    /// Reports of imports.
    pub imports_days: u32,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// No file of the data directory holds what was erased any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureDone {
    /// Which erasure.
    pub erase_id: EraseId,
    /// Frames of the journal that lost values.
    pub frames: u64,
    /// Segments of the journal that were written anew.
    pub segments: u32,
    /// Backups that were taken while the person was there; nobody can erase in them from here.
    pub backups: Vec<String>,
    /// When.
    pub at: Millis,
}

/// A tenant is gone for good, with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantErased {
    /// Its id.
    pub erase_id: EraseId,
    /// When.
    pub at: Millis,
    /// Who asked for it.
    pub actor: String,
}

/// Somebody read contacts in a way that an audit must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accessed {
    /// What: `export`, or `read` where the configuration asks for it.
    pub what: String,
    /// The contacts read one by one; empty: all.
    pub contacts: Vec<EntityId>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// No file holds anything of an erased tenant any more. Of the server's own stream: the tenant's has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantGone {
    /// Which erasure.
    pub erase_id: EraseId,
    /// The tenant's number, which no other gets.
    pub tenant: u64,
    /// The name it had.
    pub name: String,
    /// When it was asked for.
    pub asked_at: Millis,
    /// Who asked for it.
    pub actor: String,
    /// Frames of the journal that lost values.
    pub frames: u64,
    /// Segments of the journal that were written anew.
    pub segments: u32,
    /// Backups that were taken while it was there.
    pub backups: Vec<String>,
    /// When.
    pub at: Millis,
}
