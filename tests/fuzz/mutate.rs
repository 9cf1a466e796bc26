//! How inputs change: bits, numbers, words of the format, pieces of other inputs. Everything follows from a seed.

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`; 0 when there is nothing to choose from.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Texts that readers of text stumble over, whatever the format.
const ODD: [&str; 30] = [
    "\u{202e}",
    "\u{200d}",
    "\u{feff}",
    "\u{0}",
    "\u{301}",
    "\u{1f468}\u{200d}\u{1f469}",
    "ß",
    "İ",
    "ﬃ",
    "\u{fffd}",
    "①",
    "\u{3000}",
    "\r",
    "\r\n",
    "\n",
    "\t",
    "\"",
    "\\",
    "'",
    ",",
    ";",
    ":",
    "=",
    "@",
    "+",
    "%00",
    "\\u0000",
    "\\ud800",
    "1e999",
    "-0",
];
/// Lengths and counts at the edges of their types.
const EDGES: [u64; 14] =
    [0, 1, 7, 8, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];
/// Inputs do not grow beyond this.
pub const INPUT_MAX: usize = 64 << 10;

/// Changes an input in one to six places. `words` are the format's own, `other` is an input to take pieces from.
pub fn mutate(dice: &mut Dice, input: &mut Vec<u8>, words: &[&str], other: &[u8]) {
    for _ in 0..1 + dice.below(6) {
        once(dice, input, words, other);
    }
    input.truncate(INPUT_MAX);
}

fn once(dice: &mut Dice, input: &mut Vec<u8>, words: &[&str], other: &[u8]) {
    let at = dice.below(input.len() + 1);
    let end = (at + 1 + dice.below(16)).min(input.len());
    match dice.below(13) {
        0 | 1 if at < input.len() => input[at] ^= 1 << dice.below(8),
        2 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b' '][dice.below(7)],
        3 => drop(input.drain(at..end)),
        4 => {
            let piece = input[at..end].to_vec();
            let to = dice.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        5 => {
            let piece = input[at..end].repeat(1 + dice.below(300));
            input.splice(at..at, piece);
        }
        6 => {
            let from = dice.below(other.len() + 1);
            let piece = &other[from..(from + 1 + dice.below(400)).min(other.len())];
            input.splice(at..end, piece.iter().copied());
        }
        7 | 8 => {
            let word = if words.is_empty() || dice.below(3) == 0 {
                ODD[dice.below(ODD.len())]
            } else {
                words[dice.below(words.len())]
            };
            let stop = if dice.below(2) == 0 { at } else { end };
            input.splice(at..stop, word.bytes());
        }
        9 => number(dice, input, at),
        10 => input.truncate(at),
        11 => {
            let (left, right) = (dice.below(input.len() + 1), dice.below(input.len() + 1));
            if left < input.len() && right < input.len() {
                input.swap(left, right);
            }
        }
        _ => {
            let digits = (dice.next() % 100_000).to_string();
            input.splice(at..end, digits.bytes());
        }
    }
}

/// Puts an edge, or a value near what stands there, into an aligned field of 2, 4 or 8 bytes.
fn number(dice: &mut Dice, input: &mut [u8], at: usize) {
    let width = [2, 4, 8][dice.below(3)];
    let start = at / width * width;
    let Some(field) = input.get_mut(start..start + width) else { return };
    let mut value = [0; 8];
    value[..width].copy_from_slice(field);
    let value = match dice.below(3) {
        0 => EDGES[dice.below(EDGES.len())],
        1 => u64::from_le_bytes(value).wrapping_add(1 + dice.below(8) as u64),
        _ => u64::from_le_bytes(value).wrapping_sub(1 + dice.below(8) as u64),
    };
    field.copy_from_slice(&value.to_le_bytes()[..width]);
}
