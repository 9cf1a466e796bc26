//! One vCard, already text, as a record. The reader in `vcard.rs` has split the file and dropped what
//! we do not use.

#![expect(clippy::wildcard_enum_match_arm, reason = "calcard's properties and values are many; we read a few")]

use calcard::common::PartialDateTime;
use calcard::vcard::{VCard, VCardEntry, VCardParameterName, VCardProperty, VCardValue};

use crate::formats::checks::{InputRecord, RowError};
use crate::model::ids::Millis;
use crate::model::issue::Issue;
use crate::model::record::{Address, Email, Fields, Phone, Social};

/// The record of a card.
pub(super) fn record(text: &str, source: &str, issues: &mut Vec<Issue>) -> Result<InputRecord, RowError> {
    let card = VCard::parse(text)
        .map_err(|_| RowError::new("card", "card_unreadable", "not a vCard we can read; export it again"))?;
    let mut mapped = Mapped { card: &card, out: empty(source), skip: None };
    for entry in &card.entries {
        mapped.entry(entry);
    }
    if let Some(kind) = mapped.skip {
        let message = format!("the card is a {kind}, not a person or business");
        return Err(RowError::new("card", "card_kind", message));
    }
    if mapped.out.fields.emails.is_empty() && mapped.out.fields.phones.is_empty() && text.contains('\u{fffd}') {
        let message = "some characters could not be read; say the character set when exporting";
        issues.push(Issue::new("card", "encoding_unclear", message));
    }
    mapped.out.checked()
}

fn empty(source: &str) -> InputRecord {
    InputRecord {
        source: source.to_owned(),
        source_record_id: None,
        source_updated_at: None,
        version: None,
        fields: Fields::default(),
    }
}

/// A record being filled from a card.
struct Mapped<'c> {
    card: &'c VCard,
    out: InputRecord,
    /// The card is not about a person or business: what it is.
    skip: Option<String>,
}

impl Mapped<'_> {
    fn entry(&mut self, entry: &VCardEntry) {
        let fields = &mut self.out.fields;
        match &entry.name {
            VCardProperty::Fn => fill(&mut fields.name, text(entry)),
            VCardProperty::N => name(fields, entry),
            VCardProperty::Nickname => fill(&mut fields.nickname, text(entry)),
            VCardProperty::Email => self.email(entry),
            VCardProperty::Tel => self.phone(entry),
            VCardProperty::Adr => self.address(entry),
            VCardProperty::Org => {
                fill(&mut fields.organization, part(entry, 0));
                fill(&mut fields.department, part(entry, 1));
            }
            VCardProperty::Title => fill(&mut fields.job_title, text(entry)),
            VCardProperty::Role => fill(&mut fields.job_title, text(entry)),
            VCardProperty::Bday => fill(&mut fields.birthday, birthday(entry)),
            VCardProperty::Gender => fill(&mut fields.gender, text(entry)),
            VCardProperty::Url => fields.urls.extend(text(entry)),
            VCardProperty::Note => note(fields, text(entry)),
            VCardProperty::Categories => fields.tags.extend(texts(entry)),
            VCardProperty::Impp | VCardProperty::Socialprofile => self.social(entry),
            VCardProperty::Uid => fill(&mut self.out.source_record_id, text(entry)),
            VCardProperty::Rev => self.out.source_updated_at = revision(entry),
            VCardProperty::Kind => self.kind(text(entry)),
            VCardProperty::Other(name) => self.extension(&name.to_ascii_uppercase(), entry),
            _unused => {}
        }
    }

    /// Properties outside the standard.
    fn extension(&mut self, name: &str, entry: &VCardEntry) {
        let service = match name {
            "X-SOCIALPROFILE" => return self.social(entry),
            "X-ADDRESSBOOKSERVER-KIND" => return self.kind(text(entry)),
            "X-GENDER" => return fill(&mut self.out.fields.gender, text(entry)),
            "X-DEPARTMENT" => return fill(&mut self.out.fields.department, text(entry)),
            "X-SKYPE" | "X-SKYPE-USERNAME" => "skype",
            "X-AIM" => "aim",
            "X-JABBER" => "jabber",
            "X-TWITTER" => "twitter",
            _ => return,
        };
        if let Some(username) = text(entry) {
            self.out.fields.social.push(Social { service: service.to_owned(), username });
        }
    }

    fn kind(&mut self, kind: Option<String>) {
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        if matches!(kind.as_str(), "group" | "location" | "application" | "device") {
            self.skip = Some(kind);
        }
    }

    fn email(&mut self, entry: &VCardEntry) {
        for value in texts(entry) {
            let value = value.trim_start_matches("mailto:").to_owned();
            let (label, primary) = self.label(entry);
            self.out.fields.emails.push(Email { value, label, primary, ..Email::default() });
        }
    }

    fn phone(&mut self, entry: &VCardEntry) {
        for value in texts(entry) {
            let value = strip_scheme(&value, "tel:");
            let (value, extension) = match value.split_once(";ext=") {
                Some((value, extension)) => (value.to_owned(), Some(extension.to_owned())),
                None => (value.to_owned(), None),
            };
            let (label, primary) = self.label(entry);
            let phone = Phone { value, label, extension, primary, ..Phone::default() };
            self.out.fields.phones.push(phone);
        }
    }

    fn address(&mut self, entry: &VCardEntry) {
        let (label, _) = self.label(entry);
        let lines: Vec<String> = [2, 1, 0].iter().filter_map(|index| part(entry, *index)).collect();
        self.out.fields.addresses.push(Address {
            street: (!lines.is_empty()).then(|| lines.join(", ")),
            city: part(entry, 3),
            region: part(entry, 4),
            postal_code: part(entry, 5),
            country: part(entry, 6),
            label,
        });
    }

    fn social(&mut self, entry: &VCardEntry) {
        let Some(value) = text(entry) else { return };
        let parameters = [
            VCardParameterName::ServiceType,
            VCardParameterName::Other("X-SERVICE-TYPE".to_owned()),
            VCardParameterName::Type,
        ];
        let given = parameters.iter().find_map(|name| {
            let generic = |word: &String| !matches!(word.as_str(), "home" | "work" | "pref" | "other" | "personal");
            words(entry, name).into_iter().find(generic)
        });
        let (scheme, rest) = value.split_once(':').unwrap_or(("", value.as_str()));
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let user = ["X-USER", "USERNAME"].iter().find_map(|name| parameter(entry, name));
        let username = match user {
            Some(user) => user,
            None if is_web || scheme.is_empty() => value.clone(),
            None => rest.to_owned(),
        };
        let service = given.unwrap_or_else(|| {
            if is_web || scheme.is_empty() { "other".to_owned() } else { scheme.to_ascii_lowercase() }
        });
        self.out.fields.social.push(Social { service, username });
    }

    /// What a value is for, and whether it is preferred: Apple's label, else the types.
    fn label(&self, entry: &VCardEntry) -> (Option<String>, bool) {
        let types = words(entry, &VCardParameterName::Type);
        let has = |word: &str| types.iter().any(|have| have == word);
        let primary = has("pref")
            || entry.parameters(&VCardParameterName::Pref).next().is_some()
            || parameter(entry, "PREF").is_some()
            || entry.params.iter().any(|p| p.name == VCardParameterName::Other("PREF".to_owned()));
        let own = entry.group.as_ref().and_then(|group| self.group_label(group));
        let fax = if has("work") { "work fax" } else { "fax" };
        let label = own.or_else(|| {
            let known = [
                ("fax", fax),
                ("pager", "pager"),
                ("cell", "mobile"),
                ("mobile", "mobile"),
                ("iphone", "mobile"),
                ("main", "main"),
                ("main-number", "main"),
                ("work", "work"),
                ("home", "home"),
                ("other", "other"),
            ];
            known.iter().find(|(word, _)| has(word)).map(|(_, label)| (*label).to_owned())
        });
        (label, primary)
    }

    /// Apple's label of a group, such as `_$!<HomePage>!$_`.
    fn group_label(&self, group: &str) -> Option<String> {
        let is_label = |entry: &&VCardEntry| {
            matches!(&entry.name, VCardProperty::Other(name) if name.eq_ignore_ascii_case("X-ABLABEL"))
                && entry.group.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(group))
        };
        let label = text(self.card.entries.iter().find(is_label)?)?;
        let bare = label.trim_start_matches("_$!<").trim_end_matches(">!$_").trim().to_lowercase();
        (!bare.is_empty()).then_some(bare)
    }
}

/// Sets a value that is not set yet.
fn fill(slot: &mut Option<String>, value: Option<String>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// The structured name.
fn name(fields: &mut Fields, entry: &VCardEntry) {
    fill(&mut fields.last_name, part(entry, 0));
    fill(&mut fields.first_name, part(entry, 1));
    fill(&mut fields.middle_name, part(entry, 2));
    fill(&mut fields.name_prefix, part(entry, 3));
    fill(&mut fields.name_suffix, part(entry, 4));
}

/// Several notes become one.
fn note(fields: &mut Fields, value: Option<String>) {
    match (&mut fields.notes, value) {
        (Some(notes), Some(more)) => {
            notes.push('\n');
            notes.push_str(&more);
        }
        (slot, value) => fill(slot, value),
    }
}

/// A value as text; `None` when blank or not text.
fn value_text(value: &VCardValue) -> Option<String> {
    let text = match value {
        VCardValue::Component(parts) => parts.join(" "),
        VCardValue::Integer(number) => number.to_string(),
        VCardValue::Binary(data) => String::from_utf8(data.data.clone()).ok()?,
        VCardValue::PartialDateTime(date) => date_text(date)?,
        other => other.as_text()?.to_owned(),
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first value as text.
fn text(entry: &VCardEntry) -> Option<String> {
    entry.values.iter().find_map(value_text)
}

/// All values as text.
fn texts(entry: &VCardEntry) -> Vec<String> {
    entry.values.iter().filter_map(value_text).collect()
}

/// One part of a structured value.
fn part(entry: &VCardEntry, index: usize) -> Option<String> {
    entry.values.get(index).and_then(value_text)
}

/// The values of a parameter in lower case.
fn words(entry: &VCardEntry, name: &VCardParameterName) -> Vec<String> {
    let texts = entry.parameters(name).filter_map(|value| value.as_text());
    texts.flat_map(|text| text.split(',')).map(|word| word.trim().to_lowercase()).collect()
}

/// A parameter's text by its name, whatever its case.
fn parameter(entry: &VCardEntry, name: &str) -> Option<String> {
    let same = |own: &VCardParameterName| own.as_str().eq_ignore_ascii_case(name);
    let found = entry.params.iter().find(|parameter| same(&parameter.name))?;
    found.value.as_text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Removes a URI scheme.
fn strip_scheme<'t>(value: &'t str, scheme: &str) -> &'t str {
    let head = value.get(..scheme.len());
    match head.filter(|head| head.eq_ignore_ascii_case(scheme)) {
        Some(_) => value.get(scheme.len()..).unwrap_or_default(),
        None => value,
    }
}

/// `1980-02-03`, `--02-03` without a year, `1980` alone.
fn date_text(date: &PartialDateTime) -> Option<String> {
    match (date.year, date.month, date.day) {
        (Some(year), Some(month), Some(day)) => Some(format!("{year:04}-{month:02}-{day:02}")),
        (None, Some(month), Some(day)) => Some(format!("--{month:02}-{day:02}")),
        (Some(year), Some(month), None) => Some(format!("{year:04}-{month:02}")),
        (Some(year), None, None) => Some(format!("{year:04}")),
        _ => None,
    }
}

/// The birthday; Apple writes an unknown year as 1604.
fn birthday(entry: &VCardEntry) -> Option<String> {
    let text = text(entry)?;
    let omitted = parameter(entry, "X-APPLE-OMIT-YEAR").unwrap_or_else(|| "1604".to_owned());
    match text.strip_prefix(omitted.as_str()).and_then(|rest| rest.strip_prefix('-')) {
        Some(rest) => Some(format!("--{rest}")),
        None => Some(text),
    }
}

/// When the card was last changed; missing when it does not say day and year.
fn revision(entry: &VCardEntry) -> Option<Millis> {
    match entry.values.first()? {
        VCardValue::PartialDateTime(date) => {
            let day = date_text(date)?;
            let part = |value: Option<u8>| value.unwrap_or(0);
            let (hour, minute, second) = (part(date.hour), part(date.minute), part(date.second));
            let sign = if date.tz_minus { '-' } else { '+' };
            let (tz_hour, tz_minute) = (part(date.tz_hour), part(date.tz_minute));
            let text = format!("{day}T{hour:02}:{minute:02}:{second:02}{sign}{tz_hour:02}:{tz_minute:02}");
            crate::formats::json::lenient_time(&text)
        }
        other => crate::formats::json::lenient_time(other.as_text()?),
    }
}
