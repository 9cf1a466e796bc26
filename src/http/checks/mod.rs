//! Asking others about emails and phones, in the background, behind the writes.
//!
//! One task follows the change feed of every tenant, looks which identifiers of the changed contacts nobody has been asked about
//! for long enough, asks ([`dns`], [`validator`]) at a limited rate, and has what counts written as facts through the tenant's
//! writer like every other command. No write waits for it. What nobody could say is asked again after growing waits; where a
//! restart or a full list makes it forget that, the next pass over everything (once a day) comes by again.
//! Restricted and deleted contacts are not asked about.

mod dns;
mod validator;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::ServerConfig;
use crate::engine::api::{Command, Context};
use crate::engine::privacy::{Askable, CheckKind};
use crate::engine::{Engine, View};
use crate::error::{Error, Result};
use crate::host::SystemNames;
use crate::http::app::EngineSlot;
use crate::http::checks::dns::Mail;
use crate::http::checks::validator::Validator;
use crate::http::delivery::client::Client;
use crate::model::event::{FeedPlace, IdentifierChecked};
use crate::model::ids::{EntityId, Millis, TenantName};

/// Entries of a tenant's feed that are looked at before the next tenant's turn.
const ENTRIES_MAX: usize = 64;
/// Questions under way at once.
const UNDER_WAY_MAX: usize = 8;
/// Domains whose answer is remembered, and for how long.
const DOMAINS_MAX: usize = 10_000;
const DOMAIN_AGE: Duration = Duration::from_secs(3600);
/// Contacts that wait for another attempt at most; beyond it the oldest is left to the next pass.
const RETRIES_MAX: usize = 10_000;
/// Attempts before it is left to the next pass.
const ATTEMPTS_MAX: u32 = 6;
/// Everything is looked at anew so often.
const PASS_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Shortest rest when there is nothing to do, and how many times as long as the look around it is at least.
const REST: Duration = Duration::from_millis(250);
const REST_TIMES: u32 = 20;
/// Time for a name server's answer.
const DNS_PATIENCE: Duration = Duration::from_secs(3);
/// Who asks, in the journal.
const ACTOR: &str = "checks";

/// Asks in the background.
pub(super) struct Checker {
    mx: Option<TokioResolver>,
    validator: Option<Validator>,
    keep: Duration,
    pause: Duration,
    retry: Duration,
    closing: watch::Receiver<bool>,
    domains: HashMap<String, (Mail, Instant)>,
    places: HashMap<TenantName, FeedPlace>,
    retries: VecDeque<Retry>,
}

/// A contact of which something could not be found out.
#[derive(Debug)]
struct Retry {
    tenant: TenantName,
    contact: EntityId,
    attempts: u32,
    due: Instant,
}

/// One question.
#[derive(Clone, Debug)]
struct Question {
    askable: Askable,
    kind: CheckKind,
}

/// The server stops.
struct Stop;

impl Checker {
    /// A checker under the configuration; `None` where nobody is to be asked.
    ///
    /// # Errors
    /// `Invalid` for a `validator_url` that breaks the rules for targets.
    pub(super) fn new(config: &ServerConfig, closing: watch::Receiver<bool>) -> Result<Option<Self>> {
        if config.mx_resolver.is_none() && config.validator.is_none() {
            return Ok(None);
        }
        let client = || Client::new(config, Arc::new(SystemNames));
        let made = |one: &crate::config::ValidatorConfig| Validator::new(one, client()?, config.webhooks_allow_private);
        Ok(Some(Self {
            mx: config.mx_resolver.map(|server| dns::resolver(server, DNS_PATIENCE)).transpose()?,
            validator: config.validator.as_ref().map(made).transpose()?,
            keep: config.checks_keep,
            pause: Duration::from_secs(1) / config.checks_per_second_max.max(1),
            retry: config.checks_retry,
            closing,
            domains: HashMap::new(),
            places: HashMap::new(),
            retries: VecDeque::new(),
        }))
    }

    /// Asks until the server stops.
    pub(super) async fn run(mut self, slot: EngineSlot) {
        while slot.get().is_none() {
            if self.rest(REST).await.is_err() {
                return;
            }
        }
        let Some(engine) = slot.get().map(Arc::clone) else { return };
        let mut pass = Instant::now();
        loop {
            if pass.elapsed() > PASS_EVERY {
                self.places.clear();
                pass = Instant::now();
            }
            let started = Instant::now();
            let Ok(busy) = self.round(&engine).await else { return };
            let rest = if busy { Duration::ZERO } else { REST.max(started.elapsed() * REST_TIMES) };
            if self.rest(rest).await.is_err() {
                return;
            }
        }
    }

    async fn rest(&mut self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = self.closing.wait_for(|closing| *closing) => Err(Stop),
        }
    }

    /// Gives each tenant a turn. True: there was something to do.
    async fn round(&mut self, engine: &Arc<Engine>) -> Result<bool, Stop> {
        let mut busy = self.again(engine).await?;
        for tenant in engine.tenants() {
            let Ok(view) = engine.view(&tenant) else { continue };
            let place = self.places.get(&tenant).copied().unwrap_or_default();
            if view.seq() <= place.seq {
                continue;
            }
            let entries: Vec<_> = view.feed_after(place).take(ENTRIES_MAX).collect();
            let mut contacts: Vec<EntityId> = Vec::new();
            for placed in entries.iter().filter(|placed| !placed.entry.of_accounts) {
                contacts.extend(
                    placed.entry.contacts.iter().filter(|id| !contacts.contains(id)).copied().collect::<Vec<_>>(),
                );
            }
            let through = entries.last().map_or(FeedPlace::behind(view.seq()), |last| last.place);
            for contact in contacts {
                busy |= self.contact(engine, &tenant, &view, contact, 0).await?;
            }
            self.places.insert(tenant, through);
            busy |= entries.len() == ENTRIES_MAX;
        }
        Ok(busy)
    }

    /// Tries those again whose wait is over.
    async fn again(&mut self, engine: &Arc<Engine>) -> Result<bool, Stop> {
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.retries);
        let (due, later): (VecDeque<Retry>, VecDeque<Retry>) = waiting.into_iter().partition(|retry| retry.due <= now);
        self.retries = later;
        let mut busy = false;
        for retry in due {
            let Ok(view) = engine.view(&retry.tenant) else { continue };
            busy |= self.contact(engine, &retry.tenant, &view, retry.contact, retry.attempts).await?;
        }
        Ok(busy)
    }

    /// Asks what is to be asked about one contact, and has it written. True: something was asked.
    async fn contact(
        &mut self,
        engine: &Arc<Engine>,
        tenant: &TenantName,
        view: &View,
        contact: EntityId,
        attempts: u32,
    ) -> Result<bool, Stop> {
        let now = engine.world().clock.now();
        let questions = self.questions(view.askable(contact), now);
        if questions.is_empty() {
            return Ok(false);
        }
        let (mut found, mut open) = (Vec::new(), false);
        for some in questions.chunks(UNDER_WAY_MAX) {
            for answer in self.ask_all(engine, some).await? {
                match answer {
                    Some(checked) => found.push(checked),
                    None => open = true,
                }
            }
        }
        let written = found.is_empty() || write(engine, tenant, found).await;
        if (open || !written) && attempts + 1 < ATTEMPTS_MAX {
            self.retry_later(tenant, contact, attempts + 1);
        }
        Ok(true)
    }

    fn retry_later(&mut self, tenant: &TenantName, contact: EntityId, attempts: u32) {
        if self.retries.len() >= RETRIES_MAX {
            self.retries.pop_front();
        }
        let due = Instant::now() + self.retry.saturating_mul(1 << (attempts - 1).min(16));
        self.retries.push_back(Retry { tenant: tenant.clone(), contact, attempts, due });
    }

    /// The questions about identifiers that nobody was asked about for long enough.
    fn questions(&self, askable: Vec<Askable>, now: Millis) -> Vec<Question> {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for one in askable {
            let is_email = one.domain.is_some();
            let fresh = |kind| one.known.iter().any(|(known, at)| *known == kind && now.0.saturating_sub(at.0) < keep);
            let validator = self.validator.as_ref().is_some_and(|validator| validator.takes(is_email));
            let kinds = [(CheckKind::Mx, self.mx.is_some() && is_email), (CheckKind::Validator, validator)];
            let due = kinds.into_iter().filter(|(kind, wanted)| *wanted && !fresh(*kind));
            found.extend(due.map(|(kind, _)| Question { askable: one.clone(), kind }).collect::<Vec<_>>());
        }
        found
    }

    /// Asks some questions at once, each a pause behind the one before. `None`: nobody could say.
    async fn ask_all(
        &mut self,
        engine: &Arc<Engine>,
        questions: &[Question],
    ) -> Result<Vec<Option<IdentifierChecked>>, Stop> {
        let mut asking = Vec::new();
        let mut remembered = Vec::new();
        for question in questions {
            let known = question.askable.domain.as_ref().filter(|_| question.kind == CheckKind::Mx);
            let known = known.and_then(|domain| self.domains.get(domain)).filter(|(_, at)| at.elapsed() < DOMAIN_AGE);
            if let Some((mail, _)) = known {
                remembered.push((question, said(*mail)));
                continue;
            }
            self.rest(self.pause).await?;
            asking.push(self.ask(question));
        }
        let answers = futures_util::future::join_all(asking);
        let mut closing = self.closing.clone();
        let answers = tokio::select! {
            answers = answers => answers,
            _ = closing.wait_for(|closing| *closing) => return Err(Stop),
        };
        let now = engine.world().clock.now();
        let mut found: Vec<Option<IdentifierChecked>> =
            remembered.into_iter().map(|(question, verdict)| fact(question, verdict, now)).collect();
        for (question, answer) in answers {
            if let (Reply::Mail(mail), Some(domain)) = (&answer, &question.askable.domain) {
                self.remember(domain, *mail);
            }
            let verdict = match answer {
                Reply::Mail(mail) => said(mail),
                Reply::Verdict(verdict) => verdict,
            };
            counted(question.kind, verdict.as_ref().map(|(good, _)| *good));
            found.push(fact(question, verdict, now));
        }
        Ok(found)
    }

    /// Asks one question: a future of its own, so that several run at once.
    fn ask<'q>(&self, question: &'q Question) -> impl Future<Output = (&'q Question, Reply)> + use<'q> {
        let (mx, validator) = (self.mx.clone(), self.validator.clone());
        async move {
            let domain = question.askable.domain.as_deref();
            let reply = match (question.kind, mx, domain, validator) {
                (CheckKind::Mx, Some(resolver), Some(domain), _) => Reply::Mail(dns::ask(&resolver, domain).await),
                (CheckKind::Validator, _, _, Some(validator)) => {
                    Reply::Verdict(validator.ask(&question.askable.identifier, domain.is_some()).await)
                }
                (CheckKind::Mx | CheckKind::Validator, ..) => Reply::Verdict(None),
            };
            (question, reply)
        }
    }

    fn remember(&mut self, domain: &str, mail: Mail) {
        if mail == Mail::Unknown {
            return;
        }
        if self.domains.len() >= DOMAINS_MAX {
            self.domains.retain(|_, (_, at)| at.elapsed() < DOMAIN_AGE);
        }
        if self.domains.len() >= DOMAINS_MAX {
            self.domains.clear();
        }
        self.domains.insert(domain.to_owned(), (mail, Instant::now()));
    }
}

/// What came back.
enum Reply {
    Mail(Mail),
    Verdict(validator::Verdict),
}

fn said(mail: Mail) -> validator::Verdict {
    match mail {
        Mail::Taken(why) => Some((true, why.to_owned())),
        Mail::Refused(why) => Some((false, why.to_owned())),
        Mail::Unknown => None,
    }
}

fn fact(question: &Question, verdict: validator::Verdict, at: Millis) -> Option<IdentifierChecked> {
    let (good, detail) = verdict?;
    Some(IdentifierChecked {
        record_id: question.askable.record,
        identifier: question.askable.identifier.clone(),
        check: question.kind as u8,
        verdict: u8::from(!good),
        detail,
        at,
    })
}

/// Has facts written. False: they could not be, and are found out again later.
async fn write(engine: &Engine, tenant: &TenantName, found: Vec<IdentifierChecked>) -> bool {
    let context = Context { actor: ACTOR.into(), idempotency: None };
    match engine.submit(tenant, Command::Checked(found), context).await {
        Ok(_) => true,
        Err(Error::Busy { .. } | Error::Full { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, "what was found out about identifiers could not be written");
            false
        }
    }
}

fn counted(kind: CheckKind, good: Option<bool>) {
    let outcome = good.map_or("unknown", |good| if good { "good" } else { "bad" });
    metrics::counter!("selfsame_checks_total", "check" => kind.word(), "outcome" => outcome).increment(1);
}
