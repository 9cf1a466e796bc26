//! References: what points at a contact from outside, through merges and back.

use std::sync::Arc;

use axum::Json;

use crate::engine::api::{Command, ReferenceCommand};
use crate::engine::references::ReferencePut;
use crate::http::extract::{NoParams, Params, PathId, PathTexts, Scope, Write};
use crate::http::merges::PageParams;
use crate::http::problem::Problem;
use crate::http::wire::id;
use crate::http::wire::read::{PageOut, page_limit};
use crate::http::wire::references::{ReferenceAnswer, ReferenceGone, ReferenceOut, ReferenceRequest, reference_name};
use crate::http::wire::write::Nothing;
use crate::model::event::ReferenceName;
use crate::model::ids::EntityId;

/// The contact and the reference of a path.
fn named(path: PathTexts<3>) -> Result<(EntityId, ReferenceName), Problem> {
    let PathTexts([contact, kind, external_id]) = path;
    Ok((id("id", &contact)?, reference_name(kind, external_id)?))
}

/// What points at a contact from outside, by kind and external id; after a merge also what pointed at those it took in.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/references", tag = "references", operation_id = "listReferences",
    params(("tenant" = String, Path), ("id" = String, Path), PageParams),
    responses((status = 200, body = PageOut<ReferenceOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    Params(params): Params<PageParams>,
) -> Result<Json<PageOut<ReferenceOut>>, Problem> {
    let limit = page_limit(params.limit, scope.app.config().page_max)?;
    let page = scope.view()?.references_page(id, limit, params.cursor.as_deref())?;
    let out = |put: &Arc<ReferencePut>| ReferenceOut::from(&**put);
    Ok(Json(PageOut { items: page.items.iter().map(out).collect(), next_cursor: page.next }))
}

/// One reference of a contact; 404 when another contact has it.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/references/{kind}/{external_id}", tag = "references",
    operation_id = "getReference",
    params(("tenant" = String, Path), ("id" = String, Path), ("kind" = String, Path), ("external_id" = String, Path)),
    responses((status = 200, body = ReferenceOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(scope: Scope, path: PathTexts<3>, _: Params<NoParams>) -> Result<Json<ReferenceOut>, Problem> {
    let (contact, name) = named(path)?;
    Ok(Json(ReferenceOut::from(scope.view()?.reference(contact, &name)?)))
}

/// Registers that something outside (an activity, a lead, a ticket) points at a contact.
///
/// Kind and external id are unique in a tenant. The reference follows the contact into every merge and back out of it,
/// and outlives deletion and restoring. Repeating it changes nothing. When another live contact has it: 409 with its id
/// as `holder`, unless the body says `"move": true`. The change feed shows `updated` for the contacts concerned.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/contacts/{id}/references/{kind}/{external_id}", tag = "references",
    operation_id = "putReference",
    params(
        ("tenant" = String, Path), ("id" = String, Path),
        ("kind" = String, Path, description = "1 to 63 of `a-z`, `0-9`, `_` and `-`."),
        ("external_id" = String, Path, description = "1 to 255 bytes, percent-encoded; no personal data, as it is in a URL."),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    request_body = Option<ReferenceRequest>,
    responses((status = 200, body = ReferenceAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put(
    path: PathTexts<3>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<ReferenceRequest>,
) -> Result<Json<ReferenceAnswer>, Problem> {
    let (contact, name) = named(path)?;
    let command = ReferenceCommand::Put { contact, name: name.clone(), take_over: body.take_over };
    let receipt = scope.submit(Command::Reference(command), context).await?;
    let view = scope.view()?;
    let reference = ReferenceOut::from(view.reference(contact, &name)?);
    Ok(Json(ReferenceAnswer { contact_id: contact.to_string(), reference, seq: receipt.seq.0 }))
}

/// Ends a reference of a contact.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/contacts/{id}/references/{kind}/{external_id}", tag = "references",
    operation_id = "deleteReference",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("kind" = String, Path), ("external_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = ReferenceGone), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    path: PathTexts<3>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<ReferenceGone>, Problem> {
    let (contact, name) = named(path)?;
    let command = ReferenceCommand::Delete { contact, name: name.clone() };
    let receipt = scope.submit(Command::Reference(command), context).await?;
    let ReferenceName { kind, external_id } = name;
    Ok(Json(ReferenceGone { contact_id: contact.to_string(), kind, external_id, seq: receipt.seq.0 }))
}
