//! Which hashed identifiers a directory knows: keys, digests, tags and what is answered for them. Pure: no I/O, no clock, no
//! dice, no records; whoever calls brings time, secrets and canonical values.
//!
//! [`dialect`] knows how others write an identifier before they hash it, [`tag`] keys these digests so that a stolen map
//! says nothing. [`directory`] is the map that look-ups ask, [`quota`] what they cost, [`token`] what was paid already;
//! [`tagged`] takes the identifiers out of records of which nothing but tags is kept. [`oprf`] answers without seeing what it
//! is asked, [`filter`] is what such answers are compared with on the caller's side, [`matrix`] speaks the dialect of Matrix
//! identity servers.

pub mod dialect;
pub mod directory;
pub mod filter;
pub mod matrix;
pub mod oprf;
pub mod quota;
pub mod tag;
pub mod tagged;
pub mod token;

/// What an identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A phone number; canonical is E.164 with `+`.
    Phone = 1,
    /// An email address; canonical is trimmed and in lower case, the domain in its ASCII form.
    Email = 2,
}

impl Kind {
    /// The byte that stands for it in everything that is hashed.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Phone => 1,
            Self::Email => 2,
        }
    }

    /// The contract's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Email => "email",
        }
    }

    /// The kind of a word of the contract; `None` for a word that is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "phone" => Some(Self::Phone),
            "email" => Some(Self::Email),
            _ => None,
        }
    }
}

/// The SHA-256 digest of an identifier in one dialect: what callers may send instead of the identifier. Unkeyed, so it is
/// as good as the identifier to whoever can try all phone numbers; it is never written to disk nor logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inner(pub [u8; 32]);

/// A digest can be tried back into its identifier, so it never shows in a log.
impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner(..)")
    }
}
