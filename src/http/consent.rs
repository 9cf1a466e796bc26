//! Who may be found by whom: policies with their consent, blocks, sharing, opt-out, suggestions.

use axum::Json;

use crate::engine::View;
use crate::engine::api::{Command, ConsentCommand};
use crate::http::extract::{NoParams, Params, PathId, PathTexts, Scope, Write};
use crate::http::problem::Problem;
use crate::http::wire::consent::{
    BlockAnswer, BlockOut, BlocksOut, DirectoryUserOut, OptOutAnswer, PolicyOut, PolicyRequest, SharedOut, SharingOut,
    SharingRequest, SuggestionOut, SuggestionsOut,
};
use crate::http::wire::write::Nothing;
use crate::http::wire::{id, time};
use crate::model::ids::EntityId;

/// Suggestions of one answer at most, and by default.
const SUGGESTIONS_MAX: usize = 100;
const SUGGESTIONS_DEFAULT: usize = 20;

/// Who may find a contact of a directory, on what ground, and what was said before.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/discovery", tag = "discovery", operation_id = "getDiscoveryPolicy",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = PolicyOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get_policy(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<PolicyOut>, Problem> {
    policy(&scope.view()?, id)
}

fn policy(view: &View, id: EntityId) -> Result<Json<PolicyOut>, Problem> {
    Ok(Json(PolicyOut::new(&view.discovery(id)?, view.seq().0)))
}

/// Says who may find a contact of a directory. Without it nobody may.
///
/// When contacts merge, the strictest of what was said for each counts, and the undo gives each its own again; what was
/// forbidden meanwhile stays forbidden for both. Refused for somebody who opted out.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/contacts/{id}/discovery", tag = "discovery", operation_id = "putDiscoveryPolicy",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = PolicyRequest,
    responses((status = 200, body = PolicyOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put_policy(
    PathId(contact): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<PolicyRequest>,
) -> Result<Json<PolicyOut>, Problem> {
    let said = body.checked(scope.engine.world().clock.now())?;
    scope.submit(Command::Consent(ConsentCommand::Policy { contact, policy: said }), context).await?;
    policy(&scope.view()?, contact)
}

/// Whom a contact blocks, by id.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/blocks", tag = "discovery", operation_id = "listBlocks",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = BlocksOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list_blocks(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<BlocksOut>, Problem> {
    let blocks = scope.view()?.blocks(id)?;
    Ok(Json(BlocksOut { items: blocks.iter().map(|set| BlockOut::from(&**set)).collect() }))
}

/// The two contacts of a path.
fn pair(path: PathTexts<2>) -> Result<(EntityId, EntityId), Problem> {
    let PathTexts([contact, other]) = path;
    Ok((id("id", &contact)?, id("other_id", &other)?))
}

/// Whether a contact blocks another; 404 with code `block_unknown` if not.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/blocks/{other_id}", tag = "discovery", operation_id = "getBlock",
    params(("tenant" = String, Path), ("id" = String, Path), ("other_id" = String, Path)),
    responses((status = 200, body = BlockOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get_block(
    scope: Scope,
    path: PathTexts<2>,
    _: Params<NoParams>,
) -> Result<Json<BlockOut>, Problem> {
    let (contact, other) = pair(path)?;
    let set = scope.view()?.block(contact, other)?;
    Ok(Json(BlockOut::from(&*set)))
}

/// Lets a contact block another: the other finds it no more, by look-up, reveal or suggestion.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/contacts/{id}/blocks/{other_id}", tag = "discovery", operation_id = "putBlock",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("other_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = BlockAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put_block(
    path: PathTexts<2>,
    _: Params<NoParams>,
    write: Write<Nothing>,
) -> Result<Json<BlockAnswer>, Problem> {
    block(path, write, true).await
}

/// Takes a block back. One that does not hold changes nothing.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/contacts/{id}/blocks/{other_id}", tag = "discovery", operation_id = "deleteBlock",
    params(
        ("tenant" = String, Path), ("id" = String, Path), ("other_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = BlockAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete_block(
    path: PathTexts<2>,
    _: Params<NoParams>,
    write: Write<Nothing>,
) -> Result<Json<BlockAnswer>, Problem> {
    block(path, write, false).await
}

async fn block(path: PathTexts<2>, write: Write<Nothing>, holds: bool) -> Result<Json<BlockAnswer>, Problem> {
    let Write { scope, body: _, context } = write;
    let (contact, other) = pair(path)?;
    let receipt = scope.submit(Command::Consent(ConsentCommand::Block { contact, other, holds }), context).await?;
    let (contact_id, other_id) = (contact.to_string(), other.to_string());
    Ok(Json(BlockAnswer { contact_id, other_id, blocked: holds, seq: receipt.seq.0 }))
}

/// Who sees which field of a contact.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/sharing", tag = "discovery", operation_id = "getSharing",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = SharingOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get_sharing(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<SharingOut>, Problem> {
    sharing(&scope.view()?, id)
}

fn sharing(view: &View, id: EntityId) -> Result<Json<SharingOut>, Problem> {
    let fields = view.sharing(id)?;
    Ok(Json(SharingOut { contact_id: id.to_string(), fields: fields.into_iter().collect(), seq: view.seq().0 }))
}

/// Says who sees which field of a contact; what is left out nobody sees. Replaces what was said before. Where contacts that
/// were told differently merge, nobody sees the field until it is said again.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/contacts/{id}/sharing", tag = "discovery", operation_id = "putSharing",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SharingRequest,
    responses((status = 200, body = SharingOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn put_sharing(
    PathId(contact): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<SharingRequest>,
) -> Result<Json<SharingOut>, Problem> {
    let fields = body.checked()?;
    scope.submit(Command::Consent(ConsentCommand::Sharing { contact, fields }), context).await?;
    sharing(&scope.view()?, contact)
}

/// The fields of a contact that another may see, by the contact's sharing, address book and blocks. For the app to filter
/// what it shows; selfsame itself tells other users ids only.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/shared-with/{other_id}", tag = "discovery",
    operation_id = "getSharedWith",
    params(("tenant" = String, Path), ("id" = String, Path), ("other_id" = String, Path)),
    responses((status = 200, body = SharedOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn shared_with(
    scope: Scope,
    path: PathTexts<2>,
    _: Params<NoParams>,
) -> Result<Json<SharedOut>, Problem> {
    let (contact, other) = pair(path)?;
    let fields = scope.engine.shared_with(&scope.tenant, contact, other)?;
    Ok(Json(SharedOut { contact_id: contact.to_string(), other_id: other.to_string(), fields }))
}

/// Takes a person out of discovery and suggestions for good.
///
/// Nothing takes it back: not a merge or its undo, a restore, an erasure or a new import, by whose identifiers the person is
/// known. For that a keyed tag of each phone and email is kept, also after the person is erased.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts/{id}/opt-out", tag = "discovery", operation_id = "optOut",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = OptOutAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn opt_out(
    PathId(contact): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<OptOutAnswer>, Problem> {
    let receipt = scope.submit(Command::Consent(ConsentCommand::OptOut { contact }), context).await?;
    let opted_out_at = scope.view()?.discovery(contact)?.opted_out_at.map(time);
    Ok(Json(OptOutAnswer { contact_id: contact.to_string(), opted_out_at, seq: receipt.seq.0 }))
}

/// How many suggestions.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SuggestionParams {
    /// 1 to 100. Default 20.
    limit: Option<usize>,
}

/// People whom a user of a directory may know, each with the reason: they have this user in their address book, they have
/// the same people in it, they have mail at the same company's domain, they name the same organisation.
///
/// Only those whom this user may find by look-up are among them. Of shared contacts only such count as everyone may find.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/suggestions", tag = "discovery", operation_id = "getSuggestions",
    params(("tenant" = String, Path), ("id" = String, Path), SuggestionParams),
    responses((status = 200, body = SuggestionsOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn suggestions(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    Params(params): Params<SuggestionParams>,
) -> Result<Json<SuggestionsOut>, Problem> {
    let limit = params.limit.unwrap_or(SUGGESTIONS_DEFAULT);
    if !(1..=SUGGESTIONS_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("may be 1 to {SUGGESTIONS_MAX}")));
    }
    let (engine, tenant) = (scope.engine.clone(), scope.tenant.clone());
    let (found, truncated) = scope.app.heavy(move || engine.suggestions(&tenant, id, limit)).await?;
    Ok(Json(SuggestionsOut { items: found.iter().map(SuggestionOut::from).collect(), truncated }))
}

/// Which user of the directory a contact is: of the tenant that `settings.discovery.directory` names, as far as that user's
/// policy and blocks let this tenant's owner know. Where `keep_users` is set, the change feed tells when it changes
/// (`joined`, `left`).
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/directory-user", tag = "discovery", operation_id = "getDirectoryUser",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = DirectoryUserOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn directory_user(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<DirectoryUserOut>, Problem> {
    let user = scope.engine.directory_user(&scope.tenant, id)?;
    Ok(Json(DirectoryUserOut { contact_id: id.to_string(), user: user.map(|user| user.to_string()) }))
}
