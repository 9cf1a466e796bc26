//! What the user wrote: every value may be missing, none is checked beyond its type.
//!
//! The same names serve everywhere: `connections_max` in the file is `SELFSAME_CONNECTIONS_MAX` in the
//! environment. Messages name the key and the remedy and never repeat a value, which could be a secret.

use std::path::PathBuf;

use super::keys::RawKey;
use crate::error::{Error, Result};

/// What kind of text or number a key takes.
trait Value: Sized {
    /// For messages: "must be ...".
    const KIND: &'static str;
    /// From the file; `None` if it is of another type.
    fn from_toml(value: toml::Value) -> Option<Self>;
    /// From a variable; `None` if it cannot be read.
    fn from_text(text: &str) -> Option<Self>;
}

impl Value for u64 {
    const KIND: &'static str = "a whole number, 0 or more";
    fn from_toml(value: toml::Value) -> Option<Self> {
        value.as_integer().and_then(|number| number.try_into().ok())
    }
    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
}

impl Value for String {
    const KIND: &'static str = "a text";
    fn from_toml(value: toml::Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.trim().to_owned())
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";
    fn from_toml(value: toml::Value) -> Option<Self> {
        value.as_bool()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";
    fn from_toml(value: toml::Value) -> Option<Self> {
        value.as_str().map(PathBuf::from)
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(PathBuf::from(text))
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "a list of texts (in a variable: separated by commas)";
    fn from_toml(value: toml::Value) -> Option<Self> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
    }
}

impl Value for Vec<RawKey> {
    const KIND: &'static str = "a list of tables with id, hash or key, roles, tenants, and optionally create_tenants, label, \
        principal, expires_at, requests_per_second, burst (in a variable: as TOML, [{id = \"...\", ...}])";
    fn from_toml(value: toml::Value) -> Option<Self> {
        let toml::Value::Array(items) = value else { return None };
        items.into_iter().map(RawKey::from_toml).collect()
    }
    fn from_text(text: &str) -> Option<Self> {
        let mut table = format!("keys = {text}").parse::<toml::Table>().ok()?;
        Self::from_toml(table.remove("keys")?)
    }
}

macro_rules! raw_config {
    ($($(#[$doc:meta])* $key:ident: $type:ty = $variable:literal,)*) => {
        /// Values as written. Not `Debug`, since some are secret.
        #[derive(Clone, Default, PartialEq, Eq)]
        pub struct RawConfig {
            $($(#[$doc])* pub $key: Option<$type>,)*
        }

        impl RawConfig {
            /// Every key with its environment variable.
            pub const KEYS: &'static [(&'static str, &'static str)] = &[$((stringify!($key), $variable),)*];

            /// Reads a TOML file's text.
            ///
            /// # Errors
            /// `Invalid` names the key that is unknown or of the wrong type, or the line that is no TOML.
            pub fn from_toml(text: &str) -> Result<Self> {
                let mut table = parse_toml(text)?;
                let raw = Self {
                    $($key: table.remove(stringify!($key)).map(|value| {
                        <$type as Value>::from_toml(value).ok_or_else(|| wrong::<$type>(stringify!($key)))
                    }).transpose()?,)*
                };
                match table.keys().next() {
                    None => Ok(raw),
                    Some(unknown) => Err(Error::invalid(unknown.as_str(), unknown_key())),
                }
            }

            /// Reads the environment through `variable`, which gives a variable's value.
            ///
            /// # Errors
            /// `Invalid` names the variable.
            pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
                Ok(Self {
                    $($key: variable($variable).map(|text| {
                        <$type as Value>::from_text(&text).ok_or_else(|| wrong::<$type>($variable))
                    }).transpose()?,)*
                })
            }

            /// These values, and where one is missing the other's.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($key: self.$key.or(other.$key),)* }
            }
        }
    };
}

raw_config! {
    /// Where the journal and snapshots are.
    data_dir: PathBuf = "SELFSAME_DATA_DIR",
    /// Address and port to listen on.
    listen: String = "SELFSAME_LISTEN",
    /// File with the master key.
    key_file: PathBuf = "SELFSAME_KEY_FILE",
    /// Command that prints the master key.
    key_command: String = "SELFSAME_KEY_COMMAND",
    /// Seconds for that command.
    key_command_timeout_seconds: u64 = "SELFSAME_KEY_COMMAND_TIMEOUT_SECONDS",
    /// Whether what is written is sealed.
    encryption: bool = "SELFSAME_ENCRYPTION",
    /// API keys in plain text.
    api_keys: Vec<String> = "SELFSAME_KEYS",
    /// API keys with roles and tenants.
    access_keys: Vec<RawKey> = "SELFSAME_ACCESS_KEYS",
    /// Nothing is served without a key, also while there is none.
    require_keys: bool = "SELFSAME_REQUIRE_KEYS",
    /// Failed attempts of one address at once at most; 0: any.
    auth_failures_max: u64 = "SELFSAME_AUTH_FAILURES_MAX",
    /// File with the server's certificate chain (PEM).
    tls_cert: PathBuf = "SELFSAME_TLS_CERT",
    /// File with its private key (PEM).
    tls_key: PathBuf = "SELFSAME_TLS_KEY",
    /// File with certificates (PEM) that clients' certificates must be signed by.
    tls_client_ca: PathBuf = "SELFSAME_TLS_CLIENT_CA",
    /// Origins whose web pages may use the API.
    cors_origins: Vec<String> = "SELFSAME_CORS_ORIGINS",
    /// When a write is acknowledged.
    durability: String = "SELFSAME_DURABILITY",
    /// `text` or `json`.
    log_format: String = "SELFSAME_LOG_FORMAT",
    /// Open connections at most.
    connections_max: u64 = "SELFSAME_CONNECTIONS_MAX",
    /// Requests under way on one HTTP/2 connection at most.
    streams_max: u64 = "SELFSAME_STREAMS_MAX",
    /// Bytes of a request's head at most.
    header_bytes_max: u64 = "SELFSAME_HEADER_BYTES_MAX",
    /// Bytes of a body at most, except of streams.
    body_bytes_max: u64 = "SELFSAME_BODY_BYTES_MAX",
    /// Bytes of one record at most.
    record_bytes_max: u64 = "SELFSAME_RECORD_BYTES_MAX",
    /// Items of one batch call at most.
    batch_max: u64 = "SELFSAME_BATCH_MAX",
    /// Items of one page at most.
    page_max: u64 = "SELFSAME_PAGE_MAX",
    /// Writes of one tenant waiting at most.
    queue_max: u64 = "SELFSAME_QUEUE_MAX",
    /// Batches waiting for the text index at most.
    text_queue_max: u64 = "SELFSAME_TEXT_QUEUE_MAX",
    /// Imports running at most.
    imports_max: u64 = "SELFSAME_IMPORTS_MAX",
    /// Tenants at most.
    tenants_max: u64 = "SELFSAME_TENANTS_MAX",
    /// Seconds between two looks for tenants that nobody asks for, which are parked then; 0: none is.
    park_after_seconds: u64 = "SELFSAME_PARK_AFTER_SECONDS",
    /// Records that a parked tenant has at most.
    park_records_max: u64 = "SELFSAME_PARK_RECORDS_MAX",
    /// Threads that compute at most.
    workers_max: u64 = "SELFSAME_WORKERS_MAX",
    /// Bytes of one journal segment at most.
    segment_bytes_max: u64 = "SELFSAME_SEGMENT_BYTES_MAX",
    /// Bytes journaled from which a snapshot is written in the background; 0: none is.
    snapshot_journal_bytes: u64 = "SELFSAME_SNAPSHOT_JOURNAL_BYTES",
    /// Days that the journal's segments stay once snapshots stand for them; missing: for ever.
    journal_keep_days: u64 = "SELFSAME_JOURNAL_KEEP_DAYS",
    /// Where segments go after that; missing: they are removed.
    journal_archive_dir: PathBuf = "SELFSAME_JOURNAL_ARCHIVE_DIR",
    /// Bytes that must be free on the disk of the data directory for writes to be taken; 0: any.
    disk_free_min_bytes: u64 = "SELFSAME_DISK_FREE_MIN_BYTES",
    /// Bytes of memory from which nothing is added; 0: any.
    memory_max_bytes: u64 = "SELFSAME_MEMORY_MAX_BYTES",
    /// Live records of one tenant at most; 0: any.
    tenant_records_max: u64 = "SELFSAME_TENANT_RECORDS_MAX",
    /// Estimated bytes of one tenant in memory at most; 0: any.
    tenant_bytes_max: u64 = "SELFSAME_TENANT_BYTES_MAX",
    /// Seconds for a request's head.
    header_timeout_seconds: u64 = "SELFSAME_HEADER_TIMEOUT_SECONDS",
    /// Seconds without a byte of the body.
    body_timeout_seconds: u64 = "SELFSAME_BODY_TIMEOUT_SECONDS",
    /// Seconds for a whole request.
    request_timeout_seconds: u64 = "SELFSAME_REQUEST_TIMEOUT_SECONDS",
    /// Seconds without a request on an open connection.
    idle_timeout_seconds: u64 = "SELFSAME_IDLE_TIMEOUT_SECONDS",
    /// Seconds for requests under way when the server stops.
    shutdown_drain_seconds: u64 = "SELFSAME_SHUTDOWN_DRAIN_SECONDS",
    /// Webhooks may go to any address, and over plain HTTP.
    webhooks_allow_private: bool = "SELFSAME_WEBHOOKS_ALLOW_PRIVATE",
    /// Who looked at a single contact goes into the audit trail.
    audit_reads: bool = "SELFSAME_AUDIT_READS",
    /// Tenants that Matrix clients reach by name: `host=tenant`.
    matrix_hosts: Vec<String> = "SELFSAME_MATRIX_HOSTS",
    /// File with certificates (PEM) that webhooks' receivers may be signed by, beside the public ones.
    webhooks_ca_file: PathBuf = "SELFSAME_WEBHOOKS_CA_FILE",
    /// Attempts of one delivery at most.
    webhooks_attempts_max: u64 = "SELFSAME_WEBHOOKS_ATTEMPTS_MAX",
    /// Milliseconds before the second attempt.
    webhooks_retry_ms: u64 = "SELFSAME_WEBHOOKS_RETRY_MS",
    /// Seconds for one attempt.
    webhooks_timeout_seconds: u64 = "SELFSAME_WEBHOOKS_TIMEOUT_SECONDS",
    /// Attempts under way at most.
    webhooks_concurrency_max: u64 = "SELFSAME_WEBHOOKS_CONCURRENCY_MAX",
    /// Address and port of the name server that is asked whether domains of emails take mail; missing: nobody is asked.
    mx_resolver: String = "SELFSAME_MX_RESOLVER",
    /// URL of the validator that emails and phones are sent to; missing: nobody is asked.
    validator_url: String = "SELFSAME_VALIDATOR_URL",
    /// Headers of its requests, `Name=VARIABLE`: the value is the environment variable's.
    validator_headers: Vec<String> = "SELFSAME_VALIDATOR_HEADERS",
    /// Body of its requests, with `{{value}}` and `{{kind}}`.
    validator_body: String = "SELFSAME_VALIDATOR_BODY",
    /// JSON pointer to the verdict in its answers.
    validator_verdict: String = "SELFSAME_VALIDATOR_VERDICT",
    /// Verdicts that mean good.
    validator_good: Vec<String> = "SELFSAME_VALIDATOR_GOOD",
    /// Verdicts that mean bad.
    validator_bad: Vec<String> = "SELFSAME_VALIDATOR_BAD",
    /// What is sent to it: `email`, `phone`.
    validator_kinds: Vec<String> = "SELFSAME_VALIDATOR_KINDS",
    /// Days after which an identifier is asked about again.
    checks_keep_days: u64 = "SELFSAME_CHECKS_KEEP_DAYS",
    /// Questions about identifiers a second at most.
    checks_per_second_max: u64 = "SELFSAME_CHECKS_PER_SECOND_MAX",
    /// Milliseconds before a question that nobody could answer is asked again.
    checks_retry_ms: u64 = "SELFSAME_CHECKS_RETRY_MS",
}

fn parse_toml(text: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        Error::invalid(format!("configuration file, line {line}"), "is not TOML; write `key = value`, texts in quotes")
    })
}

fn wrong<V: Value>(key: &str) -> Error {
    Error::invalid(key, format!("must be {}", V::KIND))
}

fn unknown_key() -> String {
    let known: Vec<_> = RawConfig::KEYS.iter().map(|(key, _)| *key).collect();
    format!("is no key of the configuration; the keys are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        RawConfig::from_toml(text).err().unwrap().to_string()
    }

    #[test]
    fn names_what_is_wrong_and_repeats_no_value() {
        assert!(refusal("connection_max = 5").starts_with("connection_max: is no key"));
        assert_eq!(refusal("batch_max = 'x'"), "batch_max: must be a whole number, 0 or more");
        assert_eq!(refusal("batch_max = -1"), "batch_max: must be a whole number, 0 or more");
        for text in ["api_keys = 'hunter2'", "\napi_keys = [hunter2]", "api_keys = [['hunter2']]"] {
            assert!(!refusal(text).contains("hunter2"), "{text}");
        }
        assert!(refusal("a = 1\nb = = hunter2").contains("line 2"));
    }

    #[test]
    fn the_environment_is_read_by_the_same_names() {
        let env = |name: &str| match name {
            "SELFSAME_KEYS" => Some("one, two,".to_owned()),
            "SELFSAME_BATCH_MAX" => Some(" 7 ".to_owned()),
            _ => None,
        };
        let raw = RawConfig::from_env(env).unwrap();
        assert_eq!((raw.api_keys.unwrap(), raw.batch_max), (vec!["one".to_owned(), "two".to_owned()], Some(7)));
        let refused = RawConfig::from_env(|name| (name == "SELFSAME_BATCH_MAX").then(|| "many".into()));
        assert!(refused.err().unwrap().to_string().starts_with("SELFSAME_BATCH_MAX: "));
        for (key, variable) in RawConfig::KEYS.iter().filter(|(key, _)| *key != "api_keys") {
            assert_eq!(*variable, format!("SELFSAME_{}", key.to_uppercase()));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[a-z_]{0,9} ?= ?[\\[\\]\"'0-9a-z\\n=#]{0,20}") {
            let _ = RawConfig::from_toml(&text);
        }
    }
}
