//! TLS: the certificate, for every port that speaks it, and its renewal while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// How often the files are read again: certificates are renewed under a running server.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// The certificate of the moment.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    held: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads both files.
    pub(crate) fn load((certificate, key): &(PathBuf, PathBuf)) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            certificate: certificate.clone(),
            key: key.clone(),
            held: RwLock::new(Arc::new(read(certificate, key)?)),
        }))
    }

    /// What a port shakes hands with; it speaks these protocols inside (ALPN).
    pub(crate) fn acceptor(self: &Arc<Self>, protocols: &[&str]) -> Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS 1.2 and 1.3 cannot be spoken")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again every minute. What cannot be read leaves the certificate as it was.
    pub(crate) async fn renew(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match read(&self.certificate, &self.key) {
                Ok(new) => *self.held.write() = Arc::new(new),
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), "the certificate in force stays");
                }
            }
        }
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.held.read()))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let named =
        |setting: &str, path: &Path| format!("{setting} = {:?}", path.display().to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| named("tls.certificate", certificate))?;
    anyhow::ensure!(
        !chain.is_empty(),
        "{}: expected at least one CERTIFICATE block",
        named("tls.certificate", certificate)
    );
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| named("tls.key", key))?;
    CertifiedKey::from_der(chain, secret, &default_provider()).with_context(|| {
        let files = [named("tls.certificate", certificate), named("tls.key", key)];
        format!(
            "{}: expected a certificate and its own private key",
            files.join(" and ")
        )
    })
}
