//! Imports: a stream of rows becomes upserts, and a report that says what became of every row.
//!
//! [`import`] reads rows, sends them in batches and keeps a few batches in flight, always in the order of
//! the rows. What was acknowledged is written down as it comes, in two files below the data directory:
//!
//! ```text
//! imports/<tenant>/<import_id>.csv    line,outcome,contact_id,issues   one line a row, appended (account_id of accounts)
//! imports/<tenant>/<import_id>.json   the totals: at the start, and again at the end
//! ```
//!
//! Both are sealed under the tenant's key (`report_file.rs`) where encryption is on.
//! The newest [`REPORTS_MAX`] of the last [`REPORT_DAYS`] days are kept. A dry run is a rehearsal ([`crate::engine::rehearse`]):
//! each line sees those before it, and the report says for each what an import would do.
//!
//! Neither holds a value of a record. An import that stops midway, for whatever reason, leaves a report
//! up to where it was acknowledged; what was acknowledged stays.
//!
//! Records of people and of businesses go the same way; [`Importable`] is what differs.

pub(crate) mod forget;
mod importable;
mod report_file;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::engine::api::{Answer, Context, ImportTotals, Outcome, Receipt, UpsertResult};
pub use crate::engine::import::importable::Importable;
use crate::engine::import::report_file::{Part, ReportFiles, Sealing, replace};
use crate::engine::rehearse::Rehearsal;
use crate::error::{Error, Result};
use crate::formats::write::csv_line;
use crate::formats::{Row, RowReader};
use crate::host::{OsRandom, Random, uuid_v7};
use crate::model::ids::{EntityId, ImportId, Millis, TenantName};
use crate::model::issue::Issue;
use crate::resolve::erase::before;

/// Rows sent at once.
const BATCH_ROWS: usize = 500;
/// Batches sent and not yet answered.
const IN_FLIGHT_MAX: usize = 4;
/// Imports of a tenant that a listing shows at most: the latest.
pub const LISTED_MAX: usize = 1_000;
/// Reports of a tenant that are kept at most: the latest.
pub const REPORTS_MAX: usize = LISTED_MAX;
/// Days that a report is kept.
pub const REPORT_DAYS: u32 = 90;
/// Milliseconds slept at most for one hint of a busy engine.
const BUSY_SLEEP_MS_MAX: u64 = 1_000;
/// Hints followed in a row before an import gives up: minutes of a full queue.
const BUSY_RETRIES_MAX: u32 = 1_000;

/// What an import is told beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// The source of records that name none, for the report; the reader has been told already.
    pub source: String,
    /// Decide everything, write nothing but the report.
    pub dry_run: bool,
    /// For history and audit.
    pub actor: String,
}

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportStatus {
    /// At work in this process.
    Running,
    /// Every row was read and answered.
    Done,
    /// It stopped before the end of its input; `error` says why.
    Failed,
    /// The server stopped while it ran.
    Interrupted,
}

impl ImportStatus {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// Its id.
    pub import_id: ImportId,
    /// Where it stands.
    pub status: ImportStatus,
    /// The source of records that name none.
    pub source: String,
    /// What its records are about: `contacts` or `accounts`.
    pub entity: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// When it began.
    pub started_at: Millis,
    /// When it ended. Missing: it runs, or never did.
    pub finished_at: Option<Millis>,
    /// Why it stopped before the end of its input. Missing: it did not.
    pub error: Option<String>,
    /// What was acknowledged.
    pub totals: ImportTotals,
}

/// An import that stopped before the end of its input.
#[derive(Debug)]
pub struct Stopped {
    /// What was done before; its `status` is `Failed`. Missing: the report could not even be begun.
    pub report: Option<ImportReport>,
    /// Why it stopped.
    pub error: Error,
}

impl From<Box<Stopped>> for Error {
    fn from(stopped: Box<Stopped>) -> Self {
        stopped.error
    }
}

/// Imports rows. Blocks until all are answered; `progress` sees the totals after each batch.
///
/// # Errors
/// The rows could not be read on, the engine takes no more, or the report cannot be written. The report
/// that comes with it says how far the import got.
pub fn import<R: Importable>(
    engine: &Engine,
    tenant: &TenantName,
    rows: Box<dyn RowReader<R>>,
    options: ImportOptions,
    progress: &dyn Fn(&ImportTotals),
) -> Result<ImportReport, Box<Stopped>> {
    let mut running =
        Running::begin(engine, tenant, options, progress).map_err(|error| Box::new(Stopped { report: None, error }))?;
    let outcome = running.run(rows);
    running.end(outcome)
}

/// A batch that was sent: its rows by outcome where there was nothing to send, and the answer to come.
struct Sent<R> {
    rows: Vec<Line>,
    retry: Vec<R>,
    answer: Option<oneshot::Receiver<Result<Receipt>>>,
}

/// A row on its way into the report. `Invalid` until the engine has answered.
struct Line {
    number: u64,
    sent: bool,
    outcome: Outcome,
    /// Its id; in a dry run of one that does not exist, the line that would create it.
    contact: String,
    issues: Vec<Issue>,
}

struct Running<'a, R> {
    engine: &'a Engine,
    tenant: &'a TenantName,
    options: ImportOptions,
    progress: &'a dyn Fn(&ImportTotals),
    files: ReportFiles,
    report: ImportReport,
    flight: VecDeque<Sent<R>>,
    rehearsal: Option<Rehearsed>,
}

/// A dry run: what was rehearsed, and the lines that would create contacts.
struct Rehearsed {
    rehearsal: Rehearsal,
    lines: HashMap<EntityId, u64>,
}

impl<'a, R: Importable> Running<'a, R> {
    fn begin(
        engine: &'a Engine,
        tenant: &'a TenantName,
        options: ImportOptions,
        progress: &'a dyn Fn(&ImportTotals),
    ) -> Result<Self> {
        let world = engine.world();
        let started_at = world.clock.now();
        let import_id = ImportId(uuid_v7(started_at, world.random.as_ref()));
        let report = ImportReport {
            import_id,
            status: ImportStatus::Running,
            source: options.source.clone(),
            entity: R::ENTITY.to_owned(),
            dry_run: options.dry_run,
            started_at,
            finished_at: None,
            error: None,
            totals: ImportTotals::default(),
        };
        forget_old(engine, tenant, started_at);
        let sealing = Sealing::of(engine, tenant, options.dry_run, import_id)?;
        let dir = directory(engine, tenant);
        let files = ReportFiles::begin(world.disk.as_ref(), &dir, sealing, &report, R::ID_COLUMN)?;
        let rehearsal = match options.dry_run {
            true => Some(Rehearsed { rehearsal: engine.rehearsal(tenant)?, lines: HashMap::new() }),
            false => None,
        };
        Ok(Self { engine, tenant, options, progress, files, report, flight: VecDeque::new(), rehearsal })
    }

    /// Reads and sends until the rows end; then waits for what is in flight, also after an error.
    fn run(&mut self, mut rows: Box<dyn RowReader<R>>) -> Result<()> {
        let read = self.read_and_send(rows.as_mut());
        let mut waited = Ok(());
        while let Some(sent) = self.flight.pop_front() {
            let settled = self.settle(sent);
            waited = waited.and(settled);
        }
        read.and(waited)
    }

    fn read_and_send(&mut self, rows: &mut dyn RowReader<R>) -> Result<()> {
        loop {
            let (batch, end) = read_batch(rows);
            if !batch.is_empty() {
                while self.flight.len() >= IN_FLIGHT_MAX
                    && let Some(oldest) = self.flight.pop_front()
                {
                    self.settle(oldest)?;
                }
                self.send(batch)?;
            }
            match end {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    fn send(&mut self, batch: Vec<Row<R>>) -> Result<()> {
        let mut lines = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        for row in batch {
            let (sent, mut issues) = (row.record.is_ok(), row.issues);
            match row.record {
                Ok(record) => records.push(record),
                Err(error) => issues.insert(0, Issue::new(error.field, error.code, error.message)),
            }
            lines.push(Line { number: row.line, sent, outcome: Outcome::Invalid, contact: String::new(), issues });
        }
        if let Some(dry) = &mut self.rehearsal {
            let results = R::rehearse(&mut dry.rehearsal, &records, &self.options.actor);
            dry.fill::<R>(&mut lines, results);
            self.flight.push_back(Sent { rows: lines, retry: Vec::new(), answer: None });
            return Ok(());
        }
        let answer = if records.is_empty() { None } else { Some(self.enqueue(&records)?) };
        self.flight.push_back(Sent { rows: lines, retry: records, answer });
        Ok(())
    }

    /// Puts a batch into the tenant's queue; a full one is waited for. Nothing overtakes it meanwhile.
    fn enqueue(&self, records: &[R]) -> Result<oneshot::Receiver<Result<Receipt>>> {
        let mut retries = 0;
        loop {
            let command = R::upsert(records.to_vec());
            let context = Context { actor: self.options.actor.clone(), idempotency: None };
            match self.engine.send(self.tenant, command, context) {
                Err(Error::Busy { retry_after_ms }) if retries < BUSY_RETRIES_MAX => {
                    retries += 1;
                    let wait_ms = retry_after_ms.clamp(1, BUSY_SLEEP_MS_MAX);
                    std::thread::sleep(std::time::Duration::from_millis(wait_ms));
                }
                answer => return answer,
            }
        }
    }

    /// Waits for a batch and writes it down.
    fn settle(&mut self, mut sent: Sent<R>) -> Result<()> {
        if let Some(answer) = sent.answer.take() {
            let receipt = match answer.blocking_recv().unwrap_or(Err(Error::Poisoned)) {
                Err(Error::Busy { .. }) => {
                    self.enqueue(&sent.retry)?.blocking_recv().unwrap_or(Err(Error::Poisoned))?
                }
                answer => answer?,
            };
            fill(&mut sent.rows, receipt);
        }
        let mut text = Vec::new();
        for line in &sent.rows {
            line.write(&mut text);
            self.report.totals.rows += 1;
            *self.report.totals.outcomes.entry(line.outcome.word()).or_default() += 1;
        }
        self.files.append(&text)?;
        (self.progress)(&self.report.totals);
        Ok(())
    }

    fn end(mut self, outcome: Result<()>) -> Result<ImportReport, Box<Stopped>> {
        let world = self.engine.world();
        self.report.finished_at = Some(world.clock.now());
        self.report.status = if outcome.is_ok() { ImportStatus::Done } else { ImportStatus::Failed };
        self.report.error = outcome.as_ref().err().map(ToString::to_string);
        let written = self.files.finish(world.disk.as_ref(), &self.report);
        match outcome.and(written) {
            Ok(()) => Ok(self.report),
            Err(error) => Err(Box::new(Stopped { report: Some(self.report), error })),
        }
    }
}

/// Up to one batch, and what ended it early.
fn read_batch<R>(rows: &mut dyn RowReader<R>) -> (Vec<Row<R>>, Option<Result<()>>) {
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    while batch.len() < BATCH_ROWS {
        match rows.next_row() {
            Ok(Some(row)) => batch.push(row),
            Ok(None) => return (batch, Some(Ok(()))),
            Err(error) => return (batch, Some(Err(error))),
        }
    }
    (batch, None)
}

/// Puts the engine's results beside the rows that were sent.
fn fill(lines: &mut [Line], receipt: Receipt) {
    let Answer::Upserted(results) = receipt.answer else { return };
    fill_in(lines, results, |_, id| id.to_string());
}

/// The same; `spell` says how the contact of a line is written.
fn fill_in(lines: &mut [Line], results: Vec<UpsertResult>, mut spell: impl FnMut(u64, EntityId) -> String) {
    for (line, result) in lines.iter_mut().filter(|line| line.sent).zip(results) {
        line.outcome = result.outcome;
        line.contact = result.contact_id.map_or_else(String::new, |id| spell(line.number, id));
        line.issues.extend(result.issues);
    }
}

impl Rehearsed {
    fn fill<R: Importable>(&mut self, lines: &mut [Line], results: Vec<UpsertResult>) {
        fill_in(lines, results, |number, id| match R::exists(&self.rehearsal, id) {
            true => id.to_string(),
            false => format!("line {}", self.lines.entry(id).or_insert(number)),
        });
    }
}

impl Line {
    fn write(&self, out: &mut Vec<u8>) {
        let said = |issue: &Issue| format!("{}: {}: {}", issue.field, issue.code, issue.message);
        let issues = self.issues.iter().map(said).collect::<Vec<_>>().join("; ");
        csv_line(
            out,
            [self.number.to_string(), self.outcome.word().to_owned(), self.contact.clone(), issues].into_iter(),
        );
    }
}

/// The totals as they are in their file.
#[derive(Serialize, Deserialize)]
struct Totals {
    import_id: String,
    source: String,
    #[serde(default = "of_contacts")]
    entity: String,
    dry_run: bool,
    /// Milliseconds since 1970.
    started_at: i64,
    finished_at: Option<i64>,
    error: Option<String>,
    rows: u64,
    outcomes: BTreeMap<String, u64>,
    /// Which run of the server wrote it: tells running from interrupted.
    process: String,
}

impl From<&ImportReport> for Totals {
    fn from(report: &ImportReport) -> Self {
        Self {
            import_id: report.import_id.to_string(),
            source: report.source.clone(),
            entity: report.entity.clone(),
            dry_run: report.dry_run,
            started_at: report.started_at.0,
            finished_at: report.finished_at.map(|at| at.0),
            error: report.error.clone(),
            rows: report.totals.rows,
            outcomes: report.totals.outcomes.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect(),
            process: process().to_owned(),
        }
    }
}

/// Reports that say nothing of it are older than accounts.
fn of_contacts() -> String {
    "contacts".to_owned()
}

/// A name of this run of the program.
fn process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let mut bytes = [0; 16];
        OsRandom.fill(&mut bytes);
        format!("{:032x}", u128::from_le_bytes(bytes))
    })
}

/// Removes reports that are too many or too old. What cannot be removed now is tried again by the next import.
pub(in crate::engine) fn forget_old(engine: &Engine, tenant: &TenantName, now: Millis) {
    let (disk, dir) = (&engine.world().disk, directory(engine, tenant));
    let names = disk.list(&dir).unwrap_or_default();
    let ids: BTreeSet<ImportId> = names.iter().filter_map(|name| name.split_once('.')?.0.parse().ok()).collect();
    let days = engine.view(tenant).map_or(REPORT_DAYS, |view| view.settings().retention.imports_days);
    let oldest = before(now, days).map_or(i64::MIN, |oldest| oldest.0);
    for (newer, id) in ids.into_iter().rev().enumerate() {
        let keep = newer + 1 < REPORTS_MAX && begun_at(id) >= oldest;
        let running = || matches!(read(engine, tenant, id), Ok(report) if report.status == ImportStatus::Running);
        if keep || running() {
            continue;
        }
        for ending in ["csv", "json"] {
            let path = dir.join(format!("{id}.{ending}"));
            if let Err(error) = disk.remove(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "an old import report could not be removed");
            }
        }
    }
}

/// Milliseconds since 1970 when an import began: its id starts with them.
fn begun_at(id: ImportId) -> i64 {
    i64::try_from(id.0 >> 80).unwrap_or(i64::MAX)
}

/// The imports of a tenant, the latest first, [`LISTED_MAX`] at most.
///
/// # Errors
/// `Io` from the disk.
pub fn list(engine: &Engine, tenant: &TenantName) -> Result<Vec<ImportReport>> {
    let dir = directory(engine, tenant);
    let names = match engine.world().disk.list(&dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("list", &dir, error)),
    };
    // The ids grow with time, so the names are in order.
    let mut ids: Vec<ImportId> = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    ids.sort_unstable();
    let reports = ids.into_iter().rev().take(LISTED_MAX).map(|id| read(engine, tenant, id));
    reports.filter(|report| !matches!(report, Err(Error::Gone))).collect()
}

/// One import.
///
/// # Errors
/// `NotFound` with code `import_unknown`; `Io` from the disk; `Corrupt` when its file cannot be read.
pub fn read(engine: &Engine, tenant: &TenantName, id: ImportId) -> Result<ImportReport> {
    let totals = read_totals(engine, tenant, id)?;
    let finished_at = totals.finished_at.map(Millis);
    let status = match (finished_at, &totals.error) {
        (Some(_), None) => ImportStatus::Done,
        (Some(_), Some(_)) => ImportStatus::Failed,
        (None, _) if totals.process == process() => ImportStatus::Running,
        (None, _) => ImportStatus::Interrupted,
    };
    let so_far = match finished_at {
        Some(_) => ImportTotals { rows: totals.rows, outcomes: known(&totals.outcomes) },
        None => count(&report(engine, tenant, id)?),
    };
    Ok(ImportReport {
        import_id: id,
        status,
        source: totals.source,
        entity: totals.entity,
        dry_run: totals.dry_run,
        started_at: Millis(totals.started_at),
        finished_at,
        error: totals.error,
        totals: so_far,
    })
}

/// The report of an import as CSV: line, outcome, contact or account id, issues.
///
/// # Errors
/// `NotFound` with code `import_unknown`; `Io` from the disk; `Corrupt` when a finished one is not what was written;
/// `Gone` when the tenant's keys were destroyed.
pub fn report(engine: &Engine, tenant: &TenantName, id: ImportId) -> Result<Vec<u8>> {
    let path = directory(engine, tenant).join(format!("{id}.csv"));
    let read = report_file::read(&engine.core.keys, &path, Part::Lines, id, read_file(engine, &path)?)?;
    // What an import has not synced yet may be torn by a crash; what it has may not.
    if !read.is_whole && read_totals(engine, tenant, id)?.finished_at.is_some() {
        let reason = "a piece of the report is not what was written".to_owned();
        return Err(Error::Corrupt { file: path, offset_bytes: 0, reason });
    }
    Ok(read.text)
}

/// Puts another text in place of the lines of a report whose import has ended, in one step.
///
/// # Errors
/// `NotFound` with code `import_unknown`; `Full` or `Io` from the disk; `Invalid` when the tenant's keys were destroyed.
pub fn replace_report(engine: &Engine, tenant: &TenantName, id: ImportId, text: &[u8]) -> Result<()> {
    let dir = directory(engine, tenant);
    let path = dir.join(format!("{id}.csv"));
    read_file(engine, &path)?;
    let sealing = Sealing::of(engine, tenant, true, id)?;
    replace(engine.world().disk.as_ref(), &dir, &path, &sealing.append(Part::Lines, 0, text)?)
}

fn read_totals(engine: &Engine, tenant: &TenantName, id: ImportId) -> Result<Totals> {
    let path = directory(engine, tenant).join(format!("{id}.json"));
    let bytes = read_file(engine, &path)?;
    let read = report_file::read(&engine.core.keys, &path, Part::Totals, id, bytes)?;
    serde_json::from_slice(&read.text).map_err(|error| Error::Corrupt {
        file: path,
        offset_bytes: 0,
        reason: format!("no totals of an import: {error}"),
    })
}

/// The outcomes with a word of ours.
fn known(outcomes: &BTreeMap<String, u64>) -> BTreeMap<&'static str, u64> {
    Outcome::ALL.iter().filter_map(|outcome| Some((outcome.word(), *outcomes.get(outcome.word())?))).collect()
}

/// Totals out of a report whose import has not ended. A torn last line does not count.
fn count(report: &[u8]) -> ImportTotals {
    let mut totals = ImportTotals::default();
    let whole = report.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut reader = csv::Reader::from_reader(report.get(..whole).unwrap_or_default());
    for line in reader.records().map_while(|line| line.ok()) {
        let word = line.get(1).unwrap_or_default();
        if let Some(outcome) = Outcome::ALL.iter().find(|outcome| outcome.word() == word) {
            totals.rows += 1;
            *totals.outcomes.entry(outcome.word()).or_default() += 1;
        }
    }
    totals
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system's kinds are open-ended")]
fn read_file(engine: &Engine, path: &Path) -> Result<Vec<u8>> {
    engine.world().disk.read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { code: "import_unknown", what: "import".into() },
        _ => failed("read", path, error),
    })
}

fn directory(engine: &Engine, tenant: &TenantName) -> PathBuf {
    engine.data_dir().join("imports").join(tenant.as_str())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system's kinds are open-ended")]
fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::Full { what: "the disk of the data directory".into() }
        }
        _ => Error::io(format!("{doing} {}", path.display()), error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Cursor;
    use std::sync::Arc;

    use super::*;
    use crate::engine::{EngineOptions, World};
    use crate::formats::{Format, ReadOptions, open};
    use crate::host::{Disk, ManualClock, MemDisk, SeededRandom};

    fn engine() -> (MemDisk, Arc<Engine>) {
        engine_with(true)
    }

    /// Without encryption a test can write totals itself.
    fn engine_with(encryption: bool) -> (MemDisk, Arc<Engine>) {
        let disk = MemDisk::new();
        let world = World {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(ManualClock::new(Millis(1_700_000_000_000))),
            random: Arc::new(SeededRandom::new(1)),
        };
        let options = EngineOptions { segment_bytes: 1 << 20, encryption, ..EngineOptions::new("/data") };
        (disk, Engine::open(options, world).unwrap().0)
    }

    fn tenant() -> TenantName {
        TenantName::parse("main").unwrap()
    }

    fn options() -> ImportOptions {
        ImportOptions { source: "book".into(), dry_run: false, actor: "api".into() }
    }

    /// Rows of a file; `broken`: the file cannot be read to its end.
    struct Rows {
        rows: Box<dyn RowReader>,
        broken: bool,
    }

    impl RowReader for Rows {
        fn next_row(&mut self) -> Result<Option<Row>> {
            match self.rows.next_row()? {
                None if self.broken => Err(Error::io("read the file", std::io::ErrorKind::ConnectionAborted.into())),
                row => Ok(row),
            }
        }

        fn recognised(&self) -> Option<&crate::formats::Recognised> {
            None
        }
    }

    fn rows(count: usize, broken: bool) -> Box<dyn RowReader> {
        let line = |n: usize| match n {
            3 => "{\"tags\": [\"nobody\"]}\n".to_owned(),
            n => format!("{{\"source_record_id\": \"{n}\", \"email\": \"{:x}@example.com\"}}\n", n * 7_919),
        };
        let text: String = (0..count).map(line).collect();
        let options = ReadOptions { source: "book".into(), map: None };
        let rows = open(Format::Ndjson, Box::new(Cursor::new(text.into_bytes())), options).unwrap();
        Box::new(Rows { rows, broken })
    }

    #[test]
    fn every_row_is_answered_in_order_and_the_report_is_kept() {
        let (_, engine) = engine();
        let seen = RefCell::new(Vec::new());
        let progress = |totals: &ImportTotals| seen.borrow_mut().push(totals.rows);
        let done = import(&engine, &tenant(), rows(1_203, false), options(), &progress).unwrap();
        assert_eq!((done.status, done.totals.rows), (ImportStatus::Done, 1_203));
        assert_eq!(done.totals.outcomes["created"], 1_202);
        assert_eq!(done.totals.outcomes["invalid"], 1);
        assert_eq!(*seen.borrow(), [500, 1_000, 1_203]);
        let text = String::from_utf8(report(&engine, &tenant(), done.import_id).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (1_204, "line,outcome,contact_id,issues"));
        assert!(lines[1].starts_with("1,created,") && lines[1_203].starts_with("1203,created,"), "{}", lines[1]);
        assert!(lines[4].starts_with("4,invalid,,") && lines[4].contains("record_empty"), "{}", lines[4]);
        assert_eq!(read(&engine, &tenant(), done.import_id).unwrap(), done);
        let again = import(&engine, &tenant(), rows(1_203, false), options(), &|_| {}).unwrap();
        assert_eq!(again.totals.outcomes["unchanged"], 1_202);
        let listed: Vec<ImportId> =
            list(&engine, &tenant()).unwrap().into_iter().map(|report| report.import_id).collect();
        assert_eq!(listed.len(), 2);
        assert!(listed.contains(&done.import_id) && listed.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn an_import_that_stops_midway_says_how_far_it_got() {
        let (_, engine) = engine();
        let stopped = import(&engine, &tenant(), rows(700, true), options(), &|_| {}).unwrap_err();
        let kept = stopped.report.unwrap();
        assert_eq!((kept.status, kept.totals.rows), (ImportStatus::Failed, 700));
        assert_eq!(read(&engine, &tenant(), kept.import_id).unwrap(), kept);
        assert_eq!(engine.view(&tenant()).unwrap().stats().records, 699, "what was acknowledged stays");
    }

    #[test]
    fn what_the_server_left_running_was_interrupted() {
        let (disk, engine) = engine_with(false);
        let done = import(&engine, &tenant(), rows(20, false), options(), &|_| {}).unwrap();
        let path = directory(&engine, &tenant()).join(format!("{}.json", done.import_id));
        let mut totals: Totals = serde_json::from_slice(&disk.read(&path).unwrap()).unwrap();
        totals.finished_at = None;
        disk.put(&path, &serde_json::to_vec(&totals).unwrap());
        assert_eq!(read(&engine, &tenant(), done.import_id).unwrap().status, ImportStatus::Running);
        totals.process = "another".into();
        disk.put(&path, &serde_json::to_vec(&totals).unwrap());
        let left = read(&engine, &tenant(), done.import_id).unwrap();
        assert_eq!((left.status, left.totals.rows), (ImportStatus::Interrupted, 20));
        let unknown = read(&engine, &tenant(), ImportId(1)).unwrap_err();
        assert!(matches!(unknown, Error::NotFound { code: "import_unknown", .. }));
    }

    #[test]
    fn old_reports_go_and_those_that_run_stay() {
        let (disk, engine) = engine_with(false);
        let done = import(&engine, &tenant(), rows(20, false), options(), &|_| {}).unwrap();
        let dir = directory(&engine, &tenant());
        let now = engine.world().clock.now().0;
        let id =
            |days: i64, number: u128| ImportId((u128::try_from(now - days * 24 * 3600 * 1000).unwrap() << 80) | number);
        let text = disk.read(&dir.join(format!("{}.json", done.import_id))).unwrap();
        let put = |id: ImportId, running: bool| {
            let mut totals: Totals = serde_json::from_slice(&text).unwrap();
            totals.import_id = id.to_string();
            totals.finished_at = totals.finished_at.filter(|_| !running);
            disk.put(&dir.join(format!("{id}.json")), &serde_json::to_vec(&totals).unwrap());
            disk.put(&dir.join(format!("{id}.csv")), b"line,outcome,contact_id,issues\n");
        };
        put(id(i64::from(REPORT_DAYS) + 1, 1), false);
        put(id(i64::from(REPORT_DAYS) + 1, 2), true);
        put(id(i64::from(REPORT_DAYS) - 1, 3), false);
        import(&engine, &tenant(), rows(20, false), options(), &|_| {}).unwrap();
        let kept = |id| read(&engine, &tenant(), id).is_ok() && report(&engine, &tenant(), id).is_ok();
        let all = [
            id(i64::from(REPORT_DAYS) + 1, 1),
            id(i64::from(REPORT_DAYS) + 1, 2),
            id(i64::from(REPORT_DAYS) - 1, 3),
            done.import_id,
        ];
        assert_eq!(all.map(kept), [false, true, true, true]);
        let number = |number: usize| u128::try_from(number).unwrap();
        (10..REPORTS_MAX + 10).for_each(|at| put(id(2, number(at)), false));
        import(&engine, &tenant(), rows(20, false), options(), &|_| {}).unwrap();
        let csv = |names: &String| names.ends_with(".csv");
        let left = disk.list(&dir).unwrap().iter().filter(|name| csv(name)).count();
        assert_eq!(left, REPORTS_MAX + 1, "the newest, and the one that runs");
        assert!(
            !kept(id(i64::from(REPORT_DAYS) - 1, 3)) && kept(done.import_id) && kept(id(i64::from(REPORT_DAYS) + 1, 2))
        );
    }

    #[test]
    fn a_torn_last_line_does_not_count() {
        let totals = count(b"line,outcome,contact_id,issues\n1,created,x,\n2,invalid,,\"a\nb\"\n3,crea");
        assert_eq!((totals.rows, totals.outcomes["created"], totals.outcomes["invalid"]), (2, 1, 1));
        assert_eq!(count(b"").rows, 0);
    }
}
