//! Everything that can be wrong with input and surroundings: the program says what to do, with the
//! right exit code or status, and what was stored before is still there.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::server::{Server, call, file, folder, run, stderr};

/// A server that already knows one person.
fn with_one(home: &Path) -> Server {
    let server = Server::start(&home.join("data"));
    server.post(
        "contacts:upsert",
        &json!({"record": {"source_record_id": "0", "name": "Kept Person", "email": "kept@example.org"}}),
    );
    server
}

/// The one person is still known.
fn assert_kept(server: &Server) {
    let answer =
        server.post("contacts:match", &json!({"contact": {"name": "Kept Person", "email": "kept@example.org"}}));
    assert_eq!(answer["decision"], "match", "{answer}");
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Bytes, their content type, how many rows are good and how many are not.
struct Body {
    what: &'static str,
    media: &'static str,
    bytes: Vec<u8>,
    good: u64,
    bad: u64,
}

fn body(what: &'static str, media: &'static str, bytes: impl Into<Vec<u8>>, good: u64, bad: u64) -> Body {
    Body { what, media, bytes: bytes.into(), good, bad }
}

fn utf16(text: &str) -> Vec<u8> {
    [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

fn usable_bodies() -> Vec<Body> {
    let long_line = format!("id,name,notes\n1,Ada One,{}\n2,Ben Two,ok\n", "x".repeat(3 << 20));
    let cropped = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada One\r\nEMAIL:ada@example.org\r\nEND:VCARD\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nN:Two;Be";
    vec![
        body(
            "ragged rows",
            "text/csv",
            "id,name,email\n1,Ada One\n2,Ben Two,ben@example.org\n3,C,c@example.org,more,still more\n",
            1,
            2,
        ),
        body("Latin-1", "text/csv", b"id,name\n1,Andr\xE9 M\xFCller\n2,Zo\xEB Gar\xE7on\n".to_vec(), 2, 0),
        body("UTF-16", "text/csv", utf16("id,name\n1,André Müller\n2,Zoë Garçon\n"), 2, 0),
        body("a huge line", "text/csv", long_line, 1, 1),
        body("a cropped card", "text/vcard", cropped, 1, 1),
        body(
            "broken JSON",
            "application/x-ndjson",
            "{\"name\":\"Ada One\"}\n{\"name\": \n{\"name\":\"Ben Two\"}\n",
            2,
            1,
        ),
        body("unknown fields", "application/x-ndjson", "{\"name\":\"Ada One\"}\n{\"nom\":\"Ben\"}\n", 1, 1),
    ]
}

#[test]
fn a_bad_row_is_reported_and_the_good_ones_are_stored() {
    for body in usable_bodies() {
        let home = folder();
        let server = with_one(home.path());
        let (status, answer) = server.send("imports?source=s", body.media, &body.bytes);
        assert!((200..300).contains(&status), "{}: {status} {answer}", body.what);
        let bad = number(&answer, "invalid");
        assert!(bad >= body.bad, "{}: {answer}", body.what);
        assert_eq!(number(&answer, "rows") - bad, body.good, "{}: {answer}", body.what);
        assert_kept(&server);
        if body.bytes.len() < 200 && body.what.contains('-') {
            let names =
                server.export().iter().map(|c| c["canonical_name"].as_str().unwrap().to_string()).collect::<Vec<_>>();
            assert!(names.iter().any(|name| name == "André Müller"), "{}: {names:?}", body.what);
        }
    }
}

#[test]
fn a_body_that_is_no_contact_file_is_refused_or_reported() {
    let home = folder();
    let server = with_one(home.path());
    let bodies = [
        body("nothing", "text/csv", "", 0, 0),
        body("10 MB of NUL", "text/csv", vec![0; 10 << 20], 0, 0),
        body("10 MB of NUL", "application/x-ndjson", vec![0; 10 << 20], 0, 0),
        body("10 MB of NUL", "text/vcard", vec![0; 10 << 20], 0, 0),
        body("a column that nobody knows", "text/csv", "zork\n1\n", 0, 0),
    ];
    for body in bodies {
        let (status, answer) = server.send("imports", body.media, &body.bytes);
        let refused = (400..500).contains(&status) && answer["detail"].is_string();
        let nothing_stored = (200..300).contains(&status) && number(&answer, "rows") == number(&answer, "invalid");
        assert!(refused || nothing_stored, "{}: {status} {answer}", body.what);
        assert_kept(&server);
    }
    assert_eq!(server.contacts(), 1);
}

#[test]
fn a_bad_request_names_what_is_wrong() {
    let home = folder();
    let server = with_one(home.path());
    let cases = [
        ("contacts:upsert", json!({"record": {"name": "X Y", "colour": "red"}}), 400, "colour"),
        ("contacts:upsert", json!({"record": {"name": "X Y"}, "fast": true}), 400, "fast"),
        ("contacts:match", json!({"contact": {"name": "X Y"}, "limits": 3}), 400, "limits"),
        ("contacts:search?colour=red", json!({"q": "x"}), 400, "colour"),
    ];
    for (path, value, status, word) in cases {
        let (got, answer) = server.try_post(path, &value);
        assert_eq!(got, status, "{path} {value}: {answer}");
        assert!(answer.to_string().contains(word), "{path}: {answer}");
        assert!(answer["code"].is_string(), "{answer}");
    }
    let (status, answer) = server.send("contacts:upsert", "application/json", b"{\"record\": ");
    assert_eq!(status, 400, "{answer}");
    let (status, body) = call(server.address(), "GET", "/v1/tenants/nobody/stats", "", b"").unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, answer["code"].as_str()), (404, Some("tenant_unknown")), "{answer}");
    assert_kept(&server);
}

#[test]
fn bad_files_and_options_end_with_code_2_and_a_remedy() {
    let home = folder();
    let empty = file(home.path(), "empty.csv", "");
    let nuls = file(home.path(), "nuls.csv", vec![0; 1 << 20]);
    let unknown = file(home.path(), "unknown.csv", "zork\n1\n");
    let [empty, nuls, unknown] = [&empty, &nuls, &unknown].map(|path| path.to_str().unwrap());
    let missing = home.path().join("missing.csv");
    let missing = missing.to_str().unwrap();
    let cases: &[&[&str]] = &[
        &["import", empty],
        &["import", missing],
        &["import", home.path().to_str().unwrap()],
        &["import", empty, "--tenant", "Not A Tenant"],
        &["match", "x", "--url", "ftp://example.org"],
        &["match"],
        &["dedupe", missing],
        &["dedupe", empty],
        &["dedupe", nuls],
        &["dedupe", unknown],
        &["dedupe", unknown, "--threshold", "67"],
        &["evaluate", unknown, "--truth", "no_such_column"],
        &["no-such-command"],
        &["serve", "--listen", "nowhere"],
    ];
    for arguments in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).trim().is_empty(), "{arguments:?}");
    }
}

/// The server knows after the first bytes, while most of the file is still to come: it used to close the connection, and the
/// reason was lost behind "broken pipe".
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let home = folder();
    let server = with_one(home.path());
    let nuls = file(home.path(), "nuls.csv", vec![0; 10 << 20]);
    let url = format!("http://{}", server.address());
    let output = run(&["import", nuls.to_str().unwrap(), "--url", &url]);
    assert!(stderr(&output).contains("NUL"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(2));
    assert_kept(&server);
}

#[test]
fn no_server_is_said_with_the_remedy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["stats", "--url", &format!("http://{free}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("selfsame serve"), "{}", stderr(&output));
}

/// Starts a server that must refuse; gives what it said.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = stderr(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {:?} {text}", output.status);
    text
}

#[test]
fn surroundings_that_cannot_work_are_refused_at_the_start() {
    let home = folder();
    let data = home.path().join("data");
    let data = data.to_str().unwrap();
    let server = with_one(home.path());

    let taken =
        refused(&["serve", "--data-dir", home.path().join("other").to_str().unwrap(), "--listen", server.address()]);
    assert!(taken.contains("in use"), "{taken}");
    let locked = refused(&["serve", "--data-dir", data, "--listen", "127.0.0.1:0"]);
    assert!(locked.contains("lock") || locked.contains("another"), "{locked}");
    let beyond =
        refused(&["serve", "--data-dir", home.path().join("other").to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    assert!(beyond.contains("key"), "{beyond}");
    let blocked = file(home.path(), "a-file", "");
    let not_a_dir = refused(&["serve", "--data-dir", blocked.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(not_a_dir.contains("a-file"), "{not_a_dir}");

    assert_kept(&server);
    assert_eq!(server.stop(), Some(0));
    #[expect(clippy::disallowed_methods, reason = "a test that loses a file")]
    std::fs::rename(home.path().join("data.key"), home.path().join("lost.key")).unwrap();
    let keyless = refused(&["serve", "--data-dir", data, "--listen", "127.0.0.1:0"]);
    assert!(keyless.contains("--key-file"), "{keyless}");
    let key = home.path().join("lost.key");
    let server = Server::start_with(Path::new(data), &["--key-file", key.to_str().unwrap()]);
    assert_kept(&server);
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_left_alone() {
    let home = folder();
    assert_eq!(with_one(home.path()).stop(), Some(0));
    let journal = home.path().join("data/journal");
    let mut segments: Vec<_> = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let first = segments.first().unwrap();
    let old = std::fs::read(first).unwrap();
    let mut new = old.clone();
    // The format's version follows the eight bytes that say what the file is.
    new[8..12].copy_from_slice(&99_u32.to_le_bytes());
    std::fs::write(first, &new).unwrap();
    let data = home.path().join("data");
    let text = refused(&["serve", "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(text.contains("newer"), "{text}");
    assert_eq!(std::fs::read(first).unwrap(), new, "nothing was changed");
    std::fs::write(first, &old).unwrap();
    assert_kept(&Server::start(&data));
}

#[test]
fn the_key_file_is_made_once_and_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = folder();
    let server = with_one(home.path());
    let key = home.path().join("data.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    drop(server);
}

#[test]
fn a_read_only_data_directory_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = folder();
    let data = home.path().join("data");
    let data_text = data.to_str().unwrap();
    drop(with_one(home.path()));
    let set = |mode| std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    let probe = data.join("probe");
    let ignored = std::fs::create_dir(&probe).is_ok();
    if ignored {
        // The administrator may write everywhere: there is nothing to refuse.
        std::fs::remove_dir(&probe).unwrap();
        set(0o700);
        return;
    }
    let text = refused(&["serve", "--data-dir", data_text, "--listen", "127.0.0.1:0"]);
    set(0o700);
    assert!(text.contains("data"), "{text}");
    assert_kept(&Server::start(&data));
}
