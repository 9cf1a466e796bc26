//! The thread that keeps the text index up to date: a bounded queue in front, one commit for many changes.
//!
//! A commit costs milliseconds whatever its size, so changes are gathered for [`GATHER_MS`] or until there are
//! [`GATHER_MAX`], the last word on each contact counting. Dropping the [`TextIndexer`] stops the thread and
//! waits for it; what was still queued is not indexed (the index lives in memory and is built from the
//! contacts anyway).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, after, bounded, select};

use super::{TextDoc, TextIndex, accounts_of};
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Seq, TenantId};

/// Milliseconds for which changes are gathered before a commit.
const GATHER_MS: u64 = 200;
/// Changed contacts from which a commit does not wait longer.
const GATHER_MAX: usize = 10_000;

/// What one or more events of a tenant changed.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// The tenant; for its businesses see [`accounts_of`].
    pub tenant: TenantId,
    /// The last of the events: with this batch, everything up to it has been sent.
    pub seq: Seq,
    /// Contacts with their document now; `None`: not to be found any more.
    pub changes: Vec<(EntityId, Option<TextDoc>)>,
}

enum Job {
    Batch(TextBatch),
    DropTenant(TenantId),
    Purge,
    Flush(Sender<()>),
}

/// Feeds a [`TextIndex`] from the background. Share it by `Arc`; the last drop stops it.
pub struct TextIndexer {
    jobs: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TextIndexer {
    /// Starts the thread. `queue_max`: batches waiting at most, at least 1.
    ///
    /// # Errors
    /// `Io` if the thread cannot be started.
    pub fn start(index: Arc<TextIndex>, queue_max: usize) -> Result<Self> {
        let (jobs, queue) = bounded(queue_max.max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("text-index".into())
            .spawn(move || {
                if let Err(error) = work(&index, &queue, &stopped) {
                    tracing::error!(%error, "the text index failed and falls behind until a restart");
                }
            })
            .map_err(|source| Error::io("start the text index thread", source))?;
        Ok(Self { jobs: Some(jobs), stop, thread: Some(thread) })
    }

    /// Queues a batch; waits while the queue is full. Batches of a tenant must come in the order of their seq.
    ///
    /// # Errors
    /// `Io` if the thread has failed.
    pub fn send(&self, batch: TextBatch) -> Result<()> {
        self.queue(Job::Batch(batch))
    }

    /// Queues a batch if there is room, else gives it back: the caller sends it again later, before any
    /// newer batch of its tenant. It also comes back if the thread has failed.
    ///
    /// # Errors
    /// The batch.
    pub fn try_send(&self, batch: TextBatch) -> Result<(), TextBatch> {
        let Some(jobs) = &self.jobs else { return Err(batch) };
        match jobs.try_send(Job::Batch(batch)) {
            Err(TrySendError::Full(Job::Batch(batch)) | TrySendError::Disconnected(Job::Batch(batch))) => Err(batch),
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// Queues the removal of a whole tenant.
    ///
    /// # Errors
    /// `Io` if the thread has failed.
    pub fn drop_tenant(&self, tenant: TenantId) -> Result<()> {
        self.queue(Job::DropTenant(tenant))
    }

    /// Queues a purge: after it, nothing deleted before remains in memory.
    ///
    /// # Errors
    /// `Io` if the thread has failed.
    pub fn purge(&self) -> Result<()> {
        self.queue(Job::Purge)
    }

    /// Waits until everything queued so far can be found.
    ///
    /// # Errors
    /// `Io` if the thread has failed.
    pub fn flush(&self) -> Result<()> {
        let (done, wait) = bounded(1);
        self.queue(Job::Flush(done))?;
        wait.recv().map_err(|_| stopped())
    }

    /// Batches waiting.
    pub fn queued(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    fn queue(&self, job: Job) -> Result<()> {
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())
    }
}

impl Drop for TextIndexer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the text index thread panicked");
        }
    }
}

fn stopped() -> Error {
    Error::io("text index", std::io::Error::other("its thread has failed; see the diagnostics, then restart"))
}

/// Changes gathered for one commit.
#[derive(Default)]
struct Pending {
    dropped: HashSet<TenantId>,
    changes: HashMap<(TenantId, EntityId), Option<TextDoc>>,
    covered: HashMap<TenantId, Seq>,
    purge: bool,
    flushes: Vec<Sender<()>>,
}

impl Pending {
    fn add(&mut self, job: Job) {
        match job {
            Job::Batch(batch) => {
                let tenant = batch.tenant;
                self.changes.extend(batch.changes.into_iter().map(|(entity, doc)| ((tenant, entity), doc)));
                self.covered.insert(tenant, batch.seq);
            }
            Job::DropTenant(tenant) => {
                let parts = [tenant, accounts_of(tenant)];
                self.changes.retain(|(of, _), _| !parts.contains(of));
                self.covered.retain(|of, _| !parts.contains(of));
                self.dropped.insert(tenant);
            }
            Job::Purge => self.purge = true,
            Job::Flush(done) => self.flushes.push(done),
        }
    }

    fn ready(&self) -> bool {
        self.changes.len() >= GATHER_MAX || !self.flushes.is_empty()
    }

    fn apply(self, index: &TextIndex) -> Result<()> {
        for tenant in &self.dropped {
            index.drop_tenant(*tenant);
        }
        for ((tenant, entity), doc) in &self.changes {
            index.put(*tenant, *entity, doc.as_ref())?;
        }
        let covered: Vec<_> = self.covered.into_iter().collect();
        index.commit(&covered)?;
        if self.purge {
            index.purge()?;
        }
        metrics::counter!("selfsame_text_commits_total").increment(1);
        for done in self.flushes {
            let _ = done.send(()); // whoever waited may have left
        }
        Ok(())
    }
}

fn work(index: &TextIndex, queue: &Receiver<Job>, stop: &AtomicBool) -> Result<()> {
    while let Ok(job) = queue.recv() {
        let mut pending = Pending::default();
        pending.add(job);
        let gathered = after(Duration::from_millis(GATHER_MS));
        while !pending.ready() && !stop.load(Ordering::Acquire) {
            select! {
                recv(queue) -> job => match job {
                    Ok(job) => pending.add(job),
                    Err(_) => break,
                },
                recv(gathered) -> _ => break,
            }
        }
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        pending.apply(index)?;
        metrics::gauge!("selfsame_text_queue").set(u32::try_from(queue.len()).unwrap_or(u32::MAX));
    }
    Ok(())
}
