//! What can be typed. The names are promises of the public contract: extend, never rename.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::matching::without::Part;

/// Probability from which the offline commands join records, where nobody says otherwise.
pub(super) const THRESHOLD_DEFAULT: f64 = 0.67;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "selfsame", version, about = "Who is this contact, is it somebody we know, and why.")]
#[command(long_about = "An entity-resolution search index server for contacts.\n\n\
    Try it: `selfsame serve --demo`. Without a server: `selfsame dedupe contacts.csv`.")]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or input.")]
pub(super) struct Arguments {
    /// Print results as JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The command.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the server.
    Serve(Serve),
    /// Stream a file of contacts into a server.
    Import(Import),
    /// Find the same people in one file, without a server.
    Dedupe(Dedupe),
    /// Find pairs of the same people between two files, without a server.
    Link(Link),
    /// Ask a server: who is this contact?
    Match(Box<Ask>),
    /// Look up who of an address book is in a directory, without showing the address book to the server.
    Discover(Discover),
    /// Make a running server learn from a tenant's own records.
    Train(Train),
    /// Measure a result against the truth.
    Evaluate(Evaluate),
    /// Look at a data directory's journal.
    #[command(subcommand)]
    Journal(Journal),
    /// Make a running server write a snapshot.
    Snapshot(Server),
    /// Make a running server change the keys that its data is sealed under.
    RotateKey(RotateKey),
    /// Copy a data directory into a folder, or bring the copy up to date. A server may have it open.
    Backup(Backup),
    /// Make a data directory out of a backup, as of its end or of an earlier moment.
    Restore(Restore),
    /// Print figures of a tenant.
    Stats(Server),
    /// See who may use a running server, let others in, change secrets, shut somebody out.
    #[command(subcommand)]
    Keys(Keys),
    /// Measure how long a running server takes to answer, under a steady load.
    Bench(Bench),
    /// Print the OpenAPI document of this build.
    Openapi,
}

/// Which server, with which key, for which tenant.
#[derive(Clone, Debug, Args)]
pub(super) struct Server {
    /// The server's address.
    #[arg(long, env = "SELFSAME_URL", default_value = "http://127.0.0.1:7878")]
    pub(super) url: String,
    /// The API key. Leave out for a server without keys.
    #[arg(long, env = "SELFSAME_KEY", hide_env_values = true)]
    pub(super) key: Option<String>,
    /// Certificates (PEM) that an https server's may be signed by, beside the public ones.
    #[arg(long, env = "SELFSAME_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The tenant.
    #[arg(long, default_value = "main")]
    pub(super) tenant: String,
}

/// `discover`
#[derive(Debug, Args)]
pub(super) struct Discover {
    /// Phone numbers and email addresses, or files with one on each line.
    #[arg(required = true)]
    pub(super) contacts: Vec<String>,
    /// Region of phone numbers without a country code, for example GB.
    #[arg(long, default_value = "US")]
    pub(super) default_region: String,
    /// The directory's public key, as base64url. Without it a server could use a key for you alone and tell your look-ups apart.
    #[arg(long, allow_hyphen_values = true)] // one key in 64 begins with a hyphen
    pub(super) public_key: Option<String>,
    /// How to compare: `filter` downloads the directory's filter, `buckets` fetches some tags. Default: filter up to 2,000,000.
    #[arg(long, value_parser = ["filter", "buckets"])]
    pub(super) by: Option<String>,
    /// Ask for no proof: half the work for the server, and no way to notice another key.
    #[arg(long, conflicts_with = "public_key")]
    pub(super) no_proof: bool,
    /// Only say who is in the directory, and do not ask which contact that is.
    #[arg(long)]
    pub(super) no_reveal: bool,
    /// The user of the directory on whose behalf it is asked.
    #[arg(long)]
    pub(super) asker: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `serve`
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where the data lives. Default ./selfsame-data; made if missing.
    #[arg(long, conflicts_with = "demo")]
    pub(super) data_dir: Option<PathBuf>,
    /// Address and port to listen on. Default 127.0.0.1:7878.
    #[arg(long)]
    pub(super) listen: Option<SocketAddr>,
    /// The file with the server's secret. Default: beside the data directory.
    #[arg(long)]
    pub(super) key_file: Option<PathBuf>,
    /// A TOML file of settings; the flags above win.
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
    /// Serve nobody without an API key. Where no admin's key is there, one is made and shown once.
    #[arg(long, conflicts_with = "demo")]
    pub(super) require_keys: bool,
    /// The certificate chain for TLS (PEM); read again when it changes.
    #[arg(long, requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Certificates (PEM) that clients' certificates must be signed by.
    #[arg(long, requires = "tls_cert")]
    pub(super) tls_client_ca: Option<PathBuf>,
    /// Try it out: sample contacts in a temporary directory on a free port, with calls to try.
    #[arg(long)]
    pub(super) demo: bool,
}

/// `keys`
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show all keys, without their secrets.
    List(Server),
    /// Make a key and show it, this once.
    Create(KeysCreate),
    /// Give a key a new secret and show it, this once.
    Rotate(KeysRotate),
    /// Let a key open nothing any more.
    Revoke(KeysRevoke),
}

/// `keys create`
#[derive(Debug, Args)]
pub(super) struct KeysCreate {
    /// reader, writer, steward, discovery, admin, discovery:lookup, discovery:matrix, discovery:oprf or discovery:reveal; may be
    /// given more than once.
    #[arg(long, required = true)]
    pub(super) role: Vec<String>,
    /// Tenants it is for: a name, a beginning and * ('crm-*'), or '*' for all; may be given more than once.
    #[arg(long, required = true)]
    pub(super) on: Vec<String>,
    /// Its first write to a tenant that does not exist makes it.
    #[arg(long)]
    pub(super) create_tenants: bool,
    /// What to call it.
    #[arg(long)]
    pub(super) label: Option<String>,
    /// Who pays for quotas. Default: the key by itself.
    #[arg(long)]
    pub(super) principal: Option<String>,
    /// Requests a second. Default: any.
    #[arg(long)]
    pub(super) requests_per_second: Option<u32>,
    /// Requests at once. Default: as many as a second.
    #[arg(long, requires = "requests_per_second")]
    pub(super) burst: Option<u32>,
    /// From when on it opens nothing, for example 2027-01-27T10:00:00Z. Default: never.
    #[arg(long)]
    pub(super) expires_at: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `keys rotate`
#[derive(Debug, Args)]
pub(super) struct KeysRotate {
    /// The key's id.
    pub(super) id: String,
    /// Hours that the old secret goes on opening; 0: it ends at once.
    #[arg(long, default_value_t = 24)]
    pub(super) overlap_hours: u32,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `keys revoke`
#[derive(Debug, Args)]
pub(super) struct KeysRevoke {
    /// The key's id.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `import`
#[derive(Debug, Args)]
pub(super) struct Import {
    /// CSV, vCard or NDJSON; told by content and extension. `-` is standard input.
    pub(super) file: PathBuf,
    /// What the records' `source` is, where the file does not say. Default: the server's choice.
    #[arg(long)]
    pub(super) source: Option<String>,
    /// Decide everything, write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Region of phone numbers without a country code, for example GB. Default: the tenant's.
    #[arg(long)]
    pub(super) default_region: Option<String>,
    /// Column names to read as others: old=new,...
    #[arg(long)]
    pub(super) map: Option<String>,
    /// What the rows are: people, or businesses (CSV or NDJSON).
    #[arg(long, default_value = "contacts", value_parser = ["contacts", "accounts"])]
    pub(super) entity: String,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `dedupe`
#[derive(Debug, Args)]
pub(super) struct Dedupe {
    /// The CSV file; `FILE#column=value` takes only the records whose column says so.
    pub(super) file: String,
    /// Where the clusters go: the input's columns after cluster_id,record_index,confidence. `-` is standard output.
    #[arg(short, long, default_value = "clusters.csv")]
    pub(super) output: PathBuf,
    /// Also write every pair that was compared and reached the review threshold.
    #[arg(long)]
    pub(super) pairs: Option<PathBuf>,
    /// Also write a page to look at: HTML, self-contained.
    #[arg(long)]
    pub(super) report: Option<PathBuf>,
    #[command(flatten)]
    pub(super) offline: Offline,
}

/// `link`
#[derive(Debug, Args)]
pub(super) struct Link {
    /// The left CSV file; `FILE#column=value` takes only the records whose column says so.
    pub(super) left: String,
    /// The right CSV file, spelled the same way.
    pub(super) right: String,
    /// Where the pairs go: left_index,right_index,probability, then the ids if the files have them. `-` is standard output.
    #[arg(short, long, default_value = "pairs.csv")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) offline: Offline,
}

/// What `dedupe`, `link` and `evaluate` share.
#[derive(Clone, Debug, Args)]
pub(super) struct Offline {
    /// Column names to read as others: old=new,... An empty new name ignores the column.
    #[arg(long)]
    pub(super) map: Option<String>,
    /// Probability from which records are joined, above 0 and below 1.
    #[arg(long, default_value_t = THRESHOLD_DEFAULT, value_parser = probability)]
    pub(super) threshold: f64,
    /// `trained` learns weights, prior and name frequencies from the file; `default` takes the shipped ones.
    #[arg(long, default_value = "trained", value_parser = ["trained", "default"])]
    pub(super) model: String,
    /// Leave these parts of matching out, to see what they bring: nicknames, phonetics, frequencies, vetoes,
    /// generic, calibration.
    #[arg(long, value_delimiter = ',', value_parser = part)]
    pub(super) without: Vec<Part>,
    /// Region of phone numbers without a country code.
    #[arg(long, default_value = "US")]
    pub(super) default_region: String,
}

/// `match`
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The whole name, for example 'John Smith'.
    pub(super) name: Option<String>,
    /// A phone number; may be given more than once.
    #[arg(long)]
    pub(super) phone: Vec<String>,
    /// An email address; may be given more than once.
    #[arg(long)]
    pub(super) email: Vec<String>,
    /// The organisation.
    #[arg(long)]
    pub(super) organization: Option<String>,
    /// The job title.
    #[arg(long)]
    pub(super) job_title: Option<String>,
    /// The birthday, for example 1980-02-03.
    #[arg(long)]
    pub(super) birthday: Option<String>,
    /// The city.
    #[arg(long)]
    pub(super) city: Option<String>,
    /// The postal code.
    #[arg(long)]
    pub(super) postal_code: Option<String>,
    /// The country.
    #[arg(long)]
    pub(super) country: Option<String>,
    /// Show what speaks for and against each answer.
    #[arg(long)]
    pub(super) explain: bool,
    /// At most this many answers.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) limit: u32,
    /// Leave out answers below this probability.
    #[arg(long, default_value_t = 0.5)]
    pub(super) threshold: f64,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `train`
#[derive(Debug, Args)]
pub(super) struct Train {
    /// Show what activating the model would do to the contacts.
    #[arg(long)]
    pub(super) preview: bool,
    /// Let the model decide from now on: all contacts are resolved anew under it.
    #[arg(long)]
    pub(super) activate: bool,
    /// Train nothing, take this model: an id, or `default` for the shipped one.
    #[arg(long)]
    pub(super) model: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `evaluate`
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// The CSV file of records.
    pub(super) records: PathBuf,
    /// A CSV file with the columns id,entity_id, or the name of a column of RECORDS.
    #[arg(long)]
    pub(super) truth: String,
    /// Measure these clusters (what `dedupe` wrote). Without any result file, `dedupe` runs first.
    #[arg(long, group = "result")]
    pub(super) clusters: Option<PathBuf>,
    /// Measure these pairs (what `link` wrote).
    #[arg(long, group = "result")]
    pub(super) pairs: Option<PathBuf>,
    /// Measure a server's export (NDJSON).
    #[arg(long, group = "result")]
    pub(super) export: Option<PathBuf>,
    /// Also write a page to look at: HTML with plots, self-contained.
    #[arg(long)]
    pub(super) report: Option<PathBuf>,
    /// How many of the worst errors of each sort are shown, with their explanations.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(super) errors: u32,
    /// The column whose marks (`nickname+typo`) recall is split by. Default: `tags`, else `ops`, where there is one.
    #[arg(long)]
    pub(super) marks: Option<String>,
    #[command(flatten)]
    pub(super) offline: Offline,
}

/// `bench`
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Contacts to ask for: CSV, vCard or NDJSON. Default: people made from the shipped name tables.
    #[arg(long)]
    pub(super) file: Option<PathBuf>,
    /// Requests a second, sent at their times whether earlier ones are answered or not. `max`: every connection asks
    /// again as soon as it has its answer.
    #[arg(long, default_value = "200", value_parser = rate)]
    pub(super) rate: Rate,
    /// Seconds of each half of a round, up to 3600.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(super) seconds: f64,
    /// Rounds; each is the load on /healthz, then the load.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
    /// Part of the requests that are upserts, 0 to 1. They write records of source `bench` into the tenant.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(super) write_share: f64,
    /// Connections.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) connections: u32,
    /// Records of each upsert, up to 1000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) batch: u32,
    /// Matches a second on connections of their own, first without the load and then beside it.
    #[arg(long, value_parser = probe)]
    pub(super) probe: Option<f64>,
    /// Made-up people that are put into the tenant before anything is measured, in batches. The load is then about
    /// them and as many others; a second run with the same number and seed finds them there.
    #[arg(long, default_value_t = 0, conflicts_with = "file", value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    pub(super) preload: u64,
    /// Which people are made up where there is no file.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) server: Server,
}

/// How often `bench` asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// As often as answers come.
    Max,
    /// This many times a second, above 0.
    PerSecond(f64),
}

/// `journal`
#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// Read everything, say whether it is whole, change nothing.
    Check(JournalDir),
    /// Print what is in it, one JSON line a frame.
    Dump(JournalDump),
}

/// Which data directory.
#[derive(Debug, Args)]
pub(super) struct JournalDir {
    /// Where the data lives.
    #[arg(long, default_value = "./selfsame-data")]
    pub(super) data_dir: PathBuf,
}

/// `journal dump`
#[derive(Debug, Args)]
pub(super) struct JournalDump {
    #[command(flatten)]
    pub(super) dir: JournalDir,
    /// Only frames after this seq.
    #[arg(long, default_value_t = 0)]
    pub(super) after: u64,
    /// The key file that opens what is sealed. Default: beside the data directory, if it is there.
    #[arg(long)]
    pub(super) key_file: Option<PathBuf>,
    /// Show the records' values too. They are personal data.
    #[arg(long)]
    pub(super) values: bool,
}

/// `rotate-key`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct RotateKey {
    /// Put all keys under the master key of this file, which is made if there is none. Start the server with it from then on.
    #[arg(long, group = "what")]
    pub(super) new_key_file: Option<PathBuf>,
    /// Put all keys under the master key that the server's key_command prints now.
    #[arg(long, group = "what")]
    pub(super) from_command: bool,
    /// Give the tenant a new data key, for what is written from now on.
    #[arg(long, group = "what")]
    pub(super) data_key: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `backup`
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where the copy goes: a new or empty folder outside of the data directory, or the one of an earlier backup of it,
    /// into which only what is new is written.
    pub(super) dir: PathBuf,
    /// Where the data lives.
    #[arg(long, default_value = "./selfsame-data")]
    pub(super) data_dir: PathBuf,
    #[command(flatten)]
    pub(super) server: Server,
}

/// `restore`
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The folder of the backup.
    pub(super) dir: PathBuf,
    /// The data directory to make; new or empty.
    #[arg(long, default_value = "./selfsame-data")]
    pub(super) data_dir: PathBuf,
    /// As of this moment: a seq of the journal, which counts over all tenants, or a time such as 2026-01-27T10:00:00Z.
    #[arg(long, value_name = "SEQ|TIME")]
    pub(super) until: Option<String>,
}

/// A part of matching by its name.
fn part(text: &str) -> Result<Part, String> {
    let found = Part::ALL.iter().find(|(name, _)| *name == text).map(|(_, part)| *part);
    found.ok_or_else(|| format!("must be of {}", Part::ALL.map(|(name, _)| name).join(", ")))
}

/// A probability above 0 and below 1.
fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p < 1.0 => Ok(p),
        _ => Err("must be above 0 and below 1, for example 0.67".into()),
    }
}

/// `max`, or requests a second.
fn rate(text: &str) -> Result<Rate, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Rate::Max),
        Ok(rate) if (0.1..=1e6).contains(&rate) => Ok(Rate::PerSecond(rate)),
        _ => Err("must be 0.1 to 1000000 requests a second, or max".into()),
    }
}

/// Matches a second beside a load.
fn probe(text: &str) -> Result<f64, String> {
    match rate(text) {
        Ok(Rate::PerSecond(rate)) => Ok(rate),
        _ => Err("must be 0.1 to 1000000 matches a second".into()),
    }
}

/// A length of time for a load.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be 0.01 to 3600 seconds".into()),
    }
}

/// A part of a whole, 0 and 1 included.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be 0 to 1, for example 0.1".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    /// It failed now and then: base64url has the hyphen.
    #[test]
    fn a_public_key_may_begin_with_a_hyphen() {
        let line =
            ["selfsame", "discover", "+12125550100", "--public-key", "-IAAyYnxhXm2iVThEQKOPdmulHI1mlXuO1ERJ8abinw"];
        let parsed = Arguments::try_parse_from(line).unwrap();
        assert!(format!("{parsed:?}").contains("-IAAyYnx"));
    }

    #[test]
    fn a_threshold_is_a_probability() {
        for bad in ["0", "1", "-1", "67", "x", "NaN"] {
            assert!(probability(bad).is_err(), "{bad}");
        }
        assert_eq!(probability("0.67"), Ok(0.67));
    }

    #[test]
    fn a_load_has_bounds() {
        assert_eq!([rate("max"), rate("12.5")], [Ok(Rate::Max), Ok(Rate::PerSecond(12.5))]);
        for bad in ["0", "-1", "inf", "NaN", "fast", "2000000"] {
            assert!(rate(bad).is_err() && seconds(bad).is_err() && (bad == "0" || share(bad).is_err()), "{bad}");
        }
        assert_eq!([share("0"), share("1"), seconds("0.5")], [Ok(0.0), Ok(1.0), Ok(0.5)]);
    }
}
