//! The API keys that were made while the server ran. The server's own state has them; that of a tenant has none.
//!
//! Revoked keys stay, so that the trail of who did what can be read, and so that a server whose last key was revoked does
//! not fall open.

use std::sync::Arc;

use crate::cow::PMap;
use crate::model::access::{ApiKey, Rate, Role, TenantPattern};
use crate::model::event::{ApiKeyPut, ApiKeyRevoked, ApiKeyRotated, ApiKeyUsed};

/// All keys by id. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    by_id: PMap<String, Arc<ApiKey>>,
}

impl ApiKeys {
    /// One of them, be it usable or not.
    pub fn get(&self, id: &str) -> Option<&Arc<ApiKey>> {
        self.by_id.get(id)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.by_id.values()
    }

    /// How many there are, the revoked ones included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no key was ever made.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(in crate::store) fn put(&mut self, put: ApiKeyPut) {
        let rate = put.per_second.map(|per_second| Rate { per_second, burst: put.burst.unwrap_or(per_second) });
        let key = ApiKey {
            id: put.key_id.clone(),
            hash: put.hash,
            before: None,
            roles: put.roles.into_iter().filter_map(Role::from_number).collect(),
            tenants: put.tenants.iter().filter_map(|text| TenantPattern::parse(text)).collect(),
            create_tenants: put.create_tenants,
            label: put.label,
            principal: put.principal,
            rate,
            expires_at: put.expires_at,
            created_at: put.at,
            created_by: put.actor,
            used_at: None,
            revoked_at: None,
        };
        self.by_id.insert(put.key_id, Arc::new(key));
    }

    pub(in crate::store) fn change(&mut self, id: &str, change: impl FnOnce(&mut ApiKey)) {
        if let Some(key) = self.by_id.get_mut(id) {
            change(Arc::make_mut(key));
        }
    }

    pub(in crate::store) fn rotated(&mut self, rotated: &ApiKeyRotated) {
        self.change(&rotated.key_id, |key| {
            key.before = (rotated.old_until > rotated.at).then_some((key.hash, rotated.old_until));
            key.hash = rotated.hash;
        });
    }

    pub(in crate::store) fn revoked(&mut self, revoked: &ApiKeyRevoked) {
        self.change(&revoked.key_id, |key| {
            key.revoked_at.get_or_insert(revoked.at);
            key.before = None;
        });
    }

    pub(in crate::store) fn used(&mut self, used: &ApiKeyUsed) {
        self.change(&used.key_id, |key| key.used_at = key.used_at.max(Some(used.at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Millis;

    fn put(id: &str) -> ApiKeyPut {
        ApiKeyPut {
            key_id: id.to_owned(),
            hash: [1; 32],
            roles: vec![Role::Writer as u8, 200],
            tenants: vec!["crm-*".into()],
            create_tenants: true,
            label: None,
            principal: Some("app".into()),
            per_second: Some(5),
            burst: None,
            expires_at: Some(Millis(1000)),
            at: Millis(1),
            actor: "key:a".into(),
        }
    }

    #[test]
    fn a_key_lives_rotates_and_ends() {
        let mut keys = ApiKeys::default();
        keys.put(put("k"));
        let before = keys.clone();
        let one = |keys: &ApiKeys| ApiKey::clone(keys.get("k").unwrap());
        assert_eq!(one(&keys).roles, [Role::Writer], "a role of a newer selfsame grants nothing");
        assert_eq!(one(&keys).rate, Some(Rate { per_second: 5, burst: 5 }));
        assert!(one(&keys).is_usable(Millis(999)) && !one(&keys).is_usable(Millis(1000)));
        let rotated = |hash, at, old_until| ApiKeyRotated {
            key_id: "k".into(),
            hash: [hash; 32],
            old_until: Millis(old_until),
            at: Millis(at),
            actor: "key:a".into(),
        };
        keys.rotated(&rotated(2, 10, 20));
        assert_eq!((one(&keys).hash, one(&keys).before), ([2; 32], Some(([1; 32], Millis(20)))));
        keys.rotated(&rotated(3, 11, 11));
        assert_eq!((one(&keys).hash, one(&keys).before), ([3; 32], None), "no overlap: the old one ends at once");
        for (at, latest) in [(50, 50), (40, 50), (60, 60)] {
            keys.used(&ApiKeyUsed { key_id: "k".into(), at: Millis(at) });
            assert_eq!(one(&keys).used_at, Some(Millis(latest)));
        }
        keys.rotated(&rotated(4, 70, 90));
        keys.revoked(&ApiKeyRevoked { key_id: "k".into(), at: Millis(80), actor: "key:a".into() });
        keys.revoked(&ApiKeyRevoked { key_id: "k".into(), at: Millis(85), actor: "key:a".into() });
        assert_eq!((one(&keys).revoked_at, one(&keys).before), (Some(Millis(80)), None));
        assert!(!one(&keys).is_usable(Millis(81)) && !keys.is_empty());
        assert_eq!(one(&before).hash, [1; 32], "a clone keeps what it was");
        assert!(!format!("{:?} {:?}", one(&keys), put("k")).contains("[1, 1"), "no hash in diagnostics");
    }
}
