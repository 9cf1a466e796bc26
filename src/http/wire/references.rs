//! References: things of other systems that point at a contact.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::references::{ReferenceName, ReferencePut};
use crate::error::{Error, Result};
use crate::http::wire::time;
use crate::http::wire::write::WriteBody;

/// Bytes of a kind and of an external id at most.
const KIND_BYTES_MAX: usize = 63;
const EXTERNAL_ID_BYTES_MAX: usize = 255;

/// Registers a reference; no body means no move.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceRequest {
    /// Take it over from the contact that has it. Default false: 409 with the holder.
    #[serde(default, rename = "move")]
    pub(crate) take_over: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for ReferenceRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    fn when_empty() -> Option<Self> {
        Some(Self::default())
    }
}

/// A reference's name out of the path.
///
/// # Errors
/// `Invalid` names `kind` or `external_id`.
pub(crate) fn reference_name(kind: String, external_id: String) -> Result<ReferenceName> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if !(1..=KIND_BYTES_MAX).contains(&kind.len()) || !kind.bytes().all(word) {
        let reason = format!("use 1 to {KIND_BYTES_MAX} of a-z, 0-9, _ and -, for example lead");
        return Err(Error::invalid("kind", reason));
    }
    if !(1..=EXTERNAL_ID_BYTES_MAX).contains(&external_id.len()) || external_id.chars().any(char::is_control) {
        let reason = format!("use 1 to {EXTERNAL_ID_BYTES_MAX} bytes without control characters, percent-encoded");
        return Err(Error::invalid("external_id", reason));
    }
    Ok(ReferenceName { kind, external_id })
}

/// A thing of another system that points at a contact.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ReferenceOut {
    /// What it is.
    kind: String,
    /// The other system's id for it.
    external_id: String,
    /// The contact id that it was registered under: where it goes when the merges since are undone.
    registered_contact_id: String,
    /// When it was registered there.
    registered_at: String,
    /// Who registered it.
    registered_by: String,
}

impl From<&ReferencePut> for ReferenceOut {
    fn from(put: &ReferencePut) -> Self {
        Self {
            kind: put.name.kind.clone(),
            external_id: put.name.external_id.clone(),
            registered_contact_id: put.anchor.to_string(),
            registered_at: time(put.at),
            registered_by: put.actor.clone(),
        }
    }
}

/// A reference after a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReferenceAnswer {
    /// The contact that it points at.
    pub(crate) contact_id: String,
    #[serde(flatten)]
    pub(crate) reference: ReferenceOut,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A reference that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReferenceGone {
    /// The contact that it pointed at.
    pub(crate) contact_id: String,
    /// What it was.
    pub(crate) kind: String,
    /// The other system's id for it.
    pub(crate) external_id: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let field = |kind: &str, id: &str| match reference_name(kind.into(), id.into()) {
            Ok(_) => None,
            Err(Error::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(field("lead", "00Q5e/äö 1"), None);
        assert_eq!(field(&"k".repeat(63), &"i".repeat(255)), None);
        for kind in ["", "Lead", "a b", "é", &"k".repeat(64)] {
            assert_eq!(field(kind, "1").as_deref(), Some("kind"), "{kind}");
        }
        for id in ["", "a\nb", &"i".repeat(256)] {
            assert_eq!(field("lead", id).as_deref(), Some("external_id"), "{id}");
        }
    }
}
