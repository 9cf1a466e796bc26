//! One attempt: resolve, check, connect to the very address that was checked, speak TLS and HTTP/1.1, read the status.
//!
//! Not a general client: no pool, no redirects, no proxy, and of an answer only its head, which is bounded. A connection
//! for each delivery costs a handshake; a delivery carries many entries, and nothing is kept open to a stranger.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::ServerConfig;
use crate::error::{Error, Result};
use crate::host::{Disk, Names, RealDisk};
use crate::http::delivery::target::Target;

/// Bytes of an answer's head at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer's body at most, where it is read at all.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Addresses of one name that are tried at most.
const ADDRESSES_MAX: usize = 3;

/// Sends deliveries.
#[derive(Clone)]
pub(in crate::http) struct Client {
    names: Arc<dyn Names>,
    tls: TlsConnector,
    allow_private: bool,
    timeout: Duration,
}

/// Why an attempt failed, in words that show nothing of the answer's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Failed(pub(in crate::http) String);

impl Client {
    /// A client under the configuration.
    ///
    /// # Errors
    /// `Invalid` for a `webhooks_ca_file` that cannot be read or holds no certificate.
    pub(in crate::http) fn new(config: &ServerConfig, names: Arc<dyn Names>) -> Result<Self> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &config.webhooks_ca_file {
            let wrong = |why: &str| Error::invalid("webhooks_ca_file", format!("{}: {why}", path.display()));
            let pem = RealDisk.read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| wrong("is not PEM"))?;
                roots.add(certificate).map_err(|_| wrong("holds a certificate that is none"))?;
            }
            if roots.len() == webpki_roots::TLS_SERVER_ROOTS.len() {
                return Err(wrong("holds no certificate; it must be PEM"));
            }
        }
        let config_of_tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::io("set up TLS", io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            names,
            tls: TlsConnector::from(Arc::new(config_of_tls)),
            allow_private: config.webhooks_allow_private,
            timeout: config.webhooks_timeout,
        })
    }

    /// The addresses of a target, whatever they are, within the time of an attempt.
    ///
    /// # Errors
    /// That there are none.
    pub(super) async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, Failed> {
        let found = tokio::time::timeout(self.timeout, self.names.addresses(&target.host)).await;
        let found = found.map_err(|_| Failed("the host's name did not resolve in time".into()))?;
        found.map_err(|error| Failed(format!("the host's name did not resolve: {}", error.kind())))
    }

    /// The addresses of a target, if all of them may be called.
    ///
    /// # Errors
    /// What is wrong with the name or an address.
    pub(super) async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failed> {
        let found = self.resolve(target).await?;
        target.check_addresses(&found, self.allow_private).map_err(|error| Failed(error.to_string()))?;
        if found.is_empty() {
            return Err(Failed("the host's name has no address".into()));
        }
        Ok(found)
    }

    /// Sends a request with headers and body all set; gives the answer's status.
    ///
    /// # Errors
    /// What went wrong before there was a status, the time limit included.
    pub(super) async fn send(&self, target: &Target, request: Request<Full<Bytes>>) -> Result<StatusCode, Failed> {
        let attempt = self.attempt(target, request);
        let late = |_| Failed(format!("no answer within {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, attempt).await.map_err(late)?
    }

    /// Sends a request and reads the whole answer, 64 KiB at most: for those who are asked something.
    ///
    /// # Errors
    /// What went wrong, the time limit and a body beyond the bound included.
    pub(in crate::http) async fn ask(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let late = |_| Failed(format!("no answer within {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, self.conversation(target, request)).await.map_err(late)?
    }

    async fn conversation(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let addresses = self.addresses(target).await?;
        let stream = connect(&addresses, target.port).await?;
        if target.tls {
            read_whole(self.secure(target, stream).await?, request).await
        } else {
            read_whole(stream, request).await
        }
    }

    async fn secure(&self, target: &Target, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failed> {
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|_| Failed("the host is no name that a certificate could have".into()))?;
        let stream = self.tls.connect(name, stream).await;
        stream.map_err(|error| Failed(format!("TLS failed: {}", short(&error.to_string()))))
    }

    async fn attempt(&self, target: &Target, request: Request<Full<Bytes>>) -> Result<StatusCode, Failed> {
        let addresses = self.addresses(target).await?;
        let stream = connect(&addresses, target.port).await?;
        if !target.tls {
            return exchange(stream, request).await;
        }
        exchange(self.secure(target, stream).await?, request).await
    }
}

async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Failed> {
    let mut failed = Failed("the host's name has no address".into());
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Failed(format!("no connection: {}", error.kind())),
        }
    }
    Err(failed)
}

/// Sends the request and waits for the answer's head; its body is never read.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Failed(format!("the exchange broke: {}", short(&error.to_string())));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(request));
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        // The receiver may have closed right behind its answer, which is there then.
        _ = &mut connection => answer.await,
    };
    answered.map(|answer| answer.status()).map_err(broken)
}

/// Sends the request and reads head and body of the answer.
async fn read_whole<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Failed(format!("the exchange broke: {}", short(&error.to_string())));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut whole = pin!(async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body
            .map_err(|error| Failed(format!("the answer broke off or is too long: {}", short(&error.to_string()))))?;
        Ok((status, body.to_bytes()))
    });
    tokio::select! {
        biased;
        done = &mut whole => done,
        // The other side may have closed right behind its answer, which is there then.
        _ = &mut connection => whole.await,
    }
}

/// A text of bounded length.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig as TlsServer;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::host::{FixedNames, SystemNames};

    const HERE: [u8; 4] = [127, 0, 0, 1];

    fn client(allow_private: bool, ca_file: Option<&std::path::Path>, names: Arc<dyn Names>) -> Result<Client> {
        let config = ServerConfig {
            webhooks_allow_private: allow_private,
            webhooks_ca_file: ca_file.map(Into::into),
            webhooks_timeout: Duration::from_secs(20),
            ..Default::default()
        };
        Client::new(&config, names)
    }

    fn request(target: &Target) -> Request<Full<Bytes>> {
        let request = Request::post(target.path.as_str()).header("host", target.authority.as_str());
        request.body(Full::new(Bytes::from_static(b"{}"))).unwrap()
    }

    async fn serve_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"{}") {
            let mut piece = [0; 512];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the request broke off");
            seen.extend_from_slice(&piece[..count]);
        }
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    }

    /// What one attempt meets at a receiver on loopback that answers so.
    async fn meets(answer: &'static [u8]) -> Result<StatusCode, Failed> {
        let listener = TcpListener::bind((IpAddr::from(HERE), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move { serve_once(listener.accept().await.unwrap().0, answer).await });
        let target = Target::parse(&format!("http://localhost:{port}/hook?x=1"), true).unwrap();
        let names = FixedNames::new([vec![IpAddr::from(HERE)]]);
        let sent = client(true, None, Arc::new(names)).unwrap().send(&target, request(&target)).await;
        serving.await.unwrap();
        sent
    }

    #[tokio::test]
    async fn the_status_counts_and_nothing_behind_the_head() {
        assert_eq!(meets(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap(), 204);
        let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nsome";
        assert_eq!(meets(endless).await.unwrap(), 200);
        let elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(meets(elsewhere).await.unwrap(), 302, "a redirect is an answer like any other");
        assert!(meets(b"").await.unwrap_err().0.contains("broke"));
        assert!(meets(b"nonsense\r\n\r\n").await.unwrap_err().0.contains("broke"));
        let head: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)).leak();
        assert!(meets(head.as_bytes()).await.is_err(), "a head beyond the bound is none");
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_refused_at_every_attempt() {
        let target = Target::parse("https://localhost/", false).unwrap();
        let refused = client(false, None, Arc::new(SystemNames)).unwrap().send(&target, request(&target)).await;
        assert!(refused.unwrap_err().0.contains("a loopback address"));
        // The name server says something else the second time: what it says then is checked then.
        let rebinding = FixedNames::new([vec![IpAddr::from([8, 8, 8, 8])], vec![IpAddr::from(HERE)]]);
        let client = client(false, None, Arc::new(rebinding)).unwrap();
        assert!(client.addresses(&target).await.is_ok());
        let refused = client.send(&target, request(&target)).await;
        assert!(refused.unwrap_err().0.contains("a loopback address"));
        let none = FixedNames::new([]);
        let refused = super::tests::client(false, None, Arc::new(none)).unwrap().addresses(&target).await;
        assert!(refused.unwrap_err().0.contains("did not resolve"));
    }

    #[tokio::test]
    async fn tls_is_spoken_with_those_whose_certificate_holds() {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server = TlsServer::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind((IpAddr::from(HERE), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_once(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("ca.pem"), folder.path().join("bad.pem"));
        for (path, text) in [(&good, cert.pem()), (&bad, "no certificate".to_owned())] {
            #[expect(clippy::disallowed_methods, reason = "a test's own file")]
            std::fs::write(path, text).unwrap();
        }
        let names = || Arc::new(FixedNames::new([vec![IpAddr::from(HERE)]]));
        for (ca_file, host, expected) in [
            (Some(&good), "localhost", Ok(StatusCode::OK)),
            (None, "localhost", Err("TLS failed")),
            (Some(&good), "example.com", Err("TLS failed")),
        ] {
            let target = Target::parse(&format!("https://{host}:{port}/"), true).unwrap();
            let client = client(true, ca_file.map(|path| &**path), names()).unwrap();
            let sent = client.send(&target, request(&target)).await;
            match expected {
                Ok(status) => assert_eq!(sent, Ok(status), "{host}"),
                Err(text) => assert!(sent.as_ref().is_err_and(|failed| failed.0.contains(text)), "{host}: {sent:?}"),
            }
        }
        let refused = client(true, Some(&bad), names()).err().unwrap().to_string();
        assert!(refused.starts_with("webhooks_ca_file: ") && refused.contains("PEM"), "{refused}");
    }
}
