//! What a route asks of its callers. Every route has one: `http/routes.rs` does not compile without.

use crate::model::access::Role;

/// What a caller must be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anybody may ask, without a key.
    Nothing,
    /// A key, whatever its roles.
    Key,
    /// Read a tenant.
    Reader,
    /// Write to a tenant.
    Writer,
    /// Decide about a tenant's contacts, take them out, read who did what.
    Steward,
    /// Decide about a tenant, or the server.
    Admin,
    /// Look up by identifiers (mode A).
    Lookup,
    /// The Matrix identity calls (mode B).
    Matrix,
    /// The oblivious protocol (mode C).
    Oprf,
    /// Reveal who was found by mode C.
    Reveal,
}

impl Need {
    /// The least role that has it, for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Key => "any role",
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Steward => "steward",
            Self::Admin => "admin",
            Self::Lookup => "discovery:lookup",
            Self::Matrix => "discovery:matrix",
            Self::Oprf => "discovery:oprf",
            Self::Reveal => "discovery:reveal",
        }
    }

    /// Whether a role has it.
    pub fn is_met_by(self, role: Role) -> bool {
        use Role as R;
        if role == R::Admin {
            return true;
        }
        match self {
            Self::Nothing | Self::Key => true,
            Self::Reader => matches!(role, R::Reader | R::Writer | R::Steward),
            Self::Writer => matches!(role, R::Writer | R::Steward),
            Self::Steward => role == R::Steward,
            Self::Admin => false,
            Self::Lookup => matches!(role, R::Discovery | R::DiscoveryLookup),
            Self::Matrix => matches!(role, R::Discovery | R::DiscoveryMatrix),
            Self::Oprf => matches!(role, R::Discovery | R::DiscoveryOprf),
            Self::Reveal => matches!(role, R::Discovery | R::DiscoveryReveal),
        }
    }
}

/// Where a caller must be allowed to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On the tenant of the path.
    Tenant,
    /// On all tenants: the route is about the server.
    Server,
    /// The handler chooses the tenant and asks [`crate::auth::Caller::check`] itself: a Matrix client's paths name none.
    Chosen,
}

/// How a privileged act gets into the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is none.
    No,
    /// The change is an event that names its actor, or the handler notes it itself.
    Itself,
    /// The layer around all handlers notes it in the tenant's trail, under this word, before the answer leaves.
    InTenant(&'static str),
    /// The same in the server's own trail.
    InServer(&'static str),
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What.
    pub need: Need,
    /// Where.
    pub reach: Reach,
    /// Its call makes a tenant that does not exist, where the caller may.
    pub makes_tenants: bool,
    /// A privileged act, and how it is noted.
    pub noted: Noted,
    /// A query parameter with which it asks for more, unless its value is `false`.
    pub raised_by: Option<(&'static str, Need)>,
}

/// Anybody, without a key.
pub const OPEN: Rule = Rule::new(Need::Nothing, Reach::Server);
/// Reads a tenant.
pub const READ: Rule = Rule::new(Need::Reader, Reach::Tenant);
/// Writes to a tenant that is there.
pub const WRITE: Rule = Rule::new(Need::Writer, Reach::Tenant);
/// Decides about a tenant's contacts.
pub const STEWARD: Rule = Rule::new(Need::Steward, Reach::Tenant);
/// Decides about a tenant.
pub const ADMIN: Rule = Rule::new(Need::Admin, Reach::Tenant);
/// The server as a whole.
pub const SERVER: Rule = Rule::new(Need::Admin, Reach::Server);
/// Figures of the server as a whole.
pub const FIGURES: Rule = Rule::new(Need::Reader, Reach::Server);
/// Mode A of a directory.
pub const LOOKUP: Rule = Rule::new(Need::Lookup, Reach::Tenant);
/// Mode B: the handler chooses the tenant and checks it.
pub const MATRIX: Rule = Rule::new(Need::Matrix, Reach::Chosen);
/// Mode C.
pub const OPRF: Rule = Rule::new(Need::Oprf, Reach::Tenant);
/// The reveal of mode C, which the tenant's trail shows.
pub const REVEAL: Rule = Rule::new(Need::Reveal, Reach::Tenant).noted(Noted::InTenant("reveal"));

impl Rule {
    /// A plain rule.
    pub const fn new(need: Need, reach: Reach) -> Self {
        Self { need, reach, makes_tenants: false, noted: Noted::No, raised_by: None }
    }

    /// The call makes a tenant that does not exist.
    #[must_use]
    pub const fn makes_tenants(self) -> Self {
        Self { makes_tenants: true, ..self }
    }

    /// The call is a privileged act.
    #[must_use]
    pub const fn noted(self, noted: Noted) -> Self {
        Self { noted, ..self }
    }

    /// With a query parameter the call asks for more.
    #[must_use]
    pub const fn raised_by(self, parameter: &'static str, need: Need) -> Self {
        Self { raised_by: Some((parameter, need)), ..self }
    }

    /// What a request with these query parameters needs.
    pub fn need_of(&self, parameters: &[(String, String)]) -> Need {
        match self.raised_by {
            Some((name, need)) if parameters.iter().any(|(key, value)| key == name && value != "false") => need,
            _ => self.need,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the documentation, written out: role by role what it may.
    #[test]
    fn roles_include_each_other_as_documented() {
        use Need as N;
        let all = [N::Reader, N::Writer, N::Steward, N::Admin, N::Lookup, N::Matrix, N::Oprf, N::Reveal];
        for (role, may) in [
            (Role::Reader, &[N::Reader][..]),
            (Role::Writer, &[N::Reader, N::Writer]),
            (Role::Steward, &[N::Reader, N::Writer, N::Steward]),
            (Role::Admin, &all),
            (Role::Discovery, &[N::Lookup, N::Matrix, N::Oprf, N::Reveal]),
            (Role::DiscoveryLookup, &[N::Lookup]),
            (Role::DiscoveryMatrix, &[N::Matrix]),
            (Role::DiscoveryOprf, &[N::Oprf]),
            (Role::DiscoveryReveal, &[N::Reveal]),
        ] {
            for need in all {
                assert_eq!(need.is_met_by(role), may.contains(&need), "{role:?} {need:?}");
            }
            assert!(N::Key.is_met_by(role) && N::Nothing.is_met_by(role));
        }
    }

    #[test]
    fn a_parameter_raises_what_is_needed() {
        let rule = WRITE.raised_by("erase", Need::Steward);
        let with = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            rule.need_of(&pairs)
        };
        assert_eq!(with(&[]), Need::Writer);
        assert_eq!(with(&[("erase", "false")]), Need::Writer);
        for value in ["true", "", "1", "TRUE", "anything"] {
            assert_eq!(with(&[("erase", value)]), Need::Steward, "{value}");
        }
        assert_eq!(with(&[("erase", "false"), ("erase", "true")]), Need::Steward);
    }
}
