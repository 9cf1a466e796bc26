//! A data directory out of a backup, as of its end or of an earlier moment.
//!
//! Everything is verified before the first byte is written. The journal is cut behind the last whole command that is
//! wanted: a group in which the cut falls gets a header of its own over the frames that stay, and the segment loses its
//! footer, so that it is the last one, as after a stop. Snapshots newer than the cut are left out. While it is being
//! written the directory holds the file `RESTORING`, and no server opens it.

use std::path::{Component, Path};

use crate::error::{Error, Result};
use crate::host::Disk;
use crate::journal::backup::{
    DATA_FOLDERS, Entry, FOLDERS, Manifest, RESTORING, hash_of, names_in, read_manifest, store, store_bytes, sync_names,
};
use crate::journal::carry::Carrier;
use crate::journal::format::{FOOTER_BYTES, GroupHeader, LAST_OF_COMMAND};
use crate::journal::segment::{End, Group, SegmentFile, Walk, read_header};
use crate::journal::snapshot::seq_of;
use crate::journal::{corrupt, failed};
use crate::model::ids::Millis;

/// How far a restored journal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// As far as the backup.
    End,
    /// Through the last whole command that ends at this seq of the journal or before.
    Seq(u64),
    /// Through the last group written at this time or before.
    Time(Millis),
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// Seq of the last frame.
    pub seq: u64,
    /// Seq of the last frame of the backup.
    pub backup_seq: u64,
    /// When the backup was begun, ms since 1970.
    pub at_ms: i64,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Tells the key file that belongs to it from others.
    pub key_id: Option<String>,
    /// Events from after the cut that the next start decides anew.
    pub carried: u32,
}

/// Restores a backup into a directory that is empty or not there. Frames behind the cut that are of a kind in `carried` are
/// kept beside the journal, for the next start to decide anew.
///
/// # Errors
/// `Invalid` when the directory holds something, the backup is no finished one, or `until` is not within it; `Corrupt`
/// names the file of the backup that is not what was written; `Full` or `Io` from the disk.
pub fn restore(disk: &dyn Disk, from: &Path, to: &Path, until: Until, carried: &[u8]) -> Result<RestoreReport> {
    check_empty(disk, to)?;
    let manifest = read_manifest(disk, from)?;
    for entry in &manifest.files {
        verify(disk, from, entry)?;
    }
    let plan = Plan::make(disk, from, &manifest, until)?;
    let carrier = plan.carry(disk, from, &manifest, carried)?;
    let marker = to.join(RESTORING);
    for folder in DATA_FOLDERS {
        let folder = to.join(folder);
        disk.create_dir_all(&folder).map_err(failed("creating", &folder))?;
    }
    store_bytes(
        disk,
        &marker,
        b"selfsame restore was at work here and has not finished; empty the directory and repeat it\n",
    )?;
    sync_names(disk, to)?;
    let mut report = RestoreReport {
        seq: plan.seq,
        backup_seq: manifest.last_seq,
        at_ms: manifest.at_ms,
        files: 0,
        bytes: 0,
        key_id: manifest.key_id.clone(),
        carried: carrier.count(),
    };
    for entry in &manifest.files {
        report.bytes += plan.put(disk, from, to, entry)?.inspect(|_| report.files += 1).unwrap_or(0);
    }
    carrier.store(disk, to)?;
    for folder in DATA_FOLDERS {
        let folder = to.join(folder);
        disk.sync_dir(&folder).map_err(failed("syncing", &folder))?;
    }
    sync_names(disk, to)?;
    disk.remove(&marker).map_err(failed("removing", &marker))?;
    disk.sync_dir(to).map_err(failed("syncing", to))?;
    Ok(report)
}

fn check_empty(disk: &dyn Disk, to: &Path) -> Result<()> {
    let mut dirs = vec![to.to_path_buf()];
    dirs.extend(FOLDERS.map(|folder| to.join(folder)));
    for dir in dirs {
        if let Some(name) = names_in(disk, &dir)?.first() {
            let reason =
                format!("is not empty ({} is there); restore into an empty or new directory", dir.join(name).display());
            return Err(Error::invalid("data-dir", reason));
        }
    }
    Ok(())
}

/// Whether a stored file is what the manifest says.
fn verify(disk: &dyn Disk, from: &Path, entry: &Entry) -> Result<()> {
    for path in [&entry.path, &entry.stored] {
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(corrupt(
                &from.join("manifest.json"),
                0,
                format!("it names the path {path}, outside of a backup"),
            ));
        }
    }
    let path = from.join(&entry.stored);
    let damaged =
        |reason: &str| Err(corrupt(&path, 0, format!("{reason}; this backup cannot be restored, take another")));
    let file = match disk.open_read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return damaged("the file is missing"),
        Err(error) => return Err(failed("opening", &path)(error)),
    };
    if file.len().map_err(failed("reading", &path))? != entry.bytes {
        return damaged("its length is not that of the manifest");
    }
    let hash = hash_of(entry.bytes, &|offset, piece| file.read_exact_at(offset, piece));
    if hash.map_err(failed("reading", &path))? != entry.blake3 {
        damaged("its content is not that of the manifest")
    } else {
        Ok(())
    }
}

/// Where the journal ends.
struct Plan {
    seq: u64,
    /// The segment that is cut and its bytes then.
    cut: Option<(String, Vec<u8>)>,
}

impl Plan {
    fn make(disk: &dyn Disk, from: &Path, manifest: &Manifest, until: Until) -> Result<Self> {
        let segments: Vec<(&Entry, u64)> =
            manifest.files.iter().filter_map(|entry| Some((entry, base_of(&entry.path)?))).collect();
        let mut plan = Self { seq: segments.first().map_or(0, |(_, base)| base - 1), cut: None };
        if let Until::Seq(seq) = until
            && seq > manifest.last_seq
        {
            return Err(Error::invalid("until", format!("is {seq}; this backup ends at seq {}", manifest.last_seq)));
        }
        for (at, (entry, base_seq)) in segments.iter().enumerate() {
            let path = from.join(&entry.stored);
            let bytes = disk.read(&path).map_err(failed("reading", &path))?;
            let file = SegmentFile { path, base_seq: *base_seq };
            let (seq, kept) = cut(&file, bytes, at + 1 == segments.len(), until)?;
            plan.seq = seq.max(plan.seq);
            if let Some(kept) = kept {
                plan.cut = Some((entry.path.clone(), kept));
                break;
            }
        }
        plan.check_begins(manifest, segments.first().map_or(1, |(_, base)| *base))?;
        Ok(plan)
    }

    /// The frames of some kinds that lie behind the cut.
    fn carry(&self, disk: &dyn Disk, from: &Path, manifest: &Manifest, kinds: &[u8]) -> Result<Carrier> {
        let mut carrier = Carrier::default();
        let segments: Vec<(&Entry, u64)> =
            manifest.files.iter().filter_map(|entry| Some((entry, base_of(&entry.path)?))).collect();
        let is_cut = |entry: &Entry| self.cut.as_ref().is_some_and(|(path, _)| *path == entry.path);
        for (at, (entry, base_seq)) in segments.iter().enumerate() {
            if kinds.is_empty() || !(is_cut(entry) || *base_seq > self.seq) {
                continue;
            }
            let path = from.join(&entry.stored);
            let bytes = disk.read(&path).map_err(failed("reading", &path))?;
            let file = SegmentFile { path, base_seq: *base_seq };
            let header = read_header(&file, &bytes)?;
            Walk::new(&file.path, &bytes, &header).run(at + 1 == segments.len(), &mut |group| {
                carrier.take(group, self.seq, kinds);
                Ok(())
            })?;
        }
        Ok(carrier)
    }

    /// A journal whose beginning is gone needs a snapshot of it.
    fn check_begins(&self, manifest: &Manifest, first_base: u64) -> Result<()> {
        let covered = |entry: &Entry| snapshot_seq(entry).is_some_and(|seq| seq + 1 >= first_base && seq <= self.seq);
        if first_base == 1 || manifest.files.iter().any(covered) {
            return Ok(());
        }
        let first = manifest.files.iter().filter_map(snapshot_seq).filter(|seq| seq + 1 >= first_base).min();
        let reason = match first {
            Some(first) => format!("is before what this backup reaches back to; the earliest is seq {first}"),
            None => format!(
                "cannot be reached: the backup begins at seq {first_base} and has no snapshot of what was before"
            ),
        };
        Err(Error::invalid("until", reason))
    }

    /// Writes one file of the backup, as far as it belongs. Gives its bytes.
    fn put(&self, disk: &dyn Disk, from: &Path, to: &Path, entry: &Entry) -> Result<Option<u64>> {
        let too_late = base_of(&entry.path).is_some_and(|base| base > self.seq)
            || snapshot_seq(entry).is_some_and(|seq| seq > self.seq);
        if too_late {
            return Ok(None);
        }
        let path = to.join(&entry.path);
        if let Some((cut, bytes)) = &self.cut
            && *cut == entry.path
        {
            store_bytes(disk, &path, bytes)?;
            return Ok(Some(bytes.len() as u64));
        }
        let stored = from.join(&entry.stored);
        let file = disk.open_read(&stored).map_err(failed("opening", &stored))?;
        store(disk, &path, entry.bytes, &|offset, piece| file.read_exact_at(offset, piece))?;
        Ok(Some(entry.bytes))
    }
}

fn base_of(path: &str) -> Option<u64> {
    path.strip_prefix("journal/")?.strip_suffix(".seg")?.parse().ok().filter(|base| *base > 0)
}

fn snapshot_seq(entry: &Entry) -> Option<u64> {
    seq_of(entry.path.strip_prefix("snapshots/")?)
}

/// The last seq of a segment that is wanted, and the segment's bytes when that is not its end.
fn cut(file: &SegmentFile, mut bytes: Vec<u8>, is_last: bool, until: Until) -> Result<(u64, Option<Vec<u8>>)> {
    let header = read_header(file, &bytes)?;
    let mut found: Option<Cut> = None;
    let end: End = Walk::new(&file.path, &bytes, &header).run(is_last, &mut |group| {
        if found.is_none() {
            found = Cut::within(group, until);
        }
        Ok(())
    })?;
    let Some(found) = found else {
        return Ok((end.next_seq - 1, None));
    };
    debug_assert!(found.end <= end.offset + FOOTER_BYTES);
    bytes.truncate(found.end);
    if let Some((offset, group)) = found.group {
        let encoded = group.encode(header.seed());
        if let Some(place) = bytes.get_mut(offset..offset + encoded.len()) {
            place.copy_from_slice(&encoded);
        }
    }
    Ok((found.seq, Some(bytes)))
}

/// Where a segment ends early.
struct Cut {
    seq: u64,
    /// Bytes of the file that stay.
    end: usize,
    /// The header of the last group, if the cut falls within it.
    group: Option<(usize, GroupHeader)>,
}

impl Cut {
    /// The cut that falls before or within a group; `None` when all of it is wanted.
    fn within(group: &Group<'_, '_>, until: Until) -> Option<Self> {
        let header = group.header;
        let header_offset = group.frames_offset - crate::journal::format::FRAME_HEADER_BYTES;
        let before = || Self { seq: header.first_seq - 1, end: header_offset, group: None };
        let wanted = match until {
            Until::End => return None,
            Until::Time(time) if header.time_ms <= time.0 => return None,
            Until::Time(_) => return Some(before()),
            Until::Seq(seq) if header.first_seq + u64::from(header.frames) <= seq + 1 => return None,
            Until::Seq(seq) => seq,
        };
        let ends =
            |frame: &crate::journal::format::RawFrame<'_>| frame.seq <= wanted && frame.flags & LAST_OF_COMMAND != 0;
        let Some(last) = group.frames.iter().rposition(ends) else {
            return Some(before());
        };
        let kept = group.frames.get(..=last).unwrap_or_default();
        let len: usize = kept.iter().map(crate::journal::format::RawFrame::stored_bytes).sum();
        let shorter = GroupHeader {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            frames: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            ..header
        };
        let seq = header.first_seq + last as u64;
        Some(Self { seq, end: group.frames_offset + len, group: Some((header_offset, shorter)) })
    }
}
