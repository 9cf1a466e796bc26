//! The main job over real HTTP: one person out of two records, undo, a household, the same file twice.

use serde_json::{Value, json};

use crate::server::{Server, file, folder, stdout};

/// Fields of the answer's only result.
fn upsert(server: &Server, record: &Value) -> Value {
    server.post("contacts:upsert", &json!({ "record": record }))["results"][0].clone()
}

fn john() -> Value {
    json!({"source": "gmail", "source_record_id": "1", "name": "John Smith", "phone": "(212) 555-1234"})
}

fn j_smith() -> Value {
    json!({"source": "phone", "source_record_id": "2", "name": "J. Smith", "phone": "212-555-1234"})
}

#[test]
fn two_records_become_one_person_and_undo_takes_them_apart() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let first = upsert(&server, &john());
    assert_eq!(first["outcome"], "created");
    let second = upsert(&server, &j_smith());
    assert_eq!(second["outcome"], "merged", "{second}");
    let id = first["contact_id"].as_str().unwrap();
    assert_eq!(second["contact_id"], id, "the older contact stays");

    let contact = server.get(&format!("contacts/{id}"));
    assert_eq!(contact["canonical_name"], "John Smith");
    assert_eq!(contact["records"].as_array().unwrap().len(), 2);
    assert_eq!(contact["phones"][0]["value"], "+12125551234");
    let history = server.get(&format!("contacts/{id}/history"));
    assert!(history.to_string().contains("merged") || history.to_string().contains("updated"), "{history}");

    let merges = server.get("merges");
    let merge_id = items(&merges)[0]["merge_id"].as_str().unwrap().to_string();
    server.post(&format!("merges/{merge_id}/undo"), &json!({}));
    assert_eq!(server.contacts(), 2);
    let mut names: Vec<String> =
        server.export().iter().map(|contact| contact["canonical_name"].as_str().unwrap().to_string()).collect();
    names.sort();
    assert_eq!(names, ["J. Smith", "John Smith"]);
    let back = upsert(&server, &j_smith());
    assert_eq!(back["outcome"], "unchanged", "an undone merge is not made again");
    assert_eq!(server.contacts(), 2);
}

/// The list inside a page, whatever its name.
fn items(page: &Value) -> &Vec<Value> {
    page.as_object().unwrap().values().find_map(Value::as_array).unwrap()
}

#[test]
fn a_household_stays_two_people() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    upsert(&server, &json!({"source_record_id": "1", "name": "Mary Miller", "phone": "+1 212 555 0199"}));
    let other = upsert(&server, &json!({"source_record_id": "2", "name": "Thomas Miller", "phone": "+1 212 555 0199"}));
    assert_ne!(other["outcome"], "merged", "{other}");
    assert_eq!(server.contacts(), 2);
}

#[test]
fn everything_is_there_after_a_stop_and_after_a_kill() {
    let home = folder();
    let data = home.path().join("data");
    let server = Server::start(&data);
    upsert(&server, &john());
    upsert(&server, &j_smith());
    let before = server.get("stats?fingerprint=true")["fingerprint"].clone();
    assert_eq!(server.stop(), Some(0), "SIGTERM is a graceful stop");
    let server = Server::start(&data);
    assert_eq!(server.get("stats?fingerprint=true")["fingerprint"], before);
    upsert(&server, &json!({"source_record_id": "3", "name": "Ann Other", "email": "ann@example.org"}));
    let before = server.get("stats?fingerprint=true")["fingerprint"].clone();
    server.kill9();
    let server = Server::start(&data);
    assert_eq!(server.get("stats?fingerprint=true")["fingerprint"], before);
    let found = server.run(&["match", "Ann Other", "--email", "ann@example.org", "--json"]);
    assert!(stdout(&found).contains("\"match\""), "{}", stdout(&found));
}

/// Family names of three syllables; "Novaker" is the first.
fn family_name(number: usize) -> String {
    let ends = ["ker", "lin", "mar", "nes", "pol", "rin", "son", "tov", "vas", "zor", "berg", "dahl", "feld"];
    let middles = ["a", "el", "i", "om", "u", "en", "or", "ai", "y", "ul"];
    let starts = ["Nov", "Ok", "Petr", "Quin", "Ross", "Sat", "Tan", "Ued", "Varg", "Web", "Bram", "Cald", "Drex"];
    let (end, middle, start) = (number % 13, number / 13 % 10, number / 130 % 13);
    format!("{}{}{}", starts[start], middles[middle], ends[end])
}

/// A small address book; every tenth record repeats the person before under another id.
pub fn address_book(rows: usize) -> String {
    let firsts = ["Anna", "Boris", "Chen", "Dora", "Emil", "Fatima", "George", "Hana", "Ivan", "Julia"];
    let firms = ["Blue Harbor", "Granite Works", "Lumen", "Orchard Foods", "Pine Logistics", "Quartz", "Sunrise Media"];
    let cities = ["Boston", "Denver", "Houston", "Memphis", "Omaha", "Portland", "Tucson", "Wichita"];
    let mut text = String::from("id,first_name,last_name,email,phone,organization,city\n");
    for n in 0..rows {
        let person = if n % 10 == 9 { n - 1 } else { n };
        let (first, last) = (firsts[person % 10], family_name(person / 10));
        // A multiplier spreads the numbers, so that neighbours are not alike.
        let spread = 2_000_000 + person * 7_368_787 % 7_999_993;
        text.push_str(&format!(
            "r{n},{first},{last},{}{spread}@mail{}.example,+1 212 {spread},{},{}\n",
            first.to_lowercase(),
            person % 7,
            firms[person / 3 % 7],
            cities[person / 5 % 8]
        ));
    }
    text
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Imports a body twice and once more twice at once; only the first may create.
fn import_again(media: &str, body: &str, rows: u64) {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let (status, first) = server.send("imports?source=book", media, body.as_bytes());
    assert!((200..300).contains(&status), "{status} {first}");
    assert_eq!(number(&first, "rows"), rows, "{first}");
    assert_eq!(number(&first, "invalid"), 0, "{first}");
    let contacts = server.contacts();
    let (_, second) = server.send("imports?source=book", media, body.as_bytes());
    assert_eq!((number(&second, "created"), number(&second, "merged")), (0, 0), "{second}");
    assert_eq!(number(&second, "unchanged") + number(&second, "updated"), rows, "{second}");
    assert_eq!(server.contacts(), contacts);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (status, again) = server.send("imports?source=book", media, body.as_bytes());
                assert!((200..300).contains(&status));
                assert_eq!(number(&again, "created"), 0, "{again}");
            });
        }
    });
    assert_eq!(server.contacts(), contacts);
}

#[test]
fn the_same_csv_twice_creates_nobody() {
    import_again("text/csv", &address_book(300), 300);
}

#[test]
fn the_same_ndjson_twice_creates_nobody() {
    let lines: Vec<String> = (0..50)
        .map(|n| json!({"source_record_id": n.to_string(), "name": format!("Person Number{n}"), "email": format!("p{n}@example.org")}).to_string())
        .collect();
    import_again("application/x-ndjson", &lines.join("\n"), 50);
}

#[test]
fn the_same_vcards_twice_create_nobody() {
    let cards: Vec<String> = (0..50)
        .map(|n| format!("BEGIN:VCARD\r\nVERSION:3.0\r\nN:Family{n};Given{n};;;\r\nFN:Given{n} Family{n}\r\nEMAIL:g{n}@example.org\r\nEND:VCARD\r\n"))
        .collect();
    import_again("text/vcard", &cards.concat(), 50);
}

#[test]
fn two_first_imports_of_one_file_at_once_leave_it_once() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let body = address_book(300);
    let created = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (status, answer) = server.send("imports?source=book", "text/csv", body.as_bytes());
                assert!((200..300).contains(&status), "{answer}");
                let new = number(&answer, "created") + number(&answer, "merged") + number(&answer, "review");
                created.fetch_add(new, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
    assert_eq!(created.into_inner(), 300, "each record is new to exactly one of the two");
    assert_eq!(server.get("stats")["records"], 300);
}

#[test]
fn the_commands_talk_to_the_server() {
    let home = folder();
    let server = Server::start(&home.path().join("data"));
    let book = file(home.path(), "book.csv", address_book(40));
    let import = server.run(&["import", book.to_str().unwrap(), "--source", "book", "--json"]);
    assert_eq!(import.status.code(), Some(0), "{}", crate::server::stderr(&import));
    let summary: Value = serde_json::from_str(&stdout(&import)).unwrap();
    assert_eq!(number(&summary, "rows"), 40);
    let dry = server.run(&["import", book.to_str().unwrap(), "--source", "other", "--dry-run", "--json"]);
    assert_eq!(dry.status.code(), Some(0));
    assert_eq!(server.get("stats")["records"], 40, "a dry run writes nothing");
    let firms = file(home.path(), "firms.csv", "id,name,domain\n1,Acme Ltd,acme.example\n2,Globex,globex.example\n");
    let import = server.run(&["import", firms.to_str().unwrap(), "--source", "erp", "--entity", "accounts", "--json"]);
    assert_eq!(import.status.code(), Some(0), "{}", crate::server::stderr(&import));
    assert_eq!((&server.get("stats")["records"], &server.get("stats")["accounts"]), (&40.into(), &2.into()));
    let refused = server.run(&["import", firms.to_str().unwrap(), "--entity", "firms"]);
    assert_eq!(refused.status.code(), Some(2), "{}", crate::server::stderr(&refused));
    let found = server.run(&[
        "match",
        "Anna Novaker",
        "--email",
        "anna2000000@mail0.example",
        "--phone",
        "+1 212 2000000",
        "--explain",
    ]);
    let text = stdout(&found);
    assert!(text.contains("Anna Novaker") && text.contains("prior") && text.contains("sum"), "{text}");
    for command in [["stats", "--json"], ["snapshot", "--json"]] {
        let output = server.run(&command);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", crate::server::stderr(&output));
    }
}
