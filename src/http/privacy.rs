//! The register of processing, and which fields are held and never used.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::config::ServerConfig;
use crate::engine::privacy::Holdings;
use crate::engine::webhooks::Webhook;
use crate::engine::{Engine, View};
use crate::error::Error;
use crate::http::app::App;
use crate::http::extract::{NoParams, Params, Scope};
use crate::http::page::{Form, answer};
use crate::http::problem::Problem;
use crate::http::wire::privacy::PurposeBody;
use crate::http::wire::register::{
    CountsOut, HostOut, MinimisationOut, RecipientsOut, RegisterOut, Times, categories, reads,
};
use crate::http::wire::subject::host;
use crate::http::wire::time;
use crate::model::ids::{Millis, TenantName};
use crate::model::settings::Settings;

/// The register of processing activities (GDPR article 30): purposes and bases as declared in the settings (`privacy`), what is
/// actually held by category, sources, recipients, retention, where the data is and what protects it. JSON, or a page with
/// `Accept: text/html`. It walks everything.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/privacy/register", tag = "privacy", operation_id = "getRegister",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, content((RegisterOut = "application/json"), (String = "text/html"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn register(scope: Scope, headers: HeaderMap, _: Params<NoParams>) -> Result<Response, Problem> {
    let form = Form::of(&headers, &[Form::Json, Form::Html])?;
    scope.view()?;
    let (app, engine, tenant) = (scope.app.clone(), Arc::clone(&scope.engine), scope.tenant.clone());
    let out = scope.app.heavy(move || entry(&engine, &tenant, &app)).await?;
    answer(form, "Register of processing activities", &out)
}

fn entry(engine: &Engine, tenant: &TenantName, app: &App) -> Result<RegisterOut, Error> {
    let config = app.config();
    let view = engine.view(tenant)?;
    let (settings, holdings) = (view.settings(), view.holdings());
    let declared = &settings.privacy;
    let (entries, _) = engine.audited_reads(tenant)?;
    let webhooks = view.webhooks();
    let hosts = webhooks.iter().map(|hook: &Arc<Webhook>| HostOut::from(&**hook)).collect();
    let mut missing = Vec::new();
    missing.extend(declared.controller.is_empty().then_some("controller"));
    missing.extend(declared.contact.is_empty().then_some("contact"));
    missing.extend(declared.purposes.is_empty().then_some("purposes"));
    missing.extend(declared.subjects.is_empty().then_some("subjects"));
    Ok(RegisterOut {
        generated_at: time(engine.world().clock.now()),
        tenant: tenant.to_string(),
        controller: declared.controller.clone(),
        contact: declared.contact.clone(),
        purposes: declared.purposes.iter().map(PurposeBody::from).collect(),
        data_subjects: declared.subjects.clone(),
        counts: counts(&view, &holdings),
        categories: categories(&holdings.fields),
        business_fields: holdings.account_fields.iter().map(|(field, held)| (field.clone(), held.records)).collect(),
        sources: holdings.sources.clone(),
        recipients: RecipientsOut {
            webhooks: hosts,
            reads: reads(&entries),
            validator: config.validator.as_ref().map(|validator| host(&validator.url)),
            name_servers: config.mx_resolver.is_some(),
        },
        third_countries: declared.third_countries.clone(),
        retention: retention(settings, engine),
        storage: storage(engine)?,
        security: security(engine, config, !app.guard().auth().is_open(Some(engine))),
        missing,
    })
}

fn counts(view: &View, holdings: &Holdings) -> CountsOut {
    let stats = view.stats();
    CountsOut {
        contacts: stats.contacts,
        accounts: stats.accounts,
        records: stats.records,
        restricted: holdings.restricted,
        deleted: holdings.deleted,
        erasures: holdings.erasures.0,
        erasures_running: holdings.erasures.1,
    }
}

/// How long what is kept, in words.
fn retention(settings: &Settings, engine: &Engine) -> BTreeMap<&'static str, String> {
    let days = |days: u64| if days == 0 { "for ever".to_owned() } else { format!("{days} days") };
    let kept = settings.retention;
    let journal = engine.journal_days();
    let shown = match (settings.privacy.audit_days, journal) {
        (0, None) => "for ever".to_owned(),
        (0, Some(journal)) => format!("as long as the journal: {journal} days, then with its segment"),
        (shown, None) => format!(
            "shown for {shown} days; kept in the journal for ever (set journal_keep_days: single acts cannot be taken out \
             without breaking the chain of digests)"
        ),
        (shown, Some(journal)) => {
            format!(
                "shown for {shown} days; they leave the disk with their segment of the journal, after {journal} days"
            )
        }
    };
    BTreeMap::from([
        ("contacts", "until they are erased, or erased by age after they were deleted".to_owned()),
        ("deleted contacts", days(kept.deleted_days.into())),
        ("closed reviews", days(kept.reviews_days.into())),
        ("reports of imports", days(kept.imports_days.into())),
        ("answers to repeated requests", "24 hours".to_owned()),
        ("journal", journal.map_or_else(|| "for ever".to_owned(), days)),
        ("audit trail", shown),
        (
            "consent and policies",
            "as long as the contact, and gone with its erasure; keyed tags of those who opted out stay, which is what \
             keeps them out"
                .to_owned(),
        ),
    ])
}

/// Where the data is.
fn storage(engine: &Engine) -> Result<BTreeMap<&'static str, String>, Error> {
    let backups = engine.backups()?;
    let last = backups.iter().map(|backup| backup.at_ms).max();
    let last = last.map_or_else(String::new, |at| format!(", the last of {}", time(Millis(at))));
    Ok(BTreeMap::from([
        ("memory", "all contacts of the tenant".to_owned()),
        ("journal", "every write, in the server's data directory".to_owned()),
        ("snapshots", "the state, in the server's data directory: the last two".to_owned()),
        ("reports of imports", "outcomes, ids and remarks by line, in the server's data directory".to_owned()),
        ("backups", format!("{} known to this server{last}", backups.len())),
    ]))
}

/// What protects it.
fn security(engine: &Engine, config: &ServerConfig, has_keys: bool) -> BTreeMap<&'static str, String> {
    let yes = |is: bool, yes: &str, no: &str| if is { yes } else { no }.to_owned();
    BTreeMap::from([
        (
            "encryption at rest",
            yes(
                engine.is_sealed(),
                "journal, snapshots and reports are sealed (XChaCha20-Poly1305) under a key of the tenant",
                "off: what is written is plain",
            ),
        ),
        ("access", yes(has_keys, "API keys with roles, kept as hashes", "no key is configured: this machine only")),
        ("transport", yes(config.tls.is_some(), "TLS", "plain: TLS is the business of a proxy in front")),
        ("reach", yes(config.listen.ip().is_loopback(), "listens on this machine only", "listens on the network")),
        (
            "audit",
            yes(
                config.audit_reads,
                "every write, export, subject access, and who was shown which contacts, in a chain of digests",
                "every write, export and subject access, in a chain of digests; who was shown contacts otherwise is not noted",
            ),
        ),
        ("pseudonyms", "no personal data in URLs, logs and metrics".to_owned()),
        ("erasure", "memory at once, every file after it".to_owned()),
    ])
}

/// Fields that are held, how many records have them, how old they are, and whether anything uses them: matching, survivorship,
/// search, or callers who filter and ask by them (counted since the start, coarsely). JSON, or a page with `Accept: text/html`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/privacy/minimisation", tag = "privacy", operation_id = "getMinimisation",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, content((MinimisationOut = "application/json"), (String = "text/html"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn minimisation(scope: Scope, headers: HeaderMap, _: Params<NoParams>) -> Result<Response, Problem> {
    let form = Form::of(&headers, &[Form::Json, Form::Html])?;
    let view = scope.view()?;
    let used = scope.app.usage().used(&scope.tenant);
    let now = scope.engine.world().clock.now();
    let uptime = i64::try_from(scope.app.uptime().as_millis()).unwrap_or(i64::MAX);
    let (tenant, times) = (scope.tenant.to_string(), Times { now, since: Millis(now.0.saturating_sub(uptime)) });
    let report = move || -> Result<MinimisationOut, Error> {
        let records = view.stats().records;
        Ok(MinimisationOut::new(tenant, &view.holdings(), records, view.settings(), &used, times))
    };
    let out = scope.app.heavy(report).await?;
    answer(form, "Fields that are held", &out)
}
