//! Standard output and standard error, in one place: the only file that may print.
//!
//! Results go to standard output, everything else (progress, what was recognised, hints) to standard
//! error. A reader that goes away (`| head`) ends the command quietly. Text from records passes
//! [`clean`] first, so that a contact's name cannot drive the terminal.

use std::io::{IsTerminal, Write};

use comfy_table::{LineStyle, Table, TableStyle};

use crate::cli::fail::Failure;

/// Prints one line of results.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(|error| Failure::output(&error))
}

/// Prints results that already end their lines.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Prints JSON, indented, as a result.
pub(super) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

/// Tells the person at the terminal something; a closed standard error is nobody's loss.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether a person watches standard error, so that a progress bar makes sense.
pub(super) fn watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Text from outside, made safe to print: control characters become `?`.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi_control(c) { '?' } else { c }).collect()
}

/// Characters that reorder what follows them on a line.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// 1234567 as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines around and below the header, none between rows, so that rows can be copied and cut.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// An empty table in the one style of this program.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = fields();
    table.set_header(header.to_vec());
    table
}

/// An empty table of names and values, without a header.
pub(super) fn fields() -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_their_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(clean("Eve\u{1b}[2J\u{202e}live"), "Eve?[2J?live");
        assert_eq!(clean("José 山田"), "José 山田");
    }
}
