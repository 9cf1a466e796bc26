//! The worst errors, each with why its pair scored as it did.
//!
//! The strongest pair stands for the others of its kind: one for each two entities that were joined, one for each entity
//! that was torn apart, so that ten errors are ten stories. Pairs that were never candidates are a list of their own:
//! there retrieval failed, not scoring. The lists hold personal data, like the records.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::fresh::Look;
use super::put;
use super::truth::index_of;
use crate::cli::sheet::Sheet;
use crate::model::key::Millibits;

/// A pair of records with its weight.
pub(super) type Weighed = (Millibits, u32, u32);

/// True pairs that are looked at for those that were never candidates: the entities of some hundred thousand records.
const NEVER_LOOKED_AT_MAX: usize = 5_000_000;

/// Candidate pairs that went wrong.
#[derive(Default)]
pub(super) struct Wrong {
    /// Different entities in one cluster.
    pub(super) joined: Vec<Weighed>,
    /// One entity in different clusters.
    pub(super) apart: Vec<Weighed>,
}

/// Adds the worst errors of each sort, at most `shown` each, strongest first, and how many there are.
pub(super) fn put_errors(figures: &mut Value, look: &Look<'_>, wrong: &Wrong, sheet: &Sheet, shown: usize) {
    let never = never_candidates(look, &wrong.apart);
    let entity = |record: u32| look.entity(record);
    let both = |&(_, a, b): &Weighed| (entity(a).min(entity(b)), entity(a).max(entity(b)));
    let writer = Writer { look, sheet };
    let list = |worst: Vec<Weighed>, candidate: bool| -> Value {
        worst.iter().map(|pair| writer.pair(pair, candidate)).collect()
    };
    put(figures, "false_positives", list(worst(&wrong.joined, shown, both), true));
    put(figures, "false_negatives", list(worst(&wrong.apart, shown, both), true));
    put(figures, "never_candidates", list(worst(&never.pairs, shown, both), false));
    put(
        figures,
        "error_counts",
        json!({
            "false_positive_candidates": wrong.joined.len(), "false_negative_candidates": wrong.apart.len(),
            "never_candidates": never.pairs.len(), "never_candidates_complete": never.complete,
        }),
    );
}

/// The strongest pair of each group, strongest first.
fn worst<K: Ord>(pairs: &[Weighed], shown: usize, group: impl Fn(&Weighed) -> K) -> Vec<Weighed> {
    let order = |&(weight, a, b): &Weighed| (Reverse(weight), a, b);
    let mut strongest: BTreeMap<K, Weighed> = BTreeMap::new();
    for pair in pairs {
        let best = strongest.entry(group(pair)).or_insert(*pair);
        if order(pair) < order(best) {
            *best = *pair;
        }
    }
    let mut worst: Vec<Weighed> = strongest.into_values().collect();
    worst.sort_unstable_by_key(order);
    worst.truncate(shown);
    worst
}

/// True pairs apart that share no live key.
struct Never {
    pairs: Vec<Weighed>,
    /// Whether all true pairs were looked at.
    complete: bool,
}

/// Finds them among all true pairs: those apart that the candidates do not hold.
fn never_candidates(look: &Look<'_>, apart: &[Weighed]) -> Never {
    let known: HashSet<(u32, u32)> = apart.iter().map(|&(_, a, b)| (a, b)).collect();
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for record in (0..).take(look.positions.len()) {
        if let Some(entity) = look.entity(record) {
            members.entry(entity).or_default().push(record);
        }
    }
    let mut never = Never { pairs: Vec::new(), complete: true };
    let mut left = NEVER_LOOKED_AT_MAX;
    for records in members.values() {
        let pairs = records.iter().enumerate().flat_map(|(at, a)| records.iter().skip(at + 1).map(|b| (*a, *b)));
        for (a, b) in pairs {
            if left == 0 {
                return Never { complete: false, ..never };
            }
            left -= 1;
            if !look.together(a, b) && !known.contains(&(a, b)) {
                never.pairs.push((look.batch.score(a, b).weight, a, b));
            }
        }
    }
    never
}

impl Look<'_> {
    /// The entity of a record, where it is known.
    fn entity(&self, record: u32) -> Option<u32> {
        let position = self.positions.get(index_of(record)).copied().flatten()?;
        self.truth.entities.get(index_of(position)).copied()
    }
}

/// Turns pairs into JSON.
struct Writer<'a> {
    look: &'a Look<'a>,
    sheet: &'a Sheet,
}

impl Writer<'_> {
    fn pair(&self, &(weight, a, b): &Weighed, candidate: bool) -> Value {
        let mut pair = json!({
            "left": self.side(a), "right": self.side(b), "weight_bits": weight.bits(),
            "probability": weight.probability(), "veto": self.look.batch.score(a, b).veto, "candidate": candidate,
        });
        let records = self.sheet.records.get(self.sheet.line_of(a)).zip(self.sheet.records.get(self.sheet.line_of(b)));
        if let Some(why) = records.and_then(|(left, right)| self.look.batch.explain(a, b, left, right)) {
            let part = |part: &crate::matching::explain::Part| {
                json!({
                    "comparison": part.comparison, "level": part.level, "weight_bits": part.weight.bits(),
                    "left": part.left, "right": part.right,
                })
            };
            put(&mut pair, "match_key", why.match_key());
            put(&mut pair, "prior_bits", why.prior.bits());
            put(&mut pair, "explanation", why.parts.iter().map(part).collect::<Vec<_>>());
        }
        pair
    }

    /// A record: its line, its id, and its cells that are not empty.
    fn side(&self, record: u32) -> Value {
        let line = self.sheet.line_of(record);
        let cells = self.sheet.cells.get(line).map_or(&[][..], Vec::as_slice);
        let named = self.sheet.header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
        let fields: Map<String, Value> = named.map(|(name, cell)| (name.clone(), cell.as_str().into())).collect();
        let cluster = self.look.clusters.get(index_of(record));
        json!({"line": line, "id": self.sheet.id(line), "cluster": cluster, "fields": fields})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_pair_stands_for_its_group() {
        let pairs = [(Millibits(5), 1, 2), (Millibits(9), 1, 3), (Millibits(7), 8, 9), (Millibits(9), 0, 3)];
        let group = |&(_, a, _): &Weighed| a > 5;
        assert_eq!(worst(&pairs, 10, group), [(Millibits(9), 0, 3), (Millibits(7), 8, 9)]);
        assert_eq!(worst(&pairs, 1, group), [(Millibits(9), 0, 3)]);
        assert!(worst(&[], 3, group).is_empty());
    }
}
