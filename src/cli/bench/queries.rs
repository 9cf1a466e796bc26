//! What is asked: the contacts of a file, or people who do not exist, made from the shipped name tables.

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

    /// The body of an upsert of this contact as a record of source `bench`.
    pub(super) fn upsert(&self, run: i64, number: u64) -> Bytes {
        let record = format!("\"source\":\"bench\",\"source_record_id\":\"{run}-{number}\",{}", self.fields);
        Bytes::from(format!("{{\"record\":{{{record}}}"))
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
            let upsert: Value = serde_json::from_slice(&query.upsert(5, 7)).unwrap();
            assert_eq!(upsert["record"]["source_record_id"], "5-7");
            assert_eq!(upsert["record"]["name"], asked["contact"]["name"]);
        }
    }

    #[test]
    fn a_slip_leaves_one_letter_out() {
        assert_eq!([slip("smith", 0), slip("smith", 6), slip("", 3)], ["mith", "sith", ""]);
    }
}
