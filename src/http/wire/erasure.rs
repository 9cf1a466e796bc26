//! Erasures and the audit trail.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::audit::AuditEntry;
use crate::engine::erase::{Compacted, Erasure};
use crate::http::wire::{id_texts, time};

/// An erasure and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasureOut {
    /// Its id.
    erase_id: String,
    /// `running`: memory is clean, files may still hold something. `done`: no file of the data directory does.
    state: &'static str,
    /// The contact, and every id that led to it. Empty for a tenant.
    contact_ids: Vec<String>,
    /// When it was asked for.
    requested_at: String,
    /// By whom.
    requested_by: String,
    /// When the last file was clean; null before.
    done_at: Option<String>,
    /// Frames of the journal that lost values, of all erasures of the same pass.
    frames: u64,
    /// Segments of the journal that were written anew.
    segments: u32,
    /// Backups that were taken while the person was there, as far as this server knows: erase in them or delete them.
    backups: Vec<String>,
    /// The tenant's seq after it.
    seq: u64,
}

impl From<&Erasure> for ErasureOut {
    fn from(erasure: &Erasure) -> Self {
        let (asked, done) = (&erasure.erased, erasure.done.as_ref());
        Self {
            erase_id: asked.erase_id.to_string(),
            state: if done.is_some() { "done" } else { "running" },
            contact_ids: id_texts(&asked.contacts),
            requested_at: time(asked.at),
            requested_by: asked.actor.clone(),
            done_at: done.map(|done| time(done.at)),
            frames: done.map_or(0, |done| done.frames),
            segments: done.map_or(0, |done| done.segments),
            backups: done.map(|done| done.backups.clone()).unwrap_or_default(),
            seq: erasure.seq,
        }
    }
}

/// The erasure of a whole tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantErasureOut {
    /// Its name.
    pub(crate) tenant: String,
    /// How far it is.
    #[serde(flatten)]
    pub(crate) erasure: ErasureOut,
}

/// A tenant that exists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantAnswer {
    /// Its name.
    pub(crate) tenant: String,
    /// Its seq.
    pub(crate) seq: u64,
}

/// A tenant that was erased.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantErasedAnswer {
    /// Its name.
    pub(crate) tenant: String,
    /// For `GET /v1/admin/erasures/{id}`.
    pub(crate) erase_id: String,
    /// Its last seq.
    pub(crate) seq: u64,
}

/// What taking the erased out of the files did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompactedOut {
    /// Erasures that are done now.
    erasures: u64,
    /// Frames of the journal that lost values.
    frames: u64,
    /// Segments of the journal that were written anew.
    segments: u32,
    /// How long it took.
    millis: u64,
}

impl From<&Compacted> for CompactedOut {
    fn from(done: &Compacted) -> Self {
        let Compacted { erasures, frames, segments, millis } = *done;
        Self { erasures: erasures as u64, frames, segments, millis }
    }
}

/// One act.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditOut {
    /// Its frame in the journal, dense over all tenants.
    seq: u64,
    /// When.
    at: String,
    /// The API key's name, or what stood for it; null: the server by itself.
    actor: Option<String>,
    /// What: the kind of the event, for example `RecordPut`, `Resolved`, `Judged`, `Erased`, `Accessed`.
    what: &'static str,
    /// More about what: the kind of a read, the id of an API key.
    detail: Option<String>,
    /// Contacts or accounts.
    contact_ids: Vec<String>,
    /// Records.
    record_ids: Vec<String>,
    /// Its values were erased since.
    erased: bool,
}

impl From<&AuditEntry> for AuditOut {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: time(entry.at),
            actor: entry.actor.clone(),
            what: entry.what,
            detail: entry.detail.clone(),
            contact_ids: id_texts(&entry.contacts),
            record_ids: entry.records.iter().map(ToString::to_string).collect(),
            erased: entry.is_erased,
        }
    }
}
