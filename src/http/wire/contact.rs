//! The contact and its records as answers show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::api::{Contact, Provenance, RecordHead, RecordView, Validity};
use crate::engine::references::ReferencePut;
use crate::formats::json::{AddressInput, EmailInput, ExternalIdInput, PhoneInput, RecordInput, SocialInput};
use crate::http::wire::references::ReferenceOut;
use crate::http::wire::time;
use crate::model::record::Fields;
use crate::normalize::validity::Asked;

/// A golden contact: what its records say together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContactOut {
    /// Its id; opaque, never reused.
    contact_id: String,
    /// `John Smith`; the organisation for a business; empty if nothing names it.
    canonical_name: String,
    /// The canonical name, folded.
    name_normalized: String,
    #[serde(flatten)]
    fields: FieldsOut,
    /// Where each value came from: by field, by value of a list (`emails[0]`), by key of the attributes
    /// (`attributes.score`) where several records have some.
    provenance: BTreeMap<String, ProvenanceOut>,
    /// Keys of the attributes that are not shown, since all together are more than 32 KiB: `attributes.transcript`.
    /// Missing when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    left_out: Vec<String>,
    /// Its records, oldest first.
    records: Vec<RecordRef>,
    /// The sources of its records, sorted.
    sources: Vec<String>,
    /// Count of its changes.
    version: u64,
    /// When it was first seen, RFC 3339.
    created_at: String,
    /// When it changed last.
    updated_at: String,
    /// Source or actor of the last change.
    last_updated_by: String,
    /// The tenant's seq of the last change.
    seq: u64,
    /// True when it is soft-deleted; missing otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// True when it is restricted: stored, and used for nothing. Missing otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    restricted: bool,
}

/// A contact with its records in full: a line of the export.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExportedContact {
    /// Its id.
    contact_id: String,
    /// `John Smith`.
    canonical_name: String,
    #[serde(flatten)]
    fields: FieldsOut,
    /// Keys of the attributes that are not shown, since all together are more than 32 KiB; the records have them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    left_out: Vec<String>,
    /// Its records in full, oldest first.
    records: Vec<RecordOut>,
    /// True when it is restricted; missing otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    restricted: bool,
    /// What points at it from outside, if anything does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceOut>,
    /// When it was first seen.
    created_at: String,
    /// When it changed last.
    updated_at: String,
    /// The tenant's seq of the last change.
    seq: u64,
}

/// Where a golden value came from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvenanceOut {
    /// The source.
    source: String,
    /// The record.
    record_id: String,
    /// The survivorship rule that chose it, or `manual` for what a person set.
    rule: String,
    /// When that record was received.
    at: String,
}

/// A record as its contact lists it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordRef {
    /// Its id.
    record_id: String,
    /// The system that sent it.
    source: String,
    /// That system's id for it.
    source_record_id: String,
    /// When it was received last.
    ingested_at: String,
}

/// A record in full, as its source said it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordOut {
    /// Its id.
    record_id: String,
    /// The system that sent it.
    source: String,
    /// That system's id for it.
    source_record_id: String,
    /// When the source changed it, if it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_updated_at: Option<String>,
    /// The source's version number, if it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// When it was received last.
    ingested_at: String,
    #[serde(flatten)]
    fields: FieldsOut,
}

/// The values of a contact or a record; those without a value are left out.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct FieldsOut {
    /// The whole name in one field.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    /// Middle names.
    #[serde(skip_serializing_if = "Option::is_none")]
    middle_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    /// Nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<String>,
    /// Title before the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_prefix: Option<String>,
    /// After the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_suffix: Option<String>,
    /// Email addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    emails: Vec<EmailOut>,
    /// Phone numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phones: Vec<PhoneOut>,
    /// Employer, or the business itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    /// Job title.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_title: Option<String>,
    /// Department.
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<String>,
    /// The employer's domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    company_domain: Option<String>,
    /// The account this person belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    /// Postal addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<AddressInput>,
    /// Birthday.
    #[serde(skip_serializing_if = "Option::is_none")]
    birthday: Option<String>,
    /// Gender.
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<String>,
    /// Handles on services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    social: Vec<SocialInput>,
    /// Web pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    /// Ids in other systems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_ids: Vec<ExternalIdInput>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    /// Time of the last contact with this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_at: Option<String>,
    /// When a source first saw this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    /// When a source last saw this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    /// The application's category.
    #[serde(skip_serializing_if = "Option::is_none")]
    category_code: Option<String>,
    /// The application's subcategory.
    #[serde(skip_serializing_if = "Option::is_none")]
    subcategory_code: Option<String>,
    /// The application's relationship category.
    #[serde(skip_serializing_if = "Option::is_none")]
    relationship_category: Option<String>,
    /// Whether this is the address book's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_me: Option<bool>,
    /// The application's own JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    attributes: Option<Value>,
}

/// An email address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmailOut {
    #[serde(flatten)]
    said: EmailInput,
    /// Golden contacts: another live contact holds it too. Missing on records.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<bool>,
    /// Golden contacts: how good it is. Missing on records.
    #[serde(skip_serializing_if = "Option::is_none")]
    validity: Option<ValidityOut>,
}

/// A phone number.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PhoneOut {
    #[serde(flatten)]
    said: PhoneInput,
    /// Golden contacts: another live contact holds it too. Missing on records.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<bool>,
    /// Golden contacts: how good it is. Missing on records.
    #[serde(skip_serializing_if = "Option::is_none")]
    validity: Option<ValidityOut>,
}

/// How good an email or a phone number is. `verified` and `confidence` beside it are computed from this and from what its sources
/// say; its records show what they said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidityOut {
    /// `valid`; `risky`: it may exist and is weak; `invalid`: it cannot work.
    status: &'static str,
    /// Phones: `fixed`, `mobile`, `fixed_or_mobile`, `service`, `voip` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'static str>,
    /// Phones: the region, ISO 3166 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// What was noticed, as codes of issues: `email_disposable`, `email_domain_typo`, `email_role`, `phone_service`...
    signs: Vec<&'static str>,
    /// Emails: the domain that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<&'static str>,
    /// What others said when they were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    checks: Vec<CheckOut>,
}

/// What one check said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckOut {
    /// `mx`: whether the domain takes mail. `validator`: the one that the configuration names.
    check: &'static str,
    /// Good, else bad.
    good: bool,
    /// A word that says more.
    detail: String,
    /// When it was asked.
    at: String,
}

impl From<&Validity> for ValidityOut {
    fn from(validity: &Validity) -> Self {
        let check =
            |one: &Asked| CheckOut { check: one.check, good: one.good, detail: one.detail.clone(), at: time(one.at) };
        Self {
            status: validity.status.word(),
            line: validity.line,
            region: validity.region.clone(),
            signs: validity.signs.clone(),
            suggestion: validity.suggestion,
            checks: validity.asked.iter().map(check).collect(),
        }
    }
}

impl FieldsOut {
    /// The values of a record: as said.
    pub(crate) fn of_record(fields: &Fields) -> Self {
        Self::new(fields, |_| None, |_| None)
    }

    /// The values of a golden contact, with what is known of its identifiers.
    fn of_contact(contact: &Contact) -> Self {
        let shared = |value: &str| Some(contact.shared.iter().any(|held| held == value));
        Self::new(&contact.fields, shared, |value| contact.validity.get(value))
    }

    fn new<'a>(
        fields: &Fields,
        shared: impl Fn(&str) -> Option<bool>,
        validity: impl Fn(&str) -> Option<&'a Validity>,
    ) -> Self {
        let said = RecordInput::from_fields(fields);
        let email = |mut said: EmailInput| {
            let known = validity(&said.value);
            if let Some(known) = known {
                (said.verified, said.confidence) = (known.verified, Some(known.confidence));
            }
            EmailOut { shared: shared(&said.value), validity: known.map(ValidityOut::from), said }
        };
        let phone = |mut said: PhoneInput| {
            let known = validity(&said.value);
            if let Some(known) = known {
                (said.verified, said.confidence) = (known.verified, Some(known.confidence));
            }
            PhoneOut { shared: shared(&said.value), validity: known.map(ValidityOut::from), said }
        };
        Self {
            name: said.name,
            first_name: said.first_name,
            middle_name: said.middle_name,
            last_name: said.last_name,
            nickname: said.nickname,
            name_prefix: said.name_prefix,
            name_suffix: said.name_suffix,
            emails: said.emails.into_iter().map(email).collect(),
            phones: said.phones.into_iter().map(phone).collect(),
            organization: said.organization,
            job_title: said.job_title,
            department: said.department,
            company_domain: said.company_domain,
            account_id: said.account_id,
            addresses: said.addresses,
            birthday: said.birthday,
            gender: said.gender,
            social: said.social,
            urls: said.urls,
            external_ids: said.external_ids,
            tags: said.tags,
            groups: said.groups,
            notes: said.notes,
            last_activity_at: said.last_activity_at,
            first_seen: said.first_seen,
            last_seen: said.last_seen,
            category_code: said.category_code,
            subcategory_code: said.subcategory_code,
            relationship_category: said.relationship_category,
            is_me: said.is_me,
            attributes: said.attributes,
        }
    }
}

impl From<&RecordHead> for RecordRef {
    fn from(record: &RecordHead) -> Self {
        Self {
            record_id: record.record_id.to_string(),
            source: record.key.source.to_string(),
            source_record_id: record.key.source_record_id.to_string(),
            ingested_at: time(record.ingested_at),
        }
    }
}

impl From<&RecordView> for RecordOut {
    fn from(record: &RecordView) -> Self {
        Self {
            record_id: record.record_id.to_string(),
            source: record.key.source.to_string(),
            source_record_id: record.key.source_record_id.to_string(),
            source_updated_at: record.source_updated_at.map(time),
            version: record.version,
            ingested_at: time(record.ingested_at),
            fields: FieldsOut::of_record(&record.fields),
        }
    }
}

impl From<&Provenance> for ProvenanceOut {
    fn from(provenance: &Provenance) -> Self {
        Self {
            source: provenance.source.clone(),
            record_id: provenance.record_id.to_string(),
            rule: provenance.rule.to_owned(),
            at: time(provenance.at),
        }
    }
}

impl From<&Contact> for ContactOut {
    fn from(contact: &Contact) -> Self {
        let provenance = contact.provenance.iter().map(|(field, from)| (field.clone(), from.into()));
        Self {
            contact_id: contact.id.to_string(),
            canonical_name: contact.canonical_name.clone(),
            name_normalized: contact.name_normalized.clone(),
            fields: FieldsOut::of_contact(contact),
            provenance: provenance.collect(),
            left_out: contact.left_out.clone(),
            records: contact.records.iter().map(RecordRef::from).collect(),
            sources: contact.sources.clone(),
            version: contact.version,
            created_at: time(contact.created_at),
            updated_at: time(contact.updated_at),
            last_updated_by: contact.last_updated_by.clone(),
            seq: contact.seq.0,
            deleted: contact.deleted,
            restricted: contact.restricted,
        }
    }
}

impl ExportedContact {
    /// A line of the export; `records` are the contact's records in full, `references` what points at it.
    pub(crate) fn new(contact: &Contact, records: &[RecordView], references: &[Arc<ReferencePut>]) -> Self {
        Self {
            contact_id: contact.id.to_string(),
            canonical_name: contact.canonical_name.clone(),
            fields: FieldsOut::of_contact(contact),
            left_out: contact.left_out.clone(),
            records: records.iter().map(RecordOut::from).collect(),
            restricted: contact.restricted,
            references: references.iter().map(|put| ReferenceOut::from(&**put)).collect(),
            created_at: time(contact.created_at),
            updated_at: time(contact.updated_at),
            seq: contact.seq.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{EntityId, Millis, RecordId, RecordKey, Seq};
    use crate::model::record::{Email, Phone};

    fn contact() -> Contact {
        let fields = Fields {
            first_name: Some("John".into()),
            emails: vec![
                Email { value: "a@example.com".into(), primary: true, ..Email::default() },
                Email { value: "b@example.com".into(), ..Email::default() },
            ],
            phones: vec![Phone { value: "+12125550123".into(), label: Some("mobile".into()), ..Phone::default() }],
            attributes: Some(r#"{"a":1}"#.into()),
            ..Fields::default()
        };
        let key = RecordKey { source: "gmail".into(), source_record_id: "c-812".into() };
        let record = RecordHead { record_id: RecordId(2), key, ingested_at: Millis(0) };
        Contact {
            id: EntityId(1),
            canonical_name: "John".into(),
            name_normalized: "john".into(),
            fields,
            shared: vec!["b@example.com".into()],
            provenance: BTreeMap::new(),
            left_out: Vec::new(),
            records: vec![record],
            sources: vec!["gmail".into()],
            version: 12,
            created_at: Millis(0),
            updated_at: Millis(1_000),
            last_updated_by: "gmail".into(),
            seq: Seq(4711),
            deleted: false,
            restricted: false,
            validity: BTreeMap::new(),
        }
    }

    #[test]
    fn a_contact_has_the_contract_s_names() {
        let json = serde_json::to_value(ContactOut::from(&contact())).unwrap();
        assert_eq!(json["contact_id"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(json["emails"][0]["shared"], false);
        assert_eq!(json["emails"][0]["primary"], true);
        assert_eq!(json["emails"][1]["shared"], true);
        assert_eq!(json["phones"][0]["label"], "mobile");
        assert_eq!(json["attributes"]["a"], 1);
        assert_eq!((json["version"].as_u64(), json["seq"].as_u64()), (Some(12), Some(4711)));
        assert_eq!(json["records"][0]["source_record_id"], "c-812");
        assert!(json["records"][0].get("emails").is_none());
        assert!(json.get("last_name").is_none() && json.get("deleted").is_none());
    }

    #[test]
    fn an_export_line_can_be_imported_again() {
        let contact = contact();
        let RecordHead { record_id, key, ingested_at } = contact.records[0].clone();
        let fields = contact.fields.clone();
        let record = RecordView { record_id, key, ingested_at, fields, source_updated_at: None, version: Some(7) };
        let json = serde_json::to_value(ExportedContact::new(&contact, &[record], &[])).unwrap();
        assert!(json.get("references").is_none());
        let mut record = json["records"][0].clone();
        for only_here in ["record_id", "ingested_at"] {
            record.as_object_mut().unwrap().remove(only_here);
        }
        let input: RecordInput = serde_json::from_value(record).unwrap();
        assert_eq!(input.into_record("x").unwrap().fields, contact.fields);
    }
}
