//! Accounts and who belongs to them: golden scripts in `tests/scripts/accounts`, and the calls over HTTP.
//!
//! A script's commands name accounts and people as it pleases (`put acme crm/1 name="Acme Inc" domain=acme.com`, `person
//! mary crm/1 name="Mary Miller"`) and print what is so afterwards: each account with its records, domains, former names
//! and people, then the open questions. After each command the state is brought back from the journal alone and must be
//! equal; a `restart` goes through a snapshot. `UPDATE_GOLDENFILES=1 cargo test --test it accounts` writes what the scripts
//! print: read the difference before committing it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use goldenscript::Runner;
use selfsame::engine::accounts::{AccountCommand, AccountFilter, AccountQuery, AccountSide, Link, Said};
use selfsame::engine::api::{Answer, Command, Context, Decision, Mode};
use selfsame::engine::{Engine, View};
use selfsame::error::{Error, Result};
use selfsame::formats::AccountInput;
use selfsame::host::MemDisk;
use selfsame::model::ids::{EntityId, RecordKey, Seq};
use selfsame::model::settings::Settings;
use selfsame::resolve::change::AccountEvidence;
use serde_json::{Map, Value, json};

use crate::engine::{open, record, reopen, tenant};
use crate::server::{Server, call, folder};
use crate::simulate::without_snapshots;

/// A script's engine and its names for accounts and people.
struct Script {
    disk: MemDisk,
    engine: Option<Arc<Engine>>,
    names: BTreeMap<EntityId, String>,
    seen: Seq,
}

type Told = std::result::Result<String, Box<dyn StdError>>;

/// Fields whose value is a list of words.
const LISTS: [&str; 5] = ["alternate_domains", "technologies", "tags", "emails", "phones"];

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

    fn account(&self, command: AccountCommand) -> Result<Answer> {
        self.submit(Command::Account(command))
    }

    fn id(&self, name: &str) -> std::result::Result<EntityId, String> {
        let found = self.names.iter().find(|(_, known)| *known == name);
        found.map(|(id, _)| *id).ok_or_else(|| format!("nobody is called {name}"))
    }

    fn name(&self, id: EntityId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| "somebody new".into())
    }

    fn refused(&self, error: &Error) -> String {
        match error {
            Error::Conflict { code, .. } | Error::NotFound { code, .. } => format!("refused: {code}\n"),
            Error::Moved { survivor } => format!("moved: to {}\n", self.name(*survivor)),
            other => format!("refused: {other}\n"),
        }
    }

    /// What became of one record.
    fn put(&mut self, name: String, command: Command) -> Told {
        let Answer::Upserted(results) = self.submit(command)? else { return Err("an odd answer".into()) };
        let result = &results[0];
        let mut text = result.outcome.word().to_owned();
        if let Some(id) = result.contact_id {
            self.names.entry(id).or_insert(name);
            write!(text, " {}", self.name(id))?;
        }
        for issue in &result.issues {
            write!(text, " ({}: {})", issue.field, issue.code)?;
        }
        Ok(text + "\n" + &self.state())
    }

    /// Every live account, the open questions, and the feed since the last command.
    fn state(&mut self) -> String {
        let mut text = String::new();
        let view = self.engine().view(&tenant()).unwrap();
        for entry in view.changes(self.seen, 1000).items {
            let of = if entry.of_accounts { "account" } else { "contact" };
            let names: Vec<String> = entry.contacts.iter().map(|id| self.name(*id)).collect();
            writeln!(text, "  change: {of} {} {}", entry.kind, names.join(" ")).unwrap();
        }
        self.seen = view.seq();
        let accounts = view.account_list(&all()).unwrap().items;
        let mut lines: Vec<String> = accounts.iter().map(|account| self.line(&view, account.id)).collect();
        lines.sort();
        for review in view.account_reviews(1000, None).unwrap().items {
            let mut sides = [self.name(review.left), self.name(review.right)];
            sides.sort();
            lines.push(format!("  question: {} {} {:.2}\n", sides.join(" / "), review.reason, review.score));
        }
        text + &lines.concat()
    }

    /// What a search finds and shows, page by page, from memory and then from the text index: it must be the same.
    fn search(&self, q: &str, filters: &[&goldenscript::Argument]) -> Told {
        let found = || -> std::result::Result<String, Box<dyn StdError>> {
            let mut filter = AccountFilter { limit: 2, ..filter(filters)? };
            let mut text = String::new();
            loop {
                let page = self.engine().search_accounts(&tenant(), q, &filter)?;
                for hit in page.items {
                    write!(text, "{}", self.name(hit.account.id))?;
                    hit.highlights.iter().try_for_each(|(field, shown)| write!(text, ", {field} {shown}"))?;
                    text.push('\n');
                }
                filter.cursor = page.next;
                if filter.cursor.is_none() {
                    return Ok(text);
                }
            }
        };
        let from_memory = found();
        self.engine().flush_text()?;
        let from_index = found()?;
        assert_eq!(from_memory?, from_index);
        Ok(from_index)
    }

    /// A side of a comparison: an account's name, a record's key, or the inline record.
    fn side(&self, name: &str, asked: &Map<String, Value>) -> std::result::Result<AccountSide, Box<dyn StdError>> {
        let view = self.engine().view(&tenant())?;
        if name == "asked" {
            let input: AccountInput = serde_json::from_value(Value::Object(asked.clone()))?;
            return Ok(AccountSide::Inline(Box::new(input.into_checked("api").map_err(Error::from)?)));
        }
        let records = view.account_list(&all())?.items.into_iter().flat_map(|account| account.records);
        let record = records.into_iter().find(|head| spelt_key(&head.key) == name);
        Ok(match record {
            Some(head) => AccountSide::Record(head.record_id),
            None => AccountSide::Account(self.id(name)?),
        })
    }

    fn why(&self, left: &str, right: &str, asked: Map<String, Value>) -> Told {
        let view = self.engine().view(&tenant())?;
        let why = view.why_accounts(&self.side(left, &asked)?, &self.side(right, &asked)?)?;
        let mut text = format!("same account: {}\n{}", why.same_account, evidence(&why.evidence));
        why.missing.iter().try_for_each(|missing| writeln!(text, "  missing: {missing}"))?;
        Ok(text)
    }

    fn how(&self, id: EntityId) -> Told {
        let mut text = String::new();
        for step in self.engine().view(&tenant())?.account_how(id)? {
            let undone = if step.merge.undone_at.is_some() { ", undone" } else { "" };
            writeln!(
                text,
                "{} took in {}, by {}{undone}",
                self.name(id),
                self.name(step.merge.losers[0]),
                step.merge.actor
            )?;
            match (&step.then, &step.now) {
                (Some(then), Some(now)) if then == now => write!(text, "{}", evidence(then))?,
                (then, now) => {
                    for (when, one) in [("then", then), ("now", now)] {
                        one.iter().try_for_each(|one| write!(text, "  {when}\n{}", evidence(one)))?;
                    }
                }
            }
        }
        Ok(text)
    }

    fn history(&self, id: EntityId, field: &str) -> Told {
        let mut text = String::new();
        for change in self.engine().view(&tenant())?.account_history(id)? {
            if change.field == field {
                let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
                let (old, new) = (said(&change.old), said(&change.new));
                writeln!(text, "{old} -> {new} (rule {}, source {})", change.rule, change.source)?;
            }
        }
        Ok(text)
    }

    fn line(&self, view: &View, id: EntityId) -> String {
        let account = view.account(id).unwrap();
        let golden = &account.golden;
        let keys: Vec<String> = account.records.iter().map(|at| spelt_key(&at.key)).collect();
        let mut text = format!("  {} {:?} ({})", self.name(id), golden.name, keys.join(" "));
        if let Some(domain) = &golden.domain_normalized {
            write!(text, " {}", [std::slice::from_ref(domain), golden.alternate_domains.as_slice()].concat().join(" "))
                .unwrap();
        }
        golden.industry.iter().for_each(|industry| write!(text, " in {industry:?}").unwrap());
        for (word, list) in [
            ("formerly", &golden.previous_names),
            ("uses", &golden.technologies),
            ("tagged", &golden.shared.fields.tags),
            ("shared", &account.shared),
        ] {
            if !list.is_empty() {
                write!(text, " {word} {list:?}").unwrap();
            }
        }
        let people = view.contacts_of(id, 1000, None).unwrap().items;
        let mut people: Vec<String> = people.iter().map(|link| format!(" {}", self.link(link))).collect();
        people.sort();
        format!("{text}:{}\n", people.concat())
    }

    fn link(&self, link: &Link) -> String {
        let mut text = format!("{}[{}", self.name(link.contact), link.basis.word());
        let said = link.put.iter().flat_map(|put| [&put.role, &put.since, &put.until]).flatten();
        said.for_each(|said| write!(text, " {said}").unwrap());
        if link.primary {
            text.push_str(" primary");
        }
        text + "]"
    }
}

/// Filters as `name=value` arguments; `limit` and the page are the caller's.
fn filter(args: &[&goldenscript::Argument]) -> std::result::Result<AccountFilter, String> {
    let mut filter = all();
    for arg in args {
        let value = Some(arg.value.clone());
        match arg.key.as_deref() {
            Some("domain") => filter.domain = value,
            Some("tag") => filter.tag = value,
            Some("source") => filter.source = value,
            other => return Err(format!("lists know no filter {other:?}")),
        }
    }
    Ok(filter)
}

/// No filter.
fn all() -> AccountFilter {
    AccountFilter { limit: 1000, ..AccountFilter::default() }
}

/// What two records say of each other.
fn evidence(evidence: &AccountEvidence) -> String {
    let mut text = format!("  {} {:.2}, keys {:?}\n", evidence.rule, evidence.score, evidence.shared_keys);
    for part in &evidence.parts {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let (left, right) = (said(&part.left), said(&part.right));
        let agreement = part.agreement.map_or_else(String::new, |agreement| format!(" {agreement:.2}"));
        writeln!(text, "  {} {}{agreement}: {left} / {right}", part.comparison, part.level).unwrap();
    }
    text
}

fn spelt_key(key: &RecordKey) -> String {
    format!("{}/{}", key.source, key.source_record_id)
}

fn pair(text: &str) -> (String, String) {
    let (left, right) = text.split_once('/').unwrap_or((text, ""));
    (left.to_owned(), right.to_owned())
}

/// Each person that an account lists has the account, and the other way round.
fn check(engine: &Engine) {
    let Ok(view) = engine.view(&tenant()) else { return };
    let mut seen = BTreeSet::new();
    for account in view.account_list(&all()).unwrap().items {
        for link in view.contacts_of(account.id, 1000, None).unwrap().items {
            seen.insert((link.contact, account.id));
            assert_eq!(view.relation(link.contact, account.id).unwrap(), link);
        }
    }
    for contact in view.export_ids() {
        for link in view.accounts_of(contact).unwrap() {
            assert!(seen.remove(&(contact, link.account)), "the account does not list {link:?}");
        }
    }
    assert!(seen.is_empty(), "people do not list {seen:?}");
}

/// `name=value` arguments as a record; `city`, `country` and `label` are its address.
fn fields(key: &str, args: &mut goldenscript::ArgumentConsumer<'_>) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut address = Map::new();
    let (source, id) = pair(key);
    fields.insert("source".into(), source.into());
    fields.insert("source_record_id".into(), id.into());
    for arg in args.rest_key() {
        let (name, value) = (arg.key.clone().unwrap_or_default(), arg.value.clone());
        if value == "null" {
            fields.insert(name, Value::Null);
        } else if ["city", "country", "label"].contains(&name.as_str()) {
            address.insert(name, value.into());
        } else if LISTS.contains(&name.as_str()) {
            fields.insert(name, value.split(' ').collect());
        } else if name == "previous_names" {
            fields.insert(name, value.split(", ").collect());
        } else {
            fields.insert(name, value.into());
        }
    }
    if !address.is_empty() {
        fields.insert("addresses".into(), json!([address]));
    }
    fields
}

impl Runner for Script {
    fn run(&mut self, command: &goldenscript::Command) -> Told {
        let mut args = command.consume_args();
        let mut next = || args.next_pos().map(|arg| arg.value.clone()).ok_or("an argument is missing");
        let answer = match command.name.as_str() {
            "put" | "strict" | "try" => {
                let (name, key) = (next()?, next()?);
                let input: AccountInput = serde_json::from_value(Value::Object(fields(&key, &mut args)))?;
                let records = vec![input.into_checked("api").map_err(Error::from)?];
                let mode = if command.name == "strict" { Mode::Strict } else { Mode::Merge };
                let dry_run = command.name == "try";
                return self.put(name, Command::Account(AccountCommand::Upsert { records, mode, dry_run }));
            }
            "person" => {
                let (name, key) = (next()?, next()?);
                let mut fields = fields(&key, &mut args);
                if let Some(account) = fields.get("account_id").and_then(Value::as_str).and_then(|at| self.id(at).ok())
                {
                    fields.insert("account_id".into(), account.to_string().into());
                }
                let records = vec![record(&Value::Object(fields).to_string())];
                return self.put(name, Command::Upsert { records, mode: Mode::Merge, dry_run: false });
            }
            "match" => {
                let input: AccountInput = serde_json::from_value(Value::Object(fields("asked/0", &mut args)))?;
                let asked = input.into_checked("api").map_err(Error::from)?;
                let query = AccountQuery { asked, limit: 10, threshold: 0.7, exclude: Vec::new() };
                let answer = self.engine().view(&tenant())?.match_account(&query)?;
                let mut text = format!("{:?}", answer.decision);
                for one in answer.candidates {
                    let conflict = if one.conflict { " conflict" } else { "" };
                    write!(text, " {} {:.2}{conflict}", self.name(one.account.id), one.score)?;
                }
                return Ok(text);
            }
            "search" => return self.search(&next()?, &args.rest_key()),
            "list" => {
                let view = self.engine().view(&tenant())?;
                let found = view.account_list(&filter(&args.rest_key())?)?;
                let names: Vec<String> = found.items.iter().map(|one| self.name(one.id)).collect();
                return Ok(names.join(" "));
            }
            "why" => {
                let (left, right) = (next()?, next()?);
                let asked = fields("asked/0", &mut args);
                return self.why(&left, &right, asked);
            }
            "how" => {
                let id = self.id(&next()?)?;
                return self.how(id);
            }
            "history" => {
                let (id, field) = (self.id(&next()?)?, next()?);
                return self.history(id, &field);
            }
            "patch" => {
                let account = self.id(&next()?)?;
                let mut set = fields("manual/0", &mut args);
                set.retain(|name, _| !["source", "source_record_id"].contains(&name.as_str()));
                let touched = set.keys().cloned().collect();
                let input: AccountInput = serde_json::from_value(Value::Object(set))?;
                let set = Box::new(input.into_values("manual").map_err(Error::from)?);
                self.account(AccountCommand::Patch { account, set, touched })
            }
            "relate" => {
                let (contact, account) = (self.id(&next()?)?, self.id(&next()?)?);
                let mut said = Said::default();
                for arg in args.rest_key() {
                    match arg.key.as_deref() {
                        Some("role") => said.role = Some(arg.value.clone()),
                        Some("since") => said.since = Some(arg.value.clone()),
                        Some("until") => said.until = Some(arg.value.clone()),
                        Some("primary") => said.primary = arg.value == "true",
                        other => return Err(format!("relations have no {other:?}").into()),
                    }
                }
                self.account(AccountCommand::Relate { contact, account, said })
            }
            "unrelate" => {
                let (contact, account) = (self.id(&next()?)?, self.id(&next()?)?);
                self.account(AccountCommand::Unrelate { contact, account })
            }
            "merge" | "merge-people" => {
                let names = args.rest_pos();
                let ids: std::result::Result<Vec<_>, _> = names.iter().map(|arg| self.id(&arg.value)).collect();
                let ids = ids?;
                let (survivor, reason, dry_run) = (ids.first().copied(), None, false);
                match command.name.as_str() {
                    "merge" => self.account(AccountCommand::Merge { accounts: ids, survivor, reason, dry_run }),
                    _ => self.submit(Command::Merge { contacts: ids, survivor, reason, dry_run }),
                }
            }
            "undo" => {
                let (survivor, loser) = (self.id(&next()?)?, self.id(&next()?)?);
                let view = self.engine().view(&tenant())?;
                let mut merges = view.account_merges(1000, None)?.items;
                merges.extend(view.merges(1000, None)?.items);
                let merge = merges.iter().find(|entry| entry.survivor == survivor && entry.losers.contains(&loser));
                self.submit(Command::UndoMerge { merge: merge.ok_or("there is no such merge")?.merge_id })
            }
            "answer" => {
                let decision = match next()?.as_str() {
                    "same" => Decision::Same,
                    "different" => Decision::Different,
                    _ => Decision::Unsure,
                };
                let review = self.engine().view(&tenant())?.account_reviews(1, None)?.items.remove(0).review_id;
                self.account(AccountCommand::Decide { review, decision, reason: None })
            }
            "split" => {
                let (account, key, part) = (self.id(&next()?)?, next()?, next()?);
                let records = self.engine().view(&tenant())?.account(account)?.records;
                let out = records.iter().find(|at| spelt_key(&at.key) == key).ok_or("no such record")?.record_id;
                let answer = self.account(AccountCommand::Split { account, records: vec![out] });
                if let Ok(Answer::Parts(parts)) = &answer {
                    parts.iter().for_each(|id| {
                        self.names.entry(*id).or_insert_with(|| part.clone());
                    });
                }
                answer
            }
            "delete" => self.account(AccountCommand::Delete(self.id(&next()?)?)),
            "restore" => self.account(AccountCommand::Restore(self.id(&next()?)?)),
            "withdraw" => {
                let (source, id) = pair(&next()?);
                self.account(AccountCommand::DeleteRecord(RecordKey {
                    source: source.into(),
                    source_record_id: id.into(),
                }))
            }
            "settings" => {
                let mut settings = Settings::default();
                for arg in args.rest_key() {
                    match arg.key.as_deref() {
                        Some("refuse_free_mail") => settings.refuse_free_mail = arg.value == "true",
                        Some("free_mail_domains") => settings.free_mail_domains = vec![arg.value.clone()],
                        other => return Err(format!("scripts know no setting {other:?}").into()),
                    }
                }
                self.submit(Command::PutSettings { settings: Box::new(settings) })
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
        let (here, there) = (self.engine().view(&tenant())?, replayed.view(&tenant())?);
        assert_eq!(here.fingerprint(), there.fingerprint(), "the journal alone brings back the same");
        assert_eq!(here.settings(), there.settings());
        check(&replayed);
        Ok(String::new())
    }
}

#[test]
fn scripts() {
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/accounts")).unwrap() {
        goldenscript::run(&mut Script::new(), entry.unwrap().path()).unwrap();
        count += 1;
    }
    assert!(count >= 8, "{count} scripts were found");
}

/// Status and answer of a call on tenant `main`.
fn send(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let path = format!("/v1/tenants/main/{path}");
    let (status, body) = call(server.address(), method, &path, "application/json", body.as_bytes()).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[test]
fn sixteen_clients_that_put_the_same_fifty_companies_make_fifty() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let company = |client: usize, number: usize| {
        let (id, name) = (format!("{client}-{number}"), format!("Company {} {number} Ltd", "abcde".repeat(number % 3)));
        match client % 3 {
            0 => json!({"source": "a", "source_record_id": id, "name": name, "domain": format!("company{number}.com")}),
            1 => json!({"source": "b", "source_record_id": id, "domain": format!("https://www.company{number}.com/x")}),
            _ => json!({"source": "c", "source_record_id": id, "name": name, "domain": format!("c{number}.example"),
                "alternate_domains": [format!("company{number}.com")]}),
        }
    };
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, company) = (&server, &company);
            scope.spawn(move || {
                for at in 0..50 {
                    let record = company(client, (at * 7 + client * 13) % 50);
                    let (status, answer) =
                        send(server, "POST", "accounts:upsert", &json!({"record": record}).to_string());
                    let outcome = answer["results"][0]["outcome"].as_str().unwrap_or("-").to_owned();
                    assert!(status == 200 && ["created", "merged"].contains(&outcome.as_str()), "{answer}");
                }
            });
        }
    });
    assert_eq!(server.get("stats")["accounts"], 50);
    let page = server.get("accounts?limit=1000");
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for account in page["items"].as_array().unwrap() {
        assert_eq!(account["records"].as_array().unwrap().len(), 16, "{account}");
        let alternates = account["alternate_domains"].as_array().unwrap();
        for domain in alternates.iter().chain([&account["domain_normalized"]]) {
            *holders.entry(domain.as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert_eq!((holders.len(), holders.values().max()), (100, Some(&1)), "a domain is in one account");
}

#[test]
fn accounts_over_http() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let put = |body: Value| server.post("accounts:upsert", &json!({"record": body}))["results"][0].clone();
    let first = put(json!({"name": "Acme Inc", "domain": "www.acme.com", "industry": "Anvils",
        "technologies": ["rust"], "phones": ["(212) 555-0123"]}));
    assert_eq!((&first["outcome"], &first["issues"]), (&json!("created"), &json!([])), "{first}");
    let acme = first["account_id"].as_str().unwrap().to_owned();
    let zed = put(json!({"source": "crm", "source_record_id": "7", "name": "Zed", "domain": "gmail.com"}));
    assert_eq!((&zed["issues"][0]["field"], &zed["issues"][0]["code"]), (&json!("domain"), &json!("domain_free_mail")));
    let zed = zed["account_id"].as_str().unwrap().to_owned();
    let golden = server.get(&format!("accounts/{acme}"));
    for (field, value) in [
        ("name", json!("Acme Inc")),
        ("domain", json!("www.acme.com")),
        ("domain_normalized", json!("acme.com")),
        ("industry", json!("Anvils")),
        ("technologies", json!(["rust"])),
    ] {
        assert_eq!(golden[field], value, "{golden}");
    }
    assert_eq!(
        (&golden["phones"][0]["value"], &golden["provenance"]["name"]["source"]),
        (&json!("+12125550123"), &json!("api"))
    );
    let again = json!({"record": {"name": "Acme", "domain": "acme.com", "source_record_id": "9"}, "mode": "strict"});
    let strict = server.post("accounts:upsert", &again);
    assert_eq!(
        (&strict["results"][0]["outcome"], &strict["results"][0]["account_id"]),
        (&json!("conflict"), &json!(acme))
    );
    let asked = server.post("accounts:match", &json!({"account": {"name": "ACME", "domain": "acme.com"}}));
    assert_eq!((&asked["decision"], &asked["candidates"][0]["account_id"]), (&json!("match"), &json!(acme)));
    for (path, body, field) in [
        ("accounts:upsert", json!({"record": {"nmae": "x"}}), "record.nmae"),
        ("accounts:upsert", json!({}), "record"),
        ("accounts:match", json!({"account": {"tags": ["x"]}}), "account.record"),
        ("accounts:merge", json!({"account_ids": [acme]}), "account_ids"),
        ("accounts:decide", json!({"review_id": "x", "decision": "same"}), "review_id"),
    ] {
        let (status, problem) = send(&server, "POST", path, &body.to_string());
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{path} {problem}");
    }
    let person = json!({"name": "Mary Miller", "email": "mary@mail.acme.com", "source": "crm", "source_record_id": "p1",
        "account_id": "7"});
    let mary = server.post("contacts:upsert", &json!({"record": person}))["results"][0]["contact_id"].clone();
    let mary = mary.as_str().unwrap().to_owned();
    let bases = || -> BTreeMap<String, String> {
        let items = server.get(&format!("contacts/{mary}/accounts"))["items"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        items.as_array().unwrap().iter().map(|item| (text(&item["name"]), text(&item["basis"]))).collect()
    };
    let said = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(bases(), said(&[("Acme Inc", "email_domain"), ("Zed", "record")]));
    let relation = format!("contacts/{mary}/accounts/{acme}");
    let body = r#"{"role": "CTO", "since": "2024-05-01", "primary": true}"#;
    let (status, answer) = send(&server, "PUT", &relation, body);
    assert_eq!(
        (status, &answer["role"], &answer["primary"], &answer["basis"]),
        (200, &json!("CTO"), &json!(true), &json!("manual"))
    );
    assert_eq!(send(&server, "PUT", &relation, body).1["seq"], answer["seq"], "a repeat changes nothing");
    assert_eq!(send(&server, "PUT", &relation, r#"{"until": "x"}"#).1["field"], "until");
    assert_eq!(bases(), said(&[("Acme Inc", "manual"), ("Zed", "record")]));

    let merged = server.post("accounts:merge", &json!({"account_ids": [acme, zed], "survivor": zed}));
    let (status, moved) = send(&server, "GET", &format!("accounts/{acme}"), "");
    assert_eq!((status, &moved["merged_into"]), (307, &json!(zed)));
    assert_eq!(server.get(&format!("accounts/{zed}/contacts"))["items"][0]["role"], "CTO");
    assert_eq!(
        send(&server, "GET", &relation, "").1["account_id"],
        json!(zed),
        "a merged account stands for its survivor"
    );
    assert_eq!(server.get("accounts:merges")["items"][0]["merge_id"], merged["merge_id"]);
    let undone = server.post(&format!("merges/{}/undo", merged["merge_id"].as_str().unwrap()), &json!({}));
    assert_eq!((&undone["contacts"], undone["accounts"].as_array().map(Vec::len)), (&json!([]), Some(2)));
    assert_eq!(
        server.get(&format!("accounts/{acme}")),
        golden_again(&golden, &server.get(&format!("accounts/{acme}")))
    );
    assert_eq!(send(&server, "DELETE", &relation, "").0, 200);
    assert_eq!(send(&server, "DELETE", &relation, "").1["code"], "relation_unknown");
    assert_eq!(bases(), said(&[("Acme Inc", "email_domain"), ("Zed", "record")]));

    assert_eq!(send(&server, "DELETE", &format!("accounts/{acme}"), "").0, 200);
    assert_eq!(server.get("stats")["accounts"], 1);
    assert_eq!(bases(), said(&[("Zed", "record")]), "nobody belongs to what is deleted");
    server.post(&format!("accounts/{acme}/restore"), &json!({}));
    assert_eq!(server.get(&format!("accounts/{acme}/records"))["records"][0]["industry"], "Anvils");
    let history = server.get(&format!("accounts/{acme}/history"));
    assert!(history["changes"].as_array().unwrap().iter().any(|change| change["field"] == "name"), "{history}");
    let unknown = "0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978";
    assert_eq!(send(&server, "GET", &format!("accounts/{unknown}"), "").1["code"], "account_unknown");
    assert_eq!(send(&server, "PUT", &format!("contacts/{mary}/accounts/{unknown}"), "").1["code"], "account_unknown");
    let feed = server.get("changes?limit=1000");
    let of_accounts = feed["changes"].as_array().unwrap().iter().filter(|change| change.get("account_ids").is_some());
    assert!(of_accounts.clone().count() > 5 && of_accounts.clone().all(|change| change["contact_ids"] == json!([])));
}

/// What it was, but for what counts changes.
fn golden_again(before: &Value, after: &Value) -> Value {
    let mut expected = before.clone();
    for counted in ["version", "seq", "updated_at", "last_updated_by"] {
        expected[counted] = after[counted].clone();
    }
    expected
}
