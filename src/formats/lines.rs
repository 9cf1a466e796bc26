//! Reads lines of a stream with a bound: a line of 2 GiB costs no more memory than the bound.

use std::io::{self, BufRead};

/// One line, without its line break.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number; the first is 1.
    pub number: u64,
    /// Its bytes, cut at the bound.
    pub bytes: Vec<u8>,
    /// It was longer than the bound.
    pub cut: bool,
}

/// A stream as lines. `\n`, `\r\n` and a lone `\r` end one.
pub(super) struct Lines<R> {
    input: R,
    line_bytes_max: usize,
    number: u64,
    /// The last line ended with `\r`: a `\n` right after belongs to it.
    after_cr: bool,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `line_bytes_max` bytes; the rest of a longer one is skipped.
    pub(super) fn new(input: R, line_bytes_max: usize) -> Self {
        Self { input, line_bytes_max, number: 0, after_cr: false }
    }

    /// The next line, also an empty one; `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { number: self.number + 1, bytes: Vec::new(), cut: false };
        let mut seen = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                self.number += u64::from(seen);
                return Ok(seen.then_some(line));
            }
            if std::mem::take(&mut self.after_cr) && buffer.first() == Some(&b'\n') {
                self.input.consume(1);
                continue;
            }
            seen = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            let room = self.line_bytes_max.saturating_sub(line.bytes.len());
            line.cut |= part.len() > room;
            line.bytes.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
            let Some(end) = end else {
                let used = buffer.len();
                self.input.consume(used);
                continue;
            };
            self.after_cr = buffer.get(end) == Some(&b'\r');
            self.input.consume(end + 1);
            self.number += 1;
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_break_counts_once() {
        for chunk in 1..6 {
            let text: &[u8] = b"a\r\nb\n\nc\rddddddd\r\n";
            let mut lines = Lines::new(io::BufReader::with_capacity(chunk, text), 3);
            let mut found = Vec::new();
            while let Some(line) = lines.next_line().unwrap() {
                found.push((line.number, String::from_utf8(line.bytes).unwrap(), line.cut));
            }
            let want = [(1, "a", false), (2, "b", false), (3, "", false), (4, "c", false), (5, "ddd", true)];
            assert_eq!(found, want.map(|(n, t, c)| (n, t.to_owned(), c)));
        }
    }
}
