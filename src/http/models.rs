//! Models: a tenant learns from its own records, looks at what that would do, and lets it decide.

use axum::Json;
use axum::http::StatusCode;

use crate::engine::api::{Answer, Command};
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::models::{ActivatedAnswer, ModelOut, PreviewOut};
use crate::http::wire::read::PageOut;
use crate::http::wire::write::Nothing;
use crate::model::ids::ModelId;

/// Begins to train a model on the tenant's records, beside the live state; one training runs at a time in a server
/// (429). `GET models/{id}` says when it is done. Nothing changes until the model is activated.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/train", tag = "models", operation_id = "train",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Nothing>,
    responses((status = 202, body = ModelOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn train(
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<(StatusCode, Json<ModelOut>), Problem> {
    if let Some(id) = scope.engine.remembered(&scope.tenant, &context)?.and_then(|ids| ids.first().copied())
        && let Ok(card) = scope.engine.model(&scope.tenant, ModelId(id))
    {
        return Ok((StatusCode::ACCEPTED, Json(ModelOut::new(&card, scope.view()?.stats().records))));
    }
    let card = scope.engine.train(&scope.tenant, &context.actor)?;
    if context.idempotency.is_some() {
        scope.submit(Command::Remember { ids: vec![card.id.0] }, context).await?;
    }
    Ok((StatusCode::ACCEPTED, Json(ModelOut::new(&card, scope.view()?.stats().records))))
}

/// The tenant's models: the shipped one, `default`, then its trainings, oldest first. The newest ten are kept.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/models", tag = "models", operation_id = "listModels",
    params(("tenant" = String, Path)),
    responses((status = 200, body = PageOut<ModelOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, _: Params<NoParams>) -> Result<Json<PageOut<ModelOut>>, Problem> {
    let records = scope.view()?.stats().records;
    let cards = scope.engine.models(&scope.tenant)?;
    let items = cards.iter().map(|card| ModelOut::new(card, records)).collect();
    Ok(Json(PageOut { items, next_cursor: None }))
}

/// One model: where it stands, what it learned and from what.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/models/{id}", tag = "models", operation_id = "getModel",
    params(("tenant" = String, Path), ("id" = String, Path, description = "The model's id, or `default`.")),
    responses((status = 200, body = ModelOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<ModelId>,
    _: Params<NoParams>,
) -> Result<Json<ModelOut>, Problem> {
    let card = scope.engine.model(&scope.tenant, id)?;
    Ok(Json(ModelOut::new(&card, scope.view()?.stats().records)))
}

/// What activating a model would do to the contacts, computed beside the live state. Writes nothing.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/models/{id}/preview", tag = "models", operation_id = "previewModel",
    params(("tenant" = String, Path), ("id" = String, Path, description = "The model's id, or `default`.")),
    request_body = Option<Nothing>,
    responses((status = 200, body = PreviewOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn preview(
    PathId(id): PathId<ModelId>,
    _: Params<NoParams>,
    Write { scope, body: _, context: _ }: Write<Nothing>,
) -> Result<Json<PreviewOut>, Problem> {
    let (engine, tenant) = (scope.engine.clone(), scope.tenant.clone());
    let preview = scope.app.heavy(move || engine.preview(&tenant, id)).await?;
    Ok(Json(PreviewOut::new(id, &preview)))
}

/// Lets a model decide: all contacts are resolved anew under it, in one command. Activating the one that decides
/// already changes nothing; activating the earlier one brings its contacts back.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/models/{id}/activate", tag = "models", operation_id = "activateModel",
    params(
        ("tenant" = String, Path), ("id" = String, Path, description = "The model's id, or `default`."),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    request_body = Option<Nothing>,
    responses((status = 200, body = ActivatedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn activate(
    PathId(id): PathId<ModelId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<ActivatedAnswer>, Problem> {
    let receipt = scope.submit(Command::ActivateModel { model: id }, context).await?;
    let Answer::Done(changed) = receipt.answer else { return Err(Problem::internal()) };
    let card = scope.engine.model(&scope.tenant, id)?;
    let model = ModelOut::new(&card, scope.view()?.stats().records);
    Ok(Json(ActivatedAnswer { model, contacts_changed: changed.len() as u64, seq: receipt.seq.0 }))
}
