//! Who may be found by whom: policies, blocks, sharing, opt-outs. Pure, like every decision.
//!
//! Each event names every id that leads to the contact, so that what was said of a merged contact is known to have been
//! said of all of it (see [`crate::store::consent`]).

use crate::error::{Error, Result};
use crate::model::event::consent::Findable;
use crate::model::event::{
    BlockSet, Consent, DirectoryUserSet, Event, OptedOut, PolicySet, SharingSet, SuppressionRotated,
};
use crate::model::ids::{EntityId, RecordId};
use crate::model::normalized::Normalized;
use crate::resolve::act::live;
use crate::resolve::upsert::{Now, Step};
use crate::store::shard::{Entity, Shard};

/// Blocks by one contact at most.
pub const BLOCKS_MAX: usize = 10_000;
/// Changes of a contact's policy that are kept at most; then the contact must be erased or left as it is.
pub const POLICIES_MAX: usize = 10_000;

/// The keyed tag of an identifier, by which somebody who opted out is known again. The flag says that it is an email.
pub type TagOf<'a> = dyn Fn(bool, &str) -> u128 + 'a;

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who may find the contact.
    pub policy: Findable,
    /// The tenant that is its address book.
    pub book: Option<String>,
    /// What it rests on.
    pub consent: Option<Consent>,
}

/// Says who may find a contact of a directory.
///
/// # Errors
/// `NotFound` and `Moved` for the contact; `Conflict` with `not_a_directory`, with `opted_out` for somebody who left for
/// good, with `policies_full`; `Invalid` when a consent is required and missing.
pub fn set_policy(shard: &Shard, contact: EntityId, policy: &Policy, now: Now<'_>) -> Result<Vec<Step>> {
    let entity = live(shard, contact)?;
    if shard.settings.discovery.users.is_none() {
        let reason = "this tenant is no directory; name the system of its user ids in settings.discovery.users first";
        return Err(conflict("not_a_directory", reason));
    }
    if policy.policy != Findable::Nobody {
        if shard.is_opted_out(entity) {
            return Err(conflict(
                "opted_out",
                "this person left discovery for good; only a new registration can be found",
            ));
        }
        if shard.settings.discovery.consent_required && policy.consent.is_none() {
            let reason = "is required by this tenant for every policy but nobody; send {\"basis\", \"actor\", \"at\"}";
            return Err(Error::invalid("consent", reason));
        }
    }
    let said = shard.consents.policies_of(contact);
    if let Some(last) = said.last()
        && (last.policy, &last.book, &last.consent) == (policy.policy, &policy.book, &policy.consent)
        && last.ids == shard.ids_behind(entity)
    {
        return Ok(Vec::new());
    }
    if said.len() >= POLICIES_MAX {
        return Err(conflict("policies_full", "this contact's policy changed 10000 times, which is all that is kept"));
    }
    let Policy { policy, book, consent } = policy.clone();
    let (ids, at, actor) = (shard.ids_behind(entity), now.at, now.actor.to_owned());
    Ok(vec![Step::Event(Event::PolicySet(PolicySet { ids, policy, book, consent, at, actor }))])
}

/// Lets one contact block another, or takes it back. Where several ids lead to them every pair counts, so that the block
/// holds for each part when a merge is undone.
///
/// # Errors
/// `NotFound` and `Moved` for either; `Invalid` for oneself; `Conflict` with `blocks_full`.
pub fn set_block(shard: &Shard, blocker: EntityId, blocked: EntityId, holds: bool, now: Now<'_>) -> Result<Vec<Step>> {
    let (one, other) = (live(shard, blocker)?, live(shard, blocked)?);
    if one.id == other.id {
        return Err(Error::invalid("other_id", "nobody blocks oneself; name another contact"));
    }
    if holds && shard.consents.blocks_of(blocker).len() >= BLOCKS_MAX {
        return Err(conflict("blocks_full", "a contact blocks at most 10000 others; unblock some"));
    }
    let mut steps = Vec::new();
    for blocker in shard.ids_behind(one) {
        for blocked in shard.ids_behind(other) {
            let said = shard.consents.blocks_of(blocker).iter().find(|set| set.blocked == blocked);
            if said.is_some_and(|set| set.holds) != holds {
                let set = BlockSet { blocker, blocked, holds, at: now.at, actor: now.actor.to_owned() };
                steps.push(Step::Event(Event::BlockSet(set)));
            }
        }
    }
    Ok(steps)
}

/// Says who sees which field of a contact: field and audience, each field once, ascending.
///
/// # Errors
/// `NotFound` and `Moved`.
pub fn set_sharing(shard: &Shard, contact: EntityId, fields: &[(String, String)], now: Now<'_>) -> Result<Vec<Step>> {
    let entity = live(shard, contact)?;
    if shard.shared_fields(entity) == fields {
        return Ok(Vec::new());
    }
    let (ids, fields, at, actor) = (shard.ids_behind(entity), fields.to_vec(), now.at, now.actor.to_owned());
    Ok(vec![Step::Event(Event::SharingSet(SharingSet { ids, fields, at, actor }))])
}

/// Takes a person out of discovery and suggestions for good, and keeps the tags of their identifiers, so that they stay
/// out when they come back under another id. Once is enough: a repeat changes nothing.
///
/// # Errors
/// `NotFound` and `Moved`.
pub fn opt_out(shard: &Shard, contact: EntityId, tag: &TagOf<'_>, now: Now<'_>) -> Result<Vec<Step>> {
    let entity = live(shard, contact)?;
    let slots = entity.members.iter().chain(&entity.manual);
    let members: Vec<_> = slots.filter_map(|slot| shard.slot(*slot)).collect();
    let records: Vec<RecordId> = members.iter().map(|at| at.record_id).collect();
    let current = members.iter().filter_map(|at| at.current.as_ref());
    let mut tags: Vec<u128> = current.flat_map(|version| tags_of(&version.stored.put().normalized, tag)).collect();
    tags.sort_unstable();
    tags.dedup();
    let contacts = shard.ids_behind(entity);
    let known = shard.is_opted_out(entity)
        && tags.iter().all(|tag| shard.consents.suppresses(*tag))
        && records.iter().all(|record| shard.consents.out_since(*record).is_some());
    if known {
        return Ok(Vec::new());
    }
    let out = OptedOut { contacts, records, tags, at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::OptedOut(out))])
}

/// Keeps somebody out who opted out once and comes back in a record: it carries a suppressed identifier that its version
/// before did not. A record that had it when its owner opted out is somebody else's, who shares it.
pub fn still_out(
    shard: &Shard,
    record: RecordId,
    before: Option<&Normalized>,
    now_said: &Normalized,
    tag: &TagOf<'_>,
    now: Now<'_>,
) -> Option<Step> {
    if shard.consents.suppresses_nobody() {
        return None;
    }
    let before = before.map(|said| tags_of(said, tag)).unwrap_or_default();
    let came = tags_of(now_said, tag).into_iter().filter(|tag| !before.contains(tag));
    if !came.into_iter().any(|tag| shard.consents.suppresses(tag)) {
        return None;
    }
    let out = OptedOut {
        contacts: Vec::new(),
        records: vec![record],
        tags: Vec::new(),
        at: now.at,
        actor: now.actor.to_owned(),
    };
    Some(Step::Event(Event::OptedOut(out)))
}

/// The tags of all who opted out, wrapped once more: what a stolen key of before opened is shut.
pub fn rotate_suppression(shard: &Shard, wrap: &dyn Fn(u128) -> u128, now: Now<'_>) -> Vec<Step> {
    let mut tags: Vec<u128> = shard.consents.suppressed().into_iter().map(wrap).collect();
    tags.sort_unstable();
    let generation = shard.consents.generation() + 1;
    let rotated = SuppressionRotated { generation, tags, at: now.at, actor: now.actor.to_owned() };
    vec![Step::Event(Event::SuppressionRotated(rotated))]
}

/// Notes which user of the directory a contact is; nothing where that is known already.
///
/// # Errors
/// `NotFound` and `Moved`.
pub fn set_user(shard: &Shard, contact: EntityId, user: Option<EntityId>, now: Now<'_>) -> Result<Vec<Step>> {
    let entity = live(shard, contact)?;
    if known_user(shard, entity) == user {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    let others = shard.ids_behind(entity);
    for other in others.into_iter().filter(|id| *id != contact && shard.consents.user_of(*id).is_some()) {
        steps.push(Step::Event(Event::DirectoryUserSet(DirectoryUserSet { contact: other, user: None, at: now.at })));
    }
    steps.push(Step::Event(Event::DirectoryUserSet(DirectoryUserSet { contact, user, at: now.at })));
    Ok(steps)
}

/// The user that a contact was last known to be, under whichever of its ids.
pub fn known_user(shard: &Shard, entity: &Entity) -> Option<EntityId> {
    shard.ids_behind(entity).iter().find_map(|id| shard.consents.user_of(*id))
}

/// The tags of a record's phones and emails.
fn tags_of(said: &Normalized, tag: &TagOf<'_>) -> Vec<u128> {
    let emails = said.emails.iter().map(|email| tag(true, &email.canonical));
    emails.chain(said.phones.iter().map(|phone| tag(false, &phone.e164))).collect()
}

fn conflict(code: &'static str, reason: &str) -> Error {
    Error::Conflict { code, reason: reason.to_owned(), holder: None }
}
