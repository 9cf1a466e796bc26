//! Whether a domain takes mail, asked of one name server: MX records, and where there are none the domain's own address
//! (RFC 5321 5.1), unless the domain says that it takes none (RFC 7505).
//!
//! The domain name system itself is hickory's: its resolver follows aliases, tells answers to our questions from others, and asks
//! again over TCP for what does not fit into a datagram. It keeps no answers: whoever asks does ([`super::Checker`]), for
//! an hour.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::error::{Error, Result};

/// Attempts after the first that got no answer.
const ATTEMPTS_MORE: usize = 1;

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

/// Asks one name server and nobody else, not even this machine's list of hosts. `patience`: for one attempt.
///
/// # Errors
/// `Invalid` for the configuration's `mx_resolver` when no resolver can be made of it.
pub(super) fn resolver(server: SocketAddr, patience: Duration) -> Result<TokioResolver> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = patience;
    options.attempts = ATTEMPTS_MORE;
    options.cache_size = 0;
    options.edns0 = false;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().map_err(|error| Error::invalid("mx_resolver", format!("no name server can be asked: {error}")))
}

/// Asks whether a domain (punycode) takes mail.
pub(super) async fn ask(resolver: &TokioResolver, domain: &str) -> Mail {
    let Ok(mut name) = Name::from_ascii(domain) else { return Mail::Unknown };
    name.set_fqdn(true);
    match records(resolver, &name, RecordType::MX).await {
        Found::Some(found) => {
            let is_null = |data: &RData| matches!(data, RData::MX(mx) if mx.exchange.is_root());
            return if found.iter().all(is_null) { Mail::Refused("null_mx") } else { Mail::Taken("mx") };
        }
        Found::NoDomain => return Mail::Refused("no_such_domain"),
        Found::None => {}
        Found::Unknown => return Mail::Unknown,
    }
    for kind in [RecordType::A, RecordType::AAAA] {
        match records(resolver, &name, kind).await {
            Found::Some(_) => return Mail::Taken("address_only"),
            Found::None | Found::NoDomain => {}
            Found::Unknown => return Mail::Unknown,
        }
    }
    Mail::Refused("no_mail_server")
}

/// What a name has of one kind.
enum Found {
    /// At least one.
    Some(Vec<RData>),
    /// None of this kind.
    None,
    /// There is no such name.
    NoDomain,
    /// The server did not say.
    Unknown,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors are open-ended")]
async fn records(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Found {
    match resolver.lookup(name.clone(), kind).await {
        Ok(found) => {
            let data = found.answers().iter().map(|record| &record.data).filter(|data| data.record_type() == kind);
            let data: Vec<RData> = data.cloned().collect();
            if data.is_empty() { Found::None } else { Found::Some(data) }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Found::NoDomain,
            ResponseCode::NoError => Found::None,
            _ => Found::Unknown,
        },
        Err(_) => Found::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UdpSocket;

    use super::*;

    const MX: u16 = 15;

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

    async fn asked(server: SocketAddr, patience: Duration) -> Mail {
        ask(&resolver(server, patience).unwrap(), "a.example").await
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
        assert_eq!(asked(address, Duration::from_secs(20)).await, Mail::Taken("mx"));
    }

    #[tokio::test]
    async fn what_answers_another_question_is_passed_over_and_silence_says_nothing() {
        let confused = |question: &[u8]| {
            let mut forged = answer(question, 3, MX, &[]);
            forged[0] ^= 0xff;
            vec![forged, answer(question, 0, MX, &[b"\0\0\0"])]
        };
        let address = server(confused).await;
        assert_eq!(asked(address, Duration::from_secs(20)).await, Mail::Refused("null_mx"));
        let silent = server(|_| Vec::new()).await;
        assert_eq!(asked(silent, Duration::from_millis(50)).await, Mail::Unknown);
    }

    #[tokio::test]
    async fn a_name_that_nobody_can_have_is_not_asked_for() {
        let server = server(|question| vec![answer(question, 3, MX, &[])]).await;
        let resolver = resolver(server, Duration::from_secs(20)).unwrap();
        assert_eq!(ask(&resolver, "a.example").await, Mail::Refused("no_such_domain"));
        for bad in ["a..b", "a".repeat(64).as_str()] {
            assert_eq!(ask(&resolver, bad).await, Mail::Unknown, "{bad}");
        }
    }
}
