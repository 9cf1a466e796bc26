//! The downloadable form of a set: a binary fuse filter over bucket tags, so that a client compares at home and the server
//! sees nothing but how many it evaluated.
//!
//! **Layout**, all numbers little-endian:
//!
//! ```text
//! offset  bytes  what
//!      0      4  "SSBF"
//!      4      1  version of this layout: 1
//!      5      1  bits of a fingerprint: 32 or 16
//!      6      2  0
//!      8      4  epoch of the tags
//!     12      4  number of fingerprints, n
//!     16      8  seed
//!     24      4  segment length (a power of two), s
//!     28      4  segment length mask: s - 1
//!     32      4  segment count times segment length, c;  n = c + 2 s
//!     36      4  0
//!     40    n*w  fingerprints of w = 4 or 2 bytes each
//! ```
//!
//! **Membership** of Y[0..8], read as a big-endian number `t`, with wrapping 64-bit arithmetic:
//!
//! ```text
//! h  = t + seed;  h ^= h >> 33;  h *= 0xff51afd7ed558ccd;  h ^= h >> 33;  h *= 0xc4ceb9fe1a85ec53;  h ^= h >> 33
//! a  = high 64 bits of the 128-bit product h * c, as 32 bits
//! b  = (a + s) ^ (low 32 bits of (h >> 18) & mask)
//! d  = (a + 2 s) ^ (low 32 bits of h & mask)
//! is a member if  low bits of (h ^ (h >> 32))  ==  f[a] ^ f[b] ^ f[d]
//! ```
//!
//! No member is missed; a stranger passes with a chance of 2^-32 (2^-16: 1.5e-5). `reveal` says who is really there. A
//! filter never changes once it is made, and tells nothing without evaluations.

use xorf::{BinaryFuse16, BinaryFuse32};

/// First bytes.
const MAGIC: [u8; 4] = *b"SSBF";
/// Version of the layout.
const VERSION: u8 = 1;
/// Bytes before the fingerprints.
pub const HEADER_BYTES: usize = 40;
/// Tags that a filter is made of at least; small sets are filled up, as a filter of nothing is a special case for every client.
const TAGS_MIN: usize = 64;

/// How wide the fingerprints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// 36 bits a member, a stranger passes once in 4 billion.
    Bits32,
    /// 18 bits a member, a stranger passes once in 65,536.
    Bits16,
}

impl Width {
    /// The contract's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bits32 => "binary-fuse-32",
            Self::Bits16 => "binary-fuse-16",
        }
    }

    /// The width of a word of the contract.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Bits32, Self::Bits16].into_iter().find(|width| width.word() == word)
    }

    fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits16 => 16,
        }
    }

    fn bytes(self) -> usize {
        usize::from(self.bits() / 8)
    }
}

/// Makes the filter of ascending tags. `None` when a thousand seeds fail, which repeated tags would cause and nothing else is known to.
#[must_use]
pub fn build(tags: &[u64], epoch: u32, width: Width, fill: &[u8; 32]) -> Option<Vec<u8>> {
    let mut keys: Vec<u64> = tags.to_vec();
    let missing = TAGS_MIN.saturating_sub(keys.len());
    keys.extend((0_u64..).take(missing).map(|number| filling(fill, number)));
    keys.sort_unstable();
    keys.dedup();
    Some(match width {
        Width::Bits32 => {
            let filter = BinaryFuse32::try_from(keys.as_slice()).ok()?;
            let prints = filter.fingerprints.iter().flat_map(|print| print.to_le_bytes());
            with_header(&filter.descriptor, epoch, width, filter.fingerprints.len(), prints)
        }
        Width::Bits16 => {
            let filter = BinaryFuse16::try_from(keys.as_slice()).ok()?;
            let prints = filter.fingerprints.iter().flat_map(|print| print.to_le_bytes());
            with_header(&filter.descriptor, epoch, width, filter.fingerprints.len(), prints)
        }
    })
}

fn filling(fill: &[u8; 32], number: u64) -> u64 {
    let hash = blake3::keyed_hash(fill, &number.to_le_bytes());
    hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn with_header(
    of: &xorf::Descriptor,
    epoch: u32,
    width: Width,
    count: usize,
    prints: impl Iterator<Item = u8>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + count * width.bytes());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, width.bits(), 0, 0]);
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&of.seed.to_le_bytes());
    for number in [of.segment_length, of.segment_length_mask, of.segment_count_length, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend(prints);
    bytes
}

/// Bytes of the filter of so many members, about: 36 or 18 bits each.
#[must_use]
pub fn bytes_about(members: usize, width: Width) -> u64 {
    let members = members.max(TAGS_MIN) as u64;
    HEADER_BYTES as u64 + members.saturating_mul(9 * width.bytes() as u64) / 8
}

/// A filter somebody downloaded.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    epoch: u32,
    width: Width,
    seed: u64,
    segment: u32,
    mask: u32,
    span: u32,
    prints: &'a [u8],
}

impl<'a> Filter<'a> {
    /// Reads a filter. `None`: the bytes are not of this layout, or not all of them are there.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, prints) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let number = |at: usize| header.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four));
        let width = match (header.first_chunk::<4>()?, header.get(4..8)?) {
            (&MAGIC, [VERSION, 32, 0, 0]) => Width::Bits32,
            (&MAGIC, [VERSION, 16, 0, 0]) => Width::Bits16,
            _ => return None,
        };
        let seed = u64::from_le_bytes(*header.get(16..)?.first_chunk()?);
        let (count, segment, mask, span) = (number(12)?, number(24)?, number(28)?, number(32)?);
        let fits = segment.is_power_of_two()
            && mask == segment - 1
            && span.checked_add(segment.checked_mul(2)?)? == count
            && prints.len() == usize::try_from(count).ok()?.checked_mul(width.bytes())?;
        fits.then_some(Self { epoch: number(8)?, width, seed, segment, mask, span, prints })
    }

    /// The epoch of its tags.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether a tag is in it.
    #[must_use]
    pub fn contains(&self, tag: u64) -> bool {
        let hash = mix(tag.wrapping_add(self.seed));
        let [a, b, d] = self.places(hash).map(|place| self.print(place));
        let print = u32::try_from((hash ^ (hash >> 32)) & u64::from(self.print_mask())).unwrap_or(0);
        matches!((a, b, d), (Some(a), Some(b), Some(d)) if a ^ b ^ d == print)
    }

    fn print_mask(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.width.bits()))
    }

    fn places(&self, hash: u64) -> [u32; 3] {
        let low = |bits: u64| u32::try_from(bits & u64::from(self.mask)).unwrap_or(0);
        let product = (u128::from(hash) * u128::from(self.span)) >> 64;
        let a = u32::try_from(product).unwrap_or(0);
        let b = a.wrapping_add(self.segment) ^ low(hash >> 18);
        [a, b, a.wrapping_add(self.segment).wrapping_add(self.segment) ^ low(hash)]
    }

    fn print(&self, place: u32) -> Option<u32> {
        let start = usize::try_from(place).ok()?.checked_mul(self.width.bytes())?;
        let rest = self.prints.get(start..)?;
        match self.width {
            Width::Bits32 => rest.first_chunk().map(|four| u32::from_le_bytes(*four)),
            Width::Bits16 => rest.first_chunk().map(|two| u32::from(u16::from_le_bytes(*two))),
        }
    }
}

/// The finaliser of MurmurHash3.
fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use xorf::Filter as _;

    use super::*;

    fn tags(count: u64) -> Vec<u64> {
        let mut tags: Vec<u64> = (0..count).map(|n| filling(&[3; 32], n)).collect();
        tags.sort_unstable();
        tags
    }

    #[test]
    fn members_are_in_it_and_strangers_are_not() {
        for count in [0, 1, 2, 63, 64, 65, 1000, 50_000] {
            let tags = tags(count);
            for (width, passed_max) in [(Width::Bits32, 0), (Width::Bits16, 12)] {
                let bytes = build(&tags, 7, width, &[9; 32]).unwrap();
                let filter = Filter::parse(&bytes).unwrap();
                assert_eq!(filter.epoch(), 7);
                assert!(tags.iter().all(|tag| filter.contains(*tag)), "{count} {width:?}");
                // 200,000 strangers: three are expected to pass 16 bits, none 32.
                let strangers = (0..200_000).map(|n| filling(&[4; 32], n));
                assert!(strangers.filter(|tag| filter.contains(*tag)).count() <= passed_max, "{count} {width:?}");
                assert_eq!(build(&tags, 7, width, &[9; 32]).unwrap(), bytes, "the same members, the same bytes");
            }
        }
    }

    /// The page above is what clients are written by; the library is what makes the filter.
    #[test]
    fn the_written_rule_is_the_librarys() {
        let tags = tags(5000);
        let library = BinaryFuse16::try_from(tags.as_slice()).unwrap();
        let bytes = build(&tags, 1, Width::Bits16, &[0; 32]).unwrap();
        let filter = Filter::parse(&bytes).unwrap();
        let asked = tags.iter().copied().chain((0..300_000).map(|n| filling(&[5; 32], n)));
        assert!(asked.into_iter().all(|tag| library.contains(&tag) == filter.contains(tag)));
    }

    #[test]
    fn sizes_are_as_told() {
        for (count, width) in [(50_000, Width::Bits32), (50_000, Width::Bits16)] {
            let told = bytes_about(count, width);
            let real = build(&tags(count as u64), 1, width, &[0; 32]).unwrap().len() as u64;
            assert!(real.abs_diff(told) * 10 < told, "{real} bytes, told {told}");
        }
    }

    #[test]
    fn damaged_filters_are_none() {
        let bytes = build(&tags(100), 1, Width::Bits32, &[0; 32]).unwrap();
        assert!(Filter::parse(&bytes).is_some());
        for cut in [0, 4, HEADER_BYTES - 1, HEADER_BYTES, bytes.len() - 1] {
            assert!(Filter::parse(&bytes[..cut]).is_none(), "{cut}");
        }
        for at in [0, 4, 5, 6, 12, 24, 28, 32] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(Filter::parse(&damaged).is_none(), "{at}");
        }
        assert!(Filter::parse(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn words_go_both_ways() {
        for width in [Width::Bits32, Width::Bits16] {
            assert_eq!(Width::from_word(width.word()), Some(width));
        }
        assert_eq!(Width::from_word("xor"), None);
    }
}
