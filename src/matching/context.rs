//! Comparing what surrounds a person: employer, title, places, birthday, gender.

use crate::matching::features::{Place, Text, Unpacked};
use crate::matching::ledger::Ledger;
use crate::matching::model::Model;
use crate::matching::names::shared_words;
use crate::matching::similarity::{edits_at_most, is_alike, letters};
use crate::matching::weights::Words;
use crate::model::normalized::Birthday;

/// Share of the rarity of the shorter value's words that must be shared to be near.
const NEAR: f64 = 0.75;
/// Jaro-Winkler similarity of two values that count as near.
const ALIKE: f64 = 0.93;
/// Days between two birthdays that may be one, copied or calculated wrongly.
const NEAR_DAYS: i32 = 31;
/// The same, a year apart: somebody's age was taken down, not the day of birth.
const YEAR_DAYS: i32 = 372;

/// How two values made of words compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Same,
    Near,
    Other,
}

/// Compares everything here and books what it finds.
pub(crate) fn compare(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let business = a.is_business() && b.is_business();
    let work = organization(ledger, model, business, a, b);
    let title = title(ledger, model, a, b);
    if !business {
        ledger.piece(work.max(title), model.weights.dependence.piece);
    }
    places(ledger, model, a, b);
    birthday(ledger, model, a, b);
    gender(ledger, model, a, b);
}

fn likeness(a: &Text<'_>, b: &Text<'_>) -> Likeness {
    if a.joined == b.joined {
        return Likeness::Same;
    }
    let shared: f64 = shared_words(a.words, b.words).map(|w| f64::from(w.rarity)).sum();
    if shared > 0.0 && shared >= NEAR * a.words.rarity().min(b.words.rarity()) {
        return Likeness::Near;
    }
    let (x, y) = (a.joined, b.joined);
    let edits = match x.len().min(y.len()) {
        0..4 => return Likeness::Other,
        4..8 => 1,
        _ => 2,
    };
    match edits_at_most(x, y, edits) || is_alike((x, letters(x)), (y, letters(y)), ALIKE) {
        true => Likeness::Near,
        false => Likeness::Other,
    }
}

fn text_bits(w: &Words, a: &Text<'_>, b: &Text<'_>) -> (&'static str, f64) {
    match likeness(a, b) {
        Likeness::Same => ("exact", w.exact.of_share(a.share)),
        Likeness::Near => ("near", w.near.of_share(a.share.max(b.share))),
        Likeness::Other => ("other", w.differ.flat()),
    }
}

/// The employer, or the business itself: the larger of its name and its domain. Returns its bits.
fn organization(ledger: &mut Ledger, model: &Model, business: bool, a: &Unpacked<'_>, b: &Unpacked<'_>) -> f64 {
    let w = if business { &model.weights.business } else { &model.weights.organization };
    let name = names(w, a, b);
    let domain = domains(model, !ledger.mail_agrees, a, b).filter(|(_, bits)| *bits < 0.0 || !ledger.mail_agrees);
    let (comparison, level, bits) = match (name, domain) {
        (Some((level, bits)), Some((_, other))) if bits >= other || (business && bits < 0.0) => {
            ("organization", level, bits)
        }
        (_, Some((level, bits))) => ("domain", level, bits),
        (Some((level, bits)), None) => ("organization", level, bits),
        (None, None) => return 0.0,
    };
    ledger.book_shared(comparison, level, bits);
    if business {
        let clash = bits < 0.0;
        ledger.name_clash |= clash;
        ledger.conflict |= clash;
        ledger.business_key |= comparison == "domain" && bits > 0.0 && !clash;
        ledger.piece(bits, model.weights.dependence.piece);
    }
    bits
}

/// The best pair of an organisation's own name and the one it trades under.
fn names(w: &Words, a: &Unpacked<'_>, b: &Unpacked<'_>) -> Option<(&'static str, f64)> {
    let (x, y) = (a.organization()?, b.organization()?);
    let own = text_bits(w, &x, &y);
    let (trade_x, trade_y) = (a.trade_name(), b.trade_name());
    if trade_x.is_none() && trade_y.is_none() {
        return Some(own);
    }
    let left = [Some(x), trade_x].into_iter().flatten();
    let right = || [Some(y), trade_y].into_iter().flatten();
    let pairs = left.flat_map(|x| right().map(move |y| text_bits(w, &x, &y)));
    pairs.chain([own]).max_by(|x, y| x.1.total_cmp(&y.1))
}

/// Company domains; other ones say nothing beside mail addresses that agree or nearly do.
fn domains(model: &Model, other_counts: bool, a: &Unpacked<'_>, b: &Unpacked<'_>) -> Option<(&'static str, f64)> {
    let w = &model.weights.domain;
    if a.domains().next().is_none() || b.domains().next().is_none() {
        return None;
    }
    let shared = a.domains().filter(|(x, _)| b.domains().any(|(y, _)| *x == y));
    let rarest = shared.map(|(_, share)| share).reduce(f32::min);
    match rarest {
        Some(share) => Some(("exact", w.exact.of_share(share))),
        None => other_counts.then(|| ("other", w.differ.flat())),
    }
}

fn title(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) -> f64 {
    let (Some(x), Some(y)) = (&a.title(), &b.title()) else {
        return 0.0;
    };
    let w = &model.weights.title;
    let shares_word = shared_words(x.words, y.words).next().is_some();
    let (level, bits) = match likeness(x, y) {
        Likeness::Same => ("exact", w.exact.of_share(x.share)),
        Likeness::Near => ("near", w.near.flat()),
        Likeness::Other if shares_word => ("near", w.near.flat()),
        Likeness::Other => ("other", w.differ.flat()),
    };
    ledger.book_shared("job_title", level, bits);
    bits
}

/// What two addresses give, part by part.
#[derive(Clone, Copy, Debug, Default)]
struct PlaceBits {
    city: Option<(&'static str, f64)>,
    postcode: Option<(&'static str, f64)>,
    street: Option<(&'static str, f64)>,
    country: Option<(&'static str, f64)>,
}

impl PlaceBits {
    fn damped(&self) -> [Option<(&'static str, f64)>; 3] {
        [self.city, self.postcode, self.street]
    }

    fn total(&self) -> f64 {
        let all = self.damped().into_iter().chain([self.country]);
        all.flatten().map(|(_, bits)| bits).sum()
    }
}

/// The best pair of addresses; of city, postcode and street the smaller ones count less.
fn places(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let mut best: Option<PlaceBits> = None;
    for x in a.places() {
        for y in b.places() {
            let bits = place(model, &x, &y);
            if best.is_none_or(|best| bits.total() > best.total()) {
                best = Some(bits);
            }
        }
    }
    let Some(best) = best else {
        return;
    };
    let parts = [("city", best.city), ("postal_code", best.postcode), ("street", best.street)];
    let mut sum = 0.0;
    let mut largest = 0.0_f64;
    for (comparison, found) in parts {
        if let Some((level, bits)) = found {
            ledger.book_shared(comparison, level, bits);
            sum += bits.max(0.0);
            largest = largest.max(bits);
        }
    }
    let w = &model.weights.dependence;
    let correction = millibits((largest - sum) * (1.0 - w.place));
    ledger.correct("place", correction);
    ledger.household = ledger.household.saturating_add(correction);
    if let Some((level, bits)) = best.country {
        ledger.book("country", level, bits);
    }
    ledger.piece(largest, w.piece);
}

fn millibits(bits: f64) -> i32 {
    crate::model::key::Millibits::from_bits(bits).0
}

fn place(model: &Model, a: &Place<'_>, b: &Place<'_>) -> PlaceBits {
    let w = &model.weights;
    let both = |x: &Option<Text<'_>>, y: &Option<Text<'_>>, w: &Words| match (x, y) {
        (Some(x), Some(y)) => Some(text_bits(w, x, y)),
        _ => None,
    };
    let country = match (a.country, b.country) {
        (Some((x, share)), Some((y, _))) if x == y => {
            Some(("exact", w.country.exact.of_share(share) * w.dependence.country))
        }
        (Some(_), Some(_)) => Some(("other", w.country.differ.flat())),
        _ => None,
    };
    PlaceBits {
        city: both(&a.city, &b.city, &w.city),
        postcode: both(&a.postcode, &b.postcode, &w.postcode),
        street: street(model, a, b),
        country,
    }
}

fn street(model: &Model, a: &Place<'_>, b: &Place<'_>) -> Option<(&'static str, f64)> {
    if a.street.is_empty() || b.street.is_empty() {
        return None;
    }
    let w = &model.weights.street;
    let shared: f64 = shared_words(a.street, b.street).map(|w| f64::from(w.rarity)).sum();
    let part = shared / a.street.rarity().max(b.street.rarity()).max(1e-6);
    let number = a.number != 0 && a.number == b.number;
    let other_number = a.number != 0 && b.number != 0 && !number;
    let rate = w.words.flat();
    Some(match (part, number) {
        (0.5.., true) => ("exact", (shared * rate + w.number.flat()).min(w.exact.max)),
        (0.5.., false) if other_number => ("other number", (shared * rate * 0.5).min(w.exact.max / 2.0)),
        (0.5.., false) => ("street", (shared * rate).min(w.exact.max)),
        (_, true) if shared > 0.0 => ("part", (shared * rate * part + w.number.flat()).min(w.exact.max)),
        (_, true) => ("number", 0.0),
        (0.2.., false) => ("part", 0.0),
        (_, false) => ("other", w.differ.flat()),
    })
}

fn birthday(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let (Some(x), Some(y)) = (a.birthday(), b.birthday()) else {
        return;
    };
    let w = &model.weights.birthday;
    let as_said = (x, y);
    let (x, y) = if x == y { as_said } else { (without_placeholder(x), without_placeholder(y)) };
    let (level, bits, veto) = match (full(x), full(y)) {
        (Some(x), Some(y)) => full_birthdays(model, x, y),
        _ => match part_birthdays(x, y) {
            PartDays::DayMonth => ("day and month", w.day_month.flat(), false),
            PartDays::Year => ("year", w.year.flat().max(0.0), false),
            PartDays::YearApart => ("a year apart", w.year_apart.flat(), false),
            PartDays::YearDiffers => ("other year", w.year_differs.flat(), false),
            PartDays::Differ => ("other", w.differ.flat(), false),
            // A placeholder's year is a guess, too.
            PartDays::Generation => ("other", w.differ.flat(), as_said == (x, y)),
            PartDays::Unknown => return,
        },
    };
    ledger.birthday = ledger.book("birthday", level, bits).max(0);
    ledger.conflict |= level == "other" || level == "other year";
    ledger.veto |= veto && !ledger.id_agrees;
    ledger.piece(bits, model.weights.dependence.piece);
}

/// 1 January stands for a year whose day nobody knew, unless both records have the very date.
fn without_placeholder(day: Birthday) -> Birthday {
    match (day.year, day.month, day.day) {
        (Some(_), Some(1), Some(1)) => Birthday { month: None, day: None, ..day },
        _ => day,
    }
}

/// Years that an age or a guess may be off by.
const YEARS_NEAR: u16 = 3;

/// Years from which two people of one name may be parent and child.
const YEARS_GENERATION: u16 = 15;

type Day = (u16, u8, u8);

fn full(day: Birthday) -> Option<Day> {
    Some((day.year?, day.month?, day.day?))
}

/// Level, bits, and whether two full birthdays differ by more than a slip can explain.
fn full_birthdays(model: &Model, x: Day, y: Day) -> (&'static str, f64, bool) {
    let w = &model.weights.birthday;
    if x == y {
        let placeholder = (x.1, x.2) == (1, 1);
        return if placeholder { ("1 January", w.placeholder.flat(), false) } else { ("exact", w.exact.flat(), false) };
    }
    if x.0 == y.0 && (x.1, x.2) == (y.2, y.1) {
        return ("swapped", w.swapped.flat(), false);
    }
    let same = [x.0 == y.0, x.1 == y.1, x.2 == y.2];
    let near = [digits_near(x.0, y.0), digits_near(x.1.into(), y.1.into()), digits_near(x.2.into(), y.2.into())];
    let equal = same.iter().filter(|same| **same).count();
    match equal {
        2 if same.iter().zip(near).all(|(same, near)| *same || near) => ("typo", w.slip.flat(), false),
        2 => ("two parts", w.two_parts.flat(), false),
        _ if days_apart(x, y) <= NEAR_DAYS => ("near", w.near.flat(), false),
        0 if days_apart(x, y) <= YEAR_DAYS => ("a year apart", w.year_apart.flat(), false),
        1 if same[0] => ("year", w.year.flat(), false),
        _ if near.iter().all(|near| *near) => ("close", w.close.flat(), false),
        _ => {
            let veto = equal == 0 && !near.contains(&true);
            ("other", w.differ.flat(), veto)
        }
    }
}

/// Days between two birthdays; months count 31 days, so up to three too many.
fn days_apart(x: Day, y: Day) -> i32 {
    let day = |(year, month, day): Day| i32::from(year) * 372 + i32::from(month) * 31 + i32::from(day);
    (day(x) - day(y)).abs()
}

/// Whether two numbers differ in one digit or by two swapped neighbours.
fn digits_near(a: u16, b: u16) -> bool {
    let digits = |n: u16| [n / 1000, n / 100 % 10, n / 10 % 10, n % 10];
    let (x, y) = (digits(a), digits(b));
    let other = x.iter().zip(&y).filter(|(x, y)| x != y).count();
    let swapped = (0..3).any(|i| {
        let mut z = x;
        z.swap(i, i + 1);
        z == y
    });
    other <= 1 || swapped
}

/// How two birthdays compare of which one lacks a part.
enum PartDays {
    DayMonth,
    Year,
    /// Only years, one apart: an age that was taken down on either side of a birthday.
    YearApart,
    YearDiffers,
    Differ,
    /// Only years, so far apart that one may be the other's parent, and not by a slip.
    Generation,
    Unknown,
}

fn part_birthdays(x: Birthday, y: Birthday) -> PartDays {
    let years = x.year.zip(y.year);
    let days = x.month.zip(x.day).zip(y.month.zip(y.day));
    match (years, days) {
        (_, Some((a, b))) if a == b => PartDays::DayMonth,
        (_, Some(_)) => PartDays::Differ,
        (Some((a, b)), None) if a == b => PartDays::Year,
        (Some((a, b)), None) if a.abs_diff(b) == 1 => PartDays::YearApart,
        (Some((a, b)), None) if digits_near(a, b) || a.abs_diff(b) <= YEARS_NEAR => PartDays::YearDiffers,
        (Some((a, b)), None) if a.abs_diff(b) >= YEARS_GENERATION => PartDays::Generation,
        (Some(_), None) => PartDays::Differ,
        (None, None) => PartDays::Unknown,
    }
}

fn gender(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let w = &model.weights.gender;
    let (x, y) = (a.gender(), b.gender());
    match (x, y) {
        (Some('f' | 'm'), Some('f' | 'm')) if x == y => {
            ledger.book("gender", "same", w.exact.flat());
        }
        (Some('f'), Some('m')) | (Some('m'), Some('f')) => {
            ledger.book("gender", "other", w.differ.flat());
            ledger.conflict = true;
        }
        _ => {}
    }
}
