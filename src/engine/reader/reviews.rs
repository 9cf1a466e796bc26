//! The review queue: what a steward's word is worth most on comes first.
//!
//! The value of an answer is how near the join is to undecided, times the pairs of records that the answer decides about.
//! The first is the entropy of the probability of the join's mean support, in bits: 1 at even odds, falling to 0 where the
//! evidence leaves little to ask; a veto pulls the support down, so a vetoed question is worth less. The second is the
//! product of the records on the two sides, since that is how many pairs a wrong join or a missed one gets wrong.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{View, cursor, page_limit};
use crate::engine::api::{Page, ReviewEntry, ReviewQuery};
use crate::error::{Error, Result};
use crate::matching::explain::Explanation;
use crate::model::ids::{EntityId, ReviewId};
use crate::resolve::change::Change as Overlay;
use crate::store::shard::{Review, ReviewStatus};

impl View {
    /// Reviews, by default those that wait: the most valuable first, those that somebody could not tell last.
    ///
    /// # Errors
    /// `Invalid` for an unknown status or cursor, or a pattern that is no match key.
    pub fn reviews(&self, query: &ReviewQuery) -> Result<Page<ReviewEntry>> {
        let all = self.found(query)?;
        let (limit, start) = (page_limit(query.limit), cursor(query.cursor.as_deref())?);
        let next = (start + limit < all.len()).then(|| (start + limit).to_string());
        let page = all.into_iter().skip(start).take(limit);
        Ok(Page { items: page.filter_map(|review| self.review_entry(review)).collect(), next, covered: None })
    }

    /// The ids of all reviews that pass the filters, in the order of the queue. Limit and cursor do not count.
    ///
    /// # Errors
    /// As [`View::reviews`].
    pub fn review_ids(&self, query: &ReviewQuery) -> Result<Vec<ReviewId>> {
        Ok(self.found(query)?.into_iter().map(|review| review.id).collect())
    }

    /// One review.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn review(&self, id: ReviewId) -> Result<ReviewEntry> {
        let unknown = || Error::NotFound { code: "review_unknown", what: "review".into() };
        self.shard.reviews.get(&id).and_then(|review| self.review_entry(review)).ok_or_else(unknown)
    }

    fn found(&self, query: &ReviewQuery) -> Result<Vec<&Review>> {
        let wanted = self.filter(query)?;
        let mut all: Vec<&Review> =
            self.shard.reviews.values().map(|review| &**review).filter(|review| wanted(review)).collect();
        let worth = |review: &Review| (self.value(review) * 1e6).to_bits();
        all.sort_by_cached_key(|review| {
            let unsure = review.status == ReviewStatus::Unsure;
            (unsure, Reverse(worth(review)), Reverse(review.pair.weight), review.id)
        });
        Ok(all)
    }

    fn filter<'q>(&'q self, query: &'q ReviewQuery) -> Result<impl Fn(&Review) -> bool + 'q> {
        let known = ["open", "same", "different", "unsure", "withdrawn"];
        if let Some(status) = query.status.as_deref().filter(|status| !known.contains(status)) {
            return Err(Error::invalid("status", format!("{status:?} is none of {}", known.join(", "))));
        }
        let pattern = query.pattern.as_deref().map(parts_of).transpose()?;
        Ok(move |review: &Review| {
            let status = match &query.status {
                Some(status) => review.status.word() == status,
                None => review.status.is_open(),
            };
            let assignee = match query.assignee.as_deref() {
                Some("") => review.assignee.is_none(),
                Some(assignee) => review.assignee.as_deref() == Some(assignee),
                None => true,
            };
            let score = query.min_score.is_none_or(|least| review.pair.weight.probability() >= least);
            // Explaining is the dearest, so it comes last.
            let like = |pattern: &Vec<&str>| {
                let key = self.explained(review).map(|why| why.match_key()).unwrap_or_default();
                parts_of(&key).is_ok_and(|parts| parts == *pattern)
            };
            status && assignee && score && pattern.as_ref().is_none_or(like)
        })
    }

    /// What an answer is worth; see the head of this file.
    fn value(&self, review: &Review) -> f64 {
        let sides =
            |slot| self.side(slot).and_then(|id| self.shard.entity(id)).map(|entity| (entity.id, entity.members.len()));
        let Some((left, right)) = sides(review.slots.0).zip(sides(review.slots.1)) else { return 0.0 };
        if left.0 == right.0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "records of two contacts")]
        let pairs = (left.1 * right.1) as f64;
        entropy(review.support.probability()) * pairs
    }

    fn side(&self, slot: u32) -> Option<EntityId> {
        let at = self.shard.slot(slot)?;
        // A withdrawn record has left its contact; the review still says whom it was about.
        self.shard.resolve_id(at.entity.or_else(|| at.once().last().copied())?)
    }

    pub(super) fn explained(&self, review: &Review) -> Option<Explanation> {
        let (a, b) = review.slots;
        let versions: Option<(&Arc<_>, &Arc<_>)> = self.shard.evidence(a).zip(self.shard.evidence(b));
        versions.map(|(a, b)| self.explain(&Overlay::overlay(&self.shard, &[]), a, b))
    }

    fn review_entry(&self, review: &Review) -> Option<ReviewEntry> {
        let explanation = self.explained(review);
        Some(ReviewEntry {
            review_id: review.id,
            left: self.side(review.slots.0)?,
            right: self.side(review.slots.1)?,
            pair: (review.pair.a, review.pair.b),
            score: review.pair.weight.probability(),
            reason: if review.vetoed { "veto" } else { "weak" },
            at: review.at,
            status: review.status.word(),
            value: self.value(review),
            match_key: explanation.as_ref().map(Explanation::match_key).unwrap_or_default(),
            assignee: review.assignee.clone(),
            note: review.note.clone(),
            answer: review.answer.clone(),
            explanation,
        })
    }
}

/// The entropy of a yes or no, in bits: 1 at even odds, 0 when it is certain.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(p) + part(1.0 - p)
}

/// The signed parts of a match key, in order: `+NAME+PHONE-BIRTHDAY` is made of three.
fn parts_of(key: &str) -> Result<Vec<&str>> {
    let bad = || {
        let example = "+NAME+PHONE-BIRTHDAY (in a URL + is %2B)";
        Error::invalid("pattern", format!("is no match key; write it as reviews show it, for example {example}"))
    };
    let mut parts = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let name = rest.strip_prefix(['+', '-']).ok_or_else(bad)?;
        let length = name.find(['+', '-']).unwrap_or(name.len());
        let part = rest.get(..=length).filter(|part| part.len() > 1).ok_or_else(bad)?;
        if !part.bytes().skip(1).all(|b| b.is_ascii_uppercase() || b == b'_') {
            return Err(bad());
        }
        parts.push(part);
        rest = rest.get(part.len()..).unwrap_or_default();
    }
    parts.sort_unstable();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_to_even_the_more_an_answer_says() {
        assert!((entropy(0.5) - 1.0).abs() < 1e-12);
        assert!(entropy(0.6) > entropy(0.8) && (entropy(0.2) - entropy(0.8)).abs() < 1e-12);
        assert!(entropy(0.0).abs() < 1e-12 && entropy(1.0).abs() < 1e-12);
    }

    #[test]
    fn a_pattern_is_a_set_of_signed_parts() {
        assert_eq!(parts_of("+NAME-BIRTHDAY+PHONE").unwrap(), parts_of("+NAME+PHONE-BIRTHDAY").unwrap());
        assert_ne!(parts_of("+NAME").unwrap(), parts_of("-NAME").unwrap());
        for bad in ["NAME", "+", "+name", "+NAME+", "+NAME PHONE", "+NÄME"] {
            assert!(parts_of(bad).is_err(), "{bad}");
        }
    }
}
