//! What a snapshot says of a tenant that may stay in it: enough to list it and to count what it has, so that a start with many
//! small tenants need not read their contacts. FROZEN like its siblings.
//!
//! It stands right behind the head of every such tenant. Of a tenant that is at rest only the chunks that [`is_shown`] names
//! are read.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use super::{Piece, Put, begin, kind, take_in_one};
use crate::matching::model::Model;
use crate::model::event::v1::to_bytes;
use crate::model::ids::TenantId;
use crate::store::shard::Shard;

#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct RestV1 {
    pub contacts_live: u64,
    pub records_live: u64,
    pub reviews_open: u64,
    pub records: u64,
}

/// Whether nobody follows a state from change to change: directories, books whose users are noted, whoever has webhooks or keys
/// of oblivious look-ups are not left to rest, nor is who is being erased.
pub fn may_rest(shard: &Shard) -> bool {
    let discovery = &shard.settings.discovery;
    records(shard) > 0
        && discovery.users.is_none()
        && !discovery.keep_users
        && shard.consents.has_no_users()
        && shard.webhooks.is_empty()
        && shard.oprf.epochs().is_empty()
        && !shard.erasures.has_pending()
        && !shard.is_ended
}

/// Records of people and businesses, the withdrawn ones included: what putting a state together takes goes with them.
pub fn records(shard: &Shard) -> u64 {
    let accounts = shard.accounts.as_ref().map_or(0, |accounts| accounts.slots.len());
    u64::try_from(shard.slots.len() + accounts).unwrap_or(u64::MAX)
}

/// Whether a chunk is read of a tenant that stays at rest: settings and erasures, which others ask for.
pub fn is_shown(kind: u8) -> bool {
    matches!(
        kind,
        kind::HEAD
            | kind::REST
            | kind::POLICIES
            | kind::RETENTION
            | kind::DECLARED
            | kind::DISCOVERY
            | kind::FREE_MAIL_REFUSED
            | kind::ERASURES
    )
}

/// Whether a chunk says that its tenant may stay at rest.
pub fn is_rest(kind: u8) -> bool {
    kind == kind::REST
}

pub(super) fn write<E>(shard: &Shard, put: Put<'_, E>) -> Result<(), E> {
    if !may_rest(shard) {
        return Ok(());
    }
    let rest = RestV1 {
        contacts_live: shard.contacts_live,
        records_live: shard.records_live,
        reviews_open: shard.reviews_open,
        records: records(shard),
    };
    put(kind::REST, &to_bytes(&rest))
}

fn read(payload: &[u8]) -> Option<RestV1> {
    rkyv::from_bytes::<RestV1, rkyv::rancor::Failure>(payload).ok()
}

/// What is shown of a tenant at rest, made of the chunks that are, and how many records it has. `None`: they are not what their
/// kinds say.
pub fn shown(tenant: TenantId, pieces: Vec<Piece>, model: &Arc<Model>) -> Option<(Shard, u64)> {
    let mut pieces = pieces.into_iter();
    let (kind, head) = pieces.next()?;
    let mut shard = begin(tenant, kind, &head, model)?;
    let mut records = None;
    for (kind, payload) in pieces {
        if is_rest(kind) {
            let rest = read(&payload)?;
            (shard.contacts_live, shard.records_live, shard.reviews_open) =
                (rest.contacts_live, rest.records_live, rest.reviews_open);
            records = Some(rest.records);
        } else {
            take_in_one(&mut shard, kind, &payload)?;
        }
    }
    Some((shard, records?))
}
