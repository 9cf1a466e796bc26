//! Blocks too large to compare each with each: the holders of one key in several orders, each compared with its neighbours.
//!
//! An entity with a thousand records fills every useful block beyond any bound, and still must come together. In an order
//! by other values its records stand side by side in runs, and the runs of several orders overlap. The orders depend on
//! the records' values and places alone.

use hashbrown::HashMap;
use rayon::prelude::*;

use super::{BatchRecord, place};
use crate::model::normalized::Normalized;

/// Records that stand side by side and are compared with one another...
const WINDOW: usize = 8;
/// ...and how far the next such window begins: each pair of neighbours shares one.
const STEP: usize = 4;

/// For each order, every record's place in it.
pub(super) type Orders = Vec<Vec<u32>>;

/// The orders of all records: by name, by birthday, by phone and mail, by street.
pub(super) fn orders(records: &[BatchRecord<'_>]) -> Orders {
    let signatures: [fn(&Normalized) -> String; 4] = [by_name, by_birthday, by_phone, by_street];
    let order = |signature: &fn(&Normalized) -> String| {
        let mut all: Vec<(String, u32)> =
            records.par_iter().enumerate().map(|(at, record)| (signature(record.normalized), place(at))).collect();
        all.par_sort_unstable();
        let mut rank = vec![0; records.len()];
        for (number, (_, at)) in all.into_iter().enumerate() {
            if let Some(rank) = rank.get_mut(at as usize) {
                *rank = place(number);
            }
        }
        rank
    };
    signatures.iter().map(order).collect()
}

fn by_name(record: &Normalized) -> String {
    format!("{} {} {}", record.name.last_tokens.concat(), record.name.first_tokens.concat(), by_birthday(record))
}

fn by_birthday(record: &Normalized) -> String {
    let birthday = record.birthday;
    let part = |part: Option<u8>| part.unwrap_or_default();
    let (month, day) = (part(birthday.and_then(|b| b.month)), part(birthday.and_then(|b| b.day)));
    let year = birthday.and_then(|b| b.year).unwrap_or_default();
    let post = record.addresses.first().and_then(|a| a.postal_code.as_deref()).unwrap_or_default();
    format!("{:02}{:02}{year:04} {post} {}", month, day, record.name.first_tokens.concat())
}

fn by_phone(record: &Normalized) -> String {
    let phone = record.phones.iter().map(|phone| phone.e164.as_str()).min().unwrap_or_default();
    let mail = record.emails.iter().map(|mail| mail.canonical.as_str()).min().unwrap_or_default();
    format!("{phone} {mail} {}", by_street(record))
}

fn by_street(record: &Normalized) -> String {
    let address = record.addresses.first();
    let street = address.map(|a| a.street.concat()).unwrap_or_default();
    let number = address.and_then(|a| a.number.as_deref()).unwrap_or_default();
    format!("{street} {number} {}", record.name.first_tokens.concat())
}

/// Shows each window of a block's holders: ascending records, side by side in one of the orders.
pub(super) fn windows(orders: &Orders, holders: &[u32], mut show: impl FnMut(&[u32])) {
    for rank in orders {
        let mut sorted = holders.to_vec();
        sorted.sort_unstable_by_key(|&record| rank.get(record as usize).copied());
        for from in (0..sorted.len().saturating_sub(STEP)).step_by(STEP) {
            let mut window: Vec<u32> = sorted.iter().skip(from).take(WINDOW).copied().collect();
            window.sort_unstable();
            show(&window);
        }
    }
}

/// How many people many records are in the main, by the codes of their given names (0: none): typing errors of one person
/// count little. The inverse of the chance that two of the records have one code, rounded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rounded ratio of counts, at least 1"
)]
pub(super) fn main_people(codes: impl Iterator<Item = u32>) -> u32 {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for code in codes.filter(|code| *code != 0) {
        *counts.entry(code).or_default() += 1;
    }
    let all: u64 = counts.values().sum();
    let same: u64 = counts.values().map(|count| count * count).sum();
    if same == 0 { 0 } else { ((all * all) as f64 / same as f64).round() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_neighbour_shares_a_window() {
        let orders = vec![(0..30).rev().collect()];
        let mut pairs = std::collections::BTreeSet::new();
        windows(&orders, &(0..30).collect::<Vec<_>>(), |window| {
            for (n, a) in window.iter().enumerate() {
                pairs.extend(window.iter().skip(n + 1).map(|b| (*a, *b)));
            }
        });
        for a in 0..29 {
            assert!((1..=4).all(|far| a + far > 29 || pairs.contains(&(a, a + far))), "{a}");
        }
        assert!(pairs.iter().all(|(a, b)| a < b && b - a < 8));
    }

    #[test]
    fn typing_errors_are_no_people() {
        let typos = (0..100).map(|n| if n < 80 { 7 } else { 100 + n });
        assert_eq!(main_people(typos), 2);
        assert_eq!(main_people(1..=200), 200);
        assert_eq!(main_people([0, 0].into_iter()), 0);
    }
}
