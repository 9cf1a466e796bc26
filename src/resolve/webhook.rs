//! Webhooks: who may be registered, and what a report of the deliverer changes. Pure, like every decision.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::event::{
    DeliveryDied, DeliverySettled, DeliveryWanted, Event, FeedPlace, WebhookDeleted, WebhookDelivered, WebhookDisabled,
    WebhookPut,
};
use crate::model::ids::{DeliveryId, Seq, WebhookId};
use crate::resolve::upsert::{Now, Step};
use crate::store::shard::{FeedKind, Shard};
use crate::store::webhooks::Webhook;

/// Webhooks of one tenant at most.
pub const WEBHOOKS_MAX: usize = 20;

/// A webhook as it is asked for; its URL is checked already.
#[derive(Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where deliveries go.
    pub url: String,
    /// The kinds of change it wants; empty: all.
    pub kinds: Vec<FeedKind>,
    /// What deliveries are signed with; missing: one is made.
    pub secret: Option<String>,
    /// It hears what comes after this seq; missing: what comes after now.
    pub after: Option<Seq>,
}

/// Not derived, so that no diagnostic ever shows the secret.
impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewWebhook").field("kinds", &self.kinds).field("after", &self.after).finish_non_exhaustive()
    }
}

/// What the deliverer reports of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Everything up to here was delivered, or is not wanted.
    Delivered {
        /// The last entry.
        through: FeedPlace,
    },
    /// A delivery was given up; the webhook goes on behind it.
    Died {
        /// Its id.
        delivery: DeliveryId,
        /// Its first entry.
        first: FeedPlace,
        /// Its last entry.
        last: FeedPlace,
        /// How often it was tried, ever.
        attempts: u32,
        /// What the last attempt met.
        error: String,
    },
    /// A dead delivery got through.
    Settled {
        /// Which.
        delivery: DeliveryId,
    },
    /// The receiver wants no more.
    Disabled {
        /// Why.
        note: String,
    },
}

/// A webhook by its id.
///
/// # Errors
/// `NotFound` with code `webhook_unknown`.
pub fn known(shard: &Shard, id: WebhookId) -> Result<&Arc<Webhook>> {
    let unknown = || Error::NotFound { code: "webhook_unknown", what: "webhook".into() };
    shard.webhooks.get(id).ok_or_else(unknown)
}

/// Registers a webhook under a new id. `secret` is what it signs with unless it brought its own.
///
/// # Errors
/// `Conflict` with code `webhooks_full`; `Invalid` for an `after` that has not been yet.
pub fn create(shard: &Shard, new: &NewWebhook, id: WebhookId, secret: &str, now: Now<'_>) -> Result<Vec<Step>> {
    if shard.webhooks.len() >= WEBHOOKS_MAX {
        let reason = format!("a tenant has at most {WEBHOOKS_MAX} webhooks; delete one that is no longer used");
        return Err(Error::Conflict { code: "webhooks_full", reason, holder: None });
    }
    let after = new.after.unwrap_or(shard.seq);
    if after > shard.seq {
        let reason =
            format!("is {}, the tenant is at {}; leave it out to hear what comes from now on", after.0, shard.seq.0);
        return Err(Error::invalid("after", reason));
    }
    let put = WebhookPut {
        webhook_id: id,
        url: new.url.clone(),
        kinds: new.kinds.iter().map(|kind| *kind as u8).collect(),
        secret: new.secret.as_deref().unwrap_or(secret).to_owned(),
        after: FeedPlace::behind(after),
        at: now.at,
        actor: now.actor.to_owned(),
    };
    Ok(vec![Step::Event(Event::WebhookPut(put))])
}

/// Ends a webhook.
///
/// # Errors
/// `NotFound`.
pub fn delete(shard: &Shard, id: WebhookId, now: Now<'_>) -> Result<Vec<Step>> {
    known(shard, id)?;
    let gone = WebhookDeleted { webhook_id: id, at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::WebhookDeleted(gone))])
}

/// Wants a dead delivery sent again. One that is wanted already makes no event.
///
/// # Errors
/// `NotFound` for the webhook and the delivery, `Conflict` for a webhook that gets no more deliveries.
pub fn retry(shard: &Shard, id: WebhookId, delivery: DeliveryId, now: Now<'_>) -> Result<Vec<Step>> {
    let hook = known(shard, id)?;
    let unknown = || Error::NotFound { code: "delivery_unknown", what: "dead delivery".into() };
    let letter = hook.dead_letter(delivery).ok_or_else(unknown)?;
    if hook.disabled.is_some() {
        let reason = "this webhook was disabled by its receiver; register a new one with `after`".into();
        return Err(Error::Conflict { code: "webhook_disabled", reason, holder: None });
    }
    if letter.wanted {
        return Ok(Vec::new());
    }
    let wanted = DeliveryWanted { webhook_id: id, delivery_id: delivery, at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::DeliveryWanted(wanted))])
}

/// Takes a report in. One that says nothing new makes no event.
///
/// # Errors
/// `NotFound` when the webhook is gone.
pub fn report(shard: &Shard, id: WebhookId, report: &Report, now: Now<'_>) -> Result<Vec<Step>> {
    let hook = known(shard, id)?;
    let (webhook_id, at) = (id, now.at);
    let event = match report.clone() {
        Report::Delivered { through } if through <= hook.through => return Ok(Vec::new()),
        Report::Delivered { through } => Event::WebhookDelivered(WebhookDelivered { webhook_id, through, at }),
        Report::Died { delivery, first, last, attempts, error } => {
            Event::DeliveryDied(DeliveryDied { webhook_id, delivery_id: delivery, first, last, attempts, error, at })
        }
        Report::Settled { delivery } if hook.dead_letter(delivery).is_none() => return Ok(Vec::new()),
        Report::Settled { delivery } => {
            Event::DeliverySettled(DeliverySettled { webhook_id, delivery_id: delivery, at })
        }
        Report::Disabled { .. } if hook.disabled.is_some() => return Ok(Vec::new()),
        Report::Disabled { note } => Event::WebhookDisabled(WebhookDisabled { webhook_id, note, at }),
    };
    Ok(vec![Step::Event(event)])
}
