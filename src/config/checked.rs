//! What the server runs on: every default and every bound, in one place.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::checks::{self, RawValidator, ValidatorConfig};
use super::keys;
use super::raw::RawConfig;
pub use crate::engine::Durability;
use crate::error::{Error, Result};
use crate::model::access::ApiKey;
use crate::model::ids::TenantName;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Names of tenants for Matrix clients at most.
const MATRIX_HOSTS_MAX: usize = 1_000;
/// Origins of the configuration at most.
const CORS_ORIGINS_MAX: usize = 100;

/// How diagnostics look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that diagnostics never show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; for hashing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where TLS finds its files, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Clients must show a certificate signed by one of these; missing: they need none.
    pub client_ca: Option<PathBuf>,
}

/// The checked configuration. Each field's comment gives its default and its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where the journal and snapshots are. Default `./selfsame-data`.
    pub data_dir: PathBuf,
    /// Address and port to listen on. Default `127.0.0.1:7878`.
    pub listen: SocketAddr,
    /// File with the master key. Missing: beside the data directory.
    pub key_file: Option<PathBuf>,
    /// A line for the shell that prints the master key, instead of a key file. Default none.
    pub key_command: Option<Secret>,
    /// Time for that command. Default 30 s, 1 s to 1 h.
    pub key_command_timeout: Duration,
    /// What is written to the data directory is sealed. What is sealed already is read in either case. Default true.
    pub encryption: bool,
    /// API keys in plain text, without repeats; the HTTP layer keeps their hashes. Default none.
    pub api_keys: Vec<Secret>,
    /// All keys of the configuration as hashes, those of `api_keys` as admins of everything. Default none, at most 1000.
    pub access_keys: Vec<ApiKey>,
    /// Nothing is served without a key. Where no admin's key is there, the server makes one at its start and shows it once.
    /// Default false: without any key the server serves this machine.
    pub require_keys: bool,
    /// Failed attempts of one address (of IPv6: one /64) at once, one of which is forgotten each second; more are 429, also
    /// with the right one of `api_keys` or `access_keys` unless that has our form. Default 30, up to 60,000; 0: any.
    pub auth_failures_max: u32,
    /// Certificate and private key for TLS; missing: plain HTTP. Read again when the files change.
    pub tls: Option<TlsFiles>,
    /// Origins whose web pages may use the API: scheme, host and port, for example `https://app.example.com`. Default none.
    pub cors_origins: Vec<String>,
    /// When a write is acknowledged: `always`, `interval:MS` (1 to 60,000) or `os`. Default `always`.
    pub durability: Durability,
    /// How diagnostics look. Default `text`.
    pub log_format: LogFormat,
    /// Open connections at most; more wait in the system's backlog. Default 1024, 1 to 65,536.
    pub connections_max: usize,
    /// Requests under way on one HTTP/2 connection at most. Default 100, 1 to 10,000.
    pub streams_max: u32,
    /// Bytes of a request's head at most. Default 16 KiB, 8 KiB (hyper's least) to 1 MiB.
    pub header_bytes_max: usize,
    /// Bytes of a body at most, except of streams (imports). Default 16 MiB, 1 KiB to 1 GiB.
    pub body_bytes_max: u64,
    /// Bytes of one record at most. Default 64 KiB, 1 KiB to 1 MiB.
    pub record_bytes_max: usize,
    /// Items of one batch call at most. Default 1000, 1 to 100,000.
    pub batch_max: usize,
    /// Items of one page at most. Default 1000, 1 to 10,000.
    pub page_max: usize,
    /// Writes of one tenant waiting at most; then it is told to retry. Default 1024, 1 to 1,000,000.
    pub queue_max: usize,
    /// Batches waiting for the text index at most. Default 4096, 1 to 1,000,000.
    pub text_queue_max: usize,
    /// Imports running at most. Default 4, 1 to 1000.
    pub imports_max: usize,
    /// Tenants at most. Default 100,000, 1 to 10,000,000.
    pub tenants_max: usize,
    /// Time between two looks for tenants that nobody asks for: after one to two of them without a call a tenant is left in
    /// the newest snapshot (in memory, packed to less than a quarter, until that has it), and the next call takes some milliseconds more. Default 300 s, up to 3600; 0: none is parked.
    pub park_after: Option<Duration>,
    /// Records that a parked tenant has at most; larger ones stay whole. Default 1000, up to 1,000,000.
    pub park_records_max: u64,
    /// Threads that compute at most, 1 to 1024. Missing: one for each core.
    pub workers_max: Option<usize>,
    /// Bytes of one journal segment at most. Default 64 MiB, 1 MiB to 4 GiB.
    pub segment_bytes_max: u64,
    /// Bytes journaled since the last snapshot from which the next is written in the background, or half of that snapshot's
    /// size if that is more. Default 64 MiB, up to 1 TiB; 0: none is.
    pub snapshot_journal_bytes: u64,
    /// How long the journal's segments stay once both kept snapshots stand for them. Undo and history need no segment, but
    /// `journal dump`, `restore --until` of a later backup and the audit trail reach back no further. Default: for ever;
    /// 1 to 36,500 days.
    pub journal_keep: Option<Duration>,
    /// Where segments go after that, verified, before they are removed. Missing: they are removed for good.
    pub journal_archive_dir: Option<PathBuf>,
    /// Bytes that must be free on the disk of the data directory; with less, writes are 507 and reads go on. Default 256 MiB,
    /// up to 1 TiB; 0: any. The next journal segment is made ahead, so this should be more than `segment_bytes_max`.
    pub disk_free_min_bytes: u64,
    /// Bytes of memory of the process from which whatever adds is 507; deletions and reads go on. Default 0: any.
    pub memory_max_bytes: u64,
    /// Live records of one tenant at most, of people and businesses together; an upsert that could lead beyond is 507.
    /// Default 0: any.
    pub tenant_records_max: u64,
    /// Bytes of one tenant in memory (as `stats` estimates them) from which whatever adds is 507. Default 0: any.
    pub tenant_bytes_max: u64,
    /// Time for a request's head. Default 10 s, 1 s to 1 h.
    pub header_timeout: Duration,
    /// Time without a byte of the body. Default 30 s, 1 s to 1 h.
    pub body_timeout: Duration,
    /// Time for a whole request, except for streams. Default 60 s, 1 s to 1 h.
    pub request_timeout: Duration,
    /// Time without a request on an open connection. Default 75 s, 1 s to 1 h.
    pub idle_timeout: Duration,
    /// Time for requests under way when the server stops. Default 30 s, 0 s to 1 h.
    pub shutdown_drain: Duration,
    /// Webhooks may go to any address, private and loopback ones too, and over plain HTTP. Default false.
    pub webhooks_allow_private: bool,
    /// Whoever is shown contacts (looked up, listed, searched, matched, explained, in question) goes into the audit trail with
    /// their ids, which costs a write each; where that cannot be written the call is refused. Exports are in it in any case. Default
    /// false.
    pub audit_reads: bool,
    /// Tenants that Matrix clients reach by the name they use for the server, `host=tenant` each, at most 1,000. Default none:
    /// then a client reaches the one tenant with Matrix look-ups.
    pub matrix_hosts: Vec<(String, TenantName)>,
    /// File with certificates (PEM) that webhooks' receivers may be signed by, beside the public ones. Missing: none.
    pub webhooks_ca_file: Option<PathBuf>,
    /// Attempts of one delivery at most; then it is a dead letter. Default 12 (about 20 minutes), 1 to 100.
    pub webhooks_attempts_max: u32,
    /// Time before the second attempt; each further wait is twice as long, up to 10 minutes. Default 1 s, 10 ms to 10 min.
    pub webhooks_retry: Duration,
    /// Time for one attempt, from the name's resolution to the answer's head. Default 10 s, 1 s to 1 min.
    pub webhooks_timeout: Duration,
    /// Attempts under way at most, a quarter of them for webhooks that are slow or fail, of one tenant an eighth. Default
    /// 64, 8 to 10,000.
    pub webhooks_concurrency_max: usize,
    /// The name server that is asked whether domains of emails take mail. Missing: nobody is asked.
    pub mx_resolver: Option<SocketAddr>,
    /// Whom emails and phones are sent to for a verdict. Missing: nobody. The rules for webhooks' targets hold.
    pub validator: Option<ValidatorConfig>,
    /// How long an answer about an identifier counts; then it is asked about again. Default 90 days, 1 to 3,650.
    pub checks_keep: Duration,
    /// Questions about identifiers a second at most, to name server and validator together. Default 5, 1 to 1,000.
    pub checks_per_second_max: u32,
    /// Time before a question that nobody could answer is asked again; each further wait is twice as long, six attempts at
    /// most. Default 1 min, 10 ms to 1 day.
    pub checks_retry: Duration,
}

impl ServerConfig {
    /// The configuration from, strongest first: the command line, the environment (`variable` gives a
    /// variable's value), the text of the configuration file.
    ///
    /// # Errors
    /// `Invalid` names the key or the variable and says what it may be.
    pub fn load(
        file: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
        command_line: RawConfig,
    ) -> Result<Self> {
        let file = file.map(RawConfig::from_toml).transpose()?.unwrap_or_default();
        let raw = command_line.or(RawConfig::from_env(&variable)?).or(file);
        Self::check_with(raw, &variable)
    }

    /// Fills in defaults and checks every value.
    ///
    /// # Errors
    /// `Invalid` names the key and its range.
    pub fn check(raw: RawConfig) -> Result<Self> {
        Self::check_with(raw, &|_| None)
    }

    /// The same; `variable` gives the variables that hold values of headers.
    #[expect(clippy::too_many_lines, reason = "a line for every key")]
    fn check_with(raw: RawConfig, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let api_keys = keys::plain_keys(raw.api_keys.unwrap_or_default())?;
        Ok(Self {
            data_dir: path("data_dir", raw.data_dir)?.unwrap_or_else(|| "selfsame-data".into()),
            listen: address(raw.listen.as_deref().unwrap_or("127.0.0.1:7878"))?,
            key_command: key_command(raw.key_command, raw.key_file.is_some())?,
            key_file: path("key_file", raw.key_file)?,
            key_command_timeout: seconds("key_command_timeout_seconds", raw.key_command_timeout_seconds, 30, 1)?,
            encryption: raw.encryption.unwrap_or(true),
            access_keys: keys::all_keys(&api_keys, raw.access_keys.unwrap_or_default())?,
            api_keys,
            require_keys: raw.require_keys.unwrap_or(false),
            auth_failures_max: bound("auth_failures_max", raw.auth_failures_max, 30, 0, 60_000)?,
            tls: tls(raw.tls_cert, raw.tls_key, raw.tls_client_ca)?,
            cors_origins: origins(raw.cors_origins.unwrap_or_default())?,
            durability: durability(raw.durability.as_deref())?,
            log_format: log_format(raw.log_format.as_deref())?,
            connections_max: bound("connections_max", raw.connections_max, 1024, 1, 65_536)?,
            streams_max: bound("streams_max", raw.streams_max, 100, 1, 10_000)?,
            header_bytes_max: bound("header_bytes_max", raw.header_bytes_max, 16 * KIB, 8 * KIB, MIB)?,
            body_bytes_max: bound("body_bytes_max", raw.body_bytes_max, 16 * MIB, KIB, KIB * MIB)?,
            record_bytes_max: bound("record_bytes_max", raw.record_bytes_max, 64 * KIB, KIB, MIB)?,
            batch_max: bound("batch_max", raw.batch_max, 1000, 1, 100_000)?,
            page_max: bound("page_max", raw.page_max, 1000, 1, 10_000)?,
            queue_max: bound("queue_max", raw.queue_max, 1024, 1, 1_000_000)?,
            text_queue_max: bound("text_queue_max", raw.text_queue_max, 4096, 1, 1_000_000)?,
            imports_max: bound("imports_max", raw.imports_max, 4, 1, 1000)?,
            tenants_max: bound("tenants_max", raw.tenants_max, 100_000, 1, 10_000_000)?,
            park_after: Some(seconds("park_after_seconds", raw.park_after_seconds, 300, 0)?)
                .filter(|after| !after.is_zero()),
            park_records_max: bound("park_records_max", raw.park_records_max, 1000, 0, 1_000_000)?,
            workers_max: raw.workers_max.map(|n| bound("workers_max", Some(n), n, 1, 1024)).transpose()?,
            segment_bytes_max: bound("segment_bytes_max", raw.segment_bytes_max, 64 * MIB, MIB, 4 * KIB * MIB)?,
            snapshot_journal_bytes: bound(
                "snapshot_journal_bytes",
                raw.snapshot_journal_bytes,
                64 * MIB,
                0,
                MIB * MIB,
            )?,
            journal_keep: raw
                .journal_keep_days
                .map(|days| bound("journal_keep_days", Some(days), days, 1, 36_500).map(days_long))
                .transpose()?,
            journal_archive_dir: path("journal_archive_dir", raw.journal_archive_dir)?,
            disk_free_min_bytes: bound("disk_free_min_bytes", raw.disk_free_min_bytes, 256 * MIB, 0, MIB * MIB)?,
            memory_max_bytes: raw.memory_max_bytes.unwrap_or(0),
            tenant_records_max: raw.tenant_records_max.unwrap_or(0),
            tenant_bytes_max: raw.tenant_bytes_max.unwrap_or(0),
            header_timeout: seconds("header_timeout_seconds", raw.header_timeout_seconds, 10, 1)?,
            body_timeout: seconds("body_timeout_seconds", raw.body_timeout_seconds, 30, 1)?,
            request_timeout: seconds("request_timeout_seconds", raw.request_timeout_seconds, 60, 1)?,
            idle_timeout: seconds("idle_timeout_seconds", raw.idle_timeout_seconds, 75, 1)?,
            shutdown_drain: seconds("shutdown_drain_seconds", raw.shutdown_drain_seconds, 30, 0)?,
            webhooks_allow_private: raw.webhooks_allow_private.unwrap_or(false),
            audit_reads: raw.audit_reads.unwrap_or(false),
            matrix_hosts: matrix_hosts(raw.matrix_hosts)?,
            webhooks_ca_file: path("webhooks_ca_file", raw.webhooks_ca_file)?,
            webhooks_attempts_max: bound("webhooks_attempts_max", raw.webhooks_attempts_max, 12, 1, 100)?,
            webhooks_retry: bound("webhooks_retry_ms", raw.webhooks_retry_ms, 1_000, 10, 600_000)
                .map(Duration::from_millis)?,
            webhooks_timeout: bound("webhooks_timeout_seconds", raw.webhooks_timeout_seconds, 10, 1, 60)
                .map(Duration::from_secs)?,
            webhooks_concurrency_max: bound("webhooks_concurrency_max", raw.webhooks_concurrency_max, 64, 8, 10_000)?,
            mx_resolver: checks::resolver(raw.mx_resolver.as_deref())?,
            validator: checks::validator(
                RawValidator {
                    url: raw.validator_url,
                    headers: raw.validator_headers,
                    body: raw.validator_body,
                    verdict: raw.validator_verdict,
                    good: raw.validator_good,
                    bad: raw.validator_bad,
                    kinds: raw.validator_kinds,
                },
                variable,
            )?,
            checks_keep: bound("checks_keep_days", raw.checks_keep_days, 90, 1, 3_650).map(days_long)?,
            checks_per_second_max: bound("checks_per_second_max", raw.checks_per_second_max, 5, 1, 1_000)?,
            checks_retry: bound("checks_retry_ms", raw.checks_retry_ms, 60_000, 10, 86_400_000)
                .map(Duration::from_millis)?,
        })
    }

    /// Refuses to be reached from outside without a key. `keys_stored`: the data directory already holds keys.
    ///
    /// # Errors
    /// `Invalid` names `listen`.
    pub fn check_exposure(&self, keys_stored: bool) -> Result<()> {
        if self.listen.ip().is_loopback() || keys_stored || self.require_keys || !self.access_keys.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(
            "listen",
            "without an API key only loopback is served; start with --require-keys, set SELFSAME_KEYS, or listen on 127.0.0.1",
        ))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::check(RawConfig::default()).expect("the defaults are within their bounds; a test checks it")
    }
}

fn bound<N: TryFrom<u64>>(key: &str, given: Option<u64>, default: u64, least: u64, most: u64) -> Result<N> {
    let value = given.unwrap_or(default);
    let refused = || Error::invalid(key, format!("is {value}; it may be {least} to {most} (default {default})"));
    if !(least..=most).contains(&value) {
        return Err(refused());
    }
    N::try_from(value).map_err(|_| refused())
}

fn seconds(key: &str, given: Option<u64>, default: u64, least: u64) -> Result<Duration> {
    bound(key, given, default, least, 3600).map(Duration::from_secs)
}

fn days_long(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        Error::invalid("listen", "must be an address and a port, for example 127.0.0.1:7878 or [::1]:7878")
    })
}

fn path(key: &str, given: Option<PathBuf>) -> Result<Option<PathBuf>> {
    match given {
        Some(path) if path.as_os_str().is_empty() => Err(Error::invalid(key, "is empty; give a path or leave it out")),
        other => Ok(other),
    }
}

fn key_command(given: Option<String>, has_file: bool) -> Result<Option<Secret>> {
    match given {
        Some(line) if line.trim().is_empty() => {
            Err(Error::invalid("key_command", "is empty; give a command or leave it out"))
        }
        Some(_) if has_file => Err(Error::invalid("key_command", "is given beside key_file; give one of the two")),
        other => Ok(other.map(Secret::new)),
    }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>, client_ca: Option<PathBuf>) -> Result<Option<TlsFiles>> {
    let (cert, key) = (path("tls_cert", cert)?, path("tls_key", key)?);
    match (cert, key, path("tls_client_ca", client_ca)?) {
        (None, None, None) => Ok(None),
        (Some(cert), Some(key), client_ca) => Ok(Some(TlsFiles { cert, key, client_ca })),
        (None, _, _) => Err(Error::invalid("tls_cert", "is missing; TLS needs tls_cert and tls_key")),
        (Some(_), None, _) => Err(Error::invalid("tls_key", "is missing; TLS needs tls_cert and tls_key")),
    }
}

/// Origins as browsers send them: scheme, host, a port that is not the scheme's own.
fn origins(given: Vec<String>) -> Result<Vec<String>> {
    for (at, origin) in given.iter().enumerate() {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
        let ok = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        if !ok || rest.contains(['/', '*', '@', '?', '#', ',', '"']) {
            let reason =
                "must be scheme, host and port in small letters without a path, for example https://app.example.com";
            return Err(Error::invalid(format!("cors_origins[{at}]"), reason));
        }
    }
    if given.len() > CORS_ORIGINS_MAX {
        return Err(Error::invalid("cors_origins", format!("are {}; at most {CORS_ORIGINS_MAX}", given.len())));
    }
    Ok(given)
}

fn durability(given: Option<&str>) -> Result<Durability> {
    let unknown = || {
        let reason = "must be \"always\" (answered once on the disk), \"interval:50\" (synced within 50 ms, 1 to 60000) or \"os\"";
        Error::invalid("durability", reason)
    };
    given.map_or(Ok(Durability::Always), |text| Durability::parse(text).ok_or_else(unknown))
}

fn log_format(given: Option<&str>) -> Result<LogFormat> {
    match given {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err(Error::invalid("log_format", "must be \"text\" or \"json\"")),
    }
}

fn matrix_hosts(raw: Option<Vec<String>>) -> Result<Vec<(String, TenantName)>> {
    let wrong = || {
        let reason = format!("must list `host=tenant`, at most {MATRIX_HOSTS_MAX} of them, hosts without a port");
        Error::invalid("matrix_hosts", reason)
    };
    let raw = raw.unwrap_or_default();
    if raw.len() > MATRIX_HOSTS_MAX {
        return Err(wrong());
    }
    let one = |text: &String| {
        let (host, tenant) = text.split_once('=')?;
        let host = host.trim();
        let fits = !host.is_empty() && !host.contains([':', '/', ' ']);
        fits.then(|| Some((host.to_owned(), TenantName::parse(tenant.trim())?)))?
    };
    raw.iter().map(|text| one(text).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_file(text: &str) -> Result<ServerConfig> {
        ServerConfig::load(Some(text), |_| None, RawConfig::default())
    }

    #[test]
    fn defaults_are_within_their_bounds() {
        let config = ServerConfig::default();
        assert_eq!(config, from_file("").unwrap());
        assert_eq!(config.listen.to_string(), "127.0.0.1:7878");
        assert_eq!((config.connections_max, config.batch_max, config.body_bytes_max), (1024, 1000, 16 << 20));
        assert!(config.check_exposure(false).is_ok());
    }

    #[test]
    fn the_command_line_wins_over_the_environment_over_the_file() {
        let env = |name: &str| match name {
            "SELFSAME_BATCH_MAX" | "SELFSAME_PAGE_MAX" => Some("20".to_owned()),
            _ => None,
        };
        let line = RawConfig { batch_max: Some(30), ..RawConfig::default() };
        let config = ServerConfig::load(Some("batch_max = 10\npage_max = 10\nqueue_max = 10"), env, line).unwrap();
        assert_eq!((config.batch_max, config.page_max, config.queue_max), (30, 20, 10));
    }

    #[test]
    fn refuses_by_example() {
        for (text, key) in [
            ("listen = 'localhost'", "listen"),
            ("connections_max = 0", "connections_max"),
            ("connections_max = 9999999", "connections_max"),
            ("workers_max = 0", "workers_max"),
            ("header_timeout_seconds = 0", "header_timeout_seconds"),
            ("api_keys = ['short']", "api_keys[0]"),
            ("encryption = 'no'", "encryption"),
            ("require_keys = 'yes'", "require_keys"),
            ("auth_failures_max = 60001", "auth_failures_max"),
            ("tls_cert = 'c.pem'", "tls_key"),
            ("tls_client_ca = 'ca.pem'", "tls_cert"),
            ("cors_origins = ['*']", "cors_origins[0]"),
            ("cors_origins = ['https://a.example', 'https://a.example/x']", "cors_origins[1]"),
            ("access_keys = [{id = 'A'}]", "access_keys[0].id"),
            ("access_keys = [{id = 'a'}]", "access_keys[0].hash"),
            ("access_keys = [{id = 'a', key = 'short', roles = ['reader'], tenants = ['*']}]", "access_keys[0].key"),
            (
                "access_keys = [{id = 'a', key = '0123456789abcdef', roles = ['root'], tenants = ['*']}]",
                "access_keys[0].roles[0]",
            ),
            (
                "access_keys = [{id = 'a', key = '0123456789abcdef', roles = ['reader'], tenants = []}]",
                "access_keys[0].tenants",
            ),
            ("access_keys = [{id = 'a', colour = 'red'}]", "access_keys"),
            ("key_command = ' '", "key_command"),
            ("key_command = 'vault read key'\nkey_file = 'k'", "key_command"),
            ("key_command_timeout_seconds = 0", "key_command_timeout_seconds"),
            ("durability = 'never'", "durability"),
            ("durability = 'interval:0'", "durability"),
            ("journal_keep_days = 0", "journal_keep_days"),
            ("disk_free_min_bytes = 99999999999999", "disk_free_min_bytes"),
            ("log_format = 'xml'", "log_format"),
            ("data_dir = ''", "data_dir"),
            ("webhooks_allow_private = 'yes'", "webhooks_allow_private"),
            ("audit_reads = 1", "audit_reads"),
            ("matrix_hosts = ['id.example.com']", "matrix_hosts"),
            ("matrix_hosts = ['id.example.com=No Tenant']", "matrix_hosts"),
            ("matrix_hosts = ['=acme']", "matrix_hosts"),
            ("webhooks_attempts_max = 0", "webhooks_attempts_max"),
            ("webhooks_timeout_seconds = 61", "webhooks_timeout_seconds"),
        ] {
            match from_file(text) {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, key, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn keys_have_roles_tenants_and_an_end() {
        let hash = blake3::hash(b"a key that is known by its hash").to_hex();
        let text = format!(
            "api_keys = ['0123456789abcdef']\n[[access_keys]]\nid = 'crm'\nhash = '{hash}'\nroles = ['writer', 'discovery:lookup']\n\
             tenants = ['crm-*']\nprincipal = 'app'\nexpires_at = 2027-01-27T10:00:00Z\nrequests_per_second = 50\n"
        );
        let keys = from_file(&text).unwrap().access_keys;
        let [plain, crm] = keys.as_slice() else { panic!("{keys:?}") };
        assert!(plain.tenants[0].is_all() && plain.roles == [crate::model::access::Role::Admin]);
        assert_eq!((crm.id.as_str(), crm.principal.as_deref(), crm.roles.len()), ("crm", Some("app"), 2));
        assert_eq!(crm.expires_at, Some(crate::model::ids::Millis(1_801_044_000_000)));
        assert_eq!(crm.rate.map(|rate| (rate.per_second, rate.burst)), Some((50, 50)));
        assert_eq!(crm.hash, crate::model::access::ApiKey::hash_of(b"a key that is known by its hash"));
        let variable = "[{id = 'a', key = 'in-a-variable-123456', roles = ['reader'], tenants = ['main']}]";
        let env = |name: &str| (name == "SELFSAME_ACCESS_KEYS").then(|| variable.to_owned());
        let keys = ServerConfig::load(None, env, RawConfig::default()).unwrap();
        assert_eq!(keys.access_keys[0].id, "a");
        assert!(!format!("{keys:?}").contains("in-a-variable"));
        let twice = format!(
            "access_keys = [{{id='a', hash='{hash}', roles=['reader'], tenants=['*']}}, {{id='a', hash='{hash}', roles=['reader'], tenants=['*']}}]"
        );
        assert!(from_file(&twice).unwrap_err().to_string().starts_with("access_keys[1].id: "));
    }

    #[test]
    fn keys_open_the_outside_and_are_not_shown() {
        let open = from_file("listen = '0.0.0.0:80'").unwrap();
        assert!(open.check_exposure(false).is_err() && open.check_exposure(true).is_ok());
        assert!(from_file("listen = '0.0.0.0:80'\nrequire_keys = true").unwrap().check_exposure(false).is_ok());
        let keyed = from_file("listen = '0.0.0.0:80'\napi_keys = ['0123456789abcdef', '0123456789abcdef']").unwrap();
        assert!(keyed.check_exposure(false).is_ok());
        assert_eq!(keyed.api_keys.len(), 1);
        assert_eq!(keyed.api_keys[0].expose(), "0123456789abcdef");
        assert!(!format!("{keyed:?}").contains("0123456789abcdef"));
    }

    proptest! {
        #[test]
        fn any_number_is_taken_or_refused_by_name(value: u64) {
            let raw = RawConfig { segment_bytes_max: Some(value), streams_max: Some(value), ..RawConfig::default() };
            match ServerConfig::check(raw) {
                Ok(config) => prop_assert_eq!(config.segment_bytes_max, value),
                Err(error) => prop_assert!(error.to_string().contains("_max: is ")),
            }
        }
    }
}
