//! What is derived from records, kept beside them in a snapshot so that the next start need not derive it again.
//!
//! Most of a start was making what is a function of a put and of the model: the put as it is packed in memory, its features,
//! its keys. They are written in a chunk of their own before each chunk of records. It is a cache and no promise: its form may
//! change with any build. So it begins with a digest of all that it depends on (the sources and tables of this build, the
//! model, what the settings put into the model) and a checksum of the records it was made from. Where either
//! differs the chunk is left alone and everything is derived, as if there were none.

use crate::index::keyset::KeySet;
use crate::index::names::GivenHint;
use crate::matching::features::Features;
use crate::matching::packed::{Packed, Packer};
use crate::model::ids::ModelId;
use crate::model::key::Key;
use crate::store::shard::{Shard, Version};
use crate::store::stored::Stored;

/// Digest of the sources, tables and dependencies that this program was built from: see `src/build.rs`.
const BUILD: &str = env!("SELFSAME_DERIVED_BY");
/// Stands at the end.
const END: u32 = 0x5E1F_5A3E;

/// What derived data depends on beside the records.
pub(super) type Basis = [u8; 16];

/// The basis of a shard as it is.
pub(super) fn basis(shard: &Shard) -> Basis {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(BUILD.as_bytes());
    let model = &shard.model;
    add(model.version.as_bytes());
    add(&[model.size_class, u8::from(model.business_keys), u8::from(model.users.is_some())]);
    add(model.users.as_deref().unwrap_or_default().as_bytes());
    // The shipped model is part of the build.
    if shard.models.active != ModelId::DEFAULT
        && let Some(trained) = shard.models.get(shard.models.active)
    {
        trained.parts.iter().for_each(|part| add(part));
    }
    let digest = hasher.finalize();
    *digest.as_bytes().first_chunk().unwrap_or(&[0; 16])
}

/// Collects what is derived from the records of one chunk.
pub(super) struct Writer(Packer);

impl Writer {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Packer::new())
    }

    /// One put of a record, in their order.
    pub(super) fn put(&mut self, stored: &Stored) {
        self.0.text(stored.bytes());
    }

    /// The version that counts, after all puts of its record, with what a business finds it by.
    pub(super) fn current(&mut self, version: &Version, affiliations: &[Key]) {
        let out = &mut self.0;
        version.features.keep(out);
        out.u32(version.given_hint().bits());
        out.u16(length(version.keys.words()));
        version.keys.words().iter().for_each(|word| out.u64(*word));
        out.u16(length(affiliations));
        affiliations.iter().for_each(|key| out.u64(key.0));
    }

    /// The chunk's bytes. `records` are those of the chunk of records that they belong to.
    pub(super) fn finish(mut self, basis: &Basis, records: &[u8]) -> Vec<u8> {
        self.0.u32(END);
        let mut bytes = basis.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(records).to_le_bytes());
        bytes.extend_from_slice(&self.0.finish());
        bytes
    }
}

/// Nothing of a record has as many as two bytes count.
fn length<T>(list: &[T]) -> u16 {
    u16::try_from(list.len()).unwrap_or(u16::MAX)
}

/// Reads what a [`Writer`] wrote, in the same order.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(Packed<'a>);

/// What is kept of a version beside its put.
pub(super) struct Kept {
    pub(super) features: Features,
    pub(super) keys: KeySet,
    pub(super) hint: GivenHint,
    pub(super) affiliations: Vec<Key>,
}

impl<'a> Reader<'a> {
    /// Of a chunk's bytes; `None` where they stand on another basis, or belong to other records.
    pub(super) fn new(bytes: &'a [u8], basis: &Basis, records: &[u8]) -> Option<Self> {
        let (of, rest) = bytes.split_first_chunk::<16>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let mut packed = Packed::new(rest);
        packed.u16(); // what a `Packer` begins with
        (of == basis && u32::from_le_bytes(*sum) == crc32c::crc32c(records)).then_some(Self(packed))
    }

    /// The packed bytes of the next put.
    pub(super) fn put(&mut self) -> &'a [u8] {
        self.0.text()
    }

    /// The version that counts.
    pub(super) fn current(&mut self) -> Kept {
        let from = &mut self.0;
        let features = Features::kept(from);
        let hint = GivenHint::from_bits(from.u32());
        let words = (0..from.u16()).map(|_| from.u64()).collect();
        let affiliations = (0..from.u16()).map(|_| Key(from.u64())).collect();
        Kept { features, keys: KeySet::from_words(words), hint, affiliations }
    }

    /// Whether all was read, and nothing but what was written.
    pub(super) fn is_whole(mut self) -> bool {
        self.0.u32() == END && self.0.is_empty()
    }
}
