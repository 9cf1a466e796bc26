//! Connections to a server, with or without TLS.
//!
//! A server's certificate must be signed by one of the public authorities or by one of `--ca-file`; there is no switch that
//! takes any certificate.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::cli::fail::Failure;
use crate::cli::files;

/// Time for a connection, TLS aside.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    plain: HttpConnector,
    tls: TlsConnector,
}

impl Connector {
    /// `ca_file`: certificates (PEM) of further authorities.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, Failure> {
        let mut plain = HttpConnector::new();
        plain.set_connect_timeout(Some(CONNECT_MAX));
        plain.set_nodelay(true);
        plain.enforce_http(false);
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = ca_file {
            add(&mut roots, path)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::failed(format!("cannot set up TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { plain, tls: TlsConnector::from(Arc::new(config)) })
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), Failure> {
    let wrong = || Failure::input(format!("--ca-file {}: holds no certificate in PEM", path.display()));
    let pem = files::read(path)?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.len() == before { Err(wrong()) } else { Ok(()) }
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.plain.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, tls) = (self.plain.call(uri.clone()), self.tls.clone());
        Box::pin(async move {
            let stream = connecting.await?;
            if uri.scheme_str() != Some("https") {
                return Ok(Link(Box::new(stream)));
            }
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let name = ServerName::try_from(host.to_owned())?;
            let stream = tls.connect(name, stream.into_inner()).await?;
            Ok(Link(Box::new(TokioIo::new(stream))))
        })
    }
}

/// Whatever bytes go over.
trait Both: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Both for T {}

/// A connection.
pub(super) struct Link(Box<dyn Both>);

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(cx, bytes)
    }
}

impl Write for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_shutdown(cx)
    }
}
