//! The models of a tenant: those that were trained, and which one decides.
//!
//! A trained model is kept as its bytes, in the parts they came in; only the active one is unfolded. The shipped one is
//! always there and needs none. The newest [`MODELS_MAX`] are kept: an older one that is not active is forgotten when a
//! training ends, which is a function of the events and so the same after every replay.

use std::sync::Arc;

use rayon::prelude::*;

use crate::matching::model::Model;
use crate::model::event::{ModelActivated, ModelPart, ModelTrained, TrainingEnd};
use crate::model::ids::{Millis, ModelId};
use crate::model::settings::Discovery;
use crate::store::form::from_form;
use crate::store::shard::{Shard, Version};

/// Trainings that are remembered.
pub const MODELS_MAX: usize = 10;

/// One training and what became of it.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its card.
    pub card: ModelTrained,
    /// The model's bytes, in order. Empty without a model.
    pub parts: Arc<Vec<Vec<u8>>>,
    /// When it was activated last, and by whom.
    pub activated: Option<(Millis, String)>,
}

impl Trained {
    /// The model; `None` when there is none, or when its parts are not all there.
    pub fn model(&self) -> Option<Model> {
        let whole = self.card.end == TrainingEnd::Ready && self.parts.len() == self.card.parts as usize;
        whole.then(|| self.parts.concat()).and_then(|bytes| from_form(&bytes))
    }
}

/// All models of a tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Models {
    /// Trainings, oldest first.
    pub trained: Vec<Arc<Trained>>,
    /// The one that decides.
    pub active: ModelId,
    /// When the shipped one was activated last, and by whom; never while nothing else was.
    pub default_activated: Option<(Millis, String)>,
    /// Parts whose card has not come yet.
    pub pending: Option<(ModelId, Arc<Vec<Vec<u8>>>)>,
    /// The shipped model as the server runs it.
    shipped: Arc<Model>,
}

impl Models {
    /// Nothing trained.
    pub fn new(shipped: Arc<Model>) -> Self {
        Self { trained: Vec::new(), active: ModelId::DEFAULT, default_activated: None, pending: None, shipped }
    }

    /// The shipped model as the server runs it.
    pub fn shipped(&self) -> &Arc<Model> {
        &self.shipped
    }

    /// A training.
    pub fn get(&self, id: ModelId) -> Option<&Arc<Trained>> {
        self.trained.iter().find(|trained| trained.card.model_id == id)
    }

    /// The model of an id; `None` for one that is unknown or has no model.
    pub fn model(&self, id: ModelId) -> Option<Arc<Model>> {
        if id == ModelId::DEFAULT {
            return Some(Arc::clone(&self.shipped));
        }
        self.get(id)?.model().map(Arc::new)
    }

    /// Bytes that the trained models take as they are kept, the active one unfolded about twice again.
    pub fn bytes(&self) -> u64 {
        let of = |trained: &Arc<Trained>| {
            let held = if trained.card.model_id == self.active { 3 } else { 1 };
            trained.parts.iter().map(|part| part.len() as u64).sum::<u64>() * held
        };
        self.trained.iter().map(of).sum()
    }

    /// Takes a part in. One training runs at a time, so parts of another are the remains of one that broke off.
    pub(in crate::store) fn part(&mut self, part: ModelPart) {
        match &mut self.pending {
            Some((id, parts)) if *id == part.model_id && part.part > 0 => Arc::make_mut(parts).push(part.bytes),
            _ => self.pending = Some((part.model_id, Arc::new(vec![part.bytes]))),
        }
    }

    /// Takes a card in, with the parts that came before it.
    pub(in crate::store) fn card(&mut self, card: ModelTrained) {
        let pending = self.pending.take().filter(|(id, _)| *id == card.model_id);
        let parts = pending.map(|(_, parts)| parts).unwrap_or_default();
        self.trained.push(Arc::new(Trained { card, parts, activated: None }));
        while self.trained.len() > MODELS_MAX {
            let oldest = self.trained.iter().position(|trained| trained.card.model_id != self.active);
            self.trained.remove(oldest.unwrap_or(0));
        }
    }

    /// Notes an activation.
    pub(in crate::store) fn activated(&mut self, event: &ModelActivated) {
        let when = Some((event.at, event.actor.clone()));
        self.active = event.model_id;
        if event.model_id == ModelId::DEFAULT {
            self.default_activated = when;
        } else if let Some(trained) = self.trained.iter_mut().find(|t| t.card.model_id == event.model_id) {
            Arc::make_mut(trained).activated = when;
        }
    }
}

impl Shard {
    /// Another model decides from now on. One that is not there changes nothing: nobody decides so.
    pub(in crate::store) fn model_activated(&mut self, event: &ModelActivated) {
        let Some(model) = self.models.model(event.model_id) else { return };
        self.models.activated(event);
        self.put_model(&model);
        self.remake_versions();
    }

    /// Puts a model in force, with what the settings say of it. Features are not made anew.
    pub(in crate::store) fn put_model(&mut self, model: &Arc<Model>) {
        let business_keys = self.settings.business_keys;
        let users = self.settings.discovery.users.as_ref().map(|system| system.trim().to_lowercase());
        self.model = match model.business_keys == business_keys && model.users == users {
            true => Arc::clone(model),
            false => Arc::new(Model { business_keys, users, ..(**model).clone() }),
        };
    }

    /// Takes part in discovery otherwise from now on. What tells users apart is part of every record's features.
    pub(in crate::store) fn put_discovery(&mut self, discovery: Discovery) {
        let same = self.settings.discovery.users == discovery.users;
        Arc::make_mut(&mut self.settings).discovery = discovery;
        if !same {
            let model = Arc::clone(&self.model);
            self.put_model(&model);
            self.remake_versions();
        }
    }

    /// Makes features, keys and postings of every record that counts anew, on all cores; the slots in order.
    fn remake_versions(&mut self) {
        let model = Arc::clone(&self.model);
        let slots = (0..self.next_slot()).zip(self.slots.iter());
        let current: Vec<(u32, Arc<Version>)> =
            slots.filter_map(|(at, slot)| Some((at, Arc::clone(slot.current.as_ref()?)))).collect();
        let remade = |(at, old): &(u32, Arc<Version>)| {
            (*at, Arc::new(Version::of_stored(&old.stored.put(), Arc::clone(&old.stored), &model)))
        };
        let remade: Vec<(u32, Arc<Version>)> = current.par_iter().map(remade).collect();
        for (at, version) in remade {
            self.replace_current(at, Some(version));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::CalibrationDone;
    use crate::model::ids::Seq;
    use crate::store::form::to_form;

    fn card(number: u128, parts: u32) -> ModelTrained {
        ModelTrained {
            model_id: ModelId(number),
            end: TrainingEnd::Ready,
            reason: None,
            version: "x-trained".into(),
            base: "x".into(),
            actor: "test".into(),
            started_at: Millis(1),
            at: Millis(2),
            as_of: Seq(3),
            records: 4,
            size_class: 5,
            prior_before: -16.0,
            prior_after: -10.0,
            duplication: 0.0,
            levels: Vec::new(),
            calibration: CalibrationDone::default(),
            parts,
        }
    }

    fn activate(models: &mut Models, number: u128) {
        models.activated(&ModelActivated { model_id: ModelId(number), at: Millis(9), actor: "test".into() });
    }

    #[test]
    fn a_model_is_the_sum_of_its_parts() {
        let mut models = Models::new(Model::default_model());
        let bytes = to_form(&Model::default_model().with_size_class(5000));
        let pieces: Vec<&[u8]> = bytes.chunks(bytes.len() / 3 + 1).collect();
        let part = |id: u128, at: usize| ModelPart {
            model_id: ModelId(id),
            part: u32::try_from(at).unwrap(),
            bytes: pieces[at].to_vec(),
        };
        models.part(part(6, 0));
        (0..3).for_each(|at| models.part(part(7, at)));
        models.card(card(7, 3));
        assert_eq!(models.model(ModelId(7)).unwrap().size_class, 7);
        assert!(models.pending.is_none() && models.model(ModelId(6)).is_none());
        models.part(part(8, 0));
        models.card(card(8, 3));
        assert!(models.get(ModelId(8)).is_some() && models.model(ModelId(8)).is_none(), "it broke off");
    }

    #[test]
    fn the_active_one_is_never_forgotten() {
        let mut models = Models::new(Model::default_model());
        models.card(card(1, 0));
        activate(&mut models, 1);
        (2..40).for_each(|number| models.card(card(number, 0)));
        let ids: Vec<u128> = models.trained.iter().map(|trained| trained.card.model_id.0).collect();
        assert_eq!((ids.len(), ids[0], ids[1], ids[9]), (MODELS_MAX, 1, 31, 39));
        activate(&mut models, 0);
        models.card(card(40, 0));
        assert!(models.get(ModelId(1)).is_none() && models.active == ModelId::DEFAULT);
        assert_eq!(models.default_activated, Some((Millis(9), "test".into())));
    }
}
