//! What version 4 of the golden data has beside version 3: API keys, discovery, consent, restriction.

use std::sync::Arc;

use selfsame::discovery::Kind;
use selfsame::discovery::dialect::primary;
use selfsame::discovery::oprf::client::Blinded;
use selfsame::discovery::oprf::{Dice, input};
use selfsame::discovery::quota::Family;
use selfsame::engine::Engine;
use selfsame::engine::api::{Command, ConsentCommand, Context, Policy};
use selfsame::model::access::{ApiKey, Rate, Role, TenantPattern};
use selfsame::model::event::consent::Findable;
use selfsame::model::event::{Consent, DiscoveryKey, IdentifierChecked};
use selfsame::model::ids::{EntityId, Millis};
use selfsame::model::settings::{Discovery, Privacy, Purpose, Settings};

use crate::engine::{tenant, upsert};

fn submit(engine: &Engine, command: Command) {
    let context = Context { actor: "steward".into(), idempotency: None };
    engine.submit_blocking(&tenant(), command, context).unwrap();
}

/// Every kind of event that came with version 4.
pub fn fill(engine: &Arc<Engine>) {
    settings(engine);
    let [one, two] = ["u1", "u2"].map(|id| user(engine, id));
    consents(engine, one, two);
    keys(engine);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.charge(&tenant(), Some("app"), Family::Lookup, 7)).unwrap();
    engine.refresh_discovery(&tenant()).unwrap();
    runtime.block_on(evaluate(engine));
    engine.rotate_discovery(&tenant(), DiscoveryKey::Tags, &Context::default()).unwrap();
    let record_id = engine.view(&tenant()).unwrap().records(two).unwrap()[0].record_id;
    let checked = IdentifierChecked {
        record_id,
        identifier: "u2@example.com".into(),
        check: 1,
        verdict: 0,
        detail: "accepted".into(),
        at: Millis(1_800_000_000_500),
    };
    submit(engine, Command::Checked(vec![checked]));
    submit(engine, Command::Restrict { contact: two, restricted: true, reason: Some("disputed".into()) });
    let late = user(engine, "u3");
    submit(engine, Command::Consent(ConsentCommand::OptOut { contact: late }));
    submit(engine, Command::Consent(ConsentCommand::RotateSuppression));
}

/// A key is begun, and something is evaluated under it; what was spent is on disk when the next command is answered.
async fn evaluate(engine: &Arc<Engine>) {
    let mut dice = Dice::new(&[7; 32]);
    let blinded = Blinded::new(input(Kind::Phone, &primary("+12125550101")), &mut dice).unwrap();
    let evaluation = engine.evaluation(&tenant(), "app").unwrap();
    evaluation.evaluate(1, vec![*blinded.element()], false).await.unwrap();
}

fn settings(engine: &Engine) {
    let discovery = Discovery {
        users: Some("app".into()),
        directory: Some("other".into()),
        consent_required: true,
        tenant_quota_new_max: Some(1000),
        ..Discovery::default()
    };
    let purpose = Purpose { name: "support".into(), basis: "contract".into(), note: "calls back".into() };
    let privacy = Privacy { controller: "Example Ltd".into(), purposes: vec![purpose], ..Privacy::default() };
    let settings = Settings { discovery, privacy, ..engine.view(&tenant()).unwrap().settings().clone() };
    submit(engine, Command::PutSettings { settings: Box::new(settings) });
}

fn user(engine: &Engine, id: &str) -> EntityId {
    let record = format!(
        r#"{{"source":"app","source_record_id":"{id}","name":"Golden {id}","email":"{id}@example.com","phone":"+1212555{:04}"}}"#,
        id.as_bytes()[1]
    );
    upsert(engine, &record).contact_id.unwrap()
}

fn consents(engine: &Engine, one: EntityId, two: EntityId) {
    let consent = Consent { basis: "consent".into(), actor: "sign-up".into(), at: Millis(1_700_000_000_000) };
    let policy = Policy { policy: Findable::Mutual, book: Some("book".into()), consent: Some(consent) };
    for command in [
        ConsentCommand::Policy { contact: one, policy },
        ConsentCommand::Block { contact: one, other: two, holds: true },
        ConsentCommand::Sharing { contact: one, fields: vec![("phones".into(), "group:family".into())] },
        ConsentCommand::User { contact: one, user: Some(two) },
    ] {
        submit(engine, Command::Consent(command));
    }
}

fn keys(engine: &Engine) {
    let key = ApiKey {
        id: "golden".into(),
        hash: ApiKey::hash_of(b"golden"),
        before: None,
        roles: vec![Role::Reader, Role::DiscoveryLookup],
        tenants: vec![TenantPattern::parse("crm-*").unwrap()],
        create_tenants: true,
        label: Some("for the golden data".into()),
        principal: Some("app".into()),
        rate: Some(Rate { per_second: 10, burst: 20 }),
        expires_at: Some(Millis(1_900_000_000_000)),
        created_at: Millis(1_800_000_000_000),
        created_by: "steward".into(),
        used_at: None,
        revoked_at: None,
    };
    engine.put_api_key(&key).unwrap();
    engine.rotate_api_key("golden", ApiKey::hash_of(b"newer"), Millis(1_800_000_100_000), "steward").unwrap();
    engine.note_api_keys_used(vec![("golden".into(), Millis(1_800_000_050_000))]).unwrap();
    engine.revoke_api_key("golden", "steward").unwrap();
    engine.note_act("backup", "steward").unwrap();
}
