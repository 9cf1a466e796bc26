//! How often somebody may do something: a bucket that leaks, by name, in memory.
//!
//! Each name has one number, the moment until which its past requests have used up its allowance (the generic cell rate
//! algorithm; ITU-T I.371). The time is given in, so that tests can set it. Whoever has rested long enough is forgotten
//! when room is needed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::access::Rate;

/// Buckets by name.
#[derive(Debug)]
pub struct Buckets<K> {
    /// Until when each name has used up its allowance.
    until: Mutex<HashMap<K, Duration>>,
    names_max: usize,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Buckets for at most so many names at once. Names beyond that are refused until somebody has rested.
    pub fn new(names_max: usize) -> Self {
        Self { until: Mutex::default(), names_max }
    }

    /// Counts one, if it is allowed.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, name: &K, rate: Rate, now: Duration) -> Result<(), Duration> {
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.get(name).copied().unwrap_or_default().max(now);
        wait(until, rate, now)?;
        if !all.contains_key(name) && all.len() >= self.names_max {
            all.retain(|_, until| *until > now);
            if all.len() >= self.names_max {
                return Err(step(rate));
            }
        }
        all.insert(name.clone(), until + step(rate));
        Ok(())
    }

    /// Whether one would be allowed; counts nothing.
    ///
    /// # Errors
    /// How long to wait.
    pub fn look(&self, name: &K, rate: Rate, now: Duration) -> Result<(), Duration> {
        let all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        wait(all.get(name).copied().unwrap_or_default().max(now), rate, now)
    }
}

/// What one request uses up.
fn step(rate: Rate) -> Duration {
    Duration::from_secs(1) / rate.per_second.max(1)
}

fn wait(until: Duration, rate: Rate, now: Duration) -> Result<(), Duration> {
    let ahead = step(rate) * rate.burst.max(1).saturating_sub(1);
    match until.saturating_sub(now).checked_sub(ahead) {
        Some(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 2, burst: 3 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(10);
        for ms in [0, 0, 0] {
            assert_eq!(buckets.take(&1, RATE, at(ms)), Ok(()));
        }
        assert_eq!(buckets.take(&1, RATE, at(0)), Err(at(500)));
        assert_eq!(buckets.look(&1, RATE, at(499)), Err(at(1)));
        assert_eq!(buckets.take(&2, RATE, at(0)), Ok(()), "another name has its own");
        assert_eq!(buckets.take(&1, RATE, at(500)), Ok(()));
        assert_eq!(buckets.take(&1, RATE, at(500)), Err(at(500)));
        for _ in 0..3 {
            assert_eq!(buckets.take(&1, RATE, at(60_000)), Ok(()), "a rest brings the burst back, and no more");
        }
        assert_eq!(buckets.take(&1, RATE, at(60_000)), Err(at(500)));
    }

    #[test]
    fn names_have_a_bound_and_those_that_rested_go() {
        let buckets = Buckets::new(2);
        assert!(buckets.take(&1, RATE, at(0)).is_ok() && buckets.take(&2, RATE, at(0)).is_ok());
        assert!(buckets.take(&3, RATE, at(0)).is_err());
        assert!(buckets.take(&3, RATE, at(500)).is_ok());
    }

    proptest! {
        /// Of any requests at any times at most `burst + rate * time` get through, and a waiting time that was told is enough.
        #[test]
        fn never_more_than_the_formula(steps in prop::collection::vec(0_u64..800, 1..200)) {
            let buckets = Buckets::new(1);
            let (mut now, mut passed) = (0, 0);
            for step in steps {
                now += step;
                match buckets.take(&(), RATE, at(now)) {
                    Ok(()) => passed += 1,
                    Err(wait) => prop_assert!(buckets.look(&(), RATE, at(now) + wait).is_ok()),
                }
            }
            prop_assert!(passed <= 3 + now * 2 / 1000, "{passed} in {now} ms");
        }
    }
}
