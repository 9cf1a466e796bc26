//! What a contact or an account showed at any earlier moment, and every change of it: computed from the versions of its
//! records, the moments of its set of records, and the rules that were in force then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use serde_json::Value;

use crate::engine::api::{Change, Provenance};
use crate::model::ids::{EntityId, Seq};
use crate::model::survivorship::Survivorship;
use crate::resolve::account::{GoldenAccount, Known, put_together};
use crate::resolve::survive::{Golden, Rules, golden};
use crate::store::shard::{Entity, FeedKind, Moment, Policy, Shard, Slot};
use crate::store::stored::{Opened, Stored};

/// One contact's past.
pub(in crate::engine) struct History<'a> {
    shard: &'a Shard,
    id: EntityId,
    /// Merges by survivor: when, and who was taken in.
    taken_in: HashMap<EntityId, Vec<(Seq, EntityId)>>,
    before_any_policy: Survivorship,
}

/// A shown value as JSON text and where it came from.
type One = (String, Option<Provenance>);
/// All of them, by field.
type Shown = BTreeMap<String, One>;
/// Where values came from, by field and by value of a list.
type Sourced = BTreeMap<String, Provenance>;

impl<'a> History<'a> {
    pub(in crate::engine) fn of(shard: &'a Shard, id: EntityId) -> Self {
        let mut taken_in: HashMap<EntityId, Vec<(Seq, EntityId)>> = HashMap::new();
        for merge in shard.merge_order.iter().filter_map(|merge| shard.merges.get(merge)) {
            taken_in.entry(merge.merged.survivor).or_default().push((merge.seq, merge.merged.loser));
        }
        Self { shard, id, taken_in, before_any_policy: Survivorship::default() }
    }

    /// The rules in force as of a seq.
    fn rules_at(&self, seq: Seq) -> Rules<'_> {
        let groups = Some((&self.shard.groups, seq));
        match self.policy_at(seq) {
            Some(policy) => Rules { survivorship: &policy.survivorship, source_trust: &policy.source_trust, groups },
            None => Rules { survivorship: &self.before_any_policy, source_trust: &[], groups },
        }
    }

    fn policy_at(&self, seq: Seq) -> Option<&Policy> {
        self.shard.policies.iter().rev().find(|policy| policy.seq <= seq)
    }

    /// The slots of manual edits that ever counted for this contact: its own and those of ids that it took in.
    fn manual_slots(&self) -> BTreeSet<u32> {
        let (mut slots, mut seen, mut open) = (BTreeSet::new(), HashSet::new(), vec![self.id]);
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                slots.extend(self.shard.entity(id).and_then(|entity| entity.manual));
                open.extend(self.taken_in.get(&id).into_iter().flatten().map(|(_, loser)| *loser));
            }
        }
        slots
    }

    /// The same as of a seq.
    fn manual_slots_at(&self, seq: Seq) -> BTreeSet<u32> {
        let (mut slots, mut seen, mut open) = (BTreeSet::new(), HashSet::new(), vec![self.id]);
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                slots.extend(self.shard.entity(id).and_then(|entity| entity.manual));
                let merges = self.taken_in.get(&id).into_iter().flatten();
                let mine = merges.filter(|(at, loser)| *at <= seq && self.redirected_by(*loser, seq) == Some(*at));
                open.extend(mine.map(|(_, loser)| *loser));
            }
        }
        slots
    }

    /// The seq of the merge that an id redirected by as of a seq; `None`: it did not redirect.
    fn redirected_by(&self, id: EntityId, seq: Seq) -> Option<Seq> {
        let moment = moment_at(self.shard.entity(id)?, seq)?;
        (moment.kind == FeedKind::Merged && moment.members.is_empty()).then_some(moment.seq)
    }

    /// What a set of records showed as of a seq, and the versions behind it.
    pub(super) fn golden_at(&self, members: &[u32], seq: Seq) -> (Vec<Opened>, Golden) {
        let (sources, manual) = self.versions_at(members, seq);
        let golden = golden(&sources, &manual, self.rules_at(seq));
        (sources, golden)
    }

    /// The same for an account.
    pub(in crate::engine) fn account_at(&self, members: &[u32], seq: Seq) -> (Vec<Opened>, GoldenAccount) {
        let (sources, manual) = self.versions_at(members, seq);
        let then = |slot: &u32| {
            let at = self.shard.slot(*slot)?;
            Some(Known { now: version_at(at, seq)?.open(), past: &at.past })
        };
        let known: Vec<Known<'_>> = members.iter().filter_map(then).collect();
        (sources, put_together(&known, &manual, self.rules_at(seq)))
    }

    /// What a set of records showed as of a seq, as a history tells it.
    fn shown_at(&self, members: &[u32], seq: Seq) -> (Shown, Sourced) {
        if self.shard.is_of_accounts {
            let (_, golden) = self.account_at(members, seq);
            return (shown_account(&golden), golden.shared.provenance);
        }
        let (_, golden) = self.golden_at(members, seq);
        (shown(&golden), golden.provenance)
    }

    fn versions_at(&self, members: &[u32], seq: Seq) -> (Vec<Opened>, Vec<Opened>) {
        let then = |slot: &u32| Some(version_at(self.shard.slot(*slot)?, seq)?.open());
        (members.iter().filter_map(then).collect(), self.manual_slots_at(seq).iter().filter_map(then).collect())
    }

    /// Every change, oldest first.
    pub(super) fn changes(&self, entity: &Entity) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut before = Shown::new();
        for seq in self.seqs(entity) {
            if let Some(moment) = moment_at(entity, seq) {
                self.changes_at(moment, seq, &mut before, &mut changes);
            }
        }
        changes
    }

    /// When something happened that this contact can depend on, ascending.
    fn seqs(&self, entity: &Entity) -> BTreeSet<Seq> {
        let mut seqs: BTreeSet<Seq> = entity.moments.iter().map(|moment| moment.seq).collect();
        let mut slots = self.manual_slots();
        slots.extend(entity.moments.iter().flat_map(|moment| moment.members.iter().copied()));
        for slot in slots.iter().filter_map(|slot| self.shard.slot(*slot)) {
            seqs.extend(slot.past.iter().map(|past| past.seq));
        }
        seqs.extend(self.shard.policies.iter().map(|policy| policy.seq));
        seqs.extend(self.shard.groups.moments().map(|moment| moment.seq));
        seqs
    }

    fn changes_at(&self, moment: &Moment, seq: Seq, before: &mut Shown, changes: &mut Vec<Change>) {
        let (sources, manual) = self.versions_at(&moment.members, seq);
        let mut base = base(moment, seq);
        if let Some(cause) = sources.iter().chain(&manual).find(|version| version.seq == seq) {
            base.source = cause.put.record.key.source.to_string();
            base.actor.clone_from(&cause.put.actor);
            base.at = cause.put.received_at;
        } else if let Some(policy) = self.policy_at(seq).filter(|policy| policy.seq == seq) {
            base.actor.clone_from(&policy.actor);
            base.at = policy.at;
        } else if let Some(group) = self.shard.groups.moments().find(|group| group.seq == seq) {
            base.actor.clone_from(&group.actor);
            base.at = group.at;
        }
        if moment.seq == seq {
            base.kind = moment.kind.word();
            changes.push(base.clone());
        }
        let (now, sourced) = self.shown_at(&moment.members, seq);
        for field in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(field), now.get(field));
            if old.map(|(text, _)| text) != new.map(|(text, _)| text) {
                changes.push(overwritten(&sourced, field, old, new, &base));
            }
        }
        *before = now;
    }
}

/// A field's change, with the rule that gave the new value and the source that said it.
fn overwritten(sourced: &Sourced, field: &str, old: Option<&One>, new: Option<&One>, base: &Change) -> Change {
    let from = new.and_then(|(_, from)| from.as_ref());
    let said_by = match (items(old), items(new)) {
        // Of a list: who brought the first item that was not there; nobody when items only went away.
        (old, Some(new)) => new
            .iter()
            .position(|item| !old.as_ref().is_some_and(|old| old.contains(item)))
            .and_then(|at| sourced.get(&format!("{field}[{at}]")).or(from)),
        (_, None) => from,
    };
    Change {
        field: field.to_owned(),
        old: old.map(|(text, _)| text.clone()),
        new: new.map(|(text, _)| text.clone()),
        rule: from.map_or("", |from| from.rule),
        source: said_by.map_or_else(|| base.source.clone(), |from| from.source.clone()),
        ..base.clone()
    }
}

/// The items of a shown list.
fn items(side: Option<&One>) -> Option<Vec<Value>> {
    side.and_then(|(text, _)| serde_json::from_str(text).ok())
}

/// A change of a contact's records by whoever changed them.
fn base(moment: &Moment, seq: Seq) -> Change {
    Change {
        kind: "updated",
        field: String::new(),
        old: None,
        new: None,
        source: String::new(),
        actor: moment.actor.to_string(),
        at: moment.at,
        seq,
        rule: "",
    }
}

/// The last thing that happened to a contact's set of records as of a seq.
pub(in crate::engine) fn moment_at(entity: &Entity, seq: Seq) -> Option<&Moment> {
    entity.moments.iter().rev().find(|moment| moment.seq <= seq)
}

/// The version that counted as of a seq; `None`: there was none.
pub(in crate::engine) fn version_at(slot: &Slot, seq: Seq) -> Option<&Arc<Stored>> {
    let counts = |put: &Stored| !put.stale;
    let mut past = slot.past.iter().rev().filter(|past| past.seq <= seq);
    past.find(|past| past.put.as_deref().is_none_or(counts))?.put.as_ref()
}

/// What is shown, as JSON text by field; attributes key by key.
fn shown(golden: &Golden) -> Shown {
    let input = crate::formats::json::RecordInput::from_fields(&golden.fields);
    let Ok(Value::Object(mut map)) = serde_json::to_value(&input) else { return Shown::new() };
    if let Some(Value::Object(keys)) = map.remove("attributes") {
        map.extend(keys.into_iter().map(|(key, value)| (format!("attributes.{key}"), value)));
    }
    let empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let from = |field: &str| {
        let exact = golden.provenance.get(field);
        exact.or_else(|| golden.provenance.get(field.split_once('.')?.0)).cloned()
    };
    let shown = map.into_iter().filter(|(_, value)| !empty(value));
    shown.map(|(field, value)| (field.clone(), (value.to_string(), from(&field)))).collect()
}

/// What an account shows: the shared fields and those that only businesses have.
fn shown_account(golden: &GoldenAccount) -> Shown {
    let mut shown = shown(&golden.shared);
    let sourced = &golden.shared.provenance;
    let mut put = |field: &str, value: Value| {
        let from = sourced.get(field).or_else(|| sourced.get(&format!("{field}[0]")));
        shown.insert(field.to_owned(), (value.to_string(), from.cloned()));
    };
    for (field, list) in [
        ("alternate_domains", &golden.alternate_domains),
        ("previous_names", &golden.previous_names),
        ("technologies", &golden.technologies),
    ] {
        if !list.is_empty() {
            put(field, list.iter().map(String::as_str).collect());
        }
    }
    golden.industry.iter().for_each(|industry| put("industry", industry.as_str().into()));
    golden.domain_normalized.iter().for_each(|domain| put("domain_normalized", domain.as_str().into()));
    shown
}
