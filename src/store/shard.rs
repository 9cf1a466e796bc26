//! One tenant's state, as nouns: what is there and how to find it. No decisions, no changes (see `apply`).

use std::sync::Arc;

use crate::cow::{PMap, PVec};
use crate::index::account::{WITH_DOMAIN, WITHOUT_DOMAIN};
use crate::index::keyset::KeySet;
use crate::index::names::{GivenHint, NameIndex};
use crate::index::postings::{Posting, Postings};
use crate::index::tier::{is_live, tier_of};
use crate::matching::account::NameShapes;
use crate::matching::features::Features;
use crate::matching::model::Model;
use crate::model::account::Business;
use crate::model::event::{AnswerKept, Edge, Merged, RecordPut, TenantGone};
use crate::model::ids::{EntityId, JudgementId, MergeId, Millis, RecordId, ReviewId, Seq, TenantId};
use crate::model::key::{Key, KeyKind, Millibits, Tier};
use crate::model::normalized::Normalized;
use crate::model::settings::Settings;
use crate::model::survivorship::Survivorship;
use crate::store::access::ApiKeys;
use crate::store::conflicts::Conflict;
use crate::store::consent::Consents;
use crate::store::edges::Edges;
use crate::store::erase::Erasures;
use crate::store::groups::Groups;
use crate::store::judge::Judgements;
use crate::store::lookup::{Epochs, Quotas};
use crate::store::models::Models;
use crate::store::oprf::Oprf;
use crate::store::parked::Parked;
use crate::store::places::Places;
use crate::store::privacy::Privacy;
use crate::store::references::References;
use crate::store::relations::Relations;
use crate::store::stored::Stored;
use crate::store::webhooks::Webhooks;
use crate::store::words::Words;

/// One tenant's state as of one seq. `clone` is cheap: the parts are shared until one side writes.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Its number in the journal.
    pub tenant: TenantId,
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// What golden values were picked by over time, oldest first; before the first of these by the defaults.
    pub policies: Arc<Vec<Policy>>,
    /// The active model.
    pub model: Arc<Model>,
    /// All models, and which is active.
    pub models: Models,
    /// The last event applied.
    pub seq: Seq,
    /// Records by slot. A slot belongs to one record for ever.
    pub slots: PVec<Slot>,
    /// Slot of a record id.
    pub by_id: Places,
    /// Slot of a record key.
    pub by_key: Places,
    /// Who holds which blocking key.
    pub postings: Postings,
    /// Family names, for queries.
    pub names: NameIndex,
    /// Edges between slots.
    pub edges: Edges,
    /// Contacts by id, the redirecting and ended ones included.
    pub entities: PMap<EntityId, Arc<Entity>>,
    /// Contacts in the order they were first seen.
    pub entity_order: PVec<EntityId>,
    /// Merges by id.
    pub merges: PMap<MergeId, Arc<Merge>>,
    /// Merges in order.
    pub merge_order: PVec<MergeId>,
    /// Reviews by id, the closed ones included.
    pub reviews: PMap<ReviewId, Arc<Review>>,
    /// Open reviews of a slot.
    pub reviews_of: PMap<u32, Arc<Vec<ReviewId>>>,
    /// What people decided.
    pub judgements: Judgements,
    /// The change feed.
    pub feed: PVec<Feed>,
    /// What points at contacts from outside.
    pub references: References,
    /// Who wants to hear of changes.
    pub webhooks: Webhooks,
    /// Keys of oblivious look-ups.
    pub oprf: Oprf,
    /// The businesses; missing: none was ever put. See [`crate::store::accounts`].
    pub accounts: Option<Arc<Shard>>,
    /// These are the businesses themselves.
    pub is_of_accounts: bool,
    /// Who belongs to which business, as registered.
    pub relations: Relations,
    /// Which records of people point at a business: by mail domain, by the account they name.
    pub affiliations: Postings,
    /// Records whose source contradicts itself.
    pub conflicts: PMap<RecordId, Conflict>,
    /// The keys of a directory.
    pub epochs: Epochs,
    /// How full quotas of look-ups may be.
    pub quotas: Quotas,
    /// What people say of groups.
    pub groups: Groups,
    /// Who was erased.
    pub erasures: Erasures,
    /// Who is stored only, and what was found out about identifiers.
    pub privacy: Privacy,
    /// Who may be found by whom.
    pub consents: Consents,
    /// Tenants that were erased; the server's own state has them, that of a tenant none.
    pub graves: Arc<Vec<TenantGone>>,
    /// The API keys that were made while the server ran; the server's own state has them, that of a tenant none.
    pub api_keys: ApiKeys,
    /// The tenant itself was erased: there is nothing here but that, and nothing can be written any more.
    pub is_ended: bool,
    /// Who changed things.
    pub words: Words,
    /// Answers to repeat.
    pub kept: PMap<Arc<str>, Arc<AnswerKept>>,
    /// Size of `kept` at which old answers are dropped.
    pub kept_prune_at: usize,
    /// Contacts with records that are not soft-deleted.
    pub contacts_live: u64,
    /// Records that count.
    pub records_live: u64,
    /// Open reviews.
    pub reviews_open: u64,
    /// All this is only the head of a tenant that nobody asks for: its contacts are here, packed. See
    /// [`crate::store::parked`].
    pub parked: Option<Arc<Parked>>,
}

/// What golden values are picked by from some moment on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// From when on, in the tenant's order.
    pub seq: Seq,
    /// When it was set.
    pub at: Millis,
    /// Who set it.
    pub actor: String,
    /// The rule of each field.
    pub survivorship: Survivorship,
    /// Sources from most to least trusted.
    pub source_trust: Vec<String>,
}

/// One record's place: its versions and the contact it is in.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its id.
    pub record_id: RecordId,
    /// The latest version that counts; `None` when the source withdrew it.
    pub current: Option<Arc<Version>>,
    /// Everything that happened to it, oldest first.
    pub past: Arc<Vec<Past>>,
    /// Its contact.
    pub entity: Option<EntityId>,
    /// The contact id it was born under.
    pub native: Option<EntityId>,
    /// See [`Slot::once`]; most records never had another.
    pub once: Option<Arc<Vec<EntityId>>>,
}

impl Slot {
    /// Contact ids it had before, oldest first, each once.
    pub fn once(&self) -> &[EntityId] {
        self.once.as_ref().map_or(&[], |ids| ids.as_slice())
    }
}

/// One thing that happened to a record.
#[derive(Clone, Debug)]
pub struct Past {
    /// When, in the tenant's order.
    pub seq: Seq,
    /// When, by our clock.
    pub at: Millis,
    /// Who.
    pub actor: Arc<str>,
    /// What was put; `None`: withdrawn.
    pub put: Option<Arc<Stored>>,
}

/// The version of a record that counts, with what matching and retrieval need of it.
#[derive(Clone, Debug)]
pub struct Version {
    /// What was put.
    pub stored: Arc<Stored>,
    /// Precomputed for scoring.
    pub features: Features,
    /// Blocking keys.
    pub keys: KeySet,
    hint: GivenHint,
    /// As in what was put, which lies elsewhere: it is asked for with every candidate.
    manual: bool,
}

/// What follows from a put of a person's record.
struct Derived {
    features: Features,
    keys: KeySet,
    hint: GivenHint,
}

impl Derived {
    fn new(put: &RecordPut, manual: bool, model: &Model) -> Self {
        let mut features = Features::new(&put.normalized, model);
        // What is only asked about has no name of its own in any source.
        if !manual && put.record_id.0 != 0 {
            features.add_own_id(&put.record.key.source, &put.record.key.source_record_id, model);
        }
        let keys = if manual { Vec::new() } else { crate::index::key::emit(&features, &put.normalized, model) };
        let hint = GivenHint::new(&put.normalized.name.first_tokens, features.given_code);
        Self { features, keys: KeySet::new(keys), hint }
    }

    fn version(self, stored: Arc<Stored>) -> Version {
        let Self { features, keys, hint } = self;
        Version { features, keys, hint, manual: stored.manual, stored }
    }
}

/// What a version of a business' record has beside what a person's has.
#[derive(Debug)]
pub struct BusinessVersion {
    /// As the source said it and as it was read.
    pub business: Business,
    /// Its names, precomputed for comparing.
    pub shapes: NameShapes,
}

impl Version {
    /// Makes a version: derives features and keys, which are functions of the put and the model.
    pub fn new(put: &RecordPut, seq: Seq, model: &Model) -> Self {
        Self::of_stored(put, Arc::new(Stored::new(put, seq, None)), model)
    }

    /// The same for a put that is only laid over: it is not packed, as it will soon be gone.
    pub fn asked(put: RecordPut, seq: Seq, model: &Model) -> Self {
        let derived = Derived::new(&put, false, model);
        derived.version(Arc::new(Stored::asked(put, seq)))
    }

    /// The same for a business, whose keys are its own and which is not scored like a person.
    pub fn of_account(put: &RecordPut, business: Business, seq: Seq, model: &Model) -> Self {
        let shapes = NameShapes::new(&business);
        let of = Arc::new(BusinessVersion { business, shapes });
        Self::of_stored(put, Arc::new(Stored::new(put, seq, Some(of))), model)
    }

    /// Makes the version of what is packed already. `put` is what it unpacks to.
    pub fn of_stored(put: &RecordPut, stored: Arc<Stored>, model: &Model) -> Self {
        if let Some(of) = &stored.business {
            let features = Features::new(&Normalized::default(), model);
            let keys = if stored.manual { Vec::new() } else { crate::index::account::keys(&of.business, &of.shapes) };
            let code = if of.business.domains.is_empty() { WITHOUT_DOMAIN } else { WITH_DOMAIN };
            let hint = GivenHint::new(&put.normalized.name.first_tokens, code);
            return Self { features, keys: KeySet::new(keys), hint, manual: stored.manual, stored };
        }
        Derived::new(put, stored.manual, model).version(stored)
    }

    /// Makes the version of what was derived before, from this very put under this very model.
    pub(in crate::store) fn kept(stored: Arc<Stored>, features: Features, keys: KeySet, hint: GivenHint) -> Self {
        Self { features, keys, hint, manual: stored.manual, stored }
    }

    /// The same as the put of another event.
    pub fn at(mut self, seq: Seq) -> Self {
        if let Some(stored) = Arc::get_mut(&mut self.stored) {
            stored.seq = seq;
        }
        self
    }

    /// What only a business has; `None`: a person's record.
    pub fn business(&self) -> Option<&BusinessVersion> {
        self.stored.business.as_deref()
    }

    /// Sound code of the given name, for counting people; 0: none. Of a business whether its domain is known.
    pub fn given_code(&self) -> u32 {
        match &self.stored.business {
            None => self.features.given_code,
            Some(of) if of.business.domains.is_empty() => WITHOUT_DOMAIN,
            Some(_) => WITH_DOMAIN,
        }
    }

    /// What the family names' index keeps of the given name.
    pub fn given_hint(&self) -> GivenHint {
        self.hint
    }

    /// Whether it says anything that matching may count: an edit by hand does not.
    pub fn is_evidence(&self) -> bool {
        !self.manual
    }

    /// Whether it carries a key.
    pub fn has(&self, key: Key) -> bool {
        self.keys.has(key)
    }
}

/// A contact id and what it names now.
#[derive(Clone, Debug)]
pub struct Entity {
    /// The id.
    pub id: EntityId,
    /// Slots of its records, ascending. Empty when it redirects or ended.
    pub members: Arc<[u32]>,
    /// Slot of the manual record anchored to this id, if it was ever edited.
    pub manual: Option<u32>,
    /// Where it redirects to, one hop.
    pub redirect: Option<EntityId>,
    /// Ids that redirect here, directly.
    pub absorbed: Vec<EntityId>,
    /// Soft-deleted.
    pub deleted: bool,
    /// First seen.
    pub created_at: Millis,
    /// What happened to its set of records, oldest first.
    pub moments: Arc<Vec<Moment>>,
    /// How often it changed.
    pub version: u64,
    /// Last changed.
    pub updated_at: Millis,
    /// Last changed, by seq.
    pub updated_seq: Seq,
    /// Source or actor of the last change.
    pub updated_by: Arc<str>,
}

/// A change of a contact's records or state.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When, in the tenant's order.
    pub seq: Seq,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: Arc<str>,
    /// What.
    pub kind: FeedKind,
    /// The records from then on.
    pub members: Arc<[u32]>,
}

/// What happened to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FeedKind {
    /// First seen.
    Created = 0,
    /// A record came, changed or left.
    Updated = 1,
    /// Took in others, or was taken in.
    Merged = 2,
    /// Came back out of a merge.
    Unmerged = 3,
    /// New, out of another's records.
    Split = 4,
    /// Soft-deleted, or lost its last record.
    Deleted = 5,
    /// Restored.
    Restored = 6,
    /// Gone for good.
    Erased = 7,
    /// Is a user of the directory, as far as this tenant may know.
    Joined = 8,
    /// Is one no more, or this tenant may not know any more.
    Left = 9,
}

impl FeedKind {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Merged => "merged",
            Self::Unmerged => "unmerged",
            Self::Split => "split",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Erased => "erased",
            Self::Joined => "joined",
            Self::Left => "left",
        }
    }

    /// The kind of a word of the contract; `None` for a word that is none.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().find(|kind| kind.word() == word)
    }

    /// Every kind, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX)
            .map(|number| (number, Self::from_number(number)))
            .filter(|(n, kind)| *kind as u8 == *n)
            .map(|(_, kind)| kind)
    }

    /// From its number on disk; unknown ones read as `Updated`.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Created,
            2 => Self::Merged,
            3 => Self::Unmerged,
            4 => Self::Split,
            5 => Self::Deleted,
            6 => Self::Restored,
            7 => Self::Erased,
            8 => Self::Joined,
            9 => Self::Left,
            _ => Self::Updated,
        }
    }
}

/// One entry of the change feed.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Position.
    pub seq: Seq,
    /// When.
    pub at: Millis,
    /// What.
    pub kind: FeedKind,
    /// Which contacts, the one that stays first.
    pub entities: Vec<EntityId>,
    /// They are accounts.
    pub of_accounts: bool,
}

/// A merge and what became of it.
#[derive(Clone, Debug)]
pub struct Merge {
    /// As decided.
    pub merged: Merged,
    /// When.
    pub at: Millis,
    /// Which event.
    pub seq: Seq,
    /// Who.
    pub actor: String,
    /// When it was undone.
    pub undone_at: Option<Millis>,
}

/// Where a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReviewStatus {
    /// Waits for an answer.
    Open = 0,
    /// Answered: the same.
    Same = 1,
    /// Answered: different.
    Different = 2,
    /// Answered: cannot tell. Still open, asked last.
    Unsure = 3,
    /// The question no longer arises.
    Withdrawn = 4,
}

impl ReviewStatus {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Same => "same",
            Self::Different => "different",
            Self::Unsure => "unsure",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// From its number on disk; unknown ones read as `Withdrawn`.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Same,
            2 => Self::Different,
            3 => Self::Unsure,
            _ => Self::Withdrawn,
        }
    }

    /// Whether it may still be answered.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Unsure)
    }
}

/// A question to a steward.
#[derive(Clone, Debug)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// The pair that asks.
    pub pair: Edge,
    /// Their slots.
    pub slots: (u32, u32),
    /// Mean support of the join.
    pub support: Millibits,
    /// A veto stands against it.
    pub vetoed: bool,
    /// When it was opened.
    pub at: Millis,
    /// Which event opened it.
    pub seq: Seq,
    /// Where it stands.
    pub status: ReviewStatus,
    /// Who is to answer it.
    pub assignee: Option<String>,
    /// What somebody wrote down.
    pub note: Option<String>,
    /// The last answer; an `unsure` one stays here when the question is asked anew.
    pub answer: Option<ReviewAnswer>,
}

/// What a steward said to a review, beside its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewAnswer {
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// What a key is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Proposes pairs.
    pub live: bool,
    /// How much it weighs.
    pub tier: Tier,
    /// People who hold it; 0 for a key that only proposes, where they are not counted.
    pub people: u32,
}

impl KeyState {
    /// From the two counts.
    pub fn of(kind: KeyKind, holders: usize, people: u32, settings: &Settings) -> Self {
        let holders = u32::try_from(holders).unwrap_or(u32::MAX);
        Self { live: is_live(kind, holders, people, settings), tier: tier_of(holders, people, settings), people }
    }
}

impl Shard {
    /// An empty tenant.
    pub fn new(tenant: TenantId, name: &str, model: Arc<Model>) -> Self {
        Self {
            tenant,
            name: name.into(),
            settings: Arc::default(),
            policies: Arc::default(),
            models: Models::new(Arc::clone(&model)),
            model,
            seq: Seq(0),
            slots: PVec::default(),
            by_id: Places::default(),
            by_key: Places::default(),
            postings: Postings::default(),
            names: NameIndex::default(),
            edges: Edges::default(),
            entities: PMap::new(),
            entity_order: PVec::default(),
            merges: PMap::new(),
            merge_order: PVec::default(),
            reviews: PMap::new(),
            reviews_of: PMap::new(),
            judgements: Judgements::default(),
            feed: PVec::default(),
            references: References::default(),
            webhooks: Webhooks::default(),
            oprf: Oprf::default(),
            accounts: None,
            is_of_accounts: false,
            relations: Relations::default(),
            affiliations: Postings::default(),
            conflicts: PMap::new(),
            epochs: Epochs::default(),
            quotas: Quotas::default(),
            groups: Groups::default(),
            erasures: Erasures::default(),
            privacy: Privacy::default(),
            consents: Consents::default(),
            graves: Arc::default(),
            api_keys: ApiKeys::default(),
            is_ended: false,
            words: Words::default(),
            kept: PMap::new(),
            kept_prune_at: 1024,
            contacts_live: 0,
            records_live: 0,
            reviews_open: 0,
            parked: None,
        }
    }

    /// A slot.
    pub fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)
    }

    /// The version that counts in a slot. Manual records and withdrawn ones have none that is evidence.
    pub fn evidence(&self, at: u32) -> Option<&Arc<Version>> {
        self.slot(at)?.current.as_ref().filter(|version| version.is_evidence())
    }

    /// The slot that the next new record gets.
    pub fn next_slot(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// What a key is worth, among this state's records.
    pub fn key_state(&self, key: Key, kind: KeyKind) -> KeyState {
        self.state_of(self.postings.get(key), kind)
    }

    /// The same for a key whose holders were looked up already.
    pub fn state_of(&self, posting: Option<Posting<'_>>, kind: KeyKind) -> KeyState {
        // Who the holders are counts for identifiers only.
        let people = |p: Posting<'_>| if kind.is_identifier() { p.people() } else { 0 };
        let (holders, people) = posting.map_or((0, 0), |p| (p.holders(), people(p)));
        KeyState::of(kind, holders, people, &self.settings)
    }

    /// The holders of a key.
    pub fn holders(&self, key: Key) -> Vec<(u32, u32)> {
        self.postings.get(key).map(Posting::entries).unwrap_or_default()
    }

    /// A contact id as it stands, redirecting or not.
    pub fn entity(&self, id: EntityId) -> Option<&Arc<Entity>> {
        self.entities.get(&id)
    }

    /// Follows redirects to the contact that lives, or the last one in the chain.
    pub fn resolve_id(&self, id: EntityId) -> Option<EntityId> {
        let mut at = self.entities.get(&id)?;
        // Redirects never form a ring; the bound guards a damaged state against an endless loop.
        for _ in 0..1_000_000 {
            match at.redirect {
                None => return Some(at.id),
                Some(next) => at = self.entities.get(&next)?,
            }
        }
        None
    }

    /// The manual slots of a contact: its own and those of every id that redirects to it.
    pub fn manual_slots(&self, entity: &Entity) -> Vec<u32> {
        let mut found: Vec<u32> = entity.manual.into_iter().collect();
        let mut queue = entity.absorbed.clone();
        while let Some(id) = queue.pop() {
            if let Some(other) = self.entities.get(&id) {
                found.extend(other.manual);
                queue.extend(other.absorbed.iter().copied());
            }
        }
        found.sort_unstable();
        found
    }

    /// The judgement behind a merge, if a person made it.
    pub fn merge_judgement(&self, merge: MergeId) -> Option<JudgementId> {
        self.merges.get(&merge)?.merged.judgement
    }
}
