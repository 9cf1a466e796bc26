//! Errors as callers see them: `application/problem+json` (RFC 9457).
//!
//! [`Problem`] is the document; [`From<Error>`] decides its status and its stable `code`, and matches
//! without `_`, so that a new variant of [`Error`] is a compile error here. Texts about the machine
//! (paths, the system's answers) stay in the server's log.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::formats::RowError;
use crate::model::ids::EntityId;

/// Milliseconds to wait for a server that starts or whose disk failed.
const UNAVAILABLE_RETRY_MS: u64 = 1_000;

/// What went wrong and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem: `urn:selfsame:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request and how to remedy it.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// The field, parameter, header or column at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Who stands against it, on 409.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Milliseconds after which a retry makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Seconds after which a quota has room for as much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The contact that this one lives on in, on 307.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// Rows of an import that were done before it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The import that stopped; its report is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_id: Option<String>,
}

/// Marks an answer that sends the caller on to another contact; the outer layer adds `Location`.
#[derive(Clone, Copy, Debug)]
pub(super) struct MovedTo(pub(super) EntityId);

impl Problem {
    /// A problem with a status, a stable code and a remedy.
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:selfsame:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            field: None,
            holder: None,
            retry_after_ms: None,
            retry_after_s: None,
            merged_into: None,
            rows: None,
            import_id: None,
        }
    }

    /// Names what is at fault.
    pub(super) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to come back.
    pub(super) fn retry(mut self, after_ms: u64) -> Self {
        self.retry_after_ms = Some(after_ms);
        self
    }

    /// The server has started to listen but is still reading its data.
    /// `progress` says how far it is.
    pub(super) fn starting(progress: Option<String>) -> Self {
        let progress = progress.map_or_else(String::new, |progress| format!(" ({progress})"));
        let detail =
            format!("the server is still reading its data{progress}; retry, or wait for GET /readyz to answer 200");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retry(UNAVAILABLE_RETRY_MS)
    }

    /// Our own mistake; the cause is in the server's log under the request's id.
    pub(super) fn internal() -> Self {
        let detail = "the server failed on this request; its log has the cause under the answer's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A page's, header's or parameter's own mistake.
    pub(super) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", reason).at(field)
    }

    /// The status as hyper's type.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid { field, reason } if field == "idempotency_key" => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", reason).at(field)
            }
            Error::Invalid { field, reason } => Self::new(StatusCode::BAD_REQUEST, "invalid", reason).at(field),
            Error::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text),
            Error::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", text),
            Error::Denied(why) => Self::new(StatusCode::FORBIDDEN, "denied", why),
            Error::NotFound { code, .. } => Self::new(StatusCode::NOT_FOUND, code, text),
            Error::Moved { survivor } => {
                let mut problem = Self::new(StatusCode::TEMPORARY_REDIRECT, "merged", text);
                problem.merged_into = Some(survivor.to_string());
                problem
            }
            Error::Gone => Self::new(StatusCode::GONE, "erased", "this contact was erased; nothing of it is held"),
            Error::Conflict { code, reason, holder } => {
                let reused = code.starts_with("idempotency_key");
                let status = if reused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::CONFLICT };
                let mut problem = Self::new(status, code, reason);
                problem.holder = holder.map(|id| id.to_string());
                problem
            }
            Error::Busy { retry_after_ms } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", text).retry(retry_after_ms)
            }
            Error::Quota { retry_after_s } => {
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", text)
                    .retry(retry_after_s.saturating_mul(1000));
                problem.retry_after_s = Some(retry_after_s);
                problem
            }
            Error::Full { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, "full", text),
            Error::Io { .. } => {
                tracing::error!(error = %text, "the machine failed a request");
                let detail = "the machine failed, not the request; retry, and look at the server's log if it stays so";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "io", detail).retry(UNAVAILABLE_RETRY_MS)
            }
            Error::Corrupt { .. } => {
                tracing::error!(error = %text, "a file is not what was written");
                let detail = "a file on the server's disk is damaged; its operator must run `selfsame journal check`";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "corrupt", detail)
            }
            Error::Poisoned => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "poisoned", text).retry(UNAVAILABLE_RETRY_MS * 10)
            }
        }
    }
}

impl From<RowError> for Problem {
    fn from(error: RowError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code, error.message).at(error.field)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut answer = Response::new(axum::body::Body::from(body));
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(ms) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if let Some(survivor) = self.merged_into.as_deref().and_then(|id| id.parse().ok()) {
            answer.extensions_mut().insert(MovedTo(survivor));
        }
        // For those who must say it otherwise.
        answer.extensions_mut().insert(self);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_error_has_a_status_and_a_code() {
        let io = || std::io::Error::other("/secret/path");
        let cases = [
            (Error::invalid("limit", "is 0"), 400, "invalid"),
            (Error::invalid("idempotency_key", "used with another body"), 422, "idempotency_key_reused"),
            (Error::TooLarge { what: "the body".into(), limit: 5 }, 413, "too_large"),
            (Error::Unauthenticated, 401, "unauthenticated"),
            (Error::Denied("no".into()), 403, "denied"),
            (Error::NotFound { code: "tenant_unknown", what: "tenant x".into() }, 404, "tenant_unknown"),
            (Error::Moved { survivor: EntityId(7) }, 307, "merged"),
            (Error::Gone, 410, "erased"),
            (Error::Conflict { code: "identifier_taken", reason: "x".into(), holder: None }, 409, "identifier_taken"),
            (Error::Busy { retry_after_ms: 20 }, 429, "busy"),
            (Error::Quota { retry_after_s: 20 }, 429, "quota_exceeded"),
            (Error::Full { what: "the disk".into() }, 507, "full"),
            (Error::io("read /secret/path", io()), 503, "io"),
            (
                Error::Corrupt { file: PathBuf::from("/secret/path"), offset_bytes: 1, reason: "x".into() },
                500,
                "corrupt",
            ),
            (Error::Poisoned, 503, "poisoned"),
        ];
        for (error, status, code) in cases {
            let problem = Problem::from(error);
            assert_eq!((problem.status, problem.code.as_str()), (status, code));
            assert!(!problem.detail.contains("secret"), "{problem:?}");
            assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        }
    }

    #[test]
    fn a_retry_is_announced_in_whole_seconds() {
        let answer = Problem::from(Error::Busy { retry_after_ms: 1_200 }).into_response();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[RETRY_AFTER], "2");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        let answer = Problem::from(Error::Busy { retry_after_ms: 20 }).into_response();
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn the_holder_is_shown() {
        let error = Error::Conflict { code: "x", reason: "y".into(), holder: Some(EntityId(1)) };
        let json = serde_json::to_value(Problem::from(error)).unwrap();
        assert_eq!(json["holder"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(json["type"], "urn:selfsame:problem:x");
        assert!(json.get("field").is_none());
    }
}
