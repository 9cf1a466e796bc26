//! References: which contact a thing of another system points at. Pure, like every decision.

use crate::error::{Error, Result};
use crate::model::event::{Event, ReferenceDeleted, ReferenceName, ReferencePut};
use crate::model::ids::EntityId;
use crate::resolve::act::live;
use crate::resolve::upsert::{Now, Step};
use crate::store::apply::is_live;
use crate::store::shard::Shard;

/// References registered under one contact id at most.
pub const REFERENCES_MAX: usize = 10_000;

/// Makes a reference point at a contact. One that does so already makes no event and keeps the id it hangs on, so that it
/// goes back there when a merge is undone.
///
/// # Errors
/// `NotFound` and `Moved` for the contact; `Conflict` with the holder when another live contact has the reference and
/// `take_over` is false, and when the contact has too many.
pub fn put(shard: &Shard, contact: EntityId, name: &ReferenceName, take_over: bool, now: Now<'_>) -> Result<Vec<Step>> {
    live(shard, contact)?;
    let holder = shard.reference_holder(name);
    if holder == Some(contact) {
        return Ok(Vec::new());
    }
    let other = holder.and_then(|id| shard.entity(id)).filter(|entity| is_live(entity));
    if let Some(other) = other.filter(|_| !take_over) {
        let reason = "another contact holds this reference; send {\"move\": true} to take it over".into();
        return Err(Error::Conflict { code: "reference_taken", reason, holder: Some(other.id) });
    }
    if shard.references.under(contact).len() >= REFERENCES_MAX {
        let reason = format!("a contact has at most {REFERENCES_MAX} references; delete some that are no longer used");
        return Err(Error::Conflict { code: "references_full", reason, holder: None });
    }
    let put = ReferencePut { name: name.clone(), anchor: contact, at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::ReferencePut(put))])
}

/// Ends a reference of a contact.
///
/// # Errors
/// `NotFound` and `Moved` for the contact, `NotFound` with code `reference_unknown` when it does not have it.
pub fn delete(shard: &Shard, contact: EntityId, name: &ReferenceName, now: Now<'_>) -> Result<Vec<Step>> {
    held(shard, contact, name)?;
    let gone = ReferenceDeleted { name: name.clone(), at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::ReferenceDeleted(gone))])
}

/// A reference of a contact.
///
/// # Errors
/// As [`delete`].
pub fn held<'a>(shard: &'a Shard, contact: EntityId, name: &ReferenceName) -> Result<&'a ReferencePut> {
    live(shard, contact)?;
    let unknown = || Error::NotFound { code: "reference_unknown", what: "reference".into() };
    let found = shard.references.get(name).ok_or_else(unknown)?;
    if shard.resolve_id(found.anchor) == Some(contact) { Ok(found) } else { Err(unknown()) }
}
