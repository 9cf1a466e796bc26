//! What a delivery says and what it is called.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::webhooks::{DeadLetter, PlacedEntry};
use crate::http::delivery::sign::signature;
use crate::http::delivery::target::Target;
use crate::http::wire::read::FeedOut;
use crate::model::event::FeedPlace;
use crate::model::ids::{DeliveryId, Millis, TenantName, WebhookId};

/// Who is calling.
const AGENT: &str = concat!("selfsame/", env!("CARGO_PKG_VERSION"));

/// What is POSTed to a webhook: a batch of the change feed, oldest first. It names contacts and holds no value of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryBody {
    /// The tenant.
    tenant: String,
    /// The webhook.
    webhook_id: String,
    /// The delivery: the same id means the same entries.
    delivery_id: String,
    /// 1 to 100 entries, as `GET changes` gives them.
    changes: Vec<FeedOut>,
}

/// A batch that is ready to be sent, as often as it takes.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) id: DeliveryId,
    pub(super) first: FeedPlace,
    pub(super) last: FeedPlace,
    pub(super) entries: usize,
    body: Bytes,
}

impl Delivery {
    /// A delivery of these entries; `None` without any.
    pub(super) fn new(tenant: &TenantName, hook: WebhookId, entries: &[PlacedEntry]) -> Option<Self> {
        let (first, last) = (entries.first()?.place, entries.last()?.place);
        Self::named(tenant, hook, delivery_id(hook, first, last), (first, last), entries)
    }

    /// A dead letter once more, under the id and with the places it had; `None` when nothing of it is left.
    pub(super) fn again(
        tenant: &TenantName,
        hook: WebhookId,
        letter: &DeadLetter,
        entries: &[PlacedEntry],
    ) -> Option<Self> {
        entries.first()?;
        Self::named(tenant, hook, letter.id, (letter.first, letter.last), entries)
    }

    fn named(
        tenant: &TenantName,
        hook: WebhookId,
        id: DeliveryId,
        (first, last): (FeedPlace, FeedPlace),
        entries: &[PlacedEntry],
    ) -> Option<Self> {
        let body = DeliveryBody {
            tenant: tenant.to_string(),
            webhook_id: hook.to_string(),
            delivery_id: id.to_string(),
            changes: entries.iter().map(|placed| FeedOut::from(&placed.entry)).collect(),
        };
        let body = serde_json::to_vec(&body).ok()?.into();
        Some(Self { id, first, last, entries: entries.len(), body })
    }

    /// The request of one attempt, signed for the moment it is sent.
    pub(super) fn request(
        &self,
        hook: WebhookId,
        secret: &str,
        target: &Target,
        now: Millis,
    ) -> Option<Request<Full<Bytes>>> {
        let timestamp = now.0.div_euclid(1000).to_string();
        let signature = signature(secret, &timestamp, &self.body);
        Request::post(target.path.as_str())
            .header(HOST, target.authority.as_str())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("selfsame-webhook-id", hook.to_string())
            .header("selfsame-delivery-id", self.id.to_string())
            .header("selfsame-timestamp", timestamp)
            .header("selfsame-signature", signature)
            .body(Full::new(self.body.clone()))
            .ok()
    }
}

/// A function of what is delivered, so that a repeat after a crash has the id of the first time.
fn delivery_id(hook: WebhookId, first: FeedPlace, last: FeedPlace) -> DeliveryId {
    let mut hasher = blake3::Hasher::new_derive_key("selfsame 2026 webhook delivery id");
    hasher.update(&hook.0.to_le_bytes());
    for place in [first, last] {
        hasher.update(&place.seq.0.to_le_bytes()).update(&place.part.to_le_bytes());
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    // UUID version 8 is for makers' own ways.
    DeliveryId(uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::api::FeedEntry;
    use crate::model::ids::{EntityId, Seq};
    use crate::store::shard::FeedKind;

    fn entry(seq: u64, part: u32) -> PlacedEntry {
        let (seq, kind) = (Seq(seq), FeedKind::Merged);
        let entry =
            FeedEntry { seq, kind: kind.word(), contacts: vec![EntityId(7)], of_accounts: false, at: Millis(0) };
        PlacedEntry { place: FeedPlace { seq, part }, kind, entry }
    }

    #[test]
    fn a_delivery_names_itself_and_signs_what_it_sends() {
        let tenant = TenantName::parse("main").unwrap();
        let target = Target::parse("https://example.com:8443/hook?a=b", false).unwrap();
        let delivery = Delivery::new(&tenant, WebhookId(1), &[entry(3, 0), entry(3, 1)]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!((json["tenant"].as_str(), json["changes"].as_array().unwrap().len()), (Some("main"), 2));
        assert_eq!(json["changes"][0]["kind"], "merged");
        let request = delivery.request(WebhookId(1), "s", &target, Millis(1_800_000_000_999)).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((request.uri().to_string(), header("host")), ("/hook?a=b".into(), "example.com:8443".into()));
        assert_eq!(header("selfsame-timestamp"), "1800000000");
        assert_eq!(header("selfsame-signature"), signature("s", "1800000000", &delivery.body));
        assert_eq!(header("selfsame-delivery-id"), json["delivery_id"].as_str().unwrap());
    }

    #[test]
    fn the_same_entries_have_the_same_id_and_others_another() {
        let tenant = TenantName::parse("main").unwrap();
        let id = |hook: u128, entries: &[PlacedEntry]| Delivery::new(&tenant, WebhookId(hook), entries).unwrap().id;
        let one = id(1, &[entry(3, 0), entry(3, 1)]);
        assert_eq!(one, id(1, &[entry(3, 0), entry(3, 1)]));
        for other in [id(2, &[entry(3, 0), entry(3, 1)]), id(1, &[entry(3, 0)]), id(1, &[entry(3, 0), entry(4, 1)])] {
            assert_ne!(one, other);
        }
        assert!(Delivery::new(&tenant, WebhookId(1), &[]).is_none());
    }
}
