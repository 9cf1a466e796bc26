//! What every incoming record must satisfy, whatever format it came in.
//!
//! [`InputRecord::checked`] is the only way in for CSV, vCard and JSON alike: it drops empty values,
//! bounds lengths, refuses NUL characters and records that name nobody. Bounds are constants here.

use crate::error::Error;
use crate::model::ids::Millis;
use crate::model::record::{Address, Email, Fields, Phone};

/// Most bytes of text in one record.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of `attributes` as compact JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of `notes`.
pub const NOTES_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of one short value such as a name or a phone number.
pub const VALUE_BYTES_MAX: usize = 2 * 1024;
/// Most bytes of a `source_record_id`.
pub const SOURCE_RECORD_ID_BYTES_MAX: usize = 512;
/// Most bytes of a `source`.
pub const SOURCE_BYTES_MAX: usize = 128;
/// Most values in one list of a record.
pub const LIST_LEN_MAX: usize = 500;

/// A record that came in and passed the checks; what it says is still as received.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRecord {
    /// The system it comes from; never empty.
    pub source: String,
    /// That system's id for it. Missing: derive one from the content.
    pub source_record_id: Option<String>,
    /// When the source changed it. Missing: order by version, else by receipt.
    pub source_updated_at: Option<Millis>,
    /// The source's version number. Missing: order by receipt.
    pub version: Option<u64>,
    /// What it says.
    pub fields: Fields,
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The field as the contract names it, or `record` / `line` when it concerns the whole.
    pub field: String,
    /// A stable word for programs, for example `record_empty`.
    pub code: &'static str,
    /// What is wrong and what to do; it does not repeat the value.
    pub message: String,
}

impl RowError {
    /// Makes one.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        Self::invalid(error.field, error.message)
    }
}

impl InputRecord {
    /// Drops empty values, then checks the rest.
    ///
    /// # Errors
    /// The first thing wrong: too long, a NUL character, or nothing to recognise anybody by.
    pub fn checked(self) -> Result<Self, RowError> {
        let checked = self.checked_values()?;
        if names_somebody(&checked.fields) {
            return Ok(checked);
        }
        let message =
            "nothing to recognise anybody by; give at least one of name, email, phone, organization, external id";
        Err(RowError::new("record", "record_empty", message))
    }

    /// As [`Self::checked`], but a record that names nobody (a birthday and a city alone) passes.
    ///
    /// # Errors
    /// The first thing wrong: too long, or a NUL character.
    pub fn checked_values(mut self) -> Result<Self, RowError> {
        blank_to_none(&mut self.source_record_id);
        drop_empty(&mut self.fields);
        check_source("source", &self.source)?;
        if let Some(id) = &self.source_record_id {
            text("source_record_id", id, SOURCE_RECORD_ID_BYTES_MAX)?;
        }
        check_fields(&self.fields)?;
        Ok(self)
    }
}

/// Whether a text may name a source.
fn check_source(field: &str, source: &str) -> Result<(), RowError> {
    text(field, source, SOURCE_BYTES_MAX)?;
    if source.is_empty() || source.chars().any(char::is_control) {
        let message = "a source is 1 to 128 bytes without control characters, for example gmail";
        return Err(RowError::new(field, "source_invalid", message));
    }
    Ok(())
}

/// Checks bounds and characters of a record, empty values already dropped.
///
/// # Errors
/// The first thing wrong.
pub fn check_fields(fields: &Fields) -> Result<(), RowError> {
    let mut total = 0_usize;
    visit_texts(fields, &mut |field, value, max| {
        total = total.saturating_add(value.len()).saturating_add(8);
        text(&field(), value, max)
    })?;
    check_lists(fields)?;
    check_confidence(fields)?;
    if total > RECORD_BYTES_MAX {
        let message = format!(
            "the record has {total} bytes, at most {RECORD_BYTES_MAX} are allowed; shorten notes or attributes"
        );
        return Err(RowError::new("record", "record_too_large", message));
    }
    Ok(())
}

/// Whether at least one of name, email, phone, organization, external id is there.
pub fn names_somebody(fields: &Fields) -> bool {
    let names = [
        &fields.name,
        &fields.first_name,
        &fields.middle_name,
        &fields.last_name,
        &fields.nickname,
        &fields.organization,
    ];
    names.iter().any(|value| value.is_some())
        || !fields.emails.is_empty()
        || !fields.phones.is_empty()
        || !fields.external_ids.is_empty()
}

/// One text: no NUL, not longer than `max` bytes.
fn text(field: &str, value: &str, max: usize) -> Result<(), RowError> {
    if value.len() > max {
        let message = format!("{} bytes long, at most {max} are allowed; shorten it", value.len());
        return Err(RowError::new(field, "value_too_long", message));
    }
    if value.contains('\0') {
        let message = "contains a NUL character; remove it";
        return Err(RowError::new(field, "nul_character", message));
    }
    Ok(())
}

/// What [`visit_texts`] calls: a way to name the field, its value, its bound in bytes.
type Visitor<'v> = dyn FnMut(&dyn Fn() -> String, &str, usize) -> Result<(), RowError> + 'v;

/// Calls `visit` for every text of a record.
fn visit_texts(fields: &Fields, visit: &mut Visitor<'_>) -> Result<(), RowError> {
    for (name, value) in single_texts(fields) {
        if let Some(value) = value {
            let max = match name {
                "notes" => NOTES_BYTES_MAX,
                "attributes" => ATTRIBUTES_BYTES_MAX,
                _ => VALUE_BYTES_MAX,
            };
            visit(&|| name.to_owned(), value, max)?;
        }
    }
    for (index, email) in fields.emails.iter().enumerate() {
        let texts = [("value", Some(&email.value)), ("label", email.label.as_ref())];
        visit_parts("emails", index, &texts, visit)?;
    }
    for (index, phone) in fields.phones.iter().enumerate() {
        let texts =
            [("value", Some(&phone.value)), ("label", phone.label.as_ref()), ("extension", phone.extension.as_ref())];
        visit_parts("phones", index, &texts, visit)?;
    }
    for (index, address) in fields.addresses.iter().enumerate() {
        visit_parts("addresses", index, &address_texts(address), visit)?;
    }
    for (index, social) in fields.social.iter().enumerate() {
        let texts = [("service", Some(&social.service)), ("username", Some(&social.username))];
        visit_parts("social", index, &texts, visit)?;
    }
    for (index, id) in fields.external_ids.iter().enumerate() {
        let texts = [("system", Some(&id.system)), ("id", Some(&id.id))];
        visit_parts("external_ids", index, &texts, visit)?;
    }
    for (name, list) in [("urls", &fields.urls), ("tags", &fields.tags), ("groups", &fields.groups)] {
        for (index, value) in list.iter().enumerate() {
            visit(&|| format!("{name}[{index}]"), value, VALUE_BYTES_MAX)?;
        }
    }
    Ok(())
}

/// Calls `visit` for the parts of one list item.
fn visit_parts(
    list: &str,
    index: usize,
    parts: &[(&str, Option<&String>)],
    visit: &mut Visitor<'_>,
) -> Result<(), RowError> {
    for (part, value) in parts {
        if let Some(value) = value {
            visit(&|| format!("{list}[{index}].{part}"), value, VALUE_BYTES_MAX)?;
        }
    }
    Ok(())
}

/// The parts of an address with their names.
fn address_texts(address: &Address) -> [(&'static str, Option<&String>); 6] {
    [
        ("street", address.street.as_ref()),
        ("city", address.city.as_ref()),
        ("region", address.region.as_ref()),
        ("postal_code", address.postal_code.as_ref()),
        ("country", address.country.as_ref()),
        ("label", address.label.as_ref()),
    ]
}

/// The single texts of a record with their names.
fn single_texts(fields: &Fields) -> [(&'static str, Option<&String>); 22] {
    [
        ("name", fields.name.as_ref()),
        ("first_name", fields.first_name.as_ref()),
        ("middle_name", fields.middle_name.as_ref()),
        ("last_name", fields.last_name.as_ref()),
        ("nickname", fields.nickname.as_ref()),
        ("name_prefix", fields.name_prefix.as_ref()),
        ("name_suffix", fields.name_suffix.as_ref()),
        ("organization", fields.organization.as_ref()),
        ("job_title", fields.job_title.as_ref()),
        ("department", fields.department.as_ref()),
        ("company_domain", fields.company_domain.as_ref()),
        ("account_id", fields.account_id.as_ref()),
        ("birthday", fields.birthday.as_ref()),
        ("gender", fields.gender.as_ref()),
        ("notes", fields.notes.as_ref()),
        ("last_activity_at", fields.last_activity_at.as_ref()),
        ("first_seen", fields.first_seen.as_ref()),
        ("last_seen", fields.last_seen.as_ref()),
        ("category_code", fields.category_code.as_ref()),
        ("subcategory_code", fields.subcategory_code.as_ref()),
        ("relationship_category", fields.relationship_category.as_ref()),
        ("attributes", fields.attributes.as_ref()),
    ]
}

/// Lists are bounded.
fn check_lists(fields: &Fields) -> Result<(), RowError> {
    let lengths = [
        ("emails", fields.emails.len()),
        ("phones", fields.phones.len()),
        ("addresses", fields.addresses.len()),
        ("social", fields.social.len()),
        ("external_ids", fields.external_ids.len()),
        ("urls", fields.urls.len()),
        ("tags", fields.tags.len()),
        ("groups", fields.groups.len()),
    ];
    match lengths.iter().find(|(_, len)| *len > LIST_LEN_MAX) {
        Some((name, len)) => {
            let message = format!("{len} values, at most {LIST_LEN_MAX} are allowed; send fewer");
            Err(RowError::new(*name, "list_too_long", message))
        }
        None => Ok(()),
    }
}

/// A confidence lies between 0 and 1.
fn check_confidence(fields: &Fields) -> Result<(), RowError> {
    let emails = fields.emails.iter().map(|email| email.confidence);
    let phones = fields.phones.iter().map(|phone| phone.confidence);
    let all = emails.enumerate().map(|(i, c)| ("emails", i, c));
    for (list, index, confidence) in all.chain(phones.enumerate().map(|(i, c)| ("phones", i, c))) {
        if confidence.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            let field = format!("{list}[{index}].confidence");
            return Err(RowError::new(field, "confidence_range", "must lie between 0 and 1"));
        }
    }
    Ok(())
}

/// Empty or blank text means "not said".
fn blank_to_none(value: &mut Option<String>) {
    if value.as_ref().is_some_and(|text| text.trim().is_empty()) {
        *value = None;
    }
}

/// Removes empty values and empty list items.
fn drop_empty(fields: &mut Fields) {
    for value in [
        &mut fields.name,
        &mut fields.first_name,
        &mut fields.middle_name,
        &mut fields.last_name,
        &mut fields.nickname,
        &mut fields.name_prefix,
        &mut fields.name_suffix,
        &mut fields.organization,
        &mut fields.job_title,
        &mut fields.department,
        &mut fields.company_domain,
        &mut fields.account_id,
        &mut fields.birthday,
        &mut fields.gender,
        &mut fields.notes,
        &mut fields.last_activity_at,
        &mut fields.first_seen,
        &mut fields.last_seen,
        &mut fields.category_code,
        &mut fields.subcategory_code,
        &mut fields.relationship_category,
        &mut fields.attributes,
    ] {
        blank_to_none(value);
    }
    drop_empty_items(fields);
}

/// Removes list items without content.
fn drop_empty_items(fields: &mut Fields) {
    fields.emails.retain_mut(|email: &mut Email| {
        blank_to_none(&mut email.label);
        !email.value.trim().is_empty()
    });
    fields.phones.retain_mut(|phone: &mut Phone| {
        blank_to_none(&mut phone.label);
        blank_to_none(&mut phone.extension);
        !phone.value.trim().is_empty()
    });
    fields.addresses.retain_mut(|address| {
        let Address { street, city, region, postal_code, country, label } = address;
        for part in [&mut *street, &mut *city, &mut *region, &mut *postal_code, &mut *country, label] {
            blank_to_none(part);
        }
        [street, city, region, postal_code, country].iter().any(|part| part.is_some())
    });
    fields.social.retain(|social| !social.username.trim().is_empty());
    fields.external_ids.retain(|id| !id.id.trim().is_empty());
    for list in [&mut fields.urls, &mut fields.tags, &mut fields.groups] {
        list.retain(|value| !value.trim().is_empty());
    }
}
