//! The bytes of a journal segment, version 2. Everything is little-endian and starts at a multiple of 8. Version 1 is the
//! same without sealed frames; it opens for ever, and goes on in a segment of version 2.
//!
//! **Segment** `journal/<base seq, 20 digits>.seg`: header, groups, then either zeros to the end of the
//! file (the current segment) or a footer and zeros (a sealed one).
//!
//! **Segment header**, 4096 bytes: `magic "SELFSAM1" | format version u32 | crc32c u32 (over 0..12 and
//! 16..4096) | rkyv format bits u32 | flags u32 (1 relaxed) | writer epoch u64 | base seq u64 | created ms i64 | segment
//! bytes u64 | salt [16] | chain digest of the segment before [32]`, then zeros. Magic and version stay
//! where they are in every later version.
//!
//! A **relaxed** segment may hold groups that were written before the group before them was synced; in version 1, where
//! flags are 0, there are none.
//!
//! **Group header**, 32 bytes: `len u32 (of the frames behind it) | crc32c u32 | first seq u64 | time ms
//! i64 | kind u8 = 0 | version u8 = 1 | mark u16 = "GR" | frames u32`. The crc covers 0..4 and 8..32. The mark is "GU" when what
//! stands before the group in the segment was perhaps not synced when it was written.
//!
//! **Frame**: `len u32 | crc32c u32 (over 0..4, 8..32 and the body) | seq u64 | tenant u64 | kind u8, not
//! 0 | version u8 | flags u16 (1 last of command, 2 sealed, 4 erased) | position in the group u32`, then
//! the body of `len` bytes, then zeros to a multiple of 8. The body is `leaf salt [16] | payload`; in an
//! erased frame it is `leaf [32] | what is left of the payload`, often nothing: the leaf stands for what was there, so
//! the chain still verifies and the leaf is no oracle. The payload of a sealed frame, and what is left of it, is `key
//! generation u32 | nonce [24] | ciphertext | tag [16]` (`seal.rs`); leaf and crc are over these stored bytes, so the
//! chain verifies without a key.
//!
//! **Footer**, 128 bytes: `len u32 = 96 | crc32c u32 | next seq u64 | sealed ms i64 | kind u8 = 0 | version
//! u8 = 1 | mark u16 = "FT" | 0 u32 | frames u64 | groups u64 | bytes before the footer u64 | 0 u64 | chain
//! digest [32] | chain digest of the segment before [32]`. The crc covers 0..4 and 8..128.
//!
//! Every crc but the header's starts from the crc of the segment's salt, so bytes of another segment are
//! never valid here. **Chain**: blake3 over a domain word, the digest before, the base seq, and for each
//! group its first seq and time, for each frame seq, tenant, kind, version, flags without `erased`, and
//! the leaf blake3(leaf salt || payload).

use crate::error::{Error, Result};

/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"SELFSAM1";
/// The newest segment format this binary reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 2;
/// In a segment header's flags, which version 1 did not have.
const RELAXED: u32 = 1;
/// Bytes of a segment header.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of a frame's, a group's and a footer's header.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Bytes of a footer with its header.
pub const FOOTER_BYTES: usize = 128;
/// Bytes of the salt beside every payload.
pub const LEAF_SALT_BYTES: usize = 16;
/// Bytes of a leaf and of a chain digest.
pub const DIGEST_BYTES: usize = 32;

/// The frame ends its command.
pub const LAST_OF_COMMAND: u16 = 1;
/// The payload is encrypted.
pub const SEALED: u16 = 2;
/// The payload was erased; its leaf is left, and perhaps a payload without what was erased.
pub const ERASED: u16 = 4;

const GROUP_MARK: u16 = u16::from_le_bytes(*b"GR");
const UNSYNCED_MARK: u16 = u16::from_le_bytes(*b"GU");
const FOOTER_MARK: u16 = u16::from_le_bytes(*b"FT");
const CONTROL_VERSION: u8 = 1;

/// `len` rounded up to a multiple of 8.
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// Bytes that a frame with this payload takes.
pub const fn frame_bytes(payload_len: usize) -> usize {
    FRAME_HEADER_BYTES + padded(LEAF_SALT_BYTES + payload_len)
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// Fields side by side: copies of known lengths, which the compiler turns into a store each, as it does not with an iterator over
/// their bytes.
macro_rules! laid_out {
    ($bytes:expr; $($field:expr),+ $(,)?) => {{
        let mut bytes = $bytes;
        let mut at = 0;
        $(
            let field = $field;
            if let Some(to) = bytes.get_mut(at..at + field.len()) {
                to.copy_from_slice(&field);
            }
            at += field.len();
        )+
        debug_assert_eq!(at, bytes.len(), "the fields fill the bytes");
        bytes
    }};
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// The checksum of a header of 32 bytes (without its own crc field) and what belongs to it.
fn salted_crc(seed: u32, header: &[u8], body: &[u8]) -> Option<u32> {
    let crc = crc32c::crc32c_append(seed, header.get(0..4)?);
    let crc = crc32c::crc32c_append(crc, header.get(8..FRAME_HEADER_BYTES)?);
    Some(crc32c::crc32c_append(crc, body))
}

/// What a segment says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The caller's bits for the encoding of payloads.
    pub rkyv_format: u32,
    /// Counts the openings of the journal that made a segment; the first is 1.
    pub epoch: u64,
    /// Seq of the first frame.
    pub base_seq: u64,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Bytes it was made for, header and footer included.
    pub segment_bytes: u64,
    /// Random; seeds every checksum in this segment.
    pub salt: [u8; 16],
    /// Chain digest of the segment before; zeros in the first.
    pub chain_before: [u8; DIGEST_BYTES],
    /// Groups may be written before the one before is synced.
    pub relaxed: bool,
}

impl SegmentHeader {
    /// What every checksum in this segment starts from.
    pub fn seed(&self) -> u32 {
        crc32c::crc32c(&self.salt)
    }

    /// The 4096 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut tail = Vec::with_capacity(HEADER_BYTES);
        tail.extend_from_slice(&self.rkyv_format.to_le_bytes());
        let flags = if self.relaxed { RELAXED } else { 0 };
        tail.extend_from_slice(&flags.to_le_bytes());
        tail.extend_from_slice(&self.epoch.to_le_bytes());
        tail.extend_from_slice(&self.base_seq.to_le_bytes());
        tail.extend_from_slice(&self.created_ms.to_le_bytes());
        tail.extend_from_slice(&self.segment_bytes.to_le_bytes());
        tail.extend_from_slice(&self.salt);
        tail.extend_from_slice(&self.chain_before);
        tail.resize(HEADER_BYTES - 16, 0);
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &tail);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&tail);
        bytes
    }

    /// Reads a header. The error is the reason, for an operator.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(..8) != Some(&MAGIC[..]) {
            return Err("not a segment: it does not start with SELFSAM1".into());
        }
        let version = u32_at(bytes, 8).ok_or("the header is cut short")?;
        if version > FORMAT_VERSION {
            return Err(newer(version));
        }
        let header = bytes.get(..HEADER_BYTES).ok_or("the header is cut short")?;
        Self::fields(header).ok_or_else(|| "the header's checksum is wrong".into())
    }

    /// Whether a segment with these first bytes takes frames of the newest format.
    pub fn is_newest(bytes: &[u8]) -> bool {
        u32_at(bytes, 8) == Some(FORMAT_VERSION)
    }

    fn fields(header: &[u8]) -> Option<Self> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(header.get(..12)?), header.get(16..)?);
        if u32_at(header, 12)? != crc || u32_at(header, 8)? == 0 {
            return None;
        }
        Some(Self {
            rkyv_format: u32_at(header, 16)?,
            epoch: u64_at(header, 24)?,
            base_seq: u64_at(header, 32)?,
            created_ms: i64::from_le_bytes(array_at(header, 40)?),
            segment_bytes: u64_at(header, 48)?,
            salt: array_at(header, 56)?,
            chain_before: array_at(header, 72)?,
            relaxed: u32_at(header, 8)? > 1 && u32_at(header, 20)? & RELAXED != 0,
        })
    }
}

/// The sentence for files of the future.
pub fn newer(version: u32) -> String {
    format!("written by a newer selfsame (format {version}); this binary reads up to {FORMAT_VERSION}")
}

/// What a group says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Bytes of its frames.
    pub len: u32,
    /// Seq of its first frame.
    pub first_seq: u64,
    /// When it was written, ms since 1970.
    pub time_ms: i64,
    /// How many frames; at least 1.
    pub frames: u32,
    /// All that stands before it was synced when it was written.
    pub after_sync: bool,
}

impl GroupHeader {
    /// The 32 bytes.
    pub fn encode(&self, seed: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mark = if self.after_sync { GROUP_MARK } else { UNSYNCED_MARK };
        control(seed, self.len, self.first_seq, self.time_ms, mark, self.frames, &[])
    }

    /// Reads a group header at `offset`; `None` when there is no valid one.
    pub fn decode(bytes: &[u8], offset: usize, seed: u32) -> Option<Self> {
        let header = bytes.get(offset..offset.checked_add(FRAME_HEADER_BYTES)?)?;
        let after_sync = is_control(header, GROUP_MARK);
        let is_group = after_sync || is_control(header, UNSYNCED_MARK);
        if !is_group || u32_at(header, 4)? != salted_crc(seed, header, &[])? {
            return None;
        }
        Some(Self {
            len: u32_at(header, 0)?,
            first_seq: u64_at(header, 8)?,
            time_ms: i64::from_le_bytes(array_at(header, 16)?),
            frames: u32_at(header, 28)?,
            after_sync,
        })
    }
}

fn is_control(header: &[u8], mark: u16) -> bool {
    header.get(24) == Some(&0) && header.get(25) == Some(&CONTROL_VERSION) && u16_at(header, 26) == Some(mark)
}

/// A header of kind 0, with the checksum over itself and `body`.
fn control(seed: u32, len: u32, seq: u64, ms: i64, mark: u16, count: u32, body: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
    let tail = laid_out!([0u8; FRAME_HEADER_BYTES - 8];
        seq.to_le_bytes(), ms.to_le_bytes(), [0, CONTROL_VERSION], mark.to_le_bytes(), count.to_le_bytes());
    with_crc(seed, len, &tail, body)
}

/// A whole header from its length and its last 24 bytes.
fn with_crc(seed: u32, len: u32, tail: &[u8; FRAME_HEADER_BYTES - 8], body: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
    let crc = crc32c::crc32c_append(seed, &len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, tail), body);
    laid_out!([0u8; FRAME_HEADER_BYTES]; len.to_le_bytes(), crc.to_le_bytes(), *tail)
}

/// What a sealed segment ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Seq of the first frame of the segment after.
    pub next_seq: u64,
    /// When it was sealed, ms since 1970.
    pub sealed_ms: i64,
    /// Frames in this segment.
    pub frames: u64,
    /// Groups in this segment.
    pub groups: u64,
    /// Bytes before the footer, the segment header included.
    pub bytes: u64,
    /// Chain digest of this segment.
    pub chain: [u8; DIGEST_BYTES],
    /// Chain digest of the segment before.
    pub chain_before: [u8; DIGEST_BYTES],
}

impl Footer {
    /// The 128 bytes.
    pub fn encode(&self, seed: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(FOOTER_BYTES);
        body.extend_from_slice(&self.frames.to_le_bytes());
        body.extend_from_slice(&self.groups.to_le_bytes());
        body.extend_from_slice(&self.bytes.to_le_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&self.chain);
        body.extend_from_slice(&self.chain_before);
        let mut bytes = control(seed, 96, self.next_seq, self.sealed_ms, FOOTER_MARK, 0, &body).to_vec();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a footer at `offset`; `None` when there is no valid one.
    pub fn decode(bytes: &[u8], offset: usize, seed: u32) -> Option<Self> {
        let whole = bytes.get(offset..offset.checked_add(FOOTER_BYTES)?)?;
        let (header, body) = whole.split_at_checked(FRAME_HEADER_BYTES)?;
        let valid = is_control(header, FOOTER_MARK)
            && u32_at(header, 0)? == 96
            && u32_at(header, 4)? == salted_crc(seed, header, body)?;
        if !valid {
            return None;
        }
        Some(Self {
            next_seq: u64_at(header, 8)?,
            sealed_ms: i64::from_le_bytes(array_at(header, 16)?),
            frames: u64_at(body, 0)?,
            groups: u64_at(body, 8)?,
            bytes: u64_at(body, 16)?,
            chain: array_at(body, 32)?,
            chain_before: array_at(body, 64)?,
        })
    }
}

/// A frame as it lies in a segment, its checksum verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Its number in the journal.
    pub seq: u64,
    /// Whose it is; 0 is the server.
    pub tenant: u64,
    /// What it is; never 0.
    pub kind: u8,
    /// Version of its kind.
    pub version: u8,
    /// `LAST_OF_COMMAND`, `SEALED`, `ERASED`.
    pub flags: u16,
    /// Place in its group, from 0.
    pub position: u32,
    /// Leaf salt and payload; when erased the leaf and what is left.
    pub body: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// Appends header, body and padding to `out`.
    pub fn encode_to(&self, seed: u32, leaf_salt: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let len = u32::try_from(leaf_salt.len() + self.body.len())
            .map_err(|_| Error::TooLarge { what: "the frame".into(), limit: u64::from(u32::MAX) })?;
        let tail = laid_out!([0u8; FRAME_HEADER_BYTES - 8];
            self.seq.to_le_bytes(), self.tenant.to_le_bytes(), [self.kind, self.version], self.flags.to_le_bytes(),
            self.position.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &len.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &tail), leaf_salt);
        let crc = crc32c::crc32c_append(crc, self.body);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&tail);
        out.extend_from_slice(leaf_salt);
        out.extend_from_slice(self.body);
        out.resize(padded(out.len()), 0);
        Ok(())
    }

    /// Reads a frame at `offset`; `None` when there is no valid one. Bounds are checked before hashing.
    pub fn decode(bytes: &'a [u8], offset: usize, seed: u32) -> Option<Self> {
        let rest = bytes.get(offset..)?;
        let (header, rest) = rest.split_at_checked(FRAME_HEADER_BYTES)?;
        let body = rest.get(..usize::try_from(u32_at(header, 0)?).ok()?)?;
        let frame = Self {
            seq: u64_at(header, 8)?,
            tenant: u64_at(header, 16)?,
            kind: *header.get(24)?,
            version: *header.get(25)?,
            flags: u16_at(header, 26)?,
            position: u32_at(header, 28)?,
            body,
        };
        let whole = body.len() >= if frame.is_erased() { DIGEST_BYTES } else { LEAF_SALT_BYTES };
        let known = frame.kind != 0 && frame.flags & !(LAST_OF_COMMAND | SEALED | ERASED) == 0;
        if !whole || !known || u32_at(header, 4)? != salted_crc(seed, header, body)? {
            return None;
        }
        Some(frame)
    }

    /// Bytes from its start to the next frame.
    pub fn stored_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + padded(self.body.len())
    }

    /// The payload; when erased what is left of it.
    pub fn payload(&self) -> &'a [u8] {
        let before = if self.is_erased() { DIGEST_BYTES } else { LEAF_SALT_BYTES };
        self.body.get(before..).unwrap_or_default()
    }

    /// Whether the payload is gone for good.
    pub fn is_erased(&self) -> bool {
        self.flags & ERASED != 0
    }

    /// Seq of the first frame of its group. `None` when position and seq cannot both be true.
    pub fn group_seq(&self) -> Option<u64> {
        self.seq.checked_sub(u64::from(self.position))
    }

    /// What stands for the payload in the chain.
    pub fn leaf(&self) -> [u8; DIGEST_BYTES] {
        if self.is_erased() {
            return array_at(self.body, 0).unwrap_or([0; DIGEST_BYTES]);
        }
        blake3::hash(self.body).into()
    }
}

/// The running counts and digest of one segment.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Frames so far.
    pub frames: u64,
    /// Groups so far.
    pub groups: u64,
    hasher: blake3::Hasher,
}

impl Tally {
    /// Of a segment without frames.
    pub fn new(header: &SegmentHeader) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"selfsame journal chain 1");
        hasher.update(&header.chain_before);
        hasher.update(&header.base_seq.to_le_bytes());
        Self { frames: 0, groups: 0, hasher }
    }

    /// Adds a group, before its frames.
    pub fn group(&mut self, first_seq: u64, time_ms: i64) {
        self.groups += 1;
        self.hasher.update(&first_seq.to_le_bytes());
        self.hasher.update(&time_ms.to_le_bytes());
    }

    /// Adds a frame by its leaf.
    pub fn frame(&mut self, frame: &RawFrame<'_>, leaf: &[u8; DIGEST_BYTES]) {
        self.frames += 1;
        let flags = frame.flags & !ERASED;
        let bytes = laid_out!([0u8; 52];
            frame.seq.to_le_bytes(), frame.tenant.to_le_bytes(), [frame.kind, frame.version], flags.to_le_bytes(), *leaf);
        self.hasher.update(&bytes);
    }

    /// Adds a group by its bytes, header and frames. `None`, and half of it added, if they are not one.
    pub fn encoded(&mut self, bytes: &[u8], seed: u32) -> Option<()> {
        let header = GroupHeader::decode(bytes, 0, seed)?;
        self.group(header.first_seq, header.time_ms);
        let mut offset = FRAME_HEADER_BYTES;
        for _ in 0..header.frames {
            let frame = RawFrame::decode(bytes, offset, seed)?;
            self.frame(&frame, &frame.leaf());
            offset += frame.stored_bytes();
        }
        (offset == bytes.len()).then_some(())
    }

    /// The digest over all so far.
    pub fn chain(&self) -> [u8; DIGEST_BYTES] {
        self.hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> RawFrame<'_> {
        RawFrame { seq: 12, tenant: 3, kind: 5, version: 1, flags: LAST_OF_COMMAND, position: 2, body }
    }

    #[test]
    fn headers_come_back_and_every_flipped_bit_is_seen() {
        let header = SegmentHeader {
            rkyv_format: 5,
            epoch: 2,
            base_seq: 77,
            created_ms: -4,
            segment_bytes: 1 << 20,
            salt: [7; 16],
            chain_before: [8; 32],
            relaxed: false,
        };
        let relaxed = SegmentHeader { relaxed: true, ..header.clone() }.encode();
        assert_eq!((relaxed[8], SegmentHeader::decode(&relaxed).unwrap().relaxed), (2, true));
        let bytes = header.encode();
        assert_eq!((bytes.len(), bytes[8]), (HEADER_BYTES, 2));
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_newer_format_says_so() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        let reason = SegmentHeader::decode(&bytes).unwrap_err();
        assert_eq!(reason, "written by a newer selfsame (format 3); this binary reads up to 2");
    }

    #[test]
    fn frames_groups_and_footers_come_back_only_under_their_salt_and_whole() {
        let group = GroupHeader { len: 80, first_seq: 10, time_ms: 1_234, frames: 3, after_sync: true };
        let unsynced = GroupHeader { after_sync: false, ..group };
        assert_eq!(GroupHeader::decode(&unsynced.encode(1), 0, 1), Some(unsynced));
        let footer = Footer {
            next_seq: 13,
            sealed_ms: 9,
            frames: 3,
            groups: 1,
            bytes: 4208,
            chain: [1; 32],
            chain_before: [2; 32],
        };
        let mut framed = Vec::new();
        frame(b"hello").encode_to(1, &[9; 16], &mut framed).unwrap();
        assert_eq!(framed.len(), frame_bytes(5));
        assert_eq!(RawFrame::decode(&framed, 0, 1).unwrap().payload(), b"hello");
        for (bytes, covered) in
            [(group.encode(1).to_vec(), 32), (footer.encode(1), FOOTER_BYTES), (framed, FRAME_HEADER_BYTES + 21)]
        {
            let read = |bytes: &[u8], seed| {
                let valid = [
                    GroupHeader::decode(bytes, 0, seed).is_some(),
                    Footer::decode(bytes, 0, seed).is_some(),
                    RawFrame::decode(bytes, 0, seed).is_some(),
                ];
                valid.iter().filter(|valid| **valid).count()
            };
            assert_eq!((read(&bytes, 1), read(&bytes, 2)), (1, 0));
            for at in 0..covered * 8 {
                let mut flipped = bytes.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                assert_eq!(read(&flipped, 1), 0, "bit {at}");
            }
            for len in 0..covered {
                assert_eq!(read(&bytes[..len], 1), 0, "cut to {len}");
            }
        }
    }

    #[test]
    fn erasing_keeps_the_chain() {
        let salted: Vec<u8> = [9; 16].into_iter().chain(*b"hello").collect();
        let leaf = frame(&salted).leaf();
        let erased = RawFrame { flags: LAST_OF_COMMAND | ERASED, body: &leaf, ..frame(&[]) };
        let mut bytes = Vec::new();
        erased.encode_to(1, &[], &mut bytes).unwrap();
        let read = RawFrame::decode(&bytes, 0, 1).unwrap();
        assert_eq!((read.payload(), read.leaf()), (&b""[..], leaf));
        let left = RawFrame { body: b"less", ..erased };
        let mut bytes = Vec::new();
        left.encode_to(1, &leaf, &mut bytes).unwrap();
        let read = RawFrame::decode(&bytes, 0, 1).unwrap();
        assert_eq!((read.payload(), read.leaf()), (&b"less"[..], leaf));
    }
}
