//! Facts about who may be found by whom: settings of discovery, policies with their consent, blocks, sharing, opt-outs.
//!
//! They hold ids, words and keyed tags, never values of a person. The actor of a consent is a word of the caller's and goes
//! when the person is erased; an opt-out stays, since it is what keeps the person out.

use crate::model::ids::{EntityId, Millis, RecordId};
use crate::model::settings::Discovery;

/// How a tenant takes part in discovery from now on; see [`Discovery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySet {
    /// All of it.
    pub discovery: Discovery,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// What a person agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The legal basis, one of [`BASES`].
    pub basis: String,
    /// Who gave or recorded it, in the caller's words.
    pub actor: String,
    /// When it was given.
    pub at: Millis,
}

/// The legal bases of GDPR article 6(1), letters a to f.
pub const BASES: [&str; 6] =
    ["consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests"];

/// Who may find a contact of a directory. A larger number allows more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Findable {
    /// No one.
    #[default]
    Nobody = 0,
    /// Those whom this person has in the own address book.
    Mutual = 1,
    /// Whoever knows a number or address.
    Everyone = 2,
}

impl Findable {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Mutual => "mutual",
            Self::Everyone => "everyone",
        }
    }

    /// From the contract's word; `None`: it is none.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Nobody, Self::Mutual, Self::Everyone].into_iter().find(|one| one.word() == word)
    }

    /// From its number on disk; an unknown one allows nothing.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Mutual,
            2 => Self::Everyone,
            _ => Self::Nobody,
        }
    }
}

/// Who may find a contact from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    /// The contact, and every id that led to it then.
    pub ids: Vec<EntityId>,
    /// Who may find it.
    pub policy: Findable,
    /// The tenant that is this person's address book.
    pub book: Option<String>,
    /// What it rests on.
    pub consent: Option<Consent>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// One contact blocks another, or does so no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSet {
    /// Who does not want to be seen.
    pub blocker: EntityId,
    /// By whom.
    pub blocked: EntityId,
    /// Whether it holds.
    pub holds: bool,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// What of a contact others may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharingSet {
    /// The contact, and every id that led to it then.
    pub ids: Vec<EntityId>,
    /// Field and audience (`everyone`, `contacts`, `group:NAME`), ascending; what is not here nobody sees.
    pub fields: Vec<(String, String)>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// A person left discovery and suggestions for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptedOut {
    /// The contact, and every id that led to it; empty where only records came back.
    pub contacts: Vec<EntityId>,
    /// The records that are the person's.
    pub records: Vec<RecordId>,
    /// Keyed tags of the person's identifiers, by which they are known when they come back; ascending.
    pub tags: Vec<u128>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// The tags of all who opted out, under the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionRotated {
    /// Number of the key, from 1.
    pub generation: u32,
    /// All tags, ascending.
    pub tags: Vec<u128>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Which user of the directory a contact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryUserSet {
    /// The contact.
    pub contact: EntityId,
    /// The user; missing: none that this tenant may know of.
    pub user: Option<EntityId>,
    /// When.
    pub at: Millis,
}
