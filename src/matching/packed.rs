//! The bytes that a record's features are packed into: written once, read in place while pairs are scored.
//!
//! A record is one allocation of some two hundred bytes instead of a dozen, and what it lacks takes none. Numbers are
//! little endian, lengths are varints, and a *section* is a length and so many bytes; sections that are empty are left
//! out, which a set of bits at the beginning tells. Nothing here is stored on disk.

/// Bytes reserved for a record to begin with.
const USUAL_BYTES: usize = 256;

/// Writes features.
#[derive(Debug)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    sections: u16,
}

impl Packer {
    /// Nothing yet.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend([0; 2]); // the sections' bits, filled in at the end
        Self { bytes, sections: 0 }
    }

    /// Goes on writing behind the sections that are there; a new one must be the last in order.
    pub fn resume(packed: &[u8]) -> Self {
        Self { bytes: packed.to_vec(), sections: Packed(packed).u16() }
    }

    /// What was written.
    pub fn finish(mut self) -> Box<[u8]> {
        self.bytes.iter_mut().zip(self.sections.to_le_bytes()).for_each(|(to, from)| *to = from);
        self.bytes.into_boxed_slice()
    }

    /// A section of what `fill` writes; none when it writes nothing.
    pub fn section(&mut self, bit: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes.push(0);
        fill(self);
        let length = self.bytes.len() - at - 1;
        match (length, u8::try_from(length)) {
            (0, _) => self.bytes.truncate(at),
            (_, Ok(short @ 0..0x80)) => {
                self.sections |= bit;
                self.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = short);
            }
            _ => {
                self.sections |= bit;
                self.bytes.splice(at..=at, varint(length));
            }
        }
    }

    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes, bit for bit.
    pub fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    /// Bytes with their length.
    pub fn text(&mut self, text: &[u8]) {
        self.bytes.extend(varint(text.len()));
        self.bytes.extend_from_slice(text);
    }

    /// Bytes whose length the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// A length, seven bits a byte, the lowest first.
fn varint(mut value: usize) -> impl Iterator<Item = u8> {
    let mut more = true;
    std::iter::from_fn(move || {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        let byte = if value > 0 { low | 0x80 } else { low };
        std::mem::replace(&mut more, value > 0).then_some(byte)
    })
}

/// Reads features. What is not there reads as nothing: what was packed is never short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    /// From the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    #[inline]
    pub fn u8(&mut self) -> u8 {
        let [value] = self.array();
        value
    }

    /// Two bytes.
    #[inline]
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number as it was.
    #[inline]
    pub fn f32(&mut self) -> f32 {
        f32::from_bits(self.u32())
    }

    /// Bytes that come with their length: a text or a section.
    #[inline]
    pub fn text(&mut self) -> &'a [u8] {
        let length = self.varint();
        self.raw(length)
    }

    /// So many bytes.
    #[inline]
    pub fn raw(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        taken
    }

    /// All that follows, one after the other.
    pub fn each<T>(mut self, read: impl Fn(&mut Self) -> T) -> impl Iterator<Item = T> {
        std::iter::from_fn(move || (!self.is_empty()).then(|| read(&mut self)))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((taken, rest)) => {
                self.0 = rest;
                *taken
            }
            None => {
                self.0 = &[];
                [0; N]
            }
        }
    }

    #[inline]
    fn varint(&mut self) -> usize {
        let first = self.u8();
        if first < 0x80 { usize::from(first) } else { self.long_varint(usize::from(first & 0x7f)) }
    }

    #[cold]
    fn long_varint(&mut self, mut value: usize) -> usize {
        for shift in (7..usize::BITS).step_by(7) {
            let byte = self.u8();
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sections come back as they went in, the empty ones as nothing, whatever their lengths.
        #[test]
        fn sections_come_back(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..16),
            late in any::<u64>(),
        ) {
            let mut packer = Packer::new();
            for (bit, text) in texts.iter().enumerate() {
                packer.section(1 << bit, |out| out.raw(text));
            }
            let mut packer = Packer::resume(&packer.finish());
            packer.section(1 << 15, |out| out.u64(late));
            let bytes = packer.finish();
            let mut packed = Packed::new(&bytes);
            let bits = packed.u16();
            for (bit, text) in texts.iter().enumerate().filter(|(bit, _)| *bit < 15) {
                prop_assert_eq!(bits & 1 << bit != 0, !text.is_empty());
                if !text.is_empty() {
                    prop_assert_eq!(packed.text(), &text[..]);
                }
            }
            let mut last = Packed::new(&bytes[bytes.len() - 9..]);
            prop_assert_eq!(last.text(), &late.to_le_bytes());
        }

        /// Anything may be read from anything: it ends, and what is missing is nothing.
        #[test]
        fn short_bytes_read_as_nothing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let texts = Packed::new(&bytes).each(|packed| packed.text().len());
            prop_assert!(texts.count() <= bytes.len());
            let numbers = Packed::new(&bytes).each(|packed| (packed.u64(), packed.f32(), packed.u16()));
            prop_assert!(numbers.count() <= bytes.len());
        }

        #[test]
        fn lengths_come_back(length in 0_usize..1_000_000) {
            let bytes: Vec<u8> = varint(length).collect();
            let mut packed = Packed::new(&bytes);
            prop_assert_eq!(packed.varint(), length);
            prop_assert!(packed.is_empty());
        }
    }
}
