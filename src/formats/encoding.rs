//! Turns a stream of bytes in any common encoding into UTF-8, without holding more than a part of it.
//!
//! [`Decoded::new`] looks at the first 64 KiB: a byte order mark, UTF-16 by where its zero bytes lie,
//! UTF-8, else a guess. A stream taken for UTF-8 is passed through unchanged; a reader that then meets
//! other bytes decides by itself ([`text`]).

use std::borrow::Cow;
use std::io::{self, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::error::{Error, Result};

/// Bytes looked at before deciding.
const SAMPLE_BYTES: usize = 64 * 1024;
/// Bytes read from the source at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What to do with a stream that is neither UTF-8 nor UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Guess one encoding for the whole stream (CSV).
    Guess,
    /// Pass the bytes through (vCard, where each card may differ; JSON, where it is an error).
    Keep,
}

/// A stream as UTF-8.
pub struct Decoded {
    input: Box<dyn Read + Send>,
    encoding: &'static Encoding,
    /// Missing: pass through.
    decoder: Option<Decoder>,
    /// Bytes not yet decoded.
    raw: Vec<u8>,
    raw_at: usize,
    /// Decoded bytes not yet handed out.
    text: Vec<u8>,
    text_at: usize,
    ended: bool,
}

impl Decoded {
    /// Looks at the start of a stream and prepares to decode it.
    ///
    /// # Errors
    /// `Invalid` when it is no text; `Io` when it cannot be read.
    pub fn new(mut input: Box<dyn Read + Send>, other: Other) -> Result<Self> {
        let raw = read_sample(&mut input).map_err(|error| Error::io("reading the file", error))?;
        refuse_binary(&raw)?;
        let (encoding, mark_len) = decide(&raw, other)?;
        let pass_through = encoding == UTF_8 || (other == Other::Keep && mark_len == 0 && !is_utf16(encoding));
        let decoder = (!pass_through).then(|| encoding.new_decoder_without_bom_handling());
        Ok(Self { input, encoding, decoder, raw, raw_at: mark_len, text: Vec::new(), text_at: 0, ended: false })
    }

    /// The encoding's name: `UTF-8`, `UTF-16LE`, `windows-1252`...
    pub fn encoding_name(&self) -> &'static str {
        self.encoding.name()
    }

    /// The undecoded start of the stream; for a pass-through stream the text itself.
    pub fn is_empty(&self) -> bool {
        self.raw_at >= self.raw.len()
    }

    /// Reads the next chunk of bytes; false at the end.
    fn refill_raw(&mut self) -> io::Result<bool> {
        self.raw.resize(CHUNK_BYTES, 0);
        self.raw_at = 0;
        let count = read_some(&mut self.input, &mut self.raw)?;
        self.raw.truncate(count);
        Ok(count > 0)
    }

    /// Decodes the next chunk into `text`; false at the end.
    fn refill_text(&mut self) -> io::Result<bool> {
        self.text.clear();
        self.text_at = 0;
        while self.text.is_empty() && !self.ended {
            if self.raw_at >= self.raw.len() && !self.refill_raw()? {
                self.ended = true;
            }
            let Some(decoder) = self.decoder.as_mut() else {
                break;
            };
            let rest = self.raw.get(self.raw_at..).unwrap_or_default();
            let room = decoder.max_utf8_buffer_length(rest.len()).unwrap_or(CHUNK_BYTES * 3).max(16);
            self.text.resize(room, 0);
            let (_, read, written, _) = decoder.decode_to_utf8(rest, &mut self.text, self.ended);
            self.text.truncate(written);
            self.raw_at += read;
        }
        Ok(!self.text.is_empty())
    }
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() {
            if self.raw_at < self.raw.len() {
                return Ok(copy_out(&self.raw, &mut self.raw_at, out));
            }
            return read_some(&mut self.input, out);
        }
        if self.text_at >= self.text.len() && !self.refill_text()? {
            return Ok(0);
        }
        Ok(copy_out(&self.text, &mut self.text_at, out))
    }
}

/// Copies what fits and moves the position on.
fn copy_out(from: &[u8], at: &mut usize, out: &mut [u8]) -> usize {
    let rest = from.get(*at..).unwrap_or_default();
    let count = rest.len().min(out.len());
    for (to, byte) in out.iter_mut().zip(rest) {
        *to = *byte;
    }
    *at += count;
    count
}

/// One read, interruptions retried.
fn read_some(input: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The first bytes of a stream, fewer only when it ends.
fn read_sample(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut sample = Vec::new();
    input.take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
    Ok(sample)
}

/// Archives and other files that people mistake for text.
fn refuse_binary(sample: &[u8]) -> Result<()> {
    let kinds: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "this is a zip archive or a spreadsheet (.xlsx); save it as CSV first"),
        (b"\x1f\x8b", "this is a gzip file; unpack it first"),
        (b"%PDF-", "this is a PDF; export the contacts as CSV or vCard"),
        (b"\xd0\xcf\x11\xe0", "this is an old office document; save it as CSV first"),
    ];
    match kinds.iter().find(|(magic, _)| sample.starts_with(magic)) {
        Some((_, reason)) => Err(Error::invalid("file", *reason)),
        None => Ok(()),
    }
}

fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// The encoding of a sample, and the bytes of its mark.
fn decide(sample: &[u8], other: Other) -> Result<(&'static Encoding, usize)> {
    if let Some(found) = Encoding::for_bom(sample) {
        return Ok(found);
    }
    if let Some(encoding) = utf16_without_mark(sample) {
        return Ok((encoding, 0));
    }
    let zeros = sample.iter().filter(|byte| **byte == 0).count();
    if zeros > 0 && zeros.saturating_mul(10) >= sample.len() {
        let reason = "the file is mostly NUL bytes, so it is no text; export it again as UTF-8";
        return Err(Error::invalid("file", reason));
    }
    match std::str::from_utf8(sample) {
        Ok(_) => Ok((UTF_8, 0)),
        Err(error) if error.error_len().is_none() && error.valid_up_to() + 4 > sample.len() => Ok((UTF_8, 0)),
        Err(_) if other == Other::Keep => Ok((WINDOWS_1252, 0)),
        Err(_) => Ok((guess(sample), 0)),
    }
}

/// UTF-16 shows as zero bytes in every other place.
fn utf16_without_mark(sample: &[u8]) -> Option<&'static Encoding> {
    let pairs = sample.len() / 2;
    if pairs < 2 {
        return None;
    }
    let (mut even, mut odd) = (0_usize, 0_usize);
    for (index, byte) in sample.iter().enumerate() {
        if *byte == 0 {
            if index % 2 == 0 { even += 1 } else { odd += 1 }
        }
    }
    let clear = |many: usize, few: usize| many * 20 >= pairs && few * 20 <= many && few * 50 <= pairs;
    if clear(odd, even) {
        Some(UTF_16LE)
    } else if clear(even, odd) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The likeliest legacy encoding of some bytes that are not UTF-8.
pub fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, chardetng::Utf8Detection::Deny)
}

/// Bytes as text: UTF-8 if they are, else read as Windows-1252. The flag says it was not UTF-8.
pub fn text(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (WINDOWS_1252.decode_without_bom_handling(bytes).0, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: Vec<u8>) -> (String, &'static str) {
        let mut decoded = Decoded::new(Box::new(io::Cursor::new(bytes)), Other::Guess).unwrap();
        let mut text = Vec::new();
        decoded.read_to_end(&mut text).unwrap();
        (String::from_utf8(text).unwrap(), decoded.encoding_name())
    }

    #[test]
    fn every_common_encoding_is_read() {
        let plain = "name,city\nJosé Muñoz,Zürich\n";
        let le = || plain.encode_utf16().flat_map(u16::to_le_bytes);
        let be = || plain.encode_utf16().flat_map(u16::to_be_bytes);
        assert_eq!(decode(plain.into()), (plain.into(), "UTF-8"));
        assert_eq!(decode([b"\xEF\xBB\xBF", plain.as_bytes()].concat()), (plain.into(), "UTF-8"));
        assert_eq!(decode(le().collect()), (plain.into(), "UTF-16LE"));
        assert_eq!(decode(be().collect()), (plain.into(), "UTF-16BE"));
        assert_eq!(decode([0xFF, 0xFE].into_iter().chain(le()).collect()), (plain.into(), "UTF-16LE"));
        assert_eq!(decode([0xFE, 0xFF].into_iter().chain(be()).collect()), (plain.into(), "UTF-16BE"));
        let latin: Vec<u8> = plain.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(decode(latin), (plain.into(), "windows-1252"));
    }

    #[test]
    fn cyrillic_is_guessed_and_long_streams_survive_chunk_borders() {
        let line = "имя,город\nИван Петров,Москва\n".repeat(9000);
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(&line);
        assert_eq!(decode(bytes.into_owned()), (line.clone(), "windows-1251"));
        let utf16: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode([vec![0xFF, 0xFE], utf16].concat()).0, line);
    }

    #[test]
    fn no_text_is_refused() {
        for bytes in [vec![0_u8; 100], b"PK\x03\x04abc".to_vec(), b"\x1f\x8b\x08".to_vec()] {
            let opened = Decoded::new(Box::new(io::Cursor::new(bytes)), Other::Guess);
            assert!(matches!(opened, Err(Error::Invalid { .. })));
        }
    }
}
