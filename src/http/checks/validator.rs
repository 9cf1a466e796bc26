//! One question to a validator over HTTP: the identifier in the body, the verdict out of the JSON answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::config::ValidatorConfig;
use crate::error::Result;
use crate::http::delivery::Target;
use crate::http::delivery::client::Client;

/// Says whether identifiers are good.
#[derive(Clone)]
pub(super) struct Validator {
    client: Client,
    target: Target,
    config: ValidatorConfig,
}

/// What it said: good or not, and the word for it. `None`: nothing that counts.
pub(super) type Verdict = Option<(bool, String)>;

impl Validator {
    /// A validator under the configuration; `allow_private` as for webhooks.
    ///
    /// # Errors
    /// `Invalid` names `validator_url` and the rule for targets that it breaks.
    pub(super) fn new(config: &ValidatorConfig, client: Client, allow_private: bool) -> Result<Self> {
        let target = Target::parse(&config.url, allow_private).map_err(|error| {
            let crate::error::Error::Invalid { reason, .. } = error else { return error };
            crate::error::Error::invalid("validator_url", reason)
        })?;
        Ok(Self { client, target, config: config.clone() })
    }

    /// Whether this kind of identifier is sent to it.
    pub(super) fn takes(&self, is_email: bool) -> bool {
        if is_email { self.config.emails } else { self.config.phones }
    }

    /// Asks about an identifier.
    pub(super) async fn ask(&self, identifier: &str, is_email: bool) -> Verdict {
        let request = self.request(identifier, is_email)?;
        match self.client.ask(&self.target, request).await {
            Ok((status, body)) if status.is_success() => verdict(&self.config, &body),
            Ok((status, _)) => {
                tracing::debug!(status = status.as_u16(), "the validator did not answer with a verdict");
                None
            }
            Err(failed) => {
                tracing::debug!(why = %failed.0, "the validator could not be asked");
                None
            }
        }
    }

    fn request(&self, identifier: &str, is_email: bool) -> Option<Request<Full<Bytes>>> {
        let body = fill(&self.config.body, identifier, is_email);
        let mut request = Request::post(self.target.path.as_str())
            .header("host", self.target.authority.as_str())
            .header("content-type", "application/json")
            .header("accept", "application/json");
        for (name, value) in &self.config.headers {
            request = request.header(name.as_str(), value.expose());
        }
        request.body(Full::new(Bytes::from(body))).ok()
    }
}

/// The template with its places filled in, each as the inside of a JSON text.
fn fill(template: &str, identifier: &str, is_email: bool) -> String {
    let quoted = serde_json::Value::from(identifier).to_string();
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    // The value last: what it holds is never a place to be filled in.
    template.replace("{{kind}}", if is_email { "email" } else { "phone" }).replace("{{value}}", inside)
}

/// The verdict of an answer. Its word is one of the configured ones: nothing else of the answer is kept.
fn verdict(config: &ValidatorConfig, body: &[u8]) -> Verdict {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = match answer.pointer(&config.verdict)? {
        serde_json::Value::String(text) => text.to_lowercase(),
        serde_json::Value::Bool(is) => is.to_string(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
    };
    let is_good = config.good.contains(&said);
    (is_good || config.bad.contains(&said)).then_some((is_good, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ValidatorConfig {
        ValidatorConfig {
            url: "https://example.com".into(),
            headers: Vec::new(),
            body: r#"{"k": "{{kind}}", "v": ["{{value}}"]}"#.into(),
            verdict: "/result/status".into(),
            good: vec!["ok".into()],
            bad: vec!["no".into()],
            emails: true,
            phones: false,
        }
    }

    #[test]
    fn an_identifier_cannot_leave_its_place() {
        let body = fill(&config().body, r#"a"b\{{kind}}@x.com"#, true);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((json["k"].as_str(), json["v"][0].as_str()), (Some("email"), Some(r#"a"b\{{kind}}@x.com"#)));
    }

    #[test]
    fn only_known_verdicts_count() {
        let said = |body: &str| verdict(&config(), body.as_bytes());
        assert_eq!(said(r#"{"result": {"status": "OK"}}"#), Some((true, "ok".into())));
        assert_eq!(said(r#"{"result": {"status": "no"}}"#), Some((false, "no".into())));
        for unknown in
            [r#"{"result": {"status": "maybe"}}"#, r#"{"status": "ok"}"#, r#"{"result": {"status": null}}"#, "ok"]
        {
            assert_eq!(said(unknown), None, "{unknown}");
        }
    }
}
