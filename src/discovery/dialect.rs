//! How others write an identifier before they hash it with SHA-256: the table of dialects as data, with a vector per row.
//!
//! Platforms agree on SHA-256 and on little else: with or without the `+` of a phone number, with or without the dots and the
//! `+suffix` of a mailbox. So a directory indexes every *distinct* digest of an identifier (a phone has two, most
//! addresses have one) and takes whichever the caller sends. Conventions drift, hence rows with their source and vectors
//! that a test hashes.
//!
//! A digest of a digest cannot be told from a digest: 64 hexadecimal digits that were hashed once more will simply miss.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::discovery::{Inner, Kind};

/// One way to write an identifier before hashing.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Who does it this way: a label, for people.
    pub label: &'static str,
    /// Of what.
    pub kind: Kind,
    /// What is hashed, from the canonical form.
    pub write: for<'a> fn(&'a str) -> Cow<'a, str>,
    /// A canonical identifier and the digest of it in this dialect, in hex.
    pub vector: (&'static str, &'static str),
}

/// All dialects; the first of each kind is the primary one. Matrix has its own pepper and is not among them.
pub const DIALECTS: &[Dialect] = &[
    Dialect {
        label: "E.164 with +: Google Customer Match, CM360, Data Manager, UID2, TikTok until August 2025",
        kind: Kind::Phone,
        write: as_it_is,
        vector: ("+16505551212", "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8"),
    },
    Dialect {
        label: "digits with country code: Meta, Snap, TikTok since August 2025",
        kind: Kind::Phone,
        write: digits,
        vector: ("+16505551212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
    },
    Dialect {
        label: "trimmed, lower case: Meta, Snap, X, Google Customer Match",
        kind: Kind::Email,
        write: as_it_is,
        vector: ("john_smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    },
    Dialect {
        label: "no dots at gmail.com and googlemail.com: Google CM360",
        kind: Kind::Email,
        write: google_dots,
        vector: (
            "jane.saoirse+work@googlemail.com",
            "b1c09512edcb83f3276ae5f5fea9c4d8368d4df9be58bc99d30caa956077c209",
        ),
    },
    Dialect {
        label: "no dots and no suffix at gmail.com and googlemail.com: Google Data Manager",
        kind: Kind::Email,
        write: google_dots_and_suffix,
        vector: (
            "jane.saoirse+work@googlemail.com",
            "7e9a04b260a70049abbced541c0dcff4cf76e5fa6c3241f41fe7c2acddcb684e",
        ),
    },
    Dialect {
        label: "no dots and no suffix at gmail.com alone: UID2, EUID",
        kind: Kind::Email,
        write: gmail_dots_and_suffix,
        vector: ("janesaoirse+work@gmail.com", "92ee26057ed9dea2535d6c8b141d48373932476599196e00352254896db5888f"),
    },
    Dialect {
        label: "no suffix at any domain: TikTok",
        kind: Kind::Email,
        write: no_suffix,
        vector: ("jane.saoirse+work@example.com", "b196432c7b989a2ca91c83799957c515da53e6c13abf20b78fea94f117e90bf8"),
    },
];

fn as_it_is(canonical: &str) -> Cow<'_, str> {
    Cow::Borrowed(canonical)
}

fn digits(canonical: &str) -> Cow<'_, str> {
    Cow::Borrowed(canonical.strip_prefix('+').unwrap_or(canonical))
}

fn google_dots(canonical: &str) -> Cow<'_, str> {
    at_domain(canonical, &["gmail.com", "googlemail.com"], |user| user.replace('.', ""))
}

fn google_dots_and_suffix(canonical: &str) -> Cow<'_, str> {
    at_domain(canonical, &["gmail.com", "googlemail.com"], |user| before_suffix(user).replace('.', ""))
}

fn gmail_dots_and_suffix(canonical: &str) -> Cow<'_, str> {
    at_domain(canonical, &["gmail.com"], |user| before_suffix(user).replace('.', ""))
}

fn no_suffix(canonical: &str) -> Cow<'_, str> {
    at_domain(canonical, &[], |user| before_suffix(user).to_owned())
}

/// Rewrites the mailbox of an address at one of these domains (none named: at any); unchanged where there is nothing to cut.
fn at_domain<'a>(canonical: &'a str, domains: &[&str], write: impl Fn(&str) -> String) -> Cow<'a, str> {
    match canonical.rsplit_once('@') {
        Some((user, domain)) if user.contains(['.', '+']) && (domains.is_empty() || domains.contains(&domain)) => {
            Cow::Owned(format!("{}@{domain}", write(user)))
        }
        Some(_) | None => Cow::Borrowed(canonical),
    }
}

/// A mailbox that begins with `+` has no name before the suffix and keeps it all.
fn before_suffix(user: &str) -> &str {
    user.split_once('+').map(|(head, _)| head).filter(|head| !head.is_empty()).unwrap_or(user)
}

/// The distinct digests of one identifier, the primary dialect's first. At most one per row of [`DIALECTS`].
pub type Inners = SmallVec<[Inner; 2]>;

/// The digests of an identifier in all dialects, each once, the primary first; `canonical` as [`Kind`] says.
#[must_use]
pub fn inners(kind: Kind, canonical: &str) -> Inners {
    let mut found = Inners::new();
    found.push(primary(canonical));
    let (user, _) = canonical.rsplit_once('@').unwrap_or((canonical, ""));
    if kind == Kind::Email && !user.contains(['.', '+']) {
        return found;
    }
    let mut written: SmallVec<[Cow<'_, str>; 8]> = SmallVec::new();
    written.push(Cow::Borrowed(canonical));
    for dialect in DIALECTS.iter().filter(|dialect| dialect.kind == kind) {
        let text = (dialect.write)(canonical);
        if !written.contains(&text) {
            found.push(digest(&text));
            written.push(text);
        }
    }
    found
}

/// The digest of an identifier in the primary dialect of either kind, which is the canonical form itself.
#[must_use]
pub fn primary(canonical: &str) -> Inner {
    digest(canonical)
}

fn digest(text: &str) -> Inner {
    Inner(Sha256::digest(text.as_bytes()).into())
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Reads a digest as callers write it: 64 hexadecimal digits of either case, or base64 of 32 bytes in the standard or the
/// URL alphabet, with or without padding. `None` for anything else.
#[must_use]
pub fn parse_digest(text: &str) -> Option<Inner> {
    match text.len() {
        64 => text.as_bytes().first_chunk().and_then(from_hex).map(Inner),
        43 | 44 => {
            let mut bytes = [0; 33];
            let engine = if memchr::memchr2(b'-', b'_', text.as_bytes()).is_some() { &FOR_URLS } else { &STANDARD };
            let length = engine.decode_slice(text, &mut bytes).ok()?;
            (length == 32).then_some(())?;
            bytes.first_chunk().copied().map(Inner)
        }
        _ => None,
    }
}

/// Reads 64 hexadecimal digits of either case. Without a branch, so that the machine takes many digits at once.
#[must_use]
pub fn from_hex(digits: &[u8; 64]) -> Option<[u8; 32]> {
    let is_digit = |b: u8| b.wrapping_sub(b'0') < 10 || (b | 0x20).wrapping_sub(b'a') < 6;
    if !digits.iter().fold(true, |all, digit| all & is_digit(*digit)) {
        return None;
    }
    // The letters' low bits count from 1: A is 0x41, a is 0x61.
    let value = |b: u8| (b & 0xF) + 9 * (b >> 6);
    let mut bytes = [0; 32];
    for (to, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *to = value(*high) << 4 | value(*low);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(inner: &Inner) -> String {
        inner.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_row_writes_what_its_vector_says_and_is_indexed() {
        for dialect in DIALECTS {
            let (canonical, expected) = dialect.vector;
            assert_eq!(hex(&digest(&(dialect.write)(canonical))), expected, "{}", dialect.label);
            let indexed = inners(dialect.kind, canonical);
            assert!(indexed.contains(&parse_digest(expected).unwrap()), "{}", dialect.label);
            assert_eq!(indexed.first(), Some(&primary(canonical)), "{}", dialect.label);
        }
    }

    #[test]
    fn how_many_digests_an_identifier_has() {
        for (kind, canonical, count) in [
            (Kind::Phone, "+16505551212", 2),
            (Kind::Email, "john@example.com", 1),
            (Kind::Email, "j.ohn@example.com", 1),
            (Kind::Email, "j.ohn+x@example.com", 2),
            (Kind::Email, "j.ohn@gmail.com", 2),
            (Kind::Email, "j.ohn+x@gmail.com", 4),
            (Kind::Email, "j.ohn+x@googlemail.com", 4),
            (Kind::Email, "+x@example.com", 1),
        ] {
            assert_eq!(inners(kind, canonical).len(), count, "{canonical}");
        }
    }

    /// The published values of UID2, in its own encoding.
    #[test]
    fn base64_vectors() {
        for (kind, canonical, digest) in [
            (Kind::Email, "user@example.com", "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="),
            (Kind::Phone, "+12345678901", "EObwtHBUqDNZR33LNSMdtt5cafsYFuGmuY4ZLenlue4="),
            (Kind::Email, "janesaoirse+work@gmail.com", "ku4mBX7Z3qJTXWyLFB1INzkyR2WZGW4ANSJUiW21iI8="),
            (Kind::Email, "janesaoirse+work@example.com", "KKruSBUjDNO069iMUVImVQZm6RrAGZKeOtrD9mwogYA="),
        ] {
            let url = digest.replace('/', "_").replace('+', "-");
            for spelt in [digest, digest.trim_end_matches('='), &url, url.trim_end_matches('=')] {
                let inner = parse_digest(spelt).unwrap_or_else(|| panic!("{spelt}"));
                assert!(inners(kind, canonical).contains(&inner), "{canonical} {spelt}");
            }
        }
    }

    #[test]
    fn what_is_no_digest() {
        let hex = "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8";
        assert_eq!(parse_digest(hex), parse_digest(&hex.to_uppercase()));
        for bad in [
            "",
            &hex[1..],
            &hex.replace('f', "g"),
            &format!("{hex}00"),
            "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVR",
            "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRR",
            "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf_F5HVR/",
            "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ==",
            "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ =",
        ] {
            assert_eq!(parse_digest(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_byte_in_every_place_of_a_digest() {
        let hex = *b"1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8";
        for at in 0..64 {
            for byte in 0..=u8::MAX {
                let mut digits = hex;
                digits[at] = byte;
                let pair = |[high, low]: &[u8; 2]| {
                    let digit = |b: u8| char::from(b).to_digit(16);
                    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
                };
                let plainly: Option<Vec<u8>> = digits.as_chunks::<2>().0.iter().map(pair).collect();
                assert_eq!(from_hex(&digits).map(|bytes| bytes.to_vec()), plainly, "{byte} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn digests_are_distinct_and_all_rows_are_there(user in "[a-z.+]{1,12}", domain in "(gmail|googlemail|x)\\.com") {
            let canonical = format!("{user}@{domain}");
            let found = inners(Kind::Email, &canonical);
            let distinct: std::collections::HashSet<_> = found.iter().collect();
            prop_assert_eq!(distinct.len(), found.len());
            for dialect in DIALECTS.iter().filter(|dialect| dialect.kind == Kind::Email) {
                prop_assert!(found.contains(&digest(&(dialect.write)(&canonical))));
            }
        }

        #[test]
        fn parsing_never_panics(text in any::<String>()) {
            let _ = parse_digest(&text);
        }
    }
}
