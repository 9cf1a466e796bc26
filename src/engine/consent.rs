//! Who may be found by whom: reads, and what crosses from one tenant to another.
//!
//! Only exact identifiers cross tenants, and only between a directory and the tenants whose settings name it: whether a
//! directory user's address book has somebody, which user a contact of a book is, whom a user may know.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::discovery::tag::Master;
use crate::engine::{Core, Engine, View};
use crate::error::{Error, Result};
use crate::matching::features::{email_key, phone_key};
use crate::model::event::consent::Findable;
use crate::model::event::{BlockSet, PolicySet, RecordPut};
use crate::model::ids::{EntityId, Millis, TenantName};
use crate::model::normalized::OTHER_NAME;
use crate::resolve::act::live;
use crate::resolve::consent::{Policy, known_user};
use crate::resolve::group::shown;
use crate::store::apply::is_live;
use crate::store::groups::slug;
use crate::store::relations::{mail_domain_key, mail_domains};
use crate::store::shard::{Entity, Shard};

/// Context of the keys under which those who opted out are kept.
const SUPPRESSION: &str = "selfsame 2026-11 suppression list";
/// Address books that suggestions look into at most.
const BOOKS_MAX: usize = 20_000;
/// Friends of a user that suggestions look for in other books at most.
const FRIENDS_MAX: usize = 500;
/// Users of one domain or organisation that suggestions look at most.
const COLLEAGUES_MAX: usize = 1_000;

/// A change to who may be found by whom.
#[derive(Clone, Debug)]
pub enum ConsentCommand {
    /// Who may find a contact of a directory.
    Policy {
        /// Which contact.
        contact: EntityId,
        /// Who may, and on what ground.
        policy: Policy,
    },
    /// Let a contact block another, or take it back.
    Block {
        /// Who does not want to be seen.
        contact: EntityId,
        /// By whom.
        other: EntityId,
        /// Whether it holds from now on.
        holds: bool,
    },
    /// Who sees which field of a contact.
    Sharing {
        /// Which contact.
        contact: EntityId,
        /// Field and audience, each field once, ascending; a field that is not here nobody sees.
        fields: Vec<(String, String)>,
    },
    /// Take a person out of discovery and suggestions for good.
    OptOut {
        /// Which contact.
        contact: EntityId,
    },
    /// Note which user of the directory a contact is.
    User {
        /// Which contact.
        contact: EntityId,
        /// Which user; missing: none.
        user: Option<EntityId>,
    },
    /// Keep those who opted out under the next key.
    RotateSuppression,
}

impl ConsentCommand {
    /// The contact that it is about; `None`: the tenant as a whole.
    pub fn contact(&self) -> Option<EntityId> {
        match self {
            Self::Policy { contact, .. }
            | Self::Block { contact, .. }
            | Self::Sharing { contact, .. }
            | Self::OptOut { contact }
            | Self::User { contact, .. } => Some(*contact),
            Self::RotateSuppression => None,
        }
    }
}

/// The keys of a tenant's list of those who opted out, the oldest first.
pub(crate) struct Suppression {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl Suppression {
    pub(crate) fn new(core: &Core, tenant: &str, generation: u32) -> Self {
        let master = Master::new(&core.keys.record_secret());
        Self { keys: (0..=generation).map(|at| master.derive(SUPPRESSION, tenant, at)).collect() }
    }

    /// The tag of an identifier under the newest key.
    pub(crate) fn tag(&self, is_email: bool, text: &str) -> u128 {
        let mut keys = self.keys.iter();
        let first = keys.next().map_or(0, |key| {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(&[u8::from(is_email)]).update(text.as_bytes());
            start(&hasher.finalize())
        });
        keys.fold(first, |tag, key| start(&blake3::keyed_hash(key, &tag.to_le_bytes())))
    }

    /// A tag under the key before, wrapped in the newest.
    pub(crate) fn wrap(&self, tag: u128) -> u128 {
        self.keys.last().map_or(tag, |key| start(&blake3::keyed_hash(key, &tag.to_le_bytes())))
    }
}

fn start(hash: &blake3::Hash) -> u128 {
    hash.as_bytes().first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

/// An identifier as it is compared across tenants.
type Identifier = (bool, String);

/// The phones and emails of a contact's records that could be reached, each once.
fn identifiers(shard: &Shard, entity: &Entity) -> Vec<Identifier> {
    let mut found: Vec<Identifier> = Vec::new();
    let versions = entity.members.iter().filter_map(|slot| shard.evidence(*slot));
    for said in versions.map(|version| version.stored.put().normalized) {
        let emails = said.emails.iter().filter(|email| email.valid).map(|email| (true, email.canonical.clone()));
        let phones = said.phones.iter().filter(|phone| phone.valid).map(|phone| (false, phone.e164.clone()));
        found.extend(emails.chain(phones));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The live contacts that carry an identifier and may be used, each once, by id: a restricted one is stored only.
fn holders(shard: &Shard, identifier: &Identifier) -> Vec<EntityId> {
    let (is_email, text) = identifier;
    let key = if *is_email { email_key(text) } else { phone_key(text) };
    let Some(posting) = shard.postings.get(key) else { return Vec::new() };
    let carries = |slot: u32| {
        shard.evidence(slot).is_some_and(|version| {
            let said = version.stored.put().normalized;
            match is_email {
                true => said.emails.iter().any(|email| email.canonical == *text),
                false => said.phones.iter().any(|phone| phone.e164 == *text),
            }
        })
    };
    let slots = posting.entries().into_iter().map(|(slot, _)| slot).filter(|slot| carries(*slot));
    let ids = slots.filter_map(|slot| shard.resolve_id(shard.slot(slot)?.entity?));
    let used = |entity: &Entity| is_live(entity) && !shard.is_restricted(entity);
    let mut found: Vec<EntityId> = ids.filter(|id| shard.entity(*id).is_some_and(|entity| used(entity))).collect();
    found.sort_unstable();
    found.dedup();
    found
}

impl Core {
    /// What readers see of a tenant, by its name.
    pub(crate) fn shard_named(&self, name: &str) -> Option<Arc<Shard>> {
        let tenant = self.tenant(&TenantName::parse(name)?)?;
        let shard = tenant.view.load_full();
        (shard.seq.0 > 0 && !shard.is_ended).then_some(shard)
    }

    /// An address book, if it looks its contacts up in this directory.
    fn book(&self, directory: &Shard, name: &str) -> Option<Arc<Shard>> {
        let book = self.shard_named(name)?;
        (book.settings.discovery.directory.as_deref() == Some(&*directory.name)).then_some(book)
    }

    /// Whether the address book `name` has a contact of a directory.
    pub(crate) fn book_holds(&self, directory: &Shard, name: &str, user: &Entity) -> bool {
        let Some(book) = self.book(directory, name) else { return false };
        identifiers(directory, user).iter().any(|one| !holders(&book, one).is_empty())
    }

    /// The contact that may be told to `asker` where `contact` of a directory is found; see [`Shard::discoverable`].
    pub(crate) fn discoverable(
        &self,
        directory: &Shard,
        contact: EntityId,
        asker: Option<&Entity>,
    ) -> Option<EntityId> {
        directory.discoverable(contact, asker, &|book, asker| self.book_holds(directory, book, asker))
    }

    /// The user of the directory that a contact of a book is, as far as the book's owner may know.
    pub(crate) fn directory_user(&self, book: &Shard, entity: &Entity) -> Option<EntityId> {
        let directory = self.shard_named(book.settings.discovery.directory.as_deref()?)?;
        directory.settings.discovery.users.as_ref()?;
        if book.is_opted_out(entity) || book.is_restricted(entity) {
            return None;
        }
        let owner = directory.consents.owner_of(&book.name).and_then(|id| directory.resolve_id(id));
        let owner = owner.and_then(|id| directory.entity(id)).filter(|owner| is_live(owner));
        let candidates = identifiers(book, entity).into_iter().flat_map(|one| holders(&directory, &one));
        let told = |id: EntityId| self.discoverable(&directory, id, owner.map(|owner| &**owner));
        let mut found = candidates.filter(|id| owner.is_none_or(|owner| owner.id != *id)).filter_map(told);
        found.next()
    }
}

/// Who may find a contact, and how that came about.
#[derive(Clone, Debug)]
pub struct DiscoveryState {
    /// The contact.
    pub contact: EntityId,
    /// What counts.
    pub policy: Findable,
    /// The tenant that is its address book.
    pub book: Option<String>,
    /// When the person left for good.
    pub opted_out_at: Option<Millis>,
    /// What was said under the contact's ids, oldest first, each once.
    pub history: Vec<Arc<PolicySet>>,
}

/// Why somebody is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The other has this user in the address book.
    HasYou,
    /// Address books that have both: so many people whom everyone may find are in both books.
    SharedContacts(u32),
    /// They have mail at the same company's domain.
    SameDomain,
    /// They name the same organisation.
    SameOrganization,
}

/// Somebody whom a user may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Whom.
    pub contact: EntityId,
    /// Why, the strongest reason first.
    pub reasons: Vec<Reason>,
}

impl View {
    /// Who may find a contact.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn discovery(&self, id: EntityId) -> Result<DiscoveryState> {
        let shard = self.shard();
        let entity = live(shard, id)?;
        let mut history: Vec<Arc<PolicySet>> = Vec::new();
        for one in shard.ids_behind(entity).iter().flat_map(|id| shard.consents.policies_of(*id)) {
            if !history.iter().any(|known| Arc::ptr_eq(known, one) || known == one) {
                history.push(Arc::clone(one));
            }
        }
        history.sort_by_key(|set| set.at);
        Ok(DiscoveryState {
            contact: id,
            policy: shard.findable(entity),
            book: shard.book_of(entity),
            opted_out_at: shard.opted_out_at(entity),
            history,
        })
    }

    /// Whom a contact blocks now, ascending by id.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn blocks(&self, id: EntityId) -> Result<Vec<Arc<BlockSet>>> {
        let shard = self.shard();
        let ids = shard.ids_behind(live(shard, id)?);
        let all = ids.iter().flat_map(|id| shard.consents.blocks_of(*id)).filter(|set| set.holds);
        let mut by_other: BTreeMap<EntityId, Arc<BlockSet>> = BTreeMap::new();
        for set in all {
            let Some(other) = shard.resolve_id(set.blocked) else { continue };
            by_other
                .entry(other)
                .or_insert_with(|| Arc::new(BlockSet { blocker: id, blocked: other, ..(**set).clone() }));
        }
        Ok(by_other.into_values().collect())
    }

    /// Whether one contact blocks another, and since when.
    ///
    /// # Errors
    /// `NotFound` and `Moved` for either; `NotFound` with code `block_unknown` when it does not.
    pub fn block(&self, id: EntityId, other: EntityId) -> Result<Arc<BlockSet>> {
        live(self.shard(), other)?;
        let found = self.blocks(id)?.into_iter().find(|set| set.blocked == other);
        found.ok_or_else(|| Error::NotFound { code: "block_unknown", what: "block".into() })
    }

    /// Who sees which field of a contact: field and audience, ascending.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn sharing(&self, id: EntityId) -> Result<Vec<(String, String)>> {
        let shard = self.shard();
        let entity = live(shard, id)?;
        Ok(shard.shared_fields(entity))
    }

    /// Whether a contact's person left discovery and suggestions for good.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn is_opted_out(&self, id: EntityId) -> Result<bool> {
        live(self.shard(), id).map(|entity| self.shard().is_opted_out(entity))
    }
}

impl Engine {
    /// The user of the directory that a contact is, as far as this tenant may know now; `None`: none, or not to be told.
    ///
    /// # Errors
    /// `NotFound` and `Moved` for the contact, `Conflict` with code `no_directory` where the settings name none.
    pub fn directory_user(&self, tenant: &TenantName, id: EntityId) -> Result<Option<EntityId>> {
        let view = self.view(tenant)?;
        let shard = view.shard();
        let entity = live(shard, id)?;
        if shard.settings.discovery.directory.is_none() {
            let reason = "this tenant looks its contacts up nowhere; set settings.discovery.directory".into();
            return Err(Error::Conflict { code: "no_directory", reason, holder: None });
        }
        Ok(self.core.directory_user(shard, entity))
    }

    /// The fields of a contact that another may see, by its sharing preferences.
    ///
    /// # Errors
    /// `NotFound` and `Moved` for either.
    pub fn shared_with(&self, tenant: &TenantName, id: EntityId, other: EntityId) -> Result<Vec<String>> {
        let view = self.view(tenant)?;
        let shard = view.shard();
        let (entity, asker) = (live(shard, id)?, live(shard, other)?);
        if shard.is_blocked(entity, asker) {
            return Ok(Vec::new());
        }
        let audience = Audience::new(&self.core, shard, entity, asker);
        let seen = shard.shared_fields(entity).into_iter().filter(|(_, audience_of)| audience.has(audience_of));
        Ok(seen.map(|(field, _)| field).collect())
    }

    /// People whom a user of a directory may know, those with the strongest reason first, then by id; and whether a bound
    /// of the search was reached. Nobody who opted out, blocks or is blocked, or may not be found by this user is among them.
    ///
    /// # Errors
    /// `NotFound` and `Moved`; `Conflict` with code `not_a_directory`.
    pub fn suggestions(&self, tenant: &TenantName, id: EntityId, limit: usize) -> Result<(Vec<Suggestion>, bool)> {
        let view = self.view(tenant)?;
        let shard = view.shard();
        let user = live(shard, id)?;
        if shard.settings.discovery.users.is_none() {
            let reason =
                "only users of a directory get suggestions; name the system of its user ids in settings".into();
            return Err(Error::Conflict { code: "not_a_directory", reason, holder: None });
        }
        if shard.is_opted_out(user) || shard.is_restricted(user) {
            return Ok((Vec::new(), false));
        }
        let mut search = Suggesting { core: &self.core, shard, user, found: HashMap::new(), truncated: false };
        search.books();
        search.colleagues();
        Ok(search.finish(limit))
    }
}

/// To which audiences of one contact another belongs: what the contact's address book knows of it.
struct Audience {
    book: Option<Arc<Shard>>,
    known: Vec<EntityId>,
}

impl Audience {
    fn new(core: &Core, shard: &Shard, owner: &Entity, asker: &Entity) -> Self {
        let book = shard.book_of(owner).and_then(|name| core.book(shard, &name));
        let of = |book: &Arc<Shard>| identifiers(shard, asker).iter().flat_map(|one| holders(book, one)).collect();
        let known = book.as_ref().map(of).unwrap_or_default();
        Self { book, known }
    }

    fn has(&self, audience: &str) -> bool {
        let (Some(group), Some(book)) = (audience.strip_prefix("group:"), &self.book) else {
            return audience == "everyone" || audience == "contacts" && !self.known.is_empty();
        };
        let group = slug(group);
        let shows = |id: &EntityId| book.entity(*id).is_some_and(|entity| shown(book, entity, &group).is_some());
        self.known.iter().any(shows)
    }
}

/// A search for people whom a user may know.
struct Suggesting<'a> {
    core: &'a Core,
    shard: &'a Shard,
    user: &'a Entity,
    found: HashMap<EntityId, Vec<Reason>>,
    truncated: bool,
}

impl Suggesting<'_> {
    /// Whose book has this user, and whose has the same people.
    fn books(&mut self) {
        let mine = identifiers(self.shard, self.user);
        let friends = self.friends();
        let mut books: Vec<(&String, &EntityId)> = self.shard.consents.books().collect();
        books.sort_unstable();
        self.truncated |= books.len() > BOOKS_MAX;
        for (name, owner) in books.into_iter().take(BOOKS_MAX) {
            let Some(owner) = self.shard.resolve_id(*owner).filter(|id| *id != self.user.id) else { continue };
            let Some(book) = self.core.book(self.shard, name) else { continue };
            if mine.iter().any(|one| !holders(&book, one).is_empty()) {
                self.found.entry(owner).or_default().push(Reason::HasYou);
            }
            let has = |friend: &&(EntityId, Vec<Identifier>)| {
                friend.0 != owner && friend.1.iter().any(|one| !holders(&book, one).is_empty())
            };
            let shared = friends.iter().filter(has).count();
            if let Some(shared) = u32::try_from(shared).ok().filter(|shared| *shared > 0) {
                self.found.entry(owner).or_default().push(Reason::SharedContacts(shared));
            }
        }
    }

    /// The users in this user's own book whom everyone may find: that somebody else has one of them too gives nothing away.
    fn friends(&mut self) -> Vec<(EntityId, Vec<Identifier>)> {
        let Some(book) = self.shard.book_of(self.user).and_then(|name| self.core.book(self.shard, &name)) else {
            return Vec::new();
        };
        let mut seen = HashSet::new();
        let mut friends = Vec::new();
        let used = |entity: &&Arc<Entity>| is_live(entity) && !book.is_restricted(entity);
        for contact in book.entity_order.iter().filter_map(|id| book.entity(*id)).filter(used) {
            let users = identifiers(&book, contact).into_iter().flat_map(|one| holders(self.shard, &one));
            for user in users.collect::<Vec<_>>() {
                let Some(entity) = self.shard.entity(user).filter(|_| user != self.user.id && seen.insert(user)) else {
                    continue;
                };
                if self.shard.findable(entity) == Findable::Everyone {
                    friends.push((user, identifiers(self.shard, entity)));
                }
            }
            if friends.len() >= FRIENDS_MAX {
                self.truncated = true;
                break;
            }
        }
        friends
    }

    /// Who has mail at the same company, and names the same organisation there or elsewhere.
    fn colleagues(&mut self) {
        let shard = self.shard;
        let said = |slot: &u32| Some(shard.evidence(*slot)?.stored.put());
        let said: Vec<RecordPut> = self.user.members.iter().filter_map(said).collect();
        let domains: HashSet<String> = said.iter().flat_map(mail_domains).collect();
        let organization = said.iter().find_map(|put| organization_of(&put.normalized));
        let mut colleagues: Vec<(EntityId, Reason)> = Vec::new();
        for domain in &domains {
            let Some(posting) = shard.affiliations.get(mail_domain_key(domain)) else { continue };
            let slots: Vec<u32> = posting.entries().into_iter().map(|(slot, _)| slot).collect();
            self.truncated |= slots.len() > COLLEAGUES_MAX;
            let ids =
                slots.into_iter().take(COLLEAGUES_MAX).filter_map(|slot| shard.resolve_id(shard.slot(slot)?.entity?));
            colleagues.extend(ids.map(|id| (id, Reason::SameDomain)));
        }
        if let Some(wanted) = organization {
            let mut looked = 0;
            for slot in 0..shard.next_slot() {
                let Some(version) = shard.evidence(slot) else { continue };
                if organization_of(&version.stored.put().normalized).as_ref() == Some(&wanted) {
                    let id = shard.slot(slot).and_then(|at| shard.resolve_id(at.entity?));
                    colleagues.extend(id.map(|id| (id, Reason::SameOrganization)));
                    looked += 1;
                    if looked >= COLLEAGUES_MAX {
                        self.truncated = true;
                        break;
                    }
                }
            }
        }
        for (id, reason) in colleagues {
            let reasons = self.found.entry(id).or_default();
            if id != self.user.id && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }

    fn finish(self, limit: usize) -> (Vec<Suggestion>, bool) {
        let Self { core, shard, user, found, truncated } = self;
        let may = |id: EntityId| {
            let told = core.discoverable(shard, id, Some(user)) == Some(id);
            told && shard.entity(id).is_some_and(|other| !shard.is_blocked(user, other))
        };
        let all = found.into_iter().filter(|(id, reasons)| *id != user.id && !reasons.is_empty() && may(*id));
        let mut all: Vec<Suggestion> = all
            .map(|(contact, mut reasons)| {
                reasons.sort_unstable();
                Suggestion { contact, reasons }
            })
            .collect();
        all.sort_unstable_by(|a, b| strength(a).cmp(&strength(b)).then(a.contact.cmp(&b.contact)));
        let more = all.len() > limit;
        all.truncate(limit);
        (all, truncated || more)
    }
}

/// An order in which the strongest suggestion comes first.
fn strength(one: &Suggestion) -> (u8, u32) {
    match one.reasons.first() {
        Some(Reason::HasYou) => (0, 0),
        Some(Reason::SharedContacts(count)) => (1, u32::MAX - count),
        Some(Reason::SameDomain) => (2, 0),
        Some(Reason::SameOrganization) => (3, 0),
        None => (4, 0),
    }
}

/// The words of an organisation's name, without the name that it trades under.
fn organization_of(said: &crate::model::normalized::Normalized) -> Option<Vec<String>> {
    let organization = said.organization.as_ref()?;
    let words: Vec<String> = organization.tokens.iter().take_while(|word| *word != OTHER_NAME).cloned().collect();
    (!words.is_empty()).then_some(words)
}

/// What a tenant that keeps its contacts' users should note: contact and user.
pub(crate) fn users_to_note(
    core: &Core,
    book: &Shard,
    contacts: impl IntoIterator<Item = EntityId>,
) -> Vec<(EntityId, Option<EntityId>)> {
    let mut found = Vec::new();
    for id in contacts {
        let Some(entity) = book.entity(id).filter(|entity| is_live(entity)) else { continue };
        let user = core.directory_user(book, entity);
        if known_user(book, entity) != user {
            found.push((id, user));
        }
    }
    found
}

/// The live contacts of a book that carry an identifier of a directory's user, or that are known to be it.
pub(crate) fn contacts_of_user(book: &Shard, directory: &Shard, user: EntityId) -> Vec<EntityId> {
    let Some(entity) = directory.resolve_id(user).and_then(|id| directory.entity(id)) else { return Vec::new() };
    identifiers(directory, entity).iter().flat_map(|one| holders(book, one)).collect()
}
