//! Sending requests at their times and timing the answers.
//!
//! One thread and one HTTP/1.1 connection for each place. Whoever is free takes the next request, waits until it is
//! due, and times the answer from then on; so a request that finds all connections busy has waited already.
//! Threads sleep until shortly before a request is due and then spin: a timer alone would add its own slack
//! (50 microseconds from the system, a millisecond from an asynchronous runtime) to what is measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::cli::args::{Rate, Server};
use crate::cli::bench::answer::{Checked, Kind, check};
use crate::cli::bench::queries::{Population, Query, upserts};
use crate::cli::client::Client;
use crate::cli::fail::Failure;
use crate::host::{Clock, SystemClock};

/// Time before the first request is due, for connecting.
const LEAD: Duration = Duration::from_millis(50);
/// Time before a request is due that is spent spinning.
const SPIN: Duration = Duration::from_micros(80);
/// Time that one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The longest latency that the histogram tells apart; longer ones count as this.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Significant digits of the histogram.
const DIGITS: u8 = 3;

/// Whom to ask.
pub(super) struct Target {
    authority: String,
    address: String,
    key: Option<String>,
    match_path: String,
    upsert_path: String,
}

impl Target {
    /// From options that `client` has checked already.
    pub(super) fn new(server: &Server, client: &Client) -> Result<Self, Failure> {
        let bad = || Failure::input(format!("--url {}: is not an address", crate::cli::out::clean(&server.url)));
        let uri: Uri = server.url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") {
            return Err(Failure::input(
                "--url: bench measures plain http, without the cost of TLS; give such an address",
            ));
        }
        let host = uri.host().ok_or_else(bad)?;
        Ok(Self {
            authority: uri.authority().map_or_else(String::new, ToString::to_string),
            address: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            key: server.key.clone(),
            match_path: client.of_tenant("contacts:match"),
            upsert_path: client.of_tenant("contacts:upsert"),
        })
    }
}

/// What is sent.
pub(super) enum Traffic<'a> {
    /// `/healthz`, nothing else.
    Control,
    /// The queries in turn, some of them as writes.
    Mix {
        /// Whom to ask for.
        queries: &'a [Query],
        /// Part of the requests that are upserts, 0 to 1.
        write_share: f64,
        /// Records of an upsert.
        batch: u32,
        /// Names the written records, so that each run writes new ones.
        run: i64,
        /// Requests sent by this run before.
        first: u64,
    },
    /// People in batches, each request the next ones, up to the last.
    Preload {
        /// Who they are.
        people: &'a Population,
        /// Records of an upsert.
        batch: u32,
        /// How many there are.
        count: u64,
    },
}

impl Traffic<'_> {
    /// The kind and body of a request.
    fn request(&self, number: u64) -> (Kind, Bytes) {
        match self {
            Self::Control => (Kind::Control, Bytes::new()),
            Self::Preload { people, batch, count } => {
                let from = number * u64::from(*batch);
                let until = (from + u64::from(*batch)).min(*count);
                (Kind::Upsert(u32::try_from(until - from).unwrap_or(*batch)), people.preload(from..until))
            }
            Self::Mix { queries, write_share, batch, run, first } => {
                let number = number + first;
                if is_write(number, *write_share) {
                    (Kind::Upsert(*batch), upserts(queries, *run, number * u64::from(*batch), *batch))
                } else {
                    let at = usize::try_from(number).unwrap_or(0) % queries.len().max(1);
                    (Kind::Match, queries.get(at).map(|query| query.asked.clone()).unwrap_or_default())
                }
            }
        }
    }

    /// Requests that there are at most, however much time is left.
    fn most(&self) -> u64 {
        match self {
            Self::Preload { batch, count, .. } => count.div_ceil(u64::from(*batch).max(1)),
            Self::Control | Self::Mix { .. } => u64::MAX,
        }
    }
}

/// Spreads the share evenly: true as often as the share's whole part steps on.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn is_write(number: u64, share: f64) -> bool {
    ((number + 1) as f64 * share).floor() > (number as f64 * share).floor()
}

/// A load of some length.
pub(super) struct Load<'a> {
    pub(super) target: &'a Target,
    pub(super) rate: Rate,
    pub(super) duration: Duration,
    pub(super) connections: u32,
}

/// What came of a load.
pub(super) struct Tally {
    /// Requests that were due.
    pub(super) sent: u64,
    /// How long it took in all.
    pub(super) took: Duration,
    /// The bare answers.
    pub(super) control: Count,
    /// The matches.
    pub(super) matches: Count,
    /// The writes.
    pub(super) upserts: Count,
}

/// Answers of one kind.
pub(super) struct Count {
    /// Latencies in nanoseconds of all answers, from the time that each was due.
    pub(super) latency_ns: Histogram<u64>,
    /// Answers with another status than 200.
    pub(super) not_200: u64,
    /// Answers that are not what the contract says.
    pub(super) malformed: u64,
    /// Requests without a whole answer, or never sent because all connections stayed busy.
    pub(super) broken: u64,
    /// Good answers that name a candidate.
    pub(super) found: u64,
    /// Records that good answers say are stored.
    pub(super) records: u64,
    /// What the first bad one said.
    pub(super) example: Option<String>,
}

impl Count {
    pub(super) fn new() -> Result<Self, Failure> {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
            .map_err(|error| Failure::failed(format!("cannot make a histogram: {error}")))?;
        Ok(Self { latency_ns, not_200: 0, malformed: 0, broken: 0, found: 0, records: 0, example: None })
    }

    /// Answers that are not good.
    pub(super) fn bad(&self) -> u64 {
        self.not_200 + self.malformed + self.broken
    }

    /// Takes another's answers in.
    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can fail to fit.
        let _ = self.latency_ns.add(&other.latency_ns);
        self.not_200 += other.not_200;
        self.malformed += other.malformed;
        self.broken += other.broken;
        self.found += other.found;
        self.records += other.records;
        self.example = self.example.take().or_else(|| other.example.clone());
    }

    fn take(&mut self, latency: Duration, kind: Kind, checked: Checked) {
        let bad = match checked {
            Checked::Good { found } => {
                self.found += u64::from(found);
                if let Kind::Upsert(records) = kind {
                    self.records += u64::from(records);
                }
                None
            }
            Checked::Refused(text) => {
                self.not_200 += 1;
                Some(text)
            }
            Checked::Malformed(text) => {
                self.malformed += 1;
                Some(text)
            }
            Checked::Broken(text) => {
                self.broken += 1;
                Some(text)
            }
        };
        self.example = self.example.take().or(bad);
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        let (control, matches, upserts) = (Count::new()?, Count::new()?, Count::new()?);
        Ok(Self { sent: 0, took: Duration::ZERO, control, matches, upserts })
    }

    fn of(&mut self, kind: Kind) -> &mut Count {
        match kind {
            Kind::Control => &mut self.control,
            Kind::Match => &mut self.matches,
            Kind::Upsert(_) => &mut self.upserts,
        }
    }

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.took = self.took.max(other.took);
        self.control.add(&other.control);
        self.matches.add(&other.matches);
        self.upserts.add(&other.upserts);
    }
}

impl Load<'_> {
    /// Sends it all and waits for the answers.
    pub(super) fn run(&self, traffic: &Traffic<'_>) -> Result<Tally, Failure> {
        let course = Course { load: self, traffic, clock: SystemClock::new(), next: AtomicU64::new(0) };
        let mut whole = Tally::new()?;
        std::thread::scope(|scope| {
            let places: Vec<_> = (0..self.connections).map(|_| scope.spawn(|| course.run())).collect();
            for place in places {
                let part = place.join().map_err(|_| Failure::failed("a sending thread panicked"))??;
                whole.add(&part);
            }
            Ok(whole)
        })
    }

    /// Requests of the whole load; `None`: as many as there is time for.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are positive and bounded")]
    fn total(&self) -> Option<u64> {
        match self.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(((rate * self.duration.as_secs_f64()).ceil() as u64).max(1)),
        }
    }
}

/// A load under way.
struct Course<'a> {
    load: &'a Load<'a>,
    traffic: &'a Traffic<'a>,
    clock: SystemClock,
    next: AtomicU64,
}

impl Course<'_> {
    /// One place's part: takes requests until there are no more.
    fn run(&self) -> Result<Tally, Failure> {
        let mut tally = Tally::new()?;
        let mut line = Line::new(self.load.target)?;
        // A connection that is made while requests are due would count as slow answers.
        line.connect();
        while let Some((number, due)) = self.take() {
            let (kind, body) = self.traffic.request(number);
            self.wait_until(due);
            let answer = if self.is_hopeless() {
                Answer::None("never sent: the server cannot keep up; lower --rate".into())
            } else {
                line.ask(kind, body)
            };
            let latency = self.clock.monotonic().saturating_sub(due);
            tally.sent += 1;
            tally.of(kind).take(latency, kind, answer.check(kind));
        }
        tally.took = self.clock.monotonic().saturating_sub(LEAD);
        Ok(tally)
    }

    /// The next request and the time it is due; `None` when it is over.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn take(&self) -> Option<(u64, Duration)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.monotonic();
        if number >= self.traffic.most() {
            return None;
        }
        match (self.load.rate, self.load.total()) {
            (Rate::PerSecond(rate), Some(total)) => {
                (number < total).then(|| (number, LEAD + Duration::from_secs_f64(number as f64 / rate)))
            }
            (Rate::PerSecond(_) | Rate::Max, _) => (now < LEAD + self.load.duration).then_some((number, now.max(LEAD))),
        }
    }

    /// Whether the load has run twice its time: what is left then will not be sent.
    fn is_hopeless(&self) -> bool {
        self.clock.monotonic() > self.load.duration * 2 + Duration::from_secs(1)
    }

    fn wait_until(&self, due: Duration) {
        let early = due.saturating_sub(self.clock.monotonic());
        if early > SPIN {
            std::thread::sleep(early - SPIN);
        }
        while self.clock.monotonic() < due {
            std::hint::spin_loop();
        }
    }
}

/// An answer before it is judged: judging is not part of its latency.
enum Answer {
    Whole(u16, Bytes),
    None(String),
}

impl Answer {
    fn check(self, kind: Kind) -> Checked {
        match self {
            Self::Whole(status, body) => check(kind, status, &body),
            Self::None(why) => Checked::Broken(why),
        }
    }
}

/// One connection, made anew when it broke.
struct Line<'a> {
    target: &'a Target,
    runtime: Runtime,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Line<'a> {
    fn new(target: &'a Target) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start a network runtime: {error}")))?;
        Ok(Self { target, runtime, sender: None })
    }

    /// Connects ahead; what goes wrong shows when the first request is sent.
    fn connect(&mut self) {
        self.sender = self.runtime.block_on(connect(self.target)).ok();
    }

    fn ask(&mut self, kind: Kind, body: Bytes) -> Answer {
        let (target, sender) = (self.target, self.sender.take());
        let asked = self.runtime.block_on(async {
            let once = async {
                let mut sender = match sender {
                    Some(sender) if !sender.is_closed() => sender,
                    _ => connect(target).await?,
                };
                let whole = exchange(&mut sender, target.request(kind, body)?).await?;
                Ok::<_, String>((sender, whole))
            };
            tokio::time::timeout(ANSWER_MAX, once).await
        });
        match asked {
            Ok(Ok((sender, (status, body)))) => {
                self.sender = Some(sender);
                Answer::Whole(status, body)
            }
            Ok(Err(why)) => Answer::None(why),
            Err(_) => Answer::None(format!("no answer within {} seconds", ANSWER_MAX.as_secs())),
        }
    }
}

impl Target {
    fn request(&self, kind: Kind, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let (method, path) = match kind {
            Kind::Control => (Method::GET, "/healthz"),
            Kind::Match => (Method::POST, self.match_path.as_str()),
            Kind::Upsert(_) => (Method::POST, self.upsert_path.as_str()),
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        if kind != Kind::Control {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(&target.address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with the sender; what broke it is told to the request under way.
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), String> {
    sender.ready().await.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_spread_evenly() {
        let writes = |share| (0..1000).filter(|number| is_write(*number, share)).count();
        assert_eq!([writes(0.0), writes(0.1), writes(0.5), writes(1.0)], [0, 100, 500, 1000]);
        assert!((0..1000).step_by(10).all(|from| (from..from + 10).filter(|n| is_write(*n, 0.1)).count() == 1));
    }
}
