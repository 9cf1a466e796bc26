//! Records, contacts, edges and the feed of a snapshot, of which there are millions: read where they lie, made on all cores,
//! and put in their indexes many at once.
//!
//! A chunk is read without being unpacked first. Slots stand in the order of the snapshot, so they are put in place one after
//! the other; what finds them (postings, places, names) is told of them later, in large lots: [`Pending`].

use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use rkyv::primitive::ArchivedU32;
use rkyv::rancor::Failure;
use rkyv::vec::ArchivedVec;

use super::accounts::ArchivedAccountSlotV1;
use super::derived::{Kept, Reader, basis};
use super::{ArchivedEntityV1, ArchivedFeedV1, ArchivedPastV1, ArchivedSlotV1, OF_ACCOUNTS, kind};
use crate::index::names::GivenHint;
use crate::matching::account::NameShapes;
use crate::matching::model::Model;
use crate::model::account::Business;
use crate::model::event::RecordPut;
use crate::model::event::v1::{ArchivedBusinessV1, ArchivedRecordPutV1, BusinessV1, RecordPutV1};
use crate::model::ids::{EntityId, Millis, RecordId, Seq};
use crate::model::key::{Key, Millibits};
use crate::store::relations::affiliation_keys;
use crate::store::shard::{BusinessVersion, Entity, Feed, FeedKind, Moment, Past, Shard, Slot, Version};
use crate::store::stored::Stored;
use crate::store::words::Words;

/// Holders of keys that wait for the postings at least, unless there are no more: each lot walks all of the postings.
const HOLDERS_MIN: usize = 1 << 20;
/// Holders that wait at most, more or less: bounds the memory of a start.
const HOLDERS_MAX: usize = 4 << 20;

/// Records that are in their slots and not yet in the indexes.
#[derive(Debug, Default)]
pub struct Pending {
    /// The first such slot.
    from: u32,
    /// Keys that they hold.
    holders: usize,
    names: Vec<(Key, u32, u32)>,
    affiliations: Vec<(Key, u32, u32)>,
    /// What was derived from the records of the next chunk.
    derived: Option<Vec<u8>>,
    /// How the records came by what is derived from them.
    pub origin: Origin,
}

/// How many records came with what is derived from them, and for how many it was made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// It was kept.
    pub kept: u64,
    /// It was derived.
    pub derived: u64,
}

/// A chunk, as kind and bytes.
pub type Piece = (u8, Vec<u8>);

/// Takes chunks in, in their order. `None`: the bytes of one are not what its kind says, or the kind is unknown. What is
/// pending is to be settled in the end.
pub fn take_in_all(shard: &mut Shard, pieces: Vec<Piece>, pending: &mut Pending) -> Option<()> {
    let mut left = pieces.into_iter().peekable();
    while let Some((of, payload)) = left.next() {
        match of {
            kind::DERIVED => pending.derived = Some(payload),
            kind::SLOTS => {
                let mut chunks = vec![(payload, pending.derived.take())];
                while let Some((of, payload)) = left.next_if(|(of, _)| [kind::SLOTS, kind::DERIVED].contains(of)) {
                    match of {
                        kind::DERIVED => pending.derived = Some(payload),
                        _ => chunks.push((payload, pending.derived.take())),
                    }
                }
                slots(shard, &chunks, pending)?;
            }
            kind::ENTITIES | kind::EDGES | kind::FEED => {
                pending.settle(shard);
                let mut chunks = vec![payload];
                while let Some((_, payload)) = left.next_if(|(next, _)| *next == of) {
                    chunks.push(payload);
                }
                many(shard, of, &chunks)?;
            }
            _ => {
                pending.settle(shard);
                super::take_in_one(shard, of, &payload)?;
            }
        }
    }
    Some(())
}

/// Takes in chunks of one kind that may be many.
pub(super) fn many(shard: &mut Shard, of: u8, chunks: &[Vec<u8>]) -> Option<()> {
    match of {
        kind::ENTITIES => entities(shard, chunks),
        kind::EDGES => edges(shard, chunks),
        kind::FEED => feed(shard, chunks),
        _ => None,
    }
}

impl Pending {
    /// Nothing yet, of a shard in which everything is in the indexes.
    pub fn of(shard: &Shard) -> Self {
        Self { from: shard.next_slot(), ..Self::default() }
    }

    /// Tells the indexes of the records that wait.
    pub fn settle(&mut self, shard: &mut Shard) {
        let from = std::mem::replace(&mut self.from, shard.next_slot());
        if from == self.from {
            return;
        }
        let mut holders = Vec::with_capacity(self.holders);
        for (at, slot) in (from..).zip(shard.slots.iter_from(from as usize)) {
            let current = slot.current.iter();
            holders.extend(current.flat_map(|v| v.keys.iter().map(|(key, _)| (key, at, v.given_code()))));
        }
        self.holders = 0;
        shard.postings.add_all(holders);
        shard.put_places(from);
        shard.names.add_holders(std::mem::take(&mut self.names));
        shard.affiliations.add_all(std::mem::take(&mut self.affiliations));
    }

    /// Whether there are enough of them.
    fn is_much(&self, shard: &Shard) -> bool {
        self.holders >= shard.postings.holders().clamp(HOLDERS_MIN, HOLDERS_MAX)
    }
}

/// Words that many threads share.
struct Speller<'a> {
    shared: &'a Mutex<Words>,
    own: Words,
}

impl<'a> Speller<'a> {
    fn new(shared: &'a Mutex<Words>) -> Self {
        let own = shared.lock().map(|words| words.clone()).unwrap_or_default();
        Self { shared, own }
    }

    fn get(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.own.known(word) {
            return known;
        }
        let Ok(mut shared) = self.shared.lock() else { return word.into() };
        let word = shared.get(word);
        self.own = shared.clone();
        word
    }
}

/// Runs `make` for each chunk on all cores, and keeps the words that are new in the shard.
fn on_all_cores<T: Send, C: Sync>(
    shard: &mut Shard,
    chunks: &[C],
    make: impl for<'c> Fn(&'c C, &mut Speller<'_>) -> Option<T> + Sync,
) -> Option<Vec<T>> {
    let words = Mutex::new(std::mem::take(&mut shard.words));
    let made = chunks.par_iter().map(|chunk| make(chunk, &mut Speller::new(&words))).collect();
    shard.words = words.into_inner().unwrap_or_default();
    made
}

/// The records of a chunk, made and not yet in their slots.
#[derive(Default)]
struct Made {
    slots: Vec<Slot>,
    /// Family names: the slot's place in the chunk, what is known of the given name, the tokens.
    names: Vec<(u32, GivenHint, Vec<Box<str>>)>,
    affiliations: Vec<(u32, Key)>,
    holders: usize,
    live: u64,
    origin: Origin,
}

fn slots(shard: &mut Shard, chunks: &[(Vec<u8>, Option<Vec<u8>>)], pending: &mut Pending) -> Option<()> {
    let (model, under) = (Arc::clone(&shard.model), basis(shard));
    // Not all at once: what is made lies beside its bytes until it is in its place.
    for some in chunks.chunks(rayon::current_num_threads().max(1) * 8) {
        let all = on_all_cores(shard, some, |(payload, derived), speller| {
            let records = rkyv::access::<ArchivedVec<ArchivedSlotV1>, Failure>(payload).ok()?;
            let kept = derived.as_ref().and_then(|bytes| Reader::new(bytes, &under, payload));
            let mut maker = Maker { model: &model, is_of_accounts: false, speller, made: Made::default() };
            if kept.and_then(|kept| maker.all_kept(records, kept)).is_none() {
                maker.made = Made::default();
                records.iter().try_for_each(|slot| maker.derive(slot, &mut std::iter::empty()))?;
            }
            Some(maker.made)
        })?;
        for made in all {
            place(shard, made, pending);
        }
        if pending.is_much(shard) {
            pending.settle(shard);
        }
    }
    Some(())
}

/// Takes in slots of businesses, of which there are fewer: what is derived from them is not kept.
pub(super) fn account_slots(shard: &mut Shard, payload: &[u8]) -> Option<()> {
    let model = Arc::clone(&shard.model);
    let mut pending = Pending::of(shard);
    let made = on_all_cores(shard, &[payload], |payload, speller| {
        let records = rkyv::access::<ArchivedVec<ArchivedAccountSlotV1>, Failure>(payload).ok()?;
        let mut maker = Maker { model: &model, is_of_accounts: true, speller, made: Made::default() };
        records.iter().try_for_each(|one| maker.derive(&one.slot, &mut one.businesses.iter()))?;
        Some(maker.made)
    })?;
    made.into_iter().for_each(|made| place(shard, made, &mut pending));
    pending.settle(shard);
    Some(())
}

/// Makes the records of one chunk.
struct Maker<'a, 's> {
    model: &'a Model,
    is_of_accounts: bool,
    speller: &'a mut Speller<'s>,
    made: Made,
}

impl Maker<'_, '_> {
    /// From what is derived of all of them; `None`: it is not that.
    fn all_kept(&mut self, records: &ArchivedVec<ArchivedSlotV1>, mut kept: Reader<'_>) -> Option<()> {
        for slot in records.iter() {
            let mut current = None;
            let mut past = Vec::with_capacity(slot.past.len());
            for one in slot.past.iter() {
                let seq = Seq(one.seq.to_native());
                let stored = one.put.as_ref().map(|put| Arc::new(Stored::kept(put, seq, kept.put())));
                if let Some(stored) = stored.as_ref().filter(|_| counts(slot, seq)) {
                    current = Some((Arc::clone(stored), one.put.as_ref()?));
                }
                past.push(self.past(one, stored));
            }
            let current = current.map(|(stored, put)| {
                let Kept { features, keys, hint, affiliations } = kept.current();
                (Version::kept(stored, features, keys, hint), put, affiliations)
            });
            self.made.origin.kept += 1;
            self.add(slot, past, current);
        }
        kept.is_whole().then_some(())
    }

    /// From the record alone. `businesses` has one for each put, where they are businesses.
    fn derive<'b>(
        &mut self,
        slot: &ArchivedSlotV1,
        businesses: &mut impl Iterator<Item = &'b ArchivedBusinessV1>,
    ) -> Option<()> {
        let mut current = None;
        let mut past = Vec::with_capacity(slot.past.len());
        for one in slot.past.iter() {
            let seq = Seq(one.seq.to_native());
            let Some(archived) = one.put.as_ref() else {
                past.push(self.past(one, None));
                continue;
            };
            let put: RecordPut = rkyv::deserialize::<RecordPutV1, Failure>(archived).ok()?.into();
            let business = match self.is_of_accounts {
                true => Some(business_of(businesses.next()?)?),
                false => None,
            };
            let stored = Arc::new(Stored::new(&put, seq, business));
            if counts(slot, seq) {
                let affiliations = if self.is_of_accounts { Vec::new() } else { affiliation_keys(&put) };
                let version = Version::of_stored(&put, Arc::clone(&stored), self.model);
                current = Some((version, archived, affiliations));
            }
            past.push(self.past(one, Some(stored)));
        }
        self.made.origin.derived += 1;
        self.add(slot, past, current);
        Some(())
    }

    fn past(&mut self, one: &ArchivedPastV1, put: Option<Arc<Stored>>) -> Past {
        Past { seq: Seq(one.seq.to_native()), at: Millis(one.at.to_native()), actor: self.speller.get(&one.actor), put }
    }

    /// Adds a record; `current` is the version that counts, its put, and what a business finds it by.
    fn add(
        &mut self,
        stored: &ArchivedSlotV1,
        past: Vec<Past>,
        current: Option<(Version, &ArchivedRecordPutV1, Vec<Key>)>,
    ) {
        let made = &mut self.made;
        let at = u32::try_from(made.slots.len()).unwrap_or(u32::MAX);
        if let Some((version, put, affiliations)) = &current {
            made.holders += version.keys.len();
            made.affiliations.extend(affiliations.iter().map(|key| (at, *key)));
            if !version.stored.manual {
                made.live += 1;
                let tokens = put.normalized.name.last_tokens.iter().map(|token| (**token).into()).collect();
                made.names.push((at, version.given_hint(), tokens));
            }
        }
        let once: Vec<EntityId> = stored.once.iter().map(|id| EntityId(id.to_native())).collect();
        made.slots.push(Slot {
            record_id: RecordId(stored.record_id.to_native()),
            current: current.map(|(version, ..)| Arc::new(version)),
            past: Arc::new(past),
            entity: stored.entity.as_ref().map(|id| EntityId(id.to_native())),
            native: stored.native.as_ref().map(|id| EntityId(id.to_native())),
            once: Some(once).filter(|ids| !ids.is_empty()).map(Arc::new),
        });
    }
}

/// Whether the put of an event is the one that counts.
fn counts(slot: &ArchivedSlotV1, seq: Seq) -> bool {
    slot.current_seq.as_ref().is_some_and(|current| current.to_native() == seq.0)
}

fn business_of(archived: &ArchivedBusinessV1) -> Option<Arc<BusinessVersion>> {
    let business: Business = rkyv::deserialize::<BusinessV1, Failure>(archived).ok()?.into();
    Some(Arc::new(BusinessVersion { shapes: NameShapes::new(&business), business }))
}

/// Puts records in the next slots.
fn place(shard: &mut Shard, made: Made, pending: &mut Pending) {
    let first = shard.next_slot();
    let Made { slots, names, affiliations, holders, live, origin } = made;
    shard.records_live += live;
    slots.into_iter().for_each(|slot| shard.slots.push(slot));
    for (at, given, tokens) in names {
        shard.names.add_tokens(tokens.iter().map(|token| &**token), given, first + at, &mut pending.names);
    }
    pending.affiliations.extend(affiliations.into_iter().map(|(at, key)| (key, first + at, 0)));
    pending.holders += holders;
    pending.origin.kept += origin.kept;
    pending.origin.derived += origin.derived;
}

fn entities(shard: &mut Shard, chunks: &[Vec<u8>]) -> Option<()> {
    let all = on_all_cores(shard, chunks, |payload, speller| {
        let stored = rkyv::access::<ArchivedVec<ArchivedEntityV1>, Failure>(payload).ok()?;
        Some(stored.iter().map(|entity| Arc::new(entity_in(entity, speller))).collect::<Vec<_>>())
    })?;
    for entity in all.into_iter().flatten() {
        shard.contacts_live += u64::from(crate::store::apply::is_live(&entity));
        shard.entity_order.push(entity.id);
        shard.entities.insert(entity.id, entity);
    }
    Some(())
}

fn entity_in(stored: &ArchivedEntityV1, speller: &mut Speller<'_>) -> Entity {
    let list = |slots: &[ArchivedU32]| -> Arc<[u32]> { slots.iter().map(|slot| slot.to_native()).collect() };
    let members = list(&stored.members);
    let moments = stored.moments.iter().map(|moment| Moment {
        seq: Seq(moment.seq.to_native()),
        at: Millis(moment.at.to_native()),
        actor: speller.get(&moment.actor),
        kind: FeedKind::from_number(moment.kind),
        // The last one's are the contact's.
        members: if *moment.members == *stored.members { Arc::clone(&members) } else { list(&moment.members) },
    });
    let moments = Arc::new(moments.collect());
    Entity {
        id: EntityId(stored.id.to_native()),
        members,
        manual: stored.manual.as_ref().map(|slot| slot.to_native()),
        redirect: stored.redirect.as_ref().map(|id| EntityId(id.to_native())),
        absorbed: stored.absorbed.iter().map(|id| EntityId(id.to_native())).collect(),
        deleted: stored.deleted,
        created_at: Millis(stored.created_at.to_native()),
        moments,
        version: stored.version.to_native(),
        updated_at: Millis(stored.updated_at.to_native()),
        updated_seq: Seq(stored.updated_seq.to_native()),
        updated_by: speller.get(&stored.updated_by),
    }
}

fn edges(shard: &mut Shard, chunks: &[Vec<u8>]) -> Option<()> {
    let all =
        on_all_cores(shard, chunks, |payload, _| rkyv::from_bytes::<Vec<(u32, u32, i32)>, Failure>(payload).ok())?;
    shard.edges.add_all(all.into_iter().flatten().map(|(a, b, weight)| (a, b, Millibits(weight))));
    Some(())
}

fn feed(shard: &mut Shard, chunks: &[Vec<u8>]) -> Option<()> {
    let all = on_all_cores(shard, chunks, |payload, _| {
        let stored = rkyv::access::<ArchivedVec<ArchivedFeedV1>, Failure>(payload).ok()?;
        Some(stored.iter().map(feed_in).collect::<Vec<_>>())
    })?;
    all.into_iter().flatten().for_each(|one| shard.feed.push(one));
    Some(())
}

fn feed_in(stored: &ArchivedFeedV1) -> Feed {
    Feed {
        seq: Seq(stored.seq.to_native()),
        at: Millis(stored.at.to_native()),
        kind: FeedKind::from_number(stored.kind & !OF_ACCOUNTS),
        entities: stored.entities.iter().map(|id| EntityId(id.to_native())).collect(),
        of_accounts: stored.kind & OF_ACCOUNTS != 0,
    }
}
