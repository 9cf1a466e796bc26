//! Who may talk to the server at all.
//!
//! With keys: every request but the health checks and the documentation carries one of them. Without:
//! only this machine, and no web page that happens to be open on it: the server listens on loopback,
//! `Host` must name loopback (a page that rebinds its own name to 127.0.0.1 still sends that name),
//! and an `Origin`, where a browser sends one, must be the server itself. Bodies need their exact
//! content type in both cases, so that no page gets one past a browser without asking first.

use std::net::{IpAddr, SocketAddr};

use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use subtle::ConstantTimeEq;

use crate::config::ServerConfig;
use crate::error::{Error, Result};
use crate::http::problem::Problem;

/// The name of callers without a key, in history and audit.
const NOBODY: &str = "api";

/// What may be asked without a key: whether the server is alive, and how to talk to it.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/docs"];

/// Who asks, for history and audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// `api`, or `key:` and the beginning of the key's hash.
    pub(super) actor: String,
}

/// The keys that open the server, as hashes.
#[derive(Debug)]
pub(super) struct Guard {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    hash: [u8; 32],
    actor: String,
}

impl Guard {
    /// Keeps the hashes of the configured keys.
    pub(super) fn new(config: &ServerConfig) -> Self {
        let keys = config.api_keys.iter().map(|key| {
            let hash = blake3::hash(key.expose().as_bytes());
            let mut actor = format!("key:{}", hash.to_hex());
            actor.truncate("key:".len() + 8);
            Key { hash: *hash.as_bytes(), actor }
        });
        Self { keys: keys.collect() }
    }

    /// Lets a request in, or says why not.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> std::result::Result<Caller, Problem> {
        if self.keys.is_empty() {
            local_name(uri, headers)?;
            own_origin(uri, headers)?;
            return Ok(Caller { actor: NOBODY.to_owned() });
        }
        match headers.get(AUTHORIZATION) {
            None if is_open(uri.path()) => Ok(Caller { actor: NOBODY.to_owned() }),
            given => given.and_then(bearer).and_then(|key| self.find(key)).ok_or_else(|| Error::Unauthenticated.into()),
        }
    }

    /// Compares with every key in full, so that the time tells nothing about any of them.
    fn find(&self, given: &[u8]) -> Option<Caller> {
        let hash = blake3::hash(given);
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.hash.ct_eq(hash.as_bytes())) {
                found = Some(Caller { actor: key.actor.clone() });
            }
        }
        found
    }
}

/// Refuses an address that others can reach while there is no key.
///
/// # Errors
/// `Invalid` names `listen` and the remedy.
pub fn check_listen(address: SocketAddr, config: &ServerConfig) -> Result<()> {
    if is_loopback(address.ip()) || !config.api_keys.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "listen",
        format!(
            "{address} can be reached from outside and no API key is set; set SELFSAME_KEYS, or listen on 127.0.0.1"
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

fn is_open(path: &str) -> bool {
    OPEN_PATHS.contains(&path) || path.starts_with("/docs/")
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

/// The names the caller used for the server: HTTP/2's authority and `Host`.
fn names<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = Option<Authority>> + 'a {
    let hosts = headers.get_all(HOST).iter().map(|value| Authority::try_from(value.as_bytes()).ok());
    uri.authority().cloned().map(Some).into_iter().chain(hosts)
}

/// Every name must be ours, and there must be one.
fn local_name(uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Problem> {
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

fn refused(field: &str, detail: &str) -> Problem {
    metrics::counter!("selfsame_http_refused_total", "reason" => field.to_owned()).increment(1);
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
        match Guard::new(&config(keys)).admit(&uri.parse().unwrap(), &headers(pairs)) {
            Ok(_) => 200,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn without_keys_only_this_machine_and_no_page() {
        for (host, origin, status) in [
            ("localhost", None, 200),
            ("LocalHost:7878", None, 200),
            ("127.0.0.1:7878", None, 200),
            ("127.8.8.8", None, 200),
            ("[::1]:7878", None, 200),
            ("[::1]", None, 200),
            ("evil.example", None, 403),
            ("evil.example:7878", None, 403),
            ("localhost.evil.example", None, 403),
            ("127.0.0.1.evil.example", None, 403),
            ("evil@localhost", None, 403),
            ("192.168.1.2:7878", None, 403),
            ("", None, 403),
            ("localhost:7878", Some("http://localhost:7878"), 200),
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
        assert_eq!(admit(&[], "http://localhost:1/v1/x", &[]), 200, "HTTP/2");
        assert_eq!(admit(&[], "http://evil.example/v1/x", &[("host", "localhost")]), 403);
        assert_eq!(admit(&[], "/v1/x", &[("host", "localhost"), ("host", "evil.example")]), 403);
    }

    #[test]
    fn with_keys_only_who_has_one() {
        for (authorization, status) in [
            ("Bearer 0123456789abcdef-key", 200),
            ("bearer 0123456789abcdef-key", 200),
            ("Bearer  0123456789abcdef-key ", 200),
            ("Bearer 0123456789abcdef-keY", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic 0123456789abcdef-key", 401),
            ("0123456789abcdef-key", 401),
            ("", 401),
        ] {
            let pairs = [("authorization", authorization), ("host", "any.example")];
            assert_eq!(admit(&["another-key-of-16-chars", KEY], "/v1/x", &pairs), status, "{authorization}");
        }
        for (path, status) in
            [("/v1/x", 401), ("/metrics", 401), ("/", 401), ("/docsx", 401), ("/docs/x", 200), ("/healthz", 200)]
        {
            assert_eq!(admit(&[KEY], path, &[]), status, "{path}");
        }
    }

    #[test]
    fn the_actor_tells_keys_apart_and_shows_none() {
        let guard = Guard::new(&config(&[KEY]));
        let caller = guard.find(KEY.as_bytes()).unwrap();
        assert!(caller.actor.starts_with("key:") && caller.actor.len() == 12, "{caller:?}");
        assert!(!format!("{guard:?}").contains(KEY));
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
