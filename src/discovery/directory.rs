//! The exact map from tags to the records that carry them: what a look-up asks.
//!
//! Tags are keyed hashes, so their own first bytes are the hash of the table. The map is cut into shelves, each under a lock
//! of its own: a reader waits for a writer no longer than one insertion takes, and when a table must grow it is one
//! shelf's, not all. An entry takes 21 bytes at a load of 60 %: 16 for the tag, 4 for the record's slot, 1 for the table. A tag that
//! several records carry points to a list aside.
//!
//! The map says which records carry a tag, and nothing more. Whether a record's contact may be told is asked of the
//! current state for each hit; so an opt-out or a block needs no change here.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use smallvec::SmallVec;

use crate::discovery::dialect::inners;
use crate::discovery::tag::{Onion, Tag, TagKey};
use crate::discovery::{Inner, Kind};

/// Entries that a shelf is made for.
const SHELF_ENTRIES: usize = 4096;
/// Shelves at most: at 10,000,000 tags a shelf that grows moves some thousand entries.
const SHELVES_MAX: usize = 4096;
/// Set in a value: it is a place in the shelf's list of lists.
const SEVERAL: u32 = 1 << 31;
/// Set in a value: the tag is not the one of the record's primary dialect.
const SECONDARY: u32 = 1 << 30;
/// Shelves up to which a batch is asked of all at once: their locks are few beside its tags.
const ALL_SHELVES_MAX: usize = 64;
/// Tags of a batch that are looked up under the same locks, and where each shelf is locked once, shelves: who writes waits
/// as long as these take, some microseconds. A writer holds one lock and waits for none, so that readers may hold many.
const TAGS_AT_ONCE: usize = 256;
const SHELVES_AT_ONCE: usize = 32;
/// Slots that a map can point to.
pub const SLOTS_MAX: u32 = SECONDARY;

/// A record that carries a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// The identifier was spelt in another dialect than the primary one.
    pub is_secondary: bool,
    /// The record's slot.
    pub slot: u32,
}

impl Held {
    fn pack(self) -> u32 {
        self.slot | if self.is_secondary { SECONDARY } else { 0 }
    }

    fn unpack(value: u32) -> Self {
        Self { is_secondary: value & SECONDARY != 0, slot: value & !SECONDARY }
    }
}

/// The records that carry a tag, primary dialect first, then ascending by slot.
pub type Holders = SmallVec<[Held; 2]>;

/// What a map has of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No record carries it.
    Nothing,
    /// One does.
    One(Held),
    /// Several do.
    Several(Holders),
}

/// How the tags of a map are made.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Of digests, under the epoch's key alone.
    Plain(TagKey),
    /// Of digests or of the first tags, under all keys one after the other: where nothing but tags is stored.
    Onion(Onion),
}

impl Keys {
    /// The tag of a digest.
    #[must_use]
    pub fn tag(&self, kind: Kind, inner: &Inner) -> Tag {
        match self {
            Self::Plain(key) => key.tag(kind, inner),
            Self::Onion(onion) => onion.tag(kind, inner),
        }
    }

    /// The distinct tags of an identifier in all dialects, the primary one's first.
    #[must_use]
    pub fn tags(&self, kind: Kind, canonical: &str) -> SmallVec<[Tag; 2]> {
        inners(kind, canonical).iter().map(|inner| self.tag(kind, inner)).collect()
    }

    /// The tag of what was stored as a tag of the first epoch; `None` where digests are the only way.
    #[must_use]
    pub fn lift(&self, first: &Tag) -> Option<Tag> {
        match self {
            Self::Plain(_) => None,
            Self::Onion(onion) => Some(onion.lift(first)),
        }
    }
}

#[derive(Debug, Default)]
struct Shelf {
    table: HashTable<(Tag, u32)>,
    /// Of tags that several records carry.
    lists: HashMap<Tag, Vec<u32>>,
}

impl Shelf {
    fn find(&self, tag: &Tag) -> Found {
        match self.table.find(hash(tag), |(known, _)| known == tag) {
            None => Found::Nothing,
            Some((_, value)) if value & SEVERAL == 0 => Found::One(Held::unpack(*value)),
            Some(_) => Found::Several(self.listed(tag)),
        }
    }

    fn listed(&self, tag: &Tag) -> Holders {
        let mut all: Holders = self.lists.get(tag).into_iter().flatten().map(|value| Held::unpack(*value)).collect();
        all.sort_unstable();
        all
    }
}

/// The map of one directory in one epoch.
#[derive(Debug)]
pub struct Directory {
    epoch: u32,
    keys: Keys,
    shelves: Box<[RwLock<Shelf>]>,
}

impl Directory {
    /// An empty one, for about so many tags.
    #[must_use]
    pub fn new(epoch: u32, keys: Keys, tags: usize) -> Self {
        let count = (tags / SHELF_ENTRIES).next_power_of_two().clamp(1, SHELVES_MAX);
        Self { epoch, keys, shelves: (0..count).map(|_| RwLock::default()).collect() }
    }

    /// The epoch of its key.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How its tags are made.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Tags in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| read(shelf).table.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its tables take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let list = |list: &Vec<u32>| size_of::<(Tag, Vec<u32>)>() + list.capacity() * 4;
        let of = |shelf: &Shelf| shelf.table.allocation_size() + shelf.lists.values().map(list).sum::<usize>();
        size_of_val(&*self.shelves) + self.shelves.iter().map(|shelf| of(&read(shelf))).sum::<usize>()
    }

    /// The records that carry a tag.
    #[must_use]
    pub fn get(&self, tag: &Tag) -> Holders {
        match self.find(tag) {
            Found::Nothing => Holders::new(),
            Found::One(held) => std::iter::once(held).collect(),
            Found::Several(all) => all,
        }
    }

    /// What it has of a tag: as [`Directory::get`], without a list where there is nothing to be listed.
    #[must_use]
    pub fn find(&self, tag: &Tag) -> Found {
        let Some(shelf) = self.shelf(tag) else { return Found::Nothing };
        read(shelf).find(tag)
    }

    /// What it has of each of these tags, in their order.
    ///
    /// Nearly all of a look-up in a large map is waiting for memory, and a lock makes the machine wait for one tag before it
    /// begins with the next. So locks are taken first and tags are looked up between them, many at a time.
    #[must_use]
    pub fn find_all(&self, tags: &[Tag]) -> Vec<Found> {
        match tags {
            [] => Vec::new(),
            [one] => vec![self.find(one)],
            _ if self.shelves.len() <= ALL_SHELVES_MAX => self.find_in_all_shelves(tags),
            _ => self.find_by_shelf(tags),
        }
    }

    fn find_in_all_shelves(&self, tags: &[Tag]) -> Vec<Found> {
        let mut found = Vec::with_capacity(tags.len());
        for some in tags.chunks(TAGS_AT_ONCE) {
            let shelves: SmallVec<[_; ALL_SHELVES_MAX]> = self.shelves.iter().map(read).collect();
            let of = |tag: &Tag| shelves.get(self.number(tag)).map_or(Found::Nothing, |shelf| shelf.find(tag));
            found.extend(some.iter().map(of));
        }
        found
    }

    /// For more shelves than that: in their order, a few at a time.
    fn find_by_shelf(&self, tags: &[Tag]) -> Vec<Found> {
        let mut found = vec![Found::Nothing; tags.len()];
        let mut order: Vec<(usize, usize)> = tags.iter().map(|tag| self.number(tag)).zip(0..).collect();
        order.sort_unstable();
        let of_one: Vec<&[(usize, usize)]> = order.chunk_by(|(a, _), (b, _)| a == b).collect();
        for some in of_one.chunks(SHELVES_AT_ONCE) {
            let locked = |of_one: &&[_]| self.shelves.get(of_one.first().map(|(shelf, _)| *shelf)?).map(read);
            let shelves: SmallVec<[_; SHELVES_AT_ONCE]> = some.iter().filter_map(locked).collect();
            for (shelf, of_one) in shelves.iter().zip(some) {
                for (_, at) in *of_one {
                    if let (Some(tag), Some(to)) = (tags.get(*at), found.get_mut(*at)) {
                        *to = shelf.find(tag);
                    }
                }
            }
        }
        found
    }

    /// Notes that a record carries a tag. Nothing changes when it is known already.
    pub fn insert(&self, tag: &Tag, held: Held) {
        if held.slot >= SLOTS_MAX {
            return;
        }
        let Some(shelf) = self.shelf(tag) else { return };
        let shelf = &mut *write(shelf);
        let packed = held.pack();
        match shelf.table.entry(hash(tag), |(known, _)| known == tag, |(known, _)| hash(known)) {
            TableEntry::Vacant(free) => drop(free.insert((*tag, packed))),
            TableEntry::Occupied(mut taken) => {
                let value = taken.get().1;
                if value & SEVERAL != 0 {
                    let list = shelf.lists.entry(*tag).or_default();
                    if !list.contains(&packed) {
                        list.push(packed);
                    }
                } else if value != packed {
                    shelf.lists.insert(*tag, vec![value, packed]);
                    taken.get_mut().1 = SEVERAL;
                }
            }
        }
    }

    /// Notes that a record carries a tag no more.
    pub fn remove(&self, tag: &Tag, held: Held) {
        let Some(shelf) = self.shelf(tag) else { return };
        let shelf = &mut *write(shelf);
        let packed = held.pack();
        let Ok(mut found) = shelf.table.find_entry(hash(tag), |(known, _)| known == tag) else { return };
        if found.get().1 & SEVERAL == 0 {
            if found.get().1 == packed {
                found.remove();
            }
            return;
        }
        let Some(list) = shelf.lists.get_mut(tag) else { return };
        list.retain(|value| *value != packed);
        if let [last] = list.as_slice() {
            found.get_mut().1 = *last;
            shelf.lists.remove(tag);
        }
    }

    fn shelf(&self, tag: &Tag) -> Option<&RwLock<Shelf>> {
        self.shelves.get(self.number(tag))
    }

    /// The number of a tag's shelf. The table takes the first eight bytes; others choose the shelf, so that a shelf's tags
    /// spread over its table.
    fn number(&self, tag: &Tag) -> usize {
        let [.., a, b] = *tag;
        usize::from(u16::from_le_bytes([a, b])) & (self.shelves.len() - 1)
    }
}

fn hash(tag: &Tag) -> u64 {
    tag.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn read(shelf: &RwLock<Shelf>) -> RwLockReadGuard<'_, Shelf> {
    shelf.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shelf: &RwLock<Shelf>) -> RwLockWriteGuard<'_, Shelf> {
    shelf.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::discovery::tag::Master;
    use proptest::prelude::*;

    fn empty(tags: usize) -> Directory {
        Directory::new(1, Keys::Plain(Master::new(&[1; 32]).tag_key("t", 1)), tags)
    }

    fn held(slot: u32) -> Held {
        Held { is_secondary: slot.is_multiple_of(3), slot }
    }

    fn tag(number: u16) -> Tag {
        *blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap()
    }

    #[test]
    fn one_and_several_records_of_a_tag() {
        let map = empty(0);
        assert!(map.get(&tag(1)).is_empty() && map.is_empty());
        map.insert(&tag(1), held(7));
        map.insert(&tag(1), held(7));
        assert_eq!(map.get(&tag(1)).as_slice(), [held(7)]);
        map.insert(&tag(1), held(3));
        map.insert(&tag(1), held(5));
        assert_eq!(map.get(&tag(1)).as_slice(), [held(5), held(7), held(3)], "primary first, then by slot");
        map.remove(&tag(1), held(7));
        map.remove(&tag(1), held(8));
        map.remove(&tag(2), held(5));
        assert_eq!(map.get(&tag(1)).as_slice(), [held(5), held(3)]);
        map.remove(&tag(1), held(5));
        assert_eq!((map.get(&tag(1)).as_slice(), map.len()), (&[held(3)][..], 1));
        map.remove(&tag(1), held(3));
        assert!(map.is_empty());
    }

    #[test]
    fn a_slot_beyond_the_largest_is_left_out() {
        let map = empty(0);
        map.insert(&tag(1), Held { is_secondary: false, slot: SLOTS_MAX });
        assert!(map.is_empty());
        map.insert(&tag(1), Held { is_secondary: true, slot: SLOTS_MAX - 1 });
        assert_eq!(map.get(&tag(1)).as_slice(), [Held { is_secondary: true, slot: SLOTS_MAX - 1 }]);
    }

    #[test]
    fn a_million_tags_take_no_more_than_promised() {
        let map = empty(1_000_000);
        for number in 0..1_250_000_u32 {
            let tag: Tag = *blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap();
            map.insert(&tag, Held { is_secondary: false, slot: number });
        }
        // As full as tables are at 10,000,000: 60 %.
        let each = map.bytes() as f64 / map.len() as f64;
        assert!(each <= 1.15 * 35.2, "{each:.1} bytes a tag");
    }

    proptest! {
        #[test]
        fn like_a_set_of_pairs(steps in proptest::collection::vec((any::<bool>(), 0_u16..6, 0_u32..5), 0..80), tags in 0_usize..20_000) {
            let (map, mut oracle) = (empty(tags), BTreeSet::new());
            for (inserts, number, slot) in steps {
                if inserts {
                    map.insert(&tag(number), held(slot));
                    oracle.insert((number, held(slot)));
                } else {
                    map.remove(&tag(number), held(slot));
                    oracle.remove(&(number, held(slot)));
                }
                for number in 0..6 {
                    let expected: Vec<Held> = oracle.iter().filter(|(n, _)| *n == number).map(|(_, h)| *h).collect();
                    prop_assert_eq!(map.get(&tag(number)).to_vec(), expected);
                }
            }
        }

        /// In one shelf, in some, and in more than are locked at once, with tags that are there, are not, and come twice.
        #[test]
        fn many_at_once_are_what_each_is_alone(
            shelves in prop_oneof![Just(1_usize), Just(8), Just(64), Just(128), Just(1024)],
            known in proptest::collection::vec((0_u16..900, 0_u32..5), 0..900),
            asked in proptest::collection::vec(0_u16..1_800, 0..900),
        ) {
            let map = empty(shelves * SHELF_ENTRIES);
            prop_assert_eq!(map.shelves.len(), shelves);
            known.iter().for_each(|(number, slot)| map.insert(&tag(*number), held(*slot)));
            let asked: Vec<Tag> = asked.into_iter().map(tag).collect();
            let alone: Vec<Found> = asked.iter().map(|one| map.find(one)).collect();
            prop_assert_eq!(map.find_all(&asked), alone);
        }
    }
}
