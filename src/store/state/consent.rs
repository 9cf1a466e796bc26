//! What was said of discovery as snapshot chunks, and back. FROZEN types, as all of `state`.

use std::sync::Arc;

use crate::model::event::v1::{BlockSetV1, DiscoveryV1, PolicySetV1, SharingSetV1, to_bytes};
use crate::model::ids::{EntityId, Millis, RecordId};
use crate::model::settings::Discovery;
use crate::store::shard::Shard;

use super::{batches, kind};

/// `(contact id, policy)`: a contact's policies in their order.
type FindableV1 = (u128, PolicySetV1);
/// `(contact id, preferences)`: a contact's in their order.
type SharedV1 = (u128, SharingSetV1);
/// `(is a record, id, since)`.
type OptOutV1 = (bool, u128, i64);
/// `(generation, tag)`; a tag of 0 stands for the generation alone.
type SuppressedV1 = (u32, u128);

/// Gives the settings to `put`, if they are not the default: before the records, whose features hang on them.
#[expect(clippy::type_complexity, reason = "a sink of kind and bytes reads better in place")]
pub(super) fn write_settings<E>(shard: &Shard, put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
    if shard.settings.discovery == Discovery::default() {
        return Ok(());
    }
    put(kind::DISCOVERY, &to_bytes(&vec![DiscoveryV1::from(shard.settings.discovery.clone())]))
}

/// Takes the settings in. `None`: the bytes are no settings.
pub(super) fn take_in_settings(shard: &mut Shard, payload: &[u8]) -> Option<()> {
    let mut stored = rkyv::from_bytes::<Vec<DiscoveryV1>, rkyv::rancor::Failure>(payload).ok()?;
    shard.put_discovery(stored.pop()?.into());
    Some(())
}

/// Gives every other chunk to `put`.
#[expect(clippy::type_complexity, reason = "a sink of kind and bytes reads better in place")]
pub(super) fn write<E>(shard: &Shard, put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>) -> Result<(), E> {
    let consents = &shard.consents;
    let mut policies: Vec<_> = consents.policies().collect();
    policies.sort_unstable_by_key(|(id, _)| **id);
    let policies = policies.into_iter().flat_map(|(id, list)| list.iter().map(move |set| (id.0, set)));
    let out = |(id, set): (u128, &Arc<_>)| (id, PolicySetV1::from(crate::model::event::PolicySet::clone(set)));
    batches(policies, out, &mut |batch: Vec<FindableV1>| put(kind::FINDABLE, &to_bytes(&batch)))?;
    let mut sharing: Vec<_> = consents.all_sharing().collect();
    sharing.sort_unstable_by_key(|(id, _)| **id);
    let sharing = sharing.into_iter().flat_map(|(id, list)| list.iter().map(move |set| (id.0, set)));
    let out = |(id, set): (u128, &Arc<_>)| (id, SharingSetV1::from(crate::model::event::SharingSet::clone(set)));
    batches(sharing, out, &mut |batch: Vec<SharedV1>| put(kind::SHARING, &to_bytes(&batch)))?;
    let mut blocks: Vec<_> = consents.all_blocks().collect();
    blocks.sort_unstable_by_key(|one| (one.blocker, one.blocked));
    let out = |one: &Arc<crate::model::event::BlockSet>| BlockSetV1::from((**one).clone());
    batches(blocks.into_iter(), out, &mut |batch| put(kind::BLOCKS, &to_bytes(&batch)))?;
    let contacts = consents.out_contacts().map(|(id, at)| (false, id.0, at.0));
    let records = consents.out_records().map(|(id, at)| (true, id.0, at.0));
    let mut outs: Vec<OptOutV1> = contacts.chain(records).collect();
    outs.sort_unstable();
    batches(outs.into_iter(), |one| one, &mut |batch| put(kind::OPT_OUTS, &to_bytes(&batch)))?;
    let generation = consents.generation();
    let alone = (generation > 0).then_some(0);
    let tags = alone.into_iter().chain(consents.suppressed()).map(|tag| (generation, tag));
    batches(tags, |one| one, &mut |batch: Vec<SuppressedV1>| put(kind::SUPPRESSION, &to_bytes(&batch)))?;
    let mut users: Vec<(u128, u128)> = consents.users().map(|(contact, user)| (contact.0, user.0)).collect();
    users.sort_unstable();
    batches(users.into_iter(), |one| one, &mut |batch| put(kind::USERS, &to_bytes(&batch)))
}

/// Takes one of these chunks in. `None`: the bytes are not what the kind says.
pub(super) fn take_in(shard: &mut Shard, kind: u8, payload: &[u8]) -> Option<()> {
    macro_rules! read {
        ($t:ty) => {
            rkyv::from_bytes::<Vec<$t>, rkyv::rancor::Failure>(payload).ok()?
        };
    }
    let consents = &mut shard.consents;
    match kind {
        kind::FINDABLE => {
            read!(FindableV1).into_iter().for_each(|(id, set)| consents.put_policy(EntityId(id), Arc::new(set.into())));
        }
        kind::SHARING => {
            read!(SharedV1).into_iter().for_each(|(id, set)| consents.put_sharing(EntityId(id), Arc::new(set.into())));
        }
        kind::BLOCKS => read!(BlockSetV1).into_iter().for_each(|one| consents.block_set(one.into())),
        kind::OPT_OUTS => read!(OptOutV1).into_iter().for_each(|(is_record, id, at)| {
            consents.restore_out(if is_record { Err(RecordId(id)) } else { Ok(EntityId(id)) }, Millis(at));
        }),
        kind::SUPPRESSION => {
            read!(SuppressedV1).into_iter().for_each(|(generation, tag)| consents.restore_tag(generation, tag));
        }
        kind::USERS => {
            read!((u128, u128)).into_iter().for_each(|(contact, user)| {
                consents.restore_user(EntityId(contact), EntityId(user));
            });
        }
        _ => return None,
    }
    Some(())
}
