//! What normalising read into a record: canonical, comparable values.
//!
//! Stored in the journal beside the raw values, so that replay never normalises. All text here is
//! folded as its field says; lists are without duplicates and in the record's order.

use serde::{Deserialize, Serialize};

/// A record's comparable values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Normalized {
    /// The name's parts.
    pub name: Name,
    /// Emails.
    pub emails: Vec<NormEmail>,
    /// Phones.
    pub phones: Vec<NormPhone>,
    /// Organisation, if any.
    pub organization: Option<Organization>,
    /// Job title: folded, single spaces.
    pub job_title: Option<String>,
    /// Registrable domains of the record that are not free-mail: from `company_domain`, work mail, urls.
    pub domains: Vec<String>,
    /// Addresses as light tokens.
    pub addresses: Vec<NormAddress>,
    /// Birthday.
    pub birthday: Option<Birthday>,
    /// Gender: `f`, `m` or `x`; missing when unknown.
    pub gender: Option<char>,
    /// `(system, id)`, folded; includes `(source, source_record_id)` only by rule of the engine, not here.
    pub external_ids: Vec<(String, String)>,
    /// `(service, handle)`, folded, without a leading `@`.
    pub handles: Vec<(String, String)>,
}

/// A name in parts. Display parts keep their script, accents and case (all-caps and all-lower
/// names are title-cased); tokens are folded to lower-case ASCII letters and digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// "Dr", display form.
    pub prefix: Option<String>,
    /// Given name, display form.
    pub first: Option<String>,
    /// Middle names, display form.
    pub middle: Option<String>,
    /// Family name with its particles, display form.
    pub last: Option<String>,
    /// Credentials ("PhD"), display form; generation is apart.
    pub suffix: Option<String>,
    /// Nickname, display form.
    pub nickname: Option<String>,
    /// Generation: 1 senior, 2 junior or II, 3 III, and so on.
    pub generation: Option<u8>,
    /// Folded tokens of the given name ("jean", "pierre").
    pub first_tokens: Vec<String>,
    /// Folded tokens of middle names.
    pub middle_tokens: Vec<String>,
    /// Folded tokens of the family name without particles ("garcia", "marquez").
    pub last_tokens: Vec<String>,
    /// Folded tokens of the nickname.
    pub nickname_tokens: Vec<String>,
    /// All name text in its own script, lower-cased (NFKC), single spaces; for same-script scores.
    pub own_script: String,
    /// The parts came from splitting one field (their order is less sure).
    pub split: bool,
}

/// An email address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NormEmail {
    /// As delivered: trimmed, lower case, domain in punycode.
    pub delivered: String,
    /// The key: the delivered form after the tenant's Gmail-dot and `+tag` rules. The join key.
    pub canonical: String,
    /// Part before `@` of the canonical form.
    pub user: String,
    /// Full domain of the canonical form.
    pub domain: String,
    /// The domain belongs to a free-mail provider.
    pub free: bool,
    /// A role mailbox (info@, sales@).
    pub role: bool,
    /// Syntax and domain look deliverable. An invalid one is kept but is weak evidence.
    pub valid: bool,
}

/// A phone number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NormPhone {
    /// `+` and digits: E.164 when the number could be parsed, else the plain digits without `+`.
    pub e164: String,
    /// Digits of the extension.
    pub extension: Option<String>,
    /// The region's rules say it can exist.
    pub valid: bool,
    /// What kind of line it is.
    pub kind: PhoneKind,
}

/// Kind of line, by the numbering plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhoneKind {
    /// Not known.
    #[default]
    Unknown,
    /// Fixed line.
    Fixed,
    /// Mobile.
    Mobile,
    /// The plan does not tell fixed and mobile apart (North America).
    FixedOrMobile,
    /// Toll-free, premium, shared cost, pager and the like.
    Service,
    /// Voice over IP.
    Voip,
}

/// Stands between the names of one organisation among its tokens. No folded word is like it.
pub const OTHER_NAME: &str = "/";

/// An organisation's name, perhaps with the name that it trades under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Folded tokens without the legal suffix, in order; [`OTHER_NAME`] begins a further name.
    pub tokens: Vec<String>,
    /// The legal form that was cut ("inc", "gmbh"), if any.
    pub legal_form: Option<String>,
}

impl Organization {
    /// The tokens of each of its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.tokens.split(|token| token == OTHER_NAME).filter(|name| !name.is_empty())
    }

    /// Its own name as one word; empty without tokens.
    pub fn joined(&self) -> String {
        self.names().next().map(<[String]>::concat).unwrap_or_default()
    }
}

/// An address as light tokens; every part is folded to lower-case ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NormAddress {
    /// House number ("12a"), if found.
    pub number: Option<String>,
    /// Street words, abbreviations expanded ("street", "avenue").
    pub street: Vec<String>,
    /// City.
    pub city: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// Postal code without spaces.
    pub postal_code: Option<String>,
    /// ISO 3166 alpha-2 code in lower case if recognised, else the folded text.
    pub country: Option<String>,
}

/// A birthday; parts may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Birthday {
    /// Year, four digits. Missing: the source hid it.
    pub year: Option<u16>,
    /// Month 1 to 12. Missing: only the year is known.
    pub month: Option<u8>,
    /// Day 1 to 31.
    pub day: Option<u8>,
    /// Day and month could be the other way round (both at most 12 in a spelling with unclear order).
    pub ambiguous: bool,
}
