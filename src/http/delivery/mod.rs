//! Delivering the change feed to webhooks.
//!
//! One supervisor hears whose webhooks changed and keeps a task for each webhook ([`hook`]); a task reads the feed behind
//! its webhook's place and sends batches, one after the other, so that the order holds. Every attempt takes a place among
//! few, of which one tenant gets an eighth at most; a webhook whose last attempt failed or took long takes it among other
//! such ones ([`Places`]). So a slow receiver holds its own webhook back, and nobody who is well. How far a webhook has
//! heard goes through the tenant's writer at coarse steps, so that a restart repeats a little and leaves nothing out.
//! [`target`] says where a webhook may go, [`client`] makes one attempt, [`sign`] signs it.

mod body;
pub(super) mod client;
mod hook;
mod sign;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

pub(crate) use body::DeliveryBody;
pub(super) use target::Target;

use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::error::Result;
use crate::host::{Names, SystemNames};
use crate::http::app::EngineSlot;
use crate::http::delivery::client::Client;
use crate::http::delivery::hook::Courier;
use crate::model::ids::{TenantName, WebhookId};

/// A tenant gets this part of all places at most.
const TENANT_PART: usize = 8;
/// This part of all places is for webhooks that are slow or fail.
const SLOW_PART: usize = 4;
/// How often it is looked whether the engine is open yet.
const OPENING: Duration = Duration::from_millis(20);
/// How long tasks may take to write down how far they came when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Delivers to webhooks, and checks where new ones want to go.
#[derive(Clone)]
pub(super) struct Deliverer {
    client: Client,
    places: Places,
    attempts_max: u32,
    retry: Duration,
    allow_private: bool,
    closing: watch::Receiver<bool>,
}

/// Places for attempts of one tenant: those for webhooks that are well, and those for slow or failing ones.
#[derive(Clone)]
struct Places {
    well: Pool,
    slow: Pool,
}

/// A tenant's part of the server's places, so that one tenant cannot take them all.
#[derive(Clone)]
struct Pool {
    server: Arc<Semaphore>,
    tenant: Arc<Semaphore>,
    /// Places of one tenant.
    part: usize,
}

/// An attempt's places, given back when dropped.
struct Place {
    _tenant: OwnedSemaphorePermit,
    _server: OwnedSemaphorePermit,
}

impl Places {
    /// The server's places, for as many attempts.
    fn of_server(attempts_max: usize) -> Self {
        let slow = attempts_max / SLOW_PART;
        Self { well: Pool::of_server(attempts_max - slow), slow: Pool::of_server(slow) }
    }

    /// A tenant's part of them.
    fn of_tenant(&self) -> Self {
        Self { well: self.well.of_tenant(), slow: self.slow.of_tenant() }
    }

    /// Waits for a place. `None` never happens: nobody closes them.
    async fn take(&self, slow: bool) -> Option<Place> {
        let pool = if slow { &self.slow } else { &self.well };
        // The tenant's first: who waits for that holds none of the server's.
        let _tenant = Arc::clone(&pool.tenant).acquire_owned().await.ok()?;
        let _server = Arc::clone(&pool.server).acquire_owned().await.ok()?;
        Some(Place { _tenant, _server })
    }
}

impl Pool {
    fn of_server(places: usize) -> Self {
        let part = (places / TENANT_PART).max(1);
        Self { server: Arc::new(Semaphore::new(places.max(1))), tenant: Arc::new(Semaphore::new(part)), part }
    }

    fn of_tenant(&self) -> Self {
        Self { tenant: Arc::new(Semaphore::new(self.part)), ..self.clone() }
    }
}

impl Deliverer {
    /// A deliverer under the configuration, with the system's name servers. `closing` turns true when the server stops.
    ///
    /// # Errors
    /// `Invalid` for a `webhooks_ca_file` that is none.
    pub(super) fn new(config: &ServerConfig, closing: watch::Receiver<bool>) -> Result<Self> {
        let names: Arc<dyn Names> = Arc::new(SystemNames);
        Ok(Self {
            client: Client::new(config, names)?,
            places: Places::of_server(config.webhooks_concurrency_max),
            attempts_max: config.webhooks_attempts_max,
            retry: config.webhooks_retry,
            allow_private: config.webhooks_allow_private,
            closing,
        })
    }

    /// Checks where a new webhook wants to go: its URL, and what its name resolves to now. A name that does not resolve
    /// is taken: its receiver may not be there yet.
    ///
    /// # Errors
    /// `Invalid` for `url`.
    pub(super) async fn check_target(&self, url: &str) -> Result<()> {
        let target = Target::parse(url, self.allow_private)?;
        match self.client.resolve(&target).await {
            Ok(addresses) => target.check_addresses(&addresses, self.allow_private),
            Err(_) => Ok(()),
        }
    }

    /// Delivers until the server stops.
    pub(super) async fn run(self, slot: EngineSlot) {
        let mut closing = self.closing.clone();
        let Some(engine) = self.opened(&slot).await else { return };
        let mut couriers = Couriers::default();
        loop {
            tokio::select! {
                tenants = engine.webhook_news() => {
                    tenants.into_iter().for_each(|tenant| couriers.adjust(&self, &engine, tenant));
                    metrics::gauge!("selfsame_webhooks").set(couriers.count() as f64);
                }
                _ = closing.wait_for(|closing| *closing) => break,
            }
        }
        couriers.finish().await;
    }

    /// The engine once it is open; `None` when the server stops before.
    async fn opened(&self, slot: &EngineSlot) -> Option<Arc<Engine>> {
        loop {
            if let Some(engine) = slot.get() {
                return Some(Arc::clone(engine));
            }
            if *self.closing.borrow() {
                return None;
            }
            tokio::time::sleep(OPENING).await;
        }
    }
}

/// The tasks, one for each webhook that gets deliveries.
#[derive(Default)]
struct Couriers {
    tenants: HashMap<TenantName, Tasks>,
}

/// A tenant's tasks and their share of the places.
struct Tasks {
    places: Places,
    running: HashMap<WebhookId, JoinHandle<()>>,
}

impl Couriers {
    /// Starts tasks of new webhooks and ends those of webhooks that are gone or disabled, at once.
    fn adjust(&mut self, deliverer: &Deliverer, engine: &Arc<Engine>, tenant: TenantName) {
        let hooks = engine.view(&tenant).map(|view| view.webhooks()).unwrap_or_default();
        let wanted = |id: &WebhookId| hooks.iter().any(|hook| hook.id == *id && hook.disabled.is_none());
        let tasks = self
            .tenants
            .entry(tenant.clone())
            .or_insert_with(|| Tasks { places: deliverer.places.of_tenant(), running: HashMap::new() });
        tasks.running.retain(|id, task| {
            // One that ended by itself is started anew.
            let keep = wanted(id) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for hook in hooks.iter().filter(|hook| hook.disabled.is_none()) {
            tasks.running.entry(hook.id).or_insert_with(|| {
                let courier = Courier::new(deliverer, engine, &tenant, tasks.places.clone(), hook);
                tokio::spawn(courier.run())
            });
        }
        if tasks.running.is_empty() {
            self.tenants.remove(&tenant);
        }
    }

    fn count(&self) -> usize {
        self.tenants.values().map(|tasks| tasks.running.len()).sum()
    }

    /// Lets all tasks write down how far they came.
    async fn finish(self) {
        let tasks = self.tenants.into_values().flat_map(|tasks| tasks.running.into_values());
        let all = futures_util::future::join_all(tasks);
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!("some webhooks could not write down how far they came; they will repeat a little");
        }
    }
}
