//! Checksummed copies of the state at one seq, so that replay need not start at the beginning.
//!
//! A snapshot is written aside as `snapshot-<seq>.tmp`, synced, renamed to `snapshot-<seq>.snap` and made
//! durable by a sync of the directory; the newest two are kept. Reading verifies everything before what the
//! bytes say is used, and falls back to the older one.
//!
//! Bytes, little-endian: a 64-byte header `magic "SELFSNP1" | format version u32 | crc32c u32 (over 0..12
//! and 16..64) | rkyv format bits u32 | content version u32 | seq u64 | salt [16] | 0 [16]`; chunks with a
//! 32-byte header `len u32 | crc32c u32 (salted; over 0..4, 8..32 and the payload) | index u64 | tenant u64
//! | kind u8 | version u8 | mark u16 "CH" | 0 u32`, the payload, zeros to a multiple of 8; and at the end
//! the same with mark "FT" and the payload `chunks u64 | bytes before u64 | blake3 of those bytes [32]`.
//! Format version 2 is a snapshot with sealed chunks: their last u32 of the header is 1 instead of 0, and the payload is
//! sealed bytes (`seal.rs`); one without is still written as version 1. In version 3 what is sealed was compressed before
//! (`u32` length, then an LZ4 block). Checksums and digest are over the sealed bytes,
//! so that a snapshot verifies without a key. Plain chunks are not compressed: who writes plain files wants to read them.
//! Content version says what the chunks mean and is the caller's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile, Random};
use crate::journal::format::padded;
use crate::journal::keyring::{Keyring, Opened};
use crate::journal::seal::Label;
use crate::journal::{corrupt, failed};

pub use part::{Part, Span, Spans};

mod part;

const MAGIC: [u8; 8] = *b"SELFSNP1";
/// Of a snapshot without sealed chunks.
const FORMAT_PLAIN: u32 = 1;
/// With sealed chunks.
const FORMAT_SEALED: u32 = 2;
/// The newest that this binary reads: with sealed chunks that were compressed before.
const FORMAT_PACKED: u32 = 3;
/// Mark of a sealed chunk in its header.
const SEALED: u32 = 1;
const HEADER_BYTES: usize = 64;
const CHUNK_HEADER_BYTES: usize = 32;
const FOOTER_PAYLOAD_BYTES: usize = 48;
const CHUNK_MARK: [u8; 2] = *b"CH";
const FOOTER_MARK: [u8; 2] = *b"FT";
/// Written in pieces of about this size.
const BUFFER_BYTES: usize = 1 << 20;
/// Largest payload of a chunk.
const CHUNK_MAX: u32 = 1 << 30;
/// How many finished snapshots stay.
pub const KEPT: usize = 2;

/// A snapshot being written. Dropping it unfinished leaves a `.tmp` that the next one removes.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    seq: u64,
    about: About,
    keys: Option<Arc<Keyring>>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    seed: u32,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    written: u64,
    chunks: u64,
    spans: Spans,
}

impl SnapshotWriter {
    /// Starts a snapshot of the state after frame `seq`.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        seq: u64,
        content_version: u32,
        rkyv_format: u32,
        random: &dyn Random,
    ) -> Result<Self> {
        let path = dir.join(format!("snapshot-{seq:020}.tmp"));
        if disk.exists(&path).map_err(failed("looking for", &path))? {
            disk.remove(&path).map_err(failed("removing", &path))?;
        }
        let file = disk.create_new(&path).map_err(failed("creating", &path))?;
        let mut salt = [0; 16];
        random.fill(&mut salt);
        let mut writer = Self {
            disk,
            dir: dir.to_path_buf(),
            seq,
            about: About { content_version, rkyv_format, salt },
            keys: None,
            path,
            file,
            seed: crc32c::crc32c(&salt),
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            chunks: 0,
            spans: Spans::default(),
        };
        writer.buffer.extend_from_slice(&encode_header(FORMAT_PLAIN, seq, &writer.about));
        Ok(writer)
    }

    /// Compresses every chunk and seals it under its tenant's key. Call it before the first chunk.
    pub fn seal_with(&mut self, keys: Arc<Keyring>) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&encode_header(FORMAT_PACKED, self.seq, &self.about));
        self.keys = Some(keys);
    }

    /// Adds a chunk; readers get them in this order. `kind` and `version` are the caller's. With keys, a chunk of a
    /// tenant whose keys were destroyed is left out.
    ///
    /// # Errors
    /// `TooLarge` above 1 GiB; `Full` or `Io` from the disk.
    pub fn chunk(&mut self, tenant: u64, kind: u8, version: u8, bytes: &[u8]) -> Result<()> {
        let Some(keys) = &self.keys else { return self.stored_chunk(tenant, [kind, version], 0, bytes) };
        if keys.is_destroyed(tenant) {
            return Ok(());
        }
        let label = Label::Chunk { tenant, kind, version, snapshot_seq: self.seq, index: self.chunks };
        length(bytes)?; // also what it is when it was unpacked
        let sealed = keys.seal(&label, &compress_prepend_size(bytes))?;
        self.stored_chunk(tenant, [kind, version], SEALED, &sealed)
    }

    fn stored_chunk(&mut self, tenant: u64, kind: [u8; 2], flags: u32, bytes: &[u8]) -> Result<()> {
        let len = length(bytes)?;
        self.spans.note(tenant, self.written + self.buffer.len() as u64, self.chunks);
        self.put(len, tenant, kind, (CHUNK_MARK, flags), bytes);
        self.chunks += 1;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Where the chunks stand that were added.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Writes the footer, makes the snapshot durable under its name and removes older ones. Returns its path.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk; the snapshots before are untouched then.
    pub fn finish(mut self) -> Result<PathBuf> {
        self.flush()?;
        let mut payload = Vec::with_capacity(FOOTER_PAYLOAD_BYTES);
        payload.extend_from_slice(&self.chunks.to_le_bytes());
        payload.extend_from_slice(&self.written.to_le_bytes());
        payload.extend_from_slice(self.hasher.finalize().as_bytes());
        self.put(48, 0, [0, 1], (FOOTER_MARK, 0), &payload);
        self.flush()?;
        self.file.sync_data().map_err(failed("syncing", &self.path))?;
        let finished = self.dir.join(format!("snapshot-{:020}.snap", self.seq));
        self.disk.rename(&self.path, &finished).map_err(failed("renaming", &self.path))?;
        self.disk.sync_dir(&self.dir).map_err(failed("syncing", &self.dir))?;
        self.remove_older();
        Ok(finished)
    }

    fn put(&mut self, len: u32, tenant: u64, kind: [u8; 2], (mark, flags): ([u8; 2], u32), payload: &[u8]) {
        let mut tail = Vec::with_capacity(CHUNK_HEADER_BYTES - 8);
        tail.extend_from_slice(&self.chunks.to_le_bytes());
        tail.extend_from_slice(&tenant.to_le_bytes());
        tail.extend_from_slice(&kind);
        tail.extend_from_slice(&mark);
        tail.extend_from_slice(&flags.to_le_bytes());
        let crc = crc32c::crc32c_append(self.seed, &len.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &tail), payload);
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(&tail);
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(padded(self.buffer.len()), 0);
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all_at(self.written, &self.buffer).map_err(failed("writing", &self.path))?;
        self.hasher.update(&self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// What cannot be removed is removed next time.
    fn remove_older(&self) {
        let names = self.disk.list(&self.dir).unwrap_or_default();
        let (finished, rest): (Vec<_>, Vec<_>) =
            names.into_iter().filter(|name| name.starts_with("snapshot-")).partition(|name| seq_of(name).is_some());
        let surplus = finished.len().saturating_sub(KEPT);
        let unfinished = rest.into_iter().filter(|name| name.ends_with(".tmp"));
        for name in finished.into_iter().take(surplus).chain(unfinished) {
            drop(self.disk.remove(&self.dir.join(name)));
        }
    }
}

/// The length of a chunk's payload.
fn length(bytes: &[u8]) -> Result<u32> {
    let too_large = || Error::TooLarge { what: "the snapshot chunk".into(), limit: u64::from(CHUNK_MAX) };
    u32::try_from(bytes.len()).ok().filter(|len| *len <= CHUNK_MAX).ok_or_else(too_large)
}

/// Whether one of the snapshots in a directory has sealed chunks, as far as the headers can be read.
pub fn any_sealed(disk: &dyn Disk, dir: &Path) -> bool {
    let names = disk.list(dir).unwrap_or_default();
    names.iter().filter(|name| seq_of(name).is_some()).any(|name| {
        let mut header = [0; HEADER_BYTES];
        let read = disk.open_read(&dir.join(name)).and_then(|file| file.read_exact_at(0, &mut header));
        read.is_ok() && decode_header(&header).is_ok_and(|head| head.format >= FORMAT_SEALED)
    })
}

/// The seq in the name of a finished snapshot.
pub fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snapshot-")?.strip_suffix(".snap")?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// What the header says beside format and seq.
#[derive(Clone, Copy, Debug)]
struct About {
    content_version: u32,
    rkyv_format: u32,
    salt: [u8; 16],
}

fn encode_header(format: u32, seq: u64, about: &About) -> Vec<u8> {
    let mut start = MAGIC.to_vec();
    start.extend_from_slice(&format.to_le_bytes());
    let mut tail = Vec::with_capacity(HEADER_BYTES - 16);
    tail.extend_from_slice(&about.rkyv_format.to_le_bytes());
    tail.extend_from_slice(&about.content_version.to_le_bytes());
    tail.extend_from_slice(&seq.to_le_bytes());
    tail.extend_from_slice(&about.salt);
    tail.resize(HEADER_BYTES - 16, 0);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&start), &tail);
    start.extend_from_slice(&crc.to_le_bytes());
    start.extend_from_slice(&tail);
    start
}

/// A piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Whose it is; 0 is the server.
    pub tenant: u64,
    /// What it is; the caller's.
    pub kind: u8,
    /// Version of its kind; the caller's.
    pub version: u8,
    /// Whether the bytes are sealed.
    pub is_sealed: bool,
    /// The bytes as they are stored; [`StoredChunk::open`] opens them.
    pub payload: &'a [u8],
}

/// A snapshot with what was made of it, if there is one, and notes on those that were not used.
type Newest<S, T> = (Option<(S, T)>, Vec<String>);

/// How far a snapshot was read.
#[derive(Clone, Debug)]
pub struct Place {
    chunks: u64,
    offset: u64,
    /// Of all before.
    hasher: blake3::Hasher,
}

/// Names and seqs of the finished snapshots, the newest first; none where there is no such directory.
fn newest_first(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, u64)>> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing", dir)(error)),
    };
    Ok(names.into_iter().rev().filter_map(|name| seq_of(&name).map(|seq| (name, seq))).collect())
}

/// Says that a snapshot is damaged.
fn not_used(name: &str, error: &Error) -> String {
    tracing::warn!(snapshot = %name, %error, "a snapshot does not verify; trying an older one");
    format!("{name} was not used: {error}")
}

/// A chunk that was read and not opened yet.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    /// Whose it is; 0 is the server.
    pub tenant: u64,
    /// What it is; the caller's.
    pub kind: u8,
    label: Label,
    is_sealed: bool,
    /// What was sealed is compressed.
    is_packed: bool,
    payload: Vec<u8>,
    offset: u64,
    index: u64,
}

impl StoredChunk {
    /// Bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.payload.len() as u64
    }

    /// Where in the file the next chunk begins.
    fn end(&self) -> u64 {
        self.offset + (CHUNK_HEADER_BYTES + padded(self.payload.len())) as u64
    }

    /// The bytes, opened if they are sealed; `None`: they are of a tenant whose keys were destroyed.
    ///
    /// # Errors
    /// As [`Keyring::open_sealed`]; `Corrupt` when what was sealed is not what a snapshot holds.
    pub fn open(self, keys: &Keyring) -> Result<Option<Vec<u8>>> {
        if !self.is_sealed && !keys.is_destroyed(self.tenant) {
            return Ok(Some(self.payload));
        }
        Ok(match keys.open_in_place(&self.label, self.payload)? {
            Opened::Plain(payload) if self.is_packed => Some(unpacked(&payload, self.offset)?),
            Opened::Plain(payload) => Some(payload),
            Opened::Destroyed => None,
        })
    }
}

/// What was compressed. It was sealed, so it is what was written; its length is looked at before it is believed all the same.
fn unpacked(packed: &[u8], offset: u64) -> Result<Vec<u8>> {
    let len = packed.first_chunk().copied().map_or(0, u32::from_le_bytes);
    let plain = if len <= CHUNK_MAX { decompress_size_prepended(packed).ok() } else { None };
    plain.ok_or_else(|| {
        let reason = "a chunk was sealed that does not unpack".to_owned();
        Error::Corrupt { file: PathBuf::from("snapshots"), offset_bytes: offset, reason }
    })
}

/// A verified snapshot.
pub struct Snapshot {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    head: Head,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    format: u32,
    seq: u64,
    content_version: u32,
    rkyv_format: u32,
    seed: u32,
}

impl Snapshot {
    /// The newest snapshot that verifies in full, and notes about newer ones that do not. No snapshot: start
    /// from an empty state and replay everything; the notes then say why none was used.
    ///
    /// # Errors
    /// `Io` when the directory cannot be listed. A damaged snapshot is a note, not an error.
    pub fn newest_valid(disk: &dyn Disk, dir: &Path) -> Result<(Option<Self>, Vec<String>)> {
        let mut notes = Vec::new();
        for (name, seq) in newest_first(disk, dir)? {
            match Self::open(disk, &dir.join(&name), seq) {
                Ok(snapshot) => return Ok((Some(snapshot), notes)),
                Err(error) => notes.push(not_used(&name, &error)),
            }
        }
        Ok((None, notes))
    }

    /// The first of the finished snapshots, the newest first, that verifies in full and that `read` takes in, with what that
    /// gives; and notes as of [`Snapshot::newest_valid`]. Reading and verifying are one: `read` is to read to the end with
    /// [`Snapshot::read_on`] before anything that it made is used, and to drop it where that fails.
    ///
    /// # Errors
    /// `Io` when the directory cannot be listed; what `read` fails with on a snapshot that verifies.
    pub fn newest_read<T>(
        disk: &dyn Disk,
        dir: &Path,
        read: &mut dyn FnMut(&Arc<Self>) -> Result<T>,
    ) -> Result<Newest<Arc<Self>, T>> {
        let mut notes = Vec::new();
        for (name, seq) in newest_first(disk, dir)? {
            let path = dir.join(&name);
            let unusable = match Self::written(disk, &path, seq) {
                Err(error) => error,
                Ok(snapshot) => match read(&snapshot) {
                    Ok(read) => return Ok((Some((snapshot, read)), notes)),
                    // Is it the snapshot, or what it says?
                    Err(error) => match Self::open(disk, &path, seq) {
                        Ok(_) => return Err(error),
                        Err(damage) => damage,
                    },
                },
            };
            notes.push(not_used(&name, &unusable));
        }
        Ok((None, notes))
    }

    /// Removes all snapshots of the state before frame `seq`, so that nothing is left of whoever was erased since.
    ///
    /// # Errors
    /// `Io` from the disk.
    pub fn forget_older(disk: &dyn Disk, dir: &Path, seq: u64) -> Result<()> {
        let names = disk.list(dir).map_err(failed("listing", dir))?;
        let is_old = |name: &String| seq_of(name).is_some_and(|of| of < seq) || name.ends_with(".tmp");
        for name in names.iter().filter(|name| is_old(name)) {
            let path = dir.join(name);
            disk.remove(&path).map_err(failed("removing", &path))?;
        }
        disk.sync_dir(dir).map_err(failed("syncing", dir))
    }

    /// Seqs of the finished snapshots that verify in full, in order.
    ///
    /// # Errors
    /// `Io` when the directory cannot be listed.
    pub fn valid_seqs(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>> {
        let names = match disk.list(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("listing", dir)(error)),
        };
        let finished = names.iter().filter_map(|name| Some((name, seq_of(name)?)));
        Ok(finished.filter(|(name, seq)| Self::open(disk, &dir.join(name), *seq).is_ok()).map(|(_, seq)| seq).collect())
    }

    fn open(disk: &dyn Disk, path: &Path, seq: u64) -> Result<Self> {
        let (snapshot, header) = Self::open_head(disk, path, seq)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        snapshot.walk(Some(&mut hasher), &mut |_| Ok(()))?;
        Ok(snapshot)
    }

    /// A snapshot that was just written, or whose parts are verified as they are read: of it only the header is.
    ///
    /// # Errors
    /// `Io` from the disk, `Corrupt` for the header.
    pub fn written(disk: &dyn Disk, path: &Path, seq: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(Self::open_head(disk, path, seq)?.0))
    }

    /// A snapshot of which nothing but the header was verified.
    fn open_head(disk: &dyn Disk, path: &Path, seq: u64) -> Result<(Self, [u8; HEADER_BYTES])> {
        let file = disk.open_read(path).map_err(failed("opening", path))?;
        let bytes = file.len().map_err(failed("reading", path))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(0, &mut header).map_err(failed("reading", path))?;
        let head = decode_header(&header).map_err(|reason| corrupt(path, 0, reason))?;
        if head.seq != seq {
            return Err(corrupt(path, 0, format!("the header says seq {}, the name says {seq}", head.seq)));
        }
        Ok((Self { path: path.to_path_buf(), file, head, bytes }, header))
    }

    /// Seq of the last frame that the state includes.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.head.seq
    }

    /// The caller's version of what the chunks mean.
    #[must_use]
    pub fn content_version(&self) -> u32 {
        self.head.content_version
    }

    /// The caller's bits for the encoding of payloads.
    #[must_use]
    pub fn rkyv_format(&self) -> u32 {
        self.head.rkyv_format
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives every chunk to `on_chunk`, in the order of writing, each verified again.
    ///
    /// # Errors
    /// `Corrupt` or `Io` when the file has changed since it was opened; and whatever `on_chunk` returns.
    pub fn for_each(&self, on_chunk: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        self.walk(None, on_chunk)
    }

    /// Where reading begins.
    ///
    /// # Errors
    /// `Io` from the disk.
    pub fn start(&self) -> Result<Place> {
        let mut header = [0; HEADER_BYTES];
        self.read(0, &mut header)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        Ok(Place { chunks: 0, offset: HEADER_BYTES as u64, hasher })
    }

    /// The next chunks as they are stored, of about so many bytes together, each verified; none at the end, when the whole
    /// snapshot has been.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what was written, `Io` from the disk.
    pub fn read_on(&self, place: &mut Place, bytes_max: usize) -> Result<Vec<StoredChunk>> {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max {
            let offset = place.offset;
            let (piece, header, payload) = self.whole_piece(offset, place.chunks)?;
            if piece.is_footer() {
                let end = offset + (CHUNK_HEADER_BYTES + payload.len()) as u64;
                self.check_footer(&payload, (place.chunks, offset, end), Some(place.hasher.finalize()))?;
                break;
            }
            place.hasher.update(&header);
            place.hasher.update(&payload);
            bytes += piece.len;
            let chunk = self.stored(&piece, payload, offset, place.chunks);
            place.offset = chunk.end();
            place.chunks += 1;
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    /// Header, payload and padding at `offset`, verified.
    fn whole_piece(&self, offset: u64, index: u64) -> Result<(Piece, [u8; CHUNK_HEADER_BYTES], Vec<u8>)> {
        let (piece, header) = self.piece_head(offset, index)?;
        let mut payload = vec![0; padded(piece.len)];
        self.piece_body(&piece, offset, &header, &mut payload)?;
        Ok((piece, header, payload))
    }

    /// A chunk of what was read at `offset`.
    fn stored(&self, piece: &Piece, mut payload: Vec<u8>, offset: u64, index: u64) -> StoredChunk {
        let &Piece { tenant, kind, version, is_sealed, .. } = piece;
        payload.truncate(piece.len);
        let label = Label::Chunk { tenant, kind, version, snapshot_seq: self.head.seq, index };
        let is_packed = is_sealed && self.head.format >= FORMAT_PACKED;
        StoredChunk { tenant, kind, label, is_sealed, is_packed, payload, offset, index }
    }

    /// Reads from the header to the end. With a hasher that has seen the header, the digest is verified too.
    fn walk(
        &self,
        mut hasher: Option<&mut blake3::Hasher>,
        on_chunk: &mut dyn FnMut(Chunk<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut offset = HEADER_BYTES as u64;
        let mut index = 0;
        let mut body = Vec::new();
        loop {
            let piece = self.piece(offset, index, &mut body)?;
            let payload = body.get(CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + piece.len).unwrap_or_default();
            if piece.is_footer() {
                let digest = hasher.map(|hasher| hasher.finalize());
                return self.check_footer(payload, (index, offset, offset + body.len() as u64), digest);
            }
            let Piece { tenant, kind, version, is_sealed, .. } = piece;
            on_chunk(Chunk { tenant, kind, version, is_sealed, payload })?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&body);
            }
            offset += body.len() as u64;
            index += 1;
        }
    }

    /// Holds a footer against the number of chunks, where it stands, where it ends, and the digest of what is before it.
    fn check_footer(&self, payload: &[u8], found: (u64, u64, u64), digest: Option<blake3::Hash>) -> Result<()> {
        let (chunks, offset, end) = found;
        let counts = [chunks.to_le_bytes(), offset.to_le_bytes()].concat();
        let is_right = payload.get(..16) == Some(&counts)
            && digest.is_none_or(|digest| payload.get(16..) == Some(digest.as_bytes()))
            && end == self.bytes;
        if is_right { Ok(()) } else { Err(self.damaged(offset, "the counts or the digest are wrong")) }
    }

    /// Reads header, payload and padding at `offset` into `body`. Bounds are checked before allocating.
    fn piece(&self, offset: u64, index: u64, body: &mut Vec<u8>) -> Result<Piece> {
        let (piece, header) = self.piece_head(offset, index)?;
        body.resize(CHUNK_HEADER_BYTES + padded(piece.len), 0);
        let (head, payload) = body.split_at_mut(CHUNK_HEADER_BYTES);
        head.copy_from_slice(&header);
        self.piece_body(&piece, offset, &header, payload)?;
        Ok(piece)
    }

    /// Reads a header. What it says fits into the file.
    fn piece_head(&self, offset: u64, index: u64) -> Result<(Piece, [u8; CHUNK_HEADER_BYTES])> {
        let mut header = [0; CHUNK_HEADER_BYTES];
        self.read(offset, &mut header)?;
        let piece = Piece::decode(&header, index, self.head.format)
            .ok_or_else(|| self.damaged(offset, "no chunk starts here"))?;
        if offset + (CHUNK_HEADER_BYTES + padded(piece.len)) as u64 > self.bytes {
            return Err(self.damaged(offset, "the chunk is longer than the file"));
        }
        Ok((piece, header))
    }

    /// Reads what follows a header, payload and padding, and verifies it.
    fn piece_body(&self, piece: &Piece, offset: u64, header: &[u8], body: &mut [u8]) -> Result<()> {
        self.read(offset + CHUNK_HEADER_BYTES as u64, body)?;
        let crc = crc32c::crc32c_append(self.head.seed, header.get(..4).unwrap_or_default());
        let crc = crc32c::crc32c_append(crc, header.get(8..).unwrap_or_default());
        if crc32c::crc32c_append(crc, body.get(..piece.len).unwrap_or_default()) != piece.crc {
            return Err(self.damaged(offset, "the chunk's checksum is wrong"));
        }
        Ok(())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return self.damaged(offset, "the file is cut short");
            }
            failed("reading", &self.path)(error)
        })
    }

    fn damaged(&self, offset: u64, reason: &str) -> Error {
        Error::Corrupt { file: self.path.clone(), offset_bytes: offset, reason: reason.to_owned() }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The header of a chunk or of the footer.
struct Piece {
    len: usize,
    crc: u32,
    tenant: u64,
    kind: u8,
    version: u8,
    mark: [u8; 2],
    is_sealed: bool,
}

impl Piece {
    fn is_footer(&self) -> bool {
        self.mark == FOOTER_MARK
    }

    fn decode(header: &[u8; CHUNK_HEADER_BYTES], index: u64, format: u32) -> Option<Self> {
        let flags = u32::from_le_bytes(*header.get(28..)?.first_chunk()?);
        let len = u32::from_le_bytes(*header.first_chunk()?);
        let mark = *header.get(26..)?.first_chunk()?;
        let is_known = match mark {
            CHUNK_MARK => len <= CHUNK_MAX,
            FOOTER_MARK => len as usize == FOOTER_PAYLOAD_BYTES,
            _ => false,
        };
        let is_sealed = format >= FORMAT_SEALED && mark == CHUNK_MARK && flags == SEALED;
        if (flags != 0 && !is_sealed) || !is_known || u64::from_le_bytes(*header.get(8..)?.first_chunk()?) != index {
            return None;
        }
        Some(Self {
            len: len as usize,
            crc: u32::from_le_bytes(*header.get(4..)?.first_chunk()?),
            tenant: u64::from_le_bytes(*header.get(16..)?.first_chunk()?),
            kind: *header.get(24)?,
            version: *header.get(25)?,
            mark,
            is_sealed,
        })
    }
}

fn decode_header(header: &[u8; HEADER_BYTES]) -> Result<Head, String> {
    if header.get(..8) != Some(&MAGIC[..]) {
        return Err("not a snapshot: it does not start with SELFSNP1".into());
    }
    let u32_at =
        |offset: usize| header.get(offset..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_le_bytes);
    let version = u32_at(8).unwrap_or(0);
    if version > FORMAT_PACKED {
        let reads = "this binary reads up to 3";
        return Err(format!("written by a newer selfsame (snapshot format {version}); {reads}"));
    }
    let (start, tail) = (header.get(..12).unwrap_or_default(), header.get(16..).unwrap_or_default());
    if u32_at(12) != Some(crc32c::crc32c_append(crc32c::crc32c(start), tail)) {
        return Err("the header's checksum is wrong".into());
    }
    Ok(Head {
        format: version,
        rkyv_format: u32_at(16).unwrap_or(0),
        content_version: u32_at(20).unwrap_or(0),
        seq: tail.get(8..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes),
        seed: crc32c::crc32c(tail.get(16..32).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests;
