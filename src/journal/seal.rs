//! Sealing bytes so that only the holder of a key reads them and nobody changes them unseen: XChaCha20-Poly1305.
//!
//! **Sealed bytes**: `key generation u32, little-endian | nonce [24] | ciphertext | tag [16]`. The nonce is random, which
//! its 192 bits allow without counting. **Associated data**, 64 bytes, which the tag covers: `domain word [16] | tenant
//! u64 | kind u8 | version u8 | 0 u16 | key generation u32 | first number u64 | second number u64 | long number u128`. So
//! bytes open only as what they were sealed as: a frame not under another seq, a chunk not in another snapshot.
//!
//! This file knows keys and bytes; where keys live is the business of [`crate::journal::Keyring`].

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of a tag.
const TAG_BYTES: usize = 16;
/// Bytes before the ciphertext.
const PREFIX_BYTES: usize = 4 + NONCE_BYTES;
/// Bytes by which sealed bytes are longer than plain ones.
pub const SEAL_BYTES: usize = PREFIX_BYTES + TAG_BYTES;
/// Bytes of a wrapped key: nonce, ciphertext, tag.
pub const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// The bytes of a key, overwritten when dropped.
pub type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// What sealed bytes are. They open as nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The payload of a frame of the journal, or what replaced it when it was erased.
    Frame {
        /// Whose it is.
        tenant: u64,
        /// The frame's kind.
        kind: u8,
        /// Version of the kind.
        version: u8,
        /// The frame's number.
        seq: u64,
    },
    /// A chunk of a snapshot.
    Chunk {
        /// Whose it is.
        tenant: u64,
        /// The chunk's kind.
        kind: u8,
        /// Version of the kind.
        version: u8,
        /// The snapshot's seq.
        snapshot_seq: u64,
        /// The chunk's place in the snapshot, from 0.
        index: u64,
    },
    /// A piece of another file about a tenant.
    Piece {
        /// Whose it is.
        tenant: u64,
        /// Which of the files of this name.
        kind: u8,
        /// The file's name as a number.
        file: u128,
        /// The piece's place in the file, from 0.
        index: u64,
    },
}

impl Label {
    /// Whose bytes they are.
    #[must_use]
    pub fn tenant(&self) -> u64 {
        match self {
            Self::Frame { tenant, .. } | Self::Chunk { tenant, .. } | Self::Piece { tenant, .. } => *tenant,
        }
    }

    /// For messages: what and of which tenant, nothing personal.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Frame { tenant, seq, .. } => format!("frame {seq} of tenant {tenant}"),
            Self::Chunk { tenant, snapshot_seq, index, .. } => {
                format!("chunk {index} of the snapshot as of {snapshot_seq} (tenant {tenant})")
            }
            Self::Piece { tenant, index, .. } => format!("piece {index} of a file of tenant {tenant}"),
        }
    }

    fn associated(&self, generation: u32) -> [u8; ASSOCIATED_BYTES] {
        match *self {
            Self::Frame { tenant, kind, version, seq } => Associated {
                domain: b"selfsame frame 1",
                tenant,
                kind,
                version,
                generation,
                numbers: [seq, 0],
                long: 0,
            },
            Self::Chunk { tenant, kind, version, snapshot_seq, index } => {
                let numbers = [snapshot_seq, index];
                Associated { domain: b"selfsame chunk 1", tenant, kind, version, generation, numbers, long: 0 }
            }
            Self::Piece { tenant, kind, file, index } => {
                let numbers = [index, 0];
                Associated { domain: b"selfsame piece 1", tenant, kind, version: 1, generation, numbers, long: file }
            }
        }
        .encode()
    }
}

const ASSOCIATED_BYTES: usize = 64;

/// What a tag covers beside the bytes.
struct Associated {
    domain: &'static [u8; 16],
    tenant: u64,
    kind: u8,
    version: u8,
    generation: u32,
    numbers: [u64; 2],
    long: u128,
}

impl Associated {
    fn encode(&self) -> [u8; ASSOCIATED_BYTES] {
        let mut bytes = [0; ASSOCIATED_BYTES];
        let [first, second] = self.numbers.map(u64::to_le_bytes);
        let fields = (*self.domain)
            .into_iter()
            .chain(self.tenant.to_le_bytes())
            .chain([self.kind, self.version, 0, 0])
            .chain(self.generation.to_le_bytes())
            .chain(first)
            .chain(second)
            .chain(self.long.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// What is wrapped by the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// A tenant's data key.
    DataKey {
        /// Whose it is.
        tenant: u64,
        /// Which of its keys.
        generation: u32,
    },
    /// The secret that names records by their content.
    RecordSecret,
}

impl Wrapped {
    fn associated(self, ring: &[u8; 16]) -> [u8; ASSOCIATED_BYTES] {
        let (domain, tenant, generation) = match self {
            Self::DataKey { tenant, generation } => (b"selfsame wraps 1", tenant, generation),
            Self::RecordSecret => (b"selfsame names 1", 0, 0),
        };
        let long = u128::from_le_bytes(*ring);
        Associated { domain, tenant, kind: 0, version: 1, generation, numbers: [0, 0], long }.encode()
    }
}

/// One of a tenant's keys.
pub struct DataKey {
    /// Which one, from 1.
    pub generation: u32,
    /// Its bytes.
    pub bytes: KeyBytes,
}

/// Not derived, so that no diagnostic ever shows a key.
impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl DataKey {
    /// Replaces `out` by the sealed bytes. The nonce must be random and never used again.
    ///
    /// # Errors
    /// `TooLarge` above the cipher's 256 GiB.
    pub fn seal_into(&self, label: &Label, nonce: &[u8; NONCE_BYTES], plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let too_large = || Error::TooLarge { what: "what is to be sealed".into(), limit: (1 << 38) - 64 };
        out.clear();
        out.reserve(plain.len() + SEAL_BYTES);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(nonce);
        out.extend_from_slice(plain);
        let (_, text) = out.split_at_mut_checked(PREFIX_BYTES).ok_or_else(too_large)?;
        let associated = label.associated(self.generation);
        let tag = cipher(&self.bytes)
            .encrypt_inout_detached(&XNonce::from(*nonce), &associated, text.into())
            .map_err(|_| too_large())?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// What was sealed, in the same memory. `None`: these bytes are not what this key has sealed as that.
    #[must_use]
    pub fn open_in_place(&self, label: &Label, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (prefix, rest) = sealed.split_at_mut_checked(PREFIX_BYTES)?;
        let (text, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let (nonce, tag) = (XNonce::from(*prefix.get(4..)?.first_chunk()?), Tag::from(*tag.first_chunk()?));
        let associated = label.associated(self.generation);
        let opened = cipher(&self.bytes).decrypt_inout_detached(&nonce, &associated, (&mut *text).into(), &tag);
        opened.ok()?;
        let length = text.len();
        sealed.drain(..PREFIX_BYTES);
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Which of the tenant's keys sealed these bytes. `None`: they are too short to be sealed ones.
#[must_use]
pub fn generation_of(sealed: &[u8]) -> Option<u32> {
    let whole = sealed.len() >= SEAL_BYTES;
    sealed.first_chunk().filter(|_| whole).map(|bytes| u32::from_le_bytes(*bytes))
}

fn cipher(key: &KeyBytes) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(**key))
}

/// The key that wraps, out of the master key.
#[must_use]
pub fn wrapping_key(master: &[u8; KEY_BYTES]) -> KeyBytes {
    Zeroizing::new(blake3::derive_key("selfsame 1 keyring: wrapping of data keys", master))
}

/// Seals a key under the wrapping key of the ring with this id. `None` never happens for 32 bytes.
#[must_use]
pub fn wrap(
    by: &KeyBytes,
    ring: &[u8; 16],
    what: Wrapped,
    nonce: &[u8; NONCE_BYTES],
    key: &KeyBytes,
) -> Option<[u8; WRAPPED_BYTES]> {
    let mut text = Zeroizing::new(**key);
    let associated = what.associated(ring);
    let tag = cipher(by).encrypt_inout_detached(&XNonce::from(*nonce), &associated, text.as_mut_slice().into()).ok()?;
    let mut wrapped = [0; WRAPPED_BYTES];
    let fields = nonce.iter().chain(text.iter()).chain(tag.iter());
    wrapped.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
    Some(wrapped)
}

/// The key that was wrapped. `None`: the master key is another, or the bytes were changed.
#[must_use]
pub fn unwrap(by: &KeyBytes, ring: &[u8; 16], what: Wrapped, wrapped: &[u8; WRAPPED_BYTES]) -> Option<KeyBytes> {
    let (nonce, rest) = wrapped.split_first_chunk::<NONCE_BYTES>()?;
    let (text, tag) = rest.split_first_chunk::<KEY_BYTES>()?;
    let mut key = Zeroizing::new(*text);
    let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag.first_chunk()?));
    let associated = what.associated(ring);
    cipher(by).decrypt_inout_detached(&nonce, &associated, key.as_mut_slice().into(), &tag).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Label = Label::Frame { tenant: 3, kind: 4, version: 1, seq: 17 };

    fn key(generation: u32) -> DataKey {
        DataKey { generation, bytes: Zeroizing::new([7; KEY_BYTES]) }
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 5];
        key(2).seal_into(&FRAME, &[5; NONCE_BYTES], plain, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_sealed_opens_and_every_flipped_bit_and_cut_is_refused() {
        for plain in [&b""[..], b"x", &[6; 100]] {
            let whole = sealed(plain);
            assert_eq!((whole.len(), generation_of(&whole)), (plain.len() + SEAL_BYTES, Some(2)));
            assert_eq!(key(2).open_in_place(&FRAME, whole.clone()).unwrap(), plain);
            for at in 32..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                assert_eq!(key(2).open_in_place(&FRAME, flipped), None, "bit {at}");
            }
            for len in 0..whole.len() {
                assert_eq!(key(2).open_in_place(&FRAME, whole[..len].to_vec()), None, "cut to {len}");
            }
        }
        assert_eq!(generation_of(&[0; SEAL_BYTES - 1]), None);
    }

    #[test]
    fn it_opens_as_nothing_else() {
        let whole = sealed(b"John");
        let others = [
            Label::Frame { tenant: 4, kind: 4, version: 1, seq: 17 },
            Label::Frame { tenant: 3, kind: 5, version: 1, seq: 17 },
            Label::Frame { tenant: 3, kind: 4, version: 2, seq: 17 },
            Label::Frame { tenant: 3, kind: 4, version: 1, seq: 18 },
            Label::Chunk { tenant: 3, kind: 4, version: 1, snapshot_seq: 17, index: 0 },
            Label::Piece { tenant: 3, kind: 4, file: 0, index: 17 },
        ];
        for other in others {
            assert_eq!(key(2).open_in_place(&other, whole.clone()), None, "{other:?}");
        }
        assert_eq!(key(3).open_in_place(&FRAME, whole.clone()), None, "another generation");
        let other = DataKey { generation: 2, bytes: Zeroizing::new([8; KEY_BYTES]) };
        assert_eq!(other.open_in_place(&FRAME, whole.clone()), None, "another key");
        assert!(!format!("{:?}", key(2)).contains('7'), "no key is shown");
    }

    /// The associated data is a promise: changed bytes would make old data unreadable.
    #[test]
    fn sealed_bytes_are_what_they_always_were() {
        let hex: String = sealed(b"John").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(blake3::hash(hex.as_bytes()).to_hex().get(..16), Some(GOLDEN));
    }

    const GOLDEN: &str = "283db2f9c8d74e2c";

    #[test]
    fn a_key_is_wrapped_for_one_ring_tenant_and_generation() {
        let (master, other) = (wrapping_key(&[1; 32]), wrapping_key(&[2; 32]));
        let (ring, secret) = ([3; 16], Zeroizing::new([4; 32]));
        let what = Wrapped::DataKey { tenant: 5, generation: 1 };
        let wrapped = wrap(&master, &ring, what, &[6; NONCE_BYTES], &secret).unwrap();
        assert_eq!(unwrap(&master, &ring, what, &wrapped), Some(secret));
        assert_eq!(unwrap(&other, &ring, what, &wrapped), None);
        assert_eq!(unwrap(&master, &[9; 16], what, &wrapped), None);
        for what in [
            Wrapped::DataKey { tenant: 6, generation: 1 },
            Wrapped::DataKey { tenant: 5, generation: 2 },
            Wrapped::RecordSecret,
        ] {
            assert_eq!(unwrap(&master, &ring, what, &wrapped), None, "{what:?}");
        }
        for at in 0..WRAPPED_BYTES * 8 {
            let mut flipped = wrapped;
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(unwrap(&master, &ring, what, &flipped), None, "bit {at}");
        }
    }
}
