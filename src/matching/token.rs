//! One name token, ready to be compared: its letters, its sound skeleton, how common it is.
//!
//! The *skeleton* is a rough consonant code made for names of many languages and for typing errors:
//! spellings of one sound fall together (ph/f, ck/k, w/v, d/t, b/p, g/k), vowels after the first
//! letter and doubled letters go. It is coarser than Double Metaphone and works on any romanised name.

use crate::matching::packed::{Packed, Packer};
use crate::matching::similarity::letters;
use hashbrown::HashMap;

/// Longest name token kept as text, in bytes; longer ones are compared by hash and by this prefix.
pub const TEXT_MAX: usize = 23;

/// A stable 32-bit hash of a text (FNV-1a, folded); never 0 and the same in every process.
pub fn hash(text: &str) -> u32 {
    hash_bytes(text.as_bytes())
}

/// As [`hash`], of bytes.
#[expect(clippy::cast_possible_truncation, reason = "folding 64 bits to 32 is the purpose")]
pub fn hash_bytes(bytes: &[u8]) -> u32 {
    let wide = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    ((wide >> 32) as u32 ^ wide as u32).max(1)
}

/// How common a token is as a name: what a model knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Commonness {
    /// Share of people with it as a given name; for one letter, of given names that begin so.
    pub given: f32,
    /// Share of people with it as a family name.
    pub surname: f32,
    /// Bits, at most 0: what an agreeing family name is worth less because this given name goes with few.
    pub given_joint: f32,
    /// The same the other way round.
    pub surname_joint: f32,
}

/// One token of a name, as it lies among a record's packed features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'a> {
    text: &'a [u8],
    /// The letters as a set; see [`letters`].
    pub letters: u32,
    /// Hash of the whole text.
    pub hash: u32,
    /// Hash of the skeleton.
    pub skeleton: u32,
    /// How common it is; all 0 for a middle name, of which nobody asks.
    pub common: Commonness,
}

/// Bits of the length that say what follows: anything of [`Commonness`], its joint part.
const COMMON: u8 = 0x40;
const JOINT: u8 = 0x80;

impl<'a> Token<'a> {
    /// Packs a token of folded text.
    pub(crate) fn pack(out: &mut Packer, folded: &str, common: Commonness) {
        let text = folded.as_bytes();
        let text = text.get(..TEXT_MAX).unwrap_or(text);
        let known = common != Commonness::default();
        let joint = common.given_joint != 0.0 || common.surname_joint != 0.0;
        let bits = if known { COMMON } else { 0 } | if joint { JOINT } else { 0 };
        out.u8(u8::try_from(text.len()).unwrap_or(0) | bits);
        out.raw(text);
        out.u32(hash(folded));
        out.u32(hash(&skeleton(folded)));
        if known {
            out.f32(common.given);
            out.f32(common.surname);
        }
        if joint {
            out.f32(common.given_joint);
            out.f32(common.surname_joint);
        }
    }

    /// Reads what [`Token::pack`] wrote.
    #[inline]
    pub(crate) fn unpack(from: &mut Packed<'a>) -> Self {
        let head = from.u8();
        let text = from.raw(usize::from(head & !(COMMON | JOINT)));
        let (hash, skeleton) = (from.u32(), from.u32());
        let mut common = Commonness::default();
        if head & COMMON != 0 {
            (common.given, common.surname) = (from.f32(), from.f32());
        }
        if head & JOINT != 0 {
            (common.given_joint, common.surname_joint) = (from.f32(), from.f32());
        }
        Self { text, letters: letters(text), hash, skeleton, common }
    }

    /// The letters, at most [`TEXT_MAX`].
    pub fn bytes(&self) -> &'a [u8] {
        self.text
    }

    /// The letters as text.
    pub fn text(&self) -> &'a str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// Whether it is one letter only.
    pub fn is_initial(&self) -> bool {
        self.text.len() == 1
    }

    /// Length in bytes, at most [`TEXT_MAX`].
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// First letter; 0 when empty.
    pub fn first(&self) -> u8 {
        self.text.first().copied().unwrap_or(0)
    }
}

/// The sound skeleton of a folded name; empty for empty text.
pub fn skeleton(folded: &str) -> String {
    let text = without_article(folded);
    let mut out = String::with_capacity(8);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let (sound, used) = sound_at(rest, byte, at == 0);
        at += used;
        if let Some(sound) = sound
            && !out.ends_with(sound)
        {
            out.push(sound);
        }
    }
    out
}

/// Cuts a leading Arabic article ("al", "el") off a long name.
fn without_article(text: &str) -> &str {
    match text.strip_prefix("al").or_else(|| text.strip_prefix("el")) {
        Some(rest) if rest.len() >= 4 => rest,
        _ => text,
    }
}

/// The sound that `rest` begins with, if it is kept, and how many bytes spell it.
fn sound_at(rest: &[u8], byte: u8, initial: bool) -> (Option<char>, usize) {
    match rest {
        [b's', b'c', b'h', ..] => return (Some('s'), 3),
        [b's' | b'c' | b'z', b'h', ..] | [b't', b's', ..] => return (Some('s'), 2),
        [b'p', b'h', ..] => return (Some('f'), 2),
        [b'c', b'k', ..] => return (Some('k'), 2),
        [b't', b'h', ..] => return (Some('t'), 2),
        _ => {}
    }
    let sound = match byte {
        b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => initial.then_some('a'),
        b'h' => None,
        b'w' | b'v' | b'f' => Some('f'),
        b'd' | b't' => Some('t'),
        b'b' | b'p' => Some('p'),
        b'g' | b'k' | b'c' | b'q' => Some('k'),
        b'z' | b's' | b'x' => Some('s'),
        other => Some(char::from(other)),
    };
    (sound, 1)
}

/// A table of shares by text hash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    shares: HashMap<u32, f32>,
    unseen: f32,
    /// The share of one person; 0 when the shares come from elsewhere.
    one: f32,
}

impl Shares {
    /// A table; `unseen` is the share of a text that is not in it, in (0, 1].
    pub fn new(shares: HashMap<u32, f32>, unseen: f32) -> Self {
        Self { shares, unseen, one: 0.0 }
    }

    /// From counts of distinct people; the total is their sum. `unseen` is used when there are none.
    #[expect(clippy::cast_possible_truncation, reason = "shares need no more than f32 holds")]
    pub fn from_counts(counts: &HashMap<u32, u32>, total: u32, unseen: f32) -> Self {
        if total == 0 {
            return Self::new(HashMap::new(), unseen);
        }
        let total = f64::from(total);
        let shares = counts.iter().map(|(k, n)| (*k, (f64::from(*n) / total) as f32)).collect();
        Self { shares, unseen: (0.5 / (total + 1.0)) as f32, one: (1.0 / total) as f32 }
    }

    /// The share of other people who have the rarer of two values; 0 for one that nobody else is known to have.
    ///
    /// What a near miss says depends on it: "Geofge" beside "George" is a typing error, "Marie" beside "Maria" is
    /// another name, since many are called so.
    pub fn others(&self, a: f32, b: f32) -> f32 {
        let rarer = a.min(b);
        if rarer <= self.unseen { 0.0 } else { (rarer - self.one).max(0.0) }
    }

    /// The share of a text, by its hash: (0, 1].
    pub fn get(&self, hash: u32) -> f32 {
        self.shares.get(&hash).copied().unwrap_or(self.unseen)
    }

    /// The entries, ascending by hash, the share of a text that is not among them, and the share of one person: all
    /// that [`Shares::restore`] needs.
    pub fn parts(&self) -> (Vec<(u32, f32)>, f32, f32) {
        let mut entries: Vec<(u32, f32)> = self.shares.iter().map(|(hash, share)| (*hash, *share)).collect();
        entries.sort_unstable_by_key(|(hash, _)| *hash);
        (entries, self.unseen, self.one)
    }

    /// The table that [`Shares::parts`] took apart.
    pub fn restore(entries: impl IntoIterator<Item = (u32, f32)>, unseen: f32, one: f32) -> Self {
        Self { shares: entries.into_iter().collect(), unseen, one }
    }

    /// How often two records agree by chance: the sum of the squared shares; 0 without counts.
    pub fn agreement(&self) -> f64 {
        if self.one > 0.0 { self.shares.values().map(|share| f64::from(*share) * f64::from(*share)).sum() } else { 0.0 }
    }

    /// A table in which every text has the share that two records agree by.
    pub fn flat(&self) -> Self {
        let agreement: f32 = self.shares.values().map(|share| share * share).sum();
        Self::new(HashMap::new(), if agreement > 0.0 { agreement.min(1.0) } else { self.unseen })
    }

    /// The table without the texts that are not `listed`, which have the geometric mean of their shares from now on, as has
    /// one that nobody knows. A table that came from elsewhere stays as it is.
    pub fn only(&self, listed: impl Fn(u32) -> bool) -> Self {
        let (shares, others): (HashMap<u32, f32>, HashMap<u32, f32>) =
            self.shares.iter().partition(|(hash, _)| listed(**hash));
        let logs = others.into_iter().map(|(hash, share)| (hash, share.log2())).collect();
        match mean(logs).filter(|_| self.one > 0.0) {
            Some(mean) => Self { shares, unseen: mean.exp2(), one: self.one },
            None => self.clone(),
        }
    }

    /// Whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }
}

/// The mean of a table's values, to the bit the same whatever their order; `None` of none.
#[expect(clippy::cast_possible_truncation, reason = "no more precise than the values")]
pub fn mean(values: HashMap<u32, f32>) -> Option<f32> {
    let mut values: Vec<f64> = values.into_values().map(f64::from).collect();
    values.sort_unstable_by(f64::total_cmp);
    let count = f64::from(u32::try_from(values.len()).ok().filter(|count| *count > 0)?);
    Some((values.iter().sum::<f64>() / count) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_sound_fall_together() {
        for (a, b) in [
            ("mohammed", "muhammad"),
            ("philipp", "filip"),
            ("schmidt", "shmitt"),
            ("otaibi", "alotaibi"),
            ("omar", "umar"),
            ("yusuf", "yousef"),
            ("katharine", "catherine"),
        ] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        assert_ne!(skeleton("mary"), skeleton("martha"));
        assert_eq!(skeleton(""), "");
        for (text, sounds) in [("schatsch", "s"), ("shchzh", "s"), ("phickth", "fkt"), ("tsck", "sk"), ("scott", "skt")]
        {
            assert_eq!(skeleton(text), sounds, "{text}");
        }
    }
}
