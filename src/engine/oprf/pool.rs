//! The threads that evaluate: at most one fewer than there are cores, whoever asks.
//!
//! A request of a thousand elements costs as much as a hundred thousand exact look-ups, and the first build of a large set
//! takes minutes. Both go through this one line, so that matches always have a core to themselves, and these threads step back
//! where something else wants theirs: a match takes less than a millisecond, and a thousand elements thirty. What builds sets
//! puts in small pieces one after the other, so that a request behind it waits for milliseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::host::let_others_go_first;

/// Requests that may wait for each thread.
const WAITING_PER_THREAD: usize = 32;
/// What a caller is told to wait when the line is full.
const LINE_FULL_RETRY_MS: u64 = 250;

type Work = Box<dyn FnOnce() + Send>;

/// The threads and the line before them. They start with the first work and end with the pool.
pub struct Pool {
    threads: usize,
    line: OnceLock<Sender<Work>>,
}

impl Pool {
    /// As many threads as there are cores, but one.
    #[must_use]
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { threads: cores.saturating_sub(1).max(1), line: OnceLock::new() }
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    fn line(&self) -> &Sender<Work> {
        self.line.get_or_init(|| {
            let (line, work) = bounded::<Work>(self.threads * WAITING_PER_THREAD);
            for number in 0..self.threads {
                let work = work.clone();
                let thread = std::thread::Builder::new().name(format!("oprf-{number}"));
                let life = move || {
                    let_others_go_first();
                    run(&work);
                };
                if let Err(error) = thread.spawn(life) {
                    tracing::error!(%error, "a thread for oblivious look-ups could not be started");
                }
            }
            line
        })
    }

    /// Runs work and waits for it without holding a thread. The work goes on when the caller has gone.
    ///
    /// # Errors
    /// `Busy` when too many wait already, and when the work panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move || drop(reply.send(work())));
        self.line().try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => busy(),
        })?;
        answer.await.map_err(|_| busy())
    }

    /// Runs pieces of work, at most one a thread at a time, and gives their results in no special order. For threads outside
    /// of a runtime. `None`: a piece panicked.
    pub fn run_all<T: Send + 'static>(&self, pieces: Vec<Box<dyn FnOnce() -> T + Send>>) -> Option<Vec<T>> {
        let (send, results) = bounded(self.threads);
        let (count, mut done) = (pieces.len(), Vec::with_capacity(pieces.len()));
        for (under_way, piece) in pieces.into_iter().enumerate() {
            if under_way >= self.threads {
                done.push(results.recv().ok()??);
            }
            let send = send.clone();
            // A piece that panics says so, else whoever waits would wait for ever.
            let work = move || drop(send.send(catch_unwind(AssertUnwindSafe(piece)).ok()));
            self.line().send(Box::new(work)).ok()?;
        }
        while done.len() < count {
            done.push(results.recv().ok()??);
        }
        Some(done)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

fn busy() -> Error {
    Error::Busy { retry_after_ms: LINE_FULL_RETRY_MS }
}

fn run(work: &Receiver<Work>) {
    while let Ok(work) = work.recv() {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("an oblivious look-up panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn pool(threads: usize) -> Arc<Pool> {
        Arc::new(Pool { threads, line: OnceLock::new() })
    }

    #[test]
    fn all_pieces_are_done_by_no_more_threads_than_there_are() {
        let pool = pool(2);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let piece = |number: usize| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            Box::new(move || {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                at_once.fetch_sub(1, Ordering::SeqCst);
                number
            }) as Box<dyn FnOnce() -> usize + Send>
        };
        let mut done = pool.run_all((0..50).map(piece).collect()).unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 2);
        let panics: Box<dyn FnOnce() -> i32 + Send> = Box::new(|| panic!("as asked"));
        assert!(pool.run_all(vec![panics]).is_none());
        assert_eq!(pool.run_all(vec![Box::new(|| 7) as Box<dyn FnOnce() -> i32 + Send>]), Some(vec![7]), "it goes on");
    }

    #[test]
    fn a_full_line_refuses_at_once() {
        let pool = pool(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hold, held) = bounded::<()>(0);
        let blocked: Vec<_> = (0..=WAITING_PER_THREAD)
            .map(|_| {
                let held = held.clone();
                pool.line()
                    .send(Box::new(move || {
                        let _ = held.recv();
                    }))
                    .unwrap();
            })
            .collect();
        // One runs and the line is full, as soon as the thread has taken the first.
        while !pool.line().is_full() {
            let held = held.clone();
            let _ = pool.line().try_send(Box::new(move || {
                let _ = held.recv();
            }));
        }
        assert!(matches!(runtime.block_on(pool.run(|| ())), Err(Error::Busy { .. })));
        drop((hold, blocked));
        // The line empties as fast as the thread gets its turns.
        let answered = loop {
            match runtime.block_on(pool.run(|| 5)) {
                Err(_) => std::thread::yield_now(),
                Ok(answered) => break answered,
            }
        };
        assert_eq!(answered, 5);
    }
}
