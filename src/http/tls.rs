//! TLS: certificate and key out of their files, and out of them again when they change.
//!
//! Connections keep what they began with; only new ones meet the new certificate. Files that cannot be used (half written,
//! a key of another certificate) change nothing and are told once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::config::TlsFiles;
use crate::error::{Error, Result};
use crate::host::{Disk, RealDisk};

/// How often the files are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What new connections are met with.
pub(super) struct Tls {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    /// Digest of the files as they were looked at last, be they usable or not.
    seen: Mutex<blake3::Hash>,
}

/// The files' bytes. Memory forgets the key's.
struct Pems {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Pems {
    fn read(files: &TlsFiles) -> Result<Self> {
        Ok(Self {
            cert: read("tls_cert", &files.cert)?,
            key: Zeroizing::new(read("tls_key", &files.key)?),
            client_ca: files.client_ca.as_deref().map(|path| read("tls_client_ca", path)).transpose()?,
        })
    }

    fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.cert, &*self.key, self.client_ca.as_ref().unwrap_or(&Vec::new())] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn config(&self) -> Result<ServerConfig> {
        let chain = certificates("tls_cert", &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| Error::invalid("tls_key", "holds no private key in PEM"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::io("set up TLS", std::io::Error::other(error)))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("tls_client_ca", pem)? {
                    let none = |_| Error::invalid("tls_client_ca", "holds a certificate that is none");
                    roots.add(certificate).map_err(none)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let unusable = |error| Error::invalid("tls_client_ca", format!("cannot be used: {error}"));
                builder.with_client_cert_verifier(verifier.map_err(unusable)?)
            }
        };
        let unusable = |error| {
            let reason = format!("and tls_key cannot be used together: {error}; give the key of the first certificate");
            Error::invalid("tls_cert", reason)
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>> {
    let named = |error: std::io::Error| Error::invalid(field, format!("{}: cannot be read: {error}", path.display()));
    RealDisk.read(path).map_err(named)
}

fn certificates(field: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_| Error::invalid(field, "is not PEM"))?;
    if all.is_empty() { Err(Error::invalid(field, "holds no certificate; it must be PEM")) } else { Ok(all) }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `Invalid` names the file's key of the configuration and what is wrong with it.
    pub(super) fn load(files: &TlsFiles) -> Result<Self> {
        let pems = Pems::read(files)?;
        let (current, seen) = (ArcSwap::from_pointee(pems.config()?), Mutex::new(pems.digest()));
        Ok(Self { files: files.clone(), current, seen })
    }

    /// For one new connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again. True: new connections meet something else from now on.
    ///
    /// # Errors
    /// As [`Tls::load`], once for each content; what was there goes on.
    pub(super) fn look(&self) -> Result<bool> {
        let pems = Pems::read(&self.files)?;
        let digest = pems.digest();
        let before = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), digest);
        if before == digest {
            return Ok(false);
        }
        self.current.store(Arc::new(pems.config()?));
        Ok(true)
    }
}

/// Looks at the files for ever.
pub(super) async fn keep_fresh(tls: Arc<Tls>) {
    let mut is_unreadable = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let one = Arc::clone(&tls);
        let looked = tokio::task::spawn_blocking(move || one.look()).await;
        match looked {
            Ok(Ok(false)) => is_unreadable = false,
            Ok(Ok(true)) => {
                is_unreadable = false;
                tracing::info!("the TLS files have changed; new connections get the new certificate");
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut is_unreadable, true) {
                    tracing::error!(%error, "the TLS files have changed and cannot be used; the old certificate goes on");
                }
            }
            Err(_) => tracing::error!("looking at the TLS files panicked"),
        }
    }
}
