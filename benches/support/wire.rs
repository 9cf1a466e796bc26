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
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use memchr::memmem;
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
            let Some(end) = memmem::find(read, b"\r\n\r\n") else { continue };
            assert!(read.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(read));
            // As all servers here write it. Searched for, not parsed: a head of ours is longer than a bare one.
            let told = memmem::find(&read[..end], b"content-length: ").unwrap() + 16;
            let digits = read[told..end].iter().take_while(|byte| byte.is_ascii_digit());
            let told = digits.fold(0, |told, digit| told * 10 + usize::from(digit - b'0'));
            if length >= end + 4 + told {
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
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), echo(answer.clone())));
        }
    })
}

/// The same by a hyper that is set up as our server sets up its own: it finds out which version of HTTP is spoken, has a deadline for
/// each head, and can be told to end.
pub fn serve_echo(answer: Bytes) -> SocketAddr {
    on_two_threads(move |listener| async move {
        let config = ServerConfig::load(None, |_| None, RawConfig::default()).unwrap();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let timer = TokioTimer::new();
        builder.http1().timer(timer).header_read_timeout(config.header_timeout).max_buf_size(config.header_bytes_max);
        let graceful = GracefulShutdown::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let connection = builder.serve_connection(TokioIo::new(stream), echo(answer.clone())).into_owned();
            tokio::spawn(graceful.watcher().watch(connection));
        }
    })
}

fn echo(
    answer: Bytes,
) -> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Send + 'static
{
    service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let read = request.into_body().collect().await.unwrap().to_bytes();
            assert!(!read.is_empty());
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(response.body(Full::new(answer)).unwrap())
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
