//! The words around names: titles, credentials, generations, particles.

use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::normalize::text::{self, table_lines};

/// What a particle does to a family name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Particle {
    /// Written in lower case, left out of the tokens ("van").
    Lower,
    /// Left out of the tokens ("al").
    Drop,
    /// Begins a family name and stays a token ("san").
    Keep,
}

static PARTICLES: LazyLock<HashMap<&'static str, Particle, FixedState>> = LazyLock::new(|| {
    let lines = table_lines(include_str!("../../../data/name_particles.txt"));
    let class = |class: &str| match class {
        "lower" => Particle::Lower,
        "drop" => Particle::Drop,
        _ => Particle::Keep,
    };
    lines.filter_map(|line| line.split_once('\t')).map(|(word, c)| (word, class(c))).collect()
});

static TITLES: LazyLock<HashSet<&'static str, FixedState>> =
    LazyLock::new(|| table_lines(include_str!("../../../data/name_titles.txt")).collect());

/// Credentials; `true` marks those that are also names.
static CREDENTIALS: LazyLock<HashMap<&'static str, bool, FixedState>> = LazyLock::new(|| {
    let lines = table_lines(include_str!("../../../data/name_credentials.txt"));
    lines.map(|line| line.split_once('\t').map_or((line, false), |(word, _)| (word, true))).collect()
});

/// The word in lower case without dots and stray punctuation, in its own script.
pub fn bare(word: &str) -> String {
    if word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return word.to_ascii_lowercase();
    }
    let kept = word.chars().filter(|c| !matches!(c, '.' | ',' | ';' | '(' | ')') && !text::is_apostrophe(*c));
    kept.flat_map(char::to_lowercase).collect()
}

/// The particle's class, if the word is one.
pub fn particle(word: &str) -> Option<Particle> {
    PARTICLES.get(bare(word).as_str()).copied()
}

/// Whether a word before a name is a title.
pub fn is_title(word: &str) -> bool {
    let bare = bare(word);
    TITLES.contains(bare.as_str()) || bare.contains('-') && bare.split('-').all(|part| TITLES.contains(part))
}

/// Whether a word after a name is a credential. `sure`: it stands behind a comma or in a suffix field.
pub fn is_credential(word: &str, sure: bool) -> bool {
    let Some(ambiguous) = CREDENTIALS.get(bare(word).replace('-', "").as_str()) else {
        return false;
    };
    let capitals = word.chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase);
    sure || !*ambiguous || capitals
}

/// The generation that a word after a name says: 1 senior, 2 junior, 3 III.
pub fn generation(word: &str) -> Option<u8> {
    match bare(word).as_str() {
        "sr" | "snr" | "senior" | "sen" => Some(1),
        "jr" | "jnr" | "junior" | "jun" | "ii" | "2nd" | "júnior" | "filho" => Some(2),
        "iii" | "3rd" => Some(3),
        "iv" | "4th" => Some(4),
        "v" | "5th" => Some(5),
        "vi" | "6th" => Some(6),
        "vii" => Some(7),
        "viii" => Some(8),
        _ => None,
    }
}

/// Given names that take the next word with them ("Abdul Rahman").
pub fn takes_next(word: &str) -> bool {
    matches!(bare(word).as_str(), "abdul" | "abd" | "abdel" | "abdal" | "abdur" | "عبد")
}
