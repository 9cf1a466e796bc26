//! Who belongs to which business: what is registered, what records name, what mail domains say.

use axum::Json;

use crate::engine::View;
use crate::engine::accounts::{AccountCommand, Link};
use crate::engine::api::Command;
use crate::http::extract::{NoParams, Params, PathId, PathTexts, Scope, Write};
use crate::http::merges::PageParams;
use crate::http::problem::Problem;
use crate::http::wire::accounts::{RelationAnswer, RelationGone, RelationOut, RelationRequest, RelationsOut};
use crate::http::wire::id;
use crate::http::wire::read::{PageOut, page_limit};
use crate::http::wire::write::Nothing;
use crate::model::ids::EntityId;

/// The contact and the account of a path. A merged account stands for its survivor; a merged contact redirects.
fn ends(view: &View, path: PathTexts<2>) -> Result<(EntityId, EntityId), Problem> {
    let PathTexts([contact, account]) = path;
    let account = id("account_id", &account)?;
    Ok((id("id", &contact)?, view.surviving_account(account)))
}

/// The businesses of a person, by id.
///
/// `basis` says why: `manual` (registered), `record` (a record of the person has the account's id, or the id under which
/// the same source put the account, as `account_id`), `email_domain` (a mail address at a domain of the account). The last two
/// follow records and merges by themselves. Free-mail domains never link anybody.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/accounts", tag = "accounts", operation_id = "listContactAccounts",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = RelationsOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn accounts(
    scope: Scope,
    PathId(contact): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<RelationsOut>, Problem> {
    let view = scope.view()?;
    let links = view.accounts_of(contact)?;
    let named = |link: &Link| {
        let name = view.account(link.account).ok().map(|found| found.golden.name);
        RelationOut::from(link).named(name)
    };
    Ok(Json(RelationsOut { items: links.iter().map(named).collect() }))
}

/// The people of a business, by id; after a merge also those of the accounts that it took in.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/accounts/{id}/contacts", tag = "accounts", operation_id = "listAccountContacts",
    params(("tenant" = String, Path), ("id" = String, Path), PageParams),
    responses((status = 200, body = PageOut<RelationOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn contacts(
    scope: Scope,
    PathId(account): PathId<EntityId>,
    Params(params): Params<PageParams>,
) -> Result<Json<PageOut<RelationOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let view = scope.view()?;
    let work = move || {
        let page = view.contacts_of(account, limit, params.cursor.as_deref())?;
        let named = |link: &Link| {
            let name = view.contact(link.contact).ok().map(|found| found.canonical_name);
            RelationOut::from(link).named(name)
        };
        Ok::<_, crate::error::Error>(PageOut { items: page.items.iter().map(named).collect(), next_cursor: page.next })
    };
    Ok(Json(scope.app.heavy(work).await?))
}

/// How a person belongs to a business; 404 when nothing says so.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/accounts/{account_id}", tag = "accounts", operation_id = "getRelation",
    params(("tenant" = String, Path), ("id" = String, Path), ("account_id" = String, Path)),
    responses((status = 200, body = RelationOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(scope: Scope, path: PathTexts<2>, _: Params<NoParams>) -> Result<Json<RelationOut>, Problem> {
    let view = scope.view()?;
    let (contact, account) = ends(&view, path)?;
    Ok(Json(RelationOut::from(&view.relation(contact, account)?)))
}

/// Registers that a person belongs to a business, in which role, since and until when, and whether it is the main one.
///
/// It follows both ends into every merge and back out of it, and outlives deletion and restoring. Repeating it changes
/// nothing. The change feed shows `updated` for both.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/contacts/{id}/accounts/{account_id}", tag = "accounts", operation_id = "putRelation",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("account_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    request_body = Option<RelationRequest>,
    responses((status = 200, body = RelationAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put(
    path: PathTexts<2>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<RelationRequest>,
) -> Result<Json<RelationAnswer>, Problem> {
    let (contact, account) = ends(&scope.view()?, path)?;
    let said = body.checked()?;
    let command = AccountCommand::Relate { contact, account, said };
    let receipt = scope.submit(Command::Account(command), context).await?;
    let relation = RelationOut::from(&scope.view()?.relation(contact, account)?);
    Ok(Json(RelationAnswer { relation, seq: receipt.seq.0 }))
}

/// Takes back what was registered of a person and a business. What records and mail domains say stays.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/contacts/{id}/accounts/{account_id}", tag = "accounts",
    operation_id = "deleteRelation",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("account_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = RelationGone), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    path: PathTexts<2>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<RelationGone>, Problem> {
    let (contact, account) = ends(&scope.view()?, path)?;
    let receipt = scope.submit(Command::Account(AccountCommand::Unrelate { contact, account }), context).await?;
    let (contact_id, account_id) = (contact.to_string(), account.to_string());
    Ok(Json(RelationGone { contact_id, account_id, seq: receipt.seq.0 }))
}
