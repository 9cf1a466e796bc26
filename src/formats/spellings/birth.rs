//! Columns that hold a part of a date of birth, or an age.
//!
//! `birth_day`, `DOB_Y`, `mois_naissance` and `by` are taken apart into "of birth" and which part. What could mean
//! anything by itself (`day`, `by`) counts only beside the other parts: `columns.rs` settles that.

use crate::formats::columns::Role;

/// Words for birth, squeezed, longest first where one begins another.
const BIRTH: [&str; 19] = [
    "dateofbirth",
    "birthdate",
    "birth",
    "born",
    "dob",
    "geburts",
    "geburt",
    "geb",
    "naissance",
    "naiss",
    "nacimiento",
    "nascimento",
    "nascita",
    "nasc",
    "nac",
    "geboorte",
    "fodelse",
    "urodzenia",
    "рождения",
];
const DAY: [&str; 12] = ["day", "d", "dd", "dy", "tag", "jour", "dia", "giorno", "dag", "dzien", "день", "日"];
const MONTH: [&str; 15] = [
    "month",
    "m",
    "mm",
    "mon",
    "mth",
    "mo",
    "monat",
    "mois",
    "mes",
    "mese",
    "maand",
    "manad",
    "miesiac",
    "месяц",
    "月",
];
const YEAR: [&str; 18] = [
    "year", "y", "yy", "yyyy", "yr", "jahr", "jahrgang", "annee", "an", "ano", "anio", "anno", "jaar", "ar", "rok",
    "yob", "год", "年",
];

/// The part of a date of birth that a squeezed header names, if it says that it is of a birth.
pub(super) fn part(key: &str) -> Option<Role> {
    match key {
        "yob" | "yearborn" | "jahrgang" | "byear" | "byr" | "birthyear" | "出生年" => return Some(Role::BirthYear),
        "bmonth" | "bmon" | "bmo" | "mob" | "出生月" => return Some(Role::BirthMonth),
        "出生日" => return Some(Role::BirthDay),
        "age" | "alter" | "edad" | "eta" | "idade" | "leeftijd" | "ageyears" | "ageinyears" | "birthage"
        | "currentage" | "возраст" | "年齢" | "年龄" => return Some(Role::Age),
        _ => {}
    }
    BIRTH.iter().find_map(|birth| {
        let rest = key.strip_prefix(birth).or_else(|| key.strip_suffix(birth))?;
        let bare = ["of", "de", "di"].iter().find_map(|word| rest.strip_suffix(word)).filter(|rest| !rest.is_empty());
        any_part(rest).or_else(|| any_part(bare?))
    })
}

/// The part that a squeezed header may mean beside the other parts of a date.
pub(in crate::formats) fn loose_part(key: &str) -> Option<Role> {
    match key {
        "birthday" | "bday" | "geburtstag" | "bd" => Some(Role::BirthDay),
        "bm" => Some(Role::BirthMonth),
        "by" => Some(Role::BirthYear),
        _ => any_part(key),
    }
}

fn any_part(word: &str) -> Option<Role> {
    match word {
        _ if DAY.contains(&word) => Some(Role::BirthDay),
        _ if MONTH.contains(&word) => Some(Role::BirthMonth),
        _ if YEAR.contains(&word) => Some(Role::BirthYear),
        _ => None,
    }
}
