//! What is asked: the contacts of a file, or people who do not exist, made from the shipped name tables; and those that a
//! tenant is filled with before.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::cli::fail::Failure;
use crate::cli::{files, out};
use crate::formats::{Format, ReadOptions, RecordInput};
use crate::host::{Random, SeededRandom};

/// Queries kept of a file at most; a longer run asks them again.
const QUERIES_MAX: usize = 100_000;
/// People made up where there is no file.
const MADE: usize = 2_000;
/// People of the load on a preloaded tenant; a longer one says the same again.
const MIX: u64 = 300_000;
/// Area codes of the phones of preloaded people.
const PHONE_AREAS: [&str; 12] = ["201", "212", "305", "312", "404", "415", "503", "602", "617", "713", "206", "720"];
/// Bytes looked at to tell a file's format.
const SNIFF_BYTES: usize = 4 << 10;
/// US given names with people per ten million.
const GIVEN: &str = include_str!("../../../data/given_frequencies.txt");
/// US family names with people per ten million.
const SURNAMES: &str = include_str!("../../../data/surname_frequencies.txt");

/// One contact, ready to be sent.
pub(super) struct Query {
    /// The body of a match.
    pub(super) asked: Bytes,
    /// The contact's fields as JSON, without the opening brace.
    fields: String,
}

impl Query {
    fn new(contact: &Value) -> Self {
        let text = contact.to_string();
        let asked = Bytes::from(format!("{{\"contact\":{text}}}"));
        Self { asked, fields: text.get(1..).unwrap_or("}").to_owned() }
    }

    /// This contact as a record of a source, as JSON.
    fn record(&self, source: &str, id: &str) -> String {
        format!("{{\"source\":\"{source}\",\"source_record_id\":\"{id}\",{}", self.fields)
    }
}

/// The body of an upsert of so many contacts, taken in turn from a place on, as records of source `bench`.
pub(super) fn upserts(queries: &[Query], run: i64, first: u64, count: u32) -> Bytes {
    let records = (first..first + u64::from(count)).filter_map(|number| {
        let at = usize::try_from(number).unwrap_or(0) % queries.len().max(1);
        Some(queries.get(at)?.record("bench", &format!("{run}-{number}")))
    });
    body(records.collect())
}

fn body(records: Vec<String>) -> Bytes {
    Bytes::from(format!("{{\"records\":[{}]}}", records.join(",")))
}

/// People who do not exist, by number, for a tenant of any size: no two have one phone or email, and names are as common
/// as US names are. Equal seeds, equal people.
pub(super) struct Population {
    seed: u64,
    given: Names,
    surnames: Names,
}

impl Population {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, given: Names::new(GIVEN), surnames: Names::new(SURNAMES) }
    }

    /// Some of them, as the body of an upsert.
    pub(super) fn preload(&self, numbers: std::ops::Range<u64>) -> Bytes {
        let one = |number: u64| self.says(number, None).record("preload", &number.to_string());
        body(numbers.map(one).collect())
    }

    /// A load on a tenant with the first `preloaded` of them: every other one of these says something again with slips
    /// and gaps, the others are new.
    pub(super) fn mix(&self, preloaded: u64) -> Vec<Query> {
        let mut dice = Dice(SeededRandom::new(self.seed ^ 0x5eed));
        let mut one = |at: u64| match at % 2 {
            0 => self.says(dice.below(preloaded), Some(&mut dice)),
            _ => self.says(preloaded + at, None),
        };
        (0..MIX).map(&mut one).collect()
    }

    /// What a source says of a person: everything, or with a slip or a gap.
    fn says(&self, number: u64, slips: Option<&mut Dice>) -> Query {
        let mut dice = Dice(SeededRandom::new(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number));
        let (first, last) = (self.given.pick(&mut dice), self.surnames.pick(&mut dice));
        let mut contact = Map::new();
        // Numbers that may be assigned: they are sent to a server under test, never dialled.
        let areas = PHONE_AREAS.len() as u64;
        let area = usize::try_from(number % areas).ok().and_then(|at| PHONE_AREAS.get(at));
        let line = number / areas;
        contact.insert(
            "phone".into(),
            format!("+1 {} {:07}", area.unwrap_or(&"212"), 2_000_000 + line % 8_000_000).into(),
        );
        contact.insert("email".into(), format!("{first}.{last}{number}@example.com").into());
        contact.insert("name".into(), format!("{} {}", capital(first), capital(last)).into());
        if let Some(slips) = slips {
            match slips.below(4) {
                0 => drop(contact.remove("phone")),
                1 => drop(contact.remove("email")),
                2 => drop(contact.insert(
                    "name".into(),
                    format!("{} {}", capital(first), capital(&slip(last, slips.below(100)))).into(),
                )),
                _ => drop(contact.insert(
                    "name".into(),
                    format!("{}. {}", capital(first.get(..1).unwrap_or(first)), capital(last)).into(),
                )),
            }
        }
        Query::new(&Value::Object(contact))
    }
}

/// Reads the contacts of a file. Lines that are no contact are left out and counted.
pub(super) fn read(path: &Path) -> Result<Vec<Query>, Failure> {
    let bytes = files::read(path)?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let format = Format::of_file(&name, bytes.get(..SNIFF_BYTES).unwrap_or(&bytes));
    let mut rows = crate::formats::open(format, Box::new(std::io::Cursor::new(bytes)), ReadOptions::default())?;
    let (mut queries, mut bad) = (Vec::new(), 0);
    while queries.len() < QUERIES_MAX
        && let Some(row) = rows.next_row()?
    {
        match row.record {
            Ok(record) => queries.push(Query::new(&json!(RecordInput::from_fields(&record.fields)))),
            Err(_) => bad += 1,
        }
    }
    if bad > 0 {
        out::note(&format!("{}: {} lines are no contact and are not asked", path.display(), out::count(bad)));
    }
    if queries.is_empty() {
        return Err(Failure::input(format!("{}: has no contact to ask for", path.display())));
    }
    Ok(queries)
}

/// People with US names, one in three with a slip in the family name; equal seeds, equal people.
pub(super) fn made(seed: u64) -> Vec<Query> {
    let mut dice = Dice(SeededRandom::new(seed));
    let (given, surnames) = (Names::new(GIVEN), Names::new(SURNAMES));
    let mut person = || {
        let (first, last) = (given.pick(&mut dice), surnames.pick(&mut dice));
        let mut contact = Map::new();
        contact.insert("email".into(), format!("{first}.{last}@example.com").into());
        if dice.below(2) == 0 {
            // 555-0100 to 555-0199 belong to nobody.
            let (area, line) = (201 + dice.below(700), dice.below(100));
            contact.insert("phone".into(), format!("+1 {area} 555 01{line:02}").into());
        }
        let last = if dice.below(3) == 0 { slip(last, dice.below(100)) } else { last.to_owned() };
        contact.insert("name".into(), format!("{} {}", capital(first), capital(&last)).into());
        Query::new(&Value::Object(contact))
    };
    (0..MADE).map(|_| person()).collect()
}

/// A name without one of its letters.
fn slip(name: &str, roll: u64) -> String {
    let letters = name.chars().count().max(1) as u64;
    (0..).zip(name.chars()).filter(|(at, _)| *at != roll % letters).map(|(_, letter)| letter).collect()
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Names by how common they are.
struct Names {
    /// Each with the people of it and of all before it.
    up_to: Vec<(u64, &'static str)>,
    total: u64,
}

impl Names {
    fn new(table: &'static str) -> Self {
        let mut total = 0;
        let mut line = |line: &'static str| {
            let (name, people) = line.split_once(' ')?;
            total += people.parse::<u64>().ok()?;
            Some((total, name))
        };
        let up_to = table.lines().filter(|line| !line.starts_with('#')).filter_map(&mut line).collect();
        Self { up_to, total }
    }

    fn pick(&self, dice: &mut Dice) -> &'static str {
        let roll = dice.below(self.total.max(1));
        let at = self.up_to.partition_point(|(people, _)| *people <= roll);
        self.up_to.get(at).map_or("smith", |(_, name)| name)
    }
}

struct Dice(SeededRandom);

impl Dice {
    /// A number below `end`. The modulo's bias is nothing to a load.
    fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_people_repeat_with_their_seed_and_are_what_the_api_takes() {
        let text = |seed| made(seed).iter().map(|query| String::from_utf8_lossy(&query.asked).into_owned()).collect();
        let (once, again, other): (Vec<String>, Vec<String>, Vec<String>) = (text(1), text(1), text(2));
        assert_eq!(once, again);
        assert_ne!(once, other);
        assert!(once.iter().any(|query| query.contains(" Smith")), "common names are common");
        for query in made(3) {
            let asked: Value = serde_json::from_slice(&query.asked).unwrap();
            let contact: RecordInput = serde_json::from_value(asked["contact"].clone()).unwrap();
            assert!(contact.into_checked("api").is_ok(), "{asked}");
            let queries = [query];
            let upsert: Value = serde_json::from_slice(&upserts(&queries, 5, 7, 2)).unwrap();
            assert_eq!(upsert["records"][1]["source_record_id"], "5-8");
            assert_eq!(upsert["records"][0]["name"], asked["contact"]["name"]);
        }
    }

    #[test]
    fn a_population_is_the_same_people_by_number() {
        let (one, other) = (Population::new(1), Population::new(2));
        let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap();
        let (whole, part) = (read(one.preload(0..50)), read(one.preload(20..30)));
        assert_eq!(whole["records"].as_array().unwrap()[20..30], part["records"].as_array().unwrap()[..]);
        assert_ne!(whole, read(other.preload(0..50)));
        for field in ["email", "phone"] {
            let values: std::collections::BTreeSet<String> =
                (0..50).map(|at| whole["records"][at][field].to_string()).collect();
            assert_eq!(values.len(), 50, "{field}");
        }
        for record in whole["records"].as_array().unwrap() {
            let record: RecordInput = serde_json::from_value(record.clone()).unwrap();
            assert!(record.into_checked("api").is_ok());
        }
    }

    #[test]
    fn a_slip_leaves_one_letter_out() {
        assert_eq!([slip("smith", 0), slip("smith", 6), slip("", 3)], ["mith", "sith", ""]);
    }
}
