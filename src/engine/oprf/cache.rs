//! Outputs on disk, so that a start does not evaluate a whole directory anew: 29 us an identifier, a minute for two million.
//!
//! `oprf/<tenant>-<epoch>.bin` in the data directory, one file a tenant and epoch; little-endian:
//!
//! ```text
//! "SELFSOP1" | tenant u64 | epoch u32 | 0 u32
//! then pieces: len u32 | crc32c u32 (over len and the bytes) | sealed 1 or 0 u8 | the bytes
//! a piece, opened: entries of 36 bytes: id [12] | Y[0..24]
//! ```
//!
//! Sealed like everything else, under the tenant's data key. An id is a keyed hash, so the file says nothing without the keys
//! even where nothing is sealed, and with them it is a list of who is there: that is why the erased leave it ([`forget`]).
//! It is a cache: reading ends at the first piece that is not whole, and the next append writes the file anew. A backup
//! leaves it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::discovery::oprf::Output;
use crate::discovery::oprf::set::{ID_BYTES, MemberId};
use crate::engine::Core;
use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile};
use crate::journal::{Keyring, Label, Opened};

const MAGIC: [u8; 8] = *b"SELFSOP1";
const HEADER_BYTES: usize = 24;
const PIECE_HEADER_BYTES: usize = 9;
const ENTRY_BYTES: usize = ID_BYTES + Output::BYTES;
/// Entries of a piece at most.
const PIECE_ENTRIES: usize = 8192;
/// Bytes of a piece at most, sealed.
const PIECE_BYTES_MAX: usize = PIECE_ENTRIES * ENTRY_BYTES + 1024;
/// Which of the files about a tenant, for the seal; import reports are 1 and 2.
const LABEL: u8 = 140;

/// An identifier's output.
pub(super) type Entry = (MemberId, Output);

/// One file.
pub(super) struct CacheFile {
    disk: Arc<dyn Disk>,
    /// Missing: what is written is not sealed.
    sealing: bool,
    keys: Arc<Keyring>,
    dir: PathBuf,
    path: PathBuf,
    tenant: u64,
    epoch: u32,
}

/// Where the whole pieces end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// 0: there is no file, or none that is of use.
    len: u64,
    pieces: u64,
    /// Something follows that is no whole piece.
    torn: bool,
}

fn dir_of(core: &Core) -> PathBuf {
    core.options.data_dir.join("oprf")
}

fn failed(doing: &str, path: &Path, source: std::io::Error) -> Error {
    if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return Error::Full { what: format!("the disk ({doing} {})", path.display()) };
    }
    Error::io(format!("{doing} {}", path.display()), source)
}

impl CacheFile {
    pub(super) fn new(core: &Core, tenant: u64, epoch: u32) -> Self {
        let dir = dir_of(core);
        Self {
            disk: Arc::clone(&core.world.disk),
            sealing: core.options.encryption,
            keys: Arc::clone(&core.keys),
            path: dir.join(format!("{tenant}-{epoch}.bin")),
            dir,
            tenant,
            epoch,
        }
    }

    /// Gives every entry to `take`. What cannot be read ends the file: it is made anew by the next append.
    pub(super) fn read(&self, take: &mut dyn FnMut(Entry)) -> End {
        let Ok(file) = self.disk.open_read(&self.path) else { return End::default() };
        let Ok(whole) = file.len() else { return End { torn: true, ..End::default() } };
        let mut header = [0; HEADER_BYTES];
        if file.read_exact_at(0, &mut header).is_err() || header != self.header() {
            return End { torn: true, ..End::default() };
        }
        let mut end = End { len: HEADER_BYTES as u64, pieces: 0, torn: false };
        while end.len < whole {
            let Some((entries, bytes)) = self.piece(&*file, end) else { return End { torn: true, ..end } };
            entries.as_chunks::<ENTRY_BYTES>().0.iter().filter_map(entry).for_each(&mut *take);
            end = End { len: end.len + bytes, pieces: end.pieces + 1, torn: false };
        }
        end
    }

    /// The opened bytes of the piece that begins at `end`, and its bytes in the file.
    fn piece(&self, file: &dyn DiskFile, end: End) -> Option<(Vec<u8>, u64)> {
        let mut header = [0; PIECE_HEADER_BYTES];
        file.read_exact_at(end.len, &mut header).ok()?;
        let (len_bytes, rest) = header.split_first_chunk::<4>()?;
        let (crc, sealed) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len_bytes)).ok().filter(|len| *len <= PIECE_BYTES_MAX)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(end.len + PIECE_HEADER_BYTES as u64, &mut bytes).ok()?;
        if crc32c::crc32c_append(crc32c::crc32c(len_bytes), &bytes) != u32::from_le_bytes(*crc) {
            return None;
        }
        let opened = match sealed {
            [0] => bytes,
            [1] => match self.keys.open_sealed(&self.label(end.pieces), &bytes).ok()? {
                Opened::Plain(bytes) => bytes,
                Opened::Destroyed => return None,
            },
            _ => return None,
        };
        Some((opened, (PIECE_HEADER_BYTES + len) as u64))
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let fields = MAGIC.into_iter().chain(self.tenant.to_le_bytes()).chain(self.epoch.to_le_bytes());
        header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        header
    }

    fn label(&self, index: u64) -> Label {
        Label::Piece { tenant: self.tenant, kind: LABEL, file: u128::from(self.epoch), index }
    }

    fn sealed_piece(&self, index: u64, entries: &[Entry]) -> Result<Vec<u8>> {
        let plain: Vec<u8> = entries.iter().flat_map(|(id, output)| id.iter().copied().chain(output.bytes())).collect();
        let bytes = if self.sealing { self.keys.seal(&self.label(index), &plain)? } else { plain };
        let too_large = |_| Error::TooLarge { what: "a piece of outputs".into(), limit: PIECE_BYTES_MAX as u64 };
        let len = u32::try_from(bytes.len()).map_err(too_large)?.to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &bytes).to_le_bytes();
        Ok([&len[..], &crc, &[u8::from(self.sealing)], &bytes].concat())
    }

    /// Adds entries behind the whole pieces. Not synced: what a crash takes is evaluated again.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk; then the end is where it was.
    pub(super) fn append(&self, end: End, entries: &[Entry]) -> Result<End> {
        let fail = |error| failed("writing", &self.path, error);
        let (file, mut end) = if end.len == 0 {
            self.disk.create_dir_durable(&self.dir).map_err(|error| failed("making", &self.dir, error))?;
            self.remove()?;
            let file = self.disk.create_new(&self.path).map_err(fail)?;
            file.write_all_at(0, &self.header()).map_err(fail)?;
            (file, End { len: HEADER_BYTES as u64, pieces: 0, torn: false })
        } else {
            let file = self.disk.open(&self.path).map_err(fail)?;
            if end.torn {
                file.set_len(end.len).map_err(fail)?;
            }
            (file, End { torn: false, ..end })
        };
        for entries in entries.chunks(PIECE_ENTRIES) {
            let piece = self.sealed_piece(end.pieces, entries)?;
            file.write_all_at(end.len, &piece).map_err(fail)?;
            end = End { len: end.len + piece.len() as u64, pieces: end.pieces + 1, torn: false };
        }
        Ok(end)
    }

    /// Writes the file anew with those entries that `keep` says, durably, and overwrites nothing until it is there.
    /// Returns how many left it.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk: then the file is as it was.
    pub(super) fn retain(&self, keep: &dyn Fn(&MemberId) -> bool) -> Result<usize> {
        let (mut kept, mut gone) = (Vec::new(), 0);
        let end = self.read(&mut |entry| if keep(&entry.0) { kept.push(entry) } else { gone += 1 });
        if end == End::default() || gone == 0 && !end.torn {
            return Ok(0);
        }
        let aside = Self { path: self.path.with_extension("new"), ..self.twin() };
        aside.append(End::default(), &kept)?;
        let fail = |error| failed("writing", &aside.path, error);
        self.disk.open(&aside.path).map_err(fail)?.sync_data().map_err(fail)?;
        self.disk.rename(&aside.path, &self.path).map_err(|error| failed("replacing", &self.path, error))?;
        self.disk.sync_dir(&self.dir).map_err(|error| failed("syncing", &self.dir, error))?;
        Ok(gone)
    }

    fn twin(&self) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            keys: Arc::clone(&self.keys),
            dir: self.dir.clone(),
            path: self.path.clone(),
            ..*self
        }
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// `Io` from the disk.
    pub(super) fn remove(&self) -> Result<()> {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("removing", &self.path, error)),
            _ => Ok(()),
        }
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let (id, y) = bytes.split_first_chunk()?;
    Some((*id, Output::of(y)?))
}

/// The epochs of a tenant that have a file.
pub(super) fn epochs_on_disk(core: &Core, tenant: u64) -> Vec<u32> {
    let names = core.world.disk.list(&dir_of(core)).unwrap_or_default();
    let epoch = |name: &String| name.strip_prefix(&format!("{tenant}-"))?.split_once('.')?.0.parse().ok();
    let mut epochs: Vec<u32> = names.iter().filter_map(epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

/// Takes everybody out of a tenant's files whom `keep` does not know: after an erasure. With `None` the files go.
///
/// # Errors
/// `Full` or `Io` from the disk.
pub(super) fn forget(core: &Core, tenant: u64, keep: Option<&dyn Fn(&MemberId) -> bool>) -> Result<()> {
    for epoch in epochs_on_disk(core, tenant) {
        let file = CacheFile::new(core, tenant, epoch);
        CacheFile { path: file.path.with_extension("new"), ..file.twin() }.remove()?;
        match keep {
            Some(keep) => drop(file.retain(keep)?),
            None => file.remove()?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{MemDisk, SeededRandom};

    fn file(disk: &MemDisk, sealing: bool) -> CacheFile {
        let (disk, dir): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), PathBuf::from("/data"));
        let random = Arc::new(SeededRandom::new(3));
        let keys = Arc::new(Keyring::open(Arc::clone(&disk), &dir, &[7; 32], random).unwrap());
        let dir = dir.join("oprf");
        CacheFile { disk, sealing, keys, path: dir.join("3-1.bin"), dir, tenant: 3, epoch: 1 }
    }

    fn entries(range: std::ops::Range<u32>) -> Vec<Entry> {
        range
            .map(|n| {
                let hash = blake3::hash(&n.to_le_bytes());
                (*hash.as_bytes().first_chunk().unwrap(), Output::of(hash.as_bytes()).unwrap())
            })
            .collect()
    }

    fn all(file: &CacheFile) -> (Vec<Entry>, End) {
        let mut found = Vec::new();
        let end = file.read(&mut |entry| found.push(entry));
        (found, end)
    }

    #[test]
    fn what_is_written_is_read_until_it_is_damaged_and_goes_on_from_there() {
        for sealing in [true, false] {
            let disk = MemDisk::new();
            let file = file(&disk, sealing);
            assert_eq!(all(&file), (Vec::new(), End::default()));
            let end = file.append(End::default(), &entries(0..9000)).unwrap();
            assert_eq!(end.pieces, 2);
            let end = file.append(end, &entries(9000..9100)).unwrap();
            assert_eq!(all(&file), (entries(0..9100), end));
            let bytes = disk.read(&file.path).unwrap();
            let stands = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
            assert_eq!(stands(&entries(5..6)[0].1.bytes()), !sealing);
            let on_disk = disk.open(&file.path).unwrap();
            on_disk.write_all_at(end.len - 3, &[bytes[bytes.len() - 3] ^ 1]).unwrap();
            let (found, torn) = all(&file);
            assert_eq!((found, torn.torn, torn.pieces), (entries(0..9000), true, 2));
            let end = file.append(torn, &entries(50_000..50_001)).unwrap();
            assert_eq!(all(&file), ([entries(0..9000), entries(50_000..50_001)].concat(), end));
            on_disk.write_all_at(0, b"x").unwrap();
            let (found, end) = all(&file);
            assert!(found.is_empty() && end.len == 0 && end.torn, "of somebody else");
            file.append(end, &entries(0..1)).unwrap();
            assert_eq!(all(&file).0, entries(0..1));
        }
    }

    #[test]
    fn the_erased_leave_the_file() {
        let disk = MemDisk::new();
        let file = file(&disk, false);
        assert_eq!(file.retain(&|_| true).unwrap(), 0);
        file.append(End::default(), &entries(0..100)).unwrap();
        let gone = entries(40..42);
        let keep = |id: &MemberId| gone.iter().all(|(one, _)| one != id);
        assert_eq!(file.retain(&keep).unwrap(), 2);
        assert_eq!(all(&file).0, [entries(0..40), entries(42..100)].concat());
        let bytes = disk.read(&file.path).unwrap();
        assert!(!bytes.windows(12).any(|window| window == gone[0].0));
        assert_eq!(file.retain(&keep).unwrap(), 0, "nothing to do");
        assert_eq!(disk.list(&file.dir).unwrap(), ["3-1.bin"]);
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(all(&file).1, End::default());
    }
}
