//! A CSV file in memory for the offline commands: its cells as they are, and what was read into them.
//!
//! Every data line stays in place, also one that names nobody (it is then alike to nothing), so that
//! results can speak of 0-based data lines. What the columns were taken for is printed.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cli::args::Offline;
use crate::cli::fail::Failure;
use crate::cli::{files, out};
use crate::error::Error;
use crate::formats::ReadOptions;
use crate::formats::columns::Role;
use crate::formats::csv::CsvReader;
use crate::model::normalized::Normalized;
use crate::model::record::Fields;
use crate::model::settings::Settings;
use crate::normalize::{Normalizer, Rules};

/// Refused lines that are named one by one.
const REFUSED_SHOWN_MAX: usize = 5;

/// A file and, perhaps, which of its lines count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The file.
    pub(super) path: PathBuf,
    /// Column and value that a line must have.
    pub(super) only: Option<(String, String)>,
}

impl Name {
    /// `FILE` or `FILE#column=value`. A file whose own name has such a part is taken as it is.
    pub(super) fn parse(text: &str) -> Self {
        let whole = Self { path: PathBuf::from(text), only: None };
        if whole.path.exists() {
            return whole;
        }
        let Some((file, filter)) = text.rsplit_once('#') else { return whole };
        let Some((column, value)) = filter.split_once('=') else { return whole };
        Self { path: PathBuf::from(file), only: Some((column.into(), value.into())) }
    }
}

/// The file in memory.
pub(super) struct Sheet {
    /// Column names as written.
    pub(super) header: Vec<String>,
    /// Cells of every data line.
    pub(super) cells: Vec<Vec<String>>,
    /// What was read into every data line.
    pub(super) records: Vec<Normalized>,
    /// Data lines that count, in order.
    pub(super) chosen: Vec<usize>,
    /// Column of the records' ids.
    id: Option<usize>,
    /// Column of the records' sources.
    source: Option<usize>,
}

impl Sheet {
    /// Reads a file. `never` names a column that must not take part (the truth).
    pub(super) fn read(name: &Name, offline: &Offline, never: Option<&str>) -> Result<Self, Failure> {
        let map = map_without(offline.map.as_deref(), never);
        let options = ReadOptions { source: "file".into(), map };
        let input = Box::new(files::open(&name.path)?);
        let reader = CsvReader::open(input, options).map_err(|error| in_file(&name.path, error))?;
        let mut reader = reader.accept_nameless();
        out::note(&format!("{}: {}", name.path.display(), out::clean(&reader.columns().to_string())));
        let header = reader.header().to_vec();
        let id = reader.columns().position(&Role::RecordId);
        let source = reader.columns().position(&Role::Source);
        let lines = Lines::read(&mut reader, &name.path)?;
        let settings = Settings { default_region: offline.default_region.to_uppercase(), ..Settings::default() };
        let normalizer = Normalizer::new(Rules::from_settings(&settings));
        let records = lines.fields.par_iter().map(|fields| normalized(fields.as_ref(), &normalizer)).collect();
        let mut sheet = Self { header, cells: lines.cells, records, chosen: Vec::new(), id, source };
        sheet.chosen = sheet.choose(name)?;
        Ok(sheet)
    }

    fn choose(&self, name: &Name) -> Result<Vec<usize>, Failure> {
        let Some((column, value)) = &name.only else { return Ok((0..self.cells.len()).collect()) };
        let at = self
            .column(column)
            .ok_or_else(|| Failure::input(format!("{} has no column `{}`", name.path.display(), out::clean(column))))?;
        let chosen: Vec<usize> = (0..self.cells.len()).filter(|line| self.cell(*line, at) == value).collect();
        if chosen.is_empty() {
            return Err(Failure::input(format!("{}: no line has {column}={value}", name.path.display())));
        }
        Ok(chosen)
    }

    /// The position of a column by its name.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|header| header.trim() == name)
    }

    /// One cell; empty when the line is too short.
    pub(super) fn cell(&self, line: usize, column: usize) -> &str {
        self.cells.get(line).and_then(|cells| cells.get(column)).map_or("", String::as_str)
    }

    /// The id that a line gives itself, if the file has an id column.
    pub(super) fn id(&self, line: usize) -> Option<&str> {
        self.id.map(|column| self.cell(line, column))
    }

    /// The source that a line names, if the file has a source column.
    pub(super) fn source(&self, line: usize) -> Option<&str> {
        self.source.map(|column| self.cell(line, column))
    }

    /// The name of the column of ids, as written.
    pub(super) fn id_name(&self) -> Option<&str> {
        self.id.and_then(|column| self.header.get(column)).map(String::as_str)
    }

    /// Whether lines have ids.
    pub(super) fn has_ids(&self) -> bool {
        self.id.is_some()
    }

    /// The data line of a record that counts.
    pub(super) fn line_of(&self, record: u32) -> usize {
        usize::try_from(record).ok().and_then(|at| self.chosen.get(at)).copied().unwrap_or(0)
    }

    /// The records that count, in order of `chosen`.
    pub(super) fn chosen_records(&self) -> Vec<&Normalized> {
        self.chosen.iter().filter_map(|line| self.records.get(*line)).collect()
    }
}

/// The data lines while they are read.
#[derive(Default)]
struct Lines {
    cells: Vec<Vec<String>>,
    fields: Vec<Option<Fields>>,
    refused: Vec<String>,
}

impl Lines {
    fn read(reader: &mut CsvReader, path: &Path) -> Result<Self, Failure> {
        let mut lines = Self::default();
        while let Some(line) = reader.next_with_cells().map_err(|error| in_file(path, error))? {
            lines.cells.push(line.cells);
            lines.fields.push(match line.row.record {
                Ok(record) => Some(record.fields),
                Err(error) => {
                    lines.refused.push(format!("line {}: {}: {}", line.row.line, error.field, error.message));
                    None
                }
            });
        }
        lines.report();
        if lines.refused.len() == lines.cells.len() {
            return Err(Failure::input(format!("{}: no line names anybody; nothing was done", path.display())));
        }
        Ok(lines)
    }

    fn report(&self) {
        for line in self.refused.iter().take(REFUSED_SHOWN_MAX) {
            out::note(&out::clean(line));
        }
        if self.refused.len() > REFUSED_SHOWN_MAX {
            out::note(&format!("... and {} more lines that name nobody", self.refused.len() - REFUSED_SHOWN_MAX));
        }
    }
}

fn normalized(fields: Option<&Fields>, normalizer: &Normalizer) -> Normalized {
    fields.map_or_else(Normalized::default, |fields| normalizer.normalize(fields).0)
}

/// The user's map, and the truth column ignored.
fn map_without(map: Option<&str>, never: Option<&str>) -> Option<String> {
    let never = never.map(|column| format!("{column}=ignore"));
    let parts: Vec<&str> = map.into_iter().chain(never.as_deref()).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// An error about a file's content, with the file's name.
fn in_file(path: &Path, error: Error) -> Failure {
    match Failure::from(error) {
        Failure::Input(text) => Failure::Input(format!("{}: {text}", path.display())),
        Failure::Failed(text) => Failure::Failed(format!("{}: {text}", path.display())),
        Failure::Unread => Failure::Unread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_can_be_named() {
        let name = Name::parse("no/such.csv#source=a=b");
        assert_eq!(name.path, Path::new("no/such.csv"));
        assert_eq!(name.only, Some(("source".into(), "a=b".into())));
        assert_eq!(Name::parse("no/such#1.csv").only, None);
    }

    #[test]
    fn the_truth_never_takes_part() {
        assert_eq!(map_without(None, None), None);
        assert_eq!(map_without(Some("a=b"), Some("t")), Some("a=b,t=ignore".into()));
    }
}
