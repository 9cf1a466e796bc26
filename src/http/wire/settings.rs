//! A tenant's settings: what is left out of a `PUT` takes its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::http::wire::discovery::DiscoveryBody;
use crate::http::wire::privacy::PrivacyBody;
use crate::http::wire::write::WriteBody;
use crate::model::settings::{Retention, Settings};
use crate::model::survivorship::{Rule, Survivorship, allowed, fields};

/// Sources or domains that may be listed at most.
const LIST_MAX: usize = 10_000;

/// Rules of survivorship that may be set at most.
const RULES_MAX: usize = 500;
/// Characters that the name of a field may have there.
const FIELD_CHARS_MAX: usize = 256;

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
    /// Free-mail domains beside the built-in list. A domain listed here links nobody to an account from now on, and is no
    /// key of account records that are put from now on.
    free_mail_domains: Vec<String>,
    /// A contact record with a mail address at a free-mail provider is refused as `invalid`. For tenants whose contacts
    /// are people at businesses. Default false; what is stored stays.
    refuse_free_mail: bool,
    /// For how many days things are kept that nobody needs any more.
    retention: RetentionBody,
    /// What the controller declares for the register of processing (`GET privacy/register`).
    privacy: PrivacyBody,
    /// How the tenant takes part in discovery. Default: not at all.
    discovery: DiscoveryBody,
    /// People from whom on an identifier is generic, at least 2. Default 30.
    generic_max: u32,
    /// Records from whom on a key proposes nobody, at least 2. Default 64.
    holders_max: u32,
    /// Days within which a merge can be undone. Default 30.
    rollback_days: u32,
    /// Sources from most to least trusted, for the fields under the rule `trusted_source_rank`; the others do not look at
    /// it, and sources that are not listed come last. Default empty: all alike.
    source_trust: Vec<String>,
    /// Which value wins where a contact's records differ: a rule for each field. What is left out takes its default, and
    /// an answer shows all rules in force.
    ///
    /// The rules: `prefer_new_if_not_null` (the latest that says anything, by `source_updated_at`, or receipt for a record
    /// with neither time nor `version`), `prefer_existing` (the earliest), `most_complete`, `most_recent` (by
    /// `source_updated_at`; records without one count only where none has one), `trusted_source_rank` (by `source_trust`,
    /// then the latest), `max`, `min`, `union`.
    ///
    /// The fields: `name` (all its parts), the single values, the lists, and `attributes.*` or `attributes.KEY`
    /// (`attributes.KEY.KEY` inside). Lists are united by default; under another rule one record gives the whole list.
    /// `tags` and `groups` are always united.
    #[schema(example = json!({"job_title": "trusted_source_rank", "attributes.score": "max"}))]
    survivorship: BTreeMap<String, String>,
    /// Makes a retry return the first answer, for 24 hours. Never in an answer.
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// Days for which things are kept; 0: for ever.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionBody {
    /// Soft-deleted contacts; then they are erased, in every file. At most 36500. Default 0.
    deleted_days: u32,
    /// Answered and withdrawn reviews with what was written on them, the same. At most 36500. Default 0.
    reviews_days: u32,
    /// Reports of imports, the newest 1,000 at most. At most 36500. Default 90.
    imports_days: u32,
}

impl Default for RetentionBody {
    fn default() -> Self {
        Self::from(Retention::default())
    }
}

impl From<Retention> for RetentionBody {
    fn from(kept: Retention) -> Self {
        let Retention { deleted_days, reviews_days, imports_days } = kept;
        Self { deleted_days, reviews_days, imports_days }
    }
}

impl RetentionBody {
    fn checked(&self) -> Result<Retention> {
        let Self { deleted_days, reviews_days, imports_days } = *self;
        let all = [("deleted_days", deleted_days), ("reviews_days", reviews_days), ("imports_days", imports_days)];
        if let Some((field, _)) = all.iter().find(|(_, days)| *days > 36_500) {
            return Err(Error::invalid(format!("retention.{field}"), "may be 0 to 36500; 0 keeps for ever"));
        }
        Ok(Retention { deleted_days, reviews_days, imports_days })
    }
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
            refuse_free_mail: settings.refuse_free_mail,
            retention: RetentionBody::from(settings.retention),
            privacy: PrivacyBody::from(&settings.privacy),
            discovery: DiscoveryBody::from(&settings.discovery),
            generic_max: settings.generic_max,
            holders_max: settings.holders_max,
            rollback_days: settings.rollback_days,
            source_trust: settings.source_trust.clone(),
            survivorship: rules_out(&settings.survivorship),
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
            refuse_free_mail: self.refuse_free_mail,
            retention: self.retention.checked()?,
            privacy: self.privacy.checked()?,
            discovery: self.discovery.checked()?,
            generic_max: self.generic_max,
            holders_max: self.holders_max,
            rollback_days: self.rollback_days,
            source_trust: self.source_trust,
            survivorship: rules_in(&self.survivorship)?,
        })
    }
}

fn rules_out(survivorship: &Survivorship) -> BTreeMap<String, String> {
    survivorship.all().into_iter().map(|(field, rule)| (field, rule.word().to_owned())).collect()
}

/// Checks every rule against its field.
fn rules_in(said: &BTreeMap<String, String>) -> Result<Survivorship> {
    if said.len() > RULES_MAX {
        return Err(Error::invalid("survivorship", format!("has {} rules; it may have {RULES_MAX}", said.len())));
    }
    let mut rules = Vec::with_capacity(said.len());
    for (field, word) in said {
        rules.push((field.clone(), rule_in(field, word)?));
    }
    Ok(Survivorship::new(rules))
}

fn rule_in(field: &str, word: &str) -> Result<Rule> {
    let shown: String = field.chars().take(FIELD_CHARS_MAX).collect();
    let bad = |reason: String| Error::invalid(format!("survivorship.{shown}"), reason);
    if shown.len() < field.len() {
        return Err(bad(format!("is no field: names have at most {FIELD_CHARS_MAX} ASCII characters")));
    }
    let words = |rules: &[Rule]| rules.iter().map(|rule| rule.word()).collect::<Vec<_>>().join(", ");
    let Some(allowed) = allowed(field) else {
        let all = fields().collect::<Vec<_>>().join(", ");
        return Err(bad(format!("is no field that has a rule; those are {all} and attributes.KEY")));
    };
    match Rule::from_word(word) {
        Some(rule) if allowed.contains(&rule) => Ok(rule),
        Some(rule) => Err(bad(format!("{} makes no sense here; allowed: {}", rule.word(), words(allowed)))),
        None => Err(bad(format!("is no rule; allowed: {}", words(allowed)))),
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
            ("{\"survivorship\": {\"nmae\": \"union\"}}", "survivorship.nmae"),
            ("{\"survivorship\": {\"first_name\": \"most_complete\"}}", "survivorship.first_name"),
            ("{\"survivorship\": {\"birthday\": \"newest\"}}", "survivorship.birthday"),
            ("{\"survivorship\": {\"attributes.\": \"max\"}}", "survivorship.attributes."),
        ] {
            let answer = from_slice::<SettingsBody>(json.as_bytes()).and_then(SettingsBody::checked);
            match answer {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_those_that_do() {
        for (field, rule, allowed) in [
            ("name", "max", "prefer_new_if_not_null, prefer_existing, most_complete, most_recent, trusted_source_rank"),
            ("birthday", "union", "most_complete"),
            ("is_me", "most_complete", "prefer_existing"),
            ("tags", "prefer_existing", "allowed: union"),
            ("last_seen", "union", "max, min"),
        ] {
            let json = serde_json::json!({"survivorship": {field: rule}}).to_string();
            let answer = from_slice::<SettingsBody>(json.as_bytes()).and_then(SettingsBody::checked);
            let Err(Error::Invalid { field: named, reason }) = answer else { panic!("{json}: {answer:?}") };
            assert_eq!(named, format!("survivorship.{field}"));
            assert!(reason.contains(rule) && reason.contains(allowed), "{reason}");
        }
    }

    #[test]
    fn what_is_shown_can_be_sent_back() {
        let json =
            br#"{"survivorship": {"attributes.score": "max", "emails": "prefer_existing", "name": "most_complete"}}"#;
        let settings = from_slice::<SettingsBody>(json).unwrap().checked().unwrap();
        assert_eq!(settings.survivorship.chosen().count(), 2, "a default is no choice");
        let shown = serde_json::to_value(SettingsBody::from(&settings)).unwrap();
        assert_eq!(shown["survivorship"]["emails"], "prefer_existing");
        assert_eq!(shown["survivorship"]["organization"], "prefer_new_if_not_null");
        let again = from_slice::<SettingsBody>(shown.to_string().as_bytes()).unwrap().checked().unwrap();
        assert_eq!(again, settings);
    }
}
