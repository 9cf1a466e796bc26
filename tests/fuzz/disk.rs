//! Bytes of segments and snapshots: read as damaged ones, and with checksums made to fit, so that what lies behind the
//! checksums is reached too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selfsame::host::{MemDisk, SeededRandom};
use selfsame::journal::{self, FrameIn, Journal, JournalOptions, Snapshot};
use selfsame::matching::model::Model;
use selfsame::model::event;
use selfsame::model::ids::{Millis, TenantId};
use selfsame::store::fingerprint::fingerprint;
use selfsame::store::shard::Shard;
use selfsame::store::state;

use crate::Outcome;

const DATA: &str = "/data";
const SEGMENT_HEADER: usize = 4096;

fn golden(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = Vec::new();
    for version in std::fs::read_dir(home).unwrap() {
        for entry in std::fs::read_dir(version.unwrap().path().join("data").join(folder)).unwrap() {
            paths.extend(entry.ok().map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)));
        }
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The committed segments, without most of the zeros behind them.
pub fn segments() -> Vec<Vec<u8>> {
    let mut all = golden("journal", ".seg");
    for bytes in &mut all {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used.next_multiple_of(8) + 64);
    }
    all
}

/// The committed snapshots.
pub fn snapshots() -> Vec<Vec<u8>> {
    golden("snapshots", ".snap")
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn crc(seed: u32, parts: &[&[u8]]) -> [u8; 4] {
    parts.iter().fold(seed, |crc, part| crc32c::crc32c_append(crc, part)).to_le_bytes()
}

/// Makes the checksums of a segment fit what stands in it.
pub fn fix_segment(bytes: &mut [u8]) {
    if bytes.len() < SEGMENT_HEADER {
        return;
    }
    let header = crc(0, &[&bytes[..12], &bytes[16..SEGMENT_HEADER]]);
    bytes[12..16].copy_from_slice(&header);
    let seed = crc32c::crc32c(&bytes[56..72]);
    let mut at = SEGMENT_HEADER;
    while at + 32 <= bytes.len() {
        let len = u32_at(bytes, at).unwrap_or(0) as usize;
        let is_group = bytes[at + 24] == 0 && &bytes[at + 26..at + 28] == b"GR";
        let body = if is_group { 0 } else { len };
        let Some(end) = (at + 32).checked_add(body).filter(|end| *end <= bytes.len()) else { return };
        let sum = crc(seed, &[&bytes[at..at + 4], &bytes[at + 8..end]]);
        bytes[at + 4..at + 8].copy_from_slice(&sum);
        at = end.next_multiple_of(8);
    }
}

/// Makes the checksums and the digest of a snapshot fit what stands in it.
pub fn fix_snapshot(bytes: &mut [u8]) {
    if bytes.len() < 64 {
        return;
    }
    let header = crc(0, &[&bytes[..12], &bytes[16..64]]);
    bytes[12..16].copy_from_slice(&header);
    let seed = crc32c::crc32c(&bytes[32..48]);
    let (mut at, mut index) = (64, 0u64);
    while at + 32 <= bytes.len() {
        let len = u32_at(bytes, at).unwrap_or(0) as usize;
        let Some(end) = (at + 32).checked_add(len).filter(|end| *end <= bytes.len()) else { return };
        bytes[at + 8..at + 16].copy_from_slice(&index.to_le_bytes());
        if &bytes[at + 26..at + 28] == b"FT" && len == 48 {
            let digest = blake3::hash(&bytes[..at]);
            bytes[at + 32..at + 40].copy_from_slice(&index.to_le_bytes());
            bytes[at + 40..at + 48].copy_from_slice(&(at as u64).to_le_bytes());
            bytes[at + 48..at + 80].copy_from_slice(digest.as_bytes());
        }
        let sum = crc(seed, &[&bytes[at..at + 4], &bytes[at + 8..end]]);
        bytes[at + 4..at + 8].copy_from_slice(&sum);
        (at, index) = (end.next_multiple_of(8), index + 1);
    }
}

/// One frame, for comparison.
type Copied = (u64, u64, u8, u8, Vec<u8>);

fn read(disk: &MemDisk, after: u64) -> Result<Vec<Copied>, selfsame::error::Error> {
    let mut all = Vec::new();
    journal::dump(disk, Path::new(DATA), after, &mut |at| {
        let frame = at.frame;
        all.push((frame.seq, frame.tenant, frame.kind, frame.version, frame.payload.to_vec()));
        Ok(())
    })?;
    Ok(all)
}

fn base_seq(bytes: &[u8]) -> u64 {
    bytes.get(32..40).map_or(1, |field| u64::from_le_bytes(field.try_into().unwrap())).clamp(1, u64::MAX / 2)
}

fn with_segment(bytes: &[u8]) -> MemDisk {
    let disk = MemDisk::new();
    disk.put(&Path::new(DATA).join("journal").join(format!("{:020}.seg", base_seq(bytes))), bytes);
    disk
}

/// Reads bytes as a journal of one segment.
pub struct Frames {
    /// Every frame that was ever written.
    written: BTreeSet<Copied>,
}

impl Frames {
    pub fn new() -> Self {
        let all = segments();
        let written = all.iter().filter_map(|bytes| read(&with_segment(bytes), base_seq(bytes) - 1).ok());
        Self { written: written.flatten().collect() }
    }

    pub fn run(&self, bytes: &[u8], forged: bool) -> Outcome {
        let disk = with_segment(bytes);
        let checked = journal::check(&disk, Path::new(DATA)).map_err(|error| format!("{error:?}"));
        let frames = match read(&disk, base_seq(bytes) - 1) {
            Ok(frames) => frames,
            Err(error) => return Ok(kind_of(&error.to_string())),
        };
        if !forged && let Some(frame) = frames.iter().find(|frame| !self.written.contains(frame)) {
            return Err(format!("frame {} was never written", frame.0));
        }
        let decoded = frames.iter().filter(|frame| event::decode(frame.2, frame.3, &frame.4).is_ok()).count();
        let checked = checked.is_ok_and(|report| report.first_corruption.is_none());
        let told = format!(
            "{} frames, {decoded} decode, checked {checked}, {}",
            frames.len().min(20),
            go_on(&disk, &frames, bytes)?
        );
        Ok(told)
    }
}

/// Opens the journal for writing and appends: what was read stays, and the new frame comes behind it.
fn go_on(disk: &MemDisk, frames: &[Copied], bytes: &[u8]) -> Outcome {
    let rkyv_format = u32_at(bytes, 16).unwrap_or(0);
    let options = JournalOptions { segment_bytes: 64 << 10, frame_max: 4096, rkyv_format, relaxed: false };
    let random = Arc::new(SeededRandom::new(1));
    let mut journal = match Journal::open(Arc::new(disk.clone()), Path::new(DATA), options, random) {
        Ok((journal, _)) => journal,
        Err(error) => return Ok(kind_of(&error.to_string())),
    };
    let frame = FrameIn { tenant: 1, kind: 9, version: 1, last_of_command: true, payload: b"new" };
    if let Err(error) = journal.append(&[frame], Millis(5)) {
        return Ok(kind_of(&error.to_string()));
    }
    let again =
        read(disk, base_seq(bytes) - 1).map_err(|error| format!("it does not read after an append: {error}"))?;
    let kept = again.len() == frames.len() + 1 && again.starts_with(frames);
    if kept { Ok("goes on".into()) } else { Err(format!("{} frames became {}", frames.len(), again.len())) }
}

/// Reads bytes as a snapshot.
pub struct Snapshots {
    written: BTreeSet<Vec<u8>>,
    model: Arc<Model>,
}

impl Snapshots {
    pub fn new() -> Self {
        Self { written: snapshots().into_iter().collect(), model: Model::default_model() }
    }

    pub fn run(&self, bytes: &[u8], forged: bool) -> Outcome {
        let disk = MemDisk::new();
        let seq = bytes.get(24..32).map_or(1, |field| u64::from_le_bytes(field.try_into().unwrap()));
        disk.put(&Path::new(DATA).join(format!("snapshot-{seq:020}.snap")), bytes);
        let (snapshot, notes) = Snapshot::newest_valid(&disk, Path::new(DATA)).map_err(|error| error.to_string())?;
        let Some(snapshot) = snapshot else { return Ok(kind_of(&notes.concat())) };
        if !forged && !self.written.contains(bytes) {
            return Err("a damaged snapshot verifies".into());
        }
        let (mut shard, mut chunks): (Option<Shard>, u32) = (None, 0);
        let read = snapshot.for_each(&mut |chunk| {
            chunks += 1;
            if state::is_head(chunk.kind) {
                shard = state::begin(TenantId(chunk.tenant), chunk.kind, chunk.payload, &self.model);
            } else if let Some(shard) = &mut shard {
                let taken = state::take_in(shard, chunk.kind, chunk.payload);
                taken.ok_or_else(|| selfsame::error::Error::invalid("chunk", format!("kind {}", chunk.kind)))?;
            }
            Ok(())
        });
        let told = shard.filter(|_| read.is_ok()).map(|shard| fingerprint(&shard).len());
        Ok(format!("{} {chunks} {told:?}", kind_of(&format!("{read:?}"))))
    }
}

/// An error without its numbers and paths: which errors there are, not which values.
pub fn kind_of(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).take(160).collect()
}
