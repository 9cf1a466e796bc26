//! `train`: a running server learns from a tenant's own records. The command begins it, waits, shows what was learned,
//! and on request what it would do, or lets it decide.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::args::Train;
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::cli::waterfall::{signed, text};

/// Milliseconds between two looks at a running training.
const POLL_MS: u64 = 300;

/// Runs the command.
pub(super) fn run(train: &Train, json: bool) -> Result<(), Failure> {
    let client = Client::new(&train.server)?;
    let model = match &train.model {
        Some(id) => client.get(&client.of_tenant(&format!("models/{}", checked(id)?)))?,
        None => trained(&client)?,
    };
    let mut answer = json!({ "model": model });
    let ready = matches!(text(&model, "status").as_str(), "ready" | "retired" | "active");
    let path = |what: &str| client.of_tenant(&format!("models/{}/{what}", text(&model, "id")));
    if ready && train.preview {
        put(&mut answer, "preview", client.post(&path("preview"), &json!({}))?);
    }
    if ready && train.activate {
        let activated = client.post(&path("activate"), &json!({}))?;
        put(&mut answer, "model", activated.get("model").cloned().unwrap_or_default());
        put(&mut answer, "contacts_changed", activated.get("contacts_changed").cloned().unwrap_or_default());
    }
    if json {
        out::json(&answer)?;
    } else {
        show(&answer, train)?;
    }
    if ready {
        return Ok(());
    }
    Err(Failure::failed(format!("no model: {}", text(&model, "reason"))))
}

/// An id as it goes into a path.
fn checked(id: &str) -> Result<&str, Failure> {
    match id.parse::<crate::model::ids::ModelId>() {
        Ok(_) => Ok(id),
        Err(_) => Err(Failure::input(format!("--model {}: give an id from GET models, or default", out::clean(id)))),
    }
}

/// Begins a training and waits for its end.
fn trained(client: &Client) -> Result<Value, Failure> {
    let begun = client.post(&client.of_tenant("train"), &json!({}))?;
    let path = client.of_tenant(&format!("models/{}", text(&begun, "id")));
    out::note(&format!("Training on {} records...", count(&begun, "records")));
    loop {
        let model = client.get(&path)?;
        if text(&model, "status") != "training" {
            return Ok(model);
        }
        std::thread::sleep(Duration::from_millis(POLL_MS));
    }
}

fn put(answer: &mut Value, field: &str, value: Value) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn count(value: &Value, field: &str) -> String {
    out::count(value.get(field).and_then(Value::as_u64).unwrap_or(0))
}

fn bits(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_f64).map_or_else(String::new, signed)
}

/// The answer for a person to read.
fn show(answer: &Value, train: &Train) -> Result<(), Failure> {
    let none = Value::Null;
    let model = answer.get("model").unwrap_or(&none);
    out::line(&format!("Model {}: {}", text(model, "id"), text(model, "status")))?;
    if model.get("records_max").is_some_and(Value::is_u64) {
        let (before, now, rise) =
            (bits(model, "prior_bits_before"), bits(model, "prior_bits"), bits(model, "duplication_bits"));
        let rise = if rise.is_empty() { rise } else { format!(", {rise} of it because the records repeat people") };
        let before = if before.is_empty() { before } else { format!("{before} -> ") };
        out::line(&format!("Prior {before}{now} bits{rise}; for up to {} records", count(model, "records_max")))?;
    }
    show_levels(model)?;
    if let Some(calibration) = model.get("calibration").filter(|value| value.is_object()) {
        out::line(&format!("Calibration: {}", text(calibration, "note")))?;
    }
    if let Some(preview) = answer.get("preview") {
        show_preview(preview)?;
    }
    match (answer.get("contacts_changed").and_then(Value::as_u64), text(model, "status").as_str()) {
        (Some(changed), _) => out::line(&format!("It decides now: {} contacts changed", out::count(changed))),
        (None, "ready" | "retired") => {
            let look = if train.preview { "" } else { "--preview, or " };
            out::note(&format!(
                "Nothing changed yet. Next: `selfsame train --model {} {look}--activate`; `--model default --activate` goes back",
                text(model, "id")
            ));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

fn show_levels(model: &Value) -> Result<(), Failure> {
    let levels = model.get("levels").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if levels.is_empty() {
        return Ok(());
    }
    let mut table = out::table(&["comparison", "level", "bits before", "bits now", "gained", "seen", ""]);
    for level in levels {
        let held = level.get("clamped").and_then(Value::as_bool).unwrap_or(false);
        let seen = level.get("seen").and_then(Value::as_f64).unwrap_or(0.0);
        table.add_row(vec![
            text(level, "comparison"),
            text(level, "level"),
            bits(level, "bits_before"),
            bits(level, "bits"),
            bits(level, "bits_gained"),
            format!("{seen:.0}"),
            if held { "held at no evidence".into() } else { String::new() },
        ]);
    }
    for column in 2..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    out::line(&table.to_string())
}

fn show_preview(preview: &Value) -> Result<(), Failure> {
    let part = |field: &str, inner: &str| {
        let value = preview.get(field).and_then(|value| value.get(inner)).and_then(Value::as_u64);
        out::count(value.unwrap_or(0))
    };
    let mut table = out::table(&["", "now", "then"]);
    for field in ["contacts", "reviews"] {
        table.add_row(vec![field.to_owned(), part(field, "now"), part(field, "then")]);
    }
    out::line(&table.to_string())?;
    out::line(&format!(
        "{} contacts would be made of several, {} would come apart, {} stay; {} reviews opened, {} closed",
        part("merge", "count"),
        part("split", "count"),
        part("stay", "count"),
        part("reviews_opened", "count"),
        part("reviews_closed", "count")
    ))
}
