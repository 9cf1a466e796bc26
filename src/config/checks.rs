//! Whom the server may ask about emails and phones: a name server, and a validator over HTTP. Both are off unless named.

use std::net::SocketAddr;

use crate::config::checked::Secret;
use crate::error::{Error, Result};

/// Bytes of the template of a validator's request at most.
const BODY_BYTES_MAX: usize = 4096;
/// Headers of a validator's request at most.
const HEADERS_MAX: usize = 20;
/// Headers that the request has anyway.
const OWN_HEADERS: [&str; 5] = ["host", "content-length", "content-type", "transfer-encoding", "connection"];

/// A validator of emails and phones over HTTP. The identifier goes into the body, never into the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorConfig {
    /// Where it is; the rules for webhooks' targets hold.
    pub url: String,
    /// Headers and their values, which come from the environment.
    pub headers: Vec<(String, Secret)>,
    /// The body: `{{value}}` and `{{kind}}` (`email` or `phone`) are replaced, as the inside of a JSON text.
    pub body: String,
    /// Where in the JSON answer the verdict is: a JSON pointer (RFC 6901).
    pub verdict: String,
    /// Verdicts that mean good, in lower case.
    pub good: Vec<String>,
    /// Verdicts that mean bad, in lower case. Anything else is asked again later.
    pub bad: Vec<String>,
    /// Emails are sent.
    pub emails: bool,
    /// Phones are sent.
    pub phones: bool,
}

/// What is written about a validator.
#[derive(Default)]
pub(super) struct RawValidator {
    pub(super) url: Option<String>,
    pub(super) headers: Option<Vec<String>>,
    pub(super) body: Option<String>,
    pub(super) verdict: Option<String>,
    pub(super) good: Option<Vec<String>>,
    pub(super) bad: Option<Vec<String>>,
    pub(super) kinds: Option<Vec<String>>,
}

/// Checks what is written about a validator; `None` without a URL.
///
/// # Errors
/// `Invalid` names the key.
pub(super) fn validator(
    raw: RawValidator,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<ValidatorConfig>> {
    let Some(url) = raw.url.filter(|url| !url.is_empty()) else { return Ok(None) };
    let body = raw.body.unwrap_or_else(|| r#"{"kind": "{{kind}}", "value": "{{value}}"}"#.to_owned());
    if body.len() > BODY_BYTES_MAX || !body.contains("{{value}}") {
        let reason = format!("must contain {{{{value}}}} and have {BODY_BYTES_MAX} bytes at most");
        return Err(Error::invalid("validator_body", reason));
    }
    let verdict = raw.verdict.unwrap_or_else(|| "/valid".to_owned());
    if !verdict.is_empty() && !verdict.starts_with('/') {
        return Err(Error::invalid("validator_verdict", "must be a JSON pointer, for example /result/status"));
    }
    let words = |given: Option<Vec<String>>, default: [&str; 3]| -> Vec<String> {
        let given = given.unwrap_or_else(|| default.map(str::to_owned).to_vec());
        given.iter().map(|word| word.to_lowercase()).collect()
    };
    let kinds = raw.kinds.unwrap_or_else(|| vec!["email".to_owned(), "phone".to_owned()]);
    if let Some(wrong) = kinds.iter().find(|kind| !["email", "phone"].contains(&kind.as_str())) {
        return Err(Error::invalid("validator_kinds", format!("may hold email and phone; {wrong:?} is neither")));
    }
    Ok(Some(ValidatorConfig {
        url,
        headers: headers(raw.headers.unwrap_or_default(), variable)?,
        body,
        verdict,
        good: words(raw.good, ["true", "valid", "deliverable"]),
        bad: words(raw.bad, ["false", "invalid", "undeliverable"]),
        emails: kinds.iter().any(|kind| kind == "email"),
        phones: kinds.iter().any(|kind| kind == "phone"),
    }))
}

/// `Name=VARIABLE`: the header's value is the variable's, so that no secret stands in a file.
fn headers(given: Vec<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<(String, Secret)>> {
    if given.len() > HEADERS_MAX {
        return Err(Error::invalid("validator_headers", format!("may hold {HEADERS_MAX} headers")));
    }
    let one = |text: String| {
        let wrong = |reason: String| Error::invalid("validator_headers", reason);
        let (name, from) = text
            .split_once('=')
            .ok_or_else(|| wrong("write Header-Name=VARIABLE; the value is read from that variable".to_owned()))?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || !name.bytes().all(token) || OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(wrong("names a header that cannot be set; use letters, digits and -".to_owned()));
        }
        let value = variable(from).ok_or_else(|| wrong(format!("the variable {from} is not set")))?;
        if value.is_empty() || !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(wrong(format!("the variable {from} must hold printable ASCII")));
        }
        Ok((name.to_owned(), Secret::new(value)))
    };
    given.into_iter().map(one).collect()
}

/// The name server that is asked for mail servers; `None`: nobody is asked.
///
/// # Errors
/// `Invalid` for what is no address with a port.
pub(super) fn resolver(given: Option<&str>) -> Result<Option<SocketAddr>> {
    let Some(text) = given.filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = || Error::invalid("mx_resolver", "must be an address and a port, for example 127.0.0.1:53");
    text.parse().map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: RawValidator) -> Result<Option<ValidatorConfig>> {
        validator(raw, &|name| (name == "TOKEN").then(|| "secret".to_owned()))
    }

    fn url() -> RawValidator {
        RawValidator { url: Some("https://example.com/check".into()), ..RawValidator::default() }
    }

    #[test]
    fn a_validator_is_off_until_it_is_named() {
        assert_eq!(read(RawValidator::default()).unwrap(), None);
        let config = read(RawValidator { headers: Some(vec!["X-Key=TOKEN".into()]), ..url() }).unwrap().unwrap();
        assert!(config.emails && config.phones && config.good.contains(&"deliverable".to_owned()));
        assert_eq!(config.headers[0].1.expose(), "secret");
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(resolver(Some("127.0.0.1:53")).unwrap().unwrap().port(), 53);
        assert!(resolver(Some("localhost")).is_err() && resolver(None).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let list = |text: &str| Some(vec![text.to_owned()]);
        for (raw, key) in [
            (RawValidator { body: Some("{}".into()), ..url() }, "validator_body"),
            (RawValidator { verdict: Some("valid".into()), ..url() }, "validator_verdict"),
            (RawValidator { kinds: list("fax"), ..url() }, "validator_kinds"),
            (RawValidator { headers: list("X-Key"), ..url() }, "validator_headers"),
            (RawValidator { headers: list("Host=TOKEN"), ..url() }, "validator_headers"),
            (RawValidator { headers: list("X-Key=MISSING"), ..url() }, "validator_headers"),
        ] {
            match read(raw) {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, key),
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
