//! `dedupe`: who in this file is the same person? Clusters, pairs and a page to look at.
//!
//! Clusters are numbered in the order in which the file first shows them, so the same input gives the
//! same output to the byte.

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::args::Dedupe;
use crate::cli::fail::Failure;
use crate::cli::offline::{Pair, Scored};
use crate::cli::sheet::{Name, Sheet};
use crate::cli::{files, out, report};

/// Runs the command.
pub(super) fn run(dedupe: &Dedupe, json: bool) -> Result<(), Failure> {
    let name = Name::parse(&dedupe.file);
    let sheet = Sheet::read(&name, &dedupe.offline, None)?;
    let scored = Scored::new(&sheet.chosen_records(), &dedupe.offline);
    let clusters = scored.clusters(dedupe.offline.threshold);
    let result = Clustered::new(&clusters, scored.pairs());
    files::write(&dedupe.output, |out| write_clusters(out, &sheet, &result))?;
    if let Some(path) = &dedupe.pairs {
        files::write(path, |out| write_pairs(out, &sheet, &result))?;
    }
    if let Some(path) = &dedupe.report {
        files::write(path, |out| report::write(out, &name.path.display().to_string(), &sheet, &result))?;
    }
    let summary = summary(&sheet, &result);
    if dedupe.output == std::path::Path::new("-") {
        return Ok(());
    }
    if json { out::json(&summary) } else { show(dedupe, &summary) }
}

/// Clusters, and how sure each place in one is.
pub(super) struct Clustered<'a> {
    /// The cluster of each record.
    pub(super) clusters: &'a [u32],
    /// Records of each cluster.
    pub(super) members: Vec<Vec<u32>>,
    /// Pairs from the review threshold up.
    pub(super) pairs: &'a [Pair],
    /// How sure each record's place is, 0 to 1.
    pub(super) confidence: Vec<f64>,
}

impl<'a> Clustered<'a> {
    fn new(clusters: &'a [u32], pairs: &'a [Pair]) -> Self {
        let count = clusters.iter().max().map_or(0, |most| index(*most) + 1);
        let mut members = vec![Vec::new(); count];
        for (cluster, record) in clusters.iter().zip(0..) {
            if let Some(list) = members.get_mut(index(*cluster)) {
                list.push(record);
            }
        }
        let confidence = confidence(clusters, &members, pairs);
        Self { clusters, members, pairs, confidence }
    }

    /// The cluster of a record.
    pub(super) fn cluster(&self, record: u32) -> u32 {
        self.clusters.get(index(record)).copied().unwrap_or(0)
    }

    /// How sure a record's place is.
    pub(super) fn sure(&self, record: u32) -> f64 {
        self.confidence.get(index(record)).copied().unwrap_or(0.0)
    }
}

/// In a cluster: the strongest probability that ties the record to another member (one half when it
/// got there by the company it keeps). Alone: one minus the strongest probability to anybody.
fn confidence(clusters: &[u32], members: &[Vec<u32>], pairs: &[Pair]) -> Vec<f64> {
    let mut within = vec![0.5_f64; clusters.len()];
    let mut beyond = vec![0.0_f64; clusters.len()];
    for pair in pairs {
        let same = clusters.get(index(pair.left)) == clusters.get(index(pair.right));
        let best = if same { &mut within } else { &mut beyond };
        for side in [pair.left, pair.right] {
            if let Some(slot) = best.get_mut(index(side)) {
                *slot = slot.max(pair.probability);
            }
        }
    }
    let alone = |cluster: u32| members.get(index(cluster)).is_none_or(|list| list.len() < 2);
    let sides = within.into_iter().zip(beyond);
    clusters
        .iter()
        .zip(sides)
        .map(|(cluster, (within, beyond))| if alone(*cluster) { 1.0 - beyond } else { within })
        .collect()
}

pub(super) fn index(small: u32) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}

fn write_clusters(out: &mut dyn Write, sheet: &Sheet, result: &Clustered<'_>) -> std::io::Result<()> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(out);
    let own = ["cluster_id", "record_index", "confidence"].map(str::to_owned);
    writer.write_record(own.iter().chain(&sheet.header))?;
    for (record, line) in (0..).zip(&sheet.chosen) {
        let own = [result.cluster(record).to_string(), line.to_string(), format!("{:.4}", result.sure(record))];
        let cells = sheet.cells.get(*line).map_or(&[][..], Vec::as_slice);
        writer.write_record(own.iter().chain(cells))?;
    }
    writer.flush()
}

fn write_pairs(out: &mut dyn Write, sheet: &Sheet, result: &Clustered<'_>) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let with_ids = sheet.has_ids();
    let ids: &[&str] = if with_ids { &["left_id", "right_id"] } else { &[] };
    writer.write_record([&["left_index", "right_index", "probability", "same_cluster"][..], ids].concat())?;
    for pair in result.pairs {
        let (left, right) = (sheet.line_of(pair.left), sheet.line_of(pair.right));
        let same = result.cluster(pair.left) == result.cluster(pair.right);
        let mut row = vec![left.to_string(), right.to_string(), format!("{:.6}", pair.probability), same.to_string()];
        if with_ids {
            row.extend([left, right].map(|line| sheet.id(line).unwrap_or("").to_owned()));
        }
        writer.write_record(row)?;
    }
    writer.flush()
}

fn summary(sheet: &Sheet, result: &Clustered<'_>) -> Value {
    let several = result.members.iter().filter(|list| list.len() > 1).count();
    let largest = result.members.iter().map(Vec::len).max().unwrap_or(0);
    json!({
        "records": sheet.chosen.len(), "clusters": result.members.len(), "clusters_of_several": several,
        "largest_cluster": largest, "pairs": result.pairs.len(),
    })
}

fn show(dedupe: &Dedupe, summary: &Value) -> Result<(), Failure> {
    let mut table = out::table(&["records", "clusters", "of several", "largest", "pairs seen"]);
    let cell = |name: &str| out::count(summary.get(name).and_then(Value::as_u64).unwrap_or(0));
    table.add_row(["records", "clusters", "clusters_of_several", "largest_cluster", "pairs"].map(cell).to_vec());
    out::line(&table.to_string())?;
    out::note(&format!("Written: {}", dedupe.output.display()));
    for path in [&dedupe.pairs, &dedupe.report].into_iter().flatten() {
        out::note(&format!("Written: {}", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_speaks_of_the_place() {
        let pairs = [
            Pair { left: 0, right: 1, probability: 0.9 },
            Pair { left: 1, right: 2, probability: 0.6 },
            Pair { left: 2, right: 3, probability: 0.7 },
        ];
        let result = Clustered::new(&[0, 0, 0, 1, 2], &pairs);
        let sure: Vec<f64> = (0..5).map(|record| result.sure(record)).collect();
        assert_eq!(sure[..3], [0.9, 0.9, 0.6]);
        assert!((sure[3] - 0.3).abs() < 1e-12);
        assert_eq!(sure[4], 1.0);
        assert_eq!(result.members, [vec![0, 1, 2], vec![3], vec![4]]);
    }
}
