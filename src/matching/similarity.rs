//! How alike two short texts are: edits, Jaro-Winkler, sound codes.
//!
//! Scoring a pair must not allocate, so [`edits_at_most`] and [`jaro_winkler`] here work on the
//! stack, on the folded ASCII of a name token. Comparing one text with many (a query against a
//! token dictionary) goes through [`Near`], which wraps `rapidfuzz`' batch comparator with a cutoff.
//! `strsim` is the oracle of the tests. [`phonetic`] wraps `rphonetic` so that no input can panic.

#![expect(clippy::indexing_slicing, reason = "every index is bounded by the loop or the length test above it")]

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

/// Whether at most `max` (0 to 2) edits turn one text into the other. An edit inserts, deletes or
/// replaces a byte or swaps two neighbours (optimal string alignment). No allocation.
pub fn edits_at_most(a: &[u8], b: &[u8], max: u8) -> bool {
    let (a, b) = without_common_ends(a, b);
    if a.len().abs_diff(b.len()) > usize::from(max) {
        return false;
    }
    if a.is_empty() || b.is_empty() {
        return a.len().max(b.len()) <= usize::from(max);
    }
    let Some(left) = max.checked_sub(1) else {
        return false;
    };
    let swap = a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0];
    edits_at_most(&a[1..], &b[1..], left)
        || edits_at_most(&a[1..], b, left)
        || edits_at_most(a, &b[1..], left)
        || (swap && edits_at_most(&a[2..], &b[2..], left))
}

/// Whether two texts of five bytes or more have nearly the same letters in another order, as fast typing has it: at most
/// one letter more on either side, or two on one.
pub fn same_letters(a: &[u8], b: &[u8]) -> bool {
    if a.len().min(b.len()) < 5 || a.len().abs_diff(b.len()) > 2 {
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
    let folded: String = deunicode::deunicode(text)
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
    }
}
