//! Epochs of keys and levels of quotas as snapshot chunks, and back. FROZEN types, as all of `state`.

use crate::model::event::DiscoveryKey;
use crate::model::event::v1::to_bytes;
use crate::model::ids::Millis;
use crate::store::lookup::{Epoch, Epochs, Reserved};
use crate::store::shard::Shard;

use super::{batches, kind};

/// `(which key, epoch, since)`.
type EpochV1 = (u8, u32, i64);
/// `(family, payer, used, leak an hour, as of)`; family 0 with payer 0 stands for the latest time alone.
type QuotaV1 = (u8, u128, u64, u32, i64);

const KEYS: [DiscoveryKey; 3] = [DiscoveryKey::Tags, DiscoveryKey::Pepper, DiscoveryKey::Oprf];

/// Gives both chunks to `put`, if there is anything in them.
#[expect(clippy::type_complexity, reason = "a sink of kind and bytes reads better in place")]
pub(super) fn write<E>(shard: &Shard, put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
    if shard.epochs != Epochs::default() {
        let out = |what: DiscoveryKey| -> EpochV1 {
            let Epoch { number, since } = shard.epochs.of(what);
            (what as u8, number, since.0)
        };
        batches(KEYS.into_iter(), out, &mut |batch: Vec<EpochV1>| put(kind::EPOCHS, &to_bytes(&batch)))?;
    }
    let levels = shard.quotas.all();
    if levels.is_empty() && shard.quotas.latest() == Millis(0) {
        return Ok(());
    }
    let latest: QuotaV1 = (0, 0, 0, 0, shard.quotas.latest().0);
    let levels =
        levels.into_iter().map(|((family, payer), one)| (family, payer, one.used, one.leak_per_hour, one.at.0));
    batches(std::iter::once(latest).chain(levels), |one| one, &mut |batch: Vec<QuotaV1>| {
        put(kind::QUOTAS, &to_bytes(&batch))
    })
}

/// Takes one of these chunks in. `None`: the bytes are not what the kind says.
pub(super) fn take_in(shard: &mut Shard, kind: u8, payload: &[u8]) -> Option<()> {
    if kind == kind::EPOCHS {
        for (what, number, since) in rkyv::from_bytes::<Vec<EpochV1>, rkyv::rancor::Failure>(payload).ok()? {
            shard.epochs.put(DiscoveryKey::from_number(what), Epoch { number, since: Millis(since) });
        }
        return Some(());
    }
    for (family, payer, used, leak_per_hour, at) in
        rkyv::from_bytes::<Vec<QuotaV1>, rkyv::rancor::Failure>(payload).ok()?
    {
        match (family, payer) {
            (0, 0) => shard.quotas.saw(Millis(at)),
            key => shard.quotas.restore(key, Reserved { used, leak_per_hour, at: Millis(at) }),
        }
    }
    Some(())
}
