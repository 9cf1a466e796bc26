//! API keys and the acts of whoever runs the server, as facts of the server's own stream. Hashes of keys, never keys.

use crate::model::access::ApiKey;
use crate::model::ids::Millis;

/// An API key is there from now on.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyPut {
    /// Its public name.
    pub key_id: String,
    /// BLAKE3 of the key.
    pub hash: [u8; 32],
    /// Numbers of its roles.
    pub roles: Vec<u8>,
    /// Patterns of its tenants.
    pub tenants: Vec<String>,
    /// Whether its first write makes a tenant.
    pub create_tenants: bool,
    /// What people call it.
    pub label: Option<String>,
    /// Who pays for quotas.
    pub principal: Option<String>,
    /// Requests a second; missing: any.
    pub per_second: Option<u32>,
    /// Requests at once.
    pub burst: Option<u32>,
    /// Its end.
    pub expires_at: Option<Millis>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Not derived: hashes have no business in `journal dump`.
impl std::fmt::Debug for ApiKeyPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key_id, roles, tenants, at, actor, .. } = self;
        f.debug_struct("ApiKeyPut")
            .field("key_id", key_id)
            .field("roles", roles)
            .field("tenants", tenants)
            .field("at", at)
            .field("actor", actor)
            .finish_non_exhaustive()
    }
}

/// A key has a new secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyRotated {
    /// Which.
    pub key_id: String,
    /// BLAKE3 of the new key.
    pub hash: [u8; 32],
    /// Until when the old one opens as well; not in the future: not any more.
    pub old_until: Millis,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// Not derived, as above.
impl std::fmt::Debug for ApiKeyRotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key_id, old_until, at, actor, .. } = self;
        f.debug_struct("ApiKeyRotated")
            .field("key_id", key_id)
            .field("old_until", old_until)
            .field("at", at)
            .field("actor", actor)
            .finish_non_exhaustive()
    }
}

/// A key opens nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRevoked {
    /// Which.
    pub key_id: String,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// When a key was used last. Written at most hourly a key, and when the server stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUsed {
    /// Which.
    pub key_id: String,
    /// When.
    pub at: Millis,
}

/// Whoever runs the server did something that an audit must show and that no other event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// What: `backup`, `rotate-key`...
    pub what: String,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

impl From<&ApiKey> for ApiKeyPut {
    fn from(key: &ApiKey) -> Self {
        Self {
            key_id: key.id.clone(),
            hash: key.hash,
            roles: key.roles.iter().map(|role| *role as u8).collect(),
            tenants: key.tenants.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            create_tenants: key.create_tenants,
            label: key.label.clone(),
            principal: key.principal.clone(),
            per_second: key.rate.map(|rate| rate.per_second),
            burst: key.rate.map(|rate| rate.burst),
            expires_at: key.expires_at,
            at: key.created_at,
            actor: key.created_by.clone(),
        }
    }
}
