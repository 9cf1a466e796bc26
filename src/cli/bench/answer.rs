//! Whether an answer is what the contract promises: only whole ones may be timed.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/healthz`, the bare answer of the same server.
    Control,
    /// `contacts:match`
    Match,
    /// `contacts:upsert` of so many records.
    Upsert(u32),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Status 200 and the promised body; whether it names a candidate.
    Good { found: bool },
    /// Another status: which, and the problem's code.
    Refused(String),
    /// Status 200 with another body.
    Malformed(String),
    /// No whole answer: the connection broke or time ran out.
    Broken(String),
}

#[derive(Deserialize)]
struct Well {
    status: String,
}

#[derive(Deserialize)]
struct Matched {
    decision: String,
    candidates: Vec<IgnoredAny>,
    #[serde(rename = "truncated")]
    _truncated: bool,
}

#[derive(Deserialize)]
struct Upserted {
    results: Vec<UpsertResult>,
    #[serde(rename = "seq")]
    _seq: u64,
}

#[derive(Deserialize)]
struct UpsertResult {
    outcome: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
}

/// Judges one answer.
pub(super) fn check(kind: Kind, status: u16, body: &[u8]) -> Checked {
    if status != 200 {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        return Checked::Refused(format!("{status} {}", problem.code));
    }
    let found = match kind {
        Kind::Control => serde_json::from_slice(body).map(|well: Well| (well.status == "ok").then_some(false)),
        Kind::Match => serde_json::from_slice(body).map(|answer: Matched| {
            let known = matches!(answer.decision.as_str(), "match" | "review" | "no_match");
            known.then_some(!answer.candidates.is_empty())
        }),
        Kind::Upsert(records) => serde_json::from_slice(body).map(|answer: Upserted| {
            let stored = |result: &UpsertResult| !matches!(result.outcome.as_str(), "invalid" | "conflict");
            (answer.results.len() == records as usize && answer.results.iter().all(stored)).then_some(true)
        }),
    };
    match found {
        Ok(Some(found)) => Checked::Good { found },
        Ok(None) => Checked::Malformed("not what was asked for".into()),
        Err(error) => Checked::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_example() {
        let good = |found| Checked::Good { found };
        for (kind, status, body, expected) in [
            (Kind::Control, 200, r#"{"status":"ok"}"#, good(false)),
            (Kind::Match, 200, r#"{"decision":"no_match","candidates":[],"truncated":false}"#, good(false)),
            (Kind::Match, 200, r#"{"decision":"match","candidates":[{"score":1}],"truncated":false}"#, good(true)),
            (Kind::Upsert(1), 200, r#"{"results":[{"outcome":"created"}],"seq":3}"#, good(true)),
            (Kind::Upsert(2), 200, r#"{"results":[{"outcome":"created"},{"outcome":"merged"}],"seq":3}"#, good(true)),
            (Kind::Match, 404, r#"{"code":"tenant_unknown"}"#, Checked::Refused("404 tenant_unknown".into())),
        ] {
            assert_eq!(check(kind, status, body.as_bytes()), expected, "{body}");
        }
        for (kind, body) in [
            (Kind::Control, r#"{"status":"no"}"#),
            (Kind::Match, r#"{"decision":"match","candidates":[]"#),
            (Kind::Match, r#"{"decision":"perhaps","candidates":[],"truncated":false}"#),
            (Kind::Upsert(1), r#"{"results":[{"outcome":"invalid"}],"seq":3}"#),
            (Kind::Upsert(1), r#"{"results":[],"seq":3}"#),
            (Kind::Upsert(2), r#"{"results":[{"outcome":"created"}],"seq":3}"#),
            (Kind::Upsert(2), r#"{"results":[{"outcome":"created"},{"outcome":"invalid"}],"seq":3}"#),
        ] {
            assert!(matches!(check(kind, 200, body.as_bytes()), Checked::Malformed(_)), "{body}");
        }
    }
}
