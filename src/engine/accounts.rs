//! Businesses: what callers ask of them and the reads. The words for people hold: an account is to its records what a
//! contact is to its own. [`list`] finds them, [`matching`] says which one is asked about,
//! [`why`] what joined or did not join them.

mod list;
#[cfg(test)]
mod load;
mod matching;
mod why;

use std::sync::Arc;

use crate::engine::View;
pub use crate::engine::accounts::list::{AccountFilter, AccountHit};
pub use crate::engine::accounts::matching::{AccountCandidate, AccountMatch, AccountQuery};
pub use crate::engine::accounts::why::{AccountSide, AccountStep, AccountWhy};
use crate::engine::api::{Change, Decision, MergeEntry, Mode, Page, RecordHead, ReviewEntry};
use crate::engine::reader::history::{History, moment_at};
use crate::engine::reader::{cursor, page_limit};
use crate::error::{Error, Result};
pub use crate::formats::AccountRecord;
use crate::model::account::Business;
use crate::model::ids::{EntityId, MergeId, Millis, RecordId, RecordKey, ReviewId, Seq};
use crate::model::record::Fields;
use crate::resolve::account::{GoldenAccount, golden_account};
use crate::resolve::edit::versions;
pub use crate::resolve::relation::{Basis, Link, Said};
use crate::resolve::relation::{candidates, link, links, live_account};
use crate::store::apply::is_live;
use crate::store::shard::{Entity, FeedKind, Shard};
use crate::store::stored::Opened;

/// A change to businesses, or to who belongs to them.
#[derive(Clone, Debug)]
pub enum AccountCommand {
    /// Put records; each is decided on its own, in order.
    Upsert {
        /// The records.
        records: Vec<AccountRecord>,
        /// Merge or strict.
        mode: Mode,
        /// Decide and answer, but write nothing.
        dry_run: bool,
    },
    /// Say that accounts are one business.
    Merge {
        /// At least two.
        accounts: Vec<EntityId>,
        /// Whose id stays; missing: the oldest.
        survivor: Option<EntityId>,
        /// For the record.
        reason: Option<String>,
        /// Answer only.
        dry_run: bool,
    },
    /// Take records out of an account, for good.
    Split {
        /// From which.
        account: EntityId,
        /// Which records.
        records: Vec<RecordId>,
    },
    /// Answer a question about two accounts.
    Decide {
        /// Which.
        review: ReviewId,
        /// What.
        decision: Decision,
        /// Why.
        reason: Option<String>,
    },
    /// Edit an account by hand.
    Patch {
        /// Which.
        account: EntityId,
        /// What is set.
        set: Box<AccountRecord>,
        /// Every field that the patch names, set or null, as account records call them.
        touched: Vec<String>,
    },
    /// Soft delete.
    Delete(EntityId),
    /// Undo a soft delete.
    Restore(EntityId),
    /// A source's tombstone.
    DeleteRecord(RecordKey),
    /// Say that a person belongs to a business.
    Relate {
        /// The person.
        contact: EntityId,
        /// The business.
        account: EntityId,
        /// In which way.
        said: Said,
    },
    /// Take that back.
    Unrelate {
        /// The person.
        contact: EntityId,
        /// The business.
        account: EntityId,
    },
}

/// A golden account.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: EntityId,
    /// Its values.
    pub golden: GoldenAccount,
    /// Domains that another live account has too, since people judged the two different.
    pub shared: Vec<String>,
    /// Its records, oldest first.
    pub records: Vec<RecordHead>,
    /// Sources, sorted.
    pub sources: Vec<String>,
    /// Count of changes.
    pub version: u64,
    /// First seen.
    pub created_at: Millis,
    /// Last changed.
    pub updated_at: Millis,
    /// Source or actor of the last change.
    pub last_updated_by: String,
    /// Tenant's seq of the last change.
    pub seq: Seq,
    /// Soft-deleted.
    pub deleted: bool,
}

/// A record of a business in full.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRecordView {
    /// Its id, and when it was received last.
    pub head: RecordHead,
    /// What businesses share with people.
    pub fields: Fields,
    /// The rest.
    pub business: Business,
    /// The source's clock, if it told.
    pub source_updated_at: Option<Millis>,
    /// The source's version, if it told.
    pub version: Option<u64>,
}

impl View {
    fn accounts(&self) -> Option<&Shard> {
        self.shard().accounts.as_deref()
    }

    /// A golden account.
    ///
    /// # Errors
    /// `NotFound` with code `account_unknown`; `Moved` when it was merged away.
    pub fn account(&self, id: EntityId) -> Result<Account> {
        let entity = live_account(self.shard(), id)?;
        self.accounts().map(|accounts| self.dressed(accounts, entity)).ok_or(Error::Gone)
    }

    /// Where an account id leads; one that is unknown leads to itself.
    pub fn surviving_account(&self, id: EntityId) -> EntityId {
        self.accounts().and_then(|accounts| accounts.resolve_id(id)).unwrap_or(id)
    }

    /// An account as it was after an earlier event.
    ///
    /// # Errors
    /// `NotFound` when it did not exist then.
    pub fn account_as_of(&self, id: EntityId, seq: Seq) -> Result<Account> {
        let unknown = || Error::NotFound { code: "account_unknown", what: format!("account as of seq {}", seq.0) };
        let view = self.of(self.accounts().ok_or_else(unknown)?);
        let entity = view.shard().entity(id).ok_or_else(unknown)?;
        let moment = moment_at(entity, seq).filter(|moment| !moment.members.is_empty()).ok_or_else(unknown)?;
        let (sources, golden) = History::of(view.shard(), id).account_at(&moment.members, seq);
        let mut at = (**entity).clone();
        at.updated_at = moment.at;
        at.updated_seq = moment.seq;
        at.deleted = moment.kind == FeedKind::Deleted;
        Ok(self.dress_account(view.shard(), &at, golden, &sources))
    }

    /// The account's source records, oldest first, manual edits last.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn account_records(&self, id: EntityId) -> Result<Vec<AccountRecordView>> {
        let entity = live_account(self.shard(), id)?;
        let Some(accounts) = self.accounts() else { return Ok(Vec::new()) };
        let (sources, manual) = versions(accounts, entity);
        let view = |version: Opened| AccountRecordView {
            head: record_head(&version),
            business: version.business.as_ref().map(|of| of.business.clone()).unwrap_or_default(),
            source_updated_at: version.put.record.source_updated_at,
            version: version.put.record.version,
            fields: version.put.record.fields,
        };
        Ok(sources.into_iter().chain(manual).map(view).collect())
    }

    /// Every change of the account, oldest first. Fields have the names that they have for people: `organization` is the name,
    /// `company_domain` the domain.
    ///
    /// # Errors
    /// `NotFound` for an id that never was. A merged id tells its own history.
    pub fn account_history(&self, id: EntityId) -> Result<Vec<Change>> {
        let unknown = || Error::NotFound { code: "account_unknown", what: "account".into() };
        let accounts = self.accounts().ok_or_else(unknown)?;
        self.of(accounts).history(id).map_err(|_| unknown())
    }

    /// Merges of accounts, newest first.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn account_merges(&self, limit: usize, after: Option<&str>) -> Result<Page<MergeEntry>> {
        match self.accounts() {
            Some(accounts) => self.of(accounts).merges(limit, after),
            None => Ok(Page { items: Vec::new(), next: None, covered: None }),
        }
    }

    /// Whether a merge is one of accounts.
    pub fn is_account_merge(&self, id: MergeId) -> bool {
        self.shard().is_account_merge(id)
    }

    /// Questions about two accounts that wait for an answer, the oldest first.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn account_reviews(&self, limit: usize, after: Option<&str>) -> Result<Page<ReviewEntry>> {
        let (limit, start) = (page_limit(limit), cursor(after)?);
        let Some(accounts) = self.accounts() else { return Ok(Page { items: Vec::new(), next: None, covered: None }) };
        let mut open: Vec<_> = accounts.reviews.values().filter(|review| review.status.is_open()).collect();
        open.sort_unstable_by_key(|review| (review.seq, review.id));
        let end = start.saturating_add(limit);
        let next = (end < open.len()).then(|| end.to_string());
        let side = |slot: u32| accounts.slot(slot).and_then(|at| at.entity).unwrap_or(EntityId(0));
        let entry = |review: &Arc<crate::store::shard::Review>| ReviewEntry {
            review_id: review.id,
            left: side(review.slots.0),
            right: side(review.slots.1),
            pair: (review.pair.a, review.pair.b),
            score: review.pair.weight.probability(),
            reason: if review.vetoed { "veto" } else { "weak" },
            at: review.at,
            status: review.status.word(),
            value: 0.0,
            match_key: String::new(),
            assignee: review.assignee.clone(),
            note: review.note.clone(),
            answer: review.answer.clone(),
            explanation: None,
        };
        Ok(Page { items: open.into_iter().skip(start).take(limit).map(entry).collect(), next, covered: None })
    }

    /// The businesses of a person, by id.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn accounts_of(&self, contact: EntityId) -> Result<Vec<Link>> {
        let entity = crate::resolve::act::live(self.shard(), contact)?;
        Ok(links(self.shard(), entity, self.normalizer()))
    }

    /// A page of the people of a business, by id.
    ///
    /// # Errors
    /// `NotFound` and `Moved`; `Invalid` for a cursor that is not ours.
    pub fn contacts_of(&self, account: EntityId, limit: usize, after: Option<&str>) -> Result<Page<Link>> {
        let (limit, start) = (page_limit(limit), cursor(after)?);
        let mut all = candidates(self.shard(), live_account(self.shard(), account)?);
        all.retain(|contact| !self.shard().is_restricted_id(*contact));
        let mut page = Page { items: Vec::new(), next: None, covered: None };
        for (at, contact) in all.iter().enumerate().skip(start) {
            if let Ok(found) = link(self.shard(), *contact, account, self.normalizer()) {
                if page.items.len() == limit {
                    page.next = Some(at.to_string());
                    break;
                }
                page.items.push(found);
            }
        }
        Ok(page)
    }

    /// The link of a person and a business.
    ///
    /// # Errors
    /// `NotFound` and `Moved`; `NotFound` with code `relation_unknown`.
    pub fn relation(&self, contact: EntityId, account: EntityId) -> Result<Link> {
        link(self.shard(), contact, account, self.normalizer())
    }
}

impl View {
    fn dressed(&self, accounts: &Shard, entity: &Entity) -> Account {
        let (sources, _) = versions(accounts, entity);
        self.dress_account(accounts, entity, golden_account(accounts, entity, self.settings().into()), &sources)
    }

    fn dress_account(&self, accounts: &Shard, entity: &Entity, golden: GoldenAccount, sources: &[Opened]) -> Account {
        let mut names: Vec<String> = sources.iter().map(|version| version.put.record.key.source.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let domains = golden.domain_normalized.iter().chain(&golden.alternate_domains);
        let elsewhere = |domain: &&String| {
            holders(accounts, domain)
                .into_iter()
                .any(|id| id != entity.id && accounts.entity(id).is_some_and(|e| is_live(e)))
        };
        Account {
            id: entity.id,
            shared: domains.filter(elsewhere).cloned().collect(),
            golden,
            records: sources.iter().map(record_head).collect(),
            sources: names,
            version: entity.version,
            created_at: entity.created_at,
            updated_at: entity.updated_at,
            last_updated_by: entity.updated_by.to_string(),
            seq: entity.updated_seq,
            deleted: entity.deleted,
        }
    }
}

/// The live accounts that have a domain.
fn holders(accounts: &Shard, domain: &str) -> Vec<EntityId> {
    let Some(domain) = crate::normalize::domain::registrable(domain) else { return Vec::new() };
    let slots = accounts.holders(crate::index::account::domain_key(&domain)).into_iter();
    slots.filter_map(|(slot, _)| accounts.slot(slot)?.entity).collect()
}

fn record_head(version: &Opened) -> RecordHead {
    let put = &version.put;
    RecordHead { record_id: put.record_id, key: put.record.key.clone(), ingested_at: put.received_at }
}
