//! The set of a directory in one epoch: what buckets, filter and `reveal` are answered from.
//!
//! Immutable; a change makes another set out of this one's members. Every member is 44 bytes in parallel arrays in the order
//! of the tags: tag 8, reveal key 16, id 12, slot 4, and its place in the order of the reveal keys 4. Outputs are
//! uniformly random, so the place of a reveal key is guessed by interpolation and found within a few steps.
//!
//! **Buckets.** The first bits of a tag are its bucket. All buckets of a set are padded to one size, so that the size of an
//! answer tells nothing of what is in it. Padding is derived by a keyed hash from the bucket and a counter: the same at
//! every call, and a client that sees a bucket twice cannot tell padding by its changing. It can once: a new member
//! takes the place of the last padding tag. That tells that somebody joined, which the epoch's next filter tells as well.

use std::sync::OnceLock;

use zeroize::Zeroizing;

use crate::discovery::oprf::{Output, REVEAL_BYTES};

/// Bytes of a member's id.
pub const ID_BYTES: usize = 12;
/// Members that share a bucket on average.
const BUCKET_MEMBERS: usize = 128;
/// The sizes of padded buckets are multiples of this, so that they hardly ever grow.
const PADDED_STEP: usize = 16;
/// A bucket's count is 16 bits wide.
pub const PADDED_MAX: usize = u16::MAX as usize;
/// Bits of a prefix at most.
pub const PREFIX_BITS_MAX: u8 = 24;

/// Tells members apart without naming them: a keyed hash of kind and digest, which is the same in every epoch.
pub type MemberId = [u8; ID_BYTES];

/// One identifier that can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: MemberId,
    /// What it evaluates to.
    pub output: Output,
    /// A record that carries it.
    pub slot: u32,
}

/// Bits of a prefix for a set of so many members: about 128 to 256 of them share a bucket.
#[must_use]
pub fn prefix_bits(members: usize) -> u8 {
    let bits = (members / BUCKET_MEMBERS).checked_ilog2().unwrap_or(0);
    u8::try_from(bits).unwrap_or(PREFIX_BITS_MAX).min(PREFIX_BITS_MAX)
}

/// The number of members as it is told: rounded up to 1, 2 or 5 times a power of ten.
#[must_use]
pub fn size_class(members: usize) -> u64 {
    let members = members as u64;
    let steps = (0..19_u32).flat_map(|power| [1, 2, 5].map(|step: u64| step.saturating_mul(10_u64.pow(power))));
    steps.into_iter().find(|class| *class >= members).unwrap_or(u64::MAX)
}

/// The members of one epoch.
pub struct Set {
    tags: Vec<u64>,
    reveals: Vec<[u8; REVEAL_BYTES]>,
    ids: Vec<MemberId>,
    slots: Vec<u32>,
    /// Places of the other arrays in the order of the reveal keys.
    by_reveal: Vec<u32>,
    bits: u8,
    /// Where each bucket begins; one more than there are buckets.
    offsets: Vec<u32>,
    padded: usize,
    padding: Zeroizing<[u8; 32]>,
    /// All buckets as they travel: made when the first is asked for.
    buckets: OnceLock<Vec<u8>>,
}

impl Set {
    /// Makes a set. `bits` is the length of a prefix and must stay as it is for an epoch, as buckets of two lengths
    /// together would tell more than one; `padded_min` is the size of the buckets so far. Of members beyond 2^32 - 1 the last are left out.
    #[must_use]
    pub fn new(mut members: Vec<Member>, bits: u8, padded_min: usize, padding: Zeroizing<[u8; 32]>) -> Self {
        members.truncate(u32::MAX as usize);
        members.sort_unstable_by_key(|one| (one.output, one.id));
        members.dedup_by_key(|one| one.id);
        let bits = bits.min(PREFIX_BITS_MAX);
        let tags: Vec<u64> = members.iter().map(|one| one.output.tag).collect();
        let mut by_reveal: Vec<u32> = (0..).take(members.len()).collect();
        by_reveal.sort_unstable_by_key(|at| members.get(*at as usize).map(|one| one.output.reveal));
        let offsets = offsets(&tags, bits);
        let widest = offsets.windows(2).map(|pair| match *pair {
            [start, end] => end.saturating_sub(start) as usize,
            _ => 0,
        });
        let padded = widest.max().unwrap_or(0).next_multiple_of(PADDED_STEP).max(PADDED_STEP).max(padded_min);
        Self {
            reveals: members.iter().map(|one| one.output.reveal).collect(),
            ids: members.iter().map(|one| one.id).collect(),
            slots: members.iter().map(|one| one.slot).collect(),
            tags,
            by_reveal,
            bits,
            offsets,
            padded,
            padding,
            buckets: OnceLock::new(),
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Bits of a prefix.
    #[must_use]
    pub fn prefix_bits(&self) -> u8 {
        self.bits
    }

    /// Tags of each bucket, padding included.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.padded
    }

    /// The tags, ascending.
    #[must_use]
    pub fn tags(&self) -> &[u64] {
        &self.tags
    }

    /// The members, in the order of their tags.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        let outputs = self.tags.iter().zip(&self.reveals).map(|(tag, reveal)| Output { tag: *tag, reveal: *reveal });
        let rest = self.ids.iter().zip(&self.slots);
        outputs.zip(rest).map(|(output, (id, slot))| Member { id: *id, output, slot: *slot })
    }

    /// The record that carries what evaluates to a reveal key.
    #[must_use]
    pub fn slot_of(&self, reveal: &[u8; REVEAL_BYTES]) -> Option<u32> {
        let at = |place: usize| {
            let at = *self.by_reveal.get(place)? as usize;
            self.reveals.get(at).map(|found| (at, found))
        };
        let (mut low, mut high) = self.guess(reveal, &at);
        while low < high {
            let middle = low.midpoint(high);
            let (_, found) = at(middle)?;
            if found < reveal { low = middle + 1 } else { high = middle }
        }
        let (place, found) = at(low)?;
        (found == reveal).then(|| self.slots.get(place).copied())?
    }

    /// A range of places that holds the first one not below a reveal key: around where it must be among so many random ones.
    fn guess<'a>(
        &'a self,
        reveal: &[u8; REVEAL_BYTES],
        at: &impl Fn(usize) -> Option<(usize, &'a [u8; REVEAL_BYTES])>,
    ) -> (usize, usize) {
        let all = self.by_reveal.len();
        let start = reveal.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        let expected = usize::try_from((u128::from(start) * all as u128) >> 64).unwrap_or(0);
        // Six deviations of the place of a uniform value.
        let spread = 3 * all.isqrt() + 8;
        let (low, high) = (expected.saturating_sub(spread), expected.saturating_add(spread).min(all));
        let below = |place: usize| at(place).is_some_and(|(_, found)| found < reveal);
        let low_fits = low == 0 || below(low - 1);
        let high_fits = high == all || !below(high);
        if low_fits && high_fits { (low, high) } else { (0, all) }
    }

    /// Bytes of one bucket as it travels: the count of its tags (u16, big-endian), then that many tags of 8 bytes, ascending.
    #[must_use]
    pub fn bucket_bytes(&self) -> usize {
        2 + self.padded * 8
    }

    /// One bucket as it travels; `None`: there is no such prefix, or buckets are too large to be counted.
    #[must_use]
    pub fn bucket(&self, prefix: u32) -> Option<&[u8]> {
        if self.padded > PADDED_MAX {
            return None;
        }
        let all = self.buckets.get_or_init(|| self.all_buckets());
        let size = self.bucket_bytes();
        let start = usize::try_from(prefix).ok()?.checked_mul(size)?;
        all.get(start..start.checked_add(size)?)
    }

    fn all_buckets(&self) -> Vec<u8> {
        let count = u16::try_from(self.padded).unwrap_or(u16::MAX).to_be_bytes();
        let mut all = Vec::with_capacity(self.offsets.len() * self.bucket_bytes());
        let mut bucket = Vec::with_capacity(self.padded);
        for (prefix, pair) in (0..).zip(self.offsets.windows(2)) {
            let &[start, end] = pair else { continue };
            bucket.clear();
            bucket.extend_from_slice(self.tags.get(start as usize..end as usize).unwrap_or_default());
            bucket.extend((0..).take(self.padded - bucket.len()).map(|number| self.padding_tag(prefix, number)));
            bucket.sort_unstable();
            all.extend_from_slice(&count);
            bucket.iter().for_each(|tag| all.extend_from_slice(&tag.to_be_bytes()));
        }
        all
    }

    /// A tag of nobody: the bucket's bits, and below them a keyed hash.
    fn padding_tag(&self, prefix: u64, number: u32) -> u64 {
        let mut input = [0; 12];
        let parts = prefix.to_le_bytes().into_iter().chain(number.to_le_bytes());
        input.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let hash = blake3::keyed_hash(&self.padding, &input);
        let random = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        let top = prefix.checked_shl(u64::BITS - u32::from(self.bits)).unwrap_or(0);
        top | (random >> self.bits)
    }
}

/// Where each bucket begins among ascending tags, and where the last one ends.
fn offsets(tags: &[u64], bits: u8) -> Vec<u32> {
    let buckets = 1_usize << bits;
    let mut offsets = Vec::with_capacity(buckets + 1);
    for (at, tag) in (0_u32..).zip(tags) {
        let prefix = usize::try_from(tag.checked_shr(u64::BITS - u32::from(bits)).unwrap_or(0)).unwrap_or(0);
        while offsets.len() <= prefix {
            offsets.push(at);
        }
    }
    offsets.resize(buckets + 1, u32::try_from(tags.len()).unwrap_or(u32::MAX));
    offsets
}

/// Members are people's identifiers in disguise, so only their number shows.
impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set").field("members", &self.len()).field("bits", &self.bits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(n: u32) -> Member {
        let hash = blake3::hash(&n.to_le_bytes());
        let id = *hash.as_bytes().first_chunk().unwrap();
        Member { id, output: Output::of(blake3::hash(hash.as_bytes()).as_bytes()).unwrap(), slot: n }
    }

    fn set(count: u32, bits: u8) -> Set {
        Set::new((0..count).map(member).collect(), bits, 0, Zeroizing::new([7; 32]))
    }

    fn tags(bucket: &[u8]) -> Vec<u64> {
        let (count, rest) = bucket.split_first_chunk::<2>().unwrap();
        let tags: Vec<u64> = rest.as_chunks::<8>().0.iter().map(|tag| u64::from_be_bytes(*tag)).collect();
        assert_eq!(usize::from(u16::from_be_bytes(*count)), tags.len());
        tags
    }

    #[test]
    fn prefixes_and_classes() {
        let bits = [(0, 0), (128, 0), (255, 0), (256, 1), (1 << 16, 9), (10_000_000, 16), (usize::MAX, 24)];
        assert!(bits.iter().all(|(members, bits)| prefix_bits(*members) == *bits));
        let classes = [(0, 1), (1, 1), (3, 5), (101, 200), (2_000_000, 2_000_000), (9_999_999, 10_000_000)];
        assert!(classes.iter().all(|(members, class)| size_class(*members) == *class));
    }

    #[test]
    fn every_bucket_has_its_tags_and_one_size() {
        for (count, bits) in [(0, 0), (5, 0), (0, 3), (1000, 3), (1000, 0), (70, 6)] {
            let set = set(count, bits);
            let mut found = Vec::new();
            for prefix in 0..1_u32 << bits {
                let bucket = tags(set.bucket(prefix).unwrap());
                assert_eq!(bucket.len(), set.padded(), "{count} {bits}");
                assert!(
                    bucket.is_sorted() && bucket.iter().all(|tag| bits == 0 || tag >> (64 - bits) == u64::from(prefix))
                );
                found.extend(bucket);
            }
            assert!(set.tags().iter().all(|tag| found.contains(tag)));
            assert_eq!(set.bucket(1 << bits), None);
            assert_eq!(set.padded() % PADDED_STEP, 0);
        }
    }

    /// Whoever fetches a bucket twice must not learn which tags are padding: they stay, whatever joins elsewhere.
    #[test]
    fn padding_stays() {
        let (before, after) = (set(1000, 3), set(1003, 3));
        assert_eq!(before.padded(), after.padded(), "the size does not follow single members");
        let mut changed = 0;
        for prefix in 0..8 {
            let [old, new] = [&before, &after].map(|set| tags(set.bucket(prefix).unwrap()));
            let gone = old.iter().filter(|tag| !new.contains(tag)).count();
            assert_eq!(gone, new.iter().filter(|tag| !old.contains(tag)).count());
            changed += gone;
        }
        assert_eq!(changed, 3, "a member takes the place of one padding tag");
        let other = Set::new((0..1000).map(member).collect(), 3, 0, Zeroizing::new([8; 32]));
        assert_ne!(other.bucket(0), before.bucket(0), "without the key nobody can derive it");
        let grown = Set::new(Vec::new(), 3, 160, Zeroizing::new([7; 32]));
        assert_eq!(grown.padded(), 160, "buckets do not shrink");
    }

    #[test]
    fn what_cannot_be_counted_is_not_served() {
        let set = Set::new(Vec::new(), 0, PADDED_MAX + 1, Zeroizing::new([7; 32]));
        assert_eq!(set.bucket(0), None);
        assert!(Set::new(Vec::new(), 0, PADDED_MAX, Zeroizing::new([7; 32])).bucket(0).is_some());
    }

    /// Interpolation expects uniform keys; skewed ones must be found as well.
    #[test]
    fn skewed_reveal_keys_are_found() {
        let skewed = |n: u32| {
            let mut one = member(n);
            one.output.reveal = u128::from(n).to_be_bytes();
            one
        };
        let set = Set::new((0..5000).map(skewed).collect(), 0, 0, Zeroizing::new([7; 32]));
        assert!((0..5000).all(|n| set.slot_of(&u128::from(n).to_be_bytes()) == Some(n)));
        assert_eq!(set.slot_of(&5000_u128.to_be_bytes()), None);
    }

    proptest! {
        #[test]
        fn reveal_keys_lead_to_their_members_and_no_others(count in 0..3000_u32, bits in 0..5_u8) {
            let set = set(count, bits);
            prop_assert_eq!(set.len(), count as usize);
            for n in 0..count + 50 {
                prop_assert_eq!(set.slot_of(&member(n).output.reveal), (n < count).then_some(n));
            }
            let mut members: Vec<Member> = set.members().collect();
            members.sort_unstable_by_key(|one| one.slot);
            prop_assert_eq!(members, (0..count).map(member).collect::<Vec<_>>());
        }
    }
}
