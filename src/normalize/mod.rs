//! Text in, canonical values plus issues out. Never fails, never guesses silently.
//!
//! [`Normalizer`] is the way in: it holds a tenant's rules, is made once per settings and shared. One
//! file per kind of value does the work: [`name`], [`phone`], [`email`], [`domain`], [`organization`],
//! [`address`], [`birthday`], `account`; [`text`] folds; [`validity`] says how good emails and phones are. The tables are in `data/`, each with its source.
//!
//! What comes out goes into the journal beside the raw values. A change of any result here must raise
//! [`NORMALIZER_VERSION`], since equal inputs would no longer give equal keys.

mod account;
pub mod address;
pub mod birthday;
pub mod domain;
pub mod email;
pub mod name;
pub mod organization;
pub mod phone;
pub mod text;
pub mod validity;

use std::sync::Arc;

use rlibphonenumber::Region;
use smallvec::SmallVec;

use crate::model::account::Business;
use crate::model::issue::Issue;
use crate::model::normalized::{NormAddress, NormEmail, NormPhone, Normalized};
use crate::model::record::{Fields, Phone};
use crate::model::settings::Settings;

/// The version of every rule and table here, the phone metadata included.
pub const NORMALIZER_VERSION: u16 = 2;

/// The attribute that lists the people of a business by name: `{"people": ["Ann Lee", "Bo Roy"]}`.
pub const PEOPLE_ATTRIBUTE: &str = "people";

/// Values of one list that are read; more are left out with an issue.
pub const VALUES_MAX: usize = 200;

/// A tenant's choices that change what comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// ISO 3166 alpha-2 region for phone numbers without a country code, and for the order of day and month.
    pub default_region: String,
    /// Gmail: dots in the user part do not count.
    pub gmail_dots: bool,
    /// `+tag` in the user part does not count.
    pub plus_tags: bool,
    /// Free-mail domains beside the built-in list.
    pub extra_free_mail: Vec<String>,
}

impl Rules {
    /// The rules in a tenant's settings.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            default_region: settings.default_region.clone(),
            gmail_dots: settings.gmail_dots,
            plus_tags: settings.plus_tags,
            extra_free_mail: settings.free_mail_domains.clone(),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::from_settings(&Settings::default())
    }
}

/// What replaces what was read of phones and emails before anybody else sees it.
#[derive(Clone)]
pub struct Mask(Arc<dyn Fn(&mut Normalized) + Send + Sync>);

impl Mask {
    /// A mask that changes `phones` and `emails` of what was read.
    pub fn new(replace: impl Fn(&mut Normalized) + Send + Sync + 'static) -> Self {
        Self(Arc::new(replace))
    }
}

/// It holds a key.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// Normalises records under one tenant's rules. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Normalizer {
    rules: Rules,
    region: Option<Region>,
    email: email::EmailRules,
    mask: Option<Mask>,
}

impl Normalizer {
    /// Prepares the look-ups for these rules. An unknown region reads only numbers that start with `+`.
    pub fn new(rules: Rules) -> Self {
        let email = email::EmailRules {
            gmail_dots: rules.gmail_dots,
            plus_tags: rules.plus_tags,
            free: domain::FreeMail::new(&rules.extra_free_mail),
        };
        Self { region: phone::region(&rules.default_region), email, rules, mask: None }
    }

    /// The same, but what it reads of phones and emails is replaced; nor does a mail address tell a domain.
    #[must_use]
    pub fn masked(self, mask: Mask) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Whether phones and emails are replaced, so that the raw ones may not be kept either.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// The one phone number in a text, without any mask; `None`: there is none, or several. `region` is the ISO 3166
    /// alpha-2 code that counts where the country code is missing; without it the tenant's.
    pub fn one_phone(&self, text: &str, region: Option<&str>) -> Option<NormPhone> {
        let region = region.map_or(self.region, phone::region);
        let regions: SmallVec<[Region; 1]> = region.into_iter().collect();
        let raw = Phone { value: text.to_owned(), ..Phone::default() };
        let (mut found, mut issues) = (Vec::new(), Vec::new());
        phone::read(&raw, &regions, "phone", &mut found, &mut issues);
        if found.len() > 1 { None } else { found.pop() }
    }

    /// The one email address in a text, without any mask; `None`: there is none, or several.
    pub fn one_email(&self, text: &str) -> Option<NormEmail> {
        let (mut found, mut issues) = (Vec::new(), Vec::new());
        self.email.read(text, "email", &mut found, &mut issues);
        if found.len() > 1 { None } else { found.pop() }
    }

    /// The rules it follows.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Reads a record's fields. Issues come in the order of the contract's fields.
    pub fn normalize(&self, fields: &Fields) -> (Normalized, Vec<Issue>) {
        let mut issues = Vec::new();
        let mut out = Normalized { name: name::read(fields, &mut issues), ..Normalized::default() };
        self.emails(fields, &mut out, &mut issues);
        out.addresses = addresses(fields, &mut issues);
        self.phones(fields, &mut out, &mut issues);
        organisation(fields, &mut out, &mut issues);
        handles(fields, &mut out, &mut issues);
        let told = if self.mask.is_some() { std::mem::take(&mut out.emails) } else { Vec::new() };
        self.domains(fields, &mut out, &mut issues);
        if let Some(mask) = &self.mask {
            out.emails = told;
            (mask.0)(&mut out);
        }
        out.birthday = fields.birthday.as_deref().and_then(|b| birthday::read(b, self.month_first(), &mut issues));
        out.gender = fields.gender.as_deref().and_then(|g| gender(g, &mut issues));
        external_ids(fields, &mut out, &mut issues);
        (out, issues)
    }

    /// What makes a record's emails doubtful though they can be read: issues beside those of [`Normalizer::normalize`].
    pub fn doubts(&self, fields: &Fields) -> Vec<Issue> {
        let mut issues = Vec::new();
        for (at, raw) in fields.emails.iter().take(VALUES_MAX).enumerate() {
            let mut read = Vec::new();
            self.email.read(&raw.value, "", &mut read, &mut Vec::new());
            read.iter().for_each(|email| validity::email_issues(email, &format!("emails[{at}]"), &mut issues));
        }
        issues
    }

    /// Reads what only a business has, into the business itself.
    pub fn business(&self, fields: &Fields, business: &mut Business) -> Vec<Issue> {
        let mut issues = Vec::new();
        account::read(fields, business, &self.email.free, &mut issues);
        issues
    }

    /// Whether anybody can open a mailbox at this domain, or at that of this address.
    pub fn is_free_mail(&self, text: &str) -> bool {
        domain::host(text).is_some_and(|host| self.email.free.contains(&host))
    }

    fn month_first(&self) -> bool {
        matches!(
            self.rules.default_region.to_ascii_uppercase().as_str(),
            "US" | "PR" | "GU" | "VI" | "AS" | "MP" | "PH" | "PW" | "FM" | "MH"
        )
    }

    fn emails(&self, fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
        for (at, raw) in bounded(&fields.emails, "emails", issues).iter().enumerate() {
            self.email.read(&raw.value, &format!("emails[{at}]"), &mut out.emails, issues);
        }
    }

    fn phones(&self, fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
        if fields.phones.is_empty() {
            return;
        }
        let countries = out.addresses.iter().filter_map(|a| a.country.as_deref()).filter_map(phone::region);
        let mut regions: Vec<Region> = Vec::new();
        for region in countries.take(3).chain(self.region) {
            text::push_new(&mut regions, region);
        }
        for (at, raw) in bounded(&fields.phones, "phones", issues).iter().enumerate() {
            phone::read(raw, &regions, &format!("phones[{at}]"), &mut out.phones, issues);
        }
    }

    fn domains(&self, fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
        let mut found = Vec::new();
        if let Some(raw) = fields.company_domain.as_deref().filter(|d| !d.trim().is_empty()) {
            match domain::registrable(raw) {
                Some(domain) => found.push(domain),
                None => issues.push(Issue::new("company_domain", "domain_invalid", "this is no registrable domain")),
            }
        }
        found.extend(out.emails.iter().filter(|e| e.valid && !e.free).filter_map(|e| domain::registrable(&e.domain)));
        found.extend(fields.urls.iter().take(VALUES_MAX).filter_map(|url| domain::registrable(url)));
        for domain in found {
            if !self.email.free.contains(&domain) && !domain::is_shared_site(&domain) {
                text::push_new(&mut out.domains, domain);
            }
        }
    }
}

fn bounded<'a, T>(list: &'a [T], field: &str, issues: &mut Vec<Issue>) -> &'a [T] {
    if list.len() > VALUES_MAX {
        issues.push(Issue::new(field, "too_many_values", format!("only the first {VALUES_MAX} values were read")));
    }
    list.get(..VALUES_MAX).unwrap_or(list)
}

fn addresses(fields: &Fields, issues: &mut Vec<Issue>) -> Vec<NormAddress> {
    let mut out = Vec::new();
    for (at, raw) in bounded(&fields.addresses, "addresses", issues).iter().enumerate() {
        let parts = [&raw.street, &raw.city, &raw.region, &raw.postal_code, &raw.country];
        if parts.iter().filter_map(|p| p.as_deref()).any(text::is_placeholder) {
            issues.push(Issue::new(
                format!("addresses[{at}]"),
                "placeholder",
                "a part stands for no value and was left out",
            ));
        }
        if let Some(address) = address::address(raw) {
            text::push_new(&mut out, address);
        }
    }
    out
}

/// A text field that says something; a placeholder is reported and dropped.
pub(crate) fn said<'a>(value: &'a Option<String>, field: &str, issues: &mut Vec<Issue>) -> Option<&'a str> {
    let value = value.as_deref().map(str::trim).filter(|v| !v.is_empty())?;
    if text::is_placeholder(value) {
        issues.push(Issue::new(field, "placeholder", "the value stands for no value and was left out"));
        return None;
    }
    Some(value)
}

fn organisation(fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
    out.organization = said(&fields.organization, "organization", issues).and_then(organization::organization);
    out.job_title = said(&fields.job_title, "job_title", issues).map(text::fold).filter(|t| !t.is_empty());
}

fn gender(raw: &str, issues: &mut Vec<Issue>) -> Option<char> {
    let folded = text::fold(raw);
    match folded.as_str() {
        "f" | "female" | "w" | "weiblich" | "woman" | "girl" | "frau" | "femme" | "feminin" | "femenino"
        | "femminile" | "mujer" | "donna" | "2" | "fem" | "feminino" | "kobieta" | "zhenskii" => Some('f'),
        "m" | "male" | "mannlich" | "maennlich" | "man" | "boy" | "mann" | "homme" | "masculin" | "masculino"
        | "maschile" | "hombre" | "uomo" | "1" | "masc" | "mezczyzna" | "muzhskoi" => Some('m'),
        "x" | "d" | "divers" | "diverse" | "other" | "o" | "nonbinary" | "non binary" | "nb" | "enby" | "agender"
        | "genderqueer" | "intersex" => Some('x'),
        "" | "u" | "n" | "unknown" | "0" | "9" | "na" | "n a" | "none" | "prefer not to say" | "unspecified"
        | "not specified" => None,
        _ => {
            issues.push(Issue::new(
                "gender",
                "gender_unknown",
                "the word for the gender is not known; write f, m or x",
            ));
            None
        }
    }
}

fn external_ids(fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
    for (at, raw) in bounded(&fields.external_ids, "external_ids", issues).iter().enumerate() {
        let (system, id) = (text::fold_compact(&raw.system), text::fold_compact(&raw.id));
        if raw.id.trim().is_empty() {
            continue;
        }
        if stands_for_no_id(&raw.id, &id) {
            issues.push(Issue::new(
                format!("external_ids[{at}]"),
                "placeholder",
                "the id stands for no id and was left out",
            ));
        } else {
            text::push_new(&mut out.external_ids, (system, id));
        }
    }
}

/// Whether an id, also given folded, says that there is none: a word, one character repeated, a row of the keyboard
/// ("123456789"), digits struck out ("XXX-XX-1234").
fn stands_for_no_id(raw: &str, id: &str) -> bool {
    const WORDS: [&str; 12] = [
        "na",
        "nossn",
        "noid",
        "notavailable",
        "notapplicable",
        "pending",
        "refused",
        "exempt",
        "unknown",
        "declined",
        "appliedfor",
        "nonumber",
    ];
    let bytes = id.as_bytes();
    let steps =
        |step: i16| bytes.windows(2).all(|w| matches!(w, [a, b] if (i16::from(*b) - i16::from(*a) - step) % 10 == 0));
    let one = bytes.windows(2).all(|w| matches!(w, [a, b] if a == b));
    let figures = bytes.iter().all(u8::is_ascii_digit);
    bytes.is_empty()
        || text::is_placeholder(raw)
        || WORDS.contains(&id)
        || one && (bytes.len() >= 4 || bytes.first() == Some(&b'0'))
        || figures && bytes.len() >= 5 && (steps(1) || steps(-1))
        || ["***", "xxx"].iter().any(|struck| raw.to_ascii_lowercase().contains(struck))
}

/// Services whose profile pages carry the handle, by registrable domain.
const PROFILE_SITES: [(&str, &str); 9] = [
    ("linkedin.com", "linkedin"),
    ("twitter.com", "twitter"),
    ("x.com", "twitter"),
    ("facebook.com", "facebook"),
    ("instagram.com", "instagram"),
    ("github.com", "github"),
    ("xing.com", "xing"),
    ("t.me", "telegram"),
    ("tiktok.com", "tiktok"),
];

fn handles(fields: &Fields, out: &mut Normalized, issues: &mut Vec<Issue>) {
    for (at, raw) in bounded(&fields.social, "social", issues).iter().enumerate() {
        let (service, handle) = (service_name(&raw.service), handle_name(&raw.username));
        if text::is_placeholder(&raw.username) {
            issues.push(Issue::new(
                format!("social[{at}]"),
                "placeholder",
                "the handle stands for no handle and was left out",
            ));
        } else if !handle.is_empty() {
            text::push_new(&mut out.handles, (service, handle));
        }
    }
    for url in fields.urls.iter().take(VALUES_MAX) {
        let Some(domain) = domain::registrable(url) else {
            continue;
        };
        let Some((_, service)) = PROFILE_SITES.iter().find(|(site, _)| *site == domain) else {
            continue;
        };
        let path =
            url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
        let segments: Vec<&str> =
            path.split(['?', '#']).next().unwrap_or("").split('/').filter(|s| !s.is_empty()).collect();
        let handle = match segments.as_slice() {
            ["in" | "profile", handle] => handle,
            [handle] if *service != "linkedin" && !handle.contains(".php") => handle,
            _ => continue,
        };
        text::push_new(&mut out.handles, ((*service).to_owned(), handle_name(handle)));
    }
    out.handles.retain(|(_, handle)| !handle.is_empty());
}

fn service_name(raw: &str) -> String {
    let folded = text::fold_compact(raw);
    match folded.as_str() {
        "x" | "twittercom" | "xcom" => "twitter".to_owned(),
        "fb" | "facebookcom" => "facebook".to_owned(),
        "ig" | "insta" | "instagramcom" => "instagram".to_owned(),
        "linkedincom" => "linkedin".to_owned(),
        "githubcom" => "github".to_owned(),
        _ => folded,
    }
}

/// A handle: the last part of a URL, without `@`, lower case.
fn handle_name(raw: &str) -> String {
    let raw = raw.trim().split(['?', '#']).next().unwrap_or("").trim_end_matches('/');
    let last = raw.rsplit('/').next().unwrap_or(raw);
    text::own_script(last.trim().trim_start_matches('@'))
}

#[cfg(test)]
mod tests;
