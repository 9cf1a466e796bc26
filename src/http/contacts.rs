//! Contacts: put, match, look up, edit, delete, split.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::engine::View;
use crate::engine::api::{Answer, Command, Context, Mode, Outcome, Receipt, Side, UpsertResult};
use crate::error::{Error, Result};
use crate::formats::InputRecord;
use crate::formats::checks::RowError;
use crate::formats::json::{RecordInput, from_value};
use crate::http::extract::{Asked, NoParams, Params, PathId, Scope, Write};
use crate::http::hot::Refused;
use crate::http::problem::Problem;
use crate::http::usage::{fields_of, filters_of};
use crate::http::wire::contact::{ContactOut, RecordOut};
use crate::http::wire::matching::{
    MatchBatchOut, MatchBatchRequest, MatchOut, MatchRequest, SideIn, WhyOut, WhyRequest,
};
use crate::http::wire::read::{ChangeOut, HistoryOut, HowOut, ListParams, MergeOut, PageOut, RecordsOut};
use crate::http::wire::write::{
    DeletedAnswer, ModeIn, Nothing, PartsAnswer, SplitRequest, UpsertAnswer, UpsertOut, UpsertRequest, WriteBody,
};
use crate::http::wire::{id_texts, ids};
use crate::model::ids::{EntityId, Seq};
use crate::model::issue::Issue;
use crate::resolve::remark::TAKEN;

/// Records up to which an upsert is prepared on the spot; more go to a thread of their own.
const LIGHT_RECORDS_MAX: usize = 4;
/// Fields of a record that a patch may not touch: they name a record, not a contact.
pub(super) const RECORD_ONLY: [&str; 4] = ["source", "source_record_id", "source_updated_at", "version"];

/// Options of an upsert in the URL.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UpsertParams {
    /// `true` is an alias of mode `merge`.
    pub(super) merge: Option<bool>,
}

/// Puts records; each is decided on its own, in order.
///
/// Business keys (emails that are no role mailboxes, and external ids, unless several people share them) are unique among
/// live contacts. Mode `merge` joins the record to their holder unless something contradicts it. Mode `strict` writes
/// nothing where another contact holds one: a single `record` is answered 409 `identifier_taken` with the `holder` and the
/// `field`, one of several `records` has the outcome `conflict` with the holder as `contact_id`. To join it, repeat it with
/// mode `merge`.
///
/// A source's record is ordered by `version`, then by `source_updated_at`. A lower one is `stale`; one that is equal in both
/// and says something else is stored and answered `conflict`: see `conflicts`.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:upsert", tag = "contacts", operation_id = "upsertContacts",
    params(("tenant" = String, Path), UpsertParams, ("Idempotency-Key" = Option<String>, Header)),
    request_body = UpsertRequest,
    responses((status = 200, body = UpsertAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn upsert(
    Params(params): Params<UpsertParams>,
    write: Write<UpsertRequest>,
) -> Result<Json<UpsertAnswer>, Problem> {
    put(params.merge, write).await
}

/// Puts them; `merge` is the parameter of that name.
pub(super) async fn put(merge: Option<bool>, write: Write<UpsertRequest>) -> Result<Json<UpsertAnswer>, Problem> {
    let Write { scope, body, context } = write;
    let mode = match (merge, body.mode) {
        (Some(true), ModeIn::Strict) => return Err(Problem::invalid("merge", "contradicts mode \"strict\"; send one")),
        (_, mode) => Mode::from(mode),
    };
    let single = body.record.is_some();
    let inputs = match (body.record, body.records) {
        (Some(record), None) => vec![record],
        (None, Some(records)) => records,
        (None, None) => return Err(Problem::invalid("record", "is missing; send record or records")),
        (Some(_), Some(_)) => return Err(Problem::invalid("records", "send either record or records")),
    };
    check_batch("records", inputs.len(), scope.app.config().batch_max)?;
    let checked: Vec<Result<InputRecord, RowError>> =
        inputs.into_iter().map(|input| input.into_checked("api")).collect();
    let records: Vec<InputRecord> = checked.iter().filter_map(|record| record.as_ref().ok()).cloned().collect();
    if records.is_empty() {
        let seq = scope.view().map_or(0, |view| view.seq().0);
        return Ok(Json(UpsertAnswer { results: results(&checked, Vec::new()), seq }));
    }
    let heavy = records.len() > LIGHT_RECORDS_MAX;
    let command = Command::Upsert { records, mode, dry_run: body.dry_run };
    let receipt =
        if heavy { submit_heavy(&scope, command, context).await? } else { scope.submit(command, context).await? };
    let seq = receipt.seq.0;
    let decided = upserted(receipt);
    if single && !body.dry_run {
        taken(&decided)?;
    }
    Ok(Json(UpsertAnswer { results: results(&checked, decided), seq }))
}

/// A single record that strict mode refused is a problem with its holder; of several each has its own outcome.
fn taken(decided: &[UpsertResult]) -> Result<(), Problem> {
    let refused = |result: &UpsertResult| result.issues.iter().find(|issue| issue.code == TAKEN).cloned();
    let Some((issue, holder)) = decided.iter().find_map(|result| Some((refused(result)?, result.contact_id))) else {
        return Ok(());
    };
    let error = Error::Conflict { code: TAKEN, reason: issue.message, holder };
    Err(Problem::from(error).at(issue.field))
}

/// Sends a command whose preparing computes for long.
async fn submit_heavy(scope: &Scope, command: Command, context: Context) -> Result<Receipt, Problem> {
    let (engine, tenant) = (scope.engine.clone(), scope.tenant.clone());
    let answer = scope.app.heavy(move || engine.send(&tenant, command, context)).await?;
    Ok(answer.await.unwrap_or(Err(Error::Poisoned))?)
}

pub(super) fn upserted(receipt: Receipt) -> Vec<UpsertResult> {
    match receipt.answer {
        Answer::Upserted(results) => results,
        Answer::Merged { .. }
        | Answer::Parts(_)
        | Answer::Contact(_)
        | Answer::Done(_)
        | Answer::Webhook(_)
        | Answer::Erasure(_) => Vec::new(),
    }
}

/// One result for each record: the engine's, or why it was not even sent.
fn results(checked: &[Result<InputRecord, RowError>], decided: Vec<UpsertResult>) -> Vec<UpsertOut> {
    let mut decided = decided.into_iter();
    let refused = |error: &RowError| UpsertResult {
        outcome: Outcome::Invalid,
        contact_id: None,
        record_id: None,
        score: None,
        affected: Vec::new(),
        issues: vec![Issue::new(error.field.clone(), error.code, error.message.clone())],
    };
    let result = |record: &Result<InputRecord, RowError>| match record {
        Ok(_) => decided.next().as_ref().map(UpsertOut::from),
        Err(error) => Some(UpsertOut::from(&refused(error))),
    };
    checked.iter().filter_map(result).collect()
}

/// Refuses an empty batch and one that is too long.
pub(super) fn check_batch(field: &str, len: usize, max: usize) -> Result<(), Problem> {
    match len {
        0 => Err(Problem::invalid(field, "is empty; send at least one")),
        len if len > max => Err(Problem::invalid(
            field,
            format!("has {len} items; at most {max} are taken at once: send several requests"),
        )),
        _ => Ok(()),
    }
}

/// Who is this contact?
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:match", tag = "matching", operation_id = "matchContact",
    params(("tenant" = String, Path)),
    request_body = MatchRequest,
    responses((status = 200, body = MatchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn match_one(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<MatchRequest>,
) -> Result<Json<MatchOut>, Problem> {
    Ok(Json(matched(&scope, request).await?))
}

/// The answer to one.
pub(super) async fn matched(scope: &Scope, request: MatchRequest) -> Result<MatchOut, Refused> {
    let query = request.query("")?;
    let answer = scope.engine.view(&scope.tenant)?.match_contact(&query)?;
    scope.app.usage().asked(&scope.tenant, &fields_of(&query.input.fields));
    scope.app.usage().shown(&scope.tenant, answer.candidates.len());
    scope.note_read("match", answer.candidates.iter().map(|candidate| candidate.contact_id)).await?;
    Ok(MatchOut::new(&answer, query.explain))
}

/// Who are these contacts? Answered in parallel, from one view.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:matchBatch", tag = "matching", operation_id = "matchContacts",
    params(("tenant" = String, Path)),
    request_body = MatchBatchRequest,
    responses((status = 200, body = MatchBatchOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn match_batch(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<MatchBatchRequest>,
) -> Result<Json<MatchBatchOut>, Problem> {
    check_batch("queries", request.queries.len(), scope.app.config().batch_max)?;
    let view = scope.view()?;
    let work = move || -> Result<Vec<(String, MatchOut, Vec<EntityId>)>, Error> {
        let queries = request.into_queries()?;
        let answer = |(name, query): (String, crate::engine::api::MatchQuery)| {
            let answer = view.match_contact(&query)?;
            let shown = answer.candidates.iter().map(|candidate| candidate.contact_id).collect();
            Ok((name, MatchOut::new(&answer, query.explain), shown))
        };
        queries.into_par_iter().map(answer).collect()
    };
    let answers = scope.app.heavy(work).await?;
    scope.note_read("match", answers.iter().flat_map(|(.., shown)| shown.iter().copied())).await?;
    let results: BTreeMap<String, MatchOut> = answers.into_iter().map(|(name, out, _)| (name, out)).collect();
    Ok(Json(MatchBatchOut { results }))
}

/// Why are these two the same, or not?
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts:why", tag = "matching", operation_id = "why",
    params(("tenant" = String, Path)),
    request_body = WhyRequest,
    responses((status = 200, body = WhyOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn why(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<WhyRequest>,
) -> Result<Json<WhyOut>, Problem> {
    let view = scope.view()?;
    let left = side(&view, "left", request.left)?;
    let right = side(&view, "right", request.right)?;
    let of_contact = |side: &Side| match side {
        Side::Contact(id) => Some(*id),
        Side::Record(_) | Side::Inline(_) => None,
    };
    scope.note_read("why", [&left, &right].into_iter().filter_map(of_contact)).await?;
    Ok(Json(WhyOut::from(&view.why(&left, &right)?)))
}

/// A side; an id of unknown kind is a contact's if there is (or was) such a contact.
fn side(view: &View, at: &str, value: Value) -> Result<Side> {
    match SideIn::read(at, value)? {
        SideIn::Sure(side) => Ok(side),
        SideIn::Id(text) => {
            let contact: EntityId = crate::http::wire::id(at, &text)?;
            match view.contact(contact) {
                Err(Error::NotFound { .. }) => Ok(Side::Record(crate::http::wire::id(at, &text)?)),
                Err(Error::Moved { survivor }) => Ok(Side::Contact(survivor)),
                _ => Ok(Side::Contact(contact)),
            }
        }
    }
}

/// Lists contacts by filters.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts", tag = "contacts", operation_id = "listContacts",
    params(("tenant" = String, Path), ListParams),
    responses((status = 200, body = PageOut<ContactOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    scope: Scope,
    Params(params): Params<ListParams>,
) -> Result<Json<PageOut<ContactOut>>, Problem> {
    let query = params.query(scope.app.config().page_max)?;
    scope.app.usage().asked(&scope.tenant, &filters_of(&query));
    let view = scope.view()?;
    let page = scope.app.heavy(move || view.list(&query)).await?;
    scope.app.usage().shown(&scope.tenant, page.items.len());
    scope.note_read("list", page.items.iter().map(|contact| contact.id)).await?;
    Ok(Json(PageOut { items: page.items.iter().map(ContactOut::from).collect(), next_cursor: page.next }))
}

/// Options of a look-up.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetParams {
    /// As it was after this seq.
    pub(super) as_of: Option<u64>,
}

/// The golden contact. A merged id answers 307 with the survivor, an erased one 410.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}", tag = "contacts", operation_id = "getContact",
    params(("tenant" = String, Path), ("id" = String, Path), GetParams),
    responses(
        (status = 200, body = ContactOut),
        (status = 307, description = "Merged: `Location` is the survivor.", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    Params(params): Params<GetParams>,
) -> Result<Json<ContactOut>, Problem> {
    scope.note_read("read", [id]).await?;
    let view = scope.view()?;
    let contact = match params.as_of {
        // The past is computed from the merges, which may be many.
        Some(seq) => scope.app.heavy(move || view.contact_as_of(id, Seq(seq))).await?,
        None => view.contact(id)?,
    };
    scope.app.usage().shown(&scope.tenant, 1);
    Ok(Json(ContactOut::from(&contact)))
}

/// A JSON merge patch over a contact's fields.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct PatchBody {
    pub(super) fields: Map<String, Value>,
}

impl WriteBody for PatchBody {
    const CONTENT_TYPES: &'static [&'static str] = &["application/json", "application/merge-patch+json"];

    fn idempotency_key(&self) -> Option<&str> {
        self.fields.get("idempotency_key").and_then(Value::as_str)
    }
}

/// Edits a contact by hand: a JSON merge patch, kept as a record of source `manual`.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}/contacts/{id}", tag = "contacts", operation_id = "patchContact",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = RecordInput, description = "Fields to set; null removes a value, a list replaces the list."),
    responses((status = 200, body = ContactOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn patch(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<PatchBody>,
) -> Result<Json<ContactOut>, Problem> {
    scope.view()?.contact(id)?;
    let (set, touched) = patched(body.fields)?;
    let command = Command::Patch { contact: id, set: Box::new(set), touched };
    scope.submit(command, context).await?;
    Ok(Json(ContactOut::from(&scope.view()?.contact(id)?)))
}

/// What a patch sets, and every field that it names. Attributes stay a patch: they are laid over key by key.
fn patched(mut fields: Map<String, Value>) -> Result<(crate::model::record::Fields, Vec<String>), Problem> {
    fields.remove("idempotency_key");
    if let Some(name) = RECORD_ONLY.iter().find(|name| fields.contains_key(**name)) {
        return Err(Problem::invalid(*name, "belongs to a record, not to the contact; leave it out"));
    }
    if fields.is_empty() {
        return Err(Problem::invalid("body", "names no field; send at least one"));
    }
    for (short, list) in [("email", "emails"), ("phone", "phones")] {
        let Some(value) = fields.remove(short) else { continue };
        let values = if value.is_null() { Value::Null } else { Value::Array(vec![value]) };
        if fields.insert(list.to_owned(), values).is_some() {
            return Err(Problem::invalid(short, format!("and {list} contradict each other; send one")));
        }
    }
    let touched: Vec<String> = fields.keys().cloned().collect();
    let input: RecordInput = from_value(Value::Object(fields))?;
    let set = input.into_values("manual")?.fields;
    Ok((set, touched))
}

/// How to delete.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteParams {
    /// Forgets the person for good: memory at once, every file in the background. There is no way back.
    erase: Option<bool>,
}

/// Deletes a contact softly, or erases it.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/contacts/{id}", tag = "contacts", operation_id = "deleteContact",
    params(("tenant" = String, Path), ("id" = String, Path), DeleteParams, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = DeletedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    PathId(id): PathId<EntityId>,
    Params(params): Params<DeleteParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<DeletedAnswer>, Problem> {
    let contact = id;
    let command = if params.erase == Some(true) { Command::Erase { contact } } else { Command::Delete { contact } };
    let receipt = scope.submit(command, context).await?;
    let erase_id = if let Answer::Erasure(id) = receipt.answer { Some(id.to_string()) } else { None };
    Ok(Json(DeletedAnswer { contact_id: id.to_string(), erase_id, seq: receipt.seq.0 }))
}

/// Undoes a soft delete.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts/{id}/restore", tag = "contacts", operation_id = "restoreContact",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = ContactOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn restore(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body: _, context }: Write<Nothing>,
) -> Result<Json<ContactOut>, Problem> {
    scope.submit(Command::Restore { contact: id }, context).await?;
    Ok(Json(ContactOut::from(&scope.view()?.contact(id)?)))
}

/// The records of a contact, as their sources said them.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/records", tag = "contacts", operation_id = "listContactRecords",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = RecordsOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn records(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<RecordsOut>, Problem> {
    scope.note_read("read", [id]).await?;
    let records = scope.view()?.records(id)?;
    Ok(Json(RecordsOut { records: records.iter().map(RecordOut::from).collect() }))
}

/// Every change of a contact.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/history", tag = "contacts", operation_id = "getContactHistory",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = HistoryOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn history(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<HistoryOut>, Problem> {
    scope.note_read("read", [id]).await?;
    let view = scope.view()?;
    let changes = scope.app.heavy(move || view.history(id)).await?;
    let history_from = changes.iter().map(|change| change.seq.0).min().unwrap_or(0);
    Ok(Json(HistoryOut { changes: changes.iter().map(ChangeOut::from).collect(), history_from }))
}

/// The steps that built a contact.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/how", tag = "contacts", operation_id = "getContactHow",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = HowOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn how(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
) -> Result<Json<HowOut>, Problem> {
    scope.note_read("read", [id]).await?;
    let steps = scope.view()?.how(id)?;
    Ok(Json(HowOut { steps: steps.iter().map(MergeOut::from).collect() }))
}

/// Takes records out of a contact, for good.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts/{id}/split", tag = "contacts", operation_id = "splitContact",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SplitRequest,
    responses((status = 200, body = PartsAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn split(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<SplitRequest>,
) -> Result<Json<PartsAnswer>, Problem> {
    check_batch("record_ids", body.record_ids.len(), scope.app.config().batch_max)?;
    let records = ids("record_ids", &body.record_ids)?;
    let receipt = scope.submit(Command::Split { contact: id, records }, context).await?;
    parts(receipt)
}

/// The contacts there are after a split or an undo.
pub(super) fn parts(receipt: Receipt) -> Result<Json<PartsAnswer>, Problem> {
    match receipt.answer {
        Answer::Parts(contacts) => {
            Ok(Json(PartsAnswer { contacts: id_texts(&contacts), accounts: Vec::new(), seq: receipt.seq.0 }))
        }
        Answer::Upserted(_)
        | Answer::Merged { .. }
        | Answer::Contact(_)
        | Answer::Done(_)
        | Answer::Webhook(_)
        | Answer::Erasure(_) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the engine answered something else"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> Result<(crate::model::record::Fields, Vec<String>), Problem> {
        let fields = serde_json::from_str(json).unwrap();
        patched(fields)
    }

    #[test]
    fn a_patch_sets_and_touches() {
        let (set, mut touched) = patch(r#"{"first_name": "J", "notes": null, "email": "a@example.com"}"#).unwrap();
        touched.sort();
        assert_eq!(touched, ["emails", "first_name", "notes"]);
        assert_eq!((set.first_name.as_deref(), set.notes, set.emails.len()), (Some("J"), None, 1));
        let (set, _) = patch(r#"{"attributes": {"a": {"b": null, "d": 3}}}"#).unwrap();
        assert_eq!(set.attributes.as_deref(), Some(r#"{"a":{"b":null,"d":3}}"#));
        let (set, touched) = patch(r#"{"phone": null, "idempotency_key": "k"}"#).unwrap();
        assert_eq!((set.phones.len(), touched), (0, vec!["phones".to_owned()]));
    }

    #[test]
    fn a_bad_patch_names_the_field() {
        for (json, field) in [
            (r#"{"frist_name": "J"}"#, "frist_name"),
            (r#"{"source": "x", "name": "J"}"#, "source"),
            (r#"{"email": "x", "emails": []}"#, "email"),
            (r#"{}"#, "body"),
            (r#"{"name": 1}"#, "name"),
        ] {
            assert_eq!(patch(json).unwrap_err().field.as_deref(), Some(field), "{json}");
        }
    }

    #[test]
    fn batches_are_bounded() {
        assert!(check_batch("x", 1, 2).is_ok() && check_batch("x", 2, 2).is_ok());
        for len in [0, 3] {
            let problem = check_batch("x", len, 2).unwrap_err();
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("x")));
        }
    }
}
