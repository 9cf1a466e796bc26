//! API keys as a snapshot chunk, and back. FROZEN types, as all of `state`.

use rkyv::{Archive, Deserialize, Serialize};

use crate::model::access::ApiKey;
use crate::model::event::ApiKeyPut;
use crate::model::event::v1::ApiKeyPutV1;
use crate::model::ids::Millis;
use crate::store::access::ApiKeys;

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ApiKeyV1 {
    /// Its hash is the one of the last rotation.
    pub put: ApiKeyPutV1,
    pub before: Option<([u8; 32], i64)>,
    pub used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

/// A key as it is stored.
pub(super) fn key_out(key: &ApiKey) -> ApiKeyV1 {
    ApiKeyV1 {
        put: ApiKeyPut::from(key).into(),
        before: key.before.map(|(hash, until)| (hash, until.0)),
        used_at: key.used_at.map(|at| at.0),
        revoked_at: key.revoked_at.map(|at| at.0),
    }
}

impl ApiKeys {
    pub(super) fn restore(&mut self, stored: ApiKeyV1) {
        let put: ApiKeyPut = stored.put.into();
        let id = put.key_id.clone();
        self.put(put);
        self.change(&id, |key| {
            key.before = stored.before.map(|(hash, until)| (hash, Millis(until)));
            key.used_at = stored.used_at.map(Millis);
            key.revoked_at = stored.revoked_at.map(Millis);
        });
    }
}
