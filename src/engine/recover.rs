//! Bringing a data directory back: the newest snapshot that verifies, then the frames behind it.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{bounded, unbounded};
use dashmap::DashMap;
use rayon::prelude::*;

use crate::engine::maintain::TextFeed;
use crate::engine::webhooks::WebhookNews;
use crate::engine::{Core, Engine, EngineOptions, Tenant, World, commit, warm, writer};
use crate::error::{Error, Result};
use crate::host::Ids;
use crate::journal::DataDir;
use crate::journal::Frame;
use crate::journal::Snapshot;
use crate::journal::{Journal, JournalOptions};
use crate::matching::model::Model;
use crate::model::event::{self, Event, v1};
use crate::model::ids::{Seq, TenantId, TenantName};
use crate::store::shard::{Shard, Version};
use crate::store::state;

/// Jobs that may wait for the commit thread: bounds the memory of decided, unsynced commands.
const JOBS_MAX: usize = 256;
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
    world.disk.create_dir_durable(&dir).map_err(|source| {
        Error::io(
            format!("creating the data directory {} (choose a writable one with --data-dir)", dir.display()),
            source,
        )
    })?;
    let lock = DataDir::lock(&*world.disk, &dir)?;
    let warming = warm::start()?;
    let model = server_model();
    let journal_options = JournalOptions {
        segment_bytes: options.segment_bytes,
        rkyv_format: v1::RKYV_FORMAT,
        ..JournalOptions::default()
    };
    let (journal, opened) = Journal::open(Arc::clone(&world.disk), &dir, journal_options, Arc::clone(&world.random))?;
    let mut report =
        OpenReport { new_data_dir: opened.last_seq == 0, torn_bytes: opened.torn_bytes, ..OpenReport::default() };
    if let Some(file) = &opened.torn_file {
        report.notes.push(format!(
            "{} bytes of an unfinished, never acknowledged write were set aside in {}",
            opened.torn_bytes,
            file.display()
        ));
    }
    let shards = load(&world, &options, &model, opened.last_seq, &mut report)?;
    report.tenants = shards.len();
    report.records = shards.values().map(|shard| shard.records_live).sum();
    let engine = start(options, world, model, lock, journal, shards)?;
    if warming.join().is_err() {
        tracing::error!("loading the tables panicked; the first request that needs them will say why");
    }
    report.millis = u64::try_from((engine.world().clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
    Ok((engine, report))
}

type Shards = HashMap<u64, Shard>;

/// The state on disk: snapshot, then frames.
fn load(
    world: &World,
    options: &EngineOptions,
    model: &Arc<Model>,
    last_seq: u64,
    report: &mut OpenReport,
) -> Result<Shards> {
    let mut shards = Shards::new();
    let mut after = 0;
    let (snapshot, notes) = Snapshot::newest_valid(&*world.disk, &snapshot_dir(options))?;
    report.notes.extend(notes);
    if let Some(snapshot) = snapshot {
        if snapshot.seq() > last_seq {
            return Err(Error::Corrupt {
                file: snapshot.path().to_path_buf(),
                offset_bytes: 0,
                reason: format!("the snapshot is as of frame {}, the journal ends at {last_seq}", snapshot.seq()),
            });
        }
        read_snapshot(&snapshot, model, &mut shards)?;
        after = snapshot.seq();
    }
    let replayed = replay(world, options, model, after, &mut shards)?;
    report.replayed = replayed;
    Ok(shards)
}

/// Where snapshots are.
pub(crate) fn snapshot_dir(options: &EngineOptions) -> std::path::PathBuf {
    options.data_dir.join("snapshots")
}

fn read_snapshot(snapshot: &Snapshot, model: &Arc<Model>, shards: &mut Shards) -> Result<()> {
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
    snapshot.for_each(&mut |chunk| {
        if state::is_head(chunk.kind) {
            let shard = state::begin(TenantId(chunk.tenant), chunk.kind, chunk.payload, model);
            shards.insert(chunk.tenant, shard.ok_or_else(|| damaged("a tenant's head does not decode"))?);
            return Ok(());
        }
        let shard = shards.get_mut(&chunk.tenant).ok_or_else(|| damaged("a chunk comes before its tenant's head"))?;
        state::take_in(shard, chunk.kind, chunk.payload).ok_or_else(|| damaged("a chunk does not decode"))
    })
}

/// Folds in every frame after `after`. Returns how many.
fn replay(world: &World, options: &EngineOptions, model: &Arc<Model>, after: u64, shards: &mut Shards) -> Result<u64> {
    let mut count = 0;
    let dir = &options.data_dir;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    Journal::replay(&*world.disk, dir, after, &mut |frame| {
        count += 1;
        bytes += frame.payload.len();
        waiting.push(Waiting::of(&frame));
        // What comes behind another model is made under that one.
        if waiting.len() < REPLAY_FRAMES && bytes < REPLAY_BYTES && !event::changes_model(frame.kind) {
            return Ok(());
        }
        bytes = 0;
        apply_all(std::mem::take(&mut waiting), model, shards)
    })?;
    apply_all(waiting, model, shards)?;
    Ok(count)
}

/// A frame whose turn comes with its batch.
struct Waiting {
    seq: u64,
    tenant: u64,
    kind: u8,
    version: u8,
    payload: Vec<u8>,
}

impl Waiting {
    fn of(frame: &Frame<'_>) -> Self {
        let &Frame { seq, tenant, kind, version, payload, .. } = frame;
        Self { seq, tenant, kind, version, payload: payload.to_vec() }
    }
}

/// What a frame holds, as far as it can be made without the state.
enum Ready {
    /// A record with its features and keys, which are most of the work.
    Put(Box<Version>),
    Other(Event),
}

/// Folds in a batch: decoded on all cores, applied in order.
fn apply_all(frames: Vec<Waiting>, model: &Arc<Model>, shards: &mut Shards) -> Result<()> {
    let ready = |frame: &Waiting| {
        let event = event::decode(frame.kind, frame.version, &frame.payload)
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
        }
    }
    Ok(())
}

fn start(
    options: EngineOptions,
    world: World,
    model: Arc<Model>,
    lock: DataDir,
    journal: Journal,
    shards: Shards,
) -> Result<Arc<Engine>> {
    let tenants = DashMap::new();
    let mut last = 0;
    for (number, shard) in shards {
        last = last.max(number);
        if let Some(name) = TenantName::parse(&shard.name) {
            tenants.insert(name.clone(), Arc::new(Tenant::new(name, shard)));
        }
    }
    let core = Arc::new(Core {
        text: TextFeed::start(options.text_queue_max)?,
        options,
        world,
        model,
        tenants,
        tenants_made: Mutex::new(last),
        ids: Ids::new(),
        poisoned: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        webhook_news: WebhookNews::default(),
        running: Mutex::new(None),
        previewing: Mutex::new(()),
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
    Ok(Arc::new(Engine {
        core,
        work: Mutex::new(Some(work)),
        jobs: Mutex::new(Some(jobs)),
        threads: Mutex::new(threads),
        _lock: lock,
    }))
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| Error::io(format!("starting the thread {name}"), source))
}
