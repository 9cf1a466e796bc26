//! Domains: to punycode, to the registrable part, and whether anybody can open a mailbox there.
//!
//! The registrable part comes from the Public Suffix List (crate `psl`, compiled in), so that
//! `mail.acme.co.uk` and `www.acme.co.uk` are one employer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use crate::normalize::text::table_lines;

static FREE_MAIL: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| table_lines(include_str!("../../data/free_mail_domains.txt")).collect());

/// Sites where a page belongs to a person, not to the site's owner: never a record's own domain.
static SHARED_SITES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [
        "linkedin.com",
        "facebook.com",
        "fb.com",
        "twitter.com",
        "x.com",
        "instagram.com",
        "github.com",
        "gitlab.com",
        "youtube.com",
        "tiktok.com",
        "pinterest.com",
        "medium.com",
        "xing.com",
        "vk.com",
        "t.me",
        "telegram.me",
        "wa.me",
        "linktr.ee",
        "about.me",
        "google.com",
        "wikipedia.org",
        "bit.ly",
        "threads.net",
        "snapchat.com",
        "reddit.com",
        "yelp.com",
        "tripadvisor.com",
        "crunchbase.com",
        "bsky.app",
        "skype.com",
        "soundcloud.com",
        "flickr.com",
    ]
    .into_iter()
    .collect()
});

/// Tells free-mail domains, the tenant's own included.
#[derive(Debug, Default)]
pub struct FreeMail {
    extra: HashSet<String>,
}

impl FreeMail {
    /// The built-in list with the tenant's additions (in any spelling).
    pub fn new(extra: &[String]) -> Self {
        Self { extra: extra.iter().filter_map(|d| host(d)).collect() }
    }

    /// Whether anybody can open a mailbox at this domain (in punycode, lower case).
    pub fn contains(&self, domain: &str) -> bool {
        let known = |d: &str| FREE_MAIL.contains(d) || self.extra.contains(d);
        known(domain) || psl::domain_str(domain).is_some_and(known)
    }
}

/// A domain in lower-case punycode without a trailing dot; `None` if it cannot be one.
pub fn to_ascii(domain: &str) -> Option<String> {
    let domain = domain.trim().trim_end_matches('.');
    if domain.is_empty() || domain.len() > 1_000 {
        return None;
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let ascii: Cow<'_, str> = if domain.bytes().all(plain) && !domain.contains("xn--") {
        Cow::Borrowed(domain)
    } else {
        Cow::Owned(idna::domain_to_ascii(domain).ok()?)
    };
    is_well_formed(&ascii).then(|| ascii.into_owned())
}

fn is_well_formed(domain: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    domain.len() <= 253 && domain.split('.').all(label_ok)
}

/// The host of a URL, a bare domain or an email address, in punycode.
pub fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#', '\\', ' ']).next()?;
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let text = text.split(':').next()?;
    to_ascii(text).filter(|h| h.contains('.'))
}

/// The registrable domain ("acme.co.uk") of a URL, domain or address; `None` for IPs and bare suffixes.
pub fn registrable(text: &str) -> Option<String> {
    let host = host(text)?;
    let last = host.rsplit('.').next()?;
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    psl::domain_str(&host).map(str::to_owned)
}

/// Whether pages on this registrable domain belong to its users (social networks and the like).
pub fn is_shared_site(registrable: &str) -> bool {
    SHARED_SITES.contains(registrable)
}

/// Whether the top-level domain exists, or is one of those reserved for tests and examples.
pub fn has_known_tld(domain: &str) -> bool {
    let tld = domain.rsplit('.').next().unwrap_or("");
    matches!(tld, "test" | "example") || psl::suffix(domain.as_bytes()).is_some_and(|s| s.is_known())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrable_domains() {
        for (text, domain) in [
            ("acme.com", Some("acme.com")),
            ("https://www.Acme.co.uk/about?x=1", Some("acme.co.uk")),
            ("http://user:pw@shop.acme.de:8080/", Some("acme.de")),
            ("j@mail.acme.com.au", Some("acme.com.au")),
            ("www.bücher.de", Some("xn--bcher-kva.de")),
            ("acme.com.", Some("acme.com")),
            ("192.168.1.1", None),
            ("localhost", None),
            ("co.uk", None),
            ("", None),
            ("not a domain", None),
        ] {
            assert_eq!(registrable(text).as_deref(), domain, "{text}");
        }
    }

    #[test]
    fn free_mail() {
        let free = FreeMail::new(&["Mail.Intern.example".into()]);
        for domain in ["gmail.com", "gmx.de", "yahoo.co.uk", "mail.intern.example", "t-online.de"] {
            assert!(free.contains(domain), "{domain}");
        }
        for domain in ["acme.com", "ibm.com", "sub.acme.de", "uni-bonn.de"] {
            assert!(!free.contains(domain), "{domain}");
        }
    }

    #[test]
    fn top_level_domains() {
        assert!(has_known_tld("a.com") && has_known_tld("a.test") && has_known_tld("a.co.uk"));
        assert!(!has_known_tld("gmail.con") && !has_known_tld("host.localdomain"));
    }
}
