//! Businesses and who belongs to them, as JSON. [`ask`] has the questions about them and their answers.

pub(crate) mod ask;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::accounts::{Account, AccountRecordView, Link, Said};
use crate::engine::api::{RecordHead, ReviewEntry, UpsertResult};
use crate::error::{Error, Result};
use crate::formats::AccountInput;
use crate::formats::json::{AddressInput, ExternalIdInput, PhoneInput, RecordInput};
use crate::http::wire::contact::{ProvenanceOut, RecordRef};
use crate::http::wire::write::{DecisionIn, ModeIn, WriteBody};
use crate::http::wire::{IssueOut, id_texts, time};
use crate::model::record::Fields;
use crate::resolve::edit::MANUAL_SOURCE;

/// Bytes of a role at most.
const ROLE_BYTES_MAX: usize = 255;

macro_rules! keyed {
    ($($name:ident),*) => {
        $(impl WriteBody for $name {
            fn idempotency_key(&self) -> Option<&str> {
                self.idempotency_key.as_deref()
            }
        })*
    };
}

keyed!(AccountUpsertRequest, AccountMergeRequest, AccountDecisionRequest);

/// Puts one account record or many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountUpsertRequest {
    /// One record; or `records`.
    pub(crate) record: Option<AccountInput>,
    /// At most 1,000 records, decided one after the other; or `record`.
    pub(crate) records: Option<Vec<AccountInput>>,
    /// `merge` (default) resolves; `strict` refuses a new record whose domain (without one: name, country and city) an
    /// account holds.
    #[serde(default)]
    pub(crate) mode: ModeIn,
    /// Decide and answer, but write nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// What became of the records of an upsert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountUpsertAnswer {
    /// One for each record, in order.
    pub(crate) results: Vec<AccountUpsertOut>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// What became of one account record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountUpsertOut {
    /// `created`, `updated`, `unchanged`, `stale`, `merged`, `review`, `conflict` or `invalid`.
    outcome: String,
    /// Its account; on `conflict` the holder; null when `invalid`.
    account_id: Option<String>,
    /// The record.
    record_id: Option<String>,
    /// How sure the best join or question is, 0 to 1.
    score: Option<f64>,
    /// Accounts that changed.
    affected: Vec<String>,
    /// Remarks on its fields.
    issues: Vec<IssueOut>,
}

impl From<&UpsertResult> for AccountUpsertOut {
    fn from(result: &UpsertResult) -> Self {
        Self {
            outcome: result.outcome.word().to_owned(),
            account_id: result.contact_id.map(|id| id.to_string()),
            record_id: result.record_id.map(|id| id.to_string()),
            score: result.score,
            affected: id_texts(&result.affected),
            issues: result.issues.iter().map(IssueOut::from).collect(),
        }
    }
}

/// Says that accounts are one business.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountMergeRequest {
    /// At least two.
    pub(crate) account_ids: Vec<String>,
    /// Whose id stays; missing: the oldest.
    pub(crate) survivor: Option<String>,
    /// For the record.
    pub(crate) reason: Option<String>,
    /// Answer only.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// A merge done, or what it would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountMergeAnswer {
    /// For undoing it (`POST merges/{merge_id}/undo`); null on a dry run.
    pub(crate) merge_id: Option<String>,
    /// Whose id stays.
    pub(crate) survivor: String,
    /// Whose ids redirect from now on.
    pub(crate) losers: Vec<String>,
    /// The survivor; on a dry run as it is now.
    pub(crate) account: Option<AccountOut>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// The accounts that there are after a split.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountParts {
    /// Their ids.
    pub(crate) accounts: Vec<String>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// Answers a question about two accounts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountDecisionRequest {
    /// Which.
    pub(crate) review_id: String,
    /// The same business, different ones, or cannot tell.
    pub(crate) decision: DecisionIn,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// A question about two accounts that look alike and were not joined.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountReviewOut {
    /// Its id.
    review_id: String,
    /// One account.
    left: String,
    /// The other.
    right: String,
    /// How alike the two records are that ask, 0 to 1.
    score: f64,
    /// `veto`: the same name and place, but conflicting domains or several candidates; `weak`: alike, not sure.
    reason: String,
    /// `open` or `unsure`.
    status: String,
    /// When it was opened.
    at: String,
}

impl From<&ReviewEntry> for AccountReviewOut {
    fn from(review: &ReviewEntry) -> Self {
        Self {
            review_id: review.review_id.to_string(),
            left: review.left.to_string(),
            right: review.right.to_string(),
            score: review.score,
            reason: review.reason.to_owned(),
            status: review.status.to_owned(),
            at: time(review.at),
        }
    }
}

/// What accounts have as contacts do.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SharedOut {
    /// Phone numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phones: Vec<PhoneInput>,
    /// Postal addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<AddressInput>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Ids in other systems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_ids: Vec<ExternalIdInput>,
    /// The application's own JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    attributes: Option<Value>,
}

impl From<&Fields> for SharedOut {
    fn from(fields: &Fields) -> Self {
        let said = RecordInput::from_fields(fields);
        let RecordInput { phones, addresses, tags, external_ids, attributes, .. } = said;
        Self { phones, addresses, tags, external_ids, attributes }
    }
}

/// A golden account: what its records say together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountOut {
    /// Its id; opaque, never reused.
    account_id: String,
    /// Its name; its domain where nobody named it; else empty.
    name: String,
    /// The domain as its record said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// The registrable domain, the account's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_normalized: Option<String>,
    /// Its other registrable domains, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alternate_domains: Vec<String>,
    /// Domains that another live account has too, since people judged the two different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shared_domains: Vec<String>,
    /// Names it had before, in the order in which they were first said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    previous_names: Vec<String>,
    /// Industry.
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    /// Technologies, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    technologies: Vec<String>,
    #[serde(flatten)]
    shared: SharedOut,
    /// Where each value came from, by field.
    provenance: BTreeMap<String, ProvenanceOut>,
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
}

impl From<&Account> for AccountOut {
    fn from(account: &Account) -> Self {
        let golden = &account.golden;
        let provenance = golden.shared.provenance.iter().map(|(field, from)| (field_name(field), from.into()));
        Self {
            account_id: account.id.to_string(),
            name: golden.name.clone(),
            domain: golden.shared.fields.company_domain.clone(),
            domain_normalized: golden.domain_normalized.clone(),
            alternate_domains: golden.alternate_domains.clone(),
            shared_domains: account.shared.clone(),
            previous_names: golden.previous_names.clone(),
            industry: golden.industry.clone(),
            technologies: golden.technologies.clone(),
            shared: SharedOut::from(&golden.shared.fields),
            provenance: provenance.collect(),
            records: account.records.iter().map(RecordRef::from).collect(),
            sources: account.sources.clone(),
            version: account.version,
            created_at: time(account.created_at),
            updated_at: time(account.updated_at),
            last_updated_by: account.last_updated_by.clone(),
            seq: account.seq.0,
            deleted: account.deleted,
        }
    }
}

/// A field as account records call it.
pub(crate) fn field_name(field: &str) -> String {
    match field {
        "organization" => "name".to_owned(),
        "company_domain" => "domain".to_owned(),
        other => other.to_owned(),
    }
}

/// The records of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountRecordsOut {
    /// Oldest first.
    pub(crate) records: Vec<AccountRecordOut>,
}

/// An account record, as its source said it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountRecordOut {
    /// The record.
    record_id: String,
    /// When it was received last.
    ingested_at: String,
    #[serde(flatten)]
    said: AccountInput,
}

impl From<&AccountRecordView> for AccountRecordOut {
    fn from(record: &AccountRecordView) -> Self {
        let RecordHead { record_id, key, ingested_at } = record.head.clone();
        let (fields, business) = (&record.fields, record.business.clone());
        let SharedOut { phones, addresses, tags, external_ids, attributes } = SharedOut::from(fields);
        let said = AccountInput {
            source: Some(key.source.to_string()),
            source_record_id: Some(key.source_record_id.to_string()),
            source_updated_at: record.source_updated_at.map(time),
            version: record.version,
            name: fields.organization.clone(),
            domain: fields.company_domain.clone(),
            alternate_domains: business.alternate_domains,
            previous_names: business.previous_names,
            industry: business.industry,
            technologies: business.technologies,
            phones,
            addresses,
            tags,
            external_ids,
            attributes,
        };
        Self { record_id: record_id.to_string(), ingested_at: time(ingested_at), said }
    }
}

/// An account with its records in full: a line of the export.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExportedAccount {
    /// Its id.
    account_id: String,
    /// Its name; its domain where nobody named it; else empty.
    name: String,
    /// The registrable domain, the account's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Its other registrable domains, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    alternate_domains: Vec<String>,
    /// Names it had before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    previous_names: Vec<String>,
    /// Industry.
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    /// Technologies, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    technologies: Vec<String>,
    #[serde(flatten)]
    shared: SharedOut,
    /// Its records in full, oldest first; edits by hand are left out, as they are of this account alone.
    records: Vec<AccountRecordOut>,
    /// When it was first seen.
    created_at: String,
    /// When it changed last.
    updated_at: String,
    /// The tenant's seq of the last change.
    seq: u64,
}

impl ExportedAccount {
    /// A line of the export; `records` are the account's records in full.
    pub(crate) fn new(account: &Account, records: &[AccountRecordView]) -> Self {
        let golden = &account.golden;
        let of_a_source = |record: &&AccountRecordView| *record.head.key.source != *MANUAL_SOURCE;
        Self {
            account_id: account.id.to_string(),
            name: golden.name.clone(),
            domain: golden.domain_normalized.clone(),
            alternate_domains: golden.alternate_domains.clone(),
            previous_names: golden.previous_names.clone(),
            industry: golden.industry.clone(),
            technologies: golden.technologies.clone(),
            shared: SharedOut::from(&golden.shared.fields),
            records: records.iter().filter(of_a_source).map(AccountRecordOut::from).collect(),
            created_at: time(account.created_at),
            updated_at: time(account.updated_at),
            seq: account.seq.0,
        }
    }
}

/// An account that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountDeleted {
    /// Its id.
    pub(crate) account_id: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// Says that a person belongs to a business; no body: nothing more than that. What is left out is taken away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelationRequest {
    /// What the person is there, for example `CTO`; 1 to 255 bytes.
    pub(crate) role: Option<String>,
    /// Since when: a date (`2026-01-27`) or an RFC 3339 time.
    pub(crate) since: Option<String>,
    /// Until when, not before `since`.
    pub(crate) until: Option<String>,
    /// The person's main account. One of a contact's is: the one that was last said to be.
    #[serde(default)]
    pub(crate) primary: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for RelationRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    fn when_empty() -> Option<Self> {
        Some(Self::default())
    }
}

impl RelationRequest {
    /// Checks every value.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub(crate) fn checked(self) -> Result<Said> {
        if let Some(role) = &self.role
            && (role.is_empty() || role.len() > ROLE_BYTES_MAX || role.chars().any(char::is_control))
        {
            let reason = format!("use 1 to {ROLE_BYTES_MAX} bytes without control characters, or leave it out");
            return Err(Error::invalid("role", reason));
        }
        let since = self.since.as_deref().map(|text| moment("since", text)).transpose()?;
        let until = self.until.as_deref().map(|text| moment("until", text)).transpose()?;
        if since.zip(until).is_some_and(|(since, until)| until < since) {
            return Err(Error::invalid("until", "is before since; turn them round or leave one out"));
        }
        Ok(Said { role: self.role, since: self.since, until: self.until, primary: self.primary })
    }
}

/// The day of a date or a time.
fn moment(field: &str, text: &str) -> Result<Date> {
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let time = || text.parse::<Timestamp>().ok().map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).date());
    let reason = "is neither a date like 2026-01-27 nor a time like 2026-01-27T10:00:00Z";
    day().or_else(time).ok_or_else(|| Error::invalid(field, reason))
}

/// A person and a business that belong together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RelationOut {
    /// The person.
    pub(crate) contact_id: String,
    /// The business.
    pub(crate) account_id: String,
    /// Why, the strongest ground: `manual` (registered), `record` (a record of the person names the account) or
    /// `email_domain` (a mail address at a domain of the account; never a free-mail domain).
    basis: String,
    /// What the person is there, if registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// It is the person's main account.
    primary: bool,
    /// When it was registered; missing: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<String>,
    /// Who registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_by: Option<String>,
    /// The name of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl RelationOut {
    /// With the name of the other end.
    pub(crate) fn named(self, name: Option<String>) -> Self {
        Self { name: name.filter(|name| !name.is_empty()), ..self }
    }
}

impl From<&Link> for RelationOut {
    fn from(link: &Link) -> Self {
        let put = link.put.as_deref();
        Self {
            contact_id: link.contact.to_string(),
            account_id: link.account.to_string(),
            basis: link.basis.word().to_owned(),
            role: put.and_then(|put| put.role.clone()),
            since: put.and_then(|put| put.since.clone()),
            until: put.and_then(|put| put.until.clone()),
            primary: link.primary,
            registered_at: put.map(|put| time(put.at)),
            registered_by: put.map(|put| put.actor.clone()),
            name: None,
        }
    }
}

/// A relation after a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RelationAnswer {
    #[serde(flatten)]
    pub(crate) relation: RelationOut,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A relation that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RelationGone {
    /// The person.
    pub(crate) contact_id: String,
    /// The business.
    pub(crate) account_id: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// The businesses of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RelationsOut {
    /// By account id.
    pub(crate) items: Vec<RelationOut>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_relation_is_checked() {
        let field = |json: &str| {
            let request: RelationRequest = serde_json::from_str(json).unwrap();
            match request.checked() {
                Ok(_) => None,
                Err(Error::Invalid { field, .. }) => Some(field),
                Err(other) => panic!("{other}"),
            }
        };
        for (json, named) in [
            (r#"{}"#, None),
            (r#"{"role": "CTO", "since": "2020-01-01", "until": "2020-01-01T09:00:00Z", "primary": true}"#, None),
            (r#"{"role": ""}"#, Some("role")),
            (r#"{"role": "a\nb"}"#, Some("role")),
            (r#"{"since": "last year"}"#, Some("since")),
            (r#"{"since": "2020-02-30"}"#, Some("since")),
            (r#"{"since": "2020-01-02", "until": "2020-01-01"}"#, Some("until")),
        ] {
            assert_eq!(field(json).as_deref(), named, "{json}");
        }
        assert_eq!(field(&format!(r#"{{"role": "{}"}}"#, "r".repeat(256))).as_deref(), Some("role"));
    }
}
