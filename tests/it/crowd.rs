//! Many clients at once: every person is put five times with variations, in any interleaving, and there are exactly as many
//! contacts as people.
//!
//! `SELFSAME_CROWD=10000 cargo test --release --test it crowd -- --nocapture` does it with 10,000 people; by default they
//! are few.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use serde_json::{Value, json};

use crate::server::{Server, folder};

/// Clients at once.
const CLIENTS: usize = 64;
/// Records a person.
const WORDS: usize = 5;
/// Given names as people write them and as friends say them.
const GIVEN: [(&str, &str); 16] = [
    ("William", "Bill"),
    ("Robert", "Bob"),
    ("Elizabeth", "Liz"),
    ("Margaret", "Peggy"),
    ("Richard", "Dick"),
    ("Katherine", "Kate"),
    ("Thomas", "Tom"),
    ("Michael", "Mike"),
    ("Joseph", "Joe"),
    ("Anthony", "Tony"),
    ("Edward", "Ted"),
    ("Susan", "Sue"),
    ("Patricia", "Pat"),
    ("Christopher", "Chris"),
    ("Andrew", "Andy"),
    ("René", "Rene"),
];
const SYLLABLES: [&str; 12] =
    ["bran", "mor", "vel", "quist", "tar", "hol", "zim", "gard", "lund", "pra", "krü", "stein"];

/// A number that looks like no other's: splitmix64.
fn mixed(number: usize) -> u64 {
    let mut z = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// What five sources say of a person: identifiers are the person's own, everything else varies.
fn words_on(person: usize) -> [Value; WORDS] {
    let (given, short) = GIVEN[person % 16];
    // 1,009 is prime to the number of surnames, so that people of one given name have surnames far from one another.
    let surname = (person / 16 * 1_009 + person % 16 * 577) % 12usize.pow(3);
    let part = |at: u32| SYLLABLES[surname / 12usize.pow(at) % 12];
    let family = capital(&format!("{}{}{}", part(0), part(1), part(2)));
    let own = mixed(person);
    let service = ["gmail.com", "outlook.com", "yahoo.com", "gmx.net", "icloud.com"][(own >> 40) as usize % 5];
    let email = format!("{:010x}.{}@{service}", own & 0xff_ffff_ffff, family.to_lowercase().replace('ü', "u"));
    // Ten thousand numbers of one area are one digit apart a few hundred times, which is evidence.
    let area = [212, 303, 415, 534, 617, 727, 808, 956][(own >> 50) as usize % 8];
    let line = own % 10_000_000;
    let (exchange, last) = (200 + line / 10_000 % 800, line % 10_000);
    let plain = family.replace('ü', "u");
    [
        json!({"name": format!("{given} {family}"), "email": email, "phone": format!("+1{area}{exchange:03}{last:04}")}),
        json!({"name": format!("{short} {family}"), "phone": format!("({area}) {exchange:03}-{last:04}")}),
        json!({"name": format!("{} {}", given.to_uppercase(), plain.to_uppercase()), "email": email.to_uppercase()}),
        json!({"name": format!("{family}, {given}"), "phone": format!("{area}.{exchange:03}.{last:04}"), "email": format!(" {email} ")}),
        json!({"first_name": short, "last_name": plain, "email": email.replace('@', "+news@"), "organization": format!("Works {}", own % 97)}),
    ]
}

/// A connection that stays.
struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    fn upsert(&mut self, said: &Value) -> String {
        let body = json!({ "record": said }).to_string();
        let head = format!(
            "POST /v1/tenants/main/contacts:upsert HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        let (mut status, mut length, mut line) = (String::new(), 0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if status.is_empty() {
                status = line.clone();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        assert!(status.contains(" 200 "), "{status} {}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body).unwrap();
        answer["results"][0]["outcome"].as_str().unwrap().to_owned()
    }
}

#[test]
fn many_clients_make_exactly_the_contacts_that_there_are_people() {
    let people: usize = std::env::var("SELFSAME_CROWD").ok().map_or(300, |count| count.parse().unwrap());
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let mut words: Vec<(u64, Value)> = (0..people)
        .flat_map(|person| {
            words_on(person).into_iter().enumerate().map(move |(source, mut said)| {
                said["source"] = format!("s{source}").into();
                said["source_record_id"] = format!("p{person}").into();
                (mixed(person * WORDS + source + 1_000_000_007), said)
            })
        })
        .collect();
    words.sort_by_key(|(order, _)| *order);
    let words: Arc<[Value]> = words.into_iter().map(|(_, said)| said).collect();
    let (start, began) = (Arc::new(Barrier::new(CLIENTS)), Instant::now());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (words, start, mut client) = (Arc::clone(&words), Arc::clone(&start), Client::new(server.address()));
            std::thread::spawn(move || {
                start.wait();
                let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
                for said in words.iter().skip(number).step_by(CLIENTS) {
                    *outcomes.entry(client.upsert(said)).or_default() += 1;
                }
                outcomes
            })
        })
        .collect();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for client in clients {
        client.join().unwrap().into_iter().for_each(|(word, count)| *outcomes.entry(word).or_default() += count);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{people} people, {} records, {CLIENTS} clients: {seconds:.1} s, {outcomes:?}", words.len());
    check(&server.export(), people);
}

/// A full scan: a contact for each person with that person's five records, and no email of two contacts.
fn check(contacts: &[Value], people: usize) {
    let mut holder_of: BTreeMap<String, &str> = BTreeMap::new();
    let mut persons: BTreeSet<String> = BTreeSet::new();
    let mut wrong = Vec::new();
    for contact in contacts {
        let id = contact["contact_id"].as_str().unwrap();
        let records = contact["records"].as_array().unwrap();
        let of: BTreeSet<&str> = records.iter().map(|one| one["source_record_id"].as_str().unwrap()).collect();
        if (of.len(), records.len()) != (1, WORDS) {
            wrong.push(format!("{of:?} has {} records: {}", records.len(), contact["canonical_name"]));
        }
        persons.extend(of.into_iter().map(str::to_owned));
        for email in contact["emails"].as_array().unwrap() {
            let value = email["value"].as_str().unwrap().to_lowercase().replace("+news@", "@");
            assert_eq!(*holder_of.entry(value).or_insert(id), id, "a business key has one holder");
        }
    }
    assert!(wrong.is_empty(), "{} contacts are not one person with all words on them: {wrong:#?}", wrong.len());
    assert_eq!((contacts.len(), persons.len(), holder_of.len()), (people, people, people));
}
