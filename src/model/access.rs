//! Who may do what: API keys, roles and tenant patterns, as nouns. The decisions are in `auth`.
//!
//! Of a key's secret only a hash is ever kept. It is a plain BLAKE3 and no slow password hash on purpose: the secrets that
//! we make have 256 random bits, so there is nothing to guess that a slow hash would protect, while every request pays it.

use crate::model::ids::Millis;

/// What a key is for. A role is a set of rights; a key may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads a tenant: match, search, get, lists, history, feed, figures, settings.
    Reader = 1,
    /// A reader who also puts, imports, edits, deletes and restores records, references, relations and groups.
    Writer = 2,
    /// A writer who also merges, undoes, splits, answers reviews and conflicts, trains, exports, erases people, reads the
    /// audit trail and answers subject-access requests.
    Steward = 3,
    /// All private look-ups of a directory, and nothing else.
    Discovery = 4,
    /// Everything: settings, webhooks, making and deleting tenants; on all tenants (`*`) also the server itself and its keys.
    Admin = 5,
    /// Only look-ups by plain identifiers or digests (mode A).
    DiscoveryLookup = 6,
    /// Only the Matrix identity calls (mode B).
    DiscoveryMatrix = 7,
    /// Only the oblivious protocol (mode C), without revealing who was found.
    DiscoveryOprf = 8,
    /// Only revealing who was found by mode C.
    DiscoveryReveal = 9,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reader,
        Self::Writer,
        Self::Steward,
        Self::Discovery,
        Self::Admin,
        Self::DiscoveryLookup,
        Self::DiscoveryMatrix,
        Self::DiscoveryOprf,
        Self::DiscoveryReveal,
    ];

    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Steward => "steward",
            Self::Discovery => "discovery",
            Self::Admin => "admin",
            Self::DiscoveryLookup => "discovery:lookup",
            Self::DiscoveryMatrix => "discovery:matrix",
            Self::DiscoveryOprf => "discovery:oprf",
            Self::DiscoveryReveal => "discovery:reveal",
        }
    }

    /// The role of a word; `None`: there is none.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// The role of a stored number; `None`: a newer selfsame made it, and it grants nothing here.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u8 == number)
    }
}

/// Which tenants a key is for: a name, or the beginning of names and `*`. `*` alone is all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPattern(String);

impl TenantPattern {
    /// Reads a pattern: what a tenant's name may hold, and at most one `*` at its end. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let ok = !text.is_empty() && text.len() <= 64 && start.bytes().all(word) && !start.starts_with(['_', '-']);
        ok.then(|| Self(text.to_owned()))
    }

    /// Whether a tenant's name fits. Any text may be asked about: what is no name fits nothing but `*`.
    pub fn fits(&self, tenant: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => tenant.starts_with(start),
            None => self.0 == tenant,
        }
    }

    /// Whether it is all tenants.
    pub fn is_all(&self) -> bool {
        self.0 == "*"
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How often a key may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second in the long run, 1 or more.
    pub per_second: u32,
    /// Requests at once after a rest, 1 or more.
    pub burst: u32,
}

/// One API key, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name: 1 to 32 of `a-z`, `0-9` and `-`.
    pub id: String,
    /// BLAKE3 of the whole key as it is sent.
    pub hash: [u8; 32],
    /// The hash before the last rotation, and until when it opens.
    pub before: Option<([u8; 32], Millis)>,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Where.
    pub tenants: Vec<TenantPattern>,
    /// Its first write to a tenant that does not exist makes it. Admins may in any case.
    pub create_tenants: bool,
    /// What people call it; not personal data.
    pub label: Option<String>,
    /// Who pays for quotas; missing: the key by itself.
    pub principal: Option<String>,
    /// How often it may ask; missing: any.
    pub rate: Option<Rate>,
    /// From when on it opens nothing; missing: never.
    pub expires_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// Who made it.
    pub created_by: String,
    /// When it was used last, to the hour; missing: never.
    pub used_at: Option<Millis>,
    /// When it was revoked: it opens nothing any more.
    pub revoked_at: Option<Millis>,
}

/// Not derived: hashes have no business in diagnostics.
impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// The hash under which a key is kept.
    pub fn hash_of(key: &[u8]) -> [u8; 32] {
        *blake3::hash(key).as_bytes()
    }

    /// Whether it opens anything at a moment.
    pub fn is_usable(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether a text may be a key's id.
    pub fn is_id(text: &str) -> bool {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=32).contains(&text.len()) && text.bytes().all(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_and_nothing_else() {
        for (pattern, name, fits) in [
            ("*", "main", true),
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "mai", false),
            ("crm-*", "crm-eu", true),
            ("crm-*", "crm-", true),
            ("crm-*", "crm", false),
            ("crm-*", "acrm-eu", false),
        ] {
            assert_eq!(TenantPattern::parse(pattern).unwrap().fits(name), fits, "{pattern} {name}");
        }
        for bad in ["", "Main", "a*b", "**", "a b", "-a", "a/*", "é"] {
            assert!(TenantPattern::parse(bad).is_none(), "{bad}");
        }
        assert!(TenantPattern::parse("*").unwrap().is_all() && !TenantPattern::parse("a*").unwrap().is_all());
    }

    #[test]
    fn roles_have_words_and_numbers_of_their_own() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()), Some(role));
            assert_eq!(Role::from_number(role as u8), Some(role));
        }
        assert_eq!((Role::parse("root"), Role::from_number(99)), (None, None));
    }
}
