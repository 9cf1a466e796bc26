//! Facts about oblivious look-ups: which key is in force, and how much a principal has used of it.
//!
//! They hold numbers of keys, never a key, and counts, never what was asked about.

use crate::model::ids::Millis;

/// Another key answers oblivious look-ups from now on; the one before goes on for as long as the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OprfBegun {
    /// The key's number in its tenant, from 1.
    pub epoch: u32,
    /// Bits of a bucket's prefix while it is in force.
    pub prefix_bits: u8,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// How much a principal has had evaluated and revealed under a key, in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OprfSpent {
    /// Under which key.
    pub epoch: u32,
    /// Who: what quotas are counted by.
    pub principal: String,
    /// Elements that were evaluated.
    pub evaluated: u64,
    /// Keys that were asked to be revealed.
    pub revealed: u64,
    /// When.
    pub at: Millis,
}
