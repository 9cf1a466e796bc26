//! Keys and the tags that they make of digests.
//!
//! ```text
//! master = BLAKE3 derive_key("selfsame 2026-01 discovery master", secret of the data directory)
//! input  = master || u32 length of the tenant's name || the name || u32 epoch          (little-endian)
//! K(t,e) = BLAKE3 derive_key("selfsame 2026-01 discovery tag", input)
//! tag    = BLAKE3 keyed(K(t,e), kind byte || inner), first 16 bytes
//! onion  = BLAKE3 keyed(K(t,e+1), tag), first 16 bytes: a tag of the epoch before, where nothing but the tag is left
//! seed   = BLAKE3 derive_key("selfsame 2026-01 oprf seed", input)
//! ```
//!
//! The secret of the data directory is the first master key under which its keyring was made. It is kept wrapped in the
//! keyring and stays when `rotate-key` changes the master key, so tags that are on disk (of `tags_only` tenants, of people
//! who opted out) outlive that. What is derived from it is never written anywhere: the disk has epochs only.
//! Keys are per tenant, so one tenant's tags and peppers say nothing about another's.

use zeroize::Zeroizing;

use crate::discovery::{Inner, Kind};

/// Bytes of a tag. 128 bits: among 10^9 identifiers two share one by chance with probability 1.5e-21.
pub const TAG_BYTES: usize = 16;

/// Under what a directory keeps an identifier: says nothing without the key.
pub type Tag = [u8; TAG_BYTES];

/// Generations that onion tags may have; then the records must be imported anew.
pub const GENERATIONS_MAX: u32 = 8;

/// The one secret that all discovery keys of a data directory are derived from.
#[derive(Clone)]
pub struct Master(Zeroizing<[u8; 32]>);

impl Master {
    /// From the secret of the data directory: `Keyring::record_secret`.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(blake3::derive_key("selfsame 2026-01 discovery master", secret)))
    }

    /// The key of a tenant's tags in an epoch.
    #[must_use]
    pub fn tag_key(&self, tenant: &str, epoch: u32) -> TagKey {
        TagKey(self.derive("selfsame 2026-01 discovery tag", tenant, epoch))
    }

    /// The seed of a tenant's OPRF key pair in an epoch, for DeriveKeyPair of RFC 9497 with [`oprf_info`].
    #[must_use]
    pub fn oprf_seed(&self, tenant: &str, epoch: u32) -> Zeroizing<[u8; 32]> {
        self.derive("selfsame 2026-01 oprf seed", tenant, epoch)
    }

    /// A secret of a tenant and an epoch for one purpose, which `context` names: a constant of this program.
    #[must_use]
    pub fn derive(&self, context: &'static str, tenant: &str, epoch: u32) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(self.0.as_slice());
        hasher.update(&u32::try_from(tenant.len()).unwrap_or(u32::MAX).to_le_bytes());
        hasher.update(tenant.as_bytes());
        hasher.update(&epoch.to_le_bytes());
        let mut key = Zeroizing::new([0; 32]);
        hasher.finalize_xof().fill(key.as_mut_slice());
        key
    }
}

/// A secret never shows in a log.
impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Master(..)")
    }
}

/// The info string of a tenant's OPRF key pair in an epoch.
#[must_use]
pub fn oprf_info(tenant: &str, epoch: u32) -> String {
    format!("selfsame/{tenant}/{epoch}")
}

/// The key of one tenant's tags in one epoch.
#[derive(Clone)]
pub struct TagKey(Zeroizing<[u8; 32]>);

impl TagKey {
    /// The tag of a digest.
    #[must_use]
    pub fn tag(&self, kind: Kind, inner: &Inner) -> Tag {
        let mut input = [0; 33];
        let (first, rest) = input.split_at_mut(1);
        first.fill(kind.byte());
        rest.copy_from_slice(&inner.0);
        start_of(&blake3::keyed_hash(&self.0, &input))
    }

    /// The tag under this key of what has a tag of the epoch before, without knowing of what.
    #[must_use]
    pub fn onion(&self, before: &Tag) -> Tag {
        start_of(&blake3::keyed_hash(&self.0, before))
    }
}

/// A secret never shows in a log.
impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey(..)")
    }
}

/// The keys that make the newest onion tag out of a digest, oldest epoch first: a tag, then one layer per rotation.
#[derive(Clone, Debug)]
pub struct Onion(Vec<TagKey>);

impl Onion {
    /// For tags that were first made in epoch `first` and went through every rotation up to `last`.
    #[must_use]
    pub fn new(master: &Master, tenant: &str, first: u32, last: u32) -> Self {
        Self((first..=last.max(first)).map(|epoch| master.tag_key(tenant, epoch)).collect())
    }

    /// How many layers there are; 1: never rotated.
    #[must_use]
    pub fn generations(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The newest tag of a digest.
    #[must_use]
    pub fn tag(&self, kind: Kind, inner: &Inner) -> Tag {
        self.lift(&self.0.first().map(|key| key.tag(kind, inner)).unwrap_or_default())
    }

    /// The newest tag of what has this tag in the first epoch.
    #[must_use]
    pub fn lift(&self, first: &Tag) -> Tag {
        self.0.iter().skip(1).fold(*first, |tag, key| key.onion(&tag))
    }
}

fn start_of(hash: &blake3::Hash) -> Tag {
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::dialect::{inners, primary};

    fn master() -> Master {
        Master::new(&[7; 32])
    }

    /// The derivation is written out once more, so that a change of its input shows.
    #[test]
    fn derivations_are_as_drawn() {
        let root = blake3::derive_key("selfsame 2026-01 discovery master", &[7; 32]);
        let mut input = root.to_vec();
        input.extend(4_u32.to_le_bytes());
        input.extend(b"acme");
        input.extend(3_u32.to_le_bytes());
        let key = blake3::derive_key("selfsame 2026-01 discovery tag", &input);
        let inner = primary("+16505551212");
        let mut hashed = vec![1];
        hashed.extend(inner.0);
        let expected = blake3::keyed_hash(&key, &hashed);
        assert_eq!(master().tag_key("acme", 3).tag(Kind::Phone, &inner), expected.as_bytes()[..16]);
        let seed = blake3::derive_key("selfsame 2026-01 oprf seed", &input);
        assert_eq!(*master().oprf_seed("acme", 3), seed);
        assert_eq!(oprf_info("acme", 3), "selfsame/acme/3");
    }

    #[test]
    fn every_part_of_the_input_counts() {
        let inner = primary("x@example.com");
        let tag = |master: &Master, tenant, epoch, kind| master.tag_key(tenant, epoch).tag(kind, &inner);
        let tags = [
            tag(&master(), "acme", 1, Kind::Email),
            tag(&master(), "acme", 1, Kind::Phone),
            tag(&master(), "acme", 2, Kind::Email),
            tag(&master(), "acm", 1, Kind::Email),
            tag(&master(), "other", 1, Kind::Email),
            tag(&Master::new(&[8; 32]), "acme", 1, Kind::Email),
            master().tag_key("acme", 1).onion(&tag(&master(), "acme", 1, Kind::Email)),
        ];
        for (at, one) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn onion_tags_can_be_made_from_the_tag_before_or_from_the_digest() {
        let master = master();
        for inner in inners(Kind::Email, "j.ohn+x@gmail.com") {
            let mut tag = master.tag_key("acme", 4).tag(Kind::Email, &inner);
            assert_eq!(Onion::new(&master, "acme", 4, 4).tag(Kind::Email, &inner), tag);
            for last in 5..12 {
                tag = master.tag_key("acme", last).onion(&tag);
                let onion = Onion::new(&master, "acme", 4, last);
                assert_eq!((onion.tag(Kind::Email, &inner), onion.generations()), (tag, last - 3));
            }
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let master = master();
        let shown = format!("{master:?} {:?} {:?}", master.tag_key("a", 1), primary("+16505551212"));
        assert_eq!(shown, "Master(..) TagKey(..) Inner(..)");
    }
}
