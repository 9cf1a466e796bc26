//! Events about which values a contact shows.

use crate::model::ids::{EntityId, Millis};
use crate::model::survivorship::Rule;

/// See [`super::Event::SurvivorshipSet`]. It follows the [`super::SettingsSet`] that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurvivorshipSet {
    /// The rules that differ from the defaults, by field.
    pub rules: Vec<(String, Rule)>,
    /// Sources from most to least trusted, as in the settings: history needs to know them as they were.
    pub source_trust: Vec<String>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`super::Event::GoldenChanged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenChanged {
    /// Which contacts, in the order they were first seen.
    pub contacts: Vec<EntityId>,
    /// When.
    pub at: Millis,
    /// Who caused it.
    pub actor: String,
}
