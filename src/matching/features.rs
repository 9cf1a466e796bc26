//! What scoring needs of one record, computed once: tokens with their frequencies, readings of the
//! name, identifiers as keys, places and dates as hashes.
//!
//! Features belong to the model they were computed under: they hold its frequencies. They are
//! compact and owned, some two hundred bytes in one piece ([`packed`](super::packed)), and a pair is scored from two of
//! them without looking anything else up.

use std::borrow::Cow;

use crate::matching::model::{Model, name_words};
use crate::matching::packed::{Packed, Packer};
use crate::matching::readings::{self, Named};
use crate::matching::token::{Commonness, Shares, Token, hash, skeleton};
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

/// A record, ready to be scored: packed, and unpacked for each comparison.
#[derive(Clone, Debug)]
pub struct Features {
    /// Sound code of the canonical given name; 0: none. People are counted by it.
    pub given_code: u32,
    /// System of the record's own name there; 0: it has none.
    own_system: u32,
    own_key: Key,
    /// What [`Unpacked`] reads.
    packed: Box<[u8]>,
}

/// Sections of packed features, in order; what a record lacks has none.
mod section {
    pub const NAME: u16 = 1;
    pub const MIDDLE: u16 = 1 << 1;
    pub const GENERATION: u16 = 1 << 2;
    pub const WORDS: u16 = 1 << 3;
    pub const MAILS: u16 = 1 << 4;
    pub const PHONES: u16 = 1 << 5;
    pub const IDS: u16 = 1 << 6;
    pub const HANDLES: u16 = 1 << 7;
    pub const ORGANIZATION: u16 = 1 << 8;
    pub const TRADE_NAME: u16 = 1 << 9;
    pub const DOMAINS: u16 = 1 << 10;
    pub const TITLE: u16 = 1 << 11;
    pub const PLACES: u16 = 1 << 12;
    pub const BIRTHDAY: u16 = 1 << 13;
    pub const GENDER: u16 = 1 << 14;
    pub const USER: u16 = 1 << 15;
}

impl Features {
    /// Computes the features of a record under a model.
    pub fn new(record: &Normalized, model: &Model) -> Features {
        let mut out = Packer::new();
        name(&mut out, record, model);
        identifiers(&mut out, record);
        context(&mut out, record, model);
        out.section(section::USER, |out| match user(&record.external_ids, model) {
            0 => {}
            user => out.u64(user),
        });
        let given_code = given_code(record, model);
        Features { given_code, own_system: 0, own_key: Key(0), packed: out.finish() }
    }

    /// Adds the record's own name (source and its id there), so that other systems can point at it. Two
    /// records of one source that differ in it say nothing about each other, unless they are a directory's user ids.
    pub fn add_own_id(&mut self, source: &str, id: &str, model: &Model) {
        let (system, id) = (source.trim().to_lowercase(), id.trim().to_lowercase());
        let key = external_id_key(&system, &id);
        if self.user() == 0 && model.users.as_ref() == Some(&system) && !id.is_empty() {
            let mut out = Packer::resume(&self.packed);
            out.section(section::USER, |out| out.u64(key.0.max(1)));
            self.packed = out.finish();
        }
        if system.is_empty() || id.is_empty() || self.unpack().ids().any(|known| known.key == key) {
            return;
        }
        (self.own_system, self.own_key) = (hash(&system), key);
    }

    /// The identifiers the record carries, without duplicates, in its order.
    pub fn identifiers(&self) -> SmallVec<[(KeyKind, Key); 4]> {
        let unpacked = self.unpack();
        let ids = || unpacked.ids().map(|id| (KeyKind::ExternalId, id));
        let mut out: SmallVec<[(KeyKind, Key); 4]> = SmallVec::new();
        let all = (unpacked.mails().map(|m| (KeyKind::Email, m.key)))
            .chain(unpacked.phones().map(|p| (KeyKind::Phone, p.key)))
            .chain(ids().filter(|(_, id)| !id.own).map(|(kind, id)| (kind, id.key)))
            .chain(unpacked.handles().map(|h| (KeyKind::Handle, h.key)))
            .chain(ids().filter(|(_, id)| id.own).map(|(kind, id)| (kind, id.key)));
        for identifier in all {
            if !out.contains(&identifier) {
                out.push(identifier);
            }
        }
        out
    }

    /// Writes it as it is in memory, for [`Features::kept`].
    pub(crate) fn keep(&self, out: &mut Packer) {
        out.u32(self.given_code);
        out.u32(self.own_system);
        out.u64(self.own_key.0);
        out.text(&self.packed);
    }

    /// What [`Features::keep`] wrote.
    pub(crate) fn kept(from: &mut Packed<'_>) -> Self {
        let (given_code, own_system, own_key) = (from.u32(), from.u32(), Key(from.u64()));
        Self { given_code, own_system, own_key, packed: from.text().into() }
    }

    /// Bytes that it takes, all told.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.packed.len()
    }

    /// The first byte of what is compared, for fetching it.
    pub(crate) fn first(&self) -> u8 {
        self.packed.first().copied().unwrap_or(0)
    }

    /// The directory's user whose record this is, as a hash; 0: of no user in particular.
    pub fn user(&self) -> u64 {
        match Packed::new(&self.packed).u16() & section::USER {
            0 => 0,
            _ => self.packed.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        }
    }

    /// The name as it is packed, which comes first: equal bytes, equal names. The rest is not read.
    pub(crate) fn name_bytes(&self) -> &[u8] {
        let mut rest = Packed::new(&self.packed);
        if rest.u16() & section::NAME == 0 { &[] } else { rest.text() }
    }

    /// Unpacks it for comparing.
    pub(crate) fn unpack(&self) -> Unpacked<'_> {
        let mut rest = Packed::new(&self.packed);
        let present = rest.u16();
        let mut section = |bit: u16| if present & bit == 0 { Packed::default() } else { Packed::new(rest.text()) };
        let own = Id { key: self.own_key, system: self.own_system, identity: false, own: true, text: &[] };
        Unpacked {
            name: section(section::NAME),
            middle: section(section::MIDDLE),
            generation: section(section::GENERATION).u8(),
            words: WordList(section(section::WORDS)),
            mails: section(section::MAILS),
            phones: section(section::PHONES),
            ids: section(section::IDS),
            own: (self.own_system != 0).then_some(own),
            handles: section(section::HANDLES),
            organization: section(section::ORGANIZATION),
            trade_name: section(section::TRADE_NAME),
            domains: section(section::DOMAINS),
            title: section(section::TITLE),
            places: section(section::PLACES),
            birthday: section(section::BIRTHDAY),
            gender: section(section::GENDER),
            user: section(section::USER),
        }
    }
}

/// A record's features while they are compared. What is behind a section is read when it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked<'a> {
    pub generation: u8,
    /// Further words of the name.
    pub words: WordList<'a>,
    name: Packed<'a>,
    middle: Packed<'a>,
    mails: Packed<'a>,
    phones: Packed<'a>,
    ids: Packed<'a>,
    own: Option<Id<'a>>,
    handles: Packed<'a>,
    organization: Packed<'a>,
    trade_name: Packed<'a>,
    domains: Packed<'a>,
    title: Packed<'a>,
    places: Packed<'a>,
    birthday: Packed<'a>,
    gender: Packed<'a>,
    user: Packed<'a>,
}

impl<'a> Unpacked<'a> {
    /// The tokens of the name and the ways to read it.
    pub fn named(&self) -> Named<'a> {
        readings::unpack(self.name)
    }

    /// Whether there is any name of a person.
    pub fn has_name(&self) -> bool {
        !self.name.is_empty()
    }

    /// The middle name, if there is exactly one.
    pub fn middle(&self) -> Option<Token<'a>> {
        self.middle.each(Token::unpack).next()
    }

    /// Email addresses.
    pub fn mails(&self) -> impl Iterator<Item = Mail<'a>> + use<'a> {
        self.mails.each(Mail::unpack)
    }

    /// Phone numbers.
    pub fn phones(&self) -> impl Iterator<Item = Phone> + use<'a> {
        self.phones.each(Phone::unpack)
    }

    /// Ids in other systems, the record's own name last.
    pub fn ids(&self) -> impl Iterator<Item = Id<'a>> + use<'a> {
        self.ids.each(Id::unpack).chain(self.own)
    }

    /// Handles on services.
    pub fn handles(&self) -> impl Iterator<Item = Id<'a>> + use<'a> {
        self.handles.each(Id::unpack)
    }

    /// The employer, or the business itself.
    pub fn organization(&self) -> Option<Text<'a>> {
        self.organization.each(Text::unpack).next()
    }

    /// The name that the organisation trades under.
    pub fn trade_name(&self) -> Option<Text<'a>> {
        self.trade_name.each(Text::unpack).next()
    }

    /// Company domains by hash with their shares.
    pub fn domains(&self) -> impl Iterator<Item = (u32, f32)> + use<'a> {
        self.domains.each(|from| (from.u32(), from.f32()))
    }

    /// The job title.
    pub fn title(&self) -> Option<Text<'a>> {
        self.title.each(Text::unpack).next()
    }

    /// Addresses.
    pub fn places(&self) -> impl Iterator<Item = Place<'a>> + use<'a> {
        self.places.each(Place::unpack)
    }

    /// The birthday.
    pub fn birthday(&self) -> Option<Birthday> {
        self.birthday.each(unpack_birthday).next()
    }

    /// The gender.
    pub fn gender(&self) -> Option<char> {
        self.gender.each(Packed::u32).next().and_then(char::from_u32)
    }

    /// Whether the record is a business: an organisation and no person's name.
    pub fn is_business(&self) -> bool {
        !self.has_name() && !self.organization.is_empty()
    }

    /// Whether the record says anything but a name, contact points, an employer and places: what a household or an office
    /// shares, or the country.
    pub fn says_more_than_households_share(&self) -> bool {
        let more = [self.middle, self.ids, self.handles, self.birthday, self.gender];
        more.iter().any(|section| !section.is_empty())
            || self.own.is_some()
            || self.generation != 0
            || !self.words.is_empty()
    }

    /// Whether the two are two users of a directory: two people, whatever else agrees.
    pub fn is_other_user(&self, other: &Unpacked<'_>) -> bool {
        let [mut one, mut other] = [self.user, other.user];
        !one.is_empty() && !other.is_empty() && one.u64() != other.u64()
    }
}

/// A word and how much it says: `log2(1 / share)` bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Word {
    pub hash: u32,
    pub rarity: f32,
}

/// Words, sorted by hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WordList<'a>(Packed<'a>);

/// Bytes of a packed word.
const WORD_BYTES: usize = 8;

impl<'a> WordList<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Word> + use<'a> {
        self.0.each(|from| Word { hash: from.u32(), rarity: from.f32() })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bits of all words.
    pub fn rarity(&self) -> f64 {
        self.iter().map(|word| f64::from(word.rarity)).sum()
    }

    fn unpack(from: &mut Packed<'a>) -> Self {
        let count = usize::from(from.u8());
        Self(Packed::new(from.raw(count * WORD_BYTES)))
    }
}

/// A value made of words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// All letters, without spaces.
    pub joined: &'a [u8],
    pub share: f32,
    pub words: WordList<'a>,
}

/// An email address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mail<'a> {
    pub key: Key,
    pub user: &'a [u8],
    pub domain: &'a [u8],
    pub free: bool,
    pub role: bool,
    pub digits: bool,
}

/// A phone number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phone {
    pub key: Key,
    /// The last nine digits; 0 when there are fewer than seven.
    pub tail: u32,
    /// Hash of the extension; 0: none.
    pub extension: u32,
}

/// An id in a system, or a handle on a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id<'a> {
    pub key: Key,
    pub system: u32,
    /// Two different ones in this system are two people: a passport, a tax number.
    pub identity: bool,
    /// The record's own name in its source; its text is not kept, since it is compared whole or not at all.
    pub own: bool,
    pub text: &'a [u8],
}

/// An address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub city: Option<Text<'a>>,
    pub country: Option<(u32, f32)>,
    pub postcode: Option<Text<'a>>,
    /// House number; 0: none.
    pub number: u32,
    /// Words of the street.
    pub street: WordList<'a>,
}

fn name(out: &mut Packer, record: &Normalized, model: &Model) {
    out.section(section::NAME, |out| readings::pack(out, record, model));
    out.section(section::MIDDLE, |out| {
        // One is the middle name; more are further words.
        if let [one] = record.name.middle_tokens.as_slice() {
            Token::pack(out, one, Commonness::default());
        }
    });
    out.section(section::GENERATION, |out| record.name.generation.into_iter().for_each(|mark| out.u8(mark)));
    out.section(section::WORDS, |out| {
        pack_words(out, &further_words(record, &model.frequencies.word));
    });
}

fn identifiers(out: &mut Packer, record: &Normalized) {
    out.section(section::MAILS, |out| record.emails.iter().take(VALUES_MAX).for_each(|mail| Mail::pack(out, mail)));
    out.section(section::PHONES, |out| record.phones.iter().take(VALUES_MAX).for_each(|one| Phone::pack(out, one)));
    out.section(section::IDS, |out| pack_ids(out, &record.external_ids, external_id_key));
    out.section(section::HANDLES, |out| pack_ids(out, &record.handles, handle_key));
}

fn context(out: &mut Packer, record: &Normalized, model: &Model) {
    let frequencies = &model.frequencies;
    let mut names = record.organization.iter().flat_map(|organization| organization.names());
    for section in [section::ORGANIZATION, section::TRADE_NAME] {
        out.section(section, |out| {
            if let Some(name) = names.next() {
                Text::pack(out, name.iter().map(String::as_str), &frequencies.organization, &frequencies.word);
            }
        });
    }
    out.section(section::DOMAINS, |out| {
        for domain in record.domains.iter().take(VALUES_MAX).map(|domain| hash(domain)) {
            out.u32(domain);
            out.f32(frequencies.domain.get(domain));
        }
    });
    out.section(section::TITLE, |out| {
        if let Some(title) = record.job_title.as_deref().filter(|title| !title.is_empty()) {
            Text::pack(out, title.split(' '), &frequencies.title, &frequencies.word);
        }
    });
    out.section(section::PLACES, |out| {
        record.addresses.iter().take(VALUES_MAX).for_each(|address| Place::pack(out, address, model));
    });
    out.section(section::BIRTHDAY, |out| record.birthday.iter().for_each(|day| pack_birthday(out, day)));
    out.section(section::GENDER, |out| record.gender.iter().for_each(|gender| out.u32(u32::from(*gender))));
}

/// The first id of the directory's users.
fn user(ids: &[(String, String)], model: &Model) -> u64 {
    let Some(users) = &model.users else { return 0 };
    let found = ids.iter().find(|(system, _)| system == users);
    found.map_or(0, |(system, id)| external_id_key(system, id).0.max(1))
}

impl<'a> Text<'a> {
    fn pack<'t>(out: &mut Packer, words: impl Iterator<Item = &'t str>, shares: &Shares, word_shares: &Shares) {
        let words: SmallVec<[&str; 8]> = words.filter(|word| !word.is_empty()).collect();
        let joined = words.concat();
        out.text(joined.as_bytes());
        out.f32(shares.get(hash(&joined)));
        pack_counted(out, &rare_words(words.into_iter(), word_shares));
    }

    fn unpack(from: &mut Packed<'a>) -> Self {
        Self { joined: from.text(), share: from.f32(), words: WordList::unpack(from) }
    }
}

/// Words with their rarity, sorted and without duplicates.
fn rare_words<'a>(words: impl Iterator<Item = &'a str>, shares: &Shares) -> SmallVec<[Word; 4]> {
    let mut out: SmallVec<[Word; 4]> = words.take(WORDS_MAX).map(|word| Word::new(word, shares)).collect();
    out.sort_by_key(|word| word.hash);
    out.dedup_by_key(|word| word.hash);
    out
}

fn pack_words(out: &mut Packer, words: &[Word]) {
    for word in words {
        out.u32(word.hash);
        out.f32(word.rarity);
    }
}

/// Words with their number, which [`WORDS_MAX`] bounds.
fn pack_counted(out: &mut Packer, words: &[Word]) {
    out.u8(u8::try_from(words.len()).unwrap_or(0));
    pack_words(out, words);
}

impl Word {
    fn new(word: &str, shares: &Shares) -> Self {
        let hash = hash(word);
        Self { hash, rarity: -shares.get(hash).log2() }
    }
}

/// Bits of a packed mail or id.
const FREE: u8 = 1;
const ROLE: u8 = 1 << 1;
const DIGITS: u8 = 1 << 2;
const IDENTITY: u8 = 1 << 3;

fn bits(flags: [(bool, u8); 3]) -> u8 {
    flags.into_iter().filter(|(is, _)| *is).fold(0, |bits, (_, bit)| bits | bit)
}

impl<'a> Mail<'a> {
    fn pack(out: &mut Packer, mail: &NormEmail) {
        let digits = mail.user.bytes().any(|b| b.is_ascii_digit());
        out.u64(email_key(&mail.canonical).0);
        out.u8(bits([(mail.free, FREE), (mail.role, ROLE), (digits, DIGITS)]));
        out.text(mail.user.as_bytes());
        out.text(mail.domain.as_bytes());
    }

    fn unpack(from: &mut Packed<'a>) -> Self {
        let (key, bits) = (Key(from.u64()), from.u8());
        let (user, domain) = (from.text(), from.text());
        Self { key, user, domain, free: bits & FREE != 0, role: bits & ROLE != 0, digits: bits & DIGITS != 0 }
    }
}

impl Phone {
    fn pack(out: &mut Packer, phone: &NormPhone) {
        out.u64(phone_key(&phone.e164).0);
        // Nine digits behind a one are less than two billion.
        out.u32(u32::try_from(phone_tail(&phone.e164, 9)).unwrap_or(0));
        out.u32(phone.extension.as_deref().filter(|e| !e.is_empty()).map_or(0, hash));
    }

    fn unpack(from: &mut Packed<'_>) -> Self {
        Self { key: Key(from.u64()), tail: from.u32(), extension: from.u32() }
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

/// Bits of a packed address: what it has.
const CITY: u8 = 1;
const COUNTRY: u8 = 1 << 1;
const POSTCODE: u8 = 1 << 2;

impl<'a> Place<'a> {
    fn pack(out: &mut Packer, address: &NormAddress, model: &Model) {
        let frequencies = &model.frequencies;
        let said = |value: &'_ Option<String>| value.as_deref().is_some_and(|v| !v.is_empty());
        let has = [&address.city, &address.country, &address.postal_code].map(said);
        let [city, country, postcode] = has;
        out.u8(bits([(city, CITY), (country, COUNTRY), (postcode, POSTCODE)]));
        let text = |out: &mut Packer, value: &Option<String>, shares: &Shares| {
            Text::pack(out, value.as_deref().unwrap_or_default().split(' '), shares, &frequencies.word);
        };
        if city {
            text(out, &address.city, &frequencies.city);
        }
        if let Some(country) = address.country.as_deref().filter(|_| country).map(hash) {
            out.u32(country);
            out.f32(frequencies.country.get(country));
        }
        if postcode {
            text(out, &address.postal_code, &frequencies.postcode);
        }
        out.u32(address.number.as_deref().filter(|n| !n.is_empty()).map_or(0, hash));
        pack_counted(out, &rare_words(address.street.iter().map(String::as_str), &frequencies.word));
    }

    fn unpack(from: &mut Packed<'a>) -> Self {
        let has = from.u8();
        Self {
            city: (has & CITY != 0).then(|| Text::unpack(from)),
            country: (has & COUNTRY != 0).then(|| (from.u32(), from.f32())),
            postcode: (has & POSTCODE != 0).then(|| Text::unpack(from)),
            number: from.u32(),
            street: WordList::unpack(from),
        }
    }
}

/// Bits of a packed birthday: what is known of it.
const YEAR: u8 = 1;
const MONTH: u8 = 1 << 1;
const DAY: u8 = 1 << 2;
const AMBIGUOUS: u8 = 1 << 3;

fn pack_birthday(out: &mut Packer, day: &Birthday) {
    let known = bits([(day.year.is_some(), YEAR), (day.month.is_some(), MONTH), (day.day.is_some(), DAY)]);
    out.u8(known | if day.ambiguous { AMBIGUOUS } else { 0 });
    out.u16(day.year.unwrap_or(0));
    out.u8(day.month.unwrap_or(0));
    out.u8(day.day.unwrap_or(0));
}

fn unpack_birthday(from: &mut Packed<'_>) -> Birthday {
    let (known, year, month, day) = (from.u8(), from.u16(), from.u8(), from.u8());
    Birthday {
        year: (known & YEAR != 0).then_some(year),
        month: (known & MONTH != 0).then_some(month),
        day: (known & DAY != 0).then_some(day),
        ambiguous: known & AMBIGUOUS != 0,
    }
}

/// Words in a system's name that say its ids are issued to a person once in a lifetime.
const IDENTITY_SYSTEMS: [&str; 8] = ["ssn", "social", "passport", "national", "tax", "vat", "duns", "nin"];

fn pack_ids(out: &mut Packer, values: &[(String, String)], key: fn(&str, &str) -> Key) {
    let identity = |system: &str| system.split(|c: char| !c.is_alphanumeric()).any(|w| IDENTITY_SYSTEMS.contains(&w));
    for (system, id) in values.iter().take(VALUES_MAX) {
        out.u64(key(system, id).0);
        out.u32(hash(system));
        out.u8(if identity(system) { IDENTITY } else { 0 });
        out.text(id.as_bytes());
    }
}

impl<'a> Id<'a> {
    fn unpack(from: &mut Packed<'a>) -> Self {
        let (key, system, bits) = (Key(from.u64()), from.u32(), from.u8());
        Self { key, system, identity: bits & IDENTITY != 0, own: false, text: from.text() }
    }
}

/// Words of the name beyond given, family and middle name: titles, places, maiden names.
fn further_words(record: &Normalized, shares: &Shares) -> Vec<Word> {
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
    words
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

#[cfg(test)]
mod tests;
