//! The distinct name tokens of one tenant, and which of them are alike, for queries.
//!
//! A million contacts have some 84,000 distinct surnames, so fuzzy work happens here and never on records.
//! Few tokens are simply scanned (tens of nanoseconds each, nearly all ruled out by length and letters);
//! from [`SCAN_MAX`] on there are maps from the token with one letter left out, from the sound and from the
//! first letters. Two tokens are one edit apart only if they share one of the former, so nothing is missed.
//!
//! A clone is cheap and independent: a writer changes its own while readers keep theirs. Tokens are counted;
//! one that nobody uses any more is gone, and its id is used again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rapidfuzz::distance::osa;
use rphonetic::DoubleMetaphone;
use smallvec::SmallVec;

use crate::cow::{PMap, PVec};
use crate::matching::similarity::has_more;

/// Distinct tokens from which on there are maps instead of scans.
const SCAN_MAX: usize = 5_000;
/// Characters from which a token is too long for the map of deletions; such tokens are scanned.
const LONG_CHARS: usize = 48;
/// Letters that a sound code is made from.
const SOUND_LETTERS_MAX: usize = 32;
/// Key of the long tokens in the map of deletions.
const LONG_KEY: u64 = 0;

/// The tokens of a tenant.
#[derive(Clone, Debug, Default)]
pub struct TokenDict {
    ids: PMap<Arc<str>, u32>,
    slots: PVec<Slot>,
    free: Option<u32>,
    maps: Option<Maps>,
}

#[derive(Clone, Debug)]
enum Slot {
    Used(Entry),
    /// The next free slot, if any.
    Free(Option<u32>),
}

#[derive(Clone, Debug)]
struct Entry {
    text: Arc<str>,
    count: u32,
    chars: u32,
    letters: u32,
    sounds: [u32; 2],
}

/// What a large dictionary has beside its tokens.
#[derive(Clone, Debug, Default)]
struct Maps {
    /// Hash of a token, or of a token with one letter left out, to ids.
    deletions: PMap<u64, SmallVec<[u32; 2]>>,
    /// Sound code to ids.
    sounds: PMap<u32, Arc<Vec<u32>>>,
    /// Hash of the first letter, and of the first two, to ids.
    starts: PMap<u64, Arc<Vec<u32>>>,
}

impl TokenDict {
    /// An empty dictionary.
    pub fn new() -> Self {
        Self::default()
    }

    /// Distinct tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Counts a token once more, and returns its id, which stays until it is removed as often.
    pub fn insert(&mut self, token: &str) -> u32 {
        if let Some(id) = self.id(token) {
            if let Some(entry) = self.entry_mut(id) {
                entry.count = entry.count.saturating_add(1);
            }
            return id;
        }
        let entry = Entry::new(token);
        if let Some(maps) = &mut self.maps {
            maps.change(&entry, |ids, id| ids.push(id), self.free.unwrap_or(next_id(&self.slots)));
        }
        let text = Arc::clone(&entry.text);
        let id = self.place(entry);
        self.ids.insert(text, id);
        if self.maps.is_none() && self.len() >= SCAN_MAX {
            self.maps = Some(self.build_maps());
        }
        id
    }

    /// Counts a token once less; at zero it is gone. Returns its id if this was the last.
    pub fn remove(&mut self, token: &str) -> Option<u32> {
        let id = self.id(token)?;
        let entry = self.entry_mut(id)?;
        entry.count = entry.count.saturating_sub(1);
        if entry.count > 0 {
            return None;
        }
        let entry = entry.clone();
        if let Some(maps) = &mut self.maps {
            maps.change(&entry, |ids, id| ids.drop_id(id), id);
        }
        if self.len() < SCAN_MAX / 2 {
            self.maps = None;
        }
        self.ids.remove(token);
        let next = self.free.replace(id);
        if let Some(slot) = self.slots.get_mut(at(id)) {
            *slot = Slot::Free(next);
        }
        Some(id)
    }

    /// The id of a token; `None` if nobody uses it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token of an id; `None` if the id is not in use.
    pub fn text(&self, id: u32) -> Option<&str> {
        self.entry(id).map(|entry| &*entry.text)
    }

    /// How often a token was put more than removed; 0 if the id is not in use.
    pub fn count(&self, id: u32) -> u32 {
        self.entry(id).map_or(0, |entry| entry.count)
    }

    /// Adds every token within `max_edits` (optimal string alignment: insert, delete, replace, swap
    /// neighbours) with its similarity, `1 - edits / length of the longer`; the most similar first, then by
    /// id. One edit is fast at any size; two or more compare with every token.
    pub fn similar(&self, token: &str, max_edits: u8, out: &mut Vec<(u32, f32)>) {
        let from = out.len();
        match (&self.maps, max_edits) {
            (_, 0) => out.extend(self.id(token).map(|id| (id, 1.0))),
            (Some(maps), 1) => {
                let probe = Probe::new(token, 1);
                let ids = maps.one_edit(token);
                out.extend(ids.into_iter().filter_map(|id| Some((id, probe.similarity(self.entry(id)?)?))));
            }
            _ => {
                let probe = Probe::new(token, max_edits);
                out.extend(self.entries().filter_map(|(id, entry)| Some((id, probe.similarity(entry)?))));
            }
        }
        if let Some(added) = out.get_mut(from..) {
            added.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
    }

    /// Adds the ids of the tokens that sound like this one (Double Metaphone, either code), itself included,
    /// by id. Only tokens of plain letters have a sound.
    pub fn sounding(&self, token: &str, out: &mut Vec<u32>) {
        let from = out.len();
        let sounds = sounds(token);
        match &self.maps {
            Some(maps) => {
                for sound in distinct(sounds) {
                    out.extend(maps.sounds.get(&sound).iter().flat_map(|ids| ids.iter()));
                }
            }
            None => out.extend(self.entries().filter(|(_, entry)| entry.sounds_like(sounds)).map(|(id, _)| id)),
        }
        tidy(out, from);
    }

    /// The ids of the tokens within one edit, the most similar first, then of those that sound like it by id; each once.
    /// What [`similar`](Self::similar) and [`sounding`](Self::sounding) give, of few tokens in one go.
    pub fn near(&self, token: &str) -> Vec<u32> {
        let (mut similar, mut sounding) = (Vec::new(), Vec::new());
        if self.maps.is_some() {
            self.similar(token, 1, &mut similar);
            self.sounding(token, &mut sounding);
        } else {
            let (probe, asked, mut id) = (Probe::new(token, 1), sounds(token), 0_u32);
            // For each, as an iterator of leaves is several times slower from outside.
            self.slots.iter().for_each(|slot| {
                if let Slot::Used(entry) = slot {
                    similar.extend(probe.similarity(entry).map(|similarity| (id, similarity)));
                    sounding.extend(entry.sounds_like(asked).then_some(id));
                }
                id = id.saturating_add(1);
            });
            similar.sort_by(|a: &(u32, f32), b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
        let mut ids: Vec<u32> = similar.into_iter().map(|(id, _)| id).collect();
        let edited = ids.len();
        sounding.retain(|id| !ids.get(..edited).unwrap_or_default().contains(id));
        ids.append(&mut sounding);
        ids
    }

    /// Adds the ids of the tokens that start with this text (an initial, or what was typed so far), itself
    /// included, by id. An empty text starts nothing.
    pub fn starting(&self, start: &str, out: &mut Vec<u32>) {
        let from = out.len();
        match (&self.maps, start_keys(start).next_back()) {
            (_, None) => {}
            (Some(maps), Some(key)) => {
                let starts = |id: &u32| self.text(*id).is_some_and(|text| text.starts_with(start));
                out.extend(maps.starts.get(&key).iter().flat_map(|ids| ids.iter()).filter(|id| starts(id)));
            }
            (None, Some(_)) => {
                out.extend(self.entries().filter(|(_, entry)| entry.text.starts_with(start)).map(|(id, _)| id));
            }
        }
        tidy(out, from);
    }

    fn entry(&self, id: u32) -> Option<&Entry> {
        match self.slots.get(at(id))? {
            Slot::Used(entry) => Some(entry),
            Slot::Free(_) => None,
        }
    }

    fn entry_mut(&mut self, id: u32) -> Option<&mut Entry> {
        match self.slots.get_mut(at(id))? {
            Slot::Used(entry) => Some(entry),
            Slot::Free(_) => None,
        }
    }

    fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0u32..).zip(self.slots.iter()).filter_map(|(id, slot)| match slot {
            Slot::Used(entry) => Some((id, entry)),
            Slot::Free(_) => None,
        })
    }

    fn place(&mut self, entry: Entry) -> u32 {
        let Some(id) = self.free else {
            let id = next_id(&self.slots);
            self.slots.push(Slot::Used(entry));
            return id;
        };
        if let Some(slot) = self.slots.get_mut(at(id)) {
            self.free = match slot {
                Slot::Free(next) => *next,
                Slot::Used(_) => None,
            };
            *slot = Slot::Used(entry);
        }
        id
    }

    fn build_maps(&self) -> Maps {
        let mut maps = Maps::default();
        for (id, entry) in self.entries() {
            maps.change(entry, |ids, id| ids.push(id), id);
        }
        maps
    }
}

impl Entry {
    fn new(token: &str) -> Self {
        let chars = u32::try_from(token.chars().count()).unwrap_or(u32::MAX);
        Self { text: token.into(), count: 1, chars, letters: letters(token), sounds: sounds(token) }
    }

    /// Whether it has one of these sounds, of which 0 is none.
    fn sounds_like(&self, sounds: [u32; 2]) -> bool {
        sounds.iter().any(|sound| *sound != 0 && self.sounds.contains(sound))
    }
}

/// A list of ids, whatever holds it.
trait Ids {
    fn push(&mut self, id: u32);
    fn drop_id(&mut self, id: u32);
    fn is_empty(&self) -> bool;
}

impl Ids for SmallVec<[u32; 2]> {
    fn push(&mut self, id: u32) {
        SmallVec::push(self, id);
    }

    fn drop_id(&mut self, id: u32) {
        self.retain(|other| *other != id);
    }

    fn is_empty(&self) -> bool {
        SmallVec::is_empty(self)
    }
}

impl Ids for Arc<Vec<u32>> {
    fn push(&mut self, id: u32) {
        Arc::make_mut(self).push(id);
    }

    fn drop_id(&mut self, id: u32) {
        Arc::make_mut(self).retain(|other| *other != id);
    }

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl Maps {
    /// Changes the id lists under every key of a token; lists that get empty go.
    fn change(&mut self, entry: &Entry, with: impl Fn(&mut dyn Ids, u32), id: u32) {
        for key in deletion_keys(&entry.text) {
            change_list(&mut self.deletions, key, |ids| with(ids, id));
        }
        for sound in distinct(entry.sounds) {
            change_list(&mut self.sounds, sound, |ids| with(ids, id));
        }
        for key in start_keys(&entry.text) {
            change_list(&mut self.starts, key, |ids| with(ids, id));
        }
    }

    /// Ids that may be one edit away, and all that are.
    fn one_edit(&self, token: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        let long = (token.chars().count() + 1 >= LONG_CHARS).then_some(LONG_KEY);
        for key in deletion_keys(token).into_iter().chain(long) {
            ids.extend(self.deletions.get(&key).iter().flat_map(|ids| ids.iter()));
        }
        tidy(&mut ids, 0);
        ids
    }
}

fn change_list<K: Hash + Eq + Clone, L: Ids + Clone + Default>(
    map: &mut PMap<K, L>,
    key: K,
    with: impl FnOnce(&mut dyn Ids),
) {
    let list = map.entry_or_insert_with(&key, L::default);
    with(list);
    if list.is_empty() {
        map.remove(&key);
    }
}

/// An asked token, ready to be compared with many.
struct Probe {
    comparator: osa::BatchComparator<char>,
    chars: u32,
    letters: u32,
    edits: u32,
}

impl Probe {
    fn new(token: &str, max_edits: u8) -> Self {
        Self {
            comparator: osa::BatchComparator::new(token.chars()),
            chars: u32::try_from(token.chars().count()).unwrap_or(u32::MAX),
            letters: letters(token),
            edits: u32::from(max_edits),
        }
    }

    /// The similarity to a token; `None` if it takes more edits. An edit changes the length by at most one,
    /// and adds and removes at most one letter.
    #[expect(clippy::cast_precision_loss, reason = "edits and lengths of words are small")]
    fn similarity(&self, entry: &Entry) -> Option<f32> {
        let most = usize::try_from(self.edits).unwrap_or(usize::MAX);
        if self.chars.abs_diff(entry.chars) > self.edits
            || has_more(self.letters & !entry.letters, most)
            || has_more(entry.letters & !self.letters, most)
        {
            return None;
        }
        let within = osa::Args::default().score_cutoff(most);
        let edits = self.comparator.distance_with_args(entry.text.chars(), &within)?;
        let longer = self.chars.max(entry.chars).max(1);
        Some(1.0 - edits as f32 / longer as f32)
    }
}

/// The set of letters of a token, one bit for each of a to z, the rest sharing six.
fn letters(token: &str) -> u32 {
    token.chars().fold(0, |set, c| {
        let bit = if c.is_ascii_lowercase() { u32::from(c) - u32::from('a') } else { 26 + u32::from(c) % 6 };
        set | 1 << bit
    })
}

/// The sound codes of a token as numbers, 0 for none.
fn sounds(token: &str) -> [u32; 2] {
    if token.len() < 2 || !token.bytes().all(|b| b.is_ascii_alphabetic()) {
        return [0, 0];
    }
    let head = token.get(..SOUND_LETTERS_MAX).unwrap_or(token);
    let codes = DoubleMetaphone::default().double_metaphone(head);
    let number = |code: String| code.bytes().take(4).fold(0, |sum, b| sum << 8 | u32::from(b));
    [number(codes.primary()), number(codes.alternate())]
}

fn distinct([first, second]: [u32; 2]) -> impl Iterator<Item = u32> {
    [first, if second == first { 0 } else { second }].into_iter().filter(|sound| *sound != 0)
}

/// Hashes of the token and of the token with each letter left out; for a long token [`LONG_KEY`].
fn deletion_keys(token: &str) -> SmallVec<[u64; 16]> {
    let chars: SmallVec<[char; 32]> = token.chars().collect();
    if chars.len() >= LONG_CHARS {
        return SmallVec::from_slice(&[LONG_KEY]);
    }
    let whole = key_of(chars.iter());
    let without = |skip: usize| key_of(chars.iter().enumerate().filter(|(at, _)| *at != skip).map(|(_, c)| c));
    let mut keys: SmallVec<[u64; 16]> = (0..chars.len()).map(without).chain([whole]).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn key_of<'a>(chars: impl Iterator<Item = &'a char>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    chars.for_each(|c| c.hash(&mut hasher));
    hasher.finish().max(LONG_KEY + 1)
}

/// Keys of the first letter and of the first two.
fn start_keys(token: &str) -> impl DoubleEndedIterator<Item = u64> {
    let chars: SmallVec<[char; 2]> = token.chars().take(2).collect();
    (1..=chars.len()).map(move |count| key_of(chars.iter().take(count)))
}

fn tidy(ids: &mut Vec<u32>, from: usize) {
    let mut added = ids.split_off(from);
    added.sort_unstable();
    added.dedup();
    ids.append(&mut added);
}

fn next_id(slots: &PVec<Slot>) -> u32 {
    u32::try_from(slots.len()).unwrap_or(u32::MAX)
}

fn at(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same tokens with and without maps.
    fn both(tokens: &[String]) -> [TokenDict; 2] {
        let mut dict = TokenDict::new();
        for token in tokens {
            dict.insert(token);
        }
        let mut mapped = dict.clone();
        mapped.maps = Some(mapped.build_maps());
        [dict, mapped]
    }

    #[test]
    fn alike_by_example() {
        let names = ["smith", "smyth", "schmidt", "simth", "johnson", "jonson", "j", "jo"].map(String::from);
        for dict in both(&names) {
            let texts = |ids: Vec<u32>| ids.iter().map(|id| dict.text(*id).unwrap().to_owned()).collect::<Vec<_>>();
            let mut similar = Vec::new();
            dict.similar("smith", 1, &mut similar);
            assert_eq!(similar, [(0, 1.0), (1, 0.8), (3, 0.8)]);
            let mut sounding = Vec::new();
            dict.sounding("smith", &mut sounding);
            assert_eq!(texts(sounding), ["smith", "smyth", "schmidt", "simth"]);
            let mut starting = Vec::new();
            dict.starting("j", &mut starting);
            assert_eq!(texts(starting), ["johnson", "jonson", "j", "jo"]);
            let mut starting = Vec::new();
            dict.starting("joh", &mut starting);
            assert_eq!(texts(starting), ["johnson"]);
        }
    }

    #[test]
    fn a_clone_keeps_what_it_saw_and_ids_are_used_again() {
        let mut dict = TokenDict::new();
        let anna = dict.insert("anna");
        assert_eq!(dict.insert("anna"), anna);
        let old = dict.clone();
        assert_eq!(dict.remove("anna"), None);
        assert_eq!(dict.remove("anna"), Some(anna));
        assert_eq!((dict.id("anna"), dict.text(anna), dict.len()), (None, None, 0));
        assert_eq!(dict.insert("bob"), anna);
        assert_eq!((old.text(anna), old.count(anna)), (Some("anna"), 2));
        assert_eq!(dict.remove("zoe"), None);
    }

    #[test]
    fn grows_maps_and_sheds_them() {
        let mut dict = TokenDict::new();
        let token = |n: usize| format!("tok{n}en");
        for n in 0..SCAN_MAX + 10 {
            dict.insert(&token(n));
        }
        assert!(dict.maps.is_some());
        let long = "x".repeat(60);
        dict.insert(&long);
        let mut out = Vec::new();
        dict.similar(&long[1..], 1, &mut out);
        assert_eq!(out.len(), 1);
        for n in 0..SCAN_MAX {
            dict.remove(&token(n));
        }
        assert!(dict.maps.is_none());
        out.clear();
        dict.similar("tok5001en", 0, &mut out);
        assert_eq!(out.len(), 1);
    }

    proptest! {
        #[test]
        fn similar_is_what_comparing_all_finds(
            ops in prop::collection::vec(("[a-cé]{0,7}|[ab]{45,50}", prop::bool::weighted(0.7)), 0..60),
            asked in "[a-cé]{0,7}|[ab]{45,50}",
            edits in 0u8..3,
        ) {
            let mut mapped = TokenDict { maps: Some(Maps::default()), ..TokenDict::new() };
            let mut plain = TokenDict::new();
            let mut counts = std::collections::BTreeMap::<String, u32>::new();
            for (token, put) in &ops {
                let count = counts.entry(token.clone()).or_default();
                if *put {
                    *count += 1;
                    prop_assert_eq!(mapped.insert(token), plain.insert(token));
                } else {
                    *count = count.saturating_sub(1);
                    mapped.remove(token);
                    plain.remove(token);
                }
                if mapped.maps.is_none() {
                    mapped.maps = Some(mapped.build_maps());
                }
            }
            counts.retain(|_, count| *count > 0);
            let limit = usize::from(edits);
            let expected: Vec<&String> =
                counts.keys().filter(|token| strsim::osa_distance(token, &asked) <= limit).collect();
            for dict in [&plain, &mapped] {
                prop_assert_eq!(dict.len(), counts.len());
                let mut out = Vec::new();
                dict.similar(&asked, edits, &mut out);
                let mut found: Vec<&str> = out.iter().map(|(id, _)| dict.text(*id).unwrap()).collect();
                found.sort_unstable();
                prop_assert_eq!(&found, &expected);
            }
            for dict in [&plain, &mapped] {
                let (mut similar, mut sounding) = (Vec::new(), Vec::new());
                dict.similar(&asked, 1, &mut similar);
                dict.sounding(&asked, &mut sounding);
                let mut expected: Vec<u32> = similar.iter().map(|(id, _)| *id).collect();
                expected.extend(sounding.iter().filter(|id| similar.iter().all(|(other, _)| other != *id)));
                prop_assert_eq!(dict.near(&asked), expected);
            }
            let (mut a, mut b) = (Vec::new(), Vec::new());
            plain.sounding(&asked, &mut a);
            mapped.sounding(&asked, &mut b);
            prop_assert_eq!(&a, &b);
            plain.starting(&asked, &mut a);
            mapped.starting(&asked, &mut b);
            prop_assert_eq!(a, b);
        }

        #[test]
        fn sounds_never_panic(token in "\\PC{0,40}|[a-zA-Z]{0,70}") {
            sounds(&token);
        }
    }
}
