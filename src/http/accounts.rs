//! Accounts: businesses, put, merged, looked up, deleted, as contacts are. [`ask`] has the questions about them.

pub(super) mod ask;

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::engine::accounts::{AccountCommand, AccountRecord};
use crate::engine::api::{Answer, Command, Mode, Outcome, UpsertResult};
use crate::formats::json::from_value;
use crate::formats::{AccountInput, RowError};
use crate::http::contacts::{GetParams, PatchBody, RECORD_ONLY, UpsertParams, check_batch, upserted};
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::merges::PageParams;
use crate::http::problem::Problem;
use crate::http::wire::accounts::{
    AccountDecisionRequest, AccountDeleted, AccountMergeAnswer, AccountMergeRequest, AccountOut, AccountParts,
    AccountRecordOut, AccountRecordsOut, AccountReviewOut, AccountUpsertAnswer, AccountUpsertOut, AccountUpsertRequest,
    field_name,
};
use crate::http::wire::read::{ChangeOut, HistoryOut, MergeOut, PageOut, page_limit};
use crate::http::wire::write::{AffectedAnswer, ModeIn, Nothing, RecordDeleteRequest, SplitRequest};
use crate::http::wire::{id, id_texts, ids};
use crate::model::ids::{EntityId, RecordKey, Seq};
use crate::model::issue::Issue;

/// Puts account records; each is decided on its own, in order.
///
/// Records with a common registrable domain (`domain`, `alternate_domains`) are one account. Without a domain the key is
/// name, country and city. Names are compared without legal form, previous names count. Records with different domains
/// never join by themselves. Names that are alike (trigrams, with the place) join from 0.85 when the place agrees and
/// nothing else is as likely; from 0.70 a question is opened. Free-mail domains and social networks are no key: the
/// record is taken, with an issue.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:upsert", tag = "accounts", operation_id = "upsertAccounts",
    params(("tenant" = String, Path), UpsertParams, ("Idempotency-Key" = Option<String>, Header)),
    request_body = AccountUpsertRequest,
    responses((status = 200, body = AccountUpsertAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn upsert(
    Params(params): Params<UpsertParams>,
    Write { scope, body, context }: Write<AccountUpsertRequest>,
) -> Result<Json<AccountUpsertAnswer>, Problem> {
    let mode = match (params.merge, body.mode) {
        (Some(true), ModeIn::Strict) => return Err(Problem::invalid("merge", "contradicts mode \"strict\"; send one")),
        (_, mode) => Mode::from(mode),
    };
    let inputs = match (body.record, body.records) {
        (Some(record), None) => vec![record],
        (None, Some(records)) => records,
        (None, None) => return Err(Problem::invalid("record", "is missing; send record or records")),
        (Some(_), Some(_)) => return Err(Problem::invalid("records", "send either record or records")),
    };
    check_batch("records", inputs.len(), scope.app.config().batch_max)?;
    let checked: Vec<Result<AccountRecord, RowError>> =
        inputs.into_iter().map(|input| input.into_checked("api")).collect();
    let records: Vec<AccountRecord> = checked.iter().filter_map(|record| record.as_ref().ok()).cloned().collect();
    if records.is_empty() {
        let seq = scope.view().map_or(0, |view| view.seq().0);
        return Ok(Json(AccountUpsertAnswer { results: results(&checked, Vec::new()), seq }));
    }
    let command = AccountCommand::Upsert { records, mode, dry_run: body.dry_run };
    let receipt = scope.submit(Command::Account(command), context).await?;
    let seq = receipt.seq.0;
    Ok(Json(AccountUpsertAnswer { results: results(&checked, upserted(receipt)), seq }))
}

/// One result for each record: the engine's, or why it was not even sent.
fn results(checked: &[Result<AccountRecord, RowError>], decided: Vec<UpsertResult>) -> Vec<AccountUpsertOut> {
    let mut decided = decided.into_iter();
    let refused = |error: &RowError| UpsertResult {
        outcome: Outcome::Invalid,
        contact_id: None,
        record_id: None,
        score: None,
        affected: Vec::new(),
        issues: vec![Issue::new(error.field.clone(), error.code, error.message.clone())],
    };
    let result = |record: &Result<AccountRecord, RowError>| match record {
        Ok(_) => decided.next().as_ref().map(AccountUpsertOut::from),
        Err(error) => Some(AccountUpsertOut::from(&refused(error))),
    };
    checked.iter().filter_map(result).collect()
}

/// Says that accounts are one business. Their people are the survivor's from then on; undoing the merge gives them back.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:merge", tag = "accounts", operation_id = "mergeAccounts",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = AccountMergeRequest,
    responses((status = 200, body = AccountMergeAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn merge(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<AccountMergeRequest>,
) -> Result<Json<AccountMergeAnswer>, Problem> {
    check_batch("account_ids", body.account_ids.len(), scope.app.config().batch_max)?;
    let command = AccountCommand::Merge {
        accounts: ids("account_ids", &body.account_ids)?,
        survivor: body.survivor.map(|text| id("survivor", &text)).transpose()?,
        reason: body.reason,
        dry_run: body.dry_run,
    };
    let receipt = scope.submit(Command::Account(command), context).await?;
    let Answer::Merged { merge_id, survivor, losers } = receipt.answer else { return Err(unexpected()) };
    let account = scope.view()?.account(survivor).ok();
    Ok(Json(AccountMergeAnswer {
        merge_id: merge_id.map(|id| id.to_string()),
        survivor: survivor.to_string(),
        losers: id_texts(&losers),
        account: account.as_ref().map(AccountOut::from),
        seq: receipt.seq.0,
    }))
}

fn unexpected() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the engine answered something else")
}

/// Merges of accounts, the latest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts:merges", tag = "accounts", operation_id = "listAccountMerges",
    params(("tenant" = String, Path), PageParams),
    responses((status = 200, body = PageOut<MergeOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn merges(
    scope: Scope,
    Params(params): Params<PageParams>,
) -> Result<Json<PageOut<MergeOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let page = scope.view()?.account_merges(limit, params.cursor.as_deref())?;
    Ok(Json(PageOut { items: page.items.iter().map(MergeOut::from).collect(), next_cursor: page.next }))
}

/// Questions about two accounts that wait for an answer, the oldest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts:reviews", tag = "accounts", operation_id = "listAccountReviews",
    params(("tenant" = String, Path), PageParams),
    responses((status = 200, body = PageOut<AccountReviewOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn reviews(
    scope: Scope,
    Params(params): Params<PageParams>,
) -> Result<Json<PageOut<AccountReviewOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let page = scope.view()?.account_reviews(limit, params.cursor.as_deref())?;
    Ok(Json(PageOut { items: page.items.iter().map(AccountReviewOut::from).collect(), next_cursor: page.next }))
}

/// Answers a question about two accounts.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:decide", tag = "accounts", operation_id = "decideAccountReview",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = AccountDecisionRequest,
    responses((status = 200, body = AffectedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn decide(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<AccountDecisionRequest>,
) -> Result<Json<AffectedAnswer>, Problem> {
    let review = id("review_id", &body.review_id)?;
    let command = AccountCommand::Decide { review, decision: body.decision.into(), reason: body.reason };
    affected(&scope, command, context).await
}

async fn affected(
    scope: &Scope,
    command: AccountCommand,
    context: crate::engine::api::Context,
) -> Result<Json<AffectedAnswer>, Problem> {
    let receipt = scope.submit(Command::Account(command), context).await?;
    let Answer::Done(ids) = receipt.answer else { return Err(unexpected()) };
    Ok(Json(AffectedAnswer { affected: id_texts(&ids), seq: receipt.seq.0 }))
}

/// A source withdraws an account record; the rest is resolved anew.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:deleteRecord", tag = "accounts", operation_id = "deleteAccountRecord",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RecordDeleteRequest,
    responses((status = 200, body = AffectedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete_record(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<RecordDeleteRequest>,
) -> Result<Json<AffectedAnswer>, Problem> {
    let key = RecordKey { source: body.source.into(), source_record_id: body.source_record_id.into() };
    affected(&scope, AccountCommand::DeleteRecord(key), context).await
}

/// The golden account. A merged id answers 307 with the survivor.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts/{id}", tag = "accounts", operation_id = "getAccount",
    params(("tenant" = String, Path), ("id" = String, Path), GetParams),
    responses(
        (status = 200, body = AccountOut),
        (status = 307, description = "Merged: `Location` is the survivor.", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    Params(params): Params<GetParams>,
) -> Result<Json<AccountOut>, Problem> {
    let view = scope.view()?;
    let account = match params.as_of {
        Some(seq) => scope.app.heavy(move || view.account_as_of(id, Seq(seq))).await?,
        None => view.account(id)?,
    };
    Ok(Json(AccountOut::from(&account)))
}

/// Edits an account by hand: a JSON merge patch, kept as a record of source `manual`.
///
/// What is set is shown before what sources say, and is never evidence: a domain written by hand is no key, joins nothing and
/// links nobody. null takes a value away, a list replaces the list; what sources say stays in their records.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}/accounts/{id}", tag = "accounts", operation_id = "patchAccount",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = AccountInput, description = "Fields to set; null removes a value, a list replaces the list."),
    responses((status = 200, body = AccountOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn patch(
    PathId(account): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<PatchBody>,
) -> Result<Json<AccountOut>, Problem> {
    scope.view()?.account(account)?;
    let (set, touched) = patched(body.fields)?;
    let command = AccountCommand::Patch { account, set: Box::new(set), touched };
    scope.submit(Command::Account(command), context).await?;
    Ok(Json(AccountOut::from(&scope.view()?.account(account)?)))
}

/// What a patch sets, and every field that it names.
fn patched(mut fields: Map<String, Value>) -> Result<(AccountRecord, Vec<String>), Problem> {
    fields.remove("idempotency_key");
    if let Some(name) = RECORD_ONLY.iter().find(|name| fields.contains_key(**name)) {
        return Err(Problem::invalid(*name, "belongs to a record, not to the account; leave it out"));
    }
    if fields.is_empty() {
        return Err(Problem::invalid("body", "names no field; send at least one"));
    }
    let touched: Vec<String> = fields.keys().cloned().collect();
    let input: AccountInput = from_value(Value::Object(fields))?;
    Ok((input.into_values("manual")?, touched))
}

/// Deletes an account softly.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/accounts/{id}", tag = "accounts", operation_id = "deleteAccount",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = AccountDeleted), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<AccountDeleted>, Problem> {
    let receipt = scope.submit(Command::Account(AccountCommand::Delete(id)), context).await?;
    Ok(Json(AccountDeleted { account_id: id.to_string(), seq: receipt.seq.0 }))
}

/// Undoes a soft delete.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts/{id}/restore", tag = "accounts", operation_id = "restoreAccount",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = AccountOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn restore(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<AccountOut>, Problem> {
    scope.submit(Command::Account(AccountCommand::Restore(id)), context).await?;
    Ok(Json(AccountOut::from(&scope.view()?.account(id)?)))
}

/// The records of an account, as their sources said them.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts/{id}/records", tag = "accounts", operation_id = "listAccountRecords",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = AccountRecordsOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn records(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<AccountRecordsOut>, Problem> {
    let records = scope.view()?.account_records(id)?;
    Ok(Json(AccountRecordsOut { records: records.iter().map(AccountRecordOut::from).collect() }))
}

/// Every change of an account: of its records and of every value that it shows.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts/{id}/history", tag = "accounts", operation_id = "getAccountHistory",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = HistoryOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn history(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<HistoryOut>, Problem> {
    let view = scope.view()?;
    let mut changes = scope.app.heavy(move || view.account_history(id)).await?;
    changes.iter_mut().for_each(|change| change.field = field_name(&change.field));
    let history_from = changes.iter().map(|change| change.seq.0).min().unwrap_or(0);
    Ok(Json(HistoryOut { changes: changes.iter().map(ChangeOut::from).collect(), history_from }))
}

/// Takes records out of an account, for good.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts/{id}/split", tag = "accounts", operation_id = "splitAccount",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SplitRequest,
    responses((status = 200, body = AccountParts), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn split(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<SplitRequest>,
) -> Result<Json<AccountParts>, Problem> {
    check_batch("record_ids", body.record_ids.len(), scope.app.config().batch_max)?;
    let records = ids("record_ids", &body.record_ids)?;
    let receipt = scope.submit(Command::Account(AccountCommand::Split { account: id, records }), context).await?;
    let Answer::Parts(accounts) = receipt.answer else { return Err(unexpected()) };
    Ok(Json(AccountParts { accounts: id_texts(&accounts), seq: receipt.seq.0 }))
}
