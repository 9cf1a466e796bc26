//! Addresses as light tokens: house number, street words, city, region, postal code, country.
//!
//! No gazetteer and no grammar: enough to compare two spellings of one place, and cheap.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::model::normalized::NormAddress;
use crate::model::record::Address;
use crate::normalize::text;

/// A street word's kind: `unit` words are followed by a number that is not the house's.
struct Word {
    long: &'static str,
    unit: bool,
}

static WORDS: LazyLock<HashMap<&'static str, Word>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for line in text::table_lines(include_str!("../../data/address_abbreviations.txt")) {
        let mut parts = line.split('\t');
        let (Some(kind), Some(long)) = (parts.next(), parts.next()) else {
            continue;
        };
        let unit = kind == "unit";
        words.insert(long, Word { long, unit });
        for short in parts.next().unwrap_or("").split(' ').filter(|s| !s.is_empty()) {
            words.insert(short, Word { long, unit });
        }
    }
    words
});

static COUNTRIES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for (code, list) in
        text::table_lines(include_str!("../../data/countries.txt")).filter_map(|line| line.split_once('\t'))
    {
        names.insert(code.to_owned(), code);
        for name in list.split('|') {
            names.entry(text::fold(name)).or_insert(code);
            names.entry(text::fold_compact(name)).or_insert(code);
        }
    }
    names.insert("uk".to_owned(), "gb");
    names
});

static REGIONS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let lines = text::table_lines(include_str!("../../data/regions.txt"));
    lines.filter_map(|line| line.split_once('\t')).map(|(code, name)| (text::fold(name), code)).collect()
});

/// The ISO 3166 alpha-2 code in lower case of a country's name or code.
pub fn country_code(raw: &str) -> Option<&'static str> {
    let folded = text::fold(raw);
    let bare = folded.strip_prefix("the ").unwrap_or(&folded);
    COUNTRIES.get(bare).or_else(|| COUNTRIES.get(bare.replace(' ', "").as_str())).copied()
}

/// Reads an address; `None` if no part says anything.
pub fn address(raw: &Address) -> Option<NormAddress> {
    let said = |field: &Option<String>| -> Option<String> {
        let value = field.as_deref()?;
        (!value.trim().is_empty() && !text::is_placeholder(value)).then(|| value.to_owned())
    };
    let mut out = NormAddress::default();
    if let Some(street) = said(&raw.street) {
        (out.number, out.street) = street_parts(&street);
    }
    out.city = said(&raw.city).and_then(|city| fold_city(&city));
    out.region = said(&raw.region).and_then(|region| fold_region(&region));
    out.postal_code = said(&raw.postal_code).and_then(|code| postal_code(&code));
    out.country = said(&raw.country).and_then(|country| match country_code(&country) {
        Some(code) => Some(code.to_owned()),
        None => Some(text::fold(&country)).filter(|folded| !folded.is_empty()),
    });
    (out != NormAddress::default()).then_some(out)
}

fn fold_city(city: &str) -> Option<String> {
    let words = text::tokens(city).into_iter().map(|word| match word.as_str() {
        "st" => "saint".to_owned(),
        "ft" => "fort".to_owned(),
        "mt" => "mount".to_owned(),
        _ => word,
    });
    let folded = words.collect::<Vec<_>>().join(" ");
    (!folded.is_empty()).then_some(folded)
}

fn fold_region(region: &str) -> Option<String> {
    let folded = text::fold(region);
    if folded.is_empty() {
        return None;
    }
    Some(REGIONS.get(&folded).map_or(folded, |code| (*code).to_owned()))
}

/// Letters and digits only; "12345-6789" is cut to its area, "D-80331" loses the country.
fn postal_code(code: &str) -> Option<String> {
    let parts = text::tokens(code);
    let digits = |t: &String| t.bytes().all(|b| b.is_ascii_digit());
    let joined = match parts.as_slice() {
        [zip, plus] if zip.len() == 5 && plus.len() == 4 && digits(zip) && digits(plus) => zip.clone(),
        [land, rest]
            if code.contains('-') && land.len() <= 2 && !land.bytes().any(|b| b.is_ascii_digit()) && digits(rest) =>
        {
            rest.clone()
        }
        _ => parts.concat(),
    };
    (!joined.is_empty()).then_some(joined)
}

/// House number and the other words of a street line.
fn street_parts(street: &str) -> (Option<String>, Vec<String>) {
    let hashed = street.replace('#', " unit ");
    let mut words = keep_ranges(&hashed);
    let number = take_number(&mut words);
    let last = words.len().saturating_sub(1);
    let expanded = words.iter().enumerate().map(|(at, word)| expand(word, at == 0 && last > 0)).collect();
    (number, expanded)
}

/// Folded words; a hyphen between digits stays ("12-14").
fn keep_ranges(street: &str) -> Vec<String> {
    let mut words = Vec::new();
    for chunk in street.split([' ', ',', ';', '\n', '\t', '/', '\r']) {
        let range = chunk.contains('-')
            && chunk.bytes().all(|b| b.is_ascii_digit() || b == b'-')
            && chunk.starts_with(|c: char| c.is_ascii_digit());
        if range {
            words.push(chunk.trim_end_matches('-').to_owned());
        } else {
            words.extend(text::tokens(chunk));
        }
    }
    words
}

/// Takes the house number out: the first word in figures that is neither an ordinal nor a unit's number.
fn take_number(words: &mut Vec<String>) -> Option<String> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && !is_ordinal(word);
    let is_unit = |at: usize| words.get(at).and_then(|w| WORDS.get(w.as_str())).is_some_and(|w| w.unit);
    let at = (0..words.len()).find(|at| {
        let here = words.get(*at).is_some_and(|w| is_number(w));
        here && (*at == 0
            || !is_unit(at - 1)
            || words.get(at - 1).is_some_and(|w| w == "number" || w == "no" || w == "nr"))
    })?;
    let mut number = words.remove(at);
    if at > 0 && words.get(at - 1).is_some_and(|w| matches!(w.as_str(), "number" | "no" | "nr")) {
        words.remove(at - 1);
    }
    let letter_follows =
        at > 0 && words.get(at).is_some_and(|w| w.len() == 1 && w.bytes().all(|b| b.is_ascii_lowercase()));
    if letter_follows && number.bytes().all(|b| b.is_ascii_digit()) && at < words.len() {
        number.push_str(&words.remove(at));
    }
    Some(number)
}

fn is_ordinal(word: &str) -> bool {
    let tail = word.trim_start_matches(|c: char| c.is_ascii_digit());
    matches!(tail, "st" | "nd" | "rd" | "th")
}

fn expand(word: &str, leads: bool) -> String {
    if leads && word == "st" {
        return "saint".to_owned();
    }
    if let Some(known) = WORDS.get(word) {
        return known.long.to_owned();
    }
    match word.strip_suffix("str") {
        Some(stem) if stem.len() >= 4 => format!("{stem}strasse"),
        Some(_) | None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn street(raw: &str) -> String {
        let (number, words) = street_parts(raw);
        format!("{}|{}", number.unwrap_or_default(), words.join(" "))
    }

    #[test]
    fn streets() {
        for (raw, read) in [
            ("123 Main St.", "123|main street"),
            ("123 Main Street", "123|main street"),
            ("Hauptstr. 12a", "12a|hauptstrasse"),
            ("Hauptstraße 12 a", "12a|hauptstrasse"),
            ("Via Roma, 12", "12|via roma"),
            ("12-14 High Rd", "12-14|high road"),
            ("435 s. la cienega blvd.", "435|south la cienega boulevard"),
            ("Apt 4, 15 High Street", "15|apartment 4 high street"),
            ("15 High St #4", "15|high street unit 4"),
            ("5th Ave 200", "200|5th avenue"),
            ("7 St James St", "7|saint james street"),
            ("7 wallaby place, milton", "7|wallaby place milton"),
            ("Broadway", "|broadway"),
        ] {
            assert_eq!(street(raw), read, "{raw}");
        }
    }

    #[test]
    fn countries() {
        for (raw, code) in [
            ("US", "us"),
            ("U.S.A.", "us"),
            ("United States of America", "us"),
            ("Deutschland", "de"),
            ("DEU", "de"),
            ("Россия", "ru"),
            ("中国", "cn"),
            ("The Netherlands", "nl"),
            ("UK", "gb"),
            ("England", "gb"),
            ("Türkiye", "tr"),
            ("KSA", "sa"),
            ("Ελλάδα", "gr"),
            ("Україна", "ua"),
            ("日本", "jp"),
            ("España", "es"),
            ("Brasil", "br"),
            ("México", "mx"),
            ("Sverige", "se"),
            ("Polska", "pl"),
        ] {
            assert_eq!(country_code(raw), Some(code), "{raw}");
        }
        assert_eq!(country_code("Atlantis"), None);
    }

    #[test]
    fn parts() {
        let raw = Address {
            street: Some("N/A".into()),
            city: Some("St. Louis".into()),
            region: Some("Missouri".into()),
            postal_code: Some("63101-1234".into()),
            country: Some("Narnia".into()),
            label: None,
        };
        let read = address(&raw).unwrap();
        assert_eq!(read.street, Vec::<String>::new());
        assert_eq!(read.city.as_deref(), Some("saint louis"));
        assert_eq!(read.region.as_deref(), Some("mo"));
        assert_eq!(read.postal_code.as_deref(), Some("63101"));
        assert_eq!(read.country.as_deref(), Some("narnia"));
        assert_eq!(address(&Address::default()), None);
        assert_eq!(postal_code("SW1A 1AA").as_deref(), Some("sw1a1aa"));
        assert_eq!(postal_code("D-80331").as_deref(), Some("80331"));
    }

    proptest! {
        #[test]
        fn never_panics(raw in any::<String>(), line in "[0-9a-c#, /-]{0,20}") {
            street_parts(&raw);
            street_parts(&line);
            country_code(&raw);
            postal_code(&raw);
        }
    }
}
