//! Who is this contact? The query is laid over the view as if it were stored, so that scores and the decision are
//! those of an upsert.
//!
//! What is looked at in which order matters for speed: a candidate's record lies somewhere in memory, and so does its
//! contact. So names are ruled out by what their posting knows, contacts are looked up only for records that
//! reach the threshold, and every pair is scored once, for the answer and for the decision, and no further than until it
//! cannot matter for either.

use std::collections::BTreeMap;

use super::{Asked, View, kind_word};
use crate::engine::api::{Candidate, ExplainLevel, MatchAnswer, MatchQuery, Verdict};
use crate::error::{Error, Result};
use crate::matching::explain::explain;
use crate::matching::score::Scored;
use crate::model::ids::EntityId;
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::resolve::change::{Change as Overlay, Kinds, Outlook, Scores, evidence_of};
use crate::store::shard::{Entity, Version};

/// Records that a query looks at for their names at most; beyond it the answer says `truncated`.
const SCORED_MAX: usize = 4000;
/// Candidates of an answer unless the caller says otherwise.
const LIMIT: usize = 10;
/// Candidates of an answer at most.
const LIMIT_MAX: usize = 100;

/// A contact that may be it, by its best record.
struct Hit {
    contact: EntityId,
    slot: u32,
    scored: Scored,
}

impl View {
    /// Who is this contact?
    ///
    /// # Errors
    /// `Invalid` for a query out of range.
    pub fn match_contact(&self, query: &MatchQuery) -> Result<MatchAnswer> {
        if !(0.0..=1.0).contains(&query.threshold) {
            return Err(Error::invalid("threshold", "must be a probability, 0 to 1"));
        }
        let asked = self.asked(query.input.clone());
        let edits = [(asked.slot, Some(std::sync::Arc::clone(&asked.version)))];
        let overlay = Overlay::overlay(&self.shard, &edits);
        let exact = overlay.candidates(asked.slot);
        let (others, whole) = self.with_similar_names(&asked, &exact);
        let scores = overlay.scores(&asked.version, &others, floor(query).min(overlay.edge_floor()));
        let best = self.best_by_contact(query, &scores);
        let limit = if query.limit == 0 { LIMIT } else { query.limit.min(LIMIT_MAX) };
        let cut = best.len() > limit;
        let none = best.is_empty();
        let shown = best.into_iter().take(limit);
        let level = query.explain;
        let candidates = shown.filter_map(|hit| self.candidate(&overlay, &asked, &exact, &hit, level)).collect();
        let decision = if none { Verdict::NoMatch } else { decision(overlay, &asked, &exact, scores) };
        Ok(MatchAnswer { decision, candidates, truncated: !whole || cut })
    }

    /// The slots of the exact candidates and of the records whose family name is within an edit or sounds alike, beside a
    /// given name that could be the same; ascending, each once. False: there were more.
    fn with_similar_names(&self, asked: &Asked, exact: &[(u32, Kinds)]) -> (Vec<u32>, bool) {
        let (version, hint) = (&asked.version, asked.version.given_hint());
        let mut slots = Vec::new();
        let mut whole = self.shard.names.similar(&asked.last_tokens, hint, SCORED_MAX, &mut slots);
        let is_open = self.shard.privacy.is_open();
        slots.retain(|(slot, _)| {
            let is_free = is_open || !self.shard.is_restricted_slot(*slot);
            is_free && exact.binary_search_by_key(slot, |(other, _)| *other).is_err()
        });
        // What is known of the given name is enough for nearly all; only the records of the others are touched here.
        let in_doubt = slots.iter().filter(|(_, given)| !hint.shares_letter(*given)).map(|(slot, _)| *slot);
        let found = evidence_of(&self.shard, in_doubt).into_iter();
        let mut alike = found.filter(|(_, other)| same_given_code(version, other)).map(|(slot, _)| slot).peekable();
        slots.retain(|(slot, given)| hint.shares_letter(*given) || alike.next_if_eq(slot).is_some());
        let room = SCORED_MAX.saturating_sub(exact.len());
        whole &= slots.len() <= room;
        slots.truncate(room);
        let exact = exact.iter().map(|(slot, _)| *slot);
        let mut found: Vec<u32> =
            exact.chain(slots.into_iter().map(|(slot, _)| slot)).filter(|slot| *slot != asked.slot).collect();
        found.sort_unstable();
        found.dedup();
        (found, whole)
    }

    /// Each contact that reaches the threshold with its best record, best first.
    fn best_by_contact(&self, query: &MatchQuery, scores: &[(u32, Option<Scored>)]) -> Vec<Hit> {
        let floor = floor(query);
        let mut best: BTreeMap<EntityId, Hit> = BTreeMap::new();
        let scored = scores.iter().filter_map(|(slot, scored)| Some((slot, scored.as_ref()?)));
        for (slot, scored) in scored.filter(|(_, scored)| scored.weight >= floor) {
            let Some(contact) = self.shard.slot(*slot).and_then(|at| at.entity) else { continue };
            let known = best.get(&contact);
            let unseen = |entity: &Entity| entity.deleted || self.shard.is_restricted(entity);
            let hidden = || self.shard.entity(contact).is_none_or(|entity| unseen(entity));
            let better = match known {
                Some(known) => known.scored.weight < scored.weight,
                None => !query.exclude.contains(&contact) && !hidden(),
            };
            if better {
                best.insert(contact, Hit { contact, slot: *slot, scored: *scored });
            }
        }
        let mut best: Vec<Hit> = best.into_values().collect();
        let key = |slot: u32| self.shard.evidence(slot).map(|version| &version.stored.key);
        best.sort_by(|a, b| b.scored.weight.cmp(&a.scored.weight).then_with(|| key(a.slot).cmp(&key(b.slot))));
        best
    }

    fn candidate(
        &self,
        overlay: &Overlay<'_>,
        asked: &Asked,
        exact: &[(u32, Kinds)],
        hit: &Hit,
        level: ExplainLevel,
    ) -> Option<Candidate> {
        let version = self.shard.evidence(hit.slot)?;
        let (explanation, match_key) = match level {
            ExplainLevel::None => (None, self.match_key(overlay, &asked.version, version)),
            ExplainLevel::Full | ExplainLevel::Summary => {
                let mut whole = self.explain(overlay, &asked.version, version);
                let match_key = whole.match_key();
                whole.parts.retain(|part| level == ExplainLevel::Full || part.weight.0 != 0);
                (Some(whole), match_key)
            }
        };
        let at = exact.binary_search_by_key(&hit.slot, |(slot, _)| *slot).ok().and_then(|at| exact.get(at));
        let mut found_by: Vec<&'static str> =
            at.into_iter().flat_map(|(_, kinds)| kinds).map(|kind| kind_word(*kind)).collect();
        if found_by.is_empty() {
            found_by.push("similar_name");
        }
        Some(Candidate {
            contact_id: hit.contact,
            record_id: version.stored.record_id,
            score: hit.scored.weight.probability(),
            weight_bits: hit.scored.weight.bits(),
            grade: self.grade(hit.scored),
            match_key,
            contact: self.contact(hit.contact).ok()?,
            explanation,
            found_by,
        })
    }

    /// What speaks for and against, without the values that were compared: they are most of an explanation's cost.
    fn match_key(&self, overlay: &Overlay<'_>, a: &Version, b: &Version) -> String {
        let unseen = Normalized::default();
        explain(&self.shard.model, overlay, &a.features, &b.features, &unseen, &unseen).match_key()
    }
}

/// What an upsert would decide: the same code, on the same overlay.
fn decision(overlay: Overlay<'_>, asked: &Asked, exact: &[(u32, Kinds)], scores: Scores) -> Verdict {
    match overlay.outlook(asked.slot, &asked.version, exact, scores) {
        Outlook::Joins => Verdict::Match,
        Outlook::Asks => Verdict::Review,
        Outlook::Alone => Verdict::NoMatch,
    }
}

/// The least weight that an answer shows.
fn floor(query: &MatchQuery) -> Millibits {
    if query.threshold > 0.0 { Millibits::from_probability(query.threshold.max(1e-9)) } else { Millibits(i32::MIN) }
}

/// Whether two given names sound alike.
fn same_given_code(asked: &Version, other: &Version) -> bool {
    other.given_code() != 0 && other.given_code() == asked.given_code()
}
