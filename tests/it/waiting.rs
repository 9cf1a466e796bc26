//! Who waits for the disk, and for whom: what is decided goes on while a sync takes long, and an answer leaves last.

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context as Polled, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use selfsame::engine::api::{Command, Context, Mode, Receipt};
use selfsame::engine::{Engine, EngineOptions, World};
use selfsame::error::{Error, Result};
use selfsame::host::{ManualClock, MemDisk, SeededRandom};
use selfsame::model::ids::Millis;
use tokio::sync::oneshot::Receiver;

use crate::engine::{record, tenant, upsert};
use crate::tricky_disk::TrickyDisk;

/// Longer than anything takes here, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(disk: &TrickyDisk, queue_max: usize) -> Arc<Engine> {
    let world = World {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Millis(1_800_000_000_000))),
        random: Arc::new(SeededRandom::new(7)),
    };
    let options = EngineOptions { workers: 2, queue_max, ..EngineOptions::new(Path::new("data")) };
    Engine::open(options, world).unwrap().0
}

/// Lets a held sync go on at the end of a test, failed or not: an engine that is dropped waits for it.
struct Released<'a>(&'a TrickyDisk);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

fn send(engine: &Engine, number: usize) -> Result<Receiver<Result<Receipt>>> {
    let json = format!(r#"{{"source":"crm","source_record_id":"{number}","name":"Person Number{number}"}}"#);
    let command = Command::Upsert { records: vec![record(&json)], mode: Mode::Merge, dry_run: false };
    engine.send(&tenant(), command, Context::default())
}

/// Somebody who appends and waits for the disk keeps nobody from deciding: with room for one in the queue, the third is
/// taken in only once the second was taken out.
#[test]
fn while_one_waits_for_the_disk_the_next_are_decided() {
    let disk = TrickyDisk::new(&MemDisk::new(), None);
    let engine = open(&disk, 1);
    let _released = Released(&disk);
    upsert(&engine, r#"{"source":"crm","source_record_id":"first","name":"First Person"}"#);
    disk.hold();
    let mut answers = vec![send(&engine, 0).unwrap()];
    let started = Instant::now();
    assert!(disk.wait_until_held(|| started.elapsed() > PATIENCE), "nothing is synced");
    for number in 1..4 {
        let answer = loop {
            match send(&engine, number) {
                Err(Error::Busy { .. }) if started.elapsed() < PATIENCE => std::thread::yield_now(),
                sent => break sent.expect("decided while the first waits for the disk"),
            }
        };
        answers.push(answer);
    }
    for answer in &mut answers {
        assert!(answer.try_recv().is_err(), "answered before it is durable");
    }
    disk.release();
    let seqs: Vec<u64> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap().seq.0).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    assert_eq!(engine.view(&tenant()).unwrap().seq().0, *seqs.last().unwrap());
}

/// What readers see at the very moment when somebody is told that the answer is there.
struct Seen {
    engine: Weak<Engine>,
    seq: AtomicU64,
}

impl Wake for Seen {
    fn wake(self: Arc<Self>) {
        if let Some(engine) = self.engine.upgrade() {
            self.seq.store(engine.view(&tenant()).unwrap().seq().0, Ordering::Release);
        }
    }
}

#[test]
fn who_has_the_answer_sees_the_write() {
    let disk = TrickyDisk::new(&MemDisk::new(), None);
    let engine = open(&disk, 64);
    let _released = Released(&disk);
    upsert(&engine, r#"{"source":"crm","source_record_id":"first","name":"First Person"}"#);
    for number in 0..20 {
        disk.hold();
        let seen = Arc::new(Seen { engine: Arc::downgrade(&engine), seq: AtomicU64::new(0) });
        let waker = Waker::from(Arc::clone(&seen));
        let mut answer = pin!(send(&engine, number).unwrap());
        let started = Instant::now();
        assert!(disk.wait_until_held(|| started.elapsed() > PATIENCE), "nothing is synced");
        assert!(answer.as_mut().poll(&mut Polled::from_waker(&waker)).is_pending());
        disk.release();
        while seen.seq.load(Ordering::Acquire) == 0 {
            assert!(started.elapsed() < PATIENCE, "nobody is told");
            std::thread::yield_now();
        }
        let Poll::Ready(receipt) = answer.as_mut().poll(&mut Polled::from_waker(&waker)) else { panic!("an answer") };
        let receipt = receipt.unwrap().unwrap();
        assert!(seen.seq.load(Ordering::Acquire) >= receipt.seq.0, "told before the view was there");
    }
}
