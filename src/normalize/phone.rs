//! Phone numbers: to E.164, with the extension apart.
//!
//! The engine is `rlibphonenumber`, which agrees with Google's library; a wrong E.164 would be a wrong
//! person, so nothing else makes keys. A number that the engine cannot place keeps its plain digits
//! without `+` and is marked invalid. Letters never become digits silently.

use rlibphonenumber::{NumberLengthType, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region, ValidationError};

use crate::model::issue::Issue;
use crate::model::normalized::{NormPhone, PhoneKind};
use crate::model::record::Phone;
use crate::normalize::text;

/// Characters of a number that are read, as Google's library has it.
pub const PHONE_MAX: usize = 250;

/// Digits of an extension that are kept.
const EXTENSION_MAX: usize = 20;

/// Words around a number that say what it is.
const LABELS: &[&str] = &[
    "tel",
    "telephone",
    "telefon",
    "telefono",
    "phone",
    "ph",
    "mobile",
    "mob",
    "mobil",
    "movil",
    "cell",
    "cel",
    "cellular",
    "fax",
    "home",
    "work",
    "office",
    "main",
    "direct",
    "handy",
    "portable",
    "private",
    "business",
    "tlf",
    "fon",
    "gsm",
    "whatsapp",
    "call",
    "callto",
    "sms",
    "no",
    "nr",
    "number",
    "t",
    "m",
    "p",
    "c",
    "f",
];

/// An ISO 3166 alpha-2 code in either case as the engine's region.
pub fn region(code: &str) -> Option<Region> {
    Region::try_from(code.to_ascii_uppercase().as_str()).ok()
}

/// Reads one phone value, which may hold several numbers; `regions` are tried in order when the country code is missing.
pub fn read(phone: &Phone, regions: &[Region], field: &str, out: &mut Vec<NormPhone>, issues: &mut Vec<Issue>) {
    let folded = text::ascii_digits(phone.value.trim());
    let value: String = folded.chars().filter(|c| !text::is_invisible(*c)).collect();
    if value.is_empty() {
        return;
    }
    if text::is_placeholder(&value) || is_dummy(&value) {
        issues.push(Issue::new(field, "placeholder", "the number stands for no number and was left out"));
        return;
    }
    let pieces = split(&value);
    if pieces.len() > 1 {
        issues.push(Issue::new(field, "phone_split", "several numbers in one value were taken apart"));
    }
    let alone = pieces.len() == 1;
    for piece in pieces {
        let Some(mut found) = number(piece, regions, field, issues) else {
            continue;
        };
        if let Some(given) = phone.extension.as_deref().filter(|_| alone) {
            found.extension = extension(given).or(found.extension);
        }
        if !out.iter().any(|p| p.e164 == found.e164 && p.extension == found.extension) {
            out.push(found);
        }
    }
}

fn extension(given: &str) -> Option<String> {
    let digits: String = text::digits(given).chars().take(EXTENSION_MAX).collect();
    (!digits.is_empty()).then_some(digits)
}

/// Cuts at ` ::: `, `;`, `,`, `|`, ` / ` and line ends where both sides hold a whole number.
fn split(value: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = value;
    let mut from = 0;
    while let Some((at, width)) = next_cut(rest, from) {
        let (left, right) = (rest.get(..at).unwrap_or(""), rest.get(at + width..).unwrap_or(""));
        if count_digits(left) >= 7 && count_digits(right.split([';', ',', '|', '\n']).next().unwrap_or("")) >= 7 {
            pieces.push(left);
            rest = right;
            from = 0;
        } else {
            from = at + width;
        }
    }
    pieces.push(rest);
    pieces
}

fn next_cut(text: &str, from: usize) -> Option<(usize, usize)> {
    let tail = text.get(from..)?;
    let marks = [":::", ";", ",", "|", " / ", "\n", " or "];
    marks.iter().filter_map(|mark| tail.find(mark).map(|at| (from + at, mark.len()))).min()
}

fn count_digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// One number. `None` if it holds no digit.
fn number(piece: &str, regions: &[Region], field: &str, issues: &mut Vec<Issue>) -> Option<NormPhone> {
    let piece = strip_labels(piece);
    let digits: String = piece.chars().take(PHONE_MAX).filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        issues.push(Issue::new(field, "phone_unparsable", "there is no digit in the number; it was left out"));
        return None;
    }
    if piece.chars().nth(PHONE_MAX).is_some() {
        issues.push(Issue::new(field, "phone_too_long", "only the first 250 characters were read"));
        return Some(plain(digits));
    }
    if let Some(vanity) = letters(piece) {
        let (code, why, keys) = match vanity {
            Some(keys) => ("phone_unparsable", "a number spelled in letters was kept as the digits of its keys", keys),
            None => ("phone_invalid", "letters stand inside the number; only its digits were kept", digits),
        };
        issues.push(Issue::new(field, code, why));
        return Some(plain(keys));
    }
    Some(parsed(piece, digits, regions, field, issues))
}

fn plain(digits: String) -> NormPhone {
    NormPhone { e164: digits, extension: None, valid: false, kind: PhoneKind::Unknown }
}

/// What the engine made of a number.
struct Reading {
    number: PhoneNumber,
    kind: PhoneNumberType,
}

fn parsed(piece: &str, digits: String, regions: &[Region], field: &str, issues: &mut Vec<Issue>) -> NormPhone {
    let international =
        piece.trim_start_matches(['(', ' ', '[']).starts_with('+') || piece.contains(";phone-context=+");
    let Some(reading) = best_reading(piece, regions, international) else {
        issues.push(Issue::new(field, "phone_unparsable", "the number could not be read; its digits were kept"));
        return plain(digits);
    };
    if reading.kind != PhoneNumberType::Unknown {
        return finish(reading, true, field, issues);
    }
    if international {
        issues.push(Issue::new(field, "phone_invalid", "no such number can exist in its country"));
        return finish(reading, false, field, issues);
    }
    invalid_national(reading, digits, field, issues)
}

/// A number without a country code that its region cannot have: too short, too long, or only wrong.
fn invalid_national(reading: Reading, digits: String, field: &str, issues: &mut Vec<Issue>) -> NormPhone {
    match reading.number.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
            issues.push(Issue::new(field, "phone_invalid", "the number lacks its area code; its digits were kept"));
            let mut short = plain(digits);
            if let Some(ext) = reading.number.extension.as_deref().and_then(extension) {
                short.e164.truncate(short.e164.len().saturating_sub(ext.len()));
                short.extension = Some(ext);
            }
            short
        }
        Err(ValidationError::TooLong) if let Some(guess) = with_country_code(&digits) => {
            issues.push(Issue::new(
                field,
                "phone_country_guessed",
                "the number was read as starting with its country code",
            ));
            finish(guess, true, field, issues)
        }
        Ok(_) | Err(_) => {
            issues.push(Issue::new(field, "phone_invalid", "no such number can exist in the region"));
            finish(reading, false, field, issues)
        }
    }
}

/// The first reading that is valid in its region; otherwise the first at all.
fn best_reading(piece: &str, regions: &[Region], international: bool) -> Option<Reading> {
    if international || regions.is_empty() {
        return read_in(piece, regions.first().copied());
    }
    let mut first = None;
    for region in regions {
        match read_in(piece, Some(*region)) {
            Some(reading) if reading.kind != PhoneNumberType::Unknown => return Some(reading),
            Some(reading) if first.is_none() => first = Some(reading),
            Some(_) | None => {}
        }
    }
    first
}

fn read_in(piece: &str, region: Option<Region>) -> Option<Reading> {
    let number = PhoneNumber::parse(piece, region).ok()?;
    let kind = number.get_type();
    Some(Reading { number, kind })
}

/// "0049 30 ..." or "49 30 ..." where the region has no such number: read behind a `+`, if that is valid.
fn with_country_code(digits: &str) -> Option<Reading> {
    let bare = digits.strip_prefix("00").unwrap_or(digits);
    if bare.len() < 11 || bare.len() > 15 {
        return None;
    }
    read_in(&format!("+{bare}"), None).filter(|r| r.kind != PhoneNumberType::Unknown)
}

fn finish(reading: Reading, valid: bool, field: &str, issues: &mut Vec<Issue>) -> NormPhone {
    let kind = kind_of(reading.kind);
    if kind == PhoneKind::Service {
        issues.push(Issue::new(field, "phone_service", "a toll-free, premium or shared line: many people may give it"));
    }
    NormPhone {
        e164: reading.number.format_as(PhoneNumberFormat::E164).into_owned(),
        extension: reading.number.extension.as_deref().and_then(extension),
        valid,
        kind,
    }
}

fn kind_of(kind: PhoneNumberType) -> PhoneKind {
    match kind {
        PhoneNumberType::FixedLine => PhoneKind::Fixed,
        PhoneNumberType::Mobile | PhoneNumberType::PersonalNumber => PhoneKind::Mobile,
        PhoneNumberType::FixedLineOrMobile => PhoneKind::FixedOrMobile,
        PhoneNumberType::TollFree
        | PhoneNumberType::PremiumRate
        | PhoneNumberType::SharedCost
        | PhoneNumberType::Pager
        | PhoneNumberType::UAN
        | PhoneNumberType::VoiceMail => PhoneKind::Service,
        PhoneNumberType::VoIP => PhoneKind::Voip,
        PhoneNumberType::Unknown => PhoneKind::Unknown,
    }
}

/// Takes words like "Tel.:" and "(mobile)" off both ends.
fn strip_labels(piece: &str) -> &str {
    let mut rest = piece.trim();
    if rest.bytes().all(|b| !b.is_ascii_alphabetic()) {
        return rest;
    }
    let stray = |c: char| matches!(c, ':' | '.' | ' ' | '=') || c.is_whitespace();
    while let Some(end) = rest.find(|c: char| !c.is_ascii_alphabetic())
        && end > 0
        && is_label(rest.get(..end).unwrap_or(""))
    {
        rest = rest.get(end..).unwrap_or("").trim_start_matches(stray);
    }
    loop {
        let inner = rest.trim_end_matches(|c: char| stray(c) || matches!(c, ')' | ']'));
        let start = inner
            .rfind(|c: char| !c.is_ascii_alphabetic())
            .map_or(0, |at| at + inner.get(at..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8));
        if start == 0 || !is_label(inner.get(start..).unwrap_or("")) {
            return rest;
        }
        rest = inner.get(..start).unwrap_or("").trim_end_matches(|c: char| stray(c) || matches!(c, '(' | '[' | '-'));
    }
}

fn is_label(word: &str) -> bool {
    let mut lower = [0u8; 10];
    let Some(buffer) = lower.get_mut(..word.len()) else {
        return false;
    };
    buffer.copy_from_slice(word.as_bytes());
    buffer.make_ascii_lowercase();
    LABELS.iter().any(|label| label.as_bytes() == buffer)
}

/// Letters in a number other than an extension's mark: `None` if there are none, `Some(Some(digits))` for a plausible
/// vanity number ("1-800-FLOWERS"), `Some(None)` otherwise.
#[expect(clippy::option_option, reason = "three answers, used once")]
fn letters(piece: &str) -> Option<Option<String>> {
    if !piece.chars().any(char::is_alphabetic) {
        return None;
    }
    let lower = piece.to_lowercase();
    let body = lower.strip_prefix("tel:").unwrap_or(&lower);
    let mut head = body;
    for mark in [
        ";ext=",
        ";isub=",
        ";phone-context=",
        "extension",
        "extn",
        "ext",
        "durchwahl",
        "poste",
        "anexo",
        "доб",
        "int",
        "dw",
        "x",
        "#",
    ] {
        if let Some((before, after)) = body.split_once(mark)
            && count_digits(before) >= 5
            && after.chars().all(|c| {
                c.is_ascii_digit()
                    || matches!(c, '.' | ':' | ' ' | '=' | '-' | '#' | '+' | ')')
                    || mark == ";phone-context="
            })
        {
            head = before;
            break;
        }
    }
    if !head.chars().any(char::is_alphabetic) {
        return None;
    }
    let vanity = head.trim_end().trim_start_matches(|c: char| c.is_ascii_digit() || " +-.()".contains(c));
    let word = vanity.bytes().filter(u8::is_ascii_alphabetic).count();
    let tidy = vanity.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b' ');
    let keys: String = head.chars().filter_map(key_of).collect();
    let starts = keys.strip_prefix('1').unwrap_or(&keys);
    let digits_first = head.trim_start_matches([' ', '+', '(']).starts_with(|c: char| c.is_ascii_digit());
    let plausible = digits_first && tidy && word >= 3 && (10..=14).contains(&starts.len()) && count_digits(head) >= 3;
    Some(plausible.then_some(keys))
}

/// The digit whose key carries the letter.
fn key_of(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        'a'..='c' => Some('2'),
        'd'..='f' => Some('3'),
        'g'..='i' => Some('4'),
        'j'..='l' => Some('5'),
        'm'..='o' => Some('6'),
        'p'..='s' => Some('7'),
        't'..='v' => Some('8'),
        'w'..='z' => Some('9'),
        _ => None,
    }
}

/// Numbers that people type to get past a form: one digit again and again, or counting up.
fn is_dummy(value: &str) -> bool {
    let digits: Vec<u8> = value.bytes().filter(u8::is_ascii_digit).collect();
    if value.bytes().any(|b| b.is_ascii_alphabetic()) {
        return false;
    }
    let Some(first) = digits.first() else {
        return false;
    };
    let national = digits.strip_prefix(b"1").filter(|d| d.len() == 10).unwrap_or(&digits);
    let same = national.first().is_some_and(|f| national.iter().all(|d| d == f)) || digits.iter().all(|d| d == first);
    (same && (digits.len() >= 6 || *first == b'0'))
        || matches!(digits.as_slice(), b"1234567890" | b"0123456789" | b"123456789" | b"12345678" | b"1234567")
}

#[cfg(test)]
mod tests;
