//! Lists, feeds, reviews, imports and figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::engine::api::{
    Change, FeedEntry, ListQuery, MergeEntry, ReviewAnswer, ReviewEntry, SearchHit, SearchQuery, Stats,
};
use crate::error::{Error, Result};
use crate::http::wire::contact::{ContactOut, RecordOut};
use crate::http::wire::matching::{PartOut, parts};
use crate::http::wire::{id_texts, millis, time};

/// Items of a page where the question does not say.
const PAGE_DEFAULT: usize = 100;

/// Checks a page's size.
pub(crate) fn page_limit(given: Option<usize>, max: usize) -> Result<usize> {
    let limit = given.unwrap_or(PAGE_DEFAULT.min(max));
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::invalid("limit", format!("is {limit}; it may be 1 to {max}")))
}

/// A page of something.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageOut<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Send it as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// Filters of a list of contacts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Only contacts with this tag.
    tag: Option<String>,
    /// Only contacts in this group.
    group: Option<String>,
    /// Only contacts with a record of this source.
    source: Option<String>,
    /// Only contacts changed after this RFC 3339 time.
    updated_after: Option<String>,
    /// Items at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

impl ListParams {
    /// The engine's filters.
    pub(crate) fn query(self, page_max: usize) -> Result<ListQuery> {
        Ok(ListQuery {
            tag: self.tag,
            group: self.group,
            source: self.source,
            updated_after: self.updated_after.map(|text| millis("updated_after", &text)).transpose()?,
            limit: page_limit(self.limit, page_max)?,
            cursor: self.cursor,
        })
    }
}

/// Free-text search.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// Words, typed as far as they are; an email address or a phone number is looked up exactly.
    q: String,
    /// Only contacts with this tag.
    tag: Option<String>,
    /// Only contacts in this group.
    group: Option<String>,
    /// Only contacts with a record of this source.
    source: Option<String>,
    /// Only contacts changed after this RFC 3339 time.
    updated_after: Option<String>,
    /// Hits at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

impl SearchRequest {
    /// The engine's question.
    pub(crate) fn query(self, page_max: usize) -> Result<SearchQuery> {
        let list = ListParams {
            tag: self.tag,
            group: self.group,
            source: self.source,
            updated_after: self.updated_after,
            limit: self.limit,
            cursor: self.cursor,
        };
        Ok(SearchQuery { q: self.q, list: list.query(page_max)? })
    }
}

/// Hits, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchOut {
    /// The hits.
    pub(crate) items: Vec<HitOut>,
    /// Send it as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
    /// The seq that the text index covers; what is newer is added from memory.
    pub(crate) covered_seq: Option<u64>,
}

/// One hit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HitOut {
    /// The contact.
    contact: ContactOut,
    /// What was found, by field, with `<em>` around it.
    highlights: Vec<HighlightOut>,
}

/// Where a word was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HighlightOut {
    /// The field.
    field: String,
    /// Its text as HTML, with `<em>` around what was found.
    text: String,
}

impl From<&(String, String)> for HighlightOut {
    fn from((field, text): &(String, String)) -> Self {
        Self { field: field.clone(), text: text.clone() }
    }
}

impl From<&SearchHit> for HitOut {
    fn from(hit: &SearchHit) -> Self {
        let highlights = hit.highlights.iter().map(HighlightOut::from).collect();
        Self { contact: ContactOut::from(&hit.contact), highlights }
    }
}

/// The records of a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordsOut {
    /// Oldest first.
    pub(crate) records: Vec<RecordOut>,
}

/// What changed about a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryOut {
    /// Oldest first.
    pub(crate) changes: Vec<ChangeOut>,
    /// The seq from which on history is held.
    pub(crate) history_from: u64,
}

/// One change of one field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeOut {
    /// `created`, `updated`, `merged`, `unmerged`, `deleted`, `restored`.
    kind: String,
    /// The field; empty for changes of the whole contact.
    field: String,
    /// The value before; null: none.
    #[schema(value_type = Object)]
    old: Value,
    /// The value after; null: none.
    #[schema(value_type = Object)]
    new: Value,
    /// The source that said it.
    source: String,
    /// Who.
    actor: String,
    /// When.
    at: String,
    /// Which event.
    seq: u64,
    /// The survivorship rule.
    rule: String,
}

impl From<&Change> for ChangeOut {
    fn from(change: &Change) -> Self {
        let value = |text: &Option<String>| match text {
            None => Value::Null,
            Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        };
        Self {
            kind: change.kind.to_owned(),
            field: change.field.clone(),
            old: value(&change.old),
            new: value(&change.new),
            source: change.source.clone(),
            actor: change.actor.clone(),
            at: time(change.at),
            seq: change.seq.0,
            rule: change.rule.to_owned(),
        }
    }
}

/// The steps that built a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HowOut {
    /// Oldest first.
    pub(crate) steps: Vec<MergeOut>,
}

/// One merge, done or undone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MergeOut {
    /// For undoing it.
    merge_id: String,
    /// Who stays.
    survivor: String,
    /// Who redirects.
    losers: Vec<String>,
    /// When.
    at: String,
    /// Who: `resolver` for automatic ones.
    actor: String,
    /// Given by a person.
    reason: Option<String>,
    /// Match weight of the joining pair in bits; null for manual merges.
    weight_bits: Option<f64>,
    /// The joining pair of records; null for manual merges.
    pair: Option<Vec<String>>,
    /// When it was undone; null: it stands.
    undone_at: Option<String>,
}

impl From<&MergeEntry> for MergeOut {
    fn from(entry: &MergeEntry) -> Self {
        Self {
            merge_id: entry.merge_id.to_string(),
            survivor: entry.survivor.to_string(),
            losers: id_texts(&entry.losers),
            at: time(entry.at),
            actor: entry.actor.clone(),
            reason: entry.reason.clone(),
            weight_bits: entry.weight_bits,
            pair: entry.pair.map(|(left, right)| vec![left.to_string(), right.to_string()]),
            undone_at: entry.undone_at.map(time),
        }
    }
}

/// One question to a steward.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewOut {
    /// Its id.
    review_id: String,
    /// `open`, `same`, `different`, `unsure`, `withdrawn` (the question does not arise any more).
    status: String,
    /// Why it was not joined: `weak` or `veto`.
    reason: String,
    /// The pair's match probability.
    score: f64,
    /// What an answer is worth, by which the queue is sorted: the entropy of the probability that the two sides are one
    /// (1 bit at even odds, 0 when it is certain) times the pairs of records between them.
    value: f64,
    /// The pair's evidence in one word, by which reviews can be found and answered together: `+NAME+PHONE-BIRTHDAY`.
    match_key: String,
    /// Who is to answer it; null: nobody in particular.
    assignee: Option<String>,
    /// What somebody wrote down.
    note: Option<String>,
    /// The last answer; null: none yet. An open review has one where somebody was unsure and the evidence has changed.
    answer: Option<ReviewAnswerOut>,
    /// When it was opened.
    at: String,
    /// The left side.
    left: ReviewSide,
    /// The right side.
    right: ReviewSide,
    /// The pair's evidence.
    explanation: Option<Vec<PartOut>>,
}

/// What a steward said, beside the status.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewAnswerOut {
    /// When.
    at: String,
    /// Who.
    actor: String,
    /// Why.
    reason: Option<String>,
}

impl From<&ReviewAnswer> for ReviewAnswerOut {
    fn from(answer: &ReviewAnswer) -> Self {
        Self { at: time(answer.at), actor: answer.actor.clone(), reason: answer.reason.clone() }
    }
}

/// One side of a review.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewSide {
    /// The contact now.
    contact_id: String,
    /// Its record that raised the question.
    record_id: String,
    /// The golden contact; null when it is gone.
    contact: Option<ContactOut>,
}

impl ReviewOut {
    /// A review with both sides as they are now.
    pub(crate) fn new(entry: &ReviewEntry, left: Option<ContactOut>, right: Option<ContactOut>) -> Self {
        let side = |contact_id: String, record_id: String, contact| ReviewSide { contact_id, record_id, contact };
        Self {
            review_id: entry.review_id.to_string(),
            status: entry.status.to_owned(),
            reason: entry.reason.to_owned(),
            score: entry.score,
            value: entry.value,
            match_key: entry.match_key.clone(),
            assignee: entry.assignee.clone(),
            note: entry.note.clone(),
            answer: entry.answer.as_ref().map(ReviewAnswerOut::from),
            at: time(entry.at),
            left: side(entry.left.to_string(), entry.pair.0.to_string(), left),
            right: side(entry.right.to_string(), entry.pair.1.to_string(), right),
            explanation: entry.explanation.as_ref().map(parts),
        }
    }
}

/// A part of the change feed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangesOut {
    /// Oldest first.
    pub(crate) changes: Vec<FeedOut>,
    /// Send it as `after` for what comes next; always there.
    pub(crate) next_cursor: String,
    /// There is more already.
    pub(crate) truncated: bool,
}

/// One entry of the change feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FeedOut {
    /// `created`, `updated`, `merged`, `unmerged`, `split`, `deleted`, `restored`.
    pub(crate) kind: String,
    /// Contacts concerned, the survivor first. Empty when it is about accounts.
    pub(crate) contact_ids: Vec<String>,
    /// Accounts concerned, the survivor first. Missing when it is about contacts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) account_ids: Vec<String>,
    /// When.
    pub(crate) at: String,
    /// Its seq.
    pub(crate) seq: u64,
}

impl From<&FeedEntry> for FeedOut {
    fn from(entry: &FeedEntry) -> Self {
        let ids = id_texts(&entry.contacts);
        let (contact_ids, account_ids) = if entry.of_accounts { (Vec::new(), ids) } else { (ids, Vec::new()) };
        Self { kind: entry.kind.to_owned(), contact_ids, account_ids, at: time(entry.at), seq: entry.seq.0 }
    }
}

/// Figures of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsOut {
    /// Live contacts.
    contacts: u64,
    /// Live records.
    records: u64,
    /// Businesses.
    accounts: u64,
    /// Open reviews.
    reviews_open: u64,
    /// The model that decides.
    model: ModelInUse,
    /// The tenant's seq.
    seq: u64,
    /// When a write is acknowledged.
    durability: String,
    /// Estimated bytes by part.
    bytes: BTreeMap<String, u64>,
    /// Digest of the state: equal states, equal digests. Only where it was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    fingerprint: String,
}

/// The model that decides, and whether it still fits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelInUse {
    /// Its id; `default` is the shipped one.
    id: String,
    /// How many records it is for.
    records_max: u64,
    /// The tenant holds more.
    outgrown: bool,
    /// What to do about it; missing when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl ModelInUse {
    fn new(stats: &Stats) -> Self {
        let outgrown = stats.records > stats.model_records_max;
        let remedy = outgrown.then(|| {
            format!(
                "{} records are more than the {} that this model's prior is for, so namesakes join too easily: POST train, \
                 then activate what it gives",
                stats.records, stats.model_records_max
            )
        });
        Self { id: stats.model.to_string(), records_max: stats.model_records_max, outgrown, remedy }
    }
}

impl From<Stats> for StatsOut {
    fn from(stats: Stats) -> Self {
        Self {
            contacts: stats.contacts,
            records: stats.records,
            accounts: stats.accounts,
            reviews_open: stats.reviews_open,
            model: ModelInUse::new(&stats),
            seq: stats.seq.0,
            durability: stats.durability,
            bytes: stats.bytes.into_iter().map(|(part, bytes)| (part.to_owned(), bytes)).collect(),
            fingerprint: stats.fingerprint,
        }
    }
}

/// An import, running or over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportOut {
    /// Its id.
    pub(crate) import_id: String,
    /// `done`, `running`, `failed` (what was acknowledged stays), or `interrupted` (the server stopped).
    pub(crate) status: String,
    /// The source of records that name none.
    pub(crate) source: String,
    /// What its records are about: `contacts` or `accounts`.
    pub(crate) entity: String,
    /// Nothing was written.
    pub(crate) dry_run: bool,
    /// When it began.
    pub(crate) started_at: String,
    /// When it ended; null while it runs or if it never did.
    pub(crate) finished_at: Option<String>,
    /// Why it stopped before the end of its input; null: it did not.
    pub(crate) error: Option<String>,
    /// Rows acknowledged.
    pub(crate) rows: u64,
    /// New contacts.
    pub(crate) created: u64,
    /// Known records with new content.
    pub(crate) updated: u64,
    /// Nothing new.
    pub(crate) unchanged: u64,
    /// Older than what is stored.
    pub(crate) stale: u64,
    /// Joined a known contact.
    pub(crate) merged: u64,
    /// A new contact and a question to a steward.
    pub(crate) review: u64,
    /// The source said something else under the same version and time.
    pub(crate) conflict: u64,
    /// Not usable; the report says why.
    pub(crate) invalid: u64,
}

/// What a snapshot took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SnapshotOut {
    /// The journal's seq that it is as of.
    pub(crate) seq: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) millis: u64,
    /// How long it kept writers waiting, measured inside.
    pub(crate) blocked_micros: u64,
    /// Its file in the data directory.
    pub(crate) file: String,
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusOut {
    /// This build.
    pub(crate) version: String,
    /// Writes are taken. False after a failed sync, until a restart.
    pub(crate) writable: bool,
    /// When a write is acknowledged.
    pub(crate) durability: String,
    /// What is written to disk is sealed.
    pub(crate) encryption: bool,
    /// Tenants.
    pub(crate) tenants: u64,
    /// Live contacts of all tenants.
    pub(crate) contacts: u64,
    /// Live records of all tenants.
    pub(crate) records: u64,
    /// Imports running.
    pub(crate) imports_running: u64,
    /// API keys that open something now, those of the configuration included.
    pub(crate) keys: u64,
    /// Seconds since the server began to listen.
    pub(crate) uptime_seconds: u64,
}

/// One tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantOut {
    /// Its name.
    pub(crate) tenant: String,
    /// Live contacts.
    pub(crate) contacts: u64,
    /// Live records.
    pub(crate) records: u64,
    /// Its seq.
    pub(crate) seq: u64,
}
