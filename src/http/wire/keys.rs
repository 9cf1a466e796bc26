//! Rotation of keys: what is asked for and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::model::ids::TenantName;

/// Which key to change: exactly one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateKeyRequest {
    /// The absolute path of a key file on the server's machine (64 hexadecimal digits): the new master key.
    pub(crate) new_key_file: Option<String>,
    /// The new master key is what the server's `key_command` prints now.
    #[serde(default)]
    pub(crate) from_command: bool,
    /// The tenant that gets a new data key.
    pub(crate) tenant: Option<String>,
}

/// A checked request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// A new master key from a file.
    File(String),
    /// A new master key from the key command.
    Command,
    /// A new data key.
    DataKey(TenantName),
}

impl RotateKeyRequest {
    /// # Errors
    /// `Invalid` unless exactly one is asked for, and for a relative path or a name that no tenant can have.
    pub(crate) fn checked(self) -> Result<Rotation> {
        match (self.new_key_file, self.from_command, self.tenant) {
            (Some(path), false, None) if path.starts_with('/') => Ok(Rotation::File(path)),
            (Some(_), false, None) => {
                Err(Error::invalid("new_key_file", "must be an absolute path on the server's machine"))
            }
            (None, true, None) => Ok(Rotation::Command),
            (None, false, Some(name)) => {
                let tenant = TenantName::parse(&name);
                tenant.map(Rotation::DataKey).ok_or_else(|| Error::invalid("tenant", "is no name of a tenant"))
            }
            _ => Err(Error::invalid("new_key_file", "give exactly one of new_key_file, from_command and tenant")),
        }
    }
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotationOut {
    /// `master` or `tenant`.
    rotated: &'static str,
    /// Data keys that are under the new master key now.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    /// The tenant with the new data key.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// The new key's number among the tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    /// What to do now.
    next: &'static str,
}

impl RotationOut {
    /// Of the master key.
    pub(crate) fn master(keys: usize) -> Self {
        let next = "start the server with the new key from now on; the old one opens the data directory no more";
        Self { rotated: "master", keys: Some(keys as u64), tenant: None, generation: None, next }
    }

    /// Of a tenant's data key.
    pub(crate) fn data_key(tenant: &TenantName, generation: u32) -> Self {
        let next = "nothing; what was written before stays under its older keys";
        let tenant = Some(tenant.to_string());
        Self { rotated: "tenant", keys: None, tenant, generation: Some(generation), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_key_is_changed() {
        let read = |json: &str| serde_json::from_str::<RotateKeyRequest>(json).unwrap().checked();
        assert_eq!(read(r#"{"new_key_file": "/k"}"#).unwrap(), Rotation::File("/k".into()));
        assert_eq!(read(r#"{"from_command": true}"#).unwrap(), Rotation::Command);
        assert!(matches!(read(r#"{"tenant": "main"}"#), Ok(Rotation::DataKey(_))));
        for (json, field) in [
            ("{}", "new_key_file"),
            (r#"{"new_key_file": "k"}"#, "new_key_file"),
            (r#"{"new_key_file": "/k", "tenant": "main"}"#, "new_key_file"),
            (r#"{"from_command": true, "tenant": "main"}"#, "new_key_file"),
            (r#"{"tenant": "No Name"}"#, "tenant"),
        ] {
            assert!(read(json).unwrap_err().to_string().starts_with(&format!("{field}: ")), "{json}");
        }
    }
}
