//! The register of processing and the minimisation report.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::audit::AuditEntry;
use crate::engine::privacy::{FieldHeld, Holdings};
use crate::engine::webhooks::Webhook;
use crate::http::usage::{Used, coarse};
use crate::http::wire::privacy::PurposeBody;
use crate::http::wire::subject::host;
use crate::http::wire::time;
use crate::model::ids::Millis;
use crate::model::settings::Settings;

/// The register of processing activities of one tenant (GDPR article 30): what the controller declared in the settings, and
/// what the server finds in its own state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisterOut {
    /// When this was put together.
    pub(crate) generated_at: String,
    /// The tenant.
    pub(crate) tenant: String,
    /// Who decides on the processing. Empty: not declared (`PUT settings`, `privacy`).
    pub(crate) controller: String,
    /// How to reach them.
    pub(crate) contact: String,
    /// What the data is for, each with its legal basis.
    pub(crate) purposes: Vec<PurposeBody>,
    /// Whose data it is, as declared.
    pub(crate) data_subjects: Vec<String>,
    /// How many there are.
    pub(crate) counts: CountsOut,
    /// What is actually held about people: fields by category, with the records that have a value there.
    pub(crate) categories: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// What is held about businesses.
    pub(crate) business_fields: BTreeMap<String, u64>,
    /// Records by source.
    pub(crate) sources: BTreeMap<String, u64>,
    /// Who gets data.
    pub(crate) recipients: RecipientsOut,
    /// Transfers to third countries, as declared.
    pub(crate) third_countries: String,
    /// How long what is kept.
    pub(crate) retention: BTreeMap<&'static str, String>,
    /// Where the data is.
    pub(crate) storage: BTreeMap<&'static str, String>,
    /// What protects it.
    pub(crate) security: BTreeMap<&'static str, String>,
    /// What a controller must still declare. Empty: nothing.
    pub(crate) missing: Vec<&'static str>,
}

/// How many contacts, businesses and erasures there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountsOut {
    /// Live contacts.
    pub(crate) contacts: u64,
    /// Live businesses.
    pub(crate) accounts: u64,
    /// Records of contacts.
    pub(crate) records: u64,
    /// Contacts that are restricted.
    pub(crate) restricted: u64,
    /// Contacts that are soft-deleted.
    pub(crate) deleted: u64,
    /// Erasures so far.
    pub(crate) erasures: u64,
    /// Of these, such whose files may still hold something.
    pub(crate) erasures_running: u64,
}

/// Who gets data.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecipientsOut {
    /// Webhooks by host; they get ids and kinds of change.
    pub(crate) webhooks: Vec<HostOut>,
    /// Reads of everything that the audit trail knows, by kind.
    pub(crate) reads: BTreeMap<String, ReadsOut>,
    /// The validator that emails and phones are sent to, by host. Null: none is configured.
    pub(crate) validator: Option<String>,
    /// Whether domains of emails are looked up at name servers.
    pub(crate) name_servers: bool,
}

/// A webhook's host.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HostOut {
    host: String,
    registered_at: String,
    /// It gets no more deliveries.
    disabled: bool,
}

/// Reads of one kind.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ReadsOut {
    count: u64,
    last_at: String,
    /// By whom.
    actors: Vec<String>,
}

/// Which category a field is of.
pub(crate) fn category(field: &str) -> &'static str {
    match field {
        "name" | "first_name" | "middle_name" | "last_name" | "nickname" | "name_prefix" | "name_suffix" => "name",
        "emails" | "phones" | "addresses" | "social" | "urls" => "contact details",
        "organization" | "job_title" | "department" | "company_domain" | "account_id" => "work",
        "birthday" | "gender" => "personal characteristics",
        "external_ids" => "identifiers in other systems",
        "tags" | "groups" | "category_code" | "subcategory_code" | "relationship_category" | "is_me" => "relationships",
        "last_activity_at" | "first_seen" | "last_seen" => "times of contact",
        "notes" => "free text",
        _ => "application's own data",
    }
}

/// Fields by category.
pub(crate) fn categories(held: &BTreeMap<String, FieldHeld>) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
    let mut found: BTreeMap<&'static str, BTreeMap<String, u64>> = BTreeMap::new();
    for (field, one) in held {
        found.entry(category(field)).or_default().insert(field.clone(), one.records);
    }
    found
}

impl From<&Webhook> for HostOut {
    fn from(hook: &Webhook) -> Self {
        let registered_at = time(hook.created_at);
        Self { host: host(&hook.url), registered_at, disabled: hook.disabled.is_some() }
    }
}

/// Reads by kind.
pub(crate) fn reads(entries: &[AuditEntry]) -> BTreeMap<String, ReadsOut> {
    let mut found: BTreeMap<String, ReadsOut> = BTreeMap::new();
    for entry in entries {
        let Some(what) = &entry.detail else { continue };
        let one = found.entry(what.clone()).or_default();
        one.count += 1;
        one.last_at = time(entry.at);
        if let Some(actor) = entry.actor.as_ref().filter(|actor| !one.actors.contains(actor)) {
            one.actors.push(actor.clone());
        }
    }
    found
}

/// Fields that are held, and whether anything uses them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MinimisationOut {
    /// When this was put together.
    generated_at: String,
    /// The tenant.
    tenant: String,
    /// Records that were looked at.
    records: u64,
    /// Since when uses are counted: the start of the server.
    counted_since: String,
    /// How often contacts were shown since then, as a whole: `never`, `a few times`, `often`, `very often`.
    contacts_shown: &'static str,
    /// Fields, those that nothing uses first.
    fields: Vec<FieldUseOut>,
}

/// One field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldUseOut {
    /// The field; attributes key by key.
    field: String,
    /// Its category.
    category: &'static str,
    /// Records that have a value there.
    records: u64,
    /// Their share of all records, 0 to 1.
    share: f64,
    /// When the oldest of them was received.
    oldest_at: Option<String>,
    /// When the newest was.
    newest_at: Option<String>,
    /// Resolution compares it or finds candidates by it.
    matching: bool,
    /// The rule by which golden values pick it.
    survivorship: String,
    /// Free-text search looks into it.
    search: bool,
    /// How often callers filtered or asked by it since the start.
    asked: &'static str,
    /// Nothing above uses it: it is only stored and shown.
    unused: bool,
    /// What to do about it.
    recommendation: &'static str,
}

/// Fields that resolution compares or finds candidates by.
const MATCHING: [&str; 18] = [
    "name",
    "first_name",
    "middle_name",
    "last_name",
    "nickname",
    "name_prefix",
    "name_suffix",
    "emails",
    "phones",
    "organization",
    "job_title",
    "company_domain",
    "account_id",
    "addresses",
    "birthday",
    "gender",
    "social",
    "external_ids",
];
/// Fields that free-text search looks into.
const SEARCH: [&str; 11] = [
    "name",
    "first_name",
    "middle_name",
    "last_name",
    "nickname",
    "organization",
    "job_title",
    "notes",
    "emails",
    "phones",
    "addresses",
];
/// Milliseconds after which values are old: three years.
const OLD_MS: i64 = 3 * 365 * 24 * 3600 * 1000;

impl MinimisationOut {
    /// The report.
    pub(crate) fn new(
        tenant: String,
        holdings: &Holdings,
        records: u64,
        settings: &Settings,
        used: &Used,
        times: Times,
    ) -> Self {
        let rules: BTreeMap<String, &'static str> =
            settings.survivorship.all().into_iter().map(|(field, rule)| (field, rule.word())).collect();
        let one = |(field, held): (&String, &FieldHeld)| {
            let rule = rules.get(field).or_else(|| rules.get("attributes.*")).copied().unwrap_or_default();
            field_use(field, held, records, rule, used, times.now)
        };
        let mut fields: Vec<FieldUseOut> = holdings.fields.iter().map(one).collect();
        fields.sort_by(|a, b| b.unused.cmp(&a.unused).then_with(|| b.records.cmp(&a.records)));
        Self {
            generated_at: time(times.now),
            tenant,
            records,
            counted_since: time(times.since),
            contacts_shown: coarse(used.shown),
            fields,
        }
    }
}

/// When a report was made, and since when uses are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: Millis,
    pub(crate) since: Millis,
}

fn field_use(field: &str, held: &FieldHeld, records: u64, rule: &str, used: &Used, now: Millis) -> FieldUseOut {
    let (matching, search) = (MATCHING.contains(&field) || field == "urls", SEARCH.contains(&field));
    let asked = used.asked.get(field).copied().unwrap_or(0);
    let unused = !matching && !search && asked == 0;
    let is_old = held.newest.is_some_and(|newest| now.0.saturating_sub(newest.0) > OLD_MS);
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = if records == 0 { 0.0 } else { held.records as f64 / records as f64 };
    FieldUseOut {
        field: field.to_owned(),
        category: category(field),
        records: held.records,
        share: (share * 1000.0).round() / 1000.0,
        oldest_at: held.oldest.map(time),
        newest_at: held.newest.map(time),
        matching,
        survivorship: rule.to_owned(),
        search,
        asked: coarse(asked),
        unused,
        recommendation: recommendation(field, unused, is_old),
    }
}

/// What to do about a field, in plain words.
fn recommendation(field: &str, unused: bool, is_old: bool) -> &'static str {
    match (field, unused, is_old) {
        (_, true, true) => {
            "nothing uses it and nothing new has come for three years: have the sources stop sending it and send their \
             records again without it"
        }
        ("birthday" | "gender", ..) => {
            "it says much about a person and tells people apart in matching: keep it only if a purpose needs it; without it \
             more questions go to stewards"
        }
        ("notes", ..) => "free text can hold anything: say in the purposes what it is for, or stop sending it",
        (_, true, false) => {
            "nothing has filtered, searched or matched by it since the start: keep it if people read it for a purpose in the \
             register, else have the sources stop sending it"
        }
        (_, false, true) => "it is used, and nothing new has come for three years: set a retention",
        (_, false, false) => "it is used: nothing to do",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_unused_only_where_nothing_uses_it() {
        let held = FieldHeld { records: 5, oldest: Some(Millis(0)), newest: Some(Millis(1)) };
        let mut used = Used::default();
        let of = |field: &str, used: &Used, now: i64| field_use(field, &held, 10, "", used, Millis(now));
        assert!(of("tags", &used, 2).unused && of("attributes.score", &used, 2).unused);
        assert!(!of("emails", &used, 2).unused && !of("notes", &used, 2).unused);
        used.asked.insert("tags", 1);
        let tags = of("tags", &used, 2);
        assert!(!tags.unused && tags.asked == "a few times" && (tags.share - 0.5).abs() < 1e-9);
        let old = of("department", &used, OLD_MS + 2);
        assert!(old.unused && old.recommendation.contains("three years"), "{}", old.recommendation);
        assert!(of("department", &used, OLD_MS).recommendation.contains("since the start"));
    }

    #[test]
    fn every_field_has_a_category() {
        assert_eq!(category("emails"), "contact details");
        assert_eq!(category("attributes.score"), "application's own data");
    }
}
