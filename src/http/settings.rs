//! A tenant's settings.

use axum::Json;

use crate::engine::api::Command;
use crate::http::extract::{NoParams, Params, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::settings::{SettingsAnswer, SettingsBody};

/// The settings in force.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/settings", tag = "tenant", operation_id = "getSettings",
    params(("tenant" = String, Path)),
    responses((status = 200, body = SettingsAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(scope: Scope, _: Params<NoParams>) -> Result<Json<SettingsAnswer>, Problem> {
    let view = scope.view()?;
    Ok(Json(SettingsAnswer { settings: SettingsBody::from(view.settings()), seq: view.seq().0 }))
}

/// Replaces all settings; what is left out takes its default. The contacts are resolved anew where it matters.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/settings", tag = "tenant", operation_id = "putSettings",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SettingsBody,
    responses((status = 200, body = SettingsAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<SettingsBody>,
) -> Result<Json<SettingsAnswer>, Problem> {
    let settings = body.checked()?;
    let answer = SettingsBody::from(&settings);
    let receipt = scope.submit(Command::PutSettings { settings: Box::new(settings) }, context).await?;
    Ok(Json(SettingsAnswer { settings: answer, seq: receipt.seq.0 }))
}
