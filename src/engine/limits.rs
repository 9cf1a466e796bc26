//! Room: disk and memory. A write that would go beyond is answered `Full` before it is decided; reads go on.
//!
//! The system is asked at most once a second, by whoever writes; so writes are taken again as soon as there is room.
//! On a full disk nothing that writes is taken, since even a deletion is a frame. When memory is the limit, whatever does
//! not add (deletions, undoing, settings, decisions) goes on, so that there is a way out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::accounts::AccountCommand;
use crate::engine::api::{Command, ConsentCommand, GroupCommand, ReferenceCommand, WebhookCommand};
use crate::engine::{EngineOptions, Tenant, World};
use crate::error::{Error, Result};
use crate::formats::InputRecord;
use crate::host::resident_bytes;
use crate::model::ids::RecordKey;
use crate::store::shard::Shard;

/// The system is asked again after this many milliseconds.
const ASK_EVERY_MS: u64 = 1_000;

/// Bounds of what an engine takes in; 0 is no bound.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that must be free on the disk of the data directory for writes to be taken.
    pub disk_free_min_bytes: u64,
    /// Bytes of memory of the whole process from which nothing is added.
    pub memory_max_bytes: u64,
    /// Live records of one tenant.
    pub tenant_records_max: u64,
    /// Estimated bytes of one tenant in memory.
    pub tenant_bytes_max: u64,
    /// Says how much memory the process has in use; a test may say something else.
    pub memory_used: fn() -> Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            disk_free_min_bytes: 0,
            memory_max_bytes: 0,
            tenant_records_max: 0,
            tenant_bytes_max: 0,
            memory_used: resident_bytes,
        }
    }
}

/// What was found when the system was asked last.
#[derive(Debug)]
pub(crate) struct Room {
    /// On the monotonic clock; `u64::MAX`: never asked.
    asked_ms: AtomicU64,
    disk_low: AtomicBool,
    memory_high: AtomicBool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            asked_ms: AtomicU64::new(u64::MAX),
            disk_low: AtomicBool::new(false),
            memory_high: AtomicBool::new(false),
        }
    }
}

impl Room {
    /// Refuses what the server has no room for. A dry run takes none.
    pub(crate) fn check(&self, options: &EngineOptions, world: &World, command: &Command) -> Result<()> {
        if is_dry(command) {
            return Ok(());
        }
        self.check_disk(options, world)?;
        if adds(command) { self.check_memory(&options.limits) } else { Ok(()) }
    }

    /// Refuses every write when the disk is nearly full.
    fn check_disk(&self, options: &EngineOptions, world: &World) -> Result<()> {
        self.ask(options, world);
        if self.disk_low.load(Ordering::Acquire) {
            let what = format!(
                "the disk of the data directory (less than disk_free_min_bytes = {} bytes are free)",
                options.limits.disk_free_min_bytes
            );
            return Err(Error::Full { what });
        }
        Ok(())
    }

    fn check_memory(&self, limits: &Limits) -> Result<()> {
        if self.memory_high.load(Ordering::Acquire) {
            let what =
                format!("the server's memory (memory_max_bytes = {}; deletions are taken)", limits.memory_max_bytes);
            return Err(Error::Full { what });
        }
        Ok(())
    }

    /// Asks the system unless it was asked just before.
    fn ask(&self, options: &EngineOptions, world: &World) {
        let limits = &options.limits;
        if limits.disk_free_min_bytes == 0 && limits.memory_max_bytes == 0 {
            return;
        }
        let now_ms = u64::try_from(world.clock.monotonic().as_millis()).unwrap_or(u64::MAX - 1);
        let asked_ms = self.asked_ms.load(Ordering::Acquire);
        if asked_ms != u64::MAX && now_ms < asked_ms.saturating_add(ASK_EVERY_MS) {
            return;
        }
        self.asked_ms.store(now_ms, Ordering::Release);
        // Where the system does not say, nothing is refused: the journal's own checks remain.
        let free = world.disk.free_bytes(&options.data_dir).unwrap_or(u64::MAX);
        turn(&self.disk_low, free < limits.disk_free_min_bytes, "disk", free);
        let used = if limits.memory_max_bytes == 0 { 0 } else { (limits.memory_used)().unwrap_or(0) };
        let is_high = limits.memory_max_bytes > 0 && used >= limits.memory_max_bytes;
        turn(&self.memory_high, is_high, "memory", used);
    }
}

/// Remembers whether a bound is passed, and says when that changes.
fn turn(flag: &AtomicBool, is_over: bool, what: &str, bytes: u64) {
    if flag.swap(is_over, Ordering::AcqRel) == is_over {
        return;
    }
    if is_over {
        tracing::error!(what, bytes, "no room: writes are refused until there is; reads go on");
    } else {
        tracing::info!(what, bytes, "there is room again: writes are taken");
    }
}

/// Refuses what a tenant has no room for.
pub(crate) fn check_tenant(limits: &Limits, tenant: &Tenant, command: &Command) -> Result<()> {
    let is_bound = limits.tenant_records_max > 0 || limits.tenant_bytes_max > 0;
    if !is_bound || is_dry(command) || !adds(command) {
        return Ok(());
    }
    let shard = tenant.view.load_full();
    let held = shard.records_live + shard.accounts.as_ref().map_or(0, |accounts| accounts.records_live);
    if limits.tenant_records_max > 0 {
        let added = added(&shard, command);
        if added > 0 && held + added > limits.tenant_records_max {
            let what = format!(
                "the tenant (tenant_records_max = {}; it holds {held} records and {added} new ones were sent)",
                limits.tenant_records_max
            );
            return Err(Error::Full { what });
        }
    }
    if limits.tenant_bytes_max > 0 {
        let bytes: u64 = crate::store::size::bytes(&shard).values().sum();
        if bytes >= limits.tenant_bytes_max {
            let what =
                format!("the tenant's memory (tenant_bytes_max = {}; it takes {bytes})", limits.tenant_bytes_max);
            return Err(Error::Full { what });
        }
    }
    Ok(())
}

fn is_dry(command: &Command) -> bool {
    matches!(
        command,
        Command::Upsert { dry_run: true, .. } | Command::Account(AccountCommand::Upsert { dry_run: true, .. })
    )
}

/// Records that a command adds: those that the tenant does not hold yet. One without an id of its source counts, too, as it is
/// known only once it was read.
fn added(shard: &Shard, command: &Command) -> u64 {
    let count = |shard: Option<&Shard>, records: &mut dyn Iterator<Item = &InputRecord>| {
        let (mut seen, mut added) = (HashSet::new(), 0);
        for record in records {
            let is_new = record.source_record_id.as_ref().is_none_or(|id| {
                let key = RecordKey { source: record.source.as_str().into(), source_record_id: id.as_str().into() };
                let held = shard.and_then(|shard| shard.slot(shard.slot_of_key(&key)?)?.current.as_ref());
                held.is_none() && seen.insert(key)
            });
            added += u64::from(is_new);
        }
        added
    };
    if let Command::Upsert { records, .. } = command {
        count(Some(shard), &mut records.iter())
    } else if let Command::Account(AccountCommand::Upsert { records, .. }) = command {
        count(shard.accounts.as_deref(), &mut records.iter().map(|record| &record.record))
    } else {
        0
    }
}

/// Whether a command may add something that stays.
fn adds(command: &Command) -> bool {
    matches!(
        command,
        Command::Upsert { .. }
            | Command::Patch { .. }
            | Command::Reference(ReferenceCommand::Put { .. })
            | Command::Group(GroupCommand::Put { .. })
            | Command::Consent(ConsentCommand::Policy { .. } | ConsentCommand::Sharing { .. })
            | Command::Webhook(WebhookCommand::Create(_))
            | Command::Account(
                AccountCommand::Upsert { .. } | AccountCommand::Relate { .. } | AccountCommand::Patch { .. }
            )
    )
}
