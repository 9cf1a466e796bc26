//! Lists: united, or taken whole from one record; and which email and phone is the primary one.
//!
//! Emails and phones are listed in the order in which they came, the primary one first. Exactly one is primary when there
//! is any: the one that the latest record to flag any flags, else the earliest, so that a new value becomes a secondary
//! one unless its source says otherwise. One that could not be read is primary only where none could. What a person set
//! stands before all sources' values, and a flag of theirs before all sources' flags.

use super::{MANUAL, Pick, Said, address_text, id_text, social_text};
use crate::discovery::tagged::is_tagged;
use crate::model::normalized::{NormEmail, NormPhone};
use crate::model::record::{Email, Fields, Phone};
use crate::model::survivorship::Rule;
use crate::store::groups::slug;
use crate::store::stored::Opened;

/// The field whose values can be deleted for all contacts at once.
const GROUPS: &str = "groups";

/// A value of a list and who brought it.
struct Held<'a, T> {
    value: T,
    /// For telling equal ones.
    text: String,
    from: &'a Opened,
    rule: &'static str,
    valid: bool,
    /// Where it stands among those that a person set, or among those that sources brought.
    place: usize,
    /// Where in the order the latest record stands that calls it primary; later is greater.
    flag: Option<usize>,
}

/// What email addresses and phone numbers have in common.
trait Reachable: Clone {
    /// Takes over what an older record says of the same value: labels where there are none yet, and what is so if
    /// anybody says it.
    fn take_in(&mut self, older: &Self);

    fn primary(&mut self) -> &mut bool;

    /// The text that an edit takes it away by.
    fn text(&self) -> &str;
}

macro_rules! reachable {
    ($($name:ident),+) => { $(
        impl Reachable for $name {
            fn take_in(&mut self, older: &Self) {
                self.label = self.label.take().or_else(|| older.label.clone());
                self.confidence = self.confidence.or(older.confidence);
                self.verified |= older.verified;
                self.private |= older.private;
            }

            fn primary(&mut self) -> &mut bool {
                &mut self.primary
            }

            fn text(&self) -> &str {
                &self.value
            }
        }
    )+ };
}
reachable!(Email, Phone);

/// One value of a record as a contact shows it: itself, its text for telling equal ones, whether it could be read.
type Shown<T> = (T, String, bool);

impl<'a> Pick<'a> {
    pub(super) fn lists(&mut self) {
        self.golden.fields.emails = self.reachable("emails", emails);
        self.golden.fields.phones = self.reachable("phones", phones);
        self.golden.fields.addresses = self.unite("addresses", |fields| &fields.addresses, address_text, false);
        self.golden.fields.social = self.unite("social", |fields| &fields.social, social_text, false);
        self.golden.fields.urls = self.unite("urls", |fields| &fields.urls, Clone::clone, false);
        self.golden.fields.external_ids = self.unite("external_ids", |fields| &fields.external_ids, id_text, false);
        self.golden.fields.tags = self.unite("tags", |fields| &fields.tags, Clone::clone, true);
        self.golden.fields.groups = self.unite("groups", |fields| &fields.groups, |name| group_text(name), true);
    }

    /// The records that take part under the field's rule, newest first: all of them, or the one that wins. `get` says
    /// how many values a record has, and whether one of them could be read.
    fn taking_part(&self, rule: Rule, get: impl Fn(&Opened) -> (usize, bool)) -> Vec<&'a Opened> {
        if rule == Rule::Union {
            return self.ordered.clone();
        }
        let said = |version: &&'a Opened| {
            let (count, valid) = get(version);
            (count > 0).then_some(Said { from: version, value: (), valid, complete: [count, 0, 0], size: 0 })
        };
        let said: Vec<Said<'a, ()>> = self.ordered.iter().filter_map(said).collect();
        self.choose(rule, &said).map(|best| best.from).into_iter().collect()
    }

    fn reachable<T: Reachable>(&mut self, field: &str, shown: fn(&Opened) -> Vec<Shown<T>>) -> Vec<T> {
        let rule = self.rule(field);
        let of = |version: &Opened, manual: bool| -> Vec<Shown<T>> {
            let mut all = shown(version);
            all.retain(|(value, _, _)| manual || !self.suppressed(field, value.text()));
            all
        };
        let chosen = self.taking_part(rule, |version| {
            let all = of(version, false);
            (all.len(), all.iter().any(|(_, _, valid)| *valid))
        });
        let mut held: Vec<Held<'a, T>> = Vec::new();
        let edits = self.edits.iter().rev().map(|edit| (*edit, MANUAL));
        let everyone: Vec<(&'a Opened, &'static str)> =
            chosen.iter().rev().map(|version| (*version, rule.word())).chain(edits).collect();
        for (at, (version, rule)) in everyone.into_iter().enumerate() {
            take_in(&mut held, of(version, rule == MANUAL), version, rule, at);
        }
        held.sort_by_key(|one| (one.rule != MANUAL, !one.valid, one.place));
        one_primary(&mut held);
        self.note_all(field, held)
    }

    fn unite<T: Clone>(
        &mut self,
        field: &str,
        get: fn(&Fields) -> &Vec<T>,
        text: fn(&T) -> String,
        sorted: bool,
    ) -> Vec<T> {
        let (rule, this) = (self.rule(field), &*self);
        let of = |version: &'a Opened, manual: bool| {
            let all = get(&version.put.record.fields).iter().map(|value| (value, text(value).to_lowercase()));
            all.filter(move |(_, text)| !text.is_empty() && (manual || !this.suppressed(field, text)))
                .filter(move |(_, text)| field != GROUPS || !this.rules.is_gone(text))
        };
        let chosen = self.taking_part(rule, |version| {
            let values = get(&version.put.record.fields);
            let hidden = |text: &str| self.suppressed(field, text) || field == GROUPS && self.rules.is_gone(text);
            (values.iter().filter(|value| !hidden(&text(value).to_lowercase())).count(), true)
        });
        let everyone = self.edits.iter().map(|edit| (*edit, MANUAL));
        let mut held: Vec<Held<'a, T>> = Vec::new();
        for (from, rule) in everyone.chain(chosen.iter().map(|version| (*version, rule.word()))) {
            for (value, text) in of(from, rule == MANUAL) {
                if !held.iter().any(|known| known.text == text) {
                    let (value, place) = (value.clone(), held.len());
                    held.push(Held { value, text, from, rule, valid: true, place, flag: None });
                }
            }
        }
        if sorted {
            held.sort_by(|a, b| a.text.cmp(&b.text));
        }
        self.note_all(field, held)
    }

    /// Notes where each value came from, and for the field as a whole where the first did.
    fn note_all<T>(&mut self, field: &str, held: Vec<Held<'a, T>>) -> Vec<T> {
        for (at, one) in held.iter().enumerate() {
            if at == 0 {
                self.note(field, one.from, one.rule);
            }
            self.note(&format!("{field}[{at}]"), one.from, one.rule);
        }
        held.into_iter().map(|one| one.value).collect()
    }
}

/// What tells groups apart: the slug; the name itself where it has none.
fn group_text(name: &str) -> String {
    Some(slug(name)).filter(|slug| !slug.is_empty()).unwrap_or_else(|| name.to_owned())
}

/// Takes one record's values in; records come oldest first, so what is there already is older.
fn take_in<'a, T: Reachable>(
    held: &mut Vec<Held<'a, T>>,
    values: Vec<Shown<T>>,
    from: &'a Opened,
    rule: &'static str,
    at: usize,
) {
    let mut flagged = false;
    for (said, (mut value, text, valid)) in values.into_iter().enumerate() {
        // Of several that one record flags the first counts.
        let flag = (std::mem::take(value.primary()) && !std::mem::replace(&mut flagged, true)).then_some(at);
        match held.iter_mut().find(|known| known.text == text) {
            Some(known) => {
                value.take_in(&known.value);
                known.value = value;
                known.flag = flag.or(known.flag);
                if rule == MANUAL {
                    (known.from, known.rule, known.place) = (from, rule, said);
                }
            }
            None => {
                let place = if rule == MANUAL { said } else { held.len() };
                held.push(Held { value, text, from, rule, valid, place, flag });
            }
        }
    }
}

/// Flags one as primary and puts it first.
fn one_primary<T: Reachable>(held: &mut [Held<'_, T>]) {
    let any_valid = held.iter().any(|one| one.valid);
    let able = |one: &&Held<'_, T>| one.valid || !any_valid;
    let latest = held.iter().filter(able).filter_map(|one| one.flag).max();
    let first = match latest {
        Some(latest) => held.iter().position(|one| able(&one) && one.flag == Some(latest)),
        None => held.iter().position(|one| able(&one)),
    };
    let Some(first) = first else { return };
    if let Some(front) = held.get_mut(..=first) {
        front.rotate_right(1);
    }
    if let Some(primary) = held.first_mut() {
        *primary.value.primary() = true;
    }
}

fn emails(version: &Opened) -> Vec<Shown<Email>> {
    let said = &version.put.record.fields.emails;
    let spelled: Vec<String> = said.iter().map(|raw| raw.value.to_lowercase()).collect();
    let shown = |(at, norm): (usize, &NormEmail)| {
        let same = said.iter().zip(&spelled).filter(|(_, text)| spells_email(text, &norm.delivered));
        let value = merged(same.map(|(raw, _)| raw)).or_else(|| said.get(at).cloned()).unwrap_or_default();
        (Email { value: norm.delivered.clone(), ..value }, norm.delivered.clone(), norm.valid)
    };
    let read = version.put.normalized.emails.iter().filter(|email| !is_tagged(&email.delivered));
    read.enumerate().map(shown).collect()
}

/// Whether a text is an address, perhaps with a name or brackets around it, and not a longer address.
fn spells_email(text: &str, address: &str) -> bool {
    let outside = |c: char| !(c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-@".contains(c));
    text.split(outside).any(|word| word == address)
}

fn phones(version: &Opened) -> Vec<Shown<Phone>> {
    let said = &version.put.record.fields.phones;
    let spelled: Vec<String> = said.iter().map(|raw| dialled(&raw.value)).collect();
    let shown = |(at, norm): (usize, &NormPhone)| {
        let same = said.iter().zip(&spelled).filter(|(_, digits)| spells_phone(digits, &norm.e164));
        let value = merged(same.map(|(raw, _)| raw)).or_else(|| said.get(at).cloned()).unwrap_or_default();
        let text = norm.extension.as_ref().map_or_else(|| norm.e164.clone(), |more| format!("{};{more}", norm.e164));
        let value = Phone { value: norm.e164.clone(), extension: norm.extension.clone(), ..value };
        (value, text, norm.valid)
    };
    let read = version.put.normalized.phones.iter().filter(|phone| !is_tagged(&phone.e164));
    read.enumerate().map(shown).collect()
}

/// The digits that a text dials, without an extension behind a word and without a trunk prefix of zeros.
fn dialled(text: &str) -> String {
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).collect::<String>();
    let dials = text.split(char::is_alphabetic).map(digits).find(|digits| !digits.is_empty());
    dials.unwrap_or_default().trim_start_matches('0').to_owned()
}

/// Whether digits are a number as dialled from abroad or, from the area code on, from inside its country.
fn spells_phone(digits: &str, e164: &str) -> bool {
    /// Fewer digits do not tell numbers of two areas apart.
    const NATIONAL_MIN: usize = 8;
    let number = e164.trim_start_matches('+');
    digits.ends_with(number) && !number.is_empty() || digits.len() >= NATIONAL_MIN && number.ends_with(digits)
}

/// What one record says of one value, which it may spell in several ways.
fn merged<'r, T: Reachable + 'r>(spellings: impl Iterator<Item = &'r T>) -> Option<T> {
    spellings.cloned().reduce(|mut value, mut other| {
        let primary = *value.primary() || *other.primary();
        value.take_in(&other);
        *value.primary() = primary;
        value
    })
}
