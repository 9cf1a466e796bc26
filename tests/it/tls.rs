//! TLS: both versions of HTTP, a certificate that changes while the server runs, files that cannot be used, and
//! certificates of clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::hosted::{Answer, Hosted};
use crate::server::{file, folder, run, stderr, stdout};

const KEY: &str = "the-admin-of-everything";

/// Somebody whom both sides trust to sign.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, as PEM and DER.
    fn issue(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued {
            cert: cert.pem(),
            key: key.serialize_pem(),
            cert_der: cert.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

struct Issued {
    cert: String,
    key: String,
    cert_der: Vec<u8>,
    key_der: Vec<u8>,
}

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: folder() }
    }

    fn put(&self, issued: &Issued) {
        file(self.folder.path(), "cert.pem", &issued.cert);
        file(self.folder.path(), "key.pem", &issued.key);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toml(&self) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        format!("api_keys = ['{KEY}']\ntls_cert = '{}'\ntls_key = '{}'\n", cert.display(), key.display())
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Speaks TLS with the server, trusting an authority, with a certificate of our own or without.
fn speak(hosted: &Hosted, trusted: &Authority, own: Option<&Issued>, alpn: &[&[u8]]) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::try_from(own.key_der.clone()).unwrap();
            builder.with_client_auth_cert(vec![own.cert_der.clone().into()], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = hosted.connect();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// One request; more may follow.
fn ask(stream: &mut Stream) -> std::io::Result<u16> {
    write!(stream, "GET /v1/admin/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n")?;
    let mut seen = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&piece[..count]);
        let Some(answer) = Answer::first(&seen) else { continue };
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        if answer.body.len() >= length {
            assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
            return Ok(answer.status);
        }
    }
}

fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn both_versions_of_http_are_spoken_over_tls_and_nothing_without_it() {
    let (home, authority) = (Home::new(), Authority::new());
    home.put(&authority.issue());
    let hosted = Hosted::start(&home.toml());
    let mut one = speak(&hosted, &authority, None, &[b"http/1.1"]).unwrap();
    assert_eq!(one.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask(&mut one).unwrap(), 200);
    let mut two = speak(&hosted, &authority, None, &[b"h2", b"http/1.1"]).unwrap();
    assert_eq!(two.conn.alpn_protocol(), Some(&b"h2"[..]));
    two.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    two.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the server's settings");
    let plain = hosted.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!plain.starts_with(b"HTTP"), "plain HTTP is not spoken on this port");
    assert!(speak(&hosted, &Authority::new(), None, &[]).is_err(), "who does not know the authority does not talk");
    assert_eq!(ask(&mut speak(&hosted, &authority, None, &[]).unwrap()).unwrap(), 200);
}

/// Waits until new connections meet what is wanted.
fn until_shown(hosted: &Hosted, authority: &Authority, wanted: &Issued) {
    let started = Instant::now();
    loop {
        if speak(hosted, authority, None, &[]).is_ok_and(|stream| shown(&stream) == wanted.cert_der) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the certificate did not change");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_certificate_is_taken_without_dropping_anybody_and_a_bad_one_is_not() {
    let (home, authority) = (Home::new(), Authority::new());
    let (first, second, third) = (authority.issue(), authority.issue(), authority.issue());
    home.put(&first);
    let hosted = Hosted::start(&home.toml());
    let mut before = speak(&hosted, &authority, None, &[]).unwrap();
    assert_eq!((shown(&before), ask(&mut before).unwrap()), (first.cert_der.clone(), 200));
    home.put(&second);
    until_shown(&hosted, &authority, &second);
    assert_eq!(ask(&mut before).unwrap(), 200, "who was connected stays so");

    // Each bad file stays for longer than it takes to look at it.
    for (name, text) in
        [("cert.pem", third.cert.as_str()), ("cert.pem", "half a certif"), ("key.pem", "no key"), ("cert.pem", "")]
    {
        file(home.folder.path(), name, text);
        std::thread::sleep(Duration::from_millis(2500));
        let now = speak(&hosted, &authority, None, &[]).unwrap();
        assert_eq!(shown(&now), second.cert_der, "the old certificate goes on beside a bad {name}");
        assert_eq!(ask(&mut before).unwrap(), 200, "who was connected stays so");
    }
    #[expect(clippy::disallowed_methods, reason = "a test that loses a file")]
    std::fs::remove_file(home.path("key.pem")).unwrap();
    home.put(&third);
    until_shown(&hosted, &authority, &third);
    assert_eq!(ask(&mut before).unwrap(), 200);
}

#[test]
fn clients_show_a_certificate_where_the_configuration_wants_one() {
    let (home, authority, clients) = (Home::new(), Authority::new(), Authority::new());
    home.put(&authority.issue());
    let ca = file(home.folder.path(), "clients.pem", clients.pem());
    let hosted = Hosted::start(&format!("{}tls_client_ca = '{}'\n", home.toml(), ca.display()));
    let asked = |own: Option<&Issued>| speak(&hosted, &authority, own, &[]).and_then(|mut stream| ask(&mut stream));
    assert_eq!(asked(Some(&clients.issue())).unwrap(), 200);
    assert!(asked(None).is_err(), "without a certificate");
    assert!(asked(Some(&authority.issue())).is_err(), "with one that somebody else has signed");
}

#[test]
fn commands_speak_tls_with_servers_that_they_can_trust() {
    let (home, authority) = (Home::new(), Authority::new());
    home.put(&authority.issue());
    let ca = file(home.folder.path(), "ca.pem", authority.pem());
    let (ca, none) = (ca.to_str().unwrap(), file(home.folder.path(), "none.pem", ""));
    let hosted = Hosted::start(&home.toml());
    let url = format!("https://localhost:{}", hosted.address.port());
    let by_number = format!("https://{}", hosted.address);
    let keys = |url: &str, more: &[&str]| run(&[&["keys", "list", "--key", KEY, "--url", url], more].concat());
    let listed = keys(&url, &["--ca-file", ca]);
    assert!(listed.status.success() && stdout(&listed).contains("configuration"), "{}", stderr(&listed));
    for (url, more, code) in
        [(&url, &[][..], 1), (&by_number, &["--ca-file", ca], 1), (&url, &["--ca-file", none.to_str().unwrap()], 2)]
    {
        let refused = keys(url, more);
        assert_eq!(refused.status.code(), Some(code), "{url} {more:?}: {}", stderr(&refused));
        assert!(!stderr(&refused).contains(KEY));
    }
    let bench = run(&["bench", "--url", &url, "--ca-file", ca, "--key", KEY, "--seconds", "1"]);
    assert_eq!(bench.status.code(), Some(2), "{}", stderr(&bench));
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start() {
    let (home, authority) = (Home::new(), Authority::new());
    let (one, other) = (authority.issue(), authority.issue());
    home.put(&one);
    let other_key = file(home.folder.path(), "other.pem", &other.key);
    let none = file(home.folder.path(), "none.pem", "");
    let (cert, key) = (home.path("cert.pem"), home.path("key.pem"));
    let missing = home.path("missing.pem");
    let cases: [(&Path, &Path, &str); 4] = [
        (&missing, &key, "tls_cert"),
        (&none, &key, "tls_cert"),
        (&cert, &none, "tls_key"),
        (&cert, &other_key, "tls_cert"),
    ];
    for (cert, key, field) in cases {
        let data = home.path("data");
        let output = run(&[
            "serve".as_ref(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--data-dir".as_ref(),
            data.as_os_str(),
            "--tls-cert".as_ref(),
            cert.as_os_str(),
            "--tls-key".as_ref(),
            key.as_os_str(),
        ] as &[&std::ffi::OsStr]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("{field}: ")), "{}", stderr(&output));
    }
}
