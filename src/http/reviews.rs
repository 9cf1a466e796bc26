//! The review queue: pairs that were almost joined, and what a steward says to them.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::View;
use crate::engine::api::{Command, Context, Decision, ReviewEntry};
use crate::error::Result;
use crate::http::contacts::check_batch;
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::problem::Problem;
use crate::http::records::affected;
use crate::http::wire::contact::ContactOut;
use crate::http::wire::read::{PageOut, ReviewOut, page_limit};
use crate::http::wire::write::{AffectedAnswer, DecideAnswer, DecideRequest, DecidedOut, DecisionRequest};
use crate::http::wire::{id_texts, ids};
use crate::model::ids::ReviewId;

/// Filters of the queue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReviewParams {
    /// `open`, `same`, `different`, `unsure` or `withdrawn`. Missing: those that wait.
    status: Option<String>,
    /// Items at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

/// The queue, each with both sides and the evidence.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/reviews", tag = "reviews", operation_id = "listReviews",
    params(("tenant" = String, Path), ReviewParams),
    responses((status = 200, body = PageOut<ReviewOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    Params(params): Params<ReviewParams>,
) -> Result<Json<PageOut<ReviewOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let view = scope.view()?;
    let work = move || -> Result<PageOut<ReviewOut>> {
        let page = view.reviews(params.status.as_deref(), limit, params.cursor.as_deref())?;
        let items = page.items.iter().map(|entry| dressed(&view, entry)).collect();
        Ok(PageOut { items, next_cursor: page.next })
    };
    Ok(Json(scope.app.heavy(work).await?))
}

fn dressed(view: &View, entry: &ReviewEntry) -> ReviewOut {
    let contact = |id| view.contact(id).ok().as_ref().map(ContactOut::from);
    ReviewOut::new(entry, contact(entry.left), contact(entry.right))
}

/// One question to a steward.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/reviews/{id}", tag = "reviews", operation_id = "getReview",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ReviewOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    scope: Scope,
    PathId(review): PathId<ReviewId>,
    _: Params<NoParams>,
) -> Result<Json<ReviewOut>, Problem> {
    let view = scope.view()?;
    let entry = view.review(review)?;
    Ok(Json(dressed(&view, &entry)))
}

/// Answers a review.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/reviews/{id}/decision", tag = "reviews", operation_id = "decideReview",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = DecisionRequest,
    responses((status = 200, body = AffectedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn decide(
    PathId(review): PathId<ReviewId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<DecisionRequest>,
) -> Result<Json<AffectedAnswer>, Problem> {
    let command = Command::Decide { review, decision: body.decision.into(), reason: body.reason };
    let receipt = scope.submit(command, context).await?;
    Ok(Json(AffectedAnswer { affected: id_texts(&affected(&receipt)), seq: receipt.seq.0 }))
}

/// Answers several reviews alike. Each is decided on its own; what fails is said beside it.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/reviews:decide", tag = "reviews", operation_id = "decideReviews",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = DecideRequest,
    responses((status = 200, body = DecideAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn decide_many(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<DecideRequest>,
) -> Result<Json<DecideAnswer>, Problem> {
    check_batch("review_ids", body.review_ids.len(), scope.app.config().batch_max)?;
    let reviews: Vec<ReviewId> = ids("review_ids", &body.review_ids)?;
    let decision = Decision::from(body.decision);
    let mut answer = DecideAnswer { results: Vec::with_capacity(reviews.len()), seq: scope.view()?.seq().0 };
    for (at, review) in reviews.into_iter().enumerate() {
        let context = Context {
            actor: context.actor.clone(),
            // Each decision is a command of its own and needs a key of its own.
            idempotency: context.idempotency.as_ref().map(|(key, body)| (format!("{key}#{at}"), *body)),
        };
        let command = Command::Decide { review, decision, reason: body.reason.clone() };
        let mut result = DecidedOut { review_id: review.to_string(), affected: Vec::new(), code: None, detail: None };
        match scope.submit(command, context).await {
            Ok(receipt) => {
                result.affected = id_texts(&affected(&receipt));
                answer.seq = answer.seq.max(receipt.seq.0);
            }
            // What concerns this review only is said beside it; anything else ends the call.
            Err(problem) if matches!(problem.status, 404 | 409 | 410) => {
                (result.code, result.detail) = (Some(problem.code), Some(problem.detail));
            }
            Err(problem) => return Err(problem),
        }
        answer.results.push(result);
    }
    Ok(Json(answer))
}
