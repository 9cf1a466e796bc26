//! Charging look-ups to quotas: exact in memory, reserved ahead in the journal.
//!
//! A call is charged before any work. If the levels on disk do not cover it, one event reserves some more, and the answer
//! waits for it; calls that come meanwhile wait for the same event. So `kill -9` takes nothing but what was reserved and
//! not used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::discovery::quota::{Book, Family, Key, Level, Limit};
use crate::discovery::tag::Master;
use crate::engine::api::{Command, Context};
use crate::engine::discovery::{Asking, DiscoveryCommand};
use crate::engine::{Engine, Tenant, lock};
use crate::error::{Error, Result};
use crate::model::event::{QuotaLevel, QuotaReserved};
use crate::model::ids::{Millis, TenantName};
use crate::store::shard::Shard;

/// How long a repeat with the same idempotency key is free.
const REPEAT_FREE: Duration = Duration::from_secs(600);
/// Calls that are remembered for that; beyond it a repeat is charged.
const REPEATS_MAX: usize = 65_536;
/// Who writes the reservations, in the journal.
const ACTOR: &str = "quota";

/// Calls that may be repeated: by a digest of who calls and the caller's key, that of the request and when it came.
type Repeats = HashMap<[u8; 32], ([u8; 32], Duration)>;

/// Where a tenant's calls are charged.
pub(crate) struct Desk {
    key: Zeroizing<[u8; 32]>,
    book: Mutex<Option<Book>>,
    /// Held by the one who reserves.
    turn: tokio::sync::Mutex<()>,
    repeats: Mutex<Repeats>,
}

impl Desk {
    pub(crate) fn new(master: &Master, tenant: &str) -> Self {
        let key = master.derive("selfsame 2026-01 discovery payer", tenant, 0);
        Self { key, book: Mutex::default(), turn: tokio::sync::Mutex::default(), repeats: Mutex::default() }
    }

    /// What stands for a payer on disk; never 0, which is the tenant as a whole.
    fn payer(&self, name: &str) -> u128 {
        let hash = blake3::keyed_hash(&self.key, name.as_bytes());
        hash.as_bytes().first_chunk().map_or(1, |start| u128::from_le_bytes(*start).max(1))
    }
}

/// A call that may be a repeat: who calls, the caller's key, and a digest of the request.
#[derive(Clone, Copy, Debug)]
pub struct Repeat<'a> {
    /// Who.
    pub caller: &'a str,
    /// The caller's idempotency key.
    pub key: &'a str,
    /// Of the whole request.
    pub body: [u8; 32],
}

/// The buckets of a charge.
type Wanted = SmallVec<[(Key, Limit); 2]>;

/// What was charged.
pub struct Charge {
    tenant: Arc<Tenant>,
    keys: SmallVec<[Key; 2]>,
    /// New identifiers that were charged; 0 for a repeat.
    pub charged: u32,
    /// New identifiers that the payer has left; missing: no quota applies.
    pub remaining: Option<u64>,
    remembered: Option<[u8; 32]>,
}

/// A charge in memory.
pub enum Charging {
    /// That the disk covers.
    Done(Charge),
    /// That the disk must cover before anything is answered: [`Engine::charged`].
    NotOnDisk(Box<(Charge, Wanted)>),
}

impl Charge {
    /// Gives the charge back: the answer failed by our fault.
    pub fn refund(&self) {
        let desk = &self.tenant.discovery.quota;
        if let Some(book) = lock(&desk.book).as_mut() {
            book.refund(&self.keys, self.charged);
        }
        if let Some(remembered) = self.remembered {
            lock(&desk.repeats).remove(&remembered);
        }
    }
}

impl Engine {
    /// Charges `n` new identifiers to a payer's quota of a family and to the tenant's ceiling, durably enough that no crash
    /// forgets it. `payer` missing: to the ceiling only.
    ///
    /// # Errors
    /// `Quota` when there is no room: nothing was charged. `NotFound` for the tenant; what a write may fail with, after which
    /// nothing is charged either.
    pub async fn charge(&self, tenant: &TenantName, payer: Option<&str>, family: Family, n: u32) -> Result<Charge> {
        self.charge_once(tenant, payer, family, n, None).await
    }

    /// [`Engine::charge`], but free for a repeat within ten minutes.
    ///
    /// # Errors
    /// As [`Engine::charge`]; `Invalid` with field `idempotency_key` when the key came with another request.
    pub async fn charge_once(
        &self,
        tenant: &TenantName,
        payer: Option<&str>,
        family: Family,
        n: u32,
        repeat: Option<Repeat<'_>>,
    ) -> Result<Charge> {
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let charging = self.charge_to((&tenant, &shard), payer, family, n, repeat)?;
        self.charged(charging).await
    }

    /// [`Engine::charge_once`] for the tenant that questions are prepared to, as far as it goes without waiting: nearly always
    /// to the end.
    ///
    /// # Errors
    /// As [`Engine::charge_once`].
    pub fn charge_for(
        &self,
        asking: &Asking,
        payer: Option<&str>,
        family: Family,
        n: u32,
        repeat: Option<Repeat<'_>>,
    ) -> Result<Charging> {
        self.charge_to((&asking.tenant, &asking.shard), payer, family, n, repeat)
    }

    fn charge_to(
        &self,
        (tenant, shard): (&Arc<Tenant>, &Shard),
        payer: Option<&str>,
        family: Family,
        n: u32,
        repeat: Option<Repeat<'_>>,
    ) -> Result<Charging> {
        let wanted = wanted(tenant, shard, payer, family);
        let charge = self.charge_in_memory(tenant, shard, &wanted, n, repeat)?;
        let covered = wanted.is_empty()
            || lock(&tenant.discovery.quota.book).as_ref().is_none_or(|book| book.is_covered(&charge.keys));
        Ok(if covered { Charging::Done(charge) } else { Charging::NotOnDisk(Box::new((charge, wanted))) })
    }

    /// The charge, once the disk covers it.
    ///
    /// # Errors
    /// What a write may fail with, after which nothing is charged.
    pub async fn charged(&self, charging: Charging) -> Result<Charge> {
        let (charge, wanted) = match charging {
            Charging::Done(charge) => return Ok(charge),
            Charging::NotOnDisk(both) => *both,
        };
        match self.reserve(&charge.tenant, &wanted).await {
            Ok(()) => Ok(charge),
            Err(error) => {
                charge.refund();
                Err(error)
            }
        }
    }

    /// One step for all callers: is it a repeat, is there room, charge, remember.
    fn charge_in_memory(
        &self,
        tenant: &Arc<Tenant>,
        shard: &Shard,
        wanted: &[(Key, Limit)],
        n: u32,
        repeat: Option<Repeat<'_>>,
    ) -> Result<Charge> {
        let desk = &tenant.discovery.quota;
        let mut repeats = repeat.is_some().then(|| lock(&desk.repeats));
        let now = repeat.as_ref().map_or(Duration::ZERO, |_| self.core.world.clock.monotonic());
        let mut charged = n;
        let mut remembered = None;
        if let (Some(repeat), Some(repeats)) = (&repeat, &mut repeats) {
            let name = repeat_name(repeat);
            match repeats.get(&name).filter(|(_, at)| now.saturating_sub(*at) < REPEAT_FREE) {
                Some((body, _)) if *body == repeat.body => charged = 0,
                Some(_) => {
                    let reason = "came with another request within 10 minutes; use a new key";
                    return Err(Error::invalid("idempotency_key", reason));
                }
                None => remembered = Some(name),
            }
        }
        let mut charge = Charge {
            tenant: Arc::clone(tenant),
            keys: wanted.iter().map(|(key, _)| *key).collect(),
            charged,
            remaining: None,
            remembered,
        };
        if !wanted.is_empty() {
            let mut book = lock(&desk.book);
            let book = book.get_or_insert_with(|| Book::new(shard.quotas.latest().0));
            let restore = |key: Key| {
                let level = shard.quotas.get(key)?;
                Some(Level { used: level.used, at_ms: level.at.0, leak_per_hour: level.leak_per_hour })
            };
            let granted = book.charge(wanted, charged, self.core.now().0, &restore);
            let granted = granted.map_err(|refused| Error::Quota { retry_after_s: refused.retry_after_s })?;
            charge.remaining = granted.remaining;
        }
        if let (Some(repeat), Some(repeats), Some(name)) = (repeat, &mut repeats, remembered) {
            remember(repeats, name, repeat.body, now);
        }
        Ok(charge)
    }

    /// Makes durable what covers everything that was charged of these buckets by now.
    async fn reserve(&self, tenant: &Arc<Tenant>, wanted: &[(Key, Limit)]) -> Result<()> {
        let desk = &tenant.discovery.quota;
        let _turn = desk.turn.lock().await;
        let levels = lock(&desk.book).as_ref().map(|book| book.reservation(wanted)).unwrap_or_default();
        let Some((_, first)) = levels.first() else { return Ok(()) };
        let at = Millis(first.at_ms);
        let level = |(key, level): &(Key, Level)| QuotaLevel {
            family: key.0,
            payer: key.1,
            used: level.used,
            leak_per_hour: level.leak_per_hour,
        };
        let event = QuotaReserved { levels: levels.iter().map(level).collect(), at };
        let context = Context { actor: ACTOR.to_owned(), idempotency: None };
        self.submit(&tenant.name, Command::Discovery(DiscoveryCommand::Reserve(event)), context).await?;
        if let Some(book) = lock(&desk.book).as_mut() {
            book.reserved(&levels);
        }
        Ok(())
    }
}

/// The buckets that a call is charged to: the payer's first, then the tenant's.
fn wanted(tenant: &Tenant, shard: &Shard, payer: Option<&str>, family: Family) -> Wanted {
    let settings = &shard.settings.discovery;
    let own = payer.map(|payer| {
        let limit = Limit { new_max: settings.quota_new_max, leak_per_hour: settings.quota_leak_per_hour };
        ((family as u8, tenant.discovery.quota.payer(payer)), limit)
    });
    let all = settings.tenant_quota_new_max.map(|new_max| {
        let leak_per_hour = settings.tenant_quota_leak_per_hour.unwrap_or(0);
        ((Family::All as u8, 0), Limit { new_max, leak_per_hour })
    });
    own.into_iter().chain(all).collect()
}

fn repeat_name(repeat: &Repeat<'_>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(repeat.caller.len() as u64).to_le_bytes()).update(repeat.caller.as_bytes());
    hasher.update(repeat.key.as_bytes());
    *hasher.finalize().as_bytes()
}

fn remember(repeats: &mut Repeats, name: [u8; 32], body: [u8; 32], now: Duration) {
    if repeats.len() >= REPEATS_MAX {
        repeats.retain(|_, (_, at)| now.saturating_sub(*at) < REPEAT_FREE);
    }
    if repeats.len() < REPEATS_MAX {
        repeats.insert(name, (body, now));
    }
}
