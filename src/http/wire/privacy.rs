//! Restriction, and what the controller declares for the register of processing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::http::wire::write::WriteBody;
use crate::model::event::consent::BASES;
use crate::model::settings::{Privacy, Purpose};

/// Bytes of a short text and of a long one at most.
const SHORT_BYTES_MAX: usize = 500;
const LONG_BYTES_MAX: usize = 4000;
/// Purposes, and kinds of data subjects, at most.
const PURPOSES_MAX: usize = 50;

/// Restricts a contact or ends that.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestrictRequest {
    /// True: stored and not used. False: used again.
    pub(crate) restricted: bool,
    /// Why, 2,000 bytes at most.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    #[serde(default)]
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for RestrictRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

/// A contact's restriction after a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RestrictAnswer {
    /// The contact.
    pub(crate) contact_id: String,
    /// Stored and not used.
    pub(crate) restricted: bool,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// What the controller declares; nothing here changes how data is processed but `audit_days`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PrivacyBody {
    /// Who decides on the processing: name and address, 500 bytes at most.
    controller: String,
    /// How to reach them or their data protection officer, 500 bytes at most.
    contact: String,
    /// What the data is for, 50 at most.
    purposes: Vec<PurposeBody>,
    /// Whose data it is ("customers", "people in users' address books"), 50 at most of 500 bytes.
    subjects: Vec<String>,
    /// Transfers to third countries and their safeguards, 4,000 bytes at most.
    third_countries: String,
    /// Days that `GET audit` shows, at most 36500; older acts leave the disk with their segment of the journal
    /// (`journal_keep_days`), since taking single ones out would break the chain of digests. Default 0: all there are.
    audit_days: u32,
}

/// A purpose and what makes it lawful.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PurposeBody {
    /// What for, 500 bytes at most.
    pub(crate) name: String,
    /// `consent`, `contract`, `legal_obligation`, `vital_interests`, `public_task` or `legitimate_interests`.
    pub(crate) basis: String,
    /// More about it, 4,000 bytes at most.
    pub(crate) note: String,
}

impl From<&Purpose> for PurposeBody {
    fn from(purpose: &Purpose) -> Self {
        let Purpose { name, basis, note } = purpose.clone();
        Self { name, basis, note }
    }
}

impl From<&Privacy> for PrivacyBody {
    fn from(privacy: &Privacy) -> Self {
        Self {
            controller: privacy.controller.clone(),
            contact: privacy.contact.clone(),
            purposes: privacy.purposes.iter().map(PurposeBody::from).collect(),
            subjects: privacy.subjects.clone(),
            third_countries: privacy.third_countries.clone(),
            audit_days: privacy.audit_days,
        }
    }
}

impl PrivacyBody {
    /// Checks every value.
    pub(crate) fn checked(self) -> Result<Privacy> {
        bounded("privacy.controller", &self.controller, SHORT_BYTES_MAX)?;
        bounded("privacy.contact", &self.contact, SHORT_BYTES_MAX)?;
        bounded("privacy.third_countries", &self.third_countries, LONG_BYTES_MAX)?;
        for (field, count) in [("purposes", self.purposes.len()), ("subjects", self.subjects.len())] {
            if count > PURPOSES_MAX {
                let reason = format!("has {count} entries; it may have {PURPOSES_MAX}");
                return Err(Error::invalid(format!("privacy.{field}"), reason));
            }
        }
        for (at, subject) in self.subjects.iter().enumerate() {
            bounded(&format!("privacy.subjects[{at}]"), subject, SHORT_BYTES_MAX)?;
        }
        if self.audit_days > 36_500 {
            return Err(Error::invalid("privacy.audit_days", "may be 0 to 36500; 0 shows all there are"));
        }
        let purposes = self.purposes.into_iter().enumerate().map(|(at, one)| one.checked(at)).collect::<Result<_>>()?;
        let Self { controller, contact, subjects, third_countries, audit_days, .. } =
            Self { purposes: Vec::new(), ..self };
        Ok(Privacy { controller, contact, purposes, subjects, third_countries, audit_days })
    }
}

impl PurposeBody {
    fn checked(self, at: usize) -> Result<Purpose> {
        let Self { name, basis, note } = self;
        bounded(&format!("privacy.purposes[{at}].name"), &name, SHORT_BYTES_MAX)?;
        bounded(&format!("privacy.purposes[{at}].note"), &note, LONG_BYTES_MAX)?;
        if name.trim().is_empty() {
            return Err(Error::invalid(format!("privacy.purposes[{at}].name"), "is empty; say what the data is for"));
        }
        if !BASES.contains(&basis.as_str()) {
            let reason = format!("is no legal basis; it may be {}", BASES.join(", "));
            return Err(Error::invalid(format!("privacy.purposes[{at}].basis"), reason));
        }
        Ok(Purpose { name, basis, note })
    }
}

fn bounded(field: &str, text: &str, bytes_max: usize) -> Result<()> {
    if text.len() > bytes_max {
        return Err(Error::invalid(field, format!("has {} bytes; it may have {bytes_max}", text.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Privacy> {
        serde_json::from_str::<PrivacyBody>(json).unwrap().checked()
    }

    #[test]
    fn what_is_declared_comes_back() {
        let json = r#"{"controller": "Acme", "purposes": [{"name": "sales", "basis": "consent"}], "audit_days": 7}"#;
        let privacy = checked(json).unwrap();
        assert_eq!((privacy.controller.as_str(), privacy.audit_days), ("Acme", 7));
        let shown = serde_json::to_string(&PrivacyBody::from(&privacy)).unwrap();
        assert_eq!(checked(&shown).unwrap(), privacy);
    }

    #[test]
    fn the_value_that_is_wrong_is_named() {
        let long = format!(r#"{{"controller": "{}"}}"#, "x".repeat(501));
        let many = format!(r#"{{"subjects": [{}]}}"#, vec!["\"x\""; 51].join(","));
        for (json, field) in [
            (long.as_str(), "privacy.controller"),
            (&many, "privacy.subjects"),
            (r#"{"audit_days": 36501}"#, "privacy.audit_days"),
            (r#"{"purposes": [{"name": "sales", "basis": "because"}]}"#, "privacy.purposes[0].basis"),
            (r#"{"purposes": [{"name": " ", "basis": "consent"}]}"#, "privacy.purposes[0].name"),
        ] {
            match checked(json) {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }
}
