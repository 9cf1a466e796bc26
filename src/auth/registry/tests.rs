//! Keys that end, rotate, are limited and come back after a restart, over a simulated disk and clock.

use std::net::Ipv4Addr;

use super::*;
use crate::engine::{EngineOptions, World};
use crate::host::{ManualClock, MemDisk, SeededRandom};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const START: i64 = 1_700_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);
const PLAIN: &str = "a-plain-key-of-the-configuration";

struct Rig {
    disk: MemDisk,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn new() -> Self {
        Self { disk: MemDisk::new(), clock: Arc::new(ManualClock::new(Millis(START))) }
    }

    fn engine(&self, seed: u64) -> Arc<Engine> {
        let world = World {
            disk: Arc::new(self.disk.clone()),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
        };
        Engine::open(EngineOptions::new("/data"), world).unwrap().0
    }

    fn auth(&self, options: AuthOptions) -> Auth {
        Auth::new(options, self.clock.clone())
    }
}

fn options() -> AuthOptions {
    AuthOptions { configured: Vec::new(), require_keys: true, failures: Some(Rate { per_second: 1, burst: 3 }) }
}

fn new_key(role: &str) -> ApiKey {
    let (roles, tenants) = (vec![role.to_owned()], vec!["main".to_owned()]);
    NewKey { roles, tenants, ..NewKey::default() }.checked().unwrap()
}

fn plain() -> ApiKey {
    ApiKey { id: "plain".into(), hash: ApiKey::hash_of(PLAIN.as_bytes()), ..new_key("reader") }
}

fn ask(auth: &Auth, engine: &Engine, key: &str) -> std::result::Result<String, Refusal> {
    auth.identify(Some(engine), Some(key.as_bytes()), PEER).map(|caller| caller.actor)
}

#[test]
fn a_key_opens_until_it_is_rotated_revoked_or_at_its_end() {
    let rig = Rig::new();
    let (engine, auth) = (rig.engine(1), rig.auth(AuthOptions { failures: None, ..options() }));
    let ends = Millis(START + 48 * 3_600_000);
    let (key, first) =
        auth.create(&engine, ApiKey { expires_at: Some(ends), ..new_key("writer") }, "key:boss").unwrap();
    let actor = format!("key:{}", key.id);
    assert_eq!(ask(&auth, &engine, first.expose()), Ok(actor.clone()));
    let (until, second) = auth.rotate(&engine, &key.id, 2, "key:boss").unwrap();
    assert_eq!(until, Millis(START + 2 * 3_600_000));
    for text in [&first, &second] {
        assert_eq!(ask(&auth, &engine, text.expose()), Ok(actor.clone()), "both during the overlap");
    }
    rig.clock.advance(HOUR * 2);
    assert_eq!(ask(&auth, &engine, first.expose()), Err(Refusal::Unauthenticated));
    assert_eq!(ask(&auth, &engine, second.expose()), Ok(actor.clone()));
    let (_, third) = auth.rotate(&engine, &key.id, 0, "key:boss").unwrap();
    assert_eq!(ask(&auth, &engine, second.expose()), Err(Refusal::Unauthenticated), "no overlap was asked for");
    rig.clock.advance(HOUR * 45);
    assert_eq!(ask(&auth, &engine, third.expose()), Ok(actor));
    rig.clock.advance(HOUR);
    assert_eq!(ask(&auth, &engine, third.expose()), Err(Refusal::Unauthenticated), "it has expired");

    let (other, text) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
    auth.revoke(&engine, &other.id, "key:boss").unwrap();
    assert_eq!(ask(&auth, &engine, text.expose()), Err(Refusal::Unauthenticated));
    assert!(auth.revoke(&engine, &other.id, "key:boss").is_err(), "it is gone already");
    assert!(auth.rotate(&engine, &other.id, 0, "key:boss").is_err(), "a revoked key does not come back");
    assert!(auth.rotate(&engine, "nobody", 0, "key:boss").is_err());
    assert!(auth.rotate(&engine, &key.id, OVERLAP_HOURS_MAX + 1, "key:boss").is_err());
}

#[test]
fn keys_come_back_from_journal_and_snapshot() {
    let rig = Rig::new();
    let auth = rig.auth(options());
    let (mut engine, mut texts) = (rig.engine(1), Vec::new());
    for round in 2..5 {
        let (key, old) = auth.create(&engine, new_key("steward"), "key:boss").unwrap();
        let (_, new) = auth.rotate(&engine, &key.id, 5, "key:boss").unwrap();
        let (gone, revoked) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
        auth.revoke(&engine, &gone.id, "key:boss").unwrap();
        texts.push((old, new, revoked));
        if round == 3 {
            engine.shutdown().unwrap();
        }
        let before: Vec<ApiKey> = engine.api_keys().iter().map(|key| ApiKey::clone(key)).collect();
        drop(engine);
        engine = rig.engine(round);
        let after: Vec<ApiKey> = engine.api_keys().iter().map(|key| ApiKey::clone(key)).collect();
        assert_eq!(before, after, "round {round}");
        for (old, new, revoked) in &texts {
            assert!(ask(&auth, &engine, old.expose()).is_ok() && ask(&auth, &engine, new.expose()).is_ok());
            let fresh = rig.auth(options());
            assert!(ask(&fresh, &engine, revoked.expose()).is_err());
        }
    }
    let audit = engine.audit_of_server(None, 100).unwrap().items;
    let acts: Vec<&str> = audit.iter().map(|entry| entry.what).collect();
    let once = ["ApiKeyPut", "ApiKeyRotated", "ApiKeyPut", "ApiKeyRevoked"];
    assert_eq!(acts, [&["TenantCreated"][..], &once, &once, &once].concat());
    assert!(audit.iter().skip(1).all(|entry| entry.actor.as_deref() == Some("key:boss") && entry.detail.is_some()));
}

#[test]
fn the_last_use_is_written_once_an_hour_and_at_the_end() {
    let rig = Rig::new();
    let (engine, auth) = (rig.engine(1), rig.auth(options()));
    let (key, text) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
    let stored = || engine.api_key(&key.id).unwrap().used_at;
    auth.write_used(&engine, false).unwrap();
    assert_eq!(stored(), None);
    for (minutes, all, wanted) in [(0, false, 0), (30, false, 0), (31, false, 61), (10, false, 61), (0, true, 71)] {
        rig.clock.advance(Duration::from_secs(minutes * 60));
        ask(&auth, &engine, text.expose()).unwrap();
        auth.write_used(&engine, all).unwrap();
        assert_eq!(stored(), Some(Millis(START + wanted * 60_000)), "{minutes}");
    }
    rig.clock.advance(HOUR);
    ask(&auth, &engine, text.expose()).unwrap();
    assert_eq!(
        auth.used_at(&engine.api_key(&key.id).unwrap()),
        Some(Millis(START + 131 * 60_000)),
        "memory knows more"
    );
}

#[test]
fn a_key_asks_no_more_often_than_it_may() {
    let rig = Rig::new();
    let (engine, auth) = (rig.engine(1), rig.auth(options()));
    let rate = Some(Rate { per_second: 2, burst: 2 });
    let (_, text) = auth.create(&engine, ApiKey { rate, ..new_key("reader") }, "key:boss").unwrap();
    let (_, free) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
    assert!(ask(&auth, &engine, text.expose()).is_ok() && ask(&auth, &engine, text.expose()).is_ok());
    let wait = Duration::from_millis(500);
    assert_eq!(ask(&auth, &engine, text.expose()), Err(Refusal::TooMany { wait }));
    assert!(ask(&auth, &engine, free.expose()).is_ok());
    rig.clock.advance(wait);
    assert!(ask(&auth, &engine, text.expose()).is_ok());
}

#[test]
fn a_peer_that_guesses_is_stopped_and_locks_nobody_of_ours_out() {
    let rig = Rig::new();
    let engine = rig.engine(1);
    let auth = rig.auth(AuthOptions { configured: vec![plain()], ..options() });
    let (_, ours) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&auth, &engine, "a-guess-of-enough-characters"), Err(Refusal::Unauthenticated));
    }
    let is_stopped = |answer: std::result::Result<String, Refusal>| matches!(answer, Err(Refusal::TooMany { .. }));
    assert!(is_stopped(ask(&auth, &engine, "a-guess-of-enough-characters")));
    assert!(is_stopped(ask(&auth, &engine, PLAIN)), "a guess that is right is not told from one that is wrong");
    assert!(is_stopped(ask(&auth, &engine, &ours.expose().replace('a', "b"))));
    assert!(ask(&auth, &engine, ours.expose()).is_ok(), "256 random bits are nobody's guess");
    let from_elsewhere = auth.identify(Some(&engine), Some(PLAIN.as_bytes()), OTHER);
    assert_eq!(from_elsewhere.unwrap().actor, "key:plain");
    rig.clock.advance(Duration::from_secs(3));
    assert!(ask(&auth, &engine, PLAIN).is_ok());
    for _ in 0..9 {
        assert_eq!(auth.identify(Some(&engine), None, OTHER), Err(Refusal::Unauthenticated), "no key is no guess");
    }
}

#[test]
fn keys_that_are_nearly_right_open_nothing() {
    let rig = Rig::new();
    let (engine, auth) = (rig.engine(1), rig.auth(AuthOptions { failures: None, ..options() }));
    let (key, text) = auth.create(&engine, new_key("reader"), "key:boss").unwrap();
    let (other, _) = auth.create(&engine, new_key("admin"), "key:boss").unwrap();
    let text = text.expose();
    let swapped = text.replace(&key.id, &other.id);
    let longer = format!("{text}0");
    for wrong in [&text[..text.len() - 1], &longer, &text.to_uppercase(), &swapped, "", "ssk_", &"x".repeat(600)] {
        assert_eq!(ask(&auth, &engine, wrong), Err(Refusal::Unauthenticated), "{}", wrong.len());
    }
    assert!(ask(&auth, &engine, text).is_ok());
}

#[test]
fn a_server_is_open_only_where_no_key_was_ever_there() {
    let rig = Rig::new();
    let engine = rig.engine(1);
    let open = AuthOptions { require_keys: false, ..options() };
    let auth = rig.auth(open.clone());
    assert!(auth.is_open(Some(&engine)) && !auth.is_open(None), "not before the stored keys are known");
    assert_eq!(auth.identify(None, None, PEER), Err(Refusal::Starting));
    assert!(!rig.auth(AuthOptions { configured: vec![plain()], ..open.clone() }).is_open(Some(&engine)));
    assert!(!rig.auth(options()).is_open(Some(&engine)));
    assert!(auth.first_key(&engine).unwrap().is_none(), "nobody insists on one");
    let strict = rig.auth(options());
    let (id, text) = strict.first_key(&engine).unwrap().unwrap();
    assert!(strict.first_key(&engine).unwrap().is_none(), "once");
    let caller = strict.identify(Some(&engine), Some(text.expose().as_bytes()), PEER).unwrap();
    assert!(caller.may_on_server(crate::auth::Need::Admin));
    strict.revoke(&engine, &id, "key:x").unwrap();
    assert!(!auth.is_open(Some(&engine)), "the last key is revoked: closed, not open");
    assert!(strict.first_key(&engine).unwrap().is_some(), "whoever runs the server gets another");
}

#[test]
fn a_key_of_the_configuration_is_changed_there() {
    let rig = Rig::new();
    let engine = rig.engine(1);
    let auth = rig.auth(AuthOptions { configured: vec![plain()], ..options() });
    for error in [auth.revoke(&engine, "plain", "x").err(), auth.rotate(&engine, "plain", 0, "x").err()] {
        assert!(error.unwrap().to_string().contains("configuration"));
    }
}

#[test]
fn new_keys_are_checked_field_by_field() {
    let good = NewKey { roles: vec!["reader".into()], tenants: vec!["*".into()], ..NewKey::default() };
    assert!(good.clone().checked().is_ok());
    let long = "x".repeat(101);
    for (new, field) in [
        (NewKey { roles: vec![], ..good.clone() }, "roles"),
        (NewKey { roles: vec!["reader".into(), "root".into()], ..good.clone() }, "roles[1]"),
        (NewKey { tenants: vec![], ..good.clone() }, "tenants"),
        (NewKey { tenants: vec!["A".into()], ..good.clone() }, "tenants[0]"),
        (NewKey { per_second: Some(0), ..good.clone() }, "requests_per_second"),
        (NewKey { burst: Some(5), ..good.clone() }, "burst"),
        (NewKey { label: Some(long.clone()), ..good.clone() }, "label"),
        (NewKey { principal: Some(String::new()), ..good.clone() }, "principal"),
    ] {
        let error = new.checked().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{field}: ")), "{error}");
    }
}

#[test]
fn failures_of_one_customer_count_together() {
    let ip = |text: &str| counted_as(text.parse().unwrap());
    assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff"));
    assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
    assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    assert_ne!(ip("192.0.2.2"), ip("192.0.2.1"));
}
