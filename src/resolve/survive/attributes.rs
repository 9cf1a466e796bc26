//! `attributes`, key by key: an application's own JSON object, of which several records may each know a part.
//!
//! Objects are united key by key, to any depth, unless the tenant set a rule for exactly that key; then the object is
//! taken whole. Everything else is picked by the rule of its key. A rule that the values at hand do not fit (the largest
//! of two objects) leaves the choice to [`Rule::PreferNewIfNotNull`]. `null` says nothing; in an edit it takes the key away.
//! Put together, the keys of all records may be more than one record may hold: then the largest are left out, a
//! person's last, until the rest fits, and the contact names them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use serde_json::{Map, Number, Value};

use super::{MANUAL, Pick, Said, text_completeness};
use crate::formats::checks::ATTRIBUTES_BYTES_MAX;
use crate::formats::json::{lenient_time, sorted};
use crate::model::survivorship::Rule;
use crate::store::stored::Opened;

/// The field.
const FIELD: &str = "attributes";

/// A record and what it says under some key.
type Word<'a, 'v> = (&'a Opened, &'v Value);

impl<'a> Pick<'a> {
    pub(super) fn attributes(&mut self) {
        let read = |version: &&'a Opened| {
            let object = serde_json::from_str(version.put.record.fields.attributes.as_deref()?).ok()?;
            Some((*version, Value::Object(object)))
        };
        let mut sources: Vec<(&'a Opened, Value)> = self.ordered.iter().filter_map(read).collect();
        let edits: Vec<(&'a Opened, Value)> = self.edits.iter().filter_map(read).collect();
        if self.suppressed(FIELD, "") {
            sources.clear();
        }
        if let ([(only, _)], []) = (sources.as_slice(), edits.as_slice()) {
            self.golden.fields.attributes.clone_from(&only.put.record.fields.attributes);
            self.note(FIELD, only, self.rules.survivorship.rule_of_path("attributes.*").word());
            return;
        }
        let words: Vec<Word<'a, '_>> = sources.iter().map(|(version, value)| (*version, value)).collect();
        let mut whole = if words.is_empty() { Map::new() } else { self.united(FIELD, &words) };
        if let Some((newest, _)) = words.first() {
            self.note(FIELD, newest, Rule::Union.word());
        }
        // The newest edit comes last, so that it is the one that stays.
        for (edit, value) in edits.iter().rev() {
            if let Value::Object(set) = value {
                self.lay_over(FIELD, &mut whole, set, edit);
                self.note(FIELD, edit, MANUAL);
            }
        }
        let edited = edits.iter().filter_map(|(_, value)| value.as_object()).flat_map(Map::keys).cloned().collect();
        self.fit(&mut whole, &edited);
        if whole.is_empty() {
            self.golden.provenance.remove(FIELD);
        } else {
            self.golden.fields.attributes = Some(sorted(&Value::Object(whole)).to_string());
        }
    }

    /// The objects among `words`, newest first, as one.
    fn united(&mut self, path: &str, words: &[Word<'a, '_>]) -> Map<String, Value> {
        let mut under: BTreeMap<&String, Vec<Word<'a, '_>>> = BTreeMap::new();
        for (version, value) in words {
            for (key, value) in value.as_object().into_iter().flatten() {
                under.entry(key).or_default().push((version, value));
            }
        }
        let mut whole = Map::new();
        for (key, words) in under {
            if let Some(value) = self.picked(&format!("{path}.{key}"), &words) {
                whole.insert(key.clone(), value);
            }
        }
        whole
    }

    /// What is shown under a path, of what the records say there, newest first.
    fn picked(&mut self, path: &str, words: &[Word<'a, '_>]) -> Option<Value> {
        let said: Vec<Word<'a, '_>> = words.iter().filter(|(_, value)| !value.is_null()).copied().collect();
        let (newest, value) = said.first().or(words.first()).copied()?;
        let rule = fitting(self.rules.survivorship.rule_of_path(path), &said);
        if said.len() < 2 {
            self.note(path, newest, rule.word());
            return Some(value.clone());
        }
        if rule == Rule::Union && said.iter().all(|(_, value)| value.is_array()) {
            self.note(path, newest, rule.word());
            return Some(Value::Array(all_items(&said)));
        }
        let own = self.rules.survivorship.own_rule(path);
        let words = said.iter().map(|(from, value)| word(from, value)).collect::<Vec<_>>();
        let best = self.choose(rule, &words)?;
        let (from, value) = (best.from, best.value);
        if value.is_object() && own.is_none_or(|own| own == Rule::Union) {
            return Some(Value::Object(self.united(path, &said)));
        }
        self.note(path, from, rule.word());
        Some(value.clone())
    }

    /// Lays what a person set over what the sources say.
    fn lay_over(&mut self, path: &str, whole: &mut Map<String, Value>, set: &Map<String, Value>, edit: &Opened) {
        for (key, value) in set {
            let path = format!("{path}.{key}");
            if let (Value::Object(set), Some(Value::Object(held))) = (value, whole.get_mut(key)) {
                let mut inner = std::mem::take(held);
                self.lay_over(&path, &mut inner, set, edit);
                whole.insert(key.clone(), Value::Object(inner));
                continue;
            }
            self.forget(&path);
            if value.is_null() {
                whole.remove(key);
            } else {
                whole.insert(key.clone(), without_nulls(value));
                self.note(&path, edit, MANUAL);
            }
        }
    }

    /// Takes back where a path and all below it came from.
    fn forget(&mut self, path: &str) {
        self.golden.provenance.remove(path);
        // What is below begins with the path and a full stop, which a slash follows in the order of characters.
        let below = self.golden.provenance.range(format!("{path}.")..format!("{path}/"));
        let below: Vec<String> = below.map(|(at, _)| at.clone()).collect();
        for at in below {
            self.golden.provenance.remove(&at);
        }
    }

    /// Leaves keys out until the rest is no larger than one record's may be. `edited`: the keys that a person set.
    fn fit(&mut self, whole: &mut Map<String, Value>, edited: &BTreeSet<String>) {
        let size = |key: &str, value: &Value| Value::from(key).to_string().len() + value.to_string().len() + 2;
        let mut keys: Vec<(bool, Reverse<usize>, String)> =
            whole.iter().map(|(key, value)| (edited.contains(key), Reverse(size(key, value)), key.clone())).collect();
        let mut bytes: usize = keys.iter().map(|(_, Reverse(size), _)| size).sum::<usize>() + 1;
        keys.sort_unstable();
        for (_, Reverse(size), key) in keys {
            if bytes <= ATTRIBUTES_BYTES_MAX {
                break;
            }
            whole.remove(&key);
            bytes -= size;
            self.forget(&format!("{FIELD}.{key}"));
            self.golden.left_out.push(format!("{FIELD}.{key}"));
        }
        self.golden.left_out.sort_unstable();
    }
}

/// A rule if it can choose among these values, else the one that always can.
fn fitting(rule: Rule, said: &[Word<'_, '_>]) -> Rule {
    let all = |fits: fn(&Value) -> bool| said.iter().all(|(_, value)| fits(value));
    let fits = match rule {
        Rule::Max | Rule::Min => all(Value::is_number) || all(|value| time(value).is_some()),
        Rule::Union => all(Value::is_array) || all(Value::is_object),
        Rule::PreferNewIfNotNull
        | Rule::PreferExisting
        | Rule::MostComplete
        | Rule::MostRecent
        | Rule::TrustedSourceRank => true,
    };
    if fits { rule } else { Rule::PreferNewIfNotNull }
}

fn time(value: &Value) -> Option<i64> {
    lenient_time(value.as_str()?).map(|time| time.0)
}

fn word<'a, 'v>(from: &'a Opened, value: &'v Value) -> Said<'a, &'v Value> {
    let complete = match value {
        Value::String(text) => text_completeness(text),
        Value::Array(items) => [items.len(), 0, 0],
        Value::Object(keys) => [keys.len(), 0, 0],
        Value::Null | Value::Bool(_) | Value::Number(_) => [0; 3],
    };
    let size = value.as_number().and_then(number_order).or_else(|| time(value)).unwrap_or(0);
    Said { from, value, valid: true, complete, size }
}

/// A number as one of an order: a larger number has a larger one.
fn number_order(number: &Number) -> Option<i64> {
    let bits = number.as_f64()?.to_bits().cast_signed();
    Some(if bits < 0 { bits ^ i64::MAX } else { bits })
}

/// The items of all arrays, each once, as they came.
fn all_items(newest_first: &[Word<'_, '_>]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let all = newest_first.iter().rev().filter_map(|(_, value)| value.as_array()).flatten();
    all.filter(|item| seen.insert(item.to_string().to_lowercase())).cloned().collect()
}

/// A value without the keys that an edit only takes away.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let said = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    }
}

/// What an edit leaves of an earlier one: its keys over the earlier ones, `null` kept, as that takes a source's away.
///
/// Both are JSON objects as text, and so is the result, with its keys in order.
pub fn patch(earlier: Option<&str>, edit: &str) -> String {
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let mut whole = earlier.map(read).unwrap_or_default();
    over(&mut whole, read(edit));
    sorted(&Value::Object(whole)).to_string()
}

fn over(whole: &mut Map<String, Value>, edit: Map<String, Value>) {
    for (key, value) in edit {
        match (value, whole.get_mut(&key)) {
            (Value::Object(edit), Some(Value::Object(held))) => over(held, edit),
            (value, _) => drop(whole.insert(key, value)),
        }
    }
}
