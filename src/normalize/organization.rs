//! Organisations: folded words without the legal form.
//!
//! "Acme, Inc.", "ACME Incorporated" and "Acme" are one business; the form is kept apart, since two
//! forms may tell two companies of one group from each other.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::model::normalized::{OTHER_NAME, Organization};
use crate::normalize::text;

/// Words of the longest legal form in the table.
const FORM_WORDS_MAX: usize = 6;

static FORMS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    text::table_lines(include_str!("../../data/legal_suffixes.txt")).filter_map(|line| line.split_once('\t')).collect()
});

/// Forms in scripts without spaces, with the form that they are.
const JOINED_FORMS: [(&str, &str); 14] = [
    ("株式会社", "kk"),
    ("有限会社", "yk"),
    ("合同会社", "gk"),
    ("㈱", "kk"),
    ("(株)", "kk"),
    ("（株）", "kk"),
    ("股份有限公司", "co ltd"),
    ("有限责任公司", "co ltd"),
    ("有限公司", "co ltd"),
    ("주식회사", "co ltd"),
    ("유한회사", "llc"),
    ("(주)", "co ltd"),
    ("㈜", "co ltd"),
    ("（주）", "co ltd"),
];

/// Forms that stand before the name.
const LEADING_FORMS: [&str; 7] = ["ooo", "oao", "zao", "pao", "ao", "tov", "uab"];

/// Forms that no personal name ends in.
const SURE_FORMS: [&str; 20] = [
    "inc",
    "llc",
    "ltd",
    "gmbh",
    "corp",
    "co ltd",
    "pty ltd",
    "pvt ltd",
    "pte ltd",
    "plc",
    "llp",
    "gmbh co kg",
    "kgaa",
    "sarl",
    "srl",
    "bv",
    "sa de cv",
    "sp zoo",
    "ltda",
    "ooo",
];

/// Words that are written short more often than not.
const SHORT_WORDS: [(&str, &str); 12] = [
    ("intl", "international"),
    ("mfg", "manufacturing"),
    ("svcs", "services"),
    ("svc", "service"),
    ("grp", "group"),
    ("mgmt", "management"),
    ("assoc", "associates"),
    ("bros", "brothers"),
    ("natl", "national"),
    ("univ", "university"),
    ("tech", "technologies"),
    ("sys", "systems"),
];

/// Stands between an organisation's own name and the one it trades under: "doing business as".
pub const TRADE_NAME_MARK: &str = "dba";
/// Ways to write that, in lower case.
const TRADE_NAME_MARKS: [&str; 11] = [
    " dba ",
    " d/b/a ",
    " d.b.a. ",
    " t/a ",
    " trading as ",
    " doing business as ",
    " aka ",
    " a/k/a ",
    " also known as ",
    " o/a ",
    " operating as ",
];

/// Reads an organisation's name, with the name it trades under if one follows; `None` if nothing of it can be folded.
pub fn organization(raw: &str) -> Option<Organization> {
    let (own, trade) = split_trade_name(raw);
    let mut organization = one_name(own);
    let trade = trade.and_then(one_name);
    match (&mut organization, trade) {
        (Some(own), Some(trade)) if own.tokens != trade.tokens => {
            own.tokens.push(OTHER_NAME.to_owned());
            own.tokens.extend(trade.tokens);
        }
        (None, trade) => return trade,
        (Some(_), _) => {}
    }
    organization
}

fn split_trade_name(raw: &str) -> (&str, Option<&str>) {
    let lower = raw.to_ascii_lowercase();
    let found = TRADE_NAME_MARKS.iter().find_map(|mark| Some((lower.find(mark)?, mark.len())));
    let split = found.and_then(|(at, length)| Some((raw.get(..at)?, raw.get(at + length..)?)));
    match split {
        Some((own, trade)) if !own.trim().is_empty() && !trade.trim().is_empty() => (own, Some(trade)),
        _ => (raw, None),
    }
}

fn one_name(raw: &str) -> Option<Organization> {
    let (text, joined_form) = strip_joined(raw);
    let mut tokens = join_letters(text::tokens(&text));
    let mut legal_form = joined_form.map(str::to_owned);
    while let Some((rest, form)) = cut_form(&tokens) {
        legal_form = Some(match legal_form {
            Some(later) if later != form => format!("{form} {later}"),
            Some(same) => same,
            None => form.to_owned(),
        });
        tokens.truncate(rest);
    }
    if tokens.len() > 1 && tokens.first().is_some_and(|t| LEADING_FORMS.contains(&t.as_str())) {
        let form = tokens.remove(0);
        legal_form.get_or_insert(form);
    }
    tidy(&mut tokens);
    (!tokens.is_empty()).then_some(Organization { tokens, legal_form })
}

/// Whether the text ends in a legal form that no person's name ends in.
pub fn is_company(raw: &str) -> bool {
    let (_, joined) = strip_joined(raw);
    let tokens = join_letters(text::tokens(raw));
    joined.is_some() || cut_form(&tokens).is_some_and(|(_, form)| SURE_FORMS.contains(&form))
}

fn strip_joined(raw: &str) -> (String, Option<&'static str>) {
    if raw.is_ascii() {
        return (raw.to_owned(), None);
    }
    for (form, canonical) in JOINED_FORMS {
        let rest = raw.replace(form, " ");
        if rest.len() != raw.len() && !rest.trim().is_empty() {
            return (rest, Some(canonical));
        }
    }
    (raw.to_owned(), None)
}

/// Joins runs of single letters: "l l c" becomes "llc".
fn join_letters(tokens: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let mut in_run = false;
    for token in tokens {
        let single = token.len() == 1;
        match out.last_mut() {
            Some(last) if single && in_run => last.push_str(&token),
            Some(_) | None => out.push(token),
        }
        in_run = single;
    }
    out
}

/// The longest legal form at the end: how many tokens stay, and which form it is.
fn cut_form(tokens: &[String]) -> Option<(usize, &'static str)> {
    let first = tokens.len().saturating_sub(FORM_WORDS_MAX).max(1);
    (first..tokens.len()).find_map(|at| {
        let phrase = tokens.get(at..)?.join(" ");
        FORMS.get(phrase.as_str()).map(|form| (at, *form))
    })
}

fn tidy(tokens: &mut Vec<String>) {
    if tokens.len() > 1 && tokens.first().is_some_and(|t| t == "the") {
        tokens.remove(0);
    }
    if tokens.len() > 2 {
        tokens.retain(|t| t != "and");
    }
    for token in tokens.iter_mut() {
        if let Some((_, long)) = SHORT_WORDS.iter().find(|(short, _)| short == token) {
            *token = (*long).to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_forms() {
        for (raw, tokens, form) in [
            ("Acme, Inc.", "acme", Some("inc")),
            ("ACME Incorporated", "acme", Some("inc")),
            ("Apex Systems L.L.C.", "apex systems", Some("llc")),
            ("Müller GmbH & Co. KG", "muller", Some("gmbh co kg")),
            ("Müller G.m.b.H.", "muller", Some("gmbh")),
            ("Foo S.p.A.", "foo", Some("spa")),
            ("Foo S.A. de C.V.", "foo", Some("sa de cv")),
            ("Foo SA de CV", "foo", Some("sa de cv")),
            ("Foo Sp. z o.o.", "foo", Some("sp zoo")),
            ("Foo sp. z o. o.", "foo", Some("sp zoo")),
            ("Foo Pvt. Ltd.", "foo", Some("pvt ltd")),
            ("Foo Private Limited", "foo", Some("pvt ltd")),
            ("Foo Co., Ltd.", "foo", Some("co ltd")),
            ("ООО Ромашка", "romashka", Some("ooo")),
            ("株式会社トヨタ", "toyota", Some("kk")),
            ("Novo A/S", "novo", Some("as")),
            ("The Coffee Company", "coffee", Some("co")),
            ("Smith & Sons", "smith sons", None),
            ("Smith and Sons", "smith sons", None),
            ("AT&T", "at t", None),
            ("J.P. Morgan", "jp morgan", None),
            ("Int'l Foods", "international foods", None),
            ("Inc.", "inc", None),
        ] {
            let org = organization(raw).unwrap();
            assert_eq!(org.tokens.join(" "), tokens, "{raw}");
            assert_eq!(org.legal_form.as_deref(), form, "{raw}");
        }
        assert_eq!(organization("---"), None);
    }

    #[test]
    fn the_trade_name_follows_the_own() {
        for raw in ["Acme Ltd dba Zed Foods", "Acme Limited t/a Zed Foods Inc.", "ACME trading as ZED FOODS"] {
            let organization = organization(raw).unwrap();
            let names: Vec<String> = organization.names().map(|name| name.join(" ")).collect();
            assert_eq!(names, ["acme", "zed foods"], "{raw}");
        }
        assert_eq!(organization("DBA Systems").unwrap().names().count(), 1);
        assert_eq!(organization("Acme dba Acme Inc").unwrap().names().count(), 1);
    }

    #[test]
    fn companies_among_names() {
        assert!(is_company("Acme Inc") && is_company("Foo Bar GmbH") && is_company("(주)삼성"));
        assert!(!is_company("John Smith") && !is_company("Yo-Yo Ma") && !is_company("Inc"));
    }
}
