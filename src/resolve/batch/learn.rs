//! Learning the weights from a file's own records: partition, maximise, repeat.
//!
//! The partition is the expectation step (see [`train`](crate::matching::train)), so what is learned is what the
//! contacts show, vetoes and support included. A guard refuses weights that would make the file fall together; then the
//! model that training began with stays, and [`Training::refused`] says why.

use super::{Batch, BatchRecord, Linked, Verdicts, place};
use crate::matching::model::Model;
use crate::matching::platt::{self, Calibration};
use crate::matching::train::witness::Sightings;
use crate::matching::train::{Learned, Prior, Records, Trainer};
use crate::model::key::Millibits;
use crate::model::normalized::Normalized;
use crate::model::settings::Settings;
use rayon::prelude::*;

/// Rounds of partition and estimate. The labelled sets stand still after two.
const ROUNDS: usize = 3;
/// How far below the review threshold a pair may be and still be looked at again in a round, in millibits. The last
/// round looks at all.
const REACH: i32 = 12_000;
/// Fewest contacts of several records that weights are learned from.
const CONTACTS_MIN: usize = 30;
/// Records of a contact beyond which its badly written copies count as one person where values are counted. Of fewer
/// they hardly make a value common, and counting them as one costs historical_50k .004 of F1 (what is joined would say
/// less than what is not).
const COPIES_MAX: usize = 40;
/// Most pairs whose witnesses are heard.
const SIGHTINGS_MAX: usize = 1_000_000;
/// Training may not join more than this share of the contacts that the default weights found.
const JOINED_MAX: f64 = 0.5;

/// What training did.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// The levels that were estimated.
    pub learned: Vec<Learned>,
    /// Bits that the prior rose by, since these records repeat people more often than a population does.
    pub duplication: f64,
    /// Why the estimates were not taken. Missing: they were.
    pub refused: Option<String>,
    /// Verdicts of people that could be used: same, and different.
    pub verdicts: (usize, usize),
    /// What made weights say how often they are right: these verdicts, else witnesses. Missing: there were too few of
    /// either.
    pub calibration: Option<Calibration>,
    /// There were enough verdicts for it.
    pub by_people: bool,
}

/// What learning from records came to.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The model: learned, or the one that learning began with when that was refused.
    pub model: Model,
    /// What happened.
    pub training: Training,
}

impl Batch {
    /// Compares the records of one file under weights learned from them.
    pub fn trained(records: &[BatchRecord<'_>], model: &Model, settings: &Settings) -> (Self, Training) {
        Self::across(records, None, model, settings).train(records, settings)
    }

    /// Learns from records and from what people said of them, and gives the model alone. `go_on` is asked between
    /// rounds; `None`: it said no.
    pub fn lesson(
        records: &[BatchRecord<'_>],
        verdicts: Verdicts,
        model: &Model,
        settings: &Settings,
        go_on: &dyn Fn() -> bool,
    ) -> Option<Lesson> {
        let mut batch = Self { verdicts, ..Self::across(records, None, model, settings) };
        let training = batch.learn(records, settings, go_on)?;
        Some(Lesson { model: batch.model, training })
    }

    /// Learns, then compares all pairs under what was learned.
    fn train(mut self, records: &[BatchRecord<'_>], settings: &Settings) -> (Self, Training) {
        let training = self.learn(records, settings, &|| true).unwrap_or_default();
        self.find_edges(Millibits::from_probability(settings.review));
        (self, training)
    }

    fn learn(
        &mut self,
        records: &[BatchRecord<'_>],
        settings: &Settings,
        go_on: &dyn Fn() -> bool,
    ) -> Option<Training> {
        let base = self.model.clone();
        let review = Millibits::from_probability(settings.review);
        self.find_edges(Millibits(review.0.saturating_sub(REACH)));
        let near: Vec<(u32, u32)> = self.edges.iter().map(|&(a, b, _)| (a, b)).collect();
        self.rescore(&near, review);
        let mut before = self.several(settings);
        let contacts_before = self.contacts(&before);
        let mut counted: Vec<Vec<u32>> = Vec::new();
        for _ in 0..ROUNDS {
            let large: Vec<Vec<u32>> = before.iter().filter(|contact| contact.len() > COPIES_MAX).cloned().collect();
            if base.without.frequencies || large == counted || !go_on() {
                break;
            }
            self.count_people(records, &large);
            counted = large;
            self.rescore(&near, review);
            before = self.several(settings);
        }
        let training = match before.len() {
            _ if !go_on() => return None,
            CONTACTS_MIN.. => self.rounds(&base, before, contacts_before, &near, settings, go_on)?,
            few => refused(format!("only {few} contacts have several records, {CONTACTS_MIN} are needed")),
        };
        if training.refused.is_some() {
            self.remodel(records, base);
        }
        Some(Training { verdicts: self.verdicts.counts(), ..training })
    }

    fn rounds(
        &mut self,
        base: &Model,
        mut several: Vec<Vec<u32>>,
        contacts_before: usize,
        near: &[(u32, u32)],
        settings: &Settings,
        go_on: &dyn Fn() -> bool,
    ) -> Option<Training> {
        let review = Millibits::from_probability(settings.review);
        let trainer = Trainer::new(&self.model, self.records(), &several, Prior::default());
        let mut training = Training::default();
        for _ in 0..ROUNDS {
            let (model, learned) = trainer.step(self.records(), &self.model, &several);
            training = Training { learned, duplication: model.duplication, ..Training::default() };
            self.model = Model { version: format!("{}-trained", base.version), ..model };
            self.rescore(near, review);
            several = self.several(settings);
            if !go_on() {
                return None;
            }
        }
        let by_people = platt::fit(&self.judged_weights());
        training.by_people = by_people.is_some();
        let calibration = || by_people.or_else(|| self.sightings(near).calibration());
        training.calibration = (!self.model.without.calibration).then(calibration).flatten();
        if let Some(calibration) = training.calibration {
            self.model.calibration = calibration;
            self.rescore(near, review);
            several = self.several(settings);
        }
        let contacts = self.contacts(&several);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let joined = 1.0 - contacts as f64 / contacts_before.max(1) as f64;
        if joined > JOINED_MAX {
            let reason = format!("the learned weights would join {contacts_before} contacts into {contacts}");
            return Some(refused(reason));
        }
        Some(training)
    }

    /// Counts how common values are again, now that it is known whose these copies are.
    fn count_people(&mut self, records: &[BatchRecord<'_>], contacts: &[Vec<u32>]) {
        let normalized: Vec<&Normalized> = records.iter().map(|record| record.normalized).collect();
        self.remodel(records, self.model.with_people(&normalized, contacts));
    }

    /// Goes on under a model of other frequencies. Keys do not depend on them.
    fn remodel(&mut self, records: &[BatchRecord<'_>], model: Model) {
        self.features = records.par_iter().map(|record| record.features(&model)).collect();
        self.model = model;
    }

    /// What the witnesses of pairs say.
    fn sightings(&self, pairs: &[(u32, u32)]) -> Sightings {
        let every = pairs.len().div_ceil(SIGHTINGS_MAX).max(1);
        let mut seen = Sightings::default();
        for (a, b) in pairs.iter().step_by(every) {
            if let Some((a, b)) = self.features.get(*a as usize).zip(self.features.get(*b as usize)) {
                seen.add(&self.model, &self.index.counts, a, b);
            }
        }
        seen
    }

    fn records(&self) -> Records<'_> {
        Records { tiers: &self.index.counts, features: &self.features }
    }

    /// Scores known pairs again.
    fn rescore(&mut self, pairs: &[(u32, u32)], least: Millibits) {
        let of_one = |pairs: &[(u32, u32)]| {
            let others: Vec<u32> = pairs.iter().map(|(_, b)| *b).collect();
            pairs.first().map_or_else(Vec::new, |(a, _)| self.edges_of(*a, &others, least))
        };
        self.edges = pairs.par_chunk_by(|one, next| one.0 == next.0).flat_map_iter(of_one).collect();
    }

    /// The contacts of several records; in a link the pairs.
    fn several(&self, settings: &Settings) -> Vec<Vec<u32>> {
        if let Some(border) = self.border {
            return self.linked().into_iter().map(|pair| vec![pair.left, pair.right + border]).collect();
        }
        let mut members = self.partition(&self.limits_of_file(settings)).members();
        members.retain(|list| list.len() > 1);
        members
    }

    /// How many contacts there are in all.
    fn contacts(&self, several: &[Vec<u32>]) -> usize {
        let joined: usize = several.iter().map(|contact| contact.len() - 1).sum();
        self.features.len() - joined
    }
}

fn refused(reason: String) -> Training {
    Training { refused: Some(reason), ..Training::default() }
}

/// As [`link_records`](super::link_records), under weights learned from the two files.
pub fn link_trained(
    left: &[BatchRecord<'_>],
    right: &[BatchRecord<'_>],
    model: &Model,
    settings: &Settings,
) -> (Vec<Linked>, Training) {
    let records = [left, right].concat();
    let (batch, training) = Batch::across(&records, Some(place(left.len())), model, settings).train(&records, settings);
    (batch.linked(), training)
}
