//! The one path of every write, and the reads.
//!
//! A write goes `decide -> append -> apply -> sync -> publish -> answer`: commands of one tenant are decided
//! one after the other by a small pool ([`writer`]), what all tenants have ready is appended and synced as one group, by one
//! thread at a time ([`commit`]), and only then readers see the new view. A query loads the current view and waits
//! for nobody ([`reader`]). [`recover`] brings everything back after a stop while [`warm`] loads the tables; [`maintain`] writes
//! snapshots and feeds the text index, [`upkeep`] says when a snapshot is due,
//! [`limits`] whether there is room for a write, [`models`] trains beside the live state, [`webhooks`] says who wants to hear of what,
//! [`references`] what points at contacts from outside, [`accounts`] are the businesses and who belongs to them.
//! [`rehearse`] is a file's dry run, [`backup`] copies the data directory while all of this goes on, [`erase`] takes the
//! erased out of every file, [`discovery`] answers look-ups in a directory, [`oprf`] those that it cannot read, [`audit`] tells
//! who did what, [`privacy`] what is held about a person and of whom what is held, [`keys`] what everything on disk is sealed
//! under, [`access`] holds the API keys, [`parking`] puts tenants away that nobody asks for.

pub mod access;
pub mod accounts;
pub mod api;
pub mod audit;
pub mod backup;
pub mod carry;
mod commit;
pub mod consent;
pub mod discovery;
mod durability;
pub mod erase;
pub mod import;
pub mod keys;
pub mod limits;
mod maintain;
mod models;
pub mod oprf;
pub mod parking;
pub mod privacy;
mod progress;
pub mod reader;
mod recover;
pub mod references;
mod rehearse;
mod upkeep;
mod users;
mod warm;
pub mod webhooks;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use dashmap::DashMap;
use tokio::sync::{oneshot, watch};

use crate::engine::accounts::{AccountCommand, AccountFilter, AccountHit};
use crate::engine::api::{Command, Context, GroupCommand, Page, Receipt, SearchHit, SearchQuery, WebhookCommand};
use crate::engine::commit::Job;
use crate::engine::discovery::Discovery;
pub use crate::engine::durability::Durability;
use crate::engine::erase::Bell;
use crate::engine::limits::{Limits, Room, check_tenant};
use crate::engine::maintain::TextFeed;
use crate::engine::models::Running;
use crate::engine::parking::ViewCell;
pub use crate::engine::parking::{Look, Parking};
pub use crate::engine::progress::Progress;
pub use crate::engine::reader::View;
pub use crate::engine::recover::OpenReport;
use crate::engine::upkeep::Upkeep;
use crate::engine::webhooks::WebhookNews;
use crate::engine::writer::{PreparedCommand, Request, Work, Working};
use crate::error::{Error, Result};
use crate::host::{Clock, Disk, Ids, Random};
use crate::journal::{DataDir, Keyring};
use crate::matching::model::Model;
use crate::model::event::{AnswerKept, ModelTrained};
use crate::model::ids::{Millis, TenantId, TenantName};
use crate::model::settings::Settings;
use crate::normalize::Normalizer;
use crate::store::shard::Shard;

/// The world outside: a test can be it.
#[derive(Clone)]
pub struct World {
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// What an engine runs with. Every bound has its default in [`EngineOptions::new`].
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where journal and snapshots live.
    pub data_dir: PathBuf,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Commands of one tenant that may wait; more are answered `Busy`.
    pub queue_max: usize,
    /// Deciding threads.
    pub workers: usize,
    /// Tenants there may be.
    pub tenants_max: usize,
    /// Batches that may wait for the text index.
    pub text_queue_max: usize,
    /// When a write is answered.
    pub durability: Durability,
    /// Disk and memory.
    pub limits: Limits,
    /// Bytes journaled since the last snapshot from which the next is written in the background; 0: none is. A snapshot that
    /// was larger than twice this counts instead, with half its size: rewriting it more often would cost more than it saves.
    pub snapshot_journal_bytes: u64,
    /// How long the journal's segments stay once every kept snapshot stands for them; `None`: for ever.
    pub journal_keep: Option<Duration>,
    /// Where they go then; `None`: they are removed.
    pub journal_archive_dir: Option<PathBuf>,
    /// Says how far opening is, while it opens.
    pub progress: Arc<Progress>,
    /// The master key, from the key file: wraps the keys of all tenants. It also keys the hash that names records whose
    /// source gives no id, as the first master key of a data directory does for good.
    pub secret: [u8; 32],
    /// Where the master key comes from, for messages.
    pub secret_from: String,
    /// When tenants that nobody asks for are parked.
    pub parking: Parking,
    /// Whether what is written from now on is sealed. What is sealed already can be read in either case.
    pub encryption: bool,
}

impl EngineOptions {
    /// Defaults for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            segment_bytes: 64 << 20,
            queue_max: 1024,
            workers: 2,
            tenants_max: 100_000,
            text_queue_max: 64,
            durability: Durability::Always,
            limits: Limits::default(),
            snapshot_journal_bytes: 64 << 20,
            journal_keep: None,
            parking: Parking::default(),
            journal_archive_dir: None,
            progress: Arc::default(),
            secret: [0; 32],
            secret_from: "the master key".to_owned(),
            encryption: true,
        }
    }
}

/// One tenant's moving parts.
pub(crate) struct Tenant {
    name: TenantName,
    id: TenantId,
    /// What readers see: synced.
    view: ViewCell,
    /// What the next command is decided on: applied, perhaps not synced yet.
    working: Mutex<Working>,
    /// Commands that wait.
    queue: Mutex<writer::Queue>,
    /// Goes up when applied but unsynced state must be thrown away.
    epoch: AtomicU64,
    /// The published seq.
    published: watch::Sender<u64>,
    /// The normaliser of the settings it was made from.
    normalizer: ArcSwap<(Arc<Settings>, Arc<Normalizer>)>,
    /// Changes wait for the text index.
    text_dirty: AtomicBool,
    /// Feed entries that went to the text index.
    text_at: Mutex<usize>,
    /// A training whose end could not be written.
    unsaved: Mutex<Option<ModelTrained>>,
    /// Look-ups.
    discovery: Discovery,
}

impl Tenant {
    /// `secret` is the one of the data directory, for the keys of discovery.
    pub(crate) fn new(name: TenantName, shard: Shard, secret: &[u8; 32]) -> Self {
        let shard = Arc::new(shard);
        let settings = Arc::clone(&shard.settings);
        let discovery = Discovery::new(secret, name.as_str());
        let normalizer = Arc::new(discovery.normalizer(&settings));
        let (published, _) = watch::channel(shard.seq.0);
        Self {
            name,
            id: shard.tenant,
            working: Mutex::new(Working { shard: (*shard).clone(), epoch: 0 }),
            view: ViewCell::new(shard),
            queue: Mutex::default(),
            epoch: AtomicU64::new(0),
            published,
            normalizer: ArcSwap::from_pointee((settings, normalizer)),
            text_dirty: AtomicBool::new(false),
            text_at: Mutex::new(0),
            unsaved: Mutex::new(None),
            discovery,
        }
    }

    /// The normaliser for a tenant's current settings.
    pub(crate) fn normalizer(&self, settings: &Arc<Settings>) -> Arc<Normalizer> {
        let cached = self.normalizer.load();
        if Arc::ptr_eq(&cached.0, settings) || cached.0 == *settings {
            return Arc::clone(&cached.1);
        }
        let made = Arc::new(self.discovery.normalizer(settings));
        self.normalizer.store(Arc::new((Arc::clone(settings), Arc::clone(&made))));
        made
    }
}

/// By name. Names are short, and every call looks one up.
type Tenants = DashMap<TenantName, Arc<Tenant>, foldhash::fast::RandomState>;

/// State that the engine's threads share.
pub(crate) struct Core {
    options: EngineOptions,
    world: World,
    /// What everything on disk is sealed under.
    keys: Arc<Keyring>,
    model: Arc<Model>,
    /// Clone the `Arc` and drop the guard in one expression: a guard held across another call can deadlock.
    tenants: Tenants,
    tenants_made: Mutex<u64>,
    ids: Ids,
    poisoned: AtomicBool,
    stopping: AtomicBool,
    /// The journal's last frame that is on disk.
    durable_seq: AtomicU64,
    text: TextFeed,
    /// Tenants whose webhooks changed.
    webhook_news: WebhookNews,
    /// The one training that runs.
    running: Mutex<Option<Running>>,
    /// Held by the one preview that runs.
    previewing: Mutex<()>,
    /// The server's own stream: tenant 0, which no caller names.
    server: Arc<Tenant>,
    /// Tenants that were erased and are in files yet.
    ended: Mutex<Vec<Arc<Tenant>>>,
    /// Wakes whoever takes the erased out of the files.
    erase_bell: Bell,
    /// Held by whoever copies, writes or removes whole files: one at a time.
    files: Mutex<()>,
    /// When the next snapshot is due.
    upkeep: Upkeep,
    /// While a snapshot collects the tenants' views: those that were replaced since it began.
    views_kept: Mutex<Option<HashMap<TenantId, Arc<Shard>>>>,
    /// Oblivious and Matrix look-ups.
    oprf: oprf::Oprf,
    /// Whether there is room for writes.
    room: Room,
    /// How far users of directories were noted.
    users: users::Users,
    /// What the newest snapshot has of the tenants.
    resting: Mutex<parking::Resting>,
}

impl Core {
    fn now(&self) -> Millis {
        self.world.clock.now()
    }

    fn new_id(&self) -> u128 {
        self.ids.next(self.world.clock.now(), &*self.world.random)
    }

    /// A secret of 32 random bytes, as 64 hex digits.
    fn new_secret(&self) -> String {
        let mut bytes = [0; 32];
        self.world.random.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn tenant(&self, name: &TenantName) -> Option<Arc<Tenant>> {
        self.tenants.get(name).map(|entry| Arc::clone(entry.value()))
    }

    fn tenant_or_new(&self, name: &TenantName) -> Result<Arc<Tenant>> {
        if let Some(tenant) = self.tenant(name) {
            return Ok(tenant);
        }
        let mut made = lock(&self.tenants_made);
        if let Some(tenant) = self.tenant(name) {
            return Ok(tenant);
        }
        if self.tenants.len() >= self.options.tenants_max {
            return Err(Error::Full { what: format!("the list of tenants (at most {})", self.options.tenants_max) });
        }
        *made += 1;
        let shard = Shard::new(TenantId(*made), name.as_str(), Arc::clone(&self.model));
        let tenant = Arc::new(Tenant::new(name.clone(), shard, &self.options.secret));
        self.tenants.insert(name.clone(), Arc::clone(&tenant));
        Ok(tenant)
    }

    /// Puts a tenant together that is parked, before anything of it is read or changed. What readers see of it now.
    fn wake(&self, tenant: &Arc<Tenant>) -> Result<Arc<Shard>> {
        let (view, was_parked) = tenant.view.wake()?;
        if was_parked {
            // One that was parked since the start was never indexed; of another nothing is new.
            self.text.touch(tenant);
        }
        Ok(view)
    }

    /// Takes an erased tenant from callers; its name may be given anew.
    fn end(&self, tenant: &Arc<Tenant>) {
        if self.tenants.remove_if(&tenant.name, |_, one| Arc::ptr_eq(one, tenant)).is_some() {
            lock(&self.ended).push(Arc::clone(tenant));
        }
    }

    /// All tenants with a state, the server's own and the erased ones included, by number. One that is just ended may be
    /// missing: whoever collects views has the one before it.
    fn all_and_ended(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<Arc<Tenant>> = self.tenants.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.extend(lock(&self.ended).iter().cloned());
        all.push(Arc::clone(&self.server));
        all.retain(|tenant| tenant.view.head().seq.0 > 0);
        all.sort_unstable_by_key(|tenant| tenant.id);
        all.dedup_by_key(|tenant| tenant.id);
        all
    }

    /// All tenants that exist for callers, by number.
    fn all(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<Arc<Tenant>> = self.tenants.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.retain(|tenant| tenant.view.head().seq.0 > 0);
        all.sort_unstable_by_key(|tenant| tenant.id);
        all
    }
}

/// A mutex whose holder panicked still guards whole values here: every section replaces them in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running engine of one data directory.
pub struct Engine {
    core: Arc<Core>,
    work: Mutex<Option<Sender<Work>>>,
    jobs: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped to end the upkeep.
    upkeep: Mutex<Option<Sender<()>>>,
    _lock: DataDir,
}

/// What a snapshot took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// The journal's seq that it is as of.
    pub seq: u64,
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub millis: u64,
    /// How long it kept writers waiting, measured where they are served.
    pub blocked_micros: u64,
    /// The file.
    pub path: PathBuf,
}

impl Engine {
    /// Opens a data directory: locks it, recovers what is on disk, starts the threads.
    ///
    /// # Errors
    /// `Conflict` when another process holds the directory, `Corrupt` when what is on disk is not what
    /// was written, `Invalid` for files of a newer version, `Io` from the disk.
    pub fn open(options: EngineOptions, world: World) -> Result<(Arc<Self>, OpenReport)> {
        recover::open(options, world)
    }

    /// Sends a command and waits for its answer, which comes after the data is on disk (unless [`Durability`] says otherwise).
    ///
    /// # Errors
    /// What the command may return; `Busy` when the tenant's queue is full; `Poisoned` after a failed sync.
    pub async fn submit(&self, tenant: &TenantName, command: Command, context: Context) -> Result<Receipt> {
        self.send(tenant, command, context)?.await.unwrap_or(Err(Error::Poisoned))
    }

    /// [`Engine::submit`] for threads outside of a runtime.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn submit_blocking(&self, tenant: &TenantName, command: Command, context: Context) -> Result<Receipt> {
        self.send(tenant, command, context)?.blocking_recv().unwrap_or(Err(Error::Poisoned))
    }

    /// Queues a command; the answer comes through the receiver.
    ///
    /// # Errors
    /// `Busy` when the tenant's queue is full, `Poisoned` after a failed sync, `Full` when there are too many tenants or one
    /// of [`Limits`] is reached.
    pub fn send(
        &self,
        tenant: &TenantName,
        command: Command,
        context: Context,
    ) -> Result<oneshot::Receiver<Result<Receipt>>> {
        if self.core.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        if self.core.stopping.load(Ordering::Acquire) {
            return Err(Error::Busy { retry_after_ms: 1000 });
        }
        self.core.room.check(&self.core.options, &self.core.world, &command)?;
        let makes = matches!(
            command,
            Command::Upsert { .. }
                | Command::CreateTenant
                | Command::PutSettings { .. }
                | Command::Webhook(WebhookCommand::Create(_))
                | Command::Account(AccountCommand::Upsert { .. })
                | Command::Group(GroupCommand::Put { .. })
        );
        let tenant = if makes {
            let tenant = self.core.tenant_or_new(tenant)?;
            self.core.wake(&tenant)?;
            tenant
        } else {
            self.known(tenant)?
        };
        check_tenant(&self.core.options.limits, &tenant, &command)?;
        let prepared = writer::prepare(&self.core, &tenant, command);
        let context = masked(&tenant, context);
        self.enqueue(&tenant, prepared, context)
    }

    fn enqueue(
        &self,
        tenant: &Arc<Tenant>,
        command: PreparedCommand,
        context: Context,
    ) -> Result<oneshot::Receiver<Result<Receipt>>> {
        let (reply, answer) = oneshot::channel();
        let request = Request { command, context, reply };
        if writer::enqueue(&self.core, tenant, request)? {
            let work = lock(&self.work).clone().ok_or(Error::Busy { retry_after_ms: 1000 })?;
            work.send(Work(Arc::clone(tenant))).map_err(|_| Error::Poisoned)?;
        }
        Ok(answer)
    }

    fn known(&self, name: &TenantName) -> Result<Arc<Tenant>> {
        Ok(self.seen(name)?.0)
    }

    /// The same, and what readers see of it now.
    fn seen(&self, name: &TenantName) -> Result<(Arc<Tenant>, Arc<Shard>)> {
        let unknown = || Error::NotFound { code: "tenant_unknown", what: format!("tenant {name}") };
        let tenant = self.core.tenant(name).ok_or_else(unknown)?;
        let view = self.core.wake(&tenant)?;
        // The queue is asked only of a tenant that shows nothing yet: its lock is the writers'.
        let is_there = view.seq.0 > 0 || !lock(&tenant.queue).is_empty();
        if is_there { Ok((tenant, view)) } else { Err(unknown()) }
    }

    /// The ids that a call with this idempotency key kept before, if it is a repeat: see [`Command::Remember`].
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Conflict` when the key came with another body.
    pub fn remembered(&self, tenant: &TenantName, context: &Context) -> Result<Option<Vec<u128>>> {
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let kept = writer::kept_answer(&shard, &masked(&tenant, context.clone()), self.core.now().0)?;
        let ids = |kept: &AnswerKept| kept.answer.iter().flat_map(|one| one.affected.iter().map(|id| id.0)).collect();
        Ok(kept.map(|kept| ids(&kept)))
    }

    /// What readers see now.
    ///
    /// # Errors
    /// `NotFound` with code `tenant_unknown`.
    pub fn view(&self, tenant: &TenantName) -> Result<View> {
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let normalizer = tenant.normalizer(&shard.settings);
        Ok(View::new(shard, normalizer, self.core.options.secret, self.core.options.durability))
    }

    /// Free-text search.
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Invalid` for the query.
    pub fn search(&self, tenant: &TenantName, query: &SearchQuery) -> Result<Page<SearchHit>> {
        let view = self.view(tenant)?;
        maintain::search(&self.core, &view, query)
    }

    /// Free-text search of accounts.
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Invalid` for the query.
    pub fn search_accounts(&self, tenant: &TenantName, q: &str, filter: &AccountFilter) -> Result<Page<AccountHit>> {
        maintain::search_accounts(&self.core, &self.view(tenant)?, q, filter)
    }

    /// The tenants there are, by number.
    pub fn tenants(&self) -> Vec<TenantName> {
        self.core.all().iter().map(|tenant| tenant.name.clone()).collect()
    }

    /// Writes a snapshot of everything that is on disk now. Writers go on.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk, `Poisoned` after a failed sync.
    pub fn snapshot(&self) -> Result<SnapshotReport> {
        let jobs = self.jobs()?;
        let _files = lock(&self.core.files);
        maintain::snapshot(&self.core, &jobs)
    }

    fn jobs(&self) -> Result<Sender<Job>> {
        lock(&self.jobs).clone().ok_or(Error::Poisoned)
    }

    /// Stops taking writes, finishes those that wait, writes a last snapshot and ends the threads.
    ///
    /// # Errors
    /// From the last snapshot; nothing acknowledged is lost then either.
    pub fn shutdown(&self) -> Result<()> {
        if self.core.stopping.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let deadline = self.core.world.clock.monotonic() + Duration::from_secs(30);
        while self.core.tenants.iter().any(|entry| !lock(&entry.value().queue).is_empty())
            && self.core.world.clock.monotonic() < deadline
            && !self.core.poisoned.load(Ordering::Acquire)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        let last = self.snapshot();
        self.close();
        last.map(drop)
    }

    /// Ends the threads. Journal and text index go with them.
    fn close(&self) {
        self.core.stopping.store(true, Ordering::Release);
        lock(&self.upkeep).take();
        lock(&self.work).take();
        lock(&self.jobs).take();
        self.core.erase_bell.stop();
        self.core.oprf.stop();
        self.core.text.stop();
        let threads: Vec<JoinHandle<()>> = lock(&self.threads).drain(..).collect();
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("an engine thread panicked");
            }
        }
    }

    /// The published seq of a tenant, to be watched.
    ///
    /// # Errors
    /// `NotFound` for the tenant.
    pub fn subscribe(&self, tenant: &TenantName) -> Result<watch::Receiver<u64>> {
        Ok(self.known(tenant)?.published.subscribe())
    }

    /// Waits until the text index covers what is published now: for tests and orderly answers.
    ///
    /// # Errors
    /// `Io` if its thread has failed.
    pub fn flush_text(&self) -> Result<()> {
        maintain::flush_text(&self.core)
    }

    /// The world it runs in.
    pub fn world(&self) -> &World {
        &self.core.world
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.core.options.data_dir
    }

    /// When a write is answered.
    pub fn durability(&self) -> Durability {
        self.core.options.durability
    }

    /// Whether a failed append or sync has stopped all writes.
    pub fn is_poisoned(&self) -> bool {
        self.core.poisoned.load(Ordering::Acquire)
    }
}

/// A caller's context as it may be kept on disk.
fn masked(tenant: &Tenant, context: Context) -> Context {
    if !tenant.view.head().settings.discovery.tags_only {
        return context;
    }
    let idempotency = context.idempotency.map(|(key, body)| (key, tenant.discovery.masked_body(&body)));
    Context { idempotency, ..context }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
