//! How much memory a tenant takes, by part: estimates from counts, not measurements of the allocator.

use std::collections::BTreeMap;
use std::mem::size_of;

use crate::store::shard::{Entity, Feed, Shard, Slot, Version};

/// Estimated bytes by part.
pub fn bytes(shard: &Shard) -> BTreeMap<&'static str, u64> {
    let slots = shard.slots.len() as u64;
    // Text of a record: raw and normalised, as the journal holds it, measured on contact files.
    let record = (size_of::<Slot>() + size_of::<Version>() + 700) as u64;
    BTreeMap::from([
        ("records", slots * record),
        ("record_keys", slots * (20 * 16 + 20)),
        ("postings", shard.postings.bytes()),
        ("edges", shard.edges.len() as u64 * 26),
        ("contacts", shard.entities.len() as u64 * (size_of::<Entity>() as u64 + 120)),
        ("feed", shard.feed.len() as u64 * (size_of::<Feed>() as u64 + 16)),
        ("names", shard.names.bytes()),
        ("reviews", shard.reviews.len() as u64 * 200),
        ("models", shard.models.bytes()),
        ("references", shard.references.len() as u64 * 260),
        ("accounts", shard.accounts.as_ref().map_or(0, |accounts| bytes(accounts).values().sum())),
        ("relations", shard.relations.len() as u64 * 420 + shard.affiliations.bytes()),
    ])
}
