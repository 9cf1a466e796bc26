//! Free-text search.

use std::sync::Arc;

use axum::Json;

use crate::http::extract::{Asked, NoParams, Params, Scope};
use crate::http::problem::Problem;
use crate::http::usage::filters_of;
use crate::http::wire::read::{HitOut, SearchOut, SearchRequest};

/// Searches names, organisations, titles, addresses and notes; forgives typos and unfinished words.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:search", tag = "contacts", operation_id = "searchContacts",
    params(("tenant" = String, Path)),
    request_body = SearchRequest,
    responses((status = 200, body = SearchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn search(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<SearchRequest>,
) -> Result<Json<SearchOut>, Problem> {
    let query = request.query(scope.app.config().page_max)?;
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    scope.app.usage().asked(&scope.tenant, &filters_of(&query.list));
    let page = scope.app.heavy(move || engine.search(&tenant, &query)).await?;
    scope.app.usage().shown(&scope.tenant, page.items.len());
    scope.note_read("search", page.items.iter().map(|hit| hit.contact.id)).await?;
    Ok(Json(SearchOut {
        items: page.items.iter().map(HitOut::from).collect(),
        next_cursor: page.next,
        covered_seq: page.covered.map(|seq| seq.0),
    }))
}
