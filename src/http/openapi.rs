//! The OpenAPI document, made from the handlers and the wire types, and the page that shows it.
//!
//! The page's files are part of the binary; it loads nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

use crate::http::delivery::DeliveryBody;
use crate::http::problem::Problem;
use crate::http::{
    accounts, admin, api_keys, audit, backup, changes, conflicts, consent, contacts, discovery, erasures, export,
    groups, imports, keys, merges, models, ops, privacy, records, references, relations, reviews, search, settings,
    stats, subject, webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "selfsame",
        description = "Who is this contact, is it somebody we know, and why.\n\nUnknown fields and parameters are refused by \
            name. Errors are application/problem+json with a stable `code`. A repeat with the same Idempotency-Key gets \
            the first answer, for 24 hours."
    ),
    modifiers(&BearerKey, &SettingsAnswered),
    components(schemas(DeliveryBody, imports::EntityIn)),
    security(("key" = [])),
    tags(
        (name = "contacts", description = "Put, read, edit, list, search and export contacts."),
        (name = "matching", description = "Ask who somebody is, and why."),
        (name = "accounts", description = "Businesses, and who belongs to them."),
        (name = "references", description = "What points at contacts from outside."),
        (name = "merges", description = "Merge by hand, undo any merge."),
        (name = "reviews", description = "Pairs that wait for a person's word."),
        (name = "conflicts", description = "Records whose source contradicts itself."),
        (name = "groups", description = "Groups of contacts."),
        (name = "imports", description = "Stream files in."),
        (name = "changes", description = "The feed of what happened."),
        (name = "webhooks", description = "Have the feed sent to you."),
        (name = "models", description = "Learn from the tenant's own records, look ahead, let it decide."),
        (name = "discovery", description = "Who may be found by whom, and private look-ups."),
        (name = "matrix", description = "Matrix' identity service, off by default: compatible, and no more private than it."),
        (name = "erasure", description = "Forget people for good, and the trail of who did what."),
        (name = "privacy", description = "What is held about a person and why, and restriction."),
        (name = "tenant", description = "A tenant's settings and figures."),
        (name = "admin", description = "The server as a whole."),
        (name = "operations", description = "Health and figures."),
    ),
    paths(
        contacts::upsert, contacts::match_one, contacts::match_batch, contacts::why, contacts::list, contacts::get,
        contacts::patch, contacts::delete, contacts::restore, contacts::records, contacts::history, contacts::how,
        contacts::split, discovery::lookup::lookup, discovery::lookup::rotate, search::search, export::export, records::delete, merges::merge, merges::list, merges::undo,
        reviews::list, reviews::get, reviews::note, reviews::decide, reviews::decide_many, imports::start, imports::list, imports::get,
        imports::get_report, changes::changes, settings::get, settings::put, stats::stats, models::train, models::list,
        models::get, models::preview, models::activate, admin::snapshot,
        accounts::upsert, accounts::ask::match_one, accounts::ask::match_batch, accounts::ask::search,
        accounts::ask::why, accounts::ask::how, accounts::patch, accounts::merge, accounts::merges, accounts::reviews, accounts::decide,
        accounts::delete_record, accounts::ask::list, accounts::get, accounts::delete, accounts::restore, accounts::records,
        accounts::history, accounts::split, relations::accounts, relations::contacts, relations::get, relations::put,
        relations::delete,
        references::list, references::get, references::put, references::delete,
        webhooks::list, webhooks::create, webhooks::get, webhooks::delete, webhooks::dead, webhooks::retry,
        consent::get_policy, consent::put_policy, consent::list_blocks, consent::get_block, consent::put_block,
        consent::delete_block, consent::get_sharing, consent::put_sharing, consent::shared_with, consent::opt_out,
        consent::suggestions, consent::directory_user,
        conflicts::list, conflicts::decide, groups::list, groups::get, groups::put, groups::delete,
        discovery::oprf::info, discovery::evaluate::evaluate, discovery::oprf::buckets, discovery::oprf::filter,
        discovery::reveal::reveal, discovery::matrix::versions, discovery::matrix::ping,
        discovery::matrix::account, discovery::matrix::hash_details, discovery::matrix::lookup,
        erasures::list, erasures::get, erasures::compact, erasures::put_tenant, erasures::delete_tenant,
        erasures::get_tenant_erasure, audit::list, audit::list_of_server, keys::rotate,
        api_keys::list, api_keys::create, api_keys::revoke, api_keys::rotate, backup::start, backup::list,
        subject::access, subject::export, subject::restrict, privacy::register, privacy::minimisation,
        admin::status, admin::tenants, ops::healthz, ops::readyz, ops::metrics,
    )
)]
struct Document;

/// Adds the API key.
struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// The answer with the settings has all that the request has and a seq. The request refuses what it does not know; as a part
/// of the answer that would refuse the seq, so the answer gets properties of its own.
struct SettingsAnswered;

impl Modify for SettingsAnswered {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(schemas) = document.components.as_mut().map(|components| &mut components.schemas) else { return };
        let Some(RefOr::T(Schema::Object(request))) = schemas.get("SettingsBody").cloned() else { return };
        let Some(RefOr::T(Schema::AllOf(answer))) = schemas.get_mut("SettingsAnswer") else { return };
        let mut all = request;
        all.additional_properties = None;
        for part in &answer.items {
            if let RefOr::T(Schema::Object(own)) = part {
                all.properties.extend(own.properties.clone());
                all.required.extend(own.required.clone());
            }
        }
        all.description.clone_from(&answer.description);
        schemas.insert("SettingsAnswer".to_owned(), RefOr::T(Schema::Object(all)));
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    let document = Document::openapi();
    document.to_pretty_json().unwrap_or_default()
});

/// The document as JSON.
pub fn openapi_json() -> String {
    JSON.clone()
}

/// Serves the document.
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], JSON.as_str()).into_response()
}

/// Sends `/docs` on to `/docs/`, where the page's files are relative to.
pub(super) async fn docs() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, HeaderValue::from_static("/docs/"))]).into_response()
}

/// The page itself.
pub(super) async fn docs_page() -> Result<Response, Problem> {
    file("index.html")
}

/// A file of the page.
pub(super) async fn docs_file(Path(name): Path<String>) -> Result<Response, Problem> {
    file(&name)
}

fn file(name: &str) -> Result<Response, Problem> {
    let config = Arc::new(Config::from("/openapi.json").try_it_out_enabled(true).validator_url("none"));
    let found = utoipa_swagger_ui::serve(name, config).map_err(|_| Problem::internal())?;
    let file = found
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_such_path", "the documentation has no such file"))?;
    let mut answer = file.bytes.into_owned().into_response();
    let headers = answer.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::routes::routes;

    fn json() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn every_route_is_in_the_document_and_every_documented_one_is_a_route() {
        let document = json();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        let served: BTreeSet<(String, String)> = routes()
            .iter()
            .filter(|route| route.documented)
            .map(|route| (route.method.to_string(), route.path.to_owned()))
            .collect();
        assert_eq!(served, documented);
    }

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_unique() {
        fn references(value: &Value, out: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    out.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, out));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, out)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let document = json();
        let mut all = BTreeSet::new();
        references(&document, &mut all);
        assert!(all.len() > 20);
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let paths = document["paths"].as_object().unwrap();
        let ids: Vec<&str> = paths
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn the_page_loads_only_its_own_files() {
        let index = String::from_utf8(
            utoipa_swagger_ui::serve("index.html", Arc::new(Config::from("/openapi.json")))
                .unwrap()
                .unwrap()
                .bytes
                .into_owned(),
        )
        .unwrap();
        for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
            assert!(!index.contains(elsewhere), "{index}");
        }
        assert!(file("swagger-initializer.js").is_ok());
        assert_eq!(file("../Cargo.toml").unwrap_err().status, 404);
    }
}
