//! One record against many gives what pairs give, whatever is known or ruled out before.

use super::*;
use crate::matching::platt::Calibration;
use crate::matching::score::score;
use crate::model::key::{Key, Tier};
use crate::model::record::{Address, Email, ExternalId, Fields, Phone, Social};
use crate::normalize::{Normalizer, Rules};
use proptest::option;
use proptest::prelude::*;

/// A population in which keys are as common as they happen to be.
struct Mixed;

impl Tiers for Mixed {
    fn tier(&self, key: Key) -> Tier {
        [Tier::Unique, Tier::Unique, Tier::Family, Tier::Crowded, Tier::Generic][usize::try_from(key.0 % 5).unwrap()]
    }

    fn people(&self, _: Key) -> u32 {
        1
    }
}

prop_compose! {
    fn around()(
        phone in option::of("\\+1415555013[0-4]"),
        email in option::of("[ab]{1,5}@(gmail|ab)\\.com"),
        organization in option::of("(ab|ba|cd)( ab)?"),
        city in option::of("berlin|bern|rome"),
        country in option::of("DE|IT"),
        street in option::of("[12] main st"),
    ) -> Fields {
        Fields {
            phones: phone.into_iter().map(|value| Phone { value, ..Phone::default() }).collect(),
            emails: email.into_iter().map(|value| Email { value, ..Email::default() }).collect(),
            organization,
            addresses: vec![Address { city, country, street, ..Address::default() }],
            ..Fields::default()
        }
    }
}

prop_compose! {
    /// Given names that agree, nearly agree and differ; little but what a household shares, in most cases.
    fn fields()(
        given in "John|Jon|Jane|Jim|J|Mary|Marie|[abj]{0,4}",
        surname in "Smith|Smyth|Jones|[abj]{0,4}",
        around in around(),
        rest in 0_u8..12,
        birthday in "198[01]-0[12]-0[1-3]",
        id in "[12]",
        gender in "f|m",
    ) -> Fields {
        let said = |number: u8, text: &str| (rest == number).then(|| text.to_owned());
        Fields {
            first_name: Some(given),
            last_name: Some(surname),
            birthday: said(0, &birthday),
            gender: said(1, &gender),
            external_ids: said(2, &id).into_iter().map(|id| ExternalId { system: "crm".into(), id }).collect(),
            social: said(3, &id).into_iter().map(|username| Social { service: "x".into(), username }).collect(),
            middle_name: said(4, "Lee"),
            name_suffix: said(5, "Jr."),
            nickname: said(6, "Jack"),
            ..around
        }
    }
}

proptest! {
    #[test]
    fn one_against_many_is_each_pair(
        all in prop::collection::vec(fields(), 2..8),
        floor in -15.0..15.0_f64,
        (scale, shift) in prop_oneof![Just((1.0, 0.0)), (0.5..1.5_f64, -4.0..4.0_f64)],
    ) {
        let model = Model { calibration: Calibration { scale, shift }, ..Model::default_model().with_size_class(100_000) };
        let normalizer = Normalizer::new(Rules::default());
        let all: Vec<Features> = all.iter().map(|one| Features::new(&normalizer.normalize(one).0, &model)).collect();
        let mut scorer = Scorer::new(&model, &all[0]);
        for other in all.iter().chain(&all) {
            let pair = score(&model, &Mixed, &all[0], other);
            prop_assert_eq!(scorer.score(&Mixed, other, Millibits(i32::MIN)), Some(pair));
            for floor in [Millibits::from_bits(floor), pair.weight, Millibits(pair.weight.0 + 1)] {
                let reaches = (pair.weight >= floor).then_some(pair);
                prop_assert_eq!(scorer.score(&Mixed, other, floor), reaches);
            }
        }
    }
}

/// What the bound is for: another given name rules a pair out, whatever an office shares; a birthday may not be left out.
#[test]
fn another_given_name_is_ruled_out_by_names_alone() {
    let model = Model::default_model().with_size_class(100_000);
    let is_below = |birthday: Option<&str>| {
        let normalizer = Normalizer::new(Rules::default());
        let features = |given: &str| {
            let name = |text: &str| Some(text.to_owned());
            let birthday = birthday.map(str::to_owned);
            let fields = Fields { first_name: name(given), last_name: name("Smith"), birthday, ..Fields::default() };
            Features::new(&normalizer.normalize(&fields).0, &model)
        };
        let (asked, other) = (features("John"), features("Walter"));
        let scorer = Scorer::new(&model, &asked);
        let met = Met::new(&model, &scorer.named, other.name_bytes(), scorer.most_beside);
        met.most.is_some_and(|most| most < Millibits(0))
    };
    assert_eq!([is_below(None), is_below(Some("1980-02-03"))], [true, false]);
}
