//! The audit trail: who did what to whom, read from the journal itself.
//!
//! The journal is a chain of digests over all frames ([`crate::journal::check`] verifies it), so what the trail shows cannot
//! be changed afterwards without that being seen. Erasure takes values out of frames and leaves the chain and the acts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::api::Page;
use crate::engine::erase::event_of;
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::journal::{self, Frame, Keyring, Located};
use crate::model::event::{Accessed, Acted, ApiKeyRevoked, ApiKeyRotated, Event, audit, kind_name};
use crate::model::ids::{EntityId, Millis, RecordId, TenantName};
use crate::resolve::erase::before;

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its frame's number in the journal: dense over all tenants.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// Who; missing: the server by itself.
    pub actor: Option<String>,
    /// What: the kind of the event.
    pub what: &'static str,
    /// More about what: `export` of reads, the id of an API key.
    pub detail: Option<String>,
    /// Contacts or accounts.
    pub contacts: Vec<EntityId>,
    /// Records.
    pub records: Vec<RecordId>,
    /// Its values were erased since.
    pub is_erased: bool,
}

impl Engine {
    /// The acts on a tenant behind a cursor, oldest first; those older than the tenant's `audit_days` are not shown.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is none; `Corrupt` and `Io` from the journal.
    pub fn audit(&self, tenant: &TenantName, after: Option<&str>, limit: usize) -> Result<Page<AuditEntry>> {
        let days = self.view(tenant).map_or(0, |view| view.settings().privacy.audit_days);
        let oldest = before(self.core.now(), days).unwrap_or(Millis(i64::MIN));
        self.audit_of(&self.numbers_of(tenant), oldest, after, limit)
    }

    /// The same of tenants by number, from a moment on.
    pub(in crate::engine) fn audit_of(
        &self,
        numbers: &[u64],
        oldest: Millis,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<AuditEntry>> {
        let wrong =
            || Error::invalid("after", "is no cursor of this list; send what next_cursor said, or leave it out");
        let after = after.map_or(Ok(0), |text| text.parse::<u64>().map_err(|_| wrong()))?;
        let mut items: Vec<AuditEntry> = Vec::new();
        let mut full = false;
        // What is appended meanwhile belongs to a later call; what is not synced yet must not be shown.
        let last = self.core.durable_seq.load(Ordering::Acquire);
        let (disk, dir) = (&*self.core.world.disk, self.core.options.data_dir.as_path());
        // Segments may have left; the trail begins with what there is then.
        let first = journal::segments_at_rest(disk, dir)?.first().map_or(1, |first| first.base_seq);
        let after = after.min(last).max(first.saturating_sub(1));
        let outcome = journal::dump(disk, dir, after, &mut |located| {
            let Located { frame, .. } = located;
            if frame.seq > last || items.len() >= limit {
                full = frame.seq <= last;
                return Err(Error::Busy { retry_after_ms: 0 });
            }
            if numbers.contains(&frame.tenant) {
                items.extend(entry(&frame, &self.core.keys)?.filter(|entry| entry.at >= oldest));
            }
            Ok(())
        });
        match outcome {
            Err(Error::Busy { .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
        let next = items.last().filter(|_| full).map(|entry| entry.seq.to_string());
        Ok(Page { items, next, covered: None })
    }

    /// The numbers that tenants of a name have or had: an erased one keeps its trail.
    pub(in crate::engine) fn numbers_of(&self, name: &TenantName) -> Vec<u64> {
        let graves = Arc::clone(&self.core.server.view.load_full().graves);
        let buried = graves.iter().filter(|gone| gone.name == name.as_str()).map(|gone| gone.tenant);
        let ended = lock(&self.core.ended);
        let ended = ended.iter().filter(|tenant| tenant.name == *name).map(|tenant| tenant.id.0);
        self.core.tenant(name).map(|tenant| tenant.id.0).into_iter().chain(ended).chain(buried).collect()
    }

    /// Notes that somebody read contacts.
    ///
    /// # Errors
    /// As every write. Whether the read goes on is the caller's choice.
    pub fn note_access(&self, tenant: &TenantName, what: &str, contacts: Vec<EntityId>, actor: &str) -> Result<()> {
        let tenant = self.known(tenant)?;
        let accessed = Accessed { what: what.to_owned(), contacts, at: self.core.now(), actor: actor.to_owned() };
        crate::engine::models::send_facts(self, &tenant, vec![Event::Accessed(accessed)])
    }
}

/// What an act was about that is neither a contact nor a record: the kind of a read, the id of an API key.
fn detail(event: Event) -> Option<String> {
    if let Event::Accessed(Accessed { what, .. }) | Event::Acted(Acted { what, .. }) = event {
        return Some(what);
    }
    if let Event::ApiKeyPut(put) = event {
        return Some(put.key_id);
    }
    if let Event::ApiKeyRotated(ApiKeyRotated { key_id, .. }) | Event::ApiKeyRevoked(ApiKeyRevoked { key_id, .. }) =
        event
    {
        return Some(key_id);
    }
    None
}

pub(in crate::engine) fn entry(frame: &Frame<'_>, keys: &Keyring) -> Result<Option<AuditEntry>> {
    let (seq, what, is_erased) = (frame.seq, kind_name(frame.kind), frame.is_erased());
    let bare = |at| AuditEntry {
        seq,
        at,
        actor: None,
        what,
        detail: None,
        contacts: Vec::new(),
        records: Vec::new(),
        is_erased,
    };
    let Some(event) = event_of(frame, keys)? else {
        return Ok(Some(AuditEntry { is_erased: true, ..bare(Millis(frame.group_ms)) }));
    };
    let Some(act) = audit::act(&event) else { return Ok(None) };
    let detail = detail(event);
    let at = act.at.unwrap_or(Millis(frame.group_ms));
    Ok(Some(AuditEntry { actor: act.actor, contacts: act.contacts, records: act.records, detail, ..bare(at) }))
}
