//! A tenant learns from its own records: what `dedupe` does with a file, done with a shard.
//!
//! Learning begins with the shipped weights, with the frequencies and the size class of these records, whatever model
//! decides now; so what is learned is a function of the records, the verdicts and the settings. Records are sorted by
//! their key first: neither their slots nor the order they came in can be seen. Which values are left out of the frequencies in the end,
//! since one contact alone has them, is a matter of the contacts as they are.

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::matching::model::Model;
use crate::model::ids::{RecordId, RecordKey};
use crate::model::normalized::Normalized;
use crate::resolve::batch::{Batch, BatchRecord, Lesson, Verdicts};
use crate::store::judge::{Judgement, Verdict};
use crate::store::shard::{Shard, Version};

/// Learns from the records of a shard. `go_on` is asked now and then; `None`: it said no.
pub fn learn(shard: &Shard, go_on: &dyn Fn() -> bool) -> Option<Lesson> {
    let mut versions: Vec<&Version> = (0..shard.next_slot())
        .filter(|slot| !shard.is_restricted_slot(*slot))
        .filter_map(|slot| shard.evidence(slot).map(AsRef::as_ref))
        .collect();
    versions.sort_unstable_by(|a, b| key(a).cmp(key(b)));
    let read: Vec<Normalized> = versions.par_iter().map(|version| version.stored.put().normalized).collect();
    let record = |(version, normalized)| BatchRecord { key: Some(key(version)), normalized };
    let records: Vec<BatchRecord<'_>> = versions.iter().copied().zip(&read).map(record).collect();
    let normalized = records.iter().map(|record| record.normalized);
    let base = Model::default_model().with_size_class(records.len()).with_frequencies(normalized);
    let (business_keys, users) = (shard.settings.business_keys, shard.model.users.clone());
    let base = Model { business_keys, users, ..base };
    let mut lesson = Batch::lesson(&records, verdicts(shard, &versions), &base, &shard.settings, go_on)?;
    let contacts = versions.iter().map(|version| contact(shard, version));
    lesson.model = lesson.model.without_singles(records.iter().map(|record| record.normalized).zip(contacts));
    Some(lesson)
}

/// A number for the contact that has a record; a record without one is on its own.
fn contact(shard: &Shard, version: &Version) -> u64 {
    let slot = shard.slot_of(version.stored.record_id);
    let contact = slot.and_then(|slot| shard.slot(slot)?.entity).and_then(|id| shard.entity(id));
    let first = contact.and_then(|contact| contact.members.iter().copied().min()).or(slot);
    first.map_or(u64::MAX, u64::from)
}

fn key(version: &Version) -> &RecordKey {
    &version.stored.key
}

/// What people said of these records, by place.
fn verdicts(shard: &Shard, versions: &[&Version]) -> Verdicts {
    let place: HashMap<RecordId, u32> =
        (0..).zip(versions).map(|(at, version)| (version.stored.record_id, at)).collect();
    let mut verdicts = Verdicts::default();
    for judgement in shard.judgements.all() {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (a, b) in pairs_of(judgement) {
            let (Some(&a), Some(&b)) = (place.get(&a), place.get(&b)) else { continue };
            pairs.push((a.min(b), a.max(b)));
        }
        let same = matches!(judgement.verdict, Verdict::Same(_));
        pairs.retain(|(a, b)| counts(shard, versions, *a, *b) == Some(same));
        pairs.sort_unstable();
        pairs.dedup();
        if !pairs.is_empty() {
            verdicts.said.push((same, pairs));
        }
    }
    for (at, version) in (0..).zip(versions) {
        for partner in shard.judgements.partners(version.stored.record_id) {
            let Some(&other) = place.get(&partner.record) else { continue };
            match partner.same {
                true => verdicts.same.entry(at).or_default().push((other, partner.at)),
                false => verdicts.different.entry(at).or_default().push(other),
            }
        }
    }
    verdicts
}

/// The pairs that a judgement speaks of.
fn pairs_of(judgement: &Judgement) -> Vec<(RecordId, RecordId)> {
    match &judgement.verdict {
        Verdict::Same(set) => {
            let rest = |at: usize| set.iter().skip(at + 1).copied();
            set.iter().enumerate().flat_map(|(at, a)| rest(at).map(|b| (*a, b))).collect()
        }
        Verdict::Different(left, right) => left.iter().flat_map(|a| right.iter().map(|b| (*a, *b))).collect(),
    }
}

/// The word that counts for a pair: the latest one's.
fn counts(shard: &Shard, versions: &[&Version], a: u32, b: u32) -> Option<bool> {
    let id = |at: u32| versions.get(at as usize).map(|version| version.stored.record_id);
    let (a, b) = id(a).zip(id(b))?;
    let partners = shard.judgements.partners(a);
    partners.iter().find(|partner| partner.record == b).map(|partner| partner.same)
}
