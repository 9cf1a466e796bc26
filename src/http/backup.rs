//! Backups of the data directory, made by the server on its own machine.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::backup::{BackupEntry, BackupReport, absolute};
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{Asked, NoParams, Params};
use crate::http::problem::Problem;
use crate::http::wire::read::PageOut;
use crate::http::wire::time;
use crate::model::ids::Millis;

/// Where a backup goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRequest {
    /// A folder on the server's machine, absolute, outside of the data directory: new, empty, or with an earlier backup of
    /// this server, which is brought up to date.
    dir: String,
    /// The data directory that the caller means, absolute. Missing: whichever this server has.
    data_dir: Option<String>,
}

/// What a backup took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupOut {
    /// The folder.
    dir: String,
    /// When it was begun.
    at: String,
    /// Seq of the last frame it holds: of the journal, over all tenants.
    seq: u64,
    /// Files it holds.
    files: u64,
    /// Bytes it holds.
    bytes: u64,
    /// Files that were not there before.
    copied_files: u64,
    /// Bytes that were not there before.
    copied_bytes: u64,
}

impl BackupOut {
    fn new(dir: String, report: &BackupReport) -> Self {
        Self {
            dir,
            at: time(Millis(report.at_ms)),
            seq: report.seq,
            files: report.files,
            bytes: report.bytes,
            copied_files: report.copied_files,
            copied_bytes: report.copied_bytes,
        }
    }
}

/// A folder with a copy of the data.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupEntryOut {
    /// The folder.
    dir: String,
    /// When its last backup was begun.
    at: String,
    /// Seq of the last frame it holds: of the journal, over all tenants.
    seq: u64,
    /// False: the last backup into it broke off; it may hold part of the data.
    complete: bool,
}

impl From<BackupEntry> for BackupEntryOut {
    fn from(entry: BackupEntry) -> Self {
        let dir = entry.dir.display().to_string();
        Self { dir, at: time(Millis(entry.at_ms)), seq: entry.seq, complete: entry.complete }
    }
}

/// Copies everything that is on disk now into a folder of the server's machine; writers go on.
///
/// Answers when every file is synced and verified. A second backup into the same folder writes only what is new. The key
/// file is not part of it: keep a copy elsewhere, or the backup is of no use. `selfsame restore` makes a data directory of it.
#[utoipa::path(
    post, path = "/v1/admin/backup", tag = "admin", operation_id = "backup", request_body = BackupRequest,
    responses((status = 200, body = BackupOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn start(
    State(app): State<App>,
    _: Params<NoParams>,
    Asked(body): Asked<BackupRequest>,
) -> Result<Json<BackupOut>, Problem> {
    let engine = Arc::clone(app.engine()?);
    if let Some(meant) = body.data_dir {
        let own = absolute(engine.data_dir())?;
        if absolute(&PathBuf::from(meant))? != own {
            return Err(Problem::invalid("data_dir", format!("this server's is {}; ask the other one", own.display())));
        }
    }
    let dir = PathBuf::from(&body.dir);
    let report = app.heavy(move || engine.backup(&dir)).await?;
    Ok(Json(BackupOut::new(body.dir, &report)))
}

/// The folders that hold copies of the data.
#[utoipa::path(
    get, path = "/v1/admin/backups", tag = "admin", operation_id = "listBackups",
    responses((status = 200, body = PageOut<BackupEntryOut>), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(app): State<App>,
    _: Params<NoParams>,
) -> Result<Json<PageOut<BackupEntryOut>>, Problem> {
    let engine = Arc::clone(app.engine()?);
    let all = app.heavy(move || -> Result<_, Error> { engine.backups() }).await?;
    Ok(Json(PageOut { items: all.into_iter().map(BackupEntryOut::from).collect(), next_cursor: None }))
}
