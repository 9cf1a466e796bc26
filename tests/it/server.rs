//! The real program as a child process, and the smallest HTTP client that tests need.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// Seconds that a start or an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, without any environment that would change its defaults.
pub fn program<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    command
        .args(arguments)
        .env_remove("SELFSAME_URL")
        .env_remove("SELFSAME_KEY")
        .env_remove("SELFSAME_CA_FILE")
        .env_remove("RUST_LOG");
    command
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    program(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a finished run printed on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a finished run printed on standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder that goes away with the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file into a folder and gives its path.
pub fn file(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    said: Vec<String>,
    lines: std::sync::Mutex<Receiver<String>>,
}

impl Server {
    /// Starts on a free port over a data directory and waits until it is ready.
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// The same with further arguments.
    pub fn start_with(data_dir: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
        arguments.extend(more);
        Self::spawn(&arguments)
    }

    /// Starts with exactly these arguments and waits until it is ready.
    pub fn spawn(arguments: &[&str]) -> Self {
        let mut child =
            program(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    // Nobody listens any more, but the pipe must be drained all the same.
                }
            }
        });
        let mut server = Self { child, address: String::new(), said: Vec::new(), lines: std::sync::Mutex::new(lines) };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.lines.lock().unwrap().recv_timeout(PATIENCE) else {
                panic!("the server did not get ready; it said: {seen:#?}");
            };
            if let Some((_, url)) = line.split_once("listening on http") {
                self.address = url.trim_start_matches(['s', ':', '/']).trim().to_string();
            }
            let ready = line.contains("selfsame: ready");
            seen.push(line);
            if ready {
                self.said = seen;
                return;
            }
        }
    }

    /// What it said until it was ready.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, waits, and gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Runs a client command of the program against this server.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        let url = self.url();
        all.extend(["--url", &url]);
        run(&all)
    }

    /// Asks for a path of tenant `main`.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = call(&self.address, "GET", &tenant(path), "", b"").unwrap();
        assert_eq!(status, 200, "GET {path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// Posts JSON to a path of tenant `main`.
    pub fn post(&self, path: &str, value: &Value) -> Value {
        let (status, answer) = self.try_post(path, value);
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// The same, whatever the status.
    pub fn try_post(&self, path: &str, value: &Value) -> (u16, Value) {
        let body = value.to_string();
        let (status, body) = call(&self.address, "POST", &tenant(path), "application/json", body.as_bytes()).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Posts a body of any kind to a path of tenant `main`.
    pub fn send(&self, path: &str, media: &str, body: &[u8]) -> (u16, Value) {
        let (status, body) = call(&self.address, "POST", &tenant(path), media, body).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// All contacts, one JSON object each.
    pub fn export(&self) -> Vec<Value> {
        let (status, body) = call(&self.address, "GET", &tenant("export"), "", b"").unwrap();
        assert_eq!(status, 200);
        let text = String::from_utf8(body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Contacts that live.
    pub fn contacts(&self) -> u64 {
        self.get("stats")["contacts"].as_u64().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tenant(path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { format!("/v1/tenants/main/{path}") }
}

/// One request on its own connection; `media` is the body's, of a GET the answer's. `Err` when the connection breaks.
pub fn call(address: &str, method: &str, path: &str, media: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let accept = match (method, media) {
        ("GET", "") if path.ends_with("/export") => "application/x-ndjson",
        ("GET", wanted) if !wanted.is_empty() => wanted,
        _ => "*/*",
    };
    let typed = method != "GET" && !media.is_empty();
    let media = if typed { format!("Content-Type: {media}\r\n") } else { String::new() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n{media}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A server that refuses early stops reading; its answer is there all the same.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer).ok_or_else(|| std::io::Error::other("the connection broke before the answer was whole"))
}

/// Status and body of a whole answer.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = &answer[end + 4..];
    let status = head.split(' ').nth(1)?.parse().ok()?;
    if head.contains("transfer-encoding: chunked") {
        return Some((status, unchunk(body)?));
    }
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    match length {
        Some(length) if body.len() < length => None,
        _ => Some((status, body.to_vec())),
    }
}

/// Joins chunks; `None` when the last is missing.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(line + 2..line + 2 + size)?);
        body = body.get(line + 4 + size..)?;
    }
}
