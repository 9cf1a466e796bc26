//! Erasing a person: their records are withdrawn, whoever they held together is resolved anew, and the rest is forgotten.
//!
//! What belongs to a contact: the records it shows, those that its sources withdrew while it had them, edits by hand, and
//! all this of every id that was merged into it. A record that a person split off belongs to somebody else by now.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::model::event::{Erased, Event, RecordDeleted};
use crate::model::ids::{EntityId, EraseId, Millis, ReviewId};
use crate::resolve::change::{Edits, NewId, resolve};
use crate::resolve::upsert::{Now, Step, push_resolved};
use crate::store::shard::{Entity, Review, Shard};

/// What erasing somebody takes.
#[derive(Clone, Debug)]
pub struct Erasing {
    /// What to append and apply, in order; one command.
    pub steps: Vec<Step>,
    /// The erasure's id.
    pub erase_id: EraseId,
}

/// Erases a contact, soft-deleted or not, also one whose records are all withdrawn.
///
/// # Errors
/// `NotFound` for an unknown id, `Moved` for a merged one, `Gone` for one that was erased before.
pub fn erase(shard: &Shard, contact: EntityId, now: Now<'_>, new_id: &mut NewId<'_>) -> Result<Erasing> {
    let unknown = || Error::NotFound { code: "contact_unknown", what: "contact".into() };
    let entity = shard.entity(contact).ok_or_else(unknown)?;
    if shard.is_erased(contact) {
        return Err(Error::Gone);
    }
    if entity.redirect.is_some() {
        return Err(Error::Moved { survivor: shard.resolve_id(contact).ok_or_else(unknown)? });
    }
    let contacts = ids_of(shard, entity);
    let slots = slots_of(shard, entity, &contacts);
    let (at, actor) = (now.at, now.actor.to_owned());
    let edits = Edits {
        records: slots.iter().filter(|slot| shard.evidence(**slot).is_some()).map(|slot| (*slot, None)).collect(),
        ..Edits::default()
    };
    let resolution = resolve(shard, &edits, new_id);
    let present = slots.iter().filter_map(|slot| shard.slot(*slot)).filter(|at| at.current.is_some());
    let withdrawn = |record_id| Event::RecordDeleted(RecordDeleted { record_id, at, actor: actor.clone() });
    let mut steps: Vec<Step> = present.map(|at| Step::Event(withdrawn(at.record_id))).collect();
    push_resolved(&mut steps, resolution, now);
    let erase_id = EraseId(new_id());
    let records = slots.iter().filter_map(|slot| shard.slot(*slot)).map(|at| at.record_id).collect();
    let reviews = Vec::new();
    steps.push(Step::Event(Event::Erased(Erased { erase_id, contacts, records, reviews, at, actor })));
    Ok(Erasing { steps, erase_id })
}

/// The contact's id and every id that leads to it.
pub(crate) fn ids_of(shard: &Shard, entity: &Entity) -> Vec<EntityId> {
    let mut found = vec![entity.id];
    let mut at = 0;
    while let Some(id) = found.get(at).copied() {
        at += 1;
        let absorbed = shard.entity(id).map(|entity| entity.absorbed.clone()).unwrap_or_default();
        found.extend(absorbed);
    }
    found
}

/// The slots of everything that was said about the person, ascending.
pub(crate) fn slots_of(shard: &Shard, entity: &Entity, contacts: &[EntityId]) -> BTreeSet<u32> {
    let mut slots: BTreeSet<u32> = entity.members.iter().copied().chain(shard.manual_slots(entity)).collect();
    let withdrawn = shard.slots.iter().zip(0u32..).filter(|(at, _)| at.current.is_none() && at.entity.is_none());
    let theirs =
        withdrawn.filter(|(at, _)| at.once().last().or(at.native.as_ref()).is_some_and(|id| contacts.contains(id)));
    slots.extend(theirs.map(|(_, slot)| slot));
    slots
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The contacts that were soft-deleted so long ago that they are to be erased, `most` at most.
pub fn due_contacts(shard: &Shard, now: Millis, most: usize) -> Vec<EntityId> {
    let Some(until) = before(now, shard.settings.retention.deleted_days) else { return Vec::new() };
    let is_due = |id: &EntityId| {
        let old = |entity: &Entity| entity.deleted && entity.redirect.is_none() && entity.updated_at <= until;
        shard.entity(*id).is_some_and(|entity| old(entity)) && !shard.is_erased(*id)
    };
    shard.entity_order.iter().copied().filter(is_due).take(most).collect()
}

/// The reviews that were closed so long ago that they are to be erased, in order.
pub fn due_reviews(shard: &Shard, now: Millis) -> Vec<ReviewId> {
    let Some(until) = before(now, shard.settings.retention.reviews_days) else { return Vec::new() };
    let closed_at = |review: &Review| review.answer.as_ref().map_or(review.at, |answer| answer.at);
    let due = shard.reviews.values().filter(|one| !one.status.is_open() && closed_at(one) <= until);
    let mut due: Vec<ReviewId> = due.map(|one| one.id).collect();
    due.sort_unstable();
    due
}

/// The moment so many days ago; `None` for 0 days, which is for ever.
pub fn before(now: Millis, days: u32) -> Option<Millis> {
    (days > 0).then(|| Millis(now.0.saturating_sub(i64::from(days) * DAY_MS)))
}
