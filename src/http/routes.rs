//! Which call goes where: one table, from which the router is built and against which the OpenAPI
//! document is tested.

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::http::app::App;
use crate::http::{
    accounts, admin, audit, backup, changes, conflicts, consent, contacts, erasures, export, groups, imports, keys,
    layer, merges, models, openapi, ops, records, references, relations, reviews, search, settings, stats, webhooks,
};

/// One call.
#[cfg_attr(not(test), expect(dead_code, reason = "method and documented are what the document is tested against"))]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<App>,
    /// Whether the OpenAPI document describes it; the document and its page do not describe themselves.
    pub(super) documented: bool,
}

fn route(method: Method, path: &'static str, handler: MethodRouter<App>) -> Route {
    Route { method, path, handler, documented: true }
}

fn page(path: &'static str, handler: MethodRouter<App>) -> Route {
    Route { method: Method::GET, path, handler, documented: false }
}

/// All calls.
pub(super) fn routes() -> Vec<Route> {
    let mut all = contact_routes();
    all.extend(account_routes());
    all.extend(tenant_routes());
    all.extend(server_routes());
    all
}

/// One reference of a contact.
const REFERENCE: &str = "/v1/tenants/{tenant}/contacts/{id}/references/{kind}/{external_id}";

fn contact_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/contacts:upsert", post(contacts::upsert)),
        route(M::POST, "/v1/tenants/{tenant}/contacts:match", post(contacts::match_one)),
        route(M::POST, "/v1/tenants/{tenant}/contacts:matchBatch", post(contacts::match_batch)),
        route(M::POST, "/v1/tenants/{tenant}/contacts:why", post(contacts::why)),
        route(M::POST, "/v1/tenants/{tenant}/contacts:search", post(search::search)),
        route(M::POST, "/v1/tenants/{tenant}/contacts:merge", post(merges::merge)),
        route(M::GET, "/v1/tenants/{tenant}/contacts", get(contacts::list)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}", get(contacts::get)),
        route(M::PATCH, "/v1/tenants/{tenant}/contacts/{id}", patch(contacts::patch)),
        route(M::DELETE, "/v1/tenants/{tenant}/contacts/{id}", delete(contacts::delete)),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/restore", post(contacts::restore)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/records", get(contacts::records)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/history", get(contacts::history)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/how", get(contacts::how)),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/split", post(contacts::split)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/references", get(references::list)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/discovery", get(consent::get_policy)),
        route(M::PUT, "/v1/tenants/{tenant}/contacts/{id}/discovery", put(consent::put_policy)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/blocks", get(consent::list_blocks)),
        route(M::GET, BLOCK, get(consent::get_block)),
        route(M::PUT, BLOCK, put(consent::put_block)),
        route(M::DELETE, BLOCK, delete(consent::delete_block)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/sharing", get(consent::get_sharing)),
        route(M::PUT, "/v1/tenants/{tenant}/contacts/{id}/sharing", put(consent::put_sharing)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/shared-with/{other_id}", get(consent::shared_with)),
        route(M::POST, "/v1/tenants/{tenant}/contacts/{id}/opt-out", post(consent::opt_out)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/suggestions", get(consent::suggestions)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/directory-user", get(consent::directory_user)),
        route(M::GET, REFERENCE, get(references::get)),
        route(M::PUT, REFERENCE, put(references::put)),
        route(M::DELETE, REFERENCE, delete(references::delete)),
    ]
}

/// Who blocks whom.
const BLOCK: &str = "/v1/tenants/{tenant}/contacts/{id}/blocks/{other_id}";

/// A person and a business.
const RELATION: &str = "/v1/tenants/{tenant}/contacts/{id}/accounts/{account_id}";

fn account_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/accounts:upsert", post(accounts::upsert)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:match", post(accounts::ask::match_one)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:matchBatch", post(accounts::ask::match_batch)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:search", post(accounts::ask::search)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:why", post(accounts::ask::why)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:merge", post(accounts::merge)),
        route(M::GET, "/v1/tenants/{tenant}/accounts:merges", get(accounts::merges)),
        route(M::GET, "/v1/tenants/{tenant}/accounts:reviews", get(accounts::reviews)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:decide", post(accounts::decide)),
        route(M::POST, "/v1/tenants/{tenant}/accounts:deleteRecord", post(accounts::delete_record)),
        route(M::GET, "/v1/tenants/{tenant}/accounts", get(accounts::ask::list)),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}", get(accounts::get)),
        route(M::PATCH, "/v1/tenants/{tenant}/accounts/{id}", patch(accounts::patch)),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/how", get(accounts::ask::how)),
        route(M::DELETE, "/v1/tenants/{tenant}/accounts/{id}", delete(accounts::delete)),
        route(M::POST, "/v1/tenants/{tenant}/accounts/{id}/restore", post(accounts::restore)),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/records", get(accounts::records)),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/history", get(accounts::history)),
        route(M::POST, "/v1/tenants/{tenant}/accounts/{id}/split", post(accounts::split)),
        route(M::GET, "/v1/tenants/{tenant}/accounts/{id}/contacts", get(relations::contacts)),
        route(M::GET, "/v1/tenants/{tenant}/contacts/{id}/accounts", get(relations::accounts)),
        route(M::GET, RELATION, get(relations::get)),
        route(M::PUT, RELATION, put(relations::put)),
        route(M::DELETE, RELATION, delete(relations::delete)),
    ]
}

fn tenant_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/tenants/{tenant}/records:delete", post(records::delete)),
        route(M::GET, "/v1/tenants/{tenant}/merges", get(merges::list)),
        route(M::POST, "/v1/tenants/{tenant}/merges/{merge_id}/undo", post(merges::undo)),
        route(M::GET, "/v1/tenants/{tenant}/reviews", get(reviews::list)),
        route(M::POST, "/v1/tenants/{tenant}/reviews:decide", post(reviews::decide_many)),
        route(M::GET, "/v1/tenants/{tenant}/reviews/{id}", get(reviews::get)),
        route(M::PATCH, "/v1/tenants/{tenant}/reviews/{id}", patch(reviews::note)),
        route(M::POST, "/v1/tenants/{tenant}/reviews/{id}/decision", post(reviews::decide)),
        route(M::POST, "/v1/tenants/{tenant}/imports", post(imports::start)),
        route(M::GET, "/v1/tenants/{tenant}/imports", get(imports::list)),
        route(M::GET, "/v1/tenants/{tenant}/imports/{id}", get(imports::get)),
        route(M::GET, "/v1/tenants/{tenant}/imports/{id}/report", get(imports::get_report)),
        route(M::GET, "/v1/tenants/{tenant}/conflicts", get(conflicts::list)),
        route(M::POST, "/v1/tenants/{tenant}/conflicts/{record_id}/decision", post(conflicts::decide)),
        route(M::GET, "/v1/tenants/{tenant}/groups", get(groups::list)),
        route(M::GET, "/v1/tenants/{tenant}/groups/{slug}", get(groups::get)),
        route(M::PUT, "/v1/tenants/{tenant}/groups/{slug}", put(groups::put)),
        route(M::DELETE, "/v1/tenants/{tenant}/groups/{slug}", delete(groups::delete)),
        route(M::GET, "/v1/tenants/{tenant}/erasures", get(erasures::list)),
        route(M::GET, "/v1/tenants/{tenant}/erasures/{id}", get(erasures::get)),
        route(M::GET, "/v1/tenants/{tenant}/audit", get(audit::list)),
        route(M::GET, "/v1/tenants/{tenant}/changes", get(changes::changes)),
        route(M::GET, "/v1/tenants/{tenant}/webhooks", get(webhooks::list)),
        route(M::POST, "/v1/tenants/{tenant}/webhooks", post(webhooks::create)),
        route(M::GET, "/v1/tenants/{tenant}/webhooks/{id}", get(webhooks::get)),
        route(M::DELETE, "/v1/tenants/{tenant}/webhooks/{id}", delete(webhooks::delete)),
        route(M::GET, "/v1/tenants/{tenant}/webhooks/{id}/dead", get(webhooks::dead)),
        route(M::POST, "/v1/tenants/{tenant}/webhooks/{id}/dead/{delivery_id}/retry", post(webhooks::retry)),
        route(M::GET, "/v1/tenants/{tenant}/export", get(export::export)),
        route(M::GET, "/v1/tenants/{tenant}/settings", get(settings::get)),
        route(M::PUT, "/v1/tenants/{tenant}/settings", put(settings::put)),
        route(M::GET, "/v1/tenants/{tenant}/stats", get(stats::stats)),
        route(M::POST, "/v1/tenants/{tenant}/train", post(models::train)),
        route(M::GET, "/v1/tenants/{tenant}/models", get(models::list)),
        route(M::GET, "/v1/tenants/{tenant}/models/{id}", get(models::get)),
        route(M::POST, "/v1/tenants/{tenant}/models/{id}/preview", post(models::preview)),
        route(M::POST, "/v1/tenants/{tenant}/models/{id}/activate", post(models::activate)),
    ]
}

fn server_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/v1/admin/snapshot", post(admin::snapshot)),
        route(M::POST, "/v1/admin/rotate-key", post(keys::rotate)),
        route(M::POST, "/v1/admin/backup", post(backup::start)),
        route(M::GET, "/v1/admin/backups", get(backup::list)),
        route(M::GET, "/v1/admin/status", get(admin::status)),
        route(M::GET, "/v1/admin/tenants", get(admin::tenants)),
        route(M::PUT, "/v1/admin/tenants/{tenant}", put(erasures::put_tenant)),
        route(M::DELETE, "/v1/admin/tenants/{tenant}", delete(erasures::delete_tenant)),
        route(M::GET, "/v1/admin/erasures/{id}", get(erasures::get_tenant_erasure)),
        route(M::POST, "/v1/admin/compact", post(erasures::compact)),
        route(M::GET, "/healthz", get(ops::healthz)),
        route(M::GET, "/readyz", get(ops::readyz)),
        route(M::GET, "/metrics", get(ops::metrics)),
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
