//! Look-ups in a directory: what is asked, read without copying it, and what is answered, written by hand.
//!
//! A batch has up to 10,000 identifiers, so nothing is allocated for one that is sent as a digest. Errors never repeat what was
//! sent: a field that is no name of ours is called `body`.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::discovery::dialect::parse_digest;
use crate::discovery::{Inner, Kind};
use crate::error::{Error, Result};
use crate::formats::json::path_error;
use crate::http::wire::write::WriteBody;
use crate::model::event::DiscoveryKey;
use crate::model::ids::EntityId;
use crate::normalize::phone;

mod quick;

/// Identifiers of one call at most.
pub(crate) const IDENTIFIERS_MAX: usize = 10_000;

/// A string that stays where it was received, unless it has escapes.
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }

    fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// An identifier: exactly one of `phone`, `email` and `sha256`, which needs `kind`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentifierIn<'a> {
    /// A phone number as people write it.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    phone: Option<Text<'a>>,
    /// An email address.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    email: Option<Text<'a>>,
    /// The SHA-256 digest of one, in any dialect of the advertising platforms: 64 hexadecimal digits, or base64 or base64url of
    /// 32 bytes.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    sha256: Option<Text<'a>>,
    /// What the digest is of: `phone` or `email`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    kind: Option<Text<'a>>,
}

/// Which contacts of a directory carry these identifiers. Either `identifiers`, or for incremental calls `prev`, `new` and
/// `discard` with the token of the call before.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupRequest<'a> {
    /// All are new. At most 10,000 in all lists together.
    #[serde(borrow)]
    identifiers: Option<Vec<IdentifierIn<'a>>>,
    /// Were asked about before under `token`, and are asked about again, free.
    #[serde(borrow)]
    prev: Option<Vec<IdentifierIn<'a>>>,
    /// Are asked about for the first time.
    #[serde(borrow)]
    new: Option<Vec<IdentifierIn<'a>>>,
    /// Were asked about before under `token`, and are no more.
    #[serde(borrow)]
    discard: Option<Vec<IdentifierIn<'a>>>,
    /// Of the answer before. It covers exactly `prev` and `discard`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    token: Option<Text<'a>>,
    /// Who wants to know: a contact id or user id of the directory. Required once anybody blocks or is to be found by
    /// acquaintances only.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    asker: Option<Text<'a>>,
    /// ISO 3166 alpha-2 region of phone numbers without a country code. Missing: the tenant's.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    default_region: Option<Text<'a>>,
    /// Fill the answer up with spaces, so that its length says nothing about hits. Default false.
    pad: Option<bool>,
}

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LookupAnswer {
    /// The epoch of the directory's key; tokens die with it.
    epoch: u32,
    /// One for each identifier, in the request's order; for incremental calls those of `prev`, then those of `new`.
    results: Vec<FoundOut>,
    /// For the next incremental call.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// New identifiers that were charged.
    charged: u32,
    /// What is left.
    quota: QuotaOut,
}

/// What is known of one identifier.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundOut {
    /// The contact; null: nobody, or nobody that may be told.
    contact: Option<String>,
    /// The identifier as it was read; of hits on `phone` and `email` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
}

/// A quota after a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuotaOut {
    /// New identifiers that may still be asked about now; null: no quota applies.
    remaining: Option<u64>,
    /// 0.
    retry_after_s: u64,
}

/// A checked request.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    /// Asked about before, and again.
    pub(crate) prev: Vec<Identifier<'a>>,
    /// New.
    pub(crate) new: Vec<Identifier<'a>>,
    /// Asked about before, and no more.
    pub(crate) discard: Vec<Identifier<'a>>,
    pub(crate) token: Option<Text<'a>>,
    /// A token is wanted.
    pub(crate) is_incremental: bool,
    asker: Option<Text<'a>>,
    region: Option<Text<'a>>,
    pub(crate) pad: bool,
}

/// One identifier.
#[derive(Debug)]
pub(crate) enum Identifier<'a> {
    /// As people write it.
    Plain(Kind, Text<'a>),
    /// As a digest.
    Digest(Kind, Inner),
}

impl Identifier<'_> {
    fn into_owned(self) -> Identifier<'static> {
        match self {
            Self::Plain(kind, text) => Identifier::Plain(kind, text.into_owned()),
            Self::Digest(kind, inner) => Identifier::Digest(kind, inner),
        }
    }

    /// The text of a plain one.
    pub(crate) fn text(&self) -> Option<(Kind, &str)> {
        match self {
            Self::Plain(kind, text) => Some((*kind, text.as_str())),
            Self::Digest(..) => None,
        }
    }
}

impl Lookup<'_> {
    /// The same, without what was received. Digests are no text and cost nothing.
    pub(crate) fn into_owned(self) -> Lookup<'static> {
        let all = |list: Vec<Identifier<'_>>| list.into_iter().map(Identifier::into_owned).collect();
        Lookup {
            prev: all(self.prev),
            new: all(self.new),
            discard: all(self.discard),
            token: self.token.map(Text::into_owned),
            is_incremental: self.is_incremental,
            asker: self.asker.map(Text::into_owned),
            region: self.region.map(Text::into_owned),
            pad: self.pad,
        }
    }

    pub(crate) fn asker(&self) -> Option<&str> {
        self.asker.as_ref().map(Text::as_str)
    }

    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_ref().map(Text::as_str)
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Text::as_str)
    }

    /// Identifiers that are answered.
    pub(crate) fn len(&self) -> usize {
        self.prev.len() + self.new.len()
    }

    /// About how many digests would be as much work.
    pub(crate) fn weight(&self) -> usize {
        let all = self.prev.iter().chain(&self.new).chain(&self.discard);
        all.map(|one| if one.text().is_some() { 16 } else { 1 }).sum()
    }
}

/// Reads a request.
///
/// # Errors
/// `Invalid` with the path of the field, never with what was sent in it.
pub(crate) fn read(bytes: &[u8]) -> Result<Lookup<'_>> {
    quick::read(bytes).map_or_else(|| read_by_serde(bytes), Ok)
}

fn read_by_serde(bytes: &[u8]) -> Result<Lookup<'_>> {
    match serde_json::from_slice::<LookupRequest<'_>>(bytes) {
        Ok(request) => request.checked(),
        Err(_) => Err(said_why(bytes)),
    }
}

/// Reads it once more, slowly, to say where it is wrong.
fn said_why(bytes: &[u8]) -> Error {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, LookupRequest<'_>>(&mut deserializer) {
        Err(error) => path_error(&error),
        Ok(_) => Error::invalid("body", "has something behind its end; send one JSON object"),
    };
    let Error::Invalid { field, reason } = error else { return error };
    if !is_ours(&field) {
        return Error::invalid("body", "has an unknown field; remove it or check its spelling");
    }
    let is_told = reason.starts_with("unknown field") || field == "body";
    Error::invalid(field, if is_told { reason.as_str() } else { "is not of the form that is documented; see /docs" })
}

/// Whether a path has no part that the caller made up in a way that could hold personal data.
fn is_ours(path: &str) -> bool {
    path.len() < 64
        && path.split(['.', '[', ']']).all(|part| {
            part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                || part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit())
                || part == "sha256"
        })
}

impl<'a> LookupRequest<'a> {
    fn checked(self) -> Result<Lookup<'a>> {
        let is_incremental =
            self.prev.is_some() || self.new.is_some() || self.discard.is_some() || self.token.is_some();
        if self.identifiers.is_some() == is_incremental {
            let reason = "give either identifiers, or new (with prev, discard and token from the second call on)";
            return Err(Error::invalid("identifiers", reason));
        }
        let lists = [&self.identifiers, &self.prev, &self.new, &self.discard];
        let count: usize = lists.into_iter().flatten().map(Vec::len).sum();
        if count > IDENTIFIERS_MAX {
            let reason =
                format!("{count} are too many; at most {IDENTIFIERS_MAX} in one call, ask for the rest in another");
            return Err(Error::invalid("identifiers", reason));
        }
        if self.token.is_none() && (self.prev.is_some() || self.discard.is_some()) {
            return Err(Error::invalid("token", "is required with prev and discard; without one send all as new"));
        }
        if self.default_region.as_ref().is_some_and(|code| phone::region(code.as_str()).is_none()) {
            return Err(Error::invalid("default_region", "is no ISO 3166 alpha-2 code"));
        }
        let new = if is_incremental { ("new", self.new) } else { ("identifiers", self.identifiers) };
        Ok(Lookup {
            new: checked_all(new.0, new.1)?,
            prev: checked_all("prev", self.prev)?,
            discard: checked_all("discard", self.discard)?,
            token: self.token,
            is_incremental,
            asker: self.asker,
            region: self.default_region,
            pad: self.pad.unwrap_or(false),
        })
    }
}

fn checked_all<'a>(field: &str, list: Option<Vec<IdentifierIn<'a>>>) -> Result<Vec<Identifier<'a>>> {
    let list = list.unwrap_or_default();
    let mut all = Vec::with_capacity(list.len());
    for (at, one) in list.into_iter().enumerate() {
        all.push(one.checked().map_err(|(part, reason)| Error::invalid(format!("{field}[{at}]{part}"), reason))?);
    }
    Ok(all)
}

impl<'a> IdentifierIn<'a> {
    fn checked(self) -> std::result::Result<Identifier<'a>, (&'static str, &'static str)> {
        match (self.phone, self.email, self.sha256, self.kind) {
            (Some(phone), None, None, None) => Ok(Identifier::Plain(Kind::Phone, phone)),
            (None, Some(email), None, None) => Ok(Identifier::Plain(Kind::Email, email)),
            (None, None, Some(digest), kind) => {
                let kind = kind.and_then(|kind| Kind::from_word(kind.as_str()));
                let kind = kind.ok_or((".kind", "is required with sha256: phone or email"))?;
                let inner = parse_digest(digest.as_str());
                let reason = "is no SHA-256 digest: write 64 hexadecimal digits, or base64 of the 32 bytes";
                Ok(Identifier::Digest(kind, inner.ok_or((".sha256", reason))?))
            }
            _ => Err(("", "give exactly one of phone, email, and sha256 with its kind")),
        }
    }
}

/// Bytes of a contact's id as JSON, quotes included.
const ID_BYTES: usize = 38;
/// Bytes to which what follows the results is filled up.
const TAIL_BYTES: usize = 192;

/// An answer that is being written.
pub(crate) struct Answering {
    bytes: Vec<u8>,
    pad: bool,
}

impl Answering {
    /// Begins one.
    pub(crate) fn new(epoch: u32, results: usize, pad: bool) -> Self {
        let mut bytes = Vec::with_capacity(results * 56 + TAIL_BYTES + 64);
        bytes.extend_from_slice(b"{\"epoch\":");
        put_number(&mut bytes, epoch);
        bytes.extend_from_slice(b",\"results\":[");
        Self { bytes, pad }
    }

    /// Adds a result; `canonical` is that of a plain identifier.
    pub(crate) fn result(&mut self, contact: Option<EntityId>, canonical: Option<&str>) {
        let bytes = &mut self.bytes;
        if bytes.last() != Some(&b'[') {
            bytes.push(b',');
        }
        bytes.extend_from_slice(b"{\"contact\":");
        match contact {
            Some(id) => {
                let mut text = [0; 36];
                let text = uuid::Uuid::from_u128(id.0).hyphenated().encode_lower(&mut text);
                bytes.push(b'"');
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(b'"');
                if let Some(canonical) = canonical {
                    put_canonical(bytes, canonical);
                }
            }
            None => {
                bytes.extend_from_slice(b"null");
                if self.pad {
                    let mut left_out = Vec::new();
                    canonical.iter().for_each(|canonical| put_canonical(&mut left_out, canonical));
                    bytes.resize(bytes.len() + ID_BYTES - 4 + left_out.len(), b' ');
                }
            }
        }
        bytes.push(b'}');
    }

    /// Ends it.
    pub(crate) fn finish(mut self, token: Option<&str>, charged: u32, remaining: Option<u64>) -> Vec<u8> {
        let from = self.bytes.len();
        let bytes = &mut self.bytes;
        bytes.push(b']');
        if let Some(token) = token {
            put(bytes, format_args!(",\"token\":\"{token}\""));
        }
        bytes.extend_from_slice(b",\"charged\":");
        put_number(bytes, charged);
        bytes.extend_from_slice(b",\"quota\":{\"remaining\":");
        match remaining {
            Some(remaining) => put_number(bytes, remaining),
            None => bytes.extend_from_slice(b"null"),
        }
        bytes.extend_from_slice(b",\"retry_after_s\":0}}");
        if self.pad {
            bytes.resize(bytes.len().max(from + TAIL_BYTES), b' ');
        }
        self.bytes
    }
}

fn put_number(bytes: &mut Vec<u8>, number: impl itoa::Integer) {
    bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_canonical(bytes: &mut Vec<u8>, canonical: &str) {
    bytes.extend_from_slice(b",\"canonical\":");
    // Text into memory: nothing of it can fail.
    let _ = serde_json::to_writer(bytes, canonical);
}

fn put(bytes: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _ = bytes.write_fmt(text); // memory takes everything
}

/// Which key to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// `tags`: that of the index (no look-up misses anything meanwhile; tokens die). `pepper`: that of Matrix look-ups.
    /// `oprf`: that of oblivious look-ups; the one before is served for `oprf_overlap_days`, and none is replaced that is not
    /// 90 days old, since each lets every caller ask for everything again.
    what: String,
    /// The `oprf` key was lost: replace it whatever its age.
    #[serde(default)]
    pub(crate) urgent: bool,
    /// Makes a retry harmless.
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl WriteBody for RotateRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl RotateRequest {
    /// # Errors
    /// `Invalid` for a word that names no key.
    pub(crate) fn checked(&self) -> Result<DiscoveryKey> {
        DiscoveryKey::from_word(&self.what).ok_or_else(|| Error::invalid("what", "use tags, pepper or oprf"))
    }
}

/// The key in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EpochOut {
    /// Which key.
    pub(crate) what: &'static str,
    /// Its number, from 1.
    pub(crate) epoch: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_refused_by_field() {
        let digest = "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8";
        let good = format!(
            r#"{{"identifiers":[{{"phone":"+1 650-555-1212"}},{{"email":"a\u0040b.com"}},{{"sha256":"{digest}","kind":"phone"}}],
            "asker":"user-17","default_region":"de","pad":true}}"#
        );
        let lookup = read(good.as_bytes()).unwrap();
        assert_eq!((lookup.len(), lookup.asker(), lookup.region(), lookup.pad), (3, Some("user-17"), Some("de"), true));
        assert_eq!(lookup.new[1].text(), Some((Kind::Email, "a@b.com")));
        assert!(!lookup.is_incremental && lookup.weight() == 33);
        for (json, field) in [
            ("{}", "identifiers"),
            (r#"{"identifiers":[],"new":[]}"#, "identifiers"),
            (r#"{"prev":[],"new":[]}"#, "token"),
            (r#"{"identifiers":[{}]}"#, "identifiers[0]"),
            (r#"{"identifiers":[{"phone":"1","email":"2"}]}"#, "identifiers[0]"),
            (r#"{"new":[{"phone":"1"},{"sha256":"00","kind":"phone"}]}"#, "new[1].sha256"),
            (r#"{"identifiers":[{"sha256":"00"}]}"#, "identifiers[0].kind"),
            (r#"{"identifiers":[{"phone":"1","kind":"phone"}]}"#, "identifiers[0]"),
            (r#"{"identifiers":[{"phone":7}]}"#, "identifiers[0].phone"),
            (r#"{"identifiers":[{"fax":"7"}]}"#, "identifiers[0].fax"),
            (r#"{"identifiers":[],"default_region":"6505551212"}"#, "default_region"),
            (r#"{"identifiers":[],"extra":1}"#, "extra"),
            (r#"{"identifiers":[]} x"#, "body"),
            ("nonsense", "body"),
        ] {
            let Error::Invalid { field: named, .. } = read(json.as_bytes()).unwrap_err() else { panic!("{json}") };
            assert_eq!(named, field, "{json}");
        }
        let many = vec![r#"{"phone":"1"}"#; IDENTIFIERS_MAX + 1].join(",");
        assert!(read(format!(r#"{{"identifiers":[{many}]}}"#).as_bytes()).is_err());
    }

    #[test]
    fn errors_repeat_nothing_of_what_was_sent() {
        for json in [
            r#"{"identifiers":[{"+16505551212":"x"}]}"#,
            r#"{"6505551212":1}"#,
            r#"{"identifiers":["+16505551212"]}"#,
            r#"{"identifiers":[{"phone":{"+16505551212":1}}]}"#,
            r#"{"identifiers":[{"sha256":"+16505551212","kind":"phone"}]}"#,
            r#"{"identifiers":[{"sha256":"+16505551212","kind":"6505551212"}]}"#,
            r#"{"identifiers":"6505551212"}"#,
            r#"{"identifiers":6505551212}"#,
            r#"{"identifiers":[],"pad":"6505551212"}"#,
            r#"{"identifiers":[],"default_region":"6505551212"}"#,
            r#"{"identifiers":[{"phone":6505551212}]}"#,
        ] {
            let error = read(json.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("555"), "{json}: {error}");
        }
    }

    #[test]
    fn a_padded_answer_is_as_long_with_hits_as_without() {
        let answer = |hit: Option<EntityId>, remaining| {
            let mut answer = Answering::new(7, 2, true);
            answer.result(hit, None);
            answer.result(hit, Some("+16505551212"));
            answer.finish(None, 2, remaining)
        };
        let (hit, miss) = (answer(Some(EntityId(7)), Some(3)), answer(None, None));
        assert_eq!(hit.len(), miss.len());
        let json: serde_json::Value = serde_json::from_slice(&hit).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"epoch": 7, "charged": 2, "quota": {"remaining": 3, "retry_after_s": 0}, "results": [
                {"contact": "00000000-0000-0000-0000-000000000007"},
                {"contact": "00000000-0000-0000-0000-000000000007", "canonical": "+16505551212"},
            ]})
        );
        let json: serde_json::Value = serde_json::from_slice(&miss).unwrap();
        assert_eq!(json["results"], serde_json::json!([{"contact": null}, {"contact": null}]));
        let mut bare = Answering::new(7, 1, false);
        bare.result(None, Some("+16505551212"));
        let bare = String::from_utf8(bare.finish(Some("abc"), 1, None)).unwrap();
        let expected = r#"{"epoch":7,"results":[{"contact":null}],"token":"abc","charged":1,"quota":{"remaining":null,"retry_after_s":0}}"#;
        assert_eq!(bare, expected);
    }
}
