//! What goes with a given name: how much more often strangers of one given name live in one city, country or company
//! than any two strangers do.
//!
//! Counted over pairs whose given names agree, whose family names and some identifier or birthday contradict each other
//! and that are not in one contact: those are strangers. The other side, two strangers at random, is the sum of the
//! squared shares of the field's values. Both are pulled together as if chance had agreed [`PULL`] times, so that few
//! records say nothing.

use hashbrown::HashMap;

use super::Records;
use crate::matching::features::Features;
use crate::matching::ledger::Ledger;
use crate::matching::model::{Culture, Model};
use crate::matching::score::judge;

/// Most pairs of one given name that are looked at.
const PAIRS_MAX: usize = 100_000;
/// Most records of one given name that a record is compared with.
const NEIGHBOURS: usize = 8;
/// Agreements by chance that chance counts as having had.
const PULL: f64 = 3.0;
/// Most bits.
const BITS_MAX: f64 = 6.0;

/// Agreements and comparisons of one field.
#[derive(Clone, Copy, Default)]
struct Seen {
    agree: f64,
    all: f64,
}

/// The fields, by their names in explanations.
const FIELDS: [&str; 6] = ["city", "country", "postal_code", "organization", "domain", "job_title"];

/// Counts what strangers of one given name share. `contact_of` is the contact of each record.
pub(super) fn culture(model: &Model, records: Records<'_>, contact_of: &[usize]) -> Culture {
    let mut seen = [Seen::default(); FIELDS.len()];
    for (a, b) in pairs(records.features, contact_of) {
        let (Some(x), Some(y)) = (records.features.get(a), records.features.get(b)) else { continue };
        let ledger = judge(model, records.tiers, x, y);
        if !ledger.given_agrees || !ledger.surname_clash || !strangers(&ledger) {
            continue;
        }
        for entry in &ledger.entries {
            if let Some(at) = FIELDS.iter().position(|field| *field == entry.comparison)
                && let Some(seen) = seen.get_mut(at)
            {
                seen.all += 1.0;
                seen.agree += f64::from(u8::from(entry.level == "exact"));
            }
        }
    }
    let f = &model.frequencies;
    let [city, country, postcode, organization, domain, title] = seen;
    Culture {
        city: bits(city, f.city.agreement()),
        country: bits(country, f.country.agreement()),
        postcode: bits(postcode, f.postcode.agreement()),
        organization: bits(organization, f.organization.agreement()),
        domain: bits(domain, f.domain.agreement()),
        title: bits(title, f.title.agreement()),
    }
}

/// Whether an identifier or the birthday was compared, and none agrees.
fn strangers(ledger: &Ledger) -> bool {
    const TELLING: [&str; 5] = ["birthday", "email", "phone", "external_id", "handle"];
    let mut telling = ledger.entries.iter().filter(|entry| TELLING.contains(&entry.comparison)).peekable();
    telling.peek().is_some() && telling.all(|entry| entry.weight.0 < 0)
}

fn bits(seen: Seen, chance: f64) -> f64 {
    if chance <= 0.0 || seen.all < 1.0 {
        return 0.0;
    }
    let rate = (seen.agree + PULL) / (seen.all + PULL / chance);
    (rate / chance).log2().clamp(0.0, BITS_MAX)
}

/// The contact of each record, where `contacts` are those of several; one alone has a number of its own.
pub(super) fn contact_of(records: usize, contacts: &[Vec<u32>]) -> Vec<usize> {
    let mut of: Vec<usize> = (contacts.len()..contacts.len() + records).collect();
    for (number, contact) in contacts.iter().enumerate() {
        for record in contact {
            if let Some(of) = of.get_mut(*record as usize) {
                *of = number;
            }
        }
    }
    of
}

/// Pairs of records with one given name in different contacts, by a fixed rule: each record with those that follow it
/// at growing distances among the records of its name.
fn pairs(features: &[Features], contact_of: &[usize]) -> Vec<(usize, usize)> {
    let mut by_name: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, record) in features.iter().enumerate() {
        let record = record.unpack().named();
        if let Some(given) = record.readings.first().and_then(|reading| reading.given.joined(&record.tokens))
            && !given.is_initial()
        {
            by_name.entry(given.hash).or_default().push(at);
        }
    }
    let mut names: Vec<Vec<usize>> = by_name.into_values().filter(|records| records.len() > 1).collect();
    names.sort_unstable();
    let all: usize = names.iter().map(|records| records.len() * NEIGHBOURS).sum();
    let every = all.div_ceil(PAIRS_MAX).max(1);
    let near = |records: &[usize]| -> Vec<(usize, usize)> {
        let steps = 1..=NEIGHBOURS.min(records.len() - 1);
        let pairs = steps.flat_map(|n| {
            let step = if records.len() > 4 * NEIGHBOURS { n * records.len() / (2 * NEIGHBOURS) } else { n };
            records.iter().zip(records.iter().skip(step)).map(|(a, b)| (*a, *b))
        });
        pairs.filter(|(a, b)| contact_of.get(*a) != contact_of.get(*b)).collect()
    };
    names.iter().flat_map(|records| near(records)).step_by(every).collect()
}
