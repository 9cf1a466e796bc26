//! Events about businesses and about who works where.
//!
//! What happens to accounts is what happens to contacts, so most payloads are those of the contacts' events, under kinds
//! of their own: an id in them is an account's. Only a put says more.

use super::RecordPut;
use crate::model::account::Business;
use crate::model::ids::{EntityId, Millis};

/// A source's word on a business.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPut {
    /// The fields that people and businesses share, and the rest of a put.
    pub put: RecordPut,
    /// What only businesses have.
    pub business: Business,
}

/// A person and a business belong together from now on, in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationPut {
    /// The contact id that it was registered under. It stays with this id through merges and back.
    pub contact: EntityId,
    /// The account id that it was registered under; likewise.
    pub account: EntityId,
    /// What the person is there, for example `CTO`.
    pub role: Option<String>,
    /// Since when, as said: a date or an RFC 3339 time.
    pub since: Option<String>,
    /// Until when, as said.
    pub until: Option<String>,
    /// The contact's main account. The one that was said last counts.
    pub primary: bool,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// They no longer do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationDeleted {
    /// The contact id that it was registered under.
    pub contact: EntityId,
    /// The account id that it was registered under.
    pub account: EntityId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Whether contacts may have mail addresses at free-mail providers from now on. It follows the
/// [`super::SettingsSet`] that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeMailRefused {
    /// They may not.
    pub refused: bool,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}
