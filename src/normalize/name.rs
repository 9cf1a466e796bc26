//! Names: parts for people to read, tokens to compare.
//!
//! Fields that the source keeps apart win over the whole name; a whole name (or one in the wrong field)
//! is taken apart in [`parse`], and `split` says so. [`case`] repairs capitals, [`script`] knows names
//! without spaces, [`words`] the words around names.

pub mod case;
pub mod parse;
pub mod script;
pub mod words;

use std::borrow::Cow;

use crate::model::issue::Issue;
use crate::model::normalized::Name;
use crate::model::record::Fields;
use crate::normalize::name::case::{Case, case_of, fix};
use crate::normalize::name::parse::Parts;
use crate::normalize::name::script::{Writing, forms, writing_of};
use crate::normalize::{PEOPLE_ATTRIBUTE, VALUES_MAX, organization, said, text};

/// Stands before the family name that somebody was born with, in [`Name::own_script`] too.
pub const BIRTH_NAME_MARK: &str = "née";
/// Other words for it, in lower case without dots.
const BIRTH_NAME_WORDS: [&str; 10] =
    ["née", "nee", "né", "geb", "geborene", "geborener", "born", "nata", "nacida", "formerly"];

/// Titles that nobody is called, folded; "Lady", "Sri" and "Imam" are given names, too.
const NEVER_GIVEN: [&str; 17] = [
    "mr",
    "mrs",
    "ms",
    "mx",
    "miss",
    "dr",
    "prof",
    "professor",
    "sir",
    "herr",
    "frau",
    "mme",
    "mlle",
    "monsieur",
    "madame",
    "sra",
    "srta",
];

/// Reads a record's name fields.
pub fn read(fields: &Fields, issues: &mut Vec<Issue>) -> Name {
    let mut said_clean = |value, field| said(value, field, issues).map(|v| text::clean(v).into_owned());
    let said_whole = said_clean(&fields.name, "name");
    let (whole, others) = said_whole.as_deref().map(main_form).unwrap_or_default();
    let (whole, born) = take_birth_name(whole);
    let whole = Some(whole).filter(|whole| !whole.is_empty());
    let first = said_clean(&fields.first_name, "first_name");
    let last = said_clean(&fields.last_name, "last_name");
    let middle = said_clean(&fields.middle_name, "middle_name");
    let nickname = said_clean(&fields.nickname, "nickname");
    let prefix = said_clean(&fields.name_prefix, "name_prefix");
    let suffix = said_clean(&fields.name_suffix, "name_suffix");
    let (mut parts, split) = combine(whole.as_deref(), first.as_deref(), last.as_deref(), issues);
    if parts.several {
        issues.push(Issue::new("name", "name_several", "the field names two people; the first was taken"));
    }
    if let Some(middle) = middle {
        parts.middle = middle.split(' ').map(str::to_owned).collect();
    }
    if let Some(suffix) = suffix {
        parts.suffix.clear();
        parse::suffix_field(&suffix, &mut parts);
    }
    parts.nickname = nickname.or(parts.nickname);
    if let Some(prefix) = prefix {
        parts.prefix = vec![prefix];
    }
    let mut name = build(parts, split);
    if name.own_script.is_empty() && name.nickname.is_none() {
        name.own_script = people(fields);
    }
    if let Some(whole) = whole.as_deref().filter(|_| !name.split) {
        add_further_words(&mut name, whole);
    }
    if let Some(born) = born {
        add_words(&mut name, &format!("{BIRTH_NAME_MARK} {born}"));
    }
    others.iter().for_each(|other| add_words(&mut name, other));
    name
}

/// The people of a business, by name, as one text: they are no name of the record, but words that tell it from others.
fn people(fields: &Fields) -> String {
    let attributes = fields.attributes.as_deref().filter(|_| fields.organization.is_some());
    let attributes: Option<serde_json::Value> = attributes.and_then(|text| serde_json::from_str(text).ok());
    let people = attributes.as_ref().and_then(|value| value.get(PEOPLE_ATTRIBUTE)?.as_array());
    let names = people.into_iter().flatten().take(VALUES_MAX).filter_map(serde_json::Value::as_str);
    let plain = names.filter(|name| !text::is_placeholder(name)).map(|name| name.replace([',', '.'], " "));
    text::own_script(&plain.collect::<Vec<_>>().join(" "))
}

fn add_words(name: &mut Name, words: &str) {
    let all = format!("{} {words}", name.own_script);
    name.own_script = text::own_script(all.trim());
}

/// The form of a name to read where a text has it in several scripts, and the other forms.
fn main_form(whole: &str) -> (Cow<'_, str>, Vec<String>) {
    if whole.is_ascii() {
        return (Cow::Borrowed(whole), Vec::new());
    }
    let mut forms = forms(whole).into_iter();
    match (forms.next(), forms.len()) {
        (Some((_, main)), 1..) => (Cow::Owned(main), forms.map(|(_, form)| form).collect()),
        _ => (Cow::Borrowed(whole), Vec::new()),
    }
}

/// Takes the name somebody was born with off the end: "Ann Lee née Roy", "Ann Lee (geb. Roy)".
fn take_birth_name(whole: Cow<'_, str>) -> (String, Option<String>) {
    let words: Vec<&str> = whole.split(' ').collect();
    let mark = |word: &&str| BIRTH_NAME_WORDS.contains(&words::bare(word).as_str());
    match words.iter().position(mark) {
        Some(at) if at > 0 && at + 1 < words.len() && at + 4 > words.len() => {
            let born = words.get(at + 1..).unwrap_or_default().join(" ");
            let own = words.get(..at).unwrap_or_default().join(" ");
            (own, Some(born.trim_matches(['(', ')', ' ']).to_owned()))
        }
        _ => (whole.into_owned(), None),
    }
}

/// The folded family name that somebody was born with, if the name tells.
pub fn birth_name(name: &Name) -> Vec<String> {
    let mut words = name.own_script.split(' ').skip_while(|word| *word != BIRTH_NAME_MARK).skip(1);
    let born = words.by_ref().take_while(|word| writing_of(word) == Some(Writing::Latin));
    family_tokens(&born.collect::<Vec<_>>().join(" "))
}

/// The writing of a name's parts; `None` when they have no letters.
pub fn writing_of_parts(name: &Name) -> Option<Writing> {
    name.last.as_deref().or(name.first.as_deref()).and_then(writing_of)
}

/// The folded given and family names of the forms that a name has in other scripts than its parts, romanised.
pub fn other_forms(name: &Name) -> Vec<(Vec<String>, Vec<String>)> {
    if name.own_script.is_ascii() {
        return Vec::new();
    }
    let own = writing_of_parts(name);
    let words: Vec<&str> = name.own_script.split(' ').filter(|word| *word != BIRTH_NAME_MARK).collect();
    let text = words.join(" ");
    let others = forms(&text).into_iter().filter(|(writing, _)| Some(*writing) != own);
    others
        .map(|(_, form)| parse::whole(&form))
        .map(|parts| {
            let tokens = |words: &[String]| words.iter().flat_map(|word| text::tokens(word)).collect::<Vec<_>>();
            (tokens(&parts.first), family_tokens(&parts.last.join(" ")))
        })
        .collect()
}

/// Adds the words that only the whole name has beside the parts that were given ("1st Baron Clifford of
/// Chudleigh") to the name in its own script: they tell namesakes apart and find what the parts miss.
fn add_further_words(name: &mut Name, whole: &str) {
    let known: Vec<String> = [&name.first, &name.middle, &name.last, &name.nickname, &name.suffix]
        .into_iter()
        .filter_map(|part| part.as_deref())
        .flat_map(text::tokens)
        .collect();
    let plain = |word: &&str| words::generation(word).is_none() && !words::is_title(word);
    let new = |word: &&str| text::tokens(word).iter().any(|token| !known.contains(token));
    let further: Vec<&str> =
        whole.split([' ', ',', ';', '(', ')', '"']).filter(|w| !w.is_empty()).filter(plain).filter(new).collect();
    if !further.is_empty() {
        let all = format!("{} {}", name.own_script, further.join(" "));
        name.own_script = text::own_script(all.trim());
    }
}

/// Chooses between the fields: parts that were given, else a whole name taken apart. The flag says that it was split.
fn combine(whole: Option<&str>, first: Option<&str>, last: Option<&str>, issues: &mut Vec<Issue>) -> (Parts, bool) {
    match (first, last) {
        (Some(first), Some(last)) => (without_title(both(first, last), whole), false),
        (Some(first), None) => only_first(first, whole, issues),
        (None, Some(last)) => only_last(last, whole, issues),
        (None, None) => match whole {
            Some(whole) => (split_field(whole, "name", issues), true),
            None => (Parts::default(), false),
        },
    }
}

fn both(first: &str, last: &str) -> Parts {
    let mut parts = parse::given_field(first);
    let family = parse::family_field(last);
    let (held, tail) = (text::fold(first), text::fold(last));
    let repeated = family.last.len() < parts.first.len() && !tail.is_empty() && held.ends_with(&format!(" {tail}"));
    if repeated {
        parts.first.truncate(parts.first.len() - family.last.len());
    }
    parts.last = family.last;
    parts.suffix = family.suffix;
    parts.generation = family.generation;
    parts.nickname = parts.nickname.or(family.nickname);
    if parts.first.is_empty() {
        parts.first = std::mem::take(&mut parts.middle);
    }
    parts
}

/// A field of given names that holds a title only ("Sir", "Mrs."): the whole name may have the given names, too.
fn without_title(mut parts: Parts, whole: Option<&str>) -> Parts {
    if !is_title_only(&parts.first) {
        return parts;
    }
    let told = whole.map(parse::whole).filter(|told| !told.first.is_empty() && !is_title_only(&told.first));
    match told {
        Some(told) => {
            parts.prefix.append(&mut parts.first);
            parts.first = told.first;
            if parts.middle.is_empty() {
                parts.middle = told.middle;
            }
        }
        None if parts.first.iter().all(|word| NEVER_GIVEN.contains(&words::bare(word).as_str())) => {
            parts.prefix.append(&mut parts.first);
        }
        None => {}
    }
    parts
}

fn is_title_only(given: &[String]) -> bool {
    !given.is_empty() && given.iter().all(|word| words::is_title(word))
}

fn only_first(first: &str, whole: Option<&str>, issues: &mut Vec<Issue>) -> (Parts, bool) {
    if let Some(whole) = whole {
        let parsed = parse::whole(whole);
        let starts = text::fold(&parsed.first.join(" "));
        let begins = !starts.is_empty() && text::fold(first).starts_with(&starts);
        if !parsed.last.is_empty() && (begins || is_title_only(&parse::given_field(first).first)) {
            return (parsed, true);
        }
    }
    let parsed = split_field(first, "first_name", issues);
    let split = !parsed.last.is_empty();
    (parsed, split)
}

fn only_last(last: &str, whole: Option<&str>, issues: &mut Vec<Issue>) -> (Parts, bool) {
    if let Some(whole) = whole {
        let parsed = parse::whole(whole);
        if !parsed.first.is_empty() && text::fold(&parsed.last.join(" ")) == text::fold(last) {
            return (parsed, true);
        }
    }
    if last.contains(',') {
        let parsed = split_field(last, "last_name", issues);
        let split = !parsed.first.is_empty();
        return (parsed, split);
    }
    (parse::family_field(last), false)
}

/// A whole name in one field; what is no name at all is kept with an issue.
fn split_field(value: &str, field: &str, issues: &mut Vec<Issue>) -> Parts {
    if value.contains('@') {
        issues.push(Issue::new(field, "name_is_email", "an email address stands in the place of the name"));
        let user = value.split('@').next().unwrap_or("");
        let spaced: String = user.chars().map(|c| if c.is_alphabetic() { c } else { ' ' }).collect();
        let parts = parse::whole(text::clean(&spaced).as_ref());
        if !parts.first.is_empty() || !parts.last.is_empty() {
            return parts;
        }
    }
    if text::digits(value).len() >= 7 && !value.chars().any(char::is_alphabetic) {
        issues.push(Issue::new(field, "name_is_phone", "a phone number stands in the place of the name"));
        return Parts { last: vec![value.to_owned()], ..Parts::default() };
    }
    if organization::is_company(value) {
        issues.push(Issue::new(field, "name_is_company", "a company stands in the place of the name"));
        return Parts { last: vec![value.to_owned()], ..Parts::default() };
    }
    let parts = parse::whole(value);
    if parts.first.is_empty() && parts.last.is_empty() {
        return Parts { last: vec![value.to_owned()], ..Parts::default() };
    }
    parts
}

fn build(parts: Parts, split: bool) -> Name {
    let whole = case_of(&[parts.first.join(" "), parts.middle.join(" "), parts.last.join(" ")].join(" "));
    let show = |words: &[String], family: bool| -> Option<String> {
        let joined = words.join(" ");
        let shown = fix(joined.trim_matches([',', ';', ' ']), family, whole);
        (!shown.is_empty()).then_some(shown)
    };
    let mut name = Name {
        first: show(&parts.first, false),
        middle: show(&parts.middle, false),
        last: show(&parts.last, true),
        suffix: (!parts.suffix.is_empty()).then(|| parts.suffix.join(" ")),
        prefix: show_prefix(&parts.prefix),
        nickname: parts.nickname.map(|n| fix(&n, false, Case::Mixed)),
        generation: parts.generation,
        split,
        ..Name::default()
    };
    let tokens = |part: &Option<String>| part.as_deref().map(text::tokens).unwrap_or_default();
    name.first_tokens = tokens(&name.first);
    name.middle_tokens = tokens(&name.middle);
    name.nickname_tokens = tokens(&name.nickname);
    name.last_tokens = name.last.as_deref().map(family_tokens).unwrap_or_default();
    let shown = [&name.first, &name.middle, &name.last];
    let all: Vec<&str> = shown.into_iter().filter_map(|p| p.as_deref()).collect();
    name.own_script = text::own_script(&all.join(" "));
    name
}

fn show_prefix(prefix: &[String]) -> Option<String> {
    if prefix.is_empty() {
        return None;
    }
    let shown = prefix.iter().map(|word| match case_of(word) {
        Case::Mixed => word.clone(),
        Case::Upper | Case::Lower => fix(word, false, Case::Upper),
    });
    Some(shown.collect::<Vec<_>>().join(" "))
}

/// Tokens of a family name without particles, unless it is nothing else; its last word always stays.
fn family_tokens(last: &str) -> Vec<String> {
    let mut tokens: Vec<String> = last.split([' ', '-', '\u{2010}', '\u{2011}']).flat_map(text::tokens).collect();
    let mut left = tokens.len();
    tokens.retain(|token| {
        left -= 1;
        left == 0 || !matches!(words::particle(token), Some(words::Particle::Lower | words::Particle::Drop))
    });
    tokens
}

#[cfg(test)]
mod tests;
