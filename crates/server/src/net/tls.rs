//! TLS from files, through rustls' synchronous interface.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::config::{NetError, TlsFiles};

impl TlsFiles {
    /// Reads the files and makes what [`super::NetConfig::tls`] takes. TLS 1.2 and 1.3.
    pub fn load(&self) -> Result<Arc<rustls::ServerConfig>, NetError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = |error: rustls::Error| NetError::Tls(error.to_string());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(tls)?;
        let builder = match &self.client_ca {
            None if self.require_client_cert => {
                return Err(NetError::Tls("tls-auth-clients needs tls-ca-cert-file".into()));
            }
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for cert in certificates(path)? {
                    roots.add(cert).map_err(tls)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if self.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| NetError::Tls(error.to_string()))?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&self.key, &error))?;
        builder.with_single_cert(certificates(&self.cert)?, key).map(Arc::new).map_err(tls)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(NetError::TlsFile { path: path.into(), reason: "it holds no certificate".into() });
    }
    Ok(certificates)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> NetError {
    NetError::TlsFile { path: path.into(), reason: error.to_string() }
}
