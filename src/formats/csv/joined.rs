//! Columns whose values go into a field together: the parts of a birthday, a name in another script, the family name
//! before a marriage, the trade name of a business and its people.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "roles are many and a new one is silent until it is given a meaning"
)]

use serde_json::json;

use crate::formats::columns::{Column, Role};
use crate::model::record::Fields;
use crate::normalize::name::BIRTH_NAME_MARK;
use crate::normalize::name::script::{Writing, writing_of};
use crate::normalize::organization::TRADE_NAME_MARK;
use crate::normalize::{PEOPLE_ATTRIBUTE, birthday};

/// The year that ages are counted from. Ages tell how far apart births are, not when they were.
const AGE_YEAR: u16 = 2000;
/// Nobody is older.
const AGE_MAX: u16 = 120;
/// Longest day of a month as people write it (`03.0`, `24th.`); more is a whole date, whatever its column is called.
const DAY_LETTERS_MAX: usize = 5;
/// What separates several people in one cell.
const PEOPLE_SEPARATORS: [char; 3] = [';', '|', '\n'];

/// What one line says in such columns.
#[derive(Default)]
pub(super) struct Joined<'a> {
    day: Option<&'a str>,
    month: Option<&'a str>,
    year: Option<&'a str>,
    age: Option<&'a str>,
    maiden: Option<&'a str>,
    second_last: Option<&'a str>,
    trade: Option<&'a str>,
    /// Names in another script: whole, given, family.
    other: [Option<&'a str>; 3],
    people: Vec<Person<'a>>,
}

/// Somebody of a business; columns of one group are one person.
struct Person<'a> {
    group: &'a str,
    first: &'a str,
    last: &'a str,
}

impl<'a> Joined<'a> {
    /// Takes a cell that is its business; `false` leaves it to others. `fields` holds what was read before.
    pub(super) fn take(&mut self, fields: &Fields, column: &'a Column, text: &'a str) -> bool {
        let slot = match column.role {
            Role::BirthDay => &mut self.day,
            Role::BirthMonth => &mut self.month,
            Role::BirthYear => &mut self.year,
            Role::Age => &mut self.age,
            Role::MaidenName => &mut self.maiden,
            Role::SecondLastName => &mut self.second_last,
            Role::TradeName => &mut self.trade,
            Role::Officer | Role::OfficerFirst | Role::OfficerLast => {
                self.person(column, text);
                return true;
            }
            _ => return self.other_name(fields, &column.role, text),
        };
        slot.get_or_insert(text);
        true
    }

    /// A second column for a name that has it in another script.
    fn other_name(&mut self, fields: &Fields, role: &Role, text: &'a str) -> bool {
        let [whole, first, last] = &mut self.other;
        let (known, slot) = match role {
            Role::Name => (&fields.name, whole),
            Role::FirstName => (&fields.first_name, first),
            Role::LastName => (&fields.last_name, last),
            _ => return false,
        };
        let other = known.as_deref().is_some_and(|known| writing_of(known) != writing_of(text));
        if other {
            slot.get_or_insert(text);
        }
        other
    }

    fn person(&mut self, column: &'a Column, text: &'a str) {
        let group = column.group.as_str();
        let (first, last) = match column.role {
            Role::OfficerFirst => (text, ""),
            Role::OfficerLast => ("", text),
            _ => {
                let names = text.split(PEOPLE_SEPARATORS).map(str::trim).filter(|name| !name.is_empty());
                self.people.extend(names.map(|name| Person { group: "", first: name, last: "" }));
                return;
            }
        };
        match self.people.iter_mut().find(|person| !group.is_empty() && person.group == group) {
            Some(person) if first.is_empty() => person.last = last,
            Some(person) => person.first = first,
            None => self.people.push(Person { group, first, last }),
        }
    }

    /// Puts everything into the record's fields. Ages count only where the file has nothing better and is looked at alone.
    pub(super) fn join(self, fields: &mut Fields, ages: bool) {
        if fields.birthday.is_none() {
            let whole = self.day.filter(|day| day.trim().len() > DAY_LETTERS_MAX).map(str::to_owned);
            fields.birthday = whole.or_else(|| birthday::from_parts(self.year, self.month, self.day)).or_else(|| {
                let age: u16 = self.age.filter(|_| ages)?.parse().ok().filter(|age| *age <= AGE_MAX)?;
                Some((AGE_YEAR - age).to_string())
            });
        }
        if let Some(second) = self.second_last {
            match &mut fields.last_name {
                Some(last) => *last = format!("{last} {second}"),
                None => fields.last_name = Some(second.to_owned()),
            }
        }
        self.join_names(fields);
        if let Some(trade) = self.trade {
            match &mut fields.organization {
                Some(own) if own.eq_ignore_ascii_case(trade) => {}
                Some(own) => *own = format!("{own} {TRADE_NAME_MARK} {trade}"),
                None => fields.organization = Some(trade.to_owned()),
            }
        }
        self.join_people(fields);
    }

    /// The whole name gets the forms that have no field of their own: "Ann Lee née Roy", "Wei Wang / 王伟".
    fn join_names(&self, fields: &mut Fields) {
        let [whole, first, last] = self.other;
        let family_first = first.or(last).is_some_and(|part| writing_of(part).is_some_and(Writing::is_family_first));
        let parts = if family_first { [last, first] } else { [first, last] };
        let apart: Vec<&str> = parts.into_iter().flatten().collect();
        let other = whole.map(str::to_owned).or_else(|| (!apart.is_empty()).then(|| apart.join(" ")));
        let last_name = fields.last_name.as_deref();
        let maiden = self.maiden.filter(|maiden| last_name.is_none_or(|last| !last.eq_ignore_ascii_case(maiden)));
        if other.is_none() && maiden.is_none() {
            return;
        }
        let own = [&fields.first_name, &fields.middle_name, &fields.last_name];
        let own: Vec<&str> = own.into_iter().flatten().map(String::as_str).collect();
        let mut name = fields.name.clone().unwrap_or_else(|| own.join(" "));
        if let Some(maiden) = maiden {
            name = format!("{name} {BIRTH_NAME_MARK} {maiden}");
        }
        if let Some(other) = other {
            name = format!("{name} / {other}");
        }
        fields.name = Some(name.trim().to_owned());
    }

    /// The people of a business. A record that names a person itself has none.
    fn join_people(self, fields: &mut Fields) {
        let person = fields.name.is_some() || fields.first_name.is_some() || fields.last_name.is_some();
        if self.people.is_empty() || person || fields.attributes.is_some() {
            return;
        }
        let names = self.people.iter().map(|person| format!("{} {}", person.first, person.last).trim().to_owned());
        fields.attributes = Some(json!({ PEOPLE_ATTRIBUTE: names.collect::<Vec<_>>() }).to_string());
    }
}
