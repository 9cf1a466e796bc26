//! What people decided about records: `same(S)` and `different(L, R)`, kept as record sets with a time.
//!
//! A judgement says something about pairs: `same(S)` about every two of S, `different(L, R)` about
//! every one of L with every one of R. For each pair the latest by judged time counts, so facts may arrive in
//! any order; at the same time `different` counts, as keeping apart is the safer error. A judgement about a record that
//! is gone stays stored and sleeps; callers say which records are live. A judgement that others contradict through a chain
//! is found by [`Judgements::contradiction`], so that the API can refuse it before it is stored.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::cow::PMap;
use crate::model::ids::{JudgementId, Millis, RecordId};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These records are one contact.
    Same(Vec<RecordId>),
    /// No contact holds a record of each side.
    Different(Vec<RecordId>, Vec<RecordId>),
}

/// One decision of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Its id, for withdrawing it.
    pub id: JudgementId,
    /// When the person decided.
    pub at: Millis,
    /// What.
    pub verdict: Verdict,
}

impl Judgement {
    /// The records it is about, ascending, each once.
    pub fn records(&self) -> Vec<RecordId> {
        let mut all = match &self.verdict {
            Verdict::Same(set) => set.clone(),
            Verdict::Different(left, right) => [left.as_slice(), right.as_slice()].concat(),
        };
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Appends what it says about `record`: the partners and whether they are the same.
    fn partners(&self, record: RecordId, out: &mut Vec<(RecordId, bool)>) {
        let others = |set: &[RecordId], same: bool, out: &mut Vec<(RecordId, bool)>| {
            out.extend(set.iter().filter(|&&other| other != record).map(|&other| (other, same)));
        };
        match &self.verdict {
            Verdict::Same(set) if set.contains(&record) => others(set, true, out),
            Verdict::Same(_) => {}
            Verdict::Different(left, right) => {
                if left.contains(&record) {
                    others(right, false, out);
                }
                if right.contains(&record) {
                    others(left, false, out);
                }
            }
        }
    }
}

/// What counts for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The other record.
    pub record: RecordId,
    /// Same, or different.
    pub same: bool,
    /// When it was decided.
    pub at: Millis,
}

/// All judgements of a tenant. Cheap to clone: clones share what neither has changed.
#[derive(Clone, Debug, Default)]
pub struct Judgements {
    by_id: PMap<JudgementId, Arc<Judgement>>,
    by_record: PMap<RecordId, Vec<Arc<Judgement>>>,
}

impl Judgements {
    /// Stores a judgement. One with the same id is replaced.
    pub fn add(&mut self, judgement: Judgement) {
        self.withdraw(judgement.id);
        let judgement = Arc::new(judgement);
        for record in judgement.records() {
            self.by_record.entry_or_insert_with(&record, Vec::new).push(Arc::clone(&judgement));
        }
        self.by_id.insert(judgement.id, judgement);
    }

    /// Takes a judgement back. `None`: there is none of this id.
    pub fn withdraw(&mut self, id: JudgementId) -> Option<Arc<Judgement>> {
        let gone = self.by_id.remove(&id)?;
        for record in gone.records() {
            let Some(list) = self.by_record.get_mut(&record) else { continue };
            list.retain(|judgement| judgement.id != id);
            if list.is_empty() {
                self.by_record.remove(&record);
            }
        }
        Some(gone)
    }

    /// The judgement of this id.
    pub fn get(&self, id: JudgementId) -> Option<&Arc<Judgement>> {
        self.by_id.get(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All judgements, by id.
    pub fn all(&self) -> Vec<&Arc<Judgement>> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_unstable_by_key(|judgement| judgement.id);
        all
    }

    /// The judgements about a record, in no special order.
    pub fn of(&self, record: RecordId) -> &[Arc<Judgement>] {
        self.by_record.get(&record).map_or(&[], Vec::as_slice)
    }

    /// What counts for each pair of `record`, live partners or not, ascending by partner.
    pub fn partners(&self, record: RecordId) -> Vec<Partner> {
        let mut latest: HashMap<RecordId, (Millis, bool)> = HashMap::new();
        let mut said = Vec::new();
        for judgement in self.of(record) {
            judgement.partners(record, &mut said);
            for (other, same) in said.drain(..) {
                // The later counts; at the same time, different does.
                let rank = |(at, same): (Millis, bool)| (at, !same);
                let new = (judgement.at, same);
                let counts = latest.entry(other).or_insert(new);
                if rank(new) > rank(*counts) {
                    *counts = new;
                }
            }
        }
        let pairs = latest.into_iter().map(|(record, (at, same))| Partner { record, same, at });
        let mut pairs: Vec<Partner> = pairs.collect();
        pairs.sort_unstable_by_key(|pair| pair.record);
        pairs
    }

    /// Why a judgement cannot be stored beside the others: a chain of live records, each the same as
    /// the next, whose two ends are different. `None`: nothing stands against it.
    ///
    /// The chain is the shortest between the first such ends by record id.
    pub fn contradiction(&self, proposed: &Judgement, live: &dyn Fn(RecordId) -> bool) -> Option<Vec<RecordId>> {
        let mut with = self.clone();
        with.add(proposed.clone());
        let mut seen = HashSet::new();
        for start in proposed.records().into_iter().filter(|&record| live(record)) {
            if seen.contains(&start) {
                continue;
            }
            let mut component = with.reach(start, None, live);
            seen.extend(component.iter().copied());
            component.sort_unstable();
            let inside: HashSet<RecordId> = component.iter().copied().collect();
            for &end in &component {
                let apart = with.partners(end).into_iter().find(|pair| !pair.same && inside.contains(&pair.record));
                if let Some(pair) = apart {
                    return Some(with.reach(end, Some(pair.record), live));
                }
            }
        }
        None
    }

    /// All live records that chains of `same` reach from `start`; with a goal, the shortest chain to it.
    fn reach(&self, start: RecordId, goal: Option<RecordId>, live: &dyn Fn(RecordId) -> bool) -> Vec<RecordId> {
        let mut found = vec![start];
        let mut from: HashMap<RecordId, RecordId> = HashMap::from([(start, start)]);
        let mut next = 0;
        while let Some(&at) = found.get(next) {
            next += 1;
            for pair in self.partners(at).into_iter().filter(|pair| pair.same && live(pair.record)) {
                if from.contains_key(&pair.record) {
                    continue;
                }
                from.insert(pair.record, at);
                found.push(pair.record);
                if goal == Some(pair.record) {
                    return chain(&from, pair.record);
                }
            }
        }
        found
    }
}

/// Walks back from `end` to the record that came from itself; returns it the right way round.
fn chain(from: &HashMap<RecordId, RecordId>, end: RecordId) -> Vec<RecordId> {
    let mut path = vec![end];
    let mut at = end;
    while let Some(&before) = from.get(&at).filter(|&&before| before != at) {
        path.push(before);
        at = before;
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u128]) -> Vec<RecordId> {
        numbers.iter().copied().map(RecordId).collect()
    }

    fn same(id: u128, at: i64, set: &[u128]) -> Judgement {
        Judgement { id: JudgementId(id), at: Millis(at), verdict: Verdict::Same(ids(set)) }
    }

    fn different(id: u128, at: i64, left: &[u128], right: &[u128]) -> Judgement {
        Judgement { id: JudgementId(id), at: Millis(at), verdict: Verdict::Different(ids(left), ids(right)) }
    }

    fn store(list: &[Judgement]) -> Judgements {
        let mut judgements = Judgements::default();
        for judgement in list {
            judgements.add(judgement.clone());
        }
        judgements
    }

    fn said(judgements: &Judgements, record: u128) -> Vec<(u128, bool)> {
        judgements.partners(RecordId(record)).into_iter().map(|pair| (pair.record.0, pair.same)).collect()
    }

    #[test]
    fn the_latest_counts_in_any_order_of_arrival() {
        let list = [same(1, 10, &[1, 2, 3]), different(2, 20, &[1], &[2]), same(3, 5, &[1, 2]), same(4, 20, &[1, 2])];
        let mut back = list.clone();
        back.reverse();
        for judgements in [store(&list), store(&back)] {
            assert_eq!(said(&judgements, 1), [(2, false), (3, true)]);
            assert_eq!(said(&judgements, 2), [(1, false), (3, true)]);
            assert_eq!(said(&judgements, 9), []);
        }
    }

    #[test]
    fn withdrawing_uncovers_the_one_before() {
        let mut judgements = store(&[same(1, 10, &[1, 2]), different(2, 20, &[1], &[2])]);
        let before = judgements.clone();
        assert!(judgements.withdraw(JudgementId(2)).is_some());
        assert!(judgements.withdraw(JudgementId(2)).is_none());
        assert_eq!(said(&judgements, 1), [(2, true)]);
        assert_eq!(said(&before, 1), [(2, false)], "a clone keeps what it saw");
        judgements.withdraw(JudgementId(1));
        assert!(judgements.is_empty() && judgements.of(RecordId(1)).is_empty());
        assert_eq!((before.len(), before.all().len()), (2, 2));
    }

    #[test]
    fn a_contradiction_names_its_chain() {
        let judgements = store(&[same(1, 1, &[1, 2]), same(2, 2, &[2, 3]), different(3, 3, &[4], &[1])]);
        let live = |_: RecordId| true;
        let found = judgements.contradiction(&same(9, 9, &[3, 4]), &live);
        assert_eq!(found, Some(ids(&[1, 2, 3, 4])));
        let found = judgements.contradiction(&different(9, 9, &[1], &[3]), &live);
        assert_eq!(found, Some(ids(&[1, 2, 3])));
        assert_eq!(judgements.contradiction(&different(9, 9, &[1], &[2, 3]), &live), None, "it replaces the first");
        assert_eq!(judgements.contradiction(&same(9, 9, &[1, 4]), &live), None, "it replaces the different");
        let asleep = |record: RecordId| record != RecordId(2);
        assert_eq!(judgements.contradiction(&same(9, 9, &[3, 4]), &asleep), None);
    }
}
