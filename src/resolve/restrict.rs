//! Restricting a contact (GDPR article 18): it is stored and not used, and nobody joins it until that ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::event::{Event, IdentifierChecked, Restricted};
use crate::model::ids::EntityId;
use crate::resolve::act::{Act, live};
use crate::resolve::change::{Edits, NewId, resolve};
use crate::resolve::erase::{ids_of, slots_of};
use crate::resolve::upsert::{Now, Step, push_resolved};
use crate::store::shard::{Entity, Shard, Version};

/// Bytes of a reason at most.
pub const REASON_BYTES_MAX: usize = 2000;

/// Restricts a contact, or ends it. What is so already is a command without events.
///
/// Both resolve the contact's neighbourhood anew: pairs across the new wall lose their edges and questions, and find them
/// again when it is lifted, so that a record which came meanwhile joins then.
///
/// # Errors
/// `NotFound`, `Moved` and `Gone` for the id; `Invalid` for a reason that is too long.
pub fn restrict(
    shard: &Shard,
    contact: EntityId,
    on: bool,
    reason: Option<&str>,
    now: Now<'_>,
    new_id: &mut NewId<'_>,
) -> Result<Act> {
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(Error::invalid("reason", format!("may have {REASON_BYTES_MAX} bytes; shorten it")));
    }
    let entity = live(shard, contact)?;
    if shard.is_restricted(entity) == on {
        return Ok(Act { contacts: vec![contact], ..Act::default() });
    }
    let slots = slots_of(shard, entity, &ids_of(shard, entity));
    let records = slots.iter().filter_map(|slot| shard.slot(*slot)).map(|at| at.record_id).collect();
    let (reason, actor) = (reason.map(str::to_owned), now.actor.to_owned());
    let event = Event::Restricted(Restricted { contact, records, restricted: on, reason, at: now.at, actor });
    let mut after = shard.clone();
    after.apply(event.clone());
    let edits = Edits { records: present(&after, entity, &slots), ..Edits::default() };
    let resolution = resolve(&after, &edits, new_id);
    let mut contacts = vec![contact];
    contacts.extend(resolution.resolved.groups.iter().map(|group| group.entity).filter(|id| *id != contact));
    let mut steps = vec![Step::Event(event)];
    push_resolved(&mut steps, resolution, now);
    Ok(Act { steps, contacts, ..Act::default() })
}

/// The contact's records as they are, to be looked at anew.
fn present(shard: &Shard, entity: &Entity, slots: &BTreeSet<u32>) -> Vec<(u32, Option<Arc<Version>>)> {
    let mine = slots.iter().filter(|slot| entity.members.contains(slot));
    mine.filter_map(|slot| Some((*slot, Some(Arc::clone(shard.evidence(*slot)?))))).collect()
}

/// The refusal of what would use a restricted contact.
pub fn restricted(contact: EntityId) -> Error {
    Error::Conflict {
        code: "contact_restricted",
        reason: "the contact is restricted: it is stored and not used; lift the restriction first (POST \
                 contacts/{id}/restrict with false)"
            .to_owned(),
        holder: Some(contact),
    }
}

/// What was found out about identifiers, as events; those whose record has gone or says something else by now are left out.
pub fn checked(shard: &Shard, checks: &[IdentifierChecked]) -> Vec<Step> {
    let held = |one: &&IdentifierChecked| {
        let version = shard.slot_of(one.record_id).and_then(|slot| shard.slot(slot)?.current.as_ref());
        version.is_some_and(|version| {
            let normalized = version.stored.put().normalized;
            normalized.emails.iter().any(|email| email.canonical == one.identifier)
                || normalized.phones.iter().any(|phone| phone.e164 == one.identifier)
        })
    };
    checks.iter().filter(held).map(|one| Step::Event(Event::IdentifierChecked(one.clone()))).collect()
}
