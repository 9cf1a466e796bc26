//! Writes contacts as CSV and vCard 4.0 for an export. NDJSON is the JSON record itself.
//!
//! Each function appends one contact to a buffer, so that a server can stream. CSV has one line for
//! each contact: several values share a cell, separated by ` ::: ` as in Google's exports, and our own
//! reader takes them apart again.

use crate::model::record::{Address, Email, Fields, Phone};

/// One contact to write.
#[derive(Clone, Copy, Debug)]
pub struct ExportContact<'a> {
    /// The contact's id as text.
    pub contact_id: &'a str,
    /// Its values.
    pub fields: &'a Fields,
}

/// The columns of the CSV export, in order.
const COLUMNS: [&str; 28] = [
    "contact_id",
    "name",
    "first_name",
    "middle_name",
    "last_name",
    "nickname",
    "name_prefix",
    "name_suffix",
    "emails",
    "email_label",
    "phones",
    "phone_label",
    "organization",
    "job_title",
    "department",
    "company_domain",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "address_label",
    "birthday",
    "gender",
    "urls",
    "tags",
    "groups",
    "notes",
];

/// Appends the CSV header.
pub fn csv_header(out: &mut Vec<u8>) {
    csv_line(out, COLUMNS.iter().map(|column| (*column).to_owned()));
}

/// Appends one contact as a CSV line.
pub fn csv_contact(out: &mut Vec<u8>, contact: &ExportContact<'_>) {
    let fields = contact.fields;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let first_email = fields.emails.first().and_then(|email| email.label.clone());
    let first_phone = fields.phones.first().and_then(|phone| phone.label.clone());
    let address = |part: fn(&Address) -> &Option<String>| address_cell(fields, part);
    let first_label = fields.addresses.first().and_then(|address| address.label.clone());
    let cells = [
        contact.contact_id.to_owned(),
        text(&fields.name),
        text(&fields.first_name),
        text(&fields.middle_name),
        text(&fields.last_name),
        text(&fields.nickname),
        text(&fields.name_prefix),
        text(&fields.name_suffix),
        joined(fields.emails.iter().map(|email| email.value.as_str())),
        first_email.unwrap_or_default(),
        joined(fields.phones.iter().map(|phone| phone.value.as_str())),
        first_phone.unwrap_or_default(),
        text(&fields.organization),
        text(&fields.job_title),
        text(&fields.department),
        text(&fields.company_domain),
        address(|a| &a.street),
        address(|a| &a.city),
        address(|a| &a.region),
        address(|a| &a.postal_code),
        address(|a| &a.country),
        first_label.unwrap_or_default(),
        text(&fields.birthday),
        text(&fields.gender),
        joined(fields.urls.iter().map(String::as_str)),
        joined(fields.tags.iter().map(String::as_str)),
        joined(fields.groups.iter().map(String::as_str)),
        text(&fields.notes),
    ];
    csv_line(out, cells.into_iter());
}

/// An account for an export.
pub struct ExportAccount<'a> {
    /// Its id.
    pub account_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its registrable domain.
    pub domain: Option<&'a str>,
    /// Its other domains.
    pub alternate_domains: &'a [String],
    /// Names it had before.
    pub previous_names: &'a [String],
    /// Industry.
    pub industry: Option<&'a str>,
    /// Technologies.
    pub technologies: &'a [String],
    /// What accounts share with contacts.
    pub fields: &'a Fields,
}

/// The columns of an account's CSV.
const ACCOUNT_COLUMNS: [&str; 16] = [
    "account_id",
    "name",
    "domain",
    "alternate_domains",
    "previous_names",
    "industry",
    "technologies",
    "phones",
    "phone_label",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "address_label",
    "tags",
];

/// Appends the CSV header of accounts.
pub fn csv_account_header(out: &mut Vec<u8>) {
    csv_line(out, ACCOUNT_COLUMNS.iter().map(|column| (*column).to_owned()));
}

/// Appends one account as a CSV line.
pub fn csv_account(out: &mut Vec<u8>, account: &ExportAccount<'_>) {
    let fields = account.fields;
    let all = |list: &[String]| joined(list.iter().map(String::as_str));
    let first_label = |label: Option<&Option<String>>| label.cloned().flatten().unwrap_or_default();
    let cells = [
        account.account_id.to_owned(),
        account.name.to_owned(),
        account.domain.unwrap_or_default().to_owned(),
        all(account.alternate_domains),
        all(account.previous_names),
        account.industry.unwrap_or_default().to_owned(),
        all(account.technologies),
        joined(fields.phones.iter().map(|phone| phone.value.as_str())),
        first_label(fields.phones.first().map(|phone| &phone.label)),
        address_cell(fields, |a| &a.street),
        address_cell(fields, |a| &a.city),
        address_cell(fields, |a| &a.region),
        address_cell(fields, |a| &a.postal_code),
        address_cell(fields, |a| &a.country),
        first_label(fields.addresses.first().map(|address| &address.label)),
        all(&fields.tags),
    ];
    csv_line(out, cells.into_iter());
}

/// One part of all addresses in one cell; empty when none has it.
fn address_cell(fields: &Fields, part: fn(&Address) -> &Option<String>) -> String {
    let parts: Vec<&str> = fields.addresses.iter().map(|a| part(a).as_deref().unwrap_or_default()).collect();
    if parts.iter().all(|part| part.is_empty()) { String::new() } else { joined(parts) }
}

/// Several values in one cell.
fn joined<'v>(values: impl IntoIterator<Item = &'v str>) -> String {
    values.into_iter().collect::<Vec<_>>().join(" ::: ")
}

/// Appends one CSV line with CRLF. Cells that a spreadsheet would run as a formula get a `'` before.
pub fn csv_line(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        csv_cell(out, &cell);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one cell: guarded against formulas, quoted where needed.
fn csv_cell(out: &mut Vec<u8>, cell: &str) {
    let guard = if is_formula(cell) { "'" } else { "" };
    let quote = cell.contains(['"', ',', ';', '\n', '\r', '\t']) || cell.trim() != cell;
    if quote {
        out.push(b'"');
        out.extend_from_slice(guard.as_bytes());
        out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(guard.as_bytes());
        out.extend_from_slice(cell.as_bytes());
    }
}

/// Whether a spreadsheet might run a cell; phone numbers such as `+1 212 555 0123` it does not.
fn is_formula(cell: &str) -> bool {
    let Some(first) = cell.chars().next() else {
        return false;
    };
    let phone = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '(' | ')' | '-' | '.');
    match first {
        '+' => {
            let mut numbers = cell.split(" ::: ").map(|n| n.strip_prefix('+').unwrap_or(n));
            !numbers.all(|number| number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(phone))
        }
        '=' | '-' | '@' | '\t' | '\r' | '\n' => true,
        // Full-width forms are turned into the plain ones by some spreadsheets.
        '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}' => true,
        _ => false,
    }
}

/// Appends one contact as a vCard 4.0.
pub fn vcard_contact(out: &mut Vec<u8>, contact: &ExportContact<'_>) {
    let fields = contact.fields;
    let mut card = Card { out };
    card.raw("BEGIN:VCARD");
    card.raw("VERSION:4.0");
    card.text("UID", contact.contact_id);
    card.text("FN", &formatted_name(fields));
    card.structured("N", &name_parts(fields));
    card.optional("NICKNAME", &fields.nickname);
    for email in &fields.emails {
        card.email(email);
    }
    for phone in &fields.phones {
        card.phone(phone);
    }
    card.structured("ORG", &[fields.organization.as_deref(), fields.department.as_deref()]);
    card.optional("TITLE", &fields.job_title);
    for address in &fields.addresses {
        card.address(address);
    }
    card.birthday(fields.birthday.as_deref());
    card.optional("GENDER", &fields.gender.as_deref().map(gender));
    for url in &fields.urls {
        card.raw(&format!("URL:{}", one_line(url)));
    }
    for social in &fields.social {
        let service = parameter(&social.service);
        card.text(&format!("SOCIALPROFILE;SERVICE-TYPE={service};VALUE=TEXT"), &social.username);
    }
    card.optional("NOTE", &fields.notes);
    let tags: Vec<String> = fields.tags.iter().chain(&fields.groups).map(|tag| escaped(tag)).collect();
    if !tags.is_empty() {
        card.raw(&format!("CATEGORIES:{}", tags.join(",")));
    }
    card.raw("END:VCARD");
}

/// The five parts of `N`.
fn name_parts(fields: &Fields) -> [Option<&str>; 5] {
    [
        fields.last_name.as_deref(),
        fields.first_name.as_deref(),
        fields.middle_name.as_deref(),
        fields.name_prefix.as_deref(),
        fields.name_suffix.as_deref(),
    ]
}

/// `FN` must not be empty: the name, its parts, the business, or any identifier.
fn formatted_name(fields: &Fields) -> String {
    if let Some(name) = &fields.name {
        return name.clone();
    }
    let parts = [&fields.name_prefix, &fields.first_name, &fields.middle_name, &fields.last_name, &fields.name_suffix];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    if !parts.is_empty() {
        return parts.join(" ");
    }
    let rest = [
        fields.nickname.as_deref(),
        fields.organization.as_deref(),
        fields.emails.first().map(|email| email.value.as_str()),
        fields.phones.first().map(|phone| phone.value.as_str()),
    ];
    rest.into_iter().flatten().next().unwrap_or("unnamed").to_owned()
}

/// vCard's letters for the usual words.
fn gender(text: &str) -> String {
    match text.to_lowercase().as_str() {
        "male" | "m" | "man" => "M".to_owned(),
        "female" | "f" | "woman" => "F".to_owned(),
        _ => format!(";{text}"),
    }
}

/// A card being written.
struct Card<'o> {
    out: &'o mut Vec<u8>,
}

impl Card<'_> {
    /// One line, folded at 75 bytes between characters.
    fn raw(&mut self, line: &str) {
        let mut width = 0;
        for c in line.chars() {
            if width + c.len_utf8() > 75 {
                self.out.extend_from_slice(b"\r\n ");
                width = 1;
            }
            let mut bytes = [0; 4];
            self.out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
            width += c.len_utf8();
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(&format!("{name}:{}", escaped(value)));
    }

    fn optional(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn structured(&mut self, name: &str, parts: &[Option<&str>]) {
        if parts.iter().any(Option::is_some) {
            let parts: Vec<String> = parts.iter().map(|part| escaped(part.unwrap_or_default())).collect();
            self.raw(&format!("{name}:{}", parts.join(";")));
        }
    }

    fn email(&mut self, email: &Email) {
        let header = labelled("EMAIL", email.label.as_deref(), email.primary);
        self.text(&header, &email.value);
    }

    fn phone(&mut self, phone: &Phone) {
        let header = labelled("TEL", phone.label.as_deref(), phone.primary);
        match &phone.extension {
            Some(extension) => {
                let value = format!("tel:{};ext={}", one_line(&phone.value), one_line(extension));
                self.raw(&format!("{header};VALUE=uri:{value}"));
            }
            None => self.text(&header, &phone.value),
        }
    }

    fn address(&mut self, address: &Address) {
        let header = labelled("ADR", address.label.as_deref(), false);
        let parts = [
            None,
            None,
            address.street.as_deref(),
            address.city.as_deref(),
            address.region.as_deref(),
            address.postal_code.as_deref(),
            address.country.as_deref(),
        ];
        self.structured(&header, &parts);
    }

    /// A date in vCard's basic form; anything else as text.
    fn birthday(&mut self, birthday: Option<&str>) {
        let Some(text) = birthday else { return };
        let dated = |c: char| c.is_ascii_digit() || c == '-';
        match text.strip_prefix("--") {
            Some(rest) if rest.chars().all(dated) => self.raw(&format!("BDAY:--{}", rest.replace('-', ""))),
            None if text.len() == 10 && text.chars().all(dated) => {
                self.raw(&format!("BDAY:{}", text.replace('-', "")));
            }
            _ => self.text("BDAY;VALUE=text", text),
        }
    }
}

/// A property's name with its type and preference.
fn labelled(name: &str, label: Option<&str>, primary: bool) -> String {
    let mut header = name.to_owned();
    if let Some(label) = label {
        let kind = match label {
            "mobile" => "cell".to_owned(),
            "work fax" => "\"work,fax\"".to_owned(),
            other => parameter(other),
        };
        header.push_str(";TYPE=");
        header.push_str(&kind);
    }
    if primary {
        header.push_str(";PREF=1");
    }
    header
}

/// A parameter's value: quoted unless it is a plain word; quotation marks cannot occur in one.
fn parameter(value: &str) -> String {
    if !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return value.to_owned();
    }
    let clean: String = value.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect();
    format!("\"{clean}\"")
}

/// Text with vCard's escapes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            ',' => out.push_str("\\,"),
            ';' => out.push_str("\\;"),
            '\n' | '\r' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text without line breaks, for values that know no escapes.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
