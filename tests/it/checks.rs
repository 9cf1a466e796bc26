//! Asking others about emails and phones: a name server and a validator on loopback, and the real server between them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Server, file, folder};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a name server says of a domain.
#[derive(Clone, Copy)]
enum Zone {
    Mail,
    Null,
    Address,
    Nothing,
    Broken,
}

/// A name server on loopback with a few domains; all others do not exist. Counts its questions.
struct NameServer {
    port: u16,
    asked: Arc<AtomicUsize>,
    zones: Arc<Mutex<HashMap<&'static str, Zone>>>,
}

impl NameServer {
    fn start(zones: &[(&'static str, Zone)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let zones = Arc::new(Mutex::new(zones.iter().copied().collect()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (known, count) = (Arc::clone(&zones), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer(&buffer[..length], &known.lock().unwrap());
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { port, asked, zones }
    }

    fn set(&self, domain: &'static str, zone: Zone) {
        self.zones.lock().unwrap().insert(domain, zone);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(question: &[u8], zones: &HashMap<&'static str, Zone>) -> Vec<u8> {
    let (mut name, mut at) = (Vec::new(), 12);
    while question[at] > 0 {
        let length = usize::from(question[at]);
        name.push(String::from_utf8(question[at + 1..at + 1 + length].to_vec()).unwrap());
        at += 1 + length;
    }
    let kind = question[at + 2];
    let zone = zones.get(name.join(".").as_str());
    let (code, data): (u8, Option<&[u8]>) = match (zone, kind) {
        (None, _) => (3, None),
        (Some(Zone::Broken), _) => (2, None),
        (Some(Zone::Mail), 15) => (0, Some(b"\0\x0a\x02mx\xc0\x0c")),
        (Some(Zone::Null), 15) => (0, Some(b"\0\0\0")),
        (Some(Zone::Address), 1) => (0, Some(&[192, 0, 2, 1])),
        (Some(_), _) => (0, None),
    };
    let mut out = question.to_vec();
    (out[2], out[3]) = (0x81, 0x80 | code);
    out[7] = u8::from(data.is_some());
    if let Some(data) = data {
        out.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        out.extend_from_slice(data);
    }
    out
}

/// A validator on loopback: says what a rule says of the value, and keeps what it was asked. A rule of `None` breaks off.
struct Validator {
    port: u16,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    hangs: Arc<AtomicBool>,
}

impl Validator {
    fn start(rule: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, hangs) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, hanging, rule) = (Arc::clone(&asked), Arc::clone(&hangs), Arc::new(rule));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, hanging, rule) = (Arc::clone(&kept), Arc::clone(&hanging), Arc::clone(&rule));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    let (mut head, mut line) = (String::new(), String::new());
                    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                        head.push_str(&line);
                        line.clear();
                    }
                    let lower = head.to_ascii_lowercase();
                    let length = lower.split("content-length: ").nth(1).unwrap().lines().next().unwrap().trim().parse();
                    let mut body = vec![0; length.unwrap()];
                    reader.read_exact(&mut body).unwrap();
                    let json: Value = serde_json::from_slice(&body).unwrap();
                    let said = rule(json["value"].as_str().unwrap());
                    kept.lock().unwrap().push((head, json));
                    while hanging.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    let Some(said) = said else { return };
                    let text = format!(r#"{{"result": {{"status": "{said}"}}}}"#);
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
                    let _ = (&stream).write_all(format!("{head}{text}").as_bytes());
                });
            }
        });
        Self { port, asked, hangs }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(_, json)| json["value"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(folder: &Path, config: &str) -> Server {
    let config = format!("webhooks_allow_private = true\nchecks_per_second_max = 1000\nchecks_retry_ms = 50\n{config}");
    let config = file(folder, "selfsame.toml", config);
    Server::start_with(&folder.join("data"), &["--config", config.to_str().unwrap()])
}

/// Names so unlike each other that nobody is taken for somebody else.
const NAMES: [&str; 9] = [
    "Alma Zorn",
    "Bruno Quast",
    "Cecily Hawthorne",
    "Dmitri Volkov",
    "Esperanza Ruiz",
    "Fumiko Tanabe",
    "Gunnar Ek",
    "Hortense Blanc",
    "Ifeoma Okoro",
];

fn put(server: &Server, id: usize, email: &str) -> String {
    let record = json!({"source": "s", "source_record_id": id.to_string(), "name": NAMES[id], "email": email});
    let answer = server.post("contacts:upsert", &json!({"record": record}));
    answer["results"][0]["contact_id"].as_str().unwrap().to_owned()
}

/// The email of a contact once a check has said something, or what there is in the end.
fn checked(server: &Server, contact: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let email = server.get(&format!("contacts/{contact}"))["emails"][0].clone();
        if email["validity"].get("checks").is_some() || Instant::now() > until {
            return email;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_name_server_says_which_domains_take_mail() {
    let folder = folder();
    let zones = [
        ("mail.example", Zone::Mail),
        ("null.example", Zone::Null),
        ("web.example", Zone::Address),
        ("nothing.example", Zone::Nothing),
        ("broken.example", Zone::Broken),
    ];
    let names = NameServer::start(&zones);
    let config = format!("mx_resolver = '127.0.0.1:{}'", names.port);
    let server = serve(folder.path(), &config);
    let broken = put(&server, 5, "ann@broken.example");
    for (at, (domain, good, detail)) in (0..).zip([
        ("mail.example", true, "mx"),
        ("web.example", true, "address_only"),
        ("null.example", false, "null_mx"),
        ("nothing.example", false, "no_mail_server"),
        ("missing.example", false, "no_such_domain"),
    ]) {
        let contact = put(&server, at, &format!("ann@{domain}"));
        let email = checked(&server, &contact);
        let check = &email["validity"]["checks"][0];
        assert_eq!((&check["check"], &check["good"], &check["detail"]), (&json!("mx"), &json!(good), &json!(detail)));
        let status = if good { "valid" } else { "invalid" };
        assert_eq!((&email["validity"]["status"], &email["verified"]), (&json!(status), &Value::Null), "{email}");
        assert_eq!(email["confidence"].as_f64().unwrap() > 0.5, good, "{email}");
    }
    // What nobody could say is no fact, and is asked again until somebody can.
    assert!(server.get(&format!("contacts/{broken}"))["emails"][0]["validity"].get("checks").is_none());
    names.set("broken.example", Zone::Mail);
    assert_eq!(checked(&server, &broken)["validity"]["checks"][0]["good"], true);
    // The same domain of somebody else is answered from memory, and what is known is not asked again after a restart.
    let before = names.asked();
    let second = put(&server, 6, "bob@mail.example");
    assert_eq!(checked(&server, &second)["validity"]["checks"][0]["good"], true);
    assert_eq!(names.asked(), before);
    assert_eq!(server.stop(), Some(0));
    let server = serve(folder.path(), &config);
    let fresh = put(&server, 7, "eve@null.example");
    checked(&server, &fresh);
    assert_eq!(names.asked(), before + 1, "only the newcomer's domain is asked for");
    assert_eq!(server.get(&format!("contacts/{second}"))["emails"][0]["validity"]["checks"][0]["good"], true);
    let subject = server.get(&format!("contacts/{second}/subject-access"));
    assert_eq!(subject["checks"][0]["identifier"], "bob@mail.example");
    assert_eq!(server.get("privacy/register")["recipients"]["name_servers"], true);
}

#[test]
fn a_validator_is_asked_behind_the_write_and_its_verdict_counts() {
    let folder = folder();
    let first = Arc::new(AtomicBool::new(true));
    let validator = Validator::start(move |value| match value {
        "good@acme.com" | "+12125550123" => Some("OK"),
        "bad@acme.com" => Some("dead"),
        "odd@acme.com" => first.swap(false, Ordering::SeqCst).then_some("maybe").or(Some("ok")),
        _ => None,
    });
    let config = format!(
        "validator_url = 'http://127.0.0.1:{}/check'\nvalidator_verdict = '/result/status'\nvalidator_good = ['ok']\n\
         validator_bad = ['dead']",
        validator.port
    );
    let server = serve(folder.path(), &config);
    // Nothing that the validator does holds up a write.
    validator.hangs.store(true, Ordering::SeqCst);
    let good = put(&server, 1, "good@acme.com");
    let until = Instant::now() + PATIENCE;
    while validator.asked().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let started = Instant::now();
    let bad = put(&server, 2, "bad@acme.com");
    assert!(started.elapsed() < Duration::from_secs(5) && !validator.asked().is_empty());
    assert!(server.get(&format!("contacts/{good}"))["emails"][0]["validity"].get("checks").is_none());
    validator.hangs.store(false, Ordering::SeqCst);
    let email = checked(&server, &good);
    assert_eq!((&email["verified"], &email["validity"]["status"]), (&json!(true), &json!("valid")), "{email}");
    let email = checked(&server, &bad);
    assert_eq!((&email["verified"], &email["validity"]["status"]), (&Value::Null, &json!("invalid")), "{email}");
    assert_eq!(email["validity"]["checks"][0]["detail"], "dead");
    assert_eq!(email["value"], "bad@acme.com", "a bad address is shown, not dropped");
    let odd = put(&server, 3, "odd@acme.com");
    assert_eq!(
        checked(&server, &odd)["validity"]["checks"][0]["detail"],
        "ok",
        "asked again after a word that means nothing"
    );
    let record = json!({"source": "s", "source_record_id": "4", "name": "Person 4", "phone": "(212) 555-0123"});
    server.post("contacts:upsert", &json!({"record": record}));
    while !validator.asked().contains(&"+12125550123".to_owned()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = validator.asked.lock().unwrap();
    let (head, body) = asked.iter().find(|(_, body)| body["value"] == "+12125550123").expect("phones are asked about");
    assert_eq!(body["kind"], "phone");
    assert!(head.starts_with("POST /check HTTP/1.1") && !head.contains("2125550123"), "not in the URL: {head}");
    drop(asked);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn nobody_is_asked_about_the_restricted_and_a_private_target_is_refused() {
    let folder = folder();
    let validator = Validator::start(|_| Some("ok"));
    let config = format!("validator_url = 'http://127.0.0.1:{}/'\nvalidator_good = ['ok']", validator.port);
    let server = serve(folder.path(), "");
    let contact = put(&server, 1, "anna@acme.com");
    server.post(&format!("contacts/{contact}/restrict"), &json!({"restricted": true}));
    assert_eq!(server.stop(), Some(0));
    let verdict = format!("{config}\nvalidator_verdict = '/result/status'");
    let server = serve(folder.path(), &verdict);
    let other = put(&server, 2, "otto@acme.com");
    assert_eq!(checked(&server, &other)["verified"], true);
    assert_eq!(validator.asked(), ["otto@acme.com"]);
    drop(server);
    let refused = file(folder.path(), "refused.toml", &config);
    let run = crate::server::run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "x",
        "--config",
        refused.to_str().unwrap(),
    ]);
    let text = crate::server::stderr(&run);
    assert!(!run.status.success() && text.contains("validator_url"), "{text}");
}
