//! A header read word by word, where it is not known as a whole: `patient_first_name`, `res_city_desc`, `director_1`,
//! `name_zh`, `fname_c2`.
//!
//! Words in front that say whose the value is, words behind that say how it is coded, and words for a script are taken
//! off until what is left is known. Ids and labels are never found so: `patient id` is not the row's id.

use super::{Found, by_key, key};
use crate::formats::columns::Role;

/// Words in front that say whose the value is.
const OWNERS: [&str; 45] = [
    "patient",
    "pat",
    "pt",
    "customer",
    "cust",
    "client",
    "person",
    "pers",
    "people",
    "voter",
    "member",
    "applicant",
    "employee",
    "emp",
    "student",
    "user",
    "individual",
    "subject",
    "resident",
    "citizen",
    "donor",
    "candidate",
    "party",
    "insured",
    "subscriber",
    "guest",
    "account",
    "acct",
    "contact",
    "primary",
    "main",
    "current",
    "respondent",
    "participant",
    "beneficiary",
    "tenant",
    "registrant",
    "full",
    "legal",
    "provider",
    "physician",
    "res",
    "holder",
    "your",
    "orig",
];

/// Words behind that say how the value is coded.
const CODED: [&str; 22] = [
    "cd",
    "code",
    "desc",
    "descr",
    "description",
    "lbl",
    "txt",
    "text",
    "value",
    "val",
    "field",
    "fld",
    "c1",
    "1",
    "abbrv",
    "abbr",
    "no",
    "number",
    "col",
    "column",
    "string",
    "complete",
];

/// Words for a language or script, which the values show by themselves.
const SCRIPTS: [&str; 57] = [
    "en",
    "eng",
    "english",
    "latin",
    "latn",
    "roman",
    "romanized",
    "romanised",
    "romaji",
    "romanji",
    "transliterated",
    "transliteration",
    "translit",
    "pinyin",
    "western",
    "native",
    "local",
    "vernacular",
    "nativescript",
    "script",
    "zh",
    "cn",
    "chinese",
    "hanzi",
    "mandarin",
    "ja",
    "jp",
    "jpn",
    "japanese",
    "kanji",
    "kana",
    "katakana",
    "hiragana",
    "furigana",
    "yomi",
    "ko",
    "kr",
    "kor",
    "korean",
    "hangul",
    "hanja",
    "ru",
    "rus",
    "russian",
    "cyrillic",
    "ar",
    "ara",
    "arabic",
    "fa",
    "farsi",
    "he",
    "heb",
    "hebrew",
    "hi",
    "hindi",
    "greek",
    "el",
];

/// Headers of a script alone that mean the name in it.
const NAMES: [&str; 14] = [
    "romaji",
    "pinyin",
    "kanji",
    "kana",
    "katakana",
    "hiragana",
    "furigana",
    "hangul",
    "hanzi",
    "hanja",
    "漢字",
    "カナ",
    "フリガナ",
    "ふりがな",
];

/// Offices that people have in a business.
const OFFICES: [&str; 48] = [
    "director",
    "directors",
    "officer",
    "officers",
    "ceo",
    "cfo",
    "coo",
    "president",
    "owner",
    "owners",
    "principal",
    "principals",
    "partner",
    "partners",
    "secretary",
    "agent",
    "manager",
    "managers",
    "shareholder",
    "shareholders",
    "proprietor",
    "chairman",
    "chair",
    "founder",
    "founders",
    "trustee",
    "trustees",
    "executive",
    "executives",
    "representative",
    "signatory",
    "psc",
    "ubo",
    "geschaftsfuhrer",
    "prokurist",
    "vorstand",
    "inhaber",
    "gesellschafter",
    "gerant",
    "dirigeant",
    "dirigeants",
    "representant",
    "amministratore",
    "amministratori",
    "titolare",
    "administrador",
    "administradores",
    "директор",
];

/// What a header means, word by word.
pub(super) fn find(header: &str) -> Option<Found> {
    let words: Vec<String> = split(header);
    let joined = words.concat();
    if NAMES.contains(&joined.as_str()) {
        return Some(Found::plain(Role::Name));
    }
    officer(&words).or_else(|| second(&words)).or_else(|| strip(&words))
}

/// The words of a header, squeezed; common short forms are written out.
fn split(header: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(header.len() + 8);
    let mut lower = false;
    for c in header.chars() {
        if lower && c.is_uppercase() {
            spaced.push(' ');
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        spaced.push(c);
    }
    let words = spaced.split(|c: char| !c.is_alphanumeric()).map(key).filter(|word| !word.is_empty());
    words.map(|word| long(&word).map_or(word, str::to_owned)).collect()
}

/// The long form of a word that headers write short.
fn long(word: &str) -> Option<&'static str> {
    Some(match word {
        "nm" => "name",
        "fn" | "frst" => "first",
        "ln" | "lst" => "last",
        "num" | "nbr" | "nr" => "number",
        "addr" | "adr" | "add" => "address",
        "tel" | "ph" => "phone",
        "dt" => "date",
        "mob" | "cel" => "mobile",
        "sfx" => "suffix",
        "pfx" => "prefix",
        "org" => "organization",
        "co" => "company",
        "biz" => "business",
        _ => return None,
    })
}

/// A column of somebody who has an office in the business: the whole name or a part of it.
fn officer(words: &[String]) -> Option<Found> {
    let bare = |word: &String| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let office = words.iter().position(|word| OFFICES.contains(&bare(word).as_str()));
    let contact = || words.iter().position(|word| bare(word) == "contact").filter(|_| numbered(words));
    let at = office.or_else(contact)?;
    let number: String = words.iter().flat_map(|word| word.chars()).filter(char::is_ascii_digit).collect();
    let group = format!("{}{number}", words.get(at).map(bare).unwrap_or_default());
    let rest = words.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, word)| bare(word));
    let rest: String = rest.filter(|word| !matches!(word.as_str(), "" | "full" | "of" | "person")).collect();
    let role = match rest.as_str() {
        "" | "name" | "names" | "contact" | "managing" | "registered" | "registeredname" | "business" => Role::Officer,
        _ => of_officer(by_key(&rest)?.role),
    };
    Some(Found { role, group, label: "" })
}

/// What of somebody with an office counts: the name, and how to reach the business.
fn of_officer(role: Role) -> Role {
    let parts =
        [(Role::FirstName, Role::OfficerFirst), (Role::LastName, Role::OfficerLast), (Role::Name, Role::Officer)];
    let reach = [Role::Phone, Role::Email].contains(&role);
    let part = parts.into_iter().find(|(part, _)| *part == role).map(|(_, officer)| officer);
    part.unwrap_or(if reach { role } else { Role::Ignored })
}

fn numbered(words: &[String]) -> bool {
    words.iter().any(|word| word.ends_with(|c: char| c.is_ascii_digit()))
}

/// The second of two given or family names: `fname_c2`, `last_name_2`.
fn second(words: &[String]) -> Option<Found> {
    let (last, rest) = words.split_last()?;
    let stem = match last.as_str() {
        "c2" | "2" => rest.concat(),
        word => {
            let stem = word.strip_suffix('2')?;
            format!("{}{stem}", rest.concat())
        }
    };
    let role = by_key(&stem)?.role;
    let seconds = [(Role::FirstName, Role::MiddleName), (Role::LastName, Role::SecondLastName)];
    seconds.into_iter().find(|(first, _)| *first == role).map(|(_, second)| Found::plain(second))
}

/// Takes words off both ends, few first, until the rest is known.
fn strip(words: &[String]) -> Option<Found> {
    let script = |word: &String| SCRIPTS.contains(&word.as_str());
    let plain: Vec<&str> = words.iter().filter(|word| !script(word)).map(String::as_str).collect();
    let fronts = plain.iter().take_while(|word| OWNERS.contains(word)).count().min(2);
    let ends = plain.iter().rev().take_while(|word| CODED.contains(word)).count().min(2);
    let scripted = plain.len() < words.len();
    let ends_of = |front: usize| (0..=ends).map(move |end| (front, end));
    (0..=fronts).flat_map(ends_of).find_map(|(front, end)| {
        let rest = plain.get(front..plain.len().checked_sub(end)?)?.concat();
        let found = by_key(&rest).or_else(|| by_key(rest.strip_suffix('1')?))?;
        let name = matches!(found.role, Role::Name | Role::FirstName | Role::MiddleName | Role::LastName);
        let organization = found.role == Role::Organization;
        (found.role.is_evidence() && found.role != Role::AccountId && (!scripted || name || organization))
            .then_some(found)
    })
}
