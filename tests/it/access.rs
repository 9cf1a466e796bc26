//! Who may do what, over real HTTP: every route with every role and every sort of tenant, keys from their making to their end,
//! the trail of privileged acts, and what pages of other origins get.

use std::io::{Read, Write};
use std::path::Path;

use selfsame::auth::{Need, Noted, Reach};
use selfsame::host::MemDisk;
use selfsame::http::{RouteRule, route_rules};
use selfsame::model::access::Role;
use serde_json::{Value, json};

use crate::hosted::Hosted;
use crate::server::{Server, call, file, folder, program, stderr, stdout};

const ADMIN: &str = "the-admin-of-everything";

/// A configuration with an admin and one key for each role, on tenants `main` and `crm-*`.
fn with_roles() -> String {
    let mut toml = format!("api_keys = ['{ADMIN}']\nauth_failures_max = 0\n");
    for role in Role::ALL {
        let (id, word) = (id_of(role), role.word());
        toml.push_str(&format!(
            "[[access_keys]]\nid = '{id}'\nkey = '{}'\nroles = ['{word}']\ntenants = ['main', 'crm-*']\n",
            key_of(role)
        ));
    }
    toml
}

fn id_of(role: Role) -> String {
    role.word().replace(':', "-")
}

fn key_of(role: Role) -> String {
    format!("the-key-of-{}-00000000", id_of(role))
}

/// A route's path for a tenant, with ids that are well-formed and nobody's.
fn path_of(route: &RouteRule, tenant: &str) -> String {
    let filled = route.path.replace("{tenant}", tenant).replace("{*file}", "index.css");
    let mut path = String::new();
    let mut rest = filled.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        path.push_str("0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978");
        rest = after.split_once('}').unwrap().1;
    }
    path + rest
}

/// What the documentation says of a role, written down again apart from the code that decides.
fn documented(role: Role, need: Need) -> bool {
    let reads = [Role::Reader, Role::Writer, Role::Steward, Role::Admin].contains(&role);
    match need {
        Need::Nothing | Need::Key => true,
        Need::Reader => reads,
        Need::Writer => reads && role != Role::Reader,
        Need::Steward => role == Role::Steward || role == Role::Admin,
        Need::Admin => role == Role::Admin,
        Need::Lookup => [Role::Admin, Role::Discovery, Role::DiscoveryLookup].contains(&role),
        Need::Matrix => [Role::Admin, Role::Discovery, Role::DiscoveryMatrix].contains(&role),
        Need::Oprf => [Role::Admin, Role::Discovery, Role::DiscoveryOprf].contains(&role),
        Need::Reveal => [Role::Admin, Role::Discovery, Role::DiscoveryReveal].contains(&role),
    }
}

fn is_refusal(status: u16) -> bool {
    status == 401 || status == 403
}

/// The matrix: each route of the table times each role times a tenant of the key's, one that is not, and one that does not
/// exist; and without a key.
#[test]
fn every_route_asks_every_role_for_what_its_rule_says() {
    let hosted = Hosted::start(&with_roles());
    for tenant in ["main", "crm-eu", "other"] {
        assert_eq!(hosted.ask("PUT", &format!("/v1/admin/tenants/{tenant}"), ADMIN, None).status, 200);
    }
    let (mut asked, mut wrong) = (0, Vec::new());
    for route in route_rules() {
        let method = route.method.as_str();
        let mut check = |who: &str, key: &str, path: &str, may: bool, stranger: bool| {
            let answer = hosted.ask(method, path, key, None);
            asked += 1;
            let refused = if stranger { answer.status == 401 } else { answer.status == 403 };
            let ok = if may { !is_refusal(answer.status) } else { refused };
            if !ok || answer.status >= 500 {
                wrong.push(format!("{who}: {method} {path}: {} {}", answer.status, answer.json()["detail"]));
            }
            if path == "/v1/admin/tenants/main" && answer.status == 200 {
                hosted.ask("PUT", path, ADMIN, None);
            }
        };
        let open = route.rule.need == Need::Nothing;
        let of_tenant = route.path.contains("{tenant}");
        assert_eq!(of_tenant, route.rule.reach == Reach::Tenant, "{}: its reach and its path disagree", route.path);
        check("nobody", "", &path_of(&route, "main"), open, true);
        check("a wrong key", "not-a-key-of-anybody", &path_of(&route, "main"), false, true);
        for role in Role::ALL {
            for (tenant, is_own) in [("main", true), ("other", false), ("no-such-tenant", false)] {
                let reached = match route.rule.reach {
                    Reach::Tenant => is_own,
                    Reach::Server => false,
                    Reach::Chosen => true,
                };
                let may = open || (reached && documented(role, route.rule.need));
                check(role.word(), &key_of(role), &path_of(&route, tenant), may, false);
            }
        }
        check("the admin of everything", ADMIN, &path_of(&route, "other"), true, false);
        if route.path == "/v1/admin/tenants/{tenant}" {
            hosted.ask("PUT", "/v1/admin/tenants/other", ADMIN, None);
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 2500, "{asked}");
}

/// The table itself: what a reader might do by mistake of ours would show here.
#[test]
fn the_rules_say_what_is_documented() {
    let all = route_rules();
    let need = |method: &str, path: &str| {
        let found = all.iter().find(|one| one.method.as_str() == method && one.path == path);
        found.unwrap_or_else(|| panic!("no {method} {path}")).rule
    };
    let t = "/v1/tenants/{tenant}";
    for (method, path, wanted) in [
        ("GET", format!("{t}/contacts/{{id}}"), Need::Reader),
        ("POST", format!("{t}/contacts:match"), Need::Reader),
        ("GET", format!("{t}/changes"), Need::Reader),
        ("POST", format!("{t}/contacts:upsert"), Need::Writer),
        ("POST", format!("{t}/imports"), Need::Writer),
        ("DELETE", format!("{t}/contacts/{{id}}"), Need::Writer),
        ("POST", format!("{t}/contacts:merge"), Need::Steward),
        ("POST", format!("{t}/reviews/{{id}}/decision"), Need::Steward),
        ("GET", format!("{t}/export"), Need::Steward),
        ("GET", format!("{t}/audit"), Need::Steward),
        ("PUT", format!("{t}/settings"), Need::Admin),
        ("POST", format!("{t}/webhooks"), Need::Admin),
        ("DELETE", "/v1/admin/tenants/{tenant}".into(), Need::Admin),
        ("POST", "/v1/admin/keys".into(), Need::Admin),
        ("GET", "/metrics".into(), Need::Reader),
        ("GET", "/healthz".into(), Need::Nothing),
    ] {
        assert_eq!(need(method, &path).need, wanted, "{method} {path}");
    }
    let asks = ["match", "matchBatch", "why", "search"];
    for route in &all {
        let is_question = asks.iter().any(|ask| route.path.ends_with(&format!(":{ask}")));
        let changes = route.method.as_str() != "GET" && !is_question;
        assert!(!changes || route.rule.need != Need::Reader, "{} {} changes something", route.method, route.path);
        let is_admin = route.path.starts_with("/v1/admin/");
        assert!(!is_admin || route.rule.need == Need::Admin, "{}", route.path);
        let open = ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/", "/docs/{*file}"];
        let is_matrix_greeting = route.path.starts_with("/_matrix/") && route.method.as_str() == "GET";
        assert!(
            route.rule.need != Need::Nothing || open.contains(&route.path) || is_matrix_greeting,
            "{} is open to everybody",
            route.path
        );
    }
    let noted: Vec<&str> = all.iter().filter(|one| one.rule.noted != Noted::No).map(|one| one.path).collect();
    for path in
        [&format!("{t}/export"), &format!("{t}/settings"), "/v1/admin/backup", "/v1/admin/rotate-key", "/v1/admin/keys"]
    {
        assert!(noted.contains(&path), "{path} leaves no trail");
    }
}

fn upsert(hosted: &Hosted, tenant: &str, key: &str) -> u16 {
    let record = json!({"record": {"source_record_id": "1", "name": "Ada Lovelace", "email": "ada@example.org"}});
    hosted.ask("POST", &format!("/v1/tenants/{tenant}/contacts:upsert"), key, Some(&record)).status
}

#[test]
fn a_key_cannot_find_out_which_tenants_there_are() {
    let hosted = Hosted::start(&with_roles());
    assert_eq!(upsert(&hosted, "other", ADMIN), 200);
    let key = key_of(Role::Admin);
    for (method, rest) in [
        ("GET", "stats"),
        ("GET", "contacts"),
        ("POST", "contacts:match"),
        ("PUT", "settings"),
        ("GET", "export"),
        ("POST", "imports"),
        ("GET", "no/such/path"),
    ] {
        let [there, not_there, no_name] = ["other", "never-made", "%2e%2e"]
            .map(|tenant| hosted.ask(method, &format!("/v1/tenants/{tenant}/{rest}"), &key, None).told());
        assert_eq!(there, not_there, "{method} {rest}");
        assert_eq!(there, no_name, "{method} {rest}");
        assert!(there.status == 403 || rest == "no/such/path", "{there:?}");
    }
    for tenant in ["other", "never-made"] {
        let gone = hosted.ask("DELETE", &format!("/v1/admin/tenants/{tenant}"), &key, None);
        assert_eq!((gone.status, gone.code().as_str()), (403, "denied"));
    }
    let own = hosted.ask("GET", "/v1/tenants/crm-eu/stats", &key, None);
    assert_eq!((own.status, own.code().as_str()), (404, "tenant_unknown"), "of its own it may know");
}

#[test]
fn only_keys_that_may_make_tenants_by_writing() {
    let toml = format!(
        "{}[[access_keys]]\nid = 'app'\nkey = 'the-key-of-an-app-0000'\nroles = ['writer']\ntenants = ['book-*']\ncreate_tenants = true\n",
        with_roles()
    );
    let hosted = Hosted::start(&toml);
    let (writer, app) = (key_of(Role::Writer), "the-key-of-an-app-0000");
    assert_eq!(upsert(&hosted, "main", &writer), 403, "there is no such tenant yet");
    assert_eq!(hosted.ask("GET", "/v1/tenants/main/stats", &writer, None).status, 404);
    assert_eq!(upsert(&hosted, "main", &key_of(Role::Admin)), 200);
    assert_eq!(upsert(&hosted, "main", &writer), 200, "now it may");
    assert_eq!(upsert(&hosted, "book-17", app), 200);
    assert_eq!(upsert(&hosted, "crm-17", app), 403);
}

#[test]
fn a_parameter_that_erases_needs_a_steward() {
    let hosted = Hosted::start(&with_roles());
    assert_eq!(upsert(&hosted, "main", ADMIN), 200);
    let page = hosted.ask("GET", "/v1/tenants/main/contacts", &key_of(Role::Reader), None).json();
    let id = page["items"][0]["contact_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tenants/main/contacts/{id}");
    for query in ["?erase=true", "?%65rase=true", "?erase=false&erase=true", "?erase=TRUE", "?erase=%ff"] {
        let answer = hosted.ask("DELETE", &format!("{path}{query}"), &key_of(Role::Writer), None);
        assert_eq!(answer.status, 403, "{query}: {answer:?}");
    }
    assert_eq!(hosted.ask("DELETE", &path, &key_of(Role::Writer), None).status, 200);
    assert_eq!(hosted.ask("POST", &format!("{path}/restore"), &key_of(Role::Writer), None).status, 200);
    assert_eq!(hosted.ask("DELETE", &format!("{path}?erase=true"), &key_of(Role::Steward), None).status, 200);
}

/// `(what, actor, detail)` of a trail.
fn trail(hosted: &Hosted, path: &str) -> Vec<(String, String, String)> {
    let items = hosted.ask("GET", path, ADMIN, None).json()["items"].as_array().unwrap().clone();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    items.iter().map(|entry| (text(entry, "what"), text(entry, "actor"), text(entry, "detail"))).collect()
}

#[test]
fn privileged_acts_are_in_the_trail_with_the_key_that_did_them() {
    let hosted = Hosted::start(&with_roles());
    assert_eq!(upsert(&hosted, "main", ADMIN), 200);
    let steward = key_of(Role::Steward);
    let page = hosted.ask("GET", "/v1/tenants/main/contacts", &steward, None).json();
    let id = page["items"][0]["contact_id"].as_str().unwrap().to_owned();
    assert_eq!(hosted.ask("GET", "/v1/tenants/main/export", &steward, None).status, 200);
    assert_eq!(hosted.ask("DELETE", &format!("/v1/tenants/main/contacts/{id}?erase=true"), &steward, None).status, 200);
    let settings = json!({"default_region": "GB"});
    assert_eq!(hosted.ask("PUT", "/v1/tenants/main/settings", &key_of(Role::Admin), Some(&settings)).status, 200);
    let of_tenant = trail(&hosted, "/v1/tenants/main/audit");
    for (what, actor, detail) in
        [("Accessed", "key:steward", "export"), ("Erased", "key:steward", ""), ("SettingsSet", "key:admin", "")]
    {
        let entry = (what.to_owned(), actor.to_owned(), detail.to_owned());
        assert!(of_tenant.contains(&entry), "{entry:?} is not in {of_tenant:#?}");
    }
    let boss = trail(&hosted, "/v1/tenants/main/audit")[1].1.clone();
    assert!(boss.starts_with("key:") && boss.len() == 12, "{boss}");

    let made =
        hosted.ask("POST", "/v1/admin/keys", ADMIN, Some(&json!({"roles": ["reader"], "tenants": ["*"]}))).json();
    let key_id = made["id"].as_str().unwrap();
    let rotated = hosted.ask("POST", &format!("/v1/admin/keys/{key_id}/rotate"), ADMIN, Some(&json!({})));
    assert_eq!(rotated.status, 200);
    assert_eq!(hosted.ask("DELETE", &format!("/v1/admin/keys/{key_id}"), ADMIN, None).status, 200);
    assert_eq!(hosted.ask("POST", "/v1/admin/rotate-key", ADMIN, Some(&json!({"tenant": "main"}))).status, 200);
    assert_eq!(hosted.ask("POST", "/v1/admin/rotate-key", ADMIN, Some(&json!({"tenant": "Not A Name"}))).status, 400);
    assert_eq!(hosted.ask("POST", "/v1/admin/backup", ADMIN, Some(&json!({"dir": "/copy"}))).status, 200);
    let of_server: Vec<_> = trail(&hosted, "/v1/admin/audit").into_iter().skip(1).collect();
    let wanted = [
        ("ApiKeyPut", key_id),
        ("ApiKeyRotated", key_id),
        ("ApiKeyRevoked", key_id),
        ("Acted", "rotate-key"),
        ("Acted", "backup"),
    ];
    let wanted = wanted.map(|(what, detail)| (what.to_owned(), boss.clone(), detail.to_owned()));
    assert_eq!(of_server, wanted, "each once, and what was refused is not among them");
}

#[test]
fn a_key_that_asks_too_often_hears_when_to_come_back() {
    let toml = "[[access_keys]]\nid = 'slow'\nkey = 'the-key-that-is-slow'\nroles = ['reader']\ntenants = ['*']\n\
        requests_per_second = 1\nburst = 3\n";
    let hosted = Hosted::start(toml);
    let statuses: Vec<u16> =
        (0..4).map(|_| hosted.ask("GET", "/metrics", "the-key-that-is-slow", None).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    let refused = hosted.ask("GET", "/metrics", "the-key-that-is-slow", None);
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[test]
fn whoever_guesses_keys_is_slowed_down() {
    let hosted = Hosted::start(&format!("api_keys = ['{ADMIN}']\nauth_failures_max = 5\n"));
    let made =
        hosted.ask("POST", "/v1/admin/keys", ADMIN, Some(&json!({"roles": ["reader"], "tenants": ["*"]}))).json();
    let ours = made["key"].as_str().unwrap();
    let guesses: Vec<u16> =
        (0..20).map(|n| hosted.ask("GET", "/metrics", &format!("guess-number-{n:04}"), None).status).collect();
    assert!(guesses[..5].iter().all(|status| *status == 401), "{guesses:?}");
    assert!(guesses.iter().filter(|status| **status == 429).count() >= 10, "{guesses:?}");
    assert_eq!(hosted.ask("GET", "/metrics", ours, None).status, 200, "a key of ours is nobody's guess");
}

#[test]
fn answers_are_kept_out_of_caches_and_frames_and_pages_of_other_origins() {
    let hosted = Hosted::start(&format!("api_keys = ['{ADMIN}']\ncors_origins = ['https://app.example.com']\n"));
    let bearer = format!("Authorization: Bearer {ADMIN}\r\n");
    let preflight = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization\r\n";
    for path in ["/healthz", "/v1/tenants/main/stats", "/v1/admin/keys", "/docs/", "/no/such/path"] {
        let answer = hosted.send("GET", path, &bearer, b"");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "nothing to insist on over plain HTTP");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    let (ours, theirs) = ("Origin: https://app.example.com\r\n", "Origin: https://evil.example\r\n");
    let asked = hosted.send("OPTIONS", "/v1/tenants/main/settings", &format!("{ours}{preflight}"), b"");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some("https://app.example.com")));
    assert!(asked.header("access-control-allow-methods").unwrap().contains("PUT"));
    assert!(asked.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(asked.header("access-control-allow-credentials"), None);
    let asked = hosted.send("OPTIONS", "/v1/tenants/main/settings", &format!("{theirs}{preflight}"), b"");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (401, None));
    let seen = hosted.send("GET", "/v1/tenants/main/stats", &format!("{ours}{bearer}"), b"");
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (404, Some("https://app.example.com")));
    let refused = hosted.send("GET", "/v1/tenants/main/stats", ours, b"");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("https://app.example.com")));
    let unseen = hosted.send("GET", "/v1/tenants/main/stats", &format!("{theirs}{bearer}"), b"");
    assert_eq!(unseen.header("access-control-allow-origin"), None, "a page of theirs does not see the answer");
}

#[test]
fn keys_made_while_it_runs_outlive_a_restart_and_their_last_use_too() {
    let disk = MemDisk::new();
    let toml = format!("api_keys = ['{ADMIN}']\n");
    let mut hosted = Hosted::start_on(&disk, &toml);
    let new = json!({"roles": ["reader", "discovery:lookup"], "tenants": ["crm-*", "main"], "label": "the shop",
        "principal": "shop", "requests_per_second": 100, "expires_at": "2999-01-01T00:00:00Z", "create_tenants": true});
    let made = hosted.ask("POST", "/v1/admin/keys", ADMIN, Some(&new));
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    assert!(key.starts_with(&format!("ssk_{id}_")), "a leaked key can be recognised and named");
    assert_eq!(upsert(&hosted, "main", ADMIN), 200);
    let read = |hosted: &Hosted| hosted.ask("GET", "/v1/tenants/main/stats", &key, None).status;
    assert_eq!(read(&hosted), 200);
    let listed = |hosted: &Hosted| {
        let items = hosted.ask("GET", "/v1/admin/keys", ADMIN, None).json()["items"].as_array().unwrap().clone();
        items.into_iter().find(|one| one["id"] == id.as_str()).unwrap()
    };
    let before = listed(&hosted);
    assert!(before["last_used_at"].is_string() && before.get("key").is_none() && before.get("hash").is_none());
    for _ in 0..2 {
        hosted.stop();
        hosted.engine.shutdown().unwrap();
        drop(hosted);
        hosted = Hosted::start_on(&disk, &toml);
        assert_eq!(listed(&hosted), before);
    }
    assert_eq!(read(&hosted), 200);
    let rotated = hosted.ask("POST", &format!("/v1/admin/keys/{id}/rotate"), ADMIN, Some(&json!({"overlap_hours": 1})));
    let newer = rotated.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(hosted.ask("GET", "/v1/tenants/main/stats", &newer, None).status, 200);
    assert_eq!(read(&hosted), 200, "the old one works on for an hour");
    assert_eq!(hosted.ask("DELETE", &format!("/v1/admin/keys/{id}"), ADMIN, None).json()["status"], "revoked");
    for dead in [&key, &newer] {
        assert_eq!(hosted.ask("GET", "/v1/tenants/main/stats", dead, None).status, 401);
    }
    assert_eq!(hosted.ask("DELETE", &format!("/v1/admin/keys/{id}"), ADMIN, None).code(), "key_unknown");
}

#[test]
fn an_open_feed_ends_with_its_key() {
    let hosted = Hosted::start(&format!("api_keys = ['{ADMIN}']\n"));
    assert_eq!(upsert(&hosted, "main", ADMIN), 200);
    let made =
        hosted.ask("POST", "/v1/admin/keys", ADMIN, Some(&json!({"roles": ["reader"], "tenants": ["*"]}))).json();
    let mut stream = hosted.connect();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let asked = format!(
        "GET /v1/tenants/main/changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: created") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
    assert_eq!(hosted.ask("DELETE", &format!("/v1/admin/keys/{id}"), ADMIN, None).status, 200);
    let other = json!({"record": {"source_record_id": "2", "name": "Alan Turing"}});
    assert_eq!(hosted.ask("POST", "/v1/tenants/main/contacts:upsert", ADMIN, Some(&other)).status, 200);
    seen.clear();
    stream.read_to_end(&mut seen).unwrap();
    assert!(!String::from_utf8_lossy(&seen).contains("event: created"), "{}", String::from_utf8_lossy(&seen));
}

#[test]
fn a_bad_key_request_names_its_field() {
    let hosted = Hosted::start(&format!("api_keys = ['{ADMIN}']\n"));
    for (body, field) in [
        (json!({"roles": [], "tenants": ["*"]}), "roles"),
        (json!({"roles": ["king"], "tenants": ["*"]}), "roles[0]"),
        (json!({"roles": ["reader"], "tenants": ["../x"]}), "tenants[0]"),
        (json!({"roles": ["reader"], "tenants": ["*"], "expires_at": "soon"}), "expires_at"),
        (json!({"roles": ["reader"], "tenants": ["*"], "requests_per_second": 0}), "requests_per_second"),
        (json!({"roles": ["reader"], "tenants": ["*"], "colour": "red"}), "colour"),
    ] {
        let answer = hosted.ask("POST", "/v1/admin/keys", ADMIN, Some(&body));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{answer:?}");
    }
    let configured =
        hosted.ask("GET", "/v1/admin/keys", ADMIN, None).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let refused = hosted.ask("DELETE", &format!("/v1/admin/keys/{configured}"), ADMIN, None);
    assert_eq!((refused.status, refused.code().as_str()), (409, "key_configured"));
}

/// Whether any file below a folder holds some bytes.
fn anywhere(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return anywhere(&path, wanted);
        }
        std::fs::read(&path).unwrap().windows(wanted.len()).any(|window| window == wanted)
    })
}

/// The real program: the first key is shown once, the commands work with it, and it is still good after a restart.
#[test]
fn the_first_admin_key_is_shown_once_and_opens_the_rest() {
    let home = folder();
    let data = home.path().join("data");
    let server = Server::start_with(&data, &["--require-keys"]);
    let said = server.said().join("\n");
    let key =
        said.split_whitespace().find(|word| word.starts_with("ssk_")).unwrap_or_else(|| panic!("{said}")).to_owned();
    let (status, _) = call(server.address(), "GET", "/v1/admin/status", "", b"").unwrap();
    assert_eq!(status, 401);
    let with = |key: &str, arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("SELFSAME_KEY", key).env("SELFSAME_URL", server.url()).output().unwrap()
    };
    let made = with(
        &key,
        &["--json", "keys", "create", "--role", "writer", "--on", "main", "--create-tenants", "--label", "shop"],
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let made: Value = serde_json::from_str(&stdout(&made)).unwrap();
    let (id, shop) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let people = file(home.path(), "people.csv", "id,name\n1,Ada Lovelace\n2,Alan Turing\n");
    let imported = with(shop, &["import", people.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    let elsewhere = with(shop, &["import", people.to_str().unwrap(), "--tenant", "other"]);
    assert_eq!(elsewhere.status.code(), Some(1), "{}", stderr(&elsewhere));
    let listed = stdout(&with(&key, &["keys", "list"]));
    assert!(listed.contains(id) && listed.contains("shop") && listed.contains("first"), "{listed}");
    assert!(!listed.contains(shop) && !listed.contains(&key), "{listed}");
    let rotated = with(&key, &["--json", "keys", "rotate", id, "--overlap-hours", "0"]);
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    assert_eq!(with(shop, &["stats"]).status.code(), Some(1), "its secret is another now");
    let whole = with(&key, &["keys", "revoke", shop]);
    assert_eq!(whole.status.code(), Some(2), "the whole key goes nowhere");
    assert!(!stderr(&whole).contains(shop));
    assert!(with(&key, &["keys", "revoke", id]).status.success());
    assert!(stdout(&with(&key, &["keys", "list"])).contains("revoked"));

    assert_eq!(server.stop(), Some(0));
    for secret in [key.as_str(), shop].map(|key| key.rsplit('_').next().unwrap()) {
        assert!(!anywhere(home.path(), secret.as_bytes()), "no file holds a secret");
    }
    assert!(anywhere(home.path(), b"Lovelace"), "what the search does find");
    let server = Server::start_with(&data, &["--require-keys"]);
    assert!(!server.said().join("\n").contains("ssk_"), "never again");
    let status = program(&["keys", "list", "--key", &key, "--url", &server.url()]).output().unwrap();
    assert!(status.status.success(), "{}", stderr(&status));
    assert_eq!(server.stop(), Some(0));
    let closed = Server::start(&data);
    let (status, _) = call(closed.address(), "GET", "/v1/admin/status", "", b"").unwrap();
    assert_eq!(status, 401, "keys that are stored close the server, with or without the option");
}
