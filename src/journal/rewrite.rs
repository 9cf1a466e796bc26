//! Writing sealed segments anew without what was erased.
//!
//! A rewritten segment has the same frames with the same numbers; the payload of some is replaced, by less or by nothing,
//! and the leaf that stood for the old one stays in its place. So the footer's digest is the same, the chain over
//! all segments still verifies, and nobody can tell from the leaf what was there. The new file is written aside, synced
//! and takes the name of the old one in one step: a crash leaves the one or the other.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Disk;
use crate::journal::format::{ERASED, Footer, GroupHeader, RawFrame, SegmentHeader, Tally};
use crate::journal::reader::as_frame;
use crate::journal::segment::{End, Group, SegmentFile, Walk, read_header};
use crate::journal::{Frame, SegmentInfo, corrupt, failed, journal_dir};

/// What rewriting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Frames that have another payload now.
    pub frames: u64,
    /// Segments that were written anew.
    pub segments: u32,
}

/// Gives every frame of the sealed segments to `replace`, in order, and writes those segments anew of whose frames it
/// returns another payload. Segments that are not sealed are left alone.
///
/// # Errors
/// `Corrupt` for a segment that is not what was written; `Full` or `Io` from the disk; and what `replace` returns. Segments
/// before the one that failed are rewritten, the others as they were.
pub fn rewrite(
    disk: &dyn Disk,
    data_dir: &Path,
    segments: &[SegmentInfo],
    replace: &mut dyn FnMut(Frame<'_>) -> Result<Option<Vec<u8>>>,
) -> Result<Rewritten> {
    let mut done = Rewritten::default();
    for info in segments.iter().filter(|info| info.sealed) {
        let file = SegmentFile { path: info.file.clone(), base_seq: info.base_seq };
        let bytes = disk.read(&file.path).map_err(failed("reading", &file.path))?;
        let header = read_header(&file, &bytes)?;
        let mut anew = Anew::new(&header, &bytes);
        let end = Walk::new(&file.path, &bytes, &header).run(false, &mut |group| anew.group(group, replace))?;
        if anew.frames == 0 {
            continue;
        }
        let frames = anew.frames;
        let bytes = anew.finish(&file.path, &end)?;
        put_in_place(disk, &journal_dir(data_dir), &file.path, &bytes)?;
        done.frames += frames;
        done.segments += 1;
    }
    Ok(done)
}

/// Removes what was set aside as torn: those bytes were never acknowledged, and nobody can say whose they are. Returns
/// how many files went.
///
/// # Errors
/// `Io` from the disk.
pub fn forget_set_aside(disk: &dyn Disk, data_dir: &Path) -> Result<u32> {
    let dir = journal_dir(data_dir);
    let names = disk.list(&dir).map_err(failed("listing", &dir))?;
    let mut removed = 0;
    for name in names.iter().filter(|name| name.starts_with("torn-") || name.ends_with(".seg.new")) {
        let path = dir.join(name);
        disk.remove(&path).map_err(failed("removing", &path))?;
        removed += 1;
    }
    if removed > 0 {
        disk.sync_dir(&dir).map_err(failed("syncing", &dir))?;
    }
    Ok(removed)
}

/// A segment on its way.
struct Anew {
    seed: u32,
    bytes: Vec<u8>,
    tally: Tally,
    frames: u64,
}

impl Anew {
    fn new(header: &SegmentHeader, old: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(old.len());
        // Of the newest version: an older program says so rather than taking what is left of a frame for damage.
        bytes.extend_from_slice(&header.encode());
        Self { seed: header.seed(), bytes, tally: Tally::new(header), frames: 0 }
    }

    fn group(
        &mut self,
        group: &Group<'_, '_>,
        replace: &mut dyn FnMut(Frame<'_>) -> Result<Option<Vec<u8>>>,
    ) -> Result<()> {
        let mut frames = Vec::new();
        self.tally.group(group.header.first_seq, group.header.time_ms);
        for frame in group.frames {
            let leaf = frame.leaf();
            self.tally.frame(frame, &leaf);
            let Some(payload) = replace(as_frame(frame, group.header.time_ms))? else {
                frame.encode_to(self.seed, &[], &mut frames)?;
                continue;
            };
            let erased = RawFrame { flags: frame.flags | ERASED, body: &payload, ..*frame };
            erased.encode_to(self.seed, &leaf, &mut frames)?;
            self.frames += 1;
        }
        let too_large = |_| Error::TooLarge { what: "the group of frames".into(), limit: u64::from(u32::MAX) };
        let header = GroupHeader { len: u32::try_from(frames.len()).map_err(too_large)?, ..group.header };
        self.bytes.extend_from_slice(&header.encode(self.seed));
        self.bytes.extend_from_slice(&frames);
        Ok(())
    }

    /// Adds the footer, with the digest of before.
    fn finish(mut self, path: &Path, end: &End) -> Result<Vec<u8>> {
        let not_sealed = || corrupt(path, end.offset, "a segment that was to be rewritten is not sealed");
        let before = end.footer.clone().ok_or_else(not_sealed)?;
        if self.tally.chain() != before.chain {
            return Err(corrupt(path, end.offset, "the digest chain is not that of the frames; nothing was rewritten"));
        }
        let footer = Footer { bytes: self.bytes.len() as u64, ..before };
        self.bytes.extend_from_slice(&footer.encode(self.seed));
        Ok(self.bytes)
    }
}

fn put_in_place(disk: &dyn Disk, dir: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("seg.new");
    if disk.exists(&aside).map_err(failed("looking for", &aside))? {
        disk.remove(&aside).map_err(failed("removing", &aside))?;
    }
    let file = disk.create_new(&aside).map_err(failed("creating", &aside))?;
    file.write_all_at(0, bytes).map_err(failed("writing", &aside))?;
    file.sync_data().map_err(failed("syncing", &aside))?;
    disk.rename(&aside, path).map_err(failed("renaming", &aside))?;
    disk.sync_dir(dir).map_err(failed("syncing", dir))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::host::{Fault, MemDisk, SeededRandom};
    use crate::journal::format::{DIGEST_BYTES, FRAME_HEADER_BYTES, HEADER_BYTES};
    use crate::journal::{FrameIn, Journal, JournalOptions, check};
    use crate::model::ids::Millis;

    const DIR: &str = "data";

    fn open(disk: &MemDisk) -> Journal {
        let options = JournalOptions { segment_bytes: 8 << 10, ..JournalOptions::default() };
        disk.create_dir_durable(Path::new(DIR)).unwrap();
        Journal::open(Arc::new(disk.clone()), Path::new(DIR), options, Arc::new(SeededRandom::new(1))).unwrap().0
    }

    fn fill(journal: &mut Journal) {
        for number in 0..60u64 {
            let text =
                format!("frame {number} of {} {}", if number % 7 == 0 { "Canary" } else { "others" }, "x".repeat(90));
            let payload = text.as_bytes();
            let frame = |last_of_command| FrameIn { tenant: number % 3, kind: 3, version: 1, last_of_command, payload };
            journal.append(&[frame(false), frame(true)], Millis(i64::try_from(number).unwrap())).unwrap();
        }
    }

    fn frames(disk: &MemDisk) -> Vec<(u64, u64, bool, Vec<u8>)> {
        let mut all = Vec::new();
        Journal::replay(disk, Path::new(DIR), 0, &mut |frame| {
            all.push((frame.seq, frame.tenant, frame.is_erased(), frame.payload.to_vec()));
            Ok(())
        })
        .unwrap();
        all
    }

    fn without_canary(frame: Frame<'_>) -> Result<Option<Vec<u8>>> {
        let is_one = frame.payload.windows(6).any(|part| part == b"Canary");
        Ok(is_one.then(|| if frame.tenant == 0 { Vec::new() } else { b"blank".to_vec() }))
    }

    fn holds_canary(disk: &MemDisk) -> Vec<PathBuf> {
        let dir = journal_dir(Path::new(DIR));
        let files = disk.list(&dir).unwrap().into_iter().map(|name| dir.join(name));
        files.filter(|path| disk.read(path).unwrap().windows(6).any(|part| part == b"Canary")).collect()
    }

    #[test]
    fn what_is_erased_is_in_no_file_and_the_chain_and_the_others_stay() {
        let disk = MemDisk::new();
        let mut journal = open(&disk);
        fill(&mut journal);
        assert!(journal.segments().len() > 2 && !holds_canary(&disk).is_empty());
        let before = frames(&disk);
        journal.seal_current(Millis(99)).unwrap();
        let done = rewrite(&disk, Path::new(DIR), &journal.segments(), &mut without_canary).unwrap();
        assert_eq!((done.frames, done.segments > 2), (18, true));
        assert_eq!(holds_canary(&disk), Vec::<PathBuf>::new());
        assert_eq!(check(&disk, Path::new(DIR)).unwrap().first_corruption, None);
        for (old, new) in before.iter().zip(frames(&disk)) {
            let hit = old.3.windows(6).any(|part| part == b"Canary");
            let left = if old.1 == 0 { Vec::new() } else { b"blank".to_vec() };
            let wanted = if hit { (old.0, old.1, true, left) } else { old.clone() };
            assert_eq!(new, wanted);
        }
        // Again changes nothing, and the journal goes on.
        let again = rewrite(&disk, Path::new(DIR), &journal.segments(), &mut without_canary).unwrap();
        assert_eq!(again, Rewritten::default());
        fill(&mut journal);
        drop(journal);
        assert_eq!(open(&disk).last_seq(), 240);
        assert_eq!(check(&disk, Path::new(DIR)).unwrap().first_corruption, None);
    }

    #[test]
    fn a_crash_at_any_operation_leaves_the_old_or_the_new_segment() {
        let whole = MemDisk::new();
        let mut journal = open(&whole);
        fill(&mut journal);
        journal.seal_current(Millis(99)).unwrap();
        let segments = journal.segments();
        drop(journal);
        let before = frames(&whole);
        for at in 0..40 {
            let disk = whole.crash(0);
            disk.fail_at(disk.operations() + at, Fault::Io);
            let outcome = rewrite(&disk, Path::new(DIR), &segments, &mut without_canary);
            let after = disk.crash(at);
            assert_eq!(check(&after, Path::new(DIR)).unwrap().first_corruption, None, "operation {at}");
            let now = frames(&after);
            assert_eq!(now.len(), before.len());
            for (old, new) in before.iter().zip(&now) {
                assert!(new.2 || new == old, "operation {at}");
            }
            // Repeating completes it.
            if outcome.is_err() {
                rewrite(&after, Path::new(DIR), &segments, &mut without_canary).unwrap();
                forget_set_aside(&after, Path::new(DIR)).unwrap();
            }
            assert_eq!(holds_canary(&after), Vec::<PathBuf>::new(), "operation {at}");
        }
    }

    #[test]
    fn a_damaged_segment_is_refused_and_left_alone() {
        let disk = MemDisk::new();
        let mut journal = open(&disk);
        fill(&mut journal);
        let info = journal.segments().into_iter().next().unwrap();
        let mut bytes = disk.read(&info.file).unwrap();
        bytes[HEADER_BYTES + FRAME_HEADER_BYTES + FRAME_HEADER_BYTES + DIGEST_BYTES] ^= 1;
        disk.put(&info.file, &bytes);
        let refused = rewrite(&disk, Path::new(DIR), std::slice::from_ref(&info), &mut without_canary).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        assert_eq!(disk.read(&info.file).unwrap(), bytes);
    }
}
