//! Appends and syncs what all tenants have ready as one group, then publishes and answers.
//!
//! While nothing else waits, whoever decided a bundle appends it as well ([`Place::free`], [`at_once`]): handing it to another
//! thread would take as long as deciding it did. As soon as somebody appends already, bundles go to the commit thread.
//! Everything that waits there when a sync ends goes into the next group, so one fdatasync covers many
//! commands. The views that were replaced are let go of last, when everybody has the answer: what only the old view held is
//! freed then, which takes a while. If an append or a sync fails the journal is poisoned: nobody gets an answer that could be a lie.
//! A full disk noticed before a byte was written poisons nothing: the commands are refused, and each
//! tenant goes back to its published state (`epoch`). In the relaxed modes of [`Durability`] a group is published and
//! answered once it is written, and synced later by this thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use crate::engine::api::Receipt;
use crate::engine::{Core, Durability, Tenant, lock};
use crate::error::{Error, Result};
use crate::journal::FrameIn;
use crate::journal::{Journal, SegmentInfo};
use crate::model::event::{Event, encode};
use crate::store::shard::Shard;

/// Payload bytes that one group gathers at most.
const GROUP_BYTES_MAX: u64 = 4 << 20;
/// Jobs that one group gathers at most.
const GROUP_JOBS_MAX: usize = 1024;

/// Frames of one or more whole commands.
#[derive(Default)]
pub(crate) struct Frames {
    list: Vec<(u8, u8, bool, Vec<u8>)>,
}

impl Frames {
    /// Adds an event; `last` ends its command.
    pub(crate) fn push(&mut self, event: Event, last: bool) {
        let (kind, version, payload) = encode(event);
        self.list.push((kind, version, last, payload));
    }

    /// Adds the frames of whole commands that come after these.
    pub(crate) fn add(&mut self, mut later: Self) {
        self.list.append(&mut later.list);
    }

    /// Bytes that they take in the journal.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|(_, _, _, payload)| Journal::stored_bytes(payload.len())).sum()
    }
}

/// Decided requests of one tenant, to be made durable, published and answered: all of them or none.
pub(crate) struct Write {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) epoch: u64,
    pub(crate) frames: Frames,
    /// The state after the last of them.
    pub(crate) view: Shard,
    pub(crate) replies: Vec<Reply>,
}

/// A request's answer and who waits for it.
pub(crate) struct Reply {
    pub(crate) to: oneshot::Sender<Result<Receipt>>,
    pub(crate) answer: Result<Receipt>,
}

impl Write {
    /// Answers everybody with an error instead.
    fn refuse(self, error: &Error) {
        for reply in self.replies {
            let _ = reply.to.send(Err(again(error)));
        }
    }
}

/// Where a snapshot begins. From here on, until the asker takes them, the first view that a tenant is given keeps the one
/// before it in `Core::views_kept`: nobody waits while the views of all tenants are collected.
pub(crate) struct Mark {
    /// The last durable frame.
    pub(crate) seq: u64,
    /// Bytes journaled since the snapshot before.
    pub(crate) journaled: u64,
    /// How long the commit thread was kept from its work.
    pub(crate) blocked: Duration,
}

/// Work for the commit thread.
#[expect(clippy::large_enum_variant, reason = "nearly every job is a write; boxing it would cost an allocation each")]
pub(crate) enum Job {
    Write(Write),
    Mark(Sender<Mark>),
    /// Asks for the segments as of a moment when everything in them is durable.
    Segments(Sender<Vec<SegmentInfo>>),
    /// Ends the current segment; answers with all segments.
    Seal(Sender<Result<Vec<SegmentInfo>>>),
    /// Says that the segments before this seq are gone.
    Forget(u64),
}

impl Job {
    /// Answers without doing it.
    pub(crate) fn refuse(self, error: &Error) {
        match self {
            Job::Write(write) => write.refuse(error),
            Job::Mark(_) | Job::Segments(_) | Job::Seal(_) | Job::Forget(_) => {}
        }
    }
}

/// Errors are not `Clone` (they hold the system's); those sent to several waiters are made anew.
fn again(error: &Error) -> Error {
    match error {
        Error::Full { what } => Error::Full { what: what.clone() },
        Error::Busy { retry_after_ms } => Error::Busy { retry_after_ms: *retry_after_ms },
        Error::TooLarge { what, limit } => Error::TooLarge { what: what.clone(), limit: *limit },
        Error::Invalid { field, reason } => Error::invalid(field.clone(), reason.clone()),
        Error::Unauthenticated
        | Error::Denied(_)
        | Error::NotFound { .. }
        | Error::Moved { .. }
        | Error::Gone
        | Error::Conflict { .. }
        | Error::Quota { .. }
        | Error::Io { .. }
        | Error::Corrupt { .. }
        | Error::Poisoned => Error::Poisoned,
    }
}

/// The journal, and whether somebody is to append before the next who comes.
pub(crate) struct Place {
    journal: Mutex<Journal>,
    /// Jobs that the commit thread has or will get, and has not done.
    before: AtomicUsize,
}

impl Place {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal: Mutex::new(journal), before: AtomicUsize::new(0) }
    }

    /// Hands a write to the commit thread.
    pub(crate) fn send(&self, jobs: &Sender<Job>, write: Write) {
        self.before.fetch_add(1, Ordering::AcqRel);
        if let Err(failed) = jobs.send(Job::Write(write)) {
            self.before.fetch_sub(1, Ordering::AcqRel);
            failed.into_inner().refuse(&Error::Poisoned);
        }
    }

    /// The journal, if nobody has it and nobody waits for it. What its holder appends comes behind all that was sent.
    pub(crate) fn free(&self) -> Option<MutexGuard<'_, Journal>> {
        // Whoever panicked with it may have left a part: the commit thread says so, here it is never free again.
        let journal = self.journal.try_lock().ok()?;
        (self.before.load(Ordering::Acquire) == 0).then_some(journal)
    }

    /// The journal, once those before are done with it. After a panic in the middle nothing more is written.
    fn take(&self, core: &Core) -> MutexGuard<'_, Journal> {
        let journal = lock(&self.journal);
        if self.journal.is_poisoned() && !core.poisoned.swap(true, Ordering::AcqRel) {
            tracing::error!("a panic broke off a write; no more writes until a restart");
        }
        journal
    }
}

/// Makes one write durable, publishes and answers it, on the thread of whoever decided it.
pub(crate) fn at_once(core: &Core, mut journal: MutexGuard<'_, Journal>, write: Write) {
    let bytes = write.frames.bytes();
    let replaced = commit(core, &mut journal, vec![write], bytes);
    drop(journal);
    drop(replaced);
}

/// The commit thread's life: until all senders are gone.
pub(crate) fn run(core: &Core, place: &Place, jobs: &Receiver<Job>) {
    let mut pace = Pace::default();
    while let Some(first) = pace.next(core, place, jobs) {
        // Those who would append themselves wait from here on, so that this thread is not passed over again and again.
        place.before.fetch_add(1, Ordering::AcqRel);
        let mut journal = place.take(core);
        let mut group = Vec::new();
        let mut asked = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(write) => {
                    bytes += write.frames.bytes();
                    group.push(write);
                }
                job @ (Job::Mark(_) | Job::Segments(_) | Job::Seal(_) | Job::Forget(_)) => asked.push(job),
            }
            let room = bytes < GROUP_BYTES_MAX && group.len() < GROUP_JOBS_MAX && asked.is_empty();
            next = if room { jobs.try_recv().ok() } else { None };
        }
        let done = 1 + group.len();
        let replaced = commit(core, &mut journal, group, bytes);
        for job in asked {
            answer(core, &mut journal, job);
        }
        place.before.fetch_sub(done, Ordering::AcqRel);
        drop(journal);
        drop(replaced);
    }
    sync(core, &mut lock(&place.journal));
}

/// When the next sync of a journal is due that is not synced with every group.
#[derive(Default)]
struct Pace {
    /// On the monotonic clock.
    due: Option<Duration>,
}

impl Pace {
    /// The next job. Syncs what was written when its time has come, be there a job or not.
    fn next(&mut self, core: &Core, place: &Place, jobs: &Receiver<Job>) -> Option<Job> {
        loop {
            let Durability::Interval(every) = core.options.durability else { return jobs.recv().ok() };
            let is_behind = {
                let journal = lock(&place.journal);
                journal.is_behind() && !journal.is_poisoned()
            };
            if !is_behind {
                self.due = None;
                return jobs.recv().ok();
            }
            let now = core.world.clock.monotonic();
            let due = *self.due.get_or_insert(now + every);
            if now < due {
                match jobs.recv_timeout(due - now) {
                    Ok(job) => return Some(job),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            sync(core, &mut lock(&place.journal));
            self.due = None;
        }
    }
}

/// Makes what was written durable; a failure stops all writes.
fn sync(core: &Core, journal: &mut Journal) {
    if !journal.is_behind() || journal.is_poisoned() {
        return;
    }
    let started = core.world.clock.monotonic();
    if let Err(error) = journal.sync() {
        tracing::error!(%error, "the journal failed; no more writes until a restart");
        core.poisoned.store(true, Ordering::Release);
    }
    core.durable_seq.store(journal.durable_seq(), Ordering::Release);
    metrics::histogram!("selfsame_sync_seconds").record((core.world.clock.monotonic() - started).as_secs_f64());
}

/// Says how everything stands between two groups, once it is durable. Says nothing when it cannot be made so.
fn answer(core: &Core, journal: &mut Journal, job: Job) {
    sync(core, journal);
    if journal.is_behind() {
        return job.refuse(&Error::Poisoned);
    }
    match job {
        Job::Mark(reply) => {
            if reply.send(mark(core, journal)).is_err() {
                // The asker has left.
                lock(&core.views_kept).take();
            }
        }
        Job::Segments(reply) => drop(reply.send(journal.segments())),
        Job::Seal(reply) => {
            let sealed = journal.seal_current(core.now()).map(|()| journal.segments());
            if journal.is_poisoned() {
                core.poisoned.store(true, Ordering::Release);
            }
            drop(reply.send(sealed));
        }
        Job::Forget(first_seq) => journal.forget_before(first_seq),
        Job::Write(write) => write.refuse(&Error::Poisoned),
    }
}

/// Begins to keep views. Nothing is written meanwhile, so this must be short.
fn mark(core: &Core, journal: &Journal) -> Mark {
    let started = core.world.clock.monotonic();
    *lock(&core.views_kept) = Some(HashMap::new());
    let (seq, journaled) = (journal.durable_seq(), core.upkeep.begun());
    let blocked = core.world.clock.monotonic() - started;
    metrics::histogram!("selfsame_snapshot_blocked_seconds").record(blocked.as_secs_f64());
    Mark { seq, journaled, blocked }
}

/// Appends a group, publishes and answers it. Returns the views that it replaced.
fn commit(core: &Core, journal: &mut Journal, group: Vec<Write>, bytes: u64) -> Vec<Arc<Shard>> {
    let (fresh, stale): (Vec<Write>, Vec<Write>) =
        group.into_iter().partition(|write| write.epoch == write.tenant.epoch.load(Ordering::Acquire));
    for write in stale {
        // Decided on state that was thrown away when the disk was full.
        write.refuse(&Error::Busy { retry_after_ms: 10 });
    }
    let started = core.world.clock.monotonic();
    let (done, error) = append(core, journal, &fresh);
    core.durable_seq.store(journal.durable_seq(), Ordering::Release);
    if !core.options.durability.is_relaxed() {
        metrics::histogram!("selfsame_sync_seconds").record((core.world.clock.monotonic() - started).as_secs_f64());
    }
    let mut fresh = fresh.into_iter();
    let replaced = fresh.by_ref().take(done).filter_map(|write| publish(core, write)).collect();
    let Some(error) = error else {
        core.upkeep.add(bytes);
        return replaced;
    };
    if !matches!(error, Error::Full { .. } | Error::TooLarge { .. } | Error::Invalid { .. }) || journal.is_poisoned() {
        tracing::error!(%error, "the journal failed; no more writes until a restart");
        core.poisoned.store(true, Ordering::Release);
    }
    for write in fresh {
        write.tenant.epoch.fetch_add(1, Ordering::AcqRel);
        write.refuse(&error);
    }
    replaced
}

/// Appends one group as durably as the mode asks for.
fn put(core: &Core, journal: &mut Journal, frames: &[FrameIn<'_>]) -> Result<()> {
    let relaxed = core.options.durability.is_relaxed();
    let seqs = if relaxed { journal.write(frames, core.now()) } else { journal.append(frames, core.now()) };
    seqs.map(drop)
}

/// Appends the writes in order, as few groups as fit. Returns how many are there in full, as durably as
/// the mode asks for, and what stopped it.
fn append(core: &Core, journal: &mut Journal, writes: &[Write]) -> (usize, Option<Error>) {
    if core.poisoned.load(Ordering::Acquire) {
        return (0, Some(Error::Poisoned));
    }
    let bound = GROUP_BYTES_MAX.min(journal.group_bytes_max());
    let mut frames: Vec<FrameIn<'_>> = Vec::new();
    let (mut bytes, mut done) = (0, 0);
    for (at, write) in writes.iter().enumerate() {
        let mut begun = false;
        let whole = write.frames.bytes();
        if bytes + whole > bound && whole <= bound && !frames.is_empty() {
            // It fits into a group of its own, where it is all or nothing.
            if let Err(error) = put(core, journal, &frames) {
                return (done, Some(error));
            }
            frames.clear();
            bytes = 0;
            done = at;
        }
        for command in write.frames.list.chunk_by(|(_, _, last, _), _| !last) {
            let more: u64 = command.iter().map(|(_, _, _, payload)| Journal::stored_bytes(payload.len())).sum();
            if bytes + more > bound && !frames.is_empty() {
                if let Err(error) = put(core, journal, &frames) {
                    if begun {
                        core.poisoned.store(true, Ordering::Release);
                    }
                    return (done, Some(error));
                }
                frames.clear();
                bytes = 0;
                done = at;
                begun |= command.as_ptr() != write.frames.list.as_ptr();
            }
            bytes += more;
            frames.extend(command.iter().map(|(kind, version, last, payload)| FrameIn {
                tenant: write.tenant.id.0,
                kind: *kind,
                version: *version,
                last_of_command: *last,
                payload,
            }));
        }
        if begun {
            // Part of this request is on disk already: it must get there in full or the journal stops.
            if let Err(error) = put(core, journal, &frames) {
                core.poisoned.store(true, Ordering::Release);
                return (done, Some(error));
            }
            frames.clear();
            bytes = 0;
            done = at + 1;
        }
    }
    match put(core, journal, &frames) {
        Ok(_) => (writes.len(), None),
        Err(error) => (done, Some(error)),
    }
}

/// Shows readers the view, then answers. Returns the view before it.
fn publish(core: &Core, write: Write) -> Option<Arc<Shard>> {
    let seq = write.view.seq;
    let before = write.tenant.view.load_full();
    let is_newer = seq > before.seq;
    if is_newer {
        let news = !before.webhooks.is_same(&write.view.webhooks);
        let (erased, ended) = (write.view.erasures.has_pending(), write.view.is_ended);
        if let Some(kept) = lock(&core.views_kept).as_mut() {
            kept.entry(write.tenant.id).or_insert_with(|| Arc::clone(&before));
        }
        let in_step = write.tenant.discovery.serving.follow(&before, &write.view);
        write.tenant.view.store(Arc::new(write.view));
        drop(in_step);
        write.tenant.published.send_replace(seq.0);
        core.text.touch(&write.tenant);
        core.oprf.touch(&write.tenant);
        if erased {
            core.erase_bell.ring();
        }
        if ended {
            core.end(&write.tenant);
        }
        if news {
            core.webhook_news.tell(&write.tenant.name);
        }
    }
    for reply in write.replies {
        let _ = reply.to.send(reply.answer); // the caller may have left
    }
    is_newer.then_some(before)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::host::{MemDisk, OsRandom};
    use crate::journal::JournalOptions;
    use crate::model::ids::{TenantId, TenantName};

    fn write() -> Write {
        let name = TenantName::parse("main").unwrap();
        let shard = Shard::new(TenantId(1), name.as_str(), crate::engine::recover::server_model());
        let tenant = Arc::new(Tenant::new(name, shard.clone(), &[0; 32]));
        Write { tenant, epoch: 0, frames: Frames::default(), view: shard, replies: Vec::new() }
    }

    #[test]
    fn nobody_goes_before_those_who_append_or_wait_to() {
        let (disk, random) = (Arc::new(MemDisk::new()), Arc::new(OsRandom));
        let dir = std::path::Path::new("/data");
        crate::host::Disk::create_dir_all(&*disk, dir).unwrap();
        let journal = Journal::open(disk, dir, JournalOptions::default(), random).unwrap().0;
        let place = Place::new(journal);
        let held = place.free().expect("nobody has it");
        assert!(place.free().is_none(), "somebody has it");
        drop(held);
        assert!(place.free().is_some(), "given back");
        let (jobs, queue) = unbounded();
        place.send(&jobs, write());
        assert!(place.free().is_none(), "a write waits");
        drop(queue);
        place.send(&jobs, write());
        assert_eq!(place.before.load(Ordering::Acquire), 1, "one that could not be sent does not wait");
    }
}
