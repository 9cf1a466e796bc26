//! `evaluate`: how good clusters, links or a server's contacts are against the truth.
//!
//! Truth and results are joined by the records' ids. Records without a true entity are left out and
//! counted. A link between sources is measured over pairs across sources only, where the records have
//! a `source` column. Without a result file `dedupe` runs first, and [`fresh`] sees it from the inside: candidates,
//! calibration, the worst errors. All figures are one JSON value; [`text`] and [`page`] show what it holds.

mod errors;
mod fresh;
mod page;
mod plot;
mod text;
mod truth;

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::{Evaluate, THRESHOLD_DEFAULT};
use crate::cli::fail::Failure;
use crate::cli::offline::Pair;
use crate::cli::sheet::{Name, Sheet};
use crate::cli::{files, out};
use crate::matching::evaluate::marks::{MarkCount, by_mark};
use crate::matching::evaluate::{self as measure, Quality};
use truth::{Truth, numbered};

/// Thresholds of the table.
const THRESHOLDS: [f64; 11] = [0.50, 0.60, THRESHOLD_DEFAULT, 0.75, 0.80, 0.90, 0.95, 0.98, 0.99, 0.995, 0.999];

/// Columns that hold marks, where nobody names one.
const MARK_COLUMNS: [&str; 2] = ["tags", "ops"];

/// Runs the command.
pub(super) fn run(evaluate: &Evaluate, json: bool) -> Result<(), Failure> {
    let truth_file = Path::new(&evaluate.truth);
    let column = (!truth_file.is_file()).then_some(evaluate.truth.as_str());
    let name = Name { path: evaluate.records.clone(), only: None };
    let sheet = Sheet::read(&name, &evaluate.offline, column)?;
    let truth = Truth::read(&sheet, column, truth_file)?;
    let marks = Marks::read(&sheet, &truth, evaluate.marks.as_deref())?;
    let figures = if let Some(path) = &evaluate.clusters {
        of_clusters(&truth, marks.as_ref(), &truth.clusters_of_file(&sheet, path)?)
    } else if let Some(path) = &evaluate.export {
        of_clusters(&truth, marks.as_ref(), &truth.clusters_of_export(path)?)
    } else if let Some(path) = &evaluate.pairs {
        of_pairs(&truth, &truth.pairs_of_file(&sheet, path)?)
    } else {
        fresh::figures(&truth, marks.as_ref(), &sheet, evaluate)
    };
    if let Some(path) = &evaluate.report {
        let title = evaluate.records.file_name().unwrap_or_default().to_string_lossy();
        files::write(path, |out| page::write(out, &title, &figures))?;
        out::note(&format!("Written: {}", path.display()));
    }
    if json { out::json(&figures) } else { text::show(&figures) }
}

/// What was done to the records, or what they are.
struct Marks {
    names: Vec<String>,
    /// The marks of each record of the truth, each once, as places in `names`.
    of: Vec<Vec<u32>>,
}

impl Marks {
    /// From the named column, else from the first usual one; `None` without.
    fn read(sheet: &Sheet, truth: &Truth, column: Option<&str>) -> Result<Option<Self>, Failure> {
        let at =
            match column {
                Some(name) => Some(sheet.column(name).ok_or_else(|| {
                    Failure::input(format!("--marks {}: RECORDS has no such column", out::clean(name)))
                })?),
                None => MARK_COLUMNS.iter().find_map(|name| sheet.column(name)),
            };
        Ok(at.map(|at| Self::of_cells(truth.lines.iter().map(|line| sheet.cell(*line, at)))))
    }

    fn of_cells<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Self {
        let split = |cell: &'a str| {
            let parts = cell.split(['+', ';', '|', ',']).map(str::trim).filter(|mark| !mark.is_empty());
            parts.collect::<std::collections::BTreeSet<&str>>()
        };
        let names: std::collections::BTreeSet<&str> = cells.clone().flat_map(split).collect();
        let places: std::collections::HashMap<&str, u32> = names.iter().copied().zip(0..).collect();
        let of = cells.map(|cell| split(cell).iter().filter_map(|mark| places.get(mark).copied()).collect());
        Self { of: of.collect(), names: names.into_iter().map(str::to_owned).collect() }
    }

    /// Recall by mark, the lowest first; pairs without a mark last.
    fn recall(&self, found: &[u32], entities: &[u32]) -> Value {
        let counts = by_mark(&self.of, self.names.len(), found, entities);
        let names = self.names.iter().map(|name| Some(name.as_str())).chain([None]);
        let mut lines: Vec<(Option<&str>, MarkCount)> =
            names.zip(counts).filter(|(_, count)| count.true_pairs > 0).collect();
        lines.sort_by(|(a, x), (b, y)| {
            a.is_none().cmp(&b.is_none()).then(x.recall().total_cmp(&y.recall())).then(a.cmp(b))
        });
        let line = |(mark, count): (Option<&str>, MarkCount)| json!({"mark": mark, "true_pairs": count.true_pairs, "recall": count.recall()});
        lines.into_iter().map(line).collect()
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

fn put(figures: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = figures.as_object_mut() {
        fields.insert(name.into(), value.into());
    }
}

fn of_clusters(truth: &Truth, marks: Option<&Marks>, found: &[u32]) -> Value {
    let found = &numbered(found.iter().copied())[..];
    let mut figures = base(truth);
    put(&mut figures, "clusters", found.iter().max().map_or(0, |most| most + 1));
    put(&mut figures, "pairwise", score_json(measure::pairwise(found, &truth.entities)));
    put(&mut figures, "b_cubed", score_json(measure::b_cubed(found, &truth.entities)));
    if let Some(marks) = marks {
        put(&mut figures, "recall_by_mark", marks.recall(found, &truth.entities));
    }
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
    put(&mut figures, "linkable_pairs", linkable);
    put(&mut figures, "pairwise", score_json(score(0.0)));
    let table: Vec<Value> =
        THRESHOLDS.iter().map(|threshold| threshold_json(*threshold, score(*threshold), None)).collect();
    put_table(&mut figures, table);
    figures
}

/// The table of thresholds, and of its lines the default's and the best.
fn put_table(figures: &mut Value, table: Vec<Value>) {
    let is_default = |line: &&Value| line.get("threshold").and_then(Value::as_f64) == Some(THRESHOLD_DEFAULT);
    put(figures, "default_threshold", table.iter().find(is_default).cloned().unwrap_or_default());
    put(figures, "best_threshold", best(&table));
    put(figures, "thresholds", table);
}

fn threshold_json(threshold: f64, pairwise: Quality, b_cubed: Option<Quality>) -> Value {
    let mut line = json!({"threshold": threshold, "pairwise": score_json(pairwise)});
    if let Some(b_cubed) = b_cubed {
        put(&mut line, "b_cubed", score_json(b_cubed));
    }
    line
}

/// The line of the threshold table with the highest pairwise F1, the lowest threshold of equals.
fn best(table: &[Value]) -> Value {
    let f1 = |line: &Value| line.pointer("/pairwise/f1").and_then(Value::as_f64).unwrap_or(0.0);
    let better = |best: Option<Value>, line: &Value| match best {
        Some(best) if f1(&best) >= f1(line) => Some(best),
        _ => Some(line.clone()),
    };
    table.iter().fold(None, better).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_split_and_named_once() {
        let marks = Marks::of_cells(["typo+nickname", "", "nickname; nickname", "typo,swap"].into_iter());
        assert_eq!(marks.names, ["nickname", "swap", "typo"]);
        assert_eq!(marks.of, [vec![0, 2], vec![], vec![0], vec![1, 2]]);
        let recall = marks.recall(&[0, 0, 1, 2], &[0, 0, 0, 0]);
        let names: Vec<Option<&str>> = recall.as_array().unwrap().iter().map(|line| line["mark"].as_str()).collect();
        assert_eq!(names, [Some("swap"), Some("nickname"), Some("typo")], "{recall}");
    }

    #[test]
    fn the_best_threshold_is_the_lowest_of_equals() {
        let line = |threshold, recall| threshold_json(threshold, Quality { precision: 1.0, recall }, None);
        let table = [line(0.5, 0.8), line(0.6, 0.9), line(0.7, 0.9), line(0.8, 0.1)];
        assert_eq!(best(&table)["threshold"].as_f64(), Some(0.6));
        assert_eq!(best(&[]), Value::Null);
    }
}
