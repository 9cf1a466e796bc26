//! Groups: putting one, and deleting one from every contact that shows it. Pure, like every decision.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::model::event::{Event, GoldenChanged, GroupDeleted, GroupPut};
use crate::model::ids::EntityId;
use crate::resolve::edit::versions;
use crate::resolve::survive::{Rules, golden};
use crate::resolve::upsert::{Now, Step};
use crate::store::apply::is_live;
use crate::store::groups::slug;
use crate::store::shard::{Entity, Shard};

/// Groups of a tenant that were put or deleted at most.
pub const GROUPS_MAX: usize = 10_000;

/// The live contacts whose records name a group, deleted or not, in the order they were first seen.
pub fn naming<'a>(shard: &'a Shard, wanted: &str) -> Vec<&'a Entity> {
    let names = |entity: &Entity| {
        let (sources, manual) = versions(shard, entity);
        let mut groups = sources.iter().chain(&manual).flat_map(|version| &version.put.record.fields.groups);
        groups.any(|group| slug(group) == wanted)
    };
    let ids: Vec<EntityId> = shard.entity_order.iter().copied().collect();
    let live = |id: &EntityId| shard.entity(*id).map(|entity| &**entity).filter(|entity| is_live(entity));
    ids.par_iter().filter_map(live).filter(|entity| names(entity)).collect()
}

/// The spelling of a group in what a contact shows; `None`: it does not show it.
pub fn shown(shard: &Shard, entity: &Entity, wanted: &str) -> Option<String> {
    let (sources, manual) = versions(shard, entity);
    let groups = golden(&sources, &manual, Rules::of(shard)).fields.groups;
    groups.into_iter().find(|group| slug(group) == wanted)
}

/// Gives a group its name; one that was deleted is shown again by the contacts whose records name it. Returns the
/// contacts that change. What changes nothing makes no event.
///
/// # Errors
/// `Conflict` with code `groups_full`.
pub fn put(
    shard: &Shard,
    slug: &str,
    name: &str,
    description: Option<&str>,
    now: Now<'_>,
) -> Result<(Vec<Step>, Vec<EntityId>)> {
    let known = shard.groups.get(slug);
    let same = |group: &&crate::store::groups::Group| {
        !group.is_gone() && group.name == name && group.description.as_deref() == description
    };
    if known.filter(same).is_some() {
        return Ok((Vec::new(), Vec::new()));
    }
    if known.is_none() && shard.groups.len() >= GROUPS_MAX {
        return Err(full());
    }
    let put = GroupPut {
        slug: slug.to_owned(),
        name: name.to_owned(),
        description: description.map(str::to_owned),
        at: now.at,
        actor: now.actor.to_owned(),
    };
    let back = known.is_some_and(crate::store::groups::Group::is_gone);
    let contacts = if back { changed(shard, Event::GroupPut(put.clone()), slug) } else { Vec::new() };
    Ok((steps(Event::GroupPut(put), &contacts, now), contacts))
}

/// Deletes a group: no contact shows it from now on, whatever its records say, until it is put again. Returns the contacts
/// that showed it.
///
/// # Errors
/// `NotFound` when there is no such group.
pub fn delete(shard: &Shard, slug: &str, now: Now<'_>) -> Result<(Vec<Step>, Vec<EntityId>)> {
    let known = shard.groups.get(slug);
    let unknown = || Error::NotFound { code: "group_unknown", what: "group".into() };
    if known.is_some_and(crate::store::groups::Group::is_gone) {
        return Err(unknown());
    }
    let gone = GroupDeleted { slug: slug.to_owned(), at: now.at, actor: now.actor.to_owned() };
    let contacts = changed(shard, Event::GroupDeleted(gone.clone()), slug);
    if known.is_none() && contacts.is_empty() {
        return Err(unknown());
    }
    if known.is_none() && shard.groups.len() >= GROUPS_MAX {
        return Err(full());
    }
    Ok((steps(Event::GroupDeleted(gone), &contacts, now), contacts))
}

fn full() -> Error {
    let reason = format!(
        "{GROUPS_MAX} groups were put or deleted, which is the most; a group needs to be put only to name or describe it"
    );
    Error::Conflict { code: "groups_full", reason, holder: None }
}

/// The contacts that show other groups after an event.
fn changed(shard: &Shard, event: Event, slug: &str) -> Vec<EntityId> {
    let mut after = shard.clone();
    after.apply(event);
    let differs = |entity: &&&Entity| shown(shard, entity, slug) != shown(&after, entity, slug);
    naming(shard, slug).iter().filter(differs).map(|entity| entity.id).collect()
}

fn steps(event: Event, contacts: &[EntityId], now: Now<'_>) -> Vec<Step> {
    let mut steps = vec![Step::Event(event)];
    if !contacts.is_empty() {
        let changed = GoldenChanged { contacts: contacts.to_vec(), at: now.at, actor: now.actor.to_owned() };
        steps.push(Step::Event(Event::GoldenChanged(changed)));
    }
    steps
}
