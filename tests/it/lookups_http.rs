//! Look-ups over HTTP: the contract's shapes, tokens, quotas through a kill, what never shows, and what a thief could do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use selfsame::discovery::dialect::{inners, primary};
use selfsame::discovery::tag::Master;
use selfsame::discovery::{Inner, Kind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, call, file, folder};

/// A call with JSON, as status, text and value.
fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/tenants/app/{path}") };
    let sent = if body.is_null() { String::new() } else { body.to_string() };
    let (status, bytes) = call(server.address(), method, &path, "application/json", sent.as_bytes()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (status, text, value)
}

fn lookup(server: &Server, body: &Value) -> Value {
    let (status, text, value) = ask(server, "POST", "discovery/lookup", body);
    assert_eq!(status, 200, "{text}");
    value
}

/// Makes `app` a directory.
fn settle(server: &Server, discovery: &Value) {
    let mut all = json!({"users": "app"});
    all.as_object_mut().unwrap().extend(discovery.as_object().unwrap().clone());
    let (status, text, _) = ask(server, "PUT", "settings", &json!({"discovery": all}));
    assert_eq!(status, 200, "{text}");
}

/// A user whom everyone may find.
fn user(server: &Server, id: &str, fields: &Value) -> String {
    let mut record = json!({"source": "app", "source_record_id": id, "name": format!("User {id}")});
    record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let (status, text, value) = ask(server, "POST", "contacts:upsert", &json!({"record": record}));
    assert_eq!(status, 200, "{text}");
    let contact = value["results"][0]["contact_id"].as_str().unwrap().to_owned();
    let said =
        json!({"policy": "everyone", "consent": {"basis": "consent", "actor": "user", "at": "2026-01-01T00:00:00Z"}});
    let (status, text, _) = ask(server, "PUT", &format!("contacts/{contact}/discovery"), &said);
    assert_eq!(status, 200, "{text}");
    contact
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_look_up_has_the_shape_of_the_contract() {
    let dir = folder();
    let server = Server::start(dir.path());
    settle(&server, &json!({}));
    let ann = user(&server, "user-17", &json!({"phone": "+1 650-555-1212"}));
    let bob = user(&server, "user-18", &json!({"email": "Bob@Example.com"}));
    let digest = "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176";
    let body = json!({"identifiers": [
        {"phone": "650-555-1212"}, {"email": "John_Smith@gmail.com"}, {"sha256": digest, "kind": "phone"},
        {"email": "bob@example.com"}, {"phone": "nonsense"}, {"sha256": digest, "kind": "email"}
    ], "asker": "user-17", "default_region": "US", "pad": true});
    let answer = lookup(&server, &body);
    let expected = json!({"epoch": 1, "results": [
        {"contact": ann, "canonical": "+16505551212"}, {"contact": null}, {"contact": ann},
        {"contact": bob, "canonical": "bob@example.com"}, {"contact": null}, {"contact": null}
    ], "charged": 6, "quota": {"remaining": 4994, "retry_after_s": 0}});
    assert_eq!(answer, expected);
    let unpaid = lookup(&server, &json!({"identifiers": [{"phone": "650-555-1212"}]}));
    assert_eq!(unpaid["quota"], json!({"remaining": null, "retry_after_s": 0}), "a back end that asks for nobody");
    let german = json!({"identifiers": [{"phone": "650-555-1212"}], "default_region": "DE"});
    assert_eq!(lookup(&server, &german)["results"], json!([{"contact": null}]));
    let unread = json!({"identifiers": [
        {"phone": "nonsense"}, {"sha256": digest, "kind": "phone"}, {"phone": "nonsense"}, {"email": "bob@example.com"}
    ]});
    let found = json!([{"contact": null}, {"contact": ann}, {"contact": null}, {"contact": bob, "canonical": "bob@example.com"}]);
    assert_eq!(lookup(&server, &unread)["results"], found, "each in its place, also behind one that cannot be read");
    // A whole batch, away from where connections are served, gives the same.
    let many: Vec<Value> =
        (0..10_000)
            .map(|at| {
                if at % 7 == 3 { json!({"phone": "+16505551212"}) } else { json!({"sha256": digest, "kind": "email"}) }
            })
            .collect();
    let answer = lookup(&server, &json!({"identifiers": many}));
    let results = answer["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[3]["contact"], &results[4]["contact"]), (10_000, &json!(ann), &Value::Null));
    for (body, status, field) in [
        (json!({"identifiers": vec![json!({"phone": "1"}); 10_001]}), 400, "identifiers"),
        (json!({"identifiers": [{"fax": "1"}]}), 400, "identifiers[0].fax"),
        (json!({"identifiers": [], "asker": "user-99"}), 400, "asker"),
        (json!({"identifiers": [{"phone": "x".repeat(2 << 20)}]}), 413, ""),
    ] {
        let (answered, text, problem) = ask(&server, "POST", "discovery/lookup", &body);
        assert_eq!((answered, problem["field"].as_str().unwrap_or("")), (status, field), "{text}");
    }
    let (status, _, problem) =
        ask(&server, "POST", "/v1/tenants/app/discovery/lookup?x=1", &json!({"identifiers": []}));
    assert_eq!((status, &problem["field"]), (400, &json!("x")));
    let nowhere = ask(&server, "POST", "/v1/tenants/nowhere/discovery/lookup", &json!({"identifiers": []}));
    assert_eq!((nowhere.0, &nowhere.2["code"]), (404, &json!("tenant_unknown")));
}

#[test]
fn absent_opted_out_and_blocked_are_the_same_bytes() {
    let dir = folder();
    let server = Server::start(dir.path());
    settle(&server, &json!({}));
    let asker = user(&server, "asker", &json!({"phone": "+12125550100"}));
    user(&server, "open", &json!({"phone": "+12125550101"}));
    let out = user(&server, "out", &json!({"phone": "+12125550102"}));
    let blocker = user(&server, "blocker", &json!({"phone": "+12125550103"}));
    assert_eq!(ask(&server, "POST", &format!("contacts/{out}/opt-out"), &Value::Null).0, 200);
    assert_eq!(ask(&server, "PUT", &format!("contacts/{blocker}/blocks/{asker}"), &Value::Null).0, 200);
    for pad in [false, true] {
        for send in [
            |phone: &str| json!({"phone": phone}),
            |phone: &str| json!({"sha256": hex(&primary(phone).0), "kind": "phone"}),
        ] {
            let text = |phone: &str| {
                let body = json!({"identifiers": [send(phone)], "asker": "asker", "pad": pad});
                let (status, text, _) = ask(&server, "POST", "discovery/lookup", &body);
                assert_eq!(status, 200);
                text
            };
            let results = |text: &str| text.split_once("\"quota\"").unwrap().0.to_owned();
            let (absent, hit) = (text("+12125550199"), text("+12125550101"));
            for hidden in ["+12125550102", "+12125550103"] {
                assert_eq!(results(&text(hidden)), results(&absent), "{hidden} {pad}");
            }
            assert_ne!(results(&hit), results(&absent));
            assert_eq!(hit.len() == absent.len(), pad, "with pad the length says nothing");
        }
    }
}

/// The head of an answer as it comes, without the date, the name of the request and the length, which is looked at here.
fn head(server: &Server, path: &str, connection: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (host, length) = (server.address(), body.len());
    let media = "Content-Type: application/json";
    let sent = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n{media}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(sent.as_bytes()).unwrap();
    let mut answer = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(answer.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.split_once("\r\ncontent-length: ").unwrap().1.split_once('\r').unwrap().0;
    let mut body = vec![0; length.parse().unwrap()];
    answer.read_exact(&mut body).unwrap();
    serde_json::from_slice::<Value>(&body).unwrap();
    let names = head.lines().map(|line| match line.split_once(": ") {
        Some((name @ ("date" | "x-request-id" | "content-length"), _)) => name,
        _ => line,
    });
    names.collect::<Vec<_>>().join("\n")
}

/// The calls that go round the router answer with the router's head, to the byte and in its order.
#[test]
fn nobody_can_tell_by_the_head_which_way_an_answer_took() {
    let dir = folder();
    let server = Server::start(dir.path());
    settle(&server, &json!({}));
    user(&server, "user-17", &json!({"phone": "+1 650-555-1212"}));
    let lookup = json!({"identifiers": [{"phone": "+1 650-555-1212"}]}).to_string();
    let record = json!({"record": {"source": "app", "source_record_id": "user-18", "name": "Ann"}}).to_string();
    let question = json!({"record": {"name": "Ann"}}).to_string();
    for (call, body) in [
        ("discovery/lookup", &*lookup),
        ("discovery/lookup", "{}"),
        ("discovery/lookup", ""),
        ("contacts:match", &question),
        ("contacts:match", "["),
        ("contacts:upsert", &record),
    ] {
        let path = format!("/v1/tenants/app/{call}");
        // A question mark with nothing behind it means the same, and is left to the router.
        let router = format!("{path}?");
        for connection in ["keep-alive", "close"] {
            let heads = [&path, &router].map(|path| head(&server, path, connection, body));
            assert_eq!(heads[0], heads[1], "{call} {connection} {body}");
        }
    }
}

#[test]
fn tokens_pay_for_what_was_asked_before_and_for_nothing_else() {
    let dir = folder();
    let server = Server::start(dir.path());
    settle(&server, &json!({"quota_new_max": 100, "quota_leak_per_hour": 0}));
    let ann = user(&server, "ann", &json!({"phone": "+12125550101"}));
    user(&server, "eve", &json!({"phone": "+12125550102"}));
    let phones =
        |from: u32, to: u32| (from..to).map(|n| json!({"phone": format!("+1212555{n:04}")})).collect::<Vec<_>>();
    let first = lookup(&server, &json!({"new": phones(100, 110), "asker": "ann"}));
    assert_eq!((&first["charged"], &first["quota"]["remaining"]), (&json!(10), &json!(90)));
    assert_eq!(first["results"][1]["contact"], json!(ann));
    let token = first["token"].as_str().unwrap();
    let second = json!({"token": token, "prev": phones(102, 110), "discard": phones(100, 102), "new": phones(110, 115), "asker": "ann"});
    let answer = lookup(&server, &second);
    assert_eq!((&answer["charged"], &answer["quota"]["remaining"]), (&json!(5), &json!(85)));
    assert_eq!(answer["results"].as_array().unwrap().len(), 13, "of prev, then of new");
    // The order and the spelling do not matter: a digest stands for its number.
    let mut spelt: Vec<Value> = phones(102, 110);
    spelt.reverse();
    spelt[0] = json!({"sha256": hex(&primary("+12125550109").0), "kind": "phone"});
    let third = json!({"token": token, "prev": spelt, "discard": phones(100, 102), "new": [], "asker": "ann"});
    assert_eq!(lookup(&server, &third)["charged"], json!(0));
    let refused = |body: &Value| {
        let (status, text, problem) = ask(&server, "POST", "discovery/lookup", body);
        assert_eq!((status, &problem["code"]), (409, &json!("token_invalid")), "{text}");
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = second.clone();
        change(&mut body);
        refused(&body);
    };
    with(&|body| body["prev"][0] = json!({"phone": "+12125550999"})); // swapped in
    with(&|body| body["prev"] = json!(phones(102, 111))); // one more
    with(&|body| body["discard"] = json!([])); // fewer
    with(&|body| body["asker"] = json!("eve")); // somebody else's
    with(&|body| body["token"] = json!("A".repeat(75))); // forged
    with(&|body| body["token"] = json!(token.replace(&token[20..21], if &token[20..21] == "x" { "y" } else { "x" })));
    // What was discarded is new again, and charged.
    let again = answer["token"].as_str().unwrap();
    let fourth = json!({"token": again, "prev": phones(102, 115), "new": phones(100, 102), "asker": "ann"});
    assert_eq!(lookup(&server, &fourth)["quota"]["remaining"], json!(83));
    let (status, _, rotated) = ask(&server, "POST", "discovery/rotate", &json!({"what": "tags"}));
    assert_eq!((status, rotated), (200, json!({"what": "tags", "epoch": 2})));
    refused(&second);
    assert_eq!(lookup(&server, &json!({"new": phones(100, 102), "asker": "ann"}))["epoch"], json!(2));
    assert_eq!(ask(&server, "POST", "discovery/rotate", &json!({"what": "all"})).0, 400);
}

#[test]
fn a_quota_outlives_a_kill_and_a_refusal_tells_nothing() {
    let dir = folder();
    let server = Server::start(dir.path());
    settle(&server, &json!({"quota_new_max": 128, "quota_leak_per_hour": 0}));
    user(&server, "ann", &json!({"phone": "+12125550101"}));
    let one = json!({"identifiers": [{"phone": "+12125550101"}], "asker": "ann"});
    let mut answered = 0;
    for _ in 0..50 {
        lookup(&server, &one);
        answered += 1;
    }
    server.kill9();
    let server = Server::start(dir.path());
    let refusal = loop {
        match ask(&server, "POST", "discovery/lookup", &one) {
            (200, ..) => answered += 1,
            (429, text, problem) => break (text, problem),
            (status, text, _) => panic!("{status} {text}"),
        }
        assert!(answered <= 128, "more than there was");
    };
    assert!(answered >= 126, "{answered}: a restart costs one reservation");
    assert_eq!((&refusal.1["code"], refusal.1["retry_after_s"].is_u64()), (&json!("quota_exceeded"), true));
    let absent = json!({"identifiers": [{"phone": "+12125550999"}], "asker": "ann"});
    let (status, text, _) = ask(&server, "POST", "discovery/lookup", &absent);
    assert_eq!((status, &text), (429, &refusal.0), "the same for hit and miss");
    let free = json!({"identifiers": [], "asker": "ann"});
    assert_eq!(lookup(&server, &free)["charged"], json!(0));
}

/// Every form in which an identifier could stand somewhere.
fn forms(kind: Kind, canonical: &str) -> BTreeMap<String, Vec<u8>> {
    let mut forms = BTreeMap::from([
        ("plain".to_owned(), canonical.as_bytes().to_vec()),
        ("unkeyed BLAKE3".to_owned(), blake3::hash(canonical.as_bytes()).as_bytes()[..16].to_vec()),
        ("unkeyed BLAKE3 in hex".to_owned(), blake3::hash(canonical.as_bytes()).to_hex()[..32].as_bytes().to_vec()),
    ]);
    if kind == Kind::Phone {
        forms.insert("digits".to_owned(), canonical.as_bytes()[canonical.len() - 10..].to_vec());
    } else {
        forms.insert("mailbox".to_owned(), canonical.split('@').next().unwrap().as_bytes().to_vec());
        forms.insert("domain".to_owned(), canonical.split('@').nth(1).unwrap().as_bytes().to_vec());
    }
    use base64::Engine as _;
    for (at, Inner(digest)) in inners(kind, canonical).into_iter().enumerate() {
        forms.insert(format!("SHA-256 {at}"), digest[..16].to_vec());
        forms.insert(format!("SHA-256 {at} in hex"), hex(&digest).as_bytes()[..32].to_vec());
        let base64 = base64::prelude::BASE64_STANDARD.encode(digest);
        forms.insert(format!("SHA-256 {at} in base64"), base64.as_bytes()[..20].to_vec());
        forms.insert(
            format!("SHA-256 {at} in base64url"),
            base64.replace('+', "-").replace('/', "_").as_bytes()[..20].to_vec(),
        );
        let tagless = blake3::hash(&digest);
        forms.insert(format!("BLAKE3 of SHA-256 {at}"), tagless.as_bytes()[..16].to_vec());
    }
    forms
}

fn stands(bytes: &[u8], form: &[u8]) -> bool {
    memchr(bytes, form)
}

fn memchr(bytes: &[u8], form: &[u8]) -> bool {
    let lower = bytes.to_ascii_lowercase();
    let exact = bytes.windows(form.len()).any(|window| window == form);
    exact || lower.windows(form.len()).any(|window| window == form.to_ascii_lowercase().as_slice())
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

const CANARY_PHONE: &str = "+12125550177";
const CANARY_EMAIL: &str = "zanzibar.quux+tag@quuxmail.example";

/// The forms of the canaries that stand in a file of plain frames.
fn forms_on_disk(dir: &Path) -> Vec<String> {
    let all = [forms(Kind::Phone, CANARY_PHONE), forms(Kind::Email, CANARY_EMAIL)].concat_all();
    let mut found = Vec::new();
    for (path, bytes) in files(dir) {
        found.extend(all.iter().filter(|(_, form)| stands(&bytes, form)).map(|(what, _)| format!("{what} in {path}")));
    }
    found
}

trait ConcatAll {
    fn concat_all(self) -> Vec<(String, Vec<u8>)>;
}

impl ConcatAll for [BTreeMap<String, Vec<u8>>; 2] {
    fn concat_all(self) -> Vec<(String, Vec<u8>)> {
        self.into_iter().flatten().collect()
    }
}

fn start_plain(dir: &Path) -> Server {
    let config = file(dir, "selfsame.toml", "encryption = false\n");
    Server::start_with(&dir.join("data"), &["--config", config.to_str().unwrap()])
}

/// Everything that a directory does with the canaries: stored in two records, asked about, imported, snapshotted.
fn live_with_canaries(server: &Server) -> String {
    let id = user(server, "1", &json!({"phone": CANARY_PHONE, "email": CANARY_EMAIL}));
    let csv = format!("id,name,email,phone\n2,User 1,{CANARY_EMAIL},{CANARY_PHONE}\n3,Nobody Else,,+12125550178\n");
    let (status, _) =
        call(server.address(), "POST", "/v1/tenants/app/imports?source=crm", "text/csv", csv.as_bytes()).unwrap();
    assert_eq!(status, 200);
    let keyed = json!({"record": {"source": "app", "source_record_id": "1", "name": "User 1", "phone": CANARY_PHONE, "email": CANARY_EMAIL},
        "idempotency_key": "k"});
    assert_eq!(ask(server, "POST", "contacts:upsert", &keyed).0, 200);
    assert_eq!(ask(server, "POST", "contacts:upsert", &keyed).0, 200, "and its repeat");
    let plain = [json!({"phone": "(212) 555-0177"}), json!({"email": CANARY_EMAIL})];
    let digest =
        |kind: Kind, at: usize, text: &str| json!({"sha256": hex(&inners(kind, text)[at].0), "kind": kind.word()});
    let digests = [
        digest(Kind::Phone, 0, CANARY_PHONE),
        digest(Kind::Phone, 1, CANARY_PHONE),
        digest(Kind::Email, 1, CANARY_EMAIL),
    ];
    let all: Vec<Value> = plain.into_iter().chain(digests).collect();
    let answer = lookup(server, &json!({"identifiers": all, "asker": "1"}));
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(result["contact"], json!(id), "{answer}");
    }
    let (status, text, matched) =
        ask(server, "POST", "contacts:match", &json!({"contact": {"name": "User 1", "phone": CANARY_PHONE}}));
    assert_eq!((status, &matched["candidates"][0]["contact_id"]), (200, &json!(id)), "{text}");
    assert_eq!(ask(server, "POST", "/v1/admin/snapshot", &json!({})).0, 200);
    id
}

#[test]
fn a_tenant_that_keeps_tags_only_answers_and_holds_no_identifier() {
    let dir = folder();
    let server = start_plain(dir.path());
    settle(&server, &json!({"tags_only": true}));
    let id = live_with_canaries(&server);
    let (_, text, contact) = ask(&server, "GET", &format!("contacts/{id}"), &Value::Null);
    assert_eq!(contact["canonical_name"], json!("User 1"));
    // However it is written, seven digits in a row are the number; three of them stand in an id or a time by chance.
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number: String = CANARY_PHONE.chars().filter(char::is_ascii_digit).collect();
    assert!(!digits.contains(&number[number.len() - 7..]), "{text}");
    assert!(!text.contains("quux") && contact.get("phones").is_none_or(|list| list == &json!([])), "{text}");
    // The imported record with the same identifiers was joined by their tags; whom they contradict was not.
    let records = contact["records"].as_array().unwrap().len();
    assert_eq!(records, 2, "{text}");
    let patch = ask(&server, "PATCH", &format!("contacts/{id}"), &json!({"phones": [{"value": "+12125550100"}]}));
    assert_eq!((patch.0, &patch.2["field"]), (400, &json!("phones")));
    let refused = ask(&server, "PUT", "settings", &json!({"discovery": {"users": "app"}}));
    assert_eq!((refused.0, &refused.2["code"]), (409, &json!("tags_only_settled")));
    for epoch in 2..=8 {
        assert_eq!(ask(&server, "POST", "discovery/rotate", &json!({"what": "tags"})).2["epoch"], json!(epoch));
        let answer = lookup(&server, &json!({"identifiers": [{"phone": CANARY_PHONE}], "asker": "1"}));
        assert_eq!((&answer["epoch"], &answer["results"][0]["contact"]), (&json!(epoch), &json!(id)));
    }
    let refused = ask(&server, "POST", "discovery/rotate", &json!({"what": "tags"}));
    assert_eq!((refused.0, &refused.2["code"]), (409, &json!("generations_max")));
    server.kill9();
    let server = start_plain(dir.path());
    let answer =
        lookup(&server, &json!({"identifiers": [{"phone": CANARY_PHONE}, {"email": CANARY_EMAIL}], "asker": "1"}));
    assert_eq!((&answer["results"][0]["contact"], &answer["results"][1]["contact"]), (&json!(id), &json!(id)));
    server.stop();
    assert_eq!(forms_on_disk(&dir.path().join("data")), Vec::<String>::new());
}

/// The scan finds what is there: a tenant that keeps identifiers has them on a disk that is not sealed.
#[test]
fn the_scan_finds_what_an_ordinary_tenant_writes() {
    let dir = folder();
    let server = start_plain(dir.path());
    settle(&server, &json!({}));
    live_with_canaries(&server);
    server.stop();
    let found = forms_on_disk(&dir.path().join("data"));
    for form in ["plain in", "digits in", "mailbox in", "domain in"] {
        assert!(found.iter().any(|one| one.starts_with(form)), "{form}: {found:?}");
    }
    assert!(
        !found.iter().any(|one| one.contains("SHA-256") || one.contains("BLAKE3")),
        "what is looked up leaves nothing: {found:?}"
    );
}

#[test]
fn logs_figures_and_errors_hold_nothing_of_what_was_asked() {
    let dir = folder();
    let mut log = tempfile::tempfile().unwrap();
    let mut command = crate::server::program(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        dir.path().join("data").to_str().unwrap(),
    ]);
    command.env("SELFSAME_LOG", "trace").stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut child = command.stderr(log.try_clone().unwrap()).spawn().unwrap();
    let read_log = |log: &mut std::fs::File| {
        use std::io::{Read, Seek, SeekFrom};
        let (mut text, mut copy) = (Vec::new(), log.try_clone().unwrap());
        copy.seek(SeekFrom::Start(0)).unwrap();
        copy.read_to_end(&mut text).unwrap();
        copy.seek(SeekFrom::End(0)).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let address = loop {
        let text = read_log(&mut log);
        assert!(child.try_wait().unwrap().is_none(), "{text}");
        if let (Some((_, rest)), true) = (text.split_once("listening on http://"), text.contains("selfsame: ready")) {
            break rest.lines().next().unwrap().trim().to_owned();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let send = |path: &str, body: &str| call(&address, "POST", path, "application/json", body.as_bytes()).unwrap();
    let put = |path: &str, body: &str| call(&address, "PUT", path, "application/json", body.as_bytes()).unwrap();
    let at = "/v1/tenants/app/discovery/lookup";
    assert_eq!(put("/v1/tenants/app/settings", r#"{"discovery":{"users":"app"}}"#).0, 200);
    let digest = hex(&primary(CANARY_PHONE).0);
    let mut bodies = Vec::new();
    for body in [
        format!(
            r#"{{"identifiers":[{{"phone":"{CANARY_PHONE}"}},{{"email":"{CANARY_EMAIL}"}},{{"sha256":"{digest}","kind":"phone"}}]}}"#
        ),
        format!(r#"{{"identifiers":["{CANARY_PHONE}"]}}"#),
        format!(r#"{{"identifiers":[{{"{CANARY_PHONE}":1}}]}}"#),
        format!(r#"{{"identifiers":[{{"sha256":"{CANARY_PHONE}","kind":"phone"}}]}}"#),
        format!(r#"{{"identifiers":[{{"sha256":"{digest}","kind":"{CANARY_EMAIL}"}}]}}"#),
        format!(r#"{{"identifiers":[],"asker":"{CANARY_EMAIL}"}}"#),
        format!(r#"{{"identifiers":[],"token":"{digest}"}}"#),
        format!(r#"{{"new":[{{"phone":"{CANARY_PHONE}"}}],"token":"{digest}"}}"#),
        format!(r#"{{"{CANARY_EMAIL}":[]}}"#),
        format!(r#"{{"identifiers":[{{"phone":{}}}]}}"#, &CANARY_PHONE[1..]),
    ] {
        bodies.push(String::from_utf8(send(at, &body).1).unwrap());
    }
    let (status, figures) = call(&address, "GET", "/metrics", "", b"").unwrap();
    assert_eq!(status, 200);
    let figures = String::from_utf8(figures).unwrap();
    assert!(figures.contains("/v1/tenants/{tenant}/discovery/lookup"), "{figures}");
    child.kill().unwrap();
    child.wait().unwrap();
    let log = read_log(&mut log);
    assert!(log.contains("answered"), "requests are logged: {log}");
    for (place, text) in [("the log", &log), ("figures", &figures), ("answers", &bodies.join("\n"))] {
        for (what, form) in [forms(Kind::Phone, CANARY_PHONE), forms(Kind::Email, CANARY_EMAIL)].concat_all() {
            assert!(!stands(text.as_bytes(), &form), "{what} in {place}: {text}");
        }
    }
}

/// Numbers of one area code; a hundredth of them where the test is not optimised.
fn range() -> u32 {
    if is_optimised() { 10_000_000 } else { 100_000 }
}

/// The number whose digits, followed by `tail`, have this SHA-256 digest: tries all of one area code.
fn reverse(wanted: &[u8; 32], tail: &[u8], range: u32) -> Option<u32> {
    (0..range).into_par_iter().with_min_len(10_000).find_any(|number| {
        let mut text = [b'0'; 64];
        text[..4].copy_from_slice(b"1212");
        let mut rest = *number;
        for digit in text[4..11].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap();
            rest /= 10;
        }
        text[11..11 + tail.len()].copy_from_slice(tail);
        Sha256::digest(&text[..11 + tail.len()]).as_slice() == wanted
    })
}

/// Whether this test is built with optimisation: a loop that any optimiser shortens.
fn is_optimised() -> bool {
    let started = Instant::now();
    let sum = (0..2_000_000_u64).fold(0_u64, |sum, at| std::hint::black_box(sum.wrapping_add(at)));
    std::hint::black_box(sum);
    started.elapsed() < Duration::from_millis(8)
}

/// Why the README says that hashing is no privacy: with a public pepper, or none, whoever sees a digest has the number.
#[test]
fn an_unkeyed_digest_gives_the_number_away_within_a_second() {
    let pepper = b" msisdn zK4fU0bQxP2mS9dLwT7yHc1nRgVj6aEo";
    let (range, last) = (range(), range() - 1);
    let number = format!("1212{last:07}");
    let mut hidden = number.clone().into_bytes();
    hidden.extend(pepper);
    let digest: [u8; 32] = Sha256::digest(&hidden).into();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        assert_eq!(reverse(&digest, pepper, range), Some(last));
        best = best.min(started.elapsed());
        if best < Duration::from_secs(1) {
            break;
        }
    }
    println!("one of {range} numbers behind a public pepper in {best:?}");
    assert!(best < Duration::from_secs(1), "{best:?}");
    assert_eq!(reverse(&primary(&number).0, b"", range), Some(last), "without a pepper just so");
}

/// The same attack on tags from a stolen disk finds nothing without the key, and everything with it.
#[test]
fn a_stolen_tag_gives_nothing_away_without_the_key() {
    let key = Master::new(&[7; 32]).tag_key("app", 1);
    let stolen = key.tag(Kind::Phone, &primary("+12120001234"));
    let tries = |tag_of: &(dyn Fn(&Inner) -> [u8; 16] + Sync)| {
        (0..20_000_u32).into_par_iter().find_any(|number| {
            let inner = primary(&format!("+1212{number:07}"));
            tag_of(&inner) == stolen
        })
    };
    let start = |hash: blake3::Hash| *hash.as_bytes().first_chunk::<16>().unwrap();
    let with_kind = |inner: &Inner| [&[1_u8][..], &inner.0].concat();
    assert_eq!(tries(&|inner| *inner.0.first_chunk().unwrap()), None);
    assert_eq!(tries(&|inner| start(blake3::hash(&with_kind(inner)))), None);
    assert_eq!(tries(&|inner| start(blake3::keyed_hash(&[0; 32], &with_kind(inner)))), None);
    assert_eq!(tries(&|inner| Master::new(&[8; 32]).tag_key("app", 1).tag(Kind::Phone, inner)), None);
    assert_eq!(
        tries(&|inner| key.tag(Kind::Phone, inner)),
        Some(1_234),
        "with the key the tag is as good as the number"
    );
}
