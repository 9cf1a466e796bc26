//! What a column means beside the others: "Title" beside "Job Title", `day` beside `month` and `year`, a second address,
//! the people of a business.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "roles are many and a new one is silent until it is given a meaning"
)]

use super::{Column, Role};
use crate::formats::spellings::{self, birth, ids};

/// Settles everything that depends on other columns.
pub(super) fn all(columns: &mut [Column]) {
    names(columns);
    title(columns);
    id(columns);
    birth_parts(columns);
    mail_address(columns);
    second_address(columns);
    business(columns);
}

/// One id column of a file of businesses: by this order of names. The others say nothing.
pub(super) fn one_id(columns: &mut [Column]) {
    let order = ["sourcerecordid", "accountid", "companyid", "recordid", "recordidcompany", "id"];
    let place = |column: &Column| {
        let key = spellings::key(&column.header);
        order.iter().position(|name| **name == key).unwrap_or(order.len())
    };
    let ids = columns.iter().enumerate().filter(|(_, column)| column.role == Role::RecordId);
    let best = ids.min_by_key(|(at, column)| (place(column), *at)).map(|(at, _)| at);
    for (at, column) in columns.iter_mut().enumerate() {
        if column.role == Role::RecordId && Some(at) != best {
            column.role = Role::NotEvidence;
        }
    }
}

/// The first column whose squeezed header is one of these.
fn named<'c>(columns: &'c mut [Column], keys: &[&str]) -> Option<&'c mut Column> {
    columns.iter_mut().find(|column| keys.contains(&spellings::key(&column.header).as_str()))
}

fn has(columns: &[Column], role: &Role) -> bool {
    columns.iter().any(|column| &column.role == role)
}

/// "name" beside a family name but no given name is the given name; French "nom" alone is the whole.
fn names(columns: &mut [Column]) {
    let (first, last) = (has(columns, &Role::FirstName), has(columns, &Role::LastName));
    if !first && let Some(nom) = named(columns, &["nom"]) {
        nom.role = Role::Name;
        return;
    }
    if last
        && !first
        && let Some(name) = named(columns, &["name", "nombre", "nome"])
    {
        name.role = Role::FirstName;
    }
}

/// "Title" beside another job title is the title before the name, as Outlook has it.
fn title(columns: &mut [Column]) {
    let titles = columns.iter().filter(|column| column.role == Role::JobTitle).count();
    if titles > 1
        && let Some(title) = named(columns, &["title"])
    {
        title.role = Role::NamePrefix;
    }
}

/// One id column: by this order of names. The others are never evidence.
fn id(columns: &mut [Column]) {
    let order = ["sourcerecordid", "id", "recordid", "uid", "externalid", "contactid"];
    let best = order.iter().find_map(|name| {
        columns.iter().position(|column| column.role == Role::RecordId && spellings::key(&column.header) == *name)
    });
    for (index, column) in columns.iter_mut().enumerate() {
        if column.role == Role::RecordId && best != Some(index) {
            column.role = Role::NotEvidence;
        }
    }
}

/// `day`, `month` and `year`, or `by` and `bm`, are of a birth where there is no birthday and month and year are both
/// there, or where the month says that it is of a birth and a `bday` or `bd` is there; `birthday` beside month and year of
/// birth is the day.
fn birth_parts(columns: &mut [Column]) {
    let loose = |column: &Column| birth::loose_part(&spellings::key(&column.header));
    let whole = columns.iter().any(|column| column.role == Role::Birthday && loose(column).is_none());
    let named = |role: Role| {
        let means = |c: &Column| c.role == role || (c.role == Role::Ignored && loose(c).as_ref() == Some(&role));
        columns.iter().any(means)
    };
    let month_of_birth = columns.iter().any(|column| column.role == Role::BirthMonth);
    let short_day = || columns.iter().any(|column| matches!(&*spellings::key(&column.header), "bday" | "bd"));
    let rest = named(Role::BirthYear) || (month_of_birth && short_day());
    if whole || !named(Role::BirthMonth) || !rest {
        return;
    }
    for column in columns.iter_mut().filter(|c| matches!(c.role, Role::Ignored | Role::Birthday)) {
        if let Some(part) = loose(column) {
            column.role = part;
        }
    }
}

/// `mail_address` beside `mail_city` or `mail_zip` is a postal address.
fn mail_address(columns: &mut [Column]) {
    if !columns.iter().any(|c| c.group == "mail" && matches!(c.role, Role::City | Role::PostalCode)) {
        return;
    }
    for column in columns.iter_mut().filter(|column| matches!(column.role, Role::Email | Role::Ignored)) {
        let key = spellings::key(&column.header);
        if let Some(line) = key.strip_prefix("mailad") {
            let more = line.ends_with(|c: char| matches!(c, '2'..='9'));
            column.role = if more { Role::StreetMore } else { Role::Street };
            column.group = "mail".to_owned();
        }
    }
}

/// `address2` beside `city2` or `zip2` is another address, not a second line.
fn second_address(columns: &mut [Column]) {
    for number in 2..=9 {
        let group = number.to_string();
        let whole = |c: &Column| c.group == group && matches!(c.role, Role::City | Role::PostalCode);
        if !columns.iter().any(whole) {
            continue;
        }
        let named = |key: &str| ["address", "addr", "street"].iter().any(|stem| key == format!("{stem}{group}"));
        for column in columns.iter_mut().filter(|c| c.role == Role::StreetMore) {
            if named(&spellings::key(&column.header)) {
                column.role = Role::Street;
                column.group.clone_from(&group);
            }
        }
    }
}

/// Whose the names are. Beside a trade name the whole name is the business' own; people with an office count only
/// beside a business, and in a list of businesses a further name is one of those.
pub(in crate::formats) fn business(columns: &mut [Column]) {
    let person = |c: &Column| matches!(c.role, Role::Name | Role::FirstName | Role::LastName);
    if has(columns, &Role::TradeName) && !has(columns, &Role::Organization) {
        let free = |c: &&mut Column| c.role == Role::Name;
        let named = columns.iter_mut().find(free);
        match named {
            Some(column) => column.role = Role::Organization,
            None => replace(columns, &Role::TradeName, &Role::Organization),
        }
    }
    if !has(columns, &Role::Organization) {
        if !columns.iter().any(person) {
            replace(columns, &Role::Officer, &Role::Name);
            replace(columns, &Role::OfficerFirst, &Role::FirstName);
            replace(columns, &Role::OfficerLast, &Role::LastName);
        }
        return;
    }
    if !columns.iter().any(person) {
        replace(columns, &Role::Nickname, &Role::TradeName);
    }
    let of_people = |c: &Column| {
        matches!(
            c.role,
            Role::Birthday | Role::BirthYear | Role::Age | Role::Gender | Role::JobTitle | Role::Department
        )
    };
    let marks = columns.iter().any(is_mark);
    if marks && !columns.iter().any(of_people) {
        replace(columns, &Role::Name, &Role::Officer);
        for column in columns.iter_mut() {
            let role = match column.role {
                Role::FirstName => Role::OfficerFirst,
                Role::LastName => Role::OfficerLast,
                _ => continue,
            };
            column.role = role;
            column.group = "contact".to_owned();
        }
    }
}

/// Whether only a list of businesses has such a column.
fn is_mark(column: &Column) -> bool {
    matches!(column.role, Role::TradeName | Role::Officer | Role::OfficerFirst | Role::OfficerLast)
        || ids::is_of_business(&column.role)
        || column.label.as_deref() == Some("registered")
}

fn replace(columns: &mut [Column], from: &Role, to: &Role) {
    for column in columns.iter_mut().filter(|column| column.role == *from) {
        column.role = to.clone();
    }
}
