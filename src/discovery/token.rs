//! Tokens of incremental look-ups: what a caller has paid for already, in a form that only we can make.
//!
//! ```text
//! token = random [16] | expiry, ms since 1970, i64 | BLAKE3 keyed(K, random | expiry | u32 length of payer | payer |
//!         u32 epoch | sorted distinct tags) [32]                                   as base64url without padding
//! ```
//!
//! Nothing is stored for it. It covers exactly one set of identifiers, one payer and one epoch of the key, so it cannot be
//! lent to another, nor does it cover what was swapped in.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::discovery::tag::{Master, Tag};

/// How long a token holds: 30 days.
pub const HOLDS_MS: i64 = 30 * 24 * 3600 * 1000;
/// Bytes of a token.
const TOKEN_BYTES: usize = 16 + 8 + 32;

/// What a token says that one may ask again without paying.
#[derive(Clone, Copy, Debug)]
pub struct Covers<'a> {
    /// Who paid.
    pub payer: &'a [u8],
    /// The epoch of the tags.
    pub epoch: u32,
    /// For what: ascending, each once.
    pub tags: &'a [Tag],
}

/// Makes and checks the tokens of one tenant.
#[derive(Clone)]
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// The key of a tenant.
    #[must_use]
    pub fn new(master: &Master, tenant: &str) -> Self {
        Self(master.derive("selfsame 2026-01 discovery token", tenant, 0))
    }

    /// A token that holds from `now_ms` on for [`HOLDS_MS`].
    #[must_use]
    pub fn make(&self, covers: Covers<'_>, now_ms: i64, random: [u8; 16]) -> String {
        let expiry = now_ms.saturating_add(HOLDS_MS);
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.extend(random);
        token.extend(expiry.to_le_bytes());
        token.extend(self.seal(covers, &random, expiry).as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// Whether a token is one of ours, holds, and covers exactly this.
    #[must_use]
    pub fn holds(&self, token: &str, covers: Covers<'_>, now_ms: i64) -> bool {
        let mut bytes = [0; TOKEN_BYTES];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(token, &mut bytes);
        let parts = || {
            let (random, rest) = bytes.split_first_chunk::<16>()?;
            let (expiry, seal) = rest.split_first_chunk::<8>()?;
            Some((random, i64::from_le_bytes(*expiry), seal))
        };
        let (Ok(TOKEN_BYTES), Some((random, expiry, seal))) = (length, parts()) else { return false };
        let expected = self.seal(covers, random, expiry);
        bool::from(expected.as_bytes().as_slice().ct_eq(seal)) && now_ms < expiry
    }

    fn seal(&self, covers: Covers<'_>, random: &[u8; 16], expiry: i64) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(random).update(&expiry.to_le_bytes());
        hasher.update(&u32::try_from(covers.payer.len()).unwrap_or(u32::MAX).to_le_bytes()).update(covers.payer);
        hasher.update(&covers.epoch.to_le_bytes());
        for tag in covers.tags {
            hasher.update(tag);
        }
        hasher.finalize()
    }
}

/// A secret never shows in a log.
impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_what_it_was_made_for_and_for_nothing_else() {
        let master = Master::new(&[1; 32]);
        let key = TokenKey::new(&master, "acme");
        let tags = [[1; 16], [2; 16]];
        let covers = Covers { payer: b"a", epoch: 3, tags: &tags };
        let token = key.make(covers, 1000, [9; 16]);
        assert_eq!(token.len(), 75);
        assert!(key.holds(&token, covers, 1000) && key.holds(&token, covers, 999 + HOLDS_MS));
        assert!(!key.holds(&token, covers, 1000 + HOLDS_MS), "too late");
        for (why, covers) in [
            ("another payer", Covers { payer: b"b", ..covers }),
            ("another epoch", Covers { epoch: 4, ..covers }),
            ("fewer", Covers { tags: &tags[..1], ..covers }),
            ("swapped in", Covers { tags: &[[1; 16], [3; 16]], ..covers }),
            ("more", Covers { tags: &[[1; 16], [2; 16], [3; 16]], ..covers }),
        ] {
            assert!(!key.holds(&token, covers, 1000), "{why}");
        }
        assert!(!TokenKey::new(&master, "acm").holds(&token, covers, 1000));
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert!(!key.holds(std::str::from_utf8(&forged).unwrap(), covers, 1000), "character {at}");
        }
        for bad in ["", "x", &token[1..], &format!("{token}A")] {
            assert!(!key.holds(bad, covers, 1000), "{bad}");
        }
    }
}
