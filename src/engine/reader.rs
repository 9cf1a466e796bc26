//! Reads, on one immutable view from start to end. Nothing here waits for a writer. [`matching`] is "who is this?".

use std::sync::Arc;

use crate::discovery::tagged::is_tagged;
use crate::engine::Durability;
use crate::engine::api::{
    Change, Contact, FeedEntry, ListQuery, MergeEntry, Page, RecordHead, RecordView, Side, Stats, WhyAnswer,
};
use crate::error::{Error, Result};
use crate::formats::InputRecord;
use crate::matching::explain::{Explanation, explain};
use crate::matching::features::{email_key, phone_key};
use crate::matching::grade;
use crate::matching::score::{Scored, score};
use crate::model::ids::{EntityId, MergeId, Seq};
use crate::model::key::{KeyKind, Millibits};
use crate::model::record::Fields;
use crate::model::settings::Settings;
use crate::normalize::Normalizer;
use crate::resolve::act::live;
use crate::resolve::change::Change as Overlay;
use crate::resolve::edit::versions;
use crate::resolve::prepare::prepare_asked;
use crate::resolve::restrict::restricted;
use crate::resolve::survive::{Golden, Rules, golden};
use crate::store::fingerprint::fingerprint;
use crate::store::groups::slug;
use crate::store::shard::{Entity, FeedKind, Merge, Shard, Version};
use crate::store::stored::Opened;
use history::History;

mod conflicts;
pub(in crate::engine) mod groups;
pub(in crate::engine) mod history;
mod matching;
mod reviews;
pub(in crate::engine) mod subject;
mod validity;

/// Items of a page unless the caller says otherwise.
const PAGE: usize = 100;
/// Items of a page at most.
const PAGE_MAX: usize = 1000;

/// One tenant's state as of one seq. Cheap to clone.
#[derive(Clone)]
pub struct View {
    shard: Arc<Shard>,
    normalizer: Arc<Normalizer>,
    secret: [u8; 32],
    durability: Durability,
}

impl View {
    pub(crate) fn new(
        shard: Arc<Shard>,
        normalizer: Arc<Normalizer>,
        secret: [u8; 32],
        durability: Durability,
    ) -> Self {
        Self { shard, normalizer, secret, durability }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    pub(crate) fn normalizer(&self) -> &Arc<Normalizer> {
        &self.normalizer
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The same reads on another shard of the tenant, under the tenant's rules.
    pub(crate) fn of(&self, shard: &Shard) -> Self {
        let (settings, policies) = (Arc::clone(&self.shard.settings), Arc::clone(&self.shard.policies));
        let shard = Arc::new(Shard { settings, policies, ..shard.clone() });
        Self { shard, normalizer: Arc::clone(&self.normalizer), ..*self }
    }

    /// The tenant's settings.
    pub fn settings(&self) -> &Settings {
        &self.shard.settings
    }

    /// The last event that this view has seen.
    pub fn seq(&self) -> Seq {
        self.shard.seq
    }

    /// Digest of the whole state: equal states, equal digests. Walks everything.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.shard)
    }

    /// A golden contact.
    ///
    /// # Errors
    /// `NotFound`; `Moved` when it was merged away.
    pub fn contact(&self, id: EntityId) -> Result<Contact> {
        live(&self.shard, id).map(|entity| self.golden_with_validity(entity))
    }

    /// A contact as it was after an earlier event.
    ///
    /// # Errors
    /// `NotFound` when it did not exist then.
    pub fn contact_as_of(&self, id: EntityId, seq: Seq) -> Result<Contact> {
        let unknown = || Error::NotFound { code: "contact_unknown", what: format!("contact as of seq {}", seq.0) };
        let entity = self.shard.entity(id).ok_or_else(unknown)?;
        self.not_erased(id)?;
        let moment = history::moment_at(entity, seq).ok_or_else(unknown)?;
        if moment.members.is_empty() {
            return Err(unknown());
        }
        let (sources, golden) = History::of(&self.shard, id).golden_at(&moment.members, seq);
        let mut at = (**entity).clone();
        at.members = Arc::clone(&moment.members);
        at.updated_at = moment.at;
        at.updated_seq = moment.seq;
        at.deleted = moment.kind == FeedKind::Deleted;
        Ok(self.dress(&at, golden, &sources))
    }

    fn not_erased(&self, id: EntityId) -> Result<()> {
        if self.shard.is_erased(id) { Err(Error::Gone) } else { Ok(()) }
    }

    fn golden_contact(&self, entity: &Entity) -> Contact {
        let (sources, manual) = versions(&self.shard, entity);
        let golden = golden(&sources, &manual, Rules::of(&self.shard));
        self.dress(entity, golden, &sources)
    }

    /// The same, and how good its emails and phones are; its records are unpacked once for both.
    fn golden_with_validity(&self, entity: &Entity) -> Contact {
        let (sources, manual) = versions(&self.shard, entity);
        let golden = golden(&sources, &manual, Rules::of(&self.shard));
        let mut contact = self.dress(entity, golden, &sources);
        let all: Vec<&Opened> = sources.iter().chain(&manual).collect();
        contact.validity = self.validity(&contact, &all);
        contact
    }

    fn dress(&self, entity: &Entity, golden: Golden, sources: &[Opened]) -> Contact {
        let mut names: Vec<String> = sources.iter().map(|version| version.put.record.key.source.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        Contact {
            id: entity.id,
            canonical_name: golden.canonical_name,
            name_normalized: golden.name_normalized,
            shared: self.shared(entity, sources),
            fields: golden.fields,
            provenance: golden.provenance,
            left_out: golden.left_out,
            records: sources.iter().map(record_head).collect(),
            sources: names,
            version: entity.version,
            created_at: entity.created_at,
            updated_at: entity.updated_at,
            last_updated_by: entity.updated_by.to_string(),
            seq: entity.updated_seq,
            deleted: entity.deleted,
            restricted: self.shard.is_restricted(entity),
            validity: Default::default(),
        }
    }

    /// Emails and phones that records of other live contacts carry too.
    fn shared(&self, entity: &Entity, sources: &[Opened]) -> Vec<String> {
        let other = |slot: u32| {
            let elsewhere = self.shard.slot(slot).is_some_and(|at| at.entity != Some(entity.id));
            elsewhere && !self.shard.is_restricted_slot(slot)
        };
        let elsewhere = |key| self.shard.postings.get(key).is_some_and(|posting| posting.any(other));
        let mut shared: Vec<String> = Vec::new();
        for version in sources {
            let norm = &version.put.normalized;
            shared
                .extend(norm.emails.iter().filter(|e| elsewhere(email_key(&e.canonical))).map(|e| e.delivered.clone()));
            shared.extend(norm.phones.iter().filter(|p| elsewhere(phone_key(&p.e164))).map(|p| p.e164.clone()));
        }
        shared.retain(|value| !is_tagged(value));
        shared.sort_unstable();
        shared.dedup();
        shared
    }

    /// The contact's source records, manual edits last.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn records(&self, id: EntityId) -> Result<Vec<RecordView>> {
        let (sources, manual) = versions(&self.shard, live(&self.shard, id)?);
        Ok(sources.into_iter().chain(manual).map(record_view).collect())
    }

    /// Every change of the contact, oldest first.
    ///
    /// # Errors
    /// `NotFound` for an id that never was. A merged id tells its own history.
    pub fn history(&self, id: EntityId) -> Result<Vec<Change>> {
        let unknown = || Error::NotFound { code: "contact_unknown", what: "contact".into() };
        let entity = self.shard.entity(id).ok_or_else(unknown)?;
        self.not_erased(id)?;
        Ok(History::of(&self.shard, id).changes(entity))
    }

    /// The merges that built a contact, oldest first.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn how(&self, id: EntityId) -> Result<Vec<MergeEntry>> {
        live(&self.shard, id)?;
        let merges = self.shard.merge_order.iter().filter_map(|merge| self.shard.merges.get(merge));
        let mine = merges.filter(|merge| self.shard.resolve_id(merge.merged.survivor) == Some(id));
        Ok(mine.map(|merge| merge_entry(merge)).collect())
    }

    fn asked(&self, mut input: InputRecord) -> Asked {
        // A query without a key of its own must not meet the record that the same content was stored as.
        input.source_record_id.get_or_insert_with(|| "\u{1}asked".to_owned());
        let put = prepare_asked(input, &self.normalizer);
        let slot = self.shard.slot_of_key(&put.record.key).unwrap_or_else(|| self.shard.next_slot());
        let last_tokens = put.normalized.name.last_tokens.clone();
        let version = Arc::new(Version::asked(put, Seq(self.shard.seq.0 + 1), &self.shard.model));
        Asked { slot, version, last_tokens }
    }

    fn explain(&self, overlay: &Overlay<'_>, a: &Version, b: &Version) -> Explanation {
        let (read, other) = (a.stored.put().normalized, b.stored.put().normalized);
        explain(&self.shard.model, overlay, &a.features, &b.features, &read, &other)
    }

    fn grade(&self, scored: Scored) -> crate::matching::Grade {
        let settings = &self.shard.settings;
        let review = Millibits::from_probability(settings.review);
        grade(scored.weight, scored.veto, review, Millibits::from_probability(settings.auto))
    }

    /// Compares any two records, contacts or inline records in full.
    ///
    /// # Errors
    /// `NotFound` and `Moved` for ids.
    pub fn why(&self, left: &Side, right: &Side) -> Result<WhyAnswer> {
        let mut edits = Vec::new();
        let lefts = self.sides(left, &mut edits)?;
        let rights = self.sides(right, &mut edits)?;
        let overlay = Overlay::overlay(&self.shard, &edits);
        let pairs = lefts.iter().flat_map(|a| rights.iter().map(move |b| (a, b)));
        let scored = |a: &Version, b: &Version| score(&self.shard.model, &overlay, &a.features, &b.features);
        let best = pairs.max_by_key(|(a, b)| scored(&a.1, &b.1).weight);
        let (a, b) = best.ok_or_else(|| Error::NotFound { code: "record_unknown", what: "record".into() })?;
        let scored = scored(&a.1, &b.1);
        let shared = overlay.shared_live(&a.1, &b.1);
        let mut kinds: Vec<&'static str> = shared.iter().map(|(_, kind)| kind_word(*kind)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let contact = |slot: u32| self.shard.slot(slot).and_then(|at| at.entity);
        let same_contact = contact(a.0).is_some() && contact(a.0) == contact(b.0);
        let stored = |side: &(u32, Arc<Version>)| Some(side.1.stored.record_id).filter(|id| id.0 != 0);
        Ok(WhyAnswer {
            left: stored(a),
            right: stored(b),
            explanation: self.explain(&overlay, &a.1, &b.1),
            score: scored.weight.probability(),
            grade: self.grade(scored),
            candidate: !shared.is_empty(),
            shared_keys: kinds,
            same_contact,
            missing: self.missing(scored, !shared.is_empty(), same_contact),
        })
    }

    fn missing(&self, scored: Scored, candidate: bool, same_contact: bool) -> Vec<String> {
        let settings = &self.shard.settings;
        let mut missing = Vec::new();
        if !candidate {
            missing.push("they share no live key, so they were never candidates".to_owned());
        }
        if scored.veto {
            missing.push("evidence forbids it: contradicting generation, birthday or identity".to_owned());
        }
        let auto = Millibits::from_probability(settings.auto);
        if !same_contact && scored.weight < auto {
            let short = auto.bits() - scored.weight.bits();
            missing.push(format!("{short:.1} bits are missing to the automatic threshold of {:.2}", settings.auto));
        }
        missing
    }

    fn sides(&self, side: &Side, edits: &mut Vec<(u32, Option<Arc<Version>>)>) -> Result<Vec<(u32, Arc<Version>)>> {
        let unknown = || Error::NotFound { code: "record_unknown", what: "record".into() };
        match side {
            Side::Contact(id) => {
                let entity = live(&self.shard, *id)?;
                if self.shard.is_restricted(entity) {
                    return Err(restricted(*id));
                }
                let version = |slot: &u32| Some((*slot, Arc::clone(self.shard.evidence(*slot)?)));
                Ok(entity.members.iter().filter_map(version).collect())
            }
            Side::Record(id) => {
                let slot = self.shard.slot_of(*id).ok_or_else(unknown)?;
                let version = self.shard.evidence(slot).ok_or_else(unknown)?;
                if let Some(held) =
                    self.shard.slot(slot).and_then(|at| at.entity).filter(|_| self.shard.is_restricted_slot(slot))
                {
                    return Err(restricted(held));
                }
                Ok(vec![(slot, Arc::clone(version))])
            }
            Side::Inline(input) => {
                let mut asked = self.asked((**input).clone());
                asked.slot = self.shard.next_slot() + u32::try_from(edits.len()).unwrap_or(0);
                edits.push((asked.slot, Some(Arc::clone(&asked.version))));
                Ok(vec![(asked.slot, asked.version)])
            }
        }
    }

    /// Contacts that hold exactly this email or phone; `None` when the text is neither.
    pub(crate) fn find_identifier(&self, text: &str) -> Option<Vec<EntityId>> {
        let text = text.trim();
        let digits = text.chars().filter(char::is_ascii_digit).count();
        let phone = digits >= 7 && !text.chars().any(char::is_alphabetic);
        let mut fields = Fields::default();
        if text.contains('@') && !text.contains(char::is_whitespace) {
            fields.emails.push(crate::model::record::Email { value: text.to_owned(), ..Default::default() });
        } else if phone {
            fields.phones.push(crate::model::record::Phone { value: text.to_owned(), ..Default::default() });
        } else {
            return None;
        }
        let (norm, _) = self.normalizer.normalize(&fields);
        let emails = norm.emails.iter().map(|email| email_key(&email.canonical));
        let keys = emails.chain(norm.phones.iter().map(|phone| phone_key(&phone.e164)));
        let slots = keys.flat_map(|key| self.shard.holders(key));
        let mut ids: Vec<EntityId> = slots.filter_map(|(slot, _)| self.shard.slot(slot)?.entity).collect();
        ids.sort_unstable();
        ids.dedup();
        (!ids.is_empty() || phone || text.split_once('@').is_some_and(|(_, domain)| domain.contains('.')))
            .then_some(ids)
    }

    /// Whether a live contact passes the filters of a list.
    pub(crate) fn passes(&self, id: EntityId, query: &ListQuery) -> bool {
        let Some(entity) = self.shard.entity(id).filter(|entity| crate::store::apply::is_live(entity)) else {
            return false;
        };
        if self.shard.is_restricted(entity) {
            return false;
        }
        if query.updated_after.is_some_and(|after| entity.updated_at <= after) {
            return false;
        }
        if query.tag.is_none() && query.group.is_none() && query.source.is_none() {
            return true;
        }
        let contact = self.golden_contact(entity);
        let has = |list: &[String], wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| list.contains(wanted));
        let grouped = |wanted: &String| contact.fields.groups.iter().any(|group| slug(group) == slug(wanted));
        has(&contact.fields.tags, &query.tag)
            && query.group.as_ref().is_none_or(grouped)
            && has(&contact.sources, &query.source)
    }

    /// Live contacts, oldest first, filtered.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn list(&self, query: &ListQuery) -> Result<Page<Contact>> {
        let limit = page_limit(query.limit);
        let start = cursor(query.cursor.as_deref())?;
        let mut items = Vec::new();
        for (at, id) in self.shard.entity_order.iter_from(start).enumerate() {
            if self.passes(*id, query) {
                if items.len() == limit {
                    return Ok(Page { items, next: Some((start + at).to_string()), covered: None });
                }
                items.extend(self.contact(*id).ok());
            }
        }
        Ok(Page { items, next: None, covered: None })
    }

    /// What changed after a seq, oldest first.
    pub fn changes(&self, after: Seq, limit: usize) -> Page<FeedEntry> {
        let limit = page_limit(limit);
        let feed = &self.shard.feed;
        let (mut low, mut high) = (0, feed.len());
        while low < high {
            let middle = low.midpoint(high);
            if feed.get(middle).is_some_and(|entry| entry.seq <= after) { low = middle + 1 } else { high = middle }
        }
        let mut items: Vec<FeedEntry> = Vec::new();
        for entry in feed.iter_from(low) {
            // Entries of one event stay together, or a cursor between them would lose the rest.
            if items.len() >= limit && items.last().is_some_and(|last| last.seq != entry.seq) {
                break;
            }
            let (seq, kind, at) = (entry.seq, entry.kind.word(), entry.at);
            let of_accounts = entry.of_accounts;
            items.push(FeedEntry { seq, kind, contacts: entry.entities.clone(), of_accounts, at });
        }
        let more = low + items.len() < feed.len();
        let next = items.last().filter(|_| more).map(|last| last.seq.0.to_string());
        Page { items, next, covered: None }
    }

    /// Merges, newest first.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn merges(&self, limit: usize, after: Option<&str>) -> Result<Page<MergeEntry>> {
        let limit = page_limit(limit);
        let total = self.shard.merge_order.len();
        let start = cursor(after)?;
        let ids = self.shard.merge_order.iter().rev().skip(start).take(limit);
        let items: Vec<MergeEntry> =
            ids.filter_map(|id| self.shard.merges.get(id)).map(|merge| merge_entry(merge)).collect();
        let next = (start + limit < total).then(|| (start + limit).to_string());
        Ok(Page { items, next, covered: None })
    }

    /// One merge.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn merge(&self, id: MergeId) -> Result<MergeEntry> {
        let unknown = || Error::NotFound { code: "merge_unknown", what: "merge".into() };
        self.shard.merges.get(&id).map(|merge| merge_entry(merge)).ok_or_else(unknown)
    }

    /// Figures of the tenant. The fingerprint is left empty: it walks everything; see [`View::fingerprint`].
    pub fn stats(&self) -> Stats {
        let shard = &self.shard;
        Stats {
            contacts: shard.contacts_live,
            records: shard.records_live,
            accounts: shard.accounts.as_ref().map_or(0, |accounts| accounts.contacts_live),
            reviews_open: shard.reviews_open,
            model: shard.models.active,
            model_records_max: shard.model.records_max(),
            seq: shard.seq,
            durability: self.durability.to_string(),
            bytes: crate::store::size::bytes(shard),
            fingerprint: String::new(),
        }
    }

    /// Live contacts, oldest first, without the restricted ones.
    pub fn export_ids(&self) -> Vec<EntityId> {
        self.live_ids(|entity| !self.shard.is_restricted(entity))
    }

    /// Live contacts, oldest first, all of them.
    pub fn all_ids(&self) -> Vec<EntityId> {
        self.live_ids(|_| true)
    }

    fn live_ids(&self, wanted: impl Fn(&Entity) -> bool) -> Vec<EntityId> {
        let live = |id: &&EntityId| {
            self.shard.entity(**id).is_some_and(|entity| crate::store::apply::is_live(entity) && wanted(entity))
        };
        self.shard.entity_order.iter().filter(live).copied().collect()
    }
}

/// A query's record, laid over the shard.
struct Asked {
    slot: u32,
    version: Arc<Version>,
    /// Of its family name.
    last_tokens: Vec<String>,
}

fn kind_word(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Email => "email",
        KeyKind::Phone => "phone",
        KeyKind::ExternalId => "external_id",
        KeyKind::Handle => "handle",
        KeyKind::Domain => "domain",
        KeyKind::Narrow | KeyKind::Compound => "name",
    }
}

fn record_head(version: &Opened) -> RecordHead {
    let put = &version.put;
    RecordHead { record_id: put.record_id, key: put.record.key.clone(), ingested_at: put.received_at }
}

fn record_view(version: Opened) -> RecordView {
    let put = version.put;
    RecordView {
        record_id: put.record_id,
        key: put.record.key,
        ingested_at: put.received_at,
        fields: put.record.fields,
        source_updated_at: put.record.source_updated_at,
        version: put.record.version,
    }
}

pub(in crate::engine) fn merge_entry(merge: &Merge) -> MergeEntry {
    let merged = &merge.merged;
    MergeEntry {
        merge_id: merged.merge_id,
        survivor: merged.survivor,
        losers: vec![merged.loser],
        at: merge.at,
        actor: if merged.judgement.is_some() { merge.actor.clone() } else { "resolver".to_owned() },
        reason: merged.reason.clone(),
        weight_bits: merged.pair.as_ref().map(|pair| pair.weight.bits()),
        pair: merged.pair.as_ref().map(|pair| (pair.a, pair.b)),
        undone_at: merge.undone_at,
    }
}

pub(crate) fn page_limit(limit: usize) -> usize {
    if limit == 0 { PAGE } else { limit.min(PAGE_MAX) }
}

pub(crate) fn cursor(text: Option<&str>) -> Result<usize> {
    let bad = |_| Error::invalid("cursor", "is not one that an answer gave; leave it out to start anew");
    text.map_or(Ok(0), |text| text.parse().map_err(bad))
}
