//! The forgetting disk with moments that a test chooses: a crash in the middle of a command, a sync that takes long,
//! and two planted bugs that a real file layer could have.
//!
//! Everything goes through to a [`MemDisk`]. The bugs are those of a caller that forgets a sync; planted here, below
//! the engine, they exist in no build of the program.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use selfsame::host::{Disk, DiskFile, FileLock, MemDisk};

/// What a test plants to see whether it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Names are never made durable.
    NoDirectorySync,
    /// A sync returns before it has happened; it happens with the next one.
    AnswerBeforeSync,
    /// A checksum that says nothing about the length: see `worlds::damage`.
    LengthUnchecked,
}

/// A crash to be pictured in the middle of what comes.
#[derive(Clone, Copy, Debug)]
struct Shot {
    /// Syncs until then.
    syncs: u64,
    /// After the last of them, not before.
    after: bool,
    seed: u64,
}

#[derive(Default)]
struct Moments {
    bug: Option<Bug>,
    late: Option<Arc<dyn DiskFile>>,
    shot: Option<Shot>,
    image: Option<MemDisk>,
    hold: bool,
    held: bool,
}

/// A [`MemDisk`] with chosen moments. Clones are the same disk.
#[derive(Clone)]
pub struct TrickyDisk {
    inner: MemDisk,
    moments: Arc<(Mutex<Moments>, Condvar)>,
}

impl TrickyDisk {
    pub fn new(inner: &MemDisk, bug: Option<Bug>) -> Self {
        let moments = Moments { bug, ..Moments::default() };
        Self { inner: inner.clone(), moments: Arc::new((Mutex::new(moments), Condvar::new())) }
    }

    /// Pictures a crash around the sync after `syncs` further ones.
    pub fn shoot(&self, syncs: u64, after: bool, seed: u64) {
        self.lock().shot = Some(Shot { syncs, after, seed });
    }

    /// The picture, if the moment came. Nothing is pictured from here on.
    pub fn image(&self) -> Option<MemDisk> {
        let mut moments = self.lock();
        moments.shot = None;
        moments.image.take()
    }

    /// The next sync of a file does not return until [`TrickyDisk::release`].
    pub fn hold(&self) {
        self.lock().hold = true;
    }

    /// Waits until a sync is held or `gave_up` says that none will come.
    pub fn wait_until_held(&self, mut gave_up: impl FnMut() -> bool) -> bool {
        let (mutex, changed) = &*self.moments;
        let mut moments = mutex.lock().unwrap();
        while !moments.held {
            if gave_up() {
                return false;
            }
            moments = changed.wait_timeout(moments, Duration::from_millis(1)).unwrap().0;
        }
        true
    }

    /// Lets a held sync go on.
    pub fn release(&self) {
        let mut moments = self.lock();
        (moments.hold, moments.held) = (false, false);
        self.moments.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.moments.0.lock().unwrap()
    }

    fn bug(&self) -> Option<Bug> {
        self.lock().bug
    }

    /// Pictures the crash when it is time: `after` says on which side of the sync this is.
    fn picture(&self, after: bool) {
        let mut moments = self.lock();
        let Some(shot) = &mut moments.shot else { return };
        if shot.syncs == 0 && shot.after == after {
            let seed = shot.seed;
            moments.shot = None;
            moments.image = Some(self.inner.crash(seed));
        } else if after {
            shot.syncs = shot.syncs.saturating_sub(1);
        }
    }

    fn pause(&self) {
        let (mutex, changed) = &*self.moments;
        let mut moments = mutex.lock().unwrap();
        if moments.hold {
            moments.held = true;
            changed.notify_all();
            while moments.held {
                moments = changed.wait(moments).unwrap();
            }
        }
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(TrickyFile { disk: self.clone(), file: Arc::from(file) })
    }

    fn sync(&self, file: &Arc<dyn DiskFile>) -> io::Result<()> {
        self.pause();
        self.picture(false);
        let now = if self.bug() == Some(Bug::AnswerBeforeSync) {
            self.lock().late.replace(Arc::clone(file))
        } else {
            Some(Arc::clone(file))
        };
        now.map_or(Ok(()), |file| file.sync_data())?;
        self.picture(true);
        Ok(())
    }
}

impl Disk for TrickyDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.inner.open_read(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.inner.open(path).map(|file| self.wrap(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.inner.create_new(path).map(|file| self.wrap(file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.picture(false);
        if self.bug() != Some(Bug::NoDirectorySync) {
            self.inner.sync_dir(dir)?;
        }
        self.picture(true);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        self.inner.try_lock(path)
    }

    fn works_ahead(&self) -> bool {
        false
    }
}

struct TrickyFile {
    disk: TrickyDisk,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for TrickyFile {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, bytes)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
