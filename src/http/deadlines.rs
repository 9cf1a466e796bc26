//! The deadlines of a connection's requests, and of whatever else is waited for, at little cost.
//!
//! hyper sets a deadline for each request's head and drops it as soon as the head is there, microseconds later. Each of tokio's
//! timers takes a lock and a place in a wheel and gives both back; that was a tenth of what we add to a look-up. [`Deadlines`]
//! keeps one timer for a connection: it is let run to the deadline that it was set for, and only when it rings is it looked up
//! whether that still counts, and set on to the one that does. [`within`] makes a timer only when there is something to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hyper::rt::{Sleep, Timer};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;

/// The timer of one connection.
#[derive(Clone)]
pub(super) struct Deadlines(Arc<Shared>);

struct Shared {
    /// Where it runs.
    on: Handle,
    running: Mutex<Option<Running>>,
}

impl Deadlines {
    /// One that runs there.
    pub(super) fn on(runtime: &Handle) -> Self {
        Self(Arc::new(Shared { on: runtime.clone(), running: Mutex::default() }))
    }
}

/// What rings.
struct Running {
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// Who is woken.
    waker: Waker,
}

impl Timer for Deadlines {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, timer: self.clone() })
    }

    fn now(&self) -> Instant {
        // The clock that the timer goes by: any other would drift from it in the days that a connection may live.
        tokio::time::Instant::now().into_std()
    }
}

/// Ready at its deadline.
struct Until {
    deadline: Instant,
    timer: Deadlines,
}

impl Sleep for Until {}

impl Until {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing in here leaves it half done.
        self.timer.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let mut running = self.running();
        let Running { sleep, waker } = running.get_or_insert_with(|| {
            let _on = self.timer.0.on.enter();
            Running { sleep: Box::pin(tokio::time::sleep_until(deadline)), waker: Waker::noop().clone() }
        });
        // It rings in time for this deadline and wakes this task: nothing to do.
        let rings = !sleep.is_elapsed() && sleep.deadline() <= deadline;
        if rings && waker.will_wake(context.waker()) {
            return Poll::Pending;
        }
        if !rings && sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        // Without a bound on what a task may do in one turn: beyond it the timer would say that it waits, and not note for whom.
        while unconstrained(sleep.as_mut()).poll_unpin(context).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        waker.clone_from(context.waker());
        Poll::Pending
    }
}

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late;

pin_project! {
    /// What [`within`] waits for.
    pub(super) struct Within<F> {
        #[pin]
        work: F,
        limit: Duration,
        timer: Option<Pin<Box<tokio::time::Sleep>>>,
    }
}

/// Waits for work, but not longer than a limit, which counts from when there is something to wait for: what is done at once needs
/// no timer, and has no room for one.
pub(super) fn within<F: Future>(limit: Duration, work: F) -> Within<F> {
    Within { work, limit, timer: None }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Late>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(done) = this.work.poll(context) {
            return Poll::Ready(Ok(done));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*this.limit)));
        timer.as_mut().poll(context).map(|()| Err(Late))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(60);

    fn in_runtime(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    /// Polls once: false, it is not time yet.
    async fn is_due(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        poll_fn(|context| Poll::Ready(sleep.as_mut().poll(context).is_ready())).await
    }

    #[test]
    fn a_deadline_counts_from_when_it_was_set_though_an_earlier_one_rings_first() {
        in_runtime(async {
            let timer = Deadlines::on(&Handle::current());
            let began = quanta::Instant::now();
            let mut of_head = timer.sleep(LIMIT);
            assert!(!is_due(&mut of_head).await);
            drop(of_head);
            // The head was there in time. Later the next one is waited for.
            tokio::time::sleep(LIMIT / 2).await;
            let mut of_next = timer.sleep(LIMIT);
            assert!(!is_due(&mut of_next).await);
            of_next.await;
            let took = began.elapsed();
            assert!(took >= LIMIT * 3 / 2, "{took:?}: it was over with the deadline of the head before");
            // The timer has rung and is set again.
            timer.sleep(LIMIT).await;
            assert!(began.elapsed() >= took + LIMIT);
        });
    }

    #[test]
    fn an_earlier_deadline_is_not_kept_waiting_by_a_later_one() {
        in_runtime(async {
            let timer = Deadlines::on(&Handle::current());
            let mut late = timer.sleep(LIMIT * 100);
            assert!(!is_due(&mut late).await);
            let began = quanta::Instant::now();
            timer.sleep(LIMIT).await;
            assert!((LIMIT..LIMIT * 50).contains(&began.elapsed()));
        });
    }

    /// A connection with much to read in one turn was never woken by its deadline.
    #[test]
    fn whoever_has_done_all_it_may_in_one_turn_is_woken_too() {
        in_runtime(async {
            let mut sleep = Deadlines::on(&Handle::current()).sleep(LIMIT);
            let mut is_first = true;
            let waiting = tokio::spawn(poll_fn(move |context| {
                if std::mem::take(&mut is_first) {
                    while Box::pin(tokio::task::coop::consume_budget()).poll_unpin(context).is_ready() {}
                }
                sleep.as_mut().poll(context)
            }));
            tokio::time::timeout(LIMIT * 50, waiting).await.expect("woken").unwrap();
        });
    }

    #[test]
    fn work_has_its_time_and_no_more() {
        in_runtime(async {
            assert_eq!(within(Duration::ZERO, async { 7 }).await, Ok(7), "what is done at once is never late");
            assert_eq!(within(LIMIT, std::future::pending::<()>()).await, Err(Late));
            for limit in [LIMIT * 50, Duration::MAX] {
                let slow = async {
                    tokio::time::sleep(LIMIT).await;
                    7
                };
                assert_eq!(within(limit, slow).await, Ok(7));
            }
        });
    }

    #[test]
    fn whoever_waits_last_is_woken() {
        in_runtime(async {
            let timer = Deadlines::on(&Handle::current());
            let mut first = timer.sleep(LIMIT);
            let elsewhere = Waker::noop();
            assert!(first.as_mut().poll(&mut Context::from_waker(elsewhere)).is_pending());
            assert!(first.as_mut().poll(&mut Context::from_waker(elsewhere)).is_pending());
            // As a task of its own: asked again when the bound is over, it would say that it is ready.
            let woken = tokio::time::timeout(LIMIT * 50, tokio::spawn(first)).await;
            assert!(woken.is_ok(), "the timer woke who waited before");
        });
    }
}
