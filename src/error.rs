//! The one error type. A variant says what the caller should do next.
//!
//! Bad input *data* is not an error: normalising returns the value and its issues. `http/problem.rs`
//! turns each variant into problem+json and matches without `_`, so a new one cannot be forgotten.

use std::path::PathBuf;

use crate::model::ids::EntityId;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, named by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The same request cannot succeed: change the named field. (400)
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, parameter, column or file.
        field: String,
        /// What is wrong, the limit, and the remedy.
        reason: String,
    },
    /// The body is larger than a bound: send less. (413)
    #[error("{what} is larger than {limit} bytes; send less at once")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The bound in bytes.
        limit: u64,
    },
    /// No key, or an unknown one. (401)
    #[error("no valid API key: send Authorization: Bearer <key>")]
    Unauthenticated,
    /// The caller may not do this. (403)
    #[error("not allowed: {0}")]
    Denied(String),
    /// No such thing. (404)
    #[error("{what} not found")]
    NotFound {
        /// A stable word: `tenant_unknown`, `contact_unknown`...
        code: &'static str,
        /// What was looked for, without personal data.
        what: String,
    },
    /// It was merged away: follow the redirect. (307)
    #[error("merged into {survivor}")]
    Moved {
        /// The contact it lives on in.
        survivor: EntityId,
    },
    /// It was erased for good. (410)
    #[error("erased")]
    Gone,
    /// Somebody or something else stands against it. (409)
    #[error("{reason}")]
    Conflict {
        /// A stable word: `identifier_taken`, `undo_window_over`...
        code: &'static str,
        /// Why, and the remedy.
        reason: String,
        /// Who owns it, if an entity does.
        holder: Option<EntityId>,
    },
    /// A bound was reached: come back later. (429)
    #[error("busy; retry in {retry_after_ms} ms")]
    Busy {
        /// Milliseconds after which a retry makes sense.
        retry_after_ms: u64,
    },
    /// A quota of look-ups is used up: come back later. (429)
    #[error("the quota of new identifiers is used up; retry in {retry_after_s} s")]
    Quota {
        /// Seconds after which as many fit, if nothing else is asked meanwhile.
        retry_after_s: u64,
    },
    /// A disk or memory limit: writes stop, reads go on. (507)
    #[error("{what} is full: free some, then retry")]
    Full {
        /// What is full.
        what: String,
    },
    /// The machine failed, not the caller. (503)
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file on disk is not what was written: an operator must look.
    #[error("{} at byte {offset_bytes}: {reason}. Nothing was changed; run `selfsame journal check`", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset_bytes: u64,
        /// What is wrong.
        reason: String,
    },
    /// A failed append or sync: nothing more is acknowledged until a restart has replayed the disk. (503)
    #[error("the journal failed earlier and takes no more writes; restart to recover what is on disk")]
    Poisoned,
}

impl Error {
    /// An `Invalid` in one line.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// An `Io` in one line.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}
