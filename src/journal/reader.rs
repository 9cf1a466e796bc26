//! Reading a journal from disk: replay, dump, and the check that an operator runs.
//!
//! All three read one segment at a time into memory and go through [`Walk`]. Replay and dump verify
//! checksums, bounds and the density of seqs; `check` also verifies counts and the digest chain.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::Disk;
use crate::journal::format::{DIGEST_BYTES, RawFrame, SEALED, SegmentHeader, Tally};
use crate::journal::segment::{End, SegmentFile, Walk, list_segments, read_header};
use crate::journal::{Frame, Snapshot, corrupt, failed, journal_dir, snapshot};

/// What a replay saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Frames given to the caller.
    pub frames: u64,
    /// Groups with at least one frame given to the caller.
    pub groups: u64,
    /// Seq of the last whole frame on disk; `after_seq` when there is none behind it.
    pub last_seq: u64,
    /// Bytes of a torn tail that was left out; opening the journal sets them aside.
    pub torn_bytes: u64,
}

/// A frame and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    /// The segment.
    pub file: &'a Path,
    /// Where the frame's header starts in it.
    pub offset_bytes: u64,
    /// The frame.
    pub frame: Frame<'a>,
}

/// The first thing found that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset_bytes: u64,
    /// What is wrong.
    pub reason: String,
}

/// What the check says of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentCheck {
    /// The file.
    pub file: PathBuf,
    /// Seq of its first frame.
    pub base_seq: u64,
    /// Frames in whole groups.
    pub frames: u64,
    /// Whole groups.
    pub groups: u64,
    /// Bytes up to the end of the last whole group.
    pub bytes: u64,
    /// Whether it ends in a footer, whose counts and digest were right.
    pub sealed: bool,
    /// Bytes of a torn tail; only the last segment may have one.
    pub torn_bytes: u64,
}

/// What the check says of the whole journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The segments in order, up to the first corruption.
    pub segments: Vec<SegmentCheck>,
    /// Names of the files with torn tails that were set aside earlier.
    pub set_aside: Vec<String>,
    /// Seq of the last whole frame before the first corruption; 0 when there is none.
    pub last_seq: u64,
    /// Absent when everything is as it was written.
    pub first_corruption: Option<Corruption>,
}

/// Gives every frame after `after_seq` to `on_frame`, in order, whole groups only.
///
/// # Errors
/// As [`crate::journal::Journal::replay`].
pub fn dump(
    disk: &dyn Disk,
    data_dir: &Path,
    after_seq: u64,
    on_frame: &mut dyn FnMut(Located<'_>) -> Result<()>,
) -> Result<ReplayReport> {
    let mut report = ReplayReport { last_seq: after_seq, ..ReplayReport::default() };
    let files = list_segments(disk, data_dir)?;
    let Some(first) = files.iter().rposition(|file| file.base_seq <= after_seq.saturating_add(1)) else {
        return match files.first() {
            Some(file) => Err(missing(file, after_seq + 1)),
            None if after_seq == 0 => Ok(report),
            None => Err(ends_early(&journal_dir(data_dir), after_seq, 0)),
        };
    };
    let mut before: Option<End> = None;
    for (index, file) in files.iter().enumerate().skip(first) {
        let bytes = disk.read(&file.path).map_err(failed("reading", &file.path))?;
        let header = read_header(file, &bytes)?;
        follows(file, &header, before.as_ref())?;
        let end = Walk::new(&file.path, &bytes, &header).run(index + 1 == files.len(), &mut |group| {
            let mut offset = group.frames_offset as u64;
            let mut is_wanted = false;
            for raw in group.frames {
                if raw.seq > after_seq {
                    is_wanted = true;
                    report.frames += 1;
                    let frame = as_frame(raw, group.header.time_ms);
                    on_frame(Located { file: &file.path, offset_bytes: offset, frame })?;
                }
                offset += raw.stored_bytes() as u64;
            }
            report.groups += u64::from(is_wanted);
            Ok(())
        })?;
        report.torn_bytes = end.torn_bytes;
        before = Some(end);
    }
    let last_seq = before.map_or(0, |end| end.next_seq.saturating_sub(1));
    if last_seq < after_seq {
        return Err(ends_early(&journal_dir(data_dir), after_seq, last_seq));
    }
    report.last_seq = last_seq;
    Ok(report)
}

/// Whether anything in the journal or in a snapshot is sealed. What cannot be read is left to those who read it next.
///
/// # Errors
/// `Io` when the journal cannot be listed.
pub fn any_sealed(disk: &dyn Disk, data_dir: &Path) -> Result<bool> {
    let files = list_segments(disk, data_dir)?;
    let mut found = snapshot::any_sealed(disk, &data_dir.join("snapshots"));
    for file in &files {
        if found {
            break;
        }
        let Ok(bytes) = disk.read(&file.path) else { continue };
        let Ok(header) = read_header(file, &bytes) else { continue };
        // Damage is met again, and told, by the replay.
        drop(Walk::new(&file.path, &bytes, &header).run(true, &mut |group| {
            found |= group.frames.iter().any(|frame| frame.flags & SEALED != 0);
            Ok(())
        }));
    }
    Ok(found)
}

/// A stored frame as callers see it.
pub(in crate::journal) fn as_frame<'a>(raw: &RawFrame<'a>, group_ms: i64) -> Frame<'a> {
    Frame {
        seq: raw.seq,
        tenant: raw.tenant,
        kind: raw.kind,
        version: raw.version,
        flags: raw.flags,
        group_ms,
        payload: raw.payload(),
    }
}

fn missing(file: &SegmentFile, wanted: u64) -> Error {
    let reason = format!("frames {wanted} to {} are missing: a segment before this one is gone", file.base_seq - 1);
    corrupt(&file.path, 0, reason)
}

fn ends_early(dir: &Path, after_seq: u64, last_seq: u64) -> Error {
    let reason = format!("the snapshot is at seq {after_seq}, but the journal ends at {last_seq}: a segment is gone");
    corrupt(dir, 0, reason)
}

/// Whether a segment goes on where the one before ended.
fn follows(file: &SegmentFile, header: &SegmentHeader, before: Option<&End>) -> Result<()> {
    let Some(before) = before else { return Ok(()) };
    if header.base_seq > before.next_seq {
        return Err(missing(file, before.next_seq));
    }
    let chain = before.footer.as_ref().map(|footer| footer.chain);
    if header.base_seq < before.next_seq || chain != Some(header.chain_before) {
        return Err(corrupt(&file.path, 0, "it does not follow the segment before (seq or digest chain)"));
    }
    Ok(())
}

/// Walks everything, footers and digest chain included. What is wrong is in the report, not an error.
///
/// # Errors
/// `Io` when a file cannot be read; `Invalid` when it was written by a newer selfsame.
pub fn check(disk: &dyn Disk, data_dir: &Path) -> Result<CheckReport> {
    let mut report = CheckReport { set_aside: set_aside(disk, data_dir), ..CheckReport::default() };
    let files = list_segments(disk, data_dir)?;
    let covered = covered_by_snapshot(disk, data_dir, &files)?;
    let mut before: Option<End> = None;
    for (index, file) in files.iter().enumerate() {
        match check_segment(disk, file, covered, before.as_ref(), index + 1 == files.len()) {
            Ok(end) => {
                report.segments.push(SegmentCheck {
                    file: file.path.clone(),
                    base_seq: file.base_seq,
                    frames: end.frames,
                    groups: end.groups,
                    bytes: end.offset as u64,
                    sealed: end.footer.is_some(),
                    torn_bytes: end.torn_bytes,
                });
                report.last_seq = end.next_seq.saturating_sub(1);
                before = Some(end);
            }
            Err(Error::Corrupt { file, offset_bytes, reason }) => {
                report.first_corruption = Some(Corruption { file, offset_bytes, reason });
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

fn set_aside(disk: &dyn Disk, data_dir: &Path) -> Vec<String> {
    let mut names = disk.list(&journal_dir(data_dir)).unwrap_or_default();
    names.retain(|name| name.starts_with("torn-"));
    names
}

/// Through which seq a snapshot stands for frames whose segments were removed; 0 when none are missing.
fn covered_by_snapshot(disk: &dyn Disk, data_dir: &Path, files: &[SegmentFile]) -> Result<u64> {
    if files.first().is_none_or(|first| first.base_seq == 1) {
        return Ok(0);
    }
    let (newest, _) = Snapshot::newest_valid(disk, &data_dir.join("snapshots"))?;
    Ok(newest.map_or(0, |snapshot| snapshot.seq()))
}

fn check_segment(
    disk: &dyn Disk,
    file: &SegmentFile,
    covered: u64,
    before: Option<&End>,
    is_last: bool,
) -> Result<End> {
    let bytes = disk.read(&file.path).map_err(failed("reading", &file.path))?;
    let header = read_header(file, &bytes)?;
    if before.is_none() && header.base_seq > covered + 1 {
        return Err(missing(file, covered + 1));
    }
    verify_bytes(file, &bytes, &header, before, is_last)
}

/// Verifies one segment's frames, counts and digest, and that it goes on where the one before ended. The digest of what
/// came before the first segment present is taken as it is.
pub fn verify_bytes(
    file: &SegmentFile,
    bytes: &[u8],
    header: &SegmentHeader,
    before: Option<&End>,
    is_last: bool,
) -> Result<End> {
    follows(file, header, before)?;
    if before.is_none() && header.base_seq == 1 && header.chain_before != [0; DIGEST_BYTES] {
        return Err(corrupt(&file.path, 0, "the first segment names one before it"));
    }
    let (end, tally) = walk_with_tally(file, bytes, header, is_last)?;
    if let Some(footer) = &end.footer
        && (footer.chain != tally.chain() || footer.chain_before != header.chain_before)
    {
        return Err(corrupt(&file.path, end.offset, "the digest chain is not that of the frames"));
    }
    Ok(end)
}

/// Walks a segment and computes its digest on the way.
pub fn walk_with_tally(
    file: &SegmentFile,
    bytes: &[u8],
    header: &SegmentHeader,
    is_last: bool,
) -> Result<(End, Tally)> {
    let mut tally = Tally::new(header);
    let end = Walk::new(&file.path, bytes, header).run(is_last, &mut |group| {
        tally.group(group.header.first_seq, group.header.time_ms);
        for frame in group.frames {
            tally.frame(frame, &frame.leaf());
        }
        Ok(())
    })?;
    Ok((end, tally))
}
