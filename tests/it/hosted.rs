//! A server inside of the test: the real listener and the real engine, on a disk in memory, under any configuration.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use selfsame::config::{RawConfig, ServerConfig};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::host::{MemDisk, OsRandom, SystemClock};
use selfsame::http::{self, EngineSlot};
use serde_json::Value;
use tokio::sync::oneshot;

/// How long an answer may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; stopped when dropped.
pub struct Hosted {
    pub address: SocketAddr,
    pub engine: Arc<Engine>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hosted {
    /// Starts under a configuration in TOML.
    pub fn start(toml: &str) -> Self {
        Self::start_on(&MemDisk::new(), toml)
    }

    /// The same over a disk.
    pub fn start_on(disk: &MemDisk, toml: &str) -> Self {
        let config = ServerConfig::load(Some(toml), |_| None, RawConfig::default()).unwrap();
        let world =
            World { disk: Arc::new(disk.clone()), clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom) };
        let engine = Engine::open(EngineOptions::new("/data"), world).unwrap().0;
        let slot = EngineSlot::default();
        slot.set(Arc::clone(&engine));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let until = async { drop(stopped.await) };
                http::serve(&config, slot, listener, until).await.unwrap();
            });
        });
        let address = told.recv_timeout(PATIENCE).unwrap();
        Self { address, engine, stop: Some(stop), thread: Some(thread) }
    }

    /// Stops it in order and waits for its end.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
        let mut headers = String::new();
        if !key.is_empty() {
            headers.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push_str("Content-Type: application/json\r\n");
        }
        self.send(method, path, &headers, body.as_bytes())
    }

    /// The same with headers of any kind, each with its line end.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let all = self.raw(&[head.as_bytes(), body].concat());
        Answer::first(&all)
            .unwrap_or_else(|| panic!("{method} {path}: no answer in {:?}", String::from_utf8_lossy(&all)))
    }

    /// Sends bytes, and reads until the server closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // A server that refuses early stops reading; its answer is there all the same.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first of the answers in what was read, to its end.
    pub fn first(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything that may not depend on a secret: all but the date and the request's own name.
    pub fn told(&self) -> Self {
        let mut told = self.clone();
        told.headers.retain(|(name, _)| name != "date" && name != "x-request-id");
        told
    }
}
