//! Events about questions to stewards, beside [`super::ReviewOpened`] and [`super::ReviewDecided`].

use super::Edge;
use crate::model::ids::{Millis, ReviewId};
use crate::model::key::Millibits;

/// See [`super::Event::ReviewNoted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewNoted {
    /// Which.
    pub review_id: ReviewId,
    /// Who is to answer it; missing: anybody.
    pub assignee: Option<String>,
    /// What somebody wrote down; missing: nothing.
    pub note: Option<String>,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
}

/// See [`super::Event::ReviewChanged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewChanged {
    /// Which.
    pub review_id: ReviewId,
    /// The pair that asks now.
    pub pair: Edge,
    /// Mean support of the join now.
    pub support: Millibits,
    /// A veto stands against it now.
    pub vetoed: bool,
    /// When.
    pub at: Millis,
}
