//! Family-name tokens of one tenant and who carries them: how a query finds names that are nearly, or only
//! sound, the same. The fuzzy work is done on distinct tokens, never on records. It shows candidates; it never makes an edge.

use crate::index::postings::Postings;
use crate::index::tokens::TokenDict;
use crate::model::key::Key;

/// Tokens and their holders. Clones are cheap and independent.
#[derive(Clone, Debug)]
pub struct NameIndex {
    dict: TokenDict,
    holders: Postings,
}

impl Default for NameIndex {
    fn default() -> Self {
        Self { dict: TokenDict::default(), holders: Postings::beside_holders() }
    }
}

/// The key of a token: ids are dense, and postings expect numbers that are spread evenly. No two ids have one.
fn key_of(id: u32) -> Key {
    Key(u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15))
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

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> u64 {
        self.dict.len() as u64 * 140 + self.holders.bytes()
    }

    /// Adds a record's tokens, with what is to be known of its given name.
    pub fn add(&mut self, tokens: &[String], given: GivenHint, slot: u32) {
        for token in tokens {
            let id = self.dict.insert(token);
            self.holders.add(key_of(id), slot, given.0);
        }
    }

    /// As [`NameIndex::add`], but leaves it to [`NameIndex::add_holders`] to say who holds them: once for many records.
    pub fn add_tokens<'a>(
        &mut self,
        tokens: impl Iterator<Item = &'a str>,
        given: GivenHint,
        slot: u32,
        holders: &mut Vec<(Key, u32, u32)>,
    ) {
        holders.extend(tokens.map(|token| (key_of(self.dict.insert(token)), slot, given.0)));
    }

    /// Adds holders whose tokens are known and who had none so far.
    pub fn add_holders(&mut self, holders: Vec<(Key, u32, u32)>) {
        self.holders.add_all(holders);
    }

    /// Takes a record's tokens away.
    pub fn remove(&mut self, tokens: &[String], slot: u32) {
        for token in tokens {
            if let Some(id) = self.dict.id(token) {
                self.holders.remove(key_of(id), slot);
            }
            self.dict.remove(token);
        }
    }

    /// Adds the slots whose tokens are within one edit of one of these, or sound the same, and whose given name may
    /// agree, with what is known of that; exact ones first. Looks at `max` holders at most: false when there were more.
    pub fn similar(&self, tokens: &[String], given: GivenHint, max: usize, slots: &mut Vec<(u32, GivenHint)>) -> bool {
        let mut found = Vec::new();
        let whole = self.holders_of_similar(tokens, given, max, &mut found);
        slots.extend(found.into_iter().map(|(slot, code)| (slot, GivenHint(code))));
        whole
    }

    fn holders_of_similar(&self, tokens: &[String], given: GivenHint, max: usize, slots: &mut Vec<(u32, u32)>) -> bool {
        let (mut looked_at, mut whole) = (0, true);
        for token in tokens {
            let near = self.dict.near(token);
            for posting in self.holders.get_all(near.into_iter().map(key_of)).into_iter().flatten() {
                if looked_at + posting.holders() > max {
                    whole = false;
                    continue;
                }
                looked_at += posting.holders();
                posting.select(|code| given.may_agree(GivenHint(code)), slots);
            }
        }
        whole
    }
}

/// What a family name's posting knows of the holder's given name: enough to leave most strangers out without
/// looking at their records. Bits 0 to 25 are the first letters a to z of its tokens, bit 26 any other letter,
/// bits 27 to 31 some of the sound code, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenHint(u32);

impl GivenHint {
    /// From the tokens of the given name and its sound code (0: none).
    pub fn new(first_tokens: &[String], given_code: u32) -> Self {
        let bit = |c: char| if c.is_ascii_lowercase() { u32::from(c) - u32::from('a') } else { 26 };
        let letters = first_tokens.iter().filter_map(|token| token.chars().next()).fold(0, |set, c| set | 1 << bit(c));
        let sound = if given_code == 0 { 0 } else { 1 + given_code % 31 };
        Self(letters | sound << 27)
    }

    /// As a number.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// From [`GivenHint::bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// False only if neither a first letter nor the sound agrees. A name without tokens may be anybody's.
    pub fn may_agree(self, other: Self) -> bool {
        let sound = self.0 >> 27;
        self.shares_letter(other) || (sound != 0 && sound == other.0 >> 27)
    }

    /// Whether a token of each begins with one letter; letters beyond a to z are not told apart. A name without tokens
    /// shares one with anybody's.
    pub fn shares_letter(self, other: Self) -> bool {
        let letters = self.0 & 0x07FF_FFFF;
        letters == 0 || letters & other.0 & 0x07FF_FFFF != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(given: &str, code: u32) -> GivenHint {
        let tokens: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        GivenHint::new(&tokens, code)
    }

    #[test]
    fn a_hint_rules_out_only_strangers() {
        let (bob, robert, ann) = (hint("bob", 77), hint("robert", 77), hint("ann", 12));
        assert!(bob.may_agree(robert) && robert.may_agree(bob), "one sound");
        assert!(bob.may_agree(hint("b", 0)) && bob.may_agree(hint("john b", 5)), "one letter");
        assert!(!bob.may_agree(ann) && !bob.may_agree(GivenHint::default()));
        assert!(GivenHint::default().may_agree(ann), "who asks without a given name means everybody");
        assert!(hint("\u{11d}", 0).may_agree(hint("\u{436}", 0)), "letters beyond a to z are told apart later");
    }

    #[test]
    fn many_records_at_once_are_found_as_if_they_came_one_by_one() {
        let (mut one_by_one, mut at_once) = (NameIndex::default(), NameIndex::default());
        let mut holders = Vec::new();
        for slot in 0..500 {
            let tokens = [format!("name{}", slot % 7), format!("name{}", slot % 3)];
            let given = hint(if slot % 2 == 0 { "ann" } else { "bob" }, slot % 5);
            one_by_one.add(&tokens, given, slot);
            at_once.add_tokens(tokens.iter().map(String::as_str), given, slot, &mut holders);
        }
        at_once.add_holders(holders);
        for asked in ["name1", "name6", "name"] {
            let found = |names: &NameIndex| {
                let mut slots = Vec::new();
                names.similar(&[asked.to_owned()], hint("ann", 3), usize::MAX, &mut slots);
                slots
            };
            assert_eq!(found(&at_once), found(&one_by_one));
            assert!(!found(&at_once).is_empty());
        }
        for slot in 0..500 {
            let tokens = [format!("name{}", slot % 7), format!("name{}", slot % 3)];
            at_once.remove(&tokens, slot);
        }
        assert!(at_once.is_empty() && at_once.holders.is_empty());
    }

    #[test]
    fn similar_names_say_when_there_were_more() {
        let mut names = NameIndex::default();
        let smith = ["smith".to_owned()];
        for slot in 0..100 {
            names.add(&smith, hint(if slot % 4 == 0 { "ann" } else { "bob" }, 0), slot);
        }
        names.add(&["smyth".to_owned()], hint("ann", 0), 100);
        let similar = |max| {
            let mut slots = Vec::new();
            let whole = names.similar(&smith, hint("a", 0), max, &mut slots);
            assert!(slots.iter().all(|(_, given)| *given == hint("ann", 0)));
            (slots.into_iter().map(|(slot, _)| slot).collect::<Vec<u32>>(), whole)
        };
        let anns: Vec<u32> = (0..100).step_by(4).chain([100]).collect();
        assert_eq!(similar(101), (anns, true));
        assert_eq!(similar(100).0.len(), 25);
        assert!(!similar(100).1);
        assert_eq!(similar(99), (vec![100], false));
    }
}
