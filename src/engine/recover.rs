//! Bringing a data directory back: the newest snapshot that verifies, then the frames behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use rayon::prelude::*;

use crate::engine::commit::{self, Place};
use crate::engine::erase::{self, Bell};
use crate::engine::limits::Room;
use crate::engine::maintain::TextFeed;
use crate::engine::oprf::{self, Oprf};
use crate::engine::parking::{InSnapshot, Resting};
use crate::engine::upkeep::Upkeep;
use crate::engine::webhooks::WebhookNews;
use crate::engine::writer::{self, Way};
use crate::engine::{Core, Engine, EngineOptions, Tenant, Tenants, World, keys, upkeep, warm};
use crate::error::{Error, Result};
use crate::host::{Disk, Ids};
use crate::journal::DataDir;
use crate::journal::Frame;
use crate::journal::RESTORING;
use crate::journal::{Journal, JournalOptions};
use crate::journal::{Keyring, Opened};
use crate::journal::{Part, Snapshot, Spans, StoredChunk};
use crate::matching::model::Model;
use crate::model::event::{self, Event, v1};
use crate::model::ids::{Seq, TenantId, TenantName};
use crate::store::parked::Parked;
use crate::store::shard::{Shard, Version};
use crate::store::state::{self, Origin, Pending, Piece};

/// Jobs that may wait for the commit thread: bounds the memory of decided, unsynced commands.
const JOBS_MAX: usize = 256;
/// What the server's own stream is called in the journal; a tenant may have the same name.
const SERVER_NAME: &str = "server";
/// Records that the server's model takes a tenant to hold; its prior.
const POPULATION: usize = 65_536;

/// Frames decoded side by side at start-up, and the bytes they may take.
const REPLAY_FRAMES: usize = 4096;
const REPLAY_BYTES: usize = 16 << 20;
/// Bytes of a snapshot that are decoded side by side, as many being read meanwhile.
const SNAPSHOT_BYTES: usize = 4 << 20;
/// How often the log says how far opening is.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// There was nothing before.
    pub new_data_dir: bool,
    /// Tenants.
    pub tenants: usize,
    /// Live records of all tenants.
    pub records: u64,
    /// Records of the snapshot with which it kept what is derived from them; of the others it was derived anew.
    pub derived_kept: u64,
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
    check_restored(&*world.disk, &dir)?;
    let keys = keys::open(&options, &world)?;
    let options = EngineOptions { secret: keys.record_secret(), ..options };
    let warming = warm::start()?;
    let model = server_model();
    let journal_options = JournalOptions {
        segment_bytes: options.segment_bytes,
        rkyv_format: v1::RKYV_FORMAT,
        relaxed: options.durability.is_relaxed(),
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
    let first_seq = journal.segments().first().map_or(1, |segment| segment.base_seq);
    let loaded = load(&world, &options, &keys, &model, (first_seq, opened.last_seq), &mut report)?;
    let Loaded { mut shards, upkeep, resting } = loaded;
    keys.settle()?;
    bury(&mut shards, &keys)?;
    if options.encryption {
        journal.seal_with(Arc::clone(&keys));
    }
    report.tenants = shards.iter().filter(|(number, shard)| **number > 0 && !shard.is_ended).count();
    report.records = shards.values().map(|shard| shard.records_live).sum();
    let engine = start(options, world, keys, model, lock, journal, Loaded { shards, upkeep, resting })?;
    crate::engine::carry::take_in(&engine)?;
    if warming.join().is_err() {
        tracing::error!("loading the tables panicked; the first request that needs them will say why");
    }
    report.millis = u64::try_from((engine.world().clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
    Ok((engine, report))
}

/// A restore that broke off has left a journal that may look whole and is not.
fn check_restored(disk: &dyn Disk, dir: &std::path::Path) -> Result<()> {
    let marker = dir.join(RESTORING);
    let is_there =
        disk.exists(&marker).map_err(|source| Error::io(format!("looking for {}", marker.display()), source))?;
    if is_there {
        let reason =
            format!("{} was not restored to the end; empty it and run `selfsame restore` again", dir.display());
        return Err(Error::invalid("data-dir", reason));
    }
    Ok(())
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

/// What was read from the disk.
struct Loaded {
    shards: Shards,
    upkeep: Upkeep,
    /// Where the snapshot has whom.
    resting: Resting,
}

/// The state on disk: snapshot, then frames. `span` is the first and the last seq of the journal.
fn load(
    world: &World,
    options: &EngineOptions,
    keys: &Arc<Keyring>,
    model: &Arc<Model>,
    span: (u64, u64),
    report: &mut OpenReport,
) -> Result<Loaded> {
    let (first_seq, last_seq) = span;
    let dir = snapshot_dir(options);
    let said = world.clock.monotonic();
    let mut replay = Replay {
        world,
        options,
        keys,
        model,
        shards: Shards::new(),
        pending: HashMap::new(),
        origin: Origin::default(),
        spans: Spans::default(),
        resting: Resting::default(),
        said,
        destroyed: 0,
    };
    let (mut after, mut snapshot_bytes) = (0, 0);
    // A damaged one shows while it is read: then what came of it is dropped.
    let (snapshot, notes) = Snapshot::newest_read(&*world.disk, &dir, &mut |snapshot| {
        replay.forget();
        if snapshot.seq() > last_seq {
            let reason = format!("the snapshot is as of frame {}, the journal ends at {last_seq}", snapshot.seq());
            return Err(Error::Corrupt { file: snapshot.path().to_path_buf(), offset_bytes: 0, reason });
        }
        replay.read_snapshot(snapshot)
    })?;
    let is_newest = notes.is_empty();
    report.notes.extend(notes);
    match snapshot {
        Some((snapshot, ())) => {
            if !is_newest {
                report.notes.push(format!("the snapshot as of seq {} was used instead of a newer one", snapshot.seq()));
            }
            (after, snapshot_bytes) = (snapshot.seq(), snapshot.bytes());
        }
        None => {
            replay.forget();
            let unusable = world.disk.list(&dir).unwrap_or_default();
            let unusable: Vec<String> = unusable.into_iter().filter(|name| name.ends_with(".snap")).collect();
            if first_seq > 1 {
                return Err(beginning_is_gone(&dir, &unusable, first_seq));
            }
            if !unusable.is_empty() {
                report
                    .notes
                    .push(format!("no snapshot verifies ({}): the whole journal was read", unusable.join(", ")));
            }
        }
    }
    report.derived_kept = replay.origin.kept;
    // Nothing is behind it after an ordinary stop: then the last segment, which was walked when it was opened, is not read
    // a second time.
    let (frames, bytes) = if after == last_seq { (0, 0) } else { replay.journal(after, last_seq)? };
    report.replayed = frames;
    if replay.destroyed > 0 {
        let destroyed = replay.destroyed;
        report.notes.push(format!("{destroyed} frames are of tenants whose keys were destroyed; they were left out"));
    }
    let upkeep = Upkeep::new(options.snapshot_journal_bytes, snapshot_bytes, bytes);
    Ok(Loaded { shards: replay.shards, upkeep, resting: replay.resting })
}

/// A journal whose first segments were removed is of no use without a snapshot of what was in them.
fn beginning_is_gone(dir: &std::path::Path, unusable: &[String], first_seq: u64) -> Error {
    let found =
        if unusable.is_empty() { "there is none".to_owned() } else { format!("damaged: {}", unusable.join(", ")) };
    let reason = format!(
        "the journal begins at seq {first_seq} and no snapshot of what was before can be used ({found}); restore a backup"
    );
    Error::Corrupt { file: dir.to_path_buf(), offset_bytes: 0, reason }
}

/// Where snapshots are.
pub(crate) fn snapshot_dir(options: &EngineOptions) -> std::path::PathBuf {
    options.data_dir.join("snapshots")
}

/// What reads snapshot and journal into the shards.
struct Replay<'a> {
    world: &'a World,
    options: &'a EngineOptions,
    keys: &'a Arc<Keyring>,
    model: &'a Arc<Model>,
    shards: Shards,
    /// Where the snapshot has each tenant.
    spans: Spans,
    resting: Resting,
    /// Records that are not in the indexes of their tenant yet.
    pending: HashMap<u64, Pending>,
    origin: Origin,
    /// Frames that were left out since the keys of their tenants were destroyed.
    destroyed: u64,
    /// When the log last said how far it is.
    said: Duration,
}

impl Replay<'_> {
    /// Drops what a snapshot gave.
    fn forget(&mut self) {
        self.shards.clear();
        self.pending.clear();
        self.origin = Origin::default();
        self.spans = Spans::default();
        self.resting = Resting::default();
    }

    /// Reads chunks ahead, and decodes tenants and the chunks of one side by side.
    fn read_snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Result<()> {
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
        let (mut place, mut done) = (snapshot.start()?, 0);
        let mut next = snapshot.read_on(&mut place, SNAPSHOT_BYTES)?;
        let mut held = Vec::new();
        while !next.is_empty() || !held.is_empty() {
            let is_end = next.is_empty();
            done += next.iter().map(StoredChunk::bytes).sum::<u64>();
            self.spans.note_read(&next);
            let mut now = std::mem::take(&mut held);
            now.append(&mut next);
            if !is_end {
                held = self.hold_back(&mut now);
            }
            // While some are decoded the next are read.
            let read = || if is_end { Ok(Vec::new()) } else { snapshot.read_on(&mut place, SNAPSHOT_BYTES) };
            let (taken, read) = rayon::join(|| self.take_chunks(now, snapshot), read);
            taken?;
            next = read?;
            self.options.progress.snapshot(done, snapshot.bytes());
            self.say();
        }
        for (tenant, mut pending) in self.pending.drain() {
            self.shards.entry(tenant).and_modify(|shard| pending.settle(shard));
            self.origin.kept += pending.origin.kept;
            self.origin.derived += pending.origin.derived;
        }
        // An older one does not say what a tenant at rest shows: nobody is left in it, or the next would not say it either.
        if snapshot.content_version() == state::CONTENT_VERSION {
            let seq = |tenant: TenantId| self.shards.get(&tenant.0).map(|shard| shard.seq);
            self.resting = Resting::new(snapshot, &self.spans, self.keys, seq);
        }
        let Origin { kept, derived } = self.origin;
        tracing::info!(kept, derived, "records of the snapshot: with what is derived from them, and without");
        Ok(())
    }

    /// Takes the last tenant's chunks back out, of which there may be more, if it may stay at rest and is not large.
    fn hold_back(&self, chunks: &mut Vec<StoredChunk>) -> Vec<StoredChunk> {
        let Some(last) = chunks.last().map(|chunk| chunk.tenant) else { return Vec::new() };
        let from = chunks.iter().rposition(|chunk| chunk.tenant != last).map_or(0, |at| at + 1);
        let group = chunks.get(from..).unwrap_or_default();
        let bytes: u64 = group.iter().map(StoredChunk::bytes).sum();
        let is_begun = self.shards.contains_key(&last);
        // Of a head alone nobody knows yet.
        let may_rest = group.get(1).is_none_or(|chunk| state::is_rest(chunk.kind));
        if is_begun || !may_rest || bytes > SNAPSHOT_BYTES as u64 { Vec::new() } else { chunks.split_off(from) }
    }

    /// Takes chunks in that follow each other. Those of one tenant stand together; of the last one there may be more.
    fn take_chunks(&mut self, chunks: Vec<StoredChunk>, snapshot: &Arc<Snapshot>) -> Result<()> {
        let Some(last) = chunks.last().map(|chunk| chunk.tenant) else { return Ok(()) };
        let chunks = self.let_rest(chunks, snapshot)?;
        let open = |chunk: StoredChunk| {
            let (tenant, kind) = (chunk.tenant, chunk.kind);
            Ok(chunk.open(self.keys)?.map(|payload| (tenant, (kind, payload))))
        };
        let opened: Vec<Result<Option<(u64, Piece)>>> = chunks.into_par_iter().map(open).collect();
        let mut waiting: Vec<Waited> = Vec::new();
        for one in opened {
            let Some((tenant, piece)) = one? else { continue };
            if waiting.last().is_none_or(|waited| waited.tenant != tenant) {
                let (shard, pending) = (self.shards.remove(&tenant), self.pending.remove(&tenant));
                waiting.push(Waited { tenant, shard, pending: pending.unwrap_or_default(), pieces: Vec::new() });
            }
            if let Some(waited) = waiting.last_mut() {
                waited.pieces.push(piece);
            }
        }
        let one = |waited: Waited| take_tenant(waited, self.model, last, snapshot);
        let done: Vec<Result<(u64, Shard, Pending)>> = waiting.into_par_iter().map(one).collect();
        for one in done {
            let (tenant, shard, pending) = one?;
            self.shards.insert(tenant, shard);
            if tenant == last {
                self.pending.insert(tenant, pending);
            } else {
                self.origin.kept += pending.origin.kept;
                self.origin.derived += pending.origin.derived;
            }
        }
        Ok(())
    }

    /// Leaves tenants where they are that may stay at rest; gives the chunks of the others.
    fn let_rest(&mut self, chunks: Vec<StoredChunk>, snapshot: &Arc<Snapshot>) -> Result<Vec<StoredChunk>> {
        let parking = self.options.parking;
        if parking.after.is_none() {
            return Ok(chunks);
        }
        let mut groups: Vec<Vec<StoredChunk>> = Vec::new();
        for chunk in chunks {
            match groups.last_mut() {
                Some(group) if group.last().is_some_and(|one| one.tenant == chunk.tenant) => group.push(chunk),
                _ => groups.push(vec![chunk]),
            }
        }
        let looked: Vec<Result<Looked>> = groups.into_par_iter().map(|group| self.look(group, snapshot)).collect();
        let mut others = Vec::new();
        for one in looked {
            match one? {
                Looked::AtRest(shard) => drop(self.shards.insert(shard.tenant.0, *shard)),
                Looked::Whole(group) => others.extend(group),
            }
        }
        Ok(others)
    }

    /// Whether a tenant whose chunks these are, all of them, stays at rest.
    fn look(&self, group: Vec<StoredChunk>, snapshot: &Arc<Snapshot>) -> Result<Looked> {
        let bytes: u64 = group.iter().map(StoredChunk::bytes).sum();
        let tenant = match group.as_slice() {
            [head, rest, ..]
                if state::is_head(head.kind)
                    && state::is_rest(rest.kind)
                    && bytes <= SNAPSHOT_BYTES as u64
                    && !self.shards.contains_key(&head.tenant) =>
            {
                TenantId(head.tenant)
            }
            _ => return Ok(Looked::Whole(group)),
        };
        let mut pieces = Vec::new();
        for chunk in group.iter().filter(|chunk| state::is_shown(chunk.kind)) {
            let kind = chunk.kind;
            pieces.extend(chunk.clone().open(self.keys)?.map(|payload| (kind, payload)));
        }
        let shown = state::shown(tenant, pieces, self.model);
        let may_rest = shown.filter(|(_, records)| *records <= self.options.parking.records_max);
        let Some((shown, _)) = may_rest else { return Ok(Looked::Whole(group)) };
        let mut spans = Spans::default();
        spans.note_read(&group);
        let Some((_, span)) = spans.iter().next() else { return Ok(Looked::Whole(group)) };
        let chunks = Arc::new(InSnapshot::new(Part::new(snapshot, span), self.keys));
        Ok(Looked::AtRest(Box::new(Parked::elsewhere(tenant, self.model, chunks).head(&shown))))
    }

    /// Folds in every frame after `after`. Returns how many, and their bytes.
    fn journal(&mut self, after: u64, last_seq: u64) -> Result<(u64, u64)> {
        let (disk, dir) = (Arc::clone(&self.world.disk), &self.options.data_dir);
        let (mut count, mut all_bytes) = (0, 0);
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        Journal::replay(&*disk, dir, after, &mut |frame| {
            count += 1;
            if self.keys.is_destroyed(frame.tenant) {
                self.destroyed += 1;
                return Ok(());
            }
            bytes += frame.payload.len();
            all_bytes += Journal::stored_bytes(frame.payload.len());
            waiting.push(Waiting::of(&frame));
            // What comes behind another model is made under that one.
            if waiting.len() < REPLAY_FRAMES && bytes < REPLAY_BYTES && !event::changes_model(frame.kind) {
                return Ok(());
            }
            bytes = 0;
            apply_all(std::mem::take(&mut waiting), self.keys, self.model, &mut self.shards)?;
            self.options.progress.journal(count, last_seq - after);
            self.say();
            Ok(())
        })?;
        apply_all(waiting, self.keys, self.model, &mut self.shards)?;
        Ok((count, all_bytes))
    }

    /// Tells the log how far it is, every few seconds.
    fn say(&mut self) {
        let now = self.world.clock.monotonic();
        if now.saturating_sub(self.said) >= SAY_EVERY {
            self.said = now;
            tracing::info!(
                progress = self.options.progress.describe().unwrap_or_default(),
                "opening the data directory"
            );
        }
    }
}

/// What was found of a tenant's chunks.
enum Looked {
    /// It stays in the snapshot: what stands for it.
    AtRest(Box<Shard>),
    /// It is put together.
    Whole(Vec<StoredChunk>),
}

/// Chunks of one tenant, with what was made of those before.
struct Waited {
    tenant: u64,
    shard: Option<Shard>,
    pending: Pending,
    pieces: Vec<Piece>,
}

/// Folds the chunks of one tenant into its shard, which the first of them begins.
fn take_tenant(waited: Waited, model: &Arc<Model>, last: u64, snapshot: &Snapshot) -> Result<(u64, Shard, Pending)> {
    let Waited { tenant, shard, mut pending, mut pieces } = waited;
    let damaged = |reason: &str| Error::Corrupt {
        file: snapshot.path().to_path_buf(),
        offset_bytes: 0,
        reason: reason.to_owned(),
    };
    let mut shard = match shard {
        Some(shard) => shard,
        None => {
            let head = (!pieces.is_empty()).then(|| pieces.remove(0));
            let (kind, payload) =
                head.filter(|(kind, _)| state::is_head(*kind)).ok_or_else(|| damaged("a tenant has no head"))?;
            let begun = state::begin(TenantId(tenant), kind, &payload, model);
            begun.ok_or_else(|| damaged("a tenant's head does not decode"))?
        }
    };
    let taken = state::take_in_all(&mut shard, pieces, &mut pending);
    taken.ok_or_else(|| damaged("a chunk does not decode"))?;
    if tenant != last {
        pending.settle(&mut shard);
    }
    Ok((tenant, shard, pending))
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

/// Folds in a batch: opened and decoded on all cores, then each tenant's applied in order, tenants side by side.
fn apply_all(frames: Vec<Waiting>, keys: &Keyring, model: &Arc<Model>, shards: &mut Shards) -> Result<()> {
    for frame in &frames {
        // Whatever happened to a tenant at rest since, it is put together for.
        if let Some(shard) = shards.get_mut(&frame.tenant)
            && let Some(parked) = shard.parked.take()
        {
            *shard = parked.restored()?;
        }
    }
    let ready = |frame: &Waiting| {
        let Some(payload) = frame.opened(keys)? else { return Ok(Ready::Nothing) };
        let event = event::decode(frame.kind, frame.version, &payload)
            .map_err(|error| Error::invalid("journal", format!("frame {}: {error}", frame.seq)))?;
        let Event::RecordPut(put) = event else {
            return Ok(Ready::Other(event));
        };
        let model = shards.get(&frame.tenant).map_or(model, |shard| &shard.model);
        Ok(Ready::Put(Box::new(Version::new(&put, Seq(0), model))))
    };
    let all: Vec<Result<Ready>> = frames.par_iter().map(ready).collect();
    let mut by_tenant: BTreeMap<u64, Vec<(u64, Ready)>> = BTreeMap::new();
    for (frame, ready) in frames.iter().zip(all) {
        by_tenant.entry(frame.tenant).or_default().push((frame.seq, ready?));
    }
    let started: Vec<_> = by_tenant.into_iter().map(|(tenant, list)| (tenant, shards.remove(&tenant), list)).collect();
    let done: Vec<Result<(u64, Shard)>> =
        started.into_par_iter().map(|(tenant, shard, list)| apply_to(tenant, shard, list, model)).collect();
    for one in done {
        let (tenant, shard) = one?;
        shards.insert(tenant, shard);
    }
    Ok(())
}

/// Folds the frames of one tenant into its shard, in order. Tenants know nothing of each other.
fn apply_to(
    tenant: u64,
    mut shard: Option<Shard>,
    list: Vec<(u64, Ready)>,
    model: &Arc<Model>,
) -> Result<(u64, Shard)> {
    let unknown = |seq: u64| Error::invalid("journal", format!("frame {seq} is of a tenant never created"));
    for (seq, ready) in list {
        if let Ready::Other(Event::TenantCreated(created)) = &ready {
            shard = Some(Shard::new(TenantId(tenant), &created.name, Arc::clone(model)));
        }
        let shard = shard.as_mut().ok_or_else(|| unknown(seq))?;
        match ready {
            Ready::Put(version) => {
                let version = version.at(Seq(shard.seq.0 + 1));
                shard.apply_put(Arc::new(version));
            }
            Ready::Other(event) => shard.apply(event),
            Ready::Nothing => shard.skip_erased(),
        }
    }
    Ok((tenant, shard.ok_or_else(|| unknown(0))?))
}

fn start(
    options: EngineOptions,
    world: World,
    keys: Arc<Keyring>,
    model: Arc<Model>,
    lock: DataDir,
    journal: Journal,
    loaded: Loaded,
) -> Result<Arc<Engine>> {
    let Loaded { mut shards, upkeep, resting } = loaded;
    let tenants = Tenants::default();
    let mut ended = Vec::new();
    // A number whose key was made or destroyed is never given to another tenant.
    let mut last = keys.highest_tenant();
    let server = shards.remove(&0).unwrap_or_else(|| Shard::new(TenantId(0), SERVER_NAME, Arc::clone(&model)));
    let server_name = TenantName::parse(SERVER_NAME).ok_or_else(|| Error::invalid("server", "is no name"))?;
    for (number, shard) in shards {
        last = last.max(number);
        if let Some(name) = TenantName::parse(&shard.name) {
            let is_ended = shard.is_ended;
            let tenant = Arc::new(Tenant::new(name.clone(), shard, &options.secret));
            if is_ended {
                ended.push(tenant);
            } else {
                tenants.insert(name, tenant);
            }
        }
    }
    let oprf = Oprf::new(Arc::clone(&world.random));
    let secret = options.secret;
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
        server: Arc::new(Tenant::new(server_name, server, &secret)),
        ended: Mutex::new(ended),
        erase_bell: Bell::default(),
        files: Mutex::new(()),
        upkeep,
        oprf,
        views_kept: Mutex::new(None),
        room: Room::default(),
        users: crate::engine::users::Users::default(),
        resting: Mutex::new(resting),
    });
    set_going(core, journal, lock)
}

/// Starts the threads.
fn set_going(core: Arc<Core>, journal: Journal, lock: DataDir) -> Result<Arc<Engine>> {
    for tenant in core.all() {
        // Who is at rest is indexed when somebody asks for it.
        if tenant.view.head().parked.is_none() {
            core.text.touch(&tenant);
        }
        if !tenant.view.head().webhooks.is_empty() {
            core.webhook_news.tell(&tenant.name);
        }
    }
    let (work, works) = unbounded();
    let (jobs, queue) = bounded(JOBS_MAX);
    let mut threads = Vec::new();
    let place = Arc::new(Place::new(journal));
    for number in 0..core.options.workers.max(1) {
        let (core, works) = (Arc::clone(&core), works.clone());
        let way = Way { place: Arc::clone(&place), jobs: jobs.clone() };
        threads.push(spawn(&format!("decide-{number}"), move || writer::run(&core, &works, &way))?);
    }
    let committing = Arc::clone(&core);
    threads.push(spawn("commit", move || commit::run(&committing, &place, &queue))?);
    let (stop, stopped) = bounded(0);
    let followed = stopped.clone();
    if core.upkeep.is_on() {
        let (core, jobs) = (Arc::clone(&core), jobs.clone());
        threads.push(spawn("upkeep", move || upkeep::run(&core, &jobs, &stopped))?);
    }
    let engine = Arc::new(Engine {
        core,
        work: Mutex::new(Some(work)),
        jobs: Mutex::new(Some(jobs)),
        threads: Mutex::new(threads),
        upkeep: Mutex::new(Some(stop)),
        _lock: lock,
    });
    erase::start(&engine)?;
    oprf::start(&engine)?;
    // A simulated disk's operations have one order: there [`Engine::note_users`] and [`Engine::park_idle`] are called.
    if engine.core.world.disk.works_ahead() {
        if let Some(after) = engine.core.options.parking.after {
            let (weak, followed) = (Arc::downgrade(&engine), followed.clone());
            let thread = spawn("park", move || crate::engine::parking::run(&weak, after, &followed))?;
            crate::engine::lock(&engine.threads).push(thread);
        }
        let weak = Arc::downgrade(&engine);
        let thread = spawn("users", move || crate::engine::users::run(&weak, &followed))?;
        crate::engine::lock(&engine.threads).push(thread);
    }
    Ok(engine)
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| Error::io(format!("starting the thread {name}"), source))
}
