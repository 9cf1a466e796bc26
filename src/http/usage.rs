//! Which fields callers filter and ask by: counts since the start, for the minimisation report. They say how often, never
//! what was asked or by whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::engine::api::ListQuery;
use crate::model::ids::TenantName;
use crate::model::record::Fields;

/// Tenants that are counted at most; the others have no counts.
const TENANTS_MAX: usize = 10_000;
/// The fields that a caller can filter or ask by.
const FIELDS: [&str; 16] = [
    "name",
    "first_name",
    "last_name",
    "nickname",
    "emails",
    "phones",
    "organization",
    "job_title",
    "company_domain",
    "addresses",
    "birthday",
    "gender",
    "social",
    "external_ids",
    "tags",
    "groups",
];

/// One tenant's counts.
#[derive(Debug, Default)]
struct Counts {
    asked: [AtomicU64; FIELDS.len()],
    shown: AtomicU64,
}

/// The counts of all tenants. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    tenants: Arc<DashMap<TenantName, Arc<Counts>>>,
}

/// What was counted of a tenant.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// How often each field was filtered or asked by.
    pub(super) asked: BTreeMap<&'static str, u64>,
    /// How often a contact was shown.
    pub(super) shown: u64,
}

impl Usage {
    fn of(&self, tenant: &TenantName) -> Option<Arc<Counts>> {
        if let Some(counts) = self.tenants.get(tenant) {
            return Some(Arc::clone(counts.value()));
        }
        let room = self.tenants.len() < TENANTS_MAX;
        room.then(|| Arc::clone(self.tenants.entry(tenant.clone()).or_default().value()))
    }

    /// Counts that somebody asked by these fields.
    pub(super) fn asked(&self, tenant: &TenantName, fields: &[&str]) {
        let Some(counts) = self.of(tenant) else { return };
        for (name, count) in FIELDS.iter().zip(&counts.asked) {
            if fields.contains(name) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts contacts that were shown.
    pub(super) fn shown(&self, tenant: &TenantName, contacts: usize) {
        if let Some(counts) = self.of(tenant) {
            counts.shown.fetch_add(contacts as u64, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub(super) fn used(&self, tenant: &TenantName) -> Used {
        let Some(counts) = self.tenants.get(tenant).map(|counts| Arc::clone(counts.value())) else {
            return Used::default();
        };
        let asked = FIELDS.iter().zip(&counts.asked).map(|(name, count)| (*name, count.load(Ordering::Relaxed)));
        Used { asked: asked.collect(), shown: counts.shown.load(Ordering::Relaxed) }
    }
}

/// The fields that an asked record says something in.
pub(super) fn fields_of(fields: &Fields) -> Vec<&'static str> {
    let said = [
        ("name", fields.name.is_some()),
        ("first_name", fields.first_name.is_some()),
        ("last_name", fields.last_name.is_some()),
        ("nickname", fields.nickname.is_some()),
        ("emails", !fields.emails.is_empty()),
        ("phones", !fields.phones.is_empty()),
        ("organization", fields.organization.is_some()),
        ("job_title", fields.job_title.is_some()),
        ("company_domain", fields.company_domain.is_some()),
        ("addresses", !fields.addresses.is_empty()),
        ("birthday", fields.birthday.is_some()),
        ("gender", fields.gender.is_some()),
        ("social", !fields.social.is_empty()),
        ("external_ids", !fields.external_ids.is_empty()),
    ];
    said.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

/// The fields that a list is filtered by.
pub(super) fn filters_of(query: &ListQuery) -> Vec<&'static str> {
    let given = [("tags", query.tag.is_some()), ("groups", query.group.is_some())];
    given.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

/// A count in coarse words: what exactly callers do is nobody's business.
pub(super) fn coarse(count: u64) -> &'static str {
    match count {
        0 => "never",
        1..=9 => "a few times",
        10..=999 => "often",
        _ => "very often",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_a_tenants_own() {
        let usage = Usage::default();
        let (a, b) = (TenantName::parse("a").unwrap(), TenantName::parse("b").unwrap());
        usage.asked(&a, &["tags", "emails"]);
        usage.asked(&a, &["tags"]);
        usage.shown(&a, 3);
        let used = usage.used(&a);
        assert_eq!((used.asked["tags"], used.asked["emails"], used.asked["phones"], used.shown), (2, 1, 0, 3));
        assert!(usage.used(&b).asked.is_empty());
        assert_eq!([0, 1, 10, 1_000].map(coarse), ["never", "a few times", "often", "very often"]);
    }
}
