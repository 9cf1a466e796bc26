//! One number for each slot, for instance the sound code of its record's given name.

use crate::cow::PVec;

/// Numbers that lie side by side.
const BLOCK: usize = 16;

/// A number for each slot, 0 unless set. A slot's takes what a number takes, so slots are to be dense. Clones are cheap
/// and independent.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    blocks: PVec<[u32; BLOCK]>,
}

impl Codes {
    /// The number of a slot.
    pub fn get(&self, slot: u32) -> u32 {
        let at = slot as usize;
        self.blocks.get(at / BLOCK).and_then(|block| block.get(at % BLOCK)).copied().unwrap_or(0)
    }

    /// Sets the number of a slot.
    pub fn set(&mut self, slot: u32, code: u32) {
        if self.get(slot) == code {
            return;
        }
        let at = slot as usize;
        while self.blocks.len() <= at / BLOCK {
            self.blocks.push([0; BLOCK]);
        }
        if let Some(place) = self.blocks.get_mut(at / BLOCK).and_then(|block| block.get_mut(at % BLOCK)) {
            *place = code;
        }
    }

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> u64 {
        self.blocks.len() as u64 * 72
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_set_is_nothing_and_clones_keep_theirs() {
        let mut codes = Codes::default();
        codes.set(70, 0);
        assert_eq!((codes.get(70), codes.blocks.len()), (0, 0));
        codes.set(70, 9);
        let kept = codes.clone();
        codes.set(70, 4);
        codes.set(1, 2);
        assert_eq!([0, 1, 69, 70, 71, 5_000].map(|slot| codes.get(slot)), [0, 2, 0, 4, 0, 0]);
        assert_eq!([1, 70].map(|slot| kept.get(slot)), [0, 9]);
    }
}
