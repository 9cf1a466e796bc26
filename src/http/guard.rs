//! Who may talk to the server at all.
//!
//! With keys ([`Auth`]): every request but the health checks and the documentation carries one of them. Without:
//! only this machine, and no web page that happens to be open on it: the server listens on loopback,
//! `Host` must name loopback (a page that rebinds its own name to 127.0.0.1 still sends that name),
//! and an `Origin`, where a browser sends one, must be the server itself or one of the configuration. Bodies need their exact
//! content type in both cases, so that no page gets one past a browser without asking first.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use crate::auth::{Auth, AuthOptions, Caller, Refusal};
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::SystemClock;
use crate::http::cors;
use crate::http::problem::Problem;
use crate::model::access::Rate;

/// Where a request came from; the layer below the router puts it into the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Callers without a key are made once: all are alike.
static LOCAL: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::local()));
static STRANGER: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::stranger()));

/// What of a request decides whether it comes in.
#[derive(Clone, Copy)]
pub(super) struct Knock<'a> {
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: IpAddr,
    /// Its route asks for no key.
    pub(super) is_open: bool,
}

/// Lets requests in.
pub(super) struct Guard {
    auth: Auth,
    origins: Vec<String>,
}

impl Guard {
    /// Keeps the keys of the configuration.
    pub(super) fn new(config: &ServerConfig) -> Self {
        let failures = Rate { per_second: 1, burst: config.auth_failures_max };
        let options = AuthOptions {
            configured: config.access_keys.clone(),
            require_keys: config.require_keys,
            failures: (config.auth_failures_max > 0).then_some(failures),
        };
        Self { auth: Auth::new(options, Arc::new(SystemClock::new())), origins: config.cors_origins.clone() }
    }

    /// The keys.
    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Lets a request in, or says why not.
    pub(super) fn admit(&self, engine: Option<&Engine>, knock: Knock<'_>) -> std::result::Result<Arc<Caller>, Problem> {
        let Knock { uri, headers, peer, is_open } = knock;
        // Before the engine is open nobody knows whether it holds keys, and nothing is there that could be had.
        if self.auth.may_be_open() && engine.is_none_or(|engine| self.auth.is_open(Some(engine))) {
            local_name(uri, headers)?;
            self.known_origin(uri, headers)?;
            return match engine {
                None if !is_open => Err(Problem::starting(None)),
                _ => Ok(Arc::clone(&LOCAL)),
            };
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let key = match (given.next(), given.next()) {
            (None, _) if is_open => return Ok(Arc::clone(&STRANGER)),
            (None, _) => None,
            // Two keys: a proxy may have looked at the other one.
            (Some(_), Some(_)) => Some(&b""[..]),
            (Some(value), None) => Some(bearer(value).unwrap_or_default()),
        };
        self.auth.identify(engine, key, peer).map(Arc::new).map_err(refusal)
    }

    /// A browser's `Origin` must be the server itself or one that the configuration names.
    fn known_origin(&self, uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Problem> {
        if cors::allowed_origin(&self.origins, headers).is_some() { Ok(()) } else { own_origin(uri, headers) }
    }
}

fn refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unauthenticated => {
            counted("unauthenticated");
            Error::Unauthenticated.into()
        }
        Refusal::Starting => Problem::starting(None),
        Refusal::TooMany { wait } => {
            counted("rate");
            let detail = "too many requests of this key, or too many attempts without a valid one; wait and retry";
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry(wait_ms)
        }
    }
}

/// Refuses an address that others can reach while there is no key.
///
/// # Errors
/// `Invalid` names `listen` and the remedy.
pub fn check_listen(address: SocketAddr, config: &ServerConfig) -> Result<()> {
    if is_loopback(address.ip()) || config.require_keys || !config.access_keys.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "listen",
        format!(
            "{address} can be reached from outside and no API key is set; start with --require-keys, set SELFSAME_KEYS, or \
             listen on 127.0.0.1"
        ),
    ))
}

/// Checks the content type of a body: exactly one of `allowed`, parameters such as the charset aside.
pub(super) fn content_type(headers: &HeaderMap, allowed: &[&str]) -> std::result::Result<String, Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if allowed.contains(&essence.as_str()) {
        return Ok(essence);
    }
    let detail = format!("send the body with Content-Type: {}", allowed.join(" or "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail).at("content-type"))
}

/// That a body is JSON.
pub(super) fn json_type(headers: &HeaderMap) -> std::result::Result<(), Problem> {
    const JSON: &str = "application/json";
    let as_written = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == JSON.as_bytes());
    if as_written { Ok(()) } else { content_type(headers, &[JSON]).map(drop) }
}

/// The key of `Authorization: Bearer <key>`.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether a name with or without a port means this machine.
fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(is_loopback)
}

/// Whether a name is as nearly all clients of this machine write it: told without taking it apart.
fn is_plainly_local(host: &[u8]) -> bool {
    let port = host.strip_prefix(b"127.0.0.1").or_else(|| host.strip_prefix(b"localhost"));
    port.is_some_and(|port| match port.split_first() {
        None => true,
        Some((colon, port)) => *colon == b':' && !port.is_empty() && port.iter().all(u8::is_ascii_digit),
    })
}

/// The names the caller used for the server: HTTP/2's authority and `Host`.
fn names<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = Option<Authority>> + 'a {
    let hosts = headers.get_all(HOST).iter().map(|value| Authority::try_from(value.as_bytes()).ok());
    uri.authority().cloned().map(Some).into_iter().chain(hosts)
}

/// Every name must be ours, and there must be one.
fn local_name(uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    if uri.authority().is_none()
        && let (Some(host), None) = (hosts.next(), hosts.next())
        && is_plainly_local(host.as_bytes())
    {
        return Ok(());
    }
    let mut any = false;
    for name in names(uri, headers) {
        if !name.as_ref().is_some_and(|name| is_local(name) && !name.as_str().contains('@')) {
            return Err(refused(
                "host",
                "without an API key the server answers to localhost, 127.0.0.1 and [::1] only",
            ));
        }
        any = true;
    }
    if any { Ok(()) } else { Err(refused("host", "send a Host header")) }
}

/// A browser's `Origin` must be the server itself.
fn own_origin(uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Problem> {
    for origin in headers.get_all(ORIGIN) {
        let text = origin.to_str().unwrap_or_default();
        let site = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let own = |site: &str| names(uri, headers).flatten().any(|name| name.as_str().eq_ignore_ascii_case(site));
        if !site.is_some_and(own) {
            let detail = "web pages of other origins may not use a server without API keys; configure a key";
            return Err(refused("origin", detail));
        }
    }
    Ok(())
}

/// Counts refusals by a word of ours.
pub(super) fn counted(reason: &'static str) {
    metrics::counter!("selfsame_http_refused_total", "reason" => reason).increment(1);
}

fn refused(field: &'static str, detail: &str) -> Problem {
    counted(field);
    Problem::from(Error::Denied(detail.to_owned())).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    const KEY: &str = "0123456789abcdef-key";

    fn config(keys: &[&str]) -> ServerConfig {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        ServerConfig::check(RawConfig { api_keys: Some(keys), ..RawConfig::default() }).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn admit(keys: &[&str], uri: &str, pairs: &[(&'static str, &str)]) -> u16 {
        asked(&Guard::new(&config(keys)), uri, pairs, false)
    }

    fn asked(guard: &Guard, uri: &str, pairs: &[(&'static str, &str)], is_open: bool) -> u16 {
        let (uri, headers) = (uri.parse().unwrap(), headers(pairs));
        let knock = Knock { uri: &uri, headers: &headers, peer: IpAddr::from([127, 0, 0, 1]), is_open };
        match guard.admit(None, knock) {
            Ok(_) => 200,
            Err(problem) if problem.code == "starting" => 503,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn without_keys_only_this_machine_and_no_page() {
        // Whoever gets past the guard hears that there is no engine yet.
        for (host, origin, status) in [
            ("localhost", None, 503),
            ("LocalHost:7878", None, 503),
            ("127.0.0.1:7878", None, 503),
            ("127.8.8.8", None, 503),
            ("[::1]:7878", None, 503),
            ("[::1]", None, 503),
            ("evil.example", None, 403),
            ("evil.example:7878", None, 403),
            ("localhost.evil.example", None, 403),
            ("127.0.0.1:7878@evil.example", None, 403),
            ("localhost:7878@evil.example:7878", None, 403),
            ("127.0.0.1.evil.example", None, 403),
            ("evil@localhost", None, 403),
            ("192.168.1.2:7878", None, 403),
            ("", None, 403),
            ("localhost:7878", Some("http://localhost:7878"), 503),
            ("localhost:7878", Some("http://localhost:3000"), 403),
            ("localhost:7878", Some("http://evil.example"), 403),
            ("localhost:7878", Some("null"), 403),
            ("localhost:7878", Some("http://localhost:7878.evil.example"), 403),
        ] {
            let mut pairs = vec![("host", host)];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(admit(&[], "/v1/x", &pairs), status, "{host} {origin:?}");
        }
        assert_eq!(admit(&[], "/v1/x", &[]), 403, "no name at all");
        assert_eq!(admit(&[], "http://localhost:1/v1/x", &[]), 503, "HTTP/2");
        assert_eq!(admit(&[], "http://evil.example/v1/x", &[("host", "localhost")]), 403);
        assert_eq!(admit(&[], "/v1/x", &[("host", "localhost"), ("host", "evil.example")]), 403);
    }

    #[test]
    fn with_keys_only_who_has_one() {
        for (authorization, status) in [
            ("Bearer 0123456789abcdef-key", 200),
            ("bearer 0123456789abcdef-key", 200),
            ("Bearer  0123456789abcdef-key ", 200),
            ("Bearer 0123456789abcdef-keY", 503),
            ("Bearer ", 503),
            ("Bearer", 503),
            ("Basic 0123456789abcdef-key", 503),
            ("0123456789abcdef-key", 503),
            ("", 503),
        ] {
            // 503: it may yet be a stored key, which nobody can tell before the engine is open.
            let pairs = [("authorization", authorization), ("host", "any.example")];
            assert_eq!(admit(&["another-key-of-16-chars", KEY], "/v1/x", &pairs), status, "{authorization}");
        }
        let guard = Guard::new(&config(&[KEY]));
        assert_eq!(asked(&guard, "/healthz", &[], true), 200);
        assert_eq!(asked(&guard, "/metrics", &[], false), 503);
        let right = ("authorization", "Bearer 0123456789abcdef-key");
        assert_eq!(asked(&guard, "/x", &[right], false), 200);
        assert_eq!(asked(&guard, "/x", &[right, right], false), 503, "a key given twice is none");
    }

    #[test]
    fn a_page_of_the_configuration_may_use_a_server_without_keys() {
        let origins = Some(vec!["https://app.example".to_owned()]);
        let config = ServerConfig::check(RawConfig { cors_origins: origins, ..RawConfig::default() }).unwrap();
        let guard = Guard::new(&config);
        for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403)] {
            assert_eq!(asked(&guard, "/healthz", &[("host", "localhost"), ("origin", origin)], true), status);
        }
    }

    #[test]
    fn outside_addresses_need_a_key() {
        for (address, keys, ok) in [
            ("127.0.0.1:1", &[][..], true),
            ("[::1]:1", &[], true),
            ("[::ffff:127.0.0.1]:1", &[], true),
            ("0.0.0.0:1", &[], false),
            ("[::]:1", &[], false),
            ("10.0.0.1:1", &[], false),
            ("0.0.0.0:1", &[KEY], true),
        ] {
            assert_eq!(check_listen(address.parse().unwrap(), &config(keys)).is_ok(), ok, "{address}");
        }
    }

    #[test]
    fn bodies_need_their_exact_type() {
        let json = ["application/json"];
        for (given, ok) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonx", false),
            ("text/plain, application/json", false),
            ("", false),
        ] {
            let answer = content_type(&headers(&[("content-type", given)]), &json);
            assert_eq!(answer.is_ok(), ok, "{given}");
            assert!(answer.err().is_none_or(|problem| problem.status == 415));
        }
        assert!(content_type(&HeaderMap::new(), &json).is_err());
    }
}
