//! Webhooks of a tenant: who listens, how far each has heard, and the deliveries that were given up.
//!
//! How far one has heard is written at coarse steps, so a restart repeats some deliveries and leaves none out. The newest
//! [`DEAD_MAX`] dead letters of a webhook are kept; how many older ones fell off is counted.

use std::sync::Arc;

use crate::model::event::{
    DeliveryDied, DeliverySettled, DeliveryWanted, FeedPlace, WebhookDeleted, WebhookDelivered, WebhookDisabled,
    WebhookPut,
};
use crate::model::ids::{DeliveryId, Millis, WebhookId};
use crate::store::shard::FeedKind;

/// Dead letters of one webhook that are kept.
pub const DEAD_MAX: usize = 1000;

/// All webhooks of a tenant, oldest first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    pub(in crate::store) all: Arc<Vec<Arc<Webhook>>>,
}

/// Somebody who wants to hear of changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where deliveries go.
    pub url: String,
    /// The kinds of change it wants; empty: all.
    pub kinds: Vec<FeedKind>,
    /// What deliveries are signed with.
    pub secret: String,
    /// When it was registered.
    pub created_at: Millis,
    /// Who registered it.
    pub actor: String,
    /// The last entry of the feed that it has heard for sure.
    pub through: FeedPlace,
    /// Deliveries that were given up, oldest first.
    pub dead: Vec<Arc<DeadLetter>>,
    /// Dead letters that fell off the list.
    pub dead_dropped: u64,
    /// When and why it gets no more deliveries; missing: it does.
    pub disabled: Option<(Millis, String)>,
}

/// Not derived, so that no diagnostic ever shows the secret.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("through", &self.through).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Whether it wants to hear of a kind of change.
    pub fn wants(&self, kind: FeedKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// A dead letter.
    pub fn dead_letter(&self, id: DeliveryId) -> Option<&Arc<DeadLetter>> {
        self.dead.iter().find(|letter| letter.id == id)
    }
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeliveryId,
    /// Its first entry.
    pub first: FeedPlace,
    /// Its last entry.
    pub last: FeedPlace,
    /// How often it was tried, ever.
    pub attempts: u32,
    /// What the last attempt met.
    pub error: String,
    /// When it was given up last.
    pub at: Millis,
    /// Somebody wants it sent again.
    pub wanted: bool,
}

impl Webhooks {
    /// One of them.
    pub fn get(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.all.iter().find(|hook| hook.id == id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether nothing has changed since the other was cloned from this one, or this one from the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.all, &other.all)
    }

    pub(in crate::store) fn change(&mut self, id: WebhookId, change: impl FnOnce(&mut Webhook)) {
        if let Some(hook) = Arc::make_mut(&mut self.all).iter_mut().find(|hook| hook.id == id) {
            change(Arc::make_mut(hook));
        }
    }

    pub(in crate::store) fn put(&mut self, put: WebhookPut) {
        let hook = Webhook {
            id: put.webhook_id,
            url: put.url,
            kinds: put.kinds.into_iter().map(FeedKind::from_number).collect(),
            secret: put.secret,
            created_at: put.at,
            actor: put.actor,
            through: put.after,
            dead: Vec::new(),
            dead_dropped: 0,
            disabled: None,
        };
        Arc::make_mut(&mut self.all).push(Arc::new(hook));
    }

    pub(in crate::store) fn deleted(&mut self, gone: &WebhookDeleted) {
        Arc::make_mut(&mut self.all).retain(|hook| hook.id != gone.webhook_id);
    }

    pub(in crate::store) fn delivered(&mut self, delivered: &WebhookDelivered) {
        self.change(delivered.webhook_id, |hook| hook.through = hook.through.max(delivered.through));
    }

    pub(in crate::store) fn died(&mut self, died: DeliveryDied) {
        let DeliveryDied { webhook_id, delivery_id, first, last, attempts, error, at } = died;
        let letter = DeadLetter { id: delivery_id, first, last, attempts, error, at, wanted: false };
        self.change(webhook_id, |hook| {
            hook.through = hook.through.max(last);
            if let Some(same) = hook.dead.iter_mut().find(|other| other.id == delivery_id) {
                *same = Arc::new(letter);
                return;
            }
            if hook.dead.len() >= DEAD_MAX {
                hook.dead.remove(0);
                hook.dead_dropped += 1;
            }
            hook.dead.push(Arc::new(letter));
        });
    }

    pub(in crate::store) fn wanted(&mut self, wanted: &DeliveryWanted) {
        self.change(wanted.webhook_id, |hook| {
            if let Some(letter) = hook.dead.iter_mut().find(|letter| letter.id == wanted.delivery_id) {
                Arc::make_mut(letter).wanted = true;
            }
        });
    }

    pub(in crate::store) fn settled(&mut self, settled: &DeliverySettled) {
        self.change(settled.webhook_id, |hook| hook.dead.retain(|letter| letter.id != settled.delivery_id));
    }

    pub(in crate::store) fn disabled(&mut self, disabled: WebhookDisabled) {
        self.change(disabled.webhook_id, |hook| hook.disabled = Some((disabled.at, disabled.note)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Seq;

    fn place(seq: u64) -> FeedPlace {
        FeedPlace::behind(Seq(seq))
    }

    fn died(number: u64) -> DeliveryDied {
        DeliveryDied {
            webhook_id: WebhookId(1),
            delivery_id: DeliveryId(u128::from(number)),
            first: place(number),
            last: place(number),
            attempts: 3,
            error: "status 500".into(),
            at: Millis(0),
        }
    }

    #[test]
    fn the_newest_dead_letters_are_kept_and_the_rest_counted() {
        let mut hooks = Webhooks::default();
        let (url, secret, actor) = ("https://example.com".to_owned(), "hunter2".to_owned(), "me".to_owned());
        let (webhook_id, kinds, at) = (WebhookId(1), vec![FeedKind::Deleted as u8], Millis(0));
        let put = WebhookPut { webhook_id, url, kinds, secret, after: place(0), at, actor };
        assert!(!format!("{put:?}").contains("hunter2"));
        hooks.put(put);
        let before = hooks.clone();
        (1..=DEAD_MAX as u64 + 5).for_each(|number| hooks.died(died(number)));
        hooks.died(died(DEAD_MAX as u64));
        let hook = hooks.get(WebhookId(1)).unwrap();
        assert_eq!((hook.dead.len(), hook.dead_dropped, hook.dead[0].id), (DEAD_MAX, 5, DeliveryId(6)));
        assert_eq!(hook.through, place(DEAD_MAX as u64 + 5), "a letter that dies again takes nobody back");
        assert!(hook.wants(FeedKind::Deleted) && !hook.wants(FeedKind::Created));
        assert!(before.get(WebhookId(1)).unwrap().dead.is_empty() && !before.is_same(&hooks));
        assert!(!format!("{hook:?}").contains("hunter2"));
    }
}
