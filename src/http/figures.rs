//! The figures of answered requests.
//!
//! A figure is found by its name and labels, which costs allocations and a lock; so each thread keeps at hand those it has
//! used. There are as many as routes, methods and statuses, all of them words of ours.

use std::cell::RefCell;
use std::collections::HashMap;

use axum::http::Method;
use foldhash::fast::RandomState;
use metrics::{Counter, Histogram};

/// Route, method and status.
type Labels = (&'static str, &'static str, u16);
/// Where route and method are written, and the status: told apart faster than by their text. A text that is written in two places
/// is found twice.
type Place = (usize, usize, u16);

thread_local! {
    static AT_HAND: RefCell<HashMap<Place, (Counter, Histogram), RandomState>> = RefCell::default();
    static LOOKUPS: Counter = metrics::counter!("selfsame_lookups_total");
}

/// Counts identifiers that were looked up.
pub(super) fn count_lookups(identifiers: usize) {
    LOOKUPS.with(|lookups| lookups.increment(identifiers as u64));
}

/// Counts an answered request. `route` is a template, never a path.
pub(super) fn count(route: &'static str, method: &Method, status: u16, seconds: f64) {
    AT_HAND.with_borrow_mut(|at_hand| {
        let labels = (route, word(method), status);
        let place = (labels.0.as_ptr().addr(), labels.1.as_ptr().addr(), status);
        let (requests, took) = at_hand.entry(place).or_insert_with(|| found(labels));
        requests.increment(1);
        took.record(seconds);
    });
}

fn found((route, method, status): Labels) -> (Counter, Histogram) {
    let requests = metrics::counter!(
        "selfsame_http_requests_total", "route" => route, "method" => method, "status" => status.to_string()
    );
    (requests, metrics::histogram!("selfsame_http_request_seconds", "route" => route, "method" => method))
}

/// Any token is a method; the label must stay one of a few.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_counted_under_its_labels() {
        let handle = crate::telemetry::prometheus().unwrap();
        let odd = Method::from_bytes(b"BREW").unwrap();
        for (method, status) in [(&Method::GET, 200), (&Method::GET, 200), (&Method::GET, 404), (&odd, 200)] {
            count("/figures/test", method, status, 0.004);
        }
        handle.run_upkeep();
        let text = handle.render();
        for (labels, number) in [
            (r#"route="/figures/test",method="GET",status="200""#, 2),
            (r#"route="/figures/test",method="GET",status="404""#, 1),
            (r#"route="/figures/test",method="other",status="200""#, 1),
        ] {
            assert!(text.contains(&format!("selfsame_http_requests_total{{{labels}}} {number}")), "{text}");
        }
        let took = r#"selfsame_http_request_seconds_count{route="/figures/test",method="GET"} 3"#;
        assert!(text.contains(took), "{text}");
    }
}
