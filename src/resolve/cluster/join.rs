//! Cutting one block into contacts: strongest edge first, veto and support.
//!
//! Everything here works on *places*: indexes into the block's members, which are sorted by record
//! key. So an order by place is an order by record key, and neither slot nor arrival can be seen.
#![expect(
    clippy::indexing_slicing,
    reason = "places come from the members' own positions, groups from the group table"
)]

use hashbrown::{HashMap, HashSet};

use super::{Block, Graph, LEVELS, Limits, Support};
use crate::model::ids::Millis;
use crate::model::key::Millibits;

/// What made two groups one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedBy {
    /// An edge, supported by the other cross pairs.
    Evidence,
    /// A person's `same`.
    Judgement,
}

/// An accepted join: a step of how a contact came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The pair that proposed it, the smaller record key first.
    pub a: u32,
    /// The other end.
    pub b: u32,
    /// The edge's weight; for a judgement the pair's raw weight.
    pub weight: Millibits,
    /// Mean support over the cross pairs (of silent ones at most three, beside a business key none), rounded down.
    pub support_mean: Millibits,
    /// Evidence or a person.
    pub by: JoinedBy,
    /// The side of `a` before the join, by record key.
    pub left: Vec<u32>,
    /// The side of `b` before the join, by record key.
    pub right: Vec<u32>,
}

/// Why an edge did not join two contacts. When several hold, the first of this order is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A person said that some of them differ.
    Different,
    /// A pair across meets a veto.
    Veto,
    /// The mean support is below tau: a question for a person.
    Weak,
}

/// Two contacts that an edge connects and that stayed apart. At most one for each two contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The strongest edge that was refused, the smaller record key first.
    pub a: u32,
    /// The other end.
    pub b: u32,
    /// That edge's weight.
    pub weight: Millibits,
    /// Mean support over the cross pairs of the two contacts (of silent ones at most three, beside a business key none), rounded
    /// down.
    pub support_mean: Millibits,
    /// What stood against it.
    pub reason: Reason,
    /// The contact of `a`, by record key.
    pub left: Vec<u32>,
    /// The contact of `b`, by record key.
    pub right: Vec<u32>,
}

/// Something an operator should hear about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// This `same` cannot hold: newer ones have put a `different` pair across.
    Contradiction {
        /// One end, the smaller record key.
        a: u32,
        /// The other end.
        b: u32,
    },
    /// A contact passed `contact_max` at this level and was redone with stronger edges only.
    Redone {
        /// How many records it had.
        records: usize,
        /// The level at which it was too large.
        level: usize,
    },
    /// A contact passed `contact_max` at the last level and stays.
    TooLarge {
        /// How many records it has.
        records: usize,
    },
}

/// A block's contacts and how they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// The contacts: members by record key, contacts by their first member. Every member of the block is in one.
    pub groups: Vec<Vec<u32>>,
    /// The joins that made them, in the order they were made within each contact.
    pub joins: Vec<Join>,
    /// The connections that stayed apart, strongest edge first.
    pub refused: Vec<Refused>,
    /// Trouble, sorted, each once.
    pub alarms: Vec<Alarm>,
}

/// Cuts a block into contacts. A pure function of the members' records, scores and judgements.
pub fn partition<G: Graph + ?Sized>(graph: &G, limits: &Limits, block: &Block) -> Partition {
    if let [only] = block.members.as_slice() {
        return Partition { groups: vec![vec![*only]], ..Partition::default() };
    }
    let mut cut = Cut::new(graph, limits, block);
    let all: Vec<usize> = (0..block.members.len()).collect();
    cut.split(&all, block.level);
    cut.finish()
}

/// Two groups, seen as a proposed join.
enum Crossing {
    Different,
    Veto,
    Support(Tally),
}

/// What the cross pairs of two groups say together.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Sum of support, in millibits.
    sum: i64,
    /// Pairs that speak for or against, and of the silent ones at most [`SILENT_MAX`]: none where a business key agrees,
    /// since a unique email is one person's however many of their other records do not know it.
    counted: i64,
    /// All pairs that were looked at.
    all: i64,
}

impl Tally {
    /// Each pair's support fits in an `i32`, so the mean does.
    fn mean(self) -> Millibits {
        Millibits(i32::try_from(self.sum.div_euclid(self.counted.max(1))).unwrap_or_default())
    }
}

/// Silent cross pairs that count in the mean. A few, so that one shared thing does not join two small groups; no more,
/// since in a large contact most pairs share nothing and a tenth record would need ten witnesses. Measured on the
/// labelled sets: all silent pairs F1 .895 on historical_50k and .910 on 100,000 generated rows, three .912 and .905.
const SILENT_MAX: i64 = 3;

/// Records of a group that are compared with another group; of a larger one a sample of so many, so that the work on
/// an entity with thousands of records grows with them and not with their square.
const SAMPLE: usize = 64;
/// Of the sampled pairs of a larger group one in so many may meet a veto: among a thousand records of one person some
/// have a wrong birthday each.
const VETO_ONE_IN: usize = 8;

/// A join in places.
struct Step {
    a: usize,
    b: usize,
    weight: Millibits,
    mean: Millibits,
    by: JoinedBy,
    left: Vec<u32>,
    right: Vec<u32>,
}

/// The work on one block.
struct Cut<'g, G: Graph + ?Sized> {
    graph: &'g G,
    limits: &'g Limits,
    members: &'g [u32],
    /// `(weight, a, b)` with `a < b`, strongest first, then by places.
    edges: Vec<(Millibits, usize, usize)>,
    /// `(time, a, b)` with `a < b`, newest first, then by places.
    same: Vec<(Millis, usize, usize)>,
    /// Pairs `a < b`.
    different: HashSet<(usize, usize)>,
    memo: HashMap<(usize, usize), Support>,
    /// The subset that a place is worked on in.
    scope: Vec<usize>,
    scopes: usize,
    /// The group that a place is in, by number.
    group_of: Vec<usize>,
    /// Members by group number. A join makes a new number, so a number names one set for ever.
    groups: Vec<Vec<usize>>,
    /// The user whose a group is, by number; 0: of nobody in particular.
    users: Vec<u64>,
    done: Vec<usize>,
    steps: Vec<Step>,
    /// Refused edges.
    refused: Vec<(Millibits, usize, usize)>,
    alarms: Vec<Alarm>,
}

impl<'g, G: Graph + ?Sized> Cut<'g, G> {
    fn new(graph: &'g G, limits: &'g Limits, block: &'g Block) -> Self {
        let members = block.members.as_slice();
        let place: HashMap<u32, usize> = members.iter().enumerate().map(|(at, &slot)| (slot, at)).collect();
        let mut cut = Self {
            graph,
            limits,
            members,
            edges: Vec::new(),
            same: Vec::new(),
            different: HashSet::new(),
            memo: HashMap::new(),
            scope: vec![0; members.len()],
            scopes: 0,
            group_of: vec![0; members.len()],
            groups: Vec::new(),
            users: Vec::new(),
            done: Vec::new(),
            steps: Vec::new(),
            refused: Vec::new(),
            alarms: Vec::new(),
        };
        cut.read(&place, limits.rung(block.level));
        cut
    }

    /// Reads the block's inner edges and judgements, each pair from its smaller end.
    fn read(&mut self, place: &HashMap<u32, usize>, rung: Millibits) {
        let (mut edges, mut same, mut different) = (Vec::new(), Vec::new(), Vec::new());
        for (a, &slot) in self.members.iter().enumerate() {
            let inner = |other: &u32| place.get(other).copied().filter(|&b| a < b);
            self.graph.edges(slot, &mut edges);
            let strong = edges.drain(..).filter(|&(_, weight)| weight >= rung);
            self.edges.extend(strong.filter_map(|(other, weight)| Some((weight, a, inner(&other)?))));
            self.graph.same(slot, &mut same);
            self.same.extend(same.drain(..).filter_map(|(other, at)| Some((at, a, inner(&other)?))));
            self.graph.different(slot, &mut different);
            self.different.extend(different.drain(..).filter_map(|other| Some((a, inner(&other)?))));
        }
        self.edges.sort_unstable_by_key(|&(weight, a, b)| (std::cmp::Reverse(weight), a, b));
        self.same.sort_unstable_by_key(|&(at, a, b)| (std::cmp::Reverse(at), a, b));
    }

    /// Joins a subset at a level; what becomes too large is redone with the next level's edges.
    fn split(&mut self, subset: &[usize], level: usize) {
        let (groups, steps) = self.join(subset, level);
        let mut redo = Vec::new();
        for group in groups {
            let records = self.groups[group].len();
            if records <= self.limits.contact_max {
                self.done.push(group);
            } else if level + 1 >= LEVELS {
                self.alarms.push(Alarm::TooLarge { records });
                self.done.push(group);
            } else {
                self.alarms.push(Alarm::Redone { records, level });
                redo.push(group);
            }
        }
        let kept = steps.into_iter().filter(|step| !redo.contains(&self.group_of[step.a]));
        self.steps.extend(kept);
        for group in redo {
            let places = self.groups[group].clone();
            for part in self.components(&places, level + 1) {
                self.split(&part, level + 1);
            }
        }
    }

    /// One pass of joins over a subset: the groups it ends with, and how.
    fn join(&mut self, subset: &[usize], level: usize) -> (Vec<usize>, Vec<Step>) {
        self.enter(subset);
        let (scope, rung) = (self.scopes, self.limits.rung(level));
        let mut steps = Vec::new();
        for at in 0..self.same.len() {
            let (_, a, b) = self.same[at];
            if self.apart(scope, a, b) {
                steps.extend(self.join_by_judgement(a, b));
            }
        }
        let mut refused = HashSet::new();
        for at in 0..self.edges.len() {
            let (weight, a, b) = self.edges[at];
            if weight < rung {
                break;
            }
            if !self.apart(scope, a, b) || refused.contains(&self.pair_of_groups(a, b)) {
                continue;
            }
            match self.join_by_evidence(weight, a, b) {
                Some(step) => steps.push(step),
                None => {
                    refused.insert(self.pair_of_groups(a, b));
                    self.refused.push((weight, a, b));
                }
            }
        }
        let mut groups: Vec<usize> = subset.iter().map(|&place| self.group_of[place]).collect();
        groups.sort_unstable();
        groups.dedup();
        (groups, steps)
    }

    /// Makes the subset the scope of work, every place alone.
    fn enter(&mut self, subset: &[usize]) {
        self.scopes += 1;
        for &place in subset {
            self.scope[place] = self.scopes;
            self.group_of[place] = self.groups.len();
            self.groups.push(vec![place]);
            self.users.push(self.graph.user(self.members[place]));
        }
    }

    fn apart(&self, scope: usize, a: usize, b: usize) -> bool {
        self.scope[a] == scope && self.scope[b] == scope && self.group_of[a] != self.group_of[b]
    }

    fn pair_of_groups(&self, a: usize, b: usize) -> (usize, usize) {
        let (x, y) = (self.group_of[a], self.group_of[b]);
        (x.min(y), x.max(y))
    }

    fn join_by_judgement(&mut self, a: usize, b: usize) -> Option<Step> {
        let (left, right) = (self.group_of[a], self.group_of[b]);
        if self.is_different(left, right) || self.are_two_users(left, right) {
            self.alarms.push(Alarm::Contradiction { a: self.members[a], b: self.members[b] });
            return None;
        }
        let weight = self.support(a, b).weight;
        let tally = self.tally(left, right);
        Some(self.unite(a, b, weight, tally, JoinedBy::Judgement))
    }

    fn join_by_evidence(&mut self, weight: Millibits, a: usize, b: usize) -> Option<Step> {
        let (left, right) = (self.group_of[a], self.group_of[b]);
        let Crossing::Support(tally) = self.crossing(left, right) else {
            return None;
        };
        let needed = match self.groups[left].len() + self.groups[right].len() > SAMPLE {
            true => i64::from(self.limits.tau.0 + self.limits.large.0) * tally.all,
            false => self.limits.needed(tally.counted),
        };
        (tally.sum >= needed).then(|| self.unite(a, b, weight, tally, JoinedBy::Evidence))
    }

    fn unite(&mut self, a: usize, b: usize, weight: Millibits, tally: Tally, by: JoinedBy) -> Step {
        let (left, right) = (self.group_of[a], self.group_of[b]);
        let mean = self.limits.calibration.apply(tally.mean());
        let user = self.users[left].max(self.users[right]);
        // No group is looked at again once it is part of another.
        let (left, right) = (std::mem::take(&mut self.groups[left]), std::mem::take(&mut self.groups[right]));
        let mut all = [left.as_slice(), right.as_slice()].concat();
        all.sort(); // two sorted runs: the stable sort only merges them
        for &place in &all {
            self.group_of[place] = self.groups.len();
        }
        self.groups.push(all);
        self.users.push(user);
        Step { a, b, weight, mean, by, left: self.slots(&left), right: self.slots(&right) }
    }

    fn slots(&self, places: &[usize]) -> Vec<u32> {
        places.iter().map(|&place| self.members[place]).collect()
    }

    /// Looks at the cross pairs of two groups: all of them, of groups beyond [`SAMPLE`] some.
    fn crossing(&mut self, left: usize, right: usize) -> Crossing {
        if self.is_different(left, right) {
            return Crossing::Different;
        }
        if self.are_two_users(left, right) {
            return Crossing::Veto;
        }
        let sampled = self.groups[left].len().max(self.groups[right].len()) > SAMPLE;
        let (lefts, rights) = (self.sample(left), self.sample(right));
        let pairs = lefts.len() * rights.len();
        let allowed = if sampled { pairs / VETO_ONE_IN } else { 0 };
        let mut vetoes = 0;
        for &x in &lefts {
            for &y in &rights {
                vetoes += usize::from(self.support(x, y).veto);
                if vetoes > allowed {
                    return Crossing::Veto;
                }
            }
        }
        Crossing::Support(self.tally(left, right))
    }

    /// The members of a group that speak for it: all, of a large one every so many.
    fn sample(&self, group: usize) -> Vec<usize> {
        let members = &self.groups[group];
        let step = members.len().div_ceil(SAMPLE).max(1);
        members.iter().step_by(step).copied().collect()
    }

    fn are_two_users(&self, left: usize, right: usize) -> bool {
        let (left, right) = (self.users[left], self.users[right]);
        left != 0 && right != 0 && left != right
    }

    fn is_different(&self, left: usize, right: usize) -> bool {
        let crosses = |x: usize, y: usize| self.different.contains(&(x.min(y), x.max(y)));
        !self.different.is_empty()
            && self.groups[left].iter().any(|&x| self.groups[right].iter().any(|&y| crosses(x, y)))
    }

    fn tally(&mut self, left: usize, right: usize) -> Tally {
        let (mut sum, mut loud, mut silent, mut key) = (0, 0, 0, false);
        let (lefts, rights) = (self.sample(left), self.sample(right));
        for &x in &lefts {
            for &y in &rights {
                let support = self.support(x, y);
                key |= support.key;
                match i64::from(self.limits.clamp(support).0) {
                    0 => silent += 1,
                    bits => {
                        sum += bits;
                        loud += 1;
                    }
                }
            }
        }
        let silent_max = if key { 0 } else { SILENT_MAX };
        Tally { sum, counted: loud + silent.min(silent_max), all: loud + silent }
    }

    fn support(&mut self, x: usize, y: usize) -> Support {
        let (x, y) = (x.min(y), x.max(y));
        let (graph, members) = (self.graph, self.members);
        *self.memo.entry((x, y)).or_insert_with(|| graph.support(members[x], members[y]))
    }

    /// The components of some places over a level's edges and `same`, in order of their first place.
    fn components(&self, places: &[usize], level: usize) -> Vec<Vec<usize>> {
        let rung = self.limits.rung(level);
        let inside: HashSet<usize> = places.iter().copied().collect();
        let mut near: HashMap<usize, Vec<usize>> = HashMap::new();
        let strong = self.edges.iter().filter(|&&(weight, _, _)| weight >= rung);
        let pairs = strong.map(|&(_, a, b)| (a, b)).chain(self.same.iter().map(|&(_, a, b)| (a, b)));
        for (a, b) in pairs.filter(|(a, b)| inside.contains(a) && inside.contains(b)) {
            near.entry(a).or_default().push(b);
            near.entry(b).or_default().push(a);
        }
        let mut seen = HashSet::new();
        let mut parts = Vec::new();
        for &place in places {
            if !seen.insert(place) {
                continue;
            }
            let mut part = vec![place];
            let mut next = 0;
            while let Some(at) = part.get(next) {
                next += 1;
                let fresh = near.get(at).into_iter().flatten().copied().filter(|&other| seen.insert(other));
                let fresh: Vec<usize> = fresh.collect();
                part.extend(fresh);
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts
    }

    /// Turns places back into slots.
    fn finish(mut self) -> Partition {
        let refused = self.refusals();
        let slots = |places: &[usize]| -> Vec<u32> { places.iter().map(|&place| self.members[place]).collect() };
        let mut groups: Vec<&[usize]> = self.done.iter().map(|&group| self.groups[group].as_slice()).collect();
        groups.sort_unstable();
        let joins = self.steps.iter().map(|step| Join {
            a: self.members[step.a],
            b: self.members[step.b],
            weight: step.weight,
            support_mean: step.mean,
            by: step.by,
            left: step.left.clone(),
            right: step.right.clone(),
        });
        let mut alarms = self.alarms.clone();
        alarms.sort_unstable();
        alarms.dedup();
        Partition { groups: groups.into_iter().map(slots).collect(), joins: joins.collect(), refused, alarms }
    }

    /// The refused edges between the final contacts: the strongest for each two, with what stands against it now.
    fn refusals(&mut self) -> Vec<Refused> {
        let mut edges = std::mem::take(&mut self.refused);
        edges.sort_unstable_by_key(|&(weight, a, b)| (std::cmp::Reverse(weight), a, b));
        let mut seen = HashSet::new();
        let mut refused = Vec::new();
        for (weight, a, b) in edges {
            let (left, right) = (self.group_of[a], self.group_of[b]);
            if left == right || !seen.insert(self.pair_of_groups(a, b)) {
                continue;
            }
            let reason = match self.crossing(left, right) {
                Crossing::Different => Reason::Different,
                Crossing::Veto => Reason::Veto,
                Crossing::Support(_) => Reason::Weak,
            };
            let support_mean = self.limits.calibration.apply(self.tally(left, right).mean());
            let slots = |group: usize| self.groups[group].iter().map(|&place| self.members[place]).collect();
            refused.push(Refused {
                a: self.members[a],
                b: self.members[b],
                weight,
                support_mean,
                reason,
                left: slots(left),
                right: slots(right),
            });
        }
        refused
    }
}
