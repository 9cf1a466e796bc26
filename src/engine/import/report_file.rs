//! The files of an import's report as they lie on disk: sealed in pieces, or plain text where nothing is sealed.
//!
//! **Sealed file**, little-endian: `magic "SELFSRF1" | tenant u64`, then pieces `len u32 | crc32c u32 (over len and the
//! sealed bytes) | sealed bytes`. Each append is a piece. A file that does not start with the magic is plain text, as
//! earlier builds and servers without encryption write it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::import::{ImportReport, Totals, failed};
use crate::error::{Error, Result};
use crate::formats::write::csv_line;
use crate::host::{Disk, DiskFile};
use crate::journal::{Keyring, Label, Opened};
use crate::model::ids::{ImportId, TenantName};

const MAGIC: [u8; 8] = *b"SELFSRF1";
const HEADER_BYTES: usize = 16;
const PIECE_HEADER_BYTES: usize = 8;

/// Which of a report's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A line for each row.
    Lines = 1,
    /// The totals.
    Totals = 2,
}

/// Turns text into the bytes of a report's files.
pub(super) struct Sealing {
    /// Missing: plain text.
    keys: Option<Arc<Keyring>>,
    tenant: u64,
    file: ImportId,
}

impl Sealing {
    /// For the reports of a tenant. Where there is no such tenant one is made, unless it shall be left as it is (of a
    /// rehearsal): then the report is the server's.
    pub(super) fn of(engine: &Engine, tenant: &TenantName, leave: bool, file: ImportId) -> Result<Self> {
        let core = &engine.core;
        let keys = core.options.encryption.then(|| Arc::clone(&core.keys));
        let known = core.tenant(tenant).map(|tenant| tenant.id.0);
        let tenant = match (known, leave || keys.is_none()) {
            (Some(number), _) => number,
            (None, true) => 0,
            (None, false) => core.tenant_or_new(tenant)?.id.0,
        };
        Ok(Self { keys, tenant, file })
    }

    /// The bytes to append for a text that is the `index`-th piece of its file.
    pub(super) fn append(&self, part: Part, index: u64, text: &[u8]) -> Result<Vec<u8>> {
        let Some(keys) = &self.keys else { return Ok(text.to_vec()) };
        let label = Label::Piece { tenant: self.tenant, kind: part as u8, file: self.file.0, index };
        let sealed = keys.seal(&label, text)?;
        let too_large = |_| Error::TooLarge { what: "a piece of a report".into(), limit: u64::from(u32::MAX) };
        let len = u32::try_from(sealed.len()).map_err(too_large)?.to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + PIECE_HEADER_BYTES + sealed.len());
        if index == 0 {
            bytes.extend_from_slice(&MAGIC);
            bytes.extend_from_slice(&self.tenant.to_le_bytes());
        }
        bytes.extend_from_slice(&len);
        bytes.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(&len), &sealed).to_le_bytes());
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }
}

/// The files of a report being written.
pub(super) struct ReportFiles {
    dir: PathBuf,
    name: String,
    sealing: Sealing,
    csv: Box<dyn DiskFile>,
    csv_len: u64,
    csv_pieces: u64,
}

impl ReportFiles {
    pub(super) fn begin(
        disk: &dyn Disk,
        dir: &Path,
        sealing: Sealing,
        report: &ImportReport,
        id_column: &str,
    ) -> Result<Self> {
        disk.create_dir_all(dir).map_err(|error| failed("make", dir, error))?;
        let name = report.import_id.to_string();
        let path = dir.join(format!("{name}.csv"));
        let csv = disk.create_new(&path).map_err(|error| failed("create", &path, error))?;
        let mut files = Self { dir: dir.to_owned(), name, sealing, csv, csv_len: 0, csv_pieces: 0 };
        let mut header = Vec::new();
        csv_line(&mut header, ["line", "outcome", id_column, "issues"].map(str::to_owned).into_iter());
        files.append(&header)?;
        files.write_totals(disk, report)?;
        Ok(files)
    }

    pub(super) fn append(&mut self, text: &[u8]) -> Result<()> {
        let path = || self.dir.join(format!("{}.csv", self.name));
        let bytes = self.sealing.append(Part::Lines, self.csv_pieces, text)?;
        self.csv.write_all_at(self.csv_len, &bytes).map_err(|error| failed("write", &path(), error))?;
        self.csv_len = self.csv_len.saturating_add(bytes.len() as u64);
        self.csv_pieces += 1;
        Ok(())
    }

    pub(super) fn finish(&mut self, disk: &dyn Disk, report: &ImportReport) -> Result<()> {
        let path = self.dir.join(format!("{}.csv", self.name));
        self.csv.sync_data().map_err(|error| failed("sync", &path, error))?;
        self.write_totals(disk, report)
    }

    /// Replaces the totals in one step.
    fn write_totals(&self, disk: &dyn Disk, report: &ImportReport) -> Result<()> {
        let path = self.dir.join(format!("{}.json", self.name));
        let text = serde_json::to_vec_pretty(&Totals::from(report)).unwrap_or_default();
        replace(disk, &self.dir, &path, &self.sealing.append(Part::Totals, 0, &text)?)
    }
}

/// Replaces a file in one step.
pub(super) fn replace(disk: &dyn Disk, dir: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("tmp");
    let write = || {
        // Left by a crash.
        if disk.exists(&fresh)? {
            disk.remove(&fresh)?;
        }
        let file = disk.create_new(&fresh)?;
        file.write_all_at(0, bytes)?;
        file.sync_data()?;
        disk.rename(&fresh, path)?;
        disk.sync_dir(dir)
    };
    write().map_err(|error| failed("write", path, error))
}

/// A file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// As far as its pieces are whole.
    pub(super) text: Vec<u8>,
    /// Whether nothing stands behind them. What was never synced may be torn.
    pub(super) is_whole: bool,
}

/// Reads a file of a report.
///
/// # Errors
/// `Gone` when the tenant's keys were destroyed; `Corrupt` for a whole piece that does not open; `Invalid` when its key
/// is missing.
pub(super) fn read(keys: &Keyring, path: &Path, part: Part, file: ImportId, bytes: Vec<u8>) -> Result<Read> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC[..]) {
        return Ok(Read { text: bytes, is_whole: true });
    }
    let tenant = bytes.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut text = Vec::new();
    for index in 0.. {
        let Some((sealed, behind)) = piece(rest) else { break };
        let label = Label::Piece { tenant, kind: part as u8, file: file.0, index };
        match keys.open_sealed(&label, sealed) {
            Ok(Opened::Plain(plain)) => text.extend_from_slice(&plain),
            Ok(Opened::Destroyed) => return Err(Error::Gone),
            Err(Error::Corrupt { reason, .. }) => {
                let offset_bytes = (bytes.len() - rest.len()) as u64;
                return Err(Error::Corrupt { file: path.to_path_buf(), offset_bytes, reason });
            }
            Err(other) => return Err(other),
        }
        rest = behind;
    }
    Ok(Read { text, is_whole: rest.is_empty() })
}

/// The next whole piece, and what stands behind it.
fn piece(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, behind) = rest.split_at_checked(PIECE_HEADER_BYTES)?;
    let (len, crc) = head.split_first_chunk::<4>()?;
    let (sealed, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    let right = crc32c::crc32c_append(crc32c::crc32c(len), sealed) == u32::from_le_bytes(*crc.first_chunk()?);
    right.then_some((sealed, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{MemDisk, SeededRandom};

    fn sealing() -> (Arc<Keyring>, Sealing) {
        let random = Arc::new(SeededRandom::new(1));
        let disk = Arc::new(MemDisk::new());
        let keys = Arc::new(Keyring::open(disk, Path::new("/data"), &[1; 32], random).unwrap());
        (Arc::clone(&keys), Sealing { keys: Some(keys), tenant: 3, file: ImportId(9) })
    }

    fn text(keys: &Keyring, bytes: &[u8]) -> Result<(String, bool)> {
        let read = read(keys, Path::new("/r"), Part::Lines, ImportId(9), bytes.to_vec())?;
        Ok((String::from_utf8(read.text).unwrap(), read.is_whole))
    }

    #[test]
    fn pieces_come_back_and_a_torn_or_changed_one_is_never_read() {
        let (keys, sealing) = sealing();
        let first = sealing.append(Part::Lines, 0, b"line\n").unwrap();
        let whole = [first.clone(), sealing.append(Part::Lines, 1, b"1,created\n").unwrap()].concat();
        assert_eq!(text(&keys, &whole).unwrap(), ("line\n1,created\n".to_owned(), true));
        assert!(!whole.windows(7).any(|window| window == b"created"));
        for at in HEADER_BYTES..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            let kept = if at < first.len() { "" } else { "line\n" };
            assert_eq!(text(&keys, &flipped).unwrap(), (kept.to_owned(), false), "byte {at}");
            let kept = if at < first.len() { "" } else { "line\n" };
            assert_eq!(text(&keys, &whole[..at]).unwrap().0, kept, "cut to {at}");
        }
        let swapped = [&whole[..HEADER_BYTES], &whole[first.len()..]].concat();
        assert!(matches!(text(&keys, &swapped), Err(Error::Corrupt { .. })), "the second piece is not the first");
    }

    #[test]
    fn plain_text_is_read_as_it_is_and_destroyed_is_gone() {
        let (keys, sealing) = sealing();
        assert_eq!(text(&keys, b"line,outcome\n").unwrap(), ("line,outcome\n".to_owned(), true));
        let sealed = sealing.append(Part::Lines, 0, b"x").unwrap();
        assert!(keys.destroy(3).unwrap());
        assert!(matches!(text(&keys, &sealed), Err(Error::Gone)));
    }
}
