//! The upkeep thread: snapshots when enough has been journaled, so that the next start replays little.
//!
//! The commit thread counts the bytes that it appends and wakes this thread when they reach the bound; there is no
//! polling, and one snapshot at a time (`Core::files`). A failed snapshot is said and tried again after a while; the
//! journal has everything meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never};

use crate::engine::commit::Job;
use crate::engine::{Core, lock, maintain};

/// Wait after a failed snapshot; doubled up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(10);
/// Longest wait after failed snapshots.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// How much was journaled since the last snapshot, and whom to wake.
pub(crate) struct Upkeep {
    /// Bytes from which a snapshot is due; 0: never.
    due_bytes: u64,
    /// Size of the last snapshot.
    snapshot_bytes: AtomicU64,
    /// Bytes journaled since the last snapshot was begun.
    journaled: AtomicU64,
    wake: Sender<()>,
    woken: Receiver<()>,
}

impl Upkeep {
    /// `snapshot_bytes`: size of the snapshot that was read at the start; `journaled`: bytes replayed behind it.
    pub(crate) fn new(due_bytes: u64, snapshot_bytes: u64, journaled: u64) -> Self {
        let (wake, woken) = bounded(1);
        let snapshot_bytes = AtomicU64::new(snapshot_bytes);
        let upkeep = Self { due_bytes, snapshot_bytes, journaled: AtomicU64::new(0), wake, woken };
        upkeep.add(journaled);
        upkeep
    }

    /// Counts bytes that went to the journal.
    pub(crate) fn add(&self, bytes: u64) {
        self.journaled.fetch_add(bytes, Ordering::AcqRel);
        if self.is_due() {
            // Full: it has been told already.
            let _ = self.wake.try_send(());
        }
    }

    /// Says that a snapshot of everything until now is begun. Gives what was counted.
    pub(crate) fn begun(&self) -> u64 {
        self.journaled.swap(0, Ordering::AcqRel)
    }

    /// Says that it is written.
    pub(crate) fn written(&self, bytes: u64) {
        self.snapshot_bytes.store(bytes, Ordering::Release);
    }

    /// Whether snapshots are written in the background at all.
    pub(crate) fn is_on(&self) -> bool {
        self.due_bytes > 0
    }

    fn is_due(&self) -> bool {
        let due = self.due_bytes.max(self.snapshot_bytes.load(Ordering::Acquire) / 2);
        self.is_on() && self.journaled.load(Ordering::Acquire) >= due
    }
}

/// The thread's life: until the sender of `stop` is gone.
pub(crate) fn run(core: &Arc<Core>, jobs: &Sender<Job>, stop: &Receiver<()>) {
    let mut wait: Option<Duration> = None;
    let mut retry = never();
    loop {
        crossbeam_channel::select! {
            recv(stop) -> _ => return,
            recv(retry) -> _ => {}
            recv(core.upkeep.woken) -> _ => {
                if wait.is_some() {
                    continue;
                }
            }
        }
        wait = attempt(core, jobs, wait);
        retry = wait.map_or_else(never, after);
    }
}

/// Writes a snapshot if one is due. Gives the wait before the next attempt when it failed.
fn attempt(core: &Core, jobs: &Sender<Job>, before: Option<Duration>) -> Option<Duration> {
    let _files = lock(&core.files);
    if core.poisoned.load(Ordering::Acquire) || !core.upkeep.is_due() {
        return None;
    }
    let error = maintain::snapshot(core, jobs).err()?;
    let next = before.map_or(RETRY, |before| before.saturating_mul(2).min(RETRY_MAX));
    tracing::error!(%error, seconds = next.as_secs(), "a snapshot failed; the journal has everything, it is tried again");
    metrics::counter!("selfsame_snapshots_failed_total").increment(1);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::api::{Command, Context, GroupCommand};
    use crate::engine::{Engine, EngineOptions, World};
    use crate::host::{Disk, Fault, ManualClock, MemDisk, SeededRandom};
    use crate::model::ids::{Millis, TenantName};
    use crate::store::shard::Shard;

    fn open(disk: &MemDisk) -> Arc<Engine> {
        let world = World {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(ManualClock::new(Millis(1))),
            random: Arc::new(SeededRandom::new(1)),
        };
        let options = EngineOptions { snapshot_journal_bytes: 1 << 40, ..EngineOptions::new("/data") };
        Engine::open(options, world).unwrap().0
    }

    fn group(slug: &str) -> Command {
        Command::Group(GroupCommand::Put { slug: slug.into(), name: slug.into(), description: None })
    }

    /// Views are collected while writes go on; each must be that of the moment the snapshot is of.
    #[test]
    fn what_is_written_while_views_are_collected_is_not_in_the_snapshot() {
        let engine = open(&MemDisk::new());
        let put = |name: &str, slug: &str| {
            let tenant = TenantName::parse(name).unwrap();
            engine.submit_blocking(&tenant, group(slug), Context::default()).unwrap();
        };
        put("first", "book-club");
        put("second", "book-club");
        let (reply, answer) = bounded(1);
        engine.jobs().unwrap().send(Job::Mark(reply)).unwrap();
        let mark = answer.recv().unwrap();
        let before = maintain::views_as_marked(&engine.core);
        engine.jobs().unwrap().send(Job::Mark(bounded(1).0)).unwrap();
        let (reply, answer) = bounded(1);
        engine.jobs().unwrap().send(Job::Mark(reply)).unwrap();
        answer.recv().unwrap();
        put("first", "chess");
        put("first", "family");
        put("third", "chess");
        let after = maintain::views_as_marked(&engine.core);
        assert_eq!(after.iter().map(|(_, shard)| shard.seq.0).sum::<u64>(), mark.seq);
        let same = |(a, b): (&(_, Arc<Shard>), &(_, Arc<Shard>))| Arc::ptr_eq(&a.1, &b.1);
        assert!(after.len() == 2 && after.iter().zip(&before).all(same));
        assert_eq!(maintain::views_as_marked(&engine.core).len(), 3, "keeping has ended");
    }

    #[test]
    fn a_failed_snapshot_is_tried_again_and_stops_nobody() {
        let disk = MemDisk::new();
        let engine = open(&disk);
        // A failed attempt wakes the thread, which would be faster than the test now and then.
        lock(&engine.upkeep).take();
        let thread = lock(&engine.threads).extract_if(.., |one| one.thread().name() == Some("upkeep")).next().unwrap();
        thread.join().unwrap();
        let (core, jobs) = (&engine.core, engine.jobs().unwrap());
        let listed = || disk.list(std::path::Path::new("/data/snapshots")).unwrap_or_default();
        assert_eq!(attempt(core, &jobs, None), None, "not due");
        for (fault, before, after) in [(Fault::Full, None, RETRY), (Fault::Io, Some(RETRY), RETRY * 2)] {
            // Not by `add`, which would wake the thread as well.
            core.upkeep.journaled.store(1 << 40, Ordering::Release);
            disk.fail_at(disk.operations(), fault);
            assert_eq!(attempt(core, &jobs, before), Some(after));
            assert!(core.upkeep.is_due(), "what was counted still counts");
            assert!(!engine.is_poisoned());
        }
        assert_eq!(attempt(core, &jobs, Some(RETRY)), None);
        assert!(!core.upkeep.is_due() && listed().iter().any(|name| name.ends_with(".snap")));
    }

    #[test]
    fn a_snapshot_is_due_by_the_bound_or_by_half_of_the_last_one() {
        let upkeep = Upkeep::new(100, 0, 0);
        upkeep.add(99);
        assert!(!upkeep.is_due() && upkeep.woken.is_empty());
        upkeep.add(1);
        upkeep.add(1);
        assert!(upkeep.is_due());
        assert_eq!(upkeep.woken.len(), 1, "woken once");
        assert_eq!(upkeep.begun(), 101);
        upkeep.written(1000);
        upkeep.add(499);
        assert!(!upkeep.is_due());
        upkeep.add(1);
        assert!(upkeep.is_due());
        assert!(!Upkeep::new(0, 0, u64::MAX).is_due());
        assert!(Upkeep::new(100, 0, 100).is_due(), "a long replay is not done twice");
    }
}
