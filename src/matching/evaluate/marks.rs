//! Recall by mark: of the true pairs that carry a mark ("nickname", "swapped"...), how many were found?
//!
//! A mark says what was done to a record, or what it is. A pair carries the marks of both of its records. Pairs are counted from
//! the sizes of groups and never listed, so that an entity of thousands costs no more than its records.

use super::{pairs_within, ratio, sizes};

/// The pairs that carry one mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkCount {
    /// True pairs.
    pub true_pairs: u64,
    /// Those that ended in one cluster.
    pub found: u64,
}

impl MarkCount {
    /// Share of the true pairs that ended in one cluster; 1 without true pairs.
    pub fn recall(&self) -> f64 {
        ratio(self.found, self.true_pairs)
    }
}

/// Counts the true pairs of each mark from 0 to `count` - 1, then those that carry none. `marks` holds each
/// record's, each once; `predicted` and `truth` its cluster and entity.
pub fn by_mark(marks: &[Vec<u32>], count: usize, predicted: &[u32], truth: &[u32]) -> Vec<MarkCount> {
    let entities: Vec<(u32, u32)> = truth.iter().map(|entity| (*entity, 0)).collect();
    let cells: Vec<(u32, u32)> = truth.iter().zip(predicted).map(|(entity, cluster)| (*entity, *cluster)).collect();
    let real = pairs_by_mark(marks, count, &entities);
    let found = pairs_by_mark(marks, count, &cells);
    real.into_iter().zip(found).map(|(true_pairs, found)| MarkCount { true_pairs, found }).collect()
}

/// Pairs within each group in which at least one record carries the mark: all but those in which neither does.
fn pairs_by_mark(marks: &[Vec<u32>], count: usize, groups: &[(u32, u32)]) -> Vec<u64> {
    let records = || groups.iter().zip(marks);
    let all = sizes(records().map(|(group, _)| *group));
    let marked = sizes(records().flat_map(|(group, marks)| marks.iter().map(move |mark| (*group, *mark))));
    let unmarked = sizes(records().filter(|(_, marks)| marks.is_empty()).map(|(group, _)| *group));
    let mut pairs = vec![0; count];
    for ((group, mark), carriers) in marked {
        let size = all.get(&group).copied().unwrap_or(carriers);
        if let Some(slot) = pairs.get_mut(mark as usize) {
            *slot += pairs_within(size) - pairs_within(size - carriers);
        }
    }
    pairs.push(unmarked.into_values().map(pairs_within).sum());
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_carries_the_marks_of_both_records() {
        // One entity of four records, one of which (mark 0) stayed apart; one of two, found, both with mark 1.
        let truth = [0, 0, 0, 0, 1, 1];
        let predicted = [5, 5, 5, 6, 7, 7];
        let marks = [vec![], vec![1], vec![], vec![0, 1], vec![1], vec![1]];
        let found = by_mark(&marks, 2, &predicted, &truth);
        let counts: Vec<(u64, u64)> = found.iter().map(|mark| (mark.true_pairs, mark.found)).collect();
        // Mark 0: the three pairs of record 3, none found. Mark 1: the five pairs of records 1 and 3, two found, and the
        // pair of the other entity. None: the pair of records 0 and 2.
        assert_eq!(counts, [(3, 0), (6, 3), (1, 1)]);
        assert_eq!((found[1].recall(), MarkCount::default().recall()), (0.5, 1.0));
    }
}
