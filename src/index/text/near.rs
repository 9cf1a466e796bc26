//! How near a stored token is to an asked one, decided byte by byte, so that the same code walks a term
//! dictionary and checks a token in memory.
//!
//! The states are sets of positions in the asked token, one set for each number of edits so far (bit i:
//! the first i bytes are matched), after Wu and Manber, with swaps of neighbours as one edit (optimal
//! string alignment).

/// Edits allowed at most.
const EDITS_MAX: usize = 2;

/// How a stored token matched. The order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// Equal.
    Exact = 0,
    /// Starts with it.
    Prefix = 1,
    /// One edit.
    OneEdit = 2,
    /// Starts with something one edit away.
    OneEditPrefix = 3,
    /// Two edits.
    TwoEdits = 4,
    /// Starts with something two edits away.
    TwoEditsPrefix = 5,
}

const WHOLE: [Nearness; 3] = [Nearness::Exact, Nearness::OneEdit, Nearness::TwoEdits];
const START: [Nearness; 3] = [Nearness::Prefix, Nearness::OneEditPrefix, Nearness::TwoEditsPrefix];

/// One asked token, ready to be compared.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The bytes of the asked token.
    text: String,
    /// For each byte value, the positions at which the asked token has it.
    masks: Box<[u64; 256]>,
    /// The bit of "all matched".
    end: u64,
    /// Edits allowed, 0 to 2.
    edits: usize,
    /// Whether the stored token may go on after the match.
    prefix: bool,
}

/// Where a comparison stands.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Positions reached, by edits.
    reached: [u64; EDITS_MAX + 1],
    /// Positions from which a swap has begun, by edits before it.
    swaps: [u64; EDITS_MAX],
    /// Fewest edits with which a prefix of the stored token matched; 3 if none has yet.
    start: u8,
}

/// Edits that a token of this length may have: none below 4 bytes or without a letter, one from 4, two from 8.
pub fn edits_allowed(token: &str) -> usize {
    if token.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    match token.len() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    }
}

impl Pattern {
    /// Prepares an asked token (ASCII, at most 63 bytes; what is longer is cut). `prefix`: the stored token may
    /// be longer.
    pub fn new(token: &str, prefix: bool) -> Self {
        let text: String = token.chars().take(super::fold::TOKEN_BYTES_MAX).filter(char::is_ascii).collect();
        let mut masks = Box::new([0u64; 256]);
        for (at, byte) in text.bytes().enumerate() {
            if let Some(mask) = masks.get_mut(usize::from(byte)) {
                *mask |= 1 << at;
            }
        }
        Self { masks, end: 1 << text.len(), edits: edits_allowed(&text), prefix, text }
    }

    /// The asked token.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the stored token may go on after the match.
    pub fn is_prefix(&self) -> bool {
        self.prefix
    }

    /// Whether any edit is allowed.
    pub fn is_fuzzy(&self) -> bool {
        self.edits > 0
    }

    /// The same without edits.
    pub fn without_edits(&self) -> Self {
        Self { edits: 0, ..self.clone() }
    }

    /// Before the first byte.
    pub fn start(&self) -> State {
        let mut state = State { reached: [1, 0, 0], swaps: [0; EDITS_MAX], start: 3 };
        self.skip_asked(&mut state.reached);
        self.note_start(&mut state);
        state
    }

    /// After one more byte of the stored token.
    pub fn step(&self, old: &State, byte: u8) -> State {
        let mask = self.masks.get(usize::from(byte)).copied().unwrap_or(0);
        let [r0, r1, r2] = old.reached;
        let [s0, s1] = old.swaps;
        let mut reached = [
            (r0 & mask) << 1,
            ((r1 & mask) << 1) | r0 | (r0 << 1) | ((s0 & mask) << 2),
            ((r2 & mask) << 1) | r1 | (r1 << 1) | ((s1 & mask) << 2),
        ];
        self.skip_asked(&mut reached);
        let mut state = State { reached, swaps: [r0 & (mask >> 1), r1 & (mask >> 1)], start: old.start };
        self.note_start(&mut state);
        state
    }

    /// Leaves out asked bytes, and forgets what is over the allowed edits or past the end.
    fn skip_asked(&self, reached: &mut [u64; EDITS_MAX + 1]) {
        let within = (self.end << 1).wrapping_sub(1);
        let [r0, r1, r2] = *reached;
        let r1 = r1 | (r0 << 1);
        let r2 = r2 | (r1 << 1);
        let allowed = |edits: usize| if edits <= self.edits { within } else { 0 };
        *reached = [r0 & within, r1 & allowed(1), r2 & allowed(2)];
    }

    fn note_start(&self, state: &mut State) {
        if self.prefix
            && let Some(edits) = self.edits_at_end(state)
        {
            state.start = state.start.min(u8::try_from(edits).unwrap_or(u8::MAX));
        }
    }

    fn edits_at_end(&self, state: &State) -> Option<usize> {
        state.reached.iter().position(|set| set & self.end != 0)
    }

    /// Whether more bytes could still lead to a match.
    pub fn hopeful(&self, state: &State) -> bool {
        usize::from(state.start) < START.len() || state.reached.iter().any(|set| *set != 0)
    }

    /// What it is if the stored token ends here.
    pub fn nearness(&self, state: &State) -> Option<Nearness> {
        let whole = self.edits_at_end(state).and_then(|edits| WHOLE.get(edits));
        let start = START.get(usize::from(state.start));
        whole.into_iter().chain(start).min().copied()
    }

    /// How near a whole stored token is; `None`: not near.
    pub fn compare(&self, stored: &str) -> Option<Nearness> {
        let mut state = self.start();
        for byte in stored.bytes() {
            state = self.step(&state, byte);
            if !self.hopeful(&state) {
                return None;
            }
        }
        self.nearness(&state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(asked: &str, stored: &str, prefix: bool) -> Option<Nearness> {
        let edits = edits_allowed(asked);
        let whole = strsim::osa_distance(asked, stored);
        let starts = (0..=stored.len()).map(|end| strsim::osa_distance(asked, &stored[..end])).min();
        let mut found = Vec::new();
        if whole <= edits {
            found.push(WHOLE[whole]);
        }
        if let Some(start) = starts.filter(|start| prefix && *start <= edits) {
            found.push(START[start]);
        }
        found.into_iter().min()
    }

    #[test]
    fn compares_by_example() {
        for (asked, stored, prefix, expected) in [
            ("anna", "anna", false, Some(Nearness::Exact)),
            ("anna", "annabel", true, Some(Nearness::Prefix)),
            ("anna", "annabel", false, None),
            ("jonh", "john", false, Some(Nearness::OneEdit)),
            ("jonh", "johnson", true, Some(Nearness::OneEditPrefix)),
            ("bob", "rob", false, None),
            ("schmidtt", "schmitd", false, Some(Nearness::TwoEdits)),
            ("90210", "90211", false, None),
        ] {
            assert_eq!(Pattern::new(asked, prefix).compare(stored), expected, "{asked} {stored}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_table_of_distances(asked in "[a-c1]{1,12}", stored in "[a-c1]{1,14}", prefix: bool) {
            prop_assert_eq!(Pattern::new(&asked, prefix).compare(&stored), naive(&asked, &stored, prefix));
        }
    }
}
