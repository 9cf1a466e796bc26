//! The audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::app::App;
use crate::http::extract::{Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::erasure::AuditOut;
use crate::http::wire::read::{PageOut, page_limit};

/// Where a page of the trail begins and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParams {
    /// `next_cursor` of the page before; missing: from the beginning.
    after: Option<String>,
    /// Entries at most.
    limit: Option<usize>,
}

/// Who wrote, merged, judged, erased and exported what, oldest first, by ids. `seq` is the frame of the journal, whose chain
/// of digests `selfsame journal check` verifies.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/audit", tag = "erasure", operation_id = "listAudit",
    params(("tenant" = String, Path), AuditParams),
    responses((status = 200, body = PageOut<AuditOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    Params(params): Params<AuditParams>,
) -> Result<Json<PageOut<AuditOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    scope.view()?;
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let page = scope.app.heavy(move || engine.audit(&tenant, params.after.as_deref(), limit)).await?;
    Ok(Json(PageOut { items: page.items.iter().map(AuditOut::from).collect(), next_cursor: page.next }))
}

/// Who made, rotated and revoked API keys, took backups and changed keys at rest, oldest first.
#[utoipa::path(
    get, path = "/v1/admin/audit", tag = "admin", operation_id = "listServerAudit",
    params(AuditParams),
    responses((status = 200, body = PageOut<AuditOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list_of_server(
    State(app): State<App>,
    Params(params): Params<AuditParams>,
) -> Result<Json<PageOut<AuditOut>>, Problem> {
    let limit = page_limit(params.limit, app.config().page_max)?;
    let engine = Arc::clone(app.engine()?);
    let page = app.heavy(move || engine.audit_of_server(params.after.as_deref(), limit)).await?;
    Ok(Json(PageOut { items: page.items.iter().map(AuditOut::from).collect(), next_cursor: page.next }))
}
