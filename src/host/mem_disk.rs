//! A disk in memory that can crash, fill up and fail, for tests of everything durable.
//!
//! It remembers what was synced. [`MemDisk::crash`] gives the disk a machine could find after a power
//! cut: of the bytes written since the last sync any subset of 512-byte sectors has survived, of the
//! length either the old or the new, and of the unsynced creations, renames and removals any subset
//! in their order. [`MemDisk::fail_at`] makes the n-th operation fail. Everything depends on the seed alone.
#![expect(clippy::indexing_slicing, reason = "ranges are cut to the lengths of the buffers just before")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::disk::{Disk, DiskFile, FileLock};

/// What survives or is lost as one.
const SECTOR_BYTES: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation does nothing and says "input/output error".
    Io,
    /// The operation does nothing and says "no space left". Passes over operations that need no space.
    Full,
    /// The next write stores its first half, then says "input/output error".
    ShortWrite,
    /// The next sync says "input/output error", and the unsynced bytes count as clean from then on, as on Linux.
    FailedSync,
}

/// What an operation is, for faults.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    Name,
}

/// A disk in memory. Clones are the same disk; [`MemDisk::crash`] makes another one.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
    durable_names: BTreeMap<PathBuf, u64>,
    durable_dirs: BTreeSet<PathBuf>,
    pending: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    next_file: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    capacity: Option<u64>,
}

/// A file's bytes as readers see them and as a crash would leave them at worst.
#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: BTreeSet<usize>,
    length_unsynced: bool,
}

#[derive(Clone, Debug)]
enum NameChange {
    MakeDir(PathBuf),
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::MakeDir(path) | Self::Create(path, _) | Self::Rename(_, path, _) | Self::Remove(path) => {
                path.parent()
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>, dirs: &mut BTreeSet<PathBuf>) {
        match self {
            Self::MakeDir(path) => {
                dirs.insert(path.clone());
            }
            Self::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// Fair coins from a seed.
struct Coins {
    source: blake3::OutputReader,
}

impl Coins {
    fn new(seed: u64) -> Self {
        Self { source: blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof() }
    }

    /// Heads in `bias` of 256 cases.
    fn heads(&mut self, bias: u8) -> bool {
        let mut byte = [0u8];
        self.source.fill(&mut byte);
        byte[0] < bias
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0u8];
        self.source.fill(&mut byte);
        byte[0]
    }
}

impl MemDisk {
    /// An empty disk without a bound.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk after a power cut now: what was synced, and a random part of what was not. No lock is
    /// held on it, no fault is set, and this disk goes on unchanged.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut state = self.lock().clone();
        let mut coins = Coins::new(seed);
        // Some crashes lose nearly all, some nearly nothing, most something between.
        let bias = coins.byte();
        for content in state.files.values_mut() {
            content.crash(bias, &mut coins);
        }
        let (mut names, mut dirs) = (state.durable_names.clone(), state.durable_dirs.clone());
        for change in &state.pending {
            if coins.heads(bias) {
                change.apply(&mut names, &mut dirs);
            }
        }
        names.retain(|path, _| path.ancestors().skip(1).all(|dir| is_root(dir) || dirs.contains(dir)));
        state.durable_names.clone_from(&names);
        state.durable_dirs.clone_from(&dirs);
        (state.names, state.dirs) = (names, dirs);
        state.pending.clear();
        state.locks.clear();
        state.fault = None;
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes the operation with this number fail, counted as [`MemDisk::operations`] does; the first is 0.
    /// A fault that the operation cannot have waits for the next that can.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// How many changing operations (writes, syncs, names) there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets writes that would make all files together larger than `bytes` fail with "no space left". `None`: no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// All bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Replaces or creates a file as if it had been so, durably, all along: for flipping bytes in tests.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let file = match state.names.get(path) {
            Some(&file) => file,
            None => state.new_file(),
        };
        let content = Content {
            live: bytes.to_vec(),
            durable: bytes.to_vec(),
            unsynced: BTreeSet::new(),
            length_unsynced: false,
        };
        state.files.insert(file, content);
        state.names.insert(path.to_path_buf(), file);
        state.durable_names.insert(path.to_path_buf(), file);
        for dir in path.ancestors().skip(1) {
            state.dirs.insert(dir.to_path_buf());
            state.durable_dirs.insert(dir.to_path_buf());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: u64) -> Box<dyn DiskFile> {
        Box::new(MemFile { disk: self.clone(), file })
    }
}

impl Content {
    fn crash(&mut self, bias: u8, coins: &mut Coins) {
        let mut bytes = std::mem::take(&mut self.durable);
        if self.length_unsynced && coins.heads(bias) {
            bytes.resize(self.live.len(), 0);
        }
        for &sector in &self.unsynced {
            let start = sector * SECTOR_BYTES;
            let end = self.live.len().min(start + SECTOR_BYTES);
            if start < end && coins.heads(bias) {
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        *self = Self { live: bytes.clone(), durable: bytes, unsynced: BTreeSet::new(), length_unsynced: false };
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for &sector in &self.unsynced {
            let start = sector * SECTOR_BYTES;
            let end = self.live.len().min(start + SECTOR_BYTES);
            if start < end {
                self.durable[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        self.unsynced.clear();
        self.length_unsynced = false;
    }

    fn write(&mut self, start: usize, bytes: &[u8]) {
        let end = start + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
            self.length_unsynced = true;
        }
        self.live[start..end].copy_from_slice(bytes);
        if start < end {
            self.unsynced.extend(start / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
        }
    }

    fn set_len(&mut self, len: usize) {
        let old = self.live.len();
        self.live.resize(len, 0);
        self.length_unsynced = true;
        // The bytes between are zeros once synced, whatever was there before.
        let (from, to) = (old.min(len), old.max(len));
        self.unsynced.extend(from / SECTOR_BYTES..=to / SECTOR_BYTES);
    }
}

impl State {
    fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, Content::default());
        self.next_file
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(|content| content.live.len() as u64).sum()
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Counts an operation and says which fault, if any, it meets.
    fn begin(&mut self, kind: Kind) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        let (at, fault) = self.fault?;
        let fits = match fault {
            Fault::Io => true,
            Fault::Full => kind != Kind::Sync,
            Fault::ShortWrite => kind == Kind::Write,
            Fault::FailedSync => kind == Kind::Sync,
        };
        if number < at || !fits {
            return None;
        }
        self.fault = None;
        Some(fault)
    }

    /// As `begin`, for operations that fail as a whole.
    fn begin_whole(&mut self, kind: Kind) -> io::Result<()> {
        match self.begin(kind) {
            None => Ok(()),
            Some(Fault::Full) => Err(no_space()),
            Some(Fault::Io | Fault::ShortWrite | Fault::FailedSync) => Err(broken()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names, &mut self.dirs);
        self.pending.push(change);
    }

    fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let fault = self.begin(Kind::Write);
        let used = self.used_bytes();
        let capacity = self.capacity;
        let content = self.files.entry(file).or_default();
        let growth = end.saturating_sub(content.live.len()) as u64;
        if capacity.is_some_and(|bound| growth > 0 && used + growth > bound) {
            return Err(no_space());
        }
        match fault {
            None => {
                content.write(start, bytes);
                Ok(())
            }
            Some(Fault::ShortWrite) => {
                content.write(start, &bytes[..bytes.len() / 2]);
                Err(broken())
            }
            Some(Fault::Full) => Err(no_space()),
            Some(Fault::Io | Fault::FailedSync) => Err(broken()),
        }
    }

    fn sync(&mut self, file: u64) -> io::Result<()> {
        let fault = self.begin(Kind::Sync);
        let content = self.files.entry(file).or_default();
        match fault {
            None => {
                content.sync();
                Ok(())
            }
            Some(Fault::FailedSync) => {
                content.unsynced.clear();
                content.length_unsynced = false;
                Err(broken())
            }
            Some(Fault::Io | Fault::Full | Fault::ShortWrite) => Err(broken()),
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error (injected)")
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// The root and the empty path need nobody to create them.
fn is_root(dir: &Path) -> bool {
    dir.parent().is_none() || dir.as_os_str().is_empty()
}

impl Disk for MemDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let missing: Vec<PathBuf> = dir
            .ancestors()
            .filter(|path| !is_root(path) && !state.dirs.contains(*path))
            .map(Path::to_path_buf)
            .collect();
        for path in missing.into_iter().rev() {
            state.begin_whole(Kind::Name)?;
            state.change(NameChange::MakeDir(path));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !is_root(dir) && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.lock().find(path)?;
        Ok(self.handle(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        let dir = path.parent().unwrap_or(Path::new(""));
        if !is_root(dir) && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.begin_whole(Kind::Name)?;
        let file = state.new_file();
        state.change(NameChange::Create(path.to_path_buf(), file));
        drop(state);
        Ok(self.handle(file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().names.contains_key(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_whole(Kind::Sync)?;
        let changes = std::mem::take(&mut state.pending);
        let (mut names, mut dirs) = (state.durable_names.clone(), state.durable_dirs.clone());
        for change in changes {
            if change.dir() == Some(dir) {
                change.apply(&mut names, &mut dirs);
            } else {
                state.pending.push(change);
            }
        }
        (state.durable_names, state.durable_dirs) = (names, dirs);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let file = state.find(from)?;
        state.begin_whole(Kind::Name)?;
        state.change(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let file = state.find(path)?;
        state.begin_whole(Kind::Name)?;
        state.change(NameChange::Remove(path.to_path_buf()));
        // The space is free again, but a crash that loses the removal still finds what was durable.
        if let Some(content) = state.files.get_mut(&file) {
            content.live = Vec::new();
            content.unsynced.clear();
            content.length_unsynced = false;
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.map_or(u64::MAX, |bound| bound.saturating_sub(state.used_bytes())))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        if !self.exists(path)? {
            self.create_new(path)?;
        }
        if !self.lock().locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(FileLock::new(HeldLock { disk: self.clone(), path: path.to_path_buf() })))
    }

    fn works_ahead(&self) -> bool {
        false
    }
}

/// Lets go of the lock when dropped.
struct HeldLock {
    disk: MemDisk,
    path: PathBuf,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

/// An open file of a [`MemDisk`]; it follows renames, as open files do.
struct MemFile {
    disk: MemDisk,
    file: u64,
}

impl DiskFile for MemFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.disk.lock();
        let live = state.files.get(&self.file).map_or(&[][..], |content| &content.live);
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(live.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().write(self.file, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut state = self.disk.lock();
        state.begin_whole(Kind::Write)?;
        state.files.entry(self.file).or_default().set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().sync(self.file)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files.get(&self.file).map_or(0, |content| content.live.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(disk: &MemDisk) -> Box<dyn DiskFile> {
        let dir = Path::new("/d");
        disk.create_dir_all(dir).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let file = disk.create_new(Path::new("/d/f")).unwrap();
        file.write_all_at(0, &[1; 2048]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir).unwrap();
        file
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_sectors_of_the_rest() {
        let disk = MemDisk::new();
        let file = written(&disk);
        file.write_all_at(100, &[2; 1500]).unwrap();
        let mut mixed = 0;
        for seed in 0..200 {
            let bytes = disk.crash(seed).read(Path::new("/d/f")).unwrap();
            assert_eq!((bytes.len(), &bytes[..100], &bytes[1600..]), (2048, &[1; 100][..], &[1; 448][..]));
            for sector in bytes[100..1600].chunk_by(|a, b| a == b) {
                assert!(sector[0] == 1 || sector[0] == 2);
            }
            mixed += usize::from(bytes[100..1600].contains(&1) && bytes[100..1600].contains(&2));
        }
        assert!(mixed > 20, "torn writes happen: {mixed}");
        assert_eq!(disk.crash(3).read(Path::new("/d/f")).unwrap(), disk.crash(3).read(Path::new("/d/f")).unwrap());
    }

    #[test]
    fn a_name_is_lost_without_sync_dir_and_kept_with_it() {
        let disk = MemDisk::new();
        written(&disk);
        disk.rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
        let survived =
            |disk: &MemDisk| (0..100).filter(|seed| disk.crash(*seed).exists(Path::new("/d/g")).unwrap()).count();
        assert!((10..90).contains(&survived(&disk)));
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(survived(&disk), 100);
    }

    #[test]
    fn a_file_goes_with_any_directory_above_it() {
        let (path, dir) = (Path::new("/a/b/f"), Path::new("/a/b"));
        let survived = |durable: bool| {
            let disk = MemDisk::new();
            if durable { disk.create_dir_durable(dir) } else { disk.create_dir_all(dir) }.unwrap();
            disk.create_new(path).unwrap().sync_data().unwrap();
            disk.sync_dir(dir).unwrap();
            disk.sync_dir(Path::new("/a")).unwrap();
            (0..100).filter(|seed| disk.crash(*seed).exists(path).unwrap()).count()
        };
        assert!((10..90).contains(&survived(false)), "the name /a was never synced");
        assert_eq!(survived(true), 100);
    }

    #[test]
    fn faults_hit_the_operation_they_were_set_for() {
        let disk = MemDisk::new();
        let file = written(&disk);
        disk.fail_at(disk.operations(), Fault::ShortWrite);
        assert!(file.write_all_at(0, &[9; 1000]).is_err());
        assert_eq!(disk.read(Path::new("/d/f")).unwrap()[499..501], [9, 1]);
        disk.fail_at(disk.operations() + 1, Fault::FailedSync);
        file.write_all_at(0, &[7; 1000]).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert!(
            (0..50).all(|seed| disk.crash(seed).read(Path::new("/d/f")).unwrap()[0] != 7),
            "a retried sync proves nothing"
        );
        disk.set_capacity(Some(disk.used_bytes()));
        file.write_all_at(0, &[1; 2048]).unwrap();
        assert_eq!(file.write_all_at(1, &[1; 2048]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
