//! A record: what one source said about one person or business, as it said it.
//!
//! Field names are those of the public contract. Every field may be missing; text is kept as
//! received. What we read into it is [`crate::model::normalized::Normalized`].

use serde::{Deserialize, Serialize};

use crate::model::ids::{Millis, RecordKey};

/// One source's latest word on one person or business.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Source and the source's id.
    pub key: RecordKey,
    /// When the source changed it, by the source's clock. Missing: order by version, else receipt.
    pub source_updated_at: Option<Millis>,
    /// The source's version number. Missing: order by receipt.
    pub version: Option<u64>,
    /// What it says.
    pub fields: Fields,
}

/// The values of a record. `None`, an empty string and an empty list all mean "not said".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// The whole name in one field.
    pub name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Middle name or names.
    pub middle_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Nickname.
    pub nickname: Option<String>,
    /// Title before the name: "Dr.".
    pub name_prefix: Option<String>,
    /// After the name: "Jr.", "PhD".
    pub name_suffix: Option<String>,
    /// Email addresses.
    pub emails: Vec<Email>,
    /// Phone numbers.
    pub phones: Vec<Phone>,
    /// Employer or the business itself.
    pub organization: Option<String>,
    /// Job title.
    pub job_title: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// The employer's domain.
    pub company_domain: Option<String>,
    /// The account (business entity) this person belongs to, if the source knows.
    pub account_id: Option<String>,
    /// Postal addresses.
    pub addresses: Vec<Address>,
    /// Birthday as the source wrote it.
    pub birthday: Option<String>,
    /// Gender as the source wrote it.
    pub gender: Option<String>,
    /// Social handles.
    pub social: Vec<Social>,
    /// Web pages.
    pub urls: Vec<String>,
    /// Ids in other systems.
    pub external_ids: Vec<ExternalId>,
    /// Tags.
    pub tags: Vec<String>,
    /// Group slugs.
    pub groups: Vec<String>,
    /// Free text.
    pub notes: Option<String>,
    /// RFC 3339 time of the last contact with this person.
    pub last_activity_at: Option<String>,
    /// RFC 3339 time.
    pub first_seen: Option<String>,
    /// RFC 3339 time.
    pub last_seen: Option<String>,
    /// Application's category.
    pub category_code: Option<String>,
    /// Application's subcategory.
    pub subcategory_code: Option<String>,
    /// Application's relationship category.
    pub relationship_category: Option<String>,
    /// Whether this record is the address book's owner.
    pub is_me: Option<bool>,
    /// A JSON object as text, keys sorted; 32 KiB at most.
    pub attributes: Option<String>,
}

/// An email address as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Email {
    /// The address.
    pub value: String,
    /// "work", "home"...
    pub label: Option<String>,
    /// The source calls it primary.
    pub primary: bool,
    /// The source verified it.
    pub verified: bool,
    /// Not to be shown to others.
    pub private: bool,
    /// 0 to 1, how sure the source is.
    pub confidence: Option<f32>,
}

/// A phone number as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phone {
    /// The number.
    pub value: String,
    /// "mobile", "work"...
    pub label: Option<String>,
    /// Extension, if the source keeps it apart.
    pub extension: Option<String>,
    /// The source calls it primary.
    pub primary: bool,
    /// The source verified it.
    pub verified: bool,
    /// Not to be shown to others.
    pub private: bool,
    /// 0 to 1.
    pub confidence: Option<f32>,
}

/// A postal address as received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street with house number, and further lines.
    pub street: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country name or code.
    pub country: Option<String>,
    /// "home", "work", "hq".
    pub label: Option<String>,
}

/// A handle on a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Social {
    /// "twitter", "linkedin"...
    pub service: String,
    /// The handle.
    pub username: String,
}

/// An id in another system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalId {
    /// The system: "salesforce", "ssn".
    pub system: String,
    /// The id there.
    pub id: String,
}
