//! What is kept of look-ups in a directory: the epochs of its keys, and how full quotas may be.
//!
//! A quota's level here is the one reserved ahead of the answers, so it is never below what was used; the exact levels are
//! in the memory of the engine and start from these.

use crate::cow::PMap;
use crate::model::event::{DiscoveryKey, KeyRotated, QuotaReserved};
use crate::model::ids::Millis;

/// Levels from which those that have run empty are dropped.
const PRUNE_MIN: usize = 4096;
/// A key's number, and since when it is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// 0: since the tenant began.
    pub since: Millis,
}

impl Default for Epoch {
    fn default() -> Self {
        Self { number: 1, since: Millis(0) }
    }
}

/// The keys of a directory by their epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Of the tags.
    pub tags: Epoch,
    /// Of the Matrix look-up's pepper.
    pub pepper: Epoch,
    /// Of the oblivious look-up's key.
    pub oprf: Epoch,
}

impl Epochs {
    /// That of one key.
    #[must_use]
    pub fn of(&self, what: DiscoveryKey) -> Epoch {
        match what {
            DiscoveryKey::Tags => self.tags,
            DiscoveryKey::Pepper => self.pepper,
            DiscoveryKey::Oprf => self.oprf,
        }
    }

    pub(in crate::store) fn put(&mut self, what: DiscoveryKey, epoch: Epoch) {
        match what {
            DiscoveryKey::Tags => self.tags = epoch,
            DiscoveryKey::Pepper => self.pepper = epoch,
            DiscoveryKey::Oprf => self.oprf = epoch,
        }
    }

    pub(in crate::store) fn rotated(&mut self, rotated: &KeyRotated) {
        self.put(rotated.what, Epoch { number: rotated.epoch, since: rotated.at });
    }
}

/// Whose quota of what: family and payer.
pub type QuotaKey = (u8, u128);

/// A level as it was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// How full, in 1/3,600,000 identifiers.
    pub used: u64,
    /// Identifiers an hour by which it sinks.
    pub leak_per_hour: u32,
    /// As of when.
    pub at: Millis,
}

/// The reserved levels of a tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    levels: PMap<QuotaKey, Reserved>,
    latest: Millis,
    prune_at: usize,
}

impl Quotas {
    /// One of them; missing: nothing was used.
    #[must_use]
    pub fn get(&self, key: QuotaKey) -> Option<Reserved> {
        self.levels.get(&key).copied()
    }

    /// All of them, ascending.
    #[must_use]
    pub fn all(&self) -> Vec<(QuotaKey, Reserved)> {
        let mut all: Vec<_> = self.levels.iter().map(|(key, level)| (*key, *level)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// The latest time at which anything was reserved. Quotas never sink by time before it.
    #[must_use]
    pub fn latest(&self) -> Millis {
        self.latest
    }

    pub(in crate::store) fn reserved(&mut self, event: &QuotaReserved) {
        for level in &event.levels {
            let reserved = Reserved { used: level.used, leak_per_hour: level.leak_per_hour, at: event.at };
            self.levels.insert((level.family, level.payer), reserved);
        }
        self.saw(event.at);
        self.prune();
    }

    pub(in crate::store) fn restore(&mut self, key: QuotaKey, reserved: Reserved) {
        self.saw(reserved.at);
        self.levels.insert(key, reserved);
    }

    pub(in crate::store) fn saw(&mut self, at: Millis) {
        self.latest = self.latest.max(at);
    }

    /// Drops what has run empty by the latest time.
    fn prune(&mut self) {
        if self.levels.len() < self.prune_at.max(PRUNE_MIN) {
            return;
        }
        let now = self.latest;
        let empty = |level: &Reserved| {
            let passed = u64::try_from(now.0.saturating_sub(level.at.0)).unwrap_or(0);
            passed.saturating_mul(u64::from(level.leak_per_hour)) >= level.used
        };
        let gone: Vec<QuotaKey> = self.levels.iter().filter(|(_, level)| empty(level)).map(|(key, _)| *key).collect();
        for key in &gone {
            self.levels.remove(key);
        }
        self.prune_at = self.levels.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::quota::UNITS_PER_IDENTIFIER;
    use crate::model::event::QuotaLevel;

    #[test]
    fn levels_that_have_run_empty_go_and_time_stays() {
        let mut quotas = Quotas::default();
        let level = |payer: u128| QuotaLevel { family: 1, payer, used: UNITS_PER_IDENTIFIER, leak_per_hour: 1 };
        for payer in 0..u128::try_from(PRUNE_MIN).unwrap() - 1 {
            quotas.reserved(&QuotaReserved { levels: vec![level(payer)], at: Millis(0) });
        }
        assert_eq!(quotas.all().len(), PRUNE_MIN - 1);
        quotas.reserved(&QuotaReserved { levels: vec![level(1 << 100)], at: Millis(3_600_000) });
        assert_eq!(quotas.all().len(), 1);
        quotas.reserved(&QuotaReserved { levels: vec![level(7)], at: Millis(5) });
        assert_eq!((quotas.latest(), quotas.all().len()), (Millis(3_600_000), 2));
    }
}
