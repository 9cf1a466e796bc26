//! References: things of other systems that point at a contact, as facts.

use crate::model::ids::{EntityId, Millis};

/// What a reference is called; unique in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceName {
    /// What it is, for example `lead`.
    pub kind: String,
    /// The other system's id for it.
    pub external_id: String,
}

/// A reference points at a contact from now on; if it pointed at another before, it does so no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencePut {
    /// Its name.
    pub name: ReferenceName,
    /// The contact id that it was registered under. It stays with this id through merges and back.
    pub anchor: EntityId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// A reference is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceDeleted {
    /// Its name.
    pub name: ReferenceName,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}
