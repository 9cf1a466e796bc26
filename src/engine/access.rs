//! API keys and the acts of whoever runs the server: kept in the server's own stream, so that they outlive restarts.
//!
//! What a key may do is decided in `auth`; here it is only stored and found. A change is in force when its call returns.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::api::Page;
use crate::engine::audit::AuditEntry;
use crate::engine::models::send_facts;
use crate::error::{Error, Result};
use crate::model::access::ApiKey;
use crate::model::event::{Acted, ApiKeyPut, ApiKeyRevoked, ApiKeyRotated, ApiKeyUsed, Event};
use crate::model::ids::Millis;

/// Keys that are stored at most, the revoked ones included: they are what the audit's actors are looked up in.
pub const API_KEYS_MAX: usize = 10_000;

impl Engine {
    /// One stored key, be it usable or not.
    pub fn api_key(&self, id: &str) -> Option<Arc<ApiKey>> {
        self.core.server.view.load_full().api_keys.get(id).cloned()
    }

    /// All stored keys, the revoked ones included, oldest first.
    pub fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        let mut all: Vec<_> = self.core.server.view.load_full().api_keys.iter().cloned().collect();
        all.sort_unstable_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Whether a key was ever stored. A revoked one counts: whoever revokes the last key does not open the server.
    pub fn has_api_keys(&self) -> bool {
        self.core.server.view.look(|server| !server.api_keys.is_empty())
    }

    /// Stores a new key.
    ///
    /// # Errors
    /// `Conflict` when its id is taken, `Full` beyond [`API_KEYS_MAX`]; as every write.
    pub fn put_api_key(&self, key: &ApiKey) -> Result<()> {
        let stored = &self.core.server.view.load_full().api_keys;
        if stored.get(&key.id).is_some() {
            let reason = format!("there is a key {} already; choose another id", key.id);
            return Err(Error::Conflict { code: "key_exists", reason, holder: None });
        }
        if stored.len() >= API_KEYS_MAX {
            return Err(Error::Full { what: format!("the list of API keys (at most {API_KEYS_MAX})") });
        }
        self.tell_server(Event::ApiKeyPut(Box::new(ApiKeyPut::from(key))))
    }

    /// Gives a key another secret. The old one opens until `old_until` as well.
    ///
    /// # Errors
    /// `NotFound` with code `key_unknown` when there is none or it is revoked; as every write.
    pub fn rotate_api_key(&self, id: &str, hash: [u8; 32], old_until: Millis, actor: &str) -> Result<()> {
        self.live_api_key(id)?;
        let (key_id, at, actor) = (id.to_owned(), self.core.now(), actor.to_owned());
        self.tell_server(Event::ApiKeyRotated(ApiKeyRotated { key_id, hash, old_until, at, actor }))
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// `NotFound` with code `key_unknown` when there is none or it is revoked already; as every write.
    pub fn revoke_api_key(&self, id: &str, actor: &str) -> Result<()> {
        self.live_api_key(id)?;
        let (key_id, at, actor) = (id.to_owned(), self.core.now(), actor.to_owned());
        self.tell_server(Event::ApiKeyRevoked(ApiKeyRevoked { key_id, at, actor }))
    }

    /// Writes down when keys were used last.
    ///
    /// # Errors
    /// As every write.
    pub fn note_api_keys_used(&self, used: Vec<(String, Millis)>) -> Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        let facts = used.into_iter().map(|(key_id, at)| Event::ApiKeyUsed(ApiKeyUsed { key_id, at }));
        send_facts(self, &self.core.server, facts.collect())
    }

    /// Notes that somebody did something to the server as a whole.
    ///
    /// # Errors
    /// As every write.
    pub fn note_act(&self, what: &str, actor: &str) -> Result<()> {
        let (what, at, actor) = (what.to_owned(), self.core.now(), actor.to_owned());
        self.tell_server(Event::Acted(Acted { what, at, actor }))
    }

    /// The acts on the server as a whole behind a cursor, oldest first: keys, backups, rotations.
    ///
    /// # Errors
    /// As [`Engine::audit`].
    pub fn audit_of_server(&self, after: Option<&str>, limit: usize) -> Result<Page<AuditEntry>> {
        self.audit_of(&[self.core.server.id.0], Millis(i64::MIN), after, limit)
    }

    fn live_api_key(&self, id: &str) -> Result<Arc<ApiKey>> {
        let live = self.api_key(id).filter(|key| key.revoked_at.is_none());
        live.ok_or_else(|| Error::NotFound { code: "key_unknown", what: "API key".into() })
    }

    fn tell_server(&self, fact: Event) -> Result<()> {
        send_facts(self, &self.core.server, vec![fact])
    }
}
