//! References to contacts: golden scripts in `tests/scripts/references`, and the calls over HTTP.
//!
//! A script's commands name contacts as it pleases (`put mary crm/1 name="Mary Miller"`) and print what is so afterwards.
//! After each command the state is brought back from the journal alone and must be equal, so every script is a test of
//! recovery too; a `restart` goes through a snapshot. `UPDATE_GOLDENFILES=1 cargo test --test it references` writes what
//! the scripts print: read the difference before committing it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use goldenscript::Runner;
use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, Context, ReferenceCommand};
use selfsame::error::{Error, Result};
use selfsame::host::MemDisk;
use selfsame::model::event::ReferenceName;
use selfsame::model::ids::{EntityId, RecordKey, Seq};
use selfsame::model::record::Fields;
use serde_json::json;

use crate::engine::{open, record, reopen, tenant};
use crate::server::{Server, call, folder};
use crate::simulate::without_snapshots;

/// Each reference is found under exactly the contact that its anchor leads to.
pub fn check(engine: &Engine) {
    let Ok(view) = engine.view(&tenant()) else { return };
    let entries = view.changes(Seq(0), 1000).items;
    let ids: BTreeSet<EntityId> = entries.into_iter().flat_map(|entry| entry.contacts).collect();
    let mut found = BTreeSet::new();
    for id in ids {
        for put in view.references(id).unwrap_or_default() {
            assert!(found.insert(put.name.clone()), "{:?} is found twice", put.name);
            assert_eq!(view.reference(id, &put.name).unwrap(), &*put);
            let anchor = match view.contact(put.anchor) {
                Err(Error::Moved { survivor }) => survivor,
                _ => put.anchor,
            };
            assert_eq!(anchor, id, "{:?} is found elsewhere than its anchor leads", put.name);
        }
    }
}

/// A script's engine and its names for contacts.
struct Script {
    disk: MemDisk,
    engine: Option<Arc<Engine>>,
    names: BTreeMap<EntityId, String>,
    seen: Seq,
}

type Told = std::result::Result<String, Box<dyn StdError>>;

impl Script {
    fn new() -> Self {
        let disk = MemDisk::new();
        let engine = Some(open(&disk));
        Self { disk, engine, names: BTreeMap::new(), seen: Seq(0) }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn submit(&self, command: Command) -> Result<Answer> {
        let context = Context { actor: "me".into(), idempotency: None };
        self.engine().submit_blocking(&tenant(), command, context).map(|receipt| receipt.answer)
    }

    fn id(&self, name: &str) -> std::result::Result<EntityId, String> {
        let found = self.names.iter().find(|(_, known)| *known == name);
        found.map(|(id, _)| *id).ok_or_else(|| format!("no contact is called {name}"))
    }

    fn name(&self, id: EntityId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| "somebody new".into())
    }

    fn refused(&self, error: &Error) -> String {
        match error {
            Error::Conflict { code, holder: Some(holder), .. } => {
                format!("refused: {code}, {} has it\n", self.name(*holder))
            }
            Error::Conflict { code, .. } | Error::NotFound { code, .. } => format!("refused: {code}\n"),
            Error::Moved { survivor } => format!("moved: to {}\n", self.name(*survivor)),
            other => format!("refused: {other}\n"),
        }
    }

    /// Every live contact with what points at it, and the feed since the last command.
    fn state(&mut self) -> String {
        let mut text = String::new();
        let view = self.engine().view(&tenant()).unwrap();
        for entry in view.changes(self.seen, 1000).items {
            let contacts: Vec<String> = entry.contacts.iter().map(|id| self.name(*id)).collect();
            writeln!(text, "  change: {} {}", entry.kind, contacts.join(" ")).unwrap();
        }
        let mut lines: Vec<String> = view
            .export_ids()
            .into_iter()
            .map(|id| {
                let spelt = |name: &ReferenceName| format!("{}/{}", name.kind, name.external_id);
                let found = view.references(id).unwrap();
                let mut found: Vec<String> = found.iter().map(|put| spelt(&put.name)).collect();
                if found.is_empty() {
                    found.push("-".into());
                }
                let records: Vec<String> =
                    view.contact(id).unwrap().records.iter().map(|at| spelt_key(&at.key)).collect();
                format!("  {} ({}): {}\n", self.name(id), records.join(" "), found.join(" "))
            })
            .collect();
        lines.sort();
        self.seen = view.seq();
        text + &lines.concat()
    }
}

fn spelt_key(key: &RecordKey) -> String {
    format!("{}/{}", key.source, key.source_record_id)
}

fn pair(text: &str) -> (String, String) {
    let (left, right) = text.split_once('/').unwrap_or((text, ""));
    (left.to_owned(), right.to_owned())
}

impl Runner for Script {
    fn run(&mut self, command: &goldenscript::Command) -> Told {
        let mut args = command.consume_args();
        let mut next = || args.next_pos().map(|arg| arg.value.clone()).ok_or("an argument is missing");
        let reference = |text: String| {
            let (kind, external_id) = pair(&text);
            ReferenceName { kind, external_id }
        };
        let answer = match command.name.as_str() {
            "put" => {
                let (name, key) = (next()?, pair(&next()?));
                let mut fields = serde_json::Map::new();
                fields.insert("source".into(), key.0.into());
                fields.insert("source_record_id".into(), key.1.into());
                for arg in args.rest_key() {
                    fields.insert(arg.key.clone().unwrap_or_default(), arg.value.clone().into());
                }
                let records = vec![record(&serde_json::Value::Object(fields).to_string())];
                let put = Command::Upsert { records, mode: selfsame::engine::api::Mode::Merge, dry_run: false };
                let Answer::Upserted(results) = self.submit(put)? else { return Err("an odd answer".into()) };
                let id = results[0].contact_id.ok_or("no contact")?;
                self.names.entry(id).or_insert(name);
                args.reject_rest()?;
                return Ok(format!("{} {}\n", results[0].outcome.word(), self.name(id)) + &self.state());
            }
            "refer" | "take" => {
                let (contact, name) = (self.id(&next()?)?, reference(next()?));
                let take_over = command.name == "take";
                self.submit(Command::Reference(ReferenceCommand::Put { contact, name, take_over }))
            }
            "forget" => {
                let (contact, name) = (self.id(&next()?)?, reference(next()?));
                self.submit(Command::Reference(ReferenceCommand::Delete { contact, name }))
            }
            "merge" => {
                let contacts = args
                    .rest_pos()
                    .iter()
                    .map(|arg| self.id(&arg.value))
                    .collect::<std::result::Result<Vec<_>, _>>()?;
                let survivor = contacts.first().copied();
                self.submit(Command::Merge { contacts, survivor, reason: None, dry_run: false })
            }
            "undo" => {
                let (survivor, loser) = (self.id(&next()?)?, self.id(&next()?)?);
                let merges = self.engine().view(&tenant())?.merges(1000, None)?.items;
                let merge = merges.iter().find(|entry| entry.survivor == survivor && entry.losers.contains(&loser));
                self.submit(Command::UndoMerge { merge: merge.ok_or("there is no such merge")?.merge_id })
            }
            "split" => {
                let (contact, key, part) = (self.id(&next()?)?, next()?, next()?);
                let records = self.engine().view(&tenant())?.contact(contact)?.records;
                let out = records.iter().find(|at| spelt_key(&at.key) == key).ok_or("no such record")?.record_id;
                let answer = self.submit(Command::Split { contact, records: vec![out] });
                if let Ok(Answer::Parts(parts)) = &answer {
                    for id in parts {
                        self.names.entry(*id).or_insert_with(|| part.clone());
                    }
                }
                answer
            }
            "delete" => self.submit(Command::Delete { contact: self.id(&next()?)? }),
            "restore" => self.submit(Command::Restore { contact: self.id(&next()?)? }),
            "edit" => {
                let contact = self.id(&next()?)?;
                let set = Fields { notes: Some(next()?), ..Fields::default() };
                self.submit(Command::Patch { contact, set: Box::new(set), touched: vec!["notes".into()] })
            }
            "withdraw" => {
                let (source, id) = pair(&next()?);
                let key = RecordKey { source: source.into(), source_record_id: id.into() };
                self.submit(Command::DeleteRecord { key })
            }
            "restart" => {
                self.engine().snapshot()?;
                drop(self.engine.take());
                self.engine = Some(reopen(&self.disk));
                Ok(Answer::Done(Vec::new()))
            }
            other => return Err(format!("there is no command {other}").into()),
        };
        args.reject_rest()?;
        let text = answer.err().map(|error| self.refused(&error)).unwrap_or_default();
        Ok(text + &self.state())
    }

    fn end_command(&mut self, _: &goldenscript::Command) -> Told {
        check(self.engine());
        let replayed = open(&without_snapshots(&self.disk));
        let (here, there) = (self.engine().view(&tenant())?.fingerprint(), replayed.view(&tenant())?.fingerprint());
        assert_eq!(here, there, "the journal alone brings back the same");
        check(&replayed);
        Ok(String::new())
    }
}

#[test]
fn scripts() {
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/references")).unwrap() {
        goldenscript::run(&mut Script::new(), entry.unwrap().path()).unwrap();
        count += 1;
    }
    assert!(count >= 5, "{count} scripts were found");
}

#[test]
fn references_over_http() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let put = |number: &str, name: &str| {
        let record = json!({"source": "s", "source_record_id": number, "name": name});
        let answer = server.post("contacts:upsert", &json!({ "record": record }));
        answer["results"][0]["contact_id"].as_str().unwrap().to_owned()
    };
    let (mary, otto) = (put("1", "Mary Miller"), put("2", "Otto Kern"));
    let send = |method: &str, contact: &str, rest: &str, body: &str| {
        let path = format!("/v1/tenants/main/contacts/{contact}/references{rest}");
        let (status, body) = call(server.address(), method, &path, "application/json", body.as_bytes()).unwrap();
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default())
    };
    let (status, answer) = send("PUT", &mary, "/lead/00Q%2F1", "");
    assert_eq!((status, &answer["external_id"], &answer["contact_id"]), (200, &json!("00Q/1"), &json!(mary)));
    let seq = answer["seq"].clone();
    assert_eq!(send("PUT", &mary, "/lead/00Q%2F1", "{}").1["seq"], seq, "a repeat changes nothing");
    let (status, problem) = send("PUT", &otto, "/lead/00Q%2F1", "{\"move\": false}");
    assert_eq!((status, &problem["code"], &problem["holder"]), (409, &json!("reference_taken"), &json!(mary)));
    assert_eq!(send("PUT", &otto, "/ticket/5", "").0, 200);
    for (path, body, field) in
        [("/Lead/1", "", "kind"), ("/lead/a%0Ab", "", "external_id"), ("/lead/1", "{\"mvoe\": true}", "mvoe")]
    {
        let (status, problem) = send("PUT", &mary, path, body);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{problem}");
    }
    assert_eq!(send("GET", &otto, "/lead/00Q%2F1", "").1["code"], "reference_unknown");
    assert_eq!(send("DELETE", &otto, "/lead/00Q%2F1", "").1["code"], "reference_unknown");
    let unknown = "0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978";
    assert_eq!(send("PUT", unknown, "/lead/9", "").1["code"], "contact_unknown");

    let merged = server.post("contacts:merge", &json!({"contact_ids": [mary, otto], "survivor": otto}));
    let (status, moved) = send("PUT", &mary, "/lead/2", "");
    assert_eq!((status, &moved["merged_into"]), (307, &json!(otto)));
    let (_, page) = send("GET", &otto, "?limit=1", "");
    assert_eq!((&page["items"][0]["kind"], &page["items"][0]["registered_contact_id"]), (&json!("lead"), &json!(mary)));
    let (_, page) = send("GET", &otto, &format!("?limit=1&cursor={}", page["next_cursor"].as_str().unwrap()), "");
    assert_eq!((&page["items"][0]["kind"], &page["next_cursor"]), (&json!("ticket"), &json!(null)));
    let exported = &server.export()[0]["references"];
    assert_eq!(exported.as_array().unwrap().len(), 2, "{exported}");
    let lines = format!("{}\n", server.export()[0]);
    let (status, again) = server.send("imports?source=again", "application/x-ndjson", lines.as_bytes());
    assert_eq!((status, &again["invalid"]), (200, &json!(0)), "an export with references can be imported: {again}");
    server.post(&format!("merges/{}/undo", merged["merge_id"].as_str().unwrap()), &json!({}));
    assert_eq!(send("GET", &mary, "/lead/00Q%2F1", "").0, 200);
    assert_eq!(send("PUT", &otto, "/lead/00Q%2F1", "{\"move\": true}").1["registered_contact_id"], json!(otto));
    assert_eq!(send("GET", &mary, "", "").1["items"], json!([]));
    assert_eq!(send("DELETE", &otto, "/lead/00Q%2F1", "").1["kind"], "lead");
    let shown = server.get(&format!("contacts/{otto}"));
    assert!(shown.get("references").is_none(), "the contract's contact has none");
}
