//! The contact record as JSON, exactly as the contract shows it.
//!
//! [`RecordInput`] is what a caller sends and what an export shows; [`RecordInput::into_record`]
//! checks it and gives the model's [`Fields`], [`RecordInput::from_fields`] goes back. Unknown fields
//! are refused by name. [`from_slice`] turns serde's errors into ours, with the path of the field.

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::formats::checks::{ATTRIBUTES_BYTES_MAX, InputRecord, RowError};
use crate::model::ids::Millis;
use crate::model::record::{Address, Email, ExternalId, Fields, Phone, Record, Social};

/// A contact record as a source says it. Everything is optional but at least one of name (any part),
/// email, phone, organization, external id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordInput {
    /// The system it comes from. Missing: `api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The source's id for this record. Missing: a keyed hash of the normalised name and all
    /// identifiers, so that an identical repeat is `unchanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_record_id: Option<String>,
    /// RFC 3339 time the source last changed it. Missing: order by version, else by receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_updated_at: Option<String>,
    /// The source's version number of this record. Missing: order by receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The whole name in one field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Middle name or names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middle_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// Title before the name, for example `Dr.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// After the name, for example `Jr.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_suffix: Option<String>,
    /// Short form of `emails` with one address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Email addresses; a plain string stands for `{"value": ...}`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<EmailInput>,
    /// Short form of `phones` with one number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Phone numbers; a plain string stands for `{"value": ...}`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<PhoneInput>,
    /// Employer, or the business itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Job title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    /// Department.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// The employer's domain, for example `example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_domain: Option<String>,
    /// The account (business) this person belongs to, if the source knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Postal addresses.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressInput>,
    /// Birthday, best as `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// Gender as the source wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
    /// Handles on services.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub social: Vec<SocialInput>,
    /// Web pages.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Ids in other systems.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub external_ids: Vec<ExternalIdInput>,
    /// Tags.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Groups.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// RFC 3339 time of the last contact with this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<String>,
    /// RFC 3339 time the source first saw this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// RFC 3339 time the source last saw this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// The application's category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_code: Option<String>,
    /// The application's subcategory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subcategory_code: Option<String>,
    /// The application's relationship category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relationship_category: Option<String>,
    /// Whether this is the address book's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_me: Option<bool>,
    /// Any JSON object of the application's own, at most 32 KiB; kept, never evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Value>,
}

/// An email address; a plain string is accepted for the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct EmailInput {
    /// The address.
    pub value: String,
    /// `work`, `home`...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The source calls it primary.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub primary: bool,
    /// The source verified it.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub verified: bool,
    /// Not to be shown to others.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub private: bool,
    /// 0 to 1, how sure the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

/// A phone number; a plain string is accepted for the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PhoneInput {
    /// The number.
    pub value: String,
    /// `mobile`, `work`...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Extension, if the source keeps it apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The source calls it primary.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub primary: bool,
    /// The source verified it.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub verified: bool,
    /// Not to be shown to others.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false)]
    pub private: bool,
    /// 0 to 1, how sure the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddressInput {
    /// Street with house number, and further lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State or province.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country name or code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `home`, `work`, `hq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A handle on a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SocialInput {
    /// `twitter`, `linkedin`...
    pub service: String,
    /// The handle.
    pub username: String,
}

/// An id in another system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalIdInput {
    /// The system, for example `salesforce`.
    pub system: String,
    /// The id there.
    pub id: String,
}

/// The object form of an email or a phone; phones alone have an extension.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailObject {
    value: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    primary: Option<bool>,
    #[serde(default)]
    verified: Option<bool>,
    #[serde(default)]
    private: Option<bool>,
    #[serde(default)]
    confidence: Option<f32>,
}

/// As [`EmailObject`], with an extension.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneObject {
    value: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    extension: Option<String>,
    #[serde(default)]
    primary: Option<bool>,
    #[serde(default)]
    verified: Option<bool>,
    #[serde(default)]
    private: Option<bool>,
    #[serde(default)]
    confidence: Option<f32>,
}

/// Reads a string or an object.
struct TextOr<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + FromText> Visitor<'de> for TextOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or an object with value")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// What a plain string stands for.
trait FromText {
    fn from_text(text: String) -> Self;
}

impl FromText for EmailObject {
    fn from_text(value: String) -> Self {
        Self { value, label: None, primary: None, verified: None, private: None, confidence: None }
    }
}

impl FromText for PhoneObject {
    fn from_text(value: String) -> Self {
        Self { value, label: None, extension: None, primary: None, verified: None, private: None, confidence: None }
    }
}

impl<'de> Deserialize<'de> for EmailInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object: EmailObject = deserializer.deserialize_any(TextOr(std::marker::PhantomData))?;
        Ok(Self {
            value: object.value,
            label: object.label,
            primary: object.primary.unwrap_or(false),
            verified: object.verified.unwrap_or(false),
            private: object.private.unwrap_or(false),
            confidence: object.confidence,
        })
    }
}

impl<'de> Deserialize<'de> for PhoneInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object: PhoneObject = deserializer.deserialize_any(TextOr(std::marker::PhantomData))?;
        Ok(Self {
            value: object.value,
            label: object.label,
            extension: object.extension,
            primary: object.primary.unwrap_or(false),
            verified: object.verified.unwrap_or(false),
            private: object.private.unwrap_or(false),
            confidence: object.confidence,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// `null` for a list means "not said".
pub(crate) fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

impl RecordInput {
    /// Checks it and gives what it says; `default_source` stands in when it names no source.
    ///
    /// # Errors
    /// `Invalid` with the field: a bad time, a NUL character, too long, or nothing to recognise
    /// anybody by.
    pub fn into_record(self, default_source: &str) -> Result<InputRecord> {
        Ok(self.into_checked(default_source)?)
    }

    /// As [`Self::into_record`], with the reason as a row error that has a code.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn into_checked(self, default_source: &str) -> Result<InputRecord, RowError> {
        self.read(default_source)?.checked()
    }

    /// As [`Self::into_checked`] for a part of a record, an edit: it need not name anybody.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn into_values(self, default_source: &str) -> Result<InputRecord, RowError> {
        self.read(default_source)?.checked_values()
    }

    /// The record with its times read, unchecked.
    fn read(self, default_source: &str) -> Result<InputRecord, RowError> {
        let updated = match &self.source_updated_at {
            Some(text) => Some(time("source_updated_at", text)?),
            None => None,
        };
        for (field, value) in [
            ("last_activity_at", &self.last_activity_at),
            ("first_seen", &self.first_seen),
            ("last_seen", &self.last_seen),
        ] {
            if let Some(text) = value {
                time(field, text)?;
            }
        }
        let source = self.source.clone().filter(|source| !source.trim().is_empty());
        Ok(InputRecord {
            source: source.unwrap_or_else(|| default_source.to_owned()),
            source_record_id: self.source_record_id.clone(),
            source_updated_at: updated,
            version: self.version,
            fields: self.into_fields()?,
        })
    }

    /// The values, the short forms put into their lists.
    fn into_fields(self) -> Result<Fields, RowError> {
        let attributes = self.attributes.filter(|value| !value.is_null());
        let mut emails: Vec<Email> = self.emails.into_iter().map(Email::from).collect();
        if let Some(value) = self.email.filter(|value| emails.iter().all(|e| &e.value != value)) {
            emails.insert(0, Email { value, ..Email::default() });
        }
        let mut phones: Vec<Phone> = self.phones.into_iter().map(Phone::from).collect();
        if let Some(value) = self.phone.filter(|value| phones.iter().all(|p| &p.value != value)) {
            phones.insert(0, Phone { value, ..Phone::default() });
        }
        Ok(Fields {
            name: self.name,
            first_name: self.first_name,
            middle_name: self.middle_name,
            last_name: self.last_name,
            nickname: self.nickname,
            name_prefix: self.name_prefix,
            name_suffix: self.name_suffix,
            emails,
            phones,
            organization: self.organization,
            job_title: self.job_title,
            department: self.department,
            company_domain: self.company_domain,
            account_id: self.account_id,
            addresses: self.addresses.into_iter().map(Address::from).collect(),
            birthday: self.birthday,
            gender: self.gender,
            social: self.social.into_iter().map(Social::from).collect(),
            urls: self.urls,
            external_ids: self.external_ids.into_iter().map(ExternalId::from).collect(),
            tags: self.tags,
            groups: self.groups,
            notes: self.notes,
            last_activity_at: self.last_activity_at,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            category_code: self.category_code,
            subcategory_code: self.subcategory_code,
            relationship_category: self.relationship_category,
            is_me: self.is_me,
            attributes: attributes.map(|value| attributes_text(&value)).transpose()?,
        })
    }

    /// The reverse: values as JSON. Source, id, time and version stay empty.
    pub fn from_fields(fields: &Fields) -> Self {
        let fields = fields.clone();
        let attributes = fields.attributes.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self {
            name: fields.name,
            first_name: fields.first_name,
            middle_name: fields.middle_name,
            last_name: fields.last_name,
            nickname: fields.nickname,
            name_prefix: fields.name_prefix,
            name_suffix: fields.name_suffix,
            emails: fields.emails.into_iter().map(EmailInput::from).collect(),
            phones: fields.phones.into_iter().map(PhoneInput::from).collect(),
            organization: fields.organization,
            job_title: fields.job_title,
            department: fields.department,
            company_domain: fields.company_domain,
            account_id: fields.account_id,
            addresses: fields.addresses.into_iter().map(AddressInput::from).collect(),
            birthday: fields.birthday,
            gender: fields.gender,
            social: fields.social.into_iter().map(SocialInput::from).collect(),
            urls: fields.urls,
            external_ids: fields.external_ids.into_iter().map(ExternalIdInput::from).collect(),
            tags: fields.tags,
            groups: fields.groups,
            notes: fields.notes,
            last_activity_at: fields.last_activity_at,
            first_seen: fields.first_seen,
            last_seen: fields.last_seen,
            category_code: fields.category_code,
            subcategory_code: fields.subcategory_code,
            relationship_category: fields.relationship_category,
            is_me: fields.is_me,
            attributes,
            ..Self::default()
        }
    }

    /// A stored record as JSON, with its source, id, time and version.
    pub fn from_record(record: &Record) -> Self {
        Self {
            source: Some(record.key.source.to_string()),
            source_record_id: Some(record.key.source_record_id.to_string()),
            source_updated_at: record.source_updated_at.map(time_text),
            version: record.version,
            ..Self::from_fields(&record.fields)
        }
    }
}

/// Reads JSON into a type; the error names the field.
///
/// # Errors
/// `Invalid` with the path of the field (`body` when the text as a whole is no JSON).
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // Keeping the path costs as much again as reading. Nearly nothing that is sent is wrong, so it is kept only then.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| path_error(&error))?;
    deserializer.end().map_err(|error| Error::invalid("body", error.to_string()))?;
    Ok(value)
}

/// Reads a JSON value into a type; the error names the field.
///
/// # Errors
/// As [`from_slice`].
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| path_error(&error))
}

/// Our error for serde's: field and reason, without the list of every field there is.
pub fn path_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let inner = error.inner();
    let text = inner.to_string();
    let path = error.path().to_string();
    let path = if path == "." || path == "?" { String::new() } else { path };
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let name: String = rest.chars().take_while(|c| *c != '`').take(200).collect();
        let parent = path.strip_suffix(name.as_str()).unwrap_or(&path).trim_end_matches(['.', '?']);
        let field = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        return Error::invalid(field, "unknown field; remove it or check its spelling");
    }
    let field = if path.is_empty() { "body".to_owned() } else { path };
    Error::invalid(field, without_value(&text))
}

/// serde repeats strings it did not expect: personal data has no place in an error.
fn without_value(text: &str) -> String {
    match (text.find("string \""), text.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            let head = text.get(..start).unwrap_or_default();
            let tail = text.get(end + 1..).unwrap_or_default();
            format!("{head}string{tail}")
        }
        _ => text.to_owned(),
    }
}

/// An RFC 3339 time.
fn time(field: &str, text: &str) -> Result<Millis, RowError> {
    let parsed: Result<jiff::Timestamp, _> = text.trim().parse();
    parsed.map(|time| Millis(time.as_millisecond())).map_err(|_| {
        let message = "not an RFC 3339 time; write it like 2026-01-27T10:00:00Z";
        RowError::new(field, "time_unreadable", message)
    })
}

/// A time of a file that may leave out zone (then UTC) or time of day (then midnight).
pub(crate) fn lenient_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Millis(time.as_millisecond()));
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Millis(zoned.timestamp().as_millisecond()))
}

/// A time as RFC 3339 text in UTC. Empty when it lies outside the years we can write.
pub fn time_text(time: Millis) -> String {
    jiff::Timestamp::from_millisecond(time.0).map(|time| time.to_string()).unwrap_or_default()
}

/// Compact JSON with sorted keys.
fn attributes_text(value: &Value) -> Result<String, RowError> {
    if !value.is_object() {
        let message = "must be a JSON object";
        return Err(RowError::new("attributes", "attributes_invalid", message));
    }
    let text = sorted(value).to_string();
    if text.len() > ATTRIBUTES_BYTES_MAX {
        let message = format!("{} bytes as JSON, at most {ATTRIBUTES_BYTES_MAX} are allowed; send less", text.len());
        return Err(RowError::new("attributes", "value_too_long", message));
    }
    Ok(text)
}

/// The same value with every object's keys in order. Depth is bounded by the JSON parser.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Both directions between a model struct and its JSON shape with the same fields.
macro_rules! same_shape {
    ($model:ident, $input:ident, $($field:ident),+) => {
        impl From<$input> for $model {
            fn from(from: $input) -> Self {
                Self { $($field: from.$field),+ }
            }
        }

        impl From<$model> for $input {
            fn from(from: $model) -> Self {
                Self { $($field: from.$field),+ }
            }
        }
    };
}

same_shape!(Email, EmailInput, value, label, primary, verified, private, confidence);
same_shape!(Phone, PhoneInput, value, label, extension, primary, verified, private, confidence);
same_shape!(Address, AddressInput, street, city, region, postal_code, country, label);
same_shape!(Social, SocialInput, service, username);
same_shape!(ExternalId, ExternalIdInput, system, id);
