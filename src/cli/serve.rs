//! `serve`: the server from the first line of the configuration to the final snapshot.
//!
//! Order: configuration, diagnostics, the port (so that a taken one is told before anything is
//! touched), the key file, then recovery on its own thread while the port already answers health
//! checks as not ready. SIGTERM and SIGINT stop it: no new requests, those under way are answered,
//! the state is written as a snapshot.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::Serve;
use crate::cli::fail::Failure;
use crate::cli::{demo, files, keyfile, out};
use crate::config::{LogFormat, RawConfig, ServerConfig};
use crate::engine::{Engine, EngineOptions, OpenReport, World};
use crate::host::{OsRandom, RealDisk, SystemClock};
use crate::http;
use crate::telemetry;

/// Runs until told to stop.
pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    let demo = serve.demo.then(demo::Demo::new).transpose()?;
    let config = configuration(serve, demo.as_ref())?;
    telemetry::init(config.log_format == LogFormat::Json, "warn,selfsame=info")?;
    config.check_exposure(false)?;
    report_panics();
    let listener = listen(&config, demo.is_some())?;
    let address = listener.local_addr().map_err(|error| Failure::failed(format!("no address to listen on: {error}")))?;
    let key_file = match &config.key_file {
        Some(path) => path.clone(),
        None => keyfile::default_path(&config.data_dir)?,
    };
    let secret = keyfile::load(&RealDisk, &OsRandom, &key_file, &config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the server's threads: {error}")))?;
    let server = Server { config, secret, address };
    let ended = runtime.block_on(server.run(listener, demo.as_ref()));
    runtime.shutdown_background();
    ended
}

/// The configuration from file, environment and command line.
fn configuration(serve: &Serve, demo: Option<&demo::Demo>) -> Result<ServerConfig, Failure> {
    let file = serve.config.as_deref().map(read_config).transpose()?;
    let line = RawConfig {
        data_dir: demo.map(|demo| demo.data_dir()).or_else(|| serve.data_dir.clone()),
        listen: serve.listen.map(|address| address.to_string()),
        key_file: demo.map(|demo| demo.key_file()).or_else(|| serve.key_file.clone()),
        ..RawConfig::default()
    };
    Ok(ServerConfig::load(file.as_deref(), |name| std::env::var(name).ok(), line)?)
}

fn read_config(path: &PathBuf) -> Result<String, Failure> {
    String::from_utf8(files::read(path)?)
        .map_err(|_| Failure::input(format!("{} is not UTF-8 text; save it as such", path.display())))
}

/// Binds the port. `--demo` takes the next free one.
fn listen(config: &ServerConfig, any_port: bool) -> Result<TcpListener, Failure> {
    let mut address = config.listen;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && any_port && address.port() < u16::MAX => {
                address.set_port(address.port() + 1);
            }
            Err(error) => return Err(cannot_listen(address, &error)),
        }
    }
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::AddrInUse => Failure::failed(format!(
            "{address} is in use by another program; stop that one, or choose another port with --listen"
        )),
        ErrorKind::PermissionDenied => {
            Failure::failed(format!("not allowed to listen on {address}; choose a port from 1024 up with --listen"))
        }
        _ => Failure::failed(format!("cannot listen on {address}: {error}; choose another address with --listen")),
    }
}

/// A panic is a bug of ours: it is recorded with its place, and the request that met it fails alone.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        // The message may quote values; the place is enough to find it.
        tracing::error!(place, "panic: this is a bug, please report the place");
    }));
}

/// What a running server needs.
struct Server {
    config: ServerConfig,
    secret: keyfile::Secret,
    address: SocketAddr,
}
