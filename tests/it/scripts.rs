//! Golden scripts in `tests/scripts`: a few calls to a real server and what they leave, readable as documentation.
//!
//! `UPDATE_GOLDENFILES=1 cargo test --test it scripts` writes what the scripts give now; read the difference before it is
//! committed. At the end of each script the server is killed and started again, first from the journal alone and then from
//! a snapshot: all contacts, histories and reviews must be the same.
//!
//! A line is `> COMMAND ARGUMENTS`. Contacts are `c1`, `c2` in the order in which the script meets them, reviews `r1`...
//!
//! - `put JSON`: upserts one record.
//! - `settings JSON`: replaces the settings.
//! - `patch C JSON`, `delete SOURCE ID`, `merge C C`, `undo`: the newest merge.
//! - `show C [FIELD...]`: values with rule and source; without fields everything that has a value.
//! - `history C FIELD`: what the field was, and why.
//! - `reviews [QUERY]`: the queue. `answer R DECISION [REASON]`, `note R JSON`, `decide JSON`.
//! - `feed`: what changed since the last `feed`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use goldenscript::{Command, Runner};
use serde_json::{Value, json};

use crate::server::{Server, call, folder};

type Answer = Result<String, Box<dyn Error>>;

struct Script {
    home: tempfile::TempDir,
    server: Option<Server>,
    contacts: Vec<String>,
    reviews: Vec<String>,
    feed: String,
}

impl Script {
    fn new() -> Self {
        let home = folder();
        let server = Some(Server::start(&home.path().join("data")));
        Self { home, server, contacts: Vec::new(), reviews: Vec::new(), feed: String::new() }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Status and answer of a call on tenant `main`.
    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/tenants/main/{path}") };
        let (media, body) = if body.is_null() { ("", String::new()) } else { ("application/json", body.to_string()) };
        let (status, answer) = call(self.server().address(), method, &path, media, body.as_bytes()).unwrap();
        (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// The same; a problem is an error with status, code, field and detail.
    fn good(&self, method: &str, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let (status, answer) = self.call(method, path, body);
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let word = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
        Err(self.short(&format!("{status} {}: {}: {}", word("code"), word("field"), word("detail"))).into())
    }

    /// The short name of an id; a new one is given to an id that is new.
    fn name(of: &mut Vec<String>, letter: char, id: &str) -> String {
        let at = of.iter().position(|known| known == id).unwrap_or_else(|| {
            of.push(id.to_owned());
            of.len() - 1
        });
        format!("{letter}{}", at + 1)
    }

    fn contact(&mut self, id: &Value) -> String {
        id.as_str().map_or_else(|| "-".to_owned(), |id| Self::name(&mut self.contacts, 'c', id))
    }

    fn review(&mut self, id: &Value) -> String {
        Self::name(&mut self.reviews, 'r', id.as_str().unwrap())
    }

    /// A text with short names for ids.
    fn short(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (letter, ids) in [('c', &self.contacts), ('r', &self.reviews)] {
            for (at, id) in ids.iter().enumerate() {
                text = text.replace(id, &format!("{letter}{}", at + 1));
            }
        }
        text
    }

    /// The id of a short name.
    fn id(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let ids = if name.starts_with('c') { &self.contacts } else { &self.reviews };
        let at: usize = name.get(1..).unwrap_or_default().parse()?;
        Ok(ids.get(at.wrapping_sub(1)).ok_or_else(|| format!("the script has not met {name}"))?.clone())
    }

    fn put(&mut self, json: &str) -> Answer {
        let record: Value = serde_json::from_str(json)?;
        let answer = self.good("POST", "contacts:upsert", &json!({ "record": record }))?;
        let result = &answer["results"][0];
        Ok(format!("{} {}", result["outcome"].as_str().unwrap(), self.contact(&result["contact_id"])))
    }

    fn show(&mut self, name: &str, fields: &[&str]) -> Answer {
        let id = self.id(name)?;
        let contact = self.good("GET", &format!("contacts/{id}"), &Value::Null)?;
        let mut text = String::new();
        let all = contact["provenance"].as_object().unwrap();
        for (field, from) in all {
            let wanted = |wanted: &&str| {
                *wanted == field || field.starts_with(&format!("{wanted}[")) || field.starts_with(&format!("{wanted}."))
            };
            // A list is shown value by value, attributes key by key where they come from several records.
            let parts = all
                .keys()
                .any(|other| other.starts_with(&format!("{field}[")) || other.starts_with(&format!("{field}.")));
            if parts || !(fields.is_empty() || fields.iter().any(wanted)) {
                continue;
            }
            let value = value_at(&contact, field);
            writeln!(
                text,
                "{field} = {} ({}, {})",
                shown(&value),
                from["rule"].as_str().unwrap(),
                from["source"].as_str().unwrap()
            )?;
        }
        if let Some(left_out) = contact.get("left_out") {
            writeln!(text, "left out: {left_out}")?;
        }
        Ok(text)
    }

    fn history(&mut self, name: &str, field: &str) -> Answer {
        let id = self.id(name)?;
        let history = self.good("GET", &format!("contacts/{id}/history"), &Value::Null)?;
        let mut text = String::new();
        for change in history["changes"].as_array().unwrap().iter().filter(|change| change["field"] == field) {
            assert!(change["seq"].is_u64() && change["at"].is_string(), "{change}");
            let word = |name: &str| change[name].as_str().unwrap().to_owned();
            let (old, new) = (shown(&change["old"]), shown(&change["new"]));
            writeln!(
                text,
                "{}: {old} -> {new} (rule {}, source {}, actor {})",
                word("kind"),
                or_none(&word("rule")),
                or_none(&word("source")),
                or_none(&word("actor"))
            )?;
        }
        Ok(text)
    }

    fn reviews(&mut self, query: &str) -> Answer {
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let page = self.good("GET", &format!("reviews{query}"), &Value::Null)?;
        let mut text = String::new();
        for review in page["items"].as_array().unwrap() {
            let side = |side: &str| review[side]["contact"]["canonical_name"].as_str().unwrap_or("-").to_owned();
            let waits = ["open", "unsure"].contains(&review["status"].as_str().unwrap());
            assert!(!waits || review["explanation"].as_array().is_some_and(|parts| !parts.is_empty()), "{review}");
            let mut names = [side("left"), side("right")];
            names.sort();
            write!(
                text,
                "{} {} {}",
                self.review(&review["review_id"]),
                review["status"].as_str().unwrap(),
                names.join(" / ")
            )?;
            write!(
                text,
                " {} score {:.2} value {:.2}",
                review["match_key"].as_str().unwrap(),
                review["score"].as_f64().unwrap(),
                review["value"].as_f64().unwrap()
            )?;
            for field in ["assignee", "note"] {
                if let Some(said) = review[field].as_str() {
                    write!(text, " {field} {said:?}")?;
                }
            }
            if let Some(answer) = review["answer"].as_object() {
                write!(text, " answered by {} because {}", answer["actor"].as_str().unwrap(), answer["reason"])?;
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// Answers several reviews; short names in the body stand for ids.
    fn decide(&mut self, json: &str) -> Answer {
        let mut body: Value = serde_json::from_str(json)?;
        if let Some(ids) = body.get_mut("review_ids").and_then(Value::as_array_mut) {
            for id in ids {
                if let Ok(known) = self.id(id.as_str().unwrap()) {
                    *id = known.into();
                }
            }
        }
        let answer = self.good("POST", "reviews:decide", &body)?;
        let mut text = format!("count {}, dry_run {}\n", answer["count"], answer["dry_run"]);
        for result in answer["results"].as_array().unwrap() {
            write!(text, "{}", self.review(&result["review_id"]))?;
            match result["code"].as_str() {
                Some(code) => writeln!(text, " {code}: {}", self.short(result["detail"].as_str().unwrap()))?,
                None => writeln!(text, " {} affected", result["affected"].as_array().unwrap().len())?,
            }
        }
        Ok(text)
    }

    fn feed(&mut self) -> Answer {
        let after = if self.feed.is_empty() { String::new() } else { format!("?after={}", self.feed) };
        let page = self.good("GET", &format!("changes{after}"), &Value::Null)?;
        self.feed = page["next_cursor"].as_str().unwrap().to_owned();
        let mut text = String::new();
        for change in page["changes"].as_array().unwrap() {
            let ids: Vec<String> =
                change["contact_ids"].as_array().unwrap().iter().map(|id| self.contact(id)).collect();
            writeln!(text, "{} {}", change["kind"].as_str().unwrap(), ids.join(" "))?;
        }
        Ok(text)
    }

    fn merge(&mut self, names: &[&str]) -> Answer {
        let ids: Vec<String> = names.iter().map(|name| self.id(name)).collect::<Result<_, _>>()?;
        let answer = self.good("POST", "contacts:merge", &json!({ "contact_ids": ids, "survivor": ids[0] }))?;
        Ok(format!("merged into {}", self.contact(&answer["survivor"])))
    }

    fn undo(&mut self) -> Answer {
        let merges = self.good("GET", "merges?limit=1", &Value::Null)?;
        let id = merges["items"][0]["merge_id"].as_str().unwrap().to_owned();
        let answer = self.good("POST", &format!("merges/{id}/undo"), &json!({}))?;
        let parts: Vec<String> = answer["contacts"].as_array().unwrap().iter().map(|id| self.contact(id)).collect();
        Ok(parts.join(" "))
    }

    /// Everything that a restart must bring back.
    fn state(&self) -> String {
        let mut text = String::new();
        for id in &self.contacts {
            for path in [format!("contacts/{id}"), format!("contacts/{id}/history")] {
                writeln!(text, "{:?}", self.call("GET", &path, &Value::Null)).unwrap();
            }
        }
        for status in ["", "?status=same", "?status=different", "?status=withdrawn"] {
            writeln!(text, "{:?}", self.call("GET", &format!("reviews{status}"), &Value::Null)).unwrap();
        }
        let stats = self.good("GET", "stats?fingerprint=true", &Value::Null).unwrap();
        writeln!(text, "{}", stats["fingerprint"]).unwrap();
        writeln!(text, "{:?}", self.call("GET", "settings", &Value::Null)).unwrap();
        text
    }

    fn restart(&mut self) {
        let before = self.state();
        for from in ["the journal", "a snapshot"] {
            self.server.take().unwrap().kill9();
            self.server = Some(Server::start(&self.home.path().join("data")));
            assert_eq!(self.state(), before, "after a restart from {from}");
            self.good("POST", "/v1/admin/snapshot", &json!({})).unwrap();
        }
    }
}

impl Runner for Script {
    fn run(&mut self, command: &Command) -> Answer {
        let (word, rest) = command.name.split_once(' ').unwrap_or((&command.name, ""));
        let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        let (first, after_first) = rest.split_once(' ').unwrap_or((rest, ""));
        match (word, words.as_slice()) {
            ("put", _) => self.put(rest),
            ("settings", _) => {
                self.good("PUT", "settings", &serde_json::from_str(rest)?)?;
                Ok("ok".to_owned())
            }
            ("patch", _) => {
                let id = self.id(first)?;
                self.good("PATCH", &format!("contacts/{id}"), &serde_json::from_str(after_first)?)?;
                Ok("ok".to_owned())
            }
            ("delete", [source, id]) => {
                self.good("POST", "records:delete", &json!({"source": source, "source_record_id": id}))?;
                Ok("ok".to_owned())
            }
            ("show", [name, fields @ ..]) => self.show(name, fields),
            ("history", [name, field]) => self.history(name, field),
            ("merge", names) => self.merge(names),
            ("undo", []) => self.undo(),
            ("feed", []) => self.feed(),
            ("reviews", _) => self.reviews(rest),
            ("answer", [review, decision, reason @ ..]) => {
                let id = self.id(review)?;
                let reason = (!reason.is_empty()).then(|| reason.join(" "));
                let body = json!({"decision": decision, "reason": reason});
                self.good("POST", &format!("reviews/{id}/decision"), &body)?;
                Ok("ok".to_owned())
            }
            ("note", _) => {
                let id = self.id(first)?;
                self.good("PATCH", &format!("reviews/{id}"), &serde_json::from_str(after_first)?)?;
                Ok("ok".to_owned())
            }
            ("decide", _) => self.decide(rest),
            ("restart", []) => {
                self.restart();
                Ok("ok".to_owned())
            }
            _ => Err(format!("no such command: {}", command.name).into()),
        }
    }

    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        self.restart();
        Ok(())
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `emails[0]`, `attributes.a.b` or a plain field.
fn value_at(contact: &Value, path: &str) -> Value {
    let pointer = path.replace('[', "/").replace(']', "").replace('.', "/");
    contact.pointer(&format!("/{pointer}")).cloned().unwrap_or(Value::Null)
}

/// A value; emails and phones with what is said of them.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(map) if map.contains_key("value") => {
            let mut text = map["value"].as_str().unwrap().to_owned();
            for (name, said) in
                map.iter().filter(|(name, _)| !["value", "shared", "validity", "confidence"].contains(&name.as_str()))
            {
                match said {
                    Value::Bool(true) => write!(text, " {name}").unwrap(),
                    other => write!(text, " {name} {}", other.as_str().unwrap_or(&other.to_string())).unwrap(),
                }
            }
            text
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn scripts(topic: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(topic);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Runs the scripts of a topic; says which failed, all of them.
fn run(topic: &str) {
    let failed: Vec<PathBuf> = scripts(topic)
        .into_iter()
        .filter(|path| {
            let run = || goldenscript::run(&mut Script::new(), path).unwrap();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn survivorship() {
    run("survivorship");
}

#[test]
fn reviews() {
    run("reviews");
}
