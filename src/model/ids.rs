//! Names of things: opaque ids, the tenant's name, the record key, sequence numbers and times.
//!
//! Ids are newtypes, so that a record id cannot be passed where an entity id belongs. All ids that
//! leave the server are UUIDv7 in their usual text form; nobody may read a meaning into them.

use std::fmt;
use std::str::FromStr;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// An event's number within one tenant: dense, the first is 1. 0 means "before any event".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A tenant's number in the journal: dense per data directory. 0 is the server itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u64);

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_u128(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                uuid::Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| NotAnId)
            }
        }
    };
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

opaque_id!(
    /// An entity (a contact): opaque, issued once, never reused.
    EntityId
);
opaque_id!(
    /// A record: opaque, one for each (source, source_record_id) of a tenant.
    RecordId
);
opaque_id!(
    /// One merge of contacts, for undoing it.
    MergeId
);
opaque_id!(
    /// One question in the review queue.
    ReviewId
);
opaque_id!(
    /// One human judgement.
    JudgementId
);
opaque_id!(
    /// One erasure of a person or of a whole tenant.
    EraseId
);
/// One model of a tenant. 0 is the one that is shipped, spelt `default`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u128);

impl ModelId {
    /// The shipped model.
    pub const DEFAULT: Self = Self(0);
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DEFAULT { f.pad("default") } else { uuid::Uuid::from_u128(self.0).fmt(f) }
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModelId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text == "default" {
            return Ok(Self::DEFAULT);
        }
        uuid::Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| NotAnId)
    }
}

opaque_id!(
    /// One import.
    ImportId
);
opaque_id!(
    /// One webhook of a tenant.
    WebhookId
);
opaque_id!(
    /// One delivery to a webhook: the same entries of the change feed have the same id.
    DeliveryId
);

/// A record's own name: the source and the source's id for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The system that sent it, for example `gmail`.
    pub source: Box<str>,
    /// That system's id for the record.
    pub source_record_id: Box<str>,
}

/// A tenant's name: `[a-z0-9][a-z0-9_-]{0,62}`. Not personal data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Box<str>);

impl TenantName {
    /// Parses a name; `None` if it breaks the pattern.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ok = word(first) && text.len() <= 63 && bytes.all(|b| word(b) || b == b'_' || b == b'-');
        ok.then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
