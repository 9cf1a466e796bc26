//! `keys`: who may use a running server. A secret is printed when it is made and never again.

use serde_json::{Value, json};

use crate::cli::args::{Keys, KeysCreate, KeysRevoke, KeysRotate, Server};
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::cli::remote::fields;
use crate::model::access::ApiKey;

/// Where the calls are.
const PATH: &str = "/v1/admin/keys";

/// Runs the command.
pub(super) fn run(keys: &Keys, json: bool) -> Result<(), Failure> {
    match keys {
        Keys::List(server) => list(server, json),
        Keys::Create(create) => show(&made(create)?, json),
        Keys::Rotate(rotate) => show(&rotated(rotate)?, json),
        Keys::Revoke(revoke) => show(&revoked(revoke)?, json),
    }
}

fn show(answer: &Value, json: bool) -> Result<(), Failure> {
    if json { out::json(answer) } else { fields(answer) }
}

fn list(server: &Server, json: bool) -> Result<(), Failure> {
    let answer = Client::new(server)?.get(PATH)?;
    if json {
        return out::json(&answer);
    }
    let mut table = out::table(&["id", "roles", "tenants", "status", "last used", "expires", "label", "origin"]);
    for key in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
        let text = |field: &str| key.get(field).and_then(Value::as_str).map(out::clean).unwrap_or_default();
        let many = |field: &str| {
            let all = key.get(field).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).map(out::clean).collect::<Vec<_>>().join(" ")
        };
        table.add_row(vec![
            text("id"),
            many("roles"),
            many("tenants"),
            text("status"),
            text("last_used_at"),
            text("expires_at"),
            text("label"),
            text("origin"),
        ]);
    }
    out::line(&table.to_string())
}

fn made(create: &KeysCreate) -> Result<Value, Failure> {
    let mut body = json!({"roles": create.role, "tenants": create.on, "create_tenants": create.create_tenants});
    for (field, value) in [
        ("label", create.label.as_ref().map(|text| json!(text))),
        ("principal", create.principal.as_ref().map(|text| json!(text))),
        ("requests_per_second", create.requests_per_second.map(|number| json!(number))),
        ("burst", create.burst.map(|number| json!(number))),
        ("expires_at", create.expires_at.as_ref().map(|text| json!(text))),
    ] {
        if let (Some(value), Some(fields)) = (value, body.as_object_mut()) {
            fields.insert(field.to_owned(), value);
        }
    }
    Client::new(&create.server)?.post(PATH, &body)
}

fn rotated(rotate: &KeysRotate) -> Result<Value, Failure> {
    let path = format!("{PATH}/{}/rotate", checked(&rotate.id)?);
    Client::new(&rotate.server)?.post(&path, &json!({"overlap_hours": rotate.overlap_hours}))
}

fn revoked(revoke: &KeysRevoke) -> Result<Value, Failure> {
    Client::new(&revoke.server)?.delete(&format!("{PATH}/{}", checked(&revoke.id)?))
}

/// An id as it goes into a path. Somebody who gives the whole key gets told before it is sent anywhere.
fn checked(id: &str) -> Result<&str, Failure> {
    if ApiKey::is_id(id) {
        return Ok(id);
    }
    Err(Failure::input("give the key's id as `selfsame keys list` shows it, not the whole key"))
}
