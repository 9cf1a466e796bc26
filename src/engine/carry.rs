//! After a restore of an earlier moment: who was erased, opted out or was restricted since stays so.
//!
//! `restore --until` sets such events beside the journal (`journal::carry`). The first start decides them anew, before
//! anybody can ask, and removes the file when they are on disk. A start that stops in between does it again; nothing of it
//! does harm twice.

use std::path::Path;
use std::sync::Arc;

use crate::engine::api::{Answer, Command, Context};
use crate::engine::erase::event_of;
use crate::engine::models::send_facts;
use crate::engine::{Engine, Tenant};
use crate::error::{Error, Result};
use crate::host::Disk;
use crate::journal::{self, RestoreReport, Until};
use crate::model::event::{Erased, Event, Restricted};
use crate::model::ids::{EntityId, RecordId, TenantId};
use crate::store::apply::is_live;
use crate::store::shard::Shard;

/// Kinds of events that a restore carries over: erasures of people and tenants, opt-outs and their list, restrictions and
/// their ends.
pub const CARRIED_KINDS: [u8; 5] = [90, 92, 104, 105, 150];

/// Restores a backup; see [`journal::restore`]. Erasures and opt-outs of the backup that come after `until` stay in force.
///
/// # Errors
/// As [`journal::restore`].
pub fn restore(disk: &dyn Disk, from: &Path, to: &Path, until: Until) -> Result<RestoreReport> {
    journal::restore(disk, from, to, until, &CARRIED_KINDS)
}

/// Decides what a restore carried over, if there is anything.
pub(super) fn take_in(engine: &Engine) -> Result<()> {
    let core = &engine.core;
    let (disk, dir) = (&*core.world.disk, core.options.data_dir.as_path());
    let mut events: Vec<(TenantId, Event)> = Vec::new();
    let count = journal::carried(disk, dir, &mut |frame| {
        events.extend(event_of(frame, &core.keys)?.map(|event| (TenantId(frame.tenant), event)));
        Ok(())
    })?;
    if count == 0 {
        return Ok(());
    }
    for (id, event) in events {
        // A tenant that was not there yet has nobody to keep out.
        if let Some(tenant) = core.all().into_iter().find(|tenant| tenant.id == id) {
            again(engine, &tenant, event)?;
        }
    }
    tracing::info!(count, "erasures and opt-outs from after the moment that was restored are in force again");
    journal::carried_over(disk, dir)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds are not carried")]
fn again(engine: &Engine, tenant: &Arc<Tenant>, event: Event) -> Result<()> {
    match event {
        Event::Erased(erased) => erase(engine, tenant, &erased),
        Event::TenantErased(gone) => submit(engine, tenant, Command::EraseTenant, &gone.actor).map(drop),
        Event::Restricted(set) => restrict(engine, tenant, set),
        event @ (Event::OptedOut(_) | Event::SuppressionRotated(_)) => send_facts(engine, tenant, vec![event]),
        _ => Ok(()),
    }
}

/// Restricts whoever has the records now, or ends it: they may be in other contacts than they were.
fn restrict(engine: &Engine, tenant: &Arc<Tenant>, set: Restricted) -> Result<()> {
    let view = tenant.view.load_full();
    let slots = set.records.iter().filter_map(|record| view.slot_of(*record));
    let mut contacts: Vec<EntityId> = slots.filter_map(|slot| view.resolve_id(view.slot(slot)?.entity?)).collect();
    contacts.sort_unstable();
    contacts.dedup();
    for contact in contacts {
        let command = Command::Restrict { contact, restricted: set.restricted, reason: set.reason.clone() };
        match submit(engine, tenant, command, &set.actor) {
            Ok(_) | Err(Error::NotFound { .. } | Error::Moved { .. } | Error::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Erases the same records. They may be in other contacts than when they were erased: where somebody else's records are
/// with them, they are split off first.
fn erase(engine: &Engine, tenant: &Arc<Tenant>, erased: &Erased) -> Result<()> {
    while let Some((contact, theirs, all)) = next(&tenant.view.load_full(), erased) {
        let mut gone = contact;
        if !all {
            let split = Command::Split { contact, records: theirs.clone() };
            let answer = submit(engine, tenant, split, &erased.actor)?;
            let Answer::Parts(parts) = answer else {
                return Err(Error::invalid("CARRIED", "a split answers with parts"));
            };
            let view = tenant.view.load_full();
            let holds = |id: &&EntityId| {
                let entity = view.entity(**id);
                entity.is_some_and(|entity| records(&view, &entity.members).iter().all(|one| theirs.contains(one)))
            };
            gone = parts.iter().find(holds).copied().unwrap_or(contact);
        }
        submit(engine, tenant, Command::Erase { contact: gone }, &erased.actor)?;
    }
    Ok(())
}

/// A live contact with records of the erased, which of its records they are, and whether they are all it has.
fn next(shard: &Shard, erased: &Erased) -> Option<(EntityId, Vec<RecordId>, bool)> {
    erased.records.iter().find_map(|record| {
        let entity = shard.slot(shard.slot_of(*record)?)?.entity.and_then(|id| shard.resolve_id(id));
        let entity = entity.and_then(|id| shard.entity(id)).filter(|entity| !entity.members.is_empty())?;
        if shard.is_erased(entity.id) || !(is_live(entity) || entity.deleted) {
            return None;
        }
        let members = records(shard, &entity.members);
        let theirs: Vec<RecordId> = members.iter().copied().filter(|one| erased.records.contains(one)).collect();
        let all = theirs.len() == members.len();
        Some((entity.id, theirs, all))
    })
}

fn records(shard: &Shard, slots: &[u32]) -> Vec<RecordId> {
    slots.iter().filter_map(|slot| shard.slot(*slot).map(|at| at.record_id)).collect()
}

fn submit(engine: &Engine, tenant: &Arc<Tenant>, command: Command, actor: &str) -> Result<Answer> {
    let context = Context { actor: actor.to_owned(), idempotency: None };
    engine.submit_blocking(&tenant.name, command, context).map(|receipt| receipt.answer)
}
