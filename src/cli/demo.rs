//! `serve --demo`: sample contacts in a temporary directory, and calls to try that work as printed.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use crate::cli::args;
use crate::cli::client::{Body, Client};
use crate::cli::fail::Failure;
use crate::cli::out;

/// The sample contacts. Nobody in them exists.
const SAMPLE: &[u8] = include_bytes!("../../data/sample_contacts.csv");

/// The port that client commands use by themselves.
const DEFAULT_PORT: u16 = 7878;

/// The demo's temporary directory; it goes away with this value.
pub(super) struct Demo {
    home: tempfile::TempDir,
}

impl Demo {
    /// Makes the directory.
    pub(super) fn new() -> Result<Self, Failure> {
        let home = tempfile::Builder::new()
            .prefix("selfsame-demo-")
            .tempdir()
            .map_err(|error| Failure::failed(format!("cannot make a temporary directory: {error}; set TMPDIR")))?;
        Ok(Self { home })
    }

    /// Where the data goes.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Where the key file goes.
    pub(super) fn key_file(&self) -> PathBuf {
        self.home.path().join("data.key")
    }
}

/// Loads the sample through the public API, as any client would. Blocks.
pub(super) fn load(address: SocketAddr) -> Result<serde_json::Value, Failure> {
    let server = args::Server { url: format!("http://{address}"), key: None, ca_file: None, tenant: "main".into() };
    let client = Client::new(&server)?;
    let body = Full::new(Bytes::from_static(SAMPLE)).map_err(|never| match never {});
    client.upload(&client.of_tenant("imports?source=demo"), "text/csv", None, Body::new(body))
}

/// Prints what can be done now.
pub(super) fn print(address: SocketAddr, loaded: &serde_json::Value) -> Result<(), Failure> {
    let number = |name: &str| loaded.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
    out::line(&format!(
        "selfsame demo at http://{address}: {} sample records became {} contacts, {} joined one that was there.\n",
        number("rows"),
        number("created") + number("review"),
        number("merged")
    ))?;
    out::text(&calls(address))?;
    out::line(
        "\nThe API with a form for every call: open the /docs page of that address. Stop with Ctrl-C; the demo's data goes away.",
    )
}

/// The calls, each on a line of its own after two spaces.
fn calls(address: SocketAddr) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "selfsame".into());
    let url = if address.port() == DEFAULT_PORT { String::new() } else { format!(" --url http://{address}") };
    let tenant = format!("http://{address}/v1/tenants/main");
    let json = "-H 'Content-Type: application/json'";
    format!(
        "Who is this contact?\n\
         \x20 {program} match 'Jon Smith' --phone '(212) 555-0123' --explain{url}\n\
         \x20 curl -sS {tenant}/contacts:match {json} -d '{{\"contact\": {{\"name\": \"Jon Smith\", \"phone\": \"(212) 555-0123\"}}}}'\n\
         Put a record; the answer says whether it is somebody known:\n\
         \x20 curl -sS {tenant}/contacts:upsert {json} -d '{{\"record\": {{\"source\": \"me\", \"source_record_id\": \"1\", \"name\": \"Bob Johnson\", \"email\": \"bob.johnson@example.com\"}}}}'\n\
         Search, with a typo:\n\
         \x20 curl -sS {tenant}/contacts:search {json} -d '{{\"q\": \"natarajn\"}}'\n\
         What waits for a person to decide, and the figures:\n\
         \x20 curl -sS {tenant}/reviews\n\
         \x20 {program} stats{url}\n"
    )
}
