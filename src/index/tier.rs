//! How common a key is, from two counts over the current record set: holders and people.
//!
//! Both rules are pure functions of the counts and the tenant's settings, never of the past: a
//! value that was generic yesterday is an ordinary one again once its holders are gone.

use crate::model::key::{KeyKind, Tier};
use crate::model::settings::Settings;

/// The most people who share an identifier that still counts in full: a couple.
const UNIQUE_MAX: u32 = 2;
/// The most people who share an identifier as a family.
const FAMILY_MAX: u32 = 5;

/// The tier of an identifier with `holders` records and `people` distinct given names among them.
///
/// A key over `holders_max` is [`Tier::Generic`] whoever holds it, so a change of tier never
/// concerns more records than that.
pub fn tier_of(holders: u32, people: u32, settings: &Settings) -> Tier {
    if holders > settings.holders_max || people > settings.generic_max {
        Tier::Generic
    } else if people <= UNIQUE_MAX {
        Tier::Unique
    } else if people <= FAMILY_MAX {
        Tier::Family
    } else {
        Tier::Crowded
    }
}

/// Whether a key proposes pairs: at most `holders_max` records hold it and, if it identifies, it
/// is not generic. A property of the key, never of the record that asks.
pub fn is_live(kind: KeyKind, holders: u32, people: u32, settings: &Settings) -> bool {
    holders <= settings.holders_max && (!kind.is_identifier() || people <= settings.generic_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_follow_people_and_generic_wins() {
        let settings = Settings::default();
        let table = [
            (1, 0, Tier::Unique),
            (64, 2, Tier::Unique),
            (3, 3, Tier::Family),
            (5, 5, Tier::Family),
            (6, 6, Tier::Crowded),
            (30, 30, Tier::Crowded),
            (31, 31, Tier::Generic),
            (65, 1, Tier::Generic),
        ];
        for (holders, people, tier) in table {
            assert_eq!(tier_of(holders, people, &settings), tier, "{holders} holders, {people} people");
        }
        let strict = Settings { generic_max: 1, ..Settings::default() };
        assert_eq!(tier_of(2, 2, &strict), Tier::Generic);
    }

    #[test]
    fn people_bound_identifiers_only() {
        let settings = Settings::default();
        assert!(is_live(KeyKind::Phone, 64, 30, &settings));
        assert!(!is_live(KeyKind::Phone, 40, 31, &settings));
        assert!(is_live(KeyKind::Compound, 64, 64, &settings));
        assert!(!is_live(KeyKind::Compound, 65, 1, &settings));
    }
}
