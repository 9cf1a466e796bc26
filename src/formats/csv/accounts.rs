//! A CSV file of businesses: the same reader with the column names of accounts.

#![expect(clippy::wildcard_enum_match_arm, reason = "only four roles are about businesses alone")]

use std::io::Read;

use super::{Assembly, CsvReader, words};
use crate::error::Result;
use crate::formats::account::of_account;
use crate::formats::checks::RowError;
use crate::formats::columns::{About, Role};
use crate::formats::rawcsv::RawRecord;
use crate::formats::{AccountRecord, ReadOptions, Recognised, Row, RowReader};
use crate::model::account::Business;
use crate::model::issue::Issue;

/// A CSV file of businesses being read.
pub struct AccountCsv(CsvReader);

impl AccountCsv {
    /// Starts to read: decodes, finds delimiter and header, recognises the columns.
    ///
    /// # Errors
    /// `Invalid` when the file is empty or binary, no column is known, or the map is wrong; `Io` when
    /// it cannot be read.
    pub fn open(input: Box<dyn Read + Send>, options: ReadOptions) -> Result<Self> {
        CsvReader::open_about(input, options, About::Businesses).map(Self)
    }

    fn record(&self, raw: &RawRecord, issues: &mut Vec<Issue>) -> Result<AccountRecord, RowError> {
        self.0.check(raw)?;
        Assembly::new(&self.0, raw, issues).account()
    }
}

impl RowReader<AccountRecord> for AccountCsv {
    fn next_row(&mut self) -> Result<Option<Row<AccountRecord>>> {
        let Some(raw) = self.0.next_raw()? else { return Ok(None) };
        let mut issues = Vec::new();
        let record = self.record(&raw, &mut issues);
        Ok(Some(Row { line: raw.line, record, issues }))
    }

    fn recognised(&self) -> Option<&Recognised> {
        self.0.recognised()
    }
}

impl Assembly<'_> {
    /// The checked record of a business. A web page stands in for the domain where no column says one.
    fn account(mut self) -> Result<AccountRecord, RowError> {
        self.read_cells();
        let page = std::mem::take(&mut self.fields.urls).into_iter().next();
        let domain = &mut self.fields.company_domain;
        *domain = domain.take().or(page);
        let business = std::mem::take(&mut self.business);
        let record = self.put_together().checked_values().map_err(of_account)?;
        AccountRecord { record, business }.bounded()?.identified()
    }
}

/// One cell of what only businesses have. A comma may be part of a name ("Acme, Inc."), never of a domain.
pub(super) fn cell(business: &mut Business, role: &Role, text: &str) {
    match role {
        Role::Industry => {
            business.industry.get_or_insert_with(|| text.to_owned());
        }
        Role::Technologies => business.technologies.extend(words(text, &[',', ';', '|'])),
        Role::AlternateDomains => business.alternate_domains.extend(words(text, &[',', ';', '|', ' '])),
        Role::PreviousNames => business.previous_names.extend(words(text, &[';', '|'])),
        _ => {}
    }
}
