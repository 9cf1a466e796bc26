//! How good a contact's emails and phones are, as its records carry them and as others said when they were asked.

use std::collections::BTreeMap;

use super::View;
use crate::engine::api::Contact;
use crate::normalize::validity::{Asked, Said, Validity, email, phone};
use crate::store::stored::Opened;

impl View {
    /// Of every email and phone that a contact shows, by the value as shown. `all` is what its records and edits say.
    pub(super) fn validity(&self, contact: &Contact, all: &[&Opened]) -> BTreeMap<String, Validity> {
        let mut found = BTreeMap::new();
        for shown in &contact.fields.emails {
            let known = all.iter().flat_map(|version| &version.put.normalized.emails);
            let Some(norm) = known.clone().find(|one| one.delivered == shown.value) else { continue };
            let records = known.filter(|one| one.canonical == norm.canonical).count();
            let said = Said { verified: shown.verified, confidence: shown.confidence, records };
            found.insert(shown.value.clone(), email(norm, said, self.asked_of(all, &norm.canonical)));
        }
        for shown in &contact.fields.phones {
            let known = all.iter().flat_map(|version| &version.put.normalized.phones);
            let Some(norm) = known.clone().find(|one| one.e164 == shown.value) else { continue };
            let records = known.filter(|one| one.e164 == norm.e164).count();
            let said = Said { verified: shown.verified, confidence: shown.confidence, records };
            found.insert(shown.value.clone(), phone(norm, said, self.asked_of(all, &norm.e164)));
        }
        found
    }

    /// What others said about an identifier: the latest of each check, by check.
    fn asked_of(&self, versions: &[&Opened], identifier: &str) -> Vec<Asked> {
        let mut found: BTreeMap<&'static str, Asked> = BTreeMap::new();
        let checks = versions.iter().flat_map(|version| self.shard.privacy.checks(version.put.record_id));
        for one in checks.filter(|one| one.identifier == identifier) {
            let asked = Asked { check: one.kind.word(), good: one.good, detail: one.detail.clone(), at: one.at };
            if found.get(asked.check).is_none_or(|known| known.at < asked.at) {
                found.insert(asked.check, asked);
            }
        }
        found.into_values().collect()
    }
}
