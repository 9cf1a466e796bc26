//! Facts about look-ups in a directory: which keys are in force, and what has been asked of quotas.
//!
//! They hold numbers and keyed digests of who asks, never what was asked for.

use crate::model::ids::Millis;

/// A key of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DiscoveryKey {
    /// That of the tags under which identifiers are indexed.
    Tags = 0,
    /// The pepper of Matrix look-ups.
    Pepper = 1,
    /// That of oblivious look-ups.
    Oprf = 2,
}

impl DiscoveryKey {
    /// The contract's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Pepper => "pepper",
            Self::Oprf => "oprf",
        }
    }

    /// From the contract's word; `None`: it is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Tags, Self::Pepper, Self::Oprf].into_iter().find(|one| one.word() == word)
    }

    /// From its number on disk; an unknown one counts as the first.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Pepper,
            2 => Self::Oprf,
            _ => Self::Tags,
        }
    }
}

/// Another key is in force. The key itself is derived from the epoch and never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotated {
    /// Which.
    pub what: DiscoveryKey,
    /// Its number, from 1; higher by one than the one before.
    pub epoch: u32,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// How much of quotas may have been used by the time of the next such event. Written ahead of the answers that it covers, so
/// after a crash quotas are restored rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaReserved {
    /// One for each quota.
    pub levels: Vec<QuotaLevel>,
    /// As of when.
    pub at: Millis,
}

/// A quota's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLevel {
    /// What it is a quota of; see `discovery::quota::Family`.
    pub family: u8,
    /// A keyed digest of who pays; 0: the tenant as a whole.
    pub payer: u128,
    /// How full it is, in 1/3,600,000 identifiers.
    pub used: u64,
    /// Identifiers an hour by which it sinks.
    pub leak_per_hour: u32,
}
