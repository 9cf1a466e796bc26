//! Our server and a bare hyper in this process, on two threads each, and a client that takes as little time as it can.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use selfsame::config::{RawConfig, ServerConfig};
use selfsame::engine::Engine;
use selfsame::http::{self, EngineSlot};
use tokio::net::TcpListener;

/// One connection that is kept.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn of(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: vec![0; 1 << 20] }
    }

    /// The body of an answer.
    pub fn ask(&mut self, path: &str, body: &str) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let more = self.stream.read(&mut self.read[length..]).unwrap();
            assert!(more > 0, "the server closed the connection");
            length += more;
            let read = &self.read[..length];
            let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&read[..end]).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if length >= end + 4 + told.parse::<usize>().unwrap() {
                return read[end + 4..].to_vec();
            }
        }
    }
}

/// Our server.
pub fn serve(engine: &Arc<Engine>) -> SocketAddr {
    let config = ServerConfig::load(None, |_| None, RawConfig::default()).unwrap();
    let slot = EngineSlot::default();
    slot.set(Arc::clone(engine));
    on_two_threads(move |listener| async move {
        http::serve(&config, slot, listener, std::future::pending()).await.unwrap();
    })
}

/// A hyper that reads what it is sent and answers the same each time.
pub fn serve_bare(answer: Bytes) -> SocketAddr {
    on_two_threads(move |listener| async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let read = request.into_body().collect().await.unwrap().to_bytes();
                    assert!(!read.is_empty());
                    let response = Response::builder().header("content-type", "application/json");
                    Ok::<_, Infallible>(response.body(Full::new(answer)).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// Runs a server on a free port until the process ends.
fn on_two_threads<F: Future<Output = ()>>(server: impl FnOnce(TcpListener) -> F + Send + 'static) -> SocketAddr {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            server(listener).await;
        });
    });
    told.recv().unwrap()
}
