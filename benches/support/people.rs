//! Labelled people who do not exist: the same seed and count give the same records, in an order without meaning.
//!
//! A small brother of the shared generator, so that a benchmark and a test need no file: one to six records a person with
//! slips, initials, lost fields and changed phones; households behind one phone, offices behind one switchboard, role
//! mailboxes, namesakes as common as US names make them. Shares are those of ordinary address books, by guess.

#![allow(dead_code, reason = "each user takes its part")]

use selfsame::formats::InputRecord;
use selfsame::model::ids::Millis;
use selfsame::model::record::{Address, Email, Fields, Phone};

const GIVEN: &str = include_str!("../../data/given_frequencies.txt");
const SURNAMES: &str = include_str!("../../data/surname_frequencies.txt");
const CITIES: [&str; 12] = [
    "New York", "Chicago", "Houston", "Phoenix", "Boston", "Seattle", "Denver", "Austin", "Portland", "Miami",
    "Atlanta", "Dallas",
];
/// People of one employer, about.
const STAFF: u64 = 40;

/// A record and whose it is.
pub struct Labelled {
    pub entity: u32,
    pub record: InputRecord,
}

/// SplitMix64: enough chance for test data, and the same on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn hits(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// Names with the people of each and of all before it.
struct Names(Vec<(u64, &'static str)>);

impl Names {
    fn new(table: &'static str) -> Self {
        let mut total = 0;
        let rows = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        let sum = |(name, people): (&'static str, &str)| {
            total += people.parse::<u64>().unwrap();
            (total, name)
        };
        Self(rows.map(sum).collect())
    }

    fn pick(&self, dice: &mut Dice) -> String {
        let roll = dice.below(self.0.last().unwrap().0);
        let name = self.0[self.0.partition_point(|(people, _)| *people <= roll)].1;
        name[..1].to_uppercase() + &name[1..]
    }
}

#[derive(Clone)]
struct Person {
    entity: u32,
    given: String,
    surname: String,
    phone: String,
    email: String,
    employer: u64,
    city: &'static str,
}

/// So many records, shuffled.
pub fn people(count: usize, seed: u64) -> Vec<Labelled> {
    let mut dice = Dice::new(seed);
    let (given, surnames) = (Names::new(GIVEN), Names::new(SURNAMES));
    let mut all: Vec<Labelled> = Vec::with_capacity(count);
    let mut last: Option<Person> = None;
    for entity in 0.. {
        let mut person = person(entity, count as u64, &given, &surnames, &mut dice);
        if let Some(other) = last.take().filter(|_| dice.hits(20)) {
            (person.surname, person.phone, person.city) = (other.surname, other.phone, other.city); // one household
        }
        let rows = [1, 1, 1, 1, 2, 2, 2, 3, 4, 6][dice.below(10) as usize];
        for _ in 0..rows {
            if all.len() == count {
                dice.shuffle(&mut all);
                return all;
            }
            let record = said(&person, all.len(), &mut dice);
            all.push(Labelled { entity, record });
        }
        last = Some(person);
    }
    all
}

fn person(entity: u32, count: u64, given: &Names, surnames: &Names, dice: &mut Dice) -> Person {
    let (given, surname) = (given.pick(dice), surnames.pick(dice));
    let number = dice.below(100_000);
    Person {
        entity,
        email: format!("{given}.{surname}{number}@example.com").to_lowercase(),
        phone: phone(dice),
        employer: dice.below(count / STAFF + 1),
        city: CITIES[dice.below(12) as usize],
        given,
        surname,
    }
}

fn phone(dice: &mut Dice) -> String {
    const AREAS: [&str; 6] = ["212", "312", "415", "617", "713", "206"];
    format!("+1{}{}{:06}", AREAS[dice.below(6) as usize], 2 + dice.below(8), dice.below(1_000_000))
}

/// What one source says of a person.
fn said(person: &Person, number: usize, dice: &mut Dice) -> InputRecord {
    let Person { entity, mut given, mut surname, mut phone, email, employer, city } = person.clone();
    match dice.below(100) {
        0..10 => surname = slip(&surname, dice),
        10..16 => given = slip(&given, dice),
        16..22 => given.truncate(1),
        22..26 => surname.clear(),
        26..32 => phone = self::phone(dice),
        32..36 => std::mem::swap(&mut given, &mut surname),
        _ => {}
    }
    if dice.hits(12) {
        phone = format!("+1646555{:04}", employer % 10_000); // the office's switchboard
    }
    let email = if dice.hits(4) { format!("info@employer{employer}.com") } else { email };
    let mut fields = Fields {
        first_name: Some(given),
        last_name: Some(surname).filter(|name| !name.is_empty()),
        ..Fields::default()
    };
    if dice.hits(65) {
        fields.phones = vec![Phone { value: phone, ..Phone::default() }];
    }
    if fields.phones.is_empty() || dice.hits(45) {
        fields.emails = vec![Email { value: email, ..Email::default() }];
    }
    if dice.hits(50) {
        fields.organization = Some(format!("Employer {employer} Inc"));
    }
    if dice.hits(50) {
        fields.addresses = vec![Address { city: Some(city.into()), ..Address::default() }];
    }
    InputRecord {
        source: ["crm", "mail", "phone"][number % 3].into(),
        source_record_id: Some(format!("p{entity}-{number}")),
        source_updated_at: Some(Millis(1_700_000_000_000 + dice.below(1_000) as i64 * 1_000)),
        version: None,
        fields,
    }
}

/// A name without one of its letters.
fn slip(name: &str, dice: &mut Dice) -> String {
    let gone = dice.below(name.len() as u64) as usize;
    name.chars().enumerate().filter(|(at, _)| *at != gone).map(|(_, letter)| letter).collect()
}
