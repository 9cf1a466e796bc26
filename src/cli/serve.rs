//! `serve`: the server from the first line of the configuration to the final snapshot.
//!
//! Order: configuration, diagnostics, the port (so that a taken one is told before anything is
//! touched), the key file, then recovery on its own thread while the port already answers health
//! checks as not ready. SIGTERM and SIGINT stop it: no new requests, those under way are answered,
//! the state is written as a snapshot.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::args::Serve;
use crate::cli::fail::Failure;
use crate::cli::{demo, files, keyfile, out};
use crate::config::{LogFormat, RawConfig, ServerConfig};
use crate::engine::limits::Limits;
use crate::engine::{self, Engine, EngineOptions, OpenReport, Parking, World};
use crate::host::{OsRandom, RealDisk, SystemClock};
use crate::http::{self, EngineSlot};
use crate::telemetry;

/// Signals this soon after the first one are its echo.
const ECHO: Duration = Duration::from_millis(500);

/// Runs until told to stop.
pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    let demo = serve.demo.then(demo::Demo::new).transpose()?;
    let config = configuration(serve, demo.as_ref())?;
    telemetry::init(config.log_format == LogFormat::Json, "warn,selfsame=info")?;
    config.check_exposure(false)?;
    http::check_webhooks(&config)?;
    http::check_tls(&config)?;
    report_panics();
    let listener = listen(&config, demo.is_some())?;
    let address =
        listener.local_addr().map_err(|error| Failure::failed(format!("no address to listen on: {error}")))?;
    let secret = master_key(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the server's threads: {error}")))?;
    let server = Server { config, secret, address };
    let ended = runtime.block_on(server.run(listener, demo.is_some()));
    runtime.shutdown_background();
    ended
}

/// The master key, and where it is from.
fn master_key(config: &ServerConfig) -> Result<(keyfile::Secret, String), Failure> {
    if let Some(line) = &config.key_command {
        let key = engine::keys::from_command(line.expose(), config.key_command_timeout)?;
        return Ok((key, "key_command".into()));
    }
    let path = match &config.key_file {
        Some(path) => path.clone(),
        None => keyfile::default_path(&config.data_dir)?,
    };
    Ok((keyfile::load(&RealDisk, &OsRandom, &path, &config.data_dir)?, path.display().to_string()))
}

/// The configuration from file, environment and command line.
fn configuration(serve: &Serve, demo: Option<&demo::Demo>) -> Result<ServerConfig, Failure> {
    let file = serve.config.as_deref().map(read_config).transpose()?;
    let line = RawConfig {
        data_dir: demo.map(|demo| demo.data_dir()).or_else(|| serve.data_dir.clone()),
        listen: serve.listen.map(|address| address.to_string()),
        key_file: demo.map(|demo| demo.key_file()).or_else(|| serve.key_file.clone()),
        require_keys: serve.require_keys.then_some(true),
        tls_cert: serve.tls_cert.clone(),
        tls_key: serve.tls_key.clone(),
        tls_client_ca: serve.tls_client_ca.clone(),
        ..RawConfig::default()
    };
    Ok(ServerConfig::load(file.as_deref(), |name| std::env::var(name).ok(), line)?)
}

fn read_config(path: &Path) -> Result<String, Failure> {
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
    if error.kind() == ErrorKind::AddrInUse {
        Failure::failed(format!(
            "{address} is in use by another program; stop that one, or choose another port with --listen"
        ))
    } else if error.kind() == ErrorKind::PermissionDenied {
        Failure::failed(format!("not allowed to listen on {address}; choose a port from 1024 up with --listen"))
    } else {
        Failure::failed(format!("cannot listen on {address}: {error}; choose another address with --listen"))
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
    secret: (keyfile::Secret, String),
    address: SocketAddr,
}

impl Server {
    /// Listens, recovers, serves, stops.
    async fn run(self, listener: TcpListener, demo: bool) -> Result<(), Failure> {
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener))
            .map_err(|error| Failure::failed(format!("cannot listen on {}: {error}", self.address)))?;
        let mut signals = Signals::new()?;
        let (stop, stopped) = watch::channel(false);
        let slot = EngineSlot::default();
        let (config, engine) = (self.config.clone(), slot.clone());
        let mut serving = tokio::spawn(async move { http::serve(&config, engine, listener, until(stopped)).await });
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        out::note(&format!("selfsame: listening on {scheme}://{}", self.address));

        let mut options = self.engine_options();
        options.progress = slot.progress();
        let opening = tokio::task::spawn_blocking(move || Engine::open(options, world()));
        let opened = tokio::select! {
            opened = opening => opened.map_err(|_| Failure::failed("recovery panicked; the diagnostics above name the place"))?,
            () = signals.next() => return Ok(()),
        };
        let (engine, report) = opened?;
        self.say_first_key(&engine).await?;
        slot.set(Arc::clone(&engine));
        say_ready(&report);
        if demo {
            self.load_demo().await?;
        }
        tokio::select! {
            () = signals.next() => out::note("selfsame: stopping; a second signal stops at once"),
            ended = &mut serving => tracing::error!(?ended, "the listener ended by itself"),
        }
        let _ = stop.send(true);
        let finishing = async {
            if !serving.is_finished() {
                let _ = serving.await;
            }
            tokio::task::spawn_blocking(move || engine.shutdown()).await
        };
        tokio::select! {
            finished = finishing => match finished {
                Ok(result) => Ok(result?),
                Err(_) => Err(Failure::failed("the last snapshot panicked; what was acknowledged is in the journal")),
            },
            () = signals.again() => {
                Err(Failure::failed("stopped without a last snapshot; the next start replays the journal"))
            }
        }
    }

    /// Shows the first admin key, where one had to be made. Nobody can show it again.
    async fn say_first_key(&self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let (config, engine) = (self.config.clone(), Arc::clone(engine));
        let made = tokio::task::spawn_blocking(move || http::first_key(&config, &engine)).await;
        let made = made.map_err(|_| Failure::failed("making the first admin key panicked"))??;
        if let Some((id, key)) = made {
            out::note(&format!(
                "selfsame: admin key {id}, shown this once: {}\nselfsame: keep it in a safe place; make others with `selfsame keys create`",
                key.expose()
            ));
        }
        Ok(())
    }

    fn engine_options(&self) -> EngineOptions {
        let mut options = EngineOptions::new(&self.config.data_dir);
        options.segment_bytes = self.config.segment_bytes_max;
        options.queue_max = self.config.queue_max;
        options.tenants_max = self.config.tenants_max;
        options.text_queue_max = self.config.text_queue_max;
        (options.secret, options.secret_from) = self.secret.clone();
        options.encryption = self.config.encryption;
        options.durability = self.config.durability;
        options.limits = Limits {
            disk_free_min_bytes: self.config.disk_free_min_bytes,
            memory_max_bytes: self.config.memory_max_bytes,
            tenant_records_max: self.config.tenant_records_max,
            tenant_bytes_max: self.config.tenant_bytes_max,
            ..Limits::default()
        };
        options.parking = Parking { after: self.config.park_after, records_max: self.config.park_records_max };
        options.journal_keep = self.config.journal_keep;
        options.journal_archive_dir.clone_from(&self.config.journal_archive_dir);
        options.snapshot_journal_bytes = self.config.snapshot_journal_bytes;
        if let Some(workers) = self.config.workers_max {
            options.workers = workers;
        }
        options
    }

    async fn load_demo(&self) -> Result<(), Failure> {
        let address = self.address;
        let loaded = tokio::task::spawn_blocking(move || demo::load(address)).await;
        let loaded = loaded.map_err(|_| Failure::failed("loading the sample contacts panicked"))??;
        demo::print(address, &loaded)
    }
}

fn world() -> World {
    World { disk: Arc::new(RealDisk), clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom) }
}

/// Resolves when the server shall stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn say_ready(report: &OpenReport) {
    out::note(&format!(
        "selfsame: ready after {} ms: {} tenants, {} records, {} journal frames replayed",
        out::count(report.millis),
        out::count(report.tenants as u64),
        out::count(report.records),
        out::count(report.replayed)
    ));
    if report.torn_bytes > 0 {
        out::note(&format!(
            "selfsame: set {} bytes of an interrupted, never acknowledged write aside",
            out::count(report.torn_bytes)
        ));
    }
    for note in &report.notes {
        out::note(&format!("selfsame: {note}"));
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves at a signal that is not the echo of one just seen: a shell and a supervisor often
    /// pass the same one on.
    async fn again(&mut self) {
        let deaf = tokio::time::sleep(ECHO);
        tokio::pin!(deaf);
        loop {
            tokio::select! {
                () = &mut deaf => break,
                () = self.next() => {}
            }
        }
        self.next().await;
    }
}
