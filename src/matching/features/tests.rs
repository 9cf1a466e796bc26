//! Packed features hold what a plain reading of the record gives.

use super::*;
use crate::model::normalized::Organization;
use crate::normalize::{Normalizer, Rules};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn words() -> impl Strategy<Value = Vec<String>> {
    vec("[a-f]{1,3}|[a-z]{20,40}|é{12}", 0..4)
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("crm|passport|shop", "[a-z0-9]{1,200}"), 0..10)
}

fn mail() -> impl Strategy<Value = NormEmail> {
    ("[a-z0-9.]{1,64}", "[a-z]{1,9}\\.com|[a-z]{150}\\.org", any::<bool>(), any::<bool>()).prop_map(
        |(user, domain, free, role)| NormEmail {
            delivered: String::new(),
            canonical: format!("{user}@{domain}"),
            user,
            domain,
            free,
            role,
            valid: true,
        },
    )
}

fn phone() -> impl Strategy<Value = NormPhone> {
    ("\\+[0-9]{5,15}", option::of("[0-9]{0,4}")).prop_map(|(e164, extension)| NormPhone {
        e164,
        extension,
        valid: true,
        kind: Default::default(),
    })
}

fn address() -> impl Strategy<Value = NormAddress> {
    let text = || option::of("[a-c]{0,3}( [a-c]{1,2})?");
    (text(), text(), text(), option::of("[0-9]{0,3}"), words()).prop_map(
        |(city, postal_code, country, number, street)| NormAddress {
            city,
            postal_code,
            country,
            number,
            street,
            region: None,
        },
    )
}

fn birthday() -> impl Strategy<Value = Birthday> {
    (option::of(0_u16..2100), option::of(1_u8..13), option::of(1_u8..32), any::<bool>())
        .prop_map(|(year, month, day, ambiguous)| Birthday { year, month, day, ambiguous })
}

prop_compose! {
    fn record()(
        first in words(), last in words(), middle in words(), nickname in words(), generation in option::of(0_u8..9),
        emails in vec(mail(), 0..10), phones in vec(phone(), 0..10), external_ids in pairs(), handles in pairs(),
        rest in (option::of(words()), option::of("[a-d ]{0,9}"), vec(address(), 0..3), vec("[a-z]{1,9}", 0..10),
            option::of(birthday()), option::of(any::<char>())),
    ) -> Normalized {
        let (organization, job_title, addresses, domains, birthday, gender) = rest;
        let mut record = Normalized {
            emails, phones, external_ids, handles, job_title, addresses, domains, birthday, gender,
            organization: organization.map(|tokens| Organization { tokens, legal_form: None }),
            ..Normalized::default()
        };
        record.name.own_script = [&first[..], &middle, &last].concat().join(" ");
        record.name.first_tokens = first;
        record.name.last_tokens = last;
        record.name.middle_tokens = middle;
        record.name.nickname_tokens = nickname;
        record.name.generation = generation;
        record
    }
}

/// A list of words as pairs.
fn plain(words: WordList<'_>) -> Vec<(u32, u32)> {
    words.iter().map(|word| (word.hash, word.rarity.to_bits())).collect()
}

fn expected_words<'a>(words: impl Iterator<Item = &'a str>, shares: &Shares) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> =
        words.take(WORDS_MAX).map(|word| (hash(word), (-shares.get(hash(word)).log2()).to_bits())).collect();
    out.sort_unstable();
    out.dedup();
    out
}

type PlainText = (String, f32, Vec<(u32, u32)>);

fn expected_text<'a>(words: impl Iterator<Item = &'a str>, shares: &Shares, word: &Shares) -> PlainText {
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let joined = words.concat();
    (joined.clone(), shares.get(hash(&joined)), expected_words(words.into_iter(), word))
}

fn plain_text(text: Text<'_>) -> PlainText {
    (String::from_utf8(text.joined.to_vec()).unwrap(), text.share, plain(text.words))
}

fn check_identifiers(unpacked: &Unpacked<'_>, record: &Normalized) {
    let mails: Vec<_> = unpacked.mails().map(|m| (m.key, m.user, m.domain, m.free, m.role, m.digits)).collect();
    let expected = record.emails.iter().take(VALUES_MAX).map(|mail| {
        let digits = mail.user.contains(|c: char| c.is_ascii_digit());
        (email_key(&mail.canonical), mail.user.as_bytes(), mail.domain.as_bytes(), mail.free, mail.role, digits)
    });
    assert_eq!(mails, expected.collect::<Vec<_>>());
    let phones: Vec<_> = unpacked.phones().map(|p| (p.key, u64::from(p.tail), p.extension)).collect();
    let expected = record.phones.iter().take(VALUES_MAX).map(|phone| {
        let extension = phone.extension.as_deref().filter(|e| !e.is_empty()).map_or(0, hash);
        (phone_key(&phone.e164), phone_tail(&phone.e164, 9), extension)
    });
    assert_eq!(phones, expected.collect::<Vec<_>>());
    let listed = |id: Id<'_>| (id.key, id.system, id.identity, id.own, String::from_utf8(id.text.to_vec()).unwrap());
    let expected = |list: &[(String, String)], key: fn(&str, &str) -> Key| -> Vec<_> {
        let id =
            |(system, id): &(String, String)| (key(system, id), hash(system), system == "passport", false, id.clone());
        list.iter().take(VALUES_MAX).map(id).collect()
    };
    assert_eq!(unpacked.ids().map(listed).collect::<Vec<_>>(), expected(&record.external_ids, external_id_key));
    assert_eq!(unpacked.handles().map(listed).collect::<Vec<_>>(), expected(&record.handles, handle_key));
}

fn check_context(unpacked: &Unpacked<'_>, record: &Normalized, model: &Model) {
    let f = &model.frequencies;
    let mut names = record.organization.iter().flat_map(|o| o.names());
    for found in [unpacked.organization(), unpacked.trade_name()] {
        let expected = names.next().map(|n| expected_text(n.iter().map(String::as_str), &f.organization, &f.word));
        assert_eq!(found.map(plain_text), expected);
    }
    let title = record.job_title.as_deref().filter(|title| !title.is_empty());
    assert_eq!(unpacked.title().map(plain_text), title.map(|t| expected_text(t.split(' '), &f.title, &f.word)));
    let domains: Vec<_> = record.domains.iter().take(VALUES_MAX).map(|d| (hash(d), f.domain.get(hash(d)))).collect();
    assert_eq!(unpacked.domains().collect::<Vec<_>>(), domains);
    assert_eq!((unpacked.birthday(), unpacked.gender()), (record.birthday, record.gender));
    assert_eq!(unpacked.generation, record.name.generation.unwrap_or(0));
    assert_eq!(unpacked.places().count(), record.addresses.len().min(VALUES_MAX));
    for (place, address) in unpacked.places().zip(&record.addresses) {
        let said = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let text = |value: &Option<String>, shares| said(value).map(|v| expected_text(v.split(' '), shares, &f.word));
        assert_eq!(place.city.map(plain_text), text(&address.city, &f.city));
        assert_eq!(place.postcode.map(plain_text), text(&address.postal_code, &f.postcode));
        assert_eq!(place.country, said(&address.country).map(|c| (hash(&c), f.country.get(hash(&c)))));
        assert_eq!(place.number, said(&address.number).map_or(0, |number| hash(&number)));
        assert_eq!(plain(place.street), expected_words(address.street.iter().map(String::as_str), &f.word));
    }
}

/// The tokens of the first reading are those of the record, cut, with what the model knows of them.
fn check_name(unpacked: &Unpacked<'_>, record: &Normalized, model: &Model) {
    let (name, named) = (&record.name, unpacked.named());
    let Some(first) = named.readings.first() else {
        assert!(name.first_tokens.is_empty() && name.last_tokens.is_empty() && name.nickname_tokens.is_empty());
        return;
    };
    for (part, words) in [(first.given, &name.first_tokens), (first.surname, &name.last_tokens)] {
        let expected: Vec<String> = words.iter().take(readings::PART_MAX).cloned().collect();
        let found: Vec<&Token<'_>> = part.tokens(&named.tokens).collect();
        assert_eq!(found.len(), expected.len());
        let joined = part.joined(&named.tokens).copied();
        assert_eq!(joined.map(|token| token.hash), (!words.is_empty()).then(|| hash(&words.concat())));
        for (token, word) in found.into_iter().zip(&expected) {
            assert_eq!(token.bytes(), &word.as_bytes()[..word.len().min(23)]);
            assert_eq!((token.hash, token.skeleton), (hash(word), hash(&skeleton(word))));
            let f = &model.frequencies;
            assert_eq!(
                (token.common.given, token.common.surname),
                (f.given.get(token.hash), f.surname.get(token.hash))
            );
        }
    }
    let middle = name.middle_tokens.first().filter(|_| name.middle_tokens.len() == 1);
    assert_eq!(unpacked.middle().map(|token| token.hash), middle.map(|word| hash(word)));
    assert_eq!(plain(unpacked.words).len(), further_words(record, &model.frequencies.word).len());
}

proptest! {
    #[test]
    fn packed_features_hold_what_the_record_says(record in record(), own in option::of("[a-z]{1,9}")) {
        let model = Model { users: Some("shop".into()), ..(*Model::default_model()).clone() };
        let mut features = Features::new(&record, &model);
        check_identifiers(&features.unpack(), &record);
        check_context(&features.unpack(), &record, &model);
        check_name(&features.unpack(), &record, &model);
        let user = record.external_ids.iter().find(|(system, _)| system == "shop");
        let user = user.map_or(0, |(system, id)| external_id_key(system, id).0.max(1));
        prop_assert_eq!(features.user(), user);
        let before = features.identifiers();
        let Some(own) = own else { return Ok(()) };
        let key = external_id_key("shop", &own);
        let known = features.unpack().ids().any(|id| id.key == key);
        features.add_own_id(" Shop ", &own.to_uppercase(), &model);
        check_context(&features.unpack(), &record, &model);
        check_name(&features.unpack(), &record, &model);
        prop_assert_eq!(features.user(), if user == 0 { key.0.max(1) } else { user });
        let added = (!known).then_some((KeyKind::ExternalId, key));
        prop_assert_eq!(features.identifiers().to_vec(), before.into_iter().chain(added).collect::<Vec<_>>());
        prop_assert_eq!(features.unpack().ids().filter(|id| id.own && id.system == hash("shop")).count(), usize::from(!known));
    }
}

/// What keeps a record cheap: see the memory benchmark for a whole tenant.
#[test]
fn an_ordinary_record_takes_about_two_hundred_bytes() {
    let fields = crate::model::record::Fields {
        first_name: Some("Katharine".into()),
        last_name: Some("Montgomery".into()),
        emails: vec![crate::model::record::Email { value: "katharine.m77@example.com".into(), ..Default::default() }],
        phones: vec![crate::model::record::Phone { value: "+12125550123".into(), ..Default::default() }],
        organization: Some("Example Industries Inc".into()),
        ..Default::default()
    };
    let model = Model::default_model();
    let features = Features::new(&Normalizer::new(Rules::default()).normalize(&fields).0, &model);
    assert!(features.bytes() < 250, "{}", features.bytes());
}
