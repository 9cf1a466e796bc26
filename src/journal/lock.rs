//! One process for one data directory: an exclusive lock of the file `LOCK` in it.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::{Disk, FileLock};
use crate::journal::disk_error;

/// A data directory that no other process may open while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: FileLock,
}

impl DataDir {
    /// Creates the directory if need be and locks it.
    ///
    /// # Errors
    /// `Conflict` `data_dir_locked` when another process holds it; `Io` when it cannot be created or written.
    pub fn lock(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let unusable = |source: io::Error| {
            let doing = format!(
                "opening the data directory {}: make it writable for this user or name another directory",
                dir.display()
            );
            disk_error(doing, source)
        };
        let is_new = matches!(disk.list(dir), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if is_new {
            disk.create_dir_all(dir).map_err(unusable)?;
            if let Some(parent) = dir.parent() {
                disk.sync_dir(parent).map_err(unusable)?;
            }
        }
        let Some(lock) = disk.try_lock(&dir.join("LOCK")).map_err(unusable)? else {
            return Err(Error::Conflict {
                code: "data_dir_locked",
                reason: format!(
                    "{} is in use by another selfsame process; stop that one or name another directory",
                    dir.display()
                ),
                holder: None,
            });
        };
        Ok(Self { path: dir.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Fault, MemDisk, RealDisk};

    #[test]
    fn the_second_process_is_told_who_stands_against_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/data");
        let held = DataDir::lock(&RealDisk, &path).unwrap();
        let refused = DataDir::lock(&RealDisk, &path).unwrap_err();
        assert!(matches!(refused, Error::Conflict { code: "data_dir_locked", .. }), "{refused}");
        drop(held);
        assert_eq!(DataDir::lock(&RealDisk, &path).unwrap().path(), path);
    }

    #[test]
    fn an_unwritable_directory_is_named_with_a_remedy() {
        let disk = MemDisk::new();
        disk.fail_at(0, Fault::Io);
        let text = DataDir::lock(&disk, Path::new("/data")).unwrap_err().to_string();
        assert!(text.contains("/data") && text.contains("make it writable"), "{text}");
    }
}
