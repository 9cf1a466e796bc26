//! The salts and nonces of a group's frames.
//!
//! A group of 256 frames takes 10 KiB of them, and the system's generator takes as long for those as writing the group does.
//! So it gives a seed of 32 bytes for each larger group, and BLAKE3 makes the rest of it as an extendable output.
//!
//! Why that is as good:
//! - Every group has a seed of its own, drawn when the group is made and forgotten with it. Nothing is carried from group to
//!   group, so a crash, a fork or a copy of the machine repeats no more than the system's generator itself would.
//! - Nonces are sent with what they sealed, and salts lie beside the payload, so all of a group's output is known to whoever has
//!   the files. Of an erased frame the salt is gone, and the leaf must stay no oracle: its salt could come back only by
//!   finding 32 random bytes from other output of BLAKE3, which is a search over 2^256.
//! - Two of the 24-byte nonces meet with the probability of two random ones: an output of BLAKE3 cannot be told from random bytes
//!   without its seed.

use zeroize::Zeroizing;

use crate::host::Random;

/// What the output is for: no other use of BLAKE3 has this context.
const CONTEXT: &str = "selfsame 2026-11 journal salts and nonces of one group";
/// Bytes up to which the generator is asked itself: one frame's.
const ASKED_MAX: usize = 64;

/// Overwrites all of `bytes`, which are one group's.
pub(super) fn fill(random: &dyn Random, bytes: &mut [u8]) {
    if bytes.len() <= ASKED_MAX {
        return random.fill(bytes);
    }
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(seed.as_mut_slice());
    blake3::Hasher::new_derive_key(CONTEXT).update(seed.as_slice()).finalize_xof().fill(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;
    use crate::host::{OsRandom, SeededRandom};

    /// Gives the system's bytes and notes how many were asked for.
    #[derive(Default)]
    struct Noting(Mutex<Vec<usize>>);

    impl Random for Noting {
        fn fill(&self, bytes: &mut [u8]) {
            self.0.lock().unwrap().push(bytes.len());
            OsRandom.fill(bytes);
        }
    }

    #[test]
    fn every_group_has_a_seed_of_its_own() {
        let random = Noting::default();
        let mut bytes = vec![0; 10_240];
        for _ in 0..3 {
            fill(&random, &mut bytes);
        }
        fill(&random, &mut bytes[..40]);
        assert_eq!(*random.0.lock().unwrap(), [32, 32, 32, 40]);
    }

    #[test]
    fn no_two_frames_share_a_byte_sequence() {
        let mut seen = HashSet::new();
        for _ in 0..50 {
            let mut bytes = vec![0; 256 * 40];
            fill(&OsRandom, &mut bytes);
            for chance in bytes.chunks_exact(8) {
                assert!(seen.insert(chance.to_vec()), "eight bytes came twice");
            }
        }
    }

    #[test]
    fn a_simulation_is_repeated_by_its_seed() {
        let drawn = |seed| {
            let random = SeededRandom::new(seed);
            let mut bytes = [[0; 400]; 2];
            bytes.iter_mut().for_each(|group| fill(&random, group));
            bytes
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_ne!(drawn(1)[0], drawn(1)[1]);
    }
}
