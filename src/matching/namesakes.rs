//! How many people share a whole name that very many records have: one person with a thousand records, or hundreds of
//! namesakes? Their birthdays, phones and mails tell: where a few values go round, few people do.

use hashbrown::HashMap;

use crate::matching::token::hash;
use crate::model::normalized::Normalized;

/// Records that one person may well have: so many of a whole name say nothing of namesakes.
pub(super) const OWN_RECORDS: u32 = 8;

/// How often each value of a name occurs, by name and kind of value.
#[derive(Default)]
pub(super) struct Values {
    counts: HashMap<(u64, u8), HashMap<u32, u32>>,
}

impl Values {
    /// Counts the values of a record that has this whole name.
    pub(super) fn add(&mut self, name: u64, record: &Normalized) {
        let full = record.birthday.filter(|b| b.year.is_some() && b.month.is_some() && b.day.is_some());
        let birthday = full.map(|b| hash(&format!("{:?} {:?} {:?}", b.year, b.month, b.day)));
        let phone = record.phones.first().map(|phone| hash(&phone.e164));
        let mail = record.emails.first().map(|mail| hash(&mail.canonical));
        for (kind, value) in (0u8..).zip([birthday, phone, mail]) {
            if let Some(value) = value {
                *self.counts.entry((name, kind)).or_default().entry(value).or_default() += 1;
            }
        }
    }

    /// How many people the `records` of a name are, if some value that half of them have goes round among so few that each
    /// has more than [`OWN_RECORDS`]. Values are counted as the chance that two records share one has it, so that typing
    /// errors count little.
    pub(super) fn people(&self, name: u64, records: u32) -> Option<f64> {
        let of_kind = |kind| {
            let counts = self.counts.get(&(name, kind))?;
            let all: f64 = counts.values().map(|count| f64::from(*count)).sum();
            let same: f64 = counts.values().map(|count| f64::from(*count).powi(2)).sum();
            let people = all * all / same.max(1.0);
            (all * 2.0 >= f64::from(records) && people * f64::from(OWN_RECORDS) < all).then_some(people)
        };
        (0..3).filter_map(of_kind).min_by(f64::total_cmp)
    }
}
