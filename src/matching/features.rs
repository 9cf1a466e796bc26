//! What scoring needs of one record, computed once: tokens with their frequencies, readings of the
//! name, identifiers as keys, places and dates as hashes.
//!
//! Features belong to the model they were computed under: they hold its frequencies. They are
//! compact and owned, and a pair is scored from two of them without looking anything else up.

use std::borrow::Cow;

use crate::matching::model::{Model, name_words};
use crate::matching::readings::{Reading, readings};
use crate::matching::token::{Shares, Token, hash, skeleton};
use crate::model::key::{Key, KeyKind};
use crate::model::normalized::{Birthday, Name, NormAddress, NormEmail, NormPhone, Normalized};
use crate::normalize::name::script::writing_of;
use crate::normalize::name::writing_of_parts;
use smallvec::SmallVec;

/// Most emails, phones, ids, handles, domains or addresses of one record that are compared.
pub const VALUES_MAX: usize = 8;
/// Most words of one value that are compared.
pub const WORDS_MAX: usize = 12;
/// Fewest digits of a number that may be compared by its tail.
const PHONE_DIGITS_MIN: usize = 7;

/// The key of a canonical email address.
pub fn email_key(canonical: &str) -> Key {
    Key::new(KeyKind::Email, 0, &[canonical])
}

/// The key of a number in E.164 form (or its plain digits), without extension.
pub fn phone_key(e164: &str) -> Key {
    Key::new(KeyKind::Phone, 0, &[e164])
}

/// The key of an id in another system, both folded.
pub fn external_id_key(system: &str, id: &str) -> Key {
    Key::new(KeyKind::ExternalId, 0, &[system, id])
}

/// The key of a handle on a service, both folded.
pub fn handle_key(service: &str, handle: &str) -> Key {
    Key::new(KeyKind::Handle, 0, &[service, handle])
}

/// A record, ready to be scored.
#[derive(Clone, Debug)]
pub struct Features {
    /// Sound code of the canonical given name; 0: none. People are counted by it.
    pub given_code: u32,
    pub(crate) tokens: SmallVec<[Token; 4]>,
    pub(crate) readings: SmallVec<[Reading; 3]>,
    pub(crate) middle: Option<Token>,
    pub(crate) generation: u8,
    /// Further words of the name with their rarity, sorted by hash.
    pub(crate) words: Box<[Word]>,
    pub(crate) mails: SmallVec<[Mail; 1]>,
    pub(crate) phones: SmallVec<[Phone; 1]>,
    pub(crate) ids: SmallVec<[Id; 1]>,
    pub(crate) handles: SmallVec<[Id; 0]>,
    pub(crate) organization: Option<Box<Text>>,
    /// The name that the organisation trades under.
    pub(crate) trade_name: Option<Box<Text>>,
    pub(crate) domains: SmallVec<[(u32, f32); 1]>,
    pub(crate) title: Option<Box<Text>>,
    pub(crate) places: SmallVec<[Box<Place>; 1]>,
    pub(crate) birthday: Option<Birthday>,
    pub(crate) gender: Option<char>,
    /// Hash of the directory's user id; 0: none, or the tenant is no directory.
    pub(crate) user: u64,
    identifiers: SmallVec<[(KeyKind, Key); 3]>,
}

/// A word and how much it says: `log2(1 / share)` bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Word {
    pub hash: u32,
    pub rarity: f32,
}

/// A value made of words.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// All letters, without spaces.
    pub joined: Box<str>,
    pub share: f32,
    /// Sorted by hash.
    pub words: SmallVec<[Word; 3]>,
}

/// An email address.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub key: Key,
    pub user: Box<str>,
    pub domain: Box<str>,
    pub free: bool,
    pub role: bool,
    pub digits: bool,
}

/// A phone number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phone {
    pub key: Key,
    /// The last nine digits; 0 when there are fewer than seven.
    pub tail: u64,
    /// Hash of the extension; 0: none.
    pub extension: u32,
}

/// An id in a system, or a handle on a service.
#[derive(Clone, Debug)]
pub(crate) struct Id {
    pub key: Key,
    pub system: u32,
    /// Two different ones in this system are two people: a passport, a tax number.
    pub identity: bool,
    /// The record's own name in its source.
    pub own: bool,
    pub text: Box<str>,
}

/// An address.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub city: Option<Text>,
    pub country: Option<(u32, f32)>,
    pub postcode: Option<Text>,
    /// House number; 0: none.
    pub number: u32,
    /// Words of the street, sorted by hash.
    pub street: SmallVec<[Word; 3]>,
}

impl Features {
    /// Computes the features of a record under a model.
    pub fn new(record: &Normalized, model: &Model) -> Features {
        let frequencies = &model.frequencies;
        let (tokens, readings) = readings(record, model);
        let organization = record.organization.as_ref().filter(|o| !o.tokens.is_empty());
        let mut names = organization.into_iter().flat_map(|o| o.names()).map(|name| {
            let tokens = name.iter().map(String::as_str);
            Box::new(Text::new(tokens, &frequencies.organization, &frequencies.word))
        });
        let text = |t: &str, shares: &Shares| Box::new(Text::new(t.split(' '), shares, &frequencies.word));
        let mails: SmallVec<[Mail; 1]> = record.emails.iter().take(VALUES_MAX).map(Mail::new).collect();
        let phones: SmallVec<[Phone; 1]> = record.phones.iter().take(VALUES_MAX).map(Phone::new).collect();
        let ids = ids(&record.external_ids, external_id_key);
        let handles = ids_of(&record.handles);
        let identifiers = identifiers(&mails, &phones, &ids, &handles);
        Features {
            given_code: given_code(record, model),
            middle: middle(record),
            generation: record.name.generation.unwrap_or(0),
            words: further_words(record, &frequencies.word),
            organization: names.next(),
            trade_name: names.next(),
            domains: record
                .domains
                .iter()
                .take(VALUES_MAX)
                .map(|d| (hash(d), frequencies.domain.get(hash(d))))
                .collect(),
            title: record.job_title.as_deref().filter(|t| !t.is_empty()).map(|t| text(t, &frequencies.title)),
            places: record.addresses.iter().take(VALUES_MAX).map(|a| Box::new(Place::new(a, model))).collect(),
            birthday: record.birthday,
            gender: record.gender,
            user: user(&record.external_ids, model),
            tokens,
            readings,
            mails,
            phones,
            ids: ids.into_iter().collect(),
            handles: handles.into_iter().collect(),
            identifiers,
        }
    }

    /// Adds the record's own name (source and its id there), so that other systems can point at it. Two
    /// records of one source that differ in it say nothing about each other, unless they are a directory's user ids.
    pub fn add_own_id(&mut self, source: &str, id: &str, model: &Model) {
        let (system, id) = (source.trim().to_lowercase(), id.trim().to_lowercase());
        let key = external_id_key(&system, &id);
        if self.user == 0 && model.users.as_ref() == Some(&system) && !id.is_empty() {
            self.user = key.0.max(1);
        }
        if system.is_empty() || id.is_empty() || self.ids.iter().any(|known| known.key == key) {
            return;
        }
        self.ids.push(Id { key, system: hash(&system), identity: false, own: true, text: id.into() });
        self.identifiers.push((KeyKind::ExternalId, key));
    }

    /// The identifiers the record carries, without duplicates, in its order.
    pub fn identifiers(&self) -> &[(KeyKind, Key)] {
        &self.identifiers
    }

    /// Whether the record is a business: an organisation and no person's name.
    pub fn is_business(&self) -> bool {
        self.readings.is_empty() && self.organization.is_some()
    }
}

/// The first id of the directory's users.
fn user(ids: &[(String, String)], model: &Model) -> u64 {
    let Some(users) = &model.users else { return 0 };
    let found = ids.iter().find(|(system, _)| system == users);
    found.map_or(0, |(system, id)| external_id_key(system, id).0.max(1))
}

impl Features {
    /// The directory's user whose record this is, as a hash; 0: of no user in particular.
    pub fn user(&self) -> u64 {
        self.user
    }

    /// Whether the two are two users of a directory: two people, whatever else agrees.
    pub fn is_other_user(&self, other: &Features) -> bool {
        self.user != 0 && other.user != 0 && self.user != other.user
    }
}

impl Text {
    fn new<'a>(words: impl Iterator<Item = &'a str>, shares: &Shares, word_shares: &Shares) -> Self {
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let joined = words.concat();
        let share = shares.get(hash(&joined));
        Self { share, words: rare_words(words.into_iter(), word_shares), joined: joined.into() }
    }
}

/// Words with their rarity, sorted and without duplicates.
fn rare_words<'a>(words: impl Iterator<Item = &'a str>, shares: &Shares) -> SmallVec<[Word; 3]> {
    let mut out: SmallVec<[Word; 3]> = words.take(WORDS_MAX).map(|word| Word::new(word, shares)).collect();
    out.sort_by_key(|word| word.hash);
    out.dedup_by_key(|word| word.hash);
    out
}

impl Word {
    fn new(word: &str, shares: &Shares) -> Self {
        let hash = hash(word);
        Self { hash, rarity: -shares.get(hash).log2() }
    }
}

impl Mail {
    fn new(mail: &NormEmail) -> Self {
        Self {
            key: email_key(&mail.canonical),
            user: mail.user.as_str().into(),
            domain: mail.domain.as_str().into(),
            free: mail.free,
            role: mail.role,
            digits: mail.user.bytes().any(|b| b.is_ascii_digit()),
        }
    }
}

impl Phone {
    fn new(phone: &NormPhone) -> Self {
        Self {
            key: phone_key(&phone.e164),
            tail: phone_tail(&phone.e164, 9),
            extension: phone.extension.as_deref().filter(|e| !e.is_empty()).map_or(0, hash),
        }
    }
}

/// The last `digits` digits of a number as a value above 0; 0 when it has fewer than seven.
pub fn phone_tail(number: &str, digits: usize) -> u64 {
    let all: SmallVec<[u64; 16]> = number.bytes().filter(u8::is_ascii_digit).map(|b| u64::from(b - b'0')).collect();
    if all.len() < PHONE_DIGITS_MIN {
        return 0;
    }
    let tail = all.get(all.len().saturating_sub(digits.min(15))..).unwrap_or_default();
    tail.iter().fold(1, |value, digit| value * 10 + digit)
}

impl Place {
    fn new(address: &NormAddress, model: &Model) -> Self {
        let frequencies = &model.frequencies;
        let text = |value: &Option<String>, shares: &Shares| {
            value.as_deref().filter(|v| !v.is_empty()).map(|v| Text::new(v.split(' '), shares, &frequencies.word))
        };
        let country = address.country.as_deref().filter(|c| !c.is_empty());
        Self {
            city: text(&address.city, &frequencies.city),
            country: country.map(|c| (hash(c), frequencies.country.get(hash(c)))),
            postcode: text(&address.postal_code, &frequencies.postcode),
            number: address.number.as_deref().filter(|n| !n.is_empty()).map_or(0, hash),
            street: rare_words(address.street.iter().map(String::as_str), &frequencies.word),
        }
    }
}

/// Words in a system's name that say its ids are issued to a person once in a lifetime.
const IDENTITY_SYSTEMS: [&str; 8] = ["ssn", "social", "passport", "national", "tax", "vat", "duns", "nin"];

fn ids(values: &[(String, String)], key: fn(&str, &str) -> Key) -> Vec<Id> {
    let identity = |system: &str| system.split(|c: char| !c.is_alphanumeric()).any(|w| IDENTITY_SYSTEMS.contains(&w));
    let id = |(system, id): &(String, String)| Id {
        key: key(system, id),
        system: hash(system),
        identity: identity(system),
        own: false,
        text: id.as_str().into(),
    };
    values.iter().take(VALUES_MAX).map(id).collect()
}

fn ids_of(handles: &[(String, String)]) -> Vec<Id> {
    ids(handles, handle_key)
}

fn identifiers(mails: &[Mail], phones: &[Phone], ids: &[Id], handles: &[Id]) -> SmallVec<[(KeyKind, Key); 3]> {
    let mut out: SmallVec<[(KeyKind, Key); 3]> = SmallVec::new();
    let all = (mails.iter().map(|m| (KeyKind::Email, m.key)))
        .chain(phones.iter().map(|p| (KeyKind::Phone, p.key)))
        .chain(ids.iter().map(|i| (KeyKind::ExternalId, i.key)))
        .chain(handles.iter().map(|h| (KeyKind::Handle, h.key)));
    for identifier in all {
        if !out.contains(&identifier) {
            out.push(identifier);
        }
    }
    out
}

/// The middle name, if there is exactly one; more are further words.
fn middle(record: &Normalized) -> Option<Token> {
    match record.name.middle_tokens.as_slice() {
        [one] => Some(Token::new(one)),
        _ => None,
    }
}

/// Words of the name beyond given, family and middle name: titles, places, maiden names.
fn further_words(record: &Normalized, shares: &Shares) -> Box<[Word]> {
    let name = &record.name;
    let known = |word: &String| name.first_tokens.contains(word) || name.last_tokens.contains(word);
    let middle = name.middle_tokens.len() == 1;
    let mut words: Vec<Word> = name_words(&own_writing(name))
        .iter()
        .chain(name.middle_tokens.iter())
        .filter(|word| word.len() > 1 && !known(word) && !(middle && name.middle_tokens.contains(word)))
        .map(|word| Word::new(word, shares))
        .collect();
    words.sort_by_key(|word| word.hash);
    words.dedup_by_key(|word| word.hash);
    words.truncate(WORDS_MAX);
    words.into_boxed_slice()
}

/// The words of a name that are written as its parts are: the same name in another script is none beside it. Words of
/// Han, kana and Hangul are whole names.
fn own_writing(name: &Name) -> Cow<'_, str> {
    if name.own_script.is_ascii() {
        return Cow::Borrowed(&name.own_script);
    }
    let own = writing_of_parts(name);
    let counts = |word: &&str| match writing_of(word) {
        Some(writing) => !writing.is_family_first() && own.is_none_or(|own| own == writing),
        None => true,
    };
    Cow::Owned(name.own_script.split(' ').filter(counts).collect::<Vec<_>>().join(" "))
}

/// The code people are counted by: the skeleton of the commonest full name that the given name
/// stands for, cut after four sounds so that most typing errors fall together.
fn given_code(record: &Normalized, model: &Model) -> u32 {
    let name = &record.name;
    let Some(given) = name.first_tokens.first().or(name.nickname_tokens.first()) else {
        return 0;
    };
    if given.len() == 1 {
        return 0;
    }
    let canonical = model.nicknames.canonical_text(hash(given)).unwrap_or(given);
    let code: String = skeleton(canonical).chars().take(4).collect();
    hash(&code)
}
