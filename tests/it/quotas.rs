//! Quotas of look-ups: whatever crashes, restarts, clocks and callers do, never more is answered than the formula allows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use selfsame::discovery::quota::{Family, UNITS_PER_IDENTIFIER};
use selfsame::engine::discovery::quota::Repeat;
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::Error;
use selfsame::host::{Clock, ManualClock, MemDisk, Random, SeededRandom};
use selfsame::model::ids::Millis;
use selfsame::model::settings::Discovery;

use crate::lookups::{name, settle};
use crate::simulate::without_snapshots;

const START: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// A disk, a clock that goes on over restarts, and a runtime.
struct Life {
    disk: MemDisk,
    clock: Arc<ManualClock>,
    runtime: tokio::runtime::Runtime,
    starts: u64,
}

impl Life {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        Self { disk: MemDisk::new(), clock: Arc::new(ManualClock::new(Millis(START))), runtime, starts: 0 }
    }

    fn open(&mut self) -> Arc<Engine> {
        self.starts += 1;
        let world = World {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(1000 + self.starts)),
        };
        let options = EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::new(Path::new("data")) };
        Engine::open(options, world).unwrap().0
    }

    fn charge(&self, engine: &Engine, payer: &str, n: u32) -> Result<Option<u64>, u64> {
        match self.runtime.block_on(engine.charge(&name("app"), Some(payer), Family::Lookup, n)) {
            Ok(charge) => Ok(charge.remaining),
            Err(Error::Quota { retry_after_s }) => Err(retry_after_s),
            Err(other) => panic!("{other}"),
        }
    }
}

fn limits(engine: &Engine, own: (u32, u32), all: Option<(u32, u32)>) {
    let discovery = Discovery {
        users: Some("app".into()),
        quota_new_max: own.0,
        quota_leak_per_hour: own.1,
        tenant_quota_new_max: all.map(|all| all.0),
        tenant_quota_leak_per_hour: all.map(|all| all.1),
        ..Discovery::default()
    };
    settle(engine, "app", discovery).unwrap();
}

#[test]
fn a_restart_rounds_up_and_forgets_nothing() {
    let mut life = Life::new();
    let engine = life.open();
    limits(&engine, (640, 2), None);
    assert_eq!(life.charge(&engine, "a", 600), Ok(Some(40)));
    assert_eq!(life.charge(&engine, "b", 600), Ok(Some(40)), "another payer has a quota of their own");
    assert_eq!(life.charge(&engine, "a", 41), Err(1800), "one too many: half an hour");
    // Reserved was 1/64 more than was used; a restart takes that for used.
    life.disk = life.disk.crash(1);
    drop(engine);
    let engine = life.open();
    assert_eq!(life.charge(&engine, "a", 31), Err(1800));
    assert_eq!(life.charge(&engine, "a", 30), Ok(Some(0)));
    engine.snapshot().unwrap();
    let before = engine.view(&name("app")).unwrap().fingerprint();
    drop(engine);
    for disk in [without_snapshots(&life.disk), life.disk.clone()] {
        life.disk = disk;
        let engine = life.open();
        assert_eq!(engine.view(&name("app")).unwrap().fingerprint(), before);
        assert_eq!(life.charge(&engine, "a", 1), Err(1800));
        life.clock.set(Millis(START - 100 * HOUR));
        assert_eq!(life.charge(&engine, "a", 1), Err(1800), "set back");
        life.clock.set(Millis(START));
    }
    let engine = life.open();
    life.clock.set(Millis(START + HOUR));
    assert_eq!((life.charge(&engine, "a", 2), life.charge(&engine, "a", 1)), (Ok(Some(0)), Err(1800)));
}

#[test]
fn many_answers_cost_few_writes() {
    let mut life = Life::new();
    let engine = life.open();
    limits(&engine, (5000, 2), None);
    let before = engine.view(&name("app")).unwrap().seq().0;
    for left in (4000..5000).rev() {
        assert_eq!(life.charge(&engine, "a", 1), Ok(Some(left)));
    }
    let writes = engine.view(&name("app")).unwrap().seq().0 - before;
    assert_eq!(writes, 1000_u64.div_ceil(5000 / 64 + 1), "one for each {} answers", 5000 / 64 + 1);
}

#[test]
fn a_ceiling_bounds_all_payers_and_a_refusal_charges_none() {
    let mut life = Life::new();
    let engine = life.open();
    limits(&engine, (100, 0), Some((150, 1)));
    assert_eq!(life.charge(&engine, "a", 100), Ok(Some(0)));
    assert_eq!(life.charge(&engine, "b", 51), Err(3600));
    assert_eq!(life.charge(&engine, "b", 50), Ok(Some(50)));
    let app = name("app");
    let nobody = engine.charge(&app, None, Family::Lookup, 1);
    assert!(matches!(life.runtime.block_on(nobody), Err(Error::Quota { .. })), "nor does a back end get past it");
    let other = engine.charge(&app, Some("b"), Family::Oprf, 0);
    assert_eq!(life.runtime.block_on(other).ok().unwrap().remaining, Some(100), "each family has a quota of its own");
}

#[test]
fn a_repeat_is_free_for_ten_minutes_and_a_refund_is_as_if_nothing_was() {
    let mut life = Life::new();
    let engine = life.open();
    limits(&engine, (100, 0), None);
    let once = |key: &str, body: u8, n: u32| {
        let repeat = Repeat { caller: "api", key, body: [body; 32] };
        life.runtime.block_on(engine.charge_once(&name("app"), Some("a"), Family::Lookup, n, Some(repeat)))
    };
    let charged = |key: &str, body: u8, n: u32| once(key, body, n).map(|charge| (charge.charged, charge.remaining));
    assert_eq!(charged("k1", 1, 60).ok(), Some((60, Some(40))));
    assert_eq!(charged("k1", 1, 60).ok(), Some((0, Some(40))));
    assert!(matches!(charged("k1", 2, 60), Err(Error::Invalid { field, .. }) if field == "idempotency_key"));
    assert!(matches!(charged("k2", 1, 60), Err(Error::Quota { .. })));
    assert!(matches!(charged("k2", 1, 60), Err(Error::Quota { .. })), "a refusal is not remembered as paid");
    life.clock.advance(Duration::from_secs(601));
    assert!(matches!(charged("k1", 1, 60), Err(Error::Quota { .. })));
    let charge = once("k3", 1, 40).ok().unwrap();
    assert_eq!(charge.remaining, Some(0));
    charge.refund();
    assert_eq!(charged("k3", 1, 40).ok(), Some((40, Some(0))), "after a refund the same call pays");
}

/// What was answered to a payer, and what the formula allows.
#[derive(Default)]
struct Tally {
    answered: [AtomicU64; 3],
    all: AtomicU64,
}

/// One life: rounds of 64 callers, some of which a power cut ends in the middle, clocks that jump, starts anew.
fn live(seed: u64) {
    let mut life = Life::new();
    let coins = SeededRandom::new(seed);
    let coin = |below: u64| {
        let mut bytes = [0; 8];
        coins.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    };
    let (own, all) = ((200, 3), (450, 5));
    let mut engine = life.open();
    limits(&engine, own, Some(all));
    let (tally, mut latest) = (Arc::new(Tally::default()), START);
    let mut refused = 0;
    for round in 0..24 {
        let cut = Arc::new(AtomicBool::new(false));
        let calls: Vec<_> = (0..64)
            .map(|_| {
                let (engine, tally, cut) = (Arc::clone(&engine), Arc::clone(&tally), Arc::clone(&cut));
                let (payer, n) = (usize::try_from(coin(3)).unwrap(), u32::try_from(1 + coin(4)).unwrap());
                life.runtime.spawn(async move {
                    let charge = engine.charge(&name("app"), Some(["a", "b", "c"][payer]), Family::Lookup, n).await;
                    // What comes after the power cut reaches nobody.
                    if charge.is_ok() && !cut.load(Ordering::SeqCst) {
                        tally.answered[payer].fetch_add(u64::from(n), Ordering::SeqCst);
                        tally.all.fetch_add(u64::from(n), Ordering::SeqCst);
                    }
                    u64::from(matches!(charge, Err(Error::Quota { .. })))
                })
            })
            .collect();
        let crashes = coin(2) == 0;
        if crashes {
            (0..coin(4000)).for_each(|_| std::hint::spin_loop());
            cut.store(true, Ordering::SeqCst);
            life.disk = life.disk.crash(seed * 1000 + round);
        }
        for call in calls {
            refused += life.runtime.block_on(call).unwrap();
        }
        if crashes {
            drop(engine);
            engine = life.open();
        }
        let now = life.clock.now().0;
        let step = i64::try_from(coin(20)).unwrap() - 6;
        life.clock.set(Millis(now + step * HOUR / 2));
        latest = latest.max(life.clock.now().0);
        let passed = u64::try_from(latest - START).unwrap();
        let most = |limit: (u32, u32)| u64::from(limit.0) * UNITS_PER_IDENTIFIER + passed * u64::from(limit.1);
        for answered in &tally.answered {
            let answered = answered.load(Ordering::SeqCst);
            assert!(answered * UNITS_PER_IDENTIFIER <= most(own), "seed {seed} round {round}: {answered}");
        }
        let answered = tally.all.load(Ordering::SeqCst);
        assert!(answered * UNITS_PER_IDENTIFIER <= most(all), "seed {seed} round {round}: {answered} in all");
    }
    assert!(refused > 100, "seed {seed}: the quotas were reached");
    assert!(tally.all.load(Ordering::SeqCst) > 200, "seed {seed}: and not by refusing everybody");
}

#[test]
fn no_interleaving_answers_more_than_the_formula() {
    (1..=4).for_each(live);
}
