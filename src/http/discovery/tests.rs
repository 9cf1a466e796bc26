//! The vectors of RFC 9497, appendix A.1.2, through the router, under the vectors' key.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use crate::config::ServerConfig;
use crate::discovery::oprf::EpochKey;
use crate::engine::api::{Command, Context};
use crate::engine::{Engine, EngineOptions, World};
use crate::host::{ManualClock, MemDisk, SeededRandom};
use crate::http::app::{App, EngineSlot};
use crate::http::routes::router;
use crate::model::ids::{Millis, TenantName};
use crate::model::settings::{Discovery, Settings};

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(hex: &str) -> String {
    URL_SAFE_NO_PAD.encode(bytes(hex))
}

fn directory() -> Arc<Engine> {
    let world = World {
        disk: Arc::new(MemDisk::new()),
        clock: Arc::new(ManualClock::new(Millis(1_800_000_000_000))),
        random: Arc::new(SeededRandom::new(1)),
    };
    let engine = Engine::open(EngineOptions::new("/data"), world).unwrap().0;
    let tenant = TenantName::parse("acme").unwrap();
    let discovery = Discovery { users: Some("app".into()), ..Discovery::default() };
    let settings = Box::new(Settings { discovery, ..Settings::default() });
    engine.submit_blocking(&tenant, Command::PutSettings { settings }, Context::default()).unwrap();
    engine.serve_key(&tenant, EpochKey::from_seed(&[0xa3; 32], b"test key", 1).unwrap());
    engine
}

fn ask(engine: &Arc<Engine>, body: &Value) -> (u16, Value) {
    let slot = EngineSlot::default();
    slot.set(Arc::clone(engine));
    let (_, closing) = tokio::sync::watch::channel(false);
    let service = TowerToHyperService::new(router(App::new(&ServerConfig::default(), slot, None, closing)));
    let request = Request::post("/v1/tenants/acme/discovery/oprf/evaluate")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = service.call(request).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
    })
}

const FIRST: &str = "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945";
const SECOND: &str = "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c";
const THIRD: &str = "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654";

#[test]
fn the_rfcs_vectors_through_http() {
    let engine = directory();
    for (blinded, evaluated) in [
        (vec![FIRST], vec!["aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"]),
        (vec![SECOND], vec!["60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468"]),
        (
            vec![FIRST, THIRD],
            vec![
                "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
                "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
            ],
        ),
    ] {
        let blinded: Vec<String> = blinded.into_iter().map(text).collect();
        let expected: Vec<String> = evaluated.into_iter().map(text).collect();
        for proof in [true, false] {
            let (status, answer) = ask(&engine, &json!({"epoch": 1, "blinded": blinded, "proof": proof}));
            assert_eq!((status, &answer["evaluated"]), (200, &json!(expected)), "{answer}");
            assert_eq!(answer["proof"].is_string(), proof);
        }
    }
}

/// `0`, what no field has, a negative one, the field's order, too short, and no base64: all 400, all by name.
#[test]
fn malformed_points_are_named() {
    let engine = directory();
    let odd = format!("01{}", "00".repeat(31));
    let order = format!("ed{}7f", "ff".repeat(30));
    for bad in ["00".repeat(32), "ff".repeat(32), odd, order, FIRST[2..].to_owned()] {
        let (status, answer) = ask(&engine, &json!({"epoch": 1, "blinded": [text(FIRST), text(&bad)]}));
        assert_eq!(
            (status, &answer["code"], &answer["field"]),
            (400, &json!("invalid"), &json!("blinded[1]")),
            "{bad}"
        );
    }
    for (body, status, field) in [
        (json!({"epoch": 1, "blinded": []}), 400, json!("blinded")),
        (json!({"epoch": 1, "blinded": vec![text(FIRST); 1001]}), 400, json!("blinded")),
        (json!({"epoch": 1, "blinded": ["!"]}), 400, json!("blinded[0]")),
        (json!({"epoch": 2, "blinded": [text(FIRST)]}), 409, Value::Null),
    ] {
        let (found, answer) = ask(&engine, &body);
        assert_eq!((found, &answer["field"]), (status, &field), "{answer}");
    }
    let (_, answer) = ask(&engine, &json!({"epoch": 2, "blinded": [text(FIRST)]}));
    assert!(
        answer["code"] == "stale_epoch" && answer["detail"].as_str().unwrap().contains("in force is 1"),
        "{answer}"
    );
}
