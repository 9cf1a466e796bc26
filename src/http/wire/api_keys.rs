//! API keys as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Auth, NewKey};
use crate::error::Result;
use crate::http::wire::{millis, time};
use crate::model::access::ApiKey;
use crate::model::ids::Millis;

/// Hours that an old secret goes on opening where nobody says otherwise.
const OVERLAP_HOURS: u32 = 24;

/// What a new key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// `reader`, `writer`, `steward`, `discovery`, `admin`, or of discovery only `discovery:lookup`, `discovery:matrix`,
    /// `discovery:oprf`, `discovery:reveal`; at least one.
    #[schema(min_items = 1)]
    roles: Vec<String>,
    /// Names of tenants, beginnings of names (`crm-*`), or `*` for all; at least one.
    #[schema(min_items = 1)]
    tenants: Vec<String>,
    /// Its first write to a tenant that does not exist makes it. Admins may in any case.
    #[serde(default)]
    create_tenants: bool,
    /// What people call it; no personal data.
    #[schema(max_length = 100)]
    label: Option<String>,
    /// Who pays for quotas; several keys may share one. Missing: the key by itself.
    #[schema(max_length = 100)]
    principal: Option<String>,
    /// Requests a second in the long run; missing: any.
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_second: Option<u32>,
    /// Requests at once after a rest; missing: as many as a second.
    #[schema(minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
    /// From when on it opens nothing (RFC 3339); missing: never.
    expires_at: Option<String>,
}

impl KeyRequest {
    /// # Errors
    /// `Invalid` names the field.
    pub(crate) fn checked(self) -> Result<ApiKey> {
        let expires_at = self.expires_at.as_deref().map(|text| millis("expires_at", text)).transpose()?;
        let new = NewKey {
            roles: self.roles,
            tenants: self.tenants,
            create_tenants: self.create_tenants,
            label: self.label,
            principal: self.principal,
            per_second: self.requests_per_second,
            burst: self.burst,
            expires_at,
        };
        new.checked()
    }
}

/// How a key is to be rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// Hours that the old secret goes on opening; missing: 24. 0: it ends at once.
    #[schema(minimum = 0, maximum = 8784)]
    overlap_hours: Option<u32>,
}

impl RotateRequest {
    /// The hours, or their default.
    pub(crate) fn overlap_hours(&self) -> u32 {
        self.overlap_hours.unwrap_or(OVERLAP_HOURS)
    }
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyOut {
    /// Its public id: the part of the key between `ssk_` and the next `_`.
    id: String,
    /// What it may do.
    roles: Vec<&'static str>,
    /// Where.
    tenants: Vec<String>,
    /// Its first write makes a tenant.
    create_tenants: bool,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Who pays for quotas.
    principal: String,
    /// Requests a second; missing: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// `stored`, or `configuration`: changed there.
    origin: &'static str,
    /// When it was made; missing for those of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// Who made it.
    created_by: String,
    /// When it was used last; after a restart to the hour. Missing: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    /// Until when the secret before the last rotation opens as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_secret_until: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl KeyOut {
    /// A key as of now.
    pub(crate) fn of(key: &ApiKey, auth: &Auth, is_configured: bool) -> Self {
        let now = auth.now();
        let status = match key.revoked_at {
            Some(_) => "revoked",
            None if key.is_usable(now) => "active",
            None => "expired",
        };
        Self {
            id: key.id.clone(),
            roles: key.roles.iter().map(|role| role.word()).collect(),
            tenants: key.tenants.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            create_tenants: key.create_tenants,
            label: key.label.clone(),
            principal: key.principal.clone().unwrap_or_else(|| key.id.clone()),
            requests_per_second: key.rate.map(|rate| rate.per_second),
            burst: key.rate.map(|rate| rate.burst),
            expires_at: key.expires_at.map(time),
            status,
            origin: if is_configured { "configuration" } else { "stored" },
            created_at: (!is_configured).then(|| time(key.created_at)),
            created_by: key.created_by.clone(),
            last_used_at: auth.used_at(key).map(time),
            old_secret_until: key.before.map(|(_, until)| until).filter(|until| *until > now).map(time),
            revoked_at: key.revoked_at.map(time),
        }
    }
}

/// A new key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyMade {
    /// The whole key. It is shown this once.
    pub(crate) key: String,
    /// What it is.
    #[serde(flatten)]
    pub(crate) about: KeyOut,
}

/// A key's new secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyRotated {
    /// Which.
    id: String,
    /// The whole key with its new secret. It is shown this once.
    key: String,
    /// Until when the old one opens as well.
    old_secret_until: String,
}

impl KeyRotated {
    /// The answer.
    pub(crate) fn new(id: String, key: String, old_until: Millis) -> Self {
        Self { id, key, old_secret_until: time(old_until) }
    }
}
