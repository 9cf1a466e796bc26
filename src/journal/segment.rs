//! One segment's bytes: which groups are whole, where they end, and what a bad place means.
//!
//! The rule of recovery: the first byte of a group is written only after the sync of the one before has
//! returned. So in the last segment a bad place and everything of ITS group behind it, valid or not, is
//! a torn tail; a valid frame of a LATER group behind it proves that synced bytes were damaged. In any
//! other segment, sealed as it must be, every bad place is damage.
//!
//! In a relaxed segment several groups can be without a sync at a crash, and any part of them can be lost. There only a
//! group that says that all before it was synced proves damage, and a footer, which is written after a sync as well.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::Disk;
use crate::journal::format::{
    FOOTER_BYTES, FRAME_HEADER_BYTES, Footer, GroupHeader, HEADER_BYTES, LAST_OF_COMMAND, RawFrame, SegmentHeader,
    padded,
};
use crate::journal::{corrupt, failed, journal_dir};

/// A segment's file and the seq in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// Seq of its first frame.
    pub base_seq: u64,
}

/// The path of the segment that starts at `base_seq`.
pub fn segment_path(dir: &Path, base_seq: u64) -> PathBuf {
    dir.join(format!("{base_seq:020}.seg"))
}

/// All segments of a data directory, in order. None when there is no journal yet.
pub fn list_segments(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<SegmentFile>> {
    let dir = journal_dir(data_dir);
    let names = match disk.list(&dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing", &dir)(error)),
    };
    let number = |name: &str| name.strip_suffix(".seg").filter(|stem| stem.len() == 20)?.parse().ok();
    let mut files: Vec<SegmentFile> =
        names.iter().filter_map(|name| Some(SegmentFile { base_seq: number(name)?, path: dir.join(name) })).collect();
    files.sort_by_key(|file| file.base_seq);
    Ok(files)
}

/// Reads the header from the first bytes of a segment and holds it against the file's name.
pub fn read_header(file: &SegmentFile, bytes: &[u8]) -> Result<SegmentHeader> {
    let header = SegmentHeader::decode(bytes).map_err(|reason| {
        if reason.starts_with("written by a newer") {
            return Error::invalid(file.path.display().to_string(), format!("{reason}; nothing was changed"));
        }
        corrupt(&file.path, 0, reason)
    })?;
    if header.base_seq != file.base_seq {
        let reason = format!("the header says it starts at seq {}, the name says {}", header.base_seq, file.base_seq);
        return Err(corrupt(&file.path, 0, reason));
    }
    Ok(header)
}

/// A whole group.
#[derive(Debug)]
pub struct Group<'a, 's> {
    /// Time, first seq and counts.
    pub header: GroupHeader,
    /// Where its first frame starts in the file.
    pub frames_offset: usize,
    /// Its frames, verified.
    pub frames: &'s [RawFrame<'a>],
}

/// Where the groups of a segment end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Bytes up to the end of the last whole group.
    pub offset: usize,
    /// Where the last whole group starts before which all was synced; the end of the header when there is none.
    pub latest_offset: usize,
    /// Seq of the next frame.
    pub next_seq: u64,
    /// Time of the last group; the segment's creation when there is none.
    pub latest_ms: i64,
    /// Frames seen.
    pub frames: u64,
    /// Groups seen.
    pub groups: u64,
    /// Bytes of a torn group behind; 0 when it ends cleanly.
    pub torn_bytes: u64,
    /// Present when the segment is sealed.
    pub footer: Option<Footer>,
}

/// What stands at one place.
enum Place {
    Group(GroupHeader),
    Footer(Footer),
    Zeros,
    Bad(String),
}

/// Whether there are zeros only. Most of a segment that was begun is, so they are compared by the page.
fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| ZEROS.get(..part.len()) == Some(part))
}

/// Reads one segment from its first group on.
pub struct Walk<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    seed: u32,
    relaxed: bool,
    end: End,
    frames: Vec<RawFrame<'a>>,
}

impl<'a> Walk<'a> {
    /// Starts behind the header.
    pub fn new(file: &'a Path, bytes: &'a [u8], header: &SegmentHeader) -> Self {
        let end = End {
            offset: HEADER_BYTES,
            latest_offset: HEADER_BYTES,
            next_seq: header.base_seq,
            latest_ms: header.created_ms,
            frames: 0,
            groups: 0,
            torn_bytes: 0,
            footer: None,
        };
        Self { file, bytes, seed: header.seed(), relaxed: header.relaxed, end, frames: Vec::new() }
    }

    /// Gives every whole group to `on_group` and says where they end. `is_last` allows a torn tail and a
    /// missing footer.
    pub fn run(mut self, is_last: bool, on_group: &mut dyn FnMut(&Group<'a, '_>) -> Result<()>) -> Result<End> {
        loop {
            match self.place() {
                Place::Group(header) => {
                    let frames_offset = self.end.offset + FRAME_HEADER_BYTES;
                    on_group(&Group { header, frames_offset, frames: &self.frames })?;
                    self.advance(&header);
                }
                Place::Footer(footer) => return self.sealed(footer),
                Place::Zeros if is_last => return Ok(self.end),
                Place::Zeros => {
                    return Err(corrupt(self.file, self.end.offset, "a segment before the last one has no footer"));
                }
                Place::Bad(reason) if !is_last => {
                    return Err(corrupt(self.file, self.end.offset, reason));
                }
                Place::Bad(reason) => return self.torn(&reason),
            }
        }
    }

    fn advance(&mut self, header: &GroupHeader) {
        if header.after_sync {
            self.end.latest_offset = self.end.offset;
        }
        self.end.offset += FRAME_HEADER_BYTES + header.len as usize;
        self.end.next_seq += u64::from(header.frames);
        self.end.latest_ms = header.time_ms;
        self.end.frames += u64::from(header.frames);
        self.end.groups += 1;
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.end.offset..).unwrap_or_default()
    }

    /// What stands at the current place; a group's frames are left in `self.frames`.
    fn place(&mut self) -> Place {
        let offset = self.end.offset;
        if let Some(header) = GroupHeader::decode(self.bytes, offset, self.seed) {
            return match self.group_frames(&header) {
                Ok(()) => Place::Group(header),
                Err(reason) => Place::Bad(reason),
            };
        }
        if let Some(footer) = Footer::decode(self.bytes, offset, self.seed) {
            return Place::Footer(footer);
        }
        if is_zeros(self.rest()) {
            return Place::Zeros;
        }
        Place::Bad("neither a group, nor a footer, nor the end".into())
    }

    fn group_frames(&mut self, header: &GroupHeader) -> Result<(), String> {
        self.frames.clear();
        if !header.after_sync && !self.relaxed {
            return Err("a group without a sync before it, in a segment that has none of these".into());
        }
        if header.first_seq != self.end.next_seq {
            return Err(format!("the group starts at seq {}, not at {}", header.first_seq, self.end.next_seq));
        }
        let start = self.end.offset + FRAME_HEADER_BYTES;
        let end = start.checked_add(header.len as usize).filter(|end| *end <= self.bytes.len());
        let body = self.bytes.get(..end.ok_or("the group is cut short")?).unwrap_or_default();
        let mut offset = start;
        for position in 0..header.frames {
            let seq = header.first_seq + u64::from(position);
            let frame = RawFrame::decode(body, offset, self.seed)
                .filter(|frame| frame.seq == seq && frame.position == position)
                .ok_or_else(|| format!("frame {seq} is not valid (byte {offset})"))?;
            offset += frame.stored_bytes();
            self.frames.push(frame);
        }
        let ends_a_command = self.frames.last().is_some_and(|frame| frame.flags & LAST_OF_COMMAND != 0);
        if offset != body.len() || !ends_a_command {
            return Err("the group's length or its last frame is wrong".into());
        }
        Ok(())
    }

    fn sealed(mut self, footer: Footer) -> Result<End> {
        let counted = footer.next_seq == self.end.next_seq
            && footer.frames == self.end.frames
            && footer.groups == self.end.groups
            && footer.bytes == self.end.offset as u64;
        if !counted {
            return Err(corrupt(self.file, self.end.offset, "the footer's counts are not those of the segment"));
        }
        let behind = self.end.offset + FOOTER_BYTES;
        let rest = self.bytes.get(behind..).unwrap_or_default();
        if !is_zeros(rest)
            && let Some(at) = rest.iter().position(|byte| *byte != 0)
        {
            return Err(corrupt(self.file, behind + at, "there is something behind the footer"));
        }
        self.end.footer = Some(footer);
        Ok(self.end)
    }

    /// A bad place in the last segment: a torn tail, or proof of damage.
    fn torn(mut self, reason: &str) -> Result<End> {
        if let Some(proof) = self.find_later() {
            let reason = format!("{reason}, and a later group is valid (byte {proof}): synced bytes were damaged");
            return Err(corrupt(self.file, self.end.offset, reason));
        }
        let used = self.rest().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.end.torn_bytes = used as u64;
        Ok(self.end)
    }

    /// Where something stands that was written after the group that should start here was synced.
    fn find_later(&self) -> Option<usize> {
        let due = self.end.next_seq;
        let mut offset = self.end.offset;
        while offset + FRAME_HEADER_BYTES <= self.bytes.len() {
            let is_blank = self.bytes.get(offset..offset + 4) == Some(&[0; 4]);
            if !is_blank && self.is_later(offset, due) {
                return Some(offset);
            }
            offset = padded(offset + 1);
        }
        None
    }

    fn is_later(&self, offset: usize, due: u64) -> bool {
        if let Some(group) = GroupHeader::decode(self.bytes, offset, self.seed) {
            return group.first_seq != due && group.after_sync;
        }
        // A footer right here was looked at before; one behind was written after what stands here.
        if Footer::decode(self.bytes, offset, self.seed).is_some() {
            return true;
        }
        // A frame does not say whether its group came after a sync.
        if self.relaxed {
            return false;
        }
        RawFrame::decode(self.bytes, offset, self.seed).is_some_and(|frame| frame.group_seq() != Some(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_not_zeros() {
        for len in [0, 1, 7, 4095, 4096, 4097, 8192, 10_000] {
            let mut bytes = vec![0; len];
            assert!(is_zeros(&bytes), "{len} zeros");
            for at in [0, 1, len / 2, 4095, 4096, len.saturating_sub(1)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 1;
                    assert!(!is_zeros(&bytes), "byte {at} of {len}");
                    bytes.fill(0);
                }
            }
        }
    }
}
