//! The export of accounts: the same stream with other lines.

use super::{CHUNK_BYTES, Out, Shape, line};
use crate::engine::View;
use crate::engine::accounts::{Account, AccountFilter};
use crate::formats::write::{ExportAccount, csv_account, csv_account_header};
use crate::http::wire::accounts::ExportedAccount;

/// Accounts looked up at once.
const PAGE: usize = 1000;

/// Writes every account. Ends early when nobody reads any more.
pub(super) fn write_all(view: &View, shape: Shape, mut out: Out) {
    if shape == Shape::Csv {
        csv_account_header(&mut out.buffer);
    }
    let mut filter = AccountFilter { limit: PAGE, ..AccountFilter::default() };
    // The cursors are our own, so no page can be refused.
    while let Ok(page) = view.account_list(&filter) {
        for account in &page.items {
            write_one(view, &mut out.buffer, shape, account);
            if out.buffer.len() >= CHUNK_BYTES && !out.flush() {
                return;
            }
        }
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    out.flush();
}

fn write_one(view: &View, buffer: &mut Vec<u8>, shape: Shape, account: &Account) {
    if shape != Shape::Csv {
        let records = view.account_records(account.id).unwrap_or_default();
        return line(buffer, &ExportedAccount::new(account, &records));
    }
    let golden = &account.golden;
    let plain = ExportAccount {
        account_id: &account.id.to_string(),
        name: &golden.name,
        domain: golden.domain_normalized.as_deref(),
        alternate_domains: &golden.alternate_domains,
        previous_names: &golden.previous_names,
        industry: golden.industry.as_deref(),
        technologies: &golden.technologies,
        fields: &golden.shared.fields,
    };
    csv_account(buffer, &plain);
}
