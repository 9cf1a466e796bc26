//! `evaluate`: how good clusters, links or a server's contacts are against the truth.
//!
//! Truth and results are joined by the records' ids. Records without a true entity are left out and
//! counted. A link between sources is measured over pairs across sources only, where the records have
//! a `source` column.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::Evaluate;
use crate::cli::fail::Failure;
use crate::cli::offline::{Pair, Run};
use crate::cli::sheet::{Name, Sheet};
use crate::cli::{files, out};
use crate::matching::evaluate::{self as measure, Quality};

/// Thresholds of the table.
const THRESHOLDS: [f64; 9] = [0.50, 0.60, 0.67, 0.75, 0.80, 0.90, 0.95, 0.99, 0.999];

/// Runs the command.
pub(super) fn run(evaluate: &Evaluate, json: bool) -> Result<(), Failure> {
    let truth_file = Path::new(&evaluate.truth);
    let column = (!truth_file.is_file()).then_some(evaluate.truth.as_str());
    let name = Name { path: evaluate.records.clone(), only: None };
    let sheet = Sheet::read(&name, &evaluate.offline, column)?;
    let truth = Truth::read(&sheet, column, truth_file)?;
    let figures = if let Some(path) = &evaluate.clusters {
        of_clusters(&truth, &truth.clusters_of_file(&sheet, path)?)
    } else if let Some(path) = &evaluate.export {
        of_clusters(&truth, &truth.clusters_of_export(path)?)
    } else if let Some(path) = &evaluate.pairs {
        of_pairs(&truth, &truth.pairs_of_file(&sheet, path)?)
    } else {
        of_dedupe(&truth, &sheet, evaluate)?
    };
    if json { out::json(&figures) } else { show(&figures) }
}

/// The true entity of each record that has one.
struct Truth {
    /// Data lines of RECORDS with a truth.
    lines: Vec<usize>,
    /// Their entities, as numbers.
    entities: Vec<u32>,
    /// Their sources, as numbers; empty without a source column.
    sources: Vec<u32>,
    /// Position in `lines` by id.
    by_id: HashMap<String, u32>,
    /// Position in `lines` by data line.
    by_line: HashMap<usize, u32>,
    /// Records without a truth.
    unknown: usize,
}

impl Truth {
    fn read(sheet: &Sheet, column: Option<&str>, file: &Path) -> Result<Self, Failure> {
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
    fn clusters_of_file(&self, sheet: &Sheet, path: &Path) -> Result<Vec<u32>, Failure> {
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
    fn clusters_of_export(&self, path: &Path) -> Result<Vec<u32>, Failure> {
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
    fn pairs_of_file(&self, sheet: &Sheet, path: &Path) -> Result<Vec<Pair>, Failure> {
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
    fn linkable_pairs(&self) -> u64 {
        let within = if self.sources.len() == self.lines.len() {
            pairs_together(self.entities.iter().zip(&self.sources))
        } else {
            0
        };
        self.true_pairs() - within
    }

    fn true_pairs(&self) -> u64 {
        pairs_together(self.entities.iter())
    }
}

/// Names as small numbers: equal names, equal numbers.
fn numbered<T: std::hash::Hash + Eq>(names: impl IntoIterator<Item = T>) -> Vec<u32> {
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

fn index_of(at: u32) -> usize {
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

fn score_json(score: Quality) -> Value {
    json!({"precision": score.precision, "recall": score.recall, "f1": score.f1()})
}

/// What every form of result has.
fn base(truth: &Truth) -> Value {
    let entities = truth.entities.iter().max().map_or(0, |most| most + 1);
    json!({
        "records": truth.lines.len(), "records_without_truth": truth.unknown, "entities": entities,
        "true_pairs": truth.true_pairs(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn put(figures: &mut Value, name: &str, value: Value) {
    if let Some(fields) = figures.as_object_mut() {
        fields.insert(name.into(), value);
    }
}

fn of_clusters(truth: &Truth, found: &[u32]) -> Value {
    let mut figures = base(truth);
    put(&mut figures, "clusters", found.iter().max().map_or(0, |most| most + 1).into());
    put(&mut figures, "pairwise", score_json(measure::pairwise(found, &truth.entities)));
    put(&mut figures, "b_cubed", score_json(measure::b_cubed(found, &truth.entities)));
    figures
}

fn of_pairs(truth: &Truth, pairs: &[Pair]) -> Value {
    let mut figures = base(truth);
    let linkable = truth.linkable_pairs();
    let scale = share(truth.true_pairs(), linkable);
    let score = |threshold: f64| {
        let kept = pairs.iter().filter(|pair| pair.probability >= threshold).map(|pair| (pair.left, pair.right));
        let quality = measure::pairwise_of_pairs(kept, &truth.entities);
        Quality { recall: quality.recall * scale, ..quality }
    };
    put(&mut figures, "linkable_pairs", linkable.into());
    put(&mut figures, "pairwise", score_json(score(0.0)));
    let table = THRESHOLDS.iter().map(|threshold| threshold_json(*threshold, score(*threshold), None)).collect();
    put(&mut figures, "thresholds", Value::Array(table));
    figures
}

fn threshold_json(threshold: f64, pairwise: Quality, b_cubed: Option<Quality>) -> Value {
    let mut line = json!({"threshold": threshold, "pairwise": score_json(pairwise)});
    if let Some(b_cubed) = b_cubed {
        put(&mut line, "b_cubed", score_json(b_cubed));
    }
    line
}

fn of_dedupe(truth: &Truth, sheet: &Sheet, evaluate: &Evaluate) -> Result<Value, Failure> {
    let records = sheet.chosen_records();
    let run = Run::new(records.iter().copied(), &evaluate.offline);
    let batch = run.compare(&records);
    let at_truth = |clusters: Vec<u32>| -> Vec<u32> {
        truth.lines.iter().filter_map(|line| clusters.get(*line).copied()).collect()
    };
    let found = numbered(at_truth(run.cut(&batch, evaluate.offline.threshold).cluster_of));
    let mut figures = of_clusters(truth, &found);
    let position = |line: u32| truth.by_line.get(&index_of(line)).copied();
    let candidates = batch.candidates().filter_map(|(left, right)| position(left).zip(position(right)));
    put(&mut figures, "candidate_recall", measure::candidate_recall(candidates, &truth.entities).into());
    let table = THRESHOLDS
        .iter()
        .map(|threshold| {
            let found = at_truth(run.cut(&batch, *threshold).cluster_of);
            let b_cubed = measure::b_cubed(&found, &truth.entities);
            threshold_json(*threshold, measure::pairwise(&found, &truth.entities), Some(b_cubed))
        })
        .collect();
    put(&mut figures, "thresholds", Value::Array(table));
    Ok(figures)
}

/// The figures as tables.
fn show(figures: &Value) -> Result<(), Failure> {
    let number = |name: &str| figures.get(name).and_then(Value::as_u64);
    let mut counts = out::fields();
    for name in ["records", "records_without_truth", "entities", "clusters", "true_pairs", "linkable_pairs"] {
        if let Some(count) = number(name) {
            counts.add_row(vec![name.replace('_', " "), out::count(count)]);
        }
    }
    if let Some(recall) = figures.get("candidate_recall").and_then(Value::as_f64) {
        counts.add_row(vec!["candidate recall".to_owned(), format!("{recall:.4}")]);
    }
    out::line(&counts.to_string())?;
    let mut scores = out::table(&["", "precision", "recall", "F1"]);
    for name in ["pairwise", "b_cubed"] {
        if let Some(score) = figures.get(name) {
            let mut line = vec![name.replace('_', "-")];
            line.extend(cells(score));
            scores.add_row(line);
        }
    }
    out::line(&scores.to_string())?;
    show_thresholds(figures)
}

fn show_thresholds(figures: &Value) -> Result<(), Failure> {
    let Some(lines) = figures.get("thresholds").and_then(Value::as_array) else { return Ok(()) };
    let with_b_cubed = lines.iter().any(|line| line.get("b_cubed").is_some());
    let b_cubed: &[&str] = if with_b_cubed { &["B-cubed P", "B-cubed R", "B-cubed F1"] } else { &[] };
    let mut table = out::table(&[&["threshold", "precision", "recall", "F1"], b_cubed].concat());
    for line in lines {
        let mut row = vec![line.get("threshold").and_then(Value::as_f64).map_or_else(String::new, |t| t.to_string())];
        row.extend(["pairwise", "b_cubed"].iter().filter_map(|name| line.get(*name)).flat_map(cells));
        table.add_row(row);
    }
    out::line(&table.to_string())
}

fn cells(score: &Value) -> Vec<String> {
    let cell = |name: &str| score.get(name).and_then(Value::as_f64).map_or_else(String::new, |f| format!("{f:.4}"));
    ["precision", "recall", "f1"].map(cell).to_vec()
}
