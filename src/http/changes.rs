//! The change feed: in pages, or as server-sent events that go on until the caller leaves.
//!
//! A cursor is opaque to callers; here it is the seq of the last entry seen.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::IntoParams;

use crate::engine::View;
use crate::http::extract::{Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::read::{ChangesOut, FeedOut, page_limit};
use crate::model::ids::Seq;

/// Entries sent in one go.
const EVENTS_AT_ONCE: usize = 200;
/// How often a quiet stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangesParams {
    /// The cursor of the last answer. Missing: from the beginning.
    after: Option<String>,
    /// Entries at most, 1 to 1,000. Default 100. Entries of one event stay together, so there may be a few more.
    limit: Option<usize>,
}

/// What changed, oldest first. With `Accept: text/event-stream` as server-sent events, without an end.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/changes", tag = "changes", operation_id = "listChanges",
    params(("tenant" = String, Path), ChangesParams, ("Last-Event-ID" = Option<String>, Header)),
    responses(
        (status = 200, content((ChangesOut = "application/json"), (String = "text/event-stream"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn changes(
    scope: Scope,
    headers: HeaderMap,
    Params(params): Params<ChangesParams>,
) -> Result<Response, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = cursor(resumed.or(params.after.as_deref()))?;
    let events = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream")));
    if events { stream(&scope, after) } else { Ok(page(&scope.view()?, after, limit).into_response()) }
}

fn cursor(text: Option<&str>) -> Result<Seq, Problem> {
    let Some(text) = text else { return Ok(Seq(0)) };
    text.parse().map(Seq).map_err(|_| Problem::invalid("after", "is no cursor of this feed"))
}

fn page(view: &View, after: Seq, limit: usize) -> Json<ChangesOut> {
    let page = view.changes(after, limit);
    let last = page.items.last().map_or(after, |entry| entry.seq);
    Json(ChangesOut {
        changes: page.items.iter().map(FeedOut::from).collect(),
        next_cursor: last.0.to_string(),
        truncated: page.next.is_some(),
    })
}

/// A stream of events: what is there, then what comes, with a sign of life in between.
struct Events {
    scope: Scope,
    after: Seq,
    published: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
}

fn stream(scope: &Scope, after: Seq) -> Result<Response, Problem> {
    let events = Events {
        published: scope.engine.subscribe(&scope.tenant)?,
        closing: scope.app.closing(),
        scope: scope.clone(),
        after,
    };
    let chunks = futures_util::stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let mut answer = Body::from_stream(chunks).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(answer)
}

impl Events {
    /// The next piece of the stream; `None` when the server stops, the tenant is gone or the caller's key has ended.
    async fn next(&mut self) -> Option<Bytes> {
        if *self.closing.borrow() {
            return None;
        }
        // Marked as seen before it is read: what comes in between wakes us again.
        self.published.borrow_and_update();
        let text = self.waiting()?;
        if !text.is_empty() {
            return Some(text);
        }
        tokio::select! {
            changed = self.published.changed() => changed.ok().and_then(|()| self.waiting()),
            _ = self.closing.changed() => None,
            () = tokio::time::sleep(KEEP_ALIVE) => Some(Bytes::from_static(b": alive\n\n")),
        }
    }

    /// What is there already, as events; empty if nothing is, `None` where the stream is over.
    fn waiting(&mut self) -> Option<Bytes> {
        let Scope { app, engine, tenant, caller } = &self.scope;
        if !app.guard().auth().is_still_in(engine, caller) {
            return None;
        }
        let view = engine.view(tenant).ok()?;
        let page = view.changes(self.after, EVENTS_AT_ONCE);
        let mut text = String::new();
        for entry in &page.items {
            self.after = entry.seq;
            let data = serde_json::to_string(&FeedOut::from(entry)).unwrap_or_default();
            text.push_str(&format!("id: {}\nevent: {}\ndata: {data}\n\n", entry.seq.0, entry.kind));
        }
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_ours_or_refused() {
        assert_eq!(cursor(None).unwrap(), Seq(0));
        assert_eq!(cursor(Some("12")).unwrap(), Seq(12));
        for bad in ["", "-1", "x", "99999999999999999999999"] {
            assert_eq!(cursor(Some(bad)).unwrap_err().field.as_deref(), Some("after"), "{bad}");
        }
    }
}
