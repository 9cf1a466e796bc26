//! What becomes of one record: created, updated, merged, a question, a conflict, or nothing new.
//!
//! Two words of one source on one record are ordered by version, then by the source's time. Two that are equal in both and
//! say different things contradict each other: one of them counts (the greater content hash, so that the order of arrival
//! does not matter), the conflict is recorded, and a person picks ([`crate::resolve::conflict`]).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::index::account::{domain_key, fallback_keys};
use crate::matching::features::email_key;
use crate::model::account::Business;
use crate::model::event::{EntityMarked, Event, RecordDeleted, Resolved, ReviewChanged};
use crate::model::ids::{EntityId, Millis, RecordId, RecordKey, Seq};
use crate::model::issue::Issue;
use crate::model::key::{Key, KeyKind, Millibits, Tier};
use crate::model::record::Record;
use crate::resolve::change::{Edits, NewId, Resolution, pieces, resolve};
use crate::resolve::conflict::{self, Clash};
use crate::resolve::prepare::Prepared;
use crate::resolve::remark::{REVIVED, TAKEN, remark};
use crate::store::shard::{Entity, Shard, Version};

/// One step of a decision, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A put whose version is made already.
    Put(Arc<Version>),
    /// Any other event.
    Event(Event),
}

/// What was decided on one record.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// What to append and apply, in order; one command.
    pub steps: Vec<Step>,
    /// The verdict.
    pub verdict: Verdict,
    /// The record; `None` when nothing was stored.
    pub record: Option<RecordId>,
    /// Its contact, or the holder of a business key that is taken.
    pub contact: Option<EntityId>,
    /// Weight of the best join or question.
    pub weight: Option<Millibits>,
    /// Contacts that change.
    pub affected: Vec<EntityId>,
    /// Remarks.
    pub issues: Vec<Issue>,
}

/// What a record turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody new.
    #[default]
    Created,
    /// A known record, changed.
    Updated,
    /// A known record, the same.
    Unchanged,
    /// Older than what is known.
    Stale,
    /// Somebody known.
    Merged,
    /// Somebody new, perhaps known.
    Review,
    /// Refused, as a business key is taken; or stored, and contradicting what came before under the same version.
    Conflict,
}

/// When and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The time, by our clock.
    pub at: Millis,
    /// The caller.
    pub actor: &'a str,
}

/// Decides on one record. `strict` refuses a new record whose identifier another contact holds.
pub fn decide(shard: &Shard, prepared: &Prepared, strict: bool, now: Now<'_>, new_id: &mut NewId<'_>) -> Decided {
    let issues = prepared.issues.clone();
    let slot = shard.slot_of_key(&prepared.record.key);
    let known = slot.and_then(|slot| shard.slot(slot));
    let latest = known.and_then(|at| at.current.as_ref());
    let contact = known.and_then(|at| at.entity).and_then(|id| shard.resolve_id(id));
    let record_id = known.map_or_else(|| RecordId(new_id()), |at| at.record_id);
    let same = latest.is_some_and(|latest| says_the_same(prepared, latest));
    let clash = latest.and_then(|latest| conflict::clash(shard, record_id, prepared, latest));
    if let Some(latest) = latest {
        let nothing = |verdict| {
            let record = Some(record_id);
            Decided { verdict, record, contact, issues: issues.clone(), ..Decided::default() }
        };
        if same && !is_newer(prepared, latest) {
            return nothing(Verdict::Unchanged);
        }
        if let Some(Clash::Known { open }) = clash {
            let verdict = if open { Verdict::Conflict } else { Verdict::Stale };
            return Decided { issues: [issues.clone(), vec![conflict::issue(open)]].concat(), ..nothing(verdict) };
        }
        let loses = matches!(clash, Some(Clash::New { wins: false, .. }));
        if loses || by_clock(&prepared.record, &latest.stored.put().record) == Some(Ordering::Less) {
            let version = version(shard, prepared, record_id, now, true);
            let mut decided = Decided { steps: vec![Step::Put(version)], ..nothing(Verdict::Stale) };
            mark_clash(shard, clash, &mut decided, record_id, now);
            return decided;
        }
    }
    let version = version(shard, prepared, record_id, now, false);
    if strict && let Some((field, holder)) = holder_of(shard, &version, latest, contact) {
        let issues = [issues, vec![remark(TAKEN, field)]].concat();
        return Decided { verdict: Verdict::Conflict, contact: Some(holder), issues, ..Decided::default() };
    }
    if let Some(contact) = prepared.anchor {
        // An edit by hand is no evidence: it changes what its contact shows, never who is who.
        let (record, contact, affected) = (Some(record_id), Some(contact), vec![contact]);
        let steps = vec![Step::Put(version)];
        return Decided { steps, verdict: Verdict::Updated, record, contact, weight: None, affected, issues };
    }
    let at = slot.unwrap_or_else(|| shard.next_slot());
    let edits = Edits { records: vec![(at, Some(Arc::clone(&version)))], ..Edits::default() };
    let resolution = resolve(shard, &edits, new_id);
    let mut decided = conclude(at, slot.is_some(), &resolution);
    decided.record = Some(record_id);
    decided.issues = issues;
    decided.steps.push(Step::Put(version));
    if !same {
        revive(shard, &mut decided, now);
    } else if resolution.is_empty() {
        // Only the source's clock moved on: kept, as it orders what comes later, but no news.
        decided.verdict = Verdict::Unchanged;
    }
    if clash.is_none() {
        decided.steps.extend(conflict::superseded(shard, record_id, now));
    }
    mark_clash(shard, clash, &mut decided, record_id, now);
    push_resolved(&mut decided.steps, resolution, now);
    decided
}

/// Records that what was decided on contradicts what came before under the same version.
fn mark_clash(shard: &Shard, clash: Option<Clash>, decided: &mut Decided, record: RecordId, now: Now<'_>) {
    if let Some(Clash::New { puts, .. }) = clash {
        decided.steps.push(conflict::found(shard, record, puts, now));
        decided.verdict = Verdict::Conflict;
        decided.issues.push(conflict::issue(true));
    }
}

/// Decides on a source's tombstone. `None`: no such record, or withdrawn already.
pub fn withdraw(shard: &Shard, key: &RecordKey, now: Now<'_>, new_id: &mut NewId<'_>) -> Option<Decided> {
    let slot = shard.slot_of_key(key)?;
    let at = shard.slot(slot)?;
    at.current.as_ref()?;
    let edits = Edits { records: vec![(slot, None)], ..Edits::default() };
    let resolution = resolve(shard, &edits, new_id);
    let mut affected: Vec<EntityId> = at.entity.into_iter().collect();
    affected.extend(resolution.resolved.groups.iter().map(|group| group.entity));
    affected.sort_unstable();
    affected.dedup();
    let gone = RecordDeleted { record_id: at.record_id, at: now.at, actor: now.actor.to_owned() };
    let mut steps = vec![Step::Event(Event::RecordDeleted(gone))];
    push_resolved(&mut steps, resolution, now);
    Some(Decided { steps, record: Some(at.record_id), contact: at.entity, affected, ..Decided::default() })
}

/// Appends what resolution found, if anything.
pub fn push_resolved(steps: &mut Vec<Step>, resolution: Resolution, now: Now<'_>) {
    if !resolution.is_empty() {
        if !resolution.is_only_about_reviews() {
            let resolved = Resolved { at: now.at, actor: now.actor.to_owned(), ..resolution.resolved };
            let pieces = pieces(resolved).into_iter();
            steps.extend(pieces.map(|piece| Step::Event(Event::Resolved(Box::new(piece)))));
        }
        let changed = resolution.reviews_changed.into_iter();
        steps.extend(changed.map(|changed| Step::Event(Event::ReviewChanged(ReviewChanged { at: now.at, ..changed }))));
    }
}

fn version(shard: &Shard, prepared: &Prepared, id: RecordId, now: Now<'_>, stale: bool) -> Arc<Version> {
    let put = prepared.put(id, now.at, now.actor, stale);
    let seq = Seq(shard.seq.0 + 1);
    Arc::new(match &prepared.business {
        Some(business) => Version::of_account(&put, business.clone(), seq, &shard.model),
        None => Version::new(&put, seq, &shard.model),
    })
}

/// Reads the verdict on a slot off the resolution.
fn conclude(slot: u32, known: bool, resolution: &Resolution) -> Decided {
    let mut decided = Decided::default();
    let Some((contact, slots, _)) = resolution.part_of(slot) else { return decided };
    decided.contact = Some(*contact);
    decided.affected = resolution.resolved.groups.iter().map(|group| group.entity).collect();
    if known && !decided.affected.contains(contact) {
        decided.affected.push(*contact);
    }
    decided.affected.sort_unstable();
    decided.affected.dedup();
    let joined = resolution.joins.iter().filter(|join| join.a == slot || join.b == slot).map(|join| join.weight).max();
    let asked = resolution.refused.iter().filter(|r| r.a == slot || r.b == slot).map(|r| r.weight).max();
    let questions = !resolution.resolved.reviews.is_empty() && asked.is_some();
    (decided.verdict, decided.weight) = match (known, slots.len() > 1, questions) {
        (true, _, _) => (Verdict::Updated, joined.or(asked)),
        (false, true, _) => (Verdict::Merged, joined.or(best_inside(resolution, slots))),
        (false, false, true) => (Verdict::Review, asked),
        (false, false, false) => (Verdict::Created, None),
    };
    decided
}

fn best_inside(resolution: &Resolution, slots: &[u32]) -> Option<Millibits> {
    resolution.joins.iter().filter(|join| slots.contains(&join.a)).map(|join| join.weight).max()
}

/// New content for a soft-deleted contact brings it back, and says so.
fn revive(shard: &Shard, decided: &mut Decided, now: Now<'_>) {
    let Some(id) = decided.contact else { return };
    if shard.entity(id).is_some_and(|entity| entity.deleted) {
        let marked = EntityMarked { entity: id, deleted: false, at: now.at, actor: now.actor.to_owned() };
        decided.steps.push(Step::Event(Event::EntityMarked(marked)));
        decided.issues.push(remark(REVIVED, "contact_id"));
    }
}

fn says_the_same(prepared: &Prepared, latest: &Version) -> bool {
    latest.stored.content_hash == prepared.content_hash && latest.stored.put().suppressed == prepared.suppressed
}

/// Whether the source dates what came after what is stored, or dates it for the first time.
fn is_newer(prepared: &Prepared, latest: &Version) -> bool {
    let (new, old) = (&prepared.record, &latest.stored.put().record);
    let dated = |record: &Record| record.source_updated_at.is_some() || record.version.is_some();
    match by_clock(new, old) {
        Some(order) => order == Ordering::Greater,
        None => dated(new) && !dated(old),
    }
}

/// How two words on one record are ordered: by the source's version, then by its time. `None`: they have neither in
/// common.
pub(in crate::resolve) fn by_clock(new: &Record, old: &Record) -> Option<Ordering> {
    let versions = new.version.zip(old.version).map(|(new, old)| new.cmp(&old));
    let times = new.source_updated_at.zip(old.source_updated_at).map(|(new, old)| new.cmp(&old));
    match versions {
        Some(Ordering::Equal) => times.or(versions),
        Some(decided) => Some(decided),
        None => times,
    }
}

/// The other live account that holds a domain of a business, or its name with country and city if it has no domain; and
/// the field of that key.
fn holder_of_account(shard: &Shard, business: &Business, own: Option<EntityId>) -> Option<(&'static str, EntityId)> {
    let domains = business.domains.iter().map(|domain| domain_key(domain));
    let mut keys: Vec<Key> = domains.collect();
    let field = if keys.is_empty() { "name" } else { "domain" };
    if keys.is_empty() {
        keys.extend(fallback_keys(business));
    }
    let holder = keys.into_iter().find_map(|key| other_holder(shard, key, own));
    Some((field, holder?))
}

/// The live contact or account that holds a key, other than `own`.
fn other_holder(shard: &Shard, key: Key, own: Option<EntityId>) -> Option<EntityId> {
    shard.holders(key).into_iter().find_map(|(slot, _)| {
        let id = shard.resolve_id(shard.slot(slot)?.entity?)?;
        let shown = |entity: &&Arc<Entity>| !entity.deleted && !shard.is_restricted(entity);
        shard.entity(id).filter(shown).map(|entity| entity.id).filter(|id| Some(*id) != own)
    })
}

/// The other live contact that holds one of the version's business keys, and the field of the key. What the record said
/// before and what many share is nobody's own.
fn holder_of(
    shard: &Shard,
    version: &Version,
    latest: Option<&Arc<Version>>,
    own: Option<EntityId>,
) -> Option<(&'static str, EntityId)> {
    if let Some(of) = &version.stored.business {
        return holder_of_account(shard, &of.business, own);
    }
    let emails = version.stored.put().normalized.emails;
    let role = |key: Key| {
        let mut roles = emails.iter().filter(|email| email.role);
        roles.any(|email| email_key(&email.canonical) == key)
    };
    version.features.identifiers().into_iter().find_map(|(kind, key)| {
        let field = match kind {
            KeyKind::Email if !role(key) => "emails",
            KeyKind::ExternalId => "external_ids",
            KeyKind::Email
            | KeyKind::Domain
            | KeyKind::Phone
            | KeyKind::Handle
            | KeyKind::Narrow
            | KeyKind::Compound => return None,
        };
        if shard.key_state(key, kind).tier > Tier::Family || latest.is_some_and(|latest| latest.has(key)) {
            return None;
        }
        Some((field, other_holder(shard, key, own)?))
    })
}
