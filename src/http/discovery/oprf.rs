//! What evaluations are compared with: the key in force, padded buckets, the filter.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::discovery::filter::Width;
use crate::engine::oprf::Built;
use crate::error::Error;
use crate::http::extract::{Asked, NoParams, Params, Scope};
use crate::http::problem::Problem;
use crate::http::wire::oblivious::{BucketsRequest, OprfOut, PREFIXES_MAX};

/// Bytes of an answer of buckets at most.
const BUCKETS_BYTES_MAX: usize = 64 << 20;

/// The key in force, and how to compare with the directory's set.
///
/// Up to some two million members the filter is the better way: it tells the server nothing. `prefix_bits` stays for an
/// epoch. `members` is rounded up. `covers_seq` is the seq of the directory that the set shows; it follows within moments.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/discovery/oprf", tag = "discovery", operation_id = "getOprf",
    params(("tenant" = String, Path)),
    responses((status = 200, body = OprfOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn info(scope: Scope, _: Params<NoParams>) -> Result<Json<OprfOut>, Problem> {
    Ok(Json(OprfOut::from(&scope.engine.oprf(&scope.tenant, None)?)))
}

/// The tags of some buckets, padded so that all have one size.
///
/// A prefix is the first `prefix_bits` bits of an output, as hexadecimal digits, filled up with zero bits: `a41f` for 16 bits,
/// `a4` and the like for 5 to 8, the empty text for 0. The answer has the buckets in order, each as a count (u16, big-endian) and so many
/// tags of 8 bytes, ascending; some are padding and nobody's. At most 1,000 prefixes. 409 `buckets_too_large` where a set has outgrown
/// its epoch's prefix; use the filter then.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/discovery/oprf/buckets", tag = "discovery", operation_id = "getOprfBuckets",
    params(("tenant" = String, Path)), request_body = BucketsRequest,
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn buckets(
    scope: Scope,
    _: Params<NoParams>,
    Asked(request): Asked<BucketsRequest>,
) -> Result<Response, Problem> {
    if request.prefixes.is_empty() || request.prefixes.len() > PREFIXES_MAX {
        return Err(Problem::invalid("prefixes", format!("must be a list of 1 to {PREFIXES_MAX} prefixes; split it")));
    }
    let set = scope.engine.oprf(&scope.tenant, Some(request.epoch))?.epoch.set();
    if request.prefixes.len().saturating_mul(set.bucket_bytes()) > BUCKETS_BYTES_MAX {
        return Err(Error::TooLarge { what: "the answer".into(), limit: BUCKETS_BYTES_MAX as u64 }.into());
    }
    let prefixes = request.parsed(set.prefix_bits())?;
    let too_large = || {
        let detail = "the set has outgrown this epoch's prefix and no bucket can be counted; use discovery/oprf/filter";
        Problem::new(StatusCode::CONFLICT, "buckets_too_large", detail)
    };
    let body = scope.app.heavy(move || {
        let mut body = Vec::with_capacity(prefixes.len() * set.bucket_bytes());
        for prefix in prefixes {
            body.extend_from_slice(set.bucket(prefix).ok_or_else(too_large)?);
        }
        Ok::<_, Problem>(body)
    });
    Ok(octets(body.await?.into()))
}

/// Which filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FilterParams {
    /// Of which epoch. Missing: of the one in force.
    epoch: Option<u32>,
    /// `binary-fuse-32` (default) or `binary-fuse-16`, which is half as large and lets one stranger in 65,536 pass.
    r#type: Option<String>,
    /// `true`: instead of the filter the tags of those who came since it was made, 8 bytes each, big-endian, ascending.
    #[serde(default)]
    delta: bool,
}

/// The directory's set as a binary fuse filter, to compare with at home.
///
/// The layout of its bytes and the rule of membership are below. A filter never changes: the ETag names its bytes. It is made
/// anew when it is a day old at the earliest; `delta=true` gives who came meanwhile, with the ETag of the filter that it adds
/// to. Who left stays in it until then, and is not revealed.
///
/// All numbers little-endian: `"SSBF"`, version u8 = 1, fingerprint bits u8 = 32 or 16, u16 = 0, epoch u32, fingerprints n u32, seed
/// u64, segment length s u32 (a power of two), mask u32 = s - 1, span c u32 = n - 2 s, u32 = 0, then n fingerprints.
///
/// Whether t, the first 8 bytes of an output read big-endian, is a member, with 64-bit arithmetic that wraps: h = t + seed; h ^= h >> 33;
/// h *= 0xff51afd7ed558ccd; h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53; h ^= h >> 33. a = high 64 bits of the 128-bit h * c. b =
/// (a + s) ^ ((h >> 18) & mask). d = (a + 2 s) ^ (h & mask). It is one if the low bits of h ^ (h >> 32) are f\[a\] ^ f\[b\] ^ f\[d\].
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/discovery/oprf/filter", tag = "discovery", operation_id = "getOprfFilter",
    params(("tenant" = String, Path), ("If-None-Match" = Option<String>, Header), FilterParams),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The filter is the one that is known."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn filter(
    scope: Scope,
    Params(params): Params<FilterParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let word = params.r#type.as_deref().unwrap_or(Width::Bits32.word());
    let wrong = || Problem::invalid("type", "must be binary-fuse-32 or binary-fuse-16");
    let width = Width::from_word(word).ok_or_else(wrong)?;
    let epoch = scope.engine.oprf(&scope.tenant, params.epoch)?.epoch;
    let now = scope.engine.world().clock.now();
    let made = scope.app.heavy(move || {
        let built = epoch.filter(width, now)?;
        let delta = params.delta.then(|| epoch.since(&built));
        Ok::<_, Error>((built, delta))
    });
    let (built, delta) = made.await?;
    let etag = format!("\"{}\"", built.etag);
    let is_known =
        |value: &HeaderValue| value.to_str().is_ok_and(|known| known.split(',').any(|one| one.trim() == etag));
    let mut answer = match delta {
        Some(delta) => octets(delta.into()),
        None if headers.get_all(IF_NONE_MATCH).iter().any(is_known) => StatusCode::NOT_MODIFIED.into_response(),
        None => octets(Built::clone(&built).bytes),
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        answer.headers_mut().insert(ETAG, etag);
    }
    Ok(answer)
}

fn octets(bytes: Bytes) -> Response {
    let mut answer = Response::new(Body::from(bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer
}
