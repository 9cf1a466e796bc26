//! Whole records through the normaliser.

use super::*;
use crate::model::record::{Address, Email, ExternalId, Phone, Social};
use proptest::prelude::*;

fn normalizer() -> Normalizer {
    Normalizer::new(Rules::default())
}

fn email(value: &str) -> Email {
    Email { value: value.into(), ..Email::default() }
}

fn phone(value: &str) -> Phone {
    Phone { value: value.into(), ..Phone::default() }
}

fn codes(issues: &[Issue]) -> Vec<(&str, &str)> {
    issues.iter().map(|i| (i.field.as_str(), i.code)).collect()
}

fn full_record() -> Fields {
    Fields {
        first_name: Some("JOHN".into()),
        last_name: Some("O'Brien Jr.".into()),
        emails: vec![email("John.Obrien@Mail.Acme.co.uk"), email("j.o.brien+x@gmail.com"), email("jobrien@gmail.com")],
        phones: vec![phone("020 7946 0958"), phone("+442079460958")],
        organization: Some("Acme Ltd.".into()),
        job_title: Some("VP,  Sales".into()),
        company_domain: Some("https://www.acme.co.uk/".into()),
        addresses: vec![Address {
            street: Some("12 High St".into()),
            country: Some("UK".into()),
            ..Address::default()
        }],
        birthday: Some("02/03/1980".into()),
        gender: Some("Male".into()),
        social: vec![Social { service: "X".into(), username: "@JohnO".into() }],
        urls: vec!["https://www.linkedin.com/in/John-OBrien/?x=1".into(), "http://blog.obrien.org/a".into()],
        external_ids: vec![
            ExternalId { system: "Sales Force".into(), id: "AB-12".into() },
            ExternalId { system: "x".into(), id: "0".into() },
        ],
        ..Fields::default()
    }
}

#[test]
fn a_full_record() {
    let (read, issues) = normalizer().normalize(&full_record());
    assert_eq!(
        (read.name.first.as_deref(), read.name.last.as_deref(), read.name.generation),
        (Some("John"), Some("O'Brien"), Some(2))
    );
    let emails: Vec<&str> = read.emails.iter().map(|e| e.canonical.as_str()).collect();
    assert_eq!(emails, ["john.obrien@mail.acme.co.uk", "jobrien@gmail.com"]);
    assert_eq!(read.phones.len(), 1);
    assert_eq!(read.phones[0].e164, "+442079460958");
    assert_eq!(read.organization.unwrap().tokens, ["acme"]);
    assert_eq!(read.job_title.as_deref(), Some("vp sales"));
    assert_eq!(read.domains, ["acme.co.uk", "obrien.org"]);
    assert_eq!(read.addresses[0].country.as_deref(), Some("gb"));
    assert!(read.birthday.unwrap().ambiguous);
    assert_eq!(read.gender, Some('m'));
    assert_eq!(read.external_ids, [("salesforce".to_owned(), "ab12".to_owned())]);
    assert_eq!(
        read.handles,
        [("twitter".to_owned(), "johno".to_owned()), ("linkedin".to_owned(), "john-obrien".to_owned())]
    );
    assert_eq!(codes(&issues), [("birthday", "birthday_ambiguous"), ("external_ids[1]", "placeholder")]);
}

#[test]
fn nothing_gives_nothing() {
    let (read, issues) = normalizer().normalize(&Fields::default());
    assert_eq!((read, issues.len()), (Normalized::default(), 0));
}

#[test]
fn settings_reach_the_rules() {
    let settings = Settings {
        default_region: "DE".into(),
        gmail_dots: false,
        free_mail_domains: vec!["acme.com".into()],
        ..Settings::default()
    };
    let normalizer = Normalizer::new(Rules::from_settings(&settings));
    let fields = Fields {
        emails: vec![email("a.b@gmail.com"), email("x@acme.com")],
        phones: vec![phone("030 123456")],
        birthday: Some("02/03/1980".into()),
        ..Fields::default()
    };
    let read = normalizer.normalize(&fields).0;
    assert_eq!(read.emails[0].canonical, "a.b@gmail.com");
    assert!(read.emails[1].free && read.domains.is_empty());
    assert_eq!(read.phones[0].e164, "+4930123456");
    assert_eq!(read.birthday.unwrap().month, Some(3));
}

#[test]
fn genders() {
    for (raw, read) in [
        ("F", Some('f')),
        ("male", Some('m')),
        ("Non-binary", Some('x')),
        ("männlich", Some('m')),
        ("unknown", None),
        ("W", Some('f')),
    ] {
        assert_eq!(gender(raw, &mut Vec::new()), read, "{raw}");
    }
}

/// A long list is cut, and the answer says so.
#[test]
fn lists_are_bounded() {
    let fields = Fields { emails: (0..300).map(|n| email(&format!("u{n}@x.com"))).collect(), ..Fields::default() };
    let (read, issues) = normalizer().normalize(&fields);
    assert_eq!((read.emails.len(), codes(&issues)), (VALUES_MAX, vec![("emails", "too_many_values")]));
}

/// Not a gate: prints what a typical record costs (`--nocapture`); asserts only that it is not absurd.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read the clock")]
fn a_typical_record_is_cheap() {
    let normalizer = normalizer();
    let fields = Fields {
        first_name: Some("John".into()),
        last_name: Some("Smith".into()),
        emails: vec![email("john.smith@acme.com")],
        phones: vec![phone("(202) 555-0123")],
        organization: Some("Acme Systems Inc".into()),
        job_title: Some("Software Engineer".into()),
        addresses: vec![Address { city: Some("New York".into()), country: Some("US".into()), ..Address::default() }],
        ..Fields::default()
    };
    normalizer.normalize(&fields);
    let round = |work: &dyn Fn()| {
        let start = std::time::Instant::now();
        (0..500).for_each(|_| work());
        start.elapsed() / 500
    };
    let best = |work: &dyn Fn()| (0..8).map(|_| round(work)).min().unwrap_or_default();
    let each = best(&|| drop(std::hint::black_box(normalizer.normalize(std::hint::black_box(&fields)))));
    let bare = Fields { phones: Vec::new(), ..fields.clone() };
    let without_phone = best(&|| drop(std::hint::black_box(normalizer.normalize(std::hint::black_box(&bare)))));
    eprintln!("a typical record: {each:?}, without its phone {without_phone:?}");
    assert!(each.as_micros() < 1_000, "{each:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_panics(text in any::<String>(), long in "\\PC{1,20}", times in 1usize..500) {
        let long = long.repeat(times);
        for value in [&text, &long] {
            let own = || Some(value.clone());
            let fields = Fields {
                name: own(),
                last_name: own(),
                middle_name: own(),
                name_suffix: own(),
                emails: vec![email(value)],
                phones: vec![phone(value)],
                organization: own(),
                company_domain: own(),
                addresses: vec![Address { street: own(), city: own(), region: own(), postal_code: own(), country: own(), label: None }],
                birthday: own(),
                gender: own(),
                social: vec![Social { service: value.clone(), username: value.clone() }],
                urls: vec![value.clone()],
                external_ids: vec![ExternalId { system: value.clone(), id: value.clone() }],
                ..Fields::default()
            };
            normalizer().normalize(&fields);
        }
    }
}

#[test]
fn ids_that_stand_for_none_are_left_out() {
    let kept = |id: &str| {
        let id = ExternalId { system: "ssn".into(), id: id.into() };
        let fields = Fields { external_ids: vec![id], ..Fields::default() };
        !Normalizer::new(Rules::default()).normalize(&fields).0.external_ids.is_empty()
    };
    for id in [
        "000-00-0000",
        "999999999",
        "999-99-9999",
        "111111111",
        "123-45-6789",
        "12345678",
        "987654321",
        "0",
        "N/A",
        "UNKNOWN",
        "XXX-XX-1234",
        "***-**-1234",
        "pending",
        "no id",
    ] {
        assert!(!kept(id), "{id}");
    }
    for id in ["219-47-3658", "7", "11", "AB123456C", "C03004786", "100000000", "1234"] {
        assert!(kept(id), "{id}");
    }
}
