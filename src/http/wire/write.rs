//! Writes: what is asked and what became of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::api::{Decision, Mode, UpsertResult};
use crate::formats::json::RecordInput;
use crate::http::wire::contact::ContactOut;
use crate::http::wire::{IssueOut, id_texts};

/// A write's body; each may carry the key that makes a retry safe.
pub(crate) trait WriteBody: serde::de::DeserializeOwned {
    /// The content types it may come as.
    const CONTENT_TYPES: &'static [&'static str] = &["application/json"];

    /// The `idempotency_key` of the body.
    fn idempotency_key(&self) -> Option<&str> {
        None
    }

    /// What no body at all means; `None`: a body is needed.
    fn when_empty() -> Option<Self> {
        None
    }
}

macro_rules! keyed {
    ($($name:ident),*) => {
        $(impl WriteBody for $name {
            fn idempotency_key(&self) -> Option<&str> {
                self.idempotency_key.as_deref()
            }
        })*
    };
}

keyed!(UpsertRequest, MergeRequest, SplitRequest, DecisionRequest, DecideRequest, RecordDeleteRequest);

/// Puts one record or many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpsertRequest {
    /// One record; or `records`.
    pub(crate) record: Option<RecordInput>,
    /// At most 1,000 records, decided one after the other; or `record`.
    pub(crate) records: Option<Vec<RecordInput>>,
    /// `merge` (default) resolves; `strict` refuses emails and external ids that another contact holds.
    #[serde(default)]
    pub(crate) mode: ModeIn,
    /// Decide and answer, but write nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// How a record that looks like somebody known is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeIn {
    /// Resolve: join above the threshold, review in between.
    #[default]
    Merge,
    /// Refuse when an email or external id is held by another contact.
    Strict,
}

impl From<ModeIn> for Mode {
    fn from(mode: ModeIn) -> Self {
        match mode {
            ModeIn::Merge => Self::Merge,
            ModeIn::Strict => Self::Strict,
        }
    }
}

/// What became of the records of an upsert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpsertAnswer {
    /// One for each record, in order.
    pub(crate) results: Vec<UpsertOut>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// What became of one record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpsertOut {
    /// `created`, `updated`, `unchanged`, `stale`, `merged`, `review`, `conflict` or `invalid`.
    pub(crate) outcome: String,
    /// Its contact; on a `conflict` with the issue `identifier_taken` the holder; null when `invalid`.
    pub(crate) contact_id: Option<String>,
    /// The record.
    pub(crate) record_id: Option<String>,
    /// Match probability of the best join or review, 0 to 1.
    pub(crate) score: Option<f64>,
    /// Contacts that changed.
    pub(crate) affected: Vec<String>,
    /// Remarks on its fields.
    pub(crate) issues: Vec<IssueOut>,
}

impl From<&UpsertResult> for UpsertOut {
    fn from(result: &UpsertResult) -> Self {
        Self {
            outcome: result.outcome.word().to_owned(),
            contact_id: result.contact_id.map(|id| id.to_string()),
            record_id: result.record_id.map(|id| id.to_string()),
            score: result.score,
            affected: id_texts(&result.affected),
            issues: result.issues.iter().map(IssueOut::from).collect(),
        }
    }
}

/// Says that contacts are one person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeRequest {
    /// At least two.
    pub(crate) contact_ids: Vec<String>,
    /// Whose id stays; missing: the oldest.
    pub(crate) survivor: Option<String>,
    /// For the record; not personal data.
    pub(crate) reason: Option<String>,
    /// Answer only.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// A merge done, or what it would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MergeAnswer {
    /// For undoing it; null on a dry run.
    pub(crate) merge_id: Option<String>,
    /// Whose id stays.
    pub(crate) survivor: String,
    /// Whose ids redirect from now on.
    pub(crate) losers: Vec<String>,
    /// The survivor; on a dry run as it is now.
    pub(crate) contact: Option<ContactOut>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// Takes records out of a contact, for good.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitRequest {
    /// Which records.
    pub(crate) record_ids: Vec<String>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// The contacts that there are after an undo or a split.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartsAnswer {
    /// Their ids. Empty after the undo of a merge of accounts.
    pub(crate) contacts: Vec<String>,
    /// The accounts that there are after the undo of a merge of accounts; missing otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) accounts: Vec<String>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// Answers a review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionRequest {
    /// The same person, different people, or cannot tell.
    pub(crate) decision: DecisionIn,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// Assigns a review or writes a note on it: a JSON merge patch, so what is left out stays, and null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewPatch {
    /// Who is to answer it, 1 to 128 bytes.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    pub(crate) assignee: Option<Option<String>>,
    /// Free text, 1 to 4,096 bytes.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    pub(crate) note: Option<Option<String>>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// Tells null, which is `Some(None)`, from a field that is left out.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl WriteBody for ReviewPatch {
    const CONTENT_TYPES: &'static [&'static str] = &["application/json", "application/merge-patch+json"];

    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

/// Answers several reviews alike: those named by id, or all open ones with a match key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecideRequest {
    /// Which reviews, at most 1,000; or `pattern`.
    pub(crate) review_ids: Option<Vec<String>>,
    /// The open reviews with this match key, for example `+NAME+PHONE-BIRTHDAY`; or `review_ids`. Those that somebody
    /// answered `unsure` are left alone.
    pub(crate) pattern: Option<String>,
    /// With a pattern: only those whose pair is at least this probable.
    pub(crate) min_score: Option<f64>,
    /// With a pattern: only those of this assignee; empty: of nobody.
    pub(crate) assignee: Option<String>,
    /// With a pattern: where more reviews have it, nothing is decided, 1 to 1,000. Default 100.
    pub(crate) max: Option<usize>,
    /// Says which reviews it would answer and answers none.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// The same person, different people, or cannot tell.
    pub(crate) decision: DecisionIn,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// What a steward says.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecisionIn {
    /// The same person.
    Same,
    /// Different people.
    Different,
    /// Cannot tell: it goes to the end of the queue and is asked as open again when the evidence changes.
    Unsure,
}

impl From<DecisionIn> for Decision {
    fn from(decision: DecisionIn) -> Self {
        match decision {
            DecisionIn::Same => Self::Same,
            DecisionIn::Different => Self::Different,
            DecisionIn::Unsure => Self::Unsure,
        }
    }
}

/// What became of several reviews.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecideAnswer {
    /// One for each review, in the order of the ids, or of the queue.
    pub(crate) results: Vec<DecidedOut>,
    /// How many reviews were meant.
    pub(crate) count: usize,
    /// More have the pattern than a dry run lists.
    pub(crate) truncated: bool,
    /// Nothing was decided.
    pub(crate) dry_run: bool,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// What became of one review.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecidedOut {
    /// The review.
    pub(crate) review_id: String,
    /// Contacts that changed.
    pub(crate) affected: Vec<String>,
    /// The stable word of the problem, when it could not be decided; missing: it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// What to do about the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// A source's tombstone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordDeleteRequest {
    /// The source.
    pub(crate) source: String,
    /// The source's id for the record.
    pub(crate) source_record_id: String,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

/// The contacts that changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AffectedAnswer {
    /// Their ids.
    pub(crate) affected: Vec<String>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A contact that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedAnswer {
    /// Its id.
    pub(crate) contact_id: String,
    /// For `GET erasures/{id}`, when it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) erase_id: Option<String>,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A write without parameters: no body, or an empty object.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for Nothing {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    fn when_empty() -> Option<Self> {
        Some(Self::default())
    }
}
