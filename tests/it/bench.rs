//! The load generator against a real server: its figures add up, and a broken run fails.

use serde_json::Value;

use crate::main_job::address_book;
use crate::server::{Server, file, folder, stderr, stdout};

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Percentiles ascend, nothing is bad.
fn check(load: &Value, requests: f64) {
    assert_eq!(number(load, "requests"), requests, "{load}");
    let shown = ["p50_us", "p90_us", "p99_us", "p99_9_us", "max_us"].map(|name| number(load, name));
    assert!(shown[0] > 0.0 && shown.is_sorted(), "{load}");
    for bad in ["not_200", "malformed", "broken"] {
        assert_eq!(number(load, bad), 0.0, "{load}");
    }
}

#[test]
fn a_short_run_adds_up() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let book = address_book(200);
    let (status, answer) = server.send("imports?source=book", "text/csv", book.as_bytes());
    assert_eq!(status, 200, "{answer}");
    let book = file(home.path(), "book.csv", book);
    let output = server.run(&[
        "bench",
        "--file",
        book.to_str().unwrap(),
        "--rate",
        "200",
        "--seconds",
        "0.5",
        "--rounds",
        "2",
        "--write-share",
        "0.1",
        "--connections",
        "2",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    check(&value["control"], 200.0);
    check(&value["match"], 180.0);
    check(&value["upsert"], 20.0);
    assert!(number(&value["match"], "with_candidates") > 170.0, "the file's own people are found: {value}");
    assert_eq!((number(&value, "records"), number(&value, "queries")), (200.0, 200.0));
    let rounds = value["rounds"].as_array().unwrap();
    let least = rounds.iter().map(|round| number(round, "p99_above_control_us")).fold(f64::INFINITY, f64::min);
    assert_eq!((rounds.len(), number(&value, "p99_above_control_us")), (2, least));
    assert_eq!(server.get("stats")["records"], 220, "each write is a record of its own");
}

#[test]
fn made_up_people_and_full_speed() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let (status, answer) = server.send("imports?source=book", "text/csv", address_book(40).as_bytes());
    assert_eq!(status, 200, "{answer}");
    let output = server.run(&["bench", "--rate", "max", "--seconds", "0.2", "--rounds", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for word in ["match", "control", "p99.9", "best of 1", "named a candidate", "%"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn a_broken_run_fails() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let unknown = server.run(&["bench", "--seconds", "0.1", "--rounds", "1"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("--tenant"), "{}", stderr(&unknown));
    let bad = server.run(&["bench", "--rate", "0"]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));
}

#[test]
fn a_filled_tenant_takes_batches_with_matches_beside_them() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let load = ["bench", "--preload", "700", "--batch", "10", "--write-share", "1", "--rate", "max", "--probe", "10"];
    let output =
        server.run(&[&load[..], &["--seconds", "1", "--rounds", "1", "--connections", "2", "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    check(&value["match_idle"], 10.0);
    check(&value["match_beside"], 10.0);
    assert!(
        number(&value["match_idle"], "with_candidates") >= 4.0,
        "every other query is about somebody there: {value}"
    );
    let written = number(&value["upsert"], "records");
    assert_eq!(written, 10.0 * number(&value["upsert"], "requests"), "{value}");
    assert!(value["p99_above_control_us"].is_null(), "nothing but the probe was matched: {value}");
    assert_eq!((number(&value, "records"), server.get("stats")["records"].as_f64()), (700.0, Some(700.0 + written)));
}
