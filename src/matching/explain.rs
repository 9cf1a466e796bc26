//! Why a pair scored as it did: every part of the weight with the two values it compared.
//!
//! The parts and the prior sum exactly to the score, since both come from one ledger.

use crate::matching::features::Features;
use crate::matching::model::Model;
use crate::matching::score::{Tiers, judge, prior};
use crate::model::key::Millibits;
use crate::model::normalized::{Birthday, Normalized};

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What was compared: `given_name`, `phone`, ...; `dependence` for a correction.
    pub comparison: &'static str,
    /// The level it landed on.
    pub level: &'static str,
    /// What it adds.
    pub weight: Millibits,
    /// The left record's value or values, as far as there is one to show.
    pub left: Option<String>,
    /// The right record's.
    pub right: Option<String>,
}

/// Why a pair scored as it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The weight before any evidence.
    pub prior: Millibits,
    /// The parts, in the order of comparing.
    pub parts: Vec<Part>,
    /// Prior and parts summed; equal to the score's weight.
    pub weight: Millibits,
}

/// Explains a pair; `left` and `right` are the records of `a` and `b`.
pub fn explain(
    model: &Model,
    tiers: &dyn Tiers,
    a: &Features,
    b: &Features,
    left: &Normalized,
    right: &Normalized,
) -> Explanation {
    let ledger = judge(model, tiers, a, b);
    let part = |entry: &crate::matching::ledger::Entry| Part {
        comparison: entry.comparison,
        level: entry.level,
        weight: entry.weight,
        left: shown(entry.comparison, left),
        right: shown(entry.comparison, right),
    };
    let prior = prior(model);
    Explanation {
        prior,
        parts: ledger.entries.iter().map(part).collect(),
        weight: Millibits(ledger.total.saturating_add(prior.0)),
    }
}

impl Explanation {
    /// The comparisons that speak for (+) and against (-) a match: `+NAME+PHONE-BIRTHDAY`. Parts of a
    /// name are one item; parts below a tenth of a bit and corrections are left out.
    pub fn match_key(&self) -> String {
        let mut sums: Vec<(&'static str, i32)> = Vec::new();
        for part in &self.parts {
            let Some(item) = item(part.comparison) else {
                continue;
            };
            match sums.iter_mut().find(|(name, _)| *name == item) {
                Some((_, sum)) => *sum += part.weight.0,
                None => sums.push((item, part.weight.0)),
            }
        }
        let sign = |sum: i32| if sum > 0 { '+' } else { '-' };
        let strong = sums.into_iter().filter(|(_, sum)| sum.abs() >= 100);
        let mut out = String::new();
        for (name, sum) in strong {
            out.push(sign(sum));
            out.push_str(name);
        }
        out
    }
}

/// The item of the match key that a comparison belongs to.
fn item(comparison: &str) -> Option<&'static str> {
    Some(match comparison {
        "given_name" | "surname" | "names_together" | "name_reading" | "middle_name" | "name_words" => "NAME",
        "generation" => "GENERATION",
        "email" => "EMAIL",
        "phone" => "PHONE",
        "external_id" => "ID",
        "handle" => "HANDLE",
        "organization" | "domain" => "ORGANIZATION",
        "job_title" => "TITLE",
        "city" | "postal_code" | "street" | "country" => "ADDRESS",
        "birthday" => "BIRTHDAY",
        "gender" => "GENDER",
        _ => return None,
    })
}

/// The value of a record that a comparison looked at.
fn shown(comparison: &str, record: &Normalized) -> Option<String> {
    let name = &record.name;
    let joined = |values: Vec<String>| (!values.is_empty()).then(|| values.join(", "));
    match comparison {
        "given_name" => name.first.clone().or_else(|| name.nickname.clone()),
        "surname" => name.last.clone(),
        "middle_name" => name.middle.clone(),
        "names_together" | "name_reading" | "name_words" => Some(name.own_script.clone()).filter(|n| !n.is_empty()),
        "generation" => name.generation.map(|g| g.to_string()),
        "email" => joined(record.emails.iter().map(|e| e.canonical.clone()).collect()),
        "phone" => joined(record.phones.iter().map(|p| p.e164.clone()).collect()),
        "external_id" => joined(record.external_ids.iter().map(|(system, id)| format!("{system}:{id}")).collect()),
        "handle" => joined(record.handles.iter().map(|(service, h)| format!("{service}:{h}")).collect()),
        "organization" => record.organization.as_ref().map(|o| o.tokens.join(" ")),
        "domain" => joined(record.domains.clone()),
        "job_title" => record.job_title.clone(),
        "city" => joined(record.addresses.iter().filter_map(|a| a.city.clone()).collect()),
        "postal_code" => joined(record.addresses.iter().filter_map(|a| a.postal_code.clone()).collect()),
        "country" => joined(record.addresses.iter().filter_map(|a| a.country.clone()).collect()),
        "street" => joined(record.addresses.iter().map(street).filter(|s| !s.is_empty()).collect()),
        "birthday" => record.birthday.map(birthday),
        "gender" => record.gender.map(String::from),
        _ => None,
    }
}

fn street(address: &crate::model::normalized::NormAddress) -> String {
    let number = address.number.iter().map(String::as_str);
    number.chain(address.street.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

fn birthday(day: Birthday) -> String {
    let part = |n: Option<u16>, width: usize| n.map_or_else(|| "-".repeat(width), |n| format!("{n:0width$}"));
    format!("{}-{}-{}", part(day.year, 4), part(day.month.map(u16::from), 2), part(day.day.map(u16::from), 2))
}
