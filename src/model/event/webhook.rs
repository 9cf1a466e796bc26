//! What is to be told to other systems, as facts: who listens, how far each has heard, and what did not get through.
//!
//! No payload here holds a value of a person: a delivery is named by its places in the change feed, and what was sent is
//! read from the feed again.

use crate::model::ids::{DeliveryId, Millis, Seq, WebhookId};

/// A place in the change feed: one entry, or right before the first of a seq's entries and right behind its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPlace {
    /// The event that made the entry.
    pub seq: Seq,
    /// Which of that event's entries, from 0; `u32::MAX` is behind all of them.
    pub part: u32,
}

impl FeedPlace {
    /// Behind everything that an event made.
    pub fn behind(seq: Seq) -> Self {
        Self { seq, part: u32::MAX }
    }
}

/// A webhook is registered.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookPut {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Where deliveries go.
    pub url: String,
    /// The kinds of change it wants, as the feed numbers them; empty: all.
    pub kinds: Vec<u8>,
    /// What deliveries are signed with.
    pub secret: String,
    /// It hears what comes after this.
    pub after: FeedPlace,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Not derived, so that neither diagnostics nor `journal dump` ever show the secret.
impl std::fmt::Debug for WebhookPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { webhook_id, url, kinds, secret: _, after, at, actor } = self;
        f.debug_struct("WebhookPut")
            .field("webhook_id", webhook_id)
            .field("url", url)
            .field("kinds", kinds)
            .field("after", after)
            .field("at", at)
            .field("actor", actor)
            .finish_non_exhaustive()
    }
}

/// A webhook is gone, with its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDeleted {
    /// Which.
    pub webhook_id: WebhookId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// A webhook has heard everything up to here. Written at coarse steps: it may have heard more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivered {
    /// Which.
    pub webhook_id: WebhookId,
    /// The last entry that was delivered or that it does not want.
    pub through: FeedPlace,
    /// When.
    pub at: Millis,
}

/// A delivery was given up. One that was given up before is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryDied {
    /// Whose.
    pub webhook_id: WebhookId,
    /// Its id.
    pub delivery_id: DeliveryId,
    /// Its first entry.
    pub first: FeedPlace,
    /// Its last entry. The webhook goes on behind it.
    pub last: FeedPlace,
    /// How often it was tried, ever.
    pub attempts: u32,
    /// What the last attempt met.
    pub error: String,
    /// When.
    pub at: Millis,
}

/// Somebody wants a dead delivery sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryWanted {
    /// Whose.
    pub webhook_id: WebhookId,
    /// Which.
    pub delivery_id: DeliveryId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// A dead delivery got through after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettled {
    /// Whose.
    pub webhook_id: WebhookId,
    /// Which.
    pub delivery_id: DeliveryId,
    /// When.
    pub at: Millis,
}

/// A webhook gets no more deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDisabled {
    /// Which.
    pub webhook_id: WebhookId,
    /// Why.
    pub note: String,
    /// When.
    pub at: Millis,
}
