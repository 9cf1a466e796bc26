//! Who may be found by whom: policies, blocks, sharing, suggestions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::api::Policy;
use crate::engine::consent::{DiscoveryState, Reason, Suggestion};
use crate::error::{Error, Result};
use crate::http::wire::time;
use crate::http::wire::write::WriteBody;
use crate::model::event::consent::{BASES, Findable};
use crate::model::event::{BlockSet, Consent, PolicySet};
use crate::model::ids::{Millis, TenantName};
use crate::model::survivorship;

/// Bytes of the actor of a consent.
const ACTOR_BYTES_MAX: usize = 255;
/// Bytes of an audience.
const AUDIENCE_BYTES_MAX: usize = 134;

/// Says who may find a contact of a directory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRequest {
    /// `nobody`, `mutual` (those whom this person has in the own address book) or `everyone`.
    policy: String,
    /// The tenant that is this person's address book; its settings must name this directory. Missing: none.
    book: Option<String>,
    /// What it rests on; required where `settings.discovery.consent_required`, except for `nobody`.
    consent: Option<ConsentBody>,
    /// Makes a retry return the first answer, for 24 hours.
    idempotency_key: Option<String>,
}

/// What a person agreed to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentBody {
    /// `consent`, `contract`, `legal_obligation`, `vital_interests`, `public_task` or `legitimate_interests`: GDPR article
    /// 6(1).
    basis: String,
    /// Who gave or recorded it, 1 to 255 bytes.
    actor: String,
    /// When it was given, RFC 3339, not in the future.
    at: String,
}

impl WriteBody for PolicyRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl PolicyRequest {
    /// The policy; `now` is the server's time.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub(crate) fn checked(self, now: Millis) -> Result<Policy> {
        let policy = Findable::from_word(&self.policy)
            .ok_or_else(|| Error::invalid("policy", "must be nobody, mutual or everyone"))?;
        if self.book.as_ref().is_some_and(|name| TenantName::parse(name).is_none()) {
            return Err(Error::invalid("book", "must be the name of a tenant: 1 to 63 of a-z, 0-9, _ and -"));
        }
        Ok(Policy { policy, book: self.book, consent: self.consent.map(|consent| consent.checked(now)).transpose()? })
    }
}

impl ConsentBody {
    fn checked(self, now: Millis) -> Result<Consent> {
        if !BASES.contains(&self.basis.as_str()) {
            return Err(Error::invalid("consent.basis", format!("must be one of {}", BASES.join(", "))));
        }
        if !(1..=ACTOR_BYTES_MAX).contains(&self.actor.len()) {
            return Err(Error::invalid("consent.actor", format!("must have 1 to {ACTOR_BYTES_MAX} bytes")));
        }
        let at: jiff::Timestamp = self
            .at
            .parse()
            .map_err(|_| Error::invalid("consent.at", "must be an RFC 3339 time, for example 2026-01-27T10:00:00Z"))?;
        let at = Millis(at.as_millisecond());
        // A minute, for clocks that differ.
        if at.0 > now.0.saturating_add(60_000) {
            return Err(Error::invalid("consent.at", "is in the future"));
        }
        Ok(Consent { basis: self.basis, actor: self.actor, at })
    }
}

impl From<&Consent> for ConsentBody {
    fn from(consent: &Consent) -> Self {
        Self { basis: consent.basis.clone(), actor: consent.actor.clone(), at: time(consent.at) }
    }
}

/// Who may find a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyOut {
    /// The contact.
    contact_id: String,
    /// What counts now, through merges and opt-out: `nobody`, `mutual` or `everyone`.
    policy: String,
    /// The tenant that is this person's address book.
    book: Option<String>,
    /// The consent said last.
    consent: Option<ConsentBody>,
    /// When the person left discovery and suggestions for good.
    opted_out_at: Option<String>,
    /// All that was said, oldest first.
    history: Vec<PolicySaid>,
    /// The tenant's seq.
    pub(crate) seq: u64,
}

/// What was said once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicySaid {
    /// `nobody`, `mutual` or `everyone`.
    policy: String,
    /// The address book.
    book: Option<String>,
    /// What it rested on.
    consent: Option<ConsentBody>,
    /// When it was said.
    at: String,
    /// Who said it.
    actor: String,
}

impl From<&Arc<PolicySet>> for PolicySaid {
    fn from(set: &Arc<PolicySet>) -> Self {
        Self {
            policy: set.policy.word().to_owned(),
            book: set.book.clone(),
            consent: set.consent.as_ref().map(ConsentBody::from),
            at: time(set.at),
            actor: set.actor.clone(),
        }
    }
}

impl PolicyOut {
    pub(crate) fn new(state: &DiscoveryState, seq: u64) -> Self {
        let history: Vec<PolicySaid> = state.history.iter().map(PolicySaid::from).collect();
        Self {
            contact_id: state.contact.to_string(),
            policy: state.policy.word().to_owned(),
            book: state.book.clone(),
            consent: state.history.last().and_then(|set| set.consent.as_ref()).map(ConsentBody::from),
            opted_out_at: state.opted_out_at.map(time),
            history,
            seq,
        }
    }
}

/// One contact blocks another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockOut {
    /// Who does not want to be seen.
    contact_id: String,
    /// By whom.
    other_id: String,
    /// Since when.
    at: String,
    /// Who said so.
    actor: String,
}

impl From<&BlockSet> for BlockOut {
    fn from(set: &BlockSet) -> Self {
        Self {
            contact_id: set.blocker.to_string(),
            other_id: set.blocked.to_string(),
            at: time(set.at),
            actor: set.actor.clone(),
        }
    }
}

/// All blocks of a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlocksOut {
    /// By the other's id.
    pub(crate) items: Vec<BlockOut>,
}

/// A block that was put or taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockAnswer {
    /// Who does not want to be seen.
    pub(crate) contact_id: String,
    /// By whom.
    pub(crate) other_id: String,
    /// Whether it holds now.
    pub(crate) blocked: bool,
    /// The tenant's seq.
    pub(crate) seq: u64,
}

/// Says who sees which field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharingRequest {
    /// Field to audience: `everyone`, `contacts` (those in the own address book), `group:NAME` (those whom the address book
    /// has in that group) or `nobody`. A field that is left out nobody sees.
    #[schema(example = json!({"name": "everyone", "phones": "contacts", "addresses": "group:family"}))]
    fields: BTreeMap<String, String>,
    /// Makes a retry return the first answer, for 24 hours.
    idempotency_key: Option<String>,
}

impl WriteBody for SharingRequest {
    fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl SharingRequest {
    /// Field and audience, ascending; without those that nobody sees.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub(crate) fn checked(self) -> Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        for (field, audience) in self.fields {
            if !survivorship::fields().any(|known| known == field) {
                let all = survivorship::fields().collect::<Vec<_>>().join(", ");
                let shown: String = field.chars().take(64).collect();
                return Err(Error::invalid(format!("fields.{shown}"), format!("is no field; those are {all}")));
            }
            let group = audience.strip_prefix("group:").is_some_and(|name| !name.trim().is_empty());
            let known = matches!(audience.as_str(), "everyone" | "contacts" | "nobody");
            if !(known || group) || audience.len() > AUDIENCE_BYTES_MAX {
                let reason =
                    format!("must be everyone, contacts, nobody or group:NAME, at most {AUDIENCE_BYTES_MAX} bytes");
                return Err(Error::invalid(format!("fields.{field}"), reason));
            }
            if audience != "nobody" {
                fields.push((field, audience));
            }
        }
        Ok(fields)
    }
}

/// Who sees which field of a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharingOut {
    /// The contact.
    pub(crate) contact_id: String,
    /// Field to audience; a field that is not here nobody sees.
    pub(crate) fields: BTreeMap<String, String>,
    /// The tenant's seq.
    pub(crate) seq: u64,
}

/// The fields of a contact that another may see.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedOut {
    /// The contact.
    pub(crate) contact_id: String,
    /// Who looks.
    pub(crate) other_id: String,
    /// Names of the fields; none for somebody who is blocked.
    pub(crate) fields: Vec<String>,
}

/// Somebody left for good.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OptOutAnswer {
    /// The contact.
    pub(crate) contact_id: String,
    /// Since when.
    pub(crate) opted_out_at: Option<String>,
    /// The tenant's seq.
    pub(crate) seq: u64,
}

/// Somebody whom a user may know.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuggestionOut {
    /// Whom.
    contact_id: String,
    /// Why, the strongest reason first.
    reasons: Vec<ReasonOut>,
}

/// Why somebody is suggested.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonOut {
    /// `has_you` (this user is in their address book), `shared_contacts`, `same_domain`, `same_organization`.
    code: &'static str,
    /// Of `shared_contacts` how many people both have, of those whom everyone may find.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

/// People whom a user may know.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuggestionsOut {
    /// Those with the strongest reason first.
    pub(crate) items: Vec<SuggestionOut>,
    /// There are more, or a bound of the search was reached.
    pub(crate) truncated: bool,
}

impl From<&Suggestion> for SuggestionOut {
    fn from(one: &Suggestion) -> Self {
        let reason = |reason: &Reason| match reason {
            Reason::HasYou => ReasonOut { code: "has_you", count: None },
            Reason::SharedContacts(count) => ReasonOut { code: "shared_contacts", count: Some(*count) },
            Reason::SameDomain => ReasonOut { code: "same_domain", count: None },
            Reason::SameOrganization => ReasonOut { code: "same_organization", count: None },
        };
        Self { contact_id: one.contact.to_string(), reasons: one.reasons.iter().map(reason).collect() }
    }
}

/// Which user of the directory a contact is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DirectoryUserOut {
    /// The contact.
    pub(crate) contact_id: String,
    /// The contact of the directory that is the user; null: none, or none that this tenant may know of.
    pub(crate) user: Option<String>,
}
