//! Tenants that nobody asks for take little: they are parked as compressed bytes ([`Parked`]) and come back on first use.
//!
//! [`ViewCell`] holds what readers see of a tenant. To load it is to use it: a parked tenant is put together before anything of
//! it is read, which takes as long as reading it from a snapshot (some milliseconds for hundreds of records). Whatever goes
//! through all tenants now and then looks at the [`ViewCell::head`] alone, so that it wakes nobody.
//!
//! A tenant is parked only while nothing of it is on its way: under the lock of its working state, when that and what readers
//! see are of one seq, so that all of it is durable. What the journal says is not touched; after a start all tenants are
//! whole, until they are found idle. Looked for twice in a row without a use between, a tenant is idle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::engine::{Core, Engine, Tenant, lock};
use crate::store::parked::Parked;
use crate::store::shard::Shard;

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

    /// The whole of it.
    pub(crate) fn load_full(&self) -> Arc<Shard> {
        // Most loads find it set: a load of many readers writes nothing.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        let now = self.now.load_full();
        if now.parked.is_none() { now } else { self.unparked() }
    }

    /// What is there without putting it together: only name, number, seq, settings, counts and erasures are sure to be. No use.
    pub(crate) fn head(&self) -> Arc<Shard> {
        self.now.load_full()
    }

    pub(crate) fn store(&self, shard: Arc<Shard>) {
        self.now.store(shard);
    }

    fn unparked(&self) -> Arc<Shard> {
        let _moving = lock(&self.moving);
        let now = self.now.load_full();
        let Some(parked) = &now.parked else { return now };
        let Some(whole) = parked.restored() else {
            // It was put together when it was parked, so memory is not what was written to it. Nothing that this process
            // would say from here on could be relied on; the journal has everything.
            tracing::error!(tenant = %now.name, "a parked tenant cannot be put together: memory is damaged; stopping at once");
            std::process::abort();
        };
        let whole = Arc::new(whole);
        self.now.store(Arc::clone(&whole));
        metrics::counter!("selfsame_tenants_unparked_total").increment(1);
        whole
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
    let Some(parked) = Parked::of(&whole, &core.model) else {
        return false;
    };
    let head = parked.head(&whole);
    working.shard = head.clone();
    cell.store(Arc::new(head));
    true
}

/// Whether a tenant's kind and size allow it. What others follow from view to view stays: directories, books whose users are
/// noted, whoever has webhooks; and what is being erased.
fn may_be_parked(core: &Core, tenant: &Tenant, whole: &Shard) -> bool {
    let discovery = &whole.settings.discovery;
    let accounts = whole.accounts.as_ref().map_or(0, |accounts| accounts.slots.len());
    let records = u64::try_from(whole.slots.len() + accounts).unwrap_or(u64::MAX);
    whole.parked.is_none()
        && records > 0
        && records <= core.options.parking.records_max
        && discovery.users.is_none()
        && !discovery.keep_users
        && whole.consents.has_no_users()
        && whole.webhooks.is_empty()
        && !whole.erasures.has_pending()
        && !whole.is_ended
        && !core.oprf.serves(tenant)
}
