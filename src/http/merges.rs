//! Merges by hand, the list of all merges, and their undoing.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::api::{Answer, Command};
use crate::http::contacts::{check_batch, parts};
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::contact::ContactOut;
use crate::http::wire::read::{MergeOut, PageOut, page_limit};
use crate::http::wire::write::{MergeAnswer, MergeRequest, Nothing, PartsAnswer};
use crate::http::wire::{id, id_texts, ids};
use crate::model::ids::MergeId;

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Items at most, 1 to 1,000. Default 100.
    pub(super) limit: Option<usize>,
    /// Where the last page ended.
    pub(super) cursor: Option<String>,
}

/// Says that contacts are one person.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:merge", tag = "merges", operation_id = "mergeContacts",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = MergeRequest,
    responses((status = 200, body = MergeAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn merge(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<MergeRequest>,
) -> Result<Json<MergeAnswer>, Problem> {
    check_batch("contact_ids", body.contact_ids.len(), scope.app.config().batch_max)?;
    let command = Command::Merge {
        contacts: ids("contact_ids", &body.contact_ids)?,
        survivor: body.survivor.map(|text| id("survivor", &text)).transpose()?,
        reason: body.reason,
        dry_run: body.dry_run,
    };
    let receipt = scope.submit(command, context).await?;
    let Answer::Merged { merge_id, survivor, losers } = receipt.answer else {
        let detail = "the engine answered something else";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail));
    };
    let contact = scope.view()?.contact(survivor).ok();
    Ok(Json(MergeAnswer {
        merge_id: merge_id.map(|id| id.to_string()),
        survivor: survivor.to_string(),
        losers: id_texts(&losers),
        contact: contact.as_ref().map(ContactOut::from),
        seq: receipt.seq.0,
    }))
}

/// All merges of contacts, the latest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/merges", tag = "merges", operation_id = "listMerges",
    params(("tenant" = String, Path), PageParams),
    responses((status = 200, body = PageOut<MergeOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, Params(params): Params<PageParams>) -> Result<Json<PageOut<MergeOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let page = scope.view()?.merges(limit, params.cursor.as_deref())?;
    Ok(Json(PageOut { items: page.items.iter().map(MergeOut::from).collect(), next_cursor: page.next }))
}

/// Undoes a merge of contacts or of accounts exactly, also after later edits.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/merges/{merge_id}/undo", tag = "merges", operation_id = "undoMerge",
    params(("tenant" = String, Path), ("merge_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = PartsAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn undo(
    PathId(merge): PathId<MergeId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<PartsAnswer>, Problem> {
    let of_accounts = scope.view()?.is_account_merge(merge);
    let Json(mut answer) = parts(scope.submit(Command::UndoMerge { merge }, context).await?)?;
    if of_accounts {
        std::mem::swap(&mut answer.contacts, &mut answer.accounts);
    }
    Ok(Json(answer))
}
