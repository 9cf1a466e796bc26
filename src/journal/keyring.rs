//! The keys of a data directory: each tenant's data keys, wrapped by the master key, in `keys/ring.bin`.
//!
//! New keys are appended, all of a group with one write and one sync, before a frame is written under them; a hundred
//! thousand tenants cost 96 bytes each and no rewriting. A rotation of the master key and the destruction of a tenant's
//! keys write the ring aside, sync it, rename it and sync the directory, so that after a crash either the ring before
//! or the one after is there, whole; then the bytes of the old file are overwritten as well as a disk lets one.
//! `ring_file.rs` has the layout, `seal.rs` the cipher.
//!
//! A tenant whose keys were destroyed stays in the ring by its number, so that what was sealed under them counts as
//! erased, while a key that is merely missing refuses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::host::{Disk, DiskFile, Random};
use crate::journal::ring_file::{Entry, HEADER_BYTES, RingFile, encode_append, encode_header};
use crate::journal::seal::{
    DataKey, KEY_BYTES, KeyBytes, Label, NONCE_BYTES, Wrapped, generation_of, unwrap, wrap, wrapping_key,
};
use crate::journal::{Frame, corrupt, failed};

/// Sealed bytes, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// What was sealed.
    Plain(Vec<u8>),
    /// The tenant's keys were destroyed: nobody can read it any more, as if it were erased.
    Destroyed,
}

impl Opened {
    /// The plain bytes, if there are any.
    #[must_use]
    pub fn plain(self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(bytes) => Some(bytes),
            Self::Destroyed => None,
        }
    }
}

/// The keys of tenants by number, the newest of each last; none: they were destroyed.
type Keys = HashMap<u64, Vec<Arc<DataKey>>>;

/// The file, and what it takes to write it.
struct OnDisk {
    /// Opened by the first append.
    file: Option<Box<dyn DiskFile>>,
    /// Bytes up to the end of the last whole entry; 0: there is no file yet.
    end: u64,
    /// Whether the file is known to be what the keys in memory say; else it is written anew before any use.
    is_settled: bool,
    /// Whether a replacement of the file failed halfway: then nothing is sealed before it is settled, for what is found
    /// after a crash could lack a key that is in use.
    is_doubtful: bool,
    wrapping: KeyBytes,
}

/// The keys of one data directory, shared by everybody who seals or opens.
pub struct Keyring {
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    data_dir: PathBuf,
    id: [u8; 16],
    record_secret: KeyBytes,
    is_new: bool,
    keys: RwLock<Keys>,
    /// Locked before `keys`, never after.
    on_disk: Mutex<OnDisk>,
}

/// Hex digits of a key's id.
const KEY_ID_DIGITS: usize = 16;

/// Tells master keys apart and says nothing about them: the start of a hash, as hex.
#[must_use]
pub fn key_id(master: &[u8; KEY_BYTES]) -> String {
    id_of(&wrapping_key(master))
}

fn id_of(wrapping: &KeyBytes) -> String {
    let derived = blake3::derive_key("selfsame 1 id of the master key", &**wrapping);
    blake3::Hash::from_bytes(derived).to_hex().chars().take(KEY_ID_DIGITS).collect()
}

/// Where a data directory's keyring is.
#[must_use]
pub fn ring_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("ring.bin")
}

impl Keyring {
    /// Reads the ring of a data directory, or begins one in memory where there is none; changes nothing on disk.
    ///
    /// # Errors
    /// `Invalid` with field `master key` when the ring was made under another, and for a ring of a newer selfsame;
    /// `Corrupt` when its bytes are not what was written; `Io` from the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        master: &[u8; KEY_BYTES],
        random: Arc<dyn Random>,
    ) -> Result<Self> {
        let path = ring_path(data_dir);
        let wrapping = wrapping_key(master);
        let is_there = disk.exists(&path).map_err(failed("looking for", &path))?;
        if !is_there {
            let mut id = [0; 16];
            random.fill(&mut id);
            let on_disk = OnDisk { file: None, end: 0, is_settled: false, is_doubtful: false, wrapping };
            let secret = Zeroizing::new(*master);
            return Ok(Self::from_parts((disk, random, data_dir), id, secret, true, Keys::new(), on_disk));
        }
        let bytes = disk.read(&path).map_err(failed("reading", &path))?;
        let ring = RingFile::decode(&bytes).map_err(|reason| refused(&path, reason))?;
        let secret = unwrap(&wrapping, &ring.id, Wrapped::RecordSecret, &ring.secret);
        let secret = secret.ok_or_else(|| wrong_key(&path))?;
        let keys = unwrap_all(&path, &ring, &wrapping)?;
        // Behind a torn append the file is written anew: an append there could revive what is left of it.
        let (end, is_settled) = (ring.end as u64, !ring.torn);
        let on_disk = OnDisk { file: None, end, is_settled, is_doubtful: false, wrapping };
        Ok(Self::from_parts((disk, random, data_dir), ring.id, secret, false, keys, on_disk))
    }

    fn from_parts(
        (disk, random, data_dir): (Arc<dyn Disk>, Arc<dyn Random>, &Path),
        id: [u8; 16],
        record_secret: KeyBytes,
        is_new: bool,
        keys: Keys,
        on_disk: OnDisk,
    ) -> Self {
        let data_dir = data_dir.to_path_buf();
        let (keys, on_disk) = (RwLock::new(keys), Mutex::new(on_disk));
        Self { disk, random, data_dir, id, record_secret, is_new, keys, on_disk }
    }

    /// Whether there was no ring on disk when it was opened.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The secret that names records by their content: the master key under which the ring was made, whatever it is now.
    #[must_use]
    pub fn record_secret(&self) -> [u8; KEY_BYTES] {
        *self.record_secret
    }

    /// The id of the master key that wraps the keys now.
    #[must_use]
    pub fn key_id(&self) -> String {
        id_of(&self.lock().wrapping)
    }

    /// The highest number of a tenant that has or had a key; no tenant may get it anew. 0: none.
    #[must_use]
    pub fn highest_tenant(&self) -> u64 {
        self.read_keys().keys().max().copied().unwrap_or(0)
    }

    /// Makes the file what memory says, if it is not known to be: after the first opening and after a failed write.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk; the ring can be used on, and the next call tries again.
    pub fn settle(&self) -> Result<()> {
        let mut on_disk = self.lock();
        if on_disk.is_settled {
            return Ok(());
        }
        let wrapping = on_disk.wrapping.clone();
        let keys = self.read_keys().clone();
        self.rewrite(&mut on_disk, &keys, wrapping)
    }

    /// The newest key of each of these tenants, by tenant in order; those that have none get one, durably.
    ///
    /// # Errors
    /// `Invalid` for a tenant whose keys were destroyed; `Full` or `Io` from the disk: then nobody has got a key.
    pub fn current(&self, tenants: impl Iterator<Item = u64>) -> Result<CurrentKeys> {
        if self.lock().is_doubtful {
            self.settle()?;
        }
        let mut wanted: Vec<u64> = tenants.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let missing: Vec<u64> = {
            let keys = self.read_keys();
            wanted.iter().copied().filter(|tenant| !keys.contains_key(tenant)).collect()
        };
        if !missing.is_empty() {
            self.add(|keys| {
                missing.iter().filter(|tenant| !keys.contains_key(*tenant)).map(|one| (*one, 1)).collect()
            })?;
        }
        let keys = self.read_keys();
        let newest = |tenant: u64| {
            let key = keys.get(&tenant).and_then(|all| all.last()).ok_or_else(|| destroyed(tenant))?;
            Ok((tenant, Arc::clone(key)))
        };
        Ok(CurrentKeys { by_tenant: wanted.into_iter().map(newest).collect::<Result<_>>()? })
    }

    /// Gives those of these tenants a key that have none, all with one write and one sync. Tenants whose keys were
    /// destroyed are passed over.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk.
    pub fn prepare(&self, tenants: impl Iterator<Item = u64>) -> Result<()> {
        self.current(tenants.filter(|tenant| !self.is_destroyed(*tenant))).map(drop)
    }

    /// Gives a tenant a new key, for what is sealed from now on; the older ones stay for what they have sealed.
    /// Returns its generation.
    ///
    /// # Errors
    /// `Invalid` when the tenant's keys were destroyed; `Full` or `Io` from the disk.
    pub fn rotate(&self, tenant: u64) -> Result<u32> {
        let next = |keys: &Keys| keys.get(&tenant).map_or(Some(1), |all| Some(all.last()?.generation + 1));
        self.add(|keys| next(keys).map(|generation| (tenant, generation)).into_iter().collect())?;
        let keys = self.read_keys();
        keys.get(&tenant).and_then(|all| all.last()).map(|key| key.generation).ok_or_else(|| destroyed(tenant))
    }

    /// Wraps all keys under another master key. Returns how many. From then on only the new one opens the ring; after
    /// a crash in between either the old or the new one does.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk: the old master key goes on, and the next write of a key makes it so on disk too.
    pub fn rotate_master(&self, master: &[u8; KEY_BYTES]) -> Result<usize> {
        let mut on_disk = self.lock();
        let keys = self.read_keys().clone();
        self.rewrite(&mut on_disk, &keys, wrapping_key(master))?;
        Ok(keys.values().map(Vec::len).sum())
    }

    /// Destroys all keys of a tenant, durably: nothing that was sealed under them can be read any more. Make sure first
    /// that nobody writes for the tenant. Returns whether there were any.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk: then the keys are still in use.
    pub fn destroy(&self, tenant: u64) -> Result<bool> {
        let mut on_disk = self.lock();
        let mut keys = self.read_keys().clone();
        let had = keys.insert(tenant, Vec::new()).is_some_and(|all| !all.is_empty());
        let wrapping = on_disk.wrapping.clone();
        self.rewrite(&mut on_disk, &keys, wrapping)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(had)
    }

    /// Whether a tenant's keys were destroyed.
    #[must_use]
    pub fn is_destroyed(&self, tenant: u64) -> bool {
        self.read_keys().get(&tenant).is_some_and(Vec::is_empty)
    }

    /// Seals bytes under their tenant's newest key, which is made if there is none.
    ///
    /// # Errors
    /// As [`Keyring::current`].
    pub fn seal(&self, label: &Label, plain: &[u8]) -> Result<Vec<u8>> {
        let keys = self.current(std::iter::once(label.tenant()))?;
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let mut sealed = Vec::new();
        keys.seal_into(label, &nonce, plain, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens sealed bytes.
    ///
    /// # Errors
    /// `Invalid` with the ring's path when it lacks the key; `Corrupt` when these are not the bytes that were sealed as
    /// what `label` says.
    pub fn open_sealed(&self, label: &Label, sealed: &[u8]) -> Result<Opened> {
        self.open_in_place(label, sealed.to_vec())
    }

    /// As [`Keyring::open_sealed`], in the memory of what was sealed.
    ///
    /// # Errors
    /// As [`Keyring::open_sealed`].
    pub fn open_in_place(&self, label: &Label, sealed: Vec<u8>) -> Result<Opened> {
        let changed = || {
            let reason = format!("{} does not open under its key: it is not what was written", label.describe());
            corrupt(&self.data_dir, 0, reason)
        };
        let tenant = label.tenant();
        let key = {
            let keys = self.read_keys();
            let all = keys.get(&tenant);
            if all.is_some_and(Vec::is_empty) {
                return Ok(Opened::Destroyed);
            }
            let generation = generation_of(&sealed).ok_or_else(changed)?;
            let found = all.and_then(|all| all.iter().find(|key| key.generation == generation));
            Arc::clone(found.ok_or_else(|| self.missing(label, generation))?)
        };
        key.open_in_place(label, sealed).map(Opened::Plain).ok_or_else(changed)
    }

    /// A frame's payload, opened if it is sealed. Of an erased frame: of what replaced it, which may be nothing. A plain
    /// frame of a tenant whose keys were destroyed counts as destroyed, too: a tenant is there as a whole or not at all.
    ///
    /// # Errors
    /// As [`Keyring::open_sealed`].
    pub fn open_frame(&self, frame: &Frame<'_>) -> Result<Opened> {
        if self.is_destroyed(frame.tenant) {
            return Ok(Opened::Destroyed);
        }
        if !frame.is_sealed() || (frame.is_erased() && frame.payload.is_empty()) {
            return Ok(Opened::Plain(frame.payload.to_vec()));
        }
        self.open_sealed(&frame.label(), frame.payload)
    }

    fn missing(&self, label: &Label, generation: u32) -> Error {
        let path = ring_path(&self.data_dir);
        let reason = format!(
            "has no key {generation} of tenant {}, under which {} is sealed; restore it from a backup that is as new as \
             the journal. Nothing is readable without it",
            label.tenant(),
            label.describe()
        );
        Error::invalid(path.display().to_string(), reason)
    }

    fn lock(&self) -> MutexGuard<'_, OnDisk> {
        self.on_disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_keys(&self) -> std::sync::RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the keys that `wanted` names (tenant and generation), writes them durably, then lets them be used.
    fn add(&self, wanted: impl Fn(&Keys) -> Vec<(u64, u32)>) -> Result<()> {
        let mut on_disk = self.lock();
        let fresh: Vec<(u64, Arc<DataKey>)> = {
            let keys = self.read_keys();
            wanted(&keys).into_iter().map(|(tenant, generation)| (tenant, Arc::new(self.make(generation)))).collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        if on_disk.is_settled {
            self.append(&mut on_disk, &fresh)?;
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            put(&mut keys, fresh);
        } else {
            let mut keys = self.read_keys().clone();
            put(&mut keys, fresh);
            let wrapping = on_disk.wrapping.clone();
            self.rewrite(&mut on_disk, &keys, wrapping)?;
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        Ok(())
    }

    fn make(&self, generation: u32) -> DataKey {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        self.random.fill(bytes.as_mut_slice());
        DataKey { generation, bytes }
    }

    fn entry(&self, tenant: u64, key: &DataKey, wrapping: &KeyBytes) -> Result<Entry> {
        let what = Wrapped::DataKey { tenant, generation: key.generation };
        let wrapped = self.wrapped(what, &key.bytes, wrapping)?;
        Ok(Entry { tenant, generation: key.generation, wrapped: Some(wrapped) })
    }

    fn wrapped(&self, what: Wrapped, key: &KeyBytes, by: &KeyBytes) -> Result<[u8; super::seal::WRAPPED_BYTES]> {
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        wrap(by, &self.id, what, &nonce, key).ok_or_else(|| Error::TooLarge { what: "a key".into(), limit: 32 })
    }

    /// Appends keys: one write, one sync. After a failure the file is not known any more, so the next use writes it anew.
    fn append(&self, on_disk: &mut OnDisk, fresh: &[(u64, Arc<DataKey>)]) -> Result<()> {
        let path = ring_path(&self.data_dir);
        let entries: Result<Vec<Entry>> =
            fresh.iter().map(|(tenant, key)| self.entry(*tenant, key, &on_disk.wrapping)).collect();
        let bytes = encode_append(&self.id, &entries?);
        let file = match on_disk.file.take() {
            Some(file) => file,
            None => self.disk.open(&path).map_err(failed("opening", &path))?,
        };
        on_disk.is_settled = false;
        let file = on_disk.file.insert(file);
        file.write_all_at(on_disk.end, &bytes).map_err(failed("appending to", &path))?;
        file.sync_data().map_err(failed("syncing", &path))?;
        on_disk.end += bytes.len() as u64;
        on_disk.is_settled = true;
        Ok(())
    }

    /// Writes the whole ring aside and puts it in place of the old one, whose bytes are then overwritten.
    fn rewrite(&self, on_disk: &mut OnDisk, keys: &Keys, wrapping: KeyBytes) -> Result<()> {
        let bytes = self.encode(keys, &wrapping)?;
        let path = ring_path(&self.data_dir);
        let (dir, fresh) = (self.data_dir.join("keys"), path.with_extension("tmp"));
        on_disk.is_settled = false;
        if on_disk.end == 0 {
            self.disk.create_dir_all(&dir).map_err(failed("creating", &dir))?;
            self.disk.sync_dir(&self.data_dir).map_err(failed("syncing", &self.data_dir))?;
        }
        if self.disk.exists(&fresh).map_err(failed("looking for", &fresh))? {
            self.disk.remove(&fresh).map_err(failed("removing", &fresh))?;
        }
        let file = self.disk.create_new(&fresh).map_err(failed("creating", &fresh))?;
        file.write_all_at(0, &bytes).map_err(failed("writing", &fresh))?;
        file.sync_data().map_err(failed("syncing", &fresh))?;
        let old = match on_disk.file.take() {
            None if on_disk.end > 0 => self.disk.open(&path).ok(),
            other => other,
        };
        on_disk.is_doubtful = true;
        self.disk.rename(&fresh, &path).map_err(failed("renaming", &fresh))?;
        on_disk.file = Some(file);
        self.disk.sync_dir(&dir).map_err(failed("syncing", &dir))?;
        on_disk.is_doubtful = false;
        overwrite(old, on_disk.end);
        on_disk.end = bytes.len() as u64;
        on_disk.wrapping = wrapping;
        on_disk.is_settled = true;
        Ok(())
    }

    /// The whole file, tenants in order.
    fn encode(&self, keys: &Keys, wrapping: &KeyBytes) -> Result<Vec<u8>> {
        let secret = self.wrapped(Wrapped::RecordSecret, &self.record_secret, wrapping)?;
        let mut tenants: Vec<(&u64, &Vec<Arc<DataKey>>)> = keys.iter().collect();
        tenants.sort_unstable_by_key(|(tenant, _)| **tenant);
        let mut entries = Vec::with_capacity(tenants.len());
        for (&tenant, all) in tenants {
            if all.is_empty() {
                entries.push(Entry { tenant, generation: 0, wrapped: None });
            }
            for key in all {
                entries.push(self.entry(tenant, key, wrapping)?);
            }
        }
        let mut bytes = encode_header(&self.id, &secret);
        bytes.extend_from_slice(&encode_append(&self.id, &entries));
        Ok(bytes)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// The newest keys of some tenants, for a group of frames.
#[derive(Debug)]
pub struct CurrentKeys {
    by_tenant: Vec<(u64, Arc<DataKey>)>,
}

impl CurrentKeys {
    /// Replaces `out` by the sealed bytes. The nonce must be random and never used again.
    ///
    /// # Errors
    /// `Invalid` for a tenant that is not among them; `TooLarge` above 256 GiB.
    pub fn seal_into(&self, label: &Label, nonce: &[u8; NONCE_BYTES], plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let tenant = label.tenant();
        let at = self.by_tenant.binary_search_by_key(&tenant, |(one, _)| *one).ok();
        let (_, key) = at.and_then(|at| self.by_tenant.get(at)).ok_or_else(|| destroyed(tenant))?;
        key.seal_into(label, nonce, plain, out)
    }
}

fn put(keys: &mut Keys, fresh: Vec<(u64, Arc<DataKey>)>) {
    for (tenant, key) in fresh {
        keys.entry(tenant).or_default().push(key);
    }
}

/// All keys of a ring. One that does not unwrap was changed, for the master key is the right one.
fn unwrap_all(path: &Path, ring: &RingFile, wrapping: &KeyBytes) -> Result<Keys> {
    let mut keys = Keys::with_capacity(ring.entries.len());
    for (entry, at) in ring.entries.iter().zip((HEADER_BYTES..).step_by(super::ring_file::ENTRY_BYTES)) {
        let all = keys.entry(entry.tenant).or_default();
        let Some(wrapped) = &entry.wrapped else {
            all.clear();
            continue;
        };
        let what = Wrapped::DataKey { tenant: entry.tenant, generation: entry.generation };
        let bytes = unwrap(wrapping, &ring.id, what, wrapped)
            .ok_or_else(|| corrupt(path, at, format!("the key of tenant {} does not unwrap", entry.tenant)))?;
        all.push(Arc::new(DataKey { generation: entry.generation, bytes }));
    }
    Ok(keys)
}

/// Puts zeros over a file that has lost its name. A disk that writes elsewhere may keep the old bytes all the same.
fn overwrite(old: Option<Box<dyn DiskFile>>, len: u64) {
    let Some(old) = old else { return };
    let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
    if let Err(error) = old.write_all_at(0, &zeros).and_then(|()| old.sync_data()) {
        tracing::warn!(%error, "the bytes of the old keyring could not be overwritten; its file is gone");
    }
}

fn refused(path: &Path, reason: String) -> Error {
    if reason.starts_with("written by a newer") {
        return Error::invalid(path.display().to_string(), format!("{reason}; nothing was changed"));
    }
    corrupt(path, 0, format!("{reason}; restore the keyring from a backup, without it nothing is readable"))
}

fn wrong_key(path: &Path) -> Error {
    let reason = format!(
        "is not the one that {} was made under, or was last rotated to; name the right one with --key-file (key_file, \
         key_command). Nothing was changed",
        path.display()
    );
    Error::invalid("master key", reason)
}

fn destroyed(tenant: u64) -> Error {
    Error::invalid("tenant", format!("the keys of tenant {tenant} were destroyed; nothing can be written for it"))
}
