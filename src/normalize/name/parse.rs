//! A whole name in one field, taken apart.
//!
//! Order of work: nicknames in quotes or brackets come out; commas tell "Last, First" from "First Last,
//! PhD"; titles go from the front, credentials and generations from the end; what is left splits into
//! given, middle and family name by particles, scripts and capitals.

use crate::normalize::name::case::{Case, case_of};
use crate::normalize::name::script::{Script, is_patronymic, script_of, split_unspaced};
use crate::normalize::name::words;

/// Words of a name that are read; the rest goes to the family name.
const WORDS_MAX: usize = 24;

/// A name's parts as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Titles.
    pub prefix: Vec<String>,
    /// Given name.
    pub first: Vec<String>,
    /// Middle names.
    pub middle: Vec<String>,
    /// Family name.
    pub last: Vec<String>,
    /// Credentials.
    pub suffix: Vec<String>,
    /// Nickname.
    pub nickname: Option<String>,
    /// Generation.
    pub generation: Option<u8>,
    /// Two people share the field ("John & Mary Smith"); the first was taken.
    pub several: bool,
}

/// Takes a whole name apart. Text that holds a letter always gives a first or a last name.
pub fn whole(raw: &str) -> Parts {
    let mut parts = Parts::default();
    let text = take_nickname(raw, &mut parts);
    let mut chunks = text.split([',', ';', '、', '،', '，']).map(str::trim).filter(|c| !c.is_empty());
    let head = chunks.next().unwrap_or("");
    let mut given: Option<&str> = None;
    for chunk in chunks {
        match given {
            None if !is_suffix_chunk(chunk) => given = Some(chunk),
            _ => take_suffix_chunk(chunk, &mut parts),
        }
    }
    match given {
        Some(given) => family_first(head, given, &mut parts),
        None => natural(head, &mut parts),
    }
    if parts.first.is_empty() && parts.last.is_empty() {
        parts.last = split_words(raw);
        parts.prefix.clear();
        parts.suffix.clear();
    }
    parts
}

/// A field that should hold given names: titles, nicknames and a trailing initial come out.
pub fn given_field(raw: &str) -> Parts {
    let mut parts = Parts::default();
    let text = take_nickname(raw, &mut parts);
    let mut tokens = split_words(text.trim_end_matches([',', ';']));
    take_titles(&mut tokens, &mut parts);
    if tokens.len() > 1 && tokens.last().is_some_and(|t| is_initial(t)) {
        parts.middle = tokens.split_off(tokens.len() - 1);
    }
    parts.first = tokens;
    parts
}

/// A field that should hold a family name: credentials and generations come out.
pub fn family_field(raw: &str) -> Parts {
    let mut parts = Parts::default();
    let text = take_nickname(raw, &mut parts);
    let mut chunks = text.split([',', ';']).map(str::trim).filter(|c| !c.is_empty());
    let mut tokens = split_words(chunks.next().unwrap_or(""));
    for chunk in chunks {
        if is_suffix_chunk(chunk) {
            take_suffix_chunk(chunk, &mut parts);
        }
    }
    take_suffixes(&mut tokens, &mut parts, 1);
    parts.last = tokens;
    parts
}

/// A suffix field: generation and credentials.
pub fn suffix_field(raw: &str, parts: &mut Parts) {
    for chunk in raw.split([',', ';']).map(str::trim).filter(|c| !c.is_empty()) {
        take_suffix_chunk(chunk, parts);
    }
}

fn split_words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .filter(|w| w.chars().any(|c| c.is_alphanumeric() || c == '&'))
        .take(WORDS_MAX)
        .map(str::to_owned)
        .collect()
}

/// Takes out what stands in brackets or quotes; the first of them is the nickname.
fn take_nickname(raw: &str, parts: &mut Parts) -> String {
    let mut rest = raw.to_owned();
    for (open, close) in [
        ('(', ')'),
        ('[', ']'),
        ('{', '}'),
        ('（', '）'),
        ('"', '"'),
        ('“', '”'),
        ('„', '“'),
        ('«', '»'),
        ('‘', '’'),
        ('\'', '\''),
    ] {
        let Some((start, end)) = enclosed(&rest, open, close) else {
            continue;
        };
        let inner = rest.get(start + open.len_utf8()..end).unwrap_or("").trim().to_owned();
        let outer = format!("{} {}", rest.get(..start).unwrap_or(""), rest.get(end + close.len_utf8()..).unwrap_or(""));
        if !outer.chars().any(char::is_alphanumeric) {
            rest = inner;
            continue;
        }
        rest = outer;
        if is_suffix_chunk(&inner) && !inner.is_empty() {
            take_suffix_chunk(&inner, parts);
        } else if parts.nickname.is_none() && is_nickname(&inner) {
            parts.nickname = Some(inner);
        }
    }
    rest
}

/// Where a pair of marks encloses something: an opening mark at a word's start, a closing one at a word's end.
fn enclosed(text: &str, open: char, close: char) -> Option<(usize, usize)> {
    let loose = matches!(open, '(' | '[' | '{' | '（' | '«' | '“');
    let mut before = ' ';
    let mut start = None;
    for (at, c) in text.char_indices() {
        let after = text.get(at + c.len_utf8()..).and_then(|r| r.chars().next()).unwrap_or(' ');
        match start {
            None if c == open && (loose || before == ' ') && after != ' ' => start = Some(at),
            Some(from) if c == close && (loose || matches!(after, ' ' | ',')) => {
                return Some((from, at));
            }
            None | Some(_) => {}
        }
        before = c;
    }
    None
}

fn is_nickname(inner: &str) -> bool {
    let lower = inner.to_lowercase();
    let about = [
        "née", "nee ", "geb.", "geb ", "born ", "formerly", "she/", "he/", "they/", "maiden", "né ", "mobile", "work",
        "home", "office", "ex-",
    ];
    inner.chars().any(char::is_alphabetic)
        && inner.split_whitespace().count() <= 3
        && !about.iter().any(|a| lower.starts_with(a))
}

fn is_suffix_chunk(chunk: &str) -> bool {
    chunk.starts_with(|c: char| c.is_ascii_digit())
        || chunk
            .split([' ', '/'])
            .filter(|w| !w.is_empty())
            .all(|w| words::generation(w).is_some() || words::is_credential(w, true))
}

fn take_suffix_chunk(chunk: &str, parts: &mut Parts) {
    for word in chunk.split_whitespace() {
        match words::generation(word) {
            Some(generation) if parts.generation.is_none() => parts.generation = Some(generation),
            Some(_) | None => parts.suffix.push(word.trim_matches([',', ';']).to_owned()),
        }
    }
}

fn take_titles(tokens: &mut Vec<String>, parts: &mut Parts) {
    let titles = tokens.iter().take_while(|t| words::is_title(t)).count();
    let titles = titles.min(tokens.len().saturating_sub(1));
    parts.prefix.extend(tokens.drain(..titles));
}

/// Takes credentials and generations from the end, leaving at least `keep` words.
fn take_suffixes(tokens: &mut Vec<String>, parts: &mut Parts, keep: usize) {
    let shouting = tokens.iter().all(|t| case_of(t) != Case::Lower && case_of(t) != Case::Mixed);
    let mut found = Vec::new();
    while tokens.len() > keep
        && let Some(word) = tokens.last()
    {
        let roman_v = words::bare(word) == "v";
        let credential =
            words::is_credential(word, false) && (!shouting || words::is_credential(&word.to_lowercase(), false));
        match words::generation(word) {
            Some(generation) if !roman_v || tokens.len() > keep.max(2) && !word.contains('.') => {
                parts.generation = Some(generation)
            }
            Some(_) | None if credential => found.push(word.clone()),
            Some(_) | None => break,
        }
        tokens.pop();
    }
    found.reverse();
    found.append(&mut parts.suffix);
    parts.suffix = found;
}

/// "Smith, John Q." in that order.
fn family_first(family: &str, given: &str, parts: &mut Parts) {
    let mut last = split_words(family);
    take_titles(&mut last, parts);
    take_suffixes(&mut last, parts, 1);
    let mut tokens = split_words(given);
    take_titles(&mut tokens, parts);
    take_suffixes(&mut tokens, parts, 1);
    // "Berg, Anna van den": the particles belong to the family name.
    let particles = tokens.iter().rev().take_while(|t| words::particle(t) == Some(words::Particle::Lower)).count();
    if particles < tokens.len() {
        let mut tail = tokens.split_off(tokens.len() - particles);
        tail.append(&mut last);
        last = tail;
    }
    parts.last = last;
    given_words(tokens, parts);
}

fn given_words(tokens: Vec<String>, parts: &mut Parts) {
    let mut tokens = spread_initials(tokens, false);
    let first = if tokens.len() > 1 && tokens.first().is_some_and(|t| words::takes_next(t)) { 2 } else { 1 };
    parts.middle = tokens.split_off(first.min(tokens.len()));
    parts.first = tokens;
}

/// "Dr John Q Smith Jr" in that order.
fn natural(text: &str, parts: &mut Parts) {
    let dotted = text.replace('・', " ");
    let western = dotted.len() != text.len();
    let mut tokens = split_words(&dotted);
    drop_second_person(&mut tokens, parts);
    let titled = tokens.len();
    take_titles(&mut tokens, parts);
    let titled = titled > tokens.len();
    take_suffixes(&mut tokens, parts, if titled { 1 } else { 2 });
    if tokens.len() == 2
        && tokens.last().is_some_and(|t| words::is_credential(t, false) && case_of(t) != Case::Lower && t.len() > 2)
    {
        take_suffixes(&mut tokens, parts, 1);
    }
    match tokens.len() {
        0 => {}
        1 => single(tokens.pop().unwrap_or_default(), titled, parts),
        _ if !western && tokens.iter().all(|t| script_of(t) != Script::Other) => {
            parts.last = vec![tokens.remove(0)];
            parts.first = tokens;
        }
        _ => several_words(tokens, parts),
    }
}

fn single(word: String, titled: bool, parts: &mut Parts) {
    if let Some((family, given)) = split_unspaced(&word) {
        parts.last = vec![family.to_owned()];
        parts.first = vec![given.to_owned()];
    } else if titled {
        parts.last = vec![word];
    } else {
        parts.first = vec![word];
    }
}

/// "John & Mary Smith" becomes "John Smith", "Mr & Mrs John Smith" becomes "Mr John Smith".
fn drop_second_person(tokens: &mut Vec<String>, parts: &mut Parts) {
    let is_and = |t: &String| matches!(t.to_lowercase().as_str(), "&" | "and" | "und" | "+" | "et");
    if let Some(at) = tokens.iter().position(is_and)
        && at > 0
        && at + 2 < tokens.len()
    {
        tokens.drain(at..at + 2);
        parts.several = true;
    }
    tokens.retain(|t| t != "&");
}

fn several_words(tokens: Vec<String>, parts: &mut Parts) {
    let mut tokens = spread_initials(tokens, true);
    let capitals = leading_capitals(&tokens);
    if capitals > 0 {
        let given = tokens.split_off(capitals);
        parts.last = tokens;
        return given_words(given, parts);
    }
    if let [family, first, patronymic] = tokens.as_slice()
        && is_patronymic(patronymic)
        && !is_patronymic(first)
    {
        parts.last = vec![family.clone()];
        parts.first = vec![first.clone()];
        parts.middle = vec![patronymic.clone()];
        return;
    }
    let last = tokens.split_off(family_start(&tokens));
    parts.last = last;
    let first = if tokens.len() > 1 && tokens.first().is_some_and(|t| words::takes_next(t)) { 2 } else { 1 };
    parts.middle = tokens.split_off(first.min(tokens.len()));
    parts.first = tokens;
}

/// "DUPONT Jean-Pierre": how many words in capitals lead, if that marks the family name.
fn leading_capitals(tokens: &[String]) -> usize {
    let capitals = |t: &String| {
        case_of(t) == Case::Upper && t.chars().filter(|c| c.is_alphabetic()).count() > 2 && !t.contains('.')
    };
    let leading = tokens.iter().take_while(|t| capitals(t)).count();
    let rest_mixed = leading < tokens.len() && tokens.iter().skip(leading).all(|t| case_of(t) == Case::Mixed);
    if rest_mixed { leading } else { 0 }
}

/// Where the family name starts: at the first particle after the given name, else at the last word.
fn family_start(tokens: &[String]) -> usize {
    let last = tokens.len().saturating_sub(1);
    let from = if tokens.len() > 2 && tokens.first().is_some_and(|t| words::takes_next(t)) { 2 } else { 1 };
    for (at, token) in tokens.iter().enumerate().take(last).skip(from) {
        if words::particle(token).is_some() {
            let joins = matches!(words::bare(token).as_str(), "y" | "e");
            let initial = token.chars().count() == 1 && !joins || token.ends_with('.') && token.len() == 2;
            if !(initial || joins && case_of(token) == Case::Upper) {
                return if joins && at > 1 { at - 1 } else { at };
            }
        }
    }
    last.max(1)
}

fn is_initial(word: &str) -> bool {
    let mut letters = word.chars().filter(|c| *c != '.');
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none() && script_of(word) == Script::Other
}

/// "J.Q." and (in a mixed-case name) "JQ" at the front become two initials.
fn spread_initials(tokens: Vec<String>, more_follow: bool) -> Vec<String> {
    let mixed = tokens.iter().any(|t| case_of(t) != Case::Upper);
    let mut out = Vec::with_capacity(tokens.len() + 1);
    let count = tokens.len();
    for (at, token) in tokens.into_iter().enumerate() {
        let letters = token.chars().filter(|c| c.is_alphabetic()).count();
        let dotted = token.contains('.')
            && token.split('.').filter(|s| !s.is_empty()).all(|s| s.chars().count() == 1)
            && letters > 1;
        let pair = mixed
            && at == 0
            && (!more_follow || count > 1)
            && letters == 2
            && token.len() == 2
            && case_of(&token) == Case::Upper;
        let can = (dotted || pair) && (at + 1 < count || !more_follow);
        if can && letters <= 4 {
            let end = if dotted { "." } else { "" };
            out.extend(token.chars().filter(|c| c.is_alphabetic()).map(|c| format!("{c}{end}")));
        } else {
            out.push(token);
        }
    }
    out
}
