//! Which of a contact's values wins: the rules a tenant may choose for each field, and what each field may have.
//!
//! A field has a name of the contract (`organization`, `emails`), all parts of a name are one field `name`, and the keys
//! of `attributes` are `attributes.KEY` (nested: `attributes.KEY.KEY`); `attributes.*` stands for those without a rule of
//! their own. What the rules do is in [`crate::resolve::survive`].

use std::collections::BTreeMap;

/// How one value is picked from those that a contact's records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// The latest that says anything: by the source's time, or receipt where the source tells no time.
    #[default]
    PreferNewIfNotNull = 0,
    /// The earliest.
    PreferExisting = 1,
    /// The one that says most: whole names over initials, whole dates over years, longer texts over shorter.
    MostComplete = 2,
    /// The latest by the sources' own times; a record without one counts only where none has one.
    MostRecent = 3,
    /// The one of the most trusted source, then the latest.
    TrustedSourceRank = 4,
    /// The largest.
    Max = 5,
    /// The smallest.
    Min = 6,
    /// All of them, each once.
    Union = 7,
}

impl Rule {
    /// All of them, by number.
    pub const ALL: [Self; 8] = [
        Self::PreferNewIfNotNull,
        Self::PreferExisting,
        Self::MostComplete,
        Self::MostRecent,
        Self::TrustedSourceRank,
        Self::Max,
        Self::Min,
        Self::Union,
    ];

    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::PreferNewIfNotNull => "prefer_new_if_not_null",
            Self::PreferExisting => "prefer_existing",
            Self::MostComplete => "most_complete",
            Self::MostRecent => "most_recent",
            Self::TrustedSourceRank => "trusted_source_rank",
            Self::Max => "max",
            Self::Min => "min",
            Self::Union => "union",
        }
    }

    /// The rule of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.word() == word)
    }

    /// From its number on disk; unknown ones read as the default.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|rule| *rule as u8 == number).unwrap_or_default()
    }
}

use Rule::{Max, Min, MostComplete, MostRecent, PreferExisting, PreferNewIfNotNull, TrustedSourceRank, Union};

/// What one value may be picked by.
const ONE: &[Rule] = &[PreferNewIfNotNull, PreferExisting, MostComplete, MostRecent, TrustedSourceRank];
/// The same for yes or no, of which neither says more.
const FLAG: &[Rule] = &[PreferNewIfNotNull, PreferExisting, MostRecent, TrustedSourceRank];
/// The same for times that move one way.
const TIME: &[Rule] = &[Max, Min, PreferNewIfNotNull, PreferExisting, MostRecent, TrustedSourceRank];
/// United, or taken whole from one record.
const SET: &[Rule] = &[Union, PreferNewIfNotNull, PreferExisting, MostComplete, MostRecent, TrustedSourceRank];
/// What only ever grows.
const APPEND_ONLY: &[Rule] = &[Union];
/// Keys of `attributes`, whose values can be anything.
const ANY: &[Rule] = &Rule::ALL;

/// Every field with its rules, the default first. `attributes.*` stands for all keys of `attributes`.
const FIELDS: [(&str, Rule, &[Rule]); 26] = [
    ("name", MostComplete, ONE),
    ("organization", PreferNewIfNotNull, ONE),
    ("job_title", PreferNewIfNotNull, ONE),
    ("department", PreferNewIfNotNull, ONE),
    ("company_domain", PreferNewIfNotNull, ONE),
    ("account_id", PreferNewIfNotNull, ONE),
    ("birthday", MostComplete, ONE),
    ("gender", PreferNewIfNotNull, ONE),
    ("notes", PreferNewIfNotNull, ONE),
    ("category_code", PreferNewIfNotNull, ONE),
    ("subcategory_code", PreferNewIfNotNull, ONE),
    ("relationship_category", PreferNewIfNotNull, ONE),
    ("is_me", PreferNewIfNotNull, FLAG),
    ("last_activity_at", Max, TIME),
    ("last_seen", Max, TIME),
    ("first_seen", Min, TIME),
    ("emails", Union, SET),
    ("phones", Union, SET),
    ("addresses", Union, SET),
    ("social", Union, SET),
    ("urls", Union, SET),
    ("external_ids", Union, SET),
    ("tags", Union, APPEND_ONLY),
    ("groups", Union, APPEND_ONLY),
    (TECHNOLOGIES, Union, ANY),
    (ATTRIBUTES, PreferNewIfNotNull, ANY),
];

/// The append-only set among the attributes.
const TECHNOLOGIES: &str = "attributes.technologies";
/// All keys of `attributes` without a rule of their own.
const ATTRIBUTES: &str = "attributes.*";
/// What the keys of `attributes` begin with.
const KEY_PREFIX: &str = "attributes.";

/// The rules of a tenant. Only what differs from the defaults is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survivorship {
    rules: BTreeMap<String, Rule>,
}

impl Survivorship {
    /// Takes rules over; those that are a field's default anyway are dropped.
    pub fn new(rules: impl IntoIterator<Item = (String, Rule)>) -> Self {
        let differs = |(field, rule): &(String, Rule)| default_of(field) != Some(*rule);
        Self { rules: rules.into_iter().filter(differs).collect() }
    }

    /// The rules that differ from the defaults, by field.
    pub fn chosen(&self) -> impl Iterator<Item = (&str, Rule)> {
        self.rules.iter().map(|(field, rule)| (field.as_str(), *rule))
    }

    /// Every rule in force, by field.
    pub fn all(&self) -> BTreeMap<String, Rule> {
        let mut all: BTreeMap<String, Rule> = fields().map(|field| (field.to_owned(), self.rule(field))).collect();
        all.extend(self.rules.iter().map(|(field, rule)| (field.clone(), *rule)));
        all
    }

    /// The rule of a field that is no key of `attributes`.
    pub fn rule(&self, field: &str) -> Rule {
        self.rules.get(field).copied().or_else(|| default_of(field)).unwrap_or_default()
    }

    /// The rule that was set for exactly this path of `attributes` (`attributes.a.b`), if any.
    pub fn own_rule(&self, path: &str) -> Option<Rule> {
        self.rules.get(path).copied().or_else(|| default_of(path))
    }

    /// The rule of a value in `attributes`: its path's own, else that of the nearest object around it, else that of
    /// `attributes.*`.
    pub fn rule_of_path(&self, path: &str) -> Rule {
        let mut at = path;
        loop {
            if let Some(rule) = self.own_rule(at) {
                return rule;
            }
            match at.rsplit_once('.') {
                Some((around, _)) if around.len() >= KEY_PREFIX.len() => at = around,
                _ => return self.rule(ATTRIBUTES),
            }
        }
    }
}

/// The rule of a field where none was chosen; `None`: the field has none of its own.
pub fn default_of(field: &str) -> Option<Rule> {
    FIELDS.iter().find(|(name, _, _)| *name == field).map(|(_, rule, _)| *rule)
}

/// The rules that make sense for a field; `None`: there is no such field.
pub fn allowed(field: &str) -> Option<&'static [Rule]> {
    match FIELDS.iter().find(|(name, _, _)| *name == field) {
        Some((_, _, allowed)) => Some(allowed),
        None if is_path(field) => Some(ANY),
        None => None,
    }
}

/// The fields that have rules.
pub fn fields() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(name, _, _)| *name)
}

/// Whether a text names a key of `attributes`.
fn is_path(text: &str) -> bool {
    text.strip_prefix(KEY_PREFIX).is_some_and(|rest| rest.split('.').all(|key| !key.is_empty() && key != "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_allows_its_default_and_every_rule_has_a_word_and_a_number() {
        for (field, rule, allowed) in FIELDS {
            assert!(allowed.contains(&rule), "{field}");
        }
        for rule in Rule::ALL {
            assert_eq!(Rule::from_word(rule.word()), Some(rule));
            assert_eq!(Rule::from_number(rule as u8), rule);
        }
    }

    #[test]
    fn the_nearest_rule_counts() {
        let rules = [("attributes.*", MostRecent), ("attributes.a", Max), ("attributes.a.b.c", Min)];
        let survivorship = Survivorship::new(rules.map(|(field, rule)| (field.to_owned(), rule)));
        for (path, rule) in [
            ("attributes.x", MostRecent),
            ("attributes.a", Max),
            ("attributes.a.b", Max),
            ("attributes.a.b.c.d", Min),
            ("attributes.technologies", Union),
            ("attributes.technologies.x", Union),
        ] {
            assert_eq!(survivorship.rule_of_path(path), rule, "{path}");
        }
        assert_eq!(survivorship.rule("name"), MostComplete);
    }

    #[test]
    fn a_default_that_is_said_is_no_choice() {
        let said = Survivorship::new([("name".to_owned(), MostComplete), ("emails".to_owned(), Union)]);
        assert_eq!(said, Survivorship::default());
        assert_eq!(Survivorship::new(said.all()), said, "what is shown can be sent back");
    }

    #[test]
    fn only_fields_and_keys_have_rules() {
        for (field, known) in [
            ("attributes.a", true),
            ("attributes.a.b", true),
            ("attributes", false),
            ("attributes.", false),
            ("attributes..a", false),
            ("attributes.a.*", false),
            ("first_name", false),
        ] {
            assert_eq!(allowed(field).is_some(), known, "{field}");
        }
    }
}
