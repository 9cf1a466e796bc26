//! Family-name tokens of one tenant and who carries them: how a query finds names that are nearly, or only
//! sound, the same. The fuzzy work is done on distinct tokens, never on records. It shows candidates; it never makes an edge.

use crate::index::postings::{Posting, Postings};
use crate::index::tokens::TokenDict;
use crate::model::key::Key;

/// Tokens and their holders. Clones are cheap and independent.
#[derive(Clone, Debug, Default)]
pub struct NameIndex {
    dict: TokenDict,
    holders: Postings,
}

impl NameIndex {
    /// Distinct tokens.
    pub fn len(&self) -> usize {
        self.dict.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.dict.is_empty()
    }

    /// Adds a record's tokens.
    pub fn add(&mut self, tokens: &[String], slot: u32) {
        for token in tokens {
            let id = self.dict.insert(token);
            self.holders.add(Key(u64::from(id)), slot, 0);
        }
    }

    /// Takes a record's tokens away.
    pub fn remove(&mut self, tokens: &[String], slot: u32) {
        for token in tokens {
            if let Some(id) = self.dict.id(token) {
                self.holders.remove(Key(u64::from(id)), slot);
            }
            self.dict.remove(token);
        }
    }

    /// Slots whose tokens are within one edit of one of these, or sound the same; exact ones first. At most `max`.
    pub fn similar(&self, tokens: &[String], max: usize) -> Vec<u32> {
        let mut slots = Vec::new();
        for token in tokens {
            let mut near = Vec::new();
            self.dict.similar(token, 1, &mut near);
            near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut ids: Vec<u32> = near.into_iter().map(|(id, _)| id).collect();
            let mut sounding = Vec::new();
            self.dict.sounding(token, &mut sounding);
            ids.extend(sounding);
            let mut seen = std::collections::HashSet::new();
            for id in ids.into_iter().filter(|id| seen.insert(*id)) {
                let Some(posting) = self.holders.get(Key(u64::from(id))) else { continue };
                if slots.len() + posting.holders() <= max {
                    slots.extend(Posting::entries(posting).into_iter().map(|(slot, _)| slot));
                }
            }
        }
        slots
    }
}
