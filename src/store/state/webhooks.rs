//! Webhooks as a snapshot chunk, and back. FROZEN types, like those of the module above.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use crate::model::event::v1::{DeliveryDiedV1, WebhookPutV1};
use crate::model::event::{DeliveryDied, WebhookPut};
use crate::model::ids::Millis;
use crate::store::webhooks::{DeadLetter, Webhook, Webhooks};

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct DeadLetterV1 {
    pub died: DeliveryDiedV1,
    pub wanted: bool,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct WebhookV1 {
    /// Its `after` is how far it has heard by now.
    pub put: WebhookPutV1,
    pub dead: Vec<DeadLetterV1>,
    pub dead_dropped: u64,
    pub disabled: Option<(i64, String)>,
}

/// A webhook as it is stored.
pub(super) fn webhook_out(hook: &Webhook) -> WebhookV1 {
    let put = WebhookPut {
        webhook_id: hook.id,
        url: hook.url.clone(),
        kinds: hook.kinds.iter().map(|kind| *kind as u8).collect(),
        secret: hook.secret.clone(),
        after: hook.through,
        at: hook.created_at,
        actor: hook.actor.clone(),
    };
    let letter = |letter: &Arc<DeadLetter>| {
        let DeadLetter { id, first, last, attempts, error, at, wanted } = (**letter).clone();
        let died = DeliveryDied { webhook_id: hook.id, delivery_id: id, first, last, attempts, error, at };
        DeadLetterV1 { died: died.into(), wanted }
    };
    WebhookV1 {
        put: put.into(),
        dead: hook.dead.iter().map(letter).collect(),
        dead_dropped: hook.dead_dropped,
        disabled: hook.disabled.as_ref().map(|(at, note)| (at.0, note.clone())),
    }
}

impl Webhooks {
    pub(super) fn restore(&mut self, stored: WebhookV1) {
        let put: WebhookPut = stored.put.into();
        let id = put.webhook_id;
        self.put(put);
        let letter = |stored: DeadLetterV1| {
            let DeliveryDied { delivery_id, first, last, attempts, error, at, .. } = stored.died.into();
            Arc::new(DeadLetter { id: delivery_id, first, last, attempts, error, at, wanted: stored.wanted })
        };
        self.change(id, |hook| {
            hook.dead = stored.dead.into_iter().map(letter).collect();
            hook.dead_dropped = stored.dead_dropped;
            hook.disabled = stored.disabled.map(|(at, note)| (Millis(at), note));
        });
    }
}
