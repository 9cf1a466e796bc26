//! Backups of the data directory of a running engine.
//!
//! The commit thread names the segments and their durable bytes between two groups; the copying happens on the caller's
//! thread, so writers go on. What is copied is in [`crate::journal`]'s `backup.rs`.

use std::path::{Path, PathBuf};

use crossbeam_channel::bounded;

use crate::engine::commit::Job;
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::journal::{self, BackupJob};

pub use crate::journal::{BackupEntry, BackupReport};

/// A path from the root on, without touching the disk.
///
/// # Errors
/// `Invalid` for an empty one.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::invalid("dir", format!("cannot be made absolute: {error}")))
}

impl Engine {
    /// Copies everything that is durable now into a folder, or what is new since the backup that is in it. Writers go on.
    ///
    /// # Errors
    /// `Invalid` for a folder that is relative, within the data directory, or not a backup of this one; `Corrupt` when
    /// a segment is not what was written; `Full` or `Io` from the disk; `Poisoned` after a failed sync.
    pub fn backup(&self, dir: &Path) -> Result<BackupReport> {
        let jobs = self.jobs()?;
        let _files = lock(&self.core.files);
        let (reply, answer) = bounded(1);
        jobs.send(Job::Segments(reply)).map_err(|_| Error::Poisoned)?;
        let segments = answer.recv().map_err(|_| Error::Poisoned)?;
        let world = self.world();
        let started = world.clock.monotonic();
        let report = journal::backup(&BackupJob {
            disk: &*world.disk,
            random: &*world.random,
            data_dir: &absolute(self.data_dir())?,
            to: dir,
            segments: &segments,
            now: world.clock.now(),
            key_id: Some(self.core.keys.key_id()),
        })?;
        let millis = u64::try_from((world.clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(seq = report.seq, copied_bytes = report.copied_bytes, millis, "backup written");
        Ok(report)
    }

    /// The folders that hold copies of the data, each with the time and the journal's seq of its last backup; also those of
    /// backups that broke off. Whoever erases a person names those begun before the erasure was complete.
    ///
    /// # Errors
    /// `Io` or `Corrupt` when the list cannot be read.
    pub fn backups(&self) -> Result<Vec<BackupEntry>> {
        journal::backups(&*self.world().disk, self.data_dir())
    }
}
