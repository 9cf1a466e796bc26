//! Appending: one group is one write and one sync.
//!
//! The next segment is filled with zeros and synced ahead in a background thread (growing a file makes
//! every sync slower), under the name `next.tmp`; it becomes current by its header, a sync, a rename and a
//! sync of the directory. The first segments are small, so that an empty data directory costs little.
//! After any failed write or sync the journal is poisoned; only a full disk met while preparing the next
//! segment, before anything of the group was written, leaves it usable. A relaxed journal leaves the time of the sync to
//! its caller; each group says whether all before it was synced, so that a crash can still be told from damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile, Random};
use crate::journal::aside::Aside;
use crate::journal::format::{
    DIGEST_BYTES, FOOTER_BYTES, FRAME_HEADER_BYTES, Footer, GroupHeader, HEADER_BYTES, LAST_OF_COMMAND,
    LEAF_SALT_BYTES, RawFrame, SEALED, SegmentHeader, Tally, frame_bytes,
};
use crate::journal::keyring::{CurrentKeys, Keyring, Opened};
use crate::journal::reader::{self, ReplayReport, walk_with_tally};
use crate::journal::seal::{Label, NONCE_BYTES, SEAL_BYTES};
use crate::journal::segment::{End, SegmentFile, list_segments, read_header, segment_path};
use crate::journal::{Frame, FrameIn, chance, failed, journal_dir};
use crate::model::ids::Millis;

/// The first segment's size, unless the options say less; each later one may be four times as large.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// A group's length is a u32, and a segment is read into memory as a whole.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Room for a header, a small group and a footer.
const SEGMENT_BYTES_MIN: u64 = 8192;
/// Bytes of a second buffer that is kept for the next group.
const SPARE_MAX: usize = 1 << 20;
/// Zeros are written in pieces of this size.
const ZEROS_BYTES: usize = 1 << 20;
/// Of a segment to remain when the next one is begun: three quarters.
const AHEAD_DIVISOR: u64 = 4;

/// Random bytes for one frame: the leaf's salt, and a nonce in case it is sealed.
const CHANCE_BYTES: usize = LEAF_SALT_BYTES + NONCE_BYTES;

/// What the caller decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size of a segment in bytes, 8 KiB to 1 GiB; also bounds a group.
    pub segment_bytes: u64,
    /// Largest payload in bytes.
    pub frame_max: u32,
    /// Bits that name the encoding of payloads; a journal written with others is refused.
    pub rkyv_format: u32,
    /// Groups are written before the one before is synced; the caller syncs when it likes.
    pub relaxed: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, frame_max: 16 << 20, rkyv_format: 0, relaxed: false }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Seq of the last frame; 0 in an empty journal.
    pub last_seq: u64,
    /// Bytes of a torn tail, set aside; 0 when the journal ended cleanly.
    pub torn_bytes: u64,
    /// Where the torn tail was copied to.
    pub torn_file: Option<PathBuf>,
}

/// A segment, for statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file.
    pub file: PathBuf,
    /// Seq of its first frame.
    pub base_seq: u64,
    /// Bytes on disk, for the current one bytes in use.
    pub bytes: u64,
    /// Whether it takes no more frames.
    pub sealed: bool,
}

/// The segment that takes the next group.
struct Current {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: SegmentHeader,
    seed: u32,
    offset: u64,
    /// `None` while the thread for digests has it.
    tally: Option<Tally>,
}

/// A file of synced zeros under the name `next.tmp`.
struct Prepared {
    file: Box<dyn DiskFile>,
    bytes: u64,
}

/// The journal of one data directory, open for appending. One writer at a time: lock the directory first.
pub struct Journal {
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    dir: PathBuf,
    options: JournalOptions,
    current: Option<Current>,
    older: Vec<SegmentInfo>,
    chain_before: [u8; DIGEST_BYTES],
    epoch: u64,
    next_seq: u64,
    durable_seq: u64,
    is_poisoned: bool,
    ahead: Option<JoinHandle<Result<Prepared>>>,
    buffer: Vec<u8>,
    /// The buffer of the group before, while the thread for digests does not need it.
    spare: Vec<u8>,
    aside: Aside,
    salts: Vec<u8>,
    keys: Option<Arc<Keyring>>,
    sealed: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `data_dir/journal`, finds its end and sets a torn tail aside. The last segment
    /// is verified in full, of the others the headers; replay verifies what it reads. Creates no segment.
    ///
    /// # Errors
    /// `Corrupt` when synced bytes were damaged; `Invalid` for options out of range and for files of a newer
    /// selfsame or another payload format (nothing is changed then); `Full` or `Io` from the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        options: JournalOptions,
        random: Arc<dyn Random>,
    ) -> Result<(Self, OpenReport)> {
        check_options(&options)?;
        let files = list_segments(&*disk, data_dir)?;
        let older = describe_older(&*disk, &files, &options)?;
        let dir = journal_dir(data_dir);
        let mut journal = Self {
            disk,
            random,
            dir,
            options,
            current: None,
            older,
            chain_before: [0; DIGEST_BYTES],
            epoch: 1,
            next_seq: 1,
            durable_seq: 0,
            is_poisoned: false,
            ahead: None,
            buffer: Vec::new(),
            spare: Vec::new(),
            aside: Aside::default(),
            salts: Vec::new(),
            keys: None,
            sealed: Vec::new(),
        };
        let report = match files.last() {
            Some(last) => journal.resume(last)?,
            None => journal.create_dir(data_dir)?,
        };
        Ok((journal, report))
    }

    /// Gives every frame after `after_seq` to `on_frame`, in order; only whole groups, a torn tail is left out.
    /// Works on a journal that is open elsewhere and on one that was never opened.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what was written, a segment is missing, or the journal ends before
    /// `after_seq`; `Invalid` for files of a newer selfsame; `Io` from the disk; and whatever `on_frame` returns.
    pub fn replay(
        disk: &dyn Disk,
        data_dir: &Path,
        after_seq: u64,
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<()>,
    ) -> Result<ReplayReport> {
        reader::dump(disk, data_dir, after_seq, &mut |located| on_frame(located.frame))
    }

    /// As [`Journal::replay`], with sealed payloads opened. Frames of tenants whose keys were destroyed are left out;
    /// returns how many these are beside the report.
    ///
    /// # Errors
    /// As [`Journal::replay`] and [`Keyring::open_frame`].
    pub fn replay_opened(
        disk: &dyn Disk,
        data_dir: &Path,
        after_seq: u64,
        keys: &Keyring,
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<()>,
    ) -> Result<(ReplayReport, u64)> {
        let mut destroyed = 0;
        let report = Self::replay(disk, data_dir, after_seq, &mut |frame| match keys.open_frame(&frame)? {
            Opened::Plain(payload) => on_frame(Frame { payload: &payload, ..frame }),
            Opened::Destroyed => {
                destroyed += 1;
                Ok(())
            }
        })?;
        Ok((report, destroyed))
    }

    /// Seals every payload from now on under its tenant's key.
    pub fn seal_with(&mut self, keys: Arc<Keyring>) {
        self.keys = Some(keys);
    }

    /// Appends one group and returns the seqs of its frames once they are durable. No frames: nothing happens.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge` for a group that cannot be written, and `Full` when there is no room for the
    /// next segment: the journal stays usable. A failed write or sync returns `Io` or `Full` and poisons it;
    /// from then on every call returns `Poisoned`.
    pub fn append(&mut self, frames: &[FrameIn<'_>], now: Millis) -> Result<std::ops::Range<u64>> {
        let seqs = self.write(frames, now)?;
        self.sync()?;
        Ok(seqs)
    }

    /// The first half of `append`: writes the group without making it durable. Syncs an earlier group first, unless the
    /// journal is relaxed.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn write(&mut self, frames: &[FrameIn<'_>], now: Millis) -> Result<std::ops::Range<u64>> {
        if self.is_poisoned {
            return Err(Error::Poisoned);
        }
        if !self.options.relaxed {
            self.sync()?;
        }
        let first_seq = self.next_seq;
        if frames.is_empty() {
            return Ok(first_seq..first_seq);
        }
        let group_bytes = self.group_bytes(frames)?;
        let keys = self.group_keys(frames)?;
        self.make_room(group_bytes, now)?;
        let written = self.encode(frames, keys.as_ref(), group_bytes, now).and_then(|()| self.write_buffer());
        let counted = written.and_then(|()| self.count(frames.len()));
        self.poison_unless(counted)?;
        self.next_seq += frames.len() as u64;
        self.begin_ahead();
        Ok(first_seq..self.next_seq)
    }

    /// The second half of `append`: makes what was written durable. Nothing happens when all is.
    ///
    /// # Errors
    /// `Io` when the sync fails: the journal is poisoned then; `Poisoned` when it was before.
    pub fn sync(&mut self) -> Result<()> {
        if self.is_poisoned {
            return Err(Error::Poisoned);
        }
        if self.durable_seq + 1 == self.next_seq {
            return Ok(());
        }
        let synced = match &self.current {
            Some(current) => current.file.sync_data().map_err(failed("syncing", &current.path)),
            None => Ok(()),
        };
        self.poison_unless(synced)?;
        self.durable_seq = self.next_seq - 1;
        Ok(())
    }

    /// Ends the current segment, so that everything appended so far can be rewritten; the next group starts a new one.
    /// Nothing happens where there is none or it has no frames.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn seal_current(&mut self, now: Millis) -> Result<()> {
        self.sync()?;
        let settled = self.settle();
        self.poison_unless(settled)?;
        let has_frames = |current: &mut Current| current.tally.as_ref().is_some_and(|tally| tally.frames > 0);
        let Some(current) = self.current.take_if(has_frames) else { return Ok(()) };
        let sealed = self.seal(&current, now.0);
        self.poison_unless(sealed)
    }

    /// Seq of the last frame written, 0 when there is none. After `append` it is durable.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Seq of the last durable frame, 0 when there is none.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// Whether something written is not durable yet.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.durable_seq + 1 < self.next_seq
    }

    /// Whether a write or sync failed: nothing more can be appended.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Largest group in bytes, as [`Journal::stored_bytes`] counts its frames.
    #[must_use]
    pub fn group_bytes_max(&self) -> u64 {
        self.options.segment_bytes - (HEADER_BYTES + FRAME_HEADER_BYTES + FOOTER_BYTES) as u64
    }

    /// Bytes that a frame with a payload of this length takes at most, which is when it is sealed.
    #[must_use]
    pub fn stored_bytes(payload_len: usize) -> u64 {
        frame_bytes(payload_len + SEAL_BYTES) as u64
    }

    /// All segments, the current one last.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let current = self.current.iter().map(|current| SegmentInfo {
            file: current.path.clone(),
            base_seq: current.header.base_seq,
            bytes: current.offset,
            sealed: false,
        });
        self.older.iter().cloned().chain(current).collect()
    }

    /// Forgets the sealed segments whose files were removed: those before the one that begins at `first_seq`.
    pub fn forget_before(&mut self, first_seq: u64) {
        self.older.retain(|segment| segment.base_seq >= first_seq);
    }

    /// Bytes of all segments together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.older.iter().map(|segment| segment.bytes).sum::<u64>()
            + self.current.as_ref().map_or(0, |current| current.offset)
    }

    fn poison_unless<T>(&mut self, outcome: Result<T>) -> Result<T> {
        self.is_poisoned |= outcome.is_err();
        outcome
    }

    fn create_dir(&self, data_dir: &Path) -> Result<OpenReport> {
        self.disk.create_dir_all(&self.dir).map_err(failed("creating", &self.dir))?;
        self.disk.sync_dir(data_dir).map_err(failed("syncing", data_dir))?;
        Ok(OpenReport::default())
    }

    /// Finds the end of the last segment: goes on in it, or seals it so that the next group starts a new one.
    fn resume(&mut self, last: &SegmentFile) -> Result<OpenReport> {
        let bytes = self.disk.read(&last.path).map_err(failed("reading", &last.path))?;
        let header = read_header(last, &bytes)?;
        let (end, tally) = walk_with_tally(last, &bytes, &header, true)?;
        let mut report = OpenReport { last_seq: end.next_seq - 1, torn_bytes: end.torn_bytes, torn_file: None };
        self.epoch = header.epoch + 1;
        self.next_seq = end.next_seq;
        self.durable_seq = end.next_seq - 1;
        let file = self.disk.open(&last.path).map_err(failed("opening", &last.path))?;
        let current = Current {
            path: last.path.clone(),
            file,
            seed: header.seed(),
            offset: end.offset as u64,
            tally: Some(tally),
            header,
        };
        self.renew(&current, &bytes, &end)?;
        if let Some(footer) = &end.footer {
            self.chain_before = footer.chain;
            self.older.push(sealed_info(&current));
        } else if end.torn_bytes == 0
            && bytes.len() as u64 == current.header.segment_bytes
            && SegmentHeader::is_newest(&bytes)
            && current.header.relaxed == self.options.relaxed
        {
            self.current = Some(current);
        } else {
            report.torn_file = self.set_aside(&current, &bytes, &end)?;
            self.seal(&current, end.latest_ms)?;
        }
        Ok(report)
    }

    /// Makes what was just read durable. Only the last group (of a relaxed segment all since the last sync), the footer and
    /// the name can be without a sync: a process may have ended before it, or the sync may have failed. A failed one leaves pages that can be
    /// read but never reach the disk by a sync alone, so the same bytes are written again.
    fn renew(&self, current: &Current, bytes: &[u8], end: &End) -> Result<()> {
        let footer_bytes = if end.footer.is_some() { FOOTER_BYTES } else { 0 };
        let latest = bytes.get(end.latest_offset..end.offset + footer_bytes).unwrap_or_default();
        if !latest.is_empty() {
            let written = current.file.write_all_at(end.latest_offset as u64, latest);
            written.map_err(failed("rewriting the last group of", &current.path))?;
        }
        current.file.sync_data().map_err(failed("syncing", &current.path))?;
        self.disk.sync_dir(&self.dir).map_err(failed("syncing", &self.dir))
    }

    /// Copies a torn tail to a file of its own and puts zeros in its place.
    fn set_aside(&self, current: &Current, bytes: &[u8], end: &End) -> Result<Option<PathBuf>> {
        let torn_len = usize::try_from(end.torn_bytes).unwrap_or(usize::MAX);
        let torn = bytes.get(end.offset..end.offset.saturating_add(torn_len)).unwrap_or_default();
        if torn.is_empty() {
            return Ok(None);
        }
        let path = (0u32..)
            .map(|n| self.dir.join(format!("torn-{:020}-{n}.bin", end.next_seq)))
            .find(|path| !matches!(self.disk.exists(path), Ok(true)))
            .unwrap_or_else(|| self.dir.join("torn.bin"));
        let copy = self.disk.create_new(&path).map_err(failed("creating", &path))?;
        copy.write_all_at(0, torn).map_err(failed("writing", &path))?;
        copy.sync_data().map_err(failed("syncing", &path))?;
        self.disk.sync_dir(&self.dir).map_err(failed("syncing", &self.dir))?;
        let zeros = vec![0; torn.len()];
        current.file.write_all_at(current.offset, &zeros).map_err(failed("clearing", &current.path))?;
        current.file.sync_data().map_err(failed("syncing", &current.path))?;
        Ok(Some(path))
    }

    /// Ends a segment with its footer, durably. One without frames is left as it is: the next segment has the
    /// same first seq, hence the same name, and takes its place by the rename.
    fn seal(&mut self, current: &Current, now_ms: i64) -> Result<()> {
        let tally = current.tally.as_ref().ok_or(Error::Poisoned)?;
        if tally.frames == 0 {
            self.chain_before = current.header.chain_before;
            return Ok(());
        }
        let chain = tally.chain();
        let footer = Footer {
            next_seq: self.next_seq,
            sealed_ms: now_ms,
            frames: tally.frames,
            groups: tally.groups,
            bytes: current.offset,
            chain,
            chain_before: current.header.chain_before,
        };
        let bytes = footer.encode(current.seed);
        current.file.write_all_at(current.offset, &bytes).map_err(failed("sealing", &current.path))?;
        current.file.sync_data().map_err(failed("syncing", &current.path))?;
        self.chain_before = chain;
        self.older.push(sealed_info(current));
        Ok(())
    }

    /// The keys for a group's frames, on disk before the group is. `None`: nothing is sealed.
    fn group_keys(&mut self, frames: &[FrameIn<'_>]) -> Result<Option<CurrentKeys>> {
        let Some(keys) = &self.keys else { return Ok(None) };
        match keys.current(frames.iter().map(|frame| frame.tenant)) {
            Err(error @ Error::Io { .. }) => self.poison_unless(Err(error)),
            outcome => outcome.map(Some),
        }
    }

    /// Checks a group's frames and counts its bytes, the group header included.
    fn group_bytes(&self, frames: &[FrameIn<'_>]) -> Result<u64> {
        let more = if self.keys.is_some() { SEAL_BYTES } else { 0 };
        let mut bytes = FRAME_HEADER_BYTES as u64;
        for frame in frames {
            if frame.kind == 0 {
                return Err(Error::invalid("kind", "0 is the journal's own; use 1 to 255"));
            }
            if frame.payload.len() as u64 > u64::from(self.options.frame_max) {
                return Err(Error::TooLarge { what: "the frame".into(), limit: u64::from(self.options.frame_max) });
            }
            bytes += frame_bytes(frame.payload.len() + more) as u64;
        }
        if !frames.last().is_some_and(|frame| frame.last_of_command) {
            return Err(Error::invalid("frames", "a command may not span two groups: the last frame must end one"));
        }
        if bytes - FRAME_HEADER_BYTES as u64 > self.group_bytes_max() {
            return Err(Error::TooLarge { what: "the group of frames".into(), limit: self.group_bytes_max() });
        }
        Ok(bytes)
    }

    /// Goes on to a new segment unless the current one has room for the group and a footer.
    fn make_room(&mut self, group_bytes: u64, now: Millis) -> Result<()> {
        let with_footer = group_bytes + FOOTER_BYTES as u64;
        if let Some(current) = &self.current
            && current.offset + with_footer <= current.header.segment_bytes
        {
            return Ok(());
        }
        let prepared = match self.take_prepared(with_footer + HEADER_BYTES as u64) {
            Err(Error::Full { what }) => return Err(Error::Full { what }),
            outcome => self.poison_unless(outcome)?,
        };
        let rolled = self.roll(prepared, now);
        self.poison_unless(rolled)
    }

    fn roll(&mut self, prepared: Prepared, now: Millis) -> Result<()> {
        // A footer says that all before it is there: in a relaxed segment that takes a sync of its own.
        self.sync()?;
        self.settle()?;
        if let Some(current) = self.current.take() {
            self.seal(&current, now.0)?;
        }
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let header = SegmentHeader {
            rkyv_format: self.options.rkyv_format,
            epoch: self.epoch,
            base_seq: self.next_seq,
            created_ms: now.0,
            segment_bytes: prepared.bytes,
            salt,
            chain_before: self.chain_before,
            relaxed: self.options.relaxed,
        };
        let (from, path) = (next_path(&self.dir), segment_path(&self.dir, self.next_seq));
        prepared.file.write_all_at(0, &header.encode()).map_err(failed("writing", &from))?;
        prepared.file.sync_data().map_err(failed("syncing", &from))?;
        self.disk.rename(&from, &path).map_err(failed("renaming", &from))?;
        self.disk.sync_dir(&self.dir).map_err(failed("syncing", &self.dir))?;
        self.current = Some(Current {
            path,
            file: prepared.file,
            seed: header.seed(),
            offset: HEADER_BYTES as u64,
            tally: Some(Tally::new(&header)),
            header,
        });
        Ok(())
    }

    fn next_bytes(&self) -> u64 {
        let grown = match (&self.current, self.older.last()) {
            (Some(current), _) => current.header.segment_bytes.saturating_mul(4),
            (None, Some(latest)) => latest.bytes.saturating_mul(4).max(FIRST_SEGMENT_BYTES),
            (None, None) => FIRST_SEGMENT_BYTES,
        };
        grown.min(self.options.segment_bytes)
    }

    /// The segment made ahead when it is there and large enough, else one made now.
    fn take_prepared(&mut self, at_least: u64) -> Result<Prepared> {
        let ahead = self.ahead.take().and_then(|thread| thread.join().ok()?.ok());
        match ahead {
            Some(prepared) if prepared.bytes >= at_least => Ok(prepared),
            Some(_) | None => prepare(&*self.disk, &self.dir, self.next_bytes().max(at_least)),
        }
    }

    /// Starts to prepare the next segment when a good part of the current one is used.
    fn begin_ahead(&mut self) {
        let is_due =
            self.current.as_ref().is_some_and(|current| current.offset > current.header.segment_bytes / AHEAD_DIVISOR);
        if !is_due || self.ahead.is_some() || !self.disk.works_ahead() {
            return;
        }
        let (disk, dir, bytes) = (Arc::clone(&self.disk), self.dir.clone(), self.next_bytes());
        let thread = std::thread::Builder::new().name("journal-ahead".into());
        // Without a thread, or when it fails, the segment is made when it is needed.
        self.ahead = thread.spawn(move || prepare(&*disk, &dir, bytes)).ok();
    }

    /// Puts the group's bytes into the buffer.
    fn encode(
        &mut self,
        frames: &[FrameIn<'_>],
        keys: Option<&CurrentKeys>,
        group_bytes: u64,
        now: Millis,
    ) -> Result<()> {
        let Some(current) = &self.current else {
            return Err(Error::Poisoned);
        };
        let too_large = |_| Error::TooLarge { what: "the group of frames".into(), limit: u64::from(u32::MAX) };
        let header = GroupHeader {
            len: u32::try_from(group_bytes - FRAME_HEADER_BYTES as u64).map_err(too_large)?,
            first_seq: self.next_seq,
            time_ms: now.0,
            frames: u32::try_from(frames.len()).map_err(too_large)?,
            after_sync: self.durable_seq + 1 == self.next_seq,
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(&header.encode(current.seed));
        self.salts.resize(frames.len() * CHANCE_BYTES, 0);
        chance::fill(&*self.random, &mut self.salts);
        let (chances, _) = self.salts.as_chunks::<CHANCE_BYTES>();
        for ((frame, position), chance) in frames.iter().zip(0u32..).zip(chances) {
            let (salt, nonce) = split_chance(chance);
            let seq = self.next_seq + u64::from(position);
            let (body, sealed) = match keys {
                Some(keys) => {
                    let label = Label::Frame { tenant: frame.tenant, kind: frame.kind, version: frame.version, seq };
                    keys.seal_into(&label, &nonce, frame.payload, &mut self.sealed)?;
                    (self.sealed.as_slice(), SEALED)
                }
                None => (frame.payload, 0),
            };
            let raw = RawFrame {
                seq,
                tenant: frame.tenant,
                kind: frame.kind,
                version: frame.version,
                flags: sealed | if frame.last_of_command { LAST_OF_COMMAND } else { 0 },
                position,
                body,
            };
            raw.encode_to(current.seed, &salt, &mut self.buffer)?;
        }
        Ok(())
    }

    /// Takes the group that was written into the running digest, one of many frames while it is synced.
    fn count(&mut self, frames: usize) -> Result<()> {
        self.settle()?;
        let Some(current) = &mut self.current else {
            return Err(Error::Poisoned);
        };
        if self.aside.takes(frames) {
            let group = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
            let tally = current.tally.take().ok_or(Error::Poisoned)?;
            return self.aside.give(tally, group, current.seed);
        }
        let counted = current.tally.as_mut().and_then(|tally| tally.encoded(&self.buffer, current.seed));
        counted.ok_or(Error::Poisoned)
    }

    /// Waits until all that was written is in the running digest.
    fn settle(&mut self) -> Result<()> {
        if let Some(current) = &mut self.current
            && current.tally.is_none()
        {
            let (tally, buffer) = self.aside.take_back()?;
            current.tally = Some(tally);
            // One group of many megabytes shall not leave two such buffers behind.
            self.spare = if buffer.capacity() > SPARE_MAX { Vec::new() } else { buffer };
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Err(Error::Poisoned);
        };
        current.file.write_all_at(current.offset, &self.buffer).map_err(failed("appending to", &current.path))?;
        current.offset += self.buffer.len() as u64;
        Ok(())
    }
}

impl Drop for Journal {
    /// Waits for the background thread, so that whoever opens the journal next has the directory alone.
    fn drop(&mut self) {
        if let Some(thread) = self.ahead.take() {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("next_seq", &self.next_seq)
            .field("is_poisoned", &self.is_poisoned)
            .finish_non_exhaustive()
    }
}

fn split_chance(chance: &[u8; CHANCE_BYTES]) -> ([u8; LEAF_SALT_BYTES], [u8; NONCE_BYTES]) {
    let (salt, nonce) = chance.split_at(LEAF_SALT_BYTES);
    (salt.first_chunk().copied().unwrap_or_default(), nonce.first_chunk().copied().unwrap_or_default())
}

fn check_options(options: &JournalOptions) -> Result<()> {
    let bytes = options.segment_bytes;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(8) {
        let reason = format!("must be a multiple of 8 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}, not {bytes}");
        return Err(Error::invalid("segment_bytes", reason));
    }
    Ok(())
}

/// Reads the headers of all segments and describes all but the last.
fn describe_older(disk: &dyn Disk, files: &[SegmentFile], options: &JournalOptions) -> Result<Vec<SegmentInfo>> {
    let mut infos = Vec::with_capacity(files.len());
    for file in files {
        let open = disk.open_read(&file.path).map_err(failed("opening", &file.path))?;
        let bytes = open.len().map_err(failed("reading", &file.path))?;
        let header_len = usize::try_from(bytes).unwrap_or(HEADER_BYTES).min(HEADER_BYTES);
        let mut start = vec![0; header_len];
        open.read_exact_at(0, &mut start).map_err(failed("reading", &file.path))?;
        let header = read_header(file, &start)?;
        if header.rkyv_format != options.rkyv_format {
            let reason = format!(
                "its payloads have format bits {:#x}, this binary writes {:#x}; use the binary that wrote it",
                header.rkyv_format, options.rkyv_format
            );
            return Err(Error::invalid(file.path.display().to_string(), reason));
        }
        infos.push(SegmentInfo { file: file.path.clone(), base_seq: file.base_seq, bytes, sealed: true });
    }
    infos.pop();
    Ok(infos)
}

fn sealed_info(current: &Current) -> SegmentInfo {
    SegmentInfo {
        file: current.path.clone(),
        base_seq: current.header.base_seq,
        bytes: current.offset + FOOTER_BYTES as u64,
        sealed: true,
    }
}

fn next_path(dir: &Path) -> PathBuf {
    dir.join("next.tmp")
}

/// Makes a file of synced zeros; on failure it is removed again, so that it takes no room.
fn prepare(disk: &dyn Disk, dir: &Path, bytes: u64) -> Result<Prepared> {
    let path = next_path(dir);
    if disk.exists(&path).map_err(failed("looking for", &path))? {
        disk.remove(&path).map_err(failed("removing", &path))?;
    }
    let bytes = bytes.next_multiple_of(8);
    let file = disk.create_new(&path).map_err(failed("creating", &path))?;
    let filled = fill(&*file, bytes).map_err(failed("preparing", &path));
    if let Err(error) = filled {
        drop(file);
        // Only to give the room back; if even this fails, the next try removes it.
        drop(disk.remove(&path));
        return Err(error);
    }
    Ok(Prepared { file, bytes })
}

fn fill(file: &dyn DiskFile, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let len = usize::try_from(bytes - offset).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
        file.write_all_at(offset, zeros.get(..len).unwrap_or_default())?;
        offset += len as u64;
    }
    file.sync_data()
}
