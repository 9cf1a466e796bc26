//! "Who is this contact?" against 20,000 contacts, on one thread, without HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and prints"
)]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use selfsame::engine::api::{ExplainLevel, MatchQuery, Verdict};
use selfsame::formats::InputRecord;

const CONTACTS: usize = 20_000;

fn query(input: InputRecord) -> MatchQuery {
    MatchQuery { input, limit: 10, threshold: 0.5, explain: ExplainLevel::None, exclude: Vec::new() }
}

/// The n-th person as another source would have it: no id, a typo in the surname, one identifier less.
fn asked(n: usize) -> InputRecord {
    let mut input = support::person(n);
    input.source = "other".into();
    input.source_record_id = None;
    input.fields.emails.clear();
    if let Some(last) = &mut input.fields.last_name {
        last.push('s');
    }
    input
}

fn match_query(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let engine = support::open(&home.path().join("data"));
    support::fill(&engine, CONTACTS);
    let view = engine.view(&support::tenant()).unwrap();
    for n in (0..CONTACTS).step_by(997) {
        let answer = view.match_contact(&query(asked(n))).unwrap();
        let best = answer.candidates.first().unwrap();
        assert_eq!(best.contact.records[0].key.source_record_id.as_ref(), format!("r{n}"), "{:?}", answer.decision);
    }
    let stranger = InputRecord {
        fields: selfsame::model::record::Fields { name: Some("Xyla Quorvath".into()), ..Default::default() },
        ..asked(0)
    };
    assert_eq!(view.match_contact(&query(stranger.clone())).unwrap().decision, Verdict::NoMatch);

    let mut n = 0;
    criterion.bench_function("match_query/known", |bencher| {
        bencher.iter(|| {
            n = (n + 997) % CONTACTS;
            view.match_contact(&query(asked(n))).unwrap()
        });
    });
    criterion.bench_function("match_query/stranger", |bencher| {
        bencher.iter(|| view.match_contact(&query(stranger.clone())).unwrap());
    });
}

criterion_group!(benches, match_query);
criterion_main!(benches);
