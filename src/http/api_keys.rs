//! API keys: making, listing, rotating and revoking them. What a key is, is in `model/access.rs`; what it may, in `auth`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::auth::Caller;
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{Asked, NoParams, Params, PathTexts};
use crate::http::problem::Problem;
use crate::http::wire::api_keys::{KeyMade, KeyOut, KeyRequest, KeyRotated, RotateRequest};
use crate::http::wire::read::PageOut;

/// All keys, those of the configuration first, then the stored ones, oldest first. No secret and no hash is shown.
#[utoipa::path(
    get, path = "/v1/admin/keys", tag = "admin", operation_id = "listKeys",
    responses((status = 200, body = PageOut<KeyOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(State(app): State<App>, _: Params<NoParams>) -> Result<Json<PageOut<KeyOut>>, Problem> {
    let (engine, auth) = (app.engine()?, app.guard().auth());
    let configured = auth.configured().iter().map(|key| KeyOut::of(key, auth, true));
    let stored = engine.api_keys();
    let items = configured.chain(stored.iter().map(|key| KeyOut::of(key, auth, false))).collect();
    Ok(Json(PageOut { items, next_cursor: None }))
}

/// Makes a key. This answer is the only place where it is ever shown: the server keeps a hash.
#[utoipa::path(
    post, path = "/v1/admin/keys", tag = "admin", operation_id = "createKey", request_body = KeyRequest,
    responses((status = 200, body = KeyMade), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(app): State<App>,
    caller: axum::Extension<Arc<Caller>>,
    _: Params<NoParams>,
    Asked(body): Asked<KeyRequest>,
) -> Result<Json<KeyMade>, Problem> {
    let key = body.checked()?;
    let (engine, making) = (Arc::clone(app.engine()?), app.clone());
    let made = app.heavy(move || making.guard().auth().create(&engine, key, &caller.actor)).await;
    let (key, text) = made?;
    Ok(Json(KeyMade { key: text.expose().to_owned(), about: KeyOut::of(&key, app.guard().auth(), false) }))
}

/// Gives a key a new secret, shown once here. The old one goes on opening for `overlap_hours`.
#[utoipa::path(
    post, path = "/v1/admin/keys/{id}/rotate", tag = "admin", operation_id = "rotateApiKey",
    params(("id" = String, Path)), request_body = RotateRequest,
    responses((status = 200, body = KeyRotated), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: axum::Extension<Arc<Caller>>,
    path: PathTexts<1>,
    _: Params<NoParams>,
    Asked(body): Asked<RotateRequest>,
) -> Result<Json<KeyRotated>, Problem> {
    let PathTexts([id]) = path;
    let (engine, making, key_id) = (Arc::clone(app.engine()?), app.clone(), id.clone());
    let rotated =
        app.heavy(move || making.guard().auth().rotate(&engine, &key_id, body.overlap_hours(), &caller.actor)).await;
    let (old_until, text) = rotated?;
    Ok(Json(KeyRotated::new(id, text.expose().to_owned(), old_until)))
}

/// Ends a key at once, its old secret included. It stays in the list as revoked.
#[utoipa::path(
    delete, path = "/v1/admin/keys/{id}", tag = "admin", operation_id = "revokeKey",
    params(("id" = String, Path)),
    responses((status = 200, body = KeyOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: axum::Extension<Arc<Caller>>,
    path: PathTexts<1>,
    _: Params<NoParams>,
) -> Result<Json<KeyOut>, Problem> {
    let PathTexts([id]) = path;
    let (engine, ending) = (Arc::clone(app.engine()?), app.clone());
    let key = app.heavy(move || {
        ending.guard().auth().revoke(&engine, &id, &caller.actor)?;
        let unknown = || Error::NotFound { code: "key_unknown", what: "API key".into() };
        engine.api_key(&id).ok_or_else(unknown)
    });
    Ok(Json(KeyOut::of(&*key.await?, app.guard().auth(), false)))
}
