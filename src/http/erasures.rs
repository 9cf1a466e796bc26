//! Erasure: how far it is, whole tenants, and waiting until every file is clean.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::engine::api::{Answer, Command};
use crate::engine::erase::Erasure;
use crate::http::app::App;
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::erasure::{CompactedOut, ErasureOut, TenantAnswer, TenantErasedAnswer, TenantErasureOut};
use crate::http::wire::read::PageOut;
use crate::http::wire::write::Nothing;
use crate::model::ids::EraseId;

/// The erasures of contacts, oldest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures", tag = "erasure", operation_id = "listErasures",
    params(("tenant" = String, Path)),
    responses((status = 200, body = PageOut<ErasureOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, _: Params<NoParams>) -> Result<Json<PageOut<ErasureOut>>, Problem> {
    let all = scope.view()?.erasures();
    let out = |one: &Arc<Erasure>| ErasureOut::from(&scope.engine.with_backups(one));
    Ok(Json(PageOut { items: all.iter().map(out).collect(), next_cursor: None }))
}

/// One erasure: whether every file of the data directory is clean, and which backups still hold the person.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures/{id}", tag = "erasure", operation_id = "getErasure",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ErasureOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<EraseId>,
    _: Params<NoParams>,
) -> Result<Json<ErasureOut>, Problem> {
    let erasure = scope.view()?.erasure(id)?;
    Ok(Json(ErasureOut::from(&scope.engine.with_backups(&erasure))))
}

/// Takes what was erased out of every file now, and answers when that is done. Writers and readers go on. Nothing waits:
/// nothing is done.
#[utoipa::path(
    post, path = "/v1/admin/compact", tag = "admin", operation_id = "compact",
    responses((status = 200, body = CompactedOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn compact(State(app): State<App>, _: Params<NoParams>) -> Result<Json<CompactedOut>, Problem> {
    let engine = Arc::clone(app.engine()?);
    Ok(Json(CompactedOut::from(&app.heavy(move || engine.compact()).await?)))
}

/// Makes a tenant that is empty. One that exists stays as it is.
#[utoipa::path(
    put, path = "/v1/admin/tenants/{tenant}", tag = "admin", operation_id = "putTenant",
    params(("tenant" = String, Path)),
    responses((status = 200, body = TenantAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put_tenant(
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<TenantAnswer>, Problem> {
    let receipt = scope.submit(Command::CreateTenant, context).await?;
    Ok(Json(TenantAnswer { tenant: scope.tenant.to_string(), seq: receipt.seq.0 }))
}

/// Erases a tenant with everything in it: memory at once, files in the background. Its name is free for one that starts
/// afresh.
#[utoipa::path(
    delete, path = "/v1/admin/tenants/{tenant}", tag = "admin", operation_id = "deleteTenant",
    params(("tenant" = String, Path)),
    responses((status = 200, body = TenantErasedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete_tenant(
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<TenantErasedAnswer>, Problem> {
    let receipt = scope.submit(Command::EraseTenant, context).await?;
    let Answer::Erasure(id) = receipt.answer else { return Err(Problem::internal()) };
    Ok(Json(TenantErasedAnswer { tenant: scope.tenant.to_string(), erase_id: id.to_string(), seq: receipt.seq.0 }))
}

/// One erasure of a tenant.
#[utoipa::path(
    get, path = "/v1/admin/erasures/{id}", tag = "admin", operation_id = "getTenantErasure",
    params(("id" = String, Path)),
    responses((status = 200, body = TenantErasureOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get_tenant_erasure(
    State(app): State<App>,
    PathId(id): PathId<EraseId>,
    _: Params<NoParams>,
) -> Result<Json<TenantErasureOut>, Problem> {
    let engine = app.engine()?;
    let (tenant, erasure) = engine.tenant_erasure(id)?;
    Ok(Json(TenantErasureOut { tenant, erasure: ErasureOut::from(&engine.with_backups(&erasure)) }))
}
