//! Copies of a data directory that outlive it: made while it is written to, checked, and turned back.
//!
//! A backup is a folder with `manifest.json` and the files it names. Each stored file has the start of its
//! content's hash in its name, so a second backup into the same folder writes only what is new, and the manifest
//! before stays whole until the new one takes its place by a rename; what no manifest names is removed after that.
//! Segments are copied up to their last whole group (of the one being written: up to the seq that was durable
//! when the backup began), with the snapshots not newer than that, and the keyring, in which the tenants' keys are wrapped.
//! The master key and import reports are never part of one.
//!
//! `backups.json` in the data directory names the folders that hold copies of it, also those of backups that broke
//! off, so that whoever erases a person knows where else that person is. Restoring is in `restore.rs`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{Disk, Random};
use crate::journal::format::FOOTER_BYTES;
use crate::journal::keyring::ring_path;
use crate::journal::reader::verify_bytes;
use crate::journal::segment::{End, SegmentFile, list_segments, read_header};
use crate::journal::snapshot::seq_of;
use crate::journal::{SegmentInfo, corrupt, failed};
use crate::model::ids::Millis;

/// The file that says what a backup holds.
pub(super) const MANIFEST: &str = "manifest.json";
/// The newest manifest this binary reads, and the one it writes.
pub(super) const MANIFEST_VERSION: u32 = 1;
/// In the data directory: where its backups are.
const LIST: &str = "backups.json";
/// Files are copied and hashed in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// Hex digits of the content's hash in a stored file's name.
const NAME_DIGITS: usize = 16;
/// Folders of a backup, as of a data directory. Files beside them are stored under `other`.
pub(super) const FOLDERS: [&str; 4] = ["journal", "snapshots", KEYS, OTHER];
/// Those of them that a data directory has.
pub(super) const DATA_FOLDERS: [&str; 3] = ["journal", "snapshots", KEYS];
const KEYS: &str = "keys";
const OTHER: &str = "other";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this text; 1.
    pub version: u32,
    /// Random name of the data directory it is of.
    pub source: String,
    /// When it was begun, ms since 1970.
    pub at_ms: i64,
    /// Seq of the last frame it holds; 0 when there is none.
    pub last_seq: u64,
    /// Tells the key file that belongs to it from others; says nothing about the key. Missing: not known.
    pub key_id: Option<String>,
    /// Its files.
    pub files: Vec<Entry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it belongs in a data directory.
    pub path: String,
    /// Where it is in the backup.
    pub stored: String,
    /// Its length.
    pub bytes: u64,
    /// Hash of its content, as hex.
    pub blake3: String,
}

/// Where a copy of the data directory is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// When it was begun, ms since 1970.
    pub at_ms: i64,
    /// Seq of the last frame it holds: of the journal, over all tenants.
    pub seq: u64,
    /// False: it broke off, but may hold part of the data.
    pub complete: bool,
}

/// What a backup took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Seq of the last frame it holds.
    pub seq: u64,
    /// When it was begun, ms since 1970.
    pub at_ms: i64,
    /// Files it holds.
    pub files: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// Files that were not there before.
    pub copied_files: u64,
    /// Bytes that were not there before.
    pub copied_bytes: u64,
}

/// What shall be copied, and where to.
pub struct BackupJob<'a> {
    /// The disk of both.
    pub disk: &'a dyn Disk,
    /// For the data directory's name.
    pub random: &'a dyn Random,
    /// The data directory, absolute.
    pub data_dir: &'a Path,
    /// The folder for the backup, absolute.
    pub to: &'a Path,
    /// The segments as of one moment, each with the bytes that count then.
    pub segments: &'a [SegmentInfo],
    /// That moment.
    pub now: Millis,
    /// Names the key.
    pub key_id: Option<String>,
}

/// What `backups.json` says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    id: String,
    backups: Vec<BackupEntry>,
}

/// The folders that hold copies of a data directory, the newest last.
///
/// # Errors
/// `Io` when the list cannot be read, `Corrupt` when it is not what was written.
pub fn backups(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<BackupEntry>> {
    Ok(read_list(disk, data_dir)?.unwrap_or_default().backups)
}

/// The segments of a data directory that nobody has open.
///
/// # Errors
/// `Io` from the disk.
pub fn segments_at_rest(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<SegmentInfo>> {
    let files = list_segments(disk, data_dir)?;
    let last = files.len().saturating_sub(1);
    let info = |(at, SegmentFile { path, base_seq }): (usize, SegmentFile)| {
        let bytes = disk.open_read(&path).and_then(|file| file.len()).map_err(failed("reading", &path))?;
        Ok(SegmentInfo { file: path, base_seq, bytes, sealed: at != last })
    };
    files.into_iter().enumerate().map(info).collect()
}

/// Makes a backup, or brings one up to date.
///
/// # Errors
/// `Invalid` for a folder that is relative, lies within the data directory, holds something else or the backup of
/// another one; `Corrupt` when a file of the journal is not what was written; `Full` or `Io` from the disk. What the
/// folder held before is untouched then.
pub fn backup(job: &BackupJob<'_>) -> Result<BackupReport> {
    check_target(job)?;
    let mut list =
        read_list(job.disk, job.data_dir)?.unwrap_or_else(|| List { id: new_id(job.random), ..List::default() });
    let before = check_holder(job, &list.id)?;
    // The list is written first: a backup that breaks off has copied personal data all the same.
    let seq = before.as_ref().map_or(0, |manifest| manifest.last_seq);
    note(job, &mut list, seq, false)?;
    for folder in FOLDERS {
        let folder = job.to.join(folder);
        job.disk.create_dir_all(&folder).map_err(failed("creating", &folder))?;
    }
    sync_names(job.disk, job.to)?;
    let mut copy =
        Copying { job, report: BackupReport { at_ms: job.now.0, ..BackupReport::default() }, files: Vec::new() };
    let last_seq = copy.journal()?;
    copy.snapshots(last_seq)?;
    copy.keys()?;
    copy.others()?;
    let Copying { mut report, files, .. } = copy;
    for folder in FOLDERS {
        let folder = job.to.join(folder);
        job.disk.sync_dir(&folder).map_err(failed("syncing", &folder))?;
    }
    report.seq = last_seq;
    report.files = files.len() as u64;
    report.bytes = files.iter().map(|file| file.bytes).sum();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        source: list.id.clone(),
        at_ms: job.now.0,
        last_seq,
        key_id: job.key_id.clone(),
        files,
    };
    write_json(job.disk, &job.to.join(MANIFEST), &manifest)?;
    remove_unnamed(job, &manifest);
    note(job, &mut list, last_seq, true)?;
    Ok(report)
}

/// Refuses a folder that a backup may not be in.
fn check_target(job: &BackupJob<'_>) -> Result<()> {
    let refuse = |reason: &str| Err(Error::invalid("dir", reason));
    if !job.to.is_absolute() {
        return refuse("is not an absolute path; write it from / on, for example /backups/selfsame");
    }
    if job.to.components().any(|part| part == Component::ParentDir) {
        return refuse("has .. in it; write the path without");
    }
    if job.to.starts_with(job.data_dir) {
        return refuse("lies within the data directory; choose a folder outside, best on another disk");
    }
    if job.data_dir.starts_with(job.to) {
        return refuse("holds the data directory; choose a folder of its own");
    }
    Ok(())
}

/// The manifest that is there. Refuses a folder that holds something else.
fn check_holder(job: &BackupJob<'_>, id: &str) -> Result<Option<Manifest>> {
    let names = match job.disk.list(job.to) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("listing", job.to)(error)),
    };
    let strange = |name: &&String| ![MANIFEST, "manifest.json.tmp"].contains(&name.as_str());
    if let Some(name) = names.iter().find(strange) {
        return Err(Error::invalid("dir", format!("holds {name}, which is no backup; choose an empty folder")));
    }
    if !names.iter().any(|name| name == MANIFEST) {
        return Ok(None);
    }
    let manifest = read_manifest(job.disk, job.to)?;
    if manifest.source != id {
        let reason = "holds the backup of another data directory; choose another folder, so that it is not overwritten";
        return Err(Error::invalid("dir", reason));
    }
    Ok(Some(manifest))
}

/// A backup being made.
struct Copying<'a> {
    job: &'a BackupJob<'a>,
    report: BackupReport,
    files: Vec<Entry>,
}

impl Copying<'_> {
    /// Copies the segments and gives the seq of the last frame.
    fn journal(&mut self) -> Result<u64> {
        let mut before: Option<End> = None;
        for (at, info) in self.job.segments.iter().enumerate() {
            let mut bytes = self.job.disk.read(&info.file).map_err(failed("reading", &info.file))?;
            if !info.sealed {
                // What was written since the backup began is left out.
                bytes.truncate(usize::try_from(info.bytes).unwrap_or(usize::MAX));
            }
            let file = SegmentFile { path: info.file.clone(), base_seq: info.base_seq };
            let header = read_header(&file, &bytes)?;
            let end = verify_bytes(&file, &bytes, &header, before.as_ref(), at + 1 == self.job.segments.len())?;
            let footer = if end.footer.is_some() { FOOTER_BYTES } else { 0 };
            bytes.truncate(end.offset + footer);
            self.put("journal", &info.file, bytes.len() as u64, &from_memory(&bytes))?;
            before = Some(end);
        }
        Ok(before.map_or(0, |end| end.next_seq.saturating_sub(1)))
    }

    /// Copies the snapshots that are not newer than the journal.
    fn snapshots(&mut self, last_seq: u64) -> Result<()> {
        let dir = self.job.data_dir.join("snapshots");
        let names = names_in(self.job.disk, &dir)?;
        for name in names.iter().filter(|name| seq_of(name).is_some_and(|seq| seq <= last_seq)) {
            self.file("snapshots", &dir.join(name))?;
        }
        Ok(())
    }

    /// Copies the tenants' keys, which are wrapped by the master key. After all that is sealed under them, so that none is
    /// missing; what is appended meanwhile is left out, or torn and of nobody.
    fn keys(&mut self) -> Result<()> {
        let path = ring_path(self.job.data_dir);
        if !self.job.disk.exists(&path).map_err(failed("looking for", &path))? {
            return Ok(());
        }
        let bytes = self.job.disk.read(&path).map_err(failed("reading", &path))?;
        self.put(KEYS, &path, bytes.len() as u64, &from_memory(&bytes))
    }

    /// Copies the files beside the folders: whatever a later version keeps there, but no key.
    fn others(&mut self) -> Result<()> {
        for name in names_in(self.job.disk, self.job.data_dir)? {
            let path = self.job.data_dir.join(&name);
            let of_this_machine = [LIST, "LOCK", RESTORING].contains(&name.as_str());
            let unfinished = [".tmp", ".key"].iter().any(|ending| name.ends_with(ending));
            if !of_this_machine && !unfinished && !is_key(self.job.disk, &path)? {
                self.file(OTHER, &path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, folder: &str, path: &Path) -> Result<()> {
        let file = self.job.disk.open_read(path).map_err(failed("opening", path))?;
        let bytes = file.len().map_err(failed("reading", path))?;
        self.put(folder, path, bytes, &|offset, piece| file.read_exact_at(offset, piece))
    }

    /// Stores a file unless the same content is there.
    fn put(&mut self, folder: &str, path: &Path, bytes: u64, read: &ReadAt<'_>) -> Result<()> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let hash = hash_of(bytes, read).map_err(failed("reading", path))?;
        let stored = format!("{folder}/{name}-{}", hash.get(..NAME_DIGITS).unwrap_or_default());
        let to = self.job.to.join(&stored);
        let disk = self.job.disk;
        let there = disk.open_read(&to).and_then(|file| file.len());
        if there.ok() != Some(bytes) {
            store(disk, &to, bytes, read)?;
            let copy = disk.open_read(&to).map_err(failed("opening", &to))?;
            let again = hash_of(bytes, &|offset, piece| copy.read_exact_at(offset, piece));
            if again.map_err(failed("reading", &to))? != hash {
                return Err(corrupt(&to, 0, "the copy is not what was read; look at the disk of the backup"));
            }
            self.report.copied_files += 1;
            self.report.copied_bytes += bytes;
        }
        let path = if folder == OTHER { name } else { format!("{folder}/{name}") };
        self.files.push(Entry { path, stored, bytes, blake3: hash });
        Ok(())
    }
}

/// Gives the bytes of a source from an offset on.
pub(super) type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> io::Result<()> + 'a;

fn from_memory(bytes: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<()> {
    move |offset, piece| {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = bytes.get(start..start.saturating_add(piece.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        piece.copy_from_slice(from);
        Ok(())
    }
}

/// Calls `each` with every piece of a source, in order.
fn pieces(bytes: u64, read: &ReadAt<'_>, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let len = usize::try_from(bytes - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let piece = buffer.get_mut(..len).unwrap_or_default();
        read(offset, piece)?;
        each(offset, piece)?;
        offset += len as u64;
    }
    Ok(())
}

/// The hash of a source's content, as hex.
pub(super) fn hash_of(bytes: u64, read: &ReadAt<'_>) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    pieces(bytes, read, &mut |_, piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Writes a file aside, syncs it, and gives it its name. The caller syncs the folder.
pub(super) fn store(disk: &dyn Disk, to: &Path, bytes: u64, read: &ReadAt<'_>) -> Result<()> {
    let mut aside = to.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = PathBuf::from(aside);
    if disk.exists(&aside).map_err(failed("looking for", &aside))? {
        disk.remove(&aside).map_err(failed("removing", &aside))?;
    }
    let file = disk.create_new(&aside).map_err(failed("creating", &aside))?;
    let copied = pieces(bytes, read, &mut |offset, piece| file.write_all_at(offset, piece));
    let synced = copied.and_then(|()| file.sync_data());
    if let Err(error) = synced {
        // Only to give the room back; if even this fails, the next backup removes it.
        drop(disk.remove(&aside));
        return Err(failed("writing", &aside)(error));
    }
    disk.rename(&aside, to).map_err(failed("renaming", &aside))
}

/// Stores what was made in memory.
pub(super) fn store_bytes(disk: &dyn Disk, to: &Path, bytes: &[u8]) -> Result<()> {
    store(disk, to, bytes.len() as u64, &from_memory(bytes))
}

fn write_json<T: Serialize>(disk: &dyn Disk, path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed("writing", path)(io::Error::other(error)))?;
    store_bytes(disk, path, &text)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(failed("syncing", dir))
}

/// Makes a new folder's name durable, and those of what is in it.
pub(super) fn sync_names(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(failed("syncing", dir))?;
    for (at, above) in dir.ancestors().skip(1).enumerate() {
        let synced = disk.sync_dir(above);
        // Further up it may not be ours to open; then it is not new either.
        if at == 0 {
            synced.map_err(failed("syncing", above))?;
        }
    }
    Ok(())
}

/// The files of a folder; none when there is no folder.
pub(super) fn names_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    match disk.list(dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("listing", dir)(error)),
    }
}

/// Whether a file is a key file, whatever its name: 64 hexadecimal digits.
fn is_key(disk: &dyn Disk, path: &Path) -> Result<bool> {
    let len = disk.open_read(path).and_then(|file| file.len()).map_err(failed("reading", path))?;
    if !(64..=80).contains(&len) {
        return Ok(false);
    }
    let bytes = disk.read(path).map_err(failed("reading", path))?;
    let text = bytes.trim_ascii();
    Ok(text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit))
}

/// The manifest of a backup.
pub(super) fn read_manifest(disk: &dyn Disk, dir: &Path) -> Result<Manifest> {
    let path = dir.join(MANIFEST);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = format!("holds no {MANIFEST}, so it is no finished backup; name the folder of one");
            return Err(Error::invalid(dir.display().to_string(), reason));
        }
        Err(error) => return Err(failed("reading", &path)(error)),
    };
    let version = serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|value| value.get("version").and_then(serde_json::Value::as_u64));
    if version.is_some_and(|version| version > u64::from(MANIFEST_VERSION)) {
        let reason = "was written by a newer selfsame; restore it with that one";
        return Err(Error::invalid(path.display().to_string(), reason));
    }
    serde_json::from_slice(&bytes).map_err(|error| corrupt(&path, 0, format!("the manifest cannot be read: {error}")))
}

fn read_list(disk: &dyn Disk, data_dir: &Path) -> Result<Option<List>> {
    let path = data_dir.join(LIST);
    match disk.read(&path) {
        Ok(bytes) => {
            let list = serde_json::from_slice(&bytes);
            list.map(Some).map_err(|error| corrupt(&path, 0, format!("the list of backups cannot be read: {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", &path)(error)),
    }
}

/// Puts this backup into the list in the data directory, in the place of an earlier one in the same folder.
fn note(job: &BackupJob<'_>, list: &mut List, seq: u64, complete: bool) -> Result<()> {
    list.backups.retain(|entry| entry.dir != job.to);
    list.backups.push(BackupEntry { dir: job.to.to_path_buf(), at_ms: job.now.0, seq, complete });
    write_json(job.disk, &job.data_dir.join(LIST), list)
}

/// Removes the stored files that no manifest names any more. What cannot be removed is removed next time.
fn remove_unnamed(job: &BackupJob<'_>, manifest: &Manifest) {
    let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.stored.as_str()).collect();
    for folder in FOLDERS {
        let dir = job.to.join(folder);
        for name in job.disk.list(&dir).unwrap_or_default() {
            if !named.contains(format!("{folder}/{name}").as_str()) {
                drop(job.disk.remove(&dir.join(name)));
            }
        }
        drop(job.disk.sync_dir(&dir));
    }
}

fn new_id(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In a data directory that is being restored: it must not be opened.
pub const RESTORING: &str = "RESTORING";
