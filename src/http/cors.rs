//! Web pages of other origins: those that the configuration names may use the API, nobody else's.
//!
//! A browser asks first (the preflight, which carries no key) and then shows our answer to the page only if it names the
//! page's origin. Cookies play no part: a page must have a key of its own.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;

/// What a page may do and send.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, accept, idempotency-key, if-none-match, last-event-id";
/// What of an answer's head a page may read.
const EXPOSED: &str = "location, retry-after, x-request-id, etag, content-disposition";
/// How long a browser need not ask again, in seconds.
const MAX_AGE: &str = "600";

/// The origin of a request, if it is one of those that may use the API.
pub(super) fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    if origins.is_empty() {
        return None;
    }
    let mut given = headers.get_all(ORIGIN).iter();
    let (origin, None) = (given.next()?, given.next()) else { return None };
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// The answer to a preflight of an origin that may; `None`: it is no preflight.
pub(super) fn preflight(method: &Method, headers: &HeaderMap, origin: Option<&HeaderValue>) -> Option<Response> {
    if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    origin?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(answer)
}

/// Lets the page see the answer. Where any origin may, caches are told that answers differ by it.
pub(super) fn finish(headers: &mut HeaderMap, origins: &[String], origin: Option<HeaderValue>) {
    if origins.is_empty() {
        return;
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origins: &[&str]) -> HeaderMap {
        origins.iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_origins_of_the_configuration() {
        let known = ["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()];
        for (sent, is_allowed) in [
            (&["https://app.example.com"][..], true),
            (&["http://localhost:3000"], true),
            (&["http://app.example.com"], false),
            (&["https://app.example.com.evil.example"], false),
            (&["https://evil.example"], false),
            (&["null"], false),
            (&[""], false),
            (&[], false),
            (&["https://app.example.com", "https://evil.example"], false),
        ] {
            assert_eq!(allowed_origin(&known, &headers(sent)).is_some(), is_allowed, "{sent:?}");
        }
        assert!(allowed_origin(&[], &headers(&["https://app.example.com"])).is_none());
    }

    #[test]
    fn a_preflight_is_answered_to_those_only() {
        let origin = HeaderValue::from_static("https://app.example.com");
        let mut asks = headers(&["https://app.example.com"]);
        assert!(preflight(&Method::OPTIONS, &asks, Some(&origin)).is_none(), "an OPTIONS like any other");
        asks.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        assert!(
            preflight(&Method::OPTIONS, &asks, None).is_none()
                && preflight(&Method::GET, &asks, Some(&origin)).is_none()
        );
        let answer = preflight(&Method::OPTIONS, &asks, Some(&origin)).unwrap();
        assert_eq!(answer.status(), 204);
        assert!(answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("authorization"));
    }
}
