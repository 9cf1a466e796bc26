//! A shard as snapshot chunks, and back. FROZEN types, like `model/event/v1`: version 1 of every chunk.
//!
//! Chunks of one tenant come in this order: head, what it shows at rest, rules of survivorship, models (each card with its parts, then which one
//! is active; none while nothing was trained), records, contacts, edges, merges, reviews, what stewards noted on them,
//! judgements, feed, references, webhooks, accounts (as chunks in chunks), relations, conflicts, groups, API keys, erasures,
//! what was said of discovery, kept answers, remarks of those. Postings and name tokens are derived while reading; so are
//! features and keys, unless a chunk before the records has them, which is not frozen (`derived`).

#![expect(missing_docs, reason = "the fields are those of the types in `shard`, where they are documented")]

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use crate::matching::model::Model;
use crate::model::event::v1::{
    AnswerKeptV1, EdgeV1, MergedV1, ModelPartV1, ModelTrainedV1, RKYV_FORMAT, RecordPutV1, ReferencePutV1,
    RelationPutV1, RemarksKeptV1, SettingsV1, SurvivorshipSetV1, TenantGoneV1, to_bytes,
};
use crate::model::event::{ModelPart, ReferencePut, SurvivorshipSet, TenantGone};
use crate::model::ids::{JudgementId, MergeId, Millis, ModelId, RecordId, ReviewId, Seq, TenantId};
use crate::model::key::Millibits;
use crate::model::settings::Retention;
use crate::model::survivorship::Survivorship;
use crate::store::judge::{Judgement, Verdict};
use crate::store::models::{Models, Trained};
use crate::store::relations::affiliation_keys;
use crate::store::shard::{Entity, Feed, Merge, Policy, Review, ReviewAnswer, ReviewStatus, Shard, Slot};
use crate::store::stored::Stored;
use access::{ApiKeyV1, key_out};
pub use rest::{is_rest, is_shown, may_rest, records, shown};
pub use restore::{Origin, Pending, Piece, take_in_all};

use discipline::{ConflictV1, ErasureV1, GroupV1, conflict_out, erasure_in, erasure_out, group_out, remarks_out};
use webhooks::{WebhookV1, webhook_out};

mod access;
mod accounts;
mod consent;
mod derived;
mod discipline;
mod lookup;
mod oprf;
mod privacy;
mod rest;
mod restore;
mod webhooks;

#[cfg(test)]
mod tests;

/// Version of all chunks here.
pub const VERSION: u8 = 1;
/// Version of the snapshot's content as a whole, for its header.
/// 2 came with the models' chunks, 3 with those of webhooks, references, survivorship and of what stewards noted, 4 with
/// accounts, relations, conflicts, groups and kept remarks, 5 with erasures, 6 with discovery, API keys, restrictions and checks.
/// 7 with what is derived from records, which an older program would not know to leave alone, 8 with what a tenant at rest shows.
pub const CONTENT_VERSION: u32 = 8;
/// The payload format, for its header.
pub const FORMAT: u32 = RKYV_FORMAT;
/// Set in the kind of an entry of the feed that is about accounts.
const OF_ACCOUNTS: u8 = 0x80;
/// Items of one chunk: the pages of smaller pieces of memory are used again by the next, those of larger ones are handed back.
const BATCH: usize = 128;

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct HeadV1 {
    pub name: String,
    pub seq: u64,
    pub settings: SettingsV1,
    pub kept_prune_at: u64,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PastV1 {
    pub seq: u64,
    pub at: i64,
    pub actor: String,
    pub put: Option<RecordPutV1>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SlotV1 {
    pub record_id: u128,
    pub past: Vec<PastV1>,
    pub current_seq: Option<u64>,
    pub entity: Option<u128>,
    pub native: Option<u128>,
    pub once: Vec<u128>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct MomentV1 {
    pub seq: u64,
    pub at: i64,
    pub actor: String,
    pub kind: u8,
    pub members: Vec<u32>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct EntityV1 {
    pub id: u128,
    pub members: Vec<u32>,
    pub manual: Option<u32>,
    pub redirect: Option<u128>,
    pub absorbed: Vec<u128>,
    pub deleted: bool,
    pub created_at: i64,
    pub moments: Vec<MomentV1>,
    pub version: u64,
    pub updated_at: i64,
    pub updated_seq: u64,
    pub updated_by: String,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct MergeV1 {
    pub merged: MergedV1,
    pub at: i64,
    pub seq: u64,
    pub actor: String,
    pub undone_at: Option<i64>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ReviewV1 {
    pub id: u128,
    pub pair: EdgeV1,
    pub left: u32,
    pub right: u32,
    pub support: i32,
    pub vetoed: bool,
    pub at: i64,
    pub seq: u64,
    pub status: u8,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct JudgementV1 {
    pub id: u128,
    pub at: i64,
    pub same: bool,
    pub left: Vec<u128>,
    pub right: Vec<u128>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct FeedV1 {
    pub seq: u64,
    pub at: i64,
    pub kind: u8,
    pub entities: Vec<u128>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct TrainedV1 {
    pub card: ModelTrainedV1,
    pub activated: Option<(i64, String)>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ModelActiveV1 {
    pub model_id: u128,
    pub default_activated: Option<(i64, String)>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PolicyV1 {
    pub seq: u64,
    pub set: SurvivorshipSetV1,
}

/// What stewards left on a review.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ReviewNoteV1 {
    pub id: u128,
    pub assignee: Option<String>,
    pub note: Option<String>,
    pub answer: Option<(i64, String, Option<String>)>,
}

/// Kinds of chunks.
mod kind {
    pub const HEAD: u8 = 1;
    pub const SLOTS: u8 = 2;
    pub const ENTITIES: u8 = 3;
    pub const EDGES: u8 = 4;
    pub const MERGES: u8 = 5;
    pub const REVIEWS: u8 = 6;
    pub const JUDGEMENTS: u8 = 7;
    pub const FEED: u8 = 8;
    pub const KEPT: u8 = 9;
    pub const MODEL: u8 = 10;
    pub const MODEL_PARTS: u8 = 11;
    pub const MODEL_ACTIVE: u8 = 12;
    pub const WEBHOOKS: u8 = 40;
    pub const REFERENCES: u8 = 41;
    pub const OPRF_EPOCHS: u8 = 140;
    pub const OPRF_SPENT: u8 = 141;
    pub const POLICIES: u8 = 50;
    pub const REVIEW_NOTES: u8 = 51;
    pub const ACCOUNTS: u8 = 60;
    pub const ACCOUNT_SLOTS: u8 = 61;
    pub const RELATIONS: u8 = 62;
    pub const FREE_MAIL_REFUSED: u8 = 63;
    pub const CONFLICTS: u8 = 80;
    pub const GROUPS: u8 = 81;
    pub const REMARKS: u8 = 82;
    pub const EPOCHS: u8 = 130;
    pub const QUOTAS: u8 = 131;
    pub const ERASURES: u8 = 90;
    pub const ENDED: u8 = 91;
    pub const GRAVES: u8 = 92;
    pub const RETENTION: u8 = 93;
    pub const WALLS: u8 = 150;
    pub const RESTRICTIONS: u8 = 151;
    pub const CHECKS: u8 = 152;
    pub const DECLARED: u8 = 153;
    pub const DISCOVERY: u8 = 100;
    pub const FINDABLE: u8 = 101;
    pub const BLOCKS: u8 = 102;
    pub const SHARING: u8 = 103;
    pub const OPT_OUTS: u8 = 104;
    pub const SUPPRESSION: u8 = 105;
    pub const USERS: u8 = 106;
    pub const API_KEYS: u8 = 120;
    /// Not frozen: see the module `derived`.
    pub const DERIVED: u8 = 170;
    pub const REST: u8 = 171;
}

/// Where chunks go, as kind and bytes.
type Put<'a, E> = &'a mut dyn FnMut(u8, &[u8]) -> Result<(), E>;

/// Gives every chunk of a shard to `put`, as kind and bytes.
///
/// # Errors
/// Whatever `put` returns.
pub fn write<E>(shard: &Shard, put: Put<'_, E>) -> Result<(), E> {
    write_all(shard, true, put)
}

/// As [`write`], without what is derived from the records: less than two thirds of the bytes, and about three times as long
/// to read.
///
/// # Errors
/// Whatever `put` returns.
pub fn write_bare<E>(shard: &Shard, put: Put<'_, E>) -> Result<(), E> {
    write_all(shard, false, put)
}

#[expect(clippy::too_many_lines, reason = "a line or two for every kind of chunk, in their order")]
fn write_all<E>(shard: &Shard, keeps_derived: bool, put: Put<'_, E>) -> Result<(), E> {
    let head = HeadV1 {
        name: shard.name.to_string(),
        seq: shard.seq.0,
        settings: (*shard.settings).clone().into(),
        kept_prune_at: shard.kept_prune_at as u64,
    };
    put(kind::HEAD, &to_bytes(&head))?;
    rest::write(shard, put)?;
    batches(shard.policies.iter(), policy_out, &mut |batch| put(kind::POLICIES, &to_bytes(&batch)))?;
    write_models(&shard.models, put)?;
    if shard.settings.retention != Retention::default() {
        put(kind::RETENTION, &to_bytes(&vec![discipline::retention_out(shard.settings.retention)]))?;
    }
    if shard.settings.privacy != crate::model::settings::Privacy::default() {
        put(kind::DECLARED, &to_bytes(&vec![privacy::declared_out(&shard.settings.privacy)]))?;
    }
    consent::write_settings(shard, put)?;
    if shard.settings.refuse_free_mail {
        put(kind::FREE_MAIL_REFUSED, &[1])?;
    }
    if shard.is_of_accounts {
        accounts::write_slots(shard, put)?;
    } else {
        write_slots(shard, keeps_derived, put)?;
    }
    let entities = shard.entity_order.iter().filter_map(|id| shard.entity(*id));
    batches(entities, |entity| entity_out(entity), &mut |batch| put(kind::ENTITIES, &to_bytes(&batch)))?;
    let mut edges: Vec<(u32, u32, i32)> = shard.edges.iter().map(|(a, b, weight)| (a, b, weight.0)).collect();
    edges.sort_unstable();
    batches(edges.iter(), |edge| *edge, &mut |batch| put(kind::EDGES, &to_bytes(&batch)))?;
    let merges = shard.merge_order.iter().filter_map(|id| shard.merges.get(id));
    batches(merges, |merge| merge_out(merge), &mut |batch| put(kind::MERGES, &to_bytes(&batch)))?;
    let mut reviews: Vec<_> = shard.reviews.values().collect();
    reviews.sort_unstable_by_key(|review| (review.seq, review.id));
    batches(reviews.iter(), |review| review_out(review), &mut |batch| put(kind::REVIEWS, &to_bytes(&batch)))?;
    let noted = reviews.into_iter().filter_map(|review| review_note_out(review));
    batches(noted, |one| one, &mut |batch| put(kind::REVIEW_NOTES, &to_bytes(&batch)))?;
    let judgements = shard.judgements.all();
    batches(judgements.into_iter(), |one| judgement_out(one), &mut |batch| put(kind::JUDGEMENTS, &to_bytes(&batch)))?;
    batches(shard.feed.iter(), feed_out, &mut |batch| put(kind::FEED, &to_bytes(&batch)))?;
    let mut references: Vec<_> = shard.references.iter().collect();
    references.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let reference_out = |put: &Arc<ReferencePut>| ReferencePutV1::from((**put).clone());
    batches(references.into_iter(), reference_out, &mut |batch| put(kind::REFERENCES, &to_bytes(&batch)))?;
    batches(shard.webhooks.iter(), |hook| webhook_out(hook), &mut |batch| put(kind::WEBHOOKS, &to_bytes(&batch)))?;
    oprf::write(shard, put)?;
    accounts::write(shard, put)?;
    let mut conflicts: Vec<_> = shard.conflicts.iter().collect();
    conflicts.sort_unstable_by_key(|(record, _)| **record);
    batches(conflicts.into_iter(), conflict_out, &mut |batch| put(kind::CONFLICTS, &to_bytes(&batch)))?;
    lookup::write(shard, put)?;
    batches(shard.groups.iter(), group_out, &mut |batch| put(kind::GROUPS, &to_bytes(&batch)))?;
    let grave_out = |gone: &TenantGone| TenantGoneV1::from(gone.clone());
    batches(shard.graves.iter(), grave_out, &mut |batch| put(kind::GRAVES, &to_bytes(&batch)))?;
    let mut api_keys: Vec<_> = shard.api_keys.iter().collect();
    api_keys.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    batches(api_keys.into_iter(), |key| key_out(key), &mut |batch| put(kind::API_KEYS, &to_bytes(&batch)))?;
    if shard.is_ended {
        put(kind::ENDED, &[1])?;
    }
    let erasures = shard.erasures.all().into_iter();
    batches(erasures, erasure_out, &mut |batch| put(kind::ERASURES, &to_bytes(&batch)))?;
    batches(privacy::walls_out(shard).into_iter(), |one| one, &mut |batch| put(kind::WALLS, &to_bytes(&batch)))?;
    let restrictions = privacy::moments_out(shard).into_iter();
    batches(restrictions, |one| one, &mut |batch| put(kind::RESTRICTIONS, &to_bytes(&batch)))?;
    batches(privacy::checks_out(shard).into_iter(), |one| one, &mut |batch| put(kind::CHECKS, &to_bytes(&batch)))?;
    consent::write(shard, put)?;
    let mut kept: Vec<_> = shard.kept.values().collect();
    kept.sort_unstable_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    let kept_out = |kept: &Arc<crate::model::event::AnswerKept>| AnswerKeptV1::from((**kept).clone());
    batches(kept.iter().copied(), kept_out, &mut |batch| put(kind::KEPT, &to_bytes(&batch)))?;
    let remarks = kept.into_iter().filter_map(remarks_out);
    batches(remarks, |one| one, &mut |batch| put(kind::REMARKS, &to_bytes(&batch)))
}

/// Each card with its parts, then which one is active: before the records, whose features are made under it.
fn write_models<E>(models: &Models, put: Put<'_, E>) -> Result<(), E> {
    let part_out = |(model_id, part, bytes): (ModelId, u32, &Vec<u8>)| {
        ModelPartV1::from(ModelPart { model_id, part, bytes: bytes.clone() })
    };
    for trained in &models.trained {
        let card = TrainedV1 { card: trained.card.clone().into(), activated: moment_out(&trained.activated) };
        put(kind::MODEL, &to_bytes(&vec![card]))?;
        for (number, bytes) in (0..).zip(trained.parts.iter()) {
            put(kind::MODEL_PARTS, &to_bytes(&vec![part_out((trained.card.model_id, number, bytes))]))?;
        }
    }
    if let Some((id, parts)) = &models.pending {
        for (number, bytes) in (0..).zip(parts.iter()) {
            put(kind::MODEL_PARTS, &to_bytes(&vec![part_out((*id, number, bytes))]))?;
        }
    }
    if models.trained.is_empty() && models.default_activated.is_none() {
        return Ok(());
    }
    let active = ModelActiveV1 { model_id: models.active.0, default_activated: moment_out(&models.default_activated) };
    put(kind::MODEL_ACTIVE, &to_bytes(&vec![active]))
}

fn moment_out(moment: &Option<(Millis, String)>) -> Option<(i64, String)> {
    moment.as_ref().map(|(at, actor)| (at.0, actor.clone()))
}

fn batches<T, U, E>(
    items: impl Iterator<Item = T>,
    out: impl Fn(T) -> U,
    put: &mut dyn FnMut(Vec<U>) -> Result<(), E>,
) -> Result<(), E> {
    let mut batch = Vec::with_capacity(BATCH);
    for item in items {
        batch.push(out(item));
        if batch.len() == BATCH {
            put(std::mem::take(&mut batch))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { put(batch) }
}

fn policy_out(policy: &Policy) -> PolicyV1 {
    let Policy { seq, at, actor, survivorship, source_trust } = policy.clone();
    let rules = survivorship.chosen().map(|(field, rule)| (field.to_owned(), rule)).collect();
    PolicyV1 { seq: seq.0, set: SurvivorshipSet { rules, source_trust, at, actor }.into() }
}

fn policy_in(stored: PolicyV1) -> Policy {
    let SurvivorshipSet { rules, source_trust, at, actor } = stored.set.into();
    Policy { seq: Seq(stored.seq), at, actor, survivorship: Survivorship::new(rules), source_trust }
}

/// The records with, before each chunk of them, what is derived from them.
fn write_slots<E>(shard: &Shard, keeps_derived: bool, put: Put<'_, E>) -> Result<(), E> {
    let basis = derived::basis(shard);
    for from in (0..shard.slots.len()).step_by(BATCH) {
        let mut derived = keeps_derived.then(derived::Writer::new);
        let slots = shard.slots.iter_from(from).take(BATCH);
        let slots: Vec<SlotV1> = slots.map(|slot| slot_out(slot, derived.as_mut())).collect();
        let bytes = to_bytes(&slots);
        if let Some(derived) = derived {
            put(kind::DERIVED, &derived.finish(&basis, &bytes))?;
        }
        put(kind::SLOTS, &bytes)?;
    }
    Ok(())
}

fn slot_out(slot: &Slot, mut derived: Option<&mut derived::Writer>) -> SlotV1 {
    let counts = |stored: &Stored| slot.current.as_ref().filter(|version| version.stored.seq == stored.seq);
    let mut current = None;
    let mut past = Vec::with_capacity(slot.past.len());
    for one in slot.past.iter() {
        let put = one.put.as_ref().map(|stored| {
            let put = stored.put();
            if let Some(derived) = &mut derived {
                derived.put(stored);
                if let Some(version) = counts(stored) {
                    current = Some((version, affiliation_keys(&put)));
                }
            }
            put.into()
        });
        past.push(PastV1 { seq: one.seq.0, at: one.at.0, actor: one.actor.to_string(), put });
    }
    if let (Some(derived), Some((version, affiliations))) = (derived, current) {
        derived.current(version, &affiliations);
    }
    SlotV1 {
        record_id: slot.record_id.0,
        past,
        current_seq: slot.current.as_ref().map(|version| version.stored.seq.0),
        entity: slot.entity.map(|id| id.0),
        native: slot.native.map(|id| id.0),
        once: slot.once().iter().map(|id| id.0).collect(),
    }
}

fn entity_out(entity: &Entity) -> EntityV1 {
    let moments = entity.moments.iter().map(|moment| MomentV1 {
        seq: moment.seq.0,
        at: moment.at.0,
        actor: moment.actor.to_string(),
        kind: moment.kind as u8,
        members: moment.members.to_vec(),
    });
    EntityV1 {
        id: entity.id.0,
        members: entity.members.to_vec(),
        manual: entity.manual,
        redirect: entity.redirect.map(|id| id.0),
        absorbed: entity.absorbed.iter().map(|id| id.0).collect(),
        deleted: entity.deleted,
        created_at: entity.created_at.0,
        moments: moments.collect(),
        version: entity.version,
        updated_at: entity.updated_at.0,
        updated_seq: entity.updated_seq.0,
        updated_by: entity.updated_by.to_string(),
    }
}

fn merge_out(merge: &Merge) -> MergeV1 {
    MergeV1 {
        merged: merge.merged.clone().into(),
        at: merge.at.0,
        seq: merge.seq.0,
        actor: merge.actor.clone(),
        undone_at: merge.undone_at.map(|at| at.0),
    }
}

fn review_out(review: &Review) -> ReviewV1 {
    ReviewV1 {
        id: review.id.0,
        pair: review.pair.clone().into(),
        left: review.slots.0,
        right: review.slots.1,
        support: review.support.0,
        vetoed: review.vetoed,
        at: review.at.0,
        seq: review.seq.0,
        status: review.status as u8,
    }
}

fn review_note_out(review: &Review) -> Option<ReviewNoteV1> {
    let Review { id, assignee, note, answer, .. } = review;
    let answer = answer.as_ref().map(|answer| (answer.at.0, answer.actor.clone(), answer.reason.clone()));
    let noted = assignee.is_some() || note.is_some() || answer.is_some();
    noted.then(|| ReviewNoteV1 { id: id.0, assignee: assignee.clone(), note: note.clone(), answer })
}

fn judgement_out(judgement: &Judgement) -> JudgementV1 {
    let ids = |records: &[RecordId]| records.iter().map(|id| id.0).collect();
    let (same, left, right) = match &judgement.verdict {
        Verdict::Same(set) => (true, ids(set), Vec::new()),
        Verdict::Different(left, right) => (false, ids(left), ids(right)),
    };
    JudgementV1 { id: judgement.id.0, at: judgement.at.0, same, left, right }
}

fn feed_out(feed: &Feed) -> FeedV1 {
    let entities = feed.entities.iter().map(|id| id.0).collect();
    let of_accounts = if feed.of_accounts { OF_ACCOUNTS } else { 0 };
    FeedV1 { seq: feed.seq.0, at: feed.at.0, kind: feed.kind as u8 | of_accounts, entities }
}

/// Starts a shard from its head chunk.
pub fn begin(tenant: TenantId, kind: u8, payload: &[u8], model: &Arc<Model>) -> Option<Shard> {
    if kind != kind::HEAD {
        return None;
    }
    let head: HeadV1 = rkyv::from_bytes::<HeadV1, rkyv::rancor::Failure>(payload).ok()?;
    let mut shard = Shard::new(tenant, &head.name, Arc::clone(model));
    shard.seq = Seq(head.seq);
    shard.put_settings(head.settings.into());
    shard.kept_prune_at = usize::try_from(head.kept_prune_at).unwrap_or(1024);
    Some(shard)
}

/// Whether a chunk starts a tenant.
pub fn is_head(kind: u8) -> bool {
    kind == kind::HEAD
}

/// Takes one further chunk in. `None`: the bytes are not what the kind says, or the kind is unknown. Of many chunks
/// [`take_in_all`] makes less work.
pub fn take_in(shard: &mut Shard, kind: u8, payload: &[u8]) -> Option<()> {
    let mut pending = Pending::of(shard);
    take_in_all(shard, vec![(kind, payload.to_vec())], &mut pending)?;
    pending.settle(shard);
    Some(())
}

/// Takes in a chunk of a kind of which there are few.
fn take_in_one(shard: &mut Shard, kind: u8, payload: &[u8]) -> Option<()> {
    macro_rules! read {
        ($t:ty) => {
            rkyv::from_bytes::<Vec<$t>, rkyv::rancor::Failure>(payload).ok()?
        };
    }
    match kind {
        kind::POLICIES => read!(PolicyV1).into_iter().for_each(|policy| shard.put_policy(policy_in(policy))),
        kind::MODEL => read!(TrainedV1).into_iter().for_each(|trained| shard.models.restore(trained)),
        kind::MODEL_PARTS => read!(ModelPartV1).into_iter().for_each(|part| shard.models.restore_part(part.into())),
        kind::MODEL_ACTIVE => restore_active(shard, read!(ModelActiveV1))?,
        kind::MERGES => read!(MergeV1).into_iter().for_each(|merge| shard.restore_merge(merge)),
        kind::REVIEWS => read!(ReviewV1).into_iter().for_each(|review| shard.restore_review(review)),
        kind::REVIEW_NOTES => read!(ReviewNoteV1).into_iter().for_each(|note| shard.restore_review_note(note)),
        kind::JUDGEMENTS => read!(JudgementV1).into_iter().for_each(|one| shard.judgements.add(judgement_in(one))),
        kind::WEBHOOKS => read!(WebhookV1).into_iter().for_each(|hook| shard.webhooks.restore(hook)),
        kind::REFERENCES => read!(ReferencePutV1).into_iter().for_each(|put| shard.references.put(put.into())),
        kind::OPRF_EPOCHS | kind::OPRF_SPENT => oprf::take_in(shard, kind, payload)?,
        kind::CONFLICTS => read!(ConflictV1).into_iter().for_each(|one| shard.restore_conflict(one)),
        kind::GROUPS => read!(GroupV1).into_iter().for_each(|one| shard.restore_group(one)),
        kind::RETENTION => {
            let stored = read!(discipline::RetentionV1).pop()?;
            Arc::make_mut(&mut shard.settings).retention = discipline::retention_in(&stored);
        }
        kind::EPOCHS | kind::QUOTAS => lookup::take_in(shard, kind, payload)?,
        kind::DISCOVERY => consent::take_in_settings(shard, payload)?,
        kind::FINDABLE..=kind::USERS => consent::take_in(shard, kind, payload)?,
        kind::GRAVES => {
            Arc::make_mut(&mut shard.graves).extend(read!(TenantGoneV1).into_iter().map(TenantGone::from));
        }
        kind::API_KEYS => read!(ApiKeyV1).into_iter().for_each(|key| shard.api_keys.restore(key)),
        kind::DECLARED => {
            let stored = read!(privacy::DeclaredV1).pop()?;
            Arc::make_mut(&mut shard.settings).privacy = privacy::declared_in(stored);
        }
        kind::WALLS => read!(privacy::WallV1).iter().for_each(|wall| shard.restore_wall(wall)),
        kind::RESTRICTIONS => {
            read!(privacy::RestrictionV1).into_iter().for_each(|one| shard.restore_restriction(one));
        }
        kind::CHECKS => read!(privacy::ChecksV1).into_iter().for_each(|one| shard.restore_checks(one)),
        kind::ENDED => shard.is_ended = true,
        kind::ERASURES => read!(ErasureV1).into_iter().for_each(|one| shard.erasures.put(erasure_in(one))),
        kind::REMARKS => read!(RemarksKeptV1).into_iter().for_each(|one| shard.restore_remarks(one)),
        kind::KEPT => read!(AnswerKeptV1).into_iter().for_each(|kept| {
            shard.kept.insert(kept.key.as_str().into(), Arc::new(kept.into()));
        }),
        kind::ACCOUNTS => accounts::take_in(shard, payload)?,
        kind::ACCOUNT_SLOTS => restore::account_slots(shard, payload)?,
        kind::RELATIONS => read!(RelationPutV1).into_iter().for_each(|put| shard.relations.put(put.into())),
        // All that it says follows from the other chunks.
        kind::REST => {}
        kind::FREE_MAIL_REFUSED => Arc::make_mut(&mut shard.settings).refuse_free_mail = true,
        _ => return None,
    }
    Some(())
}

/// Puts the model in force that the records behind it are made under. `None`: it is not there.
fn restore_active(shard: &mut Shard, stored: Vec<ModelActiveV1>) -> Option<()> {
    for one in stored {
        let id = ModelId(one.model_id);
        let model = shard.models.model(id)?;
        shard.models.active = id;
        shard.models.default_activated = one.default_activated.map(moment_in);
        shard.put_model(&model);
    }
    Some(())
}

fn moment_in((at, actor): (i64, String)) -> (Millis, String) {
    (Millis(at), actor)
}

impl Models {
    fn restore(&mut self, stored: TrainedV1) {
        let activated = stored.activated.map(moment_in);
        self.trained.push(Arc::new(Trained { card: stored.card.into(), parts: Arc::default(), activated }));
    }

    /// A part belongs to the card before it; without one it is the remains of a training that broke off.
    fn restore_part(&mut self, part: ModelPart) {
        match self.trained.iter_mut().find(|trained| trained.card.model_id == part.model_id) {
            Some(trained) => Arc::make_mut(&mut Arc::make_mut(trained).parts).push(part.bytes),
            None => self.part(part),
        }
    }
}

fn judgement_in(one: JudgementV1) -> Judgement {
    let ids = |records: Vec<u128>| records.into_iter().map(RecordId).collect::<Vec<_>>();
    let verdict =
        if one.same { Verdict::Same(ids(one.left)) } else { Verdict::Different(ids(one.left), ids(one.right)) };
    Judgement { id: JudgementId(one.id), at: Millis(one.at), verdict }
}

impl Shard {
    fn restore_merge(&mut self, stored: MergeV1) {
        let merge = Merge {
            merged: stored.merged.into(),
            at: Millis(stored.at),
            seq: Seq(stored.seq),
            actor: stored.actor,
            undone_at: stored.undone_at.map(Millis),
        };
        let id: MergeId = merge.merged.merge_id;
        self.merge_order.push(id);
        self.merges.insert(id, Arc::new(merge));
    }

    fn restore_review_note(&mut self, stored: ReviewNoteV1) {
        let Some(review) = self.reviews.get_mut(&ReviewId(stored.id)) else { return };
        let review = Arc::make_mut(review);
        (review.assignee, review.note) = (stored.assignee, stored.note);
        let answer = stored.answer.map(|(at, actor, reason)| ReviewAnswer { at: Millis(at), actor, reason });
        review.answer = answer;
    }

    fn restore_review(&mut self, stored: ReviewV1) {
        let review = Review {
            id: ReviewId(stored.id),
            pair: stored.pair.into(),
            slots: (stored.left, stored.right),
            support: Millibits(stored.support),
            vetoed: stored.vetoed,
            at: Millis(stored.at),
            seq: Seq(stored.seq),
            status: ReviewStatus::from_number(stored.status),
            assignee: None,
            note: None,
            answer: None,
        };
        if review.status.is_open() {
            self.reviews_open += 1;
            for slot in [stored.left, stored.right] {
                Arc::make_mut(self.reviews_of.entry_or_insert_with(&slot, Arc::default)).push(review.id);
            }
        }
        self.reviews.insert(review.id, Arc::new(review));
    }
}
