//! Scripts that write names without spaces, or the family name first.

/// What a word is written in, as far as it changes the reading of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Han characters only.
    Han,
    /// Hangul syllables only.
    Hangul,
    /// Kana, alone or after Han.
    Kana,
    /// Anything else.
    Other,
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '々' | '〆' | 'ヶ')
}

fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}')
}

fn is_kana(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9f}')
}

/// The script of a word.
pub fn script_of(word: &str) -> Script {
    if word.is_ascii() {
        return Script::Other;
    }
    if word.chars().all(is_han) {
        Script::Han
    } else if word.chars().all(is_hangul) {
        Script::Hangul
    } else if word.chars().all(|c| is_han(c) || is_kana(c)) {
        Script::Kana
    } else {
        Script::Other
    }
}

/// Family names of two characters.
const COMPOUND: &[&str] = &[
    "欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "夏侯", "皇甫", "尉迟", "公孙", "公孫", "慕容", "令狐",
    "司徒", "东方", "東方", "宇文", "长孙", "南宫", "端木", "남궁", "황보", "제갈", "선우", "독고", "사공", "서문",
    "동방",
];

/// Splits a name without spaces into (family, given); `None` if it has one character or more than a name has.
pub fn split_unspaced(word: &str) -> Option<(&str, &str)> {
    let script = script_of(word);
    let count = word.chars().count();
    let family = match script {
        Script::Han | Script::Hangul if (2..=4).contains(&count) => {
            let compound = count > 2 && COMPOUND.iter().any(|c| word.starts_with(c));
            if compound || count == 4 && script == Script::Han { 2 } else { 1 }
        }
        Script::Kana if (2..=8).contains(&count) => word.chars().take_while(|c| is_han(*c)).count(),
        Script::Han | Script::Hangul | Script::Kana | Script::Other => 0,
    };
    let at = word.char_indices().nth(family).map(|(at, _)| at)?;
    if at == 0 { None } else { word.split_at_checked(at) }
}

/// Whether a word ends like a patronymic (Russian and Ukrainian, also romanised).
pub fn is_patronymic(word: &str) -> bool {
    let lower = word.to_lowercase();
    ["ович", "евич", "ьич", "овна", "евна", "ична", "івна", "ївна", "йович", "ovich", "evich", "ovna", "evna"]
        .iter()
        .any(|end| lower.ends_with(end))
        && lower.chars().count() > 5
}
