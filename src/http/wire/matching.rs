//! Match and why: questions and their evidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::api::{Candidate, ExplainLevel, MatchAnswer, MatchQuery, Side, Verdict, WhyAnswer};
use crate::error::{Error, Result};
use crate::formats::json::{RecordInput, from_value};
use crate::http::wire::contact::ContactOut;
use crate::http::wire::{id, ids};
use crate::matching::Grade;
use crate::matching::explain::Explanation;

/// Candidates of one match at most.
const LIMIT_MAX: usize = 100;
/// Candidates of one match where the question does not say.
const LIMIT_DEFAULT: usize = 10;
/// Probability from which candidates are shown where the question does not say.
const THRESHOLD_DEFAULT: f64 = 0.5;
/// Contacts that may be left out at most.
const EXCLUDE_MAX: usize = 1_000;
/// Weight in bits below which a summary leaves a part out.
const SUMMARY_MIN_BITS: f64 = 0.1;

/// "Who is this contact?"
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchRequest {
    /// The contact asked about.
    contact: RecordInput,
    /// Candidates at most, 1 to 100. Default 10.
    limit: Option<usize>,
    /// Candidates below this probability are left out, 0 to 1. Default 0.5.
    threshold: Option<f64>,
    /// How much to explain. Default `none`.
    explain: Option<ExplainIn>,
    /// Contacts to leave out.
    exclude: Option<Vec<String>>,
}

/// Several questions at once. What a question does not say itself is taken from here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchBatchRequest {
    /// At most 1,000 questions, by the caller's own names.
    pub(crate) queries: BTreeMap<String, MatchRequest>,
    /// Candidates of each at most, 1 to 100. Default 10.
    limit: Option<usize>,
    /// Candidates below this probability are left out, 0 to 1. Default 0.5.
    threshold: Option<f64>,
    /// How much to explain. Default `none`.
    explain: Option<ExplainIn>,
    /// Contacts to leave out.
    exclude: Option<Vec<String>>,
}

/// How much of the evidence an answer shows.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExplainIn {
    /// None.
    None,
    /// The parts that weigh something.
    Summary,
    /// All.
    Full,
}

impl MatchRequest {
    /// The engine's question; `at` is the path of this one in the request, empty or with a dot at its end.
    pub(crate) fn query(self, at: &str) -> Result<MatchQuery> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid(format!("{at}limit"), format!("is {limit}; it may be 1 to {LIMIT_MAX}")));
        }
        let threshold = self.threshold.unwrap_or(THRESHOLD_DEFAULT);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::invalid(format!("{at}threshold"), "must be a probability, 0 to 1"));
        }
        let exclude = self.exclude.unwrap_or_default();
        if exclude.len() > EXCLUDE_MAX {
            return Err(Error::invalid(format!("{at}exclude"), format!("has more than {EXCLUDE_MAX} contacts")));
        }
        Ok(MatchQuery {
            input: inline(self.contact, &format!("{at}contact"))?,
            limit,
            threshold,
            explain: self.explain.map_or(ExplainLevel::None, ExplainLevel::from),
            exclude: ids(&format!("{at}exclude"), &exclude)?,
        })
    }
}

impl MatchBatchRequest {
    /// The engine's questions by name.
    pub(crate) fn into_queries(self) -> Result<Vec<(String, MatchQuery)>> {
        let (limit, threshold, explain, exclude) = (self.limit, self.threshold, self.explain, self.exclude);
        let query = |(name, asked): (String, MatchRequest)| {
            let whole = MatchRequest {
                contact: asked.contact,
                limit: asked.limit.or(limit),
                threshold: asked.threshold.or(threshold),
                explain: asked.explain.or(explain),
                exclude: asked.exclude.or_else(|| exclude.clone()),
            };
            let query = whole.query(&format!("queries.{name}."))?;
            Ok((name, query))
        };
        self.queries.into_iter().map(query).collect()
    }
}

/// An inline record; what is wrong with it is named below `at`.
fn inline(input: RecordInput, at: &str) -> Result<crate::formats::InputRecord> {
    input.into_checked("api").map_err(|error| Error::invalid(format!("{at}.{}", error.field), error.message))
}

impl From<ExplainIn> for ExplainLevel {
    fn from(level: ExplainIn) -> Self {
        match level {
            ExplainIn::None => Self::None,
            ExplainIn::Summary => Self::Summary,
            ExplainIn::Full => Self::Full,
        }
    }
}

/// Who it is, or may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatchOut {
    /// What an upsert of this record would decide: `match`, `review` or `no_match`.
    decision: String,
    /// Best first.
    candidates: Vec<CandidateOut>,
    /// A bound cut candidates off.
    truncated: bool,
}

/// The answers to several questions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatchBatchOut {
    /// By the caller's names.
    pub(crate) results: BTreeMap<String, MatchOut>,
}

/// One contact it may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CandidateOut {
    /// The contact.
    contact_id: String,
    /// Its record that matches best.
    record_id: String,
    /// Match probability, 0 to 1.
    score: f64,
    /// Log2 odds.
    weight_bits: f64,
    /// FHIR's grade: `certain`, `probable`, `possible` or `certainly_not`.
    grade: String,
    /// What speaks for and against: `+NAME+PHONE-BIRTHDAY`.
    match_key: String,
    /// The golden contact.
    contact: ContactOut,
    /// Log2 odds before any evidence; with the explanation's weights it sums to `weight_bits`. Missing without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    prior_bits: Option<f64>,
    /// The evidence of the best record, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Vec<PartOut>>,
    /// Which ways proposed it.
    found_by: Vec<String>,
}

/// One comparison.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartOut {
    /// What was compared.
    comparison: String,
    /// The graded outcome it landed on.
    level: String,
    /// What it weighs, in bits; positive argues for a match.
    weight_bits: f64,
    /// The left (asked) value.
    left: Option<String>,
    /// The right (known) value.
    right: Option<String>,
}

/// The comparisons of an explanation, all of them.
pub(crate) fn parts(explanation: &Explanation) -> Vec<PartOut> {
    let part = |part: &crate::matching::explain::Part| PartOut {
        comparison: part.comparison.to_owned(),
        level: part.level.to_owned(),
        weight_bits: part.weight.bits(),
        left: part.left.clone(),
        right: part.right.clone(),
    };
    explanation.parts.iter().map(part).collect()
}

/// A summary keeps what weighs something, and one line for the rest, so that the sum still holds.
fn summary(explanation: &Explanation) -> Vec<PartOut> {
    let (mut kept, small): (Vec<PartOut>, Vec<PartOut>) =
        parts(explanation).into_iter().partition(|part| part.weight_bits.abs() >= SUMMARY_MIN_BITS);
    let rest_bits: f64 = small.iter().map(|part| part.weight_bits).sum();
    if rest_bits.abs() >= 0.0005 {
        let weight_bits = (rest_bits * 1000.0).round() / 1000.0;
        kept.push(PartOut { comparison: "rest".into(), level: "small".into(), weight_bits, left: None, right: None });
    }
    kept
}

/// FHIR's word for a grade.
pub(crate) fn grade_word(grade: Grade) -> &'static str {
    match grade {
        Grade::Certain => "certain",
        Grade::Probable => "probable",
        Grade::Possible => "possible",
        Grade::CertainlyNot => "certainly_not",
    }
}

impl MatchOut {
    /// The answer at the asked level of explanation.
    pub(crate) fn new(answer: &MatchAnswer, explain: ExplainLevel) -> Self {
        let decision = match answer.decision {
            Verdict::Match => "match",
            Verdict::Review => "review",
            Verdict::NoMatch => "no_match",
        };
        Self {
            decision: decision.to_owned(),
            candidates: answer.candidates.iter().map(|candidate| candidate_out(candidate, explain)).collect(),
            truncated: answer.truncated,
        }
    }
}

fn candidate_out(candidate: &Candidate, explain: ExplainLevel) -> CandidateOut {
    let explanation = candidate.explanation.as_ref().and_then(|explanation| match explain {
        ExplainLevel::None => None,
        ExplainLevel::Summary => Some(summary(explanation)),
        ExplainLevel::Full => Some(parts(explanation)),
    });
    let prior = candidate.explanation.as_ref().map(|explanation| explanation.prior.bits());
    CandidateOut {
        contact_id: candidate.contact_id.to_string(),
        record_id: candidate.record_id.to_string(),
        score: candidate.score,
        weight_bits: candidate.weight_bits,
        grade: grade_word(candidate.grade).to_owned(),
        match_key: candidate.match_key.clone(),
        contact: ContactOut::from(&candidate.contact),
        prior_bits: prior.filter(|_| explanation.is_some()),
        explanation,
        found_by: candidate.found_by.iter().map(|&way| way.to_owned()).collect(),
    }
}

/// "Why are these two the same, or not?"
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyRequest {
    /// A `contact_id` or `record_id` as text, `{"contact_id": ...}`, `{"record_id": ...}`, or a record.
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
    contact_id: Option<String>,
    record_id: Option<String>,
}

/// What a side may mean; a bare id may be a contact's or a record's.
pub(crate) enum SideIn {
    /// Said plainly.
    Sure(Side),
    /// An id whose kind is not said.
    Id(String),
}

impl SideIn {
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
        let named = value.get("contact_id").is_some() || value.get("record_id").is_some();
        if !named {
            let input: RecordInput = from_value(value).map_err(below)?;
            return Ok(Self::Sure(Side::Inline(Box::new(inline(input, at)?))));
        }
        let side: NamedSide = from_value(value).map_err(below)?;
        match (side.contact_id, side.record_id) {
            (Some(contact), None) => Ok(Self::Sure(Side::Contact(id(&format!("{at}.contact_id"), &contact)?))),
            (None, Some(record)) => Ok(Self::Sure(Side::Record(id(&format!("{at}.record_id"), &record)?))),
            _ => Err(Error::invalid(at, "name either contact_id or record_id")),
        }
    }
}

/// The full comparison of two sides.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhyOut {
    /// The left record compared; null for an inline one.
    left: Option<String>,
    /// The right record compared; null for an inline one.
    right: Option<String>,
    /// Match probability, 0 to 1.
    score: f64,
    /// Log2 odds.
    weight_bits: f64,
    /// Log2 odds before any evidence.
    prior_bits: f64,
    /// FHIR's grade.
    grade: String,
    /// What speaks for and against.
    match_key: String,
    /// Every comparison; with the prior they sum to `weight_bits`.
    explanation: Vec<PartOut>,
    /// Kinds of live keys both have.
    shared_keys: Vec<String>,
    /// Whether they are compared at all: they share a live key.
    candidate: bool,
    /// They are in one contact now.
    same_contact: bool,
    /// What is missing for a match, or stands against it. Empty when they match.
    missing: Vec<String>,
}

impl From<&WhyAnswer> for WhyOut {
    fn from(answer: &WhyAnswer) -> Self {
        Self {
            left: answer.left.map(|id| id.to_string()),
            right: answer.right.map(|id| id.to_string()),
            score: answer.score,
            weight_bits: answer.explanation.weight.bits(),
            prior_bits: answer.explanation.prior.bits(),
            grade: grade_word(answer.grade).to_owned(),
            match_key: answer.explanation.match_key(),
            explanation: parts(&answer.explanation),
            shared_keys: answer.shared_keys.iter().map(|&kind| kind.to_owned()).collect(),
            candidate: answer.candidate,
            same_contact: answer.same_contact,
            missing: answer.missing.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::json::from_slice;

    fn request(json: &str) -> Result<MatchQuery> {
        from_slice::<MatchRequest>(json.as_bytes())?.query("")
    }

    #[test]
    fn questions_by_example() {
        let query = request(r#"{"contact": {"name": "A", "email": "a@example.com"}}"#).unwrap();
        assert_eq!((query.limit, query.threshold, query.explain), (10, 0.5, ExplainLevel::None));
        for (json, field) in [
            (r#"{"contact": {"name": "A"}, "limit": 0}"#, "limit"),
            (r#"{"contact": {"name": "A"}, "limit": 101}"#, "limit"),
            (r#"{"contact": {"name": "A"}, "threshold": 1.5}"#, "threshold"),
            (r#"{"contact": {"name": "A"}, "exclude": ["x"]}"#, "exclude[0]"),
            (r#"{"contact": {"nmae": "A"}}"#, "contact.nmae"),
            (r#"{"contact": {"tags": ["A"]}}"#, "contact.record"),
            (r#"{"contact": {"name": "A"}, "explian": "full"}"#, "explian"),
        ] {
            match request(json) {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_batch_lends_its_options() {
        let json = r#"{"queries": {"a": {"contact": {"name": "A"}}, "b": {"contact": {"name": "B"}, "limit": 3}},
            "limit": 7, "explain": "full"}"#;
        let queries = from_slice::<MatchBatchRequest>(json.as_bytes()).unwrap().into_queries().unwrap();
        let seen: Vec<_> = queries.iter().map(|(name, query)| (name.as_str(), query.limit, query.explain)).collect();
        assert_eq!(seen, [("a", 7, ExplainLevel::Full), ("b", 3, ExplainLevel::Full)]);
    }

    #[test]
    fn sides_are_told_apart() {
        let id = "0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978";
        let read = |json: Value| SideIn::read("left", json);
        assert!(matches!(read(id.into()), Ok(SideIn::Id(_))));
        assert!(matches!(read(serde_json::json!({ "contact_id": id })), Ok(SideIn::Sure(Side::Contact(_)))));
        assert!(matches!(read(serde_json::json!({ "record_id": id })), Ok(SideIn::Sure(Side::Record(_)))));
        assert!(matches!(read(serde_json::json!({ "name": "A" })), Ok(SideIn::Sure(Side::Inline(_)))));
        for bad in [serde_json::json!({ "contact_id": "x" }), serde_json::json!({ "nmae": "A" }), serde_json::json!(1)]
        {
            assert!(read(bad).err().unwrap().to_string().starts_with("left"));
        }
    }
}
