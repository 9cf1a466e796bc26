//! Reading what only a business has: its domains, its names, where it is.
//!
//! A domain is an account's own only if nobody else can be there: free-mail domains (the tenant's list included) and sites
//! where pages belong to users (social networks, directories) become an issue and no key.

use super::domain::{self, FreeMail};
use super::{VALUES_MAX, address, bounded, organization, said, text};
use crate::model::account::{Business, Place};
use crate::model::issue::Issue;
use crate::model::normalized::Organization;
use crate::model::record::{Address, Fields};

/// The label of a business' main address.
const HEAD_OFFICE: [&str; 3] = ["hq", "headquarters", "head office"];

/// Fills in what was read of a business. The fields are those of its record.
pub(super) fn read(fields: &Fields, business: &mut Business, free: &FreeMail, issues: &mut Vec<Issue>) {
    business.domains = domains(fields, &business.alternate_domains, free, issues);
    business.names = names(fields, &business.previous_names, issues);
    business.places = places(fields);
}

fn domains(fields: &Fields, alternates: &[String], free: &FreeMail, issues: &mut Vec<Issue>) -> Vec<String> {
    let mut found = Vec::new();
    let main = fields.company_domain.iter().map(|raw| ("domain".to_owned(), raw));
    let alternates = bounded(alternates, "alternate_domains", issues).iter().enumerate();
    let alternates: Vec<(String, &String)> =
        alternates.map(|(at, raw)| (format!("alternate_domains[{at}]"), raw)).collect();
    for (field, raw) in main.chain(alternates).filter(|(_, raw)| !raw.trim().is_empty()) {
        match domain::registrable(raw) {
            None => issues.push(Issue::new(field, "domain_invalid", "this is no registrable domain; it is no key")),
            Some(domain) if domain::is_shared_site(&domain) => {
                let message = "pages on this site belong to its users; it is no key";
                issues.push(Issue::new(field, "domain_shared_site", message));
            }
            Some(domain) if free.contains(&domain) => {
                let message = "anybody can have mail at this domain, so it is no business' own; it is no key";
                issues.push(Issue::new(field, "domain_free_mail", message));
            }
            Some(domain) => text::push_new(&mut found, domain),
        }
    }
    found
}

fn names(fields: &Fields, previous: &[String], issues: &mut Vec<Issue>) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |name: Option<Organization>| {
        for words in name.iter().flat_map(Organization::names) {
            text::push_new(&mut found, words.join(" "));
        }
    };
    // The present name's issues are told where it is read as an organisation.
    add(said(&fields.organization, "name", &mut Vec::new()).and_then(organization::organization));
    for (at, raw) in bounded(previous, "previous_names", issues).iter().enumerate() {
        let raw = Some(raw.clone());
        add(said(&raw, &format!("previous_names[{at}]"), issues).and_then(organization::organization));
    }
    found
}

fn places(fields: &Fields) -> Vec<Place> {
    let read = |raw: &Address| {
        let address = address::address(raw)?;
        let place = Place { country: address.country.unwrap_or_default(), city: address.city.unwrap_or_default() };
        (place != Place::default()).then_some(place)
    };
    let is_head = |raw: &&Address| {
        raw.label.as_ref().is_some_and(|label| HEAD_OFFICE.contains(&label.trim().to_ascii_lowercase().as_str()))
    };
    let all = || fields.addresses.iter().take(VALUES_MAX);
    let mut places: Vec<Place> = all().filter(is_head).filter_map(read).collect();
    if places.is_empty() {
        places = all().filter_map(read).collect();
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, domain: &str, addresses: &[(&str, &str, &str)]) -> Fields {
        let address = |(label, city, country): &(&str, &str, &str)| Address {
            label: Some((*label).to_owned()),
            city: Some((*city).to_owned()),
            country: Some((*country).to_owned()),
            ..Address::default()
        };
        Fields {
            organization: Some(name.to_owned()),
            company_domain: Some(domain.to_owned()),
            addresses: addresses.iter().map(address).collect(),
            ..Fields::default()
        }
    }

    #[test]
    fn a_domain_is_a_key_only_if_it_is_its_own() {
        let free = FreeMail::new(&["intern.example".to_owned()]);
        for (domain, read_as, code) in [
            ("https://www.acme.com/shop", Some("acme.com"), None),
            ("mail.acme.co.uk", Some("acme.co.uk"), None),
            ("gmail.com", None, Some("domain_free_mail")),
            ("intern.example", None, Some("domain_free_mail")),
            ("https://facebook.com/acme", None, Some("domain_shared_site")),
            ("acme", None, Some("domain_invalid")),
            (" ", None, None),
        ] {
            let (mut business, mut issues) = (Business::default(), Vec::new());
            read(&fields("Acme", domain, &[]), &mut business, &free, &mut issues);
            assert_eq!(business.domains.first().map(String::as_str), read_as, "{domain}");
            assert_eq!(issues.first().map(|issue| (issue.field.as_str(), issue.code)), code.map(|c| ("domain", c)));
        }
        let mut business = Business { alternate_domains: vec!["a.de".into(), "gmx.de".into()], ..Business::default() };
        let mut issues = Vec::new();
        read(&fields("Acme", "www.a.de", &[]), &mut business, &free, &mut issues);
        assert_eq!(business.domains, ["a.de"]);
        assert_eq!(issues[0].field, "alternate_domains[1]");
    }

    #[test]
    fn names_lose_their_legal_form_and_head_offices_count() {
        let addresses = [("branch", "Berlin", "Germany"), ("HQ", "New York", "USA")];
        let mut business =
            Business { previous_names: vec!["Foo Bar GmbH".into(), "n/a".into()], ..Business::default() };
        let mut issues = Vec::new();
        read(&fields("Acme, Inc. dba Zed", "", &addresses), &mut business, &FreeMail::default(), &mut issues);
        assert_eq!(business.names, ["acme", "zed", "foo bar"]);
        assert_eq!(business.places, [Place { country: "us".into(), city: "new york".into() }]);
        assert_eq!(issues.iter().map(|issue| issue.code).collect::<Vec<_>>(), ["placeholder"]);
        read(&fields("Acme", "", &addresses[..1]), &mut business, &FreeMail::default(), &mut issues);
        assert_eq!(business.places[0].city, "berlin");
    }
}
