//! Rules on records, without an engine around them: orders and ties that scripts cannot show.

use super::*;
use crate::model::event::RecordPut;
use crate::model::ids::{RecordKey, Seq};
use crate::model::record::{Email, Phone, Record};
use crate::normalize::Normalizer;
use std::sync::Arc;

/// A record of a source by its time in days, version and receipt.
struct Put {
    source: &'static str,
    time: Option<i64>,
    version: Option<u64>,
    received: i64,
    hash: u128,
    fields: Fields,
}

fn put(source: &'static str, title: &str) -> Put {
    let fields = Fields { job_title: Some(title.to_owned()), ..Fields::default() };
    Put { source, time: None, version: None, received: 0, hash: 0, fields }
}

fn version(put: Put) -> Opened {
    let normalizer = Arc::new(Normalizer::new(crate::normalize::Rules::default()));
    let (normalized, _) = normalizer.normalize(&put.fields);
    let record = Record {
        key: RecordKey { source: put.source.into(), source_record_id: "1".into() },
        source_updated_at: put.time.map(Millis),
        version: put.version,
        fields: put.fields,
    };
    let put = RecordPut {
        record_id: RecordId(1),
        record,
        normalized,
        content_hash: put.hash,
        received_at: Millis(put.received),
        actor: "api".into(),
        stale: false,
        anchor: None,
        suppressed: Vec::new(),
    };
    Opened { put, seq: Seq(1), business: None }
}

/// The golden values of records in every order of arrival, which must be the same.
fn golden_of(puts: Vec<Put>, rules: &[(&str, Rule)]) -> Golden {
    let survivorship = Survivorship::new(rules.iter().map(|(field, rule)| ((*field).to_owned(), *rule)));
    let rules = Rules { survivorship: &survivorship, source_trust: &["b".to_owned()], groups: None };
    let mut all: Vec<Opened> = puts.into_iter().map(version).collect();
    let first = golden(&all, &[], rules);
    for _ in 1..all.len() {
        all.rotate_left(1);
        assert_eq!(golden(&all, &[], rules), first);
        all.reverse();
        assert_eq!(golden(&all, &[], rules), first);
    }
    first
}

fn title(puts: Vec<Put>, rule: Rule) -> String {
    golden_of(puts, &[("job_title", rule)]).fields.job_title.unwrap()
}

#[test]
fn values_are_ordered_by_time_else_receipt_and_versions_come_before_all_times() {
    let all = || {
        vec![
            Put { time: Some(50), received: 900, ..put("a", "dated fifty") },
            Put { received: 60, ..put("b", "received sixty") },
            Put { version: Some(7), received: 990, ..put("c", "version seven") },
            Put { version: Some(3), received: 995, ..put("d", "version three") },
        ]
    };
    assert_eq!(title(all(), Rule::PreferNewIfNotNull), "received sixty");
    assert_eq!(title(all(), Rule::PreferExisting), "version three");
    assert_eq!(title(all(), Rule::MostRecent), "dated fifty");
    assert_eq!(title(all(), Rule::TrustedSourceRank), "received sixty");
    assert_eq!(title(all().split_off(2), Rule::MostRecent), "version seven");
}

#[test]
fn ties_go_by_version_then_content_then_key() {
    let at = |source, version, hash| Put { time: Some(1), version, hash, ..put(source, source) };
    for (puts, wins) in [
        (vec![at("a", Some(2), 0), at("b", Some(1), 9)], "a"),
        (vec![at("a", None, 8), at("b", None, 9)], "b"),
        (vec![at("a", None, 9), at("b", None, 9)], "b"),
    ] {
        assert_eq!(title(puts, Rule::PreferNewIfNotNull), wins);
    }
}

#[test]
fn what_could_not_be_read_never_displaces_what_could() {
    let born = |source, time, text: &str| {
        let fields = Fields { birthday: Some(text.to_owned()), ..Fields::default() };
        Put { time: Some(time), fields, ..put(source, "") }
    };
    for rule in [Rule::PreferNewIfNotNull, Rule::PreferExisting, Rule::MostComplete, Rule::TrustedSourceRank] {
        let puts = vec![born("b", 0, "long ago"), born("a", 1, "1980-02-03"), born("b2", 2, "soon")];
        let golden = golden_of(puts, &[("birthday", rule)]);
        assert_eq!(golden.fields.birthday.as_deref(), Some("1980-02-03"), "{rule:?}");
    }
}

#[test]
fn one_email_is_primary_whatever_is_flagged() {
    let mail = |source, time, flags: &[(&str, bool)]| {
        let email =
            |(value, primary): &(&str, bool)| Email { value: (*value).into(), primary: *primary, ..Email::default() };
        let fields = Fields { emails: flags.iter().map(email).collect(), ..Fields::default() };
        Put { time: Some(time), fields, ..put(source, "") }
    };
    let (a, b, c, bad) = ("a@example.com", "b@example.com", "c@example.com", "nobody");
    for (puts, shown) in [
        (vec![mail("x", 1, &[(a, false)]), mail("y", 2, &[(b, false)])], [a, b].as_slice()),
        (vec![mail("x", 1, &[(a, false)]), mail("y", 2, &[(b, true)])], &[b, a]),
        (vec![mail("x", 1, &[(a, true)]), mail("y", 2, &[(b, true)])], &[b, a]),
        (vec![mail("x", 1, &[(a, true), (b, true), (c, true)])], &[a, b, c]),
        (vec![mail("x", 1, &[(a, false)]), mail("y", 2, &[(bad, true)])], &[a, bad]),
        (vec![mail("x", 1, &[(bad, false)]), mail("y", 2, &[(a, false)])], &[a, bad]),
        (vec![mail("x", 1, &[(bad, false)])], &[bad]),
    ] {
        let emails = golden_of(puts, &[]).fields.emails;
        let values: Vec<&str> = emails.iter().map(|email| email.value.as_str()).collect();
        assert_eq!(values, shown);
        let primary: Vec<bool> = emails.iter().map(|email| email.primary).collect();
        assert_eq!(primary.iter().filter(|primary| **primary).count(), 1, "{emails:?}");
        assert!(primary[0], "{emails:?}");
    }
}

#[test]
fn a_flag_goes_with_its_value_and_no_other() {
    let phone = |value: &str, primary| Phone { value: value.into(), primary, ..Phone::default() };
    let email = |value: &str, label: &str| Email { value: value.into(), label: Some(label.into()), ..Email::default() };
    let fields = Fields {
        phones: vec![
            phone("(646) 555-0123", false),
            phone("646-555-0123 ext. 7", false),
            phone("+1 212 555 0123", true),
            phone("212.555.0199", false),
        ],
        emails: vec![email("joann@example.com", "jo"), email("Ann <ann@example.com>", "ann")],
        ..Fields::default()
    };
    let golden = golden_of(vec![Put { fields, ..put("a", "") }], &[]).fields;
    let phones: Vec<(&str, bool)> = golden.phones.iter().map(|phone| (phone.value.as_str(), phone.primary)).collect();
    let (first, rest) = phones.split_first().unwrap();
    assert_eq!(*first, ("+12125550123", true));
    assert!(rest.iter().all(|(_, primary)| !primary), "{phones:?}");
    let labels: Vec<&str> = golden.emails.iter().filter_map(|email| email.label.as_deref()).collect();
    assert_eq!(labels, ["jo", "ann"]);
}

#[test]
fn numbers_are_ordered_as_numbers() {
    let score = |source, text: &str| {
        let fields = Fields { attributes: Some(format!("{{\"n\":{text}}}")), ..Fields::default() };
        Put { fields, ..put(source, "") }
    };
    let all = || vec![score("a", "-3"), score("b", "-2.5"), score("c", "10"), score("d", "9"), score("e", "0")];
    let picked = |rule| golden_of(all(), &[("attributes.n", rule)]).fields.attributes.unwrap();
    assert_eq!((picked(Rule::Max), picked(Rule::Min)), ("{\"n\":10}".to_owned(), "{\"n\":-3}".to_owned()));
}

#[test]
fn attributes_that_are_too_many_lose_the_largest_and_say_so() {
    let long = |source, key: &str, length: usize| {
        let text = format!("{{\"{key}\":\"{}\",\"{key}2\":1}}", "x".repeat(length));
        let fields = Fields { attributes: Some(text), ..Fields::default() };
        Put { fields, ..put(source, "") }
    };
    let golden = golden_of(vec![long("a", "a", 20_000), long("b", "b", 19_000), long("c", "c", 13_000)], &[]);
    assert_eq!(golden.left_out, ["attributes.a"]);
    let text = golden.fields.attributes.unwrap();
    assert!(text.len() <= crate::formats::checks::ATTRIBUTES_BYTES_MAX);
    assert!(text.contains("\"a2\":1") && text.contains("\"b\":") && text.contains("\"c\":"));
    assert!(!golden.provenance.contains_key("attributes.a") && golden.provenance.contains_key("attributes.a2"));
}
