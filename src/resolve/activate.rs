//! Another model decides: what that does to the contacts, as a command, and as a look ahead beside the live state.
//!
//! Both lay the activation over a copy of the shard and resolve everything anew, so a preview shows what an activation
//! at the same seq does, to the contact.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::event::{Event, ModelActivated, Resolved, TrainingEnd};
use crate::model::ids::{EntityId, Millis, ModelId, ReviewId};
use crate::resolve::act::Act;
use crate::resolve::change::{NewId, Resolution, resolve_all};
use crate::resolve::upsert::{Now, Step, push_resolved};
use crate::store::apply::is_live;
use crate::store::shard::{Entity, Shard};

/// Examples of each sort that a preview shows.
pub const EXAMPLES_MAX: usize = 20;

/// Whether a model may be activated.
///
/// # Errors
/// `NotFound` for an unknown id, `Conflict` for a training that ended without a model.
pub fn check(shard: &Shard, id: ModelId) -> Result<()> {
    if id == ModelId::DEFAULT {
        return Ok(());
    }
    let trained = shard.models.get(id).ok_or_else(unknown)?;
    let reason = trained.card.reason.as_deref().unwrap_or("its parts are not all there");
    let conflict = |what: &str| Error::Conflict {
        code: "model_not_ready",
        reason: format!("this training {what}: {reason}; train again, or activate another model"),
        holder: None,
    };
    match trained.card.end {
        TrainingEnd::Refused => Err(conflict("was refused")),
        TrainingEnd::Failed => Err(conflict("failed")),
        TrainingEnd::Ready if trained.parts.len() != trained.card.parts as usize => Err(conflict("is incomplete")),
        TrainingEnd::Ready => Ok(()),
    }
}

/// The error for a model that is not there.
pub fn unknown() -> Error {
    Error::NotFound { code: "model_unknown", what: "model (it may be one of the oldest, which are forgotten)".into() }
}

/// Puts a model in force and resolves everything anew. The one in force is a command without events. The contacts are
/// those that changed.
///
/// # Errors
/// As [`check`].
pub fn activate(shard: &Shard, id: ModelId, now: Now<'_>, new_id: &mut NewId<'_>) -> Result<Act> {
    check(shard, id)?;
    if shard.models.active == id {
        return Ok(Act::default());
    }
    let event = ModelActivated { model_id: id, at: now.at, actor: now.actor.to_owned() };
    let after = with(shard, &event)?;
    let resolution = resolve_all(&after, new_id);
    let mut contacts: Vec<EntityId> = resolution.resolved.groups.iter().map(|group| group.entity).collect();
    contacts.sort_unstable();
    contacts.dedup();
    let mut steps = vec![Step::Event(Event::ModelActivated(event))];
    push_resolved(&mut steps, resolution, now);
    Ok(Act { steps, contacts, merge: None, after: Some(Box::new(after)) })
}

/// The shard with a model in force and its edges and contacts as they were.
fn with(shard: &Shard, event: &ModelActivated) -> Result<Shard> {
    let mut after = shard.clone();
    after.apply(Event::ModelActivated(event.clone()));
    if after.models.active != event.model_id {
        return Err(Error::Conflict {
            code: "model_not_ready",
            reason: "this model cannot be read back; train again".into(),
            holder: None,
        });
    }
    Ok(after)
}

/// How many of something, and some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<T> {
    /// All of them.
    pub count: u64,
    /// At most [`EXAMPLES_MAX`].
    pub examples: Vec<T>,
}

impl<T> Default for Shown<T> {
    fn default() -> Self {
        Self { count: 0, examples: Vec::new() }
    }
}

impl<T> Shown<T> {
    fn add(&mut self, example: impl FnOnce() -> T) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// What activating a model would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The tenant's seq that it is as of.
    pub seq: u64,
    /// Live contacts now.
    pub contacts_now: u64,
    /// Live contacts then.
    pub contacts_then: u64,
    /// Contacts of then that are made of several of now; each example lists those of now.
    pub merge: Shown<Vec<EntityId>>,
    /// Contacts of now whose records would be in several; with how many.
    pub split: Shown<(EntityId, u64)>,
    /// Contacts of now that keep exactly their records.
    pub stay: Shown<EntityId>,
    /// Open reviews now.
    pub reviews_now: u64,
    /// Open reviews then.
    pub reviews_then: u64,
    /// Questions that would be new; each example has the contacts of now on both sides.
    pub reviews_opened: Shown<(EntityId, EntityId)>,
    /// Questions that would no longer arise.
    pub reviews_closed: Shown<ReviewId>,
}

/// Looks ahead: what [`activate`] would do now. Writes nothing; the ids it makes up are thrown away.
///
/// # Errors
/// As [`check`].
pub fn preview(shard: &Shard, id: ModelId) -> Result<Preview> {
    check(shard, id)?;
    let mut after = if shard.models.active == id {
        shard.clone()
    } else {
        with(shard, &ModelActivated { model_id: id, at: Millis(0), actor: String::new() })?
    };
    // Above every id there is, so that new ones are the youngest, as they would be.
    let mut next = u128::MAX / 2;
    let resolution = resolve_all(&after, &mut || {
        next += 1;
        next
    });
    let resolved = resolution.resolved.clone();
    after.apply(Event::Resolved(Box::new(Resolved { at: Millis(0), actor: String::new(), ..resolved })));
    Ok(compare(shard, &after, &resolution))
}

fn compare(now: &Shard, then: &Shard, resolution: &Resolution) -> Preview {
    let mut preview = Preview {
        seq: now.seq.0,
        contacts_now: now.contacts_live,
        contacts_then: then.contacts_live,
        reviews_now: now.reviews_open,
        reviews_then: then.reviews_open,
        ..Preview::default()
    };
    for entity in live(then) {
        let from = contacts_of(now, &entity.members);
        if from.len() > 1 {
            preview.merge.add(|| from.into_iter().collect());
        }
    }
    for entity in live(now) {
        let to = contacts_of(then, &entity.members);
        let whole = to.len() == 1 && to.iter().all(|id| members(then, *id) == entity.members.len());
        if to.len() > 1 {
            preview.split.add(|| (entity.id, to.len() as u64));
        } else if whole {
            preview.stay.add(|| entity.id);
        }
    }
    let contact = |record| now.slot(now.slot_of(record)?)?.entity;
    for review in &resolution.resolved.reviews {
        if let Some(sides) = contact(review.pair.a).zip(contact(review.pair.b)) {
            preview.reviews_opened.add(|| sides);
        }
    }
    for gone in &resolution.resolved.reviews_gone {
        preview.reviews_closed.add(|| *gone);
    }
    preview
}

/// Contacts that callers see, in the order they were first seen.
fn live(shard: &Shard) -> impl Iterator<Item = &Arc<Entity>> {
    shard.entity_order.iter().filter_map(|id| shard.entity(*id)).filter(|entity| is_live(entity))
}

/// The contacts that slots are in.
fn contacts_of(shard: &Shard, slots: &[u32]) -> BTreeSet<EntityId> {
    slots.iter().filter_map(|slot| shard.slot(*slot)?.entity).collect()
}

fn members(shard: &Shard, id: EntityId) -> usize {
    shard.entity(id).map_or(0, |entity| entity.members.len())
}
