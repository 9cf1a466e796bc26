//! Questions about accounts: match, why, how, search, list.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use rayon::prelude::*;
use serde_json::Value;

use crate::engine::View;
use crate::engine::accounts::{AccountQuery, AccountSide};
use crate::error::{Error, Result as EngineResult};
use crate::http::contacts::check_batch;
use crate::http::extract::{Asked, NoParams, Params, PathId, Scope};
use crate::http::problem::Problem;
use crate::http::wire::accounts::AccountOut;
use crate::http::wire::accounts::ask::{
    AccountHitOut, AccountHowOut, AccountListParams, AccountMatchBatchOut, AccountMatchBatchRequest, AccountMatchOut,
    AccountMatchRequest, AccountSearchOut, AccountSearchRequest, AccountSideIn, AccountStepOut, AccountWhyOut,
    AccountWhyRequest,
};
use crate::http::wire::id;
use crate::http::wire::read::PageOut;
use crate::model::ids::EntityId;

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

/// Why are these two accounts one, or not?
///
/// Of each side the record that agrees best counts. `missing` says what would join them, or what keeps them apart.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/accounts:why", tag = "accounts", operation_id = "whyAccounts",
    params(("tenant" = String, Path)),
    request_body = AccountWhyRequest,
    responses((status = 200, body = AccountWhyOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn why(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<AccountWhyRequest>,
) -> Result<Json<AccountWhyOut>, Problem> {
    let view = scope.view()?;
    let left = side(&view, "left", request.left)?;
    let right = side(&view, "right", request.right)?;
    let why = scope.app.heavy(move || view.why_accounts(&left, &right)).await?;
    Ok(Json(AccountWhyOut::from(&why)))
}

/// A side; an id of unknown kind is an account's if there is (or was) such an account.
fn side(view: &View, at: &str, value: Value) -> EngineResult<AccountSide> {
    match AccountSideIn::read(at, value)? {
        AccountSideIn::Sure(side) => Ok(side),
        AccountSideIn::Id(text) => {
            let account: EntityId = id(at, &text)?;
            match view.account(account) {
                Err(Error::NotFound { .. }) => Ok(AccountSide::Record(id(at, &text)?)),
                Err(Error::Moved { survivor }) => Ok(AccountSide::Account(survivor)),
                _ => Ok(AccountSide::Account(account)),
            }
        }
    }
}

/// The steps that built an account, each with what the joining pair of records said then and says now.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts/{id}/how", tag = "accounts", operation_id = "getAccountHow",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = AccountHowOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn how(
    scope: Scope,
    PathId(account): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<AccountHowOut>, Problem> {
    let view = scope.view()?;
    let steps = scope.app.heavy(move || view.account_how(account)).await?;
    Ok(Json(AccountHowOut { steps: steps.iter().map(AccountStepOut::from).collect() }))
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
