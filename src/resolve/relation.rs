//! Relations between people and businesses: who belongs where, and why we say so.
//!
//! A link has one of three grounds, the strongest is told: somebody registered it (`manual`), a record of the person
//! names the account (`record`: our id, or the id under which the same source put the account), or the person has a mail
//! address at a domain of the account (`email_domain`). The last two are not stored: they are read off the records that
//! there are, so they follow every merge, edit and deletion by themselves. Free-mail domains never link anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::index::account::domain_key;
use crate::model::event::{Event, RelationDeleted, RelationPut};
use crate::model::ids::{EntityId, RecordKey};
use crate::normalize::Normalizer;
use crate::normalize::domain::registrable;
use crate::resolve::act::live;
use crate::resolve::edit::versions;
use crate::resolve::survive::golden;
use crate::resolve::upsert::{Now, Step};
use crate::store::apply::is_live;
use crate::store::relations::{account_id_key, mail_domain_key, mail_domains, named_account_key};
use crate::store::shard::{Entity, Shard};
use crate::store::stored::Opened;

/// Relations registered under one contact id, and under one account id, at most.
pub const RELATIONS_MAX: usize = 10_000;

/// Why a person and a business belong together, the strongest ground first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Somebody registered it.
    Manual,
    /// A record of the person names the account.
    Record,
    /// The person has a mail address at a domain of the account.
    EmailDomain,
}

impl Basis {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Record => "record",
            Self::EmailDomain => "email_domain",
        }
    }
}

/// A person and a business that belong together now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The person.
    pub contact: EntityId,
    /// The business.
    pub account: EntityId,
    /// Why.
    pub basis: Basis,
    /// What was registered; missing: nothing.
    pub put: Option<Arc<RelationPut>>,
    /// It is the person's main account: of those registered as such the last.
    pub primary: bool,
}

/// What somebody says of a person and a business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What the person is there.
    pub role: Option<String>,
    /// Since when.
    pub since: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// It is the person's main account.
    pub primary: bool,
}

/// A live account by an id that is not redirected.
///
/// # Errors
/// `NotFound` with code `account_unknown`; `Moved` for a merged one.
pub fn live_account(shard: &Shard, id: EntityId) -> Result<&Entity> {
    let unknown = || Error::NotFound { code: "account_unknown", what: "account".into() };
    let accounts = shard.accounts.as_deref().ok_or_else(unknown)?;
    live(accounts, id).map_err(|error| if matches!(error, Error::NotFound { .. }) { unknown() } else { error })
}

/// Registers that a person belongs to a business, or says something else of it. What changes nothing makes no event. One
/// that is there already, perhaps from before a merge, keeps the ids it hangs on, so that it goes back there with the undo.
///
/// # Errors
/// `NotFound` and `Moved` for both ends; `Conflict` when one of them has too many.
pub fn put(shard: &Shard, contact: EntityId, account: EntityId, said: &Said, now: Now<'_>) -> Result<Vec<Step>> {
    let holder = live(shard, contact)?;
    live_account(shard, account)?;
    let before = registered(shard, holder).remove(&account);
    if let Some(before) = &before
        && (&before.role, &before.since, &before.until, before.primary)
            == (&said.role, &said.since, &said.until, said.primary)
    {
        return Ok(Vec::new());
    }
    let relations = &shard.relations;
    let full = relations.of_contact(contact).len().max(relations.of_account(account).len()) >= RELATIONS_MAX;
    if before.is_none() && full {
        let reason = format!("a contact or account has at most {RELATIONS_MAX} relations; delete some");
        return Err(Error::Conflict { code: "relations_full", reason, holder: None });
    }
    let (contact, account) = before.map_or((contact, account), |before| (before.contact, before.account));
    let Said { role, since, until, primary } = said.clone();
    let put = RelationPut { contact, account, role, since, until, primary, at: now.at, actor: now.actor.to_owned() };
    Ok(vec![Step::Event(Event::RelationPut(put))])
}

/// Ends what was registered of a person and a business. Other grounds stay.
///
/// # Errors
/// `NotFound` and `Moved` for both ends; `NotFound` with code `relation_unknown` when nothing was registered.
pub fn delete(shard: &Shard, contact: EntityId, account: EntityId, now: Now<'_>) -> Result<Vec<Step>> {
    let holder = live(shard, contact)?;
    live_account(shard, account)?;
    let all = shard.ids_behind(holder).into_iter().flat_map(|id| shard.relations.of_contact(id));
    let gone = all.filter(|put| account_now(shard, put) == Some(account)).map(|put| {
        let (at, actor) = (now.at, now.actor.to_owned());
        Step::Event(Event::RelationDeleted(RelationDeleted { contact: put.contact, account: put.account, at, actor }))
    });
    let steps: Vec<Step> = gone.collect();
    if steps.is_empty() {
        return Err(unknown());
    }
    Ok(steps)
}

fn unknown() -> Error {
    Error::NotFound { code: "relation_unknown", what: "relation".into() }
}

/// The link of a person and a business.
///
/// # Errors
/// `NotFound` and `Moved` for both ends; `NotFound` with code `relation_unknown` when there is none.
pub fn link(shard: &Shard, contact: EntityId, account: EntityId, normalizer: &Normalizer) -> Result<Link> {
    let entity = live(shard, contact)?;
    live_account(shard, account)?;
    links(shard, entity, normalizer).into_iter().find(|link| link.account == account).ok_or_else(unknown)
}

/// The account that a relation is about now, if it is one that callers see.
fn account_now(shard: &Shard, put: &RelationPut) -> Option<EntityId> {
    let accounts = shard.accounts.as_deref()?;
    seen(accounts, accounts.resolve_id(put.account)?)
}

fn seen(shard: &Shard, id: EntityId) -> Option<EntityId> {
    shard.entity(id).filter(|entity| is_live(entity)).map(|entity| entity.id)
}

/// What was registered of a contact, by account; of several the one put last.
fn registered(shard: &Shard, contact: &Entity) -> BTreeMap<EntityId, Arc<RelationPut>> {
    let mut found: BTreeMap<EntityId, Arc<RelationPut>> = BTreeMap::new();
    if shard.relations.is_empty() {
        return found;
    }
    let order = |put: &RelationPut| (put.at, put.contact, put.account);
    for put in shard.ids_behind(contact).into_iter().flat_map(|id| shard.relations.of_contact(id)) {
        let Some(account) = account_now(shard, put) else { continue };
        let known = found.entry(account).or_insert_with(|| Arc::clone(put));
        if order(put) > order(known) {
            *known = Arc::clone(put);
        }
    }
    found
}

/// The businesses of a person, by id.
pub fn links(shard: &Shard, contact: &Entity, normalizer: &Normalizer) -> Vec<Link> {
    let Some(accounts) = shard.accounts.as_deref() else { return Vec::new() };
    let manual = registered(shard, contact);
    let main = manual.iter().filter(|(_, put)| put.primary).max_by_key(|(id, put)| (put.at, **id)).map(|(id, _)| *id);
    let mut found: BTreeMap<EntityId, Basis> = BTreeMap::new();
    let (named, domains) = said_by_records(shard, contact, normalizer);
    for domain in domains {
        let at = accounts.holders(domain_key(&domain)).into_iter().filter_map(|(slot, _)| accounts.slot(slot)?.entity);
        found.extend(at.filter_map(|id| seen(accounts, id)).map(|id| (id, Basis::EmailDomain)));
    }
    let named = named.into_iter().filter_map(|(source, text)| named_account(accounts, &source, &text));
    found.extend(named.map(|id| (id, Basis::Record)));
    found.extend(manual.keys().map(|id| (*id, Basis::Manual)));
    let link = |(account, basis): (EntityId, Basis)| {
        let (put, primary) = (manual.get(&account).cloned(), main == Some(account));
        Link { contact: contact.id, account, basis, put, primary }
    };
    found.into_iter().map(link).collect()
}

/// The account that a source means: by our id, or by its own.
fn named_account(accounts: &Shard, source: &str, text: &str) -> Option<EntityId> {
    let ours = text.parse().ok().and_then(|id| accounts.resolve_id(id));
    let theirs = || {
        let key = RecordKey { source: source.into(), source_record_id: text.into() };
        accounts.slot(accounts.slot_of_key(&key)?)?.entity
    };
    seen(accounts, ours.or_else(theirs)?)
}

/// The accounts that a contact's records name, each with the source that does, and the domains of its mail.
fn said_by_records(shard: &Shard, contact: &Entity, normalizer: &Normalizer) -> (Vec<(String, String)>, Vec<String>) {
    let (sources, manual) = versions(shard, contact);
    let source = |version: &Opened| version.put.record.key.source.to_string();
    let mut domains: Vec<String> = Vec::new();
    let mut named: Vec<(String, String)> = Vec::new();
    if manual.is_empty() {
        domains.extend(sources.iter().flat_map(|version| mail_domains(&version.put)));
        for version in &sources {
            let account = version.put.record.fields.account_id.as_deref().map(str::trim);
            named.extend(account.map(|account| (source(version), account.to_owned())));
        }
    } else {
        // Somebody edited the contact: what counts is what it shows.
        let shown = golden(&sources, &manual, (&*shard.settings).into());
        domains.extend(shown.fields.emails.iter().filter_map(|email| registrable(&email.value)));
        let from = shown.provenance.get("account_id").map(|from| from.source.clone()).unwrap_or_default();
        named.extend(shown.fields.account_id.map(|account| (from, account.trim().to_owned())));
    }
    domains.retain(|domain| !normalizer.is_free_mail(domain));
    (named, domains)
}

/// The contacts that may belong to a business, by id. Each one that does is among them; [`link`] tells whether one does.
pub fn candidates(shard: &Shard, account: &Entity) -> Vec<EntityId> {
    let Some(accounts) = shard.accounts.as_deref() else { return Vec::new() };
    let ids = accounts.ids_behind(account);
    let (domains, records) = (domains_of(accounts, account), versions(accounts, account).0);
    let named = records.iter().map(|version| {
        let key = &version.put.record.key;
        named_account_key(&key.source, &key.source_record_id)
    });
    let keys = domains.iter().map(|domain| mail_domain_key(domain));
    let keys = keys.chain(ids.iter().map(|id| account_id_key(*id))).chain(named);
    let slots = keys.flat_map(|key| shard.affiliations.get(key).map(|all| all.entries()).unwrap_or_default());
    let contact = |slot: u32| {
        let at = shard.slot(slot)?;
        at.entity.or_else(|| at.current.as_ref()?.stored.anchor())
    };
    let mut found: Vec<EntityId> = slots.filter_map(|(slot, _)| contact(slot)).collect();
    found.extend(ids.iter().flat_map(|id| shard.relations.of_account(*id)).map(|put| put.contact));
    let mut found: Vec<EntityId> =
        found.into_iter().filter_map(|id| shard.resolve_id(id)).filter_map(|id| seen(shard, id)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Every domain of an account, sorted.
fn domains_of(accounts: &Shard, account: &Entity) -> Vec<String> {
    let (records, _) = versions(accounts, account);
    let of = records.iter().filter_map(|version| version.business.as_deref());
    let mut domains: Vec<String> = of.flat_map(|of| of.business.domains.iter().cloned()).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}
