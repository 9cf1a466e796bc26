//! A trained model says nothing that only one person told: it outlives the records that it was learned from, and an erased
//! person's name must not stand in it, be it as a hash.
//!
//! A value that one contact alone has is hardly less common than another such value, so its line can go: what is not listed
//! has the mean of what they had. A value of several contacts is a statistic and stays, also when some of them are erased later.

use hashbrown::HashMap;

use crate::matching::model::{ANY, Counter, Frequencies, Model, hash_or_none, whole_name};
use crate::matching::token::mean;
use crate::model::normalized::Normalized;
use crate::normalize::name::other_forms;

impl Model {
    /// This model, which was learned from these records, each with its contact: without the frequencies of values that one
    /// contact alone has.
    #[must_use]
    pub fn without_singles<'a>(&self, records: impl IntoIterator<Item = (&'a Normalized, u64)>) -> Model {
        let mut counter = Counter::default();
        let mut names: HashMap<u64, Option<u64>> = HashMap::new();
        for (record, contact) in records {
            counter.add(record, contact);
            for name in whole_names(record) {
                let first = names.entry(name).or_insert(Some(contact));
                *first = first.filter(|first| *first == contact);
            }
        }
        let [given, surname, organization, title, city, country, postcode, domain, word] =
            counter.counts.map(|counts| move |hash: u32| counts.get(&hash).is_some_and(|contacts| *contacts > 1));
        let all = &*self.frequencies;
        let several = |name: u64| names.get(&name).is_some_and(Option::is_none);
        let whole_name = all.whole_name.iter().filter(|(name, _)| several(**name));
        let frequencies = Frequencies {
            given_joint: joint(&all.given_joint, &given),
            surname_joint: joint(&all.surname_joint, &surname),
            whole_name: whole_name.map(|(name, share)| (*name, *share)).collect(),
            given: all.given.only(given),
            surname: all.surname.only(surname),
            organization: all.organization.only(organization),
            title: all.title.only(title),
            city: all.city.only(city),
            country: all.country.only(country),
            postcode: all.postcode.only(postcode),
            domain: all.domain.only(domain),
            word: all.word.only(word),
        };
        Model { frequencies: frequencies.into(), ..self.clone() }
    }
}

/// The hashes of a record's whole names.
fn whole_names(record: &Normalized) -> impl Iterator<Item = u64> {
    let name = &record.name;
    let own = std::iter::once((name.first_tokens.clone(), name.last_tokens.clone()));
    own.chain(other_forms(name))
        .map(|(given, surname)| whole_name(hash_or_none(&given.concat()), hash_or_none(&surname.concat())))
}

/// The bits of listed names; the others have the mean of what was theirs.
fn joint(bits: &HashMap<u32, f32>, listed: impl Fn(u32) -> bool) -> HashMap<u32, f32> {
    let (mut kept, others): (HashMap<u32, f32>, HashMap<u32, f32>) = bits.iter().partition(|(name, _)| listed(**name));
    kept.extend(mean(others).map(|mean| (ANY, mean)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::features::Features;
    use crate::matching::score::score;
    use crate::matching::token::{Shares, hash};
    use crate::matching::without::Ordinary;
    use crate::model::normalized::NormAddress;

    /// Ten people of common names, three records each, and one whose name, town and street nobody else has.
    fn people() -> Vec<(Normalized, u64)> {
        let person = |given: &str, surname: &str, city: &str| {
            let mut record = Normalized::default();
            record.name.first_tokens = vec![given.into()];
            record.name.last_tokens = vec![surname.into()];
            record.addresses = vec![NormAddress { city: Some(city.into()), ..NormAddress::default() }];
            record
        };
        let given = ["ann", "bob", "eve", "dan", "kim"];
        let common = (0..10u64).zip(0usize..).flat_map(|(n, at)| {
            let record = person(given[at % 5], ["lee", "roy"][at % 2], "leeds");
            [(record.clone(), n), (record.clone(), n), (record, n)]
        });
        let one = [("zbigniew", "zyskowski"), ("zbyszek", "zyskowski")];
        common.chain(one.map(|(given, surname)| (person(given, surname, "wroclaw"), 99))).collect()
    }

    fn models() -> (Model, Model) {
        let people = people();
        let whole = Model::default_model().with_frequencies(people.iter().map(|(record, _)| record));
        let kept = whole.without_singles(people.iter().map(|(record, contact)| (record, *contact)));
        (whole, kept)
    }

    #[test]
    fn what_one_contact_has_is_not_listed_and_what_several_have_is() {
        let (whole, kept) = models();
        let hashes = |shares: &Shares| shares.parts().0.into_iter().map(|(hash, _)| hash).collect::<Vec<_>>();
        for (text, one_alone) in [("zbigniew", true), ("zbyszek", true), ("ann", false)] {
            assert!(hashes(&whole.frequencies.given).contains(&hash(text)), "{text}");
            assert_eq!(hashes(&kept.frequencies.given).contains(&hash(text)), !one_alone, "{text}");
            assert_eq!(kept.frequencies.given_joint.contains_key(&hash(text)), !one_alone, "{text}");
        }
        // Two spellings of a name, one person: it was counted as two, and still nobody else has it.
        assert!(hashes(&whole.frequencies.surname).contains(&hash("zyskowski")));
        assert!(!hashes(&kept.frequencies.surname).contains(&hash("zyskowski")));
        assert!(!kept.frequencies.surname_joint.contains_key(&hash("zyskowski")));
        let was = ["zbigniew", "zbyszek"].map(|text| whole.frequencies.given_joint[&hash(text)]);
        assert!(was[0] < 0.0);
        assert_eq!(kept.frequencies.given_joint[&ANY], (was[0] + was[1]) / 2.0, "who is not listed has their mean");
        assert_eq!(hashes(&kept.frequencies.city), [hash("leeds")]);
        assert_eq!(kept.frequencies.given.get(hash("ann")), whole.frequencies.given.get(hash("ann")));
        assert_eq!(kept.frequencies.city.get(hash("wroclaw")), kept.frequencies.city.get(hash("nowhere")));
    }

    #[test]
    fn a_whole_name_with_many_records_of_one_contact_is_not_listed() {
        let (mut hers, named) = (people(), |who: &str| whole_name(hash(who), hash("roy")));
        let again = |name: &str, contact: u64| {
            let mut record = hers[0].0.clone();
            record.name.first_tokens = vec![name.into()];
            record.name.last_tokens = vec!["roy".into()];
            (record, contact)
        };
        let more: Vec<_> = (0..20).flat_map(|n| [again("sue", 200), again("ida", 300 + n % 2)]).collect();
        hers.extend(more);
        let whole = Model::default_model().with_frequencies(hers.iter().map(|(record, _)| record));
        let kept = whole.without_singles(hers.iter().map(|(record, contact)| (record, *contact)));
        let listed = |model: &Model, name: &str| model.frequencies.whole_name.contains_key(&named(name));
        assert_eq!((listed(&whole, "sue"), listed(&whole, "ida")), (true, true));
        assert_eq!((listed(&kept, "sue"), listed(&kept, "ida")), (false, true));
    }

    #[test]
    fn what_a_pair_weighs_hardly_changes() {
        let (whole, kept) = models();
        let people = people();
        for (a, b) in [(0, 1), (0, 3), (30, 31), (30, 30), (3, 30)] {
            let weight = |model: &Model| {
                let of = |at: usize| Features::new(&people[at].0, model);
                score(model, &Ordinary, &of(a), &of(b)).weight.0
            };
            let (before, after) = (weight(&whole), weight(&kept));
            assert!((before - after).abs() <= 1_000, "{a} {b}: {before} and {after} millibits");
        }
    }

    #[test]
    fn shipped_tables_stay() {
        let people = people();
        let shipped = Model::default_model();
        let kept = shipped.without_singles(people.iter().map(|(record, contact)| (record, *contact)));
        assert_eq!(kept.frequencies.given, shipped.frequencies.given);
        assert_eq!(kept.frequencies.given_joint, shipped.frequencies.given_joint);
    }
}
