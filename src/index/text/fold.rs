//! From text to search tokens: folded to lower-case ASCII, each with the bytes it came from.
//!
//! A *word* stands between white space, a *piece* between other punctuation (apostrophes do not part a
//! piece, so that `O'Brien` is found as `obrien`). What is stored has more spellings than what is asked:
//! [`stored_tokens`] gives every piece, the parts between apostrophes and the whole word joined;
//! [`asked_tokens`] gives the pieces only. An email address is one token beside its pieces.

use std::ops::Range;

/// Bytes of a token; what is longer is cut, in what is stored and in what is asked alike. Below 64, so
/// that a set of positions in a token fits a machine word.
pub const TOKEN_BYTES_MAX: usize = 60;

/// A folded token and where it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Lower-case ASCII, 1 to [`TOKEN_BYTES_MAX`] bytes, never a zero byte.
    pub text: String,
    /// Bytes of the original text it came from, on character boundaries.
    pub at: Range<usize>,
}

/// One part of a word between any two punctuation marks, and whether an apostrophe stands before it.
struct Part {
    text: String,
    at: Range<usize>,
    glued: bool,
}

/// The tokens under which a text is stored: pieces, parts of pieces, joined words, whole emails. May repeat.
pub fn stored_tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for word in words(text) {
        let pieces = pieces(&word);
        if pieces.len() > 1 {
            tokens.extend(join(&word));
        }
        if word.len() > pieces.len() {
            tokens.extend(word.iter().filter_map(|part| join(std::slice::from_ref(part))));
        }
        tokens.extend(pieces);
    }
    tokens.extend(spaced(text).filter(|(_, word)| is_email(word)).filter_map(|(at, word)| whole_email(word, at)));
    tokens
}

/// The tokens of an email address: its pieces and the whole.
pub fn email_tokens(address: &str) -> Vec<Token> {
    words(address).iter().flat_map(|word| pieces(word)).chain(whole_email(address, 0)).collect()
}

/// The tokens of a query, in order: a word with an inner `@` as a whole, any other in pieces.
pub fn asked_tokens(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (start, word) in spaced(query) {
        if is_email(word) {
            tokens.extend(whole_email(word, start));
        } else {
            tokens.extend(
                words(word)
                    .iter()
                    .flat_map(|parts| pieces(parts))
                    .map(|token| Token { at: token.at.start + start..token.at.end + start, text: token.text }),
            );
        }
    }
    tokens
}

/// What stands between white space, with where it starts.
fn spaced(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    text.split_inclusive(char::is_whitespace).filter_map(move |word| {
        let start = next;
        next += word.len();
        let bare = word.trim_end();
        (!bare.is_empty()).then_some((start, bare))
    })
}

fn is_email(word: &str) -> bool {
    word.find('@').is_some_and(|at| at > 0)
}

/// An address as one token, without punctuation around it.
fn whole_email(address: &str, start: usize) -> Option<Token> {
    let mut text = String::with_capacity(address.len());
    for c in address.chars().filter(|c| !c.is_whitespace()) {
        fold_char(c, |f| text.push(f));
    }
    text.retain(|c| c.is_ascii_graphic());
    let mut text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    text.truncate(TOKEN_BYTES_MAX);
    (!text.is_empty()).then_some(Token { text, at: start..start + address.len() })
}

/// Calls `with` for each lower-case ASCII character that `c` folds to; anything unknown is a space.
fn fold_char(c: char, mut with: impl FnMut(char)) {
    if c.is_ascii() {
        return with(c.to_ascii_lowercase());
    }
    match deunicode::deunicode_char(c) {
        Some(folded) => folded.chars().for_each(|f| with(f.to_ascii_lowercase())),
        None => with(' '),
    }
}

/// The words of a text in parts. Every part has text.
fn words(text: &str) -> Vec<Vec<Part>> {
    let mut words: Vec<Vec<Part>> = Vec::new();
    let mut word: Vec<Part> = Vec::new();
    let (mut open, mut glued) = (false, false);
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        fold_char(c, |f| {
            if f.is_ascii_alphanumeric() {
                if !open {
                    word.push(Part { text: String::new(), at: start..end, glued });
                    (open, glued) = (true, false);
                }
                if let Some(part) = word.last_mut() {
                    part.text.push(f);
                    part.at.end = end;
                }
                return;
            }
            glued = f == '\'' && (open || glued) && !word.is_empty();
            open = false;
            if f.is_ascii_whitespace() && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        });
        if open && let Some(part) = word.last_mut() {
            part.at.end = end; // a mark that folds to nothing belongs to the letter before it
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn pieces(word: &[Part]) -> Vec<Token> {
    word.chunk_by(|_, next| next.glued).filter_map(join).collect()
}

fn join(parts: &[Part]) -> Option<Token> {
    let (first, last) = (parts.first()?, parts.last()?);
    let mut text: String = parts.iter().map(|part| part.text.as_str()).collect();
    text.truncate(TOKEN_BYTES_MAX);
    Some(Token { text, at: first.at.start..last.at.end })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|token| token.text.as_str()).collect()
    }

    #[test]
    fn asks_by_example() {
        for (query, expected) in [
            ("Anna  Müller", vec!["anna", "muller"]),
            ("O'Brien O’Brien", vec!["obrien", "obrien"]),
            ("Jean-Pierre", vec!["jean", "pierre"]),
            ("ann.lee@Example.com x", vec!["ann.lee@example.com", "x"]),
            ("<ann.lee@example.com>,", vec!["ann.lee@example.com"]),
            ("@example.com", vec!["example", "com"]),
            ("北京 Москва", vec!["bei", "jing", "moskva"]),
            ("e\u{301}tude", vec!["etude"]),
            ("  '' - ", vec![]),
        ] {
            assert_eq!(texts(&asked_tokens(query)), expected, "{query}");
        }
    }

    #[test]
    fn stores_more_spellings_than_are_asked() {
        assert_eq!(texts(&stored_tokens("Jean-Pierre")), ["jeanpierre", "jean", "pierre"]);
        assert_eq!(texts(&stored_tokens("O'Brien")), ["o", "brien", "obrien"]);
        assert_eq!(texts(&email_tokens("Ann.Lee@x.org")), ["ann", "lee", "x", "org", "ann.lee@x.org"]);
    }

    proptest! {
        #[test]
        fn tokens_are_ascii_on_boundaries_and_stored_covers_asked(text in "\\PC{0,40}|[a-zé'’ @.-]{0,30}") {
            let stored = stored_tokens(&text);
            for token in stored.iter().chain(&asked_tokens(&text)).chain(&email_tokens(&text)) {
                prop_assert!(!token.text.is_empty() && token.text.len() <= TOKEN_BYTES_MAX);
                prop_assert!(token.text.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(text.get(token.at.clone()).is_some());
            }
            for token in asked_tokens(&text) {
                prop_assert!(stored.iter().any(|s| s.text == token.text), "{:?} of {:?}", token, text);
            }
        }
    }
}
