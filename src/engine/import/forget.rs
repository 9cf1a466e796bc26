//! Import reports without what was erased.

use std::collections::BTreeSet;

use super::{ImportStatus, begun_at, directory, failed, read, replace_report, report};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::formats::write::csv_line;
use crate::model::ids::{ImportId, Millis, TenantName};

/// Takes the remarks on contacts out of all reports of a tenant; line, outcome and id stay.
///
/// # Errors
/// `Busy` while one of its imports runs, whose report cannot be rewritten yet; `Io` from the disk.
pub(crate) fn forget(engine: &Engine, tenant: &TenantName, contacts: &BTreeSet<String>) -> Result<()> {
    for id in report_ids(engine, tenant)? {
        let before = match report(engine, tenant, id) {
            // Of an earlier tenant of this name: nobody can read it.
            Err(Error::Gone) => continue,
            outcome => outcome?,
        };
        let Some(after) = without_remarks(&before, contacts) else { continue };
        if read(engine, tenant, id)?.status == ImportStatus::Running {
            return Err(Error::Busy { retry_after_ms: 1000 });
        }
        replace_report(engine, tenant, id, &after)?;
    }
    Ok(())
}

/// Removes all reports of imports that began up to a time.
///
/// # Errors
/// `Busy` while one of them runs; `Io` from the disk.
pub(crate) fn forget_all(engine: &Engine, tenant: &TenantName, until: Millis) -> Result<()> {
    let dir = directory(engine, tenant);
    for id in report_ids(engine, tenant)?.into_iter().filter(|id| begun_at(*id) <= until.0) {
        if matches!(read(engine, tenant, id), Ok(report) if report.status == ImportStatus::Running) {
            return Err(Error::Busy { retry_after_ms: 1000 });
        }
        for ending in ["csv", "json"] {
            let path = dir.join(format!("{id}.{ending}"));
            engine.world().disk.remove(&path).map_err(|error| failed("remove", &path, error))?;
        }
    }
    Ok(())
}

fn report_ids(engine: &Engine, tenant: &TenantName) -> Result<Vec<ImportId>> {
    let dir = directory(engine, tenant);
    match engine.world().disk.list(&dir) {
        Ok(names) => Ok(names.iter().filter_map(|name| name.strip_suffix(".csv")?.parse().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", &dir, error)),
    }
}

/// A report whose lines about these contacts have no remarks; `None`: it has no such line with one. A torn last line goes.
fn without_remarks(report: &[u8], contacts: &BTreeSet<String>) -> Option<Vec<u8>> {
    let whole = report.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let whole = report.get(..whole).unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(whole);
    let lines: Vec<csv::StringRecord> = reader.records().map_while(|line| line.ok()).collect();
    let is_one = |line: &csv::StringRecord| line.get(2).is_some_and(|id| contacts.contains(id));
    lines.iter().find(|line| is_one(line) && line.get(3).is_some_and(|remarks| !remarks.is_empty()))?;
    let mut out = Vec::with_capacity(report.len());
    for line in &lines {
        let shown = |(at, text): (usize, &str)| if is_one(line) && at == 3 { String::new() } else { text.to_owned() };
        csv_line(&mut out, line.iter().enumerate().map(shown));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_remarks_on_the_erased_go() {
        let report = b"line,outcome,contact_id,issues\r\n2,created,a,\"emails[0]: bad: no @, left out\"\r\n3,created,b,name: x: y\r\n4,crea";
        let gone = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let after = without_remarks(report, &gone(&["a"])).unwrap();
        let text = "line,outcome,contact_id,issues\r\n2,created,a,\r\n3,created,b,name: x: y\r\n";
        assert_eq!(String::from_utf8(after.clone()).unwrap(), text);
        assert_eq!((without_remarks(&after, &gone(&["a"])), without_remarks(report, &gone(&["c"]))), (None, None));
    }
}
