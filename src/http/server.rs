//! The listener: connections in, bounded in number and time, and an orderly end.
//!
//! Our own accept loop over hyper, because the bounds matter: a place per connection, a deadline for
//! the first bytes (hyper has none while it finds out which HTTP it is), for each request's head, for
//! bodies (see `extract`) and for whole requests (see `layer`). When the server stops, requests under
//! way may finish within the drain limit; streams that never end are told to.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

use crate::auth::KeyText;
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::http::app::{App, EngineSlot};
use crate::http::aside::Aside;
use crate::http::checks::Checker;
use crate::http::deadlines::Deadlines;
use crate::http::delivery::Deliverer;
use crate::http::guard::{Guard, Peer};
use crate::http::hot::{self, Call};
use crate::http::tls::{self, Tls};
use crate::http::{guard, routes};

/// What an HTTP/2 connection begins with.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Wait after a failed accept (out of file descriptors, mostly), so as not to spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How often figures are tidied up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked which keys' last use is to be written down.
const KEYS_EVERY: Duration = Duration::from_secs(60);

/// Takes the configured address.
///
/// # Errors
/// `Invalid` when others could reach it and no key is set; `Io` says which address and what to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system's kinds are open-ended")]
pub async fn bind(config: &ServerConfig) -> Result<TcpListener> {
    guard::check_listen(config.listen, config)?;
    TcpListener::bind(config.listen).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program has the port: stop it, or choose one with --listen",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose one with --listen",
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address: choose one with --listen",
            _ => "",
        };
        Error::io(format!("listen on {}{remedy}", config.listen), error)
    })
}

/// Checks what the delivery of webhooks and the checks of identifiers need of the configuration, so that a mistake is told before anything starts.
///
/// # Errors
/// `Invalid` for a `webhooks_ca_file` that cannot be read or holds no certificate, and for a `validator_url` that may not be
/// called.
pub fn check_webhooks(config: &ServerConfig) -> Result<()> {
    let (_, closing) = watch::channel(false);
    Checker::new(config, closing.clone())?;
    Deliverer::new(config, closing).map(drop)
}

/// Checks the files of TLS, so that a mistake is told before anything starts.
///
/// # Errors
/// `Invalid` names the key of the configuration.
pub fn check_tls(config: &ServerConfig) -> Result<()> {
    config.tls.as_ref().map_or(Ok(()), |files| Tls::load(files).map(drop))
}

/// Makes the first admin key where the configuration requires keys and none is there. To be shown once.
///
/// # Errors
/// As every write.
pub fn first_key(config: &ServerConfig, engine: &Engine) -> Result<Option<(String, KeyText)>> {
    Guard::new(config).auth().first_key(engine)
}

/// Serves until `shutdown` is ready, then lets requests under way finish within the drain limit.
///
/// Listens at once: `/healthz` answers, everything else says 503 until `engine` is filled.
///
/// # Errors
/// `Invalid` when others could reach the listener and no key is set, and for a `webhooks_ca_file` that is none.
pub async fn serve(
    config: &ServerConfig,
    engine: EngineSlot,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::io("ask for the listener's address", error))?;
    guard::check_listen(address, config)?;
    let aside = Aside::new()?;
    let (close, closing) = watch::channel(false);
    let deliverer = Deliverer::new(config, closing.clone())?;
    let delivering = aside.handle().spawn(deliverer.clone().run(engine.clone()));
    let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
    let freshening = tls.clone().map(|tls| aside.handle().spawn(tls::keep_fresh(tls)));
    let checking =
        Checker::new(config, closing.clone())?.map(|checker| aside.handle().spawn(checker.run(engine.clone())));
    let app = App::new(config, engine, Some(deliverer), closing);
    let noting = aside.handle().spawn(note_keys(app.clone()));
    let upkeep = app.figures().cloned().map(|figures| {
        aside.handle().spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_EVERY).await;
                figures.run_upkeep();
            }
        })
    });
    let server = Server {
        builder: builder(config),
        app: app.clone(),
        router: routes::router(app.clone()),
        tls,
        places: Arc::new(Semaphore::new(config.connections_max)),
        head_timeout: config.header_timeout,
        aside: aside.handle().clone(),
    };
    let connections = server.accept_until(listener, shutdown).await;
    // No receiver only means that nothing is left to be told.
    let _ = close.send(true);
    drain(connections, config.shutdown_drain).await;
    // It has heard that the server stops and ends by itself, having written down how far it came.
    if delivering.await.is_err() {
        tracing::error!("the deliverer of webhooks panicked");
    }
    noting.abort();
    write_keys(&app, true).await;
    if let Some(checking) = checking
        && checking.await.is_err()
    {
        tracing::error!("asking others about emails and phones ended in a panic");
    }
    for task in upkeep.into_iter().chain(freshening) {
        task.abort();
    }
    Ok(())
}

/// Writes down now and then when keys were used last.
async fn note_keys(app: App) {
    loop {
        tokio::time::sleep(KEYS_EVERY).await;
        write_keys(&app, false).await;
    }
}

async fn write_keys(app: &App, all: bool) {
    let Some(engine) = app.engine_if_open().cloned() else { return };
    let writing = app.clone();
    let written = tokio::task::spawn_blocking(move || writing.guard().auth().write_used(&engine, all)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "when API keys were used last could not be written down"),
        Err(_) => tracing::error!("writing down when API keys were used last panicked"),
    }
}

struct Server {
    builder: Builder<TokioExecutor>,
    app: App,
    router: Router,
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    head_timeout: Duration,
    aside: Handle,
}

/// Both versions of HTTP with their bounds. Without a timer hyper would ignore its own deadlines; each connection of HTTP/1 gets
/// one of its own.
fn builder(config: &ServerConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(config.header_timeout).max_buf_size(config.header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.streams_max)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(config.idle_timeout))
        .keep_alive_timeout(config.header_timeout);
    builder
}

impl Server {
    /// Accepts connections until told to stop.
    async fn accept_until(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => return connections,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => self.spawn(accepted, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> io::Result<Accepted> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, from): (TcpStream, SocketAddr) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Accepted { stream, from: from.ip(), place })
    }

    fn spawn(&self, accepted: Accepted, connections: &mut JoinSet<()>) {
        let Accepted { stream, from, place } = accepted;
        let (mut builder, head_timeout) = (self.builder.clone(), self.head_timeout);
        builder.http1().timer(Deadlines::on(&self.aside));
        let inner = TowerToHyperService::new(self.router.clone());
        let service = Calls { app: self.app.clone(), inner, peer: Peer(from) };
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor());
        let (open, closing) = (OpenConnection::new(place), self.app.closing());
        let stream = {
            let _timer = self.aside.enter();
            FirstBytes::new(stream, head_timeout)
        };
        connections.spawn(async move {
            let _open = open;
            let Some(acceptor) = acceptor else { return talk(&builder, stream, service, closing).await };
            match tokio::time::timeout(head_timeout, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => talk(&builder, FirstBytes::new(stream, head_timeout), service, closing).await,
                Ok(Err(error)) => tracing::debug!(%error, "a connection did not get to TLS"),
                Err(_) => tracing::debug!("a connection took too long to get to TLS"),
            }
        });
    }
}

/// A connection that has its place.
struct Accepted {
    stream: TcpStream,
    from: IpAddr,
    place: OwnedSemaphorePermit,
}

/// Serves a connection to its end; when the server stops, to the end of what is under way on it. What goes wrong on it (reset,
/// timeout, nonsense) concerns its client only.
async fn talk<S>(builder: &Builder<TokioExecutor>, stream: S, service: Calls, closing: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let news = closing.clone();
    let mut closed = pin!(closed(closing));
    let (mut is_heard, mut is_told) = (false, false);
    let served = poll_fn(|context| {
        // Heard once, it wakes this task when there is something to tell: until then a look at the number of tellings is enough.
        if !is_told && (!is_heard || news.has_changed().unwrap_or(true)) {
            is_heard = true;
            if unconstrained(closed.as_mut()).poll_unpin(context).is_ready() {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ready when the server stops.
async fn closed(mut closing: watch::Receiver<bool>) {
    // Nobody left to say so: it has stopped.
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}

/// The calls of one connection. Tells every request where it comes from.
#[derive(Clone)]
struct Calls {
    app: App,
    inner: TowerToHyperService<Router>,
    peer: Peer,
}

/// An answer of the router.
type Routed = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Future;

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Routed, BoxFuture<'static, Result<Response, Infallible>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(call) = Call::of(request.method(), request.uri()) {
            return Either::Right(hot::answer(self.app.clone(), call, self.peer, request));
        }
        request.extensions_mut().insert(self.peer);
        Either::Left(self.inner.call(request))
    }
}

/// Waits for requests under way, then cuts off what is left.
async fn drain(mut connections: JoinSet<()>, limit: Duration) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!(left = connections.len(), "connections were cut off: the drain limit was reached");
    }
    connections.shutdown().await;
}

/// A connection's place and its figure.
struct OpenConnection(#[expect(dead_code, reason = "held to be dropped")] OwnedSemaphorePermit);

impl OpenConnection {
    fn new(place: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("selfsame_http_connections").increment(1.0);
        Self(place)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        metrics::gauge!("selfsame_http_connections").decrement(1.0);
    }
}

/// A stream whose first bytes must arrive in time. After the bytes that tell HTTP/1 from HTTP/2, hyper's own
/// deadlines take over.
struct FirstBytes<S> {
    stream: S,
    deadline: Option<Pin<Box<Sleep>>>,
    seen: usize,
}

impl<S> FirstBytes<S> {
    fn new(stream: S, within: Duration) -> Self {
        Self { stream, deadline: Some(Box::pin(tokio::time::sleep(within))), seen: 0 }
    }

    /// Takes note of bytes read; the deadline falls as soon as the version is known.
    fn note(&mut self, bytes: &[u8]) {
        let expected = HTTP2_PREFACE.get(self.seen..).unwrap_or_default();
        let alike = bytes.iter().zip(expected).take_while(|(a, b)| a == b).count();
        self.seen = self.seen.saturating_add(alike);
        if alike < bytes.len() || self.seen >= HTTP2_PREFACE.len() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(deadline) = &mut this.deadline else { return read };
        if read.is_pending() {
            return match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        this.note(buf.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn decided(chunks: &[&[u8]]) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut first = FirstBytes::new((), Duration::from_secs(9));
            chunks.iter().for_each(|chunk| first.note(chunk));
            first.deadline.is_none()
        })
    }

    #[test]
    fn the_version_is_known_in_time() {
        for (chunks, known) in [
            (&[&b"GET / HTTP/1.1"[..]][..], true),
            (&[b"P"], false),
            (&[b"P", b"OST /"], true),
            (&[b"PRI * HTTP/2.0\r\n"], false),
            (&[b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n"], true),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"], true),
        ] {
            assert_eq!(decided(chunks), known, "{chunks:?}");
        }
    }

    #[test]
    fn a_silent_client_is_cut_off() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let error = runtime.block_on(async {
            let (_client, server) = tokio::io::duplex(64);
            let mut first = FirstBytes::new(server, Duration::from_millis(1));
            first.read_u8().await.unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_taken_port_says_which_and_what_to_do() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listen = "127.0.0.1:0".parse().unwrap();
            let taken = bind(&ServerConfig { listen, ..Default::default() }).await.unwrap();
            let listen = taken.local_addr().unwrap();
            let error = bind(&ServerConfig { listen, ..Default::default() }).await.unwrap_err().to_string();
            assert!(error.contains(&listen.to_string()) && error.contains("--listen"), "{error}");
            let listen = "0.0.0.0:0".parse().unwrap();
            assert!(bind(&ServerConfig { listen, ..Default::default() }).await.is_err());
        });
    }
}
