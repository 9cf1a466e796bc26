//! `evaluate` without a result file: runs `dedupe` and looks at it from the inside.
//!
//! All candidate pairs are scored once more and folded into counts by weight; only those that went wrong are kept, as
//! numbers, and only those that are shown are explained. So 100,000 records with three million candidates cost one more pass
//! and little memory.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::errors::{self, Wrong};
use super::truth::{Truth, index_of, numbered};
use super::{Marks, THRESHOLDS, of_clusters, put, put_table, score_json, threshold_json};
use crate::cli::args::{Evaluate, Offline};
use crate::cli::offline::Run;
use crate::cli::sheet::Sheet;
use crate::matching::evaluate::calibration::{Bin, calibration};
use crate::matching::evaluate::candidates::{reach, spread};
use crate::matching::evaluate::weights::{CurvePoint, HistogramBin, WeightCount, WeightTally, curve, histogram};
use crate::matching::evaluate::{b_cubed, pairwise};
use crate::matching::score::Scored;
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::resolve::batch::{Batch, Training};

/// How far below the review threshold a pair may be and still count for calibration: odds of 1 to 1,000 at the default.
/// The millions below are strangers whom nobody mistakes; with them any model's Brier score would be 0.
const CALIBRATED_BELOW: Millibits = Millibits(10_000);

/// Step of the precision-recall curve.
const CURVE_STEP: Millibits = Millibits(500);

/// Ends of the histogram of weights, in bits.
const HISTOGRAM: (i32, i32) = (-40, 60);

/// Runs `dedupe` and measures it.
pub(super) fn figures(truth: &Truth, marks: Option<&Marks>, sheet: &Sheet, evaluate: &Evaluate) -> Value {
    let (records, offline) = (sheet.chosen_records(), &evaluate.offline);
    let run = Run::new(records.iter().copied(), offline);
    // First and dropped at once, so that two runs are never in memory together. It costs a fifth of the time.
    let default_model = run.learns().then(|| default_model(truth, &records, offline));
    let (batch, training) = run.compare(&records);
    let clusters = run.cut(&batch, offline.threshold).cluster_of;
    let mut figures = of_clusters(truth, marks, &at_truth(truth, &clusters));
    put_thresholds(&mut figures, truth, &run, &batch, offline.threshold);
    let look = Look { truth, positions: truth.positions(records.len()), batch: &batch, clusters: &clusters };
    let seen = look.scan();
    put_candidates(&mut figures, truth, &seen);
    put_weights(&mut figures, truth, &seen, run.review());
    errors::put_errors(&mut figures, &look, &seen.wrong, sheet, index_of(evaluate.errors));
    put(&mut figures, "model", model_json(training.as_ref()));
    if let Some(headline) = default_model {
        put(&mut figures, "default_model", headline);
    }
    figures
}

/// The clusters of the records with a truth.
fn at_truth(truth: &Truth, clusters: &[u32]) -> Vec<u32> {
    truth.lines.iter().filter_map(|line| clusters.get(*line).copied()).collect()
}

/// The headline figures under the default model without training.
fn default_model(truth: &Truth, records: &[&Normalized], offline: &Offline) -> Value {
    let plain = Offline { model: "default".into(), ..offline.clone() };
    let run = Run::new(records.iter().copied(), &plain);
    let (batch, _) = run.compare(records);
    let found = at_truth(truth, &run.cut(&batch, plain.threshold).cluster_of);
    let positions = truth.positions(records.len());
    let position = |line: u32| positions.get(index_of(line)).copied().flatten();
    let pairs = batch.candidates().filter_map(|(a, b)| position(a).zip(position(b)));
    let real: Vec<(u32, u32)> = pairs.filter(|(a, b)| truth.same(*a, *b)).collect();
    json!({
        "pairwise": score_json(pairwise(&found, &truth.entities)),
        "b_cubed": score_json(b_cubed(&found, &truth.entities)),
        "candidate_recall": reach(&real, &truth.entities).recall,
    })
}

/// What training did; `null` without.
fn model_json(training: Option<&Training>) -> Value {
    let Some(training) = training else { return json!({"trained": false}) };
    let clamped: Vec<String> = training
        .learned
        .iter()
        .filter(|learned| learned.clamped)
        .map(|learned| format!("{} {}", learned.comparison, learned.level))
        .collect();
    json!({
        "trained": training.refused.is_none(), "refused": training.refused, "levels_learned": training.learned.len(),
        "levels_clamped": clamped, "prior_rise_bits": training.duplication,
        "calibration": training.calibration.map(|line| json!({"scale": line.scale, "shift_bits": line.shift})),
    })
}

/// The table of thresholds, with the one in use, and the best of them.
fn put_thresholds(figures: &mut Value, truth: &Truth, run: &Run, batch: &Batch, used: f64) {
    let mut thresholds = THRESHOLDS.to_vec();
    thresholds.push(used);
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let line = |threshold: f64| {
        let found = numbered(at_truth(truth, &run.cut(batch, threshold).cluster_of));
        threshold_json(threshold, pairwise(&found, &truth.entities), Some(b_cubed(&found, &truth.entities)))
    };
    let table: Vec<Value> = thresholds.into_iter().map(line).collect();
    put(figures, "threshold", used);
    put_table(figures, table);
}

fn put_candidates(figures: &mut Value, truth: &Truth, seen: &Seen) {
    let reach = reach(&seen.reached, &truth.entities);
    let spread = spread(seen.degrees.clone());
    put(figures, "candidate_recall", reach.recall);
    put(
        figures,
        "candidates",
        json!({
            "pairs": seen.pairs, "recall": reach.recall, "closure_recall": reach.closure_recall,
            "per_record": {"median": spread.median, "p99": spread.p99, "max": spread.max},
        }),
    );
}

/// Calibration, curve and histogram: what is known from the weights alone.
fn put_weights(figures: &mut Value, truth: &Truth, seen: &Seen, review: Millibits) {
    let counts = seen.weights.sorted();
    let least = Millibits(review.0.saturating_sub(CALIBRATED_BELOW.0));
    let near: Vec<WeightCount> = counts.iter().copied().filter(|count| count.weight >= least).collect();
    let found = calibration(&near);
    let [vetoed, vetoed_matches] = seen.vetoed;
    put(
        figures,
        "calibration",
        json!({
            "from_bits": least.bits(), "pairs": found.count, "brier": found.brier,
            "expected_error": found.expected_error, "vetoed_pairs": vetoed, "vetoed_true_pairs": vetoed_matches,
            "bins": found.bins.iter().map(bin_json).collect::<Vec<_>>(),
        }),
    );
    let points = curve(&counts, truth.true_pairs(), CURVE_STEP);
    put(figures, "pair_curve", points.iter().map(point_json).collect::<Vec<_>>());
    let bins = histogram(&counts, HISTOGRAM.0, HISTOGRAM.1);
    put(figures, "weight_histogram", bins.iter().map(histogram_json).collect::<Vec<_>>());
}

fn bin_json(bin: &Bin) -> Value {
    json!({"from": bin.from, "to": bin.to, "predicted": bin.predicted, "observed": bin.observed, "count": bin.count})
}

fn point_json(point: &CurvePoint) -> Value {
    json!({"from_bits": point.weight.bits(), "precision": point.pairs.precision, "recall": point.pairs.recall})
}

fn histogram_json(bin: &HistogramBin) -> Value {
    json!({"bits": bin.bits, "true": bin.matches, "false": bin.others})
}

/// A finished run beside the truth.
pub(super) struct Look<'a> {
    pub(super) truth: &'a Truth,
    /// The position of each record in the truth.
    pub(super) positions: Vec<Option<u32>>,
    pub(super) batch: &'a Batch,
    /// The cluster of each record.
    pub(super) clusters: &'a [u32],
}

/// What a pass over the candidate pairs found.
#[derive(Default)]
struct Seen {
    /// Candidate pairs, those of records without a truth included.
    pairs: u64,
    /// Candidates of each record.
    degrees: Vec<u32>,
    /// Pairs without a veto, by weight.
    weights: WeightTally,
    /// Pairs that a veto keeps apart: all, and the true ones among them.
    vetoed: [u64; 2],
    /// True pairs, by positions in the truth.
    reached: Vec<(u32, u32)>,
    wrong: Wrong,
}

impl Look<'_> {
    /// Whether two records ended in one cluster.
    pub(super) fn together(&self, a: u32, b: u32) -> bool {
        self.clusters.get(index_of(a)) == self.clusters.get(index_of(b))
    }

    fn position(&self, record: u32) -> Option<u32> {
        self.positions.get(index_of(record)).copied().flatten()
    }

    fn scan(&self) -> Seen {
        // Sums of integers: the order in which threads add does not show.
        let degrees: Vec<AtomicU32> = self.positions.iter().map(|_| AtomicU32::new(0)).collect();
        let parts = self.batch.scan(|seen: &mut Seen, a, b, scored| {
            seen.pairs += 1;
            for degree in [a, b].into_iter().filter_map(|record| degrees.get(index_of(record))) {
                degree.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(positions) = self.position(a).zip(self.position(b)) {
                self.see(seen, (a, b), positions, scored);
            }
        });
        let mut whole = Seen { degrees: degrees.into_iter().map(AtomicU32::into_inner).collect(), ..Seen::default() };
        for part in parts {
            whole.merge(part);
        }
        whole
    }

    fn see(&self, seen: &mut Seen, (a, b): (u32, u32), (x, y): (u32, u32), scored: Scored) {
        let real = self.truth.same(x, y);
        if scored.veto {
            let [all, matches] = &mut seen.vetoed;
            *all += 1;
            *matches += u64::from(real);
        } else {
            seen.weights.add(scored.weight, real);
        }
        match (real, self.together(a, b)) {
            (true, false) => seen.wrong.apart.push((scored.weight, a, b)),
            (false, true) => seen.wrong.joined.push((scored.weight, a, b)),
            (true, true) | (false, false) => {}
        }
        if real {
            seen.reached.push((x, y));
        }
    }
}

impl Seen {
    fn merge(&mut self, part: Seen) {
        self.pairs += part.pairs;
        self.weights.merge(&part.weights);
        let ([all, matches], [more, more_matches]) = (&mut self.vetoed, part.vetoed);
        *all += more;
        *matches += more_matches;
        self.reached.extend(part.reached);
        self.wrong.apart.extend(part.wrong.apart);
        self.wrong.joined.extend(part.wrong.joined);
    }
}
