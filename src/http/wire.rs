//! What requests and answers look like as JSON: the contract's names, and nothing of the inside.
//!
//! Request types refuse unknown fields. Times are RFC 3339 in UTC, ids are text, probabilities and bits
//! are numbers. [`contact`] is the contact and its records, [`write`] the writes, [`matching`] match and
//! why, [`read`] lists, feeds and figures, [`settings`] a tenant's settings, [`models`] what it learned,
//! [`accounts`] businesses and who belongs to them, [`webhooks`] who hears of changes, [`references`] what points at contacts
//! from outside, [`discipline`] conflicts of versions and groups, [`erasure`] who was erased and the
//! audit, [`keys`] their rotation, [`api_keys`] who may do what, [`privacy`] restriction and what the controller declares,
//! [`subject`] everything about one person, [`register`] the register of processing and the minimisation report.
//! [`lookup`] questions to a directory, [`oblivious`] those it cannot read.

pub(super) mod accounts;
pub(super) mod api_keys;
pub(super) mod consent;
pub(super) mod contact;
pub(super) mod discipline;
pub(super) mod discovery;
pub(super) mod erasure;
pub(super) mod keys;
pub(super) mod lookup;
pub(super) mod matching;
pub(super) mod models;
pub(super) mod oblivious;
pub(super) mod privacy;
pub(super) mod read;
pub(super) mod references;
pub(super) mod register;
pub(super) mod settings;
pub(super) mod subject;
pub(super) mod webhooks;
pub(super) mod write;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis};
use crate::model::issue::Issue;

/// A time as text, `2026-01-27T10:00:00Z`.
pub(super) fn time(at: Millis) -> String {
    Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Reads an RFC 3339 time.
pub(super) fn millis(field: &str, text: &str) -> Result<Millis> {
    text.parse::<Timestamp>()
        .map(|at| Millis(at.as_millisecond()))
        .map_err(|_| Error::invalid(field, "is no RFC 3339 time; write for example 2026-01-27T10:00:00Z"))
}

/// Reads an id; `field` is named when it is none.
pub(super) fn id<T: std::str::FromStr>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid(field, "is not an id of this server (a UUID)"))
}

/// Reads several ids, naming the one that is none.
pub(super) fn ids<T: std::str::FromStr>(field: &str, texts: &[String]) -> Result<Vec<T>> {
    texts.iter().enumerate().map(|(at, text)| id(&format!("{field}[{at}]"), text)).collect()
}

/// Ids as text.
pub(super) fn id_texts(ids: &[EntityId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// What was odd about a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IssueOut {
    /// The field, with an index where there are several: `phones[1]`.
    field: String,
    /// A stable word for programs.
    code: String,
    /// A sentence for people; it does not repeat the value.
    message: String,
}

impl From<&Issue> for IssueOut {
    fn from(issue: &Issue) -> Self {
        Self { field: issue.field.clone(), code: issue.code.to_owned(), message: issue.message.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_both_ways() {
        assert_eq!(time(Millis(1_769_508_000_123)), "2026-01-27T10:00:00.123Z");
        assert_eq!(millis("t", "2026-01-27T11:00:00.123+01:00").unwrap(), Millis(1_769_508_000_123));
        for bad in ["", "yesterday", "2026-01-27", "1769508000"] {
            assert!(millis("updated_after", bad).unwrap_err().to_string().starts_with("updated_after: "), "{bad}");
        }
    }

    #[test]
    fn the_id_that_is_none_is_named() {
        let texts = ["0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978".to_owned(), "12".to_owned()];
        let error = ids::<EntityId>("contact_ids", &texts).unwrap_err();
        assert!(error.to_string().starts_with("contact_ids[1]: "), "{error}");
        assert_eq!(id_texts(&ids("x", &texts[..1]).unwrap()), &texts[..1]);
    }
}
