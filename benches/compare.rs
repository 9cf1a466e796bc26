//! One comparison of two records: the innermost loop of everything.
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

use criterion::{Criterion, criterion_group, criterion_main};
use selfsame::matching::features::Features;
use selfsame::matching::model::Model;
use selfsame::matching::score::{Tiers, score};
use selfsame::model::key::{Key, Tier};
use selfsame::model::record::{Email, Fields, Phone};
use selfsame::model::settings::Settings;
use selfsame::normalize::{Normalizer, Rules};

/// Nothing is common.
struct AllUnique;

impl Tiers for AllUnique {
    fn tier(&self, _: Key) -> Tier {
        Tier::Unique
    }

    fn people(&self, _: Key) -> u32 {
        1
    }
}

fn features(model: &Model, first: &str, last: &str, email: &str, phone: &str) -> Features {
    let fields = Fields {
        first_name: Some(first.into()),
        last_name: Some(last.into()),
        emails: vec![Email { value: email.into(), ..Email::default() }],
        phones: vec![Phone { value: phone.into(), ..Phone::default() }],
        organization: Some("Example Inc".into()),
        ..Fields::default()
    };
    let normalizer = Normalizer::new(Rules::from_settings(&Settings::default()));
    Features::new(&normalizer.normalize(&fields).0, model)
}

fn compare(criterion: &mut Criterion) {
    let model = Model::default_model();
    let john = features(&model, "John", "Smith", "john.smith@example.com", "(212) 555-0123");
    let jon = features(&model, "Jon", "Smith", "jsmith80@example.net", "212.555.0123");
    let mary = features(&model, "Mary", "Okafor", "mary@example.org", "(312) 555-0146");
    let probability = |a: &Features, b: &Features| score(&model, &AllUnique, a, b).weight.probability();
    assert!(probability(&john, &jon) > 0.9, "{}", probability(&john, &jon));
    assert!(probability(&john, &mary) < 0.1, "{}", probability(&john, &mary));
    for (name, other) in [("alike", &jon), ("unlike", &mary)] {
        criterion.bench_function(&format!("compare/{name}"), |bencher| {
            bencher.iter(|| score(&model, &AllUnique, std::hint::black_box(&john), std::hint::black_box(other)));
        });
    }
}

criterion_group!(benches, compare);
criterion_main!(benches);
