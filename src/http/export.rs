//! The export: every live contact of one view, streamed as NDJSON, CSV or vCard; or every account as NDJSON or CSV.
//!
//! A thread of its own makes chunks; a short queue lies between it and the connection, so that a slow
//! reader holds back the thread and not the memory. A reader that takes nothing for too long is cut off.

mod accounts;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use crate::engine::View;
use crate::engine::api::{Contact, RecordView};
use crate::engine::references::ReferencePut;
use crate::error::Error;
use crate::formats::write::{ExportContact, csv_contact, csv_header, vcard_contact};
use crate::http::extract::{Params, Scope};
use crate::http::imports::EntityIn;
use crate::http::problem::Problem;
use crate::http::wire::accounts::ExportedAccount;
use crate::http::wire::contact::ExportedContact;

/// Bytes of a chunk, more or less.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks waiting to be sent at most.
const CHUNKS_MAX: usize = 4;

/// Another shape.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// `senzing`: one line a record, as Senzing reads it. Missing: by `Accept`.
    format: Option<String>,
    /// What to export: `contacts` (default) or `accounts`.
    entity: Option<EntityIn>,
    /// `true`: restricted contacts, too, each marked `restricted`; for admins. Default false.
    include_restricted: Option<bool>,
}

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Ndjson,
    Csv,
    Vcard,
    Senzing,
}

/// Leaves the export in the audit trail. It goes on where that cannot be written: when the disk is full, an export may be
/// the way out.
async fn note_export(scope: &Scope) {
    let (engine, tenant, actor) = (Arc::clone(&scope.engine), scope.tenant.clone(), scope.caller.actor.clone());
    let noted = scope.app.heavy(move || engine.note_access(&tenant, "export", Vec::new(), &actor)).await;
    if let Err(problem) = noted {
        tracing::warn!(?problem, "an export could not be put in the audit trail");
    }
}

impl Shape {
    /// The first of `Accept` that we can make.
    fn of(accept: Option<&str>, format: Option<&str>) -> Result<Self, Problem> {
        match format {
            None => {}
            Some("senzing") => return Ok(Self::Senzing),
            Some(_) => return Err(Problem::invalid("format", "may only be senzing; for CSV or vCard set Accept")),
        }
        let Some(accept) = accept else { return Ok(Self::Ndjson) };
        let kinds =
            accept.split(',').filter_map(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
        let known = |kind: String| match kind.as_str() {
            "*/*" | "application/*" | "application/x-ndjson" | "application/jsonl" | "application/json" => {
                Some(Self::Ndjson)
            }
            "text/csv" | "text/*" => Some(Self::Csv),
            "text/vcard" => Some(Self::Vcard),
            _ => None,
        };
        kinds.filter_map(known).next().ok_or_else(|| {
            let detail = "accept application/x-ndjson, text/csv or text/vcard";
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail).at("accept")
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson | Self::Senzing => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Vcard => "text/vcard; charset=utf-8",
        }
    }

    /// Accounts come as NDJSON or CSV.
    fn of_accounts(self) -> Result<Self, Problem> {
        match self {
            Self::Ndjson | Self::Csv => Ok(self),
            Self::Senzing => Err(Problem::invalid("format", "is for contacts; leave it out for accounts")),
            Self::Vcard => {
                let detail = "accounts come as application/x-ndjson or text/csv";
                Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail).at("accept"))
            }
        }
    }

    fn disposition(self, entity: EntityIn) -> &'static str {
        match self {
            Self::Ndjson if entity == EntityIn::Accounts => "attachment; filename=\"accounts.ndjson\"",
            Self::Csv if entity == EntityIn::Accounts => "attachment; filename=\"accounts.csv\"",
            Self::Ndjson | Self::Senzing => "attachment; filename=\"contacts.ndjson\"",
            Self::Csv => "attachment; filename=\"contacts.csv\"",
            Self::Vcard => "attachment; filename=\"contacts.vcf\"",
        }
    }
}

/// Every live contact, as of one moment: NDJSON (one contact a line, with its records), CSV or vCard by `Accept`.
///
/// With `entity=accounts` every live account, as NDJSON (one account a line, with its records) or CSV. `POST imports` takes both
/// back in.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/export", tag = "contacts", operation_id = "exportContacts",
    params(("tenant" = String, Path), ExportParams),
    responses(
        (status = 200, content((ExportedLine = "application/x-ndjson"), (String = "text/csv"), (String = "text/vcard"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn export(
    scope: Scope,
    headers: HeaderMap,
    Params(params): Params<ExportParams>,
) -> Result<Response, Problem> {
    let shape = Shape::of(headers.get(ACCEPT).and_then(|value| value.to_str().ok()), params.format.as_deref())?;
    let entity = params.entity.unwrap_or_default();
    let shape = if entity == EntityIn::Accounts { shape.of_accounts()? } else { shape };
    let with_restricted = params.include_restricted == Some(true);
    let view = scope.view()?;
    note_export(&scope).await;
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let patience = scope.app.config().body_timeout;
    let app = scope.app.clone();
    let out = Out { sender, patience, runtime: Handle::current(), buffer: Vec::with_capacity(CHUNK_BYTES) };
    tokio::spawn(async move {
        let tell = out.sender.clone();
        let made = app
            .heavy(move || -> Result<(), Error> {
                match entity {
                    EntityIn::Contacts => write_all(&view, shape, with_restricted, out),
                    EntityIn::Accounts => accounts::write_all(&view, shape, out),
                }
                Ok(())
            })
            .await;
        if made.is_err() {
            // Dropping the answer midway tells the reader that it is not whole.
            let _ = tell.send(Err(Broken)).await;
        }
    });
    let chunks = futures_util::stream::unfold(receiver, |mut chunks| async move {
        let chunk = chunks.recv().await?;
        Some((chunk, chunks))
    });
    let mut answer = Body::from_stream(chunks).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(shape.content_type()));
    answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(shape.disposition(entity)));
    Ok(answer)
}

/// A line of the export: a contact, or with `entity=accounts` an account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described; lines are written as what they are")]
enum ExportedLine {
    Contact(Box<ExportedContact>),
    Account(Box<ExportedAccount>),
}

/// An export that could not be made whole.
#[derive(Debug, thiserror::Error)]
#[error("the export broke off")]
struct Broken;

/// Where the text goes, a chunk at a time.
struct Out {
    sender: mpsc::Sender<Result<Bytes, Broken>>,
    patience: Duration,
    runtime: Handle,
    buffer: Vec<u8>,
}

impl Out {
    /// Sends what has gathered; false when nobody reads any more.
    fn flush(&mut self) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES)));
        let sending = tokio::time::timeout(self.patience, self.sender.send(Ok(chunk)));
        matches!(self.runtime.block_on(sending), Ok(Ok(())))
    }
}

/// Writes every contact. Ends early when nobody reads any more.
fn write_all(view: &View, shape: Shape, with_restricted: bool, mut out: Out) {
    if shape == Shape::Csv {
        csv_header(&mut out.buffer);
    }
    let ids = if with_restricted { view.all_ids() } else { view.export_ids() };
    for id in ids {
        let (Ok(contact), Ok(records)) = (view.contact(id), view.records(id)) else { continue };
        let references = view.references(id).unwrap_or_default();
        write_one(&mut out.buffer, shape, &contact, &records, &references);
        if out.buffer.len() >= CHUNK_BYTES && !out.flush() {
            return;
        }
    }
    out.flush();
}

fn write_one(
    buffer: &mut Vec<u8>,
    shape: Shape,
    contact: &Contact,
    records: &[RecordView],
    references: &[Arc<ReferencePut>],
) {
    let contact_id = contact.id.to_string();
    let plain = ExportContact { contact_id: &contact_id, fields: &contact.fields };
    match shape {
        Shape::Csv => csv_contact(buffer, &plain),
        Shape::Vcard => vcard_contact(buffer, &plain),
        Shape::Ndjson => line(buffer, &ExportedContact::new(contact, records, references)),
        Shape::Senzing => records.iter().for_each(|record| line(buffer, &senzing(record))),
    }
}

fn line(buffer: &mut Vec<u8>, value: &impl serde::Serialize) {
    let start = buffer.len();
    match serde_json::to_writer(&mut *buffer, value) {
        Ok(()) => buffer.push(b'\n'),
        Err(_) => buffer.truncate(start),
    }
}

/// A record in Senzing's generic entity specification.
fn senzing(record: &RecordView) -> serde_json::Value {
    let fields = &record.fields;
    let mut features = Vec::new();
    match (&fields.name, &fields.first_name, &fields.last_name) {
        (Some(name), None, None) => features.push(json!({ "NAME_FULL": name })),
        (_, first, last) if first.is_some() || last.is_some() => features.push(drop_nulls(json!({
            "NAME_FIRST": first, "NAME_MIDDLE": fields.middle_name, "NAME_LAST": last,
            "NAME_PREFIX": fields.name_prefix, "NAME_SUFFIX": fields.name_suffix,
        }))),
        _ => {}
    }
    features.extend(fields.organization.iter().map(|name| json!({ "EMPLOYER": name })));
    features.extend(fields.emails.iter().map(|email| json!({ "EMAIL_ADDRESS": email.value })));
    features.extend(fields.phones.iter().map(|phone| json!({ "PHONE_NUMBER": phone.value })));
    features.extend(fields.addresses.iter().map(|address| {
        drop_nulls(json!({
            "ADDR_LINE1": address.street, "ADDR_CITY": address.city, "ADDR_STATE": address.region,
            "ADDR_POSTAL_CODE": address.postal_code, "ADDR_COUNTRY": address.country,
        }))
    }));
    features.extend(fields.birthday.iter().map(|day| json!({ "DATE_OF_BIRTH": day })));
    features.extend(fields.gender.iter().map(|gender| json!({ "GENDER": gender })));
    features.extend(fields.urls.iter().map(|url| json!({ "WEBSITE_ADDRESS": url })));
    features
        .extend(fields.external_ids.iter().map(|id| json!({ "OTHER_ID_TYPE": id.system, "OTHER_ID_NUMBER": id.id })));
    json!({
        "DATA_SOURCE": record.key.source.to_uppercase(), "RECORD_ID": record.key.source_record_id,
        "RECORD_TYPE": "PERSON", "FEATURES": features,
    })
}

fn drop_nulls(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, held| !held.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_follows_accept() {
        for (accept, format, shape) in [
            (None, None, Some(Shape::Ndjson)),
            (Some("*/*"), None, Some(Shape::Ndjson)),
            (Some("application/json, application/problem+json"), None, Some(Shape::Ndjson)),
            (Some("text/csv"), None, Some(Shape::Csv)),
            (Some("text/html, Text/VCard;version=4.0, */*"), None, Some(Shape::Vcard)),
            (Some("text/html"), None, None),
            (Some("text/csv"), Some("senzing"), Some(Shape::Senzing)),
            (None, Some("xml"), None),
        ] {
            assert_eq!(Shape::of(accept, format).ok(), shape, "{accept:?} {format:?}");
        }
    }
}
