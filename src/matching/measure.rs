//! Measures on labelled sets; run by hand, does nothing where no sets are named.
//!
//! `SELFSAME_SHARED=/path/to/shared SELFSAME_SETS=febrl3,fake_1000 cargo test --release --lib measure -- --nocapture`,
//! `SELFSAME_EXTRA=file.csv` for a generated file (columns of
//! the generator, with `entity_id`).
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::type_complexity,
    reason = "a measurement by hand: reads files, takes times, prints, and its sets are small"
)]

use super::evaluate::{b_cubed, candidate_recall, pairwise, pairwise_of_pairs};
use super::features::Features;
use super::model::Model;
use super::score::{Scored, Tiers, score};
use crate::index::key::emit;
use crate::model::key::{Key, KeyKind, Millibits, Tier};
use crate::model::normalized::Normalized;
use crate::model::record::{Address, Email, ExternalId, Fields, Phone};
use crate::normalize::{Normalizer, Rules};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

type Row = HashMap<String, String>;

fn shared() -> PathBuf {
    std::env::var_os("SELFSAME_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

fn rows(path: &std::path::Path) -> Option<Vec<Row>> {
    let text = std::fs::read(path).ok()?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let headers = reader.headers().ok()?.clone();
    let row =
        |r: csv::StringRecord| headers.iter().map(String::from).zip(r.iter().map(|v| v.trim().to_owned())).collect();
    Some(reader.records().map(|r| row(r.unwrap())).collect())
}

/// The columns of the sets as the fields of a record, by their names' meaning.
fn fields(row: &Row) -> Fields {
    let get = |names: &[&str]| {
        let value = |n: &&str| row.get(*n).filter(|v| !v.is_empty()).cloned();
        names.iter().find_map(value)
    };
    let street = ["street_number", "address_1", "address_2", "addr"];
    let street: Vec<String> = street.iter().filter_map(|n| get(&[n])).collect();
    let address = Address {
        street: (!street.is_empty()).then(|| street.join(" ")),
        city: get(&["city", "suburb", "birth_place"]),
        region: get(&["state"]),
        postal_code: get(&["postcode", "postcode_fake"]),
        country: get(&["country"]),
        label: None,
    };
    Fields {
        name: get(&["full_name"]),
        first_name: get(&["first_name", "given_name"]),
        last_name: get(&["last_name", "surname"]),
        emails: get(&["email"]).map(|value| Email { value, ..Email::default() }).into_iter().collect(),
        phones: get(&["phone"]).map(|value| Phone { value, ..Phone::default() }).into_iter().collect(),
        organization: get(&["company", "name"]),
        job_title: get(&["title", "occupation", "type"]),
        addresses: vec![address],
        birthday: get(&["dob", "date_of_birth"]),
        gender: get(&["gender"]),
        external_ids: get(&["soc_sec_id"]).map(|id| ExternalId { system: "soc_sec".into(), id }).into_iter().collect(),
        ..Fields::default()
    }
}

struct Population {
    tiers: HashMap<Key, Tier>,
}

impl Tiers for Population {
    fn tier(&self, key: Key) -> Tier {
        self.tiers.get(&key).copied().unwrap_or_default()
    }
    fn people(&self, _: Key) -> u32 {
        1
    }
}

struct Run {
    records: Vec<Normalized>,
    features: Vec<Features>,
    truth: Vec<u32>,
    model: Model,
}

fn run(name: &str, rows: &[Row], truth: Vec<u32>) {
    let start = Instant::now();
    let normalizer = Normalizer::new(Rules::default());
    let records: Vec<Normalized> = rows.iter().map(|row| normalizer.normalize(&fields(row)).0).collect();
    let base = std::env::var("SELFSAME_MODEL").ok().and_then(|p| std::fs::read_to_string(p).ok());
    let base = base.map_or_else(|| (*Model::default_model()).clone(), |text| Model::from_toml(&text).unwrap());
    let model = base.with_frequencies(&records).with_size_class(records.len());
    let features: Vec<Features> = records.iter().map(|r| Features::new(r, &model)).collect();
    let run = Run { records, features, truth, model };
    let mut postings: BTreeMap<(Key, KeyKind), Vec<u32>> = BTreeMap::new();
    let mut keys = 0;
    for (i, (record, features)) in run.records.iter().zip(&run.features).enumerate() {
        for key in emit(features, record, &run.model) {
            keys += 1;
            postings.entry(key).or_default().push(i as u32);
        }
    }
    let cap: usize = std::env::var("CAP").ok().and_then(|t| t.parse().ok()).unwrap_or(64);
    let mut tiers = HashMap::new();
    let mut pairs: HashSet<(u32, u32)> = HashSet::new();
    for ((key, kind), holders) in &postings {
        if kind.is_identifier() {
            let people: HashSet<u32> = holders.iter().map(|h| run.features[*h as usize].given_code).collect();
            let tier = match people.len() {
                0..=2 => Tier::Unique,
                3..=5 => Tier::Family,
                6..=30 => Tier::Crowded,
                _ => Tier::Generic,
            };
            tiers.insert(*key, tier);
        }
        if holders.len() <= cap {
            for (i, a) in holders.iter().enumerate() {
                pairs.extend(holders[i + 1..].iter().map(|b| (*a, *b)));
            }
        }
    }
    let tiers = Population { tiers };
    let t = Instant::now();
    let mut edges: Vec<(i32, u32, u32)> = Vec::new();
    for (a, b) in &pairs {
        let s = run.score(&tiers, *a, *b);
        if s.weight >= Millibits(0) && !s.veto {
            edges.push((s.weight.0, *a, *b));
        }
    }
    let ns = t.elapsed().as_nanos() / (pairs.len().max(1) as u128);
    edges.sort_by_key(|(w, a, b)| (std::cmp::Reverse(*w), *a, *b));
    let before = pairwise_of_pairs(edges.iter().map(|(_, a, b)| (*a, *b)), &run.truth);
    let tau: f64 = std::env::var("TAU").ok().and_then(|t| t.parse().ok()).unwrap_or(1.0);
    let parts = run.cluster(&tiers, &edges, (tau * 1000.0) as i64);
    let after = pairwise(&parts, &run.truth);
    let cubed = b_cubed(&parts, &run.truth);
    println!(
        "{name:16} n {:6} keys {:4.1} pairs {:8} cand {:.3} | pairs {:.3} {:.3} {:.3} | clusters {:.3} {:.3} F1 {:.3} | b3 {:.3} | {ns} ns/pair {:.1} s",
        run.records.len(),
        f64::from(keys) / run.records.len() as f64,
        pairs.len(),
        candidate_recall(pairs.iter().copied(), &run.truth),
        before.precision,
        before.recall,
        before.f1(),
        after.precision,
        after.recall,
        after.f1(),
        cubed.f1(),
        start.elapsed().as_secs_f64()
    );
    if std::env::var_os("DETAILS").is_some() {
        run.details(&tiers, &pairs, &parts);
    }
}

impl Run {
    fn score(&self, tiers: &Population, a: u32, b: u32) -> Scored {
        score(&self.model, tiers, &self.features[a as usize], &self.features[b as usize])
    }

    fn cluster(&self, tiers: &Population, edges: &[(i32, u32, u32)], tau: i64) -> Vec<u32> {
        let mut group: Vec<u32> = (0..self.records.len() as u32).collect();
        let mut members: Vec<Vec<u32>> = group.iter().map(|i| vec![*i]).collect();
        let mut memo: HashMap<(u32, u32), (i64, bool)> = HashMap::new();
        for (_, a, b) in edges {
            let (ga, gb) = (group[*a as usize], group[*b as usize]);
            if ga == gb {
                continue;
            }
            let mut sum = 0;
            let mut veto = false;
            for x in &members[ga as usize] {
                for y in &members[gb as usize] {
                    let (s, v) = *memo.entry((*x.min(y), *x.max(y))).or_insert_with(|| {
                        let s = self.score(tiers, *x, *y);
                        let w = i64::from(s.weight.0);
                        (if s.veto || (s.conflict && w < 0) { w.clamp(-8000, -4000) } else { w.clamp(0, 8000) }, s.veto)
                    });
                    sum += s;
                    veto |= v;
                }
            }
            let size = (members[ga as usize].len() * members[gb as usize].len()) as i64;
            if veto || sum < tau * size {
                continue;
            }
            let moved = std::mem::take(&mut members[gb as usize]);
            for m in &moved {
                group[*m as usize] = ga;
            }
            members[ga as usize].extend(moved);
        }
        group
    }

    fn details(&self, tiers: &Population, pairs: &HashSet<(u32, u32)>, parts: &[u32]) {
        let mut by: HashMap<u32, Vec<u32>> = HashMap::new();
        for (i, t) in self.truth.iter().enumerate() {
            by.entry(*t).or_default().push(i as u32);
        }
        let mut kinds: BTreeMap<(bool, String), (u32, Vec<(u32, u32)>)> = BTreeMap::new();
        let mut add = |miss: bool, a: u32, b: u32| {
            let e = self.explain(tiers, a, b);
            let label = format!(
                "{}{}",
                if miss && !pairs.contains(&(a.min(b), a.max(b))) { "NOCAND " } else { "" },
                e.match_key()
            );
            let entry = kinds.entry((miss, label)).or_default();
            entry.0 += 1;
            if entry.1.len() < 2 {
                entry.1.push((a, b));
            }
        };
        for group in by.values() {
            for (i, a) in group.iter().enumerate() {
                for b in &group[i + 1..] {
                    if parts[*a as usize] != parts[*b as usize] {
                        add(true, *a, *b);
                    }
                }
            }
        }
        for (a, b) in pairs {
            if parts[*a as usize] == parts[*b as usize] && self.truth[*a as usize] != self.truth[*b as usize] {
                add(false, *a, *b);
            }
        }
        let mut all: Vec<_> = kinds.into_iter().collect();
        all.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
        for ((miss, label), (n, samples)) in all.into_iter().take(24) {
            println!("{} {n:6} {label}", if miss { "MISSED" } else { "FALSE " });
            for (a, b) in samples {
                let e = self.explain(tiers, a, b);
                let parts: Vec<String> =
                    e.parts.iter().map(|p| format!("{}:{} {:.1}", p.comparison, p.level, p.weight.bits())).collect();
                println!("        {:.1} = {}", e.weight.bits(), parts.join(", "));
                println!(
                    "          {}\n          {}",
                    brief(&self.records[a as usize]),
                    brief(&self.records[b as usize])
                );
            }
        }
    }

    fn explain(&self, tiers: &Population, a: u32, b: u32) -> super::explain::Explanation {
        let (a, b) = (a as usize, b as usize);
        super::explain::explain(
            &self.model,
            tiers,
            &self.features[a],
            &self.features[b],
            &self.records[a],
            &self.records[b],
        )
    }
}

fn brief(r: &Normalized) -> String {
    format!(
        "{:?}/{:?} {} m={:?} p={:?} o={:?} t={:?} b={:?} a={:?}",
        r.name.first_tokens,
        r.name.last_tokens,
        r.name.own_script,
        r.emails.iter().map(|e| &e.canonical).collect::<Vec<_>>(),
        r.phones.iter().map(|e| &e.e164).collect::<Vec<_>>(),
        r.organization.as_ref().map(|o| o.tokens.join(" ")),
        r.job_title,
        r.birthday.map(|b| (b.year, b.month, b.day)),
        r.addresses
            .iter()
            .map(|a| format!(
                "{:?} {:?} {:?} {:?} {:?}",
                a.number,
                a.street.join(" "),
                a.city,
                a.postal_code,
                a.country
            ))
            .collect::<Vec<_>>()
    )
}

fn numbered(ids: impl Iterator<Item = String>) -> Vec<u32> {
    let mut numbers = HashMap::new();
    ids.map(|id| {
        let n = numbers.len() as u32;
        *numbers.entry(id).or_insert(n)
    })
    .collect()
}

#[test]
fn measure() {
    // Minutes of work and not a check: only when somebody asks for it.
    let Ok(wanted) = std::env::var("SELFSAME_SETS") else { return };
    for name in wanted.split(',') {
        let dir = shared().join("data").join(name);
        let (Some(rows), Some(truth)) = (rows(&dir.join("records.csv")), rows(&dir.join("truth.csv"))) else {
            continue;
        };
        let entity: HashMap<&String, &String> = truth.iter().map(|t| (&t["id"], &t["entity_id"])).collect();
        run(name, &rows, numbered(rows.iter().map(|r| entity[&r["id"]].clone())));
    }
    if let Some(rows) = std::env::var_os("SELFSAME_EXTRA").and_then(|p| rows(&PathBuf::from(p))) {
        run("extra", &rows, numbered(rows.iter().map(|r| r["entity_id"].clone())));
    }
}
