//! `match`: who is this contact? The answers as a table, the evidence as a waterfall.

use serde_json::{Map, Value, json};

use crate::cli::args::Ask;
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::cli::waterfall::{self, text};

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
        explain(at, candidate)?;
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

/// What speaks for and against one answer.
fn explain(at: usize, candidate: &Value) -> Result<(), Failure> {
    let score = candidate.get("score").and_then(Value::as_f64).unwrap_or(0.0);
    let Some(table) = waterfall::table(candidate, score, ["asked", "known"]) else { return Ok(()) };
    let name = candidate.get("contact").map_or_else(String::new, |contact| text(contact, "canonical_name"));
    let key = text(candidate, "match_key");
    out::line(&format!("\n{}. {name}  {key}", at + 1))?;
    out::line(&table.to_string())
}
