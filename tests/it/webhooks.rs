//! Webhooks: a receiver on loopback, and what the real server sends to it.
//!
//! The engine's side (places in the feed, restarts) is tested on a disk in memory; deliveries go through the real program
//! and a small receiver here, whose answers a test chooses.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver as Inbox, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use selfsame::engine::Engine;
use selfsame::engine::api::{Answer, Command, Context, NewWebhook, Report, WebhookCommand};
use selfsame::error::Error;
use selfsame::host::MemDisk;
use selfsame::model::event::FeedPlace;
use selfsame::model::ids::{DeliveryId, Seq, WebhookId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::engine::{open, tenant, upsert};
use crate::server::{Server, call, file, folder};

/// How long a test waits for a delivery that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits for one that must not come.
const QUIET: Duration = Duration::from_millis(400);

/// One delivery as it arrived.
#[derive(Clone, Debug)]
struct Arrived {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Arrived {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn seqs(&self) -> Vec<u64> {
        self.json()["changes"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
    }
}

/// What a receiver answers, by the path of the URL.
type Rule = Arc<dyn Fn(&Arrived) -> (u16, Duration) + Send + Sync>;

/// A receiver on loopback: one thread a connection, every delivery goes to the test.
struct Hooked {
    port: u16,
    rule: Arc<Mutex<Rule>>,
    inbox: Inbox<Arrived>,
}

impl Hooked {
    fn start(rule: impl Fn(&Arrived) -> (u16, Duration) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Arc::new(rule)));
        let (send, inbox) = channel();
        let rules = Arc::clone(&rule);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (rules, send) = (Arc::clone(&rules), send.clone());
                std::thread::spawn(move || {
                    let Some(arrived) = receive(&stream) else { return };
                    let rule = Arc::clone(&rules.lock().unwrap());
                    let (status, wait) = rule(&arrived);
                    let _ = send.send(arrived);
                    std::thread::sleep(wait);
                    let _ = write!(&stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                });
            }
        });
        Self { port, rule, inbox }
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    fn answer(&self, rule: impl Fn(&Arrived) -> (u16, Duration) + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Arc::new(rule);
    }

    fn next(&self) -> Arrived {
        self.inbox.recv_timeout(PATIENCE).expect("a delivery")
    }

    fn nothing_comes(&self) {
        let came = self.inbox.recv_timeout(QUIET);
        assert!(matches!(came, Err(RecvTimeoutError::Timeout)), "{came:?}");
    }

    /// Deliveries until one has an entry of this seq.
    fn until(&self, seq: u64) -> Vec<Arrived> {
        let mut all = Vec::new();
        loop {
            all.push(self.next());
            if all.last().unwrap().seqs().contains(&seq) {
                return all;
            }
        }
    }
}

fn receive(stream: &TcpStream) -> Option<Arrived> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Arrived { path, headers, body: String::from_utf8(body).ok()? })
}

const AT_ONCE: Duration = Duration::ZERO;

/// A server whose webhooks may call this machine, and which is in a hurry.
fn serve(folder: &Path, more: &str) -> Server {
    let config = format!("webhooks_allow_private = true\nwebhooks_retry_ms = 10\n{more}");
    let config = file(folder, "selfsame.toml", config);
    Server::start_with(&folder.join("data"), &["--config", config.to_str().unwrap()])
}

fn register(server: &Server, request: &Value) -> Value {
    let answer = server.post("webhooks", request);
    assert!(answer["secret"].as_str().is_some_and(|secret| secret.len() >= 16), "{answer}");
    answer
}

fn put(server: &Server, number: usize) -> u64 {
    let record =
        json!({"source": "s", "source_record_id": number.to_string(), "name": format!("Person Number{number}")});
    server.post("contacts:upsert", &json!({ "record": record }))["seq"].as_u64().unwrap()
}

fn delete(server: &Server, path: &str) -> u16 {
    call(server.address(), "DELETE", &format!("/v1/tenants/main/{path}"), "", b"").unwrap().0
}

/// The seqs of the change feed.
fn feed(server: &Server) -> Vec<u64> {
    let changes = server.get("changes?limit=1000");
    changes["changes"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

/// HMAC by its definition (RFC 2104), with SHA-256 alone.
fn hmac(secret: &str, text: &str) -> String {
    let mut key = [0; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner = Sha256::new().chain_update(key.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(key.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn deliveries_are_signed_and_in_the_feeds_order() {
    let receiver = Hooked::start(|_| (200, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "");
    put(&server, 0);
    let hook = register(&server, &json!({"url": receiver.url("/hook?x=1"), "secret": "0123456789abcdef-secret"}));
    assert_eq!((&hook["status"], &hook["kinds"]), (&json!("active"), &json!([])));
    let mut last = 0;
    (1..30).for_each(|number| last = put(&server, number));
    let all = receiver.until(last);
    let seqs: Vec<u64> = all.iter().flat_map(Arrived::seqs).collect();
    assert_eq!(seqs, feed(&server)[1..], "everything since it was registered, in order, each once");
    for arrived in &all {
        assert_eq!(arrived.path, "/hook?x=1");
        let timestamp = arrived.header("selfsame-timestamp");
        let expected = hmac("0123456789abcdef-secret", &format!("{timestamp}.{}", arrived.body));
        assert_eq!(arrived.header("selfsame-signature"), expected);
        let body = arrived.json();
        assert_eq!(arrived.header("selfsame-webhook-id"), hook["webhook_id"].as_str().unwrap());
        assert_eq!(body["webhook_id"], hook["webhook_id"]);
        assert_eq!(arrived.header("selfsame-delivery-id"), body["delivery_id"].as_str().unwrap());
        assert_eq!((&body["tenant"], &body["changes"][0]["kind"]), (&json!("main"), &json!("created")));
        assert!(!arrived.body.contains("Person"), "no value of a person leaves");
    }
    let listed = server.get("webhooks");
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let shown = format!("{listed}{}", server.get(&format!("webhooks/{}", hook["webhook_id"].as_str().unwrap())));
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("\"secret\""), "{shown}");
    let (_, figures) = call(server.address(), "GET", "/metrics", "", b"").unwrap();
    let figures = String::from_utf8(figures).unwrap();
    assert!(figures.contains("selfsame_webhook_entries_total 29"), "{figures}");
    assert!(figures.contains("selfsame_webhook_attempts_total{outcome=\"delivered\"}"), "{figures}");
}

#[test]
fn a_webhook_hears_the_kinds_it_wants_from_where_it_wants() {
    let receiver = Hooked::start(|_| (204, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "");
    let first = put(&server, 1);
    let contact = server.get("changes")["changes"][0]["contact_ids"][0].as_str().unwrap().to_owned();
    put(&server, 2);
    assert_eq!(delete(&server, &format!("contacts/{contact}")), 200);
    let all = register(&server, &json!({"url": receiver.url("/all"), "after": "0"}));
    assert_eq!(receiver.until(feed(&server)[2]).iter().flat_map(Arrived::seqs).collect::<Vec<_>>(), feed(&server));
    assert_eq!(delete(&server, &format!("webhooks/{}", all["webhook_id"].as_str().unwrap())), 200);
    register(
        &server,
        &json!({"url": receiver.url("/some"), "kinds": ["deleted", "restored"], "after": first.to_string()}),
    );
    let arrived = receiver.next();
    assert_eq!((arrived.path.as_str(), &arrived.json()["changes"][0]["kind"]), ("/some", &json!("deleted")));
    put(&server, 3);
    receiver.nothing_comes();
    server.post(&format!("contacts/{contact}/restore"), &json!({}));
    assert_eq!(receiver.next().json()["changes"][0]["kind"], "restored");
}

#[test]
fn a_backlog_comes_in_batches() {
    let receiver = Hooked::start(|_| (200, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "");
    let record =
        |n: usize| json!({"source": "s", "source_record_id": n.to_string(), "name": format!("Person Number{n}")});
    let records: Vec<Value> = (0..250).map(record).collect();
    server.post("contacts:upsert", &json!({ "records": records }));
    let feed = feed(&server);
    register(&server, &json!({"url": receiver.url("/"), "after": "0"}));
    let batches: Vec<Vec<u64>> = receiver.until(*feed.last().unwrap()).iter().map(Arrived::seqs).collect();
    assert_eq!(batches.concat(), feed);
    let (last, full) = batches.split_last().unwrap();
    assert!(feed.len() >= 250 && full.iter().all(|batch| batch.len() == 100) && last.len() <= 100, "{batches:?}");
}

#[test]
fn failures_are_retried_in_order_and_the_same() {
    let failures = Mutex::new(3);
    let receiver = Hooked::start(move |_| {
        let mut left = failures.lock().unwrap();
        *left -= i32::from(*left > 0);
        (if *left > 0 { 500 } else { 200 }, AT_ONCE)
    });
    let folder = folder();
    let server = serve(folder.path(), "");
    register(&server, &json!({"url": receiver.url("/"), "after": "0"}));
    let first = put(&server, 1);
    // The second change must not get into the delivery that fails, or its first attempt would be taken for the end.
    let mut all = vec![receiver.next()];
    let last = put(&server, 2);
    all.extend(receiver.until(last));
    let same = |n: usize| (all[n].header("selfsame-delivery-id").to_owned(), all[n].body.clone());
    assert_eq!((same(0), same(1)), (same(1), same(2)), "two failures, then the same once more");
    assert!(all[0].seqs().contains(&(first)));
    let seqs: Vec<u64> = all[2..].iter().flat_map(Arrived::seqs).collect();
    assert_eq!(seqs, feed(&server));
}

#[test]
fn what_does_not_get_through_is_a_dead_letter_and_can_be_sent_again() {
    let receiver = Hooked::start(|_| (503, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "webhooks_attempts_max = 2");
    let hook = register(&server, &json!({"url": receiver.url("/")}));
    let path = format!("webhooks/{}", hook["webhook_id"].as_str().unwrap());
    let first = put(&server, 1);
    assert_eq!((receiver.next().seqs(), receiver.next().seqs()), (vec![first], vec![first]));
    let dead = wait_for(|| Some(server.get(&format!("{path}/dead"))).filter(|dead| dead["items"][0].is_object()));
    let letter = &dead["items"][0];
    assert_eq!(
        (&letter["attempts"], &letter["error"], &letter["first_seq"]),
        (&json!(2), &json!("status 503"), &json!(first))
    );
    receiver.answer(|_| (200, AT_ONCE));
    let next = put(&server, 2);
    assert_eq!(receiver.next().seqs(), [next], "it goes on with the next");

    receiver.answer(|_| (302, AT_ONCE));
    let retry = format!("{path}/dead/{}/retry", letter["delivery_id"].as_str().unwrap());
    let (status, answer) = server.try_post(&retry, &json!({}));
    assert_eq!((status, &answer["delivery_id"]), (202, &letter["delivery_id"]));
    assert_eq!(receiver.next().header("selfsame-delivery-id"), letter["delivery_id"]);
    let again = |attempts: u64| {
        wait_for(|| Some(server.get(&format!("{path}/dead"))).filter(|dead| dead["items"][0]["attempts"] == attempts))
    };
    let dead = again(3);
    assert_eq!(dead["items"][0]["error"], "status 302; redirects are not followed");
    assert_eq!(dead["items"][0]["retrying"], false);
    receiver.answer(|_| (200, AT_ONCE));
    server.post(&retry, &json!({}));
    assert_eq!(receiver.next().seqs(), [first]);
    wait_for(|| server.get(&format!("{path}/dead"))["items"].as_array().unwrap().is_empty().then_some(()));
    assert_eq!(server.try_post(&retry, &json!({})).1["code"], "delivery_unknown");

    receiver.answer(|_| (410, AT_ONCE));
    put(&server, 3);
    receiver.next();
    let off = wait_for(|| Some(server.get(&path)).filter(|hook| hook["status"] == "disabled"));
    assert!(off["note"].as_str().unwrap().contains("410"), "{off}");
    put(&server, 4);
    receiver.nothing_comes();
}

#[test]
fn a_dead_letter_that_is_wanted_does_not_wait_for_a_retry() {
    let receiver = Hooked::start(|_| (500, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "webhooks_attempts_max = 1");
    let hook = register(&server, &json!({"url": receiver.url("/")}));
    let dead = format!("webhooks/{}/dead", hook["webhook_id"].as_str().unwrap());
    let first = put(&server, 1);
    let letter = wait_for(|| server.get(&dead)["items"][0]["delivery_id"].as_str().map(str::to_owned));
    assert_eq!(receiver.next().seqs(), [first]);
    assert_eq!(server.stop(), Some(0));

    let patient = "webhooks_allow_private = true\nwebhooks_retry_ms = 600000";
    let config = file(folder.path(), "patient.toml", patient);
    let server = Server::start_with(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
    let second = put(&server, 2);
    assert_eq!(receiver.next().seqs(), [second]);
    receiver.nothing_comes();
    receiver.answer(|_| (200, AT_ONCE));
    server.post(&format!("{dead}/{letter}/retry"), &json!({}));
    assert_eq!((receiver.next().seqs(), receiver.next().seqs()), (vec![first], vec![second]));
    wait_for(|| server.get(&dead)["items"].as_array().unwrap().is_empty().then_some(()));
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_restart_goes_on_where_it_was_and_a_kill_leaves_nothing_out() {
    let receiver = Hooked::start(|_| (200, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "webhooks_attempts_max = 1");
    let hook = register(&server, &json!({"url": receiver.url("/")}));
    let dead = format!("webhooks/{}/dead", hook["webhook_id"].as_str().unwrap());
    receiver.answer(|_| (500, AT_ONCE));
    let buried = put(&server, 100);
    wait_for(|| server.get(&dead)["items"][0].is_object().then_some(()));
    assert_eq!(receiver.next().seqs(), [buried]);
    receiver.answer(|_| (200, AT_ONCE));
    // Each answer takes a while: the last is on its way when the server stops, which waits for it.
    receiver.answer(|_| (200, Duration::from_millis(200)));
    let last = (1..10).map(|number| put(&server, number)).last().unwrap();
    receiver.until(last);
    assert_eq!(server.stop(), Some(0));
    receiver.answer(|_| (200, AT_ONCE));

    let server = serve(folder.path(), "webhooks_attempts_max = 1");
    receiver.nothing_comes();
    assert_eq!(server.get(&dead)["items"][0]["first_seq"], buried, "dead letters are kept");
    let next = put(&server, 11);
    let came = receiver.next();
    assert_eq!(came.seqs(), [next], "nothing twice after an orderly stop, and nothing left out");
    let signed =
        hmac(hook["secret"].as_str().unwrap(), &format!("{}.{}", came.header("selfsame-timestamp"), came.body));
    assert_eq!(came.header("selfsame-signature"), signed, "the generated secret survives too");

    // Killed while deliveries are under way: what was not delivered comes, what was may come again.
    receiver.answer(|_| (200, Duration::from_millis(30)));
    let numbers = 20..60;
    let last = numbers.clone().map(|number| put(&server, number)).last().unwrap();
    server.kill9();
    let server = serve(folder.path(), "webhooks_attempts_max = 1");
    let seen: BTreeSet<u64> = receiver.until(last).iter().flat_map(Arrived::seqs).collect();
    let expected: BTreeSet<u64> = feed(&server).into_iter().filter(|seq| *seq > next).collect();
    assert_eq!(expected.len(), numbers.len());
    assert!(expected.is_subset(&seen), "left out: {:?}", expected.difference(&seen));
}

#[test]
fn a_slow_receiver_holds_up_nobody_else() {
    let receiver = Hooked::start(|arrived| match arrived.path.as_str() {
        "/slow" => (200, Duration::from_secs(5)),
        _ => (200, AT_ONCE),
    });
    let folder = folder();
    let server = serve(folder.path(), "webhooks_timeout_seconds = 1");
    register(&server, &json!({"url": receiver.url("/slow")}));
    register(&server, &json!({"url": receiver.url("/fast")}));
    let mut fast = Vec::new();
    // Twenty writes, each delivered before the next is sent.
    let mut twenty = |server: &Server, from: usize, within: u64| {
        let started = Instant::now();
        for number in from..from + 20 {
            let seq = put(server, number);
            while !fast.contains(&seq) {
                let arrived = receiver.next();
                if arrived.path == "/fast" {
                    fast.extend(arrived.seqs());
                }
            }
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(within), "twenty writes, each delivered, took {took:?}");
    };
    twenty(&server, 0, 4);

    // More slow ones than the tenant has places: their first attempts take a second or two in turn, then they keep to
    // themselves.
    (0..10).for_each(|_| drop(register(&server, &json!({"url": receiver.url("/slow"), "after": "0"}))));
    twenty(&server, 100, 8);
    assert_eq!(fast, feed(&server));

    let other = "/v1/tenants/other/";
    server.post(&format!("{other}webhooks"), &json!({"url": receiver.url("/other")}));
    let started = Instant::now();
    for number in 0..20 {
        let record =
            json!({"source": "s", "source_record_id": number.to_string(), "name": format!("Other Number{number}")});
        let answer = server.post(&format!("{other}contacts:upsert"), &json!({ "record": record }));
        let seq = answer["seq"].as_u64().unwrap();
        let is_it = |arrived: Arrived| arrived.path == "/other" && arrived.seqs().contains(&seq);
        while !is_it(receiver.next()) {}
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "twenty writes of another tenant took {took:?}");
}

#[test]
fn a_deleted_webhook_gets_nothing_more() {
    let receiver = Hooked::start(|_| (500, AT_ONCE));
    let folder = folder();
    let server = serve(folder.path(), "webhooks_attempts_max = 100");
    let hook = register(&server, &json!({"url": receiver.url("/")}));
    let path = format!("webhooks/{}", hook["webhook_id"].as_str().unwrap());
    put(&server, 1);
    receiver.next();
    assert_eq!(delete(&server, &path), 200);
    assert_eq!(delete(&server, &path), 404);
    while receiver.inbox.recv_timeout(QUIET).is_ok_and(|_| true) {
        // An attempt that was under way.
    }
    put(&server, 2);
    receiver.nothing_comes();
    assert_eq!(server.get("webhooks")["items"], json!([]));
}

#[test]
fn bad_webhooks_are_refused_with_the_field_and_the_remedy() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    put(&server, 1);
    for (request, field, why) in [
        (json!({"url": "http://example.com/"}), "url", "https://"),
        (json!({"url": "https://user:pw@example.com/"}), "url", "password"),
        (json!({"url": "https://localhost/"}), "url", "a loopback address"),
        (json!({"url": "https://127.1/"}), "url", "a loopback address"),
        (json!({"url": "https://2130706433/"}), "url", "a loopback address"),
        (json!({"url": "https://0x7f000001/"}), "url", "a loopback address"),
        (json!({"url": "https://[::ffff:127.0.0.1]/"}), "url", "IPv4-mapped"),
        (json!({"url": "https://10.0.0.1/"}), "url", "webhooks_allow_private"),
        (json!({"url": format!("https://example.com/{}", "x".repeat(3000))}), "url", "2048"),
        (json!({"url": "https://8.8.8.8/", "kinds": ["born"]}), "kinds[0]", "created, updated"),
        (json!({"url": "https://8.8.8.8/", "after": "999999"}), "after", "leave it out"),
        (json!({"url": "https://8.8.8.8/", "secret": "x"}), "secret", "16 to 256"),
        (json!({"url": "https://8.8.8.8/", "retries": 3}), "retries", "unknown"),
    ] {
        let (status, problem) = server.try_post("webhooks", &request);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{request}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{request}: {problem}");
    }
    assert_eq!(server.get("webhooks")["items"], json!([]));
    let unknown = "webhooks/0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978";
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/dead")] {
        let path = format!("/v1/tenants/main/{unknown}{path}");
        let (status, body) = call(server.address(), method, &path, "", b"").unwrap();
        assert_eq!(status, 404);
        assert!(String::from_utf8(body).unwrap().contains("webhook_unknown"));
    }
    assert_eq!(server.try_post("webhooks/x/dead/y/retry", &json!({})).1["field"], "id");
    for number in 0..20 {
        register(&server, &json!({"url": format!("https://8.8.8.8/{number}"), "after": "0", "kinds": ["restored"]}));
    }
    let (status, problem) = server.try_post("webhooks", &json!({"url": "https://8.8.8.8/"}));
    assert_eq!((status, &problem["code"]), (409, &json!("webhooks_full")));
    assert!(problem["detail"].as_str().unwrap().contains("at most 20"), "{problem}");
}

#[test]
fn a_repeat_with_the_same_key_registers_one_webhook() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let request = json!({"url": "https://8.8.8.8/", "idempotency_key": "once"});
    let (first, second) = (register(&server, &request), register(&server, &request));
    assert_eq!(first, second, "the first answer, secret included, also for a tenant that it created");
    assert_eq!(server.get("webhooks")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_wrong_file_of_certificates_is_told_before_anything_starts() {
    let folder = folder();
    let config = file(folder.path(), "c.toml", "webhooks_ca_file = '/nowhere.pem'");
    let data = folder.path().join("data");
    let output =
        crate::server::run(&["serve", "--data-dir", data.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    let said = crate::server::stderr(&output);
    assert!(output.status.code() == Some(2) && said.contains("webhooks_ca_file: /nowhere.pem"), "{said}");
    assert!(!data.exists());
}

fn submit(engine: &Engine, command: WebhookCommand) -> Result<Answer, Error> {
    let context = Context { actor: "me".into(), idempotency: None };
    engine.submit_blocking(&tenant(), Command::Webhook(command), context).map(|receipt| receipt.answer)
}

fn create(engine: &Engine) -> WebhookId {
    let new = NewWebhook { url: "https://example.com".into(), kinds: Vec::new(), secret: None, after: Some(Seq(0)) };
    let Answer::Webhook(id) = submit(engine, WebhookCommand::Create(Box::new(new))).unwrap() else { panic!() };
    id
}

#[test]
fn webhooks_outlive_a_restart_from_journal_and_from_snapshot() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    upsert(&engine, r#"{"source":"a","source_record_id":"1","name":"Mary Miller"}"#);
    let (id, gone) = (create(&engine), create(&engine));
    let place = |seq: u64| FeedPlace { seq: Seq(seq), part: 1 };
    let died = |number: u128| Report::Died {
        delivery: DeliveryId(number),
        first: place(2),
        last: place(3),
        attempts: 7,
        error: "status 500".into(),
    };
    for report in
        [Report::Delivered { through: place(2) }, died(1), died(2), Report::Settled { delivery: DeliveryId(2) }]
    {
        submit(&engine, WebhookCommand::Report(id, report)).unwrap();
    }
    submit(&engine, WebhookCommand::Retry(id, DeliveryId(1))).unwrap();
    submit(&engine, WebhookCommand::Delete(gone)).unwrap();
    let (before, seq) = (engine.view(&tenant()).unwrap().webhooks(), engine.view(&tenant()).unwrap().seq());
    assert_eq!((before.len(), before[0].through, before[0].dead[0].wanted), (1, place(3), true));
    // What says nothing new makes no event.
    for report in [Report::Delivered { through: place(1) }, Report::Settled { delivery: DeliveryId(2) }] {
        submit(&engine, WebhookCommand::Report(id, report)).unwrap();
    }
    submit(&engine, WebhookCommand::Retry(id, DeliveryId(1))).unwrap();
    assert_eq!(engine.view(&tenant()).unwrap().seq(), seq);
    let mut engine = engine;
    for what in ["the journal", "the snapshot"] {
        let fingerprint = engine.view(&tenant()).unwrap().fingerprint();
        drop(engine);
        engine = open(&disk);
        assert_eq!(engine.view(&tenant()).unwrap().webhooks(), before, "from {what}");
        assert_eq!(engine.view(&tenant()).unwrap().fingerprint(), fingerprint, "from {what}");
        engine.snapshot().unwrap();
    }
    assert!(matches!(
        submit(&engine, WebhookCommand::Delete(gone)),
        Err(Error::NotFound { code: "webhook_unknown", .. })
    ));
    let disabled = Report::Disabled { note: "410".into() };
    submit(&engine, WebhookCommand::Report(id, disabled)).unwrap();
    let refused = submit(&engine, WebhookCommand::Retry(id, DeliveryId(1)));
    assert!(matches!(refused, Err(Error::Conflict { code: "webhook_disabled", .. })), "{refused:?}");
}

#[test]
fn the_feed_can_be_read_from_any_place() {
    let disk = MemDisk::new();
    let engine = open(&disk);
    // A merge of three makes several entries of one event, and so do the settings that undo it.
    for number in 0..12 {
        let (name, phone) = (["John Smith", "J. Smith", "Jon Smith"][number % 3], 1000 + number / 3);
        upsert(
            &engine,
            &format!(r#"{{"source":"a","source_record_id":"{number}","name":"{name}","phone":"+1212555{phone}"}}"#),
        );
    }
    let strict = selfsame::model::settings::Settings { auto: 0.9999, ..Default::default() };
    engine.submit_blocking(&tenant(), Command::PutSettings { settings: Box::new(strict) }, Context::default()).unwrap();
    let view = engine.view(&tenant()).unwrap();
    let all = view.feed_after(FeedPlace::default()).collect::<Vec<_>>();
    let entries: Vec<_> = all.iter().map(|placed| placed.entry.clone()).collect();
    assert_eq!(entries, view.changes(Seq(0), 1000).items);
    let most = all.iter().map(|placed| placed.place.part).max().unwrap();
    assert!(most >= 2, "several entries of one event: {most}");
    assert!(all.windows(2).all(|pair| pair[0].place < pair[1].place));
    for (at, placed) in all.iter().enumerate() {
        assert_eq!(
            view.feed_after(placed.place).take(3).collect::<Vec<_>>(),
            all[at + 1..].iter().take(3).cloned().collect::<Vec<_>>()
        );
        let mut behind = view.feed_after(FeedPlace::behind(placed.place.seq)).take(1);
        assert!(behind.all(|next| next.place.part == 0 && next.place.seq > placed.place.seq));
        let end = (at + 4).min(all.len() - 1);
        assert_eq!(view.feed_range(placed.place, all[end].place), all[at..=end]);
    }
}
