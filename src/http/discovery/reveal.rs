//! Who stands behind what a caller found.

use std::sync::Arc;

use axum::Json;

use crate::engine::oprf::reveal::Reveal;
use crate::http::extract::{Asked, NoParams, Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::oblivious::{RevealRequest, RevealedOut};

/// The contacts behind outputs, in order: what the caller found in a bucket or the filter and wants to know more of.
///
/// `null` for nobody, for somebody who opted out meanwhile, and for one who blocks the asker: nothing tells these apart. As
/// many keys are revealed as were evaluated for the caller in the epoch, and what is revealed is in the audit trail. At most
/// 1,000 keys, each the base64url of 16 bytes.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/discovery/reveal", tag = "discovery", operation_id = "revealOprf",
    params(("tenant" = String, Path)), request_body = RevealRequest,
    responses((status = 200, body = RevealedOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn reveal(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<RevealRequest>,
) -> Result<Json<RevealedOut>, Problem> {
    let reveal = Reveal {
        keys: request.parsed()?,
        epoch: request.epoch,
        asker: request.asker,
        principal: scope.caller.principal.clone(),
        actor: scope.caller.actor.clone(),
    };
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let found = scope.app.heavy(move || engine.reveal(&tenant, &reveal)).await?;
    Ok(Json(RevealedOut::from(found)))
}
