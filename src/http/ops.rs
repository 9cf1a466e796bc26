//! For whoever runs the server: is it alive, is it ready, what are its figures.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{NoParams, Params};
use crate::http::problem::Problem;

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Well {
    /// `ok`.
    status: &'static str,
}

/// The process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz", security(()),
    responses((status = 200, body = Well))
)]
pub(super) async fn healthz() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// Match, get and upsert answer. 503 while the server reads its data, and after a failed sync.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz", security(()),
    responses((status = 200, body = Well), (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Well>, Problem> {
    if app.engine()?.is_poisoned() { Err(Error::Poisoned.into()) } else { Ok(Json(Well { status: "ok" })) }
}

/// Figures in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(app): State<App>, _: Params<NoParams>) -> Result<Response, Problem> {
    let text = app.figures().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    let mut answer = text.into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(answer)
}
