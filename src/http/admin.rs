//! The server as a whole: snapshots, its state, its tenants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::engine::api::Stats;
use crate::engine::{Engine, SnapshotReport};
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{NoParams, Params};
use crate::http::problem::Problem;
use crate::http::wire::read::{PageOut, SnapshotOut, StatusOut, TenantOut};

/// Writes a snapshot of everything that is on disk now; writers go on.
#[utoipa::path(
    post, path = "/v1/admin/snapshot", tag = "admin", operation_id = "snapshot",
    responses((status = 200, body = SnapshotOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn snapshot(State(app): State<App>, _: Params<NoParams>) -> Result<Json<SnapshotOut>, Problem> {
    let engine = Arc::clone(app.engine()?);
    let report = app.heavy(move || engine.snapshot()).await?;
    let file = report.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let SnapshotReport { seq, bytes, millis, blocked_micros, .. } = report;
    Ok(Json(SnapshotOut { seq, bytes, millis, blocked_micros, file }))
}

/// How the server is.
#[utoipa::path(
    get, path = "/v1/admin/status", tag = "admin", operation_id = "getStatus",
    responses((status = 200, body = StatusOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn status(State(app): State<App>, _: Params<NoParams>) -> Result<Json<StatusOut>, Problem> {
    let engine = Arc::clone(app.engine()?);
    let durability = engine.durability().to_string();
    let all = app.heavy(move || Ok::<_, Error>((engine.is_poisoned(), figures(&engine)))).await?;
    let (poisoned, tenants) = all;
    let running = app.config().imports_max.saturating_sub(app.imports().available_permits());
    Ok(Json(StatusOut {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        writable: !poisoned,
        durability,
        encryption: app.config().encryption,
        tenants: tenants.len() as u64,
        contacts: tenants.iter().map(|(_, stats)| stats.contacts).sum(),
        records: tenants.iter().map(|(_, stats)| stats.records).sum(),
        imports_running: running as u64,
        keys: usable_keys(&app) as u64,
        uptime_seconds: app.uptime().as_secs(),
    }))
}

/// Keys that open something now, those of the configuration included.
fn usable_keys(app: &App) -> usize {
    let auth = app.guard().auth();
    let stored = app.engine_if_open().map(|engine| engine.api_keys()).unwrap_or_default();
    let all = auth.configured().iter().chain(stored.iter().map(|key| &**key));
    all.filter(|key| key.is_usable(auth.now())).count()
}

/// The tenants there are.
#[utoipa::path(
    get, path = "/v1/admin/tenants", tag = "admin", operation_id = "listTenants",
    responses((status = 200, body = PageOut<TenantOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn tenants(State(app): State<App>, _: Params<NoParams>) -> Result<Json<PageOut<TenantOut>>, Problem> {
    let engine = Arc::clone(app.engine()?);
    let mut all = app.heavy(move || Ok::<_, Error>(figures(&engine))).await?;
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let out = |(tenant, stats): (String, Stats)| TenantOut {
        tenant,
        contacts: stats.contacts,
        records: stats.records,
        seq: stats.seq.0,
    };
    Ok(Json(PageOut { items: all.into_iter().map(out).collect(), next_cursor: None }))
}

/// Every tenant that has been written to, with its figures.
pub(super) fn figures(engine: &Engine) -> Vec<(String, Stats)> {
    let stats = |name: crate::model::ids::TenantName| Some((name.to_string(), engine.view(&name).ok()?.stats()));
    engine.tenants().into_iter().filter_map(stats).collect()
}
