//! Version 1 of every event on disk. FROZEN: not a field, a type or an order here may ever change.
//!
//! rkyv reads old bytes wrongly and without an error when a type changes, so every (kind, version) is a
//! root type of its own, chosen by the frame header and never by an rkyv enum. A change is a `v2` beside
//! this file and an upcast. The golden journal in `tests/golden` must replay for ever.
//!
//! Format: rkyv 0.8, `little_endian`, `unaligned`, `pointer_width_32`, all pinned in `Cargo.toml`.

#![expect(
    missing_docs,
    reason = "the fields are those of the domain types of the same name, where they are documented"
)]

use rkyv::{Archive, Deserialize, Serialize};

use super::access::{Acted, ApiKeyPut, ApiKeyRevoked, ApiKeyRotated, ApiKeyUsed};
use super::account::{AccountPut, FreeMailRefused, RelationDeleted, RelationPut};
use super::consent::{
    BlockSet, Consent, DirectoryUserSet, DiscoverySet, OptedOut, PolicySet, SharingSet, SuppressionRotated,
};
use super::convert::Convert;
use super::discipline::{ConflictFound, ConflictSettled, GroupDeleted, GroupPut, Remark, RemarksKept};
use super::erase::{Accessed, Erased, ErasureDone, RetentionSet, TenantErased, TenantGone};
use super::golden::{GoldenChanged, SurvivorshipSet};
use super::learned::{CalibrationDone, LearnedLevel, ModelActivated, ModelPart, ModelTrained};
use super::lookup::{KeyRotated, QuotaLevel, QuotaReserved};
use super::oprf::{OprfBegun, OprfSpent};
use super::privacy::{IdentifierChecked, PrivacySet, Restricted};
use super::reference::{ReferenceDeleted, ReferenceName, ReferencePut};
use super::review::{ReviewChanged, ReviewNoted};
use super::webhook::{
    DeliveryDied, DeliverySettled, DeliveryWanted, FeedPlace, WebhookDeleted, WebhookDelivered, WebhookDisabled,
    WebhookPut,
};
use super::{
    AnswerKept, Edge, EntityMarked, Group, Judged, JudgementWithdrawn, KeptOutcome, MergeUndone, Merged, RecordDeleted,
    RecordPut, Resolved, ReviewDecided, ReviewOpened, SettingsSet, TenantCreated,
};
use crate::model::account::{Business, Place};
use crate::model::ids::RecordKey;
use crate::model::normalized::{Birthday, Name, NormAddress, NormEmail, NormPhone, Normalized, Organization};
use crate::model::record::{Address, Email, ExternalId, Fields, Phone, Record, Social};
use crate::model::settings::{Discovery, Purpose, Settings};

/// The rkyv format these bytes have, for the journal's header: little endian, unaligned, 32-bit pointers.
pub const RKYV_FORMAT: u32 = 0x0008_0103;

/// Serialises a frozen root.
pub(crate) fn to_bytes<T>(value: &T) -> Vec<u8>
where
    T: for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            rkyv::util::AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            rkyv::rancor::Failure,
        >,
    >,
{
    rkyv::to_bytes::<rkyv::rancor::Failure>(value).expect("memory is the only thing that could fail here").into_vec()
}

macro_rules! frozen {
    ($($name:ident = $domain:ident { $($field:ident: $t:ty),+ $(,)? } $((without $($elsewhere:ident)+))?)+) => { $(
        #[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
        pub struct $name { $(pub $field: $t),+ }

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                Self { $($field: value.$field.convert()),+ }
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                // What has an event of its own is not in here.
                Self { $($field: value.$field.convert(),)+ $($($elsewhere: Default::default(),)+)? }
            }
        }

        impl Convert<$name> for $domain {
            fn convert(self) -> $name {
                self.into()
            }
        }

        impl Convert<$domain> for $name {
            fn convert(self) -> $domain {
                self.into()
            }
        }
    )+ };
}

frozen! {
    EmailV1 = Email { value: String, label: Option<String>, primary: bool, verified: bool, private: bool, confidence: Option<f32> }
    PhoneV1 = Phone {
        value: String, label: Option<String>, extension: Option<String>, primary: bool, verified: bool, private: bool,
        confidence: Option<f32>,
    }
    AddressV1 = Address {
        street: Option<String>, city: Option<String>, region: Option<String>, postal_code: Option<String>,
        country: Option<String>, label: Option<String>,
    }
    SocialV1 = Social { service: String, username: String }
    ExternalIdV1 = ExternalId { system: String, id: String }
    FieldsV1 = Fields {
        name: Option<String>, first_name: Option<String>, middle_name: Option<String>, last_name: Option<String>,
        nickname: Option<String>, name_prefix: Option<String>, name_suffix: Option<String>, emails: Vec<EmailV1>,
        phones: Vec<PhoneV1>, organization: Option<String>, job_title: Option<String>, department: Option<String>,
        company_domain: Option<String>, account_id: Option<String>, addresses: Vec<AddressV1>, birthday: Option<String>,
        gender: Option<String>, social: Vec<SocialV1>, urls: Vec<String>, external_ids: Vec<ExternalIdV1>,
        tags: Vec<String>, groups: Vec<String>, notes: Option<String>, last_activity_at: Option<String>,
        first_seen: Option<String>, last_seen: Option<String>, category_code: Option<String>,
        subcategory_code: Option<String>, relationship_category: Option<String>, is_me: Option<bool>,
        attributes: Option<String>,
    }
    NameV1 = Name {
        prefix: Option<String>, first: Option<String>, middle: Option<String>, last: Option<String>,
        suffix: Option<String>, nickname: Option<String>, generation: Option<u8>, first_tokens: Vec<String>,
        middle_tokens: Vec<String>, last_tokens: Vec<String>, nickname_tokens: Vec<String>, own_script: String, split: bool,
    }
    NormEmailV1 = NormEmail {
        delivered: String, canonical: String, user: String, domain: String, free: bool, role: bool, valid: bool,
    }
    NormPhoneV1 = NormPhone { e164: String, extension: Option<String>, valid: bool, kind: u8 }
    OrganizationV1 = Organization { tokens: Vec<String>, legal_form: Option<String> }
    NormAddressV1 = NormAddress {
        number: Option<String>, street: Vec<String>, city: Option<String>, region: Option<String>,
        postal_code: Option<String>, country: Option<String>,
    }
    BirthdayV1 = Birthday { year: Option<u16>, month: Option<u8>, day: Option<u8>, ambiguous: bool }
    NormalizedV1 = Normalized {
        name: NameV1, emails: Vec<NormEmailV1>, phones: Vec<NormPhoneV1>, organization: Option<OrganizationV1>,
        job_title: Option<String>, domains: Vec<String>, addresses: Vec<NormAddressV1>, birthday: Option<BirthdayV1>,
        gender: Option<u32>, external_ids: Vec<(String, String)>, handles: Vec<(String, String)>,
    }
    RecordV1 = Record { key: RecordKeyV1, source_updated_at: Option<i64>, version: Option<u64>, fields: FieldsV1 }
    SettingsV1 = Settings {
        default_region: String, review: f64, auto: f64, gmail_dots: bool, plus_tags: bool, business_keys: bool,
        free_mail_domains: Vec<String>, generic_max: u32, holders_max: u32, rollback_days: u32, source_trust: Vec<String>,
    } (without survivorship refuse_free_mail retention privacy discovery)
    TenantCreatedV1 = TenantCreated { name: String, at: i64 }
    SettingsSetV1 = SettingsSet { settings: SettingsV1, at: i64, actor: String }
    RecordPutV1 = RecordPut {
        record_id: u128, record: RecordV1, normalized: NormalizedV1, content_hash: u128, received_at: i64,
        actor: String, stale: bool, anchor: Option<u128>, suppressed: Vec<(String, String)>,
    }
    RecordDeletedV1 = RecordDeleted { record_id: u128, at: i64, actor: String }
    EdgeV1 = Edge { a: u128, b: u128, weight: i32 }
    GroupV1 = Group { entity: u128, records: Vec<u128>, absorbed: Vec<u128> }
    MergedV1 = Merged {
        merge_id: u128, survivor: u128, loser: u128, left: Vec<u128>, right: Vec<u128>, pair: Option<EdgeV1>,
        reason: Option<String>, judgement: Option<u128>,
    }
    ReviewOpenedV1 = ReviewOpened { review_id: u128, pair: EdgeV1, support: i32, vetoed: bool }
    ResolvedV1 = Resolved {
        at: i64, actor: String, edges: Vec<EdgeV1>, edges_gone: Vec<(u128, u128)>, groups: Vec<GroupV1>,
        merges: Vec<MergedV1>, reviews: Vec<ReviewOpenedV1>, reviews_gone: Vec<u128>,
    }
    JudgedV1 = Judged {
        judgement_id: u128, same: bool, left: Vec<u128>, right: Vec<u128>, at: i64, actor: String, reason: Option<String>,
    }
    JudgementWithdrawnV1 = JudgementWithdrawn { judgement_id: u128, at: i64, actor: String }
    MergeUndoneV1 = MergeUndone { merge_id: u128, at: i64, actor: String }
    ReviewDecidedV1 = ReviewDecided { review_id: u128, decision: u8, at: i64, actor: String, reason: Option<String> }
    EntityMarkedV1 = EntityMarked { entity: u128, deleted: bool, at: i64, actor: String }
    KeptOutcomeV1 = KeptOutcome {
        outcome: u8, contact: Option<u128>, record: Option<u128>, merge: Option<u128>, weight: Option<i32>, affected: Vec<u128>,
    }
    AnswerKeptV1 = AnswerKept { key: String, body: [u8; 32], answer: Vec<KeptOutcomeV1>, shape: u8, at: i64 } (without remarks)
    ModelPartV1 = ModelPart { model_id: u128, part: u32, bytes: Vec<u8> }
    LearnedLevelV1 = LearnedLevel {
        comparison: String, level: String, seen: f64, m_before: f64, m_after: f64, u_before: f64, u_after: f64,
        clamped: bool,
    }
    CalibrationDoneV1 = CalibrationDone { same: u32, different: u32, fitted: bool, scale: f64, shift: f64 }
    ModelTrainedV1 = ModelTrained {
        model_id: u128, end: u8, reason: Option<String>, version: String, base: String, actor: String,
        started_at: i64, at: i64, as_of: u64, records: u64, size_class: u8, prior_before: f64, prior_after: f64,
        duplication: f64, levels: Vec<LearnedLevelV1>, calibration: CalibrationDoneV1, parts: u32,
    }
    ModelActivatedV1 = ModelActivated { model_id: u128, at: i64, actor: String }
    FeedPlaceV1 = FeedPlace { seq: u64, part: u32 }
    WebhookPutV1 = WebhookPut {
        webhook_id: u128, url: String, kinds: Vec<u8>, secret: String, after: FeedPlaceV1, at: i64, actor: String,
    }
    WebhookDeletedV1 = WebhookDeleted { webhook_id: u128, at: i64, actor: String }
    WebhookDeliveredV1 = WebhookDelivered { webhook_id: u128, through: FeedPlaceV1, at: i64 }
    DeliveryDiedV1 = DeliveryDied {
        webhook_id: u128, delivery_id: u128, first: FeedPlaceV1, last: FeedPlaceV1, attempts: u32, error: String, at: i64,
    }
    DeliveryWantedV1 = DeliveryWanted { webhook_id: u128, delivery_id: u128, at: i64, actor: String }
    DeliverySettledV1 = DeliverySettled { webhook_id: u128, delivery_id: u128, at: i64 }
    WebhookDisabledV1 = WebhookDisabled { webhook_id: u128, note: String, at: i64 }
    ReferenceNameV1 = ReferenceName { kind: String, external_id: String }
    ReferencePutV1 = ReferencePut { name: ReferenceNameV1, anchor: u128, at: i64, actor: String }
    ReferenceDeletedV1 = ReferenceDeleted { name: ReferenceNameV1, at: i64, actor: String }
    SurvivorshipSetV1 = SurvivorshipSet { rules: Vec<(String, u8)>, source_trust: Vec<String>, at: i64, actor: String }
    GoldenChangedV1 = GoldenChanged { contacts: Vec<u128>, at: i64, actor: String }
    ReviewNotedV1 = ReviewNoted { review_id: u128, assignee: Option<String>, note: Option<String>, at: i64, actor: String }
    ReviewChangedV1 = ReviewChanged { review_id: u128, pair: EdgeV1, support: i32, vetoed: bool, at: i64 }
    PlaceV1 = Place { country: String, city: String }
    BusinessV1 = Business {
        alternate_domains: Vec<String>, previous_names: Vec<String>, industry: Option<String>,
        technologies: Vec<String>, domains: Vec<String>, names: Vec<String>, places: Vec<PlaceV1>,
    }
    AccountPutV1 = AccountPut { put: RecordPutV1, business: BusinessV1 }
    RelationPutV1 = RelationPut {
        contact: u128, account: u128, role: Option<String>, since: Option<String>, until: Option<String>, primary: bool,
        at: i64, actor: String,
    }
    RelationDeletedV1 = RelationDeleted { contact: u128, account: u128, at: i64, actor: String }
    FreeMailRefusedV1 = FreeMailRefused { refused: bool, at: i64, actor: String }
    ConflictFoundV1 = ConflictFound { record_id: u128, puts: Vec<u64>, at: i64, actor: String }
    ConflictSettledV1 = ConflictSettled { record_id: u128, put: Option<u64>, at: i64, actor: String }
    RemarkV1 = Remark { at: u32, field: String, code: String }
    RemarksKeptV1 = RemarksKept { key: String, remarks: Vec<RemarkV1> }
    GroupPutV1 = GroupPut { slug: String, name: String, description: Option<String>, at: i64, actor: String }
    OprfBegunV1 = OprfBegun { epoch: u32, prefix_bits: u8, at: i64, actor: String }
    OprfSpentV1 = OprfSpent { epoch: u32, principal: String, evaluated: u64, revealed: u64, at: i64 }
    GroupDeletedV1 = GroupDeleted { slug: String, at: i64, actor: String }
    ErasedV1 = Erased {
        erase_id: u128, contacts: Vec<u128>, records: Vec<u128>, reviews: Vec<u128>, at: i64, actor: String,
    }
    KeyRotatedV1 = KeyRotated { what: u8, epoch: u32, at: i64, actor: String }
    QuotaLevelV1 = QuotaLevel { family: u8, payer: u128, used: u64, leak_per_hour: u32 }
    QuotaReservedV1 = QuotaReserved { levels: Vec<QuotaLevelV1>, at: i64 }
    RetentionSetV1 = RetentionSet { deleted_days: u32, reviews_days: u32, imports_days: u32, at: i64, actor: String }
    ErasureDoneV1 = ErasureDone { erase_id: u128, frames: u64, segments: u32, backups: Vec<String>, at: i64 }
    TenantErasedV1 = TenantErased { erase_id: u128, at: i64, actor: String }
    TenantGoneV1 = TenantGone {
        erase_id: u128, tenant: u64, name: String, asked_at: i64, actor: String, frames: u64, segments: u32,
        backups: Vec<String>, at: i64,
    }
    AccessedV1 = Accessed { what: String, contacts: Vec<u128>, at: i64, actor: String }
    RestrictedV1 = Restricted {
        contact: u128, records: Vec<u128>, restricted: bool, reason: Option<String>, at: i64, actor: String,
    }
    PurposeV1 = Purpose { name: String, basis: String, note: String }
    PrivacySetV1 = PrivacySet {
        controller: String, contact: String, purposes: Vec<PurposeV1>, subjects: Vec<String>, third_countries: String,
        audit_days: u32, at: i64, actor: String,
    }
    IdentifierCheckedV1 = IdentifierChecked {
        record_id: u128, identifier: String, check: u8, verdict: u8, detail: String, at: i64,
    }
    DiscoveryV1 = Discovery {
        directory: Option<String>, users: Option<String>, keep_users: bool, consent_required: bool, tags_only: bool,
        lookup: bool, matrix: bool, oprf: bool, matrix_system: Option<String>, pepper_hours: u32, oprf_overlap_days: u32,
        quota_new_max: u32, quota_leak_per_hour: u32, tenant_quota_new_max: Option<u32>,
        tenant_quota_leak_per_hour: Option<u32>,
    }
    DiscoverySetV1 = DiscoverySet { discovery: DiscoveryV1, at: i64, actor: String }
    ConsentV1 = Consent { basis: String, actor: String, at: i64 }
    PolicySetV1 = PolicySet {
        ids: Vec<u128>, policy: u8, book: Option<String>, consent: Option<ConsentV1>, at: i64, actor: String,
    }
    BlockSetV1 = BlockSet { blocker: u128, blocked: u128, holds: bool, at: i64, actor: String }
    SharingSetV1 = SharingSet { ids: Vec<u128>, fields: Vec<(String, String)>, at: i64, actor: String }
    OptedOutV1 = OptedOut { contacts: Vec<u128>, records: Vec<u128>, tags: Vec<u128>, at: i64, actor: String }
    SuppressionRotatedV1 = SuppressionRotated { generation: u32, tags: Vec<u128>, at: i64, actor: String }
    DirectoryUserSetV1 = DirectoryUserSet { contact: u128, user: Option<u128>, at: i64 }
    ApiKeyPutV1 = ApiKeyPut {
        key_id: String, hash: [u8; 32], roles: Vec<u8>, tenants: Vec<String>, create_tenants: bool, label: Option<String>,
        principal: Option<String>, per_second: Option<u32>, burst: Option<u32>, expires_at: Option<i64>, at: i64,
        actor: String,
    }
    ApiKeyRotatedV1 = ApiKeyRotated { key_id: String, hash: [u8; 32], old_until: i64, at: i64, actor: String }
    ApiKeyRevokedV1 = ApiKeyRevoked { key_id: String, at: i64, actor: String }
    ApiKeyUsedV1 = ApiKeyUsed { key_id: String, at: i64 }
    ActedV1 = Acted { what: String, at: i64, actor: String }
}

/// A record's key.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RecordKeyV1 {
    pub source: String,
    pub source_record_id: String,
}

impl Convert<RecordKeyV1> for RecordKey {
    fn convert(self) -> RecordKeyV1 {
        RecordKeyV1 { source: self.source.into(), source_record_id: self.source_record_id.into() }
    }
}

impl Convert<RecordKey> for RecordKeyV1 {
    fn convert(self) -> RecordKey {
        RecordKey { source: self.source.into(), source_record_id: self.source_record_id.into() }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::event::{Event, RecordPut, decode, encode};
    use crate::model::ids::{Millis, RecordId, RecordKey};
    use crate::model::normalized::Normalized;
    use crate::model::record::{Email, Fields, Record};

    #[test]
    fn a_record_survives_the_disk_form() {
        let fields = Fields {
            name: Some("Zoë".into()),
            emails: vec![Email { value: "z@example.com".into(), confidence: Some(0.5), ..Email::default() }],
            ..Fields::default()
        };
        let key = RecordKey { source: "s".into(), source_record_id: "1".into() };
        let event = Event::RecordPut(Box::new(RecordPut {
            record_id: RecordId(7),
            record: Record { key, source_updated_at: Some(Millis(5)), version: None, fields },
            normalized: Normalized { gender: Some('f'), ..Normalized::default() },
            content_hash: 9,
            received_at: Millis(11),
            actor: "api".into(),
            stale: false,
            anchor: None,
            suppressed: vec![("emails".into(), "x@example.com".into())],
        }));
        let (kind, version, bytes) = encode(event.clone());
        assert_eq!(decode(kind, version, &bytes).unwrap(), event);
        assert!(decode(kind, 9, &bytes).is_err());
        assert!(decode(kind, version, &bytes[..bytes.len() - 1]).is_err());
    }
}
