//! The file system of the machine, through the standard library. `sync_data` is fdatasync.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::host::disk::{Disk, DiskFile, FileLock};

/// Files hold personal data: nobody but the owner reads them.
const OWNER_ONLY: u32 = 0o600;

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[expect(clippy::disallowed_methods, reason = "host is the one place that touches the file system")]
impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A relative path of one name has the empty path as its parent.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Unlike the plain way it does not write zeros first where the bytes will be.
        std::fs::read(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// An open file of the machine.
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_created_once_written_anywhere_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk;
        let (path, other) = (dir.path().join("b"), dir.path().join("a"));
        let file = disk.create_new(&path).unwrap();
        assert_eq!(disk.create_new(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        file.write_all_at(4, b"tail").unwrap();
        file.write_all_at(0, b"head").unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        assert_eq!(disk.read(&path).unwrap(), b"headtail");
        disk.rename(&path, &other).unwrap();
        disk.create_dir_all(&dir.path().join("sub")).unwrap();
        assert_eq!(disk.list(dir.path()).unwrap(), ["a"]);
        disk.remove(&other).unwrap();
        assert!(!disk.exists(&other).unwrap());
        assert!((1..1 << 60).contains(&disk.free_bytes(dir.path()).unwrap()));
        assert!(disk.free_bytes(&other).is_err());
    }

    #[test]
    fn a_lock_is_held_by_one_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealDisk.try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.try_lock(&path).unwrap().is_some());
    }
}
