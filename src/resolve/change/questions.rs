//! What a change does to the questions that wait for a steward: new ones, those that no longer arise, and those that
//! arise from other evidence.
//!
//! A question is about two contacts. It stays the same one, with what somebody noted on it, when another pair of their
//! records asks it. Whoever could not tell is asked anew when the evidence is another: the weight of the pair, the support
//! of the join, or what the pair's records say (a weight is bounded, so it can stay while the evidence grows).

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::{Change, NewId, Resolution, ordered};
use crate::model::event::{Edge, ReviewChanged, ReviewOpened};
use crate::model::ids::{EntityId, Millis, ReviewId};
use crate::resolve::cluster::{Reason, Refused};
use crate::store::shard::{Review, ReviewStatus};

/// The open reviews of a neighbourhood that nobody has found again yet.
struct Open<'a> {
    left: HashMap<ReviewId, &'a Review>,
    by_pair: HashMap<(u32, u32), ReviewId>,
    by_contacts: HashMap<(EntityId, EntityId), Vec<ReviewId>>,
}

impl<'a> Open<'a> {
    fn take(&mut self, id: ReviewId) -> Option<&'a Review> {
        self.left.remove(&id)
    }
}

impl<'a> Change<'a> {
    pub(super) fn put_reviews(&self, affected: &[u32], resolution: &mut Resolution, new_id: &mut NewId<'_>) {
        let mut open = self.open_reviews(affected);
        let mut asked = HashSet::new();
        let asks =
            |refused: &&Refused| refused.reason != Reason::Different && asked.insert(ordered(refused.a, refused.b));
        let asking: Vec<&Refused> = resolution.refused.iter().filter(asks).collect();
        // All that are asked by the same pair first, so that none of these is taken for another.
        let same: Vec<Option<&Review>> = asking
            .iter()
            .map(|refused| open.by_pair.get(&ordered(refused.a, refused.b)).copied().and_then(|id| open.take(id)))
            .collect();
        for (refused, before) in asking.into_iter().zip(same) {
            let (Some(a), Some(b)) = (self.record_id(refused.a), self.record_id(refused.b)) else { continue };
            let pair = Edge { a, b, weight: refused.weight };
            let (support, vetoed) = (refused.support_mean, refused.reason == Reason::Veto);
            match before.or_else(|| self.about_the_same(refused, &mut open)) {
                None => {
                    let review_id = ReviewId(new_id());
                    resolution.resolved.reviews.push(ReviewOpened { review_id, pair, support, vetoed });
                }
                Some(review) if self.has_news(review, refused, vetoed) => {
                    let (review_id, at) = (review.id, Millis(0));
                    resolution.reviews_changed.push(ReviewChanged { review_id, pair, support, vetoed, at });
                }
                Some(_) => {}
            }
        }
        resolution.resolved.reviews_gone.extend(open.left.into_keys());
        resolution.resolved.reviews_gone.sort_unstable();
    }

    fn open_reviews(&self, affected: &[u32]) -> Open<'a> {
        let mut open = Open { left: HashMap::new(), by_pair: HashMap::new(), by_contacts: HashMap::new() };
        for id in affected.iter().filter_map(|slot| self.shard.reviews_of.get(slot)).flat_map(|ids| ids.iter()) {
            let Some(review) = self.shard.reviews.get(id) else { continue };
            if open.left.insert(*id, review).is_some() {
                continue;
            }
            let (a, b) = review.slots;
            open.by_pair.insert(ordered(a, b), *id);
            if let Some((a, b)) = self.contact_before(a).zip(self.contact_before(b)) {
                open.by_contacts.entry((a.min(b), a.max(b))).or_default().push(*id);
            }
        }
        open
    }

    /// Takes the review that was about the two contacts which the sides of a refused join come from.
    fn about_the_same(&self, refused: &Refused, open: &mut Open<'a>) -> Option<&'a Review> {
        let contacts =
            |slots: &[u32]| slots.iter().filter_map(|slot| self.contact_before(*slot)).collect::<BTreeSet<_>>();
        let (left, right) = (contacts(&refused.left), contacts(&refused.right));
        let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (*a.min(b), *a.max(b))));
        let ids = pairs.filter_map(|pair| open.by_contacts.get(&pair)).flatten();
        let found = ids.filter_map(|id| open.left.get(id));
        // Of several that have become one, the one that somebody has noted something on, else the oldest.
        let noted = |review: &&&Review| review.assignee.is_some() || review.note.is_some();
        let best = found.max_by_key(|review| (noted(review), std::cmp::Reverse(review.id)))?.id;
        open.take(best)
    }

    fn contact_before(&self, slot: u32) -> Option<EntityId> {
        self.shard.slot(slot)?.entity
    }

    /// Whether the evidence behind a review is another now.
    fn has_news(&self, review: &Review, refused: &Refused, vetoed: bool) -> bool {
        let (a, b) = review.slots;
        let weighed = (review.pair.weight, review.support, review.vetoed);
        let unsure = review.status == ReviewStatus::Unsure;
        ordered(a, b) != ordered(refused.a, refused.b)
            || weighed != (refused.weight, refused.support_mean, vetoed)
            || (unsure && (self.says_else(a) || self.says_else(b)))
    }

    /// Whether a record says something else that comparisons read.
    fn says_else(&self, slot: u32) -> bool {
        let Some(next) = self.next.get(&slot) else { return false };
        let read = |version: &std::sync::Arc<crate::store::shard::Version>| version.stored.put().normalized;
        next.as_ref().map(read) != self.shard.evidence(slot).map(read)
    }
}
