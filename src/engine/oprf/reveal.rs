//! Who stands behind an output that a caller computed. Blocks, policies and opt-outs count as they stand now, whatever the set shows.

use std::sync::Arc;

use crate::discovery::dialect::primary;
use crate::discovery::oprf::REVEAL_BYTES;
use crate::discovery::{Inner, Kind};
use crate::engine::Engine;
use crate::engine::models::send_facts;
use crate::engine::oprf::Epoch;
use crate::engine::oprf::build::{contact_with, identifiers};
use crate::error::{Error, Result};
use crate::matching::features::external_id_key;
use crate::model::event::{Accessed, Event};
use crate::model::ids::{EntityId, TenantName};
use crate::store::apply::is_live;
use crate::store::oprf::Spent;
use crate::store::shard::Shard;

/// What somebody asks to be revealed.
#[derive(Clone, Debug)]
pub struct Reveal {
    /// The epoch of the outputs.
    pub epoch: u32,
    /// Y[8..24] of each.
    pub keys: Vec<[u8; REVEAL_BYTES]>,
    /// The user id, or the contact id, of the user on whose behalf it is asked.
    pub asker: Option<String>,
    /// Who is counted.
    pub principal: String,
    /// Who, for the audit trail.
    pub actor: String,
}

impl Engine {
    /// The contact behind each key, in order; `None`: nobody, or nobody whom the asker may know of. As many keys are revealed to a
    /// principal as were evaluated for it in the epoch.
    ///
    /// # Errors
    /// As [`Engine::oprf`]; `Conflict` with `reveal_limit`; `Invalid` for the asker; as every write, since what is revealed is
    /// counted and audited before it is told.
    pub fn reveal(&self, tenant: &TenantName, reveal: &Reveal) -> Result<Vec<Option<EntityId>>> {
        let epoch = self.oprf(tenant, Some(reveal.epoch))?.epoch;
        let (tenant, shard) = self.directory(tenant)?;
        if reveal.asker.is_none() && shard.consents.has_blocks() {
            let reason = "is required, since users of this directory block each other; name the user who wants to know";
            return Err(Error::invalid("asker", reason));
        }
        let asker = reveal.asker.as_deref().map(|asker| asker_of(&shard, asker)).transpose()?;
        let served = self.core.oprf.served(&tenant);
        let more = Spent { evaluated: 0, revealed: reveal.keys.len() as u64 };
        let spent = served.spend(&shard, reveal.epoch, &reveal.principal, more)?;
        let found = self.behind(&shard, &epoch, asker, &reveal.keys)?;
        let mut facts = vec![Event::OprfSpent(self.spent_fact(reveal.epoch, &reveal.principal, spent))];
        let contacts: Vec<EntityId> = found.iter().flatten().copied().collect();
        if !contacts.is_empty() {
            let (what, actor) = ("reveal".to_owned(), reveal.actor.clone());
            facts.push(Event::Accessed(Accessed { what, contacts, at: self.core.now(), actor }));
        }
        send_facts(self, &tenant, facts)?;
        Ok(found)
    }

    /// Looks all keys up on the threads that evaluate, as telling which of a record's identifiers is meant takes evaluations.
    fn behind(
        &self,
        shard: &Arc<Shard>,
        epoch: &Arc<Epoch>,
        asker: Option<EntityId>,
        keys: &[[u8; REVEAL_BYTES]],
    ) -> Result<Vec<Option<EntityId>>> {
        let core = Arc::clone(&self.core);
        let (shard, epoch, keys) = (Arc::clone(shard), Arc::clone(epoch), keys.to_vec());
        let work = move || {
            let asker = asker.and_then(|id| shard.entity(id));
            let told = |id: EntityId| core.discoverable(&shard, id, asker.map(|asker| &**asker));
            keys.iter().map(|key| one(&shard, &epoch, key, &told)).collect::<Vec<_>>()
        };
        let pieces: Vec<Box<dyn FnOnce() -> Vec<Option<EntityId>> + Send>> = vec![Box::new(work)];
        let failed = || Error::io("revealing", std::io::Error::other("a thread failed"));
        Ok(self.core.oprf.pool.run_all(pieces).ok_or_else(failed)?.concat())
    }
}

fn one(
    shard: &Shard,
    epoch: &Epoch,
    key: &[u8; REVEAL_BYTES],
    told: &dyn Fn(EntityId) -> Option<EntityId>,
) -> Option<EntityId> {
    let version = epoch.set().slot_of(key).and_then(|slot| shard.evidence(slot));
    let Some(version) = version else {
        // So that the time does not tell somebody who is hidden from nobody.
        let _ = epoch.key.output(Kind::Phone, &Inner([0; 32]));
        return None;
    };
    let is_meant = |kind, text: &str| epoch.key.output(kind, &primary(text)).is_some_and(|y| y.reveal == *key);
    let said = version.stored.put().normalized;
    let meant = identifiers(&said).find(|one| is_meant(one.kind, one.text))?;
    contact_with(shard, meant, told)
}

/// The user on whose behalf somebody asks: a contact id, or a user id of the directory. The text stays out of the error.
fn asker_of(shard: &Shard, text: &str) -> Result<EntityId> {
    let unknown = || Error::invalid("asker", "is no contact id or user id of this directory");
    let is_live = |id: &EntityId| shard.entity(*id).is_some_and(|entity| is_live(entity));
    let by_id = || text.parse().ok().and_then(|id| shard.resolve_id(id));
    let by_user = || {
        let system = shard.settings.discovery.users.as_deref()?.trim().to_lowercase();
        let key = external_id_key(&system, &text.trim().to_lowercase());
        let ids = shard.holders(key).into_iter().filter_map(|(slot, _)| shard.slot(slot)?.entity);
        ids.filter_map(|id| shard.resolve_id(id)).find(is_live)
    };
    by_id().filter(is_live).or_else(by_user).ok_or_else(unknown)
}
