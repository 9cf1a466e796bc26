//! Diagnostics: events to standard error, figures for Prometheus.
//!
//! Other modules only use the `tracing` and `metrics` facades; this one connects them, once in a process.
//! [`init`] is about events ([`LEVEL_VARIABLE`] chooses what is shown, in `tracing`'s filter syntax),
//! [`prometheus`] about figures. Every figure is described in [`FIGURES`].

use std::sync::OnceLock;

pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// The variable that chooses which events are shown, for example `info,selfsame::journal=debug`.
pub const LEVEL_VARIABLE: &str = "SELFSAME_LOG";
/// A library whose diagnostics hold personal data; they are never shown.
const TELLS_NUMBERS: &str = "rlibphonenumber";

/// Upper bounds of the latency buckets in seconds: from an index look-up to a timeout.
const LATENCY_BUCKETS: [f64; 19] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];
/// Upper bounds of the buckets for counts of things in a group, a batch or a list.
const SIZE_BUCKETS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 1_000.0, 5_000.0, 10_000.0, 100_000.0];

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Spread over buckets.
    Histogram,
}

/// Every figure of the server: its kind, its name, what it says. Names that end in `_seconds` are latencies;
/// histograms that end in `_size` count things.
pub const FIGURES: &[(Kind, &str, &str)] = &[
    (Kind::Counter, "selfsame_http_requests_total", "Requests answered, by route, method and status."),
    (Kind::Histogram, "selfsame_http_request_seconds", "From the request's head to the end of the answer."),
    (Kind::Gauge, "selfsame_http_connections", "Open connections."),
    (Kind::Counter, "selfsame_http_refused_total", "Requests refused before they were handled, by reason."),
    (Kind::Counter, "selfsame_upserts_total", "Records taken, by outcome."),
    (Kind::Histogram, "selfsame_write_seconds", "From the queue to durable."),
    (Kind::Gauge, "selfsame_write_queue", "Writes waiting, all tenants."),
    (Kind::Histogram, "selfsame_match_seconds", "Candidates, scores and order of one match."),
    (Kind::Histogram, "selfsame_match_candidates_size", "Candidates scored for one match."),
    (Kind::Histogram, "selfsame_search_seconds", "One free-text search."),
    (Kind::Counter, "selfsame_journal_bytes_total", "Bytes appended to the journal."),
    (Kind::Histogram, "selfsame_journal_sync_seconds", "One sync of the journal."),
    (Kind::Histogram, "selfsame_journal_group_size", "Frames made durable by one sync."),
    (Kind::Gauge, "selfsame_journal_poisoned", "1 after a failed append or sync: no write is taken."),
    (Kind::Counter, "selfsame_text_commits_total", "Commits of the text index."),
    (Kind::Gauge, "selfsame_text_queue", "Batches waiting for the text index."),
    (
        Kind::Counter,
        "selfsame_webhook_attempts_total",
        "Attempts to deliver to a webhook, by outcome: delivered, retried, dead, gone.",
    ),
    (Kind::Counter, "selfsame_webhook_entries_total", "Entries of the change feed that webhooks took."),
    (Kind::Gauge, "selfsame_webhooks", "Webhooks that get deliveries, all tenants."),
    (Kind::Gauge, "selfsame_tenants", "Tenants."),
    (Kind::Gauge, "selfsame_contacts", "Live contacts, all tenants."),
    (Kind::Gauge, "selfsame_records", "Live records, all tenants."),
    (Kind::Gauge, "selfsame_reviews_open", "Open reviews, all tenants."),
    (Kind::Gauge, "selfsame_recovery_seconds", "How long the last start took to be ready."),
];

/// Sends events to standard error, as lines or as JSON; `default_level` (a filter) counts where
/// [`LEVEL_VARIABLE`] is missing. Does nothing if the process already has somewhere to send them.
///
/// # Errors
/// `Invalid` names the variable, or `log level`, if the filter cannot be read.
pub fn init(json: bool, default_level: &str) -> Result<()> {
    let given = std::env::var(LEVEL_VARIABLE).ok();
    let filter = filter(given.as_deref(), default_level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    // An error only says that a subscriber is there already.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    Ok(())
}

fn filter(given: Option<&str>, default_level: &str) -> Result<EnvFilter> {
    let (source, text) = match given.filter(|text| !text.trim().is_empty()) {
        Some(text) => (LEVEL_VARIABLE, text),
        None => ("log level", default_level),
    };
    if text.contains(TELLS_NUMBERS) {
        let reason = format!("may not name {TELLS_NUMBERS}: what it tells holds the phone numbers that it reads");
        return Err(Error::invalid(source, reason));
    }
    let filter = EnvFilter::try_new(text)
        .map_err(|_| Error::invalid(source, "is no filter; write for example `info` or `warn,selfsame=debug`"))?;
    // At `trace` it would write every number into the log.
    let silence = format!("{TELLS_NUMBERS}=off").parse().map_err(|_| Error::invalid(source, "is no filter"))?;
    Ok(filter.add_directive(silence))
}

/// The process's figures, to be rendered at `/metrics`; every call gives the same. Somebody must call
/// `run_upkeep` on it every few seconds, or histograms grow between scrapes.
///
/// # Errors
/// `Io` if another exporter was installed before.
pub fn prometheus() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || match builder().and_then(PrometheusBuilder::install_recorder) {
        Ok(handle) => {
            describe();
            Some(handle)
        }
        Err(error) => {
            tracing::warn!(%error, "figures are not exported");
            None
        }
    };
    HANDLE
        .get_or_init(install)
        .clone()
        .ok_or_else(|| Error::io("export figures", std::io::Error::other("this process has another exporter already")))
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS)
}

fn describe() {
    for (kind, name, text) in FIGURES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *text),
            Kind::Gauge => metrics::describe_gauge!(*name, *text),
            Kind::Histogram => metrics::describe_histogram!(*name, *text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_graceful_and_figures_are_rendered_in_buckets() {
        for _ in 0..3 {
            init(false, "warn").unwrap();
            init(true, "warn").unwrap();
        }
        let handle = prometheus().unwrap();
        metrics::counter!("selfsame_http_requests_total", "route" => "match").increment(2);
        metrics::histogram!("selfsame_match_seconds").record(0.004);
        prometheus().unwrap().run_upkeep();
        let text = handle.render();
        assert!(text.contains("# HELP selfsame_match_seconds Candidates, scores"), "{text}");
        assert!(text.contains(r#"selfsame_http_requests_total{route="match"} 2"#), "{text}");
        assert!(text.contains(r#"selfsame_match_seconds_bucket{le="0.005"} 1"#), "{text}");
        assert!(text.contains(r#"selfsame_match_seconds_bucket{le="0.003"} 0"#), "{text}");
    }

    #[test]
    fn a_bad_filter_is_named() {
        assert!(filter(Some(""), "info").is_ok());
        assert!(filter(Some("info,selfsame=debug"), "").is_ok());
        assert!(filter(Some("a=b=c"), "info").err().unwrap().to_string().starts_with("SELFSAME_LOG: "));
        assert!(filter(Some("info,rlibphonenumber::phonenumberutil=trace"), "").is_err());
        assert!(filter(Some("trace"), "").unwrap().to_string().contains("rlibphonenumber=off"));
        assert!(filter(None, "x=y=z").err().unwrap().to_string().starts_with("log level: "));
    }

    #[test]
    fn names_tell_the_buckets() {
        assert!(LATENCY_BUCKETS.is_sorted() && SIZE_BUCKETS.is_sorted());
        for (kind, name, _) in FIGURES {
            let bucketed = name.ends_with("_seconds") || name.ends_with("_size");
            assert!(*kind != Kind::Histogram || bucketed, "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        }
    }
}
