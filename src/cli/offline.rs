//! What `dedupe`, `link` and `evaluate` share: the model and the settings of a run over files.

use crate::cli::args::Offline;
use crate::cli::out;
use crate::matching::model::Model;
use crate::model::ids::RecordKey;
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::model::settings::Settings;
use crate::resolve::batch::{Batch, BatchRecord, BatchResult, Linked, Training, link_records, link_trained};

/// Two records and how likely they are one person. Positions among the records given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    /// The smaller position; in a link, the position on the left.
    pub(super) left: u32,
    /// The larger position; in a link, the position on the right.
    pub(super) right: u32,
    /// Match probability, 0 to 1.
    pub(super) probability: f64,
}

impl Pair {
    /// From an edge of a batch.
    pub(super) fn of_edge(&(left, right, weight): &(u32, u32, Millibits)) -> Self {
        Self { left, right, probability: weight.probability() }
    }
}

/// A model and settings, made for some records.
pub(super) struct Run {
    model: Model,
    settings: Settings,
    /// Whether the weights are learned from the records.
    learns: bool,
}

impl Run {
    /// For these records: their number sets the prior, and their names, unless told otherwise, the frequencies.
    pub(super) fn new<'a>(records: impl Iterator<Item = &'a Normalized> + Clone, offline: &Offline) -> Self {
        let model = Model::default_model().with_size_class(records.clone().count());
        let learns = offline.model == "trained";
        let model = if learns { model.with_frequencies(records) } else { model };
        let model = offline.without.iter().fold(model, |model, part| model.without(*part));
        let settings = Settings {
            default_region: offline.default_region.to_uppercase(),
            review: offline.threshold.min(Settings::default().review),
            auto: offline.threshold,
            ..Settings::default()
        };
        Self { model, settings, learns }
    }

    /// Compares the records of one file; says what training did, if there was any.
    pub(super) fn compare(&self, records: &[&Normalized]) -> (Batch, Option<Training>) {
        let records = unnamed(records);
        if !self.learns {
            return (Batch::of_file(&records, &self.model, &self.settings), None);
        }
        let (batch, training) = Batch::trained(&records, &self.model, &self.settings);
        tell(&training);
        (batch, Some(training))
    }

    /// Whether weights and frequencies are learned from the records.
    pub(super) fn learns(&self) -> bool {
        self.learns
    }

    /// The weight from which a pair is an edge.
    pub(super) fn review(&self) -> Millibits {
        Millibits::from_probability(self.settings.review)
    }

    /// Cuts compared records into contacts at another threshold.
    pub(super) fn cut(&self, batch: &Batch, threshold: f64) -> BatchResult {
        let settings = Settings { auto: threshold, ..self.settings.clone() };
        batch.partition(&batch.limits_of_file(&settings))
    }

    /// Pairs the records of two files, from the threshold up.
    pub(super) fn link(&self, left: &[&Normalized], right: &[&Normalized]) -> Vec<Pair> {
        let settings = Settings { review: self.settings.auto, ..self.settings.clone() };
        let pair = |linked: Linked| Pair { left: linked.left, right: linked.right, probability: linked.probability };
        let (left, right) = (unnamed(left), unnamed(right));
        if !self.learns {
            return link_records(&left, &right, &self.model, &settings).into_iter().map(pair).collect();
        }
        let (linked, training) = link_trained(&left, &right, &self.model, &settings);
        tell(&training);
        linked.into_iter().map(pair).collect()
    }
}

/// Says what was learned, or why nothing was.
fn tell(training: &Training) {
    match &training.refused {
        Some(reason) => out::note(&format!("Default weights: {reason}")),
        None => {
            let (levels, prior) = (training.learned.len(), training.duplication);
            let clamped = training.learned.iter().filter(|learned| learned.clamped).count();
            out::note(&format!(
                "Weights learned from these records: {levels} levels, {clamped} of them held at no evidence; prior +{prior:.1} bits"
            ));
        }
    }
}

/// Records of a file go by their place in it.
fn unnamed<'a>(records: &[&'a Normalized]) -> Vec<BatchRecord<'a>> {
    const NO_KEY: Option<&RecordKey> = None;
    records.iter().map(|normalized| BatchRecord { key: NO_KEY, normalized }).collect()
}
