//! What the journal and the snapshots need from a disk, and no more.
//!
//! The trait speaks of durability as the system does: written bytes survive a crash only after
//! [`DiskFile::sync_data`], and a created, renamed or removed name only after [`Disk::sync_dir`] of
//! its directory. [`crate::host::RealDisk`] is the file system, [`crate::host::MemDisk`] the one for tests.

use std::fmt;
use std::io;
use std::path::Path;

/// A file system, as far as this crate uses one.
pub trait Disk: Send + Sync {
    /// Creates the directory and its parents; one that exists already is fine.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Creates the directory and its parents as [`Disk::create_dir_all`] does, and makes their names durable. A directory
    /// that was there before and may not be read by us is left to whoever made it.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_durable(&self, dir: &Path) -> io::Result<()> {
        let missing = |dir: &Path| matches!(self.list(dir), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let parents = dir.ancestors().take_while(|at| *at == dir || missing(at)).filter_map(Path::parent);
        let parents: Vec<&Path> = parents.collect();
        self.create_dir_all(dir)?;
        for parent in parents {
            match self.sync_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// The names of the files in `dir`, in order; directories are left out.
    ///
    /// # Errors
    /// What the system says; `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it does not exist.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it does not exist.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a file that only the owner may read.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` when the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Whether a file of this name exists.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes the names in `dir` durable.
    ///
    /// # Errors
    /// What the system says. After an error nothing is known about the names.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name; replaces a file that has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it does not exist.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a file, which is created if need be. `None` when somebody else holds it.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>>;

    /// Bytes that may still be written to the disk that `dir` is on; the largest number where that is not known.
    ///
    /// # Errors
    /// What the system says; `NotFound` when there is no such directory.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let _ = dir;
        Ok(u64::MAX)
    }

    /// Whether work may be done ahead in another thread. A simulated disk says no, so that its
    /// operations have one order.
    fn works_ahead(&self) -> bool {
        true
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it does not exist.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_read(path)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// An open file: every read and write says where.
pub trait DiskFile: Send + Sync {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; else what the system says.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file if need be.
    ///
    /// # Errors
    /// What the system says; `StorageFull` without room. A part may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or grows it by zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// What the system says. After an error the unsynced bytes may be lost, and a retry proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A held lock; dropping it lets go.
pub struct FileLock {
    _held: Box<dyn Send + Sync>,
}

impl FileLock {
    /// Wraps whatever lets go of the lock when dropped.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for FileLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileLock")
    }
}
