//! Records by their source's own key.

use axum::Json;

use crate::engine::api::{Answer, Command, Receipt};
use crate::http::extract::{NoParams, Params, Write};
use crate::http::problem::Problem;
use crate::http::wire::id_texts;
use crate::http::wire::write::{AffectedAnswer, RecordDeleteRequest};
use crate::model::ids::{EntityId, RecordKey};

/// A source's tombstone: the record goes, the rest is resolved anew.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/records:delete", tag = "contacts", operation_id = "deleteRecord",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RecordDeleteRequest,
    responses((status = 200, body = AffectedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    _: Params<NoParams>,
    Write { scope, body, context }: Write<RecordDeleteRequest>,
) -> Result<Json<AffectedAnswer>, Problem> {
    let key = RecordKey { source: body.source.into(), source_record_id: body.source_record_id.into() };
    let receipt = scope.submit(Command::DeleteRecord { key }, context).await?;
    Ok(Json(AffectedAnswer { affected: id_texts(&affected(&receipt)), seq: receipt.seq.0 }))
}

/// The contacts that a command changed.
pub(super) fn affected(receipt: &Receipt) -> Vec<EntityId> {
    match &receipt.answer {
        Answer::Done(contacts) | Answer::Parts(contacts) => contacts.clone(),
        Answer::Contact(contact) => vec![*contact],
        Answer::Merged { survivor, losers, .. } => std::iter::once(*survivor).chain(losers.iter().copied()).collect(),
        Answer::Webhook(_) | Answer::Erasure(_) => Vec::new(),
        Answer::Upserted(results) => results.iter().flat_map(|result| result.affected.iter().copied()).collect(),
    }
}
