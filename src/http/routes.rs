//! Which call goes where and who may make it: one table, from which the router is built, whose rules `layer` enforces,
//! and against which the OpenAPI document and the authorisation matrix are tested.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::auth::rule::{
    ADMIN, FIGURES, LOOKUP, MATRIX, Need, Noted, OPEN, OPRF, READ, REVEAL, Rule, SERVER, STEWARD, WRITE,
};
use crate::http::app::App;
use crate::http::{
    accounts, admin, api_keys, audit, backup, changes, conflicts, consent, contacts, discovery, erasures, export,
    groups, imports, keys, layer, merges, models, openapi, ops, privacy, records, references, relations, reviews,
    search, settings, stats, subject, webhooks,
};

/// One call.
#[cfg_attr(not(test), expect(dead_code, reason = "`documented` is what the document is tested against"))]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<App>,
    /// Whether the OpenAPI document describes it; the document and its page do not describe themselves.
    pub(super) documented: bool,
    /// Who may call it. There is no default: a route without a rule does not compile.
    pub(super) rule: Rule,
}

fn route(method: Method, path: &'static str, handler: MethodRouter<App>, rule: Rule) -> Route {
    Route { method, path, handler, documented: true, rule }
}

fn page(path: &'static str, handler: MethodRouter<App>) -> Route {
    Route { method: Method::GET, path, handler, documented: false, rule: OPEN }
}

/// A call and who may make it, for tests that go through all of them.
#[derive(Clone, Debug)]
pub struct RouteRule {
    /// The method.
    pub method: Method,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// Who may.
    pub rule: Rule,
}

/// All calls and who may make them.
pub fn route_rules() -> Vec<RouteRule> {
    let all = routes().into_iter();
    all.map(|Route { method, path, rule, .. }| RouteRule { method, path, rule }).collect()
}

type Rules = HashMap<&'static str, Vec<(Method, Rule)>, foldhash::fast::RandomState>;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules::default();
    for RouteRule { method, path, rule } in route_rules() {
        rules.entry(path).or_default().push((method, rule));
    }
    rules
});

/// The rule of a call; `None` where there is no such call. A HEAD is a GET.
pub(super) fn rule_of(method: &Method, template: &str) -> Option<Rule> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    RULES.get(template)?.iter().find(|(one, _)| one == method).map(|(_, rule)| *rule)
}

/// A template of the table, for as long as the program runs.
pub(super) fn template(path: &str) -> Option<&'static str> {
    RULES.get_key_value(path).map(|(path, _)| *path)
}

/// All calls.
pub(super) fn routes() -> Vec<Route> {
    let mut all = contact_routes();
    all.extend(account_routes());
    all.extend(tenant_routes());
    all.extend(discovery_routes());
    all.extend(server_routes());
    all
}

/// One reference of a contact.
const REFERENCE: &str = "/v1/tenants/{tenant}/contacts/{id}/references/{kind}/{external_id}";

fn contact_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/contacts:upsert", post(contacts::upsert), WRITE.makes_tenants()),
        route(M::POST, "/v1/tenants/{tenant}/contacts:match", post(contacts::match_one), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts:matchBatch", post(contacts::match_batch), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts:why", post(contacts::why), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts:search", post(search::search), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts:merge", post(merges::merge), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/contacts", get(contacts::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}", get(contacts::get), READ),
        route(M::PATCH, "/v1/tenants/{tenant}/contacts/{id}", patch(contacts::patch), WRITE),
        route(
            M::DELETE,
            "/v1/tenants/{tenant}/contacts/{id}",
            delete(contacts::delete),
            WRITE.raised_by("erase", Need::Steward),
        ),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/restore", post(contacts::restore), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/records", get(contacts::records), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/history", get(contacts::history), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/how", get(contacts::how), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/split", post(contacts::split), STEWARD),
        route(
            M::GET,
            "/v1/tenants/{tenant}/contacts/{id}/subject-access",
            get(subject::access),
            STEWARD.noted(Noted::Itself),
        ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/export", get(subject::export), STEWARD.noted(Noted::Itself)),
        route(
            M::POST,
            "/v1/tenants/{tenant}/contacts/{id}/restrict",
            post(subject::restrict),
            STEWARD.noted(Noted::Itself),
        ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/references", get(references::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/discovery", get(consent::get_policy), READ),
        route(M::PUT, "/v1/tenants/{tenant}/contacts/{id}/discovery", put(consent::put_policy), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/blocks", get(consent::list_blocks), READ),
        route(M::GET, BLOCK, get(consent::get_block), READ),
        route(M::PUT, BLOCK, put(consent::put_block), WRITE),
        route(M::DELETE, BLOCK, delete(consent::delete_block), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/sharing", get(consent::get_sharing), READ),
        route(M::PUT, "/v1/tenants/{tenant}/contacts/{id}/sharing", put(consent::put_sharing), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/shared-with/{other_id}", get(consent::shared_with), READ),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/opt-out", post(consent::opt_out), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/suggestions", get(consent::suggestions), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/directory-user", get(consent::directory_user), READ),
        route(M::GET, REFERENCE, get(references::get), READ),
        route(M::PUT, REFERENCE, put(references::put), WRITE),
        route(M::DELETE, REFERENCE, delete(references::delete), WRITE),
    ]
}

/// Who blocks whom.
const BLOCK: &str = "/v1/tenants/{tenant}/contacts/{id}/blocks/{other_id}";

/// A person and a business.
const RELATION: &str = "/v1/tenants/{tenant}/contacts/{id}/accounts/{account_id}";

fn account_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/accounts:upsert", post(accounts::upsert), WRITE.makes_tenants()),
        route(M::POST, "/v1/tenants/{tenant}/accounts:match", post(accounts::ask::match_one), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts:matchBatch", post(accounts::ask::match_batch), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts:search", post(accounts::ask::search), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts:why", post(accounts::ask::why), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts:merge", post(accounts::merge), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/accounts:merges", get(accounts::merges), READ),
        route(M::GET, "/v1/tenants/{tenant}/accounts:reviews", get(accounts::reviews), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts:decide", post(accounts::decide), STEWARD),
        route(M::POST, "/v1/tenants/{tenant}/accounts:deleteRecord", post(accounts::delete_record), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/accounts", get(accounts::ask::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}", get(accounts::get), READ),
        route(M::PATCH, "/v1/tenants/{tenant}/accounts/{id}", patch(accounts::patch), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/how", get(accounts::ask::how), READ),
        route(M::DELETE, "/v1/tenants/{tenant}/accounts/{id}", delete(accounts::delete), WRITE),
        route(M::POST, "/v1/tenants/{tenant}/accounts/{id}/restore", post(accounts::restore), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/records", get(accounts::records), READ),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/history", get(accounts::history), READ),
        route(M::POST, "/v1/tenants/{tenant}/accounts/{id}/split", post(accounts::split), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/contacts", get(relations::contacts), READ),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/accounts", get(relations::accounts), READ),
        route(M::GET, RELATION, get(relations::get), READ),
        route(M::PUT, RELATION, put(relations::put), WRITE),
        route(M::DELETE, RELATION, delete(relations::delete), WRITE),
    ]
}

fn discovery_routes() -> Vec<Route> {
    use Method as M;
    let evaluate = post(discovery::evaluate::evaluate);
    vec![
        route(M::POST, "/v1/tenants/{tenant}/discovery/lookup", post(discovery::lookup::lookup), LOOKUP),
        route(
            M::POST,
            "/v1/tenants/{tenant}/discovery/rotate",
            post(discovery::lookup::rotate),
            ADMIN.noted(Noted::Itself),
        ),
        route(M::GET, "/v1/tenants/{tenant}/discovery/oprf", get(discovery::oprf::info), OPRF),
        route(M::POST, "/v1/tenants/{tenant}/discovery/oprf/evaluate", evaluate, OPRF),
        route(M::POST, "/v1/tenants/{tenant}/discovery/oprf/buckets", post(discovery::oprf::buckets), OPRF),
        route(M::GET, "/v1/tenants/{tenant}/discovery/oprf/filter", get(discovery::oprf::filter), OPRF),
        // It names whom it reveals, which the layer could not.
        route(
            M::POST,
            "/v1/tenants/{tenant}/discovery/reveal",
            post(discovery::reveal::reveal),
            REVEAL.noted(Noted::Itself),
        ),
        route(M::GET, "/_matrix/identity/versions", get(discovery::matrix::versions), OPEN),
        route(M::GET, "/_matrix/identity/v2", get(discovery::matrix::ping), OPEN),
        route(M::GET, "/_matrix/identity/v2/account", get(discovery::matrix::account), MATRIX),
        route(M::GET, "/_matrix/identity/v2/hash_details", get(discovery::matrix::hash_details), MATRIX),
        route(M::POST, "/_matrix/identity/v2/lookup", post(discovery::matrix::lookup), MATRIX),
    ]
}

fn tenant_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/records:delete", post(records::delete), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/merges", get(merges::list), READ),
        route(M::POST, "/v1/tenants/{tenant}/merges/{merge_id}/undo", post(merges::undo), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/reviews", get(reviews::list), READ),
        route(M::POST, "/v1/tenants/{tenant}/reviews:decide", post(reviews::decide_many), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/reviews/{id}", get(reviews::get), READ),
        route(M::PATCH, "/v1/tenants/{tenant}/reviews/{id}", patch(reviews::note), STEWARD),
        route(M::POST, "/v1/tenants/{tenant}/reviews/{id}/decision", post(reviews::decide), STEWARD),
        route(M::POST, "/v1/tenants/{tenant}/imports", post(imports::start), WRITE.makes_tenants()),
        route(M::GET, "/v1/tenants/{tenant}/imports", get(imports::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/imports/{id}", get(imports::get), READ),
        route(M::GET, "/v1/tenants/{tenant}/imports/{id}/report", get(imports::get_report), READ),
        route(M::GET, "/v1/tenants/{tenant}/conflicts", get(conflicts::list), READ),
        route(M::POST, "/v1/tenants/{tenant}/conflicts/{record_id}/decision", post(conflicts::decide), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/groups", get(groups::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/groups/{slug}", get(groups::get), READ),
        route(M::PUT, "/v1/tenants/{tenant}/groups/{slug}", put(groups::put), WRITE.makes_tenants()),
        route(M::DELETE, "/v1/tenants/{tenant}/groups/{slug}", delete(groups::delete), WRITE),
        route(M::GET, "/v1/tenants/{tenant}/erasures", get(erasures::list), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/erasures/{id}", get(erasures::get), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/audit", get(audit::list), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/privacy/register", get(privacy::register), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/privacy/minimisation", get(privacy::minimisation), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/changes", get(changes::changes), READ),
        route(M::GET, "/v1/tenants/{tenant}/webhooks", get(webhooks::list), STEWARD),
        route(
            M::POST,
            "/v1/tenants/{tenant}/webhooks",
            post(webhooks::create),
            ADMIN.makes_tenants().noted(Noted::Itself),
        ),
        route(M::GET, "/v1/tenants/{tenant}/webhooks/{id}", get(webhooks::get), STEWARD),
        route(M::DELETE, "/v1/tenants/{tenant}/webhooks/{id}", delete(webhooks::delete), ADMIN.noted(Noted::Itself)),
        route(M::GET, "/v1/tenants/{tenant}/webhooks/{id}/dead", get(webhooks::dead), STEWARD),
        route(
            M::POST,
            "/v1/tenants/{tenant}/webhooks/{id}/dead/{delivery_id}/retry",
            post(webhooks::retry),
            ADMIN.noted(Noted::Itself),
        ),
        route(
            M::GET,
            "/v1/tenants/{tenant}/export",
            get(export::export),
            STEWARD.noted(Noted::Itself).raised_by("include_restricted", Need::Admin),
        ),
        route(M::GET, "/v1/tenants/{tenant}/settings", get(settings::get), READ),
        route(M::PUT, "/v1/tenants/{tenant}/settings", put(settings::put), ADMIN.makes_tenants().noted(Noted::Itself)),
        route(M::GET, "/v1/tenants/{tenant}/stats", get(stats::stats), READ),
        route(M::POST, "/v1/tenants/{tenant}/train", post(models::train), STEWARD),
        route(M::GET, "/v1/tenants/{tenant}/models", get(models::list), READ),
        route(M::GET, "/v1/tenants/{tenant}/models/{id}", get(models::get), READ),
        route(M::POST, "/v1/tenants/{tenant}/models/{id}/preview", post(models::preview), STEWARD),
        route(M::POST, "/v1/tenants/{tenant}/models/{id}/activate", post(models::activate), STEWARD),
    ]
}

fn server_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/admin/snapshot", post(admin::snapshot), SERVER.noted(Noted::InServer("snapshot"))),
        route(M::POST, "/v1/admin/rotate-key", post(keys::rotate), SERVER.noted(Noted::InServer("rotate-key"))),
        route(M::GET, "/v1/admin/keys", get(api_keys::list), SERVER),
        route(M::POST, "/v1/admin/keys", post(api_keys::create), SERVER.noted(Noted::Itself)),
        route(M::DELETE, "/v1/admin/keys/{id}", delete(api_keys::revoke), SERVER.noted(Noted::Itself)),
        route(M::POST, "/v1/admin/keys/{id}/rotate", post(api_keys::rotate), SERVER.noted(Noted::Itself)),
        route(M::GET, "/v1/admin/audit", get(audit::list_of_server), SERVER),
        route(M::POST, "/v1/admin/backup", post(backup::start), SERVER.noted(Noted::InServer("backup"))),
        route(M::GET, "/v1/admin/backups", get(backup::list), SERVER),
        route(M::GET, "/v1/admin/status", get(admin::status), SERVER),
        route(M::GET, "/v1/admin/tenants", get(admin::tenants), SERVER),
        route(
            M::PUT,
            "/v1/admin/tenants/{tenant}",
            put(erasures::put_tenant),
            ADMIN.makes_tenants().noted(Noted::Itself),
        ),
        route(M::DELETE, "/v1/admin/tenants/{tenant}", delete(erasures::delete_tenant), ADMIN.noted(Noted::Itself)),
        route(M::GET, "/v1/admin/erasures/{id}", get(erasures::get_tenant_erasure), SERVER),
        route(M::POST, "/v1/admin/compact", post(erasures::compact), SERVER.noted(Noted::InServer("compact"))),
        route(M::GET, "/healthz", get(ops::healthz), OPEN),
        route(M::GET, "/readyz", get(ops::readyz), OPEN),
        route(M::GET, "/metrics", get(ops::metrics), FIGURES),
        page("/openapi.json", get(openapi::document)),
        page("/docs", get(openapi::docs)),
        page("/docs/", get(openapi::docs_page)),
        page("/docs/{*file}", get(openapi::docs_file)),
    ]
}

/// The router with everything around it.
pub(super) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    router
        .fallback(layer::no_route)
        .method_not_allowed_fallback(layer::no_method)
        .layer(from_fn_with_state(app.clone(), layer::around))
        .with_state(app)
}
