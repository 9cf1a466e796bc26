//! Events: the facts in the journal, one enum for code and one frozen form a kind on disk.
//!
//! An event says what *is* so after a decision; applying it decides nothing. A value-bearing payload
//! ([`RecordPut`]) belongs to exactly one record; every other event refers to ids and weights, never
//! to values, so that erasing a person touches that person's payloads only.
//!
//! [`encode`] and [`decode`] translate between [`Event`] and bytes through the frozen types of [`v1`],
//! chosen by kind and version from the frame header. Changing a frozen type is forbidden: add `v2`.

use crate::model::ids::{EntityId, JudgementId, MergeId, Millis, RecordId, ReviewId};
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::model::record::Record;
use crate::model::settings::Settings;
pub use access::{Acted, ApiKeyPut, ApiKeyRevoked, ApiKeyRotated, ApiKeyUsed};
pub use account::{AccountPut, FreeMailRefused, RelationDeleted, RelationPut};
pub use consent::{
    BlockSet, Consent, DirectoryUserSet, DiscoverySet, OptedOut, PolicySet, SharingSet, SuppressionRotated,
};
pub use discipline::{ConflictFound, ConflictSettled, GroupDeleted, GroupPut, Remark, RemarksKept};
pub use erase::{Accessed, Erased, ErasureDone, RetentionSet, TenantErased, TenantGone};
pub use golden::{GoldenChanged, SurvivorshipSet};
pub use learned::{CalibrationDone, LearnedLevel, ModelActivated, ModelPart, ModelTrained, TrainingEnd};
pub use lookup::{DiscoveryKey, KeyRotated, QuotaLevel, QuotaReserved};
pub use oprf::{OprfBegun, OprfSpent};
pub use privacy::{IdentifierChecked, PrivacySet, Restricted};
pub use reference::{ReferenceDeleted, ReferenceName, ReferencePut};
pub use review::{ReviewChanged, ReviewNoted};
pub use webhook::{
    DeliveryDied, DeliverySettled, DeliveryWanted, FeedPlace, WebhookDeleted, WebhookDelivered, WebhookDisabled,
    WebhookPut,
};

pub mod access;
pub mod account;
pub mod audit;
pub mod consent;
mod convert;
pub mod discipline;
pub mod erase;
pub mod golden;
pub mod learned;
pub mod lookup;
pub mod oprf;
pub mod privacy;
pub mod redact;
pub mod reference;
pub mod review;
pub mod v1;
pub mod webhook;

/// One fact about one tenant.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The tenant exists.
    TenantCreated(TenantCreated),
    /// The tenant's settings, all of them.
    SettingsSet(Box<SettingsSet>),
    /// A source's word on a record: new, changed, or stale.
    RecordPut(Box<RecordPut>),
    /// The source withdrew a record.
    RecordDeleted(RecordDeleted),
    /// What resolution made of the facts before it, as a difference.
    Resolved(Box<Resolved>),
    /// A person judged records.
    Judged(Judged),
    /// A judgement was taken back.
    JudgementWithdrawn(JudgementWithdrawn),
    /// A merge was undone.
    MergeUndone(MergeUndone),
    /// A steward answered a review.
    ReviewDecided(ReviewDecided),
    /// A contact was soft-deleted or restored.
    EntityMarked(EntityMarked),
    /// The answer to give when a request is repeated.
    AnswerKept(AnswerKept),
    /// A piece of a trained model.
    ModelPart(ModelPart),
    /// A training ended.
    ModelTrained(Box<ModelTrained>),
    /// Another model decides from now on.
    ModelActivated(ModelActivated),
    /// A webhook is registered.
    WebhookPut(WebhookPut),
    /// A webhook is gone.
    WebhookDeleted(WebhookDeleted),
    /// How far a webhook has heard.
    WebhookDelivered(WebhookDelivered),
    /// A delivery was given up.
    DeliveryDied(DeliveryDied),
    /// A dead delivery is to be sent again.
    DeliveryWanted(DeliveryWanted),
    /// A dead delivery got through.
    DeliverySettled(DeliverySettled),
    /// A webhook gets no more deliveries.
    WebhookDisabled(WebhookDisabled),
    /// Another key answers oblivious look-ups.
    OprfBegun(OprfBegun),
    /// How much a principal has used of such a key.
    OprfSpent(OprfSpent),
    /// A thing of another system points at a contact.
    ReferencePut(ReferencePut),
    /// It points at nobody any more.
    ReferenceDeleted(ReferenceDeleted),
    /// Golden values are picked by other rules from now on.
    SurvivorshipSet(Box<SurvivorshipSet>),
    /// Contacts show other values, though their records did not change.
    GoldenChanged(GoldenChanged),
    /// Somebody assigned a review or wrote a note on it.
    ReviewNoted(ReviewNoted),
    /// The evidence behind a review is another.
    ReviewChanged(ReviewChanged),
    /// A source's word on a business.
    AccountPut(Box<AccountPut>),
    /// [`Event::RecordDeleted`] of a business.
    AccountRecordDeleted(RecordDeleted),
    /// [`Event::Resolved`] of businesses.
    AccountsResolved(Box<Resolved>),
    /// [`Event::Judged`] of businesses.
    AccountsJudged(Judged),
    /// [`Event::JudgementWithdrawn`] of businesses.
    AccountJudgementWithdrawn(JudgementWithdrawn),
    /// [`Event::MergeUndone`] of businesses.
    AccountMergeUndone(MergeUndone),
    /// [`Event::ReviewDecided`] of businesses.
    AccountReviewDecided(ReviewDecided),
    /// [`Event::ReviewChanged`] of businesses.
    AccountReviewChanged(ReviewChanged),
    /// [`Event::EntityMarked`] of a business.
    AccountMarked(EntityMarked),
    /// A person and a business belong together.
    RelationPut(RelationPut),
    /// They no longer do.
    RelationDeleted(RelationDeleted),
    /// Whether contacts may have free mail.
    FreeMailRefused(FreeMailRefused),
    /// Versions of a record contradict each other.
    ConflictFound(ConflictFound),
    /// They do so no more.
    ConflictSettled(ConflictSettled),
    /// What the answer before it said beside the remarks of normalising.
    RemarksKept(RemarksKept),
    /// A group has a name.
    GroupPut(GroupPut),
    /// A group is gone.
    GroupDeleted(GroupDeleted),
    /// Another key of discovery is in force.
    KeyRotated(KeyRotated),
    /// How much of quotas may have been used.
    QuotaReserved(QuotaReserved),
    /// A person is gone for good.
    Erased(Erased),
    /// No file holds that person any more.
    ErasureDone(ErasureDone),
    /// The tenant is gone for good.
    TenantErased(TenantErased),
    /// Somebody read contacts in a way that an audit must show.
    Accessed(Accessed),
    /// No file holds anything of an erased tenant any more.
    TenantGone(TenantGone),
    /// For how long things are kept from now on.
    RetentionSet(RetentionSet),
    /// A contact is stored only, or used again.
    Restricted(Restricted),
    /// What the controller declares.
    PrivacySet(Box<PrivacySet>),
    /// What was found out about an identifier.
    IdentifierChecked(IdentifierChecked),
    /// The tenant takes part in discovery otherwise.
    DiscoverySet(Box<DiscoverySet>),
    /// Who may find a contact.
    PolicySet(PolicySet),
    /// Somebody blocks somebody, or no more.
    BlockSet(BlockSet),
    /// What others may see of a contact.
    SharingSet(SharingSet),
    /// A person left discovery for good.
    OptedOut(OptedOut),
    /// The tags of those are under another key.
    SuppressionRotated(SuppressionRotated),
    /// Which user of the directory a contact is.
    DirectoryUserSet(DirectoryUserSet),
    /// An API key is there.
    ApiKeyPut(Box<ApiKeyPut>),
    /// A key has a new secret.
    ApiKeyRotated(ApiKeyRotated),
    /// A key opens nothing any more.
    ApiKeyRevoked(ApiKeyRevoked),
    /// When a key was used last.
    ApiKeyUsed(ApiKeyUsed),
    /// Whoever runs the server did something.
    Acted(Acted),
}

impl Event {
    /// The same fact about businesses. What is about the tenant as a whole, or about businesses already, stays.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds that acts on contacts make are all here")]
    pub fn of_accounts(self) -> Self {
        match self {
            Self::RecordDeleted(gone) => Self::AccountRecordDeleted(gone),
            Self::Resolved(resolved) => Self::AccountsResolved(resolved),
            Self::Judged(judged) => Self::AccountsJudged(judged),
            Self::JudgementWithdrawn(gone) => Self::AccountJudgementWithdrawn(gone),
            Self::MergeUndone(undone) => Self::AccountMergeUndone(undone),
            Self::ReviewDecided(decided) => Self::AccountReviewDecided(decided),
            Self::ReviewChanged(changed) => Self::AccountReviewChanged(changed),
            Self::EntityMarked(marked) => Self::AccountMarked(marked),
            other => other,
        }
    }
}

/// See [`Event::TenantCreated`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantCreated {
    /// Its name.
    pub name: String,
    /// When.
    pub at: Millis,
}

/// See [`Event::SettingsSet`].
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsSet {
    /// The settings.
    pub settings: Settings,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`Event::RecordPut`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPut {
    /// The record; issued with its first put.
    pub record_id: RecordId,
    /// As the source said it.
    pub record: Record,
    /// What normalising read.
    pub normalized: Normalized,
    /// Digest of the content, for telling an unchanged repeat and for breaking ties.
    pub content_hash: u128,
    /// When we received it.
    pub received_at: Millis,
    /// Who sent it.
    pub actor: String,
    /// Older than what was stored: goes to history only.
    pub stale: bool,
    /// A manual edit's contact; such a record is no evidence.
    pub anchor: Option<EntityId>,
    /// `(field, value)` that a manual edit took away; an empty value means the whole field.
    pub suppressed: Vec<(String, String)>,
}

/// See [`Event::RecordDeleted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDeleted {
    /// Which.
    pub record_id: RecordId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`Event::Resolved`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// When.
    pub at: Millis,
    /// Who caused it.
    pub actor: String,
    /// Edges that are new or weigh something else now.
    pub edges: Vec<Edge>,
    /// Edges that are no more.
    pub edges_gone: Vec<(RecordId, RecordId)>,
    /// Contacts whose records changed, with all their records now.
    pub groups: Vec<Group>,
    /// Contacts that became one.
    pub merges: Vec<Merged>,
    /// New questions.
    pub reviews: Vec<ReviewOpened>,
    /// Questions that no longer arise.
    pub reviews_gone: Vec<ReviewId>,
}

/// Two records whose weight reaches the review threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// One record.
    pub a: RecordId,
    /// The other.
    pub b: RecordId,
    /// How strongly they match.
    pub weight: Millibits,
}

/// A contact's records after a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The contact.
    pub entity: EntityId,
    /// Its records, all of them.
    pub records: Vec<RecordId>,
    /// Ids that redirect to it from now on.
    pub absorbed: Vec<EntityId>,
}

/// One contact that another took in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// For undo.
    pub merge_id: MergeId,
    /// Who stays.
    pub survivor: EntityId,
    /// Who redirects.
    pub loser: EntityId,
    /// The survivor's records before.
    pub left: Vec<RecordId>,
    /// The loser's records before.
    pub right: Vec<RecordId>,
    /// The pair that joined them; missing for manual merges.
    pub pair: Option<Edge>,
    /// Given by a person; missing for automatic merges.
    pub reason: Option<String>,
    /// The judgement behind a manual merge.
    pub judgement: Option<JudgementId>,
}

/// A join that was refused and is now a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewOpened {
    /// Its id.
    pub review_id: ReviewId,
    /// The pair that asks.
    pub pair: Edge,
    /// Mean support of the join.
    pub support: Millibits,
    /// A veto stands against it, rather than weak support.
    pub vetoed: bool,
}

/// See [`Event::Judged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its id.
    pub judgement_id: JudgementId,
    /// `same(left)` if true (`right` is empty), else `different(left, right)`.
    pub same: bool,
    /// Records.
    pub left: Vec<RecordId>,
    /// Records.
    pub right: Vec<RecordId>,
    /// When the person decided.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// See [`Event::JudgementWithdrawn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgementWithdrawn {
    /// Which.
    pub judgement_id: JudgementId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`Event::MergeUndone`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeUndone {
    /// Which.
    pub merge_id: MergeId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`Event::ReviewDecided`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewDecided {
    /// Which.
    pub review_id: ReviewId,
    /// 0 same, 1 different, 2 unsure.
    pub decision: u8,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// See [`Event::EntityMarked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityMarked {
    /// Which contact.
    pub entity: EntityId,
    /// Deleted, else restored.
    pub deleted: bool,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`Event::AnswerKept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerKept {
    /// The caller's key.
    pub key: String,
    /// Digest of the request's body.
    pub body: [u8; 32],
    /// Ids of the answer, not values: one outcome a record.
    pub answer: Vec<KeptOutcome>,
    /// Which shape of answer.
    pub shape: u8,
    /// When; kept for 24 hours.
    pub at: Millis,
    /// Remarks beside those of normalising; they have an event of their own.
    pub remarks: Vec<Remark>,
}

/// One outcome of a kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOutcome {
    /// Position in the contract's list of outcomes.
    pub outcome: u8,
    /// The contact, if any.
    pub contact: Option<EntityId>,
    /// The record, if any.
    pub record: Option<RecordId>,
    /// The merge, if any.
    pub merge: Option<MergeId>,
    /// Match weight, if any.
    pub weight: Option<Millibits>,
    /// Contacts that changed.
    pub affected: Vec<EntityId>,
}

/// The bytes do not hold the event they claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer selfsame.
    #[error("event kind {kind} version {version} is not known to this selfsame; it was written by a newer one")]
    Unknown {
        /// From the frame.
        kind: u8,
        /// From the frame.
        version: u8,
    },
    /// Known kind, wrong bytes.
    #[error("event kind {kind} version {version} does not decode")]
    Damaged {
        /// From the frame.
        kind: u8,
        /// From the frame.
        version: u8,
    },
}

/// An event as kind, version and payload.
pub type Encoded = (u8, u8, Vec<u8>);

macro_rules! kinds {
    ($($number:literal $variant:ident $frozen:ident $($boxed:ident)?),+ $(,)?) => {
        /// Turns an event into its newest frozen form.
        pub fn encode(event: Event) -> Encoded {
            match event {
                $(Event::$variant(payload) => {
                    let payload = kinds!(@unbox payload $($boxed)?);
                    ($number, 1, v1::to_bytes(&v1::$frozen::from(payload)))
                })+
            }
        }

        /// Reads an event back.
        ///
        /// # Errors
        /// [`DecodeError`] when kind or version is unknown, or the payload is not what they say.
        pub fn decode(kind: u8, version: u8, payload: &[u8]) -> Result<Event, DecodeError> {
            match (kind, version) {
                $(($number, 1) => rkyv::from_bytes::<v1::$frozen, rkyv::rancor::Failure>(payload)
                    .map(|frozen| Event::$variant(kinds!(@box frozen $($boxed)?)))
                    .map_err(|_| DecodeError::Damaged { kind, version }),)+
                _ => Err(DecodeError::Unknown { kind, version }),
            }
        }

        /// A kind's name, for people.
        pub fn kind_name(kind: u8) -> &'static str {
            match kind {
                $($number => stringify!($variant),)+
                _ => "unknown",
            }
        }
    };
    (@unbox $payload:ident boxed) => { *$payload };
    (@unbox $payload:ident) => { $payload };
    (@box $frozen:ident boxed) => { Box::new($frozen.into()) };
    (@box $frozen:ident) => { $frozen.into() };
}

/// Whether events of a kind change the model that features are made under.
pub fn changes_model(kind: u8) -> bool {
    matches!(kind, 14 | 100)
}

kinds! {
    1 TenantCreated TenantCreatedV1,
    2 SettingsSet SettingsSetV1 boxed,
    3 RecordPut RecordPutV1 boxed,
    4 RecordDeleted RecordDeletedV1,
    5 Resolved ResolvedV1 boxed,
    6 Judged JudgedV1,
    7 JudgementWithdrawn JudgementWithdrawnV1,
    8 MergeUndone MergeUndoneV1,
    9 ReviewDecided ReviewDecidedV1,
    10 EntityMarked EntityMarkedV1,
    11 AnswerKept AnswerKeptV1,
    12 ModelPart ModelPartV1,
    13 ModelTrained ModelTrainedV1 boxed,
    14 ModelActivated ModelActivatedV1,
    40 WebhookPut WebhookPutV1,
    41 WebhookDeleted WebhookDeletedV1,
    42 WebhookDelivered WebhookDeliveredV1,
    43 DeliveryDied DeliveryDiedV1,
    44 DeliveryWanted DeliveryWantedV1,
    45 DeliverySettled DeliverySettledV1,
    46 WebhookDisabled WebhookDisabledV1,
    140 OprfBegun OprfBegunV1,
    141 OprfSpent OprfSpentV1,
    47 ReferencePut ReferencePutV1,
    48 ReferenceDeleted ReferenceDeletedV1,
    50 SurvivorshipSet SurvivorshipSetV1 boxed,
    51 GoldenChanged GoldenChangedV1,
    52 ReviewNoted ReviewNotedV1,
    53 ReviewChanged ReviewChangedV1,
    60 AccountPut AccountPutV1 boxed,
    61 AccountRecordDeleted RecordDeletedV1,
    62 AccountsResolved ResolvedV1 boxed,
    63 AccountsJudged JudgedV1,
    64 AccountJudgementWithdrawn JudgementWithdrawnV1,
    65 AccountMergeUndone MergeUndoneV1,
    66 AccountReviewDecided ReviewDecidedV1,
    67 AccountReviewChanged ReviewChangedV1,
    68 AccountMarked EntityMarkedV1,
    70 RelationPut RelationPutV1,
    71 RelationDeleted RelationDeletedV1,
    72 FreeMailRefused FreeMailRefusedV1,
    80 ConflictFound ConflictFoundV1,
    81 ConflictSettled ConflictSettledV1,
    82 RemarksKept RemarksKeptV1,
    83 GroupPut GroupPutV1,
    84 GroupDeleted GroupDeletedV1,
    130 KeyRotated KeyRotatedV1,
    131 QuotaReserved QuotaReservedV1,
    90 Erased ErasedV1,
    91 ErasureDone ErasureDoneV1,
    92 TenantErased TenantErasedV1,
    93 Accessed AccessedV1,
    94 TenantGone TenantGoneV1,
    95 RetentionSet RetentionSetV1,
    150 Restricted RestrictedV1,
    151 PrivacySet PrivacySetV1 boxed,
    152 IdentifierChecked IdentifierCheckedV1,
    100 DiscoverySet DiscoverySetV1 boxed,
    101 PolicySet PolicySetV1,
    102 BlockSet BlockSetV1,
    103 SharingSet SharingSetV1,
    104 OptedOut OptedOutV1,
    105 SuppressionRotated SuppressionRotatedV1,
    106 DirectoryUserSet DirectoryUserSetV1,
    120 ApiKeyPut ApiKeyPutV1 boxed,
    121 ApiKeyRotated ApiKeyRotatedV1,
    122 ApiKeyRevoked ApiKeyRevokedV1,
    123 ApiKeyUsed ApiKeyUsedV1,
    124 Acted ActedV1,
}
