//! Folding events into a shard. The only code that changes one; it decides nothing.
//!
//! Scores, times and chosen ids are in the event, so replaying an old journal under a new matcher gives
//! the old history. Features and blocking keys are derived here: they are indexes, functions of the put and the model.

use std::sync::Arc;

use crate::index::names::GivenHint;
use crate::model::event::{
    AccountPut, AnswerKept, DirectoryUserSet, EntityMarked, Event, GoldenChanged, Group, Judged, Merged, PrivacySet,
    RecordDeleted, RecordPut, ReferenceDeleted, ReferencePut, RelationDeleted, RelationPut, Resolved, Restricted,
    RetentionSet, ReviewChanged, ReviewDecided, ReviewOpened, SurvivorshipSet,
};
use crate::model::ids::{EntityId, Millis, ReviewId, Seq};
use crate::model::settings::{Privacy, Retention, Settings};
use crate::model::survivorship::Survivorship;
use crate::store::judge::{Judgement, Verdict};
use crate::store::relations::affiliation_keys;
use crate::store::shard::{
    Entity, Feed, FeedKind, Merge, Moment, Past, Policy, Review, ReviewAnswer, ReviewStatus, Shard, Slot, Version,
};

/// How long an answer is kept for a repeated request, in milliseconds: 24 hours.
pub const KEPT_MS: i64 = 24 * 3600 * 1000;

/// Who changed something, and when.
#[derive(Clone, Debug)]
struct By {
    at: Millis,
    actor: Arc<str>,
}

impl Shard {
    /// Folds in one event; the shard's seq goes up by one.
    #[expect(clippy::too_many_lines, reason = "an arm for every kind, and hardly more")]
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::RecordPut(put) => {
                let seq = self.seq.0 + 1;
                let version = Version::new(&put, Seq(seq), &self.model);
                return self.apply_put(Arc::new(version));
            }
            Event::TenantCreated(_) => {}
            Event::SettingsSet(set) => self.put_settings(set.settings),
            Event::RecordDeleted(gone) => return self.record_deleted(&gone),
            Event::Resolved(resolved) => return self.resolved(*resolved),
            Event::Judged(judged) => self.judged(judged),
            Event::JudgementWithdrawn(gone) => {
                self.judgements.withdraw(gone.judgement_id);
            }
            Event::MergeUndone(undone) => {
                if let Some(merge) = self.merges.get_mut(&undone.merge_id) {
                    Arc::make_mut(merge).undone_at = Some(undone.at);
                }
            }
            Event::ReviewDecided(decided) => self.review_decided(&decided),
            Event::EntityMarked(marked) => return self.entity_marked(&marked),
            Event::AnswerKept(kept) => self.answer_kept(kept),
            Event::ModelPart(part) => self.models.part(part),
            Event::ModelTrained(card) => self.models.card(*card),
            Event::ModelActivated(activated) => self.model_activated(&activated),
            Event::WebhookPut(put) => self.webhooks.put(put),
            Event::WebhookDeleted(gone) => self.webhooks.deleted(&gone),
            Event::WebhookDelivered(delivered) => self.webhooks.delivered(&delivered),
            Event::DeliveryDied(died) => self.webhooks.died(died),
            Event::DeliveryWanted(wanted) => self.webhooks.wanted(&wanted),
            Event::DeliverySettled(settled) => self.webhooks.settled(&settled),
            Event::WebhookDisabled(disabled) => self.webhooks.disabled(disabled),
            Event::OprfBegun(begun) => self.oprf.begun(begun),
            Event::OprfSpent(spent) => self.oprf.spend(spent),
            Event::ReferencePut(put) => return self.reference_put(put),
            Event::ReferenceDeleted(gone) => return self.reference_deleted(&gone),
            Event::SurvivorshipSet(set) => self.survivorship_set(*set),
            Event::GoldenChanged(changed) => return self.golden_changed(&changed),
            Event::ReviewNoted(noted) => {
                if let Some(review) = self.reviews.get_mut(&noted.review_id) {
                    let review = Arc::make_mut(review);
                    (review.assignee, review.note) = (noted.assignee, noted.note);
                }
            }
            Event::ReviewChanged(changed) => self.review_changed(&changed),
            Event::AccountPut(put) => {
                let AccountPut { put, business } = *put;
                let version = Version::of_account(&put, business, Seq(self.seq.0 + 1), &self.model);
                return self.apply_account_put(Arc::new(version));
            }
            Event::AccountRecordDeleted(gone) => return self.apply_to_accounts(Event::RecordDeleted(gone)),
            Event::AccountsResolved(resolved) => return self.apply_to_accounts(Event::Resolved(resolved)),
            Event::AccountsJudged(judged) => return self.apply_to_accounts(Event::Judged(judged)),
            Event::AccountJudgementWithdrawn(gone) => return self.apply_to_accounts(Event::JudgementWithdrawn(gone)),
            Event::AccountMergeUndone(undone) => return self.apply_to_accounts(Event::MergeUndone(undone)),
            Event::AccountReviewDecided(decided) => return self.apply_to_accounts(Event::ReviewDecided(decided)),
            Event::AccountReviewChanged(changed) => return self.apply_to_accounts(Event::ReviewChanged(changed)),
            Event::AccountMarked(marked) => return self.apply_to_accounts(Event::EntityMarked(marked)),
            Event::RelationPut(put) => return self.relation_put(put),
            Event::RelationDeleted(gone) => return self.relation_deleted(&gone),
            Event::FreeMailRefused(set) => Arc::make_mut(&mut self.settings).refuse_free_mail = set.refused,
            Event::ConflictFound(found) => self.conflict_found(found),
            Event::ConflictSettled(over) => self.conflict_settled(over),
            Event::RemarksKept(kept) => {
                if let Some(answer) = self.kept.get_mut(kept.key.as_str()) {
                    Arc::make_mut(answer).remarks = kept.remarks;
                }
            }
            Event::GroupPut(put) => self.groups.put(put, Seq(self.seq.0 + 1)),
            Event::KeyRotated(rotated) => self.epochs.rotated(&rotated),
            Event::QuotaReserved(reserved) => self.quotas.reserved(&reserved),
            Event::GroupDeleted(gone) => self.groups.deleted(gone, Seq(self.seq.0 + 1)),
            Event::Erased(erased) => return self.erased(erased),
            Event::ErasureDone(done) => self.erasures.done(done),
            Event::TenantErased(gone) => return self.tenant_erased(gone),
            Event::RetentionSet(set) => {
                let RetentionSet { deleted_days, reviews_days, imports_days, .. } = set;
                Arc::make_mut(&mut self.settings).retention = Retention { deleted_days, reviews_days, imports_days };
            }
            Event::Restricted(set) => return self.restricted(set),
            Event::PrivacySet(set) => {
                let PrivacySet { controller, contact, purposes, subjects, third_countries, audit_days, .. } = *set;
                let declared = Privacy { controller, contact, purposes, subjects, third_countries, audit_days };
                Arc::make_mut(&mut self.settings).privacy = declared;
            }
            Event::IdentifierChecked(checked) => self.put_check(checked),
            Event::DiscoverySet(set) => self.put_discovery(set.discovery),
            Event::PolicySet(set) => {
                self.tell_of_consent(set.ids.first().copied(), set.at);
                self.consents.policy_set(set);
            }
            Event::BlockSet(set) => {
                self.tell_of_consent(Some(set.blocker), set.at);
                self.consents.block_set(set);
            }
            Event::SharingSet(set) => {
                self.tell_of_consent(set.ids.first().copied(), set.at);
                self.consents.sharing_set(set);
            }
            Event::OptedOut(out) => {
                self.tell_of_consent(out.contacts.first().copied(), out.at);
                self.consents.opted_out(&out);
            }
            Event::SuppressionRotated(rotated) => self.consents.suppression_rotated(&rotated),
            Event::DirectoryUserSet(set) => return self.directory_user_set(&set),
            Event::TenantGone(gone) => Arc::make_mut(&mut self.graves).push(gone),
            Event::ApiKeyPut(put) => self.api_keys.put(*put),
            Event::ApiKeyRotated(rotated) => self.api_keys.rotated(&rotated),
            Event::ApiKeyRevoked(revoked) => self.api_keys.revoked(&revoked),
            Event::ApiKeyUsed(used) => self.api_keys.used(&used),
            // Only the audit knows of it: nothing has changed, so it takes no seq.
            Event::Accessed(_) | Event::Acted(_) => return,
        }
        self.seq.0 += 1;
    }

    fn by(&mut self, at: Millis, actor: &str) -> By {
        By { at, actor: self.words.get(actor) }
    }

    /// Puts settings in force; those that scoring reads go into the model. What has an event of its own stays.
    pub(in crate::store) fn put_settings(&mut self, settings: Settings) {
        let Settings { survivorship, refuse_free_mail, retention, privacy, discovery, .. } = (*self.settings).clone();
        self.settings =
            Arc::new(Settings { survivorship, refuse_free_mail, retention, privacy, discovery, ..settings });
        let model = Arc::clone(&self.model);
        self.put_model(&model);
    }

    fn survivorship_set(&mut self, set: SurvivorshipSet) {
        let SurvivorshipSet { rules, source_trust, at, actor } = set;
        let policy =
            Policy { seq: Seq(self.seq.0 + 1), at, actor, survivorship: Survivorship::new(rules), source_trust };
        self.put_policy(policy);
    }

    /// Puts rules for golden values in force, the latest last.
    pub(in crate::store) fn put_policy(&mut self, policy: Policy) {
        Arc::make_mut(&mut self.settings).survivorship = policy.survivorship.clone();
        Arc::make_mut(&mut self.policies).push(policy);
    }

    fn golden_changed(&mut self, changed: &GoldenChanged) {
        self.seq.0 += 1;
        let by = self.by(changed.at, &changed.actor);
        for id in &changed.contacts {
            self.touch(*id, &by, FeedKind::Updated);
        }
    }

    /// Says in the feed that something else counts for a contact now, though its fields are the same.
    fn tell_of_consent(&mut self, contact: Option<EntityId>, at: Millis) {
        if let Some(id) = contact.and_then(|id| self.resolve_id(id)) {
            let (seq, kind) = (Seq(self.seq.0 + 1), FeedKind::Updated);
            self.feed.push(Feed { seq, at, kind, entities: vec![id], of_accounts: false });
        }
    }

    fn directory_user_set(&mut self, set: &DirectoryUserSet) {
        self.seq.0 += 1;
        self.consents.user_set(set);
        if let Some(id) = self.resolve_id(set.contact) {
            let kind = if set.user.is_some() { FeedKind::Joined } else { FeedKind::Left };
            self.feed.push(Feed { seq: self.seq, at: set.at, kind, entities: vec![id], of_accounts: false });
        }
    }

    /// Folds in a put whose version is already made. Its seq must be the next.
    pub fn apply_put(&mut self, version: Arc<Version>) {
        self.seq.0 += 1;
        debug_assert_eq!(version.stored.seq, self.seq, "versions are made for the next seq");
        let put = version.stored.put();
        let slot = match self.slot_of(put.record_id) {
            Some(slot) => slot,
            None => self.add_slot(&version),
        };
        let actor = self.words.get(&put.actor);
        let past = Past { seq: self.seq, at: put.received_at, actor, put: Some(Arc::clone(&version.stored)) };
        let stale = put.stale;
        self.with_slot(slot, |at| push_past(at, past));
        if !stale {
            self.replace(slot, Some(Arc::clone(&version)), Some(&put));
        }
        let by = self.by(put.received_at, if put.anchor.is_some() { &put.actor } else { &put.record.key.source });
        if let Some(anchor) = put.anchor {
            self.with_entity(anchor, |entity| entity.manual = Some(slot));
            if let Some(id) = self.resolve_id(anchor) {
                self.touch(id, &by, FeedKind::Updated);
            }
        } else if let (false, Some(id)) = (stale, self.slot(slot).and_then(|at| at.entity)) {
            self.touch(id, &by, FeedKind::Updated);
        }
    }

    fn add_slot(&mut self, version: &Version) -> u32 {
        let slot = self.next_slot();
        self.slots.push(Slot {
            record_id: version.stored.record_id,
            current: None,
            past: Arc::new(Vec::with_capacity(1)),
            entity: None,
            native: None,
            once: None,
        });
        self.put_place(version.stored.record_id, slot);
        self.put_key_place(&version.stored.key, slot);
        slot
    }

    fn with_slot(&mut self, slot: u32, change: impl FnOnce(&mut Slot)) {
        if let Some(at) = self.slots.get_mut(slot as usize) {
            change(at);
        }
    }

    fn with_entity(&mut self, id: EntityId, change: impl FnOnce(&mut Entity)) {
        let Some(entity) = self.entities.get_mut(&id) else { return };
        let entity = Arc::make_mut(entity);
        let before = is_live(entity);
        change(entity);
        match (before, is_live(entity)) {
            (false, true) => self.contacts_live += 1,
            (true, false) => self.contacts_live -= 1,
            _ => {}
        }
    }

    pub(in crate::store) fn replace_current(&mut self, slot: u32, next: Option<Arc<Version>>) {
        let said = next.as_ref().map(|version| version.stored.put());
        self.replace(slot, next, said.as_ref());
    }

    /// Puts another version in the place of the one that counts. `came` is what it says.
    fn replace(&mut self, slot: u32, next: Option<Arc<Version>>, came: Option<&RecordPut>) {
        let old = self.slot(slot).and_then(|at| at.current.clone());
        self.replace_postings(slot, old.as_deref(), next.as_deref());
        self.replace_beside_postings(slot, old, next, came);
    }

    fn replace_postings(&mut self, slot: u32, old: Option<&Version>, next: Option<&Version>) {
        let code = next.map_or(0, Version::given_code);
        if let Some(old) = old {
            let same_code = old.given_code() == code;
            for (key, _) in old.keys.iter() {
                if !(same_code && next.is_some_and(|version| version.has(key))) {
                    self.postings.remove(key, slot);
                }
            }
        }
        if let Some(next) = next {
            for (key, _) in next.keys.iter() {
                let kept = old.is_some_and(|old| old.given_code() == code && old.has(key));
                if !kept {
                    self.postings.add(key, slot, code);
                }
            }
        }
    }

    fn replace_beside_postings(
        &mut self,
        slot: u32,
        old: Option<Arc<Version>>,
        next: Option<Arc<Version>>,
        came: Option<&RecordPut>,
    ) {
        let gone = old.as_ref().map(|version| version.stored.put());
        self.replace_affiliations(slot, gone.as_ref(), came);
        let (gone, came) = (family(gone.as_ref(), old.as_deref()), family(came, next.as_deref()));
        if gone != came {
            self.names.remove(gone.0, slot);
            self.names.add(came.0, came.1, slot);
        }
        let counts = |version: &Option<Arc<Version>>| u64::from(version.as_ref().is_some_and(|v| !v.stored.manual));
        self.records_live = self.records_live + counts(&next) - counts(&old);
        self.with_slot(slot, |at| at.current = next);
    }

    fn replace_affiliations(&mut self, slot: u32, old: Option<&RecordPut>, next: Option<&RecordPut>) {
        if self.is_of_accounts {
            return;
        }
        let keys = |put: Option<&RecordPut>| put.map(affiliation_keys).unwrap_or_default();
        let (gone, came) = (keys(old), keys(next));
        gone.iter().filter(|key| !came.contains(key)).for_each(|key| self.affiliations.remove(*key, slot));
        came.iter().filter(|key| !gone.contains(key)).for_each(|key| self.affiliations.add(*key, slot, 0));
    }

    /// Notes a change on a contact and in the feed.
    fn touch(&mut self, id: EntityId, by: &By, kind: FeedKind) {
        let seq = self.seq;
        self.with_entity(id, |entity| mark(entity, seq, by));
        self.feed.push(Feed { seq, at: by.at, kind, entities: vec![id], of_accounts: false });
    }

    fn record_deleted(&mut self, gone: &RecordDeleted) {
        self.seq.0 += 1;
        let Some(slot) = self.slot_of(gone.record_id) else { return };
        self.conflicts.remove(&gone.record_id);
        let past = Past { seq: self.seq, at: gone.at, actor: self.words.get(&gone.actor), put: None };
        self.with_slot(slot, |at| {
            push_past(at, past);
            if let Some(old) = at.entity.take() {
                remember(at, old);
            }
        });
        self.replace_current(slot, None);
    }

    fn resolved(&mut self, resolved: Resolved) {
        self.seq.0 += 1;
        let by = self.by(resolved.at, &resolved.actor);
        for (a, b) in &resolved.edges_gone {
            if let (Some(a), Some(b)) = (self.slot_of(*a), self.slot_of(*b)) {
                self.edges.set(a, b, None);
            }
        }
        for edge in &resolved.edges {
            if let (Some(a), Some(b)) = (self.slot_of(edge.a), self.slot_of(edge.b)) {
                self.edges.set(a, b, Some(edge.weight));
            }
        }
        for merged in &resolved.merges {
            self.merged(merged, &by);
        }
        let left: Vec<EntityId> = resolved.groups.iter().filter_map(|group| self.group(group, &by)).collect();
        self.tell_those_left(&left, &by);
        for id in &resolved.reviews_gone {
            self.close_review(*id, ReviewStatus::Withdrawn);
        }
        for opened in &resolved.reviews {
            self.review_opened(opened, by.at);
        }
    }

    /// Keeps the merge; gives a record that never had a contact the id it would have had.
    fn merged(&mut self, merged: &Merged, by: &By) {
        if self.entity(merged.loser).is_none() {
            self.new_entity(merged.loser, by);
        }
        for record in &merged.right {
            if let Some(slot) = self.slot_of(*record) {
                self.with_slot(slot, |at| {
                    at.native.get_or_insert(merged.loser);
                    remember(at, merged.loser);
                });
            }
        }
        let id = merged.merge_id;
        let merge =
            Merge { merged: merged.clone(), at: by.at, seq: self.seq, actor: by.actor.to_string(), undone_at: None };
        self.merges.insert(id, Arc::new(merge));
        self.merge_order.push(id);
    }

    fn new_entity(&mut self, id: EntityId, by: &By) {
        let entity = Entity {
            id,
            members: Arc::default(),
            manual: None,
            redirect: None,
            absorbed: Vec::new(),
            deleted: false,
            created_at: by.at,
            moments: Arc::new(Vec::with_capacity(1)),
            version: 0,
            updated_at: by.at,
            updated_seq: self.seq,
            updated_by: Arc::clone(&by.actor),
        };
        self.entities.insert(id, Arc::new(entity));
        self.entity_order.push(id);
    }

    /// A contact that an id has left, and to which nothing else happened, lives on without what that id said: its policies,
    /// its edits.
    fn tell_those_left(&mut self, left: &[EntityId], by: &By) {
        for &id in left {
            let Some(live) = self.resolve_id(id) else { continue };
            if !self.feed_names(live) {
                self.touch(live, by, FeedKind::Updated);
            }
        }
    }

    /// Whether the feed names a contact in the event that is being applied.
    fn feed_names(&self, id: EntityId) -> bool {
        self.feed.iter().rev().take_while(|entry| entry.seq == self.seq).any(|entry| entry.entities.contains(&id))
    }

    /// Returns the contact that its id redirected to.
    fn group(&mut self, group: &Group, by: &By) -> Option<EntityId> {
        let mut slots: Vec<u32> = group.records.iter().filter_map(|record| self.slot_of(*record)).collect();
        slots.sort_unstable();
        let (kind, entities) = self.feed_of(group, &slots);
        if self.entity(group.entity).is_none() {
            self.new_entity(group.entity, by);
        }
        let left = self.entity(group.entity).and_then(|entity| entity.redirect);
        if let Some(target) = left {
            self.with_entity(target, |other| other.absorbed.retain(|id| *id != group.entity));
        }
        for &slot in &slots {
            self.with_slot(slot, |at| {
                if let Some(old) = at.entity.filter(|old| *old != group.entity) {
                    remember(at, old);
                }
                at.native.get_or_insert(group.entity);
                at.entity = Some(group.entity);
            });
        }
        for &id in &group.absorbed {
            self.absorb(id, group.entity, by);
        }
        let (seq, members) = (self.seq, Arc::<[u32]>::from(slots.as_slice()));
        self.with_entity(group.entity, |entity| {
            entity.redirect = None;
            entity.members = Arc::clone(&members);
            entity.absorbed.extend(&group.absorbed);
            entity.absorbed.sort_unstable();
            entity.absorbed.dedup();
            mark(entity, seq, by);
            push_moment(entity, seq, by, kind, members);
        });
        self.feed.push(Feed { seq, at: by.at, kind, entities, of_accounts: false });
        left
    }

    fn absorb(&mut self, id: EntityId, into: EntityId, by: &By) {
        let seq = self.seq;
        self.with_entity(id, |entity| {
            entity.redirect = Some(into);
            entity.members = Arc::default();
            mark(entity, seq, by);
            push_moment(entity, seq, by, FeedKind::Merged, Arc::from([]));
        });
    }

    /// What the group means for readers of the feed, seen before it is applied.
    fn feed_of(&self, group: &Group, slots: &[u32]) -> (FeedKind, Vec<EntityId>) {
        let mut entities = vec![group.entity];
        let from: Vec<EntityId> =
            slots.iter().filter_map(|slot| self.slot(*slot)?.entity).filter(|id| *id != group.entity).collect();
        let before = self.entity(group.entity);
        let kind = if slots.is_empty() {
            FeedKind::Deleted
        } else if !group.absorbed.is_empty() {
            entities.extend(&group.absorbed);
            FeedKind::Merged
        } else if let Some(target) = before.and_then(|entity| entity.redirect) {
            entities.push(target);
            FeedKind::Unmerged
        } else if before.is_some() {
            FeedKind::Updated
        } else if from.is_empty() {
            FeedKind::Created
        } else {
            entities.extend(from);
            FeedKind::Split
        };
        entities.dedup();
        (kind, entities)
    }

    fn judged(&mut self, judged: Judged) {
        let verdict =
            if judged.same { Verdict::Same(judged.left) } else { Verdict::Different(judged.left, judged.right) };
        self.judgements.add(Judgement { id: judged.judgement_id, at: judged.at, verdict });
    }

    fn review_opened(&mut self, opened: &ReviewOpened, at: Millis) {
        let (Some(a), Some(b)) = (self.slot_of(opened.pair.a), self.slot_of(opened.pair.b)) else { return };
        let review = Review {
            id: opened.review_id,
            pair: opened.pair.clone(),
            slots: (a, b),
            support: opened.support,
            vetoed: opened.vetoed,
            at,
            seq: self.seq,
            status: ReviewStatus::Open,
            assignee: None,
            note: None,
            answer: None,
        };
        self.reviews.insert(review.id, Arc::new(review));
        self.reviews_open += 1;
        self.ask_about(opened.review_id, (a, b));
    }

    /// Another pair asks, or the same one with other evidence: whoever could not tell is asked anew.
    fn review_changed(&mut self, changed: &ReviewChanged) {
        let slots = self.slot_of(changed.pair.a).zip(self.slot_of(changed.pair.b));
        let (Some(slots), Some(review)) = (slots, self.reviews.get_mut(&changed.review_id)) else { return };
        if !review.status.is_open() {
            return;
        }
        let review = Arc::make_mut(review);
        let before = std::mem::replace(&mut review.slots, slots);
        review.pair = changed.pair.clone();
        (review.support, review.vetoed, review.status) = (changed.support, changed.vetoed, ReviewStatus::Open);
        self.ask_no_more(changed.review_id, before);
        self.ask_about(changed.review_id, slots);
    }

    fn ask_about(&mut self, id: ReviewId, (a, b): (u32, u32)) {
        for slot in [a, b] {
            Arc::make_mut(self.reviews_of.entry_or_insert_with(&slot, Arc::default)).push(id);
        }
    }

    pub(in crate::store) fn ask_no_more(&mut self, id: ReviewId, (a, b): (u32, u32)) {
        for slot in [a, b] {
            if let Some(list) = self.reviews_of.get_mut(&slot) {
                Arc::make_mut(list).retain(|other| *other != id);
                if list.is_empty() {
                    self.reviews_of.remove(&slot);
                }
            }
        }
    }

    fn close_review(&mut self, id: ReviewId, status: ReviewStatus) {
        let Some(review) = self.reviews.get_mut(&id) else { return };
        let review = Arc::make_mut(review);
        let was_open = review.status.is_open();
        review.status = status;
        let slots = review.slots;
        if !was_open || status.is_open() {
            return;
        }
        self.reviews_open -= 1;
        self.ask_no_more(id, slots);
    }

    fn review_decided(&mut self, decided: &ReviewDecided) {
        let status = match decided.decision {
            0 => ReviewStatus::Same,
            1 => ReviewStatus::Different,
            _ => ReviewStatus::Unsure,
        };
        if let Some(review) = self.reviews.get_mut(&decided.review_id) {
            let (at, actor, reason) = (decided.at, decided.actor.clone(), decided.reason.clone());
            Arc::make_mut(review).answer = Some(ReviewAnswer { at, actor, reason });
        }
        self.close_review(decided.review_id, status);
    }

    fn entity_marked(&mut self, marked: &EntityMarked) {
        self.seq.0 += 1;
        let (seq, by) = (self.seq, self.by(marked.at, &marked.actor));
        let kind = if marked.deleted { FeedKind::Deleted } else { FeedKind::Restored };
        self.with_entity(marked.entity, |entity| {
            entity.deleted = marked.deleted;
            let members = Arc::clone(&entity.members);
            push_moment(entity, seq, &by, kind, members);
        });
        self.touch(marked.entity, &by, kind);
    }

    /// Whoever holds the id now has changed: the text index and webhooks hear of it.
    fn restricted(&mut self, set: Restricted) {
        self.seq.0 += 1;
        let (contact, at, actor) = (set.contact, set.at, set.actor.clone());
        self.put_restriction(set, self.seq);
        self.touch_all(self.resolve_id(contact).into_iter().collect(), at, &actor);
    }

    /// Leaves nothing of a contact id but the id, which leads nowhere.
    pub(in crate::store) fn strip(&mut self, id: EntityId, at: Millis, actor: &str) {
        let (seq, by) = (self.seq, self.by(at, actor));
        self.with_entity(id, |entity| {
            entity.members = Arc::default();
            (entity.manual, entity.redirect, entity.absorbed) = (None, None, Vec::new());
            entity.deleted = true;
            entity.moments = Arc::default();
            mark(entity, seq, &by);
        });
    }

    /// An event whose frame holds nothing any more: only its number is used up.
    pub fn skip_erased(&mut self) {
        self.seq.0 += 1;
    }

    fn reference_put(&mut self, put: ReferencePut) {
        self.seq.0 += 1;
        let before = self.reference_holder(&put.name);
        let (anchor, at, actor) = (put.anchor, put.at, put.actor.clone());
        self.references.put(put);
        let now = self.resolve_id(anchor);
        self.touch_all(now.into_iter().chain(before).collect(), at, &actor);
    }

    fn reference_deleted(&mut self, gone: &ReferenceDeleted) {
        self.seq.0 += 1;
        let before = self.reference_holder(&gone.name);
        self.references.deleted(gone);
        self.touch_all(before.into_iter().collect(), gone.at, &gone.actor);
    }

    /// Both ends have changed, each with an entry of its own in the feed.
    fn relation_put(&mut self, put: RelationPut) {
        self.seq.0 += 1;
        let (contact, account, at, actor) = (put.contact, put.account, put.at, put.actor.clone());
        self.relations.put(put);
        self.related(contact, account, at, &actor);
    }

    fn relation_deleted(&mut self, gone: &RelationDeleted) {
        self.seq.0 += 1;
        self.relations.deleted(gone);
        self.related(gone.contact, gone.account, gone.at, &gone.actor);
    }

    fn related(&mut self, contact: EntityId, account: EntityId, at: Millis, actor: &str) {
        self.touch_all(self.resolve_id(contact).into_iter().collect(), at, actor);
        let account = self.accounts.as_ref().and_then(|accounts| accounts.resolve_id(account));
        let kind = FeedKind::Updated;
        if let Some(account) = account {
            let (seq, entities) = (self.seq, vec![account]);
            self.feed.push(Feed { seq, at, kind, entities, of_accounts: true });
        }
    }

    /// Notes one change on several contacts, with one entry of the feed.
    fn touch_all(&mut self, entities: Vec<EntityId>, at: Millis, actor: &str) {
        let (seq, by) = (self.seq, self.by(at, actor));
        for id in &entities {
            self.with_entity(*id, |entity| mark(entity, seq, &by));
        }
        if !entities.is_empty() {
            self.feed.push(Feed { seq, at: by.at, kind: FeedKind::Updated, entities, of_accounts: false });
        }
    }

    fn answer_kept(&mut self, kept: AnswerKept) {
        let now = kept.at;
        self.kept.insert(kept.key.as_str().into(), Arc::new(kept));
        if self.kept.len() >= self.kept_prune_at {
            let is_old = |kept: &AnswerKept| now.0 - kept.at.0 > KEPT_MS;
            let old: Vec<Arc<str>> =
                self.kept.iter().filter(|(_, kept)| is_old(kept)).map(|(key, _)| Arc::clone(key)).collect();
            for key in old {
                self.kept.remove(&*key);
            }
            self.kept_prune_at = (self.kept.len() * 2).max(1024);
        }
    }
}

/// Whether a contact id names a contact that callers see.
pub fn is_live(entity: &Entity) -> bool {
    entity.redirect.is_none() && !entity.deleted && !entity.members.is_empty()
}

fn mark(entity: &mut Entity, seq: crate::model::ids::Seq, by: &By) {
    entity.version += 1;
    entity.updated_at = by.at;
    entity.updated_seq = seq;
    entity.updated_by = Arc::clone(&by.actor);
}

fn push_moment(entity: &mut Entity, seq: crate::model::ids::Seq, by: &By, kind: FeedKind, members: Arc<[u32]>) {
    let moment = Moment { seq, at: by.at, actor: Arc::clone(&by.actor), kind, members };
    push_tight(Arc::make_mut(&mut entity.moments), moment);
}

/// The family names of a version that is evidence, and what the index of names keeps of the given one.
fn family<'a>(put: Option<&'a RecordPut>, version: Option<&Version>) -> (&'a [String], GivenHint) {
    let evidence = put.zip(version).filter(|(_, version)| !version.stored.manual);
    let family = |(put, version): (&'a RecordPut, &Version)| (&*put.normalized.name.last_tokens, version.given_hint());
    evidence.map(family).unwrap_or_default()
}

fn push_past(slot: &mut Slot, past: Past) {
    push_tight(Arc::make_mut(&mut slot.past), past);
}

/// Appends to a list that hardly ever grows, and of which there are millions: room for a quarter more, not for twice as much.
fn push_tight<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(1 + list.len() / 4);
    }
    list.push(item);
}

fn remember(slot: &mut Slot, id: EntityId) {
    if !slot.once().contains(&id) {
        Arc::make_mut(slot.once.get_or_insert_default()).push(id);
    }
}
