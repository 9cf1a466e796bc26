//! `dedupe`: who in this file is the same person? Clusters, pairs and a page to look at.
//!
//! Clusters are numbered in the order in which the file first shows them, so the same input gives the
//! same output to the byte.

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::args::Dedupe;
use crate::cli::fail::Failure;
use crate::cli::offline::{Pair, Run};
use crate::cli::sheet::{Name, Sheet};
use crate::cli::{files, out, report};
use crate::resolve::batch::BatchResult;

/// Runs the command.
pub(super) fn run(dedupe: &Dedupe, json: bool) -> Result<(), Failure> {
    let name = Name::parse(&dedupe.file);
    let sheet = Sheet::read(&name, &dedupe.offline, None)?;
    let records = sheet.chosen_records();
    let run = Run::new(records.iter().copied(), &dedupe.offline);
    let (batch, _) = run.compare(&records);
    let result = Clustered::new(run.cut(&batch, dedupe.offline.threshold));
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
pub(super) struct Clustered {
    /// The cluster of each record.
    clusters: Vec<u32>,
    /// Records of each cluster.
    pub(super) members: Vec<Vec<u32>>,
    /// Pairs from the review threshold up.
    pub(super) pairs: Vec<Pair>,
    /// How sure each record's place is, 0 to 1: the least sure join that brought it there, 1 when alone.
    confidence: Vec<f32>,
}

impl Clustered {
    fn new(result: BatchResult) -> Self {
        let members = result.members();
        let pairs = result.edges.iter().map(Pair::of_edge).collect();
        Self { clusters: result.cluster_of, members, pairs, confidence: result.confidence }
    }

    /// The cluster of a record.
    pub(super) fn cluster(&self, record: u32) -> u32 {
        self.clusters.get(index(record)).copied().unwrap_or(0)
    }

    /// How sure a record's place is.
    pub(super) fn sure(&self, record: u32) -> f64 {
        f64::from(self.confidence.get(index(record)).copied().unwrap_or(0.0))
    }
}

fn index(small: u32) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}

fn write_clusters(out: &mut dyn Write, sheet: &Sheet, result: &Clustered) -> std::io::Result<()> {
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

fn write_pairs(out: &mut dyn Write, sheet: &Sheet, result: &Clustered) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let with_ids = sheet.has_ids();
    let ids: &[&str] = if with_ids { &["left_id", "right_id"] } else { &[] };
    writer.write_record([&["left_index", "right_index", "probability", "same_cluster"][..], ids].concat())?;
    for pair in &result.pairs {
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

fn summary(sheet: &Sheet, result: &Clustered) -> Value {
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
    use crate::model::key::Millibits;

    #[test]
    fn members_follow_their_clusters() {
        let result = Clustered::new(BatchResult {
            cluster_of: vec![0, 1, 0, 2],
            confidence: vec![0.9, 1.0, 0.9, 1.0],
            edges: vec![(0, 2, Millibits(0))],
            ..BatchResult::default()
        });
        assert_eq!(result.members, [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(result.pairs, [Pair { left: 0, right: 2, probability: 0.5 }]);
        assert_eq!((result.cluster(2), result.cluster(9)), (0, 0));
    }
}
