//! Requests that no honest client sends, over raw sockets: refused, never 500, and the server serves the next one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::hosted::{Answer, Hosted};

const KEY: &str = "the-admin-of-everything";

/// Small bounds, so that each is reached quickly.
fn hosted() -> Hosted {
    let hosted = Hosted::start(&format!(
        "api_keys = ['{KEY}']\nauth_failures_max = 0\nheader_timeout_seconds = 1\nbody_timeout_seconds = 1\n\
         request_timeout_seconds = 3\nbody_bytes_max = 65536\nheader_bytes_max = 8192\nstreams_max = 10\n"
    ));
    assert_eq!(hosted.ask("PUT", "/v1/admin/tenants/main", KEY, None).status, 200);
    hosted
}

fn assert_lives(hosted: &Hosted) {
    assert_eq!(hosted.ask("GET", "/v1/tenants/main/stats", KEY, None).status, 200);
}

/// Statuses of all answers in what was read.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text[at + 9..].get(..3)?.parse().ok()).collect()
}

#[test]
fn malformed_keys_are_refused() {
    let hosted = hosted();
    let long = "x".repeat(4000);
    let ours = format!("ssk_{}_{}", "0".repeat(16), "0".repeat(64));
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer\t",
        "Basic dXNlcjpwYXNz",
        "Bearer the-admin-of-everything x",
        "Bearer the-admin-of-everything,the-admin-of-everything",
        "Bearer \"the-admin-of-everything\"",
        "Bearer the-admin-of-everythin",
        "Bearer the-admin-of-everythingg",
        "Bearer THE-ADMIN-OF-EVERYTHING",
        "Bearer ssk_",
        "Bearer ssk__",
        "Bearer null",
        "bearer: the-admin-of-everything",
        "Bearer é",
        &format!("Bearer {ours}"),
        &format!("Bearer {long}"),
    ] {
        let answer = hosted.send("GET", "/v1/tenants/main/stats", &format!("Authorization: {value}\r\n"), b"");
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{value}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(value.len() < 20 || !String::from_utf8_lossy(&answer.body).contains(value), "no answer repeats a key");
    }
    let twice = format!("Authorization: Bearer {KEY}\r\n").repeat(2);
    assert_eq!(hosted.send("GET", "/v1/tenants/main/stats", &twice, b"").status, 401);
    let in_query = hosted.send("GET", &format!("/v1/tenants/main/stats?access_token={KEY}"), "", b"");
    assert_eq!(in_query.status, 401, "a key in a URL would end up in logs");
    let nul = hosted.raw(
        format!("GET /v1/tenants/main/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\0\r\n\r\n").as_bytes(),
    );
    assert_eq!(statuses(&nul), [400]);
    assert_lives(&hosted);
}

#[test]
fn what_is_too_large_is_refused_early() {
    let hosted = hosted();
    let key = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let path = "/v1/tenants/main/contacts:match";
    let claims = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 99999999999\r\n\r\n");
    let answer = hosted.raw(claims.as_bytes());
    assert_eq!(statuses(&answer), [413], "by its own word, before a byte of it is there");
    let mut chunked =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{key}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..20 {
        chunked.extend_from_slice(format!("2000\r\n{}\r\n", " ".repeat(0x2000)).as_bytes());
    }
    assert_eq!(statuses(&hosted.raw(&chunked)), [413], "by count");
    let header = format!("X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(statuses(&hosted.raw(format!("GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n").as_bytes())), [431]);
    let many = "X-Many: 1\r\n".repeat(500);
    assert_eq!(statuses(&hosted.raw(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes())), [431]);
    let uri = "a".repeat(70_000);
    let answer = statuses(&hosted.raw(format!("GET /{uri} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()));
    assert!(matches!(answer.as_slice(), [414 | 431]), "{answer:?}");
    // Who may not is refused before anything of the body is awaited.
    let stranger = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    let mut stream = hosted.connect();
    let started = Instant::now();
    stream.write_all(stranger.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 401");
    assert!(started.elapsed() < Duration::from_millis(900), "before the body's deadline");
    assert_lives(&hosted);
}

#[test]
fn slow_clients_are_cut_off() {
    let hosted = hosted();
    let path = "/v1/tenants/main/contacts:match";
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    );
    for (what, bytes, answers) in [
        ("nothing", "", &[][..]),
        ("a letter", "G", &[]),
        ("half a head", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", &[]),
        ("half of HTTP/2's greeting", "PRI * HTTP/2.0\r\n", &[]),
        ("a head and no body", head.as_str(), &[408]),
        ("a head and a letter", &format!("{head}{{"), &[408]),
    ] {
        let started = Instant::now();
        let answer = hosted.raw(bytes.as_bytes());
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        let seen = statuses(&answer);
        assert!(seen == answers || (seen == [408] && answers.is_empty()), "{what}: {seen:?}");
    }
    // One byte now and then is no way around the deadline of the whole request.
    let mut stream = hosted.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let started = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut seen = [0; 12];
    while stream.read_exact(&mut seen).is_err() && started.elapsed() < Duration::from_secs(20) {
        let _ = stream.write_all(b" ");
    }
    assert_eq!(&seen, b"HTTP/1.1 503");
    assert!(started.elapsed() < Duration::from_secs(6));
    assert_lives(&hosted);
}

/// Behind a proxy that reads lengths otherwise, a second request could hide in the body of the first. Whatever is ambiguous is
/// refused or ends the connection: what hides is never answered.
#[test]
fn no_request_hides_in_another() {
    let hosted = hosted();
    let key = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let hidden = format!(
        "PUT /v1/admin/tenants/hidden HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
    );
    let path = "/v1/tenants/main/contacts:match";
    let length = hidden.len();
    for (what, lengths, body) in [
        ("length and chunks", format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", length + 5), "0\r\n\r\n"),
        ("chunks and length", format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", length + 5), "0\r\n\r\n"),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), ""),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n"), ""),
        ("a signed length", "Content-Length: +0\r\n".into(), ""),
        ("a negative length", "Content-Length: -1\r\n".into(), ""),
        ("a hexadecimal length", "Content-Length: 0x0\r\n".into(), ""),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n".into(), ""),
        ("a folded header", "X-Fold: a\r\n Content-Length: 0\r\n".into(), ""),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n".into(), "0\r\n\r\n"),
        ("chunks and something else", "Transfer-Encoding: chunked, identity\r\n".into(), "0\r\n\r\n"),
        ("something that is not chunks", "Transfer-Encoding: xchunked\r\n".into(), "0\r\n\r\n"),
        ("chunked twice", "Transfer-Encoding: identity\r\nTransfer-Encoding: xchunked\r\n".into(), "0\r\n\r\n"),
        ("a chunk of no size", "Transfer-Encoding: chunked\r\n".into(), "\r\n\r\n"),
        ("a chunk of a bad size", "Transfer-Encoding: chunked\r\n".into(), "g\r\n\r\n"),
        ("a chunk of a signed size", "Transfer-Encoding: chunked\r\n".into(), "-0\r\n\r\n"),
        ("a chunk beyond 64 bits", "Transfer-Encoding: chunked\r\n".into(), "10000000000000000\r\n\r\n"),
        ("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n".into(), "1\r\n{}\r\n0\r\n\r\n"),
        ("a bare carriage return", "X-A: a\rTransfer-Encoding: chunked\r\n".into(), "0\r\n\r\n"),
        ("a header without a name", ": chunked\r\n".into(), ""),
        ("a header without a colon", "chunked\r\n".into(), ""),
    ] {
        let attack = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{key}{lengths}\r\n{body}{hidden}");
        let seen = statuses(&hosted.raw(attack.as_bytes()));
        assert!(seen.len() <= 1, "{what}: {seen:?}");
        assert!(seen.iter().all(|status| (400..500).contains(status)), "{what}: {seen:?}");
        let made = hosted.ask("GET", "/v1/tenants/hidden/stats", KEY, None);
        assert_eq!(made.status, 404, "{what}: the hidden request was served");
    }
    for (what, bytes) in [
        (
            "HTTP/1.0 with chunks",
            format!("POST {path} HTTP/1.0\r\nHost: x\r\n{key}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("HTTP/3", "GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
        ("no method", " / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a space in the path", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a NUL in the path", "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned()),
    ] {
        let mut stream = hosted.connect();
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let seen = statuses(&answer);
        assert!(seen.len() <= 1 && seen.iter().all(|status| (400..500).contains(status)), "{what}: {seen:?}");
    }
    assert_eq!(hosted.ask("GET", "/v1/tenants/hidden/stats", KEY, None).status, 404);
    assert_lives(&hosted);
}

/// However a path is written, it is the rule of what it means that counts.
#[test]
fn paths_have_one_reading() {
    let toml = format!(
        "api_keys = ['{KEY}']\nauth_failures_max = 0\n[[access_keys]]\nid = 'crm'\nkey = 'a-reader-of-crm-0000'\nroles = ['reader']\n\
         tenants = ['crm']\n"
    );
    let hosted = Hosted::start(&toml);
    for tenant in ["crm", "main"] {
        assert_eq!(hosted.ask("PUT", &format!("/v1/admin/tenants/{tenant}"), KEY, None).status, 200);
    }
    let reader = "a-reader-of-crm-0000";
    assert_eq!(hosted.ask("GET", "/v1/tenants/crm/stats", reader, None).status, 200);
    assert_eq!(
        hosted.ask("GET", "/v1/tenants/cr%6d/stats", reader, None).status,
        200,
        "the same name, written otherwise"
    );
    for path in [
        "/v1/tenants/main/stats",
        "/v1/tenants/%6dain/stats",
        "/v1/tenants/crm/../main/stats",
        "/v1/tenants/crm/%2e%2e/main/stats",
        "/v1/tenants/crm%2f..%2fmain/stats",
        "/v1/tenants/crm%2fstats",
        "/v1/tenants//crm/stats",
        "//v1/tenants/crm/stats",
        "/v1//tenants/crm/stats",
        "/v1/./tenants/crm/stats",
        "/v1/tenants/crm/stats/",
        "/v1/tenants/crm%00/stats",
        "/v1/tenants/crm%ff/stats",
        "/v1/tenants/crm%/stats",
        "/v1/tenants/crm%zz/stats",
        "/v1/tenants/CRM/stats",
        "/v1/tenants/crm;x=1/stats",
        "/v1/tenants/%2563rm/stats",
        "/v1/tenants/crm /stats",
        "/V1/tenants/crm/stats",
        "/v1/admin/../tenants/crm/stats",
        "/v1/admin/status",
        "/%76%31/admin/status",
        "/docs/../v1/admin/status",
        "/docs/..%2fv1%2fadmin%2fstatus",
        "/docs/%2e%2e/Cargo.toml",
        "/docs//etc/passwd",
        "/healthz/../v1/admin/status",
        "\\v1\\admin\\status",
        "http://localhost/v1/tenants/main/stats",
        "http://evil.example/v1/admin/status",
    ] {
        let answer = hosted.ask("GET", path, reader, None);
        assert!([400, 403, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!String::from_utf8_lossy(&answer.body).contains("records"), "{path}");
    }
    for path in ["/v1/admin/status", "/v1/tenants/main/stats", "/%68ealthz/../metrics", "/metrics/", "/healthz/x"] {
        let answer = hosted.send("GET", path, "", b"");
        assert_eq!(answer.status, 401, "{path}: nobody gets in");
    }
    let forwarded = "X-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /healthz\r\nX-HTTP-Method-Override: GET\r\nForwarded: for=127.0.0.1\r\n";
    assert_eq!(hosted.send("GET", "/v1/admin/status", forwarded, b"").status, 401, "headers of proxies open nothing");
    for method in ["TRACE", "CONNECT", "PROPFIND", "get", "OPTIONS"] {
        let all = hosted
            .raw(format!("{method} /v1/tenants/crm/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let status = Answer::first(&all).map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 401 | 405)), "{method}: {status:?}");
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `:method GET`, `:scheme http`, `:path /` by the static table, and `:authority x`.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

#[test]
fn floods_of_http2_end_the_connection_and_not_the_server() {
    let hosted = hosted();
    let begin = [GREETING, &frame(4, 0, 0, b"")].concat();
    let floods: [(&str, Vec<u8>); 6] = [
        (
            "streams that are reset at once",
            (0..2000_u32)
                .flat_map(|n| {
                    let stream = 2 * n + 1;
                    [frame(1, 5, stream, GET), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
                })
                .collect(),
        ),
        ("pings", frame(6, 0, 0, &[0; 8]).repeat(20_000)),
        ("settings", frame(4, 0, 0, b"").repeat(20_000)),
        ("headers that go on for ever", [frame(1, 1, 1, GET), frame(9, 0, 1, &[0; 8]).repeat(20_000)].concat()),
        (
            "a header list that is too long",
            [frame(1, 1, 1, GET), frame(9, 4, 1, &[&[0x40, 0x7f, 0x80, 0x7f][..], &[b'x'; 16_000]].concat())].concat(),
        ),
        ("data of no stream", frame(0, 0, 99, &[0; 1000]).repeat(100)),
    ];
    for (what, flood) in floods {
        let mut stream = hosted.connect();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(&begin);
        let _ = stream.write_all(&flood);
        let _ = stream.shutdown(Shutdown::Write);
        let mut seen = Vec::new();
        let _ = stream.take(1 << 20).read_to_end(&mut seen);
        assert!(seen.len() < 1 << 20, "{what}: answers without end");
        assert_lives(&hosted);
    }
}

#[test]
fn many_idle_connections_leave_room_for_one_that_asks() {
    let hosted = Hosted::start(&format!("api_keys = ['{KEY}']\nconnections_max = 20\nheader_timeout_seconds = 1\n"));
    let idle: Vec<_> = (0..60).map(|_| hosted.connect()).collect();
    let started = Instant::now();
    assert_eq!(hosted.ask("GET", "/metrics", KEY, None).status, 200);
    assert!(started.elapsed() < Duration::from_secs(20), "the idle ones are cut off one after the other");
    drop(idle);
}
