//! What the columns of a CSV file mean.
//!
//! [`recognise`] looks every header up in the spellings of `spellings.rs`, then settles what depends
//! on the other columns ("Title" beside "Job Title" is the title before a name), and lets a `--map`
//! override. The outcome is a [`Recognised`], which the command line prints. An unknown column is
//! ignored: it never becomes evidence by itself.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "roles are many and a new one is silent until it is given a meaning"
)]

pub(super) mod settle;

use std::fmt;

use crate::error::{Error, Result};
use crate::formats::spellings;

/// What one column holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nothing we use, or unknown.
    Ignored,
    /// Labels of a data set or our own ids: never evidence.
    NotEvidence,
    /// The source's id for the record.
    RecordId,
    /// The source.
    Source,
    /// When the source changed the record.
    UpdatedAt,
    /// The source's version number.
    Version,
    /// The whole name.
    Name,
    /// Given name.
    FirstName,
    /// Middle name.
    MiddleName,
    /// Family name.
    LastName,
    /// Nickname.
    Nickname,
    /// Title before the name.
    NamePrefix,
    /// After the name.
    NameSuffix,
    /// Family name before a marriage.
    MaidenName,
    /// The second of two family names.
    SecondLastName,
    /// An email address.
    Email,
    /// The label of the email of the same group.
    EmailLabel,
    /// A phone number.
    Phone,
    /// The label of the phone of the same group.
    PhoneLabel,
    /// The extension of the phone of the same group.
    PhoneExtension,
    /// Employer or business.
    Organization,
    /// The name a business trades under.
    TradeName,
    /// Somebody of the business, by whole name.
    Officer,
    /// The given name of somebody of the business; the group tells whom.
    OfficerFirst,
    /// The family name of somebody of the business; the group tells whom.
    OfficerLast,
    /// Job title.
    JobTitle,
    /// Department.
    Department,
    /// The employer's domain.
    CompanyDomain,
    /// The account's id.
    AccountId,
    /// Street, first line.
    Street,
    /// House number, put before the street.
    StreetNumber,
    /// Further lines of the street.
    StreetMore,
    /// City.
    City,
    /// State or province.
    Region,
    /// Postal code.
    PostalCode,
    /// Country.
    Country,
    /// The label of the address of the same group.
    AddressLabel,
    /// Birthday.
    Birthday,
    /// Day of the birthday.
    BirthDay,
    /// Month of the birthday.
    BirthMonth,
    /// Year of the birthday.
    BirthYear,
    /// Age in years when the file was made.
    Age,
    /// Gender.
    Gender,
    /// A handle on this service.
    Social(String),
    /// A web page.
    Url,
    /// An id in this system.
    ExternalId(String),
    /// Tags.
    Tags,
    /// Groups.
    Groups,
    /// Free text.
    Notes,
    /// Last contact.
    LastActivityAt,
    /// First seen.
    FirstSeen,
    /// Last seen.
    LastSeen,
    /// Application's category.
    CategoryCode,
    /// Application's subcategory.
    SubcategoryCode,
    /// Application's relationship category.
    RelationshipCategory,
    /// The address book's owner.
    IsMe,
    /// A business' industry.
    Industry,
    /// Technologies that a business uses.
    Technologies,
    /// Further domains of a business.
    AlternateDomains,
    /// Names that a business had before.
    PreviousNames,
}

/// What the records of a file are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// People, and businesses as people have them.
    People,
    /// Accounts.
    Businesses,
}

impl About {
    /// What a header means; `None` when we do not know it.
    pub(super) fn find(self, header: &str) -> Option<spellings::Found> {
        match self {
            Self::People => spellings::find(header),
            Self::Businesses => spellings::accounts::find(header),
        }
    }

    /// What a role is in such a file; `None`: nothing.
    fn role(self, role: Role) -> Option<Role> {
        let of_businesses =
            matches!(role, Role::Industry | Role::Technologies | Role::AlternateDomains | Role::PreviousNames);
        match self {
            Self::People => (!of_businesses).then_some(role),
            Self::Businesses => spellings::accounts::role(role),
        }
    }

    /// Whether a role can say who or what a record is about.
    fn is_evidence(self, role: &Role) -> bool {
        match self {
            Self::People => role.is_evidence(),
            Self::Businesses => matches!(
                role,
                Role::Organization
                    | Role::CompanyDomain
                    | Role::Url
                    | Role::AlternateDomains
                    | Role::Phone
                    | Role::ExternalId(_)
            ),
        }
    }

    /// Columns to give as an example.
    fn example(self) -> (&'static str, &'static str) {
        match self {
            Self::People => ("first_name,last_name,email,phone", "col1=first_name,col2=last_name"),
            Self::Businesses => ("name,domain,city,country", "col1=name,col2=domain"),
        }
    }
}

/// Role names as `--map` takes them and as they are printed.
const NAMES: [(&str, Role); 60] = [
    ("ignore", Role::Ignored),
    ("not_evidence", Role::NotEvidence),
    ("source_record_id", Role::RecordId),
    ("source", Role::Source),
    ("source_updated_at", Role::UpdatedAt),
    ("version", Role::Version),
    ("name", Role::Name),
    ("first_name", Role::FirstName),
    ("middle_name", Role::MiddleName),
    ("last_name", Role::LastName),
    ("nickname", Role::Nickname),
    ("name_prefix", Role::NamePrefix),
    ("name_suffix", Role::NameSuffix),
    ("email", Role::Email),
    ("email_label", Role::EmailLabel),
    ("phone", Role::Phone),
    ("phone_label", Role::PhoneLabel),
    ("phone_extension", Role::PhoneExtension),
    ("maiden_name", Role::MaidenName),
    ("second_last_name", Role::SecondLastName),
    ("organization", Role::Organization),
    ("trade_name", Role::TradeName),
    ("officer", Role::Officer),
    ("officer_first_name", Role::OfficerFirst),
    ("officer_last_name", Role::OfficerLast),
    ("job_title", Role::JobTitle),
    ("department", Role::Department),
    ("company_domain", Role::CompanyDomain),
    ("account_id", Role::AccountId),
    ("street", Role::Street),
    ("street_number", Role::StreetNumber),
    ("street_2", Role::StreetMore),
    ("city", Role::City),
    ("region", Role::Region),
    ("postal_code", Role::PostalCode),
    ("country", Role::Country),
    ("address_label", Role::AddressLabel),
    ("birthday", Role::Birthday),
    ("birth_day", Role::BirthDay),
    ("birth_month", Role::BirthMonth),
    ("birth_year", Role::BirthYear),
    ("age", Role::Age),
    ("gender", Role::Gender),
    ("url", Role::Url),
    ("tags", Role::Tags),
    ("groups", Role::Groups),
    ("notes", Role::Notes),
    ("last_activity_at", Role::LastActivityAt),
    ("first_seen", Role::FirstSeen),
    ("last_seen", Role::LastSeen),
    ("category_code", Role::CategoryCode),
    ("subcategory_code", Role::SubcategoryCode),
    ("relationship_category", Role::RelationshipCategory),
    ("is_me", Role::IsMe),
    ("emails", Role::Email),
    ("phones", Role::Phone),
    ("industry", Role::Industry),
    ("technologies", Role::Technologies),
    ("alternate_domains", Role::AlternateDomains),
    ("previous_names", Role::PreviousNames),
];

/// Other names `--map` takes.
const ALIASES: [(&str, Role); 10] = [
    ("ignored", Role::Ignored),
    ("id", Role::RecordId),
    ("record_id", Role::RecordId),
    ("company", Role::Organization),
    ("domain", Role::CompanyDomain),
    ("title", Role::JobTitle),
    ("urls", Role::Url),
    ("address", Role::Street),
    ("state", Role::Region),
    ("postcode", Role::PostalCode),
];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Social(service) => write!(f, "social:{service}"),
            Self::ExternalId(system) => write!(f, "external_id:{system}"),
            other => {
                let name = NAMES.iter().find(|(_, role)| role == other).map(|(name, _)| *name);
                f.write_str(name.unwrap_or("ignore"))
            }
        }
    }
}

impl Role {
    /// The role a `--map` names; `None` when there is none such.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(system) = text.strip_prefix("external_id:").filter(|system| !system.is_empty()) {
            return Some(Self::ExternalId(system.to_owned()));
        }
        if let Some(service) = text.strip_prefix("social:").filter(|service| !service.is_empty()) {
            return Some(Self::Social(service.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        NAMES.iter().chain(&ALIASES).find(|(name, _)| *name == lower).map(|(_, role)| role.clone())
    }

    /// Whether a column of this role can say who somebody is.
    pub fn is_evidence(&self) -> bool {
        !matches!(
            self,
            Self::Ignored
                | Self::NotEvidence
                | Self::RecordId
                | Self::Source
                | Self::UpdatedAt
                | Self::Version
                | Self::EmailLabel
                | Self::PhoneLabel
                | Self::AddressLabel
                | Self::Tags
                | Self::Groups
                | Self::Notes
                | Self::Industry
                | Self::Technologies
        )
    }
}

/// One column and what it was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The header as written.
    pub header: String,
    /// What it holds.
    pub role: Role,
    /// Columns of one group belong together: a phone and its label, the parts of one address.
    pub group: String,
    /// The label its values get when no label column gives one.
    pub label: Option<String>,
}

/// What the columns of a file were taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// In the order of the file.
    pub columns: Vec<Column>,
    /// What separates cells.
    pub delimiter: char,
    /// The character encoding's name.
    pub encoding: &'static str,
    /// The line of the header; the first line is 1.
    pub header_line: u64,
}

impl Recognised {
    /// The position of the first column with this role.
    pub fn position(&self, role: &Role) -> Option<usize> {
        self.columns.iter().position(|column| &column.role == role)
    }

    /// The position of the column with this role in this group.
    pub(super) fn partner(&self, role: &Role, group: &str) -> Option<usize> {
        self.columns.iter().position(|column| &column.role == role && column.group == group)
    }
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = |column: &&Column| column.role != Role::Ignored;
        for (index, column) in self.columns.iter().filter(used).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} = {}", column.header, column.role)?;
            if let Some(label) = &column.label {
                write!(f, " ({label})")?;
            }
        }
        let unused: Vec<&str> =
            self.columns.iter().filter(|column| !used(column)).map(|column| column.header.as_str()).collect();
        if !unused.is_empty() {
            write!(f, "; ignored: {}", unused.join(", "))?;
        }
        Ok(())
    }
}

/// How many columns of a header we know; tells a header from other lines.
pub(super) fn known(headers: &[String], about: About) -> usize {
    let known = |header: &&String| about.find(header).is_some_and(|found| found.role != Role::Ignored);
    headers.iter().filter(known).count()
}

/// Takes a header for what it means.
///
/// # Errors
/// `Invalid` when the map names an unknown column or role, or no column tells who somebody is.
pub fn recognise(headers: &[String], map: Option<&str>, about: About) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = headers.iter().enumerate().map(|(i, h)| column(i, h, about)).collect();
    match about {
        About::People => settle::all(&mut columns),
        About::Businesses => settle::one_id(&mut columns),
    }
    if let Some(map) = map {
        apply_map(&mut columns, map, about)?;
    }
    if columns.iter().any(|column| about.is_evidence(&column.role)) {
        return Ok(columns);
    }
    let (example, map) = about.example();
    let names: Vec<&str> = headers.iter().map(String::as_str).take(20).collect();
    let names: String = names.join(", ").chars().take(300).collect();
    Err(Error::invalid(
        "columns",
        format!(
            "no column is known ({names}); the first line must name the columns, for example {example}; or say what they are with map, for example map={map}"
        ),
    ))
}

/// One column by its header alone.
fn column(index: usize, header: &str, about: About) -> Column {
    let header = header.trim().trim_start_matches('\u{feff}');
    let found = about.find(header).unwrap_or_default();
    let group = if found.group.is_empty() { default_group(&found.role, index) } else { found.group };
    let label = (!found.label.is_empty()).then(|| found.label.to_owned());
    Column { header: header.to_owned(), role: found.role, group, label }
}

/// The group of a column that names none: all parts of one address belong together, the rest stands
/// alone.
fn default_group(role: &Role, index: usize) -> String {
    match role {
        Role::Street
        | Role::StreetNumber
        | Role::StreetMore
        | Role::City
        | Role::Region
        | Role::PostalCode
        | Role::Country
        | Role::AddressLabel
        | Role::Email
        | Role::EmailLabel
        | Role::Phone
        | Role::PhoneLabel
        | Role::PhoneExtension => "1".to_owned(),
        _other => format!("column {index}"),
    }
}

/// Applies `old=new,...`.
fn apply_map(columns: &mut [Column], map: &str, about: About) -> Result<()> {
    for pair in map.split(',').filter(|pair| !pair.trim().is_empty()) {
        let Some((old, new)) = pair.rsplit_once('=') else {
            return Err(Error::invalid("map", format!("`{pair}` is not of the form column=field")));
        };
        let Some(role) = Role::parse(new).and_then(|role| about.role(role)) else {
            let known = |(_, role): &&(&str, Role)| about.role(role.clone()).is_some();
            let all: Vec<&str> = NAMES.iter().filter(known).map(|(name, _)| *name).collect();
            let reason = format!("no field `{new}`; use one of {}, external_id:SYSTEM, social:SERVICE", all.join(", "));
            return Err(Error::invalid("map", reason));
        };
        let Some(index) = find_header(columns, old.trim()) else {
            return Err(Error::invalid("map", format!("the file has no column `{}`", old.trim())));
        };
        if let Some(column) = columns.get_mut(index) {
            column.group = default_group(&role, index);
            column.label = None;
            column.role = role;
        }
    }
    keep_one_id(columns, about)
}

/// A column by its header: as written, else whatever its case and punctuation.
fn find_header(columns: &[Column], name: &str) -> Option<usize> {
    let exact = columns.iter().position(|column| column.header == name);
    let key = spellings::key(name);
    exact.or_else(|| columns.iter().position(|column| spellings::key(&column.header) == key))
}

/// A mapped id column stands before a recognised one; two mapped ones are a mistake.
fn keep_one_id(columns: &mut [Column], about: About) -> Result<()> {
    let ids: Vec<usize> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.role == Role::RecordId)
        .map(|(index, _)| index)
        .collect();
    if ids.len() <= 1 {
        return Ok(());
    }
    let own = |column: &Column| about.find(&column.header).is_some_and(|f| f.role == Role::RecordId);
    let mapped = ids.iter().filter(|index| columns.get(**index).is_some_and(|c| !own(c))).count();
    if mapped != 1 {
        return Err(Error::invalid("map", "more than one column is the record's id; map the others to ignore"));
    }
    for index in ids {
        if let Some(column) = columns.get_mut(index).filter(|column| own(column)) {
            column.role = Role::NotEvidence;
        }
    }
    Ok(())
}
