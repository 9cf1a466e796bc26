//! All keys there are: those of the configuration and those that the engine stores; who asks with which; and changing
//! the stored ones.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use subtle::{Choice, ConstantTimeEq};

use crate::auth::caller::Caller;
use crate::auth::limit::Buckets;
use crate::auth::secret::{KEY_BYTES_MAX, KeyText, id_of};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::Clock;
use crate::model::access::{ApiKey, Rate, Role, TenantPattern};
use crate::model::ids::Millis;

/// Peers whose failures are counted at once.
const PEERS_MAX: usize = 65_536;
/// Keys whose rates are counted at once; more than can be stored.
const RATED_MAX: usize = 65_536;
/// How long the last use of a key is kept in memory before it is journaled.
const USED_EVERY_MS: i64 = 3_600_000;
/// Who makes the first key, in the audit.
const SERVER: &str = "server";
/// Hours that an old secret may go on opening after a rotation at most: a year.
const OVERLAP_HOURS_MAX: u32 = 24 * 366;
/// Characters of a label or a principal at most.
const NAME_CHARS_MAX: usize = 100;

/// What authentication runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// The keys of the configuration.
    pub configured: Vec<ApiKey>,
    /// No request without a key is served, also while there is none.
    pub require_keys: bool,
    /// Failed attempts of one peer; missing: any.
    pub failures: Option<Rate>,
}

/// Why a request does not get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No key, an unknown one, one that ended: which of them is not told.
    Unauthenticated,
    /// The stored keys cannot be read yet.
    Starting,
    /// Too many requests of this key, or too many failures of this peer.
    TooMany {
        /// When to come back.
        wait: Duration,
    },
}

/// What a new key is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// At least one.
    pub roles: Vec<String>,
    /// At least one.
    pub tenants: Vec<String>,
    /// Its first write makes a tenant.
    pub create_tenants: bool,
    /// What people call it.
    pub label: Option<String>,
    /// Who pays for quotas.
    pub principal: Option<String>,
    /// Requests a second.
    pub per_second: Option<u32>,
    /// Requests at once; missing: as many as a second.
    pub burst: Option<u32>,
    /// Its end.
    pub expires_at: Option<Millis>,
}

impl NewKey {
    /// Checks it; the id, the hash and who made it are still to be filled in.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub fn checked(self) -> Result<ApiKey> {
        let role = |(at, word): (usize, &String)| {
            let words: Vec<&str> = Role::ALL.iter().map(|role| role.word()).collect();
            let unknown = || Error::invalid(format!("roles[{at}]"), format!("is none of {}", words.join(", ")));
            Role::parse(word).ok_or_else(unknown)
        };
        let pattern = |(at, text): (usize, &String)| {
            let reason = "is no tenant's name, nor the beginning of names with one * behind it (crm-*), nor * for all";
            TenantPattern::parse(text).ok_or_else(|| Error::invalid(format!("tenants[{at}]"), reason))
        };
        let mut roles = self.roles.iter().enumerate().map(role).collect::<Result<Vec<_>>>()?;
        roles.sort_unstable();
        roles.dedup();
        let tenants = self.tenants.iter().enumerate().map(pattern).collect::<Result<Vec<_>>>()?;
        for (field, is_empty) in [("roles", roles.is_empty()), ("tenants", tenants.is_empty())] {
            if is_empty {
                return Err(Error::invalid(field, "is empty; a key needs at least one"));
            }
        }
        Ok(ApiKey {
            id: String::new(),
            hash: [0; 32],
            before: None,
            roles,
            tenants,
            create_tenants: self.create_tenants,
            label: name("label", self.label)?,
            principal: name("principal", self.principal)?,
            rate: rate(self.per_second, self.burst)?,
            expires_at: self.expires_at,
            created_at: Millis(0),
            created_by: String::new(),
            used_at: None,
            revoked_at: None,
        })
    }
}

fn name(field: &str, given: Option<String>) -> Result<Option<String>> {
    match given {
        Some(text)
            if text.is_empty() || text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) =>
        {
            let reason = format!("must have 1 to {NAME_CHARS_MAX} characters, none of them a control character");
            Err(Error::invalid(field, reason))
        }
        other => Ok(other),
    }
}

fn rate(per_second: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>> {
    const MOST: u32 = 1_000_000;
    for (field, given) in [("requests_per_second", per_second), ("burst", burst)] {
        if given.is_some_and(|number| !(1..=MOST).contains(&number)) {
            return Err(Error::invalid(field, format!("may be 1 to {MOST}; leave it out for no limit")));
        }
    }
    match (per_second, burst) {
        (Some(per_second), burst) => Ok(Some(Rate { per_second, burst: burst.unwrap_or(per_second) })),
        (None, Some(_)) => Err(Error::invalid("burst", "needs requests_per_second beside it")),
        (None, None) => Ok(None),
    }
}

/// All keys, and who may ask how often.
pub struct Auth {
    options: AuthOptions,
    clock: Arc<dyn Clock>,
    rates: Buckets<String>,
    failures: Buckets<IpAddr>,
    /// When keys were used last, as long as nobody has written it down.
    used: Mutex<HashMap<String, Millis>>,
    /// Held while keys change: one after the other.
    changes: Mutex<()>,
}

impl Auth {
    /// Keys of the configuration; those of the engine are looked up there.
    pub fn new(options: AuthOptions, clock: Arc<dyn Clock>) -> Self {
        let (rates, failures) = (Buckets::new(RATED_MAX), Buckets::new(PEERS_MAX));
        Self { options, clock, rates, failures, used: Mutex::default(), changes: Mutex::new(()) }
    }

    /// Whether requests need no key at all: none is configured, none was ever stored, and the configuration does not insist.
    /// Not known, and so no, before the engine is open.
    pub fn is_open(&self, engine: Option<&Engine>) -> bool {
        self.may_be_open() && engine.is_some_and(|engine| !engine.has_api_keys())
    }

    /// Whether the configuration leaves it to the stored keys.
    pub fn may_be_open(&self) -> bool {
        self.options.configured.is_empty() && !self.options.require_keys
    }

    /// Keys that the configuration has.
    pub fn configured(&self) -> &[ApiKey] {
        &self.options.configured
    }

    /// The time that keys end by.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Who asks with a key.
    ///
    /// # Errors
    /// [`Refusal`]. A peer with too many failures is refused before anything is compared, unless its key is one of ours with
    /// 256 random bits: nobody guesses those, so that their holders cannot be locked out by a neighbour who tries.
    pub fn identify(
        &self,
        engine: Option<&Engine>,
        key: Option<&[u8]>,
        peer: IpAddr,
    ) -> std::result::Result<Caller, Refusal> {
        let now = self.clock.monotonic();
        let peer = counted_as(peer);
        let calm = self.options.failures.map_or(Ok(()), |rate| self.failures.look(&peer, rate, now));
        let given = key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
        let found = given.and_then(|key| self.find(engine, key, calm.is_ok()));
        match (found, calm) {
            (Some(found), _) => self.admit(&found, now),
            (None, Err(wait)) => Err(Refusal::TooMany { wait }),
            (None, Ok(())) if engine.is_none() => Err(Refusal::Starting),
            (None, Ok(())) => {
                // A request without any key is no attempt at one.
                if let (Some(rate), Some(_)) = (self.options.failures, key) {
                    let _ = self.failures.take(&peer, rate, now);
                }
                Err(Refusal::Unauthenticated)
            }
        }
    }

    /// Whether a caller that came in earlier would come in now: for answers that go on for long.
    pub fn is_still_in(&self, engine: &Engine, caller: &Caller) -> bool {
        let Some(id) = &caller.key else { return self.is_open(Some(engine)) };
        let configured = self.options.configured.iter().find(|key| key.id == *id);
        let now = self.clock.now();
        match configured {
            Some(key) => key.is_usable(now),
            None => engine.api_key(id).is_some_and(|key| key.is_usable(now)),
        }
    }

    /// The usable key. All of the configuration's are compared in full, whichever fits, then the one with the public id.
    fn find(&self, engine: Option<&Engine>, given: &[u8], is_calm: bool) -> Option<Arc<ApiKey>> {
        let (hash, now) = (ApiKey::hash_of(given), self.clock.now());
        let id = id_of(given);
        let mut found = None;
        for key in &self.options.configured {
            if opens(key, &hash, now) && (is_calm || id == Some(key.id.as_str())) {
                found = Some(Arc::new(key.clone()));
            }
        }
        let stored = id.and_then(|id| engine?.api_key(id));
        let nobody;
        let compared = match &stored {
            Some(key) => &**key,
            None => {
                nobody = nobody_s_key();
                &nobody
            }
        };
        let is_stored = opens(compared, &hash, now);
        found.or_else(|| stored.filter(|_| is_stored)).filter(|key| key.is_usable(now))
    }

    fn admit(&self, key: &ApiKey, now: Duration) -> std::result::Result<Caller, Refusal> {
        if let Some(rate) = key.rate {
            self.rates.take(&key.id, rate, now).map_err(|wait| Refusal::TooMany { wait })?;
        }
        let at = self.clock.now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(&key.id) {
            Some(latest) => *latest = at,
            None => drop(used.insert(key.id.clone(), at)),
        }
        Ok(Caller::of(key))
    }

    /// When a key was used last, as far as memory and journal know.
    pub fn used_at(&self, key: &ApiKey) -> Option<Millis> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&key.id).copied().max(key.used_at)
    }

    /// Writes down when stored keys were used last: those for which the journal is an hour behind, or all of them.
    ///
    /// # Errors
    /// As every write; it is tried again by the next call.
    pub fn write_used(&self, engine: &Engine, all: bool) -> Result<()> {
        let behind = if all { 0 } else { USED_EVERY_MS };
        let is_due = |(id, at): (&String, &Millis)| {
            let stored = engine.api_key(id)?;
            let known = stored.used_at.map_or(i64::MIN, |at| at.0);
            (at.0 > known.saturating_add(behind)).then(|| (id.clone(), *at))
        };
        let due: Vec<(String, Millis)> = {
            let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.iter().filter_map(is_due).collect()
        };
        engine.note_api_keys_used(due)
    }

    /// Makes a key; its text is not kept anywhere.
    ///
    /// # Errors
    /// `Full` when there are too many; as every write.
    pub fn create(&self, engine: &Engine, key: ApiKey, actor: &str) -> Result<(ApiKey, KeyText)> {
        let _changing = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, text) = KeyText::make(&*engine.world().random);
        let key = ApiKey { id, hash: text.hash(), created_at: self.clock.now(), created_by: actor.to_owned(), ..key };
        engine.put_api_key(&key)?;
        Ok((key, text))
    }

    /// Gives a key a new secret; the old one opens for `overlap_hours` more.
    ///
    /// # Errors
    /// `Invalid` for the hours, `Conflict` for a key of the configuration, `NotFound` for an unknown one; as every write.
    pub fn rotate(&self, engine: &Engine, id: &str, overlap_hours: u32, actor: &str) -> Result<(Millis, KeyText)> {
        if overlap_hours > OVERLAP_HOURS_MAX {
            return Err(Error::invalid("overlap_hours", format!("may be 0 to {OVERLAP_HOURS_MAX}")));
        }
        let _changing = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.not_configured(id)?;
        let old_until = Millis(self.clock.now().0.saturating_add(i64::from(overlap_hours) * 3_600_000));
        let text = KeyText::renew(id, &*engine.world().random);
        engine.rotate_api_key(id, text.hash(), old_until, actor)?;
        Ok((old_until, text))
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// `Conflict` for a key of the configuration, `NotFound` for an unknown one; as every write.
    pub fn revoke(&self, engine: &Engine, id: &str, actor: &str) -> Result<()> {
        let _changing = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.not_configured(id)?;
        engine.revoke_api_key(id, actor)
    }

    fn not_configured(&self, id: &str) -> Result<()> {
        if !self.options.configured.iter().any(|key| key.id == id) {
            return Ok(());
        }
        let reason = "this key is part of the server's configuration; change it there and restart".to_owned();
        Err(Error::Conflict { code: "key_configured", reason, holder: None })
    }

    /// Makes the first admin key where keys are required and none of those there are opens the server's own calls.
    ///
    /// # Errors
    /// As every write.
    pub fn first_key(&self, engine: &Engine) -> Result<Option<(String, KeyText)>> {
        let now = self.clock.now();
        let opens = |key: &ApiKey| {
            key.is_usable(now) && key.roles.contains(&Role::Admin) && key.tenants.iter().any(TenantPattern::is_all)
        };
        let has_one = self.options.configured.iter().any(opens) || engine.api_keys().iter().any(|key| opens(key));
        if !self.options.require_keys || has_one {
            return Ok(None);
        }
        let all = |text: &str| vec![text.to_owned()];
        let new = NewKey { roles: all("admin"), tenants: all("*"), label: Some("first".into()), ..NewKey::default() };
        let (key, text) = self.create(engine, new.checked()?, SERVER)?;
        Ok(Some((key.id, text)))
    }
}

/// Whether a hash is the key's, or the one before it while that still opens. Both are compared in full.
fn opens(key: &ApiKey, hash: &[u8; 32], now: Millis) -> bool {
    let current = key.hash.ct_eq(hash);
    let (before, until) = key.before.unwrap_or(([0; 32], Millis(i64::MIN)));
    let old = before.ct_eq(hash) & Choice::from(u8::from(now < until));
    bool::from(current | old)
}

/// What a key with an unknown id is compared with. No text has this hash, as far as anybody knows.
fn nobody_s_key() -> ApiKey {
    ApiKey {
        id: String::new(),
        hash: [0; 32],
        before: None,
        roles: Vec::new(),
        tenants: Vec::new(),
        create_tenants: false,
        label: None,
        principal: None,
        rate: None,
        expires_at: None,
        created_at: Millis(0),
        created_by: String::new(),
        used_at: None,
        revoked_at: None,
    }
}

/// Whose failures count together: one address, of IPv6 one network of 64 bits, which is what one customer has.
fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests;
