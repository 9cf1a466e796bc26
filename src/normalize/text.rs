//! Folding: how text becomes comparable.
//!
//! [`fold`] is the one way from any script to lower-case ASCII words; every token of the index went
//! through it. [`clean`] only tidies (spaces, invisible characters) and keeps the script, for display.
//! [`is_placeholder`] knows the ways in which people write "nothing".

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use deunicode::deunicode_char;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of input beyond which a value is cut before folding: no name is longer.
pub const TEXT_MAX: usize = 1_000;

/// Folds text to lower-case ASCII letters and digits, words separated by one space.
///
/// Letters of other scripts are romanised, accents and apostrophes vanish, everything else (hyphens
/// too) separates words. Folding twice gives the same. Only the first [`TEXT_MAX`] characters count.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    let mut gap = false;
    if text.is_ascii() {
        for c in text.chars().take(TEXT_MAX) {
            fold_ascii(c, &mut out, &mut gap);
        }
    } else {
        for c in text.chars().take(TEXT_MAX).nfkc() {
            fold_char(c, &mut out, &mut gap);
        }
    }
    out
}

fn fold_ascii(c: char, out: &mut String, gap: &mut bool) {
    if c.is_ascii_alphanumeric() {
        push(c, out, gap);
    } else if c != '\'' && c != '`' {
        *gap = true;
    }
}

fn fold_char(c: char, out: &mut String, gap: &mut bool) {
    if c.is_ascii() {
        fold_ascii(c, out, gap);
    } else if c.is_alphanumeric() {
        for ascii in deunicode_char(c).unwrap_or("").chars().filter(char::is_ascii_alphanumeric) {
            push(ascii, out, gap);
        }
    } else if !(is_combining_mark(c) || is_apostrophe(c) || is_invisible(c)) {
        *gap = true;
    }
}

fn push(c: char, out: &mut String, gap: &mut bool) {
    if *gap && !out.is_empty() {
        out.push(' ');
    }
    *gap = false;
    out.push(c.to_ascii_lowercase());
}

/// The folded words of a text.
pub fn tokens(text: &str) -> Vec<String> {
    fold(text).split(' ').filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// Folds to one word: letters and digits only ("180-4974" becomes "1804974").
pub fn fold_compact(text: &str) -> String {
    let mut folded = fold(text);
    folded.retain(|c| c != ' ');
    folded
}

/// Whether a character is one of the many apostrophes.
pub fn is_apostrophe(c: char) -> bool {
    matches!(
        c,
        '\'' | '`' | '\u{b4}' | '\u{2bb}' | '\u{2bc}' | '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{ff07}'
    )
}

/// Whether a character shows nothing: controls, zero-width, direction marks, byte-order mark.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
        || (c.is_control() && !c.is_whitespace())
}

/// Trims, makes runs of white space one space, and drops invisible characters.
pub fn clean(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    if is_clean(trimmed) {
        return Cow::Borrowed(trimmed);
    }
    let mut out = String::with_capacity(trimmed.len());
    let mut gap = false;
    for c in trimmed.chars().take(TEXT_MAX) {
        if c.is_whitespace() {
            gap = true;
        } else if !is_invisible(c) {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_MAX
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        && !text.as_bytes().windows(2).any(|pair| pair == b"  ")
}

/// The text in its own script: compatibility forms unified, lower case, single spaces.
pub fn own_script(text: &str) -> String {
    if text.is_ascii() {
        return clean(&text.to_ascii_lowercase()).into_owned();
    }
    let lowered: String = text.chars().take(TEXT_MAX).nfkc().collect::<String>().to_lowercase().nfkc().collect();
    clean(&lowered).into_owned()
}

/// The value of a decimal digit in any of the scripts that phones and dates are typed in.
pub fn digit(c: char) -> Option<char> {
    if c.is_ascii_digit() {
        return Some(c);
    }
    /// The digit zero of each script; the other nine follow it in Unicode.
    const ZEROS: [u32; 14] =
        [0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xff10];
    let code = u32::from(c);
    let value = ZEROS.iter().find_map(|zero| code.checked_sub(*zero).filter(|v| *v < 10))?;
    char::from_digit(value, 10)
}

/// The ASCII digits of a text, those of other scripts folded.
pub fn digits(text: &str) -> String {
    text.chars().take(TEXT_MAX).filter_map(digit).collect()
}

/// Replaces digits of other scripts and full-width characters by their ASCII forms.
pub fn ascii_digits(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let fold_one = |c: char| match (digit(c), u32::from(c)) {
        (Some(ascii), _) => ascii,
        (None, wide @ 0xff01..=0xff5e) => char::from_u32(wide - 0xfee0).unwrap_or(c),
        (None, 0x3000) => ' ',
        (None, _) => c,
    };
    Cow::Owned(text.chars().map(fold_one).collect())
}

/// Ways to write "no value", in lower case.
static PLACEHOLDERS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [
        "n/a",
        "n.a.",
        "n.a",
        "#n/a",
        "none",
        "(none)",
        "[none]",
        "<none>",
        "null",
        "(null)",
        "nil",
        "nan",
        "unknown",
        "(unknown)",
        "unbekannt",
        "inconnu",
        "desconocido",
        "sconosciuto",
        "undefined",
        "not provided",
        "not available",
        "not applicable",
        "not specified",
        "no name",
        "noname",
        "no email",
        "no phone",
        "tbd",
        "tba",
        "to be determined",
        "keine",
        "kein",
        "keine angabe",
        "k.a.",
        "k. a.",
        "k/a",
        "(blank)",
        "blank",
        "empty",
        "(empty)",
        "not set",
        "unset",
        "xxx",
        "xxxx",
        "test test",
        "#value!",
        "#ref!",
        "#null!",
        "no data",
        "missing",
        "(no name)",
        "unnamed",
        "first name",
        "last name",
        "firstname",
        "lastname",
        "-none-",
        "--none--",
        "no value",
        "neznámý",
        "неизвестно",
        "نامعلوم",
        "不明",
        "无",
        "なし",
    ]
    .into_iter()
    .collect()
});

/// Whether the text stands for "no value": a known word for it, `NA` in capitals, or no letter or digit at all.
/// Empty text is not a placeholder: it is missing.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.len() > 48 {
        return false;
    }
    if text == "NA" || !text.chars().any(char::is_alphanumeric) {
        return true;
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        PLACEHOLDERS.contains(text.to_lowercase().as_str())
    } else {
        PLACEHOLDERS.contains(text)
    }
}

/// The lines of a table in `data/` that hold an entry: no comments, no blanks.
pub fn table_lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// Adds a value unless the list has it.
pub fn push_new<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folds_any_script_to_ascii_words() {
        for (text, folded) in [
            ("Jean-Pierre", "jean pierre"),
            ("O'Brien", "obrien"),
            ("O\u{2019}Brien", "obrien"),
            ("Müller-Lüdenscheidt", "muller ludenscheidt"),
            ("Mu\u{308}ller", "muller"),
            ("Łukasz Żółć", "lukasz zolc"),
            ("Иванов", "ivanov"),
            ("王小明", "wangxiaoming"),
            ("  A   b ", "a b"),
            ("ＪＯＨＮ", "john"),
            ("Straße", "strasse"),
            ("🙂", ""),
            ("", ""),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn digits_of_many_scripts() {
        assert_eq!(digits("٠١٢-٣۴५ ６"), "0123456");
        assert_eq!(ascii_digits("＋４９（０）").as_ref(), "+49(0)");
    }

    #[test]
    fn knows_placeholders() {
        for text in ["N/A", "none", "NULL", "-", "--", "???", "NA", "Unknown", "..."] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["", "Na", "Nonette", "Null Smith", "John", "0"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn fold_is_idempotent_and_ascii(text in "\\PC{0,200}") {
            let once = fold(&text);
            prop_assert!(once.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b' '));
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn clean_is_idempotent(text in any::<String>()) {
            let once = clean(&text).into_owned();
            prop_assert_eq!(clean(&once).into_owned(), once);
        }
    }
}
