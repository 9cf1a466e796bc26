//! How likely two records are one person: the sum of all parts, the prior, and the bounds that keep
//! shared things from adding up to a person.
//!
//! Pure, symmetric, in integer millibits: floats live inside one part only. The bounds:
//!
//! - *household*: when the given names contradict, everything a family or an office shares together
//!   gives at most `log2 N - 2` bits, and with the birthday (twins) still stays below even odds.
//! - *single*: one piece of evidence alone stays below the automatic threshold, except
//! - *business key*: a unique email, id or account domain that nothing contradicts is enough alone.

use crate::matching::features::{Features, Unpacked};
use crate::matching::ledger::{Entry, Ledger};
use crate::matching::model::{Culture, Model};
use crate::matching::names::Comparison;
use crate::matching::without::Ordinary;
use crate::matching::{contacts, context, names};
use crate::model::key::{Key, Millibits, Tier};

/// How common identifiers are in the population at hand.
pub trait Tiers {
    /// The tier of an identifier; `Unique` for one nobody carries.
    fn tier(&self, key: Key) -> Tier;
    /// How many people (distinct given-name codes) carry it; for people to read, not for scoring.
    fn people(&self, key: Key) -> u32;
}

/// What scoring says of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// Sum of all parts and the prior.
    pub weight: Millibits,
    /// The two cannot be one person: contradicting generations, birthdays or identity documents.
    pub veto: bool,
    /// Independent pieces of evidence that speak for a match.
    pub independent_pieces: u8,
    /// Something contradicts and what agrees does not outweigh it, so that a low weight is a
    /// disagreement and not mere silence. Two names that both clash are one whatever an office shares.
    pub conflict: bool,
    /// A unique email, id or account domain agrees and nothing contradicts it: enough alone, whatever else is silent.
    pub key: bool,
}

/// Scores a pair; the same for `(a, b)` and `(b, a)`.
pub fn score(model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features) -> Scored {
    scored(model, &judge(model, tiers, a, b))
}

/// The same for features that are unpacked, and names that are compared: for [`Scorer`](super::scorer::Scorer).
pub(crate) fn score_unpacked(
    model: &Model,
    tiers: &dyn Tiers,
    a: &Unpacked<'_>,
    b: &Unpacked<'_>,
    names: Option<&Comparison>,
) -> Scored {
    scored(model, &judged(model, evidence_unpacked(model, tiers, a, b, names)))
}

fn scored(model: &Model, ledger: &Ledger) -> Scored {
    let weight = Millibits(ledger.total.saturating_add(prior(model).0));
    // Whether something contradicts is the evidence's business, not that of how sure it makes people.
    let evidence = ledger.total.saturating_sub(ledger.calibration);
    let strangers = ledger.name_clash && ledger.surname_clash && evidence.saturating_add(prior(model).0) < 0;
    Scored {
        weight,
        veto: ledger.veto,
        independent_pieces: ledger.pieces,
        conflict: ledger.veto || strangers || (ledger.conflict && evidence < 0),
        key: ledger.key_holds,
    }
}

/// The weight before any evidence.
pub(crate) fn prior(model: &Model) -> Millibits {
    Millibits::from_bits(model.prior_bits())
}

/// Compares everything and applies the bounds.
pub(crate) fn judge(model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features) -> Ledger {
    judged(model, evidence(model, tiers, a, b))
}

fn judged(model: &Model, mut ledger: Ledger) -> Ledger {
    let weight = Millibits(ledger.total.saturating_add(prior(model).0));
    ledger.calibrate(model.calibration.apply(weight).0.saturating_sub(weight.0));
    alone(&mut ledger, model);
    ledger
}

/// What the evidence of a pair and the prior add up to, before calibration and before the rules on one piece alone: what
/// calibration is fitted to and applied to. Those rules come after it, so that no verdict lifts them.
pub fn uncalibrated(model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features) -> Millibits {
    Millibits(evidence(model, tiers, a, b).total.saturating_add(prior(model).0))
}

/// The account before calibration and before the rules on one piece alone.
pub(crate) fn evidence(model: &Model, tiers: &dyn Tiers, a: &Features, b: &Features) -> Ledger {
    let (a, b) = (a.unpack(), b.unpack());
    let names = names::best(model, &a.named(), &b.named());
    evidence_unpacked(model, tiers, &a, &b, names.as_ref())
}

fn evidence_unpacked(
    model: &Model,
    tiers: &dyn Tiers,
    a: &Unpacked<'_>,
    b: &Unpacked<'_>,
    names: Option<&Comparison>,
) -> Ledger {
    let mut ledger = Ledger::default();
    let tiers = if model.without.generic { &Ordinary } else { tiers };
    names::compare(&mut ledger, model, a, b, names);
    contacts::compare(&mut ledger, model, tiers, a, b);
    context::compare(&mut ledger, model, a, b);
    owner(&mut ledger, a, b);
    office(&mut ledger);
    culture(&mut ledger, model);
    household(&mut ledger, model);
    ledger.veto &= !model.without.vetoes;
    if a.is_other_user(b) {
        ledger.book("user", "other", 0.0);
        (ledger.veto, ledger.conflict) = (true, true);
    }
    ledger
}

/// A company and a person who share a number, a door or the company's name are the business and its owner: as two given
/// names behind one door, unless an email or id of their own says otherwise.
fn owner(ledger: &mut Ledger, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let company_of = |company: &Unpacked<'_>, person: &Unpacked<'_>| company.is_business() && person.has_name();
    ledger.name_clash |= !ledger.business_key && (company_of(a, b) || company_of(b, a));
}

/// A line that many people share is their employer's, and so is their mail domain: beside an employer that agrees they
/// say nothing more.
fn office(ledger: &mut Ledger) {
    let most = |found: &dyn Fn(&Entry) -> bool| {
        ledger.entries.iter().filter(|entry| found(entry)).map(|entry| entry.weight.0).max().unwrap_or(0).max(0)
    };
    let employer = most(&|entry| matches!(entry.comparison, "organization" | "domain"));
    if employer == 0 {
        return;
    }
    let line = most(&|entry| entry.comparison == "phone" && matches!(entry.level, "exact, family" | "exact, crowded"));
    let mail = most(&|entry| entry.comparison == "email" && entry.level == "other at domain");
    let correction = -line.min(employer) - mail;
    ledger.correct("office", correction);
    ledger.household = ledger.household.saturating_add(correction);
}

/// What goes with a given name in any case says less beside it: who is called Gabrielle lives in France.
fn culture(ledger: &mut Ledger, model: &Model) {
    if !ledger.given_agrees || model.culture == Culture::default() {
        return;
    }
    let less = |entry: &Entry| model.culture.of(entry.comparison).min(entry.weight.bits()).max(0.0);
    let sum: f64 = ledger.entries.iter().map(less).sum();
    let correction = -Millibits::from_bits(sum).0;
    ledger.correct("culture", correction);
    ledger.household = ledger.household.saturating_add(correction);
}

/// Shared things never make one person of two given names.
fn household(ledger: &mut Ledger, model: &Model) {
    if !ledger.name_clash {
        return;
    }
    let w = &model.weights.dependence;
    let bound = Millibits::from_bits(w.household - model.prior_bits()).0;
    let excess = (ledger.household - bound).max(0);
    ledger.correct("household", -excess);
    let shared = ledger.household.min(bound).max(0) + ledger.birthday;
    let bound = Millibits::from_bits(w.twins - model.prior_bits()).0;
    ledger.correct("twins", -(shared - bound).max(0));
}

/// One piece alone is not enough, unless it is a business key.
fn alone(ledger: &mut Ledger, model: &Model) {
    let w = &model.weights.dependence;
    let contradicted = ledger.veto
        || ledger.name_clash
        || (ledger.surname_clash && !ledger.given_agrees)
        || ledger.conflict && !ledger.surname_clash;
    let key = ledger.business_key && model.business_keys && !contradicted;
    ledger.key_holds = key;
    let weight = ledger.total.saturating_add(prior(model).0);
    let least = Millibits::from_bits(w.business_key).0;
    if key && weight < least {
        ledger.correct("business_key", least - weight);
    }
    let most = Millibits::from_bits(w.single).0.saturating_add(ledger.against());
    if !key && ledger.pieces < 2 && weight > most {
        ledger.correct("single", most - weight);
    }
}
