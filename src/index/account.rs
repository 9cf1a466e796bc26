//! The keys of a business: what makes two records one account at once, and what makes them worth comparing.
//!
//! A domain is an identifier. A name with country and city is the fallback key. Both are exact and count however many
//! records hold them. The rest only proposes: trigrams in which alike names meet.

use crate::matching::account::NameShapes;
use crate::model::account::{Business, Place};
use crate::model::key::{Key, KeyKind};

/// What a holder of a key is: its domain is known.
pub const WITH_DOMAIN: u32 = 1;
/// Its domain is not.
pub const WITHOUT_DOMAIN: u32 = 2;

/// The key of a registrable domain.
pub fn domain_key(domain: &str) -> Key {
    Key::new(KeyKind::Domain, 0, &[domain])
}

/// The fallback keys: each name with each place that says country and city.
pub fn fallback_keys(business: &Business) -> impl Iterator<Item = Key> + '_ {
    let whole = |place: &&Place| !place.country.is_empty() && !place.city.is_empty();
    business.names.iter().flat_map(move |name| {
        let joined = name.replace(' ', "");
        let key = move |place: &Place| Key::new(KeyKind::Narrow, 1, &[&joined, &place.country, &place.city]);
        business.places.iter().filter(whole).map(key)
    })
}

/// All keys of a business, ascending, each once.
pub fn keys(business: &Business, shapes: &NameShapes) -> Vec<(Key, KeyKind)> {
    let domains = business.domains.iter().map(|domain| (domain_key(domain), KeyKind::Domain));
    let fallbacks = fallback_keys(business).map(|key| (key, KeyKind::Narrow));
    let points = shapes.meeting_points();
    let points = points.iter().map(|point| (Key::new(KeyKind::Compound, 2, &[point]), KeyKind::Compound));
    let mut keys: Vec<(Key, KeyKind)> = domains.chain(fallbacks).chain(points).collect();
    keys.sort_unstable();
    keys.dedup_by_key(|(key, _)| *key);
    keys
}
