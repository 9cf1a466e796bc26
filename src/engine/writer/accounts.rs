//! Deciding what is asked of businesses: the same acts as on people, on the shard of the accounts.

use std::sync::Arc;

use super::{Deciding, invalid, prepare_accounts};
use crate::engine::accounts::{AccountCommand, AccountRecord};
use crate::engine::api::{Answer, Decision, UpsertResult};
use crate::error::{Error, Result};
use crate::model::ids::EntityId;
use crate::model::issue::Issue;
use crate::model::settings::Settings;
use crate::resolve::act::{self, Act};
use crate::resolve::edit::MANUAL_SOURCE;
use crate::resolve::edit::account::edit_account;
use crate::resolve::prepare::Prepared;
use crate::resolve::relation;
use crate::resolve::remark::{RESERVED, remark};
use crate::resolve::upsert::{self, Now, Step};
use crate::store::shard::Shard;

/// Account records with what was read of them under which settings.
pub(crate) struct PreparedAccounts {
    pub(super) records: Vec<AccountRecord>,
    pub(super) prepared: Vec<Prepared>,
    pub(super) settings: Arc<Settings>,
    pub(super) strict: bool,
    pub(super) dry_run: bool,
}

impl Deciding<'_> {
    pub(super) fn upsert_accounts(&mut self, upsert: &PreparedAccounts, now: Now<'_>) -> Answer {
        let anew;
        let same = Arc::ptr_eq(&upsert.settings, &self.shard.settings) || *upsert.settings == *self.shard.settings;
        let prepared = if same {
            &upsert.prepared
        } else {
            anew = prepare_accounts(self.core, self.tenant, &upsert.records, &self.shard.settings.clone());
            &anew
        };
        Answer::Upserted(prepared.iter().map(|one| self.upsert_account(one, upsert.strict, now)).collect())
    }

    pub(super) fn upsert_account(&mut self, prepared: &Prepared, strict: bool, now: Now<'_>) -> UpsertResult {
        if let Some(issue) = refused_account(prepared) {
            return invalid(issue);
        }
        let (accounts, core) = (self.shard.accounts(), self.core);
        let decided = upsert::decide(&accounts, prepared, strict, now, &mut || core.new_id());
        // A state that nobody else holds is changed in place.
        drop(accounts);
        let steps = of_accounts(decided.steps);
        self.upserted(upsert::Decided { steps, ..decided })
    }

    pub(super) fn account(&mut self, command: &AccountCommand, now: Now<'_>) -> Result<Answer> {
        let (accounts, core) = (self.shard.accounts(), self.core);
        let mut new_id = || core.new_id();
        match command {
            AccountCommand::Merge { accounts: ids, survivor, reason, dry_run } => {
                let act = act::merge(&accounts, ids, *survivor, reason.as_deref(), now, &mut new_id);
                let act = of(act)?;
                let merge_id = act.merge.filter(|_| !dry_run);
                let mut ids = self.act(act).into_iter();
                let survivor = ids.next().ok_or_else(|| Error::invalid("account_ids", "nothing to merge"))?;
                Ok(Answer::Merged { merge_id, survivor, losers: ids.collect() })
            }
            AccountCommand::Split { account, records } => {
                let act = of(act::split(&accounts, *account, records, now, &mut new_id))?;
                Ok(Answer::Parts(self.act(act)))
            }
            AccountCommand::Decide { review, decision, reason } => {
                let number = number(*decision);
                let act = act::decide(&accounts, *review, number, reason.as_deref(), now, &mut new_id);
                Ok(Answer::Done(self.act(of(act)?)))
            }
            AccountCommand::Patch { account, set, touched } => {
                let normalizer = self.tenant.normalizer(&self.shard.settings.clone());
                let edit = edit_account(&accounts, *account, set, touched, &normalizer).map_err(about_accounts)?;
                self.upsert_account(&edit, false, now);
                Ok(Answer::Contact(*account))
            }
            AccountCommand::Delete(account) => self.mark_account(&accounts, *account, true, now),
            AccountCommand::Restore(account) => self.mark_account(&accounts, *account, false, now),
            AccountCommand::DeleteRecord(key) => {
                let unknown = || Error::NotFound { code: "record_unknown", what: "record".into() };
                let decided = upsert::withdraw(&accounts, key, now, &mut new_id).ok_or_else(unknown)?;
                self.act(Act { steps: of_accounts(decided.steps), ..Act::default() });
                Ok(Answer::Done(decided.affected))
            }
            AccountCommand::Relate { contact, account, said } => {
                let steps = relation::put(self.shard, *contact, *account, said, now)?;
                self.act(Act { steps, ..Act::default() });
                Ok(Answer::Contact(*contact))
            }
            AccountCommand::Unrelate { contact, account } => {
                let steps = relation::delete(self.shard, *contact, *account, now)?;
                self.act(Act { steps, ..Act::default() });
                Ok(Answer::Contact(*contact))
            }
            AccountCommand::Upsert { .. } => Err(Error::invalid("command", "upserts are prepared before they queue")),
        }
    }

    /// Undoes a merge of accounts.
    pub(super) fn undo_account_merge(&mut self, merge: crate::model::ids::MergeId, now: Now<'_>) -> Result<Answer> {
        let (accounts, core) = (self.shard.accounts(), self.core);
        let act = of(act::undo(&accounts, merge, now, &mut || core.new_id()))?;
        Ok(Answer::Parts(self.act(act)))
    }

    fn mark_account(&mut self, accounts: &Shard, id: EntityId, deleted: bool, now: Now<'_>) -> Result<Answer> {
        let act = of(act::mark(accounts, id, deleted, now))?;
        self.act(act);
        Ok(Answer::Contact(id))
    }

    /// Why a contact record is refused, if the tenant takes no free mail and it has some.
    pub(super) fn refused_for_free_mail(&self, prepared: &Prepared) -> Option<Issue> {
        if !self.shard.settings.refuse_free_mail {
            return None;
        }
        let normalizer = self.tenant.normalizer(&self.shard.settings);
        let emails = &prepared.record.fields.emails;
        let at = emails.iter().position(|email| normalizer.is_free_mail(&email.value))?;
        let message = "a mail address at a free-mail provider, which this tenant refuses; send a business address, leave \
                       it out, or set refuse_free_mail to false";
        Some(Issue::new(format!("emails[{at}]"), "free_mail_refused", message))
    }
}

/// Why an account record is refused: it would take the place of an edit by hand, or nothing that can be read of it says
/// which business it is about.
pub(super) fn refused_account(prepared: &Prepared) -> Option<Issue> {
    if prepared.anchor.is_some() {
        return None;
    }
    if *prepared.record.key.source == *MANUAL_SOURCE {
        return Some(remark(RESERVED, "source"));
    }
    let business = prepared.business.as_ref()?;
    let read = &prepared.normalized;
    let identified = !business.names.is_empty() || !business.domains.is_empty();
    if identified || !read.phones.is_empty() || !read.external_ids.is_empty() {
        return None;
    }
    let fields = &prepared.record.fields;
    let field =
        if fields.company_domain.is_some() || !business.alternate_domains.is_empty() { "domain" } else { "name" };
    let message = "nothing says which business this is: it has no readable name, phone or external id, and no domain of its own \
                   (free-mail providers and sites that host others' pages do not count); send its name or its own domain";
    Some(Issue::new(field, "account_unidentified", message))
}

/// An act on the shard of the accounts, as one of the tenant.
fn of(act: Result<Act>) -> Result<Act> {
    act.map(|act| Act { steps: of_accounts(act.steps), ..act }).map_err(about_accounts)
}

/// Steps decided on the shard of the accounts, as steps of the tenant.
fn of_accounts(steps: Vec<Step>) -> Vec<Step> {
    let turn = |step: Step| match step {
        Step::Event(event) => Step::Event(event.of_accounts()),
        put @ Step::Put(_) => put,
    };
    steps.into_iter().map(turn).collect()
}

/// An error of an act on people, said of businesses.
#[expect(clippy::wildcard_enum_match_arm, reason = "only errors that name contacts are said otherwise")]
fn about_accounts(error: Error) -> Error {
    match error {
        Error::NotFound { code: "contact_unknown", .. } => {
            Error::NotFound { code: "account_unknown", what: "account".into() }
        }
        Error::Invalid { field, reason } => {
            let field = if field == "contact_ids" { "account_ids".to_owned() } else { field };
            Error::Invalid { field, reason: reason.replace("contact_ids", "account_ids").replace("contact", "account") }
        }
        Error::Conflict { code, reason, holder } => {
            Error::Conflict { code, reason: reason.replace("contact", "account"), holder }
        }
        other => other,
    }
}

fn number(decision: Decision) -> u8 {
    match decision {
        Decision::Same => 0,
        Decision::Different => 1,
        Decision::Unsure => 2,
    }
}
