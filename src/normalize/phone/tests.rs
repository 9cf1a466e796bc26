//! Tables of phone spellings, and the comparison with the `phonenumber` crate.

use super::*;
use proptest::prelude::*;

fn many(raw: &str, regions: &[&str]) -> (Vec<NormPhone>, Vec<&'static str>) {
    let regions: Vec<Region> = regions.iter().filter_map(|r| region(r)).collect();
    let (mut out, mut issues) = (Vec::new(), Vec::new());
    read(&Phone { value: raw.into(), ..Phone::default() }, &regions, "phones[0]", &mut out, &mut issues);
    (out, issues.into_iter().map(|i| i.code).collect())
}

/// E.164, extension, issues of the one number in `raw`.
fn one(raw: &str, home: &str) -> (String, String, Vec<&'static str>) {
    let (mut out, issues) = many(raw, &[home]);
    assert!(out.len() <= 1, "{raw}");
    let phone = out.pop();
    (
        phone.as_ref().map_or_else(String::new, |p| p.e164.clone()),
        phone.and_then(|p| p.extension).unwrap_or_default(),
        issues,
    )
}

#[test]
fn valid_spellings() {
    for (raw, home, e164) in [
        ("(202) 555-0123", "US", "+12025550123"),
        ("202.555.0123", "US", "+12025550123"),
        ("1 202 555 0123", "US", "+12025550123"),
        ("+1-202-555-0123", "DE", "+12025550123"),
        ("+44 (0)20 7946 0958", "US", "+442079460958"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("030/123456", "DE", "+4930123456"),
        ("0049 30 123456", "DE", "+4930123456"),
        ("011 49 30 123456", "US", "+4930123456"),
        ("+39 02 1234 6946", "NG", "+390212346946"),
        ("８（４９５）１２３－４５－６７", "RU", "+74951234567"),
        ("٠٥٠ ١٢٣ ٤٥٦٧", "SA", "+966501234567"),
        ("Tel.: +1 202 555 0123", "US", "+12025550123"),
        ("+1 202 555 0123 (mobile)", "US", "+12025550123"),
        ("cell 202-555-0123", "US", "+12025550123"),
        ("tel:+1-202-555-0123", "US", "+12025550123"),
        ("310/246-1501", "US", "+13102461501"),
        ("\u{202a}+1 202 555 0123\u{202c}", "US", "+12025550123"),
    ] {
        assert_eq!(one(raw, home), (e164.into(), String::new(), vec![]), "{raw}");
    }
}

#[test]
fn extensions() {
    for raw in [
        "202-555-0123 x45",
        "202-555-0123 ext. 45",
        "(202) 555-0123 #45",
        "tel:+1-202-555-0123;ext=45",
        "202-555-0123 extension 45",
    ] {
        assert_eq!(one(raw, "US"), ("+12025550123".into(), "45".into(), vec![]), "{raw}");
    }
    let (mut out, mut issues) = (Vec::new(), Vec::new());
    let phone = Phone { value: "202-555-0123".into(), extension: Some("ext 7".into()), ..Phone::default() };
    read(&phone, &[Region::US], "phones[0]", &mut out, &mut issues);
    assert_eq!(out[0].extension.as_deref(), Some("7"));
}

#[test]
fn odd_ones_are_kept_and_marked() {
    for (raw, home, e164, code) in [
        ("555-1234", "US", "5551234", "phone_invalid"),
        ("12", "US", "12", "phone_invalid"),
        ("+1 555 12", "US", "+155512", "phone_invalid"),
        ("1-800-FLOWERS", "US", "18003569377", "phone_unparsable"),
        ("2O2-555-O123", "US", "22555123", "phone_invalid"),
        ("call John 2025550123", "US", "2025550123", "phone_invalid"),
        ("0044 20 7946 0958", "US", "+442079460958", "phone_country_guessed"),
        ("79161234567", "US", "+79161234567", "phone_country_guessed"),
        ("ask Mary", "US", "", "phone_unparsable"),
        ("N/A", "US", "", "placeholder"),
        ("000-000-0000", "US", "", "placeholder"),
        ("1234567890", "US", "", "placeholder"),
        ("+1 800 356 9377", "US", "+18003569377", "phone_service"),
    ] {
        assert_eq!(one(raw, home), (e164.into(), String::new(), vec![code]), "{raw}");
    }
    let long = "1".to_owned() + &"23".repeat(200);
    assert_eq!(one(&long, "US").2, ["phone_too_long"]);
    assert_eq!(one("", "US"), (String::new(), String::new(), vec![]));
}

#[test]
fn several_in_one_value() {
    for raw in [
        "202-555-0123 ::: 202-555-0124",
        "202-555-0123; 202-555-0124",
        "202-555-0123, 202-555-0124",
        "(202) 555-0123 / (202) 555-0124",
    ] {
        let (out, issues) = many(raw, &["US"]);
        let numbers: Vec<&str> = out.iter().map(|p| p.e164.as_str()).collect();
        assert_eq!((numbers, issues), (vec!["+12025550123", "+12025550124"], vec!["phone_split"]), "{raw}");
    }
}

#[test]
fn the_address_country_comes_first() {
    assert_eq!(many("030 123456", &["DE", "US"]).0[0].e164, "+4930123456");
    assert_eq!(many("202-555-0123", &["FR", "US"]).0[0].e164, "+12025550123");
    assert_eq!(many("202-555-0123", &[]).0[0].e164, "2025550123");
}

#[test]
fn kinds() {
    for (raw, kind) in [
        ("+4915112345678", PhoneKind::Mobile),
        ("+4930123456", PhoneKind::Fixed),
        ("+12025550123", PhoneKind::FixedOrMobile),
        ("+18003569377", PhoneKind::Service),
    ] {
        assert_eq!(many(raw, &[]).0[0].kind, kind, "{raw}");
    }
}

/// Numbers that the `phonenumber` crate reads as another person's (engine notes, section 5).
#[test]
fn known_wrong_elsewhere() {
    for (raw, home, e164) in [
        ("+78001234554", "US", "+78001234554"),
        ("+49 800 1234563302", "RU", "+498001234563302"),
        ("+39 02 1234 6946", "NG", "+390212346946"),
        ("4915123456473", "DE", "+494915123456473"),
    ] {
        assert_eq!(one(raw, home).0, e164, "{raw}");
    }
}

/// The second engine over a generated table: it may differ, within a bound that we know.
#[test]
fn differs_from_phonenumber_within_bounds() {
    use phonenumber::Mode;
    let regions = ["US", "GB", "DE", "FR", "IT", "RU", "BR", "IN", "JP", "NL"];
    let (mut seen, mut differ) = (0u32, 0u32);
    for (at, home) in regions.into_iter().enumerate() {
        for step in 0..40u64 {
            let national = 200_000_000 + step * 17_345_671 + u64::try_from(at).unwrap() * 991_117;
            let raw = format!("0{national}");
            let theirs = phonenumber::parse(home.parse().ok(), &raw).ok().filter(phonenumber::is_valid);
            let theirs = theirs.map(|n| n.format().mode(Mode::E164).to_string());
            let ours = many(&raw, &[home]).0.pop().filter(|p| p.valid).map(|p| p.e164);
            seen += 1;
            differ += u32::from(ours != theirs);
        }
    }
    assert!(differ * 100 <= seen * 15, "{differ} of {seen} differ");
}

proptest! {
    #[test]
    fn e164_is_a_fixed_point(raw in "\\+?[0-9 ()-]{5,18}") {
        for phone in many(&raw, &["US"]).0.into_iter().filter(|p| p.valid) {
            prop_assert_eq!(&many(&phone.e164, &["DE"]).0[0].e164, &phone.e164);
        }
    }

    #[test]
    fn never_panics(raw in any::<String>(), near in "[0-9+x#;,:a-f٠-٩ext.= /()-]{0,40}") {
        many(&raw, &["US", "DE"]);
        many(&near, &["US"]);
    }
}
