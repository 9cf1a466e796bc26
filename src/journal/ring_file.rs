//! The bytes of the keyring's file, version 1, little-endian.
//!
//! **Header**, 128 bytes: `magic "SELFSKR1" | format version u32 | crc32c u32 (over 0..12 and 16..128) | ring id [16] |
//! wrapped record secret [72]`, then zeros. The ring id is random and stays for the life of a data directory. The
//! wrapped secret also tells a wrong master key: it opens under no other.
//!
//! **Entry**, 96 bytes: `crc32c u32 (from the crc of the ring id; over 4..96) | kind u8 (1 key, 2 destroyed) | 0 [3] |
//! tenant u64 | generation u32 | place in its append u32 | wrapped key [72]`, in an entry of a destroyed tenant zeros.
//!
//! Entries are appended, one write and one sync for all of a group, before any frame is written under their keys. So at
//! the end a torn append may stand, whose keys have sealed nothing; it is left out. A bad entry with an entry of a later
//! append behind it proves that synced bytes were damaged. That a synced last append was damaged shows when something
//! needs its keys.

use crate::error::Result;
use crate::journal::seal::WRAPPED_BYTES;

const MAGIC: [u8; 8] = *b"SELFSKR1";
const FORMAT_VERSION: u32 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 128;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 96;
const KEY: u8 = 1;
const DESTROYED: u8 = 2;

/// What the ring says of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub tenant: u64,
    /// Which of its keys; 0 when destroyed.
    pub generation: u32,
    /// Missing: the tenant's keys are gone for good.
    pub wrapped: Option<[u8; WRAPPED_BYTES]>,
}

/// A ring as it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFile {
    /// Its id.
    pub id: [u8; 16],
    /// The secret that names records by their content.
    pub secret: [u8; WRAPPED_BYTES],
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// Bytes up to the end of the last whole entry.
    pub end: usize,
    /// Whether a torn append stands behind.
    pub torn: bool,
}

/// The header's bytes.
pub fn encode_header(id: &[u8; 16], secret: &[u8; WRAPPED_BYTES]) -> Vec<u8> {
    let mut start = MAGIC.to_vec();
    start.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    let mut tail = id.to_vec();
    tail.extend_from_slice(secret);
    tail.resize(HEADER_BYTES - 16, 0);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&start), &tail);
    start.extend_from_slice(&crc.to_le_bytes());
    start.extend_from_slice(&tail);
    start
}

/// The bytes of entries that are written with one write.
pub fn encode_append(id: &[u8; 16], entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (entry, place) in entries.iter().zip(0u32..) {
        let mut tail = vec![if entry.wrapped.is_some() { KEY } else { DESTROYED }, 0, 0, 0];
        tail.extend_from_slice(&entry.tenant.to_le_bytes());
        tail.extend_from_slice(&entry.generation.to_le_bytes());
        tail.extend_from_slice(&place.to_le_bytes());
        tail.extend_from_slice(&entry.wrapped.unwrap_or([0; WRAPPED_BYTES]));
        bytes.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(id), &tail).to_le_bytes());
        bytes.extend_from_slice(&tail);
    }
    bytes
}

impl RingFile {
    /// Reads a file. The error is the reason, for an operator.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(..8) != Some(&MAGIC[..]) {
            return Err("not a keyring: it does not start with SELFSKR1".into());
        }
        let version = u32_at(bytes, 8).ok_or("the header is cut short")?;
        if version > FORMAT_VERSION {
            let reads = format!("this binary reads up to {FORMAT_VERSION}");
            return Err(format!("written by a newer selfsame (keyring format {version}); {reads}"));
        }
        let header = bytes.get(..HEADER_BYTES).ok_or("the header is cut short")?;
        let mut ring = Self::header(header).ok_or("the header's checksum is wrong")?;
        ring.read_entries(bytes)?;
        Ok(ring)
    }

    fn header(header: &[u8]) -> Option<Self> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(header.get(..12)?), header.get(16..)?);
        if u32_at(header, 12)? != crc || u32_at(header, 8)? == 0 {
            return None;
        }
        let (id, secret) = (*header.get(16..)?.first_chunk()?, *header.get(32..)?.first_chunk()?);
        Some(Self { id, secret, entries: Vec::new(), end: HEADER_BYTES, torn: false })
    }

    fn read_entries(&mut self, bytes: &[u8]) -> Result<(), String> {
        let seed = crc32c::crc32c(&self.id);
        let (pieces, rest) = bytes.get(HEADER_BYTES..).unwrap_or_default().as_chunks::<ENTRY_BYTES>();
        self.torn = !rest.is_empty();
        // Where the append that an entry belongs to began.
        let mut start = 0;
        for (at, piece) in pieces.iter().enumerate() {
            match decode_entry(piece, seed).filter(|(_, place)| *place == 0 || start + *place == at) {
                Some((entry, place)) => {
                    start = at - place;
                    self.entries.push(entry);
                    self.end += ENTRY_BYTES;
                }
                None => {
                    self.torn = true;
                    return later(pieces, seed, at, start);
                }
            }
        }
        Ok(())
    }
}

/// Refuses when something stands behind the bad entry `bad` that was appended after it was synced.
fn later(pieces: &[[u8; ENTRY_BYTES]], seed: u32, bad: usize, start: usize) -> Result<(), String> {
    for (at, piece) in pieces.iter().enumerate().skip(bad + 1) {
        let Some((_, place)) = decode_entry(piece, seed) else { continue };
        let begun = at.checked_sub(place);
        if begun != Some(bad) && begun != Some(start) {
            return Err(format!("entry {bad} is not valid and a later one ({at}) is: synced bytes were damaged"));
        }
    }
    Ok(())
}

fn decode_entry(piece: &[u8; ENTRY_BYTES], seed: u32) -> Option<(Entry, usize)> {
    if u32_at(piece, 0)? != crc32c::crc32c_append(seed, piece.get(4..)?) {
        return None;
    }
    let wrapped = match *piece.get(4)? {
        KEY => Some(*piece.get(24..)?.first_chunk()?),
        DESTROYED => None,
        _ => return None,
    };
    let tenant = u64::from_le_bytes(*piece.get(8..)?.first_chunk()?);
    let entry = Entry { tenant, generation: u32_at(piece, 16)?, wrapped };
    Some((entry, usize::try_from(u32_at(piece, 20)?).ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [5; 16];

    fn entry(tenant: u64) -> Entry {
        let wrapped = (tenant != 4).then_some([u8::try_from(tenant).unwrap(); WRAPPED_BYTES]);
        Entry { tenant, generation: u32::from(wrapped.is_some()), wrapped }
    }

    /// Three appends of 1, 2 and 2 entries.
    fn bytes() -> Vec<u8> {
        let mut bytes = encode_header(&ID, &[8; WRAPPED_BYTES]);
        for append in [&[entry(1)][..], &[entry(2), entry(3)], &[entry(4), entry(5)]] {
            bytes.extend_from_slice(&encode_append(&ID, append));
        }
        bytes
    }

    fn tenants(bytes: &[u8]) -> Result<Vec<u64>, String> {
        RingFile::decode(bytes).map(|ring| ring.entries.into_iter().map(|entry| entry.tenant).collect())
    }

    #[test]
    fn a_ring_comes_back_and_a_newer_one_is_refused_by_name() {
        let ring = RingFile::decode(&bytes()).unwrap();
        assert_eq!((ring.id, ring.secret, ring.torn, ring.end), (ID, [8; WRAPPED_BYTES], false, bytes().len()));
        assert_eq!(ring.entries, [1, 2, 3, 4, 5].map(entry));
        let mut newer = bytes();
        newer[8] = 2;
        assert!(RingFile::decode(&newer).unwrap_err().contains("newer selfsame (keyring format 2)"));
    }

    #[test]
    fn every_flipped_byte_refuses_or_leaves_out_the_last_append() {
        let whole = bytes();
        for at in 0..whole.len() {
            for bit in [0, 3, 7] {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let entry = at.checked_sub(HEADER_BYTES).map(|at| at / ENTRY_BYTES);
                let expected = match entry {
                    None | Some(0..=2) => None,
                    Some(3) => Some(vec![1, 2, 3]),
                    Some(_) => Some(vec![1, 2, 3, 4]),
                };
                assert_eq!(tenants(&flipped).ok(), expected, "byte {at}");
            }
        }
    }

    #[test]
    fn a_cut_leaves_whole_entries_or_refuses() {
        let whole = bytes();
        for len in 0..whole.len() {
            let expected = len.checked_sub(HEADER_BYTES).map(|rest| (rest / ENTRY_BYTES, rest % ENTRY_BYTES != 0));
            let read = RingFile::decode(&whole[..len]).ok().map(|ring| (ring.entries.len(), ring.torn));
            assert_eq!(read, expected, "cut to {len}");
        }
    }
}
