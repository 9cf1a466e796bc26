//! Comparing names: the best pair of readings, then middle names, generation and further words.

use crate::matching::features::{Unpacked, Word, WordList};
use crate::matching::ledger::Ledger;
use crate::matching::model::Model;
use crate::matching::readings::{How, Named, Part, Reading};
use crate::matching::similarity::{edits_at_most, has_more, is_alike, letters_allow, same_letters};
use crate::matching::token::{Shares, Token};
use crate::matching::weights::Level;

/// Jaro-Winkler similarity from which given names count as sounding alike.
const ALIKE: f64 = 0.91;

/// How one part of two names compares: a level, its bits, whether it contradicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    level: &'static str,
    bits: f64,
    clash: bool,
}

/// How two names compare under one pair of readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    given: Option<Outcome>,
    surname: Option<Outcome>,
    /// What both parts together are worth less, and why.
    joint: (&'static str, f64),
    cost: f64,
    how: How,
}

impl Comparison {
    fn total(&self) -> f64 {
        let bits = |o: Option<Outcome>| o.map_or(0.0, |o| o.bits);
        bits(self.given) + bits(self.surname) + self.joint.1 + self.cost
    }

    /// What given names that contradict each other weigh, with what it cost to read them so. `None`: they do not.
    pub fn given_clash(&self) -> Option<f64> {
        let cost = if self.how == How::AsGiven { 0.0 } else { self.cost };
        self.given.filter(|given| given.clash).map(|given| given.bits + cost)
    }

    fn clashes(&self) -> bool {
        self.given.is_some_and(|o| o.clash) || self.surname.is_some_and(|o| o.clash)
    }

    /// An order in which the same comparison wins whichever record comes first.
    fn rank(&self) -> (f64, f64) {
        (self.total(), self.given.map_or(0.0, |o| o.bits))
    }
}

/// Books what [`best`] found of two names, and compares the rest of them.
pub(crate) fn compare(
    ledger: &mut Ledger,
    model: &Model,
    a: &Unpacked<'_>,
    b: &Unpacked<'_>,
    best: Option<&Comparison>,
) {
    if let Some(best) = best {
        book(ledger, model, best);
        middle(ledger, model, a, b);
    }
    words(ledger, model, a, b);
    generation(ledger, model, a, b);
}

/// The best pair of readings. One other than the first pair may not leave a contradiction, and
/// swapping both names is no reading, nor are two middle names: brothers may share theirs.
pub(crate) fn best(model: &Model, a: &Named<'_>, b: &Named<'_>) -> Option<Comparison> {
    let (first_a, first_b) = (a.readings.first()?, b.readings.first()?);
    let mut best = under(model, a, first_a, b, first_b);
    let full = |o: Option<Outcome>| o.is_some_and(|o| !o.clash);
    if full(best.given) && full(best.surname) {
        return Some(best);
    }
    // Of the names as they were given: what is the best so far depends on the order of the readings.
    let contradicts = best.clashes();
    for (i, reading_a) in a.readings.iter().enumerate() {
        for (j, reading_b) in b.readings.iter().enumerate() {
            let both_swapped = reading_a.how == How::Swapped && reading_b.how == How::Swapped;
            let both_middle = reading_a.how == How::Middle && reading_b.how == How::Middle;
            if (i, j) == (0, 0) || both_swapped || both_middle {
                continue;
            }
            let Some(other) = without_clash(model, a, reading_a, b, reading_b) else { continue };
            // A lone name read as a given name here and as a family name there escapes a contradiction by comparing nothing.
            if contradicts && other.given.is_none() && other.surname.is_none() {
                continue;
            }
            if other.rank() > best.rank() {
                best = other;
            }
        }
    }
    Some(best)
}

fn under(model: &Model, a: &Named<'_>, x: &Reading, b: &Named<'_>, y: &Reading) -> Comparison {
    let given = given(model, (&a.tokens, x.given), (&b.tokens, y.given));
    let surname = surname(model, (&a.tokens, x.surname), (&b.tokens, y.surname));
    together(model, (a, x), (b, y), (given, surname))
}

/// The same; nothing where a part contradicts, which is most often known from one part.
fn without_clash(model: &Model, a: &Named<'_>, x: &Reading, b: &Named<'_>, y: &Reading) -> Option<Comparison> {
    let given = agreeing_given(model, (&a.tokens, x.given), (&b.tokens, y.given))?;
    let surname = agreeing_surname(model, (&a.tokens, x.surname), (&b.tokens, y.surname))?;
    Some(together(model, (a, x), (b, y), (given, surname)))
}

fn together(
    model: &Model,
    (a, x): (&Named<'_>, &Reading),
    (b, y): (&Named<'_>, &Reading),
    (given, surname): (Option<Outcome>, Option<Outcome>),
) -> Comparison {
    let agrees = |o: Option<Outcome>| o.is_some_and(|o| !o.clash && o.bits > 0.0);
    let joint = match agrees(given) && agrees(surname) {
        true => {
            let (together, counted) = (joint(a, x).max(joint(b, y)), namesakes(model, x, y, given, surname));
            if counted < together { ("namesakes", counted) } else { ("joint", together) }
        }
        false => ("joint", 0.0),
    };
    let how = if x.how == How::AsGiven { y.how } else { x.how };
    Comparison { given, surname, joint, cost: f64::from(x.cost) + f64::from(y.cost), how }
}

/// What agreement in both parts is worth less because these names tend to go together.
fn joint(record: &Named<'_>, reading: &Reading) -> f64 {
    let given = reading.given.joined(&record.tokens).map_or(0.0, |t| t.common.given_joint);
    let surname = reading.surname.joined(&record.tokens).map_or(0.0, |t| t.common.surname_joint);
    f64::from(given.max(surname))
}

/// What two equal whole names are worth less because other people have the name, counted and not multiplied from its
/// parts: where the parts go together, or few names serve many people, the product is far too rare.
fn namesakes(model: &Model, x: &Reading, y: &Reading, given: Option<Outcome>, surname: Option<Outcome>) -> f64 {
    let share = x.namesakes.min(y.namesakes);
    let (Some(given), Some(surname)) = (given, surname) else { return 0.0 };
    if share <= 0.0 || given.level != "exact" || surname.level != "exact" {
        return 0.0;
    }
    let w = &model.weights;
    let most = (w.given.exact.m * w.surname.exact.m / f64::from(share)).log2();
    (most - given.bits - surname.bits).min(0.0)
}

type Side<'t> = (&'t [Token<'t>], Part);

/// The token of a name that has one only.
fn only_token<'t>(side: Side<'t>) -> Option<&'t Token<'t>> {
    side.1.joined(side.0).filter(|_| side.1.token(side.0, 1).is_none())
}

/// What [`given`] finds unless that is a contradiction, in which case nobody asks for its bits.
fn agreeing_given(model: &Model, a: Side<'_>, b: Side<'_>) -> Option<Option<Outcome>> {
    match (only_token(a), only_token(b)) {
        (Some(x), Some(y)) => agreeing_tokens(model, x, y).map(Some),
        _ => Some(given(model, a, b)).filter(|found| found.is_none_or(|found| !found.clash)),
    }
}

fn given(model: &Model, a: Side<'_>, b: Side<'_>) -> Option<Outcome> {
    let (whole_a, whole_b) = (a.1.joined(a.0)?, b.1.joined(b.0)?);
    if whole_a.hash == whole_b.hash {
        return Some(given_tokens(model, whole_a, whole_b));
    }
    let (first_a, first_b) = (a.1.token(a.0, 0)?, b.1.token(b.0, 0)?);
    let first = given_tokens(model, first_a, first_b);
    if first.clash && typo(whole_a, whole_b) {
        return Some(given_tokens(model, whole_a, whole_b));
    }
    match (a.1.token(a.0, 1), b.1.token(b.0, 1)) {
        (None, None) => Some(first),
        (Some(second_a), Some(second_b)) => {
            let second = given_tokens(model, second_a, second_b);
            Some(if second.bits < first.bits { second } else { first })
        }
        (Some(_), None) | (None, Some(_)) if !first.clash => Some(first),
        (Some(_), None) | (None, Some(_)) => {
            let whole = given_tokens(model, whole_a, whole_b);
            let part =
                a.1.tokens(a.0).any(|t| t.hash == whole_b.hash) || b.1.tokens(b.0).any(|t| t.hash == whole_a.hash);
            Some(match (whole.clash, part) {
                (false, _) => whole,
                (true, true) => near(
                    "part",
                    &model.weights.given.nickname,
                    &model.frequencies.given,
                    first_a.common.given,
                    first_b.common.given,
                ),
                (true, false) => first,
            })
        }
    }
}

fn outcome(level: &'static str, weight: &Level, share: f32) -> Outcome {
    Outcome { level, bits: weight.of_share(share), clash: false }
}

/// Two values of these shares that nearly agree.
fn near(level: &'static str, weight: &Level, shares: &Shares, a: f32, b: f32) -> Outcome {
    Outcome { level, bits: weight.of_near(shares.others(a, b), a.max(b)), clash: false }
}

fn clash(weight: &Level) -> Outcome {
    Outcome { level: "other", bits: weight.flat(), clash: true }
}

fn given_tokens(model: &Model, a: &Token<'_>, b: &Token<'_>) -> Outcome {
    agreeing_tokens(model, a, b).unwrap_or_else(|| clash(&model.weights.given.clash))
}

/// How two given names agree, if they do.
fn agreeing_tokens(model: &Model, a: &Token<'_>, b: &Token<'_>) -> Option<Outcome> {
    let w = &model.weights.given;
    if a.is_initial() || b.is_initial() {
        let letter = if a.is_initial() { a } else { b };
        return (a.first() == b.first()).then(|| outcome("initial", &w.initial, letter.common.given));
    }
    if a.hash == b.hash {
        return Some(outcome("exact", &w.exact, a.common.given));
    }
    let near = |level, weight| Some(near(level, weight, &model.frequencies.given, a.common.given, b.common.given));
    let alike = || is_alike((a.bytes(), a.letters), (b.bytes(), b.letters), ALIKE);
    if begins(a, b) || model.nicknames.related(a.hash, b.hash) {
        near("nickname", &w.nickname)
    } else if typo(a, b) {
        near("typo", &w.edit)
    } else if !model.without.sounds && (sounds(a, b) || alike()) {
        near("sound", &w.sound)
    } else if have_same_letters(a, b) {
        near("letters", &w.sound)
    } else {
        None
    }
}

/// Whether one is a beginning, of three letters or more, of the other.
fn begins(a: &Token<'_>, b: &Token<'_>) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.len() >= 3 && long.bytes().starts_with(short.bytes())
}

fn typo(a: &Token<'_>, b: &Token<'_>) -> bool {
    let shorter = a.len().min(b.len());
    let edits = match shorter {
        0..3 => return false,
        3..7 => 1,
        _ => 2,
    };
    letters_allow(a.len(), b.len(), a.letters ^ b.letters, edits) && edits_at_most(a.bytes(), b.bytes(), edits)
}

fn have_same_letters(a: &Token<'_>, b: &Token<'_>) -> bool {
    !has_more(a.letters ^ b.letters, 2) && same_letters(a.bytes(), b.bytes())
}

fn sounds(a: &Token<'_>, b: &Token<'_>) -> bool {
    a.skeleton == b.skeleton && a.len().min(b.len()) >= 3
}

fn surname(model: &Model, a: Side<'_>, b: Side<'_>) -> Option<Outcome> {
    agreeing_surname(model, a, b).unwrap_or_else(|| Some(clash(&model.weights.surname.clash)))
}

/// How two family names agree, if they do; `Some(None)`: one has none.
fn agreeing_surname(model: &Model, a: Side<'_>, b: Side<'_>) -> Option<Option<Outcome>> {
    let w = &model.weights.surname;
    let (Some(whole_a), Some(whole_b)) = (a.1.joined(a.0), b.1.joined(b.0)) else { return Some(None) };
    if whole_a.is_initial() || whole_b.is_initial() {
        return (whole_a.first() == whole_b.first()).then(|| Some(outcome("initial", &w.initial, 0.0)));
    }
    if whole_a.hash == whole_b.hash {
        return Some(Some(outcome("exact", &w.exact, whole_a.common.surname)));
    }
    // Two names of one token each have no parts beside the whole.
    let several = a.1.token(a.0, 1).is_some() || b.1.token(b.0, 1).is_some();
    let parts = || a.1.tokens(a.0).filter(|_| several).flat_map(|x| b.1.tokens(b.0).map(move |y| (x, y)));
    if let Some((part, _)) =
        parts().filter(|(x, y)| x.hash == y.hash).min_by(|x, y| x.0.common.surname.total_cmp(&y.0.common.surname))
    {
        return Some(Some(outcome("part", &w.part, part.common.surname)));
    }
    let near =
        |level, weight| near(level, weight, &model.frequencies.surname, whole_a.common.surname, whole_b.common.surname);
    if typo(whole_a, whole_b) {
        Some(Some(near("typo", &w.edit)))
    } else if !model.without.sounds && (sounds(whole_a, whole_b) || parts().any(|(x, y)| sounds(x, y))) {
        Some(Some(near("sound", &w.sound)))
    } else if have_same_letters(whole_a, whole_b) {
        Some(Some(near("letters", &w.sound)))
    } else {
        parts().any(|(x, y)| typo(x, y)).then(|| Some(near("part typo", &w.sound)))
    }
}

fn book(ledger: &mut Ledger, model: &Model, best: &Comparison) {
    let mut bits = 0.0;
    if let Some(given) = best.given {
        ledger.book("given_name", given.level, given.bits);
        ledger.name_clash = given.clash;
        ledger.given_agrees = !given.clash;
        bits += given.bits.max(0.0);
    }
    if let Some(surname) = best.surname {
        ledger.book_shared("surname", surname.level, surname.bits);
        ledger.surname_clash = surname.clash;
        // Where only family names are known they tell people apart as given names do.
        ledger.name_clash |= surname.clash && best.given.is_none();
        bits += surname.bits.max(0.0);
    }
    ledger.conflict |= best.clashes();
    if best.joint.1 < 0.0 {
        ledger.book("names_together", best.joint.0, best.joint.1);
    }
    if best.how != How::AsGiven {
        ledger.book("name_reading", reading_level(best.how), best.cost);
    }
    if !ledger.name_clash {
        ledger.piece(bits, model.weights.dependence.piece);
    }
}

fn reading_level(how: How) -> &'static str {
    match how {
        How::AsGiven => "as given",
        How::Split => "split",
        How::LoneGiven | How::LoneSurname => "lone name",
        How::Mail | How::MailInitial => "from mail",
        How::Swapped => "swapped",
        How::Nickname => "nickname",
        How::Middle => "middle name",
        How::OtherScript => "other script",
        How::Born => "birth name",
    }
}

fn middle(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let (Some(x), Some(y)) = (middle_of(a), middle_of(b)) else {
        return;
    };
    let w = &model.weights.name_rest;
    let initial = x.is_initial() || y.is_initial();
    let agrees = if initial { x.first() == y.first() } else { !given_tokens(model, &x, &y).clash };
    match agrees {
        true => ledger.book("middle_name", if initial { "initial" } else { "same" }, w.middle.flat()),
        false => ledger.book("middle_name", "other", w.middle_clash.flat()),
    };
}

/// The middle name.
fn middle_of<'a>(record: &Unpacked<'a>) -> Option<Token<'a>> {
    record.middle().filter(|token| !token.is_empty())
}

fn generation(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    let w = &model.weights.name_rest;
    match (a.generation, b.generation) {
        (0, 0) => {}
        (0, _) | (_, 0) => {
            ledger.book("generation", "one-sided", w.generation_one_sided.flat());
        }
        (x, y) if x == y => {
            ledger.book("generation", "same", w.generation.flat());
        }
        _ => {
            ledger.book("generation", "other", w.generation_clash.flat());
            ledger.conflict = true;
            ledger.veto = true;
        }
    }
}

/// Further words that both names have.
fn words(ledger: &mut Ledger, model: &Model, a: &Unpacked<'_>, b: &Unpacked<'_>) {
    if a.words.is_empty() || b.words.is_empty() {
        return;
    }
    let w = &model.weights.dependence;
    let shared: f64 = shared_words(a.words, b.words).map(|word| f64::from(word.rarity)).sum();
    if shared > 0.0 {
        let bits = (shared * w.words).min(w.words_max);
        ledger.book("name_words", "shared", bits);
        ledger.piece(bits, 2.0 * w.piece);
    }
}

/// The words that two sorted lists share.
pub(crate) fn shared_words(a: WordList<'_>, b: WordList<'_>) -> impl Iterator<Item = Word> {
    let mut rest = b.iter();
    let mut first = rest.next();
    a.iter().filter(move |word| {
        while first.is_some_and(|other| other.hash < word.hash) {
            first = rest.next();
        }
        first.is_some_and(|other| other.hash == word.hash)
    })
}
