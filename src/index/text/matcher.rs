//! A parsed query: ranks a document in memory exactly as the index does, and marks what matched.
//!
//! Every asked token must be near some token of some value. A token costs its nearness first and its
//! field second; a document costs the sum over the asked tokens, so that the order depends on nothing
//! but the query and the document itself.

use super::fold::{self, Token};
use super::near::{Nearness, Pattern};
use super::{TextDoc, TextField};
use crate::error::{Error, Result};

/// Tokens of a query at most.
pub const QUERY_TOKENS_MAX: usize = 16;
/// Bytes of a query at most.
pub const QUERY_BYTES_MAX: usize = 1024;

/// What one step of nearness costs; more than all fields of a query together.
const NEARNESS_COST: u32 = 256;

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

impl Matcher {
    /// Parses a query; the last token may be a prefix, unless white space follows it.
    ///
    /// # Errors
    /// `Invalid` if nothing is left to look for, or it is longer than [`QUERY_BYTES_MAX`] or
    /// [`QUERY_TOKENS_MAX`].
    pub fn parse(q: &str) -> Result<Self> {
        if q.len() > QUERY_BYTES_MAX {
            return Err(Error::invalid("q", format!("longer than {QUERY_BYTES_MAX} bytes; ask for less")));
        }
        let tokens = fold::asked_tokens(q);
        if tokens.is_empty() {
            return Err(Error::invalid("q", "has no letter or digit to look for; give a word"));
        }
        if tokens.len() > QUERY_TOKENS_MAX {
            return Err(Error::invalid("q", format!("more than {QUERY_TOKENS_MAX} words; ask for fewer")));
        }
        let last = tokens.len() - 1;
        let open = !q.ends_with(char::is_whitespace);
        let patterns =
            tokens.iter().enumerate().map(|(at, token)| Pattern::new(&token.text, open && at == last)).collect();
        Ok(Self { patterns })
    }

    /// The asked tokens.
    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The same without edits, if there is a difference. Whatever it finds ranks before everything else that this
    /// one finds: at most the last token is a prefix, which costs less than one edit.
    pub(super) fn without_edits(&self) -> Option<Self> {
        let fuzzy = self.patterns.iter().any(Pattern::is_fuzzy);
        fuzzy.then(|| Self { patterns: self.patterns.iter().map(Pattern::without_edits).collect() })
    }

    /// A document's rank, 0 the best; `None` if some asked token is nowhere near.
    pub fn rank(&self, doc: &TextDoc) -> Option<u32> {
        let stored: Vec<(TextField, Vec<Token>)> =
            doc.values.iter().map(|(field, value)| (*field, tokens_of(*field, value))).collect();
        self.patterns.iter().map(|pattern| best_cost(pattern, &stored)).sum()
    }

    /// The values of a document with something near an asked token, that text in `<em>`; everything else is
    /// escaped for HTML. In the document's order.
    pub fn highlights(&self, doc: &TextDoc) -> Vec<(TextField, String)> {
        doc.values
            .iter()
            .filter_map(|(field, value)| Some((*field, self.highlight(&tokens_of(*field, value), value)?)))
            .collect()
    }

    fn highlight(&self, tokens: &[Token], value: &str) -> Option<String> {
        let near = |token: &&Token| self.patterns.iter().any(|pattern| pattern.compare(&token.text).is_some());
        let mut spans: Vec<_> = tokens.iter().filter(near).map(|token| token.at.clone()).collect();
        if spans.is_empty() {
            return None;
        }
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut marked = String::with_capacity(value.len() + spans.len() * 9);
        let mut done = 0;
        for span in spans.into_iter() {
            if span.start < done {
                continue; // inside, or overlapping, what is marked already
            }
            escape(value.get(done..span.start)?, &mut marked);
            marked.push_str("<em>");
            escape(value.get(span.clone())?, &mut marked);
            marked.push_str("</em>");
            done = span.end;
        }
        escape(value.get(done..)?, &mut marked);
        Some(marked)
    }
}

/// What a token at this nearness in this field costs.
pub(super) fn cost(nearness: Nearness, field: TextField) -> u32 {
    nearness as u32 * NEARNESS_COST + field as u32
}

/// The tokens under which a value is stored.
pub(super) fn tokens_of(field: TextField, value: &str) -> Vec<Token> {
    if field == TextField::Email { fold::email_tokens(value) } else { fold::stored_tokens(value) }
}

fn best_cost(pattern: &Pattern, stored: &[(TextField, Vec<Token>)]) -> Option<u32> {
    let of_field = |(field, tokens): &(TextField, Vec<Token>)| {
        tokens.iter().filter_map(|token| pattern.compare(&token.text)).min().map(|nearness| cost(nearness, *field))
    };
    stored.iter().filter_map(of_field).min()
}

fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::Millis;

    fn doc(values: &[(TextField, &str)]) -> TextDoc {
        TextDoc { values: values.iter().map(|(f, v)| (*f, (*v).to_owned())).collect(), updated: Millis(0) }
    }

    #[test]
    fn better_matches_rank_first() {
        let ranks: Vec<u32> = ["Anna", "Annabel", "Anne"]
            .iter()
            .map(|name| Matcher::parse("anna").unwrap().rank(&doc(&[(TextField::Name, name)])).unwrap())
            .collect();
        assert!(ranks.is_sorted() && ranks[0] < ranks[1] && ranks[1] < ranks[2], "{ranks:?}");
        let title = Matcher::parse("anna").unwrap().rank(&doc(&[(TextField::Title, "Anna")])).unwrap();
        assert!(ranks[0] < title && title < ranks[1]);
    }

    #[test]
    fn all_tokens_must_be_somewhere() {
        let anna = doc(&[(TextField::Name, "Anna Lee"), (TextField::Organization, "Acme GmbH")]);
        assert!(Matcher::parse("acme lee").unwrap().rank(&anna).is_some());
        assert!(Matcher::parse("acme lee oslo").unwrap().rank(&anna).is_none());
        assert!(Matcher::parse("le acme").unwrap().rank(&anna).is_none(), "only the last token is a prefix");
    }

    #[test]
    fn marks_whole_words_and_escapes() {
        let shown = |q: &str, name: &str| {
            let found = Matcher::parse(q).unwrap().highlights(&doc(&[(TextField::Name, name)]));
            found.first().map(|(_, text)| text.clone())
        };
        assert_eq!(shown("muler", "Jörg <b>Müller</b>").unwrap(), "Jörg &lt;b&gt;<em>Müller</em>&lt;/b&gt;");
        assert_eq!(shown("o'brien pat", "Pat O'Brien").unwrap(), "<em>Pat</em> <em>O'Brien</em>");
        assert_eq!(shown("zoe", "Pat"), None);
    }

    #[test]
    fn refuses_what_cannot_be_looked_for() {
        for q in ["", " - ", &"a ".repeat(17), &"a".repeat(1025)] {
            assert!(matches!(Matcher::parse(q), Err(Error::Invalid { .. })), "{q}");
        }
    }

    proptest! {
        #[test]
        fn highlights_lose_no_text(q in "[a-d]{1,5}", value in "[a-dé '<&-]{0,30}") {
            for (_, marked) in Matcher::parse(&q).unwrap().highlights(&doc(&[(TextField::Note, &value)])) {
                let plain = marked.replace("<em>", "").replace("</em>", "");
                let mut expected = String::new();
                escape(&value, &mut expected);
                prop_assert_eq!(plain, expected);
            }
        }
    }
}
