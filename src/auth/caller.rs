//! Who asks, and what it may.

use crate::auth::rule::{Need, Reach};
use crate::error::{Error, Result};
use crate::model::access::{ApiKey, Role, TenantPattern};

/// The actor of callers without a key, in history and audit.
const NOBODY: &str = "api";
/// Who pays the quotas of callers without a key.
const LOCAL: &str = "local";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For history and audit: `key:` and the key's id; `api` without a key.
    pub actor: String,
    /// Who pays for quotas: the key's principal, else its id; `local` without a key.
    pub principal: String,
    /// The id of its key; `None` without one.
    pub key: Option<String>,
    /// What it may do.
    pub roles: Vec<Role>,
    tenants: Vec<TenantPattern>,
    creates: bool,
}

impl Caller {
    /// Whoever reaches a server without keys: it may do everything.
    pub fn local() -> Self {
        let tenants = TenantPattern::parse("*").into_iter().collect();
        let (roles, key) = (vec![Role::Admin], None);
        Self { actor: NOBODY.into(), principal: LOCAL.into(), key, roles, tenants, creates: true }
    }

    /// Whoever asks without a key where none is needed: it may do nothing else.
    pub fn stranger() -> Self {
        let (key, roles, tenants) = (None, Vec::new(), Vec::new());
        Self { actor: NOBODY.into(), principal: LOCAL.into(), key, roles, tenants, creates: false }
    }

    /// The holder of a key.
    pub fn of(key: &ApiKey) -> Self {
        Self {
            actor: format!("key:{}", key.id),
            principal: key.principal.clone().unwrap_or_else(|| key.id.clone()),
            key: Some(key.id.clone()),
            roles: key.roles.clone(),
            tenants: key.tenants.clone(),
            creates: key.create_tenants,
        }
    }

    /// Whether it may do something to a tenant. Says the same whether the tenant exists or not.
    pub fn may(&self, need: Need, tenant: &str) -> bool {
        need == Need::Nothing || (self.has(need) && self.tenants.iter().any(|pattern| pattern.fits(tenant)))
    }

    /// Whether it may do something to the server as a whole, which is to all tenants.
    pub fn may_on_server(&self, need: Need) -> bool {
        need == Need::Nothing || (self.has(need) && self.tenants.iter().any(TenantPattern::is_all))
    }

    /// Whether its first write makes a tenant. Whether it may write there is another question.
    pub fn makes_tenants(&self) -> bool {
        self.creates || self.has(Need::Admin)
    }

    /// Refuses what the caller may not do. `tenant` counts where `reach` is one tenant.
    ///
    /// # Errors
    /// `Denied`: the tenant comes first and is told in the same words whether it exists or not, then the role.
    pub fn check(&self, need: Need, reach: Reach, tenant: Option<&str>) -> Result<()> {
        let here = match (reach, tenant) {
            _ if need == Need::Nothing => return Ok(()),
            (Reach::Tenant, Some(tenant)) => self.tenants.iter().any(|pattern| pattern.fits(tenant)),
            (Reach::Chosen, _) => true,
            (Reach::Tenant | Reach::Server, _) => self.tenants.iter().any(TenantPattern::is_all),
        };
        if !here {
            let why = if reach == Reach::Server {
                "this is about all tenants, and the key is for some; use one for *"
            } else {
                "this key is not for this tenant; use one that is"
            };
            return Err(Error::Denied(why.to_owned()));
        }
        if !self.has(need) {
            let needed = need.word();
            return Err(Error::Denied(format!("this key lacks the role {needed}; use one that has it")));
        }
        Ok(())
    }

    fn has(&self, need: Need) -> bool {
        self.roles.iter().any(|role| need.is_met_by(*role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(roles: &[Role], tenants: &[&str]) -> Caller {
        let tenants = tenants.iter().map(|text| TenantPattern::parse(text).unwrap()).collect();
        Caller { roles: roles.to_vec(), tenants, ..Caller::stranger() }
    }

    #[test]
    fn a_caller_needs_the_role_and_the_tenant() {
        let writer = caller(&[Role::Writer], &["main", "crm-*"]);
        assert!(writer.may(Need::Reader, "crm-eu") && writer.may(Need::Writer, "main"));
        assert!(!writer.may(Need::Writer, "other") && !writer.may(Need::Steward, "main"));
        assert!(!writer.may_on_server(Need::Reader), "some tenants are not all");
        let admin = caller(&[Role::Admin], &["crm-*"]);
        assert!(admin.may(Need::Admin, "crm-eu") && !admin.may_on_server(Need::Admin));
        assert!(admin.makes_tenants() && !writer.makes_tenants());
        assert!(Caller::local().may_on_server(Need::Admin) && Caller::local().may(Need::Reveal, "x"));
        assert!(Caller::stranger().may(Need::Nothing, "x") && !Caller::stranger().may(Need::Key, "x"));
        let two = caller(&[Role::Reader, Role::DiscoveryLookup], &["*"]);
        assert!(two.may(Need::Lookup, "x") && two.may(Need::Reader, "x") && !two.may(Need::Reveal, "x"));
    }

    #[test]
    fn a_refusal_names_the_tenant_first_and_never_tells_whether_it_exists() {
        let reader = caller(&[Role::Reader], &["main"]);
        let says = |need, reach, tenant| reader.check(need, reach, tenant).map_err(|error| error.to_string());
        assert_eq!(says(Need::Reader, Reach::Tenant, Some("main")), Ok(()));
        let here = says(Need::Reader, Reach::Tenant, Some("other")).unwrap_err();
        assert_eq!(here, says(Need::Admin, Reach::Tenant, Some("no-such")).unwrap_err());
        assert!(here.contains("not for this tenant"), "{here}");
        assert!(says(Need::Writer, Reach::Tenant, Some("main")).unwrap_err().contains("role writer"));
        assert!(says(Need::Reader, Reach::Server, None).unwrap_err().contains("for *"));
        assert!(says(Need::Reader, Reach::Tenant, None).is_err(), "no tenant to compare with: only who may all");
        assert_eq!(says(Need::Reader, Reach::Chosen, None), Ok(()));
        assert_eq!(says(Need::Nothing, Reach::Server, None), Ok(()));
    }
}
