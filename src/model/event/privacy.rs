//! What the law on personal data asks for, as facts: restriction, what the controller declares, and what was found out about
//! an identifier by asking others.

use crate::model::ids::{EntityId, Millis, RecordId};
use crate::model::settings::Purpose;

/// A contact is restricted from now on (stored, not used), or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restricted {
    /// The contact.
    pub contact: EntityId,
    /// All its records, withdrawn ones and edits by hand included: these carry the restriction, wherever they go.
    pub records: Vec<RecordId>,
    /// Restricted, else free again.
    pub restricted: bool,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// What the controller declares for the processing register; see [`crate::model::settings::Privacy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacySet {
    /// Who decides on the processing.
    pub controller: String,
    /// How to reach them.
    pub contact: String,
    /// What the data is for.
    pub purposes: Vec<Purpose>,
    /// Whose data it is.
    pub subjects: Vec<String>,
    /// Transfers to third countries.
    pub third_countries: String,
    /// Days that the audit trail shows; 0: all that the journal has.
    pub audit_days: u32,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Somebody else was asked about an identifier of a record. The one before of the same check is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierChecked {
    /// Whose identifier.
    pub record_id: RecordId,
    /// The identifier: a canonical email or an E.164 number.
    pub identifier: String,
    /// 0: the domain's mail servers, 1: the validator.
    pub check: u8,
    /// 0: good, 1: bad.
    pub verdict: u8,
    /// A word that says more.
    pub detail: String,
    /// When it was asked.
    pub at: Millis,
}
