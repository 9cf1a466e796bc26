//! Blocking keys: the short values by which two records find each other.
//!
//! A function of the record and the model alone, so that who is compared with whom never depends on
//! order. A key that too many records share proposes nobody; therefore every coarse key (a sound
//! pair, an initial with a family name) also comes refined by a second value (city, organisation,
//! year of birth), and a large block is narrowed. A key that few people share ([`KeyKind::Narrow`]) is never left out of a
//! file's run, however many hold it (see `resolve::batch`). A key with a missing part is left out.
//!
//! Fuzziness is symmetric: both sides carry the skeletons, full names of nicknames and deletion
//! variants, and meet in one of them.

use crate::matching::features::{Features, phone_tail};
use crate::matching::model::Model;
use crate::matching::readings::{How, Named};
use crate::matching::similarity::phonetic;
use crate::matching::token::skeleton;
use crate::model::key::{Key, KeyKind};
use crate::model::normalized::{Birthday, NormAddress, NormEmail, Normalized, Organization};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Most keys of one record.
pub const KEYS_MAX: usize = 64;
/// Most values of one kind (mails, phones, addresses) that make keys.
const VALUES_MAX: usize = 4;
/// Most family-name parts that make keys.
const PARTS_MAX: usize = 3;
/// Letters of a family name from which, and up to which, deletion variants are made.
const DELETIONS: std::ops::RangeInclusive<usize> = 5..=9;

/// What a compound key is made of.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Variant {
    Sounds = 1,
    FullName,
    InitialSurname,
    InitialSound,
    Given3Surname4,
    Given2Surname4,
    Deletion,
    Metaphone,
    LoneGiven,
    LoneSurname,
    SoundContext,
    SurnameContext,
    InitialContext,
    SoundsContext,
    PhoneTail9,
    PhoneTail7,
    MailUser,
    MailName,
    BirthdayInitial,
    BirthYearSound,
    BirthDayName,
    Birthday,
    Street,
    StreetArea,
    Organization,
    OrganizationPair,
    OrganizationContext,
    NameWord,
    PlaceBirth,
    PlaceTitle,
    PhonePart,
}

impl Variant {
    /// Whether few people share a key of this kind. Its block is chained where it is too large, not left out.
    fn is_narrow(self) -> bool {
        matches!(
            self,
            Self::FullName
                | Self::Sounds
                | Self::BirthdayInitial
                | Self::BirthDayName
                | Self::Birthday
                | Self::PhoneTail9
                | Self::MailUser
                | Self::MailName
                | Self::Street
                | Self::Organization
        )
    }
}

/// The keys collected so far, in order, without duplicates.
struct Keys {
    list: Vec<(Key, KeyKind)>,
}

impl Keys {
    fn add(&mut self, kind: KeyKind, key: Key) {
        if self.list.len() < KEYS_MAX && !self.list.iter().any(|(k, _)| *k == key) {
            self.list.push((key, kind));
        }
    }

    /// A compound key; nothing when a part is missing.
    fn compound(&mut self, variant: Variant, parts: &[&str]) {
        if parts.iter().all(|part| !part.is_empty()) {
            let kind = if variant.is_narrow() { KeyKind::Narrow } else { KeyKind::Compound };
            self.add(kind, Key::new(KeyKind::Compound, variant as u8, parts));
        }
    }

    /// A compound key of two parts whose order does not count.
    fn pair(&mut self, variant: Variant, a: &str, b: &str, rest: &str) {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        match rest {
            "" => self.compound(variant, &[a, b]),
            _ => self.compound(variant, &[a, b, rest]),
        }
    }
}

/// The blocking keys of one record, without duplicates, at most [`KEYS_MAX`]; identifiers first.
pub fn emit(features: &Features, normalized: &Normalized, model: &Model) -> Vec<(Key, KeyKind)> {
    let mut keys = Keys { list: Vec::with_capacity(32) };
    for (kind, key) in features.identifiers() {
        keys.add(kind, key);
    }
    let context = Context::new(normalized);
    phones(&mut keys, normalized);
    mails(&mut keys, normalized);
    let unpacked = features.unpack();
    let named = unpacked.named();
    let names = Names::of(&named);
    let mut codes = Codes::default();
    for name in &names {
        name.keys(&mut keys, model, normalized, &context, &mut codes);
    }
    birthday_alone(&mut keys, normalized);
    places(&mut keys, &context);
    for address in normalized.addresses.iter().take(VALUES_MAX) {
        streets(&mut keys, address);
    }
    organization(&mut keys, normalized, names.is_empty());
    for word in unpacked.words.iter().filter(|word| word.rarity > RARE_WORD).take(VALUES_MAX) {
        keys.compound(Variant::NameWord, &[&word.hash.to_string()]);
    }
    keys.list
}

/// Bits of rarity from which a further word of a name proposes.
const RARE_WORD: f32 = 8.0;

/// Second values that refine a name.
#[derive(Default)]
struct Context {
    organization: String,
    domains: Vec<String>,
    cities: Vec<String>,
    postcodes: Vec<String>,
    title: String,
    birthday: Option<Birthday>,
}

impl Context {
    fn new(record: &Normalized) -> Self {
        let addresses = || record.addresses.iter().take(VALUES_MAX);
        Self {
            organization: record.organization.as_ref().map(Organization::joined).unwrap_or_default(),
            domains: record.domains.iter().take(VALUES_MAX).cloned().collect(),
            cities: addresses().filter_map(|a| a.city.clone()).collect(),
            postcodes: addresses().filter_map(|a| a.postal_code.clone()).collect(),
            title: record.job_title.clone().unwrap_or_default(),
            birthday: record.birthday,
        }
    }

    /// Organisation, domains, cities.
    fn main(&self) -> impl Iterator<Item = &str> {
        let organization = std::iter::once(self.organization.as_str());
        organization.chain(self.domains.iter().map(String::as_str)).chain(self.cities.iter().map(String::as_str))
    }
}

/// Sound codes of words met so far: most readings of a name have the same ones.
#[derive(Default)]
struct Codes<'a>(SmallVec<[(&'a str, Option<String>); 4]>);

impl<'a> Codes<'a> {
    fn of(&mut self, word: &'a str) -> Option<String> {
        if let Some((_, code)) = self.0.iter().find(|(known, _)| *known == word) {
            return code.clone();
        }
        let code = phonetic(word);
        self.0.push((word, code.clone()));
        code
    }
}

/// A given and a family name of one reading; either may be empty.
#[derive(PartialEq)]
struct Names<'a> {
    given: &'a str,
    given_hash: u32,
    surname: &'a str,
    parts: Vec<&'a str>,
    /// Skeleton of the first part of the family name; empty when there is none.
    surname_sound: String,
}

impl<'a> Names<'a> {
    /// The names of all readings but the swapped ones (keys of pairs do not mind the order).
    fn of(named: &Named<'a>) -> Vec<Names<'a>> {
        let tokens = &named.tokens;
        let mut out = Vec::new();
        for reading in &named.readings {
            if reading.how == How::Swapped {
                continue;
            }
            let given = reading.given.token(tokens, 0);
            let surname = reading.surname.joined(tokens).map_or("", |t| t.text());
            let mut parts: Vec<&str> = reading.surname.tokens(tokens).map(|t| t.text()).take(PARTS_MAX).collect();
            if parts.len() > 1 {
                parts.push(surname);
            }
            out.push(Names {
                given: given.map_or("", |t| t.text()),
                given_hash: given.map_or(0, |t| t.hash),
                surname,
                surname_sound: parts.first().map(|part| skeleton(part)).unwrap_or_default(),
                parts,
            });
        }
        out
    }

    fn keys(&self, keys: &mut Keys, model: &Model, record: &Normalized, context: &Context, codes: &mut Codes<'a>) {
        let initial = first(self.given, 1);
        let sounds = self.given_sounds(model);
        keys.pair(Variant::FullName, self.given, self.surname, "");
        for part in &self.parts {
            self.part_keys(keys, part, &sounds, context, codes);
        }
        self.mail_names(keys, initial);
        self.sound_context(keys, &sounds, context);
        for other in context.main().chain(context.postcodes.iter().map(String::as_str)) {
            keys.compound(Variant::InitialContext, &[initial, other]);
        }
        self.birthday_keys(keys, context, &sounds);
        self.phone_keys(keys, record, &sounds);
        if self.given.len() > 2 {
            keys.compound(Variant::LoneGiven, &[self.given]);
        }
        if self.surname.len() > 1 {
            keys.compound(Variant::LoneSurname, &[self.surname]);
        }
    }

    /// Skeletons of the given name and of the full names it stands for.
    fn given_sounds(&self, model: &Model) -> Vec<String> {
        if self.given.len() < 2 {
            return Vec::new();
        }
        let full = model.nicknames.canonical_texts(self.given_hash);
        let sounds: BTreeSet<String> = std::iter::once(self.given).chain(full).map(skeleton).collect();
        sounds.into_iter().collect()
    }

    fn part_keys(&self, keys: &mut Keys, part: &'a str, sounds: &[String], context: &Context, codes: &mut Codes<'a>) {
        let initial = first(self.given, 1);
        let sound = skeleton(part);
        for given in sounds {
            keys.pair(Variant::Sounds, given, &sound, "");
        }
        if let Some(given) = sounds.first() {
            let year = context.birthday.and_then(|b| b.year).map(|y| y.to_string());
            for other in context.main().chain(year.as_deref()) {
                keys.pair(Variant::SoundsContext, given, &sound, other);
            }
        }
        if part.len() > 1 {
            keys.compound(Variant::InitialSurname, &[initial, part]);
            keys.compound(Variant::InitialSound, &[initial, &sound]);
        }
        if self.given.len() > 1 && part.len() > 1 {
            keys.compound(Variant::Given3Surname4, &[first(self.given, 3), last(part, 4)]);
            keys.compound(Variant::Given2Surname4, &[first(self.given, 2), first(part, 4)]);
            if let (Some(a), Some(b)) = (codes.of(self.given), codes.of(part)) {
                keys.pair(Variant::Metaphone, &a, &b, "");
            }
        }
        for variant in deletions(part) {
            keys.compound(Variant::Deletion, &[initial, &variant]);
        }
        let others = context.main().chain(context.postcodes.iter().map(String::as_str));
        for other in others.chain([context.title.as_str()]) {
            keys.compound(Variant::SurnameContext, &[part, other]);
        }
    }

    /// A name with either half of a phone number: one digit may be wrong.
    fn phone_keys(&self, keys: &mut Keys, record: &Normalized, sounds: &[String]) {
        for phone in record.phones.iter().take(VALUES_MAX) {
            let (front, back) = (phone_tail(&phone.e164, 9) / 10_000, phone_tail(&phone.e164, 4));
            for sound in sounds.iter().take(1).chain([&self.surname_sound]) {
                for (half, digits) in [("front", front), ("back", back)] {
                    if front != 0 {
                        keys.compound(Variant::PhonePart, &[sound, half, &digits.to_string()]);
                    }
                }
            }
        }
    }

    /// What a mail user made from this name would look like.
    fn mail_names(&self, keys: &mut Keys, initial: &str) {
        if self.given.is_empty() || self.surname.len() < 2 {
            return;
        }
        let last_initial = first(self.surname, 1);
        for user in [
            format!("{}{}", self.given, self.surname),
            format!("{}{}", self.surname, self.given),
            format!("{initial}{}", self.surname),
            format!("{}{last_initial}", self.given),
        ] {
            if user.len() >= MAIL_NAME_MIN {
                keys.compound(Variant::MailName, &[&user]);
            }
        }
    }

    /// The sound of either name with what is around it: also finds a name that is swapped, alone or misspelt.
    fn sound_context(&self, keys: &mut Keys, sounds: &[String], context: &Context) {
        for sound in sounds.iter().chain([&self.surname_sound]) {
            let others = context.main().chain(context.postcodes.iter().map(String::as_str));
            for other in others.chain([context.title.as_str()]) {
                keys.compound(Variant::SoundContext, &[sound, other]);
            }
        }
    }

    fn birthday_keys(&self, keys: &mut Keys, context: &Context, sounds: &[String]) {
        let Some(birthday) = context.birthday else {
            return;
        };
        let year = birthday.year.map(|y| y.to_string()).unwrap_or_default();
        let day = day_month(&birthday);
        keys.compound(Variant::BirthdayInitial, &[&year, &day, first(self.given, 1)]);
        keys.compound(Variant::BirthYearSound, &["s", &year, &self.surname_sound]);
        keys.compound(Variant::BirthDayName, &["s", &day, &self.surname_sound]);
        for given in sounds {
            keys.compound(Variant::BirthYearSound, &["g", &year, given]);
            keys.compound(Variant::BirthDayName, &["g", &day, given]);
        }
    }
}

/// Fewest letters of a mail user that may stand for a name.
const MAIL_NAME_MIN: usize = 5;

/// Fewest letters of a mail user that finds others by itself.
const MAIL_USER_MIN: usize = 3;

/// Day and month, smaller first, so that swapped ones meet.
fn day_month(birthday: &Birthday) -> String {
    match (birthday.month, birthday.day) {
        (Some(month), Some(day)) => format!("{}-{}", month.min(day), month.max(day)),
        _ => String::new(),
    }
}

/// A place with a birthday or a trade: finds people whose names are no help.
fn places(keys: &mut Keys, context: &Context) {
    let year = context.birthday.and_then(|b| b.year).map(|year| year.to_string()).unwrap_or_default();
    let day = context.birthday.map(|b| day_month(&b)).unwrap_or_default();
    for place in &context.postcodes {
        keys.compound(Variant::PlaceBirth, &[place, &year]);
        keys.compound(Variant::PlaceTitle, &[place, &context.title]);
    }
    for place in &context.cities {
        let place = skeleton(place);
        keys.compound(Variant::PlaceTitle, &[&place, &context.title]);
        keys.compound(Variant::PlaceBirth, &[&place, &year]);
        keys.compound(Variant::PlaceBirth, &[&place, "d", &day]);
    }
}

fn birthday_alone(keys: &mut Keys, record: &Normalized) {
    if let Some(birthday) = record.birthday
        && let Some(year) = birthday.year
    {
        keys.compound(Variant::Birthday, &[&year.to_string(), &day_month(&birthday)]);
    }
}

fn phones(keys: &mut Keys, record: &Normalized) {
    for phone in record.phones.iter().take(VALUES_MAX) {
        for (variant, digits) in [(Variant::PhoneTail9, 9), (Variant::PhoneTail7, 7)] {
            match phone_tail(&phone.e164, digits) {
                0 => {}
                tail => keys.compound(variant, &[&tail.to_string()]),
            }
        }
    }
}

fn mails(keys: &mut Keys, record: &Normalized) {
    for mail in record.emails.iter().filter(|mail| !mail.role).take(VALUES_MAX) {
        mail_user(keys, mail);
    }
}

fn mail_user(keys: &mut Keys, mail: &NormEmail) {
    let letters: String = mail.user.chars().filter(char::is_ascii_alphabetic).collect();
    if mail.user.len() >= MAIL_USER_MIN {
        keys.compound(Variant::MailUser, &[&mail.user]);
    }
    if letters.len() >= MAIL_NAME_MIN {
        keys.compound(Variant::MailName, &[&letters]);
    }
}

fn streets(keys: &mut Keys, address: &NormAddress) {
    let number = address.number.as_deref().unwrap_or("");
    let area = address.postal_code.as_deref().or(address.city.as_deref()).unwrap_or("");
    for word in address.street.iter().filter(|word| word.len() > 2).take(VALUES_MAX) {
        keys.compound(Variant::Street, &[number, word]);
        keys.compound(Variant::StreetArea, &[word, area]);
    }
}

/// A business finds its like by its name alone, by pairs of its words and by a word with a place.
fn organization(keys: &mut Keys, record: &Normalized, business: bool) {
    let Some(organization) = &record.organization else {
        return;
    };
    let context = Context::new(record);
    for name in organization.names().take(2) {
        keys.compound(Variant::Organization, &[&skeleton(&name.concat())]);
        if business {
            business_name(keys, name, &context, record);
        }
    }
}

fn business_name(keys: &mut Keys, name: &[String], context: &Context, record: &Normalized) {
    let words: Vec<&String> = name.iter().filter(|w| w.len() > 1).take(VALUES_MAX).collect();
    for (i, a) in words.iter().enumerate() {
        keys.compound(Variant::OrganizationContext, &[a]);
        for b in words.iter().skip(i + 1) {
            keys.pair(Variant::OrganizationPair, a, b, "");
        }
        for other in context.cities.iter().chain(&context.postcodes) {
            keys.compound(Variant::OrganizationContext, &[a, other]);
        }
    }
    for number in record.addresses.iter().filter_map(|a| a.number.as_deref()).take(VALUES_MAX) {
        for word in &words {
            keys.compound(Variant::OrganizationContext, &["number", number, word]);
        }
    }
}

/// A name with each letter but the first left out once, and the name itself: two names one typing
/// error apart share one of them. Short names have too many neighbours, long ones their sound.
fn deletions(name: &str) -> Vec<String> {
    if !DELETIONS.contains(&name.len()) || !name.is_ascii() {
        return Vec::new();
    }
    let mut out = vec![name.to_owned()];
    for at in 1..name.len() {
        let (Some(head), Some(tail)) = (name.get(..at), name.get(at + 1..)) else {
            continue;
        };
        let variant = format!("{head}{tail}");
        if !out.contains(&variant) {
            out.push(variant);
        }
    }
    out
}

/// The first letters of a text; all of it when it is shorter.
fn first(text: &str, letters: usize) -> &str {
    text.get(..letters).unwrap_or(text)
}

/// The last letters of a text; all of it when it is shorter.
fn last(text: &str, letters: usize) -> &str {
    text.get(text.len().saturating_sub(letters)..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::normalized::{NormPhone, PhoneKind};

    fn keys(record: &Normalized) -> Vec<(Key, KeyKind)> {
        let model = Model::default_model();
        emit(&Features::new(record, &model), record, &model)
    }

    fn person(given: &str, surname: &str) -> Normalized {
        let mut record = Normalized::default();
        let tokens = |text: &str| text.split_whitespace().map(String::from).collect();
        record.name.first_tokens = tokens(given);
        record.name.last_tokens = tokens(surname);
        record.name.own_script = format!("{given} {surname}").trim().to_owned();
        record
    }

    fn meet(a: &Normalized, b: &Normalized) -> bool {
        let other = keys(b);
        keys(a).iter().any(|key| other.contains(key))
    }

    #[test]
    fn names_meet_through_their_variants() {
        for (a, b) in [
            (("robert", "smith"), ("bob", "smith")),
            (("john", "anderson"), ("john", "andersen")),
            (("john", "anderson"), ("anderson", "john")),
            (("j", "anderson"), ("john", "anderson")),
            (("maria", "garcia marquez"), ("maria", "garcia")),
            (("john", "smiht"), ("john", "smith")),
            (("yusuf", "haddad"), ("youssef", "hadad")),
        ] {
            assert!(meet(&person(a.0, a.1), &person(b.0, b.1)), "{a:?} {b:?}");
        }
        assert!(!meet(&person("john", "smith"), &person("mary", "jones")));
    }

    #[test]
    fn missing_parts_make_no_keys() {
        assert!(keys(&Normalized::default()).is_empty());
        assert!(!meet(&person("j", ""), &person("j", "")));
    }

    #[test]
    fn phones_meet_without_their_country_code() {
        let with = |number: &str| {
            let mut record = Normalized::default();
            record.phones.push(NormPhone {
                e164: number.into(),
                extension: None,
                valid: true,
                kind: PhoneKind::Unknown,
            });
            record
        };
        assert!(meet(&with("+442071234567"), &with("02071234567")));
        assert!(!meet(&with("12"), &with("12 ")) || keys(&with("12")).len() == 1);
    }

    #[test]
    fn keys_are_few_and_distinct() {
        let mut record = person("maria del carmen", "garcia marquez lopez");
        record.job_title = Some("sales manager".into());
        for city in ["madrid", "barcelona", "sevilla", "bilbao", "malaga"] {
            record.addresses.push(NormAddress { city: Some(city.into()), ..NormAddress::default() });
        }
        let mut all = keys(&record);
        assert!(all.len() <= KEYS_MAX);
        all.sort();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
        assert!(keys(&person("john", "anderson")).len() <= 24);
    }
}
