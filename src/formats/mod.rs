//! Reading and writing the text formats: the JSON record of the contract, CSV, vCard and NDJSON.
//!
//! Start with [`open`]: it gives a [`RowReader`] that yields one [`Row`] for each record of a file and
//! never holds more than one record. A bad record is a row with an error, the rest of the file goes
//! on. [`json::RecordInput`] is the record as the API takes it; [`write`] makes CSV and vCard for an
//! export. [`detect`] finds the format, [`encoding`] the character encoding, [`columns`] the meaning
//! of CSV columns. [`account`] is the JSON record of a business, [`open_accounts`] reads a file of them.

pub mod account;
mod business;
pub mod checks;
pub mod columns;
pub mod csv;
pub mod detect;
pub mod encoding;
pub mod json;
mod lines;
pub mod ndjson;
mod rawcsv;
pub mod schema;
mod spellings;
pub mod vcard;
mod vcard_map;
pub mod write;

use std::io::Read;

pub use account::{AccountInput, AccountRecord};
pub use checks::{InputRecord, RowError};
pub use columns::Recognised;
pub use detect::Format;
pub use json::RecordInput;

use crate::error::{Error, Result};
use crate::model::issue::Issue;

/// One record of a file, or why it is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<R = InputRecord> {
    /// The line it starts on; the first line of a file is 1.
    pub line: u64,
    /// The record, or what is wrong with it.
    pub record: Result<R, RowError>,
    /// What was odd but did not refuse it.
    pub issues: Vec<Issue>,
}

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The source of records that name none themselves (CSV column or JSON field `source`).
    /// Empty: `api`.
    pub source: String,
    /// `--map old=new,...`: what CSV columns mean. Missing: recognise them by name. `source=ignore`
    /// makes the file's own source column silent. Refused for other formats.
    pub map: Option<String>,
}

/// A file being read, one record at a time.
pub trait RowReader<R = InputRecord>: Send {
    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// `Io` when the file cannot be read on. A bad record is a row, not an error.
    fn next_row(&mut self) -> Result<Option<Row<R>>>;

    /// What the columns were taken for; `None` for formats without columns.
    fn recognised(&self) -> Option<&Recognised>;
}

/// Starts to read a file.
///
/// # Errors
/// `Invalid` when the file is empty or binary, has no column we know, or the map is wrong; `Io` when
/// it cannot be read.
pub fn open(format: Format, input: Box<dyn Read + Send>, options: ReadOptions) -> Result<Box<dyn RowReader>> {
    if options.map.is_some() && format != Format::Csv {
        return Err(Error::invalid("map", "only CSV files have columns to map; leave map out"));
    }
    Ok(match format {
        Format::Csv => Box::new(csv::CsvReader::open(input, options)?),
        Format::Vcard => Box::new(vcard::VcardReader::open(input, &options)?),
        Format::Ndjson => Box::new(ndjson::NdjsonReader::<RecordInput>::open(input, &options)?),
    })
}

/// Starts to read a file of businesses.
///
/// # Errors
/// As [`open`]; `Invalid` for vCard, which is for people.
pub fn open_accounts(
    format: Format,
    input: Box<dyn Read + Send>,
    options: ReadOptions,
) -> Result<Box<dyn RowReader<AccountRecord>>> {
    if options.map.is_some() && format != Format::Csv {
        return Err(Error::invalid("map", "only CSV files have columns to map; leave map out"));
    }
    match format {
        Format::Csv => Ok(Box::new(csv::AccountCsv::open(input, options)?)),
        Format::Ndjson => Ok(Box::new(ndjson::NdjsonReader::<AccountInput>::open(input, &options)?)),
        Format::Vcard => {
            let reason = "accounts come as CSV or NDJSON; vCard is for people, leave entity out for those";
            Err(Error::invalid("entity", reason))
        }
    }
}

/// The source to use when a record names none.
fn default_source(options: &ReadOptions) -> String {
    let named = options.source.trim();
    if named.is_empty() { "api".to_owned() } else { named.to_owned() }
}

/// The error for a file without content.
fn empty_file(what: &str) -> Error {
    Error::invalid("file", format!("the file is empty; send {what}"))
}

#[cfg(test)]
mod tests;
