//! Changing the keys that the data is sealed under, while the server runs.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::engine::keys;
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{Asked, NoParams, Params};
use crate::http::problem::Problem;
use crate::http::wire::keys::{RotateKeyRequest, Rotation, RotationOut};

/// Changes keys; reads and writes go on.
///
/// `new_key_file` or `from_command` wraps the keys of all tenants under another master key: from this answer on only that
/// one opens the data directory, so start the server with it; if the server ends before it answers, either the old or the
/// new key opens, and the start says so. `tenant` gives a tenant a new data key for what is written from now on.
#[utoipa::path(
    post, path = "/v1/admin/rotate-key", tag = "admin", operation_id = "rotateKey", request_body = RotateKeyRequest,
    responses((status = 200, body = RotationOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn rotate(
    State(app): State<App>,
    _: Params<NoParams>,
    Asked(request): Asked<RotateKeyRequest>,
) -> Result<Json<RotationOut>, Problem> {
    let rotation = request.checked()?;
    let engine = Arc::clone(app.engine()?);
    let config = app.config().clone();
    let out = app.heavy(move || {
        let master = match rotation {
            Rotation::DataKey(tenant) => {
                let generation = engine.rotate_data_key(&tenant)?;
                return Ok::<_, Error>(RotationOut::data_key(&tenant, generation));
            }
            Rotation::File(path) => keys::from_file(&*engine.world().disk, Path::new(&path))?,
            Rotation::Command => {
                let missing = || Error::invalid("from_command", "the server has no key_command; name a new_key_file");
                let line = config.key_command.as_ref().ok_or_else(missing)?;
                keys::from_command(line.expose(), config.key_command_timeout)?
            }
        };
        Ok(RotationOut::master(engine.rotate_master_key(&master)?))
    });
    Ok(Json(out.await?))
}
