//! The keys that everything on disk is sealed under: opening the ring at a start, and changing keys while the server runs.
//!
//! A rotation of the master key wraps all data keys anew and touches nothing else, so it takes as long as writing the
//! ring. A rotation of a tenant's data key makes a new one for what is written from now on; the older ones go on opening
//! what they have sealed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, EngineOptions, World, lock};
use crate::error::{Error, Result};
use crate::host::{Disk, output_of};
use crate::journal::{self, Keyring, ring_path};
use crate::model::ids::TenantName;

/// Bytes of a master key.
pub const KEY_BYTES: usize = 32;
/// What a key command may print at most.
const PRINTED_BYTES_MAX: usize = 4096;

/// The master key out of its text: 64 hexadecimal digits, whitespace around them left aside.
pub fn parse(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut key = [0; KEY_BYTES];
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// The master key out of a file.
///
/// # Errors
/// `Invalid` names the file when it cannot be read or is no key file.
pub fn from_file(disk: &dyn Disk, path: &Path) -> Result<[u8; KEY_BYTES]> {
    let named = |reason: String| Error::invalid(path.display().to_string(), reason);
    let text = disk.read(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    parse(&text).ok_or_else(|| named("is not a key file (64 hexadecimal digits); name the right one".into()))
}

/// The master key that a command prints.
///
/// # Errors
/// `Invalid` with field `key_command` when it fails, takes longer than `timeout` or prints something else.
pub fn from_command(line: &str, timeout: Duration) -> Result<[u8; KEY_BYTES]> {
    let refused = |reason: String| Error::invalid("key_command", reason);
    let printed = output_of(line, timeout, PRINTED_BYTES_MAX).map_err(|error| {
        if error.kind() == std::io::ErrorKind::TimedOut {
            let reason = "did not end within {} s; raise key_command_timeout_seconds or mend the command";
            return refused(reason.replace("{}", &timeout.as_secs().to_string()));
        }
        refused(format!("failed: {error}; what it printed on standard error says more"))
    })?;
    parse(&printed).ok_or_else(|| refused("must print 64 hexadecimal digits and nothing else".into()))
}

/// Opens the ring of a data directory. Changes nothing.
///
/// # Errors
/// `Invalid` when the master key is another one, or when the ring is missing while something is sealed.
pub(crate) fn open(options: &EngineOptions, world: &World) -> Result<Arc<Keyring>> {
    let (disk, dir) = (Arc::clone(&world.disk), &options.data_dir);
    let named = |error: Error| {
        if let Error::Invalid { field, reason } = &error
            && field == "master key"
        {
            return Error::invalid(&*options.secret_from, reason.clone());
        }
        error
    };
    let keys = Keyring::open(disk, dir, &options.secret, Arc::clone(&world.random)).map_err(named)?;
    if keys.is_new() && journal::any_sealed(&*world.disk, dir)? {
        let reason = "is missing, and what is in the data directory is sealed under its keys: restore it from a backup. \
            Nothing was changed";
        return Err(Error::invalid(ring_path(dir).display().to_string(), reason));
    }
    Ok(Arc::new(keys))
}

impl Engine {
    /// Wraps all data keys under another master key. Returns how many. Once this has returned only the new one opens the
    /// data directory; after a crash in between either the old or the new one does, and the start says so.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk: the old key goes on.
    pub fn rotate_master_key(&self, master: &[u8; 32]) -> Result<usize> {
        // A backup has the keys under one master key.
        let _files = lock(&self.core.files);
        let keys = self.core.keys.rotate_master(master)?;
        tracing::info!(keys, "all data keys are wrapped under a new master key");
        Ok(keys)
    }

    /// Gives a tenant a new data key. Returns its number among the tenant's keys.
    ///
    /// # Errors
    /// `NotFound` for the tenant; `Full` or `Io` from the disk.
    pub fn rotate_data_key(&self, tenant: &TenantName) -> Result<u32> {
        self.core.keys.rotate(self.known(tenant)?.id.0)
    }

    /// Whether what is written is sealed.
    pub fn is_sealing(&self) -> bool {
        self.core.options.encryption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_prints_the_key_or_is_refused_by_name() {
        let run = |line: &str| from_command(line, Duration::from_millis(300));
        assert_eq!(run(&format!("echo {}", "ab".repeat(KEY_BYTES))).unwrap(), [0xab; KEY_BYTES]);
        for (line, says) in [("echo abc", "64 hexadecimal"), ("exit 4", "failed"), ("sleep 9", "within 0 s")] {
            let text = run(line).unwrap_err().to_string();
            assert!(text.starts_with("key_command: ") && text.contains(says), "{text}");
        }
    }
}
