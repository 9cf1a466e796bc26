//! `link`: pairs of the same people between two files, each of which may itself hold somebody twice.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::cli::args::Link;
use crate::cli::fail::Failure;
use crate::cli::offline::{Pair, Run};
use crate::cli::sheet::{Name, Sheet};
use crate::cli::{files, out};

/// Runs the command.
pub(super) fn run(link: &Link, json: bool) -> Result<(), Failure> {
    let left = Sheet::read(&Name::parse(&link.left), &link.offline, None)?;
    let right = Sheet::read(&Name::parse(&link.right), &link.offline, None)?;
    let (left_records, right_records) = (left.chosen_records(), right.chosen_records());
    let run = Run::new(left_records.iter().chain(&right_records).copied(), &link.offline);
    let pairs = run.link(&left_records, &right_records);
    files::write(&link.output, |out| write(out, &left, &right, &pairs))?;
    if link.output == Path::new("-") {
        return Ok(());
    }
    let (left, right) = (left.chosen.len(), right.chosen.len());
    if json {
        return out::json(&json!({"left_records": left, "right_records": right, "pairs": pairs.len()}));
    }
    let mut table = out::table(&["left records", "right records", "pairs"]);
    table.add_row([left, right, pairs.len()].map(|count| out::count(count as u64)).to_vec());
    out::line(&table.to_string())?;
    out::note(&format!("Written: {}", link.output.display()));
    Ok(())
}

/// The contract's three columns, then the ids where both files have them.
fn write(out: &mut dyn Write, left: &Sheet, right: &Sheet, pairs: &[Pair]) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let with_ids = left.has_ids() && right.has_ids();
    let ids: &[&str] = if with_ids { &["left_id", "right_id"] } else { &[] };
    writer.write_record([&["left_index", "right_index", "probability"][..], ids].concat())?;
    for pair in pairs {
        let lines = (left.line_of(pair.left), right.line_of(pair.right));
        let mut row = vec![lines.0.to_string(), lines.1.to_string(), format!("{:.6}", pair.probability)];
        if with_ids {
            row.extend([left.id(lines.0), right.id(lines.1)].map(|id| id.unwrap_or("").to_owned()));
        }
        writer.write_record(row)?;
    }
    writer.flush()
}
