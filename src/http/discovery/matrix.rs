//! The part of Matrix' identity service (v2) that finds friends: `hash_details` and `lookup`, with what clients ask around them.
//!
//! Errors are Matrix' own (`errcode`, `error`) here, also those of the layers around ([`in_their_words`]). The tenant is the
//! one that `Host` names in the configuration (`matrix_hosts`), else the one tenant with Matrix look-ups that the key reaches.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::auth::{Caller, Need, Reach};
use crate::discovery::matrix::ALGORITHM;
use crate::engine::Engine;
use crate::engine::oprf::matrix::MatrixAnswer;
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{Asked, NoParams, Params};
use crate::http::problem::Problem;
use crate::http::wire::oblivious::{
    MatrixAccount, MatrixError, MatrixHashDetails, MatrixLookup, MatrixMappings, MatrixVersions,
};
use crate::http::wire::write::Nothing;
use crate::model::ids::TenantName;

/// Where all of it is.
const PREFIX: &str = "/_matrix/";
/// Milliseconds to wait where nothing better is known.
const RETRY_MS: u64 = 1_000;

/// The tenant that a Matrix client means, and who asks.
pub(in crate::http) struct Identity {
    app: App,
    engine: Arc<Engine>,
    tenant: TenantName,
    caller: Arc<Caller>,
}

impl FromRequestParts<App> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let engine = Arc::clone(app.engine()?);
        let caller = parts.extensions.get::<Arc<Caller>>().cloned().ok_or_else(Problem::internal)?;
        let tenant = by_host(app, &parts.headers).map_or_else(|| only_one(&engine, &caller), Ok)?;
        caller.check(Need::Matrix, Reach::Tenant, Some(tenant.as_str()))?;
        Ok(Self { app: app.clone(), engine, tenant, caller })
    }
}

/// The tenant of a name that the configuration lists.
fn by_host(app: &App, headers: &HeaderMap) -> Option<TenantName> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    app.config().matrix_hosts.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, tenant)| tenant.clone())
}

/// The one tenant that has Matrix look-ups on and that the caller reaches.
fn only_one(engine: &Engine, caller: &Caller) -> Result<TenantName, Problem> {
    let mut tenants = engine.matrix_tenants();
    tenants.retain(|tenant| caller.may(Need::Matrix, tenant.as_str()));
    match (tenants.pop(), tenants.is_empty()) {
        (Some(tenant), true) => Ok(tenant),
        _ => {
            let what = "a tenant with Matrix look-ups that this key reaches; name it in matrix_hosts".to_owned();
            Err(Error::NotFound { code: "tenant_unknown", what }.into())
        }
    }
}

/// That there is an identity service.
#[utoipa::path(
    get, path = "/_matrix/identity/v2", tag = "matrix", operation_id = "matrixPing",
    responses((status = 200, body = Nothing), (status = "4XX", body = MatrixError))
)]
pub(in crate::http) async fn ping(
    State(app): State<App>,
    _: Params<NoParams>,
) -> Result<Json<serde_json::Value>, Problem> {
    is_on(&app)?;
    Ok(Json(serde_json::Value::Object(serde_json::Map::new())))
}

/// A server on which no tenant has Matrix look-ups is no identity server.
fn is_on(app: &App) -> Result<(), Problem> {
    if app.engine()?.matrix_tenants().is_empty() {
        return Err(Error::NotFound { code: "matrix_off", what: "an identity service".into() }.into());
    }
    Ok(())
}

/// The versions of the specification that it follows.
#[utoipa::path(
    get, path = "/_matrix/identity/versions", tag = "matrix", operation_id = "matrixVersions",
    responses((status = 200, body = MatrixVersions), (status = "4XX", body = MatrixError))
)]
pub(in crate::http) async fn versions(
    State(app): State<App>,
    _: Params<NoParams>,
) -> Result<Json<MatrixVersions>, Problem> {
    is_on(&app)?;
    Ok(Json(MatrixVersions::default()))
}

/// Whom the token belongs to.
#[utoipa::path(
    get, path = "/_matrix/identity/v2/account", tag = "matrix", operation_id = "matrixAccount",
    responses((status = 200, body = MatrixAccount), (status = "4XX", body = MatrixError))
)]
pub(in crate::http) async fn account(of: Identity, _: Params<NoParams>) -> Result<Json<MatrixAccount>, Problem> {
    of.engine.matrix_pepper(&of.tenant)?;
    let local: String = of.caller.principal.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Ok(Json(MatrixAccount { user_id: format!("@{}:{}", local.to_ascii_lowercase(), of.tenant) }))
}

/// What to hash with.
#[utoipa::path(
    get, path = "/_matrix/identity/v2/hash_details", tag = "matrix", operation_id = "matrixHashDetails",
    responses((status = 200, body = MatrixHashDetails), (status = "4XX", body = MatrixError))
)]
pub(in crate::http) async fn hash_details(
    of: Identity,
    _: Params<NoParams>,
) -> Result<Json<MatrixHashDetails>, Problem> {
    let lookup_pepper = of.engine.matrix_pepper(&of.tenant)?;
    Ok(Json(MatrixHashDetails { lookup_pepper, algorithms: vec![ALGORITHM.to_owned()] }))
}

/// The Matrix users behind hashed addresses. Whoever runs the server can find the addresses out: the pepper is no secret.
#[utoipa::path(
    post, path = "/_matrix/identity/v2/lookup", tag = "matrix", operation_id = "matrixLookup", request_body = MatrixLookup,
    responses((status = 200, body = MatrixMappings), (status = "4XX", body = MatrixError))
)]
pub(in crate::http) async fn lookup(
    of: Identity,
    _: Params<NoParams>,
    Asked(asked): Asked<MatrixLookup>,
) -> Result<Response, Problem> {
    if asked.algorithm != ALGORITHM {
        return Err(Problem::invalid("algorithm", "must be sha256, the only one that GET hash_details names"));
    }
    let Identity { app, engine, tenant, caller } = of;
    let principal = caller.principal.clone();
    // Charging may wait for the disk, hashing is work: both on a thread of their own.
    let runtime = tokio::runtime::Handle::current();
    let look = move || runtime.block_on(engine.matrix_lookup(&tenant, &principal, &asked.pepper, &asked.addresses));
    let answer = app.heavy(look).await?;
    Ok(match answer {
        MatrixAnswer::Found(mappings) => {
            Json(MatrixMappings { mappings: mappings.into_iter().collect() }).into_response()
        }
        MatrixAnswer::InvalidPepper { pepper } => {
            let error = MatrixError {
                errcode: "M_INVALID_PEPPER".to_owned(),
                error: "the pepper is another by now; hash with lookup_pepper and ask again".to_owned(),
                retry_after_ms: None,
                algorithm: Some(ALGORITHM.to_owned()),
                lookup_pepper: Some(pepper),
            };
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    })
}

/// Whether a path is one of Matrix'.
pub(in crate::http) fn is_theirs(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// An answer with a problem as Matrix says it; every other as it is.
pub(in crate::http) fn in_their_words(answer: Response) -> Response {
    let Some(problem) = answer.extensions().get::<Problem>().cloned() else { return answer };
    let retry_after_ms = (problem.status == 429).then(|| problem.retry_after_ms.unwrap_or(RETRY_MS));
    let error = MatrixError {
        errcode: errcode(&problem).to_owned(),
        error: problem.detail.clone(),
        retry_after_ms,
        algorithm: None,
        lookup_pepper: None,
    };
    let mut theirs = (problem.status(), Json(error)).into_response();
    theirs.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = answer.headers().get(RETRY_AFTER) {
        theirs.headers_mut().insert(RETRY_AFTER, after.clone());
    }
    theirs
}

fn errcode(problem: &Problem) -> &'static str {
    match (problem.status, problem.code.as_str(), problem.field.as_deref()) {
        (401, ..) => "M_UNAUTHORIZED",
        (403, ..) => "M_FORBIDDEN",
        (404, "no_such_path", _) | (405, ..) => "M_UNRECOGNIZED",
        (404, ..) | (409, ..) => "M_NOT_FOUND",
        (413, ..) => "M_TOO_LARGE",
        (429, ..) => "M_LIMIT_EXCEEDED",
        (400, _, Some("body")) => "M_NOT_JSON",
        (400, ..) => "M_INVALID_PARAM",
        _ => "M_UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_said_in_their_words() {
        for (problem, status, errcode) in [
            (Problem::from(Error::Unauthenticated), 401, "M_UNAUTHORIZED"),
            (Problem::from(Error::Denied("no".into())), 403, "M_FORBIDDEN"),
            (Problem::from(Error::TooLarge { what: "addresses".into(), limit: 1 }), 413, "M_TOO_LARGE"),
            (Problem::from(Error::Busy { retry_after_ms: 1500 }), 429, "M_LIMIT_EXCEEDED"),
            (Problem::from(Error::NotFound { code: "tenant_unknown", what: "x".into() }), 404, "M_NOT_FOUND"),
            (Problem::new(StatusCode::NOT_FOUND, "no_such_path", "x"), 404, "M_UNRECOGNIZED"),
            (Problem::invalid("body", "x"), 400, "M_NOT_JSON"),
            (Problem::invalid("algorithm", "x"), 400, "M_INVALID_PARAM"),
            (Problem::internal(), 500, "M_UNKNOWN"),
        ] {
            assert_eq!(super::errcode(&problem), errcode);
            let answer = in_their_words(problem.into_response());
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 429);
        }
        let fine = in_their_words((StatusCode::OK, "x").into_response());
        assert_eq!(fine.status(), 200);
    }
}
