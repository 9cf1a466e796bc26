//! Conflicts between versions of a record, and groups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::api::{ConflictEntry, Contradiction, GroupEntry};
use crate::error::{Error, Result};
use crate::formats::json::RecordInput;
use crate::http::wire::time;
use crate::http::wire::write::WriteBody;
use crate::store::groups::{SLUG_BYTES_MAX, slug};

/// Bytes of a group's name at most.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of a group's description at most.
const DESCRIPTION_BYTES_MAX: usize = 4096;

/// A record whose source said different things under one version and time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConflictOut {
    /// The record.
    record_id: String,
    /// The system that sent it.
    source: String,
    /// That system's id for it.
    source_record_id: String,
    /// Its contact; null when the source withdrew it.
    contact_id: Option<String>,
    /// When the last of the versions came.
    found_at: String,
    /// The version number that they share, if the source told.
    version: Option<u64>,
    /// The time that they share, if the source told.
    source_updated_at: Option<String>,
    /// The versions, oldest first.
    versions: Vec<ContradictionOut>,
}

/// One of the versions that contradict each other.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContradictionOut {
    /// What to `keep` when this one is picked.
    seq: u64,
    /// When it was received.
    received_at: String,
    /// Who sent it.
    received_from: String,
    /// It counts now.
    counts: bool,
    /// What it says.
    record: RecordInput,
}

impl From<&ConflictEntry> for ConflictOut {
    fn from(entry: &ConflictEntry) -> Self {
        let one = |said: &Contradiction| ContradictionOut {
            seq: said.seq.0,
            received_at: time(said.received_at),
            received_from: said.actor.clone(),
            counts: said.counts,
            record: RecordInput::from_fields(&said.fields),
        };
        Self {
            record_id: entry.record_id.to_string(),
            source: entry.key.source.to_string(),
            source_record_id: entry.key.source_record_id.to_string(),
            contact_id: entry.contact.map(|id| id.to_string()),
            found_at: time(entry.found_at),
            version: entry.version,
            source_updated_at: entry.source_updated_at.map(time),
            versions: entry.versions.iter().map(one).collect(),
        }
    }
}

/// Picks one of a record's versions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConflictDecisionRequest {
    /// The `seq` of the version that counts from now on.
    pub(crate) keep: u64,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for ConflictDecisionRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

/// Names a group; no body means that it is called as its slug.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRequest {
    /// What it is called, 1 to 255 bytes. Missing: its slug.
    name: Option<String>,
    /// Free text, at most 4,096 bytes. Missing: none.
    description: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    idempotency_key: Option<String>,
}

impl WriteBody for GroupRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    fn when_empty() -> Option<Self> {
        Some(Self::default())
    }
}

impl GroupRequest {
    /// Name and description.
    ///
    /// # Errors
    /// `Invalid` names `name` or `description`.
    pub(crate) fn checked(self, slug: &str) -> Result<(String, Option<String>)> {
        let name = self.name.unwrap_or_else(|| slug.to_owned());
        let bad = |text: &str| text.contains('\0');
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || bad(&name) {
            let reason = format!("has {} bytes; it may have 1 to {NAME_BYTES_MAX} and no NUL", name.len());
            return Err(Error::invalid("name", reason));
        }
        let description = self.description.filter(|text| !text.trim().is_empty());
        if let Some(text) = description.as_ref().filter(|text| text.len() > DESCRIPTION_BYTES_MAX || bad(text)) {
            let reason = format!("has {} bytes; it may have {DESCRIPTION_BYTES_MAX} and no NUL", text.len());
            return Err(Error::invalid("description", reason));
        }
        Ok((name, description))
    }
}

/// A slug out of the path.
///
/// # Errors
/// `Invalid` names `slug` and says how to write it.
pub(crate) fn checked_slug(text: String) -> Result<String> {
    let wanted = slug(&text);
    if !text.is_empty() && wanted == text {
        return Ok(text);
    }
    let rule = format!("use lower-case letters and digits with single - between them, at most {SLUG_BYTES_MAX} bytes");
    let reason = if wanted.is_empty() { rule } else { format!("{rule}; this one is written {wanted}") };
    Err(Error::invalid("slug", reason))
}

/// A group of contacts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupOut {
    /// Unique in the tenant; never changes.
    slug: String,
    /// What it is called; where nobody said so, the way records write it.
    name: String,
    /// Free text.
    description: Option<String>,
    /// Live contacts that show it.
    contacts: u64,
    /// When it was put first; null: records name it and nobody put it.
    created_at: Option<String>,
    /// When it was put last.
    updated_at: Option<String>,
    /// Who put it last.
    updated_by: Option<String>,
}

impl From<&GroupEntry> for GroupOut {
    fn from(group: &GroupEntry) -> Self {
        Self {
            slug: group.slug.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
            contacts: group.contacts,
            created_at: group.created_at.map(time),
            updated_at: group.updated_at.map(time),
            updated_by: group.updated_by.clone(),
        }
    }
}

/// A group after a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupAnswer {
    #[serde(flatten)]
    pub(crate) group: GroupOut,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A group that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupGone {
    /// What it was.
    pub(crate) slug: String,
    /// Contacts that showed it.
    pub(crate) contacts: u64,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_that_is_none_hears_how_it_is_written() {
        assert_eq!(checked_slug("book-club".into()).unwrap(), "book-club");
        for (text, remedy) in [("Book Club", "book-club"), ("a--b", "a-b"), ("-a", "is written a"), ("", "use lower")] {
            let error = checked_slug(text.into()).unwrap_err().to_string();
            assert!(error.starts_with("slug: ") && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let named = |name: &str, description: &str| {
            let (name, description) = (Some(name.to_owned()), Some(description.to_owned()));
            GroupRequest { name, description, idempotency_key: None }.checked("a")
        };
        assert_eq!(GroupRequest::default().checked("a").unwrap(), ("a".into(), None));
        assert_eq!(named("Ä", " ").unwrap(), ("Ä".into(), None));
        assert!(named(&"x".repeat(255), &"x".repeat(4096)).is_ok());
        for (name, description, field) in [
            ("", "", "name"),
            (&*"x".repeat(256), "", "name"),
            ("a", &*"x".repeat(4097), "description"),
            ("a", "\0", "description"),
        ] {
            let error = named(name, description).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
