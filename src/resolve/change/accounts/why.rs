//! Why two records of businesses are one account, or not: what each comparison says, and what the rule makes of both sides.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Change, DOMAIN, weight};
use crate::index::account::fallback_keys;
use crate::matching::account::{Comparison, MATCH, NAME_MIN, REVIEW, compare};
use crate::model::account::{Business, Place};
use crate::model::key::KeyKind;
use crate::resolve::cluster::Graph;
use crate::store::shard::{BusinessVersion, Shard, Version};

/// One comparison of two records of businesses.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPart {
    /// `domain`, `name` or `place`.
    pub comparison: &'static str,
    /// The outcome it landed on.
    pub level: &'static str,
    /// How well they agree, 0 to 1. Missing: there is nothing to compare.
    pub agreement: Option<f64>,
    /// The left value.
    pub left: Option<String>,
    /// The right value.
    pub right: Option<String>,
}

/// What two records of businesses say of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountEvidence {
    /// What counts for the pair: `domain`, `name_and_place` (the same name in the same city) or `likeness`.
    pub rule: &'static str,
    /// How sure it is, 0 to 1; under `likeness` how alike names and places are, whether domains conflict or not.
    pub score: f64,
    /// Domain, name, place.
    pub parts: Vec<AccountPart>,
    /// Kinds of keys that both have: `domain`, `name_and_place`, `name_trigrams`. Without any they are never compared.
    pub shared_keys: Vec<&'static str>,
}

/// What the rule makes of two records and the accounts that they are in, after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// They are in one account.
    pub together: bool,
    /// Somebody judged records of the two accounts different.
    pub judged_different: bool,
    /// Both accounts have domains and share none.
    pub domains_conflict: bool,
    /// A person is asked, or would be.
    pub asked: bool,
}

/// Compares two records. `None`: one is not of a business.
pub fn account_evidence(a: &Version, b: &Version) -> Option<AccountEvidence> {
    let (x, y) = (a.business()?, b.business()?);
    let found = compare((&x.shapes, &x.business.places), (&y.shapes, &y.business.places));
    let same_key = fallback_keys(&x.business).any(|key| b.has(key));
    let (rule, score) = match weight(a, b) {
        Some(weight) if weight == DOMAIN => ("domain", weight.probability()),
        Some(weight) if same_key => ("name_and_place", weight.probability()),
        _ => ("likeness", found.likeness),
    };
    let parts = vec![domain(&x.business, &y.business), name(x, y, &found), place(&x.business, &y.business, &found)];
    Some(AccountEvidence { rule, score, parts, shared_keys: shared_keys(a, b) })
}

fn shared_keys(a: &Version, b: &Version) -> Vec<&'static str> {
    let word = |kind: KeyKind| match kind {
        KeyKind::Domain => "domain",
        KeyKind::Compound => "name_trigrams",
        KeyKind::Narrow | KeyKind::Email | KeyKind::Phone | KeyKind::ExternalId | KeyKind::Handle => "name_and_place",
    };
    let mut kinds: Vec<&'static str> =
        a.keys.iter().filter(|(key, _)| b.has(*key)).map(|(_, kind)| word(kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn domain(a: &Business, b: &Business) -> AccountPart {
    let shared = a.domains.iter().find(|domain| b.domains.contains(domain));
    let (left, right) = (shared.or(a.domains.first()).cloned(), shared.or(b.domains.first()).cloned());
    let (level, agreement) = match (shared, &left, &right) {
        (Some(_), ..) => ("shared", Some(1.0)),
        (None, Some(_), Some(_)) => ("different", Some(0.0)),
        _ => ("missing", None),
    };
    AccountPart { comparison: "domain", level, agreement, left, right }
}

fn name(a: &BusinessVersion, b: &BusinessVersion, found: &Comparison) -> AccountPart {
    let (level, agreement) = match found.names {
        None => ("missing", None),
        Some(_) if found.other_numbers => ("other_number", Some(0.0)),
        Some((_, _, share)) if share >= 1.0 => ("exact", Some(share)),
        Some((_, _, share)) if share >= NAME_MIN => ("alike", Some(share)),
        Some((_, _, share)) => ("different", Some(share)),
    };
    let (left, right) = found.names.map_or((0, 0), |(left, right, _)| (left, right));
    let said = |of: &BusinessVersion, at: usize| of.business.names.get(at).cloned();
    AccountPart { comparison: "name", level, agreement, left: said(a, left), right: said(b, right) }
}

fn place(a: &Business, b: &Business, found: &Comparison) -> AccountPart {
    let level = match found.place {
        None => "missing",
        Some(near) if near >= 1.0 => "same_city",
        Some(near) if near >= 0.6 => "same_country",
        Some(near) if near > 0.0 => "not_comparable",
        Some(_) => "different",
    };
    let said = |of: &Business| {
        let places: Vec<String> = of.places.iter().map(spelt).collect();
        (!places.is_empty()).then(|| places.join("; "))
    };
    AccountPart { comparison: "place", level, agreement: found.place, left: said(a), right: said(b) }
}

fn spelt(place: &Place) -> String {
    let parts = [place.city.as_str(), place.country.as_str()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// How two slots stand to each other once `edits` are laid over the shard of the accounts.
pub fn account_standing(shard: &Shard, edits: &[(u32, Option<Arc<Version>>)], a: u32, b: u32) -> Standing {
    let change = Change::new(shard, &shard.judgements, edits);
    let cut = change.cut_accounts(&BTreeSet::from([a, b]));
    let group = |slot: u32| cut.groups.iter().find(|group| group.contains(&slot));
    let (Some(left), Some(right)) = (group(a), group(b)) else { return Standing::default() };
    let domains = |slots: &[u32]| -> BTreeSet<String> {
        let of = slots.iter().filter_map(|slot| change.evidence(*slot)?.business());
        of.flat_map(|of| of.business.domains.iter().cloned()).collect()
    };
    let (x, y) = (domains(left), domains(right));
    let mut different = Vec::new();
    left.iter().for_each(|slot| change.different(*slot, &mut different));
    let between = |x: &[u32], y: &[u32]| x.contains(&a) && y.contains(&b) || x.contains(&b) && y.contains(&a);
    let together = left.contains(&b);
    Standing {
        together,
        judged_different: !together && different.iter().any(|slot| right.contains(slot)),
        domains_conflict: !together && !x.is_empty() && !y.is_empty() && x.is_disjoint(&y),
        asked: !together && cut.refused.iter().any(|refused| between(&refused.left, &refused.right)),
    }
}

impl AccountEvidence {
    /// In sentences: what is missing for one account, or what stands against it. Empty when they are one.
    pub fn missing(&self, standing: Standing) -> Vec<String> {
        let mut missing = Vec::new();
        if standing.together {
            return missing;
        }
        if self.shared_keys.is_empty() {
            missing.push("they share no key, so they are never compared".to_owned());
        }
        if standing.judged_different {
            missing.push("people judged the two accounts different; accounts:merge says otherwise".to_owned());
        }
        if standing.domains_conflict {
            let reason = "both accounts have domains and share none, so they never join by themselves: give one of them the \
                          other's domain in alternate_domains, or merge them";
            missing.push(reason.to_owned());
        }
        let score = self.score;
        let wanted = format!("from {REVIEW:.2} people are asked, from {MATCH:.2} they join");
        if self.rule == "likeness" && score < MATCH {
            missing.push(format!("names and places are alike by {score:.2}: {wanted}"));
        } else if missing.is_empty() {
            let reason = "others are as likely: several accounts with a domain agree as well, or not all records of the two \
                          accounts are alike";
            missing.push(reason.to_owned());
        }
        if standing.asked {
            missing.push("people are asked: see accounts:reviews".to_owned());
        }
        missing
    }
}
