//! The review queue: pairs that were almost joined, and what a steward says to them.
//! The order of the queue is that of [`crate::engine::View::reviews`].

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::View;
use crate::engine::api::{Command, Context, ReviewEntry, ReviewQuery};
use crate::error::{Error, Result};
use crate::http::contacts::check_batch;
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::problem::Problem;
use crate::http::records::affected;
use crate::http::wire::contact::ContactOut;
use crate::http::wire::read::{PageOut, ReviewOut, page_limit};
use crate::http::wire::write::{AffectedAnswer, DecideAnswer, DecideRequest, DecidedOut, DecisionRequest, ReviewPatch};
use crate::http::wire::{id_texts, ids};
use crate::model::ids::{EntityId, ReviewId};

/// Bytes of an assignee's name at most.
const ASSIGNEE_BYTES_MAX: usize = 128;
/// Bytes of a note at most.
const NOTE_BYTES_MAX: usize = 4096;
/// Reviews that a pattern may decide where the call does not say.
const PATTERN_MAX: usize = 100;

/// Filters of the queue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReviewParams {
    /// `open`, `same`, `different`, `unsure` or `withdrawn`. Missing: those that wait, `open` and `unsure`.
    status: Option<String>,
    /// Only those assigned to this one; empty: to nobody.
    assignee: Option<String>,
    /// Only those with this match key, for example `+NAME+PHONE-BIRTHDAY` (`+` may be written as `%2B`), in any order of
    /// its parts.
    pattern: Option<String>,
    /// Only those whose pair is at least this probable, 0 to 1.
    min_score: Option<f64>,
    /// Items at most, 1 to 1,000. Default 100.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

/// The queue, each with both sides and the evidence. What an answer is worth most on comes first: `value` is how near the
/// join is to undecided, times the pairs of records that hang on it. Those answered `unsure` come last.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/reviews", tag = "reviews", operation_id = "listReviews",
    params(("tenant" = String, Path), ReviewParams),
    responses((status = 200, body = PageOut<ReviewOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    Params(params): Params<ReviewParams>,
) -> Result<Json<PageOut<ReviewOut>>, Problem> {
    check_score(params.min_score)?;
    let query = ReviewQuery {
        status: params.status,
        assignee: params.assignee,
        // A + that was not escaped arrives as a space, which no match key has.
        pattern: params.pattern.map(|pattern| pattern.replace(' ', "+")),
        min_score: params.min_score,
        limit: page_limit(params.limit, scope.app.config().page_max)?,
        cursor: params.cursor,
    };
    let view = scope.view()?;
    let work = move || -> Result<_> {
        let page = view.reviews(&query)?;
        let shown: Vec<EntityId> = page.items.iter().flat_map(|entry| [entry.left, entry.right]).collect();
        let items = page.items.iter().map(|entry| dressed(&view, entry)).collect();
        Ok((PageOut { items, next_cursor: page.next }, shown))
    };
    let (page, shown) = scope.app.heavy(work).await?;
    scope.note_read("review", shown).await?;
    Ok(Json(page))
}

fn check_score(score: Option<f64>) -> Result<(), Problem> {
    match score {
        Some(score) if !(0.0..=1.0).contains(&score) => {
            Err(Problem::invalid("min_score", "must be a probability, 0 to 1"))
        }
        _ => Ok(()),
    }
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
    scope.note_read("review", [entry.left, entry.right]).await?;
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

/// Assigns a review or writes a note on it. Both stay as long as the question does.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}/reviews/{id}", tag = "reviews", operation_id = "patchReview",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = ReviewPatch,
    responses((status = 200, body = ReviewOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn note(
    PathId(review): PathId<ReviewId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<ReviewPatch>,
) -> Result<Json<ReviewOut>, Problem> {
    let ReviewPatch { assignee, note, .. } = body;
    if assignee.is_none() && note.is_none() {
        return Err(Problem::invalid("body", "names no field; send assignee, note or both"));
    }
    for (field, said, max) in [("assignee", &assignee, ASSIGNEE_BYTES_MAX), ("note", &note, NOTE_BYTES_MAX)] {
        if let Some(Some(text)) = said
            && (text.trim().is_empty() || text.len() > max || text.contains('\0'))
        {
            let reason = format!("has {} bytes; it may have 1 to {max} and no NUL, and null takes it away", text.len());
            return Err(Problem::invalid(field, reason));
        }
    }
    scope.submit(Command::NoteReview { review, assignee, note }, context).await?;
    let view = scope.view()?;
    Ok(Json(dressed(&view, &view.review(review)?)))
}

/// Answers several reviews alike, by their ids or all with one match key. Each is decided on its own; what fails, for
/// example since an answer before it settled the question, is said beside it.
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
    let mut meant = meant(&scope, &body, &context).await?;
    let most = scope.app.config().batch_max;
    let (count, truncated, seq) = (meant.len(), meant.len() > most, scope.view()?.seq().0);
    meant.truncate(most);
    let mut answer =
        DecideAnswer { results: Vec::with_capacity(meant.len()), count, truncated, dry_run: body.dry_run, seq };
    for (at, review) in meant.into_iter().enumerate() {
        let mut result = DecidedOut { review_id: review.to_string(), affected: Vec::new(), code: None, detail: None };
        let outcome = if body.dry_run {
            would_decide(&scope, review).map(|()| None)
        } else {
            let context = Context {
                actor: context.actor.clone(),
                // Each decision is a command of its own and needs a key of its own.
                idempotency: context.idempotency.as_ref().map(|(key, body)| (format!("{key}#{at}"), *body)),
            };
            let command = Command::Decide { review, decision: body.decision.into(), reason: body.reason.clone() };
            scope.submit(command, context).await.map(Some)
        };
        match outcome {
            Ok(Some(receipt)) => {
                result.affected = id_texts(&affected(&receipt));
                answer.seq = answer.seq.max(receipt.seq.0);
            }
            Ok(None) => {}
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

/// The reviews that a call means: by their ids, or the open ones with a match key. With an idempotency key they are kept,
/// since a repeat would find others.
async fn meant(scope: &Scope, body: &DecideRequest, context: &Context) -> Result<Vec<ReviewId>, Problem> {
    let keyed = context.idempotency.is_some() && !body.dry_run && body.pattern.is_some();
    if keyed && let Some(ids) = scope.engine.remembered(&scope.tenant, context)? {
        return Ok(ids.into_iter().map(ReviewId).collect());
    }
    let found = found(scope, body).await?;
    if !keyed {
        return Ok(found);
    }
    let command = Command::Remember { ids: found.iter().map(|review| review.0).collect() };
    let receipt = scope.submit(command, context.clone()).await?;
    Ok(affected(&receipt).iter().map(|id| ReviewId(id.0)).collect())
}

async fn found(scope: &Scope, body: &DecideRequest) -> Result<Vec<ReviewId>, Problem> {
    let most = scope.app.config().batch_max;
    let pattern = match (&body.review_ids, &body.pattern) {
        (Some(texts), None) => {
            let filters = [("min_score", body.min_score.is_some()), ("assignee", body.assignee.is_some())];
            let alone = filters.into_iter().chain([("max", body.max.is_some())]).find(|(_, given)| *given);
            if let Some((field, _)) = alone {
                return Err(Problem::invalid(field, "goes with pattern only; leave it out"));
            }
            check_batch("review_ids", texts.len(), most)?;
            return Ok(ids("review_ids", texts)?);
        }
        (None, Some(pattern)) => pattern.clone(),
        (None, None) => return Err(Problem::invalid("review_ids", "is missing; send review_ids or pattern")),
        (Some(_), Some(_)) => return Err(Problem::invalid("pattern", "send either review_ids or pattern")),
    };
    if pattern.is_empty() {
        return Err(Problem::invalid("pattern", "is empty; write for example +NAME+PHONE-BIRTHDAY"));
    }
    check_score(body.min_score)?;
    let max = body.max.unwrap_or(PATTERN_MAX.min(most));
    if !(1..=most).contains(&max) {
        return Err(Problem::invalid("max", format!("is {max}; it may be 1 to {most}")));
    }
    let query = ReviewQuery {
        status: Some("open".to_owned()),
        assignee: body.assignee.clone(),
        pattern: Some(pattern),
        min_score: body.min_score,
        ..ReviewQuery::default()
    };
    let view = scope.view()?;
    let found = scope.app.heavy(move || view.review_ids(&query)).await?;
    if found.len() > max && !body.dry_run {
        let reason = format!(
            "{} reviews have this pattern, more than max, which is {max}; nothing was decided. Look at them with dry_run, \
             narrow them with min_score or assignee, or raise max (up to {most})",
            found.len()
        );
        return Err(Error::Conflict { code: "too_many_reviews", reason, holder: None }.into());
    }
    Ok(found)
}

/// Whether a review could be answered now.
fn would_decide(scope: &Scope, review: ReviewId) -> Result<(), Problem> {
    let entry = scope.view()?.review(review)?;
    if matches!(entry.status, "open" | "unsure") {
        return Ok(());
    }
    let reason = format!("this review is closed: {}", entry.status);
    Err(Error::Conflict { code: "review_closed", reason, holder: None }.into())
}
