//! What the columns of a file of businesses are called: Salesforce accounts, HubSpot companies, plain words.
//!
//! Names, domains and ids mean something else there than in a file of people; what is left (addresses, phones, tags, times)
//! is called the same. Columns about people are nothing to an account.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "roles are many and a new one means nothing to an account until it is given a meaning"
)]

use super::{Found, key};
use crate::formats::columns::Role;

/// What a header means; `None` when we do not know it.
pub(in crate::formats) fn find(header: &str) -> Option<Found> {
    if let Some(found) = own(&key(header)) {
        return Some(Found::plain(found));
    }
    let found = super::find(header)?;
    let role = role(found.role).unwrap_or(Role::Ignored);
    Some(Found { role, ..found })
}

fn own(key: &str) -> Option<Role> {
    Some(match key {
        "name" | "accountname" | "account" | "companyname" | "company" | "organization" | "organisation"
        | "organizationname" | "organisationname" | "businessname" | "business" | "legalname" | "tradingname"
        | "customername" | "firma" | "firmenname" | "unternehmen" | "entreprise" | "empresa" | "azienda" => {
            Role::Organization
        }
        "domain" | "companydomain" | "companydomainname" | "domainname" | "primarydomain" | "emaildomain" => {
            Role::CompanyDomain
        }
        "website" | "websiteurl" | "url" | "web" | "webpage" | "homepage" | "webseite" | "siteweb" | "sitoweb"
        | "companywebsite" | "websites" => Role::Url,
        "alternatedomains" | "alternatedomain" | "additionaldomains" | "otherdomains" | "secondarydomains"
        | "aliasdomains" | "domains" => Role::AlternateDomains,
        "previousnames" | "previousname" | "formernames" | "formername" | "formerly" | "formerlyknownas"
        | "oldname" | "oldnames" => Role::PreviousNames,
        "industry" | "industries" | "industrysector" | "sector" | "primaryindustry" | "companyindustry" | "branche"
        | "secteur" | "settore" => Role::Industry,
        "technologies" | "technology" | "webtechnologies" | "techstack" | "technologystack" => Role::Technologies,
        "id" | "accountid" | "companyid" | "recordid" | "recordidcompany" | "sourcerecordid" | "externalid" | "uid"
        | "organizationid" | "organisationid" | "18digitaccountid" | "accountid18" => Role::RecordId,
        // Said of the account's owner, its parent or its contacts.
        "accountowner" | "companyowner" | "parentaccount" | "parentaccountid" | "parentcompany" | "type"
        | "accounttype" | "associatedcontact" => Role::Ignored,
        "stateregion" => Role::Region,
        "branchphone" | "mainphone" | "companyphone" | "companyphonenumber" => Role::Phone,
        _ => return None,
    })
}

/// What a role is to an account; `None`: nothing.
pub(in crate::formats) fn role(role: Role) -> Option<Role> {
    Some(match role {
        Role::Name => Role::Organization,
        Role::Organization
        | Role::TradeName
        | Role::CompanyDomain
        | Role::Url
        | Role::AlternateDomains
        | Role::PreviousNames
        | Role::Industry
        | Role::Technologies
        | Role::RecordId
        | Role::Source
        | Role::UpdatedAt
        | Role::Version
        | Role::Phone
        | Role::PhoneLabel
        | Role::PhoneExtension
        | Role::Street
        | Role::StreetNumber
        | Role::StreetMore
        | Role::City
        | Role::Region
        | Role::PostalCode
        | Role::Country
        | Role::AddressLabel
        | Role::ExternalId(_)
        | Role::Tags
        | Role::Ignored
        | Role::NotEvidence => role,
        _ => return None,
    })
}
