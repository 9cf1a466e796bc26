//! A rehearsal: records decided one after the other on a private copy of a tenant, so that each sees those before it, and
//! nothing of it is ever seen by anybody else.

use std::sync::Arc;

use crate::engine::api::UpsertResult;
use crate::engine::{Core, Engine, Tenant, writer};
use crate::error::{Error, Result};
use crate::formats::{AccountRecord, InputRecord};
use crate::model::ids::{EntityId, TenantId, TenantName};
use crate::store::shard::Shard;

/// A tenant's state as of its start with what was rehearsed since.
pub struct Rehearsal {
    core: Arc<Core>,
    tenant: Arc<Tenant>,
    before: Shard,
    now: Shard,
}

impl Rehearsal {
    /// Decides records in order and goes on from there.
    pub(crate) fn upsert(&mut self, records: &[InputRecord], actor: &str) -> Vec<UpsertResult> {
        writer::rehearse(&self.core, &self.tenant, &mut self.now, records, actor)
    }

    /// The same of account records.
    pub(crate) fn upsert_accounts(&mut self, records: &[AccountRecord], actor: &str) -> Vec<UpsertResult> {
        writer::rehearse_accounts(&self.core, &self.tenant, &mut self.now, records, actor)
    }

    /// Whether a contact exists outside of the rehearsal.
    pub(crate) fn exists(&self, contact: EntityId) -> bool {
        self.before.entity(contact).is_some()
    }

    /// Whether an account does.
    pub(crate) fn account_exists(&self, account: EntityId) -> bool {
        self.before.account(account).is_some()
    }
}

impl Engine {
    /// Begins a rehearsal on what readers see now; of a tenant that nobody knows, on an empty one that is not made.
    pub(crate) fn rehearsal(&self, name: &TenantName) -> Result<Rehearsal> {
        let tenant = match self.known(name) {
            Ok(tenant) => tenant,
            Err(Error::NotFound { .. }) => {
                let shard = Shard::new(TenantId(0), name.as_str(), Arc::clone(&self.core.model));
                Arc::new(Tenant::new(name.clone(), shard, &self.core.options.secret))
            }
            Err(error) => return Err(error),
        };
        let before = (*tenant.view.load_full()).clone();
        Ok(Rehearsal { core: Arc::clone(&self.core), tenant, now: before.clone(), before })
    }
}
