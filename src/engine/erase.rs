//! Taking the erased out of every file: journal, snapshots, what was set aside, import reports, the text index.
//!
//! Memory is clean as soon as an erasure is answered. The files follow in the background, one pass for all erasures that
//! wait: the current segment of the journal is ended, what sealed segments say of the erased is blanked
//! ([`Gone`]), a new snapshot is written and the older ones go, torn tails go, lines of import reports lose their remarks,
//! the text index is merged. Only then the erasure is noted as done. A crash anywhere before leaves it to be done
//! again at the next start, and doing it twice does no harm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::engine::api::{Answer, Command, Context};
use crate::engine::commit::Job;
use crate::engine::models::send_facts;
use crate::engine::recover::{snapshot_dir, spawn};
use crate::engine::{Core, Engine, Tenant, View, import, lock, maintain};
use crate::error::{Error, Result};
use crate::journal::{self, Frame, Keyring, Located, Opened, Rewritten, Snapshot};
use crate::model::event::redact::Gone;
use crate::model::event::{self, Erased, ErasureDone, Event, TenantGone, kind_name};
use crate::model::ids::{EraseId, TenantName};
pub use crate::store::erase::Erasure;

/// Wait before files that could not be cleaned are tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Wait before it is looked for the first time what is kept no longer, and then each time.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(3600);
/// Who erases by age, in the audit.
const RETENTION: &str = "retention";

/// Wakes the thread that cleans files. Rings that nobody heard yet count as one.
#[derive(Default)]
pub(crate) struct Bell {
    rope: Mutex<Option<Sender<()>>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if let Some(rope) = lock(&self.rope).as_ref() {
            let _ = rope.try_send(()); // full: it has rung already
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.rope).take();
    }
}

/// Starts the thread that cleans files, and rings where an earlier process did not get there. A simulated disk, whose
/// operations must have one order, has no such thread: there [`Engine::compact`] is called.
pub(crate) fn start(engine: &Arc<Engine>) -> Result<()> {
    let core = &engine.core;
    if !core.world.disk.works_ahead() {
        return Ok(());
    }
    let (rope, rings) = bounded(1);
    *lock(&core.erase_bell.rope) = Some(rope);
    let weak = Arc::downgrade(engine);
    let thread = spawn("erase", move || run(&weak, &rings))?;
    lock(&engine.threads).push(thread);
    if core.all_and_ended().iter().any(|tenant| tenant.view.head().erasures.has_pending()) {
        core.erase_bell.ring();
    }
    Ok(())
}

fn run(engine: &Weak<Engine>, rings: &Receiver<()>) {
    let Some(clock) = engine.upgrade().map(|engine| Arc::clone(&engine.core.world.clock)) else { return };
    // Looking at every tenant is for the hour, not for every ring.
    let mut look_at = clock.monotonic() + FIRST_LOOK;
    let mut again = false;
    loop {
        let until_look = look_at.saturating_sub(clock.monotonic());
        let wait = if again { until_look.min(RETRY) } else { until_look };
        if rings.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let Some(engine) = engine.upgrade() else { return };
        let mut outcome = Ok(());
        if clock.monotonic() >= look_at {
            outcome = engine.retain();
            look_at = clock.monotonic() + if outcome.is_ok() { LOOK } else { RETRY };
        }
        let outcome = outcome.and(engine.compact().map(drop));
        again = outcome.is_err();
        if let Err(error) = outcome {
            tracing::warn!(%error, "files still hold what was erased, or is kept no longer; trying again in a minute");
        }
    }
}

/// What cleaning the files did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Erasures that are done now.
    pub erasures: usize,
    /// Frames of the journal that lost values.
    pub frames: u64,
    /// Segments of the journal that were written anew.
    pub segments: u32,
    /// How long it took.
    pub millis: u64,
}

impl Engine {
    /// Takes everything that was erased out of all files, and comes back when that is done. Writers and readers go on.
    ///
    /// # Errors
    /// `Full` or `Io` from the disk, `Busy` while an import of the tenant runs, `Poisoned` after a failed sync. What is left is
    /// tried again by the next call.
    pub fn compact(&self) -> Result<Compacted> {
        let core = &self.core;
        let _files = lock(&core.files);
        let started = core.world.clock.monotonic();
        let waiting = Waiting::of(core);
        if waiting.0.is_empty() {
            return Ok(Compacted::default());
        }
        let rewritten = self.clean_journal(&waiting)?;
        self.clean_snapshots()?;
        journal::forget_set_aside(&*core.world.disk, &core.options.data_dir)?;
        // A tenant that must wait for an import does not keep the others waiting.
        let mut late = None;
        let clean = |one: &&OfTenant| one.clean_reports(self).map_err(|error| late = Some(error)).is_ok();
        let clean: Vec<&OfTenant> = waiting.0.iter().filter(clean).collect();
        for one in &waiting.0 {
            self.forget_outputs(&one.tenant, one.is_ended)?;
        }
        self.clean_text(&waiting)?;
        for one in &clean {
            self.note_done(one, rewritten)?;
        }
        if let Some(error) = late {
            return Err(error);
        }
        let took = core.world.clock.monotonic() - started;
        let erasures = clean.iter().map(|one| one.erasures.len()).sum();
        let Rewritten { frames, segments } = rewritten;
        tracing::info!(erasures, frames, segments, "what was erased is in no file any more");
        Ok(Compacted { erasures, frames, segments, millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Erases what tenants keep no longer: contacts that were soft-deleted long ago, closed reviews, reports of imports.
    ///
    /// # Errors
    /// As every write; what is left is looked for again by the next call.
    pub fn retain(&self) -> Result<()> {
        for tenant in self.core.all() {
            let kept = tenant.view.head().settings.retention;
            if kept.deleted_days > 0 || kept.reviews_days > 0 {
                self.retain_in(&tenant.name)?;
            }
            import::forget_old(self, &tenant.name, self.core.now());
        }
        Ok(())
    }

    fn retain_in(&self, tenant: &TenantName) -> Result<()> {
        loop {
            let context = Context { actor: RETENTION.to_owned(), idempotency: None };
            let receipt = self.submit_blocking(tenant, Command::Retain, context)?;
            if !matches!(receipt.answer, Answer::Done(contacts) if !contacts.is_empty()) {
                return Ok(());
            }
        }
    }

    fn clean_journal(&self, waiting: &Waiting) -> Result<Rewritten> {
        let (core, mut gone) = (&self.core, waiting.gone());
        let jobs = self.jobs()?;
        let (reply, sealed) = bounded(1);
        jobs.send(Job::Seal(reply)).map_err(|_| Error::Poisoned)?;
        let segments = sealed.recv().map_err(|_| Error::Poisoned)??;
        let (disk, dir) = (&*core.world.disk, core.options.data_dir.as_path());
        // What came before the first segment is nowhere but in snapshots, which go.
        let after = segments.first().map_or(0, |first| first.base_seq.saturating_sub(1));
        journal::dump(disk, dir, after, &mut |Located { frame, .. }| {
            if let Some(Who::These(gone)) = gone.get_mut(&frame.tenant)
                && let Some(event) = event_of(&frame, &core.keys)?
            {
                gone.note(&event);
            }
            Ok(())
        })?;
        journal::rewrite(disk, dir, &segments, &mut |frame| {
            gone.get(&frame.tenant).map_or(Ok(None), |who| who.left(&frame, &core.keys))
        })
    }

    /// A snapshot without the erased, and none that is older.
    fn clean_snapshots(&self) -> Result<()> {
        let jobs = self.jobs()?;
        let report = maintain::snapshot(&self.core, &jobs)?;
        Snapshot::forget_older(&*self.core.world.disk, &snapshot_dir(&self.core.options), report.seq)
    }

    fn clean_text(&self, waiting: &Waiting) -> Result<()> {
        self.flush_text()?;
        for one in waiting.0.iter().filter(|one| one.is_ended) {
            self.core.text.drop_tenant(one.tenant.id)?;
        }
        self.core.text.purge()?;
        self.flush_text()
    }

    fn note_done(&self, one: &OfTenant, rewritten: Rewritten) -> Result<()> {
        let Rewritten { frames, segments } = rewritten;
        if one.is_ended {
            return self.bury(one, rewritten);
        }
        let backups = self.backups_now()?;
        let done = |erasure: &Arc<Erasure>| {
            let (erase_id, backups, at) = (erasure.erased.erase_id, backups.clone(), self.core.now());
            Event::ErasureDone(ErasureDone { erase_id, frames, segments, backups, at })
        };
        send_facts(self, &one.tenant, one.erasures.iter().map(done).collect())
    }

    /// Notes in the server's own stream that a tenant is in no file any more, and destroys its keys: what somebody kept of
    /// the files cannot be read either.
    fn bury(&self, one: &OfTenant, Rewritten { frames, segments }: Rewritten) -> Result<()> {
        let (tenant, name) = (one.tenant.id.0, one.tenant.name.to_string());
        let backups = self.backups_now()?;
        let gone = |erasure: &Arc<Erasure>| {
            let Erased { erase_id, at: asked_at, actor, .. } = erasure.erased.clone();
            let (name, backups, at) = (name.clone(), backups.clone(), self.core.now());
            Event::TenantGone(TenantGone { erase_id, tenant, name, asked_at, actor, frames, segments, backups, at })
        };
        send_facts(self, &self.core.server, one.erasures.iter().map(gone).collect())?;
        self.core.keys.destroy(tenant)?;
        lock(&self.core.ended).retain(|other| other.id.0 != tenant);
        Ok(())
    }

    /// The copies that may hold whoever was erased: all that were begun before now, and segments that left the journal.
    fn backups_now(&self) -> Result<Vec<String>> {
        let list = self.backups()?.into_iter().map(|backup| backup.dir.display().to_string());
        let archive = self.core.options.journal_archive_dir.iter().map(|dir| dir.display().to_string());
        Ok(list.chain(archive).collect())
    }

    /// An erasure with the copies that hold whoever was erased to this day: a backup that was brought up to date since is
    /// clean. Where the list of backups cannot be read all stay named.
    pub fn with_backups(&self, erasure: &Erasure) -> Erasure {
        let mut shown = erasure.clone();
        if let Some(done) = &mut shown.done {
            let (list, since) = (self.backups().unwrap_or_default(), done.at.0);
            let is_newer = |dir: &String| {
                list.iter().any(|one| one.complete && one.at_ms > since && one.dir.display().to_string() == *dir)
            };
            done.backups.retain(|dir| !is_newer(dir));
        }
        shown
    }

    /// One erasure of a whole tenant, whose name may be another's by now.
    ///
    /// # Errors
    /// `NotFound` with code `erasure_unknown`.
    pub fn tenant_erasure(&self, id: EraseId) -> Result<(String, Arc<Erasure>)> {
        let unknown = || Error::NotFound { code: "erasure_unknown", what: "erasure".into() };
        let running = lock(&self.core.ended).iter().find_map(|tenant| {
            let erasure = Arc::clone(tenant.view.load_full().erasures.get(id)?);
            Some((tenant.name.to_string(), erasure))
        });
        let graves = Arc::clone(&self.core.server.view.load_full().graves);
        let done =
            || graves.iter().find(|gone| gone.erase_id == id).map(|gone| (gone.name.clone(), Arc::new(buried(gone))));
        running.or_else(done).ok_or_else(unknown)
    }
}

/// The erasure that a grave tells of.
fn buried(gone: &TenantGone) -> Erasure {
    let TenantGone { erase_id, frames, segments, at, .. } = *gone;
    let (contacts, records, reviews) = Default::default();
    let erased = Erased { erase_id, contacts, records, reviews, at: gone.asked_at, actor: gone.actor.clone() };
    let done = ErasureDone { erase_id, frames, segments, backups: gone.backups.clone(), at };
    Erasure { erased, seq: 0, done: Some(done) }
}

impl View {
    /// One erasure of a contact.
    ///
    /// # Errors
    /// `NotFound` with code `erasure_unknown`.
    pub fn erasure(&self, id: EraseId) -> Result<Arc<Erasure>> {
        let unknown = || Error::NotFound { code: "erasure_unknown", what: "erasure".into() };
        self.shard().erasures.get(id).cloned().ok_or_else(unknown)
    }

    /// All erasures of contacts, oldest first.
    pub fn erasures(&self) -> Vec<Arc<Erasure>> {
        self.shard().erasures.all().into_iter().cloned().collect()
    }
}

/// Erasures whose files are to be cleaned, by tenant.
struct Waiting(Vec<OfTenant>);

struct OfTenant {
    tenant: Arc<Tenant>,
    is_ended: bool,
    erasures: Vec<Arc<Erasure>>,
}

impl Waiting {
    fn of(core: &Core) -> Self {
        let all = core.all_and_ended().into_iter().filter_map(|tenant| {
            let view = tenant.view.head();
            let erasures: Vec<_> = view.erasures.pending().cloned().collect();
            (!erasures.is_empty()).then_some(OfTenant { tenant, is_ended: view.is_ended, erasures })
        });
        Self(all.collect())
    }

    fn gone(&self) -> HashMap<u64, Who> {
        self.0.iter().map(|one| (one.tenant.id.0, one.who())).collect()
    }
}

impl OfTenant {
    fn who(&self) -> Who {
        if self.is_ended {
            return Who::All;
        }
        let mut gone = Gone::default();
        for erasure in &self.erasures {
            gone.add(&erasure.erased);
        }
        Who::These(Box::new(gone))
    }

    fn clean_reports(&self, engine: &Engine) -> Result<()> {
        if self.is_ended {
            let before = self.erasures.iter().map(|one| one.erased.at).max().unwrap_or_default();
            return import::forget::forget_all(engine, &self.tenant.name, before);
        }
        let contacts =
            self.erasures.iter().flat_map(|one| one.erased.contacts.iter()).map(ToString::to_string).collect();
        import::forget::forget(engine, &self.tenant.name, &contacts)
    }
}

/// Who of a tenant is erased.
enum Who {
    /// The tenant as a whole.
    All,
    /// Some of its contacts.
    These(Box<Gone>),
}

impl Who {
    /// What is left of a frame, sealed if it was; `None`: all of it.
    fn left(&self, frame: &Frame<'_>, keys: &Keyring) -> Result<Option<Vec<u8>>> {
        match self {
            Self::All if is_kept(frame.kind) || frame.is_blank() => Ok(None),
            Self::All => Ok(Some(Vec::new())),
            Self::These(gone) => {
                let Some(left) = event_of(frame, keys)?.and_then(|event| gone.redact(event)) else { return Ok(None) };
                let (_, _, left) = event::encode(left);
                Ok(Some(if frame.is_sealed() { keys.seal(&frame.label(), &left)? } else { left }))
            }
        }
    }
}

/// What stays of an erased tenant until its keys are destroyed: that it was there, and who erased whom when.
fn is_kept(kind: u8) -> bool {
    matches!(kind_name(kind), "TenantCreated" | "TenantErased" | "Erased" | "ErasureDone" | "Accessed")
}

/// The event in a frame; `None`: nothing is left of it.
pub(crate) fn event_of(frame: &Frame<'_>, keys: &Keyring) -> Result<Option<Event>> {
    if frame.is_blank() {
        return Ok(None);
    }
    let Opened::Plain(payload) = keys.open_frame(frame)? else { return Ok(None) };
    let decoded = event::decode(frame.kind, frame.version, &payload);
    decoded.map(Some).map_err(|error| Error::invalid("journal", format!("frame {}: {error}", frame.seq)))
}
