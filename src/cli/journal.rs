//! `journal check` and `journal dump`: look at a data directory without a server, change nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::args::{Journal, JournalDir, JournalDump};
use crate::cli::fail::Failure;
use crate::cli::{keyfile, out};
use crate::engine;
use crate::error::Error;
use crate::host::{Disk, OsRandom, RealDisk};
use crate::journal::{self, CheckReport, Frame, Keyring, Located, Opened, SegmentCheck};
use crate::model::event::{self, Event};

/// Runs the command.
pub(super) fn run(command: &Journal, json: bool) -> Result<(), Failure> {
    match command {
        Journal::Check(dir) => check(dir, json),
        Journal::Dump(dump) => self::dump(dump),
    }
}

/// A folder without a journal is a wrong path, not an empty journal.
pub(super) fn must_hold_a_journal(dir: &Path) -> Result<(), Failure> {
    match RealDisk.list(&dir.join("journal")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::input(format!("{} holds no journal; name a data directory with --data-dir", dir.display())))
        }
        Err(error) => Err(Failure::failed(format!("cannot read {}: {error}", dir.display()))),
    }
}

/// Exit code 0 when everything is as it was written, torn tails included; 1 when it is not.
fn check(dir: &JournalDir, json: bool) -> Result<(), Failure> {
    must_hold_a_journal(&dir.data_dir)?;
    let report = journal::check(&RealDisk, &dir.data_dir)?;
    if json {
        out::json(&report_json(&report))?;
    } else {
        show(&report)?;
    }
    match &report.first_corruption {
        None => Ok(()),
        Some(found) => Err(Failure::failed(format!(
            "{} at byte {}: {}. Nothing was changed. Restore a backup, or keep a copy of the directory before anything else",
            found.file.display(),
            found.offset_bytes,
            found.reason
        ))),
    }
}

fn show(report: &CheckReport) -> Result<(), Failure> {
    let mut table = out::table(&["segment", "first seq", "frames", "groups", "bytes", "state"]);
    for segment in &report.segments {
        table.add_row(vec![
            name(segment),
            out::count(segment.base_seq),
            out::count(segment.frames),
            out::count(segment.groups),
            out::count(segment.bytes),
            state(segment),
        ]);
    }
    out::line(&table.to_string())?;
    for file in &report.set_aside {
        out::line(&format!("set aside earlier: {file} (a torn tail, never acknowledged)"))?;
    }
    out::line(&format!("last seq {}", out::count(report.last_seq)))
}

fn name(segment: &SegmentCheck) -> String {
    segment.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn state(segment: &SegmentCheck) -> String {
    match (segment.sealed, segment.torn_bytes) {
        (true, _) => "sealed, digest right".into(),
        (false, 0) => "open, whole".into(),
        (false, torn) => format!("open, torn tail of {} bytes", out::count(torn)),
    }
}

fn report_json(report: &CheckReport) -> Value {
    let segments: Vec<Value> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "file": name(segment), "base_seq": segment.base_seq, "frames": segment.frames, "groups": segment.groups,
                "bytes": segment.bytes, "sealed": segment.sealed, "torn_bytes": segment.torn_bytes,
            })
        })
        .collect();
    let corruption = report.first_corruption.as_ref().map(|found| {
        json!({"file": found.file.display().to_string(), "offset_bytes": found.offset_bytes, "reason": found.reason})
    });
    json!({
        "segments": segments, "set_aside": report.set_aside, "last_seq": report.last_seq, "first_corruption": corruption,
    })
}

/// One JSON line a frame.
fn dump(dump: &JournalDump) -> Result<(), Failure> {
    let dir = &dump.dir.data_dir;
    must_hold_a_journal(dir)?;
    let keys = keyring(dump)?;
    let mut stopped = None;
    // Segments may have left; what there is begins later then.
    let first_seq = journal::segments_at_rest(&RealDisk, dir)?.first().map_or(1, |first| first.base_seq);
    let after = dump.after.max(first_seq.saturating_sub(1));
    let result = journal::dump(&RealDisk, dir, after, &mut |located| {
        let line = frame_json(&located, content(&located.frame, keys.as_ref(), dump.values)?);
        out::line(&line.to_string()).map_err(|failure| {
            stopped = Some(failure);
            Error::io("printing", std::io::Error::from(std::io::ErrorKind::BrokenPipe))
        })
    });
    match (stopped, result) {
        (Some(failure), _) => Err(failure),
        (None, result) => Ok(result.map(|_| ())?),
    }
}

/// The keys that open what is sealed, if their master key is at hand. Only a key file that was named must fit.
fn keyring(dump: &JournalDump) -> Result<Option<Keyring>, Failure> {
    let dir = &dump.dir.data_dir;
    let open = |path: &Path| -> Result<Keyring, Failure> {
        let master = engine::keys::from_file(&RealDisk, path)?;
        Ok(Keyring::open(Arc::new(RealDisk), dir, &master, Arc::new(OsRandom))?)
    };
    match &dump.key_file {
        Some(path) => open(path).map(Some),
        None => Ok(keyfile::default_path(dir).ok().and_then(|path| open(&path).ok())),
    }
}

fn frame_json(located: &Located<'_>, event: String) -> Value {
    let frame = located.frame;
    let time =
        jiff::Timestamp::from_millisecond(frame.group_ms).map_or_else(|_| String::new(), |time| time.to_string());
    let mut line = json!({
        "seq": frame.seq, "tenant": frame.tenant, "kind": event::kind_name(frame.kind), "version": frame.version,
        "time": time, "last_of_command": frame.last_of_command(), "bytes": frame.payload.len(), "sealed": frame.is_sealed(),
        "file": located.file.file_name().map(|name| name.to_string_lossy().into_owned()), "offset": located.offset_bytes,
    });
    if let Some(fields) = line.as_object_mut() {
        fields.insert("event".into(), event.into());
    }
    line
}

/// What a frame holds, as far as it can be read.
fn content(frame: &Frame<'_>, keys: Option<&Keyring>, values: bool) -> Result<String, Error> {
    if frame.is_erased() {
        return Ok("erased".to_owned());
    }
    let opened = match keys {
        Some(keys) => keys.open_frame(frame)?,
        None if frame.is_sealed() => return Ok("sealed".to_owned()),
        None => Opened::Plain(frame.payload.to_vec()),
    };
    Ok(match opened {
        Opened::Plain(payload) => shown(event::decode(frame.kind, frame.version, &payload), values),
        Opened::Destroyed => "the tenant's key was destroyed".to_owned(),
    })
}

/// The event in Rust's notation. Only puts hold values of a person or business; without `--values` its
/// record is named, not shown.
fn shown(decoded: Result<Event, event::DecodeError>, values: bool) -> String {
    match decoded {
        Err(error) => format!("not readable: {error}"),
        Ok(Event::RecordPut(put)) if !values => {
            format!("RecordPut {{ values: hidden, {} bytes as text; show with --values }}", format!("{put:?}").len())
        }
        Ok(Event::AccountPut(put)) if !values => {
            format!("AccountPut {{ values: hidden, {} bytes as text; show with --values }}", format!("{put:?}").len())
        }
        Ok(Event::ModelPart(part)) => {
            format!("ModelPart {{ model_id: {}, part: {}, {} bytes }}", part.model_id, part.part, part.bytes.len())
        }
        Ok(event) => format!("{event:?}"),
    }
}
