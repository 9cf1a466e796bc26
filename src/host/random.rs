//! Random bytes and the ids made of them.
//!
//! [`Ids`] hands out UUIDv7 numbers that strictly increase within a process, so that a tree or an
//! index fed in order of creation stays in order. Nobody may read a meaning into them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::ids::Millis;

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Overwrites all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, fit for keys and salts.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has a random generator: without one no salt or key may be made");
    }
}

/// The same bytes for the same seed, whatever the machine: for tests only.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    calls: AtomicU64,
}

impl SeededRandom {
    /// A generator whose n-th call depends on `seed` and n alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, calls: AtomicU64::new(0) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&call.to_le_bytes());
        hasher.finalize_xof().fill(bytes);
    }
}

/// How many random bits a UUIDv7 holds.
const RANDOM_BITS: u32 = 74;

/// One UUIDv7 as a number: 48 bits of milliseconds, then 74 random bits around version and variant.
#[must_use]
pub fn uuid_v7(now: Millis, random: &dyn Random) -> u128 {
    with_marks(plain(now, random))
}

/// Hands out UUIDv7 numbers, each larger than all before it in this process.
#[derive(Debug, Default)]
pub struct Ids {
    latest: Mutex<u128>,
}

impl Ids {
    /// A generator that has issued nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next id. When the clock stands still or goes back, it counts on from the latest by a random step.
    pub fn next(&self, now: Millis, random: &dyn Random) -> u128 {
        let fresh = plain(now, random);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh > *latest {
            *latest = fresh;
        } else {
            *latest += 1 + (fresh & u128::from(u32::MAX));
        }
        with_marks(*latest)
    }
}

/// 48 bits of time and 74 random ones, without version and variant.
fn plain(now: Millis, random: &dyn Random) -> u128 {
    let mut bytes = [0u8; 16];
    random.fill(&mut bytes);
    let ms = u128::try_from(now.0).unwrap_or(0) & ((1 << 48) - 1);
    (ms << RANDOM_BITS) | (u128::from_le_bytes(bytes) & ((1 << RANDOM_BITS) - 1))
}

/// Puts version 7 and the variant in between, keeping the order.
fn with_marks(plain: u128) -> u128 {
    let time = (plain >> RANDOM_BITS) & ((1 << 48) - 1);
    let high = (plain >> 62) & 0xfff;
    let low = plain & ((1 << 62) - 1);
    (time << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_even_when_the_clock_does_not() {
        let (ids, random) = (Ids::new(), SeededRandom::new(1));
        let mut before = 0;
        for ms in [1_000, 1_000, 1_000, 999, 0, 1_001, 1_001, -5] {
            for _ in 0..200 {
                let id = ids.next(Millis(ms), &random);
                assert!(id > before);
                assert_eq!(uuid::Uuid::from_u128(id).get_version_num(), 7);
                assert_eq!(uuid::Uuid::from_u128(id).get_variant(), uuid::Variant::RFC4122);
                before = id;
            }
        }
    }

    #[test]
    fn an_id_shows_its_time() {
        let id = uuid_v7(Millis(1_700_000_000_123), &OsRandom);
        assert_eq!(id >> 80, 1_700_000_000_123);
    }

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            let mut bytes = [0u8; 40];
            random.fill(&mut bytes[..20]);
            random.fill(&mut bytes[20..]);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(7)[..20], draw(7)[20..]);
    }
}
