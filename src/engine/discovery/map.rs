//! The map of a directory beside its state, and what it tells of each record ([`Told`]): built from a view, then kept in step
//! with every view that is published.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwapOption;
use rayon::prelude::*;
use smallvec::SmallVec;

use crate::discovery::Kind;
use crate::discovery::directory::{Directory, Held, Keys};
use crate::discovery::tag::{Onion, Tag};
use crate::discovery::tagged;
use crate::engine::discovery::told::Told;
use crate::engine::{Core, Tenant, lock};
use crate::error::{Error, Result};
use crate::model::ids::EntityId;
use crate::store::shard::{Entity, Shard};

/// Slots that one thread takes at once while a map is built.
const SLOTS_AT_ONCE: u32 = 1024;
/// Tags of a record, as a guess.
const TAGS_EACH: usize = 3;

/// The maps of one tenant.
#[derive(Default)]
pub(crate) struct Serving {
    /// What look-ups ask; missing: nobody asked yet.
    current: ArcSwapOption<Directory>,
    /// What is told of each record, as of the latest view, or of one that is about to be published. There while a map is.
    told: ArcSwapOption<Told>,
    /// Held while a view is published, so that whoever begins a map knows where it must go on.
    kept: Mutex<Kept>,
    /// Held by the one who builds a map.
    building: Mutex<()>,
}

/// What is kept in step beside the current map.
#[derive(Default)]
pub(crate) struct Kept {
    /// The map of the next epoch.
    next: Option<Arc<Directory>>,
}

impl Serving {
    pub(crate) fn current(&self) -> Option<Arc<Directory>> {
        self.current.load_full()
    }

    /// What is told of each record, if that is as of this view.
    pub(crate) fn told(&self, view: &Shard) -> Option<Arc<Told>> {
        self.told.load_full().filter(|told| told.is_of(view))
    }

    /// Brings the maps from one view to the next. The view is to be published before the guard is dropped.
    pub(crate) fn follow(&self, before: &Shard, after: &Shard) -> MutexGuard<'_, Kept> {
        let mut kept = lock(&self.kept);
        let current = self.current.load();
        if current.is_none() && kept.next.is_none() {
            return kept;
        }
        let (was, is) = (&before.settings.discovery, &after.settings.discovery);
        let starts_anew = after.feed.len() < before.feed.len() || was.tags_only != is.tags_only || is.users.is_none();
        if starts_anew {
            // An erased tenant, or tags of another kind: the next look-up builds it, if there is anything to look up.
            kept.next = None;
            drop(current);
            self.current.store(None);
            self.told.store(None);
            return kept;
        }
        let slots = touched(before, after);
        for map in current.iter().chain(kept.next.iter()) {
            catch_up(map, &slots, before, after);
        }
        let told = self.told(before).map(|told| Arc::new(told.followed(after, slots)));
        debug_assert!(told.is_some() || current.is_none(), "what is told was of another view");
        self.told.store(told);
        kept
    }
}

/// The map, which is built if there is none.
///
/// # Errors
/// `Busy` when the tenant is being erased.
pub(crate) fn current_or_built(core: &Core, tenant: &Tenant) -> Result<Arc<Directory>> {
    let serving = &tenant.discovery.serving;
    if let Some(current) = serving.current() {
        return Ok(current);
    }
    let _one = lock(&serving.building);
    if let Some(current) = serving.current() {
        return Ok(current);
    }
    let base = tenant.view.load_full();
    super::check(&base)?;
    let started = core.world.clock.monotonic();
    let map = built(tenant, &base, base.epochs.tags.number);
    let mut told = Told::of(&base);
    let seen = nearly_current(tenant, &map, base, |after, slots| told = told.followed(after, slots))?;
    let kept = lock(&serving.kept);
    let view = tenant.view.load_full();
    let slots = step(&map, &seen, &view)?;
    serving.told.store(Some(Arc::new(told.followed(&view, slots))));
    serving.current.store(Some(Arc::clone(&map)));
    drop(kept);
    metrics::histogram!("selfsame_directory_build_seconds")
        .record((core.world.clock.monotonic() - started).as_secs_f64());
    Ok(map)
}

/// Builds the map of the next epoch aside, has `put_in_force` make the epoch durable, and swaps.
pub(crate) fn rotate<T>(tenant: &Tenant, put_in_force: impl FnOnce(u32) -> Result<T>) -> Result<T> {
    let serving = &tenant.discovery.serving;
    let _one = lock(&serving.building);
    let base = tenant.view.load_full();
    let epoch = base.epochs.tags.number + 1;
    if serving.current().is_none() {
        // Nobody has asked yet: the first look-up builds it under the new key.
        return put_in_force(epoch);
    }
    let map = built(tenant, &base, epoch);
    let seen = nearly_current(tenant, &map, base, |_, _| ())?;
    {
        let mut kept = lock(&serving.kept);
        step(&map, &seen, &tenant.view.load_full())?;
        kept.next = Some(Arc::clone(&map));
    }
    let done = put_in_force(epoch);
    let mut kept = lock(&serving.kept);
    // What has started anew meanwhile is not put back.
    if let (Some(next), Ok(_)) = (kept.next.take(), &done) {
        serving.current.store(Some(next));
    }
    done
}

/// A map of everything in a view, on all cores.
fn built(tenant: &Tenant, view: &Shard, epoch: u32) -> Arc<Directory> {
    let map = Arc::new(Directory::new(epoch, keys_of(tenant, view, epoch), view.slots.len() * TAGS_EACH));
    (0..view.next_slot()).into_par_iter().with_min_len(SLOTS_AT_ONCE as usize).for_each(|slot| {
        for (tag, is_secondary) in tags_of(map.keys(), view, slot) {
            map.insert(&tag, Held { is_secondary, slot });
        }
    });
    map
}

/// Brings a new map near to what is published, without holding up who publishes, and whatever `follows` from view to view with
/// it. Returns the view that it is as of.
fn nearly_current(
    tenant: &Tenant,
    map: &Directory,
    mut seen: Arc<Shard>,
    mut follows: impl FnMut(&Shard, BTreeSet<u32>),
) -> Result<Arc<Shard>> {
    for _ in 0..3 {
        let now = tenant.view.load_full();
        follows(&now, step(map, &seen, &now)?);
        seen = now;
    }
    Ok(seen)
}

/// Brings a map from one view to another. Returns the slots that were touched in between.
fn step(map: &Directory, before: &Shard, after: &Shard) -> Result<BTreeSet<u32>> {
    if after.feed.len() < before.feed.len() || before.settings.discovery.tags_only != after.settings.discovery.tags_only
    {
        return Err(Error::Busy { retry_after_ms: 100 });
    }
    let slots = touched(before, after);
    catch_up(map, &slots, before, after);
    Ok(slots)
}

fn keys_of(tenant: &Tenant, view: &Shard, epoch: u32) -> Keys {
    let master = &tenant.discovery.master;
    if view.settings.discovery.tags_only {
        Keys::Onion(Onion::new(master, &view.name, 1, epoch))
    } else {
        Keys::Plain(master.tag_key(&view.name, epoch))
    }
}

/// The slots of the contacts that the change feed names between two views, as they were and as they are.
fn touched(before: &Shard, after: &Shard) -> BTreeSet<u32> {
    let mut slots = BTreeSet::new();
    for feed in after.feed.iter_from(before.feed.len()).filter(|feed| !feed.of_accounts) {
        for shard in [before, after] {
            for entity in feed.entities.iter().filter_map(|id| shard.entity(*id)) {
                slots.extend(entity.members.iter().copied().chain(shard.manual_slots(entity)));
            }
        }
    }
    slots
}

/// Takes in what has changed between two views. What stays is never missing in between.
fn catch_up(map: &Directory, slots: &BTreeSet<u32>, before: &Shard, after: &Shard) {
    for &slot in slots {
        let (old, new) = (tags_of(map.keys(), before, slot), tags_of(map.keys(), after, slot));
        for (tag, is_secondary) in new.iter().filter(|one| !old.contains(one)) {
            map.insert(tag, Held { is_secondary: *is_secondary, slot });
        }
        for (tag, is_secondary) in old.iter().filter(|one| !new.contains(one)) {
            map.remove(tag, Held { is_secondary: *is_secondary, slot });
        }
    }
}

/// The contact of a record, edits by hand included.
pub(crate) fn contact_of(shard: &Shard, slot: u32) -> Option<EntityId> {
    let at = shard.slot(slot)?;
    at.entity.or_else(|| at.current.as_ref()?.stored.anchor())
}

/// A tag, and whether it is of another dialect than the primary one.
type Tags = SmallVec<[(Tag, bool); 4]>;

/// The tags of what a record says and an edit by hand has not taken away.
fn tags_of(keys: &Keys, shard: &Shard, slot: u32) -> Tags {
    let Some(version) = shard.slot(slot).and_then(|at| at.current.as_ref()) else { return Tags::new() };
    let entity = contact_of(shard, slot).and_then(|id| shard.resolve_id(id)).and_then(|id| shard.entity(id));
    let hidden = entity.map(|entity| Hidden::of(shard, entity)).unwrap_or_default();
    let mut found = Tags::new();
    let said = version.stored.put().normalized;
    for phone in &said.phones {
        if !hidden.has("phones", &phone.e164) {
            add(&mut found, keys, Kind::Phone, &phone.e164);
        }
    }
    for email in &said.emails {
        if !hidden.has("emails", &email.delivered) {
            add(&mut found, keys, Kind::Email, &email.delivered);
        }
    }
    found
}

fn add(found: &mut Tags, keys: &Keys, kind: Kind, said: &str) {
    let tags: SmallVec<[Tag; 2]> = match tagged::tags(said) {
        Some(first) => first.iter().filter_map(|tag| keys.lift(tag)).collect(),
        None if said.contains(if kind == Kind::Phone { '+' } else { '@' }) => keys.tags(kind, said),
        None => return,
    };
    for (at, tag) in tags.into_iter().enumerate() {
        match found.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, is_secondary)) => *is_secondary &= at > 0,
            None => found.push((tag, at > 0)),
        }
    }
}

/// What edits by hand took away from a contact.
#[derive(Default)]
struct Hidden(Vec<(String, String)>);

impl Hidden {
    fn of(shard: &Shard, entity: &Entity) -> Self {
        if entity.manual.is_none() && entity.absorbed.is_empty() {
            return Self::default();
        }
        let current = |slot: u32| shard.slot(slot).and_then(|at| at.current.as_deref());
        let edits = shard.manual_slots(entity).into_iter().filter_map(current);
        Self(edits.flat_map(|edit| edit.stored.put().suppressed).collect())
    }

    fn has(&self, field: &str, value: &str) -> bool {
        self.0.iter().any(|(name, gone)| name == field && gone == value)
    }
}
