//! What is held about a person outside of the tenant's state (audit trail, import reports), and what a tenant holds of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use serde_json::Value;

use crate::engine::audit::{AuditEntry, entry};
use crate::engine::import::{self, ImportReport};
pub use crate::engine::reader::subject::{
    Subject, SubjectChange, SubjectDiscovery, SubjectJudgement, SubjectRecord, SubjectReview, SubjectVersion,
    SubjectWebhook,
};
use crate::engine::{Engine, View};
use crate::error::{Error, Result};
use crate::formats::json::RecordInput;
use crate::journal::{self, Located};
use crate::model::event::RecordPut;
use crate::model::ids::{EntityId, Millis, RecordId, TenantName};
pub use crate::store::privacy::{Check, CheckKind, Moment};
use crate::store::shard::{Shard, Version};

/// Acts that one search of the audit trail finds at most.
const ACTS_MAX: usize = 10_000;
/// Import reports that are searched at most, the latest first.
const REPORTS_MAX: usize = 200;
/// Lines of one report that are named at most.
const LINES_MAX: usize = 100;
/// Keys of attributes that are counted apart at most; the rest counts as `attributes`.
const ATTRIBUTE_KEYS_MAX: usize = 200;

/// An import that brought records of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportAbout {
    /// The import.
    pub report: ImportReport,
    /// Lines of the file that its report names with one of the person's ids, from 1.
    pub lines: Vec<u64>,
}

/// One field and who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldHeld {
    /// Records that say something there now.
    pub records: u64,
    /// When the oldest and the newest of them were received.
    pub oldest: Option<Millis>,
    /// See `oldest`.
    pub newest: Option<Millis>,
}

impl FieldHeld {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.newest = self.newest.into_iter().chain(other.newest).max();
    }
}

/// What a tenant holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Fields of people's records, by the contract's name; attributes key by key (`attributes.score`).
    pub fields: BTreeMap<String, FieldHeld>,
    /// The same of businesses' records.
    pub account_fields: BTreeMap<String, FieldHeld>,
    /// Records by source, people and businesses together.
    pub sources: BTreeMap<String, u64>,
    /// Live contacts that are restricted.
    pub restricted: u64,
    /// Contacts that are soft-deleted.
    pub deleted: u64,
    /// Erasures so far, and those of which files may still hold something.
    pub erasures: (u64, u64),
}

/// Counts by field and by source.
#[derive(Default)]
struct Counted {
    fields: BTreeMap<String, FieldHeld>,
    sources: BTreeMap<String, u64>,
}

impl Counted {
    fn one(mut self, version: &Version) -> Self {
        let put = version.stored.put();
        *self.sources.entry(put.record.key.source.to_string()).or_default() += 1;
        let held = FieldHeld { records: 1, oldest: Some(put.received_at), newest: Some(put.received_at) };
        for field in said(&put) {
            let known = self.fields.len() < ATTRIBUTE_KEYS_MAX || self.fields.contains_key(&field);
            let field = if known { field } else { "attributes".to_owned() };
            self.fields.entry(field).or_default().add(&held);
        }
        self
    }

    fn and(mut self, other: Self) -> Self {
        for (field, held) in other.fields {
            self.fields.entry(field).or_default().add(&held);
        }
        for (source, count) in other.sources {
            *self.sources.entry(source).or_default() += count;
        }
        self
    }

    fn of(shard: &Shard) -> Self {
        let slots = (0..shard.next_slot()).into_par_iter();
        let current = slots.filter_map(|slot| shard.slot(slot)?.current.as_deref());
        current.fold(Self::default, Self::one).reduce(Self::default, Self::and)
    }
}

/// The fields that a record says something in.
fn said(put: &RecordPut) -> Vec<String> {
    let input = RecordInput::from_fields(&put.record.fields);
    let Ok(Value::Object(map)) = serde_json::to_value(&input) else { return Vec::new() };
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let mut found = Vec::new();
    for (field, value) in map.into_iter().filter(|(_, value)| !empty(value)) {
        match value {
            Value::Object(keys) if field == "attributes" => {
                found.extend(keys.into_iter().map(|(key, _)| format!("attributes.{key}")));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                found.push(field)
            }
        }
    }
    found.retain(|field| field != "source" && field != "source_record_id");
    found
}

impl View {
    /// What the tenant holds of whom. Walks everything.
    pub fn holdings(&self) -> Holdings {
        let shard = self.shard();
        let people = Counted::of(shard);
        let businesses = shard.accounts.as_deref().map(Counted::of).unwrap_or_default();
        let mut sources = people.sources;
        for (source, count) in businesses.sources {
            *sources.entry(source).or_default() += count;
        }
        let contacts = || shard.entities.values().filter(|one| one.redirect.is_none() && !one.members.is_empty());
        let erasures = shard.erasures.all().len() as u64;
        Holdings {
            fields: people.fields,
            account_fields: businesses.fields,
            sources,
            restricted: contacts().filter(|one| shard.is_restricted(one)).count() as u64,
            deleted: contacts().filter(|one| one.deleted).count() as u64,
            erasures: (erasures, shard.erasures.pending().count() as u64),
        }
    }

    /// Identifiers of a contact's records that others can be asked about: the record, the identifier, whether it is an
    /// email (its domain then) and what was found out so far. Restricted and deleted contacts have none.
    pub fn askable(&self, contact: EntityId) -> Vec<Askable> {
        let shard = self.shard();
        let live = shard.entity(contact).filter(|one| crate::store::apply::is_live(one) && !shard.is_restricted(one));
        let Some(entity) = live else { return Vec::new() };
        let versions = entity.members.iter().filter_map(|slot| shard.evidence(*slot));
        let mut found = Vec::new();
        for version in versions {
            let (record, normalized) = (version.stored.record_id, version.stored.put().normalized);
            let known = |identifier: &str| {
                let checks = shard.privacy.checks(record).iter().filter(|one| one.identifier == identifier);
                checks.map(|one| (one.kind, one.at)).collect()
            };
            let emails = normalized.emails.iter().filter(|email| email.valid);
            found.extend(emails.map(|email| Askable {
                record,
                identifier: email.canonical.clone(),
                domain: Some(email.domain.clone()),
                known: known(&email.canonical),
            }));
            let phones = normalized.phones.iter().filter(|phone| phone.valid);
            found.extend(phones.map(|phone| Askable {
                record,
                identifier: phone.e164.clone(),
                domain: None,
                known: known(&phone.e164),
            }));
        }
        found
    }
}

/// An identifier that others can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Askable {
    /// Whose.
    pub record: RecordId,
    /// The identifier.
    pub identifier: String,
    /// The domain of an email; missing: it is a phone number.
    pub domain: Option<String>,
    /// What was asked, and when.
    pub known: Vec<(CheckKind, Millis)>,
}

impl Engine {
    /// The acts about a person, oldest first, with only the person's ids in them; true when there are more.
    ///
    /// # Errors
    /// `Corrupt` and `Io` from the journal.
    pub fn audit_about(
        &self,
        tenant: &TenantName,
        contacts: &[EntityId],
        records: &[RecordId],
    ) -> Result<(Vec<AuditEntry>, bool)> {
        let (contacts, records): (BTreeSet<_>, BTreeSet<_>) = (contacts.iter().collect(), records.iter().collect());
        self.acts(tenant, |mut entry| {
            entry.contacts.retain(|id| contacts.contains(id));
            entry.records.retain(|id| records.contains(id));
            let about = !entry.contacts.is_empty() || !entry.records.is_empty();
            let all = entry.contacts.is_empty() && entry.detail.as_deref() == Some("export");
            (about || all).then_some(entry)
        })
    }

    /// The exports of a tenant that the audit trail knows, oldest first; true when there are more.
    ///
    /// # Errors
    /// As [`Engine::audit_about`].
    pub fn audited_reads(&self, tenant: &TenantName) -> Result<(Vec<AuditEntry>, bool)> {
        self.acts(tenant, |entry| entry.detail.is_some().then_some(entry))
    }

    /// Reads the trail from its beginning and keeps what is wanted of it.
    fn acts(
        &self,
        tenant: &TenantName,
        mut wanted: impl FnMut(AuditEntry) -> Option<AuditEntry>,
    ) -> Result<(Vec<AuditEntry>, bool)> {
        let (numbers, mut items, mut full) = (self.numbers_of(tenant), Vec::new(), false);
        let last = self.core.durable_seq.load(Ordering::Acquire);
        let (disk, dir) = (&*self.core.world.disk, self.core.options.data_dir.as_path());
        let first = journal::segments_at_rest(disk, dir)?.first().map_or(1, |first| first.base_seq);
        let outcome = journal::dump(disk, dir, first.saturating_sub(1).min(last), &mut |located| {
            let Located { frame, .. } = located;
            full = frame.seq <= last && items.len() >= ACTS_MAX;
            if frame.seq > last || full {
                return Err(Error::Busy { retry_after_ms: 0 });
            }
            if numbers.contains(&frame.tenant) {
                items.extend(entry(&frame, &self.core.keys)?.and_then(&mut wanted));
            }
            Ok(())
        });
        match outcome {
            Err(Error::Busy { .. }) | Ok(_) => Ok((items, full)),
            Err(error) => Err(error),
        }
    }

    /// The imports whose reports name one of a person's ids, the latest first; true when there are reports that were not
    /// looked at.
    ///
    /// # Errors
    /// `Io` and `Corrupt` from the disk.
    pub fn imports_about(&self, tenant: &TenantName, contacts: &[EntityId]) -> Result<(Vec<ImportAbout>, bool)> {
        let wanted: BTreeSet<String> = contacts.iter().map(ToString::to_string).collect();
        let all = import::list(self, tenant)?;
        let more = all.len() > REPORTS_MAX;
        let mut found = Vec::new();
        for report in all.into_iter().take(REPORTS_MAX).filter(|report| report.entity == "contacts") {
            let text = match import::report(self, tenant, report.import_id) {
                Ok(text) => text,
                // It was removed for its age meanwhile.
                Err(Error::NotFound { .. } | Error::Gone) => continue,
                Err(error) => return Err(error),
            };
            let lines = lines_about(&text, &wanted);
            if !lines.is_empty() {
                found.push(ImportAbout { report, lines });
            }
        }
        Ok((found, more))
    }

    /// Whether what is written from now on is sealed.
    pub fn is_sealed(&self) -> bool {
        self.core.options.encryption
    }

    /// How long the journal's segments stay, in days; `None`: for ever.
    pub fn journal_days(&self) -> Option<u64> {
        self.core.options.journal_keep.map(|keep| keep.as_secs() / (24 * 3600))
    }
}

/// The numbers of a report's lines that name one of the ids: its columns are line, outcome, id, issues.
fn lines_about(text: &[u8], wanted: &BTreeSet<String>) -> Vec<u64> {
    let text = String::from_utf8_lossy(text);
    let number = |line: &str| {
        let mut cells = line.split(',');
        let number: u64 = cells.next()?.parse().ok()?;
        cells.nth(1).filter(|id| wanted.contains(*id)).map(|_| number)
    };
    text.lines().filter_map(number).take(LINES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_report_are_found_by_id() {
        let text = b"line,outcome,contact_id,issues\n2,created,a-1,\n3,merged,b-2,\"emails: x, y\"\n4,updated,a-1,\n";
        let wanted = |id: &str| [id.to_owned()].into();
        assert_eq!(lines_about(text, &wanted("a-1")), [2, 4]);
        assert_eq!(lines_about(text, &wanted("b-2")), [3]);
        assert!(lines_about(text, &wanted("issues")).is_empty() && lines_about(text, &wanted("contact_id")).is_empty());
    }
}
