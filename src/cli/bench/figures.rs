//! What came out: the percentiles of match and control, their difference, and the shape of both.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::cli::args::{Bench, Rate};
use crate::cli::bench::load::{Count, Tally};
use crate::cli::fail::Failure;
use crate::cli::out;

/// Characters of the longest bar.
const BAR_MAX: usize = 30;

/// The percentiles that are shown, with their names in the table and in JSON.
const SHOWN: [(f64, &str, &str); 5] = [
    (50.0, "p50", "p50_us"),
    (90.0, "p90", "p90_us"),
    (99.0, "p99", "p99_us"),
    (99.9, "p99.9", "p99_9_us"),
    (100.0, "max", "max_us"),
];

/// One round: the control, then the load.
pub(super) struct Round {
    pub(super) control: Tally,
    pub(super) asked: Tally,
    /// Matches before the load, and beside it, if there were any.
    pub(super) idle: Option<Tally>,
    pub(super) meanwhile: Option<Tally>,
}

impl Round {
    /// Percentile of the matches minus that of the control, in microseconds; no number where nothing was matched.
    fn above_control_us(&self, percentile: f64) -> f64 {
        if self.asked.matches.latency_ns.is_empty() {
            return f64::NAN;
        }
        let at = |count: &Count| micros(&count.latency_ns, percentile);
        at(&self.asked.matches) - at(&self.control.control)
    }

    /// The round in one line.
    pub(super) fn line(&self) -> String {
        let at = |count: &Count, percentile| milliseconds(micros(&count.latency_ns, percentile));
        let (asked, control) = (&self.asked.matches, &self.control.control);
        if asked.latency_ns.is_empty() {
            let upserts = &self.asked.upserts;
            let second = per_second(upserts.records, self.asked.took);
            return format!(
                "{second:.0} records a second, upsert p50 {} p99 {} ms",
                at(upserts, 50.0),
                at(upserts, 99.0)
            );
        }
        format!(
            "match p50 {} p99 {} ms, control p50 {} p99 {} ms",
            at(asked, 50.0),
            at(asked, 99.0),
            at(control, 50.0),
            at(control, 99.0)
        )
    }

    fn json(&self) -> Value {
        let at = |count: &Count, percentile| rounded(micros(&count.latency_ns, percentile));
        json!({
            "match_p50_us": at(&self.asked.matches, 50.0),
            "match_p99_us": at(&self.asked.matches, 99.0),
            "control_p50_us": at(&self.control.control, 50.0),
            "control_p99_us": at(&self.control.control, 99.0),
            "p50_above_control_us": rounded(self.above_control_us(50.0)),
            "p99_above_control_us": rounded(self.above_control_us(99.0)),
        })
    }
}

/// All rounds of a run.
pub(super) struct Figures<'a> {
    pub(super) bench: &'a Bench,
    /// Different queries that there were.
    pub(super) queries: usize,
    /// Records of the tenant at the start.
    pub(super) records: u64,
    pub(super) rounds: Vec<Round>,
}

/// Picks one kind's answers out of a round, and how long they took in all.
type OfRound = fn(&Round) -> Option<(&Count, Duration)>;

/// Answers of one kind over all rounds.
struct Sum {
    name: &'static str,
    count: Count,
    took: Duration,
}

impl Figures<'_> {
    /// Match, upsert and the matches beside them (if any were sent), and control.
    fn sums(&self) -> Result<Vec<Sum>, Failure> {
        let mut sums = Vec::new();
        let kinds: [(&'static str, OfRound); 5] = [
            ("match", |round| Some((&round.asked.matches, round.asked.took))),
            ("upsert", |round| Some((&round.asked.upserts, round.asked.took))),
            ("match_idle", |round| round.idle.as_ref().map(|tally| (&tally.matches, tally.took))),
            ("match_beside", |round| round.meanwhile.as_ref().map(|tally| (&tally.matches, tally.took))),
            ("control", |round| Some((&round.control.control, round.control.took))),
        ];
        for (name, of) in kinds {
            let mut sum = Sum { name, count: Count::new()?, took: Duration::ZERO };
            for (count, took) in self.rounds.iter().filter_map(of) {
                sum.count.add(count);
                sum.took += took;
            }
            if !sum.count.latency_ns.is_empty() {
                sums.push(sum);
            }
        }
        Ok(sums)
    }

    /// The least difference of all rounds, in microseconds.
    fn best_us(&self, percentile: f64) -> f64 {
        self.rounds.iter().map(|round| round.above_control_us(percentile)).fold(f64::INFINITY, f64::min)
    }

    /// Everything, for a program to read. Times are in microseconds.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        let bench = self.bench;
        let rate = match bench.rate {
            Rate::Max => json!("max"),
            Rate::PerSecond(rate) => json!(rate),
        };
        let mut value = json!({
            "tenant": bench.server.tenant, "records": self.records, "queries": self.queries, "rate": rate,
            "seconds": bench.seconds, "connections": bench.connections, "write_share": bench.write_share, "batch": bench.batch, "probe": bench.probe,
            "preload": bench.preload,
            "rounds": self.rounds.iter().map(Round::json).collect::<Vec<_>>(),
            "p50_above_control_us": rounded(self.best_us(50.0)),
            "p99_above_control_us": rounded(self.best_us(99.0)),
        });
        for sum in self.sums()? {
            if let Some(fields) = value.as_object_mut() {
                fields.insert(sum.name.into(), sum.json());
            }
        }
        Ok(value)
    }

    /// Everything, for a person to read.
    pub(super) fn show(&self) -> Result<(), Failure> {
        let sums = self.sums()?;
        let mut table = out::table(&["ms", "requests", "a second", "p50", "p90", "p99", "p99.9", "max", "bad"]);
        for sum in &sums {
            table.add_row(sum.cells());
        }
        for column in 1..9 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        out::line(&table.to_string())?;
        if let Some(upserts) = sums.iter().find(|sum| sum.name == "upsert") {
            let rate = per_second(upserts.count.records, upserts.took);
            out::line(&format!("{} records written, {rate:.0} a second", out::count(upserts.count.records)))?;
        }
        let differences =
            if sums.iter().any(|sum| sum.name == "match") { &[(50.0, "p50"), (99.0, "p99")][..] } else { &[] };
        for (percentile, name) in differences.iter().copied() {
            let all: Vec<String> =
                self.rounds.iter().map(|round| milliseconds(round.above_control_us(percentile))).collect();
            out::line(&format!(
                "match {name} minus control {name}, best of {}: {} ms (rounds: {})",
                self.rounds.len(),
                milliseconds(self.best_us(percentile)),
                all.join(", ")
            ))?;
        }
        if let Some(asked) = sums.iter().find(|sum| sum.name == "match") {
            let (found, all) = (out::count(asked.count.found), out::count(asked.count.latency_ns.len()));
            out::line(&format!("{found} of {all} answers named a candidate"))?;
        }
        out::text(&plot(&sums))
    }

    /// Fails if any answer was not whole and 200.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        for sum in self.sums()? {
            let count = &sum.count;
            if count.bad() > 0 {
                return Err(Failure::failed(format!(
                    "{} of {} answers to {} are bad ({} not 200, {} malformed, {} without an answer), the first: {}",
                    count.bad(),
                    count.latency_ns.len(),
                    sum.name,
                    count.not_200,
                    count.malformed,
                    count.broken,
                    out::clean(count.example.as_deref().unwrap_or("?"))
                )));
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

impl Sum {
    fn per_second(&self) -> f64 {
        per_second(self.count.latency_ns.len(), self.took)
    }

    fn cells(&self) -> Vec<String> {
        let latency_ns = &self.count.latency_ns;
        let mut cells = vec![self.name.to_owned(), out::count(latency_ns.len()), format!("{:.0}", self.per_second())];
        cells.extend(SHOWN.iter().map(|(percentile, ..)| milliseconds(micros(latency_ns, *percentile))));
        cells.push(out::count(self.count.bad()));
        cells
    }

    fn json(&self) -> Value {
        let count = &self.count;
        let mut value = json!({
            "requests": count.latency_ns.len(), "per_second": rounded(self.per_second()), "not_200": count.not_200,
            "malformed": count.malformed, "broken": count.broken,
        });
        if let Some(fields) = value.as_object_mut() {
            for (percentile, _, name) in SHOWN {
                fields.insert(name.into(), json!(rounded(micros(&count.latency_ns, percentile))));
            }
            if self.name.starts_with("match") {
                fields.insert("with_candidates".into(), json!(count.found));
            }
            if self.name == "upsert" {
                fields.insert("records".into(), json!(count.records));
                fields.insert("records_per_second".into(), json!(rounded(per_second(count.records, self.took))));
            }
        }
        value
    }
}

/// The share of answers by latency, each step twice the one before, one bar for each kind.
fn plot(sums: &[Sum]) -> String {
    let mut text = String::new();
    let bounds = bounds_us(sums);
    for (from, to) in bounds.iter().zip(bounds.iter().skip(1)) {
        for (at, sum) in sums.iter().enumerate() {
            let share = share(&sum.count.latency_ns, *from, *to);
            let label = if at == 0 { format!("<{:>8} ms", milliseconds(*to)) } else { " ".repeat(12) };
            text.push_str(&format!("{label}  {:<12}{:>6.2} %  {}\n", sum.name, share * 100.0, bar(share)));
        }
    }
    text
}

/// Steps from 0 over the fastest to above the slowest answer, in microseconds.
fn bounds_us(sums: &[Sum]) -> Vec<f64> {
    let least = sums.iter().map(|sum| micros(&sum.count.latency_ns, 0.0)).fold(f64::INFINITY, f64::min);
    let most = sums.iter().map(|sum| micros(&sum.count.latency_ns, 100.0)).fold(0.0, f64::max);
    if sums.is_empty() || least > most {
        return Vec::new();
    }
    let mut step = least.max(1.0).log2().floor();
    let mut bounds = vec![0.0];
    while bounds.last().is_some_and(|last| *last <= most) {
        step += 1.0;
        bounds.push(step.exp2());
    }
    bounds
}

/// Part of the answers from `from_us` to below `to_us`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn share(latency_ns: &Histogram<u64>, from_us: f64, to_us: f64) -> f64 {
    let inside = latency_ns.iter_recorded().filter(|step| {
        let at_us = step.value_iterated_to() as f64 / 1000.0;
        at_us >= from_us && at_us < to_us
    });
    inside.map(|step| step.count_at_value()).sum::<u64>() as f64 / (latency_ns.len() as f64).max(1.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 30")]
fn bar(share: f64) -> String {
    let length = (share * BAR_MAX as f64).round() as usize;
    if length == 0 && share > 0.0 { "·".into() } else { "█".repeat(length) }
}

#[expect(clippy::cast_precision_loss, reason = "latencies stay far below 2^53 nanoseconds")]
fn micros(latency_ns: &Histogram<u64>, percentile: f64) -> f64 {
    if latency_ns.is_empty() {
        return 0.0;
    }
    latency_ns.value_at_percentile(percentile) as f64 / 1000.0
}

fn milliseconds(us: f64) -> String {
    format!("{:.3}", us / 1000.0)
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(name: &'static str, latencies_us: impl Iterator<Item = u64>) -> Sum {
        let mut count = Count::new().unwrap();
        latencies_us.for_each(|us| count.latency_ns.record(us * 1000).unwrap());
        Sum { name, count, took: Duration::from_secs(2) }
    }

    #[test]
    fn percentiles_are_in_their_units() {
        let sum = sum("match", 1..=1000);
        let value = sum.json();
        for (name, about) in [("p50_us", 500.0), ("p90_us", 900.0), ("p99_us", 990.0), ("max_us", 1000.0)] {
            let got = value[name].as_f64().unwrap();
            assert!((got - about).abs() <= about / 500.0, "{name} {got}");
        }
        assert_eq!(value["per_second"], 500.0);
        assert_eq!(sum.cells()[1], "1,000");
    }

    #[test]
    fn the_plot_shows_every_answer_once() {
        for latencies in [vec![1], vec![0, 7], (1..5000).collect(), vec![100; 50]] {
            let sums = [sum("match", latencies.into_iter())];
            let bounds = bounds_us(&sums);
            let steps = bounds.iter().zip(bounds.iter().skip(1));
            let whole: f64 = steps.map(|(from, to)| share(&sums[0].count.latency_ns, *from, *to)).sum();
            assert!((whole - 1.0).abs() < 1e-9, "{whole} {bounds:?}");
        }
        assert_eq!(plot(&[]), "");
    }
}
