//! Webhooks: who hears of changes, what did not get through, and sending it again.

use axum::Json;
use axum::http::StatusCode;

use crate::engine::api::{Answer, Command, WebhookCommand};
use crate::http::extract::{NoParams, Params, PathId, PathTexts, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::id;
use crate::http::wire::read::PageOut;
use crate::http::wire::webhooks::{DeadOut, RetryAnswer, WebhookAnswer, WebhookGone, WebhookOut, WebhookRequest};
use crate::http::wire::write::Nothing;
use crate::model::ids::WebhookId;

/// The tenant's webhooks, oldest first, without their secrets.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(("tenant" = String, Path)),
    responses((status = 200, body = PageOut<WebhookOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, _: Params<NoParams>) -> Result<Json<PageOut<WebhookOut>>, Problem> {
    let items = scope.view()?.webhooks().iter().map(|hook| WebhookOut::from(&**hook)).collect();
    Ok(Json(PageOut { items, next_cursor: None }))
}

/// Registers a webhook, at most 20 a tenant. The answer shows its secret, once.
///
/// The change feed is POSTed to it as JSON in batches of 1 to 100 entries (the schema `DeliveryBody`), in the feed's order, the
/// next when the one before is through. Each entry is delivered at least once: a repeat after a failure has the same
/// delivery id, a restart of the server may repeat entries, which their `seq` tells. Entries name contacts and hold no
/// value of them.
///
/// Every delivery carries `selfsame-webhook-id`, `selfsame-delivery-id`, `selfsame-timestamp` (seconds since 1970) and
/// `selfsame-signature`: HMAC-SHA256 under the secret over the timestamp, a full stop and the body, as lower-case hex.
/// Refuse what is not signed so, or older than some minutes.
///
/// Any 2xx status counts as delivered, and the answer's body is not read. 410 disables the webhook. Redirects are not
/// followed. Anything else, or no answer in time, is tried again after waits that double; after the last attempt the
/// delivery is a dead letter and the next one's turn comes.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks", tag = "webhooks", operation_id = "createWebhook",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = WebhookRequest,
    responses((status = 201, body = WebhookAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<WebhookRequest>,
) -> Result<(StatusCode, Json<WebhookAnswer>), Problem> {
    let new = body.checked()?;
    scope.app.deliverer()?.check_target(&new.url).await?;
    let receipt = scope.submit(Command::Webhook(WebhookCommand::Create(Box::new(new))), context).await?;
    let Answer::Webhook(id) = receipt.answer else { return Err(Problem::internal()) };
    let hook = scope.view()?.webhook(id)?;
    let answer = WebhookAnswer { webhook: WebhookOut::from(&*hook), secret: hook.secret.clone(), seq: receipt.seq.0 };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// One webhook, without its secret.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks", operation_id = "getWebhook",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = WebhookOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<WebhookId>,
    _: Params<NoParams>,
) -> Result<Json<WebhookOut>, Problem> {
    Ok(Json(WebhookOut::from(&*scope.view()?.webhook(id)?)))
}

/// Ends a webhook; its dead letters go with it.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks", operation_id = "deleteWebhook",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = WebhookGone), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    PathId(id): PathId<WebhookId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<WebhookGone>, Problem> {
    let receipt = scope.submit(Command::Webhook(WebhookCommand::Delete(id)), context).await?;
    Ok(Json(WebhookGone { webhook_id: id.to_string(), seq: receipt.seq.0 }))
}

/// The deliveries that were given up, oldest first; the newest 1,000 are kept.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks/{id}/dead", tag = "webhooks", operation_id = "listDeadDeliveries",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = PageOut<DeadOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn dead(
    scope: Scope,
    PathId(id): PathId<WebhookId>,
    _: Params<NoParams>,
) -> Result<Json<PageOut<DeadOut>>, Problem> {
    let hook = scope.view()?.webhook(id)?;
    let items = hook.dead.iter().map(|letter| DeadOut::from(&**letter)).collect();
    Ok(Json(PageOut { items, next_cursor: None }))
}

/// Sends a dead delivery again, in one attempt, as the webhook's next, without waiting for a retry that is due later. It leaves the list when it gets through; otherwise
/// it stays, with the new error. Its entries are older than what was delivered since: their `seq` says so.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/dead/{delivery_id}/retry", tag = "webhooks",
    operation_id = "retryDeadDelivery",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("delivery_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    request_body = Option<Nothing>,
    responses((status = 202, body = RetryAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn retry(
    path: PathTexts<2>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<(StatusCode, Json<RetryAnswer>), Problem> {
    let PathTexts([hook, delivery]) = path;
    let (hook, delivery) = (id("id", &hook)?, id("delivery_id", &delivery)?);
    let receipt = scope.submit(Command::Webhook(WebhookCommand::Retry(hook, delivery)), context).await?;
    let answer = RetryAnswer { delivery_id: delivery.to_string(), seq: receipt.seq.0 };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
