//! Oblivious look-ups of a directory, and the Matrix ones: what is served, and keeping it up to date.
//!
//! [`evaluator`] answers without access to any record, on the threads of [`pool`]. [`build`] makes the sets that answers are
//! compared with, [`cache`] keeps what was evaluated for the next start. [`reveal`] says who stands behind an output that
//! a caller found, [`matrix`] answers hashed look-ups with a public pepper. One thread follows the changes of all
//! directories; a simulated disk has no such thread, and [`Engine::refresh_discovery`] does its work.

pub(in crate::engine) mod build;
pub(in crate::engine) mod cache;
pub mod evaluator;
pub mod matrix;
pub mod pool;
pub mod reveal;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use dashmap::DashMap;
use zeroize::Zeroizing;

use crate::discovery::filter::{self, Filter, Width};
use crate::discovery::oprf::EpochKey;
use crate::discovery::oprf::set::{MemberId, Set, prefix_bits};
use crate::discovery::quota::Family;
use crate::discovery::tag::Master;
use crate::engine::models::send_facts;
use crate::engine::oprf::build::{Known, Wanted};
use crate::engine::oprf::cache::{CacheFile, End};
use crate::engine::oprf::evaluator::{Charge, Charged, Evaluation, Evaluator, not_ready, stale};
use crate::engine::oprf::matrix::Matrix;
use crate::engine::oprf::pool::Pool;
use crate::engine::recover::spawn;
use crate::engine::{Core, Engine, Tenant, lock};
use crate::error::{Error, Result};
use crate::host::Random;
use crate::model::event::{Event, OprfBegun, OprfSpent};
use crate::model::ids::{Millis, TenantName};
use crate::store::oprf::Spent;
use crate::store::shard::Shard;

/// Milliseconds of a day: a key stays for [`EPOCH_DAYS_MIN`] of them, a filter for one.
const DAY_MS: i64 = 86_400_000;
/// Days that a key stays at least: every other key opens the quotas' first allowance to whoever asks again.
pub const EPOCH_DAYS_MIN: u32 = 90;
/// Wait before it is looked whether a pepper or an overlap has ended.
const LOOK: Duration = Duration::from_secs(60);
/// Wait after a change before the next walk over a directory, at least.
const PAUSE: Duration = Duration::from_millis(100);
/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Context of the key that small filters are filled up with.
const FILLING_CONTEXT: &str = "selfsame 2026-11 oprf filter";

/// What is left to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// New identifiers that may be asked about at once; missing: no quota applies.
    pub remaining: Option<u64>,
}

/// All directories of an engine.
pub(crate) struct Oprf {
    pool: Arc<Pool>,
    evaluator: Arc<Evaluator>,
    of: DashMap<u64, Arc<Served>>,
    rope: Mutex<Option<Sender<()>>>,
}

/// What is served of one directory.
pub(crate) struct Served {
    /// Held by whoever makes a set, or takes somebody out of the files.
    building: Mutex<Building>,
    epochs: ArcSwap<Vec<Arc<Epoch>>>,
    /// What was used of each key by each principal, as far as it is known here; the state's counts come on top.
    spent: Mutex<HashMap<(u32, String), Spent>>,
    pub(in crate::engine::oprf) matrix: ArcSwap<Option<Matrix>>,
    /// Changes of the directory that the sets show.
    covered: AtomicU64,
    /// The tenant's seq that they show.
    covered_seq: AtomicU64,
}

#[derive(Default)]
struct Building {
    /// Where each epoch's file ends; missing: it was not read yet.
    ends: HashMap<u32, End>,
    /// Not before this.
    not_before: Duration,
}

/// A key with its set.
pub struct Epoch {
    /// When and how it began.
    pub begun: OprfBegun,
    key: Arc<EpochKey>,
    set: ArcSwap<Set>,
    filling: Zeroizing<[u8; 32]>,
    filters: Mutex<HashMap<Width, Arc<Built>>>,
}

/// A filter that was made.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its bytes; see [`crate::discovery::filter`].
    pub bytes: bytes::Bytes,
    /// Names exactly these bytes: the epoch and the start of their hash.
    pub etag: String,
    /// When.
    pub at: Millis,
}

impl Epoch {
    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.public_key()
    }

    /// Who can be found now.
    #[must_use]
    pub fn set(&self) -> Arc<Set> {
        self.set.load_full()
    }

    /// The filter, made anew if it is a day old and not everybody is in it who can be found.
    ///
    /// # Errors
    /// `Full` when no filter of the set can be made.
    pub fn filter(&self, width: Width, now: Millis) -> Result<Arc<Built>> {
        let mut filters = lock(&self.filters);
        if let Some(built) = filters.get(&width)
            && now.0.saturating_sub(built.at.0) < DAY_MS
        {
            return Ok(Arc::clone(built));
        }
        let set = self.set();
        let made = filter::build(set.tags(), self.begun.epoch, width, &self.filling);
        let bytes = made.ok_or_else(|| Error::Full { what: "the filter of the directory's set".into() })?;
        let hash = blake3::hash(&bytes).to_hex();
        let etag = format!("{}.{}", self.begun.epoch, hash.get(..16).unwrap_or_default());
        let built = Arc::new(Built { bytes: bytes.into(), etag, at: now });
        filters.insert(width, Arc::clone(&built));
        Ok(built)
    }

    /// The filter, if it was made.
    #[must_use]
    pub fn filter_made(&self, width: Width) -> Option<Arc<Built>> {
        lock(&self.filters).get(&width).cloned()
    }

    /// The tags that came since a filter was made: ascending, 8 bytes each, big-endian.
    #[must_use]
    pub fn since(&self, built: &Built) -> Vec<u8> {
        let Some(filter) = Filter::parse(&built.bytes) else { return Vec::new() };
        let set = self.set();
        set.tags().iter().filter(|tag| !filter.contains(**tag)).flat_map(|tag| tag.to_be_bytes()).collect()
    }
}

impl Served {
    fn new() -> Self {
        Self {
            building: Mutex::default(),
            epochs: ArcSwap::default(),
            spent: Mutex::default(),
            matrix: ArcSwap::default(),
            covered: AtomicU64::new(u64::MAX),
            covered_seq: AtomicU64::new(0),
        }
    }

    /// Counts what a principal uses, and says what it has used then.
    ///
    /// # Errors
    /// `Conflict` with `reveal_limit` when more would be revealed than was evaluated.
    fn spend(&self, shard: &Shard, epoch: u32, principal: &str, more: Spent) -> Result<Spent> {
        let mut all = lock(&self.spent);
        let known = all.entry((epoch, principal.to_owned())).or_default();
        let before = known.max(shard.oprf.spent(epoch, principal));
        let after = Spent {
            evaluated: before.evaluated.saturating_add(more.evaluated),
            revealed: before.revealed.saturating_add(more.revealed),
        };
        if after.revealed > after.evaluated {
            let left = before.evaluated.saturating_sub(before.revealed);
            let reason = format!(
                "only as many keys are revealed as were evaluated in this epoch, and {left} are left; evaluate more first"
            );
            return Err(Error::Conflict { code: "reveal_limit", reason, holder: None });
        }
        *known = after;
        Ok(after)
    }
}

impl Oprf {
    pub(crate) fn new(random: Arc<dyn Random>) -> Self {
        let pool = Arc::new(Pool::new());
        let evaluator = Arc::new(Evaluator::new(Arc::clone(&pool), random));
        Self { pool, evaluator, of: DashMap::new(), rope: Mutex::new(None) }
    }

    /// Says that a tenant changed.
    pub(crate) fn touch(&self, tenant: &Tenant) {
        if tenant.view.head().settings.discovery.users.is_some() || self.of.contains_key(&tenant.id.0) {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Some(rope) = lock(&self.rope).as_ref() {
            let _ = rope.try_send(()); // full: it has rung already
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.rope).take();
    }

    /// Whether anything of it is served.
    pub(crate) fn serves(&self, tenant: &Tenant) -> bool {
        self.of.get(&tenant.id.0).is_some_and(|one| !one.epochs.load().is_empty() || one.matrix.load().is_some())
    }

    fn served(&self, tenant: &Tenant) -> Arc<Served> {
        Arc::clone(self.of.entry(tenant.id.0).or_insert_with(|| Arc::new(Served::new())).value())
    }
}

/// Starts the thread that follows directories, unless the disk is a simulated one.
pub(crate) fn start(engine: &Arc<Engine>) -> Result<()> {
    let core = &engine.core;
    if !core.world.disk.works_ahead() {
        return Ok(());
    }
    let (rope, rings) = bounded(1);
    *lock(&core.oprf.rope) = Some(rope);
    let weak = Arc::downgrade(engine);
    let thread = spawn("discovery", move || run(&weak, &rings))?;
    lock(&engine.threads).push(thread);
    core.oprf.ring();
    Ok(())
}

fn run(engine: &Weak<Engine>, rings: &Receiver<()>) {
    let mut wait = LOOK;
    loop {
        if rings.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let Some(engine) = engine.upgrade() else { return };
        wait = LOOK;
        for tenant in engine.core.all() {
            wait = wait.min(follow(&engine, &tenant));
        }
    }
}

/// Brings one directory up to date if it changed. Returns when to look again.
fn follow(engine: &Engine, tenant: &Arc<Tenant>) -> Duration {
    let core = &engine.core;
    let shard = tenant.view.head();
    // Of one that is parked nothing is served.
    if shard.parked.is_some() || !is_directory(&shard) && !core.oprf.of.contains_key(&tenant.id.0) {
        return LOOK;
    }
    let served = core.oprf.served(tenant);
    if !is_due(core, &served, &shard) {
        return LOOK;
    }
    let started = core.world.clock.monotonic();
    let early = lock(&served.building).not_before.saturating_sub(started);
    if !early.is_zero() {
        return early;
    }
    if let Err(error) = engine.refresh(tenant) {
        if !core.stopping.load(Ordering::Acquire) {
            tracing::warn!(%error, "a directory's set could not be made; trying again");
        }
        return RETRY;
    }
    let now = core.world.clock.monotonic();
    lock(&served.building).not_before = now + PAUSE.max((now - started) * 10);
    PAUSE
}

fn is_directory(shard: &Shard) -> bool {
    let discovery = &shard.settings.discovery;
    !shard.is_ended && discovery.users.is_some() && !discovery.tags_only && (discovery.oprf || discovery.matrix)
}

/// Everything that says who can be found; what quotas and epochs write is left out.
fn changes(shard: &Shard) -> u64 {
    shard.seq.0.saturating_sub(shard.oprf.events())
}

fn is_due(core: &Core, served: &Served, shard: &Shard) -> bool {
    let epochs = served.epochs.load();
    let newest = shard.oprf.newest().map(|begun| begun.epoch);
    let over = epochs.len() > 1 && is_over(shard, core.now());
    let behind = epochs.last().map(|one| one.begun.epoch) != newest.filter(|_| shard.settings.discovery.oprf);
    served.covered.load(Ordering::Acquire) != changes(shard)
        || over
        || behind && is_directory(shard)
        || matrix::is_due(core, served, shard)
}

/// Whether the key before the newest is served no more.
fn is_over(shard: &Shard, now: Millis) -> bool {
    shard.oprf.overlap_until(shard.settings.discovery.oprf_overlap_days).is_none_or(|until| until <= now)
}

impl Engine {
    /// Brings a directory's sets up to what readers see now, and says how many identifiers were evaluated for it. The server
    /// does this by itself after every change.
    ///
    /// # Errors
    /// `NotFound` for the tenant; as every write where a first key is begun.
    pub fn refresh_discovery(&self, tenant: &TenantName) -> Result<usize> {
        self.refresh(&self.known(tenant)?)
    }

    fn refresh(&self, tenant: &Arc<Tenant>) -> Result<usize> {
        let core = &self.core;
        let served = core.oprf.served(tenant);
        let mut building = lock(&served.building);
        let mut evaluated = 0;
        let mut shard = tenant.view.load_full();
        if !is_directory(&shard) || !shard.settings.discovery.oprf {
            self.close_oprf(tenant, &served, &mut building)?;
        } else {
            let wanted = build::wanted(core, &shard);
            if let Some(begun) = self.to_begin(&served, &shard, wanted.len()) {
                send_facts(self, tenant, vec![Event::OprfBegun(begun)])?;
                // The state that was walked, with its key.
                shard = Arc::new(Shard { oprf: tenant.view.load_full().oprf.clone(), ..(*shard).clone() });
            }
            evaluated = self.make_sets(tenant, &served, &mut building, (&shard, &wanted))?;
        }
        matrix::refresh(core, &served, &shard)?;
        served.covered_seq.store(shard.seq.0, Ordering::Release);
        served.covered.store(changes(&shard), Ordering::Release);
        Ok(evaluated)
    }

    /// The first key, or the same with a longer prefix: as long as nobody has used it, no two prefixes of one output can
    /// have been seen.
    fn to_begin(&self, served: &Served, shard: &Shard, members: usize) -> Option<OprfBegun> {
        let bits = prefix_bits(members);
        match shard.oprf.newest() {
            None => {
                let actor = "discovery".to_owned();
                Some(OprfBegun { epoch: 1, prefix_bits: bits, at: self.core.now(), actor })
            }
            Some(newest) => {
                let used = lock(&served.spent).keys().any(|(epoch, _)| *epoch == newest.epoch);
                let is_free = !used && !shard.oprf.is_used(newest.epoch) && bits > newest.prefix_bits;
                is_free.then(|| OprfBegun { prefix_bits: bits, ..newest.clone() })
            }
        }
    }

    fn close_oprf(&self, tenant: &Tenant, served: &Served, building: &mut Building) -> Result<()> {
        self.core.oprf.evaluator.put(&tenant.name, Vec::new());
        if !served.epochs.swap(Arc::default()).is_empty() {
            *building = Building::default();
        }
        let shard = tenant.view.load_full();
        if shard.settings.discovery.tags_only || shard.settings.discovery.users.is_none() {
            cache::forget(&self.core, tenant.id.0, None)?;
        }
        Ok(())
    }

    /// Makes the sets of the keys that are in force, and serves each as soon as it is there.
    fn make_sets(
        &self,
        tenant: &Tenant,
        served: &Served,
        building: &mut Building,
        (shard, wanted): (&Arc<Shard>, &[Wanted]),
    ) -> Result<usize> {
        let mut all = 0;
        let core = &self.core;
        let before = served.epochs.load_full();
        let mut now_served: Vec<Arc<Epoch>> = Vec::new();
        let over = is_over(shard, core.now());
        for begun in shard.oprf.epochs() {
            let known = before.iter().find(|one| one.begun.epoch == begun.epoch);
            let is_newest = Some(begun) == shard.oprf.newest();
            // The key before goes on until the newest has a set, however short the overlap.
            if !is_newest && over && before.iter().any(|one| one.begun.epoch > begun.epoch) {
                continue;
            }
            let (epoch, evaluated) = self.make_set(tenant, known, begun, building, (shard, wanted))?;
            all += evaluated;
            now_served.push(epoch);
            let newer = before.iter().filter(|one| one.begun.epoch > begun.epoch);
            self.serve(tenant, served, now_served.iter().chain(newer).cloned().collect());
        }
        if over && now_served.len() > 1 {
            now_served.drain(..now_served.len() - 1);
            self.serve(tenant, served, now_served.clone());
        }
        let lowest = now_served.first().map_or(0, |one| one.begun.epoch);
        for epoch in cache::epochs_on_disk(core, tenant.id.0).into_iter().filter(|epoch| *epoch < lowest) {
            CacheFile::new(core, tenant.id.0, epoch).remove()?;
            building.ends.remove(&epoch);
        }
        Ok(all)
    }

    fn serve(&self, tenant: &Tenant, served: &Served, epochs: Vec<Arc<Epoch>>) {
        self.core.oprf.evaluator.put(&tenant.name, epochs.iter().map(|one| Arc::clone(&one.key)).collect());
        served.epochs.store(Arc::new(epochs));
    }

    fn make_set(
        &self,
        tenant: &Tenant,
        known: Option<&Arc<Epoch>>,
        begun: &OprfBegun,
        building: &mut Building,
        (shard, wanted): (&Arc<Shard>, &[Wanted]),
    ) -> Result<(Arc<Epoch>, usize)> {
        let core = &self.core;
        let file = CacheFile::new(core, tenant.id.0, begun.epoch);
        let (outputs, mut end) = match (known, building.ends.get(&begun.epoch)) {
            (Some(epoch), Some(end)) => (Known::of(&epoch.set()), *end),
            _ => Known::on_disk(&file),
        };
        let master = Master::new(&core.options.secret);
        let key = match known {
            Some(epoch) => Arc::clone(&epoch.key),
            None => {
                let derived = EpochKey::derive(&master, &shard.name, begun.epoch);
                Arc::new(derived.ok_or_else(|| Error::invalid("oprf", "no key can be derived"))?)
            }
        };
        let padded = known.filter(|epoch| epoch.begun == *begun).map_or(0, |epoch| epoch.set().padded());
        let of_epoch = (&key, begun.prefix_bits, padded);
        let (set, evaluated) = build::make(core, shard, (wanted, outputs), of_epoch, (&file, &mut end))?;
        building.ends.insert(begun.epoch, end);
        tracing::debug!(epoch = begun.epoch, members = set.len(), evaluated, "a directory's set is made");
        if let Some(epoch) = known.filter(|epoch| epoch.begun == *begun) {
            epoch.set.store(Arc::new(set));
            return Ok((Arc::clone(epoch), evaluated));
        }
        let epoch = Arc::new(Epoch {
            begun: begun.clone(),
            key,
            set: ArcSwap::from_pointee(set),
            filling: master.derive(FILLING_CONTEXT, &shard.name, begun.epoch),
            filters: Mutex::default(),
        });
        Ok((epoch, evaluated))
    }

    /// Puts a key in force that no secret leads to, for the vectors of the RFC.
    #[cfg(test)]
    pub(crate) fn serve_key(&self, tenant: &TenantName, key: EpochKey) {
        self.core.oprf.evaluator.put(tenant, vec![Arc::new(key)]);
    }

    /// Takes the erased out of the files of outputs.
    pub(crate) fn forget_outputs(&self, tenant: &Tenant, is_ended: bool) -> Result<()> {
        let core = &self.core;
        let served = core.oprf.served(tenant);
        let mut building = lock(&served.building);
        if is_ended {
            self.close_oprf(tenant, &served, &mut building)?;
            cache::forget(core, tenant.id.0, None)?;
            drop(building);
            core.oprf.of.remove(&tenant.id.0);
            return Ok(());
        }
        if cache::epochs_on_disk(core, tenant.id.0).is_empty() {
            return Ok(());
        }
        let wanted = build::wanted(core, &tenant.view.load_full());
        let keep = |id: &MemberId| wanted.binary_search_by_key(id, |one| one.id).is_ok();
        // Where the files end is another place now.
        building.ends.clear();
        cache::forget(core, tenant.id.0, Some(&keep))
    }

    /// What is served of a directory: the epoch in force, or the one that is named.
    ///
    /// # Errors
    /// `NotFound` for the tenant; `Conflict` with `not_a_directory`, `oprf_off`, `tags_only`, `oprf_not_ready` or `stale_epoch`.
    pub fn oprf(&self, tenant: &TenantName, epoch: Option<u32>) -> Result<OprfView> {
        let (tenant, shard) = self.directory(tenant)?;
        let served = self.core.oprf.served(&tenant);
        let epochs = served.epochs.load_full();
        let newest = epochs.last().ok_or_else(not_ready)?;
        let wanted = epoch.unwrap_or(newest.begun.epoch);
        let found = epochs.iter().find(|one| one.begun.epoch == wanted);
        let found = found.ok_or_else(|| stale(wanted, newest.begun.epoch))?;
        let overlap = shard.settings.discovery.oprf_overlap_days;
        let not_after = if wanted == newest.begun.epoch {
            let earliest = newest.begun.at.0.saturating_add(i64::from(EPOCH_DAYS_MIN) * DAY_MS);
            Millis(earliest.max(self.core.now().0).saturating_add(i64::from(overlap) * DAY_MS))
        } else {
            shard.oprf.overlap_until(overlap).unwrap_or(newest.begun.at)
        };
        // What came since may be nothing that says who can be found: then it is shown as well.
        let is_current = served.covered.load(Ordering::Acquire) == changes(&shard);
        let covered_seq = if is_current { shard.seq.0 } else { served.covered_seq.load(Ordering::Acquire) };
        Ok(OprfView { epoch: Arc::clone(found), not_after, covered_seq })
    }

    /// A tenant that answers oblivious look-ups, and its state.
    fn directory(&self, tenant: &TenantName) -> Result<(Arc<Tenant>, Arc<Shard>)> {
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let discovery = &shard.settings.discovery;
        let refused = |code, reason: &str| Err(Error::Conflict { code, reason: reason.to_owned(), holder: None });
        if discovery.users.is_none() {
            return refused(
                "not_a_directory",
                "this tenant is no directory; name the system of its user ids in settings.discovery.users",
            );
        }
        if discovery.tags_only {
            return refused(
                "tags_only",
                "this directory keeps tags alone, which cannot be evaluated; use discovery/lookup",
            );
        }
        if !discovery.oprf {
            return refused("oprf_off", "oblivious look-ups are off in this directory; set settings.discovery.oprf");
        }
        Ok((tenant, shard))
    }

    /// One caller's evaluations: all that its handler gets to see.
    ///
    /// # Errors
    /// As [`Engine::oprf`].
    pub fn evaluation(self: &Arc<Self>, tenant: &TenantName, principal: &str) -> Result<Evaluation> {
        self.directory(tenant)?;
        let (engine, name, principal) = (Arc::clone(self), tenant.clone(), principal.to_owned());
        let charge: Charge = Box::new(move |epoch, elements| {
            Box::pin(async move {
                let new = u32::try_from(elements).unwrap_or(u32::MAX);
                let charge = engine.charge(&name, Some(&principal), Family::Oprf, new).await?;
                let quota = Quota { remaining: charge.remaining };
                let finish = Box::new(move |answered: bool| {
                    if !answered {
                        charge.refund();
                    } else if let Err(error) = engine.note_evaluated(&name, epoch, &principal, elements) {
                        tracing::debug!(%error, "evaluations of a directory that is closing are not counted");
                    }
                });
                Ok(Charged { quota, finish })
            })
        });
        Ok(Evaluation::new(Arc::clone(&self.core.oprf.evaluator), tenant.clone(), charge))
    }

    /// Counts evaluations, which is what `reveal` is limited by. The fact is written behind the caller's back: a crash may
    /// take the last of them, and the caller must evaluate again.
    fn note_evaluated(&self, tenant: &TenantName, epoch: u32, principal: &str, elements: u64) -> Result<()> {
        let (tenant, shard) = self.directory(tenant)?;
        let more = Spent { evaluated: elements, revealed: 0 };
        let spent = self.core.oprf.served(&tenant).spend(&shard, epoch, principal, more)?;
        let event = Event::OprfSpent(self.spent_fact(epoch, principal, spent));
        let written = self.enqueue(&tenant, crate::engine::PreparedCommand::Learned(vec![event]), Default::default());
        if let Err(error) = written {
            tracing::debug!(%error, "what was evaluated is not written yet; the next call writes all of it");
        }
        Ok(())
    }

    fn spent_fact(&self, epoch: u32, principal: &str, spent: Spent) -> OprfSpent {
        let Spent { evaluated, revealed } = spent;
        OprfSpent { epoch, principal: principal.to_owned(), evaluated, revealed, at: self.core.now() }
    }

    /// Begins another key. Its set is made in the background while the one before goes on, which is then served for
    /// the tenant's overlap. Returns the new epoch.
    ///
    /// # Errors
    /// As [`Engine::oprf`]; `Conflict` with `rotation_running` while two keys are in force, and with `epoch_young` for a key of fewer than
    /// [`EPOCH_DAYS_MIN`] days, unless it is urgent: the key was lost.
    pub fn rotate_oprf(&self, tenant: &TenantName, actor: &str, urgent: bool) -> Result<u32> {
        let (tenant, shard) = self.directory(tenant)?;
        let now = self.core.now();
        let refused = |code, reason: String| Err(Error::Conflict { code, reason, holder: None });
        let newest = shard.oprf.newest().ok_or_else(not_ready)?;
        let days = now.0.saturating_sub(newest.at.0) / DAY_MS;
        if days < i64::from(EPOCH_DAYS_MIN) && !urgent {
            let reason = format!(
                "the key is {days} days old, and each new one lets every caller ask for everything again; wait for {EPOCH_DAYS_MIN} \
                 days, or say that it is urgent"
            );
            return refused("epoch_young", reason);
        }
        let epochs = self.core.oprf.served(&tenant).epochs.load_full();
        if epochs.last().map(|one| one.begun.epoch) != Some(newest.epoch) || epochs.len() > 1 && !is_over(&shard, now) {
            return refused(
                "rotation_running",
                "the rotation before is not over; two keys are served at most".to_owned(),
            );
        }
        let members = epochs.last().map_or(0, |one| one.set().len());
        let (epoch, bits) = (newest.epoch.saturating_add(1), prefix_bits(members));
        let begun = OprfBegun { epoch, prefix_bits: bits, at: now, actor: actor.to_owned() };
        send_facts(self, &tenant, vec![Event::OprfBegun(begun)])?;
        self.core.oprf.ring();
        Ok(epoch)
    }
}

/// What is served now.
#[derive(Clone)]
pub struct OprfView {
    /// The key and its set.
    pub epoch: Arc<Epoch>,
    /// It is served at least until then, unless its key is lost.
    pub not_after: Millis,
    /// The tenant's seq that the set shows.
    pub covered_seq: u64,
}
