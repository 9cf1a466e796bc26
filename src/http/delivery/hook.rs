//! One webhook's task: batches in order, retries with growing waits, dead letters, and notes of how far it came.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::api::{Command, Context, Report, WebhookCommand};
use crate::engine::webhooks::{DeadLetter, Webhook};
use crate::engine::{Engine, View};
use crate::error::Error;
use crate::http::delivery::body::Delivery;
use crate::http::delivery::client::Failed;
use crate::http::delivery::{Deliverer, Places, Target};
use crate::model::event::FeedPlace;
use crate::model::ids::{TenantName, WebhookId};

/// Entries of one delivery at most.
const BATCH_MAX: usize = 100;
/// Entries looked at in one go, wanted or not.
const SCAN_MAX: usize = 1000;
/// How far it came is written down when this many entries or this much time has passed since the last note. The most that
/// a crash makes it repeat.
const NOTE_ENTRIES: u64 = 1000;
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// The longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// An attempt that takes longer is a slow one.
const SLOW: Duration = Duration::from_secs(1);
/// Time for the answer to what is on its way when the server stops.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// Wait before a report that a full queue refused is sent again.
const REPORT_RETRY: Duration = Duration::from_millis(200);
/// Who reports, in the journal.
const ACTOR: &str = "webhooks";

/// A webhook's task.
pub(super) struct Courier {
    deliverer: Deliverer,
    engine: Arc<Engine>,
    tenant: TenantName,
    places: Places,
    /// The last attempt failed or took long.
    slow: bool,
    id: WebhookId,
    /// The last entry that was delivered or is not wanted.
    through: FeedPlace,
    /// What of it is written down, how many entries have passed since, and when that was.
    noted: FeedPlace,
    passed: u64,
    noted_at: Instant,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Failed(String),
    /// The receiver wants no more, for good.
    Gone,
}

/// What a task does next.
enum Next {
    /// A dead letter that somebody wants sent again, if anything of it is left.
    Again(Arc<DeadLetter>, Option<Delivery>),
    /// The next entries.
    Batch(Delivery),
    /// Nothing up to here is wanted.
    Unwanted(FeedPlace),
    /// Everything is delivered.
    Nothing,
}

/// The task ends.
struct End;

impl Courier {
    pub(super) fn new(
        deliverer: &Deliverer,
        engine: &Arc<Engine>,
        tenant: &TenantName,
        places: Places,
        hook: &Webhook,
    ) -> Self {
        Self {
            deliverer: deliverer.clone(),
            engine: Arc::clone(engine),
            tenant: tenant.clone(),
            places,
            slow: false,
            id: hook.id,
            through: hook.through,
            noted: hook.through,
            passed: 0,
            noted_at: Instant::now(),
        }
    }

    /// Delivers until the webhook is gone or the server stops; then writes down how far it came.
    pub(super) async fn run(mut self) {
        let Ok(mut published) = self.engine.subscribe(&self.tenant) else { return };
        while self.step(&mut published).await.is_ok() {}
        self.note().await;
    }

    /// Delivers what there is, or waits for more.
    async fn step(&mut self, published: &mut watch::Receiver<u64>) -> Result<(), End> {
        if *self.deliverer.closing.borrow() {
            return Err(End);
        }
        // Marked as seen before it is read: what comes in between wakes us again.
        published.borrow_and_update();
        let hook = self.view()?.webhook(self.id).map_err(|_| End)?;
        if hook.disabled.is_some() {
            return Err(End);
        }
        match self.next(&hook)? {
            Next::Again(letter, delivery) => self.redeliver(&hook, &letter, delivery).await,
            Next::Batch(delivery) => self.deliver(&hook, &delivery, published).await,
            Next::Unwanted(through) => self.pass(through, 0).await,
            Next::Nothing => self.idle(published).await,
        }
    }

    fn view(&self) -> Result<View, End> {
        self.engine.view(&self.tenant).map_err(|_| End)
    }

    /// What is to be done. The view is let go of before anything is sent: attempts can take long, and a view that is
    /// held keeps old state in memory.
    fn next(&self, hook: &Webhook) -> Result<Next, End> {
        let view = self.view()?;
        if let Some(letter) = hook.dead.iter().find(|letter| letter.wanted) {
            let entries = view.feed_range(letter.first, letter.last);
            let wanted: Vec<_> = entries.into_iter().filter(|placed| hook.wants(placed.kind)).collect();
            let delivery = Delivery::again(&self.tenant, self.id, letter, &wanted);
            return Ok(Next::Again(Arc::clone(letter), delivery));
        }
        let (mut wanted, mut last) = (Vec::new(), None);
        for placed in view.feed_after(self.through).take(SCAN_MAX) {
            last = Some(placed.place);
            if hook.wants(placed.kind) {
                wanted.push(placed);
            }
            if wanted.len() == BATCH_MAX {
                break;
            }
        }
        let delivery = Delivery::new(&self.tenant, self.id, &wanted).map(Next::Batch);
        Ok(delivery.or(last.map(Next::Unwanted)).unwrap_or(Next::Nothing))
    }

    /// Waits for news, and writes down how far it came when that is due.
    async fn idle(&mut self, published: &mut watch::Receiver<u64>) -> Result<(), End> {
        let due = self.noted_at + NOTE_EVERY;
        let unnoted = self.through != self.noted;
        tokio::select! {
            changed = published.changed() => return changed.map_err(|_| End),
            _ = self.deliverer.closing.wait_for(|closing| *closing) => return Err(End),
            () = tokio::time::sleep_until(due), if unnoted => {}
        }
        self.note().await;
        Ok(())
    }

    /// Sends one delivery until it is through, dead or not wanted any more. It is left for later when somebody wants a
    /// dead letter sent again: that is a sign that the receiver is back.
    async fn deliver(
        &mut self,
        hook: &Webhook,
        delivery: &Delivery,
        published: &mut watch::Receiver<u64>,
    ) -> Result<(), End> {
        for attempt in 1..=self.deliverer.attempts_max {
            let error = match self.attempt(hook, delivery).await? {
                Outcome::Delivered => {
                    metrics::counter!("selfsame_webhook_entries_total").increment(delivery.entries as u64);
                    return self.pass(delivery.last, delivery.entries as u64).await;
                }
                Outcome::Gone => return self.disable().await,
                Outcome::Failed(error) => error,
            };
            if attempt == self.deliverer.attempts_max {
                return self.bury(delivery, attempt, error).await;
            }
            counted("retried");
            let until = Instant::now() + backoff(self.deliverer.retry, attempt, self.chance());
            if self.is_called(until, published).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits; true as soon as somebody wants a dead letter sent again.
    async fn is_called(&mut self, until: Instant, published: &mut watch::Receiver<u64>) -> Result<bool, End> {
        loop {
            let hook = self.view()?.webhook(self.id).map_err(|_| End)?;
            if hook.dead.iter().any(|letter| letter.wanted) {
                return Ok(true);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(false),
                changed = published.changed() => changed.map_err(|_| End)?,
                _ = self.deliverer.closing.wait_for(|closing| *closing) => return Err(End),
            }
        }
    }

    /// Sends a dead letter that somebody wants sent again: one attempt, so that it holds nobody up.
    async fn redeliver(&mut self, hook: &Webhook, letter: &DeadLetter, delivery: Option<Delivery>) -> Result<(), End> {
        let Some(delivery) = delivery else {
            // Nothing of it is left to be told.
            return self.report(Report::Settled { delivery: letter.id }).await;
        };
        match self.attempt(hook, &delivery).await? {
            Outcome::Delivered => self.report(Report::Settled { delivery: letter.id }).await,
            Outcome::Gone => self.disable().await,
            Outcome::Failed(error) => self.bury(&delivery, letter.attempts.saturating_add(1), error).await,
        }
    }

    async fn attempt(&mut self, hook: &Webhook, delivery: &Delivery) -> Result<Outcome, End> {
        // Parsed when it was registered; a server that allows less by now refuses it here.
        let target = match Target::parse(&hook.url, self.deliverer.allow_private) {
            Ok(target) => target,
            Err(error) => return Ok(Outcome::Failed(error.to_string())),
        };
        let mut closing = self.deliverer.closing.clone();
        let mut started = Instant::now();
        let is_sent = AtomicBool::new(false);
        let sending = async {
            let _place = self.places.take(self.slow).await;
            started = Instant::now();
            is_sent.store(true, Ordering::Relaxed);
            let now = self.engine.world().clock.now();
            match delivery.request(self.id, &hook.secret, &target, now) {
                Some(request) => self.deliverer.client.send(&target, request).await,
                None => Err(Failed("the request could not be made".into())),
            }
        };
        let sent = {
            let mut sending = pin!(sending);
            let in_time = tokio::select! {
                sent = &mut sending => Some(sent),
                _ = closing.wait_for(|closing| *closing) => None,
            };
            match in_time {
                Some(sent) => sent,
                // What is on its way may be there already, and shall not come twice for want of its answer.
                None if is_sent.load(Ordering::Relaxed) => {
                    tokio::time::timeout(LAST_ANSWER, sending).await.map_err(|_| End)?
                }
                None => return Err(End),
            }
        };
        let outcome = outcome(sent);
        self.slow = outcome != Outcome::Delivered || started.elapsed() > SLOW;
        if outcome == Outcome::Delivered {
            counted("delivered");
        }
        Ok(outcome)
    }

    /// Gives a delivery up and goes on behind it.
    async fn bury(&mut self, delivery: &Delivery, attempts: u32, error: String) -> Result<(), End> {
        counted("dead");
        let (first, last) = (delivery.first, delivery.last);
        tracing::warn!(webhook = %self.id, delivery = %delivery.id, attempts, %error, "a delivery was given up");
        self.report(Report::Died { delivery: delivery.id, first, last, attempts, error }).await?;
        if last > self.through {
            (self.through, self.noted, self.passed, self.noted_at) = (last, last, 0, Instant::now());
        }
        Ok(())
    }

    async fn disable(&mut self) -> Result<(), End> {
        counted("gone");
        self.note().await;
        self.report(Report::Disabled { note: "the receiver answered 410 Gone".into() }).await?;
        Err(End)
    }

    /// Everything up to here is done with.
    async fn pass(&mut self, through: FeedPlace, entries: u64) -> Result<(), End> {
        self.through = through;
        self.passed += entries;
        if self.passed >= NOTE_ENTRIES || self.noted_at.elapsed() >= NOTE_EVERY {
            self.note().await;
        }
        Ok(())
    }

    /// Writes down how far it came. If that fails, a restart repeats a little more.
    async fn note(&mut self) {
        if self.through == self.noted {
            return;
        }
        let through = self.through;
        if self.send(Report::Delivered { through }).await.is_ok() {
            (self.noted, self.passed) = (through, 0);
        }
        self.noted_at = Instant::now();
    }

    /// Reports until it is taken; ends the task when it cannot be.
    async fn report(&mut self, report: Report) -> Result<(), End> {
        loop {
            match self.send(report.clone()).await {
                Ok(()) => return Ok(()),
                Err(Error::Busy { .. } | Error::Full { .. }) => self.pause(REPORT_RETRY).await?,
                // It was deleted meanwhile.
                Err(Error::NotFound { .. }) => return Err(End),
                Err(error) => {
                    tracing::warn!(webhook = %self.id, %error, "a webhook's deliveries end");
                    return Err(End);
                }
            }
        }
    }

    async fn send(&self, report: Report) -> Result<(), Error> {
        let command = Command::Webhook(WebhookCommand::Report(self.id, report));
        let context = Context { actor: ACTOR.into(), idempotency: None };
        self.engine.submit(&self.tenant, command, context).await.map(drop)
    }

    async fn pause(&mut self, time: Duration) -> Result<(), End> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = self.deliverer.closing.wait_for(|closing| *closing) => Err(End),
        }
    }

    /// A number from 0 to 1 by chance.
    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        self.engine.world().random.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    }
}

fn outcome(sent: Result<StatusCode, Failed>) -> Outcome {
    match sent {
        Ok(status) if status.is_success() => Outcome::Delivered,
        Ok(StatusCode::GONE) => Outcome::Gone,
        Ok(status) if status.is_redirection() => {
            Outcome::Failed(format!("status {}; redirects are not followed", status.as_u16()))
        }
        Ok(status) => Outcome::Failed(format!("status {}", status.as_u16())),
        Err(Failed(why)) => Outcome::Failed(why),
    }
}

/// How long to wait after attempt number `attempt`: twice as long each time, of that the half for sure and the other by
/// chance, so that webhooks that failed together do not come back together.
fn backoff(first: Duration, attempt: u32, chance: f64) -> Duration {
    let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    let longest = doubled.min(RETRY_MAX);
    longest.div_f64(2.0) + longest.div_f64(2.0).mul_f64(chance.clamp(0.0, 1.0))
}

fn counted(outcome: &'static str) {
    metrics::counter!("selfsame_webhook_attempts_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_decide() {
        let failed = |text: &str| Outcome::Failed(text.into());
        for (status, expected) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (301, failed("status 301; redirects are not followed")),
            (307, failed("status 307; redirects are not followed")),
            (400, failed("status 400")),
            (404, failed("status 404")),
            (410, Outcome::Gone),
            (500, failed("status 500")),
        ] {
            assert_eq!(outcome(Ok(StatusCode::from_u16(status).unwrap())), expected);
        }
        assert_eq!(outcome(Err(Failed("late".into()))), failed("late"));
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let second = Duration::from_secs(1);
        for (attempt, least, most) in
            [(1, 0.5, 1.0), (2, 1.0, 2.0), (5, 8.0, 16.0), (10, 256.0, 512.0), (11, 300.0, 600.0), (90, 300.0, 600.0)]
        {
            assert_eq!(backoff(second, attempt, 0.0).as_secs_f64(), least, "{attempt}");
            assert_eq!(backoff(second, attempt, 1.0).as_secs_f64(), most, "{attempt}");
        }
        assert_eq!(backoff(Duration::MAX, 3, 1.0), RETRY_MAX);
    }
}
