//! A trained model as bytes, and back. FROZEN types, like `model/event/v1`: version 1 of the bytes that
//! [`ModelPart`](crate::model::event::ModelPart) events carry.
//!
//! Weights and how common values are, as numbers and hashes; tables ascend by hash, so equal models have equal bytes.
//! Nicknames are the shipped ones, and whether business keys count is the tenant's setting: both are left out, as is what `evaluate` leaves out to measure it. Every
//! type is taken apart field by field without `..`: a new field does not compile until it has a place here, which is a
//! `ModelV2` with a version 2 of the event, so that an older selfsame refuses it by name instead of misreading it.

use rkyv::{Archive, Deserialize, Serialize};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::matching::model::{Culture, Frequencies, Model};
use crate::matching::platt::Calibration;
use crate::matching::token::Shares;
use crate::matching::weights::{
    Assumed, Birthday, Dependence, Gender, Given, Handle, Id, Level, Mail, NameRest, Phone, Reading, Street, Surname,
    Weights, Words,
};
use crate::model::event::v1::to_bytes;

/// A model as bytes.
pub fn to_form(model: &Model) -> Vec<u8> {
    let Model {
        weights,
        frequencies,
        nicknames: _,
        size_class,
        duplication,
        strictness,
        culture,
        business_keys: _,
        users: _,
        without: _,
        calibration,
        version,
    } = model;
    let Calibration { scale, shift } = *calibration;
    to_bytes(&ModelV1 {
        version: version.clone(),
        size_class: *size_class,
        duplication: *duplication,
        strictness: *strictness,
        culture: culture_out(culture),
        scale,
        shift,
        weights: weights_out(weights),
        frequencies: frequencies_out(frequencies),
    })
}

/// The model of [`to_form`]'s bytes, with the shipped nicknames; `None` when they are not that.
pub fn from_form(bytes: &[u8]) -> Option<Model> {
    let form = rkyv::from_bytes::<ModelV1, rkyv::rancor::Failure>(bytes).ok()?;
    let shipped = Model::default_model();
    Some(Model {
        weights: Arc::new(weights_in(form.weights).ready()),
        frequencies: Arc::new(frequencies_in(form.frequencies)),
        nicknames: Arc::clone(&shipped.nicknames),
        size_class: form.size_class,
        duplication: form.duplication,
        strictness: form.strictness,
        culture: culture_in(form.culture),
        business_keys: shipped.business_keys,
        users: None,
        without: shipped.without,
        calibration: Calibration { scale: form.scale, shift: form.shift },
        version: form.version,
    })
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
struct ModelV1 {
    version: String,
    size_class: u8,
    duplication: f64,
    strictness: Option<f64>,
    culture: [f64; 6],
    scale: f64,
    shift: f64,
    weights: WeightsV1,
    frequencies: FrequenciesV1,
}

#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
struct LevelV1 {
    m: f64,
    u: f64,
    tf: f64,
    n: bool,
    people: f64,
    max: f64,
}

fn level_out(level: &Level) -> LevelV1 {
    let Level { m, u, tf, n, people, max, .. } = *level;
    LevelV1 { m, u, tf, n, people, max }
}

fn level_in(level: LevelV1) -> Level {
    let LevelV1 { m, u, tf, n, people, max } = level;
    let mut level = Level::new(m, u);
    (level.tf, level.n, level.people, level.max) = (tf, n, people, max);
    level
}

/// The levels of a comparison as a list in the order written here.
macro_rules! lists {
    ($($out:ident $back:ident $name:ident $count:literal { $($field:ident),+ })+) => { $(
        fn $out(levels: &$name) -> [LevelV1; $count] {
            let $name { $($field),+ } = levels;
            [$(level_out($field)),+]
        }

        fn $back([$($field),+]: [LevelV1; $count]) -> $name {
            $name { $($field: level_in($field)),+ }
        }
    )+ };
}

lists! {
    given_out given_in Given 6 { exact, nickname, edit, sound, initial, clash }
    surname_out surname_in Surname 6 { exact, part, edit, sound, initial, clash }
    reading_out reading_in Reading 8 { split, lone_given, lone_surname, mail, mail_initial, swapped, nickname, middle }
    name_rest_out name_rest_in NameRest 5 { middle, middle_clash, generation, generation_one_sided, generation_clash }
    mail_out mail_in Mail 9 { exact, role, near_domain, user_digits, user, edit_digits, edit, other_user, differ }
    phone_out phone_in Phone 3 { exact, edit, differ }
    id_out id_in Id 3 { exact, edit, differ }
    handle_out handle_in Handle 2 { exact, differ }
    words_out words_in Words 3 { exact, near, differ }
    street_out street_in Street 4 { exact, words, number, differ }
    birthday_out birthday_in Birthday 12 {
        exact, placeholder, swapped, slip, close, two_parts, day_month, near, year_apart, year, year_differs, differ
    }
    gender_out gender_in Gender 2 { exact, differ }
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
struct WeightsV1 {
    version: String,
    given: [LevelV1; 6],
    surname: [LevelV1; 6],
    reading: [LevelV1; 8],
    name_rest: [LevelV1; 5],
    mail: [LevelV1; 9],
    phone: [LevelV1; 3],
    id: [LevelV1; 3],
    handle: [LevelV1; 2],
    organization: [LevelV1; 3],
    business: [LevelV1; 3],
    domain: [LevelV1; 3],
    title: [LevelV1; 3],
    city: [LevelV1; 3],
    country: [LevelV1; 3],
    postcode: [LevelV1; 3],
    street: [LevelV1; 4],
    birthday: [LevelV1; 12],
    gender: [LevelV1; 2],
    dependence: [f64; 10],
    assumed: [f32; 9],
}

fn weights_out(weights: &Weights) -> WeightsV1 {
    let Weights {
        version,
        given,
        surname,
        reading,
        name_rest,
        mail,
        phone,
        id,
        handle,
        organization,
        business,
        domain,
        title,
        city,
        country,
        postcode,
        street,
        birthday,
        gender,
        dependence,
        assumed,
    } = weights;
    WeightsV1 {
        version: version.clone(),
        given: given_out(given),
        surname: surname_out(surname),
        reading: reading_out(reading),
        name_rest: name_rest_out(name_rest),
        mail: mail_out(mail),
        phone: phone_out(phone),
        id: id_out(id),
        handle: handle_out(handle),
        organization: words_out(organization),
        business: words_out(business),
        domain: words_out(domain),
        title: words_out(title),
        city: words_out(city),
        country: words_out(country),
        postcode: words_out(postcode),
        street: street_out(street),
        birthday: birthday_out(birthday),
        gender: gender_out(gender),
        dependence: dependence_out(dependence),
        assumed: assumed_out(assumed),
    }
}

fn weights_in(form: WeightsV1) -> Weights {
    Weights {
        version: form.version,
        given: given_in(form.given),
        surname: surname_in(form.surname),
        reading: reading_in(form.reading),
        name_rest: name_rest_in(form.name_rest),
        mail: mail_in(form.mail),
        phone: phone_in(form.phone),
        id: id_in(form.id),
        handle: handle_in(form.handle),
        organization: words_in(form.organization),
        business: words_in(form.business),
        domain: words_in(form.domain),
        title: words_in(form.title),
        city: words_in(form.city),
        country: words_in(form.country),
        postcode: words_in(form.postcode),
        street: street_in(form.street),
        birthday: birthday_in(form.birthday),
        gender: gender_in(form.gender),
        dependence: dependence_in(form.dependence),
        assumed: assumed_in(form.assumed),
    }
}

fn culture_out(culture: &Culture) -> [f64; 6] {
    let Culture { city, country, postcode, organization, domain, title } = *culture;
    [city, country, postcode, organization, domain, title]
}

fn culture_in([city, country, postcode, organization, domain, title]: [f64; 6]) -> Culture {
    Culture { city, country, postcode, organization, domain, title }
}

fn dependence_out(bounds: &Dependence) -> [f64; 10] {
    let Dependence { household, twins, single, business_key, place, country, business, piece, words, words_max } =
        *bounds;
    [household, twins, single, business_key, place, country, business, piece, words, words_max]
}

fn dependence_in(numbers: [f64; 10]) -> Dependence {
    let [household, twins, single, business_key, place, country, business, piece, words, words_max] = numbers;
    Dependence { household, twins, single, business_key, place, country, business, piece, words, words_max }
}

fn assumed_out(shares: &Assumed) -> [f32; 9] {
    let Assumed { given, surname, organization, title, city, country, postcode, word, domain } = *shares;
    [given, surname, organization, title, city, country, postcode, word, domain]
}

fn assumed_in(shares: [f32; 9]) -> Assumed {
    let [given, surname, organization, title, city, country, postcode, word, domain] = shares;
    Assumed { given, surname, organization, title, city, country, postcode, word, domain }
}

/// A table of shares: by text hash, ascending.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
struct SharesV1 {
    hashes: Vec<u32>,
    shares: Vec<f32>,
    unseen: f32,
    one: f32,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
struct FrequenciesV1 {
    given: SharesV1,
    surname: SharesV1,
    given_joint: Vec<(u32, f32)>,
    surname_joint: Vec<(u32, f32)>,
    whole_name: Vec<(u64, f32)>,
    organization: SharesV1,
    title: SharesV1,
    city: SharesV1,
    country: SharesV1,
    postcode: SharesV1,
    domain: SharesV1,
    word: SharesV1,
}

fn frequencies_out(frequencies: &Frequencies) -> FrequenciesV1 {
    let Frequencies {
        given,
        surname,
        given_joint,
        surname_joint,
        whole_name,
        organization,
        title,
        city,
        country,
        postcode,
        domain,
        word,
    } = frequencies;
    FrequenciesV1 {
        given: shares_out(given),
        surname: shares_out(surname),
        given_joint: sorted(given_joint),
        surname_joint: sorted(surname_joint),
        whole_name: sorted(whole_name),
        organization: shares_out(organization),
        title: shares_out(title),
        city: shares_out(city),
        country: shares_out(country),
        postcode: shares_out(postcode),
        domain: shares_out(domain),
        word: shares_out(word),
    }
}

fn frequencies_in(form: FrequenciesV1) -> Frequencies {
    Frequencies {
        given: shares_in(form.given),
        surname: shares_in(form.surname),
        given_joint: form.given_joint.into_iter().collect(),
        surname_joint: form.surname_joint.into_iter().collect(),
        whole_name: form.whole_name.into_iter().collect(),
        organization: shares_in(form.organization),
        title: shares_in(form.title),
        city: shares_in(form.city),
        country: shares_in(form.country),
        postcode: shares_in(form.postcode),
        domain: shares_in(form.domain),
        word: shares_in(form.word),
    }
}

fn shares_out(shares: &Shares) -> SharesV1 {
    let (entries, unseen, one) = shares.parts();
    let (hashes, shares) = entries.into_iter().unzip();
    SharesV1 { hashes, shares, unseen, one }
}

fn shares_in(form: SharesV1) -> Shares {
    Shares::restore(form.hashes.into_iter().zip(form.shares), form.unseen, form.one)
}

fn sorted<K: Copy + Ord>(table: &HashMap<K, f32>) -> Vec<(K, f32)> {
    let mut entries: Vec<(K, f32)> = table.iter().map(|(key, value)| (*key, *value)).collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::normalized::Normalized;

    fn learned() -> Model {
        let person = |given: &str, surname: &str, city: &str| {
            let mut record = Normalized { job_title: Some("buyer".into()), ..Normalized::default() };
            record.name.first_tokens = vec![given.into()];
            record.name.last_tokens = vec![surname.into()];
            record.domains = vec![format!("{city}.example")];
            record
        };
        let people: Vec<Normalized> =
            (0..60).map(|n| person(["ann", "bob", "zoe"][n % 3], ["lee", "roy"][n % 2], "oslo")).collect();
        let model = Model::default_model().with_size_class(5000).with_frequencies(&people);
        let mut weights = (*model.weights).clone();
        weights.birthday.exact.m = 0.123;
        weights.dependence.twins = 3.25;
        let calibration = Calibration { scale: 0.75, shift: -0.5 };
        let culture = Culture { city: 1.25, title: 0.5, ..Culture::default() };
        let version = "x-trained".into();
        Model {
            weights: Arc::new(weights),
            duplication: 1.5,
            strictness: Some(0.5),
            culture,
            calibration,
            version,
            ..model
        }
    }

    #[test]
    fn a_model_survives_its_bytes() {
        let model = learned();
        let bytes = to_form(&model);
        let back = from_form(&bytes).unwrap();
        assert_eq!(*back.weights, *model.weights);
        let (a, b) = (&back.frequencies, &model.frequencies);
        assert_eq!((&a.given, &a.surname, &a.title, &a.word), (&b.given, &b.surname, &b.title, &b.word));
        assert_eq!(
            (&a.given_joint, &a.surname_joint, &a.whole_name),
            (&b.given_joint, &b.surname_joint, &b.whole_name)
        );
        assert_eq!((&a.organization, &a.city, &a.country), (&b.organization, &b.city, &b.country));
        assert_eq!((&a.postcode, &a.domain), (&b.postcode, &b.domain));
        assert!(!a.whole_name.is_empty() && !a.given_joint.is_empty());
        let numbers = |m: &Model| (m.size_class, m.duplication, m.calibration, m.version.clone());
        assert_eq!(numbers(&back), numbers(&model));
        assert_eq!(to_form(&back), bytes, "equal models have equal bytes");
    }

    #[test]
    fn other_bytes_are_no_model() {
        let bytes = to_form(&learned());
        assert!(from_form(&bytes[..bytes.len() - 1]).is_none());
        assert!(from_form(&[]).is_none());
    }
}
