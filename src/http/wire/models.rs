//! Models, and what activating one would do.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::api::{ModelCard, Preview, Shown};
use crate::http::wire::{id_texts, time};
use crate::matching::platt::VERDICTS_MIN;
use crate::model::event::{CalibrationDone, LearnedLevel};
use crate::model::ids::{EntityId, ModelId, ReviewId};

/// A model. What is null is not known yet, or does not apply.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelOut {
    /// Its id; `default` is the shipped one.
    id: String,
    /// `training`, `ready` (can be activated), `refused` or `failed` (`reason` says why), `active` (decides) or
    /// `retired` (decided once, can be activated again).
    status: String,
    /// Version of weights and tables.
    version: Option<String>,
    /// Version that learning began from.
    base_version: Option<String>,
    /// Who asked for it.
    actor: Option<String>,
    /// When training began.
    started_at: Option<String>,
    /// When it ended.
    finished_at: Option<String>,
    /// When it was activated last.
    activated_at: Option<String>,
    /// Who activated it.
    activated_by: Option<String>,
    /// The seq whose records it learned from.
    as_of_seq: Option<u64>,
    /// How many records it learned from.
    records: Option<u64>,
    /// How many records it is for: four to the power of its size class.
    records_max: Option<u64>,
    /// The tenant holds more records than it is for: train again.
    outgrown: bool,
    /// Bits before any evidence, under the model that decided when training began.
    prior_bits_before: Option<f64>,
    /// Bits before any evidence under this model.
    prior_bits: Option<f64>,
    /// Of these, bits because the records repeat people more often than a population does.
    duplication_bits: Option<f64>,
    /// The levels that were learned.
    levels: Vec<LevelOut>,
    /// What people's verdicts did.
    calibration: Option<CalibrationOut>,
    /// Why there is no model.
    reason: Option<String>,
}

/// What learning changed in one level.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LevelOut {
    /// The comparison, as explanations name it.
    comparison: String,
    /// The level.
    level: String,
    /// Matching pairs it was seen in, weighted.
    seen: f64,
    /// P(level given match) before.
    m_before: f64,
    /// P(level given match) now.
    m: f64,
    /// P(level given non-match) before; null where it is the value's own share.
    u_before: Option<f64>,
    /// P(level given non-match) now; null where it is the value's own share.
    u: Option<f64>,
    /// log2(m / u) before; null where u is the value's own share.
    bits_before: Option<f64>,
    /// log2(m / u) now; null where u is the value's own share.
    bits: Option<f64>,
    /// By how many bits the level weighs more than before.
    bits_gained: f64,
    /// Held at no evidence, since the estimate spoke against the level's meaning.
    clamped: bool,
}

/// What verdicts, or else witnesses (identifiers that two records both have), made of the weights: weight = scale *
/// evidence + shift, in bits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalibrationOut {
    /// There were enough verdicts.
    fitted: bool,
    /// Verdicts `same` on records that are there.
    same: u32,
    /// Verdicts `different` on records that are there.
    different: u32,
    /// How many of each are needed.
    needed: u64,
    /// Factor on a pair's weight.
    scale: f64,
    /// Bits added to it.
    shift_bits: f64,
    /// The same in a sentence.
    note: String,
}

impl ModelOut {
    /// A card, beside the number of records that the tenant holds now.
    pub(crate) fn new(card: &ModelCard, records_now: u64) -> Self {
        let records_max = card.size_class.map(|class| 1u64 << (2 * class).min(62));
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: card.id.to_string(),
            status: card.status.word().to_owned(),
            version: text(&card.version),
            base_version: card.base.clone(),
            actor: text(&card.actor),
            started_at: card.started_at.map(time),
            finished_at: card.finished_at.map(time),
            activated_at: card.activated.as_ref().map(|(at, _)| time(*at)),
            activated_by: card.activated.as_ref().map(|(_, actor)| actor.clone()),
            as_of_seq: card.as_of.map(|seq| seq.0),
            records: card.records,
            records_max,
            outgrown: records_max.is_some_and(|most| records_now > most),
            prior_bits_before: card.prior_before,
            prior_bits: card.prior_after,
            duplication_bits: card.duplication,
            levels: card.levels.iter().map(LevelOut::from).collect(),
            calibration: card.calibration.as_ref().map(CalibrationOut::from),
            reason: card.reason.clone(),
        }
    }
}

impl From<&LearnedLevel> for LevelOut {
    fn from(level: &LearnedLevel) -> Self {
        let own = |u: f64| (u > 0.0).then_some(u);
        let bits = |m: f64, u: f64| own(u).map(|u| (m / u).log2());
        let (before, after) = (bits(level.m_before, level.u_before), bits(level.m_after, level.u_after));
        let gained = before.zip(after).map(|(before, after)| after - before);
        Self {
            comparison: level.comparison.clone(),
            level: level.level.clone(),
            seen: level.seen,
            m_before: level.m_before,
            m: level.m_after,
            u_before: own(level.u_before),
            u: own(level.u_after),
            bits_before: before,
            bits: after,
            bits_gained: gained.unwrap_or_else(|| (level.m_after / level.m_before).log2()),
            clamped: level.clamped,
        }
    }
}

impl From<&CalibrationDone> for CalibrationOut {
    fn from(done: &CalibrationDone) -> Self {
        let CalibrationDone { same, different, fitted, scale, shift } = *done;
        let note = if fitted {
            format!("fitted to {same} verdicts same and {different} different: {scale} * weight {shift:+} bits")
        } else {
            let found = match done.by_witnesses() {
                true => {
                    format!("fitted to how often phones, emails and ids agree instead: {scale} * weight {shift:+} bits")
                }
                false => "scores say what the evidence alone says".into(),
            };
            format!(
                "{same} verdicts same and {different} different on records that are there, {VERDICTS_MIN} of each are \
                 needed; {found}"
            )
        };
        Self { fitted, same, different, needed: VERDICTS_MIN as u64, scale, shift_bits: shift, note }
    }
}

/// A model that decides from now on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActivatedAnswer {
    /// The model.
    pub(crate) model: ModelOut,
    /// Contacts whose records changed.
    pub(crate) contacts_changed: u64,
    /// The tenant's seq after it.
    pub(crate) seq: u64,
}

/// What activating a model would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewOut {
    /// Which model.
    model_id: String,
    /// The tenant's seq that it is as of.
    seq: u64,
    /// Live contacts.
    contacts: NowThen,
    /// Open reviews.
    reviews: NowThen,
    /// Contacts that would be made of several of now; each example lists those of now.
    merge: ShownOut<Vec<String>>,
    /// Contacts of now whose records would be in several.
    split: ShownOut<SplitOut>,
    /// Contacts that keep exactly their records.
    stay: ShownOut<String>,
    /// Questions that would be new; each example has the two contacts of now.
    reviews_opened: ShownOut<Vec<String>>,
    /// Reviews that would be withdrawn.
    reviews_closed: ShownOut<String>,
}

/// A figure now and after the activation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NowThen {
    /// Now.
    now: u64,
    /// After the activation.
    then: u64,
}

/// How many, and up to twenty of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShownOut<T> {
    /// All of them.
    count: u64,
    /// Some of them.
    examples: Vec<T>,
}

/// A contact that would come apart.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SplitOut {
    /// The contact now.
    contact_id: String,
    /// How many contacts its records would be in.
    into: u64,
}

fn shown<T, U>(shown: &Shown<T>, out: impl Fn(&T) -> U) -> ShownOut<U> {
    ShownOut { count: shown.count, examples: shown.examples.iter().map(out).collect() }
}

impl PreviewOut {
    /// What the engine found.
    pub(crate) fn new(id: ModelId, preview: &Preview) -> Self {
        let split = |(id, into): &(EntityId, u64)| SplitOut { contact_id: id.to_string(), into: *into };
        Self {
            model_id: id.to_string(),
            seq: preview.seq,
            contacts: NowThen { now: preview.contacts_now, then: preview.contacts_then },
            reviews: NowThen { now: preview.reviews_now, then: preview.reviews_then },
            merge: shown(&preview.merge, |ids| id_texts(ids)),
            split: shown(&preview.split, split),
            stay: shown(&preview.stay, EntityId::to_string),
            reviews_opened: shown(&preview.reviews_opened, |(a, b)| id_texts(&[*a, *b])),
            reviews_closed: shown(&preview.reviews_closed, ReviewId::to_string),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_m_and_u() {
        let level = LearnedLevel {
            comparison: "birthday".into(),
            level: "exact".into(),
            seen: 30.0,
            m_before: 0.8,
            m_after: 0.4,
            u_before: 0.1,
            u_after: 0.1,
            clamped: false,
        };
        let out = LevelOut::from(&level);
        assert!((out.bits_before.unwrap() - 3.0).abs() < 1e-9 && (out.bits_gained + 1.0).abs() < 1e-9);
        let shared = LevelOut::from(&LearnedLevel { u_before: 0.0, u_after: 0.0, ..level });
        assert!(shared.bits.is_none() && shared.u.is_none() && (shared.bits_gained + 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_outgrown_model_says_so() {
        let card = ModelCard { size_class: Some(5), ..ModelCard::default() };
        assert!(!ModelOut::new(&card, 1024).outgrown && ModelOut::new(&card, 1025).outgrown);
        let note = CalibrationOut::from(&CalibrationDone { same: 3, ..CalibrationDone::default() }).note;
        assert!(note.contains("3 verdicts same") && note.contains("50 of each"), "{note}");
    }
}
