//! The figures of `evaluate` as tables for a terminal. What a form of result does not have is left out.

use serde_json::Value;

use crate::cli::fail::Failure;
use crate::cli::out;
use crate::cli::waterfall::{self, signed, text};
use crate::model::key::Millibits;

/// The lists of errors and what each is.
pub(super) const ERRORS: [(&str, &str); 3] = [
    ("false_positives", "Worst false positives: joined, but different entities"),
    ("false_negatives", "Worst false negatives: one entity, compared and kept apart"),
    ("never_candidates", "Worst false negatives that were never candidates"),
];

/// Prints everything.
pub(super) fn show(figures: &Value) -> Result<(), Failure> {
    counts(figures)?;
    scores(figures)?;
    thresholds(figures)?;
    calibration(figures)?;
    marks(figures)?;
    errors(figures)
}

/// What the count tables show: a name, and where its value is.
pub(super) const COUNTS: [(&str, &str); 12] = [
    ("records", "/records"),
    ("records without truth", "/records_without_truth"),
    ("entities", "/entities"),
    ("clusters", "/clusters"),
    ("true pairs", "/true_pairs"),
    ("linkable pairs", "/linkable_pairs"),
    ("candidate pairs", "/candidates/pairs"),
    ("candidate recall", "/candidate_recall"),
    ("recall of what chains of true candidates reach", "/candidates/closure_recall"),
    ("candidates of a record: median", "/candidates/per_record/median"),
    ("candidates of a record: 99 in 100 have at most", "/candidates/per_record/p99"),
    ("candidates of a record: most", "/candidates/per_record/max"),
];

/// A figure as people read it: counts with thousands, shares with four digits.
pub(super) fn figure(value: &Value) -> Option<String> {
    value.as_u64().map(out::count).or_else(|| value.as_f64().map(|share| format!("{share:.4}")))
}

fn counts(figures: &Value) -> Result<(), Failure> {
    let mut table = out::fields();
    for (name, place) in COUNTS {
        if let Some(value) = figures.pointer(place).and_then(figure) {
            table.add_row(vec![name.to_owned(), value]);
        }
    }
    out::line(&table.to_string())
}

/// The lines of the table of scores: what is measured, and where it is.
pub(super) const SCORES: [(&str, &str); 6] = [
    ("pairwise", "/pairwise"),
    ("B-cubed", "/b_cubed"),
    ("pairwise, default model untrained", "/default_model/pairwise"),
    ("B-cubed, default model untrained", "/default_model/b_cubed"),
    ("pairwise at the default threshold", "/default_threshold"),
    ("pairwise at the best threshold", "/best_threshold"),
];

/// One line of the table of scores: its title and its three figures.
pub(super) fn score_line((title, place): (&str, &str), figures: &Value) -> Option<Vec<String>> {
    let found = figures.pointer(place).filter(|value| !value.is_null())?;
    let threshold = found.get("threshold").map_or_else(String::new, |threshold| format!(" ({threshold})"));
    let mut line = vec![format!("{title}{threshold}")];
    line.extend(cells(found.get("pairwise").unwrap_or(found)));
    Some(line)
}

fn scores(figures: &Value) -> Result<(), Failure> {
    let mut table = out::table(&["", "precision", "recall", "F1"]);
    for line in SCORES.iter().filter_map(|score| score_line(*score, figures)) {
        table.add_row(line);
    }
    out::line(&table.to_string())
}

fn thresholds(figures: &Value) -> Result<(), Failure> {
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

/// Precision, recall and F1.
pub(super) fn cells(score: &Value) -> Vec<String> {
    let cell = |name: &str| score.get(name).and_then(Value::as_f64).map_or_else(String::new, |f| format!("{f:.4}"));
    ["precision", "recall", "f1"].map(cell).to_vec()
}

/// Which pairs the calibration is about, and its two figures.
pub(super) fn calibration_line(calibration: &Value) -> String {
    let number = |name: &str| calibration.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let count = |name: &str| out::count(calibration.get(name).and_then(Value::as_u64).unwrap_or(0));
    format!(
        "Calibration: Brier score {:.4}, expected calibration error {:.4}, over {} candidate pairs from {:+.1} bits up (probability \
         {:.4}). Weaker pairs are left out: they are many and nobody mistakes them, so they would hide the rest. Vetoed pairs have no \
         probability: {}, of them {} true.",
        number("brier"),
        number("expected_error"),
        count("pairs"),
        number("from_bits"),
        Millibits::from_bits(number("from_bits")).probability(),
        count("vetoed_pairs"),
        count("vetoed_true_pairs")
    )
}

/// One line of the reliability table.
pub(super) fn bin_line(bin: &Value) -> Vec<String> {
    let number = |name: &str| bin.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    vec![
        format!("{} to {}", number("from"), number("to")),
        format!("{:.4}", number("predicted")),
        format!("{:.4}", number("observed")),
        bin.get("count").and_then(figure).unwrap_or_default(),
    ]
}

fn calibration(figures: &Value) -> Result<(), Failure> {
    let Some(calibration) = figures.get("calibration") else { return Ok(()) };
    out::line(&format!("\n{}", calibration_line(calibration)))?;
    let mut table = out::table(&["probability", "predicted", "observed", "pairs"]);
    for bin in calibration.get("bins").and_then(Value::as_array).into_iter().flatten() {
        table.add_row(bin_line(bin));
    }
    out::line(&table.to_string())
}

/// One line of recall by mark.
pub(super) fn mark_line(line: &Value) -> Vec<String> {
    let mark = text(line, "mark");
    let cell = |name: &str| line.get(name).and_then(figure).unwrap_or_default();
    let recall = line.get("recall").and_then(Value::as_f64).unwrap_or(0.0);
    vec![if mark.is_empty() { "(none)".to_owned() } else { mark }, cell("true_pairs"), format!("{recall:.4}")]
}

fn marks(figures: &Value) -> Result<(), Failure> {
    let Some(lines) = figures.get("recall_by_mark").and_then(Value::as_array) else { return Ok(()) };
    let mut table = out::table(&["mark on either record", "true pairs", "recall"]);
    for line in lines {
        table.add_row(mark_line(line));
    }
    out::line(&table.to_string())
}

/// What an error is: its probability, what speaks for it, who it is about.
pub(super) fn error_line(error: &Value) -> String {
    let number = |name: &str| error.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let side = |name: &str| {
        let side = error.get(name).unwrap_or(&Value::Null);
        let id = text(side, "id");
        let id = if id.is_empty() { id } else { format!("id {id}, ") };
        format!("{id}line {}, cluster {}", text(side, "line"), text(side, "cluster"))
    };
    let flag = |name: &str, said: bool, words: &str| {
        if error.get(name).and_then(Value::as_bool) == Some(said) { words.to_owned() } else { String::new() }
    };
    format!(
        "{:.4} ({} bits) {}{}{}: {} | {}",
        number("probability"),
        signed(number("weight_bits")),
        text(error, "match_key"),
        flag("veto", true, ", vetoed"),
        flag("candidate", false, ", never a candidate"),
        side("left"),
        side("right")
    )
}

fn errors(figures: &Value) -> Result<(), Failure> {
    for (name, title) in ERRORS {
        let errors = figures.get(name).and_then(Value::as_array).filter(|errors| !errors.is_empty());
        let Some(errors) = errors else { continue };
        out::line(&format!("\n{title}"))?;
        for (at, error) in errors.iter().enumerate() {
            let score = error.get("probability").and_then(Value::as_f64).unwrap_or(0.0);
            out::line(&format!("\n{}. {}", at + 1, error_line(error)))?;
            if let Some(table) = waterfall::table(error, score, ["left", "right"]) {
                out::line(&table.to_string())?;
            }
        }
    }
    Ok(())
}
