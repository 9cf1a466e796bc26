//! Questions about businesses and their answers: match, why, how, search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::engine::accounts::{
    AccountCandidate, AccountFilter, AccountHit, AccountMatch, AccountQuery, AccountSide, AccountStep, AccountWhy,
};
use crate::engine::api::Verdict;
use crate::error::{Error, Result};
use crate::formats::json::from_value;
use crate::formats::{AccountInput, AccountRecord};
use crate::http::wire::accounts::AccountOut;
use crate::http::wire::read::{HighlightOut, MergeOut, page_limit};
use crate::http::wire::{id, ids, millis};
use crate::resolve::change::{AccountEvidence, AccountPart};

/// Candidates of one match at most.
const LIMIT_MAX: usize = 100;
/// Candidates of one match where the question does not say.
const LIMIT_DEFAULT: usize = 10;
/// Accounts that may be left out at most.
const EXCLUDE_MAX: usize = 1_000;

/// Asks which account this is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountMatchRequest {
    /// The business asked about, as an account record.
    pub(crate) account: AccountInput,
    /// At most this many candidates, 1 to 100. Default 10.
    pub(crate) limit: Option<usize>,
    /// Candidates below this are left out, 0 to 1. Default 0.7, from which people are asked; nothing below it is found.
    pub(crate) threshold: Option<f64>,
    /// Accounts to leave out, at most 1,000.
    pub(crate) exclude: Option<Vec<String>>,
}

impl AccountMatchRequest {
    /// The engine's question; `at` is the path of this one in the request, empty or with a dot at its end.
    pub(crate) fn query(self, at: &str) -> Result<AccountQuery> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid(format!("{at}limit"), format!("is {limit}; it may be 1 to {LIMIT_MAX}")));
        }
        let threshold = self.threshold.unwrap_or(crate::matching::account::REVIEW);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::invalid(format!("{at}threshold"), "must be a probability, 0 to 1"));
        }
        let exclude = self.exclude.unwrap_or_default();
        if exclude.len() > EXCLUDE_MAX {
            return Err(Error::invalid(format!("{at}exclude"), format!("has more than {EXCLUDE_MAX} accounts")));
        }
        let exclude = ids(&format!("{at}exclude"), &exclude)?;
        Ok(AccountQuery { asked: inline(self.account, &format!("{at}account"))?, limit, threshold, exclude })
    }
}

/// An inline record; what is wrong with it is named below `at`.
pub(crate) fn inline(input: AccountInput, at: &str) -> Result<AccountRecord> {
    input.into_checked("api").map_err(|error| Error::invalid(format!("{at}.{}", error.field), error.message))
}

/// Several questions at once. What a question does not say itself is taken from here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountMatchBatchRequest {
    /// At most 1,000 questions, by the caller's own names.
    pub(crate) queries: BTreeMap<String, AccountMatchRequest>,
    /// Candidates of each at most, 1 to 100. Default 10.
    limit: Option<usize>,
    /// Candidates below this are left out, 0 to 1. Default 0.7.
    threshold: Option<f64>,
    /// Accounts to leave out, at most 1,000.
    exclude: Option<Vec<String>>,
}

impl AccountMatchBatchRequest {
    /// The engine's questions by name.
    pub(crate) fn into_queries(self) -> Result<Vec<(String, AccountQuery)>> {
        let (limit, threshold, exclude) = (self.limit, self.threshold, self.exclude);
        let query = |(name, asked): (String, AccountMatchRequest)| {
            let whole = AccountMatchRequest {
                account: asked.account,
                limit: asked.limit.or(limit),
                threshold: asked.threshold.or(threshold),
                exclude: asked.exclude.or_else(|| exclude.clone()),
            };
            let query = whole.query(&format!("queries.{name}."))?;
            Ok((name, query))
        };
        self.queries.into_iter().map(query).collect()
    }
}

/// The answers to several questions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountMatchBatchOut {
    /// By the caller's names.
    pub(crate) results: BTreeMap<String, AccountMatchOut>,
}

/// Which account it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountMatchOut {
    /// What an upsert would decide: `match`, `review` or `no_match`.
    decision: String,
    /// Best first.
    candidates: Vec<AccountCandidateOut>,
    /// `limit` cut candidates off.
    truncated: bool,
}

/// An account that may be it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountCandidateOut {
    /// The account.
    account_id: String,
    /// Its best record.
    record_id: String,
    /// How sure it is, 0 to 1.
    score: f64,
    /// The same name and place, but other domains: they never join by themselves.
    conflicting_domains: bool,
    /// What domain, name and place of its best record say.
    explanation: Vec<AccountPartOut>,
    /// The golden account.
    account: AccountOut,
}

impl From<&AccountMatch> for AccountMatchOut {
    fn from(answer: &AccountMatch) -> Self {
        let decision = match answer.decision {
            Verdict::Match => "match",
            Verdict::Review => "review",
            Verdict::NoMatch => "no_match",
        };
        let candidate = |one: &AccountCandidate| AccountCandidateOut {
            account_id: one.account.id.to_string(),
            record_id: one.record_id.to_string(),
            score: one.score,
            conflicting_domains: one.conflict,
            explanation: one.evidence.iter().flat_map(|evidence| &evidence.parts).map(AccountPartOut::from).collect(),
            account: AccountOut::from(&one.account),
        };
        let candidates = answer.candidates.iter().map(candidate).collect();
        Self { decision: decision.to_owned(), candidates, truncated: answer.truncated }
    }
}

/// "Why are these two accounts one, or not?"
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountWhyRequest {
    /// An `account_id` or `record_id` as text, `{"account_id": ...}`, `{"record_id": ...}`, or an account record.
    #[schema(value_type = Object)]
    pub(crate) left: Value,
    /// The other side, spelled likewise.
    #[schema(value_type = Object)]
    pub(crate) right: Value,
}

/// One side named as an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSide {
    account_id: Option<String>,
    record_id: Option<String>,
}

/// What a side may mean; a bare id may be an account's or a record's.
pub(crate) enum AccountSideIn {
    /// Said plainly.
    Sure(AccountSide),
    /// An id whose kind is not said.
    Id(String),
}

impl AccountSideIn {
    /// Reads a side; `at` is its name in the request.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only one variant names a field")]
    pub(crate) fn read(at: &str, value: Value) -> Result<Self> {
        let below = |error: Error| match error {
            Error::Invalid { field, reason } => Error::invalid(format!("{at}.{field}"), reason),
            other => other,
        };
        if let Value::String(text) = value {
            return Ok(Self::Id(text));
        }
        if value.get("account_id").is_none() && value.get("record_id").is_none() {
            let input: AccountInput = from_value(value).map_err(below)?;
            return Ok(Self::Sure(AccountSide::Inline(Box::new(inline(input, at)?))));
        }
        let side: NamedSide = from_value(value).map_err(below)?;
        match (side.account_id, side.record_id) {
            (Some(account), None) => Ok(Self::Sure(AccountSide::Account(id(&format!("{at}.account_id"), &account)?))),
            (None, Some(record)) => Ok(Self::Sure(AccountSide::Record(id(&format!("{at}.record_id"), &record)?))),
            _ => Err(Error::invalid(at, "name either account_id or record_id")),
        }
    }
}

/// One comparison of two account records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountPartOut {
    /// `domain`, `name` or `place`.
    comparison: String,
    /// Of domains `shared`, `different`; of names `exact`, `alike`, `different`, `other_number`; of places `same_city`,
    /// `same_country`, `not_comparable`, `different`; `missing` where one of the two says nothing.
    level: String,
    /// How well they agree, 0 to 1; null where one says nothing.
    agreement: Option<f64>,
    /// The left (asked) value as it is compared.
    left: Option<String>,
    /// The right (known) value as it is compared.
    right: Option<String>,
}

impl From<&AccountPart> for AccountPartOut {
    fn from(part: &AccountPart) -> Self {
        Self {
            comparison: part.comparison.to_owned(),
            level: part.level.to_owned(),
            agreement: part.agreement,
            left: part.left.clone(),
            right: part.right.clone(),
        }
    }
}

/// What two account records say of each other.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountEvidenceOut {
    /// What counts for the pair: `domain`, `name_and_place` (the same name in the same city) or `likeness`.
    rule: String,
    /// How sure it is, 0 to 1; under `likeness` how alike names and places are: from 0.70 people are asked, from 0.85 they
    /// join where nothing stands against it.
    score: f64,
    /// Domain, name, place.
    explanation: Vec<AccountPartOut>,
    /// Kinds of keys that both have: `domain`, `name_and_place`, `name_trigrams`.
    shared_keys: Vec<String>,
}

impl From<&AccountEvidence> for AccountEvidenceOut {
    fn from(evidence: &AccountEvidence) -> Self {
        Self {
            rule: evidence.rule.to_owned(),
            score: evidence.score,
            explanation: evidence.parts.iter().map(AccountPartOut::from).collect(),
            shared_keys: evidence.shared_keys.iter().map(|&kind| kind.to_owned()).collect(),
        }
    }
}

/// The full comparison of two sides, by the pair of records that agrees best.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountWhyOut {
    /// The left record compared; null for an inline one.
    left: Option<String>,
    /// The right record compared; null for an inline one.
    right: Option<String>,
    #[serde(flatten)]
    evidence: AccountEvidenceOut,
    /// Whether they are compared at all: they share a key.
    candidate: bool,
    /// They are in one account; of inline records: they would be.
    same_account: bool,
    /// What is missing for one account, or stands against it. Empty when they are one.
    missing: Vec<String>,
}

impl From<&AccountWhy> for AccountWhyOut {
    fn from(why: &AccountWhy) -> Self {
        Self {
            left: why.left.map(|id| id.to_string()),
            right: why.right.map(|id| id.to_string()),
            evidence: AccountEvidenceOut::from(&why.evidence),
            candidate: !why.evidence.shared_keys.is_empty(),
            same_account: why.same_account,
            missing: why.missing.clone(),
        }
    }
}

/// The steps that built an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountHowOut {
    /// Oldest first.
    pub(crate) steps: Vec<AccountStepOut>,
}

/// One merge that built an account, done or undone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountStepOut {
    #[serde(flatten)]
    merge: MergeOut,
    /// What the joining pair said then; null for merges by hand.
    evidence_then: Option<AccountEvidenceOut>,
    /// What it says now; null for merges by hand, and where a record is gone.
    evidence_now: Option<AccountEvidenceOut>,
}

impl From<&AccountStep> for AccountStepOut {
    fn from(step: &AccountStep) -> Self {
        Self {
            merge: MergeOut::from(&step.merge),
            evidence_then: step.then.as_ref().map(AccountEvidenceOut::from),
            evidence_now: step.now.as_ref().map(AccountEvidenceOut::from),
        }
    }
}

/// Filters of the list of accounts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountListParams {
    /// Only accounts that have this domain, main or alternate.
    domain: Option<String>,
    /// Only accounts with this tag.
    tag: Option<String>,
    /// Only accounts with a record of this source.
    source: Option<String>,
    /// Only accounts changed after this RFC 3339 time.
    updated_after: Option<String>,
    /// Items at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

impl AccountListParams {
    /// The engine's filters.
    pub(crate) fn filter(self, page_max: usize) -> Result<AccountFilter> {
        Ok(AccountFilter {
            domain: self.domain,
            tag: self.tag,
            source: self.source,
            updated_after: self.updated_after.map(|text| millis("updated_after", &text)).transpose()?,
            limit: page_limit(self.limit, page_max)?,
            cursor: self.cursor,
        })
    }
}

/// Free-text search of accounts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSearchRequest {
    /// Words, typed as far as they are; a domain that an account has or a phone number is looked up exactly.
    q: String,
    /// Only accounts that have this domain, main or alternate.
    domain: Option<String>,
    /// Only accounts with this tag.
    tag: Option<String>,
    /// Only accounts with a record of this source.
    source: Option<String>,
    /// Only accounts changed after this RFC 3339 time.
    updated_after: Option<String>,
    /// Hits at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

impl AccountSearchRequest {
    /// The words and the engine's filters.
    pub(crate) fn query(self, page_max: usize) -> Result<(String, AccountFilter)> {
        let Self { q, domain, tag, source, updated_after, limit, cursor } = self;
        let list = AccountListParams { domain, tag, source, updated_after, limit, cursor };
        Ok((q, list.filter(page_max)?))
    }
}

/// Accounts found, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountSearchOut {
    /// The hits.
    pub(crate) items: Vec<AccountHitOut>,
    /// Send it as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
    /// The seq that the text index covers; what is newer is added from memory.
    pub(crate) covered_seq: Option<u64>,
}

/// One account found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountHitOut {
    /// The account.
    account: AccountOut,
    /// What was found, by field (`name`, `domain`, `previous_names`, `industry`, `city`), with `<em>` around it.
    highlights: Vec<HighlightOut>,
}

impl From<&AccountHit> for AccountHitOut {
    fn from(hit: &AccountHit) -> Self {
        let highlights = hit.highlights.iter().map(HighlightOut::from).collect();
        Self { account: AccountOut::from(&hit.account), highlights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::json::from_slice;

    #[test]
    fn questions_by_example() {
        let request = |json: &str| from_slice::<AccountMatchRequest>(json.as_bytes())?.query("");
        let query = request(r#"{"account": {"name": "Acme"}}"#).unwrap();
        assert_eq!((query.limit, query.threshold), (10, crate::matching::account::REVIEW));
        for (json, field) in [
            (r#"{"account": {"name": "A"}, "limit": 0}"#, "limit"),
            (r#"{"account": {"name": "A"}, "limit": 101}"#, "limit"),
            (r#"{"account": {"name": "A"}, "threshold": 1.5}"#, "threshold"),
            (r#"{"account": {"name": "A"}, "exclude": ["x"]}"#, "exclude[0]"),
            (r#"{"account": {"nmae": "A"}}"#, "account.nmae"),
            (r#"{"account": {"tags": ["A"]}}"#, "account.record"),
        ] {
            match request(json) {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_batch_lends_its_options() {
        let json = r#"{"queries": {"a": {"account": {"name": "A"}}, "b": {"account": {"name": "B"}, "limit": 3,
            "threshold": 0.9}}, "limit": 7, "threshold": 0.8}"#;
        let queries = from_slice::<AccountMatchBatchRequest>(json.as_bytes()).unwrap().into_queries().unwrap();
        let seen: Vec<_> = queries.iter().map(|(name, query)| (name.as_str(), query.limit, query.threshold)).collect();
        assert_eq!(seen, [("a", 7, 0.8), ("b", 3, 0.9)]);
    }
}
