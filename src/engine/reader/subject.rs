//! Everything that is held about one person (GDPR article 15), out of one view.
//!
//! What belongs to a person: their contact, every id that leads to it, and every record that was ever theirs and did not go to
//! somebody else. Of others there is nothing but ids, levels and weights: what a merge showed while it stood, and free text on
//! a question that separates two people, is held back and said to be so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::{History, moment_at};
use super::{View, merge_entry};
use crate::engine::accounts::Link;
use crate::engine::api::{Change, ConflictEntry, Contact, MergeEntry};
use crate::error::{Error, Result};
use crate::model::event::{BlockSet, PolicySet, ReferencePut};
use crate::model::ids::{DeliveryId, EntityId, JudgementId, Millis, RecordId, RecordKey, ReviewId, Seq, WebhookId};
use crate::model::record::Fields;
use crate::resolve::erase::{ids_of, slots_of};
use crate::resolve::relation::links;
use crate::store::judge::Verdict;
use crate::store::privacy::{Check, Moment};
use crate::store::shard::{Entity, Past, Review};
use crate::store::webhooks::Webhook;

/// Items of each list at most; a longer one is cut and named.
pub const ITEMS_MAX: usize = 10_000;

/// Everything about one person.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The contact as it shows.
    pub contact: Contact,
    /// Its id and every id that leads to it.
    pub ids: Vec<EntityId>,
    /// Every record, with every version.
    pub records: Vec<SubjectRecord>,
    /// Every change, oldest first.
    pub history: Vec<SubjectChange>,
    /// The merges that it took part in, oldest first. The reason of one that was undone is held back.
    pub merges: Vec<MergeEntry>,
    /// The questions about it.
    pub reviews: Vec<SubjectReview>,
    /// What people decided about its records.
    pub judgements: Vec<SubjectJudgement>,
    /// What points at it from outside.
    pub references: Vec<Arc<ReferencePut>>,
    /// The businesses it belongs to.
    pub relations: Vec<Link>,
    /// Records that contradict themselves.
    pub conflicts: Vec<ConflictEntry>,
    /// Restrictions and their ends, oldest first, each with the id it was asked for.
    pub restrictions: Vec<(EntityId, Moment)>,
    /// What others said about its identifiers.
    pub checks: Vec<(RecordId, Check)>,
    /// Who may find it, and what it shares.
    pub discovery: SubjectDiscovery,
    /// Who was told of it.
    pub webhooks: Vec<SubjectWebhook>,
    /// Answers kept for repeated requests that name it.
    pub answers_kept: usize,
    /// Lists that were cut at [`ITEMS_MAX`].
    pub truncated: Vec<&'static str>,
}

/// A record with all that its source ever said.
#[derive(Clone, Debug)]
pub struct SubjectRecord {
    /// Its id.
    pub record_id: RecordId,
    /// Source and the source's id; the latest. Missing: nothing of it is left.
    pub key: Option<RecordKey>,
    /// It counts now.
    pub is_current: bool,
    /// Its versions, oldest first.
    pub versions: Vec<SubjectVersion>,
}

/// One thing that happened to a record.
#[derive(Clone, Debug)]
pub struct SubjectVersion {
    /// Which event.
    pub seq: Seq,
    /// When it was received.
    pub at: Millis,
    /// Who sent it.
    pub actor: String,
    /// What it said; missing: the source withdrew it.
    pub fields: Option<Fields>,
    /// The source's clock, if it told.
    pub source_updated_at: Option<Millis>,
    /// The source's version, if it told.
    pub version: Option<u64>,
    /// Older than what was known then: kept as history only.
    pub is_stale: bool,
    /// What an edit by hand took away: field and value.
    pub suppressed: Vec<(String, String)>,
}

/// One change.
#[derive(Clone, Debug)]
pub struct SubjectChange {
    /// The change.
    pub change: Change,
    /// Its values are held back: a merge that was undone showed another person's then.
    pub is_withheld: bool,
}

/// A question about the person.
#[derive(Clone, Debug)]
pub struct SubjectReview {
    /// Its id.
    pub review_id: ReviewId,
    /// Where it stands.
    pub status: &'static str,
    /// When it was opened.
    pub at: Millis,
    /// The pair's match probability.
    pub score: f64,
    /// The person's record.
    pub record_id: RecordId,
    /// The other record; the person's too when `is_own`.
    pub other_record_id: RecordId,
    /// Both records are the person's.
    pub is_own: bool,
    /// Comparison, level and weight in bits, without the values.
    pub evidence: Vec<(&'static str, String, f64)>,
    /// When it was answered last, and by whom.
    pub answered: Option<(Millis, String)>,
    /// What stewards wrote: reason and note. Held back unless both records are the person's.
    pub texts: Vec<String>,
    /// There are such texts, and they are held back.
    pub is_withheld: bool,
}

/// What a person decided about records.
#[derive(Clone, Debug)]
pub struct SubjectJudgement {
    /// Its id.
    pub judgement_id: JudgementId,
    /// The same person, else different ones.
    pub same: bool,
    /// When.
    pub at: Millis,
    /// The person's records in it.
    pub records: Vec<RecordId>,
    /// The other records in it: ids only.
    pub others: Vec<RecordId>,
}

/// What a person said about being found, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct SubjectDiscovery {
    /// Who may find the contact: `nobody`, `mutual` or `everyone`.
    pub policy: &'static str,
    /// Everything that was set, oldest first, with its consent.
    pub policies: Vec<Arc<PolicySet>>,
    /// Blocks by the person, those that hold no more included; the others by id only.
    pub blocks: Vec<Arc<BlockSet>>,
    /// Which field for which audience.
    pub sharing: Vec<(String, String)>,
    /// The tenant that is the person's address book.
    pub book: Option<String>,
    /// Left discovery for good.
    pub is_opted_out: bool,
    /// The user of the directory that the contact is known to be.
    pub user: Option<EntityId>,
}

/// A webhook and what it was told.
#[derive(Clone, Debug)]
pub struct SubjectWebhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Its URL; callers show the host only.
    pub url: String,
    /// Entries about the person that it has heard, by id and kind of change: no delivery holds values.
    pub told: u64,
    /// Deliveries that were given up and name the person.
    pub dead: Vec<DeliveryId>,
}

/// Whose things they are.
struct Own {
    ids: Vec<EntityId>,
    slots: BTreeSet<u32>,
    records: BTreeSet<RecordId>,
}

impl View {
    /// The contact that an id leads to, if anything is held about it: a soft-deleted one, and one whose records are all
    /// withdrawn, too.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `Gone` for one that was erased.
    pub fn subject_id(&self, id: EntityId) -> Result<EntityId> {
        let unknown = || Error::NotFound { code: "contact_unknown", what: "contact".into() };
        self.shard.entity(id).ok_or_else(unknown)?;
        self.not_erased(id)?;
        let last = self.shard.resolve_id(id).ok_or_else(unknown)?;
        self.not_erased(last).map(|()| last)
    }

    /// Everything about the person that an id names, a merged one too.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `Gone` for one that was erased.
    pub fn subject(&self, id: EntityId) -> Result<Subject> {
        let unknown = || Error::NotFound { code: "contact_unknown", what: "contact".into() };
        let entity = self.shard.entity(self.subject_id(id)?).ok_or_else(unknown)?;
        let ids = ids_of(&self.shard, entity);
        let slots = slots_of(&self.shard, entity, &ids);
        let records = slots.iter().filter_map(|slot| self.shard.slot(*slot)).map(|at| at.record_id).collect();
        let own = Own { ids, slots, records };
        let mut subject = Subject {
            contact: self.golden_with_validity(entity),
            records: self.records_of(&own),
            history: self.history_of(entity, &own),
            merges: self.merges_of(&own),
            reviews: self.reviews_about(&own),
            judgements: self.judgements_of(&own),
            references: self.shard.references_of(entity),
            relations: links(&self.shard, entity, &self.normalizer),
            conflicts: self.conflicts_of(&own),
            restrictions: self.restrictions_of(&own),
            checks: self.checks_of(&own),
            discovery: self.discovery_of(entity, &own),
            webhooks: self.webhooks_told(&own),
            answers_kept: self.answers_about(&own),
            truncated: Vec::new(),
            ids: own.ids,
        };
        subject.cut(ITEMS_MAX);
        Ok(subject)
    }

    fn records_of(&self, own: &Own) -> Vec<SubjectRecord> {
        let slots = own.slots.iter().filter_map(|slot| self.shard.slot(*slot));
        let record = |at: &crate::store::shard::Slot| SubjectRecord {
            record_id: at.record_id,
            key: at.past.iter().rev().find_map(|past| Some(past.put.as_ref()?.key.clone())),
            is_current: at.current.is_some(),
            versions: at.past.iter().map(version).collect(),
        };
        slots.map(record).collect()
    }

    /// Changes made while the contact held records that are another's by now keep their place and lose their values.
    fn history_of(&self, entity: &Entity, own: &Own) -> Vec<SubjectChange> {
        let foreign = |seq: Seq| {
            let members = moment_at(entity, seq).map(|moment| &moment.members);
            members.is_some_and(|members| members.iter().any(|slot| !own.slots.contains(slot)))
        };
        let changes = History::of(&self.shard, entity.id).changes(entity).into_iter();
        let judged = changes.map(|mut change| {
            let is_withheld = foreign(change.seq) || foreign(Seq(change.seq.0.saturating_sub(1)));
            if is_withheld {
                (change.old, change.new) = (None, None);
            }
            SubjectChange { change, is_withheld }
        });
        judged.collect()
    }

    fn merges_of(&self, own: &Own) -> Vec<MergeEntry> {
        let all = self.shard.merge_order.iter().filter_map(|id| self.shard.merges.get(id));
        let mine =
            all.filter(|merge| [merge.merged.survivor, merge.merged.loser].iter().any(|id| own.ids.contains(id)));
        let entry = |merge: &Arc<crate::store::shard::Merge>| {
            let entry = merge_entry(merge);
            let reason = entry.reason.clone().filter(|_| merge.undone_at.is_none());
            MergeEntry { reason, ..entry }
        };
        mine.map(entry).collect()
    }

    fn reviews_about(&self, own: &Own) -> Vec<SubjectReview> {
        let all = self.shard.reviews.values();
        let mine = all.filter(|one| own.records.contains(&one.pair.a) || own.records.contains(&one.pair.b));
        let mut found: Vec<SubjectReview> = mine.map(|review| self.review_about(review, own)).collect();
        found.sort_unstable_by_key(|one| (one.at, one.review_id));
        found
    }

    fn review_about(&self, review: &Review, own: &Own) -> SubjectReview {
        let (a, b) = (review.pair.a, review.pair.b);
        let (mine, other) = if own.records.contains(&a) { (a, b) } else { (b, a) };
        let is_own = own.records.contains(&other);
        let explanation = self.explained(review);
        let parts = explanation.iter().flat_map(|one| &one.parts);
        let evidence = parts.map(|part| (part.comparison, part.level.to_owned(), part.weight.bits())).collect();
        let reason = review.answer.as_ref().and_then(|answer| answer.reason.clone());
        let texts: Vec<String> = reason.into_iter().chain(review.note.clone()).collect();
        let is_withheld = !is_own && !texts.is_empty();
        SubjectReview {
            review_id: review.id,
            status: review.status.word(),
            at: review.at,
            score: review.pair.weight.probability(),
            record_id: mine,
            other_record_id: other,
            is_own,
            evidence,
            answered: review.answer.as_ref().map(|answer| (answer.at, answer.actor.clone())),
            texts: if is_withheld { Vec::new() } else { texts },
            is_withheld,
        }
    }

    fn judgements_of(&self, own: &Own) -> Vec<SubjectJudgement> {
        let all = own.records.iter().flat_map(|record| self.shard.judgements.of(*record));
        let mut found: Vec<SubjectJudgement> = all
            .map(|one| {
                let (records, others) = one.records().into_iter().partition(|record| own.records.contains(record));
                let same = matches!(one.verdict, Verdict::Same(_));
                SubjectJudgement { judgement_id: one.id, same, at: one.at, records, others }
            })
            .collect();
        found.sort_unstable_by_key(|one| (one.at, one.judgement_id));
        found.dedup_by_key(|one| one.judgement_id);
        found
    }

    fn conflicts_of(&self, own: &Own) -> Vec<ConflictEntry> {
        let known = own.records.iter().filter_map(|record| Some((*record, self.shard.conflicts.get(record)?)));
        known.filter_map(|(record, conflict)| self.conflict_entry(record, conflict)).collect()
    }

    fn restrictions_of(&self, own: &Own) -> Vec<(EntityId, Moment)> {
        let all = own.ids.iter().flat_map(|id| self.shard.privacy.moments(*id).iter().map(|one| (*id, one.clone())));
        let mut found: Vec<(EntityId, Moment)> = all.collect();
        found.sort_unstable_by_key(|(_, one)| one.seq);
        found
    }

    fn checks_of(&self, own: &Own) -> Vec<(RecordId, Check)> {
        let of = |record: &RecordId| self.shard.privacy.checks(*record).to_vec().into_iter();
        own.records.iter().flat_map(|record| of(record).map(|check| (*record, check))).collect()
    }

    fn discovery_of(&self, entity: &Entity, own: &Own) -> SubjectDiscovery {
        let (shard, consents) = (&self.shard, &self.shard.consents);
        let mut policies: Vec<Arc<PolicySet>> =
            own.ids.iter().flat_map(|id| consents.policies_of(*id).iter().cloned()).collect();
        policies.sort_by_key(|set| set.at);
        policies.dedup_by(|a, b| Arc::ptr_eq(a, b));
        SubjectDiscovery {
            policy: shard.findable(entity).word(),
            policies,
            blocks: own.ids.iter().flat_map(|id| consents.blocks_of(*id).iter().cloned()).collect(),
            sharing: shard.shared_fields(entity),
            book: shard.book_of(entity),
            is_opted_out: shard.is_opted_out(entity),
            user: own.ids.iter().find_map(|id| consents.user_of(*id)),
        }
    }

    fn webhooks_told(&self, own: &Own) -> Vec<SubjectWebhook> {
        let hooks: Vec<Arc<Webhook>> = self.webhooks();
        if hooks.is_empty() {
            return Vec::new();
        }
        let mine: Vec<(Seq, crate::store::shard::FeedKind)> = self
            .shard
            .feed
            .iter()
            .filter(|entry| !entry.of_accounts && entry.entities.iter().any(|id| own.ids.contains(id)))
            .map(|entry| (entry.seq, entry.kind))
            .collect();
        let told = |hook: &Webhook| {
            let heard = |(seq, kind): &&(Seq, _)| *seq <= hook.through.seq && hook.wants(*kind);
            mine.iter().filter(heard).count() as u64
        };
        let dead = |hook: &Webhook| {
            let names = |first: Seq, last: Seq| mine.iter().any(|(seq, _)| (first..=last).contains(seq));
            let letters = hook.dead.iter().filter(|letter| names(letter.first.seq, letter.last.seq));
            letters.map(|letter| letter.id).collect()
        };
        let one = |hook: &Arc<Webhook>| SubjectWebhook {
            webhook_id: hook.id,
            url: hook.url.clone(),
            told: told(hook),
            dead: dead(hook),
        };
        hooks.iter().map(one).collect()
    }

    fn answers_about(&self, own: &Own) -> usize {
        let about = |kept: &crate::model::event::AnswerKept| {
            kept.answer.iter().any(|one| {
                one.record.is_some_and(|record| own.records.contains(&record))
                    || one.contact.iter().chain(&one.affected).any(|contact| own.ids.contains(contact))
            })
        };
        self.shard.kept.values().filter(|kept| about(kept)).count()
    }
}

fn version(past: &Past) -> SubjectVersion {
    let put = past.put.as_ref().map(|stored| stored.put());
    SubjectVersion {
        seq: past.seq,
        at: past.at,
        actor: past.actor.to_string(),
        source_updated_at: put.as_ref().and_then(|put| put.record.source_updated_at),
        version: put.as_ref().and_then(|put| put.record.version),
        is_stale: put.as_ref().is_some_and(|put| put.stale),
        suppressed: put.as_ref().map(|put| put.suppressed.clone()).unwrap_or_default(),
        fields: put.map(|put| put.record.fields),
    }
}

impl Subject {
    /// Cuts every list at a bound and names those that were longer.
    fn cut(&mut self, most: usize) {
        let mut cut = Vec::new();
        let mut one = |name: &'static str, length: usize| {
            if length > most {
                cut.push(name);
            }
        };
        one("records", self.records.len());
        one("history", self.history.len());
        one("merges", self.merges.len());
        one("reviews", self.reviews.len());
        one("judgements", self.judgements.len());
        one("references", self.references.len());
        self.records.truncate(most);
        self.history.truncate(most);
        self.merges.truncate(most);
        self.reviews.truncate(most);
        self.judgements.truncate(most);
        self.references.truncate(most);
        self.truncated = cut;
    }
}
