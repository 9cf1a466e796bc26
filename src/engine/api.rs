//! What callers ask of the engine and what it answers: plain data, the same for HTTP, tests and tools.
//!
//! A [`Command`] changes a tenant and is atomic; everything else is a read on a view. JSON spellings
//! belong to `http`; here are the types.

use std::collections::BTreeMap;

use crate::engine::accounts::AccountCommand;
pub use crate::engine::consent::ConsentCommand;
use crate::engine::discovery::DiscoveryCommand;
pub use crate::engine::reader::groups::GroupEntry;
use crate::formats::InputRecord;
use crate::matching::Grade;
use crate::matching::explain::Explanation;
use crate::model::event::{IdentifierChecked, ReferenceName};
use crate::model::ids::{
    DeliveryId, EntityId, EraseId, MergeId, Millis, ModelId, RecordId, RecordKey, ReviewId, Seq, WebhookId,
};
use crate::model::issue::Issue;
use crate::model::record::Fields;
use crate::model::settings::Settings;
pub use crate::normalize::validity::Validity;
pub use crate::resolve::activate::{Preview, Shown};
pub use crate::resolve::consent::Policy;
pub use crate::resolve::survive::Provenance;
pub use crate::resolve::webhook::{NewWebhook, Report};
pub use crate::store::shard::ReviewAnswer;
pub use models::{ModelCard, ModelStatus};

mod models;

/// How an upsert treats a record that looks like somebody known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Resolve: join above the threshold, review in between.
    #[default]
    Merge,
    /// Refuse (`conflict`) a record with an email or external id that another contact holds.
    Strict,
}

/// What a steward says to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same person.
    Same,
    /// Different people.
    Different,
    /// Cannot tell; stays open, asked less eagerly.
    Unsure,
}

/// A change to one tenant.
#[derive(Clone, Debug)]
pub enum Command {
    /// Put records; each is decided on its own, in order.
    Upsert {
        /// The records.
        records: Vec<InputRecord>,
        /// Merge or strict.
        mode: Mode,
        /// Decide and answer, but write nothing.
        dry_run: bool,
    },
    /// Say that contacts are one person.
    Merge {
        /// At least two.
        contacts: Vec<EntityId>,
        /// Whose id stays; missing: the oldest.
        survivor: Option<EntityId>,
        /// For the record.
        reason: Option<String>,
        /// Answer only.
        dry_run: bool,
    },
    /// Undo one merge.
    UndoMerge {
        /// Which.
        merge: MergeId,
    },
    /// Take records out of a contact, for good.
    Split {
        /// From which.
        contact: EntityId,
        /// Which records.
        records: Vec<RecordId>,
    },
    /// Answer a review.
    Decide {
        /// Which.
        review: ReviewId,
        /// What.
        decision: Decision,
        /// Why.
        reason: Option<String>,
    },
    /// Assign a review or write a note on it. What is `None` stays as it is, `Some(None)` is taken away.
    NoteReview {
        /// Which.
        review: ReviewId,
        /// Who is to answer it.
        assignee: Option<Option<String>>,
        /// Free text.
        note: Option<Option<String>>,
    },
    /// Edit the contact by hand; kept as a record of source `manual`.
    Patch {
        /// Which.
        contact: EntityId,
        /// Values to set; list fields are the whole new list.
        set: Box<Fields>,
        /// Names of the top-level fields present in the patch (set or null).
        touched: Vec<String>,
    },
    /// Forget a contact for good, in memory and in every file.
    Erase {
        /// Which.
        contact: EntityId,
    },
    /// Forget the tenant for good, with everything in it.
    EraseTenant,
    /// Erase what is kept no longer, by the tenant's retention.
    Retain,
    /// Make the tenant, if it does not exist yet.
    CreateTenant,
    /// Soft delete.
    Delete {
        /// Which.
        contact: EntityId,
    },
    /// Undo a soft delete.
    Restore {
        /// Which.
        contact: EntityId,
    },
    /// Store a contact and do not use it, or use it again.
    Restrict {
        /// Which.
        contact: EntityId,
        /// Restricted, else free again.
        restricted: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Keep what was found out about identifiers.
    Checked(Vec<IdentifierChecked>),
    /// A source's tombstone.
    DeleteRecord {
        /// Which.
        key: RecordKey,
    },
    /// New settings.
    PutSettings {
        /// All of them.
        settings: Box<Settings>,
    },
    /// Another model decides from now on; all contacts are resolved anew under it.
    ActivateModel {
        /// Which.
        model: ModelId,
    },
    /// Who hears of changes.
    Webhook(WebhookCommand),
    /// What points at a contact from outside.
    Reference(ReferenceCommand),
    /// Businesses, and who belongs to them.
    Account(AccountCommand),
    /// Pick one of a record's versions that contradict each other.
    SettleConflict {
        /// Which record.
        record: RecordId,
        /// The seq of the put to keep.
        keep: Seq,
    },
    /// Keys and quotas of look-ups in a directory.
    Discovery(DiscoveryCommand),
    /// What people say of groups.
    Group(GroupCommand),
    /// Who may be found by whom.
    Consent(ConsentCommand),
    /// Keep ids under the caller's idempotency key, so that a repeat means what the first call meant. Changes nothing else.
    Remember {
        /// Reviews, or a model.
        ids: Vec<u128>,
    },
}

/// A change to a group.
#[derive(Clone, Debug)]
pub enum GroupCommand {
    /// Name it; one that was deleted is back.
    Put {
        /// Which.
        slug: String,
        /// What it is called.
        name: String,
        /// Free text.
        description: Option<String>,
    },
    /// Take it away from all contacts.
    Delete {
        /// Which.
        slug: String,
    },
}

/// A change to what points at a contact from outside.
#[derive(Clone, Debug)]
pub enum ReferenceCommand {
    /// Let it point at this contact.
    Put {
        /// Which contact.
        contact: EntityId,
        /// The reference.
        name: ReferenceName,
        /// Also when another contact has it.
        take_over: bool,
    },
    /// Let it point at nobody.
    Delete {
        /// Which contact has it.
        contact: EntityId,
        /// The reference.
        name: ReferenceName,
    },
}

/// A change to who hears of changes.
#[derive(Clone, Debug)]
pub enum WebhookCommand {
    /// Register one.
    Create(Box<NewWebhook>),
    /// End one.
    Delete(WebhookId),
    /// Want a dead delivery sent again.
    Retry(WebhookId, DeliveryId),
    /// What the deliverer reports.
    Report(WebhookId, Report),
}

/// Who asks, and whether a repeat must give the first answer.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// For history and audit: the key's name, or `api`.
    pub actor: String,
    /// `Idempotency-Key` and a digest of the body, if sent.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A new contact.
    Created,
    /// A known record has new content.
    Updated,
    /// Nothing new.
    Unchanged,
    /// Older than what is stored; went to history only.
    Stale,
    /// Joined a known contact.
    Merged,
    /// A new contact, and a question to a steward.
    Review,
    /// Strict mode: a business key is taken. Else: the source said something else under the same version and time.
    Conflict,
    /// Not usable; see issues.
    Invalid,
}

impl Outcome {
    /// All of them. A kept answer has its place in here on disk: add at the end only.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Updated,
        Self::Unchanged,
        Self::Stale,
        Self::Merged,
        Self::Review,
        Self::Conflict,
        Self::Invalid,
    ];

    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Stale => "stale",
            Self::Merged => "merged",
            Self::Review => "review",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
        }
    }
}

/// The answer to one record of an upsert.
#[derive(Clone, Debug, PartialEq)]
pub struct UpsertResult {
    /// What became of it.
    pub outcome: Outcome,
    /// Its contact; on conflict the holder.
    pub contact_id: Option<EntityId>,
    /// The record.
    pub record_id: Option<RecordId>,
    /// Match probability of the best join or review, 0 to 1.
    pub score: Option<f64>,
    /// Contacts that changed.
    pub affected: Vec<EntityId>,
    /// Remarks.
    pub issues: Vec<Issue>,
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To `Upsert`: one result a record, in order.
    Upserted(Vec<UpsertResult>),
    /// To `Merge`. `merge_id` is missing on a dry run.
    Merged {
        /// For undo.
        merge_id: Option<MergeId>,
        /// Who stays.
        survivor: EntityId,
        /// Who redirects now.
        losers: Vec<EntityId>,
    },
    /// To `UndoMerge` and `Split`: the contacts there are now.
    Parts(Vec<EntityId>),
    /// To `Patch`, `Delete`, `Restore`, `Restrict`, `Reference`: the contact.
    Contact(EntityId),
    /// To `CreateTenant`, `Retain`, `Checked`, `Decide`, `NoteReview`, `DeleteRecord`, `PutSettings`, `ActivateModel`, `SettleConflict`, `Group`: the contacts that
    /// changed. To what changes none: nobody. To `Remember`: the ids.
    Done(Vec<EntityId>),
    /// To the registration of a webhook.
    Webhook(WebhookId),
    /// To `Erase` and `EraseTenant`: the erasure, to ask how far it is.
    Erasure(EraseId),
}

/// An answer and the tenant's seq after it.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// What happened.
    pub answer: Answer,
    /// Dense per tenant.
    pub seq: Seq,
}

/// A record as listed in its contact.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordHead {
    /// Its id.
    pub record_id: RecordId,
    /// Source and the source's id.
    pub key: RecordKey,
    /// When it was received last.
    pub ingested_at: Millis,
}

/// A record in full.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// Its id.
    pub record_id: RecordId,
    /// Source and the source's id.
    pub key: RecordKey,
    /// When it was received last.
    pub ingested_at: Millis,
    /// What the source said.
    pub fields: Fields,
    /// The source's clock, if it told.
    pub source_updated_at: Option<Millis>,
    /// The source's version, if it told.
    pub version: Option<u64>,
}

/// A golden contact.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// Its id.
    pub id: EntityId,
    /// "John Smith"; the organisation for a business; empty if nothing names it.
    pub canonical_name: String,
    /// Folded.
    pub name_normalized: String,
    /// Golden values; emails are canonical-delivered, phones E.164 where parsed.
    pub fields: Fields,
    /// Emails and phones (values) that another live contact holds too.
    pub shared: Vec<String>,
    /// Per field, per value of a list (`emails[0]`), per key of the attributes (`attributes.a`).
    pub provenance: BTreeMap<String, Provenance>,
    /// Keys of the attributes that did not fit when those of all records were put together: `attributes.a`.
    pub left_out: Vec<String>,
    /// Its records, oldest first.
    pub records: Vec<RecordHead>,
    /// Sources, sorted.
    pub sources: Vec<String>,
    /// Count of changes.
    pub version: u64,
    /// First seen.
    pub created_at: Millis,
    /// Last changed.
    pub updated_at: Millis,
    /// Source or actor of the last change.
    pub last_updated_by: String,
    /// Tenant's seq of the last change.
    pub seq: Seq,
    /// Soft-deleted.
    pub deleted: bool,
    /// Stored only: nothing uses it.
    pub restricted: bool,
    /// What is known of its emails and phones, by the value as shown.
    pub validity: BTreeMap<String, Validity>,
}

/// How much explanation a match gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainLevel {
    /// None.
    #[default]
    None,
    /// The match key only, and parts that weigh something.
    Summary,
    /// Everything.
    Full,
}

/// "Who is this contact?"
#[derive(Clone, Debug)]
pub struct MatchQuery {
    /// The contact asked about.
    pub input: InputRecord,
    /// At most this many candidates, 1 to 100. Default 10.
    pub limit: usize,
    /// Candidates below this probability are left out. Default 0.5.
    pub threshold: f64,
    /// How much to explain.
    pub explain: ExplainLevel,
    /// Contacts to leave out.
    pub exclude: Vec<EntityId>,
}

/// What an upsert would decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would join somebody.
    Match,
    /// It would raise a question.
    Review,
    /// It would be somebody new.
    NoMatch,
}

/// One possible answer.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The contact.
    pub contact_id: EntityId,
    /// Its best record.
    pub record_id: RecordId,
    /// Match probability.
    pub score: f64,
    /// Log2 odds, in bits.
    pub weight_bits: f64,
    /// FHIR's grade.
    pub grade: Grade,
    /// "+NAME+PHONE-BIRTHDAY".
    pub match_key: String,
    /// The golden contact.
    pub contact: Contact,
    /// That pair's evidence, if asked for.
    pub explanation: Option<Explanation>,
    /// Which ways proposed it: "email", "phone", "name"...
    pub found_by: Vec<&'static str>,
}

/// The answer to a match.
#[derive(Clone, Debug)]
pub struct MatchAnswer {
    /// What an upsert would decide.
    pub decision: Verdict,
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// A bound cut candidates off.
    pub truncated: bool,
}

/// One side of a `why`.
#[derive(Clone, Debug)]
pub enum Side {
    /// A contact: its best record against the other side counts.
    Contact(EntityId),
    /// A record.
    Record(RecordId),
    /// Not stored.
    Inline(Box<InputRecord>),
}

/// One version of a record that contradicts itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The event that put it.
    pub seq: Seq,
    /// When it was received.
    pub received_at: Millis,
    /// Who sent it.
    pub actor: String,
    /// It counts now.
    pub counts: bool,
    /// What it says.
    pub fields: Fields,
}

/// A record whose source said different things under one version and time.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictEntry {
    /// The record.
    pub record_id: RecordId,
    /// Source and the source's id.
    pub key: RecordKey,
    /// Its contact; missing when the source withdrew it.
    pub contact: Option<EntityId>,
    /// When the last of the versions came.
    pub found_at: Millis,
    /// The source's version number, if it told.
    pub version: Option<u64>,
    /// The source's clock, if it told.
    pub source_updated_at: Option<Millis>,
    /// The versions, oldest first.
    pub versions: Vec<Contradiction>,
}

/// The answer to a `why`.
#[derive(Clone, Debug)]
pub struct WhyAnswer {
    /// The records compared, if stored.
    pub left: Option<RecordId>,
    /// The records compared, if stored.
    pub right: Option<RecordId>,
    /// The full comparison.
    pub explanation: Explanation,
    /// Match probability.
    pub score: f64,
    /// FHIR's grade.
    pub grade: Grade,
    /// Kinds of live keys they share.
    pub shared_keys: Vec<&'static str>,
    /// Whether they are candidates at all.
    pub candidate: bool,
    /// They are in one contact now.
    pub same_contact: bool,
    /// In a sentence: what is missing for a match, or what stands against it. Empty when they match.
    pub missing: Vec<String>,
}

/// One change of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// `created`, `updated`, `merged`, `unmerged`, `deleted`, `restored`.
    pub kind: &'static str,
    /// The field; empty for changes of the whole contact.
    pub field: String,
    /// Before, as JSON text; missing: nothing.
    pub old: Option<String>,
    /// After, as JSON text.
    pub new: Option<String>,
    /// Source or `manual`.
    pub source: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Millis,
    /// Which event.
    pub seq: Seq,
    /// The survivorship rule.
    pub rule: &'static str,
}

/// One entry of the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Position.
    pub seq: Seq,
    /// `created`, `updated`, `merged`, `unmerged`, `split`, `deleted`, `restored`.
    pub kind: &'static str,
    /// Contacts or accounts concerned, the survivor first.
    pub contacts: Vec<EntityId>,
    /// They are accounts.
    pub of_accounts: bool,
    /// When.
    pub at: Millis,
}

/// One merge, done or undone.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeEntry {
    /// For undo.
    pub merge_id: MergeId,
    /// Who stays.
    pub survivor: EntityId,
    /// Who redirects.
    pub losers: Vec<EntityId>,
    /// When.
    pub at: Millis,
    /// Who: `resolver` for automatic ones.
    pub actor: String,
    /// Given by a person.
    pub reason: Option<String>,
    /// Match weight of the joining pair, bits; missing for manual merges.
    pub weight_bits: Option<f64>,
    /// The joining pair.
    pub pair: Option<(RecordId, RecordId)>,
    /// When it was undone.
    pub undone_at: Option<Millis>,
}

/// One question to a steward.
#[derive(Clone, Debug)]
pub struct ReviewEntry {
    /// Its id.
    pub review_id: ReviewId,
    /// Left contact now.
    pub left: EntityId,
    /// Right contact now.
    pub right: EntityId,
    /// The pair that raised it.
    pub pair: (RecordId, RecordId),
    /// Its match probability.
    pub score: f64,
    /// `weak`, `veto`: why it was not joined.
    pub reason: &'static str,
    /// When it was opened.
    pub at: Millis,
    /// `open`, `same`, `different`, `unsure`, `withdrawn`.
    pub status: &'static str,
    /// What an answer is worth: how near the join is to undecided, 0 to 1, times the pairs of records that it decides
    /// about. 0 when the two sides are one contact.
    pub value: f64,
    /// The pair's evidence in one word: `+NAME+PHONE-BIRTHDAY`. Empty when one of its records is gone.
    pub match_key: String,
    /// Who is to answer it.
    pub assignee: Option<String>,
    /// What somebody wrote down.
    pub note: Option<String>,
    /// The last answer. An open review has one where somebody could not tell and the evidence has changed since.
    pub answer: Option<ReviewAnswer>,
    /// The pair's evidence.
    pub explanation: Option<Explanation>,
}

/// Filters of the review queue. What is missing filters nothing.
#[derive(Clone, Debug, Default)]
pub struct ReviewQuery {
    /// `open`, `same`, `different`, `unsure` or `withdrawn`. Missing: those that wait, which are `open` and `unsure`.
    pub status: Option<String>,
    /// Assigned to this one; empty: to nobody.
    pub assignee: Option<String>,
    /// The match key, in any order of its parts.
    pub pattern: Option<String>,
    /// The pair's probability is at least this.
    pub min_score: Option<f64>,
    /// At most, 1 to 1,000. Default 100.
    pub limit: usize,
    /// Where the last page ended: opaque.
    pub cursor: Option<String>,
}

/// Filters of a list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Has this tag.
    pub tag: Option<String>,
    /// Is in this group.
    pub group: Option<String>,
    /// Has a record of this source.
    pub source: Option<String>,
    /// Changed after this time.
    pub updated_after: Option<Millis>,
    /// At most, 1 to 1,000. Default 100.
    pub limit: usize,
    /// Where the last page ended: opaque.
    pub cursor: Option<String>,
}

/// Free-text search.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// Words; an email or phone is looked up exactly.
    pub q: String,
    /// Filters, limit and cursor.
    pub list: ListQuery,
}

/// One hit.
#[derive(Clone, Debug)]
pub struct SearchHit {
    /// The contact.
    pub contact: Contact,
    /// `(field, text with <em>)`.
    pub highlights: Vec<(String, String)>,
}

/// A page of anything.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
    /// For search: the seq the text index covers.
    pub covered: Option<Seq>,
}

/// Figures of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live contacts.
    pub contacts: u64,
    /// Live records.
    pub records: u64,
    /// Businesses; 0 until accounts are built.
    pub accounts: u64,
    /// Open reviews.
    pub reviews_open: u64,
    /// The model that decides.
    pub model: ModelId,
    /// Records that this model is for; with more it should be trained again.
    pub model_records_max: u64,
    /// The tenant's seq.
    pub seq: Seq,
    /// When a write is answered: `always`, `interval(MS)` or `os`.
    pub durability: String,
    /// Estimated bytes by part.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Hex digest of the state: equal states, equal digests.
    pub fingerprint: String,
}

/// A running or finished import, as kept by the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportTotals {
    /// Lines read.
    pub rows: u64,
    /// By outcome, indexed by [`Outcome::word`].
    pub outcomes: BTreeMap<&'static str, u64>,
}
