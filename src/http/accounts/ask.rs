//! Questions about accounts: match, search, list.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use rayon::prelude::*;

use crate::engine::accounts::AccountQuery;
use crate::error::Result as EngineResult;
use crate::http::contacts::check_batch;
use crate::http::extract::{Asked, NoParams, Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::accounts::AccountOut;
use crate::http::wire::accounts::ask::{
    AccountHitOut, AccountListParams, AccountMatchBatchOut, AccountMatchBatchRequest, AccountMatchOut,
    AccountMatchRequest, AccountSearchOut, AccountSearchRequest,
};
use crate::http::wire::read::PageOut;

/// Which account is this?
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:match", tag = "accounts", operation_id = "matchAccount",
    params(("tenant" = String, Path)),
    request_body = AccountMatchRequest,
    responses((status = 200, body = AccountMatchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn match_one(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<AccountMatchRequest>,
) -> Result<Json<AccountMatchOut>, Problem> {
    let query = request.query("")?;
    Ok(Json(AccountMatchOut::from(&scope.view()?.match_account(&query)?)))
}

/// Which accounts are these? Answered in parallel, from one view.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:matchBatch", tag = "accounts", operation_id = "matchAccounts",
    params(("tenant" = String, Path)),
    request_body = AccountMatchBatchRequest,
    responses((status = 200, body = AccountMatchBatchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn match_batch(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<AccountMatchBatchRequest>,
) -> Result<Json<AccountMatchBatchOut>, Problem> {
    check_batch("queries", request.queries.len(), scope.app.config().batch_max)?;
    let view = scope.view()?;
    let work = move || -> EngineResult<BTreeMap<String, AccountMatchOut>> {
        let answer =
            |(name, query): (String, AccountQuery)| Ok((name, AccountMatchOut::from(&view.match_account(&query)?)));
        request.into_queries()?.into_par_iter().map(answer).collect()
    };
    Ok(Json(AccountMatchBatchOut { results: scope.app.heavy(work).await? }))
}

/// Searches names, former names, domains, industries and cities; forgives typos and unfinished words. A domain that an account
/// has, or a phone number, is looked up exactly.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:search", tag = "accounts", operation_id = "searchAccounts",
    params(("tenant" = String, Path)),
    request_body = AccountSearchRequest,
    responses((status = 200, body = AccountSearchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn search(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<AccountSearchRequest>,
) -> Result<Json<AccountSearchOut>, Problem> {
    let (q, filter) = request.query(scope.app.config().page_max)?;
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let page = scope.app.heavy(move || engine.search_accounts(&tenant, &q, &filter)).await?;
    Ok(Json(AccountSearchOut {
        items: page.items.iter().map(AccountHitOut::from).collect(),
        next_cursor: page.next,
        covered_seq: page.covered.map(|seq| seq.0),
    }))
}

/// Live accounts, oldest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts", tag = "accounts", operation_id = "listAccounts",
    params(("tenant" = String, Path), AccountListParams),
    responses((status = 200, body = PageOut<AccountOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn list(
    scope: Scope,
    Params(params): Params<AccountListParams>,
) -> Result<Json<PageOut<AccountOut>>, Problem> {
    let filter = params.filter(scope.app.config().page_max)?;
    let view = scope.view()?;
    let page = scope.app.heavy(move || view.account_list(&filter)).await?;
    Ok(Json(PageOut { items: page.items.iter().map(AccountOut::from).collect(), next_cursor: page.next }))
}
