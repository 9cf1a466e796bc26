//! A person's edit of an account: the same as of a contact, and of what only businesses have.

use std::sync::Arc;

use super::{MANUAL_SOURCE, lay_over, own_edit};
use crate::error::Result;
use crate::formats::AccountRecord;
use crate::model::account::Business;
use crate::model::ids::{EntityId, RecordKey};
use crate::model::record::Record;
use crate::normalize::Normalizer;
use crate::resolve::account::{GoldenAccount, folded_value, golden_account};
use crate::resolve::act::live;
use crate::resolve::prepare::{Prepared, content_hash, with_business};
use crate::resolve::survive::Rules;
use crate::store::shard::Shard;

/// Makes the manual record that an edit leaves. `shard` is that of the accounts, `touched` names the fields of the patch
/// as account records call them, set or null.
///
/// # Errors
/// `NotFound` and `Moved` for the account, `Invalid` for a field that cannot be edited.
pub fn edit_account(
    shard: &Shard,
    account: EntityId,
    set: &AccountRecord,
    touched: &[String],
    normalizer: &Arc<Normalizer>,
) -> Result<Prepared> {
    super::may_be_edited(touched, normalizer)?;
    let entity = live(shard, account)?;
    let shown = golden_account(shard, entity, Rules::of(shard));
    let own = own_edit(shard, entity);
    let mut fields = own.as_ref().map(|own| own.put.record.fields.clone()).unwrap_or_default();
    let mut suppressed = own.as_ref().map(|own| own.put.suppressed.clone()).unwrap_or_default();
    let mut business = own.and_then(|own| own.business).map(|of| of.business.clone()).unwrap_or_default();
    let (wanted, _) = normalizer.normalize(&set.record.fields);
    for field in touched {
        if !lay_over_business(field, &set.business, &shown, &mut business, &mut suppressed) {
            let shared = shared_name(field);
            lay_over(shared, &set.record.fields, &wanted, &shown.shared.fields, &mut fields, &mut suppressed)?;
        }
    }
    let mut issues = normalizer.business(&fields, &mut business);
    let (normalized, more) = normalizer.normalize(&fields);
    issues.extend(more);
    let content_hash = with_business(content_hash(&fields, &suppressed), &business);
    let key = RecordKey { source: MANUAL_SOURCE.into(), source_record_id: account.to_string().into() };
    let record = Record { key, source_updated_at: None, version: None, fields };
    let (anchor, business) = (Some(account), Some(business));
    Ok(Prepared { record, normalized, content_hash, issues, anchor, suppressed, business })
}

/// The name that a field has for people.
fn shared_name(field: &str) -> &str {
    match field {
        "name" => "organization",
        "domain" => "company_domain",
        other => other,
    }
}

/// Lays one field that only businesses have over what was edited before; false: it is another field. What is shown and left
/// out of a list that is sent anew is taken away, as is an industry that is null.
fn lay_over_business(
    field: &str,
    set: &Business,
    shown: &GoldenAccount,
    business: &mut Business,
    suppressed: &mut Vec<(String, String)>,
) -> bool {
    let (kept, before): (&[String], &[String]) = match field {
        "alternate_domains" => (&set.alternate_domains, &shown.alternate_domains),
        "previous_names" => (&set.previous_names, &shown.previous_names),
        "technologies" => (&set.technologies, &shown.technologies),
        "industry" => (&[], &[]),
        _ => return false,
    };
    suppressed.retain(|(name, _)| name != field);
    let folded = |list: &[String]| list.iter().map(|value| folded_value(field, value)).collect::<Vec<_>>();
    let kept_folded = folded(kept);
    let gone = folded(before).into_iter().filter(|value| !kept_folded.contains(value));
    suppressed.extend(gone.map(|value| (field.to_owned(), value)));
    match field {
        "alternate_domains" => business.alternate_domains = kept.to_vec(),
        "previous_names" => business.previous_names = kept.to_vec(),
        "technologies" => business.technologies = kept.to_vec(),
        _ => {
            business.industry.clone_from(&set.industry);
            suppressed.extend(set.industry.is_none().then(|| (field.to_owned(), String::new())));
        }
    }
    true
}
