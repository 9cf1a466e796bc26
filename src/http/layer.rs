//! What happens around every handler: a name for the request, the guard, the route's rule (the one place that enforces
//! it, before the body is read), the deadline, the note of a privileged act, figures, and an answer in our form even when nothing matched or a handler panicked.
//!
//! Diagnostics hold the route's template, never the path or a parameter: ids and names stay out of them.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use quanta::Instant;
use tracing::Instrument;

use crate::auth::{Caller, Need, Noted, Reach, Rule};
use crate::error::Error;
use crate::http::app::{App, RequestId};
use crate::http::deadlines::{Late, within};
use crate::http::discovery::matrix;
use crate::http::guard::{Knock, Peer, counted};
use crate::http::problem::{MovedTo, Problem};
use crate::http::{cors, figures, routes};
use crate::model::ids::TenantName;

/// The header that names a request in the answer and in diagnostics.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Answers hold personal data and no page of ours but the documentation loads anything.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// Pages for people (subject access, the register) carry their style with them and load nothing.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
/// The documentation loads its own files and asks its own server; its viewer styles itself inline.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// For a year, browsers speak TLS with this name only.
const TLS_ONLY: &str = "max-age=31536000";
/// The template under which requests that match no route are counted.
const NO_ROUTE: &str = "none";
/// The routes that may take any time: a file that streams in, and whole copies of the data.
const STREAMED: [&str; 3] = ["/v1/tenants/{tenant}/imports", "/v1/admin/snapshot", "/v1/admin/backup"];

/// A request that is being answered.
pub(super) struct Begun {
    started: Instant,
    method: Method,
    /// The route's template.
    route: &'static str,
    id: RequestId,
    /// The page's origin, if it may use the API.
    origin: Option<HeaderValue>,
}

impl Begun {
    /// Notes what is wanted of a request behind its answer.
    pub(super) fn of(app: &App, route: &'static str, parts: &Parts) -> Self {
        Self {
            started: Instant::now(),
            method: parts.method.clone(),
            route,
            id: app.request_id(),
            origin: cors::allowed_origin(&app.config().cors_origins, &parts.headers),
        }
    }

    /// The name of the request, for diagnostics.
    pub(super) fn span(&self) -> tracing::Span {
        let Self { id, method, route, .. } = self;
        tracing::info_span!("request", %id, %method, %route)
    }

    /// What every answer has, and the figures. `uri` is the request's.
    pub(super) fn end(&self, app: &App, uri: &Uri, mut answer: Response) -> Response {
        redirect(&mut answer, self.route, uri);
        if matrix::is_theirs(uri.path()) {
            answer = matrix::in_their_words(answer);
        }
        let status = answer.status().as_u16();
        let took = self.started.elapsed();
        if tracing::enabled!(tracing::Level::DEBUG) {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.span().in_scope(|| tracing::debug!(status, took_us, "answered"));
        }
        finish(&mut answer, self.id.header(), self.route);
        cors::finish(answer.headers_mut(), &app.config().cors_origins, self.origin.clone());
        if app.config().tls.is_some() {
            answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, const { HeaderValue::from_static(TLS_ONLY) });
        }
        figures::count(self.route, &self.method, status, took.as_secs_f64());
        answer
    }
}

/// Wraps a handler.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().and_then(|path| routes::template(path.as_str()));
    let (parts, body) = request.into_parts();
    let begun = Begun::of(&app, template.unwrap_or(NO_ROUTE), &parts);
    let uri = parts.uri.clone();
    let answer = match cors::preflight(&parts.method, &parts.headers, begun.origin.as_ref()) {
        Some(answer) => answer,
        None => admitted(&app, begun.route, parts, body, next).instrument(begun.span()).await,
    };
    begun.end(&app, &uri, answer)
}

/// Guard, rule, handler, note.
async fn admitted(app: &App, route: &'static str, mut parts: Parts, body: Body, next: Next) -> Response {
    let rule = routes::rule_of(&parts.method, route);
    let (caller, tenant) = match authorised(app, rule, &mut parts).await {
        Ok(all) => all,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, body);
    let answer = handled(app, route, request, next).await;
    if let Some(rule) = rule.filter(|_| answer.status().is_success()) {
        note(app, rule.noted, &caller, tenant).await;
    }
    answer
}

/// Lets a request through whose caller may do what its route is for. Nothing of the body is read before.
async fn authorised(
    app: &App,
    rule: Option<Rule>,
    parts: &mut Parts,
) -> Result<(Arc<Caller>, Option<String>), Problem> {
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer(IpAddr::from([0, 0, 0, 0])));
    let caller = let_in(app, rule, parts, peer)?;
    let mut tenant = None;
    if let Some(rule) = rule {
        let all = RawPathParams::from_request_parts(parts, app).await;
        let all = all.map_err(|_| Problem::invalid("path", "is not UTF-8 after percent-decoding"))?;
        tenant = all.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned());
        check(app, &rule, &caller, tenant.as_deref(), &parts.uri).inspect_err(|_| denied())?;
    }
    parts.extensions.insert(Arc::clone(&caller));
    Ok((caller, tenant))
}

/// Asks the guard who it is.
pub(super) fn let_in(app: &App, rule: Option<Rule>, parts: &Parts, peer: Peer) -> Result<Arc<Caller>, Problem> {
    let is_open = rule.is_some_and(|rule| rule.need == Need::Nothing);
    let knock = Knock { uri: &parts.uri, headers: &parts.headers, peer: peer.0, is_open };
    let engine = app.engine_if_open().map(|engine| &**engine);
    app.guard().admit(engine, knock).map_err(|problem| how_far(app, problem))
}

/// Counts a caller that may not.
pub(super) fn denied() {
    counted("denied");
}

/// A server that starts says how far it is.
fn how_far(app: &App, problem: Problem) -> Problem {
    if problem.code == "starting" { app.engine().err().unwrap_or(problem) } else { problem }
}

/// Whether a caller may do what the route is for.
pub(super) fn check(app: &App, rule: &Rule, caller: &Caller, tenant: Option<&str>, uri: &Uri) -> Result<(), Problem> {
    let need = match uri.query().map(|_| Query::<Vec<(String, String)>>::try_from_uri(uri)) {
        None => rule.need,
        Some(Ok(Query(parameters))) => rule.need_of(&parameters),
        // What cannot be read could be anything.
        Some(Err(_)) => rule.raised_by.map_or(rule.need, |(_, need)| need),
    };
    caller.check(need, rule.reach, tenant.filter(|_| rule.reach == Reach::Tenant))?;
    if !rule.makes_tenants || caller.makes_tenants() {
        return Ok(());
    }
    // It may know: the tenant is one of its own.
    let name = tenant.and_then(TenantName::parse);
    if name.is_none_or(|name| app.engine_if_open().is_some_and(|engine| engine.view(&name).is_ok())) {
        return Ok(());
    }
    let why = "there is no such tenant, and this key may not make one; use an admin's key or one with create_tenants";
    Err(Error::Denied(why.to_owned()).into())
}

/// Deadline, panic.
async fn handled(app: &App, route: &str, request: Request, next: Next) -> Response {
    let streamed = STREAMED.contains(&route) && request.method() == Method::POST;
    let limit = if streamed { Duration::MAX } else { app.config().request_timeout };
    in_time(limit, next.run(request)).await.unwrap_or_else(Unfinished::answer)
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfinished {
    /// It took too long.
    Late,
    /// Its handler panicked. The panic itself went to standard error; its text may hold data and goes nowhere else.
    Panicked,
}

impl Unfinished {
    /// What the caller is told.
    pub(super) fn answer(self) -> Response {
        match self {
            Self::Late => too_late().into_response(),
            Self::Panicked => {
                tracing::error!("a handler panicked");
                Problem::internal().into_response()
            }
        }
    }
}

/// Waits for work, but not too long and not for one that panicked.
pub(super) fn in_time<F: Future>(limit: Duration, work: F) -> impl Future<Output = Result<F::Output, Unfinished>> {
    within(limit, AssertUnwindSafe(work).catch_unwind()).map(|done| match done {
        Ok(done) => done.map_err(|_| Unfinished::Panicked),
        Err(Late) => Err(Unfinished::Late),
    })
}

/// Puts a privileged act that was done into the audit trail, before its answer leaves. It was done: where the note cannot be
/// written (a full disk), the log says so and the answer goes out.
async fn note(app: &App, noted: Noted, caller: &Caller, tenant: Option<String>) {
    let Some(engine) = app.engine_if_open().cloned() else { return };
    let actor = caller.actor.clone();
    let written = match (noted, tenant.as_deref().and_then(TenantName::parse)) {
        (Noted::InServer(what), _) => app.heavy(move || engine.note_act(what, &actor)).await,
        (Noted::InTenant(what), Some(tenant)) => {
            app.heavy(move || engine.note_access(&tenant, what, Vec::new(), &actor)).await
        }
        (Noted::No | Noted::Itself | Noted::InTenant(_), _) => return,
    };
    if let Err(problem) = written {
        tracing::warn!(?noted, code = problem.code, "a privileged act could not be put in the audit trail");
    }
}

fn too_late() -> Problem {
    let detail = "the request took longer than the server allows; a write may still take effect: repeat it with the \
        same Idempotency-Key";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "deadline", detail).retry(1_000)
}

/// Says where a merged contact or account lives now: the same path with the survivor's id. Where the path names no
/// contact there is nowhere to send the caller, and it is a conflict.
fn redirect(answer: &mut Response, route: &str, uri: &Uri) {
    let Some(MovedTo(survivor)) = answer.extensions().get::<MovedTo>().copied() else { return };
    let names_one = ["/v1/tenants/{tenant}/contacts/{id}", "/v1/tenants/{tenant}/accounts/{id}"];
    let in_path = names_one.iter().any(|start| route.starts_with(start));
    if !in_path {
        let detail = format!("a contact or account of the request was merged into {survivor}; use that id");
        let mut problem = Problem::new(StatusCode::CONFLICT, "merged", detail);
        problem.holder = Some(survivor.to_string());
        problem.merged_into = None;
        *answer = problem.into_response();
        return;
    }
    let mut path: Vec<String> = uri.path().split('/').map(str::to_owned).collect();
    // "", v1, tenants, {tenant}, contacts, {id}
    if let Some(segment) = path.get_mut(5) {
        *segment = survivor.to_string();
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(location) = HeaderValue::from_str(&format!("{}{query}", path.join("/"))) {
        answer.headers_mut().insert(LOCATION, location);
    }
}

/// Headers of every answer. Their values are checked once, when this is compiled: each `from_static` goes through its text.
fn finish(answer: &mut Response, id: Option<HeaderValue>, route: &str) {
    let docs = route.starts_with("/docs");
    let unauthenticated = answer.status() == StatusCode::UNAUTHORIZED;
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    headers.insert(REFERRER_POLICY, const { HeaderValue::from_static("no-referrer") });
    headers.insert(X_FRAME_OPTIONS, const { HeaderValue::from_static("DENY") });
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = match (docs, is_page) {
        (true, _) => const { HeaderValue::from_static(DOCS_POLICY) },
        (false, true) => const { HeaderValue::from_static(PAGE_POLICY) },
        (false, false) => const { HeaderValue::from_static(POLICY) },
    };
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    if unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

/// Where no route matches.
pub(super) async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", "there is no such path; GET /docs shows those there are")
}

/// Where a route has no such method.
pub(super) async fn no_method() -> Problem {
    let detail = "this path does not take this method; GET /docs shows those it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::model::ids::EntityId;

    #[test]
    fn a_merged_contact_redirects_by_path_or_is_a_conflict() {
        let moved = || Problem::from(Error::Moved { survivor: EntityId(7) }).into_response();
        for (route, uri, status, location) in [
            (
                "/v1/tenants/{tenant}/contacts/{id}",
                "/v1/tenants/main/contacts/x?as_of=3",
                307,
                Some("/v1/tenants/main/contacts/00000000-0000-0000-0000-000000000007?as_of=3"),
            ),
            (
                "/v1/tenants/{tenant}/contacts/{id}/history",
                "/v1/tenants/main/contacts/x/history",
                307,
                Some("/v1/tenants/main/contacts/00000000-0000-0000-0000-000000000007/history"),
            ),
            ("/v1/tenants/{tenant}/contacts:merge", "/v1/tenants/main/contacts:merge", 409, None),
        ] {
            let mut answer = moved();
            redirect(&mut answer, route, &uri.parse().unwrap());
            assert_eq!(answer.status(), status, "{uri}");
            assert_eq!(answer.headers().get(LOCATION).map(|value| value.to_str().unwrap()), location);
        }
    }

    #[test]
    fn every_answer_is_named_and_kept_out_of_caches_and_frames() {
        let mut answer = Problem::from(Error::Unauthenticated).into_response();
        let id = || Some(HeaderValue::from_static("a-1"));
        finish(&mut answer, id(), "/v1/x");
        for (name, value) in [
            ("x-request-id", "a-1"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", POLICY),
            ("www-authenticate", "Bearer"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        finish(&mut answer, id(), "/docs/{*file}");
        assert_eq!(answer.headers()["content-security-policy"], DOCS_POLICY);
    }
}
