//! CSV records as bytes, bounded: a record larger than 1 MiB is reported and skipped, never held.

use std::io::{self, BufRead};

/// Most bytes of one record.
pub(super) const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Most cells of one record.
pub(super) const CELLS_MAX: usize = 4096;

/// One record of a CSV file.
#[derive(Clone, Debug, Default)]
pub(super) struct RawRecord {
    /// The line it starts on; the first is 1.
    pub line: u64,
    /// All cells, one after another.
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`.
    ends: Vec<usize>,
    /// It was larger than the bounds; the cells are incomplete.
    pub cut: bool,
}

impl RawRecord {
    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One cell; empty when there is none.
    pub(super) fn cell(&self, index: usize) -> &[u8] {
        let Some(end) = self.ends.get(index) else {
            return &[];
        };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..*end).unwrap_or_default()
    }
}

/// A CSV stream as records.
pub(super) struct RawCsv<R> {
    input: R,
    parser: csv_core::Reader,
    line: u64,
    after_cr: bool,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: BufRead> RawCsv<R> {
    /// Records separated by `delimiter`; counting goes on from `line`.
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            input,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            line: 1,
            after_cr: false,
            bytes: vec![0; 4096],
            ends: vec![0; 64],
        }
    }

    /// The next record; `None` at the end. Blank lines are skipped.
    pub(super) fn next_record(&mut self) -> io::Result<Option<RawRecord>> {
        self.skip_line_breaks()?;
        let mut record = RawRecord { line: self.line, ..RawRecord::default() };
        let (mut bytes_len, mut ends_len) = (0, 0);
        loop {
            let input = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                input => input?,
            };
            let at_end = input.is_empty();
            let bytes = self.bytes.get_mut(bytes_len..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_len..).unwrap_or_default();
            let (result, read, written, ended) = self.parser.read_record(input, bytes, ends);
            count_lines(input.get(..read).unwrap_or_default(), &mut self.line, &mut self.after_cr);
            self.input.consume(read);
            bytes_len += written;
            ends_len += ended;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull => {
                    record.cut |= !grow(&mut self.bytes, RECORD_BYTES_MAX);
                    bytes_len = if record.cut { 0 } else { bytes_len };
                }
                csv_core::ReadRecordResult::OutputEndsFull => {
                    record.cut |= !grow(&mut self.ends, CELLS_MAX);
                    ends_len = if record.cut { 0 } else { ends_len };
                }
                csv_core::ReadRecordResult::Record => {
                    if !record.cut {
                        record.bytes = self.bytes.get(..bytes_len).unwrap_or_default().to_vec();
                        record.ends = self.ends.get(..ends_len).unwrap_or_default().to_vec();
                    }
                    return Ok(Some(record));
                }
                csv_core::ReadRecordResult::End => return Ok(None),
            }
            if at_end && result == csv_core::ReadRecordResult::InputEmpty {
                continue;
            }
        }
    }

    /// Skips blank lines and the rest of the last line break, so that `line` is where a record starts.
    fn skip_line_breaks(&mut self) -> io::Result<()> {
        loop {
            let input = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                input => input?,
            };
            let breaks = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let all = breaks == input.len();
            count_lines(input.get(..breaks).unwrap_or_default(), &mut self.line, &mut self.after_cr);
            self.input.consume(breaks);
            if breaks == 0 || !all {
                return Ok(());
            }
        }
    }
}

/// Counts `\n`, `\r\n` and lone `\r` as one line break each.
fn count_lines(bytes: &[u8], line: &mut u64, after_cr: &mut bool) {
    for byte in bytes {
        let second = *byte == b'\n' && *after_cr;
        *line += u64::from(matches!(byte, b'\n' | b'\r') && !second);
        *after_cr = *byte == b'\r';
    }
}

/// Doubles a buffer up to a bound; false when it is as large as it may be.
fn grow<T: Clone + Default>(buffer: &mut Vec<T>, max: usize) -> bool {
    let room = buffer.len() < max;
    if room {
        buffer.resize((buffer.len() * 2).min(max), T::default());
    }
    room
}
