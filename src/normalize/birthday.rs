//! Birthdays in the usual spellings.
//!
//! Day and month in figures are read in the region's order and reported as ambiguous where both could
//! be either. Impossible dates are nothing. The year 1604 (and 0000, 1900 is real) stands for "hidden".

use crate::model::issue::Issue;
use crate::model::normalized::Birthday;
use crate::normalize::text;

/// Address books write this year when the year is not said.
const NO_YEAR: u16 = 1604;

/// The first letters that tell a month, folded, in English, German, French, Spanish, Italian, Portuguese and Dutch.
const MONTHS: &[(&str, u8)] = &[
    ("jan", 1),
    ("janv", 1),
    ("ene", 1),
    ("gen", 1),
    ("feb", 2),
    ("fev", 2),
    ("mar", 3),
    ("mrz", 3),
    ("maa", 3),
    ("apr", 4),
    ("avr", 4),
    ("abr", 4),
    ("may", 5),
    ("mai", 5),
    ("mag", 5),
    ("mei", 5),
    ("jun", 6),
    ("juin", 6),
    ("giu", 6),
    ("jul", 7),
    ("juil", 7),
    ("lug", 7),
    ("aug", 8),
    ("aou", 8),
    ("ago", 8),
    ("sep", 9),
    ("set", 9),
    ("oct", 10),
    ("okt", 10),
    ("ott", 10),
    ("out", 10),
    ("nov", 11),
    ("dec", 12),
    ("dez", 12),
    ("dic", 12),
    ("januar", 1),
    ("marz", 3),
    ("maerz", 3),
    ("mart", 3),
    ("dicembre", 12),
    ("decembre", 12),
    ("julio", 7),
    ("junio", 6),
    ("luglio", 7),
    ("giugno", 6),
    ("aout", 8),
    ("diciembre", 12),
    ("settembre", 9),
];

/// Reads a birthday. `month_first` is the region's habit for 02/03/1980.
pub fn read(raw: &str, month_first: bool, issues: &mut Vec<Issue>) -> Option<Birthday> {
    let raw = text::ascii_digits(raw.trim());
    let raw = text::clean(&raw);
    if raw.is_empty() {
        return None;
    }
    if text::is_placeholder(&raw) || raw.bytes().all(|b| matches!(b, b'0' | b'-' | b'/' | b'.')) {
        issues.push(Issue::new("birthday", "placeholder", "the birthday stands for no birthday"));
        return None;
    }
    let Some(date) = parse(without_time(&raw), month_first) else {
        issues.push(Issue::new(
            "birthday",
            "birthday_unparsable",
            "the birthday is in no spelling that we know; write 1980-02-03",
        ));
        return None;
    };
    let Some(birthday) = checked(date) else {
        issues.push(Issue::new("birthday", "birthday_invalid", "there is no such date"));
        return None;
    };
    if birthday.ambiguous {
        issues.push(Issue::new("birthday", "birthday_ambiguous", "day and month could be the other way round"));
    }
    Some(birthday)
}

/// A birthday whose parts stand apart, as text that [`read`] reads: `1980-02-03`, `1980-02`, `1980`, `--02-03`. A part that
/// cannot be is left out; the month may be a word. `None` without a year where not both day and month are known.
pub fn from_parts(year_text: Option<&str>, month_text: Option<&str>, day_text: Option<&str>) -> Option<String> {
    let figure = |text: Option<&str>| number(text?.trim().trim_end_matches(".0")).filter(|n| *n != 0);
    let folded = month_text.map(text::fold);
    let month = figure(month_text).or_else(|| month_of(folded.as_deref()?).map(u16::from));
    let year_text = year_text.map(|text| text.trim().trim_end_matches(".0")).filter(|text| !text.starts_with("00"));
    let year = year_text.and_then(year).filter(|y| *y != NO_YEAR && (1200..2200).contains(y));
    let day = figure(day_text);
    let (month, day) = match (month, day) {
        (Some(m @ 13..=31), Some(d @ 1..=12)) => (Some(d), Some(m)),
        other => other,
    };
    let month = month.filter(|m| *m <= 12);
    let fits = |d: &u16| {
        let last = month.and_then(|m| u8::try_from(m).ok()).map(|m| days_in(year, m));
        last.is_some_and(|last| *d <= u16::from(last))
    };
    match (year, month, day.filter(fits)) {
        (Some(y), Some(m), Some(d)) => Some(format!("{y:04}-{m:02}-{d:02}")),
        (Some(y), Some(m), None) => Some(format!("{y:04}-{m:02}")),
        (Some(y), None, _) => Some(format!("{y:04}")),
        (None, Some(m), Some(d)) => Some(format!("--{m:02}-{d:02}")),
        (None, ..) => None,
    }
}

/// Year (0: none), month (0: none), day (0: none), ambiguous.
type Date = (u16, u16, u16, bool);

fn without_time(raw: &str) -> &str {
    let head = raw
        .split_once(['T', 't'])
        .filter(|(head, tail)| head.len() >= 8 && tail.starts_with(|c: char| c.is_ascii_digit()));
    let head = head.map_or(raw, |(head, _)| head);
    head.split_once(' ').filter(|(_, tail)| tail.contains(':')).map_or(head, |(date, _)| date)
}

fn parse(text: &str, month_first: bool) -> Option<Date> {
    if let Some(rest) = text.strip_prefix("--") {
        return without_year(rest);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return packed(text);
    }
    let parts: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
    if text.chars().any(char::is_alphabetic) {
        return with_words(text);
    }
    match parts.as_slice() {
        [a, b] if a.len() == 4 => Some((number(a)?, number(b)?, 0, false)),
        [a, b] if b.len() == 4 => Some((number(b)?, number(a)?, 0, false)),
        [a, b] => Some(ordered(0, number(a)?, number(b)?, month_first && !text.contains('.'), !text.contains('.'))),
        [y, m, d] if y.len() == 4 => year_first(number(y)?, number(m)?, number(d)?),
        [a, b, y] if y.len() <= 4 => {
            let dotted = text.contains('.');
            Some(ordered(year(y)?, number(a)?, number(b)?, month_first && !dotted, !dotted))
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok()
}

/// A year as written: two digits up to 29 are of this century.
fn year(text: &str) -> Option<u16> {
    let value = number(text)?;
    match text.len() {
        4 => Some(value),
        2 if value <= 29 => Some(2000 + value),
        2 => Some(1900 + value),
        _ => None,
    }
}

fn year_first(year: u16, month: u16, day: u16) -> Option<Date> {
    let swapped = month > 12 && day <= 12;
    Some(if swapped { (year, day, month, false) } else { (year, month, day, false) })
}

/// Two figures whose order is the region's, unless only one order is possible.
fn ordered(year: u16, a: u16, b: u16, month_first: bool, unclear: bool) -> Date {
    match (a <= 12, b <= 12) {
        (true, true) => {
            let (month, day) = if month_first { (a, b) } else { (b, a) };
            (year, month, day, unclear && a != b)
        }
        (true, false) => (year, a, b, false),
        (false, _) => (year, b, a, false),
    }
}

/// `--02-03`, `--0203`, `--02`.
fn without_year(rest: &str) -> Option<Date> {
    let digits: String = rest.chars().filter(|c| *c != '-').collect();
    match digits.len() {
        4 => Some((0, number(digits.get(..2)?)?, number(digits.get(2..)?)?, false)),
        2 => Some((0, number(&digits)?, 0, false)),
        _ => None,
    }
}

/// `1980`, `198002`, `19800203`, and `03021980` where the first cannot be.
fn packed(text: &str) -> Option<Date> {
    match text.len() {
        4 => Some((number(text)?, 0, 0, false)),
        6 => Some((number(text.get(..4)?)?, number(text.get(4..)?)?, 0, false)),
        8 => {
            let (y, m, d) = (number(text.get(..4)?)?, number(text.get(4..6)?)?, number(text.get(6..)?)?);
            if (1..=12).contains(&m) && (1500..2200).contains(&y) {
                return Some((y, m, d, false));
            }
            let (a, b, y) = (number(text.get(..2)?)?, number(text.get(2..4)?)?, number(text.get(4..)?)?);
            (1500..2200).contains(&y).then(|| ordered(y, a, b, false, true))
        }
        _ => None,
    }
}

/// `3 Feb 1980`, `Feb 3rd, 1980`, `3. März 1980`, `1980 Feb 3`, `3 de febrero de 1980`.
fn with_words(text: &str) -> Option<Date> {
    if let Some(date) = ideographic(text) {
        return Some(date);
    }
    let folded = text::fold(text);
    let (mut month, mut figures): (u16, Vec<&str>) = (0, Vec::new());
    for token in folded.split(' ') {
        let figure = token.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match figure.is_empty() {
            false => figures.push(figure),
            true if month == 0 => month = month_of(token).map_or(0, u16::from),
            true => {}
        }
    }
    if month == 0 {
        return None;
    }
    match figures.as_slice() {
        [y] if y.len() == 4 => Some((number(y)?, month, 0, false)),
        [d] => Some((0, month, number(d)?, false)),
        [y, d] if y.len() == 4 => Some((number(y)?, month, number(d)?, false)),
        [d, y] => Some((year(y)?, month, number(d)?, false)),
        _ => None,
    }
}

/// `1980年2月3日`.
fn ideographic(text: &str) -> Option<Date> {
    let (y, rest) = text.split_once(['年', '년'])?;
    let (m, rest) = rest.split_once(['月', '월'])?;
    let d = rest.trim_end_matches(['日', '일']).trim();
    Some((year(y.trim())?, number(m.trim())?, if d.is_empty() { 0 } else { number(d)? }, false))
}

fn month_of(token: &str) -> Option<u8> {
    let exact = MONTHS.iter().find(|(name, _)| *name == token);
    let start = || MONTHS.iter().find(|(name, _)| token.len() > name.len() && token.starts_with(name));
    exact.or_else(start).map(|(_, month)| *month)
}

fn checked((year, month, day, ambiguous): Date) -> Option<Birthday> {
    let year = (year != 0 && year != NO_YEAR).then_some(year);
    if month == 0 && day != 0 || month > 12 || year.is_some_and(|y| !(1200..2200).contains(&y)) {
        return None;
    }
    let month = u8::try_from(month).ok().filter(|m| *m != 0);
    let day = u8::try_from(day).ok()?;
    let day = (day != 0).then_some(day);
    let fits = day.is_none_or(|d| month.is_some_and(|m| d <= days_in(year, m)));
    (fits && (year.is_some() || month.is_some())).then_some(Birthday { year, month, day, ambiguous })
}

fn days_in(year: Option<u16>, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_none_or(|y| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(raw: &str, month_first: bool) -> (String, Option<&'static str>) {
        let mut issues = Vec::new();
        let shown = read(raw, month_first, &mut issues).map_or_else(String::new, |b| {
            format!("{}-{}-{}", b.year.unwrap_or(0), b.month.unwrap_or(0), b.day.unwrap_or(0))
        });
        (shown, issues.first().map(|i| i.code))
    }

    #[test]
    fn spellings() {
        for raw in [
            "1980-02-03",
            "19800203",
            "3.2.1980",
            "03.02.80",
            "3 Feb 1980",
            "Feb 3, 1980",
            "February 3rd, 1980",
            "3. Februar 1980",
            "3 février 1980",
            "3 de febrero de 1980",
            "3 febbraio 1980",
            "1980/02/03",
            "1980-02-03T00:00:00Z",
            "1980-02-03 00:00:00",
            "1980 Feb 3",
            "1980年2月3日",
            "١٩٨٠-٠٢-٠٣",
            "1980-2-3",
        ] {
            assert_eq!(at(raw, true), ("1980-2-3".into(), None), "{raw}");
        }
        for (raw, month_first, shown) in [
            ("--02-03", true, "0-2-3"),
            ("--0203", true, "0-2-3"),
            ("1604-02-03", true, "0-2-3"),
            ("1980", true, "1980-0-0"),
            ("1980-02", true, "1980-2-0"),
            ("02/13/1980", false, "1980-2-13"),
            ("13/02/1980", true, "1980-2-13"),
            ("3. März 1980", false, "1980-3-3"),
            ("29 Feb", true, "0-2-29"),
            ("02/02/1980", true, "1980-2-2"),
            ("7 août 1999", true, "1999-8-7"),
            ("10 dicembre 1999", true, "1999-12-10"),
            ("5 juillet 1999", true, "1999-7-5"),
            ("5 juin 1999", true, "1999-6-5"),
            ("1 gennaio 2001", true, "2001-1-1"),
        ] {
            assert_eq!(at(raw, month_first), (shown.into(), None), "{raw}");
        }
    }

    #[test]
    fn unclear_and_impossible() {
        assert_eq!(at("02/03/1980", true), ("1980-2-3".into(), Some("birthday_ambiguous")));
        assert_eq!(at("02/03/1980", false), ("1980-3-2".into(), Some("birthday_ambiguous")));
        for raw in ["1980-02-30", "31.4.1980", "1981-02-29", "45/45/1980", "3024-01-01"] {
            assert_eq!(at(raw, true), (String::new(), Some("birthday_invalid")), "{raw}");
        }
        for raw in ["soon", "3 Foo 1980", "1-2-3-4"] {
            assert_eq!(at(raw, true), (String::new(), Some("birthday_unparsable")), "{raw}");
        }
        assert_eq!(at("0000-00-00", true).1, Some("placeholder"));
        assert_eq!(at("", true), (String::new(), None));
    }

    proptest! {
        #[test]
        fn never_panics(raw in any::<String>(), figures in "[0-9./ -]{0,14}") {
            at(&raw, true);
            at(&figures, false);
        }

        #[test]
        fn iso_reads_back(y in 1900u16..2100, m in 1u8..=12, d in 1u8..=28) {
            prop_assert_eq!(at(&format!("{y}-{m:02}-{d:02}"), true).0, format!("{y}-{m}-{d}"));
        }
    }
}
