//! Everything about one person, as subject access and portability show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::audit::AuditEntry;
use crate::engine::privacy::{
    Check, ImportAbout, Moment, Subject, SubjectChange, SubjectDiscovery, SubjectJudgement, SubjectRecord,
    SubjectReview, SubjectVersion, SubjectWebhook,
};
use crate::http::wire::accounts::RelationOut;
use crate::http::wire::contact::{ContactOut, FieldsOut};
use crate::http::wire::discipline::ConflictOut;
use crate::http::wire::erasure::AuditOut;
use crate::http::wire::read::{ChangeOut, MergeOut};
use crate::http::wire::references::ReferenceOut;
use crate::http::wire::{id_texts, time};
use crate::model::event::{BlockSet, PolicySet};
use crate::model::ids::{EntityId, Millis};

/// Everything that is held about one person. Of other people it has ids, levels and weights only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubjectOut {
    /// When this was put together.
    generated_at: String,
    /// The tenant that holds it.
    tenant: String,
    /// The id that was asked about; it may have been merged since.
    asked_for: String,
    /// The contact's id and every id that leads to it.
    contact_ids: Vec<String>,
    /// Whether it is deleted, restricted or to be erased.
    state: StateOut,
    /// The contact as it shows, each value with where it came from.
    contact: ContactOut,
    /// Every record with everything that its source ever said.
    records: Vec<SubjectRecordOut>,
    /// Every change of the contact, oldest first.
    history: Vec<SubjectChangeOut>,
    /// Merges that it took part in.
    merges: Vec<MergeOut>,
    /// Questions whether it is somebody else, too.
    reviews: Vec<SubjectReviewOut>,
    /// What people decided about its records.
    judgements: Vec<JudgementOut>,
    /// What points at it from other systems.
    references: Vec<ReferenceOut>,
    /// Businesses it belongs to.
    accounts: Vec<RelationOut>,
    /// Records that contradict themselves.
    conflicts: Vec<ConflictOut>,
    /// Restrictions and their ends.
    restrictions: Vec<RestrictionOut>,
    /// What others said about its emails and phones.
    checks: Vec<SubjectCheckOut>,
    /// Who may find it, consent, blocks, sharing.
    discovery: SubjectDiscoveryOut,
    /// Imports that brought its records, as far as reports are kept.
    imports: Vec<ImportAboutOut>,
    /// Webhooks that were told of it. They are told ids and kinds of change, never values.
    webhooks: Vec<SubjectWebhookOut>,
    /// Acts on it in the audit trail, and exports of all contacts.
    audit: Vec<AuditOut>,
    /// Answers that are kept for 24 hours for repeated requests and name it: ids only.
    answers_kept: usize,
    /// Lists above that were too long and were cut. Empty: everything is here.
    truncated: Vec<String>,
}

/// Where the data stands.
#[derive(Debug, Serialize, ToSchema)]
struct StateOut {
    /// Soft-deleted: not shown any more.
    deleted: bool,
    /// Restricted: stored, and used for nothing.
    restricted: bool,
    /// When retention erases it for its age; null: never, or it is not deleted.
    erased_at: Option<String>,
}

/// A record with its versions.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectRecordOut {
    /// Its id.
    record_id: String,
    /// The system that sent it.
    source: Option<String>,
    /// That system's id for it.
    source_record_id: Option<String>,
    /// It counts now; false: its source withdrew it.
    current: bool,
    /// Its versions, oldest first.
    versions: Vec<VersionOut>,
}

/// One version of a record.
#[derive(Debug, Serialize, ToSchema)]
struct VersionOut {
    /// Which event.
    seq: u64,
    /// When it was received.
    received_at: String,
    /// Who sent it.
    received_from: String,
    /// What it said; null: the source withdrew the record.
    said: Option<FieldsOut>,
    /// The source's clock, if it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_updated_at: Option<String>,
    /// The source's version, if it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Older than what was known when it came.
    stale: bool,
    /// Values that an edit by hand took away: field and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken_away: Vec<TakenOut>,
}

/// A value that an edit by hand took away.
#[derive(Debug, Serialize, ToSchema)]
struct TakenOut {
    field: String,
    /// Empty: the whole field.
    value: String,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectChangeOut {
    #[serde(flatten)]
    change: ChangeOut,
    /// The values are held back: a merge that was undone showed another person's then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
}

/// A question about the person.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectReviewOut {
    /// Its id.
    review_id: String,
    /// `open`, `same`, `different`, `unsure` or `withdrawn`.
    status: String,
    /// When it was opened.
    at: String,
    /// The pair's match probability.
    score: f64,
    /// The person's record.
    record_id: String,
    /// The other record.
    other_record_id: String,
    /// Both are the person's.
    own: bool,
    /// What was compared, how it came out, and what that weighs. No values.
    evidence: Vec<EvidenceOut>,
    /// When it was answered last.
    answered_at: Option<String>,
    /// By whom.
    answered_by: Option<String>,
    /// What stewards wrote.
    texts: Vec<String>,
    /// There are such texts, and they are held back: they may speak of the other person.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
}

/// One comparison.
#[derive(Debug, Serialize, ToSchema)]
struct EvidenceOut {
    comparison: String,
    level: String,
    weight_bits: f64,
}

/// What a person decided about records.
#[derive(Debug, Serialize, ToSchema)]
struct JudgementOut {
    judgement_id: String,
    /// `same` or `different`.
    decision: String,
    at: String,
    /// The person's records.
    record_ids: Vec<String>,
    /// The others, by id only.
    other_record_ids: Vec<String>,
}

/// A restriction or its end.
#[derive(Debug, Serialize, ToSchema)]
struct RestrictionOut {
    /// The id it was asked for.
    contact_id: String,
    restricted: bool,
    reason: Option<String>,
    at: String,
    actor: String,
    seq: u64,
}

/// What a check said.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectCheckOut {
    record_id: String,
    identifier: String,
    /// `mx` or `validator`.
    check: String,
    good: bool,
    detail: String,
    at: String,
}

/// What was said about being found.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectDiscoveryOut {
    /// `nobody`, `mutual` or `everyone`.
    policy: String,
    /// Left discovery for good.
    opted_out: bool,
    /// The tenant that is the person's address book.
    book: Option<String>,
    /// The user of the directory that the contact is known to be.
    directory_user: Option<String>,
    /// Everything that was set, oldest first.
    policies: Vec<PolicyOut>,
    /// Blocks by the person.
    blocks: Vec<BlockOut>,
    /// Which field for which audience.
    sharing: Vec<SharedFieldOut>,
}

/// A policy with its consent.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyOut {
    policy: String,
    basis: Option<String>,
    consent_actor: Option<String>,
    consent_at: Option<String>,
    at: String,
    actor: String,
}

/// A block.
#[derive(Debug, Serialize, ToSchema)]
struct BlockOut {
    /// Whom it is against, by id only.
    blocked_id: String,
    holds: bool,
    at: String,
}

/// A field and who sees it.
#[derive(Debug, Serialize, ToSchema)]
struct SharedFieldOut {
    field: String,
    audience: String,
}

/// An import that brought records.
#[derive(Debug, Serialize, ToSchema)]
struct ImportAboutOut {
    import_id: String,
    source: String,
    started_at: String,
    /// Lines of the file, from 1; 100 at most.
    lines: Vec<u64>,
}

/// A webhook that was told.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectWebhookOut {
    webhook_id: String,
    /// Where it is.
    host: String,
    /// Entries about the person that it has heard.
    entries_told: u64,
    /// Deliveries that were given up and name the person.
    dead_deliveries: Vec<String>,
}

/// What was gathered outside of the tenant's state.
pub(crate) struct Around {
    /// When.
    pub(crate) now: Millis,
    /// The tenant.
    pub(crate) tenant: String,
    /// The id that was asked about.
    pub(crate) asked_for: EntityId,
    /// Days after which soft-deleted contacts are erased; 0: never.
    pub(crate) deleted_days: u32,
    /// The audit trail; true: there is more.
    pub(crate) audit: (Vec<AuditEntry>, bool),
    /// Imports; true: there is more.
    pub(crate) imports: (Vec<ImportAbout>, bool),
    /// The businesses, with names.
    pub(crate) accounts: Vec<RelationOut>,
}

impl SubjectOut {
    /// Puts everything together.
    pub(crate) fn new(subject: &Subject, around: Around) -> Self {
        let mut truncated: Vec<String> = subject.truncated.iter().map(|name| (*name).to_owned()).collect();
        truncated.extend(around.audit.1.then(|| "audit".to_owned()));
        truncated.extend(around.imports.1.then(|| "imports".to_owned()));
        let restriction = |(contact, one): &(EntityId, Moment)| RestrictionOut {
            contact_id: contact.to_string(),
            restricted: one.restricted,
            reason: one.reason.clone(),
            at: time(one.at),
            actor: one.actor.clone(),
            seq: one.seq.0,
        };
        Self {
            generated_at: time(around.now),
            tenant: around.tenant,
            asked_for: around.asked_for.to_string(),
            contact_ids: id_texts(&subject.ids),
            state: state(subject, around.deleted_days),
            contact: ContactOut::from(&subject.contact),
            records: subject.records.iter().map(SubjectRecordOut::from).collect(),
            history: subject.history.iter().map(SubjectChangeOut::from).collect(),
            merges: subject.merges.iter().map(MergeOut::from).collect(),
            reviews: subject.reviews.iter().map(SubjectReviewOut::from).collect(),
            judgements: subject.judgements.iter().map(JudgementOut::from).collect(),
            references: subject.references.iter().map(|put| ReferenceOut::from(&**put)).collect(),
            accounts: around.accounts,
            conflicts: subject.conflicts.iter().map(ConflictOut::from).collect(),
            restrictions: subject.restrictions.iter().map(restriction).collect(),
            checks: subject.checks.iter().map(|(record, check)| check_out(&record.to_string(), check)).collect(),
            discovery: SubjectDiscoveryOut::from(&subject.discovery),
            imports: around.imports.0.iter().map(ImportAboutOut::from).collect(),
            webhooks: subject.webhooks.iter().map(SubjectWebhookOut::from).collect(),
            audit: around.audit.0.iter().map(AuditOut::from).collect(),
            answers_kept: subject.answers_kept,
            truncated,
        }
    }
}

fn state(subject: &Subject, deleted_days: u32) -> StateOut {
    let contact = &subject.contact;
    let erased = Millis(contact.updated_at.0.saturating_add(i64::from(deleted_days) * 24 * 3600 * 1000));
    StateOut {
        deleted: contact.deleted,
        restricted: contact.restricted,
        erased_at: (contact.deleted && deleted_days > 0).then(|| time(erased)),
    }
}

fn check_out(record_id: &str, check: &Check) -> SubjectCheckOut {
    SubjectCheckOut {
        record_id: record_id.to_owned(),
        identifier: check.identifier.clone(),
        check: check.kind.word().to_owned(),
        good: check.good,
        detail: check.detail.clone(),
        at: time(check.at),
    }
}

impl From<&SubjectRecord> for SubjectRecordOut {
    fn from(record: &SubjectRecord) -> Self {
        Self {
            record_id: record.record_id.to_string(),
            source: record.key.as_ref().map(|key| key.source.to_string()),
            source_record_id: record.key.as_ref().map(|key| key.source_record_id.to_string()),
            current: record.is_current,
            versions: record.versions.iter().map(VersionOut::from).collect(),
        }
    }
}

impl From<&SubjectVersion> for VersionOut {
    fn from(version: &SubjectVersion) -> Self {
        let taken = |(field, value): &(String, String)| TakenOut { field: field.clone(), value: value.clone() };
        Self {
            seq: version.seq.0,
            received_at: time(version.at),
            received_from: version.actor.clone(),
            said: version.fields.as_ref().map(FieldsOut::of_record),
            source_updated_at: version.source_updated_at.map(time),
            version: version.version,
            stale: version.is_stale,
            taken_away: version.suppressed.iter().map(taken).collect(),
        }
    }
}

impl From<&SubjectChange> for SubjectChangeOut {
    fn from(one: &SubjectChange) -> Self {
        Self { change: ChangeOut::from(&one.change), withheld: one.is_withheld }
    }
}

impl From<&SubjectReview> for SubjectReviewOut {
    fn from(review: &SubjectReview) -> Self {
        let evidence = |(comparison, level, bits): &(&'static str, String, f64)| EvidenceOut {
            comparison: (*comparison).to_owned(),
            level: level.clone(),
            weight_bits: *bits,
        };
        Self {
            review_id: review.review_id.to_string(),
            status: review.status.to_owned(),
            at: time(review.at),
            score: review.score,
            record_id: review.record_id.to_string(),
            other_record_id: review.other_record_id.to_string(),
            own: review.is_own,
            evidence: review.evidence.iter().map(evidence).collect(),
            answered_at: review.answered.as_ref().map(|(at, _)| time(*at)),
            answered_by: review.answered.as_ref().map(|(_, actor)| actor.clone()),
            texts: review.texts.clone(),
            withheld: review.is_withheld,
        }
    }
}

impl From<&SubjectJudgement> for JudgementOut {
    fn from(one: &SubjectJudgement) -> Self {
        let texts = |records: &[crate::model::ids::RecordId]| records.iter().map(ToString::to_string).collect();
        Self {
            judgement_id: one.judgement_id.to_string(),
            decision: if one.same { "same" } else { "different" }.to_owned(),
            at: time(one.at),
            record_ids: texts(&one.records),
            other_record_ids: texts(&one.others),
        }
    }
}

impl From<&SubjectDiscovery> for SubjectDiscoveryOut {
    fn from(said: &SubjectDiscovery) -> Self {
        let shared =
            |(field, audience): &(String, String)| SharedFieldOut { field: field.clone(), audience: audience.clone() };
        Self {
            policy: said.policy.to_owned(),
            opted_out: said.is_opted_out,
            book: said.book.clone(),
            directory_user: said.user.map(|user| user.to_string()),
            policies: said.policies.iter().map(|set| policy(set)).collect(),
            blocks: said.blocks.iter().map(|set| block(set)).collect(),
            sharing: said.sharing.iter().map(shared).collect(),
        }
    }
}

fn policy(set: &PolicySet) -> PolicyOut {
    let consent = set.consent.as_ref();
    PolicyOut {
        policy: set.policy.word().to_owned(),
        basis: consent.map(|consent| consent.basis.clone()),
        consent_actor: consent.map(|consent| consent.actor.clone()),
        consent_at: consent.map(|consent| time(consent.at)),
        at: time(set.at),
        actor: set.actor.clone(),
    }
}

fn block(set: &BlockSet) -> BlockOut {
    BlockOut { blocked_id: set.blocked.to_string(), holds: set.holds, at: time(set.at) }
}

impl From<&ImportAbout> for ImportAboutOut {
    fn from(about: &ImportAbout) -> Self {
        Self {
            import_id: about.report.import_id.to_string(),
            source: about.report.source.clone(),
            started_at: time(about.report.started_at),
            lines: about.lines.clone(),
        }
    }
}

impl From<&SubjectWebhook> for SubjectWebhookOut {
    fn from(hook: &SubjectWebhook) -> Self {
        Self {
            webhook_id: hook.webhook_id.to_string(),
            host: host(&hook.url),
            entries_told: hook.told,
            dead_deliveries: hook.dead.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The host of a URL; what stands behind it may be a secret.
pub(crate) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}
