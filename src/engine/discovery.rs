//! Look-ups in a directory: which contact carries an identifier, as far as the asker may be told.
//!
//! Each tenant that is a directory has a map from tags to records beside its state, built by the first look-up ([`map`]) and
//! kept current by the commit thread before it publishes, so that the look-up after an acknowledged write sees it. A hit
//! is told only if the current view says so: policy, opt-out, blocks and deletion are decided there, at once, and worked out
//! ahead for whom everyone may find ([`told`]).
//! [`quota`] charges what is asked, [`rotate`] puts other keys in force while everybody goes on asking.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::discovery::directory::{Directory, Found, Held};
use crate::discovery::tag::{Master, Tag, TagKey};
use crate::discovery::token::TokenKey;
use crate::discovery::{Inner, Kind};
use crate::engine::{Core, Engine, Tenant};
use crate::error::{Error, Result};
use crate::matching::features::external_id_key;
use crate::model::ids::{EntityId, Millis, TenantName};
use crate::model::settings::Settings;
use crate::normalize::{Mask, Normalizer, Rules};
use crate::store::apply::is_live;
use crate::store::shard::{Entity, Shard};
use map::Serving;
use told::Told;

pub(crate) mod map;
pub mod quota;
pub mod rotate;
mod told;

pub use quota::Charge;
pub use rotate::DiscoveryCommand;

/// What a tenant needs for discovery beside its state.
pub(crate) struct Discovery {
    master: Master,
    /// Under which the tags of a tenant that keeps nothing else are made.
    first_key: TagKey,
    token_key: TokenKey,
    pub(crate) serving: Serving,
    pub(crate) quota: quota::Desk,
}

impl Discovery {
    pub(crate) fn new(secret: &[u8; 32], tenant: &str) -> Self {
        let master = Master::new(secret);
        Self {
            first_key: master.tag_key(tenant, 1),
            token_key: TokenKey::new(&master, tenant),
            quota: quota::Desk::new(&master, tenant),
            serving: Serving::default(),
            master,
        }
    }

    /// The normaliser of these settings: where only tags are kept, one that gives nothing else of an identifier.
    pub(crate) fn normalizer(&self, settings: &Settings) -> Normalizer {
        let plain = Normalizer::new(Rules::from_settings(settings));
        if !settings.discovery.tags_only {
            return plain;
        }
        let key = self.first_key.clone();
        plain.masked(Mask::new(move |read| {
            use crate::discovery::tagged;
            read.emails = read.emails.iter().map(|email| tagged::email(&key, email)).collect();
            read.phones = read.phones.iter().filter_map(|phone| tagged::phone(&key, phone)).collect();
        }))
    }

    /// What stands for the digest of a request's body where only tags are kept: a digest of a short body could be tried.
    pub(crate) fn masked_body(&self, body: &[u8; 32]) -> [u8; 32] {
        let key = self.master.derive("selfsame 2026-01 discovery body", "", 0);
        *blake3::keyed_hash(&key, body).as_bytes()
    }
}

/// Questions to a directory, all on one view and under one key.
pub struct Asking {
    core: Arc<Core>,
    tenant: Arc<Tenant>,
    shard: Arc<Shard>,
    directory: Arc<Directory>,
    /// As of the same view; missing in the moment in which the next one is published.
    told: Option<Arc<Told>>,
    asker: Option<Arc<Entity>>,
}

impl Engine {
    /// Prepares questions to a directory that has its map; `None`: it must be built first, which takes as long as hashing
    /// all identifiers, and is what [`Engine::asking`] does.
    ///
    /// # Errors
    /// As [`Engine::asking`].
    pub fn asking_at_once(&self, tenant: &TenantName, asker: Option<&str>) -> Result<Option<Asking>> {
        let (tenant, view) = self.seen(tenant)?;
        let directory = tenant.discovery.serving.current();
        directory.map(|directory| self.asking_of(tenant, view, directory, asker)).transpose()
    }

    /// Prepares questions to a directory; builds its map if there is none. `asker` is who wants to know: a contact id
    /// or user id of the directory.
    ///
    /// # Errors
    /// `NotFound` for the tenant; `Conflict` with code `not_a_directory` or `lookup_off`; `Invalid` for an asker that is not
    /// there, or none where policies or blocks ask for one.
    pub fn asking(&self, tenant: &TenantName, asker: Option<&str>) -> Result<Asking> {
        let tenant = self.known(tenant)?;
        let directory = map::current_or_built(&self.core, &tenant)?;
        let view = tenant.view.load_full();
        self.asking_of(tenant, view, directory, asker)
    }

    fn asking_of(
        &self,
        tenant: Arc<Tenant>,
        shard: Arc<Shard>,
        directory: Arc<Directory>,
        asker: Option<&str>,
    ) -> Result<Asking> {
        check(&shard)?;
        let asker = asker.map(|text| find_asker(&shard, text)).transpose()?;
        if asker.is_none() && needs_asker(&shard) {
            let reason = "is required, since users of this directory may hide from each other; name the contact id or \
                user id of who wants to know";
            return Err(Error::invalid("asker", reason));
        }
        let told = tenant.discovery.serving.told(&shard);
        Ok(Asking { core: Arc::clone(&self.core), tenant, shard, directory, told, asker })
    }
}

/// Whether look-ups are answered here.
fn check(shard: &Shard) -> Result<()> {
    let refused = |code: &'static str, reason: &str| Err(Error::Conflict { code, reason: reason.into(), holder: None });
    let settings = &shard.settings.discovery;
    if settings.users.is_none() {
        return refused(
            "not_a_directory",
            "this tenant is no directory; name the system of its user ids in settings.discovery.users",
        );
    }
    if !settings.lookup {
        return refused("lookup_off", "this directory answers no look-ups; set settings.discovery.lookup");
    }
    Ok(())
}

/// Whether it makes a difference who asks.
fn needs_asker(shard: &Shard) -> bool {
    shard.consents.has_blocks() || shard.consents.has_mutual()
}

/// The contact that a contact id or user id names. The text stays out of the error: it may be personal.
fn find_asker(shard: &Shard, text: &str) -> Result<Arc<Entity>> {
    let by_id = text.parse::<EntityId>().ok().and_then(|id| shard.resolve_id(id));
    let id = by_id.or_else(|| {
        let system = shard.settings.discovery.users.as_deref()?.trim().to_lowercase();
        let key = external_id_key(&system, &text.trim().to_lowercase());
        let slots = shard.holders(key).into_iter().filter_map(|(slot, _)| shard.slot(slot)?.entity);
        slots.filter_map(|id| shard.resolve_id(id)).find(|id| shard.entity(*id).is_some_and(|one| is_live(one)))
    });
    let found = id.and_then(|id| shard.entity(id)).filter(|entity| is_live(entity)).cloned();
    found.ok_or_else(|| Error::invalid("asker", "is no contact id or user id of this directory"))
}

impl Asking {
    /// The epoch of the key that tags are under.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.directory.epoch()
    }

    /// Who asks.
    #[must_use]
    pub fn asker(&self) -> Option<EntityId> {
        self.asker.as_ref().map(|entity| entity.id)
    }

    /// What tokens are made with.
    #[must_use]
    pub fn token_key(&self) -> &TokenKey {
        &self.tenant.discovery.token_key
    }

    /// The canonical form of one phone number; `None`: it is none, or several. `region` stands for the tenant's where the
    /// country code is missing.
    #[must_use]
    pub fn phone(&self, text: &str, region: Option<&str>) -> Option<String> {
        let normalizer = self.tenant.normalizer(&self.shard.settings);
        normalizer.one_phone(text, region).map(|phone| phone.e164).filter(|number| number.starts_with('+'))
    }

    /// The canonical form of one email address; `None`: it is none, or several.
    #[must_use]
    pub fn email(&self, text: &str) -> Option<String> {
        let normalizer = self.tenant.normalizer(&self.shard.settings);
        normalizer.one_email(text).map(|email| email.delivered).filter(|address| address.contains('@'))
    }

    /// The tag of a digest.
    #[must_use]
    pub fn tag(&self, kind: Kind, inner: &Inner) -> Tag {
        self.directory.keys().tag(kind, inner)
    }

    /// The contact that carries what has this tag, if the asker may be told. Of several the one with the oldest record,
    /// those first that spell it in the primary dialect; `exactly`: only those.
    #[must_use]
    pub fn contact(&self, tag: &Tag, exactly: bool) -> Option<EntityId> {
        self.contact_of(self.directory.find(tag), exactly)
    }

    /// [`Asking::contact`] of each of these, which is faster for many than one by one.
    #[must_use]
    pub fn contacts(&self, asked: &[(Tag, bool)]) -> SmallVec<[Option<EntityId>; 1]> {
        if let [(tag, exactly)] = asked {
            return smallvec![self.contact(tag, *exactly)];
        }
        let tags: SmallVec<[Tag; 4]> = asked.iter().map(|(tag, _)| *tag).collect();
        let found = self.directory.find_all(&tags);
        found.into_iter().zip(asked).map(|(found, (_, exactly))| self.contact_of(found, *exactly)).collect()
    }

    fn contact_of(&self, found: Found, exactly: bool) -> Option<EntityId> {
        let wanted = |held: &Held| !exactly || !held.is_secondary;
        match found {
            Found::Nothing => None,
            Found::One(held) => Some(held).filter(wanted).and_then(|held| self.told(held.slot)),
            Found::Several(all) => all.into_iter().filter(wanted).find_map(|held| self.told(held.slot)),
        }
    }

    /// Whom a hit on a record names, if the asker may be told.
    fn told(&self, slot: u32) -> Option<EntityId> {
        let Some(ahead) = self.told.as_ref().and_then(|told| told.get(slot)) else { return self.told_by_state(slot) };
        // What is told to nobody in particular is told to everybody, but those who are blocked; some are told more.
        let hangs_on_asker = self.asker.is_some()
            && match ahead {
                Some(_) => self.shard.consents.has_blocks(),
                None => self.shard.consents.has_mutual(),
            };
        if hangs_on_asker {
            return self.told_by_state(slot);
        }
        debug_assert_eq!(ahead, self.told_by_state(slot), "slot {slot} was worked out ahead");
        ahead
    }

    /// The same, asked of the state.
    fn told_by_state(&self, slot: u32) -> Option<EntityId> {
        let contact = map::contact_of(&self.shard, slot)?;
        self.core.discoverable(&self.shard, contact, self.asker.as_deref())
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.core.now()
    }

    /// Random bytes for a token.
    #[must_use]
    pub fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.core.world.random.fill(&mut bytes);
        bytes
    }
}
