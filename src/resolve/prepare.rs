//! From what a caller sent to what can be decided on: normalised, hashed, keyed. Pure, and done before the queue.

use std::sync::Arc;

use crate::formats::{AccountRecord, InputRecord, schema};
use crate::model::account::Business;
use crate::model::event::v1::{BusinessV1, FieldsV1};
use crate::model::event::{RecordPut, v1};
use crate::model::ids::{EntityId, Millis, RecordId, RecordKey};
use crate::model::issue::Issue;
use crate::model::normalized::Normalized;
use crate::model::record::{Fields, Record};
use crate::normalize::Normalizer;

/// A record that waits for its decision.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// As the source said it.
    pub record: Record,
    /// What normalising read.
    pub normalized: Normalized,
    /// Digest of the fields.
    pub content_hash: u128,
    /// Remarks of normalising.
    pub issues: Vec<Issue>,
    /// A manual edit's contact.
    pub anchor: Option<EntityId>,
    /// What a manual edit took away.
    pub suppressed: Vec<(String, String)>,
    /// What only a business has; missing: a person's record.
    pub business: Option<Business>,
}

impl Prepared {
    /// The put that stores it.
    pub fn put(&self, record_id: RecordId, at: Millis, actor: &str, stale: bool) -> RecordPut {
        RecordPut {
            record_id,
            record: self.record.clone(),
            normalized: self.normalized.clone(),
            content_hash: self.content_hash,
            received_at: at,
            actor: actor.to_owned(),
            stale,
            anchor: self.anchor,
            suppressed: self.suppressed.clone(),
        }
    }
}

/// Normalises a record. `secret` keys the hash that names a record whose source has no id for it.
pub fn prepare(mut input: InputRecord, normalizer: &Arc<Normalizer>, secret: &[u8; 32]) -> Prepared {
    let (normalized, mut issues) = normalizer.normalize(&input.fields);
    schema::check(&input.fields, &mut issues);
    issues.extend(normalizer.doubts(&input.fields));
    let source_record_id = input.source_record_id.unwrap_or_else(|| content_name(&normalized, secret));
    let mut said = Vec::new();
    if normalizer.is_masked() {
        // From here on nothing knows the identifiers themselves.
        (input.fields.emails, input.fields.phones) = (Vec::new(), Vec::new());
        said.extend(normalized.emails.iter().map(|email| ("emails".to_owned(), email.delivered.clone())));
        said.extend(normalized.phones.iter().map(|phone| ("phones".to_owned(), phone.e164.clone())));
    }
    let content_hash = content_hash(&input.fields, &said);
    let key = RecordKey { source: input.source.into(), source_record_id: source_record_id.into() };
    let record =
        Record { key, source_updated_at: input.source_updated_at, version: input.version, fields: input.fields };
    Prepared { record, normalized, content_hash, issues, anchor: None, suppressed: Vec::new(), business: None }
}

/// A put that is only laid over: of no record, at no time. It has no digest of its content, and nobody sees its remarks.
pub fn prepare_asked(mut input: InputRecord, normalizer: &Normalizer) -> RecordPut {
    let (normalized, _) = normalizer.normalize(&input.fields);
    if normalizer.is_masked() {
        (input.fields.emails, input.fields.phones) = (Vec::new(), Vec::new());
    }
    let key =
        RecordKey { source: input.source.into(), source_record_id: input.source_record_id.unwrap_or_default().into() };
    let record =
        Record { key, source_updated_at: input.source_updated_at, version: input.version, fields: input.fields };
    RecordPut {
        record_id: RecordId(0),
        record,
        normalized,
        content_hash: 0,
        received_at: Millis(0),
        actor: String::new(),
        stale: false,
        anchor: None,
        suppressed: Vec::new(),
    }
}

/// The same for a record of a business.
pub fn prepare_account(input: AccountRecord, normalizer: &Arc<Normalizer>, secret: &[u8; 32]) -> Prepared {
    let AccountRecord { record, mut business } = input;
    let issues_of_business = normalizer.business(&record.fields, &mut business);
    let named = record.source_record_id.is_some();
    let mut prepared = prepare(record, normalizer, secret);
    if !named {
        prepared.record.key.source_record_id = account_name(&business, &prepared.normalized, secret).into();
    }
    prepared.content_hash = with_business(prepared.content_hash, &business);
    prepared.issues =
        issues_of_business.into_iter().chain(prepared.issues.into_iter().filter_map(of_business)).collect();
    prepared.business = Some(business);
    prepared
}

/// The digest of what a record of a business says, from that of its fields.
pub fn with_business(content_hash: u128, business: &Business) -> u128 {
    let said = v1::to_bytes(&BusinessV1::from(business.clone()));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&content_hash.to_le_bytes()).update(&said);
    first_half(&hasher.finalize())
}

/// Issues of the fields that people and businesses share, under the names that account records have for them. A domain's
/// are told by [`Normalizer::business`].
fn of_business(issue: Issue) -> Option<Issue> {
    match issue.field.as_str() {
        "company_domain" => None,
        "organization" => Some(Issue { field: "name".to_owned(), ..issue }),
        _ => Some(issue),
    }
}

/// A name for a business' record that came without one: a keyed hash of its names, domains, places and identifiers.
fn account_name(business: &Business, normalized: &Normalized, secret: &[u8; 32]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    let mut part = |kind: u8, text: &str| {
        hasher.update(&[kind]).update(text.as_bytes()).update(&[0]);
    };
    business.names.iter().for_each(|name| part(6, name));
    business.domains.iter().for_each(|domain| part(7, domain));
    business.places.iter().for_each(|place| part(8, &format!("{}\0{}", place.country, place.city)));
    normalized.phones.iter().for_each(|phone| part(4, &phone.e164));
    normalized.external_ids.iter().for_each(|(system, id)| part(5, &format!("{system}\0{id}")));
    format!("auto-{:032x}", first_half(&hasher.finalize()))
}

/// Digest of what a record says; equal content, equal digest, in any process.
pub fn content_hash(fields: &Fields, suppressed: &[(String, String)]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&v1::to_bytes(&FieldsV1::from(fields.clone())));
    for (field, value) in suppressed {
        hasher.update(field.as_bytes()).update(&[0]).update(value.as_bytes()).update(&[0]);
    }
    first_half(&hasher.finalize())
}

fn first_half(hash: &blake3::Hash) -> u128 {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    u128::from_le_bytes(half)
}

/// A name for a record that came without one: a keyed hash of its full name and identifiers.
fn content_name(normalized: &Normalized, secret: &[u8; 32]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    let mut part = |kind: u8, text: &str| {
        hasher.update(&[kind]).update(text.as_bytes()).update(&[0]);
    };
    part(1, &normalized.name.own_script);
    if normalized.name.own_script.is_empty() {
        normalized.organization.iter().flat_map(|org| &org.tokens).for_each(|token| part(2, token));
    }
    normalized.emails.iter().for_each(|email| part(3, &email.canonical));
    normalized.phones.iter().for_each(|phone| part(4, &phone.e164));
    normalized.external_ids.iter().for_each(|(system, id)| part(5, &format!("{system}\0{id}")));
    format!("auto-{:032x}", first_half(&hasher.finalize()))
}
