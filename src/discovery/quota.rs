//! Quotas of look-ups: leaky buckets, charged before any work, which a crash can only fill.
//!
//! A bucket holds `new_max` identifiers and leaks `leak_per_hour`; a call that does not fit is refused as a whole. What a
//! payer is answered in any time `t` is therefore at most `new_max + leak_per_hour * t`.
//!
//! Levels are exact in memory. What is written is a level *reserved* ahead: before an answer leaves, a reserved level that
//! covers it is durable, and a restart goes on from there, so that it rounds up and never forgets. Reserving some percent of
//! a bucket at a time makes that one write for many answers. Time comes from the caller and never runs backwards here: a
//! clock that is set back stops the leak until it has caught up.

use std::collections::HashMap;

/// Units of a level for one identifier: with as many as an hour has milliseconds, a leak per hour is whole units per ms.
pub const UNITS_PER_IDENTIFIER: u64 = 3_600_000;
/// A reservation goes beyond what is needed by the bucket's size over this.
const AHEAD: u64 = 64;
/// Seconds that a caller is told to wait at most, and where nothing leaks: a year.
const RETRY_SECONDS_MAX: u64 = 365 * 24 * 3600;
/// Buckets in memory from which those that are as good as new are dropped.
const PRUNE_MIN: usize = 4096;

/// What a quota is of. Each way to look up has its own, so that one cannot use up another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// All ways together: the ceiling of a tenant.
    All = 1,
    /// Exact look-ups.
    Lookup = 2,
    /// Matrix look-ups.
    Matrix = 3,
    /// Oblivious evaluations.
    Oprf = 4,
}

/// Whose bucket of what: family, and a keyed digest of the payer.
pub type Key = (u8, u128);

/// The size of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// New identifiers that it holds.
    pub new_max: u32,
    /// Identifiers an hour that leak out.
    pub leak_per_hour: u32,
}

impl Limit {
    fn units(self) -> u64 {
        u64::from(self.new_max) * UNITS_PER_IDENTIFIER
    }
}

/// How full a bucket is as of a moment, and how fast it has leaked since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In 1/3,600,000 identifiers.
    pub used: u64,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Identifiers an hour.
    pub leak_per_hour: u32,
}

impl Level {
    /// How full it is at a later moment.
    #[must_use]
    pub fn at(&self, now_ms: i64) -> u64 {
        let passed = u64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(0);
        self.used.saturating_sub(passed.saturating_mul(u64::from(self.leak_per_hour)))
    }

    fn moved(&self, now_ms: i64, leak_per_hour: u32) -> Self {
        Self { used: self.at(now_ms), at_ms: now_ms.max(self.at_ms), leak_per_hour }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    used: Level,
    reserved: Level,
}

impl Bucket {
    fn is_covered(&self, now_ms: i64) -> bool {
        self.used.at(now_ms) <= self.reserved.at(now_ms)
    }
}

/// There is no room: nothing was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Seconds after which as much fits, if nothing else is charged.
    pub retry_after_s: u64,
}

/// What a charge left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// New identifiers that the first of the buckets has room for; missing: none was named.
    pub remaining: Option<u64>,
    /// Whether what is durable covers it; otherwise a [`Book::reservation`] must be durable before the answer leaves.
    pub is_covered: bool,
}

/// All buckets of a tenant.
#[derive(Debug, Default)]
pub struct Book {
    buckets: HashMap<Key, Bucket>,
    latest_ms: i64,
    prune_at: usize,
}

impl Book {
    /// A book whose time goes on from `latest_ms`, the latest that was ever written.
    #[must_use]
    pub fn new(latest_ms: i64) -> Self {
        Self { latest_ms, ..Self::default() }
    }

    /// Charges `n` new identifiers to all of these buckets, or to none. `restore` gives what is durable of a bucket that is
    /// not in memory.
    ///
    /// # Errors
    /// [`Refused`] when one of them has no room for all of them.
    pub fn charge(
        &mut self,
        wanted: &[(Key, Limit)],
        n: u32,
        now_ms: i64,
        restore: &dyn Fn(Key) -> Option<Level>,
    ) -> Result<Granted, Refused> {
        self.latest_ms = self.latest_ms.max(now_ms);
        let now = self.latest_ms;
        let cost = u64::from(n) * UNITS_PER_IDENTIFIER;
        for (key, limit) in wanted {
            let bucket = self.buckets.entry(*key).or_insert_with(|| {
                let durable = restore(*key).unwrap_or_default();
                Bucket { used: durable, reserved: durable }
            });
            bucket.used = bucket.used.moved(now, limit.leak_per_hour);
        }
        for (key, limit) in wanted {
            let used = self.buckets.get(key).map_or(0, |bucket| bucket.used.used);
            let over = used.saturating_add(cost).saturating_sub(limit.units());
            if over > 0 && n > 0 {
                return Err(Refused { retry_after_s: wait(over, *limit, n) });
            }
        }
        let mut granted = Granted { remaining: None, is_covered: true };
        for (key, limit) in wanted {
            let Some(bucket) = self.buckets.get_mut(key) else { continue };
            bucket.used.used += cost;
            let left = limit.units().saturating_sub(bucket.used.used) / UNITS_PER_IDENTIFIER;
            granted.remaining.get_or_insert(left);
            granted.is_covered &= bucket.is_covered(now);
        }
        self.prune();
        Ok(granted)
    }

    /// Whether everything that was used of these buckets is covered by what is durable.
    #[must_use]
    pub fn is_covered(&self, keys: &[Key]) -> bool {
        keys.iter().filter_map(|key| self.buckets.get(key)).all(|one| one.is_covered(self.latest_ms))
    }

    /// The levels that would cover what was used of these buckets, and some more; only of those that are not covered. All
    /// are as of one moment. Once they are durable, tell [`Book::reserved`].
    #[must_use]
    pub fn reservation(&self, wanted: &[(Key, Limit)]) -> Vec<(Key, Level)> {
        let now = self.latest_ms;
        let open = wanted.iter().filter_map(|(key, limit)| Some((key, limit, self.buckets.get(key)?)));
        let open = open.filter(|(_, _, bucket)| !bucket.is_covered(now));
        open.map(|(key, limit, bucket)| {
            let level = bucket.used.moved(now, bucket.used.leak_per_hour);
            let ahead = level.used.saturating_add(limit.units() / AHEAD).min(limit.units());
            (*key, Level { used: ahead.max(level.used), ..level })
        })
        .collect()
    }

    /// Takes in that these levels are durable.
    pub fn reserved(&mut self, levels: &[(Key, Level)]) {
        let now = self.latest_ms;
        for (key, level) in levels {
            if let Some(bucket) = self.buckets.get_mut(key)
                && level.at(now) > bucket.reserved.at(now)
            {
                bucket.reserved = *level;
            }
        }
    }

    /// Gives back what was charged for an answer that failed by our fault.
    pub fn refund(&mut self, keys: &[Key], n: u32) {
        for key in keys {
            if let Some(bucket) = self.buckets.get_mut(key) {
                bucket.used.used = bucket.used.used.saturating_sub(u64::from(n) * UNITS_PER_IDENTIFIER);
            }
        }
    }

    /// Drops buckets that are empty in memory and on disk.
    fn prune(&mut self) {
        if self.buckets.len() < self.prune_at.max(PRUNE_MIN) {
            return;
        }
        let now = self.latest_ms;
        self.buckets.retain(|_, one| one.used.at(now) > 0 || one.reserved.at(now) > 0);
        self.prune_at = self.buckets.len() * 2;
    }
}

/// Seconds until `over` units have leaked; what will never fit is told the longest wait.
fn wait(over: u64, limit: Limit, n: u32) -> u64 {
    if limit.leak_per_hour == 0 || n > limit.new_max {
        return RETRY_SECONDS_MAX;
    }
    let units_per_second = u64::from(limit.leak_per_hour) * 1000;
    over.div_ceil(units_per_second).clamp(1, RETRY_SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;
    const KEY: Key = (2, 7);
    const LIMIT: Limit = Limit { new_max: 100, leak_per_hour: 2 };

    fn nothing(_: Key) -> Option<Level> {
        None
    }

    #[test]
    fn a_bucket_fills_refuses_and_leaks() {
        let mut book = Book::default();
        let charge = |book: &mut Book, n, now| {
            book.charge(&[(KEY, LIMIT)], n, now, &nothing).map(|granted| granted.remaining.unwrap())
        };
        assert_eq!(charge(&mut book, 60, 0), Ok(40));
        assert_eq!(charge(&mut book, 41, 0), Err(Refused { retry_after_s: 1800 }));
        assert_eq!(charge(&mut book, 40, 0), Ok(0));
        assert_eq!(charge(&mut book, 1, 0), Err(Refused { retry_after_s: 1800 }));
        assert_eq!(charge(&mut book, 1, HOUR / 2 - 1), Err(Refused { retry_after_s: 1 }));
        assert_eq!(charge(&mut book, 1, HOUR / 2), Ok(0));
        assert_eq!(charge(&mut book, 101, 1000 * HOUR), Err(Refused { retry_after_s: RETRY_SECONDS_MAX }));
        assert_eq!(charge(&mut book, 100, 1000 * HOUR), Ok(0));
        assert_eq!(charge(&mut book, 0, 1000 * HOUR), Ok(0));
    }

    #[test]
    fn a_clock_set_back_refunds_nothing() {
        let mut book = Book::default();
        let mut charge = |n, now| book.charge(&[(KEY, LIMIT)], n, now, &nothing).is_ok();
        assert!(charge(100, 10 * HOUR));
        assert!(!charge(1, 0), "back");
        assert!(!charge(1, 10 * HOUR), "and forth again");
        assert!(charge(2, 11 * HOUR));
    }

    #[test]
    fn all_buckets_are_charged_or_none() {
        let mut book = Book::default();
        let all = ((1, 0), Limit { new_max: 10, leak_per_hour: 0 });
        assert!(book.charge(&[(KEY, LIMIT), all], 8, 0, &nothing).is_ok());
        assert_eq!(book.charge(&[(KEY, LIMIT), all], 8, 0, &nothing).unwrap_err().retry_after_s, RETRY_SECONDS_MAX);
        assert_eq!(book.charge(&[(KEY, LIMIT)], 92, 0, &nothing).unwrap().remaining, Some(0), "8 were charged, not 16");
        book.refund(&[KEY], 92);
        assert_eq!(book.charge(&[(KEY, LIMIT)], 90, 0, &nothing).unwrap().remaining, Some(2));
    }

    #[test]
    fn a_reservation_covers_some_answers_and_a_restart_begins_there() {
        let limit = Limit { new_max: 640, leak_per_hour: 2 };
        let mut book = Book::default();
        assert!(!book.charge(&[(KEY, limit)], 1, 0, &nothing).unwrap().is_covered);
        let reserve = book.reservation(&[(KEY, limit)]);
        assert_eq!(reserve, [(KEY, Level { used: 11 * UNITS_PER_IDENTIFIER, at_ms: 0, leak_per_hour: 2 })]);
        assert!(!book.is_covered(&[KEY]));
        book.reserved(&reserve);
        assert!(book.is_covered(&[KEY]));
        for _ in 0..10 {
            assert!(book.charge(&[(KEY, limit)], 1, 0, &nothing).unwrap().is_covered);
        }
        assert!(book.reservation(&[(KEY, limit)]).is_empty());
        assert!(!book.charge(&[(KEY, limit)], 1, 0, &nothing).unwrap().is_covered);
        let mut restarted = Book::new(0);
        let restore = |_: Key| Some(reserve[0].1);
        let granted = restarted.charge(&[(KEY, limit)], 1, 0, &restore).unwrap();
        assert_eq!((granted.remaining, granted.is_covered), (Some(640 - 12), false));
    }

    #[test]
    fn what_leaks_faster_from_now_on_has_not_leaked_faster_before() {
        let mut book = Book::default();
        let slow = Limit { new_max: 100, leak_per_hour: 0 };
        let fast = Limit { new_max: 100, leak_per_hour: 1000 };
        assert!(book.charge(&[(KEY, slow)], 100, 0, &nothing).is_ok());
        assert!(book.charge(&[(KEY, fast)], 1, HOUR, &nothing).is_err());
        assert!(book.charge(&[(KEY, fast)], 100, 2 * HOUR, &nothing).is_ok());
    }

    /// One step of a life: time passes (or is set back), somebody asks, the process crashes and starts again.
    #[derive(Clone, Debug)]
    enum Step {
        Wait(i64),
        Ask(u32),
        Crash,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (-3 * HOUR..6 * HOUR).prop_map(Step::Wait),
            (1_u32..40).prop_map(Step::Ask),
            (1_u32..4).prop_map(Step::Ask),
            Just(Step::Crash),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order, never more is answered than the formula allows.
        #[test]
        fn never_more_than_the_formula(steps in proptest::collection::vec(step(), 1..200)) {
            let (mut book, mut durable, mut now) = (Book::default(), None::<Level>, 0_i64);
            let (mut latest, mut answered) = (0_i64, 0_u64);
            for step in steps {
                match step {
                    Step::Wait(ms) => now += ms,
                    Step::Crash => book = Book::new(durable.map_or(0, |level| level.at_ms)),
                    Step::Ask(n) => {
                        latest = latest.max(now);
                        if let Ok(granted) = book.charge(&[(KEY, LIMIT)], n, now, &|_| durable) {
                            let levels = book.reservation(&[(KEY, LIMIT)]);
                            prop_assert_eq!(granted.is_covered, levels.is_empty());
                            for (_, level) in &levels {
                                durable = Some(*level);
                            }
                            book.reserved(&levels);
                            prop_assert!(book.is_covered(&[KEY]));
                            answered += u64::from(n);
                        }
                    }
                }
                let leaked = u64::try_from(latest).unwrap() * u64::from(LIMIT.leak_per_hour);
                prop_assert!(answered * UNITS_PER_IDENTIFIER <= LIMIT.units() + leaked, "{answered} by {latest}");
            }
        }
    }
}
