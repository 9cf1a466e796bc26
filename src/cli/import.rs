//! `import`: a file streams to the server as the request body, and the summary comes back.
//!
//! The server decides while it reads, and back pressure reaches the file: what the bar shows as sent
//! is close to what is stored. Nothing is held in memory but one chunk.

use std::io::Read;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::args::Import;
use crate::cli::client::{Body, Client};
use crate::cli::fail::Failure;
use crate::cli::{files, out};
use crate::formats::Format;

/// Bytes read and sent at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes looked at to tell the format.
const SNIFF_BYTES: usize = 4 << 10;

/// Counters in the order of the contract.
const COUNTERS: [&str; 9] =
    ["rows", "created", "updated", "unchanged", "stale", "merged", "review", "conflict", "invalid"];

/// Runs the command.
pub(super) fn run(import: &Import, json: bool) -> Result<(), Failure> {
    let client = Client::new(&import.server)?;
    let mut input = open(&import.file)?;
    let head = read_head(&mut *input.reader)?;
    let media = media_type(&import.file, &head);
    let path = client.of_tenant(&format!("imports{}", query(import)));
    let bar = progress(input.length);
    let body = FileBody { head: Some(Bytes::from(head)), reader: input.reader, bar: bar.clone() };
    let answer = client.upload(&path, media, input.length, Body::new(body));
    bar.finish_and_clear();
    let answer = answer?;
    if json { out::json(&answer) } else { summary(import, &answer) }
}

struct Input {
    reader: Box<dyn Read + Send>,
    length: Option<u64>,
}

fn open(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        return Ok(Input { reader: Box::new(std::io::stdin()), length: None });
    }
    let file = files::open(path)?;
    let meta = file.metadata().map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    let length = meta.is_file().then_some(meta.len());
    if length == Some(0) {
        return Err(Failure::input(format!("{} is empty; nothing was imported", path.display())));
    }
    // A file that grows meanwhile is sent as long as it was: the length is already promised.
    let reader: Box<dyn Read + Send> = match length {
        Some(length) => Box::new(file.take(length)),
        None => Box::new(file),
    };
    Ok(Input { reader, length })
}

/// The first bytes, as many as there are up to [`SNIFF_BYTES`].
fn read_head(reader: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    reader
        .take(SNIFF_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|error| Failure::failed(format!("cannot read the input: {error}")))?;
    Ok(head)
}

/// The content type to send, by content first, then by extension.
fn media_type(path: &Path, head: &[u8]) -> &'static str {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match Format::of_file(&name, head) {
        Format::Csv => "text/csv",
        Format::Vcard => "text/vcard",
        Format::Ndjson => "application/x-ndjson",
    }
}

/// The options as a query string. None of them is personal data.
fn query(import: &Import) -> String {
    let options = [
        ("source", import.source.as_deref()),
        ("dry_run", import.dry_run.then_some("true")),
        ("default_region", import.default_region.as_deref()),
        ("map", import.map.as_deref()),
        ("entity", (import.entity != "contacts").then_some(import.entity.as_str())),
    ];
    let parts: Vec<String> =
        options.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={}", percent(value)))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A bar when a person watches and the length is known, a spinner when it is not.
fn progress(length: Option<u64>) -> ProgressBar {
    if !out::watched() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:32} {percent}%  {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {decimal_bytes}, {decimal_bytes_per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The summary table, and where to read about what could not be used.
fn summary(import: &Import, answer: &Value) -> Result<(), Failure> {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut table = out::table(&COUNTERS);
    for at in 0..COUNTERS.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table.add_row(COUNTERS.map(|name| out::count(number(name))).to_vec());
    out::line(&table.to_string())?;
    let id = answer.get("import_id").and_then(Value::as_str).map(out::clean);
    if import.dry_run {
        out::note("Dry run: nothing was written.");
    }
    if let (Some(id), true) = (id, number("invalid") > 0) {
        out::note(&format!(
            "{} could not be used; which and why: GET {}/v1/tenants/{}/imports/{id}/report",
            out::count(number("invalid")),
            import.server.url.trim_end_matches('/'),
            import.server.tenant
        ));
    }
    Ok(())
}

/// A reader as a request body. Reads block this command's only thread, which has nothing else to do
/// until the chunk is there.
struct FileBody {
    head: Option<Bytes>,
    reader: Box<dyn Read + Send>,
    bar: ProgressBar,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = match self.head.take() {
            Some(head) => head,
            None => {
                let mut buffer = vec![0; CHUNK_BYTES];
                match self.reader.read(&mut buffer) {
                    Ok(read) => {
                        buffer.truncate(read);
                        Bytes::from(buffer)
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        if chunk.is_empty() {
            return Poll::Ready(None);
        }
        self.bar.inc(chunk.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_safe_in_a_url() {
        assert_eq!(percent("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
