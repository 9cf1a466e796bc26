//! Survivorship: which of a contact's records gives each field its value.
//!
//! Records are ordered by their time: the source's own, or receipt where the source tells neither time nor version. A
//! record with a version and no time is older than all that have a time, since versions of different records cannot be
//! compared with times; among themselves such records go by version. Ties are broken by version, content hash and
//! record key, never by an id or a seq, so that every order of arrival gives the same contact.
//!
//! What a field does with that order is its [`Rule`], chosen by the tenant: [`crate::model::survivorship`] has the
//! defaults. Source trust counts under [`Rule::TrustedSourceRank`] alone. A value that could not be read (a birthday that
//! is no date) never displaces one that could, whatever the rule. A manual edit wins over all sources and can suppress
//! values. [`name`], [`lists`] and [`attributes`] have what is special about those.

mod attributes;
mod lists;
mod name;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::formats::json::lenient_time;
use crate::formats::schema;
use crate::model::ids::{Millis, RecordId, RecordKey, Seq};
use crate::model::normalized::{Birthday, Normalized};
use crate::model::record::{Address, ExternalId, Fields, Social};
use crate::model::settings::Settings;
use crate::model::survivorship::{Rule, Survivorship};
use crate::store::groups::Groups;
use crate::store::shard::Shard;
use crate::store::stored::Opened;

pub use attributes::patch as patch_attributes;

/// Where a golden value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Source.
    pub source: String,
    /// Record.
    pub record_id: RecordId,
    /// Survivorship rule that chose it, or [`MANUAL`].
    pub rule: &'static str,
    /// When that record was last received.
    pub at: Millis,
}

/// A contact's chosen values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Golden {
    /// The values.
    pub fields: Fields,
    /// Where each came from: by field, by value of a list (`emails[0]`), by key of the attributes (`attributes.a`).
    pub provenance: BTreeMap<String, Provenance>,
    /// "John Smith"; else the organisation, else an identifier.
    pub canonical_name: String,
    /// Folded.
    pub name_normalized: String,
    /// Keys of the attributes that did not fit any more when those of all records were put together.
    pub left_out: Vec<String>,
}

/// The word for a value that a person set.
pub const MANUAL: &str = "manual";

/// What golden values are picked by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The rule of each field.
    pub survivorship: &'a Survivorship,
    /// Sources from most to least trusted.
    pub source_trust: &'a [String],
    /// Groups, and as of when: deleted ones are not shown. Missing: none is.
    pub groups: Option<(&'a Groups, Seq)>,
}

impl<'a> From<&'a Settings> for Rules<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self { survivorship: &settings.survivorship, source_trust: &settings.source_trust, groups: None }
    }
}

impl<'a> Rules<'a> {
    /// Those of a shard now.
    pub fn of(shard: &'a Shard) -> Self {
        Self { groups: Some((&shard.groups, shard.seq)), ..Self::from(&*shard.settings) }
    }

    /// Whether a group is deleted.
    fn is_gone(&self, slug: &str) -> bool {
        self.groups.is_some_and(|(groups, seq)| groups.is_gone(slug, seq))
    }
}

/// What versions are ordered by; greater is newer.
type Order<'a> = (bool, i64, u64, u128, &'a RecordKey);

fn order(version: &Opened) -> Order<'_> {
    let record = &version.put.record;
    let (has_time, time) = match (record.source_updated_at, record.version) {
        (Some(time), _) => (true, time.0),
        (None, Some(_)) => (false, 0),
        (None, None) => (true, version.put.received_at.0),
    };
    (has_time, time, record.version.unwrap_or(0), version.put.content_hash, &record.key)
}

/// Orders versions as survivorship does, the newest first.
pub fn newest_first(versions: &mut [&Opened]) {
    versions.sort_by(|a, b| order(b).cmp(&order(a)));
}

/// Picks a contact's values from its records' latest versions and its manual edits.
pub fn golden<'a>(
    sources: impl IntoIterator<Item = &'a Opened>,
    manual: impl IntoIterator<Item = &'a Opened>,
    rules: Rules<'a>,
) -> Golden {
    let (mut ordered, mut edits): (Vec<_>, Vec<_>) = (sources.into_iter().collect(), manual.into_iter().collect());
    newest_first(&mut ordered);
    newest_first(&mut edits);
    let mut pick = Pick { rules, ordered, edits, golden: Golden::default() };
    pick.name();
    pick.texts();
    pick.times();
    pick.lists();
    pick.attributes();
    pick.finish()
}

/// One record's word on something that only one record can give.
struct Said<'a, T> {
    from: &'a Opened,
    value: T,
    /// It could be read.
    valid: bool,
    /// How much it says; only compared with others of its kind.
    complete: [usize; 3],
    /// How large it is; 0 where that means nothing.
    size: i64,
}

struct Pick<'a> {
    rules: Rules<'a>,
    /// Newest first.
    ordered: Vec<&'a Opened>,
    /// Manual edits, newest first.
    edits: Vec<&'a Opened>,
    golden: Golden,
}

/// Texts whose completeness is that of a text, each with what tells whether it could be read.
macro_rules! texts {
    ($self:ident, $($field:ident $valid:expr;)+) => { $(
        let valid: fn(&Normalized, &str) -> bool = $valid;
        $self.golden.fields.$field = $self.one(stringify!($field), &|version| {
            let value = version.put.record.fields.$field.clone()?;
            let (valid, complete) = (valid(&version.put.normalized, &value), text_completeness(&value));
            Some(Said { from: version, value, valid, complete, size: 0 })
        });
    )+ };
}

macro_rules! times {
    ($self:ident, $($field:ident),+) => { $(
        $self.golden.fields.$field = $self.one(stringify!($field), &|version| {
            let value = version.put.record.fields.$field.clone()?;
            let time = lenient_time(&value);
            Some(Said { from: version, value, valid: time.is_some(), complete: [0; 3], size: time.map_or(0, |at| at.0) })
        });
    )+ };
}

impl<'a> Pick<'a> {
    fn note(&mut self, field: &str, version: &Opened, rule: &'static str) {
        let provenance = Provenance {
            source: version.put.record.key.source.to_string(),
            record_id: version.put.record_id,
            rule,
            at: version.put.received_at,
        };
        self.golden.provenance.insert(field.to_owned(), provenance);
    }

    fn rule(&self, field: &str) -> Rule {
        self.rules.survivorship.rule(field)
    }

    /// Whether an edit took a value away; the empty value stands for all of a field.
    fn suppressed(&self, field: &str, value: &str) -> bool {
        self.edits
            .iter()
            .any(|edit| edit.put.suppressed.iter().any(|(f, v)| f == field && (v.is_empty() || v == value)))
    }

    /// The one that wins under a rule. `said` is newest first; of equally good ones the newest wins.
    fn choose<'s, T>(&self, rule: Rule, said: &'s [Said<'a, T>]) -> Option<&'s Said<'a, T>> {
        let oldest_first = said.iter().enumerate().rev();
        oldest_first.max_by_key(|(at, one)| self.strength(rule, *at, one)).map(|(_, one)| one)
    }

    /// What decides under a rule; greater wins. `age` counts from the newest.
    fn strength<T>(&self, rule: Rule, age: usize, said: &Said<'a, T>) -> (bool, [i64; 3]) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let by = match rule {
            Rule::PreferNewIfNotNull | Rule::Union => [0; 3],
            Rule::PreferExisting => [number(age), 0, 0],
            Rule::MostComplete => said.complete.map(number),
            Rule::MostRecent => {
                let record = &said.from.put.record;
                let time = record.source_updated_at.map_or(0, |at| at.0);
                [i64::from(record.source_updated_at.is_some()), time, 0]
            }
            Rule::TrustedSourceRank => [self.trust(said.from), 0, 0],
            Rule::Max => [said.size, 0, 0],
            Rule::Min => [said.size.saturating_neg(), 0, 0],
        };
        (said.valid, by)
    }

    /// How far up its source stands in the list of trust; 0: not in it.
    fn trust(&self, version: &Opened) -> i64 {
        let trust = self.rules.source_trust;
        let rank = trust.iter().position(|source| **source == *version.put.record.key.source);
        rank.and_then(|rank| i64::try_from(trust.len() - rank).ok()).unwrap_or(0)
    }

    /// The value of a field that has one: an edit's, else the one that wins under the field's rule.
    fn one<T: Clone>(&mut self, field: &str, get: &dyn Fn(&'a Opened) -> Option<Said<'a, T>>) -> Option<T> {
        if let Some(edited) = self.edits.iter().find_map(|edit| get(edit)) {
            self.note(field, edited.from, MANUAL);
            return Some(edited.value);
        }
        if self.suppressed(field, "") {
            return None;
        }
        let rule = self.rule(field);
        let said: Vec<Said<'a, T>> = self.ordered.iter().filter_map(|version| get(version)).collect();
        let best = self.choose(rule, &said)?;
        self.note(field, best.from, rule.word());
        Some(best.value.clone())
    }

    fn texts(&mut self) {
        texts! { self,
            organization |read, _| read.organization.is_some();
            job_title |read, _| read.job_title.is_some();
            department |_, _| true;
            company_domain |_, said| crate::normalize::domain::registrable(said).is_some();
            account_id |_, _| true;
            gender |read, _| read.gender.is_some();
            notes |_, _| true;
            category_code |_, said| schema::is_category(said);
            subcategory_code |_, said| schema::is_subcategory(said);
            relationship_category |_, said| schema::is_relationship(said);
        }
        self.golden.fields.is_me = self.one("is_me", &|version| {
            let value = version.put.record.fields.is_me?;
            Some(Said { from: version, value, valid: true, complete: [0; 3], size: 0 })
        });
        self.golden.fields.birthday = self.one("birthday", &|version| {
            let said = version.put.record.fields.birthday.clone()?;
            let read = version.put.normalized.birthday;
            let known = |b: Birthday| [b.year.is_some(), b.month.is_some(), b.day.is_some()].map(usize::from);
            let parts = read.map_or(0, |birthday| known(birthday).iter().sum());
            let complete = [parts, read.map_or(0, |birthday| usize::from(!birthday.ambiguous)), 0];
            let value = read.map_or(said, |birthday| spell(&birthday));
            Some(Said { from: version, value, valid: read.is_some(), complete, size: 0 })
        });
    }

    fn times(&mut self) {
        times!(self, last_activity_at, last_seen, first_seen);
    }

    fn finish(mut self) -> Golden {
        let fields = &self.golden.fields;
        let parts = [&fields.first_name, &fields.middle_name, &fields.last_name];
        let words: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let mut name = words.join(" ");
        if let Some(suffix) = fields.name_suffix.as_ref().filter(|_| !name.is_empty())
            && self.ordered.iter().any(|version| version.put.normalized.name.generation.is_some())
        {
            name = format!("{name} {suffix}");
        }
        if name.is_empty() {
            let email = fields.emails.first().map(|email| email.value.clone());
            let phone = fields.phones.first().map(|phone| phone.value.clone());
            name = fields.organization.clone().or(fields.nickname.clone()).or(email).or(phone).unwrap_or_default();
        }
        self.golden.name_normalized = deunicode::deunicode(&name).to_lowercase();
        if !words.is_empty() {
            self.golden.fields.name = Some(name.clone());
            let from = ["first_name", "last_name", "middle_name"];
            let from = from.iter().find_map(|part| self.golden.provenance.get(*part)).cloned();
            self.golden.provenance.extend(from.map(|from| ("name".to_owned(), from)));
        }
        self.golden.canonical_name = name;
        self.golden
    }
}

/// How much a text says: words of more than one letter, then letters.
fn text_completeness(text: &str) -> [usize; 3] {
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).count();
    let words = text.split_whitespace().filter(|word| letters(word) > 1).count();
    [words, letters(text), 0]
}

/// Text of an address for telling equal ones, as suppression keeps it.
pub fn address_text(address: &Address) -> String {
    let parts = [&address.street, &address.city, &address.region, &address.postal_code, &address.country];
    parts.into_iter().flatten().map(|part| part.trim().to_lowercase()).collect::<Vec<_>>().join(" ")
}

/// Text of a handle for telling equal ones.
pub fn social_text(social: &Social) -> String {
    format!("{}:{}", social.service, social.username).to_lowercase()
}

/// Text of an id for telling equal ones.
pub fn id_text(id: &ExternalId) -> String {
    format!("{}:{}", id.system, id.id).to_lowercase()
}

/// A birthday in ISO 8601; a missing year is `--`.
fn spell(birthday: &Birthday) -> String {
    match (birthday.year, birthday.month, birthday.day) {
        (Some(year), Some(month), Some(day)) => format!("{year:04}-{month:02}-{day:02}"),
        (Some(year), Some(month), None) => format!("{year:04}-{month:02}"),
        (Some(year), None, _) => format!("{year:04}"),
        (None, Some(month), Some(day)) => format!("--{month:02}-{day:02}"),
        (None, Some(month), None) => format!("--{month:02}"),
        (None, None, _) => String::new(),
    }
}
