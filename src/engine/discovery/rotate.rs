//! Other keys of discovery, put in force while everybody goes on asking.

use crate::discovery::tag::GENERATIONS_MAX;
use crate::engine::Engine;
use crate::engine::api::{Command, Context};
use crate::engine::discovery::map;
use crate::error::{Error, Result};
use crate::model::event::{DiscoveryKey, Event, KeyRotated, QuotaReserved};
use crate::model::ids::TenantName;
use crate::resolve::upsert::{Now, Step};
use crate::store::lookup::Epochs;
use crate::store::shard::Shard;

/// A change to what look-ups hang on.
#[derive(Clone, Debug)]
pub enum DiscoveryCommand {
    /// Reserve quotas ahead of answers.
    Reserve(QuotaReserved),
    /// Put the key of an epoch in force, which must be the next.
    Rotate(DiscoveryKey, u32),
}

impl Engine {
    /// The keys of a directory by their epochs.
    ///
    /// # Errors
    /// `NotFound` for the tenant.
    pub fn epochs(&self, tenant: &TenantName) -> Result<Epochs> {
        Ok(self.known(tenant)?.view.load_full().epochs)
    }

    /// Puts the next key in force. Returns its epoch. Of tags: the new map is built aside and swapped, so no look-up
    /// misses what is there, and tokens of the epoch before die. Blocks.
    ///
    /// # Errors
    /// `Conflict` with code `generations_max` where only tags are kept and they have as many layers as they may; with
    /// `epoch_changed` when somebody else has rotated the key meanwhile; what a write may fail with.
    pub fn rotate_discovery(&self, tenant: &TenantName, what: DiscoveryKey, context: &Context) -> Result<u32> {
        let found = self.known(tenant)?;
        let put_in_force = |epoch: u32| {
            let command = Command::Discovery(DiscoveryCommand::Rotate(what, epoch));
            self.submit_blocking(tenant, command, context.clone()).map(|_| epoch)
        };
        match what {
            DiscoveryKey::Tags => map::rotate(&found, put_in_force),
            // It has a set to be made, and facts of its own.
            DiscoveryKey::Oprf => self.rotate_oprf(tenant, &context.actor, false),
            DiscoveryKey::Pepper => {
                self.rotate_pepper(tenant)?;
                let epoch = found.view.load_full().epochs.of(what).number;
                put_in_force(epoch + 1)
            }
        }
    }
}

/// What a command changes.
///
/// # Errors
/// As [`Engine::rotate_discovery`].
pub(crate) fn decide(shard: &Shard, command: &DiscoveryCommand, now: Now<'_>) -> Result<Step> {
    let (what, epoch) = match command {
        DiscoveryCommand::Reserve(reserved) => return Ok(Step::Event(Event::QuotaReserved(reserved.clone()))),
        DiscoveryCommand::Rotate(what, epoch) => (*what, *epoch),
    };
    if epoch != shard.epochs.of(what).number + 1 {
        let reason = "the key was rotated by somebody else meanwhile; ask for the epoch and repeat if need be".into();
        return Err(Error::Conflict { code: "epoch_changed", reason, holder: None });
    }
    if what == DiscoveryKey::Tags && shard.settings.discovery.tags_only && epoch > GENERATIONS_MAX {
        let reason = format!(
            "this tenant keeps tags only, and they have {GENERATIONS_MAX} layers, which is the most; import the records \
             into a new tenant"
        );
        return Err(Error::Conflict { code: "generations_max", reason, holder: None });
    }
    Ok(Step::Event(Event::KeyRotated(KeyRotated { what, epoch, at: now.at, actor: now.actor.to_owned() })))
}
