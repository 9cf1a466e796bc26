//! `backup` and `restore`: copies of a data directory that outlive it.
//!
//! A data directory that no server has open is copied right here. When a server has it, that server makes the copy, so
//! that it is of one moment; the request names the data directory, so that no other server's is copied by mistake.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::args::{Backup, Restore};
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::{journal::must_hold_a_journal, keyfile, out, remote};
use crate::engine::backup::absolute;
use crate::engine::carry;
use crate::error::Error;
use crate::host::{Clock, Disk, OsRandom, RealDisk, SystemClock};
use crate::journal::{self, BackupJob, BackupReport, DataDir, RestoreReport, Until};
use crate::model::ids::Millis;

/// `backup`
pub(super) fn backup(backup: &Backup, json: bool) -> Result<(), Failure> {
    must_hold_a_journal(&backup.data_dir)?;
    let (to, data_dir) = (absolute(&backup.dir)?, absolute(&backup.data_dir)?);
    let answer = match DataDir::lock(&RealDisk, &data_dir) {
        Ok(_lock) => report_json(&to, &at_rest(&to, &data_dir)?),
        Err(Error::Conflict { code: "data_dir_locked", .. }) => by_server(backup, &to, &data_dir)?,
        Err(error) => return Err(error.into()),
    };
    if json {
        return out::json(&answer);
    }
    remote::fields(&answer)?;
    out::line(
        "The key file is not part of the backup: keep a copy of it in another place. Without it a backup is of no use.",
    )
}

/// Copies a data directory that is locked by this process.
fn at_rest(to: &Path, data_dir: &Path) -> Result<BackupReport, Failure> {
    if RealDisk.exists(&data_dir.join(journal::RESTORING)).unwrap_or(false) {
        return Err(Failure::failed(format!(
            "{} was not restored to the end; there is nothing to keep",
            data_dir.display()
        )));
    }
    let segments = journal::segments_at_rest(&RealDisk, data_dir)?;
    Ok(journal::backup(&BackupJob {
        disk: &RealDisk,
        random: &OsRandom,
        data_dir,
        to,
        segments: &segments,
        now: SystemClock::new().now(),
        key_id: keyfile::default_path(data_dir)
            .ok()
            .and_then(|path| keyfile::read(&RealDisk, &path).ok())
            .map(|key| journal::key_id(&key)),
    })?)
}

/// Has the server that holds the data directory make the copy.
fn by_server(backup: &Backup, to: &Path, data_dir: &Path) -> Result<Value, Failure> {
    out::note(&format!(
        "selfsame: a server has {} open; it makes the backup ({})",
        data_dir.display(),
        backup.server.url
    ));
    let body = json!({"dir": text(to)?, "data_dir": text(data_dir)?});
    Client::new(&backup.server)?.post("/v1/admin/backup", &body)
}

fn text(path: &Path) -> Result<&str, Failure> {
    let odd = || Failure::input(format!("{} is not UTF-8; a server cannot be told of it", path.display()));
    path.to_str().ok_or_else(odd)
}

fn report_json(to: &Path, report: &BackupReport) -> Value {
    json!({
        "dir": to.display().to_string(), "at": time(report.at_ms), "seq": report.seq, "files": report.files,
        "bytes": report.bytes, "copied_files": report.copied_files, "copied_bytes": report.copied_bytes,
    })
}

fn time(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| String::new(), |time| time.to_string())
}

/// `restore`
pub(super) fn restore(restore: &Restore, json: bool) -> Result<(), Failure> {
    let until = restore.until.as_deref().map_or(Ok(Until::End), parse_until)?;
    let to: PathBuf = absolute(&restore.data_dir)?;
    let report = carry::restore(&RealDisk, &absolute(&restore.dir)?, &to, until)?;
    if json {
        return out::json(&restored_json(&to, &report));
    }
    remote::fields(&restored_json(&to, &report))?;
    let key = report.key_id.as_ref().map_or_else(String::new, |id| format!(" (id {id})"));
    out::line(&format!(
        "The key file{key} is not part of a backup: put it beside the directory, or name it with --key-file, before `selfsame serve`."
    ))
}

fn restored_json(to: &Path, report: &RestoreReport) -> Value {
    json!({
        "data_dir": to.display().to_string(), "seq": report.seq, "backup_seq": report.backup_seq,
        "backup_at": time(report.at_ms), "files": report.files, "bytes": report.bytes, "key_id": report.key_id,
        "kept_erasures_and_opt_outs": report.carried,
    })
}

/// A seq of the journal or an RFC 3339 time.
fn parse_until(text: &str) -> Result<Until, Failure> {
    if let Ok(seq) = text.parse::<u64>() {
        return Ok(Until::Seq(seq));
    }
    let wrong = |_| {
        Failure::input(format!(
            "--until {}: give a seq of the journal (see `selfsame journal dump`) or a time such as 2026-01-27T10:00:00Z",
            out::clean(text)
        ))
    };
    text.parse::<Timestamp>().map(|at| Until::Time(Millis(at.as_millisecond()))).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_a_seq_or_a_time() {
        assert_eq!(parse_until("42").unwrap(), Until::Seq(42));
        assert_eq!(parse_until("1970-01-01T00:00:01Z").unwrap(), Until::Time(Millis(1000)));
        for bad in ["", "-1", "yesterday", "2026-01-27"] {
            assert!(matches!(parse_until(bad), Err(Failure::Input(text)) if text.contains("--until")), "{bad}");
        }
    }
}
