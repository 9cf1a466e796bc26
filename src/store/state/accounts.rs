//! Accounts and relations as snapshot chunks, and back. FROZEN types, like those of the module above.
//!
//! An account's state is a shard's, so its chunks are a shard's too, each inside a chunk of the tenant. Only slots have
//! a form of their own: a put of a business says more.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use super::{Put, SlotV1, batches, kind, slot_out};
use crate::model::event::RelationPut;
use crate::model::event::v1::{BusinessV1, RelationPutV1, to_bytes};
use crate::store::shard::{Shard, Slot};
use crate::store::stored::Stored;

/// A slot of a business.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct AccountSlotV1 {
    pub slot: SlotV1,
    /// One for each put of its past, in order.
    pub businesses: Vec<BusinessV1>,
}

/// A chunk of the accounts' shard.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct InnerV1 {
    pub kind: u8,
    pub payload: Vec<u8>,
}

/// The accounts, then the relations, of a tenant that has some.
pub(super) fn write<E>(shard: &Shard, put: Put<'_, E>) -> Result<(), E> {
    if let Some(accounts) = &shard.accounts {
        super::write(accounts, &mut |kind, payload| {
            put(kind::ACCOUNTS, &to_bytes(&InnerV1 { kind, payload: payload.to_vec() }))
        })?;
    }
    let mut relations: Vec<_> = shard.relations.iter().collect();
    relations.sort_unstable_by_key(|one| (one.contact, one.account));
    let out = |one: &Arc<RelationPut>| RelationPutV1::from((**one).clone());
    batches(relations.into_iter(), out, &mut |batch| put(kind::RELATIONS, &to_bytes(&batch)))
}

/// The slots of the accounts' shard.
pub(super) fn write_slots<E>(shard: &Shard, put: Put<'_, E>) -> Result<(), E> {
    let out = |slot: &Slot| {
        let stored = slot.past.iter().filter_map(|past| past.put.as_ref());
        let business = |stored: &Arc<Stored>| stored.business.as_ref().map(|of| of.business.clone());
        let businesses = stored.map(|stored| business(stored).unwrap_or_default().into()).collect();
        AccountSlotV1 { slot: slot_out(slot, None), businesses }
    };
    batches(shard.slots.iter(), out, &mut |batch| put(kind::ACCOUNT_SLOTS, &to_bytes(&batch)))
}

/// Takes in one chunk of the accounts' shard. `None`: it is not what it says.
pub(super) fn take_in(shard: &mut Shard, payload: &[u8]) -> Option<()> {
    let inner = rkyv::from_bytes::<InnerV1, rkyv::rancor::Failure>(payload).ok()?;
    if super::is_head(inner.kind) {
        let mut accounts = super::begin(shard.tenant, inner.kind, &inner.payload, &shard.model)?;
        accounts.is_of_accounts = true;
        shard.accounts = Some(Arc::new(accounts));
        return Some(());
    }
    super::take_in(Arc::make_mut(shard.accounts.as_mut()?), inner.kind, &inner.payload)
}
