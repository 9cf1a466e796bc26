//! Groups, as callers see them: those that somebody put, and those that records name.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::engine::api::Page;
use crate::engine::reader::{View, page_limit};
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis};
use crate::resolve::edit::versions;
use crate::resolve::group;
use crate::store::apply::is_live;
use crate::store::groups::slug;

/// How many contacts show a group, and the way they write it.
type Shown = BTreeMap<String, (u64, String)>;

/// A group of contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Unique in the tenant.
    pub slug: String,
    /// What it is called; where nobody said so, the way records write it.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Live contacts that show it.
    pub contacts: u64,
    /// When it was put first. Missing: records name it and nobody put it.
    pub created_at: Option<Millis>,
    /// When it was put last.
    pub updated_at: Option<Millis>,
    /// Who did.
    pub updated_by: Option<String>,
}

impl View {
    /// The groups there are, by slug. Looks at every contact.
    pub fn groups(&self, limit: usize, cursor: Option<&str>) -> Page<GroupEntry> {
        let mut shown = self.shown_groups();
        for (slug, group) in self.shard().groups.iter().filter(|(_, group)| !group.is_gone()) {
            shown.entry(slug.clone()).or_insert_with(|| (0, group.name.clone()));
        }
        let limit = page_limit(limit);
        let mut rest = shown.into_iter().filter(|(slug, _)| cursor.is_none_or(|after| slug.as_str() > after));
        let items: Vec<GroupEntry> =
            rest.by_ref().take(limit).map(|(slug, (count, spelt))| self.group_entry(slug, count, spelt)).collect();
        let next = rest.next().and_then(|_| items.last().map(|last| last.slug.clone()));
        Page { items, next, covered: None }
    }

    /// One group. Looks at every contact.
    ///
    /// # Errors
    /// `NotFound` when nobody put it and no contact shows it, or when it was deleted.
    pub fn group(&self, slug: &str) -> Result<GroupEntry> {
        let shard = self.shard();
        let named = group::naming(shard, slug);
        let used = named.iter().filter(|entity| !shard.is_restricted(entity));
        let spelt: Vec<String> = used.filter_map(|entity| group::shown(shard, entity, slug)).collect();
        let known = shard.groups.get(slug);
        if known.is_some_and(crate::store::groups::Group::is_gone) || (known.is_none() && spelt.is_empty()) {
            return Err(Error::NotFound { code: "group_unknown", what: "group".into() });
        }
        let count = spelt.len() as u64;
        Ok(self.group_entry(slug.to_owned(), count, spelt.into_iter().min().unwrap_or_default()))
    }

    fn group_entry(&self, slug: String, contacts: u64, spelt: String) -> GroupEntry {
        let known = self.shard().groups.get(&slug);
        let changed = known.and_then(crate::store::groups::Group::changed);
        GroupEntry {
            slug,
            name: known.map_or(spelt, |group| group.name.clone()),
            description: known.and_then(|group| group.description.clone()),
            contacts,
            created_at: known.map(|group| group.created_at),
            updated_at: changed.map(|last| last.at),
            updated_by: changed.map(|last| last.actor.clone()),
        }
    }

    fn shown_groups(&self) -> Shown {
        let ids: Vec<EntityId> = self.shard().entity_order.iter().copied().collect();
        let add = |mut shown: Shown, (slug, count, spelt): (String, u64, String)| {
            let known = shown.entry(slug).or_insert_with(|| (0, spelt.clone()));
            known.0 += count;
            known.1 = known.1.clone().min(spelt);
            shown
        };
        let one = |shown: Shown, id: &EntityId| {
            let groups = self.groups_of(*id).into_iter().map(|name| (slug(&name), 1, name));
            groups.filter(|(slug, ..)| !slug.is_empty()).fold(shown, add)
        };
        let both = |a: Shown, b: Shown| b.into_iter().map(|(slug, (count, name))| (slug, count, name)).fold(a, add);
        ids.par_iter().fold(Shown::new, one).reduce(Shown::new, both)
    }

    /// What a contact shows; nothing is put together where no record names a group.
    fn groups_of(&self, id: EntityId) -> Vec<String> {
        let Some(entity) = self.shard().entity(id).filter(|entity| is_live(entity)) else { return Vec::new() };
        if self.shard().is_restricted(entity) {
            return Vec::new();
        }
        let (sources, manual) = versions(self.shard(), entity);
        let named = sources.iter().chain(&manual).any(|version| !version.put.record.fields.groups.is_empty());
        if named { self.golden_contact(entity).fields.groups } else { Vec::new() }
    }
}
