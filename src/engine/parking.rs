//! Tenants that nobody asks for take little: they are parked ([`Parked`]) and come back on first use.
//!
//! A parked tenant stays in the newest snapshot where that has its state, else in memory as compressed bytes until the next
//! snapshot is written. At a start small tenants are left in the snapshot from the beginning, so that it takes no longer for
//! the many that nobody will ask for.
//!
//! [`ViewCell`] holds what readers see of a tenant. To load it is to use it: a parked tenant is put together before anything of
//! it is read, which takes as long as reading it from a snapshot (some milliseconds for hundreds of records). Whatever goes
//! through all tenants now and then looks at the [`ViewCell::head`] alone, so that it wakes nobody.
//!
//! A tenant is parked only while nothing of it is on its way: under the lock of its working state, when that and what readers
//! see are of one seq, so that all of it is durable. What the journal says is not touched. Looked for twice in a row without a
//! use between, a tenant is idle.
//!
//! Snapshots are removed when there are newer ones, and when somebody was erased. So whoever has written one moves all that
//! are parked into it ([`rest_in`]) before the one is removed that they were in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::engine::{Core, Engine, Tenant, lock};
use crate::error::{Error, Result};
use crate::journal::{Keyring, Part, Snapshot, Spans};
use crate::model::ids::{Seq, TenantId};
use crate::store::parked::{Chunks, Parked};
use crate::store::shard::Shard;
use crate::store::state::{self, Piece};

/// What readers see of a tenant.
pub(crate) struct ViewCell {
    now: ArcSwap<Shard>,
    /// It was loaded since it was looked for last.
    is_used: AtomicBool,
    /// Held by whoever parks it or puts it together.
    moving: Mutex<()>,
}

impl ViewCell {
    pub(crate) fn new(shard: Arc<Shard>) -> Self {
        Self { now: ArcSwap::new(shard), is_used: AtomicBool::new(true), moving: Mutex::default() }
    }

    /// The whole of it. Where it can fail to be there, [`ViewCell::wake`] is called before.
    pub(crate) fn load_full(&self) -> Arc<Shard> {
        // Most loads find it set: a load of many readers writes nothing.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        let now = self.now.load_full();
        if now.parked.is_none() {
            return now;
        }
        match self.unparked() {
            Ok((whole, _)) => whole,
            Err(error) => {
                // It was there when the call began. Nothing that this process would say from here on could be relied on; the
                // journal has everything.
                tracing::error!(tenant = %now.name, %error, "a parked tenant cannot be put together; stopping at once");
                std::process::abort();
            }
        }
    }

    /// Puts the tenant together if it is parked, and keeps it so for a while. The whole, and whether it was parked.
    ///
    /// # Errors
    /// `Corrupt` or `Io`: what is kept of it cannot be read. It stays parked.
    pub(crate) fn wake(&self) -> Result<(Arc<Shard>, bool)> {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        let now = self.now.load_full();
        if now.parked.is_none() { Ok((now, false)) } else { self.unparked() }
    }

    /// One look at the server's own, which is never parked.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Shard) -> T) -> T {
        at(&self.now.load())
    }

    /// What is there without putting it together: only name, number, seq, settings, counts and erasures are sure to be. No use.
    pub(crate) fn head(&self) -> Arc<Shard> {
        self.now.load_full()
    }

    pub(crate) fn store(&self, shard: Arc<Shard>) {
        self.now.store(shard);
    }

    /// The whole, and whether it had to be put together for that.
    fn unparked(&self) -> Result<(Arc<Shard>, bool)> {
        let _moving = lock(&self.moving);
        let now = self.now.load_full();
        let Some(parked) = &now.parked else { return Ok((now, false)) };
        let whole = Arc::new(parked.restored()?);
        if whole.seq != now.seq {
            let reason = format!("it was put away at seq {} and came back at {}", now.seq.0, whole.seq.0);
            return Err(unreadable(reason));
        }
        self.now.store(Arc::clone(&whole));
        metrics::counter!("selfsame_tenants_unparked_total").increment(1);
        Ok((whole, true))
    }
}

fn unreadable(reason: impl Into<String>) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason.into());
    Error::io("reading a tenant that was at rest; restart the server", source)
}

/// A tenant's chunks in a snapshot.
pub(crate) struct InSnapshot {
    part: Part,
    keys: Arc<Keyring>,
}

impl InSnapshot {
    pub(crate) fn new(part: Part, keys: &Arc<Keyring>) -> Self {
        Self { part, keys: Arc::clone(keys) }
    }
}

impl std::fmt::Debug for InSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.part.fmt(f)
    }
}

impl Chunks for InSnapshot {
    fn read(&self) -> Result<Vec<Piece>> {
        let destroyed = || unreadable("its keys were destroyed");
        let open = |chunk: crate::journal::StoredChunk| {
            let kind = chunk.kind;
            Ok((kind, chunk.open(&self.keys)?.ok_or_else(destroyed)?))
        };
        self.part.read()?.into_iter().map(open).collect()
    }
}

/// Where the newest snapshot has which tenant, and as of which seq of it.
#[derive(Debug, Default)]
pub(crate) struct Resting(HashMap<TenantId, (Seq, Arc<InSnapshot>)>);

impl Resting {
    /// Of a snapshot, its spans, and the seq of each tenant in it.
    pub(crate) fn new(
        snapshot: &Arc<Snapshot>,
        spans: &Spans,
        keys: &Arc<Keyring>,
        seqs: impl Fn(TenantId) -> Option<Seq>,
    ) -> Self {
        let of = spans.iter().filter_map(|(tenant, span)| {
            let tenant = TenantId(tenant);
            Some((tenant, (seqs(tenant)?, Arc::new(InSnapshot::new(Part::new(snapshot, span), keys)))))
        });
        Self(of.collect())
    }

    /// Where a tenant's state is; `None`: the snapshot has an older one.
    fn chunks(&self, shard: &Shard) -> Option<Arc<InSnapshot>> {
        let (seq, chunks) = self.0.get(&shard.tenant)?;
        (*seq == shard.seq).then(|| Arc::clone(chunks))
    }
}

/// After a snapshot was written: where the parked are from now on.
pub(crate) fn rest_in(core: &Core, newest: Resting) {
    // Held until all are moved: whoever is parked meanwhile comes after.
    let mut resting = lock(&core.resting);
    *resting = newest;
    for tenant in core.all_and_ended() {
        let head = tenant.view.head();
        if let Some(parked) = &head.parked
            && let Some(chunks) = resting.chunks(&head)
        {
            parked.move_to(chunks);
        }
    }
}

/// Which tenants are parked, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parking {
    /// Time between two looks: a tenant is parked after one to two of them without a use. `None`: none is.
    pub after: Option<Duration>,
    /// Records that a parked tenant has at most: with more, its first use would take too long.
    pub records_max: u64,
}

impl Default for Parking {
    fn default() -> Self {
        Self { after: Some(Duration::from_secs(300)), records_max: 1000 }
    }
}

/// What a look at all tenants did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Tenants that were parked by it.
    pub parked: usize,
    /// Tenants that are parked now.
    pub are_parked: usize,
    /// Bytes that those take.
    pub bytes: usize,
}

impl Engine {
    /// Parks the tenants that were not used since the last look, as far as they may be. The engine does so by itself; for
    /// tests and for who wants memory back at once.
    pub fn park_idle(&self) -> Look {
        let mut look = Look::default();
        for tenant in self.core.all() {
            look.parked += usize::from(park(&self.core, &tenant));
            if let Some(parked) = &tenant.view.head().parked {
                look.are_parked += 1;
                look.bytes += parked.bytes();
            }
        }
        look
    }
}

/// The thread's life: until the sender of `stop` is gone, or the engine.
pub(crate) fn run(engine: &Weak<Engine>, after: Duration, stop: &Receiver<()>) {
    while stop.recv_timeout(after) != Err(RecvTimeoutError::Disconnected) {
        let Some(engine) = engine.upgrade() else { return };
        let look = engine.park_idle();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("selfsame_tenants_parked").set(look.are_parked as f64);
        if look.parked > 0 {
            tracing::debug!(
                parked = look.parked,
                all = look.are_parked,
                bytes = look.bytes,
                "idle tenants were parked"
            );
        }
    }
}

/// Parks a tenant if it is idle and may be.
fn park(core: &Core, tenant: &Tenant) -> bool {
    let cell = &tenant.view;
    if cell.is_used.swap(false, Ordering::Relaxed) || !may_be_parked(core, tenant, &cell.head()) {
        return false;
    }
    // Somebody decides: it is in use.
    let Ok(mut working) = tenant.working.try_lock() else { return false };
    let _moving = lock(&cell.moving);
    let whole = cell.head();
    let is_settled = working.shard.seq == whole.seq
        && working.epoch == tenant.epoch.load(Ordering::Acquire)
        && lock(&tenant.queue).is_empty()
        && !tenant.text_dirty.load(Ordering::Acquire)
        && *lock(&tenant.text_at) == whole.feed.len();
    if !is_settled || !may_be_parked(core, tenant, &whole) {
        return false;
    }
    // Held until it is seen to be parked: a snapshot that is written meanwhile moves it, see [`rest_in`].
    let resting = lock(&core.resting);
    let parked = match resting.chunks(&whole) {
        Some(chunks) => Some(Parked::elsewhere(whole.tenant, &core.model, chunks)),
        None => Parked::of(&whole, &core.model),
    };
    let Some(parked) = parked else { return false };
    let head = parked.head(&whole);
    working.shard = head.clone();
    cell.store(Arc::new(head));
    true
}

/// Whether a tenant's kind and size allow it.
fn may_be_parked(core: &Core, tenant: &Tenant, whole: &Shard) -> bool {
    whole.parked.is_none()
        && state::records(whole) <= core.options.parking.records_max
        && state::may_rest(whole)
        && !core.oprf.serves(tenant)
}
