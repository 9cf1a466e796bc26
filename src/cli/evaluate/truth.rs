//! The truth of `evaluate`, and results of other commands joined to it by the records' ids.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::cli::fail::Failure;
use crate::cli::offline::Pair;
use crate::cli::sheet::Sheet;
use crate::cli::{files, out};

/// The true entity of each record that has one.
pub(super) struct Truth {
    /// Data lines of RECORDS with a truth.
    pub(super) lines: Vec<usize>,
    /// Their entities, as numbers.
    pub(super) entities: Vec<u32>,
    /// Their sources, as numbers; empty without a source column.
    sources: Vec<u32>,
    /// Position in `lines` by id.
    by_id: HashMap<String, u32>,
    /// Position in `lines` by data line.
    by_line: HashMap<usize, u32>,
    /// Records without a truth.
    pub(super) unknown: usize,
}

impl Truth {
    /// From a column of the records, or a file with the columns id and entity_id.
    pub(super) fn read(sheet: &Sheet, column: Option<&str>, file: &Path) -> Result<Self, Failure> {
        let names = match column {
            Some(column) => truth_column(sheet, column)?,
            None => truth_file(sheet, file)?,
        };
        let lines: Vec<usize> = (0..names.len()).filter(|line| names.get(*line).is_some_and(Option::is_some)).collect();
        if lines.is_empty() {
            return Err(Failure::input("no record has a true entity; check that --truth uses the ids of RECORDS"));
        }
        let unknown = names.len() - lines.len();
        let entities = numbered(names.into_iter().flatten());
        let sources = numbered(lines.iter().filter_map(|line| sheet.source(*line)));
        let by_id = lines.iter().zip(0..).filter_map(|(line, at)| Some((sheet.id(*line)?.to_owned(), at))).collect();
        let by_line = lines.iter().zip(0..).map(|(line, at)| (*line, at)).collect();
        Ok(Self { lines, entities, sources, by_id, by_line, unknown })
    }

    /// Cluster numbers from what `dedupe` wrote: by its `record_index`, else by id.
    pub(super) fn clusters_of_file(&self, sheet: &Sheet, path: &Path) -> Result<Vec<u32>, Failure> {
        let table = Table::read(path)?;
        let cluster = table.need("cluster_id")?;
        let index = table.column("record_index");
        let id = sheet_id_column(sheet, &table);
        let mut found = vec![None; self.lines.len()];
        for row in 0..table.rows.len() {
            let at = match (id, index) {
                (Some(id), _) => self.by_id.get(table.cell(row, id)).copied(),
                (None, Some(index)) => {
                    table.cell(row, index).parse().ok().and_then(|line: usize| self.by_line.get(&line).copied())
                }
                (None, None) => return Err(table.lacks("record_index, or the records' id column")),
            };
            if let Some(slot) = at.and_then(|at| found.get_mut(index_of(at))) {
                *slot = Some(table.cell(row, cluster).to_owned());
            }
        }
        self.complete(found, path)
    }

    /// Contact numbers from a server's NDJSON export.
    pub(super) fn clusters_of_export(&self, path: &Path) -> Result<Vec<u32>, Failure> {
        let text = String::from_utf8(files::read(path)?)
            .map_err(|_| Failure::input(format!("{} is not UTF-8; name an NDJSON export", path.display())))?;
        let mut found = vec![None; self.lines.len()];
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let contact: Value = serde_json::from_str(line).map_err(|error| {
                Failure::input(format!("{} line {}: {error}; name an NDJSON export", path.display(), number + 1))
            })?;
            let records = contact.get("records").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for record in records {
                let id = record.get("source_record_id").and_then(Value::as_str);
                let at = id.and_then(|id| self.by_id.get(id)).copied();
                if let Some(slot) = at.and_then(|at| found.get_mut(index_of(at))) {
                    *slot = Some(format!("contact {number}"));
                }
            }
        }
        self.complete(found, path)
    }

    /// A record that the result does not mention is a cluster of its own.
    fn complete(&self, found: Vec<Option<String>>, path: &Path) -> Result<Vec<u32>, Failure> {
        let missing = found.iter().filter(|name| name.is_none()).count();
        if missing == self.lines.len() {
            return Err(Failure::input(format!("{} has none of these records; check the ids", path.display())));
        }
        if missing > 0 {
            out::note(&format!("{missing} records are not in {}; each counts as alone", path.display()));
        }
        let names = found.into_iter().enumerate().map(|(at, name)| name.unwrap_or_else(|| format!("alone {at}")));
        Ok(numbered(names.collect::<Vec<_>>()))
    }

    /// Pairs from what `link` wrote: by ids where it has them, else by 0-based data lines.
    pub(super) fn pairs_of_file(&self, sheet: &Sheet, path: &Path) -> Result<Vec<Pair>, Failure> {
        let table = Table::read(path)?;
        let probability = table.column("probability");
        let by_ids = table.column("left_id").zip(table.column("right_id")).filter(|_| sheet.has_ids());
        let (left, right) = match by_ids {
            Some(columns) => columns,
            None => (table.need("left_index")?, table.need("right_index")?),
        };
        let side = |row: usize, column: usize| {
            let cell = table.cell(row, column);
            if by_ids.is_some() {
                self.by_id.get(cell).copied()
            } else {
                cell.parse().ok().and_then(|line: usize| self.by_line.get(&line).copied())
            }
        };
        let mut pairs = Vec::with_capacity(table.rows.len());
        let mut unknown = 0_u64;
        for row in 0..table.rows.len() {
            let Some((left, right)) = side(row, left).zip(side(row, right)) else {
                unknown += 1;
                continue;
            };
            let probability = probability.and_then(|column| table.cell(row, column).parse().ok()).unwrap_or(1.0);
            pairs.push(Pair { left, right, probability });
        }
        if unknown > 0 {
            out::note(&format!("{unknown} pairs name a record without a truth; they were left out"));
        }
        Ok(pairs)
    }

    /// True pairs that a link can find: those across sources, where the records name sources.
    pub(super) fn linkable_pairs(&self) -> u64 {
        let within = if self.sources.len() == self.lines.len() {
            pairs_together(self.entities.iter().zip(&self.sources))
        } else {
            0
        };
        self.true_pairs() - within
    }

    /// Pairs of records of one entity.
    pub(super) fn true_pairs(&self) -> u64 {
        pairs_together(self.entities.iter())
    }

    /// Whether two positions are one entity.
    pub(super) fn same(&self, a: u32, b: u32) -> bool {
        self.entities.get(index_of(a)) == self.entities.get(index_of(b))
    }

    /// The position of each of `records` data lines, where its entity is known.
    pub(super) fn positions(&self, records: usize) -> Vec<Option<u32>> {
        (0..records).map(|line| self.by_line.get(&line).copied()).collect()
    }
}

/// Names as small numbers: equal names, equal numbers.
pub(super) fn numbered<T: std::hash::Hash + Eq>(names: impl IntoIterator<Item = T>) -> Vec<u32> {
    let mut known = HashMap::new();
    let number = |name| {
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        *known.entry(name).or_insert(next)
    };
    names.into_iter().map(number).collect()
}

/// Pairs of records that carry the same label.
fn pairs_together<T: std::hash::Hash + Eq>(labels: impl Iterator<Item = T>) -> u64 {
    let mut sizes: HashMap<T, u64> = HashMap::new();
    for label in labels {
        *sizes.entry(label).or_insert(0) += 1;
    }
    sizes.into_values().map(|size| size * (size - 1) / 2).sum()
}

/// A record's number as a position in a list.
pub(super) fn index_of(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The truth as a column of the records.
fn truth_column(sheet: &Sheet, column: &str) -> Result<Vec<Option<String>>, Failure> {
    let at = sheet.column(column).ok_or_else(|| {
        Failure::input(format!("--truth {column}: neither a file nor a column of RECORDS", column = out::clean(column)))
    })?;
    let value = |line| Some(sheet.cell(line, at).to_owned()).filter(|value| !value.is_empty());
    Ok((0..sheet.cells.len()).map(value).collect())
}

/// The truth as a file with the columns id and entity_id.
fn truth_file(sheet: &Sheet, path: &Path) -> Result<Vec<Option<String>>, Failure> {
    if !sheet.has_ids() {
        return Err(Failure::input("RECORDS has no id column to join the truth by; name one with --map COLUMN=id"));
    }
    let table = Table::read(path)?;
    let (id, entity) = (table.need("id")?, table.need("entity_id")?);
    let known: HashMap<&str, &str> =
        (0..table.rows.len()).map(|row| (table.cell(row, id), table.cell(row, entity))).collect();
    let of = |line| sheet.id(line).and_then(|id| known.get(id)).map(|entity| (*entity).to_owned());
    Ok((0..sheet.cells.len()).map(of).collect())
}

/// The column of a clusters file that holds the records' ids, by the name it has in RECORDS.
fn sheet_id_column(sheet: &Sheet, table: &Table) -> Option<usize> {
    let name = sheet.id_name()?;
    // The first three columns are the result's own.
    table.header.iter().skip(3).position(|header| header == name).map(|at| at + 3)
}

/// A small CSV file with a header, as text.
struct Table {
    path: String,
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(path: &Path) -> Result<Self, Failure> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(files::open(path)?);
        let bad = |error: csv::Error| Failure::input(format!("{}: {error}", path.display()));
        let header = reader.headers().map_err(bad)?;
        let header = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(bad)?;
        Ok(Self { path: path.display().to_string(), header, rows })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|header| header == name)
    }

    fn need(&self, name: &str) -> Result<usize, Failure> {
        self.column(name).ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> Failure {
        Failure::input(format!("{} has no column {name}", self.path))
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|cells| cells.get(column)).unwrap_or("")
    }
}
