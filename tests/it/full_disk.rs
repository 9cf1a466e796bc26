//! The real program on a small file system of its own that fills up, and on one that turns read-only.
//!
//! Mounting needs root. Where that is not permitted the tests say so and check nothing; `tests/run` in its full form
//! runs them by name and shows what they say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Server, call, file, folder};

/// A mounted tmpfs, gone with the value.
struct Mounted {
    at: PathBuf,
    _home: tempfile::TempDir,
}

impl Mounted {
    fn tmpfs(kilobytes: u64) -> Option<Self> {
        let size = format!("size={kilobytes}k,mode=700");
        Self::new(|at| mount(&["-t", "tmpfs", "-o", &size, "selfsame-test", at.to_str().unwrap()]))
    }

    /// An ext4 in a file, which can turn read-only under whoever writes, as after an error of the device.
    fn ext4(image: &Path) -> Option<Self> {
        let name = image.to_str().unwrap();
        let made = image.exists() || {
            std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
            quiet("mkfs.ext4", &["-q", name])
        };
        Self::new(|at| made && mount(&["-o", "loop,errors=remount-ro", name, at.to_str().unwrap()]))
    }

    fn new(mounts: impl FnOnce(&Path) -> bool) -> Option<Self> {
        let home = folder();
        let at = home.path().join("small");
        std::fs::create_dir(&at).unwrap();
        if mounts(&at) {
            return Some(Self { at, _home: home });
        }
        println!(
            "SKIPPED: mounting is not permitted here (it needs root, and ext4 in a file a loop device); nothing was checked"
        );
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    quiet("mount", arguments)
}

fn quiet(tool: &str, arguments: &[&str]) -> bool {
    Command::new(tool).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A server that takes writes to the last byte: the file systems here are smaller than the room it would keep free.
fn start(data: &Path) -> Server {
    let home = folder();
    let config = file(home.path(), "to-the-brim.toml", "disk_free_min_bytes = 0\n");
    Server::start_with(data, &["--config", config.to_str().unwrap()])
}

/// Puts one record with a long note; its status and answer.
fn put(server: &Server, number: u64) -> (u16, Value) {
    let record = json!({"source": "acks", "source_record_id": number.to_string(), "name": format!("Person {number}"),
        "email": format!("p{number}@example.org"), "notes": "n".repeat(8000)});
    server.try_post("contacts:upsert", &json!({ "record": record }))
}

/// Puts until a write is refused; gives what was acknowledged and the refusal.
fn fill(server: &Server, from: u64, known: &mut BTreeSet<u64>) -> (u16, Value) {
    for number in from..from + 20_000 {
        match put(server, number) {
            (200, _) => drop(known.insert(number)),
            refused => return refused,
        }
    }
    panic!("20,000 records of 8 kB fit into a small disk");
}

/// Everything acknowledged is there, once, with its address.
fn assert_all_there(server: &Server, known: &BTreeSet<u64>) {
    let mut found = BTreeSet::new();
    let mut emails = BTreeSet::new();
    for contact in server.export() {
        for record in contact["records"].as_array().unwrap() {
            let number = record["source_record_id"].as_str().unwrap().parse::<u64>().unwrap();
            assert!(found.insert(number), "record {number} is in two contacts");
        }
        for email in contact["emails"].as_array().unwrap() {
            assert!(emails.insert(email["value"].to_string()), "{email} is in two live contacts");
        }
    }
    let lost: Vec<_> = known.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged but gone: {lost:?}");
}

/// Reads answer, whatever writes do.
fn assert_reads(server: &Server, known: &BTreeSet<u64>) {
    let one = known.first().unwrap();
    let asked = json!({"contact": {"email": format!("p{one}@example.org")}, "threshold": 0.1});
    let answer = server.post("contacts:match", &asked);
    assert_eq!(answer["candidates"].as_array().unwrap().len(), 1, "{answer}");
    let (status, _) = call(server.address(), "GET", "/readyz", "", b"").unwrap();
    assert!(status == 200 || status == 503, "readyz says {status}");
}

fn takes_writes(server: &Server, number: u64, known: &mut BTreeSet<u64>) {
    let (status, answer) = put(server, number);
    assert_eq!(status, 200, "{answer}");
    known.insert(number);
}

#[test]
fn a_full_file_system_refuses_writes_with_507_and_loses_nothing() {
    let Some(small) = Mounted::tmpfs(40 << 10) else { return };
    let ballast = small.at.join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    let data = small.at.join("data");
    let (mut known, server) = (BTreeSet::new(), start(&data));
    let (status, answer) = fill(&server, 0, &mut known);
    println!("full after {} records: {status} {answer}", known.len());
    assert_eq!(status, 507, "{answer}");
    assert!(known.len() > 100, "{}", known.len());
    assert_reads(&server, &known);
    assert_eq!(put(&server, 30_000).0, 507, "still full");
    // A snapshot may or may not find room; either way nothing breaks.
    let (status, _) = call(server.address(), "POST", "/v1/admin/snapshot", "application/json", b"").unwrap();
    assert!(status == 200 || status == 507 || status == 503, "the snapshot is answered {status}");
    assert_reads(&server, &known);
    server.kill9();
    let server = start_on_full(&data);
    if let Some(server) = server {
        assert_all_there(&server, &known);
        server.kill9();
    }
    std::fs::remove_file(&ballast).unwrap();
    let server = start(&data);
    assert_all_there(&server, &known);
    takes_writes(&server, 40_000, &mut known);
    server.kill9();
    assert_all_there(&start(&data), &known);
}

/// A start on a disk that is still full either serves or says that there is no room; it never harms anything.
fn start_on_full(data: &Path) -> Option<Server> {
    let outcome = std::panic::catch_unwind(|| start(data));
    println!("a start on the full disk: {}", if outcome.is_ok() { "serves" } else { "refuses" });
    outcome.ok()
}

#[test]
fn room_that_comes_back_is_used_without_a_restart() {
    let Some(small) = Mounted::tmpfs(24 << 10) else { return };
    let ballast = small.at.join("ballast");
    std::fs::write(&ballast, vec![1; 12 << 20]).unwrap();
    let (mut known, server) = (BTreeSet::new(), start(&small.at.join("data")));
    assert_eq!(fill(&server, 0, &mut known).0, 507);
    std::fs::remove_file(&ballast).unwrap();
    takes_writes(&server, 50_000, &mut known);
    assert_all_there(&server, &known);
    server.kill9();
    assert_all_there(&start(&small.at.join("data")), &known);
}

#[test]
fn a_file_system_that_turns_read_only_stops_writes_and_not_reads() {
    let home = folder();
    let image = home.path().join("image");
    let Some(disk) = Mounted::ext4(&image) else { return };
    let (mut known, server) = (BTreeSet::new(), start(&disk.at.join("data")));
    for number in 0..20 {
        takes_writes(&server, number, &mut known);
    }
    assert!(mount(&["-o", "remount,abort", disk.at.to_str().unwrap()]), "the file system does not turn read-only");
    let (status, answer) = put(&server, 100);
    println!("read-only: {status} {answer}");
    assert_eq!(status, 503, "{answer}");
    assert_reads(&server, &known);
    assert_eq!(put(&server, 101).0, 503, "a poisoned journal acknowledges nothing");
    assert_reads(&server, &known);
    assert_all_there(&server, &known);
    server.kill9();
    assert!(quiet("umount", &[disk.at.to_str().unwrap()]));
    let disk = Mounted::ext4(&image).unwrap();
    let server = start(&disk.at.join("data"));
    assert_all_there(&server, &known);
    takes_writes(&server, 102, &mut known);
    server.kill9();
    assert_all_there(&start(&disk.at.join("data")), &known);
}
