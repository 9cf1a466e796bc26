//! Survivorship: which of a contact's records gives each field its value.
//!
//! Values are ordered by the source's time, else its version, else receipt; ties by content hash and
//! record key, never by an id or a seq, so that every order of arrival gives the same contact. Names are taken whole
//! from the most complete record ("John Smith" over "J. Smith"), other single values from the most recent
//! one that has any, lists are united. A manual edit wins over all sources and can suppress values.

use std::collections::BTreeMap;

use crate::model::ids::{Millis, RecordId, RecordKey};
use crate::model::normalized::{Birthday, Name};
use crate::model::record::{Address, Email, ExternalId, Fields, Phone, Social};
use crate::model::settings::Settings;
use crate::store::shard::Version;

/// Where a golden value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Source.
    pub source: String,
    /// Record.
    pub record_id: RecordId,
    /// Survivorship rule that chose it.
    pub rule: &'static str,
    /// When that record was last received.
    pub at: Millis,
}

/// A contact's chosen values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Golden {
    /// The values.
    pub fields: Fields,
    /// Where each came from.
    pub provenance: BTreeMap<String, Provenance>,
    /// "John Smith"; else the organisation, else an identifier.
    pub canonical_name: String,
    /// Folded.
    pub name_normalized: String,
}

/// Prefers the most complete value.
pub const MOST_COMPLETE: &str = "most_complete";
/// Prefers the newest value.
pub const MOST_RECENT: &str = "most_recent";
/// Unites sets.
pub const UNION: &str = "union";
/// Takes the largest value.
pub const MAX: &str = "max";
/// Takes the smallest value.
pub const MIN: &str = "min";
/// A person said so.
pub const MANUAL: &str = "manual";

/// What versions are ordered by; greater is newer.
type Order<'a> = (usize, Millis, u64, u128, &'a RecordKey);

fn order<'a>(version: &'a Version, settings: &Settings) -> Order<'a> {
    let record = &version.put.record;
    let rank = settings.source_trust.iter().position(|source| **source == *record.key.source);
    let trust = rank.map_or(0, |rank| settings.source_trust.len() - rank);
    let time = record.source_updated_at.unwrap_or(version.put.received_at);
    (trust, time, record.version.unwrap_or(0), version.put.content_hash, &record.key)
}

/// Picks a contact's values from its records' latest versions and its manual edits.
pub fn golden(sources: &[&Version], manual: &[&Version], settings: &Settings) -> Golden {
    let mut ordered = sources.to_vec();
    ordered.sort_by(|a, b| order(b, settings).cmp(&order(a, settings)));
    let mut edits = manual.to_vec();
    edits.sort_by(|a, b| order(b, settings).cmp(&order(a, settings)));
    let mut pick = Pick { ordered, edits, golden: Golden::default() };
    pick.name();
    pick.scalars();
    pick.lists();
    pick.times();
    pick.finish()
}

struct Pick<'a> {
    /// Newest first.
    ordered: Vec<&'a Version>,
    /// Manual edits, newest first.
    edits: Vec<&'a Version>,
    golden: Golden,
}

macro_rules! scalars {
    ($self:ident, $($field:ident),+) => { $(
        let (value, from) = $self.scalar(stringify!($field), |fields| fields.$field.clone());
        $self.golden.fields.$field = value;
        $self.note(stringify!($field), from);
    )+ };
}

impl<'a> Pick<'a> {
    fn note(&mut self, field: &str, from: Option<(&'a Version, &'static str)>) {
        if let Some((version, rule)) = from {
            let provenance = Provenance {
                source: version.put.record.key.source.to_string(),
                record_id: version.put.record_id,
                rule,
                at: version.put.received_at,
            };
            self.golden.provenance.insert(field.to_owned(), provenance);
        }
    }

    fn suppressed(&self, field: &str, value: &str) -> bool {
        self.edits
            .iter()
            .any(|edit| edit.put.suppressed.iter().any(|(f, v)| f == field && (v.is_empty() || v == value)))
    }

    fn scalar<T: Clone>(
        &self,
        field: &str,
        get: impl Fn(&Fields) -> Option<T>,
    ) -> (Option<T>, Option<(&'a Version, &'static str)>) {
        let of = |version: &&'a Version| get(&version.put.record.fields).map(|value| (value, *version));
        if let Some((value, version)) = self.edits.iter().find_map(of) {
            return (Some(value), Some((version, MANUAL)));
        }
        if self.suppressed(field, "") {
            return (None, None);
        }
        match self.ordered.iter().find_map(of) {
            Some((value, version)) => (Some(value), Some((version, MOST_RECENT))),
            None => (None, None),
        }
    }

    fn scalars(&mut self) {
        scalars!(
            self,
            organization,
            job_title,
            department,
            company_domain,
            account_id,
            gender,
            notes,
            category_code,
            subcategory_code,
            relationship_category,
            is_me,
            attributes
        );
        self.birthday();
    }

    fn birthday(&mut self) {
        let (value, from) = self.scalar("birthday", |fields| fields.birthday.clone());
        let manual = from.is_some_and(|(_, rule)| rule == MANUAL);
        let full = |b: &Birthday| u8::from(b.year.is_some()) + u8::from(b.month.is_some()) + u8::from(b.day.is_some());
        let best = self
            .ordered
            .iter()
            .rev()
            .filter_map(|version| version.put.normalized.birthday.map(|birthday| (birthday, *version)))
            .max_by_key(|(birthday, _)| (full(birthday), !birthday.ambiguous));
        match best {
            Some((birthday, version)) if !manual && value.is_some() => {
                self.golden.fields.birthday = Some(spell(&birthday));
                self.note("birthday", Some((version, MOST_COMPLETE)));
            }
            _ => {
                let edited = self.edits.iter().find_map(|edit| edit.put.normalized.birthday).filter(|_| manual);
                self.golden.fields.birthday = edited.map(|birthday| spell(&birthday)).or(value);
                self.note("birthday", from);
            }
        }
    }

    fn name(&mut self) {
        let best = self
            .ordered
            .iter()
            .rev()
            .filter(|version| completeness(&version.put.normalized.name) > (0, 0, 0))
            .max_by_key(|version| completeness(&version.put.normalized.name))
            .copied();
        let Some(best) = best else { return self.edited_name() };
        let name = &best.put.normalized.name;
        let parts = [
            ("name_prefix", self.part(name, |n| n.prefix.clone())),
            ("first_name", name.first.clone()),
            ("middle_name", self.part(name, |n| n.middle.clone())),
            ("last_name", name.last.clone()),
            ("name_suffix", self.suffix(name)),
            ("nickname", self.part(name, |n| n.nickname.clone())),
        ];
        for (field, value) in parts {
            if value.is_some() && !self.suppressed(field, "") {
                self.note(field, Some((best, MOST_COMPLETE)));
                set_part(&mut self.golden.fields, field, value);
            }
        }
        self.edited_name();
    }

    /// The best record's part, else the longest that any record has of the same person's name.
    fn part(&self, best: &Name, get: impl Fn(&Name) -> Option<String>) -> Option<String> {
        let others = || self.ordered.iter().filter_map(|version| get(&version.put.normalized.name));
        get(best).or_else(|| others().max_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b))))
    }

    fn suffix(&self, best: &Name) -> Option<String> {
        let generation = best.generation.or_else(|| self.ordered.iter().find_map(|v| v.put.normalized.name.generation));
        let generation = generation.map(|generation| match generation {
            1 => "Sr.".to_owned(),
            2 => "Jr.".to_owned(),
            3 => "III".to_owned(),
            4 => "IV".to_owned(),
            more => format!("{more}th"),
        });
        let credentials = self.part(best, |name| name.suffix.clone());
        match (generation, credentials) {
            (Some(generation), Some(credentials)) => Some(format!("{generation}, {credentials}")),
            (generation, credentials) => generation.or(credentials),
        }
    }

    fn edited_name(&mut self) {
        for edit in self.edits.clone() {
            let name = edit.put.normalized.name.clone();
            let said = &edit.put.record.fields;
            let parts = [
                ("name_prefix", name.prefix, said.name_prefix.is_some() || said.name.is_some()),
                ("first_name", name.first, said.first_name.is_some() || said.name.is_some()),
                ("middle_name", name.middle, said.middle_name.is_some() || said.name.is_some()),
                ("last_name", name.last, said.last_name.is_some() || said.name.is_some()),
                ("nickname", name.nickname, said.nickname.is_some()),
                ("name_suffix", said.name_suffix.clone(), said.name_suffix.is_some()),
            ];
            for (field, value, given) in parts {
                if given && value.is_some() {
                    self.note(field, Some((edit, MANUAL)));
                    set_part(&mut self.golden.fields, field, value);
                }
            }
        }
    }

    fn lists(&mut self) {
        let mut fields = Fields::default();
        let everyone: Vec<(&'a Version, &'static str)> = self
            .edits
            .iter()
            .map(|version| (*version, MANUAL))
            .chain(self.ordered.iter().map(|version| (*version, UNION)))
            .collect();
        for (version, rule) in everyone {
            let said = &version.put.record.fields;
            let keep = |field: &str, value: &str| rule == MANUAL || !self.suppressed(field, value);
            emails(version, &keep, &mut fields.emails);
            phones(version, &keep, &mut fields.phones);
            unite(&said.addresses, &mut fields.addresses, address_text, |text| keep("addresses", text));
            unite(&said.social, &mut fields.social, social_text, |text| keep("social", text));
            unite(&said.urls, &mut fields.urls, Clone::clone, |text| keep("urls", text));
            unite(&said.external_ids, &mut fields.external_ids, id_text, |text| keep("external_ids", text));
            unite(&said.tags, &mut fields.tags, Clone::clone, |text| keep("tags", text));
            unite(&said.groups, &mut fields.groups, Clone::clone, |text| keep("groups", text));
            let grew = [
                ("emails", fields.emails.len()),
                ("phones", fields.phones.len()),
                ("addresses", fields.addresses.len()),
                ("social", fields.social.len()),
                ("urls", fields.urls.len()),
                ("external_ids", fields.external_ids.len()),
                ("tags", fields.tags.len()),
                ("groups", fields.groups.len()),
            ];
            for (field, len) in grew {
                if len > 0 && !self.golden.provenance.contains_key(field) {
                    self.note(field, Some((version, rule)));
                }
            }
        }
        one_primary(&mut fields.emails, |email| &mut email.primary);
        one_primary(&mut fields.phones, |phone| &mut phone.primary);
        let golden = &mut self.golden.fields;
        golden.emails = fields.emails;
        golden.phones = fields.phones;
        golden.addresses = fields.addresses;
        golden.social = fields.social;
        golden.urls = fields.urls;
        golden.external_ids = fields.external_ids;
        golden.tags = fields.tags;
        golden.groups = fields.groups;
        golden.tags.sort_unstable();
        golden.groups.sort_unstable();
    }

    /// Monotonic times: the latest activity, the earliest first sight. RFC 3339 in UTC sorts as text.
    fn times(&mut self) {
        let all = || self.edits.iter().chain(&self.ordered).copied();
        let max = |get: fn(&Fields) -> Option<&String>| {
            all().filter_map(|v| get(&v.put.record.fields).map(|t| (t, v))).max_by(|a, b| a.0.cmp(b.0))
        };
        let activity = max(|fields| fields.last_activity_at.as_ref());
        let seen = max(|fields| fields.last_seen.as_ref());
        let first =
            all().filter_map(|v| v.put.record.fields.first_seen.as_ref().map(|t| (t, v))).min_by(|a, b| a.0.cmp(b.0));
        self.golden.fields.last_activity_at = activity.map(|(time, _)| time.clone());
        self.golden.fields.last_seen = seen.map(|(time, _)| time.clone());
        self.golden.fields.first_seen = first.map(|(time, _)| time.clone());
        self.note("last_activity_at", activity.map(|(_, version)| (version, MAX)));
        self.note("last_seen", seen.map(|(_, version)| (version, MAX)));
        self.note("first_seen", first.map(|(_, version)| (version, MIN)));
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
        }
        self.golden.canonical_name = name;
        self.golden
    }
}

/// How complete a name is: whole parts, then all tokens, then length. Initials count for little.
fn completeness(name: &Name) -> (usize, usize, usize) {
    let whole = |tokens: &[String]| tokens.iter().filter(|token| token.chars().count() > 1).count();
    let parts = usize::from(whole(&name.first_tokens) > 0) * 2
        + usize::from(whole(&name.last_tokens) > 0) * 2
        + usize::from(!name.first_tokens.is_empty())
        + usize::from(!name.last_tokens.is_empty());
    let parts = if parts == 0 { usize::from(!name.own_script.is_empty()) } else { parts };
    let tokens = whole(&name.first_tokens) + whole(&name.middle_tokens) + whole(&name.last_tokens);
    let length = name.first.as_ref().map_or(0, String::len) + name.last.as_ref().map_or(0, String::len);
    (parts, tokens, length)
}

fn set_part(fields: &mut Fields, field: &str, value: Option<String>) {
    let at = match field {
        "name_prefix" => &mut fields.name_prefix,
        "first_name" => &mut fields.first_name,
        "middle_name" => &mut fields.middle_name,
        "last_name" => &mut fields.last_name,
        "name_suffix" => &mut fields.name_suffix,
        _ => &mut fields.nickname,
    };
    *at = value;
}

fn emails(version: &Version, keep: &dyn Fn(&str, &str) -> bool, out: &mut Vec<Email>) {
    let said = &version.put.record.fields.emails;
    for (at, norm) in version.put.normalized.emails.iter().enumerate() {
        if !keep("emails", &norm.delivered) {
            continue;
        }
        let raw = said.iter().find(|raw| raw.value.to_lowercase().contains(&norm.delivered)).or(said.get(at));
        match out.iter_mut().find(|known| known.value == norm.delivered) {
            Some(known) => {
                known.verified |= raw.is_some_and(|raw| raw.verified);
                known.label = known.label.take().or_else(|| raw.and_then(|raw| raw.label.clone()));
            }
            None => {
                out.push(Email { value: norm.delivered.clone(), ..raw.cloned().unwrap_or_default() });
            }
        }
    }
}

fn phones(version: &Version, keep: &dyn Fn(&str, &str) -> bool, out: &mut Vec<Phone>) {
    let said = &version.put.record.fields.phones;
    for (at, norm) in version.put.normalized.phones.iter().enumerate() {
        if !keep("phones", &norm.e164) {
            continue;
        }
        let raw = said.get(at);
        match out.iter_mut().find(|known| known.value == norm.e164 && known.extension == norm.extension) {
            Some(known) => {
                known.verified |= raw.is_some_and(|raw| raw.verified);
                known.label = known.label.take().or_else(|| raw.and_then(|raw| raw.label.clone()));
            }
            None => out.push(Phone {
                value: norm.e164.clone(),
                extension: norm.extension.clone(),
                ..raw.cloned().unwrap_or_default()
            }),
        }
    }
}

fn unite<T: Clone>(from: &[T], into: &mut Vec<T>, text: impl Fn(&T) -> String, keep: impl Fn(&str) -> bool) {
    for item in from {
        let key = text(item).to_lowercase();
        if !key.is_empty() && keep(&key) && !into.iter().any(|known| text(known).to_lowercase() == key) {
            into.push(item.clone());
        }
    }
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

/// At most one primary: the first that is flagged; the order of the list is kept, the primary comes first.
fn one_primary<T>(items: &mut [T], flag: impl Fn(&mut T) -> &mut bool) {
    let first = items.iter_mut().position(|item| *flag(item));
    for (at, item) in items.iter_mut().enumerate() {
        *flag(item) = Some(at) == first;
    }
    if let Some(front) = first.and_then(|first| items.get_mut(..=first)) {
        front.rotate_right(1);
    }
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
