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
    /// What the controller declares for the processing register.
    pub privacy: Privacy,
    /// How the tenant takes part in discovery. Default: not at all.
    pub discovery: Discovery,
    /// Which value wins, by field. Default: the rules of [`crate::model::survivorship`].
    pub survivorship: Survivorship,
}

/// What the controller declares for the register of processing activities (GDPR article 30), which no program can find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Who decides on the processing: a name and an address. Empty: not declared.
    pub controller: String,
    /// How to reach them, or their data protection officer.
    pub contact: String,
    /// What the data is for.
    pub purposes: Vec<Purpose>,
    /// Whose data it is: customers, users, address books' contacts.
    pub subjects: Vec<String>,
    /// Transfers to third countries and their safeguards, in words.
    pub third_countries: String,
    /// Days that the audit trail shows. Default 0: all that the journal has. Older acts are not shown; they leave the disk with
    /// their journal segment.
    pub audit_days: u32,
}

/// One purpose and what makes it lawful.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// What for.
    pub name: String,
    /// The legal basis: `consent`, `contract`, `legal_obligation`, `vital_interests`, `public_task`, `legitimate_interests`.
    pub basis: String,
    /// More about it.
    pub note: String,
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
            privacy: Privacy::default(),
            discovery: Discovery::default(),
            survivorship: Survivorship::default(),
        }
    }
}

/// How a tenant takes part in discovery: as a directory, as the address book of a directory's user, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Discovery {
    /// The directory in which this tenant's contacts are looked for. Missing: in none.
    pub directory: Option<String>,
    /// The system of the user ids: contacts carry theirs as an external id of this system. Present: the tenant is a
    /// directory, and two different user ids are never one contact.
    pub users: Option<String>,
    /// Keep which user of the directory each contact is, and tell the change feed. Default false.
    pub keep_users: bool,
    /// Nobody can be found without a recorded consent. Default false.
    pub consent_required: bool,
    /// Phones and emails are replaced by keyed tags before anything is stored. Only for a tenant without records. Default
    /// false.
    pub tags_only: bool,
    /// Exact look-ups of trusted back ends. Default true.
    pub lookup: bool,
    /// The Matrix identity service's look-up. Default false.
    pub matrix: bool,
    /// Oblivious look-ups. Default true.
    pub oprf: bool,
    /// The system of the Matrix user ids, which contacts carry as an external id. Missing: `matrix`.
    pub matrix_system: Option<String>,
    /// Hours after which the Matrix look-up's pepper is another, 1 to 8784. Default 24.
    pub pepper_hours: u32,
    /// Days for which the key before is still served after a rotation of the oblivious look-up's, 0 to 90. Default 7.
    pub oprf_overlap_days: u32,
    /// New identifiers that a principal may ask about at once. Default 5000.
    pub quota_new_max: u32,
    /// New identifiers an hour that it may ask about beyond that. Default 2.
    pub quota_leak_per_hour: u32,
    /// The same for all principals of the tenant together. Missing: no ceiling.
    pub tenant_quota_new_max: Option<u32>,
    /// The same for all principals of the tenant together; counts only beside `tenant_quota_new_max`. Missing: 0.
    pub tenant_quota_leak_per_hour: Option<u32>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            directory: None,
            users: None,
            keep_users: false,
            consent_required: false,
            tags_only: false,
            lookup: true,
            matrix: false,
            oprf: true,
            matrix_system: None,
            pepper_hours: 24,
            oprf_overlap_days: 7,
            quota_new_max: 5000,
            quota_leak_per_hour: 2,
            tenant_quota_new_max: None,
            tenant_quota_leak_per_hour: None,
        }
    }
}
