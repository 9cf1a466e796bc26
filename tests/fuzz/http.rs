//! Bodies of requests, sent to the real program: the first line is the path below a tenant, the rest is the body.

use crate::Outcome;
use crate::disk::kind_of;
use crate::server::{Server, call, folder};

/// The program over a directory of its own, started with the first input.
#[derive(Default)]
pub struct Http {
    running: Option<(Server, tempfile::TempDir)>,
}

impl Http {
    pub fn run(&mut self, bytes: &[u8]) -> Outcome {
        let (server, _) = self.running.get_or_insert_with(|| {
            let home = folder();
            (Server::start(&home.path().join("data")), home)
        });
        let (path, body) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (&b"contacts:upsert"[..], bytes),
        };
        let path: String = path.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect();
        let path = format!("/v1/tenants/main/{path}");
        let (status, answer) = call(server.address(), "POST", &path, "application/json", body)
            .map_err(|error| format!("POST {path} breaks the connection: {error}"))?;
        // 503 and 507 would be honest answers of a machine in trouble; here there is none.
        if status >= 500 {
            return Err(format!("POST {path} is answered {status}: {}", String::from_utf8_lossy(&answer)));
        }
        let answer = String::from_utf8_lossy(&answer[..answer.len().min(90)]).into_owned();
        Ok(format!("{status} {}", if status == 200 { String::new() } else { kind_of(&answer) }))
    }
}
