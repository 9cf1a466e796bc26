//! Naming the contacts: which id each part of a change keeps, takes back or gets.
//!
//! Ids are the one thing here that may depend on history, and nothing reads them to decide a
//! partition. An id follows its *native* records, those born under it, so that undoing a change puts
//! names back where they were; the oldest record alone would let two ids swap.
#![expect(clippy::indexing_slicing, reason = "parts are numbered by their position")]

use std::cmp::Reverse;

use hashbrown::{HashMap, HashSet};

use crate::model::ids::EntityId;

/// What is known of the records' names so far.
pub trait Past {
    /// The contact that the record is in before the change. `None`: a new record, or one that is back.
    fn current(&self, slot: u32) -> Option<EntityId>;

    /// The id that the record was born under. `None`: it never had one.
    fn native(&self, slot: u32) -> Option<EntityId>;

    /// Appends the ids that the record once had (its native one may be among them) and that name no contact now.
    fn retired(&self, slot: u32, out: &mut Vec<EntityId>);

    /// When the record came, as a number: lower is older. No two alike.
    fn order(&self, slot: u32) -> u64;

    /// The id that a person or an undo wants for the contact of this record, over all rules. Default: none.
    fn pinned(&self, slot: u32) -> Option<EntityId> {
        let _ = slot;
        None
    }
}

/// One contact after the change and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its id.
    pub entity: EntityId,
    /// Its records, as the partition gave them.
    pub slots: Vec<u32>,
    /// Ids that named a contact before and now redirect to this one, ascending.
    pub absorbed: Vec<EntityId>,
    /// The id is new.
    pub created: bool,
    /// The id was retired and names a contact again.
    pub revived: bool,
}

/// The names of all contacts of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// One for each group, in the order of the groups.
    pub parts: Vec<Assignment>,
    /// Ids that have lost all their records: tombstones. Ascending.
    pub ended: Vec<EntityId>,
}

/// Names the groups that cover the live ones among `affected`.
///
/// Each old id goes to the part with most of its native records, then most of its records, then its
/// oldest. Where several meet, the smallest (the oldest, since ids are ordered by time) stays. A part without an heir
/// takes back the retired id that most of its records had, native ones first; else `new_id` makes one.
pub fn assign_ids(
    affected: &[u32],
    groups: &[Vec<u32>],
    past: &dyn Past,
    new_id: &mut dyn FnMut() -> EntityId,
) -> Assigned {
    let mut naming = Naming { past, groups, claims: vec![Vec::new(); groups.len()], taken: HashSet::new() };
    let old: HashSet<EntityId> = affected.iter().filter_map(|&slot| past.current(slot)).collect();
    let pins = naming.pin(&old);
    let ended = naming.inherit(&old);
    let revived = naming.take_back(&old);
    let parts = groups.iter().enumerate().map(|(part, slots)| {
        let mut claims = std::mem::take(&mut naming.claims[part]);
        claims.sort_unstable();
        let kept = pins.get(&part).or(revived.get(&part)).or(claims.first()).copied();
        let entity = kept.unwrap_or_else(&mut *new_id);
        claims.retain(|&id| id != entity);
        Assignment {
            entity,
            slots: slots.clone(),
            absorbed: claims,
            created: kept.is_none(),
            revived: kept.is_some_and(|id| !old.contains(&id)),
        }
    });
    Assigned { parts: parts.collect(), ended }
}

/// How well an id fits a part; greater is better.
type Fit = (usize, usize, Reverse<u64>);

struct Naming<'a> {
    past: &'a dyn Past,
    groups: &'a [Vec<u32>],
    /// The old ids that each part inherits.
    claims: Vec<Vec<EntityId>>,
    /// Ids that have a part by now.
    taken: HashSet<EntityId>,
}

impl Naming<'_> {
    /// Gives pinned ids to their parts: one for each part, the smallest if several.
    fn pin(&mut self, old: &HashSet<EntityId>) -> HashMap<usize, EntityId> {
        let mut pins = HashMap::new();
        for (part, slots) in self.groups.iter().enumerate() {
            let wanted = slots.iter().filter_map(|&slot| self.past.pinned(slot));
            if let Some(id) = wanted.filter(|id| !self.taken.contains(id)).min() {
                self.taken.insert(id);
                pins.insert(part, id);
                if old.contains(&id) {
                    self.claims[part].push(id);
                }
            }
        }
        pins
    }

    /// Sends each old id to its heir. Returns those without one.
    fn inherit(&mut self, old: &HashSet<EntityId>) -> Vec<EntityId> {
        let mut best: HashMap<EntityId, (Fit, usize)> = HashMap::new();
        for (part, slots) in self.groups.iter().enumerate() {
            for (id, fit) in self.fits(slots) {
                if best.get(&id).is_none_or(|(other, _)| fit > *other) {
                    best.insert(id, (fit, part));
                }
            }
        }
        let mut ended = Vec::new();
        for &id in old.iter().filter(|id| !self.taken.contains(*id)) {
            match best.get(&id) {
                Some(&(_, part)) => self.claims[part].push(id),
                None => ended.push(id),
            }
        }
        ended.sort_unstable();
        ended
    }

    /// How well each id that a part's records have now fits the part.
    fn fits(&self, slots: &[u32]) -> HashMap<EntityId, Fit> {
        let mut fits: HashMap<EntityId, Fit> = HashMap::new();
        for &slot in slots {
            if let Some(id) = self.past.current(slot) {
                let fit = fits.entry(id).or_insert((0, 0, Reverse(u64::MAX)));
                fit.1 += 1;
                fit.2 = fit.2.max(Reverse(self.past.order(slot)));
            }
        }
        for &slot in slots {
            if let Some(fit) = self.past.native(slot).and_then(|id| fits.get_mut(&id)) {
                fit.0 += 1;
            }
        }
        fits
    }

    /// Gives parts without an heir a retired id back, the best fit first.
    fn take_back(&mut self, old: &HashSet<EntityId>) -> HashMap<usize, EntityId> {
        let mut offers: Vec<(Fit, Reverse<EntityId>, usize)> = Vec::new();
        for (part, slots) in self.groups.iter().enumerate() {
            if self.claims[part].is_empty() {
                let past = self.past_ids(slots);
                let free = past.into_iter().filter(|(id, _)| !old.contains(id) && !self.taken.contains(id));
                offers.extend(free.map(|(id, fit)| (fit, Reverse(id), part)));
            }
        }
        offers.sort_unstable_by(|a, b| b.cmp(a));
        let mut revived = HashMap::new();
        for (_, Reverse(id), part) in offers {
            if !revived.contains_key(&part) && self.taken.insert(id) {
                revived.insert(part, id);
            }
        }
        revived
    }

    fn past_ids(&self, slots: &[u32]) -> HashMap<EntityId, Fit> {
        let mut fits: HashMap<EntityId, Fit> = HashMap::new();
        let mut ids = Vec::new();
        for &slot in slots {
            self.past.retired(slot, &mut ids);
            ids.sort_unstable();
            ids.dedup();
            for id in ids.drain(..) {
                let fit = fits.entry(id).or_insert((0, 0, Reverse(u64::MAX)));
                fit.0 += usize::from(self.past.native(slot) == Some(id));
                fit.1 += 1;
                fit.2 = fit.2.max(Reverse(self.past.order(slot)));
            }
        }
        fits
    }
}
