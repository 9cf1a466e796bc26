//! Which records are one account: a pure function of the records and the judgements, found for the neighbourhood that a
//! change touches.
//!
//! The rule, step by step; each step works on the groups that the one before left:
//!
//! 1. What people judged the same is one (the newest first, as for contacts). What they judged different stays apart in
//!    every step.
//! 2. Records that share a domain, main or alternate, are one. So a record with two domains bridges their holders.
//! 3. Records that share a name (previous ones count) with country and city are one if none of them has a domain. Such
//!    a group also joins the one group with a domain that shares its name and place; where several do, nobody guesses:
//!    people are asked. Two groups with different domains never join; that they share name and place is asked, too.
//! 4. Groups whose names and places are alike ([`MATCH`]) and of which at most one has a domain join if all their pairs
//!    across are, the most alike first. One without a domain that is alike to several with one joins none of them. What is
//!    alike from [`REVIEW`] on and stays apart is asked.
//!
//! Every relation used is one between two records and exists whoever else is there, so a change concerns the records
//! that its old and new versions reach through such relations ([`Region`]) and nobody else: what is computed there is what a
//! computation from scratch would give. Everything is ordered by record key, never by arrival.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::{Change, Cut, Outlook, ordered};
use crate::index::account::{WITHOUT_DOMAIN, fallback_keys};
use crate::matching::account::{MATCH, REVIEW, likeness};
use crate::model::account::{Business, Place};
use crate::model::ids::Millis;
use crate::model::key::{Key, KeyKind, Millibits};
use crate::resolve::cluster::{Graph, Join, JoinedBy, Reason, Refused};
use crate::store::shard::{BusinessVersion, Shard, Version};

/// The weight of a shared domain.
pub const DOMAIN: Millibits = Millibits(20_000);
/// The weight of a shared name with country and city.
pub const FALLBACK: Millibits = Millibits(12_000);

/// How strongly two versions belong together by exact keys or likeness; `None`: below [`REVIEW`], or their domains
/// conflict and they share no name and place.
pub fn weight(a: &Version, b: &Version) -> Option<Millibits> {
    let (x, y) = (a.business()?, b.business()?);
    if x.business.domains.iter().any(|domain| y.business.domains.contains(domain)) {
        return Some(DOMAIN);
    }
    if same_name_and_place(&x.business, &y.business) {
        return Some(FALLBACK);
    }
    let conflict = has_domain(x) && has_domain(y);
    let score = if conflict { 0.0 } else { alike(x, y) };
    (score >= REVIEW).then(|| Millibits::from_probability(score).min(FALLBACK))
}

/// Whether two businesses have a fallback key in common, without making the keys: this is asked of every candidate.
fn same_name_and_place(a: &Business, b: &Business) -> bool {
    let whole = |place: &&Place| !place.country.is_empty() && !place.city.is_empty();
    let joined = |name: &'_ str| name.bytes().filter(|byte| *byte != b' ').collect::<smallvec::SmallVec<[u8; 64]>>();
    a.places.iter().filter(whole).any(|place| b.places.contains(place))
        && a.names.iter().any(|name| b.names.iter().any(|other| joined(name) == joined(other)))
}

fn has_domain(of: &BusinessVersion) -> bool {
    !of.business.domains.is_empty()
}

fn alike(a: &BusinessVersion, b: &BusinessVersion) -> f64 {
    likeness((&a.shapes, &a.business.places), (&b.shapes, &b.business.places))
}

fn sure() -> Millibits {
    Millibits::from_probability(MATCH)
}

impl Change<'_> {
    /// Cuts everything that the touched slots can have changed into accounts anew.
    pub(super) fn cut_accounts(&self, touched: &BTreeSet<u32>) -> Cut {
        let region = Region::around(self, touched);
        let mut members: Vec<u32> = region.seen.iter().copied().filter(|slot| self.alive(*slot)).collect();
        members.sort_unstable_by(|a, b| self.compare(*a, *b));
        let mut work = Work::new(self, members);
        work.by_judgement();
        work.by_domain();
        work.by_fallback();
        work.by_likeness(&region);
        work.finish(region.seen)
    }

    /// Who holds a key after the change.
    fn holders_after(&self, key: Key) -> Vec<u32> {
        let edited = |slot: &u32| self.next.contains_key(slot);
        let mut found: Vec<u32> = self.shard.holders(key).into_iter().map(|(slot, _)| slot).collect();
        found.retain(|slot| !edited(slot));
        let has = |version: &Option<Arc<Version>>| version.as_ref().is_some_and(|v| v.has(key));
        found.extend(self.next.iter().filter(|(_, next)| has(next)).map(|(slot, _)| *slot));
        found
    }

    /// What a slot holds before and after the change.
    fn versions_of(&self, slot: u32) -> impl Iterator<Item = &Version> {
        let before = self.shard.evidence(slot).map(|version| &**version);
        let after = self.next.get(&slot).and_then(Option::as_deref);
        before.into_iter().chain(after)
    }

    /// The records that share a trigram key with a version and could be alike, once each: of a record with a domain only
    /// those without one.
    fn near(&self, version: &Version) -> Vec<u32> {
        let with_domain = version.business().is_some_and(has_domain);
        let mut found = Vec::new();
        for (key, _) in version.keys.iter().filter(|(_, kind)| *kind == KeyKind::Compound) {
            if let Some(posting) = self.shard.postings.get(key) {
                posting.select(|code| !with_domain || code == WITHOUT_DOMAIN, &mut found);
            }
            let has = |next: &Option<Arc<Version>>| next.as_ref().is_some_and(|v| v.has(key));
            found.extend(self.next.iter().filter(|(_, next)| has(next)).map(|(slot, _)| (*slot, 0)));
        }
        let mut found: Vec<u32> = found.into_iter().map(|(slot, _)| slot).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The records that a change can concern: reached from the touched ones through relations before and after it.
struct Region {
    /// Slots, ascending.
    seen: Vec<u32>,
    /// Pairs of slots that are alike, the smaller one first, at least one of them in the region. After the change.
    alike: HashMap<(u32, u32), Millibits>,
}

impl Region {
    fn around(change: &Change<'_>, touched: &BTreeSet<u32>) -> Self {
        let mut queue: Vec<u32> = touched.iter().copied().collect();
        let mut seen: BTreeSet<u32> = touched.clone();
        let (mut pairs, sure) = (HashMap::new(), sure());
        while let Some(slot) = queue.pop() {
            let mut found = Vec::new();
            for version in change.versions_of(slot) {
                let exact = version.keys.iter().filter(|(_, kind)| *kind != KeyKind::Compound);
                for (key, _) in exact {
                    found.extend(change.shard.holders(key).into_iter().map(|(other, _)| other));
                    found.extend(change.holders_after(key));
                }
                let counts = change.evidence(slot).is_some_and(|now| std::ptr::eq(&**now, version));
                for other in change.near(version).into_iter().filter(|other| *other != slot) {
                    for of in change.versions_of(other) {
                        let Some(weight) = weight(version, of) else { continue };
                        if weight >= sure {
                            found.push(other);
                        }
                        if counts && change.evidence(other).is_some_and(|now| std::ptr::eq(&**now, of)) {
                            pairs.insert(ordered(slot, other), weight);
                        }
                    }
                }
            }
            found.extend(same_partners(change, slot));
            queue.extend(found.into_iter().filter(|other| seen.insert(*other)));
        }
        Self { seen: seen.into_iter().collect(), alike: pairs }
    }
}

/// Slots judged the same as one, before or after the change.
fn same_partners(change: &Change<'_>, slot: u32) -> Vec<u32> {
    let Some(record) = change.record_id(slot) else { return Vec::new() };
    let before = change.shard.judgements.partners(record);
    let after = change.judgements.partners(record);
    let same = before.iter().chain(after.iter()).filter(|partner| partner.same);
    same.filter_map(|partner| change.slot_of(partner.record)).collect()
}

/// The work on one region. Records are named by their place in the order by key.
struct Work<'c, 'a> {
    change: &'c Change<'a>,
    members: Vec<u32>,
    place: HashMap<u32, usize>,
    group_of: Vec<usize>,
    groups: Vec<Vec<usize>>,
    different: HashSet<(usize, usize)>,
    joins: Vec<Join>,
    refused: Vec<(Millibits, usize, u32, Reason)>,
}

#[expect(clippy::indexing_slicing, reason = "places come from the members' own positions, groups from the group table")]
impl<'c, 'a> Work<'c, 'a> {
    fn new(change: &'c Change<'a>, members: Vec<u32>) -> Self {
        let place: HashMap<u32, usize> = members.iter().enumerate().map(|(at, slot)| (*slot, at)).collect();
        let mut different = HashSet::new();
        let mut found = Vec::new();
        for (at, slot) in members.iter().enumerate() {
            change.different(*slot, &mut found);
            let inside = found.drain(..).filter_map(|other| place.get(&other).copied());
            different.extend(inside.map(|other| (at.min(other), at.max(other))));
        }
        let all = members.len();
        let groups = (0..all).map(|at| vec![at]).collect();
        let (joins, refused) = (Vec::new(), Vec::new());
        Self { change, members, place, group_of: (0..all).collect(), groups, different, joins, refused }
    }

    fn business(&self, at: usize) -> Option<&BusinessVersion> {
        self.change.evidence(self.members[at]).and_then(|version| version.business())
    }

    fn has_domain(&self, group: usize) -> bool {
        self.groups[group].iter().any(|at| self.business(*at).is_some_and(has_domain))
    }

    fn is_different(&self, left: usize, right: usize) -> bool {
        let crosses = |x: usize, y: usize| self.different.contains(&(x.min(y), x.max(y)));
        !self.different.is_empty()
            && self.groups[left].iter().any(|x| self.groups[right].iter().any(|y| crosses(*x, *y)))
    }

    /// Makes the groups of two records one, unless somebody said that they differ. False: they stay apart.
    fn join(&mut self, a: usize, b: usize, weight: Millibits, by: JoinedBy) -> bool {
        let (left, right) = (self.group_of[a], self.group_of[b]);
        if left == right {
            return true;
        }
        if self.is_different(left, right) {
            return false;
        }
        let (into, from) =
            if self.groups[left].len() >= self.groups[right].len() { (left, right) } else { (right, left) };
        let moved = std::mem::take(&mut self.groups[from]);
        for at in &moved {
            self.group_of[*at] = into;
        }
        self.groups[into].extend(moved);
        let (a, b) = (self.members[a.min(b)], self.members[a.max(b)]);
        self.joins.push(Join { a, b, weight, support_mean: weight, by, left: vec![a], right: vec![b] });
        true
    }

    fn by_judgement(&mut self) {
        let mut same: Vec<(Reverse<Millis>, usize, usize)> = Vec::new();
        let mut found = Vec::new();
        for (a, slot) in self.members.iter().enumerate() {
            self.change.same(*slot, &mut found);
            let inside = found.drain(..).filter_map(|(other, at)| Some((at, *self.place.get(&other)?)));
            same.extend(inside.filter(|(_, b)| a < *b).map(|(at, b)| (Reverse(at), a, b)));
        }
        same.sort_unstable();
        for (_, a, b) in same {
            let pair = self.change.evidence(self.members[a]).zip(self.change.evidence(self.members[b]));
            let weight = pair.and_then(|(a, b)| weight(a, b)).unwrap_or_default();
            self.join(a, b, weight, JoinedBy::Judgement);
        }
    }

    /// The records of the region that hold each exact key, by key text, so that the order means something.
    fn holders(&self, keys: impl Fn(&BusinessVersion) -> Vec<Key>) -> Vec<Vec<usize>> {
        let mut of: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for at in 0..self.members.len() {
            for key in self.business(at).map(&keys).unwrap_or_default() {
                of.entry(key).or_default().push(at);
            }
        }
        let mut all: Vec<Vec<usize>> = of.into_values().filter(|holders| holders.len() > 1).collect();
        // By the holders, who are ordered by record key: an order by hash means nothing to anyone.
        all.sort_unstable();
        all
    }

    /// Joins everybody in a list with everybody else whom nothing keeps apart.
    fn join_all(&mut self, list: &[usize], weight: Millibits) {
        let mut heads: Vec<usize> = Vec::new();
        for &at in list {
            for head in heads.clone() {
                self.join(head, at, weight, JoinedBy::Evidence);
            }
            if !heads.iter().any(|head| self.group_of[*head] == self.group_of[at]) {
                heads.push(at);
            }
        }
    }

    fn by_domain(&mut self) {
        let domains = |of: &BusinessVersion| {
            of.business.domains.iter().map(|domain| crate::index::account::domain_key(domain)).collect()
        };
        for holders in self.holders(domains) {
            self.join_all(&holders, DOMAIN);
        }
    }

    fn by_fallback(&mut self) {
        let all = self.holders(|of| fallback_keys(&of.business).collect::<BTreeSet<_>>().into_iter().collect());
        for holders in &all {
            let without: Vec<usize> =
                holders.iter().copied().filter(|at| !self.has_domain(self.group_of[*at])).collect();
            self.join_all(&without, FALLBACK);
        }
        let with: Vec<bool> = (0..self.groups.len()).map(|group| self.has_domain(group)).collect();
        // Group without a domain -> groups with one that share a key, each with the pair that says so.
        let mut hosts: BTreeMap<usize, BTreeMap<usize, (usize, usize)>> = BTreeMap::new();
        for holders in &all {
            for (n, &a) in holders.iter().enumerate() {
                for &b in &holders[n + 1..] {
                    let (x, y) = (self.group_of[a], self.group_of[b]);
                    match (with[x], with[y]) {
                        (true, true) if x != y => self.refuse(FALLBACK, a, b, Reason::Veto),
                        (false, true) => drop(hosts.entry(x).or_default().entry(y).or_insert((a, b))),
                        (true, false) => drop(hosts.entry(y).or_default().entry(x).or_insert((b, a))),
                        (true, true) | (false, false) => {}
                    }
                }
            }
        }
        let mut decided = Vec::new();
        for (guest, hosts) in hosts {
            let free: Vec<(usize, usize)> =
                hosts.into_iter().filter(|(host, _)| !self.is_different(guest, *host)).map(|(_, pair)| pair).collect();
            decided.push(free);
        }
        for pairs in decided {
            if let [(a, b)] = pairs.as_slice() {
                self.join(*a, *b, FALLBACK, JoinedBy::Evidence);
            } else {
                pairs.iter().for_each(|(a, b)| self.refuse(FALLBACK, *a, *b, Reason::Veto));
            }
        }
    }

    fn refuse(&mut self, weight: Millibits, a: usize, b: usize, reason: Reason) {
        let (a, b) = (a.min(b), a.max(b));
        self.refused.push((weight, a, self.members[b], reason));
    }

    fn by_likeness(&mut self, region: &Region) {
        let mut edges: Vec<(Reverse<Millibits>, usize, usize)> = Vec::new();
        for (&(x, y), &weight) in &region.alike {
            match (self.place.get(&x), self.place.get(&y)) {
                (Some(&a), Some(&b)) => edges.push((Reverse(weight), a.min(b), a.max(b))),
                (Some(&a), None) => self.refused.push((weight, a, y, Reason::Weak)),
                (None, Some(&b)) => self.refused.push((weight, b, x, Reason::Weak)),
                (None, None) => {}
            }
        }
        edges.sort_unstable();
        let core: Vec<usize> = self.group_of.clone();
        let with_domain: Vec<bool> = (0..self.groups.len()).map(|group| self.has_domain(group)).collect();
        edges.retain(|(_, a, b)| core[*a] != core[*b] && !(with_domain[core[*a]] && with_domain[core[*b]]));
        let strong = || edges.iter().filter(|(weight, _, _)| weight.0 >= sure());
        let pairs: HashSet<(usize, usize)> = strong().map(|(_, a, b)| in_order(core[*a], core[*b])).collect();
        let torn = torn(&pairs, &with_domain);
        for &(Reverse(weight), a, b) in &edges {
            let (x, y) = (core[a], core[b]);
            let meets_domain = with_domain[x] || with_domain[y];
            let ambiguous = meets_domain && (torn.contains(&x) || torn.contains(&y));
            if weight < sure() || ambiguous || !self.all_alike(a, b, &core, &pairs) {
                self.refuse(weight, a, b, Reason::Weak);
            } else if self.group_of[a] != self.group_of[b] && !self.join(a, b, weight, JoinedBy::Evidence) {
                self.refuse(weight, a, b, Reason::Different);
            }
        }
    }

    /// Whether every group of one side is alike to every group of the other.
    fn all_alike(&self, a: usize, b: usize, core: &[usize], pairs: &HashSet<(usize, usize)>) -> bool {
        let cores =
            |at: usize| -> BTreeSet<usize> { self.groups[self.group_of[at]].iter().map(|x| core[*x]).collect() };
        let (left, right) = (cores(a), cores(b));
        self.group_of[a] == self.group_of[b]
            || left.iter().all(|x| right.iter().all(|y| pairs.contains(&in_order(*x, *y))))
    }

    /// Turns places back into slots. Of the refused pairs of two accounts the strongest is told.
    fn finish(mut self, affected: Vec<u32>) -> Cut {
        let mut refused = std::mem::take(&mut self.refused);
        let key = |slot: u32| self.change.evidence(slot).map(|version| &version.stored.key);
        // The smaller key first, whichever of the two is in the region: the same pair asks wherever the change began.
        let pair = |one: &(Millibits, usize, u32, Reason)| {
            let (a, b) = (key(self.members[one.1]), key(one.2));
            if a <= b { (a, b) } else { (b, a) }
        };
        refused.sort_by(|x, y| y.0.cmp(&x.0).then_with(|| pair(x).cmp(&pair(y))));
        let mut seen = HashSet::new();
        let mut told = Vec::new();
        for (weight, a, b, reason) in refused {
            let left = self.group_of[a];
            let right = self.other_side(b);
            if right.0.is_ok() && (self.differs_from(left, &right.1) || self.conflicts_with(left, &right.1)) {
                continue;
            }
            if right.0 == Err(left) || !seen.insert((left, right.0)) {
                continue;
            }
            if let Err(right) = right.0
                && (!seen.insert((right, Err(left)))
                    || self.is_different(left, right)
                    || (reason == Reason::Weak && self.has_domain(left) && self.has_domain(right)))
            {
                continue;
            }
            let left = self.groups[left].iter().map(|at| self.members[*at]).collect();
            let (a, right) = (self.members[a], right.1);
            told.push(Refused { a, b, weight, support_mean: weight, reason, left, right });
        }
        let members = &self.members;
        let whole = |group: &Vec<usize>| {
            let mut places = group.clone();
            places.sort_unstable();
            places.into_iter().map(|at| members[at]).collect::<Vec<u32>>()
        };
        let mut groups: Vec<Vec<u32>> = self.groups.iter().filter(|group| !group.is_empty()).map(whole).collect();
        groups.sort_unstable_by_key(|group| group.first().map(|slot| self.place[slot]));
        Cut { affected, groups, joins: self.joins, refused: told }
    }

    /// Whether somebody judged records of a group and of an account outside of the region different.
    fn differs_from(&self, group: usize, slots: &[u32]) -> bool {
        let mut found = Vec::new();
        self.groups[group].iter().for_each(|at| self.change.different(self.members[*at], &mut found));
        found.iter().any(|slot| slots.contains(slot))
    }

    /// Whether both have domains; none is shared, or the account would be in the region.
    fn conflicts_with(&self, group: usize, slots: &[u32]) -> bool {
        let known = |slot: &u32| self.change.evidence(*slot).and_then(|version| version.business());
        self.has_domain(group) && slots.iter().filter_map(known).any(has_domain)
    }

    /// The other account of a refused pair: a group of the region (`Err`), or an account outside of it by its first
    /// slot (`Ok`), with its slots.
    fn other_side(&self, slot: u32) -> (Result<u32, usize>, Vec<u32>) {
        if let Some(at) = self.place.get(&slot) {
            let group = self.group_of[*at];
            return (Err(group), self.groups[group].iter().map(|at| self.members[*at]).collect());
        }
        let shard = self.change.shard;
        let entity = shard.slot(slot).and_then(|at| at.entity).and_then(|id| shard.entity(id));
        let slots = entity.map_or_else(|| vec![slot], |entity| entity.members.to_vec());
        (Ok(slots.first().copied().unwrap_or(slot)), slots)
    }
}

/// Groups without a domain that are alike to several with one.
fn torn(pairs: &HashSet<(usize, usize)>, with_domain: &[bool]) -> HashSet<usize> {
    let has = |group: &usize| with_domain.get(*group).copied().unwrap_or(false);
    let mut hosts: HashMap<usize, usize> = HashMap::new();
    for (x, y) in pairs {
        match (has(x), has(y)) {
            (true, false) => *hosts.entry(*y).or_default() += 1,
            (false, true) => *hosts.entry(*x).or_default() += 1,
            _ => {}
        }
    }
    hosts.into_iter().filter(|(_, count)| *count > 1).map(|(group, _)| group).collect()
}

fn in_order(x: usize, y: usize) -> (usize, usize) {
    (x.min(y), x.max(y))
}

/// A stored record that an asked one has something to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountHit {
    /// Where it is.
    pub slot: u32,
    /// How strongly they belong together.
    pub weight: Millibits,
    /// Both have domains and share none: they never join by themselves.
    pub conflict: bool,
}

/// What would become of a record that is only asked about, and whom it is like, from [`REVIEW`] on, ascending by slot.
pub fn account_outlook(shard: &Shard, slot: u32, version: &Arc<Version>) -> (Outlook, Vec<AccountHit>) {
    let change = Change::new(shard, &shard.judgements, &[(slot, Some(Arc::clone(version)))]);
    let exact = version.keys.iter().filter(|(_, kind)| *kind != KeyKind::Compound);
    let mut slots: Vec<u32> = exact.flat_map(|(key, _)| change.holders_after(key)).collect();
    slots.extend(change.near(version));
    slots.sort_unstable();
    slots.dedup();
    let hit = |other: u32| {
        let of = shard.evidence(other).filter(|_| other != slot)?;
        let weight = weight(version, of)?;
        let domains = version.business().zip(of.business());
        let conflict = weight < DOMAIN && domains.is_some_and(|(a, b)| has_domain(a) && has_domain(b));
        Some(AccountHit { slot: other, weight, conflict })
    };
    let hits = slots.into_iter().filter_map(hit).collect();
    let cut = change.cut_accounts(&BTreeSet::from([slot]));
    let joins = cut.groups.iter().any(|group| group.len() > 1 && group.contains(&slot));
    let asks = cut.refused.iter().any(|refused| refused.left.contains(&slot) || refused.right.contains(&slot));
    let outlook = match (joins, asks) {
        (true, _) => Outlook::Joins,
        (false, true) => Outlook::Asks,
        (false, false) => Outlook::Alone,
    };
    (outlook, hits)
}

mod why;

pub use why::{AccountEvidence, AccountPart, Standing, account_evidence, account_standing};

#[cfg(test)]
mod tests;
