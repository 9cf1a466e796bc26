//! The calls that come thousands of times a second, answered without the router.
//!
//! A look-up or a match takes a few microseconds, and the router with its boxed layers took longer than that; an upsert takes
//! longer and comes in the largest numbers. These three calls are told by their path before it, and everything else about them is the same: who may come in, the route's rule before the
//! body is read, the deadline, the headers, the figures (`layer` has them all). Only what needs no thought comes here: the
//! path as it is documented, without parameters. Whatever is odd about a request goes to the router, which has the last
//! word on it.
//!
//! Their requests have no span of their own unless diagnostics of level `debug` are on: making one costs as much as a
//! look-up. What a refusal writes to the log ([`Refused`]) is written within one that is made for it.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, LazyLock};

use axum::body::{Bytes, HttpBody};
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{Method, Request, Uri, Version};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use serde::Serialize;
use tracing::Instrument;

use crate::auth::{Caller, Rule};
use crate::engine::Engine;
use crate::error::Error;
use crate::formats::json::from_slice;
use crate::http::app::App;
use crate::http::contacts::{self, matched};
use crate::http::discovery::lookup;
use crate::http::extract::{Scope, Write, body_within};
use crate::http::guard::{Peer, json_type};
use crate::http::layer::{self, Begun};
use crate::http::problem::Problem;
use crate::http::routes;
use crate::model::ids::TenantName;

/// What is in front of the tenant in the path.
const TENANTS: &str = "/v1/tenants/";
/// Bytes of a typical answer.
const ANSWER_BYTES: usize = 4 << 10;
/// The calls, as the table of routes names them, each with what follows the tenant in the path.
const CALLS: [(What, &str, &str); 3] = [
    (What::Lookup, "/v1/tenants/{tenant}/discovery/lookup", "/discovery/lookup"),
    (What::Match, "/v1/tenants/{tenant}/contacts:match", "/contacts:match"),
    (What::Upsert, "/v1/tenants/{tenant}/contacts:upsert", "/contacts:upsert"),
];

/// Their rules, in the same order.
static RULES: LazyLock<[Option<Rule>; CALLS.len()]> =
    LazyLock::new(|| CALLS.map(|(_, route, _)| routes::rule_of(&Method::POST, route)));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Lookup,
    Match,
    Upsert,
}

/// One of these calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    what: What,
    route: &'static str,
    rule: Rule,
    tenant: TenantName,
}

impl Call {
    /// The call that a request is, if it is one of these.
    pub(super) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        if method != Method::POST || uri.query().is_some() {
            return None;
        }
        let rest = uri.path().strip_prefix(TENANTS)?;
        let end = rest.find('/')?;
        let (tenant, call) = rest.split_at_checked(end)?;
        let ((what, route, _), rule) = CALLS.into_iter().zip(*RULES).find(|((.., path), _)| *path == call)?;
        Some(Self { what, route, rule: rule?, tenant: TenantName::parse(tenant)? })
    }
}

/// Why a call is refused, not yet in words: finding those may write to the log.
pub(super) enum Refused {
    /// By the engine.
    By(Error),
    /// In words already.
    With(Box<Problem>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::With(Box::new(problem))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::By(error) => error.into(),
            Refused::With(problem) => *problem,
        }
    }
}

/// Answers one. All that can be told of it at once is, before there is a future: that one is moved to where it stays, and should be
/// small.
pub(super) fn answer<B>(
    app: App,
    call: Call,
    peer: Peer,
    request: Request<B>,
) -> BoxFuture<'static, Result<Response, Infallible>>
where
    B: HttpBody<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    let (mut parts, mut body) = request.into_parts();
    let speaks = speaks_of_connection(&parts);
    let begun = Begun::of(&app, call.route, &parts);
    let what = call.what;
    let (engine, caller) = match admitted(&app, &call, peer, &parts) {
        Ok(admitted) => admitted,
        Err(refused) => return Box::pin(ready(Ok(ended(&app, &begun, (&parts.uri, speaks), Err(refused))))),
    };
    let scope = Scope { app, engine, tenant: call.tenant, caller };
    Box::pin(async move {
        // Beside a match or a write a box costs nothing, and what a look-up moves about stays small.
        let handled = async {
            match what {
                What::Lookup => lookup::answered(&scope, &parts, &mut body).await.map(Answered::Json),
                What::Match => Box::pin(matching(&scope, &parts, &mut body)).await.map(Answered::Json),
                What::Upsert => {
                    let upserted = upserted(&scope, &parts, &mut body).instrument(begun.span());
                    Ok(Answered::Whole(Box::pin(upserted).await?))
                }
            }
        };
        let done = layer::in_time(scope.app.config().request_timeout, handled).await;
        let answer = match done {
            // The answer's headers go where the request's were, and hyper keeps that for the next request of the connection.
            Ok(Ok(Answered::Json(body))) => Ok(lookup::json(std::mem::take(&mut parts.headers), body)),
            Ok(Ok(Answered::Whole(answer))) => Ok(answer),
            Ok(Err(refused)) => Err(refused),
            Err(unfinished) => Ok(begun.span().in_scope(|| unfinished.answer())),
        };
        Ok(ended(&scope.app, &begun, (&parts.uri, speaks), answer))
    })
}

/// Guard and rule.
fn admitted(app: &App, call: &Call, peer: Peer, parts: &Parts) -> Result<(Arc<Engine>, Arc<Caller>), Refused> {
    let Call { rule, tenant, .. } = call;
    let caller = layer::let_in(app, Some(*rule), parts, peer)?;
    layer::check(app, rule, &caller, Some(tenant.as_str()), &parts.uri).inspect_err(|_| layer::denied())?;
    Ok((Arc::clone(app.engine()?), caller))
}

/// What a call answers.
enum Answered {
    Json(Vec<u8>),
    Whole(Response),
}

/// Whether the answer to this has a header about the connection.
fn speaks_of_connection(parts: &Parts) -> bool {
    parts.version != Version::HTTP_11 || parts.headers.contains_key(CONNECTION)
}

/// The answer as it leaves.
fn ended(app: &App, begun: &Begun, (uri, speaks): (&Uri, bool), answer: Result<Response, Refused>) -> Response {
    let answer = answer.unwrap_or_else(|refused| begun.span().in_scope(|| Problem::from(refused).into_response()));
    let mut answer = begun.end(app, uri, answer);
    // The router puts the length behind all other headers, and so does hyper where there is none; but what it says of the connection
    // it puts before. Nobody shall tell by the head which way an answer took: a name that is none goes the other one.
    if let (true, Some(length)) = (speaks, answer.body().size_hint().exact()) {
        answer.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    answer
}

/// What `Json` answers, written to a vector: that is faster than to the buffer it takes, and an answer of ten contacts has kilobytes.
fn json<T: Serialize>(answer: &T) -> Result<Vec<u8>, Problem> {
    let mut written = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut written, answer).map_err(|_| Problem::internal())?;
    Ok(written)
}

async fn matching<B>(scope: &Scope, parts: &Parts, body: B) -> Result<Vec<u8>, Refused>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    json_type(&parts.headers)?;
    let bytes = body_within(body, &scope.app, u64::MAX).await?;
    Ok(json(&matched(scope, from_slice(&bytes)?).await?)?)
}

async fn upserted<B>(scope: &Scope, parts: &Parts, body: B) -> Result<Response, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    Ok(contacts::put(None, Write::of(scope.clone(), parts, body).await?).await?.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Noted;

    fn call(method: Method, uri: &str) -> Option<(What, String)> {
        let call = Call::of(&method, &uri.parse().unwrap())?;
        Some((call.what, call.tenant.as_str().to_owned()))
    }

    #[test]
    fn only_what_needs_no_thought_goes_round_the_router() {
        let lookup = Some((What::Lookup, "acme".to_owned()));
        assert_eq!(call(Method::POST, "/v1/tenants/acme/discovery/lookup"), lookup);
        assert_eq!(call(Method::POST, "http://h:1/v1/tenants/acme/discovery/lookup"), lookup);
        assert_eq!(call(Method::POST, "/v1/tenants/acme/contacts:match"), Some((What::Match, "acme".to_owned())));
        assert_eq!(call(Method::POST, "/v1/tenants/acme/contacts:upsert"), Some((What::Upsert, "acme".to_owned())));
        for uri in [
            "/v1/tenants/acme/contacts:upsert?merge=true",
            "/v1/tenants/acme/discovery/lookup?x=1",
            "/v1/tenants/acme/discovery/lookup?",
            "/v1/tenants/acme/discovery/lookup/",
            "/v1/tenants/acme/discovery/lookups",
            "/v1/tenants/acme/discovery%2Flookup",
            "/v1/tenants/ac%6De/discovery/lookup",
            "/v1/tenants/ACME/discovery/lookup",
            "/v1/tenants//discovery/lookup",
            "/v1/tenants/a/b/discovery/lookup",
            "/v1/tenants/acme/contacts:matchBatch",
            "/v2/tenants/acme/contacts:match",
            "/v1/tenants/acme",
            "/",
        ] {
            assert_eq!(call(Method::POST, uri), None, "{uri}");
        }
        assert_eq!(call(Method::GET, "/v1/tenants/acme/discovery/lookup"), None);
        assert_eq!(call(Method::OPTIONS, "/v1/tenants/acme/discovery/lookup"), None);
    }

    /// What `layer` does for other routes and this leaves out must have nothing to do here. Whether a caller may make a
    /// tenant is asked by `check`, here as there; none but the upsert makes one.
    #[test]
    fn the_calls_are_in_the_table_and_their_rules_ask_for_nothing_more() {
        for (what, route, path) in CALLS {
            let rule = routes::rule_of(&Method::POST, route).unwrap();
            assert!(rule.noted == Noted::No && rule.raised_by.is_none(), "{route}");
            assert_eq!(rule.makes_tenants, what == What::Upsert, "{route}");
            assert_eq!(route.strip_prefix("/v1/tenants/{tenant}"), Some(path));
        }
    }
}
