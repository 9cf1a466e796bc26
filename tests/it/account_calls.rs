//! What callers ask of accounts over HTTP, how they edit them, and files of them, in and out.

use std::io::Cursor;

use selfsame::formats::{AccountRecord, Format, ReadOptions, Row, open_accounts};
use serde_json::{Value, json};

use crate::server::{Server, call, folder};

/// Status and answer of a call on tenant `main`.
fn send(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let path = format!("/v1/tenants/main/{path}");
    let media = if method == "GET" { "" } else { "application/json" };
    let (status, body) = call(server.address(), method, &path, media, body.as_bytes()).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Puts an account record and returns its account and record.
fn put(server: &Server, record: Value) -> (String, String) {
    let result = server.post("accounts:upsert", &json!({"record": record}))["results"][0].clone();
    let text = |name: &str| result[name].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
    (text("account_id"), text("record_id"))
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn accounts_are_asked_about_over_http() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let (acme, first) = put(
        &server,
        json!({"source": "crm", "source_record_id": "1", "name": "Acme Widgets Inc", "domain": "acme.com",
            "addresses": [{"city": "Boston", "country": "US"}], "tags": ["vip"], "phones": ["(212) 555-0123"]}),
    );
    let (zed, second) =
        put(&server, json!({"source": "web", "source_record_id": "2", "name": "Zed", "domain": "zed.io"}));
    let (status, _) = send(
        &server,
        "POST",
        "accounts:upsert",
        r#"{"record": {"source": "web", "source_record_id": "3",
        "name": "Acme Widgets", "addresses": [{"city": "Boston", "country": "US"}]}}"#,
    );
    assert_eq!(status, 200);

    let batch = json!({"queries": {
        "known": {"account": {"name": "Acme", "domain": "www.acme.com"}},
        "left out": {"account": {"domain": "acme.com"}, "exclude": [acme]},
        "new": {"account": {"name": "Nobody at all"}}
    }, "limit": 1});
    let answers = server.post("accounts:matchBatch", &batch)["results"].clone();
    let known = &answers["known"];
    assert_eq!((&known["decision"], &known["candidates"][0]["account_id"]), (&json!("match"), &json!(acme)));
    assert_eq!(known["candidates"][0]["explanation"][0]["level"], "shared", "{known}");
    assert_eq!((&answers["new"]["decision"], &answers["left out"]["candidates"]), (&json!("no_match"), &json!([])));

    for (body, found, highlight) in [
        (json!({"q": "acme widgits"}), vec![&acme], Some(("name", "<em>Acme</em> <em>Widgets</em>"))),
        (json!({"q": "https://acme.com/x"}), vec![&acme], None),
        (json!({"q": "+1 212 555 0123"}), vec![&acme], None),
        (json!({"q": "+1 212 555 9999"}), vec![], None),
        (json!({"q": "zed", "source": "crm"}), vec![], None),
        (
            json!({"q": "acme", "tag": "vip", "domain": "acme.com", "updated_after": "2020-01-01T00:00:00Z"}),
            vec![&acme],
            None,
        ),
        (json!({"q": "acme", "updated_after": "2200-01-01T00:00:00Z"}), vec![], None),
    ] {
        let page = server.post("accounts:search", &body);
        let items = page["items"].as_array().unwrap();
        let ids: Vec<&str> = items.iter().map(|hit| hit["account"]["account_id"].as_str().unwrap()).collect();
        assert_eq!(ids, found, "{body}");
        if let Some((field, text)) = highlight {
            assert_eq!(items[0]["highlights"][0], json!({"field": field, "text": text}), "{page}");
        }
    }
    let page = server.get("accounts?limit=1");
    assert_eq!(names(&page), ["Acme Widgets"]);
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(names(&server.get(&format!("accounts?limit=1&cursor={next}"))), ["Zed"]);
    assert_eq!(names(&server.get("accounts?tag=vip&source=crm")), ["Acme Widgets"]);
    assert_eq!(names(&server.get("accounts?source=web&domain=zed.io")), ["Zed"]);
    assert_eq!(names(&server.get("accounts?updated_after=2200-01-01T00:00:00Z")), [""; 0]);

    let why = |left: Value, right: Value| server.post("accounts:why", &json!({"left": left, "right": right}));
    let apart = why(json!(acme), json!({"account_id": zed}));
    assert_eq!((&apart["same_account"], &apart["candidate"]), (&json!(false), &json!(false)));
    assert!(apart["missing"].as_array().unwrap().len() >= 2, "{apart}");
    let same = why(json!({"record_id": first}), json!({"name": "Other", "domain": "acme.com"}));
    assert_eq!((&same["rule"], &same["left"], &same["right"]), (&json!("domain"), &json!(first), &Value::Null));
    assert_eq!((&same["same_account"], &same["missing"]), (&json!(true), &json!([])), "{same}");
    assert_eq!(why(json!(second), json!(second))["same_account"], true, "a bare id may be a record's");
    let steps = server.get(&format!("accounts/{acme}/how"))["steps"].clone();
    assert_eq!((steps.as_array().unwrap().len(), &steps[0]["survivor"]), (1, &json!(acme)));
    assert_eq!(steps[0]["evidence_now"]["rule"], "name_and_place", "{steps}");
    assert_eq!(steps[0]["evidence_now"], steps[0]["evidence_then"]);

    for (path, body, field) in [
        ("accounts:matchBatch", json!({"queries": {"a": {"account": {"nmae": "x"}}}}), "queries.a.account.nmae"),
        ("accounts:matchBatch", json!({"queries": {"a": {"account": {"tags": ["x"]}}}}), "queries.a.account.record"),
        ("accounts:matchBatch", json!({"queries": {}}), "queries"),
        ("accounts:search", json!({"q": " "}), "q"),
        ("accounts:search", json!({"q": "acme", "cursor": "x"}), "cursor"),
        ("accounts:search", json!({"q": "acme", "group": "x"}), "group"),
        ("accounts:why", json!({"left": {"nmae": "x"}, "right": acme}), "left.nmae"),
        ("accounts:why", json!({"left": acme, "right": {"contact_id": acme}}), "right.contact_id"),
    ] {
        let (status, problem) = server.try_post(path, &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{path} {body} {problem}");
    }
    let unknown = json!({"left": "0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978", "right": acme});
    assert_eq!(server.try_post("accounts:why", &unknown).1["code"], "record_unknown");
    assert_eq!(send(&server, "GET", "accounts?group=x", "").1["field"], "group");
}

#[test]
fn accounts_are_edited_over_http_and_their_past_is_told() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    let record = json!({"source": "crm", "source_record_id": "1", "name": "Acme Inc", "domain": "acme.com",
        "industry": "Anvils", "technologies": ["rust", "sql"], "phones": ["(212) 555-0123"], "attributes": {"a": 1, "b": 2}});
    let (acme, _) = put(&server, record.clone());
    let path = format!("accounts/{acme}");
    let before = server.get(&path);
    let seq = before["seq"].as_u64().unwrap();
    let patch = json!({"name": "Acme Corporation", "industry": "Rockets", "technologies": ["rust"], "phones": null,
        "attributes": {"b": null}, "addresses": [{"city": "Boston", "country": "US"}]});
    let (status, after) = send(&server, "PATCH", &path, &patch.to_string());
    assert_eq!(status, 200, "{after}");
    for (field, value) in [
        ("name", json!("Acme Corporation")),
        ("industry", json!("Rockets")),
        ("technologies", json!(["rust"])),
        ("phones", Value::Null),
        ("attributes", json!({"a": 1})),
        ("domain_normalized", json!("acme.com")),
        ("sources", json!(["crm"])),
    ] {
        assert_eq!(after[field], value, "{field}: {after}");
    }
    let from = &after["provenance"];
    assert_eq!((&from["name"]["rule"], &from["industry"]["source"]), (&json!("manual"), &json!("manual")), "{from}");
    assert_eq!((&from["technologies[0]"]["source"], &from["domain"]["source"]), (&json!("manual"), &json!("crm")));
    let records = server.get(&format!("{path}/records"))["records"].clone();
    assert_eq!((records.as_array().unwrap().len(), &records[1]["source"]), (2, &json!("manual")), "{records}");

    // A repeat of the source changes nothing; a change of it goes behind the edit.
    assert_eq!(server.post("accounts:upsert", &json!({"record": record}))["results"][0]["outcome"], "unchanged");
    let mut changed = record;
    changed["industry"] = json!("Steel");
    put(&server, changed);
    let (_, cleared) = send(&server, "PATCH", &path, r#"{"industry": null}"#);
    assert_eq!(cleared["industry"], Value::Null, "{cleared}");

    let history = server.get(&format!("{path}/history"))["changes"].clone();
    let of = |field: &str| -> Vec<Value> {
        let changes = history.as_array().unwrap().iter().filter(|change| change["field"] == field);
        changes.map(|change| json!([change["old"], change["new"], change["source"], change["rule"]])).collect()
    };
    assert_eq!(
        of("industry"),
        [
            json!([null, "Anvils", "crm", "prefer_new_if_not_null"]),
            json!(["Anvils", "Rockets", "manual", "manual"]),
            json!(["Rockets", null, "manual", ""]),
        ]
    );
    assert_eq!(of("name")[1], json!(["Acme Inc", "Acme Corporation", "manual", "manual"]));
    assert_eq!(of("technologies")[1][1], json!(["rust"]));
    assert_eq!((of("domain").len(), of("domain_normalized").len(), of("phones").len()), (1, 1, 2));

    let then = server.get(&format!("{path}?as_of={seq}"));
    for field in ["name", "industry", "technologies", "phones", "attributes", "provenance", "records", "seq", "domain"]
    {
        assert_eq!(then[field], before[field], "{field} as of {seq}");
    }
    assert_eq!(send(&server, "GET", &format!("{path}?as_of=0"), "").0, 404);
    for (body, field) in [
        (json!({"nmae": "x"}), "nmae"),
        (json!({"source": "x", "name": "y"}), "source"),
        (json!({}), "body"),
        (json!({"name": 1}), "name"),
        (json!({"technologies": "x"}), "technologies"),
        (json!({"industry": "x".repeat(100_000)}), "industry"),
    ] {
        let (status, problem) = send(&server, "PATCH", &path, &body.to_string());
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{problem}");
    }
    let unknown = "accounts/0197b3c2-7c1e-7aa0-9f6e-2d3c4b5a6978";
    assert_eq!(send(&server, "PATCH", unknown, r#"{"name": "x"}"#).1["code"], "account_unknown");

    let nothing =
        json!({"record": {"source": "crm", "source_record_id": "9", "domain": "gmail.com"}, "idempotency_key": "k"});
    let refused = server.post("accounts:upsert", &nothing)["results"][0].clone();
    let issue = &refused["issues"][0];
    assert_eq!((&refused["outcome"], &refused["account_id"]), (&json!("invalid"), &Value::Null));
    assert_eq!((&issue["field"], &issue["code"]), (&json!("domain"), &json!("account_unidentified")), "{issue}");
    assert_eq!(server.post("accounts:upsert", &nothing)["results"][0], refused, "a repeat says the same");
}

fn read(media: Format, text: &str, map: Option<&str>) -> Vec<Row<AccountRecord>> {
    let options = ReadOptions { source: "file".into(), map: map.map(str::to_owned) };
    let mut reader = open_accounts(media, Box::new(Cursor::new(text.as_bytes().to_vec())), options).unwrap();
    std::iter::from_fn(|| reader.next_row().unwrap()).collect()
}

/// An account record in a few words.
fn told(record: &AccountRecord) -> String {
    let (fields, business) = (&record.record.fields, &record.business);
    let addresses: Vec<String> = fields
        .addresses
        .iter()
        .map(|at| {
            [&at.label, &at.street, &at.city, &at.region, &at.postal_code, &at.country]
                .map(|p| p.as_deref().unwrap_or("-"))
                .join(" ")
        })
        .collect();
    let phones: Vec<String> =
        fields.phones.iter().map(|at| format!("{} {}", at.value, at.label.as_deref().unwrap_or("-"))).collect();
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    format!(
        "{} | {} | {} | {:?} {:?} | {} {:?} | {phones:?} | {addresses:?} | {:?}",
        or_none(&record.record.source_record_id),
        or_none(&fields.organization),
        or_none(&fields.company_domain),
        business.alternate_domains,
        business.previous_names,
        or_none(&business.industry),
        business.technologies,
        fields.tags,
    )
}

#[test]
fn column_names_of_accounts_are_recognised() {
    for (csv, expected) in [
        (
            "Account ID,Account Name,Website,Industry,Phone,Fax,Billing Street,Billing City,Billing State/Province,Billing Zip/Postal Code,Billing Country,Account Owner,Parent Account ID,Type\n\
             001A,Acme Inc,www.acme.com,Anvils,(212) 555-0123,(212) 555-0124,1 Main St,Boston,MA,02101,USA,Sue,001B,Customer\n",
            r#"001A | Acme Inc | www.acme.com | [] [] | Anvils [] | ["(212) 555-0123 -", "(212) 555-0124 fax"] | ["billing 1 Main St Boston MA 02101 USA"] | []"#,
        ),
        (
            "Record ID,Company name,Company Domain Name,Website URL,Phone Number,Street Address,City,State/Region,Postal Code,Country/Region,Industry,Web Technologies,Additional Domains,Company owner,Number of Employees\n\
             77,Acme,acme.com,https://shop.example,2125550123,1 Main St,Boston,MA,02101,United States,ANVILS,HubSpot;Rust,acme.de;acme.fr,Sue,5\n",
            r#"77 | Acme | acme.com | ["acme.de", "acme.fr"] [] | ANVILS ["HubSpot", "Rust"] | ["2125550123 -"] | ["- 1 Main St Boston MA 02101 United States"] | []"#,
        ),
        (
            "id;name;domain;alternate_domains;previous_names;industry;technologies;tags;first_name;email\n\
             9;Acme, Inc.;;acme.de acme.fr;Old, Inc. | Older;Anvils;rust, sql;vip,big;Bob;bob@acme.com\n",
            r#"9 | Acme, Inc. | - | ["acme.de", "acme.fr"] ["Old, Inc.", "Older"] | Anvils ["rust", "sql"] | [] | [] | ["vip", "big"]"#,
        ),
    ] {
        let rows = read(Format::Csv, csv, None);
        assert_eq!(rows.len(), 1, "{csv}");
        assert_eq!(told(rows[0].record.as_ref().unwrap()), expected, "{csv}");
    }
    let mapped = read(Format::Csv, "a,b,c\nAcme,acme.com,Anvils\n", Some("a=name,b=domain,c=industry"));
    assert_eq!(told(mapped[0].record.as_ref().unwrap()), "- | Acme | acme.com | [] [] | Anvils [] | [] | [] | []");
    let refused = |csv: &str, map: Option<&str>| {
        let options = ReadOptions { source: "file".into(), map: map.map(str::to_owned) };
        open_accounts(Format::Csv, Box::new(Cursor::new(csv.as_bytes().to_vec())), options).err().unwrap().to_string()
    };
    assert!(refused("first_name,email\nBob,b@example.com\n", None).contains("name,domain,city,country"));
    assert!(refused("a,b\nx,y\n", Some("a=first_name")).contains("no field `first_name`"));
}

#[test]
fn accounts_are_imported_and_exported() {
    let folder = folder();
    let server = Server::start(&folder.path().join("data"));
    put(&server, json!({"source": "crm", "source_record_id": "1", "name": "Known", "domain": "known.com"}));
    let csv = "Account ID,Account Name,Website,Billing City,Billing Country,Industry\n\
        a,Acme Inc,acme.com,Boston,US,Anvils\n\
        b,Acme,www.acme.com,,,\n\
        c,,gmail.com,,,\n\
        d,,,Boston,,\n\
        e,Known,known.com,,,\n";
    let import =
        |query: &str, media: &str, body: &str| server.send(&format!("imports?{query}"), media, body.as_bytes());
    let report = |answer: &Value| {
        let path = format!("/v1/tenants/main/imports/{}/report", answer["import_id"].as_str().unwrap());
        String::from_utf8(call(server.address(), "GET", &path, "text/csv", b"").unwrap().1).unwrap()
    };
    let counts = |answer: &Value| {
        ["rows", "created", "merged", "unchanged", "invalid"].map(|name| answer[name].as_u64().unwrap())
    };
    let (status, dry) = import("entity=accounts&source=sf&dry_run=true", "text/csv", csv);
    assert_eq!((status, &dry["entity"], counts(&dry)), (200, &json!("accounts"), [5, 1, 2, 0, 2]), "{dry}");
    let lines = report(&dry);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[..3], ["line,outcome,account_id,issues", "2,created,line 2,", "3,merged,line 2,"], "{lines:?}");
    assert!(lines[3].starts_with("4,invalid,,") && lines[3].contains("account_unidentified"), "{}", lines[3]);
    assert!(lines[4].starts_with("5,invalid,,") && lines[4].contains("record_empty"), "{}", lines[4]);
    assert_eq!(server.get("stats")["accounts"], 1, "a rehearsal changes nothing");
    let (_, done) = import("entity=accounts&source=sf", "text/csv", csv);
    assert_eq!(counts(&done), counts(&dry), "a rehearsal foretells the import");
    assert_eq!(report(&done).lines().nth(3), Some(lines[3]));
    assert_eq!(
        counts(&import("entity=accounts&source=sf", "text/csv", csv).1),
        [5, 0, 0, 3, 2],
        "a repeat is unchanged"
    );
    let acme = server.get("accounts?domain=acme.com")["items"][0].clone();
    assert_eq!((&acme["industry"], acme["records"].as_array().unwrap().len()), (&json!("Anvils"), 2), "{acme}");
    assert_eq!(server.get(&format!("imports/{}", done["import_id"].as_str().unwrap()))["entity"], "accounts");

    let ndjson = "{\"source_record_id\": \"n1\", \"name\": \"Nord\", \"previous_names\": [\"Süd\"], \"technologies\": [\"go\"]}\n\
        {\"nmae\": \"x\"}\nnot json\n";
    let (_, third) = import("entity=accounts&source=nd", "application/x-ndjson", ndjson);
    assert_eq!(counts(&third), [3, 1, 0, 0, 2]);
    let told = report(&third);
    assert!(told.contains("nmae: field_invalid") && told.contains("line: json_broken"), "{told}");
    for (query, media, field) in [
        ("entity=accounts", "text/vcard", "entity"),
        ("entity=people", "text/csv", "entity"),
        ("entity=accounts&map=a%3Demail", "text/csv", "map"),
    ] {
        let (status, problem) = import(query, media, "a\nb\n");
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{query} {problem}");
    }

    // What is exported makes the same accounts elsewhere.
    let of = |tenant: &str, media: &str| {
        let path = format!("/v1/tenants/{tenant}/export?entity=accounts");
        let (status, body) = call(server.address(), "GET", &path, media, b"").unwrap();
        (status, String::from_utf8(body).unwrap())
    };
    let shown = |tenant: &str| -> Vec<Value> {
        let (status, text) = of(tenant, "application/x-ndjson");
        assert_eq!(status, 200, "{text}");
        let mut all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        all.sort_by_key(|one: &Value| one["name"].to_string());
        let picked = |one: &Value| {
            json!([
                one["name"],
                one["domain"],
                one["alternate_domains"],
                one["previous_names"],
                one["industry"],
                one["technologies"],
                one["addresses"]
            ])
        };
        all.iter().map(picked).collect()
    };
    let ours = shown("main");
    assert_eq!(ours.len(), 3);
    for (tenant, media, records) in [("from-ndjson", "application/x-ndjson", 5), ("from-csv", "text/csv", 3)] {
        let (_, body) = of("main", media);
        let path = format!("/v1/tenants/{tenant}/imports?entity=accounts");
        let (status, answer) = call(server.address(), "POST", &path, media, body.as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["invalid"], &answer["rows"]), (200, &json!(0), &json!(records)), "{answer} {body}");
        assert_eq!(shown(tenant), ours, "{tenant}");
    }
    assert_eq!(of("main", "text/vcard").0, 406);
    assert_eq!(send(&server, "GET", "export?entity=accounts&format=senzing", "").1["field"], "format");
    assert_eq!(send(&server, "GET", "export?entity=x", "").1["field"], "entity");
}
