//! How good an email address or a phone number is: what can be said without asking anybody, and with what others said.
//!
//! Nothing here changes a value or drops one. Signs become issues of the write and are shown on the identifier, beside
//! `verified` and `confidence`.
//!
//! **Confidence**, 0 to 1, is how sure we are that the identifier works and is the person's. It starts at what the source
//! said; where it said nothing, at 0.80 for what the rules allow, 0.30 for a number of a possible length that its plan does not
//! have, 0.05 for the rest. Then, in this order:
//!
//! | found | does |
//! |---|---|
//! | throwaway mailbox | times 0.30 |
//! | domain that looks misspelt | times 0.40 |
//! | role mailbox, service number | times 0.90 |
//! | each further record that says it, three at most | halves the doubt (1 - confidence) |
//! | the source verified it | the doubt is a quarter |
//! | the domain takes mail | halves the doubt |
//! | the validator says good | the doubt is an eighth |
//! | a check says bad | 0.05 |
//!
//! **Status** is `invalid` for what the rules forbid or a check says bad, `risky` below 0.50, else `valid`. `verified` is true
//! where the validator said good, or the source verified it and no check says bad.

use std::collections::HashSet;
use std::sync::LazyLock;

use rlibphonenumber::{NumberLengthType, PhoneNumber};

use crate::model::ids::Millis;
use crate::model::issue::Issue;
use crate::model::normalized::{NormEmail, NormPhone, PhoneKind};
use crate::normalize::domain;
use crate::normalize::text::table_lines;

/// Bytes of an address at most (RFC 5321 4.5.3.1.3, as corrected by erratum 1690).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Bytes of what stands before the `@` at most (RFC 5321 4.5.3.1.1).
pub const USER_BYTES_MAX: usize = 64;
/// Bytes of one label of a domain at most (RFC 1035 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Further records that count at most.
const FURTHER_MAX: usize = 3;

static DISPOSABLE: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| table_lines(include_str!("../../data/disposable_domains.txt")).collect());

/// Mail domains that so many people have that one letter off is likelier a slip than another provider.
const POPULAR: [&str; 18] = [
    "gmail.com",
    "yahoo.com",
    "hotmail.com",
    "outlook.com",
    "icloud.com",
    "googlemail.com",
    "protonmail.com",
    "yahoo.co.uk",
    "hotmail.co.uk",
    "comcast.net",
    "verizon.net",
    "sbcglobal.net",
    "t-online.de",
    "libero.it",
    "orange.fr",
    "wanadoo.fr",
    "yahoo.fr",
    "hotmail.fr",
];

/// Providers that are one letter off a popular one, and real.
const REAL: [&str; 8] =
    ["amail.com", "cmail.com", "email.com", "mail.com", "qmail.com", "tmail.com", "ymail.com", "gotmail.com"];

/// Endings that a popular domain gets by a slip rather than by being another country's.
const SLIPPED_ENDINGS: [&str; 6] = ["co", "cm", "om", "con", "cmo", "ne"];

/// How good an identifier is.
#[derive(Clone, Debug, PartialEq)]
pub struct Validity {
    /// In a word.
    pub status: Status,
    /// Somebody who can know says that it works.
    pub verified: bool,
    /// 0 to 1; see the head of this module.
    pub confidence: f32,
    /// What kind of line a number is. Missing: an email.
    pub line: Option<&'static str>,
    /// The region of a number, ISO 3166 alpha-2. Missing: not known, or an email.
    pub region: Option<String>,
    /// What was noticed: codes of issues.
    pub signs: Vec<&'static str>,
    /// The domain that was probably meant. Missing: none is likelier.
    pub suggestion: Option<&'static str>,
    /// What others said when they were asked.
    pub asked: Vec<Asked>,
}

/// The sum of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing speaks against it.
    Valid,
    /// It may exist and is weak.
    Risky,
    /// It cannot work.
    Invalid,
}

impl Status {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Risky => "risky",
            Self::Invalid => "invalid",
        }
    }
}

/// What one check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which: `mx` or `validator`.
    pub check: &'static str,
    /// Good, else bad.
    pub good: bool,
    /// A word that says more.
    pub detail: String,
    /// When.
    pub at: Millis,
}

/// What sources say of an identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said {
    /// One of them verified it.
    pub verified: bool,
    /// How sure they are, 0 to 1. Missing: none tells.
    pub confidence: Option<f32>,
    /// Records that carry it, at least 1.
    pub records: usize,
}

/// How good an email address is.
pub fn email(email: &NormEmail, said: Said, asked: Vec<Asked>) -> Validity {
    let mut signs = Vec::new();
    if !email.valid {
        signs.push(syntax(&email.delivered).unwrap_or("email_domain_unknown"));
    }
    let suggestion = meant(&email.domain);
    let marks = [
        (is_disposable(&email.domain), "email_disposable", 0.30),
        (suggestion.is_some(), "email_domain_typo", 0.40),
        (email.role, "email_role", 0.90),
    ];
    let base = if email.valid { 0.80 } else { 0.05 };
    let found = marks.into_iter().filter(|(is, ..)| *is).map(|(_, code, factor)| (code, factor)).collect();
    Validity { suggestion, ..sum(email.valid, base, signs, found, said, asked) }
}

/// How good a phone number is.
pub fn phone(phone: &NormPhone, said: Said, asked: Vec<Asked>) -> Validity {
    let number = phone.e164.starts_with('+').then(|| PhoneNumber::parse(&phone.e164, None).ok()).flatten();
    // What is valid is possible, and finding out takes a while.
    let possible = |number: &PhoneNumber| matches!(number.is_possible_with_reason(), Ok(NumberLengthType::IsPossible));
    let is_possible = !phone.valid && number.as_ref().is_some_and(possible);
    let (base, signs) = match (phone.valid, is_possible) {
        (true, _) => (0.80, Vec::new()),
        (false, true) => (0.30, vec!["phone_not_assigned"]),
        (false, false) => (0.05, vec!["phone_impossible"]),
    };
    let found = if phone.kind == PhoneKind::Service { vec![("phone_service", 0.90)] } else { Vec::new() };
    let region =
        number.filter(|_| phone.valid).and_then(|number| number.get_region_code()).map(|region| region.to_string());
    Validity {
        line: Some(line(phone.kind)),
        region,
        ..sum(phone.valid || is_possible, base, signs, found, said, asked)
    }
}

/// The contract's word for a kind of line.
fn line(kind: PhoneKind) -> &'static str {
    match kind {
        PhoneKind::Unknown => "unknown",
        PhoneKind::Fixed => "fixed",
        PhoneKind::Mobile => "mobile",
        PhoneKind::FixedOrMobile => "fixed_or_mobile",
        PhoneKind::Service => "service",
        PhoneKind::Voip => "voip",
    }
}

/// Puts everything together; `found` are signs and what each multiplies by.
fn sum(
    may_be: bool,
    base: f32,
    mut signs: Vec<&'static str>,
    found: Vec<(&'static str, f32)>,
    said: Said,
    asked: Vec<Asked>,
) -> Validity {
    let start = said.confidence.filter(|_| may_be).map_or(base, |said| said.clamp(0.0, 1.0));
    let mut doubt = 1.0 - found.iter().fold(start, |sure, (_, factor)| sure * factor);
    signs.extend(found.into_iter().map(|(code, _)| code));
    for _ in 1..said.records.min(FURTHER_MAX + 1) {
        doubt /= 2.0;
    }
    if said.verified {
        doubt /= 4.0;
    }
    for good in asked.iter().filter(|one| one.good) {
        doubt /= if good.check == "mx" { 2.0 } else { 8.0 };
    }
    let is_bad = asked.iter().any(|one| !one.good);
    let sure = if is_bad || !may_be { 0.05 } else { 1.0 - doubt };
    let confidence = (sure * 100.0).round() / 100.0;
    let status = match confidence {
        _ if is_bad || !may_be => Status::Invalid,
        low if low < 0.50 => Status::Risky,
        _ => Status::Valid,
    };
    let proven = asked.iter().any(|one| one.good && one.check != "mx");
    let verified = !is_bad && (proven || said.verified);
    Validity { status, verified, confidence, line: None, region: None, signs, suggestion: None, asked }
}

/// Whether a domain (lower case, punycode) hands out throwaway mailboxes: itself, or the one it belongs to.
pub fn is_disposable(domain: &str) -> bool {
    DISPOSABLE.contains(domain) || psl::domain_str(domain).is_some_and(|base| DISPOSABLE.contains(base))
}

/// The popular domain that somebody probably meant; `None`: the domain is one of these, or far from all.
pub fn meant(domain: &str) -> Option<&'static str> {
    if POPULAR.contains(&domain) || REAL.contains(&domain) || !domain.is_ascii() {
        return None;
    }
    // One slip leaves what stands before it, or else what stands behind the third letter: nearly no domain gets further.
    let half = |popular: &str| {
        let (start, rest) = popular.split_at(2);
        domain.starts_with(start) || rest.get(1..).is_some_and(|end| domain.ends_with(end))
    };
    let near = |popular: &&&str| {
        popular.len().abs_diff(domain.len()) <= 1 && half(popular) && strsim::osa_distance(popular, domain) == 1
    };
    POPULAR.iter().find(near).copied().filter(|popular| !is_other_country(domain, popular))
}

/// `yahoo.fi` is not `yahoo.fr` misspelt: the same name under another ending that exists.
fn is_other_country(domain: &str, popular: &str) -> bool {
    let (Some((name, ending)), Some((meant, _))) = (domain.split_once('.'), popular.split_once('.')) else {
        return false;
    };
    name == meant && domain::has_known_tld(domain) && !SLIPPED_ENDINGS.contains(&ending)
}

/// What of an address breaks the rules of RFC 5321 and 5322 as far as mailboxes follow them; `None`: nothing.
///
/// Comments, folding and address literals are not read: nobody's mailbox needs them.
pub fn syntax(address: &str) -> Option<&'static str> {
    let Some((user, host)) = address.rsplit_once('@') else { return Some("email_without_at") };
    if user.is_empty() {
        return Some("email_user_empty");
    }
    if user.len() > USER_BYTES_MAX {
        return Some("email_user_too_long");
    }
    if address.len() > ADDRESS_BYTES_MAX {
        return Some("email_too_long");
    }
    if host.is_empty() || !host.contains('.') {
        return Some("email_domain_incomplete");
    }
    if host.split('.').any(|label| label.len() > LABEL_BYTES_MAX) {
        return Some("email_label_too_long");
    }
    if domain::to_ascii(host).is_none() || host.contains('_') {
        return Some("email_domain_invalid");
    }
    let quoted = user.len() > 2 && user.starts_with('"') && user.ends_with('"');
    if !quoted && (user.starts_with('.') || user.ends_with('.') || user.contains("..")) {
        return Some("email_dots");
    }
    let atom = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c);
    (!quoted && !user.chars().all(atom)).then_some("email_user_invalid")
}

/// The issues of an address beside those of normalising: throwaway mailboxes and slips.
pub(super) fn email_issues(email: &NormEmail, field: &str, issues: &mut Vec<Issue>) {
    if is_disposable(&email.domain) {
        let message = "the domain hands out throwaway mailboxes; the address was kept";
        issues.push(Issue::new(field, "email_disposable", message));
    }
    if let Some(meant) = meant(&email.domain) {
        let message = format!("the domain looks like {meant} misspelt; the address was kept as it is");
        issues.push(Issue::new(field, "email_domain_typo", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Email, Fields, Phone};
    use crate::normalize::{Normalizer, Rules};

    fn normalizer() -> Normalizer {
        Normalizer::new(Rules::default())
    }

    fn of_email(text: &str, said: Said, asked: Vec<Asked>) -> Validity {
        let fields = Fields { emails: vec![Email { value: text.into(), ..Email::default() }], ..Fields::default() };
        email(&normalizer().normalize(&fields).0.emails[0], said, asked)
    }

    fn of_phone(text: &str) -> Validity {
        let fields = Fields { phones: vec![Phone { value: text.into(), ..Phone::default() }], ..Fields::default() };
        phone(&normalizer().normalize(&fields).0.phones[0], said(1), Vec::new())
    }

    fn said(records: usize) -> Said {
        Said { records, ..Said::default() }
    }

    fn asked(check: &'static str, good: bool) -> Asked {
        Asked { check, good, detail: String::new(), at: Millis(1) }
    }

    #[test]
    fn every_row_of_the_table_of_confidence() {
        let verified = Said { verified: true, ..said(1) };
        let sure = Said { confidence: Some(0.6), ..said(1) };
        for (address, said, asked, confidence, status, is_verified) in [
            ("ann@acme.com", said(1), vec![], 0.80, Status::Valid, false),
            ("ann@acme.com", sure, vec![], 0.60, Status::Valid, false),
            ("ann@acme.com", said(2), vec![], 0.90, Status::Valid, false),
            ("ann@acme.com", said(9), vec![], 0.98, Status::Valid, false),
            ("ann@acme.com", verified, vec![], 0.95, Status::Valid, true),
            ("ann@acme.com", said(1), vec![asked("mx", true)], 0.90, Status::Valid, false),
            ("ann@acme.com", said(1), vec![asked("validator", true)], 0.98, Status::Valid, true),
            ("ann@acme.com", verified, vec![asked("mx", false)], 0.05, Status::Invalid, false),
            ("ann@acme.com", said(1), vec![asked("mx", true), asked("validator", false)], 0.05, Status::Invalid, false),
            ("ann@mailinator.com", said(1), vec![], 0.24, Status::Risky, false),
            ("ann@outlok.com", said(1), vec![], 0.32, Status::Risky, false),
            ("info@acme.com", said(1), vec![], 0.72, Status::Valid, false),
            ("ann@acme", sure, vec![], 0.05, Status::Invalid, false),
        ] {
            let validity = of_email(address, said, asked.clone());
            let seen = (validity.confidence, validity.status, validity.verified);
            assert_eq!(seen, (confidence, status, is_verified), "{address} {said:?} {asked:?}");
        }
    }

    #[test]
    fn slips_are_told_from_other_providers() {
        for (domain, expected) in [
            ("gmial.com", Some("gmail.com")),
            ("gmai.com", Some("gmail.com")),
            ("gmail.con", Some("gmail.com")),
            ("gmail.co", Some("gmail.com")),
            ("hotmial.com", Some("hotmail.com")),
            ("outlok.com", Some("outlook.com")),
            ("yaho.com", Some("yahoo.com")),
            ("gmail.com", None),
            ("mail.com", None),
            ("ymail.com", None),
            ("yahoo.fi", None),
            ("hotmail.gr", None),
            ("hotmail.de", None),
            ("acme.com", None),
            ("gnail.example.com", None),
        ] {
            assert_eq!(meant(domain), expected, "{domain}");
        }
    }

    #[test]
    fn throwaway_domains_and_their_subdomains() {
        for (domain, expected) in
            [("mailinator.com", true), ("x.mailinator.com", true), ("gmail.com", false), ("example.org", false)]
        {
            assert_eq!(is_disposable(domain), expected, "{domain}");
        }
        assert!(DISPOSABLE.len() > 5_000);
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let long = |user: usize, label: usize| format!("{}@{}.com", "u".repeat(user), "d".repeat(label));
        let whole = format!("{}@{}.{}.{}.com", "u".repeat(64), "a".repeat(63), "b".repeat(63), "c".repeat(63));
        for (address, expected) in [
            ("ann@acme.com", None),
            ("a.b+c@acme.co.uk", None),
            ("\"ann lee\"@acme.com", None),
            ("jürgen@bücher.de", None),
            (&long(64, 63), None),
            (&long(65, 3), Some("email_user_too_long")),
            (&long(3, 64), Some("email_label_too_long")),
            (&whole, Some("email_too_long")),
            ("ann", Some("email_without_at")),
            ("@acme.com", Some("email_user_empty")),
            ("ann@acme", Some("email_domain_incomplete")),
            ("ann@-acme.com", Some("email_domain_invalid")),
            ("ann@ac_me.com", Some("email_domain_invalid")),
            (".ann@acme.com", Some("email_dots")),
            ("a..b@acme.com", Some("email_dots")),
            ("a(b@acme.com", Some("email_user_invalid")),
        ] {
            assert_eq!(syntax(address), expected, "{address}");
        }
    }

    #[test]
    fn phones_say_line_region_and_why_they_cannot_be() {
        let mobile = of_phone("+49 1512 3456789");
        assert_eq!((mobile.line, mobile.region.as_deref(), mobile.status), (Some("mobile"), Some("DE"), Status::Valid));
        let fixed = of_phone("+44 20 7946 0123");
        assert_eq!((fixed.line, fixed.region.as_deref()), (Some("fixed"), Some("GB")));
        let free = of_phone("+1 800 555 0199");
        assert_eq!(
            (free.line, free.signs.as_slice(), free.confidence),
            (Some("service"), &["phone_service"][..], 0.72)
        );
        let never = of_phone("+1 111 555 0199");
        assert_eq!((never.signs.as_slice(), never.status), (&["phone_not_assigned"][..], Status::Risky));
        let short = of_phone("+49 12");
        assert_eq!((short.signs.as_slice(), short.status), (&["phone_impossible"][..], Status::Invalid));
    }

    #[test]
    fn a_write_hears_of_it_and_nothing_is_changed() {
        let address = |value: &str| Email { value: value.into(), ..Email::default() };
        let emails = vec![address("ann@outlok.com"), address("Ann <bo@mailinator.com>"), address("ann@acme.com")];
        let fields = Fields { emails, ..Fields::default() };
        let (normalized, _) = normalizer().normalize(&fields);
        let issues = normalizer().doubts(&fields);
        let seen: Vec<(&str, &str)> = issues.iter().map(|issue| (issue.field.as_str(), issue.code)).collect();
        assert_eq!(seen, [("emails[0]", "email_domain_typo"), ("emails[1]", "email_disposable")]);
        assert!(issues[0].message.contains("outlook.com") && !issues[0].message.contains("ann"));
        assert_eq!(normalized.emails[0].canonical, "ann@outlok.com");
    }
}
