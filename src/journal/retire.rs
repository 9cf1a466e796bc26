//! Segments that are no longer needed to open the data directory: which they are, and how they leave.
//!
//! A segment may go when every snapshot that is kept is as of its end or later, so that falling back to the oldest of them
//! still finds all frames behind it, and when all its frames are older than a moment. The oldest leave first, so what
//! remains has no gap. With an archive each is copied, synced and verified there before it is removed here; the digest
//! chain goes on from the archived ones to those that stay.

use std::path::Path;

use crate::error::Result;
use crate::host::Disk;
use crate::journal::backup::{hash_of, store, sync_names};
use crate::journal::format::HEADER_BYTES;
use crate::journal::segment::{SegmentFile, read_header};
use crate::journal::snapshot::KEPT;
use crate::journal::{SegmentInfo, Snapshot, corrupt, failed, journal_dir};
use crate::model::ids::Millis;

/// What left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seq of the first frame that remains, if any segment left.
    pub first_seq: Option<u64>,
}

/// Moves segments to the archive, or removes them where there is none, whose frames are all older than `before`.
///
/// # Errors
/// `Full` or `Io` from either disk, `Corrupt` when a copy is not what was read. Segments that left before are gone, and
/// what remains can be opened.
pub fn retire(
    disk: &dyn Disk,
    data_dir: &Path,
    segments: &[SegmentInfo],
    before: Millis,
    archive: Option<&Path>,
) -> Result<Retired> {
    let mut retired = Retired::default();
    if !is_old(disk, segments.first_chunk(), before)? {
        return Ok(retired);
    }
    // Only now, since it reads them: something is old enough.
    let snapshots = Snapshot::valid_seqs(disk, &data_dir.join("snapshots"))?;
    let covered = snapshots.first().copied().filter(|_| snapshots.len() >= KEPT).unwrap_or(0);
    for pair in segments.windows(2) {
        let [info, next] = pair else { break };
        if next.base_seq > covered + 1 || !is_old(disk, pair.first_chunk(), before)? {
            break;
        }
        if let Some(archive) = archive {
            copy(disk, info, archive)?;
        }
        disk.remove(&info.file).map_err(failed("removing", &info.file))?;
        retired.segments += 1;
        retired.bytes += info.bytes;
        retired.first_seq = Some(next.base_seq);
    }
    let dir = journal_dir(data_dir);
    disk.sync_dir(&dir).map_err(failed("syncing", &dir))?;
    Ok(retired)
}

/// Whether a segment was followed by the next one before that time. The last one never was.
fn is_old(disk: &dyn Disk, pair: Option<&[SegmentInfo; 2]>, before: Millis) -> Result<bool> {
    let Some([info, next]) = pair else { return Ok(false) };
    let open = disk.open_read(&next.file).map_err(failed("opening", &next.file))?;
    let mut start = vec![0; HEADER_BYTES];
    open.read_exact_at(0, &mut start).map_err(failed("reading", &next.file))?;
    let file = SegmentFile { path: next.file.clone(), base_seq: next.base_seq };
    Ok(info.sealed && read_header(&file, &start)?.created_ms < before.0)
}

/// Copies a segment to the archive, durably and verified. One that is there already stays.
fn copy(disk: &dyn Disk, info: &SegmentInfo, archive: &Path) -> Result<()> {
    disk.create_dir_all(archive).map_err(failed("creating", archive))?;
    let to = archive.join(info.file.file_name().unwrap_or_default());
    let from = disk.open_read(&info.file).map_err(failed("opening", &info.file))?;
    let bytes = from.len().map_err(failed("reading", &info.file))?;
    let read = |offset: u64, piece: &mut [u8]| from.read_exact_at(offset, piece);
    let hash = hash_of(bytes, &read).map_err(failed("reading", &info.file))?;
    let same = |path: &Path| -> Result<bool> {
        let there = disk.open_read(path).map_err(failed("opening", path))?;
        let is_as_long = there.len().map_err(failed("reading", path))? == bytes;
        let found = || hash_of(bytes, &|offset, piece: &mut [u8]| there.read_exact_at(offset, piece));
        Ok(is_as_long && found().map_err(failed("reading", path))? == hash)
    };
    if !disk.exists(&to).map_err(failed("looking for", &to))? || !same(&to)? {
        store(disk, &to, bytes, &read)?;
        sync_names(disk, archive)?;
        if !same(&to)? {
            return Err(corrupt(&to, 0, "the copy is not what was read; look at the disk of the archive"));
        }
    }
    Ok(())
}
