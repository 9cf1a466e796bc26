//! How handlers get their parts of a request: whose tenant, which id, which parameters, which body.
//!
//! Every refusal is a [`Problem`] that names the field. Bodies are read against the size limit and an
//! idle deadline; the deadline of the whole request is the outer layer's.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::auth::Caller;
use crate::engine::api::{Command, Context, Receipt};
use crate::engine::{Engine, View};
use crate::error::Error;
use crate::formats::json::from_slice;
use crate::http::app::App;
use crate::http::deadlines::within;
use crate::http::guard::content_type;
use crate::http::problem::Problem;
use crate::http::wire;
use crate::http::wire::write::WriteBody;
use crate::model::ids::{EntityId, TenantName};

/// Bytes that are set aside for a body before they are there, at most.
const BODY_AHEAD_BYTES_MAX: usize = 256 << 10;
/// Bytes of an idempotency key at most.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The engine, the tenant of the path and who asks.
#[derive(Clone)]
pub(super) struct Scope {
    pub(super) app: App,
    pub(super) engine: Arc<Engine>,
    pub(super) tenant: TenantName,
    pub(super) caller: Arc<Caller>,
}

impl Scope {
    /// What readers see now.
    pub(super) fn view(&self) -> Result<View, Problem> {
        Ok(self.engine.view(&self.tenant)?)
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn submit(&self, command: Command, context: Context) -> Result<Receipt, Problem> {
        Ok(self.engine.submit(&self.tenant, command, context).await?)
    }

    /// Leaves in the audit trail that the caller is shown these contacts, where the configuration asks for it. What cannot be noted
    /// is not shown.
    pub(super) async fn note_read(
        &self,
        what: &'static str,
        shown: impl IntoIterator<Item = EntityId>,
    ) -> Result<(), Problem> {
        if !self.app.config().audit_reads {
            return Ok(());
        }
        let mut shown: Vec<EntityId> = shown.into_iter().collect();
        shown.sort_unstable();
        shown.dedup();
        let (engine, tenant, actor) = (Arc::clone(&self.engine), self.tenant.clone(), self.caller.actor.clone());
        self.app.heavy(move || engine.note_access(&tenant, what, shown, &actor)).await
    }
}

impl FromRequestParts<App> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let engine = Arc::clone(app.engine()?);
        let name = path_parameter(parts, app, |name| name == "tenant").await?;
        let tenant = TenantName::parse(&name).ok_or_else(|| {
            Problem::invalid("tenant", "use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit")
        })?;
        let caller = parts.extensions.get::<Arc<Caller>>().cloned().ok_or_else(Problem::internal)?;
        Ok(Self { app: app.clone(), engine, tenant, caller })
    }
}

/// The id in the path, whatever its name there.
pub(super) struct PathId<T>(pub(super) T);

impl<T: FromStr> FromRequestParts<App> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = path_parameter(parts, app, |name| name != "tenant").await?;
        Ok(Self(wire::id("id", &text)?))
    }
}

/// What is in the path behind the tenant, in order.
pub(super) struct PathTexts<const N: usize>(pub(super) [String; N]);

impl<const N: usize> FromRequestParts<App> for PathTexts<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let all = RawPathParams::from_request_parts(parts, app).await.map_err(|_| not_utf8())?;
        let texts: Vec<String> =
            all.iter().filter(|(name, _)| *name != "tenant").map(|(_, value)| value.to_owned()).collect();
        texts.try_into().map(Self).map_err(|_| Problem::internal())
    }
}

fn not_utf8() -> Problem {
    Problem::invalid("path", "is not UTF-8 after percent-decoding")
}

async fn path_parameter(parts: &mut Parts, app: &App, wanted: fn(&str) -> bool) -> Result<String, Problem> {
    let all = RawPathParams::from_request_parts(parts, app).await.map_err(|_| not_utf8())?;
    all.iter().find(|(name, _)| wanted(name)).map(|(_, value)| value.to_owned()).ok_or_else(Problem::internal)
}

/// The query parameters; unknown ones are refused by name.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(bad_parameter(&rejection.body_text())),
        }
    }
}

/// Refuses every query parameter: for calls that take none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// The parameter and the reason out of serde's text, which may hold `<parameter>: <reason>` or name it in backticks.
fn bad_parameter(text: &str) -> Problem {
    let text = text.rsplit_once("query string: ").map_or(text, |(_, rest)| rest);
    for (marker, reason) in [
        ("unknown field `", "unknown parameter; remove it or check its spelling"),
        ("duplicate field `", "is given twice; send it once"),
        ("missing field `", "is missing"),
    ] {
        if let Some((_, rest)) = text.split_once(marker) {
            let name: String = rest.chars().take_while(|&c| c != '`').take(100).collect();
            return Problem::invalid(name, reason);
        }
    }
    match text.split_once(": ") {
        Some((field, reason)) => Problem::invalid(field, reason),
        None => Problem::invalid("query", text),
    }
}

/// A read's JSON body.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        content_type(request.headers(), &["application/json"])?;
        let bytes = body_bytes(request.into_body(), app).await?;
        Ok(Self(from_slice(&bytes)?))
    }
}

/// A write: where, what, who, and whether it may be a repeat.
pub(super) struct Write<T> {
    pub(super) scope: Scope,
    pub(super) body: T,
    pub(super) context: Context,
}

impl<T: WriteBody> FromRequest<App> for Write<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let scope = Scope::from_request_parts(&mut parts, app).await?;
        Self::of(scope, &parts, body).await
    }
}

impl<T: WriteBody> Write<T> {
    /// The write that a request to a tenant is.
    pub(super) async fn of<B>(scope: Scope, parts: &Parts, body: B) -> Result<Self, Problem>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let typed = || content_type(&parts.headers, T::CONTENT_TYPES);
        if T::when_empty().is_none() {
            typed()?;
        }
        let bytes = body_within(body, &scope.app, u64::MAX).await?;
        let body: T = match T::when_empty().filter(|_| bytes.is_empty()) {
            Some(nothing) => nothing,
            None => {
                typed()?;
                from_slice(&bytes)?
            }
        };
        let key = idempotency_key(&parts.headers, body.idempotency_key())?;
        let idempotency = key.map(|key| (key, digest_of(parts, &bytes)));
        let context = Context { actor: scope.caller.actor.clone(), idempotency };
        Ok(Self { scope, body, context })
    }
}

/// The key of the header or of the body; both must agree.
pub(super) fn idempotency_key(headers: &HeaderMap, in_body: Option<&str>) -> Result<Option<String>, Problem> {
    let refused = |reason: &str| Problem::invalid("Idempotency-Key", reason);
    let mut given = headers.get_all(const { HeaderName::from_static("idempotency-key") }).iter();
    let in_header = given.next().map(|value| value.to_str()).transpose().map_err(|_| refused("must be ASCII"))?;
    if given.next().is_some() {
        return Err(refused("is given twice; send it once"));
    }
    let key = match (in_header, in_body) {
        (Some(header), Some(body)) if header != body => {
            return Err(refused("differs from idempotency_key in the body"));
        }
        (header, body) => header.or(body),
    };
    match key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            Err(refused("must have 1 to 255 bytes; a UUID is a good one"))
        }
        key => Ok(key.map(str::to_owned)),
    }
}

/// What makes two requests the same: method, path, parameters and body.
pub(super) fn digest_of(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// All of a body, within the size limit.
async fn body_bytes(body: Body, app: &App) -> Result<Bytes, Problem> {
    body_within(body, app, app.config().body_bytes_max).await
}

/// All of a body, within a limit of its own or that of all bodies, whichever is smaller.
pub(super) async fn body_within<B>(mut body: B, app: &App, limit: u64) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let limit = limit.min(app.config().body_bytes_max);
    let too_large = || Problem::from(Error::TooLarge { what: "the body".into(), limit });
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    let mut whole: Vec<u8> = Vec::new();
    while let Some(chunk) = next_chunk(&mut body, app.config().body_timeout).await? {
        if (whole.len() as u64).saturating_add(chunk.len() as u64) > limit {
            return Err(too_large());
        }
        if whole.is_empty() {
            if body.is_end_stream() {
                return Ok(chunk);
            }
            let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
            whole.reserve_exact(chunk.len().saturating_add(told).min(BODY_AHEAD_BYTES_MAX));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// 408 when nothing arrives within `idle`, 400 when the body breaks off.
pub(super) async fn next_chunk<B>(body: &mut B, idle: Duration) -> Result<Option<Bytes>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        let frame = within(idle, body.frame()).await.map_err(|_| {
            let detail = format!("no byte of the body arrived for {} s; send it without pauses", idle.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Problem::invalid("body", "broke off before its end; send it again")),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data()
                    && !bytes.is_empty()
                {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[expect(dead_code, reason = "only whether it can be read counts")]
        limit: Option<usize>,
        #[expect(dead_code, reason = "only whether it can be read counts")]
        dry_run: Option<bool>,
    }

    #[test]
    fn bad_parameters_are_named() {
        for (query, field) in [
            ("limti=1", Some("limti")),
            ("limit=x", Some("limit")),
            ("limit=-1", Some("limit")),
            ("limit=1&limit=2", Some("limit")),
            ("dry_run=maybe", Some("dry_run")),
            ("limit=1&dry_run=true", None),
            ("", None),
        ] {
            let uri = format!("/x?{query}").parse().unwrap();
            let field_named = match Query::<Page>::try_from_uri(&uri) {
                Ok(_) => None,
                Err(rejection) => bad_parameter(&rejection.body_text()).field,
            };
            assert_eq!(field_named.as_deref(), field, "{query}");
        }
    }

    #[test]
    fn one_idempotency_key() {
        let headers = |values: &[&str]| -> HeaderMap {
            values.iter().map(|value| ("idempotency-key".parse().unwrap(), value.parse().unwrap())).collect()
        };
        let key = |values: &[&str], body: Option<&str>| idempotency_key(&headers(values), body).ok();
        assert_eq!(key(&[], None), Some(None));
        assert_eq!(key(&["a"], None), Some(Some("a".into())));
        assert_eq!(key(&[], Some("a")), Some(Some("a".into())));
        assert_eq!(key(&["a"], Some("a")), Some(Some("a".into())));
        assert_eq!(key(&["a"], Some("b")), None);
        assert_eq!(key(&["a", "a"], None), None);
        assert_eq!(key(&[""], None), None);
        assert_eq!(key(&[], Some(&"x".repeat(256))), None);
    }

    #[test]
    fn a_digest_tells_requests_apart() {
        let parts = |method: &str, uri: &str| {
            axum::http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
        };
        let one = digest_of(&parts("POST", "/a?b"), b"c");
        assert_eq!(one, digest_of(&parts("POST", "/a?b"), b"c"));
        for (method, uri, body) in
            [("PUT", "/a?b", "c"), ("POST", "/a", "c"), ("POST", "/a?b", "d"), ("POST", "/a?", "bc")]
        {
            assert_ne!(one, digest_of(&parts(method, uri), body.as_bytes()));
        }
    }

    #[test]
    fn bodies_are_read_within_their_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let config = crate::config::ServerConfig { body_bytes_max: 10, ..Default::default() };
        let (_, closing) = tokio::sync::watch::channel(false);
        let app = App::new(&config, crate::http::EngineSlot::default(), None, closing);
        for (chunks, status) in [
            (&["0123456789"][..], None),
            (&["01234", "56789"], None),
            (&["01234", "567890"], Some(413)),
            (&["0123456789a"], Some(413)),
            (&[], None),
        ] {
            let stream = chunks.iter().map(|&chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
            let body = Body::from_stream(futures_util::stream::iter(stream));
            let answer = runtime.block_on(body_bytes(body, &app));
            assert_eq!(answer.as_ref().err().map(|problem| problem.status), status, "{chunks:?}");
            assert!(answer.is_err() || answer.unwrap() == chunks.concat());
        }
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let answer = runtime.block_on(async { next_chunk(&mut { never }, Duration::from_millis(1)).await });
        assert_eq!(answer.unwrap_err().status, 408);
    }
}
