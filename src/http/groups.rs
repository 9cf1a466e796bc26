//! Groups of contacts, by slug.

use axum::Json;

use crate::engine::api::{Command, GroupCommand};
use crate::error::Error;
use crate::http::extract::{NoParams, Params, PathTexts, Scope, Write};
use crate::http::merges::PageParams;
use crate::http::problem::Problem;
use crate::http::records::affected;
use crate::http::wire::discipline::{GroupAnswer, GroupGone, GroupOut, GroupRequest, checked_slug};
use crate::http::wire::read::{PageOut, page_limit};
use crate::http::wire::write::Nothing;

/// The groups there are, by slug: those that were put, and those that a contact shows.
///
/// A contact's `groups` come from its records. A group's slug is its name in lower case, with one `-` for everything that is
/// neither letter nor digit: `Book Club` is `book-club`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/groups", tag = "groups", operation_id = "listGroups",
    params(("tenant" = String, Path), PageParams),
    responses((status = 200, body = PageOut<GroupOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, Params(params): Params<PageParams>) -> Result<Json<PageOut<GroupOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let view = scope.view()?;
    let page = scope.app.heavy(move || Ok::<_, Error>(view.groups(limit, params.cursor.as_deref()))).await?;
    Ok(Json(PageOut { items: page.items.iter().map(GroupOut::from).collect(), next_cursor: page.next }))
}

/// One group, with the number of contacts that show it. `GET contacts?group=` lists them.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/groups/{slug}", tag = "groups", operation_id = "getGroup",
    params(("tenant" = String, Path), ("slug" = String, Path)),
    responses((status = 200, body = GroupOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(scope: Scope, path: PathTexts<1>, _: Params<NoParams>) -> Result<Json<GroupOut>, Problem> {
    let PathTexts([slug]) = path;
    let (view, slug) = (scope.view()?, checked_slug(slug)?);
    let group = scope.app.heavy(move || view.group(&slug)).await?;
    Ok(Json(GroupOut::from(&group)))
}

/// Names or describes a group. The slug stays whatever the name; a group that was deleted is back, also in the contacts
/// whose records name it.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/groups/{slug}", tag = "groups", operation_id = "putGroup",
    params(
        ("tenant" = String, Path),
        ("slug" = String, Path, description = "Lower-case letters and digits with single `-` between them, at most 128 bytes."),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    request_body = Option<GroupRequest>,
    responses((status = 200, body = GroupAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put(
    path: PathTexts<1>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<GroupRequest>,
) -> Result<Json<GroupAnswer>, Problem> {
    let PathTexts([slug]) = path;
    let slug = checked_slug(slug)?;
    let (name, description) = body.checked(&slug)?;
    let command = GroupCommand::Put { slug: slug.clone(), name, description };
    let receipt = scope.submit(Command::Group(command), context).await?;
    let view = scope.view()?;
    let group = scope.app.heavy(move || view.group(&slug)).await?;
    Ok(Json(GroupAnswer { group: GroupOut::from(&group), seq: receipt.seq.0 }))
}

/// Deletes a group: no contact shows it any more, whatever its records say or will say, until the group is put again. The
/// records keep it, and the history of each contact shows the change.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/groups/{slug}", tag = "groups", operation_id = "deleteGroup",
    params(("tenant" = String, Path), ("slug" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = GroupGone), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    path: PathTexts<1>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<GroupGone>, Problem> {
    let PathTexts([slug]) = path;
    let slug = checked_slug(slug)?;
    let receipt = scope.submit(Command::Group(GroupCommand::Delete { slug: slug.clone() }), context).await?;
    Ok(Json(GroupGone { slug, contacts: affected(&receipt).len() as u64, seq: receipt.seq.0 }))
}
