//! What a deliverer of webhooks needs of the engine: whose webhooks changed, and the feed by places.
//!
//! The deliverer itself talks to other machines and so belongs to `http`; what it reports goes through the tenant's
//! writer like every other command.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::engine::api::FeedEntry;
use crate::engine::{Engine, View, lock};
use crate::error::Result;
use crate::model::event::FeedPlace;
use crate::model::ids::{Seq, TenantName, WebhookId};
use crate::resolve::webhook::known;
use crate::store::shard::{Feed, FeedKind};
pub use crate::store::webhooks::{DeadLetter, Webhook};

/// Tenants whose webhooks changed since somebody looked: at most one entry a tenant.
#[derive(Default)]
pub(crate) struct WebhookNews {
    changed: Mutex<BTreeSet<TenantName>>,
    bell: Notify,
}

impl WebhookNews {
    /// Says that a tenant's webhooks changed.
    pub(crate) fn tell(&self, tenant: &TenantName) {
        lock(&self.changed).insert(tenant.clone());
        self.bell.notify_one();
    }
}

impl Engine {
    /// Waits until webhooks changed and says whose; right after the start, all tenants that have any. For one listener.
    pub async fn webhook_news(&self) -> Vec<TenantName> {
        let news = &self.core.webhook_news;
        loop {
            let changed = std::mem::take(&mut *lock(&news.changed));
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            news.bell.notified().await;
        }
    }
}

/// An entry of the change feed with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedEntry {
    /// Its place.
    pub place: FeedPlace,
    /// What kind of change, for filters.
    pub kind: FeedKind,
    /// The entry.
    pub entry: FeedEntry,
}

impl View {
    /// The tenant's webhooks, oldest first.
    pub fn webhooks(&self) -> Vec<Arc<Webhook>> {
        self.shard().webhooks.iter().cloned().collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` with code `webhook_unknown`.
    pub fn webhook(&self, id: WebhookId) -> Result<Arc<Webhook>> {
        known(self.shard(), id).cloned()
    }

    /// The entries behind a place, oldest first. Unlike [`View::changes`] this may be left off between two entries of one
    /// event: their places tell them apart.
    pub fn feed_after(&self, after: FeedPlace) -> impl Iterator<Item = PlacedEntry> {
        let first = self.feed_index(|seq| seq < after.seq);
        let end = self.feed_index(|seq| seq <= after.seq);
        let part = usize::try_from(after.part).unwrap_or(usize::MAX);
        let start = first.saturating_add(part).saturating_add(1).min(end);
        let part = u32::try_from(start - first).unwrap_or(u32::MAX);
        self.feed_from(start, FeedPlace { seq: after.seq, part })
    }

    /// The entries from one place to another, both included, oldest first.
    pub fn feed_range(&self, first: FeedPlace, last: FeedPlace) -> Vec<PlacedEntry> {
        let start = self.feed_index(|seq| seq < first.seq);
        let entries = self.feed_from(start, FeedPlace { seq: first.seq, part: 0 });
        entries.skip_while(|placed| placed.place < first).take_while(|placed| placed.place <= last).collect()
    }

    /// The entries from an index on, of which the first is at `place` if it is of that seq at all.
    fn feed_from(&self, start: usize, place: FeedPlace) -> impl Iterator<Item = PlacedEntry> {
        self.shard().feed.iter_from(start).scan(place, |next, entry| {
            let part = if entry.seq == next.seq { next.part } else { 0 };
            *next = FeedPlace { seq: entry.seq, part: part.saturating_add(1) };
            Some(placed(entry, part))
        })
    }

    /// How many entries come first whose seq passes; those that pass come before those that do not.
    fn feed_index(&self, passes: impl Fn(Seq) -> bool) -> usize {
        let feed = &self.shard().feed;
        let (mut low, mut high) = (0, feed.len());
        while low < high {
            let middle = low.midpoint(high);
            if feed.get(middle).is_some_and(|entry| passes(entry.seq)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

fn placed(feed: &Feed, part: u32) -> PlacedEntry {
    let (seq, at, of_accounts) = (feed.seq, feed.at, feed.of_accounts);
    let entry = FeedEntry { seq, kind: feed.kind.word(), contacts: feed.entities.clone(), of_accounts, at };
    PlacedEntry { place: FeedPlace { seq: feed.seq, part }, kind: feed.kind, entry }
}
