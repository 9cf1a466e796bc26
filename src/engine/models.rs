//! Models of a tenant: training one beside the live state, listing them, looking ahead.
//!
//! A training works on the view it began with, on a thread and a small pool of its own, so that queries and writes go
//! on; only its result goes through the tenant's writer, as events. One runs at a time in a server. A stop ends it
//! between two rounds, and nothing of it is kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError, Weak};

use crate::engine::api::{Context, ModelCard, ModelStatus};
use crate::engine::recover::spawn;
use crate::engine::writer::PreparedCommand;
use crate::engine::{Core, Engine, Tenant, View, lock};
use crate::error::{Error, Result};
use crate::matching::model::Model;
use crate::matching::platt::Calibration;
use crate::matching::train::Learned;
use crate::model::event::{CalibrationDone, Event, LearnedLevel, ModelPart, ModelTrained, TrainingEnd};
use crate::model::ids::{Millis, ModelId, Seq, TenantName};
use crate::resolve::activate::{self, Preview};
use crate::resolve::batch::{Lesson, Training};
use crate::resolve::learn::learn;
use crate::store::form::to_form;
use crate::store::models::Trained;
use crate::store::shard::Shard;

/// What a caller is told to wait while another training or preview runs.
const RETRY_MS: u64 = 2_000;
/// Bytes of one part of a model at most.
const PART_BYTES_MAX: u64 = 256 << 10;
/// Parts of one request to the writer.
const PARTS_AT_ONCE: usize = 4;
/// Times that a full queue is asked again, and the milliseconds between.
const BUSY_RETRIES_MAX: u32 = 200;
const BUSY_SLEEP_MS: u64 = 50;

/// A training that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    tenant: TenantName,
    id: ModelId,
    actor: String,
    started_at: Millis,
    as_of: Seq,
    records: u64,
}

impl Engine {
    /// Begins to train a model on a tenant's records; the answer comes at once, the card says when it is done.
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Busy` while a training runs, `Poisoned` after a failed sync.
    pub fn train(self: &Arc<Self>, tenant: &TenantName, actor: &str) -> Result<ModelCard> {
        if self.is_poisoned() {
            return Err(Error::Poisoned);
        }
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let running = self.begin(&tenant, &shard, actor)?;
        let card = training_card(&running);
        let (core, engine) = (Arc::clone(&self.core), Arc::downgrade(self));
        let thread = spawn("train", move || {
            let events = work(&core, &shard, &running);
            if let Some(events) = events {
                keep(&core, &engine, &tenant, events);
            }
            lock(&core.running).take();
        });
        let thread = thread.inspect_err(|_| drop(lock(&self.core.running).take()))?;
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(card)
    }

    /// Takes the one place for a training.
    fn begin(&self, tenant: &Tenant, shard: &Shard, actor: &str) -> Result<Running> {
        let mut place = lock(&self.core.running);
        if place.is_some() || self.core.stopping.load(Ordering::Acquire) {
            return Err(Error::Busy { retry_after_ms: RETRY_MS });
        }
        let running = Running {
            tenant: tenant.name.clone(),
            id: ModelId(self.core.new_id()),
            actor: actor.to_owned(),
            started_at: self.core.now(),
            as_of: shard.seq,
            records: shard.records_live,
        };
        *place = Some(running.clone());
        Ok(running)
    }

    /// The tenant's models: the shipped one, then trainings, oldest first, the running one last.
    ///
    /// # Errors
    /// `NotFound` for the tenant.
    pub fn models(&self, tenant: &TenantName) -> Result<Vec<ModelCard>> {
        // The running one first: its card is in the view before it is taken off here.
        let running = lock(&self.core.running).clone().filter(|running| running.tenant == *tenant);
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        let mut cards = vec![default_card(&shard)];
        cards.extend(shard.models.trained.iter().map(|trained| trained_card(&shard, trained)));
        let others: Vec<ModelCard> = {
            let unsaved = lock(&tenant.unsaved);
            let unsaved = unsaved.iter().map(|card| done_card(card, ModelStatus::Failed, None));
            unsaved.chain(running.iter().map(training_card)).collect()
        };
        cards.extend(others.into_iter().filter(|card| shard.models.get(card.id).is_none()));
        Ok(cards)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` for the tenant or the model.
    pub fn model(&self, tenant: &TenantName, id: ModelId) -> Result<ModelCard> {
        let found = self.models(tenant)?.into_iter().find(|card| card.id == id);
        found.ok_or_else(activate::unknown)
    }

    /// What activating a model would do, computed beside the live state.
    ///
    /// # Errors
    /// `NotFound` for tenant and model, `Conflict` for one that cannot be activated, `Busy` while another preview runs.
    pub fn preview(&self, tenant: &TenantName, id: ModelId) -> Result<Preview> {
        let shard = self.known(tenant)?.view.load_full();
        check_running(&self.core, &shard, id)?;
        let _place = match self.core.previewing.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(place)) => place.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { retry_after_ms: RETRY_MS }),
        };
        pool()?.install(|| activate::preview(&shard, id))
    }
}

impl View {
    /// The model that decides in this view.
    pub fn model(&self) -> &Arc<Model> {
        &self.shard().model
    }

    /// The id of the model that decides in this view.
    pub fn model_id(&self) -> ModelId {
        self.shard().models.active
    }
}

/// Refuses a model that is not trained to its end. One that the shard knows is, though its training may not have given
/// back its place yet.
///
/// # Errors
/// `Conflict`.
pub(crate) fn check_running(core: &Core, shard: &Shard, id: ModelId) -> Result<()> {
    if shard.models.get(id).is_some() || lock(&core.running).as_ref().is_none_or(|running| running.id != id) {
        return Ok(());
    }
    let reason = "this model is still training; wait until GET models shows it as ready".into();
    Err(Error::Conflict { code: "model_not_ready", reason, holder: None })
}

/// Threads for work beside the live state: all cores but one, so that queries and writes never wait for it.
fn pool() -> Result<rayon::ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let name = |number| format!("learn-{number}");
    let builder = rayon::ThreadPoolBuilder::new().num_threads((cores - 1).max(1)).thread_name(name);
    builder.build().map_err(|error| Error::io("starting threads", std::io::Error::other(error)))
}

/// Trains. The events to keep; `None` when the server stops.
fn work(core: &Core, shard: &Shard, running: &Running) -> Option<Vec<Event>> {
    let go_on = || !core.stopping.load(Ordering::Acquire);
    let lesson = |pool: &rayon::ThreadPool| pool.install(|| learn(shard, &|| !core.stopping.load(Ordering::Acquire)));
    let learned = pool().map_err(|error| error.to_string()).and_then(|pool| {
        catch_unwind(AssertUnwindSafe(|| lesson(&pool)))
            .map_err(|_| "it panicked; the server's standard error says where".to_owned())
    });
    let learned = match learned {
        Ok(None) => return None,
        Ok(Some(lesson)) => Ok(lesson),
        Err(reason) => Err(reason),
    };
    if !go_on() {
        return None;
    }
    let (card, bytes) = card_of(core, shard, running, learned);
    tracing::info!(model = %card.model_id, end = ?card.end, records = card.records, "training ended");
    let part_bytes =
        usize::try_from(PART_BYTES_MAX.min(core.options.segment_bytes / 8)).unwrap_or(1 << 10).max(1 << 10);
    let part =
        |(part, bytes): (u32, &[u8])| Event::ModelPart(ModelPart { model_id: running.id, part, bytes: bytes.to_vec() });
    let mut events: Vec<Event> = (0..).zip(bytes.chunks(part_bytes)).map(part).collect();
    let parts = u32::try_from(events.len()).unwrap_or(u32::MAX);
    events.push(Event::ModelTrained(Box::new(ModelTrained { parts, ..card })));
    Some(events)
}

/// The card of an ended training, and the model's bytes if there is one.
fn card_of(core: &Core, shard: &Shard, running: &Running, learned: Result<Lesson, String>) -> (ModelTrained, Vec<u8>) {
    let shipped = shard.models.shipped();
    let (model, training, end) = match learned {
        Ok(Lesson { model, training }) if training.refused.is_none() => (model, training, TrainingEnd::Ready),
        Ok(Lesson { model, training }) => (model, training, TrainingEnd::Refused),
        Err(reason) => {
            let training = Training { refused: Some(reason), ..Training::default() };
            ((**shipped).clone(), training, TrainingEnd::Failed)
        }
    };
    let calibration = calibration(&training);
    let card = ModelTrained {
        model_id: running.id,
        end,
        reason: training.refused,
        version: model.version.clone(),
        base: shipped.version.clone(),
        actor: running.actor.clone(),
        started_at: running.started_at,
        at: core.now(),
        as_of: running.as_of,
        records: running.records,
        size_class: model.size_class,
        prior_before: shard.model.prior_bits(),
        prior_after: model.prior_bits(),
        duplication: training.duplication,
        levels: training.learned.iter().map(level).collect(),
        calibration,
        parts: 0,
    };
    let bytes = if end == TrainingEnd::Ready { to_form(&model) } else { Vec::new() };
    (card, bytes)
}

fn calibration(training: &Training) -> CalibrationDone {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let Calibration { scale, shift } = training.calibration.unwrap_or_default();
    let (same, different) = training.verdicts;
    CalibrationDone { same: count(same), different: count(different), fitted: training.by_people, scale, shift }
}

fn level(learned: &Learned) -> LearnedLevel {
    LearnedLevel {
        comparison: learned.comparison.to_owned(),
        level: learned.level.to_owned(),
        seen: learned.seen,
        m_before: learned.m.0,
        m_after: learned.m.1,
        u_before: learned.u.0,
        u_after: learned.u.1,
        clamped: learned.clamped,
    }
}

/// Sends the result through the tenant's writer, a few parts at a time. What cannot be written is a failed training.
fn keep(core: &Core, engine: &Weak<Engine>, tenant: &Arc<Tenant>, mut events: Vec<Event>) {
    let card = events.last().cloned();
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(PARTS_AT_ONCE));
        let Err(error) = send(core, engine, tenant, std::mem::replace(&mut events, rest)) else { continue };
        tracing::error!(%error, "a trained model could not be kept");
        if let Some(Event::ModelTrained(card)) = card {
            let reason = Some(format!("its model could not be written ({error}); train again"));
            let failed = ModelTrained { end: TrainingEnd::Failed, reason, parts: 0, ..*card };
            *lock(&tenant.unsaved) = Some(failed);
        }
        return;
    }
}

fn send(core: &Core, engine: &Weak<Engine>, tenant: &Arc<Tenant>, events: Vec<Event>) -> Result<()> {
    for _ in 0..BUSY_RETRIES_MAX {
        let engine = engine.upgrade().ok_or(Error::Poisoned)?;
        let command = PreparedCommand::Learned(events.clone());
        let answer = engine.enqueue(tenant, command, Context::default());
        drop(engine);
        match answer {
            Err(Error::Busy { .. }) if !core.stopping.load(Ordering::Acquire) => {}
            Err(error) => return Err(error),
            Ok(answer) => return answer.blocking_recv().unwrap_or(Err(Error::Poisoned)).map(drop),
        }
        std::thread::sleep(std::time::Duration::from_millis(BUSY_SLEEP_MS));
    }
    Err(Error::Busy { retry_after_ms: RETRY_MS })
}

/// Sends facts through a tenant's writer, each a command of its own, and waits until they are on disk.
pub(crate) fn send_facts(engine: &Engine, tenant: &Arc<Tenant>, facts: Vec<Event>) -> Result<()> {
    let answer = engine.enqueue(tenant, PreparedCommand::Learned(facts), Context::default())?;
    answer.blocking_recv().unwrap_or(Err(Error::Poisoned)).map(drop)
}

fn training_card(running: &Running) -> ModelCard {
    ModelCard {
        id: running.id,
        status: ModelStatus::Training,
        actor: running.actor.clone(),
        started_at: Some(running.started_at),
        as_of: Some(running.as_of),
        records: Some(running.records),
        ..ModelCard::default()
    }
}

fn default_card(shard: &Shard) -> ModelCard {
    let shipped = shard.models.shipped();
    let active = shard.models.active == ModelId::DEFAULT;
    ModelCard {
        id: ModelId::DEFAULT,
        status: if active { ModelStatus::Active } else { ModelStatus::Retired },
        version: shipped.version.clone(),
        activated: shard.models.default_activated.clone(),
        size_class: Some(shipped.size_class),
        prior_after: Some(shipped.prior_bits()),
        ..ModelCard::default()
    }
}

fn trained_card(shard: &Shard, trained: &Trained) -> ModelCard {
    let status = match trained.card.end {
        TrainingEnd::Refused => ModelStatus::Refused,
        TrainingEnd::Failed => ModelStatus::Failed,
        TrainingEnd::Ready if shard.models.active == trained.card.model_id => ModelStatus::Active,
        TrainingEnd::Ready if trained.activated.is_some() => ModelStatus::Retired,
        TrainingEnd::Ready => ModelStatus::Ready,
    };
    done_card(&trained.card, status, trained.activated.clone())
}

fn done_card(card: &ModelTrained, status: ModelStatus, activated: Option<(Millis, String)>) -> ModelCard {
    let ready = card.end == TrainingEnd::Ready;
    ModelCard {
        id: card.model_id,
        status,
        version: card.version.clone(),
        base: Some(card.base.clone()),
        actor: card.actor.clone(),
        started_at: Some(card.started_at),
        finished_at: Some(card.at),
        activated,
        as_of: Some(card.as_of),
        records: Some(card.records),
        size_class: ready.then_some(card.size_class),
        prior_before: Some(card.prior_before),
        prior_after: ready.then_some(card.prior_after),
        duplication: ready.then_some(card.duplication),
        levels: card.levels.clone(),
        calibration: Some(card.calibration),
        reason: card.reason.clone(),
    }
}
