//! The parts of a name go together: they come from one record, and what it leaves out from the others.

use super::{MANUAL, Pick, Said};
use crate::model::normalized::Name;
use crate::model::record::Fields;
use crate::model::survivorship::Rule;
use crate::store::stored::Opened;

/// Reads one part of a name.
type PartOf = fn(&Name) -> Option<&String>;

/// The parts that another record may fill in.
const FILLED: [(&str, PartOf); 3] = [
    ("name_prefix", |name| name.prefix.as_ref()),
    ("middle_name", |name| name.middle.as_ref()),
    ("nickname", |name| name.nickname.as_ref()),
];

impl<'a> Pick<'a> {
    pub(super) fn name(&mut self) {
        self.sources_name();
        // The newest edit comes last, so that it is the one that stays.
        for edit in self.edits.clone().into_iter().rev() {
            self.edited_name(edit);
        }
    }

    fn sources_name(&mut self) {
        let rule = self.rule("name");
        let said: Vec<Said<'a, &'a Name>> = self.ordered.iter().filter_map(|version| whole(version)).collect();
        let Some(best) = self.choose(rule, &said) else { return };
        let (name, from) = (best.value, best.from);
        let mut parts = vec![
            ("first_name", name.first.clone().map(|text| (text, from))),
            ("last_name", name.last.clone().map(|text| (text, from))),
            ("name_suffix", self.suffix(rule, name, from)),
        ];
        for (field, get) in FILLED {
            parts.push((field, self.part(rule, get(name), from, get)));
        }
        for (field, value) in parts {
            let Some((text, from)) = value else { continue };
            if !self.suppressed(field, "") && !self.suppressed("name", "") {
                self.note(field, from, rule.word());
                *part_of(&mut self.golden.fields, field) = Some(text);
            }
        }
    }

    /// The chosen record's part, else the one that wins among the others'.
    fn part(
        &self,
        rule: Rule,
        own: Option<&String>,
        from: &'a Opened,
        get: impl Fn(&Name) -> Option<&String>,
    ) -> Option<(String, &'a Opened)> {
        if let Some(own) = own {
            return Some((own.clone(), from));
        }
        let said = |version: &&'a Opened| {
            let value = get(&version.put.normalized.name)?.clone();
            let complete = [value.len(), 0, 0];
            Some(Said { from: version, value, valid: true, complete, size: 0 })
        };
        let said: Vec<Said<'a, String>> = self.ordered.iter().filter_map(said).collect();
        self.choose(rule, &said).map(|best| (best.value.clone(), best.from))
    }

    /// The generation and the credentials.
    fn suffix(&self, rule: Rule, name: &Name, from: &'a Opened) -> Option<(String, &'a Opened)> {
        let others = || self.ordered.iter().find_map(|v| v.put.normalized.name.generation.map(|number| (number, *v)));
        let generation = name.generation.map(|number| (number, from)).or_else(others);
        let generation = generation.map(|(number, from)| {
            let text = match number {
                1 => "Sr.".to_owned(),
                2 => "Jr.".to_owned(),
                3 => "III".to_owned(),
                4 => "IV".to_owned(),
                more => format!("{more}th"),
            };
            (text, from)
        });
        let credentials = self.part(rule, name.suffix.as_ref(), from, |name| name.suffix.as_ref());
        match (generation, credentials) {
            (Some((generation, from)), Some((credentials, _))) => Some((format!("{generation}, {credentials}"), from)),
            (generation, credentials) => generation.or(credentials),
        }
    }

    /// Lays the parts that an edit gives over those of the sources. A whole name gives all of first, middle and last.
    fn edited_name(&mut self, edit: &'a Opened) {
        let name = &edit.put.normalized.name;
        let said = &edit.put.record.fields;
        let whole = said.name.is_some();
        let parts = [
            ("name_prefix", &name.prefix, said.name_prefix.is_some() || whole, false),
            ("first_name", &name.first, said.first_name.is_some() || whole, whole),
            ("middle_name", &name.middle, said.middle_name.is_some() || whole, whole),
            ("last_name", &name.last, said.last_name.is_some() || whole, whole),
            ("nickname", &name.nickname, said.nickname.is_some(), false),
            ("name_suffix", &said.name_suffix, said.name_suffix.is_some(), false),
        ];
        for (field, value, given, clears) in parts {
            if given && value.is_some() {
                self.note(field, edit, MANUAL);
                part_of(&mut self.golden.fields, field).clone_from(value);
            } else if clears {
                self.golden.provenance.remove(field);
                *part_of(&mut self.golden.fields, field) = None;
            }
        }
    }
}

/// A record's name, if it has one.
fn whole(version: &Opened) -> Option<Said<'_, &Name>> {
    let value = &version.put.normalized.name;
    let complete = completeness(value);
    (complete > [0; 3]).then_some(Said { from: version, value, valid: true, complete, size: 0 })
}

/// How complete a name is: whole parts, then all tokens, then length. Initials count for little.
fn completeness(name: &Name) -> [usize; 3] {
    let whole = |tokens: &[String]| tokens.iter().filter(|token| token.chars().count() > 1).count();
    let parts = usize::from(whole(&name.first_tokens) > 0) * 2
        + usize::from(whole(&name.last_tokens) > 0) * 2
        + usize::from(!name.first_tokens.is_empty())
        + usize::from(!name.last_tokens.is_empty());
    let parts = if parts == 0 { usize::from(!name.own_script.is_empty()) } else { parts };
    let tokens = whole(&name.first_tokens) + whole(&name.middle_tokens) + whole(&name.last_tokens);
    let length = name.first.as_ref().map_or(0, String::len) + name.last.as_ref().map_or(0, String::len);
    [parts, tokens, length]
}

fn part_of<'f>(fields: &'f mut Fields, field: &str) -> &'f mut Option<String> {
    match field {
        "name_prefix" => &mut fields.name_prefix,
        "first_name" => &mut fields.first_name,
        "middle_name" => &mut fields.middle_name,
        "last_name" => &mut fields.last_name,
        "name_suffix" => &mut fields.name_suffix,
        _ => &mut fields.nickname,
    }
}
