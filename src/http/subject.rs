//! One person's rights: everything that is held about them, their data to take along, and restriction.

use std::sync::Arc;

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::Response;

use crate::engine::api::Command;
use crate::engine::privacy::Subject;
use crate::engine::{Engine, View};
use crate::error::Error;
use crate::formats::write::{ExportContact, csv_contact, csv_header, vcard_contact};
use crate::http::extract::{NoParams, Params, PathId, Scope, Write};
use crate::http::page::{Form, answer};
use crate::http::problem::Problem;
use crate::http::wire::accounts::RelationOut;
use crate::http::wire::contact::ExportedContact;
use crate::http::wire::privacy::{RestrictAnswer, RestrictRequest};
use crate::http::wire::subject::{Around, SubjectOut};
use crate::model::ids::{EntityId, RecordId, TenantName};

/// Leaves in the audit trail that somebody reads everything about a person. What cannot be noted is refused.
async fn note(scope: &Scope, what: &'static str, id: EntityId) -> Result<(), Problem> {
    let (engine, tenant, actor) = (Arc::clone(&scope.engine), scope.tenant.clone(), scope.caller.actor.clone());
    scope.app.heavy(move || engine.note_access(&tenant, what, vec![id], &actor)).await
}

/// Everything that is held about the person of a contact (GDPR article 15): records with all versions, values with their
/// origin, history, merges, questions and judgements, references, businesses, restrictions, checks, what was said about
/// discovery, imports, webhooks and the audit trail. A merged id is answered for the contact it leads to.
///
/// JSON, or with `Accept: text/html` a page to print. Of other people it has ids, levels and weights only; where a text or
/// an old value may speak of somebody else it is held back and `withheld` says so. The call itself is audited first, as
/// `subject_access`, and refused where that cannot be written.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/subject-access", tag = "privacy", operation_id = "getSubjectAccess",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, content((SubjectOut = "application/json"), (String = "text/html"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn access(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    headers: HeaderMap,
    _: Params<NoParams>,
) -> Result<Response, Problem> {
    let form = Form::of(&headers, &[Form::Json, Form::Html])?;
    scope.view()?.subject_id(id)?;
    note(&scope, "subject_access", id).await?;
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let out = scope.app.heavy(move || gather(&engine, &tenant, id)).await?;
    answer(form, "Everything held about a person", &out)
}

/// Puts together what is in the state, in the journal and in reports.
fn gather(engine: &Engine, tenant: &TenantName, id: EntityId) -> Result<SubjectOut, Error> {
    let view = engine.view(tenant)?;
    let subject = view.subject(id)?;
    let records: Vec<RecordId> = subject.records.iter().map(|record| record.record_id).collect();
    let around = Around {
        now: engine.world().clock.now(),
        tenant: tenant.to_string(),
        asked_for: id,
        deleted_days: view.settings().retention.deleted_days,
        audit: engine.audit_about(tenant, &subject.ids, &records)?,
        imports: engine.imports_about(tenant, &subject.ids)?,
        accounts: accounts(&view, &subject),
    };
    Ok(SubjectOut::new(&subject, around))
}

fn accounts(view: &View, subject: &Subject) -> Vec<RelationOut> {
    let named = |link: &crate::engine::accounts::Link| {
        let name = view.account(link.account).ok().map(|found| found.golden.name);
        RelationOut::from(link).named(name)
    };
    subject.relations.iter().map(named).collect()
}

/// One person's data to take along (GDPR article 20): the contact with its records as JSON, or the contact as CSV or vCard by
/// `Accept`. `POST imports` takes all three back in. Audited first, as `portability`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/contacts/{id}/export", tag = "privacy", operation_id = "exportContact",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, content((ExportedContact = "application/json"), (String = "text/csv"), (String = "text/vcard"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn export(
    scope: Scope,
    PathId(id): PathId<EntityId>,
    headers: HeaderMap,
    _: Params<NoParams>,
) -> Result<Response, Problem> {
    let form = Form::of(&headers, &[Form::Json, Form::Csv, Form::Vcard])?;
    scope.view()?.contact(id)?;
    note(&scope, "portability", id).await?;
    let view = scope.view()?;
    let contact = view.contact(id)?;
    let contact_id = id.to_string();
    let plain = ExportContact { contact_id: &contact_id, fields: &contact.fields };
    let mut bytes = Vec::new();
    match form {
        Form::Csv => {
            csv_header(&mut bytes);
            csv_contact(&mut bytes, &plain);
        }
        Form::Vcard => vcard_contact(&mut bytes, &plain),
        Form::Json | Form::Html => {
            let whole = ExportedContact::new(&contact, &view.records(id)?, &view.references(id)?);
            bytes = serde_json::to_vec(&whole).map_err(|_| Problem::internal())?;
        }
    }
    let mut answer = form.answer(bytes);
    let name = match form {
        Form::Csv => "attachment; filename=\"contact.csv\"",
        Form::Vcard => "attachment; filename=\"contact.vcf\"",
        Form::Json | Form::Html => "attachment; filename=\"contact.json\"",
    };
    answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(answer)
}

/// Restricts a contact (GDPR article 18) or ends that: it is stored and used for nothing.
///
/// A restricted contact is in no answer of match, search, list, suggestions or discovery, in no training, and in an export only
/// with `include_restricted=true`; `contacts:why`, merges and answers to questions that name it are 409 `contact_restricted`. It
/// can be read by its id, edited, deleted and erased. What its sources send for its records is stored, with the issue
/// `contact_restricted`; a record under another key makes a contact of its own, since finding out whose it is would be use.
/// The restriction lies on its records: after an undo or a split all parts are restricted, and whatever is merged of parts
/// one of which was restricted is. Lifting it looks for matches anew.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/contacts/{id}/restrict", tag = "privacy", operation_id = "restrictContact",
    params(("tenant" = String, Path), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RestrictRequest,
    responses((status = 200, body = RestrictAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn restrict(
    PathId(id): PathId<EntityId>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<RestrictRequest>,
) -> Result<Json<RestrictAnswer>, Problem> {
    let RestrictRequest { restricted, reason, .. } = body;
    let receipt = scope.submit(Command::Restrict { contact: id, restricted, reason }, context).await?;
    Ok(Json(RestrictAnswer { contact_id: id.to_string(), restricted, seq: receipt.seq.0 }))
}
