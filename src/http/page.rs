//! JSON as a page for people: self-contained HTML that prints well, without scripts and with nothing from elsewhere.
//!
//! The page is made from the very value that the JSON answer is, so that neither says more than the other. Everything that is
//! data is escaped.

use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::http::problem::Problem;

/// Levels of a value that are laid out; deeper ones are shown as JSON text.
const DEPTH_MAX: usize = 24;

/// The page's own style: readable on a screen, black on white on paper, wide tables broken into lines.
const STYLE: &str = "body{font:15px/1.5 sans-serif;color:#111;background:#fff;max-width:60em;margin:2em auto;padding:0 1em}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #999}\
table{border-collapse:collapse;width:100%;margin:.3em 0}th,td{border:1px solid #bbb;padding:.25em .5em;text-align:left;\
vertical-align:top;overflow-wrap:anywhere}th{background:#eee;font-weight:600;width:12em}ul{margin:.2em 0;padding-left:1.2em}\
.none{color:#666}@media print{body{max-width:none;margin:0;font-size:11px}th{background:none}tr,li{break-inside:avoid}\
h2{break-after:avoid}}";

/// What a caller wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For programs.
    Json,
    /// For people.
    Html,
    /// One line for one contact.
    Csv,
    /// For address books.
    Vcard,
}

impl Form {
    /// The first of `Accept` that is among those that can be made; JSON where nothing is asked for.
    ///
    /// # Errors
    /// 406 names what there is.
    pub(super) fn of(headers: &HeaderMap, made: &[Self]) -> Result<Self, Problem> {
        let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return Ok(Self::Json) };
        let kinds = accept.split(',').filter_map(|kind| kind.split(';').next());
        let known = |kind: &str| match kind.trim().to_ascii_lowercase().as_str() {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            "text/csv" => Some(Self::Csv),
            "text/vcard" => Some(Self::Vcard),
            _ => None,
        };
        kinds.filter_map(known).find(|form| made.contains(form)).ok_or_else(|| {
            let names: Vec<&str> = made.iter().map(|form| form.content_type()).collect();
            let detail = format!("accept one of {}", names.join(", "));
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail).at("accept")
        })
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Vcard => "text/vcard; charset=utf-8",
        }
    }

    /// Bytes of this form as an answer.
    pub(super) fn answer(self, bytes: Vec<u8>) -> Response {
        let mut answer = bytes.into_response();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        answer
    }
}

/// A value as JSON or as a page with a title.
///
/// # Errors
/// 500 when the value cannot be written, which is our mistake.
pub(super) fn answer(form: Form, title: &str, value: &impl Serialize) -> Result<Response, Problem> {
    if form == Form::Html {
        let value = serde_json::to_value(value).map_err(|_| Problem::internal())?;
        return Ok(form.answer(page(title, &value).into_bytes()));
    }
    Ok(Form::Json.answer(serde_json::to_vec(value).map_err(|_| Problem::internal())?))
}

/// A whole page; the members of an object are its sections.
fn page(title: &str, value: &Value) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    escape(&mut out, title);
    out.push_str("</title><style>");
    out.push_str(STYLE);
    out.push_str("</style></head><body><h1>");
    escape(&mut out, title);
    out.push_str("</h1>\n");
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                out.push_str("<h2>");
                escape(&mut out, &words(name));
                out.push_str("</h2>\n");
                show(&mut out, value, 0);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            show(&mut out, value, 0)
        }
    }
    out.push_str("</body></html>\n");
    out
}

fn show(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("<span class=\"none\">none</span>"),
        Value::Bool(is) => out.push_str(if *is { "yes" } else { "no" }),
        Value::Number(number) => escape(out, &number.to_string()),
        Value::String(text) => escape(out, text),
        Value::Array(list) if list.is_empty() => out.push_str("<span class=\"none\">none</span>"),
        Value::Object(map) if map.is_empty() => out.push_str("<span class=\"none\">none</span>"),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => escape(out, &value.to_string()),
        Value::Array(list) => {
            out.push_str("<ul>");
            for item in list {
                out.push_str("<li>");
                show(out, item, depth + 1);
                out.push_str("</li>\n");
            }
            out.push_str("</ul>");
        }
        Value::Object(map) => {
            out.push_str("<table>");
            for (name, value) in map {
                out.push_str("<tr><th>");
                escape(out, &words(name));
                out.push_str("</th><td>");
                show(out, value, depth + 1);
                out.push_str("</td></tr>\n");
            }
            out.push_str("</table>\n");
        }
    }
}

/// A name of a field in words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_data_stays_data() {
        let evil = "<script>alert('x')</script>\"&";
        let value = json!({ evil: [{ "a_b": evil }], "empty": [], "none": null, "yes": true });
        let html = page(evil, &value);
        assert!(!html.contains("<script") && html.matches("&lt;script&gt;").count() == 4, "{html}");
        assert!(html.contains("a b") && html.contains("&quot;&amp;") && html.contains("yes"));
        for outside in ["http://", "https://", "src=", "href=", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_deep_value_is_still_shown() {
        let deep = (0..100).fold(json!("<bottom>"), |value, _| json!([value]));
        let html = page("t", &deep);
        assert!(html.contains("&lt;bottom&gt;"));
        assert_eq!(html.matches("<ul>").count(), DEPTH_MAX);
    }

    #[test]
    fn the_form_follows_accept() {
        let headers = |accept: &str| HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        let both = [Form::Json, Form::Html];
        for (accept, form) in [
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Some(Form::Html)),
            ("application/json", Some(Form::Json)),
            ("text/csv, */*", Some(Form::Json)),
            ("text/csv", None),
        ] {
            assert_eq!(Form::of(&headers(accept), &both).ok(), form, "{accept}");
        }
        assert_eq!(Form::of(&HeaderMap::new(), &both).unwrap(), Form::Json);
        assert_eq!(Form::of(&headers("text/vcard"), &[Form::Vcard]).unwrap(), Form::Vcard);
    }
}
