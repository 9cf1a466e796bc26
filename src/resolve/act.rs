//! What people ask for: merge, undo, split, answer a review, delete, restore, edit.
//!
//! A manual merge is a `same`, undoing any merge is a `different` across its two sides (without
//! remembering it, the evidence would join them again at once), a split is a `different` too. So the
//! partition stays a function of records and judgements, and every act goes through [`resolve`].

use std::sync::Arc;

use hashbrown::HashSet;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::model::event::{
    DiscoverySet, EntityMarked, Event, FreeMailRefused, GoldenChanged, Judged, JudgementWithdrawn, MergeUndone, Merged,
    PrivacySet, RetentionSet, ReviewDecided, ReviewNoted, SettingsSet, SurvivorshipSet,
};
use crate::model::ids::{EntityId, JudgementId, MergeId, RecordId, ReviewId};
use crate::model::settings::{Privacy, Retention, Settings};
use crate::resolve::change::{Edits, NewId, Resolution, resolve, resolve_all};
use crate::resolve::edit::versions;
use crate::resolve::restrict::restricted;
use crate::resolve::survive::golden;
use crate::resolve::upsert::{Now, Step, push_resolved};
use crate::store::apply::is_live;
use crate::store::judge::{Judgement, Judgements, Verdict};
use crate::store::shard::{Entity, Review, Shard};

/// What an act would do.
#[derive(Clone, Debug, Default)]
pub struct Act {
    /// What to append and apply, in order; one command.
    pub steps: Vec<Step>,
    /// Contacts concerned, the one that stays first.
    pub contacts: Vec<EntityId>,
    /// For merges: the first merge's id.
    pub merge: Option<MergeId>,
    /// The shard after the first step, where making it was the work.
    pub after: Option<Box<Shard>>,
}

/// A live contact by an id that is not redirected.
///
/// # Errors
/// `NotFound` for an unknown id, `Moved` for a merged one, `Gone` for one that was erased.
pub fn live(shard: &Shard, id: EntityId) -> Result<&Entity> {
    let unknown = || Error::NotFound { code: "contact_unknown", what: "contact".into() };
    let entity = shard.entity(id).ok_or_else(unknown)?;
    if shard.is_erased(id) {
        return Err(Error::Gone);
    }
    if entity.redirect.is_some() {
        let survivor = shard.resolve_id(id).ok_or_else(unknown)?;
        return Err(Error::Moved { survivor });
    }
    if entity.members.is_empty() {
        return Err(unknown());
    }
    Ok(entity)
}

fn records(shard: &Shard, entity: &Entity) -> Vec<RecordId> {
    entity.members.iter().filter_map(|slot| shard.slot(*slot).map(|at| at.record_id)).collect()
}

/// Refuses records of two users of a directory: an account is one person's, and who has two signed up twice.
fn one_user(shard: &Shard, records: &[RecordId]) -> Result<()> {
    let versions = records.iter().filter_map(|record| shard.evidence(shard.slot_of(*record)?));
    let mut users: Vec<u64> = versions.map(|version| version.features.user()).filter(|user| *user != 0).collect();
    users.sort_unstable();
    users.dedup();
    match users.len() {
        0 | 1 => Ok(()),
        several => Err(conflict(
            "users_differ",
            format!(
                "these contacts are {several} users of the directory, which are never merged; close the others first"
            ),
        )),
    }
}

/// Says that contacts are one person.
///
/// # Errors
/// `Invalid` for fewer than two, `NotFound` and `Moved` for ids, `Conflict` when people said otherwise.
pub fn merge(
    shard: &Shard,
    contacts: &[EntityId],
    survivor: Option<EntityId>,
    reason: Option<&str>,
    now: Now<'_>,
    new_id: &mut NewId<'_>,
) -> Result<Act> {
    let mut ids = contacts.to_vec();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < 2 {
        return Err(Error::invalid("contact_ids", "name at least two different contacts"));
    }
    let entities: Vec<&Entity> = ids.iter().map(|id| live(shard, *id)).collect::<Result<_>>()?;
    if let Some(held) = entities.iter().find(|entity| shard.is_restricted(entity)) {
        return Err(restricted(held.id));
    }
    let survivor = survivor.or(ids.first().copied()).unwrap_or(EntityId(0));
    let stays = entities.iter().find(|entity| entity.id == survivor);
    let stays = stays.ok_or_else(|| Error::invalid("survivor", "must be one of contact_ids"))?;
    let all: Vec<RecordId> = entities.iter().flat_map(|entity| records(shard, entity)).collect();
    one_user(shard, &all)?;
    let id = JudgementId(new_id());
    let judgement = Judgement { id, at: now.at, verdict: Verdict::Same(all.clone()) };
    if let Some(chain) = shard.judgements.contradiction(&judgement, &|record| is_evidence(shard, record)) {
        return Err(Error::Conflict {
            code: "judged_different",
            reason: format!(
                "somebody judged records of these contacts different ({} records in the chain); undo that first",
                chain.len()
            ),
            holder: None,
        });
    }
    let pins = stays.members.iter().map(|slot| (*slot, survivor)).collect();
    let edits = with_judgement(shard, judgement, all.clone(), pins);
    let mut resolution = resolve(shard, &edits, new_id);
    for merged in &mut resolution.resolved.merges {
        if ids.contains(&merged.loser) {
            merged.judgement = Some(id);
            merged.reason = reason.map(str::to_owned);
        }
    }
    let merge = resolution.resolved.merges.iter().find(|m| ids.contains(&m.loser)).map(|m| m.merge_id);
    let judged = judged(id, true, all, Vec::new(), reason, now);
    let mut contacts = vec![survivor];
    contacts.extend(ids.into_iter().filter(|id| *id != survivor));
    Ok(Act { steps: steps(vec![Event::Judged(judged)], resolution, now), contacts, merge, ..Act::default() })
}

/// Undoes one merge, exactly, also after later edits.
///
/// # Errors
/// `NotFound`; `Conflict` when it is undone already or the tenant's window is over.
pub fn undo(shard: &Shard, merge: MergeId, now: Now<'_>, new_id: &mut NewId<'_>) -> Result<Act> {
    let unknown = || Error::NotFound { code: "merge_unknown", what: "merge".into() };
    let entry = shard.merges.get(&merge).ok_or_else(unknown)?;
    if shard.is_erased(entry.merged.survivor) || shard.is_erased(entry.merged.loser) {
        return Err(Error::Gone);
    }
    if entry.undone_at.is_some() {
        return Err(conflict("already_undone", "this merge was undone before".into()));
    }
    let window_ms = i64::from(shard.settings.rollback_days) * 24 * 3600 * 1000;
    if now.at.0 - entry.at.0 > window_ms {
        let days = shard.settings.rollback_days;
        return Err(conflict(
            "undo_window_over",
            format!("merges can be undone for {days} days; split the contact instead"),
        ));
    }
    let merged = &entry.merged;
    let id = JudgementId(new_id());
    let verdict = Verdict::Different(merged.left.clone(), merged.right.clone());
    let mut judgements = shard.judgements.clone();
    let mut events = Vec::new();
    let mut all: Vec<RecordId> = merged.left.iter().chain(&merged.right).copied().collect();
    for same in judgements_behind(shard, merged) {
        judgements.withdraw(same);
        let gone = JudgementWithdrawn { judgement_id: same, at: now.at, actor: now.actor.to_owned() };
        events.push(Event::JudgementWithdrawn(gone));
    }
    for set in other_sides(shard, merged) {
        let id = JudgementId(new_id());
        judgements.add(Judgement { id, at: now.at, verdict: Verdict::Same(set.clone()) });
        all.extend(&set);
        events.push(Event::Judged(judged(id, true, set, Vec::new(), merged.reason.as_deref(), now)));
    }
    judgements.add(Judgement { id, at: now.at, verdict });
    let pins = pins_of_undo(shard, merged);
    let edits = Edits { judgements: Some(judgements), judged: all, pins, ..Edits::default() };
    let resolution = resolve(shard, &edits, new_id);
    let mut contacts = contacts_of(shard, &resolution, &merged.left);
    contacts.extend(contacts_of(shard, &resolution, &merged.right));
    contacts.dedup();
    events.push(Event::Judged(judged(id, false, merged.left.clone(), merged.right.clone(), None, now)));
    events.push(Event::MergeUndone(MergeUndone { merge_id: merge, at: now.at, actor: now.actor.to_owned() }));
    Ok(Act { steps: steps(events, resolution, now), contacts, merge: Some(merge), ..Act::default() })
}

/// The judgements that hold the two sides of a manual merge together: the one that it was made by, and what
/// [`other_sides`] left of it.
fn judgements_behind(shard: &Shard, merged: &Merged) -> Vec<JudgementId> {
    let Some(made_by) = merged.judgement else { return Vec::new() };
    let sorted = |mut set: Vec<RecordId>| {
        set.sort_unstable();
        set
    };
    let sides = sorted([merged.left.as_slice(), merged.right.as_slice()].concat());
    let about = merged.left.first().map_or(&[][..], |record| shard.judgements.of(*record));
    let is_behind = |judgement: &&Arc<Judgement>| match &judgement.verdict {
        Verdict::Same(set) => judgement.id == made_by || sorted(set.clone()) == sides,
        Verdict::Different(..) => false,
    };
    about.iter().filter(is_behind).map(|judgement| judgement.id).collect()
}

/// One act can merge several contacts under one judgement. When one of these merges is undone, the others
/// stand: here are their two sides, each pair to be judged the same anew.
fn other_sides(shard: &Shard, undone: &Merged) -> Vec<Vec<RecordId>> {
    let Some(made_by) = undone.judgement.filter(|id| shard.judgements.get(*id).is_some()) else { return Vec::new() };
    let entries = shard.merge_order.iter().filter_map(|id| shard.merges.get(id));
    let others = entries.filter(|entry| entry.undone_at.is_none() && entry.merged.merge_id != undone.merge_id);
    let same_act = others.filter(|entry| entry.merged.judgement == Some(made_by));
    same_act.map(|entry| [entry.merged.left.as_slice(), entry.merged.right.as_slice()].concat()).collect()
}

/// Of the records that are still together, the survivor's keep its id, and the loser's get the loser's back
/// unless that names somebody again by now.
fn pins_of_undo(shard: &Shard, merged: &Merged) -> Vec<(u32, EntityId)> {
    let names = |id: EntityId| shard.entity(id).is_some_and(|entity| entity.redirect.is_none());
    if !names(merged.survivor) {
        return Vec::new();
    }
    let together = |slot: &u32| shard.slot(*slot).is_some_and(|at| at.entity == Some(merged.survivor));
    let slots = |records: &[RecordId]| -> Vec<u32> {
        records.iter().filter_map(|record| shard.slot_of(*record)).filter(together).collect()
    };
    let mut pins: Vec<(u32, EntityId)> = slots(&merged.left).into_iter().map(|slot| (slot, merged.survivor)).collect();
    if shard.entity(merged.loser).is_some_and(|entity| entity.redirect.is_some()) {
        pins.extend(slots(&merged.right).into_iter().map(|slot| (slot, merged.loser)));
    }
    pins
}

/// Takes records out of a contact, remembered.
///
/// # Errors
/// `Invalid` when the records are not in the contact, or are all of it.
pub fn split(shard: &Shard, contact: EntityId, out: &[RecordId], now: Now<'_>, new_id: &mut NewId<'_>) -> Result<Act> {
    let entity = live(shard, contact)?;
    let all = records(shard, entity);
    if let Some(stranger) = out.iter().find(|record| !all.contains(record)) {
        return Err(Error::invalid("record_ids", format!("{stranger} is not a record of this contact")));
    }
    let rest: Vec<RecordId> = all.iter().filter(|record| !out.contains(record)).copied().collect();
    if out.is_empty() || rest.is_empty() {
        return Err(Error::invalid("record_ids", "name some of the contact's records, not none and not all"));
    }
    let mut judgements = shard.judgements.clone();
    let id = JudgementId(new_id());
    judgements.add(Judgement { id, at: now.at, verdict: Verdict::Different(out.to_vec(), rest.clone()) });
    let mut events = vec![Event::Judged(judged(id, false, out.to_vec(), rest.clone(), None, now))];
    if out.len() > 1 {
        let id = JudgementId(new_id());
        judgements.add(Judgement { id, at: now.at, verdict: Verdict::Same(out.to_vec()) });
        events.push(Event::Judged(judged(id, true, out.to_vec(), Vec::new(), None, now)));
    }
    let edits = Edits { judgements: Some(judgements), judged: all, ..Edits::default() };
    let resolution = resolve(shard, &edits, new_id);
    let mut contacts = contacts_of(shard, &resolution, &rest);
    contacts.extend(contacts_of(shard, &resolution, out));
    contacts.dedup();
    Ok(Act { steps: steps(events, resolution, now), contacts, ..Act::default() })
}

/// Answers a review: 0 same, 1 different, 2 unsure.
///
/// # Errors
/// `NotFound`; `Conflict` when it is closed already.
pub fn decide(
    shard: &Shard,
    review: ReviewId,
    decision: u8,
    reason: Option<&str>,
    now: Now<'_>,
    new_id: &mut NewId<'_>,
) -> Result<Act> {
    let unknown = || Error::NotFound { code: "review_unknown", what: "review".into() };
    let entry = open_review(shard, review)?;
    let side = |slot: u32| {
        let id = shard.slot(slot).and_then(|at| at.entity).and_then(|id| shard.resolve_id(id));
        id.and_then(|id| shard.entity(id)).cloned()
    };
    let (left, right) = side(entry.slots.0).zip(side(entry.slots.1)).ok_or_else(unknown)?;
    let decided = Event::ReviewDecided(ReviewDecided {
        review_id: review,
        decision,
        at: now.at,
        actor: now.actor.to_owned(),
        reason: reason.map(str::to_owned),
    });
    let contacts = vec![left.id, right.id];
    match decision {
        0 if left.id != right.id => {
            let act = merge(shard, &contacts, None, reason, now, new_id)?;
            let mut steps = vec![Step::Event(decided)];
            steps.extend(act.steps.into_iter().map(|step| without_review(step, review)));
            Ok(Act { steps, contacts: act.contacts, merge: act.merge, ..Act::default() })
        }
        1 => {
            let (left, right) = (records(shard, &left), records(shard, &right));
            let id = JudgementId(new_id());
            let verdict = Verdict::Different(left.clone(), right.clone());
            let all = left.iter().chain(&right).copied().collect();
            let edits = with_judgement(shard, Judgement { id, at: now.at, verdict }, all, Vec::new());
            let resolution = resolve(shard, &edits, new_id);
            let events = vec![decided, Event::Judged(judged(id, false, left, right, reason, now))];
            let steps = steps(events, resolution, now);
            let steps = steps.into_iter().map(|step| without_review(step, review)).collect();
            Ok(Act { steps, contacts, ..Act::default() })
        }
        _ => Ok(Act { steps: vec![Step::Event(decided)], contacts, ..Act::default() }),
    }
}

/// Assigns an open review or writes a note on it; what is `None` stays. What changes nothing is a command without events.
///
/// # Errors
/// `NotFound`; `Conflict` when it is closed already.
pub fn note(
    shard: &Shard,
    review: ReviewId,
    assignee: Option<Option<&str>>,
    note: Option<Option<&str>>,
    now: Now<'_>,
) -> Result<Act> {
    let entry = open_review(shard, review)?;
    let after = |said: Option<Option<&str>>, before: &Option<String>| match said {
        Some(said) => said.map(str::to_owned),
        None => before.clone(),
    };
    let (assignee, note) = (after(assignee, &entry.assignee), after(note, &entry.note));
    if (&assignee, &note) == (&entry.assignee, &entry.note) {
        return Ok(Act::default());
    }
    let noted = ReviewNoted { review_id: review, assignee, note, at: now.at, actor: now.actor.to_owned() };
    Ok(Act { steps: vec![Step::Event(Event::ReviewNoted(noted))], ..Act::default() })
}

/// A review that waits for an answer.
fn open_review(shard: &Shard, review: ReviewId) -> Result<&Review> {
    let unknown = || Error::NotFound { code: "review_unknown", what: "review".into() };
    let entry = shard.reviews.get(&review).ok_or_else(unknown)?;
    if !entry.status.is_open() {
        return Err(conflict("review_closed", format!("this review is closed: {}", entry.status.word())));
    }
    Ok(entry)
}

/// The answered review is closed by its answer, not withdrawn by what follows from it.
fn without_review(step: Step, review: ReviewId) -> Step {
    match step {
        Step::Event(Event::Resolved(mut resolved)) => {
            resolved.reviews_gone.retain(|gone| *gone != review);
            Step::Event(Event::Resolved(resolved))
        }
        other @ (Step::Put(_) | Step::Event(_)) => other,
    }
}

/// Soft-deletes or restores a contact.
///
/// # Errors
/// `NotFound` and `Moved` for ids.
pub fn mark(shard: &Shard, contact: EntityId, deleted: bool, now: Now<'_>) -> Result<Act> {
    let entity = live(shard, contact)?;
    let event = EntityMarked { entity: contact, deleted, at: now.at, actor: now.actor.to_owned() };
    let steps = if entity.deleted == deleted { Vec::new() } else { vec![Step::Event(Event::EntityMarked(event))] };
    Ok(Act { steps, contacts: vec![contact], ..Act::default() })
}

fn with_judgement(shard: &Shard, judgement: Judgement, judged: Vec<RecordId>, pins: Vec<(u32, EntityId)>) -> Edits {
    let mut judgements: Judgements = shard.judgements.clone();
    judgements.add(judgement);
    Edits { records: Vec::new(), judgements: Some(judgements), judged, pins }
}

fn judged(
    judgement_id: JudgementId,
    same: bool,
    left: Vec<RecordId>,
    right: Vec<RecordId>,
    reason: Option<&str>,
    now: Now<'_>,
) -> Judged {
    let (at, actor, reason) = (now.at, now.actor.to_owned(), reason.map(str::to_owned));
    Judged { judgement_id, same, left, right, at, actor, reason }
}

fn steps(events: Vec<Event>, resolution: Resolution, now: Now<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = events.into_iter().map(Step::Event).collect();
    push_resolved(&mut steps, resolution, now);
    steps
}

/// Replaces the tenant's settings, resolves everything anew where they decide, and names the contacts that show other
/// values now. The contacts are those that changed.
pub fn settings(shard: &Shard, settings: Settings, now: Now<'_>, new_id: &mut NewId<'_>) -> Act {
    let decides = |s: &Settings| {
        let users = s.discovery.users.clone();
        (s.review.to_bits(), s.auto.to_bits(), s.business_keys, s.generic_max, s.holders_max, users)
    };
    let same = decides(&shard.settings) == decides(&settings);
    let survivorship = survivorship_set(&shard.settings, &settings, now);
    let free_mail = free_mail_refused(&shard.settings, &settings, now);
    let retention = retention_set(shard.settings.retention, settings.retention, now);
    let privacy = privacy_set(&shard.settings, &settings, now);
    let discovery = discovery_set(&shard.settings, &settings, now);
    let changed = survivorship.as_ref().map_or_else(Vec::new, |_| changed_golden(shard, &settings));
    let set = Event::SettingsSet(Box::new(SettingsSet { settings, at: now.at, actor: now.actor.to_owned() }));
    let mut resolution = Resolution::default();
    if !same {
        let mut after = shard.clone();
        after.apply(set.clone());
        discovery.iter().for_each(|set| after.apply(set.clone()));
        resolution = resolve_all(&after, new_id);
    }
    let mut contacts: Vec<EntityId> = resolution.resolved.groups.iter().map(|group| group.entity).collect();
    let regrouped: HashSet<EntityId> = contacts.iter().copied().collect();
    let changed: Vec<EntityId> = changed.into_iter().filter(|id| !regrouped.contains(id)).collect();
    contacts.extend(&changed);
    contacts.sort_unstable();
    contacts.dedup();
    let mut events = vec![set];
    events.extend(survivorship);
    events.extend(free_mail);
    events.extend(retention);
    events.extend(privacy);
    events.extend(discovery);
    if !changed.is_empty() {
        let changed = GoldenChanged { contacts: changed, at: now.at, actor: now.actor.to_owned() };
        events.push(Event::GoldenChanged(changed));
    }
    Act { steps: steps(events, resolution, now), contacts, ..Act::default() }
}

/// The event for another word on free mail; `None`: it stays.
fn free_mail_refused(before: &Settings, after: &Settings, now: Now<'_>) -> Option<Event> {
    let refused = after.refuse_free_mail;
    let set = || Event::FreeMailRefused(FreeMailRefused { refused, at: now.at, actor: now.actor.to_owned() });
    (before.refuse_free_mail != refused).then(set)
}

/// The event for another word on retention; `None`: it stays.
fn retention_set(before: Retention, after: Retention, now: Now<'_>) -> Option<Event> {
    let Retention { deleted_days, reviews_days, imports_days } = after;
    let (at, actor) = (now.at, now.actor.to_owned());
    let set = RetentionSet { deleted_days, reviews_days, imports_days, at, actor };
    (before != after).then_some(Event::RetentionSet(set))
}

/// The event for another declaration of the controller; `None`: it stays.
fn privacy_set(before: &Settings, after: &Settings, now: Now<'_>) -> Option<Event> {
    if before.privacy == after.privacy {
        return None;
    }
    let Privacy { controller, contact, purposes, subjects, third_countries, audit_days } = after.privacy.clone();
    let (at, actor) = (now.at, now.actor.to_owned());
    let set = PrivacySet { controller, contact, purposes, subjects, third_countries, audit_days, at, actor };
    Some(Event::PrivacySet(Box::new(set)))
}

/// The event for another part in discovery; `None`: it stays.
fn discovery_set(before: &Settings, after: &Settings, now: Now<'_>) -> Option<Event> {
    let set = || DiscoverySet { discovery: after.discovery.clone(), at: now.at, actor: now.actor.to_owned() };
    (before.discovery != after.discovery).then(|| Event::DiscoverySet(Box::new(set())))
}

/// The event for other rules; `None`: golden values are picked as before.
fn survivorship_set(before: &Settings, after: &Settings, now: Now<'_>) -> Option<Event> {
    let picks = |s: &Settings| (s.survivorship.clone(), s.source_trust.clone());
    if picks(before) == picks(after) {
        return None;
    }
    let rules = after.survivorship.chosen().map(|(field, rule)| (field.to_owned(), rule)).collect();
    let (source_trust, at, actor) = (after.source_trust.clone(), now.at, now.actor.to_owned());
    Some(Event::SurvivorshipSet(Box::new(SurvivorshipSet { rules, source_trust, at, actor })))
}

/// The live contacts that show other values under other settings, in the order they were first seen.
fn changed_golden(shard: &Shard, settings: &Settings) -> Vec<EntityId> {
    let differs = |id: &EntityId| {
        let entity = shard.entity(*id).filter(|entity| is_live(entity))?;
        let (sources, manual) = versions(shard, entity);
        // One record alone has nothing to choose from.
        let choice = sources.len() + manual.len() > 1;
        let shown = |settings: &Settings| golden(&sources, &manual, settings.into()).fields;
        (choice && shown(&shard.settings) != shown(settings)).then_some(*id)
    };
    let ids: Vec<EntityId> = shard.entity_order.iter().copied().collect();
    ids.par_iter().filter_map(differs).collect()
}

/// Where records are after a change, each contact once.
fn contacts_of(shard: &Shard, resolution: &Resolution, of: &[RecordId]) -> Vec<EntityId> {
    let mut found = Vec::new();
    for slot in of.iter().filter_map(|record| shard.slot_of(*record)) {
        let part = resolution.part_of(slot).map(|(id, _, _)| *id);
        let id = part.or_else(|| shard.slot(slot).and_then(|at| at.entity));
        found.extend(id.filter(|id| !found.contains(id)));
    }
    found
}

fn is_evidence(shard: &Shard, record: RecordId) -> bool {
    shard.slot_of(record).is_some_and(|slot| shard.evidence(slot).is_some())
}

fn conflict(code: &'static str, reason: String) -> Error {
    Error::Conflict { code, reason, holder: None }
}
