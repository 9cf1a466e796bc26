//! `match`: who is this contact? The answers as a table, the evidence as a waterfall.

use serde_json::{Map, Value, json};

use crate::cli::args::Ask;
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;

/// Characters of the longest bar.
const BAR_MAX: usize = 24;

/// Bits that fill the longest bar.
const BAR_BITS: f64 = 24.0;

/// Runs the command.
pub(super) fn run(ask: &Ask, json: bool) -> Result<(), Failure> {
    let contact = contact(ask)?;
    let client = Client::new(&ask.server)?;
    let explain = if ask.explain { "full" } else { "none" };
    let query = json!({
        "contact": contact, "limit": ask.limit, "threshold": ask.threshold, "explain": explain,
    });
    let answer = client.post(&client.of_tenant("contacts:match"), &query)?;
    if json {
        return out::json(&answer);
    }
    show(&answer)
}

/// The options as a contact record.
fn contact(ask: &Ask) -> Result<Value, Failure> {
    let mut record = Map::new();
    let mut put = |field: &str, value: Option<&String>| {
        if let Some(value) = value {
            record.insert(field.into(), Value::String(value.clone()));
        }
    };
    put("name", ask.name.as_ref());
    put("organization", ask.organization.as_ref());
    put("job_title", ask.job_title.as_ref());
    put("birthday", ask.birthday.as_ref());
    let values = |list: &[String]| list.iter().map(|value| json!({ "value": value })).collect::<Vec<_>>();
    if !ask.email.is_empty() {
        record.insert("emails".into(), values(&ask.email).into());
    }
    if !ask.phone.is_empty() {
        record.insert("phones".into(), values(&ask.phone).into());
    }
    let address: Map<String, Value> =
        [("city", &ask.city), ("postal_code", &ask.postal_code), ("country", &ask.country)]
            .into_iter()
            .filter_map(|(field, value)| value.clone().map(|value| (field.into(), value.into())))
            .collect();
    if !address.is_empty() {
        record.insert("addresses".into(), json!([address]));
    }
    if record.is_empty() {
        return Err(Failure::input("say whom to look for: a name, --phone, --email or --organization"));
    }
    Ok(Value::Object(record))
}

/// The answer for a person to read.
fn show(answer: &Value) -> Result<(), Failure> {
    let candidates = answer.get("candidates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    out::line(&format!("Decision: {}", decision(answer)))?;
    if candidates.is_empty() {
        return Ok(());
    }
    let mut table = out::table(&["#", "score", "grade", "name", "email", "phone", "organization", "contact id"]);
    for (at, candidate) in candidates.iter().enumerate() {
        table.add_row(line(at, candidate));
    }
    out::line(&table.to_string())?;
    if answer.get("truncated").and_then(Value::as_bool) == Some(true) {
        out::note("There are more; a bound cut the list off.");
    }
    for (at, candidate) in candidates.iter().enumerate() {
        waterfall(at, candidate)?;
    }
    Ok(())
}

fn decision(answer: &Value) -> &'static str {
    match answer.get("decision").and_then(Value::as_str) {
        Some("match") => "match: an upsert would join the first of these",
        Some("review") => "review: an upsert would make a new contact and ask a person",
        _ => "no match: an upsert would make a new contact",
    }
}

fn line(at: usize, candidate: &Value) -> Vec<String> {
    let contact = candidate.get("contact").unwrap_or(&Value::Null);
    let first = |list: &str| {
        let entry = contact.get(list).and_then(Value::as_array).and_then(|values| values.first());
        entry.map_or_else(String::new, |value| text(value, "value"))
    };
    vec![
        (at + 1).to_string(),
        candidate.get("score").and_then(Value::as_f64).map_or_else(String::new, |score| format!("{score:.4}")),
        text(candidate, "grade"),
        text(contact, "canonical_name"),
        first("emails"),
        first("phones"),
        text(contact, "organization"),
        text(candidate, "contact_id"),
    ]
}

/// What speaks for and against, one bar a comparison, from the prior to the sum.
fn waterfall(at: usize, candidate: &Value) -> Result<(), Failure> {
    let Some(parts) = candidate.get("explanation").and_then(Value::as_array) else { return Ok(()) };
    let total = candidate.get("weight_bits").and_then(Value::as_f64).unwrap_or(0.0);
    let bits = |part: &Value| part.get("weight_bits").and_then(Value::as_f64).unwrap_or(0.0);
    let is_prior = |part: &Value| part.get("comparison").and_then(Value::as_str) == Some("prior");
    let mut table = out::table(&["comparison", "level", "bits", "against < | > for", "asked", "known"]);
    if !parts.iter().any(is_prior) {
        let prior = total - parts.iter().map(bits).sum::<f64>();
        table.add_row(vec![
            "prior".into(),
            "any two records".into(),
            signed(prior),
            bar(prior),
            String::new(),
            String::new(),
        ]);
    }
    for part in parts {
        let weight = bits(part);
        table.add_row(vec![
            text(part, "comparison"),
            text(part, "level"),
            signed(weight),
            bar(weight),
            text(part, "left"),
            text(part, "right"),
        ]);
    }
    let score = candidate.get("score").and_then(Value::as_f64).unwrap_or(0.0);
    table.add_row(vec![
        "sum".into(),
        format!("score {score:.4}"),
        signed(total),
        bar(total),
        String::new(),
        String::new(),
    ]);
    align_bits(&mut table);
    let name = candidate.get("contact").map_or_else(String::new, |contact| text(contact, "canonical_name"));
    let key = text(candidate, "match_key");
    out::line(&format!("\n{}. {name}  {key}", at + 1))?;
    out::line(&table.to_string())
}

fn align_bits(table: &mut comfy_table::Table) {
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
}

fn signed(bits: f64) -> String {
    format!("{bits:+.2}")
}

/// A bar that grows with the bits: `<<<<` against, `>>>>` for.
fn bar(bits: f64) -> String {
    let share = if bits.is_nan() { 0.0 } else { (bits.abs() / BAR_BITS).min(1.0) };
    let cells = (1..=BAR_MAX).filter(|cell| as_f64(*cell) <= (share * as_f64(BAR_MAX)).round()).count();
    (if bits < 0.0 { "<" } else { ">" }).repeat(cells)
}

fn as_f64(small: usize) -> f64 {
    f64::from(u32::try_from(small).unwrap_or(u32::MAX))
}

/// A field as safe text; an array as its parts, everything else as JSON.
fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => out::clean(text),
        Some(Value::Array(parts)) => {
            let parts: Vec<String> =
                parts.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
            out::clean(&parts.join(", "))
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => out::clean(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_evidence() {
        for (bits, text) in [(0.0, ""), (3.0, ">>>"), (-2.2, "<<"), (-0.2, "")] {
            assert_eq!(bar(bits), text, "{bits}");
        }
        assert_eq!(bar(1000.0).len(), BAR_MAX);
        assert_eq!(bar(f64::NAN), "");
    }
}
