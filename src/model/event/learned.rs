//! What a training found, as facts: the model's bytes in parts, the card that says how it came about, and which model
//! decides from when on.
//!
//! A model is hashes, shares and weights; no name or value of a person is in it. Its bytes are made and read by
//! `store::form`; here they are opaque.

use crate::model::ids::{Millis, ModelId, Seq};

/// A piece of a trained model's bytes. Pieces come in order, before their [`ModelTrained`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPart {
    /// Of which model.
    pub model_id: ModelId,
    /// Which piece, from 0.
    pub part: u32,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingEnd {
    /// With a model that can be activated.
    Ready,
    /// The records do not carry one: too few contacts, or it would join too much.
    Refused,
    /// The work itself broke off.
    Failed,
}

/// What learning changed in one level of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedLevel {
    /// The comparison, as explanations name it.
    pub comparison: String,
    /// The level, as explanations name it.
    pub level: String,
    /// Matching pairs it was seen in, weighted.
    pub seen: f64,
    /// P(level given match) in the base.
    pub m_before: f64,
    /// P(level given match) as learned.
    pub m_after: f64,
    /// P(level given non-match) in the base; 0 where it is the value's own share.
    pub u_before: f64,
    /// P(level given non-match) as learned.
    pub u_after: f64,
    /// Held at no evidence, since the estimate spoke against the level's meaning.
    pub clamped: bool,
}

/// What made weights say how often they are right: people's verdicts, else witnesses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationDone {
    /// Verdicts `same` on live records.
    pub same: u32,
    /// Verdicts `different` on live records.
    pub different: u32,
    /// There were enough of both: `scale` and `shift` come from them.
    pub fitted: bool,
    /// Factor on the weight; 1: none.
    pub scale: f64,
    /// Bits added; 0: none.
    pub shift: f64,
}

impl CalibrationDone {
    /// Whether witnesses calibrated the weights, since there were too few verdicts.
    pub fn by_witnesses(&self) -> bool {
        !self.fitted && self.scale > 0.0 && (self.scale != 1.0 || self.shift != 0.0)
    }
}

/// A finished training: the model's card.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTrained {
    /// Its id.
    pub model_id: ModelId,
    /// How it ended.
    pub end: TrainingEnd,
    /// Why there is no model; missing when there is one.
    pub reason: Option<String>,
    /// Version of weights and tables.
    pub version: String,
    /// Version that learning began from and was pulled towards.
    pub base: String,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub at: Millis,
    /// The tenant's seq whose records it saw.
    pub as_of: Seq,
    /// How many records these were.
    pub records: u64,
    /// It is for up to 4 to the power of this many records.
    pub size_class: u8,
    /// Bits before any evidence under the model that decided when it began.
    pub prior_before: f64,
    /// The same under this model.
    pub prior_after: f64,
    /// Bits that the prior rose by because these records repeat people.
    pub duplication: f64,
    /// The levels that were learned.
    pub levels: Vec<LearnedLevel>,
    /// What made weights say how often they are right.
    pub calibration: CalibrationDone,
    /// How many [`ModelPart`]s it has; 0 without a model.
    pub parts: u32,
}

/// From now on this model decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelActivated {
    /// Which.
    pub model_id: ModelId,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}
