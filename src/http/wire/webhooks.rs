//! Webhooks: what is asked for, and what is shown. The secret is shown once, in the answer that registers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::api::NewWebhook;
use crate::engine::webhooks::{DeadLetter, Webhook};
use crate::error::{Error, Result};
use crate::http::wire::time;
use crate::http::wire::write::WriteBody;
use crate::model::ids::Seq;
use crate::store::shard::FeedKind;

/// Characters of a secret, least and most.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// Registers a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookRequest {
    /// Where deliveries go, at most 2,048 bytes: `https`, no user info, no fragment, a public address. (With
    /// `webhooks_allow_private = true` in the server's configuration also `http` and any address.)
    pub(crate) url: String,
    /// The kinds of change to hear of: `created`, `updated`, `merged`, `unmerged`, `split`, `deleted`, `restored`.
    /// Missing or empty: all.
    #[serde(default)]
    pub(crate) kinds: Vec<String>,
    /// What deliveries are signed with, 16 to 256 ASCII characters without spaces. Missing: one is made.
    pub(crate) secret: Option<String>,
    /// A cursor of `GET changes`: hear what comes after it; `0` is the beginning. Missing: what comes from now on.
    pub(crate) after: Option<String>,
    /// Makes a retry return the first answer, for 24 hours.
    pub(crate) idempotency_key: Option<String>,
}

impl WriteBody for WebhookRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl WebhookRequest {
    /// Checks all but the URL.
    pub(crate) fn checked(self) -> Result<NewWebhook> {
        let kinds = self.kinds.iter().enumerate().map(|(at, word)| kind(at, word)).collect::<Result<Vec<_>>>()?;
        let ascii =
            |secret: &String| SECRET_BYTES.contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic());
        if self.secret.as_ref().is_some_and(|secret| !ascii(secret)) {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            let reason =
                format!("must be {least} to {most} ASCII characters without spaces; leave it out to have one made");
            return Err(Error::invalid("secret", reason));
        }
        let no_cursor = |_| Error::invalid("after", "is no cursor of the change feed");
        let after = self.after.map(|text| text.parse().map(Seq).map_err(no_cursor)).transpose()?;
        Ok(NewWebhook { url: self.url, kinds, secret: self.secret, after })
    }
}

fn kind(at: usize, word: &str) -> Result<FeedKind> {
    FeedKind::from_word(word).ok_or_else(|| {
        let known: Vec<&str> = FeedKind::all().map(FeedKind::word).collect();
        Error::invalid(format!("kinds[{at}]"), format!("is none of {}", known.join(", ")))
    })
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookOut {
    /// Its id.
    webhook_id: String,
    /// Where deliveries go.
    url: String,
    /// The kinds of change it hears of; empty: all.
    kinds: Vec<String>,
    /// `active`, or `disabled` after its receiver answered 410.
    status: String,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The seq up to which it has heard for sure; written down every few seconds, so it may have heard more.
    through: u64,
    /// Dead letters that are kept.
    dead: u64,
    /// Older dead letters that were dropped, as only the newest 1,000 are kept.
    dead_dropped: u64,
    /// When it was registered.
    created_at: String,
    /// Who registered it.
    created_by: String,
}

impl From<&Webhook> for WebhookOut {
    fn from(hook: &Webhook) -> Self {
        Self {
            webhook_id: hook.id.to_string(),
            url: hook.url.clone(),
            kinds: hook.kinds.iter().map(|kind| kind.word().to_owned()).collect(),
            status: if hook.disabled.is_some() { "disabled" } else { "active" }.to_owned(),
            note: hook.disabled.as_ref().map(|(at, note)| format!("{note}, {}", time(*at))),
            through: hook.through.seq.0,
            dead: hook.dead.len() as u64,
            dead_dropped: hook.dead_dropped,
            created_at: time(hook.created_at),
            created_by: hook.actor.clone(),
        }
    }
}

/// A webhook that was registered, with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookAnswer {
    #[serde(flatten)]
    pub(crate) webhook: WebhookOut,
    /// What deliveries are signed with. Shown here and never again.
    pub(crate) secret: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A webhook that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookGone {
    /// Its id.
    pub(crate) webhook_id: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadOut {
    /// The delivery.
    delivery_id: String,
    /// The seq of its first entry.
    first_seq: u64,
    /// The seq of its last entry.
    last_seq: u64,
    /// How often it was tried, ever.
    attempts: u32,
    /// What the last attempt met: the status, or why there was none.
    error: String,
    /// When it was given up last.
    at: String,
    /// It waits to be sent again.
    retrying: bool,
}

impl From<&DeadLetter> for DeadOut {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            delivery_id: letter.id.to_string(),
            first_seq: letter.first.seq.0,
            last_seq: letter.last.seq.0,
            attempts: letter.attempts,
            error: letter.error.clone(),
            at: time(letter.at),
            retrying: letter.wanted,
        }
    }
}

/// That a dead delivery will be sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetryAnswer {
    /// The delivery.
    pub(crate) delivery_id: String,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::json::from_slice;

    #[test]
    fn every_part_is_checked_and_named() {
        for (json, field) in [
            (r#"{"url": "u", "kinds": ["created", "vanished"]}"#, Some("kinds[1]")),
            (r#"{"url": "u", "secret": "short"}"#, Some("secret")),
            (r#"{"url": "u", "secret": "sixteen and more with spaces"}"#, Some("secret")),
            (r#"{"url": "u", "after": "x"}"#, Some("after")),
            (r#"{"url": "u", "events": []}"#, Some("events")),
            (r#"{}"#, Some("body")),
            (r#"{"url": "u", "kinds": ["created", "restored"], "secret": "0123456789abcdef", "after": "0"}"#, None),
        ] {
            let answer = from_slice::<WebhookRequest>(json.as_bytes()).and_then(WebhookRequest::checked);
            match (answer, field) {
                (Ok(new), None) => assert_eq!((new.kinds.len(), new.after), (2, Some(Seq(0)))),
                (Err(Error::Invalid { field: named, .. }), Some(field)) => assert_eq!(named, field, "{json}"),
                (other, _) => panic!("{json}: {:?}", other.is_ok()),
            }
        }
    }

    #[test]
    fn every_kind_has_its_word() {
        let words: Vec<&str> = FeedKind::all().map(FeedKind::word).collect();
        assert_eq!(
            words,
            ["created", "updated", "merged", "unmerged", "split", "deleted", "restored", "erased", "joined", "left"]
        );
        assert!(FeedKind::all().all(|kind| FeedKind::from_word(kind.word()) == Some(kind)));
        assert_eq!(FeedKind::from_word("Created"), None);
    }
}
