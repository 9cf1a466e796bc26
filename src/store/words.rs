//! Who changed things: names of sources and actors that stand beside every change, each kept once.
//!
//! A tenant has few of them and very many changes. What is seen beyond [`WORDS_MAX`] different ones is kept as often as
//! it comes, so that a caller who makes names up costs what they are, and searching stays short.

use std::sync::Arc;

/// Words that are kept once.
const WORDS_MAX: usize = 64;

/// The words of one tenant. Clones are cheap and independent.
#[derive(Clone, Debug, Default)]
pub struct Words(Arc<Vec<Arc<str>>>);

impl Words {
    /// A word that somebody asked for before.
    pub fn known(&self, word: &str) -> Option<Arc<str>> {
        self.0.iter().find(|known| &***known == word).map(Arc::clone)
    }

    /// A word, shared with whoever asked for it before.
    pub fn get(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.known(word) {
            return known;
        }
        let new: Arc<str> = word.into();
        if self.0.len() < WORDS_MAX {
            Arc::make_mut(&mut self.0).push(Arc::clone(&new));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once_and_the_list_stays_short() {
        let mut words = Words::default();
        let first = words.get("crm");
        assert!(Arc::ptr_eq(&first, &words.get("crm")));
        for at in 0..WORDS_MAX * 2 {
            assert_eq!(&*words.get(&at.to_string()), at.to_string());
        }
        assert_eq!(words.0.len(), WORDS_MAX);
        assert!(Arc::ptr_eq(&first, &words.get("crm")));
    }
}
