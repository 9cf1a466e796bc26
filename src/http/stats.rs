//! Figures of a tenant.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::http::extract::{Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::read::StatsOut;

/// What else to work out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParams {
    /// `true` also gives the digest of the whole state; it walks everything.
    fingerprint: Option<bool>,
}

/// How much there is, and how much it takes.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/stats", tag = "tenant", operation_id = "getStats",
    params(("tenant" = String, Path), StatsParams),
    responses((status = 200, body = StatsOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn stats(scope: Scope, Params(params): Params<StatsParams>) -> Result<Json<StatsOut>, Problem> {
    let view = scope.view()?;
    let work = move || -> Result<StatsOut, Error> {
        let mut stats = view.stats();
        if params.fingerprint == Some(true) {
            stats.fingerprint = view.fingerprint();
        }
        Ok(StatsOut::from(stats))
    };
    Ok(Json(scope.app.heavy(work).await?))
}
