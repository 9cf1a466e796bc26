//! The naive model of one tenant, what sources say in it, and reading it back through the views that callers use.

use std::collections::{BTreeMap, BTreeSet};

use selfsame::engine::View;
use selfsame::engine::accounts::AccountFilter;
use selfsame::engine::api::{Answer, Outcome};
use selfsame::formats::{AccountInput, AccountRecord, InputRecord};
use selfsame::model::ids::{EntityId, RecordKey, Seq};

use super::Checked;
use crate::properties::key;
use crate::simulate::Dice;

/// What one tenant must hold, as far as the model knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub people: BTreeMap<usize, u64>,
    pub firms: BTreeMap<usize, u64>,
    pub groups: BTreeMap<usize, u64>,
    /// Thousandths of the `auto` threshold; 0: never set.
    pub auto: u64,
}

/// A command as the model sees it.
#[derive(Clone, Debug)]
pub enum Deed {
    People(Vec<(usize, u64)>),
    NoPerson(usize),
    Firms(Vec<(usize, u64)>),
    NoFirm(usize),
    Group(usize, u64),
    NoGroup(usize),
    Auto(u64),
    /// Nothing that the book knows of.
    Other,
}

impl Book {
    pub fn apply(&mut self, deed: &Deed) {
        let put = |book: &mut BTreeMap<usize, u64>, said: &[(usize, u64)]| {
            for (key, version) in said {
                let stored = book.entry(*key).or_default();
                *stored = (*stored).max(*version);
            }
        };
        match deed {
            Deed::People(said) => put(&mut self.people, said),
            Deed::Firms(said) => put(&mut self.firms, said),
            Deed::NoPerson(key) => drop(self.people.remove(key)),
            Deed::NoFirm(key) => drop(self.firms.remove(key)),
            Deed::Group(slug, name) => drop(self.groups.insert(*slug, *name)),
            Deed::NoGroup(slug) => drop(self.groups.remove(slug)),
            Deed::Auto(auto) => self.auto = *auto,
            Deed::Other => {}
        }
    }

    /// Whether an answer is the one that the book foretells. Applies the deed on the way.
    pub fn answer(&mut self, deed: &Deed, answer: &Answer) -> Checked {
        if let (Deed::People(said), Answer::Upserted(results)) = (deed, answer) {
            ensure!(said.len() == results.len(), "{} results for {} records", results.len(), said.len());
            for ((key, version), result) in said.iter().zip(results) {
                let stored = self.people.get(key).copied();
                let fits = match stored.map(|stored| stored.cmp(version)) {
                    // One that was withdrawn and comes back counts as updated.
                    None => !matches!(result.outcome, Outcome::Stale | Outcome::Unchanged | Outcome::Invalid),
                    Some(std::cmp::Ordering::Greater) => result.outcome == Outcome::Stale,
                    Some(std::cmp::Ordering::Equal) => result.outcome == Outcome::Unchanged,
                    Some(std::cmp::Ordering::Less) => {
                        matches!(result.outcome, Outcome::Updated | Outcome::Merged | Outcome::Review)
                    }
                };
                ensure!(fits, "r{key} v{version} over {stored:?} was answered {:?}", result.outcome);
                self.apply(&Deed::People(vec![(*key, *version)]));
            }
            return Ok(());
        }
        self.apply(deed);
        Ok(())
    }

    /// Whether "not found" is the right answer.
    pub fn may_be_missing(&self, deed: &Deed) -> bool {
        match deed {
            Deed::NoPerson(key) => !self.people.contains_key(key),
            Deed::NoFirm(key) => !self.firms.contains_key(key),
            Deed::NoGroup(slug) => !self.groups.contains_key(slug),
            Deed::Other => true,
            Deed::People(_) | Deed::Firms(_) | Deed::Group(..) | Deed::Auto(_) => false,
        }
    }
}

/// What a source says of a record in one version: always the same.
pub fn said(key: usize, version: u64) -> InputRecord {
    let mut dice = Dice((key as u64) << 32 | version);
    let mut said = dice.said();
    (said.key, said.version) = (key, version);
    said.record()
}

pub fn firm(key: usize, version: u64) -> AccountRecord {
    let mut dice = Dice((key as u64) << 40 | version);
    let json = serde_json::json!({
        "source": "erp", "source_record_id": format!("f{key}"), "version": version,
        "name": dice.pick(&["Acme Ltd", "Acme Limited", "Globex Corp", "Initech"]),
        "domain": format!("firm{}.com", dice.below(5)),
        "industry": format!("industry {version}"),
    });
    let input: AccountInput = serde_json::from_value(json).unwrap();
    input.into_checked("erp").unwrap()
}

pub fn firm_key(key: usize) -> RecordKey {
    RecordKey { source: "erp".into(), source_record_id: format!("f{key}").into() }
}

pub fn slug(number: usize) -> String {
    format!("club-{number}")
}

/// What a tenant holds, read through the views that callers use. Refuses a record that says what no source said.
pub fn observe(view: &View) -> Checked<Book> {
    let mut book = Book::default();
    for id in contact_ids(view) {
        for record in view.records(id).unwrap_or_default() {
            if &*record.key.source == "manual" {
                continue;
            }
            let number =
                record.key.source_record_id.trim_start_matches('r').parse().map_err(|_| "an unknown record")?;
            let version = record.version.ok_or("a record without its version")?;
            ensure!(record.key == key(number), "{:?} was never sent", record.key);
            ensure!(record.fields == said(number, version).fields, "r{number} v{version} says something else");
            ensure!(book.people.insert(number, version).is_none(), "r{number} is in two contacts");
        }
    }
    ensure!(view.stats().records == book.people.len() as u64, "{} records counted: {book:?}", view.stats().records);
    let all = AccountFilter { limit: 1000, ..AccountFilter::default() };
    for account in view.account_list(&all).map_err(|error| error.to_string())?.items {
        for record in view.account_records(account.id).map_err(|error| error.to_string())? {
            let number =
                record.head.key.source_record_id.trim_start_matches('f').parse().map_err(|_| "an unknown firm")?;
            let version = record.version.ok_or("an account record without its version")?;
            ensure!(record.fields == firm(number, version).record.fields, "f{number} v{version} says something else");
            ensure!(book.firms.insert(number, version).is_none(), "f{number} is in two accounts");
        }
    }
    for number in 0..4 {
        if let Ok(group) = view.group(&slug(number)) {
            book.groups.insert(number, group.name.trim_start_matches("Club ").parse().map_err(|_| "an unknown name")?);
        }
    }
    let auto = (view.settings().auto * 1000.0).round() as u64;
    book.auto = if auto == 900 { 0 } else { auto };
    Ok(book)
}

pub fn contact_ids(view: &View) -> BTreeSet<EntityId> {
    let mut ids: BTreeSet<EntityId> = view.export_ids().into_iter().collect();
    let mut after = Seq(0);
    loop {
        let page = view.changes(after, 1000);
        let Some(last) = page.items.last() else { return ids };
        after = last.seq;
        ids.extend(page.items.iter().filter(|entry| !entry.of_accounts).flat_map(|entry| entry.contacts.clone()));
    }
}
