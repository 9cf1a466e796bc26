//! Which format a file is in: by what the sender says, by its extension, by its first bytes.

use crate::error::{Error, Result};

/// A format we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-, semicolon-, tab- or pipe-separated values with a header.
    Csv,
    /// vCard 2.1, 3.0 or 4.0, any number of cards.
    Vcard,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// By the `Content-Type` header; `None` when it says nothing.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/csv" | "application/csv" | "text/tab-separated-values" => Some(Self::Csv),
            "text/vcard" | "text/x-vcard" | "text/directory" => Some(Self::Vcard),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// By the file's name; `None` when the extension is unknown.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "vcf" | "vcard" => Some(Self::Vcard),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// By the first bytes: `BEGIN:VCARD`, `{`, else CSV. Understands a byte order mark and UTF-16.
    pub fn from_first_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..bytes.len().min(512)).unwrap_or_default();
        let mut start = bytes
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF) && !byte.is_ascii_whitespace());
        let head: Vec<u8> = start.by_ref().take(11).map(|byte| byte.to_ascii_uppercase()).collect();
        if head == b"BEGIN:VCARD" {
            Self::Vcard
        } else if head.first() == Some(&b'{') {
            Self::Ndjson
        } else {
            Self::Csv
        }
    }

    /// By content first, then by name: `BEGIN:VCARD` and `{` are sure, all else may be anything.
    pub fn of_file(name: &str, first_bytes: &[u8]) -> Self {
        match Self::from_first_bytes(first_bytes) {
            Self::Csv => Self::from_file_name(name).unwrap_or(Self::Csv),
            sure @ (Self::Vcard | Self::Ndjson) => sure,
        }
    }

    /// The format a request names.
    ///
    /// # Errors
    /// `Invalid` when it names none of ours.
    pub fn of_request(content_type: &str) -> Result<Self> {
        Self::from_content_type(content_type).ok_or_else(|| {
            let reason = "send text/csv, text/vcard or application/x-ndjson";
            Error::invalid("content-type", reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        let utf16: Vec<u8> = "\u{feff}BEGIN:VCARD".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cases: [(&str, &[u8], Format); 7] = [
            ("a.txt", b"begin:vcard\r\n", Format::Vcard),
            ("a.csv", b"\xEF\xBB\xBFBEGIN:VCARD\r\n", Format::Vcard),
            ("a.txt", &utf16, Format::Vcard),
            ("a.txt", b" \n{\"name\":1}", Format::Ndjson),
            ("a.txt", b"name,email", Format::Csv),
            ("a.vcf", b"X", Format::Vcard),
            ("a", b"", Format::Csv),
        ];
        for (name, bytes, format) in cases {
            assert_eq!(Format::of_file(name, bytes), format, "{name}");
        }
        assert_eq!(Format::from_content_type("Text/CSV; charset=utf-8"), Some(Format::Csv));
        assert!(Format::of_request("application/json").is_err());
    }
}
