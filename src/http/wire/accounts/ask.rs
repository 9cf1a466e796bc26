//! Questions about businesses and their answers: match, search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::engine::accounts::{AccountCandidate, AccountFilter, AccountHit, AccountMatch, AccountQuery};
use crate::engine::api::Verdict;
use crate::error::{Error, Result};
use crate::formats::{AccountInput, AccountRecord};
use crate::http::wire::accounts::AccountOut;
use crate::http::wire::read::{HighlightOut, page_limit};
use crate::http::wire::{ids, millis};

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
            account: AccountOut::from(&one.account),
        };
        let candidates = answer.candidates.iter().map(candidate).collect();
        Self { decision: decision.to_owned(), candidates, truncated: answer.truncated }
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
