//! TLS from files, through rustls' synchronous interface.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, SupportedProtocolVersion, version};

use super::config::{NetError, SessionCache, TlsFiles};
use super::sessions::Sessions;

impl TlsFiles {
    /// Reads the files and makes what [`super::NetConfig::tls`] takes.
    pub fn load(&self) -> Result<Arc<rustls::ServerConfig>, NetError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions()?)
            .map_err(tls)?;
        let builder = match self.verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&self.key, &error))?;
        let mut config = builder.with_single_cert(certificates(&self.cert)?, key).map_err(tls)?;
        match self.sessions {
            Some(SessionCache { count: 0, .. }) => {
                let reason = "tls-session-cache-size 0 asks for a cache without a bound, which there is not: say how many \
                              sessions may be kept, or tls-session-caching no";
                return Err(NetError::Tls(reason.into()));
            }
            Some(SessionCache { count, lifetime }) => config.session_storage = Arc::new(Sessions::new(count, lifetime)),
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(Arc::new(config))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, NetError> {
        let offered = [(self.v1_2, &version::TLS12), (self.v1_3, &version::TLS13)];
        let versions: Vec<_> =
            offered.into_iter().filter(|(offered, _)| *offered).map(|(_, version)| version).collect();
        if versions.is_empty() {
            return Err(NetError::Tls("tls-protocols leaves no protocol".into()));
        }
        Ok(versions)
    }

    /// Who looks at clients' certificates, if anybody does.
    /// DIFFERENCE: a client's certificate that says of itself that it is an authority is rejected; OpenSSL takes it if it
    /// is trusted.
    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, NetError> {
        let mut found = Vec::new();
        if let Some(path) = &self.client_ca {
            found = certificates(path)?;
        }
        if let Some(dir) = &self.client_ca_dir {
            found.extend(certificates_in(dir)?);
        }
        if found.is_empty() {
            let needed = "tls-auth-clients needs tls-ca-cert-file or tls-ca-cert-dir";
            return if self.require_client_cert { Err(NetError::Tls(needed.into())) } else { Ok(None) };
        }
        let mut roots = RootCertStore::empty();
        for cert in found {
            roots.add(cert).map_err(tls)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if self.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
        verifier.build().map(Some).map_err(|error| NetError::Tls(error.to_string()))
    }
}

fn tls(error: rustls::Error) -> NetError {
    NetError::Tls(error.to_string())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let certificates = read_certificates(path)?;
    if certificates.is_empty() {
        return Err(NetError::TlsFile { path: path.into(), reason: "it holds no certificate".into() });
    }
    Ok(certificates)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))
}

/// The certificates of every file in a directory, whatever its name.
///
/// DIFFERENCE: OpenSSL finds only files that are named by a hash of their subject, and only when a client needs them. Here
/// they are read at the start and by `CONFIG SET tls-ca-cert-dir`.
fn certificates_in(dir: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let files = || -> std::io::Result<Vec<PathBuf>> {
        let paths = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
        paths.collect()
    };
    let mut files = files().map_err(|error| unusable(dir, &error))?;
    files.retain(|path| path.is_file());
    files.sort_unstable();
    let mut found = Vec::new();
    for file in files {
        // A key, a list of what was revoked or a note may lie there as well.
        found.extend(read_certificates(&file)?);
    }
    if found.is_empty() {
        return Err(NetError::TlsFile { path: dir.into(), reason: "no file there holds a certificate".into() });
    }
    Ok(found)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> NetError {
    NetError::TlsFile { path: path.into(), reason: error.to_string() }
}
