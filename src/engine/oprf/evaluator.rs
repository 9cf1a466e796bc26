//! Evaluating what somebody blinded. There is nothing here but keys and the threads that use them: no record, no state of a
//! tenant, no way to one (a test reads this file for it). So what a caller asks about cannot even by mistake be compared
//! with what the directory holds.

use std::pin::Pin;
use std::sync::Arc;

use dashmap::DashMap;

use crate::discovery::oprf::{BATCH_MAX, Dice, Element, EpochKey, Evaluated, Points};
use crate::engine::oprf::Quota;
use crate::engine::oprf::pool::Pool;
use crate::error::{Error, Result};
use crate::host::Random;
use crate::model::ids::TenantName;

/// The keys that are in force, newest last; none: the directory's set is still being made.
pub(in crate::engine) type Keys = Arc<Vec<Arc<EpochKey>>>;

/// The keys of all tenants, and the threads.
pub struct Evaluator {
    keys: DashMap<TenantName, Keys>,
    pool: Arc<Pool>,
    random: Arc<dyn Random>,
}

/// Charges so many elements of an epoch to whoever asks.
pub(in crate::engine) type Charge = Box<dyn FnOnce(u32, u64) -> Charging + Send>;
/// The same, under way.
pub(in crate::engine) type Charging = Pin<Box<dyn Future<Output = Result<Charged>> + Send>>;

/// What was charged, until it is known what became of it.
pub(in crate::engine) struct Charged {
    /// What is left.
    pub(in crate::engine) quota: Quota,
    /// Told whether there was an answer: without one the charge is taken back.
    pub(in crate::engine) finish: Box<dyn FnOnce(bool) + Send>,
}

/// What was evaluated, and what is left to whoever asked.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The epoch of the key.
    pub epoch: u32,
    /// The elements and their proof.
    pub evaluated: Evaluated,
    /// What is left.
    pub quota: Quota,
}

impl Evaluator {
    pub(in crate::engine) fn new(pool: Arc<Pool>, random: Arc<dyn Random>) -> Self {
        Self { keys: DashMap::new(), pool, random }
    }

    pub(in crate::engine) fn put(&self, tenant: &TenantName, keys: Vec<Arc<EpochKey>>) {
        if keys.is_empty() {
            self.keys.remove(tenant);
        } else {
            self.keys.insert(tenant.clone(), Arc::new(keys));
        }
    }

    /// The key of an epoch.
    ///
    /// # Errors
    /// `Conflict` with `stale_epoch`, which names the one in force, or with `oprf_not_ready`.
    pub fn key(&self, tenant: &TenantName, epoch: u32) -> Result<Arc<EpochKey>> {
        let keys = self.keys.get(tenant).map(|entry| Arc::clone(entry.value()));
        let keys = keys.ok_or_else(not_ready)?;
        let newest = keys.last().map_or(0, |key| key.epoch());
        keys.iter().find(|key| key.epoch() == epoch).cloned().ok_or_else(|| stale(epoch, newest))
    }
}

/// One caller's evaluations in one tenant.
pub struct Evaluation {
    evaluator: Arc<Evaluator>,
    tenant: TenantName,
    charge: Charge,
}

impl Evaluation {
    pub(in crate::engine) fn new(evaluator: Arc<Evaluator>, tenant: TenantName, charge: Charge) -> Self {
        Self { evaluator, tenant, charge }
    }

    /// Evaluates elements, in order. Nothing is charged when one of them is none; all are charged before the work.
    ///
    /// # Errors
    /// `Conflict` as [`Evaluator::key`]; `Invalid` names the element that is none, or `blinded` for none or more than
    /// [`BATCH_MAX`]; what charging says; `Busy` when too many wait.
    pub async fn evaluate(self, epoch: u32, blinded: Vec<Element>, proof: bool) -> Result<Answered> {
        if blinded.is_empty() || blinded.len() > BATCH_MAX {
            return Err(Error::invalid("blinded", format!("must be a list of 1 to {BATCH_MAX} elements; split it")));
        }
        let Self { evaluator, tenant, charge } = self;
        let key = evaluator.key(&tenant, epoch)?;
        let pool = Arc::clone(&evaluator.pool);
        let count = blinded.len() as u64;
        let points = pool.run(move || Points::read(&blinded)).await?.map_err(|bad| malformed(bad.0))?;
        let Charged { quota, finish } = charge(epoch, count).await?;
        let dice = proof.then(|| {
            let mut seed = [0; 32];
            evaluator.random.fill(&mut seed);
            Dice::new(&seed)
        });
        let evaluated = pool.run(move || key.evaluate(&points, dice)).await;
        finish(evaluated.is_ok());
        Ok(Answered { epoch, evaluated: evaluated?, quota })
    }
}

fn malformed(at: usize) -> Error {
    let reason = "is no element of ristretto255: send 32 bytes of its canonical encoding, which is not the identity";
    Error::invalid(format!("blinded[{at}]"), reason)
}

/// That an epoch is over, or has not begun.
pub(in crate::engine) fn stale(epoch: u32, newest: u32) -> Error {
    let reason =
        format!("epoch {epoch} is not served; the one in force is {newest}: GET discovery/oprf and blind anew");
    Error::Conflict { code: "stale_epoch", reason, holder: None }
}

/// That the first set is still being made.
pub(in crate::engine) fn not_ready() -> Error {
    let reason = "the directory's set is still being made; ask again in a moment".to_owned();
    Error::Conflict { code: "oprf_not_ready", reason, holder: None }
}
