//! The ways to read a record's name: as given, split at the last token, swapped, or with a missing
//! part taken from the mail address. Every reading but the first costs bits.

use crate::matching::model::{Model, name_words};
use crate::matching::token::Token;
use crate::model::normalized::{NormEmail, Normalized};
use crate::normalize::name::{birth_name, other_forms};
use smallvec::SmallVec;

/// No token.
const NONE: u8 = u8::MAX;
/// Most tokens of a given or family name that are looked at.
pub(crate) const PART_MAX: usize = 3;
/// Most readings of one record.
const READINGS_MAX: usize = 8;

/// How a reading came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub fn joined<'a>(&self, tokens: &'a [Token]) -> Option<&'a Token> {
        tokens.get(usize::from(self.joined))
    }

    /// The n-th token of the name.
    pub fn token<'a>(&self, tokens: &'a [Token], n: usize) -> Option<&'a Token> {
        self.tokens.get(n).and_then(|at| tokens.get(usize::from(*at)))
    }

    /// The tokens of the name, at most three.
    pub fn tokens<'a>(&self, tokens: &'a [Token]) -> impl Iterator<Item = &'a Token> + use<'a> {
        let at = self.tokens;
        at.into_iter().filter_map(|at| tokens.get(usize::from(at)))
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

/// Tokens collected while readings are made.
struct Tokens<'a> {
    model: &'a Model,
    list: SmallVec<[Token; 4]>,
}

impl Tokens<'_> {
    /// The place of a token, added if new.
    fn at(&mut self, text: &str) -> u8 {
        let mut token = Token::new(text);
        if let Some(at) = self.list.iter().position(|t| t.hash == token.hash) {
            return u8::try_from(at).unwrap_or(NONE);
        }
        let frequencies = &self.model.frequencies;
        token.given = frequencies.given.get(token.hash);
        token.surname = frequencies.surname.get(token.hash);
        token.given_joint = frequencies.given_joint.get(&token.hash).copied().unwrap_or(0.0);
        token.surname_joint = frequencies.surname_joint.get(&token.hash).copied().unwrap_or(0.0);
        let at = u8::try_from(self.list.len()).unwrap_or(NONE);
        if at < NONE {
            self.list.push(token);
        }
        at
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
pub(crate) fn readings(record: &Normalized, model: &Model) -> (SmallVec<[Token; 4]>, SmallVec<[Reading; 3]>) {
    let mut tokens = Tokens { model, list: SmallVec::new() };
    let mut out: SmallVec<[Reading; 3]> = SmallVec::new();
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
        if let (Some(given), Some(surname)) = (reading.given.joined(&tokens.list), reading.surname.joined(&tokens.list))
        {
            reading.namesakes = model.frequencies.namesakes(given.hash, surname.hash);
        }
    }
    (tokens.list, out)
}

/// A lone word from a field for the whole name is a family name as likely as the tables say.
fn weigh_lone(readings: &mut [Reading], tokens: &Tokens<'_>, lone: Part) {
    let Some(token) = lone.joined(&tokens.list) else {
        return;
    };
    let (given, surname) = (LONE_IS_GIVEN * token.given, (1.0 - LONE_IS_GIVEN) * token.surname);
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
