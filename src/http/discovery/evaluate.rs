//! Evaluations. This file knows blinded elements and a gate, and cannot name a record: a test reads it for that.

use axum::Json;

use crate::http::discovery::gate::Gate;
use crate::http::extract::{Asked, NoParams, Params};
use crate::http::problem::Problem;
use crate::http::wire::oblivious::{EvaluateRequest, EvaluatedOut};

/// Evaluates blinded identifiers under the directory's key, without seeing them.
///
/// RFC 9497, ristretto255-SHA512, mode VOPRF (1). The input to blind is `selfsame1`, a byte (1 phone, 2 email) and the SHA-256
/// of the identifier: of a phone in E.164 with `+`, of an email in lower case with its domain in ASCII. Of the 64 bytes of
/// output the first 8 are looked for in a bucket or the filter, the next 16 are the key for `reveal`; keep both for as long
/// as the epoch lasts, and asking again costs nothing.
///
/// At most 1,000 elements, each the base64url of 32 bytes. Every one is charged before the work, found or not; a request in which one
/// is no element is refused and not charged. The proof says that all were evaluated under the public key: pin that one in
/// your app, for without a proof a server may use a key for you alone and so tell your look-ups apart.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/discovery/oprf/evaluate", tag = "discovery", operation_id = "evaluateOprf",
    params(("tenant" = String, Path)), request_body = EvaluateRequest,
    responses((status = 200, body = EvaluatedOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn evaluate(
    gate: Gate,
    _: Params<NoParams>,
    Asked(request): Asked<EvaluateRequest>,
) -> Result<Json<EvaluatedOut>, Problem> {
    let blinded = request.elements()?;
    let answered = gate.evaluate(request.epoch, blinded, request.proof).await?;
    Ok(Json(EvaluatedOut::from(&answered)))
}
