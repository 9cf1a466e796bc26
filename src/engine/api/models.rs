//! What callers see of models.

use crate::model::event::{CalibrationDone, LearnedLevel};
use crate::model::ids::{Millis, ModelId, Seq};

/// Where a model stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelStatus {
    /// The work runs.
    #[default]
    Training,
    /// Can be activated.
    Ready,
    /// The records do not carry a model; the card says why.
    Refused,
    /// The work broke off; the card says why.
    Failed,
    /// Decides.
    Active,
    /// Decided once, and can be activated again.
    Retired,
}

impl ModelStatus {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// A model as it is listed. What is missing is not known yet, or does not apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    /// Its id; [`ModelId::DEFAULT`] is the shipped one.
    pub id: ModelId,
    /// Where it stands.
    pub status: ModelStatus,
    /// Version of weights and tables; empty while it trains.
    pub version: String,
    /// Version that learning began from.
    pub base: Option<String>,
    /// Who asked for it; empty for the shipped one.
    pub actor: String,
    /// When training began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// When it was activated last, and by whom.
    pub activated: Option<(Millis, String)>,
    /// The seq whose records it saw.
    pub as_of: Option<Seq>,
    /// How many records these were.
    pub records: Option<u64>,
    /// It is for up to 4 to the power of this many records.
    pub size_class: Option<u8>,
    /// Bits before any evidence, under the model that decided when training began.
    pub prior_before: Option<f64>,
    /// The same under this one.
    pub prior_after: Option<f64>,
    /// Bits that the prior rose by because the records repeat people.
    pub duplication: Option<f64>,
    /// The levels that were learned.
    pub levels: Vec<LearnedLevel>,
    /// What people's verdicts did.
    pub calibration: Option<CalibrationDone>,
    /// Why there is no model.
    pub reason: Option<String>,
}
