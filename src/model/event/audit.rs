//! What an audit shows of an event: who did what to whom, by ids.

use crate::model::event::{Event, MergeUndone, RecordDeleted, Resolved};
use crate::model::ids::{EntityId, Millis, RecordId};

/// One act as an audit shows it. No values: what was erased can stay in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When; missing: the event does not tell, and its group's time counts.
    pub at: Option<Millis>,
    /// Who; missing: the event does not tell.
    pub actor: Option<String>,
    /// The contacts or accounts it was about.
    pub contacts: Vec<EntityId>,
    /// The records it was about.
    pub records: Vec<RecordId>,
}

impl Act {
    fn new(at: Millis, actor: &str) -> Self {
        Self { at: Some(at), actor: Some(actor.to_owned()), contacts: Vec::new(), records: Vec::new() }
    }

    fn about(self, contacts: &[EntityId]) -> Self {
        Self { contacts: contacts.to_vec(), ..self }
    }

    fn of(self, records: &[RecordId]) -> Self {
        Self { records: records.to_vec(), ..self }
    }
}

/// The act behind an event; `None`: it only keeps something for the engine, and an audit leaves it out.
#[expect(clippy::too_many_lines, reason = "an arm for every kind, so that a new one is thought about")]
pub fn act(event: &Event) -> Option<Act> {
    let merge_undone = |undone: &MergeUndone| Act::new(undone.at, &undone.actor);
    let record_gone = |gone: &RecordDeleted| Act::new(gone.at, &gone.actor).of(&[gone.record_id]);
    Some(match event {
        Event::AnswerKept(_)
        | Event::RemarksKept(_)
        | Event::ModelPart(_)
        | Event::WebhookDelivered(_)
        | Event::OprfSpent(_)
        | Event::DeliverySettled(_)
        | Event::QuotaReserved(_)
        | Event::ReviewChanged(_)
        | Event::IdentifierChecked(_)
        | Event::AccountReviewChanged(_)
        | Event::ApiKeyUsed(_) => return None,
        Event::TenantCreated(one) => Act { actor: None, ..Act::new(one.at, "") },
        Event::SettingsSet(one) => Act::new(one.at, &one.actor),
        Event::RecordPut(put) => {
            let contacts: Vec<EntityId> = put.anchor.into_iter().collect();
            Act::new(put.received_at, &put.actor).of(&[put.record_id]).about(&contacts)
        }
        Event::AccountPut(one) => Act::new(one.put.received_at, &one.put.actor).of(&[one.put.record_id]),
        Event::RecordDeleted(gone) | Event::AccountRecordDeleted(gone) => record_gone(gone),
        Event::Resolved(resolved) | Event::AccountsResolved(resolved) => of_resolved(resolved)?,
        Event::Judged(one) | Event::AccountsJudged(one) => {
            Act::new(one.at, &one.actor).of(&[one.left.as_slice(), one.right.as_slice()].concat())
        }
        Event::JudgementWithdrawn(one) | Event::AccountJudgementWithdrawn(one) => Act::new(one.at, &one.actor),
        Event::MergeUndone(undone) | Event::AccountMergeUndone(undone) => merge_undone(undone),
        Event::ReviewDecided(one) | Event::AccountReviewDecided(one) => Act::new(one.at, &one.actor),
        Event::ReviewNoted(one) => Act::new(one.at, &one.actor),
        Event::EntityMarked(one) | Event::AccountMarked(one) => Act::new(one.at, &one.actor).about(&[one.entity]),
        Event::ModelTrained(one) => Act::new(one.at, &one.actor),
        Event::ModelActivated(one) => Act::new(one.at, &one.actor),
        Event::WebhookPut(one) => Act::new(one.at, &one.actor),
        Event::WebhookDeleted(one) => Act::new(one.at, &one.actor),
        Event::DeliveryDied(one) => Act { actor: None, ..Act::new(one.at, "") },
        Event::DeliveryWanted(one) => Act::new(one.at, &one.actor),
        Event::WebhookDisabled(one) => Act { actor: None, ..Act::new(one.at, "") },
        Event::OprfBegun(one) => Act::new(one.at, &one.actor),
        Event::SurvivorshipSet(one) => Act::new(one.at, &one.actor),
        Event::GoldenChanged(one) => Act::new(one.at, &one.actor).about(&one.contacts),
        Event::ReferencePut(one) => Act::new(one.at, &one.actor).about(&[one.anchor]),
        Event::ReferenceDeleted(one) => Act::new(one.at, &one.actor),
        Event::RelationPut(one) => Act::new(one.at, &one.actor).about(&[one.contact, one.account]),
        Event::RelationDeleted(one) => Act::new(one.at, &one.actor).about(&[one.contact, one.account]),
        Event::FreeMailRefused(one) => Act::new(one.at, &one.actor),
        Event::ConflictFound(one) => Act::new(one.at, &one.actor).of(&[one.record_id]),
        Event::ConflictSettled(one) => Act::new(one.at, &one.actor).of(&[one.record_id]),
        Event::GroupPut(one) => Act::new(one.at, &one.actor),
        Event::KeyRotated(one) => Act::new(one.at, &one.actor),
        Event::GroupDeleted(one) => Act::new(one.at, &one.actor),
        Event::Erased(one) => Act::new(one.at, &one.actor).about(&one.contacts).of(&one.records),
        Event::ErasureDone(one) => Act { actor: None, ..Act::new(one.at, "") },
        Event::TenantErased(one) => Act::new(one.at, &one.actor),
        Event::RetentionSet(one) => Act::new(one.at, &one.actor),
        Event::Restricted(one) => Act::new(one.at, &one.actor).about(&[one.contact]).of(&one.records),
        Event::PrivacySet(one) => Act::new(one.at, &one.actor),
        Event::DiscoverySet(one) => Act::new(one.at, &one.actor),
        Event::PolicySet(one) => Act::new(one.at, &one.actor).about(&one.ids),
        Event::BlockSet(one) => Act::new(one.at, &one.actor).about(&[one.blocker, one.blocked]),
        Event::SharingSet(one) => Act::new(one.at, &one.actor).about(&one.ids),
        Event::OptedOut(one) => Act::new(one.at, &one.actor).about(&one.contacts).of(&one.records),
        Event::SuppressionRotated(one) => Act::new(one.at, &one.actor),
        Event::DirectoryUserSet(one) => Act { actor: None, ..Act::new(one.at, "").about(&[one.contact]) },
        Event::TenantGone(one) => Act { actor: None, ..Act::new(one.at, "") },
        Event::Accessed(one) => Act::new(one.at, &one.actor).about(&one.contacts),
        Event::ApiKeyPut(one) => Act::new(one.at, &one.actor),
        Event::ApiKeyRotated(one) => Act::new(one.at, &one.actor),
        Event::ApiKeyRevoked(one) => Act::new(one.at, &one.actor),
        Event::Acted(one) => Act::new(one.at, &one.actor),
    })
}

/// The contacts that resolution changed: who merged is among them. One that only asks or weighs anew is no act.
fn of_resolved(resolved: &Resolved) -> Option<Act> {
    let mut contacts: Vec<EntityId> = resolved.groups.iter().map(|group| group.entity).collect();
    contacts.extend(resolved.merges.iter().flat_map(|merged| [merged.survivor, merged.loser]));
    contacts.sort_unstable();
    contacts.dedup();
    (!contacts.is_empty()).then(|| Act::new(resolved.at, &resolved.actor).about(&contacts))
}
