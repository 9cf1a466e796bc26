//! API keys in the configuration: tables with a hash or the key itself, and the plain list that makes admins.

use zeroize::Zeroizing;

use super::checked::Secret;
use crate::auth::NewKey;
use crate::error::{Error, Result};
use crate::model::access::{ApiKey, Role};
use crate::model::ids::Millis;

/// Characters of a key in plain text at least; shorter ones can be guessed.
pub(super) const API_KEY_CHARS_MIN: usize = 16;
/// Keys of the configuration at most: each request is compared with all of them.
const CONFIGURED_MAX: usize = 1000;

/// A key as written. Not `Debug`, since it may hold the key itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawKey {
    /// Its public name.
    pub id: Option<String>,
    /// BLAKE3 of the whole key, as 64 hexadecimal digits.
    pub hash: Option<String>,
    /// The key itself, instead of its hash.
    pub key: Option<Zeroizing<String>>,
    /// Words of its roles.
    pub roles: Vec<String>,
    /// Patterns of its tenants.
    pub tenants: Vec<String>,
    /// Its first write makes a tenant.
    pub create_tenants: bool,
    /// What people call it.
    pub label: Option<String>,
    /// Who pays for quotas.
    pub principal: Option<String>,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// Requests a second.
    pub requests_per_second: Option<u32>,
    /// Requests at once.
    pub burst: Option<u32>,
}

impl RawKey {
    /// Reads one table; `None` where a field is unknown or of another type.
    pub(super) fn from_toml(value: toml::Value) -> Option<Self> {
        let toml::Value::Table(table) = value else { return None };
        let mut raw = Self::default();
        for (field, value) in table {
            match field.as_str() {
                "id" => raw.id = Some(text(value)?),
                "hash" => raw.hash = Some(text(value)?),
                "key" => raw.key = Some(Zeroizing::new(text(value)?)),
                "roles" => raw.roles = texts(value)?,
                "tenants" => raw.tenants = texts(value)?,
                "create_tenants" => raw.create_tenants = value.as_bool()?,
                "label" => raw.label = Some(text(value)?),
                "principal" => raw.principal = Some(text(value)?),
                "expires_at" => raw.expires_at = Some(time_text(value)?),
                "requests_per_second" => raw.requests_per_second = Some(value.as_integer()?.try_into().ok()?),
                "burst" => raw.burst = Some(value.as_integer()?.try_into().ok()?),
                _ => return None,
            }
        }
        Some(raw)
    }

    fn checked(self) -> Result<ApiKey> {
        let id = self.id.filter(|id| ApiKey::is_id(id));
        let id = id.ok_or_else(|| Error::invalid("id", "is needed: 1 to 32 of a-z, 0-9 and -"))?;
        let hash = match (&self.hash, &self.key) {
            (Some(hash), None) => from_hex(hash).ok_or_else(|| {
                Error::invalid("hash", "must be the BLAKE3 of the whole key as 64 hexadecimal digits")
            })?,
            (None, Some(key)) => {
                check_plain("key", key)?;
                ApiKey::hash_of(key.as_bytes())
            }
            _ => return Err(Error::invalid("hash", "give exactly one of hash and key")),
        };
        let wrong = || Error::invalid("expires_at", "is no RFC 3339 time; write for example 2027-01-27T10:00:00Z");
        let time = |text: &String| text.parse::<jiff::Timestamp>().map(|at| Millis(at.as_millisecond()));
        let expires_at = self.expires_at.as_ref().map(time).transpose().map_err(|_| wrong())?;
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
        Ok(ApiKey { id, hash, created_by: "configuration".into(), ..new.checked()? })
    }
}

fn text(value: toml::Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: toml::Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// TOML has times of its own.
fn time_text(value: toml::Value) -> Option<String> {
    if let toml::Value::Datetime(time) = value { Some(time.to_string()) } else { text(value) }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

fn check_plain(field: &str, key: &str) -> Result<()> {
    if key.len() >= API_KEY_CHARS_MIN && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be {API_KEY_CHARS_MIN} or more ASCII characters without spaces")))
}

/// The keys of the plain list, without repeats. Each opens everything; it is named by the beginning of its hash.
fn plain(keys: &[Secret]) -> impl Iterator<Item = ApiKey> {
    keys.iter().filter_map(|key| {
        let all = |text: &str| vec![text.to_owned()];
        let hash = ApiKey::hash_of(key.expose().as_bytes());
        let id = blake3::Hash::from_bytes(hash).to_hex().chars().take(8).collect();
        let new = NewKey { roles: all(Role::Admin.word()), tenants: all("*"), ..NewKey::default() };
        Some(ApiKey { id, hash, created_by: "configuration".into(), ..new.checked().ok()? })
    })
}

/// Checks the plain list.
pub(super) fn plain_keys(given: Vec<String>) -> Result<Vec<Secret>> {
    let mut keys: Vec<Secret> = Vec::with_capacity(given.len());
    for (at, key) in given.into_iter().enumerate() {
        check_plain(&format!("api_keys[{at}]"), &key)?;
        let key = Secret::new(key);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// All keys of the configuration.
pub(super) fn all_keys(plain_list: &[Secret], tables: Vec<RawKey>) -> Result<Vec<ApiKey>> {
    let mut keys: Vec<ApiKey> = plain(plain_list).collect();
    for (at, raw) in tables.into_iter().enumerate() {
        let named = |error: Error| {
            let Error::Invalid { field, reason } = error else { return error };
            Error::invalid(format!("access_keys[{at}].{field}"), reason)
        };
        let key = raw.checked().map_err(named)?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err(Error::invalid(format!("access_keys[{at}].id"), "is another key's already; choose another"));
        }
        keys.push(key);
    }
    if keys.len() > CONFIGURED_MAX {
        let reason =
            format!("are {}; at most {CONFIGURED_MAX}, make the others with `selfsame keys create`", keys.len());
        return Err(Error::invalid("access_keys", reason));
    }
    Ok(keys)
}
