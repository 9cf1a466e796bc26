//! How much memory a tenant takes, by part: what a sample of it asked the allocator for, times how many there are.
//!
//! Looking at everything would take as long as the tenant is large, and `stats` are asked for often. So of every large part
//! [`SAMPLE_MAX`] items are looked at, evenly spread; of maps the sizes of their entries are known. `cargo bench --bench
//! memory` compares this with what the allocator counts.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use crate::model::ids::EntityId;
use crate::store::shard::{Entity, Feed, Merge, Moment, Past, Review, Shard, Slot, Version};
use crate::store::stored::Stored;

/// Items of a part that are looked at.
const SAMPLE_MAX: usize = 1024;
/// Counts of an `Arc`, beside what is in it.
const COUNTS: usize = 16;
/// What an entry of a persistent map takes beside key and value: its share of nodes and of their spare room.
const MAP_ENTRY: usize = 24;

/// Estimated bytes by part.
pub fn bytes(shard: &Shard) -> BTreeMap<&'static str, u64> {
    let slots = |at: usize| shard.slots.get(at).map(of_slot);
    let contact = |at: usize| {
        let entity = shard.entities.get(shard.entity_order.get(at)?)?;
        Some(of_entity(entity) + size_of::<EntityId>())
    };
    let merge = |at: usize| Some(of_merge(shard.merges.get(shard.merge_order.get(at)?)?));
    let feed = |at: usize| shard.feed.get(at).map(|one| size_of::<Feed>() + of_vec(&one.entities));
    let entry = |value: usize| (MAP_ENTRY + value) as u64;
    BTreeMap::from([
        ("records", sampled(shard.slots.len(), slots)),
        // Where records are, by id and by key: nine bytes each and what is above.
        ("record_keys", shard.slots.len() as u64 * 20),
        ("postings", shard.postings.bytes()),
        ("edges", shard.edges.len() as u64 * 26),
        ("contacts", sampled(shard.entity_order.len(), contact) + shard.entities.len() as u64 * entry(24)),
        ("merges", sampled(shard.merge_order.len(), merge) + shard.merges.len() as u64 * entry(40)),
        ("feed", sampled(shard.feed.len(), feed)),
        ("names", shard.names.bytes()),
        ("reviews", shard.reviews.len() as u64 * (entry(24) + (COUNTS + size_of::<Review>()) as u64)),
        ("models", shard.models.bytes()),
        ("references", shard.references.len() as u64 * 260),
        ("accounts", shard.accounts.as_ref().map_or(0, |accounts| bytes(accounts).values().sum())),
        ("relations", shard.relations.len() as u64 * 420 + shard.affiliations.bytes()),
    ])
}

/// What `count` items take, by those that are looked at.
fn sampled(count: usize, size: impl Fn(usize) -> Option<usize>) -> u64 {
    let step = count.div_ceil(SAMPLE_MAX).max(1);
    let sizes: Vec<usize> = (0..count).step_by(step).filter_map(size).collect();
    let all: usize = sizes.iter().sum();
    (all as u64 * count as u64).checked_div(sizes.len() as u64).unwrap_or(0)
}

fn of_vec<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

fn of_slot(slot: &Slot) -> usize {
    let past: usize = slot.past.iter().filter_map(|past| past.put.as_ref()).map(of_stored).sum();
    let current = slot.current.as_ref().map_or(0, |version| of_version(version));
    let lists = COUNTS + size_of::<Vec<Past>>() + of_vec(&slot.past);
    let once = slot.once.as_ref().map_or(0, |ids| COUNTS + size_of::<Vec<EntityId>>() + of_vec(ids));
    size_of::<Slot>() + lists + once + past + current
}

fn of_stored(stored: &Arc<Stored>) -> usize {
    COUNTS + size_of::<Stored>() + stored.heap_bytes()
}

/// Without what was put, which is among the past.
fn of_version(version: &Version) -> usize {
    COUNTS + size_of::<Version>() + version.features.bytes() + version.keys.heap_bytes()
}

fn of_entity(entity: &Arc<Entity>) -> usize {
    let moments = size_of::<Vec<Moment>>() + of_vec(&entity.moments);
    // The last moment shares its list of records with the contact.
    let members = entity.moments.iter().map(|moment| COUNTS + moment.members.len() * size_of::<u32>());
    2 * COUNTS + size_of::<Entity>() + moments + of_vec(&entity.absorbed) + members.sum::<usize>()
}

fn of_merge(merge: &Arc<Merge>) -> usize {
    let merged = &merge.merged;
    let texts = merge.actor.len() + merged.reason.as_ref().map_or(0, String::len);
    COUNTS + size_of::<Merge>() + of_vec(&merged.left) + of_vec(&merged.right) + texts
}
