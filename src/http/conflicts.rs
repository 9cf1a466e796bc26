//! Records whose source said two things under one version and time, and picking one.

use axum::Json;

use crate::engine::api::Command;
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::merges::PageParams;
use crate::http::problem::Problem;
use crate::http::records::affected;
use crate::http::wire::discipline::{ConflictDecisionRequest, ConflictOut};
use crate::http::wire::id_texts;
use crate::http::wire::read::{PageOut, page_limit};
use crate::http::wire::write::AffectedAnswer;
use crate::model::ids::{RecordId, Seq};

/// The open conflicts: records whose source said different things under one version and time.
///
/// A record is ordered by its `version`, then by its `source_updated_at`: a higher one wins, a lower one is `stale`. Equal
/// ones with different content answer `conflict`: one of the two counts meanwhile, and a person picks. A higher version ends
/// the conflict.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/conflicts", tag = "conflicts", operation_id = "listConflicts",
    params(("tenant" = String, Path), PageParams),
    responses((status = 200, body = PageOut<ConflictOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    Params(params): Params<PageParams>,
) -> Result<Json<PageOut<ConflictOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let page = scope.view()?.conflicts(limit, params.cursor.as_deref())?;
    Ok(Json(PageOut { items: page.items.iter().map(ConflictOut::from).collect(), next_cursor: page.next }))
}

/// Picks the version of a record that counts; the others are not asked about again. `keep` is the `seq` of one of them.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/conflicts/{record_id}/decision", tag = "conflicts", operation_id = "decideConflict",
    params(("tenant" = String, Path), ("record_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = ConflictDecisionRequest,
    responses((status = 200, body = AffectedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn decide(
    PathId(record): PathId<RecordId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<ConflictDecisionRequest>,
) -> Result<Json<AffectedAnswer>, Problem> {
    let receipt = scope.submit(Command::SettleConflict { record, keep: Seq(body.keep) }, context).await?;
    Ok(Json(AffectedAnswer { affected: id_texts(&affected(&receipt)), seq: receipt.seq.0 }))
}
