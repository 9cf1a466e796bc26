//! What time it is: the wall clock for what is stored, a monotonic one for what is measured.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::ids::Millis;

/// The time, as the rest of the crate may see it.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970; never goes backwards within one process.
    fn now(&self) -> Millis;

    /// Time since some fixed moment of this process, for measuring durations only.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock. When the machine's time is set back, `now` stands still until it has caught up.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    latest_ms: AtomicI64,
}

impl SystemClock {
    /// A clock that starts measuring now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "host is the one place that asks the system for the time")]
    pub fn new() -> Self {
        Self { started: Instant::now(), latest_ms: AtomicI64::new(i64::MIN) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "host is the one place that asks the system for the time")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let read_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let before = self.latest_ms.fetch_max(read_ms, Ordering::Relaxed);
        Millis(before.max(read_ms))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that a test moves by hand. `monotonic` is the time passed since it was made.
#[derive(Debug)]
pub struct ManualClock {
    start_ms: i64,
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now` until it is moved.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self { start_ms: now.0, now_ms: AtomicI64::new(now.0) }
    }

    /// Shows `now` from here on; a time in the past is allowed, to test for it.
    pub fn set(&self, now: Millis) {
        self.now_ms.store(now.0, Ordering::SeqCst);
    }

    /// Moves on by `by`.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let passed_ms = self.now_ms.load(Ordering::SeqCst).saturating_sub(self.start_ms);
        Duration::from_millis(u64::try_from(passed_ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_never_goes_backwards() {
        let clock = SystemClock::new();
        let mut before = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
        clock.latest_ms.store(before.0 + 60_000, Ordering::Relaxed);
        assert_eq!(clock.now(), Millis(before.0 + 60_000), "a clock set back stands still");
        assert!(before.0 > 1_700_000_000_000, "milliseconds, not seconds");
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(Millis(1_000));
        assert_eq!(clock.now(), Millis(1_000));
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now(), clock.monotonic()), (Millis(3_000), Duration::from_secs(2)));
        clock.set(Millis(500));
        assert_eq!((clock.now(), clock.monotonic()), (Millis(500), Duration::ZERO));
    }
}
