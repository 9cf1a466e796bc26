//! Oblivious and Matrix look-ups: what is asked for, and what is shown. Bytes travel as base64url without padding.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::discovery::filter::{Width, bytes_about};
use crate::discovery::oprf::set::{PADDED_MAX, size_class};
use crate::discovery::oprf::{BATCH_MAX, ELEMENT_BYTES, Element, REVEAL_BYTES, SUITE};
use crate::engine::oprf::evaluator::Answered;
use crate::engine::oprf::{OprfView, Quota};
use crate::error::{Error, Result};
use crate::http::wire::time;
use crate::model::ids::EntityId;

/// Prefixes of one request at most.
pub(crate) const PREFIXES_MAX: usize = 1000;

fn bytes<const N: usize>(field: &str, at: usize, text: &str) -> Result<[u8; N]> {
    let wrong = || Error::invalid(format!("{field}[{at}]"), format!("must be {N} bytes as base64url without padding"));
    // Decoding may need a byte or two more than there are at the end.
    let mut room = [0; ELEMENT_BYTES + 4];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut room).map_err(|_| wrong())?;
    room.get(..length).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key in force, and how to compare with the directory's set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OprfOut {
    /// The suite of RFC 9497.
    suite: &'static str,
    /// Its mode. Also without a proof inputs are hashed and outputs made in this mode.
    mode: &'static str,
    /// The key's number.
    epoch: u32,
    /// The public key: pin it.
    public_key: String,
    /// The key is served at least until then, unless it is lost and replaced.
    not_after: String,
    /// Bits of a bucket's prefix; the same for the whole epoch.
    prefix_bits: u8,
    /// Tags of each bucket, padding included. Missing: buckets are not served, they have become too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_tags: Option<usize>,
    /// How many identifiers can be found, rounded up to 1, 2 or 5 times a power of ten.
    set_size_class: u64,
    /// The filter.
    filter: FilterOut,
    /// Elements of one request at most.
    max_batch: usize,
    /// The directory's seq that the set shows.
    covers_seq: u64,
}

/// The filter as it is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FilterOut {
    /// Its type.
    r#type: &'static str,
    /// Its bytes, about, until it is made.
    bytes: u64,
    /// Names its bytes. Missing: it is made when it is first asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl From<&OprfView> for OprfOut {
    fn from(view: &OprfView) -> Self {
        let (epoch, set) = (&view.epoch, view.epoch.set());
        let made = epoch.filter_made(Width::Bits32);
        let filter = FilterOut {
            r#type: Width::Bits32.word(),
            bytes: made.as_ref().map_or_else(|| bytes_about(set.len(), Width::Bits32), |made| made.bytes.len() as u64),
            etag: made.map(|made| made.etag.clone()),
        };
        Self {
            suite: SUITE,
            mode: "voprf",
            epoch: epoch.begun.epoch,
            public_key: text(epoch.public_key()),
            not_after: time(view.not_after),
            prefix_bits: set.prefix_bits(),
            bucket_tags: (set.padded() <= PADDED_MAX).then(|| set.padded()),
            set_size_class: size_class(set.len()),
            filter,
            max_batch: BATCH_MAX,
            covers_seq: view.covered_seq,
        }
    }
}

/// Elements to evaluate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateRequest {
    /// Under the key of which epoch.
    pub(crate) epoch: u32,
    /// 1 to 1,000 blinded elements.
    blinded: Vec<String>,
    /// Whether to prove that all were evaluated under the public key. Default true; without it takes half the time.
    #[serde(default = "yes")]
    pub(crate) proof: bool,
}

fn yes() -> bool {
    true
}

impl EvaluateRequest {
    /// The elements' bytes.
    pub(crate) fn elements(&self) -> Result<Vec<Element>> {
        if self.blinded.len() > BATCH_MAX {
            return Err(Error::invalid("blinded", format!("must be a list of 1 to {BATCH_MAX} elements; split it")));
        }
        let one = |(at, element): (usize, &String)| bytes::<ELEMENT_BYTES>("blinded", at, element);
        self.blinded.iter().enumerate().map(one).collect()
    }
}

/// What is left to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuotaOut {
    /// New identifiers that may be asked about at once; null: no quota applies.
    remaining: Option<u64>,
}

impl From<Quota> for QuotaOut {
    fn from(Quota { remaining }: Quota) -> Self {
        Self { remaining }
    }
}

/// Evaluated elements.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvaluatedOut {
    /// Under the key of which epoch.
    epoch: u32,
    /// The elements, in order.
    evaluated: Vec<String>,
    /// The proof, 64 bytes: the challenge, then the response. Null: not asked for.
    proof: Option<String>,
    /// What is left.
    quota: QuotaOut,
}

impl From<&Answered> for EvaluatedOut {
    fn from(answered: &Answered) -> Self {
        Self {
            epoch: answered.epoch,
            evaluated: answered.evaluated.elements.iter().map(|element| text(element)).collect(),
            proof: answered.evaluated.proof.as_ref().map(|proof| text(proof)),
            quota: answered.quota.into(),
        }
    }
}

/// Buckets to fetch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketsRequest {
    /// Of which epoch.
    pub(crate) epoch: u32,
    /// 1 to 1,000 prefixes in hexadecimal digits.
    pub(crate) prefixes: Vec<String>,
}

impl BucketsRequest {
    /// The numbers of the buckets.
    pub(crate) fn parsed(&self, bits: u8) -> Result<Vec<u32>> {
        self.prefixes.iter().enumerate().map(|(at, prefix)| parsed(at, prefix, bits)).collect()
    }
}

fn parsed(at: usize, prefix: &str, bits: u8) -> Result<u32> {
    let digits = bits.div_ceil(4);
    let wrong = || {
        let reason =
            format!("must be {digits} hexadecimal digits, of which the first {bits} bits count and the rest is 0");
        Error::invalid(format!("prefixes[{at}]"), reason)
    };
    if prefix.len() != usize::from(digits) || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    if digits == 0 {
        return Ok(0);
    }
    let number = u32::from_str_radix(prefix, 16).map_err(|_| wrong())?;
    let unused = u32::from(digits * 4 - bits);
    if number & ((1 << unused) - 1) == 0 { Ok(number >> unused) } else { Err(wrong()) }
}

/// Keys to reveal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevealRequest {
    /// Of which epoch.
    pub(crate) epoch: u32,
    /// 1 to 1,000 keys.
    keys: Vec<String>,
    /// The user on whose behalf it is asked: a user id of the directory, or a contact id. Those who block this user stay hidden.
    pub(crate) asker: Option<String>,
}

impl RevealRequest {
    /// The keys' bytes.
    pub(crate) fn parsed(&self) -> Result<Vec<[u8; REVEAL_BYTES]>> {
        if self.keys.is_empty() || self.keys.len() > BATCH_MAX {
            return Err(Error::invalid("keys", format!("must be a list of 1 to {BATCH_MAX} keys; split it")));
        }
        self.keys.iter().enumerate().map(|(at, key)| bytes("keys", at, key)).collect()
    }
}

/// Who stands behind the keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevealedOut {
    /// In the order of the keys.
    results: Vec<RevealedContact>,
}

/// Who stands behind a key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevealedContact {
    /// The contact; null: nobody that may be told.
    contact: Option<String>,
}

impl From<Vec<Option<EntityId>>> for RevealedOut {
    fn from(found: Vec<Option<EntityId>>) -> Self {
        let one = |id: Option<EntityId>| RevealedContact { contact: id.map(|id| id.to_string()) };
        Self { results: found.into_iter().map(one).collect() }
    }
}

/// An error as Matrix has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatrixError {
    /// Matrix' word for programs.
    pub(crate) errcode: String,
    /// For people.
    pub(crate) error: String,
    /// Milliseconds after which a retry makes sense, with `M_LIMIT_EXCEEDED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    /// With `M_INVALID_PEPPER`: the algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) algorithm: Option<String>,
    /// With `M_INVALID_PEPPER`: the pepper in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lookup_pepper: Option<String>,
}

/// The versions of the specification.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatrixVersions {
    /// Those that are followed.
    versions: Vec<&'static str>,
}

impl Default for MatrixVersions {
    fn default() -> Self {
        Self { versions: vec!["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6"] }
    }
}

/// Whom a token belongs to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatrixAccount {
    /// Made of the key's principal and the tenant.
    pub(crate) user_id: String,
}

/// What to hash with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatrixHashDetails {
    /// Appended to what is hashed.
    pub(crate) lookup_pepper: String,
    /// `sha256`.
    pub(crate) algorithms: Vec<String>,
}

/// Addresses to look up. Unknown fields are left aside, as Matrix has it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MatrixLookup {
    /// The SHA-256 of `address medium pepper` each, as base64url without padding. At most 10,000.
    pub(crate) addresses: Vec<String>,
    /// `sha256`.
    pub(crate) algorithm: String,
    /// The pepper that they were hashed with.
    pub(crate) pepper: String,
}

/// Who was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MatrixMappings {
    /// Matrix user ids by the addresses that were sent; who was not found is not among them.
    pub(crate) mappings: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_their_bits() {
        for (prefix, bits, bucket) in [
            ("a41f", 16, Some(0xa41f)),
            ("A41F", 16, Some(0xa41f)),
            ("", 0, Some(0)),
            ("e", 3, Some(7)),
            ("f", 3, None),
            ("a8", 5, Some(21)),
            ("a9", 5, None),
            ("a4", 16, None),
            ("a41f0", 16, None),
            ("+41f", 16, None),
            ("0", 0, None),
            ("ffffff", 24, Some(0xff_ffff)),
        ] {
            assert_eq!(parsed(0, prefix, bits).ok(), bucket, "{prefix} {bits}");
        }
        assert!(parsed(4, "x", 8).unwrap_err().to_string().starts_with("prefixes[4]: "));
    }

    #[test]
    fn elements_have_their_bytes() {
        let request = |elements: &[&str]| EvaluateRequest {
            epoch: 1,
            blinded: elements.iter().map(|&one| one.to_owned()).collect(),
            proof: true,
        };
        let good = "YJoK5owVo89pA3ZkYTB-XIuy-V5-dlUOH_otyZ5BKAM";
        assert_eq!(request(&[good]).elements().unwrap()[0][..2], [0x60, 0x9a]);
        for bad in ["", "YJoK", &format!("{good}="), &good.replace('-', "+"), &format!("{good}AA")] {
            let error = request(&[good, bad]).elements().unwrap_err().to_string();
            assert!(error.starts_with("blinded[1]: "), "{bad}: {error}");
        }
        assert!(request(&vec![good; BATCH_MAX + 1]).elements().is_err());
        let json = |text: &str| crate::formats::json::from_slice::<EvaluateRequest>(text.as_bytes());
        assert!(json(r#"{"epoch": 1, "blinded": []}"#).unwrap().proof, "a proof is the default");
        assert!(json(r#"{"epoch": 1, "blinded": [], "proofs": false}"#).is_err());
    }
}
