//! What a restore of an earlier moment must not undo: frames from behind the cut, set beside the journal for the next start.
//!
//! Who was erased or opted out after that moment must not come back with it. The journal does not know which kinds those
//! are; whoever restores says so. The file holds the frames as they were stored, sealed ones sealed:
//!
//! ```text
//! "SSCARRY1" | u32 count | count x (u64 seq, u64 tenant, u8 kind, u8 version, u16 flags, i64 group_ms, u32 len, payload) | BLAKE3
//! ```
//!
//! It goes once the next start has taken it in.

use std::path::Path;

use crate::error::Result;
use crate::host::Disk;
use crate::journal::backup::store_bytes;
use crate::journal::segment::Group;
use crate::journal::{Frame, corrupt, failed};

/// The file's name in the data directory.
pub const CARRIED: &str = "CARRIED";
const MAGIC: &[u8; 8] = b"SSCARRY1";
const HASH_BYTES: usize = 32;

/// Frames gathered behind a cut.
#[derive(Default)]
pub(super) struct Carrier {
    count: u32,
    bytes: Vec<u8>,
}

impl Carrier {
    /// Takes the frames of a group that lie behind `seq` and are of one of these kinds.
    pub(super) fn take(&mut self, group: &Group<'_, '_>, seq: u64, kinds: &[u8]) {
        for frame in group.frames.iter().filter(|frame| frame.seq > seq && kinds.contains(&frame.kind)) {
            let payload = frame.payload();
            self.bytes.extend_from_slice(&frame.seq.to_le_bytes());
            self.bytes.extend_from_slice(&frame.tenant.to_le_bytes());
            self.bytes.extend_from_slice(&[frame.kind, frame.version]);
            self.bytes.extend_from_slice(&frame.flags.to_le_bytes());
            self.bytes.extend_from_slice(&group.header.time_ms.to_le_bytes());
            self.bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.bytes.extend_from_slice(payload);
            self.count += 1;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Writes the file, if there is anything to carry.
    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.bytes);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        store_bytes(disk, &dir.join(CARRIED), &bytes)
    }
}

/// Gives every carried frame to `on_frame`, oldest first. Returns how many there are; 0 also when there is no such file.
///
/// # Errors
/// `Corrupt` when the file is not what was written, `Io` from the disk, and what `on_frame` returns.
pub fn carried(disk: &dyn Disk, dir: &Path, on_frame: &mut dyn FnMut(&Frame<'_>) -> Result<()>) -> Result<u32> {
    let path = dir.join(CARRIED);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed("reading", &path)(error)),
    };
    let damaged = || corrupt(&path, 0, "is not what was written; restore again".to_owned());
    let (body, hash) = bytes.split_at_checked(bytes.len().saturating_sub(HASH_BYTES)).ok_or_else(damaged)?;
    if blake3::hash(body).as_bytes() != hash {
        return Err(damaged());
    }
    let mut rest = Rest(body);
    let count = (|| {
        (rest.take::<8>()? == *MAGIC).then_some(())?;
        Some(u32::from_le_bytes(rest.take()?))
    })()
    .ok_or_else(damaged)?;
    for _ in 0..count {
        let frame = rest.frame().ok_or_else(damaged)?;
        on_frame(&frame)?;
    }
    Ok(count)
}

/// Removes the file: what it carried is in the journal.
///
/// # Errors
/// `Io` from the disk.
pub fn carried_over(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(CARRIED);
    disk.remove(&path).map_err(failed("removing", &path))?;
    disk.sync_dir(dir).map_err(failed("syncing", dir))
}

/// Bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn frame(&mut self) -> Option<Frame<'a>> {
        let (seq, tenant) = (u64::from_le_bytes(self.take()?), u64::from_le_bytes(self.take()?));
        let [kind, version] = self.take()?;
        let flags = u16::from_le_bytes(self.take()?);
        let group_ms = i64::from_le_bytes(self.take()?);
        let len = usize::try_from(u32::from_le_bytes(self.take()?)).ok()?;
        let (payload, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(Frame { seq, tenant, kind, version, flags, group_ms, payload })
    }
}
