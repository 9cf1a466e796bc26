//! Keys of oblivious look-ups and what was used of them as snapshot chunks, and back. FROZEN types, as all of `state`.

use crate::model::event::v1::{OprfBegunV1, OprfSpentV1, to_bytes};
use crate::model::event::{OprfBegun, OprfSpent};
use crate::model::ids::Millis;
use crate::store::shard::Shard;

use super::{batches, kind};

/// Gives every chunk to `put`.
#[expect(clippy::type_complexity, reason = "a sink of kind and bytes reads better in place")]
pub(super) fn write<E>(shard: &Shard, put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
    let begun = |one: &OprfBegun| OprfBegunV1::from(one.clone());
    batches(shard.oprf.epochs().iter(), begun, &mut |batch| put(kind::OPRF_EPOCHS, &to_bytes(&batch)))?;
    let mut spent: Vec<_> = shard.oprf.all_spent().collect();
    spent.sort_unstable_by_key(|(key, _)| *key);
    let out = |((epoch, principal), spent): (&(u32, String), &crate::store::oprf::Spent)| {
        let (evaluated, revealed) = (spent.evaluated, spent.revealed);
        OprfSpentV1::from(OprfSpent { epoch: *epoch, principal: principal.clone(), evaluated, revealed, at: Millis(0) })
    };
    batches(spent.into_iter(), out, &mut |batch| put(kind::OPRF_SPENT, &to_bytes(&batch)))
}

/// Takes one chunk in. `None`: the bytes are not what the kind says.
pub(super) fn take_in(shard: &mut Shard, kind: u8, payload: &[u8]) -> Option<()> {
    match kind {
        kind::OPRF_EPOCHS => {
            let stored = rkyv::from_bytes::<Vec<OprfBegunV1>, rkyv::rancor::Failure>(payload).ok()?;
            stored.into_iter().for_each(|one| shard.oprf.begun(one.into()));
        }
        _ => {
            let stored = rkyv::from_bytes::<Vec<OprfSpentV1>, rkyv::rancor::Failure>(payload).ok()?;
            stored.into_iter().for_each(|one| shard.oprf.spend(one.into()));
        }
    }
    Some(())
}
