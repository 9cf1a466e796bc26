//! The account record as JSON, as the contract has it.
//!
//! What businesses share with people goes through the same checks as a contact record ([`RecordInput`]); the rest is
//! checked here.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::formats::checks::{InputRecord, LIST_LEN_MAX, RECORD_BYTES_MAX, RowError, VALUE_BYTES_MAX};
use crate::formats::json::{AddressInput, ExternalIdInput, PhoneInput, RecordInput, null_is_empty};
use crate::model::account::Business;

/// An account record as a source says it. Everything is optional but at least one of name, domain, alternate domain,
/// phone, external id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountInput {
    /// The system it comes from. Missing: `api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The source's id for this record. Missing: a keyed hash of names, domains, places and identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_record_id: Option<String>,
    /// RFC 3339 time the source last changed it. Missing: order by version, else by receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_updated_at: Option<String>,
    /// The source's version number of this record. Missing: order by receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its name, with or without legal form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its main domain; a URL or host is read as its registrable domain. The key of an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Further domains that are its own. They are keys, too.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub alternate_domains: Vec<String>,
    /// Names it had before.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub previous_names: Vec<String>,
    /// Phone numbers; a plain string stands for `{"value": ...}`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<PhoneInput>,
    /// Postal addresses; those with the label `hq` say where it is, else all do.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressInput>,
    /// Industry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub industry: Option<String>,
    /// Technologies it uses.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub technologies: Vec<String>,
    /// Tags.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Ids in other systems. Kept, never a key.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub external_ids: Vec<ExternalIdInput>,
    /// Any JSON object of the application's own, at most 32 KiB; kept, never evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Value>,
}

/// An account record that came in and passed the checks; nothing of it has been read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRecord {
    /// What businesses share with people.
    pub record: InputRecord,
    /// The rest, as said.
    pub business: Business,
}

impl AccountInput {
    /// Checks it and gives what it says; `default_source` stands in when it names no source.
    ///
    /// # Errors
    /// The first thing wrong: a bad time, a NUL character, too long, or nothing to recognise a business by.
    pub fn into_checked(self, default_source: &str) -> Result<AccountRecord, RowError> {
        self.into_values(default_source)?.identified()
    }

    /// The same for a record that need not say which business it is about.
    ///
    /// # Errors
    /// The first thing wrong: a bad time, a NUL character, too long.
    pub fn into_values(self, default_source: &str) -> Result<AccountRecord, RowError> {
        let business = Business {
            alternate_domains: said_list(self.alternate_domains),
            previous_names: said_list(self.previous_names),
            industry: self.industry.filter(|text| !text.trim().is_empty()),
            technologies: said_list(self.technologies),
            ..Business::default()
        };
        let shared = RecordInput {
            source: self.source,
            source_record_id: self.source_record_id,
            source_updated_at: self.source_updated_at,
            version: self.version,
            organization: self.name,
            company_domain: self.domain,
            phones: self.phones,
            addresses: self.addresses,
            tags: self.tags,
            external_ids: self.external_ids,
            attributes: self.attributes,
            ..RecordInput::default()
        };
        AccountRecord { record: shared.into_values(default_source).map_err(of_account)?, business }.bounded()
    }
}

impl AccountRecord {
    /// Checks what only businesses have; the rest has been checked.
    pub(super) fn bounded(self) -> Result<Self, RowError> {
        check(&self.business)?;
        Ok(self)
    }

    /// Checks that it says which business it is about.
    pub(super) fn identified(self) -> Result<Self, RowError> {
        let (fields, business) = (&self.record.fields, &self.business);
        let named = fields.organization.is_some() || fields.company_domain.is_some();
        if named
            || !(business.alternate_domains.is_empty() && fields.phones.is_empty() && fields.external_ids.is_empty())
        {
            return Ok(self);
        }
        let message = "nothing to recognise a business by; give at least one of name, domain, alternate_domains, phone, external id";
        Err(RowError::new("record", "record_empty", message))
    }
}

/// An error under the names that account records have for fields.
pub(super) fn of_account(error: RowError) -> RowError {
    let field = match error.field.as_str() {
        "organization" => "name".to_owned(),
        "company_domain" => "domain".to_owned(),
        _ => return error,
    };
    RowError { field, ..error }
}

fn said_list(list: Vec<String>) -> Vec<String> {
    list.into_iter().filter(|text| !text.trim().is_empty()).collect()
}

fn check(business: &Business) -> Result<(), RowError> {
    let lists = [
        ("alternate_domains", &business.alternate_domains),
        ("previous_names", &business.previous_names),
        ("technologies", &business.technologies),
    ];
    let mut total = 0;
    for (field, list) in lists {
        if list.len() > LIST_LEN_MAX {
            let message = format!("{} values, at most {LIST_LEN_MAX} are allowed; send fewer", list.len());
            return Err(RowError::new(field, "list_too_long", message));
        }
        for (at, value) in list.iter().enumerate() {
            total += value.len() + 8;
            check_text(&format!("{field}[{at}]"), value)?;
        }
    }
    business.industry.iter().try_for_each(|value| check_text("industry", value))?;
    if total > RECORD_BYTES_MAX {
        let message = format!("lists of {total} bytes, at most {RECORD_BYTES_MAX} are allowed; send fewer values");
        return Err(RowError::new("record", "record_too_large", message));
    }
    Ok(())
}

fn check_text(field: &str, value: &str) -> Result<(), RowError> {
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("{} bytes long, at most {VALUE_BYTES_MAX} are allowed; shorten it", value.len());
        return Err(RowError::new(field, "value_too_long", message));
    }
    if value.contains('\0') {
        return Err(RowError::new(field, "nul_character", "contains a NUL character; remove it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<AccountRecord, RowError> {
        serde_json::from_str::<AccountInput>(json).unwrap().into_checked("api")
    }

    #[test]
    fn a_business_is_named_by_one_of_its_keys() {
        for json in [
            r#"{"name": "Acme"}"#,
            r#"{"domain": "acme.com"}"#,
            r#"{"alternate_domains": ["acme.com"]}"#,
            r#"{"external_ids": [{"system": "crm", "id": "1"}]}"#,
            r#"{"phones": ["+12125550123"]}"#,
        ] {
            assert_eq!(read(json).unwrap().record.source, "api", "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_as_the_caller_named_it() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for (json, field, code) in [
            (r#"{"tags": ["a"]}"#.to_owned(), "record", "record_empty"),
            (r#"{"name": " ", "alternate_domains": [" "]}"#.to_owned(), "record", "record_empty"),
            (format!(r#"{{"name": "{long}"}}"#), "name", "value_too_long"),
            (format!(r#"{{"name": "a", "previous_names": ["b", "{long}"]}}"#), "previous_names[1]", "value_too_long"),
            (r#"{"domain": "a\u0000.com"}"#.to_owned(), "domain", "nul_character"),
            (r#"{"name": "a", "industry": "\u0000"}"#.to_owned(), "industry", "nul_character"),
            (r#"{"name": "a", "source_updated_at": "now"}"#.to_owned(), "source_updated_at", "time_unreadable"),
        ] {
            let error = read(&json).unwrap_err();
            assert_eq!((error.field.as_str(), error.code), (field, code), "{json}");
        }
    }
}
