//! Which account is this? The asked record is laid over the view, so that the decision is that of an upsert.

use std::sync::Arc;

use crate::engine::View;
use crate::engine::accounts::{Account, AccountRecord};
use crate::engine::api::Verdict;
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis, RecordId, Seq};
use crate::model::key::Millibits;
use crate::resolve::change::{AccountEvidence, Outlook, account_evidence, account_outlook};
use crate::resolve::prepare::prepare_account;
use crate::store::apply::is_live;
use crate::store::shard::{Shard, Version};

/// "Which account is this?"
#[derive(Clone, Debug)]
pub struct AccountQuery {
    /// The business asked about.
    pub asked: AccountRecord,
    /// Candidates at most, 1 to 100. 0: 10.
    pub limit: usize,
    /// Candidates below this are left out, 0 to 1.
    pub threshold: f64,
    /// Accounts to leave out.
    pub exclude: Vec<EntityId>,
}

/// An account that may be the one asked about.
#[derive(Clone, Debug)]
pub struct AccountCandidate {
    /// The account.
    pub account: Account,
    /// Its best record.
    pub record_id: RecordId,
    /// How sure it is, 0 to 1.
    pub score: f64,
    /// The same name and place, but other domains: they never join by themselves.
    pub conflict: bool,
    /// What its best record and the asked one say of each other.
    pub evidence: Option<AccountEvidence>,
}

/// The answer to a match of accounts.
#[derive(Clone, Debug)]
pub struct AccountMatch {
    /// What an upsert would decide.
    pub decision: Verdict,
    /// Best first.
    pub candidates: Vec<AccountCandidate>,
    /// A bound cut candidates off.
    pub truncated: bool,
}

/// Candidates of an answer unless the caller says otherwise.
const LIMIT: usize = 10;
/// Candidates of an answer at most.
const LIMIT_MAX: usize = 100;

impl View {
    /// Which account is this?
    ///
    /// # Errors
    /// `Invalid` for a threshold out of range.
    pub fn match_account(&self, query: &AccountQuery) -> Result<AccountMatch> {
        if !(0.0..=1.0).contains(&query.threshold) {
            return Err(Error::invalid("threshold", "must be a probability, 0 to 1"));
        }
        let accounts = self.shard().accounts();
        let (slot, version) = self.asked_account(&accounts, query.asked.clone());
        let (outlook, mut hits) = account_outlook(&accounts, slot, &version);
        hits.sort_by_key(|hit| (std::cmp::Reverse(hit.weight), hit.slot));
        let mut found: Vec<(EntityId, AccountCandidate)> = Vec::new();
        for hit in hits.iter().filter(|hit| hit.weight.probability() >= query.threshold) {
            let entity = accounts.slot(hit.slot).and_then(|at| at.entity).and_then(|id| accounts.entity(id));
            let Some(entity) = entity.filter(|entity| is_live(entity) && !query.exclude.contains(&entity.id)) else {
                continue;
            };
            if found.iter().all(|(known, _)| *known != entity.id) {
                let record_id = accounts.slot(hit.slot).map_or(RecordId(0), |at| at.record_id);
                let account = self.dressed(&accounts, entity);
                let score = hit.weight.max(Millibits(0)).probability();
                let evidence = accounts.evidence(hit.slot).and_then(|of| account_evidence(&version, of));
                let conflict = hit.conflict;
                found.push((entity.id, AccountCandidate { account, record_id, score, conflict, evidence }));
            }
        }
        let limit = if query.limit == 0 { LIMIT } else { query.limit.min(LIMIT_MAX) };
        let truncated = found.len() > limit;
        let candidates = found.into_iter().take(limit).map(|(_, candidate)| candidate).collect();
        let decision = match outlook {
            Outlook::Joins => Verdict::Match,
            Outlook::Asks => Verdict::Review,
            Outlook::Alone => Verdict::NoMatch,
        };
        Ok(AccountMatch { decision, candidates, truncated })
    }

    /// A record that is only asked about, and the slot it would have.
    pub(super) fn asked_account(&self, accounts: &Shard, mut asked: AccountRecord) -> (u32, Arc<Version>) {
        // A query without a key of its own must not meet the record that the same content was stored as.
        asked.record.source_record_id.get_or_insert_with(|| "\u{1}asked".to_owned());
        let prepared = prepare_account(asked, self.normalizer(), self.secret());
        let slot = accounts.slot_of_key(&prepared.record.key).unwrap_or_else(|| accounts.next_slot());
        let business = prepared.business.clone().unwrap_or_default();
        let version = Version::of_account(
            &prepared.put(RecordId(0), Millis(0), "", false),
            business,
            Seq(accounts.seq.0 + 1),
            &accounts.model,
        );
        (slot, Arc::new(version))
    }
}
