//! Texts: files to import, JSON records, and the values that are normalised.

use std::io::Cursor;

use selfsame::formats::checks::VALUE_BYTES_MAX;
use selfsame::formats::json;
use selfsame::formats::{AccountInput, Format, ReadOptions, RecordInput, open, open_accounts};
use selfsame::model::record::{Address, Email, Fields, Phone};
use selfsame::normalize::{Normalizer, Rules};

use crate::Outcome;
use crate::disk::kind_of;

/// Rows that are read of one input.
const ROWS_MAX: u64 = 100_000;

/// Reads bytes as a file to import, as people and as businesses.
pub fn file(format: Format, bytes: &[u8]) -> Outcome {
    let options = || ReadOptions { source: "fuzz".into(), ..ReadOptions::default() };
    let mut told = String::new();
    let (mut good, mut bad) = (0u64, 0u64);
    match open(format, Box::new(Cursor::new(bytes.to_vec())), options()) {
        Err(error) => told = kind_of(&error.to_string()),
        Ok(mut reader) => loop {
            match reader.next_row() {
                Ok(None) => break,
                Ok(Some(row)) if row.record.is_ok() => good += 1,
                Ok(Some(row)) => {
                    bad += 1;
                    told.push_str(row.record.err().map_or("", |error| error.code));
                    told.truncate(100);
                }
                Err(error) => {
                    told = kind_of(&error.to_string());
                    break;
                }
            }
            if good + bad > ROWS_MAX.min(bytes.len() as u64 + 2) {
                return Err(format!("more rows than bytes: {good} good, {bad} bad of {} bytes", bytes.len()));
            }
        },
    }
    if format != Format::Vcard
        && let Ok(mut reader) = open_accounts(format, Box::new(Cursor::new(bytes.to_vec())), options())
    {
        while let Ok(Some(_)) = reader.next_row() {}
    }
    Ok(format!("{} {} {told}", good.min(5), bad.min(5)))
}

/// Reads bytes as the JSON record of a person and of a business, and normalises what comes out.
pub fn record(normalizer: &Normalizer, bytes: &[u8]) -> Outcome {
    let person = json::from_slice::<RecordInput>(bytes).and_then(|input| input.into_record("fuzz"));
    let business = json::from_slice::<AccountInput>(bytes).map(|input| input.into_checked("fuzz"));
    let told = match &person {
        Ok(record) => {
            let (_, issues) = normalizer.normalize(&record.fields);
            issues.iter().map(|issue| issue.code).collect::<Vec<_>>().join(" ")
        }
        Err(error) => kind_of(&error.to_string()),
    };
    if let Ok(Ok(mut account)) = business {
        normalizer.business(&account.record.fields, &mut account.business);
    }
    Ok(told.chars().take(200).collect())
}

/// The kinds of values.
#[derive(Clone, Copy)]
pub enum Value {
    Phone,
    Name,
    Email,
    Address,
}

pub fn normalizer(region: &str) -> Normalizer {
    Normalizer::new(Rules { default_region: region.into(), ..Rules::default() })
}

/// Normalises text as one kind of value, and holds what comes out against what such a value can be.
pub fn value(kind: Value, normalizer: &Normalizer, bytes: &[u8]) -> Outcome {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    // Longer values are refused before they come here.
    text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
    let mut fields = Fields::default();
    match kind {
        Value::Phone => fields.phones = vec![Phone { value: text, ..Phone::default() }],
        Value::Email => fields.emails = vec![Email { value: text, ..Email::default() }],
        Value::Name => {
            let (first, last) = text.split_at(text.floor_char_boundary(text.len() / 2));
            fields.first_name = Some(first.to_owned());
            fields.last_name = Some(last.to_owned());
            fields.organization = Some(text.clone());
            fields.birthday = Some(text.clone());
            fields.name = Some(text);
        }
        Value::Address => {
            let mut parts = text.split(',').map(|part| Some(part.to_owned()));
            let address = Address {
                street: parts.next().flatten(),
                city: parts.next().flatten(),
                region: parts.next().flatten(),
                postal_code: parts.next().flatten(),
                country: parts.next().flatten(),
                ..Address::default()
            };
            fields.addresses = vec![address];
        }
    }
    let (read, issues) = normalizer.normalize(&fields);
    for phone in &read.phones {
        let digits = phone.e164.strip_prefix('+');
        let plain = digits.unwrap_or(&phone.e164).bytes().all(|byte| byte.is_ascii_digit());
        // E.164 ends at 15, but Germany has longer numbers: the national part is up to 17 digits in Google's library.
        if !plain || (phone.valid && !digits.is_some_and(|digits| (4..=20).contains(&digits.len()))) {
            return Err(format!("{phone:?} is no number"));
        }
    }
    for email in read.emails.iter().filter(|email| email.valid) {
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if format!("{}@{}", email.user, email.domain) != email.canonical || email.canonical.chars().any(odd) {
            return Err(format!("{email:?} is no address"));
        }
    }
    let again = normalizer.normalize(&fields);
    if format!("{again:?}") != format!("{:?}", (&read, &issues)) {
        return Err("the same text is read in two ways".into());
    }
    let codes: Vec<&str> = issues.iter().map(|issue| issue.code).collect();
    Ok(format!("{codes:?} {}", shape(&format!("{read:?}"))))
}

/// What a value consists of, without what stands in it.
fn shape(debug: &str) -> String {
    let outside = debug.split('"').step_by(2).collect::<String>();
    outside.chars().filter(|c| c.is_alphabetic() || "[](".contains(*c)).take(600).collect()
}
