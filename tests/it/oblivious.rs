//! Oblivious and Matrix look-ups: the real program over HTTP, and the engine on a disk and a clock that a test controls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selfsame::discovery::Kind;
use selfsame::discovery::dialect::primary;
use selfsame::discovery::filter::Width;
use selfsame::discovery::oprf::client::{Blinded, finalize};
use selfsame::discovery::oprf::{Dice, EpochKey, Evaluated, Output, input};
use selfsame::discovery::tag::Master;
use selfsame::engine::api::{Answer, Command, ConsentCommand, Context, Mode, Policy};
use selfsame::engine::oprf::matrix::MatrixAnswer;
use selfsame::engine::oprf::reveal::Reveal;
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::Error;
use selfsame::host::{Disk, ManualClock, MemDisk, SeededRandom};
use selfsame::model::event::Consent;
use selfsame::model::event::consent::Findable;
use selfsame::model::ids::{EntityId, Millis, TenantName};
use selfsame::model::settings::{Discovery, Settings};
use serde_json::{Value, json};

use crate::engine::record;
use crate::lookups::find;
use crate::server::{Server, call, file, folder, stderr, stdout};

// ---- over HTTP

fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/tenants/main/{path}") };
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    call(server.address(), method, &path, "application/json", &bytes).unwrap()
}

fn json_of(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, bytes) = ask(server, method, path, body);
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn phone(n: usize) -> String {
    format!("+1212555{n:04}")
}

fn email(n: usize) -> String {
    format!("person.{n}@example{n}.com")
}

const NAMES: [&str; 8] = ["Ada", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal"];

fn person(n: usize) -> Value {
    json!({
        "source": "app", "source_record_id": format!("user-{n}"), "name": format!("{} Surname{n}", NAMES[n % 8]),
        "phone": phone(n), "email": email(n), "external_ids": [{"system": "matrix", "id": format!("@user{n}:example.org")}]
    })
}

/// A server with a directory of so many people, of whom everyone may find those that `findable` says. Contact ids by number.
fn directory(data: &Path, people: usize, discovery: &Value, findable: impl Fn(usize) -> bool) -> (Server, Vec<String>) {
    let server = Server::start(data);
    let (status, answer) = json_of(&server, "PUT", "settings", &json!({"discovery": discovery}));
    assert_eq!(status, 200, "{answer}");
    let records: Vec<Value> = (0..people).map(person).collect();
    let answer = server.post("contacts:upsert", &json!({"records": records}));
    let of = |result: &Value| result["contact_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = answer["results"].as_array().unwrap().iter().map(of).collect();
    for id in (0..people).filter(|n| findable(*n)).map(|n| &ids[n]) {
        let (status, answer) =
            json_of(&server, "PUT", &format!("contacts/{id}/discovery"), &json!({"policy": "everyone"}));
        assert_eq!(status, 200, "{answer}");
    }
    covered(&server);
    (server, ids)
}

/// Waits until the set shows everything that was written, and gives what `GET discovery/oprf` says.
fn covered(server: &Server) -> Value {
    let seq = server.get("stats")["seq"].as_u64().unwrap();
    loop {
        let (status, said) = json_of(server, "GET", "discovery/oprf", &Value::Null);
        if status == 200 && said["covers_seq"].as_u64().unwrap() >= seq {
            return said;
        }
        std::thread::yield_now();
    }
}

fn decode<const N: usize>(value: &Value) -> [u8; N] {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// Evaluates phone numbers and checks the proof.
fn outputs(server: &Server, said: &Value, numbers: &[String]) -> Vec<Output> {
    let mut dice = Dice::new(&[7; 32]);
    let blind = |one: &String| Blinded::new(input(Kind::Phone, &primary(one)), &mut dice).unwrap();
    let blinded: Vec<Blinded> = numbers.iter().map(blind).collect();
    let elements: Vec<String> = blinded.iter().map(|one| URL_SAFE_NO_PAD.encode(one.element())).collect();
    let answer = server.post("discovery/oprf/evaluate", &json!({"epoch": said["epoch"], "blinded": elements}));
    let elements = answer["evaluated"].as_array().unwrap().iter().map(decode).collect();
    let evaluated = Evaluated { elements, proof: Some(decode(&answer["proof"])) };
    finalize(&blinded, &evaluated, &decode(&said["public_key"])).unwrap()
}

fn reveal(server: &Server, keys: &[Output], asker: Option<&str>) -> (u16, Vec<u8>) {
    let keys: Vec<String> = keys.iter().map(|one| URL_SAFE_NO_PAD.encode(one.reveal)).collect();
    let mut body = json!({"epoch": 1, "keys": keys});
    if let Some(asker) = asker {
        body["asker"] = json!(asker);
    }
    ask(server, "POST", "discovery/reveal", &body)
}

#[test]
fn the_example_client_finds_who_is_there_and_nobody_else() {
    let home = folder();
    let data = home.path().join("data");
    // Every tenth may not be found.
    let (server, ids) = directory(&data, 300, &json!({"users": "app"}), |n| n % 10 != 0);
    let said = covered(&server);
    assert_eq!((&said["suite"], &said["prefix_bits"]), (&json!("ristretto255-SHA512"), &json!(2)), "{said}");
    assert_eq!(said["set_size_class"], json!(1000));
    let book: Vec<(String, Option<&String>)> = (290..310)
        .map(|n| (phone(n), (n < 300 && n % 10 != 0).then(|| &ids[n])))
        .chain([(email(5), Some(&ids[5])), (email(10), None), ("nobody@example.com".into(), None)])
        .collect();
    let lines: String = book.iter().map(|(text, _)| format!("{text}\n")).collect();
    let path = file(home.path(), "book.txt", lines);
    let path = path.to_str().unwrap();
    let key = said["public_key"].as_str().unwrap();
    for options in [
        &["--by", "filter", "--public-key", key][..],
        &["--by", "buckets", "--public-key", key],
        &["--by", "buckets", "--no-proof"],
        &["--asker", "user-3"],
    ] {
        let output = server.run(&[&["discover", path, "--json"], options].concat());
        assert!(output.status.success(), "{options:?}: {}", stderr(&output));
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        for ((text, contact), result) in book.iter().zip(answer["results"].as_array().unwrap()) {
            assert_eq!(result["contact"], json!(contact), "{text} {options:?}");
            assert_eq!((&result["identifier"], &result["found"]), (&json!(text), &json!(contact.is_some())));
        }
    }
    let output = server.run(&["discover", &phone(1), "--public-key", &key.replace(&key[..2], "AA")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not the one given"), "{}", stderr(&output));
    let output = server.run(&["discover", &phone(1), "--no-reveal"]);
    assert!(stdout(&output).contains("yes") && !stdout(&output).contains(&ids[1]), "{}", stdout(&output));
    assert_eq!(server.run(&["discover", "no number"]).status.code(), Some(2));

    // What was revealed is in the audit trail, and a restart loses neither key nor set nor what may be revealed.
    let audit = server.get("audit?limit=1000").to_string();
    assert!(audit.contains("reveal") && audit.contains(&ids[5]), "{audit}");
    server.kill9();
    let server = Server::start(&data);
    let again = covered(&server);
    assert_eq!((&again["public_key"], &again["prefix_bits"]), (&said["public_key"], &said["prefix_bits"]));
    let found = outputs(&server, &again, &[phone(1), phone(10)]);
    let (status, body) = reveal(&server, &found, None);
    assert_eq!(
        (status, serde_json::from_slice::<Value>(&body).unwrap()["results"][0]["contact"].clone()),
        (200, json!(ids[1]))
    );
    std::assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["results"][1]["contact"], Value::Null);
}

#[test]
fn absent_opted_out_and_blocked_look_alike_to_the_byte() {
    let home = folder();
    let (server, ids) = directory(&home.path().join("data"), 6, &json!({"users": "app"}), |_| true);
    let said = covered(&server);
    let numbers: Vec<String> = (0..6).map(phone).chain(["+12125559999".to_owned()]).collect();
    let y = outputs(&server, &said, &numbers);
    let contact =
        |answer: &(u16, Vec<u8>)| serde_json::from_slice::<Value>(&answer.1).unwrap()["results"][0]["contact"].clone();
    for n in 0..5 {
        assert_eq!(contact(&reveal(&server, &[y[n]], Some("user-5"))), json!(ids[n]));
    }
    let y = outputs(&server, &said, &numbers).into_iter().chain(outputs(&server, &said, &numbers)).collect::<Vec<_>>();
    let done = |method: &str, path: &str, body: &Value| {
        let (status, answer) = json_of(&server, method, path, body);
        assert_eq!(status / 100, 2, "{path}: {answer}");
    };
    // At once, whatever the set still shows.
    done("POST", &format!("contacts/{}/opt-out", ids[0]), &Value::Null);
    done("PUT", &format!("contacts/{}/blocks/{}", ids[1], ids[5]), &Value::Null);
    done("PUT", &format!("contacts/{}/discovery", ids[2]), &json!({"policy": "nobody"}));
    done("DELETE", &format!("contacts/{}", ids[3]), &Value::Null);
    let absent = reveal(&server, &[y[6]], Some("user-5"));
    assert_eq!((absent.0, contact(&absent)), (200, Value::Null));
    for (n, hidden) in y.iter().take(4).enumerate() {
        assert_eq!(reveal(&server, &[*hidden], Some("user-5")), absent, "{n}");
    }
    assert_eq!(contact(&reveal(&server, &[y[1]], Some("user-4"))), json!(ids[1]), "the block is against one");
    assert_eq!(contact(&reveal(&server, &[y[4]], Some(&ids[5]))), json!(ids[4]), "an asker may be a contact id");
    for nobody in [Some("user-99"), None] {
        let (status, answer) = reveal(&server, &[y[4]], nobody);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            status == 400 && answer.contains(r#""asker""#),
            "where some block, somebody must ask: {status} {answer}"
        );
    }
    // The set follows: only 4 and 5 are left in it, with a phone and an email each.
    let filter = |said: &Value| {
        let (status, bytes) =
            ask(&server, "GET", &format!("discovery/oprf/filter?epoch={}", said["epoch"]), &Value::Null);
        assert_eq!(status, 200);
        bytes
    };
    let said = covered(&server);
    let bytes = filter(&said);
    let filter = selfsame::discovery::filter::Filter::parse(&bytes).unwrap();
    let inside: Vec<bool> = (0..7).map(|n| filter.contains(y[n].tag)).collect();
    assert_eq!(inside, [false, true, false, false, true, true, false], "a block is against somebody, not the set");
}

#[test]
fn revealing_is_limited_by_evaluating_and_bad_requests_cost_nothing() {
    let home = folder();
    let data = home.path().join("data");
    let (server, _) = directory(&data, 3, &json!({"users": "app"}), |_| true);
    let said = covered(&server);
    let none = [Output::of(&[9; 24]).unwrap()];
    let refused = |server: &Server, count: usize| {
        let (status, body) = reveal(server, &vec![none[0]; count], None);
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, answer) = refused(&server, 1);
    assert_eq!((status, &answer["code"]), (409, &json!("reveal_limit")), "nothing was evaluated: {answer}");
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    let (status, answer) = json_of(&server, "POST", "discovery/oprf/evaluate", &json!({"epoch": 1, "blinded": [zero]}));
    assert_eq!((status, &answer["field"]), (400, &json!("blinded[0]")));
    assert_eq!(refused(&server, 1).0, 409, "a refused request is not counted");
    outputs(&server, &said, &[phone(0), phone(1), phone(2)]);
    assert_eq!(refused(&server, 4).0, 409);
    assert_eq!(refused(&server, 2).0, 200);
    assert_eq!(refused(&server, 2).0, 409, "one is left");
    server.kill9();
    let server = Server::start(&data);
    covered(&server);
    assert_eq!(refused(&server, 2).0, 409, "a restart gives nothing back");
    assert_eq!(refused(&server, 1).0, 200);
    for (path, body, status, code) in [
        ("discovery/reveal", json!({"epoch": 1, "keys": []}), 400, "invalid"),
        ("discovery/reveal", json!({"epoch": 1, "keys": ["AA"]}), 400, "invalid"),
        ("discovery/reveal", json!({"epoch": 2, "keys": [URL_SAFE_NO_PAD.encode([1; 16])]}), 409, "stale_epoch"),
        ("discovery/oprf/buckets", json!({"epoch": 1, "prefixes": ["0"]}), 400, "invalid"),
        ("discovery/oprf/buckets", json!({"epoch": 9, "prefixes": [""]}), 409, "stale_epoch"),
        ("discovery/oprf/buckets", json!({"epoch": 1, "prefixes": [""], "more": 1}), 400, "invalid"),
        ("/v1/tenants/other/discovery/reveal", json!({"epoch": 1, "keys": []}), 400, "invalid"),
    ] {
        let (found, answer) = json_of(&server, "POST", path, &body);
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{path}: {answer}");
    }
    for (path, status) in [
        ("discovery/oprf/filter?type=bloom", 400),
        ("discovery/oprf/filter?epoch=7", 409),
        ("discovery/oprf/filter?type=binary-fuse-16", 200),
        ("discovery/oprf/filter?delta=true", 200),
    ] {
        assert_eq!(ask(&server, "GET", path, &Value::Null).0, status, "{path}");
    }
    let (status, answer) = json_of(&server, "PUT", "settings", &json!({"discovery": {"users": "app", "oprf": false}}));
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = json_of(&server, "GET", "discovery/oprf", &Value::Null);
    assert_eq!((status, &answer["code"]), (409, &json!("oprf_off")));
}

#[test]
fn a_matrix_client_is_served_in_its_own_words() {
    let home = folder();
    let (server, ids) = directory(&home.path().join("data"), 5, &json!({"users": "app", "matrix": true}), |n| n != 4);
    let get = |path: &str| json_of(&server, "GET", &format!("/_matrix/identity/{path}"), &Value::Null);
    let lookup = |body: &Value| json_of(&server, "POST", "/_matrix/identity/v2/lookup", body);
    assert_eq!(get("v2"), (200, json!({})));
    assert!(get("versions").1["versions"].as_array().unwrap().contains(&json!("v1.1")));
    assert_eq!(get("v2/account"), (200, json!({"user_id": "@local:main"})));
    let (status, details) = get("v2/hash_details");
    assert_eq!((status, &details["algorithms"]), (200, &json!(["sha256"])));
    let pepper = details["lookup_pepper"].as_str().unwrap().to_owned();
    assert!(pepper.len() == 32 && pepper.bytes().all(|c| c.is_ascii_alphanumeric()), "{pepper}");
    let hashed = |kind, text: &str, pepper: &str| {
        selfsame::discovery::matrix::to_text(&selfsame::discovery::matrix::digest(kind, text, pepper))
    };
    let of = |n: usize, pepper: &str| hashed(Kind::Phone, &phone(n), pepper);
    let by_mail = hashed(Kind::Email, &email(1), &pepper);
    let all = |pepper: &str| {
        let addresses = [of(0, pepper), of(4, pepper), of(9, pepper), "x".into(), by_mail.clone()];
        json!({"addresses": addresses, "algorithm": "sha256", "pepper": pepper, "unknown": true})
    };
    let found = json!({"mappings": {of(0, &pepper): "@user0:example.org", by_mail.clone(): "@user1:example.org"}});
    assert_eq!(lookup(&all(&pepper)), (200, found), "who may not be found is as absent as who is not there");
    // Consent counts at once.
    json_of(&server, "PUT", &format!("contacts/{}/discovery", ids[0]), &json!({"policy": "nobody"}));
    assert_eq!(lookup(&all(&pepper)).1, json!({"mappings": {by_mail.clone(): "@user1:example.org"}}));
    let (status, rotated) = json_of(&server, "POST", "discovery/rotate", &json!({"what": "pepper"}));
    assert_eq!(status, 200, "{rotated}");
    let (status, answer) = lookup(&all(&pepper));
    assert_eq!((status, &answer["errcode"]), (400, &json!("M_INVALID_PEPPER")));
    let in_force = get("v2/hash_details").1["lookup_pepper"].clone();
    assert_eq!((&answer["lookup_pepper"], &answer["algorithm"]), (&in_force, &json!("sha256")));
    let next = answer["lookup_pepper"].as_str().unwrap();
    assert_ne!(next, pepper);
    let (_, answer) = lookup(&json!({"addresses": [of(1, next)], "algorithm": "sha256", "pepper": next}));
    assert_eq!(answer["mappings"][of(1, next)], json!("@user1:example.org"), "the client recovers");
    for (body, status, errcode) in [
        (json!({"addresses": [], "algorithm": "none", "pepper": next}), 400, "M_INVALID_PARAM"),
        (json!({"addresses": [], "algorithm": "sha256"}), 400, "M_NOT_JSON"),
        (json!({"addresses": vec!["x"; 10_001], "algorithm": "sha256", "pepper": next}), 413, "M_TOO_LARGE"),
    ] {
        let (found, answer) = lookup(&body);
        assert_eq!((found, &answer["errcode"]), (status, &json!(errcode)), "{answer}");
    }
    let (status, answer) = get("v2/nothing");
    assert_eq!((status, &answer["errcode"]), (404, &json!("M_UNRECOGNIZED")));
    json_of(&server, "PUT", "settings", &json!({"discovery": {"users": "app"}}));
    let (status, answer) = get("v2/hash_details");
    assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")), "off");
}

// ---- on a disk and a clock of our own

struct Lab {
    disk: MemDisk,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
    tenant: TenantName,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Lab {
    fn new(discovery: Discovery) -> Self {
        let disk = MemDisk::new();
        let clock = Arc::new(ManualClock::new(Millis(1_800_000_000_000)));
        let engine = Self::open(&disk, &clock, 7);
        let lab = Self { disk, clock, engine, tenant: TenantName::parse("app").unwrap() };
        let settings = Settings { discovery, ..Settings::default() };
        lab.submit(Command::PutSettings { settings: Box::new(settings) });
        lab
    }

    fn open(disk: &MemDisk, clock: &Arc<ManualClock>, seed: u64) -> Arc<Engine> {
        let random = Arc::new(SeededRandom::new(seed));
        let world = World { disk: Arc::new(disk.clone()), clock: Arc::clone(clock) as _, random };
        // Plain files, so that a test can look for what must not be in them.
        let options =
            EngineOptions { encryption: false, segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
        Engine::open(options, world).unwrap().0
    }

    fn restart(self) -> Self {
        let Self { disk, clock, engine, tenant } = self;
        drop(engine);
        clock.advance(Duration::from_secs(1));
        let engine = Self::open(&disk, &clock, disk.operations());
        Self { disk, clock, engine, tenant }
    }

    fn submit(&self, command: Command) -> Answer {
        self.engine.submit_blocking(&self.tenant, command, Context::default()).unwrap().answer
    }

    fn put(&self, n: usize, policy: Findable) -> EntityId {
        let command =
            Command::Upsert { records: vec![record(&person(n).to_string())], mode: Mode::Merge, dry_run: false };
        let Answer::Upserted(results) = self.submit(command) else { panic!("results") };
        let contact = results[0].contact_id.unwrap();
        let consent = Consent { basis: "consent".into(), actor: "sign-up".into(), at: Millis(1) };
        let policy = Policy { policy, book: None, consent: Some(consent) };
        self.submit(Command::Consent(ConsentCommand::Policy { contact, policy }));
        contact
    }

    fn all(&self, people: std::ops::Range<usize>) {
        for n in people {
            self.put(n, Findable::Everyone);
        }
    }

    fn refresh(&self) -> usize {
        self.engine.refresh_discovery(&self.tenant).unwrap()
    }

    fn key(epoch: u32) -> EpochKey {
        EpochKey::derive(&Master::new(&[0; 32]), "app", epoch).unwrap()
    }

    fn output(epoch: u32, n: usize) -> Output {
        Self::key(epoch).output(Kind::Phone, &primary(&phone(n))).unwrap()
    }

    /// Whether a phone is in the set of an epoch, by all three ways to compare.
    fn is_in(&self, epoch: u32, n: usize) -> bool {
        let view = self.engine.oprf(&self.tenant, Some(epoch)).unwrap();
        let (set, y) = (view.epoch.set(), Self::output(epoch, n));
        let by_tag = set.tags().binary_search(&y.tag).is_ok();
        assert_eq!(set.slot_of(&y.reveal).is_some(), by_tag);
        let built = view.epoch.filter(Width::Bits32, Millis(0)).unwrap();
        let filter = selfsame::discovery::filter::Filter::parse(&built.bytes).unwrap();
        let since = view.epoch.since(&built);
        let came = since.as_chunks::<8>().0.contains(&y.tag.to_be_bytes());
        if by_tag {
            assert!(filter.contains(y.tag) != came, "in the filter, or among those who came since");
        }
        by_tag
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        let names = self.disk.list(Path::new("data/oprf")).unwrap_or_default();
        let files = names.iter().map(|name| self.disk.read(&Path::new("data/oprf").join(name)).unwrap());
        files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
    }

    fn code<T>(outcome: Result<T, Error>) -> &'static str {
        match outcome {
            Err(Error::Conflict { code, .. }) => code,
            Err(other) => panic!("{other:?}"),
            Ok(_) => "",
        }
    }
}

fn app() -> Discovery {
    Discovery { users: Some("app".into()), matrix: true, ..Discovery::default() }
}

#[test]
fn outputs_outlive_a_restart_and_leave_with_the_person() {
    let lab = Lab::new(app());
    assert_eq!(Lab::code(lab.engine.oprf(&lab.tenant, None)), "oprf_not_ready");
    let ids: Vec<EntityId> = (0..20).map(|n| lab.put(n, Findable::Everyone)).collect();
    assert_eq!(lab.refresh(), 40, "a phone and an email each");
    assert_eq!(lab.refresh(), 0);
    lab.put(20, Findable::Everyone);
    lab.put(21, Findable::Nobody);
    lab.put(22, Findable::Mutual);
    assert_eq!(lab.refresh(), 2, "only who came is evaluated");
    assert!((0..21).all(|n| lab.is_in(1, n)) && !(21..23).any(|n| lab.is_in(1, n)));
    let lab = lab.restart();
    assert_eq!(lab.refresh(), 0, "nobody is evaluated twice");
    assert!((0..21).all(|n| lab.is_in(1, n)));
    let gone = Lab::output(1, 3).bytes();
    assert!(lab.holds(&gone) && lab.holds(&Lab::output(1, 4).bytes()));
    lab.submit(Command::Erase { contact: ids[3] });
    assert!(lab.holds(&gone), "the files follow");
    lab.engine.compact().unwrap();
    assert!(!lab.holds(&gone), "the erased are in no file");
    assert!(lab.holds(&Lab::output(1, 4).bytes()), "the others are");
    assert_eq!(lab.refresh(), 0);
    assert!(!lab.is_in(1, 3) && lab.is_in(1, 4));
    let lab = lab.restart();
    assert_eq!(lab.refresh(), 0, "what was left is what is needed");
    lab.submit(Command::EraseTenant);
    lab.engine.compact().unwrap();
    assert_eq!(lab.disk.list(Path::new("data/oprf")).unwrap_or_default(), Vec::<String>::new());
}

#[test]
fn a_damaged_file_of_outputs_is_made_anew() {
    let lab = Lab::new(app());
    lab.all(0..5);
    assert_eq!(lab.refresh(), 10);
    let path = Path::new("data/oprf").join(&lab.disk.list(Path::new("data/oprf")).unwrap()[0]);
    let file = lab.disk.open(&path).unwrap();
    file.write_all_at(60, b"!").unwrap();
    let lab = lab.restart();
    assert_eq!(lab.refresh(), 10);
    assert!((0..5).all(|n| lab.is_in(1, n)));
    let lab = lab.restart();
    assert_eq!(lab.refresh(), 0, "it was mended");
}

#[test]
fn rotation_misses_nobody_and_the_key_before_ends() {
    let lab = Lab::new(app());
    lab.all(0..30);
    lab.refresh();
    let rotate = |urgent| lab.engine.rotate_oprf(&lab.tenant, "admin", urgent);
    lab.clock.advance(DAY * 89);
    assert_eq!(Lab::code(rotate(false)), "epoch_young");
    lab.clock.advance(DAY);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whoever asks under a key that is served finds everybody, whatever goes on meanwhile.
        let asking = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !stop.load(Ordering::SeqCst) {
                let view = lab.engine.oprf(&lab.tenant, None).unwrap();
                let (epoch, set) = (view.epoch.begun.epoch, view.epoch.set());
                seen.insert(epoch);
                for n in 0..30 {
                    assert!(set.tags().binary_search(&Lab::output(epoch, n).tag).is_ok(), "{epoch} {n}");
                }
                let reveal = Reveal { epoch, keys: vec![], asker: None, principal: "p".into(), actor: "a".into() };
                assert_eq!(lab.engine.reveal(&lab.tenant, &reveal).unwrap(), []);
            }
            seen
        });
        assert_eq!(rotate(false).unwrap(), 2);
        assert_eq!(Lab::code(rotate(true)), "rotation_running");
        assert_eq!(Lab::code(lab.engine.oprf(&lab.tenant, Some(2))), "stale_epoch", "its set is not made yet");
        assert!(lab.is_in(1, 7), "the key before goes on");
        assert_eq!(lab.refresh(), 60);
        assert!((0..30).all(|n| lab.is_in(1, n) && lab.is_in(2, n)), "both are served");
        assert_eq!(Lab::code(rotate(true)), "rotation_running", "two keys at most");
        while asking.is_finished() && !stop.load(Ordering::SeqCst) {
            stop.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(30));
        stop.store(true, Ordering::SeqCst);
        assert!(asking.join().unwrap().contains(&2));
    });
    let lab = lab.restart();
    lab.refresh();
    assert!(lab.is_in(1, 7) && lab.is_in(2, 7), "so they are after a restart");
    lab.clock.advance(DAY * 7);
    lab.refresh();
    let Err(Error::Conflict { code, reason, .. }) = lab.engine.oprf(&lab.tenant, Some(1)) else { panic!("served") };
    assert!(code == "stale_epoch" && reason.contains("in force is 2"), "{reason}");
    assert!(lab.is_in(2, 7) && !lab.holds(&Lab::output(1, 7).bytes()), "its outputs go with it");
    assert_eq!(lab.engine.oprf(&lab.tenant, None).unwrap().epoch.begun.epoch, 2);
    assert_eq!(lab.engine.rotate_oprf(&lab.tenant, "admin", true).unwrap(), 3, "a lost key does not wait");
}

#[test]
fn filters_stay_for_a_day_and_those_who_came_are_told() {
    let lab = Lab::new(app());
    lab.all(0..10);
    lab.refresh();
    let built = |at: i64| lab.engine.oprf(&lab.tenant, None).unwrap().epoch.filter(Width::Bits32, Millis(at)).unwrap();
    let first = built(0);
    lab.put(10, Findable::Everyone);
    lab.refresh();
    assert_eq!(built(86_399_999).etag, first.etag, "a filter never changes within a day");
    assert!(lab.is_in(1, 10), "but nobody is missed");
    let since = lab.engine.oprf(&lab.tenant, None).unwrap().epoch.since(&first);
    assert_eq!(since.len(), 16, "a phone and an email");
    let next = built(86_400_000);
    assert_ne!(next.etag, first.etag);
    assert!(next.etag.starts_with("1."));
    assert!(lab.engine.oprf(&lab.tenant, None).unwrap().epoch.since(&next).is_empty());
}

/// Who asked before and asks again must not see by the size of a bucket that somebody left.
#[test]
fn buckets_stay_as_large_as_they_were_while_their_key_is_in_force() {
    let lab = Lab::new(app());
    let ids: Vec<EntityId> = (0..24).map(|n| lab.put(n, Findable::Everyone)).collect();
    lab.refresh();
    let size = || lab.engine.oprf(&lab.tenant, None).unwrap().epoch.set().bucket_bytes();
    let before = size();
    for contact in &ids[..12] {
        lab.submit(Command::Consent(ConsentCommand::OptOut { contact: *contact }));
    }
    lab.refresh();
    assert!(!lab.is_in(1, 0) && lab.is_in(1, 12));
    assert_eq!(size(), before);
    lab.all(24..60);
    lab.refresh();
    assert!(size() > before, "who comes needs room");
}

#[test]
fn the_prefix_grows_until_somebody_has_asked_and_never_after() {
    let lab = Lab::new(app());
    let bits = || lab.engine.oprf(&lab.tenant, None).unwrap().epoch.set().prefix_bits();
    lab.refresh();
    assert_eq!(bits(), 0);
    lab.all(0..130);
    assert_eq!((lab.refresh(), bits()), (260, 1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let evaluation = lab.engine.evaluation(&lab.tenant, "p").unwrap();
    let element = *Blinded::new(input(Kind::Phone, &primary(&phone(1))), &mut Dice::new(&[1; 32])).unwrap().element();
    runtime.block_on(evaluation.evaluate(1, vec![element], false)).unwrap();
    lab.all(130..260);
    assert_eq!((lab.refresh(), bits()), (260, 1), "two prefixes of one output would tell more than one");
    assert!((0..260).all(|n| lab.is_in(1, n)));
}

#[test]
fn peppers_grow_old() {
    let lab = Lab::new(app());
    lab.put(1, Findable::Everyone);
    lab.refresh();
    let pepper = || lab.engine.matrix_pepper(&lab.tenant).unwrap();
    let first = pepper();
    lab.clock.advance(DAY - Duration::from_secs(1));
    lab.put(2, Findable::Everyone);
    lab.refresh();
    assert_eq!(pepper(), first, "changes do not change it");
    lab.clock.advance(Duration::from_secs(1));
    lab.refresh();
    let second = pepper();
    assert_ne!(second, first);
    let hashed = |n: usize, pepper: &str| {
        selfsame::discovery::matrix::to_text(&selfsame::discovery::matrix::digest(Kind::Phone, &phone(n), pepper))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let look = |pepper: &str, n| {
        let asked = [hashed(n, pepper)];
        runtime.block_on(lab.engine.matrix_lookup(&lab.tenant, "p", pepper, &asked)).unwrap()
    };
    assert_eq!(look(&first, 2), MatrixAnswer::InvalidPepper { pepper: second.clone() });
    assert_eq!(look(&second, 2), MatrixAnswer::Found(vec![(hashed(2, &second), "@user2:example.org".into())]));
    assert_eq!(look(&second, 3), MatrixAnswer::Found(vec![]));
}

/// Random directories and books: what the set says, what `reveal` says, what a plain look-up says and what a map of everybody says
/// are the same, for phones and for emails.
#[test]
fn the_oblivious_way_finds_what_a_plain_map_finds() {
    for seed in 0..6_u64 {
        let lab = Lab::new(app());
        let random = |n: u64| blake3::hash(&[seed.to_le_bytes(), n.to_le_bytes()].concat()).as_bytes()[0];
        let mut plain: BTreeMap<usize, EntityId> = BTreeMap::new();
        // Nobody has them in a book, so to them the mutual are nobody; but where some are mutual, somebody must ask.
        let asker = lab.put(99, Findable::Nobody).to_string();
        for n in 0..24 {
            let policy = [Findable::Everyone, Findable::Nobody, Findable::Everyone, Findable::Mutual]
                [usize::from(random(n) % 4)];
            let n = usize::try_from(n).unwrap();
            let contact = lab.put(n, policy);
            if policy == Findable::Everyone {
                plain.insert(n, contact);
            }
        }
        for n in 0..24_u64 {
            let at = usize::try_from(n).unwrap();
            let Some(contact) = plain.get(&at).copied() else { continue };
            if random(n + 100) < 40 {
                lab.submit(Command::Consent(ConsentCommand::OptOut { contact }));
                plain.remove(&at);
            }
        }
        lab.refresh();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for n in 0..40 {
            assert_eq!(lab.is_in(1, n), plain.contains_key(&n), "{seed} {n}");
            for (kind, text) in [(Kind::Phone, phone(n)), (Kind::Email, email(n))] {
                let expected = plain.get(&n).copied();
                assert_eq!(find(&lab.engine, "app", Some(&asker), &text), expected, "plainly: {seed} {text}");
                let mut dice = Dice::new(&[1; 32]);
                let blinded = Blinded::new(input(kind, &primary(&text)), &mut dice).unwrap();
                let evaluation = lab.engine.evaluation(&lab.tenant, "p").unwrap();
                let answered = runtime.block_on(evaluation.evaluate(1, vec![*blinded.element()], true)).unwrap();
                let y = finalize(&[blinded], &answered.evaluated, Lab::key(1).public_key()).unwrap()[0];
                let (keys, asker) = (vec![y.reveal], Some(asker.clone()));
                let reveal = Reveal { epoch: 1, keys, asker, principal: "p".into(), actor: "a".into() };
                assert_eq!(lab.engine.reveal(&lab.tenant, &reveal).unwrap(), [expected], "{seed} {text}");
            }
        }
    }
}
