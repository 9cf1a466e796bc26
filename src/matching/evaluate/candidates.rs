//! What retrieval found, apart from what scoring made of it.

use super::{pairwise, pairwise_of_pairs};

/// How much of the truth is within reach of the candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// Share of all true pairs that are candidates, 0 to 1.
    pub recall: f64,
    /// Share of all true pairs that a chain of candidates within their entity connects, 0 to 1: the most recall that
    /// clustering can have without joining entities.
    pub closure_recall: f64,
}

/// The reach of candidates. `pairs` are those among them that are true; `truth` is the entity of each record.
pub fn reach(pairs: &[(u32, u32)], truth: &[u32]) -> Reach {
    let mut chains = Chains::new(truth.len());
    for (a, b) in pairs {
        chains.join(*a, *b);
    }
    let connected: Vec<u32> = (0..).take(truth.len()).map(|record| chains.root(record)).collect();
    Reach {
        recall: pairwise_of_pairs(pairs.iter().copied(), truth).recall,
        closure_recall: pairwise(&connected, truth).recall,
    }
}

/// Records connected by pairs: a forest whose roots name the chains.
struct Chains {
    parents: Vec<u32>,
}

impl Chains {
    fn new(records: usize) -> Self {
        Self { parents: (0..).take(records).collect() }
    }

    fn root(&mut self, record: u32) -> u32 {
        let mut at = record;
        loop {
            let parent = self.parent(at);
            if parent == at {
                return at;
            }
            // Halving: every second one points at its grandparent, so that paths stay short.
            let above = self.parent(parent);
            self.set(at, above);
            at = above;
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.set(a.max(b), a.min(b));
    }

    fn parent(&self, record: u32) -> u32 {
        self.parents.get(record as usize).copied().unwrap_or(record)
    }

    fn set(&mut self, record: u32, parent: u32) {
        if let Some(slot) = self.parents.get_mut(record as usize) {
            *slot = parent;
        }
    }
}

/// How many candidates a record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half of the records have at most this many.
    pub median: u32,
    /// 99 in 100 records have at most this many.
    pub p99: u32,
    /// The most that a record has.
    pub max: u32,
}

/// The spread of counts by nearest rank; zeros for no records.
pub fn spread(mut counts: Vec<u32>) -> Spread {
    counts.sort_unstable();
    let rank = |percent: usize| {
        let at = (counts.len() * percent).div_ceil(100).saturating_sub(1);
        counts.get(at).copied().unwrap_or(0)
    };
    Spread { median: rank(50), p99: rank(99), max: rank(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reaches_more_than_its_pairs() {
        // An entity of four in a chain 0-1-2 with 3 out of reach; one of two that nobody proposed.
        let truth = [7, 7, 7, 7, 9, 9];
        let found = reach(&[(2, 1), (0, 1)], &truth);
        // 2 of 7 true pairs are candidates; the chain of three connects 3.
        assert_eq!((found.recall, found.closure_recall), (2.0 / 7.0, 3.0 / 7.0));
        let nothing = reach(&[], &truth);
        assert_eq!((nothing.recall, nothing.closure_recall), (0.0, 0.0));
        assert_eq!(reach(&[], &[1, 2]).closure_recall, 1.0);
    }

    #[test]
    fn two_chains_that_meet_are_one() {
        let truth = [0; 6];
        assert_eq!(reach(&[(4, 5), (0, 1), (2, 3), (1, 2), (5, 0)], &truth).closure_recall, 1.0);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        assert_eq!(spread((1..=200).rev().collect()), Spread { median: 100, p99: 198, max: 200 });
        assert_eq!(spread(vec![3, 0, 9]), Spread { median: 3, p99: 9, max: 9 });
        assert_eq!(spread(Vec::new()), Spread::default());
    }
}
