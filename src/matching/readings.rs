//! The ways to read a record's name: as given, split at the last token, swapped, or with a missing
//! part taken from the mail address. Every reading but the first costs bits.

use crate::matching::model::{ANY, Model, name_words};
use crate::matching::packed::{Packed, Packer};
use crate::matching::token::{Commonness, Token, hash};
use crate::model::normalized::{NormEmail, Normalized};
use crate::normalize::name::{birth_name, other_forms};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// No token.
const NONE: u8 = u8::MAX;
/// Begins a packed [`Part`] of several tokens.
const SEVERAL: u8 = NONE - 1;
/// Most tokens of a given or family name that are looked at.
pub(crate) const PART_MAX: usize = 3;
/// Most readings of one record.
const READINGS_MAX: usize = 8;

/// How a reading came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum How {
    /// As the source said it.
    AsGiven,
    /// One field split at its last token.
    Split,
    /// A lone given name is the family name.
    LoneGiven,
    /// A lone family name is the given name.
    LoneSurname,
    /// The missing part comes from the mail address.
    Mail,
    /// The same, where the address shows only the initial of the known part.
    MailInitial,
    /// Given and family name swapped.
    Swapped,
    /// The nickname is the given name.
    Nickname,
    /// The name in another script.
    OtherScript,
    /// The family name that somebody was born with.
    Born,
    /// A middle name, or a further word of the name, is the given name.
    Middle,
}

impl How {
    const ALL: [How; 11] = [
        How::AsGiven,
        How::Split,
        How::LoneGiven,
        How::LoneSurname,
        How::Mail,
        How::MailInitial,
        How::Swapped,
        How::Nickname,
        How::OtherScript,
        How::Born,
        How::Middle,
    ];

    fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(How::AsGiven)
    }
}

/// A given or a family name within the record's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    tokens: [u8; PART_MAX],
    joined: u8,
}

impl Part {
    /// No name.
    pub const EMPTY: Part = Part { tokens: [NONE; PART_MAX], joined: NONE };

    /// Whether there is a name.
    pub fn is_empty(&self) -> bool {
        self.joined == NONE
    }

    /// The whole name as one token.
    pub fn joined<'t, 'a>(&self, tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
        tokens.get(usize::from(self.joined))
    }

    /// The n-th token of the name.
    pub fn token<'t, 'a>(&self, tokens: &'t [Token<'a>], n: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(n).and_then(|at| tokens.get(usize::from(*at)))
    }

    /// The tokens of the name, at most three.
    pub fn tokens<'t, 'a>(&self, tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t Token<'a>> + use<'t, 'a> {
        let at = self.tokens;
        at.into_iter().filter_map(|at| tokens.get(usize::from(at)))
    }

    /// One byte for a name of one token, as nearly all are, and for none.
    fn pack(self, out: &mut Packer) {
        let Part { tokens: [first, rest @ ..], joined } = self;
        if rest == [NONE; PART_MAX - 1] && first == joined && first != SEVERAL {
            out.u8(joined);
        } else {
            out.u8(SEVERAL);
            out.raw(&self.tokens);
            out.u8(joined);
        }
    }

    #[inline]
    fn unpack(from: &mut Packed<'_>) -> Self {
        match from.u8() {
            SEVERAL => {
                let mut tokens = [NONE; PART_MAX];
                tokens.iter_mut().zip(from.raw(PART_MAX)).for_each(|(to, byte)| *to = *byte);
                Self { tokens, joined: from.u8() }
            }
            one => Self { tokens: std::array::from_fn(|n| if n == 0 { one } else { NONE }), joined: one },
        }
    }
}

/// One reading of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    pub given: Part,
    pub surname: Part,
    pub how: How,
    /// Bits, at most 0.
    pub cost: f32,
    /// Share of records that other people with this whole name have; 0: there are hardly any.
    pub namesakes: f32,
}

impl Reading {
    /// What it costs and how many share it is left out where it is nothing.
    fn pack(&self, out: &mut Packer) {
        let bit = |value: f32, bit: u8| if value.to_bits() == 0 { 0 } else { bit };
        out.u8(self.how as u8 | bit(self.cost, COSTS) | bit(self.namesakes, NAMESAKES));
        self.given.pack(out);
        self.surname.pack(out);
        for value in [self.cost, self.namesakes].into_iter().filter(|value| value.to_bits() != 0) {
            out.f32(value);
        }
    }

    #[inline]
    fn unpack(from: &mut Packed<'_>) -> Self {
        let head = from.u8();
        let how = How::from_number(head & !(COSTS | NAMESAKES));
        let (given, surname) = (Part::unpack(from), Part::unpack(from));
        let cost = if head & COSTS == 0 { 0.0 } else { from.f32() };
        let namesakes = if head & NAMESAKES == 0 { 0.0 } else { from.f32() };
        Self { given, surname, how, cost, namesakes }
    }
}

/// Bits beside [`How`]: a cost follows, a share of namesakes does.
const COSTS: u8 = 0x80;
const NAMESAKES: u8 = 0x40;

/// The tokens of a record's name.
pub(crate) type TokenList<'a> = SmallVec<[Token<'a>; 4]>;
/// The ways to read it.
pub(crate) type ReadingList = SmallVec<[Reading; 3]>;

/// A record's name, ready to be compared: its tokens and the ways to read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named<'a> {
    pub tokens: TokenList<'a>,
    pub readings: ReadingList,
}

/// Packs the readings of a record's name with their tokens; nothing when there is no name at all.
pub(crate) fn pack(out: &mut Packer, record: &Normalized, model: &Model) {
    let (tokens, readings) = readings(record, model);
    if readings.is_empty() {
        return;
    }
    out.u8(u8::try_from(tokens.len()).unwrap_or(NONE));
    for token in &tokens {
        Token::pack(out, &token.text, token.common);
    }
    readings.iter().for_each(|reading| reading.pack(out));
}

/// Reads what [`pack`] wrote.
#[inline]
pub(crate) fn unpack(mut from: Packed<'_>) -> Named<'_> {
    let mut name = Named::default();
    if from.is_empty() {
        return name;
    }
    // Pushing is several times cheaper here than collecting.
    for _ in 0..from.u8() {
        name.tokens.push(Token::unpack(&mut from));
    }
    while !from.is_empty() {
        name.readings.push(Reading::unpack(&mut from));
    }
    name
}

/// A token to be packed.
struct Fresh {
    text: String,
    hash: u32,
    common: Commonness,
}

/// Tokens collected while readings are made.
struct Tokens<'a> {
    model: &'a Model,
    list: SmallVec<[Fresh; 4]>,
}

impl Tokens<'_> {
    /// The place of a token, added if new.
    fn at(&mut self, text: &str) -> u8 {
        let hash = hash(text);
        if let Some(at) = self.list.iter().position(|t| t.hash == hash) {
            return u8::try_from(at).unwrap_or(NONE);
        }
        let frequencies = &self.model.frequencies;
        let joint = |bits: &HashMap<u32, f32>| bits.get(&hash).or_else(|| bits.get(&ANY)).copied().unwrap_or(0.0);
        let common = Commonness {
            given: frequencies.given.get(hash),
            surname: frequencies.surname.get(hash),
            given_joint: joint(&frequencies.given_joint),
            surname_joint: joint(&frequencies.surname_joint),
        };
        let at = u8::try_from(self.list.len()).unwrap_or(NONE);
        if at >= SEVERAL {
            return NONE;
        }
        self.list.push(Fresh { text: text.to_owned(), hash, common });
        at
    }

    /// The hash of a name as one token.
    fn joined(&self, part: Part) -> Option<&Fresh> {
        self.list.get(usize::from(part.joined))
    }

    fn part<S: AsRef<str>>(&mut self, words: &[S]) -> Part {
        let mut part = Part::EMPTY;
        for (to, word) in part.tokens.iter_mut().zip(words) {
            *to = self.at(word.as_ref());
        }
        part.joined = match words {
            [] => NONE,
            [one] => self.at(one.as_ref()),
            more => self.at(&more.iter().map(AsRef::as_ref).collect::<String>()),
        };
        part
    }
}

/// All readings of a record's name, the source's own first; none when there is no name at all.
fn readings(record: &Normalized, model: &Model) -> (SmallVec<[Fresh; 4]>, ReadingList) {
    let mut tokens = Tokens { model, list: SmallVec::new() };
    let mut out = ReadingList::new();
    let name = &record.name;
    let given = tokens.part(&name.first_tokens);
    let surname = tokens.part(&name.last_tokens);
    let nickname = tokens.part(&name.nickname_tokens);
    let others = other_forms(name);
    if given.is_empty() && surname.is_empty() && nickname.is_empty() {
        return (tokens.list, out);
    }
    let mut add = |given: Part, surname: Part, how: How| {
        let cost = cost(model, how);
        if out.len() < READINGS_MAX && !out.iter().any(|r| r.given == given && r.surname == surname) {
            out.push(Reading { given, surname, how, cost, namesakes: 0.0 });
        }
    };
    add(given, surname, How::AsGiven);
    if !nickname.is_empty() {
        add(nickname, surname, How::Nickname);
        if let [first, .., last] = name.nickname_tokens.as_slice() {
            add(tokens.part(std::slice::from_ref(first)), tokens.part(std::slice::from_ref(last)), How::Nickname);
        }
    }
    for (first, last) in others.iter().take(2) {
        add(tokens.part(first), tokens.part(last), How::OtherScript);
    }
    let born = birth_name(name);
    if !given.is_empty() && !born.is_empty() {
        add(given, tokens.part(&born), How::Born);
    }
    if surname.is_empty() {
        if let [first @ .., last] = name.first_tokens.as_slice()
            && !first.is_empty()
        {
            add(tokens.part(first), tokens.part(std::slice::from_ref(last)), How::Split);
            add(tokens.part(std::slice::from_ref(last)), tokens.part(first), How::Swapped);
        }
        for (text, how) in from_mails(&record.emails, &name.first_tokens) {
            add(given, tokens.part(&[text]), how);
        }
        add(Part::EMPTY, given, How::LoneGiven);
        if name.split {
            weigh_lone(&mut out, &tokens, given);
        }
    } else if given.is_empty() {
        if let [first, rest @ ..] = name.last_tokens.as_slice()
            && !rest.is_empty()
        {
            add(tokens.part(std::slice::from_ref(first)), tokens.part(rest), How::Split);
        }
        for (text, how) in from_mails(&record.emails, &name.last_tokens) {
            add(tokens.part(&[text]), surname, how);
        }
        add(surname, Part::EMPTY, How::LoneSurname);
    } else {
        for word in middle_names(record) {
            add(tokens.part(&[word]), surname, How::Middle);
        }
        add(surname, given, How::Swapped);
    }
    for reading in &mut out {
        if let (Some(given), Some(surname)) = (tokens.joined(reading.given), tokens.joined(reading.surname)) {
            reading.namesakes = model.frequencies.namesakes(given.hash, surname.hash);
        }
    }
    (tokens.list, out)
}

/// A lone word from a field for the whole name is a family name as likely as the tables say.
fn weigh_lone(readings: &mut [Reading], tokens: &Tokens<'_>, lone: Part) {
    let Some(Fresh { common, .. }) = tokens.joined(lone) else {
        return;
    };
    let (given, surname) = (LONE_IS_GIVEN * common.given, (1.0 - LONE_IS_GIVEN) * common.surname);
    let cost = (surname / (given + surname).max(f32::MIN_POSITIVE)).log2();
    for reading in readings.iter_mut().filter(|reading| reading.how == How::LoneGiven) {
        reading.cost = cost.clamp(reading.cost - 2.0, LONE_COST_LEAST);
    }
}

/// Share of lone names in a field for the whole name that are given names.
const LONE_IS_GIVEN: f32 = 0.6;
/// Bits that reading a lone name as a family name costs at least.
const LONE_COST_LEAST: f32 = -0.5;

/// Middle names and further words that somebody may go by, at most two.
fn middle_names(record: &Normalized) -> Vec<String> {
    let name = &record.name;
    let used = |word: &String| name.first_tokens.contains(word) || name.last_tokens.contains(word);
    let mut out: Vec<String> = Vec::new();
    for word in name.middle_tokens.iter().chain(&name_words(&name.own_script)) {
        if out.len() < 2 && word.len() > 2 && !used(word) && !out.contains(word) {
            out.push(word.clone());
        }
    }
    out
}

fn cost(model: &Model, how: How) -> f32 {
    let w = &model.weights.reading;
    let level = match how {
        How::AsGiven | How::OtherScript => return 0.0,
        How::Born => &w.middle,
        How::Split => &w.split,
        How::LoneGiven => &w.lone_given,
        How::LoneSurname => &w.lone_surname,
        How::Mail => &w.mail,
        How::MailInitial => &w.mail_initial,
        How::Swapped => &w.swapped,
        How::Nickname => &w.nickname,
        How::Middle => &w.middle,
    };
    #[expect(clippy::cast_possible_truncation, reason = "a few bits need no more than f32 holds")]
    let bits = level.flat() as f32;
    bits
}

/// The other part of the name, as the mail users show it beside the known part.
fn from_mails(mails: &[NormEmail], known: &[String]) -> Vec<(String, How)> {
    let known = known.concat();
    let mails = mails.iter().filter(|mail| !mail.role).take(2);
    mails.filter_map(|mail| other_part(&mail.user, &known)).collect()
}

/// "smith" of "john.smith77" and "john"; of "jsmith" and "john" as well, with less trust.
pub(crate) fn other_part(user: &str, known: &str) -> Option<(String, How)> {
    let word = |w: &str| w.bytes().filter(u8::is_ascii_alphabetic).map(char::from).collect::<String>();
    let words: SmallVec<[String; 3]> = user.split(['.', '_', '-']).map(word).filter(|w| !w.is_empty()).collect();
    let initial = known.get(..1)?;
    let name = |text: &str, least: usize| (text.len() >= least).then(|| text.to_owned());
    match words.as_slice() {
        [a, b] if a == known => name(b, 2).map(|n| (n, How::Mail)),
        [a, b] if b == known => name(a, 2).map(|n| (n, How::Mail)),
        [a, b] if a == initial => name(b, 3).map(|n| (n, How::MailInitial)),
        [a, b] if b == initial => name(a, 3).map(|n| (n, How::MailInitial)),
        [one] if known.len() > 2 => {
            let rest = one.strip_prefix(known).or_else(|| one.strip_suffix(known));
            if let Some(rest) = rest {
                return name(rest, 3).map(|n| (n, How::Mail));
            }
            one.strip_prefix(initial).and_then(|rest| name(rest, 4)).map(|n| (n, How::MailInitial))
        }
        [one] if known.len() == 1 => {
            one.strip_prefix(known).and_then(|rest| name(rest, 4)).map(|n| (n, How::MailInitial))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_user_shows_the_other_part() {
        let part = |user: &str, known: &str| other_part(user, known).map(|(text, _)| text);
        assert_eq!(part("john.smith77", "john").as_deref(), Some("smith"));
        assert_eq!(part("smith_john", "john").as_deref(), Some("smith"));
        assert_eq!(part("johnsmith", "john").as_deref(), Some("smith"));
        assert_eq!(part("jsmith", "john").as_deref(), Some("smith"));
        assert_eq!(part("john", "john"), None);
        assert_eq!(part("info", ""), None);
    }
}
