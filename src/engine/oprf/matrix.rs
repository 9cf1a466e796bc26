//! Matrix look-ups of a directory: one map under one pepper, made aside and swapped in.
//!
//! Unlike everything else here this hides nothing from the server and little from anybody: the pepper is public.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::discovery::matrix::{PEPPER_DICE_BYTES, Pepper, Peppered, digest};
use crate::discovery::quota::Family;
use crate::engine::oprf::build::{contact_with, each_findable, identifiers};
use crate::engine::oprf::{Served, is_directory};
use crate::engine::{Core, Engine, lock};
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis, TenantName};
use crate::store::shard::Shard;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;
/// The system of Matrix user ids where the settings name none.
pub const SYSTEM: &str = "matrix";
/// Addresses of one look-up at most.
pub const ADDRESSES_MAX: usize = 10_000;

/// The map and its age.
pub(in crate::engine::oprf) struct Matrix {
    map: Arc<Peppered>,
    since: Millis,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatrixAnswer {
    /// Address as it was sent, and the user id.
    Found(Vec<(String, String)>),
    /// The pepper is another by now.
    InvalidPepper {
        /// The one in force.
        pepper: String,
    },
}

fn wants(shard: &Shard) -> bool {
    is_directory(shard) && shard.settings.discovery.matrix
}

fn is_old(shard: &Shard, matrix: &Matrix, now: Millis) -> bool {
    let hours = i64::from(shard.settings.discovery.pepper_hours.max(1));
    now.0.saturating_sub(matrix.since.0) >= hours * HOUR_MS
}

/// Whether there is something to do that no change tells of.
pub(super) fn is_due(core: &Core, served: &Served, shard: &Shard) -> bool {
    match served.matrix.load().as_ref() {
        None => wants(shard),
        Some(matrix) => !wants(shard) || is_old(shard, matrix, core.now()),
    }
}

/// Makes the map of who can be found now, under another pepper if the last one is old.
pub(super) fn refresh(core: &Core, served: &Served, shard: &Shard) -> Result<()> {
    if !wants(shard) {
        served.matrix.store(Arc::new(None));
        return Ok(());
    }
    let now = core.now();
    let before = served.matrix.load();
    let kept = before.as_ref().as_ref().filter(|matrix| !is_old(shard, matrix, now));
    let (pepper, since) = match kept {
        Some(matrix) => (matrix.map.pepper().clone(), matrix.since),
        None => (new_pepper(core)?, now),
    };
    served.matrix.store(Arc::new(Some(made(core, shard, pepper, since))));
    Ok(())
}

fn new_pepper(core: &Core) -> Result<Pepper> {
    let mut dice = [0; PEPPER_DICE_BYTES];
    core.world.random.fill(&mut dice);
    Pepper::new(&dice).ok_or_else(|| Error::invalid("pepper", "the random generator gives no random bytes"))
}

fn made(core: &Core, shard: &Shard, pepper: Pepper, since: Millis) -> Matrix {
    let mut key = Zeroizing::new([0; 32]);
    core.world.random.fill(key.as_mut_slice());
    let mut map = Peppered::new(pepper, key);
    each_findable(shard, |_, slot, one| map.add(one.kind, one.text, slot));
    Matrix { map: Arc::new(map), since }
}

/// The Matrix user id of a contact: of several the first in their order.
fn user_id(shard: &Shard, contact: EntityId) -> Option<String> {
    let system = shard.settings.discovery.matrix_system.as_deref().unwrap_or(SYSTEM);
    let members = shard.entity(contact)?.members.iter();
    let fields = members.filter_map(|slot| Some(shard.evidence(*slot)?.stored.put().record.fields));
    let ids = fields.flat_map(|fields| fields.external_ids);
    let of_system = ids.filter(|one| one.system.trim().eq_ignore_ascii_case(system.trim()));
    of_system.map(|one| one.id.trim().to_owned()).filter(|id| id.starts_with('@') && id.contains(':')).min()
}

impl Engine {
    fn matrix_map(&self, tenant: &TenantName) -> Result<(Arc<Peppered>, Arc<Shard>)> {
        let tenant = self.known(tenant)?;
        let shard = tenant.view.load_full();
        if !wants(&shard) {
            let reason =
                "Matrix look-ups are off in this tenant; set settings.discovery.matrix in a directory".to_owned();
            return Err(Error::Conflict { code: "matrix_off", reason, holder: None });
        }
        let served = self.core.oprf.served(&tenant);
        let map = served.matrix.load().as_ref().as_ref().map(|matrix| Arc::clone(&matrix.map));
        Ok((map.ok_or(Error::Busy { retry_after_ms: 1000 })?, shard))
    }

    /// The tenants whose Matrix look-ups are on.
    pub fn matrix_tenants(&self) -> Vec<TenantName> {
        let all = self.core.all();
        all.iter().filter(|tenant| wants(&tenant.view.head())).map(|tenant| tenant.name.clone()).collect()
    }

    /// The pepper to hash with.
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Conflict` with `matrix_off`, `Busy` while the first map is being made.
    pub fn matrix_pepper(&self, tenant: &TenantName) -> Result<String> {
        Ok(self.matrix_map(tenant)?.0.pepper().as_str().to_owned())
    }

    /// Looks addresses up: all are charged before, whether they can be found or not.
    ///
    /// # Errors
    /// As [`Engine::matrix_pepper`]; `TooLarge` above [`ADDRESSES_MAX`]; what charging says.
    pub async fn matrix_lookup(
        &self,
        tenant: &TenantName,
        principal: &str,
        pepper: &str,
        addresses: &[String],
    ) -> Result<MatrixAnswer> {
        let (map, shard) = self.matrix_map(tenant)?;
        if addresses.len() > ADDRESSES_MAX {
            return Err(Error::TooLarge { what: "addresses".into(), limit: ADDRESSES_MAX as u64 });
        }
        if map.pepper().as_str() != pepper {
            return Ok(MatrixAnswer::InvalidPepper { pepper: map.pepper().as_str().to_owned() });
        }
        let new = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        self.charge(tenant, Some(principal), Family::Matrix, new).await?;
        let find = |address: &String| Some((address.clone(), self.matrix_user(&map, &shard, address)?));
        Ok(MatrixAnswer::Found(addresses.iter().filter_map(find).collect()))
    }

    /// The Matrix user id behind an address, if everyone may know it.
    fn matrix_user(&self, map: &Peppered, shard: &Shard, address: &str) -> Option<String> {
        let wanted = crate::discovery::matrix::from_text(address)?;
        let version = shard.evidence(map.get(&wanted)?)?;
        let is_meant = |kind, text: &str| digest(kind, text, map.pepper().as_str()) == wanted;
        let said = version.stored.put().normalized;
        let meant = identifiers(&said).find(|one| is_meant(one.kind, one.text))?;
        let told = |id: EntityId| self.core.discoverable(shard, id, None).filter(|id| user_id(shard, *id).is_some());
        user_id(shard, contact_with(shard, meant, told)?)
    }

    /// Takes another pepper at once: what clients hashed with the last one is refused. Where Matrix look-ups are off there is
    /// none to replace, and they begin with a new one.
    ///
    /// # Errors
    /// `NotFound` for the tenant.
    pub fn rotate_pepper(&self, tenant: &TenantName) -> Result<()> {
        let tenant = self.known(tenant)?;
        if !wants(&tenant.view.load_full()) {
            return Ok(());
        }
        let served = self.core.oprf.served(&tenant);
        let _building = lock(&served.building);
        let shard = tenant.view.load_full();
        let pepper = new_pepper(&self.core)?;
        served.matrix.store(Arc::new(Some(made(&self.core, &shard, pepper, self.core.now()))));
        Ok(())
    }
}
