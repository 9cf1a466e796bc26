//! Keys as text: `ssk_`, the public id, `_`, 64 hexadecimal digits.
//!
//! The beginning lets scanners of source code and logs find a key that has leaked, and the id tells which one to revoke
//! without showing the secret. 256 random bits, so that nobody guesses one.

use std::fmt;

use zeroize::Zeroizing;

use crate::host::Random;
use crate::model::access::ApiKey;

/// What every key that we make begins with.
const PREFIX: &str = "ssk_";
/// Hexadecimal digits of a secret.
const SECRET_DIGITS: usize = 64;
/// Random bytes of an id.
const ID_BYTES: usize = 8;
/// Bytes that a key may have at most; longer ones are not even hashed.
pub const KEY_BYTES_MAX: usize = 512;

/// A whole key with its secret. Diagnostics never show it, and memory forgets it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(Zeroizing<String>);

impl KeyText {
    /// Makes a key with an id of its own.
    pub fn make(random: &dyn Random) -> (String, Self) {
        let mut id = [0; ID_BYTES];
        random.fill(&mut id);
        let id = hex(&id);
        (id.clone(), Self::renew(&id, random))
    }

    /// Makes another key of the same id.
    pub fn renew(id: &str, random: &dyn Random) -> Self {
        let mut secret = Zeroizing::new([0_u8; SECRET_DIGITS / 2]);
        random.fill(&mut *secret);
        let digits = Zeroizing::new(hex(&*secret));
        Self(Zeroizing::new(format!("{PREFIX}{id}_{}", digits.as_str())))
    }

    /// The text, to be shown once to whoever asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its hash, to be kept.
    pub fn hash(&self) -> [u8; 32] {
        ApiKey::hash_of(self.0.as_bytes())
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The public id in a key of our form; `None`: it has another form.
pub fn id_of(key: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (id, secret) = text.rsplit_once('_')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (ApiKey::is_id(id) && secret.len() == SECRET_DIGITS && digits(secret)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SeededRandom;

    #[test]
    fn a_key_tells_its_id_and_nothing_else() {
        let random = SeededRandom::new(1);
        let (id, key) = KeyText::make(&random);
        let (other_id, other) = KeyText::make(&random);
        assert_eq!(id_of(key.expose().as_bytes()), Some(id.as_str()));
        assert_eq!(id_of(KeyText::renew(&id, &random).expose().as_bytes()), Some(id.as_str()));
        assert!(id != other_id && key != other && key.hash() != other.hash());
        assert!(KeyText::renew(&id, &random) != key);
        assert_eq!(format!("{key:?}"), "KeyText(..)");
        assert!(key.expose().len() < KEY_BYTES_MAX);
    }

    #[test]
    fn what_is_not_of_the_form_has_no_id() {
        let secret = "0".repeat(64);
        let good = format!("ssk_my-key_{secret}");
        assert_eq!(id_of(good.as_bytes()), Some("my-key"));
        for bad in [
            "",
            "ssk_",
            "ssk__",
            &format!("ssk__{secret}"),
            &format!("ssk_A_{secret}"),
            &format!("ssk_a_{}", "0".repeat(63)),
            &format!("ssk_a_{}", "G".repeat(64)),
            &format!("ssk_a_b_{secret}"),
            &format!("sk_a_{secret}"),
            &format!("ssk_{}_{secret}", "a".repeat(33)),
        ] {
            assert_eq!(id_of(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(id_of(b"ssk_\xff_"), None);
    }
}
