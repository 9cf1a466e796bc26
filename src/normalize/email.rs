//! Email addresses: from what people type to one key.
//!
//! The key is the address after the tenant's rules (Gmail ignores dots, `+tag` is a label); the
//! delivered form is kept beside it. Nothing is refused: what cannot be delivered is kept and marked.

use unicode_normalization::UnicodeNormalization;

use crate::model::issue::Issue;
use crate::model::normalized::NormEmail;
use crate::normalize::domain::{self, FreeMail};
use crate::normalize::text;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Characters of one cell beyond which nothing is read.
pub const EMAIL_MAX: usize = 2_000;

static ROLES: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| text::table_lines(include_str!("../../data/role_mailboxes.txt")).collect());

/// The tenant's choices about addresses.
#[derive(Debug, Default)]
pub struct EmailRules {
    /// Dots in a Gmail user do not count.
    pub gmail_dots: bool,
    /// `+tag` does not count.
    pub plus_tags: bool,
    /// Free-mail domains.
    pub free: FreeMail,
}

impl EmailRules {
    /// Reads one cell, which may hold several addresses, and adds what it finds to `out`.
    pub fn read(&self, raw: &str, field: &str, out: &mut Vec<NormEmail>, issues: &mut Vec<Issue>) {
        let raw: String = raw.chars().filter(|c| !text::is_invisible(*c)).take(EMAIL_MAX).collect();
        if raw.trim().is_empty() {
            return;
        }
        let pieces = split(&raw);
        if pieces.len() > 1 {
            issues.push(Issue::new(field, "email_split", "several addresses in one value were taken apart"));
        }
        for piece in pieces {
            let address = extract(piece);
            if text::is_placeholder(&address) || is_dummy(&address) {
                issues.push(Issue::new(field, "placeholder", "the address stands for no address and was left out"));
            } else if !address.is_empty() {
                self.add(&address, field, out, issues);
            }
        }
    }

    fn add(&self, address: &str, field: &str, out: &mut Vec<NormEmail>, issues: &mut Vec<Issue>) {
        let email = self.address(address);
        if out.iter().any(|e| e.canonical == email.canonical) {
            return;
        }
        if !email.valid {
            let known = domain::has_known_tld(&email.domain) || !email.domain.contains('.');
            let (code, why) = match known {
                true => ("email_invalid", "the address does not follow the rules for addresses"),
                false => ("email_domain_unknown", "the address ends in a top-level domain that does not exist"),
            };
            issues.push(Issue::new(field, code, why));
        }
        if email.role {
            issues.push(Issue::new(field, "email_role", "the mailbox belongs to a function rather than a person"));
        }
        out.push(email);
    }

    /// Normalises one bare address.
    pub fn address(&self, address: &str) -> NormEmail {
        let (user, host) = address.rsplit_once('@').unwrap_or((address, ""));
        let user: String = if user.is_ascii() { user.to_ascii_lowercase() } else { own(user) };
        let ascii = domain::to_ascii(host);
        let valid = ascii.as_deref().is_some_and(|h| valid_user(&user) && valid_host(h) && user.len() + h.len() < 254);
        let host = ascii.unwrap_or_else(|| own(host.trim().trim_end_matches('.')));
        let (canonical_user, canonical_host) = self.canonical(&user, &host);
        let join = |user: &str, host: &str| match host {
            "" => user.to_owned(),
            host => format!("{user}@{host}"),
        };
        NormEmail {
            delivered: join(&user, &host),
            canonical: join(&canonical_user, canonical_host),
            free: self.free.contains(canonical_host),
            role: is_role(&canonical_user),
            valid,
            domain: canonical_host.to_owned(),
            user: canonical_user,
        }
    }

    fn canonical<'a>(&self, user: &str, host: &'a str) -> (String, &'a str) {
        let host = if host == "googlemail.com" { "gmail.com" } else { host };
        let untagged = match user.split_once('+') {
            Some((head, _)) if self.plus_tags && !head.is_empty() => head,
            Some(_) | None => user,
        };
        let mut user = untagged.to_owned();
        if self.gmail_dots && host == "gmail.com" && user.bytes().any(|b| b != b'.') {
            user.retain(|c| c != '.');
        }
        (user, host)
    }
}

fn own(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// Cuts a cell at ` ::: `, `;`, `,`, `|` and line ends outside of quotes and angle brackets; a piece without `@` stays with
/// the next one ("Smith, John <j@x.com>").
fn split(cell: &str) -> Vec<&str> {
    if cell.bytes().filter(|b| *b == b'@').count() < 2 {
        return vec![cell];
    }
    let (mut pieces, mut start, mut quoted, mut angle) = (Vec::new(), 0, false, false);
    for (at, c) in cell.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' => angle = true,
            '>' => angle = false,
            _ => {}
        }
        let cuts = matches!(c, ';' | ',' | '|' | '\n' | '\r') || cell.get(at..).is_some_and(|r| r.starts_with(":::"));
        let piece = cell.get(start..at).unwrap_or("");
        if (cuts && !quoted && !angle || c == ' ' && !quoted && !angle && bare_before(piece)) && piece.contains('@') {
            pieces.push(piece);
            start = at;
        }
    }
    let rest = cell.get(start..).unwrap_or("");
    match rest.contains('@') {
        true => pieces.push(rest),
        false if pieces.is_empty() => pieces.push(cell),
        false => {}
    }
    pieces
}

/// Whether a piece is a bare address, so that a space may end it.
fn bare_before(piece: &str) -> bool {
    let piece = piece.trim_start_matches([' ', ';', ',', ':', '|', '\n', '\r']);
    !piece.contains([' ', '<', '"'])
        && piece.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
}

/// The bare address in a piece: out of angle brackets, without `mailto:`, quotes and stray punctuation.
fn extract(piece: &str) -> String {
    let mut inner = piece;
    if let Some((_, rest)) = piece.rsplit_once('<')
        && rest.contains('@')
    {
        inner = rest.split('>').next().unwrap_or(rest);
    }
    let stray = |c: char| {
        c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | ':' | '|' | '(' | ')' | '[' | ']' | '.' | '\'')
    };
    let mut inner = inner.trim_matches(stray);
    if let Some(head) = inner.get(..7)
        && head.eq_ignore_ascii_case("mailto:")
    {
        inner = inner.get(7..).unwrap_or("").split('?').next().unwrap_or("");
    }
    let inner = inner.trim_matches(stray);
    let unquoted = match inner.strip_prefix('"').and_then(|i| i.strip_suffix('"')) {
        Some(middle) => middle.trim_matches(stray),
        None => inner,
    };
    unquoted.chars().filter(|c| !c.is_whitespace()).map(|c| if c == '＠' { '@' } else { c }).collect()
}

fn valid_user(user: &str) -> bool {
    if user.len() > 64 || user.is_empty() {
        return false;
    }
    if user.len() > 2 && user.starts_with('"') && user.ends_with('"') {
        return true;
    }
    let atom = |c: char| {
        !c.is_ascii() && !text::is_invisible(c) || c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c)
    };
    user.chars().all(atom) && !user.starts_with('.') && !user.ends_with('.') && !user.contains("..")
}

fn valid_host(host: &str) -> bool {
    host.contains('.') && !host.contains('_') && domain::has_known_tld(host)
}

fn is_role(user: &str) -> bool {
    ROLES.contains(user) || ROLES.contains(user.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Addresses that people type to get past a form: `test@test.com`.
fn is_dummy(address: &str) -> bool {
    let Some((user, host)) = address.split_once('@') else {
        return false;
    };
    if host.len() > 24 || user.len() > 10 {
        return false;
    }
    let (user, host) = (user.to_ascii_lowercase(), host.to_ascii_lowercase());
    let label = host.split('.').next().unwrap_or("");
    let dummies = [
        "test", "none", "na", "n/a", "no", "noemail", "no-email", "unknown", "null", "nil", "asdf", "email", "abc",
        "a", "x", "xx", "xxx", "aaa", "noone",
    ];
    let dummy_user = dummies.contains(&user.as_str());
    dummy_user
        && (label == user
            || matches!(host.as_str(), "email.com" | "noemail.com" | "none.com" | "test.com" | "nomail.com"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> EmailRules {
        EmailRules { gmail_dots: true, plus_tags: true, free: FreeMail::default() }
    }

    fn read(raw: &str) -> (Vec<String>, Vec<&'static str>) {
        let (mut out, mut issues) = (Vec::new(), Vec::new());
        rules().read(raw, "emails[0]", &mut out, &mut issues);
        (out.into_iter().map(|e| e.canonical).collect(), issues.into_iter().map(|i| i.code).collect())
    }

    #[test]
    fn addresses() {
        for (raw, canonical) in [
            ("John@X.com", "john@x.com"),
            (" mailto:John@X.com?subject=hi ", "john@x.com"),
            ("John Smith <j@x.com>", "j@x.com"),
            ("\"Smith, John\" <j@x.com>", "j@x.com"),
            ("Smith, John <j@x.com>", "j@x.com"),
            ("<j@x.com>", "j@x.com"),
            ("j.o.h.n+news@GoogleMail.com", "john@gmail.com"),
            ("j.o+tag@x.com", "j.o@x.com"),
            ("j@bücher.de", "j@xn--bcher-kva.de"),
            ("j@x.com.", "j@x.com"),
            ("j @ x.com", "j@x.com"),
            ("ｊ＠x.com", "j@x.com"),
            ("o'brien@x.com", "o'brien@x.com"),
            ("+tag@x.com", "+tag@x.com"),
        ] {
            assert_eq!(read(raw).0, [canonical], "{raw}");
        }
    }

    #[test]
    fn several_in_one_cell() {
        for raw in [
            "a1@x.com ::: b1@y.com",
            "a1@x.com; b1@y.com",
            "a1@x.com,b1@y.com",
            "a1@x.com b1@y.com",
            "A <a1@x.com>, B <b1@y.com>",
            "\"A, Z\" <a1@x.com>; b1@y.com;",
        ] {
            assert_eq!(read(raw), (vec!["a1@x.com".into(), "b1@y.com".into()], vec!["email_split"]), "{raw}");
        }
        assert_eq!(read("a1@x.com, A1@x.com").0, ["a1@x.com"]);
    }

    #[test]
    fn flags() {
        let email = rules().address("John.Smith+a@Gmail.com");
        assert_eq!(
            (email.delivered.as_str(), email.free, email.role, email.valid),
            ("john.smith+a@gmail.com", true, false, true)
        );
        assert_eq!((email.user.as_str(), email.domain.as_str()), ("johnsmith", "gmail.com"));
        assert!(rules().address("info@acme.com").role && rules().address("sales2@acme.com").role);
        for bad in
            ["a..b@x.com", "john@gmail.con", "john", "@x.com", "j@localhost", "j@-x.com", ".a@x.com", "a@b@x.com"]
        {
            assert!(!rules().address(bad).valid, "{bad}");
        }
        for good in ["a@x.co.uk", "jürgen@bücher.de", "a_b-c@sub.x.com", "ada@example.test"] {
            assert!(rules().address(good).valid, "{good}");
        }
    }

    #[test]
    fn rules_can_be_off() {
        let off = EmailRules { gmail_dots: false, plus_tags: false, free: FreeMail::default() };
        assert_eq!(off.address("j.o+a@googlemail.com").canonical, "j.o+a@gmail.com");
    }

    #[test]
    fn placeholders_and_invalid() {
        for raw in ["test@test.com", "N/A", "none", "no@email.com", "-"] {
            assert_eq!(read(raw), (vec![], vec!["placeholder"]), "{raw}");
        }
        assert_eq!(read("john at x"), (vec!["johnatx".into()], vec!["email_invalid"]));
        assert_eq!(read("j@gmail.con").1, ["email_domain_unknown"]);
        assert_eq!(read("  "), (vec![], vec![]));
    }

    proptest! {
        #[test]
        fn canonical_is_idempotent(user in "[a-zA-Z0-9._+-]{1,20}", host in "(gmail|googlemail|x|bücher)\\.(com|de)") {
            let once = rules().address(&format!("{user}@{host}"));
            prop_assert_eq!(&rules().address(&once.canonical).canonical, &once.canonical);
            prop_assert_eq!(&rules().address(&once.delivered).canonical, &once.canonical);
        }

        #[test]
        fn never_panics(raw in any::<String>()) {
            read(&raw);
            read(&format!("{raw}@{raw}.com"));
        }
    }
}
