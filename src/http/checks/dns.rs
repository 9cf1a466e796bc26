//! Whether a domain takes mail, asked of one name server: MX records, and where there are none the domain's own address
//! (RFC 5321 5.1), unless the domain says that it takes none (RFC 7505).
//!
//! A question and an answer of the domain name system (RFC 1035), no more: no cache but the caller's, no recursion of our own.
//! An answer counts when it comes from the server that was asked, has our number and repeats our question; one that does not
//! fit into a datagram is asked for again over TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Bytes of an answer by datagram, and of any answer, at most.
const DATAGRAM_BYTES_MAX: usize = 4096;
const ANSWER_BYTES_MAX: usize = 65_535;
/// Records of one answer that are looked at, at most.
const RECORDS_MAX: u16 = 256;
const HEADER_BYTES: usize = 12;

const A: u16 = 1;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// What a domain does with mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// It takes mail; the word says why.
    Taken(&'static str),
    /// It takes none; the word says why.
    Refused(&'static str),
    /// The server did not say.
    Unknown,
}

/// Asks whether a domain (punycode) takes mail. `number` tells our questions apart.
pub(super) async fn ask(server: SocketAddr, domain: &str, number: u16, patience: Duration) -> Mail {
    let one = |kind: u16| async move {
        let asked = tokio::time::timeout(patience, exchange(server, domain, number.wrapping_add(kind), kind)).await;
        asked.ok().and_then(Result::ok)
    };
    match one(MX).await {
        None => return Mail::Unknown,
        Some(Answer { code: 3, .. }) => return Mail::Refused("no_such_domain"),
        Some(Answer { code: 0, records }) => {
            if records.iter().any(|record| !record.is_root) {
                return Mail::Taken("mx");
            }
            if !records.is_empty() {
                return Mail::Refused("null_mx");
            }
        }
        Some(_) => return Mail::Unknown,
    }
    for kind in [A, AAAA] {
        match one(kind).await {
            Some(Answer { code: 0, records }) if !records.is_empty() => return Mail::Taken("address_only"),
            Some(Answer { code: 0 | 3, .. }) => {}
            Some(_) | None => return Mail::Unknown,
        }
    }
    Mail::Refused("no_mail_server")
}

async fn exchange(server: SocketAddr, domain: &str, number: u16, kind: u16) -> io::Result<Answer> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let question = question(domain, number, kind).ok_or_else(wrong)?;
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: whatever comes from elsewhere does not reach us.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Some(read) = buffer.get(..length).and_then(|bytes| read(bytes, &question, kind)) else { continue };
        return match read {
            Read::Whole(answer) => Ok(answer),
            Read::Cut => over_tcp(server, &question, kind).await,
        };
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], kind: u16) -> io::Result<Answer> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| wrong())?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = usize::from(stream.read_u16().await?).min(ANSWER_BYTES_MAX);
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    match read(&bytes, question, kind) {
        Some(Read::Whole(answer)) => Ok(answer),
        Some(Read::Cut) | None => Err(wrong()),
    }
}

/// Our question as bytes; `None` for a name that cannot be asked for.
fn question(domain: &str, number: u16, kind: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + domain.len() + 6);
    // Recursion wanted, one question.
    for word in [number, 0x0100, 1, 0, 0, 0] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    for label in domain.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    for word in [kind, 1] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    (bytes.len() <= HEADER_BYTES + 255 + 4).then_some(bytes)
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// 0: fine, 3: no such name.
    code: u8,
    /// Records of the kind that was asked for.
    records: Vec<Record>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    /// An MX whose mail server is the root: the domain takes no mail.
    is_root: bool,
}

/// What bytes turned out to be.
enum Read {
    Whole(Answer),
    /// It did not fit.
    Cut,
}

/// Reads an answer; `None`: these bytes are no answer to our question.
fn read(bytes: &[u8], question: &[u8], kind: u16) -> Option<Read> {
    let asked = question.get(HEADER_BYTES..)?;
    let flags = word(bytes, 2)?;
    let echoed = bytes.get(HEADER_BYTES..HEADER_BYTES + asked.len())?;
    let ours = bytes.get(..2) == question.get(..2) && echoed.eq_ignore_ascii_case(asked);
    if !ours || flags & 0x8000 == 0 || word(bytes, 4)? != 1 {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Read::Cut);
    }
    let code = u8::try_from(flags & 0x000f).ok()?;
    let mut at = HEADER_BYTES + asked.len();
    let mut records = Vec::new();
    for _ in 0..word(bytes, 6)?.min(RECORDS_MAX) {
        at = behind_name(bytes, at)?;
        let (this, length) = (word(bytes, at)?, usize::from(word(bytes, at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        if this == kind {
            records.push(Record { is_root: kind == MX && data.get(2) == Some(&0) });
        }
        at += 10 + length;
    }
    Some(Read::Whole(Answer { code, records }))
}

/// Where a name ends: at its root, or behind the first pointer to elsewhere.
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..128 {
        match bytes.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(*length),
        }
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer to a question: a code, and the data of records of a kind.
    fn answer(question: &[u8], code: u8, kind: u16, data: &[&[u8]]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&(0x8180 | u16::from(code)).to_be_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        for one in data {
            bytes.extend_from_slice(&[0xc0, 12]);
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            bytes.extend_from_slice(&u16::try_from(one.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(one);
        }
        bytes
    }

    #[test]
    fn questions_are_spelt_as_the_rules_want_it() {
        let bytes = question("a.example", 7, MX).unwrap();
        assert_eq!(bytes, b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x0f\0\x01");
        let long = "a".repeat(64);
        for bad in ["", "a..b", long.as_str()] {
            assert!(question(bad, 1, MX).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_an_answer_to_our_question_counts() {
        let ours = question("a.example", 7, MX).unwrap();
        let mail: &[u8] = b"\0\x0a\x04mail\xc0\x0c";
        let good = answer(&ours, 0, MX, &[mail]);
        let whole = |bytes: &[u8]| match read(bytes, &ours, MX) {
            Some(Read::Whole(answer)) => Some(answer),
            Some(Read::Cut) | None => None,
        };
        assert_eq!(whole(&good).unwrap(), Answer { code: 0, records: vec![Record { is_root: false }] });
        assert!(whole(&answer(&ours, 0, MX, &[b"\0\0\0"])).unwrap().records[0].is_root);
        assert!(whole(&answer(&ours, 0, 5, &[mail])).unwrap().records.is_empty(), "an alias is no mail server");
        assert_eq!(whole(&answer(&ours, 3, MX, &[])).unwrap().code, 3);
        let other = question("b.example", 7, MX).unwrap();
        assert!(whole(&answer(&other, 0, MX, &[mail])).is_none());
        let mut numbered = good.clone();
        numbered[1] = 8;
        assert!(whole(&numbered).is_none() && whole(&ours).is_none() && whole(&good[..good.len() - 1]).is_none());
        let mut cut = good;
        cut[2] |= 0x02;
        assert!(matches!(read(&cut, &ours, MX), Some(Read::Cut)));
    }

    /// A name server whose datagrams are made by `by_datagram` and whose streams tell the whole.
    async fn server(by_datagram: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                for answer in by_datagram(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = usize::from(stream.read_u16().await.unwrap());
                let mut question = vec![0; length];
                stream.read_exact(&mut question).await.unwrap();
                let whole = answer(&question, 0, MX, &[b"\0\x0a\x02mx\xc0\x0c"]);
                stream.write_u16(u16::try_from(whole.len()).unwrap()).await.unwrap();
                stream.write_all(&whole).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_is_fetched_over_a_stream() {
        let cut = |question: &[u8]| {
            let mut cut = answer(question, 0, MX, &[]);
            cut[2] |= 0x02;
            vec![cut]
        };
        let address = server(cut).await;
        assert_eq!(ask(address, "a.example", 1, Duration::from_secs(20)).await, Mail::Taken("mx"));
    }

    #[tokio::test]
    async fn what_answers_another_question_is_passed_over_and_silence_says_nothing() {
        let confused = |question: &[u8]| {
            let mut forged = answer(question, 3, MX, &[]);
            forged[0] ^= 0xff;
            vec![forged, answer(question, 0, MX, &[b"\0\0\0"])]
        };
        let address = server(confused).await;
        assert_eq!(ask(address, "a.example", 1, Duration::from_secs(20)).await, Mail::Refused("null_mx"));
        let silent = server(|_| Vec::new()).await;
        assert_eq!(ask(silent, "a.example", 1, Duration::from_millis(50)).await, Mail::Unknown);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), from in 0usize..40) {
            let ours = question("a.example", 7, MX).unwrap();
            let _ = read(&bytes, &ours, MX);
            let mut near = answer(&ours, 0, MX, &[b"\0\x0a\x01m\0"]);
            for (to, from) in near.iter_mut().skip(from).zip(&bytes) {
                *to = *from;
            }
            let _ = read(&near, &ours, MX);
        }
    }
}
