//! Look-ups as Matrix clients make them: SHA-256 over address, medium and a pepper that everybody knows.
//!
//! ```text
//! digest = SHA-256(address || " " || medium || " " || pepper), as base64url without padding
//! ```
//!
//! The medium is `email`, its address in lower case, or `msisdn`, its address the digits of E.164 without `+`. The pepper is public, so this
//! hides numbers from nobody who can compute: whoever runs the server finds all of them in minutes. It is here for
//! compatibility. What a pepper does is to make the tables that were computed for the last one worthless.
//!
//! The map's own keys are a hash under a key of this process, so that callers cannot aim at its places.

use std::hash::{BuildHasherDefault, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::discovery::Kind;

/// The only algorithm: `none` would have clients send plain addresses.
pub const ALGORITHM: &str = "sha256";
/// Characters of a pepper.
pub const PEPPER_CHARS: usize = 32;
/// Random bytes that a pepper is made of: some are no use, as 256 is no multiple of 62.
pub const PEPPER_DICE_BYTES: usize = 128;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What everybody hashes with until the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pepper(String);

impl Pepper {
    /// From random bytes. `None` when too few of them are of use, which happens once in 10^30 times.
    #[must_use]
    pub fn new(dice: &[u8; PEPPER_DICE_BYTES]) -> Option<Self> {
        let fair = dice.iter().filter(|byte| **byte < 248).map(|byte| usize::from(byte % 62));
        let text: String = fair.filter_map(|at| ALPHABET.get(at)).take(PEPPER_CHARS).map(|c| char::from(*c)).collect();
        (text.len() == PEPPER_CHARS).then_some(Self(text))
    }

    /// Its characters: `[a-zA-Z0-9]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The digest of an identifier; `canonical` as [`Kind`] says.
#[must_use]
pub fn digest(kind: Kind, canonical: &str, pepper: &str) -> [u8; 32] {
    let (address, medium) = match kind {
        Kind::Phone => (canonical.strip_prefix('+').unwrap_or(canonical), " msisdn "),
        Kind::Email => (canonical, " email "),
    };
    Sha256::new().chain_update(address).chain_update(medium).chain_update(pepper).finalize().into()
}

/// A digest as it travels.
#[must_use]
pub fn to_text(digest: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

/// Reads a digest as it travels. `None`: it is none, and nothing can match it.
#[must_use]
pub fn from_text(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 33];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == 32).then_some(())?;
    bytes.first_chunk().copied()
}

/// The keys of the map are hashes already; their first bytes are as good a place as any. What is written last counts, and the
/// length of an array comes before the array.
#[derive(Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }
}

type Place = [u8; 16];

/// Which record stands behind a digest, under one pepper.
pub struct Peppered {
    pepper: Pepper,
    key: Zeroizing<[u8; 32]>,
    places: HashMap<Place, u32, BuildHasherDefault<FirstBytes>>,
}

impl Peppered {
    /// An empty map. `key` is random and of this process alone.
    #[must_use]
    pub fn new(pepper: Pepper, key: Zeroizing<[u8; 32]>) -> Self {
        Self { pepper, key, places: HashMap::default() }
    }

    /// Puts an identifier in, unless it is there: the first record stays.
    pub fn add(&mut self, kind: Kind, canonical: &str, slot: u32) {
        let place = self.place(&digest(kind, canonical, self.pepper.as_str()));
        self.places.entry(place).or_insert(slot);
    }

    /// The record behind a digest.
    #[must_use]
    pub fn get(&self, digest: &[u8; 32]) -> Option<u32> {
        self.places.get(&self.place(digest)).copied()
    }

    /// The pepper that its digests were made with.
    #[must_use]
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// How many identifiers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn place(&self, digest: &[u8; 32]) -> Place {
        blake3::keyed_hash(&self.key, digest).as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

/// Only its size shows.
impl std::fmt::Debug for Peppered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peppered").field("identifiers", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Matrix specification.
    #[test]
    fn vectors() {
        for (kind, canonical, text) in [
            (Kind::Email, "alice@example.com", "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc"),
            (Kind::Email, "bob@example.com", "LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8"),
            (Kind::Phone, "+18005552067", "nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I"),
        ] {
            let digest = digest(kind, canonical, "matrixrocks");
            assert_eq!(to_text(&digest), text);
            assert_eq!(from_text(text), Some(digest));
        }
    }

    #[test]
    fn what_is_no_digest() {
        let good = "nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I";
        for bad in ["", "x", &good[1..], &good.replace('_', "/"), &format!("{good}="), &format!("{good}A")] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn peppers_are_long_and_of_the_alphabet() {
        let dice: [u8; PEPPER_DICE_BYTES] = std::array::from_fn(|at| u8::try_from(at * 2 % 256).unwrap());
        let pepper = Pepper::new(&dice).unwrap();
        assert!(pepper.as_str().len() == 32 && pepper.as_str().bytes().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(
            Pepper::new(&[255; PEPPER_DICE_BYTES]),
            None,
            "bytes that would favour some characters are left out"
        );
    }

    #[test]
    fn a_map_answers_its_own_pepper_only() {
        let pepper = |seed: u8| Pepper::new(&[seed; PEPPER_DICE_BYTES]).unwrap();
        let mut map = Peppered::new(pepper(1), Zeroizing::new([5; 32]));
        map.add(Kind::Phone, "+18005552067", 7);
        map.add(Kind::Phone, "+18005552067", 8);
        map.add(Kind::Email, "bob@example.com", 9);
        let find = |kind, canonical, pepper: &Pepper| map.get(&digest(kind, canonical, pepper.as_str()));
        assert_eq!(find(Kind::Phone, "+18005552067", &pepper(1)), Some(7), "the first record stays");
        assert_eq!(find(Kind::Email, "bob@example.com", &pepper(1)), Some(9));
        assert_eq!(find(Kind::Email, "bob@example.com", &pepper(2)), None);
        assert_eq!(find(Kind::Email, "+18005552067", &pepper(1)), None);
        assert_eq!((map.len(), map.is_empty()), (2, false));
    }
}
