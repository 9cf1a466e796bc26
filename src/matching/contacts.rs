//! Comparing identifiers: email addresses, phones, ids in other systems, handles.

use crate::matching::features::{Id, Mail, Phone, Unpacked};
use crate::matching::ledger::Ledger;
use crate::matching::model::Model;
use crate::matching::score::Tiers;
use crate::matching::similarity::edits_at_most;
use crate::model::key::{Key, Tier};

/// People assumed to share an identifier of a tier. Only the tier counts, never the exact number,
/// so that a weight changes only when a tier flips.
fn people(tier: Tier) -> u32 {
    match tier {
        Tier::Unique => 1,
        Tier::Family => 4,
        Tier::Crowded => 16,
        Tier::Generic => u32::MAX,
    }
}

/// What is the best finding among several values of one kind.
#[derive(Clone, Copy, Debug)]
struct Found {
    level: &'static str,
    bits: f64,
    business_key: bool,
    conflict: bool,
    veto: bool,
}

impl Found {
    fn new(level: &'static str, bits: f64) -> Self {
        Self { level, bits, business_key: false, conflict: false, veto: false }
    }

    /// The better of two, whichever comes first.
    fn best(found: Option<Self>, other: Self) -> Option<Self> {
        Some(found.filter(|f| f.bits >= other.bits).unwrap_or(other))
    }
}

/// Compares all identifiers and books what it finds.
pub(crate) fn compare(ledger: &mut Ledger, model: &Model, tiers: &dyn Tiers, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let least = model.weights.dependence.piece;
    let mail = over(a.mails(), || b.mails(), |x, y| Some(mail(model, tiers, x, y)));
    if let Some(found) = mail {
        ledger.book_shared("email", found.level, found.bits);
        ledger.business_key |= found.business_key;
        ledger.mail_agrees = found.bits > 0.0;
        ledger.piece(found.bits, least);
    }
    if let Some(found) = over(a.phones(), || b.phones(), |x, y| phone(model, tiers, x, y)) {
        ledger.book_shared("phone", found.level, found.bits);
        ledger.piece(found.bits, least);
    }
    if let Some(found) = over(a.ids(), || b.ids(), |x, y| id(model, tiers, x, y)) {
        ledger.book("external_id", found.level, found.bits);
        ledger.business_key |= found.business_key;
        ledger.id_agrees = found.bits > 0.0;
        ledger.conflict |= found.conflict;
        ledger.veto |= found.veto;
        ledger.piece(found.bits, least);
    }
    if let Some(found) = over(a.handles(), || b.handles(), |x, y| handle(model, tiers, x, y)) {
        ledger.book("handle", found.level, found.bits);
        ledger.piece(found.bits, least);
    }
}

/// The best finding over all pairs of values.
fn over<X, Y, B: Iterator<Item = Y>>(
    a: impl Iterator<Item = X>,
    b: impl Fn() -> B,
    compare: impl Fn(&X, &Y) -> Option<Found>,
) -> Option<Found> {
    let mut best = None;
    for x in a {
        for y in b() {
            if let Some(found) = compare(&x, &y) {
                best = Found::best(best, found);
            }
        }
    }
    best
}

fn mail(model: &Model, tiers: &dyn Tiers, a: &Mail<'_>, b: &Mail<'_>) -> Found {
    let w = &model.weights.mail;
    let size = model.size_bits();
    if a.key == b.key {
        let tier = tiers.tier(a.key);
        let people = people(tier);
        return match (tier, a.role) {
            (Tier::Generic, _) => Found::new("generic", 0.0),
            (_, true) => Found::new("role mailbox", w.role.of_people(size, people).max(0.0)),
            (_, false) => Found {
                business_key: tier == Tier::Unique,
                ..Found::new(tier_level(tier), w.exact.of_people(size, people).max(0.0))
            },
        };
    }
    let same_domain = a.domain == b.domain;
    if !a.role
        && !b.role
        && let Some(found) = near_mail(model, tiers, a, b, same_domain)
    {
        return found;
    }
    match same_domain && !a.free && !a.role && !b.role {
        true => Found::new("other at domain", w.other_user.flat()),
        false => Found::new("other", w.differ.flat()),
    }
}

/// Two addresses that are nearly the same. The tier is looked up only now: nearly all pairs have nothing in common.
fn near_mail(model: &Model, tiers: &dyn Tiers, a: &Mail<'_>, b: &Mail<'_>, same_domain: bool) -> Option<Found> {
    let w = &model.weights.mail;
    let same = a.user == b.user && a.user.len() >= 3;
    let edited = || a.user.len().min(b.user.len()) >= 5 && edits_at_most(a.user, b.user, 1);
    let misspelt = !same && if same_domain { edited() } else { both_misspelt(a, b) };
    if !same && !misspelt {
        return None;
    }
    let tier = tiers.tier(a.key).max(tiers.tier(b.key));
    if tier == Tier::Generic {
        return Some(Found::new("other", w.differ.flat()));
    }
    if same {
        return Some(same_user(model, tier, a, b));
    }
    let level = if a.digits && b.digits && same_digits(a, b) { &w.edit_digits } else { &w.edit };
    let name = if same_domain { "typo" } else { "typos" };
    Some(Found::new(name, level.of_people(model.size_bits(), 1)))
}

fn same_user(model: &Model, tier: Tier, a: &Mail<'_>, b: &Mail<'_>) -> Found {
    let w = &model.weights.mail;
    let size = model.size_bits();
    if edits_at_most(a.domain, b.domain, 2) && a.user.len() >= 5 {
        Found::new("domain typo", w.near_domain.of_people(size, people(tier)))
    } else if a.digits && a.user.len() >= 5 {
        Found::new("same user", w.user_digits.of_people(size, people(tier)))
    } else {
        Found::new("same user", w.user.flat())
    }
}

/// Whether user and domain are both a typing error or two apart: chance does not make two near parts at once.
fn both_misspelt(a: &Mail<'_>, b: &Mail<'_>) -> bool {
    let near = |x: &[u8], y: &[u8]| match x.len().min(y.len()) {
        0..5 => false,
        5..8 => edits_at_most(x, y, 1),
        _ => edits_at_most(x, y, 2),
    };
    near(a.user, b.user) && near(a.domain, b.domain)
}

fn same_digits(a: &Mail<'_>, b: &Mail<'_>) -> bool {
    let digits = |mail: &Mail<'_>| {
        mail.user
            .iter()
            .filter(|byte| byte.is_ascii_digit())
            .fold(1u64, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0')))
    };
    digits(a) == digits(b)
}

fn tier_level(tier: Tier) -> &'static str {
    match tier {
        Tier::Unique => "exact",
        Tier::Family => "exact, family",
        Tier::Crowded => "exact, crowded",
        Tier::Generic => "generic",
    }
}

fn phone(model: &Model, tiers: &dyn Tiers, a: &Phone, b: &Phone) -> Option<Found> {
    let w = &model.weights.phone;
    let size = model.size_bits();
    if a.key == b.key || (a.tail != 0 && a.tail == b.tail) {
        let tier = either(tiers, a.key, b.key);
        return Some(if tier == Tier::Generic {
            Found::new("generic", 0.0)
        } else if a.extension != 0 && b.extension != 0 && a.extension != b.extension {
            Found::new("other extension", w.differ.flat())
        } else {
            Found::new(tier_level(tier), w.exact.of_people(size, people(tier)).max(0.0))
        });
    }
    if a.tail != 0 && b.tail != 0 && one_digit_off(a.tail, b.tail) {
        return Some(Found::new("typo", w.edit.of_people(size, 1).max(0.0)));
    }
    Some(Found::new("other", w.differ.flat()))
}

fn either(tiers: &dyn Tiers, a: Key, b: Key) -> Tier {
    let tier = tiers.tier(a);
    if a == b { tier } else { tier.max(tiers.tier(b)) }
}

/// Whether two numbers of equal length differ in one digit or by two swapped neighbours.
fn one_digit_off(mut a: u32, mut b: u32) -> bool {
    let mut other = 0;
    let mut last = None;
    let mut swapped = false;
    let mut at = 0u32;
    while a > 0 && b > 0 {
        let (x, y) = (a % 10, b % 10);
        if x != y {
            other += 1;
            swapped = last == Some((at.wrapping_sub(1), y, x));
            last = Some((at, x, y));
        }
        (a, b) = (a / 10, b / 10);
        at += 1;
    }
    a == b && (other == 1 || (other == 2 && swapped))
}

fn id(model: &Model, tiers: &dyn Tiers, a: &Id<'_>, b: &Id<'_>) -> Option<Found> {
    let w = &model.weights.id;
    let size = model.size_bits();
    if a.system != b.system {
        return None;
    }
    if a.key == b.key {
        let tier = tiers.tier(a.key);
        return Some(match tier {
            Tier::Generic => Found::new("generic", 0.0),
            Tier::Unique | Tier::Family | Tier::Crowded => Found {
                business_key: tier == Tier::Unique,
                ..Found::new(tier_level(tier), w.exact.of_people(size, people(tier)).max(0.0))
            },
        });
    }
    if a.own || b.own || either(tiers, a.key, b.key) >= Tier::Crowded {
        return None;
    }
    let near = |edits| a.text.len().min(b.text.len()) >= 5 && edits_at_most(a.text, b.text, edits);
    if near(1) {
        return Some(Found::new("typo", w.edit.of_people(size, 1).max(0.0)));
    }
    let veto = a.identity && !near(2);
    Some(Found { conflict: true, veto, ..Found::new("other", w.differ.flat()) })
}

fn handle(model: &Model, tiers: &dyn Tiers, a: &Id<'_>, b: &Id<'_>) -> Option<Found> {
    let w = &model.weights.handle;
    if a.system != b.system {
        return None;
    }
    if a.key != b.key {
        return Some(Found::new("other", w.differ.flat()));
    }
    let tier = tiers.tier(a.key);
    Some(match tier {
        Tier::Generic => Found::new("generic", 0.0),
        Tier::Unique | Tier::Family | Tier::Crowded => {
            Found::new(tier_level(tier), w.exact.of_people(model.size_bits(), people(tier)).max(0.0))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digit() {
        assert!(one_digit_off(1_234_567, 1_234_568));
        assert!(one_digit_off(1_234_567, 1_234_657));
        assert!(!one_digit_off(1_234_567, 1_234_567));
        assert!(!one_digit_off(1_234_567, 1_235_568));
        assert!(!one_digit_off(1_234_567, 123_456));
    }
}
