//! Reads NDJSON: one record a line, or one line of selfsame's own export, whose `records` each become
//! a row.

use std::collections::VecDeque;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::formats::checks::RowError;
use crate::formats::encoding::{Decoded, Other};
use crate::formats::json::{RecordInput, from_value, path_error};
use crate::formats::lines::{Line, Lines};
use crate::formats::{ReadOptions, Recognised, Row, RowReader, default_source, empty_file};

/// Most bytes of one line; an exported contact holds all its records.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an export adds to a record and an import leaves out.
const EXPORT_ONLY: [&str; 3] = ["record_id", "ingested_at", "seq"];

/// An NDJSON file being read.
pub struct NdjsonReader {
    lines: Lines<BufReader<Decoded>>,
    source: String,
    /// Rows of the last line that are still to be handed out.
    waiting: VecDeque<Row>,
}

/// The part of an exported contact that an import needs.
#[derive(Deserialize)]
struct Exported {
    records: Vec<Value>,
}

impl NdjsonReader {
    /// Starts to read.
    ///
    /// # Errors
    /// `Invalid` when the file is empty, binary or one JSON array; `Io` when it cannot be read.
    pub fn open(input: Box<dyn Read + Send>, options: &ReadOptions) -> Result<Self> {
        let decoded = Decoded::new(input, Other::Keep)?;
        if decoded.is_empty() {
            return Err(empty_file("one JSON record a line"));
        }
        Ok(Self {
            lines: Lines::new(BufReader::with_capacity(64 * 1024, decoded), LINE_BYTES_MAX),
            source: default_source(options),
            waiting: VecDeque::new(),
        })
    }

    /// Puts the rows of one line into `waiting`.
    fn take_line(&mut self, line: &Line) {
        match self.read_line(line) {
            Ok(rows) => self.waiting.extend(rows),
            Err(error) => self.waiting.push_back(row(line.number, Err(error))),
        }
    }

    /// The rows of one line.
    fn read_line(&self, line: &Line) -> Result<Vec<Row>, RowError> {
        if line.cut {
            let message = format!("longer than {LINE_BYTES_MAX} bytes; split it");
            return Err(RowError::new("line", "line_too_long", message));
        }
        if line.number == 1 && line.bytes.trim_ascii_start().starts_with(b"[") {
            let message = "a JSON array; write one record a line, for example with jq -c '.[]'";
            return Err(RowError::new("line", "json_array", message));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&line.bytes);
        let direct: Result<RecordInput, _> = serde_path_to_error::deserialize(&mut deserializer);
        match direct {
            Ok(input) => {
                deserializer.end().map_err(|error| broken(&error))?;
                Ok(vec![row(line.number, input.into_checked(&self.source))])
            }
            Err(error) if error.inner().classify() == serde_json::error::Category::Data => match self.exported(line) {
                Some(rows) => Ok(rows),
                None => Err(row_error(path_error(&error), "field_invalid")),
            },
            Err(error) => Err(broken(error.inner())),
        }
    }

    /// The records of an exported contact; `None` when the line is something else.
    fn exported(&self, line: &Line) -> Option<Vec<Row>> {
        let contact: Exported = serde_json::from_slice(&line.bytes).ok()?;
        let rows = contact
            .records
            .into_iter()
            .map(|record| row(line.number, nested(record).and_then(|input| input.into_checked(&self.source))));
        Some(rows.collect())
    }
}

/// A record of an export as an input record.
fn nested(mut record: Value) -> Result<RecordInput, RowError> {
    if let Some(map) = record.as_object_mut() {
        for key in EXPORT_ONLY {
            map.remove(key);
        }
    }
    from_value(record).map_err(|error| row_error(error, "field_invalid"))
}

fn row(line: u64, record: Result<crate::formats::InputRecord, RowError>) -> Row {
    Row { line, record, issues: Vec::new() }
}

/// JSON that does not parse, with its column.
fn broken(error: &serde_json::Error) -> RowError {
    let message = format!("not valid JSON at column {}; each line must be one whole object", error.column());
    RowError::new("line", "json_broken", message)
}

/// An error of the JSON layer as a row error.
#[expect(clippy::wildcard_enum_match_arm, reason = "the JSON layer only makes Invalid")]
fn row_error(error: Error, code: &'static str) -> RowError {
    match error {
        Error::Invalid { field, reason } => RowError::new(field, code, reason),
        other => RowError::new("record", code, other.to_string()),
    }
}

impl RowReader for NdjsonReader {
    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.waiting.pop_front() {
                return Ok(Some(row));
            }
            let line = self.lines.next_line().map_err(|error| Error::io("reading the file", error))?;
            match line {
                None => return Ok(None),
                Some(line) if line.bytes.trim_ascii().is_empty() => {}
                Some(line) => self.take_line(&line),
            }
        }
    }

    fn recognised(&self) -> Option<&Recognised> {
        None
    }
}
