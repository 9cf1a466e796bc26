//! What all handlers share: the engine once it is open, the configuration, and the bounds on heavy work.
//!
//! A call that computes for long never runs on the threads that serve connections: [`App::heavy`]
//! takes one of a few places, waits in a bounded line for it, and runs the work on a thread of its own.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::config::ServerConfig;
use crate::engine::{Engine, Progress};
use crate::error::Error;
use crate::http::delivery::Deliverer;
use crate::http::guard::Guard;
use crate::http::problem::Problem;
use crate::http::usage::Usage;
use crate::telemetry::PrometheusHandle;

/// The engine, as soon as it is open. Until then every call but the health checks is answered 503, which says how far
/// opening is. Clones are the same slot.
#[derive(Clone, Default)]
pub struct EngineSlot {
    engine: Arc<OnceLock<Arc<Engine>>>,
    progress: Arc<Progress>,
}

impl EngineSlot {
    /// The engine, once it is open.
    #[must_use]
    pub fn get(&self) -> Option<&Arc<Engine>> {
        self.engine.get()
    }

    /// Puts the engine in. A second one is dropped.
    pub fn set(&self, engine: Arc<Engine>) {
        let _ = self.engine.set(engine);
    }

    /// For the options of the engine that will be put in.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

/// Heavy calls that may wait for each place.
const WAITING_PER_PLACE: usize = 32;
/// What a caller is told to wait when the line is full.
const LINE_FULL_RETRY_MS: u64 = 250;

/// What all handlers share.
#[derive(Clone)]
pub(super) struct App {
    shared: Arc<Shared>,
}

struct Shared {
    engine: EngineSlot,
    config: ServerConfig,
    guard: Guard,
    figures: Option<PrometheusHandle>,
    places: Arc<Semaphore>,
    waiting_max: usize,
    waiting: AtomicUsize,
    imports: Arc<Semaphore>,
    deliverer: Option<Deliverer>,
    usage: Usage,
    closing: watch::Receiver<bool>,
    started: Instant,
    request_prefix: u64,
    requests: AtomicU64,
}

impl App {
    /// Puts it together. `closing` turns true when the server stops.
    pub(super) fn new(
        config: &ServerConfig,
        engine: EngineSlot,
        deliverer: Option<Deliverer>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let places = config.workers_max.unwrap_or(cores).max(2);
        let figures = match crate::telemetry::prometheus() {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::warn!(%error, "/metrics stays empty");
                None
            }
        };
        let mut prefix = [0; 8];
        crate::host::Random::fill(&crate::host::OsRandom, &mut prefix);
        Self {
            shared: Arc::new(Shared {
                engine,
                guard: Guard::new(config),
                figures,
                places: Arc::new(Semaphore::new(places)),
                waiting_max: places * WAITING_PER_PLACE,
                waiting: AtomicUsize::new(0),
                imports: Arc::new(Semaphore::new(config.imports_max)),
                deliverer,
                usage: Usage::default(),
                closing,
                started: Instant::now(),
                request_prefix: u64::from_le_bytes(prefix),
                requests: AtomicU64::new(0),
                config: config.clone(),
            }),
        }
    }

    /// The engine, or 503 while it is being opened.
    pub(super) fn engine(&self) -> Result<&Arc<Engine>, Problem> {
        let slot = &self.shared.engine;
        slot.get().ok_or_else(|| Problem::starting(slot.progress.describe()))
    }

    /// The engine, if it is open.
    pub(super) fn engine_if_open(&self) -> Option<&Arc<Engine>> {
        self.shared.engine.get()
    }

    /// What the server runs on.
    pub(super) fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    /// Who may talk to the server.
    pub(super) fn guard(&self) -> &Guard {
        &self.shared.guard
    }

    /// The figures, if this process exports any.
    pub(super) fn figures(&self) -> Option<&PrometheusHandle> {
        self.shared.figures.as_ref()
    }

    /// Checks where a webhook may go.
    ///
    /// # Errors
    /// 500 in an app that delivers nothing.
    pub(super) fn deliverer(&self) -> Result<&Deliverer, Problem> {
        self.shared.deliverer.as_ref().ok_or_else(Problem::internal)
    }

    /// Which fields callers use.
    pub(super) fn usage(&self) -> &Usage {
        &self.shared.usage
    }

    /// Turns true when the server stops; streams end then.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.shared.closing.clone()
    }

    /// How long the server has listened.
    pub(super) fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Places for imports.
    pub(super) fn imports(&self) -> &Arc<Semaphore> {
        &self.shared.imports
    }

    /// A name for one request: unique, and it says nothing.
    pub(super) fn request_id(&self) -> RequestId {
        RequestId { server: self.shared.request_prefix, number: self.shared.requests.fetch_add(1, Ordering::Relaxed) }
    }

    /// Runs work that computes for long or blocks, apart from the threads that serve connections. The
    /// place is given back when the work is over, also when the caller has gone.
    ///
    /// # Errors
    /// 429 when too many calls wait already; what the work answers; 500 if it panicked.
    pub(super) async fn heavy<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let place = {
            let _waiting = Waiting::join(&self.shared)?;
            let places = Arc::clone(&self.shared.places);
            places.acquire_owned().await.map_err(|_| Problem::internal())?
        };
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            span.in_scope(work)
        });
        done.await.map_err(|_| Problem::internal())?.map_err(Into::into)
    }
}

/// A name for one request: sixteen hexadecimal digits that this server drew when it started, a hyphen, and how many requests there
/// were before.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId {
    server: u64,
    number: u64,
}

impl RequestId {
    /// As the header has it. Every answer has one, so its digits are written here: `format!` takes three times as long.
    pub(super) fn header(self) -> Option<HeaderValue> {
        let mut text = [b'-'; 33];
        let (server, number) = (self.server, self.number);
        for (place, at) in text.iter_mut().zip((0..16).rev()) {
            *place = digit(server >> (4 * at));
        }
        let digits = number.checked_ilog2().map_or(1, |bits| bits / 4 + 1);
        let mut length = 17;
        for (place, at) in text.iter_mut().skip(17).zip((0..digits).rev()) {
            *place = digit(number >> (4 * at));
            length += 1;
        }
        HeaderValue::from_bytes(text.get(..length)?).ok()
    }
}

/// The hexadecimal digit of the last four bits, without a branch.
fn digit(of: u64) -> u8 {
    let low = (of & 15) as u8;
    // The letters follow 39 places behind where the digits would go on.
    b'0' + low + u8::from(low > 9) * 39
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.server, self.number)
    }
}

/// One call in the line for a place.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn join(shared: &'a Shared) -> Result<Self, Problem> {
        let joined = Self(shared);
        if shared.waiting.fetch_add(1, Ordering::Relaxed) >= shared.waiting_max {
            return Err(Error::Busy { retry_after_ms: LINE_FULL_RETRY_MS }.into());
        }
        Ok(joined)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_name_in_its_answer_and_in_diagnostics() {
        for (server, number) in [(0, 0), (1, 15), (u64::MAX, 16), (0x0abc_0000_0000_0000, u64::MAX), (7, 0x1234_5678)] {
            let id = RequestId { server, number };
            assert_eq!(id.header().unwrap(), id.to_string());
        }
    }

    #[test]
    fn who_asks_too_early_is_told_how_far_it_is() {
        let (_, closing) = watch::channel(false);
        let slot = EngineSlot::default();
        let app = App::new(&ServerConfig::default(), slot.clone(), None, closing);
        let detail = || app.engine().err().unwrap().detail;
        assert!(detail().contains("still reading its data; retry"), "{}", detail());
        slot.progress().journal(1200, 4800);
        assert!(detail().contains("1200 of 4800 frames (25 %)"), "{}", detail());
    }
}
