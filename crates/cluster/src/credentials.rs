//! What a node shows and what it believes: its own certificate, made anew in time, and the authorities of its passphrases.
//!
//! ```text
//! first passphrase ─▶ authority ─signs─▶ certificate of this node: its id as a URI, valid for 7 days, anew each day
//! all passphrases ──▶ authorities ─────▶ whom this node believes
//! ```
//! *Invariant:* TLS 1.3 only, both sides show a certificate, and none is taken on the word of an earlier session.
//!
//! *Invariant:* who a peer is comes from its certificate.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    SanType, SerialNumber, date_time_ymd,
};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, Error as TlsError, RootCertStore,
    ServerConfig, ServerConnection,
};

use crate::authority::{Authority, keys};
use crate::clock::{Clock, ForTls};
use crate::error::{Error, Why};
use crate::limits::{CERTIFICATE_LIFE, CERTIFICATE_RENEWAL, CERTIFICATE_SLACK};
use crate::node::NodeId;
use crate::passphrase::Passphrases;

/// The protocol, as both sides name it in the handshake.
pub(crate) const ALPN: &[u8] = b"anabranch-cluster/1";

/// The name that every certificate has beside the node's: who dials does not know yet whom it will find.
const NAME: &str = "node.anabranch-cluster.internal";

/// The keys of a node, and what TLS needs of them.
pub(crate) struct Credentials {
    node: NodeId,
    authority: Authority,
    roots: Arc<RootCertStore>,
    key: KeyPair,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    current: Current,
}

struct Current {
    made: u64,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Credentials {
    /// The credentials of `node`, with a new key of its own.
    pub(crate) fn new(node: NodeId, passphrases: &Passphrases, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut authorities = passphrases.all().iter().map(Authority::of).collect::<Result<Vec<_>, _>>()?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.certificate().clone()).map_err(keys)?;
        }
        let (authority, roots) = (authorities.swap_remove(0), Arc::new(roots));
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(keys)?;
        let mut provider = default_provider();
        // Only our own nodes are at the other end: what is recorded today is safe from later machines.
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        let provider = Arc::new(provider);
        let made = clock.unix_seconds();
        let chain = certificate(node, &authority, &key, made)?;
        let current = Current::new(chain, &key, &roots, &provider, &clock, made)?;
        Ok(Self { node, authority, roots, key, clock, provider, current })
    }

    /// Makes the certificate anew if it is time, or if the clock says that it is from the future; whether it did.
    pub(crate) fn renew(&mut self) -> Result<bool, Error> {
        let (now, made) = (self.clock.unix_seconds(), self.current.made);
        if now >= made && now - made < CERTIFICATE_RENEWAL.as_secs() {
            return Ok(false);
        }
        let chain = certificate(self.node, &self.authority, &self.key, now)?;
        self.current = Current::new(chain, &self.key, &self.roots, &self.provider, &self.clock, now)?;
        Ok(true)
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn ends(&self) -> u64 {
        self.current.made + CERTIFICATE_LIFE.as_secs()
    }

    pub(crate) fn dialer(&self) -> Result<Connection, TlsError> {
        let name = ServerName::try_from(NAME).expect("it is a name of DNS");
        let mut session = ClientConnection::new(Arc::clone(&self.current.client), name)?;
        // What it holds is bounded by what it is given.
        session.set_buffer_limit(None);
        Ok(session.into())
    }

    /// A dialer whose rules `alter` breaks.
    #[cfg(test)]
    pub(crate) fn altered(&self, alter: impl FnOnce(&mut ClientConfig)) -> Connection {
        let mut config = ClientConfig::clone(&self.current.client);
        alter(&mut config);
        let name = ServerName::try_from(NAME).expect("it is a name of DNS");
        ClientConnection::new(Arc::new(config), name).expect("it is well formed").into()
    }

    pub(crate) fn acceptor(&self) -> Result<Connection, TlsError> {
        let mut session = ServerConnection::new(Arc::clone(&self.current.server))?;
        session.set_buffer_limit(None);
        Ok(session.into())
    }
}

impl Current {
    fn new(
        chain: CertificateDer<'static>,
        key: &KeyPair,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        clock: &Arc<dyn Clock>,
        made: u64,
    ) -> Result<Self, Error> {
        let time = || Arc::new(ForTls(Arc::clone(clock)));
        let secret = || PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let believed = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
        let mut client = ClientConfig::builder_with_details(Arc::clone(provider), time())
            .with_protocol_versions(&[&TLS13])
            .map_err(keys)?
            .with_webpki_verifier(believed.build().map_err(keys)?)
            .with_client_auth_cert(vec![chain.clone()], secret())
            .map_err(keys)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        let believed = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
        let mut server = ServerConfig::builder_with_details(Arc::clone(provider), time())
            .with_protocol_versions(&[&TLS13])
            .map_err(keys)?
            .with_client_cert_verifier(believed.build().map_err(keys)?)
            .with_single_cert(vec![chain], secret())
            .map_err(keys)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { made, client: Arc::new(client), server: Arc::new(server) })
    }
}

fn certificate(node: NodeId, by: &Authority, key: &KeyPair, now: u64) -> Result<CertificateDer<'static>, Error> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(keys)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("Anabranch node {node}"));
    let mut params = CertificateParams::new([NAME.to_owned()]).map_err(keys)?;
    params.subject_alt_names.push(SanType::URI(node.uri().try_into().map_err(keys)?));
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = at(now.saturating_sub(CERTIFICATE_SLACK.as_secs()));
    params.not_after = at(now + CERTIFICATE_LIFE.as_secs());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params.signed_by(key, by.issuer()).map_err(keys)?.der().clone())
}

/// Who is at the other end of a session whose handshake is done.
pub(crate) fn peer_of(session: &Connection) -> Result<NodeId, Why> {
    let no = |reason: &str| Why::NotANode(reason.to_owned());
    if session.alpn_protocol() != Some(ALPN) {
        return Err(no("it does not speak anabranch-cluster/1"));
    }
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let shown = shown.ok_or_else(|| no("it shows no certificate"))?;
    let shown = webpki::EndEntityCert::try_from(shown).map_err(|e| Why::NotANode(e.to_string()))?;
    let mut uris = shown.valid_uri_names();
    let node = uris.next().and_then(NodeId::from_uri).ok_or_else(|| no("its certificate names no node"))?;
    match uris.next() {
        Some(_) => Err(no("its certificate names more than a node")),
        None => Ok(node),
    }
}

/// What an error of TLS means to whoever runs the cluster.
pub(crate) fn why(error: &TlsError) -> Why {
    use CertificateError as Bad;
    match error {
        TlsError::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => Why::Passphrase,
        TlsError::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => Why::Passphrase,
        TlsError::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        )
        | TlsError::AlertReceived(AlertDescription::CertificateExpired) => Why::Clock,
        TlsError::InvalidMessage(_) => Why::NotTls,
        other => Why::NotANode(other.to_string()),
    }
}
