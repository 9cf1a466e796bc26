//! Records of which nothing but tags is kept: phones and emails are replaced before anything is stored.
//!
//! What normalising read of an identifier becomes `tag:` and its tags of the first epoch in hex, the primary dialect's first,
//! joined by `,`. So two records with one identifier carry one value, which is evidence exactly as the identifier would be, and
//! nothing fuzzy is left to compare. Of an address it stays known whether it is a function's or at a free-mail provider.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::discovery::Kind;
use crate::discovery::dialect::{inners, primary};
use crate::discovery::tag::{Tag, TagKey};
use crate::model::normalized::{NormEmail, NormPhone, PhoneKind};

/// Begins what stands for an identifier.
const MARK: &str = "tag:";

/// What stands for a phone number. `None`: it could not be read as one, so nobody can ask for it.
#[must_use]
pub fn phone(key: &TagKey, phone: &NormPhone) -> Option<NormPhone> {
    phone.e164.starts_with('+').then(|| NormPhone {
        e164: text(key, Kind::Phone, &phone.e164),
        extension: None,
        valid: phone.valid,
        kind: PhoneKind::Unknown,
    })
}

/// What stands for an email address. The join key is made of the form that counts by the tenant's rules.
#[must_use]
pub fn email(key: &TagKey, email: &NormEmail) -> NormEmail {
    let joins = one(&key.tag(Kind::Email, &primary(&email.canonical)));
    NormEmail {
        delivered: text(key, Kind::Email, &email.delivered),
        canonical: format!("{MARK}{joins}"),
        user: joins,
        domain: String::new(),
        free: email.free,
        role: email.role,
        valid: email.valid,
    }
}

fn text(key: &TagKey, kind: Kind, canonical: &str) -> String {
    let tags: Vec<String> = inners(kind, canonical).iter().map(|inner| one(&key.tag(kind, inner))).collect();
    format!("{MARK}{}", tags.join(","))
}

fn one(tag: &Tag) -> String {
    tag.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

/// Whether this stands for an identifier, so that there is nothing to show.
#[must_use]
pub fn is_tagged(stored: &str) -> bool {
    stored.starts_with(MARK)
}

/// The tags of the first epoch that stand for an identifier, the primary dialect's first; `None`: it stands for itself.
#[must_use]
pub fn tags(stored: &str) -> Option<SmallVec<[Tag; 2]>> {
    let read = |hex: &str| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes);
    stored.strip_prefix(MARK)?.split(',').map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::tag::Master;

    #[test]
    fn what_stands_for_an_identifier_gives_its_tags_back_and_nothing_else() {
        let key = Master::new(&[3; 32]).tag_key("acme", 1);
        let number = NormPhone { e164: "+16505551212".into(), extension: None, valid: true, kind: PhoneKind::Mobile };
        let kept = phone(&key, &number).unwrap();
        let expected: Vec<Tag> =
            inners(Kind::Phone, "+16505551212").iter().map(|inner| key.tag(Kind::Phone, inner)).collect();
        assert_eq!(tags(&kept.e164).unwrap().to_vec(), expected);
        assert!(!kept.e164.contains("650") || expected.len() == 2);
        assert_eq!(phone(&key, &NormPhone { e164: "555".into(), ..number }), None);
        assert_eq!((tags("+16505551212"), tags("tag:xyz")), (None, None));
    }

    #[test]
    fn spellings_that_count_as_one_address_join() {
        let key = Master::new(&[3; 32]).tag_key("acme", 1);
        let read = |delivered: &str, canonical: &str| {
            email(
                &key,
                &NormEmail {
                    delivered: delivered.into(),
                    canonical: canonical.into(),
                    user: "x".into(),
                    domain: "gmail.com".into(),
                    free: true,
                    role: false,
                    valid: true,
                },
            )
        };
        let (one, other) = (read("j.s@gmail.com", "js@gmail.com"), read("js+a@gmail.com", "js@gmail.com"));
        assert_eq!(one.canonical, other.canonical);
        assert_ne!(one.delivered, other.delivered);
        assert_eq!(tags(&one.delivered).unwrap().len(), 2);
        assert!(!format!("{one:?}").contains("gmail"));
    }
}
