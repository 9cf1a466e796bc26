//! Finding accounts: lists by filters, and what a search looks up exactly.

use super::holders;
use crate::engine::View;
use crate::engine::accounts::Account;
use crate::engine::api::Page;
use crate::engine::reader::{cursor, page_limit};
use crate::error::Result;
use crate::model::ids::{EntityId, Millis};
use crate::model::record::{Fields, Phone};
use crate::normalize::domain::registrable;
use crate::resolve::account::golden_account;
use crate::store::apply::is_live;
use crate::store::shard::{Entity, Shard};

/// Filters of a list or a search of accounts. What is missing does not filter.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// Has this domain, main or alternate.
    pub domain: Option<String>,
    /// Has this tag.
    pub tag: Option<String>,
    /// Has a record of this source.
    pub source: Option<String>,
    /// Changed after this time.
    pub updated_after: Option<Millis>,
    /// At most, 1 to 1,000. 0: as many as usual.
    pub limit: usize,
    /// Where the last page ended: opaque.
    pub cursor: Option<String>,
}

/// An account that a search found.
#[derive(Clone, Debug)]
pub struct AccountHit {
    /// The account.
    pub account: Account,
    /// `(field, text with <em>)`.
    pub highlights: Vec<(String, String)>,
}

/// Digits from which a text may be a phone number.
const PHONE_DIGITS_MIN: usize = 7;

impl View {
    /// Live accounts, oldest first, filtered.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not ours.
    pub fn account_list(&self, filter: &AccountFilter) -> Result<Page<Account>> {
        let (limit, start) = (page_limit(filter.limit), cursor(filter.cursor.as_deref())?);
        let mut page = Page { items: Vec::new(), next: None, covered: None };
        let Some(accounts) = self.accounts() else { return Ok(page) };
        let wanted = filter.domain.as_deref().map(|domain| holders(accounts, domain));
        for (at, id) in accounts.entity_order.iter_from(start).enumerate() {
            let Some(entity) = accounts.entity(*id).filter(|entity| is_live(entity)) else { continue };
            let elsewhere = wanted.as_ref().is_some_and(|wanted| !wanted.contains(id));
            if elsewhere || !self.has_all(accounts, entity, filter) {
                continue;
            }
            if page.items.len() == limit {
                page.next = Some((start + at).to_string());
                return Ok(page);
            }
            page.items.push(self.dressed(accounts, entity));
        }
        Ok(page)
    }

    /// Whether a live account passes the filters.
    pub(crate) fn account_passes(&self, id: EntityId, filter: &AccountFilter) -> bool {
        let Some(accounts) = self.accounts() else { return false };
        let entity = accounts.entity(id).filter(|entity| is_live(entity));
        let has_domain = || filter.domain.as_deref().is_none_or(|domain| holders(accounts, domain).contains(&id));
        entity.is_some_and(|entity| has_domain() && self.has_all(accounts, entity, filter))
    }

    /// The filters but for the domain.
    fn has_all(&self, accounts: &Shard, entity: &Entity, filter: &AccountFilter) -> bool {
        if filter.updated_after.is_some_and(|after| entity.updated_at <= after) {
            return false;
        }
        let from = |source: &String| {
            let of = entity.members.iter().filter_map(|slot| accounts.slot(*slot)?.current.as_deref());
            of.into_iter().any(|version| *version.stored.key.source == **source)
        };
        let tagged = |tag: &String| {
            let golden = golden_account(accounts, entity, self.settings().into());
            golden.shared.fields.tags.contains(tag)
        };
        filter.source.as_ref().is_none_or(from) && filter.tag.as_ref().is_none_or(tagged)
    }

    /// Accounts that hold exactly this domain or phone; `None` when the text is neither, or a domain that nobody holds.
    /// Phones are no keys of accounts, so theirs are looked at one by one.
    pub(crate) fn find_account_identifier(&self, text: &str) -> Option<Vec<EntityId>> {
        let accounts = self.accounts()?;
        let text = text.trim();
        if text.contains('.') && !text.contains(char::is_whitespace) && registrable(text).is_some() {
            let ids = holders(accounts, text);
            return (!ids.is_empty()).then(|| in_order(ids));
        }
        let digits = text.chars().filter(char::is_ascii_digit).count();
        if digits < PHONE_DIGITS_MIN || text.chars().any(char::is_alphabetic) {
            return None;
        }
        let phones = vec![Phone { value: text.to_owned(), ..Phone::default() }];
        let (read, _) = self.normalizer().normalize(&Fields { phones, ..Fields::default() });
        let wanted = read.phones.into_iter().next()?.e164;
        let has = |slot: &&crate::store::shard::Slot| {
            let phones = slot.current.iter().flat_map(|version| version.stored.put().normalized.phones);
            phones.into_iter().any(|phone| phone.e164 == wanted)
        };
        Some(in_order(accounts.slots.iter().filter(has).filter_map(|slot| slot.entity).collect()))
    }
}

/// By id, each once.
fn in_order(mut ids: Vec<EntityId>) -> Vec<EntityId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}
