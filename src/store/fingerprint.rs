//! Whether two states are equal: a digest over everything that a replay must bring back.
//!
//! Each item is hashed on its own and the hashes are added up, so the order in which maps give their
//! items does not matter. Two shards with the same digest hold the same records, contacts, edges, merges and reviews.
//! Indexes are left out: they are made from the records by the running version, and old data must keep its digest.

use crate::model::ids::ModelId;
use crate::store::models::Models;
use crate::store::shard::{Entity, Shard, Slot};
use crate::store::webhooks::Webhooks;

/// A digest of a shard's state, as 64 hex digits.
pub fn fingerprint(shard: &Shard) -> String {
    let mut sum = Sum::default();
    sum.add(b"head", &[shard.seq.0, shard.contacts_live, shard.records_live, shard.reviews_open]);
    for (at, slot) in shard.slots.iter().enumerate() {
        add_slot(&mut sum, at as u64, slot);
    }
    for (slot, other, weight) in shard.edges.both_ways() {
        sum.add(b"edge", &[u64::from(slot), u64::from(other), u64::from(weight.0.cast_unsigned())]);
    }
    for entity in shard.entities.values() {
        add_entity(&mut sum, entity);
    }
    for (at, id) in shard.entity_order.iter().enumerate() {
        sum.add(b"order", &[at as u64, high(id.0), low(id.0)]);
    }
    for merge in shard.merges.values() {
        let undone = merge.undone_at.map_or(0, |at| at.0.cast_unsigned());
        let m = &merge.merged;
        sum.add(
            b"merge",
            &[high(m.merge_id.0), low(m.merge_id.0), low(m.survivor.0), low(m.loser.0), merge.seq.0, undone],
        );
    }
    for review in shard.reviews.values() {
        let (a, b) = review.slots;
        let status = review.status as u64;
        sum.add(
            b"review",
            &[low(review.id.0), u64::from(a), u64::from(b), status, u64::from(review.pair.weight.0.cast_unsigned())],
        );
        if review.assignee.is_some() || review.note.is_some() {
            let noted = format!("{:?} {:?}", review.assignee, review.note);
            sum.add(b"noted", &[low(review.id.0), digest(noted.as_bytes())]);
        }
    }
    for judgement in shard.judgements.all() {
        sum.add(b"judge", &[high(judgement.id.0), low(judgement.id.0), judgement.at.0.cast_unsigned()]);
    }
    add_models(&mut sum, &shard.models);
    add_webhooks(&mut sum, &shard.webhooks);
    add_oprf(&mut sum, shard);
    for put in shard.references.iter() {
        sum.add(b"reference", &[digest(format!("{put:?}").as_bytes()), high(put.anchor.0), low(put.anchor.0)]);
    }
    if let Some(accounts) = &shard.accounts {
        // Its seq is that of the last event about accounts, and nothing hangs on it.
        let inner = fingerprint(&Shard { seq: crate::model::ids::Seq(0), ..(**accounts).clone() });
        sum.add(b"accounts", &[digest(inner.as_bytes())]);
    }
    for relation in shard.relations.iter() {
        sum.add(b"relation", &[digest(format!("{relation:?}").as_bytes())]);
    }
    if shard.settings.refuse_free_mail {
        sum.add(b"refuse_free_mail", &[]);
    }
    for policy in shard.policies.iter() {
        let rules = format!("{:?} {:?}", policy.survivorship, policy.source_trust);
        sum.add(b"policy", &[policy.seq.0, policy.at.0.cast_unsigned(), digest(rules.as_bytes())]);
    }
    for (record, conflict) in shard.conflicts.iter() {
        sum.add(b"conflict", &[high(record.0), low(record.0), digest(format!("{conflict:?}").as_bytes())]);
    }
    for (slug, group) in shard.groups.iter() {
        sum.add(b"group", &[digest(slug.as_bytes()), digest(format!("{group:?}").as_bytes())]);
    }
    add_erasures(&mut sum, shard);
    add_privacy(&mut sum, shard);
    for feed in shard.feed.iter() {
        let of = if feed.of_accounts { b"feed of accounts".as_slice() } else { b"feed" };
        sum.add(of, &[feed.seq.0, feed.kind as u64, feed.entities.len() as u64, feed.at.0.cast_unsigned()]);
    }
    sum.hex()
}

/// Adds nothing while nobody was erased and things are kept as long as by default.
fn add_erasures(sum: &mut Sum, shard: &Shard) {
    add_consents(sum, shard);
    if shard.settings.retention != crate::model::settings::Retention::default() {
        sum.add(b"retention", &[digest(format!("{:?}", shard.settings.retention).as_bytes())]);
    }
    if shard.is_ended {
        sum.add(b"ended", &[]);
    }
    for gone in shard.graves.iter() {
        sum.add(b"grave", &[digest(format!("{gone:?}").as_bytes())]);
    }
    if shard.epochs != crate::store::lookup::Epochs::default() {
        sum.add(b"epochs", &[digest(format!("{:?}", shard.epochs).as_bytes())]);
    }
    for (key, level) in shard.quotas.all() {
        sum.add(b"quota", &[high(key.1), low(key.1), digest(format!("{key:?} {level:?}").as_bytes())]);
    }
    add_api_keys(sum, shard);
    for erasure in shard.erasures.all() {
        sum.add(b"erasure", &[erasure.seq, digest(format!("{erasure:?}").as_bytes())]);
    }
}

/// Adds nothing while there are none.
fn add_api_keys(sum: &mut Sum, shard: &Shard) {
    for key in shard.api_keys.iter() {
        let before = key.before.map(|(hash, until)| (digest(&hash), until));
        let rest = (&key.tenants, &key.label, &key.principal, key.rate, key.expires_at, key.used_at, key.revoked_at);
        let text =
            format!("{key:?} {before:?} {rest:?} {} {:?}", key.create_tenants, (key.created_at, &key.created_by));
        sum.add(b"api key", &[digest(&key.hash), digest(text.as_bytes())]);
    }
}

/// Adds nothing while nobody is restricted, nothing is declared and nobody was asked about an identifier.
fn add_privacy(sum: &mut Sum, shard: &Shard) {
    if shard.settings.privacy != crate::model::settings::Privacy::default() {
        sum.add(b"declared", &[digest(format!("{:?}", shard.settings.privacy).as_bytes())]);
    }
    for (record, contact) in shard.privacy.walls() {
        sum.add(b"wall", &[high(record.0), low(record.0), high(contact.0), low(contact.0)]);
    }
    for (contact, moments) in shard.privacy.all_moments() {
        sum.add(b"restriction", &[high(contact.0), low(contact.0), digest(format!("{moments:?}").as_bytes())]);
    }
    for (record, checks) in shard.privacy.all_checks() {
        sum.add(b"checks", &[high(record.0), low(record.0), digest(format!("{checks:?}").as_bytes())]);
    }
}

/// Adds nothing while no model was trained, so that a state without any keeps its digest.
fn add_models(sum: &mut Sum, models: &Models) {
    let pieces =
        |parts: &[Vec<u8>]| parts.iter().fold(0, |sum: u64, part| sum.wrapping_mul(31).wrapping_add(digest(part)));
    for (at, trained) in (0..).zip(&models.trained) {
        let (id, end) = (trained.card.model_id.0, trained.card.end as u64);
        let active = u64::from(models.active == trained.card.model_id);
        let activated = trained.activated.as_ref().map_or(0, |(at, _)| at.0.cast_unsigned());
        sum.add(
            b"model",
            &[at, high(id), low(id), end, trained.card.records, pieces(&trained.parts), active, activated],
        );
    }
    if let Some((id, parts)) = &models.pending {
        sum.add(b"parts", &[high(id.0), low(id.0), pieces(parts)]);
    }
    if let Some((at, _)) = &models.default_activated {
        sum.add(b"default", &[at.0.cast_unsigned(), u64::from(models.active == ModelId::DEFAULT)]);
    }
}

/// Adds nothing while nothing was said.
fn add_consents(sum: &mut Sum, shard: &Shard) {
    let discovery = &shard.settings.discovery;
    if *discovery != crate::model::settings::Discovery::default() {
        sum.add(b"discovery", &[digest(format!("{discovery:?}").as_bytes())]);
    }
    let consents = &shard.consents;
    if consents.is_empty() {
        return;
    }
    for (id, said) in consents.policies() {
        sum.add(b"policy", &[high(id.0), low(id.0), digest(format!("{said:?}").as_bytes())]);
    }
    for (id, said) in consents.all_sharing() {
        sum.add(b"sharing", &[high(id.0), low(id.0), digest(format!("{said:?}").as_bytes())]);
    }
    for block in consents.all_blocks() {
        sum.add(b"block", &[digest(format!("{block:?}").as_bytes())]);
    }
    for (id, at) in consents.out_contacts() {
        sum.add(b"out", &[high(id.0), low(id.0), at.0.cast_unsigned()]);
    }
    for (id, at) in consents.out_records() {
        sum.add(b"record out", &[high(id.0), low(id.0), at.0.cast_unsigned()]);
    }
    for tag in consents.suppressed() {
        sum.add(b"tag", &[high(tag), low(tag), u64::from(consents.generation())]);
    }
    for (contact, user) in consents.users() {
        sum.add(b"user", &[high(contact.0), low(contact.0), high(user.0), low(user.0)]);
    }
}

/// Adds nothing while no key was ever in force.
fn add_oprf(sum: &mut Sum, shard: &Shard) {
    for epoch in shard.oprf.epochs() {
        sum.add(b"oprf", &[digest(format!("{epoch:?}").as_bytes())]);
    }
    for (key, spent) in shard.oprf.all_spent() {
        sum.add(b"oprf spent", &[digest(format!("{key:?} {spent:?}").as_bytes())]);
    }
}

/// Adds nothing while there are none.
fn add_webhooks(sum: &mut Sum, webhooks: &Webhooks) {
    for (at, hook) in (0..).zip(webhooks.iter()) {
        let text = digest(format!("{}\0{}\0{:?}\0{:?}", hook.url, hook.secret, hook.kinds, hook.disabled).as_bytes());
        let (id, through) = (hook.id.0, (hook.through.seq.0, u64::from(hook.through.part)));
        sum.add(b"hook", &[at, high(id), low(id), text, through.0, through.1, hook.dead_dropped]);
        for (at, letter) in (0..).zip(&hook.dead) {
            sum.add(b"dead", &[low(id), at, digest(format!("{letter:?}").as_bytes())]);
        }
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn add_slot(sum: &mut Sum, at: u64, slot: &Slot) {
    let entity = slot.entity.map_or(0, |id| id.0);
    let native = slot.native.map_or(0, |id| id.0);
    let hash = slot.current.as_ref().map_or(0, |version| version.stored.content_hash);
    sum.add(
        b"slot",
        &[at, high(slot.record_id.0), low(slot.record_id.0), high(entity), low(entity), high(native), low(native)],
    );
    sum.add(b"content", &[at, high(hash), low(hash), slot.past.len() as u64, slot.once().len() as u64]);
}

fn add_entity(sum: &mut Sum, entity: &Entity) {
    let redirect = entity.redirect.map_or(0, |id| id.0);
    let flags = u64::from(entity.deleted);
    sum.add(
        b"entity",
        &[
            high(entity.id.0),
            low(entity.id.0),
            high(redirect),
            low(redirect),
            flags,
            entity.version,
            entity.updated_seq.0,
        ],
    );
    for member in entity.members.iter() {
        sum.add(b"member", &[high(entity.id.0), low(entity.id.0), u64::from(*member)]);
    }
    for moment in entity.moments.iter() {
        sum.add(b"moment", &[low(entity.id.0), moment.seq.0, moment.kind as u64, moment.members.len() as u64]);
    }
}

fn high(id: u128) -> u64 {
    (id >> 64) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(id: u128) -> u64 {
    id as u64
}

#[derive(Default)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, kind: &[u8], parts: &[u64]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind);
        for part in parts {
            hasher.update(&part.to_le_bytes());
        }
        let hash = hasher.finalize();
        for (sum, bytes) in self.0.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            *sum = sum.wrapping_add(u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        }
    }

    fn hex(&self) -> String {
        self.0.iter().map(|part| format!("{part:016x}")).collect()
    }
}
