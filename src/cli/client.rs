//! A small blocking client of the public API.
//!
//! HTTP over hyper on a single-threaded runtime, with TLS where the address says https: commands ask one thing and wait.
//! Problem documents become one line that says what to do next.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::cli::args::Server;
use crate::cli::connect::Connector;
use crate::cli::fail::Failure;
use crate::cli::out;
use crate::model::ids::TenantName;

/// A request body of known or unknown length.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Bytes of an answer that are kept in memory at most.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A server, a key and a tenant.
pub(super) struct Client {
    base: String,
    key: Option<String>,
    tenant: TenantName,
    runtime: tokio::runtime::Runtime,
    pool: Pool<Connector, Body>,
}

impl Client {
    /// Checks the options; connects to nothing yet.
    pub(super) fn new(server: &Server) -> Result<Self, Failure> {
        let base = server.url.trim_end_matches('/').to_owned();
        check_url(&base)?;
        let tenant = TenantName::parse(&server.tenant).ok_or_else(|| {
            Failure::input(format!(
                "--tenant {}: use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
                out::clean(&server.tenant)
            ))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start the network runtime: {error}")))?;
        let pool = Pool::builder(TokioExecutor::new()).build(Connector::new(server.ca_file.as_deref())?);
        Ok(Self { base, key: server.key.clone(), tenant, runtime, pool })
    }

    /// The path of something of the tenant.
    pub(super) fn of_tenant(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/{rest}", self.tenant)
    }

    /// Reads.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None, Body::new(Full::default().map_err(|never| match never {})))
    }

    /// Asks or writes.
    pub(super) fn post(&self, path: &str, value: &Value) -> Result<Value, Failure> {
        let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
        self.send(Method::POST, path, Some("application/json"), Body::new(body))
    }

    /// Reads bytes.
    pub(super) fn get_bytes(&self, path: &str) -> Result<Bytes, Failure> {
        let nothing = Body::new(Full::default().map_err(|never| match never {}));
        self.receive(self.request(Method::GET, path, None, nothing)?)
    }

    /// Asks for bytes.
    pub(super) fn post_for_bytes(&self, path: &str, value: &Value) -> Result<Bytes, Failure> {
        let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
        self.receive(self.request(Method::POST, path, Some("application/json"), Body::new(body))?)
    }

    /// Takes something away.
    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, None, Body::new(Full::default().map_err(|never| match never {})))
    }

    /// Sends a body of any kind; `length` sets `Content-Length` for a body that streams.
    pub(super) fn upload(&self, path: &str, media: &str, length: Option<u64>, body: Body) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path, Some(media), body)?;
        if let Some(length) = length {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        self.finish(request)
    }

    fn send(&self, method: Method, path: &str, media: Option<&str>, body: Body) -> Result<Value, Failure> {
        let request = self.request(method, path, media, body)?;
        self.finish(request)
    }

    fn request(&self, method: Method, path: &str, media: Option<&str>, body: Body) -> Result<Request<Body>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, "application/json, application/problem+json, application/octet-stream");
        if let Some(media) = media {
            request = request.header(CONTENT_TYPE, media);
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        request
            .body(body)
            .map_err(|error| Failure::input(format!("cannot make the request: {error}; check --url and --key")))
    }

    fn finish(&self, request: Request<Body>) -> Result<Value, Failure> {
        self.receive(request).and_then(|bytes| self.parse(&bytes))
    }

    fn receive(&self, request: Request<Body>) -> Result<Bytes, Failure> {
        self.runtime.block_on(async {
            let answer = self.pool.request(request).await.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            let body = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let bytes = body
                .collect()
                .await
                .map_err(|error| Failure::failed(format!("the answer of {} broke off: {error}", self.base)))?
                .to_bytes();
            if status.is_success() { Ok(bytes) } else { Err(self.refused(status, &bytes)) }
        })
    }

    fn parse(&self, bytes: &Bytes) -> Result<Value, Failure> {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(bytes)
            .map_err(|_| Failure::failed(format!("{} does not answer like a selfsame server; check --url", self.base)))
    }

    /// The line for a server that could not be reached or hung up.
    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> Failure {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            reason = inner.to_string();
            cause = inner.source();
        }
        if error.is_connect() {
            Failure::failed(format!(
                "no server at {} ({reason}); start one with `selfsame serve`, or give --url",
                self.base
            ))
        } else {
            Failure::failed(format!(
                "the connection to {} broke: {reason}; the same command may be repeated",
                self.base
            ))
        }
    }

    /// The line for a problem document.
    fn refused(&self, status: StatusCode, bytes: &Bytes) -> Failure {
        let problem: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let text = |field: &str| problem.get(field).and_then(Value::as_str).map(out::clean);
        let mut line = text("detail").or_else(|| text("title")).unwrap_or_else(|| status.to_string());
        if let Some(hint) = self.hint(status, text("code").as_deref()) {
            line = format!("{line}; {hint}");
        }
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Failure::input(line),
            _ => Failure::failed(line),
        }
    }

    /// What to do, where this program knows better than the server.
    fn hint(&self, status: StatusCode, code: Option<&str>) -> Option<String> {
        match (status, code) {
            (StatusCode::UNAUTHORIZED, _) => Some("give --key or SELFSAME_KEY".into()),
            (StatusCode::NOT_FOUND, Some("tenant_unknown")) => {
                Some(format!("give --tenant, or import something into `{}` first", self.tenant))
            }
            _ => None,
        }
    }
}

/// Only http and https URLs can be spoken to.
fn check_url(base: &str) -> Result<(), Failure> {
    let bad =
        |why: &str| Failure::input(format!("--url {}: {why}, for example http://127.0.0.1:7878", out::clean(base)));
    let uri: Uri = base.parse().map_err(|_| bad("is not a URL; give one"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(()),
        _ => Err(bad("must begin with http:// or https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_any_connection() {
        for good in ["http://127.0.0.1:7878", "http://[::1]:80", "http://host", "https://host"] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:7878", "ftp://host", "http://", "no url"] {
            assert!(matches!(check_url(bad), Err(Failure::Input(_))), "{bad}");
        }
    }
}
