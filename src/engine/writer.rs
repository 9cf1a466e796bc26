//! Deciding commands: one tenant at a time on one thread, many tenants side by side, fairly.
//!
//! A request is prepared (normalised) by its caller before it queues. A worker takes a tenant, decides up
//! to [`TURN_MAX`] of its requests on the applied state, hands the frames to the commit thread, some requests at a time, and
//! goes on without waiting for the disk; the answers leave when the group is synced. When there is nothing to go on with and the
//! journal is free, it appends the last of them itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use rayon::prelude::*;
use tokio::sync::oneshot;

use crate::engine::accounts::{AccountCommand, AccountRecord};
use crate::engine::api::{
    Answer, Command, Context, Decision, GroupCommand, Mode, Outcome, Receipt, ReferenceCommand, UpsertResult,
    WebhookCommand,
};
use crate::engine::commit::{Frames, Job, Place, Reply, Write, at_once};
use crate::engine::discovery::{DiscoveryCommand, rotate};
use crate::engine::models::check_running;
use crate::engine::{Core, Tenant, lock};
use crate::error::{Error, Result};
use crate::formats::InputRecord;
use crate::model::event::{AccountPut, AnswerKept, Event, KeptOutcome, Remark, RemarksKept, TenantCreated};
use crate::model::ids::{EntityId, EraseId, WebhookId};
use crate::model::issue::Issue;
use crate::model::key::Millibits;
use crate::model::settings::Settings;
use crate::resolve::act::{self, Act};
use crate::resolve::activate::activate;
use crate::resolve::prepare::{self, Prepared};
use crate::resolve::reference;
use crate::resolve::remark;
use crate::resolve::restrict::{checked, restrict};
use crate::resolve::upsert::{self, Decided, Now, Step, Verdict};
use crate::resolve::webhook;
use crate::resolve::{conflict, group};
use crate::store::apply::KEPT_MS;
use crate::store::shard::{Shard, Version};

mod accounts;
mod consent;
mod forget;

use accounts::{PreparedAccounts, refused_account};

/// Requests of one tenant that a worker decides before it looks at the next tenant.
const TURN_MAX: usize = 32;
/// Requests that are made durable and published as one at most, and bytes of the journal from which no more are added: few
/// enough that the disk has work while the next are decided.
const BUNDLE_MAX: usize = 32;
const BUNDLE_BYTES_MAX: u64 = 256 << 10;
/// Bytes of a journal segment that are never a group's: its header, its footer, and some for the group's own.
const SEGMENT_OWN_BYTES: u64 = 8 << 10;
/// Records from which preparing a batch is spread over threads.
const PARALLEL_MIN: usize = 64;

/// A tenant that has something to do.
pub(crate) struct Work(pub(crate) Arc<Tenant>);

/// Waiting requests of one tenant.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Request>,
    scheduled: bool,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.scheduled
    }
}

/// The state commands are decided on.
pub(crate) struct Working {
    pub(crate) shard: Shard,
    pub(crate) epoch: u64,
}

/// A command with its records normalised.
pub(crate) enum PreparedCommand {
    Upsert {
        records: Vec<InputRecord>,
        prepared: Vec<Prepared>,
        settings: Arc<Settings>,
        strict: bool,
        dry_run: bool,
    },
    Accounts(PreparedAccounts),
    /// What a training or the cleaning of files found; each event is a command of its own.
    Learned(Vec<Event>),
    Other(Command),
}

/// A command that waits.
pub(crate) struct Request {
    pub(crate) command: PreparedCommand,
    pub(crate) context: Context,
    pub(crate) reply: oneshot::Sender<Result<Receipt>>,
}

/// Normalises what a command carries, on the caller's thread.
pub(crate) fn prepare(core: &Core, tenant: &Tenant, command: Command) -> PreparedCommand {
    match command {
        Command::Upsert { records, mode, dry_run } => {
            let settings = Arc::clone(&tenant.view.load_full().settings);
            let prepared = prepare_all(core, tenant, &records, &settings);
            PreparedCommand::Upsert { records, prepared, settings, strict: mode == Mode::Strict, dry_run }
        }
        Command::Account(AccountCommand::Upsert { records, mode, dry_run }) => {
            let settings = Arc::clone(&tenant.view.load_full().settings);
            let prepared = prepare_accounts(core, tenant, &records, &settings);
            let strict = mode == Mode::Strict;
            PreparedCommand::Accounts(PreparedAccounts { records, prepared, settings, strict, dry_run })
        }
        other @ (Command::Merge { .. }
        | Command::UndoMerge { .. }
        | Command::Split { .. }
        | Command::Decide { .. }
        | Command::NoteReview { .. }
        | Command::Patch { .. }
        | Command::Delete { .. }
        | Command::Erase { .. }
        | Command::EraseTenant
        | Command::CreateTenant
        | Command::Retain
        | Command::Restore { .. }
        | Command::Restrict { .. }
        | Command::Checked(_)
        | Command::DeleteRecord { .. }
        | Command::PutSettings { .. }
        | Command::ActivateModel { .. }
        | Command::Webhook(_)
        | Command::Reference(_)
        | Command::Account(_)
        | Command::SettleConflict { .. }
        | Command::Group(_)
        | Command::Discovery(_)
        | Command::Consent(_)
        | Command::Remember { .. }) => PreparedCommand::Other(other),
    }
}

fn prepare_all(core: &Core, tenant: &Tenant, records: &[InputRecord], settings: &Arc<Settings>) -> Vec<Prepared> {
    let normalizer = tenant.normalizer(settings);
    let one = |record: &InputRecord| prepare::prepare(record.clone(), &normalizer, &core.options.secret);
    if records.len() >= PARALLEL_MIN {
        records.par_iter().with_min_len(32).map(one).collect()
    } else {
        records.iter().map(one).collect()
    }
}

fn prepare_accounts(
    core: &Core,
    tenant: &Tenant,
    records: &[AccountRecord],
    settings: &Arc<Settings>,
) -> Vec<Prepared> {
    let normalizer = tenant.normalizer(settings);
    let one = |record: &AccountRecord| prepare::prepare_account(record.clone(), &normalizer, &core.options.secret);
    records.iter().map(one).collect()
}

/// Puts a request in its tenant's queue. True: the tenant must be scheduled.
pub(crate) fn enqueue(core: &Core, tenant: &Tenant, request: Request) -> Result<bool> {
    let mut queue = lock(&tenant.queue);
    if queue.waiting.len() >= core.options.queue_max {
        metrics::counter!("selfsame_queue_full_total").increment(1);
        return Err(Error::Busy { retry_after_ms: 50 });
    }
    queue.waiting.push_back(request);
    Ok(!std::mem::replace(&mut queue.scheduled, true))
}

/// A worker's life: until all senders are gone. Tenants whose turn ended with requests left wait in a
/// queue of the worker's own, so that one busy tenant does not starve the others.
pub(crate) fn run(core: &Core, work: &Receiver<Work>, way: &Way) {
    let mut unfinished: VecDeque<Work> = VecDeque::new();
    loop {
        let next = match work.try_recv() {
            Ok(next) => Some(next),
            Err(TryRecvError::Disconnected) if unfinished.is_empty() => return,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => match unfinished.pop_front() {
                Some(next) => Some(next),
                None => work.recv().ok(),
            },
        };
        let Some(Work(tenant)) = next else { return };
        let is_idle = unfinished.is_empty() && work.is_empty();
        if !turn(core, &tenant, way, is_idle) {
            unfinished.push_back(Work(tenant));
        }
    }
}

/// The way of decided requests to the journal.
pub(crate) struct Way {
    pub(crate) place: Arc<Place>,
    pub(crate) jobs: Sender<Job>,
}

impl Way {
    fn send(&self, write: Option<Write>) {
        if let Some(write) = write {
            self.place.send(&self.jobs, write);
        }
    }
}

/// Decides up to [`TURN_MAX`] requests. True: none is left. `is_idle`: the worker has nothing else to do.
fn turn(core: &Core, tenant: &Arc<Tenant>, way: &Way, is_idle: bool) -> bool {
    let mut working = lock(&tenant.working);
    if working.shard.parked.is_some() {
        working.shard = (*tenant.view.load_full()).clone();
    }
    let mut bundle = Bundle::default();
    for _ in 0..TURN_MAX {
        let Some(request) = lock(&tenant.queue).waiting.pop_front() else { break };
        let epoch = tenant.epoch.load(Ordering::Acquire);
        if working.epoch != epoch {
            // What was decided on the state that is thrown away goes first, to be refused.
            way.send(bundle.take(tenant, &working));
            working.shard = (*tenant.view.load_full()).clone();
            working.epoch = epoch;
        }
        decide(core, tenant, &mut working.shard, request, &mut bundle);
        if bundle.replies.len() >= BUNDLE_MAX || bundle.frames.bytes() >= BUNDLE_BYTES_MAX {
            way.send(bundle.take(tenant, &working));
        }
    }
    let last = bundle.take(tenant, &working);
    // A journal that is not synced with every group is the commit thread's, which knows when the next sync is due.
    // And somebody must be left who decides while this one waits for the disk.
    let may = core.options.workers > 1 && !core.options.durability.is_relaxed();
    let appends = may && is_idle && last.is_some();
    let journal = if appends { way.place.free() } else { None };
    drop(working);
    match (journal, last) {
        (Some(journal), Some(write)) => {
            // The journal is held: what another worker decides from here on comes behind this.
            let is_done = rest(tenant);
            if is_done {
                at_once(core, journal, write);
            } else {
                drop(journal);
                way.send(Some(write));
            }
            is_done
        }
        (_, last) => {
            way.send(last);
            rest(tenant)
        }
    }
}

/// Lets another worker take the tenant if no request is left. What was decided must have its place in the journal: what the
/// other decides comes behind it. True: none is left.
fn rest(tenant: &Tenant) -> bool {
    let mut queue = lock(&tenant.queue);
    queue.scheduled = !queue.waiting.is_empty();
    !queue.scheduled
}

/// Requests of one tenant that were decided one after the other, to be made durable, published and answered as one. A view
/// for each of them would cost as much as deciding: whatever a view shares is copied when the next request changes it.
#[derive(Default)]
struct Bundle {
    frames: Frames,
    replies: Vec<Reply>,
}

impl Bundle {
    /// Takes what is in it, if anything, and starts anew.
    fn take(&mut self, tenant: &Arc<Tenant>, working: &Working) -> Option<Write> {
        let Self { frames, replies } = std::mem::take(self);
        if replies.is_empty() {
            return None;
        }
        let (tenant, epoch, view) = (Arc::clone(tenant), working.epoch, working.shard.clone());
        Some(Write { tenant, epoch, frames, view, replies })
    }
}

/// Decides one request on the shard, which has its changes afterwards unless it failed.
fn decide(core: &Core, tenant: &Tenant, shard: &mut Shard, request: Request, bundle: &mut Bundle) {
    let before = matches!(request.command, PreparedCommand::Other(_)).then(|| shard.clone());
    let mut decision = Deciding { core, tenant, shard, frames: Frames::default(), weights: Vec::new() };
    let outcome = decision.command(&request.command, &request.context);
    let frames = std::mem::take(&mut decision.frames);
    let outcome =
        if before.is_some() { outcome.and_then(|answer| fits(core, &frames).map(|()| answer)) } else { outcome };
    let answer = match outcome {
        Ok(answer) => {
            bundle.frames.add(frames);
            Ok(Receipt { answer, seq: shard.seq })
        }
        Err(error) => {
            if let Some(before) = before {
                *shard = before;
            }
            Err(error)
        }
    };
    // One that failed waits behind what it saw as well.
    bundle.replies.push(Reply { to: request.reply, answer });
}

/// Decides records in order on a private copy of a tenant; nothing is written.
pub(crate) fn rehearse(
    core: &Core,
    tenant: &Tenant,
    shard: &mut Shard,
    records: &[InputRecord],
    actor: &str,
) -> Vec<UpsertResult> {
    let prepared = prepare_all(core, tenant, records, &shard.settings.clone());
    let mut decision = Deciding { core, tenant, shard, frames: Frames::default(), weights: Vec::new() };
    let now = Now { at: core.now(), actor };
    prepared.iter().map(|one| decision.upsert(one, false, now)).collect()
}

/// The same of account records.
pub(crate) fn rehearse_accounts(
    core: &Core,
    tenant: &Tenant,
    shard: &mut Shard,
    records: &[AccountRecord],
    actor: &str,
) -> Vec<UpsertResult> {
    let prepared = prepare_accounts(core, tenant, records, &shard.settings.clone());
    let mut decision = Deciding { core, tenant, shard, frames: Frames::default(), weights: Vec::new() };
    let now = Now { at: core.now(), actor };
    prepared.iter().map(|one| decision.upsert_account(one, false, now)).collect()
}

/// Refuses a command that no group of the journal could hold: whoever sent it hears how to make room.
fn fits(core: &Core, frames: &Frames) -> Result<()> {
    let (bytes, most) = (frames.bytes(), core.options.segment_bytes.saturating_sub(SEGMENT_OWN_BYTES));
    if bytes <= most {
        return Ok(());
    }
    let reason = format!(
        "this changes so much that it takes {bytes} bytes of the journal at once, which holds {most}; start the server \
         with a larger segment_bytes_max and repeat it"
    );
    Err(Error::Conflict { code: "change_too_large", reason, holder: None })
}

/// One command on its way: decides, applies, and gathers the frames.
struct Deciding<'a> {
    core: &'a Core,
    tenant: &'a Tenant,
    shard: &'a mut Shard,
    frames: Frames,
    /// Match weights of the upserts so far: an answer shows their probability, which does not lead back to them.
    weights: Vec<Option<Millibits>>,
}

impl Deciding<'_> {
    fn command(&mut self, command: &PreparedCommand, context: &Context) -> Result<Answer> {
        let at = self.core.now();
        if self.shard.is_ended && !matches!(command, PreparedCommand::Learned(_)) {
            // Its name is free for a tenant that starts afresh.
            return Err(Error::Busy { retry_after_ms: 10 });
        }
        if let Some(kept) = self.kept(context, at.0)? {
            return Ok(self.repeat(&kept, command));
        }
        let now = Now { at, actor: &context.actor };
        let dry = matches!(
            command,
            PreparedCommand::Upsert { dry_run: true, .. }
                | PreparedCommand::Accounts(PreparedAccounts { dry_run: true, .. })
                | PreparedCommand::Other(
                    Command::Merge { dry_run: true, .. }
                        | Command::Account(AccountCommand::Merge { dry_run: true, .. })
                )
        );
        let undo = dry.then(|| self.shard.clone());
        if self.shard.seq.0 == 0 {
            let created = TenantCreated { name: self.tenant.name.to_string(), at };
            self.commit(vec![Step::Event(Event::TenantCreated(created))], None);
        }
        let answer = match command {
            PreparedCommand::Upsert { records, prepared, settings, strict, .. } => {
                let anew;
                let prepared = if Arc::ptr_eq(settings, &self.shard.settings) || **settings == *self.shard.settings {
                    prepared
                } else {
                    anew = prepare_all(self.core, self.tenant, records, &self.shard.settings.clone());
                    &anew
                };
                Answer::Upserted(prepared.iter().map(|one| self.upsert(one, *strict, now)).collect())
            }
            PreparedCommand::Accounts(upsert) => self.upsert_accounts(upsert, now),
            PreparedCommand::Learned(events) => {
                events.iter().for_each(|event| self.commit(vec![Step::Event(event.clone())], None));
                Answer::Done(Vec::new())
            }
            PreparedCommand::Other(command) => self.other(command, now)?,
        };
        match (undo, &context.idempotency) {
            (Some(undo), _) => {
                *self.shard = undo;
                self.frames = Frames::default();
            }
            // An erased tenant keeps nothing, not even this.
            (None, Some(_)) if self.shard.is_ended => {}
            (None, Some((key, body))) => self.keep(key, *body, command, &answer, now),
            (None, None) => {}
        }
        Ok(answer)
    }

    /// Applies the steps of one command and gathers their frames. `after` is the shard after the first of them, where it
    /// is made already.
    fn commit(&mut self, steps: Vec<Step>, mut after: Option<Box<Shard>>) {
        let last = steps.len();
        for (at, step) in steps.into_iter().enumerate() {
            let event = match &step {
                Step::Put(version) => put_event(version),
                Step::Event(event) => event.clone(),
            };
            self.frames.push(event, at + 1 == last);
            if let Some(after) = after.take() {
                *self.shard = *after;
                continue;
            }
            match step {
                Step::Put(version) if version.business().is_some() => self.shard.apply_account_put(version),
                Step::Put(version) => self.shard.apply_put(version),
                Step::Event(event) => self.shard.apply(event),
            }
        }
    }

    fn upsert(&mut self, prepared: &Prepared, strict: bool, now: Now<'_>) -> UpsertResult {
        if prepared.anchor.is_none() && *prepared.record.key.source == *crate::resolve::edit::MANUAL_SOURCE {
            return invalid(remark::remark(remark::RESERVED, "source"));
        }
        if let Some(issue) = self.refused_for_free_mail(prepared) {
            return invalid(issue);
        }
        let core = self.core;
        let before = self.said_before(prepared);
        let mut decided = upsert::decide(self.shard, prepared, strict, now, &mut || core.new_id());
        decided.steps.extend(self.still_out(&decided.steps, decided.record, before.as_ref(), now));
        self.upserted(decided)
    }

    /// Commits what was decided on a record and answers it.
    fn upserted(&mut self, decided: Decided) -> UpsertResult {
        let Decided { steps, verdict, record, contact, weight, affected, mut issues } = decided;
        self.commit(steps, None);
        if contact.is_some_and(|contact| self.shard.is_restricted_id(contact)) {
            issues.push(remark::remark(remark::RESTRICTED, "contact_id"));
        }
        let outcome = outcome_of(verdict);
        metrics::counter!("selfsame_upserts_total", "outcome" => outcome.word()).increment(1);
        self.weights.push(weight);
        let score = weight.map(Millibits::probability);
        UpsertResult { outcome, contact_id: contact, record_id: record, score, affected, issues }
    }

    #[expect(clippy::too_many_lines, reason = "an arm for every command")]
    fn other(&mut self, command: &Command, now: Now<'_>) -> Result<Answer> {
        let core = self.core;
        let mut new_id = || core.new_id();
        match command {
            Command::Merge { contacts, survivor, reason, dry_run } => {
                let act = act::merge(self.shard, contacts, *survivor, reason.as_deref(), now, &mut new_id)?;
                // A rehearsal makes no merge that could be undone.
                let merge_id = act.merge.filter(|_| !dry_run);
                let mut contacts = self.act(act).into_iter();
                let survivor = contacts.next().ok_or_else(|| Error::invalid("contact_ids", "nothing to merge"))?;
                Ok(Answer::Merged { merge_id, survivor, losers: contacts.collect() })
            }
            Command::UndoMerge { merge } if self.shard.is_account_merge(*merge) => self.undo_account_merge(*merge, now),
            Command::UndoMerge { merge } => {
                let act = act::undo(self.shard, *merge, now, &mut new_id)?;
                Ok(Answer::Parts(self.act(act)))
            }
            Command::Split { contact, records } => {
                let act = act::split(self.shard, *contact, records, now, &mut new_id)?;
                Ok(Answer::Parts(self.act(act)))
            }
            Command::Decide { review, decision, reason } => {
                let number = match decision {
                    Decision::Same => 0,
                    Decision::Different => 1,
                    Decision::Unsure => 2,
                };
                let act = act::decide(self.shard, *review, number, reason.as_deref(), now, &mut new_id)?;
                Ok(Answer::Done(self.act(act)))
            }
            Command::NoteReview { review, assignee, note } => {
                let (assignee, note) = (assignee.as_ref().map(Option::as_deref), note.as_ref().map(Option::as_deref));
                let act = act::note(self.shard, *review, assignee, note, now)?;
                Ok(Answer::Done(self.act(act)))
            }
            Command::Patch { contact, set, touched } => self.patch(*contact, set, touched, now),
            Command::Delete { contact } => self.mark(*contact, true, now),
            Command::Restore { contact } => self.mark(*contact, false, now),
            Command::Restrict { contact, restricted, reason } => {
                let act = restrict(self.shard, *contact, *restricted, reason.as_deref(), now, &mut new_id)?;
                self.act(act);
                Ok(Answer::Contact(*contact))
            }
            Command::Checked(checks) => {
                // Each is a command of its own: together they need not fit into one group.
                checked(self.shard, checks).into_iter().for_each(|step| self.commit(vec![step], None));
                Ok(Answer::Done(Vec::new()))
            }
            Command::Erase { contact } => self.erase_contact(*contact, now),
            Command::EraseTenant => Ok(self.erase_tenant(now)),
            Command::Retain => self.retain(now),
            // The tenant was made before this was looked at.
            Command::CreateTenant => Ok(Answer::Done(Vec::new())),
            Command::DeleteRecord { key } => {
                let unknown = || Error::NotFound { code: "record_unknown", what: "record".into() };
                let decided = upsert::withdraw(self.shard, key, now, &mut new_id).ok_or_else(unknown)?;
                self.commit(decided.steps, None);
                Ok(Answer::Done(decided.affected))
            }
            Command::PutSettings { settings } => self.put_settings(settings, now),
            Command::ActivateModel { model } => {
                check_running(core, self.shard, *model)?;
                let act = activate(self.shard, *model, now, &mut new_id)?;
                Ok(Answer::Done(self.act(act)))
            }
            Command::Webhook(command) => self.webhook(command, now),
            Command::Reference(command) => self.reference(command, now),
            Command::Account(command) => self.account(command, now),
            Command::SettleConflict { record, keep } => {
                let (steps, contacts) = conflict::settle(self.shard, *record, *keep, now, &mut new_id)?;
                self.commit(steps, None);
                Ok(Answer::Done(contacts))
            }
            Command::Group(command) => self.group(command, now),
            Command::Discovery(command) => self.discovery(command, now),
            Command::Consent(command) => self.consent(command, now),
            Command::Remember { ids } => Ok(Answer::Done(ids.iter().copied().map(EntityId).collect())),
            Command::Upsert { .. } => Err(Error::invalid("command", "upserts are prepared before they queue")),
        }
    }

    fn discovery(&mut self, command: &DiscoveryCommand, now: Now<'_>) -> Result<Answer> {
        let step = rotate::decide(self.shard, command, now)?;
        self.commit(vec![step], None);
        Ok(Answer::Done(Vec::new()))
    }

    fn put_settings(&mut self, settings: &Settings, now: Now<'_>) -> Result<Answer> {
        let core = self.core;
        check_tags_only(self.shard, settings)?;
        let act = act::settings(self.shard, settings.clone(), now, &mut || core.new_id());
        core.users.settings_changed();
        Ok(Answer::Done(self.act(act)))
    }

    fn act(&mut self, act: Act) -> Vec<EntityId> {
        self.commit(act.steps, act.after);
        act.contacts
    }

    fn webhook(&mut self, command: &WebhookCommand, now: Now<'_>) -> Result<Answer> {
        let steps = match command {
            WebhookCommand::Create(new) => {
                let id = WebhookId(self.core.new_id());
                let steps = webhook::create(self.shard, new, id, &self.core.new_secret(), now)?;
                self.commit(steps, None);
                return Ok(Answer::Webhook(id));
            }
            WebhookCommand::Delete(id) => webhook::delete(self.shard, *id, now)?,
            WebhookCommand::Retry(id, delivery) => webhook::retry(self.shard, *id, *delivery, now)?,
            WebhookCommand::Report(id, report) => webhook::report(self.shard, *id, report, now)?,
        };
        self.commit(steps, None);
        Ok(Answer::Done(Vec::new()))
    }

    fn reference(&mut self, command: &ReferenceCommand, now: Now<'_>) -> Result<Answer> {
        let (contact, steps) = match command {
            ReferenceCommand::Put { contact, name, take_over } => {
                (*contact, reference::put(self.shard, *contact, name, *take_over, now)?)
            }
            ReferenceCommand::Delete { contact, name } => {
                (*contact, reference::delete(self.shard, *contact, name, now)?)
            }
        };
        self.commit(steps, None);
        Ok(Answer::Contact(contact))
    }

    fn group(&mut self, command: &GroupCommand, now: Now<'_>) -> Result<Answer> {
        let (steps, contacts) = match command {
            GroupCommand::Put { slug, name, description } => {
                group::put(self.shard, slug, name, description.as_deref(), now)?
            }
            GroupCommand::Delete { slug } => group::delete(self.shard, slug, now)?,
        };
        self.commit(steps, None);
        Ok(Answer::Done(contacts))
    }

    fn mark(&mut self, contact: EntityId, deleted: bool, now: Now<'_>) -> Result<Answer> {
        let act = act::mark(self.shard, contact, deleted, now)?;
        self.act(act);
        Ok(Answer::Contact(contact))
    }

    fn patch(
        &mut self,
        contact: EntityId,
        set: &crate::model::record::Fields,
        touched: &[String],
        now: Now<'_>,
    ) -> Result<Answer> {
        let normalizer = self.tenant.normalizer(&self.shard.settings.clone());
        let prepared = crate::resolve::edit::edit(self.shard, contact, set, touched, &normalizer)?;
        if let Some(issue) = self.refused_for_free_mail(&prepared) {
            return Err(Error::invalid(issue.field, issue.message));
        }
        self.upsert(&prepared, false, now);
        Ok(Answer::Contact(contact))
    }

    /// The answer that this request got before, if it is a repeat.
    fn kept(&self, context: &Context, now_ms: i64) -> Result<Option<Arc<AnswerKept>>> {
        kept_answer(self.shard, context, now_ms)
    }

    fn keep(&mut self, key: &str, body: [u8; 32], command: &PreparedCommand, answer: &Answer, now: Now<'_>) {
        let (shape, outcomes) = kept_of(answer, &self.weights);
        let kept = AnswerKept { key: key.to_owned(), body, answer: outcomes, shape, at: now.at, remarks: Vec::new() };
        let mut steps = vec![Step::Event(Event::AnswerKept(kept))];
        let remarks = remarks_of(command, answer);
        if !remarks.is_empty() {
            steps.push(Step::Event(Event::RemarksKept(RemarksKept { key: key.to_owned(), remarks })));
        }
        self.commit(steps, None);
    }

    fn repeat(&self, kept: &AnswerKept, command: &PreparedCommand) -> Answer {
        let said = |at: usize| {
            let mine = kept.remarks.iter().filter(move |remark| remark.at as usize == at);
            mine.filter_map(|one| remark::again(&one.code, &one.field))
        };
        let issues = |at: usize, outcome: Outcome| match command {
            PreparedCommand::Upsert { prepared, .. } => {
                let read = prepared.get(at).filter(|_| outcome != Outcome::Invalid).map(|one| one.issues.clone());
                read.unwrap_or_default().into_iter().chain(said(at)).collect()
            }
            PreparedCommand::Accounts(upsert) => {
                let said = |one: &Prepared| match refused_account(one) {
                    Some(issue) if outcome == Outcome::Invalid => vec![issue],
                    _ => one.issues.clone(),
                };
                upsert.prepared.get(at).map(said).unwrap_or_default()
            }
            PreparedCommand::Other(_) | PreparedCommand::Learned(_) => Vec::new(),
        };
        answer_of(kept, &issues)
    }
}

/// What is stored cannot be taken back nor given again: whether only tags are kept is settled before the first record.
fn check_tags_only(shard: &Shard, settings: &Settings) -> Result<()> {
    if shard.settings.discovery.tags_only == settings.discovery.tags_only || shard.slots.is_empty() {
        return Ok(());
    }
    let reason = "discovery.tags_only can change only while the tenant has no records; import them into a new tenant";
    Err(Error::Conflict { code: "tags_only_settled", reason: reason.into(), holder: None })
}

/// The event of a put.
fn put_event(version: &Version) -> Event {
    let put = version.stored.put();
    match version.business() {
        None => Event::RecordPut(Box::new(put)),
        Some(of) => Event::AccountPut(Box::new(AccountPut { put, business: of.business.clone() })),
    }
}

/// The answer to a record that is not even looked at.
fn invalid(issue: Issue) -> UpsertResult {
    let (outcome, affected, issues) = (Outcome::Invalid, Vec::new(), vec![issue]);
    UpsertResult { outcome, contact_id: None, record_id: None, score: None, affected, issues }
}

/// The answer kept under a caller's key.
///
/// # Errors
/// `Conflict` when the key came with another body.
pub(crate) fn kept_answer(shard: &Shard, context: &Context, now_ms: i64) -> Result<Option<Arc<AnswerKept>>> {
    let Some((key, body)) = &context.idempotency else { return Ok(None) };
    match shard.kept.get(key.as_str()).filter(|kept| now_ms - kept.at.0 <= KEPT_MS) {
        Some(kept) if kept.body == *body => Ok(Some(Arc::clone(kept))),
        Some(_) => Err(Error::Conflict {
            code: "idempotency_key_reused",
            reason: "this Idempotency-Key came with another body within 24 hours; use a new key".into(),
            holder: None,
        }),
        None => Ok(None),
    }
}

fn outcome_of(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Created => Outcome::Created,
        Verdict::Updated => Outcome::Updated,
        Verdict::Unchanged => Outcome::Unchanged,
        Verdict::Stale => Outcome::Stale,
        Verdict::Merged => Outcome::Merged,
        Verdict::Review => Outcome::Review,
        Verdict::Conflict => Outcome::Conflict,
    }
}

fn kept_outcome(contact: Option<EntityId>, affected: Vec<EntityId>) -> KeptOutcome {
    KeptOutcome { outcome: 0, contact, record: None, merge: None, weight: None, affected }
}

fn kept_of(answer: &Answer, weights: &[Option<Millibits>]) -> (u8, Vec<KeptOutcome>) {
    match answer {
        Answer::Upserted(results) => {
            let one = |(at, result): (usize, &UpsertResult)| KeptOutcome {
                outcome: Outcome::ALL
                    .iter()
                    .position(|o| *o == result.outcome)
                    .and_then(|number| u8::try_from(number).ok())
                    .unwrap_or(7),
                contact: result.contact_id,
                record: result.record_id,
                merge: None,
                weight: weights.get(at).copied().flatten(),
                affected: result.affected.clone(),
            };
            (0, results.iter().enumerate().map(one).collect())
        }
        Answer::Merged { merge_id, survivor, losers } => {
            (1, vec![KeptOutcome { merge: *merge_id, ..kept_outcome(Some(*survivor), losers.clone()) }])
        }
        Answer::Parts(ids) => (2, vec![kept_outcome(None, ids.clone())]),
        Answer::Contact(id) => (3, vec![kept_outcome(Some(*id), Vec::new())]),
        Answer::Done(ids) => (4, vec![kept_outcome(None, ids.clone())]),
        // The place of the contact's id holds the webhook's or the erasure's: the shape says which it is.
        Answer::Webhook(id) => (5, vec![kept_outcome(Some(EntityId(id.0)), Vec::new())]),
        Answer::Erasure(id) => (6, vec![kept_outcome(Some(EntityId(id.0)), Vec::new())]),
    }
}

/// What an answer says beside the remarks of normalising, which a repeat makes anew.
fn remarks_of(command: &PreparedCommand, answer: &Answer) -> Vec<Remark> {
    let (PreparedCommand::Upsert { prepared, .. }, Answer::Upserted(results)) = (command, answer) else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    for (at, (one, result)) in (0..).zip(prepared.iter().zip(results)) {
        let read = if result.outcome == Outcome::Invalid { 0 } else { one.issues.len() };
        let said = result.issues.iter().skip(read);
        remarks.extend(said.map(|issue| Remark { at, field: issue.field.clone(), code: issue.code.to_owned() }));
    }
    remarks
}

fn answer_of(kept: &AnswerKept, issues: &dyn Fn(usize, Outcome) -> Vec<crate::model::issue::Issue>) -> Answer {
    let first = kept.answer.first();
    let affected = || first.map(|one| one.affected.clone()).unwrap_or_default();
    match (kept.shape, first) {
        (0, _) => {
            let one = |(at, one): (usize, &KeptOutcome)| {
                let outcome = Outcome::ALL.get(usize::from(one.outcome)).copied().unwrap_or(Outcome::Invalid);
                UpsertResult {
                    outcome,
                    contact_id: one.contact,
                    record_id: one.record,
                    score: one.weight.map(Millibits::probability),
                    affected: one.affected.clone(),
                    issues: issues(at, outcome),
                }
            };
            Answer::Upserted(kept.answer.iter().enumerate().map(one).collect())
        }
        (1, Some(KeptOutcome { contact: Some(survivor), merge, .. })) => {
            Answer::Merged { merge_id: *merge, survivor: *survivor, losers: affected() }
        }
        (2, _) => Answer::Parts(affected()),
        (3, Some(KeptOutcome { contact: Some(id), .. })) => Answer::Contact(*id),
        (5, Some(KeptOutcome { contact: Some(id), .. })) => Answer::Webhook(WebhookId(id.0)),
        (6, Some(KeptOutcome { contact: Some(id), .. })) => Answer::Erasure(EraseId(id.0)),
        _ => Answer::Done(affected()),
    }
}
