//! Does a column called "name" hold people or businesses? Its values tell: a list of restaurants is full of grills and
//! cafes, an address book has a few at most.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::normalize::organization::is_company;
use crate::normalize::text::{table_lines, tokens};

static WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| table_lines(include_str!("../../data/business_words.txt")).collect());

/// Fewest names that tell anything.
const NAMES_MIN: usize = 20;
/// One in so many names must look like a business. In address books it is one in twenty at most.
const ONE_IN: usize = 5;

/// Whether these names are of businesses, on the whole.
pub(super) fn are_businesses<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let (mut all, mut businesses) = (0, 0);
    for name in names.filter(|name| !name.trim().is_empty()) {
        all += 1;
        businesses += usize::from(looks_like_one(name));
    }
    all >= NAMES_MIN && businesses * ONE_IN >= all
}

fn looks_like_one(name: &str) -> bool {
    let words = tokens(name);
    name.contains('&') || words.iter().any(|word| WORDS.contains(word.as_str())) || is_company(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_people_and_of_businesses() {
        let places = ["Art's Deli", "Hotel Bel-Air", "Chinois on Main", "Citrus", "Fenix", "Campanile", "Patina"];
        let people = ["John Baker", "Ana Bar", "Maria House", "Wei Li", "Jean Dupont", "Priya Nair", "Karl Ott"];
        let more = |names: &[&'static str], times| names.repeat(times);
        assert!(are_businesses(more(&places, 5).into_iter()));
        assert!(!are_businesses(more(&places, 2).into_iter()), "too few");
        let names = [more(&people[..1], 10), more(&people[3..], 10)].concat();
        assert!(!are_businesses(names.into_iter()));
        assert!(!are_businesses(std::iter::repeat_n("", 100)));
    }
}
