//! Who holds a key: for every blocking key the slots of the records that carry it, and how many people they are.
//!
//! Keys of up to [`SMALL_MAX`] holders lie side by side in one [`Packed`] map, nine bytes a holder or so. A key of more (a
//! switchboard, a robot) has a map of its own, so that one more holder of a hundred thousand costs no copy. People are
//! counted up to that length only: a key with more holders proposes nobody and is generic anyway.
//!
//! A holder's code says who it is. A slot has one code whatever the key, so it is kept once, beside the keys; only where
//! codes are what is looked at ([`Postings::beside_holders`]) does each holder have it again.

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::cow::{PMap, Packed, Run};
use crate::index::codes::Codes;
use crate::model::key::Key;

/// Holders up to which people are counted. Not below any tenant's `holders_max` (at most 64).
pub const SMALL_MAX: usize = 64;

/// All postings of one tenant. Clones are cheap and independent.
#[derive(Clone, Debug)]
pub struct Postings {
    /// Key to holders.
    few: Packed<64>,
    /// Slot, its bits in reverse, to its code, for each key of many holders.
    many: PMap<Key, Packed<32>>,
    /// The code of each slot; missing: each holder has its own.
    codes: Option<Codes>,
    keys: usize,
    /// Holders in `many`.
    crowd: usize,
}

impl Default for Postings {
    fn default() -> Self {
        Self { codes: Some(Codes::default()), ..Self::beside_holders() }
    }
}

/// The holders of one key.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    holders: Holders<'a>,
    codes: Option<&'a Codes>,
}

#[derive(Clone, Copy, Debug)]
enum Holders<'a> {
    Few(Run<'a>),
    Many(&'a Packed<32>),
}

impl<'a> Posting<'a> {
    /// How many records hold the key.
    pub fn holders(self) -> usize {
        match self.holders {
            Holders::Few(run) => run.len(),
            Holders::Many(set) => set.len(),
        }
    }

    /// How many people they are; `u32::MAX` when there are too many to count.
    pub fn people(self) -> u32 {
        match self.holders {
            Holders::Few(_) => people(self.each().map(|(_, code)| code)),
            Holders::Many(_) => u32::MAX,
        }
    }

    /// The slots of the holders; ascending if there are no more than [`SMALL_MAX`].
    pub fn slots(self) -> impl Iterator<Item = u32> + 'a {
        let shift = if self.codes.is_some() { 0 } else { u32::BITS };
        let (few, many) = match self.holders {
            Holders::Few(run) => (Some(run), None),
            Holders::Many(set) => (None, Some(set)),
        };
        let few = few.into_iter().flat_map(Run::iter).map(move |value| low(value >> shift));
        few.chain(many.into_iter().flat_map(Packed::iter).map(|(slot, _)| low(slot).reverse_bits()))
    }

    /// Whether any holder is like this. In no order.
    pub fn any(self, like: impl FnMut(u32) -> bool) -> bool {
        self.slots().any(like)
    }

    /// Adds the holders whose code is like this with their codes, ascending by slot.
    pub fn select(self, like: impl Fn(u32) -> bool, out: &mut Vec<(u32, u32)>) {
        let from = out.len();
        // From inside: hundreds of holders are looked at for each that is added.
        self.each().filter(|(_, code)| like(*code)).for_each(|holder| out.push(holder));
        if let (Holders::Many(_), Some(added)) = (self.holders, out.get_mut(from..)) {
            added.sort_unstable();
        }
    }

    /// All holders with their codes, ascending by slot.
    pub fn entries(self) -> Vec<(u32, u32)> {
        let mut entries = Vec::with_capacity(self.holders());
        self.each().for_each(|entry| entries.push(entry));
        if matches!(self.holders, Holders::Many(_)) {
            entries.sort_unstable();
        }
        entries
    }

    /// Each holder and its code; ascending if they are few.
    pub fn each(self) -> impl Iterator<Item = (u32, u32)> + 'a {
        let codes = self.codes;
        let (few, many) = match self.holders {
            Holders::Few(run) => (Some(run), None),
            Holders::Many(set) => (None, Some(set)),
        };
        let few = few.into_iter().flat_map(Run::iter).map(move |value| match codes {
            Some(codes) => (low(value), codes.get(low(value))),
            None => (low(value >> u32::BITS), low(value)),
        });
        few.chain(many.into_iter().flat_map(Packed::iter).map(move |(slot, code)| {
            let slot = low(slot).reverse_bits();
            (slot, codes.map_or(low(code), |codes| codes.get(slot)))
        }))
    }
}

/// Distinct given-name codes; 0 (no given name) counts for nobody.
pub fn people(codes: impl Iterator<Item = u32>) -> u32 {
    let mut seen: SmallVec<[u32; 16]> = SmallVec::new();
    codes.for_each(|code| {
        if code != 0 && !seen.contains(&code) {
            seen.push(code);
        }
    });
    u32::try_from(seen.len()).unwrap_or(u32::MAX)
}

/// The lower half of a number.
fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Whether numbers that come ascending are among these, which ascend, too.
fn among(sorted: &[u64]) -> impl FnMut(u64) -> bool + '_ {
    let mut left = sorted;
    move |number| {
        while let Some((_, later)) = left.split_first().filter(|(first, _)| **first < number) {
            left = later;
        }
        left.first() == Some(&number)
    }
}

/// What a slot is called among many holders: its lowest bits are the ones that differ most.
fn reversed(slot: u32) -> u64 {
    u64::from(slot.reverse_bits())
}

impl Postings {
    /// Empty postings in which each holder of a key has its code beside it.
    pub fn beside_holders() -> Self {
        Self { few: Packed::default(), many: PMap::new(), codes: None, keys: 0, crowd: 0 }
    }

    /// The posting of a key, if anybody holds it.
    pub fn get(&self, key: Key) -> Option<Posting<'_>> {
        self.posting(key, self.few.get(key.0))
    }

    /// The postings of several keys, in their order: as [`Postings::get`], in less time than one after the other.
    pub fn get_all(&self, keys: impl Iterator<Item = Key>) -> Vec<Option<Posting<'_>>> {
        let keys: SmallVec<[u64; 32]> = keys.map(|key| key.0).collect();
        let runs = self.few.get_all(&keys);
        keys.into_iter().zip(runs).map(|(key, run)| self.posting(Key(key), run)).collect()
    }

    /// The posting of a key that has this run among the keys of few.
    fn posting<'a>(&'a self, key: Key, run: Run<'a>) -> Option<Posting<'a>> {
        let holders = if run.is_empty() { Holders::Many(self.many.get(&key)?) } else { Holders::Few(run) };
        Some(Posting { holders, codes: self.codes.as_ref() })
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// How many holders there are, of all keys.
    pub fn holders(&self) -> usize {
        self.few.len() + self.crowd
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Bytes that they take, roughly.
    pub fn bytes(&self) -> u64 {
        let beside = if self.codes.is_some() { 0 } else { 4 };
        let (few, crowd) = (self.few.len() as u64, self.crowd as u64);
        few * (10 + beside) + crowd * (4 + beside) + self.codes.as_ref().map_or(0, Codes::bytes)
    }

    /// Adds a holder. One that is there has this code from now on; without codes of their own, under every key.
    pub fn add(&mut self, key: Key, slot: u32, code: u32) {
        let code = self.note(slot, code);
        let run = self.few.get(key.0);
        if run.is_empty() {
            if self.many.contains_key(&key) {
                return self.add_to_many(key, slot, code);
            }
            self.keys += 1;
        }
        let value = self.value(slot, code);
        match self.of_slot(run, slot) {
            Some(old) if old == value => {}
            Some(old) => {
                self.few.remove(key.0, old);
                self.few.insert(key.0, value);
            }
            None if run.len() < SMALL_MAX => {
                self.few.insert(key.0, value);
            }
            None => self.outgrow(key, slot, code),
        }
    }

    /// Adds many holders of one or many keys, none of which hold any of these keys yet: the same as one by one, in much less
    /// time and on all cores.
    pub fn add_all(&mut self, holders: Vec<(Key, u32, u32)>) {
        // Those of one slot mostly follow each other.
        for one in holders.chunk_by(|a, b| (a.1, a.2) == (b.1, b.2)) {
            if let Some((_, slot, code)) = one.first() {
                self.note(*slot, *code);
            }
        }
        let pair = |(key, slot, code): (Key, u32, u32)| (key.0, self.value(slot, code));
        let mut pairs: Vec<(u64, u64)> = holders.into_iter().map(pair).collect();
        pairs.par_sort_unstable();
        pairs.dedup();
        // Keys of many holders have another form: those that have it, and those that come with so many.
        let mut crowded: Vec<u64> = self.many.iter().map(|(key, _)| key.0).collect();
        let runs = pairs.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > SMALL_MAX);
        crowded.extend(runs.filter_map(|run| run.first()).map(|(key, _)| *key));
        crowded.sort_unstable();
        let mut is_crowded = among(&crowded);
        let crowd: Vec<(u64, u64)> = pairs.iter().filter(|(key, _)| is_crowded(*key)).copied().collect();
        let mut is_crowded = among(&crowded);
        pairs.retain(|(key, _)| !is_crowded(*key));
        let added = self.few.extend_sorted(&pairs, SMALL_MAX);
        drop(pairs);
        self.keys += added.new_keys;
        for key in added.over {
            let run = self.few.take(key);
            self.add_to_crowd(key, &run);
        }
        for run in crowd.chunk_by(|a, b| a.0 == b.0) {
            let Some((key, _)) = run.first().copied() else { continue };
            let mut values: Vec<u64> = run.iter().map(|(_, value)| *value).collect();
            if !self.many.contains_key(&Key(key)) {
                let few = self.few.take(key);
                self.keys += usize::from(few.is_empty());
                values.extend(few);
            }
            self.add_to_crowd(key, &values);
        }
    }

    /// Adds holders, as they stand among few, to those of a key of many.
    fn add_to_crowd(&mut self, key: u64, values: &[u64]) {
        let entry = |value: &u64| match self.codes {
            Some(_) => (reversed(low(*value)), 0),
            None => (reversed(low(value >> u32::BITS)), u64::from(low(*value))),
        };
        let mut entries: Vec<(u64, u64)> = values.iter().map(entry).collect();
        entries.sort_unstable();
        self.crowd += entries.len();
        self.many.entry_or_insert_with(&Key(key), Packed::default).extend_sorted(&entries, usize::MAX);
    }

    /// Takes a holder away.
    pub fn remove(&mut self, key: Key, slot: u32) {
        let run = self.few.get(key.0);
        if run.is_empty() {
            return self.remove_from_many(key, slot);
        }
        let last = run.len() == 1;
        if let Some(old) = self.of_slot(run, slot) {
            self.few.remove(key.0, old);
            self.keys -= usize::from(last);
        }
    }

    /// Keeps the code of a slot where that is kept, and says what is to stand beside the holder.
    fn note(&mut self, slot: u32, code: u32) -> u32 {
        match &mut self.codes {
            Some(codes) => {
                codes.set(slot, code);
                0
            }
            None => code,
        }
    }

    /// A holder among few.
    fn value(&self, slot: u32, code: u32) -> u64 {
        match self.codes {
            Some(_) => u64::from(slot),
            None => u64::from(slot) << u32::BITS | u64::from(code),
        }
    }

    /// How a slot stands among few, if it does.
    fn of_slot(&self, run: Run<'_>, slot: u32) -> Option<u64> {
        let shift = if self.codes.is_some() { 0 } else { u32::BITS };
        run.iter().find(|value| value >> shift == u64::from(slot))
    }

    /// One holder more than few.
    fn outgrow(&mut self, key: Key, slot: u32, code: u32) {
        let run = self.few.take(key.0);
        self.add_to_crowd(key.0, &run);
        self.add_to_many(key, slot, code);
    }

    fn add_to_many(&mut self, key: Key, slot: u32, code: u32) {
        let Some(set) = self.many.get_mut(&key) else { return };
        let (slot, code) = (reversed(slot), u64::from(code));
        let old = set.get(slot).iter().next();
        match old {
            Some(old) if old == code => return,
            Some(old) => drop(set.remove(slot, old)),
            None => self.crowd += 1,
        }
        set.insert(slot, code);
    }

    fn remove_from_many(&mut self, key: Key, slot: u32) {
        let Some(old) = self.many.get(&key).and_then(|set| set.get(reversed(slot)).iter().next()) else { return };
        let Some(set) = self.many.get_mut(&key) else { return };
        set.remove(reversed(slot), old);
        self.crowd -= 1;
        if set.len() > SMALL_MAX {
            return;
        }
        let Some(set) = self.many.remove(&key) else { return };
        self.crowd -= set.len();
        for (slot, code) in set.iter() {
            self.few.insert(key.0, self.value(low(slot).reverse_bits(), low(code)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Plain = BTreeMap<u64, BTreeMap<u32, u32>>;

    /// Two keys that many hold, two that few do.
    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 1u64..3, 1 => Just(u64::MAX), 1 => Just(1 << 63)]
    }

    fn check(postings: &Postings, plain: &Plain) -> Result<(), TestCaseError> {
        prop_assert_eq!(postings.len(), plain.len());
        for (key, holders) in plain {
            let posting = postings.get(Key(*key)).unwrap();
            let want: Vec<(u32, u32)> = holders.iter().map(|(slot, code)| (*slot, *code)).collect();
            prop_assert_eq!(posting.entries(), &want[..]);
            prop_assert_eq!(posting.holders(), want.len());
            let mut slots: Vec<u32> = posting.slots().collect();
            if want.len() > SMALL_MAX {
                slots.sort_unstable();
            }
            prop_assert!(slots.iter().eq(holders.keys()));
            let mut selected = vec![(7, 7)];
            posting.select(|code| code == 2, &mut selected);
            let twos = want.iter().filter(|(_, code)| *code == 2).copied();
            prop_assert!(selected.into_iter().eq(std::iter::once((7, 7)).chain(twos)));
            prop_assert!(posting.any(|slot| slot == want[0].0) && !posting.any(|slot| slot == 1 << 20));
            let codes: std::collections::BTreeSet<u32> = holders.values().copied().filter(|code| *code != 0).collect();
            let people = if want.len() > SMALL_MAX { u32::MAX } else { u32::try_from(codes.len()).unwrap() };
            prop_assert_eq!(posting.people(), people);
        }
        prop_assert!(postings.get(Key(0)).is_none());
        let asked: Vec<Key> = plain.keys().flat_map(|key| [Key(*key), Key(key ^ 4)]).collect();
        let together = postings.get_all(asked.iter().copied());
        prop_assert_eq!(together.len(), asked.len());
        for (key, posting) in asked.into_iter().zip(together) {
            let entries = |posting: Option<Posting<'_>>| posting.map(Posting::entries);
            prop_assert_eq!(entries(posting), entries(postings.get(key)));
        }
        prop_assert_eq!(postings.few.len() + postings.crowd, plain.values().map(BTreeMap::len).sum::<usize>());
        Ok(())
    }

    proptest! {
        /// Postings equal plain maps through growth past the small form and back, and a clone keeps what it saw.
        #[test]
        fn equal_plain_maps(
            ops in prop::collection::vec((0u8..4, key(), 0u32..130, 0u32..5), 0..900),
            beside in any::<bool>(),
            all_at in 0usize..900,
        ) {
            let mut postings = if beside { Postings::beside_holders() } else { Postings::default() };
            let mut plain = Plain::new();
            let code_of = |slot: u32, code: u32| if beside { code } else { slot % 5 };
            let mut kept = None;
            for (at, (what, key, slot, code)) in ops.iter().copied().enumerate() {
                if what == 0 {
                    postings.remove(Key(key), slot);
                    if let Some(holders) = plain.get_mut(&key) { holders.remove(&slot); }
                    plain.retain(|_, holders| !holders.is_empty());
                } else {
                    postings.add(Key(key), slot, code_of(slot, code));
                    plain.entry(key).or_default().insert(slot, code_of(slot, code));
                }
                if at == all_at {
                    kept = Some((postings.clone(), plain.clone()));
                    // Some under keys that nobody held so far.
                    let key_of = |key: u64, slot: u32| if slot.is_multiple_of(3) { 10 + key % 3 } else { key % 3 };
                    let all = ops.iter().map(|(_, key, slot, _)| (key_of(*key, *slot), *slot, code_of(*slot, 3)));
                    let all: BTreeMap<(u64, u32), u32> = all.map(|(key, slot, code)| ((key, slot), code)).collect();
                    let is_new = |key: &u64, slot: &u32| plain.get(key).is_none_or(|held| !held.contains_key(slot));
                    let all: Vec<_> = all.into_iter().filter(|((key, slot), _)| *key != 0 && is_new(key, slot)).collect();
                    postings.add_all(all.iter().map(|((key, slot), code)| (Key(*key), *slot, *code)).collect());
                    all.into_iter().for_each(|((key, slot), code)| { plain.entry(key).or_default().insert(slot, code); });
                    check(&postings, &plain)?;
                }
            }
            check(&postings, &plain)?;
            if let Some((postings, plain)) = kept { check(&postings, &plain)?; }
        }
    }

    #[test]
    fn a_slot_has_one_code_under_all_its_keys() {
        let mut postings = Postings::default();
        postings.add(Key(1), 5, 9);
        postings.add(Key(2), 5, 4);
        assert_eq!(postings.get(Key(1)).unwrap().entries(), [(5, 4)]);
        assert_eq!(postings.get(Key(1)).unwrap().people(), 1);
    }
}
