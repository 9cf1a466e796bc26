//! `evaluate --report`: the figures as one HTML page with plots, without scripts or outside assets.
//!
//! It shows the same JSON value that `--json` prints, so that no figure can differ. It holds personal data: the
//! records of the worst errors.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::Value;

use super::plot::{Axis, Plot, step, ticks};
use super::text;
use crate::cli::report::{STYLE, escape};
use crate::cli::waterfall::{self, signed};

const MORE_STYLE: &str = ".plot{max-width:34em;width:100%;display:block}td svg{display:block}figure{margin:0 0 2em}\
.sum td{font-weight:bold}";

/// Colours of true and of false pairs.
const TRUE: &str = "#2471a3";
const FALSE: &str = "#c0392b";

/// Writes the page.
pub(super) fn write(out: &mut dyn Write, title: &str, figures: &Value) -> std::io::Result<()> {
    let title = escape(title);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>selfsame: {title}</title>\
         <style>{STYLE}{MORE_STYLE}</style><h1>How well {title} was resolved</h1><p>This page holds personal data."
    );
    html.push_str(&scores(figures));
    html.push_str(&counts(figures));
    for part in [curve, histogram, calibration, marks, thresholds, errors] {
        html.push_str(&part(figures).unwrap_or_default());
    }
    html.push_str("</html>\n");
    out.write_all(html.as_bytes())
}

/// A table of text.
fn table(header: &[&str], lines: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut html = String::from("<table><tr>");
    for name in header {
        let _ = write!(html, "<th>{}", escape(name));
    }
    for line in lines {
        html.push_str("<tr>");
        for (at, cell) in line.iter().enumerate() {
            let _ = write!(html, "<td{}>{}", if at == 0 { "" } else { " class=n" }, escape(cell));
        }
    }
    html + "</table>"
}

fn scores(figures: &Value) -> String {
    let lines = text::SCORES.iter().filter_map(|score| text::score_line(*score, figures));
    table(&["", "precision", "recall", "F1"], lines)
}

fn counts(figures: &Value) -> String {
    let line =
        |(name, place): &(&str, &str)| Some(vec![(*name).to_owned(), figures.pointer(place).and_then(text::figure)?]);
    table(&["", ""], text::COUNTS.iter().filter_map(line))
}

fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

fn lines<'a>(figures: &'a Value, place: &str) -> Option<&'a Vec<Value>> {
    figures.pointer(place).and_then(Value::as_array).filter(|lines| !lines.is_empty())
}

/// Ticks of a share, in tenths.
fn tenths() -> Vec<(f64, String)> {
    ticks(0, 10, 2, |tenth| (f64::from(tenth) / 10.0, format!("{:.1}", f64::from(tenth) / 10.0)))
}

/// Precision over recall: pairs alone at every weight, and contacts at the thresholds of the table.
fn curve(figures: &Value) -> Option<String> {
    let points = lines(figures, "/pair_curve")?;
    let ticks = tenths();
    let axis = |title| Axis { title, from: 0.0, to: 1.0, ticks: &ticks };
    let mut plot = Plot::new("precision over recall", axis("recall over all true pairs"), axis("precision"));
    let at = |point: &Value| (number(point, "recall"), number(point, "precision"));
    plot.line(&points.iter().map(at).collect::<Vec<_>>(), &format!("stroke=\"{TRUE}\" stroke-width=2"));
    let best = figures.pointer("/best_threshold/threshold");
    for line in lines(figures, "/thresholds").into_iter().flatten() {
        let Some(score) = line.get("pairwise") else { continue };
        let fill = if line.get("threshold") == best { FALSE } else { "#f5b041" };
        let said = format!("threshold {}: {}", number(line, "threshold"), text::cells(score).join(" "));
        plot.dot(at(score), &format!("fill=\"{fill}\""), &said);
    }
    Some(format!(
        "<h2>Precision and recall</h2><figure>{}<figcaption>Line: pairs from a weight up, before clustering. Dots: contacts at \
         the thresholds of the table; red is the best.</figcaption></figure>",
        plot.finish()
    ))
}

/// How many true and false pairs there are of each weight, on a logarithmic scale.
fn histogram(figures: &Value) -> Option<String> {
    let bins = lines(figures, "/weight_histogram")?;
    let filled = || bins.iter().filter(|bin| number(bin, "true") + number(bin, "false") > 0.0);
    let from = filled().map(|bin| number(bin, "bits")).reduce(f64::min)?;
    let to = filled().map(|bin| number(bin, "bits") + 1.0).reduce(f64::max)?;
    let height = |count: f64| (1.0 + count).log10();
    let most = filled().map(|bin| height(number(bin, "true").max(number(bin, "false")))).fold(1.0, f64::max);
    let across = ticks(-100, 100, 10, |bits| (f64::from(bits), bits.to_string()));
    let across: Vec<_> = across.into_iter().filter(|(bits, _)| (from..=to).contains(bits)).collect();
    let up = ticks(0, 9, 1, |power| (height(10_f64.powi(power)), format!("{}", 10_f64.powi(power))));
    let up: Vec<_> = up.into_iter().filter(|(share, _)| *share <= most).collect();
    let x = Axis { title: "match weight, bits", from, to, ticks: &across };
    let y = Axis { title: "candidate pairs", from: 0.0, to: most, ticks: &up };
    let mut plot = Plot::new("histogram of match weights", x, y);
    for (name, colour) in [("false", FALSE), ("true", TRUE)] {
        for bin in filled().filter(|bin| number(bin, name) > 0.0) {
            let (bits, count) = (number(bin, "bits"), number(bin, name));
            let style = format!("fill=\"{colour}\" fill-opacity=\".55\"");
            plot.bar((bits, bits + 1.0), height(count), &style, &format!("{bits} bits: {count} {name} pairs"));
        }
    }
    Some(format!(
        "<h2>Match weights</h2><figure>{}<figcaption>Candidate pairs without a veto by weight: true ones blue, false ones \
         red. The scale is logarithmic; the ends hold what lies beyond.</figcaption></figure>",
        plot.finish()
    ))
}

/// What was predicted against what was observed.
fn calibration(figures: &Value) -> Option<String> {
    let bins = lines(figures, "/calibration/bins")?;
    let ticks = tenths();
    let axis = |title| Axis { title, from: 0.0, to: 1.0, ticks: &ticks };
    let mut plot = Plot::new("reliability", axis("predicted probability"), axis("observed share of true pairs"));
    plot.line(&[(0.0, 0.0), (1.0, 1.0)], "stroke=\"#999\" stroke-dasharray=\"4 4\"");
    let at = |bin: &Value| (number(bin, "predicted"), number(bin, "observed"));
    plot.line(&bins.iter().map(at).collect::<Vec<_>>(), &format!("stroke=\"{TRUE}\" stroke-width=2"));
    for bin in bins {
        plot.dot(at(bin), &format!("fill=\"{TRUE}\""), &text::bin_line(bin).join(", "));
    }
    let said = figures.get("calibration").map(text::calibration_line).unwrap_or_default();
    let lines = bins.iter().map(text::bin_line);
    Some(format!(
        "<h2>Calibration</h2><p>{}</p><figure>{}<figcaption>On the dashed line a probability means what it says; above it \
         the model is too careful, below it too sure.</figcaption></figure>{}",
        escape(&said),
        plot.finish(),
        table(&["probability", "predicted", "observed", "pairs"], lines)
    ))
}

fn marks(figures: &Value) -> Option<String> {
    let marks = lines(figures, "/recall_by_mark")?;
    let table = table(&["mark on either record", "true pairs", "recall"], marks.iter().map(text::mark_line));
    Some(format!("<h2>Recall by mark</h2>{table}"))
}

fn thresholds(figures: &Value) -> Option<String> {
    let lines = lines(figures, "/thresholds")?;
    let line = |line: &Value| {
        let scores = ["pairwise", "b_cubed"].iter().filter_map(|name| line.get(*name)).flat_map(text::cells);
        [number(line, "threshold").to_string()].into_iter().chain(scores).collect()
    };
    let header = ["threshold", "precision", "recall", "F1", "B-cubed P", "B-cubed R", "B-cubed F1"];
    let columns = if lines.iter().any(|line| line.get("b_cubed").is_some()) { 7 } else { 4 };
    let table = table(header.get(..columns).unwrap_or_default(), lines.iter().map(line));
    Some(format!("<h2>Thresholds</h2>{table}"))
}

fn errors(figures: &Value) -> Option<String> {
    let mut html = String::new();
    for (name, title) in text::ERRORS {
        let Some(errors) = lines(figures, &format!("/{name}")) else { continue };
        let _ = write!(html, "<h2>{title}</h2>");
        for error in errors {
            let _ = write!(html, "<h3>{}</h3>{}", escape(&text::error_line(error)), records(error));
            html.push_str(&waterfall_of(error).unwrap_or_default());
        }
    }
    Some(html)
}

/// Both records, field by field.
fn records(error: &Value) -> String {
    let fields = |side: &str| error.get(side).and_then(|side| side.get("fields")).and_then(Value::as_object);
    let (left, right) = (fields("left"), fields("right"));
    let names: std::collections::BTreeSet<&String> =
        [left, right].into_iter().flatten().flat_map(|f| f.keys()).collect();
    let cell = |side: Option<&serde_json::Map<String, Value>>, name: &String| {
        side.and_then(|side| side.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut html = String::from("<table><tr><th>field<th>left<th>right");
    for name in names {
        let (left, right) = (escape(&cell(left, name)), escape(&cell(right, name)));
        let _ = write!(html, "<tr><td>{}<td>{left}<td>{right}", escape(name));
    }
    html + "</table>"
}

/// A pair's weight, one bar a comparison, from the prior to the sum.
fn waterfall_of(error: &Value) -> Option<String> {
    let parts = error.get("explanation").and_then(Value::as_array)?;
    let prior = number(error, "prior_bits");
    let mut sums = vec![0.0, prior];
    for part in parts {
        sums.push(sums.last().copied().unwrap_or(0.0) + number(part, "weight_bits"));
    }
    let scale = sums.iter().fold((0.0_f64, 1.0_f64), |(low, high), sum| (low.min(*sum), high.max(*sum)));
    let mut html = String::from("<table><tr><th>comparison<th>level<th>bits<th>sum<th><th>left<th>right");
    let mut add = |names: [String; 4], ends: (f64, f64), class: &str| {
        let [comparison, level, left, right] = names.map(|name| escape(&name));
        let _ = write!(
            html,
            "<tr{class}><td>{comparison}<td>{level}<td class=n>{}<td class=n>{}<td>{}<td>{left}<td>{right}",
            signed(ends.1 - ends.0),
            signed(ends.1),
            step(scale, ends.0, ends.1)
        );
    };
    add(["prior".into(), "any two records".into(), String::new(), String::new()], (0.0, prior), "");
    for (part, ends) in parts.iter().zip(sums.iter().skip(1).zip(sums.iter().skip(2))) {
        add(["comparison", "level", "left", "right"].map(|name| waterfall::text(part, name)), (*ends.0, *ends.1), "");
    }
    let sum = sums.last().copied().unwrap_or(0.0);
    add(["sum".into(), String::new(), String::new(), String::new()], (0.0, sum), " class=sum");
    Some(html + "</table>")
}
