//! How alike two short texts are: edits, Jaro-Winkler, sound codes.
//!
//! Scoring a pair must not allocate, so [`edits_at_most`] and [`jaro_winkler`] here work on the
//! stack, on the folded ASCII of a name token. Comparing one text with many (a query against a
//! token dictionary) goes through [`Near`], which wraps `rapidfuzz`' batch comparator with a cutoff.
//! `strsim` is the oracle of the tests. [`phonetic`] wraps `rphonetic` so that no input can panic.

#![expect(clippy::indexing_slicing, reason = "every index is bounded by the loop or the length test above it")]

use std::borrow::Cow;

use rapidfuzz::distance::{jaro_winkler as batch, osa};

/// Longest text, in bytes, that a sound code is computed from.
const PHONETIC_INPUT_MAX: usize = 32;

/// Longest text, in bytes, that [`jaro_winkler`] looks at: one bit of a word for each.
const JARO_INPUT_MAX: usize = 64;

/// One text, prepared to be compared with many.
pub struct Near {
    jaro_winkler: batch::BatchComparator<u8>,
    edits: osa::BatchComparator<u8>,
}

impl Near {
    /// Prepares a folded text.
    pub fn new(text: &str) -> Self {
        Self { jaro_winkler: batch::BatchComparator::new(text.bytes()), edits: osa::BatchComparator::new(text.bytes()) }
    }

    /// The Jaro-Winkler similarity, 0 to 1, if it reaches `cutoff`.
    pub fn similarity(&self, other: &str, cutoff: f64) -> Option<f64> {
        let args = batch::Args::default().score_cutoff(cutoff);
        self.jaro_winkler.similarity_with_args(other.bytes(), &args)
    }

    /// The edits (insert, delete, replace, swap of neighbours), if at most `cutoff`.
    pub fn edits(&self, other: &str, cutoff: usize) -> Option<usize> {
        let args = osa::Args::default().score_cutoff(cutoff);
        self.edits.distance_with_args(other.bytes(), &args)
    }
}

/// The letters of a text as a set: one bit for each byte's last five bits. Where two sets differ much, the texts do,
/// which is found out in one instruction before anything is compared.
pub fn letters(text: &[u8]) -> u32 {
    text.iter().fold(0, |set, byte| set | 1 << (byte & 31))
}

/// Whether at most `max` (0 to 2) edits turn one text into the other. An edit inserts, deletes or
/// replaces a byte or swaps two neighbours (optimal string alignment). No allocation.
pub fn edits_at_most(a: &[u8], b: &[u8], max: u8) -> bool {
    if a.len().abs_diff(b.len()) > usize::from(max) {
        return false;
    }
    let (a, b) = without_common_ends(a, b);
    match max {
        0 => a.is_empty() && b.is_empty(),
        1 => is_one_edit(a, b),
        _ => letters_allow(a.len(), b.len(), letters(a) ^ letters(b), max) && are_two_edits(a, b),
    }
}

/// Whether more than so many bits are set. Cheaper than counting them for the few that are asked about here, as counting
/// is no single instruction on every machine that this is built for.
pub fn has_more(mut bits: u32, than: usize) -> bool {
    (0..than).for_each(|_| bits &= bits.wrapping_sub(1));
    bits != 0
}

/// False only where the letters that one of two texts has and the other lacks are too many for so many edits: to insert
/// one brings at most one new letter, to replace one costs another as well.
pub fn letters_allow(a: usize, b: usize, differing: u32, edits: u8) -> bool {
    (2 * usize::from(edits)).checked_sub(a.abs_diff(b)).is_some_and(|most| !has_more(differing, most))
}

/// Whether at most one edit separates two texts without common ends.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    match (a, b) {
        ([] | [_], [] | [_]) => true,
        ([w, x], [y, z]) => w == z && x == y,
        _ => false,
    }
}

/// Whether at most two edits separate two texts without common ends.
fn are_two_edits(a: &[u8], b: &[u8]) -> bool {
    let ([_, rest_a @ ..], [_, rest_b @ ..]) = (a, b) else {
        return a.len().max(b.len()) <= 2;
    };
    // The first letters differ, so an edit is there: one of four, and one is left for the rest.
    let one = |a: &[u8], b: &[u8]| {
        let (a, b) = without_common_ends(a, b);
        is_one_edit(a, b)
    };
    let swap = a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0];
    one(rest_a, rest_b) || one(rest_a, b) || one(a, rest_b) || (swap && one(&a[2..], &b[2..]))
}

/// Whether two texts of five bytes or more have nearly the same letters in another order, as fast typing has it: at most
/// one letter more on either side, or two on one.
pub fn same_letters(a: &[u8], b: &[u8]) -> bool {
    if a.len().min(b.len()) < 5 || a.len().abs_diff(b.len()) > 2 || has_more(letters(a) ^ letters(b), 2) {
        return false;
    }
    let mut counts = [0_i32; 256];
    a.iter().for_each(|letter| counts[usize::from(*letter)] += 1);
    b.iter().for_each(|letter| counts[usize::from(*letter)] -= 1);
    counts.iter().map(|count| count.abs()).sum::<i32>() <= 2
}

/// Cuts the common prefix and the common suffix off both.
fn without_common_ends<'a>(mut a: &'a [u8], mut b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b) {
        if x != y {
            break;
        }
        (a, b) = (rest_a, rest_b);
    }
    while let ([rest_a @ .., x], [rest_b @ .., y]) = (a, b) {
        if x != y {
            break;
        }
        (a, b) = (rest_a, rest_b);
    }
    (a, b)
}

/// Whether the Jaro-Winkler similarity of two texts with these [`letters`] reaches `cutoff` (above .7).
pub fn is_alike(a: (&[u8], u32), b: (&[u8], u32), cutoff: f64) -> bool {
    may_be_alike(a, b, cutoff) && jaro_winkler(a.0, b.0) >= cutoff
}

/// False only where it cannot: a letter that the other text lacks is not matched, so no more than the rest of either is,
/// and at best the rest is in order.
fn may_be_alike((a, in_a): (&[u8], u32), (b, in_b): (&[u8], u32), cutoff: f64) -> bool {
    let longest = a.len().max(b.len());
    if a.is_empty() || b.is_empty() || longest > JARO_INPUT_MAX {
        return true;
    }
    let lacking = |set: u32, other: u32| usize::try_from((set & !other).count_ones()).unwrap_or(0);
    let matched = a.len().saturating_sub(lacking(in_a, in_b)).min(b.len().saturating_sub(lacking(in_b, in_a)));
    // With four letters in common at the beginning, and without a division.
    if as_f64(matched * (a.len() + b.len())) < (5.0 * cutoff - 3.0 - 1e-9) * as_f64(a.len() * b.len()) {
        return false;
    }
    let jaro = (as_f64(matched) / as_f64(a.len()) + as_f64(matched) / as_f64(b.len()) + 1.0) / 3.0;
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    jaro + 0.1 * as_f64(prefix) * (1.0 - jaro) >= cutoff - 1e-9
}

/// Jaro-Winkler similarity of two short texts, 0 to 1; bytes after the 64th are not seen. No allocation.
///
/// Source: Winkler (1990), prefix weight .1, prefix of at most 4, applied above .7 as `rapidfuzz` does.
pub fn jaro_winkler(a: &[u8], b: &[u8]) -> f64 {
    let a = &a[..a.len().min(JARO_INPUT_MAX)];
    let b = &b[..b.len().min(JARO_INPUT_MAX)];
    let jaro = jaro(a, b);
    if jaro <= 0.7 {
        return jaro;
    }
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    jaro + 0.1 * as_f64(prefix) * (1.0 - jaro)
}

fn jaro(a: &[u8], b: &[u8]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 1.0 } else { 0.0 };
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let (mut used_a, mut used_b) = (0u64, 0u64);
    for (i, x) in a.iter().enumerate() {
        let from = i.saturating_sub(reach);
        let to = (i + reach + 1).min(b.len());
        for (j, y) in b.iter().enumerate().take(to).skip(from) {
            if x == y && used_b & (1 << j) == 0 {
                used_a |= 1 << i;
                used_b |= 1 << j;
                break;
            }
        }
    }
    let matched = f64::from(used_a.count_ones());
    if used_a == 0 {
        return 0.0;
    }
    let moved = out_of_order(a, b, used_a, used_b);
    let moved = as_f64(moved / 2);
    (matched / as_f64(a.len()) + matched / as_f64(b.len()) + (matched - moved) / matched) / 3.0
}

/// How many of the matched bytes stand in another order in the other text.
fn out_of_order(a: &[u8], b: &[u8], used_a: u64, mut used_b: u64) -> usize {
    let mut moved = 0;
    for (i, x) in a.iter().enumerate() {
        if used_a & (1 << i) == 0 || used_b == 0 {
            continue;
        }
        let j = used_b.trailing_zeros() as usize;
        used_b &= used_b - 1;
        moved += usize::from(*x != b[j]);
    }
    moved
}

fn as_f64(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

/// The Double Metaphone code of a name (its primary reading, at most 6 letters); `None` when it has none.
///
/// The text is folded to ASCII first (the library panics on some accented letters), anything but
/// letters is cut, and 32 letters are looked at.
pub fn phonetic(text: &str) -> Option<String> {
    let ascii = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(deunicode::deunicode(text)) };
    let folded: String = ascii
        .chars()
        .filter(char::is_ascii_alphabetic)
        .take(PHONETIC_INPUT_MAX)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if folded.is_empty() {
        return None;
    }
    let code = rphonetic::DoubleMetaphone::new(Some(6)).double_metaphone(&folded).primary();
    (!code.is_empty()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_bits_than_so_many_are_counted() {
        for bits in [0, 1, 0b101, 0b111, 0x8000_0001, 0xF0F0, u32::MAX - 1, u32::MAX] {
            for than in 0..34 {
                assert_eq!(has_more(bits, than), bits.count_ones() as usize > than, "{bits:b} {than}");
            }
        }
    }

    #[test]
    fn letters_in_another_order() {
        for (a, b, same) in [
            ("sofia", "fosia", true),
            ("george", "gegrgoe", true),
            ("michael", "maciel", true),
            ("amy", "may", false),
            ("maria", "laura", false),
            ("elizabeth", "eliz", false),
        ] {
            assert_eq!(same_letters(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
            assert_eq!(same_letters(b.as_bytes(), a.as_bytes()), same, "{b} {a}");
        }
    }

    #[test]
    fn sounds_alike() {
        assert_eq!(phonetic("Adèle"), phonetic("Adele"));
        assert_eq!(phonetic("Stephen"), phonetic("Steven"));
        assert_eq!(phonetic("O'Neil 2"), phonetic("ONeil"));
        assert_eq!(phonetic("  -- 12"), None);
    }

    proptest! {
        #[test]
        fn phonetic_never_panics(text in "\\PC{0,60}") {
            assert!(phonetic(&text).is_none_or(|code| !code.is_empty()));
        }

        #[test]
        fn phonetic_never_panics_on_letters(text in "[a-zA-Zàéüßłİ']{0,40}") {
            let _ = phonetic(&text);
        }

        #[test]
        fn jaro_winkler_is_that_of_strsim(a in "[a-d]{0,12}", b in "[a-d]{0,12}") {
            let ours = jaro_winkler(a.as_bytes(), b.as_bytes());
            prop_assert!((ours - strsim::jaro_winkler(&a, &b)).abs() < 1e-9, "{ours}");
            let near = Near::new(&a).similarity(&b, 0.8);
            let at_cutoff = (ours - 0.8).abs() < 1e-9;
            prop_assert!(at_cutoff || near.is_some() == (ours >= 0.8));
        }

        #[test]
        fn edits_are_those_of_strsim(a in "[a-c]{0,7}", b in "[a-c]{0,7}", max in 0u8..3) {
            let edits = strsim::osa_distance(&a, &b);
            let within = edits <= usize::from(max);
            prop_assert_eq!(Near::new(&a).edits(&b, usize::from(max)).is_some(), within);
            prop_assert_eq!(edits_at_most(a.as_bytes(), b.as_bytes(), max), within);
        }

        #[test]
        fn edits_of_longer_texts_are_those_of_strsim(
            text in "[a-z]{0,14}", edits in prop::collection::vec((0_usize..14, 0_u8..4, prop::char::range('a', 'z')), 0..4),
        ) {
            let mut other: Vec<char> = text.chars().collect();
            for (at, kind, letter) in edits {
                match (kind, at < other.len()) {
                    (0, true) => { other.remove(at); }
                    (1, true) => other[at] = letter,
                    (2, true) if at > 0 => other.swap(at, at - 1),
                    _ => other.insert(at.min(other.len()), letter),
                }
            }
            let other: String = other.into_iter().collect();
            let edits = strsim::osa_distance(&text, &other);
            for max in 0..3 {
                let within = edits <= usize::from(max);
                prop_assert_eq!(edits_at_most(text.as_bytes(), other.as_bytes(), max), within, "{} {}", other, max);
                let differing = letters(text.as_bytes()) ^ letters(other.as_bytes());
                prop_assert!(!within || letters_allow(text.len(), other.len(), differing, max));
            }
        }

        /// The bounds that save a comparison never change its outcome.
        #[test]
        fn letters_rule_out_only_what_differs(a in "[a-g]{0,12}|\\PC{0,9}", b in "[a-g]{0,12}|\\PC{0,9}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            for cutoff in [0.71, 0.8, 0.91, 0.93, 1.0] {
                let alike = jaro_winkler(a, b) >= cutoff;
                prop_assert_eq!(is_alike((a, letters(a)), (b, letters(b)), cutoff), alike);
            }
            let mut counts = [0_i32; 256];
            a.iter().for_each(|letter| counts[usize::from(*letter)] += 1);
            b.iter().for_each(|letter| counts[usize::from(*letter)] -= 1);
            let near = counts.iter().map(|count| count.abs()).sum::<i32>() <= 2;
            let long = a.len().min(b.len()) >= 5 && a.len().abs_diff(b.len()) <= 2;
            prop_assert_eq!(same_letters(a, b), near && long);
        }
    }
}
