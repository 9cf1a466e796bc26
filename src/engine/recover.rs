//! Bringing a data directory back: the newest snapshot that verifies, then the frames behind it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{bounded, unbounded};
use dashmap::DashMap;
use rayon::prelude::*;

use crate::engine::erase::{self, Bell};
use crate::engine::maintain::TextFeed;
use crate::engine::webhooks::WebhookNews;
use crate::engine::{Core, Engine, EngineOptions, Tenant, World, commit, keys, warm, writer};
use crate::error::{Error, Result};
use crate::host::Ids;
use crate::journal::DataDir;
use crate::journal::Frame;
use crate::journal::Snapshot;
use crate::journal::{Journal, JournalOptions};
use crate::journal::{Keyring, Opened};
use crate::matching::model::Model;
use crate::model::event::{self, Event, v1};
use crate::model::ids::{Seq, TenantId, TenantName};
use crate::store::shard::{Shard, Version};
use crate::store::state;

/// Jobs that may wait for the commit thread: bounds the memory of decided, unsynced commands.
const JOBS_MAX: usize = 256;
/// What the server's own stream is called in the journal; a tenant may have the same name.
const SERVER_NAME: &str = "server";
/// Records that the server's model takes a tenant to hold; its prior.
const POPULATION: usize = 65_536;

/// Frames decoded side by side at start-up, and the bytes they may take.
const REPLAY_FRAMES: usize = 4096;
const REPLAY_BYTES: usize = 16 << 20;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// There was nothing before.
    pub new_data_dir: bool,
    /// Tenants.
    pub tenants: usize,
    /// Live records of all tenants.
    pub records: u64,
    /// Frames replayed behind the snapshot.
    pub replayed: u64,
    /// Bytes of a torn tail that were set aside.
    pub torn_bytes: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// How long it took.
    pub millis: u64,
}

/// The model a server decides by until one is trained.
pub fn server_model() -> Arc<Model> {
    Arc::new(Model::default_model().with_size_class(POPULATION))
}

pub(crate) fn open(options: EngineOptions, world: World) -> Result<(Arc<Engine>, OpenReport)> {
    let started = world.clock.monotonic();
    let dir = options.data_dir.clone();
    world.disk.create_dir_all(&dir).map_err(|source| {
        Error::io(
            format!("creating the data directory {} (choose a writable one with --data-dir)", dir.display()),
            source,
        )
    })?;
    let lock = DataDir::lock(&*world.disk, &dir)?;
    let keys = keys::open(&options, &world)?;
    let options = EngineOptions { secret: keys.record_secret(), ..options };
    let warming = warm::start()?;
    let model = server_model();
    let journal_options = JournalOptions {
        segment_bytes: options.segment_bytes,
        rkyv_format: v1::RKYV_FORMAT,
        ..JournalOptions::default()
    };
    let (mut journal, opened) =
        Journal::open(Arc::clone(&world.disk), &dir, journal_options, Arc::clone(&world.random))?;
    let mut report =
        OpenReport { new_data_dir: opened.last_seq == 0, torn_bytes: opened.torn_bytes, ..OpenReport::default() };
    if let Some(file) = &opened.torn_file {
        report.notes.push(format!(
            "{} bytes of an unfinished, never acknowledged write were set aside in {}",
            opened.torn_bytes,
            file.display()
        ));
    }
    let mut shards = load(&world, &options, &keys, &model, opened.last_seq, &mut report)?;
    keys.settle()?;
    bury(&mut shards, &keys)?;
    if options.encryption {
        journal.seal_with(Arc::clone(&keys));
    }
    report.tenants = shards.iter().filter(|(number, shard)| **number > 0 && !shard.is_ended).count();
    report.records = shards.values().map(|shard| shard.records_live).sum();
    let engine = start(options, world, keys, model, lock, journal, shards)?;
    if warming.join().is_err() {
        tracing::error!("loading the tables panicked; the first request that needs them will say why");
    }
    report.millis = u64::try_from((engine.world().clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
    Ok((engine, report))
}

type Shards = HashMap<u64, Shard>;

/// Ends what an erasure of a tenant began: its files are clean, its keys go, and its state with them.
fn bury(shards: &mut Shards, keys: &Keyring) -> Result<()> {
    let graves = shards.get(&0).map(|server| Arc::clone(&server.graves)).unwrap_or_default();
    for gone in graves.iter() {
        shards.remove(&gone.tenant);
        if !keys.is_destroyed(gone.tenant) {
            keys.destroy(gone.tenant)?;
        }
    }
    Ok(())
}

/// The state on disk: snapshot, then frames.
fn load(
    world: &World,
    options: &EngineOptions,
    keys: &Keyring,
    model: &Arc<Model>,
    last_seq: u64,
    report: &mut OpenReport,
) -> Result<Shards> {
    let mut shards = Shards::new();
    let mut after = 0;
    if let Some((snapshot, notes)) = Snapshot::newest_valid(&*world.disk, &snapshot_dir(options))? {
        report.notes.extend(notes);
        if snapshot.seq() > last_seq {
            return Err(Error::Corrupt {
                file: snapshot.path().to_path_buf(),
                offset_bytes: 0,
                reason: format!("the snapshot is as of frame {}, the journal ends at {last_seq}", snapshot.seq()),
            });
        }
        read_snapshot(&snapshot, keys, model, &mut shards)?;
        after = snapshot.seq();
    }
    let (replayed, destroyed) = replay(world, options, keys, model, after, &mut shards)?;
    report.replayed = replayed;
    if destroyed > 0 {
        report.notes.push(format!("{destroyed} frames are of tenants whose keys were destroyed; they were left out"));
    }
    Ok(shards)
}

/// Where snapshots are.
pub(crate) fn snapshot_dir(options: &EngineOptions) -> std::path::PathBuf {
    options.data_dir.join("snapshots")
}

fn read_snapshot(snapshot: &Snapshot, keys: &Keyring, model: &Arc<Model>, shards: &mut Shards) -> Result<()> {
    let damaged = |reason: &str| Error::Corrupt {
        file: snapshot.path().to_path_buf(),
        offset_bytes: 0,
        reason: reason.to_owned(),
    };
    if snapshot.content_version() > state::CONTENT_VERSION {
        return Err(Error::invalid(
            "data-dir",
            format!(
                "the snapshot is of format {}, this selfsame reads up to {}; use a newer one",
                snapshot.content_version(),
                state::CONTENT_VERSION
            ),
        ));
    }
    let read = snapshot.for_each_opened(keys, &mut |chunk| {
        if state::is_head(chunk.kind) {
            let shard = state::begin(TenantId(chunk.tenant), chunk.kind, chunk.payload, model);
            shards.insert(chunk.tenant, shard.ok_or_else(|| damaged("a tenant's head does not decode"))?);
            return Ok(());
        }
        let shard = shards.get_mut(&chunk.tenant).ok_or_else(|| damaged("a chunk comes before its tenant's head"))?;
        state::take_in(shard, chunk.kind, chunk.payload).ok_or_else(|| damaged("a chunk does not decode"))
    });
    read.map(drop)
}

/// Folds in every frame after `after`. Returns how many, and how many of these are of tenants whose keys were destroyed.
fn replay(
    world: &World,
    options: &EngineOptions,
    keys: &Keyring,
    model: &Arc<Model>,
    after: u64,
    shards: &mut Shards,
) -> Result<(u64, u64)> {
    let (mut count, mut destroyed) = (0, 0);
    let dir = &options.data_dir;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    Journal::replay(&*world.disk, dir, after, &mut |frame| {
        count += 1;
        if keys.is_destroyed(frame.tenant) {
            destroyed += 1;
            return Ok(());
        }
        bytes += frame.payload.len();
        waiting.push(Waiting::of(&frame));
        // What comes behind another model is made under that one.
        if waiting.len() < REPLAY_FRAMES && bytes < REPLAY_BYTES && !event::changes_model(frame.kind) {
            return Ok(());
        }
        bytes = 0;
        apply_all(std::mem::take(&mut waiting), keys, model, shards)
    })?;
    apply_all(waiting, keys, model, shards)?;
    Ok((count, destroyed))
}

/// A frame whose turn comes with its batch.
struct Waiting {
    seq: u64,
    tenant: u64,
    kind: u8,
    version: u8,
    flags: u16,
    group_ms: i64,
    payload: Vec<u8>,
}

impl Waiting {
    fn of(frame: &Frame<'_>) -> Self {
        let &Frame { seq, tenant, kind, version, flags, group_ms, payload } = frame;
        Self { seq, tenant, kind, version, flags, group_ms, payload: payload.to_vec() }
    }

    /// The event's bytes; `None`: it was erased, and nothing is left of it.
    fn opened(&self, keys: &Keyring) -> Result<Option<Vec<u8>>> {
        let &Self { seq, tenant, kind, version, flags, group_ms, ref payload } = self;
        let frame = Frame { seq, tenant, kind, version, flags, group_ms, payload };
        if frame.is_blank() {
            return Ok(None);
        }
        match keys.open_frame(&frame)? {
            Opened::Plain(payload) => Ok(Some(payload)),
            Opened::Destroyed => {
                Err(Error::invalid("journal", format!("the key of frame {seq} was destroyed just now")))
            }
        }
    }
}

/// What a frame holds, as far as it can be made without the state.
enum Ready {
    /// A record with its features and keys, which are most of the work.
    Put(Box<Version>),
    Other(Event),
    /// It was erased, and nothing is left of it but its number.
    Nothing,
}

/// Folds in a batch: opened and decoded on all cores, applied in order.
fn apply_all(frames: Vec<Waiting>, keys: &Keyring, model: &Arc<Model>, shards: &mut Shards) -> Result<()> {
    let ready = |frame: &Waiting| {
        let Some(payload) = frame.opened(keys)? else { return Ok(Ready::Nothing) };
        let event = event::decode(frame.kind, frame.version, &payload)
            .map_err(|error| Error::invalid("journal", format!("frame {}: {error}", frame.seq)))?;
        let Event::RecordPut(put) = event else {
            return Ok(Ready::Other(event));
        };
        let model = shards.get(&frame.tenant).map_or(model, |shard| &shard.model);
        Ok(Ready::Put(Box::new(Version::new(*put, Seq(0), model))))
    };
    let all: Vec<Result<Ready>> = frames.par_iter().map(ready).collect();
    for (frame, ready) in frames.iter().zip(all) {
        let ready = ready?;
        if let Ready::Other(Event::TenantCreated(created)) = &ready {
            let shard = Shard::new(TenantId(frame.tenant), &created.name, Arc::clone(model));
            shards.insert(frame.tenant, shard);
        }
        let unknown = || Error::invalid("journal", format!("frame {} is of a tenant never created", frame.seq));
        let shard = shards.get_mut(&frame.tenant).ok_or_else(unknown)?;
        match ready {
            Ready::Put(mut version) => {
                version.seq = Seq(shard.seq.0 + 1);
                shard.apply_put(Arc::new(*version));
            }
            Ready::Other(event) => shard.apply(event),
            Ready::Nothing => shard.skip_erased(),
        }
    }
    Ok(())
}

fn start(
    options: EngineOptions,
    world: World,
    keys: Arc<Keyring>,
    model: Arc<Model>,
    lock: DataDir,
    journal: Journal,
    mut shards: Shards,
) -> Result<Arc<Engine>> {
    let tenants = DashMap::new();
    let mut ended = Vec::new();
    // A number whose key was made or destroyed is never given to another tenant.
    let mut last = keys.highest_tenant();
    let server = shards.remove(&0).unwrap_or_else(|| Shard::new(TenantId(0), SERVER_NAME, Arc::clone(&model)));
    let server_name = TenantName::parse(SERVER_NAME).ok_or_else(|| Error::invalid("server", "is no name"))?;
    for (number, shard) in shards {
        last = last.max(number);
        if let Some(name) = TenantName::parse(&shard.name) {
            let is_ended = shard.is_ended;
            let tenant = Arc::new(Tenant::new(name.clone(), shard));
            if is_ended {
                ended.push(tenant);
            } else {
                tenants.insert(name, tenant);
            }
        }
    }
    let core = Arc::new(Core {
        text: TextFeed::start(options.text_queue_max)?,
        options,
        world,
        keys,
        model,
        tenants,
        tenants_made: Mutex::new(last),
        ids: Ids::new(),
        poisoned: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        durable_seq: AtomicU64::new(journal.durable_seq()),
        webhook_news: WebhookNews::default(),
        running: Mutex::new(None),
        previewing: Mutex::new(()),
        server: Arc::new(Tenant::new(server_name, server)),
        ended: Mutex::new(ended),
        erase_bell: Bell::default(),
        compacting: Mutex::new(()),
    });
    for tenant in core.all() {
        core.text.touch(&tenant);
        if !tenant.view.load().webhooks.is_empty() {
            core.webhook_news.tell(&tenant.name);
        }
    }
    let (work, works) = unbounded();
    let (jobs, queue) = bounded(JOBS_MAX);
    let mut threads = Vec::new();
    for number in 0..core.options.workers.max(1) {
        let (core, works, jobs) = (Arc::clone(&core), works.clone(), jobs.clone());
        threads.push(spawn(&format!("decide-{number}"), move || writer::run(&core, &works, &jobs))?);
    }
    let committing = Arc::clone(&core);
    threads.push(spawn("commit", move || commit::run(&committing, journal, &queue))?);
    let engine = Arc::new(Engine {
        core,
        work: Mutex::new(Some(work)),
        jobs: Mutex::new(Some(jobs)),
        threads: Mutex::new(threads),
        _lock: lock,
    });
    erase::start(&engine)?;
    Ok(engine)
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| Error::io(format!("starting the thread {name}"), source))
}
