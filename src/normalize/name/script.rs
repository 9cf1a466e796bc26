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

/// A family of letters. Two forms of one name in different ones are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Latin letters.
    Latin,
    /// Han characters, with kana or without.
    Han,
    /// Kana alone.
    Kana,
    /// Hangul.
    Hangul,
    /// Cyrillic.
    Cyrillic,
    /// Greek.
    Greek,
    /// Arabic.
    Arabic,
    /// Hebrew.
    Hebrew,
    /// The scripts of India and what follows them up to Myanmar.
    Indic,
    /// Any other.
    Other,
}

impl Writing {
    /// Whether names in it begin with the family name.
    pub fn is_family_first(self) -> bool {
        matches!(self, Self::Han | Self::Kana | Self::Hangul)
    }
}

/// What a text is written in: by its first letter; Han anywhere makes it Han. `None` without a letter.
pub fn writing_of(text: &str) -> Option<Writing> {
    let first = text.chars().find(|c| c.is_alphabetic())?;
    Some(match first {
        'a'..='z' | 'A'..='Z' | '\u{aa}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{ff21}'..='\u{ff5a}' => {
            Writing::Latin
        }
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Writing::Greek,
        '\u{400}'..='\u{52f}' => Writing::Cyrillic,
        '\u{590}'..='\u{5ff}' => Writing::Hebrew,
        '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => {
            Writing::Arabic
        }
        '\u{900}'..='\u{109f}' => Writing::Indic,
        c if is_hangul(c) => Writing::Hangul,
        _ if text.chars().any(is_han) => Writing::Han,
        c if is_kana(c) => Writing::Kana,
        _ => Writing::Other,
    })
}

/// The forms of a name that one text holds in several scripts, in the order of their first words: "Wei Wang (王伟)" has two.
/// Words without a letter go with the form before them.
pub fn forms(text: &str) -> Vec<(Writing, String)> {
    let mut forms: Vec<(Writing, String)> = Vec::new();
    let mut last = Writing::Latin;
    for word in text.split([' ', '/', '(', ')', '（', '）', '[', ']']).filter(|word| !word.is_empty()) {
        let writing = writing_of(word).unwrap_or(last);
        last = writing;
        match forms.iter_mut().find(|(known, _)| *known == writing) {
            Some((_, form)) => {
                form.push(' ');
                form.push_str(word);
            }
            None => forms.push((writing, word.to_owned())),
        }
    }
    forms
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
