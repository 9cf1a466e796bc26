//! A tenant's settings, with their defaults. Changing them is an event.

use crate::model::survivorship::Survivorship;

/// What a tenant may choose. Every bound has a default here and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// ISO 3166 alpha-2 region for phone numbers without a country code. Default `US`.
    pub default_region: String,
    /// Probability from which an edge proposes and a pair goes to review, 0 to 1. Default 0.50.
    pub review: f64,
    /// Probability that the mean support of a join must reach, 0 to 1. Default 0.90.
    pub auto: f64,
    /// Gmail: dots in the user part do not count. Default true.
    pub gmail_dots: bool,
    /// `+tag` in the user part does not count. Default true.
    pub plus_tags: bool,
    /// An equal email, external id or account domain without contradiction is enough alone. Default true.
    pub business_keys: bool,
    /// Free-mail domains beside the built-in list.
    pub free_mail_domains: Vec<String>,
    /// People from whom on an identifier is generic. Default 30.
    pub generic_max: u32,
    /// Records from whom on a key proposes nobody. Default 64.
    pub holders_max: u32,
    /// Days within which a merge can be undone. Default 30.
    pub rollback_days: u32,
    /// Sources from most to least trusted, for the fields under [`Rule::TrustedSourceRank`]; those not listed come last.
    /// Default empty: all alike.
    ///
    /// [`Rule::TrustedSourceRank`]: crate::model::survivorship::Rule::TrustedSourceRank
    pub source_trust: Vec<String>,
    /// A contact with a mail address at a free-mail provider is refused. Default false.
    pub refuse_free_mail: bool,
    /// For how long what nobody needs any more is kept.
    pub retention: Retention,
    /// Which value wins, by field. Default: the rules of [`crate::model::survivorship`].
    pub survivorship: Survivorship,
}

/// Days for which things are kept; 0: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Soft-deleted contacts, after which they are erased. Default 0.
    pub deleted_days: u32,
    /// Answered and withdrawn reviews, after which they are erased. Default 0.
    pub reviews_days: u32,
    /// Reports of imports. Default 90.
    pub imports_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { deleted_days: 0, reviews_days: 0, imports_days: 90 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_region: "US".into(),
            review: 0.50,
            auto: 0.90,
            gmail_dots: true,
            plus_tags: true,
            business_keys: true,
            free_mail_domains: Vec::new(),
            generic_max: 30,
            holders_max: 64,
            rollback_days: 30,
            source_trust: Vec::new(),
            refuse_free_mail: false,
            retention: Retention::default(),
            survivorship: Survivorship::default(),
        }
    }
}
