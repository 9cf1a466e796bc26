//! Numbered byte frames on disk, and snapshots of what they add up to.
//!
//! This module does not know what an event is: a frame is a tenant's number, a kind, a version and bytes.
//! `format.rs` has the byte layout, `segment.rs` finds groups and torn tails in one file, `writer.rs` appends,
//! `reader.rs` replays, checks and dumps, `rewrite.rs` takes out what was erased, `snapshot.rs` keeps checksummed copies
//! of the state, `lock.rs` keeps a second process away, `backup.rs` copies a data directory and `restore.rs` makes one out
//! of a copy, `retire.rs` lets segments go that snapshots stand for. `keyring.rs` holds the keys under which payloads are
//! sealed, `seal.rs` seals, and `ring_file.rs` is the keyring's file.
//!
//! Promises: an acknowledged group (its sync has returned) is found after any crash; nothing that was
//! never appended is ever read; a group is read whole or not at all; a torn tail is set aside, never
//! skipped; anything else that is wrong refuses with file and offset and changes nothing.

mod aside;
mod backup;
mod carry;
mod chance;
mod format;
mod keyring;
mod lock;
mod reader;
mod restore;
mod retire;
mod rewrite;
mod ring_file;
mod seal;
mod segment;
mod snapshot;
mod writer;

#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub use backup::{BackupEntry, BackupJob, BackupReport, RESTORING, backup, backups, segments_at_rest};
pub use carry::{CARRIED, carried, carried_over};
pub use keyring::{Keyring, Opened, key_id, ring_path};
pub use lock::DataDir;
pub use reader::{CheckReport, Corruption, Located, ReplayReport, SegmentCheck, any_sealed, check, dump};
pub use restore::{RestoreReport, Until, restore};
pub use retire::{Retired, retire};
pub use rewrite::{Rewritten, forget_set_aside, rewrite};
pub use seal::Label;
pub use snapshot::{Chunk, Part, Snapshot, SnapshotWriter, Span, Spans, StoredChunk};
pub use writer::{Journal, JournalOptions, OpenReport, SegmentInfo};

/// A frame to append.
#[derive(Clone, Copy, Debug)]
pub struct FrameIn<'a> {
    /// Whose it is; 0 is the server.
    pub tenant: u64,
    /// What it is; not 0.
    pub kind: u8,
    /// Version of its kind.
    pub version: u8,
    /// Whether it ends its command. The last frame of a group must.
    pub last_of_command: bool,
    /// The bytes; may be empty.
    pub payload: &'a [u8],
}

/// A frame as it was appended, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number in the journal: dense over all tenants, the first is 1.
    pub seq: u64,
    /// Whose it is; 0 is the server.
    pub tenant: u64,
    /// What it is.
    pub kind: u8,
    /// Version of its kind.
    pub version: u8,
    /// Bits: 1 last of its command, 2 sealed (encrypted), 4 erased (then the payload is what was left of it, or empty).
    pub flags: u16,
    /// When its group was written, ms since 1970.
    pub group_ms: i64,
    /// The bytes as they are stored: sealed, if [`Frame::is_sealed`]; [`Keyring::open_frame`] opens them.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Whether its payload is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.flags & format::SEALED != 0
    }

    /// Whether it was erased and nothing is left of its payload.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.is_erased() && self.payload.is_empty()
    }

    /// As what its payload is sealed.
    #[must_use]
    pub fn label(&self) -> Label {
        Label::Frame { tenant: self.tenant, kind: self.kind, version: self.version, seq: self.seq }
    }

    /// Whether it ends its command.
    #[must_use]
    pub fn last_of_command(&self) -> bool {
        self.flags & format::LAST_OF_COMMAND != 0
    }

    /// Whether its payload was erased for good. What is left of it, if anything, holds nothing of whom it was about.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.flags & format::ERASED != 0
    }
}

/// The folder of the segments within a data directory.
fn journal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// A failed disk operation as an error: no room is `Full`, all else `Io`.
fn disk_error(doing: String, source: io::Error) -> Error {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::Full { what: format!("the disk ({doing})") };
    }
    Error::Io { doing, source }
}

/// `disk_error` for use in `map_err`.
fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let doing = format!("{doing} {}", path.display());
    move |source| disk_error(doing, source)
}

fn corrupt(file: &Path, offset: usize, reason: impl Into<String>) -> Error {
    Error::Corrupt { file: file.to_path_buf(), offset_bytes: offset as u64, reason: reason.into() }
}
