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
use crate::formats::{
    AccountInput, AccountRecord, InputRecord, ReadOptions, Recognised, Row, RowReader, default_source, empty_file,
};

/// Most bytes of one line; an exported contact holds all its records.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an export adds to a record and an import leaves out.
const EXPORT_ONLY: [&str; 3] = ["record_id", "ingested_at", "seq"];

/// A record as a line has it.
pub trait LineRecord: serde::de::DeserializeOwned {
    /// The record once it has passed the checks.
    type Checked: Send;

    /// Checks it; `source` stands in when it names none.
    ///
    /// # Errors
    /// The first thing wrong.
    fn checked(self, source: &str) -> Result<Self::Checked, RowError>;
}

impl LineRecord for RecordInput {
    type Checked = InputRecord;

    fn checked(self, source: &str) -> Result<InputRecord, RowError> {
        self.into_checked(source)
    }
}

impl LineRecord for AccountInput {
    type Checked = AccountRecord;

    fn checked(self, source: &str) -> Result<AccountRecord, RowError> {
        self.into_checked(source)
    }
}

/// An NDJSON file being read.
pub struct NdjsonReader<T: LineRecord> {
    lines: Lines<BufReader<Decoded>>,
    source: String,
    /// Rows of the last line that are still to be handed out.
    waiting: VecDeque<Row<T::Checked>>,
}

/// The part of an exported contact or account that an import needs.
#[derive(Deserialize)]
struct Exported {
    records: Vec<Value>,
}

impl<T: LineRecord> NdjsonReader<T> {
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
    fn read_line(&self, line: &Line) -> Result<Vec<Row<T::Checked>>, RowError> {
        if line.cut {
            let message = format!("longer than {LINE_BYTES_MAX} bytes; split it");
            return Err(RowError::new("line", "line_too_long", message));
        }
        if line.number == 1 && line.bytes.trim_ascii_start().starts_with(b"[") {
            let message = "a JSON array; write one record a line, for example with jq -c '.[]'";
            return Err(RowError::new("line", "json_array", message));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&line.bytes);
        let direct: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
        match direct {
            Ok(input) => {
                deserializer.end().map_err(|error| broken(&error))?;
                Ok(vec![row(line.number, input.checked(&self.source))])
            }
            Err(error) if error.inner().classify() == serde_json::error::Category::Data => match self.exported(line) {
                Some(rows) => Ok(rows),
                None => Err(row_error(path_error(&error), "field_invalid")),
            },
            Err(error) => Err(broken(error.inner())),
        }
    }

    /// The records of an exported contact or account; `None` when the line is something else.
    fn exported(&self, line: &Line) -> Option<Vec<Row<T::Checked>>> {
        let contact: Exported = serde_json::from_slice(&line.bytes).ok()?;
        let rows = contact
            .records
            .into_iter()
            .map(|record| row(line.number, nested::<T>(record).and_then(|input| input.checked(&self.source))));
        Some(rows.collect())
    }
}

/// A record of an export as an input record.
fn nested<T: LineRecord>(mut record: Value) -> Result<T, RowError> {
    if let Some(map) = record.as_object_mut() {
        for key in EXPORT_ONLY {
            map.remove(key);
        }
    }
    from_value(record).map_err(|error| row_error(error, "field_invalid"))
}

fn row<R>(line: u64, record: Result<R, RowError>) -> Row<R> {
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

impl<T: LineRecord + Send> RowReader<T::Checked> for NdjsonReader<T> {
    fn next_row(&mut self) -> Result<Option<Row<T::Checked>>> {
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
