//! Upper and lower case of names: "JOHN MCDONALD" and "john mcdonald" become "John McDonald".
//!
//! Mixed case is left as its writer meant it.

use crate::normalize::name::words::{Particle, particle};

/// How the letters of a text are cased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// All capitals.
    Upper,
    /// All small.
    Lower,
    /// Both, or a script without case.
    Mixed,
}

/// The case of a text's letters.
pub fn case_of(text: &str) -> Case {
    let (mut upper, mut lower) = (false, false);
    for c in text.chars().filter(|c| !matches!(c, '\u{10a0}'..='\u{10ff}')) {
        upper |= c.is_uppercase();
        lower |= c.is_lowercase();
    }
    match (upper, lower) {
        (true, false) => Case::Upper,
        (false, true) => Case::Lower,
        (true, true) | (false, false) => Case::Mixed,
    }
}

/// Title-cases words that are all capitals or all small. `family`: particles before the last word are written small.
/// `whole` is the case of the whole name: in a mixed name, two capitals are initials and stay.
pub fn fix(text: &str, family: bool, whole: Case) -> String {
    if case_of(text) == Case::Mixed && whole == Case::Mixed && !text.split(' ').any(needs) {
        return text.to_owned();
    }
    let last = text.split(' ').count().saturating_sub(1);
    let mut after_particle = false;
    let fixed = text.split(' ').enumerate().map(|(at, word)| {
        let small = match particle(word).filter(|_| family && at < last) {
            Some(Particle::Lower) => true,
            Some(Particle::Drop) => after_particle || whole == Case::Mixed && case_of(word) == Case::Lower,
            Some(Particle::Keep) | None => false,
        };
        after_particle = small;
        match needs(word) {
            _ if small && case_of(word) != Case::Mixed => word.to_lowercase(),
            true => title(word),
            false => word.to_owned(),
        }
    });
    fixed.collect::<Vec<_>>().join(" ")
}

fn needs(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    match case_of(word) {
        Case::Lower => true,
        Case::Upper => letters > 1 && !word.contains('.') && (letters > 2 || has_vowel(word)),
        Case::Mixed => false,
    }
}

fn has_vowel(word: &str) -> bool {
    !word.is_ascii() || word.bytes().any(|b| matches!(b.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
}

fn title(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut segment = String::new();
    for c in word.chars() {
        if c.is_alphanumeric()
            || !c.is_ascii() && !matches!(c, '\u{2019}' | '\u{2018}' | '\u{2010}' | '\u{2011}' | '\u{2013}' | '・')
        {
            segment.push(c);
        } else {
            push_segment(&mut out, &segment);
            segment.clear();
            out.push(c);
        }
    }
    push_segment(&mut out, &segment);
    out
}

/// Family names where "Mac" is followed by a capital; "Macy" and "Mackey" are not of them.
const MAC: [&str; 14] = [
    "macdonald",
    "macleod",
    "mackenzie",
    "macgregor",
    "macarthur",
    "macmillan",
    "maclean",
    "macdougall",
    "macpherson",
    "macintyre",
    "macfarlane",
    "maclaren",
    "macdonnell",
    "macneil",
];

fn push_segment(out: &mut String, segment: &str) {
    let lower = segment.to_lowercase();
    let after_apostrophe = out.ends_with(['\'', '\u{2019}', '\u{2018}']);
    if after_apostrophe && lower.chars().count() == 1 {
        out.push_str(&lower);
        return;
    }
    let (head, rest) = match lower.strip_prefix("mc") {
        Some(rest) if rest.len() >= 2 => ("Mc", rest),
        Some(_) | None => match lower.strip_prefix("mac").filter(|_| MAC.contains(&lower.as_str())) {
            Some(rest) => ("Mac", rest),
            None => ("", lower.as_str()),
        },
    };
    out.push_str(head);
    let mut chars = rest.chars();
    if let Some(first) = chars.next() {
        // Georgian has no title case: its capitals are for whole words.
        match first {
            '\u{10a0}'..='\u{10ff}' => out.push(first),
            _ => out.extend(first.to_uppercase()),
        }
    }
    out.push_str(chars.as_str());
}
