//! Looking at a batch from outside: every candidate pair with its score, and why a pair scored as it did.

use rayon::prelude::*;

use super::shared::Found;
use super::{Batch, place};
use crate::matching::explain::{Explanation, explain};
use crate::matching::score::Scored;
use crate::model::normalized::Normalized;

/// Records whose pairs one part of a scan sees.
const PART: usize = 2048;

impl Batch {
    /// Shows each candidate pair `(smaller, larger)` with its score, vetoed ones and weak ones included.
    ///
    /// Nothing is kept but what `see` keeps: the pairs of one run of records go into one `T`, in order, and the parts come back in
    /// order, whatever the number of threads.
    pub fn scan<T: Default + Send>(&self, see: impl Fn(&mut T, u32, u32, Scored) + Sync) -> Vec<T> {
        let parts = self.features.len().div_ceil(PART);
        let part = |number: usize| {
            let mut seen = T::default();
            let mut found = Found::default();
            for a in number * PART..self.features.len().min((number + 1) * PART) {
                self.index.candidates(place(a), self.border, &mut found);
                for &b in &found.others {
                    see(&mut seen, place(a), b, self.score(place(a), b));
                }
            }
            seen
        };
        (0..parts).into_par_iter().map(part).collect()
    }

    /// Why two records score as they do; `left` and `right` are their values. `None` for places out of range.
    pub fn explain(&self, a: u32, b: u32, left: &Normalized, right: &Normalized) -> Option<Explanation> {
        let (x, y) = self.features.get(a as usize).zip(self.features.get(b as usize))?;
        Some(explain(&self.model, &self.index.counts, x, y, left, right))
    }
}
