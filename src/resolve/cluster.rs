//! Clustering: from edges between records to contacts, as a pure function of the record set.
//!
//! Start here: a [`Graph`] answers what is true of records now (edges, support, judgements).
//! [`block`] finds the bounded neighbourhood of a record, [`partition`] cuts a block into contacts,
//! and [`recompute_set`] names the blocks that a change can have touched, so that the engine redoes
//! those and gets what a run from scratch would give. [`assign_ids`] then names the contacts; it is the only
//! part that may depend on history. The batch run and the engine share all of this.
//!
//! Why it does not depend on order: records are compared by their keys, never by slot or arrival;
//! weights are integers; every bound is a property of the set. The rule is "veto and support":
//! strongest edge first, two groups join only if no veto crosses and the mean support over the
//! cross pairs (of silent ones at most three; of none where a business key agrees) reaches tau. Closure over the same edges is the field's classic failure.

mod ids;
mod join;
#[cfg(test)]
mod tests;

pub use ids::{Assigned, Assignment, Past, assign_ids};
pub use join::{Alarm, Join, JoinedBy, Partition, Reason, Refused, partition};

use std::cmp::Ordering;

use hashbrown::HashSet;

use crate::matching::model::Model;
use crate::matching::platt::Calibration;
use crate::model::ids::Millis;
use crate::model::key::Millibits;
use crate::model::settings::Settings;

/// How many weights the ladder has.
pub const LEVELS: usize = 6;

/// [`Limits::large`] of the shipped model, whose evidence fits no data set in particular: namesakes of a register hang
/// together under it.
const LARGE: Millibits = Millibits(2000);
/// The same of learned weights. On historical_50k, whose contacts have eleven records, the shipped model has F1 .70 with
/// it and .81 with [`LARGE`]; an entity of a thousand records keeps half of its pairs under [`LARGE`].
const LARGE_LEARNED: Millibits = Millibits(-1000);

/// The bounds of clustering. Functions of the settings and the model alone, as the partition is then of these and the records.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Weight from which an edge counts at each level, ascending. Level 0 is the review threshold.
    pub ladder: [Millibits; LEVELS],
    /// The most records of a block; a larger one is looked at on the next level. The last level is unbounded.
    pub block_max: usize,
    /// The most records of a contact; a larger one is redone on the next level.
    pub contact_max: usize,
    /// Mean support that a join must reach.
    pub tau: Millibits,
    /// How fast the support that a join must reach grows with the pairs across, 0 (not at all) to 1 (the mean counts), in
    /// thousandths.
    pub strictness: u16,
    /// What the mean support of all pairs across, the silent ones too, must exceed tau by where the joined group is larger
    /// than a sample: most records of one person support one another, those of a chain of namesakes do not.
    pub large: Millibits,
    /// What made pairs' weights say how often they are right. Joins are weighed as without it, under a tau to match: in
    /// a mean with silent pairs, whose support is 0, a stretched weight would count for something else.
    pub calibration: Calibration,
    /// The most that one pair supports a join.
    pub support_max: Millibits,
    /// A conflicting pair opposes a join by at least `conflict_max` (negative)...
    pub conflict_max: Millibits,
    /// ...and by at most `conflict_min` (more negative).
    pub conflict_min: Millibits,
}

impl Limits {
    /// The limits under a tenant's settings: level 0 is `review`, tau is `auto`, each as log2 odds.
    pub fn from_settings(settings: &Settings) -> Self {
        let review = Millibits::from_probability(settings.review);
        let ladder = [0, 6, 9, 12, 16, 20].map(|bits| Millibits(bits * 1000).max(review));
        let [_, upper @ ..] = ladder;
        let [l1, l2, l3, l4, l5] = upper;
        Self {
            ladder: [review, l1, l2, l3, l4, l5],
            block_max: 64,
            contact_max: 60,
            tau: Millibits::from_probability(settings.auto),
            strictness: 1000,
            large: LARGE,
            support_max: Millibits(8000),
            calibration: Calibration::default(),
            conflict_max: Millibits(-4000),
            conflict_min: Millibits(-8000),
        }
    }

    /// The limits of a whole file's run: as under these settings, but contacts and blocks are as large as the evidence
    /// makes them. What bounds the work then is that large groups are compared by a sample.
    pub fn of_file(settings: &Settings) -> Self {
        Self { block_max: usize::MAX, contact_max: usize::MAX, ..Self::from_settings(settings) }
    }

    /// The same, with what a model learned of how strict joins must be and of how often weights are right. Where it has
    /// learned nothing large groups must be surer.
    #[must_use]
    pub fn learned(self, model: &Model) -> Self {
        let Some(strictness) = model.strictness else {
            return Self { strictness: 1000, large: LARGE, ..self };
        };
        let calibration = model.calibration;
        let (tau, support_max) = (calibration.undo(self.tau), self.support_max.max(calibration.undo(self.support_max)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let strictness = (strictness.clamp(0.0, 1.0) * 1000.0).round() as u16;
        Self { strictness, large: LARGE_LEARNED, calibration, tau, support_max, ..self }
    }

    /// The support that joins with so many pairs across must reach in sum, in millibits.
    pub(crate) fn needed(&self, pairs: i64) -> i64 {
        if self.strictness >= 1000 {
            return i64::from(self.tau.0) * pairs;
        }
        let exponent = f64::from(self.strictness) / 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand pairs")]
        let counted = (pairs as f64).powf(exponent);
        #[expect(clippy::cast_possible_truncation, reason = "a few thousand pairs and bits")]
        {
            (f64::from(self.tau.0) * counted).round() as i64
        }
    }

    /// The weight from which an edge counts at `level`; past the end, the last one.
    pub(crate) fn rung(&self, level: usize) -> Millibits {
        self.ladder.get(level).or(self.ladder.last()).copied().unwrap_or_default()
    }

    /// What a pair gives to a join: silence is 0, only conflict is negative.
    pub(crate) fn clamp(&self, support: Support) -> Millibits {
        let weight = self.calibration.undo(support.weight);
        if support.conflict || support.veto {
            weight.max(self.conflict_min).min(self.conflict_max)
        } else {
            weight.max(Millibits(0)).min(self.support_max)
        }
    }
}

/// What the evidence says about one pair, whether or not they are candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// The pair's weight, not clamped.
    pub weight: Millibits,
    /// Evidence that forbids the two in one contact, unless a person says otherwise.
    pub veto: bool,
    /// Some evidence speaks against the pair.
    pub conflict: bool,
    /// A business key agrees and nothing contradicts it.
    pub key: bool,
}

/// What is true of the records at one moment. Records are addressed by slot.
///
/// A slot names the same record in the graphs before and after one change. All answers are functions of
/// the record set, the judgements, the model and the settings.
pub trait Graph {
    /// Whether the slot holds a record now. The other methods are asked about live slots only.
    fn alive(&self, slot: u32) -> bool;

    /// Appends the live records that share an edge with this one (candidates whose weight reaches the
    /// review threshold and that meet no veto), in any order, each once.
    fn edges(&self, slot: u32, out: &mut Vec<(u32, Millibits)>);

    /// Orders two records by record key: total, and independent of arrival.
    fn compare(&self, a: u32, b: u32) -> Ordering;

    /// Scores a pair. Symmetric.
    fn support(&self, a: u32, b: u32) -> Support;

    /// Appends the live records that people judged to be the same as this one, with the time of the
    /// judgement, each once.
    fn same(&self, slot: u32, out: &mut Vec<(u32, Millis)>);

    /// Appends the live records that people judged to be different from this one, each once.
    fn different(&self, slot: u32, out: &mut Vec<u32>);

    /// The user of a directory whose record it is, as a hash; 0: of nobody in particular. Two users are never one contact,
    /// whatever people judged.
    fn user(&self, _slot: u32) -> u64 {
        0
    }
}

/// A neighbourhood of records that is partitioned on its own. Contacts never span blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Slots, ascending by record key.
    pub members: Vec<u32>,
    /// The level of the ladder whose edges bind it. Above 0, weaker edges were left out: worth an alarm.
    pub level: usize,
}

/// The block of a live record: its component over edges of a level and `same` judgements, at the
/// lowest level whose component has at most `block_max` records.
pub fn block<G: Graph + ?Sized>(graph: &G, limits: &Limits, slot: u32) -> Block {
    let last = LEVELS - 1;
    for level in 0..=last {
        let bound = if level == last { usize::MAX } else { limits.block_max };
        if let Some(mut members) = component(graph, limits.rung(level), slot, bound) {
            members.sort_unstable_by(|&a, &b| graph.compare(a, b));
            return Block { members, level };
        }
    }
    Block { members: vec![slot], level: last } // not reached: the last level is unbounded
}

/// The component of `slot`, or `None` when it has more than `bound` records.
fn component<G: Graph + ?Sized>(graph: &G, rung: Millibits, slot: u32, bound: usize) -> Option<Vec<u32>> {
    let mut found = vec![slot];
    let mut seen: HashSet<u32> = HashSet::new();
    seen.insert(slot);
    let (mut edges, mut same) = (Vec::new(), Vec::new());
    let mut next = 0;
    while let Some(&at) = found.get(next) {
        next += 1;
        graph.edges(at, &mut edges);
        graph.same(at, &mut same);
        let strong = edges.drain(..).filter(|&(_, weight)| weight >= rung).map(|(other, _)| other);
        for other in strong.chain(same.drain(..).map(|(other, _)| other)) {
            if seen.insert(other) {
                if found.len() == bound {
                    return None;
                }
                found.push(other);
            }
        }
    }
    Some(found)
}

/// What to do again after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recompute {
    /// The new blocks, disjoint, to be partitioned.
    pub blocks: Vec<Block>,
    /// Every slot whose contact may have changed, ascending by slot; those that are gone included.
    pub affected: Vec<u32>,
}

/// The blocks that a change can have touched.
///
/// `touched` must hold: changed records (new, corrected, deleted); both ends of every pair whose edge
/// appeared, vanished or changed its weight; the holders of every identifier whose tier changed; both ends
/// of changed judgements; and the `same` partners of changed records. Records outside `affected`
/// keep their contact: `clustering.md` section 3 has the proof.
pub fn recompute_set<B: Graph + ?Sized, A: Graph + ?Sized>(
    before: &B,
    after: &A,
    limits: &Limits,
    touched: &[u32],
) -> Recompute {
    let mut todo: Vec<u32> = touched.to_vec();
    let old = cover(before, limits, touched);
    todo.extend(old.into_iter().flat_map(|block| block.members));
    todo.sort_unstable();
    todo.dedup();
    let blocks = cover(after, limits, &todo);
    let mut affected = todo;
    affected.extend(blocks.iter().flat_map(|block| block.members.iter().copied()));
    affected.sort_unstable();
    affected.dedup();
    Recompute { blocks, affected }
}

/// The blocks of the live ones among `slots`, each block once.
pub fn cover<G: Graph + ?Sized>(graph: &G, limits: &Limits, slots: &[u32]) -> Vec<Block> {
    let mut covered = HashSet::new();
    let mut blocks = Vec::new();
    for &slot in slots {
        if graph.alive(slot) && !covered.contains(&slot) {
            let found = block(graph, limits, slot);
            covered.extend(found.members.iter().copied());
            blocks.push(found);
        }
    }
    blocks
}
