//! Reads vCard 2.1, 3.0 and 4.0: splits the stream into cards, keeps the properties we use, and lets
//! `vcard_map.rs` turn each card into a record.
//!
//! Photos and unknown properties are dropped line by line, so a card costs no more memory than its
//! text. A card that ends in the middle of the file or the file in the middle of a card is refused by
//! line; the next card goes on.

use std::borrow::Cow;
use std::io::{BufReader, Read};

use encoding_rs::{Encoding, UTF_8};

use crate::error::{Error, Result};
use crate::formats::checks::RowError;
use crate::formats::encoding::{self, Decoded, Other};
use crate::formats::lines::{Line, Lines};
use crate::formats::vcard_map;
use crate::formats::{ReadOptions, Recognised, Row, RowReader, default_source, empty_file};
use crate::model::issue::Issue;

/// Most bytes of one line; longer ones are photos.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of the kept properties of one card.
const CARD_BYTES_MAX: usize = 1024 * 1024;

/// The properties we read; all others are dropped unread.
const KEPT: [&str; 30] = [
    "VERSION",
    "N",
    "FN",
    "NICKNAME",
    "EMAIL",
    "TEL",
    "ORG",
    "TITLE",
    "ROLE",
    "ADR",
    "BDAY",
    "URL",
    "NOTE",
    "CATEGORIES",
    "X-SOCIALPROFILE",
    "SOCIALPROFILE",
    "IMPP",
    "UID",
    "REV",
    "X-ABLABEL",
    "GENDER",
    "X-GENDER",
    "KIND",
    "X-ADDRESSBOOKSERVER-KIND",
    "X-SKYPE-USERNAME",
    "X-SKYPE",
    "X-AIM",
    "X-JABBER",
    "X-TWITTER",
    "X-DEPARTMENT",
];

/// A vCard file being read.
pub struct VcardReader {
    lines: Lines<BufReader<Decoded>>,
    source: String,
    /// A `BEGIN:VCARD` that ended the card before it.
    begun: Option<u64>,
    /// How many cards came so far, whether good or not.
    cards: u64,
}

/// The text of one card.
struct Card {
    line: u64,
    text: Vec<u8>,
    issues: Vec<Issue>,
    state: State,
    /// The text grew beyond the bound.
    too_large: bool,
    /// The last kept line was quoted-printable and ends with `=`.
    soft_break: bool,
    /// The card holds something besides `BEGIN` and `VERSION`.
    has_content: bool,
    /// The last property was an empty `AGENT`, whose card follows.
    agent: bool,
}

/// What is done with the lines of the property being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Keep,
    Drop,
}

/// How a card ended.
enum End {
    /// With its `END`.
    Whole(Card),
    /// Without.
    Truncated(u64),
}

impl VcardReader {
    /// Starts to read.
    ///
    /// # Errors
    /// `Invalid` when the file is empty or binary; `Io` when it cannot be read.
    pub fn open(input: Box<dyn Read + Send>, options: &ReadOptions) -> Result<Self> {
        let decoded = Decoded::new(input, Other::Keep)?;
        if decoded.is_empty() {
            return Err(empty_file("cards between BEGIN:VCARD and END:VCARD"));
        }
        let lines = Lines::new(BufReader::with_capacity(64 * 1024, decoded), LINE_BYTES_MAX);
        Ok(Self { lines, source: default_source(options), begun: None, cards: 0 })
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        self.lines.next_line().map_err(|error| Error::io("reading the file", error))
    }

    /// The line of the next `BEGIN:VCARD`.
    fn find_begin(&mut self) -> Result<Option<u64>> {
        if let Some(line) = self.begun.take() {
            return Ok(Some(line));
        }
        while let Some(line) = self.next_line()? {
            if is_mark(&line.bytes, b"BEGIN") {
                return Ok(Some(line.number));
            }
        }
        Ok(None)
    }

    /// Reads up to the end of the card that began on `line`.
    fn read_card(&mut self, line: u64) -> Result<End> {
        let mut card = Card::new(line);
        let mut nested = 0_u32;
        while let Some(line) = self.next_line()? {
            if is_mark(&line.bytes, b"END") {
                if nested == 0 {
                    return Ok(End::Whole(card));
                }
                nested -= 1;
            } else if is_mark(&line.bytes, b"BEGIN") {
                if card.agent || nested > 0 {
                    nested += 1;
                } else if card.has_content {
                    self.begun = Some(line.number);
                    return Ok(End::Truncated(card.line));
                }
            } else if nested == 0 {
                card.take(&line);
            }
        }
        Ok(End::Truncated(card.line))
    }

    fn row(&self, end: End) -> Row {
        let (line, record, issues) = match end {
            End::Truncated(line) => {
                let message = "the card has no END:VCARD; the file may be cut off";
                (line, Err(RowError::new("card", "card_truncated", message)), Vec::new())
            }
            End::Whole(card) if card.too_large => {
                let message = format!("more than {CARD_BYTES_MAX} bytes besides photos; shorten its notes");
                (card.line, Err(RowError::new("card", "card_too_large", message)), card.issues)
            }
            End::Whole(card) => {
                let mut issues = card.issues;
                let text = card_text(&card.text);
                let record = vcard_map::record(&text, &self.source, &mut issues);
                (card.line, record, issues)
            }
        };
        Row { line, record, issues }
    }
}

impl RowReader for VcardReader {
    fn next_row(&mut self) -> Result<Option<Row>> {
        match self.find_begin()? {
            Some(line) => {
                self.cards += 1;
                let end = self.read_card(line)?;
                Ok(Some(self.row(end)))
            }
            None if self.cards == 0 => Err(Error::invalid("file", "no BEGIN:VCARD in it; send a vCard file")),
            None => Ok(None),
        }
    }

    fn recognised(&self) -> Option<&Recognised> {
        None
    }
}

impl Card {
    fn new(line: u64) -> Self {
        Self {
            line,
            text: b"BEGIN:VCARD\r\n".to_vec(),
            issues: Vec::new(),
            state: State::Drop,
            too_large: false,
            soft_break: false,
            has_content: false,
            agent: false,
        }
    }

    /// One line of the card: the rest of the last property, or a new one.
    fn take(&mut self, line: &Line) {
        let folded = matches!(line.bytes.first(), Some(b' ' | b'\t'));
        if self.soft_break || folded {
            if self.state == State::Keep {
                self.keep(line);
            }
            return;
        }
        if line.bytes.trim_ascii().is_empty() {
            return;
        }
        match property_name(&line.bytes) {
            Some(name) => {
                self.agent = name == "AGENT" && line.bytes.trim_ascii_end().ends_with(b":");
                self.has_content |= name != "VERSION";
                let kept = KEPT.contains(&name.as_str()) && !is_base64(&line.bytes);
                self.state = if kept { State::Keep } else { State::Drop };
                if kept {
                    self.keep(line);
                }
            }
            None if self.state == State::Drop => {}
            None => {
                self.state = State::Drop;
                let message = format!("line {} is no property; left out", line.number);
                self.issues.push(Issue::new("card", "vcard_line_unreadable", message));
            }
        }
    }

    /// Adds a line of a property we use.
    fn keep(&mut self, line: &Line) {
        if line.cut {
            let message = format!("line {} is longer than {LINE_BYTES_MAX} bytes; cut there", line.number);
            self.issues.push(Issue::new("card", "vcard_line_cut", message));
        }
        if self.text.len() + line.bytes.len() > CARD_BYTES_MAX {
            self.too_large = true;
            return;
        }
        let quoted = self.soft_break || is_quoted_printable(&line.bytes);
        self.soft_break = quoted && line.bytes.trim_ascii_end().ends_with(b"=");
        self.text.extend_from_slice(&prepared(&line.bytes));
        self.text.extend_from_slice(b"\r\n");
    }
}

/// Whether a line is `BEGIN:VCARD` or `END:VCARD`, perhaps with a group before or spaces around.
fn is_mark(line: &[u8], word: &[u8]) -> bool {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    if line.len() > 40 || !line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
        return false;
    }
    let rest = line.get(word.len()..).unwrap_or_default().trim_ascii();
    rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"VCARD"))
}

/// The part of a line before its value.
fn header(line: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let end = line.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b':' && !quoted
    });
    line.get(..end?)
}

/// The name of the property in capitals, without its group; `None` when the line starts none.
fn property_name(line: &[u8]) -> Option<String> {
    let header = header(line)?;
    let name = header.split(|byte| *byte == b';').next()?;
    let name = name.rsplit(|byte| *byte == b'.').next()?.trim_ascii();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.iter().all(word) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_uppercase())
}

/// Whether a parameter of the line is one of these words, alone or after `ENCODING=`.
fn has_encoding(line: &[u8], words: &[&str]) -> bool {
    let header = String::from_utf8_lossy(header(line).unwrap_or_default()).to_ascii_uppercase();
    let mut parameters = header.split(';').skip(1).map(|p| p.trim().trim_start_matches("ENCODING=").to_owned());
    parameters.any(|parameter| words.contains(&parameter.as_str()))
}

fn is_base64(line: &[u8]) -> bool {
    has_encoding(line, &["B", "BASE64"])
}

fn is_quoted_printable(line: &[u8]) -> bool {
    has_encoding(line, &["QUOTED-PRINTABLE", "Q"])
}

/// Adds what old writers leave out of a quoted-printable line: `ENCODING=` and the character set.
fn prepared(line: &[u8]) -> Cow<'_, [u8]> {
    if !is_quoted_printable(line) {
        return Cow::Borrowed(line);
    }
    let Some(header) = header(line) else {
        return Cow::Borrowed(line);
    };
    let value = line.get(header.len()..).unwrap_or_default();
    let upper = header.to_ascii_uppercase();
    let mut out = header.to_vec();
    if !contains(&upper, b"ENCODING=") {
        out.extend_from_slice(b";ENCODING=QUOTED-PRINTABLE");
    }
    if !contains(&upper, b"CHARSET=") {
        let charset = if is_utf8_quoted(value) { "UTF-8" } else { "WINDOWS-1252" };
        out.extend_from_slice(b";CHARSET=");
        out.extend_from_slice(charset.as_bytes());
    }
    out.extend_from_slice(value);
    Cow::Owned(out)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Whether the bytes written as `=C3=A9` are UTF-8; a sequence cut by the line's end counts.
fn is_utf8_quoted(value: &[u8]) -> bool {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'=') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    while bytes.last() == Some(&b'=') {
        bytes.pop();
    }
    std::str::from_utf8(&bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// The card's bytes as text: UTF-8, else the character set it names, else a guess.
fn card_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let named = named_charset(bytes).filter(|encoding| *encoding != UTF_8);
    let encoding = named.unwrap_or_else(|| encoding::guess(bytes));
    encoding.decode_without_bom_handling(bytes).0
}

/// The first `CHARSET=` of a card.
fn named_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let upper = bytes.to_ascii_uppercase();
    let at = upper.windows(8).position(|window| window == b"CHARSET=")?;
    let rest = upper.get(at + 8..)?;
    let end = rest.iter().position(|byte| matches!(byte, b';' | b':' | b'\r' | b'\n' | b','))?;
    let label = rest.get(..end)?;
    Encoding::for_label(label.trim_ascii())
}
