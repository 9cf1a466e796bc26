//! The look-up that is sent most, read in one pass: a list of digests, and members that are plain words.
//!
//! Half of what a look-up cost was reading it. A batch is nearly always a thousand times the same few bytes around 64
//! hexadecimal digits, so those are compared, not parsed. Whatever else is sent (plain identifiers, escapes, lists of
//! incremental calls, mistakes) is `None` here and read by serde, whose word on it is final: this reads nothing that serde
//! would refuse, and reads it as serde would. A property test compares the two.

use std::borrow::Cow;

use crate::discovery::dialect::{from_hex, parse_digest};
use crate::discovery::{Inner, Kind};
use crate::http::wire::lookup::{IDENTIFIERS_MAX, Identifier, Lookup, Text};
use crate::normalize::phone;

/// Bytes that a digest takes in a body at least, with all around it.
const DIGEST_BYTES: usize = 64;

/// Reads a request of the form above; `None`: it is of another form, or wrong.
pub(super) fn read(bytes: &[u8]) -> Option<Lookup<'_>> {
    let mut rest = Rest(bytes);
    let (mut new, mut asker, mut region, mut pad) = (None, None, None, None);
    rest.skip(b'{')?;
    loop {
        let name = rest.word()?;
        rest.skip(b':')?;
        match name {
            "identifiers" => once(&mut new, rest.digests(bytes.len())?)?,
            "asker" => once(&mut asker, rest.word()?)?,
            "default_region" => once(&mut region, rest.word()?)?,
            "pad" => once(&mut pad, rest.truth()?)?,
            _ => return None,
        }
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    rest.white();
    if !rest.0.is_empty() || region.is_some_and(|code| phone::region(code).is_none()) {
        return None;
    }
    let text = |text| Text(Cow::Borrowed(text));
    Some(Lookup {
        prev: Vec::new(),
        new: new?,
        discard: Vec::new(),
        token: None,
        is_incremental: false,
        asker: asker.map(text),
        region: region.map(text),
        pad: pad.unwrap_or(false),
    })
}

/// Keeps a member's value; a second one is a mistake.
fn once<T>(member: &mut Option<T>, value: T) -> Option<()> {
    member.replace(value).is_none().then_some(())
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Leaves out white space.
    fn white(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.white();
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Whether `start` comes next, which is read then.
    fn takes(&mut self, start: &[u8]) -> bool {
        let rest = self.0.strip_prefix(start);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A string of printable ASCII without escapes: its bytes are its text.
    fn word(&mut self) -> Option<&'a str> {
        self.skip(b'"')?;
        // First where it ends, then what is in it: both take many bytes at once.
        let length = memchr::memchr2(b'"', b'\\', self.0)?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\"")?;
        let is_printable = text.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte));
        is_printable.then(|| std::str::from_utf8(text).ok())?
    }

    fn truth(&mut self) -> Option<bool> {
        self.white();
        if self.takes(b"true") {
            return Some(true);
        }
        self.takes(b"false").then_some(false)
    }

    /// A list of digests; `left` bytes are there for it at most.
    fn digests(&mut self, left: usize) -> Option<Vec<Identifier<'a>>> {
        self.skip(b'[')?;
        let mut all = Vec::with_capacity((left / DIGEST_BYTES).min(IDENTIFIERS_MAX));
        self.white();
        if self.takes(b"]") {
            return Some(all);
        }
        loop {
            if all.len() >= IDENTIFIERS_MAX {
                return None;
            }
            let (kind, inner) = self.digest()?;
            all.push(Identifier::Digest(kind, inner));
            match self.next()? {
                b',' => {}
                b']' => return Some(all),
                _ => return None,
            }
        }
    }

    /// One digest with its kind, in either order.
    fn digest(&mut self) -> Option<(Kind, Inner)> {
        if let Some(found) = self.digest_to_the_byte() {
            return Some(found);
        }
        let (mut kind, mut inner) = (None, None);
        self.skip(b'{')?;
        loop {
            let name = self.word()?;
            self.skip(b':')?;
            match name {
                "sha256" => once(&mut inner, parse_digest(self.word()?)?)?,
                "kind" => once(&mut kind, Kind::from_word(self.word()?)?)?,
                _ => return None,
            }
            match self.next()? {
                b',' => {}
                b'}' => return Some((kind?, inner?)),
                _ => return None,
            }
        }
    }

    /// One digest as most libraries write it: 64 hexadecimal digits or 43 of base64, first, with nothing between the parts. Reads
    /// nothing where it is written otherwise.
    fn digest_to_the_byte(&mut self) -> Option<(Kind, Inner)> {
        let rest = self.0.strip_prefix(b"{\"sha256\":\"")?;
        let (inner, rest) = match rest.get(43) {
            Some(b'"') => {
                let (digits, rest) = rest.split_first_chunk::<43>()?;
                (parse_digest(std::str::from_utf8(digits).ok()?)?, rest)
            }
            _ => {
                let (digits, rest) = rest.split_first_chunk::<64>()?;
                (Inner(from_hex(digits)?), rest)
            }
        };
        let rest = rest.strip_prefix(b"\",\"kind\":\"")?;
        let (kind, rest) = match rest.strip_prefix(b"phone\"}") {
            Some(rest) => (Kind::Phone, rest),
            None => (Kind::Email, rest.strip_prefix(b"email\"}")?),
        };
        self.0 = rest;
        Some((kind, inner))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;
    use crate::discovery::dialect::primary;
    use crate::http::wire::lookup::read_by_serde;

    fn hex(number: u32) -> String {
        primary(&number.to_string()).0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What two readers made of a body, as text.
    fn shown(lookup: &Lookup<'_>) -> String {
        format!("{lookup:?} {:?}", digests(lookup))
    }

    /// The digests, which do not show in a log.
    fn digests(lookup: &Lookup<'_>) -> Vec<[u8; 32]> {
        let digest = |one: &Identifier<'_>| match one {
            Identifier::Digest(_, inner) => Some(inner.0),
            Identifier::Plain(..) => None,
        };
        lookup.new.iter().filter_map(digest).collect()
    }

    #[test]
    fn what_clients_send_is_read_here() {
        let (a, b) = (hex(1), hex(2));
        for body in [
            format!(r#"{{"identifiers":[{{"sha256":"{a}","kind":"phone"}},{{"sha256":"{b}","kind":"email"}}]}}"#),
            format!(
                r#"{{"identifiers": [{{"sha256": "{a}", "kind": "phone"}}, {{"kind": "email", "sha256": "{b}"}}]}}"#
            ),
            format!(
                "{{\n \"asker\": \"user-17\",\n \"identifiers\": [ {{\"kind\":\"phone\",\"sha256\":\"{a}\"}} ] }} \n"
            ),
            r#"{"identifiers":[],"pad":true,"default_region":"de"}"#.to_owned(),
            r#"{"identifiers":[{"sha256":"-_8zDMGhJZ7VpZmKI6zM_TfPQ1GnkxpbPwkLZC3Xvp0","kind":"email"}]}"#.to_owned(),
        ] {
            let (quick, slow) = (read(body.as_bytes()).unwrap(), read_by_serde(body.as_bytes()).unwrap());
            assert_eq!(shown(&quick), shown(&slow), "{body}");
        }
    }

    #[test]
    fn everything_else_is_left_to_serde() {
        let a = hex(1);
        let many = vec![format!(r#"{{"sha256":"{a}","kind":"phone"}}"#); IDENTIFIERS_MAX + 1].join(",");
        for body in [
            "{}".to_owned(),
            r#"{"identifiers":[{"phone":"+1"}]}"#.to_owned(),
            r#"{"new":[]}"#.to_owned(),
            r#"{"identifiers":[],"identifiers":[]}"#.to_owned(),
            r#"{"identifiers":[]} x"#.to_owned(),
            r#"{"identifiers":[],}"#.to_owned(),
            r#"{"identifiers":[],"asker":"\u0061"}"#.to_owned(),
            // White space before the closing quote was left out, as between members; to serde it is a mistake.
            "{\"identifiers\":[],\"asker\":\"u1\n\"}".to_owned(),
            "{\"identifiers\":[],\"asker\":\"u1\t\"}".to_owned(),
            r#"{"identifiers":[],"default_region":"6505551212"}"#.to_owned(),
            format!(r#"{{"identifiers":[{{"sha256":"{a}"}}]}}"#),
            format!(r#"{{"identifiers":[{{"sha256":"{a}","kind":"phone","kind":"phone"}}]}}"#),
            format!(r#"{{"identifiers":[{{"sha256":"{}g","kind":"phone"}}]}}"#, &a[1..]),
            format!(r#"{{"identifiers":[{many}]}}"#),
        ] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }

    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let one = (0_u32..4, 0_u8..4, any::<bool>(), any::<bool>()).prop_map(|(number, spelt, first, spaced)| {
            let digest = match spelt {
                0 => hex(number).to_uppercase(),
                1 => hex(number),
                2 => BASE64_URL_SAFE_NO_PAD.encode(primary(&number.to_string()).0),
                _ => BASE64_STANDARD.encode(primary(&number.to_string()).0),
            };
            let space = if spaced { " " } else { "" };
            let (digest, kind) = (format!("\"sha256\":{space}\"{digest}\""), format!("\"kind\":{space}\"phone\""));
            if first { format!("{{{digest},{space}{kind}}}") } else { format!("{{{kind},{space}{digest}}}") }
        });
        let members = prop::sample::subsequence(
            vec![r#""asker":"u1""#, r#""pad":true"#, r#""pad": false"#, r#""default_region":"US""#, r#""extra":1"#],
            0..4,
        );
        (prop::collection::vec(one, 0..4), members, any::<bool>()).prop_map(|(list, members, last)| {
            let list = format!("\"identifiers\":[{}]", list.join(","));
            let mut all: Vec<&str> = members;
            all.insert(if last { all.len() } else { 0 }, &list);
            format!("{{{}}}", all.join(",")).into_bytes()
        })
    }

    proptest! {
        /// Whole bodies, and bodies in which a byte was changed, dropped or doubled.
        #[test]
        fn it_reads_nothing_that_serde_reads_otherwise(body in bodies(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0_u8..4) {
            let mut body = body;
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => drop(body.remove(at)),
                2 => body.insert(at, body[at]),
                _ => {}
            }
            if let Some(quick) = read(&body) {
                let slow = read_by_serde(&body);
                prop_assert!(slow.is_ok(), "{:?}", String::from_utf8_lossy(&body));
                prop_assert_eq!(shown(&quick), shown(&slow.unwrap()));
            }
        }
    }
}
