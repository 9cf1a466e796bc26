//! What a record says of a business, beside the fields that it shares with a record of a person.
//!
//! The name is the record's `organization`, the domain its `company_domain`; phones, addresses, tags, external ids and
//! attributes are where they are for people. What was read for comparing is here too, so that replay never normalises.

/// The rest of an account record, and what its name, domains and addresses were read as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Business {
    /// Further domains, as said.
    pub alternate_domains: Vec<String>,
    /// Names it had before, as said.
    pub previous_names: Vec<String>,
    /// Industry, as said.
    pub industry: Option<String>,
    /// Technologies it uses, as said.
    pub technologies: Vec<String>,
    /// Registrable domains that are its own, each once, the main one first; never a free-mail or hosting domain.
    pub domains: Vec<String>,
    /// Names, folded, without legal form, words apart, each once: the present one first, then trade and previous names.
    pub names: Vec<String>,
    /// Where it is: the head offices if it names any, else all addresses.
    pub places: Vec<Place>,
}

/// Where a business is. At least one part says something.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// ISO 3166 alpha-2 code in lower case where recognised, else the folded text; empty: not said.
    pub country: String,
    /// City, folded; empty: not said.
    pub city: String,
}
