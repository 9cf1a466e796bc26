//! Reads CSV: finds the encoding, the delimiter and the header, then one record after another.
//!
//! [`CsvReader`] also hands out the raw cells ([`CsvReader::next_with_cells`]), for output that repeats
//! the input's columns. A line with more or fewer cells than the header is refused by number, the rest
//! goes on. [`AccountCsv`] reads a file of businesses.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "roles are many and a new one is silent until it is given a meaning"
)]

mod accounts;
mod joined;

pub use accounts::AccountCsv;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{BufReader, Cursor, Read};

use crate::error::{Error, Result};
use crate::formats::business;
use crate::formats::checks::{InputRecord, RowError};
use crate::formats::columns::{self, About, Column, Recognised, Role};
use crate::formats::csv::joined::Joined;
use crate::formats::encoding::{self, Decoded, Other};
use crate::formats::json::{lenient_time, time_text};
use crate::formats::rawcsv::{CELLS_MAX, RECORD_BYTES_MAX, RawCsv, RawRecord};
use crate::formats::{ReadOptions, Row, RowReader, default_source, empty_file};
use crate::model::account::Business;
use crate::model::issue::Issue;
use crate::model::record::{Address, Email, ExternalId, Fields, Phone, Social};

/// Bytes looked at to find the delimiter and the header.
const SAMPLE_BYTES: usize = 64 * 1024;
/// Records before the header that an export may put there (LinkedIn has two).
const PREAMBLE_MAX: usize = 4;
/// Lines looked at to tell whether a column of names holds people or businesses.
const NAMES_SEEN: usize = 200;
/// A longer line than this ends the look ahead, so that it never holds much.
const LINE_SEEN_BYTES: usize = 64 * 1024;
/// What separates several values in one cell in Google's exports and ours.
pub(super) const VALUE_SEPARATOR: &str = ":::";

type Input = BufReader<std::io::Chain<Cursor<Vec<u8>>, Decoded>>;

/// A CSV file being read.
pub struct CsvReader {
    raw: RawCsv<Input>,
    recognised: Recognised,
    /// For each column, where its label and its extension are.
    partners: Vec<(Option<usize>, Option<usize>)>,
    header: Vec<String>,
    source: String,
    /// Records read while looking for the header.
    waiting: VecDeque<RawRecord>,
    /// Records that name nobody pass.
    nameless: bool,
}

/// One data line with its cells.
#[derive(Clone, Debug, PartialEq)]
pub struct RowWithCells {
    /// The record, or why it is none.
    pub row: Row,
    /// The cells as text, as many as the line has.
    pub cells: Vec<String>,
}

impl CsvReader {
    /// Starts to read: decodes, finds delimiter and header, recognises the columns.
    ///
    /// # Errors
    /// `Invalid` when the file is empty or binary, no column is known, or the map is wrong; `Io` when
    /// it cannot be read.
    pub fn open(input: Box<dyn Read + Send>, options: ReadOptions) -> Result<Self> {
        Self::open_about(input, options, About::People)
    }

    fn open_about(input: Box<dyn Read + Send>, options: ReadOptions, about: About) -> Result<Self> {
        let mut decoded = Decoded::new(input, Other::Guess)?;
        let encoding = decoded.encoding_name();
        let mut sample = Vec::new();
        let read = decoded.by_ref().take(SAMPLE_BYTES as u64).read_to_end(&mut sample);
        read.map_err(|error| Error::io("reading the file", error))?;
        if sample.trim_ascii().is_empty() {
            return Err(empty_file("a header line and one record a line"));
        }
        let delimiter = sniff(&sample, about);
        let input = Cursor::new(sample).chain(decoded);
        let mut raw = RawCsv::new(BufReader::with_capacity(64 * 1024, input), delimiter);
        let (header, header_line, mut waiting) = find_header(&mut raw, about)?;
        let mut columns = columns::recognise(&header, options.map.as_deref(), about)?;
        if options.map.is_none() && about == About::People {
            settle_business(&mut raw, &mut columns, &mut waiting)?;
        }
        let recognised = Recognised { columns, delimiter: char::from(delimiter), encoding, header_line };
        let partners = partners(&recognised);
        let source = default_source(&options);
        Ok(Self { raw, recognised, partners, header, source, waiting, nameless: false })
    }

    /// Lets records pass that have no name, email, phone, organization or external id: within one
    /// file a birthday and a postal code may tell enough. An import does not do this.
    #[must_use]
    pub fn accept_nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// The header's cells as written.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// What the columns were taken for.
    pub fn columns(&self) -> &Recognised {
        &self.recognised
    }

    /// The next data line with its cells; `None` at the end. Refused lines come too, so counting the
    /// answers from 0 gives the index of the data line.
    ///
    /// # Errors
    /// `Io` when the file cannot be read on.
    pub fn next_with_cells(&mut self) -> Result<Option<RowWithCells>> {
        let Some(raw) = self.next_raw()? else {
            return Ok(None);
        };
        let cells = (0..raw.len()).map(|i| encoding::text(raw.cell(i)).0.into_owned()).collect();
        Ok(Some(RowWithCells { row: self.row(&raw), cells }))
    }

    fn next_raw(&mut self) -> Result<Option<RawRecord>> {
        match self.waiting.pop_front() {
            Some(record) => Ok(Some(record)),
            None => self.raw.next_record().map_err(|error| Error::io("reading the file", error)),
        }
    }

    /// One raw record as a row.
    fn row(&self, raw: &RawRecord) -> Row {
        let mut issues = Vec::new();
        let record = self.record(raw, &mut issues);
        Row { line: raw.line, record, issues }
    }

    fn record(&self, raw: &RawRecord, issues: &mut Vec<Issue>) -> Result<InputRecord, RowError> {
        self.check(raw)?;
        Assembly::new(self, raw, issues).record()
    }

    /// Whether a line is whole.
    fn check(&self, raw: &RawRecord) -> Result<(), RowError> {
        if raw.cut {
            let message =
                format!("larger than {RECORD_BYTES_MAX} bytes or {CELLS_MAX} cells; a quotation mark may be open");
            return Err(RowError::new("line", "line_too_long", message));
        }
        if raw.len() != self.header.len() {
            let message = format!(
                "{} cells where the header has {}; quote cells that contain the delimiter",
                raw.len(),
                self.header.len()
            );
            return Err(RowError::new("line", "cell_count", message));
        }
        Ok(())
    }
}

impl RowReader for CsvReader {
    fn next_row(&mut self) -> Result<Option<Row>> {
        Ok(self.next_raw()?.map(|raw| self.row(&raw)))
    }

    fn recognised(&self) -> Option<&Recognised> {
        Some(&self.recognised)
    }
}

/// Takes a column of names for businesses when its first values are such and no other column names people.
fn settle_business(raw: &mut RawCsv<Input>, columns: &mut [Column], waiting: &mut VecDeque<RawRecord>) -> Result<()> {
    let people = |role: &Role| matches!(role, Role::FirstName | Role::LastName | Role::Organization | Role::JobTitle);
    let at = columns.iter().position(|column| column.role == Role::Name);
    let Some(at) = at.filter(|_| !columns.iter().any(|column| people(&column.role))) else {
        return Ok(());
    };
    while waiting.len() < NAMES_SEEN {
        match raw.next_record().map_err(|error| Error::io("reading the file", error))? {
            Some(record) => {
                let bytes: usize = (0..record.len()).map(|cell| record.cell(cell).len()).sum();
                waiting.push_back(record);
                if bytes > LINE_SEEN_BYTES {
                    break;
                }
            }
            None => break,
        }
    }
    let names: Vec<String> = waiting.iter().map(|record| encoding::text(record.cell(at)).0.into_owned()).collect();
    if business::are_businesses(names.iter().map(String::as_str))
        && let Some(column) = columns.get_mut(at)
    {
        column.role = Role::Organization;
        columns::settle::business(columns);
    }
    Ok(())
}

/// Where each column's label and extension are.
fn partners(recognised: &Recognised) -> Vec<(Option<usize>, Option<usize>)> {
    let of = |column: &Column| match column.role {
        Role::Email => (recognised.partner(&Role::EmailLabel, &column.group), None),
        Role::Phone => (
            recognised.partner(&Role::PhoneLabel, &column.group),
            recognised.partner(&Role::PhoneExtension, &column.group),
        ),
        _ => (None, None),
    };
    recognised.columns.iter().map(of).collect()
}

/// The delimiter whose header has most known columns, then most columns.
fn sniff(sample: &[u8], about: About) -> u8 {
    let first = sample.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    if let Some(&[delimiter]) = first.strip_prefix(b"sep=") {
        return delimiter;
    }
    let score = |delimiter: u8| {
        let mut raw = RawCsv::new(sample, delimiter);
        let mut best = (0, 0);
        for _ in 0..PREAMBLE_MAX {
            let Ok(Some(record)) = raw.next_record() else {
                break;
            };
            let cells = texts(&record);
            best = best.max((columns::known(&cells, about), cells.len()));
        }
        best
    };
    let delimiters = [b',', b';', b'\t', b'|'];
    let scored = delimiters.iter().rev().max_by_key(|delimiter| score(**delimiter));
    scored.copied().unwrap_or(b',')
}

/// All cells of a record as trimmed text.
fn texts(record: &RawRecord) -> Vec<String> {
    let cell = |index| encoding::text(record.cell(index)).0.trim().to_owned();
    (0..record.len()).map(cell).collect()
}

/// The header, its line, and the records read beyond it.
fn find_header(raw: &mut RawCsv<Input>, about: About) -> Result<(Vec<String>, u64, VecDeque<RawRecord>)> {
    let mut head = VecDeque::new();
    let read = |raw: &mut RawCsv<Input>| raw.next_record().map_err(|error| Error::io("reading the file", error));
    while let Some(record) = read(raw)? {
        let cells = texts(&record);
        let preamble = head.is_empty() && is_preamble(&cells);
        let known = columns::known(&cells, about);
        head.push_back(record);
        if !preamble && (head.len() == 1 || known >= 2) {
            break;
        }
        if head.len() > PREAMBLE_MAX {
            break;
        }
    }
    let is_header = |record: &RawRecord| columns::known(&texts(record), about) >= 2;
    let skip = if head.len() > 1 && head.back().is_some_and(is_header) { head.len() - 1 } else { 0 };
    let mut rest = head.split_off(skip);
    let Some(header) = rest.pop_front() else {
        return Err(empty_file("a header line and one record a line"));
    };
    if header.cut {
        let reason = format!("the header is larger than {RECORD_BYTES_MAX} bytes or {CELLS_MAX} columns");
        return Err(Error::invalid("columns", reason));
    }
    Ok((texts(&header), header.line, rest))
}

/// LinkedIn's "Notes:" and a spreadsheet's "sep=;" stand before the header.
fn is_preamble(cells: &[String]) -> bool {
    let text = cells.concat();
    text.eq_ignore_ascii_case("notes:") || text.starts_with("sep=")
}

/// Puts the cells of one line into fields.
struct Assembly<'a> {
    reader: &'a CsvReader,
    raw: &'a RawRecord,
    issues: &'a mut Vec<Issue>,
    fields: Fields,
    /// Addresses being put together, with their group and which of several values they are.
    addresses: Vec<(&'a str, usize, Parts)>,
    source: Option<String>,
    id: Option<String>,
    updated: Option<crate::model::ids::Millis>,
    version: Option<u64>,
    /// What only businesses have; stays empty for people.
    business: Business,
}

/// An address being put together.
#[derive(Default)]
struct Parts {
    number: Option<String>,
    address: Address,
}

impl<'a> Assembly<'a> {
    fn new(reader: &'a CsvReader, raw: &'a RawRecord, issues: &'a mut Vec<Issue>) -> Self {
        Self {
            reader,
            raw,
            issues,
            fields: Fields::default(),
            addresses: Vec::new(),
            source: None,
            id: None,
            updated: None,
            version: None,
            business: Business::default(),
        }
    }

    /// The checked record.
    fn record(mut self) -> Result<InputRecord, RowError> {
        self.read_cells();
        let nameless = self.reader.nameless;
        let record = self.put_together();
        if nameless { record.checked_values() } else { record.checked() }
    }

    fn read_cells(&mut self) {
        let mut mixed = false;
        let columns = &self.reader.recognised.columns;
        let texts: Vec<(Cow<'_, str>, bool)> = (0..columns.len()).map(|at| encoding::text(self.raw.cell(at))).collect();
        let mut joined = Joined::default();
        for ((index, column), (text, legacy)) in columns.iter().enumerate().zip(&texts) {
            let text = unguarded(text.trim());
            if !text.is_empty() && column.role != Role::Ignored {
                mixed |= legacy;
                if !joined.take(&self.fields, column, text) {
                    self.cell(index, column, text);
                }
            }
        }
        let dated = columns.iter().any(|column| matches!(column.role, Role::Birthday | Role::BirthYear));
        joined.join(&mut self.fields, self.reader.nameless && !dated);
        if mixed {
            let message = "not UTF-8 as the rest of the file is; read as Windows-1252";
            self.issues.push(Issue::new("line", "encoding_mixed", message));
        }
    }

    /// The record of what was read, unchecked.
    fn put_together(mut self) -> InputRecord {
        self.fields.addresses = self.addresses.into_iter().map(|(_, _, parts)| parts.join()).collect();
        InputRecord {
            source: self.source.unwrap_or_else(|| self.reader.source.clone()),
            source_record_id: self.id,
            source_updated_at: self.updated,
            version: self.version,
            fields: self.fields,
        }
    }

    /// The text of another cell, `None` when empty.
    fn partner(&self, index: Option<usize>) -> Option<String> {
        let text = encoding::text(self.raw.cell(index?)).0.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// One cell that has text.
    fn cell(&mut self, index: usize, column: &'a Column, text: &str) {
        if let Some(slot) = single(&mut self.fields, &column.role) {
            if slot.is_none() {
                *slot = Some(text.to_owned());
            }
            return;
        }
        match &column.role {
            Role::RecordId => self.id = Some(text.to_owned()),
            Role::Source => self.source = Some(text.to_owned()),
            Role::UpdatedAt => self.updated = self.time("source_updated_at", text),
            Role::Version => self.read_version(text),
            Role::Email => self.emails(index, column, text),
            Role::Phone => self.phones(index, column, text),
            Role::Social(service) => {
                self.fields.social.push(Social { service: service.clone(), username: text.to_owned() })
            }
            Role::ExternalId(system) => {
                self.fields.external_ids.push(ExternalId { system: system.clone(), id: text.to_owned() })
            }
            Role::Url => self.fields.urls.extend(values(text).map(str::to_owned)),
            Role::Tags => self.fields.tags.extend(words(text, &[',', ';', '|'])),
            Role::Groups => self.fields.groups.extend(words(text, &[';'])),
            Role::Birthday if is_no_date(text) => {}
            Role::Birthday => {
                self.fields.birthday.get_or_insert_with(|| text.to_owned());
            }
            Role::LastActivityAt => self.fields.last_activity_at = self.time_text("last_activity_at", text),
            Role::FirstSeen => self.fields.first_seen = self.time_text("first_seen", text),
            Role::LastSeen => self.fields.last_seen = self.time_text("last_seen", text),
            Role::IsMe => self.fields.is_me = truth(text),
            Role::Industry | Role::Technologies | Role::AlternateDomains | Role::PreviousNames => {
                accounts::cell(&mut self.business, &column.role, text);
            }
            _address_or_silent => self.address(column, text),
        }
    }

    fn time(&mut self, field: &str, text: &str) -> Option<crate::model::ids::Millis> {
        let time = lenient_time(text);
        if time.is_none() {
            let message = "not a time we can read; write it like 2026-01-27T10:00:00Z";
            self.issues.push(Issue::new(field, "time_unreadable", message));
        }
        time
    }

    fn time_text(&mut self, field: &str, text: &str) -> Option<String> {
        self.time(field, text).map(time_text)
    }

    fn read_version(&mut self, text: &str) {
        self.version = text.parse().ok();
        if self.version.is_none() {
            let message = "not a whole number; left out";
            self.issues.push(Issue::new("version", "version_unreadable", message));
        }
    }

    /// The label of a value: from its label column, else from the column's name. Google marks the
    /// primary one with `*`.
    fn label(&self, index: usize, column: &Column) -> (Option<String>, bool) {
        let partner = self.reader.partners.get(index).and_then(|(label, _)| *label);
        let Some(label) = self.partner(partner) else {
            return (column.label.clone(), false);
        };
        let bare = label.trim_start_matches('*').trim();
        ((!bare.is_empty()).then(|| bare.to_lowercase()), label.starts_with('*'))
    }

    fn emails(&mut self, index: usize, column: &Column, text: &str) {
        let (label, primary) = self.label(index, column);
        let several = |value: &str| {
            let parts: Vec<String> = words(value, &[';', ',']).collect();
            let all = parts.len() > 1 && parts.iter().all(|part| part.contains('@'));
            if all { parts } else { vec![value.to_owned()] }
        };
        for value in values(text).flat_map(several) {
            let email = Email { value, label: label.clone(), primary, ..Email::default() };
            self.fields.emails.push(email);
        }
    }

    fn phones(&mut self, index: usize, column: &Column, text: &str) {
        let (label, primary) = self.label(index, column);
        let extension = self.reader.partners.get(index).and_then(|(_, extension)| *extension);
        let extension = self.partner(extension);
        for value in values(text) {
            self.fields.phones.push(Phone {
                value: value.to_owned(),
                label: label.clone(),
                extension: extension.clone(),
                primary,
                ..Phone::default()
            });
        }
    }

    /// A part of an address; several values in a cell belong to several addresses.
    fn address(&mut self, column: &'a Column, text: &str) {
        for (nth, value) in text.split(VALUE_SEPARATOR).map(str::trim).enumerate() {
            let group = column.group.as_str();
            let found = self.addresses.iter().position(|(g, n, _)| *g == group && *n == nth);
            let at = found.unwrap_or_else(|| {
                let address = Address { label: column.label.clone(), ..Address::default() };
                self.addresses.push((group, nth, Parts { number: None, address }));
                self.addresses.len() - 1
            });
            if let Some((_, _, parts)) = self.addresses.get_mut(at).filter(|_| !value.is_empty()) {
                parts.set(&column.role, value);
            }
        }
    }
}

impl Parts {
    fn set(&mut self, role: &Role, value: &str) {
        let first = |slot: &mut Option<String>| {
            slot.get_or_insert_with(|| value.to_owned());
        };
        match role {
            Role::Street | Role::StreetMore => match &mut self.address.street {
                Some(street) => {
                    street.push_str(", ");
                    street.push_str(value);
                }
                None => self.address.street = Some(value.to_owned()),
            },
            Role::StreetNumber => first(&mut self.number),
            Role::City => first(&mut self.address.city),
            Role::Region => first(&mut self.address.region),
            Role::PostalCode => first(&mut self.address.postal_code),
            Role::Country => first(&mut self.address.country),
            Role::AddressLabel => {
                self.address.label = Some(value.trim_start_matches('*').trim().to_lowercase());
            }
            _silent => {}
        }
    }

    /// The house number goes before the street.
    fn join(self) -> Address {
        let mut address = self.address;
        if let Some(number) = self.number {
            address.street = Some(match address.street {
                Some(street) => format!("{number} {street}"),
                None => number,
            });
        }
        address
    }
}

/// The field a role fills with one text, the first column winning.
fn single<'f>(fields: &'f mut Fields, role: &Role) -> Option<&'f mut Option<String>> {
    Some(match role {
        Role::Name => &mut fields.name,
        Role::FirstName => &mut fields.first_name,
        Role::MiddleName => &mut fields.middle_name,
        Role::LastName => &mut fields.last_name,
        Role::Nickname => &mut fields.nickname,
        Role::NamePrefix => &mut fields.name_prefix,
        Role::NameSuffix => &mut fields.name_suffix,
        Role::Organization => &mut fields.organization,
        Role::JobTitle => &mut fields.job_title,
        Role::Department => &mut fields.department,
        Role::CompanyDomain => &mut fields.company_domain,
        Role::AccountId => &mut fields.account_id,
        Role::Gender => &mut fields.gender,
        Role::Notes => &mut fields.notes,
        Role::CategoryCode => &mut fields.category_code,
        Role::SubcategoryCode => &mut fields.subcategory_code,
        Role::RelationshipCategory => &mut fields.relationship_category,
        _several => return None,
    })
}

/// Several values in one cell.
fn values(text: &str) -> impl Iterator<Item = &str> {
    text.split(VALUE_SEPARATOR).map(str::trim).filter(|value| !value.is_empty())
}

/// Words of a list in one cell; Google marks its own groups with `*`.
fn words<'t>(text: &'t str, separators: &'t [char]) -> impl Iterator<Item = String> + 't {
    let bare = |word: &str| word.trim().trim_start_matches("* ").to_owned();
    values(text).flat_map(move |value| value.split(separators)).map(bare).filter(|word| !word.is_empty())
}

/// The quotation mark that our export puts before a formula is taken off again.
fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => text,
    }
}

/// Outlook's way to write that there is no birthday.
fn is_no_date(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '0' | '/' | '-' | '.'))
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "y" => Some(true),
        "false" | "no" | "0" | "n" => Some(false),
        _ => None,
    }
}
