//! The `discovery` block of a tenant's settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::model::ids::TenantName;
use crate::model::settings::Discovery;

/// Characters that the name of an external id's system may have.
const SYSTEM_CHARS_MAX: usize = 64;
/// Identifiers that a quota may allow at most.
const QUOTA_MAX: u32 = 1_000_000_000;

/// How a tenant takes part in discovery.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(crate) struct DiscoveryBody {
    /// The tenant in which this one's contacts are looked for. Missing: in none.
    directory: Option<String>,
    /// Makes the tenant a directory: the system of the user ids that its contacts carry as external ids. Two contacts with
    /// different user ids are never merged. Missing: no directory.
    users: Option<String>,
    /// Keep which user of the directory each contact is and tell the change feed (`joined`, `left`). Default false.
    keep_users: bool,
    /// Nobody can be found whose consent is not recorded. Default false.
    consent_required: bool,
    /// Phones and emails are replaced by keyed tags before anything is stored; only for a tenant without records. Default
    /// false.
    tags_only: bool,
    /// `discovery/lookup` answers. Default true; it does so in a directory only.
    lookup: bool,
    /// The Matrix identity service's look-up answers. Its pepper is public: see the README. Default false.
    matrix: bool,
    /// Oblivious look-ups answer. Default true; they do so in a directory only.
    oprf: bool,
    /// The system of the Matrix user ids that contacts carry as external ids. Missing: `matrix`.
    matrix_system: Option<String>,
    /// Hours after which the Matrix look-up's pepper is another, 1 to 8784. Default 24.
    pepper_hours: u32,
    /// Days for which the former key of oblivious look-ups is served after a rotation, 0 to 90. Default 7.
    oprf_overlap_days: u32,
    /// New identifiers that a principal may ask about at once. Default 5000.
    quota_new_max: u32,
    /// New identifiers an hour beyond that. Default 2.
    quota_leak_per_hour: u32,
    /// New identifiers that all principals together may ask about at once. Missing: no ceiling.
    tenant_quota_new_max: Option<u32>,
    /// New identifiers an hour beyond that. Missing: 0.
    tenant_quota_leak_per_hour: Option<u32>,
}

impl Default for DiscoveryBody {
    fn default() -> Self {
        Self::from(&Discovery::default())
    }
}

impl From<&Discovery> for DiscoveryBody {
    fn from(of: &Discovery) -> Self {
        let Discovery { directory, users, matrix_system, .. } = of.clone();
        Self {
            directory,
            users,
            matrix_system,
            keep_users: of.keep_users,
            consent_required: of.consent_required,
            tags_only: of.tags_only,
            lookup: of.lookup,
            matrix: of.matrix,
            oprf: of.oprf,
            pepper_hours: of.pepper_hours,
            oprf_overlap_days: of.oprf_overlap_days,
            quota_new_max: of.quota_new_max,
            quota_leak_per_hour: of.quota_leak_per_hour,
            tenant_quota_new_max: of.tenant_quota_new_max,
            tenant_quota_leak_per_hour: of.tenant_quota_leak_per_hour,
        }
    }
}

impl DiscoveryBody {
    /// Checks every value.
    pub(crate) fn checked(self) -> Result<Discovery> {
        if self.directory.as_ref().is_some_and(|name| TenantName::parse(name).is_none()) {
            return Err(Error::invalid(
                "discovery.directory",
                "must be the name of a tenant: 1 to 63 of a-z, 0-9, _ and -",
            ));
        }
        for (field, system) in [("users", &self.users), ("matrix_system", &self.matrix_system)] {
            let bad = |text: &String| text.trim().is_empty() || text.chars().count() > SYSTEM_CHARS_MAX;
            if system.as_ref().is_some_and(bad) {
                let reason = format!("must be the system of an external id, 1 to {SYSTEM_CHARS_MAX} characters");
                return Err(Error::invalid(format!("discovery.{field}"), reason));
            }
        }
        for (field, value, least, most) in [
            ("pepper_hours", self.pepper_hours, 1, 8784),
            ("oprf_overlap_days", self.oprf_overlap_days, 0, 90),
            ("quota_new_max", self.quota_new_max, 0, QUOTA_MAX),
            ("quota_leak_per_hour", self.quota_leak_per_hour, 0, QUOTA_MAX),
            ("tenant_quota_new_max", self.tenant_quota_new_max.unwrap_or(0), 0, QUOTA_MAX),
            ("tenant_quota_leak_per_hour", self.tenant_quota_leak_per_hour.unwrap_or(0), 0, QUOTA_MAX),
        ] {
            if !(least..=most).contains(&value) {
                let reason = format!("is {value}; it may be {least} to {most}");
                return Err(Error::invalid(format!("discovery.{field}"), reason));
            }
        }
        if self.tags_only && self.matrix {
            return Err(Error::invalid(
                "discovery.matrix",
                "needs the identifiers themselves, which tags_only does not keep",
            ));
        }
        Ok(Discovery {
            directory: self.directory,
            users: self.users,
            matrix_system: self.matrix_system,
            keep_users: self.keep_users,
            consent_required: self.consent_required,
            tags_only: self.tags_only,
            lookup: self.lookup,
            matrix: self.matrix,
            oprf: self.oprf,
            pepper_hours: self.pepper_hours,
            oprf_overlap_days: self.oprf_overlap_days,
            quota_new_max: self.quota_new_max,
            quota_leak_per_hour: self.quota_leak_per_hour,
            tenant_quota_new_max: self.tenant_quota_new_max,
            tenant_quota_leak_per_hour: self.tenant_quota_leak_per_hour,
        })
    }
}
