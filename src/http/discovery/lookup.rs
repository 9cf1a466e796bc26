//! Exact look-ups of trusted back ends in a directory, and the rotation of its keys.
//!
//! **Who pays**: a key that acts for an end user (it has a `principal` of its own) pays itself, whoever it asks for. A back
//! end that names an `asker` asks for that user, who pays. A back end that asks for nobody pays nothing but the tenant's
//! ceiling, if there is one. Charged is what is sent as new, before anything is looked up, hit or not.

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;

use crate::auth::Caller;
use crate::discovery::Kind;
use crate::discovery::dialect::primary;
use crate::discovery::quota::Family;
use crate::discovery::tag::Tag;
use crate::discovery::token::Covers;
use crate::engine::api::Context;
use crate::engine::discovery::quota::{Charging, Repeat};
use crate::engine::discovery::{Asking, Charge};
use crate::error::{Error, Result};
use crate::http::app::App;
use crate::http::extract::{NoParams, Params, Scope, Write, body_within, digest_of, idempotency_key};
use crate::http::figures;
use crate::http::guard::json_type;
use crate::http::hot::Refused;
use crate::http::problem::Problem;
use crate::http::wire::lookup::{
    Answering, EpochOut, Identifier, Lookup, LookupAnswer, LookupRequest, RotateRequest, read,
};
use crate::model::event::DiscoveryKey;
use crate::model::ids::EntityId;

/// Headers that an answer has by the time it leaves, and some.
const HEADERS: usize = 12;
/// Bytes of a request at most.
const BODY_BYTES_MAX: u64 = 2 << 20;
/// Work, in digests, that is done where the connection is served: a quarter of a millisecond.
const AT_ONCE_MAX: usize = 1_200;

/// Which contacts of a directory carry these identifiers.
///
/// Answers stand in the order of the request. What nobody carries, who opted out and who hides from the asker look the
/// same. A plain identifier is found as it is; a digest in whatever dialect it was made. New identifiers are charged before
/// anything is looked up; a repeat with the same Idempotency-Key within ten minutes is free. Over the quota: 429 with
/// `retry_after_s`, and nothing is charged.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/discovery/lookup", tag = "discovery", operation_id = "discoveryLookup",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = LookupRequest,
    responses((status = 200, body = LookupAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn lookup(scope: Scope, _: Params<NoParams>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let answer = answered(&scope, &parts, body).await?;
    Ok(json(HeaderMap::with_capacity(HEADERS), answer))
}

/// The answer to one, as JSON. Nearly all are answered as soon as their body is there: what waits after that waits in a box, for the sake
/// of what all others move about.
pub(in crate::http) async fn answered<B>(scope: &Scope, parts: &Parts, body: B) -> Result<Vec<u8>, Refused>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    json_type(&parts.headers)?;
    let key = idempotency_key(&parts.headers, None)?;
    let body = body_within(body, &scope.app, BODY_BYTES_MAX).await?;
    Sent { scope, parts, key: key.as_deref(), body: &body }.prepared()?.done().await
}

/// What comes next.
enum Next<'a> {
    Answer(Vec<u8>),
    Wait(BoxFuture<'a, Result<Vec<u8>, Refused>>),
}

impl Next<'_> {
    async fn done(self) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::Wait(rest) => rest.await,
        }
    }
}

/// A request that is there in full.
#[derive(Clone, Copy)]
struct Sent<'a> {
    scope: &'a Scope,
    parts: &'a Parts,
    key: Option<&'a str>,
    body: &'a Bytes,
}

impl<'a> Sent<'a> {
    /// Reads it and prepares its questions.
    fn prepared(self) -> Result<Next<'a>, Refused> {
        let asked = read(self.body)?;
        let scope = self.scope;
        if let Some(asking) = scope.engine.asking_at_once(&scope.tenant, asked.asker())? {
            return self.charge(asked, asking);
        }
        Ok(Next::Wait(Box::pin(async move {
            let asking = first_asking(scope, asked.asker()).await?;
            self.charge(asked, asking)?.done().await
        })))
    }

    /// Charges it and answers.
    fn charge(self, asked: Lookup<'a>, asking: Asking) -> Result<Next<'a>, Refused> {
        let Self { scope, parts, key, body } = self;
        let payer = payer(&scope.caller, asking.asker());
        let told = Told::new(&scope.caller, payer.as_deref(), &asking, &asked);
        told.check_token()?;
        let new = u32::try_from(asked.new.len()).unwrap_or(u32::MAX);
        let repeat = key.map(|key| Repeat { caller: &scope.caller.actor, key, body: digest_of(parts, body) });
        let charging = scope.engine.charge_for(&asking, payer.as_deref(), Family::Lookup, new, repeat)?;
        let is_light = asked.weight() <= AT_ONCE_MAX;
        if let (Charging::Done(charge), true) = (&charging, is_light) {
            return Ok(Next::Answer(told.answer(charge)));
        }
        Ok(Next::Wait(Box::pin(async move {
            let charge = scope.engine.charged(charging).await?;
            if is_light {
                return Ok(Told::new(&scope.caller, payer.as_deref(), &asking, &asked).answer(&charge));
            }
            Ok(heavy(scope.clone(), asking, asked.into_owned(), payer, charge).await?)
        })))
    }
}

/// Prepares the questions away from here: the map must be built first.
async fn first_asking(scope: &Scope, asker: Option<&str>) -> Result<Asking, Problem> {
    let (engine, tenant, asker) = (scope.engine.clone(), scope.tenant.clone(), asker.map(str::to_owned));
    scope.app.heavy(move || engine.asking(&tenant, asker.as_deref())).await
}

/// Answers a large batch on a thread of its own; when that fails, nothing is charged.
async fn heavy(
    scope: Scope,
    asking: Asking,
    asked: Lookup<'static>,
    payer: Option<String>,
    charge: Charge,
) -> Result<Vec<u8>, Problem> {
    let charge = std::sync::Arc::new(charge);
    let charged = std::sync::Arc::clone(&charge);
    let app = scope.app.clone();
    let work =
        move || -> Result<Vec<u8>> { Ok(Told::new(&scope.caller, payer.as_deref(), &asking, &asked).answer(&charged)) };
    app.heavy(work).await.inspect_err(|_| charge.refund())
}

/// Who pays; `None`: nobody but the tenant as a whole.
fn payer(caller: &Caller, asker: Option<EntityId>) -> Option<String> {
    match own_principal(caller) {
        Some(principal) => Some(format!("principal {principal}")),
        None => asker.map(|asker| format!("asker {asker}")),
    }
}

/// The principal of a key that acts for an end user: one that was given to it, which is not its own id.
fn own_principal(caller: &Caller) -> Option<&str> {
    let id = caller.actor.strip_prefix("key:")?;
    (caller.principal != id).then_some(&*caller.principal)
}

/// An answer that is JSON. `headers` is where its headers go; what is in there does not stay.
pub(in crate::http) fn json(mut headers: HeaderMap, body: Vec<u8>) -> Response {
    headers.clear();
    let mut answer = Response::new(Body::from(body));
    *answer.headers_mut() = headers;
    answer.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    answer
}

/// The tag of an identifier, and its canonical form if it was sent plain.
type Read = (Tag, Option<String>);

/// A request that is being answered.
struct Told<'a> {
    /// Whose tokens count.
    by: &'a str,
    asking: &'a Asking,
    asked: &'a Lookup<'a>,
}

impl<'t> Told<'t> {
    fn new(caller: &'t Caller, payer: Option<&'t str>, asking: &'t Asking, asked: &'t Lookup<'t>) -> Self {
        Self { by: payer.unwrap_or(&caller.actor), asking, asked }
    }

    /// # Errors
    /// `Conflict` with code `token_invalid`.
    fn check_token(&self) -> Result<()> {
        let Some(token) = self.asked.token() else { return Ok(()) };
        let tags = self.tags(self.asked.prev.iter().chain(&self.asked.discard));
        if self.asking.token_key().holds(token, self.covers(&tags), self.asking.now().0) {
            return Ok(());
        }
        let reason = "the token does not cover prev and discard for you now: it is of another set, caller or epoch of the \
            key, or older than 30 days; send all identifiers as new";
        Err(Error::Conflict { code: "token_invalid", reason: reason.into(), holder: None })
    }

    fn covers<'a>(&'a self, tags: &'a [Tag]) -> Covers<'a> {
        Covers { payer: self.by.as_bytes(), epoch: self.asking.epoch(), tags }
    }

    /// The distinct tags of what could be read, ascending.
    fn tags<'a>(&self, all: impl Iterator<Item = &'a Identifier<'a>>) -> Vec<Tag> {
        let mut tags: Vec<Tag> = all.filter_map(|one| self.read(one)).map(|(tag, _)| tag).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// What was read of an identifier.
    fn read(&self, one: &Identifier<'_>) -> Option<Read> {
        match one {
            Identifier::Digest(kind, inner) => Some((self.asking.tag(*kind, inner), None)),
            Identifier::Plain(..) => {
                let (kind, text) = one.text()?;
                let canonical = match kind {
                    Kind::Phone => self.asking.phone(text, self.asked.region()),
                    Kind::Email => self.asking.email(text),
                }?;
                Some((self.asking.tag(kind, &primary(&canonical)), Some(canonical)))
            }
        }
    }

    /// In three steps, each for all identifiers: their tags, whom they name, the answer. So the machine has the tags of
    /// many on their way from memory at once.
    fn answer(&self, charge: &Charge) -> Vec<u8> {
        let asked = self.asked;
        let all = asked.prev.iter().chain(&asked.new);
        let read: SmallVec<[Option<Read>; 1]> = all.map(|one| self.read(one)).collect();
        let of_tags = read.iter().flatten().map(|(tag, canonical)| (*tag, canonical.is_some()));
        let of_tags: SmallVec<[(Tag, bool); 1]> = of_tags.collect();
        let mut contacts = self.asking.contacts(&of_tags).into_iter();
        let mut answer = Answering::new(self.asking.epoch(), asked.len(), asked.pad);
        for one in &read {
            match one {
                Some((_, canonical)) => answer.result(contacts.next().flatten(), canonical.as_deref()),
                None => answer.result(None, None),
            }
        }
        let token = asked.is_incremental.then(|| self.token(of_tags.iter().map(|(tag, _)| *tag).collect()));
        figures::count_lookups(asked.len());
        answer.finish(token.as_deref(), charge.charged, charge.remaining)
    }

    /// A token that covers these tags.
    fn token(&self, mut tags: Vec<Tag>) -> String {
        tags.sort_unstable();
        tags.dedup();
        self.asking.token_key().make(self.covers(&tags), self.asking.now().0, self.asking.random())
    }
}

/// Puts another key of discovery in force while everybody goes on asking.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/discovery/rotate", tag = "discovery", operation_id = "discoveryRotate",
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RotateRequest,
    responses((status = 200, body = EpochOut), (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::http) async fn rotate(
    State(app): State<App>,
    _: Params<NoParams>,
    Write { scope, body, context }: Write<RotateRequest>,
) -> Result<Json<EpochOut>, Problem> {
    let what = body.checked()?;
    let urgent = body.urgent;
    let epoch = app.heavy(move || rotated(&scope, what, urgent, &context)).await?;
    Ok(Json(EpochOut { what: what.word(), epoch }))
}

/// A repeat gets the epoch that is in force.
fn rotated(scope: &Scope, what: DiscoveryKey, urgent: bool, context: &Context) -> Result<u32> {
    if what == DiscoveryKey::Oprf && urgent {
        return scope.engine.rotate_oprf(&scope.tenant, &context.actor, true);
    }
    if scope.engine.remembered(&scope.tenant, context)?.is_some() {
        return Ok(scope.engine.epochs(&scope.tenant)?.of(what).number);
    }
    scope.engine.rotate_discovery(&scope.tenant, what, context)
}
