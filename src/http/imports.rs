//! Imports over HTTP: the body streams into a reader on a thread of its own, a few chunks at a time.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use crate::engine::api::ImportTotals;
use crate::engine::import::{
    ImportOptions, ImportReport, ImportStatus, Importable, Stopped, import, list as list_imports, read, report,
};
use crate::error::Error;
use crate::formats::{Format, ReadOptions, RowReader};
use crate::http::app::App;
use crate::http::extract::{NoParams, Params, PathId, Scope, next_chunk};
use crate::http::guard::content_type;
use crate::http::problem::Problem;
use crate::http::wire::read::{ImportOut, PageOut};
use crate::http::wire::time;
use crate::model::ids::ImportId;

/// What an import may come as.
const CONTENT_TYPES: [&str; 3] = ["text/csv", "text/vcard", "application/x-ndjson"];
/// Chunks of the body waiting to be read at most.
const CHUNKS_MAX: usize = 8;
/// Bytes of a refused body that are still read before the answer, at most.
const DRAINED_BYTES_MAX: usize = 256 << 20;
/// What a caller is told to wait when too many imports run.
const IMPORTS_RETRY_MS: u64 = 2_000;
/// The source of records that name none, where the request does not say.
const SOURCE_DEFAULT: &str = "import";

/// Options of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// The source of records that name none. Default `import`.
    source: Option<String>,
    /// Decide everything, write nothing.
    dry_run: Option<bool>,
    /// Region of phone numbers without a country code. It must be the tenant's `default_region`: change the
    /// settings first.
    default_region: Option<String>,
    /// What CSV columns mean: `old=new,...`.
    map: Option<String>,
    /// What the records are about: `contacts` (default) or `accounts`.
    entity: Option<EntityIn>,
}

/// People or businesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntityIn {
    /// People.
    #[default]
    Contacts,
    /// Businesses.
    Accounts,
}

/// Streams a file in: CSV, vCard or NDJSON. Rows are decided in order; what was acknowledged stays, also when
/// the rest fails.
///
/// A dry run changes nothing: it decides the rows one after the other on a private copy, so that each sees those before it,
/// and its counts and its report say what an import would do now.
///
/// With `entity=accounts` the rows are businesses, as CSV (plain names, Salesforce accounts, HubSpot companies) or NDJSON.
/// `Website` stands in where no column says the domain.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/imports", tag = "imports", operation_id = "importContacts",
    params(("tenant" = String, Path), ImportParams),
    request_body(content((String = "text/csv"), (String = "text/vcard"), (String = "application/x-ndjson"))),
    responses((status = 200, body = ImportOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn start(State(app): State<App>, request: Request) -> Result<Json<ImportOut>, Problem> {
    let (mut parts, body) = request.into_parts();
    let scope = Scope::from_request_parts(&mut parts, &app).await?;
    let Params(params) = Params::<ImportParams>::from_request_parts(&mut parts, &app).await?;
    let format = Format::of_request(&content_type(&parts.headers, &CONTENT_TYPES)?)?;
    check_region(&scope, params.default_region.as_deref())?;
    let place = Arc::clone(app.imports())
        .try_acquire_owned()
        .map_err(|_| Problem::from(Error::Busy { retry_after_ms: IMPORTS_RETRY_MS }))?;
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let ended = Arc::new(AtomicBool::new(false));
    let reader = BodyReader { chunks: receiver, chunk: Bytes::new(), ended: Arc::clone(&ended) };
    let source = params.source.filter(|source| !source.trim().is_empty()).unwrap_or_else(|| SOURCE_DEFAULT.into());
    let read_options = ReadOptions { source: source.clone(), map: params.map };
    let options = ImportOptions { source, dry_run: params.dry_run.unwrap_or(false), actor: scope.caller.actor.clone() };
    let span = tracing::Span::current();
    let entity = params.entity.unwrap_or_default();
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        let input = Input { format, reader, options: read_options };
        span.in_scope(|| match entity {
            EntityIn::Contacts => run(&scope, input, crate::formats::open, options),
            EntityIn::Accounts => run(&scope, input, crate::formats::open_accounts, options),
        })
    });
    let fed = feed(body, sender, &ended, app.config().body_timeout).await;
    let done = work.await.map_err(|_| Problem::internal())?;
    match (fed, done) {
        (_, Ok(report)) => Ok(Json(out(&report))),
        (Err(problem), Err(stopped)) => Err(stopped_problem(problem, stopped.report.as_ref())),
        (Ok(()), Err(stopped)) => {
            let Stopped { report, error } = *stopped;
            Err(stopped_problem(Problem::from(error), report.as_ref()))
        }
    }
}

/// Phone numbers are read by the tenant's own region; another one would make other keys for the same number.
fn check_region(scope: &Scope, wanted: Option<&str>) -> Result<(), Problem> {
    let Some(wanted) = wanted else { return Ok(()) };
    let settings = scope.view().map(|view| view.settings().default_region.clone());
    let region = settings.unwrap_or_else(|_| crate::model::settings::Settings::default().default_region);
    if wanted.eq_ignore_ascii_case(&region) {
        return Ok(());
    }
    let reason = format!("the tenant's default_region is {region}; change it with PUT settings, then import");
    Err(Problem::invalid("default_region", reason))
}

/// A body and how to read it.
struct Input {
    format: Format,
    reader: BodyReader,
    options: ReadOptions,
}

/// Opens a file in its format.
type Open<R> = fn(Format, Box<dyn Read + Send>, ReadOptions) -> crate::error::Result<Box<dyn RowReader<R>>>;

fn run<R: Importable>(
    scope: &Scope,
    input: Input,
    open: Open<R>,
    options: ImportOptions,
) -> Result<ImportReport, Box<Stopped>> {
    let rows = open(input.format, Box::new(input.reader), input.options)
        .map_err(|error| Box::new(Stopped { report: None, error }))?;
    import(&scope.engine, &scope.tenant, rows, options, &|_: &ImportTotals| {})
}

/// Hands the body over, chunk by chunk. A reader that has gone ends it: its own answer says why.
async fn feed(
    mut body: Body,
    sender: mpsc::Sender<Bytes>,
    ended: &AtomicBool,
    idle: std::time::Duration,
) -> Result<(), Problem> {
    while let Some(chunk) = next_chunk(&mut body, idle).await? {
        if sender.send(chunk).await.is_err() {
            drain(&mut body, idle).await;
            return Ok(());
        }
    }
    ended.store(true, Ordering::Release);
    Ok(())
}

/// Reads on for a while after the answer is known: a caller that is still sending when the connection closes sees a
/// broken pipe and never the reason (RFC 9112, 9.6).
async fn drain(body: &mut Body, idle: std::time::Duration) {
    let mut left = DRAINED_BYTES_MAX;
    while let Ok(Some(chunk)) = next_chunk(body, idle).await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

/// A problem of an import with how far it got.
fn stopped_problem(mut problem: Problem, report: Option<&ImportReport>) -> Problem {
    let rows = report.map_or(0, |report| report.totals.rows);
    problem.rows = Some(rows);
    problem.import_id = report.map(|report| report.import_id.to_string());
    if problem.field.as_deref() == Some("file") {
        problem.field = Some("body".into());
    }
    problem.detail = format!("{}; {rows} rows were done before and stay", problem.detail);
    problem
}

/// The body as a blocking reader. A body that broke off is an error, never an end.
struct BodyReader {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    ended: Arc<AtomicBool>,
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None if self.ended.load(Ordering::Acquire) => return Ok(0),
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the body broke off")),
            }
        }
        let taken = self.chunk.split_to(self.chunk.len().min(out.len()));
        if let Some(front) = out.get_mut(..taken.len()) {
            front.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}

/// The tenant's imports and dry runs, the latest first; at most 1,000.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/imports", tag = "imports", operation_id = "listImports",
    params(("tenant" = String, Path)),
    responses((status = 200, body = PageOut<ImportOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(scope: Scope, _: Params<NoParams>) -> Result<Json<PageOut<ImportOut>>, Problem> {
    scope.view()?;
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let reports = scope.app.heavy(move || list_imports(&engine, &tenant)).await?;
    Ok(Json(PageOut { items: reports.iter().map(out).collect(), next_cursor: None }))
}

/// One import.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/imports/{id}", tag = "imports", operation_id = "getImport",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ImportOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    scope: Scope,
    PathId(id): PathId<ImportId>,
    _: Params<NoParams>,
) -> Result<Json<ImportOut>, Problem> {
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let report = scope.app.heavy(move || read(&engine, &tenant, id)).await?;
    Ok(Json(out(&report)))
}

/// What became of each row, as CSV: line, outcome, contact (or account) id, issues. Of a dry run: what would become of it; a contact that
/// does not exist yet is named by the line that would create it, for example `line 12`. The newest 1,000 reports of the last
/// 90 days are kept.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/imports/{id}/report", tag = "imports", operation_id = "getImportReport",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/csv"), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get_report(
    scope: Scope,
    PathId(id): PathId<ImportId>,
    _: Params<NoParams>,
) -> Result<Response, Problem> {
    let (engine, tenant) = (Arc::clone(&scope.engine), scope.tenant.clone());
    let csv = scope.app.heavy(move || report(&engine, &tenant, id)).await?;
    let mut answer = csv.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"import-report.csv\""));
    Ok(answer)
}

fn out(report: &ImportReport) -> ImportOut {
    let count = |word: &str| report.totals.outcomes.get(word).copied().unwrap_or(0);
    ImportOut {
        import_id: report.import_id.to_string(),
        status: ImportStatus::word(report.status).to_owned(),
        source: report.source.clone(),
        entity: report.entity.clone(),
        dry_run: report.dry_run,
        started_at: time(report.started_at),
        finished_at: report.finished_at.map(time),
        error: report.error.clone(),
        rows: report.totals.rows,
        created: count("created"),
        updated: count("updated"),
        unchanged: count("unchanged"),
        stale: count("stale"),
        merged: count("merged"),
        review: count("review"),
        conflict: count("conflict"),
        invalid: count("invalid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(chunks: &[&'static str], ended: bool) -> io::Result<String> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        for chunk in chunks {
            sender.blocking_send(Bytes::from(*chunk)).unwrap();
        }
        drop(sender);
        let mut reader = BodyReader { chunks: receiver, chunk: Bytes::new(), ended: Arc::new(ended.into()) };
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn a_body_is_read_to_its_end_and_no_less() {
        assert_eq!(reader(&["ab", "c", "def"], true).unwrap(), "abcdef");
        assert_eq!(reader(&[], true).unwrap(), "");
        assert_eq!(reader(&["ab"], false).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
