//! A person's edit of a contact, as a record of source `manual` anchored to it.
//!
//! Such a record is never evidence. A value set by hand wins over all sources; a field set to null,
//! or a value missing from a list that was sent anew, is suppressed: it stays in its source's record
//! and is not shown. `attributes` are edited key by key. [`account`] does the same for businesses.

pub mod account;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::formats::checks::ATTRIBUTES_BYTES_MAX;
use crate::model::ids::{EntityId, RecordKey};
use crate::model::record::{Fields, Record};
use crate::normalize::Normalizer;
use crate::resolve::act::live;
use crate::resolve::prepare::{Prepared, content_hash};
use crate::resolve::survive::{Rules, address_text, golden, id_text, patch_attributes, social_text};
use crate::store::groups::slug;
use crate::store::shard::{Entity, Shard};
use crate::store::stored::Opened;

/// The field that is edited key by key.
const ATTRIBUTES: &str = "attributes";

/// The source of manual edits.
pub const MANUAL_SOURCE: &str = "manual";

/// What a contact's records say and its manual edits, unpacked.
pub fn versions(shard: &Shard, entity: &Entity) -> (Vec<Opened>, Vec<Opened>) {
    let current = |slot: &u32| shard.slot(*slot).and_then(|at| at.current.as_deref()).map(|now| now.stored.open());
    let sources = entity.members.iter().filter_map(current).collect();
    let manual = shard.manual_slots(entity).iter().filter_map(current).collect();
    (sources, manual)
}

macro_rules! fields {
    ($apply:ident) => {
        $apply! {
            scalars: name, first_name, middle_name, last_name, nickname, name_prefix, name_suffix, organization,
                job_title, department, company_domain, account_id, birthday, gender, notes, last_activity_at,
                first_seen, last_seen, category_code, subcategory_code, relationship_category, is_me, attributes;
            lists: emails, phones, addresses, social, urls, external_ids, tags, groups
        }
    };
}

/// Makes the manual record that an edit leaves. `touched` names the fields of the patch, set or null.
///
/// # Errors
/// `NotFound` and `Moved` for the contact, `Invalid` for a field that cannot be edited.
pub fn edit(
    shard: &Shard,
    contact: EntityId,
    set: &Fields,
    touched: &[String],
    normalizer: &Arc<Normalizer>,
) -> Result<Prepared> {
    may_be_edited(touched, normalizer)?;
    let entity = live(shard, contact)?;
    let (sources, manual) = versions(shard, entity);
    let shown = golden(&sources, &manual, Rules::of(shard)).fields;
    let own = own_edit(shard, entity);
    let mut fields = own.as_ref().map(|own| own.put.record.fields.clone()).unwrap_or_default();
    let mut suppressed = own.as_ref().map(|own| own.put.suppressed.clone()).unwrap_or_default();
    let (wanted, _) = normalizer.normalize(set);
    for field in touched {
        lay_over(field, set, &wanted, &shown, &mut fields, &mut suppressed)?;
    }
    let (normalized, issues) = normalizer.normalize(&fields);
    let content_hash = content_hash(&fields, &suppressed);
    let key = RecordKey { source: MANUAL_SOURCE.into(), source_record_id: contact.to_string().into() };
    let record = Record { key, source_updated_at: None, version: None, fields };
    Ok(Prepared { record, normalized, content_hash, issues, anchor: Some(contact), suppressed, business: None })
}

/// Where only tags of identifiers are kept there is nothing to show, so nothing to edit either.
fn may_be_edited(touched: &[String], normalizer: &Normalizer) -> Result<()> {
    let field = touched.iter().find(|field| ["emails", "phones"].contains(&field.as_str()));
    match field.filter(|_| normalizer.is_masked()) {
        None => Ok(()),
        Some(field) => Err(Error::invalid(
            field.clone(),
            "cannot be edited in a tenant that keeps tags only; put a record that says it",
        )),
    }
}

/// What was edited before under the contact's own id.
fn own_edit(shard: &Shard, entity: &Entity) -> Option<Opened> {
    Some(shard.slot(entity.manual?)?.current.as_ref()?.stored.open())
}

/// Lays one field of an edit over what was edited before.
fn lay_over(
    field: &str,
    set: &Fields,
    wanted: &crate::model::normalized::Normalized,
    shown: &Fields,
    fields: &mut Fields,
    suppressed: &mut Vec<(String, String)>,
) -> Result<()> {
    if let (ATTRIBUTES, Some(edit)) = (field, &set.attributes) {
        // Key by key: what was edited before stays, and what is not named stays the sources'.
        fields.attributes = Some(checked(patch_attributes(fields.attributes.as_deref(), edit))?);
        return Ok(());
    }
    suppressed.retain(|(name, _)| name != field);
    if !copy(field, set, fields) {
        return Err(Error::invalid(field, "cannot be edited"));
    }
    suppress(field, set, shown, wanted, suppressed);
    Ok(())
}

/// The edited attributes, which are bounded as those of any record.
fn checked(attributes: String) -> Result<String> {
    let bytes = attributes.len();
    if bytes <= ATTRIBUTES_BYTES_MAX {
        return Ok(attributes);
    }
    let reason = format!(
        "all edits of this contact together make {bytes} bytes of JSON, at most {ATTRIBUTES_BYTES_MAX} are allowed; set \
         larger keys to null first, or send attributes as null and then anew"
    );
    Err(Error::invalid(ATTRIBUTES, reason))
}

/// Copies one field; false: there is no such field.
fn copy(field: &str, from: &Fields, to: &mut Fields) -> bool {
    macro_rules! copy {
        (scalars: $($scalar:ident),+; lists: $($list:ident),+) => {
            match field {
                $(stringify!($scalar) => to.$scalar.clone_from(&from.$scalar),)+
                $(stringify!($list) => to.$list.clone_from(&from.$list),)+
                _ => return false,
            }
        };
    }
    fields!(copy);
    true
}

/// Notes what an edit takes away: the whole field when it is null, else the shown values it left out.
fn suppress(
    field: &str,
    set: &Fields,
    shown: &Fields,
    wanted: &crate::model::normalized::Normalized,
    suppressed: &mut Vec<(String, String)>,
) {
    let mut gone = |values: Vec<String>| suppressed.extend(values.into_iter().map(|value| (field.to_owned(), value)));
    let left_out = |shown: Vec<String>, kept: Vec<String>| -> Vec<String> {
        shown.into_iter().filter(|value| !kept.contains(value)).collect()
    };
    let slugs = |list: &[String]| list.iter().map(|text| slug(text)).collect::<Vec<_>>();
    let lower = |list: &[String]| list.iter().map(|text| text.to_lowercase()).collect::<Vec<_>>();
    match field {
        "emails" => gone(left_out(
            shown.emails.iter().map(|email| email.value.clone()).collect(),
            wanted.emails.iter().map(|email| email.delivered.clone()).collect(),
        )),
        "phones" => gone(left_out(
            shown.phones.iter().map(|phone| phone.value.clone()).collect(),
            wanted.phones.iter().map(|phone| phone.e164.clone()).collect(),
        )),
        "addresses" => gone(left_out(
            shown.addresses.iter().map(address_text).collect(),
            set.addresses.iter().map(address_text).collect(),
        )),
        "social" => {
            gone(left_out(shown.social.iter().map(social_text).collect(), set.social.iter().map(social_text).collect()))
        }
        "external_ids" => gone(left_out(
            shown.external_ids.iter().map(id_text).collect(),
            set.external_ids.iter().map(id_text).collect(),
        )),
        "urls" => gone(left_out(lower(&shown.urls), lower(&set.urls))),
        "tags" => gone(left_out(lower(&shown.tags), lower(&set.tags))),
        "groups" => gone(left_out(slugs(&shown.groups), slugs(&set.groups))),
        _ => {
            if is_null(field, set) {
                gone(vec![String::new()]);
            }
        }
    }
}

fn is_null(field: &str, set: &Fields) -> bool {
    macro_rules! null {
        (scalars: $($scalar:ident),+; lists: $($list:ident),+) => {
            match field {
                $(stringify!($scalar) => set.$scalar.is_none(),)+
                _ => false,
            }
        };
    }
    fields!(null)
}
