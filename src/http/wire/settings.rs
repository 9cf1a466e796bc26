//! A tenant's settings: what is left out of a `PUT` takes its default.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::http::wire::write::WriteBody;
use crate::model::settings::Settings;

/// Sources or domains that may be listed at most.
const LIST_MAX: usize = 10_000;

/// A tenant's settings.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsBody {
    /// ISO 3166 alpha-2 region for phone numbers without a country code. Default `US`.
    default_region: String,
    /// Probability from which an edge proposes and a pair goes to review, above 0 and below 1. Default 0.5.
    review: f64,
    /// Probability that the mean support of a join must reach, above 0 and below 1. Default 0.9.
    auto: f64,
    /// Dots in the user part of Gmail addresses do not count. Default true.
    gmail_dots: bool,
    /// `+tag` in the user part of an address does not count. Default true.
    plus_tags: bool,
    /// An equal email, external id or account domain without contradiction is enough alone. Default true.
    business_keys: bool,
    /// Free-mail domains beside the built-in list.
    free_mail_domains: Vec<String>,
    /// People from whom on an identifier is generic, at least 2. Default 30.
    generic_max: u32,
    /// Records from whom on a key proposes nobody, at least 2. Default 64.
    holders_max: u32,
    /// Days within which a merge can be undone. Default 30.
    rollback_days: u32,
    /// Sources from most to least trusted. Default empty: all alike.
    source_trust: Vec<String>,
    /// Makes a retry return the first answer, for 24 hours. Never in an answer.
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// Settings and the seq they are as of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsAnswer {
    #[serde(flatten)]
    pub(crate) settings: SettingsBody,
    /// The tenant's seq.
    pub(crate) seq: u64,
}

impl WriteBody for SettingsBody {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl Default for SettingsBody {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for SettingsBody {
    fn from(settings: &Settings) -> Self {
        Self {
            default_region: settings.default_region.clone(),
            review: settings.review,
            auto: settings.auto,
            gmail_dots: settings.gmail_dots,
            plus_tags: settings.plus_tags,
            business_keys: settings.business_keys,
            free_mail_domains: settings.free_mail_domains.clone(),
            generic_max: settings.generic_max,
            holders_max: settings.holders_max,
            rollback_days: settings.rollback_days,
            source_trust: settings.source_trust.clone(),
            idempotency_key: None,
        }
    }
}

impl SettingsBody {
    /// Checks every value.
    pub(crate) fn checked(self) -> Result<Settings> {
        if self.default_region.len() != 2 || !self.default_region.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Error::invalid("default_region", "must be two capital letters, for example US or DE"));
        }
        for (field, value) in [("review", self.review), ("auto", self.auto)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::invalid(field, "must be a probability above 0 and below 1"));
            }
        }
        if self.review > self.auto {
            return Err(Error::invalid("review", "must not be above auto"));
        }
        for (field, value) in [("generic_max", self.generic_max), ("holders_max", self.holders_max)] {
            if !(2..=1_000_000).contains(&value) {
                return Err(Error::invalid(field, format!("is {value}; it may be 2 to 1000000")));
            }
        }
        if self.rollback_days > 36_500 {
            return Err(Error::invalid("rollback_days", "may be 0 to 36500"));
        }
        for (field, list) in [("free_mail_domains", &self.free_mail_domains), ("source_trust", &self.source_trust)] {
            if list.len() > LIST_MAX || list.iter().any(|text| text.is_empty() || text.len() > 255) {
                return Err(Error::invalid(field, format!("may hold {LIST_MAX} texts of 1 to 255 bytes")));
            }
        }
        Ok(Settings {
            default_region: self.default_region,
            review: self.review,
            auto: self.auto,
            gmail_dots: self.gmail_dots,
            plus_tags: self.plus_tags,
            business_keys: self.business_keys,
            free_mail_domains: self.free_mail_domains,
            generic_max: self.generic_max,
            holders_max: self.holders_max,
            rollback_days: self.rollback_days,
            source_trust: self.source_trust,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::json::from_slice;

    #[test]
    fn what_is_left_out_takes_its_default() {
        let settings = from_slice::<SettingsBody>(b"{\"auto\": 0.95}").unwrap().checked().unwrap();
        assert_eq!(settings, Settings { auto: 0.95, ..Settings::default() });
        let json = serde_json::to_value(SettingsBody::from(&settings)).unwrap();
        assert_eq!(json["auto"], 0.95);
        assert!(json.get("idempotency_key").is_none());
    }

    #[test]
    fn bad_values_are_named() {
        for (json, field) in [
            ("{\"auto\": 1.0}", "auto"),
            ("{\"review\": 0.95}", "review"),
            ("{\"default_region\": \"usa\"}", "default_region"),
            ("{\"generic_max\": 0}", "generic_max"),
            ("{\"rollback_days\": 99999}", "rollback_days"),
            ("{\"free_mail_domains\": [\"\"]}", "free_mail_domains"),
            ("{\"auot\": 1}", "auot"),
        ] {
            let answer = from_slice::<SettingsBody>(json.as_bytes()).and_then(SettingsBody::checked);
            match answer {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }
}
