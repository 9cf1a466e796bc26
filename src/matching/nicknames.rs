//! Which given names stand for one another: "Bob" for Robert, "Kate" for Katharine.
//!
//! A short form can belong to several names ("Al" to Albert and Alfred), so being related is not
//! transitive: two names are related when one is a form of the other or both are forms of one name.

use crate::matching::token::{Shares, hash};
use hashbrown::{HashMap, HashSet};

/// Names with their short forms, as shipped.
const SHIPPED: &str = include_str!("../../data/nicknames.txt");

/// Most full names that one short form is traced back to.
const CANONICAL_MAX: usize = 3;

/// The table of given names and their short forms.
#[derive(Clone, Debug, Default)]
pub struct Nicknames {
    related: HashSet<u64>,
    canonical: HashMap<u32, Vec<u32>>,
    texts: HashMap<u32, Box<str>>,
}

impl Nicknames {
    /// The shipped table; `given` says which of several full names is the commonest.
    pub fn shipped(given: &Shares) -> Self {
        let mut table = Self::default();
        for line in SHIPPED.lines().filter(|line| !line.starts_with('#')) {
            let names: Vec<u32> = line.split_whitespace().map(hash).collect();
            if let ([full, ..], Some(text)) = (names.as_slice(), line.split_whitespace().next()) {
                table.add_group(*full, &names);
                table.texts.insert(*full, text.into());
            }
        }
        let rank = |name: &u32| (std::cmp::Reverse(given.get(*name).to_bits()), *name);
        for full in table.canonical.values_mut() {
            full.sort_by_key(rank);
            full.dedup();
            full.truncate(CANONICAL_MAX);
        }
        table
    }

    fn add_group(&mut self, full: u32, names: &[u32]) {
        for (i, a) in names.iter().enumerate() {
            self.canonical.entry(*a).or_default().push(full);
            for b in names.iter().skip(i + 1) {
                self.related.insert(pair(*a, *b));
            }
        }
    }

    /// Whether two different names, by their hashes, may be one person's.
    pub fn related(&self, a: u32, b: u32) -> bool {
        self.related.contains(&pair(a, b))
    }

    /// The commonest full name that a name stands for; `None` when it is not in the table.
    pub fn canonical_text(&self, name: u32) -> Option<&str> {
        let full = self.canonical(name).first()?;
        self.texts.get(full).map(AsRef::as_ref)
    }

    /// The full names that a name stands for as text, commonest first, at most three.
    pub fn canonical_texts(&self, name: u32) -> impl Iterator<Item = &str> {
        self.canonical(name).iter().filter_map(|full| self.texts.get(full).map(AsRef::as_ref))
    }

    /// The full names that a name stands for, commonest first, at most three; none when it is
    /// not in the table.
    pub fn canonical(&self, name: u32) -> &[u32] {
        self.canonical.get(&name).map_or(&[], Vec::as_slice)
    }
}

/// A key for an unordered pair.
fn pair(a: u32, b: u32) -> u64 {
    (u64::from(a.min(b)) << 32) | u64::from(a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_related() {
        let mut shares = HashMap::new();
        shares.insert(hash("robert"), 0.1);
        let table = Nicknames::shipped(&Shares::new(shares, 0.001));
        assert!(table.related(hash("bob"), hash("robert")));
        assert!(table.related(hash("bob"), hash("rob")));
        assert!(!table.related(hash("mary"), hash("robert")));
        assert_eq!(table.canonical(hash("bob")).first(), Some(&hash("robert")));
        assert!(table.canonical(hash("zzz")).is_empty());
    }
}
