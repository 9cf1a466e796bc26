//! Small commands that ask a server one thing: `snapshot`, `rotate-key` and `stats`.

use serde_json::{Value, json};

use crate::cli::args::{RotateKey, Server};
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::{keyfile, out};
use crate::host::{OsRandom, RealDisk};

/// `snapshot`: the server writes its state as of now, so that the next start replays less.
pub(super) fn snapshot(server: &Server, json: bool) -> Result<(), Failure> {
    let answer = Client::new(server)?.post("/v1/admin/snapshot", &Value::Object(serde_json::Map::new()))?;
    if json { out::json(&answer) } else { fields(&answer) }
}

/// `rotate-key`: the server changes keys while it runs. A new key file is made here, so run it on the server's machine.
pub(super) fn rotate_key(rotate: &RotateKey, json: bool) -> Result<(), Failure> {
    let client = Client::new(&rotate.server)?;
    let body = match &rotate.new_key_file {
        Some(path) => {
            let path = std::path::absolute(path)
                .map_err(|error| Failure::input(format!("{} is no path: {error}", path.display())))?;
            keyfile::ensure(&RealDisk, &OsRandom, &path)?;
            json!({"new_key_file": path})
        }
        None if rotate.from_command => json!({"from_command": true}),
        None => json!({"tenant": rotate.server.tenant}),
    };
    let answer = client.post("/v1/admin/rotate-key", &body)?;
    if json { out::json(&answer) } else { fields(&answer) }
}

/// `stats`: what a tenant holds.
pub(super) fn stats(server: &Server, json: bool) -> Result<(), Failure> {
    let client = Client::new(server)?;
    let answer = client.get(&client.of_tenant("stats"))?;
    if json { out::json(&answer) } else { fields(&answer) }
}

/// An object as a table of two columns; nested objects open out with a dot.
pub(super) fn fields(value: &Value) -> Result<(), Failure> {
    let mut table = out::fields();
    rows(&mut table, "", value);
    out::line(&table.to_string())
}

fn rows(table: &mut comfy_table::Table, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                rows(table, &name, inner);
            }
        }
        Value::Number(number) => {
            let text = number.as_u64().map_or_else(|| number.to_string(), out::count);
            table.add_row(vec![name.to_owned(), text]);
        }
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => {
            table.add_row(vec![name.to_owned(), out::clean(text)]);
        }
        Value::Null | Value::Bool(_) | Value::Array(_) => {
            table.add_row(vec![name.to_owned(), out::clean(&value.to_string())]);
        }
    }
}
